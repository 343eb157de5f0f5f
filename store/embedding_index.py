"""Indexes of vectors (HNSW): when one is worth it, in how much memory it is built, and how far that is."""

from __future__ import annotations

import psycopg
from psycopg import sql

from .embedding import LOCK, Model, is_indexed
from .errors import StoreError

INDEXED_FROM = 50_000
"""Fewer vectors are not indexed: all are compared in some hundredths of a second, and none is missed."""

_GRAPH = 1_024
_LEAST_MEMORY, _MOST_MEMORY = 64 << 20, 4 << 30


def index_memory(vectors: int, dimension: int) -> str:
    """Memory in which so many vectors are indexed without going to the disk, as PostgreSQL writes it; 4 GB at most."""
    need = vectors * (2 * dimension + _GRAPH)  # of each its numbers and, with some to spare, its 32 neighbours
    return f"{min(max(need, _LEAST_MEMORY), _MOST_MEMORY) >> 10}kB"


def check_memory(conn: psycopg.Connection, memory: str) -> None:
    """Raises StoreError where PostgreSQL does not take this for an amount of memory."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute("SELECT set_config('maintenance_work_mem', %s, true)", (memory,))
    except psycopg.Error as error:
        raise StoreError(f"not an amount of memory for an index: {memory!r}", "Write it like 512MB or 4GB.") from error


def build_index(conn: psycopg.Connection, model: Model, memory: str) -> None:
    """Builds the HNSW index of its vectors where there is none; it is kept by PostgreSQL from then on. `conn` in autocommit mode."""
    index, table = sql.Identifier(f"{model.table}_direction"), sql.Identifier(model.table)
    # It takes some 1.6 times as long as with pgvector's 64, and leaves hardly any vector out of reach.
    statement = sql.SQL("CREATE INDEX {} ON {} USING hnsw (direction halfvec_cosine_ops) WITH (ef_construction = 128)").format(index, table)
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK, model.model_id))  # another one may be at it
        if is_indexed(conn, model):
            return
        conn.execute("SELECT set_config('maintenance_work_mem', %s, true)", (memory,))
        try:
            with conn.transaction():
                conn.execute(statement)
        except (psycopg.errors.DiskFull, psycopg.errors.OutOfMemory):
            # Several processes share the memory, of which a container often has little: one alone needs none that is shared.
            conn.execute("SET LOCAL max_parallel_maintenance_workers = 0")
            conn.execute(statement)


def index_progress(conn: psycopg.Connection, model: Model) -> float | None:
    """How much of the index that is being built is done, 0 to 1; None where none is."""
    row = conn.execute(
        """SELECT coalesce(p.blocks_done::float8 / nullif(p.blocks_total, 0), 0) FROM pg_stat_progress_create_index p
        WHERE p.relid = to_regclass(%s) AND p.datname = current_database()""",
        (model.table,),
    ).fetchone()
    return None if row is None else row[0]


def tidy(conn: psycopg.Connection, model: Model) -> None:
    """What is due after many rows were written: statistics, and what is all visible. `conn` in autocommit mode."""
    conn.execute(sql.SQL("VACUUM (ANALYZE) {}, embedding_skip, embedding_task").format(sql.Identifier(model.table)))
