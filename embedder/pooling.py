"""From hidden states of tokens to one vector, and from the vectors of REF and ALT to what is stored.

In: hidden states (n, tokens, dimension) in the model's dtype. Out: float32, since differences of pooled vectors are small
against the vectors, and would drown in fp16's rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from embedder.errors import EmbedderError
from embedder.models import Tokens

if TYPE_CHECKING:
    import torch

_SHOWN = 5


class Pooling(StrEnum):
    """Which tokens a vector is made of, and how: the mean of all, the mean of the variant's own, or the maximum of all."""

    MEAN = "mean"
    VARIANT = "variant"
    MAX = "max"


class Embedded(NamedTuple):
    """Vectors of n variants: `difference` = ALT - REF, float32 (n, d); its Euclidean `norm`, float32 (n,); and the
    `cosine_distance` between REF and ALT, float32 (n,), 0 to 2."""

    difference: np.ndarray
    norm: np.ndarray
    cosine_distance: np.ndarray


def chosen(tokens: Tokens, span: tuple[int, int], pooling: Pooling) -> np.ndarray:
    """Which tokens of a sequence are pooled, bool (t,): those that stand for characters, never CLS, SEP or padding.

    For `variant` those that overlap the half-open `span`; for an empty one, which lies between two characters, those of
    the characters on both sides of it.
    """
    begin, end = tokens.spans.T
    real = end > begin
    if pooling is not Pooling.VARIANT:
        return real
    low, high = span if span[1] > span[0] else (span[0] - 1, span[0] + 1)
    return real & (begin < high) & (end > low)


def pool(hidden: torch.Tensor, chosen: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """One float32 vector (n, d) for each of n sequences: of `hidden` (n, t, d), the tokens `chosen` (n, t), bool.

    At least one token of each sequence is chosen; of those that are not, not even infinities count.
    """
    import torch

    keep = chosen.unsqueeze(-1)
    values = hidden.float()
    if pooling is Pooling.MAX:
        return torch.where(keep, values, -torch.inf).amax(dim=1)
    return torch.where(keep, values, 0.0).sum(dim=1) / keep.sum(dim=1)


def finite(vectors: np.ndarray) -> np.ndarray:
    """Which of the vectors (n, d) hold only finite numbers, bool (n,)."""
    return np.isfinite(vectors).all(axis=1)


def compare(ref: np.ndarray, alt: np.ndarray, names: Sequence[object]) -> Embedded:
    """What is stored of pooled vectors float32 (n, d) of REF and ALT. Swapping them negates the difference, exactly.

    The cosine distance is half the squared distance of the unit vectors, which for vectors as alike as these keeps the
    digits that 1 - cosine loses. Raises EmbedderError with the `names` of variants whose vectors hold infinities or NaN,
    or are zero.
    """
    if not (good := finite(ref) & finite(alt)).all():
        _refuse("the model gave infinities or NaN", "fp16 overflows where bf16 and fp32 do not: say --dtype.", names, good)
    lengths = [np.sqrt(np.square(v, dtype=np.float64).sum(axis=1, keepdims=True)) for v in (ref, alt)]
    _refuse_zeros(((lengths[0] > 0) & (lengths[1] > 0))[:, 0], names)
    difference = alt - ref
    return Embedded(
        difference,
        np.sqrt(np.square(difference, dtype=np.float64).sum(axis=1)).astype(np.float32),
        (np.square(alt / lengths[1] - ref / lengths[0]).sum(axis=1) / 2).astype(np.float32),
    )


def measured(vectors: np.ndarray, names: Sequence[object]) -> np.ndarray:
    """The Euclidean lengths, float32 (n,), of finite vectors (n, d). Raises EmbedderError with the `names` of those that are zero."""
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1))
    _refuse_zeros(lengths > 0, names)
    return lengths.astype(np.float32)


def _refuse_zeros(good: np.ndarray, names: Sequence[object]) -> None:
    if not good.all():
        _refuse("the model gave vectors of zeros only", "Its weights are damaged, or not those of this model.", names, good)


def _refuse(what: str, remedy: str, names: Sequence[object], good: np.ndarray) -> None:
    bad = [str(name) for name, ok in zip(names, good, strict=True) if not ok]
    more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    raise EmbedderError(f"{what} for {', '.join(bad[:_SHOWN])}{more}", remedy)
