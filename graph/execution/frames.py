"""Frames: a level of an answer at one place: objects of one type, as rows of a statement or as Python objects, and the dicts made of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from graph.batch import object_of
from graph.context import View
from graph.cursor import encode_cursor
from graph.relation import Link

from .plan import Selection, Slot

Place = list[tuple[int, list[Any]]]
"""Where an object stands: objects of the frame above, and the way from the field of each: indices, and names of a page's parts."""


@dataclass(eq=False)
class Frame(ABC):
    """Objects of one type at one place. `up` is the frame above, `slot` the field of it that they are in, `locate` says where each stands."""

    selection: Selection
    view: View
    up: Frame | None = None
    slot: Slot | None = None
    locate: Callable[[int], Place] = lambda place: []
    made: list[dict[str, Any]] = field(default_factory=list)
    dead: set[int] = field(default_factory=set)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def column(self, name: str) -> Sequence[Any]:
        """The values of a column or attribute, one for each object."""

    @abstractmethod
    def objects(self) -> Sequence[Any]:
        """The objects, as functions that make fields want them."""

    def paths(self, place: int) -> list[list[Any]]:
        """The paths of an object in the answer: several, where it is shared."""
        if self.up is None or self.slot is None:
            return [[]]
        return [[*above, self.slot.key, *way] for i, way in self.locate(place) for above in self.up.paths(i)]


@dataclass(eq=False)
class Objects(Frame):
    """Python objects."""

    items: Sequence[Any] = ()

    def __len__(self) -> int:
        return len(self.items)

    def column(self, name: str) -> Sequence[Any]:
        """The attributes."""
        return [getattr(item, name) for item in self.items]

    def objects(self) -> Sequence[Any]:
        """They themselves."""
        return self.items


@dataclass(eq=False)
class Records(Frame):
    """Rows of a link: (parent key, *order columns, *columns)."""

    rows: Sequence[Any] = ()
    link: Link | None = None
    columns: tuple[str, ...] = ()
    cls: type = object

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def _turned(self) -> list[Sequence[Any]]:
        return list(zip(*self.rows, strict=True))

    def column(self, name: str) -> Sequence[Any]:
        """The values of a column; `cursor` is made of the order columns."""
        if not self.rows:
            return ()
        assert self.link is not None
        if name in self.columns:
            return self._turned[self.link.width + self.columns.index(name)]
        if name == "cursor":
            return [cursor_of(self.link, self.view, row) for row in self.rows]
        raise AttributeError(f"{self.cls.__name__} has no {name}")

    def objects(self) -> Sequence[Any]:
        """Objects of the rows."""
        width = self.link.width if self.link else 0
        return [object_of(self.cls, zip(self.columns, row[width:], strict=True), self.view) for row in self.rows]


def cursor_of(link: Link, view: View, row: Any) -> str:
    """The cursor of a row."""
    return encode_cursor(view.release_id, link.name, link.order, row[1 : link.width])
