"""The plan executor against graphql-core: random operations over the whole schema (tests/graph/both.py compares, here as in all tests of the graph)."""

from __future__ import annotations

from random import Random

import pytest
from graphql import parse, validate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph.schema import build
from tests.graph.api import Api
from tests.graph.operations import Maker

SCHEMA = build()._schema


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:coroutine 'GraphQLCoreConverter")  # graphql-core leaves those of siblings of what failed
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("store", ["demo", "annotated", "family"])
def test_random_operations_are_answered_as_by_graphql_core(store: str, request: pytest.FixtureRequest) -> None:
    api: Api = request.getfixturevalue(store)
    answered = errors = refused = 0

    @settings(max_examples=700, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**64))
    def ask(seed: int) -> None:
        nonlocal answered, errors, refused
        maker = Maker(SCHEMA, Random(seed))
        query = maker.operation()
        assert not validate(SCHEMA, parse(query)), query
        answer = api.ask(query, maker.variables)  # which tests/graph/both.py compares
        answered += answer.get("data") is not None
        errors += "errors" in answer
        refused += "data" not in answer

    ask()
    assert answered > 300
    assert errors > 20
