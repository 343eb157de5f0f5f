"""A relation of the graph as data, and what runs it on Strawberry with aiodataloader.

`@link` declares that a field reads rows of a `store.read.Read` by a key of its parent. The decorated function gets the
context and the field's arguments; it validates them and answers with an `Ask` (conditions and values). It does no I/O
and sees neither parent, path nor selection, so any executor can run the declaration: `Link.rows` reads one level for
all parents in one statement. `@computed` is the same for what is not one read: an async function over all parents.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import strawberry
from aiodataloader import DataLoader
from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode
from strawberry.schema.name_converter import NameConverter

from store.read import COUNT_LIMIT, EVERYTHING, HIGHEST, LOWEST, Filter, Mode, Read, compose, ordered_columns

from . import names
from .context import Context, View
from .cursor import decode_cursor, encode_cursor
from .errors import UserError

ROOT = 0
"""The parent key of what has no parent."""

DEFAULT_FIRST = 50
LARGEST_PAGE = 1_000

N = TypeVar("N")
E = TypeVar("E")


def leaf(description: str, **options: Any) -> Any:
    """A field that is a column of the type's Read, under the same name."""
    return strawberry.field(description=description, **options)


def made_of(*columns: str) -> Callable[[Callable[..., Any]], Any]:
    """Declares a field that is a function of columns of its own row, without I/O."""

    def decorate(function: Callable[..., Any]) -> Any:
        return strawberry.field(function, description=inspect.getdoc(function), metadata={"made_of": columns})

    return decorate


@dataclass(frozen=True)
class Ask:
    """What a link's function asks of its Read: conditions, other values to bind, and another way of addressing rows than declared."""

    where: Filter = EVERYTHING
    values: dict[str, Any] = field(default_factory=dict)
    by: str | None = None


@dataclass(frozen=True)
class Window:
    """One page: at most `size` rows after (or, backward, before) a cursor."""

    size: int = DEFAULT_FIRST
    cursor: str | None = None
    backward: bool = False


@dataclass(frozen=True)
class Rows:
    """One level read: rows by parent key, the view they were read in, and per parent whether more rows follow."""

    by_parent: dict[Any, list[Any]]
    view: View
    more: set[Any]


Shape = Literal["one", "many", "page"]
Access = Literal["open", "individual"]


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

    @functools.cached_property
    def shape(self) -> Shape:
        """one, many or page: from the return annotation."""
        return "page" if "Connection[" in self.returns else "many" if self.returns.startswith("list[") else "one"

    @functools.cached_property
    def looks_up(self) -> bool:
        """True where the function reads something itself, to find out what to ask: it is async and gets the view to read in."""
        return inspect.iscoroutinefunction(self.ask)

    @functools.cached_property
    def types(self) -> tuple[type, type | None]:
        """The type of the rows, and that of their edges where these have fields of their own."""
        inner = self.returns.split("[", 1)[1][:-1] if "[" in self.returns else self.returns.removesuffix(" | None")
        parts = [getattr(names, part.strip()) for part in inner.split(",")]
        return parts[0], parts[1] if len(parts) > 1 else None

    async def rows(
        self, ctx: Context, view: View, keys: Sequence[Any], columns: Iterable[str], window: Window, arguments: dict[str, Any]
    ) -> Rows:
        """Reads one level: rows (parent key, *order columns, *columns in the Read's order) for all parents, one statement."""
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
                if window.backward:
                    values["hi"] = min(values["hi"], cursor[0])
                else:
                    values["lo"] = max(values["lo"], cursor[0] + 1)
            else:
                after = True
                values |= {f"c{i}": value for i, value in enumerate(cursor)}
        statement, filter_values = self._compose(ask, by, order, columns, "page" if self.shape == "page" else "all", after, window.backward)
        fetched = await ctx.fetch(statement, values | filter_values | {"loads": list(view.loads)})
        by_parent: dict[Any, list[Any]] = {}
        for row in fetched:
            by_parent.setdefault(row[0], []).append(row)
        more = set()
        if self.shape == "page":
            for key, found in by_parent.items():
                if len(found) > window.size:
                    more.add(key)
                    del found[window.size :]
                if window.backward:
                    found.reverse()
        return Rows(by_parent, view, more)

    async def counts(self, ctx: Context, view: View, keys: Sequence[Any], arguments: dict[str, Any]) -> dict[Any, int]:
        """The number of rows per parent, up to COUNT_LIMIT + 1, in one statement."""
        ask = await self._asked(ctx, view, arguments)
        statement, filter_values = self._compose(ask, ask.by or self.by, self.order, (), "count", False, False)
        values = {"lo": LOWEST, "hi": HIGHEST, **ask.values, "keys": list(keys), "loads": list(view.loads)}
        return {row[0]: row[1] for row in await ctx.fetch(statement, values | filter_values)}

    async def _asked(self, ctx: Context, view: View, arguments: dict[str, Any]) -> Ask:
        if not self.looks_up:
            return self.ask(ctx, **arguments)
        key = ("asked", self, view, _frozen(arguments))
        if key not in ctx.loaders:  # a page and its count ask the same
            ctx.loaders[key] = asyncio.ensure_future(self.ask(ctx, view, **arguments))
        return await ctx.loaders[key]

    def _compose(self, ask: Ask, by: str, order: str, columns: Iterable[str], mode: Mode, after: bool, backward: bool) -> Any:
        per_parent = self.read.by[by].anchor is not None
        return compose(
            self.read, by, columns=columns, order=order, filter=ask.where, mode=mode, after=after, backward=backward, per_parent=per_parent
        )

    @functools.cached_property
    def width(self) -> int:
        """How many columns of a row come before the asked ones: the parent key and the order columns."""
        return 1 + len(self.read.orders[self.order].columns)


# ---- the types of a page


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = leaf("True when rows follow this page.")
    has_previous_page: bool = leaf("True when rows come before this page.")
    start_cursor: str | None = leaf("Cursor of the first row; pass it as `before` to go back.")
    end_cursor: str | None = leaf("Cursor of the last row; pass it as `after` to go on.")


@strawberry.type(description="A row of a page, with its cursor.")
class Edge(Generic[N]):
    node: N = leaf("The row.")
    cursor: str = leaf("Where the row stands: pass it as `after` or `before`. It holds on to the release that the page was read in.")


class _Counted:
    _count: Any

    async def _total(self) -> int:
        return await self._count()


_TOTAL = f"How many rows the whole list has, counted up to {COUNT_LIMIT:,}; see totalCountIsExact. Costs a statement of its own, so ask for it when you show it."
_EXACT = f"False when counting stopped at {COUNT_LIMIT:,}."


@strawberry.type(description="One page of a list. Pages follow cursors and never lose or repeat rows, also while new data are published.")
class Connection(_Counted, Generic[N]):
    nodes: list[N] = leaf("The rows of the page.")
    edges: list[Edge[N]] = leaf("The rows with their cursors.")
    page_info: PageInfo = leaf("Where the page lies in its list.")

    @strawberry.field(description=_TOTAL)
    async def total_count(self) -> int:
        return min(await self._total(), COUNT_LIMIT)

    @strawberry.field(description=_EXACT)
    async def total_count_is_exact(self) -> bool:
        return await self._total() <= COUNT_LIMIT


@strawberry.type(description="One page of a list whose edges say more than their rows.")
class EdgeConnection(_Counted, Generic[N, E]):
    nodes: list[N] = leaf("The rows of the page.")
    edges: list[E] = leaf("The rows with what the relation says about each.")
    page_info: PageInfo = leaf("Where the page lies in its list.")

    @strawberry.field(description=_TOTAL)
    async def total_count(self) -> int:
        return min(await self._total(), COUNT_LIMIT)

    @strawberry.field(description=_EXACT)
    async def total_count_is_exact(self) -> bool:
        return await self._total() <= COUNT_LIMIT


class Names(NameConverter):
    """`Connection[Variant]` is VariantConnection; `EdgeConnection[Gene, VariantGeneEdge]` is VariantGeneConnection."""

    def from_generic(self, generic_type: Any, types: Any) -> str:
        if generic_type.name == EdgeConnection.__name__:
            return self.get_name_from_type(types[1]).removesuffix("Edge") + "Connection"
        return super().from_generic(generic_type, types)


# ---- entities


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


def entity(
    read: Read, *, description: str, key_of: Callable[[str], Any] | None = None, order: str | None = None
) -> Callable[[type[N]], type[N]]:
    """Makes a class a type of the graph whose leaf fields are columns of `read`.

    With `key_of` (the text after `Type:` in an id -> key, None for a malformed one) it can be read by its id; `read`
    has the way `pk` then.
    """

    def decorate(cls: type[N]) -> type[N]:
        made = strawberry.type(cls, description=description)
        identity = Link(cls.__name__, read, "pk", "id", order or next(iter(read.orders)), lambda ctx: Ask(), (), cls.__name__)
        entities[cls.__name__] = Entity(made, identity, key_of)
        define(made)
        return made

    return decorate


def define(cls: type[N]) -> type[N]:
    """Makes a type known to the annotations of links."""
    setattr(names, cls.__name__, cls)
    return cls


for _cls in (Edge, Connection, EdgeConnection, Context):
    define(_cls)
vars(names).update(typing=typing, Any=Any, strawberry=strawberry, list=list)


# ---- declarations


def link(
    read: Read, *, by: str, on: str | None = None, order: str | None = None, access: Access = "open"
) -> Callable[[Callable[..., Any]], Any]:
    """Declares a relation; see the module. `on` is the parent's column, `order` the Read's first one when not given.

    The return annotation says the shape: `T | None` and `T` one row, `list[T]` all rows (where a parent has few),
    `Connection[T]` and `EdgeConnection[T, E]` pages with `first`, `after`, `last` and `before`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        declared = Link(
            function.__qualname__, read, by, on, order or next(iter(read.orders)), function, tuple(p.name for p in parameters),
            function.__annotations__["return"], access,
        )  # fmt: skip
        links.append(declared)
        paged = declared.shape == "page"

        def resolver(self: Any, info: strawberry.Info, **arguments: Any) -> Any:
            ctx: Context = info.context
            window = _window(arguments) if paged else Window()

            def load(parent: Any) -> Any:
                key = ROOT if on is None else getattr(parent, on)
                return None if key is None else _resolve(declared, ctx, getattr(parent, "_view", ctx.view), key, columns, window, arguments)

            columns = _selected(ctx, info, *declared.types)
            raw = info._raw_info
            ctx.loads[raw.parent_type, *map(id, raw.field_nodes)] = load, raw
            return load(self)

        return _field(resolver, function, parameters, declared, _PAGE if paged else {})

    return decorate


def computed(*, on: str | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Declares a relation that is not one read: `async (ctx, view, keys, **arguments) -> [(key, item)]` for all parents.

    Items are objects of the return type, or `Ref`s, which are then read by their types' identity links.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        returns = function.__annotations__["return"]
        many, gaps = returns.startswith("list["), returns.endswith("| None]")

        async def resolver(self: Any, info: strawberry.Info, **arguments: Any) -> Any:
            ctx: Context = info.context
            view = getattr(self, "_view", ctx.view)
            key = ROOT if on is None else getattr(self, on)

            async def batch(keys: list[Any]) -> list[list[Any]]:
                found: dict[Any, list[Any]] = {}
                for parent, item in await function(ctx, view, keys, **arguments):
                    found.setdefault(parent, []).append(item)
                return [found.get(k, []) for k in keys]

            items = await _loader(ctx, (function, view, _frozen(arguments)), batch).load(key)
            items = [
                await read_ref(ctx, view, item, info) if isinstance(item, Ref) else item for item in await _start(ctx, view, items, info)
            ]
            for item in items:
                if item is not None and not isinstance(item, str | int | float):
                    item._view = view
            if not many:
                return next(iter(items), None)
            return items if gaps else [item for item in items if item is not None]

        return _field(resolver, function, parameters, None, {})

    return decorate


async def _start(ctx: Context, view: View, items: list[Any], info: strawberry.Info) -> list[Any]:
    """Hands all refs to their loaders before the first is awaited, so that each type is read once."""
    for item in items:
        if isinstance(item, Ref):
            read_ref(ctx, view, item, info)
    return items


def read_ref(ctx: Context, view: View, ref: Ref, info: strawberry.Info) -> Any:
    """A future of the object that a ref names, or of None where it is not visible."""
    identity = entities[ref.type].identity
    return _resolve(identity, ctx, view, ref.key, _selected(ctx, info, *identity.types), Window(), {})


_PAGE: dict[str, tuple[Any, str]] = {
    "first": (
        int | None,
        f"How many rows, from the front: at most {LARGEST_PAGE:,}; {DEFAULT_FIRST} when neither first nor last is given.",
    ),
    "after": (str | None, "Cursor to go on after."),
    "last": (int | None, f"How many rows, from the back: at most {LARGEST_PAGE:,}."),
    "before": (str | None, "Cursor to go back from."),
}


def _window(arguments: dict[str, Any]) -> Window:
    first, after, last, before = (arguments.pop(name, None) for name in _PAGE)
    if first is not None and last is not None:
        raise UserError("BAD_PAGE", "first and last cannot be asked for together.", hint="Use first with after, or last with before.")
    if (first is not None and before is not None) or (last is not None and after is not None) or (after is not None and before is not None):
        raise UserError("BAD_PAGE", "first goes with after, last with before.", hint="To go back from a cursor: last and before.")
    backward = last is not None or before is not None
    size = (last if backward else first) if (last if backward else first) is not None else DEFAULT_FIRST
    return Window(checked_size(size, "last" if backward else "first"), before if backward else after, backward)


def checked_size(size: int, argument: str) -> int:
    """The size of a page, if it is one. Raises UserError PAGE_TOO_LARGE or BAD_PAGE."""
    if not 0 < size <= LARGEST_PAGE:
        raise UserError(
            "PAGE_TOO_LARGE" if size > 0 else "BAD_PAGE",
            f"{argument}: {size} is not between 1 and {LARGEST_PAGE:,}.",
            value=size,
            hint=f"Ask for at most {LARGEST_PAGE:,} rows at once.",
        )
    return size


def _field(
    resolver: Callable[..., Any],
    function: Callable[..., Any],
    parameters: list[inspect.Parameter],
    declared: Link | None,
    extra: dict[str, Any],
) -> Any:
    kind = inspect.Parameter
    info = kind("info", kind.POSITIONAL_OR_KEYWORD, annotation=strawberry.Info)
    pages = [
        kind(name, kind.KEYWORD_ONLY, annotation=typing.Annotated[annotation, strawberry.argument(description=text)], default=None)
        for name, (annotation, text) in extra.items()
    ]
    module = inspect.getmodule(function)
    for name, value in vars(module).items():  # input types, enums and argument descriptions of the declaring module
        names.__dict__.setdefault(name, value)
    returns = function.__annotations__["return"]
    arguments = [p.replace(kind=kind.KEYWORD_ONLY) for p in parameters]
    signature = inspect.Signature([kind("self", kind.POSITIONAL_OR_KEYWORD), info, *arguments, *pages], return_annotation=returns)
    resolver.__dict__["__signature__"] = signature
    resolver.__annotations__ = {p.name: p.annotation for p in [info, *arguments, *pages]} | {"return": returns}
    resolver.__name__, resolver.__qualname__, resolver.__module__ = function.__name__, function.__qualname__, names.__name__
    return strawberry.field(resolver=resolver, description=inspect.cleandoc(function.__doc__ or ""), metadata={"link": declared})


# ---- the reference executor: one dataloader per link, view, arguments and selection


def _resolve(
    declared: Link, ctx: Context, view: View, key: Any, columns: tuple[str, ...], window: Window, arguments: dict[str, Any]
) -> Any:
    async def batch(keys: list[Any]) -> list[Any]:
        rows = await declared.rows(ctx, view, keys, columns, window, arguments)
        return [_finish(declared, ctx, rows, k, columns, window, arguments) for k in keys]

    return _loader(ctx, (declared, view, window, columns, _frozen(arguments)), batch).load(key)


def _finish(declared: Link, ctx: Context, rows: Rows, key: Any, columns: tuple[str, ...], window: Window, arguments: dict[str, Any]) -> Any:
    found = rows.by_parent.get(key, ())
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

        return await _loader(ctx, (declared, rows.view, "count", _frozen(arguments)), batch).load(key)

    connection._count = count
    return connection


def _object(cls: type, columns: tuple[str, ...], row: Any, width: int, view: View) -> Any:
    made: Any = object.__new__(cls)
    made.__dict__.update(zip(columns, row[width:], strict=True), _view=view)
    return made


def _edge(cls: type, node: Any, cursor: str) -> Any:
    made: Any = object.__new__(cls)
    made.__dict__.update(node.__dict__, node=node, cursor=cursor)
    return made


def _loader(ctx: Context, key: Any, batch: Callable[[list[Any]], Any]) -> DataLoader[Any, Any]:
    found = ctx.loaders.get(key)
    if found is None:
        found = ctx.loaders[key] = DataLoader(batch)
    return found


def _frozen(arguments: dict[str, Any]) -> str:
    return repr(sorted(arguments.items())) if arguments else ""


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


def _selected(ctx: Context, info: strawberry.Info, cls: type, edge_cls: type | None) -> tuple[str, ...]:
    """The columns that the field's selection may need, in the Read's order. Fragments count whatever their type."""
    nodes = info._raw_info.field_nodes
    cache_key = ("columns", tuple(map(id, nodes)), cls)
    if cache_key not in ctx.loaders:
        wanted: set[str] = set()
        read = entities[cls.__name__].identity.read
        fields = _columns_by_field(cls)
        edge_fields = _columns_by_field(edge_cls) if edge_cls else {}
        for name in _names_below([n.selection_set for n in nodes], info._raw_info.fragments, 4):
            wanted.update(c for c in (*fields.get(name, ()), *edge_fields.get(name, ())) if c in read.columns)
        ctx.loaders[cache_key] = (nodes, ordered_columns(read, wanted))
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
