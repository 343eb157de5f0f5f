"""Variants, models and vectors for tests of what is embedded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa

from store.embedding import Model, Rows, Vectors, find_model
from store.variant_key import encode

Conn = psycopg.Connection[Any]
Connected = Callable[[], Conn]
Locus = tuple[int, int, str, str]
PLAIN = Model("plain", "local", "ab12", 5, 500, "variant", "fp32", "beef", ["sequence"])


def add(conn: Conn, loci: Iterable[Locus]) -> list[int]:
    """Puts variants (chromosome code, 1-based position, REF, ALT) into the store, as a load does. Returns their keys, in the order given."""
    given = list(loci)
    chroms, positions, refs, alts = zip(*given, strict=True)
    found = encode(np.array(chroms, np.int16), np.array(positions), list(refs), list(alts))
    keys = [int(key) for key in (found.to_pylist() if isinstance(found, pa.Array) else found)]
    with conn.cursor() as cursor:
        rows = [(key, *locus) for key, locus in zip(keys, given, strict=True)]
        cursor.executemany("INSERT INTO variant (variant_key, chrom, pos, ref, alt) VALUES (%s, %s, %s, %s, %s)", rows)
    return keys


def snvs(conn: Conn, count: int, chrom: int = 20, start: int = 1_000, step: int = 10) -> list[int]:
    """Adds SNVs, so many bases apart."""
    return add(conn, ((chrom, start + step * n, "A", "CGT"[n % 3]) for n in range(count)))


def made(rows: Rows, dimension: int = PLAIN.dimension, skipped: Sequence[int] = ()) -> Vectors:
    """Vectors of variants that follow from their keys alone; for those skipped a reason."""
    keys = [row[0] for row in rows if row[0] not in skipped]
    values = np.array([np.random.default_rng(abs(key)).standard_normal(dimension) for key in keys], np.float32).reshape(-1, dimension)
    norms = np.linalg.norm(values, axis=1)
    return Vectors(np.array(keys, np.int64), values / norms[:, None], norms, norms % 2, dict.fromkeys(skipped, "SYMBOLIC"))


def stored(conn: Conn, name: str = PLAIN.name) -> dict[int, tuple[np.ndarray, float, float | None]]:
    """(direction, norm, distance) of each variant that has a vector, as the table's text says."""
    model = find_model(conn, name)
    assert model is not None
    rows = conn.execute(f"SELECT variant_key, direction::text, norm, distance FROM {model.table} ORDER BY variant_key")
    return {key: (np.array(text[1:-1].split(","), np.float64), norm, distance) for key, text, norm, distance in rows}


def tasks(conn: Conn) -> list[tuple[int, int]]:
    """The stretches of keys that wait."""
    return conn.execute("SELECT lo, hi FROM embedding_task ORDER BY lo").fetchall()


def in_tasks(conn: Conn, keys: list[int]) -> list[int]:
    """In how many tasks each key is."""
    stretches = tasks(conn)
    return [sum(lo <= key < hi for lo, hi in stretches) for key in keys]


def at_once(another: Connected, count: int, job: Callable[[Conn, int], Any]) -> list[Any]:
    """What a job gives that is begun so many times at one moment, each with a connection and a number of its own."""
    barrier = threading.Barrier(count)

    def run(conn: Conn, number: int) -> Any:
        barrier.wait()
        return job(conn, number)

    with ThreadPoolExecutor(count) as pool:
        return [done.result() for done in [pool.submit(run, another(), number) for number in range(count)]]
