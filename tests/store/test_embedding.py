"""Models that are registered, tasks that are planned, and vectors that are written: as rows, seen by several at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.pq import TransactionStatus

from store.database import INDIVIDUAL_ROLE, OPEN_ROLE
from store.embedding import (
    LOCK,
    Model,
    Rows,
    Vectors,
    find_model,
    forget_skipped,
    gene_ranges,
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
from store.embedding_index import build_index, check_memory, index_memory, index_progress, tidy
from store.embedding_inputs import Consequence, changed_proteins, consequences, has_consequences, protein_changes, read_alike
from store.errors import StoreError
from store.region import Region, locus_key
from tests.store.vectors import PLAIN, Conn, add, made, snvs, stored, tasks


@pytest.fixture
def store(store_url: str) -> Iterator[Conn]:
    """A connection, as commands use it, to an empty store."""
    with psycopg.connect(store_url, autocommit=True) as conn:
        yield conn


Connected = Callable[[], Conn]


@pytest.fixture
def another(store_url: str) -> Iterator[Connected]:
    """Further connections to the same store, closed at the end."""
    opened: list[Conn] = []

    def connect() -> Conn:
        opened.append(psycopg.connect(store_url, autocommit=True))
        return opened[-1]

    yield connect
    for conn in opened:
        conn.close()


def at_once(another: Connected, count: int, job: Callable[[Conn, int], Any]) -> list[Any]:
    """What a job gives that is begun so many times at one moment, each with a connection and a number of its own."""
    barrier = threading.Barrier(count)

    def run(conn: Conn, number: int) -> Any:
        barrier.wait()
        return job(conn, number)

    with ThreadPoolExecutor(count) as pool:
        return [done.result() for done in [pool.submit(run, another(), number) for number in range(count)]]


def in_tasks(conn: Conn, keys: list[int]) -> list[int]:
    """In how many tasks each key is."""
    stretches = tasks(conn)
    return [sum(lo <= key < hi for lo, hi in stretches) for key in keys]


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


# ---- tasks


@pytest.fixture
def model(store: Conn) -> Model:
    """A registered model of five numbers."""
    return register(store, PLAIN)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_tasks_hold_each_variant_without_a_vector_once(store: Conn, model: Model, size: int) -> None:
    keys = snvs(store, 7, chrom=1) + snvs(store, 7, chrom=25)
    assert plan(store, model, size=size) == 14
    assert in_tasks(store, keys) == [1] * 14
    assert len(tasks(store)) == -(-14 // size)
    assert all(sum(lo <= key < hi for key in keys) <= size for lo, hi in tasks(store))


def test_what_has_a_vector_or_a_reason_is_in_no_task(store: Conn, model: Model) -> None:
    old = snvs(store, 5)
    plan(store, model)
    work(store, model, lambda rows: made(rows, skipped=old[1:2]))
    assert plan(store, model) == 0
    assert tasks(store) == []
    new = snvs(store, 3, start=1_015)
    assert plan(store, model, size=1) == 3
    assert in_tasks(store, new) == [1] * 3
    assert in_tasks(store, old) == [0] * 5


def test_only_the_ranges_asked_for_are_planned_and_worked(store: Conn, model: Model) -> None:
    keys = snvs(store, 30)  # 20:1000, 1010 ... 1290
    regions = [Region(20, 1_000, 1_040), Region(20, 1_200, 1_210), Region(20, 1_030, 1_055), Region(3, 1, 9_999)]
    ranges = [region.keys() for region in regions]
    inside = [1_000 <= pos <= 1_055 or 1_200 <= pos <= 1_210 for pos in range(1_000, 1_300, 10)]
    assert plan(store, model, ranges, size=4) == sum(inside)
    assert in_tasks(store, keys) == [int(is_in) for is_in in inside]
    seen: list[int] = []

    def see(rows: Rows) -> Vectors:
        seen.extend(row[0] for row in rows)
        return made(rows)

    assert plan(store, model) == 30  # all others too, by now
    while work(store, model, see, [Region(20, 1_200, 1_210).keys()]):
        pass
    assert seen == [key for key, pos in zip(keys, range(1_000, 1_300, 10), strict=True) if 1_200 <= pos <= 1_210]
    assert work(store, model, see, [Region(3, 1, 9_999).keys()]) is None
    while work(store, model, see):
        pass
    assert sorted(seen) == keys
    assert list(stored(store)) == keys


def test_rows_are_given_as_they_are_in_genome_order(store: Conn, model: Model) -> None:
    loci = [(20, 5, "A", "C"), (20, 5, "A", "AT"), (1, 9, "GATTACAGATTACA", "G"), (25, 2, "T", "C"), (23, 1, "A", "G")]
    keys = dict(zip(loci, add(store, loci), strict=True))
    plan(store, model)
    seen: list[Rows] = []
    work(store, model, lambda rows: (seen.append(rows), made(rows))[1])
    assert seen == [sorted((keys[locus], *locus) for locus in loci)]
    assert [row[1] for row in seen[0]] == [1, 20, 20, 23, 25]


def test_two_planners_at_once_plan_nothing_twice(store: Conn, model: Model, another: Connected) -> None:
    keys = snvs(store, 300)
    wide, narrow = [Region(20, 1, 9_999).keys()], [Region(20, 1_500, 2_500).keys()]
    at_once(another, 6, lambda conn, n: plan(conn, model, (wide, narrow)[n % 2], 10 + n))
    assert in_tasks(store, keys) == [1] * 300


def test_planning_and_working_in_any_order_leaves_no_gap(store: Conn, model: Model, another: Connected) -> None:
    """Whatever was loaded, planned and done before: each variant is in one task at most, and in the end all have a vector or a reason."""
    rng = np.random.default_rng(7)
    places = rng.permutation(400)
    known: list[int] = []
    reasons: set[int] = set()
    workers = [another(), another()]
    for step in range(40):
        known += add(store, ((20, 1 + int(place), "A", "C") for place in places[10 * step : 10 * step + 10]))
        edges = sorted(rng.integers(0, 402, 4).tolist())
        ranges = [(locus_key(20, lo), locus_key(20, hi)) for lo, hi in (edges[:2], edges[2:], edges[1:3])]
        plan(workers[step % 2], model, ranges, size=int(rng.integers(1, 9)))
        counts = in_tasks(store, known)
        assert max(counts) <= 1
        done = {*stored(store), *reasons}
        for key, count in zip(known, counts, strict=True):
            if any(lo <= key < hi for lo, hi in ranges):
                assert count == 1 or key in done
        for _ in range(int(rng.integers(0, 3))):
            seen: list[Rows] = []

            def embed(rows: Rows, seen: list[Rows] = seen) -> Vectors:
                seen.append(rows)
                return made(rows, skipped=[row[0] for row in rows if row[0] >> 31 & 7 == 3])

            work(workers[step % 2], model, embed)
            reasons |= {row[0] for rows in seen for row in rows if row[0] >> 31 & 7 == 3}
    assert plan(store, model) == 400 - len(stored(store)) - len(reasons)
    while work(store, model, made) is not None:
        pass
    assert sorted({*stored(store), *reasons}) == sorted(known)
    assert status(store, model) == {"vectors": 400 - len(reasons), "tasks": 0, "skipped": {"SYMBOLIC": len(reasons)}, "indexed": False}


def test_variants_that_are_gone_leave_an_empty_task_that_is_done(store: Conn, model: Model) -> None:
    snvs(store, 3)
    plan(store, model)
    store.execute("DELETE FROM variant")
    assert plan(store, model) == 0
    assert work(store, model, made) == 0
    assert tasks(store) == []


# ---- writing


def test_rows_are_what_was_embedded(store: Conn, model: Model) -> None:
    keys = snvs(store, 50)
    plan(store, model)
    given: list[Vectors] = []
    work(store, model, lambda rows: (given.append(made(rows, skipped=keys[3:6])), given[0])[1])
    (vectors,) = given
    found = stored(store)
    assert list(found) == keys[:3] + keys[6:] == vectors.keys.tolist()
    for key, direction, norm, distance in zip(vectors.keys.tolist(), vectors.directions, vectors.norms, vectors.distances, strict=True):
        assert found[key][0].astype(np.float16).tolist() == direction.astype(np.float16).tolist()
        assert (np.float32(found[key][1]), np.float32(found[key][2])) == (norm, distance)
    assert store.execute("SELECT variant_key, model_id, reason FROM embedding_skip ORDER BY 1").fetchall() == [
        (key, model.model_id, "SYMBOLIC") for key in keys[3:6]
    ]


def test_halves_are_pgvectors_own(store: Conn) -> None:
    """Every finite half there is, in both signs, against the type's own reading of its decimals."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(-1, 64)
    model = register(store, replace(PLAIN, dimension=64))
    keys = snvs(store, len(halves))
    plan(store, model)
    ones = np.ones(len(keys), np.float32)
    work(store, model, lambda rows: Vectors(np.array(keys), halves.astype(np.float32), ones, ones, {}))
    texts = [f"[{','.join(map(str, row.astype(np.float64)))}]" for row in halves]
    wrong = store.execute(
        "SELECT count(*) FROM unnest(%s::bigint[], %s::text[]) w (key, text) LEFT JOIN embedding_1 e ON e.variant_key = w.key "
        "WHERE e.direction IS DISTINCT FROM w.text::halfvec",
        (keys, texts),
    ).fetchone()
    assert wrong == (0,)


def test_no_distance_is_null_and_no_change_is_a_zero_vector(store: Conn, model: Model) -> None:
    keys = snvs(store, 2)
    plan(store, model)
    zeros = np.zeros(2, np.float32)
    work(store, model, lambda rows: Vectors(np.array(keys), np.zeros((2, 5), np.float32), zeros, np.array([np.nan, 0], np.float32), {}))
    found = stored(store)
    assert [(norm, distance, direction.any()) for direction, norm, distance in found.values()] == [(0, None, False), (0, 0, False)]


def _with(vectors: Vectors, part: str, value: float) -> Vectors:
    getattr(vectors, part).flat[3] = value
    return vectors


FAULTS: dict[str, tuple[Callable[[Rows], Vectors], str]] = {
    "a NaN in a direction": (lambda rows: _with(made(rows), "directions", np.nan), "plain made a vector that is not finite"),
    "an infinity in a direction": (lambda rows: _with(made(rows), "directions", -np.inf), "not finite"),
    "a NaN as a norm": (lambda rows: _with(made(rows), "norms", np.nan), "not finite"),
    "an infinite distance": (lambda rows: _with(made(rows), "distances", np.inf), "not finite"),
    "too few numbers": (lambda rows: made(rows, 4), r"\(10, 4\).*for 10 variants of plain, which makes 5"),
    "too few norms": (lambda rows: replace(made(rows), norms=np.ones(9, np.float32)), r"\(9,\)"),
    "a variant forgotten": (lambda rows: made(rows[1:]), "told of 9 variants, and not of the 10"),
    "a variant twice": (lambda rows: made([*rows[:-1], rows[0]]), "told of 10 variants, and not of the 10"),
    "a vector and a reason": (lambda rows: replace(made(rows), skipped={rows[0][0]: "EDGE"}), "told of 11 variants"),
    "a variant of nobody": (lambda rows: made([*rows[:-1], (7, 20, 1, "A", "C")]), "and not of the 10"),
}


def test_what_is_no_vector_is_refused_and_nothing_of_the_task_kept(store: Conn, model: Model) -> None:
    keys = snvs(store, 20)
    plan(store, model, size=10)
    assert work(store, model, made) == 10
    waiting = tasks(store)
    for fault, (embed, said) in FAULTS.items():
        with pytest.raises(StoreError, match=said):
            work(store, model, embed)
        assert list(stored(store)) == keys[:10], fault
        assert tasks(store) == waiting, fault
    assert status(store, model)["skipped"] == {}
    assert work(store, model, made) == 10
    assert list(stored(store)) == keys


def test_a_model_that_fails_leaves_its_task(store: Conn, model: Model) -> None:
    snvs(store, 5)
    plan(store, model)

    def fail(rows: Rows) -> Vectors:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        work(store, model, fail)
    assert len(tasks(store)) == 1
    assert work(store, model, made) == 5


def test_many_workers_at_once_do_each_task_once(store: Conn, model: Model, another: Connected) -> None:
    keys = snvs(store, 500)
    plan(store, model, size=7)
    seen: list[int] = []

    def embed(rows: Rows) -> Vectors:
        seen.extend(row[0] for row in rows)
        return made(rows)

    def everything(conn: Conn, _: int) -> int:
        done = 0
        while (count := work(conn, model, embed)) is not None:
            done += count
        return done

    counts = at_once(another, 6, everything)
    assert sum(counts) == 500
    assert sorted(seen) == sorted(keys)
    assert list(stored(store)) == keys


def test_a_task_that_somebody_is_at_is_passed_over(store: Conn, model: Model, another: Connected) -> None:
    keys = snvs(store, 9)
    plan(store, model, size=3)
    others = another()
    done: list[int | None] = []

    def meanwhile(rows: Rows) -> Vectors:
        done.extend([work(others, model, made), work(others, model, made), work(others, model, made)])
        assert plan(others, model) == 3  # those that are being embedded here
        return made(rows)

    assert work(store, model, meanwhile) == 3
    assert done == [3, 3, None]
    assert list(stored(store)) == keys


# ---- the index


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


# ---- genes


def test_the_ranges_of_genes(store: Conn) -> None:
    genes = [
        ("ENSG1", 1, "TP53", 17, 100, 200),
        ("ENSG2", 1, "Y_RNA", 20, 50, 60),
        ("ENSG3", 1, "Y_RNA", 20, 70, 80),
        ("ENSG4", 2, "HID", 1, 1, 2),
    ]
    with store.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO gene (gene_id, load_id, symbol, chrom, start_pos, end_pos, strand) VALUES (%s, %s, %s, %s, %s, %s, 1)", genes
        )
        cursor.executemany("INSERT INTO gene_alias (alias, gene_id, load_id) VALUES (%s, %s, 1)", [("P53", "ENSG1"), ("TP53", "ENSG2")])
    tp53, first, second = (Region(*place).keys() for place in ((17, 100, 200), (20, 50, 60), (20, 70, 80)))
    assert gene_ranges(store, ["tp53"], [1]) == gene_ranges(store, ["ENSG1.7"], [1]) == gene_ranges(store, ["p53"], [1]) == [tp53]
    assert gene_ranges(store, ["Y_RNA", "TP53"], [1]) == [first, second, tp53]
    assert gene_ranges(store, [], [1]) == []
    for name in ("HID", "nobody"):
        with pytest.raises(StoreError, match=f"no gene '{name}' is loaded"):
            gene_ranges(store, ["TP53", name], [1])


# ---- what loads say of variants


def consequence(conn: Conn, key: int, load: int, ordinal: int, severity: int, **columns: Any) -> None:
    """A row of transcript_consequence, with what it has to have."""
    values = {"annotator": "VEP", "impact": 2, "terms": ["missense_variant"], "canonical": False} | columns
    values |= {"variant_key": key, "load_id": load, "ordinal": ordinal, "severity": severity}
    conn.execute(f"INSERT INTO transcript_consequence ({', '.join(values)}) VALUES ({', '.join(f'%({name})s' for name in values)})", values)


def test_the_most_severe_consequence_of_the_latest_load_and_the_preferred_transcript(store: Conn) -> None:
    first, second, third, fourth = snvs(store, 4)
    consequence(store, first, 1, 0, 31, symbol="LATER", impact=3, terms=["synonymous_variant"])
    consequence(store, first, 1, 1, 10, symbol="SEVERE", impact=1, terms=["stop_gained", "splice_region_variant"], biotype="protein_coding",
                hgvsc="ENST1.1:c.4C>T", hgvsp="ENSP1.1:p.Gln2Ter", exon="1/2", intron="3/4")  # fmt: skip
    for ordinal, (name, mane, canonical) in enumerate([("PLAIN", None, False), ("CANONICAL", None, True), ("PLUS", "PLUS_CLINICAL", True), ("MANE", "SELECT", False)]):  # fmt: skip
        consequence(store, second, 1, ordinal, 29, symbol=name, mane=mane, canonical=canonical)
    consequence(store, third, 1, 0, 29, symbol="EARLIER", canonical=True)
    consequence(store, third, 2, 0, 29, symbol="LATEST")
    consequence(store, third, 3, 0, 1, symbol="HIDDEN")
    consequence(store, fourth, 3, 0, 1, symbol="HIDDEN")
    found = consequences(store, [fourth, third, second, first], [2, 1])
    assert {key: each.symbol for key, each in found.items()} == {first: "SEVERE", second: "MANE", third: "LATEST"}
    assert found[first] == Consequence(
        first,
        ["stop_gained", "splice_region_variant"],
        "HIGH",
        "SEVERE",
        "protein_coding",
        "ENST1.1:c.4C>T",
        "ENSP1.1:p.Gln2Ter",
        "1/2",
        "3/4",
    )
    assert consequences(store, [], [1]) == consequences(store, [first], []) == {}
    assert has_consequences(store, [3])
    assert not has_consequences(store, [4])


def test_changes_of_proteins_the_most_severe_first(store: Conn) -> None:
    first, second, third = snvs(store, 3)
    consequence(store, first, 1, 0, 29, hgvsp="ENSP1.1:p.Gly2Ala")
    consequence(store, first, 1, 1, 10, hgvsp="ENSP2.1:p.Gly3Ter")
    consequence(store, first, 1, 2, 1, hgvsp=None)
    consequence(store, first, 1, 3, 29, hgvsp="ENSP3.1:p.Gly4Ala", mane="SELECT")
    consequence(store, first, 2, 0, 29, hgvsp="p.Gly5Ala", transcript_id="ENST5.1")
    consequence(store, first, 3, 0, 1, hgvsp="ENSP9.1:p.Gly9Ala")
    consequence(store, second, 2, 0, 29, hgvsp="p.Gly6Ala")
    consequence(store, third, 2, 0, 29, hgvsp=None, transcript_id="ENST7.1")
    assert protein_changes(store, [first, second, third], [1, 2]) == {
        first: [("ENSP2.1", "p.Gly3Ter"), ("ENST5.1", "p.Gly5Ala"), ("ENSP3.1", "p.Gly4Ala"), ("ENSP1.1", "p.Gly2Ala")],
        second: [(None, "p.Gly6Ala")],
    }
    assert sorted(changed_proteins(store, [1, 2])) == ["ENSP1.1", "ENSP2.1", "ENSP3.1", "ENST5.1"]
    with closing(changed_proteins(store, [1, 2])) as named:
        next(named)
    assert store.info.transaction_status == TransactionStatus.IDLE  # what is not read to the end holds nothing
    assert not list(changed_proteins(store, [4]))


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
