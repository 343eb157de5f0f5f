"""Who may see individual-level data: tokens, grants of datasets, and the log of what was read (migrations/0013.access.sql)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from .errors import StoreError
from .load import returned

PREFIX = "vkg_"
"""How a token begins, so that scanners of leaked secrets know one."""

INDIVIDUAL, ADMIN = SCOPES = ("individual", "admin")
"""What a token is for: the individual-level data of the datasets that its subject was granted, or all data."""


LEAST_PEOPLE = 5
"""Of fewer people, counts and frequencies are individual-level data, unless a server is told otherwise."""


@dataclass(frozen=True)
class Token:
    """A token as the store knows it."""

    token_id: int
    subject: str
    scopes: list[str]
    label: str | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True)
class Grant:
    """A dataset whose individual-level data a subject may see; `there` tells whether there is a dataset of that name."""

    subject: str
    dataset: str
    granted_at: datetime
    there: bool


@dataclass(frozen=True)
class Entry:
    """What was read of single persons: by whom, with which operation (SHA-256 of its document), in which release, of which samples (COHORT/NAME)."""

    audit_id: int
    at: datetime
    subject: str
    operation: str
    operation_name: str | None
    release_id: int
    samples: list[str]


def create_token(
    conn: psycopg.Connection[Any], subject: str, scopes: Sequence[str], expires: datetime, label: str | None = None
) -> tuple[int, str]:
    """Makes a token. Returns its number, and the token itself, which is nowhere else. Raises StoreError for a scope that there is not."""
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise StoreError(f"there is no scope {unknown[0]!r}", f"Scopes are {' and '.join(SCOPES)}; open data needs none.")
    token = PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).digest()
    number = returned(
        conn, "INSERT INTO access_token (subject, hash, scopes, label, expires_at) VALUES (%s, %s, %s, %s, %s) RETURNING token_id",
        subject, digest, [*scopes], label, expires,
    )  # fmt: skip
    return number, token


def tokens(conn: psycopg.Connection[Any]) -> list[Token]:
    """All tokens, the first first."""
    with conn.cursor(row_factory=class_row(Token)) as cursor:
        rows = cursor.execute(
            "SELECT token_id, subject, scopes, label, created_at, expires_at, revoked_at FROM access_token ORDER BY token_id"
        )
        return rows.fetchall()


def revoke_token(conn: psycopg.Connection[Any], token_id: int) -> None:
    """Revokes a token. Raises StoreError where there is none of this number."""
    if not conn.execute("UPDATE access_token SET revoked_at = coalesce(revoked_at, now()) WHERE token_id = %s", (token_id,)).rowcount:
        raise StoreError(f"there is no token {token_id}", "vkg token list has the numbers.")


def grant(conn: psycopg.Connection[Any], subject: str, datasets: Sequence[str]) -> list[str]:
    """Lets a subject see the individual-level data of datasets. Returns those of them that there are not (yet)."""
    with conn.transaction():
        for dataset in datasets:
            conn.execute("INSERT INTO access_grant (subject, dataset) VALUES (%s, %s) ON CONFLICT DO NOTHING", (subject, dataset))
    there = {name for (name,) in conn.execute("SELECT name FROM dataset WHERE name = ANY(%s)", ([*datasets],))}
    return [dataset for dataset in datasets if dataset not in there]


def withdraw(conn: psycopg.Connection[Any], subject: str, datasets: Sequence[str]) -> None:
    """Takes grants back; all of a subject, where no datasets are given. Raises StoreError where there is none of one."""
    with conn.transaction():
        if not datasets:
            conn.execute("DELETE FROM access_grant WHERE subject = %s", (subject,))
        for dataset in datasets:
            if not conn.execute("DELETE FROM access_grant WHERE subject = %s AND dataset = %s", (subject, dataset)).rowcount:
                raise StoreError(f"{subject} was not granted {dataset!r}", "vkg grant list has what was granted.")


def grants(conn: psycopg.Connection[Any]) -> list[Grant]:
    """All grants, by subject and dataset."""
    with conn.cursor(row_factory=class_row(Grant)) as cursor:
        return cursor.execute(
            """SELECT subject, dataset, granted_at, EXISTS (SELECT FROM dataset d WHERE d.name = g.dataset) AS there
            FROM access_grant g ORDER BY subject, dataset"""
        ).fetchall()


def audit(
    conn: psycopg.Connection[Any], *, subject: str | None = None, sample: str | None = None, since: datetime | None = None, last: int = 1000
) -> list[Entry]:
    """The `last` entries of the log, the first first: of a subject, a sample (NAME or COHORT/NAME), from a time on."""
    with conn.cursor(row_factory=class_row(Entry)) as cursor:
        rows = cursor.execute(
            """SELECT a.audit_id, a.at, a.subject, a.operation, a.operation_name, a.release_id, a.names AS samples
            FROM access_audit a WHERE (%(subject)s::text IS NULL OR a.subject = %(subject)s) AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s)
                AND (%(sample)s::text IS NULL OR EXISTS (SELECT FROM unnest(a.names) n WHERE n = %(sample)s OR right(n, length(%(sample)s) + 1) = '/' || %(sample)s))
            ORDER BY a.audit_id DESC LIMIT %(last)s""",
            {"subject": subject, "sample": sample, "since": since, "last": last},
        ).fetchall()
    return rows[::-1]
