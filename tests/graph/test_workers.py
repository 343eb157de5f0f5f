"""`vkg serve --workers`: several processes answer at one port, and all end with the first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from graph.commands import listen

REPOSITORY = Path(__file__).parents[2]
QUERY = '{ variant(id: "rs4813331") { name } store { assembly } }'


def until(holds: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


class Served:
    def __init__(self, process: subprocess.Popen[bytes], address: str) -> None:
        self.process, self.address = process, address

    def ask(self) -> dict | None:
        """The data, on a connection of its own, which any worker may take; None where nobody answers."""
        try:
            return httpx.post(f"{self.address}/graphql", json={"query": QUERY}, timeout=30).json()["data"]
        except httpx.TransportError:
            return None

    def workers(self) -> list[psutil.Process]:
        return [each for each in psutil.Process(self.process.pid).children() if alive(each) and "spawn_main" in " ".join(each.cmdline())]


@pytest.fixture
def served(demo_url: str) -> Iterator[Served]:
    with closing(listen("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    command = [sys.executable, "-m", "vkg", "serve", "--port", str(port), "--workers", "2"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | {"VKG_DATABASE_URL": demo_url}, stdout=subprocess.DEVNULL)
    served = Served(process, f"http://127.0.0.1:{port}")
    try:
        until(lambda: len(served.workers()) == 2 and served.ask())
        yield served
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_all_end_with_the_first(served: Served) -> None:
    answer = served.ask()
    assert answer is not None
    assert answer["variant"]["name"].startswith("20-")
    first = served.workers()
    first[0].kill()
    until(lambda: len(served.workers()) == 2 and first[0].pid not in [each.pid for each in served.workers()])
    for _ in range(10):
        assert served.ask() == answer
    last = served.workers()
    served.process.send_signal(signal.SIGKILL)
    until(lambda: not any(map(alive, last)))
    assert served.ask() is None
