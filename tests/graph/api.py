"""The application over a store, asked over HTTP: through httpx.ASGITransport, on an event loop of its own in a thread, so that
tests are plain functions and can load files while they ask.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from graph import app as graph_app
from graph.app import Settings, application
from graph.schema import build, sdl
from tests.graph.both import Both

JSON = dict[str, Any]
BUILD, SDL = functools.cache(build), functools.cache(sdl)
"""The schema, which is the same for every application, is built and printed once."""


class Api:
    """A running application. `ask` gives the parsed answer; `data` and `error` what should be in it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(graph_app, "Executor", Both)
            patch.setattr(graph_app, "build", BUILD)
            patch.setattr(graph_app, "sdl", SDL)
            self.app = application(self.settings)
        self._stack.enter_context(self._portal.wrap_async_context_manager(self.app.router.lifespan_context(self.app)))
        client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://vkg", timeout=60)
        self._client = self._stack.enter_context(self._portal.wrap_async_context_manager(client))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request; the options are those of httpx."""
        return self._portal.call(functools.partial(self._client.request, method, path, **options))

    def post(self, query: str, variables: JSON | None = None, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """One operation, as clients send it."""
        return self.request("POST", "/graphql", json={"query": query, "variables": variables, **more}, headers=headers)

    def ask(self, query: str, variables: JSON | None = None, headers: dict[str, str] | None = None) -> JSON:
        """The parsed answer to one operation."""
        return self.post(query, variables, headers).json()

    def data(self, query: str, variables: JSON | None = None, headers: dict[str, str] | None = None) -> JSON:
        """The data of an answer without errors."""
        answer = self.ask(query, variables, headers)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def error(self, query: str, variables: JSON | None = None, headers: dict[str, str] | None = None) -> JSON:
        """The one error of an answer: message, code, and value and hint where there are."""
        answer = self.ask(query, variables, headers)
        assert len(answer.get("errors", ())) == 1, answer
        return {"message": answer["errors"][0]["message"], **answer["errors"][0]["extensions"]}

    def cost(self, query: str, variables: JSON | None = None) -> JSON:
        """What an operation without errors cost: objects, statements, milliseconds."""
        answer = self.ask(query, variables, {"Vkg-Cost": "1"})
        assert "errors" not in answer, answer["errors"]
        return answer["extensions"]["cost"]

    def walk(self, query: str, variables: JSON, size: int, *, backward: bool = False) -> list[JSON]:
        """All edges of the list that `query` calls `page`, by pages of a size, in its order. It declares $first, $after, $last and $before, and selects
        totalCount, pageInfo and the cursors; each page is checked against what it says of itself."""
        edges: list[JSON] = []
        cursor, totals = None, set()
        while True:
            window = {"last": size, "before": cursor} if backward else {"first": size, "after": cursor}
            page = next(_pages(self.data(query, variables | window)))
            info, found = page["pageInfo"], page["edges"]
            assert (info["startCursor"], info["endCursor"]) == ((found[0]["cursor"], found[-1]["cursor"]) if found else (None, None))
            ahead, behind = ("hasPreviousPage", "hasNextPage") if backward else ("hasNextPage", "hasPreviousPage")
            assert info[behind] == (cursor is not None)
            edges = found + edges if backward else edges + found
            totals.add(page["totalCount"])
            if not info[ahead]:
                assert totals == {len(edges)}
                return edges
            assert len(found) == size
            cursor = info["startCursor" if backward else "endCursor"]


WINDOW = "$first: Int, $after: String, $last: Int, $before: String"
PAGE = "first: $first, after: $after, last: $last, before: $before"
OF_PAGE = "totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"


def _pages(answer: Any) -> Iterator[JSON]:
    if isinstance(answer, dict):
        if "page" in answer:
            yield answer["page"]
        for value in answer.values():
            yield from _pages(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from _pages(value)
