"""A request as it comes in: whether this server answers such ones, and the operations that it asks for.

What web pages of other sites can make a browser send is refused before it is read: bodies other than JSON, which browsers send without asking
first (CSRF), GET that a browser says comes from another site, and names that another site gave to this machine's loopback (DNS rebinding).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.types import Receive, Scope

from . import backpressure, limits, trusted
from .errors import UserError
from .profile import DEFAULT, Profile

JSON = "application/json"
HELD_BYTES = 64 << 20
"""Bytes of all bodies together of which more is to come: those that come in one piece, as nearly all do, are not counted."""
FIELDS = ("query", "documentId", "operationName", "variables", "extensions")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names of this machine for itself."""

Headers = Mapping[bytes, bytes]
"""The headers of a request, by their names in lower case."""


class Incoming:
    """Reads requests. `hosts` are the names by which the server may be called, without ports, any where there are none; `origins` the sites whose pages
    may ask it."""

    def __init__(
        self,
        profile: Profile = DEFAULT,
        documents: trusted.Documents | None = None,
        origins: tuple[str, ...] = (),
        hosts: tuple[str, ...] = (),
    ) -> None:
        self._profile, self._documents, self._hosts = profile, documents or {}, frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)
        self._known: set[bytes] = set()  # values of the header Host that are fine
        self._held = 0

    def check_host(self, headers: Headers) -> None:
        """Raises UserError UNKNOWN_HOST for a request to a name that is not this server's."""
        if self._hosts and (host := headers.get(b"host")) is not None and host not in self._known:
            name = re.sub(r":\d*$", "", host.decode("latin-1")).lower()
            if name not in self._hosts:
                raise UserError(
                    "UNKNOWN_HOST", f"This server is not called {name[:80]!r}.", value=name[:80],
                    hint="Use the address that it was started with, or start it with --allow-host NAME.",
                )  # fmt: skip
            if len(self._known) < 100:
                self._known.add(host)

    async def read(self, scope: Scope, headers: Headers, receive: Receive) -> tuple[list[dict[str, Any]], bool]:
        """The operations of a request, and whether they came as a batch. Raises UserError."""
        self.check_host(headers)
        if scope["method"] == "POST":
            fields = await self._posted(headers, receive)
        else:
            fields = self._asked(scope, headers)
        operations = fields if isinstance(fields, list) else [fields]
        if len(operations) > limits.BATCH or not operations:
            raise limits.LimitError(
                "BATCH_SIZE", f"A batch of {len(operations)} operations.", limit=limits.BATCH, value=len(operations),
                hint=f"Send 1 to {limits.BATCH}.",
            )  # fmt: skip
        for operation in operations:
            if not isinstance(operation, dict):
                raise _no_query()
            for name, wanted in (("variables", dict), ("extensions", dict), ("operationName", str)):
                if operation.get(name) is not None and not isinstance(operation[name], wanted):
                    raise UserError("BAD_REQUEST", f"{name} is not {'an object' if wanted is dict else 'a string'}.")
            if not self._profile.any_document or "documentId" in operation or operation.get("extensions"):
                self._find(operation)
            if not isinstance(operation.get("query"), str):
                raise _no_query()
        return operations, isinstance(fields, list)

    # ---- whose documents

    def _find(self, operation: dict[str, Any]) -> None:
        """Puts the text of a trusted document in its place. Raises UserError for one that is not known, or not trusted."""
        identifier = trusted.asked(operation)
        if identifier is not None:
            text = self._documents.get(identifier)
            if text is not None:
                operation["query"] = text
                return
            if operation.get("query") is None:
                raise trusted.unknown(operation, identifier)
        if not self._profile.any_document:
            raise UserError(
                "UNTRUSTED_DOCUMENT", "This server answers trusted documents only.",
                hint='Send {"documentId": "sha256:..."} with variables, of a document that it was started with.',
            )  # fmt: skip

    # ---- in the address

    def _asked(self, scope: Scope, headers: Headers) -> dict[str, Any]:
        if scope["method"] != "GET" or not self._profile.get:
            allowed = "GET and POST" if self._profile.get else "POST"
            raise UserError("METHOD_NOT_ALLOWED", f"{scope['method'][:20]} is not answered here.", hint=f"Use {allowed}.")
        self._check_site(headers)
        try:
            pairs = parse_qsl(
                scope["query_string"].decode("ascii"), keep_blank_values=True, strict_parsing=False, max_num_fields=20, errors="strict"
            )
        except ValueError:
            raise UserError("BAD_REQUEST", "The query of the address cannot be read.", hint="Write it in UTF-8, percent-encoded.") from None
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found and name in FIELDS:
                raise UserError("BAD_REQUEST", f"{name} is given twice.")
            found[name] = value
        if "query" not in found and "documentId" not in found and "extensions" not in found:
            raise UserError("NO_QUERY", "No query.", hint="POST JSON with the key query, or GET /graphql?query=...")
        for name in ("variables", "extensions"):
            if found.get(name):
                found[name] = _json(found[name].encode(), name)
            else:
                found.pop(name, None)
        found["operationName"] = found.get("operationName") or None
        return found

    def _check_site(self, headers: Headers) -> None:
        """Refuses what a browser says that a page of another site made it send."""
        site = headers.get(b"sec-fetch-site", b"none")
        if site not in (b"none", b"same-origin") and not ({headers.get(b"origin", b"").decode("latin-1"), "*"} & self._origins):
            raise UserError("CROSS_SITE", "Pages of other sites cannot ask here with GET.", hint="Name their origin with --allow-origin.")

    # ---- in the body

    async def _posted(self, headers: Headers, receive: Receive) -> Any:
        kind = headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower()
        if kind != JSON:
            raise UserError(
                "UNSUPPORTED_MEDIA_TYPE", f"Content-Type {kind[:80] or '(none)'} is not read here.", hint="Send application/json."
            )
        encoding = headers.get(b"content-encoding")
        if encoding is not None and encoding.lower() != b"identity":
            raise UserError(
                "UNSUPPORTED_ENCODING", f"Content-Encoding {encoding[:40].decode('latin-1')} is not read here.", hint="Send it as it is."
            )
        return _json(await self._body(headers, receive), "body")

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 15:
            raise _too_large(None)
        if int(length) > limits.BODY_BYTES:
            raise _too_large(int(length))
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            body: bytes = message.get("body", b"")
            if len(body) > limits.BODY_BYTES:
                raise _too_large(len(body))
            return body
        chunks: list[bytes] = []
        size, more = 0, True
        try:
            while more:
                if message["type"] == "http.disconnect":
                    raise UserError("BAD_REQUEST", "The client went away.")
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                self._held += len(chunks[-1])
                if size > limits.BODY_BYTES:
                    raise _too_large(size)
                if self._held > HELD_BYTES:
                    raise backpressure.overloaded("The server has as many bodies as it can hold", HELD_BYTES, self._held)
                more = message.get("more_body", False)
                if more:
                    message = await receive()
        finally:
            self._held -= size
        return b"".join(chunks)


def _too_large(size: int | None) -> limits.LimitError:
    return limits.LimitError(
        "BODY_TOO_LARGE", f"The request body is larger than {limits.BODY_BYTES:,} bytes.", limit=limits.BODY_BYTES, value=size,
        hint="Send fewer or smaller variables.",
    )  # fmt: skip


def _no_query() -> UserError:
    return UserError("NO_QUERY", "No query.", hint='Send {"query": "{ store { assembly } }"}, with variables and operationName as needed.')


def _json(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UserError("BAD_JSON", f"The {what} is not JSON: {error}.") from None
