"""The door of GraphQL: an ASGI application that reads a request, has its operations carried out, and sends what they are answered with.

Follows the GraphQL-over-HTTP specification: `application/graphql-response+json` where the client accepts it (400 for
documents that do not parse or validate), `application/json` otherwise. Every answer names the release it read, in the
header `Vkg-Release` and in `extensions`; the same header in a request pins a named release.

It speaks ASGI itself, because a small answer is sooner made than a framework's request and response.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import State
from starlette.types import Receive, Scope, Send

from . import rate
from .audit import Audit
from .backpressure import Gone, Queue, Watches
from .context import Context, View
from .errors import UserError, explain
from .execution import Answer, Executor
from .incoming import JSON, Headers, Incoming
from .profile import without_suggestions
from .viewer import OWNER, Viewer

if TYPE_CHECKING:
    from .app import Settings

GRAPHQL_JSON = "application/graphql-response+json"
STATUS = {
    "UNAUTHENTICATED": 401, "CROSS_SITE": 403, "METHOD_NOT_ALLOWED": 405, "REQUEST_TIMEOUT": 408, "BODY_TOO_LARGE": 413, "UNSUPPORTED_MEDIA_TYPE": 415,
    "UNSUPPORTED_ENCODING": 415, "UNKNOWN_HOST": 421, "RATE_LIMITED": 429, "INTERNAL": 500, "STORE_UNAVAILABLE": 503, "OVERLOADED": 503, "TIMEOUT": 504,
}  # fmt: skip
"""HTTP status by code of what is wrong with a request as a whole; 400 for all others."""

SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"vary", b"accept, authorization, vkg-release"),
)
"""Headers of all answers of the API: nothing in them is a page, and no cache keeps what one viewer may see of one release."""


class Metrics:
    """What Prometheus reads at /metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        requests = Counter("vkg_requests_total", "GraphQL operations answered.", ["outcome"], registry=self.registry)
        self.requests = {outcome: requests.labels(outcome) for outcome in ("ok", "errors", "refused")}
        self.turned_away = Counter("vkg_turned_away_total", "Requests that were not begun.", ["code"], registry=self.registry)
        self.gone = Counter("vkg_gone_total", "Requests whose client went away before they were answered.", registry=self.registry)
        self.seconds = Histogram("vkg_request_seconds", "Time to answer a GraphQL operation.", registry=self.registry)
        self.unplanned = Counter(
            "vkg_unplanned_total", "GraphQL operations that graphql-core ran, since they have no plan.", ["reason"], registry=self.registry
        )
        self.statements = Counter("vkg_statements_total", "SQL statements sent for GraphQL operations.", registry=self.registry)


class Door:
    """`/graphql`. Once the application has started, `state` is its state: `pools` and `releases`, which it answers from."""

    state: State

    def __init__(self, settings: Settings, executor: Executor, metrics: Metrics, incoming: Incoming | None = None) -> None:
        self._settings, self._executor, self._metrics = settings, executor, metrics
        self._incoming = incoming or Incoming()
        self.queue, self._watches = Queue(waiting=settings.queue), Watches()
        self._buckets = rate.Buckets(settings.rate) if settings.rate else None
        self.peers = rate.Peers(settings.proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, of one operation or a batch."""
        headers = dict(reversed(scope["headers"]))  # of two the first counts
        media = _accepted(headers)
        if media is None:
            await _send(send, 406, f"This endpoint answers with {GRAPHQL_JSON} or {JSON}.\n".encode(), "text/plain; charset=utf-8")
            return
        try:
            answers, batch = await self._answers(scope, headers, receive)
            status = 400 if not batch and answers[0].refused and media == GRAPHQL_JSON else 200
            content = orjson.dumps([a.body for a in answers] if batch else answers[0].body)
            releases = {release["id"].removeprefix("Release:") for a in answers for release in _releases(a.body["extensions"])}
            named = ", ".join(sorted(releases, key=int)).encode()
        except Gone:
            self._metrics.gone.inc()
            return
        except Exception as error:
            await self._refuse(send, media, error)
            return
        await _send(send, status, content, media, (b"vkg-release", named))

    async def _answers(self, scope: Scope, headers: Headers, receive: Receive) -> tuple[list[Answer], bool]:
        """What the operations of a request are answered with, and whether they are a batch. Raises what is wrong with the request as a whole, and Gone
        where nobody waits for it any more."""
        operations, batch = await self._incoming.read(scope, headers, receive)
        end, spent = time.perf_counter() + self._settings.seconds, 0  # a batch has the time and the cost of one operation
        watch = self._watches.begin(receive)
        try:
            if (waiter := self.queue.enter()) is not None:
                await self.queue.turn(waiter)
            try:
                wanted = headers.get(b"vkg-release")
                viewer = await self._viewer(scope, headers)
                if self._buckets is not None:
                    self._pay(self._buckets, viewer, scope, operations)
                view = self.state.releases.current if wanted is None else await self.state.releases.named(wanted.decode("latin-1"))
                view = await self.state.gate.narrowed(view, viewer)
                answers: list[Answer] = []
                for operation in operations:
                    answers.append(await self.answer(viewer, view, operation, headers, end, spent))
                    spent += answers[-1].cost
                return answers, batch
            finally:
                self.queue.leave()
        except asyncio.CancelledError:
            watch.check()
            raise
        finally:
            self._watches.end(watch)

    async def ask(self, viewer: Viewer, query: str, scope: Scope) -> Answer:
        """Answers an operation of the server's own, for a page: in its turn, and at the price of any."""
        operation = {"query": query}
        if self._buckets is not None:
            self._pay(self._buckets, viewer, scope, [operation])
        async with self.queue.place():
            view = await self.state.gate.narrowed(self.state.releases.current, viewer)
            return await self.answer(viewer, view, operation, {}, time.perf_counter() + self._settings.seconds)

    async def _viewer(self, scope: Scope, headers: Headers) -> Viewer:
        """Who asks. Credentials that are not good cost the address that they come from."""
        if self._buckets is None or b"authorization" not in headers:
            return await self.state.gate.viewer(headers)
        client, now = f"credentials from {self.peers.of(scope)}", time.monotonic()
        known = self.state.gate.known(headers)
        if known is not None:
            return known
        self._buckets.check(client, rate.FAILED, now)
        try:
            return await self.state.gate.viewer(headers)
        except UserError:  # refused, or nobody could tell
            self._buckets.take(client, rate.FAILED, now)
            raise

    def _pay(self, buckets: rate.Buckets, viewer: Viewer, scope: Scope, operations: list[dict[str, Any]]) -> None:
        """Takes what a request will cost from the bucket of its subject, or else of the address it comes from. Raises LimitError RATE_LIMITED."""
        spent = 0
        for operation in operations:
            spent += self._executor.price(operation["query"], operation.get("variables"), operation.get("operationName"), spent)
        client = f"subject {viewer.subject}" if viewer.subject and viewer != OWNER else f"address {self.peers.of(scope)}"
        buckets.take(client, spent + rate.REQUEST * len(operations), time.monotonic())

    async def _refuse(self, send: Send, media: str, error: Exception) -> None:
        """Tells what is wrong with a request as a whole; a fault of ours is masked."""
        status, body, more = told(error, "before execution")
        self._metrics.turned_away.labels(body["errors"][0]["extensions"]["code"]).inc()
        if status == 405:
            more.append((b"allow", b"GET, POST" if self._settings.profile.get else b"POST"))
        await _send(send, status, orjson.dumps(body), media, *more)

    async def answer(
        self, viewer: Viewer, view: View, operation: Mapping[str, Any], headers: Headers, end: float, spent: int = 0
    ) -> Answer:
        """Carries out one operation of a viewer before `end` (of time.perf_counter), `spent` objects being asked for already."""
        settings, metrics, gate = self._settings, self._metrics, self.state.gate
        ctx = Context(self.state.pools, view, settings.assembly, settings.reference, b"vkg-release" in headers, settings.models)
        if viewer.datasets is not None:
            ctx.narrow = lambda wider: gate.narrowed(wider, viewer)
        if gate.audit is not None:
            ctx.people = set()
        started = time.perf_counter()
        name, variables = operation.get("operationName"), operation.get("variables")
        found = await self._executor.run(ctx, operation["query"], variables, name, end - started, spent)
        if ctx.people or (ctx.asked and ctx.people is not None and viewer.datasets != frozenset()):
            await _log(gate.audit, viewer, view, operation, ctx.people or set(), found)
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
        if ctx.asked and viewer.datasets is not None:
            extensions["withheld"] = gate.withheld(viewer)
        if (operation.get("extensions") or {}).get("cost") or headers.get(b"vkg-cost"):
            extensions["cost"] = {"objects": found.cost}
            if settings.profile.measures:
                extensions["cost"] |= {"statements": ctx.statements, "milliseconds": round(seconds * 1000, 3)}
        if found.refused and not settings.profile.suggestions:
            without_suggestions(found.body)
        found.body["extensions"] = extensions
        return found


def told(error: Exception, where: str) -> tuple[int, dict[str, Any], list[tuple[bytes, bytes]]]:
    """What a client is told of what is wrong with its request as a whole, or with the server: status, body, and headers that go with it."""
    shown = error if isinstance(error, UserError) else explain(error, where)
    status = STATUS.get(shown.code, 400)
    more = [(b"www-authenticate", b"Bearer")] if status == 401 else []
    if status in (429, 503):
        more.append((b"retry-after", b"%d" % (getattr(shown, "retry", None) or 1)))
    return status, {"errors": [{"message": str(shown), "extensions": shown.extensions()}]}, more


async def _log(audit: Audit, viewer: Viewer, view: View, operation: Mapping[str, Any], people: set[int], found: Answer) -> None:
    """Logs that something was read of these people. Where that cannot be, it is not answered."""
    try:
        await audit.write(viewer.subject or "", operation["query"], operation.get("operationName"), view.release_id, people)
    except Exception as error:
        shown = explain(error, "while an individual-level read was logged")
        found.body.clear()
        found.body.update(errors=[{"message": str(shown), "extensions": shown.extensions()}], data=None)


async def _send(send: Send, status: int, content: bytes, media: str, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-length", b"%d" % len(content)), (b"content-type", media.encode()), *SECURITY, *more]
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
