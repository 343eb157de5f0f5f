"""Batches: one call for all who ask for rows by key in the same moment, and the rows that a link has for the objects of a frame."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graph.context import View
from graph.relation import Link, Rows

from .frames import Frame, Records
from .plan import Branch, Selection


class Batch:
    """What is known by key, and a call for what is not: those who ask in the same moment share it. `view` is the one that was read.

    `read` is given the batch and what is missing; it must not hold on to the batch, whose rows would wait for the collector of cycles then. Where
    what is read are rows, they are in `rows`, and what is known by key is where its own begin and end; `more` has the keys of which more follow.
    """

    def __init__(self, read: Callable[[Batch, list[Any]], Awaitable[dict[Any, Any]]], view: View) -> None:
        self._read, self.view = read, view
        self.known: dict[Any, Any] = {}
        self.rows: Sequence[Any] = ()
        self.more: set[Any] = set()
        self._coming: dict[Any, asyncio.Future[None]] = {}  # by key, from when it is asked for until it is known
        self._next: asyncio.Future[None] | None = None  # of those that will be read when their turn comes

    async def load(self, keys: Iterable[Any], shared: bool = True) -> dict[Any, None]:
        """Reads what is not known of these keys, and waits for those that others read; None is none. Returns each key once. Raises what the reading
        raises.

        It gives others a turn to ask with it, unless it is not `shared` with any.
        """
        asked = dict.fromkeys(keys)
        asked.pop(None, None)
        missing = [key for key in asked if key not in self.known] if self.known else list(asked)
        if missing:
            await self._get(missing, shared)
        return asked

    async def _get(self, missing: Sequence[Any], shared: bool) -> None:
        others = {self._coming[key] for key in missing if key in self._coming}
        if new := [key for key in missing if key not in self._coming]:
            begins = self._next is None
            coming = self._next = self._next or asyncio.get_running_loop().create_future()
            self._coming |= dict.fromkeys(new, coming)
            if begins:
                await self._fetch(coming, shared)
            else:
                others.add(coming)
        for coming in others:
            await coming

    def placed(self, keys: Iterable[Any], found: Rows) -> dict[Any, tuple[int, int]]:
        """Puts rows that were read for these keys to the others. Returns where those of each begin and end."""
        begin, bounds = len(self.rows), found.bounds
        if begin:
            bounds = {key: (start + begin, end + begin) for key, (start, end) in bounds.items()}
        self.rows = [*self.rows, *found.rows] if begin else found.rows
        self.view, self.more = found.view, self.more | found.more
        return dict.fromkeys(keys, (0, 0)) | bounds

    def know(self, found: Mapping[Any, Any]) -> None:
        """Takes rows that came along with others, by their keys, None where there is none."""
        new = {key: row for key, row in found.items() if key not in self.known and key not in self._coming}
        there = [key for key, row in new.items() if row is not None]
        places = {key: (place, place + 1) for place, key in enumerate(there)}
        self.known |= self.placed(new, Rows([new[key] for key in there], places, self.view, set()))

    async def _fetch(self, coming: asyncio.Future[None], shared: bool) -> None:
        """The first who asks reads for all who ask before its turn comes again."""
        wanted: list[Any] = []
        try:
            if shared:
                await asyncio.sleep(0)
            wanted, self._next = [key for key, future in self._coming.items() if future is coming], None
            self.known |= await self._read(self, wanted)
        except Exception as error:
            coming.set_exception(error)
            coming.exception()  # where nobody else asked, nobody else hears of it
            raise
        except BaseException:  # the request ends
            coming.cancel()
            raise
        finally:
            for key in wanted:
                del self._coming[key]
        coming.set_result(None)


@dataclass(eq=False)
class Followed:
    """The rows of a link for the objects of a frame, which have `keys`: of each key where they begin and end."""

    frame: Frame
    branch: Branch
    link: Link
    batch: Batch
    keys: Sequence[Any]
    rows: Sequence[Any]
    bounds: dict[Any, tuple[int, int]]

    def owners(self, place: int) -> list[tuple[int, int]]:
        """The objects of the frame that a row belongs to, and its index in the list of each."""
        (key,) = (key for key, (start, end) in self.bounds.items() if start <= place < end)
        return [(i, place - self.bounds[key][0]) for i, own in enumerate(self.keys) if own == key]

    def records(self, selection: Selection, cls: type, way: Callable[[int], list[Any]]) -> Records:
        """The frame of the rows; `way` leads from the branch to the row of an index."""
        return Records(
            selection, self.batch.view, self.frame, self.branch, lambda place: [(i, way(n)) for i, n in self.owners(place)], rows=self.rows,
            link=self.link, columns=self.branch.columns, cls=cls,
        )  # fmt: skip
