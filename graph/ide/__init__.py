"""GraphiQL under /graphiql: a page and its assets, which `bundle.py` builds from the sources in this folder into dist/.

The page talks to the API beside it and to nobody else; its Content-Security-Policy holds it to that.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

DIST = Path(__file__).resolve().parent / "dist"
HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self' 'unsafe-inline'",  # the editor places its lines and colours by style elements and attributes
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "worker-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
MISSING = """GraphiQL is not built in this checkout; everything else works without it.

`make ide` builds it (so do `make demo` and the wheel), in about a minute, with the npm registry in reach:
the sources are in graph/ide. Then reload this page.

/graphql           the API, for any other client
/schema.graphql    the schema, with all descriptions
"""


def page(request: Request) -> Response:
    """The page, or how to build it."""
    file = DIST / "index.html"
    if not file.is_file():
        return PlainTextResponse(MISSING, 404, HEADERS)
    return FileResponse(file, headers=HEADERS | {"Cache-Control": "no-cache"})


def asset(request: Request) -> Response:
    """A file whose name changes with its content. Workers are under the policy that their own file comes with."""
    file = DIST / "assets" / request.path_params["name"]
    if not file.is_file():
        return PlainTextResponse("There is no such asset; reload /graphiql.\n", 404, HEADERS)
    return FileResponse(file, headers=HEADERS | {"Cache-Control": "public, max-age=31536000, immutable"})


ROUTES = [Route("/graphiql", page), Route("/graphiql/assets/{name}", asset)]
