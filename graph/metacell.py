"""Metacells: cells in one state, taken together; what they express, and where their chromatin is open."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from store.gene import GENE
from store.ledger import LOAD
from store.metacell import EMBEDDING, EXPRESSED, EXPRESSION, METACELL, METACELL_RUN, PEAK, TOP_GENE
from store.read import LARGEST_REAL, where
from store.region import Region
from store.similarity import SIMILAR_METACELL
from store.statements import statement

from .batch import read_all
from .context import Context, View
from .errors import UserError
from .filters import LARGEST_FILTERED_REGION
from .link import Ask, Connection, Edge, EdgeConnection, computed, define, entity, leaf, link
from .node import Node, numbered
from .people import check_known
from .resolve import MOST_INPUTS, find_genes, stem

if TYPE_CHECKING:
    from .gene import Gene
    from .ledger import Load

_EMBEDDING = 200
"""What a place in the space of metacells costs, in objects: up to 2,000 numbers."""
_PEAKS = 50
"""What it costs to find the peaks of a region for one metacell, in objects."""

OfCellType = Annotated[
    list[str] | None, strawberry.argument(description="Only metacells of these cell types, as written: Store.cellTypes lists them.")
]
OfTissue = Annotated[list[str] | None, strawberry.argument(description="Only metacells of these tissues, as written.")]
OfCondition = Annotated[list[str] | None, strawberry.argument(description="Only metacells of these conditions, as written.")]
MinExpression = Annotated[float | None, strawberry.argument(description="Least mean expression, as MetacellExpression.mean.")]
MeasuredGenes = Annotated[list[str], strawberry.argument(description=f"Genes by identifier, symbol or alias; at most {MOST_INPUTS:,}.")]
InRegion = Annotated[
    str, strawberry.argument(description=f"CHROM:START-END, 1-based and inclusive, of at most {LARGEST_FILTERED_REGION:,} bases.")
]


@define
@strawberry.enum(description="What a file of single cells has.")
class MetacellLayout(Enum):
    CELLS = strawberry.enum_value("CELLS", description="Cells, with the metacell of each.")
    SUMMARY = strawberry.enum_value("SUMMARY", description="Metacells, as sums over their cells.")
    SOFT_SUMMARY = strawberry.enum_value("SOFT_SUMMARY", description="Metacells, as weighted means over cells.")


@define
@strawberry.enum(description="What the numbers of a matrix are.")
class ExpressionScale(Enum):
    COUNTS = strawberry.enum_value(
        "COUNTS", description="Counts: those of a metacell became counts per 10,000 of its sum, then the logarithm of 1 + that."
    )
    LOGGED = strawberry.enum_value("LOGGED", description="Logarithms already: the mean over cells was taken.")


@entity(METACELL_RUN, description="How the metacells of a load were made.")
class MetacellRun:
    layout: MetacellLayout = leaf("What the file has.")
    matrix: str = leaf("The matrix that expression comes from: X, raw.X or layers/NAME.")
    scale: ExpressionScale = leaf("What its numbers are.")
    gene_count: int = leaf("Number of genes.")
    cell_types: list[str] = leaf("Its cell types.")
    embedding: str | None = leaf("Name of the obsm that embeddings are means of.")
    plot: str | None = leaf("Name of the obsm that plotting coordinates are means of.")
    peak_count: int = leaf("Number of peaks of accessibility.")
    peak_matrix: str | None = leaf("The matrix that accessibility comes from.")


@entity(METACELL, description="A metacell: a group of cells in one state, as SEACells finds them.", key_of=numbered)
class Metacell(Node):
    metacell_id: strawberry.Private[int]
    load_id: strawberry.Private[int]
    name: str = leaf("Name, as written.")
    dataset: str = leaf("Name of the dataset.")
    cell_type: str | None = leaf("Commonest cell type of its cells, as written.")
    purity: float | None = leaf("Part of its cells that are of that type, 0 to 1.")
    tissue: str | None = leaf("Tissue, as written.")
    condition: str | None = leaf("Condition, as written.")
    cell_count: float | None = leaf("Number of cells; a sum of weights where cells are assigned softly; null where the file does not tell.")
    plot_x: float | None = leaf("First coordinate for plotting (UMAP), mean over its cells.")
    plot_y: float | None = leaf("Second coordinate.")

    @link(TOP_GENE, by="metacell", on="metacell_id")
    def top_genes(ctx: Context) -> Connection[MetacellExpression]:
        """Its most specific genes, by z, most specific first: at most 100, of those that a tenth of its cells express, where that is known."""
        return Ask()

    @link(EXPRESSED, by="metacell", on="metacell_id")
    async def expression(ctx: Context, view: View, *, genes: MeasuredGenes) -> list[MetacellExpression]:
        """What it expresses of these genes, by the name of the gene; those that were not measured are left out."""
        if len(genes) > MOST_INPUTS:
            raise UserError(
                "TOO_MANY_INPUTS", f"{len(genes):,} genes at once; the most is {MOST_INPUTS:,}.", value=len(genes), hint="Ask in portions."
            )
        known = {row["gene_id"] for rows in (await find_genes(ctx, view, genes)).values() for row in rows}
        # The dataset may write another name than is asked for.
        others = [row["name"] for row in await ctx.query(statement("names_of_genes"), sorted(known), list(view.loads))]
        return Ask(values={"genes": sorted({stem(name) for name in genes} | {name.upper() for name in genes} | {*others})})

    @link(PEAK, by="metacell", on="metacell_id", cost=_PEAKS)
    def accessibility(ctx: Context, *, region: InRegion) -> Connection[MetacellPeak]:
        """How open its chromatin is in a region: peaks in genome order."""
        place = Region.parse(region)
        if len(place) > LARGEST_FILTERED_REGION:
            raise UserError(
                "REGION_TOO_LARGE", f"The region has {len(place):,} bases; the most is {LARGEST_FILTERED_REGION:,}.", value=region[:80],
                hint="Ask for a part of it.",
            )  # fmt: skip
        return Ask(values={"chrom": place.chrom, "start": place.start, "end": place.end})

    @link(SIMILAR_METACELL, by="metacell", on="metacell_id")
    async def similar(ctx: Context, view: View, *, cell_type: OfCellType = None) -> EdgeConnection[Metacell, SimilarMetacellEdge]:
        """The metacells of the same load that lie nearest to it, nearest first; none where the load has no embedding."""
        await check_cell_types(ctx, view, cell_type)
        return Ask(where(cell_type=cell_type))

    @computed(on="metacell_id", cost=_EMBEDDING)
    async def embedding(ctx: Context, view: View, keys: Sequence[int]) -> list[float]:
        """Where it lies in the space that metacells were made in (run.embedding), mean over its cells; empty where that is not known."""
        rows = await read_all(ctx, view, EMBEDDING, "pk", keys)
        return [(key, value) for key, row in rows for value in row["embedding"] or ()]

    @link(METACELL_RUN, by="pk", on="load_id")
    def run(ctx: Context) -> MetacellRun:
        """How it was made."""
        return Ask()

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load it came from: dataset and version."""
        return Ask()


@entity(EXPRESSION, description="What a metacell expresses of a gene.")
class MetacellExpression:
    load_id: strawberry.Private[int]
    metacell_id: strawberry.Private[int]
    gene_id: strawberry.Private[str | None]
    gene_name: str = leaf("The gene, as the dataset writes it.")
    mean: float = leaf(
        "Mean expression: natural logarithm of 1 + counts per 10,000; of a matrix of logarithms the mean of these over its cells, in the scale of the "
        "matrix (run.scale)."
    )
    percent: float | None = leaf("Percentage of its cells that express the gene, 0 to 100; null where single cells are not known.")
    z: float | None = leaf(
        "Standard deviations above the average of the metacells of the dataset: specificity for the metacell. Null where all are alike."
    )
    tau: float | None = leaf(
        "Specificity of the gene for cell types, 0 (the same in all) to 1 (in one alone): Yanai et al. 2005, over the means of cell types, of which each "
        "counts once. Null for fewer than two cell types, and without expression."
    )

    @link(METACELL, by="pk", on="metacell_id", joined=True)
    def metacell(ctx: Context) -> Metacell:
        """The metacell."""
        return Ask()

    @link(GENE, by="pk", on="gene_id")
    def gene(ctx: Context) -> Gene | None:
        """The gene, where a visible gene annotation has it: by identifier without version, else by symbol, else by alias."""
        return Ask()


@entity(PEAK, description="A stretch of the genome, and how open it is in a metacell. Positions are 1-based and inclusive.")
class MetacellPeak:
    chrom: str = leaf("Chromosome: 1-22, X, Y or MT.")
    start: int = leaf("First base, 1-based.")
    end: int = leaf("Last base, 1-based, inclusive.")
    access: float | None = leaf("Natural logarithm of 1 + fragments per 10,000 in peaks; null where none of its cells were measured.")
    open: bool | None = leaf("Whether it is open, where the file says so.")


@define
@strawberry.type(description="A metacell that lies near another one.")
class SimilarMetacellEdge(Edge[Metacell]):
    distance: float = leaf("Euclidean distance of the embeddings.")
    similarity: float | None = leaf("Cosine similarity of the embeddings, -1 to 1, to six places; null where one of them is zero.")


async def check_datasets(ctx: Context, view: View, names: Sequence[str] | None) -> None:
    """Raises UserError UNKNOWN_DATASET for a dataset that is not visible."""
    await check_known(ctx, view, "is of a dataset", names, "dataset_names", "UNKNOWN_DATASET", "See vkg loads.")


async def check_tissues(ctx: Context, view: View, names: Sequence[str] | None) -> None:
    """Raises UserError UNKNOWN_TISSUE for a tissue that no visible metacell is of."""
    hint = "Metacells are given one with vkg load metacells --tissue."
    await check_known(ctx, view, "has metacells of the tissue", names, "metacell_tissues", "UNKNOWN_TISSUE", hint)


async def check_conditions(ctx: Context, view: View, names: Sequence[str] | None) -> None:
    """Raises UserError UNKNOWN_CONDITION for a condition that no visible metacell is of."""
    hint = "Metacells are given one with vkg load metacells --condition."
    await check_known(ctx, view, "has metacells of the condition", names, "metacell_conditions", "UNKNOWN_CONDITION", hint)


async def check_cell_types(ctx: Context, view: View, names: Sequence[str] | None) -> None:
    """Raises UserError UNKNOWN_CELL_TYPE for a cell type that no visible metacell is of."""
    hint = "Load them with vkg load metacells."
    await check_known(ctx, view, "has metacells of the cell type", names, "cell_types", "UNKNOWN_CELL_TYPE", hint)


def checked_expression(least: float) -> float:
    """A least expression, if it is one. Raises UserError BAD_EXPRESSION."""
    if not 0 <= least <= LARGEST_REAL:
        raise UserError(
            "BAD_EXPRESSION", f"minExpression: {least} is no expression.", value=least, hint="It is a logarithm of 1 and more: from 0."
        )
    return least
