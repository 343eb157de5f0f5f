"""The reference executor: one dataloader per link, view, arguments and selection, behind Strawberry's resolvers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import strawberry
from aiodataloader import DataLoader
from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode

from store.read import EVERYTHING, HIGHEST, LOWEST, Filter, Mode, Order, Read, compose, ordered_columns

from .context import Context, View
from .cursor import decode_cursor, encode_cursor, not_ours
from .errors import UserError
from .page import Connection, Edge, EdgeConnection, PageInfo, Window
from .relation import Link, Ref, Rows, entities, frozen


def read_ref(ctx: Context, view: View, ref: Ref, info: strawberry.Info) -> Any:
    """A future of the object that a ref names, or of None where it is not visible."""
    identity = entities[ref.type].identity
    return resolve(identity, ctx, view, ref.key, selected(ctx, info, identity), Window(), {})


def resolve(declared: Link, ctx: Context, view: View, key: Any, columns: tuple[str, ...], window: Window, arguments: dict[str, Any]) -> Any:
    async def batch(keys: list[Any]) -> list[Any]:
        rows = await declared.rows(ctx, view, keys, columns, window, arguments)
        return [_finish(declared, ctx, rows, k, columns, window, arguments) for k in keys]

    return loader(ctx, (declared, view, window, columns, frozen(arguments)), batch).load(key)


def _finish(declared: Link, ctx: Context, rows: Rows, key: Any, columns: tuple[str, ...], window: Window, arguments: dict[str, Any]) -> Any:
    found = rows.of(key)
    cls, edge_cls = declared.types
    width = declared.width
    objects = [_object(cls, columns, row, width, rows.view) for row in found]
    if declared.shape == "one":
        return objects[0] if objects else None
    if declared.shape == "many":
        return objects
    cursors = [encode_cursor(rows.view.release_id, declared.name, declared.order, row[1:width]) for row in found]
    if edge_cls is None:
        edges: list[Any] = [Edge(node=node, cursor=cursor) for node, cursor in zip(objects, cursors, strict=True)]
    else:
        edges = [_edge(edge_cls, node, cursor) for node, cursor in zip(objects, cursors, strict=True)]
    more, further = key in rows.more, window.cursor is not None
    page = PageInfo(
        has_next_page=further if window.backward else more,
        has_previous_page=more if window.backward else further,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )
    connection: Any = (Connection if edge_cls is None else EdgeConnection)(nodes=objects, edges=edges, page_info=page)

    async def count() -> int:
        async def batch(keys: list[Any]) -> list[int]:
            counted = await declared.counts(ctx, rows.view, keys, arguments)
            return [counted.get(k, 0) for k in keys]

        return await loader(ctx, (declared, rows.view, "count", frozen(arguments)), batch).load(key)

    connection._count = count
    return connection


LISTED = Order(("place",))
"""The order of a list that is at hand: by the place in it."""


def page_of(items: Sequence[Any], name: str, view: View, window: Window) -> Any:
    """A page of a list that is at hand. Its cursors hold for the release that it was made in. Raises UserError BAD_CURSOR."""
    low, high = 0, len(items)
    if window.cursor is not None:
        release, (place,) = decode_cursor(window.cursor, name, "place", LISTED, (int,))
        if place < 0:
            raise not_ours(window.cursor)
        if release != view.release_id:
            hint = "Begin again without a cursor, or name a release and ask for it (vkg release, header Vkg-Release)."
            raise UserError("BAD_CURSOR", "The cursor is of an earlier release, in which the list may have been another.", hint=hint)
        low, high = (low, min(place, high)) if window.backward else (place + 1, high)
    first = max(low, high - window.size) if window.backward else low
    last = high if window.backward else min(high, low + window.size)
    chosen = list(items[first:last])
    for item in chosen:
        item._view = view
    cursors = [encode_cursor(view.release_id, name, "place", [place]) for place in range(first, last)]
    page = PageInfo(
        has_next_page=last < len(items), has_previous_page=first > 0,
        start_cursor=cursors[0] if cursors else None, end_cursor=cursors[-1] if cursors else None,
    )  # fmt: skip
    edges: list[Any] = [Edge(node=node, cursor=cursor) for node, cursor in zip(chosen, cursors, strict=True)]
    connection: Any = Connection(nodes=chosen, edges=edges, page_info=page)

    async def count() -> int:
        return len(items)

    connection._count = count
    return connection


def _object(cls: type, columns: tuple[str, ...], row: Any, width: int, view: View) -> Any:
    return object_of(cls, zip(columns, row[width:], strict=True), view)


def object_of(cls: type, columns: Iterable[tuple[str, Any]] | Mapping[str, Any], view: View) -> Any:
    """An object of the graph, of columns of its Read."""
    made: Any = object.__new__(cls)
    made.__dict__.update(columns, _view=view)
    return made


async def read_all(
    ctx: Context, view: View, read: Read, by: str, keys: Sequence[Any], *, columns: Iterable[str] | None = None, where: Filter = EVERYTHING,
    limit: int | None = None, **values: Any,
) -> list[tuple[Any, dict[str, Any]]]:  # fmt: skip
    """(parent, columns) of the rows of a Read for these parents, in its first order: all, or `limit` of each; in one statement. For what is made of
    rows, not read by a link."""
    names = ordered_columns(read, read.columns if columns is None else columns)
    order = next(iter(read.orders))
    mode: Mode = "all" if limit is None else "page"
    statement, bound = compose(read, by, columns=names, order=order, filter=where, mode=mode, per_parent=read.by[by].anchor is not None)
    fixed = {"keys": list(keys), **view.bound, "lo": LOWEST, "hi": HIGHEST, "limit": limit}
    width = 1 + len(read.orders[order].columns)
    return [(row[0], dict(zip(names, row[width:], strict=True))) for row in await ctx.fetch(statement, fixed | bound | values)]


def _edge(cls: type, node: Any, cursor: str) -> Any:
    made: Any = object.__new__(cls)
    made.__dict__.update(node.__dict__, node=node, cursor=cursor)
    return made


def loader(ctx: Context, key: Any, batch: Callable[[list[Any]], Any]) -> DataLoader[Any, Any]:
    found = ctx.loaders.get(key)
    if found is None:
        found = ctx.loaders[key] = DataLoader(batch)
    return found


# ---- which columns a selection needs


@functools.lru_cache(512)
def _columns_by_field(cls: type) -> dict[str, tuple[str, ...]]:
    """The columns behind each field of a type, by its GraphQL name: its own for a leaf, the parent's key for a link, those
    that a function of columns names in `made_of`."""
    out: dict[str, tuple[str, ...]] = {}
    for f in cls.__strawberry_definition__.fields:  # type: ignore[attr-defined]
        declared = f.metadata.get("link")
        name = f.graphql_name or _camel(f.python_name)
        if declared is not None:
            out[name] = (declared.on,) if declared.on else ()
        else:
            out[name] = f.metadata.get("made_of", ()) if f.base_resolver else (f.python_name,)
    return out


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def selected(ctx: Context, info: strawberry.Info, declared: Link) -> tuple[str, ...]:
    """The columns that the field's selection may need, in the Read's order. Fragments count whatever their type."""
    nodes = info._raw_info.field_nodes
    cache_key = ("columns", tuple(map(id, nodes)), declared)
    if cache_key not in ctx.loaders:
        wanted: set[str] = set()
        read = declared.read
        cls, edge_cls = declared.types
        fields = _columns_by_field(cls)
        edge_fields = _columns_by_field(edge_cls) if edge_cls else {}
        for name in _names_below([n.selection_set for n in nodes], info._raw_info.fragments, 4):
            wanted.update(c for c in (*fields.get(name, ()), *edge_fields.get(name, ())) if c in read.columns)
        ctx.loaders[cache_key] = (nodes, ordered_columns(read, wanted.union(declared.people)))
    return ctx.loaders[cache_key][1]


def _names_below(sets: Sequence[SelectionSetNode | None], fragments: dict[str, FragmentDefinitionNode], depth: int) -> set[str]:
    """Names of the selected fields, through fragments, and through the fields of a page (nodes, edges, node)."""
    found: set[str] = set()
    for selection in (s for selections in sets if selections for s in selections.selections):
        if isinstance(selection, FieldNode):
            found.add(selection.name.value)
            if selection.name.value in ("nodes", "edges", "node") and depth:
                found |= _names_below([selection.selection_set], fragments, depth - 1)
        elif isinstance(selection, InlineFragmentNode):
            found |= _names_below([selection.selection_set], fragments, depth)
        elif isinstance(selection, FragmentSpreadNode):
            found |= _names_below([fragments[selection.name.value].selection_set], fragments, depth)
    return found
