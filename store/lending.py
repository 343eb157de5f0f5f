"""The connections of a pool, held all the time, so that each statement borrows one by taking it from a list.

asyncpg's pool lends a connection in a task of its own, behind a shield: a third of what a small statement costs. It still opens them; and it gets
those back whose statement did not end well, because only it knows how to wait for a cancelled one, or to open another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

T = TypeVar("T")


class Lending:
    """`run` is given a free connection; whoever comes when none is free waits, and is served in turn."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        # The one that was used last is lent first: it has prepared most statements. None stands for one that the pool has.
        self._free: list[Any] = [None] * pool.get_max_size()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._returning: set[asyncio.Future[None]] = set()
        self._closed = False

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """What `work` makes of a connection. Raises what it raises, and what the pool raises where there is no connection to be had."""
        connection = await self._take()
        try:
            if connection is not None and not _lives(connection):
                dead, connection = connection, None
                await self._pool.release(dead)
            if connection is None:
                connection = await self._pool.acquire()
            result = await work(connection)
        except BaseException as error:
            try:
                if connection is not None:
                    if isinstance(error, asyncpg.InternalClientError):  # it lost its thread, and would answer nobody any more
                        connection.terminate()
                    await self._pool.release(connection)  # waits until what was cancelled has ended
            finally:
                self._give(None)
            raise
        self._give(connection)
        return result

    async def close(self) -> None:
        """Waits for what runs, and closes the connections."""
        self._closed = True
        free, self._free = self._free, []
        for connection in free:
            self._free.append(None)
            if connection is not None:
                await self._pool.release(connection)
        await self._pool.close()

    async def _take(self) -> Any:
        if self._free:
            return self._free.pop()
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._give(waiter.result())
            raise

    def _give(self, connection: Any) -> None:
        if self._closed and connection is not None:
            returning = asyncio.ensure_future(self._pool.release(connection))
            self._returning.add(returning)
            returning.add_done_callback(self._returning.discard)
            connection = None
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._free.append(connection)


def _lives(connection: Any) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has it back already
        return False
