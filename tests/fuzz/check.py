"""What a reader may do with a file, whatever is in it: give chunks that the store can take, or say in its own error what is wrong and where."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from embedder.errors import EmbedderError
from loaders.errors import LoaderError
from loaders.rejects import written
from store.copy import Chunk, _parts, _written
from store.errors import StoreError

ERRORS = (LoaderError, StoreError, EmbedderError)
"""What the front door shows a user as one message (vkg.main)."""

SEEDS = Path(__file__).with_name("seeds")
LONGEST_MESSAGE = 2_000
"""Characters of a message, of which a file may fill a part: more is no message."""

JSON = frozenset(("info", "extra"))
"""Columns of type json, but for components, which is one in v2f_score alone."""


class Unsound(AssertionError):
    """A chunk that the store could not take, or an error that does not say what a user needs."""


def chunks(made: Iterable[Chunk]) -> int:
    """Takes all chunks of a reader as a load does, up to the point where they would be sent. Returns how many records they are of."""
    records = end = 0
    with closing(made) if isinstance(made, Generator) else nullcontext():
        for chunk in made:
            _chunk(chunk)
            if chunk.tables or chunk.records:
                if chunk.end < end:
                    raise Unsound(f"a chunk ends in line {chunk.end}, the one before in {end}")
                end = chunk.end
            records += chunk.records
    return records


def message(error: Exception, path: Path) -> None:
    """Raises Unsound unless an error names the file, says what to do, and is of a length that can be read."""
    said = str(error)
    what, newline, remedy = said.partition("\n")
    if path.stem not in said and str(SEEDS) not in said:
        raise Unsound(f"the file is not named: {said[:500]!r}") from error
    if not newline or not remedy.strip() or not what.strip():
        raise Unsound(f"no remedy: {said[:500]!r}") from error
    if len(said) > LONGEST_MESSAGE:
        raise Unsound(f"a message of {len(said):,} characters: {said[:500]!r}") from error
    if "\0" in said or "\x1b" in said:
        raise Unsound(f"a message that a terminal takes for a command: {said[:500]!r}") from error
    said.encode()


def _chunk(chunk: Chunk) -> None:
    for table, rows in chunk.tables.items():
        rows.validate(full=True)
        for name, column in zip(rows.schema.names, rows.columns, strict=True):
            _texts(table, name, column)
        list(_parts(_written(_plain(rows), {})))
    for reject in chunk.rejects:
        told = written(reject)
        if told.count("\t") - reject.row.count("\t") != 3 or told.count("\n") != 1 or len(told) > LONGEST_MESSAGE:
            raise Unsound(f"a reject that is no line of a table: {reject!r:.900}")
        if not 0 <= reject.line < 1 << 31:
            raise Unsound(f"a reject of line {reject.line}")
    for counted in (chunk.skipped, chunk.warnings):
        for name in counted:
            if "\n" in name or len(name) > LONGEST_MESSAGE:
                raise Unsound(f"what is counted is no line: {name!r:.500}")
            name.encode()


def _texts(table: str, name: str, column: pa.Array) -> None:
    """Raises Unsound for a text with a zero byte, which PostgreSQL has none of, and for JSON that is none."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary
    values: Any = column
    while pa.types.is_list(values.type):
        values = values.flatten()
    if not pa.types.is_string(values.type):
        return
    if pc.any(pc.match_substring(values, "\0")).as_py():
        raise Unsound(f"{table}.{name} has a text with a zero byte")
    if name in JSON or (name, table) == ("components", "v2f_score"):
        for each in values.drop_null().to_pylist():
            json.loads(each, parse_constant=_refuse, parse_int=str)


def _refuse(name: str) -> None:
    raise Unsound(f"{name} in JSON")


def _plain(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows without dictionaries, which become numbers before they are sent."""
    columns = [column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column for column in rows.columns]
    return pa.record_batch(columns, names=rows.schema.names)
