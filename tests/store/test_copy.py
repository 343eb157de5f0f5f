"""Batches into tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.copy import ROW, collisions, copy_rows, insert_variants, keep, record_lines, repeated
from tests.store.chunks import chunk, key


def test_every_type_arrives_as_it_was(conn: psycopg.Connection[Any]) -> None:
    conn.execute(
        "CREATE TABLE thing (k bigint, s smallint, i integer, d double precision, t text, j json, b boolean, ts text[], ns integer[],"
        " ds double precision[], load_id integer)"
    )
    rows = {
        "k": pa.array([-(1 << 63), 5], pa.int64()),
        "s": pa.array([-3, None], pa.int16()),
        "i": pa.array([1 << 30, None], pa.int32()),
        "d": pa.array([0.1, None], pa.float64()),
        "t": pa.array(["Zoë\t\\N", None]),
        "j": pa.array(['{"AF":0.10}', None]),
        "b": pa.array([True, None]),
        "ts": pa.array([["a", None, ""], None], pa.list_(pa.string())),
        "ns": pa.array([[1, None], []], pa.list_(pa.int32())),
        "ds": pa.array([[0.5, None], None], pa.list_(pa.float64())),
        ROW: pa.array([0, 1], pa.int32()),
    }
    assert copy_rows(conn, "thing", pa.record_batch(rows), {"load_id": 7}) == 2
    found = conn.execute("SELECT k, s, i, d, t, j::text, b, ts, ns, ds, load_id FROM thing ORDER BY k").fetchall()
    assert found == [
        (-(1 << 63), -3, 1 << 30, 0.1, "Zoë\t\\N", '{"AF":0.10}', True, ["a", None, ""], [1, None], [0.5, None], 7),
        (5, None, None, None, None, None, None, None, [], None, 7),
    ]


@pytest.mark.parametrize("n", [0, 1, 5_000, 5_001, 12_000])
def test_as_many_rows_arrive_as_were_sent(conn: psycopg.Connection[Any], n: int) -> None:
    conn.execute("CREATE TABLE thing (k bigint, t text)")
    rows = pa.record_batch({"k": pa.array(range(n), pa.int64()), "t": pa.array(map(str, range(n)), pa.string())})
    assert copy_rows(conn, "thing", rows) == n
    assert conn.execute("SELECT count(*), count(DISTINCT k) FILTER (WHERE k::text = t) FROM thing").fetchone() == (n, n)


def test_a_slice_of_a_batch_is_that_slice(conn: psycopg.Connection[Any]) -> None:
    conn.execute("CREATE TABLE thing (ts text[])")
    rows = pa.record_batch({"ts": pa.array([["a"], ["b", "c"], ["d"]], pa.list_(pa.string()))})
    copy_rows(conn, "thing", rows.slice(1, 2))
    assert conn.execute("SELECT ts FROM thing").fetchall() == [(["b", "c"],), (["d"],)]


@given(st.lists(st.integers(-3, 3)))
def test_repeats_point_to_the_first_of_their_key(values: list[int]) -> None:
    rows, first = repeated(np.array(values, np.int64))
    expected = [(i, values.index(v)) for i, v in enumerate(values) if values.index(v) < i]
    assert list(zip(rows.tolist(), first.tolist(), strict=True)) == expected


def test_rows_of_variants_that_are_not_kept_go_and_rows_of_none_stay() -> None:
    rows = pa.record_batch({"x": [1, 2, 3, 4], ROW: pa.array([0, 0, 1, 2], pa.int32())})
    assert keep(rows, np.array([True, False, True])).column("x").to_pylist() == [1, 2, 4]
    of_no_variant = pa.record_batch({"x": [1, 2]})
    assert keep(of_no_variant, np.array([False])) is of_no_variant


def test_variants_that_are_there_are_not_added_again(conn: psycopg.Connection[Any]) -> None:
    one = chunk((20, 100, "A", "G"), (20, 101, "C", "T")).tables["variant"]
    two = chunk((20, 101, "C", "T"), (20, 102, "G", "T")).tables["variant"]
    assert insert_variants(conn, one) == 2
    conn.commit()
    assert insert_variants(conn, two) == 1
    conn.commit()
    assert conn.execute("SELECT pos, ref, alt FROM variant ORDER BY variant_key").fetchall() == [
        (100, "A", "G"),
        (101, "C", "T"),
        (102, "G", "T"),
    ]


def test_loads_at_once_add_variants_in_one_order(conn: psycopg.Connection[Any]) -> None:
    insert_variants(conn, chunk((20, 300, "A", "G"), (20, 100, "A", "G"), (20, 200, "A", "G")).tables["variant"])
    # Rows stand where they were inserted. In two orders, two loads would wait for each other.
    assert conn.execute("SELECT pos FROM variant ORDER BY ctid").fetchall() == [(100,), (200,), (300,)]


def test_a_hash_that_belongs_to_other_alleles_is_a_collision(conn: psycopg.Connection[Any]) -> None:
    long = (20, 100, "A" * 12, "G")
    insert_variants(conn, chunk(long).tables["variant"])
    rows = chunk((20, 90, "A", "C"), (20, 100, "C" * 12, "G"), long, given=[key(20, 90, "A", "C"), key(*long), key(*long)])
    assert collisions(conn, rows.tables["variant"]) == [1]


def test_the_lines_of_a_load_are_found_by_key(conn: psycopg.Connection[Any]) -> None:
    rows = chunk((20, 100, "A", "G"), (20, 101, "C", "T"), line=8).tables["variant_record"]
    copy_rows(conn, "variant_record", rows, {"load_id": 1})
    copy_rows(conn, "variant_record", rows.slice(0, 1), {"load_id": 2})
    wanted = [key(20, 100, "A", "G"), key(20, 101, "C", "T"), key(20, 5, "A", "C")]
    assert record_lines(conn, 1, wanted) == {wanted[0]: 8, wanted[1]: 9}
    assert record_lines(conn, 2, wanted) == {wanted[0]: 8}


def test_variants_among_which_none_is_stored_are_copied_straight_in(conn: psycopg.Connection[Any]) -> None:
    """Straight, rows stand as they came; those of the stage are sorted."""
    places = [(300, 100, 200), (400, 310), (600, 250), (700, 350)]  # the third and the fourth have stored ones among them
    for pos in places:
        rows = chunk(*((20, p, "A", "G") for p in pos)).tables["variant"]
        assert insert_variants(conn, rows, alone=True) == len(pos)
        conn.commit()
    assert insert_variants(conn, chunk((20, 600, "A", "G")).tables["variant"], alone=True) == 0
    found = conn.execute("SELECT array_agg(pos ORDER BY ctid) FROM variant").fetchone()
    assert found == ([300, 100, 200, 400, 310, 250, 600, 350, 700],)
