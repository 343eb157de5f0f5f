"""Genes and transcripts."""

from __future__ import annotations

import typing
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from store.gene import GENE, LONGEST_FLANK, TRANSCRIPT
from store.ledger import LOAD
from store.metacell import EXPRESSION
from store.read import where
from store.v2f import TARGETING
from store.variant import VARIANT

from .context import Context, View
from .errors import UserError
from .filters import Datasets, VariantFilter, conditions
from .link import Ask, Connection, Edge, define, entity, leaf, link, made_of
from .metacell import MinExpression, OfCellType, check_cell_types, check_datasets, checked_expression
from .node import Node
from .v2f import CellTypes, MinScore, Sources, checked_score, sources_of

if TYPE_CHECKING:
    from .ledger import Load
    from .metacell import MetacellExpression
    from .variant import Variant

Flank = Annotated[int, strawberry.argument(description=f"Bases on either side, 0 to {LONGEST_FLANK:,}.")]
Biotypes = Annotated[list[str] | None, strawberry.argument(description="Only these biotypes (protein_coding ...).")]
Canonical = Annotated[bool | None, strawberry.argument(description="Only canonical ones, or only others.")]
Filter = Annotated[VariantFilter | None, strawberry.argument(description="Conditions on the variants.")]


@define
@strawberry.enum(description="Strand of the genome.")
class Strand(Enum):
    FORWARD = strawberry.enum_value("FORWARD", description="The strand of the reference.")
    REVERSE = strawberry.enum_value("REVERSE", description="The other one.")


@define
@strawberry.enum(description="Where a position lies to a gene, in the gene's own direction.")
class GeneRelation(Enum):
    INSIDE = strawberry.enum_value("INSIDE", description="Between the gene's first and last base.")
    UPSTREAM = strawberry.enum_value("UPSTREAM", description="Before the gene's start.")
    DOWNSTREAM = strawberry.enum_value("DOWNSTREAM", description="After the gene's end.")


@define
@strawberry.enum(description="Place of a transcript in the MANE set of matched RefSeq and Ensembl transcripts.")
class Mane(Enum):
    SELECT = strawberry.enum_value("SELECT", description="The one representative transcript of its gene.")
    PLUS_CLINICAL = strawberry.enum_value("PLUS_CLINICAL", description="Needed besides it to report clinical variants.")


def checked_flank(flank: int) -> int:
    """The flank, if it is a sensible one. Raises UserError BAD_FLANK."""
    if not 0 <= flank <= LONGEST_FLANK:
        raise UserError("BAD_FLANK", f"flank: {flank} is not between 0 and {LONGEST_FLANK:,}.", value=flank)
    return flank


@entity(GENE, description="A gene of a visible annotation. Positions are 1-based and inclusive.", key_of=str)
class Gene(Node):
    gene_id: str = leaf("Stable identifier without its version.")
    load_id: strawberry.Private[int]
    version: str | None = leaf("Version of the identifier.")
    symbol: str = leaf("Symbol, or the identifier where the annotation has none.")
    chrom: str = leaf("Chromosome: 1-22, X, Y or MT.")
    start: int = leaf("First base, 1-based.")
    end: int = leaf("Last base, 1-based, inclusive.")
    strand: Strand = leaf("Strand.")
    biotype: str | None = leaf("Biotype (protein_coding ...).")
    description: str | None = leaf("Description, where the annotation has one.")

    @link(VARIANT, by="gene", on="gene_id")
    def variants(ctx: Context, *, flank: Flank = 0, filter: Filter = None) -> Connection[Variant]:
        """Variants whose position lies in the gene or its flanks, in genome order."""
        return Ask(conditions(filter), {"flank": checked_flank(flank)})

    @link(TARGETING, by="gene", on="gene_id")
    def v2f_variants(
        ctx: Context, *, source: Sources = None, min_score: MinScore = None, cell_type: CellTypes = None, filter: Filter = None
    ) -> Connection[Variant]:  # fmt: skip
        """Variants that methods say act on it: in elements that are linked to it, or with a score for it, in genome order. Links below the threshold of
        their source count only where minScore says so."""
        least = checked_score(min_score, source)
        return Ask(conditions(filter), {"sources": sources_of(source), "cell_types": cell_type, "min_score": least})

    @link(EXPRESSION, by="gene", on="gene_id")
    async def expression(
        ctx: Context, view: View, *, dataset: Datasets = None, cell_type: OfCellType = None, min_expression: MinExpression = None
    ) -> Connection[MetacellExpression]:  # fmt: skip
        """What metacells express of it, highest first."""
        await check_cell_types(ctx, view, cell_type)
        await check_datasets(ctx, view, dataset)
        least = checked_expression(min_expression) if min_expression is not None else None
        return Ask(where(dataset=dataset, cell_type=cell_type, least=least))

    @link(TRANSCRIPT, by="gene", on="gene_id")
    def transcripts(ctx: Context, *, canonical: Canonical = None, biotype: Biotypes = None) -> Connection[Transcript]:
        """Its transcripts, by identifier."""
        return Ask(where(canonical=canonical, biotype=biotype))

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The annotation it came from."""
        return Ask()


@define
@strawberry.type(description="An exon. Positions are 1-based and inclusive.")
class Exon:
    number: int = leaf("Number in the transcript's direction, from 1.")
    start: int = leaf("First base, 1-based.")
    end: int = leaf("Last base, 1-based, inclusive.")


@entity(TRANSCRIPT, description="A transcript of a visible annotation. Positions are 1-based and inclusive.", key_of=str)
class Transcript(Node):
    transcript_id: str = leaf("Stable identifier without its version.")
    gene_id: strawberry.Private[str]
    load_id: strawberry.Private[int]
    exon_starts: strawberry.Private[list[int]]
    exon_ends: strawberry.Private[list[int]]
    version: str | None = leaf("Version of the identifier.")
    name: str | None = leaf("Name, where the annotation has one.")
    chrom: str = leaf("Chromosome: 1-22, X, Y or MT.")
    start: int = leaf("First base, 1-based.")
    end: int = leaf("Last base, 1-based, inclusive.")
    strand: Strand = leaf("Strand.")
    biotype: str | None = leaf("Biotype.")
    cds_start: int | None = leaf("Lowest coding base, 1-based; null where it codes for nothing.")
    cds_end: int | None = leaf("Highest coding base, 1-based, inclusive.")
    canonical: bool = leaf("True where the annotation tags it as Ensembl canonical.")
    mane: Mane | None = leaf("Place in the MANE set.")
    protein_id: str | None = leaf("Protein identifier.")

    @made_of("exon_starts", "exon_ends", "strand")
    def exons(self) -> list[Exon]:
        """Its exons, in its own direction."""
        spans = list(zip(self.exon_starts, self.exon_ends, strict=True))
        ordered = reversed(spans) if typing.cast(str, self.strand) == "REVERSE" else spans  # a row holds the name of an enum's member
        return [Exon(number=number, start=start, end=end) for number, (start, end) in enumerate(ordered, 1)]

    @link(GENE, by="pk", on="gene_id")
    def gene(ctx: Context) -> Gene | None:
        """Its gene."""
        return Ask()

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The annotation it came from."""
        return Ask()


@define
@strawberry.type(description="A gene beside a variant.")
class VariantGeneEdge(Edge[Gene]):
    distance: int = leaf("Bases from the variant's position to the nearest base of the gene; 0 inside.")
    relation: GeneRelation = leaf("Where the variant lies to the gene.")
