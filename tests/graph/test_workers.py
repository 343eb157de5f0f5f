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


def start(url: str, *more: str) -> Served:
    with closing(listen("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    command = [sys.executable, "-m", "vkg", "serve", "--port", str(port), "--workers", "2", *more]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=os.environ | {"VKG_DATABASE_URL": url}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    return Served(process, f"http://127.0.0.1:{port}")


@pytest.fixture
def served(demo_url: str) -> Iterator[Served]:
    served = start(demo_url)
    try:
        until(lambda: len(served.workers()) == 2 and served.ask())
        yield served
    finally:
        served.process.kill()
        served.process.communicate()


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


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_all(served: Served, number: signal.Signals, code: int) -> None:
    workers = served.workers()
    served.process.send_signal(number)
    out, err = served.process.communicate(timeout=40)
    assert served.process.returncode == code
    assert out.startswith(b"GraphQL at http://127.0.0.1:")
    assert b"Traceback" not in err
    assert not any(map(alive, workers))


@pytest.mark.slow
def test_what_keeps_all_workers_from_beginning_is_said_once(empty_url: str) -> None:
    failed = start(empty_url)
    out, err = failed.process.communicate(timeout=120)
    assert failed.process.returncode == 2
    assert out == b""
    assert b"vkg init" in err
    assert err.count(b"vkg:") == 1
    assert b"Traceback" not in err
