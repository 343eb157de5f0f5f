"""Severity and impact of consequence terms."""

from __future__ import annotations

from pathlib import Path

from store.consequence import LAST, LAST_DAMAGING, TERMS, Impact, impact, severity, worst

# Ensembl's table of calculated consequences, release 110 and later, from top to bottom.
ENSEMBL = [
    "transcript_ablation",
    "splice_acceptor_variant",
    "splice_donor_variant",
    "stop_gained",
    "frameshift_variant",
    "stop_lost",
    "start_lost",
    "transcript_amplification",
    "feature_elongation",
    "feature_truncation",
    "inframe_insertion",
    "inframe_deletion",
    "missense_variant",
    "protein_altering_variant",
    "splice_donor_5th_base_variant",
    "splice_region_variant",
    "splice_donor_region_variant",
    "splice_polypyrimidine_tract_variant",
    "incomplete_terminal_codon_variant",
    "start_retained_variant",
    "stop_retained_variant",
    "synonymous_variant",
    "coding_sequence_variant",
    "mature_miRNA_variant",
    "5_prime_UTR_variant",
    "3_prime_UTR_variant",
    "non_coding_transcript_exon_variant",
    "intron_variant",
    "NMD_transcript_variant",
    "non_coding_transcript_variant",
    "coding_transcript_variant",
    "upstream_gene_variant",
    "downstream_gene_variant",
    "TFBS_ablation",
    "TFBS_amplification",
    "TF_binding_site_variant",
    "regulatory_region_ablation",
    "regulatory_region_amplification",
    "regulatory_region_variant",
    "intergenic_variant",
    "sequence_variant",
]


def test_terms_are_in_ensembls_order_of_severity() -> None:
    assert len(ENSEMBL) == 41
    ranks = [severity(term) for term in ENSEMBL]
    assert ranks == sorted(set(ranks))
    assert ranks[-1] == LAST


def test_impacts_are_ensembls() -> None:
    groups = {
        "transcript_ablation": "HIGH",
        "feature_truncation": "HIGH",
        "inframe_insertion": "MODERATE",
        "protein_altering_variant": "MODERATE",
        "splice_donor_5th_base_variant": "LOW",
        "synonymous_variant": "LOW",
        "coding_sequence_variant": "MODIFIER",
        "TFBS_ablation": "MODIFIER",
    }
    assert {term: impact(term).name for term in groups} == groups
    assert [int(i) for i in Impact] == [1, 2, 3, 4]


def test_terms_of_snpeff_have_snpeffs_impact() -> None:
    assert impact("disruptive_inframe_deletion") == Impact.MODERATE
    assert impact("structural_interaction_variant") == Impact.HIGH
    assert impact("5_prime_UTR_premature_start_codon_gain_variant") == Impact.LOW
    assert impact("intergenic_region") == Impact.MODIFIER


def test_a_term_is_listed_once() -> None:
    terms = [term for group in TERMS.values() for term in group]
    assert len(terms) == len(set(terms)) == LAST


def test_an_unknown_term_comes_last_and_is_a_modifier() -> None:
    assert (severity("no_such_variant"), impact("no_such_variant")) == (LAST, Impact.MODIFIER)
    assert worst([]) == (LAST, Impact.MODIFIER)


def test_the_worst_of_several_terms_counts() -> None:
    assert worst(["intron_variant", "splice_region_variant"]) == (severity("splice_region_variant"), Impact.LOW)


def test_the_index_of_damaging_consequences_has_the_number_of_their_terms() -> None:
    migration = (Path(__file__).parents[2] / "store" / "migrations" / "0003.variant.sql").read_text()
    assert f"WHERE impact <= 2 OR severity <= {LAST_DAMAGING};" in migration
    assert severity(TERMS[Impact.MODERATE][-1]) == LAST_DAMAGING
