"""The model `annotation`: a vector of what is known of a variant, without any network, so that cosine similarity compares it.

In: plain values of a variant. Out: float32, one number for each name in DIMENSIONS, by fixed rules (no statistics of the
data), so that a vector never depends on what else is loaded. Another layout or scale is another VERSION.

A vector is made of blocks, each as long as its weight: consequence 1, impact 0.7, type 0.5, size 0.5, frequencies 1 in
all, scores 1 in all. So the cosine of two vectors is about the weighted mean of how alike they are in each. A number x
between 0 and 1 stands as (cos, sin) of x * 90 degrees: equal numbers have cosine 1, opposite ends 0, and a large number
weighs no more than a small one. A missing number is neither: it has a dimension of its own, at half the weight.

What is used is listed in INPUTS: whatever is predicted from neighbours in this space must be none of it. Clinical
significance is not used, so that it can be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from embedder.errors import EmbedderError

ID = "annotation"
VERSION = "1"

# fmt: off
CONSEQUENCES: dict[str, tuple[str, ...]] = {
    "transcript_loss_or_gain": (
        "transcript_ablation", "transcript_amplification", "feature_ablation", "feature_elongation", "feature_truncation", "exon_loss_variant",
        "chromosome_number_variation", "rearranged_at_DNA_level", "duplication", "inversion", "gene_fusion", "bidirectional_gene_fusion", "feature_fusion",
    ),
    "splice_acceptor": ("splice_acceptor_variant",),
    "splice_donor": ("splice_donor_variant",),
    "stop_gained": ("stop_gained",),
    "frameshift": ("frameshift_variant",),
    "stop_lost": ("stop_lost",),
    "start_lost": ("start_lost", "initiator_codon_variant", "non_canonical_start_codon"),
    "inframe_insertion": ("inframe_insertion", "disruptive_inframe_insertion", "conservative_inframe_insertion"),
    "inframe_deletion": ("inframe_deletion", "disruptive_inframe_deletion", "conservative_inframe_deletion"),
    "missense": ("missense_variant", "rare_amino_acid_variant"),
    "protein_altering": ("protein_altering_variant", "protein_protein_contact", "structural_interaction_variant"),
    "splice_region": (
        "splice_region_variant", "splice_donor_5th_base_variant", "splice_donor_region_variant", "splice_polypyrimidine_tract_variant", "splice_branch_variant",
    ),
    "synonymous": ("synonymous_variant", "stop_retained_variant", "start_retained_variant", "start_retained", "incomplete_terminal_codon_variant"),
    "coding": ("coding_sequence_variant", "coding_transcript_variant"),
    "utr_5": ("5_prime_UTR_variant", "5_prime_UTR_premature_start_codon_gain_variant", "5_prime_UTR_truncation"),
    "utr_3": ("3_prime_UTR_variant", "3_prime_UTR_truncation"),
    "non_coding_exon": (
        "non_coding_transcript_exon_variant", "non_coding_exon_variant", "mature_miRNA_variant", "miRNA", "exon_variant", "exon_region",
    ),
    "non_coding_transcript": ("non_coding_transcript_variant", "nc_transcript_variant", "NMD_transcript_variant"),
    "intron": ("intron_variant", "conserved_intron_variant", "intragenic_variant"),
    "upstream": ("upstream_gene_variant",),
    "downstream": ("downstream_gene_variant",),
    "regulatory": (
        "regulatory_region_variant", "regulatory_region_ablation", "regulatory_region_amplification", "TF_binding_site_variant", "TFBS_ablation",
        "TFBS_amplification",
    ),
    "intergenic": ("intergenic_variant", "intergenic_region", "conserved_intergenic_variant"),
}
# fmt: on
"""Terms of the Sequence Ontology by the group that has a dimension; any other term is in the group `other_consequence`."""

IMPACTS = ("HIGH", "MODERATE", "LOW", "MODIFIER")
TYPES = ("SNV", "MNV", "INSERTION", "DELETION", "INDEL")
FREQUENCIES = ("ALL", "AFR", "AMR", "EAS", "EUR", "SAS")
"""Populations whose allele frequency of ALT is used, 0 to 1: all, and the super-populations of the 1000 Genomes."""


def _span(low: float, high: float) -> Callable[[float], float]:
    return lambda value: (value - low) / (high - low)


SCORES: dict[str, Callable[[float], float]] = {
    "CADD_PHRED": _span(0, 50),
    "REVEL": _span(0, 1),
    "AlphaMissense": _span(0, 1),
    "SpliceAI": _span(0, 1),
}
"""Scores that are used, and what brings each to 0 (benign end) ... 1; what lies beyond stands at the end."""

RAREST = 1e-6
"""Allele frequencies at or below this stand at 0 of the logarithmic scale, 1 at its other end."""

_GROUP = {term: group for group, terms in CONSEQUENCES.items() for term in terms}
_CONSEQUENCE = (*CONSEQUENCES, "other_consequence")
_NUMBERS = (*(f"frequency_{p}" for p in FREQUENCIES), *(f"score_{s}" for s in SCORES))
DIMENSIONS = (
    *(f"consequence_{group}" for group in CONSEQUENCES),
    "other_consequence",
    "consequence_missing",
    *(f"impact_{name}" for name in IMPACTS),
    "impact_missing",
    *(f"type_{name}" for name in TYPES),
    "transition",
    "transversion",
    "bases_gained",
    "bases_lost",
    "whole_codons",
    *(f"{name}_{part}" for name in _NUMBERS for part in ("low", "high", "missing")),
)
"""What each number of a vector is."""

DIMENSION = len(DIMENSIONS)
INPUTS = (
    "ref", "alt", "consequence.terms", "consequence.impact", *(f"frequency:{p}" for p in FREQUENCIES), *(f"score:{s}" for s in SCORES),
)  # fmt: skip
"""What vectors are made of; none of it may be predicted from neighbours in this space."""

_AT = {name: place for place, name in enumerate(DIMENSIONS)}
_PURINES = frozenset("AG")
_MISSING = 0.5  # of the weight of what is missing
_CONSEQUENCE_WEIGHT, _IMPACT_WEIGHT, _TYPE_WEIGHT, _SIZE_WEIGHT = 1.0, 0.7, 0.5, 0.5
_FREQUENCY_WEIGHT, _SCORE_WEIGHT = 1 / math.sqrt(len(FREQUENCIES)), 1 / math.sqrt(len(SCORES))
_LONGEST = 10  # doublings of length: 1,023 bases and more stand at the end of the scale


class Annotation(NamedTuple):
    """What is known of a variant. `terms` are those of its most severe consequence, `impact` that consequence's (HIGH,
    MODERATE, LOW, MODIFIER); frequencies go by FREQUENCIES, scores by SCORES; None, or no entry, is missing."""

    ref: str
    alt: str
    terms: Sequence[str] = ()
    impact: str | None = None
    frequencies: Mapping[str, float | None] = {}
    scores: Mapping[str, float | None] = {}


def vectors(rows: Sequence[Annotation]) -> np.ndarray:
    """The vectors of variants, float32 (n, DIMENSION). None of them is zero.

    Raises EmbedderError where a value is not a finite number, a frequency is outside 0 ... 1, or a name is in no list.
    """
    found = np.zeros((len(rows), DIMENSION), np.float32)
    for vector, row in zip(found, rows, strict=True):
        _consequence(vector, row)
        _change(vector, row.ref.upper(), row.alt.upper())
        _unknown(row.frequencies, FREQUENCIES, "frequency")
        _unknown(row.scores, tuple(SCORES), "score")
        for population in FREQUENCIES:
            value = _finite(row.frequencies.get(population), population)
            if value is not None:
                if not 0 <= value <= 1:
                    raise EmbedderError(f"frequency {value} in {population}", "Frequencies are between 0 and 1.")
                value = 1 - math.log10(max(value, RAREST)) / math.log10(RAREST)
            _number(vector, f"frequency_{population}", value, _FREQUENCY_WEIGHT)
        for name, scale in SCORES.items():
            value = _finite(row.scores.get(name), name)
            _number(vector, f"score_{name}", None if value is None else scale(value), _SCORE_WEIGHT)
    return found


def _consequence(vector: np.ndarray, row: Annotation) -> None:
    groups = {f"consequence_{_GROUP[t]}" if t in _GROUP else "other_consequence" for t in row.terms}
    for group in groups:
        vector[_AT[group]] = _CONSEQUENCE_WEIGHT / math.sqrt(len(groups))
    if not groups:
        vector[_AT["consequence_missing"]] = _CONSEQUENCE_WEIGHT * _MISSING
    if row.impact is None:
        vector[_AT["impact_missing"]] = _IMPACT_WEIGHT * _MISSING
    elif row.impact in IMPACTS:
        vector[_AT[f"impact_{row.impact}"]] = _IMPACT_WEIGHT
    else:
        raise EmbedderError(f"no impact {row.impact!r}", f"Impacts are {', '.join(IMPACTS)}.")


def _change(vector: np.ndarray, ref: str, alt: str) -> None:
    kind = _type(ref, alt)
    vector[_AT[f"type_{kind}"]] = _TYPE_WEIGHT
    if kind == "SNV":
        vector[_AT["transition" if (ref in _PURINES) == (alt in _PURINES) else "transversion"]] = _SIZE_WEIGHT
    change = len(alt) - len(ref)
    if change:
        # A change of one base is half the block, so that small ones too differ from none.
        size = 0.5 + 0.5 * min(1.0, math.log2(abs(change)) / _LONGEST)
        vector[_AT["bases_gained" if change > 0 else "bases_lost"]] = _SIZE_WEIGHT * size
        vector[_AT["whole_codons"]] = _SIZE_WEIGHT * 0.5 * (change % 3 == 0)


def _type(ref: str, alt: str) -> str:
    """As store.variant.TYPE has it."""
    if len(ref) == len(alt):
        return "SNV" if len(ref) == 1 else "MNV"
    if len(ref) == 1 and alt[:1] == ref:
        return "INSERTION"
    return "DELETION" if len(alt) == 1 and ref[:1] == alt else "INDEL"


def _number(vector: np.ndarray, name: str, value: float | None, weight: float) -> None:
    if value is None:
        vector[_AT[f"{name}_missing"]] = weight * _MISSING
        return
    angle = min(1.0, max(0.0, value)) * math.pi / 2
    vector[_AT[f"{name}_low"]] = weight * math.cos(angle)
    vector[_AT[f"{name}_high"]] = weight * math.sin(angle)


def _finite(value: float | None, name: str) -> float | None:
    if value is not None and not math.isfinite(value):
        raise EmbedderError(f"{name} is {value}", "A value that is not known is left out, or None.")
    return value


def _unknown(given: Mapping[str, float | None], known: Sequence[str], what: str) -> None:
    for name in given:
        if name not in known:
            raise EmbedderError(f"no {what} {name!r} in this model", f"It has {', '.join(known)}.")
