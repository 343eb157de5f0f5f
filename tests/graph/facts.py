"""What is known of each variant, and what a filter means: the API's filters once more, evaluated one variant at a time in
plain Python over rows read from the files or the tables.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg


@dataclass
class Facts:
    """A variant with what the visible loads say of it. INFO values have the file's own text; lists are lists of it."""

    name: str
    ref: str
    alt: str
    records: list[dict[str, Any]] = field(default_factory=list)
    rsids: set[str] = field(default_factory=set)
    consequences: list[tuple[str, list[str]]] = field(default_factory=list)
    classes: list[set[str]] = field(default_factory=list)
    scores: list[tuple[str, float]] = field(default_factory=list)
    frequencies: list[tuple[str, str, float | None]] = field(default_factory=list)

    @property
    def type(self) -> str:
        if len(self.ref) == len(self.alt):
            return "SNV" if len(self.ref) == 1 else "MNV"
        if len(self.ref) == 1 and self.alt[0] == self.ref:
            return "INSERTION"
        return "DELETION" if len(self.alt) == 1 and self.ref[0] == self.alt else "INDEL"


def read_facts(url: str) -> list[Facts]:
    """The facts of all variants of a store whose loads are all visible, in genome order."""
    chroms = ["", *map(str, range(1, 23)), "X", "Y", "MT"]
    with psycopg.connect(url) as conn:
        rows = conn.execute("SELECT variant_key, chrom, pos, ref, alt FROM variant ORDER BY 1").fetchall()
        facts = {key: Facts(f"{chroms[chrom]}-{pos}-{ref}-{alt}", ref, alt) for key, chrom, pos, ref, alt in rows}
        datasets = dict(conn.execute("SELECT load_id, name FROM load JOIN dataset USING (dataset_id)").fetchall())
        for key, load, qual, filters, info in conn.execute("SELECT variant_key, load_id, qual, filter, info::text FROM variant_record"):
            digits = json.loads(info or "{}", parse_float=str, parse_int=str)
            facts[key].records.append({"dataset": datasets[load], "qual": qual, "filter": filters or [], "info": digits})
        for key, number in conn.execute("SELECT variant_key, rsid FROM rsid"):
            facts[key].rsids.add(f"rs{number}")
        for key, impact, terms in conn.execute("SELECT variant_key, impact, terms FROM transcript_consequence"):
            facts[key].consequences.append((("HIGH", "MODERATE", "LOW", "MODIFIER")[impact - 1], terms))
        for key, classes in conn.execute("SELECT variant_key, classes FROM clinical_significance"):
            facts[key].classes.append(set(classes))
        for key, name, value in conn.execute("SELECT variant_key, name, value FROM variant_score JOIN score USING (load_id, score_id)"):
            if key in facts:  # a score may await its variant
                facts[key].scores.append((name, value))
        names = conn.execute("SELECT load_id, ordinal, population FROM frequency_population")
        populations = {(load, n): name for load, n, name in names}
        for key, load, af in conn.execute("SELECT variant_key, load_id, af FROM population_frequency"):
            facts[key].frequencies += [(datasets[load], populations[load, n], value) for n, value in enumerate(af or (), 1)]
    return list(facts.values())


def holds(f: dict[str, Any], v: Facts) -> bool:
    """True where a VariantFilter, as JSON, holds for a variant."""
    return all(_holds(name, wanted, v) for name, wanted in f.items())


def _holds(name: str, wanted: Any, v: Facts) -> bool:
    match name:
        case "and":
            return all(holds(inner, v) for inner in wanted)
        case "or":
            return any(holds(inner, v) for inner in wanted)
        case "not":
            return not holds(wanted, v)
        case "type":
            return v.type in wanted
        case "impact":
            return any(impact in wanted for impact, _ in v.consequences)
        case "consequence":
            return any(term in wanted for _, terms in v.consequences for term in terms)
        case "clinicalSignificance":
            return any(classes & set(wanted) for classes in v.classes)
        case "rsid":
            return bool(v.rsids & {rsid.lower() for rsid in wanted})
        case "dataset":
            return any(record["dataset"] in wanted for record in v.records)
        case "filter":
            return any(set(record["filter"]) & set(wanted) for record in v.records)
        case "qual":
            return any(_within(record["qual"], wanted) for record in v.records)
        case "info":
            return all(any(_info(condition, record["info"]) for record in v.records) for condition in wanted)
        case "score":
            return all(any(name == s["name"] and _within(value, s) for name, value in v.scores) for s in wanted)
        case "frequency":
            return all(any(_frequency(condition, *observed) for observed in v.frequencies) for condition in wanted)
    raise AssertionError(name)


def _within(value: float | None, bounds: dict[str, Any]) -> bool:
    low, high = bounds.get("min"), bounds.get("max")
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def _frequency(f: dict[str, Any], dataset: str, population: str, value: float | None) -> bool:
    return population == f.get("population", "ALL") and f.get("dataset") in (None, dataset) and _within(value, f)


def _info(condition: dict[str, Any], info: dict[str, Any]) -> bool:
    if condition["key"] not in info:
        return False
    value = info[condition["key"]]
    texts: Sequence[Any] = value if isinstance(value, list) else [value]
    if (equals := condition.get("equals")) is not None:
        return any(text in equals for text in ("true" if t is True else t for t in texts))
    if condition.get("min") is None and condition.get("max") is None:
        return True
    return any(_within(_number(text), condition) for text in texts)


def _number(text: Any) -> float | None:
    try:
        return float(text) if isinstance(text, str) else None
    except ValueError:
        return None
