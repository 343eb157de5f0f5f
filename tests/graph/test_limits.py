"""What one request may ask for: each limit passed is a clear message with a code, and the server goes on answering."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from graph import limits, protocol
from graph.filters import MOST_CONDITIONS
from graph.page import LARGEST_PAGE
from graph.resolve import MOST_INPUTS
from graph.search import LONGEST_TEXT
from tests.graph.api import Api

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


@pytest.fixture(autouse=True)
def alive_after(demo: Api) -> Iterator[None]:
    """Whatever was asked, the next request is answered."""
    yield
    assert demo.data("{ store { assembly } }") == {"store": {"assembly": "GRCh37"}}


def nested(levels: int, first: int = 1) -> str:
    """A valid query of 2 + 4 * levels levels of fields: genes of variants of genes ..."""
    inner = "{ symbol }"
    for _ in range(levels):
        inner = f"{{ variants(first: {first}) {{ nodes {{ genes(first: {first}) {{ nodes {inner} }} }} }} }}"
    return f"{{ genes(first: {first}) {{ nodes {inner} }} }}"


CIRCULAR = "{ store { ...A } } fragment A on Store { ...B } fragment B on Store { release { id } ...A }"
DOUBLING = (
    "{ store { ...F0 } } "
    + " ".join(f"fragment F{n} on Store {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40))
    + " fragment F40 on Store { assembly }"
)
MULTIPLYING = "{ gene(id: \"SIRPA\") { ...F0 } } " + " ".join(
    f"fragment F{n} on Gene {{ {' '.join(f'a{i}: variants(first: 1) {{ nodes {{ genes(first: 1) {{ nodes {{ ...F{n + 1} }} }} }} }}' for i in range(5))} }}" for n in range(3)
) + " fragment F3 on Gene { symbol }"  # fmt: skip
CHAIN = (
    "{ store { ...F0 } } "
    + " ".join(f"fragment F{n} on Store {{ ...F{n + 1} }}" for n in range(600))
    + " fragment F600 on Store { assembly }"
)

REFUSED = [
    ("more aliases than allowed", "{ " + " ".join(f"a{n}: store {{ assembly }}" for n in range(101)) + " }", "TOO_MANY_ALIASES", "more than 100 aliases"),
    ("aliases in fragments", "{ " + "...A " * 3 + " } fragment A on Query { " + " ".join(f"a{n}: store {{ assembly }}" for n in range(40)) + " }", "TOO_MANY_ALIASES", "aliases"),
    ("aliases in introspection", "{ __schema { types { " + " ".join(f"a{n}: name" for n in range(101)) + " } } }", "TOO_MANY_ALIASES", "aliases"),
    ("a deep valid query", nested(4), "TOO_DEEP", "more than 16 levels"),
    ("a deeper valid query", nested(200), "TOO_DEEP", "nested too deeply"),
    ("braces that close", "{a" * 2400 + "}" * 2400, "TOO_DEEP", "nested too deeply"),
    ("braces that never close", "{" * 50_000, "SYNTAX", "Syntax Error"),
    ("a deep list", '{ resolve(inputs: ' + "[" * 2000 + "]" * 2000 + ") { outcome } }", "TOO_DEEP", "nested too deeply"),
    ("a deep filter", "{ variants(filter: " + "{not: " * 400 + "{}" + "}" * 400 + ") { nodes { id } } }", "TOO_DEEP", "nested too deeply"),
    ("circular fragments", CIRCULAR, "INVALID_DOCUMENT", "Cannot spread fragment 'A' within itself via 'B'."),
    ("fragments that double forty times", DOUBLING, "TOO_MANY_FIELDS", "more than 10,000 fields"),
    ("fields that multiply in fragments", MULTIPLYING, "TOO_MANY_ALIASES", "more than 100 aliases"),
    ("a chain of fragments", CHAIN, "TOO_COMPLEX", "repeats so many fields and fragments"),
    ("the same field again and again", "{ store { " + "assembly " * 4900 + "} }", "TOO_COMPLEX", "repeats so many fields"),
    ("the same object again and again", "{ " + "store { assembly } " * 1200 + "}", "TOO_COMPLEX", "repeats so many fields"),
    ("more tokens than allowed", "{ " + "store " * 5000 + "}", "TOO_MANY_TOKENS", "more than 5,000 tokens"),
    ("a long list of literals", "{ resolve(inputs: [" + '"rs1" ' * 6000 + "]) { outcome } }", "TOO_MANY_TOKENS", "more than 5,000 tokens"),
    ("more directives than allowed", "{ store { assembly " + "... @include(if: true) { assembly } " * 51 + "} }", "TOO_MANY_DIRECTIVES", "more than 50 directives"),
    ("deep introspection", "{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }", "INVALID_DOCUMENT", "Maximum introspection depth exceeded"),
    ("introspection of types of types", '{ __type(name: "Query") { ' + "ofType { " * 16 + "name" + " }" * 16 + " } }", "TOO_DEEP", "more than 16 levels"),
    ("pages of pages of pages", nested(2, first=100), "TOO_MANY_COST", "more than 100,000 objects"),
    ("pages of lists", "{ genes(first: 1000) { nodes { variants(first: 1000) { nodes { id } } } } }", "TOO_MANY_COST", "more than 100,000 objects"),
    ("calls of many samples at many variants", "{ samples(first: 1000) { nodes { genotypes(ids: [" + '"rs1" ' * 200 + "]) { gt } } } }", "TOO_MANY_COST", "more than 100,000 objects"),
    ("a cost by default sizes", nested(3, first=50).replace("(first: 50)", ""), "TOO_MANY_COST", "more than 100,000 objects"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "code", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_document_beyond_a_limit_is_refused(demo: Api, query: str, code: str, said: str) -> None:
    response = demo.post(query, headers={"Accept": "application/graphql-response+json"})
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == code
    assert said in error["message"]
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    "query",
    [
        "{ " + " ".join(f"a{n}: store {{ assembly }}" for n in range(100)) + " }",
        nested(3),
        "{ store { assembly " + "... @include(if: true) { assembly } " * 50 + "} }",
        "{ store { " + "assembly " * 100 + "} }",
        nested(1, first=40),
    ],
    ids=["100 aliases", "14 levels", "50 directives", "a field a hundred times", "65,640 objects"],
)
def test_a_document_at_a_limit_is_answered(demo: Api, query: str) -> None:
    assert demo.data(query)


def test_unknown_directives_are_named(demo: Api) -> None:
    answer = demo.ask("{ store " + " ".join(f"@d{n}" for n in range(10)) + " { assembly } }")
    assert [error["message"] for error in answer["errors"]] == [f"Unknown directive '@d{n}'." for n in range(10)]
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"INVALID_DOCUMENT"}


def test_a_document_of_errors_gets_ten_of_them(demo: Api) -> None:
    answer = demo.ask("{ " + " ".join(f"x{n}" for n in range(1000)) + " }")
    assert len(answer["errors"]) == limits.ERRORS == 10


@pytest.mark.parametrize("default", [True, False], ids=["by default", "given"])
def test_variables_count_towards_the_cost(demo: Api, default: bool) -> None:
    query = "query ($n: Int%s) { genes(first: $n) { nodes { variants(first: $n) { nodes { genes(first: $n) { nodes { id } } } } } } }"
    for n, code in ((40, None), (100, "TOO_MANY_COST"), (1000, "TOO_MANY_COST"), (1_000_000, "TOO_MANY_COST")):
        answer = demo.ask(query % f" = {n}" if default else query % "", None if default else {"n": n})
        assert [error["extensions"]["code"] for error in answer.get("errors", ())] == ([code] if code else [])
    assert demo.cost(query % "", {"n": 40})["objects"] == 40 + 40**2 + 40**3


def test_lists_of_names_count_by_their_length(demo: Api) -> None:
    query = "query ($inputs: [String!]!) { resolve(inputs: $inputs) { variant { genes(first: 200) { nodes { id } } } } }"
    assert demo.cost(query, {"inputs": ["rs1"] * 100})["objects"] == 100 + 100 + 100 * 200
    assert demo.error(query, {"inputs": ["rs1"] * 1000})["code"] == "TOO_MANY_COST"
    query = "query ($ids: [String!]!) { samples(first: 20) { nodes { genotypes(ids: $ids) { gt } } } }"
    assert demo.cost(query, {"ids": ["rs4813331"] * 70})["objects"] == 20 + 20 * 70
    query = "query ($genes: [String!]!) { metacells(first: 20) { nodes { expression(genes: $genes) { mean } } } }"
    assert demo.cost(query, {"genes": ["NOP56"] * 70})["objects"] == 20 + 20 * 70
    assert demo.error(query.replace("20", "1000"), {"genes": ["NOP56"] * 100})["code"] == "TOO_MANY_COST"
    assert demo.cost('{ search(text: "SIRP") { ... on Gene { symbol } } }')["objects"] == 10


def test_a_filter_nested_by_variables_is_refused_or_answered(demo: Api) -> None:
    query = 'query ($filter: VariantFilter) { variants(region: "20:1-1000500", filter: $filter) { nodes { id } } }'
    codes = []
    for depth in (1, 10, 50, 100, 200, 300, 450):
        f: dict[str, Any] = {"type": ["SNV"]}
        for _ in range(depth):
            f = {"and": [f]}
        answer = demo.ask(query, {"filter": f})
        codes += [error["extensions"]["code"] for error in answer.get("errors", ())] or [None]
    assert codes[:3] == [None] * 3
    assert set(codes[3:]) <= {None, "TOO_DEEP"}
    assert codes[-1] == "TOO_DEEP"


def test_every_limit_is_documented_with_its_value_and_code() -> None:
    table, short = (
        {
            code: int(value.replace(",", ""))
            for value, code in re.findall(r"^\| [^|]+ \| ([\d,]+) ?[^|]*\| ([A-Z_]+) \|$", (DOCS / name).read_text(), re.MULTILINE)
        }
        for name in ("security.md", "querying.md")
    )
    assert short.items() <= table.items()
    assert len(short) > 10
    assert table == {
        "LIST_TOO_LONG": limits.LIST_ITEMS,
        "HEADERS_TOO_LARGE": protocol.HEAD_BYTES >> 10,
        "REQUEST_TIMEOUT": int(protocol.ARRIVAL_SECONDS),
        "PAGE_TOO_LARGE": LARGEST_PAGE,
        "TOO_MANY_INPUTS": MOST_INPUTS,
        "TOO_MANY_COST": limits.COST,
        "TOO_DEEP": limits.DEPTH,
        "TOO_MANY_ALIASES": limits.ALIASES,
        "TOO_MANY_DIRECTIVES": limits.DIRECTIVES,
        "TOO_MANY_FIELDS": limits.FIELDS,
        "TOO_MANY_TOKENS": limits.TOKENS,
        "TOO_COMPLEX": limits.COMPARISONS,
        "BAD_FILTER": MOST_CONDITIONS,
        "TEXT_TOO_LONG": LONGEST_TEXT,
        "BATCH_SIZE": limits.BATCH,
        "BODY_TOO_LARGE": limits.BODY_BYTES >> 20,
        "TIMEOUT": int(limits.SECONDS),
    }


# ---- the request as a whole


@pytest.mark.parametrize("size", [(1 << 20) + 1, 10_000_000])
def test_a_body_beyond_a_megabyte_is_refused(demo: Api, size: int) -> None:
    content = json.dumps({"query": "{ store { assembly } }", "x": ""})
    content = content[:-2] + "x" * (size - len(content)) + content[-2:]
    chunks = [content[i : i + 65536].encode() for i in range(0, size, 65536)]

    async def stream() -> Any:
        for chunk in chunks:
            yield chunk

    kind = {"Content-Type": "application/json"}
    for response in (
        demo.request("POST", "/graphql", content=content, headers=kind),
        demo.request("POST", "/graphql", content=stream(), headers=kind),
    ):
        assert response.status_code == 413
        (error,) = response.json()["errors"]
        assert (error["extensions"]["code"], error["message"]) == ("BODY_TOO_LARGE", "The request body is larger than 1,048,576 bytes.")


def test_a_body_of_a_megabyte_is_read(demo: Api) -> None:
    content = json.dumps({"query": "{ store { assembly } }", "x": ""})
    content = content[:-2] + "x" * (limits.BODY_BYTES - len(content)) + content[-2:]
    response = demo.request("POST", "/graphql", content=content, headers={"Content-Type": "application/json"})
    assert response.json()["data"] == {"store": {"assembly": "GRCh37"}}


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999999999999999999"])
def test_a_length_that_is_none_is_refused(demo: Api, length: str) -> None:
    response = demo.request("POST", "/graphql", content=b"{}", headers={"Content-Type": "application/json", "Content-Length": length})
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (413, "BODY_TOO_LARGE")


def test_a_batch_has_at_most_ten_operations(demo: Api) -> None:
    operation = {"query": "{ store { assembly } }"}
    assert len(demo.request("POST", "/graphql", json=[operation] * 10).json()) == 10
    response = demo.request("POST", "/graphql", json=[operation] * 11)
    (error,) = response.json()["errors"]
    assert (response.status_code, error["message"]) == (400, "A batch of 11 operations.")
    assert error["extensions"] == {"code": "BATCH_SIZE", "limit": 10, "value": 11, "hint": "Send 1 to 10."}


def test_a_request_that_takes_too_long_is_ended(own_annotated: str, serve: Callable[..., Api]) -> None:
    api = serve(own_annotated, seconds=0.5)
    query = '{ store { assembly } variant(id: "rs9000003") { name } }'
    with psycopg.connect(own_annotated) as conn:
        conn.execute("LOCK TABLE variant IN ACCESS EXCLUSIVE MODE")  # now every statement that reads variants waits
        for _ in range(api.settings.pool_size + 2):  # more often than there are connections: none is lost
            error = api.error(query)
            assert 0.5 <= error.pop("value") < 5
            assert error == {
                "message": "The request took longer than the 0.5 s that it had.", "code": "TIMEOUT", "limit": 0.5,
                "hint": "Ask for less: a smaller page or region, fewer levels.",
            }  # fmt: skip
        assert api.data("{ store { assembly } }")
    assert api.data(query)["variant"] == {"name": "20-1895963-A-G"}


def test_a_batch_has_the_cost_of_one_operation(demo: Api) -> None:
    query = "{ variants(first: 1000) { nodes { records { line } scores { name } populationFrequencies { frequency } consequences { terms } } } }"
    answers = demo.request("POST", "/graphql", json=[{"query": query}] * 3).json()
    assert ["errors" in answer for answer in answers] == [False, False, True]
    assert answers[2]["errors"][0]["extensions"]["code"] == "TOO_MANY_COST"
