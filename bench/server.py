"""A PostgreSQL server of a benchmark's own, in a temporary folder that is gone afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.synthetic import fill
from store import embedded
from store.migrate import migrate

MEMORY = "2GB"


@contextmanager
def own_server() -> Iterator[str]:
    """URL of an embedded server with an empty, migrated store; stopped and removed on leaving."""
    # Directly under /tmp, because sockets have short paths, and passable, because root's server runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="vkg-bench-", dir="/tmp"))
    folder.chmod(0o711)
    os.environ |= {"VKG_HOME": str(folder / "home"), "VKG_EMBEDDED_MEMORY": os.environ.get("VKG_EMBEDDED_MEMORY", MEMORY)}
    try:
        url = embedded.start()
        migrate(url)
        yield url
    finally:
        embedded.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def synthetic_store(url: str | None, variants: int) -> Iterator[str]:
    """URL of a store of synthetic variants: the one given, else of a server of the benchmark's own with so many."""
    if url is not None:
        yield url
        return
    with own_server() as own:
        fill(own, variants)
        yield own
