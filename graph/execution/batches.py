"""Batches: one call for all who ask for rows by key in the same moment, and the rows that a link has for the objects of a frame."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from graph.context import View
from graph.relation import Link

from .frames import Frame, Records
from .plan import Branch, Selection


class Batch:
    """What is known by key, and a call for what is not: those who ask in the same moment share it. `view` is the one that was read."""

    def __init__(self, read: Callable[[list[Any]], Awaitable[dict[Any, Any]]], view: View) -> None:
        self._read, self.view = read, view
        self.known: dict[Any, Any] = {}
        self.more: set[Any] = set()
        self._wanted: dict[Any, None] = {}
        self._coming: asyncio.Task[None] | None = None

    async def load(self, keys: Iterable[Any]) -> None:
        """Reads what is not known of these keys. Raises what the reading raises."""
        missing = [key for key in keys if key not in self.known]
        if not missing:
            return
        self._wanted.update(dict.fromkeys(missing))
        if self._coming is None:
            self._coming = asyncio.create_task(self._fetch())
        await self._coming

    async def _fetch(self) -> None:
        await asyncio.sleep(0)
        wanted, self._wanted, self._coming = list(self._wanted), {}, None
        self.known |= await self._read(wanted)


@dataclass(eq=False)
class Followed:
    """The rows of a link for the objects of a frame, which have `keys`: of each key where they begin, and how many they are."""

    frame: Frame
    branch: Branch
    link: Link
    batch: Batch
    keys: Sequence[Any]
    rows: list[Any]
    begin: dict[Any, tuple[int, int]]

    def owners(self, place: int) -> list[tuple[int, int]]:
        """The objects of the frame that a row belongs to, and its index in the list of each."""
        (key,) = (key for key, (start, count) in self.begin.items() if start <= place < start + count)
        return [(i, place - self.begin[key][0]) for i, own in enumerate(self.keys) if own == key]

    def records(self, selection: Selection, cls: type, way: Callable[[int], list[Any]]) -> Records:
        """The frame of the rows; `way` leads from the branch to the row of an index."""
        return Records(
            selection, self.batch.view, self.frame, self.branch, lambda place: [(i, way(n)) for i, n in self.owners(place)], rows=self.rows,
            link=self.link, columns=self.branch.columns, cls=cls,
        )  # fmt: skip
