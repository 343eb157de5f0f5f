"""From files and options to a load of variant-to-function scores: everything that is settled, or refused, before anything is written."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from pathlib import Path

import psycopg
import pyarrow as pa

from loaders import v2f
from loaders.annotation_job import stating
from loaders.assembly_check import check_assembly
from loaders.errors import LoaderError
from loaders.lift import open_lift, read_lift
from loaders.normalize import Normalizer
from loaders.run import Job, Outcome, Read, dataset_name
from loaders.source import source_file
from loaders.v2f_layout import ELEMENTS, THRESHOLDS, layout
from loaders.vcf_job import open_reference
from store.assembly import assembly as assembly_of
from store.copy import Chunk
from store.genome import genome, register_reference
from store.load import AlreadyLoaded
from store.v2f_load import unknown_targets

UNKNOWN_TARGETS = "target genes that no visible annotation has"


def v2f_job(
    conn: psycopg.Connection,
    files: Sequence[Path],
    *,
    source: str,
    score_version: str | None = None,
    cell_type: str | None = None,
    tissue: str | None = None,
    threshold: float | None = None,
    reference: Path | None = None,
    dataset: str | None = None,
    version: str | None = None,
    assembly: str | None = None,
    lift: Path | None = None,
    hold: bool = False,
    unnormalized: bool = False,
    strict: bool = False,
) -> tuple[Job, Read]:
    """The job and the reader of a load of files of one source; the options are those of `vkg load v2f`.

    Registers `reference` with a store that has none. Raises InputError, LoaderError and StoreError for what must not be loaded.
    """
    if source not in THRESHOLDS:
        raise LoaderError(f"unknown source {source!r}\n  Known are: {', '.join(THRESHOLDS)}")
    _check_threshold(source, threshold)
    named = source == "table"
    if not named and (reference or unnormalized):
        raise LoaderError(
            f"files of {source} name no alleles that a reference could be asked about\n  Leave --reference and --unnormalized out."
        )
    store = genome(conn)
    given = assembly_of(assembly) if assembly else None
    fasta = open_reference(store, reference) if named else None
    # Positions alone are lifted over without a reference: they name nothing that it could be asked about.
    lifted = open_lift(lift, store.assembly, fasta) if named or lift is None else read_lift(lift, store.assembly)
    layouts = [layout(path, source) for path in files]
    for path, found in zip(files, layouts, strict=True):
        blocks = iter(()) if source in ELEMENTS else v2f.sites(path, found, lifted.source if lifted else store.assembly)
        check_assembly(conn, path, stating(found.comment), blocks, store=store.assembly, given=given, reference=fasta, lift=lifted)
    if fasta and store.reference_path is None:
        register_reference(conn, fasta.path, fasta.contigs)
    run = {
        "source": source,
        "score_version": score_version,
        "threshold": THRESHOLDS[source] if threshold is None else threshold,
        "synthetic": any(found.synthetic for found in layouts),
    }
    row = pa.RecordBatch.from_pylist([run], schema=v2f.SCHEMA["v2f_run"])
    normalizer = Normalizer(store.assembly, fasta, unnormalized, lift=lifted)

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        return v2f.Reader(files[ordinal], layouts[ordinal], source, normalizer, ordinal, cell_type, tissue, row).read(after)

    job = Job(
        kind="v2f",
        files=[source_file(path, found.comment or None) for path, found in zip(files, layouts, strict=True)],
        dataset=dataset or dataset_name(files[0]),
        version=version,
        options={
            **run,
            "cell_type": cell_type,
            "tissue": tissue,
            "reference": fasta.digest if fasta else None,
            "unnormalized": unnormalized,
            **({"lift": lifted.option} if lifted else {}),
        },
        hold=hold,
        normalized=not unnormalized,
        strict=strict,
    )
    return job, chunks


def count_unknown(conn: psycopg.Connection, outcome: Outcome | AlreadyLoaded) -> None:
    """Adds to what is odd how many target genes have no place in the graph: nothing of them is left out, but no gene leads to them."""
    if isinstance(outcome, Outcome) and (unknown := unknown_targets(conn, outcome.load.load_id)):
        outcome.load.warnings[UNKNOWN_TARGETS] += unknown


def _check_threshold(source: str, threshold: float | None) -> None:
    if threshold is not None and (not math.isfinite(threshold) or (source != "table" and not 0 <= threshold <= 1)):
        scale = "a finite number" if source == "table" else "between 0 and 1"
        raise LoaderError(f"--threshold is {threshold}, not {scale}\n  Give the score from which on {source} counts as positive.")
