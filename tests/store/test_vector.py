"""Vectors of pgvector in their binary form: what goes in is what PostgreSQL reads and writes, number by number."""

from __future__ import annotations

import struct

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from store.vector import halfvecs, matrix_of_halfvecs, numbers_of_halfvec, vectors

HALVES = st.floats(width=16, allow_nan=False, allow_infinity=False)
MATRICES = st.tuples(st.integers(1, 5), st.integers(1, 9)).flatmap(lambda shape: arrays(np.float16, shape, elements=HALVES))


def by_hand(row: np.ndarray, kind: str) -> bytes:
    """What vector_recv and halfvec_recv take, by their documentation: two int16 and the numbers, all big-endian."""
    return struct.pack(f">hh{len(row)}{kind}", len(row), 0, *row.tolist())


@given(MATRICES)
def test_halves_are_packed_and_read_back(values: np.ndarray) -> None:
    sent = halfvecs(values).to_pylist()
    assert sent == [by_hand(row, "e") for row in values]
    matrix = matrix_of_halfvecs(sent, values.shape[1])
    assert (matrix.dtype, matrix.shape) == (np.float32, values.shape)
    assert np.array_equal(matrix, values.astype(np.float32))
    rows = [numbers_of_halfvec(each) for each in sent]
    assert np.array_equal(rows, matrix)
    assert not np.signbit([row[row == 0] for row in np.array(rows) if (row == 0).all()]).any()  # no -0


def test_none_are_a_matrix_of_no_rows() -> None:
    assert matrix_of_halfvecs([], 7).shape == (0, 7)
    assert len(halfvecs(np.zeros((0, 7), np.float32))) == 0


def test_zeros_have_no_sign() -> None:
    found = numbers_of_halfvec(by_hand(np.array([-0.0, 0.0, -1.5]), "e"))
    assert found.tolist() == [0, 0, -1.5]
    assert np.signbit(found).tolist() == [False, False, True]


def test_rows_with_nan_are_null_and_others_are_not() -> None:
    values = np.array([[1, 2.5], [np.nan, 1], [0, -3e38], [1, np.nan]], np.float32)
    assert vectors(values).to_pylist() == [by_hand(values[0], "f"), None, by_hand(values[2], "f"), None]
    assert vectors(values[[0, 2]]).null_count == 0
    assert vectors(values[:0]).to_pylist() == []


def test_it_is_what_the_server_reads_and_writes(conn: psycopg.Connection) -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(size=(20, 33)), [[65504] * 33, [2.0**-24] * 33, [0] * 33]]).astype(np.float16)
    conn.execute("CREATE TEMP TABLE x (n int, h halfvec(33), v vector(33))")
    with conn.cursor().copy("COPY x FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int4", "bytea", "bytea"])
        for n, (half, whole) in enumerate(zip(halfvecs(values).to_pylist(), vectors(values.astype(np.float32)).to_pylist(), strict=True)):
            copy.write_row((n, half, whole))
    rows = conn.execute("SELECT halfvec_send(h), h::text, v::text FROM x ORDER BY n").fetchall()
    assert np.array_equal(matrix_of_halfvecs([sent for sent, _, _ in rows], 33), values.astype(np.float32))
    for row, (_, half, whole) in zip(values, rows, strict=True):
        for text in (half, whole):  # as text: the fewest digits that mean the number
            assert np.array_equal(np.array(text[1:-1].split(","), np.float64).astype(np.float16), row)


@pytest.mark.parametrize("dimension", [1, 768, 4000])
def test_of_any_dimension(dimension: int) -> None:
    values = np.random.default_rng(2).normal(size=(3, dimension)).astype(np.float16)
    assert np.array_equal(matrix_of_halfvecs(halfvecs(values).to_pylist(), dimension), values)
