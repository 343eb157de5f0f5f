"""Nulls: what went wrong, written down with its place, and where the nulls that it made go (GraphQL's section 6.4.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, is_non_null_type
from graphql.error import located_error

from .frames import Frame
from .plan import Branch, Slot, nullable


@dataclass
class Failure:
    """A null that something made, in a field of an object of a frame: on the way `way` from the field. `error` is None where a null came as a value
    that may not be."""

    frame: Frame
    place: int
    slot: Slot
    way: list[Any]
    error: Exception | None


def settled(root: Frame, failures: Sequence[Failure]) -> tuple[dict[str, Any] | None, list[GraphQLError]]:
    """The data, nulls moved up to where they may be, and an error for each failure, wherever its null led to."""
    errors = []
    for failure in failures:
        frame, place, slot = failure.frame, failure.place, failure.slot
        error = failure.error or TypeError(f"Cannot return null for non-nullable field {slot.parent}.{slot.name}.")
        errors += [located_error(error, slot.nodes, [*path, slot.key, *failure.way]) for path in frame.paths(place)]
        _nullify(frame, place, slot, failure.way)
    return None if root.dead else root.made[0], errors


def _nullify(frame: Frame, place: int, slot: Slot, way: Sequence[Any]) -> None:
    """Makes a value null, or what it is in where it may not be."""
    kinds: list[Any] = [slot.type]
    for step in way:
        kind = nullable(kinds[-1])
        if isinstance(step, int):
            kinds.append(kind.of_type)
        else:
            assert isinstance(slot, Branch)  # a page
            kinds.append(next(part.type for part in slot.parts if part.key == step))
    holders: list[tuple[Any, Any]] = [(frame.made[place], slot.key)]
    for step in way:
        holder, key = holders[-1]
        if (inner := holder[key]) is None:
            return
        holders.append((inner, step))
    for (holder, key), kind in zip(reversed(holders), reversed(kinds), strict=True):
        holder[key] = None
        if not is_non_null_type(kind):
            return
    if place not in frame.dead:
        frame.dead.add(place)
        if frame.up is not None and frame.slot is not None:
            for above, further in frame.locate(place):
                _nullify(frame.up, above, frame.slot, further)


def first_of_each_null(data: Any, errors: Sequence[Any], path_of: Callable[[Any], Sequence[Any]]) -> list[Any]:
    """Of the errors that led to one null in the answer the first: what fails for all objects of a page at once is told once."""
    told: dict[tuple[Any, ...], Any] = {}
    for error in errors:
        at, place = data, []
        for step in path_of(error):
            if at is None:
                break
            place.append(step)
            at = at[step]
        told.setdefault(tuple(place), error)
    return list(told.values())
