"""What effects of Enformer cost to load, as a share of what has to be done at least, and in how much memory.

    python -m bench.enformer [--variants N] [--tracks N] [--keep all|summary|none] [--rounds N] [--json]

A file of SNVs with random effects, laid out as the files of 1000 Genomes are, and tracks of 40 tissues in proportions like those of targets_human.txt. It is
loaded by a process of its own, as `vkg load enformer` does it, into a fresh store. The limit is to read the matrix once, some megabytes at a time
as the loader does, and then the server's own COPY ... FROM a binary file of the rows that the load wrote, into the same tables of another fresh
store. Both take turns; figures are medians. Peak memory is that of the loading process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psycopg

from bench import load_vcf
from bench.server import own_server
from loaders.enformer import TABLES
from loaders.enformer_job import enformer_job
from loaders.enformer_layout import layout
from loaders.run import Outcome, ingest
from store.tissue import TISSUES

VARIANTS = 20_000
TRACKS = 5_313
ROUNDS = 3

_CHROM = 20
_FIRST, _SPACING = 1_000_000, 150
_SCALE = 0.02
_BATCH = 1_000
_ASSAYS = {"CAGE": 0.12, "DNASE": 0.13, "CHIP": 0.75}
_OF_A_TISSUE = 0.45
"""How many tracks are of each assay, and of some tissue, as a share of all."""


def write_targets(path: Path, tracks: int) -> list[tuple[str, str]]:
    """A file like targets_human.txt. Returns identifiers and descriptions."""
    draws = np.random.default_rng(0)
    assays = draws.choice(list(_ASSAYS), tracks, p=list(_ASSAYS.values()))
    tissues = np.where(draws.random(tracks) < _OF_A_TISSUE, draws.choice(list(TISSUES.values()), tracks), "K562")
    named = [(f"ENCFF{n:06}", f"{assay}:{tissue}, adult") for n, (assay, tissue) in enumerate(zip(assays, tissues, strict=True))]
    rows = [f"{n}\t0\t{identifier}\tx.w5\t32\t2\tmean\t{said}\n" for n, (identifier, said) in enumerate(named)]
    path.write_text("index\tgenome\tidentifier\tfile\tclip\tscale\tsum_stat\tdescription\n" + "".join(rows))
    return named


def write_effects(path: Path, variants: int, named: list[tuple[str, str]]) -> None:
    """SNVs in genome order, and effects around 0, of which few are large."""
    draws = np.random.default_rng(0)
    bases = np.array([b"A", b"C", b"G", b"T"])
    ref = draws.integers(0, 4, variants)
    with h5py.File(path, "w") as file:
        file.attrs["genome"], file.attrs["source"] = "hg19", "synthetic"
        file["snp"] = np.array([f"rs{n}".encode() for n in range(variants)])
        file["chr"] = np.full(variants, f"chr{_CHROM}".encode())
        file["pos"] = (_FIRST + np.arange(variants) * _SPACING).astype(np.uint32)
        file["ref"], file["alt"] = bases[ref], bases[(ref + draws.integers(1, 4, variants)) % 4]
        file["target_ids"], file["target_labels"] = (np.array([text.encode() for text in column]) for column in zip(*named, strict=True))
        effects = file.create_dataset("SAD", (variants, len(named)), np.float16)
        for begin in range(0, variants, _BATCH):
            size = (min(_BATCH, variants - begin), len(named))
            effects[begin : begin + size[0]] = draws.standard_normal(size, np.float32) ** 3 * np.float32(_SCALE)


def load(url: str, folder: Path, keep: str) -> None:
    """Loads the file of a folder as `vkg load enformer --unnormalized` does, and prints records, rows, seconds and peak memory (MB) as JSON."""
    import loaders.function_commands  # noqa: F401 - the command has imported all of it before it begins

    with psycopg.connect(url, autocommit=True) as conn:
        started = time.perf_counter()
        targets = folder / "targets.txt"
        job, read = enformer_job(conn, [folder / "effects.h5"], targets=targets, keep_tracks=keep, unnormalized=True, dataset="enformer")
        outcome = ingest(conn, job, read)
        seconds = time.perf_counter() - started
    assert isinstance(outcome, Outcome)
    counts = outcome.load.counts
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"records": counts["records"], "rows": sum(counts[table] for table in TABLES), "seconds": seconds, "peak": peak}))


def run_load(url: str, folder: Path, keep: str) -> dict[str, Any]:
    """What `load` prints in a process of its own."""
    command = [sys.executable, "-m", "bench.enformer", "--load", url, str(folder), "--keep", keep]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


def read(path: Path) -> float:
    """Seconds that it takes to read the matrix of a file once."""
    described = layout(path)
    started = time.perf_counter()
    with h5py.File(path) as file:
        for begin in range(0, len(file["pos"]), described.step):
            file["SAD"][begin : begin + described.step]
    return time.perf_counter() - started


def size(url: str) -> int:
    """Bytes of the table of effects with what is kept outside of its rows, and its indexes."""
    with psycopg.connect(url) as conn:
        (found,) = conn.execute("SELECT pg_total_relation_size('enformer_effect')").fetchone() or (0,)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description="What effects of Enformer cost to load, as a share of reading them and of the server's own COPY."
    )
    parser.add_argument("--variants", type=int, default=VARIANTS)
    parser.add_argument("--tracks", type=int, default=TRACKS)
    parser.add_argument("--keep", choices=("all", "summary", "none"), default="all", help="what is kept of the tracks")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="times that each is measured")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--load", nargs=2, metavar=("URL", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load(options.load[0], Path(options.load[1]), options.keep)
        return
    found, reading, copying = [], [], []
    with (
        own_server() as url,
        tempfile.TemporaryDirectory(prefix="vkg-bench-", dir="/tmp") as files,
        tempfile.TemporaryDirectory(dir=files) as dumps,
    ):
        folder = Path(files)
        folder.chmod(0o755)
        stores = load_vcf.Stores(url, Path(dumps), TABLES)
        write_effects(folder / "effects.h5", options.variants, write_targets(folder / "targets.txt", options.tracks))
        for _ in range(options.rounds):
            with stores.fresh() as store:
                found.append(run_load(store, folder, options.keep))
                stores.dump(store)
                kept = size(store) / options.variants
            with stores.fresh() as store:
                reading.append(read(folder / "effects.h5"))
                copying.append(stores.copy(store))
    seconds, limit = statistics.median(one["seconds"] for one in found), statistics.median(map(sum, zip(reading, copying, strict=True)))
    peak = max(one["peak"] for one in found)
    name = f"{options.variants:,} x {options.tracks:,}, keep {options.keep}"
    figure = load_vcf.Figure(name, found[0]["records"], found[0]["rows"], seconds, limit, peak)
    if options.json:
        parts = {"share": figure.share, "reading": statistics.median(reading), "copying": statistics.median(copying), "bytes": kept}
        print(json.dumps(asdict(figure) | parts, indent=2))
        return
    print(f"{load_vcf.TITLE}\n{figure}")
    print(f"seconds: load {seconds:.2f}; reading {statistics.median(reading):.2f}, copying {statistics.median(copying):.2f}")
    print(f"bytes for each variant: {kept:,.0f}")


if __name__ == "__main__":
    main()
