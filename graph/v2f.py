"""Variant-to-function: scores of variants, and links of the elements that they lie in to genes."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from store.accession import split_version
from store.gene import GENE
from store.ledger import LOAD
from store.read import Filter as Condition
from store.read import where
from store.v2f import V2F

from .errors import UserError
from .link import Ask, define, entity, leaf, link
from .scalars import JSON

if TYPE_CHECKING:
    from .context import Context
    from .gene import Gene
    from .ledger import Load


@define
@strawberry.enum(description="The method that scores come from.")
class V2FSource(Enum):
    CV2F = strawberry.enum_value("CV2F", description="cV2F: a probability for each variant, 0 to 1, without a gene.")
    ABC = strawberry.enum_value("ABC", description="Activity by contact: links of elements to genes; published cut-off 0.027.")
    ENCODE_RE2G = strawberry.enum_value(
        "ENCODE_RE2G", description="ENCODE-rE2G: links of elements to genes, 0 to 1; published cut-off 0.243."
    )
    SCE2G = strawberry.enum_value("SCE2G", description="scE2G: links of elements to genes, 0 to 1; published cut-off 0.177.")
    EPIRACTION = strawberry.enum_value("EPIRACTION", description="EPIraction: links of elements to genes, 0 to 1.")
    TABLE = strawberry.enum_value("TABLE", description="A table of scores of variants.")


@define
@strawberry.enum(description="How what a source says was found to be about a variant.")
class V2FMatch(Enum):
    ALLELES = strawberry.enum_value("ALLELES", description="The source names its alleles.")
    RSID = strawberry.enum_value("RSID", description="The source names its position and its rsID.")
    POSITION = strawberry.enum_value(
        "POSITION", description="The source names its position, where it is the only SNV, and one of them has no rsID."
    )
    OVERLAP = strawberry.enum_value("OVERLAP", description="A base of its REF lies in the element.")


Sources = Annotated[list[V2FSource] | None, strawberry.argument(description="Only these methods; none with an empty list.")]
MinScore = Annotated[
    float | None,
    strawberry.argument(
        description="Least score, in the scale of one source, which has to be named. Without it each source's own threshold holds."
    ),
]
Everything = Annotated[bool, strawberry.argument(description="Also those below the threshold of their source.")]
CellTypes = Annotated[list[str] | None, strawberry.argument(description="Only these cell types, as the source writes them.")]
Tissues = Annotated[list[str] | None, strawberry.argument(description="Only these tissues, as the source writes them.")]
Targets = Annotated[list[str] | None, strawberry.argument(description="Only these target genes, by symbol or identifier.")]


@entity(
    V2F,
    description="What a method says of the function of a variant: a score of the variant itself, or of the link of an element that it lies in to a gene. "
    "The two are different things, on different scales.",
)
class V2FScore:
    load_id: strawberry.Private[int]
    target_id: strawberry.Private[str | None]
    source: V2FSource = leaf("The method.")
    score_version: str | None = leaf("Its version, where somebody said.")
    synthetic: bool = leaf("True where the numbers were generated, to show how it works.")
    score: float | None = leaf("Score of the variant, in the scale of the method; null for a link.")
    link_score: float | None = leaf(
        "Score of the link of the element to the gene, in the scale of the method; null for a score of the variant."
    )
    threshold: float | None = leaf("Published cut-off of the method, from which on it counts as positive; null for none.")
    above_threshold: bool | None = leaf("Whether it reaches the cut-off; null for none.")
    percentile: float | None = leaf("Percentile of the score in its source, 0 to 100, where the file has it.")
    matched_by: V2FMatch = leaf("How it was found to be about this variant.")
    gene_name: str | None = leaf("Target gene as written: its symbol, else its identifier; null for none.")
    cell_type: str | None = leaf("Cell type as written; null for none.")
    tissue: str | None = leaf("Tissue as written; null for none.")
    components: JSON | None = leaf("Parts of the score by name, where the file has them.")
    evidence: list[str] = leaf("Sources of evidence, where the file names them.")
    element: str | None = leaf("The element as CHROM:START-END, 1-based and inclusive; null for a score of the variant.")
    element_name: str | None = leaf("Name of the element, as written.")
    element_class: str | None = leaf("Class of the element, as written (promoter, genic, intergenic).")
    distance_to_tss: int | None = leaf("Bases from the element to the start of the gene, where written.")
    self_promoter: bool | None = leaf("True where the element is the promoter of the gene itself.")
    source_locus: str | None = leaf("Variant, position or element as in the file, where it was lifted over from another assembly.")
    line: int = leaf("Line in the file, from 1.")

    @link(GENE, by="pk", on="target_id", joined=True)
    def target_gene(ctx: Context) -> Gene | None:
        """The target gene, where a visible gene annotation has it: by identifier without version, else by symbol, else by alias."""
        return Ask()

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load it came from: dataset and version."""
        return Ask()


def sources_of(sources: Sequence[V2FSource] | None) -> list[str] | None:
    """The names of sources as the store has them."""
    return None if sources is None else [source.name.lower().replace("_", "-") for source in sources]


def checked_score(min_score: float | None, sources: Sequence[V2FSource] | None, argument: str = "minScore") -> float | None:
    """A least score. Raises UserError SOURCE_NEEDED where it is not said of which one source."""
    if min_score is not None and len(sources or ()) != 1:
        raise UserError(
            "SOURCE_NEEDED", f"{argument} needs one source: each method has a scale of its own.", value=min_score,
            hint="Name it (source: [ABC]), or leave the score out: then each source's own threshold holds.",
        )  # fmt: skip
    return min_score


def v2f_conditions(
    sources: Sequence[V2FSource] | None, min_score: float | None, everything: bool, cell_type: list[str] | None, tissue: list[str] | None,
    gene: list[str] | None,
) -> Condition:  # fmt: skip
    """The conditions that the arguments ask for. Raises UserError SOURCE_NEEDED."""
    least = checked_score(min_score, sources)
    positive: dict[str, Any] | None = None if everything or least is not None else {}
    wanted = None if gene is None else [split_version(name.upper())[0] for name in gene]
    return where(source=sources_of(sources), min_score=least, above_threshold=positive, cell_type=cell_type, tissue=tissue, gene=wanted)
