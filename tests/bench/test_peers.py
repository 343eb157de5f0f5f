"""What the comparison with PostGraphile stands on: that answers of another shape are compared by what they say, and that the client reads what servers send."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import orjson
import pytest

from bench.client import Client, ask_for, post
from bench.peers_asked import CARRIERS, CARRIERS_THERE, Question, facts
from bench.servers import started
from store.variant_key import encode_one, to_hex

KEY = encode_one(20, 1897442, "C", "T")

OURS = {
    "variant": {
        "id": "Variant:1",
        "key": to_hex(KEY),
        "chrom": "20",
        "carriers": {
            "edges": [
                {"gt": "0|1", "node": {"name": "A", "population": {"name": "GBR"}}},
                {"gt": "1|1", "node": {"name": "B", "population": None}},
            ]
        },
    }
}
THEIRS = {
    "variant": {
        "id": "WyJ2Il0=",
        "key": str(KEY),
        "chrom": 20,
        "carriers": [{"gt": "1|1", "name": "B", "population": None}, {"gt": "0|1", "name": "A", "population": "GBR"}],
    }
}


def _differences(ours: object, theirs: object) -> list[str]:
    question = Question("carriers", CARRIERS, CARRIERS_THERE, [])
    return question.differences(orjson.dumps({"data": ours}), orjson.dumps({"data": theirs}))


def test_answers_of_two_shapes_say_the_same() -> None:
    assert facts(OURS) == facts(THEIRS)
    assert not _differences(OURS, THEIRS)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda v: v | {"chrom": 21}, ".variant.chrom"),
        (lambda v: v | {"key": str(KEY + 1)}, ".variant.key"),
        (lambda v: v | {"carriers": v["carriers"][:1]}, ".variant.carriers"),
        (lambda v: v | {"carriers": [v["carriers"][0], v["carriers"][1] | {"population": "FIN"}]}, ".variant.carriers[0].population"),
        (lambda v: {key: value for key, value in v.items() if key != "chrom"}, ".variant"),
    ],
)
def test_what_differs_is_named_with_its_place(change: Callable[[dict], dict], place: str) -> None:
    assert [line.partition(": ")[0] for line in _differences(OURS, {"variant": change(THEIRS["variant"])})] == [place]


@pytest.mark.parametrize(
    ("left", "right", "same"), [(0.1234567891, 0.12345679, True), (0.1234567891, 0.123457, False), (1, 1.0, True), (None, 0, False)]
)
def test_numbers_differ_behind_the_digits_of_a_real_only(left: object, right: object, same: bool) -> None:
    assert (not _differences({"mean": left}, {"mean": right})) is same


CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"data":\r\n7\r\n{"a":1}\r\n1\r\n}\r\n0\r\n\r\n'


async def _with_server(answers: list[bytes], work: Callable[[Client], Awaitable[None]]) -> list[bytes]:
    """A server that sends these answers in turn, five bytes at a time; returns what it was asked."""
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answers:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            asked.append(await reader.readexactly(length))
            answer = answers.pop(0)
            for start in range(0, len(answer), 5):
                writer.write(answer[start : start + 5])
                await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        client = Client(server.sockets[0].getsockname()[1])
        await client.open(1)
        await work(client)
        client.close()
        await asyncio.sleep(0)
    return asked


def test_the_client_reads_answers_of_a_known_length_and_chunked_ones() -> None:
    body = b'{"data":{"a":1}}'
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def work(client: Client) -> None:
        for number in range(3):
            assert await client.ask(post(client.port, "{ a }", {"n": number})) == body

    asked = asyncio.run(_with_server([whole, CHUNKED, whole], work))
    assert [orjson.loads(body) for body in asked] == [{"query": "{ a }", "variables": {"n": n}} for n in range(3)]


def test_errors_and_connections_that_end_are_told() -> None:
    body = b'{"errors":[{"message":"no such field"}]}'
    wrong = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def work(client: Client) -> None:
        with pytest.raises(RuntimeError, match="no such field"):
            await client.ask(post(client.port, "{ b }", {}))
        with pytest.raises(ConnectionError):
            await client.ask(post(client.port, "{ b }", {}))

    asyncio.run(_with_server([wrong], work))


def test_each_client_asks_at_least_once_and_all_is_counted() -> None:
    numbers = []

    async def work(number: int) -> None:
        numbers.append(number)
        await asyncio.sleep(0.01)

    times, took = asyncio.run(ask_for([work], 3, 0.0))
    assert sorted(numbers) == [0, 1, 2]
    assert len(times) == 3
    assert all(0.009 < time <= took for time in times)


def test_a_server_that_does_not_listen_is_told_with_what_it_said() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no store there')"]
    with pytest.raises(RuntimeError, match="no store there"), started("nobody", command, {}):
        pass
