"""The HTTP door: GraphQL over HTTP, the schema, health and metrics.

Follows the GraphQL-over-HTTP specification: `application/graphql-response+json` where the client accepts it (400 for
documents that do not parse or validate), `application/json` otherwise. Every answer names the release it read, in the
header `Vkg-Release` and in `extensions`; the same header in a request pins a named release.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from store.assembly import Assembly
from store.database import open_pools
from store.errors import StoreError
from store.reference import Reference

from . import front, ide, limits
from .context import Context, SequenceModel, View
from .errors import UserError, explain
from .execution import Answer, Executor
from .releases import Releases
from .schema import build, sdl

log = logging.getLogger("vkg.graph")

_CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": ["content-type", "vkg-release", "vkg-cost"],
    "expose_headers": ["vkg-release"],
}
GRAPHQL_JSON = "application/graphql-response+json"
STATUS = {"BODY_TOO_LARGE": 413, "UNSUPPORTED_MEDIA_TYPE": 415, "INTERNAL": 500, "STORE_UNAVAILABLE": 503, "TIMEOUT": 504}
"""HTTP status by code of what is wrong with a request as a whole; 400 for all others."""
POOL_SIZE = 10
INDEX = """vkg: a knowledge graph of genetic variation

/                 in a browser: what this store holds
/graphiql         in a browser: write queries
/graphql          GraphQL: POST {"query": "{ store { assembly } }"} as application/json, or GET ?query=
/schema.graphql   the schema, with all descriptions
/readyz           whether it can answer; /healthz whether it lives; /metrics for Prometheus
"""


@dataclass(frozen=True)
class Settings:
    """Where the store is and what it is about; how many connections and seconds a request may have; which web origins may ask; which models are loaded,
    by the names they are registered with."""

    url: str
    assembly: Assembly
    reference: Reference | None = None
    pool_size: int = POOL_SIZE
    seconds: float = limits.SECONDS
    origins: tuple[str, ...] = ()
    models: Mapping[str, SequenceModel] = field(default_factory=dict)


class Metrics:
    """What Prometheus reads at /metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("vkg_requests_total", "GraphQL operations answered.", ["outcome"], registry=self.registry)
        self.seconds = Histogram("vkg_request_seconds", "Time to answer a GraphQL operation.", registry=self.registry)
        self.unplanned = Counter(
            "vkg_unplanned_total", "GraphQL operations that graphql-core ran, since they have no plan.", ["reason"], registry=self.registry
        )
        self.statements = Counter("vkg_statements_total", "SQL statements sent for GraphQL operations.", registry=self.registry)


def application(settings: Settings) -> Starlette:
    """The ASGI application."""
    schema = build()
    executor = Executor(schema)
    definition = sdl(schema)
    metrics = Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.pools = await open_pools(settings.url, size=settings.pool_size, timeout_ms=int(settings.seconds * 1000))
        app.state.releases = Releases(settings.url, app.state.pools)
        await app.state.releases.start()
        # The schema lives for ever: keep the collector from walking it, and from running in the middle of large answers.
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        try:
            yield
        finally:
            await app.state.releases.stop()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(app.state.pools.close(), 5)

    async def graphql(request: Request) -> Response:
        media = _accepted(request)
        if media is None:
            return PlainTextResponse(f"This endpoint answers with {GRAPHQL_JSON} or application/json.\n", 406)
        try:
            operations, batch = await _read(request)
            view = await _view(request, request.app.state.releases)
        except (UserError, StoreError, OSError) as error:
            shown = error if isinstance(error, UserError) else explain(error, "before execution")
            body = {"errors": [{"message": str(shown), "extensions": shown.extensions()}]}
            return Response(orjson.dumps(body), STATUS.get(shown.code, 400), media_type=media)
        answers: list[Answer] = []
        end, spent = time.perf_counter() + settings.seconds, 0  # a batch has the time and the cost of one operation
        for operation in operations:
            answers.append(await answer(request, view, operation, end, spent))
            spent += answers[-1].cost
        status = 400 if not batch and answers[0].refused and media == GRAPHQL_JSON else 200
        content = orjson.dumps([a.body for a in answers] if batch else answers[0].body)
        releases = {release["id"].removeprefix("Release:") for a in answers for release in _releases(a.body["extensions"])}
        return Response(content, status, {"Vkg-Release": ", ".join(sorted(releases, key=int))}, media)

    async def answer(request: Request, view: View, operation: dict[str, Any], end: float, spent: int) -> Answer:
        ctx = Context(
            request.app.state.pools, view, settings.assembly, settings.reference, "vkg-release" in request.headers, settings.models
        )
        started = time.perf_counter()
        name, variables = operation.get("operationName"), operation.get("variables")
        found = await executor.run(ctx, operation["query"], variables, name, end - started, spent)
        seconds = time.perf_counter() - started
        metrics.requests.labels("refused" if found.refused else "errors" if found.body.get("errors") else "ok").inc()
        metrics.seconds.observe(seconds)
        metrics.statements.inc(ctx.statements)
        if found.unplanned is not None:
            metrics.unplanned.labels(found.unplanned).inc()
        read = list(ctx.read.values()) or [view]  # cursors hold on to their releases
        extensions: dict[str, Any] = {"release": _shown(read[0] if len(read) == 1 else view)}
        if len(read) > 1:
            extensions["releases"] = [_shown(one) for one in read]
        if (operation.get("extensions") or {}).get("cost") or request.headers.get("vkg-cost"):
            extensions["cost"] = {"objects": found.cost, "statements": ctx.statements, "milliseconds": round(seconds * 1000, 3)}
        found.body["extensions"] = extensions
        return found

    async def index(request: Request) -> Response:
        if not front.wanted(request.headers.get("accept", "*/*")):
            return PlainTextResponse(INDEX, headers={"Vary": "Accept"})
        end = time.perf_counter() + settings.seconds
        found = await answer(request, request.app.state.releases.current, {"query": front.QUERY}, end, 0)
        return front.page(request, found.body)

    async def schema_file(request: Request) -> Response:
        return PlainTextResponse(definition)

    async def healthy(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        try:
            async with asyncio.timeout(2):
                await request.app.state.pools.fetch("SELECT 1")
        except (OSError, TimeoutError, StoreError, asyncpg.InterfaceError) as error:
            log.warning("not ready: %s", error)
            return JSONResponse({"status": "the database does not answer"}, 503)
        return JSONResponse({"status": "ok", "release": request.app.state.releases.current.release_id})

    async def metrics_page(request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/graphql", graphql, methods=["GET", "POST"]),
            *ide.ROUTES,
            Route("/schema.graphql", schema_file),
            Route("/healthz", healthy),
            Route("/readyz", ready),
            Route("/metrics", metrics_page),
        ],
        middleware=[Middleware(CORSMiddleware, **_CORS, allow_origins=settings.origins)] if settings.origins else [],
        lifespan=lifespan,
    )


def _shown(view: View) -> dict[str, Any]:
    return {"id": f"Release:{view.release_id}", "name": view.name}


def _releases(extensions: dict[str, Any]) -> list[dict[str, Any]]:
    return extensions.get("releases") or [extensions["release"]]


def _accepted(request: Request) -> str | None:
    accept = request.headers.get("accept", "*/*").lower()
    if GRAPHQL_JSON in accept:
        return GRAPHQL_JSON
    return "application/json" if any(kind in accept for kind in ("application/json", "*/*", "application/*")) else None


async def _read(request: Request) -> tuple[list[dict[str, Any]], bool]:
    """The operations of a request, and whether they came as a batch. Raises UserError."""
    if request.method == "GET":
        fields: Any = dict(request.query_params)
        if "query" not in fields:
            raise UserError("NO_QUERY", "No query.", hint="POST JSON with the key query, or GET /graphql?query=...")
        for name in ("variables", "extensions"):
            if fields.get(name):
                fields[name] = _json(fields[name].encode(), name)
    else:
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            raise UserError("UNSUPPORTED_MEDIA_TYPE", f"Content-Type {kind or '(none)'} is not read here.", hint="Send application/json.")
        fields = _json(await _body(request), "body")
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


async def _body(request: Request) -> bytes:
    too_large = UserError(
        "BODY_TOO_LARGE", f"The request body is larger than {limits.BODY_BYTES:,} bytes.", hint="Send fewer or smaller variables."
    )
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > limits.BODY_BYTES:
        raise too_large
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limits.BODY_BYTES:
                raise too_large
            chunks.append(chunk)
    except ClientDisconnect:
        raise UserError("BAD_REQUEST", "The client went away.") from None
    return b"".join(chunks)


def _json(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UserError("BAD_JSON", f"The {what} is not JSON: {error}.") from None


async def _view(request: Request, releases: Releases) -> View:
    wanted = request.headers.get("vkg-release")
    return releases.current if wanted is None else await releases.named(wanted)
