"""Loads of people, for the tests of samples: who is called, described, and of which population."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import pyarrow as pa

from loaders import ancestry, ibd
from store.copy import LINE, Chunk
from store.load import Load, SourceFile, begin

Conn = psycopg.Connection[Any]

Row = dict[str, Any]

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


_PLACE = {"file": 0, "chrom": 20, "start_pos": 1_000, "end_pos": 2_000, "length_cm": 3.0, "components": [0.5]}


def mention(
    *segments: Row, hbd: Sequence[Row] = (), places: Sequence[Row] = (), run: Row | None = None, analysis: Row | None = None, line: int = 1
) -> Chunk:
    """What a load says of people whom others name: segments that two share, homozygous ones, and places in ancestry space, by the columns of
    their tables (in which samples are names), each on a line of its own; and how they were found."""
    schema = ibd.SCHEMA | ancestry.SCHEMA
    about = {"ibd_run": run, "ancestry_run": analysis}
    tables = {table: pa.RecordBatch.from_pylist([row], schema[table]) for table, row in about.items() if row}
    said = {"ibd_segment": segments, "hbd_segment": hbd, "ancestry": places}
    for table, rows in said.items():
        given = [_PLACE | {"line": n, LINE: n} | row for n, row in enumerate(rows, line)]
        if rows:
            tables[table] = pa.RecordBatch.from_pylist(given, schema[table])
        line += len(rows)
    return Chunk(tables, sum(map(len, said.values())), end=line - 1)


def start(db: Conn, dataset: str, cohort: str = "kg", **options: Any) -> Load:
    """A load of people, opened."""
    kind = options.pop("kind", "samples")
    said = {"cohort": cohort} | ({"create_samples": True} if options.pop("create_samples", False) else {})
    version = options.pop("version", None)
    files = [SourceFile(dataset, f"{dataset}{version or ''}", 1)]
    load = begin(db, dataset=dataset, kind=kind, version=version, files=files, options=said, **options)
    assert isinstance(load, Load)
    return load


def loaded(db: Conn, dataset: str, cohort: str = "kg", hold: bool = False, version: str | None = None, **said: Any) -> int:
    """The number of a load of one chunk."""
    load = start(db, dataset, cohort, hold=hold, version=version, kind="variants" if "called" in said else "samples")
    load.write(0, chunk(**said), lambda rejects: None)
    load.file_done(0)
    load.finish()
    return load.load_id


def mentioned(db: Conn, dataset: str, chunk: Chunk, cohort: str = "kg", **options: Any) -> int:
    """The number of a load of one chunk about people whom others name, or with `create_samples` of new ones."""
    load = start(db, dataset, cohort, kind="ancestry" if "ancestry" in chunk.tables else "ibd", **options)
    load.write(0, chunk, lambda rejects: None)
    load.file_done(0)
    load.finish()
    return load.load_id


def samples(db: Conn) -> list[tuple[str, str]]:
    """(cohort, name) of every sample of the store."""
    return db.execute("SELECT cohort, name FROM sample ORDER BY 1, 2").fetchall()
