"""ClinVar's classifications: germline (CLNSIG), oncogenicity (ONC) and somatic clinical impact (SCI), with their companions.

In: the records of a ClinVar VCF (2017 and later), or of one annotated with its keys. Out: rows of clinical_significance, one for each
aspect that the record classifies. The keys ending in INCL speak of haplotypes and genotypes that include the variant, not of the variant,
and give no rows; all keys stay in the record's INFO. Before 2017 the classes were numbers, one for each allele of ClinVar's record: they
are read where they can mean one allele only. Source: the descriptions in the headers of those files.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self
from urllib.parse import unquote

import pyarrow as pa

from loaders.extract import Rows
from store.clinical import Aspect, Clinical, classes, stars

if TYPE_CHECKING:
    from loaders.header import VcfHeader
    from loaders.normalize import Record

SCHEMA = pa.schema(
    [
        ("ordinal", pa.int16()),
        ("aspect", pa.string()),
        ("classes", pa.list_(pa.string())),
        ("significance", pa.string()),
        ("variation_id", pa.string()),
        ("allele_id", pa.string()),
        ("review_status", pa.string()),
        ("stars", pa.int16()),
        ("conditions", pa.list_(pa.string())),
        ("condition_ids", pa.list_(pa.string())),
        ("conflicting", pa.string()),
        ("gene_info", pa.string()),
        ("origin", pa.string()),
        ("hgvs", pa.string()),
    ]
)


class Keys(NamedTuple):
    """The INFO keys of one aspect."""

    aspect: Aspect
    significance: str
    review_status: str
    conditions: str
    condition_ids: str
    conflicting: str


KNOWN_OTHER = re.compile(r"other|not_found|\b(255|7)\b", re.IGNORECASE)
ASPECTS = (
    Keys(Aspect.GERMLINE, "CLNSIG", "CLNREVSTAT", "CLNDN", "CLNDISDB", "CLNSIGCONF"),
    Keys(Aspect.ONCOGENICITY, "ONC", "ONCREVSTAT", "ONCDN", "ONCDISDB", "ONCCONF"),
    Keys(Aspect.SOMATIC_IMPACT, "SCI", "SCIREVSTAT", "SCIDN", "SCIDISDB", "SCICONF"),
)


class ClinVar:
    """Extractor of clinical_significance."""

    SCHEMAS: ClassVar = {"clinical_significance": SCHEMA}

    def __init__(self, aspects: list[Keys], per_alt: frozenset[str]) -> None:
        self.warnings: Counter[str] = Counter()
        self._aspects = aspects
        self._per_alt = per_alt
        self._rows = Rows(SCHEMA)

    @classmethod
    def for_header(cls, header: VcfHeader) -> Self | None:
        """The extractor for the aspects declared; None for other files, and for ClinVar's own of before 2017 (CLNALLE)."""
        infos = header.infos
        aspects = [keys for keys in ASPECTS if keys.significance in infos and keys.review_status in infos]
        if not aspects or "CLNALLE" in infos:
            return None
        return cls(aspects, frozenset(key for key, field in infos.items() if field.number == "A"))

    def add(self, row: int, record: Record, allele: int, variant: tuple[int, int, str, str]) -> None:
        """Adds a row for each aspect. ClinVar writes one ALT a record; with several, only values of Number=A can be told apart."""
        info = record.info
        for ordinal, keys in enumerate(self._aspects):
            significance = info.get(keys.significance)
            if not significance or significance == ".":
                continue
            if len(record.alts) > 1 and keys.significance not in self._per_alt:
                self.warnings[f"{keys.significance} on a record of several ALTs"] += 1
                continue

            def value(key: str) -> str | None:
                text = info.get(key)
                if text and len(record.alts) > 1 and key in self._per_alt:
                    parts = text.split(",")
                    text = parts[allele - 1] if len(parts) == len(record.alts) else None
                return text if text and text != "." else None

            significance = value(keys.significance)
            if significance is None:
                continue
            if significance[0].isdigit() and len(set(significance.split(","))) > 1:
                self.warnings[f"{keys.significance} codes of several alleles"] += 1
                continue
            found = classes(significance)
            if Clinical.OTHER in found and not KNOWN_OTHER.search(significance):
                self.warnings[f"{keys.significance} of an unknown spelling, kept as OTHER"] += 1
            status = value(keys.review_status)
            self._rows.append(
                row,
                ordinal,
                keys.aspect,
                found,
                significance,
                record.id if record.id and record.id.isdigit() else None,
                value("ALLELEID"),
                status,
                stars(status) if status else None,
                _names(value(keys.conditions)),
                _identifiers(value(keys.condition_ids)),
                value(keys.conflicting),
                value("GENEINFO"),
                value("ORIGIN"),
                value("CLNHGVS"),
            )

    def take(self) -> dict[str, pa.RecordBatch]:
        """The rows since the last call."""
        return {"clinical_significance": self._rows.take()}


def _names(text: str | None) -> list[str] | None:
    """Names of conditions; VCF has underscores where the names have spaces."""
    return [unquote(name).replace("_", " ") for name in text.split("|")] if text else None


def _identifiers(text: str | None) -> list[str | None] | None:
    """The identifiers of each condition as written (`MedGen:C0950123,MeSH:D030342`), in the order of the names; None where it has none."""
    return [None if ids == "." else ids for ids in text.split("|")] if text else None
