"""Trusted documents: manifests as clients' builds write them, the two ways in which they are asked for, and manifests that are not good."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from graph import trusted
from graph.execution.documents import CACHED_DOCUMENTS, LONGEST_CACHED
from graph.profile import LOCKED
from store.errors import StoreError
from tests.graph.api import Api

ONE = "query One($id: String!) { variant(id: $id) { name } }"
STORE = "query Contents { store { assembly } }"
TWO = "query First { store { assembly } } query Second { store { version } }"
FRAGMENTS = "query Spread { store { ...Part } } fragment Part on Store { assembly }"
ANSWER = {"variant": {"name": "20-1897442-C-T"}}
VARIABLES = {"id": "rs4813331"}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write(folder: Path, content: Any) -> Path:
    path = folder / "persisted-documents.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def apollo(*documents: tuple[str, str]) -> dict[str, Any]:
    """Apollo's manifest, as generate-persisted-query-manifest writes it."""
    operations = [{"id": id, "name": "One", "type": "query", "body": text} for id, text in documents]
    return {"format": "apollo-persisted-query-manifest", "version": 1, "operations": operations}


def by_id(api: Api, identifier: Any, variables: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
    return api.request("POST", "/graphql", json={"documentId": identifier, "variables": variables, **more})


def by_hash(api: Api, digest: Any, variables: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": digest}}
    return api.request("POST", "/graphql", json={"extensions": extensions, "variables": variables, "operationName": None, **more})


def code(response: httpx.Response) -> str:
    (error,) = response.json()["errors"]
    return error["extensions"]["code"]


Served = Callable[..., Api]


@pytest.fixture
def served(serve: Callable[..., Api], demo_url: str, tmp_path: Path) -> Served:
    """The demo data, locked, with a manifest of this content."""
    return lambda content, **other: serve(demo_url, trusted=write(tmp_path, content), **({"profile": LOCKED} | other))


# ---- manifests, and how they are asked


@pytest.mark.parametrize(
    ("key", "asked"),
    [
        (f"sha256:{sha256(ONE)}", f"sha256:{sha256(ONE)}"),  # graphql-codegen with hashAlgorithm sha256
        (sha256(ONE), f"sha256:{sha256(ONE)}"),
        (hashlib.sha1(ONE.encode()).hexdigest(), hashlib.sha1(ONE.encode()).hexdigest()),  # graphql-codegen's default
        (hashlib.md5(ONE.encode()).hexdigest(), hashlib.md5(ONE.encode()).hexdigest()),  # Relay
        ("x-app:One.1", "x-app:One.1"),
        ("One", "One"),
    ],
)
def test_a_document_is_asked_for_by_its_identifier(served: Served, key: str, asked: str) -> None:
    api = served({key: ONE, f"sha256:{sha256(STORE)}": STORE})
    assert by_id(api, asked, VARIABLES).json()["data"] == ANSWER
    assert by_id(api, f"sha256:{sha256(STORE)}").json()["data"] == {"store": {"assembly": "GRCh37"}}


@pytest.mark.parametrize(
    "manifest", [{f"sha256:{sha256(ONE)}": ONE}, {sha256(ONE): ONE}, apollo((sha256(ONE), ONE))], ids=["codegen", "bare", "Apollo"]
)
def test_a_document_is_asked_for_as_apollo_client_does(served: Served, manifest: Any) -> None:
    api = served(manifest)
    assert by_hash(api, sha256(ONE), VARIABLES).json()["data"] == ANSWER
    assert by_id(api, f"sha256:{sha256(ONE)}", VARIABLES).json()["data"] == ANSWER
    with_text = by_hash(api, sha256(ONE), VARIABLES, query=ONE)  # as it comes again where it was not found
    assert with_text.json()["data"] == ANSWER


def test_documents_of_several_operations_and_fragments(served: Served) -> None:
    api = served({"two": TWO, "fragments": FRAGMENTS})
    assert by_id(api, "two", operationName="First").json()["data"] == {"store": {"assembly": "GRCh37"}}
    assert "version" in by_id(api, "two", operationName="Second").json()["data"]["store"]
    assert code(by_id(api, "two")) == "NO_OPERATION"
    assert by_id(api, "fragments").json()["data"] == {"store": {"assembly": "GRCh37"}}


def test_a_batch_of_them(served: Served) -> None:
    api = served({"one": ONE, "store": STORE})
    asked = [{"documentId": "store"}, {"documentId": "one", "variables": VARIABLES}]
    assert [body["data"] for body in api.request("POST", "/graphql", json=asked).json()] == [{"store": {"assembly": "GRCh37"}}, ANSWER]
    response = api.request("POST", "/graphql", json=[*asked, {"query": STORE}])
    assert (response.status_code, code(response)) == (400, "UNTRUSTED_DOCUMENT")


# ---- what is not there, or not trusted


def test_what_is_not_in_the_manifest_is_not_run(served: Served) -> None:
    api = served({f"sha256:{sha256(ONE)}": ONE})
    for identifier in (
        f"sha256:{sha256(STORE)}",
        sha256(ONE),
        "sha256:",
        "",
        "One",
        f"SHA256:{sha256(ONE)}",
        f"sha256:{sha256(ONE).upper()}",
        "x" * 100_000,
        "\x00",
        "__proto__",
    ):
        response = by_id(api, identifier, VARIABLES)
        assert (response.status_code, code(response)) == (400, "UNKNOWN_DOCUMENT")
        assert len(response.content) < 500
    assert code(by_hash(api, sha256(STORE))) == "PERSISTED_QUERY_NOT_FOUND"
    assert by_hash(api, sha256(STORE)).json()["errors"][0]["message"] == "PersistedQueryNotFound"  # Apollo Client knows these words
    for response in (
        api.post(ONE, VARIABLES), api.post(ONE + " ", VARIABLES), api.post(STORE), api.post("{ __schema { types { name } } }"),
        by_hash(api, sha256(STORE), query=STORE),  # registering what nobody knows
    ):  # fmt: skip
        assert (response.status_code, code(response)) == (400, "UNTRUSTED_DOCUMENT")


def test_a_hash_of_one_document_does_not_bring_in_another(served: Served) -> None:
    api = served({f"sha256:{sha256(ONE)}": ONE})
    response = by_hash(api, sha256(ONE), query=STORE)
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")
    response = by_id(api, f"sha256:{sha256(ONE)}", query=STORE)
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("identifier", [5, [], {}, True])
def test_an_identifier_is_a_text(served: Served, identifier: Any) -> None:
    api = served({"one": ONE})
    assert code(by_id(api, identifier)) == code(by_hash(api, identifier)) == "BAD_REQUEST"
    for persisted in (5, [], "x", {}):
        response = api.request("POST", "/graphql", json={"extensions": {"persistedQuery": persisted}})
        assert code(response) == "BAD_REQUEST"


def test_beside_any_documents_where_the_profile_has_them(serve: Callable[..., Api], demo_url: str, tmp_path: Path, demo: Api) -> None:
    api = serve(demo_url, trusted=write(tmp_path, {f"sha256:{sha256(ONE)}": ONE}))
    assert by_id(api, f"sha256:{sha256(ONE)}", VARIABLES).json()["data"] == api.data(ONE, VARIABLES) == ANSWER
    by_address = {"documentId": f"sha256:{sha256(ONE)}", "variables": json.dumps(VARIABLES)}
    assert api.request("GET", "/graphql", params=by_address).json()["data"] == ANSWER
    apollos = {"extensions": json.dumps({"persistedQuery": {"version": 1, "sha256Hash": sha256(ONE)}}), "variables": json.dumps(VARIABLES)}
    assert api.request("GET", "/graphql", params=apollos).json()["data"] == ANSWER
    assert code(by_hash(api, sha256(STORE))) == "PERSISTED_QUERY_NOT_FOUND"
    assert by_hash(api, sha256(STORE), query=STORE).json()["data"] == {"store": {"assembly": "GRCh37"}}  # and so Apollo's clients go on
    assert code(by_id(demo, f"sha256:{sha256(ONE)}", VARIABLES)) == "UNKNOWN_DOCUMENT"  # of a server that was started without


def test_they_stay_whatever_else_is_asked(serve: Callable[..., Api], demo_url: str, tmp_path: Path) -> None:
    long = STORE + "#" * LONGEST_CACHED
    many = {f"d{n}": f"query Q{n} {{ store {{ assembly }} }}" for n in range(CACHED_DOCUMENTS + 20)} | {"long": long}
    documents = trusted.read(write(tmp_path, many))
    api = serve(demo_url, trusted=tmp_path / "persisted-documents.json")
    kept = api.app._door._executor._documents  # type: ignore[attr-defined]
    assert {*documents.values()} <= {*kept.trusted}
    known = kept.read(long)
    for n in range(0, CACHED_DOCUMENTS + 20, 100):
        api.ask(f"query Other{n} {{ store {{ assembly }} }}")
    assert kept.read(long) is known


# ---- manifests that are not good

DEEP = '{ gene(id: "SIRPA") ' + "{ variants(first: 1) { nodes { genes(first: 1) { nodes " * 4 + "{ symbol }" + " } } } }" * 4 + " }"
BAD = {
    "no JSON": ("{", "is not JSON"),
    "empty": ("", "is not JSON"),
    "a list": ([ONE], "is no object"),
    "a text": (ONE and json.dumps(ONE), "is no object"),
    "nothing in it": ({}, "has no document"),
    "no text": ({"one": 5}, "one: is no text"),
    "nested": ({"one": {"query": ONE}}, "one: is no text"),
    "an identifier of spaces": ({"a b": ONE}, "a b: is no identifier"),
    "an empty identifier": ({"": ONE}, ": is no identifier"),
    "an unknown prefix": ({"md5:abc": ONE}, "md5:abc: is no identifier"),
    "another's sha256": ({f"sha256:{sha256(STORE)}": ONE}, f"sha256:{sha256(STORE)}: is not the sha256"),
    "another's bare sha256": ({sha256(STORE): ONE}, "is not the sha256"),
    "half a sha256": ({f"sha256:{sha256(ONE)[:32]}": ONE}, "is not the sha256"),
    "another's sha1": ({hashlib.sha1(b"x").hexdigest(): ONE}, "is not the sha1"),
    "twice": (f'{{"one": {json.dumps(ONE)}, "one": {json.dumps(STORE)}}}', "one: is there twice"),
    "no GraphQL": ({"one": "{ store {"}, "one: Syntax Error"),
    "no field of the schema": ({"ok": ONE, "old": "{ store { nothing } }"}, "old: Cannot query field 'nothing'"),
    "a mutation": ({"one": "mutation { x }"}, "one: "),
    "fragments only": ({"one": "fragment F on Store { assembly }"}, "one: "),
    "too deep": ({"one": DEEP}, "one: The operation has more than 16 levels of fields: 18."),
    "too dear": ({"one": "query ($n: Int = 1000) { variants(first: $n) { nodes { genes(first: $n) { nodes { symbol } } } } }"}, "one: The operation has more than 100,000"),
    "about the schema": ({"one": "{ __schema { queryType { name } } }"}, "one: asks about the schema"),
    "about a type": ({"one": '{ store { assembly } ...F } fragment F on Query { a: __type(name: "Gene") { name } }'}, "one: asks about the schema"),
    "Apollo's of another version": ({**apollo((sha256(ONE), ONE)), "version": 2}, "version 1"),
    "Apollo's without operations": ({"format": "apollo-persisted-query-manifest", "version": 1}, "list of operations"),
    "Apollo's without an id": ({**apollo(), "operations": [{"body": ONE}]}, "operations[0]: has no id"),
    "Apollo's twice": (apollo((sha256(ONE), ONE), (sha256(ONE), ONE)), "is there twice"),
    "Apollo's without a body": ({**apollo(), "operations": [{"id": "one"}]}, "one: is no text"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_manifest_that_is_not_good_is_refused_with_file_and_identifier(served: Served, tmp_path: Path, name: str) -> None:
    content, said = BAD[name]
    with pytest.raises(StoreError) as refused:
        served(content)
    assert str(refused.value).startswith(f"{tmp_path / 'persisted-documents.json'}: ")
    assert said in str(refused.value)
    assert refused.value.remedy


def test_a_manifest_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(StoreError, match=f"^{path}: cannot be read"):
            trusted.read(path)
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match="cannot be read"):
        trusted.read(binary)


def test_typename_is_not_about_the_schema(served: Served) -> None:
    api = served({"one": "{ __typename store { __typename } }"})
    assert by_id(api, "one").json()["data"] == {"__typename": "Query", "store": {"__typename": "Store"}}
