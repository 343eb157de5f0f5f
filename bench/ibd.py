"""What segments shared by descent cost: to load, to keep, and to ask for.

    python -m bench.ibd [--segments N ...] [--samples N] [--only load|queries] [--rounds N] [--json]

Simulated: files of hap-IBD, one for each autosome, of people in 26 populations; lengths from 1 cM, 2.5 on average, at 1 cM per Mb, half of them
within populations, in no order. Loads: in a process of its own, as `vkg load ibd` does it, as a share of the server's own COPY of the same rows
(bench/load_vcf.py). Queries: what the API sends, under its individual role in a transaction of its own; the same statement alone, without role and
transaction; and the statement that an expert writes with asyncpg alone for the one run that he knows. All in turn, medians over places
that have segments.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import psycopg
import pyarrow as pa
import uvloop
from isal import igzip
from pyarrow import csv

from bench import load_vcf
from bench.genotypes import POPULATIONS, SAMPLES, write_panel
from bench.query import SECONDS, Work
from bench.server import own_server
from loaders.ibd import TABLES
from loaders.ibd_job import ibd_job
from loaders.run import Outcome, ingest
from loaders.samples_job import samples_job
from store.assembly import GRCH37, LAST_AUTOSOME
from store.copy import copy_rows
from store.database import Pools, open_pool, open_pools
from store.ibd import OVER, RELATIVE, SEGMENT
from store.read import Read, compose
from store.statements import statement
from store.variant_key import encode

SEGMENTS = (1_000_000, 5_000_000)
VARIANTS = 50_000
LEAST_CM, MEAN_CM = 1.0, 2.5
BASES_PER_CM = 1_000_000

_SPOTS = 100
_PAGE = 51
_PAIRS = 1_000
_EDGE = ("id", "load_id", "chrom", "start", "end", "length_cm", "other_id", "haplotype", "other_haplotype")
_SAMPLED = 50_000
_ENDS = ("sample1_id", "haplotype1", "sample2_id", "haplotype2")
"""What grouping by descent reads of a segment."""


# ---- what is loaded


def write_segments(folder: Path, segments: int, names: Sequence[str]) -> list[Path]:
    """Files of hap-IBD, one for each autosome, segments in proportion to its length."""
    draws = np.random.default_rng(0)
    lengths = np.array(GRCH37.lengths[:LAST_AUTOSOME])
    counts = draws.multinomial(segments, lengths / lengths.sum())
    paths = []
    for chrom, (length, count) in enumerate(zip(lengths.tolist(), counts.tolist(), strict=True), 1):
        cm = np.round(LEAST_CM + draws.exponential(MEAN_CM - LEAST_CM, count), 3)
        bases = np.minimum((cm * BASES_PER_CM).astype(np.int64), length - 1)
        start = draws.integers(1, length - bases)
        one, other = _pairs(draws, count, len(names))
        people = [pa.DictionaryArray.from_arrays(pa.array(each, pa.int32()), pa.array(names)).dictionary_decode() for each in (one, other)]
        haplotypes = draws.integers(1, 3, (2, count))
        columns = [people[0], haplotypes[0], people[1], haplotypes[1], np.full(count, chrom), start, start + bases - 1, cm]
        table = pa.table([pa.array(column) for column in columns], names=[str(i) for i in range(len(columns))])
        paths.append(folder / f"chr{chrom}.ibd.gz")
        with igzip.open(paths[-1], "wb") as file:
            csv.write_csv(table, file, csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none"))
    return paths


def _pairs(draws: np.random.Generator, count: int, people: int) -> tuple[np.ndarray, np.ndarray]:
    """Two people each: half of them anybody, half of one population, which are those of one remainder (`write_panel`)."""
    one, other = draws.integers(0, people, (2, count))
    near = one % POPULATIONS + POPULATIONS * draws.integers(0, -(-people // POPULATIONS), count)
    other = np.where((draws.random(count) < 0.5) & (near < people), near, other)
    return one, np.where(other == one, (one + 1) % people, other)


def prepare(url: str, folder: Path, names: Sequence[str]) -> None:
    """People, as the command loads them, and variants here and there."""
    panel = folder / "samples.panel"
    write_panel(panel, names)
    with psycopg.connect(url, autocommit=True) as conn:
        ingest(conn, *samples_job(conn, panel, cohort="kg", dataset="panel", version="1"))
        lengths = GRCH37.lengths[:LAST_AUTOSOME]
        spacing = sum(lengths) // VARIANTS
        sites = [(code, pos) for code, length in enumerate(lengths, 1) for pos in range(spacing, length, spacing)]
        chrom, pos = (np.array(column, kind) for column, kind in zip(zip(*sites, strict=True), (np.int16, np.int32), strict=True))
        alleles = ["A"] * len(sites), ["G"] * len(sites)
        columns = [encode(chrom, pos, *alleles), chrom, pos, *alleles]
        rows = pa.record_batch([pa.array(column) for column in columns], names=["variant_key", "chrom", "pos", "ref", "alt"])
        copy_rows(conn, "variant", rows)
        conn.execute("VACUUM (ANALYZE) variant")


# ---- loads


def load(url: str, folder: Path) -> None:
    """Loads the files of a folder as `vkg load ibd` does, and prints segments, rows, seconds and peak memory (MB) as JSON."""
    with psycopg.connect(url, autocommit=True) as conn:
        started = time.perf_counter()
        outcome = ingest(conn, *ibd_job(conn, sorted(folder.glob("*.ibd.gz")), source="hap-ibd", cohort="kg", dataset="ibd", version="1"))
        seconds = time.perf_counter() - started
    assert isinstance(outcome, Outcome)
    counts = outcome.load.counts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = 2 * counts["ibd_segment"] + counts["hbd_segment"] + counts["ibd_run"]
    print(json.dumps({"records": counts["records"], "rows": rows, "seconds": seconds, "peak": peak}))


def run_load(url: str, folder: Path) -> dict[str, Any]:
    """What `load` prints in a process of its own."""
    command = [sys.executable, "-m", "bench.ibd", "--load", url, str(folder)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


def sizes(url: str) -> dict[str, float]:
    """Bytes per segment of the table of segments, and of each of its indexes."""
    with psycopg.connect(url) as conn:
        rows = conn.execute(
            """SELECT c.relname, pg_relation_size(c.oid) / (t.rows / 2) FROM (SELECT count(*)::float8 AS rows FROM ibd_segment) t
            CROSS JOIN pg_class c WHERE c.oid = 'ibd_segment'::regclass
            OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'ibd_segment'::regclass) ORDER BY c.relkind DESC, 1"""
        )
        return dict(rows.fetchall())


# ---- queries


@dataclass
class Figure:
    """A query: median milliseconds as the API runs it, of its statement alone, and of an expert's, and its rows."""

    name: str
    segments: int
    milliseconds: float
    alone: float
    limit: float
    rows: float

    @property
    def ratio(self) -> float:
        return self.milliseconds / self.limit

    def __str__(self) -> str:
        times = f"{self.milliseconds:8.2f} {self.alone:8.2f} {self.limit:8.2f} {self.ratio:7.1f}x {self.alone / self.limit:7.1f}x"
        return f"{self.name:<46} {times} {self.rows:8.0f}"


TITLE = f"{'':<46} {'ms':>8} {'alone':>8} {'limit':>8} {'ratio':>8} {'alone':>8} {'rows':>8}"


async def medians(spots: Sequence[tuple[Work, ...]]) -> list[float]:
    """Median milliseconds of each work of the spots, done in turn; each comes first as often, as the first warms caches for the others."""
    for spot in spots:  # once around, to prepare statements and fill caches
        for work in spot:
            await work()
    times: list[list[float]] = [[] for _ in spots[0]]
    end = time.perf_counter() + SECONDS
    for turn, spot in enumerate(cycle(spots)):
        for place in range(turn, turn + len(spot)):
            started = time.perf_counter()
            await spot[place % len(spot)]()
            times[place % len(spot)].append(time.perf_counter() - started)
        if time.perf_counter() > end:
            return [statistics.median(spent) * 1000 for spent in times]
    raise AssertionError


class Bench:
    """Statements of the API and their plain counterparts on one store."""

    def __init__(self, pools: Pools, plain: asyncpg.Pool) -> None:
        self.pools, self.plain = pools, plain

    async def start(self) -> None:
        """Finds out what there is to ask for: segments with a variant in each."""
        self.loads = list(await self.plain.fetchval("SELECT loads FROM release ORDER BY release_id DESC LIMIT 1"))
        self.run = await self.plain.fetchval("SELECT max(load_id) FROM ibd_run")
        pages = await self.plain.fetchval("SELECT 100 * $1::float8 / count(*) FROM ibd_segment", _SAMPLED)
        rows = await self.plain.fetch(
            """SELECT s.sample_id, s.other_id, v.variant_key, v.chrom, v.pos FROM ibd_segment s TABLESAMPLE SYSTEM ($1) CROSS JOIN LATERAL
            (SELECT * FROM variant v WHERE v.variant_key >= locus_key(s.chrom, s.start_pos) AND v.variant_key < locus_key(s.chrom, s.end_pos + 1)
            ORDER BY v.variant_key LIMIT 1) v""", min(100.0, pages)
        )  # fmt: skip
        self.found = [tuple(row) for row in rows]
        random.shuffle(self.found)

    def ours(self, text: str, *values: Any) -> tuple[Work, Work]:
        """A statement as the API runs it, and alone."""
        return lambda: self.pools.fetch_individual(self.loads, text, *values), lambda: self.plain.fetch(text, *values)

    def composed(self, read: Read, by: str, columns: Sequence[str], order: str = "length", **values: Any) -> tuple[Work, Work]:
        """The statement of a link, as `ours`."""
        text, more = compose(read, by, columns=columns, order=order, per_parent=True)
        return self.ours(text.text, *text.bind({"loads": self.loads, "limit": _PAGE} | values | more))

    def at_position(self) -> tuple[Work, Work, Work]:
        """Those that a sample shares over a variant."""
        sample, _, key, chrom, pos = random.choice(self.found)
        sql = """SELECT load_id, file, line, chrom, start_pos, end_pos, length_cm, other_id, haplotype, other_haplotype FROM ibd_segment
            WHERE sample_id = $1 AND chrom = $2 AND start_pos <= $3 AND end_pos >= $3 AND load_id = $4 ORDER BY length_cm DESC LIMIT 51"""
        ours = self.composed(SEGMENT, "variant", _EDGE, keys=[key], sample_id=sample)
        return *ours, lambda: self.plain.fetch(sql, sample, chrom, pos, self.run)

    def of_pair(self) -> tuple[Work, Work, Work]:
        """Those that two people share."""
        one, other, *_ = random.choice(self.found)
        sql = """SELECT load_id, file, line, chrom, start_pos, end_pos, length_cm, haplotype, other_haplotype FROM ibd_segment
            WHERE sample_id = $1 AND other_id = $2 AND load_id = $3 ORDER BY length_cm DESC LIMIT 51"""
        ours = self.composed(SEGMENT, "pair", _EDGE, keys=[f"{one}.{other}.{self.run}:0.0"])
        return *ours, lambda: self.plain.fetch(sql, one, other, self.run)

    def over(self) -> tuple[Work, Work, Work]:
        """All over a variant, as carriers are grouped by descent."""
        *_, key, chrom, pos = random.choice(self.found)
        sql = """SELECT t.sample_id, t.haplotype, t.other_id, t.other_haplotype, t.file, t.line FROM generate_series(20, 28) c
            CROSS JOIN LATERAL (SELECT * FROM ibd_segment s WHERE s.chrom = $1 AND s.length_class = c AND s.start_pos <= $2
            AND s.start_pos > $2 - (1 << c) AND s.end_pos >= $2 AND s.sample_id < s.other_id OFFSET 0) t WHERE t.load_id = $3"""
        ours = self.composed(OVER, "variant", _ENDS, keys=[key], limit=1_000_000)
        return *ours, lambda: self.plain.fetch(sql, chrom, pos, self.run)

    def longest_over(self) -> tuple[Work, Work, Work]:
        """A page of them, longest first."""
        *_, key, chrom, pos = random.choice(self.found)
        sql = """SELECT t.sample_id, t.other_id, t.haplotype, t.other_haplotype, t.file, t.line, t.start_pos, t.end_pos, t.length_cm
            FROM generate_series(20, 28) c CROSS JOIN LATERAL (SELECT * FROM ibd_segment s WHERE s.chrom = $1 AND s.length_class = c
            AND s.start_pos <= $2 AND s.start_pos > $2 - (1 << c) AND s.end_pos >= $2 AND s.sample_id < s.other_id OFFSET 0) t
            WHERE t.load_id = $3 ORDER BY t.length_cm DESC, t.file DESC, t.line DESC LIMIT 51"""
        columns = ("id", "load_id", "chrom", "start", "end", "length_cm", "sample1_id", "sample2_id", "haplotype1", "haplotype2")
        return *self.composed(OVER, "variant", columns, keys=[key]), lambda: self.plain.fetch(sql, chrom, pos, self.run)

    def of_calls(self) -> tuple[Work, Work, Work]:
        """Those over each of 1,000 variants that a sample of each shares."""
        asked = random.sample(self.found, min(_PAIRS, len(self.found)))
        samples, _, keys, chroms, positions = (list(column) for column in zip(*asked, strict=True))
        sql = """SELECT k.n, t.load_id, t.file, t.line, t.chrom, t.start_pos, t.end_pos, t.length_cm, t.other_id, t.haplotype, t.other_haplotype
            FROM unnest($1::int[], $2::smallint[], $3::int[]) WITH ORDINALITY k (sample_id, chrom, pos, n) CROSS JOIN LATERAL (SELECT * FROM ibd_segment s
            WHERE s.sample_id = k.sample_id AND s.chrom = k.chrom AND s.start_pos <= k.pos AND s.end_pos >= k.pos AND s.load_id = $4
            ORDER BY s.length_cm DESC LIMIT 51) t"""
        ours = self.composed(SEGMENT, "call", _EDGE, keys=[f"{key}:{sample}" for key, sample in zip(keys, samples, strict=True)])
        return *ours, lambda: self.plain.fetch(sql, samples, chroms, positions, self.run)

    def totals(self) -> tuple[Work, Work, Work]:
        """What 50 pairs share."""
        pairs = [found[:2] for found in random.sample(self.found, _PAGE - 1)]
        ones, others = (list(column) for column in zip(*pairs, strict=True))
        sql = """SELECT s.sample_id, s.other_id, s.chrom, s.start_pos, s.end_pos, s.length_cm, s.haplotype, s.other_haplotype
            FROM unnest($1::int[], $2::int[]) k (one, other) JOIN ibd_segment s ON s.sample_id = k.one AND s.other_id = k.other WHERE s.load_id = $3"""
        ours = self.ours(statement("pair_sharing"), ones, others, [self.run] * len(ones), 0.0, LAST_AUTOSOME)
        return *ours, lambda: self.plain.fetch(sql, ones, others, self.run)

    def relatives(self) -> tuple[Work, Work, Work]:
        """With whom a sample shares most; plain: without a thought for segments that overlap."""
        sample, *_ = random.choice(self.found)
        sql = """SELECT s.name, t.* FROM (SELECT other_id, sum(length_cm) AS total_cm, count(*) AS segments, max(length_cm) AS longest FROM ibd_segment
            WHERE sample_id = $1 AND load_id = $2 GROUP BY other_id ORDER BY total_cm DESC LIMIT 51) t JOIN sample s ON s.sample_id = t.other_id"""
        columns = ("sample_id", "name", "pair", "run_id", "total_cm", "segment_count", "longest_cm")
        ours = self.composed(RELATIVE, "sample", columns, "shared", keys=[sample], runs=None, min_length=0.0)
        return *ours, lambda: self.plain.fetch(sql, sample, self.run)

    async def figures(self, segments: int) -> AsyncIterator[Figure]:
        """All comparisons."""
        for name, make, count in (
            ("a sample at a position", self.at_position, _SPOTS),
            ("a pair's segments", self.of_pair, _SPOTS),
            (f"{_PAIRS:,} samples at {_PAIRS:,} positions, 1 statement", self.of_calls, 10),
            ("all over a position", self.over, _SPOTS),
            ("the 50 longest over a position", self.longest_over, _SPOTS),
            ("what 50 pairs share in all", self.totals, _SPOTS),
            ("the 50 closest relatives of a sample", self.relatives, _SPOTS),
        ):
            spots = [make() for _ in range(count)]
            counted = [[len(await work()) for work in spot] for spot in spots]
            assert all(0 < ours == alone <= plain for ours, alone, plain in counted), f"{name}: {counted}"
            ours, alone, limit = await medians(spots)
            yield Figure(name, segments, ours, alone, limit, statistics.mean(rows for rows, *_ in counted))


async def queries(url: str, segments: int) -> list[Figure]:
    """All comparisons of queries on a store, printed."""
    found = []
    pools, plain = await open_pools(url, size=2, timeout_ms=60_000), await open_pool(url, size=2, timeout_ms=60_000, role="none")
    async with plain:
        bench = Bench(pools, plain)
        await bench.start()
        async for figure in bench.figures(segments):
            found.append(figure)
            print(figure, flush=True)
        await pools.close()
    return found


# ---- all of it


@dataclass
class Measured:
    """What a run of one size costs: the load of it, bytes for each segment by table and index, and queries."""

    load: load_vcf.Figure
    kept: dict[str, float]
    asked: list[Figure]


def measure(stores: load_vcf.Stores, folder: Path, segments: int, options: argparse.Namespace) -> Measured:
    """The files of a folder, loaded and copied in turn, and asked; all that is found is printed."""
    found, limits = [], []
    for left in reversed(range(options.rounds)):
        with stores.fresh() as url:
            found.append(run_load(url, folder))
            stores.dump(url)
            kept = sizes(url)
            if not left and options.only != "load":
                print(f"\n{segments:,} segments\n{TITLE}", flush=True)
                asked = uvloop.run(queries(url, segments))
        if options.only != "queries":
            with stores.fresh() as url:
                limits.append(stores.copy(url))
    seconds, limit = statistics.median(one["seconds"] for one in found), statistics.median(limits or [math.inf])
    one, peak = found[0], max(one["peak"] for one in found)
    load = load_vcf.Figure(f"{segments:,} segments", one["records"], one["rows"], seconds, limit, peak)
    print(f"\n{load_vcf.TITLE}\n{load}")
    print("bytes for each: " + ", ".join(f"{name} {size:.0f}" for name, size in kept.items()), flush=True)
    return Measured(load, kept, asked if options.only != "load" else [])


def main() -> None:
    parser = argparse.ArgumentParser(description="What segments shared by descent cost to load, to keep and to ask for.")
    parser.add_argument("--segments", type=int, nargs="*", default=SEGMENTS, help="sizes of the simulated runs")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="people in them")
    parser.add_argument("--rounds", type=int, default=1, help="times that each load is measured")
    parser.add_argument("--only", choices=("load", "queries"), help="leave the other half out")
    parser.add_argument("--json", action="store_true", help="print JSON at the end")
    parser.add_argument("--load", nargs=2, metavar=("URL", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load(options.load[0], Path(options.load[1]))
        return
    random.seed(1)
    measured = []
    with (
        own_server() as url,
        tempfile.TemporaryDirectory(prefix="vkg-bench-", dir="/tmp") as folder,
        tempfile.TemporaryDirectory(dir=folder) as dumps,
    ):
        Path(folder).chmod(0o755)
        stores = load_vcf.Stores(url, Path(dumps), TABLES)
        names = [f"S{i:05}" for i in range(options.samples)]
        prepare(url, Path(folder), names)
        for segments in options.segments:
            write_segments(Path(folder), segments, names)
            measured.append(measure(stores, Path(folder), segments, options))
    if options.json:
        print(json.dumps([asdict(one) for one in measured], indent=2))


if __name__ == "__main__":
    main()
