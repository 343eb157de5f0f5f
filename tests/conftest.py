"""What all tests share: one embedded PostgreSQL per test process, and a database of its own, with a fresh store, for
every test that asks for one.

Everything runs in a folder of this run, in memory where there is enough, with VKG_HOME set before the first import, so no test
can reach a store that somebody uses.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from hypothesis import settings

from store import embedded
from store.migrate import migrate

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "data" / "real"  # files from real projects, too large for this repository; see its PROVENANCE.md
TEMPLATE = "vkg_template"
STRATEGY = "file_copy"
"""How databases are copied: without a way through the log, which takes four times as long."""

SPARE = 7 << 30
"""Bytes of memory that must be free for servers to have their data there: two test processes need up to five billion, most of them for one store of
two million variants (tests/store/test_plans.py)."""

_numbers = itertools.count()


def _volatile() -> Path:
    """The folder for servers: in memory, where making and dropping a database costs a tenth of what it does on a disk."""
    memory = Path("/dev/shm")
    with contextlib.suppress(OSError):
        found = os.statvfs(memory)
        free = min(found.f_bavail * found.f_frsize, psutil.virtual_memory().available, *embedded._cgroup_limits())
        if free >= SPARE and not found.f_flag & os.ST_NOEXEC and os.access(memory, os.W_OK):
            return memory
    return Path("/tmp")


VOLATILE = _volatile()
"""Parent of the folders of servers. Its path is short, because sockets have short paths, and passable, because root's server runs as another user."""

settings.register_profile("vkg", deadline=None)  # no test asserts a time, not even hypothesis's own
settings.load_profile("vkg")


def pytest_configure(config: pytest.Config) -> None:
    folder = Path(tempfile.mkdtemp(prefix="vkg-test-", dir=VOLATILE))
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


def pytest_collection_finish() -> None:
    # What was imported and collected lives as long as the process: the collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """URL of this process's embedded server, which loses its data in a power cut, as tests may."""
    url = embedded.start()
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("fsync = off", "full_page_writes = off", "max_wal_size = '512MB'"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
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
    with database(server, "template0") as url:
        yield url


@pytest.fixture
def store_url(_template: str) -> Iterator[str]:
    """URL of a database of this test's own that holds an initialised store with nothing loaded."""
    with database(_template, TEMPLATE) as url:
        yield url


@contextlib.contextmanager
def database(server: str, template: str) -> Iterator[str]:
    """URL of a new database of a server, a copy of another one of it, which nobody may be connected to meanwhile."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY {STRATEGY}")
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
