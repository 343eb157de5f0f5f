"""What is different in a schema, to those who ask by it: two schemas in SDL come in, changes go out, breaking ones first.

Breaking: an operation that was valid no longer is, or its answer has another shape. Dangerous: it stays valid, but what is asked or answered
may mean more than a client knows (a new value of an enum, another default, a new argument). What is neither is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from graphql import GraphQLError, GraphQLSchema, build_schema
from graphql.utilities import BreakingChange, DangerousChange, find_schema_changes

from .errors import UserError

_COORDINATE = re.compile(r"\w+\.\w+(\(\w+:\))?|@\w+(\(\w+:\))?")


@dataclass(frozen=True)
class Change:
    """One change: at which schema coordinate (Type, Type.field, Type.field(argument:)), and what it is, in words."""

    breaking: bool
    coordinate: str
    description: str

    def __str__(self) -> str:
        return f"{'breaking' if self.breaking else 'dangerous'}: {self.description}"


def changes(old: str, new: str) -> list[Change]:
    """What clients of the old schema should know of the new one. Raises UserError BAD_SCHEMA."""
    kinds = {BreakingChange: True, DangerousChange: False}
    found = [
        Change(kinds[type(change)], _coordinate(change.description), change.description)
        for change in find_schema_changes(_parsed(old), _parsed(new))
        if type(change) in kinds
    ]
    return sorted(found, key=lambda change: (not change.breaking, change.coordinate))


def _coordinate(description: str) -> str:
    """graphql-core's descriptions name members with their type, and types alone with their first word."""
    named = _COORDINATE.search(description)
    return named[0] if named else description.split()[0]


def _parsed(sdl: str) -> GraphQLSchema:
    try:
        return build_schema(sdl)
    except (GraphQLError, TypeError) as error:
        raise UserError(
            "BAD_SCHEMA", f"This is no GraphQL schema: {error}", hint="`vkg schema` prints one, and /schema.graphql serves it."
        ) from None
