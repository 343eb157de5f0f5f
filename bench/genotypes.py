"""What genotypes of 2,504 people cost: to load, to keep, and to ask for.

    python -m bench.genotypes [--file VCF] [--sites N] [--rounds N] [--json]

Loads: a simulated VCF (allele counts as in 1000 Genomes: half of all variants in one to five people) and, with --file, a real one of GRCh37, as a
share of the server's own COPY of the same rows (bench/load_vcf.py). Queries: the statements that the API sends, under its individual role, against
the statement that an expert writes with asyncpg alone for one callset whose samples' places he knows; both in turn, medians.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import psycopg
import pysam
import uvloop

from bench import load_vcf
from bench.query import SPOTS, TITLE, Api, Figure, Work, in_turns, request
from bench.server import own_server
from graph.app import Settings, application
from graph.commands import keep
from loaders.run import ingest
from loaders.samples_job import samples_job
from loaders.vcf_job import vcf_job
from store import planes
from store.annotation import FREQUENCY
from store.assembly import GRCH37
from store.database import Pools, open_pool, open_pools
from store.genotype import CALL, CARRIED, CARRIER
from store.read import Read, compose, where

SAMPLES = 2_504
SITES = 100_000
POPULATIONS = 26
SPACING = 37
"""Bases between simulated sites: chromosome 22 of 1000 Genomes has one in 37."""

_ROWS = 1_000
_PAGE = 51
_CALL = ("sample_id", "name", "gt", "zygosity")


def write_vcf(path: Path, sites: int) -> None:
    """A bgzipped VCF of phased genotypes; allele counts are 1/x distributed, as those of a neutral site are."""
    draws = np.random.default_rng(0)
    weights = 1 / np.arange(1, 2 * SAMPLES)
    counts = draws.choice(np.arange(1, 2 * SAMPLES), sites, p=weights / weights.sum())
    with pysam.BGZFile(str(path), "wb") as file:
        names = "\t".join(f"S{i:05}" for i in range(SAMPLES))
        file.write(
            '##fileformat=VCFv4.2\n##contig=<ID=22,length=51304566>\n##INFO=<ID=AC,Number=A,Type=Integer,Description="Allele count">\n'
            f'##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{names}\n'.encode()
        )
        for start in range(0, sites, _ROWS):
            here = counts[start : start + _ROWS]
            cells = np.tile(np.frombuffer(b"0|0\t", np.uint8), (len(here), SAMPLES))
            for row, count in enumerate(here.tolist()):
                slots = draws.choice(2 * SAMPLES, count, replace=False)
                cells[row, slots // 2 * 4 + slots % 2 * 2] = ord("1")
            cells[:, -1] = ord("\n")
            for row, count in enumerate(here.tolist()):
                site = start + row
                head = f"22\t{16_050_000 + site * SPACING}\trs{site + 1}\tA\tG\t100\tPASS\tAC={count}\tGT\t"
                file.write(head.encode() + cells[row].tobytes())


def write_panel(path: Path, names: Sequence[str]) -> None:
    """A panel that spreads samples over 26 populations in 5 super-populations."""
    rows = [f"{name}\tP{i % POPULATIONS:02}\tSP{i % POPULATIONS % 5}\t{('male', 'female')[i % 2]}" for i, name in enumerate(names)]
    path.write_text("sample\tpop\tsuper_pop\tgender\n" + "\n".join(rows) + "\n")


def fill(url: str, vcf: Path, folder: Path) -> None:
    """Loads a panel and then the VCF, as the commands do."""
    pysam.set_verbosity(0)  # it would miss an index
    with pysam.VariantFile(str(vcf)) as file:
        write_panel(folder / "samples.panel", list(file.header.samples))
    with psycopg.connect(url, autocommit=True) as conn:
        ingest(conn, *samples_job(conn, folder / "samples.panel", cohort="kg", dataset="panel", version="1"))
        ingest(conn, *vcf_job(conn, [vcf], assembly="GRCh37", unnormalized=True, cohort="kg", dataset="kg", version="1"))


class Bench:
    """Statements of the API and their plain counterparts on one store."""

    def __init__(self, pools: Pools, plain: asyncpg.Pool, loads: list[int], callset: int) -> None:
        self.pools, self.plain, self.loads, self.callset = pools, plain, loads, callset

    async def start(self) -> None:
        """Finds out what there is to ask for."""
        rows = await self.plain.fetch("SELECT variant_key FROM genotype WHERE load_id = $1 ORDER BY 1", self.callset)
        self.keys = [row[0] for row in rows]
        people = await self.plain.fetch("SELECT sample_id, ordinal FROM callset_sample WHERE load_id = $1 ORDER BY ordinal", self.callset)
        self.sample_ids = np.array([row["sample_id"] for row in people])

    def ours(
        self, read: Read, by: str, order: str, columns: Sequence[str], individual: bool = True, mode: Any = "page", **values: Any
    ) -> Work:
        """The statement of the API."""
        per_parent = read.by[by].anchor is not None
        statement, more = compose(
            read, by, columns=columns, order=order, mode=mode, per_parent=per_parent, filter=values.pop("filter", where())
        )
        bound = statement.bind({"loads": self.loads, "callsets": None, "parents": False, "beside": None} | values | more)
        if individual:
            return lambda: self.pools.fetch_individual(self.loads, statement.text, *bound)
        return lambda: self.pools.fetch(statement.text, *bound)

    def some(self, size: int) -> list[int]:
        """So many keys that follow each other."""
        start = random.randrange(len(self.keys) - size)
        return self.keys[start : start + size]

    def carriers(self, size: int) -> tuple[Work, Work]:
        """First 50 carriers of each of so many variants; plain: the planes, unpacked here, and the samples' names."""
        keys = self.some(size)

        async def plain() -> int:
            rows = await self.plain.fetch(
                "SELECT variant_key, " + ", ".join(planes.SCHEMA.names) + " FROM genotype WHERE variant_key = ANY($1) AND load_id = $2", keys, self.callset
            )  # fmt: skip
            calls = planes.decode(rows, len(self.sample_ids))
            texts = planes.texts(calls)
            wanted: set[int] = set()
            count = 0
            for place in range(len(rows)):
                found = np.flatnonzero((calls.alleles[place] == planes.ALT).any(axis=1))[: _PAGE - 1]
                wanted.update(self.sample_ids[found].tolist())
                count += len(texts[place, found])
            await self.plain.fetch("SELECT sample_id, name FROM sample WHERE sample_id = ANY($1)", list(wanted))
            return count

        return self.ours(CARRIER, "variant", "callset", _CALL, keys=keys, limit=_PAGE), plain

    def carried(self, bases: int) -> tuple[Work, Work]:
        """All variants that one sample carries within so many bases; plain: get_bit on both planes."""
        ordinal = random.randrange(len(self.sample_ids))
        lo = random.choice(self.keys[: max(1, len(self.keys) - bases // SPACING)])
        hi = lo + (bases << 31)
        sql = """SELECT g.variant_key, v.chrom, v.pos, v.ref, v.alt FROM genotype g JOIN variant v USING (variant_key)
            WHERE g.variant_key >= $1 AND g.variant_key < $2 AND g.load_id = $3 AND CASE WHEN g.alt_slots IS NOT NULL
            THEN $4 = ANY(g.alt_slots) OR $4 + 1 = ANY(g.alt_slots) ELSE get_bit(g.alt, $4) = 1 OR get_bit(g.alt, $4 + 1) = 1 END
            ORDER BY g.variant_key"""
        columns = ("variant_key", "chrom", "pos", "ref", "alt", "gt", "zygosity")
        one = [int(self.sample_ids[ordinal])]
        ours = self.ours(CARRIED, "sample", "genome", columns, keys=one, lo=lo, hi=hi, limit=1_000_000)
        return ours, lambda: self.plain.fetch(sql, lo, hi, self.callset, 2 * ordinal)

    def calls(self, size: int) -> tuple[Work, Work]:
        """The calls of one sample at so many variants, with or without the ALT."""
        keys, ordinal = self.some(size), random.randrange(len(self.sample_ids))
        ours = self.ours(
            CALL, "sample", "genome", ("variant_key", "gt", "zygosity"), mode="all", keys=[int(self.sample_ids[ordinal])], variant_keys=keys
        )

        async def plain() -> int:
            rows = await self.plain.fetch(
                "SELECT variant_key, " + ", ".join(planes.SCHEMA.names) + " FROM genotype WHERE variant_key = ANY($1) AND load_id = $2", keys, self.callset
            )  # fmt: skip
            return len(planes.texts(planes.decode(rows, len(self.sample_ids)))[:, ordinal])

        return ours, plain

    def frequencies(self, size: int) -> tuple[Work, Work]:
        """The frequencies of so many variants in 26 populations; plain: the arrays, taken apart here."""
        keys = self.some(size)
        names = [f"P{i:02}" for i in range(POPULATIONS)]
        columns = ("variant_key", "population", "allele_count", "allele_number", "frequency")
        ours = self.ours(FREQUENCY, "variant", "load", columns, False, "all", keys=keys, filter=where(population=names))

        async def plain() -> int:
            places = {
                row[0]: row[1] - 1
                for row in await self.plain.fetch("SELECT population, ordinal FROM frequency_population WHERE load_id = $1", self.callset)
            }
            rows = await self.plain.fetch("SELECT variant_key, ac, an, af FROM population_frequency WHERE variant_key = ANY($1) AND load_id = $2", keys, self.callset)  # fmt: skip
            wanted = [(name, places[name]) for name in names]
            return len([(row["variant_key"], name, row["ac"][p], row["an"][p], row["af"][p]) for row in rows for name, p in wanted])

        return ours, plain


CARRIERS = """query Carriers($ids: [String!]!) { variants(ids: $ids, first: 1000) { nodes { name carriers(first: 10) { edges { gt zygosity
    node { name population { name } } } } } } }"""


async def queries(url: str) -> list[Figure]:
    """All comparisons of queries on a store."""
    app = application(Settings(url, GRCH37))
    pools, plain = await open_pools(url, size=2, timeout_ms=60_000), await open_pool(url, size=2, timeout_ms=60_000, role="none")
    found = []
    async with app.router.lifespan_context(app), plain:
        keep()
        loads = list(app.state.releases.current.loads)
        bench = Bench(pools, plain, loads, await plain.fetchval("SELECT max(load_id) FROM callset_sample"))
        await bench.start()
        for name, make, sizes in (
            ("first 50 carriers of {:,} variants", bench.carriers, (1, 100, 1_000)),
            ("variants that a sample carries, {:,} bases", bench.carried, (100_000, 1_000_000)),
            ("calls of a sample at {:,} variants", bench.calls, (1_000,)),
            ("frequencies of {:,} variants in 26 populations", bench.frequencies, (1_000,)),
        ):
            for size in sizes:
                spots = [make(size) for _ in range(SPOTS if size < 1_000 else 8)]
                rows = sum([len(await ours()) for ours, _ in spots]) / len(spots)
                found.append(Figure(name.format(size), *await in_turns(spots), rows, 1))
                print(found[-1], flush=True)
        api = Api(app)
        rows = await plain.fetch("SELECT pos, ref, alt FROM variant WHERE variant_key = ANY($1)", bench.some(100))
        ids = [f"22-{row['pos']}-{row['ref']}-{row['alt']}" for row in rows]
        spot = (lambda: api.ask(CARRIERS, ids=ids), bench.carriers(100)[1])
        found.append(await request("request: 10 carriers of 100 variants, populations", [spot], 1))
        print(found[-1], flush=True)
        await pools.close()
    return found


def size_of(url: str) -> tuple[float, float]:
    """Bytes per variant of the table genotype: without and with its index."""
    with psycopg.connect(url) as conn:
        row = conn.execute(
            "SELECT pg_table_size('genotype')::float8 / count(*), pg_total_relation_size('genotype')::float8 / count(*) FROM genotype"
        ).fetchone()
        assert row is not None
        return row


def main() -> None:
    parser = argparse.ArgumentParser(description="What genotypes cost to load, to keep and to ask for.")
    parser.add_argument("--file", type=Path, help="a real VCF of GRCh37 to load as well, and to ask instead of the simulated one")
    parser.add_argument("--sites", type=int, default=SITES, help="sites of the simulated file")
    parser.add_argument("--rounds", type=int, default=1, help="times that each load is measured")
    parser.add_argument("--json", action="store_true", help="print JSON at the end")
    options = parser.parse_args()
    random.seed(1)
    with (
        own_server() as url,
        tempfile.TemporaryDirectory(prefix="vkg-bench-", dir="/tmp") as folder,
        tempfile.TemporaryDirectory(dir=folder) as dumps,
    ):
        Path(folder).chmod(0o755)
        stores = load_vcf.Stores(url, Path(dumps))
        simulated = Path(folder) / "simulated.vcf.gz"
        write_vcf(simulated, options.sites)
        files = [(f"{options.sites:,} simulated sites", simulated), *([(options.file.name[:34], options.file)] if options.file else [])]
        print(load_vcf.TITLE)
        loads = []
        for name, path in files:
            loads.append(load_vcf.measure(stores, name, path, options.rounds, genotypes=True))
            print(loads[-1], flush=True)
        with stores.fresh() as filled:
            fill(filled, files[-1][1], Path(folder))
            table, total = size_of(filled)
            print(f"\n{files[-1][0]}: {table:.0f} bytes per variant in the table genotype, {total:.0f} with its indexes\n\n{TITLE}")
            asked = uvloop.run(queries(filled))
    if options.json:
        figures = [asdict(f) | {"share": f.share} for f in loads] + [asdict(f) | {"ratio": f.ratio} for f in asked]
        print(json.dumps({"bytes_per_variant": table, "figures": figures}, indent=2))


if __name__ == "__main__":
    main()
