"""How fast a VCF loads, as a share of the fastest way its rows can get into the same tables, and in how much memory.

    python -m bench.load_vcf [--sites N ...] [--file VCF] [--genotypes] [--rounds N] [--json]

Each size is a bgzipped VCF of synthetic sites (or the file given), loaded by a process of its own, as `vkg load vcf`
does it, into a fresh store. The limit is the server's own COPY ... FROM a binary file of the rows that the load wrote,
table by table, into the same tables of another fresh store, with their indexes and no other work: no parsing, no look-up
of what is there already, no ledger. Both take turns; figures are medians. Peak memory is that of the loading process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pysam

from bench.server import own_server
from bench.synthetic import CHROMOSOMES, SPACING
from store.assembly import GRCH37, NAMES
from store.genome import initialise
from store.release import OBSERVATIONS

SITES = (250_000, 500_000, 1_000_000)
ROUNDS = 3
TABLES = ("variant", *OBSERVATIONS)

_BASES = "ACGT"
_BATCH = 10_000
_HEADER = """##fileformat=VCFv4.2
##FILTER=<ID=PASS,Description="All filters passed">
##INFO=<ID=AC,Number=A,Type=Integer,Description="Allele count">
##INFO=<ID=AF,Number=A,Type=Float,Description="Allele frequency">
##INFO=<ID=AN,Number=1,Type=Integer,Description="Called alleles">
##INFO=<ID=DP,Number=1,Type=Integer,Description="Read depth">
##INFO=<ID=EAS_AF,Number=A,Type=Float,Description="Allele frequency in EAS">
##INFO=<ID=EUR_AF,Number=A,Type=Float,Description="Allele frequency in EUR">
##INFO=<ID=AFR_AF,Number=A,Type=Float,Description="Allele frequency in AFR">
##INFO=<ID=VT,Number=.,Type=String,Description="Type of variant">
"""


@dataclass
class Figure:
    """A load: records read, rows written, median seconds of it and of its limit, and its peak memory in MB."""

    name: str
    records: int
    rows: int
    seconds: float
    limit: float
    peak: float

    @property
    def share(self) -> float:
        return self.limit / self.seconds

    def __str__(self) -> str:
        return f"{self.name:<34} {self.rows:>10,} {self.records / self.seconds:>10,.0f} {self.records / self.limit:>10,.0f} {self.share:7.2f} {self.peak:8.0f}"


TITLE = f"{'':<34} {'rows':>10} {'records/s':>10} {'limit':>10} {'share':>7} {'peak MB':>8}"


def write_vcf(path: Path, sites: int) -> None:
    """A bgzipped VCF in genome order: 95 % one base for another, the others short indels, INFO as 1000 Genomes has it."""
    random = np.random.default_rng(0)
    with pysam.BGZFile(str(path), "wb") as file:
        contigs = [f"##contig=<ID={NAMES[c - 1]},length={GRCH37.length(c)}>\n" for c in sorted(CHROMOSOMES)]
        file.write((_HEADER + "".join(contigs) + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n").encode())
        for chrom in sorted(CHROMOSOMES, reverse=True):
            here = min(sites, GRCH37.length(chrom) // SPACING - 1)
            sites -= here
            for start in range(0, here, _BATCH):
                draws = random.integers(0, 1 << 20, (min(_BATCH, here - start), 6)).tolist()
                file.write("".join(_line(chrom, start + n, *draw) for n, draw in enumerate(draws)).encode())


def _line(chrom: int, site: int, offset: int, base: int, other: int, length: int, kind: int, depth: int) -> str:
    ref, alt = _BASES[base % 4], _BASES[(base % 4 + 1 + other % 3) % 4]
    if kind % 20 == 0:
        alt = ref + (_BASES * 2)[other % 4 : other % 4 + 1 + length % 4]
        ref, alt = (ref, alt) if kind % 40 else (alt, ref)
    count = 1 + int(4000 * (length / (1 << 20)) ** 8)
    af = f"{count / 5008:.4g}"
    return (
        f"{NAMES[chrom - 1]}\t{site * SPACING + 100 + offset % SPACING}\trs{1000 + site * 25 + chrom}\t{ref}\t{alt}\t100\tPASS\t"
        f"AC={count};AF={af};AN=5008;DP={5000 + depth % 30000};EAS_AF={af};EUR_AF=0.{depth % 1000:03};AFR_AF=0;VT=SNP\n"
    )


def load(url: str, path: Path, sites_only: bool = True) -> None:
    """Loads a file as `vkg load vcf --unnormalized` does, by default without its genotypes, and prints records, rows, seconds and peak memory (MB) as JSON."""
    from loaders.run import Outcome, ingest
    from loaders.vcf_job import vcf_job

    with psycopg.connect(url, autocommit=True) as conn:
        started = time.perf_counter()
        job, read = vcf_job(conn, [path], assembly="GRCh37", sites_only=sites_only, unnormalized=True)
        outcome = ingest(conn, job, read)
        seconds = time.perf_counter() - started
    assert isinstance(outcome, Outcome)
    counts = outcome.load.counts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"records": counts["records"], "rows": sum(counts[table] for table in TABLES), "seconds": seconds, "peak": peak}))


def run_load(url: str, path: Path, genotypes: bool = False) -> dict[str, Any]:
    """What `load` prints in a process of its own."""
    command = [sys.executable, "-m", "bench.load_vcf", "--load", url, str(path), *(["--genotypes"] if genotypes else [])]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


class Stores:
    """Fresh stores on one server, and files that the server can read and write."""

    def __init__(self, url: str, folder: Path, tables: Sequence[str] = TABLES) -> None:
        self.url, self.folder, self.tables = url, folder, tables
        with psycopg.connect(url, autocommit=True) as conn:
            initialise(conn, GRCH37)
            (data,) = conn.execute("SHOW data_directory").fetchone() or ("",)
        owner = Path(data).stat()
        os.chown(folder, owner.st_uid, owner.st_gid)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """URL of an empty store, gone afterwards; whatever the server still had to write is written before."""
        with psycopg.connect(self.url.replace("/vkg?", "/postgres?"), autocommit=True) as conn:
            conn.execute("CREATE DATABASE bench TEMPLATE vkg")
            conn.execute("CHECKPOINT")
            try:
                yield self.url.replace("/vkg?", "/bench?")
            finally:
                conn.execute("DROP DATABASE bench WITH (FORCE)")

    def dump(self, url: str) -> None:
        """Writes the rows of all tables to binary files, in the order in which they were loaded."""
        with psycopg.connect(url) as conn:
            for table in self.tables:
                conn.execute(f"COPY {table} ({self._columns(conn, table)}) TO '{self.folder / table}' (FORMAT binary)")

    def copy(self, url: str) -> float:
        """Seconds that the server takes to copy the files into its tables, in one transaction."""
        with psycopg.connect(url) as conn:
            columns = {table: self._columns(conn, table) for table in self.tables}
            started = time.perf_counter()
            for table in self.tables:
                conn.execute(f"COPY {table} ({columns[table]}) FROM '{self.folder / table}' (FORMAT binary)")
            conn.commit()
            return time.perf_counter() - started

    def _columns(self, conn: psycopg.Connection, table: str) -> str:
        rows = conn.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attgenerated = '' ORDER BY attnum", (table,)
        )
        return ", ".join(name for (name,) in rows)


def measure(stores: Stores, name: str, path: Path, rounds: int, genotypes: bool = False) -> Figure:
    """One file, loaded and copied in turn."""
    seconds, limits, peaks = [], [], []
    for _ in range(rounds):
        with stores.fresh() as url:
            found = run_load(url, path, genotypes)
            stores.dump(url)
        with stores.fresh() as url:
            limits.append(stores.copy(url))
        seconds.append(found["seconds"])
        peaks.append(found["peak"])
    return Figure(name, found["records"], found["rows"], statistics.median(seconds), statistics.median(limits), max(peaks))


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast a VCF loads, as a share of the server's own binary COPY of the same rows.")
    parser.add_argument("--sites", type=int, nargs="*", default=SITES, help="sizes of the synthetic files")
    parser.add_argument("--file", type=Path, action="append", default=[], help="a VCF of GRCh37 to load as well; may be repeated")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="times that each is measured")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--genotypes", action="store_true", help="with the genotypes of the files")
    parser.add_argument("--load", nargs=2, metavar=("URL", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load(options.load[0], Path(options.load[1]), not options.genotypes)
        return
    figures = []
    if not options.json:
        print(TITLE)
    with (
        own_server() as url,
        tempfile.TemporaryDirectory(prefix="vkg-bench-", dir="/tmp") as files,
        tempfile.TemporaryDirectory(dir=files) as dumps,
    ):
        Path(files).chmod(0o755)
        stores = Stores(url, Path(dumps))
        synthetic = [(f"{sites:,} synthetic sites", Path(files) / f"{sites}.vcf.gz") for sites in options.sites]
        for sites, (_, path) in zip(options.sites, synthetic, strict=True):
            write_vcf(path, sites)
        for name, path in [*synthetic, *((file.name[:34], file) for file in options.file)]:
            figures.append(measure(stores, name, path, options.rounds, options.genotypes))
            if not options.json:
                print(figures[-1], flush=True)
    if options.json:
        print(json.dumps([asdict(figure) | {"share": figure.share} for figure in figures], indent=2))


if __name__ == "__main__":
    main()
