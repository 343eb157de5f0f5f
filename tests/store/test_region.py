"""Regions, and the only arithmetic between coordinate systems."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import InvalidName
from store.region import MAX_POS, Region, locus_key, pos0, pos1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20", (20, 1, MAX_POS)),
        ("chrX", (23, 1, MAX_POS)),
        ("20:5", (20, 5, 5)),
        ("chr20:1,000,000-2,000,000", (20, 1_000_000, 2_000_000)),
        ("20:1_000..2_000", (20, 1000, 2000)),
        ("MT:16569", (25, 16569, 16569)),
        ("NC_000020.11:7-", (20, 7, MAX_POS)),
        ("  1:1-1 ", (1, 1, 1)),
        ("1:1-9999999999", (1, 1, MAX_POS)),
    ],
)
def test_regions_are_read_as_people_write_them(text: str, expected: tuple[int, int, int]) -> None:
    assert Region.parse(text) == Region(*expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a region"),
        ("20:", "not a region"),
        ("20:a-b", "not a region"),
        ("20:-5", "not a region"),
        ("20:0-5", "begin at 1"),
        ("20:9-5", "before its start"),
        ("20:,", "not a position"),
        ("30:1-2", "unknown chromosome"),
        ("chrUn_KI270302v1:1-2", "unknown chromosome"),
        ("20:99999999999", "not a position"),
    ],
)
def test_what_is_no_region_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidName, match=said):
        Region.parse(text)


@given(st.integers(1, 25), st.integers(1, MAX_POS), st.integers(0, 1000))
def test_a_region_is_read_back_from_its_text(chrom: int, start: int, size: int) -> None:
    region = Region(chrom, start, min(start + size, MAX_POS))
    assert Region.parse(str(region)) == region
    assert len(region) == region.end - region.start + 1


@given(st.integers(0, MAX_POS - 1))
def test_positions_go_there_and_back(start0: int) -> None:
    assert pos0(pos1(start0)) == start0


@given(st.integers(1, 25), st.integers(0, MAX_POS))
def test_loci_rise_with_the_genome(chrom: int, pos: int) -> None:
    assert locus_key(chrom, pos) <= locus_key(chrom, pos + 1) < locus_key(chrom + 1, 1)


@pytest.mark.parametrize(("chrom", "pos"), [(1, 0), (1, 1), (1, 249250621), (13, 5), (16, 1), (25, 16569)])
def test_the_sql_twin_says_the_same(conn: psycopg.Connection[Any], chrom: int, pos: int) -> None:
    assert conn.execute("SELECT locus_key(%s::smallint, %s)", (chrom, pos)).fetchone() == (locus_key(chrom, pos),)
