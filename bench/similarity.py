"""What it costs to find the variants most like another one, and how many of the true ones are found.

    python -m bench.similarity [--vectors N] [--dimension D] [--queries N] [--json]

Simulated: vectors of a model of sequence. They lie near 64 of the dimensions, the later ones of which matter less, in clusters, some large and most small, with
noise in all dimensions; one in twenty is another one with a little noise (DRAWN says how much). They belong to the variants of a synthetic
store (bench/synthetic.py) and are written and indexed as `vkg embed` does it.

Searches: what the API does for `Variant.similar` (graph.similar.search), in a pool as the API opens it, statement after statement. True are the nearest
by numpy over the vectors as stored. The limit is one plain statement that compares a vector with all others: no filter, no visibility. Both take turns;
times are medians.

Exit code 1 where recall is below 0.98 (with a filter 0.95) or rows are missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import psycopg
import uvloop

from bench.query import in_turns
from bench.server import own_server
from bench.synthetic import fill
from graph.context import Context, View
from graph.similar import Wanted, search
from store import embedding
from store.assembly import GRCH37
from store.database import Pools, open_pools
from store.embedding import Model, Rows, Vectors
from store.embedding_index import build_index, index_memory, tidy
from store.read import EVERYTHING, Filter, where

VECTORS, DIMENSION, QUERIES = 200_000, 768, 100
K = 10
RECALL, FILTERED_RECALL = 0.98, 0.95

RANK = 64
DRAWN = {"spread": 0.5, "noise": 0.1, "copies": 0.05, "copied_noise": 0.01}
"""Within a cluster vectors spread half as far as clusters do; noise, in squared lengths; copies, as a share of all."""

_BLOCK = 20_000


def draw(count: int, dimension: int) -> np.ndarray:
    """Vectors of length 1, float16 (count, dimension)."""
    random = np.random.default_rng(1)
    rank = min(RANK, dimension)
    basis = np.linalg.qr(random.standard_normal((dimension, rank)))[0].T.astype(np.float32)
    weight = (1 / np.sqrt(1 + np.arange(rank))).astype(np.float32)
    weight /= np.linalg.norm(weight)
    clusters = max(16, count // 400)
    centres = random.standard_normal((clusters, rank), np.float32) * weight
    sizes = 1 / (1 + np.arange(clusters)) ** 0.7
    cluster = random.choice(clusters, count, p=sizes / sizes.sum())
    found = np.empty((count, dimension), np.float16)
    for start in range(0, count, _BLOCK):
        part = cluster[start : start + _BLOCK]
        low = centres[part] + DRAWN["spread"] * weight * random.standard_normal((len(part), rank), np.float32)
        found[start : start + _BLOCK] = _unit(low @ basis + _noise(random, len(part), dimension, DRAWN["noise"]))
    pairs = random.permutation(count)[: 2 * int(count * DRAWN["copies"])].reshape(2, -1)
    found[pairs[1]] = _unit(found[pairs[0]] + _noise(random, pairs.shape[1], dimension, DRAWN["copied_noise"]))
    return found


def _noise(random: np.random.Generator, count: int, dimension: int, power: float) -> np.ndarray:
    return np.sqrt(np.float32(power / dimension)) * random.standard_normal((count, dimension), np.float32)


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1)[:, None]


@dataclass
class Built:
    """What it took to write vectors and to index them: seconds, and bytes of the table (with its primary key) and of the index."""

    vectors: int
    dimension: int
    write_seconds: float
    build_seconds: float
    table_bytes: int
    index_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.vectors:,} vectors of {self.dimension}: written in {self.write_seconds:.0f} s ({self.vectors / self.write_seconds:,.0f}/s), "
            f"{self.table_bytes / 1e6:,.0f} MB; indexed in {self.build_seconds:.0f} s ({self.vectors / self.build_seconds:,.0f}/s), {self.index_bytes / 1e6:,.0f} MB"
        )


def build(url: str, directions: np.ndarray) -> tuple[Model, np.ndarray, Built]:
    """Gives the variants of a store these vectors in genome order, task by task, and indexes them. Returns the keys too."""
    count, dimension = directions.shape
    with psycopg.connect(url, autocommit=True) as conn:
        keys = np.array([row[0] for row in conn.execute("SELECT variant_key FROM variant ORDER BY 1")], np.int64)
        model = embedding.register(conn, Model("drawn", "1", None, dimension, None, None, None, None, ["sequence"]))

        def made(rows: Rows) -> Vectors:
            here = np.array([row[0] for row in rows], np.int64)
            return Vectors(
                here, directions[np.searchsorted(keys, here)], np.ones(len(here), np.float32), np.full(len(here), np.nan, np.float32), {}
            )

        started = time.perf_counter()
        embedding.plan(conn, model)
        while embedding.work(conn, model, made) is not None:
            pass
        tidy(conn, model)
        written = time.perf_counter()
        build_index(conn, model, index_memory(count, dimension))
        indexed = time.perf_counter()
        tidy(conn, model)
        sizes = conn.execute(
            "SELECT pg_table_size(%(t)s::regclass) + pg_relation_size((%(t)s || '_pkey')::regclass), pg_relation_size((%(t)s || '_direction')::regclass)",
            {"t": model.table},
        ).fetchone()
    assert sizes is not None
    return model, keys, Built(count, dimension, written - started, indexed - written, *sizes)


# ---- what is nearest


def similarities(directions: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The cosine similarity of vectors at these places to all, float32 (places, count), -1 to themselves."""
    asked = _unit(directions[places].astype(np.float32))
    found = np.concatenate(
        [asked @ _unit(directions[start : start + _BLOCK].astype(np.float32)).T for start in range(0, len(directions), _BLOCK)], axis=1
    )
    found[np.arange(len(places)), places] = -1
    return found


def recall(similar: np.ndarray, allowed: np.ndarray, found: np.ndarray, k: int) -> tuple[float, int]:
    """Which share of the k most similar that are allowed is among the first k found (what is as similar as these, is one of these), and how many rows
    are missing or should not be there."""
    best = np.sort(np.partition(similar[allowed], -k)[-k:]) if allowed.sum() > k else np.sort(similar[allowed])
    found = found[:k]
    wrong = len(best) - len(set(found.tolist())) + int((~allowed[found]).sum())
    return (float((similar[found] >= best[0] - 1e-6).sum()) / len(best) if len(best) else 1.0), wrong


@dataclass(frozen=True)
class Search:
    """One question: its name, what is wanted, and which of the variants pass, read from the tables."""

    name: str
    wanted: Wanted
    passing: str = "SELECT variant_key FROM variant"
    values: dict[str, Any] = field(default_factory=dict)
    at_once: int = 1

    @property
    def filtered(self) -> bool:
        return self.wanted.condition != EVERYTHING or self.wanted.by != "variant"


_BEST = 40.0
"""Scores of the synthetic store lie evenly between 0 and this; half of the variants have one."""


def _scored(share: float, *, count: int = K, at_once: int = 1, also: str = "") -> Search:
    least = _BEST * (1 - 2 * share)
    return Search(
        f"score, {share:.2%} pass{also}",
        Wanted(count + 1, where(score={"name": "CADD_PHRED", "min": least, "max": None})),
        "SELECT variant_key FROM variant_score WHERE value >= %(least)s",
        {"least": least},
        at_once,
    )


def searches(keys: np.ndarray) -> list[Search]:
    """All that is measured."""
    common: Filter = where(frequency={"population": "ALL", "dataset": None, "min": 0.001, "max": None})
    pathogenic: Filter = where(pathogenic=["PATHOGENIC", "LIKELY_PATHOGENIC"])
    middle = len(keys) // 2
    span = (int(keys[middle]), int(keys[middle + 1_000]))
    return [
        Search("the nearest", Wanted(K + 1)),
        Search("the 100 nearest", Wanted(101)),
        Search("the nearest, of 20 variants at once", Wanted(K + 1), at_once=20),
        Search(
            "frequency >= 0.001",
            Wanted(K + 1, common),
            "SELECT variant_key FROM population_frequency WHERE af[1] BETWEEN 0.001 AND 1",
        ),
        _scored(0.1),
        _scored(0.01),
        _scored(0.001),
        _scored(0.0001),
        _scored(0.01, at_once=20, also=", of 20 variants at once"),
        Search(
            "pathogenic",
            Wanted(K + 1, pathogenic),
            "SELECT variant_key FROM clinical_significance WHERE classes && '{PATHOGENIC,LIKELY_PATHOGENIC}'",
        ),
        Search(
            "region of 1,000 variants",
            Wanted(K + 1, by="span", span=span),
            "SELECT variant_key FROM variant WHERE variant_key >= %(lo)s AND variant_key < %(hi)s",
            {"lo": span[0], "hi": span[1]},
        ),
    ]


@dataclass
class Figure:
    """What a search costs, median milliseconds of it and of the limit; how many statements; which share is found; rows missing; how many pass."""

    name: str
    milliseconds: float
    limit: float
    statements: float
    recall: float
    missing: int
    passing: int

    @property
    def ratio(self) -> float:
        return self.milliseconds / self.limit

    def __str__(self) -> str:
        return (
            f"{self.name:<42} {self.milliseconds:8.2f} {self.limit:8.1f} {self.ratio:8.3f}x {self.recall:8.4f} {self.missing:8} "
            f"{self.statements:5.1f} {self.passing:10,}"
        )


TITLE = f"{'':<42} {'ms':>8} {'limit':>8} {'ratio':>9} {'recall':>8} {'missing':>8} {'SQL':>5} {'pass':>10}"


async def measure(
    pools: Pools, view: View, model: Model, keys: np.ndarray, directions: np.ndarray, places: np.ndarray, url: str
) -> list[Figure]:
    """The figures of all searches for the variants at these places, printed as they come to stderr."""
    similar = similarities(directions, places)
    plain = f"""SELECT e.variant_key FROM {model.table} k, {model.table} e WHERE k.variant_key = $1 AND e.variant_key <> $1
        ORDER BY (e.direction <=> k.direction) + 0 LIMIT {K}"""
    figures = []
    for each in searches(keys):
        with psycopg.connect(url) as conn:
            passing = np.array([row[0] for row in conn.execute(each.passing, each.values)], np.int64)
        allowed = np.isin(keys, passing)
        groups = [range(start, start + each.at_once) for start in range(0, len(places) - each.at_once + 1, each.at_once)]

        async def ask(group: range, wanted: Wanted = each.wanted) -> tuple[dict[int, list[dict[str, Any]]], int]:
            ctx = Context(pools, view, GRCH37)
            return await search(ctx, view, model.model_id, [int(keys[places[n]]) for n in group], wanted), ctx.statements

        shares, missing, statements = [], 0, []
        for group in groups:
            found, count = await ask(group)
            statements.append(count)
            for n in group:
                rows = np.searchsorted(keys, [row["variant_key"] for row in found.get(int(keys[places[n]]), [])])
                mine = allowed.copy()
                mine[places[n]] = False
                share, wrong = recall(similar[n], mine, rows, each.wanted.count - 1)
                shares.append(share)
                missing += wrong
        spots = [(_ask(ask, group), _fetch(pools, plain, int(keys[places[group[0]]]))) for group in groups[:20]]
        milliseconds, limit = await in_turns(spots)
        figures.append(
            Figure(each.name, milliseconds, limit, float(np.mean(statements)), float(np.mean(shares)), missing, int(allowed.sum()))
        )
        print(figures[-1], file=sys.stderr, flush=True)
    return figures


def _ask(ask: Callable[[range], Awaitable[Any]], group: range) -> Callable[[], Awaitable[Any]]:
    return lambda: ask(group)


def _fetch(pools: Pools, sql: str, key: int) -> Callable[[], Awaitable[Any]]:
    return lambda: pools.fetch(sql, key)


async def run(url: str, vectors: int, dimension: int, queries: int) -> tuple[Built, list[Figure]]:
    """Builds and measures."""
    directions = draw(vectors, dimension)
    model, keys, built = build(url, directions)
    print(f"{built}\n\n{TITLE}", file=sys.stderr, flush=True)
    pools = await open_pools(url, size=2, timeout_ms=120_000)
    try:
        (row,) = await pools.fetch("SELECT release_id, loads FROM release ORDER BY release_id DESC LIMIT 1")
        places = np.random.default_rng(2).choice(vectors, queries, replace=False)
        return built, await measure(pools, View(row["release_id"], None, tuple(row["loads"])), model, keys, directions, places, url)
    finally:
        await pools.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="What it costs to find similar variants, and how many of the true ones are found.")
    parser.add_argument("--vectors", type=int, default=VECTORS, help=f"how many variants with a vector (default {VECTORS:,})")
    parser.add_argument("--dimension", type=int, default=DIMENSION, help=f"numbers in a vector (default {DIMENSION})")
    parser.add_argument("--queries", type=int, default=QUERIES, help=f"variants that are asked about (default {QUERIES})")
    parser.add_argument(
        "--url", help="a store made by bench.synthetic before, of as many variants, instead of a server of the benchmark's own"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with ExitStack() as stack:
        url = options.url
        if url is None:
            url = stack.enter_context(own_server())
            fill(url, options.vectors)
        built, figures = uvloop.run(run(url, options.vectors, options.dimension, options.queries))
    if options.json:
        print(json.dumps({"built": asdict(built), "figures": [asdict(each) | {"ratio": each.ratio} for each in figures]}, indent=2))
    goals = dict(
        zip([each.name for each in figures], [FILTERED_RECALL if "nearest" not in each.name else RECALL for each in figures], strict=True)
    )
    if any(each.recall < goals[each.name] or each.missing for each in figures):
        sys.exit("recall is below its goal, or rows are missing")


if __name__ == "__main__":
    main()
