"""Several processes that answer at one port: each makes the application, and listens at the socket that the first process bound.

The first one only looks after the others. One that dies is replaced, after a pause that grows while none can begin; where none ever could, that is an error;
and all end with the first, however it ends.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import uvicorn
from starlette.applications import Starlette

from store.errors import StoreError

from .protocol import OPTIONS as PROTOCOL

log = logging.getLogger("vkg.graph")

OPTIONS: dict[str, Any] = {
    "loop": "uvloop", "lifespan": "on", "log_level": "warning", "access_log": False, "server_header": False, **PROTOCOL,
}  # fmt: skip
"""How uvicorn serves, in one process or in several."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
PATIENCE = 30.0
"""Seconds that workers have to finish what they answer, before they are killed."""

Make = Callable[[], Starlette]


def serve(make: Make, sock: socket.socket, workers: int, ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or Ctrl-C; `ready` is called once one can answer. Raises StoreError where none ever could, and KeyboardInterrupt."""
    _Workers(make, sock, ready).run(workers)


class _Workers:
    def __init__(self, make: Make, sock: socket.socket, ready: Callable[[], None]) -> None:
        self._make, self._sock, self._ready = make, sock, ready
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[int, tuple[SpawnProcess, Connection]] = {}  # by the sentinel, which tells the end
        self._due: list[float] = []  # when another one is to begin
        self._served = False
        self._failed = 0

    def run(self, count: int) -> None:
        asked: list[int] = []
        listening, waking = os.pipe()

        def end(number: int, _: Any) -> None:
            asked.append(number)
            os.write(waking, b".")

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        try:
            for _ in range(count):
                self._begin()
            while not asked:
                pause = max(0.0, min(self._due) - time.monotonic()) if self._due else None
                pipes = {pipe: sentinel for sentinel, (_, pipe) in self._running.items()}
                for event in wait([listening, *pipes, *self._running], pause):
                    if event in pipes and pipes[event] in self._running:
                        self._hear(pipes[event])
                    elif event in self._running:
                        self._replace(event)
                for due in [due for due in self._due if due <= time.monotonic()]:
                    self._due.remove(due)
                    self._begin()
        finally:
            self._stop()
        if signal.SIGINT in asked:
            raise KeyboardInterrupt

    def _begin(self) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(self._make, self._sock, theirs), daemon=False)
        process.start()
        theirs.close()
        self._running[process.sentinel] = process, ours

    def _hear(self, sentinel: Any) -> None:
        """What a worker says: None when it can answer, else why it cannot begin."""
        process, pipe = self._running[sentinel]
        try:
            said = pipe.recv()
        except EOFError:  # it has ended, or is about to
            process.join()
            return
        if said is not None:
            self._failed_with(said)
        self._failed = 0
        if not self._served:
            self._served = True
            self._ready()

    def _failed_with(self, what: str) -> None:
        if not self._served:
            raise StoreError(what)
        log.error("a worker cannot begin: %s", what)

    def _replace(self, sentinel: Any) -> None:
        process, pipe = self._running.pop(sentinel)
        process.join()
        with contextlib.suppress(EOFError):
            while pipe.poll():
                if (said := pipe.recv()) is not None:
                    self._failed_with(said)
        pipe.close()
        if not self._served:
            raise StoreError(f"a worker ended before it could answer (exit code {process.exitcode})", "What it said stands above.")
        pause = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2**self._failed)
        log.warning("worker %d ended (exit code %s); another one begins in %.1f s", process.pid, process.exitcode, pause)
        self._failed += 1
        self._due.append(time.monotonic() + pause)

    def _stop(self) -> None:
        processes = [process for process, _ in self._running.values()]
        for process in processes:
            process.terminate()
        end = time.monotonic() + PATIENCE
        for process in processes:
            process.join(max(0.0, end - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()


# ---- in a worker


class _Server(uvicorn.Server):
    """Tells when it can answer."""

    def __init__(self, config: uvicorn.Config, tell: Connection) -> None:
        super().__init__(config)
        self._tell = tell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it."""
        await super().startup(sockets)
        if self.started:
            self._tell.send(None)


def _work(make: Make, sock: socket.socket, tell: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        server = _Server(uvicorn.Config(make(), **OPTIONS), tell)
    except Exception as error:
        tell.send(str(error))
        if not hasattr(error, "remedy"):  # those of the project say what to do
            raise
        raise SystemExit(1) from None
    with contextlib.suppress(KeyboardInterrupt):
        server.run([sock])
    if not server.started:
        raise SystemExit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
