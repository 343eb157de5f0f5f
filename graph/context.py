"""What one request sees and does: the release it reads, its statements, its batches."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import asyncpg
import numpy as np

from store.assembly import Assembly
from store.database import Pools
from store.read import Statement
from store.reference import Reference
from store.statements import statement

from .errors import UserError

Access = Literal["open", "individual"]
"""Who may see what a statement reads: anybody, or those who may see single persons."""


SequenceModel = Callable[[str, str], np.ndarray]
"""A loaded model: (sequence with REF, with ALT, upper case) -> what it makes of ALT less REF, float32 (dimension,). May take a second, and be called by
several threads. Raises ValueError for a sequence that it cannot read."""


@dataclass(frozen=True)
class View:
    """A release as far as the viewer may see it: its number, its name where it has one, and the visible loads.

    Of the loads `granted` (all, where it is None) individual-level data is visible, too. Counts of `limited` loads are open as far as they are of `least` people
    or more; of those `withheld`, only the counts of all people together.
    """

    release_id: int
    name: str | None
    loads: tuple[int, ...]
    granted: tuple[int, ...] | None = None
    withheld: tuple[int, ...] = ()
    limited: tuple[int, ...] = ()
    least: int = 0

    def __hash__(self) -> int:
        return self.release_id

    @functools.cached_property
    def seen(self) -> list[int]:
        """The loads whose individual-level data is visible. A session is told of them, and row-level security holds every statement to them."""
        return list(self.loads if self.granted is None else self.granted)

    @functools.cached_property
    def bound(self) -> dict[str, Any]:
        """What every composed statement may bind."""
        return {
            "loads": list(self.loads), "granted": self.seen, "withheld": list(self.withheld), "limited": list(self.limited), "least": self.least,
            "all": self.granted is None,
        }  # fmt: skip


@dataclass(eq=False)
class Context:
    """One request. Every statement binds the loads of a view as `:loads`.

    `loaders` are the batches. `narrow` makes of a release what the viewer may see of it. `people` gathers the samples of whom something was read, where
    that is to be logged; `asked` tells whether individual-level data was asked for.
    """

    pools: Pools
    view: View
    assembly: Assembly
    reference: Reference | None = None
    pinned: bool = False
    models: Mapping[str, SequenceModel] = field(default_factory=dict)
    loaders: dict[Any, Any] = field(default_factory=dict)
    statements: int = 0
    read: dict[int, View] = field(default_factory=dict)
    narrow: Callable[[View], Awaitable[View]] | None = None
    people: set[int] | None = None
    asked: bool = False
    started: float = field(default_factory=time.perf_counter)
    _views: dict[int, View] = field(default_factory=dict)

    async def fetch(self, statement: Statement, values: Mapping[str, Any], access: Access = "open") -> list[asyncpg.Record]:
        """Runs one statement, whose values have the visible loads. Raises StoreError."""
        if access == "open":
            return await self.query(statement.text, *statement.bind(values))
        return await self._individual(values["granted"], statement.text, *statement.bind(values))

    async def query(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Runs one whole statement of store/sql. Raises StoreError."""
        self.statements += 1
        return await self.pools.fetch(sql, *values)

    async def query_individual(self, view: View, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Runs one whole statement on individual-level data, as far as it is visible in a view. Raises StoreError."""
        return await self._individual(view.seen, sql, *values)

    async def _individual(self, loads: Sequence[int], sql: str, *values: Any) -> list[asyncpg.Record]:
        self.statements += 1
        self.asked = True
        return await self.pools.fetch_individual(loads, sql, *values)

    async def view_of(self, release_id: int) -> View:
        """The view of the release that a cursor carries. Loads that were unloaded since are not in it."""
        if release_id == self.view.release_id:
            return self.view
        if self.pinned:
            raise UserError(
                "BAD_CURSOR",
                f"The cursor is of release {release_id}, and the request asks for {self.view.name}.",
                hint="Send the header Vkg-Release that the cursor came with, or begin again without a cursor.",
            )
        if release_id not in self._views:
            rows = await self.query(statement("release_by_number"), release_id)
            if not rows:
                raise UserError(
                    "BAD_CURSOR", "The cursor is of a release that this store does not have.", hint="Begin again without a cursor."
                )
            found = View(release_id, rows[0]["name"], tuple(rows[0]["loads"]))
            self._views[release_id] = found if self.narrow is None else await self.narrow(found)
        return self._views[release_id]
