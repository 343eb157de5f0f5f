"""Pages: what is asked of one, and the types that it is answered with (Relay's connections)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import strawberry
from strawberry.schema.name_converter import NameConverter

from store.read import COUNT_LIMIT

from .errors import UserError

DEFAULT_FIRST = 50
LARGEST_PAGE = 1_000

N = TypeVar("N")
E = TypeVar("E")


def leaf(description: str, **options: Any) -> Any:
    """A field that is a column of the type's Read, under the same name."""
    return strawberry.field(description=description, **options)


@dataclass(frozen=True)
class Window:
    """One page: at most `size` rows after (or, backward, before) a cursor."""

    size: int = DEFAULT_FIRST
    cursor: str | None = None
    backward: bool = False


ARGUMENTS: dict[str, tuple[Any, str]] = {
    "first": (
        int | None,
        f"How many rows, from the front: at most {LARGEST_PAGE:,}; {DEFAULT_FIRST} when neither first nor last is given.",
    ),
    "after": (str | None, "Cursor to go on after."),
    "last": (int | None, f"How many rows, from the back: at most {LARGEST_PAGE:,}."),
    "before": (str | None, "Cursor to go back from."),
}


def window_of(arguments: dict[str, Any]) -> Window:
    first, after, last, before = (arguments.pop(name, None) for name in ARGUMENTS)
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
