"""How two people are related, from what they share: as textbooks have it for relatives that everybody knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.relationship import FURTHEST, LEAST_SURVEYED_CM, estimate

GENOME = 3_500.0


@pytest.mark.parametrize(
    ("shared", "ibd2", "kinship", "degree", "kind"),
    [
        (1, 1, 1 / 2, 0, "IDENTICAL"),
        (1, 0, 1 / 4, 1, "PARENT_CHILD"),
        (0.97, 0, 0.2425, 1, "PARENT_CHILD"),
        (3 / 4, 1 / 4, 1 / 4, 1, "FULL_SIBLINGS"),
        (1 / 2, 0, 1 / 8, 2, "SECOND_DEGREE"),
        (7 / 16, 1 / 16, 1 / 8, 2, "SECOND_DEGREE"),  # double first cousins
        (1 / 4, 0, 1 / 16, 3, "THIRD_DEGREE"),  # cousins: they share an eighth of their genes
        (1 / 16, 0, 1 / 64, 5, "DISTANT"),  # second cousins
        (1 / 256, 0, 1 / 1024, 9, "DISTANT"),
        (1 / 1024, 0, 1 / 4096, None, "UNRELATED"),
        (0, 0, 0, None, "UNRELATED"),
    ],
)
def test_relatives_are_told_by_what_they_share(shared: float, ibd2: float, kinship: float, degree: int | None, kind: str) -> None:
    found = estimate(shared * GENOME, ibd2 * GENOME, GENOME)
    assert found is not None
    assert (round(found.kinship, 9), found.degree, found.relationship) == (round(kinship, 9), degree, kind)


@pytest.mark.parametrize(
    ("shared", "degree", "bounds", "kind"),
    [
        (1, 1, (0, 1), "FIRST_DEGREE"),  # parent and child, or twins
        (3 / 4, 1, (0, 1), "FIRST_DEGREE"),
        (1 / 2, 2, (2, 2), "SECOND_DEGREE"),
        (1 / 4, 3, (3, 3), "THIRD_DEGREE"),
        (0, None, (6, None), "UNRELATED"),
    ],
)
def test_where_nobody_knows_what_is_shared_on_both_haplotypes_the_first_degree_is_one(
    shared: float, degree: int | None, bounds: tuple[int, int | None], kind: str
) -> None:
    found = estimate(shared * GENOME, None, GENOME)
    assert found is not None
    assert (found.kinship, found.degree, found.nearest, found.furthest, found.relationship) == (shared / 4, degree, *bounds, kind)


def test_near_relatives_are_told_surely_and_far_ones_within_bounds() -> None:
    def bounds(kinship: float) -> tuple[int | None, int | None]:
        found = estimate(kinship * 4 * GENOME, 0, GENOME)
        assert found is not None
        return found.nearest, found.furthest

    assert bounds(1 / 4) == (1, 1)
    assert bounds(1 / 8) == (2, 2)
    nearest, furthest = bounds(1 / 64)
    assert nearest is not None
    assert furthest is not None
    assert nearest <= 5 <= furthest
    assert nearest < furthest
    assert bounds(0)[1] is None


@pytest.mark.parametrize("surveyed", [None, 0.0, 60.0, LEAST_SURVEYED_CM - 1])
def test_of_less_than_a_genome_nothing_is_said(surveyed: float | None) -> None:
    assert estimate(50, 0, surveyed) is None


def test_of_enough_of_a_genome_something_is_said() -> None:
    assert estimate(LEAST_SURVEYED_CM, 0, LEAST_SURVEYED_CM) == estimate(GENOME, 0, GENOME)


shares = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(
    lambda two: (max(two), min(two))
)  # of the genome, on one haplotype or both, and on both


@given(shares, shares, st.floats(LEAST_SURVEYED_CM, 4_000))
def test_who_shares_more_is_no_further_related(one: tuple[float, float], other: tuple[float, float], surveyed: float) -> None:
    less, more = (estimate(x * surveyed, y * surveyed, surveyed) for x, y in sorted((one, other), key=sum))
    assert less is not None
    assert more is not None
    assert 0 <= less.kinship <= more.kinship + 1e-12 <= 0.5 + 1e-12
    if less.kinship < more.kinship:
        assert (FURTHEST + 1 if less.degree is None else less.degree) >= (FURTHEST + 1 if more.degree is None else more.degree)


@given(shares, st.floats(LEAST_SURVEYED_CM, 4_000))
def test_the_likeliest_degree_lies_within_the_bounds(share: tuple[float, float], surveyed: float) -> None:
    found = estimate(share[0] * surveyed, share[1] * surveyed, surveyed)
    assert found is not None
    if found.degree is None:
        assert found.furthest is None
        assert found.relationship == "UNRELATED"
    else:
        assert found.nearest is not None
        assert found.nearest <= found.degree <= (FURTHEST if found.furthest is None else found.furthest)
