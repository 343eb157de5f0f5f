"""Files of Enformer's effects for tests, made with the layout of the published ones; loading them, and what was stored and rejected of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psycopg

from loaders.enformer_job import enformer_job
from loaders.run import Outcome, ingest
from store.enformer import TRACKS_KEPT
from store.load import AlreadyLoaded
from store.reference import Reference
from store.release import purge, unload
from store.tissue import ASSAYS, TISSUES, assay_of, tissue_of
from tests.conftest import ROOT

Conn = psycopg.Connection[Any]
Write = Callable[..., Path]

FASTA = ROOT / "demo" / "chr20_npad_0.9-4.1mb.grch37.fa.gz"
DEMO = Reference(FASTA)

TRACKS = [
    ("ENCFF000001", "DNASE:liver embryo (59 days) and embryo (80 days)"),
    ("CNhs10624", "CAGE:liver, adult, pool1"),
    ("CNhs10617", "CAGE:brain, adult, pool1"),
    ("ENCFF000004", "CHIP:H3K27ac:K562"),
    ("CNhs12340", "CAGE:Hepatocyte,"),
    ("CNhs11785", "CAGE:heart, adult, diseased,"),
    ("ENCFF000007", "CHIP:CTCF:right lobe of liver female adult (53 years)"),
]
HEADER = "index\tgenome\tidentifier\tfile\tclip\tscale\tsum_stat\tdescription\n"
PCA = "#CHROM\tPOS\tID\tREF\tALT\tPC0\tPC1\tPC2\n"
SUMMARIES = ["BRAIN:CAGE", "HEART:CAGE", "LIVER:CAGE", "LIVER:DNASE", "LIVER:CHIP"]

COLUMNS = """variant_key, file, line, swapped, source_locus, strongest, strongest_track, over_threshold, tissue_effects, tissue_tracks,
    kept_effects, kept_tracks, components, tracks::real[]"""

Site = tuple[str, int, str, str]


def load(conn: Conn, *paths: Path, **options: Any) -> Outcome | AlreadyLoaded:
    """Loads files as `vkg load enformer` does, GRCh37 and the demo's reference unless told otherwise."""
    job, read = enformer_job(conn, paths, **{"assembly": "GRCh37", "reference": FASTA, **options})
    return ingest(conn, job, read)


def loaded(conn: Conn, *paths: Path, **options: Any) -> Outcome:
    outcome = load(conn, *paths, **options)
    assert isinstance(outcome, Outcome)
    return outcome


def stored(conn: Conn, columns: str = COLUMNS) -> list[tuple]:
    """Rows of enformer_effect in the order of the files; as binary, in which 32-bit floats arrive whole."""
    return conn.execute(f"SELECT {columns} FROM enformer_effect ORDER BY load_id, file, line", binary=True).fetchall()


def rejects(path: Path) -> list[list[str]]:
    """(line, reason, detail) of each reject of a file."""
    return [line.split("\t")[:3] for line in path.with_name(f"{path.name}.rejects.tsv").read_text().splitlines()[1:]]


def take_out(conn: Conn, outcome: Outcome) -> None:
    """Unloads a load, and removes its rows as if the longest request were over."""
    unload(conn, outcome.load.load_id)
    conn.execute("UPDATE load SET unloaded_at = unloaded_at - interval '1 day'")
    assert purge(conn) == [outcome.load.load_id]


def snvs(count: int, first: int = 1_000_000, step: int = 101) -> list[Site]:
    """So many SNVs of the demo's reference."""
    found = []
    for pos in range(first, first + count * step, step):
        ref = DEMO.fetch(20, pos, pos)
        found.append(("chr20", pos, ref, "ACGT"["ACGT".index(ref) - 1]))
    return found


def turned(site: Site) -> Site:
    chrom, pos, ref, alt = site
    return chrom, pos, alt, ref


def random_effects(variants: int, tracks: int = len(TRACKS), seed: int = 0) -> np.ndarray:
    """(variants, tracks) float16, many of them equal in size."""
    draws = np.random.default_rng(seed)
    effects = (draws.standard_normal((variants, tracks)) ** 3 / 8).astype(np.float16)
    effects[:, ::3] = np.round(effects[:, ::3].astype(np.float32), 1).astype(np.float16)
    return effects


def write_effects(
    folder: Path,
    sites: Sequence[Site],
    effects: np.ndarray | None = None,
    name: str = "some.h5",
    *,
    tracks: Sequence[tuple[str, str]] = TRACKS,
    score: str = "SAD",
    drop: Sequence[str] = (),
    attributes: dict[str, Any] | None = None,
    objects: bool = False,
    chunks: tuple[int, int] | None = None,
    **datasets: Any,
) -> Path:
    """Writes a file as the published ones are; datasets by name, those in `drop` left out, text as objects or of a fixed length."""
    path = folder / name
    columns = [list(column) for column in zip(*sites, strict=True)] or [[], [], [], []]
    chrom, pos, ref, alt = columns
    text = {
        "snp": [f"rs{n}" for n in range(len(sites))],
        "chr": chrom,
        "ref": ref,
        "alt": alt,
        "target_ids": [identifier for identifier, _ in tracks],
        "target_labels": [label for _, label in tracks],
    }
    made: dict[str, Any] = {key: value if objects else np.array(value, "S") for key, value in text.items()}
    made |= {
        "pos": np.array(pos, np.uint32),
        score: random_effects(len(sites), len(tracks)) if effects is None else effects,
        **datasets,
    }
    with h5py.File(path, "w") as file:
        for key, value in made.items():
            if key not in drop:
                file.create_dataset(key, data=value, chunks=chunks if key == score else None)
        file.attrs.update(attributes or {})
    return path


def write_targets(folder: Path, rows: Sequence[tuple[Any, str, str]] | None = None, header: str = HEADER) -> Path:
    """Writes a file like targets_human.txt: rows of (index, identifier, description), those of TRACKS unless told otherwise."""
    path = folder / "targets.txt"
    listed = [(n, *track) for n, track in enumerate(TRACKS)] if rows is None else rows
    path.write_text(header + "".join(f"{n}\t0\t{name}\tx.w5\t32\t2\tmean\t{said}\n" for n, name, said in listed))
    return path


def counts(conn: Conn) -> list[int]:
    """Rows of the tables of Enformer, and loads."""
    return [conn.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("enformer_run", "enformer_track", "enformer_effect", "load")]  # type: ignore[index]


def expected(effects: np.ndarray, tracks: Sequence[tuple[str, str]], threshold: float, keep: str) -> list[tuple]:
    """The columns from strongest to kept_tracks, worked out one by one in double precision from the definitions."""
    pairs = [(tissue, assay) for tissue in TISSUES for assay in ASSAYS]
    of = [(tissue_of(said), assay_of(said)) for _, said in tracks]
    members = [{n for n, each in enumerate(of) if each == pair} for pair in pairs]
    rows = []
    for row in effects.astype(np.float64).tolist():
        ranked = sorted(range(len(row)), key=lambda n: (-abs(row[n]), n))
        top = ranked[0]
        tops = [next(n for n in ranked if n in ordinals) for ordinals in members if ordinals]
        kept = ranked[:TRACKS_KEPT] if keep == "summary" else None
        listed = ([row[n] for n in kept], kept) if kept is not None else (None, None)
        rows.append((row[top], top, sum(abs(x) >= threshold for x in row), [row[n] for n in tops], tops, *listed))
    return rows


def check(conn: Conn, effects: np.ndarray, tracks: Sequence[tuple[str, str]] = TRACKS, threshold: float = 0.1, keep: str = "all") -> None:
    """Every column about effects is what the definitions say."""
    found = [row[5:] for row in stored(conn)]
    told = expected(effects, tracks, threshold, keep)
    vectors = effects.astype(np.float64).tolist() if keep == "all" else [None] * len(effects)
    assert found == [(*row, None, vector) for row, vector in zip(told, vectors, strict=True)]
