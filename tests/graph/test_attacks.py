"""What somebody who means harm would send: each is refused or answered with a clear code, nothing of the inside is told, and the server goes on answering.

The list is that of graphql-cop (denial of service, information leakage, CSRF), and what this schema adds: cursors, ids, names of many kinds. Texts are tried in
every argument of every field that takes one, which tests/graph/reached.py finds in the schema.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import json
import logging
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest
from graphql import get_introspection_query

from graph import app as graph_app
from graph import limits
from graph.execution import Executor
from tests.graph import reached
from tests.graph.api import BUILD, Api

JSON, GRAPHQL_JSON = "application/json", "application/graphql-response+json"
STORE = "{ store { assembly } }"
ANSWER = {"store": {"assembly": "GRCh37"}}
INSIDE = re.compile(
    r"syntax error at or near|unterminated|SQLSTATE|asyncpg|psycopg|invalid input syntax|operator does not|PostgreSQL|pg_|Traceback|\.py\b|File \"|relation \""
    r"|\$\d+\b|:loads"
)
"""What no message may have in it: words of the database, of the driver, of Python."""


@pytest.fixture(autouse=True)
def unharmed(demo: Api) -> Iterator[None]:
    """Whatever was sent, what is in the store is as it was, and is answered."""
    counts = demo.data("{ store { counts { records samples genes } } }")
    yield
    assert demo.data("{ store { counts { records samples genes } } }") == counts


def errors_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The errors of an answer, each with a code and a message that tells nothing of the inside."""
    found = response.json().get("errors", [])
    for error in found:
        assert error["extensions"]["code"] != "INTERNAL", error
        assert not INSIDE.search(error["message"]), error
    return found


def codes(response: httpx.Response) -> set[str]:
    """The codes of the errors of an answer."""
    return {error["extensions"]["code"] for error in errors_of(response)}


# ---- as graphql-cop does: more than a server should do for one request


def batch(count: int) -> list[dict[str, str]]:
    return [{"query": STORE}] * count


OVERLOADS = {
    "aliases": ({"query": "{ " + " ".join(f"a{n}: __typename" for n in range(101)) + " }"}, "TOO_MANY_ALIASES", 100, 101),
    "a batch": (batch(11), "BATCH_SIZE", 10, 11),
    "directives": ({"query": "{ __typename" + " @include(if: true)" * 51 + " }"}, "INVALID_DOCUMENT", None, None),
    "directives on many fields": (
        {"query": "{ " + " ".join("store @include(if: true) { assembly }" for _ in range(60)) + " }"}, "TOO_MANY_DIRECTIVES", 50, 60,
    ),
    "a field again and again": ({"query": "{ store { " + "assembly " * 4_000 + "} }"}, "TOO_COMPLEX", 50_000, 50_001),
    "fields": (
        {"query": "{ ...A ...A } fragment A on Query { ...B ...B } fragment B on Query { store { " + "assembly " * 100 + "} " + "...C " * 30
         + "} fragment C on Query { store { " + "assembly " * 100 + "} }"}, "TOO_MANY_FIELDS", 10_000, 10_001,
    ),
    "circular introspection": (
        {"query": "{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }"}, "INVALID_DOCUMENT", None, None,
    ),
    "circular fragments": ({"query": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"}, "INVALID_DOCUMENT", None, None),
    "a fragment of itself": ({"query": "{ ...A } fragment A on Query { __typename ...A }"}, "INVALID_DOCUMENT", None, None),
    "depth": (
        {"query": "{ gene(id: \"SIRPA\") " + "{ variants(first: 1) { nodes { genes(first: 1) { nodes " * 4 + "{ symbol }" + " } } } }" * 4 + " }"},
        "TOO_DEEP", 16, 18,
    ),
    "cost": ({"query": "{ variants(first: 1000) { nodes { genes(first: 1000) { nodes { symbol } } } } }"}, "TOO_MANY_COST", 100_000, 1_001_000),
    "cost beyond all numbers": (
        {"query": "{ variants(first: 1000) { nodes { " * 1 + "genes(first: 1000) { nodes { variants(first: 1000) { nodes { " * 3 + "name" + " } } } }" * 3
         + " } } }"}, "TOO_MANY_COST", 100_000, 10**15,
    ),
    "cost by a variable": (
        {"query": "query ($n: Int) { variants(first: $n) { nodes { genes(first: $n) { nodes { symbol } } } } }", "variables": {"n": 500}},
        "TOO_MANY_COST", 100_000, 250_500,
    ),
    "cost by a list": (
        {"query": "query ($ids: [String!]!) { samples(first: 1000) { nodes { genotypes(ids: $ids) { gt } } } }", "variables": {"ids": ["rs1"] * 200}},
        "TOO_MANY_COST", 100_000, 201_000,
    ),
    "a list": (
        {"query": "query ($p: [String!]) { variant(id: \"rs4813331\") { populationFrequencies(population: $p) { frequency } } }",
         "variables": {"p": ["x"] * 10_001}}, "LIST_TOO_LONG", 10_000, 10_001,
    ),
    "a list within": (
        {"query": "query ($f: VariantFilter) { variants(gene: \"SIRPA\", filter: $f) { nodes { name } } }",
         "variables": {"f": {"and": [{"rsid": ["x"] * 10_001}]}}}, "LIST_TOO_LONG", 10_000, 10_001,
    ),
    "tokens": ({"query": "{ " + "a " * 5_001 + "}"}, "TOO_MANY_TOKENS", 5_000, 5_001),
}  # fmt: skip


@pytest.mark.parametrize("name", OVERLOADS)
def test_more_than_is_good_is_refused_with_the_limit_and_what_was_measured(demo: Api, name: str) -> None:
    body, code, limit, value = OVERLOADS[name]
    response = demo.request("POST", "/graphql", json=body, headers={"Accept": GRAPHQL_JSON})
    assert response.status_code == 400
    error = errors_of(response)[0]
    assert error["extensions"]["code"] == code, error
    assert (error["extensions"].get("limit"), error["extensions"].get("value")) == (limit, value), error
    assert len(response.content) < 6_000
    if limit is not None and code != "BATCH_SIZE":
        assert response.json().get("data") is None


def test_a_batch_is_paid_as_one_request(demo: Api) -> None:
    query = "{ variants(first: 1000) { nodes { genes(first: 40) { nodes { symbol } } } } }"
    answers = demo.request("POST", "/graphql", json=[{"query": query}] * 3).json()
    error = answers[2]["errors"][0]["extensions"]
    assert (error["code"], error["limit"], error["value"]) == ("TOO_MANY_COST", 100_000, 3 * 41_000)


# ---- what tells of the inside


def test_suggestions_are_of_a_schema_that_is_open(demo: Api) -> None:
    """They tell nothing that introspection does not. Where that is off, so are they: tests/graph/test_profiles.py."""
    assert "Did you mean 'store'" in demo.ask("{ stor { assembly } }")["errors"][0]["message"]
    assert demo.ask(get_introspection_query())["data"]["__schema"]["mutationType"] is None


@pytest.mark.parametrize("extensions", [{"tracing": True}, {"trace": 1}, {"debug": True}, {"apolloTracing": {}}, {"queryPlan": True}])
@pytest.mark.parametrize("header", [{}, {"X-Apollo-Tracing": "1"}, {"Apollo-Federation-Include-Trace": "ftv1"}, {"X-Debug": "1"}])
def test_there_is_no_mode_that_traces(demo: Api, extensions: dict[str, Any], header: dict[str, str]) -> None:
    body = demo.post(STORE, headers=header, extensions=extensions).json()
    assert body["extensions"].keys() == {"release"}


@pytest.mark.parametrize(
    "path", ["/graphql/trace", "/console", "/debug", "/altair", "/playground", "/voyager", "/graphql/console", "/docs", "/.env", "/.git/config", "/admin"]
)  # fmt: skip
def test_there_is_nothing_else(demo: Api, path: str) -> None:
    response = demo.request("GET", path)
    assert response.status_code == 404
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    "path", ["/graphiql/assets/../../../etc/passwd", "/graphiql/assets/%2e%2e%2f%2e%2e%2fdoor.py", "/graphiql/assets/..%5c..%5cdoor.py"]
)
def test_no_path_leads_out(demo: Api, path: str) -> None:
    assert demo.request("GET", path).status_code == 404


@pytest.mark.parametrize("path", ["/schema.graphql", "/", "/readyz"])
def test_a_fault_beside_the_api_is_masked_with_its_number(
    serve: Callable[..., Api], demo_url: str, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(graph_app, "PlainTextResponse", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(graph_app, "JSONResponse", _failing_once(graph_app.JSONResponse))
    api = serve(demo_url)
    with caplog.at_level(logging.ERROR, "vkg.graph"):
        response = api.request("GET", path, headers={"Accept": "*/*"})
    assert response.status_code == 500
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["message"] == f"Something went wrong on the server (error {error['extensions']['id']})."
    assert "division" not in response.text
    assert any(error["extensions"]["id"] in record.getMessage() and record.exc_info for record in caplog.records)


def _failing_once(real: Any) -> Any:
    """A response that cannot be made the first time: of a page; the second is that of its fault."""

    def made(content: Any, *rest: Any) -> Any:
        return real(content, *rest) if "errors" in content else 1 / 0

    return made


def test_a_fault_of_the_door_is_masked_with_its_number(
    serve: Callable[..., Api], demo_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    api = serve(demo_url)
    monkeypatch.setattr(api.app.state.releases, "named", lambda _: 1 / 0)
    with caplog.at_level(logging.ERROR, "vkg.graph"):
        response = api.post(STORE, headers={"Vkg-Release": "x"})
    (error,) = response.json()["errors"]
    assert (response.status_code, error["extensions"]["code"]) == (500, "INTERNAL")
    assert error["extensions"]["id"] in error["message"]
    assert any(error["extensions"]["id"] in record.getMessage() and record.exc_info for record in caplog.records)


# ---- other sites: what a browser sends without asking first


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "text/plain; application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "application/json, text/plain",
     "text/plain, application/json", "application/jsonp", "text/json", "application/graphql", "application/x-www-form-urlencoded; application/json"],
)  # fmt: skip
def test_a_body_that_browsers_send_without_asking_is_not_read(demo: Api, kind: str) -> None:
    for content in (json.dumps({"query": STORE}), "query=" + STORE.replace(" ", "+"), "--x\r\n\r\n--x--"):
        response = demo.request("POST", "/graphql", content=content, headers={"Content-Type": kind, "Origin": "https://other.example"})
        assert (response.status_code, codes(response)) == (415, {"UNSUPPORTED_MEDIA_TYPE"})


@pytest.mark.parametrize("query", ["mutation { __typename }", "mutation { deleteEverything }", "subscription { __typename }"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_is_changed_by_any_way(demo: Api, query: str, method: str) -> None:
    """There are no mutations: whatever asks for one is refused, and no address changes anything (CSRF has nothing to forge)."""
    asked = {"params": {"query": query}} if method == "GET" else {"json": {"query": query}}
    response = demo.request(method, "/graphql", headers={"Accept": GRAPHQL_JSON}, **asked)
    assert (response.status_code, codes(response)) == (400, {"INVALID_DOCUMENT"})


def test_a_mutation_in_a_form_is_not_read(demo: Api) -> None:
    response = demo.request("POST", "/graphql", data={"query": "mutation { __typename }"})
    assert (response.status_code, codes(response)) == (415, {"UNSUPPORTED_MEDIA_TYPE"})


@pytest.mark.parametrize(
    ("site", "answered"), [("none", True), ("same-origin", True), ("same-site", False), ("cross-site", False), ("x", False)]
)
def test_a_page_of_another_site_cannot_ask_by_an_address(demo: Api, site: str, answered: bool) -> None:
    response = demo.request("GET", "/graphql", params={"query": STORE}, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})
    assert (response.status_code, codes(response)) == ((200, set()) if answered else (403, {"CROSS_SITE"}))


def test_a_page_that_is_allowed_can(serve: Callable[..., Api], demo_url: str) -> None:
    api = serve(demo_url, origins=("https://browser.example",))
    for origin, status in (("https://browser.example", 200), ("https://other.example", 403), ("null", 403)):
        response = api.request("GET", "/graphql", params={"query": STORE}, headers={"Sec-Fetch-Site": "cross-site", "Origin": origin})
        assert response.status_code == status
        assert (response.headers.get("access-control-allow-origin") == origin) == (status == 200)


@pytest.mark.parametrize("origins", [("*",), ("https://browser.example",), ()])
def test_no_origin_is_ever_allowed_with_credentials(serve: Callable[..., Api], demo_url: str, origins: tuple[str, ...]) -> None:
    api = serve(demo_url, origins=origins)
    for headers in ({"Origin": "https://browser.example"}, {"Origin": "https://browser.example", "Cookie": "a=b"}, {"Origin": "null"}):
        asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, authorization"}
        for response in (api.post(STORE, headers=headers), api.request("OPTIONS", "/graphql", headers=headers | asks)):
            assert "access-control-allow-credentials" not in response.headers
            if "*" not in origins:
                assert response.headers.get("access-control-allow-origin") in (None, *origins)


@pytest.mark.parametrize(
    ("host", "answered"),
    [("127.0.0.1", True), ("127.0.0.1:8000", True), ("LOCALHOST:8000", True), ("[::1]:8000", True), ("evil.example:8000", False), ("127.0.0.1.evil.example", False),
     ("localhost.evil.example", False), ("evil.example@127.0.0.1", False), ("", False)],
)  # fmt: skip
def test_loopback_is_asked_by_its_own_names_only(serve: Callable[..., Api], demo_url: str, host: str, answered: bool) -> None:
    """A site may give its own name to 127.0.0.1 (DNS rebinding): to the browser it is then one site."""
    api = serve(demo_url, hosts=("127.0.0.1", "localhost", "[::1]"))
    for method, path in (("POST", "/graphql"), ("GET", "/graphql"), ("GET", "/"), ("GET", "/schema.graphql"), ("GET", "/metrics")):
        asked = {"json": {"query": STORE}} if method == "POST" else {"params": {"query": STORE}}
        response = api.request(method, path, headers={"Host": host}, **asked)
        assert response.status_code == (200 if answered else 421), (method, path)
        if not answered:
            assert codes(response) == {"UNKNOWN_HOST"}


# ---- how it is sent


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "X" * 500])
def test_other_methods_are_told_which_there_are(demo: Api, method: str) -> None:
    for headers in ({}, {"X-HTTP-Method-Override": "POST"}, {"X-HTTP-Method": "GET"}, {"X-Method-Override": "POST"}):
        response = demo.request(method, "/graphql", params={"query": STORE}, headers=headers)
        if method == "get":  # which httpx sends as GET
            assert response.status_code == 200
            continue
        assert response.status_code == 405
        assert response.headers["allow"] == "GET, POST"


def test_a_method_is_not_overridden(demo: Api) -> None:
    response = demo.request("POST", "/graphql?_method=GET&query={store{assembly}}", json={}, headers={"X-HTTP-Method-Override": "GET"})
    assert (response.status_code, codes(response)) == (400, {"NO_QUERY"})


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "gzip, identity", "x"])
def test_a_packed_body_is_not_unpacked(demo: Api, encoding: str) -> None:
    bomb = gzip.compress(json.dumps({"query": STORE, "x": "0" * 50_000_000}).encode(), 9)
    assert len(bomb) < limits.BODY_BYTES
    response = demo.request("POST", "/graphql", content=bomb, headers={"Content-Type": JSON, "Content-Encoding": encoding})
    assert (response.status_code, codes(response)) == (415, {"UNSUPPORTED_ENCODING"})


def test_a_packed_body_that_does_not_say_so_is_no_json(demo: Api) -> None:
    response = demo.request("POST", "/graphql", content=gzip.compress(b'{"query": "{ __typename }"}'), headers={"Content-Type": JSON})
    assert (response.status_code, codes(response)) == (400, {"BAD_JSON"})


def test_of_keys_that_come_twice_the_last_counts_and_parameters_come_once(demo: Api) -> None:
    body = '{"query": "{ nothing }", "query": "{ store { assembly } }", "variables": 5, "variables": {}}'
    response = demo.request("POST", "/graphql", content=body, headers={"Content-Type": JSON})
    assert response.json()["data"] == ANSWER
    for name in ("query", "variables", "operationName", "extensions", "documentId"):
        asked = [("query", STORE), *([(name, "{}")] * (1 if name == "query" else 2))]
        response = demo.request("GET", "/graphql", params=asked)
        assert (response.status_code, codes(response)) == (400, {"BAD_REQUEST"})
        assert errors_of(response)[0]["message"] == f"{name} is given twice."


def test_of_headers_that_come_twice_the_first_counts(demo: Api) -> None:
    content = json.dumps({"query": STORE})
    for kinds, status in (((JSON, "text/plain"), 200), (("text/plain", JSON), 415)):
        response = demo.request("POST", "/graphql", content=content, headers=[("Content-Type", kind) for kind in kinds])
        assert response.status_code == status


@pytest.mark.parametrize(
    "query", ["%FF%FE", "{store{assembly}}&variables=%FF", "%", "{store{assembly}}&" + "&".join(f"a{n}=1" for n in range(30))]
)
def test_an_address_that_cannot_be_read_is_told(demo: Api, query: str) -> None:
    response = demo.request("GET", f"/graphql?query={query}")
    assert response.status_code in (200, 400)
    assert codes(response) <= {"BAD_REQUEST", "SYNTAX"}
    assert errors_of(response)


@pytest.mark.parametrize(
    "variables", ['{"__proto__": {"x": 1}}', '{"constructor": {"prototype": {}}}', '{"id": {"$ne": null}}', '{"": ""}', '{"id": 1e400}']
)
def test_variables_of_other_worlds_do_nothing(demo: Api, variables: str) -> None:
    body = '{"query": "query ($id: String) { store { assembly } search(text: \\"SIRP\\") { __typename } }", "variables": ' + variables + "}"
    response = demo.request("POST", "/graphql", content=body, headers={"Content-Type": JSON})
    assert response.status_code in (200, 400)
    assert codes(response) <= {"INVALID_DOCUMENT", "BAD_JSON"}


# ---- texts, in every argument that takes one

TEXTS = {
    "a quote": "'",
    "SQL that ends the statement": "x'; DROP TABLE variant; --",
    "SQL that is always true": "' OR '1'='1",
    "SQL that joins": "x') UNION ALL SELECT rolname, rolpassword FROM pg_authid --",
    "SQL that waits": "1; SELECT pg_sleep(30)--",
    "a parameter": "$1 :loads %s {0} ${7*7}",
    "a dollar quote": "$$; COPY variant TO PROGRAM 'id'; $$",
    "wildcards": "%_%*?[a-z]+(.*)\\",
    "NUL": "a\x00b",
    "control characters": "\x01\x1b[31m\r\nSet-Cookie: a=b\u2028\x7f",
    "no letters": "𝔘🧬\u202e\ufeff\u0301" * 3,
    "HTML": "<script>alert(1)</script>{{7*7}}",
    "a path": "../../../../etc/passwd",
    "numbers beyond all": "99999999999999999999999999999999999999",
    "a place beyond all": "20:99999999999999999999-99999999999999999999",
    "a negative": "-1",
    "nothing": "",
    "spaces": "   ",
    "very long": "A" * 100_000,
    "very long digits": "9" * 20_000,
    "long with colons": ":" * 20_000,
    "another's id": "Variant:FFFFFFFFFFFFFFFF",
}
PLACES = list(reached.strings(BUILD()._schema))


@pytest.fixture(scope="module")
def alone(demo_url: str) -> Iterator[Api]:
    """The application as it is served: what a text does to it is the same by both executors, which other tests compare."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.graph.api.Both", Executor)
        from tests.graph.conftest import settings

        with Api(settings(demo_url)) as api:
            yield api


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_text_is_a_text_in_every_argument(alone: Api, place: reached.Place) -> None:
    schema = BUILD()._schema
    query = reached.operation(schema, place)
    batch = [{"query": query, "variables": {"x": reached.value(schema, place, text)}} for text in TEXTS.values()]
    for start in range(0, len(batch), limits.BATCH):
        response = alone.request("POST", "/graphql", json=batch[start : start + limits.BATCH])
        assert response.status_code == 200
        for asked, body in zip(batch[start:], response.json(), strict=False):
            for error in body.get("errors", ()):
                assert error["extensions"]["code"] not in ("INTERNAL", "STORE_UNAVAILABLE", "TIMEOUT", "INVALID_DOCUMENT", "SYNTAX"), (
                    asked,
                    error,
                )
                text = json.dumps(error, ensure_ascii=False)
                for sent in TEXTS.values():
                    for form in {sent, sent[:80], sent[:200], repr(sent)[1:-1], repr(sent[:80])[1:-1]}:
                        text = text.replace(json.dumps(form, ensure_ascii=False)[1:-1], "") if len(form) > 8 else text
                assert not INSIDE.search(text), (asked["variables"], error)
                assert len(text) < 2_000, str(asked)[:500]


def test_the_arguments_are_reached(alone: Api) -> None:
    """There is an object in the demo data for every type that has such fields, but for clusters."""
    assert len(PLACES) > 300
    unreached = set()
    for kind in {place.type for place in PLACES}:
        answer = alone.ask(f"{{ {reached.along(reached.ways(BUILD()._schema)[kind], '__typename')} }}")
        if f'"__typename": "{kind}"' not in json.dumps(answer):
            unreached.add((kind, json.dumps(answer)[:300]))
    assert {kind for kind, _ in unreached} == {"VariantCluster"}, unreached


@pytest.mark.parametrize("text", ["\\ud800", "\\udfff\\ud800", "\\u{d800}", "\\u{110000}", "\\uzzzz"])
def test_half_a_character_is_none(demo: Api, text: str) -> None:
    """Lone surrogates: as JSON and as GraphQL write them, in a variable and in a literal."""
    for body in (
        f'{{"query": "query ($t: String!) {{ search(text: $t) {{ __typename }} }}", "variables": {{"t": "{text}"}}}}',
        json.dumps({"query": f'{{ search(text: "{text}") {{ __typename }} }}'}),
    ):
        response = demo.request("POST", "/graphql", content=body.encode(), headers={"Content-Type": JSON})
        assert codes(response) <= {"BAD_JSON", "SYNTAX"}
        assert codes(response)


@pytest.mark.parametrize(
    "body", [b'{"query": "\xff"}', b"\xef\xbb\xbf{}", '{"query": "{ __typename }"}'.encode("utf-16"), b"\x00" * 100, b'{"query": "\x00"}']
)
def test_bytes_that_are_no_text_are_no_json(demo: Api, body: bytes) -> None:
    response = demo.request("POST", "/graphql", content=body, headers={"Content-Type": JSON})
    assert (response.status_code, codes(response)) == (400, {"BAD_JSON"})


# ---- ids of other things


def ids(api: Api) -> dict[str, str]:
    """An id of each type that has any in the demo data."""
    query = """{ variant(id: "rs4813331") { id genes(first: 1) { nodes { id transcripts(first: 1) { nodes { id } } } } records { load { id } } }
        samples(first: 1) { nodes { id } } metacells(first: 1) { nodes { id } } store { release { id } } callsets { id }
        sample(id: "HG00376") { ibdSegments(first: 1) { nodes { id } } } populations(first: 1) { nodes { id } } enformerTracks(first: 1) { nodes { id } } }"""
    found: dict[str, str] = {}

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "id" in value:
                found[value["id"].partition(":")[0]] = value["id"]
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(api.data(query))
    return found


def test_an_id_of_one_type_is_none_of_another(demo: Api) -> None:
    known = ids(demo)
    assert len(known) >= 7
    for kind in known:
        for other, id in known.items():
            key = id.partition(":")[2]
            response = demo.post("query ($id: ID!) { node(id: $id) { __typename id } }", {"id": f"{kind}:{key}"})
            assert codes(response) <= {"BAD_ID"}
            node = response.json()["data"]["node"]
            if kind == other:
                assert node == {"__typename": kind, "id": id}
            elif node is not None:  # numbers are keys of several types
                assert (node["__typename"], node["id"]) == (kind, f"{kind}:{key}")


@pytest.mark.parametrize(
    "id",
    ["Query:1", "Node:1", "Release:-1", "Release:1e3", "Release:٣", "Sample:0x10", "Gene:' OR 1=1 --", "Load:" + "9" * 18, "Sample:" + "9" * 30, ":", "Variant:", "variant:1",
     "Variant:" + "0" * 17, "__proto__:1", "Variant:A00CDC9108E80000 ", "VariantRecord:1", "Load:1:2:3", "IBDSegment:1-2-3", "IBDSegment:" + "9" * 18, "Metacell:" + "9" * 18],
)  # fmt: skip
def test_an_id_that_was_made_up_is_nothing(demo: Api, id: str) -> None:
    for query in ("query ($id: ID!) { node(id: $id) { __typename } }", "query ($id: ID!) { nodes(ids: [$id]) { __typename } }"):
        response = demo.post(query, {"id": id})
        assert codes(response) <= {"BAD_ID"}
        assert response.json()["data"] in (None, {"node": None}, {"nodes": [None]}), id


def test_an_id_where_a_name_is_asked_for_is_a_name(demo: Api) -> None:
    known = ids(demo)
    for field in ("variant", "gene", "sample"):
        for kind, id in known.items():
            response = demo.post(f"query ($id: String!) {{ {field}(id: $id) {{ id }} }}", {"id": id})
            assert codes(response) <= {"INVALID_NAME"}, (field, id)
            found = (response.json()["data"] or {}).get(field)
            assert found is None or found["id"].partition(":")[0].lower() == field == kind.lower()


# ---- cursors

PAGES = {
    "variants": 'variants(region: "20:1890000-1900000", first: 2, after: $after)',
    "genes": "genes(first: 2, after: $after)",
    "samples": "samples(first: 2, after: $after)",
    "metacells": "metacells(first: 2, after: $after)",
    "populations": "populations(first: 2, after: $after)",
    "relatives": "relatives(first: 1, after: $after)",
    "ibdSegments": "ibdSegments(first: 1, after: $after)",
    "similar": "similar(first: 2, after: $after)",
    "enformerTracks": "enformerTracks(first: 2, after: $after)",
}


WITHIN = {"relatives": 'sample(id: "HG00376")', "ibdSegments": 'sample(id: "HG00376")', "similar": 'variant(id: "rs4813331")'}


def page(name: str, selection: str) -> str:
    """A query of a list, which is of Query or within an object."""
    body = f"{PAGES[name]} {{ {selection} }}"
    return f"query ($after: String) {{ {WITHIN[name]} {{ {body} }} }}" if name in WITHIN else f"query ($after: String) {{ {body} }}"


def cursors(api: Api) -> dict[str, str]:
    """A cursor of each list."""
    found = {}
    for name in PAGES:
        (data,) = api.data(page(name, "pageInfo { endCursor }")).values()
        found[name] = (data if name not in WITHIN else data[name])["pageInfo"]["endCursor"]
    return found


def refused_cursor(api: Api, name: str, cursor: str) -> None:
    response = api.post(page(name, "pageInfo { endCursor }"), {"after": cursor})
    assert codes(response) == {"BAD_CURSOR"}, (name, cursor)


def test_a_cursor_of_another_list_is_refused(demo: Api) -> None:
    known = cursors(demo)
    for name in known:
        for other, cursor in known.items():
            if name != other:
                refused_cursor(demo, name, cursor)


def test_a_cursor_that_was_changed_is_refused(demo: Api) -> None:
    draws = random.Random(9)
    for name, cursor in cursors(demo).items():
        for n in range(0, len(cursor), 3):
            refused_cursor(demo, name, cursor[:n])
            swapped = draws.choice("ABCDabcd0123-_".replace(cursor[n], ""))
            refused_cursor(demo, name, cursor[:n] + swapped + cursor[n + 1 :])
        for more in ("A", "=", "==", " ", "\n", "%00", "\x00", "é", cursor):
            refused_cursor(demo, name, cursor + more)
        for _ in range(5):
            refused_cursor(demo, name, base64.urlsafe_b64encode(draws.randbytes(draws.randrange(1, 80))).decode().rstrip("="))


def forged(cursor: str, place: int | None, value: Any) -> str:
    """A cursor of which one value, or all content, was changed by somebody who knows how it is made, which is no secret."""
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    content = orjson.loads(raw[6:])
    payload = orjson.dumps(value if place is None else [*content[:place], value, *content[place + 1 :]])
    digest = hashlib.blake2b(payload, digest_size=6, person=b"vkg-cursor").digest()
    return base64.urlsafe_b64encode(digest + payload).rstrip(b"=").decode()


STRANGE: list[Any] = [
    None,
    True,
    -1,
    2**62,
    2**63,
    2**64 - 1,
    1.5,
    1e300,
    "",
    "x",
    "\x00",
    "'; DROP TABLE variant; --",
    [],
    [1],
    {},
    {"a": 1},
    "9" * 400,
]


@pytest.mark.parametrize("name", PAGES)
def test_a_cursor_that_was_forged_does_no_harm(alone: Api, name: str) -> None:
    """It can say no more than where in a list to go on, so whoever forges one finds what was to be found anyway, or an error that says so."""
    cursor = cursors(alone)[name]
    query = page(name, "nodes { __typename }")
    raw = len(orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[6:]))
    for value, place in itertools.product(STRANGE, (0, *range(2, raw))):
        response = alone.post(query, {"after": forged(cursor, place, value)})
        assert response.status_code == 200
        assert codes(response) <= {"BAD_CURSOR", "BAD_REQUEST", "TOO_MANY_SIMILAR"}, (name, place, value)
    for other in ([], {}, None, 5, "x", [1], [1, "x/y"], [[]] * 9):
        refused_cursor(alone, name, forged(cursor, None, other))
