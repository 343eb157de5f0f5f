"""Clusters of variants: those whose vectors point the same way, found by HDBSCAN, as a load.

In: the directions of a model's vectors (store/cluster.py). Out: a load of kind `clusters`. HDBSCAN (Campello et al. 2013; scikit-learn's) needs no number of
clusters: it finds where variants lie denser than around, and leaves out what lies alone. On unit vectors Euclidean distance orders as cosine does.

Of what scikit-learn has, trees keep memory to a multiple of the vectors (`brute` makes a matrix of all distances); time grows with the square of
the variants, and with the numbers of a vector. Measured in docs/embeddings.md.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection

import numpy as np
import psycopg
import pyarrow as pa

from embedder.errors import EmbedderError
from embedder.processes import serve_parent
from embedder.progress import Progress, say
from store import cluster as stored
from store.copy import Chunk
from store.database import wrap_errors
from store.embedding import Model, hold_vectors
from store.errors import StoreError
from store.load import AlreadyLoaded, Load, SourceFile, begin

KIND = "clusters"
MOST = 50_000
"""Variants that are clustered at most: twice as many take four times as long."""
MIN_SIZE = 50

_TRIAL = 2_000
"""So many variants are clustered first, to say how long all will take."""
_TICK = 0.2  # seconds


@dataclass(frozen=True)
class Clusters:
    """What was found of n variants: the cluster of each (n,), from 1, or 0 for none; its probability (n,), 0 for none; and of each of k clusters, in
    order, how many members it has, which row is its exemplar, and its cohesion."""

    numbers: np.ndarray
    probabilities: np.ndarray
    sizes: np.ndarray
    exemplars: np.ndarray
    cohesions: np.ndarray


@dataclass(frozen=True)
class Parameters:
    """What decides over clusters besides the vectors; `regions` and `genes` as the user named them. `min_samples` is how many of the nearest, itself
    included, say how dense it is around a variant."""

    min_size: int
    min_samples: int
    regions: Sequence[str] = ()
    genes: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """A load of clusters as it was written; `release` is the one that shows it, None when held."""

    load: Load
    release: int | None
    clusters: int
    noise: int


def cluster(
    conn: psycopg.Connection,
    model: Model,
    loads: Sequence[int],
    ranges: Sequence[tuple[int, int]],
    wanted: Parameters,
    *,
    dataset: str | None = None,
    hold: bool = False,
    stop: Callable[[], None] = lambda: None,
) -> Outcome | AlreadyLoaded:
    """Clusters the variants of these loads that have a vector by the model, in ranges of keys, half-open, and publishes the clusters unless held.

    `conn` must be in autocommit mode. `stop` is called several times a second, and raises to end it. Whatever is raised, nothing is left. Raises
    EmbedderError where there are too few or too many variants, or no cluster; StoreError.
    """
    keys, directions, zeros = _read(conn, model, loads, ranges, wanted)
    load = begin(
        conn, dataset=dataset or f"{KIND}.{model.name}", kind=KIND, version=None, files=[_source(model, keys, directions, wanted)],
        options={"model": model.name} | asdict(wanted), hold=hold,
    )  # fmt: skip
    if isinstance(load, AlreadyLoaded):
        return load
    try:
        if not load.progress:  # else all was written, and it was cut off before its end
            stop()
            found = find(directions, wanted.min_size, wanted.min_samples, stop)
            if not len(found.sizes):
                what = f"no {wanted.min_size} of {len(keys):,} variants lie closer together than the others around them"
                raise EmbedderError(what, "Try a smaller --min-size or --min-samples.")
            load.write(0, chunk(keys, found, model.name, wanted, zeros), lambda _: None)
        load.file_done(0)
        stop()
        release = load.finish()
    except BaseException:
        # The error that led here says more than that of a connection that is gone; what is left then is invisible (vkg doctor).
        with suppress(StoreError, psycopg.Error), wrap_errors():
            load.abort()
        raise
    return Outcome(load, release, load.counts["variant_cluster"], load.counts["records"] - load.counts["variant_cluster_member"])


def _read(
    conn: psycopg.Connection, model: Model, loads: Sequence[int], ranges: Sequence[tuple[int, int]], wanted: Parameters
) -> tuple[np.ndarray, np.ndarray, int]:
    """Keys (n,), directions (n, dimension) float16, and how many more have a vector of zeros. Raises EmbedderError; StoreError where the
    model was taken out meanwhile."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        hold_vectors(conn, model)
        count, zeros = stored.count_directions(conn, model, loads, ranges)
        told = f"{count:,} visible variants have a vector by {model.name}"
        if count > MOST:
            raise EmbedderError(
                f"{told}: more than the {MOST:,} that can be clustered at once, since time grows with the square of their number",
                "Cluster those of some places: --region CHROM:START-END, or --gene NAME.",
            )
        if count < max(wanted.min_size, wanted.min_samples):
            raise EmbedderError(
                f"{told}: too few for clusters of {max(wanted.min_size, wanted.min_samples):,}",
                f"Embed more (vkg embed), or give a smaller --min-size and --min-samples; vkg models list shows what {model.name} has.",
            )
        say(f"{told}" + (f"; {zeros:,} more have one of zeros, which points nowhere, and are left out" if zeros else ""))
        keys, directions = np.empty(count, np.int64), np.empty((count, model.dimension), np.float16)
        done = 0
        with Progress("reading vectors", count, "variants") as bar:
            for part, rows in stored.directions(conn, model, loads, ranges):
                keys[done : done + len(part)], directions[done : done + len(part)] = part, rows
                done += len(part)
                bar.update(len(part))
    return keys, directions, zeros


def _source(model: Model, keys: np.ndarray, directions: np.ndarray, wanted: Parameters) -> SourceFile:
    """What stands for the file of a load of clusters: its digest is that of all that decides over them."""
    facts = {name: value for name, value in asdict(model).items() if name not in ("model_id", "release_id")}
    digest = hashlib.sha256(json.dumps([facts, asdict(wanted), len(keys)], sort_keys=True).encode())
    digest.update(keys.astype("<i8").tobytes())
    digest.update(directions.astype("<f2").tobytes())
    return SourceFile(f"vectors by {model.name}", digest.hexdigest(), directions.nbytes)


def chunk(keys: np.ndarray, found: Clusters, model: str, wanted: Parameters, zeros: int = 0) -> Chunk:
    """The rows of a load of clusters."""
    inside = np.flatnonzero(found.numbers)
    inside = inside[np.lexsort((keys[inside], -found.probabilities[inside], found.numbers[inside]))]
    begins = np.cumsum(found.sizes) - found.sizes
    noise = len(keys) - len(inside)
    run = {
        "model": pa.array([model]),
        **{
            name: pa.array([value], pa.int32())
            for name, value in (
                ("min_size", wanted.min_size), ("min_samples", wanted.min_samples), ("variants", len(keys)), ("noise", noise),
                ("clusters", len(found.sizes)),
            )
        },
    }  # fmt: skip
    clusters = {
        "ordinal": pa.array(np.arange(1, len(found.sizes) + 1, dtype=np.int32)),
        "size": pa.array(found.sizes.astype(np.int32)),
        "exemplar": pa.array(keys[found.exemplars]),
        "cohesion": pa.array(found.cohesions.astype(np.float32)),
    }
    members = {
        "variant_key": pa.array(keys[inside]),
        "ordinal": pa.array(found.numbers[inside].astype(np.int32)),
        "place": pa.array((np.arange(len(inside)) - begins[found.numbers[inside] - 1] + 1).astype(np.int32)),
        "probability": pa.array(found.probabilities[inside].astype(np.float32)),
    }
    tables = {"variant_cluster_run": run, "variant_cluster": clusters, "variant_cluster_member": members}
    skipped = Counter({"in no cluster": noise, "with a vector of zeros": zeros})
    batches = {name: pa.record_batch(list(columns.values()), names=list(columns)) for name, columns in tables.items()}
    return Chunk(batches, len(keys), end=len(keys), skipped=+skipped)


# ---- HDBSCAN


def find(directions: np.ndarray, min_size: int, min_samples: int, stop: Callable[[], None] = lambda: None) -> Clusters:
    """The clusters of directions (n, d) that are not zero, numbered by size, the largest first, then by their first member. The same directions in the same
    order give the same clusters.

    It runs in a process of its own: scikit-learn hears no Ctrl-C while it is at it, and lets nothing else run. `stop` is called several times a
    second, and raises to end it. Raises EmbedderError where that process dies.
    """
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_work, args=(there, directions, min_size, min_samples), daemon=True)
    try:
        process.start()
        there.close()
        labels, probabilities = _wait(here, process, len(directions), stop)
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
        for end in (here, there):
            end.close()
    return _described(directions, labels, probabilities)


def _wait(
    pipe: Connection, process: multiprocessing.process.BaseProcess, count: int, stop: Callable[[], None]
) -> tuple[np.ndarray, np.ndarray]:
    """(label, probability) of each variant, when they come; until then it shows that it is at work."""
    bar: Progress | None = None
    begun = told = time.monotonic()
    try:
        while True:
            stop()
            try:
                message = pipe.recv() if pipe.poll(_TICK) else None
            except EOFError:
                process.join()
                what = f"clustering {count:,} variants ended without a result (exit code {process.exitcode})"
                raise EmbedderError(what, "Perhaps memory was short: cluster fewer, with --region or --gene.") from None
            now = time.monotonic()
            if isinstance(message, tuple):
                return message
            if message is not None:
                bar, begun, told = Progress(f"clustering {count:,} variants", max(1, round(message)), "s"), now, now
                bar.message(f"clustering {count:,} variants will take about {_duration(message)}")
            if bar is not None and now - told >= 1:
                bar.update(int(now - begun) - int(told - begun))
                told = now
    finally:
        if bar is not None:
            bar.__exit__(None, None, None)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _work(pipe: Connection, directions: np.ndarray, min_size: int, min_samples: int) -> None:
    """The process: sends how many seconds it will take, where that is long, then labels, -1 for none, and probabilities."""
    serve_parent()
    points = _points(directions)
    if len(points) > 2 * _TRIAL:
        some = points[np.linspace(0, len(points) - 1, _TRIAL).astype(int)]
        _fit(some[:2], 2, 1)  # what is imported takes its time, too
        begun = time.perf_counter()
        _fit(some, min(min_size, _TRIAL), min(min_samples, _TRIAL))
        pipe.send((time.perf_counter() - begun) * (len(points) / _TRIAL) ** 2)
    pipe.send(_fit(points, min_size, min_samples))


def _points(directions: np.ndarray) -> np.ndarray:
    """Directions as they are compared: float64, of length 1, without numbers that are 0 in all, which add nothing to a distance but time. Equal halves
    are equal points."""
    points = directions.astype(np.float64)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return np.ascontiguousarray(points[:, points.any(axis=0)])


def _fit(points: np.ndarray, min_size: int, min_samples: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.cluster import HDBSCAN

    made = HDBSCAN(min_cluster_size=min_size, min_samples=min_samples, algorithm="ball_tree", copy=True).fit(points)
    return made.labels_, made.probabilities_


def _described(directions: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> Clusters:
    """Clusters in order, with what is said of each."""
    inside = labels >= 0
    count = int(labels.max(initial=-1)) + 1
    first = np.full(count, len(labels), np.int64)
    np.minimum.at(first, labels[inside], np.flatnonzero(inside))
    sizes = np.bincount(labels[inside], minlength=count)
    order = np.lexsort((first, -sizes))
    number = np.zeros(count + 1, np.int64)  # the last is that of no cluster, -1
    number[order] = np.arange(1, count + 1)
    exemplars, cohesions = np.empty(count, np.int64), np.empty(count)
    for place, label in enumerate(order.tolist()):
        rows = np.flatnonzero(labels == label)
        exemplars[place], cohesions[place] = _exemplar(rows, directions[rows].astype(np.float64))
    return Clusters(number[labels], np.where(inside, probabilities, 0), sizes[order], exemplars, cohesions)


def _exemplar(rows: np.ndarray, members: np.ndarray) -> tuple[int, float]:
    """The row of the member most similar to the mean direction, and the mean similarity of all to it. Similarities that differ by less than a
    billionth are equal, whatever the processor: then it is the first."""
    members /= np.linalg.norm(members, axis=1, keepdims=True)
    mean = members.mean(axis=0)
    length = float(np.linalg.norm(mean))
    similarities = members @ (mean / length) if length > 0 else np.zeros(len(members))
    # The mean of the similarities to the mean's direction is the mean's length.
    return int(rows[np.round(similarities, 9).argmax()]), min(length, 1.0)
