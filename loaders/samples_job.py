"""From a file and options to a load of samples: everything that is settled, or refused, before anything is written."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import psycopg

from loaders import samples
from loaders.errors import InputError
from loaders.run import Job, Outcome, Read, dataset_name, say
from loaders.source import source_file
from store.copy import Chunk
from store.load import AlreadyLoaded
from store.sample import cohorts, in_callsets


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

    The cohort is the one given, else the only one of the store, else, in a store without any, the dataset's name. Raises InputError.
    """
    samples.layout(path)
    dataset = dataset or dataset_name(path)
    others = cohorts(conn)
    if not cohort and len(others) > 1:
        raise InputError(path, None, "the store has several cohorts", f"Say whose samples these are: --cohort NAME ({', '.join(others)})")
    cohort = cohort or (others[0] if others else dataset)

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        return samples.read(path, after=after)

    return Job("samples", [source_file(path)], dataset, version, {"cohort": cohort}, hold=hold, strict=strict), chunks


def say_called(conn: psycopg.Connection, outcome: Outcome | AlreadyLoaded) -> None:
    """Says how many of the samples that were loaded have genotypes: where names differ from those in the VCFs, none have."""
    if isinstance(outcome, Outcome) and (counted := in_callsets(conn, outcome.load.load_id)) is not None:
        say(f"{counted:,} of {outcome.load.counts['sample_info']:,} samples are in callsets of cohort {outcome.load.cohort}")
