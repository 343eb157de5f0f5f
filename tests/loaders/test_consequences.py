"""CSQ, ANN and EFF: each entry at its ALT, whatever the allele is called; literal records in, rows out, and real files re-read."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.alleles import SNPEFF, VEP, assign, vep_names
from loaders.header import open_vcf
from loaders.normalize import Normalizer
from loaders.vcf import read
from store.assembly import GRCH37, GRCH38
from store.consequence import severity

CSQ = "Allele|Consequence|IMPACT|SYMBOL|Gene|Feature_type|Feature|BIOTYPE|EXON|INTRON|HGVSc|HGVSp|CANONICAL|MANE_SELECT|SIFT"
ANN = (
    "Functional annotations: 'Allele | Annotation | Annotation_Impact | Gene_Name | Gene_ID | Feature_Type | Feature_ID | Transcript_BioType | "
    "Rank | HGVS.c | HGVS.p | cDNA.pos / cDNA.length | CDS.pos / CDS.length | AA.pos / AA.length | Distance | ERRORS / WARNINGS / INFO' "
)
EFF = (
    "Predicted effects for this variant.Format: 'Effect ( Effect_Impact | Functional_Class | Codon_Change | Amino_Acid_Change| Amino_Acid_length | "
    "Gene_Name | Transcript_BioType | Gene_Coding | Transcript_ID | Exon_Rank  | Genotype_Number [ | ERRORS | WARNINGS ] )'"
)
VEP_SAYS = "Consequence annotations from Ensembl VEP. Format: "


def rows(tmp_path: Path, key: str, description: str, *records: str) -> tuple[list[dict], dict[str, int]]:
    """The rows of transcript_consequence of records `REF ALT INFO`, with the ALT that each belongs to, and the warnings."""
    path = tmp_path / "some.vcf"
    lines = [f"20\t{100 * n}\t.\t{ref}\t{alt}\t.\t.\t{info}" for n, (ref, alt, info) in enumerate(map(str.split, records), 1)]
    header = f'##fileformat=VCFv4.2\n##INFO=<ID={key},Number=.,Type=String,Description="{description}">\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n'
    path.write_text(header + "\n".join(lines) + "\n")
    (chunk,) = read(path, open_vcf(path)[0], Normalizer(GRCH37, None, unnormalized=True))
    found = chunk.tables["transcript_consequence"].to_pylist()
    alleles = chunk.tables["variant_record"].column("allele").to_pylist()
    for row in found:
        row["allele"] = alleles[row["_row"]]
    return found, dict(chunk.warnings)


def test_an_entry_becomes_a_row_with_every_field_in_its_place(tmp_path: Path) -> None:
    entry = (
        "T|missense_variant&splice_region_variant|MODERATE|SIRPA|ENSG00000198053.11|Transcript|ENST00000356025.7|protein_coding|3/9||"
        "ENST00000356025.7:c.131C>T|ENSP00000348307.3:p.Gly44%3D|YES|NM_080792.3|tolerated(0.3)"
    )
    (row,), _ = rows(tmp_path, "CSQ", VEP_SAYS + CSQ, f"C T CSQ={entry}")
    assert {k: v for k, v in row.items() if k not in ("variant_key", "_row", "allele")} == {
        "ordinal": 0,
        "annotator": "VEP",
        "severity": severity("missense_variant"),
        "impact": 2,
        "terms": ["missense_variant", "splice_region_variant"],
        "gene_id": "ENSG00000198053",
        "symbol": "SIRPA",
        "transcript_id": "ENST00000356025.7",
        "transcript_stable_id": "ENST00000356025",
        "biotype": "protein_coding",
        "canonical": True,
        "mane": "SELECT",
        "hgvsc": "ENST00000356025.7:c.131C>T",
        "hgvsp": "ENSP00000348307.3:p.Gly44=",
        "exon": "3/9",
        "intron": None,
        "cdna_position": None,
        "cds_position": None,
        "protein_position": None,
        "amino_acids": None,
        "codons": None,
        "extra": '{"MANE_SELECT":"NM_080792.3","SIFT":"tolerated(0.3)"}',
    }


def test_a_transcript_loses_its_version_and_no_part_of_its_name(tmp_path: Path) -> None:
    written = "ENST00000381192.8_PAR_Y", "MSTRG.1.1", "NM_080792.3", ""
    entries = ",".join(f"T|intron_variant|{feature}" for feature in written)
    found, _ = rows(tmp_path, "CSQ", VEP_SAYS + "Allele|Consequence|Feature", f"C T CSQ={entries}")
    assert [row["transcript_stable_id"] for row in found] == ["ENST00000381192_PAR_Y", "MSTRG.1.1", "NM_080792", None]


def test_all_transcripts_of_a_deletion_are_kept_though_its_allele_is_a_dash(tmp_path: Path) -> None:
    found, warnings = rows(tmp_path, "CSQ", VEP_SAYS + CSQ, "CA C CSQ=-|frameshift_variant,-|intron_variant,-|intron_variant")
    assert [(r["ordinal"], r["terms"]) for r in found] == [(0, ["frameshift_variant"]), (1, ["intron_variant"]), (2, ["intron_variant"])]
    assert not warnings


def test_alleles_of_a_record_with_an_indel_lose_the_base_they_share(tmp_path: Path) -> None:
    found, _ = rows(tmp_path, "CSQ", VEP_SAYS + CSQ, "CA C,CAA,TA CSQ=TA|stop_lost,CAA|intron_variant,C|intron_variant")
    assert [r["allele"] for r in found] == [1, 2, 3]
    found, _ = rows(tmp_path, "CSQ", VEP_SAYS + CSQ, "CA C,CAA,CT CSQ=-|frameshift_variant,AA|intron_variant,T|missense_variant")
    assert [(r["allele"], r["terms"][0]) for r in found] == [(1, "frameshift_variant"), (2, "intron_variant"), (3, "missense_variant")]


def test_the_number_of_the_allele_has_precedence_over_its_name(tmp_path: Path) -> None:
    names = "Allele|Consequence|ALLELE_NUM"
    found, _ = rows(tmp_path, "vep", VEP_SAYS + names, "CAAA CAA,CA vep=-|intron_variant|1,-|stop_gained|2")
    assert [(r["allele"], r["terms"]) for r in found] == [(1, ["intron_variant"]), (2, ["stop_gained"])]


def test_an_entry_that_two_alleles_could_own_is_counted_and_given_to_none(tmp_path: Path) -> None:
    found, warnings = rows(tmp_path, "CSQ", VEP_SAYS + CSQ, "CAAA CAA,CA CSQ=-|intron_variant")
    assert found == []
    assert warnings == {"CSQ entry names no ALT of its record, or more than one": 1}


def test_a_record_split_after_annotation_takes_its_own_entries(tmp_path: Path) -> None:
    found, warnings = rows(tmp_path, "CSQ", VEP_SAYS + CSQ, "C T CSQ=T|missense_variant,G|stop_gained")
    assert [r["terms"] for r in found] == [["missense_variant"]]
    assert sum(warnings.values()) == 1


def test_entries_without_consequence_or_with_too_many_fields_are_counted(tmp_path: Path) -> None:
    record = "C T CSQ=T||,T|stop_gained,T|" + "|".join(["intron_variant", *"x" * 14])
    found, warnings = rows(tmp_path, "CSQ", VEP_SAYS + CSQ, record)
    assert [r["terms"] for r in found] == [["stop_gained"], ["intron_variant"]]
    assert warnings == {"CSQ entry without a consequence": 1, "CSQ entry has more fields than its header": 1}


def test_impact_comes_from_the_terms_where_the_file_has_none(tmp_path: Path) -> None:
    found, _ = rows(tmp_path, "CSQ", VEP_SAYS + "Allele|Consequence", "C T CSQ=T|intron_variant&splice_donor_variant,T|unheard_of")
    assert [r["impact"] for r in found] == [1, 4]


@pytest.mark.parametrize(
    ("names", "values", "mane"),
    [
        ("MANE_SELECT|MANE_PLUS_CLINICAL", "NM_1.1|", "SELECT"),
        ("MANE_SELECT|MANE_PLUS_CLINICAL", "|NM_2.1", "PLUS_CLINICAL"),
        ("MANE", "MANE_Select", "SELECT"),
        ("MANE", "MANE_Plus_Clinical", "PLUS_CLINICAL"),
        ("MANE", "NM_1.1", "SELECT"),
        ("MANE", "", None),
    ],
)
def test_mane_is_read_in_every_layout(tmp_path: Path, names: str, values: str, mane: str | None) -> None:
    (row,), _ = rows(tmp_path, "CSQ", f"{VEP_SAYS}Allele|Consequence|{names}", f"C T CSQ=T|intron_variant|{values}")
    assert row["mane"] == mane


def test_a_feature_that_is_no_transcript_says_what_it_is(tmp_path: Path) -> None:
    entry = "T|regulatory_region_variant|MODIFIER|||RegulatoryFeature|ENSR00000123456|promoter"
    (row,), _ = rows(tmp_path, "CSQ", VEP_SAYS + CSQ, f"C T CSQ={entry}")
    assert (row["transcript_id"], json.loads(row["extra"])) == ("ENSR00000123456", {"Feature_type": "RegulatoryFeature"})


def test_ann_names_the_alt_itself_and_its_rank_is_an_exon_or_an_intron(tmp_path: Path) -> None:
    exonic = "CTT|frameshift_variant|HIGH|BRCA1|ENSG00000012048|transcript|ENST00000357654.3|protein_coding|10/23|c.68_69dup|p.Glu23fs|188/7094|68/5592|23/1863||"
    intronic = "CT|intron_variant|MODIFIER|RP3-467L1.4|RP3-467L1.4|transcript|NM_007294.4|protein_coding|3/22|c.81-9T>C|||||77|WARNING_X"
    found, warnings = rows(tmp_path, "ANN", ANN, f"C CT,CTT ANN={exonic},{intronic}")
    exon, intron = found[1], found[0]
    assert (exon["allele"], exon["annotator"], exon["exon"], exon["intron"], exon["hgvsc"]) == (
        2,
        "SnpEff",
        "10/23",
        None,
        "ENST00000357654.3:c.68_69dup",
    )
    assert (exon["cdna_position"], exon["cds_position"], exon["protein_position"], exon["extra"]) == (
        "188/7094",
        "68/5592",
        "23/1863",
        None,
    )
    assert (intron["allele"], intron["exon"], intron["intron"], intron["gene_id"]) == (1, None, "3/22", "RP3-467L1.4")
    assert json.loads(intron["extra"]) == {"Distance": "77", "Messages": "WARNING_X"}
    assert not warnings


def test_ann_of_a_cancer_sample_belongs_to_the_alt_before_the_dash(tmp_path: Path) -> None:
    found, _ = rows(tmp_path, "ANN", ANN, "A C,G ANN=G-C|missense_variant|MODERATE|||||||||||||,C|stop_gained|HIGH|||||||||||||")
    assert [(r["allele"], r["terms"]) for r in found] == [(1, ["stop_gained"]), (2, ["missense_variant"])]


def test_vep_may_write_into_the_key_ann(tmp_path: Path) -> None:
    (row,), _ = rows(tmp_path, "ANN", VEP_SAYS + CSQ, "CA C ANN=-|frameshift_variant|HIGH")
    assert row["annotator"] == "VEP"


def test_eff_names_become_sequence_ontology_terms(tmp_path: Path) -> None:
    one = "NON_SYNONYMOUS_CODING(MODERATE|MISSENSE|Gtg/Atg|V5M|305|OR4F5|protein_coding|CODING|ENST00000335137|1|1)"
    two = "splice_region_variant+intron_variant(LOW|||c.9+3A>T|305|OR4F5|protein_coding|CODING|ENST00000335137|2|2|WARNING)"
    first, second = rows(tmp_path, "EFF", EFF, f"G A,T EFF={one},{two}")[0]
    assert (first["allele"], first["terms"], first["impact"], first["amino_acids"], first["codons"]) == (
        1,
        ["missense_variant"],
        2,
        "V5M",
        "Gtg/Atg",
    )
    assert (first["symbol"], first["transcript_id"], first["exon"], first["biotype"]) == ("OR4F5", "ENST00000335137", "1", "protein_coding")
    assert (second["allele"], second["terms"], second["hgvsc"]) == (
        2,
        ["splice_region_variant", "intron_variant"],
        "ENST00000335137:c.9+3A>T",
    )
    assert (second["exon"], second["intron"]) == (None, "2")


BASES = st.text("ACGT", min_size=1, max_size=5)


@given(BASES, st.lists(BASES | st.just("*"), min_size=1, max_size=5, unique=True))
def test_entries_named_by_vep_find_the_alt_they_were_made_from(ref: str, alts: list[str]) -> None:
    alts = [alt for alt in alts if alt != ref] or ["*"]
    entries = [(name, None) for name in vep_names(ref, alts)]
    assert assign(entries, ref, alts, VEP) == list(range(1, len(alts) + 1))


@given(BASES, st.lists(BASES, min_size=2, max_size=5, unique=True))
def test_entries_named_by_snpeff_find_the_alt_they_were_made_from(ref: str, alts: list[str]) -> None:
    assert assign([(alt, None) for alt in alts], ref, alts, SNPEFF) == list(range(1, len(alts) + 1))


@given(BASES, st.lists(BASES, min_size=2, max_size=5, unique=True), st.sampled_from([VEP, SNPEFF]))
def test_no_entry_is_given_to_an_alt_that_does_not_bear_its_name(ref: str, alts: list[str], namings: tuple) -> None:
    for (name, _), number in zip(entries := [(a, None) for a in ("-", "A", "TT")], assign(entries, ref, alts, namings), strict=True):
        if number is not None:
            assert name in {naming(ref, alts)[number - 1] for naming in namings}


@pytest.mark.requires_real
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("formats/vep85_csq_snpeff42_ann.sites_only.grch37.vcf.gz", ("CSQ", "ANN")),
        ("formats/vep104_csq_merged.sites_only.grch37.vcf.gz", ("CSQ",)),
        ("formats/vep113_csq_merged.sites_only.grch38.vcf.gz", ("CSQ",)),
        ("formats/gnomad.genomes.v3.1.sample.grch38.vcf.gz", ("vep",)),
        ("formats/gnomad.exomes.v4.0.sample.grch38.vcf.gz", ("vep",)),
        ("chr1_head/gnomad.exomes.r2.1.1.sites.chr1_12198-13499.grch37.vcf.gz", ("vep",)),
        ("formats/snpeff.test.chr22.ann.subset.vcf.gz", ("ANN",)),
        ("chr22_grch37/snpeff_ann.missense_any.chr22.grch37.vcf.gz", ("ANN",)),
    ],
)
def test_every_entry_of_a_real_file_is_a_row_of_its_alt(real: Path, name: str, keys: tuple[str, ...]) -> None:
    path = real / name
    header, _ = open_vcf(path)
    chunks = list(read(path, header, Normalizer(GRCH38 if "grch38" in name else GRCH37, None, unnormalized=True)))
    table = pa.Table.from_batches([c.tables["transcript_consequence"] for c in chunks if c.tables])
    found = sorted(zip(*(table.column(c).to_pylist() for c in ("annotator", "transcript_id", "terms")), strict=True), key=str)
    expected = []
    indels = 0
    places = {}
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        if found_key := re.match(r"##INFO=<ID=(CSQ|vep|ANN),", line):
            fields = line.partition("Format: ")[2].partition('"')[0] or ANN.partition(": ")[2]
            places[found_key[1]] = [f.strip(" '") for f in fields.split("|")]
        if line.startswith("#"):
            continue
        _, _, _, ref, alts, _, _, text, *_ = line.rstrip("\n").split("\t")
        indels += any(len(alt) != len(ref) for alt in alts.split(","))
        info = dict(part.partition("=")[::2] for part in text.split(";"))
        for key in keys:
            at = places[key].index
            for entry in info[key].split(",") if key in info else ():
                parts = entry.split("|")
                if key == "ANN":
                    expected.append(("SnpEff", parts[6] or None, parts[1].split("&")))
                else:
                    expected.append(("VEP", parts[at("Feature")] or None, parts[at("Consequence")].split("&")))
    assert found == sorted(expected, key=str)
    assert len(expected) > 0
    assert not [w for c in chunks for w in c.warnings if "names no ALT" in w or "without" in w]
    if "vep85" in name or "r2.1.1" in name:
        assert indels > 0


def test_a_number_of_an_allele_is_of_plain_digits(tmp_path: Path) -> None:
    says = VEP_SAYS + "Allele|Consequence|ALLELE_NUM"
    entries = ",".join(f"G|missense_variant|{number}" for number in ("²", "9" * 5000, "1"))
    found, _ = rows(tmp_path, "CSQ", says, f"A G CSQ={entries}")
    assert [row["ordinal"] for row in found] == [0, 1, 2]


def test_entries_of_one_record_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.consequences.MOST_ENTRIES", 3)
    found, warnings = rows(tmp_path, "CSQ", VEP_SAYS + "Allele|Consequence", "A G CSQ=" + ",".join(["G|missense_variant"] * 5))
    assert [row["ordinal"] for row in found] == [0, 1, 2]
    assert warnings["CSQ of more than 3 entries, the others left out"] == 1
