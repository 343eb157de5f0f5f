"""Directions of variants are read as the tables hold them, as far as they are visible; clusters are numbered by their load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest

from store.cluster import cluster_id, count_directions, directions, members
from store.embedding import EVERYWHERE, Model, find_model, plan, register, work
from store.read import HIGHEST, LOWEST
from tests.store.vectors import PLAIN, Conn, made, snvs, stored

SEEN, HIDDEN = 1, 2


@pytest.fixture
def store(store_url: str) -> Iterator[Conn]:
    """Twenty variants with vectors, of which every fifth is in a load that is not visible, and the last one in no load at all."""
    with psycopg.connect(store_url, autocommit=True) as conn:
        keys = snvs(conn, 20)
        for place, key in enumerate(keys[:-1]):
            load = HIDDEN if place % 5 == 4 else SEEN
            conn.execute("INSERT INTO variant_record (variant_key, load_id, allele, line) VALUES (%s, %s, 1, %s)", (key, load, place + 1))
        plan(conn, register(conn, PLAIN))
        while work(conn, model_of(conn), made) is not None:
            pass
        yield conn


def model_of(conn: Conn) -> Model:
    found = find_model(conn, PLAIN.name)
    assert found is not None
    return found


def read(conn: Conn, loads: list[int], ranges: list[tuple[int, int]] = EVERYWHERE) -> tuple[list[int], np.ndarray]:
    with conn.transaction():
        parts = list(directions(conn, model_of(conn), loads, ranges))
    keys = [key for part, _ in parts for key in part.tolist()]
    rows = np.vstack([np.zeros((0, PLAIN.dimension), np.float16), *(row for _, row in parts)])
    assert count_directions(conn, model_of(conn), loads, ranges)[0] == len(keys) == len(rows)
    return keys, rows


def test_directions_are_those_of_visible_variants_in_genome_order(store: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.cluster._ROWS", 3)  # several parts
    known = stored(store)
    every = sorted(known)
    seen = [key for place, key in enumerate(every[:-1]) if place % 5 != 4]
    keys, rows = read(store, [SEEN])
    assert keys == seen
    assert rows.dtype == np.float16
    assert (rows == np.array([known[key][0] for key in seen]).astype(np.float16)).all()
    assert read(store, [SEEN, HIDDEN])[0] == every[:-1]
    assert read(store, [])[0] == []
    assert read(store, [SEEN], [(every[1], every[3]), (every[2], every[6])])[0] == [key for key in every[1:6] if key in seen]
    assert read(store, [SEEN], [(LOWEST, every[0]), (every[-1], HIGHEST)])[0] == []


def test_what_points_nowhere_is_counted_and_not_read(store: Conn) -> None:
    first, second, *_ = keys = read(store, [SEEN])[0]
    store.execute(
        "UPDATE embedding_1 SET norm = 0, direction = array_fill(0, ARRAY[5])::halfvec WHERE variant_key = ANY(%s)", ([first, second],)
    )
    assert count_directions(store, model_of(store), [SEEN], EVERYWHERE) == (len(keys) - 2, 2)
    assert read(store, [SEEN])[0] == keys[2:]


def test_a_cluster_has_its_load_in_its_number(store: Conn) -> None:
    rows: list[tuple[Any, ...]] = [(127, 1), (127, 16_777_215), (2_000_000_000, 5)]
    for load, ordinal in rows:
        store.execute("INSERT INTO variant_cluster (load_id, ordinal, size, exemplar, cohesion) VALUES (%s, %s, 2, 7, 1)", (load, ordinal))
    numbers = [number for (number,) in store.execute("SELECT cluster_id FROM variant_cluster ORDER BY load_id, ordinal")]
    assert numbers == [cluster_id(load, ordinal) for load, ordinal in rows]
    for ordinal in (0, 16_777_216):
        with pytest.raises(psycopg.errors.CheckViolation):
            store.execute("INSERT INTO variant_cluster (load_id, ordinal, size, exemplar, cohesion) VALUES (1, %s, 2, 7, 1)", (ordinal,))


def test_members_are_told_cluster_by_cluster(store: Conn) -> None:
    one, two, three, four = read(store, [SEEN])[0][:4]
    for key, load, ordinal, place, probability in [(one, 7, 2, 1, 0.1), (two, 7, 1, 2, 0.7), (three, 7, 1, 1, 1), (four, 8, 1, 1, 1)]:
        store.execute("INSERT INTO variant_cluster_member VALUES (%s, %s, %s, %s, %s)", (key, load, ordinal, place, probability))
    with store.transaction():
        told = list(members(store, 7))
    assert told == [("20-1020-A-T", 1, 1.0), ("20-1010-A-G", 1, 0.7), ("20-1000-A-C", 2, 0.1)]
    with pytest.raises(psycopg.errors.UniqueViolation):
        store.execute("INSERT INTO variant_cluster_member VALUES (%s, 7, 3, 1, 1)", (one,))


def test_everything_is_described(store: Conn) -> None:
    for table in ("variant_cluster_run", "variant_cluster", "variant_cluster_member"):
        columns = store.execute(
            "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0", (table,)
        ).fetchall()
        assert [name for name, said in columns if not (said or "").endswith((".", "%"))] == []
        (said,) = store.execute("SELECT obj_description(%s::regclass)", (table,)).fetchone() or (None,)
        assert said
