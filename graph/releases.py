"""The release that is current: read at start, told by LISTEN/NOTIFY, and read again from time to time all the same."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import asyncpg

from store.database import Pools, asyncpg_url
from store.errors import StoreError
from store.release import CHANNEL
from store.statements import statement

from .context import View
from .errors import UserError

log = logging.getLogger("vkg.graph")

RECHECK_SECONDS = 5.0
"""A notification can be lost with its connection; then the news come this late."""


class Releases:
    """Keeps `current` up to date in the background."""

    def __init__(self, url: str, pools: Pools) -> None:
        self._url = asyncpg_url(url)
        self._pools = pools
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.current = View(0, None, ())

    async def start(self) -> None:
        """Reads the current release and begins to listen."""
        await self._read()
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stops listening."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def named(self, name: str) -> View:
        """The view of a named release. Raises UserError UNKNOWN_RELEASE."""
        rows = await self._pools.fetch(statement("release_by_name"), name)
        if not rows:
            raise UserError(
                "UNKNOWN_RELEASE",
                f"There is no release named {name[:80]!r}.",
                value=name[:80],
                hint="store.releases(named: true) lists them.",
            )
        return View(rows[0]["release_id"], rows[0]["name"], tuple(rows[0]["loads"]))

    async def _read(self) -> None:
        (row,) = await self._pools.fetch(statement("current_release"))
        self.current = View(row["release_id"], row["name"], tuple(row["loads"]))

    async def _connected(self) -> asyncpg.Connection:
        """A connection. One that is just being made when this is cancelled is waited for and closed: asyncpg would leave its socket open."""
        connecting = asyncio.ensure_future(asyncpg.connect(self._url))
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
                (await asyncio.wait_for(connecting, 2)).terminate()
            raise

    async def _follow(self) -> None:
        while True:
            connection = None
            try:
                connection = await self._connected()
                await connection.add_listener(CHANNEL, lambda *_: self._news.set())
                while not connection.is_closed():
                    await self._read()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), RECHECK_SECONDS)
                    self._news.clear()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, StoreError, TimeoutError) as error:
                log.warning("lost touch with the store, trying again: %s", error)
                await asyncio.sleep(1)
            finally:
                if connection is not None:
                    connection.terminate()
