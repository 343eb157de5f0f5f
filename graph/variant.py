"""Variants and their records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import strawberry

from store.annotation import CLINICAL, CONSEQUENCE, FREQUENCY, SCORE
from store.cluster import OF_VARIANT
from store.consequence import Impact
from store.enformer import ENFORMER
from store.gene import GENE
from store.genotype import CALL, CARRIER
from store.ibd import OVER, SEGMENT
from store.ledger import LOAD
from store.read import both, where
from store.v2f import V2F
from store.variant import RECORD, VARIANT
from store.variant_key import from_hex

from .cell_context import CELLS, EXPRESSED, CellContext, Expressed, HowMany, cells_of
from .context import Context, View
from .enformer import EffectScores
from .filters import Datasets, ImpactLevel, VariantType
from .gene import Biotypes, Canonical, Filter, Flank, checked_flank
from .genotype import CallsetName, Callsets, GenotypeCall, Zygosities, names_of
from .ibd import MinLength, OfSource, Source, checked_length, segment_conditions
from .likeness import COMPARING, ClassSimilarity, OfClasses, likeness
from .link import Ask, Connection, EdgeConnection, computed, entity, leaf, link
from .metacell import check_datasets, checked_expression
from .node import Node
from .page import checked_size
from .people import OfSex, check_callsets, check_frequencies, check_populations, sample_ids
from .place import GeneName, RegionText
from .scalars import JSON
from .similar import (
    SEARCH,
    AfterSimilar,
    HowManySimilar,
    MinSimilarity,
    ModelName,
    SameGene,
    SeenIn,
    SimilarVariantConnection,
    VariantEmbedding,
    embeddings_of,
    listing,
    similar_of,
)  # fmt: skip
from .transfer import HowManyNeighbours, LeastAlike, TransferredAnnotations, transferred
from .v2f import CellTypes, Everything, MinScore, Sources, Targets, Tissues, v2f_conditions

if TYPE_CHECKING:
    from .annotation import ClinicalSignificance, Frequency, TranscriptConsequence, VariantScore
    from .cluster import ClusterOfVariantEdge, VariantCluster
    from .descent import CarriersByDescent, IBDWeightedFrequency
    from .enformer import EnformerEffect
    from .gene import Gene, VariantGeneEdge
    from .ibd import IBDSegment, SharedSegmentEdge
    from .ledger import Load
    from .sample import CarrierEdge, Sample
    from .v2f import V2FScore

SITE = 200
"""What it costs to join all haplotypes of a callset at one variant, in objects."""

Impacts = Annotated[list[ImpactLevel] | None, strawberry.argument(description="Only these impacts.")]
IsMane = Annotated[bool | None, strawberry.argument(description="Only transcripts of the MANE set, or only others.")]
GeneNames = Annotated[
    list[str] | None, strawberry.argument(description="Only these genes, by the identifier or symbol that the annotator wrote.")
]
ScoreNames = Annotated[list[str] | None, strawberry.argument(description="Only these scores.")]
Populations = Annotated[list[str] | None, strawberry.argument(description="Only these populations.")]
ALL = "ALL"
PopulationName = Annotated[
    str,
    strawberry.argument(
        description="Population as the dataset names it. ALL is the overall frequency; of datasets whose populations have a namespace (gnomad:afr) only "
        "where the dataset is given, too."
    ),
]
ClusteredBy = Annotated[list[str] | None, strawberry.argument(description="Only clusters of vectors by these models.")]
SampleName = Annotated[str, strawberry.argument(description="Name of the sample, or COHORT/NAME.")]


@entity(
    VARIANT,
    key_of=from_hex,
    description="A change of the genome: one REF and one ALT, trimmed and left-aligned. It exists where a visible file has a record of it.",
)
class Variant(Node):
    variant_key: strawberry.Private[int]
    key: strawberry.ID = leaf("VariantKey in hex, as published by Asuni et al.: the same in every store of this assembly.")
    name: str = leaf("CHROM-POS-REF-ALT.")
    chrom: str = leaf("Chromosome: 1-22, X, Y or MT.")
    pos: int = leaf("Position of the first REF base, 1-based.")
    ref: str = leaf("REF allele.")
    alt: str = leaf("ALT allele.")
    type: VariantType = leaf("Kind of change.")
    rsids: list[str] = leaf("dbSNP rsIDs that visible records give it.")

    @link(RECORD, by="variant", on="variant_key")
    def records(ctx: Context, *, dataset: Datasets = None) -> list[VariantRecord]:
        """What each visible file says of it, oldest load first."""
        return Ask(where(dataset=dataset))

    @link(GENE, by="variant", on="variant_key", order="distance")
    def genes(ctx: Context, *, flank: Flank = 0, biotype: Biotypes = None) -> EdgeConnection[Gene, VariantGeneEdge]:
        """Genes at its position, or within `flank` bases of it, nearest first."""
        return Ask(where(biotype=biotype), {"flank": checked_flank(flank)})

    @link(GENE, by="consequence", on="variant_key")
    def consequence_genes(ctx: Context) -> Connection[Gene]:
        """Genes that its transcript consequences name, where a visible gene annotation has them."""
        return Ask()

    @link(CONSEQUENCE, by="variant", on="variant_key")
    def consequences(
        ctx: Context, *, impact: Impacts = None, canonical: Canonical = None, mane: IsMane = None,
        gene: GeneNames = None, dataset: Datasets = None,
    ) -> list[TranscriptConsequence]:  # fmt: skip
        """Its consequences for every transcript that the files name, most severe first. `gene` takes identifiers and symbols."""
        levels = None if impact is None else [Impact[level.name].value for level in impact]
        return Ask(where(impact=levels, canonical=canonical, mane=mane, gene=gene, dataset=dataset))

    @link(CLINICAL, by="variant", on="variant_key")
    def clinical_significance(ctx: Context, *, dataset: Datasets = None) -> list[ClinicalSignificance]:
        """Its clinical classifications."""
        return Ask(where(dataset=dataset))

    @link(SCORE, by="variant", on="variant_key")
    def scores(ctx: Context, *, name: ScoreNames = None, dataset: Datasets = None) -> list[VariantScore]:
        """Its scores."""
        return Ask(where(name=name, dataset=dataset))

    @link(FREQUENCY, by="variant", on="variant_key", order="newest")
    async def frequency(
        ctx: Context, view: View, *, population: PopulationName = "ALL", callset: CallsetName = None
    ) -> Frequency | None:  # fmt: skip
        """Its allele frequency in one population, as the latest load that has one says; null where none has, or nothing was called."""
        await check_frequencies(ctx, view, population, callset)
        # Of one dataset the overall frequency is ALL whatever the namespace of its populations.
        named = where(overall=True) if population == ALL and callset is not None else where(population=[population])
        return Ask(both(named, where(dataset=[callset] if callset is not None else None, known=True)))

    @link(CARRIER, by="variant", on="variant_key", access="individual")
    async def carriers(
        ctx: Context, view: View, *, zygosity: Zygosities = None, population: Populations = None, sex: OfSex = None, callset: Callsets = None
    ) -> EdgeConnection[Sample, CarrierEdge]:  # fmt: skip
        """Samples that carry it, in the order of their callsets and files. A population includes its sub-populations."""
        await check_populations(ctx, view, population)
        await check_callsets(ctx, view, callset)
        asked = where(zygosity=names_of(zygosity), population=population, sex=[sex.name] if sex else None)
        return Ask(asked, {"callsets": callset})

    @link(CALL, by="variant", on="variant_key", order="newest", access="individual")
    async def genotype(ctx: Context, view: View, *, sample: SampleName, callset: CallsetName = None) -> GenotypeCall | None:
        """The call of one sample, of the latest callset that has both; null where none has."""
        callsets = [callset] if callset is not None else None
        await check_callsets(ctx, view, callsets)
        ids = await sample_ids(ctx, view, [sample])
        return Ask(where(callset=callsets), {"sample_ids": ids})

    @link(SEGMENT, by="variant", on="variant_key", access="individual")
    async def ibd_context(
        ctx: Context, view: View, *, sample: SampleName, source: OfSource = None, min_length_cm: MinLength = 0
    ) -> EdgeConnection[IBDSegment, SharedSegmentEdge]:  # fmt: skip
        """Segments over it that a sample shares with others, longest first."""
        (number,) = await sample_ids(ctx, view, [sample])
        return Ask(await segment_conditions(ctx, view, source, min_length_cm), {"sample_id": number})

    @link(OVER, by="variant", on="variant_key", access="individual")
    async def ibd_sharing(
        ctx: Context, view: View, *, source: OfSource = None, min_length_cm: MinLength = 0
    ) -> Connection[IBDSegment]:  # fmt: skip
        """All segments over it, longest first."""
        return Ask(await segment_conditions(ctx, view, source, min_length_cm))

    @computed(on="variant_key", cost=SITE)
    async def carriers_by_descent(
        ctx: Context, view: View, keys: Sequence[int], *, source: Source = None, min_length_cm: MinLength = 0
    ) -> CarriersByDescent | None:  # fmt: skip
        """Its carriers, grouped by descent: who has it from one ancestor, as far as segments of one run show. Null where no visible run is of a
        cohort that has genotypes of it."""
        from .descent import by_descent

        return await by_descent(ctx, view, keys, source, checked_length(min_length_cm))

    @computed(on="variant_key", cost=SITE)
    async def ibd_weighted_frequency(
        ctx: Context, view: View, keys: Sequence[int],
        *, min_length_cm: MinLength = 0, source: Source = None,
        population: Annotated[str | None, strawberry.argument(description="Only people of this population, its sub-populations included.")] = None,
    ) -> IBDWeightedFrequency | None:  # fmt: skip
        """How common it is among lineages: relatives count once. Null where haplotypes are not known, since the run does not say which it joins, the
        callset in which it found them is not visible, or not all calls are phased."""
        from .descent import weighted

        await check_populations(ctx, view, [population] if population is not None else None)
        return await weighted(ctx, view, keys, source, checked_length(min_length_cm), population)

    @link(V2F, by="variant", on="variant_key")
    def v2f_scores(
        ctx: Context, *, source: Sources = None, min_score: MinScore = None, below_threshold: Everything = False, cell_type: CellTypes = None,
        tissue: Tissues = None, gene: Targets = None,
    ) -> Connection[V2FScore]:  # fmt: skip
        """What methods say of its function: scores of it, and links of elements that it lies in to genes. The latest load first, in each the best."""
        return Ask(v2f_conditions(source, min_score, below_threshold, cell_type, tissue, gene))

    @link(ENFORMER, by="variant", on="variant_key")
    def enformer_effects(ctx: Context, *, score: EffectScores = None, dataset: Datasets = None) -> list[EnformerEffect]:
        """What Enformer predicts it to change, the latest load first."""
        return Ask(where(score=names_of(score), dataset=dataset))

    @computed(on="variant_key")
    async def embedding(ctx: Context, view: View, keys: Sequence[int], *, model: ModelName = None) -> VariantEmbedding | None:
        """What a model makes of it; null where it has no vector by the model."""
        return await embeddings_of(ctx, view, keys, model)

    @computed(on="variant_key", cost=SEARCH)
    async def similar(
        ctx: Context, view: View, keys: Sequence[int], *, model: ModelName = None, min_similarity: MinSimilarity = None, same_gene: SameGene = False,
        region: RegionText = None, gene: GeneName = None, population: SeenIn = None, filter: Filter = None, first: HowManySimilar = 10,
        after: AfterSimilar = None,
    ) -> SimilarVariantConnection | None:  # fmt: skip
        """The variants that a model finds most like it, the most similar first: at most 1,000. Null where it has no vector by the model. They are alike in
        what the model reads (embeddingModels.inputs): evidence of that, and no diagnosis."""
        asked = await listing(ctx, view, model, first, after, min_similarity, filter, region, gene, population, same_gene=same_gene)
        return await similar_of(ctx, view, keys, asked)

    @computed(on="variant_key")
    async def transferred_annotations(
        ctx: Context, view: View, keys: Sequence[int], *, model: ModelName = None, k: HowManyNeighbours = 10, min_similarity: LeastAlike = 0.9
    ) -> TransferredAnnotations | None:  # fmt: skip
        """What it lacks and variants similar to it have, carried over with whom it came from; null where it has no vector by the model. Neighbours that
        lie so near that the model read a part of the same bases do not count."""
        return await transferred(ctx, view, keys, model, k, min_similarity)

    @computed(on="variant_key", cost=COMPARING)
    async def similarity_to_class(
        ctx: Context, view: View, keys: Sequence[int], *, classification: OfClasses, model: ModelName = None
    ) -> ClassSimilarity | None:  # fmt: skip
        """How near it is to variants of a clinical class, beside a background of others; null where it has no vector by the model, or a zero one."""
        return await likeness(ctx, view, keys, classification, model)

    @link(OF_VARIANT, by="variant", on="variant_key")
    async def clusters(
        ctx: Context, view: View, *, model: ClusteredBy = None, dataset: Datasets = None
    ) -> EdgeConnection[VariantCluster, ClusterOfVariantEdge]:
        """The clusters that it is in, of each visible dataset of clusters one at most; the latest load first."""
        from .cluster import check_models

        await check_models(ctx, view, model)
        await check_datasets(ctx, view, dataset)
        return Ask(where(model=model, dataset=dataset))

    @computed(on="variant_key", cost=CELLS)
    async def cell_context(
        ctx: Context, view: View, keys: Sequence[int], *, min_expression: Expressed = EXPRESSED, dataset: Datasets = None, first: HowMany = 10
    ) -> list[CellContext]:  # fmt: skip
        """In which cells it may matter: metacells that express a gene which it may act on (by a score from its threshold on, a consequence, or its
        position), the most specific (z) first, each with the evidence that leads there."""
        await check_datasets(ctx, view, dataset)
        return await cells_of(ctx, view, keys, checked_expression(min_expression), checked_size(first, "first"), dataset)

    @link(FREQUENCY, by="variant", on="variant_key")
    def population_frequencies(ctx: Context, *, population: Populations = None, dataset: Datasets = None) -> list[Frequency]:
        """Its allele frequencies by dataset and population."""
        return Ask(where(population=population, dataset=dataset))


@entity(RECORD, description="What one file says of a variant: the VCF record, split to this ALT.")
class VariantRecord:
    variant_key: strawberry.Private[int]
    load_id: strawberry.Private[int]
    ids: list[str] = leaf("The ID column.")
    qual: float | None = leaf("QUAL (phred); null for a dot.")
    filter: list[str] | None = leaf("FILTER: PASS, or the names of the failed filters; null for a dot (not filtered).")
    info: JSON | None = leaf("INFO by key, in file order. Values with Number=A, R or G are this ALT's; flags are true.")
    source_locus: str | None = leaf("CHROM:POS:REF:ALTs as in the file, where normalisation or splitting changed them.")
    allele: int = leaf("Which ALT of the file's record this is, from 1.")
    line: int = leaf("Line in the file, from 1.")

    @link(VARIANT, by="pk", on="variant_key")
    def variant(ctx: Context) -> Variant:
        """The variant."""
        return Ask()

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load it came from."""
        return Ask()
