"""From the store to vectors and back: variants that have none yet, task by task, by as many workers as there are.

A task is taken, embedded and written in one transaction (store.embedding.work), so a worker that dies leaves no trace but the task. Lanes are
threads of one process, each with a connection and a task of its own: while one has the device, others make windows and tokens, or write.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Protocol

import numpy as np
import psycopg

from embedder import windows
from embedder.batches import Pair, embed, pairs
from embedder.errors import EmbedderError
from embedder.models import Model, annotation
from embedder.pooling import Pooling
from embedder.progress import Progress
from store import embedding
from store.database import connect, wrap_errors
from store.embedding import Rows, Vectors
from store.reference import Reference
from store.release import current

TASKS = {"cuda": 8_192, "cpu": 256}
"""Variants of a task, by kind of device: enough to fill batches of each length, and soon done."""

_LANES = 3
_WINDOWS = 256
"""Windows that are turned to tokens at once."""

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


@dataclass
class Sequences:
    """A sequence model over windows of a reference. `tokens` turns windows to tokens elsewhere; `device` is one at a time's."""

    model: Model
    reference: Path
    flank: int
    pooling: Pooling
    tokens: Executor
    report: Callable[[str], None]
    lanes: int = _LANES
    device: threading.Lock = field(default_factory=threading.Lock)
    _own: threading.local = field(default_factory=threading.local)
    _said: set[str] = field(default_factory=set)

    @property
    def task(self) -> int:
        """Variants of a task."""
        return TASKS[self.model.device.type]

    def __call__(self, conn: psycopg.Connection, rows: Rows) -> Vectors:
        """The vectors of variants; those that have none say why."""
        if not hasattr(self._own, "fasta"):  # a file is read by one thread
            self._own.fasta = Reference(self.reference)
        fasta: Reference = self._own.fasta
        made = {
            key: windows.window(fasta.fetch, fasta.length, windows.Variant(chrom, pos, ref, alt), self.flank)
            for key, chrom, pos, ref, alt in rows
        }
        skipped = {key: found.name for key, found in made.items() if isinstance(found, windows.Skip)}
        kept = [(key, found) for key, found in made.items() if isinstance(found, windows.Window)]
        try:
            stream = self._tokenised(kept)  # they are made from here on, not when the device is free
            with self.device:
                done = list(embed(self.model, stream, self.pooling, report=self._report_once))
        except BrokenExecutor as error:
            raise EmbedderError("a process that makes tokens ended", "Perhaps memory was short: say a smaller --workers.") from error
        skipped |= {key: windows.Skip.NOT_FINITE.name for batch in done for key in batch.refused}
        found = {key: row for batch in done for key, *row in zip(batch.keys, *batch.embedded, strict=True)}
        keys = [key for key, _ in kept if key in found]  # in genome order, whatever the batches were
        return _vectors(self.model.dimension, keys, [found[key] for key in keys], skipped)

    def _tokenised(self, kept: Sequence[tuple[int, windows.Window]]) -> Iterator[tuple[int, Pair]]:
        parts = [kept[start : start + _WINDOWS] for start in range(0, len(kept), _WINDOWS)]
        found = self.tokens.map(partial(pairs, self.model.tokenizer, pooling=self.pooling), [[w for _, w in part] for part in parts])
        return ((key, pair) for part, tokens in zip(parts, found, strict=True) for (key, _), pair in zip(part, tokens, strict=True))

    def _report_once(self, message: str) -> None:
        if not self._said:
            self.report(message)
        self._said.add(message)


@dataclass
class Annotations:
    """The model `annotation`, over what these loads say of variants."""

    loads: Sequence[int]
    task: int = embedding.TASK_VARIANTS
    lanes: int = 1  # it is all Python

    def __call__(self, conn: psycopg.Connection, rows: Rows) -> Vectors:
        """The vectors of variants: none is without."""
        known = embedding.known(conn, [row[0] for row in rows], self.loads, annotation.FREQUENCIES, list(annotation.SCORES))
        values = annotation.vectors(
            [
                annotation.Annotation(ref, alt, said.terms, said.impact, said.frequencies, said.scores)
                for key, _, _, ref, alt in rows
                for said in (known[key],)
            ]
        )
        norms = np.linalg.norm(values, axis=1)
        return Vectors(
            np.array([row[0] for row in rows], np.int64), values / norms[:, None], norms, np.full(len(rows), np.nan, np.float32), {}
        )


def _vectors(dimension: int, keys: list[int], rows: list[list[np.ndarray]], skipped: dict[int, str]) -> Vectors:
    if not rows:
        none = np.zeros(0, np.float32)
        return Vectors(np.zeros(0, np.int64), np.zeros((0, dimension), np.float32), none, none, skipped)
    difference, norm, distance = (np.stack(column) for column in zip(*rows, strict=True))
    # Where ALT changes nothing there is no direction: the zero vector is like none.
    directions = difference / np.where(norm > 0, norm, 1)[:, None]
    return Vectors(np.array(keys, np.int64), directions, norm, distance, skipped)


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
    """A sequence model, with processes that make tokens: none on a CPU, where that is a thousandth of the work, else one for each core but one."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if workers is None:
        workers = 0 if model.device.type == "cpu" else max(1, (os.cpu_count() or 2) - 1)
    # New processes, not copies of this one, which has threads and perhaps a GPU.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, initializer=_begin_worker) if workers else ThreadPoolExecutor(1) as tokens:
        yield Sequences(model, reference, flank, pooling, tokens, report)


def _begin_worker() -> None:
    """Ctrl-C is the main process's to hear; and when that one is killed, its workers would wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def release_of(conn: psycopg.Connection) -> tuple[int, tuple[int, ...]]:
    """The current release and its loads."""
    now = current(conn)
    return now.release_id, tuple(now.loads)
