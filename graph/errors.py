"""What the API says when something is wrong.

A `UserError` is the caller's to mend and is shown with its code; everything else is logged under an id and masked.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any

from graphql import GraphQLError

from store.errors import InvalidName, NotInitialised, StoreError

log = logging.getLogger("vkg.graph")


class UserError(Exception):
    """The request cannot be answered as it is. `code` is stable; `value` is what was wrong, `hint` what to do."""

    def __init__(self, code: str, message: str, *, value: Any = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.value, self.hint = code, value, hint

    def extensions(self) -> dict[str, Any]:
        """The `extensions` of the GraphQL error."""
        return {k: v for k, v in (("code", self.code), ("value", self.value), ("hint", self.hint)) if v is not None}


def present(error: GraphQLError) -> GraphQLError:
    """The error as callers may see it, with `extensions.code`."""
    cause = error.original_error
    while isinstance(cause, GraphQLError) and cause.original_error:
        cause = cause.original_error
    if isinstance(cause, UserError):
        return _with(error, str(cause), cause.extensions())
    if isinstance(cause, InvalidName):
        return _with(error, cause.what, UserError("INVALID_NAME", cause.what, hint=cause.remedy).extensions())
    if cause is None or isinstance(cause, GraphQLError):
        return error if "code" in (error.extensions or {}) else _with(error, error.message, {"code": "BAD_REQUEST"})
    if isinstance(cause, TimeoutError) or getattr(cause, "sqlstate", None) == "57014":
        return _with(error, "The request took too long.", {"code": "TIMEOUT", "hint": "Ask for less: a smaller page or region, fewer levels."})
    number = secrets.token_hex(4)
    log.error("error %s at %s", number, error.path, exc_info=cause)
    code = "STORE_UNAVAILABLE" if isinstance(cause, StoreError | NotInitialised | OSError) else "INTERNAL"
    return _with(error, f"Something went wrong on the server (error {number}).", {"code": code, "id": number})


def _with(error: GraphQLError, message: str, extensions: dict[str, Any]) -> GraphQLError:
    return GraphQLError(message, error.nodes, error.source, error.positions, error.path, error.original_error, extensions)
