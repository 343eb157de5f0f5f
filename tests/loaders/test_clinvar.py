"""ClinVar's keys as classifications: literal records in, rows out, and real files re-read."""

from __future__ import annotations

from pathlib import Path

import cyvcf2
import pyarrow as pa
import pytest

from loaders.clinvar import ClinVar
from loaders.header import VcfHeader, open_vcf
from loaders.normalize import Normalizer, Record
from loaders.vcf import read
from store.assembly import GRCH37, GRCH38


def extractor(**numbers: str) -> ClinVar:
    """An extractor for a header with ClinVar's keys and those given as NAME=Number."""
    keys = dict.fromkeys(("CLNSIG", "CLNREVSTAT", "CLNDN", "ONC", "ONCREVSTAT", "SCI", "SCIREVSTAT"), ".") | numbers
    lines = [f'##INFO=<ID={key},Number={number},Type=String,Description="">' for key, number in keys.items()]
    made = ClinVar.for_header(VcfHeader.parse([*lines, "#CHROM"]))
    assert made is not None
    return made


def record(info: str, alts: str = "T", name: str = "15001") -> Record:
    """A record with an INFO column."""
    return Record(1, "1", 100, name, "C", alts.split(","), ".", ".", info)


def rows(made: ClinVar, *records: Record) -> list[dict]:
    """The rows of records, every ALT of each."""
    row = 0
    for one in records:
        for allele, alt in enumerate(one.alts, 1):
            made.add(row, one, allele, (1, 100, "C", alt))
            row += 1
    return made.take()["clinical_significance"].to_pylist()


def test_a_germline_classification_becomes_a_row_with_everything_that_goes_with_it() -> None:
    (row,) = rows(
        extractor(),
        record(
            "ALLELEID=30040;CLNSIG=Conflicting_classifications_of_pathogenicity|risk_factor;CLNREVSTAT=criteria_provided,_conflicting_classifications;"
            "CLNDN=Breast-ovarian_cancer,_familial,_susceptibility_to,_2|not_provided;CLNDISDB=MONDO:MONDO:0012933,OMIM:612555|.;"
            "CLNSIGCONF=Pathogenic(1)|Benign(2);GENEINFO=BRCA2:675|LOC106721785:106721785;ORIGIN=3;CLNHGVS=NC_000013.11:g.100C>T"
        ),
    )
    assert row == {
        "ordinal": 0,
        "aspect": "GERMLINE",
        "classes": ["CONFLICTING", "RISK_FACTOR"],
        "significance": "Conflicting_classifications_of_pathogenicity|risk_factor",
        "variation_id": "15001",
        "allele_id": "30040",
        "review_status": "criteria_provided,_conflicting_classifications",
        "stars": 1,
        "conditions": ["Breast-ovarian cancer, familial, susceptibility to, 2", "not provided"],
        "condition_ids": ["MONDO:MONDO:0012933,OMIM:612555", None],
        "conflicting": "Pathogenic(1)|Benign(2)",
        "gene_info": "BRCA2:675|LOC106721785:106721785",
        "origin": "3",
        "hgvs": "NC_000013.11:g.100C>T",
        "_row": 0,
    }


def test_each_aspect_is_a_row_of_its_own() -> None:
    found = rows(
        extractor(),
        record(
            "CLNSIG=Pathogenic;CLNREVSTAT=practice_guideline;ONC=Oncogenic;ONCREVSTAT=criteria_provided,_single_submitter;"
            "SCI=Tier_I_-_Strong|Tier_II_-_Potential;SCIREVSTAT=criteria_provided,_multiple_submitters"
        ),
    )
    assert [(r["aspect"], r["ordinal"], r["classes"], r["stars"]) for r in found] == [
        ("GERMLINE", 0, ["PATHOGENIC"], 4),
        ("ONCOGENICITY", 1, ["ONCOGENIC"], 1),
        ("SOMATIC_IMPACT", 2, ["TIER_I_STRONG", "TIER_II_POTENTIAL"], 2),
    ]


def test_a_record_that_classifies_nothing_has_no_row() -> None:
    assert rows(extractor(), record("ALLELEID=1"), record("CLNSIGINCL=424751:Pathogenic;CLNDNINCL=Some_disease")) == []


def test_a_file_without_clinvars_keys_or_of_before_2017_is_left_alone() -> None:
    assert ClinVar.for_header(VcfHeader.parse(["#CHROM"])) is None
    old = ['##INFO=<ID=CLNSIG,Number=.,Type=String,Description="">', '##INFO=<ID=CLNREVSTAT,Number=.,Type=String,Description="">']
    assert ClinVar.for_header(VcfHeader.parse([*old, '##INFO=<ID=CLNALLE,Number=.,Type=Integer,Description="">', "#CHROM"])) is None


def test_a_classification_is_not_given_to_alts_it_may_not_mean() -> None:
    made = extractor()
    assert rows(made, record("CLNSIG=Pathogenic", alts="T,G")) == []
    assert made.warnings == {"CLNSIG on a record of several ALTs": 2}
    found = rows(extractor(CLNSIG="A"), record("CLNSIG=Pathogenic,Benign", alts="T,G"))
    assert [(r["_row"], r["classes"]) for r in found] == [(0, ["PATHOGENIC"]), (1, ["BENIGN"])]


def test_codes_of_before_2017_count_where_they_mean_one_allele() -> None:
    made = extractor()
    found = rows(made, record("CLNSIG=5|2;CLNREVSTAT=mult"), record("CLNSIG=0,0"), record("CLNSIG=5,255,2"))
    assert [(r["classes"], r["stars"]) for r in found] == [(["PATHOGENIC", "BENIGN"], 2), (["UNCERTAIN_SIGNIFICANCE"], None)]
    assert made.warnings == {"CLNSIG codes of several alleles": 1}


def test_an_identifier_that_is_no_variation_id_is_not_taken_for_one() -> None:
    (row,) = rows(extractor(), record("CLNSIG=Benign", name="rs123"))
    assert row["variation_id"] is None


@pytest.mark.requires_real
@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("formats/clinvar_20260226.brca_sample.grch38.vcf.gz", GRCH38),
        ("chr22_grch38/clinvar_20260226.chr22_rows.grch38.vcf.gz", GRCH38),
        ("chr1_head/clinvar_20230710.chr1_69134-981226.grch37.vcf.gz", GRCH37),
    ],
)
def test_a_real_file_read_by_another_library_says_the_same(real: Path, name: str, build) -> None:
    header, _ = open_vcf(real / name)
    chunks = list(read(real / name, header, Normalizer(build, None, unnormalized=True)))
    table = pa.Table.from_batches([c.tables["clinical_significance"] for c in chunks if c.tables]).to_pylist()
    assert not [w for c in chunks for w in c.warnings if w.startswith(("CLN", "ONC", "SCI"))]
    expected = []
    for v in cyvcf2.VCF(str(real / name)):
        if not v.ALT:
            continue
        for key, prefix in (("CLNSIG", "CLN"), ("ONC", "ONC"), ("SCI", "SCI")):
            if (said := v.INFO.get(key)) is not None:
                names = v.INFO.get(f"{prefix}DN")
                names = [n.replace("_", " ") for n in names.split("|")] if names else None
                expected.append((said, v.ID, str(v.INFO.get("ALLELEID")), v.INFO.get(f"{prefix}REVSTAT"), names, v.INFO.get("GENEINFO")))
    keys = ("significance", "variation_id", "allele_id", "review_status", "conditions", "gene_info")
    assert [tuple(row[k] for k in keys) for row in table] == expected
    assert all(len(r["conditions"]) == len(r["condition_ids"]) for r in table if r["conditions"] and r["condition_ids"])
    assert len(expected) > 15
