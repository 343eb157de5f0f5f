"""Variants and their records."""

from __future__ import annotations

import strawberry

from store.annotation import CLINICAL, CONSEQUENCE, FREQUENCY, SCORE
from store.consequence import Impact
from store.gene import GENE
from store.ledger import LOAD
from store.read import where
from store.variant import RECORD, VARIANT
from store.variant_key import from_hex

from .filters import ImpactLevel, VariantType
from .gene import Flank, checked_flank
from .link import Ask, Connection, EdgeConnection, entity, leaf, link
from .node import Node
from .scalars import JSON


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
    type: VariantType = leaf("Kind of change.")  # type: ignore[valid-type]
    rsids: list[str] = leaf("dbSNP rsIDs that visible records give it.")

    @link(RECORD, by="variant", on="variant_key")
    def records(ctx, *, dataset: list[str] | None = None) -> list[VariantRecord]:
        """What each visible file says of it, oldest load first."""
        return Ask(where(dataset=dataset))

    @link(GENE, by="variant", on="variant_key", order="distance")
    def genes(ctx, *, flank: Flank = 0, biotype: list[str] | None = None) -> EdgeConnection[Gene, VariantGeneEdge]:
        """Genes at its position, or within `flank` bases of it, nearest first."""
        return Ask(where(biotype=biotype), {"flank": checked_flank(flank)})

    @link(GENE, by="consequence", on="variant_key")
    def consequence_genes(ctx) -> Connection[Gene]:
        """Genes that its transcript consequences name, where a visible gene annotation has them."""
        return Ask()

    @link(CONSEQUENCE, by="variant", on="variant_key")
    def consequences(
        ctx, *, impact: list[ImpactLevel] | None = None, canonical: bool | None = None, mane: bool | None = None,
        gene: list[str] | None = None, dataset: list[str] | None = None,
    ) -> list[TranscriptConsequence]:  # type: ignore[valid-type]  # fmt: skip
        """Its consequences for every transcript that the files name, most severe first. `gene` takes identifiers and symbols."""
        levels = None if impact is None else [Impact[level.value].value for level in impact]
        return Ask(where(impact=levels, canonical=canonical, mane=mane, gene=gene, dataset=dataset))

    @link(CLINICAL, by="variant", on="variant_key")
    def clinical_significance(ctx, *, dataset: list[str] | None = None) -> list[ClinicalSignificance]:
        """Its clinical classifications."""
        return Ask(where(dataset=dataset))

    @link(SCORE, by="variant", on="variant_key")
    def scores(ctx, *, name: list[str] | None = None, dataset: list[str] | None = None) -> list[VariantScore]:
        """Its scores."""
        return Ask(where(name=name, dataset=dataset))

    @link(FREQUENCY, by="variant", on="variant_key")
    def frequencies(ctx, *, population: list[str] | None = None, dataset: list[str] | None = None) -> list[Frequency]:
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
    def variant(ctx) -> Variant:
        """The variant."""
        return Ask()

    @link(LOAD, by="pk", on="load_id")
    def load(ctx) -> Load:
        """The load it came from."""
        return Ask()
