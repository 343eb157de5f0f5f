"""Vectors of variants: the models that make them, what is still to be embedded, and how vectors are written and found."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.rows import class_row

from .copy import copy_rows
from .embedding_inputs import read_alike
from .errors import StoreError
from .read import HIGHEST, LOWEST
from .vector import halfvecs

LOCK = 0x766B6703
"""Advisory lock of those who plan tasks, with the model's number."""

TASK_VARIANTS = 2_048
"""How many variants a worker takes at once, where it does not say: what is lost when it dies."""

EVERYWHERE = [(LOWEST, HIGHEST)]
"""The range of all keys."""

LARGEST = 4_000
"""Numbers of a vector at most: more cannot be indexed (pgvector, halfvec)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,199}")


@dataclass(frozen=True)
class Model:
    """A registered model, or one to register: everything that decides what its vectors are. See embedding_model."""

    name: str
    revision: str | None
    weights_sha256: str | None
    dimension: int
    flank: int | None
    pooling: str | None
    dtype: str | None
    reference: str | None
    inputs: list[str]
    release_id: int | None = None
    model_id: int = 0

    @property
    def table(self) -> str:
        """The table of its vectors."""
        return f"embedding_{self.model_id}"


_COLUMNS = ", ".join(each.name for each in fields(Model))


def models(conn: psycopg.Connection) -> list[Model]:
    """The registered models, by number."""
    with conn.cursor(row_factory=class_row(Model)) as cursor:
        return cursor.execute(f"SELECT {_COLUMNS} FROM embedding_model ORDER BY model_id").fetchall()


def find_model(conn: psycopg.Connection, name: str) -> Model | None:
    """A registered model by its name."""
    return next((model for model in models(conn) if model.name == name), None)


def lock_models(conn: psycopg.Connection) -> None:
    """Keeps others from registering and removing models till the end of the transaction. Whoever writes embedding_model takes this before any model's
    own lock, or two would wait for each other."""
    conn.execute("LOCK TABLE embedding_model IN SHARE ROW EXCLUSIVE MODE")


def register(conn: psycopg.Connection, wanted: Model) -> Model:
    """The model with its number; registers it, and makes its table, where it is new.

    Raises StoreError where a model of the name is registered that would make other vectors: of other weights, another window or precision.
    """
    if not _NAME.fullmatch(wanted.name):
        raise StoreError(
            f"not a name for a model: {wanted.name[:80]!r}", "Give it one of letters, digits and _ . : / @ + -, up to 200: --name"
        )
    if not 0 < wanted.dimension <= LARGEST:
        raise StoreError(f"{wanted.name} makes vectors of {wanted.dimension:,} numbers", f"Choose a model of {LARGEST:,} at most.")
    with conn.transaction():
        lock_models(conn)
        if found := find_model(conn, wanted.name):
            for each in fields(Model):
                old, new = getattr(found, each.name), getattr(wanted, each.name)
                if each.name not in ("model_id", "release_id") and old != new:
                    raise StoreError(
                        f"{wanted.name} is registered with {each.name} {_said(old)}, not {_said(new)}: vectors of both cannot be compared",
                        "Embed as it is registered, or under another name (--name), or make all anew (vkg embed --again).",
                    )
            return found
        (number,) = conn.execute("SELECT coalesce(max(model_id), 0) + 1 FROM embedding_model").fetchone() or (1,)
        values = {each.name: getattr(wanted, each.name) for each in fields(Model)} | {"model_id": number}
        conn.execute(f"INSERT INTO embedding_model ({_COLUMNS}) VALUES ({', '.join(f'%({name})s' for name in values)})", values)
        table = sql.Identifier(f"embedding_{number}")
        conn.execute(
            sql.SQL(
                """CREATE TABLE {} (variant_key bigint PRIMARY KEY, direction halfvec({}) NOT NULL, norm real NOT NULL CHECK (norm >= 0),
                distance real)"""
            ).format(table, sql.Literal(wanted.dimension))
        )
        # Of fixed length and of noise: neither kept apart nor compressed, an index visit would read it twice.
        conn.execute(
            sql.SQL("ALTER TABLE {} ALTER COLUMN direction SET STORAGE PLAIN").format(table) if wanted.dimension <= 900 else "SELECT 1"
        )
        for column, text in (
            ("variant_key", "The variant."),
            ("direction", "Difference of the vectors of ALT and REF, or the one vector of both, of length 1."),
            ("norm", "Its length before."),
            ("distance", "Cosine distance between the vectors of REF and ALT, 0 to 2; NULL where the model makes one vector of both."),
        ):
            conn.execute(sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(table, sql.Identifier(column), sql.Literal(text)))
        conn.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(f"Vectors of variants by {wanted.name}.")))
        conn.execute("CALL open_tables(%s)", (f"embedding_{number}",))
    registered = find_model(conn, wanted.name)
    assert registered is not None
    return registered


def _said(value: Any) -> str:
    return "none" if value is None else ", ".join(value) if isinstance(value, list) else str(value)


def remove(conn: psycopg.Connection, model: Model) -> None:
    """Takes a model and its vectors out, when those who are at it have done their tasks at hand."""
    with conn.transaction():
        lock_models(conn)
        _end_tasks(conn, model)
        conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(model.table)))
        for table in ("embedding_skip", "embedding_model"):
            conn.execute(sql.SQL("DELETE FROM {} WHERE model_id = %s").format(sql.Identifier(table)), (model.model_id,))


def remove_unused(conn: psycopg.Connection, model: Model) -> bool:
    """Takes a model out that has told of no variant yet. Returns whether it did."""
    with conn.transaction():
        lock_models(conn)
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK, model.model_id))
        found = status(conn, model) if find_model(conn, model.name) == model else None
        unused = found is not None and not found["vectors"] and not found["skipped"]
        if unused:
            remove(conn, model)
        return unused


def forget_skipped(conn: psycopg.Connection, model: Model, release: int) -> int:
    """Takes out why variants have no vector, so that they are tried again, where this release shows other loads that models read than the one at which
    they were last tried. Returns how many."""
    with conn.transaction():
        lock_models(conn)
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK, model.model_id))
        row = conn.execute(
            "SELECT coalesce(tried_release, release_id) FROM embedding_model WHERE model_id = %s AND name = %s",
            (model.model_id, model.name),
        ).fetchone()
        if row is None or (row[0] is not None and read_alike(conn, row[0], release)):
            return 0
        conn.execute("UPDATE embedding_model SET tried_release = %s WHERE model_id = %s", (release, model.model_id))
        return conn.execute("DELETE FROM embedding_skip WHERE model_id = %s", (model.model_id,)).rowcount


def _end_tasks(conn: psycopg.Connection, model: Model) -> None:
    """Takes the tasks of a model out. Workers hold theirs locked: this comes first, or each would wait for the other."""
    conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK, model.model_id))
    conn.execute("DELETE FROM embedding_task WHERE model_id = %s", (model.model_id,))


# ---- what is still to be embedded


def plan(conn: psycopg.Connection, model: Model, ranges: Sequence[tuple[int, int]] = EVERYWHERE, size: int = TASK_VARIANTS) -> int:
    """Makes tasks, of `size` variants at most, of the variants in these ranges of keys, half-open, that have neither a vector nor a reason for
    none, and are of no task yet.

    Returns how many variants of these ranges wait now, with those that others are at. Several workers may ask at once.
    """
    table = sql.Identifier(model.table)
    values = {"model": model.model_id, "size": size} | _bounds(ranges)
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK, model.model_id))
        still(conn, model)
        # One statement, and so one moment: a variant that is being written is still of its task, or has its vector.
        conn.execute(
            sql.SQL(
                """INSERT INTO embedding_task SELECT %(model)s, min(variant_key), max(variant_key) + 1 FROM (
                SELECT v.variant_key, lower(free) AS lo, (row_number() OVER (PARTITION BY lower(free) ORDER BY v.variant_key) - 1) / %(size)s AS task
                FROM unnest((SELECT coalesce(range_agg(int8range(r.lo, r.hi)), '{{}}') FROM unnest(%(los)s::bigint[], %(his)s::bigint[]) r (lo, hi))
                    - (SELECT coalesce(range_agg(int8range(t.lo, t.hi)), '{{}}') FROM embedding_task t WHERE t.model_id = %(model)s)) free
                JOIN variant v ON v.variant_key >= lower(free) AND v.variant_key < upper(free)
                WHERE {}) t GROUP BY lo, task"""
            ).format(_UNKNOWN.format(table)),
            values,
        )
        (count,) = conn.execute(
            sql.SQL(
                "SELECT count(*) FROM embedding_task t JOIN variant v ON v.variant_key >= t.lo AND v.variant_key < t.hi WHERE {} AND {}"
            ).format(_OF_THESE, _UNKNOWN.format(table)),
            values,
        ).fetchone() or (0,)
    return count


def still(conn: psycopg.Connection, model: Model) -> None:
    """Raises StoreError where the number is by now another model's, or nobody's."""
    if find_model(conn, model.name) != model:
        raise _gone(model)


def hold_vectors(conn: psycopg.Connection, model: Model) -> None:
    """Keeps a model's vectors from being taken out till the end of the transaction, of which this is the first statement: a snapshot taken before
    could show the model, and not its vectors. Raises StoreError as `still` does."""
    try:
        conn.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.Identifier(model.table)))
    except psycopg.errors.UndefinedTable:
        raise _gone(model) from None
    still(conn, model)


def _gone(model: Model) -> StoreError:
    return StoreError(f"{model.name} was taken out or registered anew meanwhile", "Run it again.")


_UNKNOWN = sql.SQL(
    """NOT EXISTS (SELECT FROM {} e WHERE e.variant_key = v.variant_key)
    AND NOT EXISTS (SELECT FROM embedding_skip s WHERE s.variant_key = v.variant_key AND s.model_id = %(model)s)"""
)
_OF_THESE = sql.SQL(
    """t.model_id = %(model)s AND EXISTS (SELECT FROM unnest(%(los)s::bigint[], %(his)s::bigint[]) r (lo, hi) WHERE t.lo < r.hi AND t.hi > r.lo)"""
)


def _bounds(ranges: Sequence[tuple[int, int]]) -> dict[str, list[int]]:
    return {"los": [lo for lo, _ in ranges], "his": [hi for _, hi in ranges]}


Rows = list[tuple[int, int, int, str, str]]
"""(variant key, chromosome code, 1-based position, REF, ALT) of variants, in genome order."""


@dataclass(frozen=True)
class Vectors:
    """What became of variants: keys (n,), directions (n, dimension) of length 1, their norms (n,), distances of REF and ALT (n,) or NaN, and by key
    the reasons of those that have none."""

    keys: np.ndarray
    directions: np.ndarray
    norms: np.ndarray
    distances: np.ndarray
    skipped: dict[int, str]


def work(
    conn: psycopg.Connection, model: Model, embed: Callable[[Rows], Vectors], ranges: Sequence[tuple[int, int]] = EVERYWHERE
) -> int | None:
    """Does one waiting task that reaches into these ranges: embeds its variants and writes the vectors, in one transaction. Returns how many
    variants those were; None where no such task waits that nobody is at.

    Raises StoreError, and keeps nothing of the task, where what `embed` gave is not one finite vector or one reason for each of its variants.
    """
    with conn.transaction():
        values: dict[str, Any] = {"model": model.model_id} | _bounds(ranges)
        task = conn.execute(
            sql.SQL("SELECT t.lo, t.hi FROM embedding_task t WHERE {} ORDER BY t.lo LIMIT 1 FOR UPDATE SKIP LOCKED").format(_OF_THESE),
            values,
        ).fetchone()
        if task is None:
            return None
        still(conn, model)
        values |= {"lo": task[0], "hi": task[1]}
        rows: Rows = conn.execute(
            sql.SQL(
                """SELECT v.variant_key, v.chrom, v.pos, v.ref, v.alt FROM variant v WHERE v.variant_key >= %(lo)s AND v.variant_key < %(hi)s
                AND {} ORDER BY v.variant_key"""
            ).format(_UNKNOWN.format(sql.Identifier(model.table))),
            values,
        ).fetchall()
        made = embed(rows)
        _check(model, rows, made)
        _write(conn, model, made)
        conn.execute("DELETE FROM embedding_task WHERE model_id = %s AND lo = %s", (model.model_id, task[0]))
        return len(rows)


def _check(model: Model, rows: Rows, made: Vectors) -> None:
    count = len(made.keys)
    if made.directions.shape != (count, model.dimension) or made.norms.shape != (count,) or made.distances.shape != (count,):
        shapes = f"{made.directions.shape}, {made.norms.shape} and {made.distances.shape}"
        raise StoreError(
            f"vectors, norms and distances of shapes {shapes} for {count:,} variants of {model.name}, which makes {model.dimension} numbers",
            "This is a fault of the model.",
        )
    if sorted([*made.keys.tolist(), *made.skipped]) != [row[0] for row in rows]:
        raise StoreError(
            f"{model.name} told of {count + len(made.skipped):,} variants, and not of the {len(rows):,} that it was given",
            "This is a fault of the model.",
        )
    # A distance is NaN where the model makes one vector of both alleles.
    if not (np.isfinite(made.directions).all() and np.isfinite(made.norms).all() and not np.isinf(made.distances).any()):
        raise StoreError(f"{model.name} made a vector that is not finite", "Embed with --dtype fp32.")


def _write(conn: psycopg.Connection, model: Model, made: Vectors) -> None:
    columns = {
        "variant_key": pa.array(made.keys, pa.int64()),
        "direction": halfvecs(made.directions),
        "norm": pa.array(made.norms, pa.float32()),
        "distance": pa.array(made.distances, pa.float32(), from_pandas=True),  # NaN is NULL
    }
    copy_rows(conn, model.table, pa.record_batch(list(columns.values()), names=list(columns)))
    if made.skipped:
        keys, reasons = list(made.skipped), list(made.skipped.values())
        skipped = pa.record_batch(
            [pa.array(keys, pa.int64()), pa.array(np.full(len(keys), model.model_id), pa.int16()), pa.array(reasons)],
            names=["variant_key", "model_id", "reason"],
        )
        copy_rows(conn, "embedding_skip", skipped)


def status(conn: psycopg.Connection, model: Model) -> dict[str, Any]:
    """How far a model is: vectors, tasks that wait, skipped variants by reason, whether its vectors are indexed."""
    (vectors,) = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(model.table))).fetchone() or (0,)
    (tasks,) = conn.execute("SELECT count(*) FROM embedding_task WHERE model_id = %s", (model.model_id,)).fetchone() or (0,)
    skipped = conn.execute(
        "SELECT reason, count(*) FROM embedding_skip WHERE model_id = %s GROUP BY reason ORDER BY 2 DESC, 1", (model.model_id,)
    ).fetchall()
    return {"vectors": vectors, "tasks": tasks, "skipped": dict(skipped), "indexed": is_indexed(conn, model)}


def is_indexed(conn: psycopg.Connection, model: Model) -> bool:
    """True where its vectors have a valid index."""
    row = conn.execute("SELECT x.indisvalid FROM pg_index x WHERE x.indexrelid = to_regclass(%s)", (f"{model.table}_direction",)).fetchone()
    return bool(row and row[0])


def gene_ranges(conn: psycopg.Connection, names: Sequence[str], loads: Sequence[int]) -> list[tuple[int, int]]:
    """The ranges of keys, half-open, of genes of these loads: by identifier, symbol or, where neither is known, alias.

    Raises StoreError for a name that no gene has.
    """
    found = []
    for name in names:
        values = {"id": name.partition(".")[0], "name": name.upper(), "loads": list(loads)}
        for condition in (
            "gene_id = %(id)s OR upper(symbol) = %(name)s",
            "gene_id IN (SELECT gene_id FROM gene_alias WHERE alias = %(name)s AND load_id = ANY(%(loads)s))",
        ):
            rows = conn.execute(
                f"SELECT lower(span), upper(span) FROM gene WHERE load_id = ANY(%(loads)s) AND ({condition}) ORDER BY span", values
            ).fetchall()
            if rows:
                break
        else:
            raise StoreError(f"no gene {name!r} is loaded", "Load genes (vkg load genes), or say --region CHROM:START-END.")
        found += rows
    return found
