"""From files and options to a load of Enformer's effects: everything that is settled, or refused, before anything is written."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pyarrow as pa

from loaders import enformer
from loaders.annotation_job import stating
from loaders.assembly_check import check_assembly
from loaders.enformer_effects import Pairs
from loaders.enformer_layout import SCORES, Matrix, Table, Track, layout, stated_assembly
from loaders.enformer_layout import targets as read_targets
from loaders.errors import InputError, LoaderError
from loaders.lift import open_lift
from loaders.normalize import Normalizer
from loaders.run import Job, Read, dataset_name
from loaders.source import source_file
from loaders.vcf_job import open_reference
from store.assembly import assembly as assembly_of
from store.copy import Chunk
from store.genome import genome, register_reference
from store.tissue import DIGEST

THRESHOLD = 0.1
"""Size from which on an effect counts as one, unless told otherwise. Tracks have scales of their own, and SAR and SAD too: choose it for what is asked."""

MOST_DIMENSIONS = 16_000
"""Of a halfvec (pgvector)."""


def enformer_job(
    conn: psycopg.Connection,
    files: Sequence[Path],
    *,
    targets: Path | None = None,
    score: str | None = None,
    threshold: float | None = None,
    keep_tracks: str = enformer.ALL,
    reference: Path | None = None,
    dataset: str | None = None,
    version: str | None = None,
    assembly: str | None = None,
    lift: Path | None = None,
    hold: bool = False,
    unnormalized: bool = False,
    strict: bool = False,
) -> tuple[Job, Read]:
    """The job and the reader of a load of Enformer's effects; the options are those of `vkg load enformer`.

    Registers `reference` with a store that has none. Raises InputError, LoaderError and StoreError for what must not be loaded.
    """
    _check_options(score, threshold, keep_tracks)
    store = genome(conn)
    given = assembly_of(assembly) if assembly else None
    fasta = open_reference(store, reference)
    lifted = open_lift(lift, store.assembly, fasta)
    wanted = read_targets(targets) if targets else None
    layouts = [layout(path, score, wanted) for path in files]
    _check_alike(files, layouts)
    normalizer = Normalizer(store.assembly, fasta, unnormalized, lift=lifted, swaps=True)
    for path, found in zip(files, layouts, strict=True):
        with closing(enformer.sites(path, found, normalizer)) as blocks:
            header = stating(stated_assembly(found))
            check_assembly(conn, path, header, blocks, store=store.assembly, given=given, reference=fasta, lift=lifted)
    first = layouts[0]
    if isinstance(first, Table) and (targets or score or threshold is not None or keep_tracks != enformer.ALL):
        raise InputError(
            files[0], None, "principal components have no tracks", "Leave --targets, --score, --threshold and --keep-tracks out."
        )
    if isinstance(first, Matrix) and keep_tracks == enformer.ALL and len(first.tracks) > MOST_DIMENSIONS:
        raise InputError(
            files[0], None, f"{len(first.tracks):,} tracks, of which at most {MOST_DIMENSIONS:,} can all be kept",
            "Keep the strongest: --keep-tracks summary, or none: --keep-tracks none",
        )  # fmt: skip
    if fasta and store.reference_path is None:
        register_reference(conn, fasta.path, fasta.contigs)
    tracks = first.tracks if isinstance(first, Matrix) else ()
    pairs = Pairs([track.tissue for track in tracks], [track.assay for track in tracks])
    counted = THRESHOLD if threshold is None else threshold
    run = {
        "score": first.score if isinstance(first, Matrix) else None,
        "threshold": counted if tracks else None,
        "tracks_kept": keep_tracks.upper() if tracks else None,
        "track_count": len(tracks),
        "component_count": first.components if isinstance(first, Table) else 0,
        "synthetic": any(found.synthetic for found in layouts),
    }
    about = {"enformer_run": pa.RecordBatch.from_pylist([run | {"summaries": pairs.names}], schema=enformer.SCHEMA["enformer_run"])}
    if tracks:
        about["enformer_track"] = enformer.tracks_table(tracks)

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        reader = enformer.Reader(files[ordinal], layouts[ordinal], normalizer, ordinal, about, counted, keep_tracks, pairs)
        return reader.read(after)

    job = Job(
        kind="enformer",
        files=[source_file(path, found.comment or None) for path, found in zip(files, layouts, strict=True)],
        dataset=dataset or dataset_name(files[0]),
        version=version,
        options={
            **run,
            "targets": source_file(targets).sha256 if targets else None,
            "tissues": DIGEST if tracks else None,
            "reference": fasta.digest if fasta else None,
            "unnormalized": unnormalized,
            **({"lift": lifted.option} if lifted else {}),
        },
        hold=hold,
        normalized=not unnormalized,
        strict=strict,
    )
    return job, chunks


def _check_options(score: str | None, threshold: float | None, keep_tracks: str) -> None:
    if score is not None and score not in SCORES:
        raise LoaderError(f"unknown score {score!r}\n  Known are: {', '.join(SCORES)}")
    if threshold is not None and not (math.isfinite(threshold) and threshold >= 0):
        raise LoaderError(f"--threshold is {threshold}, not a finite number from 0\n  Give the size from which on an effect counts.")
    if keep_tracks not in enformer.KEEP:
        raise LoaderError(f"unknown --keep-tracks {keep_tracks!r}\n  Known are: {', '.join(enformer.KEEP)}")


def _check_alike(files: Sequence[Path], layouts: Sequence[Matrix | Table]) -> None:
    """Raises InputError where a file differs from the first in what its numbers are about."""
    first = layouts[0]
    for path, found in zip(files, layouts, strict=True):
        if why := next(_differences(first, found), None):
            raise InputError(
                path, None, f"{why} in {files[0].name}", "Files of one load have the same tracks, in the same order: load it on its own."
            )


def _differences(first: Matrix | Table, found: Matrix | Table) -> Iterator[str]:
    if isinstance(first, Table) and isinstance(found, Table):
        if found.components != first.components:
            yield f"{found.components} principal components, {first.components}"
    elif isinstance(first, Matrix) and isinstance(found, Matrix):
        if found.score != first.score:
            yield f"its effects are {found.score}, {first.score}"
        if len(found.tracks) != len(first.tracks):
            yield f"{len(found.tracks):,} tracks, {len(first.tracks):,}"
        yield from (_track_differs(n, *pair) for n, pair in enumerate(zip(found.tracks, first.tracks, strict=True)) if pair[0] != pair[1])
    else:
        yield ", ".join("principal components" if isinstance(each, Table) else "effects on tracks" for each in (found, first))


def _track_differs(ordinal: int, here: Track, there: Track) -> str:
    if here.identifier != there.identifier:
        return f"track {ordinal} is {here.identifier}, {there.identifier}"
    return f"track {ordinal} is {here.description[:60]!r}, {there.description[:60]!r}"
