"""A client of GraphQL over HTTP/1.1 that costs little: connections that are kept, bytes out, bytes in, nothing decoded.

On a machine of few cores the client takes from the servers that it measures, so it is asyncio's protocols and a parser in C (httptools), without what
an HTTP library does besides. It asks for no compression, and reads answers of a known length and chunked ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle
from typing import Any

import httptools
import orjson

IDLE = 3.0
"""Seconds after which a connection is made anew: servers close those that were not used for five."""

Ask = Callable[[int], Awaitable[Any]]
"""Asks for a thing, by the number of who asks."""


def post(port: int, query: str, variables: dict[str, Any], path: str = "/graphql", token: str | None = None) -> bytes:
    """The bytes of a request on loopback, with the credentials of a token where it is given."""
    body = orjson.dumps({"query": query, "variables": variables})
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: {len(body)}\r\n"
    return (head + (f"Authorization: Bearer {token}\r\n" if token else "") + "\r\n").encode() + body


class _Wire(asyncio.Protocol):
    """One connection: writes a request, collects the answer."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._answer: asyncio.Future[bytes] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._used = time.monotonic()
        self.status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._failed(RuntimeError(f"what came is not HTTP: {error}"))

    @property
    def stale(self) -> bool:
        """Whether the server has closed it, or may at any moment."""
        return self._transport.is_closing() or time.monotonic() - self._used > IDLE

    def connection_lost(self, exc: Exception | None) -> None:
        self._failed(exc or ConnectionError("the server closed the connection"))

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        answer, body = self._answer, b"".join(self._parts)
        self._used = time.monotonic()
        self.status = self._parser.get_status_code()
        self._answer, self._parts = None, []
        self._parser = httptools.HttpResponseParser(self) if not self._parser.should_keep_alive() else self._parser
        if answer is not None and not answer.done():
            answer.set_result(body)

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        """The body of the answer to a request; one at a time."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def _failed(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def close(self) -> None:
        self._answer = None
        self._transport.close()


class Client:
    """So many connections to a server on loopback."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._wires: list[_Wire] = []

    async def open(self, connections: int) -> None:
        """Adds connections until there are so many."""
        while len(self._wires) < connections:
            self._wires.append(await self._connected())

    async def _connected(self) -> _Wire:
        _, wire = await asyncio.get_running_loop().create_connection(_Wire, "127.0.0.1", self.port)
        return wire

    async def ask(self, request: bytes, by: int = 0) -> bytes:
        """The bytes of an answer, over the connection of this number. Raises RuntimeError where it has errors or no data."""
        _, answer = await self.exchange(request, by)
        if not answer.startswith(b'{"data":{') or answer.startswith(b'{"data":{}'):
            raise RuntimeError(f"port {self.port}: {answer[:1000].decode(errors='replace')}")
        return answer

    async def exchange(self, request: bytes, by: int = 0) -> tuple[int, bytes]:
        """Status and bytes of an answer, whatever it is, over the connection of this number."""
        if self._wires[by].stale:
            self._wires[by].close()
            self._wires[by] = await self._connected()
        answer = await self._wires[by].ask(request)
        return self._wires[by].status, answer

    async def leave(self, request: bytes, by: int, seconds: float) -> None:
        """Sends a request, and goes away after some seconds, answered or not."""
        wire = await self._connected()
        wire.ask(request).add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        await asyncio.sleep(seconds)
        wire.close()

    def close(self) -> None:
        for wire in self._wires:
            wire.close()
        self._wires.clear()


async def ask_for(works: Sequence[Ask], clients: int, seconds: float) -> tuple[list[float], float]:
    """Asks for what `works` ask, round and round, by so many clients at once for so many seconds; each ends what it began, and asks at least once.

    Returns the seconds that each answer took, and those from the first request to the last answer.
    """
    times: list[float] = []
    began = time.perf_counter()
    end = began + seconds

    async def client(number: int) -> None:
        for work in cycle([*works[number % len(works) :], *works[: number % len(works)]]):
            started = time.perf_counter()
            await work(number)
            ended = time.perf_counter()
            times.append(ended - started)
            if ended > end:
                return

    await asyncio.gather(*map(client, range(clients)))
    return times, time.perf_counter() - began
