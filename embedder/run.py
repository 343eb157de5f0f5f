"""From the store to vectors and back: variants that have none yet, task by task, by as many workers as there are.

A task is taken, embedded and written in one transaction (store.embedding.work), so a worker that dies leaves no trace but the task. Lanes are
threads of one process, each with a connection and a task of its own: while one has the device, another makes windows and tokens, or writes.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import psycopg
from tqdm import tqdm

from embedder import windows
from embedder.batches import Pair, embed, pairs
from embedder.errors import EmbedderError
from embedder.models import Model, annotation
from embedder.pooling import Pooling
from store import embedding
from store.database import connect, wrap_errors
from store.embedding import Rows, Vectors
from store.reference import Reference
from store.release import current

LANES = 3
_WINDOWS = 256
"""Windows that a worker process turns to tokens at once."""

Embed = Callable[[psycopg.Connection, Rows], Vectors]
"""Variants to vectors; the connection is for models that read observations."""


@dataclass
class Outcome:
    """What became of a run: variants that got a vector, and those that did not, by reason."""

    embedded: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass
class Sequences:
    """A sequence model over windows of a reference. `tokens` turns windows to tokens in other processes; `device` is one at a time's."""

    model: Model
    reference: Path
    flank: int
    pooling: Pooling
    tokens: Executor
    report: Callable[[str], None]
    device: threading.Lock = field(default_factory=threading.Lock)
    _own: threading.local = field(default_factory=threading.local)

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
        with self.device:
            done = list(embed(self.model, self._tokenised(kept), self.pooling, report=self.report))
        skipped |= {key: windows.Skip.NOT_FINITE.name for batch in done for key in batch.refused}
        found = {key: row for batch in done for key, *row in zip(batch.keys, *batch.embedded, strict=True)}
        keys = [key for key, _ in kept if key in found]  # in genome order, whatever the batches were
        return _vectors(self.model.dimension, keys, [found[key] for key in keys], skipped)

    def _tokenised(self, kept: Sequence[tuple[int, windows.Window]]) -> Iterator[tuple[int, Pair]]:
        parts = [kept[start : start + _WINDOWS] for start in range(0, len(kept), _WINDOWS)]
        work = partial(pairs, self.model.tokenizer, pooling=self.pooling)
        for part, tokens in zip(parts, self.tokens.map(work, [[w for _, w in part] for part in parts]), strict=True):
            yield from zip((key for key, _ in part), tokens, strict=True)


@dataclass
class Annotations:
    """The model `annotation`, over what these loads say of variants."""

    loads: Sequence[int]

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


def run(model: embedding.Model, made: Embed, ranges: Sequence[tuple[int, int]], *, lanes: int = LANES) -> Outcome:
    """Embeds the variants in ranges of keys, half-open, that have no vector yet, beside whoever else is at it. Raises EmbedderError and StoreError;
    tasks that were done stay done."""
    outcome, lock, stop = Outcome(), threading.Lock(), threading.Event()
    with wrap_errors(), connect(autocommit=True) as conn:
        tasks = embedding.plan(conn, model, ranges)
    if not tasks:
        return outcome

    def lane() -> None:
        with wrap_errors(), connect(autocommit=True) as conn:
            while not stop.is_set():
                seen: list[Vectors] = []

                def embed_task(rows: Rows, conn: psycopg.Connection = conn, seen: list[Vectors] = seen) -> Vectors:
                    seen.append(made(conn, rows))
                    return seen[-1]

                if embedding.work(conn, model, embed_task) is None:
                    return
                with lock:
                    for vectors in seen:
                        outcome.embedded += len(vectors.keys)
                        outcome.skipped.update(vectors.skipped.values())
                        bar.update(len(vectors.keys) + len(vectors.skipped))

    with tqdm(unit=" variants", desc=model.name, disable=None, file=sys.stderr) as bar, ThreadPoolExecutor(lanes) as pool:
        waiting = [pool.submit(lane) for _ in range(min(lanes, tasks))]
        try:
            for done in waiting:
                done.result()
        except BaseException:
            stop.set()  # the others finish their task, and no more
            raise
    return outcome


@contextmanager
def sequences(
    model: Model, reference: Path, flank: int, pooling: Pooling, *, workers: int, report: Callable[[str], None]
) -> Iterator[Sequences]:
    """A sequence model with its worker processes."""
    with ExitStack() as stack:
        # New processes, not copies of this one, which has threads and perhaps a GPU; each with one thread.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        tokens = stack.enter_context(ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")))
        yield Sequences(model, reference, flank, pooling, tokens, report)


def release_of(conn: psycopg.Connection) -> tuple[int, tuple[int, ...]]:
    """The current release and its loads."""
    now = current(conn)
    return now.release_id, tuple(now.loads)


def refuse_nothing(outcome: Outcome) -> None:
    """Raises EmbedderError where no variant at all could be embedded: a reference of another assembly, say."""
    if outcome.skipped and not outcome.embedded:
        reason, n = outcome.skipped.most_common(1)[0]
        raise EmbedderError(f"no variant could be embedded: {n:,} of {outcome.skipped.total():,} for {windows.Skip[reason].value}")
