"""Each condition on variants finds what it finds in Python: in a region, in a gene, among keys; turned round, in pages, counted."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg

from bench.synthetic import fill
from store.database import open_pool
from store.read import HIGHEST, LOWEST, Filter, compose, where
from store.region import Region
from store.variant import VARIANT

CALLSET, CLINICAL, GENES, SCORES = 1, 2, 3, 4
VIEWS = ([CALLSET, CLINICAL, GENES, SCORES], [CALLSET, GENES], [CLINICAL, GENES])
TABLES = ("variant_record", "transcript_consequence", "clinical_significance", "population_frequency", "variant_score")
VARIANTS, RSID = 4_000, 536871074

Told = dict[str, list[Any]]
"""The visible rows about one variant, by table; `variant` is its own."""


def frequency(population: str, dataset: str | None, low: float | None, high: float | None) -> Filter:
    return where(frequency={"population": population, "dataset": dataset, "min": low, "max": high})


def info(v: Told, key: str) -> Iterator[float]:
    return (json.loads(row["info_text"])[key] for row in v["variant_record"])


CONDITIONS: list[tuple[Filter, Callable[[Told], bool]]] = [
    (where(), lambda v: True),
    (where(type=["SNV"]), lambda v: len(v["variant"][0]["ref"] + v["variant"][0]["alt"]) == 2),
    (where(type=["INSERTION"]), lambda v: len(v["variant"][0]["ref"]) == 1 < len(v["variant"][0]["alt"])),
    (where(rsid=[RSID]), lambda v: any(f"rs{RSID}" in (r["ids"] or ()) for r in v["variant_record"])),
    (where(dataset=["clinical"]), lambda v: any(r["load_id"] == CLINICAL for r in v["variant_record"])),
    (where(filter=["LowQual", "q10"]), lambda v: any("LowQual" in r["filter"] for r in v["variant_record"])),
    (where(qual={"min": 900.0, "max": None}), lambda v: any(r["qual"] >= 900 for r in v["variant_record"])),
    (where(info_number={"key": "DP", "min": 1000.0, "max": 2000.0}), lambda v: any(1000 <= n <= 2000 for n in info(v, "DP"))),
    (where(info_text={"key": "AC", "equals": ["0", "1"]}), lambda v: any(n in (0, 1) for n in info(v, "AC"))),
    (where(info_key={"key": "DP"}), lambda v: True),
    (where(info_key={"key": "dp"}), lambda v: False),
    (where(consequence=["intron_variant"]), lambda v: any("intron_variant" in r["terms"] for r in v["transcript_consequence"])),
    (
        where(damaging_consequence=["missense_variant"]),
        lambda v: any("missense_variant" in r["terms"] for r in v["transcript_consequence"]),
    ),
    (where(impact=[2, 3]), lambda v: any(r["impact"] in (2, 3) for r in v["transcript_consequence"])),
    (where(damaging_impact=[2]), lambda v: any(r["impact"] == 2 for r in v["transcript_consequence"])),
    (where(clinical=["BENIGN"]), lambda v: any("BENIGN" in r["classes"] for r in v["clinical_significance"])),
    (where(pathogenic=["PATHOGENIC"]), lambda v: any("PATHOGENIC" in r["classes"] for r in v["clinical_significance"])),
    (frequency("AFR", None, 0.01, 0.1), lambda v: any(0.01 <= r["af"][2] <= 0.1 for r in v["population_frequency"])),
    (frequency("ALL", "callset", None, 0.001), lambda v: any(r["af"][0] <= 0.001 for r in v["population_frequency"])),
    (frequency("ALL", "clinical", None, None), lambda v: False),
    (where(score={"name": "CADD_PHRED", "min": 30.0, "max": None}), lambda v: any(r["value"] >= 30 for r in v["variant_score"])),
]


async def test_conditions_find_what_they_say(store_url: str) -> None:
    fill(store_url, VARIANTS)
    pool = await open_pool(store_url, size=1, timeout_ms=60_000)
    async with pool, pool.acquire() as connection:
        rows = {table: await connection.fetch(f"SELECT * FROM {table}") for table in TABLES}
        rows["variant_record"] = await connection.fetch("SELECT *, info::text AS info_text FROM variant_record")
        variants = await connection.fetch("SELECT * FROM variant ORDER BY variant_key")
        assert len(variants) == VARIANTS
        gene = await connection.fetchrow("SELECT * FROM gene WHERE chrom = 21 ORDER BY start_pos OFFSET 1")
        lo, hi = Region(21, 30_001, 120_000).keys()
        gene_lo, gene_hi = Region(21, gene["start_pos"] - 1000, gene["end_pos"] + 1000).keys()
        some = {v["variant_key"] for v in variants[::3]}
        for loads in VIEWS:
            told: dict[int, Told] = {v["variant_key"]: defaultdict(list, variant=[v]) for v in variants}
            for table, all_rows in rows.items():
                for row in all_rows:
                    if row["load_id"] in loads and row["variant_key"] in told:
                        told[row["variant_key"]][table].append(row)
            for condition, holds in CONDITIONS:
                found = [key for key, about in told.items() if about["variant_record"] and holds(about)]
                view = {"loads": loads, "withheld": [], "limited": [], "least": 0, "lo": LOWEST, "hi": HIGHEST}
                await _check(connection, "region", condition, 0, [k for k in found if lo <= k < hi], view | {"lo": lo, "hi": hi})
                await _check(connection, "keys", condition, 0, [k for k in found if k in some], view | {"variant_keys": list(some)})
                in_gene = [k for k in found if gene_lo <= k < gene_hi]
                await _check(connection, "gene", condition, gene["gene_id"], in_gene, view | {"keys": [gene["gene_id"]], "flank": 1000})


async def _check(connection: asyncpg.Connection, by: str, condition: Filter, parent: Any, keys: list[int], values: dict[str, Any]) -> None:
    """Both directions, two pages each, and the count."""

    async def rows(**shape: Any) -> list[tuple]:
        statement, of_filter = compose(VARIANT, by, order="genome", filter=condition, per_parent=VARIANT.by[by].anchor is not None, **shape)
        return [tuple(row) for row in await connection.fetch(statement.text, *statement.bind(values | of_filter | {"limit": 40}))]

    where_it_is = f"{condition} by {by}, loads {values['loads']}"
    expected = [(parent, key) for key in keys]
    assert await rows() == expected[:40], where_it_is
    assert await rows(backward=True) == expected[::-1][:40], where_it_is
    assert await rows(mode="count") == [(parent, len(keys))], where_it_is
    if len(keys) > 40:
        values = values | {"lo": max(values["lo"], keys[39] + 1)}
        assert await rows() == expected[40:80], where_it_is
