"""Vectors of pgvector in their binary form, in and out: two int16 (dimension, 0), then the numbers, all big-endian (vector_recv, halfvec_send ...)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def halfvecs(values: np.ndarray) -> pa.Array:
    """(n, dimension) numbers as n values of a halfvec column, for COPY."""
    return _packed(values, ">f2")


def vectors(values: np.ndarray) -> pa.Array:
    """(n, dimension) numbers as n values of a vector column, for COPY; NULL for a row that has NaN."""
    return _packed(values, ">f4", np.isnan(values).any(axis=1))


def numbers_of_halfvec(sent: bytes) -> np.ndarray:
    """(dimension,) float32 of a halfvec as halfvec_send gives it, zeros without a sign."""
    return np.frombuffer(sent, ">f2", offset=4).astype(np.float32) + np.float32(0)


def matrix_of_halfvecs(sent: Sequence[bytes], dimension: int) -> np.ndarray:
    """(n, dimension) float32 of halfvecs of one dimension as halfvec_send gives them."""
    return np.frombuffer(b"".join(sent), ">f2").reshape(len(sent), 2 + dimension)[:, 2:].astype(np.float32)


def _packed(values: np.ndarray, kind: str, absent: np.ndarray | None = None) -> pa.Array:
    n, dimension = values.shape
    row = np.dtype([("dimension", ">i2"), ("zero", ">i2"), ("numbers", kind, (dimension,))])
    rows = np.zeros(n, row)
    rows["dimension"], rows["numbers"] = dimension, values
    offsets = np.arange(n + 1, dtype=np.int64) * row.itemsize
    missing = None if absent is None or not absent.any() else pa.array(~absent).buffers()[1]
    return pa.Array.from_buffers(pa.large_binary(), n, [missing, pa.py_buffer(offsets), pa.py_buffer(rows)])
