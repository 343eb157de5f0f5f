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
from store.variant import VARIANT
from store.vector import matrix_of_halfvecs

from .batch import read_all
from .context import Context, View
from .errors import UserError
from .filters import ClinicalClass
from .link import Ask, define, leaf, link
from .similar import EmbeddingModel, model_named
from .transfer import apart, seen

if TYPE_CHECKING:
    from .variant import Variant

NEAREST = 5
FEWEST = 20
"""Fewer members, or others, make no distribution."""
COMPARING = 3_000
"""What it costs to compare with a class, in objects: so many vectors are read."""
WORTHLESS = 0.6
"""Below this area under the curve nearness hardly tells members from others."""
_PERCENTS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Of so many of the blocks of the vectors' table the background is drawn: of the first that has enough which are visible."""

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
        "at all; below, the wrong way round. It is the same for all variants."
    )
    discrimination_error: float | None = leaf("Standard error of discrimination (Hanley and McNeil 1982): of few members it is large.")
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


@dataclass(frozen=True)
class _Class:
    """What is known of a class, whoever is compared with it: its members (n), others (b), how near each of these is to the class (b,), and to what is left of
    it without each member (b, n); the area under the curve and its standard error."""

    members: _Vectors
    others: _Vectors
    nearness: np.ndarray
    without: np.ndarray
    discrimination: float | None
    error: float | None


async def likeness(
    ctx: Context, view: View, keys: Sequence[int], classes: Sequence[Any], name: str | None
) -> list[tuple[int, ClassSimilarity]]:
    """(variant, how near it is to a class) of variants that have a vector by the model which points anywhere. Raises UserError BAD_CLASS."""
    if not classes:
        raise UserError("BAD_CLASS", "classification: no class is given.", hint="Name one, such as PATHOGENIC.")
    model = await model_named(ctx, view, name)
    names = list(dict.fromkeys(each.name for each in classes))
    own = await _vectors(ctx, view, model, keys)
    if not len(own.keys):
        return []
    memo = ("class", model.model_id, view, *sorted(names))
    if memo not in ctx.loaders:  # many batches of candidates are compared with one class
        ctx.loaders[memo] = asyncio.ensure_future(_drawn(ctx, view, model, names))
    return await asyncio.to_thread(_compared, view, model, names, own, await ctx.loaders[memo])


async def _drawn(ctx: Context, view: View, model: EmbeddingModel, names: Sequence[str]) -> _Class:
    """The class and the background, keys first: vectors are read of those alone that are drawn."""
    pathogenic = set(names) <= {"PATHOGENIC", "LIKELY_PATHOGENIC"}
    found = await read_all(
        ctx, view, members(model.model_id, pathogenic), "all", [], columns=("variant_key",), limit=MOST_MEMBERS, classes=names
    )
    of_class = [row["variant_key"] for _, row in found]
    others: list[int] = []
    for percent in _PERCENTS:
        if len(others) < BACKGROUND:
            found = await read_all(
                ctx, view, background(model.model_id), "all", [], columns=("variant_key",), limit=BACKGROUND, classes=names, percent=percent
            )
            others = [row["variant_key"] for _, row in found]
    drawn = [await _vectors(ctx, view, model, each) for each in (of_class, others)]
    return await asyncio.to_thread(_known, apart(model), *drawn)


async def _vectors(ctx: Context, view: View, model: EmbeddingModel, keys: Sequence[int]) -> _Vectors:
    """Those that have a vector which points anywhere, by key."""
    rows = await read_all(ctx, view, vectors(model.model_id), "variant", keys, columns=("norm", "halves")) if keys else []
    kept = [(key, row["halves"]) for key, row in rows if row["norm"] > 0]
    values = matrix_of_halfvecs([halves for _, halves in kept], model.dimension).astype(np.float64)
    return _Vectors(np.array([key for key, _ in kept], np.int64), values / np.linalg.norm(values, axis=1, keepdims=True))


def _known(reach: int, of_class: _Vectors, others: _Vectors) -> _Class:
    similar = _similarities(others, of_class, reach)
    without = _without_each(similar)
    within = _nearness(_similarities(of_class, of_class, reach))
    discrimination, error = _discrimination(within, without)
    return _Class(of_class, others, _nearness(similar), without, discrimination, error)


def _compared(view: View, model: EmbeddingModel, names: Sequence[str], own: _Vectors, known: _Class) -> list[tuple[int, ClassSimilarity]]:
    reach = apart(model)
    similar = _similarities(own, known.members, reach)
    nearness = _nearness(similar)
    separate = _separate(own, known.others, reach)
    place_of = {key: place for place, key in enumerate(known.members.keys.tolist())}
    found = []
    for place, key in enumerate(own.keys.tolist()):
        count = int((similar[place] > -np.inf).sum())
        near = None if count < FEWEST else round(float(nearness[place]), 6)
        # A member is not compared with itself; nor are the others with it then.
        beyond = known.without[:, place_of[key]] if key in place_of else known.nearness
        against = beyond[separate[place] & np.isfinite(beyond)] if near is not None else beyond[:0]
        percentile = None if near is None or len(against) < FEWEST else round(100 * below(nearness[place], against), 2)
        best = np.lexsort((known.members.keys, -np.round(similar[place], 6)))[:NEAREST].tolist()
        made = ClassSimilarity(
            model=model, classes=cast(Any, list(names)), similarity=near, percentile=percentile,
            discrimination=known.discrimination if percentile is not None else None,
            discrimination_error=known.error if percentile is not None else None,
            member_count=count, background_count=len(against),
            nearest=seen(view, [
                ClassMember(variant_key=int(known.members.keys[n]), similarity=round(float(similar[place, n]), 6)) for n in best if similar[place, n] > -np.inf
            ]),
            statement="",
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


def _without_each(similar: np.ndarray) -> np.ndarray:
    """As `_nearness`, without each column in turn: (n, m); NaN where there are too few."""
    count, members = similar.shape
    if members <= NEAREST:
        return np.full((count, members), np.nan)
    top = np.argpartition(similar, -NEAREST - 1, axis=1)[:, -NEAREST - 1 :]
    top = np.take_along_axis(top, np.argsort(-np.take_along_axis(similar, top, 1), axis=1, kind="stable"), 1)
    values = np.take_along_axis(similar, top, 1)
    values[~np.isfinite(values)] = np.nan
    total = values[:, :NEAREST].sum(axis=1)
    found = np.repeat(total[:, None] / NEAREST, members, axis=1)
    for place in range(NEAREST):  # where one of the nearest is left out, the next one counts
        found[np.arange(count), top[:, place]] = (total - values[:, place] + values[:, NEAREST]) / NEAREST
    return found


def below(value: float, of: np.ndarray) -> float:
    """Which part of some numbers lies below a value, those that equal it to six places by half."""
    rounded, here = np.round(of, 6), np.round(value, 6)
    return float((rounded < here).mean() + (rounded == here).mean() / 2)


def _discrimination(within: np.ndarray, without: np.ndarray) -> tuple[float | None, float | None]:
    """The area under the ROC curve, and its standard error (Hanley and McNeil 1982): how often a member (n,) is nearer to the rest of the class than one of the
    background is to that same rest (b, n), ties by half (Mann and Whitney 1947)."""
    rows, columns = np.isfinite(without).all(axis=1), ~np.isnan(within)
    if rows.sum() < FEWEST or columns.sum() < FEWEST:
        return None, None
    others, here = np.round(without[rows][:, columns], 6), np.round(within[columns], 6)
    area = float((others < here).mean() + (others == here).mean() / 2)
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    n, b = others.shape[::-1]
    variance = (area * (1 - area) + (n - 1) * (one - area**2) + (b - 1) * (two - area**2)) / (n * b)
    return round(area, 4), round(float(np.sqrt(max(variance, 0.0))), 4)


def tells(found: ClassSimilarity) -> bool:
    """Whether nearness tells members of the class from others in this store, beyond chance and by more than a little."""
    area, error = found.discrimination, found.discrimination_error
    return area is not None and error is not None and area >= WORTHLESS and area - 2 * error > 0.5


def _said(found: ClassSimilarity, name: str) -> str:
    by = f"By {found.model.name}"
    if found.similarity is None:
        return f"{by} nothing can be said: {found.member_count:,} variants classified as {name} can be compared, fewer than {FEWEST}."
    if found.percentile is None:
        return f"{by} its similarity to {name} is {found.similarity}; {found.background_count:,} others are too few to compare with."
    curve = f"area under the curve {found.discrimination} with a standard error of {found.discrimination_error}"
    nearer = f"nearer to variants classified as {name} than {found.percentile:g}% of {found.background_count:,} others are"
    if not tells(found):
        return f"In this store nearness by {found.model.name} hardly tells variants classified as {name} from others ({curve}): that it is {nearer} means nothing."
    reads = (
        " The model reads what classifications are made from, too: its nearness is not independent of them."
        if found.model.inputs != ["sequence"]
        else ""
    )
    return f"{by} it is {nearer}; here that tells members from others ({curve}). That is evidence of likeness, not a classification.{reads}"
