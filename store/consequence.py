"""Sequence Ontology terms for what a variant does to a transcript: how severe each is, and its impact.

The order and the impacts are Ensembl's ("Calculated variant consequences", release 110 and later); terms that only SnpEff writes stand
among their equals with the impact SnpEff gives them (its EffectType). An annotator's own IMPACT field has precedence over this table.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Impact(IntEnum):
    """Ensembl's four groups of terms, as stored in transcript_consequence.impact."""

    HIGH = 1
    MODERATE = 2
    LOW = 3
    MODIFIER = 4


# fmt: off
TERMS: dict[Impact, tuple[str, ...]] = {
    Impact.HIGH: (
        "chromosome_number_variation", "transcript_ablation", "feature_ablation", "exon_loss_variant", "gene_fusion",
        "bidirectional_gene_fusion", "rearranged_at_DNA_level", "splice_acceptor_variant", "splice_donor_variant", "stop_gained",
        "frameshift_variant", "stop_lost", "start_lost", "transcript_amplification", "feature_elongation", "feature_truncation",
        "rare_amino_acid_variant", "protein_protein_contact", "structural_interaction_variant",
    ),
    Impact.MODERATE: (
        "duplication", "inversion", "inframe_insertion", "disruptive_inframe_insertion", "conservative_inframe_insertion",
        "inframe_deletion", "disruptive_inframe_deletion", "conservative_inframe_deletion", "missense_variant",
        "protein_altering_variant", "5_prime_UTR_truncation", "3_prime_UTR_truncation",
    ),
    Impact.LOW: (
        "splice_donor_5th_base_variant", "splice_region_variant", "splice_donor_region_variant", "splice_polypyrimidine_tract_variant",
        "splice_branch_variant", "incomplete_terminal_codon_variant", "start_retained_variant", "initiator_codon_variant",
        "non_canonical_start_codon", "start_retained", "stop_retained_variant", "synonymous_variant",
        "5_prime_UTR_premature_start_codon_gain_variant", "feature_fusion",
    ),
    Impact.MODIFIER: (
        "coding_sequence_variant", "mature_miRNA_variant", "miRNA", "5_prime_UTR_variant", "3_prime_UTR_variant",
        "non_coding_transcript_exon_variant", "non_coding_exon_variant", "exon_region", "exon_variant",
        "conserved_intron_variant", "intron_variant", "NMD_transcript_variant", "non_coding_transcript_variant", "nc_transcript_variant",
        "coding_transcript_variant",
        "transcript_variant", "intragenic_variant", "gene_variant", "upstream_gene_variant", "downstream_gene_variant", "TFBS_ablation",
        "TFBS_amplification", "TF_binding_site_variant", "regulatory_region_ablation", "regulatory_region_amplification",
        "regulatory_region_variant", "sequence_feature", "conserved_intergenic_variant", "intergenic_variant", "intergenic_region",
        "custom", "chromosome", "sequence_variant",
    ),
}
# fmt: on
"""Every known term by impact, the most severe first."""

_RANKS = {term: rank for rank, term in enumerate((t for terms in TERMS.values() for t in terms), 1)}
_IMPACTS = {term: impact for impact, terms in TERMS.items() for term in terms}
LAST = len(_RANKS)
"""The severity of the least severe term, and of every unknown one."""


LAST_DAMAGING = len(TERMS[Impact.HIGH]) + len(TERMS[Impact.MODERATE])
"""The severity of the least severe term of impact MODERATE; the index transcript_consequence_damaging has this number."""


def severity(term: str) -> int:
    """Rank of a term: 1 is the most severe. Unknown terms come last."""
    return _RANKS.get(term, LAST)


def impact(term: str) -> Impact:
    """Impact of a term. Unknown terms are MODIFIER."""
    return _IMPACTS.get(term, Impact.MODIFIER)


def worst(terms: Iterable[str]) -> tuple[int, Impact]:
    """(severity, impact) of the most severe of the terms; of an unknown term where there are none."""
    terms = list(terms)
    return min(map(severity, terms), default=LAST), min(map(impact, terms), default=Impact.MODIFIER)
