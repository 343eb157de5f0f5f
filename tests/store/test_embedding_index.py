"""The index of vectors: built once, kept up to date, within an amount of memory."""

from __future__ import annotations

import numpy as np
import pytest

from store.embedding import (
    Model,
    plan,
    status,
    work,
)
from store.embedding_index import build_index, check_memory, index_memory, index_progress, tidy
from store.errors import StoreError
from tests.store.vectors import Conn, Connected, add, at_once, made, snvs, stored


def test_the_index_is_built_once_and_finds_what_is_nearest(store: Conn, model: Model, another: Connected) -> None:
    keys = snvs(store, 300)
    plan(store, model)
    work(store, model, made)
    tidy(store, model)
    at_once(another, 3, lambda conn, _: build_index(conn, model, "64MB"))
    assert status(store, model)["indexed"]
    assert index_progress(store, model) is None
    number = store.execute("SELECT 'embedding_1_direction'::regclass::oid").fetchone()
    build_index(store, model, "64MB")
    assert store.execute("SELECT 'embedding_1_direction'::regclass::oid").fetchone() == number
    store.execute("SET enable_seqscan = off")
    store.execute("SET hnsw.ef_search = 400")
    query = "SELECT variant_key FROM embedding_1 ORDER BY direction <=> (SELECT direction FROM embedding_1 WHERE variant_key = %s) LIMIT 5"
    plan_text = "\n".join(line for (line,) in store.execute(f"EXPLAIN {query}", (keys[0],)))
    assert "embedding_1_direction" in plan_text
    directions = np.stack([direction for direction, _, _ in stored(store).values()])
    cosines = directions @ directions.T / np.outer(*[np.linalg.norm(directions, axis=1)] * 2)
    for place in (0, 17, 299):
        found = [key for (key,) in store.execute(query, (keys[place],))]
        assert found == [keys[i] for i in np.argsort(-cosines[place], kind="stable")[:5]]


def test_vectors_that_come_later_are_in_the_index(store: Conn, model: Model) -> None:
    snvs(store, 100)
    plan(store, model)
    work(store, model, made)
    build_index(store, model, "64MB")
    (late,) = add(store, [(20, 5, "A", "C")])
    plan(store, model)
    work(store, model, made)
    store.execute("SET enable_seqscan = off")
    nearest = (
        "SELECT variant_key FROM embedding_1 ORDER BY direction <=> (SELECT direction FROM embedding_1 WHERE variant_key = %s) LIMIT 1"
    )
    assert store.execute(nearest, (late,)).fetchone() == (late,)
    assert status(store, model)["indexed"]


def test_an_amount_of_memory_that_is_none_is_refused(store: Conn) -> None:
    for memory in ("", "much", "1 TB of it", "-1GB", "1kB", "10000000GB"):
        with pytest.raises(StoreError, match="not an amount of memory"):
            check_memory(store, memory)


def test_memory_for_an_index_holds_its_vectors(store: Conn) -> None:
    """410 MB is the size of the index of 200,000 vectors of 768 halves."""
    for vectors, dimension, least, most in ((0, 5, 64e6, 70e6), (200_000, 768, 410e6, 1e9), (10**9, 768, 4e9, 4.4e9)):
        memory = index_memory(vectors, dimension)
        check_memory(store, memory)
        (found,) = store.execute("SELECT pg_size_bytes(%s)", (memory,)).fetchone() or (0,)
        assert least <= found <= most
