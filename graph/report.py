"""Everything about one variant in one field: what files, methods and cells say of it, and what it is in a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import strawberry

from store.genotype import CALL
from store.ibd import SEGMENT
from store.read import where
from store.sample import SAMPLE
from store.variant import VARIANT

from .context import Context, View
from .genotype import CallsetName
from .ibd import MinLength, OfSource, segment_conditions
from .link import Ask, EdgeConnection, define, link
from .people import check_callsets

if TYPE_CHECKING:
    from .genotype import GenotypeCall
    from .ibd import IBDSegment, SharedSegmentEdge
    from .sample import Sample
    from .variant import Variant


@define
@strawberry.type(description="A variant in a person: how the person carries it, and with whom its haplotypes are shared there.")
class SampleContext:
    call: strawberry.Private[str]
    sample_id: strawberry.Private[int]

    @link(SAMPLE, by="pk", on="sample_id", access="individual")
    def sample(ctx: Context) -> Sample:
        """The person."""
        return Ask()

    @link(CALL, by="call", on="call", order="latest", access="individual")
    async def genotype(ctx: Context, view: View, *, callset: CallsetName = None) -> GenotypeCall | None:
        """The call, of the latest callset that has both; null where none has."""
        callsets = [callset] if callset is not None else None
        await check_callsets(ctx, view, callsets)
        return Ask(where(callset=callsets))

    @link(SEGMENT, by="call", on="call", access="individual")
    async def ibd_segments(
        ctx: Context, view: View, *, source: OfSource = None, min_length_cm: MinLength = 0
    ) -> EdgeConnection[IBDSegment, SharedSegmentEdge]:  # fmt: skip
        """Segments over the variant that the person shares with others, longest first."""
        return Ask(await segment_conditions(ctx, view, source, min_length_cm))


@define
@strawberry.type(description="The complete report of a variant.")
class VariantContext:
    variant_key: strawberry.Private[int]
    in_sample: SampleContext | None = strawberry.field(description="The variant in the sample that was named; null where none was.")

    @link(VARIANT, by="pk", on="variant_key")
    def variant(ctx: Context) -> Variant:
        """The variant, with all that is said of it: consequences, clinical significance, frequencies, scores, effects, cells."""
        return Ask()
