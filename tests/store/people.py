"""Loads of people, for the tests of samples: who is called, described, and of which population."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import pyarrow as pa

from store.copy import Chunk
from store.load import Load, SourceFile, begin

Conn = psycopg.Connection[Any]

INFO = ("sample_id", "family", "sex", "population", "father_id", "mother_id", "phenotype")


def chunk(called: Sequence[str] = (), infos: Sequence[dict[str, str]] = (), populations: dict[str, str | None] | None = None) -> Chunk:
    """What a load says of people: the samples of a callset, descriptions by the columns of sample_info, populations by name."""
    tables = {}
    if called:
        tables["callset_sample"] = pa.record_batch({"ordinal": pa.array(range(len(called)), pa.int32()), "sample_id": list(called)})
    if infos:
        tables["sample_info"] = pa.record_batch({name: pa.array([i.get(name) for i in infos], pa.string()) for name in INFO})
    if populations:
        columns = {"name": pa.array(populations, pa.string()), "super_population": pa.array(populations.values(), pa.string())}
        tables["population"] = pa.record_batch(columns)
    return Chunk(tables, 1, end=1)


def start(db: Conn, dataset: str, cohort: str = "kg", **options: Any) -> Load:
    """A load of people, opened."""
    kind = options.pop("kind", "samples")
    load = begin(
        db, dataset=dataset, kind=kind, version=None, files=[SourceFile(dataset, dataset, 1)], options={"cohort": cohort}, **options
    )
    assert isinstance(load, Load)
    return load


def loaded(db: Conn, dataset: str, cohort: str = "kg", hold: bool = False, **said: Any) -> int:
    """The number of a load of one chunk."""
    load = start(db, dataset, cohort, hold=hold, kind="variants" if "called" in said else "samples")
    load.write(0, chunk(**said), lambda rejects: None)
    load.file_done(0)
    load.finish()
    return load.load_id


def samples(db: Conn) -> list[tuple[str, str]]:
    """(cohort, name) of every sample of the store."""
    return db.execute("SELECT cohort, name FROM sample ORDER BY 1, 2").fetchall()
