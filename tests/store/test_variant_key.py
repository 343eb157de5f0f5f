"""VariantKeys: the published vectors, order, and the way back."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.assembly import ASSEMBLIES, chrom_code
from store.region import Region, pos1
from store.variant_key import decode, encode, encode_one, from_hex, is_hashed, refalt_code, refalt_codes, to_hex
from tests.conftest import ROOT

VECTORS = ROOT.parent / "shared" / "data" / "variantkey_vectors.tsv"

CHROMS = st.integers(1, 25)
POSITIONS = st.integers(1, 249_250_621)
ALLELES = st.text("ACGT", min_size=1, max_size=14)
SHORT = st.tuples(st.text("ACGT", min_size=1, max_size=5), st.text("ACGT", min_size=1, max_size=6))


@pytest.mark.skipif(not VECTORS.exists(), reason=f"the published vectors are not here: {VECTORS}")
def test_all_published_vectors() -> None:
    with VECTORS.open(newline="") as file:
        vectors = list(csv.DictReader(file, delimiter="\t"))
    assert len(vectors) == 568
    keys = encode(
        np.array([chrom_code(v["chrom"]) for v in vectors]),
        np.array([pos1(int(v["pos0"])) for v in vectors]),
        [v["ref"] for v in vectors],
        [v["alt"] for v in vectors],
    )
    assert [to_hex(key) for key in keys.tolist()] == [v["variantkey_hex"] for v in vectors]


# A few of the published vectors, so that there is no day without them.
@pytest.mark.parametrize(
    ("chrom", "pos0", "ref", "alt", "expected"),
    [("chr1", 268435455, "C", "T", "0FFFFFFF88B80000"), ("CHR01", 324675, "G", "C", "08027A2188C80000")],
)
def test_a_published_vector(chrom: str, pos0: int, ref: str, alt: str, expected: str) -> None:
    assert to_hex(encode_one(chrom_code(chrom), pos1(pos0), ref, alt)) == expected


@given(st.lists(st.tuples(CHROMS, POSITIONS, ALLELES, st.one_of(ALLELES, st.text("ACGTN", min_size=1))), min_size=1))
def test_many_at_once_equal_one_by_one(variants: list[tuple[int, int, str, str]]) -> None:
    chrom, pos, ref, alt = zip(*variants, strict=True)
    together = encode(np.array(chrom), np.array(pos), ref, alt)
    assert together.dtype == np.int64
    assert together.tolist() == [encode_one(*variant) for variant in variants]
    assert refalt_codes(ref, alt).tolist() == [refalt_code(r, a) for r, a in zip(ref, alt, strict=True)]


@given(CHROMS, POSITIONS, SHORT)
def test_short_alleles_come_back(chrom: int, pos: int, alleles: tuple[str, str]) -> None:
    key = encode_one(chrom, pos, *alleles)
    assert not is_hashed(key)
    assert decode(key) == (chrom, pos, *alleles)
    assert from_hex(to_hex(key)) == key


@given(CHROMS, POSITIONS, st.text("ACGT", min_size=12, max_size=80))
def test_of_long_alleles_only_the_locus_comes_back(chrom: int, pos: int, ref: str) -> None:
    key = encode_one(chrom, pos, ref, "A")
    assert is_hashed(key)
    assert decode(key) == (chrom, pos, None, None)


@given(st.lists(st.tuples(CHROMS, POSITIONS, ALLELES, ALLELES), min_size=2))
def test_the_order_of_keys_is_the_order_of_the_genome(variants: list[tuple[int, int, str, str]]) -> None:
    in_order = sorted(variants, key=lambda v: encode_one(*v))
    assert [v[:2] for v in in_order] == sorted(v[:2] for v in variants)


@given(CHROMS, POSITIONS, st.integers(0, 1000), POSITIONS, ALLELES, ALLELES)
def test_a_region_is_the_range_of_keys_in_it(chrom: int, start: int, size: int, pos: int, ref: str, alt: str) -> None:
    lo, hi = Region(chrom, start, start + size).keys()
    for at in (start - 1, start, start + size, start + size + 1, pos):
        if at >= 1:
            assert (lo <= encode_one(chrom, at, ref, alt) < hi) == (start <= at <= start + size)


def test_case_does_not_matter() -> None:
    assert encode_one(1, 5, "acg", "t") == encode_one(1, 5, "ACG", "T")
    assert encode_one(1, 5, "acg" * 9, "t") == encode_one(1, 5, "ACG" * 9, "T")


@pytest.mark.parametrize("text", ["", "0FFFFFFF88B8000", "0FFFFFFF88B80000F", "xyz", "0000000000000000", "FFFFFFFFFFFFFFFF"])
def test_what_is_no_key_is_none(text: str) -> None:
    assert from_hex(text) is None


def test_hex_is_read_in_both_cases_and_with_its_prefix() -> None:
    assert from_hex("0x0fffffff88b80000") == from_hex("0FFFFFFF88B80000") is not None


def test_every_position_of_every_chromosome_has_room() -> None:
    for assembly in ASSEMBLIES:
        for chrom, length in enumerate(assembly.lengths, 1):
            assert decode(encode_one(chrom, length, "A", "C")) == (chrom, length, "A", "C")
