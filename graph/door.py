"""The door of GraphQL: an ASGI application that reads a request, has its operations carried out, and sends what they are answered with.

Follows the GraphQL-over-HTTP specification: `application/graphql-response+json` where the client accepts it (400 for
documents that do not parse or validate), `application/json` otherwise. Every answer names the release it read, in the
header `Vkg-Release` and in `extensions`; the same header in a request pins a named release.

It speaks ASGI itself, because a small answer is sooner made than a framework's request and response.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import QueryParams, State
from starlette.types import Receive, Scope, Send

from store.errors import StoreError

from . import limits
from .context import Context, View
from .errors import UserError, explain
from .execution import Answer, Executor

if TYPE_CHECKING:
    from .app import Settings

GRAPHQL_JSON, JSON = "application/graphql-response+json", "application/json"
STATUS = {"BODY_TOO_LARGE": 413, "UNSUPPORTED_MEDIA_TYPE": 415, "INTERNAL": 500, "STORE_UNAVAILABLE": 503, "TIMEOUT": 504}
"""HTTP status by code of what is wrong with a request as a whole; 400 for all others."""

Headers = Mapping[bytes, bytes]
"""The headers of a request, by their names in lower case."""


class Metrics:
    """What Prometheus reads at /metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        requests = Counter("vkg_requests_total", "GraphQL operations answered.", ["outcome"], registry=self.registry)
        self.requests = {outcome: requests.labels(outcome) for outcome in ("ok", "errors", "refused")}
        self.seconds = Histogram("vkg_request_seconds", "Time to answer a GraphQL operation.", registry=self.registry)
        self.unplanned = Counter(
            "vkg_unplanned_total", "GraphQL operations that graphql-core ran, since they have no plan.", ["reason"], registry=self.registry
        )
        self.statements = Counter("vkg_statements_total", "SQL statements sent for GraphQL operations.", registry=self.registry)


class Door:
    """`/graphql`. Once the application has started, `state` is its state: `pools` and `releases`, which it answers from."""

    state: State

    def __init__(self, settings: Settings, executor: Executor, metrics: Metrics) -> None:
        self._settings, self._executor, self._metrics = settings, executor, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, of one operation or a batch."""
        headers = dict(reversed(scope["headers"]))  # of two the first counts
        media = _accepted(headers)
        if media is None:
            await _send(send, 406, f"This endpoint answers with {GRAPHQL_JSON} or {JSON}.\n".encode(), "text/plain; charset=utf-8")
            return
        try:
            operations, batch = await _read(scope, headers, receive)
            wanted = headers.get(b"vkg-release")
            view = self.state.releases.current if wanted is None else await self.state.releases.named(wanted.decode("latin-1"))
        except (UserError, StoreError, OSError) as error:
            shown = error if isinstance(error, UserError) else explain(error, "before execution")
            body = {"errors": [{"message": str(shown), "extensions": shown.extensions()}]}
            await _send(send, STATUS.get(shown.code, 400), orjson.dumps(body), media)
            return
        answers: list[Answer] = []
        end, spent = time.perf_counter() + self._settings.seconds, 0  # a batch has the time and the cost of one operation
        for operation in operations:
            answers.append(await self.answer(view, operation, headers, end, spent))
            spent += answers[-1].cost
        status = 400 if not batch and answers[0].refused and media == GRAPHQL_JSON else 200
        content = orjson.dumps([a.body for a in answers] if batch else answers[0].body)
        releases = {release["id"].removeprefix("Release:") for a in answers for release in _releases(a.body["extensions"])}
        await _send(send, status, content, media, (b"vkg-release", ", ".join(sorted(releases, key=int)).encode()))

    async def answer(self, view: View, operation: Mapping[str, Any], headers: Headers, end: float, spent: int = 0) -> Answer:
        """Carries out one operation before `end` (of time.perf_counter), `spent` objects being asked for already."""
        settings, metrics = self._settings, self._metrics
        ctx = Context(self.state.pools, view, settings.assembly, settings.reference, b"vkg-release" in headers, settings.models)
        started = time.perf_counter()
        name, variables = operation.get("operationName"), operation.get("variables")
        found = await self._executor.run(ctx, operation["query"], variables, name, end - started, spent)
        seconds = time.perf_counter() - started
        metrics.requests["refused" if found.refused else "errors" if "errors" in found.body else "ok"].inc()
        metrics.seconds.observe(seconds)
        metrics.statements.inc(ctx.statements)
        if found.unplanned is not None:
            metrics.unplanned.labels(found.unplanned).inc()
        read = list(ctx.read.values()) or [view]  # cursors hold on to their releases
        extensions: dict[str, Any] = {"release": _shown(read[0] if len(read) == 1 else view)}
        if len(read) > 1:
            extensions["releases"] = [_shown(one) for one in read]
        if (operation.get("extensions") or {}).get("cost") or headers.get(b"vkg-cost"):
            extensions["cost"] = {"objects": found.cost, "statements": ctx.statements, "milliseconds": round(seconds * 1000, 3)}
        found.body["extensions"] = extensions
        return found


async def _send(send: Send, status: int, content: bytes, media: str, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-length", b"%d" % len(content)), (b"content-type", media.encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _shown(view: View) -> dict[str, Any]:
    return {"id": f"Release:{view.release_id}", "name": view.name}


def _releases(extensions: dict[str, Any]) -> list[dict[str, Any]]:
    return extensions.get("releases") or [extensions["release"]]


def _accepted(headers: Headers) -> str | None:
    accept = headers.get(b"accept", b"*/*").decode("latin-1").lower()
    if GRAPHQL_JSON in accept:
        return GRAPHQL_JSON
    return JSON if any(kind in accept for kind in (JSON, "*/*", "application/*")) else None


async def _read(scope: Scope, headers: Headers, receive: Receive) -> tuple[list[dict[str, Any]], bool]:
    """The operations of a request, and whether they came as a batch. Raises UserError."""
    if scope["method"] == "GET":
        fields: Any = dict(QueryParams(scope["query_string"]))
        if "query" not in fields:
            raise UserError("NO_QUERY", "No query.", hint="POST JSON with the key query, or GET /graphql?query=...")
        for name in ("variables", "extensions"):
            if fields.get(name):
                fields[name] = _json(fields[name].encode(), name)
    else:
        kind = headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower()
        if kind != JSON:
            raise UserError("UNSUPPORTED_MEDIA_TYPE", f"Content-Type {kind or '(none)'} is not read here.", hint="Send application/json.")
        fields = _json(await _body(headers, receive), "body")
    operations = fields if isinstance(fields, list) else [fields]
    if len(operations) > limits.BATCH or not operations:
        raise UserError("BATCH_SIZE", f"A batch of {len(operations)} operations.", hint=f"Send 1 to {limits.BATCH}.")
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("query"), str):
            raise UserError(
                "NO_QUERY", "No query.", hint='Send {"query": "{ store { assembly } }"}, with variables and operationName as needed.'
            )
        for name, wanted in (("variables", dict), ("extensions", dict), ("operationName", str)):
            if operation.get(name) is not None and not isinstance(operation[name], wanted):
                raise UserError("BAD_REQUEST", f"{name} is not {'an object' if wanted is dict else 'a string'}.")
    return operations, isinstance(fields, list)


async def _body(headers: Headers, receive: Receive) -> bytes:
    too_large = UserError(
        "BODY_TOO_LARGE", f"The request body is larger than {limits.BODY_BYTES:,} bytes.", hint="Send fewer or smaller variables."
    )
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > limits.BODY_BYTES:
        raise too_large
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise UserError("BAD_REQUEST", "The client went away.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limits.BODY_BYTES:
            raise too_large
        more = message.get("more_body", False)
    return b"".join(chunks)


def _json(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UserError("BAD_JSON", f"The {what} is not JSON: {error}.") from None
