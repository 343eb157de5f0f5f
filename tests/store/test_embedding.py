"""Models that are registered and taken out, and who waits for whom meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from store.database import INDIVIDUAL_ROLE, OPEN_ROLE
from store.embedding import (
    LOCK,
    Model,
    Rows,
    Vectors,
    find_model,
    forget_skipped,
    hold_vectors,
    lock_models,
    models,
    plan,
    register,
    remove,
    remove_unused,
    status,
    still,
    work,
)
from store.embedding_inputs import read_alike
from store.errors import StoreError
from tests.store.vectors import PLAIN, Conn, Connected, at_once, made, snvs, stored, tasks

# ---- models


def test_the_same_model_has_the_same_number(store: Conn) -> None:
    first, second, other = register(store, PLAIN), register(store, PLAIN), register(store, replace(PLAIN, name="other", dimension=7))
    assert first == second == replace(PLAIN, model_id=1)
    assert other.model_id == 2
    assert models(store) == [first, other]
    assert find_model(store, "other") == other
    assert find_model(store, "nobody") is None


OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"weights_sha256": "cd34"}, "weights_sha256 ab12, not cd34"),
    ({"revision": "7bce"}, "revision local, not 7bce"),
    ({"flank": 200}, "flank 500, not 200"),
    ({"pooling": "mean"}, "pooling variant, not mean"),
    ({"dtype": "fp16"}, "dtype fp32, not fp16"),
    ({"reference": "cafe"}, "reference beef, not cafe"),
    ({"reference": None}, "reference beef, not none"),
    ({"dimension": 6}, "dimension 5, not 6"),
    ({"inputs": ["ref", "alt"]}, "inputs sequence, not ref, alt"),
]


def test_a_model_that_would_make_other_vectors_is_refused(store: Conn) -> None:
    registered = register(store, PLAIN)
    for change, said in OTHERS:
        with pytest.raises(StoreError, match=f"plain is registered with {said}") as refused:
            register(store, replace(PLAIN, **change))
        assert "--again" in str(refused.value)
        assert "--name" in str(refused.value)
    assert models(store) == [registered]


def test_another_release_is_no_other_model(store: Conn) -> None:
    told = register(store, replace(PLAIN, release_id=3))
    assert register(store, replace(PLAIN, release_id=4)) == told


def test_a_name_that_is_none_and_a_vector_that_cannot_be_indexed_are_refused(store: Conn) -> None:
    for name in ("", "two words", "Größe", "a" * 201, "x;DROP TABLE variant", "-x"):
        with pytest.raises(StoreError, match="not a name"):
            register(store, replace(PLAIN, name=name))
    for dimension in (0, 4_001):
        with pytest.raises(StoreError, match="4,000 at most"):
            register(store, replace(PLAIN, dimension=dimension))
    assert models(store) == []


def test_many_register_at_once(another: Connected) -> None:
    found = at_once(another, 8, lambda conn, n: register(conn, replace(PLAIN, name=f"model{n % 2}")))
    assert {(model.name, model.model_id) for model in found} in ({("model0", 1), ("model1", 2)}, {("model0", 2), ("model1", 1)})


@pytest.mark.parametrize("dimension", [5, 4_000])
def test_its_table_is_described_and_read_only_for_the_api(store: Conn, dimension: int) -> None:
    model = register(store, replace(PLAIN, dimension=dimension))
    columns = store.execute(
        """SELECT attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum) FROM pg_attribute
        WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum""",
        (model.table,),
    ).fetchall()
    assert [(name, kind) for name, kind, _ in columns] == [
        ("variant_key", "bigint"), ("direction", f"halfvec({dimension})"), ("norm", "real"), ("distance", "real"),
    ]  # fmt: skip
    assert all(text and text.endswith(".") for _, _, text in columns)
    assert store.execute("SELECT obj_description(%s::regclass)", (model.table,)).fetchone() == ("Vectors of variants by plain.",)
    for role in (OPEN_ROLE, INDIVIDUAL_ROLE):
        rights = store.execute(
            """SELECT has_table_privilege(%(r)s, t, 'SELECT'), has_table_privilege(%(r)s, t, 'INSERT, UPDATE, DELETE, TRUNCATE')
            FROM unnest(%(t)s::text[]) t""",
            {"r": role, "t": [model.table, "embedding_model", "embedding_skip"]},
        ).fetchall()
        assert rights == [(True, False)] * 3
    store.execute("INSERT INTO variant (variant_key, chrom, pos, ref, alt) VALUES (1, 20, 1, 'A', 'C')")
    plan(store, model)
    assert work(store, model, lambda rows: made(rows, dimension)) == 1  # the widest fits into a page, or beside it


def test_remove_takes_all_out_and_nothing_else(store: Conn) -> None:
    keys = snvs(store, 6)
    removed, kept = register(store, PLAIN), register(store, replace(PLAIN, name="kept"))
    for model in (removed, kept):
        plan(store, model, size=3)
        work(store, model, lambda rows: made(rows, skipped=keys[:1]))
    remove(store, removed)
    assert models(store) == [kept]
    assert store.execute("SELECT to_regclass('embedding_1')").fetchone() == (None,)
    for table in ("embedding_skip", "embedding_task"):
        assert store.execute(f"SELECT DISTINCT model_id FROM {table}").fetchall() == [(kept.model_id,)]
    assert status(store, kept) == {"vectors": 2, "tasks": 1, "skipped": {"SYMBOLIC": 1}, "indexed": False}
    assert list(stored(store, "kept")) == keys[1:3]


def test_remove_waits_for_who_is_at_it(store: Conn, another: Connected) -> None:
    model = register(store, PLAIN)
    snvs(store, 4)
    plan(store, model, size=2)
    began, go_on = threading.Event(), threading.Event()

    def slowly(rows: Rows) -> Vectors:
        began.set()
        assert go_on.wait(60)
        return made(rows)

    with ThreadPoolExecutor(2) as pool:
        worker = pool.submit(work, another(), model, slowly)
        assert began.wait(60)
        removal = pool.submit(remove, another(), model)
        while not store.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            assert not removal.done()
        go_on.set()
        assert worker.result() == 2
        removal.result()
    assert models(store) == []
    assert tasks(store) == []
    assert work(store, model, made) is None


def test_who_was_at_a_model_that_is_another_by_now_is_told(store: Conn) -> None:
    before = register(store, PLAIN)
    snvs(store, 4)
    remove(store, before)
    after = register(store, replace(PLAIN, weights_sha256="cd34"))
    assert after.model_id == before.model_id
    plan(store, after)
    for job in (lambda: work(store, before, made), lambda: plan(store, before)):
        with pytest.raises(StoreError, match="plain was taken out or registered anew"):
            job()
    assert not remove_unused(store, before)
    assert models(store) == [after]
    assert work(store, after, made) == 4


def test_only_a_model_that_told_of_nothing_is_unused(store: Conn) -> None:
    model = register(store, PLAIN)
    keys = snvs(store, 1)
    plan(store, model)
    assert remove_unused(store, model)
    assert (models(store), tasks(store)) == ([], [])
    model = register(store, PLAIN)
    plan(store, model)
    work(store, model, lambda rows: made(rows, skipped=keys))
    assert not remove_unused(store, model)
    assert models(store) == [model]


def published(conn: Conn, load: int, kind: str) -> int:
    """A release with one load more, of this kind. Returns its number."""
    conn.execute("INSERT INTO dataset (dataset_id, name, kind) OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s)", (load, f"d{load}", kind))
    conn.execute(
        """INSERT INTO load (load_id, dataset_id, version, state, hold, normalized, options) OVERRIDING SYSTEM VALUE
        VALUES (%s, %s, '1', 'loaded', false, true, '{}')""",
        (load, load),
    )
    (number,) = conn.execute(
        "INSERT INTO release (loads, reason) SELECT loads || %s::int, 'test' FROM release ORDER BY release_id DESC LIMIT 1 RETURNING release_id",
        (load,),
    ).fetchone() or (0,)
    return number


def test_reasons_are_forgotten_once_for_each_change_of_what_models_read(store: Conn) -> None:
    keys = snvs(store, 4)
    first = published(store, 1, "variants")
    model = register(store, replace(PLAIN, release_id=first))

    def skip() -> None:
        plan(store, model)
        work(store, model, lambda rows: made(rows, skipped=keys[:3]))

    def forgotten(release: int) -> int:
        count = forget_skipped(store, model, release)
        skip()
        return count

    skip()
    assert forgotten(first) == 0
    for load, kind in enumerate(("clusters", "ibd", "metacells", "genes", "samples", "ancestry", "v2f"), 2):
        release = published(store, load, kind)
        assert (forgotten(release), read_alike(store, first, release)) == (0, True)
    for load, kind in enumerate(("variants", "scores", "frequencies"), 10):
        release = published(store, load, kind)
        assert not read_alike(store, first, release)
        assert [forgotten(release), forgotten(release), forgotten(published(store, load + 10, "clusters"))] == [3, 0, 0]
    still(store, model)
    assert not read_alike(store, first, 1_000_000)


def test_two_that_take_out_and_register_anew_do_not_wait_for_each_other(store: Conn, another: Connected) -> None:
    """Each takes one model out, and then registers it: what both need comes first."""
    snvs(store, 4)
    wanted = [register(store, replace(PLAIN, name=name)) for name in ("one", "two")]
    for _ in range(5):
        inside = threading.Barrier(2)

        def again(conn: Conn, number: int, inside: threading.Barrier = inside) -> Model:
            with conn.transaction():
                found = find_model(conn, wanted[number].name)
                assert found is not None
                remove(conn, found)
                with suppress(threading.BrokenBarrierError):  # the other one waits outside, and does not come
                    inside.wait(0.3)
                return register(conn, wanted[number])

        at_once(another, 2, again)
    assert sorted(each.name for each in models(store)) == ["one", "two"]


def test_taking_out_and_forgetting_wait_in_one_order(store: Conn, another: Connected) -> None:
    """Who holds the models and wants one of them, beside who holds that one and wants the models, would wait for ever."""
    snvs(store, 4)
    for job in (lambda conn, model: remove(conn, model), lambda conn, model: remove_unused(conn, model), lambda conn, model: forget_skipped(conn, model, 1)):  # fmt: skip
        model = register(store, PLAIN)
        other = another()
        with ThreadPoolExecutor(1) as pool, other.transaction():
            lock_models(other)
            done = pool.submit(job, another(), model)
            while not store.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                assert not done.done()
            other.execute("SET LOCAL lock_timeout = '5s'")
            other.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK, model.model_id))
        done.result()


def test_vectors_are_held_till_the_end_of_the_transaction(store: Conn, another: Connected) -> None:
    model = register(store, PLAIN)
    with ThreadPoolExecutor(1) as pool:
        reader = another()
        with reader.transaction():
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            hold_vectors(reader, model)
            removal = pool.submit(remove, another(), model)
            while not store.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                assert not removal.done()
            assert reader.execute(f"SELECT count(*) FROM {model.table}").fetchone() == (0,)
        removal.result()
    with pytest.raises(StoreError, match="plain was taken out"), store.transaction():
        hold_vectors(store, model)


def test_reasons_are_forgotten_of_one_model_and_tried_again(store: Conn) -> None:
    keys = snvs(store, 4)
    ours, theirs = register(store, PLAIN), register(store, replace(PLAIN, name="other"))
    for model in (ours, theirs):
        plan(store, model)
        work(store, model, lambda rows: made(rows, skipped=keys[:3]))
    assert plan(store, ours) == 0
    assert forget_skipped(store, ours, 1) == 3
    assert status(store, ours)["skipped"] == {}
    assert status(store, theirs)["skipped"] == {"SYMBOLIC": 3}
    assert plan(store, ours) == 3
