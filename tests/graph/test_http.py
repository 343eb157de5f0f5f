"""GraphQL over HTTP: media types, statuses, batches, releases, health, and what callers see when something fails inside."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn
from graphql import build_client_schema, get_introspection_query, lexicographic_sort_schema, print_schema

from graph import limits
from graph.app import application
from graph.commands import listen
from store import release
from store.database import redact
from tests.graph.api import Api
from tests.graph.conftest import settings

ROOT = Path(__file__).resolve().parent.parent.parent
JSON, GRAPHQL_JSON = "application/json", "application/graphql-response+json"
STORE = "{ store { assembly } }"
ANSWER = {"store": {"assembly": "GRCh37"}}


# ---- media types and statuses


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", JSON),
        (JSON, JSON),
        ("application/*", JSON),
        (GRAPHQL_JSON, GRAPHQL_JSON),
        (GRAPHQL_JSON.upper(), GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}; charset=utf-8, {JSON}; q=0.9", GRAPHQL_JSON),
        (f"text/html, {JSON}", JSON),
        ("text/html", None),
        ("image/png, text/*", None),
    ],
)
def test_the_answer_has_a_media_type_that_was_asked_for(demo: Api, accept: str, media: str | None) -> None:
    response = demo.post(STORE, headers={"Accept": accept})
    if media is None:
        assert response.status_code == 406
        assert GRAPHQL_JSON in response.text
    else:
        assert (response.status_code, response.headers["content-type"]) == (200, media)
        assert response.json()["data"] == ANSWER


@pytest.mark.parametrize(
    ("query", "variables", "refused", "code"),
    [
        (STORE, {}, False, None),
        ("{ store {", {}, True, "SYNTAX"),
        ("", {}, True, "SYNTAX"),
        ("{ nothing }", {}, True, "INVALID_DOCUMENT"),
        ("query ($id: ID!) { node(id: $id) { id } }", {}, True, "INVALID_DOCUMENT"),
        ("query ($n: Int!) { variants(first: $n) { nodes { id } } }", {"n": "many"}, True, "INVALID_DOCUMENT"),
        ('{ node(id: "x") { id } }', {}, False, "BAD_ID"),
        ("{ variants(first: 2000) { nodes { id } } }", {}, False, "PAGE_TOO_LARGE"),
    ],
)
def test_a_document_that_cannot_run_is_a_400_and_a_field_that_fails_is_not(
    demo: Api, query: str, variables: dict[str, Any], refused: bool, code: str | None
) -> None:
    for accept, status in ((GRAPHQL_JSON, 400 if refused else 200), (JSON, 200)):
        response = demo.post(query, variables, {"Accept": accept})
        assert response.status_code == status
        body = response.json()
        assert ("data" in body) == (not refused)
        assert [error["extensions"]["code"] for error in body.get("errors", ())] == ([code] if code else [])


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/graphql", ""]
)
def test_a_body_of_another_type_is_a_415(demo: Api, kind: str) -> None:
    response = demo.request("POST", "/graphql", content=json.dumps({"query": STORE}), headers={"Content-Type": kind})
    assert response.status_code == 415
    assert response.json()["errors"][0]["extensions"] == {"code": "UNSUPPORTED_MEDIA_TYPE", "hint": "Send application/json."}


@pytest.mark.parametrize("kind", [JSON, "application/json; charset=utf-8", "Application/JSON"])
def test_json_is_read_with_its_parameters(demo: Api, kind: str) -> None:
    response = demo.request("POST", "/graphql", content=json.dumps({"query": STORE}), headers={"Content-Type": kind})
    assert response.json()["data"] == ANSWER


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "BAD_JSON"),
        ("{", "BAD_JSON"),
        ('{"query": "\\ud800"}', "BAD_JSON"),
        ("[" * 100_000, "BAD_JSON"),
        ("5", "NO_QUERY"),
        ("null", "NO_QUERY"),
        ("{}", "NO_QUERY"),
        ('{"query": null}', "NO_QUERY"),
        ('{"query": 5}', "NO_QUERY"),
        ("[5]", "NO_QUERY"),
        ('{"query": "{ store { assembly } }", "variables": []}', "BAD_REQUEST"),
        ('{"query": "{ store { assembly } }", "operationName": 3}', "BAD_REQUEST"),
        ('{"query": "{ store { assembly } }", "extensions": "x"}', "BAD_REQUEST"),
        ("[]", "BATCH_SIZE"),
        (json.dumps([{"query": STORE}] * 11), "BATCH_SIZE"),
    ],
    ids=lambda value: value[:40],
)
def test_a_body_that_is_no_request_is_a_400(demo: Api, body: str, code: str) -> None:
    response = demo.request("POST", "/graphql", content=body, headers={"Content-Type": JSON})
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == code
    assert len(error["message"]) > 8


def test_queries_can_be_asked_with_get(demo: Api) -> None:
    query = "query A($id: String!) { variant(id: $id) { name } } query B { store { assembly } }"
    asked = {"query": query, "variables": '{"id": "rs4813331"}', "operationName": "A", "extensions": '{"cost": true}'}
    body = demo.request("GET", "/graphql", params=asked).json()
    assert body["data"] == {"variant": {"name": "20-1897442-C-T"}}
    assert body["extensions"]["cost"]["statements"] == 2
    for params, code in (
        ({}, "NO_QUERY"),
        ({"query": STORE, "variables": "{"}, "BAD_JSON"),
        ({"query": STORE, "variables": "[1]"}, "BAD_REQUEST"),
    ):
        response = demo.request("GET", "/graphql", params=params)
        assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (400, code)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_not_allowed(demo: Api, method: str) -> None:
    assert demo.request(method, "/graphql").status_code == 405


def test_an_operation_is_chosen_by_its_name(demo: Api) -> None:
    query = "query A { store { assembly } } query B { a: store { assembly } }"
    assert demo.post(query, operationName="A").json()["data"] == ANSWER
    assert demo.post(query, operationName="B").json()["data"] == {"a": ANSWER["store"]}
    for name in (None, "C"):
        (error,) = demo.post(query, operationName=name).json()["errors"]
        assert error["extensions"] == {"code": "NO_OPERATION", "hint": "Name one in operationName: A, B."}


def test_a_batch_is_answered_in_order_each_with_its_own_errors(demo: Api) -> None:
    queries = [STORE, "{ nothing }", '{ variant(id: "rs4813331") { name } }', '{ node(id: "x") { id } }']
    for accept in (JSON, GRAPHQL_JSON):
        response = demo.request("POST", "/graphql", json=[{"query": q} for q in queries], headers={"Accept": accept})
        assert response.status_code == 200
        bodies = response.json()
        assert [body.get("data") for body in bodies] == [ANSWER, None, {"variant": {"name": "20-1897442-C-T"}}, {"node": None}]
        assert [len(body.get("errors", ())) for body in bodies] == [0, 1, 0, 1]


def test_pages_of_other_origins_may_ask_only_where_allowed(demo: Api, demo_url: str, serve: Callable[..., Api]) -> None:
    allowing = serve(demo_url, origins=("https://browser.example",))
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, vkg-release, vkg-cost"}
    for api, origin, allowed in (
        (allowing, "https://browser.example", True),
        (allowing, "https://other.example", False),
        (demo, "https://browser.example", False),
    ):
        preflight = api.request("OPTIONS", "/graphql", headers={"Origin": origin, **asks})
        answer = api.post(STORE, headers={"Origin": origin})
        assert (preflight.status_code == 200) == allowed
        assert (answer.headers.get("access-control-allow-origin") == origin) == allowed
    assert (
        allowing.post(STORE, headers={"Origin": "https://browser.example"}).headers["access-control-expose-headers"]
        == "vkg-release, retry-after"
    )


# ---- releases and costs


def test_every_answer_names_its_release(own_annotated: str, serve: Callable[..., Api]) -> None:
    with psycopg.connect(own_annotated, autocommit=True) as conn:
        release.create_release(conn, "paper-2026")
        number = release.current(conn).release_id
        release.unload(conn, release.find_load(conn, "panel").load_id)
    api = serve(own_annotated)
    pinned, current = api.post(STORE, headers={"Vkg-Release": "paper-2026"}), api.post(STORE)
    assert (pinned.headers["vkg-release"], current.headers["vkg-release"]) == (str(number), str(number + 1))
    assert pinned.json()["extensions"] == {"release": {"id": f"Release:{number}", "name": "paper-2026"}}
    assert current.json()["extensions"] == {"release": {"id": f"Release:{number + 1}", "name": None}}
    query = "{ store { release { id name } loads { dataset } } }"
    assert api.data(query, headers={"Vkg-Release": "paper-2026"})["store"]["release"] == {"id": f"Release:{number}", "name": "paper-2026"}
    assert "panel" not in str(api.data(query))
    assert "panel" in str(api.data(query, headers={"Vkg-Release": "paper-2026"}))


@pytest.mark.parametrize("name", ["nope", "", "1", "x" * 500, "'; DROP TABLE release"])
def test_an_unknown_release_is_refused(demo: Api, name: str) -> None:
    response = demo.post(STORE, headers={"Vkg-Release": name})
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error == {
        "message": f"There is no release named {name[:80]!r}.",
        "extensions": {"code": "UNKNOWN_RELEASE", "value": name[:80], "hint": "store.releases(named: true) lists them."},
    }


def test_the_cost_is_told_when_asked_for(demo: Api) -> None:
    query = '{ variants(region: "20:1890000-1900000", first: 7) { nodes { records { load { dataset } } } } }'
    assert "cost" not in demo.ask(query)["extensions"]
    for response in (demo.post(query, headers={"Vkg-Cost": "1"}), demo.post(query, extensions={"cost": True})):
        cost = response.json()["extensions"]["cost"]
        assert (cost["objects"], cost["statements"]) == (7 + 7 * 10 + 7 * 10, 3)
        assert cost["milliseconds"] > 0


# ---- beside GraphQL


def test_the_schema_is_served_as_it_is_exported(demo: Api) -> None:
    response = demo.request("GET", "/schema.graphql")
    assert (response.status_code, response.text) == (200, (ROOT / "schema.graphql").read_text())


def test_introspection_tells_the_same_schema(demo: Api) -> None:
    told = build_client_schema(demo.data(get_introspection_query(specified_by_url=True)))
    assert print_schema(lexicographic_sort_schema(told)) + "\n" == (ROOT / "schema.graphql").read_text()


def test_health_and_readiness(demo: Api) -> None:
    assert demo.request("GET", "/healthz").json() == {"status": "ok"}
    assert demo.request("GET", "/readyz").json() == {"status": "ok", "release": 8}


def test_metrics_count_what_was_asked(demo: Api) -> None:
    def counts() -> dict[str, float]:
        text = demo.request("GET", "/metrics").text
        return {name: float(value) for name, value in re.findall(r'^(vkg_\w+(?:\{outcome="\w+"\})?) (\S+)$', text, re.MULTILINE)}

    before = counts()
    demo.ask(STORE)
    demo.ask("{ nothing }")
    demo.ask('{ node(id: "x") { id } }')
    demo.ask('{ variant(id: "rs4813331") { name } }')
    after = counts()
    grown = {
        name: after[name] - before.get(name, 0)
        for name in after
        if after[name] != before.get(name, 0) and not name.endswith(("_sum", "_created"))
    }
    assert grown == {
        'vkg_requests_total{outcome="ok"}': 2, 'vkg_requests_total{outcome="refused"}': 1, 'vkg_requests_total{outcome="errors"}': 1,
        "vkg_request_seconds_count": 4, "vkg_statements_total": 2,
    }  # fmt: skip


# ---- answers to the byte


def test_info_numbers_have_the_digits_of_the_file(annotated: Api) -> None:
    content = annotated.post('{ variants(region: "20:1890000-1897000") { nodes { records { info } } } }').content
    numbers = (
        ("MQ", "60.00"),
        ("MQ", "60"),
        ("MQ", "59.90"),
        ("MQ", "1.50e-05"),
        ("SC", "[0.1,-2.5,3]"),
        ("DP", "9.0"),
        ("AF_AFR", "null"),
        ("DB", "true"),
    )
    for key, text in numbers:
        assert re.search(rf'"{key}":{re.escape(text)}[,}}]'.encode(), content), (key, text)


def test_large_counts_are_strings(demo: Api) -> None:
    loads = demo.data("{ store { loads { recordCount rejectCount } counts { records genes } } }")["store"]
    assert loads["loads"][1] == {"recordCount": "24990", "rejectCount": "0"}
    assert loads["counts"] == {"records": "24990", "genes": "73"}


# ---- when something fails inside


def test_a_failure_inside_is_masked_and_logged_under_its_id(
    own_annotated: str, serve: Callable[..., Api], caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(own_annotated, autocommit=True) as conn:  # a damaged row, which no loader writes
        conn.execute("UPDATE transcript_consequence SET impact = 9 WHERE 'stop_lost' = ANY(terms)")
    api = serve(own_annotated)
    query = '{ variant(id: "20-1960100-C-T") { name consequences { impact } } }'
    with caplog.at_level(logging.ERROR, "vkg.graph"):
        error = api.error(query)
    assert error.keys() == {"message", "code", "id"}
    assert (error["code"], error["message"]) == ("INTERNAL", f"Something went wrong on the server (error {error['id']}).")
    (record,) = [record for record in caplog.records if error["id"] in record.getMessage()]
    assert record.exc_info
    assert "non-nullable" in str(record.exc_info[1])
    assert api.data('{ variant(id: "rs9000003") { consequences { impact } } }')


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
def test_a_fault_in_measuring_a_request_is_masked_too(
    annotated: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, accept: str
) -> None:
    """What a request costs is found before it is answered: a fault there is no page of text."""
    monkeypatch.setattr(limits, "_size", lambda *_: 1 / 0)
    with caplog.at_level(logging.ERROR, "vkg.graph"):
        response = annotated.post('{ variant(id: "rs9000003") { name } }', headers={"Accept": accept})
    assert response.headers["content-type"].startswith(accept)
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["message"] == f"Something went wrong on the server (error {error['extensions']['id']})."
    (record,) = [record for record in caplog.records if error["extensions"]["id"] in record.getMessage()]
    assert record.exc_info
    assert isinstance(record.exc_info[1], ZeroDivisionError)


class Wire:
    """What lies between the application and the database: it can be cut and mended."""

    def __init__(self, target: str, path: Path) -> None:
        self._target, self._path = target, str(path)
        self._ends: list[socket.socket] = []
        self.mend()

    def mend(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._path)
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        Path(self._path).unlink()
        for end in [self._listener, *self._ends]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@pytest.fixture
def wire(own_annotated: str) -> Iterator[tuple[Wire, str]]:
    """A wire, and the URL of an annotated store of this test's own through it."""
    with psycopg.connect(own_annotated) as conn, tempfile.TemporaryDirectory(prefix="vkg-wire-", dir="/tmp") as folder:
        host, port = conn.info.host, conn.info.port
        assert host.startswith("/"), redact(own_annotated)
        wire = Wire(f"{host}/.s.PGSQL.{port}", Path(folder) / f".s.PGSQL.{port}")
        user, name = conn.info.user, conn.info.dbname
        yield wire, f"postgresql://{user}@/{name}?host={folder}&port={port}"
        wire.cut()


def test_a_store_that_goes_away_is_said_so_and_one_that_comes_back_is_used(
    wire: tuple[Wire, str], serve: Callable[..., Api], caplog: pytest.LogCaptureFixture
) -> None:
    line, url = wire
    api = serve(url)
    query = '{ variant(id: "rs9000003") { name } }'
    assert api.data(query) == {"variant": {"name": "20-1895963-A-G"}}
    line.cut()
    for _ in range(5):
        error = api.error(query)
        assert (error["code"], error["hint"]) == ("STORE_UNAVAILABLE", "Try again in a moment.")
    pinned = api.post(query, headers={"Vkg-Release": "x"})
    assert (pinned.status_code, pinned.json()["errors"][0]["extensions"]["code"]) == (503, "STORE_UNAVAILABLE")
    assert (api.request("GET", "/healthz").status_code, api.request("GET", "/readyz").status_code) == (200, 503)
    line.mend()
    assert api.data(query) == {"variant": {"name": "20-1895963-A-G"}}
    assert api.request("GET", "/readyz").status_code == 200
    with psycopg.connect(url, autocommit=True) as conn:  # and news of releases arrive again
        number = release.create_release(conn, "after")
    _until(lambda: api.post(STORE).headers["vkg-release"] == str(number), seconds=8)


def test_a_new_release_is_answered_from_within_a_second(own_annotated: str, serve: Callable[..., Api]) -> None:
    api = serve(own_annotated)
    with psycopg.connect(own_annotated, autocommit=True) as conn:
        for name in ("a", "b", "c"):
            number = release.create_release(conn, name)
            _until(lambda: api.post(STORE).headers["vkg-release"] == str(number), seconds=1)  # noqa: B023 - called at once


def _until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


# ---- over a real socket


@pytest.fixture(scope="module")
def address(demo_url: str) -> Iterator[str]:
    """Where uvicorn serves the demo data, with the options of `vkg serve`."""
    sock = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        application(settings(demo_url)), loop="uvloop", http="httptools", ws="none", log_level="warning", server_header=False, lifespan="on"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    _until(lambda: server.started, seconds=10)
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_uvicorn_serves_the_same(address: str, demo: Api) -> None:
    query = '{ variants(region: "20:1890000-1900000") { totalCount nodes { name records { info } } } }'
    response = httpx.post(f"{address}/graphql", json={"query": query})
    assert (response.status_code, response.headers["content-type"]) == (200, JSON)
    assert response.content == demo.post(query).content
    assert "server" not in response.headers


def test_a_body_that_never_ends_is_cut_off_and_the_server_goes_on(address: str) -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"query": "'
        for _ in range(1000):
            yield b"#" * 10_000

    with httpx.Client() as client:
        try:
            status = client.post(f"{address}/graphql", content=endless(), headers={"Content-Type": JSON}).status_code
        except httpx.WriteError:  # it answered and closed while we were still sending
            status = 413
        assert status == 413
        assert client.post(f"{address}/graphql", json={"query": STORE}).json()["data"] == ANSWER


def test_a_client_that_goes_away_harms_nobody(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    for part in (
        b"POST /graphql HTTP/1.1\r\n",
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{",
    ):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(part)
    assert httpx.post(f"{address}/graphql", json={"query": STORE}).json()["data"] == ANSWER
