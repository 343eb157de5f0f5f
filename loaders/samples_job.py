"""From a file and options to a load of samples: everything that is settled, or refused, before anything is written."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path

import psycopg

from loaders import samples
from loaders.run import Job, Outcome, Read, dataset_name, say
from loaders.source import source_file
from store.copy import Chunk
from store.load import AlreadyLoaded
from store.sample import cohort_described, in_callsets


def samples_job(
    conn: psycopg.Connection,
    path: Path,
    *,
    cohort: str | None = None,
    dataset: str | None = None,
    version: str | None = None,
    hold: bool = False,
    strict: bool = False,
) -> tuple[Job, Read]:
    """The job and the reader of a load of one file of samples; the options are those of `vkg load samples`.

    A dataset without a name is named as the file, its ending kept, since a VCF beside it has the same stem. The cohort is the one given, else
    that of the dataset's earlier versions, else the only one of the store if it has one of the names, else one of its own, named as the
    dataset, or as the file without its ending. Raises InputError.
    """
    samples.layout(path)
    own = dataset or dataset_name(path)
    dataset = dataset or path.name.removesuffix(".gz").removesuffix(".bgz")
    cohort_now = None
    if not cohort:
        cohort_now = partial(cohort_described, dataset=dataset, names=samples.names(path), own=own)
        cohort = cohort_now(conn)
        say(f"cohort {cohort}: --cohort NAME says otherwise")

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        return samples.read(path, after=after)

    job = Job("samples", [source_file(path)], dataset, version, {"cohort": cohort}, hold=hold, strict=strict, cohort_now=cohort_now)
    return job, chunks


def say_called(conn: psycopg.Connection, outcome: Outcome | AlreadyLoaded) -> None:
    """Says how many of the samples that were loaded have genotypes: where names differ from those in the VCFs, none have."""
    if isinstance(outcome, Outcome) and (counted := in_callsets(conn, outcome.load.load_id)) is not None:
        say(f"{counted:,} of {outcome.load.counts['sample_info']:,} samples are in callsets of cohort {outcome.load.cohort}")
