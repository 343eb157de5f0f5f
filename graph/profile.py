"""Profiles: what a server offers to those who reach it, chosen by `vkg serve --profile`. One table; docs/security.md has the same, and a test holds them equal."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Profile:
    """What is offered. What is not is answered as if it were not there, or with a code that says so."""

    name: str
    any_document: bool = True
    """Documents as they come; else trusted ones only, by their hash (trusted.py)."""
    introspection: bool = True
    suggestions: bool = True
    """Whether a misspelt name is answered with those that are near."""
    get: bool = True
    """GET /graphql: a query in an address, which browsers, proxies and logs keep, with the names of persons in it."""
    measures: bool = True
    """Statements and milliseconds of a request in `extensions.cost`, beside its cost in objects."""
    graphiql: bool = True
    schema_file: bool = True
    front: bool = True
    """The page at `/` that says what the store holds."""
    metrics: bool = True
    """`/metrics`: how much is asked, and with what success."""


DEFAULT = Profile("default")
PUBLIC = Profile("public", get=False, measures=False, metrics=False)
LOCKED = replace(
    PUBLIC, name="locked", any_document=False, introspection=False, suggestions=False, graphiql=False, schema_file=False, front=False
)
PROFILES = {profile.name: profile for profile in (DEFAULT, PUBLIC, LOCKED)}

_SUGGESTION = re.compile(r" Did you mean [^?]*\?")


def without_suggestions(body: dict[str, Any]) -> None:
    """Takes what graphql-core suggests out of the errors of an answer."""
    for error in body.get("errors", ()):
        error["message"] = _SUGGESTION.sub("", error["message"])
