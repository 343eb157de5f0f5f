"""Leaves against graphql-core: whatever values a column has, each is answered, or refused, as graphql-core does it."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLBoolean, GraphQLEnumType, GraphQLFloat, GraphQLID, GraphQLInt, GraphQLString, Undefined
from hypothesis import given
from hypothesis import strategies as st

from graph.execution.leaves import Leaf

COLOUR = GraphQLEnumType("Colour", {"RED": "red", "BLUE": "blue"})
KINDS = [GraphQLString, GraphQLID, GraphQLInt, GraphQLFloat, GraphQLBoolean, COLOUR]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**33), 2**33), st.floats(), st.text(max_size=3), st.sampled_from(["red", "blue", "RED"]), st.builds(list)
)  # fmt: skip
EVEN = [
    st.text(max_size=3),
    st.integers(-5, 5),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.sampled_from(["red", "blue"]),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(st.one_of(st.lists(VALUES, max_size=6), *(st.lists(st.one_of(st.none(), even), max_size=6) for even in EVEN)))
def test_a_column_is_answered_as_its_values_are_one_by_one(kind: Any, values: list[Any]) -> None:
    refused: list[int] = []
    leaf = Leaf(kind)
    for _ in range(2):  # an enum remembers
        refused.clear()
        answers = list(leaf.complete(values, lambda place, error: refused.append(place)))
        expected, failing = [], []
        for place, value in enumerate(values):
            answer = None
            if value is not None:
                try:
                    answer = kind.coerce_output_value(value)
                    assert answer is not None
                    assert answer is not Undefined
                except Exception:
                    answer = None
                    failing.append(place)
            expected.append(answer)
        assert [(type(answer), answer) for answer in answers] == [(type(answer), answer) for answer in expected]
        assert refused == failing


def test_an_exception_in_a_column_is_that_value_s_error() -> None:
    told: list[tuple[int, Exception]] = []
    problem = ValueError("no")
    assert list(Leaf(GraphQLString).complete(["a", problem, None], lambda place, error: told.append((place, error)))) == ["a", None, None]
    assert told == [(1, problem)]
