"""What keeps a server answering when more is asked than it can do: a bounded queue in front of execution, and an end for requests that nobody waits for.

So many requests are carried out at a time; more wait in turn, up to a number and a time; whoever comes then is told at once to come again. All of it
costs a small request less than a microsecond.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from starlette.types import Receive

from . import limits

RUNNING = 64
"""Requests carried out at a time, by one process: those that wait for the database leave room for others; more would only wait for connections."""
WAITING = 256
"""Requests that wait for their turn."""
PATIENCE = 5.0
"""Seconds that one waits for its turn. Its time runs meanwhile."""
AGAIN = 2
"""Seconds after which whoever was turned away may come again."""
LISTEN_AFTER = 0.05
"""Seconds, up to twice as many, after which it is worth knowing whether the client still waits."""


class Queue:
    """Lets so many in at a time, and others wait in turn. `enter`, then `leave`, whatever happens in between."""

    def __init__(self, running: int = RUNNING, waiting: int = WAITING, patience: float = PATIENCE) -> None:
        self._most, self._waiting_most, self._patience = running, waiting, patience
        self.running = 0
        self.waiting: deque[asyncio.Future[None]] = deque()

    def enter(self) -> asyncio.Future[None] | None:
        """Comes in; or gives what to hand to `turn`. Raises LimitError OVERLOADED where too many wait."""
        if self.running < self._most:
            self.running += 1
            return None
        if len(self.waiting) >= self._waiting_most:
            raise overloaded("The server has as many requests as it can hold", self._waiting_most, len(self.waiting) + 1)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(waiter)
        return waiter

    async def turn(self, waiter: asyncio.Future[None]) -> None:
        """Waits to come in. Raises LimitError OVERLOADED where that takes too long; who raises is not in."""
        try:
            async with asyncio.timeout(self._patience):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():  # its turn came in the same moment
                self.leave()
            elif waiter in self.waiting:
                self.waiting.remove(waiter)
            if isinstance(error, TimeoutError):
                raise overloaded(
                    f"The request waited {self._patience:g} s for its turn", self._waiting_most, len(self.waiting) + 1
                ) from None
            raise

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """In between, one is in. Raises as `enter` and `turn` do."""
        if (waiter := self.enter()) is not None:
            await self.turn(waiter)
        try:
            yield
        finally:
            self.leave()

    def leave(self) -> None:
        """Goes, and lets in who waited longest."""
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.running -= 1


def overloaded(what: str, limit: int, value: int) -> limits.LimitError:
    """What somebody is told who must come again."""
    return limits.LimitError(
        "OVERLOADED", f"{what}.", limit=limit, value=value, hint="Come again after the seconds of the header Retry-After.", retry=AGAIN
    )


class Gone(Exception):
    """The client went away before it was answered."""


class Watch:
    """The task that answers a request, and what it hears from its client."""

    __slots__ = ("_answering", "_gone", "_listening", "_receive")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._answering = asyncio.current_task()
        self._listening: asyncio.Task[None] | None = None
        self._gone = False

    def check(self) -> None:
        """After a CancelledError: raises Gone in its place, where it is this one's."""
        if self._gone and self._answering is not None:
            self._answering.uncancel()
            raise Gone

    def begin(self) -> None:
        """Listens to the client."""
        self._listening = asyncio.create_task(self._listen())

    def end(self) -> None:
        """Stops listening."""
        if self._listening is not None:
            self._listening.cancel()

    async def _listen(self) -> None:
        if (await self._receive())["type"] == "http.disconnect" and self._answering is not None:
            self._gone = True
            self._answering.cancel()


class Watches:
    """Cancels tasks that answer requests once their clients go away, and their statements with them. The bodies must have been read.

    One timer is for all: it begins to listen for those that were there when it came last. So a small request is answered before anybody listens, and
    pays for nothing but being put on a list.
    """

    def __init__(self) -> None:
        self._new: set[Watch] = set()
        self._old: set[Watch] = set()
        self._ticking = False

    def begin(self, receive: Receive) -> Watch:
        """Watches the current task, up to `end`."""
        watch = Watch(receive)
        self._new.add(watch)
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(LISTEN_AFTER, self._tick)
        return watch

    def end(self, watch: Watch) -> None:
        """Watches no longer."""
        self._new.discard(watch)
        self._old.discard(watch)
        watch.end()

    def _tick(self) -> None:
        for watch in self._old:
            watch.begin()
        self._old, self._new = self._new, set()
        self._ticking = bool(self._old)
        if self._ticking:
            asyncio.get_running_loop().call_later(LISTEN_AFTER, self._tick)
