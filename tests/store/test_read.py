"""The composer: what a shape's SQL means is what the same filter, order and page mean in Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from store.database import open_pool
from store.read import (
    COUNT_LIMIT,
    EVERYTHING,
    HIGHEST,
    LOWEST,
    By,
    Filter,
    Join,
    Order,
    Read,
    both,
    children,
    compose,
    drivers_of,
    leaves,
    ordered_columns,
    where,
)
from store.statements import statements
from tests.store.shapes import shapes


class Item(NamedTuple):
    item_id: int
    owner: int
    size: int
    word: str
    load_id: int
    tags: frozenset[str]


WORDS, TAGS, OWNERS, LOADS = ("ash", "birch", "cedar"), ("dry", "old", "tall"), range(5), (1, 3)
ITEMS = [
    Item(n, n * 7 % 4, n * 5 % 11, WORDS[n % 3], 1 + n * 3 % 4, frozenset(tag for i, tag in enumerate(TAGS) if n % (i + 2) == 0))
    for n in range(60)
]
"""Four of the five owners have items; the loads 2 and 4 are not visible."""
VISIBLE = [item for item in ITEMS if item.load_id in LOADS]

ITEM = Read(
    name="item",
    source="item t",
    visible="t.load_id = ANY(:loads)",
    columns={"item_id": "t.item_id", "owner": "t.owner", "size": "t.size", "word": "t.word"},
    genome="t.item_id",
    by={
        "all": By(),
        "range": By(range=(":lo", ":hi")),
        "ids": By("t.item_id = ANY(:ids)", range=(":lo", ":hi")),
        "pk": By("t.item_id = ANY(:keys)", parent="t.item_id"),
        "owner": children("t.owner", "owner.owner"),
        "spans": By(
            anchor="(SELECT o.owner AS key, :spans::int4multirange AS spans FROM owner o WHERE o.owner = ANY(:keys)) k",
            each="t.owner = k.key",
            spans="unnest(k.spans) span",
            range=("greatest(lower(span), :lo)", "least(upper(span), :hi)"),
        ),
    },
    orders={"id": Order(("t.item_id",)), "largest": Order(("t.size", "t.item_id"), descending=True)},
    where={
        "word": "t.word = ANY(:value)",
        "size": "t.size BETWEEN coalesce(:min, 0) AND coalesce(:max, 100)",
        "tag": "EXISTS (SELECT FROM tag g WHERE g.item_id = t.item_id AND g.tag = ANY(:value) OFFSET 0)",
        "twin": """EXISTS (SELECT FROM (SELECT t.item_id, t.owner) o CROSS JOIN item t
            WHERE t.owner = o.owner AND t.item_id <> o.item_id AND t.size >= :least AND {filter} OFFSET 0)""",
    },
    drivers={
        "tag": """SELECT DISTINCT g.item_id FROM tag g WHERE g.tag = ANY(:value) AND g.item_id >= {lo} AND g.item_id < {hi}
            ORDER BY g.item_id{direction}"""
    },
    driven="{keys} d JOIN item t ON t.item_id = d.item_id",
)


def with_twin(least: int, f: Filter) -> Filter:
    """Another item of the same owner is at least so large, and fulfils a filter."""
    return ("with", ("twin", {"least": least}, f))


_texts = {"word": WORDS, "tag": TAGS}
conditions = st.one_of(
    *(
        st.lists(st.sampled_from(values), max_size=2).map(lambda value, name=name: where(**{name: value}))
        for name, values in _texts.items()
    ),
    st.tuples(st.none() | st.integers(0, 11), st.none() | st.integers(0, 11)).map(lambda r: where(size={"min": r[0], "max": r[1]})),
)
filters = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: both(*parts)),
        st.lists(inner, max_size=3).map(lambda parts: ("or", tuple(parts))),
        inner.map(lambda part: ("not", part)),
        st.tuples(st.integers(0, 11), inner).map(lambda two: with_twin(*two)),
    ),
    max_leaves=6,
)


def holds(f: Filter, item: Item) -> bool:
    """What a filter means."""
    kind, rest = f
    if kind == "and":
        return all(holds(part, item) for part in rest)
    if kind == "or":
        return any(holds(part, item) for part in rest)
    if kind == "not":
        return not holds(rest, item)
    if kind == "with":
        _, values, inner = rest
        others = (other for other in ITEMS if other.owner == item.owner and other != item)
        return any(other.size >= values["least"] and holds(inner, other) for other in others)
    if kind == "word":
        return item.word in rest["value"]
    if kind == "tag":
        return not item.tags.isdisjoint(rest["value"])
    return (rest["min"] or 0) <= item.size <= (100 if rest["max"] is None else rest["max"])


def place(order: str, item: Item) -> tuple[int, ...]:
    """The values of an order's columns."""
    return (item.item_id,) if order == "id" else (item.size, item.item_id)


def expected(f: Filter, order: str, backward: bool = False) -> list[Item]:
    """The visible items of a filter in an order."""
    return sorted((i for i in VISIBLE if holds(f, i)), key=lambda i: place(order, i), reverse=ITEM.orders[order].descending ^ backward)


@pytest.fixture(scope="module")
def items(server: str) -> Iterator[psycopg.Cursor[Any]]:
    """A cursor that takes numbered parameters, in a session that has the items."""
    with psycopg.connect(server) as connection:
        cursor = psycopg.RawCursor(connection)
        cursor.execute("CREATE TEMP TABLE item (item_id int, owner int, size int, word text, load_id int)")
        cursor.execute("CREATE TEMP TABLE tag (item_id int, tag text)")
        cursor.execute("CREATE TEMP TABLE owner AS SELECT generate_series(0, 4) AS owner")
        cursor.executemany("INSERT INTO item VALUES ($1, $2, $3, $4, $5)", [item[:5] for item in ITEMS])
        cursor.executemany("INSERT INTO tag VALUES ($1, $2)", [(item.item_id, tag) for item in ITEMS for tag in item.tags])
        yield cursor


def rows(cursor: psycopg.Cursor[Any], by: str, values: dict[str, Any], read: Read = ITEM, **shape: Any) -> list[tuple]:
    """Runs the statement of a shape."""
    statement, of_filter = compose(read, by, per_parent=read.by[by].anchor is not None, **shape)
    return cursor.execute(
        statement.text, statement.bind({"loads": list(LOADS), "lo": LOWEST, "hi": HIGHEST} | values | of_filter)
    ).fetchall()


# ---- the text


@given(filters)
def test_values_are_bound_and_never_in_the_text(f: Filter) -> None:
    statement, values = compose(ITEM, "range", columns=["word"], order="id", filter=f)
    assert not any(word in statement.text for word in (*WORDS, *TAGS))
    assert not re.search(r":[a-z]", statement.text), "every name became a number"
    assert {f"${n}" for n in range(1, len(statement.slots) + 1)} == set(re.findall(r"\$\d+", statement.text))
    assert set(values) == set(statement.slots) - {"loads", "lo", "hi", "limit"}


@given(st.data(), filters)
def test_a_shape_has_one_statement_whatever_is_asked(data: st.DataObject, f: Filter) -> None:
    def other(f: Filter) -> Filter:
        """The filter with other values, and its parts in another order."""
        kind, rest = f
        if kind == "not":
            return kind, other(rest)
        if kind in ("and", "or"):
            return kind, tuple(data.draw(st.permutations([other(part) for part in rest])))
        if kind == "with":
            return kind, (rest[0], dict.fromkeys(rest[1], 7), other(rest[2]))
        return kind, {name: ["else"] if name == "value" else 7 for name in rest}

    columns = data.draw(st.permutations(list(ITEM.columns)))
    one, _ = compose(ITEM, "range", columns=ITEM.columns, order="id", filter=f)
    two, _ = compose(ITEM, "range", columns=columns, order="id", filter=other(f))
    assert one is two


def test_columns_come_in_the_order_of_the_read(items: psycopg.Cursor[Any]) -> None:
    assert ordered_columns(ITEM, ["word", "owner"]) == ("owner", "word")
    (row,) = rows(items, "pk", {"keys": [4]}, columns=["word", "owner"], order="largest", mode="all")
    item = ITEMS[4]
    assert row == (4, item.size, 4, item.owner, item.word)
    with pytest.raises(KeyError, match="item has no column colour, weight"):
        compose(ITEM, "all", columns=["word", "weight", "colour"], order="id")


def test_drivers_are_conditions_that_must_hold_and_not_used_where_keys_are_given() -> None:
    tag, word = where(tag=["old"]), where(word=["ash"])
    assert drivers_of(ITEM, both(word, tag)) == ("tag",)
    assert (
        drivers_of(ITEM, ("or", (tag, word)))
        == drivers_of(ITEM, ("not", tag))
        == drivers_of(ITEM, word)
        == drivers_of(ITEM, ("or", ()))
        == ()
    )
    assert drivers_of(ITEM, with_twin(1, tag)) == drivers_of(ITEM, both(word, with_twin(1, tag))) == (), "it must hold for another row"
    assert drivers_of(ITEM, both(with_twin(1, tag), tag)) == ("tag",)
    assert drivers_of(ITEM, both(word, ("or", (tag, both(tag, word))))) == ("tag", "tag"), "one of them holds"
    assert drivers_of(ITEM, both(("or", (tag, tag)), tag)) == ("tag",), "one suffices"

    def drives(by: str, f: Filter) -> bool:
        return "FROM (SELECT DISTINCT" in compose(ITEM, by, order="id", filter=f)[0].text

    assert drives("range", both(word, tag))
    assert not drives("ids", tag), "the keys are fewer than what the driver finds"
    assert not drives("all", tag), "there is no range to put into it"
    assert not drives("range", ("or", (tag, word)))
    assert drives("range", ("or", (tag, both(where(tag=["new"]), word))))
    assert drives("range", both(with_twin(1, tag), tag))
    assert not drives("range", with_twin(1, tag))


def test_the_conditions_of_a_filter_are_named_also_where_they_are_of_another_row() -> None:
    tag, word = where(tag=["old"]), where(word=["ash"])
    assert list(leaves(EVERYTHING)) == []
    assert list(leaves(both(tag, ("not", ("or", (word, tag)))))) == ["tag", "word", "tag"]
    assert list(leaves(both(word, with_twin(3, both(tag, with_twin(1, EVERYTHING)))))) == ["word", "twin", "tag", "twin"]


@given(st.lists(st.sampled_from(TAGS), max_size=2), st.lists(st.sampled_from(TAGS), max_size=2), st.integers(0, 11))
def test_a_driver_stands_for_its_own_condition_only(items: psycopg.Cursor[Any], own: list[str], twins: list[str], least: int) -> None:
    """The same condition with other values, for the row itself and for another one."""
    f = both(with_twin(least, where(tag=twins)), where(tag=own))
    assert rows(items, "range", {}, order="id", filter=f, mode="all") == [(0, i.item_id) for i in expected(f, "id")]


# ---- the meaning


@given(filters, st.sampled_from(["all", "range", "ids"]), st.sampled_from(list(ITEM.orders)), st.booleans())
def test_rows_and_counts_are_those_of_the_filter(items: psycopg.Cursor[Any], f: Filter, by: str, order: str, backward: bool) -> None:
    found = rows(items, by, {"ids": list(range(60))}, columns=["item_id", "word"], order=order, filter=f, mode="all", backward=backward)
    assert found == [(0, *place(order, i), i.item_id, i.word) for i in expected(f, order, backward)]
    assert rows(items, by, {"ids": list(range(60))}, order=order, filter=f, mode="count") == [(0, len(found))]


@given(filters, st.integers(-3, 63), st.integers(-3, 63), st.booleans())
def test_a_range_holds_its_lower_bound_and_not_its_upper_one(
    items: psycopg.Cursor[Any], f: Filter, lo: int, hi: int, backward: bool
) -> None:
    found = rows(items, "range", {"lo": lo, "hi": hi}, order="id", filter=f, mode="all", backward=backward)
    assert found == [(0, i.item_id) for i in expected(f, "id", backward) if lo <= i.item_id < hi]


@given(filters, st.sampled_from(list(ITEM.orders)), st.booleans(), st.integers(1, 25))
def test_pages_lose_and_repeat_nothing(items: psycopg.Cursor[Any], f: Filter, order: str, backward: bool, size: int) -> None:
    found: list[tuple] = []
    cursor: dict[str, Any] = {}
    while page := rows(items, "all", cursor | {"limit": size}, order=order, filter=f, after=bool(cursor), backward=backward):
        assert len(page) <= size
        found += page
        cursor = {f"c{i}": value for i, value in enumerate(page[-1][1:])}
    assert found == [(0, *place(order, i)) for i in expected(f, order, backward)]


@given(filters, st.sampled_from(list(ITEM.orders)), st.booleans(), st.integers(1, 9), st.lists(st.sampled_from(OWNERS), max_size=8))
def test_each_parent_has_a_page_and_a_count_of_its_own(
    items: psycopg.Cursor[Any], f: Filter, order: str, backward: bool, size: int, owners: list[int]
) -> None:
    """Also where a parent is asked for twice, or has nothing."""
    theirs = {owner: [i for i in expected(f, order, backward) if i.owner == owner] for owner in sorted(set(owners))}
    found = rows(items, "owner", {"keys": owners, "limit": size}, columns=["word"], order=order, filter=f, backward=backward)
    assert found == [(owner, *place(order, i), i.word) for owner, own in theirs.items() for i in own[:size]]
    counts = rows(items, "owner", {"keys": owners}, order=order, filter=f, mode="count")
    assert sorted(counts) == [(owner, len(own)) for owner, own in theirs.items()]


spans = st.lists(st.tuples(st.integers(-3, 60), st.integers(0, 15))).map(
    lambda pairs: Multirange([Range(lo, lo + n) for lo, n in pairs if n])
)


@given(filters, spans, st.booleans(), st.integers(1, 6), st.lists(st.sampled_from(OWNERS), min_size=1, max_size=5, unique=True))
def test_pages_over_several_ranges_lose_and_repeat_nothing(
    items: psycopg.Cursor[Any], f: Filter, spans: Multirange[int], backward: bool, size: int, owners: list[int]
) -> None:
    """Each parent's ranges are read one by one, in either direction, and the cursor narrows all of them."""
    theirs = {
        owner: [i for i in expected(f, "id", backward) if i.owner == owner and any(i.item_id in span for span in spans)]
        for owner in sorted(owners)
    }

    def page(owners: list[int], **bounds: int) -> list[tuple]:
        asked = {"keys": owners, "spans": spans, "limit": size} | bounds
        return rows(items, "spans", asked, columns=["word"], order="id", filter=f, backward=backward)

    assert page(owners) == [(owner, i.item_id, i.word) for owner, own in theirs.items() for i in own[:size]]
    owner = owners[0]
    found: list[int] = []
    bounds: dict[str, int] = {}
    while some := page([owner], **bounds):
        assert len(some) <= size
        found += [row[1] for row in some]
        bounds = {"hi": found[-1]} if backward else {"lo": found[-1] + 1}
    assert found == [i.item_id for i in theirs[owner]]
    counts = rows(items, "spans", {"keys": owners, "spans": spans}, order="id", filter=f, mode="count")
    assert sorted(counts) == [(owner, len(own)) for owner, own in theirs.items()]


def test_counting_over_ranges_stops_one_past_the_limit(items: psycopg.Cursor[Any]) -> None:
    by = By(anchor="(SELECT 1 AS key) k", spans="generate_series(1, 3) span", range=("span", "span + 1"))
    many = Read("many", f"generate_series(1, {COUNT_LIMIT // 2}) n, LATERAL (SELECT span AS t) t", "true", {}, {"spans": by}, {"id": Order(("t",))}, genome="t.t")  # fmt: skip
    assert rows(items, "spans", {}, many, order="id", mode="count") == [(1, COUNT_LIMIT + 1)]


def test_counting_stops_one_past_the_limit(items: psycopg.Cursor[Any]) -> None:
    def count(size: int) -> int:
        many = Read("many", f"generate_series(1, {size}) t", "true", {}, {"all": By()}, {"id": Order(("t",))})
        return rows(items, "all", {}, many, order="id", mode="count")[0][1]

    assert [count(n) for n in (COUNT_LIMIT, COUNT_LIMIT + 1, COUNT_LIMIT * 2)] == [COUNT_LIMIT, COUNT_LIMIT + 1, COUNT_LIMIT + 1]


def test_a_condition_without_value_is_no_condition() -> None:
    assert where(word=None, size=None) == EVERYTHING == both(EVERYTHING, EVERYTHING)
    assert where(word=["ash"], size={"min": 1, "max": None}) == ("and", (("word", {"value": ["ash"]}), ("size", {"min": 1, "max": None})))


# ---- the statements of the store


async def test_the_server_understands_every_composed_statement(store_url: str) -> None:
    pool = await open_pool(store_url, size=1, timeout_ms=10_000)
    async with pool, pool.acquire() as connection:
        for shape in shapes():
            try:
                await connection.prepare(shape.sql)
            except Exception as error:
                error.add_note(f"{shape}: {shape.sql}")
                raise


async def test_the_server_understands_every_whole_statement(store_url: str) -> None:
    pool = await open_pool(store_url, size=1, timeout_ms=10_000)
    async with pool, pool.acquire() as connection:
        for name, sql in statements().items():
            prepared = await connection.prepare(sql)
            columns = [a.name for a in prepared.get_attributes()]
            assert columns, name
            assert len(set(columns)) == len(columns), name


# ---- what is joined


@given(filters, st.sampled_from(["range", "pk", "owner", "spans"]), st.sampled_from(list(ITEM.orders)), st.booleans(), st.integers(1, 25))
def test_rows_have_after_them_what_is_joined(items: psycopg.Cursor[Any], f: Filter, by: str, order: str, backward: bool, size: int) -> None:
    """The visible item that has an item's owner for its number, and that of a size, each at most once; nulls where there is none."""
    values = {"keys": list(range(60)), "spans": "{[3,40),[45,60)}", "limit": size}
    shape: dict[str, Any] = {"order": order, "filter": f, "backward": backward, "mode": "all" if by == "pk" else "page"}
    plain = rows(items, by, values, columns=["owner", "size", "word"], **shape)
    joins = (Join(ITEM, "pk", "id", ("word",), "owner"), Join(ITEM, "pk", "largest", (), "size"))
    found = rows(items, by, values, columns=["owner", "size", "word"], joins=joins, **shape)
    there = {item.item_id: item for item in VISIBLE}
    for row, alone in zip(found, plain, strict=True):
        owner, size_of = there.get(alone[-3]), there.get(alone[-2])
        assert row == (
            *alone,
            *((owner.item_id, owner.item_id, owner.word) if owner else (None,) * 3),
            *((size_of.item_id, size_of.size, size_of.item_id) if size_of else (None,) * 3),
        )
