"""A relation of the graph as data, and what runs it on Strawberry with aiodataloader.

`@link` declares that a field reads rows of a `store.read.Read` by a key of its parent. The decorated function gets the
context and the field's arguments; it validates them and answers with an `Ask` (conditions and values). It does no I/O
and sees neither parent, path nor selection, so any executor can run the declaration: `Link.rows` reads one level for
all parents in one statement. `@computed` is the same for what is not one read: an async function over all parents.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import strawberry

from store.read import Read

from . import names
from .batch import loader, page_of, read_ref, resolve, selected
from .context import Access, Context, View
from .page import ARGUMENTS, Connection, Edge, EdgeConnection, Window, leaf, window_of
from .relation import ROOT, Ask, Computed, Entity, Link, Ref, define, entities, frozen, links

__all__ = ["Ask", "Connection", "Edge", "EdgeConnection", "Ref", "computed", "define", "entity", "leaf", "link", "listed", "made_of"]

N = TypeVar("N")


def made_of(*columns: str) -> Callable[[Callable[..., Any]], Any]:
    """Declares a field that is a function of columns of its own row, without I/O."""

    def decorate(function: Callable[..., Any]) -> Any:
        return strawberry.field(function, description=inspect.getdoc(function), metadata={"made_of": columns})

    return decorate


def entity(
    read: Read, *, description: str, key_of: Callable[[str], Any] | None = None, order: str | None = None, access: Access = "open"
) -> Callable[[type[N]], type[N]]:
    """Makes a class a type of the graph whose leaf fields are columns of `read`.

    With `key_of` (the text after `Type:` in an id -> key, None for a malformed one) it can be read by its id; `read`
    has the way `pk` then.
    """

    def decorate(cls: type[N]) -> type[N]:
        made = strawberry.type(cls, description=description)
        identity = Link(cls.__name__, read, "pk", "id", order or next(iter(read.orders)), lambda ctx: Ask(), (), cls.__name__, access)
        entities[cls.__name__] = Entity(made, identity, key_of)
        define(made)
        return made

    return decorate


for _cls in (Edge, Connection, EdgeConnection, Context):
    define(_cls)
vars(names).update(typing=typing, Any=Any, strawberry=strawberry, list=list)


def link(
    read: Read, *, by: str, on: str | None = None, order: str | None = None, access: Access = "open", cost: int = 0, joined: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Declares a relation; see the module. `on` is the parent's column, `order` the Read's first one when not given.

    The return annotation says the shape: `T | None` and `T` one row, `list[T]` all rows (where a parent has few),
    `Connection[T]` and `EdgeConnection[T, E]` pages with `first`, `after`, `last` and `before`. `cost` is as for `computed`. A `joined` row
    (of a link to one, without arguments) is read with its parent's where the parents are few; declare it where that was measured to help.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        declared = Link(
            function.__qualname__, read, by, on, order or next(iter(read.orders)), function, tuple(p.name for p in parameters),
            function.__annotations__["return"], access, joined,
        )  # fmt: skip
        if joined and (
            access != "open"
            or declared.shape != "one"
            or declared.arguments
            or declared.looks_up
            or read.by[by].anchor
            or read.by[by].range
        ):
            raise TypeError(f"{declared.name}: only the one row of open data that a key names can be joined")
        links.append(declared)
        paged = declared.shape == "page"

        def resolver(self: Any, info: strawberry.Info, **arguments: Any) -> Any:
            ctx: Context = info.context
            window = window_of(arguments) if paged else Window()
            key = ROOT if on is None else getattr(self, on)
            if key is None:
                return None
            return resolve(declared, ctx, getattr(self, "_view", ctx.view), key, selected(ctx, info, declared), window, arguments)

        return _field(resolver, function, parameters, {"link": declared, "cost": cost}, ARGUMENTS if paged else None)

    return decorate


def listed(function: Callable[..., Any]) -> Any:
    """Declares a page of a list that its object has: `(self, **arguments) -> list`, annotated as a Connection."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]

    def page(self: Any, arguments: dict[str, Any], view: View) -> Any:
        window = window_of(arguments)
        return page_of(function(self, **arguments), function.__qualname__, view, window)

    def resolver(self: Any, info: strawberry.Info, **arguments: Any) -> Any:
        return page(self, arguments, getattr(self, "_view", info.context.view))

    return _field(resolver, function, parameters, {"listed": page}, ARGUMENTS)


def computed(*, on: str | None = None, cost: int = 0) -> Callable[[Callable[..., Any]], Any]:
    """Declares a relation that is not one read: `async (ctx, view, keys, **arguments) -> [(key, item)]` for all parents.

    Items are objects of the return type, or `Ref`s, which are then read by their types' identity links. `cost` is what it costs for each parent,
    in objects, besides those that it returns.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        returns = function.__annotations__["return"]
        declared = Computed(function, on, many=returns.startswith("list["), gaps=returns.endswith("| None]"))

        async def resolver(self: Any, info: strawberry.Info, **arguments: Any) -> Any:
            ctx: Context = info.context
            view = getattr(self, "_view", ctx.view)
            key = ROOT if on is None else getattr(self, on)

            async def batch(keys: list[Any]) -> list[list[Any]]:
                found: dict[Any, list[Any]] = {}
                for parent, item in await function(ctx, view, keys, **arguments):
                    found.setdefault(parent, []).append(item)
                return [found.get(k, []) for k in keys]

            items = await loader(ctx, (function, view, frozen(arguments)), batch).load(key)
            items = [
                await read_ref(ctx, view, item, info) if isinstance(item, Ref) else item for item in await _start(ctx, view, items, info)
            ]
            for item in items:
                if item is not None and not isinstance(item, str | int | float) and not hasattr(item, "_view"):  # a cursor's is another
                    item._view = view
            if not declared.many:
                return next(iter(items), None)
            return items if declared.gaps else [item for item in items if item is not None]

        return _field(resolver, function, parameters, {"computed": declared, "made_of": (on,) if on else (), "cost": cost})

    return decorate


async def _start(ctx: Context, view: View, items: list[Any], info: strawberry.Info) -> list[Any]:
    """Hands all refs to their loaders before the first is awaited, so that each type is read once."""
    for item in items:
        if isinstance(item, Ref):
            read_ref(ctx, view, item, info)
    return items


def _field(
    resolver: Callable[..., Any],
    function: Callable[..., Any],
    parameters: list[inspect.Parameter],
    metadata: dict[str, Any],
    extra: dict[str, Any] | None = None,
) -> Any:
    kind = inspect.Parameter
    info = kind("info", kind.POSITIONAL_OR_KEYWORD, annotation=strawberry.Info)
    pages = [
        kind(name, kind.KEYWORD_ONLY, annotation=typing.Annotated[annotation, strawberry.argument(description=text)], default=None)
        for name, (annotation, text) in (extra or {}).items()
    ]
    module = inspect.getmodule(function)
    for name, value in vars(module).items():  # input types, enums and argument descriptions of the declaring module
        if names.__dict__.setdefault(name, value) is not value and typing.get_origin(value) is typing.Annotated:
            raise TypeError(f"{function.__module__}.{name}: another module has an argument of that name")
    returns = function.__annotations__["return"]
    arguments = [p.replace(kind=kind.KEYWORD_ONLY) for p in parameters]
    signature = inspect.Signature([kind("self", kind.POSITIONAL_OR_KEYWORD), info, *arguments, *pages], return_annotation=returns)
    resolver.__dict__["__signature__"] = signature
    resolver.__annotations__ = {p.name: p.annotation for p in [info, *arguments, *pages]} | {"return": returns}
    resolver.__name__, resolver.__qualname__, resolver.__module__ = function.__name__, function.__qualname__, names.__name__
    return strawberry.field(
        resolver=resolver,
        description=inspect.cleandoc(function.__doc__ or ""),
        metadata=metadata,
    )
