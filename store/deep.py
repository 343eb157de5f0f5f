"""`vkg doctor --deep`: everything that the store promises of itself, read and compared.

Each check reads in a transaction of its own, of one moment (REPEATABLE READ), so that it may run while loads do; nothing is changed. What a check
finds are `Finding`s; what it looked at, it says. A table that cannot be read is a finding, too; a server that is gone is not.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

RESTORE = "See the server's log and its disk, then restore a backup: vkg restore."
REPORT = "This is a fault of vkg: please report it; vkg unload takes the load out, and loading it again puts it right."

MOST = 20
"""Findings of a check that are told of one place."""

_OF_A_MODEL = re.compile(r"embedding_\d+(_|$)")
"""Tables that come and go with models."""


@dataclass(frozen=True)
class Finding:
    """Something that wants attention, where it is, and the command or step that mends it."""

    what: str
    remedy: str
    where: str = ""


@dataclass(frozen=True)
class Check:
    """A check that was made: its name, what it looked at, and how long that took in seconds."""

    name: str
    looked_at: str
    seconds: float


@dataclass
class Looking:
    """What a check reads with, and where it puts what it finds."""

    conn: psycopg.Connection[Any]
    findings: list[Finding] = field(default_factory=list)
    _left_out: Counter[str] = field(default_factory=Counter)

    def find(self, what: str, remedy: str, where: str) -> None:
        """Notes something that is wrong. Of one place the first are told, and how many more there are."""
        if sum(found.where == where for found in self.findings) < MOST:
            self.findings.append(Finding(what, remedy, where))
        else:
            self._left_out[where] += 1

    def all_found(self) -> list[Finding]:
        """What was found."""
        more = [Finding(f"and {number:,} more of these", "As above.", where) for where, number in self._left_out.items()]
        return self.findings + more

    def ask(self, where: str, statement: Any, values: Any = None) -> list[tuple[Any, ...]]:
        """The rows of a statement; none, and a finding, where the server cannot read what it asks for. Raises where it is gone."""
        try:
            with self.conn.transaction():
                return self.conn.execute(statement, values).fetchall()
        except psycopg.Error as error:
            if self.conn.broken or isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.InsufficientPrivilege):
                raise
            if isinstance(error, psycopg.errors.UndefinedTable) and _OF_A_MODEL.match(where):
                return []  # it was taken out meanwhile
            self.find(f"cannot be read: {error.diag.message_primary or error}", RESTORE, where)
            return []


Look = Callable[[Looking], str]
"""A check: notes what it finds, and returns what it looked at."""


def look(
    conn: psycopg.Connection[Any], checks: Sequence[tuple[str, Look]], report: Callable[[str], None]
) -> Iterator[tuple[Check, list[Finding]]]:
    """Makes the checks one after the other, and gives each with what it found; `report` is told of it before. `conn` in autocommit mode."""
    for name, check in checks:
        report(name)
        begun, looking = time.monotonic(), Looking(conn)
        with moment(conn):
            looked_at = check(looking)
        yield Check(name, looked_at, round(time.monotonic() - begun, 3)), looking.all_found()


@contextmanager
def moment(conn: psycopg.Connection[Any]) -> Iterator[None]:
    """A transaction that sees one moment, and is undone."""
    with conn.transaction(force_rollback=True):
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # Whoever may not see all rows is told so, and does not take what he sees for everything.
        conn.execute("SELECT set_config('row_security', 'off', true), set_config('jit', 'off', true)")
        yield


def counted(number: int, of: str) -> str:
    """A number of things: 1 row, 2 rows."""
    return f"{number:,} {of}{'' if number == 1 else 's'}"
