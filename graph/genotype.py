"""Calls: what a callset says of one sample at one variant."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from store.genotype import CALL
from store.sample import CALLSET, SAMPLE
from store.variant import VARIANT

from .context import Context
from .link import Ask, define, entity, leaf, link

if TYPE_CHECKING:
    from .sample import Callset, Sample
    from .variant import Variant


@define
@strawberry.enum(description="How a sample carries the ALT of a variant.")
class Zygosity(Enum):
    HET = strawberry.enum_value("HET", description="ALT and REF.")
    HOM_ALT = strawberry.enum_value("HOM_ALT", description="All of two or more alleles are ALT.")
    HEMI = strawberry.enum_value("HEMI", description="The call has one allele (X, Y, MT), and it is ALT.")
    HET_OTHER_ALT = strawberry.enum_value("HET_OTHER_ALT", description="ALT and another ALT of the same site.")
    PARTIAL = strawberry.enum_value("PARTIAL", description="ALT, and an allele that was not called.")


Zygosities = Annotated[list[Zygosity] | None, strawberry.argument(description="Only those that carry it in one of these ways.")]
Callsets = Annotated[list[str] | None, strawberry.argument(description="Only calls of these callsets, by the names of their datasets.")]
CallsetName = Annotated[str | None, strawberry.argument(description="Only this callset, by the name of its dataset.")]


@define
@strawberry.type(description="A call: what a callset says of one sample at one variant.")
class Call:
    callset_id: strawberry.Private[int]
    gt: str = leaf(
        "The call as VCF writes it once the site is split: 0 REF, 1 this ALT, 2 another ALT of the site, . not called; | where phased."
    )
    phased: bool = leaf("True where it is known which chromosome each allele is on. False for calls of one allele.")
    phase_set: int | None = leaf("PS: phased calls of the same set are phased with each other; null where the file has none, then all are.")
    dp: int | None = leaf("DP: reads at the site; null where the file has none, or it was loaded without --keep-format.")
    gq: int | None = leaf("GQ: quality of the genotype (phred); null as dp.")
    ad_ref: int | None = leaf("AD: reads with REF; null as dp.")
    ad_alt: int | None = leaf("AD: reads with this ALT; null as dp.")

    @link(CALLSET, by="pk", on="callset_id")
    def callset(ctx: Context) -> Callset:
        """The callset that says so."""
        return Ask()


@entity(CALL, access="individual", description="What a callset says of one sample at one variant.")
class GenotypeCall(Call):
    variant_key: strawberry.Private[int]
    sample_id: strawberry.Private[int]
    zygosity: Zygosity | None = leaf("How the sample carries the ALT; null where it does not.")

    @link(VARIANT, by="pk", on="variant_key")
    def variant(ctx: Context) -> Variant:
        """The variant."""
        return Ask()

    @link(SAMPLE, by="pk", on="sample_id", access="individual")
    def sample(ctx: Context) -> Sample:
        """The sample."""
        return Ask()


def names_of(members: Sequence[Enum] | None) -> list[str] | None:
    """The names of members of an enum."""
    return None if members is None else [member.name for member in members]
