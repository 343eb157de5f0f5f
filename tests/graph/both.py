"""Every operation of the tests is answered twice, by its plan and by graphql-core, and the answers are compared: to the byte, but for errors. A plan tells
of all below one null, graphql-core of those that it met before it gave up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import orjson
import strawberry

from graph import limits
from graph.context import Context
from graph.execution import Answer, Executor
from graph.execution.nulls import first_of_each_null

PASSING = {"TIMEOUT", "STORE_UNAVAILABLE"}
"""Codes of errors that come and go."""
OFTEN = 8
"""A document that a test asks about thousands of variants is compared so many times."""


class Both(Executor):
    """The executor of the application, checked."""

    def __init__(self, schema: strawberry.Schema) -> None:
        super().__init__(schema, every_error=True)
        self._reference = Executor(schema, planned=False)
        self._asked: Counter[str] = Counter()

    async def run(
        self, ctx: Context, query: str, variables: dict[str, Any] | None, operation_name: str | None, seconds: float = limits.SECONDS, spent: int = 0
    ) -> Answer:  # fmt: skip
        """The planned answer."""
        answer = await super().run(ctx, query, variables, operation_name, seconds, spent)
        self._asked[query] += 1
        if self._asked[query] <= OFTEN:
            again = Context(ctx.pools, ctx.view, ctx.assembly, ctx.reference, ctx.pinned, ctx.models, narrow=ctx.narrow)
            await self._compare(answer, ctx, again, self._reference.run(again, query, variables, operation_name, seconds, spent))
        if "data" in answer.body and "errors" in answer.body:  # as without every_error
            answer.body["errors"] = first_of_each_null(answer.body["data"], answer.body["errors"], lambda error: error.get("path", ()))
        return answer

    async def _compare(self, answer: Answer, ctx: Context, again: Context, running: Coroutine[Any, Any, Answer]) -> None:
        try:
            expected = await running
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return  # graphql-core cancels the siblings of a field that failed, and now and then itself
        if not _codes(answer.body) & PASSING and not _codes(expected.body) & PASSING:
            compare(answer.body, expected.body)
            assert "errors" in answer.body or ctx.read.keys() == again.read.keys()
            assert answer.refused == expected.refused


def compare(planned: dict[str, Any], expected: dict[str, Any]) -> None:
    """Asserts that two answers are the same."""
    assert orjson.dumps(planned.get("data")) == orjson.dumps(expected.get("data")), (planned, expected)
    assert ("data" in planned) == ("data" in expected)
    told, known = _by_null(planned), _by_null(expected)
    assert told.keys() == known.keys(), (planned, expected)
    for place, errors in told.items():
        assert known[place] <= errors, (planned, expected)


def _codes(body: dict[str, Any]) -> set[str]:
    return {error.get("extensions", {}).get("code") for error in body.get("errors", ())}


def _by_null(body: dict[str, Any]) -> dict[tuple[Any, ...], set[bytes]]:
    """Errors by the null that their paths lead to; without the number that a masked one has in the log."""
    found: dict[tuple[Any, ...], set[bytes]] = {}
    for error in body.get("errors", ()):
        at: Any = body.get("data")
        place: list[Any] = []
        for step in error.get("path", ()):
            if at is None:
                break
            place.append(step)
            at = at[step]
        shown = {**error, "extensions": {name: value for name, value in error.get("extensions", {}).items() if name != "id"}}
        if "id" in error.get("extensions", {}):
            shown["message"] = ""
        found.setdefault(tuple(place), set()).add(orjson.dumps(shown, option=orjson.OPT_SORT_KEYS))
    return found
