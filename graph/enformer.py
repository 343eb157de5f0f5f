"""What Enformer predicts a variant to change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import strawberry

from store.enformer import ENFORMER, TRACK, TRACKS_KEPT, track_id
from store.ledger import LOAD
from store.read import LARGEST_REAL
from store.statements import statement
from store.tissue import TISSUES
from store.variant import VARIANT
from store.vector import numbers_of_halfvec

from .context import Context, View
from .errors import UserError
from .genotype import names_of
from .link import Ask, computed, define, entity, leaf, link, made_of
from .node import Node, numbered
from .page import checked_size

if TYPE_CHECKING:
    from .ledger import Load
    from .variant import Variant

_VECTOR = 500
"""What the effects on all tracks cost, in objects: some 5,000 numbers."""


@define
@strawberry.enum(description="What an effect is.")
class EnformerScore(Enum):
    SAD = strawberry.enum_value("SAD", description="Prediction for ALT less that for REF, summed over the output.")
    SAR = strawberry.enum_value("SAR", description="Logarithm (base 2) of the ratio of the two sums, each with 1 added.")


@define
@strawberry.enum(description="What is kept of the effects on single tracks, besides the strongest and those by tissue.")
class TracksKept(Enum):
    ALL = strawberry.enum_value("ALL", description="All.")
    SUMMARY = strawberry.enum_value("SUMMARY", description=f"The {TRACKS_KEPT} strongest.")
    NONE = strawberry.enum_value("NONE", description="None.")


@define
@strawberry.enum(description="What a track measures.")
class EnformerAssay(Enum):
    CAGE = strawberry.enum_value("CAGE", description="Expression, at the starts of transcripts.")
    DNASE = strawberry.enum_value("DNASE", description="Open chromatin, by DNase I.")
    ATAC = strawberry.enum_value("ATAC", description="Open chromatin, by transposase.")
    CHIP = strawberry.enum_value("CHIP", description="Bound proteins and histone marks.")
    OTHER = strawberry.enum_value("OTHER", description="Anything else.")


@define
@strawberry.enum(description="Tissue of a track, by the words of its description: see docs/function.md.")
class EnformerTissue(Enum):
    vars().update({name: strawberry.enum_value(name, description=f"Tracks of {words}.") for name, words in TISSUES.items()})


EffectScores = Annotated[list[EnformerScore] | None, strawberry.argument(description="Only effects of these kinds.")]
OneScore = Annotated[
    EnformerScore | None, strawberry.argument(description="The kind of effect, SAD where none is given: their scales differ.")
]
OfAssays = Annotated[list[EnformerAssay] | None, strawberry.argument(description="Only tracks of these assays.")]
OfTissues = Annotated[list[EnformerTissue] | None, strawberry.argument(description="Only tracks of these tissues.")]
MinEffect = Annotated[
    float, strawberry.argument(description="Least size of the effect, whatever its sign, in the scale of the score: from 0.")
]


@entity(TRACK, description="A track that Enformer predicts: one experiment.", key_of=numbered)
class EnformerTrack(Node):
    track_id: strawberry.Private[int]
    load_id: strawberry.Private[int]
    index: int = leaf("Place among the targets of the model, from 0.")
    identifier: str = leaf("Identifier of the experiment, as written (ENCODE, FANTOM).")
    assay: EnformerAssay = leaf("What it measures.")
    description: str = leaf("Description, as written.")
    tissue: EnformerTissue | None = leaf("Tissue; null for cell lines, tumours, and what names none.")

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load it came from."""
        return Ask()


@define
@strawberry.type(description="The effect on one track.")
class EnformerTrackEffect:
    track_id: strawberry.Private[int]
    effect: float = leaf("Effect of ALT against REF, in the scale of the score; positive for more with ALT.")

    @link(TRACK, by="pk", on="track_id")
    def track(ctx: Context) -> EnformerTrack:
        """The track."""
        return Ask()


@define
@strawberry.type(description="The strongest effect on the tracks of one assay in one tissue.")
class EnformerTissueEffect(EnformerTrackEffect):
    tissue: EnformerTissue = leaf("The tissue.")
    assay: EnformerAssay = leaf("The assay.")


@entity(
    ENFORMER,
    description="What Enformer predicts a variant to change: how ALT differs from REF in each track, over the 114,688 bases of output around it, or the "
    "principal components of that. It is not about one gene, and the scales of assays and scores differ.",
)
class EnformerEffect:
    variant_key: strawberry.Private[int]
    load_id: strawberry.Private[int]
    key: strawberry.Private[Any]
    strongest_track_id: strawberry.Private[int | None]
    summaries: strawberry.Private[list[str]]
    tissue_effects_by_place: strawberry.Private[list[float] | None]
    tissue_tracks: strawberry.Private[list[int] | None]
    score: EnformerScore | None = leaf("What an effect is; null for principal components.")
    synthetic: bool = leaf("True where the numbers were generated, to show how it works.")
    max_effect: float | None = leaf("Largest size of an effect on any track; null for principal components.")
    strongest_effect: float | None = leaf("The same with its sign: positive for more with ALT.")
    threshold: float | None = leaf("Size from which on overThreshold counts.")
    over_threshold: int | None = leaf("On how many tracks the size reaches the threshold.")
    track_count: int = leaf("Number of tracks; 0 for principal components.")
    tracks_kept: TracksKept | None = leaf("What is kept of the effects on single tracks.")
    components: list[float] = leaf("Principal components of the effects, where the file has these instead of tracks; else empty.")
    swapped: bool = leaf("True where the file has REF and ALT the other way round: signs were flipped.")
    source_locus: str | None = leaf("CHROM:POS:REF:ALT as in the file, where it is another: swapped, normalised or lifted over.")
    line: int = leaf("Row in the file, from 1.")

    @link(VARIANT, by="pk", on="variant_key")
    def variant(ctx: Context) -> Variant | None:
        """The variant, where a visible file has it."""
        return Ask()

    @link(TRACK, by="pk", on="strongest_track_id")
    def strongest_track(ctx: Context) -> EnformerTrack | None:
        """The track of the strongest effect."""
        return Ask()

    @made_of("load_id", "summaries", "tissue_effects_by_place", "tissue_tracks")
    def tissue_effects(self, *, tissue: OfTissues = None, assay: OfAssays = None) -> list[EnformerTissueEffect]:
        """Per tissue and assay the effect of the largest size, with its sign and its track. Expression is CAGE; tracks of CHIP are three in four."""
        return list(_by_tissue(self, names_of(tissue), names_of(assay)))

    @computed(on="key", cost=5)
    async def top_tracks(
        ctx: Context, view: View, keys: Sequence[Any],
        *, first: Annotated[int, strawberry.argument(description="How many, at most 1,000.")] = 10, assay: OfAssays = None, tissue: OfTissues = None,
    ) -> list[EnformerTrackEffect]:  # fmt: skip
        """The tracks on which the effect is largest, largest first; of those that the load kept (tracksKept)."""
        return await _strongest(ctx, view, keys, checked_size(first, "first"), names_of(assay), names_of(tissue))

    @computed(on="key", cost=_VECTOR)
    async def tracks(ctx: Context, view: View, keys: Sequence[Any]) -> list[float]:
        """The effect on each track, by the index of the track; empty where not all were kept."""
        return [
            (key, value)
            for key, row in await _vectors(ctx, view, keys)
            if row["tracks"]
            for value in numbers_of_halfvec(row["tracks"]).tolist()
        ]

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load it came from: dataset and version."""
        return Ask()


def checked_effect(least: float) -> float:
    """A least size, if it is one. Raises UserError BAD_EFFECT."""
    if not 0 <= least <= LARGEST_REAL:
        raise UserError("BAD_EFFECT", f"minEffect: {least} is not a size.", value=least, hint="Sizes are from 0; signs do not count.")
    return least


def _by_tissue(effect: Any, tissues: Sequence[str] | None, assays: Sequence[str] | None) -> Iterator[EnformerTissueEffect]:
    places = zip(effect.summaries, effect.tissue_effects_by_place or (), effect.tissue_tracks or (), strict=False)
    for name, value, track in places:
        tissue, _, assay = name.partition(":")
        if tissue not in TISSUES:  # of a table of tissues before this one
            continue
        if (tissues is None or tissue in tissues) and (assays is None or assay in assays):
            made: Any = EnformerTissueEffect(track_id=track_id(effect.load_id, track), effect=value, tissue=tissue, assay=assay)
            made._view = effect._view
            yield made


async def _vectors(ctx: Context, view: View, keys: Sequence[Any]) -> list[tuple[Any, Any]]:
    """(key, row of enformer_vectors) of effects whose keys are (variant key, load)."""
    variants, loads = ([key[place] for key in keys] for place in (0, 1))
    rows = await ctx.query(statement("enformer_vectors"), variants, loads, list(view.loads))
    by_key = {tuple(key): key for key in keys}
    return [(by_key[row["variant_key"], row["load_id"]], row) for row in rows]


async def _strongest(
    ctx: Context, view: View, keys: Sequence[Any], first: int, assays: list[str] | None, tissues: list[str] | None
) -> list[tuple[Any, EnformerTrackEffect]]:
    wanted: dict[int, np.ndarray] | None = None
    if assays is not None or tissues is not None:
        rows = await ctx.query(statement("enformer_ordinals"), sorted({key[1] for key in keys}), assays, tissues, list(view.loads))
        wanted = {row["load_id"]: np.array(row["ordinals"], np.int64) for row in rows}
    found = []
    for key, row in await _vectors(ctx, view, keys):
        if row["tracks"]:
            values = numbers_of_halfvec(row["tracks"])
            ordinals = np.arange(len(values))
        elif row["kept_tracks"]:
            values, ordinals = np.array(row["kept_effects"], np.float32), np.array(row["kept_tracks"], np.int64)
        else:
            continue
        if wanted is not None:
            chosen = np.isin(ordinals, wanted.get(row["load_id"], ()), assume_unique=True)
            values, ordinals = values[chosen], ordinals[chosen]
        best = _largest(np.abs(values), ordinals, first)
        found += [
            (key, EnformerTrackEffect(track_id=track_id(row["load_id"], ordinal), effect=value))
            for ordinal, value in zip(ordinals[best].tolist(), values[best].tolist(), strict=True)
        ]
    return found


def _largest(sizes: np.ndarray, ordinals: np.ndarray, first: int) -> np.ndarray:
    """The places of the `first` largest sizes, largest first; of equal ones the lowest ordinal first. Only what may be among them is sorted."""
    places = np.arange(len(sizes))
    if first < len(sizes):
        places = np.flatnonzero(sizes >= np.partition(sizes, -first)[-first])
    return places[np.lexsort((ordinals[places], -sizes[places]))][:first]
