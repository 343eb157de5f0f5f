"""What a relation of the graph is, as data: any executor can run it.

A `Link` reads one level for all parents in one statement. `names` and `entities` know every type, `links` every relation.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import Any, Literal, TypeVar

import asyncpg

from store.errors import StoreError
from store.read import EVERYTHING, HIGHEST, LOWEST, Filter, Join, Mode, Read, Statement, compose

from . import names
from .context import Access, Context, View
from .cursor import decode_cursor, not_ours
from .page import Window

MOST_COMPOSED = 256
ROOT = 0
"""The parent key of what has no parent."""

PEOPLE = ("sample_id", "sample1_id", "sample2_id", "other_id")
"""Columns that hold the number of a sample."""

N = TypeVar("N")


@dataclass(frozen=True)
class Ask:
    """What a link's function asks of its Read: conditions, other values to bind, and another way of addressing rows than declared."""

    where: Filter = EVERYTHING
    values: dict[str, Any] = field(default_factory=dict)
    by: str | None = None


@dataclass(frozen=True)
class Rows:
    """One level read: the rows of all parents, where those of each begin and end, the view they were read in, of which parents more rows follow, and by
    keys the rows that were joined to them, None where there is none."""

    rows: Sequence[Any]
    bounds: dict[Any, tuple[int, int]]
    view: View
    more: set[Any]
    joined: tuple[dict[Any, Any], ...] = ()

    def of(self, parent: Any) -> Sequence[Any]:
        """The rows of one parent."""
        start, end = self.bounds.get(parent, (0, 0))
        return self.rows[start:end]


Shape = Literal["one", "many", "page"]


@dataclass(eq=False)
class Link:
    """A relation: from the parent's column `on` (None at the root) to rows of `read`, addressed `by`."""

    name: str
    read: Read
    by: str
    on: str | None
    order: str
    ask: Callable[..., Any]
    arguments: tuple[str, ...]
    returns: str
    access: Access = "open"
    joined: bool = False
    """Whether its row is read with the parent's, where these are few."""

    @functools.cached_property
    def shape(self) -> Shape:
        """one, many or page: from the return annotation."""
        return "page" if "Connection[" in self.returns else "many" if self.returns.startswith("list[") else "one"

    @functools.cached_property
    def looks_up(self) -> bool:
        """True where the function reads something itself, to find out what to ask: it is async and gets the view to read in."""
        return inspect.iscoroutinefunction(self.ask)

    @functools.cached_property
    def people(self) -> tuple[str, ...]:
        """The columns that say of whom a row of individual-level data is: they are read with it always, so that it can be logged."""
        return tuple(name for name in self.read.columns if name in PEOPLE) if self.access == "individual" else ()

    @functools.cached_property
    def types(self) -> tuple[type, type | None]:
        """The type of the rows, and that of their edges where these have fields of their own."""
        inner = self.returns.split("[", 1)[1][:-1] if "[" in self.returns else self.returns.removesuffix(" | None")
        parts = [getattr(names, part.strip()) for part in inner.split(",")]
        return parts[0], parts[1] if len(parts) > 1 else None

    async def rows(
        self, ctx: Context, view: View, keys: Sequence[Any], columns: Iterable[str], window: Window, arguments: dict[str, Any],
        joins: Sequence[tuple[Link, tuple[str, ...]]] = (),
    ) -> Rows:  # fmt: skip
        """Reads one level: rows (parent key, *order columns, *columns in the Read's order) for all parents, one statement. `joins` are links of these
        rows, with the columns that are wanted of them, whose rows come along."""
        order, cursor = self.order, None
        if window.cursor is not None:
            release, cursor = decode_cursor(window.cursor, self.name, order, self.read.orders[order])
            view = await ctx.view_of(release)
        ctx.read[view.release_id] = view
        ask = await self._asked(ctx, view, arguments)
        by = ask.by or self.by
        values: dict[str, Any] = {"lo": LOWEST, "hi": HIGHEST, **ask.values, "keys": list(keys), "limit": window.size + 1}
        after = False
        if cursor is not None:
            if self.read.by[by].range:  # in genome order the cursor takes the place of the range's bound
                if type(cursor[0]) is not int:
                    raise not_ours(str(window.cursor))
                if window.backward:
                    values["hi"] = min(values["hi"], cursor[0])
                else:
                    values["lo"] = max(values["lo"], cursor[0] + 1)
            else:
                after = True
                values |= {f"c{i}": value for i, value in enumerate(cursor)}
        mode: Mode = "page" if self.shape == "page" else "all"
        statement, filter_values = self._compose(ask, by, order, columns, mode, after, window.backward, tuple(joins))
        try:
            fetched = await ctx.fetch(statement, values | filter_values | view.bound, self.access)
        except StoreError as error:
            if cursor is not None and isinstance(error.__cause__, asyncpg.DataError):  # values that a column cannot have
                raise not_ours(str(window.cursor)) from error
            raise
        counts = Counter(map(itemgetter(0), fetched))
        more: set[Any] = set()
        if self.shape == "page":
            more = {key for key, count in counts.items() if count > window.size}
            if more or window.backward:
                fetched, counts = _cut(fetched, counts, window)
        if ctx.people is not None and self.access == "individual":
            self._told(ctx.people, fetched, columns, counts)
        bounds = list(accumulate(counts.values(), initial=0))
        joined = tuple(self._apart(fetched, columns, joins)) if joins else ()
        return Rows(fetched, dict(zip(counts, pairwise(bounds), strict=True)), view, more, joined)

    def _told(self, people: set[int], rows: Sequence[Any], columns: Iterable[str], keys: Iterable[Any]) -> None:
        """Adds those of whom the rows tell: whom they name, and the parents that they are of, where these are people."""
        names = tuple(columns)
        for name in self.people:
            people.update(map(itemgetter(self.width + names.index(name)), rows))
        if self.on in PEOPLE:
            people.update(keys)

    def _apart(
        self, rows: Sequence[Any], columns: Iterable[str], joins: Sequence[tuple[Link, tuple[str, ...]]]
    ) -> Iterator[dict[Any, Any]]:
        """What was joined to rows, by its keys."""
        names = tuple(columns)
        begin = self.width + len(names)
        for link, wanted in joins:
            assert link.on is not None
            end, on = begin + link.width + len(wanted), self.width + names.index(link.on)
            found = {row[on]: row[begin:end] if row[begin] is not None else None for row in rows}
            found.pop(None, None)
            yield found
            begin = end

    async def counts(self, ctx: Context, view: View, keys: Sequence[Any], arguments: dict[str, Any]) -> dict[Any, int]:
        """The number of rows per parent, up to COUNT_LIMIT + 1, in one statement."""
        ask = await self._asked(ctx, view, arguments)
        statement, filter_values = self._compose(ask, ask.by or self.by, self.order, (), "count", False, False)
        values = {"lo": LOWEST, "hi": HIGHEST, **ask.values, "keys": list(keys), **view.bound}
        return {row[0]: row[1] for row in await ctx.fetch(statement, values | filter_values, self.access)}

    async def _asked(self, ctx: Context, view: View, arguments: dict[str, Any]) -> Ask:
        if not self.looks_up:
            return self.ask(ctx, **arguments)
        key = ("asked", self, view, frozen(arguments))
        if key not in ctx.loaders:  # a page and its count ask the same
            ctx.loaders[key] = asyncio.ensure_future(self.ask(ctx, view, **arguments))
        return await ctx.loaders[key]

    def _compose(
        self, ask: Ask, by: str, order: str, columns: Iterable[str], mode: Mode, after: bool, backward: bool,
        joins: tuple[tuple[Link, tuple[str, ...]], ...] = (),
    ) -> Any:  # fmt: skip
        shape = (by, order, tuple(columns), mode, after, backward, joins) if ask.where == EVERYTHING else None
        if shape is not None and shape in self._composed:
            return self._composed[shape], {}
        per_parent = self.read.by[by].anchor is not None
        made = compose(
            self.read, by, columns=columns, order=order, filter=ask.where, mode=mode, after=after, backward=backward, per_parent=per_parent,
            joins=tuple(Join(link.read, link.by, link.order, wanted, link.on or "") for link, wanted in joins),
        )  # fmt: skip
        if shape is not None:
            if len(self._composed) == MOST_COMPOSED:
                self._composed.clear()
            self._composed[shape] = made[0]
        return made

    @functools.cached_property
    def _composed(self) -> dict[Any, Statement]:
        """Statements without conditions by their shapes: they are asked most, and a look is less than half of what composing takes."""
        return {}

    @functools.cached_property
    def width(self) -> int:
        """How many columns of a row come before the asked ones: the parent key and the order columns."""
        return 1 + len(self.read.orders[self.order].columns)


@dataclass(frozen=True, eq=False)
class Computed:
    """A relation that is not one read: `function(ctx, view, keys, **arguments)` answers with [(key, item)] for all parents, by their column `on` (None at the
    root). `many` items or at most one for each; with `gaps`, None stands for what is not visible, which is left out otherwise."""

    function: Callable[..., Any]
    on: str | None
    many: bool
    gaps: bool


@dataclass(frozen=True)
class Ref:
    """A row named by its type and key, to be read by the type's identity link."""

    type: str
    key: Any


@dataclass(frozen=True)
class Entity:
    """A type of the graph: its class, the link that reads it by its own key, and how an id's text becomes that key."""

    cls: type
    identity: Link
    key_of: Callable[[str], Any] | None


entities: dict[str, Entity] = {}
links: list[Link] = []
"""Every declared relation."""


def _cut(rows: Sequence[Any], counts: Mapping[Any, int], window: Window) -> tuple[list[Any], Counter[Any]]:
    """Pages of rows that were read with one more for each parent, and turned round where they were read backwards."""
    kept: list[Any] = []
    start = 0
    for count in counts.values():
        page = rows[start : start + min(count, window.size)]
        kept += reversed(page) if window.backward else page
        start += count
    return kept, Counter({key: min(count, window.size) for key, count in counts.items()})


def define(cls: type[N]) -> type[N]:
    """Makes a type known to the annotations of links."""
    setattr(names, cls.__name__, cls)
    return cls


def frozen(arguments: dict[str, Any]) -> str:
    """Arguments as a part of a key."""
    return repr(sorted(arguments.items())) if arguments else ""
