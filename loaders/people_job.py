"""From files and options to a load of populations or of ancestry: everything that is settled, or refused, before anything is written."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path

import psycopg

from loaders import ancestry, populations
from loaders.errors import InputError
from loaders.run import Job, Read, dataset_name, say
from loaders.source import source_file
from store.copy import Chunk
from store.sample import cohort_described


def populations_job(
    path: Path, *, dataset: str | None = None, version: str | None = None, hold: bool = False, strict: bool = False
) -> tuple[Job, Read]:
    """The job and the reader of a load of one file of populations; the options are those of `vkg load populations`. Raises InputError."""
    populations.check(path)

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        return populations.read(path, after=after)

    return Job("populations", [source_file(path)], dataset or dataset_name(path), version, {}, hold=hold, strict=strict), chunks


def ancestry_job(
    conn: psycopg.Connection,
    path: Path,
    *,
    eigenval: Path | None = None,
    unscaled: bool = False,
    cohort: str | None = None,
    create_samples: bool = False,
    dataset: str | None = None,
    version: str | None = None,
    hold: bool = False,
    strict: bool = False,
) -> tuple[Job, Read]:
    """The job and the reader of a load of one .eigenvec file; the options are those of `vkg load ancestry`.

    The eigenvalues are in `eigenval`, else in the file beside that has the same name but for its ending .eigenval. Dataset and cohort are chosen
    as for a file of samples (samples_job.py). Raises InputError.
    """
    components = ancestry.layout(path).components
    if unscaled and eigenval:
        raise InputError(eigenval, None, "eigenvalues are no use to --unscaled", "Give one of --eigenval and --unscaled.")
    scale = None if unscaled else ancestry.eigenvalues(_eigenval(path, eigenval), components)
    own = dataset or dataset_name(path)
    dataset = dataset or path.name.removesuffix(".gz").removesuffix(".bgz")
    cohort_now = None
    if not cohort:
        cohort_now = partial(cohort_described, dataset=dataset, names=ancestry.names(path), own=own)
        cohort = cohort_now(conn)
        say(f"cohort {cohort}: --cohort NAME says otherwise")
    of = cohort
    options = {"cohort": of, "eigenvalues": scale, "create_samples": create_samples}

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        return ancestry.read(path, of, scale, after=after)

    return Job("ancestry", [source_file(path)], dataset, version, options, hold=hold, strict=strict, cohort_now=cohort_now), chunks


def _eigenval(path: Path, given: Path | None) -> Path:
    if given is not None:
        return given
    name = path.name.removesuffix(".gz").removesuffix(".bgz")
    beside = path.with_name(name.removesuffix(".eigenvec") + ".eigenval")
    for place in (beside, beside.with_name(beside.name + ".gz")):
        if place.exists():
            return place
    raise InputError(
        path,
        None,
        f"its eigenvalues are not beside it: there is no {beside.name}",
        "Components are weighed by them: give --eigenval FILE, or load the components as they are with --unscaled.",
    )
