"""Pooling and comparing: literal numbers in, literal numbers out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedder.errors import EmbedderError
from embedder.models import Tokens
from embedder.pooling import Pooling, chosen, compare, finite, measured, pool

# CLS, AC, GTT, A, SEP, PAD
TOKENS = Tokens(np.array([1, 9, 12, 5, 2, 3], np.int32), np.array([[0, 0], [0, 2], [2, 5], [5, 6], [6, 6], [0, 0]], np.int32))
HIDDEN = torch.tensor([[[9.0, 90], [1, 10], [2, 80], [6, 30], [9, 90], [9, 90]]])
ALL = [False, True, True, True, False, False]


@pytest.mark.parametrize(
    ("span", "places"),
    [
        ((0, 1), [1]),
        ((1, 2), [1]),
        ((1, 3), [1, 2]),
        ((2, 5), [2]),
        ((3, 4), [2]),
        ((5, 6), [3]),
        ((0, 6), [1, 2, 3]),
        # Nothing of its own: between two characters, of two tokens or of one; at the ends there is only one side.
        ((2, 2), [1, 2]),
        ((3, 3), [2]),
        ((5, 5), [2, 3]),
        ((0, 0), [1]),
        ((6, 6), [3]),
    ],
)
def test_variant_pooling_takes_the_tokens_that_overlap_the_variant(span: tuple[int, int], places: list[int]) -> None:
    assert np.flatnonzero(chosen(TOKENS, span, Pooling.VARIANT)).tolist() == places


@pytest.mark.parametrize("pooling", [Pooling.MEAN, Pooling.MAX])
def test_other_poolings_take_every_token_that_stands_for_bases(pooling: Pooling) -> None:
    assert chosen(TOKENS, (3, 4), pooling).tolist() == ALL


@pytest.mark.parametrize(
    ("pooling", "keep", "expected"),
    [
        (Pooling.MEAN, ALL, [3, 40]),
        (Pooling.MAX, ALL, [6, 80]),
        (Pooling.VARIANT, [False, True, True, False, False, False], [1.5, 45]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_pooled_vectors_are_float32(pooling: Pooling, keep: list[bool], expected: list[float], dtype: torch.dtype) -> None:
    found = pool(HIDDEN.to(dtype), torch.tensor([keep]), pooling)
    assert found.dtype is torch.float32
    assert found.tolist() == [expected]


@pytest.mark.parametrize("pooling", Pooling)
def test_padding_is_never_pooled_not_even_where_it_is_infinite(pooling: Pooling) -> None:
    hidden = HIDDEN.clone()
    hidden[0, [0, 4, 5]] = torch.tensor([torch.inf, torch.nan])
    keep = torch.from_numpy(chosen(TOKENS, (2, 4), pooling))[None]
    assert torch.equal(pool(hidden, keep, pooling), pool(HIDDEN, keep, pooling))


def test_a_mean_of_half_precision_is_summed_in_single() -> None:
    hidden = torch.full((1, 3000, 1), 100.0, dtype=torch.float16)  # the sum is beyond fp16
    assert pool(hidden, torch.ones(1, 3000, dtype=torch.bool), Pooling.MEAN).tolist() == [[100.0]]


def test_comparing_gives_difference_norm_and_cosine_distance() -> None:
    ref, alt = np.array([[1, 0], [1, 0], [2, 0]], np.float32), np.array([[0, 1], [4, 4], [-1, 0]], np.float32)
    found = compare(ref, alt, "abc")
    assert found.difference.tolist() == [[-1, 1], [3, 4], [-3, 0]]
    assert found.norm.tolist() == pytest.approx([2**0.5, 5, 3])
    assert found.cosine_distance.tolist() == pytest.approx([1, 1 - 0.5**0.5, 2])
    assert {a.dtype for a in found} == {np.dtype(np.float32)}


numbers = st.floats(-1000, 1000, width=32)
vectors = arrays(np.float32, (3, 5), elements=numbers).filter(lambda a: bool((np.abs(a).max(axis=1) > 1e-3).all()))


@given(vectors, vectors)
def test_swapping_ref_and_alt_negates_exactly(ref: np.ndarray, alt: np.ndarray) -> None:
    there, back = compare(ref, alt, "abc"), compare(alt, ref, "abc")
    assert np.array_equal(there.difference, -back.difference)
    assert np.array_equal(there.norm, back.norm)
    assert np.array_equal(there.cosine_distance, back.cosine_distance)
    cosine = (ref.astype(float) * alt).sum(1) / np.linalg.norm(ref.astype(float), axis=1) / np.linalg.norm(alt.astype(float), axis=1)
    assert there.cosine_distance == pytest.approx(1 - cosine, abs=1e-6)


@given(vectors)
def test_ref_equal_to_alt_gives_exactly_zero(ref: np.ndarray) -> None:
    found = compare(ref, ref.copy(), "abc")
    assert not any(a.any() for a in found)


def test_a_small_cosine_distance_keeps_its_digits() -> None:
    ref = np.array([[1000, 0]], np.float32)
    assert compare(ref, np.array([[1000, 0.01]], np.float32), "a").cosine_distance[0] == pytest.approx(5e-11, rel=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_infinities_and_nan_are_refused_by_name(bad: float, side: int) -> None:
    both = np.ones((2, 3, 4), np.float32)
    both[side, 1, 2] = bad
    assert finite(both[side]).tolist() == [True, False, True]
    with pytest.raises(EmbedderError, match=r"infinities or NaN for 20-5-A-T\n.*--dtype"):
        compare(*both, ["20-4-A-T", "20-5-A-T", "20-6-A-T"])


def test_vectors_of_zeros_are_refused_by_name() -> None:
    with pytest.raises(EmbedderError, match="zeros only for 0, 1, 2, 3, 4 and 2 more"):
        compare(np.zeros((7, 2), np.float32), np.ones((7, 2), np.float32), range(7))


def test_lengths_of_vectors_and_zeros_that_have_none() -> None:
    vectors = np.array([[3, 4], [0, 1e-20], [1e30, 0]], np.float32)
    assert measured(vectors, "abc").tolist() == [5, np.float32(1e-20), np.float32(1e30)]
    with pytest.raises(EmbedderError, match="vectors of zeros only for b\n"):
        measured(np.array([[1, 0], [0, 0]], np.float32), "ab")
