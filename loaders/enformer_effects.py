"""What is worked out of effects on tracks: the strongest, how many reach a threshold, the strongest of each tissue and assay, and vectors.

In: matrices of 16-bit floats, (variants, tracks). Out: arrays, and Arrow columns as enformer_effect has them. Sizes are compared as whole
numbers: of two finite 16-bit floats without their signs the larger has the larger bits (IEEE 754), and none is converted to find the largest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from store.tissue import ASSAYS, TISSUES

_SIZE = np.int16(0x7FFF)
_SIGN = np.uint16(0x8000)
_INFINITE = np.int16(0x7C00)
_TRACK_BITS = 15
_LAST_TRACK = np.int32((1 << _TRACK_BITS) - 1)


class Pairs:
    """The pairs of tissue and assay that some track is of, in the order of TISSUES and ASSAYS, and the tracks of each.

    `names` are TISSUE:ASSAY; `tissues` and `assays` are those of the tracks, in their order.
    """

    def __init__(self, tissues: Sequence[str | None], assays: Sequence[str]) -> None:
        tracks: dict[tuple[str | None, str], list[int]] = {}
        for track, pair in enumerate(zip(tissues, assays, strict=True)):
            tracks.setdefault(pair, []).append(track)
        found = [(tissue, assay) for tissue in TISSUES for assay in ASSAYS if (tissue, assay) in tracks]
        self.names = [f"{tissue}:{assay}" for tissue, assay in found]
        # The tracks of the pairs, one pair after the other, and where each pair begins.
        self._order = np.array([track for pair in found for track in tracks[pair]], np.intp)
        self._begin = np.cumsum([0, *(len(tracks[pair]) for pair in found)], dtype=np.intp)[:-1]

    def strongest(self, effects: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each variant and pair, the effect of the largest size, with its sign, and its track, of several the first: (n, pairs) float32 and int16."""
        if not self.names:
            return np.empty((len(effects), 0), np.float32), np.empty((len(effects), 0), np.int16)
        ranks = np.maximum.reduceat(_ranks(sizes.take(self._order, axis=1), self._order), self._begin, axis=1)
        return _effects_of(effects, ranks)


def as_half(effects: np.ndarray) -> np.ndarray:
    """The effects as 16-bit floats, to which wider ones are rounded; what is too large for them becomes infinite."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(effects, np.float16)


def flip(effects: np.ndarray, rows: np.ndarray) -> None:
    """Turns the sign of the effects of some rows, in place; those that are 0 stay so, without a sign."""
    bits = effects.view(np.uint16)
    turned = bits[rows] ^ _SIGN
    turned[turned == _SIGN] = 0
    bits[rows] = turned


def sizes(effects: np.ndarray) -> np.ndarray:
    """(n, tracks) int16 whose order is that of the effects' sizes."""
    return effects.view(np.int16) & _SIZE


def strongest(effects: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each variant the effect of the largest size, with its sign, and its track, of several the first: (n,) float32 and int16."""
    track = sizes.argmax(1)
    return _signless(effects[np.arange(len(effects)), track]), track.astype(np.int16)


def infinite(sizes: np.ndarray) -> dict[int, int]:
    """The rows with effects that are no finite numbers, and the first track of each that has such."""
    rows = np.flatnonzero(sizes.max(1, initial=0) >= _INFINITE)
    return dict(zip(rows.tolist(), (sizes[rows] >= _INFINITE).argmax(1).tolist(), strict=True))


def reaching(sizes: np.ndarray, threshold: float) -> np.ndarray:
    """On how many tracks the size of the effect is `threshold` (not negative) or more: (n,) int32."""
    with np.errstate(over="ignore"):
        least = np.float16(threshold)
    if float(least) < threshold:
        least = np.nextafter(least, np.float16(math.inf))
    # At most 32,768 tracks; numbers of 16 bits are added up several times as fast as truth values are counted.
    reached = (sizes >= least.view(np.int16)).view(np.uint8)
    return np.add.reduce(reached, axis=1, dtype=np.uint16).astype(np.int32)


def largest(effects: np.ndarray, sizes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The effects of the largest sizes, largest first, of one size the first track first: (n, count) float32 and int16."""
    tracks = sizes.shape[1]
    kept = max(0, tracks - count)
    best = np.partition(_ranks(sizes, np.arange(tracks)), kept, axis=1)[:, kept:] if kept else _ranks(sizes, np.arange(tracks))
    return _effects_of(effects, np.sort(best, axis=1)[:, ::-1])


def _ranks(sizes: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    """Numbers in the order of the sizes, of one size the first track first, which hold their track: sizes have 15 bits, and tracks at most 15."""
    ranks = sizes.astype(np.int32)
    ranks <<= _TRACK_BITS
    ranks |= (_LAST_TRACK - tracks).astype(np.int32)
    return ranks


def _effects_of(effects: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The effects, and their tracks, of (n, ...) ranks."""
    track = _LAST_TRACK - (ranks & _LAST_TRACK)
    return _signless(np.take_along_axis(effects, track, axis=1)), track.astype(np.int16)


def _signless(effects: np.ndarray) -> np.ndarray:
    """As float32, zeros without a sign."""
    return effects.astype(np.float32) + np.float32(0)


def lists(values: np.ndarray) -> pa.ListArray:
    """A matrix as lists, one for each row."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * np.int32(values.shape[1])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))
