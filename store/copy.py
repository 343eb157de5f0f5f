"""Batches into tables: Arrow record batches are encoded by pgpq and sent by binary COPY.

A loader yields `Chunk`s. Each is written in one transaction (load.Load.write). Identity rows (`variant`) pass
through a temporary stage where other loads may have some of them already; observations are new rows of a new load and
are copied directly, after rows that repeat an earlier one of the load were taken out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import psycopg
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg import sql

from .variant_key import is_hashed

ROW = "_row"
"""Column that ties rows of several tables to one record of a chunk; it is not written."""

LINE = "_line"
"""Column with the line of the file that a row comes from, where its table has none; it is not written."""

REPEATED = "repeated record"
"""Reason of rejects that repeat an earlier row of their load."""

_ENCODE_ROWS = 5_000  # some hundred kB: they are made while the server still reads those before


@dataclass(frozen=True)
class Reject:
    """One input row that was not loaded: where it stands, why, and the row itself (cut to a sensible length)."""

    line: int
    reason: str
    detail: str
    row: str


class Encoded(NamedTuple):
    """Rows, and what is sent to the server for these and no others."""

    rows: pa.RecordBatch
    parts: list[bytes]


@dataclass
class Chunk:
    """One transaction's worth of a file.

    `tables` maps a table to rows without `load_id`. Where `variant` is among them, the tables whose rows belong to
    variants have the column `_row`, the index of the variant in this chunk, and `variant_record` has exactly one row for
    each; scores and frequencies that come without variants have `_row` and `_line`. Samples are names, which the store numbers. `records` counts the file's records read for this
    chunk, rejected ones included. `position` is how far in the file that was, in bytes on disk, for progress; `end` is the
    last line of it, after which a load that was cut off goes on. `skipped` counts by name what is no variant and no fault either; `warnings` counts what was loaded but is odd.
    `encoded` has what `prepare` made of tables.
    """

    tables: dict[str, pa.RecordBatch]
    records: int
    rejects: list[Reject] = field(default_factory=list)
    position: int = 0
    end: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    encoded: dict[str, Encoded] = field(default_factory=dict)


def prepare(chunk: Chunk, load_id: int) -> Chunk:
    """Encodes the rows of a chunk of variants beforehand, as `copy_rows` would, for a reader's thread to do while the chunk before is written."""
    if "variant" in chunk.tables:
        for table, rows in chunk.tables.items():
            written = _written(rows, {} if table == "variant" else {"load_id": load_id})
            chunk.encoded[table] = Encoded(rows, list(_parts(written)))
    return chunk


def copy_rows(
    conn: psycopg.Connection, table: str, rows: pa.RecordBatch, constants: Mapping[str, int] | None = None, encoded: Encoded | None = None
) -> int:
    """Sends rows to a table by binary COPY; columns are matched by name, `_row` and `_line` are left out.

    `constants` adds int4 columns of one value (load_id). `encoded` is used where it is of these very rows. Returns the number of rows.
    """
    if rows.num_rows == 0:
        return 0
    written = _written(rows, constants or {})
    columns = sql.SQL(", ").join(map(sql.Identifier, written.schema.names))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(sql.Identifier(table), columns)
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for part in encoded.parts if encoded and encoded.rows is rows else _parts(written):
            copy.write(part)
    return rows.num_rows


def _written(rows: pa.RecordBatch, constants: Mapping[str, int]) -> pa.RecordBatch:
    """Rows with the columns that their table has."""
    for name, value in constants.items():
        rows = rows.append_column(name, pa.array(np.full(rows.num_rows, value, np.int32)))
    return rows.drop_columns([name for name in (ROW, LINE) if name in rows.schema.names])


def _parts(rows: pa.RecordBatch) -> Iterator[bytes]:
    """Rows in the binary format of COPY."""
    encoder = ArrowToPostgresBinaryEncoder(rows.schema)
    yield encoder.write_header()
    for start in range(0, rows.num_rows, _ENCODE_ROWS):
        yield encoder.write_batch(rows.slice(start, _ENCODE_ROWS))
    yield encoder.finish()


def keep(rows: pa.RecordBatch, kept: np.ndarray) -> pa.RecordBatch:
    """The rows whose variant is kept; `kept` is (variants,) bool, indexed by `_row`. Rows of no variant stay."""
    if ROW not in rows.schema.names:
        return rows
    mask = kept[rows.column(ROW).to_numpy()]
    return rows if mask.all() else rows.filter(pa.array(mask))


def insert_variants(conn: psycopg.Connection, rows: pa.RecordBatch, *, alone: bool = False, encoded: Encoded | None = None) -> int:
    """Adds the variants that the store does not have yet. Returns how many they were.

    `alone` says that nobody else adds any before this transaction ends: then those that no stored one lies among are copied straight in, which takes a
    third of the time.
    """
    with conn.cursor() as cursor:
        if alone and rows.num_rows:
            keys = rows.column("variant_key").to_numpy()
            cursor.execute(
                "SELECT variant_key FROM variant WHERE variant_key >= %s ORDER BY variant_key LIMIT 1", (int(keys.min()),), binary=True
            )
            first = cursor.fetchone()
            if first is None or first[0] > int(keys.max()):
                return copy_rows(conn, "variant", rows, encoded=encoded)
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS variant_stage (LIKE variant) ON COMMIT DELETE ROWS")
        copy_rows(conn, "variant_stage", rows, encoded=encoded)
        # In one order for all, since an insert waits for another load's of the same key.
        cursor.execute(
            """WITH added AS (INSERT INTO variant SELECT * FROM variant_stage ORDER BY variant_key ON CONFLICT DO NOTHING RETURNING 1)
            SELECT count(*) FROM added"""
        )
        (added,) = cursor.fetchone() or (0,)
        return added


def collisions(conn: psycopg.Connection, rows: pa.RecordBatch) -> list[int]:
    """Which of the variants have the key of a stored variant with other alleles: hashes that collide (design section 3)."""
    keys = rows.column("variant_key").to_numpy()
    hashed = np.flatnonzero(is_hashed(keys)).tolist()
    stored = {
        key: (ref, alt)
        for key, ref, alt in conn.execute("SELECT variant_key, ref, alt FROM variant WHERE variant_key = ANY(%s)", (keys[hashed].tolist(),))
    }
    return [row for row in hashed if stored.get(int(keys[row]), locus(rows, row)[2:]) != locus(rows, row)[2:]]


def locus(rows: pa.RecordBatch, row: int) -> tuple[int, int, str, str]:
    """(chrom, pos, ref, alt) of one row of `variant`."""
    chrom, pos, ref, alt = (rows.column(name)[row].as_py() for name in ("chrom", "pos", "ref", "alt"))
    return chrom, pos, ref, alt


def repeated(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows repeat an earlier one: (indices of repeats, index of the first row with the same key), in order."""
    order = np.argsort(keys, kind="stable")
    in_order = keys[order]
    same = np.flatnonzero(in_order[1:] == in_order[:-1]) + 1
    if not len(same):
        return same, same
    starts = np.searchsorted(in_order, in_order[same], side="left")
    rows = np.argsort(order[same], kind="stable")
    return order[same][rows], order[starts][rows]


def record_lines(conn: psycopg.Connection, load_id: int, keys: Iterable[int]) -> dict[int, int]:
    """The lines of records that the load already has, by key."""
    with conn.cursor() as cursor:
        cursor.execute("SELECT variant_key, line FROM variant_record WHERE variant_key = ANY(%s) AND load_id = %s", (list(keys), load_id))
        return dict(cursor.fetchall())


def present(conn: psycopg.Connection, table: str, load_id: int, keys: Iterable[int]) -> set[int]:
    """Of which of the keys the load has rows in a table already."""
    find = sql.SQL("SELECT variant_key FROM {} WHERE variant_key = ANY(%s) AND load_id = %s").format(sql.Identifier(table))
    with conn.cursor() as cursor:
        cursor.execute(find, (list(keys), load_id))
        return {key for (key,) in cursor}
