"""Literal chunks for the tests of what writes them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from store.copy import ROW, Chunk
from store.variant_key import encode

Variant = tuple[int, int, str, str]


def key(*variant: int | str) -> int:
    """The key of one variant (chrom, pos, ref, alt)."""
    return keys([variant]).tolist()[0]


def keys(variants: list) -> np.ndarray:
    chrom, pos, ref, alt = zip(*variants, strict=True)
    return encode(np.array(chrom), np.array(pos), ref, alt)


def chunk(*variants: Variant, line: int = 1, given: list[int] | None = None, rsid: bool = True) -> Chunk:
    """A chunk with one record per variant on successive lines from `line`, each with the rsID of its line; `given` are keys
    to use in place of the right ones."""
    chrom, pos, ref, alt = zip(*variants, strict=True)
    key = pa.array(given or keys(list(variants)), pa.int64())
    lines = list(range(line, line + len(variants)))
    row = pa.array(range(len(variants)), pa.int32())
    tables = {
        "variant": pa.record_batch(
            [key, pa.array(chrom, pa.int16()), pa.array(pos, pa.int32()), pa.array(ref), pa.array(alt), row],
            names=["variant_key", "chrom", "pos", "ref", "alt", ROW],
        ),
        "variant_record": pa.record_batch(
            [key, pa.array([1] * len(lines), pa.int16()), pa.array(lines, pa.int32()), row],
            names=["variant_key", "allele", "line", ROW],
        ),
    }
    if rsid:
        tables["rsid"] = pa.record_batch([pa.array(lines, pa.int64()), key, row], names=["rsid", "variant_key", ROW])
    return Chunk(tables, records=len(variants), end=lines[-1])
