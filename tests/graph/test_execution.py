"""The plan executor against graphql-core: random operations over the whole schema (tests/graph/both.py compares, here as in all tests of the graph)."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from graphql import get_introspection_query, parse, validate
from graphql.execution.values import get_variable_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph.context import Context, View
from graph.execution import Executor
from graph.execution.documents import CACHED_DOCUMENTS, KEPT, Documents
from graph.execution.plan import Compiler, NotPlanned, directive_variables
from graph.schema import build
from store.assembly import GRCH37
from store.database import Pools, open_pools
from store.statements import statement
from tests.graph.api import Api
from tests.graph.both import compare
from tests.graph.operations import Maker

ROOT = Path(__file__).resolve().parent.parent.parent
UNPLANNED = {"introspection"}
SAVED = sorted([*(ROOT / "tests" / "queries").glob("*.graphql"), *(ROOT / "examples" / "operations").glob("*.graphql")])
BUILT = build()
SCHEMA = BUILT._schema
NOWHERE = View(1, None, ())


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # what graphql-core leaves of siblings of what failed, by the hundred
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
    gc.collect()  # here, and not in another test
    assert answered > 200
    assert errors > 20


@pytest.mark.parametrize("path", SAVED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_saved_operations_and_examples_have_plans(path: Path) -> None:
    query = path.read_text()
    second = query.splitlines()[1]
    beside = path.with_suffix(".json")
    variables = json.loads(second.removeprefix("# ")) if second.startswith("# {") else {}
    if path.parent.name == "operations" and beside.exists():
        variables = json.loads(beside.read_text())
    document = Documents(SCHEMA).read(query)
    for operation in document.operations.values():
        values: Any = get_variable_values(SCHEMA, operation.variable_definitions or (), variables)
        directive_variables(document)
        if path.stem in UNPLANNED:
            with pytest.raises(NotPlanned):
                Compiler(BUILT).plan(document, operation, values)
        else:
            assert Compiler(BUILT).plan(document, operation, values).type == "Query"


@pytest.mark.parametrize(
    ("query", "reason"),
    [("{ __schema { queryType { name } } }", "introspection"), (get_introspection_query(), "introspection"), ("{ store { assembly } __type(name: \"Gene\") { name } }", "introspection")],
    ids=["schema", "all", "type"],
)  # fmt: skip
def test_introspection_is_graphql_core_s_and_counted(demo: Api, query: str, reason: str) -> None:
    def counted() -> float:
        lines = demo.request("GET", "/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f'vkg_unplanned_total{{reason="{reason}"}}'))

    before = counted()
    assert "errors" not in demo.ask(query)
    assert counted() == before + 1
    document = Documents(SCHEMA).read(query)
    (operation,) = document.operations.values()
    values: Any = get_variable_values(SCHEMA, operation.variable_definitions or (), {})
    with pytest.raises(NotPlanned, match=reason):
        Compiler(BUILT).plan(document, operation, values)


def test_a_directive_s_variable_has_a_plan_for_each_value(demo: Api) -> None:
    query = "query ($no: Boolean!, $id: String!) { variant(id: $id) { name @skip(if: $no) chrom @include(if: $no) ref } }"
    for no, keys in ((True, ["chrom", "ref"]), (False, ["name", "ref"]), (True, ["chrom", "ref"])):
        assert list(demo.data(query, {"no": no, "id": "rs4813331"})["variant"]) == keys


def test_what_fails_for_every_row_is_told_for_each_null_it_made(demo: Api) -> None:
    nullable = demo.ask("{ variants(first: 3) { nodes { name similar(first: 0) { nodes { name } } } } }")
    assert [error["path"] for error in nullable["errors"]] == [["variants", "nodes", n, "similar"] for n in range(3)]
    assert [node["similar"] for node in nullable["data"]["variants"]["nodes"]] == [None] * 3
    required = demo.ask("{ variants(first: 3) { nodes { name genes(first: 0) { nodes { symbol } } } } }")
    assert [error["path"] for error in required["errors"]] == [["variants", "nodes", 0, "genes"]]
    assert required["data"] is None


async def test_documents_and_what_is_made_of_them_do_not_grow_without_bound() -> None:
    executor = Executor(BUILT)
    ctx: Any = SimpleNamespace(view=NOWHERE)
    for n in range(2 * CACHED_DOCUMENTS):
        await executor.run(ctx, f"query Q{n} {{ __typename }}", None, None)
    assert len(executor._documents.kept) == CACHED_DOCUMENTS
    query = (
        "query ($id: String!, $first: Int!) { __typename variant(id: $id) @skip(if: true) { similar(first: $first) { nodes { name } } } }"
    )
    costs = []
    for n in range(1, 3 * KEPT):
        answer = await executor.run(ctx, query, {"id": str(n), "first": n}, None)
        assert answer.body == {"data": {"__typename": "Query"}}
        costs.append(answer.cost)
    assert costs == [*range(costs[0], costs[0] + len(costs))]
    document = executor._documents.read(query)
    assert len(document.costs) == KEPT
    assert len(document.plans) == 1


async def test_a_request_that_ends_leaves_no_work_behind(demo: Api) -> None:
    async def slow(*_: Any, **__: Any) -> list[Any]:
        await asyncio.sleep(60)
        return []

    before = asyncio.all_tasks()
    ctx: Any = SimpleNamespace(
        view=NOWHERE, fetch=slow, query=slow, query_individual=slow, read={}, loaders={}, assembly=None, reference=None
    )
    answer = await Executor(BUILT).run(ctx, '{ variant(id: "rs1") { name } embeddingModels { name } }', None, None, seconds=0.2)
    assert answer.body["errors"][0]["extensions"]["code"] == "TIMEOUT"
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


SELECTIONS = [
    "transcripts(first: 2) { totalCount edges { cursor node { transcriptId exons { start } } } pageInfo { endCursor hasNextPage } }",
    "transcripts(last: 2) { nodes { transcriptId gene { load { id } symbol } } }",
    "variants(first: 3) { edges { cursor node { name records { line load { id } } } } }",
    "load { id date release: id }",
    'variants(first: 3) { nodes { name embedding(model: "none") { dimension } } }',
]


@pytest.mark.parametrize("selection", SELECTIONS)
async def test_what_is_asked_by_several_ways_at_different_moments_is_read_once(demo: Api, selection: str) -> None:
    gene = demo.data('{ gene(id: "SIRPA") { geneId } }')["gene"]["geneId"]
    query = f"""{{ a: gene(id: "SIRPA") {{ {selection} }} b: gene(id: "{gene}") {{ {selection} }} c: genes(ids: ["SIRPA"]) {{ nodes {{ {selection} }} }}
        d: genes(ids: ["{gene}", "NOP56"]) {{ nodes {{ {selection} }} }} variant(id: "rs4813331") {{ genes {{ nodes {{ {selection} }} }} }} }}"""
    executor, reference = Executor(BUILT, every_error=True), Executor(BUILT, planned=False)
    draws = Random(selection)

    class Late(Pools):
        """Statements that are answered at some other moment than they were."""

        async def fetch(self, sql: str, *values: Any) -> list[Any]:
            rows = await super().fetch(sql, *values)
            await asyncio.sleep(draws.random() / 200)
            return rows

    pools = await open_pools(demo.settings.url, size=3, timeout_ms=10_000)
    (row,) = await pools.fetch(statement("current_release"))
    view = View(row["release_id"], row["name"], tuple(row["loads"]))
    wanted = (await reference.run(Context(pools, view, GRCH37), query, None, None)).body
    asked = set()
    for _ in range(40):
        ctx = Context(Late(pools.open, pools.individual), view, GRCH37)
        compare((await executor.run(ctx, query, None, None)).body, wanted)
        asked.add(ctx.statements)
    await pools.close()
    assert max(asked) <= 2 * min(asked)
