"""What one request sees and does: the release it reads, its statements, its batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
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
    """A release as far as the viewer may see it: its number, its name where it has one, and the visible loads."""

    release_id: int
    name: str | None
    loads: tuple[int, ...]

    def __hash__(self) -> int:
        return self.release_id


@dataclass(eq=False)
class Context:
    """One request. Every statement binds the loads of a view as `:loads`.

    `loaders` are the batches.
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
    started: float = field(default_factory=time.perf_counter)
    _views: dict[int, View] = field(default_factory=dict)

    async def fetch(self, statement: Statement, values: Mapping[str, Any], access: Access = "open") -> list[asyncpg.Record]:
        """Runs one statement, whose values have the visible loads. Raises StoreError."""
        if access == "open":
            return await self.query(statement.text, *statement.bind(values))
        return await self.query_individual(values["loads"], statement.text, *statement.bind(values))

    async def query(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Runs one whole statement of store/sql. Raises StoreError."""
        self.statements += 1
        return await self.pools.fetch(sql, *values)

    async def query_individual(self, loads: Sequence[int], sql: str, *values: Any) -> list[asyncpg.Record]:
        """Runs one whole statement on individual-level data, of which it sees these loads. Raises StoreError."""
        self.statements += 1
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
            self._views[release_id] = View(release_id, rows[0]["name"], tuple(rows[0]["loads"]))
        return self._views[release_id]
