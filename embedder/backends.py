"""What turns variants into vectors: networks over windows of sequences or over text, and the model `annotation`.

In: variants of the store, a task at once. Out: their vectors, in genome order, and by name the reasons (embedder.windows.Skip) of those without.
Tokens are made in processes of their own, and whoever has them waits for the device, which is one at a time's.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import psycopg

from embedder import windows
from embedder.batches import embed, embed_singly, pairs
from embedder.errors import EmbedderError
from embedder.models import Model, annotation, hgvs
from embedder.peptides import peptides
from embedder.pooling import Pooling
from embedder.processes import serve_parent
from embedder.proteins import Proteins
from embedder.windows import Skip, Window
from store import embedding, embedding_inputs
from store.embedding import Rows, Vectors
from store.reference import Reference

TASKS = {"cuda": 8_192, "cpu": 256}
"""Variants of a task, by kind of device: enough to fill batches of each length, and soon done."""

_LANES = 3
_AT_ONCE = 256
"""Windows or texts that are turned to tokens at once."""

_NO_DISTANCE = np.array(np.nan, np.float32)

T = TypeVar("T")
U = TypeVar("U")
Cut = Callable[[psycopg.Connection, Rows], dict[int, Window | Skip]]
"""The windows of variants by key, or why there are none."""


@dataclass(kw_only=True)
class _Network:
    """A loaded model. `tokens` makes tokens elsewhere; `report` gets a sentence, once, where the device is too small."""

    model: Model
    tokens: Executor
    report: Callable[[str], None]
    lanes: int = _LANES
    device: threading.Lock = field(default_factory=threading.Lock)
    _said: set[str] = field(default_factory=set)

    @property
    def task(self) -> int:
        """Variants of a task."""
        return TASKS[self.model.device.type]

    def _tokenised(self, make: Callable[[list[T]], list[U]], kept: Sequence[tuple[int, T]]) -> Iterator[tuple[int, U]]:
        """The tokens of windows or texts by key; they are made from here on, not when they are asked for."""
        parts = [kept[start : start + _AT_ONCE] for start in range(0, len(kept), _AT_ONCE)]
        with _told():
            found = self.tokens.map(make, [[each for _, each in part] for part in parts])
        return ((key, each) for part, made in zip(parts, found, strict=True) for (key, _), each in zip(part, made, strict=True))

    def _on_device(self, batches: Iterable[T]) -> list[T]:
        with _told(), self.device:
            return list(batches)

    def _report_once(self, message: str) -> None:
        if not self._said:
            self.report(message)
        self._said.add(message)


@dataclass(kw_only=True)
class Sequences(_Network):
    """A sequence model over pairs of windows, REF and ALT."""

    cut: Cut
    pooling: Pooling

    def __call__(self, conn: psycopg.Connection, rows: Rows) -> Vectors:
        """The vectors of variants; those that have none say why."""
        made = self.cut(conn, rows)
        skipped = {key: found.name for key, found in made.items() if isinstance(found, Skip)}
        kept = [(key, found) for key, found in made.items() if isinstance(found, Window)]
        stream = self._tokenised(partial(pairs, self.model.tokenizer, pooling=self.pooling), kept)
        done = self._on_device(embed(self.model, stream, self.pooling, report=self._report_once))
        skipped |= {key: Skip.NOT_FINITE.name for batch in done for key in batch.refused}
        found = {key: row for batch in done for key, *row in zip(batch.keys, *batch.embedded, strict=True)}
        keys = [key for key, _ in kept if key in found]  # in genome order, whatever the batches were
        return _vectors(self.model.dimension, keys, [found[key] for key in keys], skipped)


class Genome:
    """Windows of bases of a reference, `flank` on either side."""

    def __init__(self, reference: Path, flank: int) -> None:
        self._reference, self._flank, self._own = reference, flank, threading.local()

    def __call__(self, conn: psycopg.Connection, rows: Rows) -> dict[int, Window | Skip]:
        """The windows of variants."""
        if not hasattr(self._own, "fasta"):  # a file is read by one thread
            self._own.fasta = Reference(self._reference)
        fasta: Reference = self._own.fasta
        return {
            key: windows.window(fasta.fetch, fasta.length, windows.Variant(chrom, pos, ref, alt), self._flank)
            for key, chrom, pos, ref, alt in rows
        }


@dataclass(frozen=True)
class Peptides:
    """Peptides of proteins, `flank` residues on either side of what these loads say that variants change: of a variant's consequences the most
    severe counts that names a protein with a sequence here, whatever it says."""

    proteins: Proteins
    loads: Sequence[int]
    flank: int

    def __call__(self, conn: psycopg.Connection, rows: Rows) -> dict[int, Window | Skip]:
        """The peptides of variants."""
        changes = embedding_inputs.protein_changes(conn, [row[0] for row in rows], self.loads)
        return {row[0]: self._of(changes.get(row[0], [])) for row in rows}

    def _of(self, changes: Sequence[embedding_inputs.ProteinChange]) -> Window | Skip:
        for protein, change in changes:
            if protein and (sequence := self.proteins.sequence(protein)):
                return peptides(sequence, change, self.flank)
        return Skip.NO_PEPTIDE if changes else Skip.NO_PROTEIN_CHANGE


@dataclass(kw_only=True)
class Texts(_Network):
    """A text encoder over what these loads say of variants' consequences (embedder/models/hgvs.py). The same text is read once in a task."""

    loads: Sequence[int]

    def __call__(self, conn: psycopg.Connection, rows: Rows) -> Vectors:
        """The vectors of variants; those without a consequence have none."""
        said = embedding_inputs.consequences(conn, [row[0] for row in rows], self.loads)
        texts = {row[0]: hgvs.text(said[row[0]]) for row in rows if row[0] in said}
        skipped = {row[0]: Skip.NO_CONSEQUENCE.name for row in rows if row[0] not in said}
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts.values()))}
        stream = self._tokenised(self.model.tokenizer.tokenize, [(number, text) for text, number in numbers.items()])
        done = self._on_device(embed_singly(self.model, stream, report=self._report_once))
        found = {number: (vector, norm) for each in done for number, vector, norm in zip(each.keys, each.vectors, each.norm, strict=True)}
        skipped |= {key: Skip.NOT_FINITE.name for key, text in texts.items() if numbers[text] not in found}
        keys = [key for key, text in texts.items() if numbers[text] in found]
        return _vectors(self.model.dimension, keys, [[*found[numbers[texts[key]]], _NO_DISTANCE] for key in keys], skipped)


@dataclass
class Annotations:
    """The model `annotation`, over what these loads say of variants."""

    loads: Sequence[int]
    task: int = embedding.TASK_VARIANTS
    lanes: int = 1  # it is all Python

    def __call__(self, conn: psycopg.Connection, rows: Rows) -> Vectors:
        """The vectors of variants: none is without."""
        known = embedding_inputs.known(conn, [row[0] for row in rows], self.loads, annotation.FREQUENCIES, list(annotation.SCORES))
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


@contextmanager
def token_makers(model: Model, workers: int | None) -> Iterator[Executor]:
    """What makes tokens: so many processes; without a number none on a CPU, where that is a thousandth of the work, else one for each core but one."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if workers is None:
        workers = 0 if model.device.type == "cpu" else max(1, (os.cpu_count() or 2) - 1)
    # New processes, not copies of this one, which has threads and perhaps a GPU.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, initializer=serve_parent) if workers else ThreadPoolExecutor(1) as tokens:
        yield tokens


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenExecutor as error:
        raise EmbedderError("a process that makes tokens ended", "Perhaps memory was short: say a smaller --workers.") from error
