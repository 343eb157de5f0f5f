"""What the generated client sends operations with: httpx, and errors that carry the server's codes and hints."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx
from pydantic_core import to_jsonable_python

from .base_model import UNSET


class Refused(Exception):
    """The server answered, and said that something is wrong with the request: `codes` are stable."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        found = [(error["message"], error.get("extensions") or {}) for error in errors]
        super().__init__("\n".join(": ".join(filter(None, (more.get("code"), message, more.get("hint")))) for message, more in found))
        self.codes = [more["code"] for _, more in found if "code" in more]


class Unreachable(Exception):
    """There was no answer, or none of a vkg server."""


class Base:
    """A connection to one server: `async with Vkg(url) as vkg`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.AsyncClient(timeout=60)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._http.aclose()

    async def execute(self, query: str, operation_name: str | None = None, variables: dict[str, object] | None = None) -> httpx.Response:
        """The answer to one operation. Raises Unreachable."""
        given = {name: value for name, value in (variables or {}).items() if value is not UNSET}
        body = {"query": query, "operationName": operation_name, "variables": to_jsonable_python(given, by_alias=True, exclude_none=True)}
        try:
            return await self._http.post(self.url, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"No answer from {self.url}: {str(error) or type(error).__name__}") from error

    def get_data(self, response: httpx.Response) -> dict[str, Any]:
        """The data of an answer. Raises Refused or Unreachable."""
        try:
            answer = response.json()  # errors come as JSON, too, so the status of the response adds nothing
        except ValueError:
            answer = None
        if isinstance(answer, dict) and answer.get("errors"):
            raise Refused(answer["errors"])
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), dict):
            raise Unreachable(f"{self.url} is not where a GraphQL server answers.")
        data: dict[str, Any] = answer["data"]
        return data
