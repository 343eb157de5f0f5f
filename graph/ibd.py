"""Segments shared by descent, the runs that found them, and what two people share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from store.ibd import HBD, IN_SEGMENT, RUN, SEGMENT, SHARED, SHARED_BY_BOTH
from store.ledger import LOAD
from store.read import EVERYTHING, both, where
from store.read import Filter as Condition
from store.region import Region
from store.sample import CALLSET, SAMPLE
from store.statements import statement

from .context import Context, View
from .errors import UserError
from .filters import VariantFilter, conditions
from .gene import Filter
from .genotype import Callsets
from .link import Ask, Connection, Edge, EdgeConnection, define, entity, leaf, link
from .node import Node, whole_number
from .people import check_callsets
from .place import RegionText, place
from .scalars import BigInt

if TYPE_CHECKING:
    from .ledger import Load
    from .sample import Callset, Sample
    from .sharing import SharedVariantEdge
    from .variant import Variant

Source = Annotated[
    str | None,
    strawberry.argument(
        description="Only this run, by the name of its dataset, or the runs of this tool (hap-ibd ...). Runs are never mixed: of several the latest speaks."
    ),
]
OfSource = Annotated[
    str | None, strawberry.argument(description="Only segments of this run, by the name of its dataset, or of this tool (hap-ibd ...).")
]
MinLength = Annotated[float, strawberry.argument(description="Only segments of at least so many centimorgans.")]


@define
@strawberry.enum(description="The tool that found segments.")
class IBDSource(Enum):
    HAP_IBD = strawberry.enum_value("HAP_IBD", description="hap-IBD.")
    REFINED_IBD = strawberry.enum_value("REFINED_IBD", description="Refined IBD, also that of Beagle 4.1.")
    GERMLINE = strawberry.enum_value("GERMLINE", description="GERMLINE.")
    GERMLINE2 = strawberry.enum_value("GERMLINE2", description="GERMLINE2.")
    ILASH = strawberry.enum_value("ILASH", description="iLASH.")
    TRUFFLE = strawberry.enum_value("TRUFFLE", description="TRUFFLE, which needs no phase.")
    IBIS = strawberry.enum_value("IBIS", description="IBIS, which needs no phase.")


@entity(RUN, key_of=whole_number, description="A load of segments: one run of one tool.")
class IBDRun(Node):
    load_id: strawberry.Private[int]
    callset_id: strawberry.Private[int | None]
    name: str = leaf("Name of the dataset.")
    version: str = leaf("Version of the dataset.")
    source: IBDSource = leaf("The tool.")
    source_version: str | None = leaf("Its version, where somebody said.")
    cohort: str = leaf("The cohort whose samples it names.")
    phased: bool = leaf("True where its segments say which haplotypes they join.")
    surveyed_cm: float | None = leaf("How much of the autosomes was searched, in cM; null where nobody said.")
    segment_count: BigInt = leaf("Segments between two people.")
    hbd_segment_count: BigInt = leaf("Segments of homozygosity by descent.")
    sample_count: int = leaf("Samples that it names.")

    @link(CALLSET, by="pk", on="callset_id")
    def callset(ctx: Context) -> Callset | None:
        """The visible callset in which they were found: haplotype 1 is the first allele of its calls. Null where there is none; haplotype numbers
        then mean nothing, and every answer is about people."""
        return Ask()

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load: its files and when it was loaded."""
        return Ask()


@define
@strawberry.type(description="A stretch of genome.")
class Segment(Node):
    load_id: strawberry.Private[int]
    key: strawberry.Private[str]
    chrom: str = leaf("Chromosome.")
    start: int = leaf("First position, 1-based.")
    end: int = leaf("Last position, inclusive.")
    region: str = leaf("CHROM:START-END, as the argument region takes it.")
    length_bp: int = leaf("Length in bases.")
    length_cm: float = leaf("Length in centimorgans: the file's, or from the genetic map that it was loaded with.")
    markers: int | None = leaf("Markers in it, where the source says.")
    score: float | None = leaf("Score of the source (Refined IBD: LOD; iLASH: similarity), where it has one.")
    line: int = leaf("Line in the file, from 1.")

    @link(RUN, by="pk", on="load_id")
    def run(ctx: Context) -> IBDRun:
        """The run that found it."""
        return Ask()


@entity(
    SEGMENT,
    key_of=lambda text: _key(text, 5),
    access="individual",
    description="A stretch of genome that two people share by descent: a haplotype of one and a haplotype of the other are copies of one ancestor's.",
)
class IBDSegment(Segment):
    sample1_id: strawberry.Private[int]
    sample2_id: strawberry.Private[int]
    haplotype1: int | None = leaf(
        "Haplotype of sample1 that it joins, 1 or 2, in the callset of its run; null where the source does not say."
    )
    haplotype2: int | None = leaf("Haplotype of sample2 that it joins.")
    ibd_type: int | None = leaf("1 where one haplotype of each is shared, 2 where both are; null where the source does not say.")

    @link(SAMPLE, by="pk", on="sample1_id", access="individual")
    def sample1(ctx: Context) -> Sample:
        """One of the two; which is the first does not depend on how the segment was come by."""
        return Ask()

    @link(SAMPLE, by="pk", on="sample2_id", access="individual")
    def sample2(ctx: Context) -> Sample:
        """The other."""
        return Ask()

    @link(IN_SEGMENT, by="ibd", on="key", access="individual")
    async def variants(ctx: Context, view: View, *, region: RegionText = None, filter: Filter = None) -> Connection[Variant]:
        """All variants inside, whoever carries them, in genome order."""
        return await variants_inside(ctx, view, region, filter)

    @link(SHARED, by="segment", on="key", access="individual")
    async def shared_variants(
        ctx: Context, view: View, *, region: RegionText = None, filter: Filter = None, callset: Callsets = None
    ) -> EdgeConnection[Variant, SharedVariantEdge]:  # fmt: skip
        """Variants inside that both carry: on the joined haplotypes where these are known in the callset, else both people."""
        await check_callsets(ctx, view, callset)
        bounds = await place(
            ctx, view, region, None, 0, SHARED, EVERYTHING
        )  # it looks at what the two carry, so that any filter may narrow it
        return Ask(both(conditions(filter), where(sharing=list(SHARED_BY_BOTH))), {"callsets": callset, **bounds})


@entity(
    HBD,
    key_of=lambda text: _key(text, 4),
    access="individual",
    description="A stretch of genome where both haplotypes of a person are one by descent: homozygosity by descent, autozygosity.",
)
class HBDSegment(Segment):
    sample_id: strawberry.Private[int]

    @link(SAMPLE, by="pk", on="sample_id", access="individual")
    def sample(ctx: Context) -> Sample:
        """The person."""
        return Ask()

    @link(IN_SEGMENT, by="hbd", on="key", access="individual")
    async def variants(ctx: Context, view: View, *, region: RegionText = None, filter: Filter = None) -> Connection[Variant]:
        """All variants inside, whoever carries them, in genome order."""
        return await variants_inside(ctx, view, region, filter)


async def variants_inside(ctx: Context, view: View, region: str | None, filter: VariantFilter | None) -> Any:
    """What is asked of the variants in segments. Raises UserError as `place` does."""
    asked = conditions(filter)
    return Ask(asked, dict(await place(ctx, view, region, None, 0, IN_SEGMENT, asked)))


def _key(text: str, numbers: int) -> str | None:
    parts = text.split(".")
    return text if len(parts) == numbers and all(whole_number(part) is not None for part in parts) else None


@define
@strawberry.type(description="A segment as one of its two people sees it.")
class SharedSegmentEdge(Edge[IBDSegment]):
    other_id: strawberry.Private[int]
    haplotype: int | None = leaf("Haplotype of the person asked for that it joins, 1 or 2; null where the source does not say.")
    other_haplotype: int | None = leaf("Haplotype of the other person.")

    @link(SAMPLE, by="pk", on="other_id", access="individual")
    def other(ctx: Context) -> Sample:
        """The other person."""
        return Ask()


# ---- runs by name


async def runs(ctx: Context, view: View) -> list[Any]:
    """The visible runs, oldest first: rows of the statement ibd_runs."""
    key = ("ibd_runs", view)
    if key not in ctx.loaders:  # several fields may ask at once
        ctx.loaders[key] = asyncio.ensure_future(ctx.query(statement("ibd_runs"), list(view.loads)))
    return await ctx.loaders[key]


async def runs_of(ctx: Context, view: View, source: str | None) -> list[int] | None:
    """The numbers of the visible runs that a source names, None for all. Raises UserError UNKNOWN_SOURCE."""
    if source is None:
        return None
    visible = await runs(ctx, view)
    found = [run["load_id"] for run in visible if run["name"] == source] or [
        run["load_id"] for run in visible if run["source"] == source.lower().replace("_", "-")
    ]
    if not found:
        listed = ", ".join(f"{run['name']} ({run['source']})" for run in visible)
        hint = f"There are {listed}." if listed else "Load one with vkg load ibd."
        raise UserError("UNKNOWN_SOURCE", f"No visible run of segments is named {source[:80]!r}.", value=source[:80], hint=hint)
    return found


def checked_length(cm: float, argument: str = "minLengthCm") -> float:
    """A length in centimorgans. Raises UserError BAD_LENGTH."""
    if not 0 <= cm < float("inf"):
        raise UserError("BAD_LENGTH", f"{argument}: {cm} is no length in centimorgans.", value=str(cm), hint="Write 0 for all segments.")
    return cm


async def segment_conditions(ctx: Context, view: View, source: str | None, min_length: float, region: str | None = None) -> Condition:
    """The conditions on segments that arguments ask for. Raises UserError UNKNOWN_SOURCE or BAD_LENGTH; InvalidName for what is no region."""
    place = Region.parse(region) if region is not None else None
    bounds = {"chrom": place.chrom, "start": place.start, "end": place.end} if place else None
    at_least = checked_length(min_length) or None
    return where(run=await runs_of(ctx, view, source), min_length=at_least, region=bounds)


async def run_of_pair(ctx: Context, view: View, cohorts: Sequence[str], source: str | None) -> Any | None:
    """The run that speaks of two people: the latest visible one of their cohort, of `source` where given; None where there is none."""
    chosen = await runs_of(ctx, view, source)
    found = [
        run
        for run in await runs(ctx, view)
        if run["of_pairs"] and {run["cohort"]} == {*cohorts} and (chosen is None or run["load_id"] in chosen)
    ]
    return found[-1] if found else None
