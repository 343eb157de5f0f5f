"""What files say about a variant beyond its record: consequences, clinical significance, scores, frequencies."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import strawberry

from store.annotation import CLINICAL, CONSEQUENCE, FREQUENCY, SCORE
from store.gene import GENE, TRANSCRIPT
from store.ledger import LOAD
from store.sample import POPULATION

from .context import Context
from .filters import ClinicalClass, ImpactLevel
from .gene import Mane
from .link import Ask, define, entity, leaf, link
from .scalars import JSON

if TYPE_CHECKING:
    from .gene import Gene, Transcript
    from .ledger import Load
    from .sample import Population


@define
@strawberry.enum(description="What a clinical classification is about.")
class ClinicalAspect(Enum):
    GERMLINE = strawberry.enum_value("GERMLINE", description="Inherited disease, risk, and drug response.")
    ONCOGENICITY = strawberry.enum_value("ONCOGENICITY", description="Whether a somatic variant drives cancer.")
    SOMATIC_IMPACT = strawberry.enum_value(
        "SOMATIC_IMPACT", description="What a somatic variant means for diagnosis, prognosis or therapy."
    )


@entity(CONSEQUENCE, description="The predicted consequence of a variant for one transcript, as VEP or SnpEff wrote it into a file.")
class TranscriptConsequence:
    variant_key: strawberry.Private[int]
    load_id: strawberry.Private[int]
    target_id: strawberry.Private[str | None]
    transcript_stable_id: strawberry.Private[str | None]
    annotator: str = leaf("VEP or SnpEff.")
    terms: list[str] = leaf("Sequence Ontology terms, as written.")
    impact: ImpactLevel = leaf("Impact of the most severe term.")
    gene_id: str | None = leaf("Gene identifier without its version, as written.")
    symbol: str | None = leaf("Gene symbol, as written.")
    transcript_id: str | None = leaf("Transcript or other feature, with its version where written.")
    biotype: str | None = leaf("Biotype of the transcript.")
    canonical: bool = leaf("True where the annotator flags the transcript as canonical.")
    mane: Mane | None = leaf("Place in the MANE set, where the annotator says so.")
    hgvsc: str | None = leaf("HGVS of the change in the transcript.")
    hgvsp: str | None = leaf("HGVS of the change in the protein.")
    exon: str | None = leaf("Exon, as number/total.")
    intron: str | None = leaf("Intron, as number/total.")
    cdna_position: str | None = leaf("Position in the cDNA, 1-based, as written.")
    cds_position: str | None = leaf("Position in the coding sequence, 1-based, as written.")
    protein_position: str | None = leaf("Position in the protein, 1-based, as written.")
    amino_acids: str | None = leaf("Amino acids, reference/alternative.")
    codons: str | None = leaf("Codons, reference/alternative, the changed bases in upper case.")
    extra: JSON | None = leaf("The annotator's other non-empty fields, by name.")

    @link(GENE, by="pk", on="target_id")
    def gene(ctx: Context) -> Gene | None:
        """The gene, where a visible gene annotation has it: by identifier, else by symbol, else by alias."""
        return Ask()

    @link(TRANSCRIPT, by="pk", on="transcript_stable_id")
    def transcript(ctx: Context) -> Transcript | None:
        """The transcript, where a visible gene annotation has it."""
        return Ask()

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load it came from."""
        return Ask()


@entity(CLINICAL, description="A clinical classification, as ClinVar publishes it.")
class ClinicalSignificance:
    variant_key: strawberry.Private[int]
    load_id: strawberry.Private[int]
    aspect: ClinicalAspect = leaf("What was classified.")
    classes: list[ClinicalClass] = leaf("The classification in a closed set; several where the file joins several.")
    significance: str = leaf("The classification as written.")
    variation_id: str | None = leaf("ClinVar VariationID.")
    allele_id: str | None = leaf("ClinVar AlleleID.")
    review_status: str | None = leaf("Review status, as written.")
    stars: int | None = leaf("ClinVar's stars for the review status, 0 to 4; null for an unknown status.")
    conditions: list[str] = leaf("Names of the conditions.")
    condition_ids: list[str | None] = leaf(
        "Identifiers of the conditions in other databases, as written, in the order of conditions; null for a dot."
    )
    conflicting: str | None = leaf("The single classifications behind a conflicting one, as written.")
    gene_info: str | None = leaf("Genes as symbol:NCBI id, as written.")
    origin: str | None = leaf("Allele origin code, as written.")
    hgvs: str | None = leaf("Genomic HGVS, as written.")

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load it came from."""
        return Ask()


@entity(SCORE, description="One number about a variant.")
class VariantScore:
    variant_key: strawberry.Private[int]
    load_id: strawberry.Private[int]
    name: str = leaf("Name of the score (CADD_PHRED ...).")
    value: float = leaf("The number, in the score's own unit.")
    description: str | None = leaf("What the file says about the score.")
    source_locus: str | None = leaf("CHROM:POS:REF:ALT as in the file, where it was lifted over from another assembly.")

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load it came from: dataset and version of the score."""
        return Ask()


@entity(FREQUENCY, description="How common the ALT allele is in one population of one dataset. What a file does not say is null, never 0.")
class Frequency:
    variant_key: strawberry.Private[int]
    load_id: strawberry.Private[int]
    population: str = leaf("Population as the dataset names it; ALL, or NAMESPACE:ALL, is its overall frequency.")
    frequency: float | None = leaf(
        "ALT allele frequency, 0 to 1: as published, else alleleCount / alleleNumber; null where nothing was called."
    )
    allele_count: int | None = leaf("ALT alleles counted.")
    allele_number: int | None = leaf("Alleles called.")
    homozygotes: int | None = leaf("Individuals homozygous for ALT, where published or counted.")
    hemizygotes: int | None = leaf("Individuals with one allele that is ALT (X, Y, MT), where counted.")
    counted: bool = leaf(
        "True where the genotypes of a callset were counted, when it was loaded or since (vkg derive frequencies); false where a file says so."
    )
    filter: list[str] | None = leaf(
        "FILTER of the record of a file of frequencies: PASS, or the failed filters. Null where it is not filtered, and of files whose records tell it."
    )
    source_locus: str | None = leaf("CHROM:POS:REF:ALT as in the file, where it was lifted over from another assembly.")

    @link(POPULATION, by="pk", on="population")
    def of_population(ctx: Context) -> Population | None:
        """The population of people of that name, where a visible load describes it."""
        return Ask()

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load it came from."""
        return Ask()
