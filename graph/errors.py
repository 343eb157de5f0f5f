"""What the API says when something is wrong.

A `UserError` is the caller's to mend and is shown with its code; everything else is logged under an id and masked.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any

from graphql import GraphQLError

from store.errors import InvalidName, NotInitialised, ServerError

log = logging.getLogger("vkg.graph")


class UserError(Exception):
    """The request cannot be answered as it is. `code` is stable; `value` is what was wrong, `hint` what to do; `id` names it in the log."""

    def __init__(self, code: str, message: str, *, value: Any = None, hint: str | None = None, id: str | None = None) -> None:
        super().__init__(message)
        self.code, self.value, self.hint, self.id = code, value, hint, id

    def extensions(self) -> dict[str, Any]:
        """The `extensions` of the GraphQL error."""
        return {k: v for k in ("code", "value", "hint", "id") if (v := getattr(self, k)) is not None}


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
    shown = explain(cause, f"at {error.path}")
    return _with(error, str(shown), shown.extensions())


def explain(cause: BaseException, where: str) -> UserError:
    """What callers may know of an error that is not theirs; all of it goes to the log, under an id where they see nothing of it."""
    sqlstate = getattr(cause.__cause__, "sqlstate", None)
    if isinstance(cause, TimeoutError) or sqlstate == "57014":
        return UserError("TIMEOUT", "The request took too long.", hint="Ask for less: a smaller page or region, fewer levels.")
    if sqlstate == "22021":
        return UserError("BAD_REQUEST", "A text holds the character U+0000, which no text in the store does.", hint="Leave it out.")
    if isinstance(cause, RecursionError):
        return UserError("TOO_DEEP", "The request is nested too deeply to be read.", hint="Ask for fewer levels.")
    number = secrets.token_hex(4)
    unavailable = isinstance(cause, ServerError | NotInitialised | OSError)
    log.error(
        "error %s %s%s", number, where, f": {cause}" if unavailable else "", exc_info=None if unavailable else cause
    )  # an outage says one thing often
    if unavailable:
        return UserError(
            "STORE_UNAVAILABLE", f"The store does not answer just now (error {number}).", id=number, hint="Try again in a moment."
        )
    return UserError("INTERNAL", f"Something went wrong on the server (error {number}).", id=number)


def _with(error: GraphQLError, message: str, extensions: dict[str, Any]) -> GraphQLError:
    return GraphQLError(message, error.nodes, error.source, error.positions, error.path, error.original_error, extensions)
