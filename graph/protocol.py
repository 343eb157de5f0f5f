"""HTTP as uvicorn reads it with httptools, with bounds on what it leaves open: the head of a request, the time in which a request must arrive and its
answer be taken, and how many connections there are. Costs a request nothing but a look at the clock; one sweep in a while looks after all connections.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from . import limits

HEAD_BYTES = 64 << 10
"""Bytes of a request's first line and headers."""
ARRIVAL_SECONDS = 20.0
"""In which a request must have arrived, from its first byte, or from when the connection was made."""
TAKING_SECONDS = 30.0
"""In which some of an answer must have been taken by the client."""
CONNECTIONS = 2_000
"""Of one process."""
SWEEP_SECONDS = 2.0
GRACE_SECONDS = 30
"""In which requests may end when the server is stopped: twice the time of one."""

_REASONS = {408: b"Request Timeout", 431: b"Request Header Fields Too Large", 503: b"Service Unavailable"}


class Protocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a connection, or turns it away where there are too many."""
        super().connection_made(transport)
        self._arriving: float | None = self.loop.time()  # since when a request has been arriving
        self._in_head = True
        self._head = 0  # bytes of the head, while it arrives
        self._left: tuple[int, float] | None = None  # bytes that the client has not taken, and since when they are as many
        if len(self.connections) > CONNECTIONS:
            error = limits.LimitError(
                "OVERLOADED", "The server has as many connections as it can hold.", limit=CONNECTIONS, value=len(self.connections), retry=2
            )
            self._refuse(503, error)
            return
        state: Any = self.server_state
        if not getattr(state, "swept", False):
            state.swept = True
            self.loop.call_later(SWEEP_SECONDS, _sweep, self.loop, state)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        self._piece = len(data)
        super().data_received(data)
        if self._in_head and self._arriving is not None and not self.transport.is_closing():
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._refuse(431, _too_large(self._head))

    def on_message_begin(self) -> None:
        """A request begins."""
        self._arriving, self._in_head, self._head = self.loop.time(), True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is here."""
        if self._head + self._piece > HEAD_BYTES:  # only then is it worth adding up
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > HEAD_BYTES:
                self._refuse(431, _too_large(size))
                raise ValueError("the head is too large")  # which ends the parsing
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is here."""
        self._arriving = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Tells that a request is none, where nothing was told yet."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def look(self, now: float) -> None:
        """Ends the connection where its request is too long in coming, or its answer in being taken."""
        if self.transport.is_closing() and not self.transport.get_write_buffer_size():
            return
        if self._arriving is not None and now - self._arriving > ARRIVAL_SECONDS:
            if not self._head and self._in_head:  # nothing came at all
                self.transport.close()
            else:
                seconds = round(now - self._arriving, 1)
                error = limits.LimitError(
                    "REQUEST_TIMEOUT", f"The request did not arrive in {ARRIVAL_SECONDS:g} s.", limit=ARRIVAL_SECONDS, value=seconds
                )
                self._refuse(408, error)
            self._arriving = None
            return
        left = self.transport.get_write_buffer_size()
        if not left or self._left is None or left != self._left[0]:
            self._left = (left, now) if left else None
        elif now - self._left[1] > TAKING_SECONDS:
            self.transport.abort()

    def _refuse(self, status: int, error: limits.LimitError) -> None:
        body = orjson.dumps({"errors": [{"message": str(error), "extensions": error.extensions()}]})
        again = b"" if error.retry is None else b"retry-after: %d\r\n" % error.retry
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-content-type-options: nosniff\r\n"
            b"cache-control: no-store\r\n%sconnection: close\r\n\r\n%s" % (status, _REASONS[status], len(body), again, body)
        )
        self.transport.close()


def _too_large(size: int) -> limits.LimitError:
    return limits.LimitError(
        "HEADERS_TOO_LARGE", f"The head of the request is larger than {HEAD_BYTES:,} bytes: {size:,}.", limit=HEAD_BYTES, value=size
    )


def _sweep(loop: asyncio.AbstractEventLoop, state: Any) -> None:
    now = loop.time()
    for connection in list(state.connections):
        cast(Protocol, connection).look(now)
    state.swept = bool(state.connections)
    if state.swept:
        loop.call_later(SWEEP_SECONDS, _sweep, loop, state)


OPTIONS: dict[str, Any] = {"http": Protocol, "ws": "none", "proxy_headers": False, "timeout_graceful_shutdown": GRACE_SECONDS}
"""How uvicorn is told. Whom a proxy asks for is read where proxies are trusted (rate.py), not from whoever comes from this machine."""
