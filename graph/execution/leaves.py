"""Leaves: a column of values made into what the answer says, all at once where nothing is odd about them.

graphql-core coerces each value on its own. Here a look at the types in the whole column (in C) tells that there is nothing to coerce; where that does
not hold, each is coerced as graphql-core does, and what is wrong with one is an error of that one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from graphql import GraphQLBoolean, GraphQLEnumType, GraphQLFloat, GraphQLID, GraphQLInt, GraphQLLeafType, GraphQLString, Undefined
from graphql.pyutils import inspect

Fail = Callable[[int, Exception], None]
"""(place of the value, what is wrong with it)."""

_NONE = type(None)
_LARGEST_INT = 2**31 - 1


def _texts(values: Sequence[Any]) -> bool:
    return {*map(type, values)} <= {str, _NONE}


def _floats(values: Sequence[Any]) -> bool:
    return {*map(type, values)} <= {float, _NONE} and all(map(math.isfinite, filter(None, values)))


def _ints(values: Sequence[Any]) -> bool:
    if not {*map(type, values)} <= {int, _NONE}:
        return False
    return max(filter(None, values), default=0) <= _LARGEST_INT and min(filter(None, values), default=0) >= -_LARGEST_INT


def _booleans(values: Sequence[Any]) -> bool:
    return {*map(type, values)} <= {bool, _NONE}


_AS_THEY_ARE: dict[Any, Callable[[Sequence[Any]], bool]] = {
    GraphQLString: _texts,
    GraphQLID: _texts,
    GraphQLFloat: _floats,
    GraphQLInt: _ints,
    GraphQLBoolean: _booleans,
}


def _json(values: Sequence[Any]) -> bool:
    return {*map(type, values)} <= {orjson.Fragment, _NONE}


class Leaf:
    """A scalar or enum, required or not: `complete` makes answers of values; `fits` tells whether they are answers already."""

    def __init__(self, kind: GraphQLLeafType) -> None:
        self._coerce = kind.coerce_output_value
        self.fits: Callable[[Sequence[Any]], bool] = _AS_THEY_ARE.get(kind, _json)
        self._known: dict[Any, Any] = {None: None}  # of an enum
        self._enum = isinstance(kind, GraphQLEnumType)
        self._name = kind.name

    def complete(self, values: Sequence[Any], fail: Fail) -> Sequence[Any]:
        """The answers, None for None; `fail` is told of what cannot be coerced, which then is None, too."""
        if self.fits(values):
            return values
        if self._enum:
            try:
                return [self._known[value] for value in values]
            except (KeyError, TypeError):
                pass
        answers: list[Any] = []
        for place, value in enumerate(values):
            answer = None
            if value is not None and value is not Undefined:
                try:
                    answer = self._one(value)
                except Exception as error:
                    fail(place, error)
            answers.append(answer)
        return answers

    def _one(self, value: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        answer = self._coerce(value)
        if answer is Undefined or answer is None:
            raise TypeError(
                f"Expected `{inspect(self._name)}.coerce_output_value({inspect(value)})` to return non-nullable value, returned: {inspect(answer)}"
            )
        if self._enum:
            self._known[value] = answer
        return answer
