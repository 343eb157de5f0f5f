"""The few scalars beyond GraphQL's own."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NewType

import strawberry

from . import names


def _plain(value: Any) -> Any:
    return value


JSON = NewType("JSON", object)
JSON_SCALAR = strawberry.scalar(
    name="JSON",
    description="Any JSON value. Numbers have the digits of the file they came from.",
    specified_by_url="https://datatracker.ietf.org/doc/html/rfc8259",
    serialize=_plain,
    parse_value=_plain,
)
BigInt = NewType("BigInt", int)
BIG_INT_SCALAR = strawberry.scalar(
    name="BigInt",
    description="A whole number of any size, as a string of digits.",
    specified_by_url="https://spec.graphql.org/October2021/#sec-Int",
    serialize=str,
    parse_value=int,
)
Timestamp = NewType("Timestamp", datetime)
TIMESTAMP_SCALAR = strawberry.scalar(
    name="DateTime",
    description="A moment with its time zone, ISO 8601.",
    specified_by_url="https://scalars.graphql.org/andimarek/date-time",
    serialize=lambda moment: moment.isoformat(),
    parse_value=datetime.fromisoformat,
)
SCALARS = {JSON: JSON_SCALAR, BigInt: BIG_INT_SCALAR, Timestamp: TIMESTAMP_SCALAR}
for _name, _scalar in (("JSON", JSON), ("BigInt", BigInt), ("Timestamp", Timestamp)):
    setattr(names, _name, _scalar)
