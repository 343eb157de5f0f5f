"""The web application: the door of GraphQL, and beside it the schema, GraphiQL, a page for people, health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from store.assembly import Assembly
from store.database import open_pools
from store.errors import StoreError
from store.reference import Reference

from . import backpressure, front, ide, limits, trusted
from .access import Accounts, Gate
from .context import SequenceModel
from .door import SECURITY, Door, Metrics, told
from .execution import Executor
from .incoming import Incoming
from .profile import DEFAULT, Profile
from .rate import Network
from .releases import Releases
from .schema import build, sdl

log = logging.getLogger("vkg.graph")

_CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": ["authorization", "content-type", "vkg-release", "vkg-cost"],
    "expose_headers": ["vkg-release", "retry-after"],
}
"""Never with credentials: what a browser would add by itself (cookies) is nothing that this server knows. A token is sent by the page."""
PATH = "/graphql"
POOL_SIZE = 10
INDEX = "vkg: a knowledge graph of genetic variation\n\n"
PLACES = {
    "/": "in a browser: what this store holds",
    "/graphiql": "in a browser: write queries",
    PATH: 'GraphQL: POST {"query": "{ store { assembly } }"} as application/json',
    "/schema.graphql": "the schema, with all descriptions",
    "/readyz": "whether it can answer",
    "/healthz": "whether it lives",
    "/metrics": "for Prometheus",
}


@dataclass(frozen=True)
class Settings:
    """Where the store is and what it is about; how many connections and seconds a request may have; which web origins may ask; which models are loaded,
    by the names they are registered with; how it is told who asks, where not everybody who can may see all.

    What is offered (`profile`), and the manifest of `trusted` documents; the objects a second that each client may ask for (0 for any), how many requests
    may wait, the networks of `proxies` that are believed whom they ask for, and the names by which the server may be called (any where none are given).
    """

    url: str
    assembly: Assembly
    reference: Reference | None = None
    pool_size: int = POOL_SIZE
    seconds: float = limits.SECONDS
    origins: tuple[str, ...] = ()
    models: Mapping[str, SequenceModel] = field(default_factory=dict)
    accounts: Accounts | None = None
    profile: Profile = DEFAULT
    trusted: Path | None = None
    rate: float = 0
    queue: int = backpressure.WAITING
    proxies: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()


class Application(Starlette):
    """Starlette, which POSTed operations need not pass through: its way there costs a tenth of a small answer."""

    def __init__(self, door: Door, incoming: Incoming, **options: Any) -> None:
        super().__init__(**options)
        self._door, self._incoming = door, incoming

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == PATH and not self.user_middleware:
            await self._door(scope, receive, send)
        elif scope["type"] == "http":
            await self._guarded(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Any request, whose answer has the headers of the API where it has none of its own. A fault is masked, and told by its number."""
        begun = False

        async def safely(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                there = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in SECURITY if pair[0] not in there)]
            await send(message)

        try:
            scope["scheme"] = self._door.peers.scheme(scope)
            self._incoming.check_host(dict(reversed(scope["headers"])))
            await super().__call__(scope, receive, safely)
        except Exception as error:
            if not begun:  # else `_failed` told it
                await _answer_of(error, "before its path was looked at")(scope, receive, safely)


def _answer_of(error: Exception, where: str) -> Response:
    """What is wrong, beside the API; a fault of ours masked, and told by the number that it has in the log."""
    status, body, more = told(error, where)
    return JSONResponse(body, status, {name.decode(): value.decode() for name, value in more})


async def _failed(request: Request, error: Exception) -> Response:
    return _answer_of(error, f"at {request.url.path[:200]!r}")


def application(settings: Settings) -> Starlette:
    """The ASGI application. Raises StoreError where the trusted documents are not good, or the profile wants some and there are none."""
    schema = build()
    definition = sdl(schema)
    metrics = Metrics()
    executor, profile = Executor(schema), settings.profile
    documents = trusted.read(settings.trusted) if settings.trusted else {}
    if settings.trusted:
        trusted.check(settings.trusted, documents, executor, profile.introspection)
    elif not profile.any_document:
        raise StoreError(
            f"the profile {profile.name} answers trusted documents only, and there are none", "Name their manifest: --trusted FILE."
        )
    incoming = Incoming(profile, documents, settings.origins, settings.hosts)
    door = Door(settings, executor, metrics, incoming)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        state = door.state = app.state
        state.pools = await open_pools(settings.url, size=settings.pool_size, timeout_ms=int(settings.seconds * 1000))
        state.releases = Releases(settings.url, state.pools)
        state.gate = Gate(state.pools, settings.accounts, lambda: state.releases.current)
        await state.releases.start()
        try:
            yield
        finally:
            await state.releases.stop()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(state.pools.close(), 5)

    async def index(request: Request) -> Response:
        if not front.wanted(request.headers.get("accept", "*/*")):
            return PlainTextResponse(text, headers={"Vary": "Accept"})
        viewer = await door.state.gate.viewer({})  # browsers send no tokens
        found = await door.ask(viewer, front.QUERY, request.scope)
        return front.page(request, found.body, profile.metrics)

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

    offered = [Route(PATH, door), Route("/healthz", healthy), Route("/readyz", ready)]
    offered += [Route("/", index)] if profile.front else []
    offered += ide.ROUTES if profile.graphiql else []
    offered += [Route("/schema.graphql", schema_file)] if profile.schema_file else []
    offered += [Route("/metrics", metrics_page)] if profile.metrics else []
    text = INDEX + "".join(f"{path:<17} {what}\n" for path, what in PLACES.items() if path in {route.path for route in offered})
    return Application(
        door,
        incoming,
        routes=offered,
        middleware=[Middleware(CORSMiddleware, **_CORS, allow_origins=settings.origins)] if settings.origins else [],
        lifespan=lifespan,
        exception_handlers={Exception: _failed},
    )
