"""The annotation model: its layout, and that cosine similarity says of vectors what one would say of the variants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.errors import EmbedderError
from embedder.models import annotation
from embedder.models.annotation import CONSEQUENCES, DIMENSION, DIMENSIONS, FREQUENCIES, IMPACTS, INPUTS, SCORES, Annotation, vectors
from store.consequence import TERMS, Impact

MISSENSE = Annotation("C", "T", ("missense_variant",), "MODERATE", {"ALL": 1e-4}, {"CADD_PHRED": 26.0, "REVEL": 0.8})


def cosine(one: Annotation, other: Annotation) -> float:
    a, b = vectors([one, other]).astype(float)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def named(row: Annotation) -> dict[str, float]:
    """The dimensions of a vector that are not 0."""
    return {name: float(x) for name, x in zip(DIMENSIONS, vectors([row])[0], strict=True) if x}


def test_the_layout_of_version_1_stands() -> None:
    """Who changes it raises VERSION: stored vectors would mean something else."""
    assert (annotation.VERSION, DIMENSION, len(set(DIMENSIONS))) == ("1", 70, 70)
    assert DIMENSIONS[:3] == ("consequence_transcript_loss_or_gain", "consequence_splice_acceptor", "consequence_splice_donor")
    assert DIMENSIONS[23:30] == (
        "other_consequence", "consequence_missing", "impact_HIGH", "impact_MODERATE", "impact_LOW", "impact_MODIFIER", "impact_missing",
    )  # fmt: skip
    assert DIMENSIONS[40:43] == ("frequency_ALL_low", "frequency_ALL_high", "frequency_ALL_missing")
    assert DIMENSIONS[-1] == "score_SpliceAI_missing"
    assert not any("clinical" in name for name in INPUTS)


def test_every_group_holds_terms_that_the_store_knows_each_once() -> None:
    grouped = [term for terms in CONSEQUENCES.values() for term in terms]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) <= {term for terms in TERMS.values() for term in terms}
    assert tuple(impact.name for impact in Impact) == IMPACTS
    # All that may change a protein or a transcript is in a group of its own.
    assert {term for impact in (Impact.HIGH, Impact.MODERATE, Impact.LOW) for term in TERMS[impact]} <= set(grouped)


def test_a_vector_is_what_its_names_say() -> None:
    found = named(MISSENSE)
    assert found.pop("consequence_missense") == 1
    assert found.pop("impact_MODERATE") == pytest.approx(0.7)
    assert found.pop("type_SNV") == found.pop("transition") == 0.5
    third, half, sixth = 1 / 3 * np.pi / 2, 0.5, 6**-0.5
    assert (found.pop("frequency_ALL_low"), found.pop("frequency_ALL_high")) == pytest.approx(
        (sixth * np.cos(third), sixth * np.sin(third))
    )
    cadd = 0.52 * np.pi / 2
    assert (found.pop("score_CADD_PHRED_low"), found.pop("score_CADD_PHRED_high")) == pytest.approx(
        (half * np.cos(cadd), half * np.sin(cadd))
    )
    assert (found.pop("score_REVEL_low"), found.pop("score_REVEL_high")) == pytest.approx(
        (half * np.cos(0.4 * np.pi), half * np.sin(0.4 * np.pi))
    )
    assert found == pytest.approx(
        {f"frequency_{p}_missing": sixth / 2 for p in FREQUENCIES[1:]} | {f"score_{s}_missing": 0.25 for s in ("AlphaMissense", "SpliceAI")}
    )


@pytest.mark.parametrize(
    ("ref", "alt", "expected"),
    [
        ("A", "G", {"type_SNV": 0.5, "transition": 0.5}),
        ("T", "c", {"type_SNV": 0.5, "transition": 0.5}),
        ("A", "C", {"type_SNV": 0.5, "transversion": 0.5}),
        ("AC", "GT", {"type_MNV": 0.5}),
        ("A", "AC", {"type_INSERTION": 0.5, "bases_gained": 0.25}),
        ("ACCC", "A", {"type_DELETION": 0.5, "bases_lost": 0.25 + 0.25 * np.log2(3) / 10, "whole_codons": 0.25}),
        ("ACG", "TT", {"type_INDEL": 0.5, "bases_lost": 0.25}),
        ("A", "A" * 5000, {"type_INSERTION": 0.5, "bases_gained": 0.5}),
    ],
)
def test_the_change_of_bases_has_type_and_size(ref: str, alt: str, expected: dict[str, float]) -> None:
    found = {name: x for name, x in named(Annotation(ref, alt)).items() if "missing" not in name}
    assert found == pytest.approx(expected)


def test_terms_of_several_groups_share_the_weight_of_one() -> None:
    found = named(Annotation("A", "C", ("missense_variant", "splice_region_variant", "splice_branch_variant", "own_term")))
    assert {name: x for name, x in found.items() if "consequence" in name} == pytest.approx(
        dict.fromkeys(("consequence_missense", "consequence_splice_region", "other_consequence"), 3**-0.5)
    )


def test_missing_is_not_zero() -> None:
    bare = MISSENSE._replace(frequencies={}, scores={})
    never = MISSENSE._replace(frequencies=dict.fromkeys(FREQUENCIES, 0.0), scores=dict.fromkeys(SCORES, 0.0))
    none = MISSENSE._replace(frequencies=dict.fromkeys(FREQUENCIES, None), scores=dict.fromkeys(SCORES, None))
    assert np.array_equal(*vectors([bare, none]))
    overlap = set(named(bare)) & set(named(never))
    assert overlap == {"consequence_missense", "impact_MODERATE", "type_SNV", "transition"}


def test_likeness_falls_with_every_difference_and_is_ordered_as_one_would() -> None:
    alike = MISSENSE._replace(ref="G", alt="A", scores={"CADD_PHRED": 25.0, "REVEL": 0.75})
    milder = alike._replace(scores={"CADD_PHRED": 10.0, "REVEL": 0.1})
    common = milder._replace(frequencies={"ALL": 0.4})
    synonymous = common._replace(terms=("synonymous_variant",), impact="LOW")
    deletion = Annotation("CTTT", "C", ("intron_variant",), "MODIFIER", {"ALL": 0.4}, {"CADD_PHRED": 1.0})
    order = [MISSENSE, alike, milder, common, synonymous, deletion]
    found = [cosine(MISSENSE, other) for other in order]
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(1)
    assert found[1] > 0.99
    assert found[2] > 0.8
    assert found[4] < 0.6
    assert found[5] < 0.3


def test_frequencies_are_compared_by_their_magnitudes() -> None:
    rows = [MISSENSE._replace(frequencies=dict.fromkeys(FREQUENCIES, f)) for f in (1e-6, 1e-5, 1e-3, 0.1, 1.0)]
    found = [cosine(rows[1], row) for row in rows]
    assert found[1] == max(found)
    assert found[1:] == sorted(found[1:], reverse=True)
    assert cosine(rows[3], rows[4]) == pytest.approx(
        cosine(rows[0], MISSENSE._replace(frequencies=dict.fromkeys(FREQUENCIES, 1e-5))), abs=1e-6
    )


fraction = st.none() | st.floats(0, 1)


@given(
    st.builds(
        Annotation,
        st.text("ACGT", min_size=1, max_size=20),
        st.text("ACGT", min_size=1, max_size=20),
        st.lists(st.sampled_from([t for terms in TERMS.values() for t in terms])),
        st.none() | st.sampled_from(IMPACTS),
        st.dictionaries(st.sampled_from(FREQUENCIES), fraction),
        st.dictionaries(st.sampled_from(list(SCORES)), st.none() | st.floats(-1e6, 1e6)),
    )
)
def test_vectors_are_finite_never_zero_and_depend_on_nothing_else(row: Annotation) -> None:
    (alone,) = vectors([row])
    together = vectors([MISSENSE, row, row])
    assert alone.dtype == np.float32
    assert np.isfinite(alone).all()
    assert 0.5 <= np.linalg.norm(alone) <= 2.1
    assert np.array_equal(together[1], alone)
    assert np.array_equal(together[2], alone)


def test_no_variants_give_no_vectors() -> None:
    assert vectors([]).shape == (0, DIMENSION)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frequencies": {"ALL": 1.1}}, "frequency 1.1 in ALL"),
        ({"frequencies": {"ALL": -0.1}}, "between 0 and 1"),
        ({"frequencies": {"ALL": float("nan")}}, "ALL is nan"),
        ({"scores": {"REVEL": float("inf")}}, "REVEL is inf"),
        ({"frequencies": {"GBR": 0.1}}, "no frequency 'GBR' in this model"),
        ({"scores": {"PHRED": 0.1}}, "no score 'PHRED' in this model"),
        ({"impact": "SEVERE"}, "no impact 'SEVERE'"),
    ],
)
def test_values_that_cannot_be_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(EmbedderError, match=said):
        vectors([MISSENSE._replace(**changes)])
