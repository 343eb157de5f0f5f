"""What all tests share: one embedded PostgreSQL per test process, and a database of its own, with a fresh store, for
every test that asks for one.

Everything runs in a folder under /tmp with VKG_HOME set before the first import, so no test can reach a store that
somebody uses.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings

from store import embedded
from store.migrate import migrate

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "data" / "real"  # files from real projects, too large for this repository; see its PROVENANCE.md
TEMPLATE = "vkg_template"

_numbers = itertools.count()

settings.register_profile("vkg", deadline=None)  # no test asserts a time, not even hypothesis's own
settings.load_profile("vkg")


def pytest_configure(config: pytest.Config) -> None:
    # Directly under /tmp, because sockets have short paths, and passable, because root's server runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="vkg-test-", dir="/tmp"))
    folder.chmod(0o711)
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["VKG_HOME"] = str(folder / "home")
    os.environ["VKG_EMBEDDED_MEMORY"] = "256MB"
    os.environ.pop("VKG_DATABASE_URL", None)
    os.environ.pop("VKG_DATABASE_URL_FILE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("requires_real") and not REAL.is_dir():
            item.add_marker(pytest.mark.skip(reason=f"the real files are not here: {REAL}"))


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """URL of this process's embedded server, which loses its data in a power cut, as tests may."""
    url = embedded.start()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield url
    embedded.stop()


@pytest.fixture(scope="session")
def _template(server: str) -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    migrate(_other_database(server, TEMPLATE))
    return server


def _other_database(url: str, name: str) -> str:
    return url.replace(f"/{embedded.NAME}?", f"/{name}?")


@pytest.fixture
def empty_url(server: str) -> Iterator[str]:
    """URL of a database of this test's own that holds nothing."""
    yield from _database(server, "template0")


@pytest.fixture
def store_url(_template: str) -> Iterator[str]:
    """URL of a database of this test's own that holds an initialised store with nothing loaded."""
    yield from _database(_template, TEMPLATE)


def _database(server: str, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield _other_database(server, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def conn(store_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A psycopg connection to this test's store."""
    with psycopg.connect(store_url) as connection:
        yield connection


@pytest.fixture
def real() -> Path:
    """Folder of the real files; use it with the marker requires_real."""
    return REAL
