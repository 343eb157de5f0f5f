"""How near a variant is to known ones of a clinical class, against how near others are: a percentile, and how much one is worth here.

Nearness is the mean cosine similarity to the NEAREST members of the class that are most similar. The same is worked out of other variants, which are in
no such class: the background. Nobody is compared with itself, or with who lies so near that the model read a part of the same bases. How well nearness
tells members from the background, each left out in turn, is said beside (the area under the ROC curve): at 0.5 a percentile tells nothing.

Of a large class a sample is compared, and of all others one is the background, so that an answer costs the same in any store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
import strawberry

from store.similarity import BACKGROUND, MOST_MEMBERS, background, members, vectors
from store.statements import statement
from store.variant import VARIANT
from store.vector import matrix_of_halfvecs

from .batch import read_all
from .context import Context, View
from .errors import UserError
from .filters import ClinicalClass
from .link import Ask, define, leaf, link
from .similar import EmbeddingModel, model_named
from .transfer import apart

if TYPE_CHECKING:
    from .variant import Variant

NEAREST = 5
FEWEST = 20
"""Fewer members, or others, make no distribution."""
COMPARING = 3_000
"""What it costs to compare with a class, in objects: so many vectors are read."""
_SAMPLED = 10
"""So many times as many others are looked at as are wanted: some are not visible."""

OfClasses = Annotated[
    list[ClinicalClass],
    strawberry.argument(description="The class, germline; of several, any of them, such as [PATHOGENIC, LIKELY_PATHOGENIC]."),
]


@define
@strawberry.type(description="A variant of the class, and how similar it is.")
class ClassMember:
    variant_key: strawberry.Private[int]
    similarity: float = leaf("Cosine similarity, -1 to 1, to six places.")

    @link(VARIANT, by="pk", on="variant_key")
    def node(ctx: Context) -> Variant:
        """The variant."""
        return Ask()


@define
@strawberry.type(
    description="How near a variant is to known ones of a clinical class, by a model, beside others. Evidence of likeness in what the model reads: neither a "
    "classification nor a probability of disease."
)
class ClassSimilarity:
    model: EmbeddingModel = leaf("The model.")
    classes: list[ClinicalClass] = leaf("The class.")
    similarity: float | None = leaf(
        f"Mean cosine similarity to the {NEAREST} members of the class most similar to it, -1 to 1, to six places; null where fewer than {FEWEST} can be compared."
    )
    percentile: float | None = leaf(
        f"Percentage of the background that is less near to the class, 0 to 100; who is as near counts half. Null where the background is of fewer than {FEWEST}."
    )
    discrimination: float | None = leaf(
        "How well nearness tells members of the class from the background in this store, each left out in turn: area under the ROC curve, 1 always, 0.5 not "
        "at all; below, the wrong way round."
    )
    member_count: int = leaf(f"How many variants of the class it was compared with: all that have a vector, or {MOST_MEMBERS:,} of them.")
    background_count: int = leaf(
        f"How many variants of no such class are the background: at most {BACKGROUND:,}, drawn the same way each time."
    )
    nearest: list[ClassMember] = leaf("The members most similar to it, the most similar first.")
    statement: str = leaf("All this in a sentence.")


@dataclass(frozen=True)
class _Vectors:
    """Variants, int64 (n,), and their unit vectors, float64 (n, d): in float32 the sixth place would depend on who else is asked about."""

    keys: np.ndarray
    units: np.ndarray

    @property
    def positions(self) -> np.ndarray:
        """Chromosome and position in one number, (n,)."""
        return self.keys >> 31


async def likeness(
    ctx: Context, view: View, keys: Sequence[int], classes: Sequence[Any], name: str | None
) -> list[tuple[int, ClassSimilarity]]:
    """(variant, how near it is to a class) of variants that have a vector by the model which points anywhere. Raises UserError BAD_CLASS."""
    if not classes:
        raise UserError("BAD_CLASS", "classification: no class is given.", hint="Name one, such as PATHOGENIC.")
    model = await model_named(ctx, view, name)
    names = list(dict.fromkeys(each.name for each in classes))
    rows = await read_all(ctx, view, vectors(model.model_id), "variant", keys, columns=("norm", "halves"))
    own = _vectors(model, [(key, row["halves"]) for key, row in rows if row["norm"] > 0])
    if not len(own.keys):
        return []
    (table,) = await ctx.query(statement("rows_of_table"), f"embedding_{model.model_id}")
    percent = 100.0 if table["rows"] < _SAMPLED * BACKGROUND else 100 * _SAMPLED * BACKGROUND / table["rows"]
    drawn = []
    pathogenic = set(names) <= {"PATHOGENIC", "LIKELY_PATHOGENIC"}
    for read, limit in ((members(model.model_id, pathogenic), MOST_MEMBERS), (background(model.model_id), BACKGROUND)):
        rows = await read_all(ctx, view, read, "all", [], limit=limit, classes=names, percent=percent)
        drawn.append(_vectors(model, [(row["variant_key"], row["halves"]) for _, row in rows]))
    return await asyncio.to_thread(_compared, view, model, names, own, *drawn)


def _vectors(model: EmbeddingModel, rows: Sequence[tuple[int, bytes]]) -> _Vectors:
    values = matrix_of_halfvecs([halves for _, halves in rows], model.dimension).astype(np.float64)
    return _Vectors(np.array([key for key, _ in rows], np.int64), values / np.linalg.norm(values, axis=1, keepdims=True))


def _compared(
    view: View, model: EmbeddingModel, names: Sequence[str], own: _Vectors, of_class: _Vectors, others: _Vectors
) -> list[tuple[int, ClassSimilarity]]:
    reach = apart(model)
    similar = _similarities(own, of_class, reach)
    nearness = _nearness(similar)
    beyond, within = _nearness(_similarities(others, of_class, reach)), _nearness(_similarities(of_class, of_class, reach))
    apart_of = _separate(own, others, reach) & ~np.isnan(beyond)
    found = []
    for place, key in enumerate(own.keys.tolist()):
        count = int((similar[place] > -np.inf).sum())
        near = None if count < FEWEST else round(float(nearness[place]), 6)
        against = beyond[apart_of[place]] if near is not None else beyond[:0]
        percentile = None if near is None or len(against) < FEWEST else round(100 * below(nearness[place], against), 2)
        best = [n for n in np.lexsort((of_class.keys, -np.round(similar[place], 6)))[:NEAREST].tolist() if similar[place, n] > -np.inf]
        listed = [ClassMember(variant_key=int(of_class.keys[n]), similarity=round(float(similar[place, n]), 6)) for n in best]
        for member in listed:
            member.__dict__["_view"] = view
        made = ClassSimilarity(
            model=model, classes=cast(Any, list(names)), similarity=near, percentile=percentile,
            discrimination=None if percentile is None else _discrimination(within, against),
            member_count=count, background_count=len(against), nearest=listed, statement="",
        )  # fmt: skip
        made.statement = _said(made, " or ".join(names))
        found.append((key, made))
    return found


def _similarities(some: _Vectors, members: _Vectors, reach: int) -> np.ndarray:
    """Cosine similarities (n, m); -inf between who is the same, or lies too near."""
    return np.where(_separate(some, members, reach), some.units @ members.units.T, -np.inf)


def _separate(some: _Vectors, others: _Vectors, reach: int) -> np.ndarray:
    """Which of two are different variants, further apart than `reach` bases: bool (n, m)."""
    return (np.abs(some.positions[:, None] - others.positions) > reach) & (some.keys[:, None] != others.keys)


def _nearness(similar: np.ndarray) -> np.ndarray:
    """Mean of the NEAREST largest of each row (n, m); NaN where there are fewer."""
    if similar.shape[1] < NEAREST:
        return np.full(len(similar), np.nan)
    means = np.partition(similar, -NEAREST, axis=1)[:, -NEAREST:].mean(axis=1)
    return np.where(np.isfinite(means), means, np.nan)


def below(value: float, of: np.ndarray) -> float:
    """Which part of some numbers lies below a value, those that equal it to six places by half."""
    rounded, here = np.round(of, 6), np.round(value, 6)
    return float((rounded < here).mean() + (rounded == here).mean() / 2)


def _discrimination(within: np.ndarray, beyond: np.ndarray) -> float | None:
    """The area under the ROC curve: how often a member is nearer than one of the background, ties by half (Mann and Whitney 1947)."""
    known = within[~np.isnan(within)]
    if not len(known):
        return None
    ranked = np.sort(np.round(beyond, 6))
    here = np.round(known, 6)
    return round(float((np.searchsorted(ranked, here) + np.searchsorted(ranked, here, "right")).mean() / (2 * len(ranked))), 4)


def _said(found: ClassSimilarity, name: str) -> str:
    by = f"By {found.model.name}"
    if found.similarity is None:
        return f"{by} nothing can be said: {found.member_count:,} variants classified as {name} can be compared, fewer than {FEWEST}."
    if found.percentile is None:
        return f"{by} its similarity to {name} is {found.similarity}; {found.background_count:,} others are too few to compare with."
    worth = (
        f"; here that tells members from others with an area under the curve of {found.discrimination}"
        if found.discrimination is not None
        else ""
    )
    return (
        f"{by} it is nearer to variants classified as {name} than {found.percentile:g}% of {found.background_count:,} others are{worth}. "
        "That is evidence of likeness, not a classification."
    )
