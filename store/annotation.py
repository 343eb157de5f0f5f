"""How the annotations of a variant are read: consequences, clinical significance, scores, frequencies."""

from __future__ import annotations

from .gene import target
from .read import By, Order, Read
from .variant import COUNTED_AGAIN, FEW, FEW_CALLED, NAMED_LOADS

_DATASET = f"t.load_id = ANY({NAMED_LOADS.format('ANY(:value)')})"
_CALLSET = f"p.callset_load = ANY({NAMED_LOADS.format('ANY(:value)')})"
_BY_VARIANT = {"variant": By("t.variant_key = ANY(:keys)", parent="t.variant_key")}

CONSEQUENCE = Read(
    name="transcript_consequence",
    source="transcript_consequence t",
    visible="t.load_id = ANY(:loads)",
    columns={
        "variant_key": "t.variant_key",
        "load_id": "t.load_id",
        "annotator": "t.annotator",
        "terms": "t.terms",
        "impact": "(ARRAY['HIGH','MODERATE','LOW','MODIFIER'])[t.impact]",
        "gene_id": "t.gene_id",
        "target_id": target("t.gene_id", "t.symbol"),
        "symbol": "t.symbol",
        "transcript_id": "t.transcript_id",
        "transcript_stable_id": "t.transcript_stable_id",
        "biotype": "t.biotype",
        "canonical": "t.canonical",
        "mane": "t.mane",
        "hgvsc": "t.hgvsc",
        "hgvsp": "t.hgvsp",
        "exon": "t.exon",
        "intron": "t.intron",
        "cdna_position": "t.cdna_position",
        "cds_position": "t.cds_position",
        "protein_position": "t.protein_position",
        "amino_acids": "t.amino_acids",
        "codons": "t.codons",
        "extra": "t.extra",
    },
    by=_BY_VARIANT,
    orders={"severity": Order(("t.severity", "t.load_id", "t.ordinal"))},
    where={
        "impact": "t.impact = ANY(:value)",
        "canonical": "t.canonical = :value",
        "mane": "(t.mane IS NOT NULL) = :value",
        "gene": "t.gene_id = ANY(:value) OR t.symbol = ANY(:value)",
        "dataset": _DATASET,
    },
)

CLINICAL = Read(
    name="clinical_significance",
    source="clinical_significance t",
    visible="t.load_id = ANY(:loads)",
    columns={
        "variant_key": "t.variant_key",
        "load_id": "t.load_id",
        "aspect": "t.aspect",
        "classes": "t.classes",
        "significance": "t.significance",
        "variation_id": "t.variation_id",
        "allele_id": "t.allele_id",
        "review_status": "t.review_status",
        "stars": "t.stars",
        "conditions": "coalesce(t.conditions, '{}')",
        "condition_ids": "coalesce(t.condition_ids, '{}')",
        "conflicting": "t.conflicting",
        "gene_info": "t.gene_info",
        "origin": "t.origin",
        "hgvs": "t.hgvs",
    },
    by=_BY_VARIANT,
    orders={"load": Order(("t.load_id", "t.ordinal"))},
    where={"dataset": _DATASET},
)

SCORE = Read(
    name="variant_score",
    source="variant_score t JOIN score s ON s.load_id = t.load_id AND s.score_id = t.score_id",
    visible="t.load_id = ANY(:loads)",
    columns={
        "variant_key": "t.variant_key",
        "load_id": "t.load_id",
        "name": "s.name",
        "value": "t.value",
        "description": "s.description",
        "source_locus": "t.source_locus",
    },
    by=_BY_VARIANT,
    orders={"load": Order(("t.load_id", "t.score_id"))},
    where={"name": "s.name = ANY(:value)", "dataset": _DATASET},
)

FREQUENCY = Read(
    name="population_frequency",
    source="population_frequency t JOIN frequency_population p ON p.load_id = t.load_id",
    # What was counted again goes with its callset, and takes the place of what that says of the same population.
    visible=f"""t.load_id = ANY(:loads) AND (p.callset_load IS NULL OR p.callset_load = ANY(:loads)) AND NOT {COUNTED_AGAIN} AND NOT {FEW} AND {FEW_CALLED.format("t", "p.ordinal")} IS NOT TRUE
        AND (t.af[p.ordinal] IS NOT NULL OR t.ac[p.ordinal] IS NOT NULL)""",
    columns={
        "variant_key": "t.variant_key",
        "load_id": "t.load_id",
        "population": "p.population",
        "allele_count": "t.ac[p.ordinal]",
        "allele_number": "t.an[p.ordinal]",
        "frequency": "t.af[p.ordinal]",
        # Of counted populations, arrays that would be all zero are left out.
        "homozygotes": "CASE WHEN p.counted AND t.ac IS NOT NULL THEN coalesce(t.hom[p.ordinal], 0) ELSE t.hom[p.ordinal] END",
        # Of whom there is one man, it is his genotype.
        "hemizygotes": "CASE WHEN t.load_id = ANY(:limited) THEN NULL WHEN p.counted AND t.ac IS NOT NULL THEN coalesce(t.hemi[p.ordinal], 0) ELSE t.hemi[p.ordinal] END",
        "counted": "p.counted",
        "filter": "t.filter",
        "source_locus": "t.source_locus",
    },
    by=_BY_VARIANT,
    orders={"load": Order(("t.load_id", "p.ordinal")), "newest": Order(("t.load_id", "p.ordinal"), descending=True)},
    where={
        "population": "p.population = ANY(:value)",
        "overall": "(p.population = 'ALL' OR p.population LIKE '%:ALL') = :value",
        "dataset": f"{_DATASET} OR {_CALLSET}",
        "known": "(t.af[p.ordinal] IS NOT NULL) = :value",
    },
)
