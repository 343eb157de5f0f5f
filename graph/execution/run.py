"""Runs: a plan carried out breadth-first, one call per branch for all rows of its level.

A branch takes keys from its frame, reads (a `Batch` per link, arguments and columns: whoever asks in the same moment shares one statement), makes a
frame of what came, and hangs its dicts into those above. What goes wrong is written down as it comes (nulls.py).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from graphql import GraphQLError, is_non_null_type
from graphql.execution.values import VariableValues

from graph.context import Context, View
from graph.page import Window, window_of
from graph.relation import ROOT, Link, Ref, Rows, entities, frozen
from store.read import COUNT_LIMIT

from .frames import Frame, Objects, Place, Records, cursor_of
from .nulls import Failure, settled
from .plan import Branch, Column, Part, Selection, Slot, identity_columns


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


class Run:
    """One execution of a plan."""

    def __init__(self, ctx: Context, variables: VariableValues, types: dict[type, str]) -> None:
        self.ctx, self.variables, self.types = ctx, variables, types
        self.failures: list[Failure] = []
        self._batches: dict[Any, Batch] = {}

    async def answer(self, plan: Selection) -> tuple[dict[str, Any] | None, list[GraphQLError]]:
        """The data and the errors."""
        root = Objects(plan, self.ctx.view, items=[self])
        await self._select(root)
        return settled(root, self.failures)

    # ---- one level

    async def _select(self, frame: Frame) -> None:
        selection = frame.selection
        values = [self._completed(frame, column, self._read(frame, column)) for column in selection.columns]
        frame.made = selection.build(len(frame), values)
        if not len(frame) or not selection.branches:
            return
        if len(selection.branches) == 1:
            await self._go_on(frame, selection.branches[0])
        else:
            await asyncio.gather(*(self._go_on(frame, branch) for branch in selection.branches))

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
                found = await asyncio.gather(*(_awaited(value) for value in found), return_exceptions=True)
            return found
        computed = branch.computed
        assert computed is not None
        keys = list(frame.column(computed.on)) if computed.on is not None else [ROOT] * len(frame)

        async def read(missing: list[Any]) -> dict[Any, Any]:
            known: dict[Any, list[Any]] = {key: [] for key in missing}
            for key, item in await computed.function(self.ctx, frame.view, missing, **arguments):
                known[key].append(item)
            return known

        batch = self._batch((computed, frame.view, frozen(arguments)), frame.view, read)
        await batch.load(keys)
        if computed.many:
            return [batch.known[key] for key in keys]
        return [next(iter(batch.known[key]), None) for key in keys]

    def _batch(self, key: Any, view: View, read: Callable[[list[Any]], Awaitable[dict[Any, Any]]]) -> Batch:
        if key not in self._batches:
            self._batches[key] = Batch(read, view)
        return self._batches[key]

    def _rows(self, link: Link, view: View, columns: tuple[str, ...], window: Window, arguments: dict[str, Any]) -> Batch:
        """The batch of rows of a link by key."""

        async def read(missing: list[Any]) -> dict[Any, Any]:
            found: Rows = await link.rows(self.ctx, view, missing, columns, window, arguments)
            batch.view, batch.more = found.view, batch.more | found.more
            return {key: found.by_parent.get(key, ()) for key in missing}

        batch = self._batch((link, view, columns, window, frozen(arguments)), view, read)
        return batch

    async def _follow(self, frame: Frame, branch: Branch) -> None:
        """A link: rows by the key of each object."""
        link = branch.link
        assert link is not None
        arguments = branch.arguments(self.variables)
        keys: Sequence[Any] = frame.column(link.on) if link.on is not None else [ROOT] * len(frame)
        window = window_of(arguments) if link.shape == "page" else Window()
        batch = self._rows(link, frame.view, branch.columns, window, arguments)
        await batch.load(dict.fromkeys(key for key in keys if key is not None))
        rows: list[Any] = []
        begin: dict[Any, tuple[int, int]] = {}
        for key in dict.fromkeys(keys):
            if key is not None:
                found = batch.known[key]
                if link.shape == "one":
                    found = found[:1]
                begin[key] = len(rows), len(found)
                rows += found

        def owners(place: int) -> list[tuple[int, int]]:
            """Objects of the frame above that a row belongs to, and its index in their list."""
            (key,) = (key for key, (start, count) in begin.items() if start <= place < start + count)
            return [(i, place - begin[key][0]) for i, own in enumerate(keys) if own == key]

        def records(selection: Selection, locate: Callable[[int], Place], up: Frame, slot: Slot, cls: type) -> Records:
            return Records(selection, batch.view, up, slot, locate, rows=rows, link=link, columns=branch.columns, cls=cls)

        cls, _ = link.types
        made = frame.made
        if link.shape == "page":
            await self._page(frame, branch, batch, window, keys, begin, owners, records, arguments)
            return
        one = link.shape == "one"
        below = records(
            branch.below[self.types[cls]], lambda place: [(i, [] if one else [n]) for i, n in owners(place)], frame, branch, cls
        )
        await self._select(below)
        for i, key in enumerate(keys):
            start, count = begin.get(key, (0, 0))
            if one and count:
                made[i][branch.key] = below.made[start]
            elif key is not None and not one:
                made[i][branch.key] = below.made[start : start + count]
            elif branch.required:
                self.fail(frame, i, branch, [], None)

    async def _page(
        self, frame: Frame, branch: Branch, batch: Batch, window: Window, keys: Sequence[Any], begin: dict[Any, tuple[int, int]],
        owners: Callable[[int], list[tuple[int, int]]], records: Callable[..., Records], arguments: dict[str, Any],
    ) -> None:  # fmt: skip
        """A page of a link: its parts, of the same rows."""
        link = branch.link
        assert link is not None
        cls, edge_cls = link.types
        frames: dict[str, Records] = {}

        async def select(part: Part) -> None:
            assert part.below is not None
            whose = cls if part.name == "nodes" else edge_cls or cls
            frames[part.key] = records(part.below, lambda place: [(i, [part.key, n]) for i, n in owners(place)], frame, branch, whose)
            await self._select(frames[part.key])

        counted = any(part.name.startswith("totalCount") for part in branch.parts)
        counts: dict[Any, int] = {}
        failed: Exception | None = None

        async def count() -> None:
            nonlocal failed
            try:
                await read_counts()
            except Exception as error:
                failed = error

        async def read_counts() -> None:
            async def read(missing: list[Any]) -> dict[Any, Any]:
                found = await link.counts(self.ctx, batch.view, missing, arguments)
                return {key: found.get(key, 0) for key in missing}

            totals = self._batch((link, batch.view, "count", frozen(arguments)), batch.view, read)
            await totals.load(dict.fromkeys(key for key in keys if key is not None))
            counts.update(totals.known)

        work = [select(part) for part in branch.parts if part.below is not None] + ([count()] if counted else [])
        await (work[0] if len(work) == 1 else asyncio.gather(*work))
        further = window.cursor is not None
        for i, key in enumerate(keys):
            if key is None:
                if branch.required:
                    self.fail(frame, i, branch, [], None)
                continue
            start, size = begin[key]
            found = batch.known[key]
            page: dict[str, Any] = {}
            for part in branch.parts:
                if part.below is not None:
                    page[part.key] = frames[part.key].made[start : start + size]
                elif part.name == "pageInfo":
                    more = key in batch.more
                    page[part.key] = {
                        each: self._page_info(link, batch.view, found, name, window.backward, more, further) for each, name in part.fields
                    }
                elif part.name == "totalCount":
                    page[part.key] = None if failed else min(counts[key], COUNT_LIMIT)
                elif part.name == "totalCountIsExact":
                    page[part.key] = None if failed else counts[key] <= COUNT_LIMIT
                else:
                    page[part.key] = part.parent
                if failed and part.name.startswith("totalCount"):
                    self.fail(frame, i, branch, [part.key], failed)
            frame.made[i][branch.key] = page

    def _page_info(self, link: Link, view: View, rows: Sequence[Any], name: str, backward: bool, more: bool, further: bool) -> Any:
        if name in ("startCursor", "endCursor"):
            return cursor_of(link, view, rows[0 if name == "startCursor" else -1]) if rows else None
        if name == "hasNextPage":
            return further if backward else more
        return (more if backward else further) if name == "hasPreviousPage" else "PageInfo"

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
            columns = identity_columns(branch.below[kind], kind)
            keys = dict.fromkeys(items[n].key for n in members)
            batch = self._rows(link, view, columns, Window(), {})
            await batch.load(keys)
            found = [key for key in keys if batch.known[key]]
            below = Records(
                branch.below[kind], batch.view, frame, branch, lambda place: [where[n] for n in members if items[n].key == found[place]],
                rows=[batch.known[key][0] for key in found], link=link, columns=columns, cls=entities[kind].cls,
            )  # fmt: skip
            await self._select(below)
            made = dict(zip(found, below.made, strict=True))
            for n in members:
                answers[n] = made.get(items[n].key)

        work = [(rows if named else objects)(kind, view, members) for (kind, view, named), members in groups.items()]
        if len(work) == 1:
            await work[0]
        elif work:
            await asyncio.gather(*work)
        return answers


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
