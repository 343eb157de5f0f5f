"""Migrations: the numbered SQL files of store/migrations, applied in order by yoyo-migrations, each in one transaction
with the record that it was.

Comes in: the database's URL. Goes out: the names of what was applied, such as 0001.genome.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import MigrationList, default_migration_table

from store import database
from store.errors import NotInitialised, StoreError

SOURCE = "package:store:migrations"
LOCK = 0x766B67  # "vkg": an advisory lock's number, in the database's own name space


def migrate(url: str, source: str = SOURCE) -> list[str]:
    """Apply what is not yet applied and return its names, in order.

    Processes that do this at once wait for each other, and the later ones find nothing to do. `source` is a folder, or
    a package's as yoyo writes it. Raises ServerError for a server the store cannot live on, NotInitialised for a store
    of a newer version of this program, and StoreError where a migration fails, which is then undone whole.
    """
    migrations = read_migrations(source)
    with database.connect(url, autocommit=True) as connection:
        database.check_server(connection)
        with _locked(connection), database.wrap_errors():
            _refuse_newer(connection, migrations)
            return _apply(migrations, url)


def pending(connection: psycopg.Connection[Any], source: str = SOURCE) -> list[str]:
    """Return the names of the migrations this database lacks, in order: all, where there is no store.

    Raises StoreError.
    """
    done = applied(connection)
    return [migration.id for migration in read_migrations(source) if migration.id not in done]


def applied(connection: psycopg.Connection[Any]) -> set[str]:
    """Return the names of the migrations this database has; none, where there is no store. Raises StoreError."""
    with database.wrap_errors():
        if connection.execute("SELECT to_regclass(%s)", [default_migration_table]).fetchone() == (None,):
            return set()
        return {name for (name,) in connection.execute(f"SELECT migration_id FROM {default_migration_table}")}


def _apply(migrations: MigrationList, url: str) -> list[str]:
    # libpq's reading of the URL, because yoyo's own knows one host only and decodes no database name.
    uri = DatabaseURI("postgresql+psycopg", None, None, None, None, None, conninfo_to_dict(url))
    with PostgresqlPsycopgBackend(uri, default_migration_table) as backend:
        backend.init_database()
        backend.break_lock()  # a row left by a killed process; ours is the lock that counts
        done = []
        for migration in backend.to_apply(migrations):
            # Not backend.apply_migrations, which commits a migration before it records it: after a crash between the
            # two every later run would fail. No log, because it wants names of user and host, which not all have.
            try:
                with backend.transaction():
                    migration.process_steps(backend, "apply")
                    backend.mark_one(migration, log=False)
            except psycopg.Error as error:
                what = f"Migration {migration.id} failed and was undone: {error}"
                raise StoreError(f"{what} (SQLSTATE {error.sqlstate})") from error
            done.append(migration.id)
        return done


def _refuse_newer(connection: psycopg.Connection[Any], migrations: MigrationList) -> None:
    if unknown := applied(connection) - {migration.id for migration in migrations}:
        what = f"The store was made by a newer version of vkg (migration {max(unknown)})."
        raise NotInitialised(what, "Upgrade vkg, or use another database.")


@contextlib.contextmanager
def _locked(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Hold the lock of migrations; the server frees it when the connection ends, however that ends."""
    with database.wrap_errors():
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    try:
        yield
    finally:
        with contextlib.suppress(psycopg.Error):
            connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
