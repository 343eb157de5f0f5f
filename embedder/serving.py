"""Models that a server has loaded, so that sequences which no store has can be asked about: what `vkg serve --model` gives to the graph.

In: a name as the store has it, or NAME=SOURCE where the model was registered under a name of its own. Out: a function of two sequences.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import psycopg

from embedder import models as sequence_models
from embedder.batches import embed, pairs
from embedder.errors import EmbedderError
from embedder.models import Model
from embedder.models.weights import LOCAL
from embedder.pooling import Pooling
from embedder.windows import Window
from store import embedding
from store.commands import opened

_NO_CHANCE = 12
"""So many bases are hardly the same by chance, however many places are tried."""


@dataclass(frozen=True)
class Served:
    """A loaded model: called with a sequence with REF and with ALT, upper case, it gives ALT less REF, float32 (dimension,), as `vkg embed` would.

    What the two share is not the variant's: see `changed`. One call at a time has the device; others wait. Raises ValueError for what the model
    cannot read.
    """

    model: Model
    pooling: Pooling
    _device: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, ref: str, alt: str) -> np.ndarray:
        """The difference that the change makes; zero where there is none."""
        if ref == alt:
            return np.zeros(self.model.dimension, np.float32)
        begin, ends = changed(ref, alt)
        shortest = min(len(ref), len(alt))
        if max(ends) <= shortest:  # windows are equally long
            ref, alt = ref[:shortest], alt[:shortest]
        try:
            (pair,) = pairs(self.model.tokenizer, [Window(1, ref, alt, (begin, ends[0]), (begin, ends[1]))], self.pooling)
            limit = self.model.max_tokens
            if limit is not None and (most := max(len(pair.ref_ids), len(pair.alt_ids))) > limit:
                raise ValueError(f"A sequence is {most:,} tokens to the model, which reads {limit:,} at most.")
            with self._device:
                (batch, *_) = embed(self.model, [(0, pair)], self.pooling)
        except EmbedderError as error:
            raise ValueError(str(error)) from error
        if batch.refused:
            raise ValueError("The model gives no finite numbers for it.")
        return batch.embedded.difference[0]


def changed(ref: str, alt: str) -> tuple[int, tuple[int, int]]:
    """Where two different sequences begin to differ, and where each ends to: 0-based, half-open, empty where one has nothing of its own.

    Sequences of one length are taken for windows (embedder/windows.py): of an insertion or deletion the shorter allele's reads on at its right end, so
    what follows the change stands shifted. Of all shifts the one that leaves the shortest change is believed, no shift before others. An insertion
    or deletion lies as far left as it may, as in the store.
    """
    shortest = min(len(ref), len(alt))
    begin = _shared(ref, alt)
    if len(ref) != len(alt):
        end = _shared(ref[begin:][::-1], alt[begin:][::-1])
        ends = len(ref) - end, len(alt) - end
    else:
        # Behind the change, ref[n] is alt[n - shift] up to where one of them ends.
        best, shift, ends = shortest + 1, 0, (shortest, shortest)
        while abs(shift) < best:
            last = shortest + min(shift, 0), shortest - max(shift, 0)
            end = _shared(ref[begin : last[0]][::-1], alt[begin : last[1]][::-1])
            if (longest := max(last) - end - begin) < best and end >= min(abs(shift), _NO_CHANCE):
                best, ends = longest, (last[0] - end, last[1] - end)
            shift = -shift if shift > 0 else 1 - shift
    for longer, own, other in ((ref, ends[0], ends[1]), (alt, ends[1], ends[0])):
        while other == begin < own and begin > 0 and longer[begin - 1] == longer[own - 1]:
            begin, own, other = begin - 1, own - 1, other - 1
            ends = ends[0] - 1, ends[1] - 1
    return begin, ends


def _shared(one: str, other: str) -> int:
    """How many letters two sequences share at their start."""
    shortest = min(len(one), len(other))
    if not shortest or one[0] != other[0]:  # as at most places
        return 0
    first, second = (np.frombuffer(text[:shortest].encode("ascii"), np.uint8) for text in (one, other))
    differ = np.flatnonzero(first != second)
    return int(differ[0]) if len(differ) else shortest


def load_models(names: Sequence[str]) -> dict[str, Callable[[str, str], np.ndarray]]:
    """`serve` for the store of this environment."""
    with opened() as conn:
        return serve(conn, names)


def serve(conn: psycopg.Connection, names: Sequence[str], device: str = "auto") -> dict[str, Callable[[str, str], np.ndarray]]:
    """Loads models that are registered with the store, by their names there.

    Raises EmbedderError where one is not registered, reads no sequences, or is not what made the vectors in the store.
    """
    return {name: _load(conn, name, source or name, device) for name, _, source in (text.partition("=") for text in names)}


def _load(conn: psycopg.Connection, name: str, source: str, device: str) -> Served:
    known = embedding.find_model(conn, name)
    if known is None:
        there = ", ".join(model.name for model in embedding.models(conn)) or "none"
        called = "" if source == name else f" --name {name}"
        raise EmbedderError(
            f"no model {name!r} is registered", f"In the store: {there}. Embed by it first: vkg embed --model {source}{called}"
        )
    if known.flank is None or known.inputs != ["sequence"]:
        raise EmbedderError(f"{name} reads {', '.join(known.inputs)}, not sequences of DNA", "Serve a model of sequences.")
    if source.partition(":")[0] not in ("dnabert2", "hf"):
        raise EmbedderError(f"{source} does not say where a model is", f"Give that: --model {name}=dnabert2:FOLDER, or =hf:FOLDER")
    commit = known.revision if source.startswith("hf:") and known.revision != LOCAL else None
    loaded = sequence_models.load(source, revision=commit, device=device, dtype=known.dtype)
    if loaded.weights_sha256 != known.weights_sha256:
        raise EmbedderError(
            f"the weights of {source} are not those that made the vectors of {name}", f"Give where they are: --model {name}=SOURCE"
        )
    return Served(loaded, Pooling(known.pooling or Pooling.VARIANT))
