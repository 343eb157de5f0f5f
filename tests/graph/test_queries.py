"""Saved operations give their saved answers: tests/queries/*.graphql with *.json beside them.

The first line of an operation says which store it is for, the second may hold its variables. They cover every field of
the schema and every way in which an executor has to put answers together, so any other executor has to give the same.
After a change that is meant: VKG_WRITE_ANSWERS=1 pytest tests/graph/test_queries.py, and read the difference.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from graphql import FieldNode, GraphQLInterfaceType, GraphQLObjectType, TypeInfo, TypeInfoVisitor, Visitor, parse, visit

from tests.graph.api import BUILD, Api
from tests.graph.neighbours import rounded

QUERIES = sorted((Path(__file__).resolve().parent.parent / "queries").glob("*.graphql"))
NOT_SAVED = {"Store.version"}  # changes with every version of the software
_MOMENT = re.compile(r'("(?:loadedAt|createdAt)": )"\d{4}-\d\d-\d\dT[^"]+\+00:00"')


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_a_saved_operation_gives_its_saved_answer(path: Path, demo: Api, annotated: Api, family: Api) -> None:
    query = path.read_text()
    first, second = query.splitlines()[:2]
    api = {"demo": demo, "annotated": annotated, "family": family}[first.removeprefix("# ").split(":")[0]]
    answer = api.ask(query, json.loads(second.removeprefix("# ")) if second.startswith("# {") else None)
    del answer["extensions"]
    answer.get("errors", []).sort(key=lambda error: error["path"])  # fields of one level fail in any order
    text = _MOMENT.sub(r'\1"a moment"', json.dumps(answer, indent=1, ensure_ascii=False)) + "\n"
    saved = path.with_suffix(".json")
    if os.environ.get("VKG_WRITE_ANSWERS"):
        saved.write_text(text)
    assert json.loads(text) == json.loads(saved.read_text(), object_hook=rounded)


def test_saved_operations_cover_every_field() -> None:
    schema = BUILD()._schema
    covered: set[str] = set()

    class Fields(Visitor):
        def __init__(self, info: TypeInfo) -> None:
            super().__init__()
            self.info = info

        def enter_field(self, node: FieldNode, *_: Any) -> None:
            parent = self.info.get_parent_type()
            covered.add(f"{parent.name}.{node.name.value}" if parent else "")

    for path in QUERIES:
        info = TypeInfo(schema)
        visit(parse(path.read_text()), TypeInfoVisitor(info, Fields(info)))
    kinds = [k for k in schema.type_map.values() if isinstance(k, GraphQLObjectType | GraphQLInterfaceType) and not k.name.startswith("__")]
    missing = {f"{kind.name}.{field}" for kind in kinds for field in kind.fields} - covered - NOT_SAVED
    assert missing == set()
