"""Runs: a plan carried out breadth-first, one call per branch for all rows of its level.

A branch takes keys from its frame, reads (a `Batch` per link, arguments and columns: whoever asks in the same moment shares one statement), makes a
frame of what came, and hangs its dicts into those above. What goes wrong is written down as it comes (nulls.py).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from graphql import GraphQLError, is_non_null_type
from graphql.execution.values import VariableValues

from graph.context import Context, View
from graph.page import Window, window_of
from graph.relation import ROOT, Link, Ref, entities, frozen
from store.read import COUNT_LIMIT

from .batches import Batch, Followed
from .frames import Frame, Objects, Place, Records, cursor_of
from .nulls import Failure, settled
from .plan import Branch, Column, Joins, Part, Selection, Slot

MOST_JOINED = 100
"""Most rows that others are joined to: of many rows, many lead to the same, which is read once by its key."""


class Run:
    """One execution of a plan."""

    def __init__(self, ctx: Context, variables: VariableValues, types: dict[type, str]) -> None:
        self.ctx, self.variables, self.types = ctx, variables, types
        self.failures: list[Failure] = []
        self._batches: dict[Any, Batch] = {}
        self._paths = 1

    async def answer(self, plan: Selection) -> tuple[dict[str, Any] | None, list[GraphQLError]]:
        """The data and the errors."""
        root = Objects(plan, self.ctx.view, items=[None])
        try:
            await self._select(root)
            return settled(root, self.failures)
        finally:  # what refers to itself waits for the collector of cycles, with all rows, and that takes long when it comes
            self._batches.clear()
            self.failures.clear()

    # ---- one level

    async def _select(self, frame: Frame) -> None:
        selection = frame.selection
        values = [self._completed(frame, column, self._read(frame, column)) for column in selection.columns]
        frame.made = selection.build(len(frame), values)
        if not len(frame) or not selection.branches:
            return
        await self._together([self._go_on(frame, branch) for branch in selection.branches])

    async def _together(self, work: Sequence[Awaitable[Any]], **options: Any) -> list[Any]:
        """The results of several pieces of work; where there is but one path through the plan, nobody else can ask what a batch is asked."""
        if len(work) == 1 and not options:
            return [await work[0]]
        self._paths += len(work)
        try:
            return await asyncio.gather(*work, **options)
        finally:
            self._paths -= len(work)

    def _read(self, frame: Frame, column: Column) -> Sequence[Any]:
        try:
            return frame.column(column.attribute)
        except Exception as error:
            return [error] * len(frame)

    def _completed(self, frame: Frame, slot: Column | Branch, values: Sequence[Any]) -> Sequence[Any]:
        """A leaf, or lists of leaves, for each object of a frame."""
        assert slot.leaf is not None
        if not slot.listed:
            known = len(self.failures)
            answers = slot.leaf.complete(values, lambda place, error: self.fail(frame, place, slot, [], error))
            if slot.required and None in answers:
                failed = {failure.place for failure in self.failures[known:]}
                for place, answer in enumerate(answers):
                    if answer is None and place not in failed:
                        self.fail(frame, place, slot, [], None)
            return answers
        kinds = {*map(type, values)}
        if kinds <= {list, type(None)} and not (slot.required and None in values):
            within = list(chain.from_iterable(filter(None, values)))
            if slot.leaf.fits(within) and not (is_non_null_type(slot.item) and None in within):
                return values
        lists = [self._items_of(frame, place, slot, value) for place, value in enumerate(values)]
        flat = [item for items in lists if items for item in items]
        where = [(place, index) for place, items in enumerate(lists) if items for index in range(len(items))]
        known = len(self.failures)
        answers = slot.leaf.complete(flat, lambda n, error: self.fail(frame, where[n][0], slot, [where[n][1]], error))
        if is_non_null_type(slot.item) and None in answers:
            failed_items = {(failure.place, *failure.way) for failure in self.failures[known:]}
            for n, answer in enumerate(answers):
                if answer is None and where[n] not in failed_items:
                    self.fail(frame, where[n][0], slot, [where[n][1]], None)
        found, begin = [], 0
        for items in lists:
            found.append(None if items is None else list(answers[begin : begin + len(items)]))
            begin += len(items or ())
        return found

    def _items_of(self, frame: Frame, place: int, slot: Slot, value: Any) -> Sequence[Any] | None:
        """The items of a list; None, which is written down, where it is none."""
        if isinstance(value, Exception):
            self.fail(frame, place, slot, [], value)
        elif value is None:
            if slot.required:
                self.fail(frame, place, slot, [], None)
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return value
        else:
            message = f"Expected Iterable, but did not find one for field '{slot.parent}.{slot.name}'."
            self.fail(frame, place, slot, [], GraphQLError(message))
        return None

    def fail(self, frame: Frame, place: int, slot: Slot, way: list[Any], error: Exception | None) -> None:
        """Writes down that there is null, and why."""
        self.failures.append(Failure(frame, place, slot, way, error))

    # ---- from one level to the next

    async def _go_on(self, frame: Frame, branch: Branch) -> None:
        try:
            if branch.how == "link":
                await self._follow(frame, branch)
            elif branch.how == "row":
                await self._same_rows(frame, branch)
            else:
                await self._hang(frame, branch, await self._values(frame, branch))
        except Exception as error:
            for place in range(len(frame)):
                self.fail(frame, place, branch, [], error)

    async def _values(self, frame: Frame, branch: Branch) -> list[Any]:
        """The value of a field for each object of a frame; an exception for what failed."""
        if branch.how == "attribute":
            return list(frame.column(branch.attribute))
        arguments = branch.arguments(self.variables)
        if branch.how == "method":
            assert branch.resolver is not None
            found = []
            for item in frame.objects():
                try:
                    found.append(branch.resolver(item, dict(arguments), getattr(item, "_view", frame.view)))
                except Exception as error:
                    found.append(error)
            if any(map(inspect.isawaitable, found)):
                found = await self._together([_awaited(value) for value in found], return_exceptions=True)
            return found
        computed = branch.computed
        assert computed is not None
        keys = list(frame.column(computed.on)) if computed.on is not None else [ROOT] * len(frame)

        async def read(_: Batch, missing: list[Any]) -> dict[Any, Any]:
            known: dict[Any, list[Any]] = {key: [] for key in missing}
            for key, item in await computed.function(self.ctx, frame.view, missing, **arguments):
                known[key].append(item)
            return known

        batch = self._batch((computed, frame.view, frozen(arguments)), frame.view, read)
        await batch.load(keys, self._paths > 1)
        if computed.many:
            return [batch.known[key] for key in keys]
        return [next(iter(batch.known[key]), None) for key in keys]

    def _batch(self, key: Any, view: View, read: Callable[[Batch, list[Any]], Awaitable[dict[Any, Any]]]) -> Batch:
        if key not in self._batches:
            self._batches[key] = Batch(read, view)
        return self._batches[key]

    def _rows(
        self, link: Link, view: View, columns: tuple[str, ...], window: Window, arguments: dict[str, Any], joins: Joins = ()
    ) -> Batch:
        """The batch of rows of a link by key. Where they are few, what `joins` lead to comes with them, and needs not be read any more."""
        size = window.size if link.shape == "page" else 1

        async def read(batch: Batch, missing: list[Any]) -> dict[Any, Any]:
            along = joins if len(missing) * size <= MOST_JOINED else ()
            found = await link.rows(self.ctx, view, missing, columns, window, arguments, along)
            for (joined, wanted), rows in zip(along, found.joined, strict=True):
                self._rows(joined, found.view, wanted, Window(), {}).know(rows)
            return batch.placed(missing, found)

        return self._batch((link, view, columns, window, frozen(arguments)), view, read)

    async def _follow(self, frame: Frame, branch: Branch) -> None:
        """A link: rows by the key of each object."""
        link = branch.link
        assert link is not None
        arguments = branch.arguments(self.variables)
        window = window_of(arguments) if link.shape == "page" else Window()
        followed = await self._followed(frame, branch, link, window, arguments)
        if link.shape == "page":
            await self._page(followed, window, arguments)
            return
        one, cls = link.shape == "one", link.types[0]
        below = followed.records(branch.below[self.types[cls]], cls, lambda n: [] if one else [n])
        await self._select(below)
        made, name = below.made, branch.key
        for i, (above, key) in enumerate(zip(frame.made, followed.keys, strict=True)):
            start, end = followed.bounds.get(key, (0, 0))
            if one and start < end:
                above[name] = made[start]
            elif key is not None and not one:
                above[name] = made[start:end]
            elif branch.required:
                self.fail(frame, i, branch, [], None)

    async def _followed(self, frame: Frame, branch: Branch, link: Link, window: Window, arguments: dict[str, Any]) -> Followed:
        keys: Sequence[Any] = frame.column(link.on) if link.on is not None else [ROOT] * len(frame)
        batch = self._rows(link, frame.view, branch.columns, window, arguments, branch.joins)
        asked = await batch.load(keys, self._paths > 1)
        one = link.shape == "one"
        if len(asked) == len(batch.known) and not (one and _several(batch.known)):  # all that the batch has
            return Followed(frame, branch, link, batch, keys, batch.rows, batch.known)
        rows: list[Any] = []
        bounds: dict[Any, tuple[int, int]] = {}
        for key in asked:
            start, end = batch.known[key]
            found = batch.rows[start : start + 1 if one and start < end else end]
            bounds[key] = len(rows), len(rows) + len(found)
            rows += found
        return Followed(frame, branch, link, batch, keys, rows, bounds)

    async def _page(self, followed: Followed, window: Window, arguments: dict[str, Any]) -> None:
        """A page of a link: its parts, of the same rows."""
        frame, branch, batch = followed.frame, followed.branch, followed.batch
        cls, edge_cls = followed.link.types
        frames: dict[str, Records] = {}

        async def select(part: Part) -> None:
            assert part.below is not None
            whose = cls if part.name == "nodes" else edge_cls or cls
            frames[part.key] = followed.records(part.below, whose, lambda n: [part.key, n])
            await self._select(frames[part.key])

        counted = any(part.name.startswith("totalCount") for part in branch.parts)
        work: list[Any] = [select(part) for part in branch.parts if part.below is not None]
        if counted:
            work.append(self._counts(followed, arguments))
        results = await self._together(work)
        counts: Any = results[-1] if counted else None
        for i, key in enumerate(followed.keys):
            if key is None:
                if branch.required:
                    self.fail(frame, i, branch, [], None)
                continue
            start, end = followed.bounds[key]
            page: dict[str, Any] = {}
            for part in branch.parts:
                if part.below is not None:
                    page[part.key] = frames[part.key].made[start:end]
                elif part.name == "pageInfo":
                    page[part.key] = {each: _page_info(followed.link, batch, key, window, name) for each, name in part.fields}
                elif part.name == "__typename":
                    page[part.key] = part.parent
                elif isinstance(counts, Exception):
                    page[part.key] = None
                    self.fail(frame, i, branch, [part.key], counts)
                else:
                    count = counts[key]
                    page[part.key] = min(count, COUNT_LIMIT) if part.name == "totalCount" else count <= COUNT_LIMIT
            frame.made[i][branch.key] = page

    async def _counts(self, followed: Followed, arguments: dict[str, Any]) -> dict[Any, int] | Exception:
        """How many rows there are by key, or what went wrong: the page is there all the same."""
        link, view = followed.link, followed.batch.view

        async def read(_: Batch, missing: list[Any]) -> dict[Any, Any]:
            found = await link.counts(self.ctx, view, missing, arguments)
            return {key: found.get(key, 0) for key in missing}

        totals = self._batch((link, view, "count", frozen(arguments)), view, read)
        try:
            await totals.load(followed.bounds, self._paths > 1)
        except Exception as error:
            return error
        return totals.known

    async def _same_rows(self, frame: Frame, branch: Branch) -> None:
        """The node of an edge: of the same row."""
        assert isinstance(frame, Records)
        assert frame.link is not None
        cls = frame.link.types[0]
        below = Records(
            branch.below[self.types[cls]], frame.view, frame, branch, lambda place: [(place, [])], rows=frame.rows, link=frame.link,
            columns=frame.columns, cls=cls,
        )  # fmt: skip
        await self._select(below)
        for made, node in zip(frame.made, below.made, strict=True):
            made[branch.key] = node

    # ---- values that are objects

    async def _hang(self, frame: Frame, branch: Branch, values: Sequence[Any]) -> None:
        """Completes a value for each object of a frame: leaves, objects, refs of rows, or lists of these."""
        if branch.leaf is not None:
            for made, answer in zip(frame.made, self._completed(frame, branch, values), strict=True):
                made[branch.key] = answer
            return
        items: list[Any] = []
        where: list[tuple[int, list[Any]]] = []
        lists: list[Sequence[Any] | None] = []
        for place, value in enumerate(values):
            if branch.listed:
                found = self._items_of(frame, place, branch, value)
                lists.append(found)
                for index, item in enumerate(found or ()):
                    items.append(item)
                    where.append((place, [index]))
            else:
                items.append(value)
                where.append((place, []))
        answers = await self._objects(frame, branch, items, where)
        if not branch.listed:
            for place, answer in enumerate(answers):
                frame.made[place][branch.key] = answer
                if answer is None and (branch.required or isinstance(items[place], Exception)):
                    self.fail(frame, place, branch, [], items[place] if isinstance(items[place], Exception) else None)
            return
        begin = 0
        drop = branch.computed is not None and not branch.computed.gaps  # what is not visible
        for place, found in enumerate(lists):
            if found is None:
                continue
            kept: list[Any] = []
            for n in range(begin, begin + len(found)):
                if drop and answers[n] is None and not isinstance(items[n], Exception):
                    continue
                where[n][1][0] = len(kept)
                kept.append(answers[n])
                if answers[n] is None and (is_non_null_type(branch.item) or isinstance(items[n], Exception)):
                    self.fail(frame, place, branch, [len(kept) - 1], items[n] if isinstance(items[n], Exception) else None)
            begin += len(found)
            frame.made[place][branch.key] = kept

    async def _objects(self, frame: Frame, branch: Branch, items: Sequence[Any], where: Place) -> list[dict[str, Any] | None]:
        """The dicts of objects and of what refs name, all of a type at once; None for what is none, or not visible."""
        answers: list[dict[str, Any] | None] = [None] * len(items)
        groups: dict[tuple[str, View, bool], list[int]] = {}
        single = next(iter(branch.below)) if len(branch.below) == 1 else None
        for n, item in enumerate(items):
            if item is None or isinstance(item, Exception):
                continue
            named = isinstance(item, Ref)
            kind = item.type if named else single or self.types[type(item)]
            groups.setdefault((kind, frame.view if named else getattr(item, "_view", frame.view), named), []).append(n)

        async def objects(kind: str, view: View, members: list[int]) -> None:
            below = Objects(
                branch.below[kind], view, frame, branch, lambda place: [where[members[place]]], items=[items[n] for n in members]
            )
            await self._select(below)
            for n, made in zip(members, below.made, strict=True):
                answers[n] = made

        async def rows(kind: str, view: View, members: list[int]) -> None:
            link = entities[kind].identity
            columns = branch.below[kind].identity
            batch = self._rows(link, view, columns, Window(), {})
            keys = await batch.load((items[n].key for n in members), self._paths > 1)
            starts = {key: start for key in keys for start, end in (batch.known[key],) if start < end}
            found = list(starts)
            below = Records(
                branch.below[kind], batch.view, frame, branch, lambda place: [where[n] for n in members if items[n].key == found[place]],
                rows=[batch.rows[start] for start in starts.values()], link=link, columns=columns, cls=entities[kind].cls,
            )  # fmt: skip
            await self._select(below)
            made = dict(zip(found, below.made, strict=True))
            for n in members:
                answers[n] = made.get(items[n].key)

        work = [(rows if named else objects)(kind, view, members) for (kind, view, named), members in groups.items()]
        await self._together(work)
        return answers


def _several(bounds: Mapping[Any, tuple[int, int]]) -> bool:
    """Whether there are several rows of one key."""
    return any(end - start > 1 for start, end in bounds.values())


def _page_info(link: Link, batch: Batch, key: Any, window: Window, name: str) -> Any:
    """A field of PageInfo, of the page of one key."""
    if name in ("startCursor", "endCursor"):
        start, end = batch.known[key]
        return cursor_of(link, batch.view, batch.rows[start if name == "startCursor" else end - 1]) if start < end else None
    if name == "__typename":
        return "PageInfo"
    ahead = (name == "hasNextPage") != window.backward  # the way that the page was read
    return key in batch.more if ahead else window.cursor is not None


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
