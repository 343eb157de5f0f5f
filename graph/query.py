"""The root of the graph: where every query begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import strawberry

from store.cluster import CLUSTER
from store.enformer import ALTERING, REACH, TRACK
from store.gene import GENE
from store.ibd import RUN, SHARED, SHARED_BY_BOTH
from store.ledger import LOAD, RELEASE
from store.metacell import AFFECTING, METACELL
from store.read import both, where
from store.region import Region
from store.sample import CALLSET, POPULATION, SAMPLE
from store.similarity import MODEL
from store.statements import statement
from store.v2f import TARGETING
from store.variant import VARIANT

from .altering import ExpressionAlteringEdge
from .cell_context import EXPRESSED, Expressed
from .cluster import check_models
from .context import Context, View
from .enformer import EnformerScore, EnformerTissue, MinEffect, OfAssays, OfTissues, OneScore, checked_effect
from .errors import UserError
from .filters import Datasets, conditions
from .gene import Filter, Flank, checked_flank
from .genotype import Callsets, names_of
from .ibd import MinLength, Source, checked_length, run_of_pair, runs_of
from .ledger import DatasetKind
from .link import Ask, Connection, EdgeConnection, Ref, computed, define, leaf, link
from .metacell import (
    OfCellType,
    OfCondition,
    OfTissue,
    check_cell_types,
    check_conditions,
    check_datasets,
    check_tissues,
    checked_expression,
)
from .node import Node, ref
from .people import OfSex, check_callsets, check_cohorts, check_populations, find_samples, one_sample, only_sample, sample_ids, two_samples
from .place import GeneName, Ids, RegionText, keys_of, named_gene, one_place, only_gene, place
from .relation import ROOT
from .report import SampleContext, VariantContext
from .resolve import MOST_INPUTS, Resolution, find_genes, one_variant, resolve_names, stem
from .scalars import BigInt
from .search import SearchResult, search_refs
from .similar import (
    READING,
    SEARCH,
    AfterSimilar,
    AltSequence,
    Direction,
    HowManySimilar,
    MinSimilarity,
    ModelName,
    RefSequence,
    SeenIn,
    SimilarVariantConnection,
    checked_vector,
    listing,
    similar_to,
    vector_of,
)  # fmt: skip
from .v2f import CellTypes, MinScore, Sources, checked_score, sources_of
from .variant import ClusteredBy, Populations

if TYPE_CHECKING:
    from .cluster import VariantCluster
    from .enformer import EnformerTrack
    from .gene import Gene
    from .ibd import IBDRun
    from .ledger import Load, Release
    from .metacell import Metacell
    from .sample import Callset, Population, Sample
    from .sharing import IBDSharing, SharedVariantEdge
    from .similar import EmbeddingModel
    from .variant import Variant

Kind = Annotated[DatasetKind | None, strawberry.argument(description="Only datasets of this kind.")]
SampleNames = Annotated[list[str] | None, strawberry.argument(description="Only samples of these names, NAME or COHORT/NAME.")]
Cohorts = Annotated[list[str] | None, strawberry.argument(description="Only samples of these cohorts.")]
Families = Annotated[list[str] | None, strawberry.argument(description="Only samples of these families.")]
OneSample = Annotated[str, strawberry.argument(description="Name of a sample, or COHORT/NAME.")]
SharedOnly = Annotated[
    bool, strawberry.argument(description="Only those that both carry: on the joined haplotypes where these are known, else both people.")
]
Named = Annotated[bool | None, strawberry.argument(description="Only releases with a name, or only others.")]


@define
@strawberry.type(description="How many rows the visible loads hold.")
class StoreCounts:
    records: BigInt = leaf("Records of variants, one per variant and file.")
    samples: BigInt = leaf("Samples with genotypes, one per sample and callset.")
    genes: BigInt = leaf("Genes.")
    transcripts: BigInt = leaf("Transcripts.")
    consequences: BigInt = leaf("Transcript consequences.")
    clinical: BigInt = leaf("Clinical classifications.")
    scores: BigInt = leaf("Scores.")
    ibd_segments: BigInt = leaf("Segments that two people share by descent.")
    hbd_segments: BigInt = leaf("Segments of homozygosity by descent.")
    v2f_scores: BigInt = leaf("Scores of variants for their function.")
    v2f_links: BigInt = leaf("Links of elements to genes.")
    enformer_effects: BigInt = leaf("Effects that Enformer predicts, one per variant and load.")
    metacells: BigInt = leaf("Metacells.")


@define
@strawberry.type(description="What this store holds.")
class Store:
    key: strawberry.Private[int]
    assembly: str = leaf("The assembly of all positions: GRCh37 or GRCh38.")
    version: str = leaf("Version of the software that answers.")

    @computed(on="key")
    async def release(ctx: Context, view: View, keys: Sequence[int]) -> Release:
        """The release that this answer reads."""
        return [(key, Ref("Release", view.release_id)) for key in keys]

    @link(LOAD, by="all")
    def loads(ctx: Context, *, dataset: Datasets = None, kind: Kind = None) -> list[Load]:
        """The visible loads, oldest first."""
        return Ask(where(dataset=dataset, kind=[kind.name.lower()] if kind else None))

    @link(RELEASE, by="all")
    def releases(ctx: Context, *, named: Named = None) -> Connection[Release]:
        """Releases, newest first; `named: true` gives those that can be pinned."""
        return Ask(where(named=named))

    @computed(on="key")
    async def counts(ctx: Context, view: View, keys: Sequence[int]) -> StoreCounts:
        """How many rows the visible loads hold."""
        (row,) = await ctx.query(statement("store_counts"), list(view.loads))
        return [(key, StoreCounts(**row)) for key in keys]

    @computed(on="key")
    async def scores(ctx: Context, view: View, keys: Sequence[int]) -> list[str]:
        """Names of the scores that variants can have."""
        rows = await ctx.query(statement("score_names"), list(view.loads))
        return [(key, row[0]) for key in keys for row in rows]

    @computed(on="key")
    async def populations(ctx: Context, view: View, keys: Sequence[int]) -> list[str]:
        """Names of the populations that frequencies can have."""
        rows = await ctx.query(statement("population_names"), list(view.loads), list(view.withheld))
        return [(key, row[0]) for key in keys for row in rows]

    @computed(on="key")
    async def cell_types(ctx: Context, view: View, keys: Sequence[int]) -> list[str]:
        """Names of the cell types that metacells can be of."""
        rows = await ctx.query(statement("cell_types"), list(view.loads))
        return [(key, row[0]) for key in keys for row in rows]


@define
@strawberry.type(description="Where every query begins.")
class Query:
    @computed()
    async def node(
        ctx: Context,
        view: View,
        keys: Sequence[int],
        *,
        id: Annotated[strawberry.ID, strawberry.argument(description="An id, as from the field id.")],
    ) -> Node | None:
        """The object with an id; null where it is not visible."""
        return [(ROOT, ref(id))]

    @computed()
    async def nodes(
        ctx: Context, view: View, keys: Sequence[int],
        *, ids: Annotated[list[strawberry.ID], strawberry.argument(description=f"Ids, at most {MOST_INPUTS:,}.")],
    ) -> list[Node | None]:  # fmt: skip
        """The objects with these ids, in their order; null for those that are not visible."""
        if len(ids) > MOST_INPUTS:
            raise UserError(
                "TOO_MANY_INPUTS", f"{len(ids):,} ids at once; the most is {MOST_INPUTS:,}.", value=len(ids), hint="Ask in portions."
            )
        return [(ROOT, ref(id)) for id in ids]

    @computed()
    async def resolve(
        ctx: Context, view: View, keys: Sequence[int],
        *, inputs: Annotated[list[str], strawberry.argument(description=f"Names of variants, at most {MOST_INPUTS:,}.")],
    ) -> list[Resolution]:  # fmt: skip
        """What each name means. Names are CHROM-POS-REF-ALT (also with : or _), rsIDs, SPDI, HGVS (genomic; c. and p. where an
        annotation has them), VariantKeys in hex, and positions (CHROM:POS), which mean the variants there."""
        return [(ROOT, found) for found in await resolve_names(ctx, view, inputs)]

    @computed()
    async def variant(
        ctx: Context,
        view: View,
        keys: Sequence[int],
        *,
        id: Annotated[str, strawberry.argument(description="A name in any form that `resolve` takes.")],
    ) -> Variant | None:
        """One variant by any of its names; null where no visible file has it."""
        key = await one_variant(ctx, view, id)
        return [] if key is None else [(ROOT, Ref("Variant", key))]

    @link(VARIANT, by="region")
    async def variants(
        ctx: Context,
        view: View,
        *,
        region: RegionText = None,
        gene: GeneName = None,
        ids: Ids = None,
        flank: Flank = 0,
        filter: Filter = None,
    ) -> Connection[Variant]:
        """Variants in genome order: those whose position lies in a region or a gene (with `flank` bases around it), those with
        these names, or all."""
        asked = conditions(filter)
        if ids is not None:
            one_place(region=region, gene=gene, ids=ids)
            return Ask(asked, {"variant_keys": await keys_of(ctx, view, ids)}, by="keys")
        return Ask(asked, await place(ctx, view, region, gene, flank, VARIANT, asked))

    @computed()
    async def gene(
        ctx: Context,
        view: View,
        keys: Sequence[int],
        *,
        id: Annotated[str, strawberry.argument(description="Symbol, identifier with or without version, or alias.")],
    ) -> Gene | None:
        """One gene; null where no visible annotation has it."""
        rows = (await find_genes(ctx, view, [id]))[id]
        return [(ROOT, Ref("Gene", only_gene(rows, id)["gene_id"]))] if rows else []

    @link(TARGETING, by="named")
    async def v2f_variants(
        ctx: Context, view: View, *, gene: Annotated[str, strawberry.argument(description="A gene: its symbol, identifier, or alias.")],
        source: Sources = None, min_score: MinScore = None, cell_type: CellTypes = None, filter: Filter = None,
    ) -> Connection[Variant]:  # fmt: skip
        """Variants that methods say act on a gene, as Gene.v2fVariants gives them."""
        least = checked_score(min_score, source)
        target = (await named_gene(ctx, view, gene))["gene_id"]
        return Ask(conditions(filter), {"gene_id": target, "sources": sources_of(source), "cell_types": cell_type, "min_score": least})

    @link(AFFECTING, by="cell_type")
    async def variants_affecting_cell_type(
        ctx: Context, view: View, *, cell_type: Annotated[str, strawberry.argument(description="A cell type, as the metacells' dataset writes it.")],
        source: Sources = None, min_v2f: MinScore = None, min_expression: Expressed = EXPRESSED, dataset: Datasets = None,
        region: RegionText = None, filter: Filter = None,
    ) -> Connection[Variant]:  # fmt: skip
        """Variants that methods say act on a gene which some metacell of the cell type expresses, in genome order. Links below the threshold of their
        source count only where minV2f says so."""
        await check_cell_types(ctx, view, [cell_type])
        await check_datasets(ctx, view, dataset)
        least = checked_score(min_v2f, source, "minV2f")
        asked = conditions(filter)
        bounds = await place(ctx, view, region, None, 0, AFFECTING, asked)
        values = {"metacell_type": cell_type, "datasets": dataset, "min_expression": checked_expression(min_expression)}
        return Ask(asked, values | {"sources": sources_of(source), "cell_types": None, "min_score": least} | bounds)

    @link(ALTERING, by="starts")
    async def expression_altering_variants(
        ctx: Context, view: View, *, gene: Annotated[str, strawberry.argument(description="A gene: its symbol, identifier, or alias.")],
        tissue: Annotated[EnformerTissue, strawberry.argument(description="The tissue.")], min_effect: MinEffect = 0.1,
        score: OneScore = None, dataset: Datasets = None, flank: Flank = REACH, filter: Filter = None,
    ) -> EdgeConnection[Variant, ExpressionAlteringEdge]:  # fmt: skip
        """Variants that Enformer predicts to change expression (CAGE) in a tissue, within `flank` bases of a start of the gene's transcripts, in genome
        order. An effect is on all that is expressed within reach of the variant, half of the model's output, which the flank is unless it is given."""
        await check_datasets(ctx, view, dataset)
        asked = both(conditions(filter), where(least=checked_effect(min_effect)))
        target = (await named_gene(ctx, view, gene))["gene_id"]
        values = {"summary": f"{tissue.name}:CAGE", "score": (score or EnformerScore.SAD).name, "datasets": dataset}
        return Ask(asked, values | {"gene_id": target, "flank": checked_flank(flank)})

    @computed()
    async def variant_context(
        ctx: Context, view: View, keys: Sequence[int], *, id: Annotated[str, strawberry.argument(description="A name in any form that `resolve` takes.")],
        sample: Annotated[str | None, strawberry.argument(description="Name of a sample, or COHORT/NAME: the report is also of the variant in it.")] = None,
    ) -> VariantContext | None:  # fmt: skip
        """The complete report of a variant, and where a sample is named of the variant in it; null where no visible file has the variant."""
        key = await one_variant(ctx, view, id)
        if key is not None and not await ctx.query(statement("visible_variants"), [key], list(view.loads)):
            key = None
        number = (await one_sample(ctx, view, sample))["sample_id"] if sample is not None else None
        found = SampleContext(call=f"{key}:{number}", sample_id=number) if number is not None else None
        return [] if key is None else [(ROOT, VariantContext(variant_key=key, in_sample=found))]

    @link(MODEL, by="all")
    def embedding_models(ctx: Context) -> list[EmbeddingModel]:
        """The models that have vectors of variants, in the order in which they were registered."""
        return Ask()

    @computed(cost=SEARCH)
    async def variants_by_embedding(
        ctx: Context, view: View, keys: Sequence[int], *, vector: Direction, model: ModelName = None, min_similarity: MinSimilarity = None,
        region: RegionText = None, gene: GeneName = None, population: SeenIn = None, filter: Filter = None, first: HowManySimilar = 10,
        after: AfterSimilar = None,
    ) -> SimilarVariantConnection:  # fmt: skip
        """The variants whose vectors by a model point most where this one does, the most similar first: at most 1,000. As Variant.similar, for a vector
        that was made elsewhere, or is none of a single variant."""
        asked = await listing(ctx, view, model, first, after, min_similarity, filter, region, gene, population)
        return [(ROOT, await similar_to(ctx, view, checked_vector(asked.model, vector), asked))]

    @computed(cost=SEARCH + READING)
    async def variants_like_sequence(
        ctx: Context, view: View, keys: Sequence[int], *, ref: RefSequence, alt: AltSequence, model: ModelName = None, min_similarity: MinSimilarity = None,
        region: RegionText = None, gene: GeneName = None, population: SeenIn = None, filter: Filter = None, first: HowManySimilar = 10,
        after: AfterSimilar = None,
    ) -> SimilarVariantConnection:  # fmt: skip
        """The variants most like a change of a sequence, which need not be in this store, by a model that this server has loaded (vkg serve --model):
        at most 1,000. None where the change is nothing to the model."""
        asked = await listing(ctx, view, model, first, after, min_similarity, filter, region, gene, population)
        made = await vector_of(ctx, asked.model, ref, alt)
        return [(ROOT, await similar_to(ctx, view, made, asked, sign=f"{ref.upper()}>{alt.upper()}"))]

    @link(CLUSTER, by="all")
    async def variant_clusters(
        ctx: Context, view: View, *, model: ClusteredBy = None, dataset: Datasets = None
    ) -> Connection[VariantCluster]:
        """Clusters of variants, the largest first."""
        await check_models(ctx, view, model)
        await check_datasets(ctx, view, dataset)
        return Ask(where(model=model, dataset=dataset))

    @link(METACELL, by="all")
    async def metacells(
        ctx: Context, view: View, *, dataset: Datasets = None, cell_type: OfCellType = None, tissue: OfTissue = None, condition: OfCondition = None,
        name: Annotated[list[str] | None, strawberry.argument(description="Only metacells of these names.")] = None,
    ) -> Connection[Metacell]:  # fmt: skip
        """Metacells, oldest load first, in the order of their files."""
        await check_datasets(ctx, view, dataset)
        await check_cell_types(ctx, view, cell_type)
        await check_tissues(ctx, view, tissue)
        await check_conditions(ctx, view, condition)
        return Ask(where(dataset=dataset, cell_type=cell_type, tissue=tissue, condition=condition, name=name))

    @link(TRACK, by="all")
    async def enformer_tracks(
        ctx: Context, view: View, *, dataset: Datasets = None, assay: OfAssays = None, tissue: OfTissues = None
    ) -> Connection[EnformerTrack]:
        """The tracks that Enformer predicts, oldest load first, by their index."""
        await check_datasets(ctx, view, dataset)
        return Ask(where(dataset=dataset, assay=names_of(assay), tissue=names_of(tissue)))

    @link(GENE, by="all")
    def genes(
        ctx: Context, *, region: RegionText = None, ids: Annotated[list[str] | None, strawberry.argument(description="Symbols or identifiers.")] = None,
        biotype: Annotated[list[str] | None, strawberry.argument(description="Biotypes (protein_coding ...).")] = None,
    ) -> Connection[Gene]:  # fmt: skip
        """Genes in genome order: all, those that overlap a region, or those with these names."""
        asked = where(biotype=biotype, name=None if ids is None else [stem(name) for name in ids])
        if region is None:
            return Ask(asked)
        lo, hi = Region.parse(region).keys()
        return Ask(asked, {"lo": lo, "hi": hi}, by="region")

    @computed()
    async def sample(
        ctx: Context,
        view: View,
        keys: Sequence[int],
        *,
        id: Annotated[
            str, strawberry.argument(description="Name of the sample, or COHORT/NAME where several cohorts have one of that name.")
        ],
    ) -> Sample | None:
        """One sample; null where no visible load names it."""
        rows = (await find_samples(ctx, view, [id]))[id]
        return [(ROOT, Ref("Sample", only_sample(rows, id)["sample_id"]))] if rows else []

    @link(SAMPLE, by="all", access="individual")
    async def samples(
        ctx: Context, view: View, *, ids: SampleNames = None, cohort: Cohorts = None, population: Populations = None, sex: OfSex = None,
        family: Families = None, callset: Callsets = None,
    ) -> Connection[Sample]:  # fmt: skip
        """Samples by cohort and name: all, or those of populations (their sub-populations included), callsets, families."""
        await check_cohorts(ctx, view, cohort)
        await check_populations(ctx, view, population)
        await check_callsets(ctx, view, callset)
        numbers = await sample_ids(ctx, view, ids) if ids is not None else None
        named = where(id=numbers, cohort=cohort, population=population, sex=[sex.name] if sex else None, family=family, callset=callset)
        return Ask(named)

    @link(CALLSET, by="all")
    async def callsets(ctx: Context, view: View, *, name: Callsets = None) -> list[Callset]:
        """The visible callsets, oldest load first."""
        await check_callsets(ctx, view, name)
        return Ask(where(name=name))

    @link(POPULATION, by="all")
    def populations(ctx: Context, *, name: Populations = None) -> Connection[Population]:
        """The populations that samples can be of, by name."""
        return Ask(where(name=name))

    @link(RUN, by="all")
    async def ibd_runs(ctx: Context, view: View, *, source: Source = None) -> list[IBDRun]:
        """The visible runs of segments shared by descent, oldest first."""
        return Ask(where(load=await runs_of(ctx, view, source)))

    @computed()
    async def ibd_shared(
        ctx: Context, view: View, keys: Sequence[int], *, sample1: OneSample, sample2: OneSample, min_length_cm: MinLength = 0, source: Source = None
    ) -> IBDSharing | None:  # fmt: skip
        """What two people share by descent: segments, centimorgans, and how they may be related. Of one run: the latest visible one of their cohort;
        null where there is none."""
        from .sharing import sharing_of

        people = await two_samples(ctx, view, sample1, sample2)
        run = await run_of_pair(ctx, view, [person["cohort"] for person in people], source)
        if run is None:
            return []
        first, second = (person["sample_id"] for person in people)
        return [(ROOT, found) for found in await sharing_of(ctx, view, [(first, second, run["load_id"])], checked_length(min_length_cm))]

    @link(SHARED, by="pair", access="individual")
    async def variants_in_ibd(
        ctx: Context, view: View, *, sample1: OneSample, sample2: OneSample, min_length_cm: MinLength = 0, shared_only: SharedOnly = False,
        source: Source = None, region: RegionText = None, gene: GeneName = None, flank: Flank = 0, filter: Filter = None, callset: Callsets = None,
    ) -> EdgeConnection[Variant, SharedVariantEdge]:  # fmt: skip
        """Variants that either of two people carries inside the segments that they share, in genome order, and whether the shared haplotypes carry them:
        which tells what they have by descent from what each has from elsewhere."""
        await check_callsets(ctx, view, callset)
        people = await two_samples(ctx, view, sample1, sample2)
        run = await run_of_pair(ctx, view, [person["cohort"] for person in people], source)
        asked = conditions(filter)
        bounds = await place(ctx, view, region, gene, flank, SHARED, asked)
        pair = {"sample1": people[0]["sample_id"], "sample2": people[1]["sample_id"], "run": run["load_id"] if run else None}
        shared = where(sharing=list(SHARED_BY_BOTH) if shared_only else None)
        return Ask(both(asked, shared), pair | {"callsets": callset, "min_length": checked_length(min_length_cm)} | bounds)

    @computed()
    async def search(
        ctx: Context, view: View, keys: Sequence[int],
        *, text: Annotated[str, strawberry.argument(description="What was typed: an rsID or the start of one, a gene symbol or the start of one, a position, a region, any name of a variant, a sample or the start of its name.")],
        first: Annotated[int, strawberry.argument(description="How many results, at most 1,000.")] = 10,
    ) -> list[SearchResult]:  # fmt: skip
        """What a typed text may mean, likeliest first."""
        return [(ROOT, found) for found in await search_refs(ctx, view, text, first)]

    @computed()
    async def store(ctx: Context, view: View, keys: Sequence[int]) -> Store:
        """What this store holds."""
        from .schema import VERSION

        return [(ROOT, Store(key=0, assembly=ctx.assembly.name, version=VERSION))]
