"""Consequences by transcript, as VEP (CSQ) and SnpEff (ANN, and EFF before 2014) write them into INFO.

In: the records of a VCF. Out: rows of transcript_consequence, one for each entry of a record's ALT, whatever its transcript.

CSQ names its alleles as VEP trims them, which is rarely the ALT (alleles.py); entries that name no ALT of their record are counted in
`warnings`. Sources: the VEP documentation and Bio::EnsEMBL::VEP::Parser::VCF, "Variant annotations in VCF format" 1.0 (ANN), SnpEff's
manual (EFF).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self
from urllib.parse import unquote

import orjson
import pyarrow as pa

from loaders.alleles import SNPEFF, VEP, assign
from loaders.extract import Rows
from store.accession import split_version
from store.consequence import Impact, worst

if TYPE_CHECKING:
    from loaders.header import InfoField, VcfHeader
    from loaders.normalize import Record

MOST_ENTRIES = 10_000
"""Entries of one INFO key of a record: their ordinals are 16-bit numbers. The longest gene has some hundred transcripts."""

_ORDINAL = re.compile("[0-9]{1,9}")

SCHEMA = pa.schema(
    [
        ("ordinal", pa.int16()),
        ("annotator", pa.string()),
        ("severity", pa.int16()),
        ("impact", pa.int16()),
        ("terms", pa.list_(pa.string())),
        ("gene_id", pa.string()),
        ("symbol", pa.string()),
        ("transcript_id", pa.string()),
        ("transcript_stable_id", pa.string()),
        ("biotype", pa.string()),
        ("canonical", pa.bool_()),
        ("mane", pa.string()),
        ("hgvsc", pa.string()),
        ("hgvsp", pa.string()),
        ("exon", pa.string()),
        ("intron", pa.string()),
        ("cdna_position", pa.string()),
        ("cds_position", pa.string()),
        ("protein_position", pa.string()),
        ("amino_acids", pa.string()),
        ("codons", pa.string()),
        ("extra", pa.string()),
    ]
)


class Entry(NamedTuple):
    """One entry of CSQ, ANN or EFF: the allele it names, that allele's number where written, and SCHEMA's values after ordinal."""

    allele: str
    number: int | None
    values: tuple


class Consequences:
    """Extractor of transcript_consequence."""

    SCHEMAS: ClassVar = {"transcript_consequence": SCHEMA}

    def __init__(self, formats: dict[str, Format]) -> None:
        self.formats = formats
        self.warnings: Counter[str] = Counter()
        self._rows = Rows(SCHEMA)
        self._record: Record | None = None
        self._entries: list[list[tuple]] = []

    @classmethod
    def for_header(cls, header: VcfHeader) -> Self | None:
        """The extractor for the keys that the header declares, VEP's under any name (gnomAD calls it `vep`)."""
        formats = {key: made for key, field in header.infos.items() if (made := _format(key, field))}
        return cls(formats) if formats else None

    def add(self, row: int, record: Record, allele: int, variant: tuple[int, int, str, str]) -> None:
        """Adds the entries of one ALT; `ordinal` counts all entries of the record, so that it is their order in the file."""
        if record is not self._record:
            self._record, self._entries = record, self._parse(record)
        for values in self._entries[allele - 1]:
            self._rows.append(row, *values)

    def take(self) -> dict[str, pa.RecordBatch]:
        """The rows since the last call."""
        return {"transcript_consequence": self._rows.take()}

    def _parse(self, record: Record) -> list[list[tuple]]:
        """The rows of each ALT of a record."""
        found: list[list[tuple]] = [[] for _ in record.alts]
        ordinal = 0
        for key, form in self.formats.items():
            text = record.info.get(key)
            if not text or text == ".":
                continue
            parts = text.split(",", MOST_ENTRIES)
            if len(parts) > MOST_ENTRIES:
                self.warnings[f"{key} of more than {MOST_ENTRIES:,} entries, the others left out"] += 1
                del parts[MOST_ENTRIES:]
            entries = [e for part in parts if (e := form.entry(part, self.warnings)) is not None]
            alleles = assign([(e.allele, e.number) for e in entries], record.ref, record.alts, form.naming)
            for entry, number in zip(entries, alleles, strict=True):
                if number is None:
                    self.warnings[f"{key} entry names no ALT of its record, or more than one"] += 1
                else:
                    found[number - 1].append((ordinal, *entry.values))
                ordinal += 1
        return found


class Format(ABC):
    """How the entries of one INFO key are read: its field names in the file's order, and the annotator's way of naming alleles.

    Entries that are too short are read as far as they go, their other fields being empty; a longer one is read up to the last declared
    field and counted (gnomAD r4.0 writes two fields more than its header names).
    """

    annotator: ClassVar[str]
    naming: ClassVar[tuple[Callable[[str, list[str]], list[str]], ...]]

    def __init__(self, key: str, names: list[str]) -> None:
        self.key = key
        self.names = names
        self.place = {name.lower(): place for place, name in enumerate(names)}

    @abstractmethod
    def entry(self, text: str, warnings: Counter[str]) -> Entry | None:
        """Reads one entry; None, and counted, where it names no consequence."""

    def split(self, text: str, warnings: Counter[str]) -> list[str]:
        """The fields, and one empty string more, which -1, the place of every absent field, points to."""
        fields = text.split("|")
        if (missing := len(self.names) - len(fields)) < 0:
            warnings[f"{self.key} entry has more fields than its header"] += 1
            del fields[missing:]
        return fields + [""] * (missing + 1 if missing > 0 else 1)

    def at(self, name: str) -> int:
        """The place of a field, -1 where the header has none of that name."""
        return self.place.get(name.lower(), -1)

    def rest(self, *used: str) -> list[tuple[str, int]]:
        """The fields that are not among those used: they go to `extra`."""
        taken = {name.lower() for name in used}
        return [(name, place) for place, name in enumerate(self.names) if name.lower() not in taken]


class Vep(Format):
    """CSQ: the fields are named by the header's `Format:`."""

    annotator = "VEP"
    naming = VEP
    _DIRECT = ("EXON", "INTRON", "cDNA_position", "CDS_position", "Protein_position", "Amino_acids", "Codons")

    def __init__(self, key: str, names: list[str]) -> None:
        super().__init__(key, names)
        at = self.at
        self._allele, self._number, self._terms, self._impact = at("Allele"), at("ALLELE_NUM"), at("Consequence"), at("IMPACT")
        self._gene, self._symbol, self._feature, self._biotype = at("Gene"), at("SYMBOL"), at("Feature"), at("BIOTYPE")
        self._canonical, self._hgvsc, self._hgvsp = at("CANONICAL"), at("HGVSc"), at("HGVSp")
        self._mane = (at("MANE_SELECT"), at("MANE_PLUS_CLINICAL"), at("MANE"))
        self._direct = [at(name) for name in self._DIRECT]
        self._rest = self.rest(
            "Allele", "ALLELE_NUM", "Consequence", "IMPACT", "Gene", "SYMBOL", "Feature", "BIOTYPE", "CANONICAL", "HGVSc", "HGVSp",
            *self._DIRECT,
        )  # fmt: skip

    def entry(self, text: str, warnings: Counter[str]) -> Entry | None:
        f = self.split(text, warnings)
        if not f[self._terms]:
            warnings[f"{self.key} entry without a consequence"] += 1
            return None
        terms, severity, impact = _consequence(f[self._terms], "&")
        number = f[self._number]
        values = (
            self.annotator,
            severity,
            Impact.__members__.get(f[self._impact], impact),
            terms,
            split_version(f[self._gene])[0] or None,
            f[self._symbol] or None,
            f[self._feature] or None,
            split_version(f[self._feature])[0] or None,
            f[self._biotype] or None,
            f[self._canonical] == "YES",
            _mane(*(f[place] for place in self._mane)),
            _unescape(f[self._hgvsc]),
            _unescape(f[self._hgvsp]),
            *[f[place] or None for place in self._direct],
            # A feature is a transcript unless `extra` says what else it is.
            _extra([(n, f[p]) for n, p in self._rest if f[p] and not (n == "Feature_type" and f[p] == "Transcript")]),
        )
        return Entry(f[self._allele], int(number) if _ORDINAL.fullmatch(number) else None, values)


class Ann(Format):
    """ANN: sixteen fields in fixed order, whatever the header calls them."""

    annotator = "SnpEff"
    naming = SNPEFF
    NAMES = (
        "Allele", "Annotation", "Annotation_Impact", "Gene_Name", "Gene_ID", "Feature_Type", "Feature_ID", "Transcript_BioType", "Rank",
        "HGVS.c", "HGVS.p", "cDNA", "CDS", "AA", "Distance", "Messages",
    )  # fmt: skip

    def entry(self, text: str, warnings: Counter[str]) -> Entry | None:
        (allele, effect, impact_name, symbol, gene, kind, feature, biotype, rank, hgvsc, hgvsp, cdna, cds, aa, distance, messages, _
         ) = self.split(text, warnings)  # fmt: skip
        if not effect:
            warnings[f"{self.key} entry without a consequence"] += 1
            return None
        terms, severity, impact = _consequence(effect, "&")
        is_transcript = kind == "transcript"
        intronic = "intron_variant" in terms
        values = (
            self.annotator,
            severity,
            Impact.__members__.get(impact_name, impact),
            terms,
            split_version(gene)[0] or None,
            symbol or None,
            feature or None,
            split_version(feature)[0] or None,
            biotype or None,
            False,
            None,
            # SnpEff leaves the transcript out of HGVS.c; with it, one name finds a change whoever annotated it.
            (f"{feature}:{hgvsc}" if is_transcript and feature else hgvsc) or None,
            hgvsp or None,
            None if intronic else rank or None,
            rank or None if intronic else None,
            cdna or None,
            cds or None,
            aa or None,
            None,
            None,
            _extra(
                [(n, v) for n, v in (("Feature_Type", "" if is_transcript else kind), ("Distance", distance), ("Messages", messages)) if v]
            ),
        )
        # In cancer samples the allele is `ALT-other`, the genotype it is compared with.
        return Entry(allele.partition("-")[0] or allele, None, values)


class Eff(Format):
    """EFF: `EFFECT(Effect_Impact|Functional_Class|Codon_Change|...)`, with SnpEff's own names or SO terms joined by `+`."""

    annotator = "SnpEff"
    naming = SNPEFF

    def __init__(self, key: str, names: list[str]) -> None:
        super().__init__(key, names)
        self._rest = self.rest(
            "Effect_Impact", "Codon_Change", "Amino_Acid_Change", "Gene_Name", "Transcript_BioType", "Gene_BioType", "Transcript_ID",
            "Transcript", "Exon_Rank", "Exon", "Genotype_Number", "Genotype",
        )  # fmt: skip

    def entry(self, text: str, warnings: Counter[str]) -> Entry | None:
        effect, bracket, inside = text.partition("(")
        if not effect or not bracket:
            warnings[f"{self.key} entry without a consequence"] += 1
            return None
        f = self.split(inside.rstrip(")"), warnings)

        def first(*names: str) -> str | None:
            return next((v for name in names if (v := f[self.at(name)])), None)

        terms, severity, impact = _consequence(effect, "+")
        genotype = first("Genotype_Number", "Genotype") or ""
        change = first("Amino_Acid_Change") or ""
        protein, _, coding = change.partition("/") if change.startswith("p.") else ("", "", change if change[1:2] == "." else "")
        transcript, rank = first("Transcript_ID", "Transcript"), first("Exon_Rank", "Exon")
        intronic = "intron_variant" in terms
        values = (
            self.annotator,
            severity,
            Impact.__members__.get(first("Effect_Impact") or "", impact),
            terms,
            None,
            first("Gene_Name"),
            transcript,
            split_version(transcript)[0] if transcript else None,
            first("Transcript_BioType", "Gene_BioType"),
            False,
            None,
            (f"{transcript}:{coding}" if transcript else coding) if coding else None,
            protein or None,
            None if intronic else rank,
            rank if intronic else None,
            None,
            None,
            None,
            change if change and not (protein or coding) else None,
            first("Codon_Change"),
            _extra([(n, f[p]) for n, p in self._rest if f[p]]),
        )
        return Entry(genotype, int(genotype) if _ORDINAL.fullmatch(genotype) else None, values)


def _format(key: str, field: InfoField) -> Format | None:
    text = field.description
    if key == "EFF":
        inside = re.search(r"\((.*)\)", text)
        return Eff(key, [name.strip(" ['\"]") for name in inside[1].split("|")]) if inside else None
    if key == "ANN" and "Format: Allele" not in text:
        return Ann(key, list(Ann.NAMES))
    names = re.search(r"Format:\s*'?([^'\"]+)", text)
    if names and {"Allele", "Consequence"} <= set(found := [name.strip() for name in names[1].split("|")]):
        return Vep(key, found)
    return None


@cache
def _consequence(text: str, joint: str) -> tuple[list[str], int, Impact]:
    terms = [t for effect in text.split(joint) if effect for t in EFFECTS.get(effect, effect).split("&")]
    return terms, *worst(terms)


def _mane(select: str, plus_clinical: str, either: str) -> str | None:
    # Before VEP 104 the field MANE held the RefSeq identifier of the MANE Select transcript.
    if plus_clinical or "plus" in either.lower():
        return "PLUS_CLINICAL"
    return "SELECT" if select or either else None


def _unescape(text: str) -> str | None:
    # VEP writes the `=` of a synonymous p.Gly12= as %3D, since INFO uses that sign itself.
    return (unquote(text) if "%" in text else text) or None


def _extra(fields: list[tuple[str, str]]) -> str | None:
    """Other fields as a JSON object, every value a string as written."""
    return orjson.dumps(dict(fields)).decode() if fields else None


# fmt: off
EFFECTS = {
    "CDS": "coding_sequence_variant", "CODON_CHANGE": "coding_sequence_variant", "CODON_INSERTION": "conservative_inframe_insertion",
    "CODON_CHANGE_PLUS_CODON_INSERTION": "disruptive_inframe_insertion", "CODON_DELETION": "conservative_inframe_deletion",
    "CODON_CHANGE_PLUS_CODON_DELETION": "disruptive_inframe_deletion", "DOWNSTREAM": "downstream_gene_variant",
    "EXON": "non_coding_exon_variant", "EXON_DELETED": "exon_loss_variant", "FRAME_SHIFT": "frameshift_variant", "GENE": "gene_variant",
    "INTERGENIC": "intergenic_region", "INTERGENIC_CONSERVED": "conserved_intergenic_variant", "INTRAGENIC": "intragenic_variant",
    "INTRON": "intron_variant", "INTRON_CONSERVED": "conserved_intron_variant", "MICRO_RNA": "miRNA", "MOTIF": "TF_binding_site_variant",
    "NEXT_PROT": "sequence_feature", "NON_SYNONYMOUS_CODING": "missense_variant", "NON_SYNONYMOUS_START": "initiator_codon_variant",
    "NON_SYNONYMOUS_STOP": "stop_retained_variant", "RARE_AMINO_ACID": "rare_amino_acid_variant", "REGULATION": "regulatory_region_variant",
    "SPLICE_SITE_ACCEPTOR": "splice_acceptor_variant", "SPLICE_SITE_DONOR": "splice_donor_variant",
    "SPLICE_SITE_REGION": "splice_region_variant", "SPLICE_SITE_BRANCH": "splice_branch_variant",
    "SPLICE_SITE_BRANCH_U12": "splice_branch_variant", "START_LOST": "start_lost",
    "START_GAINED": "5_prime_UTR_premature_start_codon_gain_variant", "STOP_GAINED": "stop_gained", "STOP_LOST": "stop_lost",
    "SYNONYMOUS_CODING": "synonymous_variant", "SYNONYMOUS_START": "initiator_codon_variant&non_canonical_start_codon",
    "SYNONYMOUS_STOP": "stop_retained_variant", "TRANSCRIPT": "non_coding_transcript_variant", "UPSTREAM": "upstream_gene_variant",
    "UTR_3_PRIME": "3_prime_UTR_variant", "UTR_3_DELETED": "3_prime_UTR_truncation&exon_loss_variant", "UTR_5_PRIME": "5_prime_UTR_variant",
    "UTR_5_DELETED": "5_prime_UTR_truncation&exon_loss_variant", "CUSTOM": "custom", "CHROMOSOME": "chromosome",
    "CHROMOSOME_LARGE_DELETION": "chromosome_number_variation",
}
# fmt: on
"""SO terms of the effect names that SnpEff wrote before 4.1 (its EffectType)."""
