"""Variants to embed: tasks that are planned, and vectors that are written, by several at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from store.embedding import (
    Model,
    Rows,
    Vectors,
    plan,
    register,
    status,
    work,
)
from store.errors import StoreError
from store.region import Region, locus_key
from tests.store.vectors import PLAIN, Conn, Connected, add, at_once, in_tasks, made, snvs, stored, tasks

# ---- tasks


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
