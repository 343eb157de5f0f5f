"""What the store says when something is wrong. Every driver error is wrapped here; nothing of psycopg or asyncpg crosses the store's boundary."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot do what was asked. The message says what happened, where, and what to do."""

    def __init__(self, what: str, remedy: str | None = None) -> None:
        super().__init__(f"{what}\n  {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy


class ServerError(StoreError):
    """The PostgreSQL server cannot be reached, started, or is not one the store can live on."""


class NotInitialised(StoreError):
    """The database holds no store yet, or one of another schema version; `vkg init` makes or migrates it."""


class InvalidName(StoreError):
    """A name (of a variant, region, chromosome, dataset, release) does not say what it should."""


class OutputError(StoreError):
    """A file cannot be written."""
