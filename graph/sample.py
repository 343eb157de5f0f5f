"""Samples, the callsets that have their genotypes, and the populations that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import strawberry

from store.ancestry import ANCESTRY, MATCHED
from store.genotype import CALL, CARRIED
from store.ibd import HBD, IN_HBD, RELATIVE, SEGMENT
from store.ledger import LOAD
from store.read import both, where
from store.sample import CALLSET, CALLSET_OF, POPULATION, SAMPLE

from .context import Context, View
from .errors import UserError
from .family import FamilyFilter, family_conditions
from .filters import conditions
from .gene import Filter, Flank
from .genotype import Call, Callsets, GenotypeCall, Zygosities, Zygosity, names_of
from .ibd import MinLength, OfSource, Source, checked_length, runs, runs_of, segment_conditions
from .link import Ask, Connection, Edge, EdgeConnection, define, entity, leaf, link
from .node import Node, whole_number
from .people import Sex, analyses_of, check_callsets, check_populations, sample_ids
from .place import GeneName, GivenIds, RegionText, keys_of, place
from .variant import Populations, Variant

if TYPE_CHECKING:
    from .ancestry import Ancestry, AncestryEdge
    from .ibd import HBDSegment, IBDSegment, SharedSegmentEdge
    from .ledger import Load
    from .sharing import RelativeEdge


Family = Annotated[FamilyFilter | None, strawberry.argument(description="Conditions on the calls of relatives.")]
Others = Annotated[list[str] | None, strawberry.argument(description="Only with these samples, NAME or COHORT/NAME.")]
MinTotal = Annotated[float, strawberry.argument(description="Only those who share at least so many centimorgans of the autosomes.")]
InHbd = Annotated[list[Zygosity] | None, strawberry.argument(description="How it carries them; homozygous (HOM_ALT) where not given.")]
Unrelated = Annotated[
    float | None,
    strawberry.argument(
        description="Leave out those who share more centimorgans of the autosomes with it, in the latest visible run of its cohort."
    ),
]
Analysis = Annotated[
    str | None, strawberry.argument(description="Only this analysis, by the name of its dataset; else the latest that places it.")
]


@entity(
    SAMPLE,
    key_of=whole_number,
    access="individual",
    description="A person whom a visible load names: a sample of a callset, or of a panel or pedigree.",
)
class Sample(Node):
    sample_id: strawberry.Private[int]
    population_name: strawberry.Private[str | None]
    father_id: strawberry.Private[int | None]
    mother_id: strawberry.Private[int | None]
    name: str = leaf("Name, as in the files.")
    cohort: str = leaf("The cohort within which the name is unique.")
    sex: Sex | None = leaf("Sex, where a visible load says.")
    family: str | None = leaf("Family identifier, where a visible load has one.")
    phenotype: str | None = leaf("Phenotype as written (PLINK: 1 unaffected, 2 affected).")

    @link(POPULATION, by="pk", on="population_name", joined=True)
    def population(ctx: Context) -> Population | None:
        """The population, where a visible load says."""
        return Ask()

    @link(CALLSET_OF, by="sample", on="sample_id", access="individual")
    def callsets(ctx: Context) -> list[Callset]:
        """The callsets that have genotypes of it, oldest load first."""
        return Ask()

    @link(SAMPLE, by="pk", on="father_id", access="individual")
    def father(ctx: Context) -> Sample | None:
        """The father, where a visible load names him."""
        return Ask()

    @link(SAMPLE, by="pk", on="mother_id", access="individual")
    def mother(ctx: Context) -> Sample | None:
        """The mother, where a visible load names her."""
        return Ask()

    @link(SAMPLE, by="child", on="sample_id", access="individual")
    def parents(ctx: Context) -> list[Sample]:
        """The parents that visible loads name."""
        return Ask()

    @link(SAMPLE, by="parent", on="sample_id", access="individual")
    def children(ctx: Context) -> Connection[Sample]:
        """Those whose father or mother it is."""
        return Ask()

    @link(CARRIED, by="sample", on="sample_id", access="individual")
    async def variants(
        ctx: Context, view: View, *, region: RegionText = None, gene: GeneName = None, flank: Flank = 0, zygosity: Zygosities = None,
        filter: Filter = None, family: Family = None, callset: Callsets = None,
    ) -> EdgeConnection[Variant, CarriedVariantEdge]:  # fmt: skip
        """Variants that it carries, in genome order: in a region, a gene (with `flank` bases around it), or all. Each comes once, with the call
        of the latest callset in which it carries the ALT."""
        await check_callsets(ctx, view, callset)
        asked = conditions(filter)
        of_family, relatives = await family_conditions(ctx, view, family, asked)
        # Most variants are of the usual kinds, so that these find a page soon.
        usual = zygosity is None or {Zygosity.HET, Zygosity.HOM_ALT} & {*zygosity}
        narrowed = both(asked, of_family, where(zygosity=None if usual else names_of(zygosity)))
        bounds = await place(ctx, view, region, gene, flank, CARRIED, narrowed)
        return Ask(both(asked, of_family, where(zygosity=names_of(zygosity))), {"callsets": callset, **relatives, **bounds})

    @link(CALL, by="sample", on="sample_id", order="genome", access="individual")
    async def genotypes(ctx: Context, view: View, *, ids: GivenIds, callset: Callsets = None) -> list[GenotypeCall]:
        """Its calls at these variants, in genome order, those without the ALT too: one for each callset that has both."""
        await check_callsets(ctx, view, callset)
        return Ask(where(callset=callset), {"variant_keys": await keys_of(ctx, view, ids)})

    @link(SEGMENT, by="sample", on="sample_id", access="individual")
    async def ibd_segments(
        ctx: Context, view: View, *, region: RegionText = None, others: Others = None, source: OfSource = None, min_length_cm: MinLength = 0
    ) -> EdgeConnection[IBDSegment, SharedSegmentEdge]:  # fmt: skip
        """Segments that it shares with others, longest first: all, those that overlap a region, those with these people."""
        found = await segment_conditions(ctx, view, source, min_length_cm, region)
        return Ask(both(found, where(other=await sample_ids(ctx, view, others) if others is not None else None)))

    @link(RELATIVE, by="sample", on="sample_id", access="individual")
    async def relatives(
        ctx: Context, view: View, *, min_total_cm: MinTotal = 0, source: Source = None, min_length_cm: MinLength = 0, population: Populations = None
    ) -> EdgeConnection[Sample, RelativeEdge]:  # fmt: skip
        """Those with whom it shares most, as one run has it: the latest visible one of its cohort."""
        await check_populations(ctx, view, population)
        asked = where(min_total=checked_length(min_total_cm, "minTotalCm") or None, population=population)
        return Ask(asked, {"runs": await runs_of(ctx, view, source), "min_length": checked_length(min_length_cm)})

    @link(HBD, by="sample", on="sample_id", access="individual")
    async def hbd_segments(
        ctx: Context, view: View, *, region: RegionText = None, source: OfSource = None, min_length_cm: MinLength = 0
    ) -> Connection[HBDSegment]:  # fmt: skip
        """Segments where both its haplotypes are one by descent, longest first."""
        return Ask(await segment_conditions(ctx, view, source, min_length_cm, region))

    @link(IN_HBD, by="sample", on="sample_id", access="individual")
    async def hbd_variants(
        ctx: Context, view: View, *, min_length_cm: MinLength = 0, zygosity: InHbd = None, source: OfSource = None,
        region: RegionText = None, gene: GeneName = None, flank: Flank = 0, filter: Filter = None,
    ) -> EdgeConnection[Variant, CarriedVariantEdge]:  # fmt: skip
        """Variants that it carries where both its haplotypes are one by descent, in genome order: homozygous ones, unless asked otherwise."""
        asked = conditions(filter)
        bounds = await place(ctx, view, region, gene, flank, IN_HBD, asked)
        values = {"runs": await runs_of(ctx, view, source), "min_length": checked_length(min_length_cm)}
        unrelated = {"callsets": None, "parents": False, "beside": None}
        return Ask(both(asked, where(zygosity=names_of(zygosity or [Zygosity.HOM_ALT]))), values | unrelated | bounds)

    @link(ANCESTRY, by="sample", on="sample_id", access="individual")
    def ancestry(ctx: Context) -> list[Ancestry]:
        """Where analyses place it in ancestry space, the latest first."""
        return Ask()

    @link(MATCHED, by="sample", on="sample_id", access="individual")
    async def ancestry_matched(
        ctx: Context, view: View, *, exclude_related_above_cm: Unrelated = None, population: Populations = None, analysis: Analysis = None
    ) -> EdgeConnection[Sample, AncestryEdge]:  # fmt: skip
        """Those nearest to it in ancestry space, nearest first: matched controls. Empty where no visible analysis places it."""
        await check_populations(ctx, view, population)
        related = None if exclude_related_above_cm is None else checked_length(exclude_related_above_cm, "excludeRelatedAboveCm")
        if related is not None and not await runs(ctx, view):
            raise UserError(
                "UNKNOWN_SOURCE", "No run of segments is visible, so nobody knows who is related.", hint="Load one with vkg load ibd."
            )
        values = {"related": related, "min_length": 0.0, "runs": None, "analyses": await analyses_of(ctx, view, analysis)}
        return Ask(where(population=population), values)


@entity(CALLSET, key_of=whole_number, description="The genotypes of a VCF: a version of a dataset with samples.")
class Callset(Node):
    load_id: strawberry.Private[int]
    name: str = leaf("Name of the dataset.")
    version: str = leaf("Version of the dataset.")
    cohort: str = leaf("The cohort that its samples belong to.")
    sample_count: int = leaf("How many samples it has.")
    variant_count: int = leaf("How many variants it has calls of.")
    format_kept: bool = leaf("True where it was loaded with --keep-format, so that calls may have DP, GQ and AD.")

    @link(SAMPLE, by="callset", on="load_id", access="individual")
    def samples(ctx: Context) -> Connection[Sample]:
        """Its samples, by cohort and name."""
        return Ask()

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load: its files and when it was loaded."""
        return Ask()


@entity(POPULATION, key_of=str, description="A population, as a visible panel or pedigree names it.")
class Population(Node):
    load_id: strawberry.Private[int]
    super_name: strawberry.Private[str | None]
    name: str = leaf("Name (GBR, EUR ...).")
    description: str | None = leaf("Description, where the file has one.")

    @link(POPULATION, by="pk", on="super_name")
    def super_population(ctx: Context) -> Population | None:
        """The larger population that it is part of."""
        return Ask()

    @link(POPULATION, by="super", on="name")
    def sub_populations(ctx: Context) -> Connection[Population]:
        """The populations that are part of it, by name."""
        return Ask()

    @link(SAMPLE, by="population", on="name", access="individual")
    def samples(ctx: Context) -> Connection[Sample]:
        """Its samples, those of its sub-populations included, by cohort and name."""
        return Ask()

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load that says so."""
        return Ask()


@define
@strawberry.type(description="What a person who carries a variant shares with others where it lies.")
class CallSharing:
    place: strawberry.Private[str]

    @link(SEGMENT, by="call", on="place", access="individual")
    async def ibd_segments(
        ctx: Context, view: View, *, source: OfSource = None, min_length_cm: MinLength = 0
    ) -> EdgeConnection[IBDSegment, SharedSegmentEdge]:  # fmt: skip
        """Segments over the variant that the person shares with others, longest first."""
        return Ask(await segment_conditions(ctx, view, source, min_length_cm))


@define
@strawberry.type(description="A sample that carries a variant, and how.")
class CarrierEdge(Call, CallSharing, Edge[Sample]):
    zygosity: Zygosity = leaf("How the sample carries the ALT.")


@define
@strawberry.type(description="A variant that a sample carries, and how.")
class CarriedVariantEdge(Call, CallSharing, Edge[Variant]):
    zygosity: Zygosity = leaf("How the sample carries the ALT.")
