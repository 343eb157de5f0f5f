"""More than a server can do: who waits, who is told to come again, whose work ends; and clients that are slow, go away, or ask without end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn

from graph import incoming, limits, protocol, rate
from graph.app import application
from graph.commands import listen
from graph.rate import Buckets, Peers, networks
from graph.workers import OPTIONS
from tests.graph.api import Api
from tests.graph.conftest import settings

ROOT = Path(__file__).resolve().parent.parent.parent
STORE = "{ store { assembly } }"
SLOW = '{ variant(id: "rs9000003") { name } }'
ANSWER = {"variant": {"name": "20-1895963-A-G"}}
WAITING = (
    """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'vkg graph' AND state = 'active'"""
)


def until(holds: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


@contextmanager
def held(url: str) -> Iterator[Callable[[], int]]:
    """Meanwhile, every statement that reads variants waits; gives how many do."""
    with psycopg.connect(url) as lock, psycopg.connect(url, autocommit=True) as look:
        lock.execute("LOCK TABLE variant IN ACCESS EXCLUSIVE MODE")
        yield lambda: look.execute(WAITING).fetchone()[0]  # type: ignore[index]


def code(response: httpx.Response) -> str:
    return response.json()["errors"][0]["extensions"]["code"]


def counted(api: Api, name: str) -> float:
    lines = api.request("GET", "/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


# ---- the queue


def test_some_run_some_wait_and_the_rest_is_told_to_come_again(own_annotated: str, serve: Callable[..., Api]) -> None:
    api = serve(own_annotated, queue=3)
    queue = api.app._door.queue  # type: ignore[attr-defined]
    queue._most = 2
    with ThreadPoolExecutor(20) as threads:
        with held(own_annotated):
            first = [threads.submit(api.post, SLOW) for _ in range(5)]
            until(lambda: (queue.running, len(queue.waiting)) == (2, 3))
            for response in [each.result() for each in [threads.submit(api.post, STORE) for _ in range(10)]]:
                assert (response.status_code, code(response), response.headers["retry-after"]) == (503, "OVERLOADED", "2")
                error = response.json()["errors"][0]["extensions"]
                assert (error["limit"], error["value"], error["retryAfter"]) == (3, 4, 2)
            assert api.request("GET", "/", headers={"Accept": "text/html"}).status_code == 503
            assert api.request("GET", "/healthz").status_code == api.request("GET", "/readyz").status_code == 200
        assert [each.result().json()["data"] for each in first] == [ANSWER] * 5
    assert (queue.running, len(queue.waiting)) == (0, 0)
    assert counted(api, 'vkg_turned_away_total{code="OVERLOADED"}') >= 10
    assert api.data(STORE)


def test_who_waits_too_long_is_told_and_is_out_of_the_way(own_annotated: str, serve: Callable[..., Api]) -> None:
    api = serve(own_annotated)
    queue = api.app._door.queue  # type: ignore[attr-defined]
    queue._most, queue._patience = 1, 0.2
    with ThreadPoolExecutor(5) as threads, held(own_annotated):
        running = threads.submit(api.post, SLOW)
        until(lambda: queue.running == 1)
        for _ in range(3):
            response = api.post(STORE)
            assert (response.status_code, code(response)) == (503, "OVERLOADED")
            assert "waited 0.2 s" in response.json()["errors"][0]["message"]
        assert not queue.waiting
        assert not running.done()
    assert running.result().json()["data"] == ANSWER
    assert queue.running == 0


def test_those_who_wait_come_in_turn_and_none_is_forgotten(own_annotated: str, serve: Callable[..., Api]) -> None:
    api = serve(own_annotated, queue=200)
    queue = api.app._door.queue  # type: ignore[attr-defined]
    queue._most = 3
    with ThreadPoolExecutor(60) as threads:
        found = list(threads.map(lambda n: api.post(SLOW if n % 3 else "{ nothing }").status_code, range(300)))
    assert found == [200] * 300
    assert (queue.running, len(queue.waiting)) == (0, 0)


# ---- over a real socket


class Server:
    """uvicorn with the options of `vkg serve`, in a thread."""

    def __init__(self, url: str, **other: Any) -> None:
        self.app = application(settings(url, **other))
        sock = listen("127.0.0.1", 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that what is not taken stays with the server, not with the kernel
        self.port = sock.getsockname()[1]
        self.uvicorn = uvicorn.Server(uvicorn.Config(self.app, **OPTIONS | protocol.OPTIONS))
        self.thread = threading.Thread(target=self.uvicorn.run, kwargs={"sockets": [sock]})
        self.thread.start()
        until(lambda: self.uvicorn.started)

    @property
    def queue(self) -> Any:
        return self.app._door.queue  # type: ignore[attr-defined]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def send(self, query: str) -> socket.socket:
        """A connection on which an operation was sent, whose answer nobody has read."""
        body = json.dumps({"query": query}).encode()
        connection = self.connect()
        connection.sendall(
            b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        return connection

    def post(self, query: str, **options: Any) -> httpx.Response:
        return httpx.post(f"http://127.0.0.1:{self.port}/graphql", json={"query": query}, timeout=30, **options)

    def stop(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join(40)
        assert not self.thread.is_alive()


Starting = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Starting]:
    servers: list[Server] = []

    def begin(url: str, **other: Any) -> Server:
        servers.append(Server(url, **other))
        return servers[-1]

    yield begin
    for server in servers:
        server.stop()


def rest(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    chunks = []
    while True:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    return b"".join(chunks)


def test_a_client_that_goes_away_ends_its_statements(own_annotated: str, start: Starting) -> None:
    server = start(own_annotated)
    with held(own_annotated) as waiting:
        for _ in range(3):  # more often than there are connections: none is lost
            connections = [server.send(SLOW) for _ in range(3)]
            until(lambda: waiting() == 3)
            for connection in connections:
                connection.close()
            until(lambda: waiting() == 0, seconds=3)
            until(lambda: server.queue.running == 0, seconds=3)
    assert server.post(SLOW).json()["data"] == ANSWER
    metrics = httpx.get(f"http://127.0.0.1:{server.port}/metrics").text
    assert "vkg_gone_total 9.0" in metrics


def test_a_client_that_goes_away_while_it_waits_leaves_its_place(own_annotated: str, start: Starting) -> None:
    server = start(own_annotated)
    server.queue._most = 1
    with held(own_annotated) as waiting:
        first = server.send(SLOW)
        until(lambda: waiting() == 1)
        second = server.send(SLOW)
        until(lambda: len(server.queue.waiting) == 1)
        second.close()
        until(lambda: not server.queue.waiting)
        assert server.queue.running == 1
    assert b"200 OK" in first.recv(65536)
    first.close()
    until(lambda: server.queue.running == 0)


def test_a_request_that_takes_too_long_ends_its_statements(own_annotated: str, start: Starting) -> None:
    server = start(own_annotated, seconds=0.5)
    with held(own_annotated) as waiting:
        assert code(server.post(SLOW)) == "TIMEOUT"
        until(lambda: waiting() == 0, seconds=2)
        assert server.queue.running == 0
    assert server.post(SLOW).json()["data"] == ANSWER


def test_the_time_of_a_request_runs_while_it_waits(own_annotated: str, start: Starting) -> None:
    server = start(own_annotated, seconds=1.0)
    server.queue._most = 1
    with ThreadPoolExecutor(2) as threads, held(own_annotated):
        first = threads.submit(server.post, SLOW)
        until(lambda: server.queue.running == 1)
        time.sleep(0.5)
        began = time.monotonic()
        second = threads.submit(server.post, SLOW)
        assert code(first.result()) == code(second.result()) == "TIMEOUT"
        assert time.monotonic() - began < 1.4


def test_clients_that_come_and_go_at_any_moment_lose_nothing(own_annotated: str, start: Starting) -> None:
    server = start(own_annotated)

    def come_and_go(n: int) -> None:
        connection = server.send(SLOW if n % 2 else STORE)
        time.sleep((n % 17) / 200)
        connection.close()

    with ThreadPoolExecutor(16) as threads:
        for _ in range(3):
            list(threads.map(come_and_go, range(150)))
            assert server.post(SLOW).json()["data"] == ANSWER
    until(lambda: server.queue.running == 0)
    assert not server.queue.waiting
    with ThreadPoolExecutor(8) as threads:
        assert [each.json()["data"] for each in threads.map(lambda _: server.post(SLOW), range(40))] == [ANSWER] * 40


def test_stopping_finishes_what_is_running(own_annotated: str) -> None:
    server = Server(own_annotated)
    with ThreadPoolExecutor(3) as threads:
        with held(own_annotated) as waiting:
            running = [threads.submit(server.post, SLOW) for _ in range(3)]
            until(lambda: waiting() == 3)
            idle = server.connect()
            server.uvicorn.should_exit = True
            time.sleep(0.3)
            assert server.thread.is_alive()
            with pytest.raises(OSError):  # nobody new comes in
                server.connect()
        assert [each.result().json()["data"] for each in running] == [ANSWER] * 3
    assert rest(idle) == b""
    idle.close()
    server.stop()


@pytest.mark.slow
def test_a_signal_finishes_what_is_running(own_annotated: str) -> None:
    with closing(listen("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    command = [sys.executable, "-m", "vkg", "serve", "--port", str(port), "--profile", "public", "--queue", "5"]
    environment = os.environ | {"VKG_DATABASE_URL": own_annotated}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:

        def post(query: str, **headers: str) -> httpx.Response | None:
            try:
                return httpx.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}, headers=headers, timeout=30)
            except httpx.TransportError:
                return None

        until(lambda: post(STORE), seconds=60)
        refused = post(STORE, Host="evil.example")
        assert refused is not None
        assert (refused.status_code, code(refused)) == (421, "UNKNOWN_HOST")
        assert httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 404
        with ThreadPoolExecutor(1) as threads:
            with held(own_annotated) as waiting:
                running = threads.submit(post, SLOW)
                until(lambda: waiting() == 1)
                process.send_signal(signal.SIGTERM)
                until(lambda: post(STORE) is None)
                assert process.poll() is None
            answer = running.result()
        assert answer is not None
        assert answer.json()["data"] == ANSWER
        _, err = process.communicate(timeout=30)
        assert b"Traceback" not in err
    finally:
        process.kill()
        process.communicate()


# ---- clients that are slow, or send without end


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ARRIVAL_SECONDS", 0.5), ("TAKING_SECONDS", 0.5), ("SWEEP_SECONDS", 0.1)):
        monkeypatch.setattr(protocol, name, value)


HEAD = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "part",
    [
        b"P",
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nX: ",
        HEAD + b"Content-Length: 500\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
)
def test_a_request_that_does_not_arrive_is_not_waited_for(demo_url: str, start: Starting, impatient: None, part: bytes) -> None:
    server = start(demo_url)
    with server.connect() as connection:
        connection.sendall(part)
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["errors"][0]["extensions"]
    assert (error["code"], error["limit"]) == ("REQUEST_TIMEOUT", 0.5)
    assert 0.5 <= error["value"] < 3
    until(lambda: server.queue.running == 0)
    assert server.post(STORE).status_code == 200


def test_a_request_that_comes_in_drops_is_not_waited_for(demo_url: str, start: Starting, impatient: None) -> None:
    server = start(demo_url)
    with server.connect() as connection:
        connection.sendall(b"POST /graphql HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        try:
            while time.monotonic() - began < 5:
                connection.sendall(b"X-A: b\r\n")
                time.sleep(0.05)
        except OSError:
            pass
        assert time.monotonic() - began < 4


def test_a_connection_that_says_nothing_is_closed_and_one_that_works_is_not(own_annotated: str, start: Starting, impatient: None) -> None:
    server = start(own_annotated)
    with server.connect() as silent, ThreadPoolExecutor(1) as threads:
        with held(own_annotated) as waiting:
            working = threads.submit(server.post, SLOW)
            until(lambda: waiting() == 1)
            assert rest(silent) == b""
            time.sleep(1)
            assert not working.done()
        assert working.result().json()["data"] == ANSWER


def test_an_answer_that_is_not_taken_is_not_kept(demo_url: str, start: Starting, impatient: None) -> None:
    server = start(demo_url)
    query = '{ variants(region: "20:1000000-4000000", first: 1000) { nodes { name records { info line } populationFrequencies { frequency alleleCount alleleNumber } } } }'
    connections = [server.send(query) for _ in range(3)]
    state = server.uvicorn.server_state
    until(lambda: [each.transport.get_write_buffer_size() > 100_000 for each in list(state.connections)] == [True] * 3, seconds=20)
    until(lambda: not state.connections, seconds=20)
    for connection in connections:
        connection.close()
    with server.send(query) as slow:  # who takes it slowly, has all of it
        received = 0
        while received < 400_000:
            received += len(chunk := slow.recv(20_000))
            assert chunk
            time.sleep(0.02)


@pytest.mark.parametrize("kind", ["one header without end", "headers without end", "an address without end"])
def test_a_head_without_end_is_cut_off(demo_url: str, start: Starting, kind: str) -> None:
    server = start(demo_url)
    begin, more = {
        "one header without end": (b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"a" * 10_000),
        "headers without end": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X-Header: something\r\n" * 500),
        "an address without end": (b"GET /", b"a" * 10_000),
    }[kind]
    with server.connect() as connection:
        connection.sendall(begin)
        sent, answer = 0, b""
        try:
            while sent < 50_000_000:
                connection.sendall(more)
                sent += len(more)
        except OSError:
            pass
        assert sent < 20_000_000
        answer = rest(connection)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert server.post(STORE).status_code == 200


@pytest.mark.parametrize("size", [1_000, 60_000, 66_000, 200_000])
def test_a_head_is_as_large_as_it_may_be(demo_url: str, start: Starting, size: int) -> None:
    server = start(demo_url)
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: " + b"a" * size + b"\r\n\r\n")
        answer = rest(connection)
    if size < protocol.HEAD_BYTES:
        assert answer.startswith(b"HTTP/1.1 200 ")
    else:
        assert answer.startswith(b"HTTP/1.1 431 ")
        error = json.loads(answer.partition(b"\r\n\r\n")[2])["errors"][0]["extensions"]
        assert (error["code"], error["limit"]) == ("HEADERS_TOO_LARGE", protocol.HEAD_BYTES)
        assert error["value"] > protocol.HEAD_BYTES
    body = json.dumps({"query": STORE, "x": "a" * 500_000})  # which is not the head
    assert (
        httpx.post(f"http://127.0.0.1:{server.port}/graphql", content=body, headers={"Content-Type": "application/json"}).status_code == 200
    )


def test_there_are_so_many_connections(demo_url: str, start: Starting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS", 3)
    server = start(demo_url)
    kept = [server.connect() for _ in range(3)]
    until(lambda: len(server.uvicorn.server_state.connections) == 3)
    with server.connect() as connection:
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 2\r\n" in answer
    assert b"OVERLOADED" in answer
    for each in kept:
        each.close()
    until(lambda: not server.uvicorn.server_state.connections)
    assert server.post(STORE).status_code == 200


def test_bodies_in_pieces_take_so_much_memory_together(demo_url: str, start: Starting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "HELD_BYTES", 300_000)
    server = start(demo_url)
    head = HEAD + b"Content-Length: 900000\r\n\r\n"
    slow = [server.connect() for _ in range(3)]
    for connection in slow[:2]:
        connection.sendall(head + b" " * 120_000)
    reader = server.app._incoming  # type: ignore[attr-defined]
    until(lambda: reader._held >= 240_000)
    slow[2].sendall(head + b" " * 120_000)
    answer = slow[2].recv(65536)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"OVERLOADED" in answer
    assert server.post(STORE).status_code == 200  # what comes in one piece is answered all the same
    for connection in slow:
        connection.close()
    until(lambda: reader._held == 0)


def test_a_request_that_is_none_is_told_without_words_of_the_inside(demo_url: str, start: Starting) -> None:
    server = start(demo_url)
    for junk in (b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"POST /graphql HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                 b"POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"):  # fmt: skip
        with server.connect() as connection:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            answer = rest(connection)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 415 ", b"HTTP/1.1 405 ")), answer
        assert b"Traceback" not in answer
    assert server.post(STORE).status_code == 200


# ---- how much each client may ask for


def test_a_bucket_empties_by_the_cost_and_fills_by_the_rate() -> None:
    buckets = Buckets(100.0)
    assert buckets.burst == limits.COST + limits.BATCH * rate.REQUEST
    buckets.take("a", buckets.burst - 50, 0.0)
    buckets.take("a", 50, 0.0)
    with pytest.raises(limits.LimitError) as refused:
        buckets.take("a", 250, 1.0)
    assert (refused.value.code, refused.value.limit, refused.value.value, refused.value.retry) == ("RATE_LIMITED", 100.0, 250, 2)
    buckets.take("a", 100, 1.0)  # what was refused took nothing
    buckets.take("a", 250, 3.5)
    buckets.take("b", 1_000, 3.5)  # another client has a bucket of its own
    with pytest.raises(limits.LimitError):
        buckets.check("a", 1, 3.5)
    buckets.take("a", buckets.burst, 1e6)  # full again, and not more than full
    with pytest.raises(limits.LimitError):
        buckets.take("a", 1, 1e6)
    assert Buckets(1e6).burst == 1e7


def test_buckets_do_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "MOST_CLIENTS", 100)
    buckets = Buckets(100.0)
    for n in range(1_000):
        buckets.take(f"client {n}", 1, float(n))
        buckets.take("always", 1, float(n))
    assert len(buckets) == 100
    assert buckets._buckets["always"][0] < buckets.burst


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "found"),
    [
        ("203.0.113.9", [], [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], [], "203.0.113.9"),  # nobody is believed
        ("203.0.113.9", ["198.51.100.1"], ["10.0.0.0/8"], "203.0.113.9"),  # it is no proxy of ours
        ("10.0.0.5", ["198.51.100.1"], ["10.0.0.0/8"], "198.51.100.1"),
        ("10.0.0.5", [], ["10.0.0.0/8"], "10.0.0.5"),
        ("10.0.0.5", ["1.1.1.1, 198.51.100.1"], ["10.0.0.0/8"], "198.51.100.1"),  # 1.1.1.1 is what the client wrote
        ("10.0.0.5", ["1.1.1.1", "198.51.100.1"], ["10.0.0.0/8"], "198.51.100.1"),
        ("10.0.0.5", ["198.51.100.1, 10.0.0.7"], ["10.0.0.0/8"], "198.51.100.1"),  # two proxies
        ("10.0.0.5", ["198.51.100.1, 10.9.9.9, 10.0.0.7"], ["10.0.0.7", "10.0.0.5"], "10.9.9.9"),
        ("10.0.0.5", ["1.1.1.1, nonsense"], ["10.0.0.0/8"], "10.0.0.5"),
        ("10.0.0.5", ["1.1.1.1, nonsense, 10.0.0.7"], ["10.0.0.0/8"], "10.0.0.7"),
        ("10.0.0.5", [""], ["10.0.0.0/8"], "10.0.0.5"),
        ("10.0.0.5", ["," * 5_000], ["10.0.0.0/8"], "10.0.0.5"),
        ("10.0.0.5", ["198.51.100.1:4711"], ["10.0.0.5"], "198.51.100.1"),
        ("10.0.0.5", ["[2001:db8:1:2:3::1]:4711"], ["10.0.0.5"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", [], [], "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::7", [], [], "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", [], [], "203.0.113.9"),
        ("::ffff:10.0.0.5", ["198.51.100.1"], ["10.0.0.5"], "198.51.100.1"),
        (None, ["198.51.100.1"], ["10.0.0.5"], "local"),
    ],
)
def test_whose_request_it_is_cannot_be_made_up(peer: str | None, forwarded: list[str], proxies: list[str], found: str) -> None:
    scope: Any = {
        "client": (peer, 1) if peer else None,
        "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded],
        "scheme": "http",
    }
    assert Peers(networks(proxies)).of(scope) == found
    scope["headers"].append((b"x-forwarded-proto", b"https"))
    believed = bool(proxies) and peer is not None and peer.startswith(("10.", "::ffff:10."))
    assert Peers(networks(proxies)).scheme(scope) == ("https" if believed else "http")


def test_a_client_that_asks_for_more_than_its_rate_is_told_when_to_come_again(serve: Callable[..., Api], demo_url: str) -> None:
    api = serve(demo_url, rate=1_000.0)
    dear = '{ variants(region: "20:1000000-4000000", first: 1000) { nodes { name records { line } } } }'
    cost = api.cost(dear)["objects"]
    asked = 0
    while (response := api.post(dear)).status_code == 200:
        asked += 1
        assert asked < 20
    assert asked >= 7
    assert (response.status_code, code(response)) == (429, "RATE_LIMITED")
    error = response.json()["errors"][0]["extensions"]
    assert (error["limit"], error["value"]) == (1_000, cost + rate.REQUEST)
    assert 1 <= int(response.headers["retry-after"]) == error["retryAfter"] <= 12
    assert api.post(STORE).status_code in (200, 429)
    assert api.request("GET", "/graphql", params={"query": dear}).status_code == 429  # by any way
    batch = api.request("POST", "/graphql", json=[{"query": dear}] * 3)
    assert (batch.status_code, code(batch)) == (429, "RATE_LIMITED")
    assert api.request("GET", "/healthz").status_code == 200


def test_what_is_refused_costs_too(serve: Callable[..., Api], demo_url: str) -> None:
    api = serve(demo_url, rate=0.001)
    found = [api.post("{ nothing }").status_code for _ in range(3)]
    assert found == [200] * 3
    (bucket,) = api.app._door._buckets._buckets.values()  # type: ignore[attr-defined]
    assert bucket[0] == pytest.approx(limits.COST + limits.BATCH * rate.REQUEST - 3 * rate.REQUEST, abs=1)
    for query in ("{", "{ __schema { queryType { name } } }", "query A { store { assembly } } query B { store { assembly } }"):
        api.post(query)
    (after,) = api.app._door._buckets._buckets.values()  # type: ignore[attr-defined]
    assert bucket[0] - after[0] == pytest.approx(3 * rate.REQUEST, abs=1)


def test_behind_a_proxy_each_client_has_a_bucket(serve: Callable[..., Api], demo_url: str) -> None:
    api = serve(demo_url, rate=0.001, proxies=networks(["127.0.0.1"]))  # which is where the tests' client comes from
    other = serve(demo_url, rate=0.001)
    for n in range(4):
        api.post(STORE, headers={"X-Forwarded-For": f"1.2.3.{n}, 203.0.113.{n % 2}"})
        other.post(STORE, headers={"X-Forwarded-For": f"1.2.3.{n}"})
    assert sorted(api.app._door._buckets._buckets) == ["address 203.0.113.0", "address 203.0.113.1"]  # type: ignore[attr-defined]
    assert sorted(other.app._door._buckets._buckets) == ["address 127.0.0.1"]  # type: ignore[attr-defined]
