"""The web application: the door of GraphQL, and beside it the schema, GraphiQL, a page for people, health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from store.assembly import Assembly
from store.database import open_pools
from store.errors import StoreError
from store.reference import Reference

from . import front, ide, limits
from .context import SequenceModel
from .door import Door, Metrics
from .execution import Executor
from .releases import Releases
from .schema import build, sdl

log = logging.getLogger("vkg.graph")

_CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": ["content-type", "vkg-release", "vkg-cost"],
    "expose_headers": ["vkg-release"],
}
PATH = "/graphql"
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


class Application(Starlette):
    """Starlette, which POSTed operations need not pass through: its way there costs a tenth of a small answer."""

    def __init__(self, door: Door, **options: Any) -> None:
        super().__init__(**options)
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == PATH and not self.user_middleware:
            await self._door(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def application(settings: Settings) -> Starlette:
    """The ASGI application."""
    schema = build()
    definition = sdl(schema)
    metrics = Metrics()
    door = Door(settings, Executor(schema), metrics)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        state = door.state = app.state
        state.pools = await open_pools(settings.url, size=settings.pool_size, timeout_ms=int(settings.seconds * 1000))
        state.releases = Releases(settings.url, state.pools)
        await state.releases.start()
        try:
            yield
        finally:
            await state.releases.stop()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(state.pools.close(), 5)

    async def index(request: Request) -> Response:
        if not front.wanted(request.headers.get("accept", "*/*")):
            return PlainTextResponse(INDEX, headers={"Vary": "Accept"})
        found = await door.answer(door.state.releases.current, {"query": front.QUERY}, {}, time.perf_counter() + settings.seconds)
        return front.page(request, found.body)

    async def schema_file(request: Request) -> Response:
        return PlainTextResponse(definition)

    async def healthy(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        try:
            async with asyncio.timeout(2):
                await door.state.pools.fetch("SELECT 1")
        except (OSError, TimeoutError, StoreError, asyncpg.InterfaceError) as error:
            log.warning("not ready: %s", error)
            return JSONResponse({"status": "the database does not answer"}, 503)
        return JSONResponse({"status": "ok", "release": door.state.releases.current.release_id})

    async def metrics_page(request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Application(
        door,
        routes=[
            Route(PATH, door, methods=["GET", "POST"]),
            Route("/", index),
            *ide.ROUTES,
            Route("/schema.graphql", schema_file),
            Route("/healthz", healthy),
            Route("/readyz", ready),
            Route("/metrics", metrics_page),
        ],
        middleware=[Middleware(CORSMiddleware, **_CORS, allow_origins=settings.origins)] if settings.origins else [],
        lifespan=lifespan,
    )
