"""Profiles: what each offers is what the table says, in the code, in the documentation, and over HTTP. And the headers that every answer has."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from graphql import get_introspection_query
from typer.testing import CliRunner

from graph import commands
from graph.profile import PROFILES, Profile
from graph.rate import RATE
from store.errors import StoreError
from tests.graph.api import Api

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "security.md"
STORE = "{ store { assembly } }"
QUERY = (
    "query One($id: String!, $zygosity: [Zygosity!]) { variant(id: $id) { name carriers(zygosity: $zygosity, first: 1) { totalCount } } }"
)
ROWS = {
    "any document": "any_document", "introspection": "introspection", 'suggestions in errors ("Did you mean")': "suggestions", "GET /graphql": "get",
    "statements and milliseconds in `extensions.cost`": "measures", "GraphiQL at /graphiql": "graphiql", "/schema.graphql": "schema_file",
    "the page at /": "front", "/metrics": "metrics",
}  # fmt: skip
"""What the lines of the table are called, and the fields of the profile."""


def identifier(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "persisted-documents.json"
    path.write_text(json.dumps({identifier(text): text for text in (QUERY, STORE)}))
    return path


Served = Callable[[str], Api]


@pytest.fixture
def served(serve: Callable[..., Api], demo_url: str, manifest: Path) -> Served:
    """The demo data under a profile, with trusted documents where it wants some."""
    return lambda name: serve(demo_url, profile=PROFILES[name], trusted=None if PROFILES[name].any_document else manifest)


def test_the_documentation_has_the_table() -> None:
    lines = re.findall(r"^\| (.+?) \| (yes|no) \| (yes|no) \| (yes|no) \|$", DOCS.read_text(), re.MULTILINE)
    told = {
        ROWS[name]: dict(zip(("default", "public", "locked"), (cell == "yes" for cell in cells), strict=True)) for name, *cells in lines
    }
    switches = [field.name for field in dataclasses.fields(Profile) if field.name != "name"]
    assert told == {switch: {name: getattr(profile, switch) for name, profile in PROFILES.items()} for switch in switches}


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_offers_what_it_says(served: Served, name: str) -> None:
    api, profile = served(name), PROFILES[name]
    trusted = {"documentId": identifier(QUERY), "variables": {"id": "rs4813331"}}
    if not profile.any_document:
        assert api.request("POST", "/graphql", json=trusted).json()["data"]["variant"]["carriers"]["totalCount"] > 50
        for query in (STORE, QUERY, "{ __typename }", "{ nothing }", "", "{"):
            response = api.request("POST", "/graphql", json={"query": query})
            assert response.status_code == 400
            assert response.json()["errors"][0]["extensions"]["code"] == "UNTRUSTED_DOCUMENT"
    else:
        assert api.data(STORE) == {"store": {"assembly": "GRCh37"}}
    answer = api.ask(get_introspection_query())
    assert ("__schema" in (answer.get("data") or {})) == profile.introspection
    get = api.request("GET", "/graphql", params={"query": STORE} if profile.any_document else {"documentId": identifier(STORE)})
    assert get.status_code == (200 if profile.get else 405)
    assert profile.get or (get.headers["allow"], get.json()["errors"][0]["extensions"]["code"]) == ("POST", "METHOD_NOT_ALLOWED")
    for path, offered in (
        ("/graphiql", profile.graphiql), ("/schema.graphql", profile.schema_file), ("/", profile.front), ("/metrics", profile.metrics),
        ("/healthz", True), ("/readyz", True),
    ):  # fmt: skip
        assert api.request("GET", path).status_code == (200 if offered else 404), path
    asked = {"query": STORE} if profile.any_document else {"documentId": identifier(STORE)}
    cost = api.request("POST", "/graphql", json=asked, headers={"Vkg-Cost": "1"}).json()["extensions"]["cost"]
    assert cost.keys() == ({"objects", "statements", "milliseconds"} if profile.measures else {"objects"})


@pytest.mark.parametrize("name", PROFILES)
def test_suggestions_are_there_or_not(served: Served, name: str) -> None:
    api = served(name)
    asked = {"query": QUERY} if PROFILES[name].any_document else {"documentId": identifier(QUERY)}
    said = api.request("POST", "/graphql", json={**asked, "variables": {"id": "rs1", "zygosity": ["HOM_ALL"]}}).text
    assert "HOM_ALL" in said
    assert ("Did you mean" in said) == ("HOM_ALT" in said) == PROFILES[name].suggestions


@pytest.mark.parametrize("name", ["default", "public"])
def test_pages_tell_of_nothing_that_is_not_there(served: Served, name: str) -> None:
    api = served(name)
    for accept in ("text/html", "text/plain"):
        page = api.request("GET", "/", headers={"Accept": accept}).text
        assert ("metrics" in page) == PROFILES[name].metrics
        places = set(re.findall(r'href="([a-z.]+)"', page)) | set(re.findall(r"^(/\S*)", page, re.MULTILINE))
        assert len(places) >= 4
        for place in places:
            assert api.request("GET", f"/{place.lstrip('/')}", params={"query": STORE}).status_code in (200, 405), place


# ---- the command


def test_locked_wants_trusted_documents() -> None:
    outcome = CliRunner().invoke(commands.graph, ["serve", "--profile", "locked"])
    assert isinstance(outcome.exception, StoreError)
    assert "trusted documents only" in str(outcome.exception)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"profile": "x"}, "no profile 'x'"), ({"origins": ["browser.example"]}, "is not an origin"), ({"origins": ["https://a.example/"]}, "is not an origin"),
     ({"origins": ["null"]}, "is not an origin"), ({"origins": ["https://*.example"]}, "is not an origin"), ({"proxies": ["proxy.example"]}, "--trust-proxy"),
     ({"proxies": ["0.0.0.0/0"]}, "of everybody"), ({"proxies": ["::/0"]}, "of everybody")],
)  # fmt: skip
def test_what_does_not_go_is_refused_before_anything_starts(given: dict[str, Any], said: str) -> None:
    asked = {
        "host": "127.0.0.1",
        "origins": (),
        "profile": "default",
        "trusted": None,
        "rate": None,
        "queue": 1,
        "proxies": (),
        "hosts": (),
    } | given
    with pytest.raises(StoreError, match=re.escape(said)):
        commands.guards_of(**asked)


@pytest.mark.parametrize(
    ("host", "proxies", "rate", "hosts"),
    [("127.0.0.1", (), 0, {"127.0.0.1", "localhost", "[::1]"}), ("::1", (), 0, {"127.0.0.1", "localhost", "[::1]"}),
     ("127.0.0.1", ("127.0.0.1",), RATE, {"127.0.0.1", "localhost", "[::1]"}), ("0.0.0.0", (), RATE, set()), ("192.0.2.1", (), RATE, set())],
)  # fmt: skip
def test_what_others_reach_is_guarded_by_default(host: str, proxies: tuple[str, ...], rate: float, hosts: set[str]) -> None:
    found = commands.guards_of(host, (), "default", None, None, 5, proxies, ())
    assert (found["rate"], set(found["hosts"]), found["queue"]) == (rate, hosts, 5)
    assert commands.guards_of(host, (), "default", None, 7, 5, proxies, ())["rate"] == 7
    assert "graph.example.org" in commands.guards_of(host, (), "default", None, None, 5, proxies, ("graph.example.org",))["hosts"]


# ---- headers of all answers


@pytest.mark.parametrize("name", PROFILES)
def test_every_answer_has_the_headers_of_security(served: Served, name: str) -> None:
    api = served(name)
    answers = [
        api.post(STORE), api.post("{"), api.request("POST", "/graphql", json=[]), api.request("POST", "/graphql", content="x"),
        api.post(STORE, headers={"Accept": "image/png"}), api.post(STORE, headers={"Vkg-Release": "none"}), api.request("GET", "/graphql"),
        api.request("PUT", "/graphql"), api.request("HEAD", "/graphql"), api.request("OPTIONS", "/graphql"), api.request("GET", "/nothing"),
        api.request("GET", "/healthz"), api.request("GET", "/readyz"), api.request("GET", "/metrics"), api.request("GET", "/schema.graphql"),
        api.request("GET", "/", headers={"Accept": "text/html"}), api.request("GET", "/"), api.request("GET", "/graphiql"), api.request("POST", "/healthz"),
        api.request("GET", "/graphiql/assets/none.js"),
    ]  # fmt: skip
    for answer in answers:
        where = (answer.request.method, answer.request.url, answer.status_code)
        assert answer.headers["x-content-type-options"] == "nosniff", where
        assert answer.headers["referrer-policy"] == "no-referrer", where
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, where
        assert "frame-ancestors 'none'" in policy, where
        page = answer.headers.get("content-type", "").startswith("text/html")
        assert answer.headers["cache-control"] == ("no-cache" if page else "no-store"), where
        assert answer.headers["vary"] or page, where
        assert "server" not in answer.headers
        assert len(answer.headers.get_list("cache-control")) == len(answer.headers.get_list("content-security-policy")) == 1


def test_an_answer_to_an_allowed_origin_keeps_them(serve: Callable[..., Api], demo_url: str) -> None:
    api = serve(demo_url, origins=("https://browser.example",))
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, authorization"}
    for answer in (
        api.post(STORE, headers={"Origin": "https://browser.example"}),
        api.request("OPTIONS", "/graphql", headers={"Origin": "https://browser.example", **asks}),
    ):
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "Origin" in answer.headers["vary"]
        assert answer.headers["cache-control"] == "no-store"
