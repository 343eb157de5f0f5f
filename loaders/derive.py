"""What is worked out from what is stored: the frequencies of populations, counted again from a callset's genotypes.

A load of genotypes counts the populations that are known at that time (counts.py). What becomes known later, a panel or another grouping of
populations, is counted here: the genotypes are read back from the store, and a load of its own has the frequencies.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator

import numpy as np
import psycopg
import pyarrow as pa

from loaders.counts import Populations
from loaders.errors import LoaderError
from loaders.frequencies import Frequencies
from loaders.run import Job, Outcome, Read, say
from store.callset import Callset, callsets, genotypes, samples_in
from store.copy import LINE, Chunk
from store.load import AlreadyLoaded, SourceFile
from store.planes import decode
from store.sample import known

CHUNK_CALLS = 5_000_000
"""Calls in memory at once, in several forms."""


class DeriveError(LoaderError):
    """Nothing can be worked out: why, and what to do."""


def derive_job(conn: psycopg.Connection, callset: str, *, hold: bool = False) -> tuple[Job, Read] | None:
    """The job and the reader of frequencies that are counted again; the options are those of `vkg derive frequencies`. None, which it says, where
    they were counted by the same populations as are known now.

    `callset` names a visible one: its dataset, or dataset@version. The load's dataset is named after it, NAME.frequencies; its one file stands for
    the callset, and its digest for the callset's genotypes and who is of which population. Everybody (ALL) is left out where the callset's
    own load counted them. Raises DeriveError.
    """
    of = _named(callsets(conn), callset)
    samples = samples_in(conn, of.load_id)
    populations = Populations(samples, known(conn, of.cohort), everybody=not of.everybody)
    if populations.digest is None:
        raise DeriveError(
            f"no population is known of the samples of {of.dataset} {of.version}\n  Load some first: vkg load samples FILE --cohort {of.cohort}"
        )
    if populations.digest == of.counted:
        say(f"{of.dataset} {of.version} was counted by the populations that are known now: nothing to do")
        return None
    if unknown := len(samples) - populations.known:
        say(f"of {unknown:,} of {len(samples):,} samples no population is known: they are not counted")
    digest = hashlib.sha256(json.dumps([of.load_id, populations.digest, populations.names]).encode()).hexdigest()
    job = Job(
        kind="frequencies",
        files=[SourceFile(f"{of.dataset}@{of.version}", digest, of.variants)],
        dataset=f"{of.dataset}.frequencies",
        version=None,
        options={"callset": of.load_id, "populations": populations.digest},
        hold=hold,
    )

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        return count(conn, of, len(samples), populations, after=after)

    return job, chunks


def count(conn: psycopg.Connection, of: Callset, samples: int, populations: Populations, *, after: int = 0) -> Generator[Chunk, None, None]:
    """The chunks of the frequencies of a callset, from its variant number `after` on; the first one names the populations.

    The lines of a chunk are numbers of variants, in genome order.
    """
    frequencies = Frequencies({}, frozenset(), populations)
    done = after
    for rows in genotypes(conn, of.load_id, skip=after, size=max(1, CHUNK_CALLS // max(samples, 1))):
        frequencies.count(decode(rows, samples))
        keys = pa.array([row["variant_key"] for row in rows], pa.int64())
        line = np.arange(done + 1, done + len(rows) + 1, dtype=np.int32)
        tables = {"population_frequency": frequencies.read().append_column("variant_key", keys).append_column(LINE, pa.array(line))}
        if not done:
            places = frequencies.places()
            callset = pa.array(np.full(places.num_rows, of.load_id, np.int32))
            tables["frequency_population"] = places.append_column("callset_load", callset)
        done += len(rows)
        yield Chunk(tables, len(rows), position=done, end=done)


def say_outdated(conn: psycopg.Connection, outcome: Outcome | AlreadyLoaded, cohort: str | None = None) -> None:
    """Names the visible callsets, of all cohorts or of one, whose frequencies were counted by other populations than are known now."""
    if isinstance(outcome, AlreadyLoaded) or outcome.release is None:
        return
    for of in callsets(conn, cohort):
        digest = Populations(samples_in(conn, of.load_id), known(conn, of.cohort)).digest
        if digest not in (None, of.counted):
            say(f"{of.dataset} {of.version} was counted before these populations were known: vkg derive frequencies --callset {of.dataset}")


def _named(visible: list[Callset], name: str) -> Callset:
    """The callset that a user names. Raises DeriveError where it is not visible."""
    found = [of for of in visible if name in (of.dataset, f"{of.dataset}@{of.version}")]
    if len(found) != 1:
        there = ", ".join(f"{of.dataset}@{of.version}" for of in visible) or "none"
        raise DeriveError(f"no visible callset {name!r}\n  Visible are: {there}; vkg publish shows one that is held.")
    return found[0]
