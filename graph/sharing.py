"""What two people share by descent: how much, which variants, and how they may be related."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import strawberry

from store.assembly import LAST_AUTOSOME
from store.ibd import RUN, SEGMENT
from store.relationship import LEAST_SURVEYED_CM, estimate
from store.sample import CALLSET
from store.statements import statement

from .context import Context, View
from .ibd import IBDRun, IBDSegment, runs
from .link import Ask, Connection, Edge, computed, define, leaf, link
from .sample import Callset, Sample
from .variant import Variant


@define
@strawberry.enum(description="How a variant inside a shared segment is carried.")
class VariantSharing(Enum):
    SHARED_HAPLOTYPE = strawberry.enum_value(
        "SHARED_HAPLOTYPE", description="Both haplotypes that the segment joins carry it: it is one by descent."
    )
    DISCORDANT_HAPLOTYPES = strawberry.enum_value(
        "DISCORDANT_HAPLOTYPES",
        description="One of the joined haplotypes carries it, the other does not: a new mutation, or an error of call, phase or segment.",
    )
    OTHER_HAPLOTYPE = strawberry.enum_value(
        "OTHER_HAPLOTYPE", description="Neither joined haplotype carries it: who has it, has it from elsewhere."
    )
    BOTH_CARRY = strawberry.enum_value("BOTH_CARRY", description="Both people carry it; on which haplotypes is not known.")
    ONE_CARRIES = strawberry.enum_value("ONE_CARRIES", description="One of them carries it; on which haplotype is not known.")


@define
@strawberry.type(description="A variant inside a shared segment, and how the two people carry it.")
class SharedVariantEdge(Edge[Variant]):
    callset_id: strawberry.Private[int]
    sharing: VariantSharing = leaf("Whether it is shared by descent. Where segments overlap, the best of them counts.")
    gt1: str = leaf("The call of the first person, as VCF writes it.")
    gt2: str = leaf("The call of the second person.")

    @link(CALLSET, by="pk", on="callset_id")
    def callset(ctx: Context) -> Callset:
        """The callset of the calls: that of the run where it has both people and the variant, else the latest that has."""
        return Ask()


# ---- two people


@define
@strawberry.enum(description="How two people are related, as far as sharing tells.")
class RelationshipKind(Enum):
    IDENTICAL = strawberry.enum_value("IDENTICAL", description="The same person twice, or monozygotic twins.")
    PARENT_CHILD = strawberry.enum_value("PARENT_CHILD", description="First degree, sharing nine tenths of the genome or more.")
    FULL_SIBLINGS = strawberry.enum_value("FULL_SIBLINGS", description="First degree, sharing less.")
    FIRST_DEGREE = strawberry.enum_value(
        "FIRST_DEGREE",
        description="First degree or closer; which, cannot be told, since the source does not say where both haplotypes are shared.",
    )
    SECOND_DEGREE = strawberry.enum_value("SECOND_DEGREE", description="Half siblings, grandparent, uncle or aunt.")
    THIRD_DEGREE = strawberry.enum_value("THIRD_DEGREE", description="First cousins, great-grandparent.")
    DISTANT = strawberry.enum_value("DISTANT", description="Fourth to ninth degree.")
    UNRELATED = strawberry.enum_value("UNRELATED", description="No relatives that sharing could tell.")


@define
@strawberry.enum(description="Why there is no estimate.")
class NoEstimate(Enum):
    INSUFFICIENT_COVERAGE = strawberry.enum_value(
        "INSUFFICIENT_COVERAGE",
        description=f"Less than {LEAST_SURVEYED_CM:,.0f} cM of the autosomes was searched, or nobody said how much.",
    )
    NOT_SEARCHED = strawberry.enum_value(
        "NOT_SEARCHED", description="The run names one of them in no segment, and no visible callset says that it searched both."
    )


@define
@strawberry.type(
    description="How two people may be related, from what they share of the autosomes (bounds of KING: Manichaikul et al. 2010). "
    "Background sharing in a founder population makes people look closer than they are."
)
class Relationship:
    kinship: float = leaf(
        "Kinship coefficient: IBD1 / (4 L) + IBD2 / (2 L), with L the cM searched; 0 to 0.5. The least that it can be where IBD2 is not known."
    )
    kind: RelationshipKind = leaf("The likeliest.")
    degree: int | None = leaf("The likeliest degree, 0 to 9; null for unrelated.")
    nearest_degree: int | None = leaf("The nearest degree whose spread of 95 in 100 (Huff et al. 2011) holds this kinship; null for none.")
    furthest_degree: int | None = leaf("The furthest such degree; null where no limit can be told.")


@define
@strawberry.type(description="What two people share by descent, as one run has it. The same whichever of them is named first.")
class IBDSharing:
    pair: strawberry.Private[str]
    run_id: strawberry.Private[int]
    total_cm: float = leaf(
        "Length of the autosomes where they share on one haplotype or both, in cM: a union, overlapping segments count once."
    )
    ibd1_cm: float | None = leaf("Of it, where they share one haplotype; null where the source does not tell one from both.")
    ibd2_cm: float | None = leaf(
        "Of it, where they share both: segments of type 2, and where segments overlap that join different haplotypes of each; null where the source "
        "says neither."
    )
    x_cm: float = leaf("Length shared on X, in cM; not in the total.")
    segment_count: int = leaf("Segments, on all chromosomes.")
    longest_cm: float | None = leaf("The longest of them, in cM; null for none.")
    min_length_cm: float = leaf("Least length of the segments counted, in cM.")
    relationship: Relationship | None = leaf(
        "How they may be related, by all segments of the run, whatever their length; null where it cannot be told, see noRelationship."
    )
    no_relationship: NoEstimate | None = leaf("Why there is no estimate.")

    @link(SEGMENT, by="pair", on="pair", access="individual")
    def segments(ctx: Context) -> Connection[IBDSegment]:
        """The segments counted, longest first."""
        return Ask()

    @link(RUN, by="pk", on="run_id")
    def run(ctx: Context) -> IBDRun:
        """The run."""
        return Ask()


async def sharing_of(ctx: Context, view: View, pairs: Sequence[tuple[int, int, int]], min_length: float) -> list[IBDSharing]:
    """What each pair (sample, sample, run) shares, in their order."""
    counted = await _totals(ctx, view, pairs, min_length)
    every = await _totals(ctx, view, pairs, 0.0) if min_length else counted
    strangers = [pair for n, pair in enumerate(pairs) if n not in every]
    searched = await _searched(ctx, view, strangers) if strangers else set()
    surveyed = {run["load_id"]: run["surveyed_cm"] for run in await runs(ctx, view)}
    found = []
    for n, pair in enumerate(pairs):
        first, second, run = pair
        known = n in every or {(run, first), (run, second)} <= searched
        found.append(
            _sharing(pair, counted.get(n), min_length, _relationship(every.get(n), surveyed.get(run)) if known else NoEstimate.NOT_SEARCHED)
        )
    return found


async def _totals(ctx: Context, view: View, pairs: Sequence[tuple[int, int, int]], min_length: float) -> dict[int, Any]:
    """Rows of pair_sharing by the place of the pair, for those that share something."""
    columns = [list(column) for column in zip(*pairs, strict=True)] if pairs else [[], [], []]
    rows = await ctx.query_individual(view, statement("pair_sharing"), *columns, min_length, LAST_AUTOSOME)
    return {row["n"] - 1: row for row in rows}


async def _searched(ctx: Context, view: View, pairs: Sequence[tuple[int, int, int]]) -> set[tuple[int, int]]:
    """(run, sample) of those whom the runs searched."""
    people = sorted({person for pair in pairs for person in pair[:2]})
    rows = await ctx.query_individual(view, statement("searched"), sorted({run for *_, run in pairs}), people, view.seen)
    return {(row["run"], row["sample_id"]) for row in rows}


def _relationship(row: Any, surveyed: float | None) -> Relationship | NoEstimate:
    total, both = (row["total_cm"] or 0.0, row["ibd2_cm"]) if row else (0.0, 0.0)
    found = estimate(total, both, surveyed)
    if found is None:
        return NoEstimate.INSUFFICIENT_COVERAGE
    return Relationship(
        kinship=found.kinship, kind=RelationshipKind[found.relationship], degree=found.degree,
        nearest_degree=found.nearest, furthest_degree=found.furthest,
    )  # fmt: skip


def _sharing(pair: tuple[int, int, int], row: Any, min_length: float, related: Relationship | NoEstimate) -> IBDSharing:
    total, both, on_x = (row["total_cm"] or 0.0, row["ibd2_cm"], row["x_cm"] or 0.0) if row else (0.0, 0.0, 0.0)
    return IBDSharing(
        pair=".".join(map(str, pair)) + f":{min_length!r}",
        run_id=pair[2],
        total_cm=total,
        ibd1_cm=None if both is None else round(total - both, 6),
        ibd2_cm=both,
        x_cm=on_x,
        segment_count=row["segment_count"] if row else 0,
        longest_cm=row["longest_cm"] if row else None,
        min_length_cm=min_length,
        relationship=related if isinstance(related, Relationship) else None,
        no_relationship=related if isinstance(related, NoEstimate) else None,
    )


@define
@strawberry.type(description="A person who shares with another, and how much.")
class RelativeEdge(Edge[Sample]):
    pair: strawberry.Private[str]
    run_id: strawberry.Private[int]
    total_cm: float = leaf("Length of the autosomes that they share, in cM: a union, overlapping segments count once.")
    segment_count: int = leaf("Segments on the autosomes.")
    longest_cm: float = leaf("The longest of them, in cM.")

    @computed(on="pair")
    async def sharing(ctx: Context, view: View, keys: Sequence[str]) -> IBDSharing:
        """All that they share in this run, of segments of any length, and how they may be related."""
        pairs = [(int(a), int(b), int(run)) for a, b, run in (key.split(".") for key in keys)]
        return list(zip(keys, await sharing_of(ctx, view, pairs, 0.0), strict=True))

    @link(RUN, by="pk", on="run_id")
    def run(ctx: Context) -> IBDRun:
        """The run that says so."""
        return Ask()
