"""Batches: windows or texts to tokens, tokens to batches of one exact length, batches through a model, and REF and ALT together again.

Sequences of one batch have the same number of tokens, so nothing is padded and nothing masked. REF and ALT of a variant
often differ in length (a quarter of the SNVs of DNABERT-2), and then meet again only when both have been pooled.

What else is in a batch is no input of a vector, but the kernels that multiply matrices differ by size: see `embed`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np

from embedder.models import Model, Tokenizer, Tokens
from embedder.pooling import Embedded, Pooling, chosen, compare, finite, measured, pool
from embedder.windows import Window

if TYPE_CHECKING:
    import torch

LIMIT = 1 << 14
"""Sequences that wait for company at most: about 20 MB of tokens."""

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Pair(NamedTuple):
    """A variant as a model reads it: token ids, int32 (t,), of REF and of ALT, and which of them are pooled, bool (t,)."""

    ref_ids: np.ndarray
    ref_chosen: np.ndarray
    alt_ids: np.ndarray
    alt_chosen: np.ndarray


class Batch(NamedTuple, Generic[K]):
    """Variants that are done: their keys and, in the same order, their vectors; and the keys of those that the model gave
    infinities or NaN for (Skip.NOT_FINITE)."""

    keys: list[K]
    embedded: Embedded
    refused: list[K]


class Singles(NamedTuple, Generic[K]):
    """Texts that are done: their keys and, in the same order, their vectors, float32 (n, d), and the lengths of these, float32 (n,); and the
    keys of those that the model gave infinities or NaN for (Skip.NOT_FINITE)."""

    keys: list[K]
    vectors: np.ndarray
    norm: np.ndarray
    refused: list[K]


class _Sequence(NamedTuple, Generic[K]):
    key: K
    sides: tuple[int, ...]  # 0 REF, 1 ALT
    ids: np.ndarray
    chosen: np.ndarray


def pairs(tokenizer: Tokenizer, windows: Sequence[Window], pooling: Pooling) -> list[Pair]:
    """The tokens of windows. This is what worker processes do: it needs no model, and what it takes and gives can be pickled."""
    tokens = tokenizer.tokenize([sequence for w in windows for sequence in (w.ref, w.alt)])
    # In a repeat longer than the window an indel leaves both sequences the same: then the same letters are pooled, too, and the difference is 0.
    return [
        Pair(ref.ids, chosen(ref, w.ref_span, pooling), alt.ids, chosen(alt, w.ref_span if w.ref == w.alt else w.alt_span, pooling))
        for w, ref, alt in zip(windows, tokens[::2], tokens[1::2], strict=True)
    ]


def buckets(items: Iterable[T], length: Callable[[T], int], rows: Callable[[int], int], limit: int = LIMIT) -> Iterator[list[T]]:
    """Batches of items of one length each, as their buckets fill up: at most `rows(length)` items, in the order they came.

    At most `limit` items wait; when there are more, the fullest bucket goes as it is. At the end all go, the shortest first.
    """
    waiting: defaultdict[int, list[T]] = defaultdict(list)
    count = 0
    for item in items:
        n = length(item)
        waiting[n].append(item)
        count += 1
        if len(waiting[n]) < rows(n):
            if count <= limit:
                continue
            n = max(waiting, key=lambda k: len(waiting[k]))
        batch = waiting.pop(n)
        count -= len(batch)
        yield batch
    for n in sorted(waiting):
        yield waiting[n]


def embed(
    model: Model,
    stream: Iterable[tuple[K, Pair]],
    pooling: Pooling,
    *,
    batch_tokens: int | None = None,
    limit: int = LIMIT,
    report: Callable[[str], None] | None = None,
) -> Iterator[Batch[K]]:
    """The vectors of a stream of variants, each with a key of its own, in whatever order their batches are done.

    `batch_tokens` are the tokens of a batch at most (embedder.device has defaults), `report` gets a sentence when the
    device's memory is too small for that. Memory is bounded by `limit`, not by the stream.

    REF and ALT with the same tokens are one sequence here, so that their difference is exactly 0; and the order in which
    they go does not depend on which is which, so that a stream with REF and ALT swapped gives exactly the negative.
    What else is in a batch changes a vector by rounding at most: matrix kernels sum in an order that depends on the size
    of the whole. On CPUs in fp32 it was nothing with one thread, and 4e-7 of a vector's largest number with several. The same
    batches give the same bits.
    Raises EmbedderError where a sequence does not fit in memory, or in the model.
    """
    met: dict[K, list[np.ndarray | None]] = defaultdict(lambda: [None, None])
    sequences = (s for key, pair in stream for s in _sides(key, pair))
    for batch, vectors in _pooled(model, sequences, pooling, batch_tokens, limit, report):
        done: list[K] = []
        for sequence, vector in zip(batch, vectors, strict=True):
            both = met[sequence.key]
            for side in sequence.sides:
                both[side] = vector
            if both[0] is not None and both[1] is not None:
                done.append(sequence.key)
        if done:
            yield _together(done, [met.pop(key) for key in done])


def embed_singly(
    model: Model,
    stream: Iterable[tuple[K, Tokens]],
    *,
    batch_tokens: int | None = None,
    limit: int = LIMIT,
    report: Callable[[str], None] | None = None,
) -> Iterator[Singles[K]]:
    """The vectors of a stream of texts, each with a key of its own: the mean of its tokens, special ones left out. All else is as `embed` has it."""
    sequences = (_Sequence(key, (0,), tokens.ids, chosen(tokens, (0, 0), Pooling.MEAN)) for key, tokens in stream)
    for batch, vectors in _pooled(model, sequences, Pooling.MEAN, batch_tokens, limit, report):
        good = finite(vectors)
        kept = [s.key for s, ok in zip(batch, good, strict=True) if ok]
        yield Singles(kept, vectors[good], measured(vectors[good], kept), [s.key for s, ok in zip(batch, good, strict=True) if not ok])


def _pooled(
    model: Model,
    sequences: Iterable[_Sequence[K]],
    pooling: Pooling,
    batch_tokens: int | None,
    limit: int,
    report: Callable[[str], None] | None,
) -> Iterator[tuple[list[_Sequence[K]], np.ndarray]]:
    """Batches of sequences, and the vectors (n, d) of each."""
    import torch

    from embedder.device import BATCH_TOKENS, Halving, put

    tokens = batch_tokens or BATCH_TOKENS[model.device.type]
    batch: list[_Sequence[K]] = []

    def step(part: slice) -> torch.Tensor:
        hidden = model.hidden(np.stack([s.ids for s in batch[part]]))
        return pool(hidden, put(np.stack([s.chosen for s in batch[part]]), hidden.device), pooling)

    run = Halving(step, report)

    # One batch is always under way: a GPU works on it while the stream gives the next, and only then is waited for.
    under_way: tuple[list[_Sequence[K]], list[torch.Tensor]] = [], []
    for batch in buckets(sequences, lambda s: len(s.ids), lambda n: max(1, tokens // n), limit):
        with torch.inference_mode():
            parts = list(run(len(batch), len(batch[0].ids)))
        if under_way[0]:
            yield _fetched(*under_way)
        under_way = batch, parts
    if under_way[0]:
        yield _fetched(*under_way)


def _fetched(batch: list[_Sequence[K]], parts: list[torch.Tensor]) -> tuple[list[_Sequence[K]], np.ndarray]:
    return batch, np.concatenate([part.cpu().numpy() for part in parts])


def _sides(key: K, pair: Pair) -> Iterator[_Sequence[K]]:
    ref, alt = (pair.ref_ids, pair.ref_chosen), (pair.alt_ids, pair.alt_chosen)
    names = [ids.tobytes() + keep.tobytes() for ids, keep in (ref, alt)]
    if names[0] == names[1]:
        yield _Sequence(key, (0, 1), *ref)
        return
    for side in (0, 1) if names[0] < names[1] else (1, 0):
        yield _Sequence(key, (side,), *(ref, alt)[side])


def _together(keys: list[K], vectors: list[list[np.ndarray | None]]) -> Batch[K]:
    ref, alt = (np.stack([v for both in vectors if (v := both[side]) is not None]) for side in (0, 1))
    good = finite(ref) & finite(alt)
    kept = [key for key, ok in zip(keys, good, strict=True) if ok]
    return Batch(kept, compare(ref[good], alt[good], kept), [key for key, ok in zip(keys, good, strict=True) if not ok])
