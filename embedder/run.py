"""From the store to vectors and back: variants that have none yet, task by task, by as many workers as there are.

A task is taken, embedded and written in one transaction (store.embedding.work), so a worker that dies leaves no trace but the task. Lanes are
threads of one process, each with a connection and a task of its own: while one has the device, others make windows and tokens, or write.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

import psycopg

from embedder.backends import Genome, Sequences, token_makers
from embedder.models import Model
from embedder.pooling import Pooling
from embedder.progress import Progress
from store import embedding
from store.database import connect, wrap_errors
from store.embedding import Rows, Vectors
from store.release import current

_VANISHED = {"tcp_keepalives_idle": 60, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 6}
"""A machine that is gone without a word gives its tasks back after two minutes."""


class Embed(Protocol):
    """What turns variants into vectors."""

    @property
    def task(self) -> int:
        """How many variants it takes at once."""
        ...

    @property
    def lanes(self) -> int:
        """How many tasks at once are worth while."""
        ...

    def __call__(self, conn: psycopg.Connection, rows: Rows) -> Vectors:
        """The vectors of variants. The connection is for models that read observations."""
        ...


@dataclass
class Outcome:
    """What became of a run: variants that got a vector, and those that did not, by reason; and whether Ctrl-C ended it."""

    embedded: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False


def run(model: embedding.Model, made: Embed, ranges: Sequence[tuple[int, int]] = embedding.EVERYWHERE) -> Outcome:
    """Embeds the variants in ranges of keys, half-open, that have no vector yet, beside whoever else is at it.

    At the first Ctrl-C it ends after the tasks at hand, at a second one the process does, at once. Raises EmbedderError and StoreError; tasks
    that were done stay done.
    """
    outcome, lock, stop = Outcome(), threading.Lock(), threading.Event()
    with wrap_errors(), connect(autocommit=True) as conn:
        waiting = embedding.plan(conn, model, ranges, made.task)

    def lane() -> None:
        with wrap_errors(), connect(autocommit=True) as conn:
            for name, value in _VANISHED.items():
                conn.execute(f"SET {name} = {value}")
            seen: list[Vectors] = []

            def embed_task(rows: Rows) -> Vectors:
                seen[:] = [made(conn, rows)]
                return seen[0]

            while not stop.is_set() and embedding.work(conn, model, embed_task, ranges) is not None:
                (vectors,) = seen
                with lock:
                    outcome.embedded += len(vectors.keys)
                    outcome.skipped.update(vectors.skipped.values())
                    bar.update(len(vectors.keys) + len(vectors.skipped))

    def interrupt() -> None:
        outcome.interrupted = True
        stop.set()
        bar.message("Ctrl-C: it ends when the tasks at hand are done; again: at once")

    with Progress(model.name, waiting, "variants") as bar, _interrupts(interrupt), ThreadPoolExecutor(made.lanes) as pool:
        lanes = [pool.submit(lane) for _ in range(made.lanes)]
        wait(lanes, return_when=FIRST_EXCEPTION)
        stop.set()  # where one failed, the others finish their tasks, and no more
        for done in lanes:
            done.result()
    return outcome


@contextmanager
def _interrupts(first: Callable[[], None]) -> Iterator[None]:
    """Calls `first` at the first Ctrl-C. A second one ends the process: what is not committed is then taken back by the server."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(130)
        asked = True
        first()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def sequences(
    model: Model, reference: Path, flank: int, pooling: Pooling, *, workers: int | None, report: Callable[[str], None]
) -> Iterator[Sequences]:
    """A sequence model over windows of a reference, with processes that make tokens (token_makers)."""
    with token_makers(model, workers) as tokens:
        yield Sequences(model=model, cut=Genome(reference, flank), pooling=pooling, tokens=tokens, report=report)


def release_of(conn: psycopg.Connection) -> tuple[int, tuple[int, ...]]:
    """The current release and its loads."""
    now = current(conn)
    return now.release_id, tuple(now.loads)
