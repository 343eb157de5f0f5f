"""How one table is read, as data, and the composer that turns it into SQL.

Every entity module declares `Read` values: where rows come from, which are visible, what columns they have, by what
they can be addressed, how they can be ordered and filtered. `compose` makes one statement per shape and caches it.
Values never enter the text: they are bound by name, so a shape has one prepared statement whatever is asked.

Rows come back as (parent key, *order columns, *columns), those of a parent together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Any, Literal

COUNT_LIMIT = 10_000
"""`count` mode counts no further than one past this."""

LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
"""Bounds of `:lo` and `:hi` that leave nothing out."""


@dataclass(frozen=True)
class By:
    """One way to address rows.

    A root selection has `where` or `range`. A selection for many parents has `parent` too, the expression that says
    which parent a row belongs to, with `:keys` in `where`; when each parent gets a page of its own, the statement is a
    LATERAL over `anchor` (a FROM item with the alias k and a column key) with the condition `each`. `range` is a pair
    of bounds on a Read's `genome` column, written with `:lo` and `:hi` so that a cursor can narrow them. Where a parent
    has several ranges, `spans` is a FROM item that gives them, none overlapping another: each is read as far as a page goes; one after the other where
    they come in order ({direction}). Where they are too many to be found for every page, or a page is sooner full than all of a parent is looked at,
    `windows` is a FROM item that gives stretches of what is looked at, in order ({direction}), and `spans` those of one.
    """

    where: str = "true"
    parent: str = "0"
    anchor: str | None = None
    each: str = "true"
    range: tuple[str, str] | None = None
    spans: str | None = None
    windows: str | None = None


def children(column: str, anchor: str) -> By:
    """Rows whose `column` is the parent's key; `anchor` is the parents' table and its key column, as `table.column`."""
    table, _, key = anchor.partition(".")
    return By(
        where=f"{column} = ANY(:keys)",
        parent=column,
        anchor=f"(SELECT DISTINCT {key} AS key FROM {table} WHERE {key} = ANY(:keys)) k",
        each=f"{column} = k.key",
    )


@dataclass(frozen=True)
class Order:
    """A total order: NOT NULL expressions, all in one direction, the last one unique within a parent."""

    columns: tuple[str, ...]
    descending: bool = False


@dataclass(frozen=True, eq=False)
class Read:
    """How one table is read. Field names are the API's, in snake case; expressions use the alias t.

    `drivers` has, by names of conditions in `where`, SELECTs of the keys that an index finds for them within `{lo}` and `{hi}`, each once and in
    order ({direction}); `driven` is the source of rows that `{keys}` of a driver lead to.
    """

    name: str
    source: str
    visible: str
    columns: Mapping[str, str]
    by: Mapping[str, By]
    orders: Mapping[str, Order]
    where: Mapping[str, str] = field(default_factory=dict)
    drivers: Mapping[str, str] = field(default_factory=dict)
    driven: str = ""
    genome: str = ""


@dataclass(frozen=True)
class Join:
    """Rows of another table, at most one for each row of a page: the first that a Read has `by` the row's column `on`."""

    read: Read
    by: str
    order: str
    columns: tuple[str, ...]
    on: str


LARGEST_REAL = 3.4028234663852886e38
"""The largest number that a column of type real can be compared with."""

SHORTEST = "({})::text::float8"
"""SQL of a real as the number with the fewest digits that is it: 0.1, where a double of the same value is 0.10000000149011612.

A column that is nothing else is so written after the pages of parents are cut: it takes longer than to sort them."""

_BEFORE, _AFTER = SHORTEST.split("{}")

Mode = Literal["all", "page", "count"]
Filter = tuple[str, Any]
"""('and' | 'or', (filters)), ('not', filter), (name in Read.where, {parameter: value}), or ('with', (name, {parameter: value}, filter))
for a condition whose text has the place {filter} for another one."""

EVERYTHING: Filter = ("and", ())


def where(**conditions: Any) -> Filter:
    """The conjunction of conditions that are not None; a value that is no mapping is bound as `:value`."""
    return ("and", tuple((k, v if isinstance(v, Mapping) else {"value": v}) for k, v in conditions.items() if v is not None))


def both(*filters: Filter) -> Filter:
    """All of the filters; conjunctions among them are opened, so that drivers are found at the top."""
    parts: list[Filter] = []
    for f in filters:
        parts.extend(f[1] if f[0] == "and" else (f,))
    return ("and", tuple(parts))


def leaves(f: Filter) -> Iterator[str]:
    """The names of all conditions in a filter."""
    if f[0] in ("and", "or"):
        for part in f[1]:
            yield from leaves(part)
    elif f[0] == "not":
        yield from leaves(f[1])
    elif f[0] == "with":
        yield f[1][0]
        yield from leaves(f[1][2])
    else:
        yield f[0]


def drivers_of(read: Read, f: Filter) -> tuple[str, ...]:
    """The conditions of a filter that indexes answer in genome order, of which one holds wherever the filter does; () where there are none."""
    return tuple(name for name, _, _ in _drivers(read, _shape(f)[0], count()))


def _drivers(read: Read, shape: Any, leaf: Iterator[int]) -> list[tuple[str, Any, int]]:
    """The same of a filter's shape, with their parameters and the numbers of their leaves: of a conjunction those of its most telling part, of a
    disjunction those of all parts, where each has some."""
    kind, rest = shape
    if kind in ("and", "or"):
        found = [_drivers(read, part, leaf) for part in rest]
        if kind == "or":
            return [driver for part in found for driver in part] if all(found) else []
        return min(filter(None, found), key=lambda part: (len(part), list(read.drivers).index(part[0][0])), default=[])
    if kind == "not":
        _drivers(read, rest, leaf)
        return []
    number = next(leaf)
    if kind == "with":
        _drivers(read, rest[2], leaf)
        return []
    return [(kind, rest, number)] if kind in read.drivers else []


@dataclass(frozen=True)
class Statement:
    """SQL with numbered parameters, and the names that are bound to them in order."""

    text: str
    slots: tuple[str, ...]

    def bind(self, values: Mapping[str, Any]) -> list[Any]:
        """The arguments in order."""
        return [values[slot] for slot in self.slots]


def compose(
    read: Read,
    by: str,
    *,
    columns: Iterable[str] = (),
    order: str,
    filter: Filter = EVERYTHING,
    mode: Mode = "page",
    after: bool = False,
    backward: bool = False,
    per_parent: bool = False,
    joins: tuple[Join, ...] = (),
) -> tuple[Statement, dict[str, Any]]:
    """The statement for a shape, and the values of its filter.

    Modes: `all` rows, a `page` of at most `:limit` rows, or their `count` (up to COUNT_LIMIT + 1). With `per_parent`
    limit and count hold for each parent. `after` compares with the cursor values `:c0`, `:c1` ...; `backward` turns the
    order round. Each row is followed by what is joined to it: (key, *order columns, *columns), nulls where there is none.
    Other values to bind: `:loads`, `:keys`, and what the Read's expressions name.
    """
    shape, values = _shape(filter)
    wanted = set(columns)
    names = tuple(name for name in read.columns if name in wanted)
    if unknown := wanted.difference(read.columns):
        raise KeyError(f"{read.name} has no column {', '.join(sorted(unknown))}")
    statement = _statement(read, by, names, order, shape, mode, after, backward, per_parent, joins)
    return statement, {f"f{i}_{name}": value for i, leaf in enumerate(values) for name, value in leaf.items()}


def ordered_columns(read: Read, columns: Iterable[str]) -> tuple[str, ...]:
    """The columns in the order in which a statement returns them."""
    wanted = set(columns)
    return tuple(name for name in read.columns if name in wanted)


def _shape(f: Filter) -> tuple[Any, list[Mapping[str, Any]]]:
    """A filter without its values, conjuncts and disjuncts in one order, and the values in the order of the leaves."""
    if f[0] == "not":
        inner, values = _shape(f[1])
        return ("not", inner), values
    if f[0] in ("and", "or"):
        parts = sorted(map(_shape, f[1]), key=lambda part: repr(part[0]))
        return (f[0], tuple(shape for shape, _ in parts)), [leaf for _, values in parts for leaf in values]
    if f[0] == "with":
        name, parameters, inner = f[1]
        shape, values = _shape(inner)
        return ("with", (name, tuple(sorted(parameters)), shape)), [parameters, *values]
    return (f[0], tuple(sorted(f[1]))), [f[1]]


def _condition(shape: Any, read: Read, leaf: Iterator[int], driven: int | None = None) -> str:
    """The SQL of a filter shape; true stands for the leaf that a driver answers."""
    kind, rest = shape
    if kind == "not":
        return f"NOT {_condition(rest, read, leaf)}"
    if kind in ("and", "or"):
        return "(" + (f" {kind.upper()} ".join(_condition(part, read, leaf, driven) for part in rest) or str(kind == "and").lower()) + ")"
    number = next(leaf)
    if kind == "with":
        name, parameters, inner = rest
        text = _numbered(read.where[name], parameters, number)
        return f"({text.replace('{filter}', _condition(inner, read, leaf))})"
    return "true" if number == driven else f"({_numbered(read.where[kind], rest, number)})"


def _numbered(text: str, parameters: Iterable[str], number: int) -> str:
    for name in parameters:
        text = re.sub(rf"(?<!:):{name}\b", f":f{number}_{name}", text)
    return text


def _joined(joins: Iterable[Join], before: int, columns: tuple[str, ...]) -> tuple[str, str]:
    """SQL of what is joined to the rows p of a page, whose columns come after so many others: the outputs, and what stands after FROM."""
    outputs, sources = "", ""
    for number, join in enumerate(joins):
        read, by, order = join.read, join.read.by[join.by], join.read.orders[join.order]
        key = f"ARRAY[p.o{before + columns.index(join.on)}]"
        shown = (by.parent, *order.columns, *(read.columns[name] for name in join.columns))
        listed = ", ".join(f"{expression} AS o{i}" for i, expression in enumerate(shown))
        terms = " AND ".join(term for term in (by.where, read.visible) if term != "true")
        sort = ", ".join(column + " DESC" * order.descending for column in order.columns)
        row = re.sub(r"(?<!:):keys\b", key, f"SELECT {listed} FROM {read.source} WHERE {terms} ORDER BY {sort} LIMIT 1")
        outputs += f", j{number}.*"
        sources += f" LEFT JOIN LATERAL ({row}) j{number} ON true"
    return outputs, sources


@lru_cache(4096)
def _statement(
    read: Read,
    by_name: str,
    columns: tuple[str, ...],
    order_name: str,
    shape: Any,
    mode: Mode,
    after: bool,
    backward: bool,
    per_parent: bool,
    joins: tuple[Join, ...],
) -> Statement:
    by, order = read.by[by_name], read.orders[order_name]
    descending = order.descending ^ backward
    direction = " DESC" if descending else ""
    source = read.source
    drivers = _drivers(read, shape, count()) if by.range and by.where == "true" else []  # keys are fewer than what a driver finds
    if drivers:
        keys = [_numbered(read.drivers[name], parameters, number) for name, parameters, number in drivers]
        if len(keys) > 1:  # each in order: merged
            keys = [
                f"SELECT DISTINCT * FROM ({' UNION ALL '.join(f'SELECT * FROM ({each}) d' for each in keys)}) d ORDER BY 1{{direction}}"
            ]
        source = read.driven.replace("{keys}", f"({keys[0]})")
    condition = _condition(shape, read, count(), drivers[0][2] if len(drivers) == 1 else None)
    if by.range:
        source = source.replace("{lo}", by.range[0]).replace("{hi}", by.range[1]).replace("{direction}", direction)
    terms = [by.each if per_parent else by.where, read.visible, condition]
    if by.range:
        terms.append(f"{read.genome} >= {by.range[0]} AND {read.genome} < {by.range[1]}")
    if after:
        terms.append(
            f"({', '.join(order.columns)}) {'<' if descending else '>'} ({', '.join(f':c{i}' for i in range(len(order.columns)))})"
        )
    body = f"FROM {source} WHERE {' AND '.join(t for t in terms if t not in ('true', '()', '(true)')) or 'true'}"
    key = "k.key" if per_parent else by.parent
    if mode == "count":
        rows = f"SELECT {body} LIMIT {COUNT_LIMIT + 1}"
        if by.spans:
            rows = f"SELECT FROM {by.spans.replace('{direction}', '')} CROSS JOIN LATERAL ({rows}) q LIMIT {COUNT_LIMIT + 1}"
        if by.windows:
            rows = f"SELECT FROM {by.windows.replace('{direction}', '')} CROSS JOIN LATERAL ({rows}) q LIMIT {COUNT_LIMIT + 1}"
        counted = f"count(*) FROM ({rows}) c"
        sql = f"SELECT k.key, (SELECT {counted}) FROM {by.anchor}" if per_parent else f"SELECT 0, {counted}"
    else:
        outputs = [key, *order.columns, *(read.columns[name] for name in columns)]
        sort = ", ".join(column + direction for column in order.columns)
        if per_parent:
            outer = ", ".join(f"p.o{i}" + (direction if i else "") for i in range(len(order.columns) + 1))
            late = [output.startswith(_BEFORE) and output.endswith(_AFTER) for output in outputs]
            raw = [output[len(_BEFORE) : -len(_AFTER)] if after_cut else output for output, after_cut in zip(outputs, late, strict=True)]
            listed = ", ".join(f"{expression} AS o{i}" for i, expression in enumerate(raw))
            shown = ", ".join(SHORTEST.format(f"p.o{i}") if after_cut else f"p.o{i}" for i, after_cut in enumerate(late))
            cut = " LIMIT :limit" if mode == "page" else ""
            rows = f"SELECT {listed} {body} ORDER BY {sort}{cut}"
            if by.spans:
                inner = ", ".join(f"q.o{i}{direction}" for i in range(1, len(order.columns) + 1))
                sorting = f" ORDER BY {inner}" if "{direction}" not in by.spans else ""
                rows = f"SELECT q.* FROM {by.spans.replace('{direction}', direction)} CROSS JOIN LATERAL ({rows}) q{sorting}{cut}"
            if by.windows:  # one after the other, until the page is full
                rows = f"SELECT q.* FROM {by.windows.replace('{direction}', direction)} CROSS JOIN LATERAL ({rows}) q{cut}"
            more, joined = _joined(joins, 1 + len(order.columns), columns)
            sql = f"SELECT {shown}{more} FROM {by.anchor} CROSS JOIN LATERAL ({rows}) p{joined} ORDER BY {outer}"
        else:
            together = key not in ("0", order.columns[0]) and mode == "all"  # a parent's rows
            sort = f"{key}, {sort}" if together else sort
            named = (f"{expression} AS o{i}" for i, expression in enumerate(outputs))
            sql = f"SELECT {', '.join(named if joins else outputs)} {body} ORDER BY {sort}" + (" LIMIT :limit" if mode == "page" else "")
            if joins:
                more, joined = _joined(joins, 1 + len(order.columns), columns)
                again = ", ".join(f"p.o{i}{direction if i else ''}" for i in range(0 if together else 1, len(order.columns) + 1))
                sql = f"SELECT p.*{more} FROM ({sql}) p{joined} ORDER BY {again}"
    slots: dict[str, int] = {}
    text = re.sub(r"(?<!:):([a-z]\w*)", lambda m: f"${slots.setdefault(m[1], len(slots) + 1)}", sql)
    return Statement(text, tuple(slots))
