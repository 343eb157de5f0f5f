"""Fields taken out of graphql-core's way answer as it would: values, order, nulls and errors, to the byte."""

from __future__ import annotations

import asyncio
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import strawberry
from graphql import execute, parse

from graph.execution.reference import ColumnExecutor, columns
from tests.graph.api import Api
from tests.graph.test_queries import QUERIES


@strawberry.enum
class Colour(Enum):
    RED = "RED"
    BLUE = "BLUE"


@strawberry.type
class Leaf:
    name: str
    size: int | None
    colours: list[Colour]
    notes: list[str | None] | None

    @strawberry.field
    def loud(self) -> str:
        return self.name.upper()

    @strawberry.field
    async def late(self) -> str | None:
        if self.size is None:
            raise ValueError("no size")
        return self.name


@strawberry.type
class Tree:
    name: str
    leaves: list[Leaf]
    perhaps: list[Leaf | None] | None
    best: Leaf | None


@strawberry.type
class Query:
    @strawberry.field
    def tree(self) -> Tree | None:
        return TREES[self]


def leaf(name: Any = "ash", size: Any = 1, colours: Any = ("RED",), notes: Any = None) -> Leaf:
    return Leaf(name=name, size=size, colours=colours, notes=notes)


TREES = {
    "whole": Tree(name="oak", leaves=[leaf(), leaf("fir", None, ["BLUE", "RED"], ["a", "b"])], perhaps=[leaf("ivy")], best=leaf()),
    "empty": Tree(name="oak", leaves=[], perhaps=None, best=None),
    "a null that must not be": Tree(name="oak", leaves=[leaf(), leaf(None)], perhaps=[leaf("ivy"), leaf(None)], best=leaf(None)),
    "a null item": Tree(name="oak", leaves=[leaf(colours=["RED", None])], perhaps=[None, leaf(notes=["a", None])], best=leaf(notes=[None])),
    "a value of the wrong kind": Tree(name="oak", leaves=[leaf(size="much")], perhaps=[leaf(size=2**40)], best=leaf(colours=["GREEN"])),
    "a list that is none": Tree(name="oak", leaves=[leaf(colours=7)], perhaps=7, best=leaf(colours="RED")),
}
DOCUMENTS = [
    "{ tree { name leaves { name size colours notes } perhaps { name size notes } best { size name colours } } }",
    "{ tree { __typename again: name leaves { __typename size also: size loud } perhaps { late name } best { late loud name } } }",
    """query ($no: Boolean = false) { tree { ...F leaves { name @include(if: $no) size @skip(if: $no) } leaves { colours } } }
    fragment F on Tree { best { ...G } } fragment G on Leaf { notes ... on Leaf { name } }""",
    "{ tree { leaves { late size } perhaps { colours } best { notes } } }",
]
SCHEMA = strawberry.Schema(Query)._schema


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("document", DOCUMENTS)
async def test_answers_are_those_of_graphql_core(tree: str, document: str) -> None:
    async def answer(executor: Any) -> tuple[bytes, list[bytes]]:
        result = execute(SCHEMA, parse(document), tree, SimpleNamespace(loads={}), executor_class=executor)
        if asyncio.iscoroutine(result):
            result = await result
        return orjson.dumps(result.data), sorted(orjson.dumps(error.formatted) for error in result.errors or ())

    assert await answer(ColumnExecutor) == await answer(None)


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_saved_operations_answer_as_on_graphql_core(
    path: Path, demo: Api, annotated: Api, family: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = path.read_text()
    first, second = query.splitlines()[:2]
    api = {"demo": demo, "annotated": annotated, "family": family}[first.removeprefix("# ").split(":")[0]]

    def answer() -> tuple[Any, list[Any]]:
        found = api.ask(query, orjson.loads(second.removeprefix("# ")) if second.startswith("# {") else None)
        return orjson.dumps(found["data"]), sorted(map(orjson.dumps, found.get("errors", ())))

    short = answer()
    monkeypatch.setattr("graph.execution.executor.ColumnExecutor", None)
    assert answer() == short


def test_columns_are_the_fields_without_a_function() -> None:
    assert set(columns(SCHEMA.type_map["Leaf"])) == {"__typename", "name", "size", "colours", "notes"}
    assert set(columns(SCHEMA.type_map["Tree"])) == {"__typename", "name"}
