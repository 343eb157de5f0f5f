"""Windows: by example, and by their properties on random chromosomes and variants."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from embedder.windows import FLANK, Skip, Variant, Window, window

# 1-based:    12345678901234567890
CHROMOSOME = "ACGTACGTTTGGCCAATTCA"

Fetch = Callable[[int, int, int], str]


def of(text: str) -> tuple[Fetch, Callable[[int], int]]:
    """fetch and length of a genome with one chromosome, 20; as store.reference.Reference has them."""
    return lambda chrom, start, end: text[start - 1 : end] if chrom == 20 else "", lambda chrom: len(text) if chrom == 20 else 0


@pytest.mark.parametrize(
    ("pos", "ref", "alt", "expected"),
    [
        (10, "T", "C", Window(7, "GTTTGGC", "GTTCGGC", (3, 4), (3, 4))),
        (10, "TG", "CA", Window(7, "GTTTGGC", "GTTCAGC", (3, 5), (3, 5))),
        # The bases that are lost are in the middle, the anchor before them; ALT reads on at its right end.
        (10, "TGG", "T", Window(8, "TTTGGCC", "TTTCCAA", (3, 5), (3, 3))),
        (10, "T", "TAAA", Window(9, "TTGGCCA", "TTAAAGG", (2, 2), (2, 5))),
        (9, "TTGG", "CA", Window(7, "GTTTGGC", "GTCACCA", (2, 6), (2, 4))),
        # At the start of the chromosome the anchor comes after the bases of an indel.
        (1, "AC", "C", Window(1, "ACGT", "CGTA", (0, 1), (0, 0))),
        (1, "A", "GA", Window(1, "ACGT", "GACG", (0, 0), (0, 1))),
    ],
)
def test_windows_hold_the_variant_in_their_middle(pos: int, ref: str, alt: str, expected: Window) -> None:
    assert window(*of(CHROMOSOME), Variant(20, pos, ref, alt), flank=3) == expected


@pytest.mark.parametrize(
    ("pos", "ref", "alt", "expected"),
    [
        (1, "A", "G", Window(1, "ACGT", "GCGT", (0, 1), (0, 1))),
        (2, "C", "G", Window(1, "ACGTA", "AGGTA", (1, 2), (1, 2))),
        (20, "A", "G", Window(17, "TTCA", "TTCG", (3, 4), (3, 4))),
    ],
)
def test_windows_at_the_ends_of_a_chromosome_are_shorter(pos: int, ref: str, alt: str, expected: Window) -> None:
    assert window(*of(CHROMOSOME), Variant(20, pos, ref, alt), flank=3) == expected


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        (Variant(20, 10, "T", "<DEL>"), Skip.SYMBOLIC),
        (Variant(20, 10, "T", "<*>"), Skip.SYMBOLIC),
        (Variant(20, 10, "T", "T[20:15["), Skip.BREAKEND),
        (Variant(20, 10, "T", "]20:15]T"), Skip.BREAKEND),
        (Variant(20, 10, "T", ".T"), Skip.BREAKEND),
        (Variant(20, 10, "T", "*"), Skip.SPANNING_DELETION),
        (Variant(20, 10, "T", "N"), Skip.AMBIGUOUS),
        (Variant(20, 10, "T", "."), Skip.AMBIGUOUS),
        (Variant(20, 10, "T", ""), Skip.AMBIGUOUS),
        (Variant(20, 10, "N", "T"), Skip.AMBIGUOUS),
        (Variant(20, 10, "T", "T"), Skip.NO_CHANGE),
        (Variant(20, 10, "T", "t"), Skip.NO_CHANGE),
        (Variant(20, 10, "T", "TAAAAAAAA"), Skip.TOO_LONG),
        (Variant(20, 10, "TGGCCAATT", "T"), Skip.TOO_LONG),
        (Variant(20, 21, "T", "C"), Skip.OUTSIDE),
        (Variant(20, 20, "AT", "A"), Skip.OUTSIDE),
        (Variant(20, 0, "A", "C"), Skip.OUTSIDE),
        (Variant(25, 10, "T", "C"), Skip.OUTSIDE),
        (Variant(20, 10, "G", "C"), Skip.REF_MISMATCH),
        (Variant(20, 10, "TGA", "T"), Skip.REF_MISMATCH),
        (Variant(20, 19, "CA", "C"), Skip.EDGE),
        (Variant(20, 20, "A", "AGG"), Skip.EDGE),
    ],
)
def test_what_has_no_windows_says_why(variant: Variant, reason: Skip) -> None:
    assert window(*of(CHROMOSOME), variant, flank=3) is reason
    assert reason.text


def test_an_allele_as_long_as_the_window_fills_it() -> None:
    found = window(*of(CHROMOSOME), Variant(20, 10, "T", "TAAAAAAA"), flank=3)
    assert found == Window(11, "GGCCAAT", "AAAAAAA", (0, 0), (0, 7))


def test_a_snv_has_a_window_of_1001_bases() -> None:
    text = "ACGT" * 1000
    found = window(*of(text), Variant(20, 2001, "A", "C"))
    assert isinstance(found, Window)
    assert (FLANK, found.start, len(found.ref), found.ref_span) == (500, 1501, 1001, (500, 501))


def test_soft_masked_bases_and_alleles_are_upper_case() -> None:
    assert window(*of(CHROMOSOME.lower()), Variant(20, 10, "t", "c"), flank=3) == Window(7, "GTTTGGC", "GTTCGGC", (3, 4), (3, 4))


def test_unknown_bases_become_n_and_too_many_of_them_leave_no_window() -> None:
    text = list("ACGT" * 25)
    variant = Variant(20, 51, "G", "A")
    for n, place in enumerate(range(0, 20, 2), 1):
        text[30 + place] = "R" if n % 2 else "n"
        found = window(*of("".join(text)), variant, flank=50, max_n=5 / 100)
        assert (found is Skip.TOO_MANY_N) == (n > 5)
    found = window(*of("".join(text)), variant, flank=50, max_n=0.1)
    assert isinstance(found, Window)
    assert found.ref.count("N") == found.alt.count("N") == 10
    assert set(found.ref) == set("ACGTN")


def test_where_the_reference_does_not_know_a_base_ref_is_believed() -> None:
    text = CHROMOSOME[:9] + "N" + CHROMOSOME[10:]
    assert window(*of(text), Variant(20, 10, "T", "C"), flank=5) == window(*of(CHROMOSOME), Variant(20, 10, "T", "C"), flank=5)


bases = st.text("ACGT", min_size=1, max_size=12)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, Variant, int]:
    """A chromosome, a variant of it as the store holds it (one anchor base for indels), and a flank."""
    text = draw(st.text("ACGTacgt", min_size=1, max_size=120))
    pos = draw(st.integers(1, len(text)))
    ref = text[pos - 1 : pos - 1 + draw(st.integers(1, 12))].upper()
    kind = draw(st.sampled_from(["same length", "insertion", "deletion", "any"]))
    if kind == "same length":
        alt = draw(st.text("ACGT", min_size=len(ref), max_size=len(ref)))
    elif kind == "insertion":
        ref, alt = ref[0], ref[0] + draw(bases)
    elif kind == "deletion":
        alt = ref[0]
    else:
        alt = draw(bases)
    assume(ref != alt)
    return text, Variant(20, pos, ref, alt), draw(st.integers(0, 20))


@given(cases())
def test_windows_are_what_the_reference_and_the_changed_reference_have_there(case: tuple[str, Variant, int]) -> None:
    text, variant, flank = case
    found = window(*of(text), variant, flank)
    assume(isinstance(found, Window))
    assert isinstance(found, Window)
    changed = text[: variant.pos - 1] + variant.alt + text[variant.pos - 1 + len(variant.ref) :]
    size = len(found.ref)
    assert len(found.alt) == size <= 2 * flank + 1
    assert found.ref == text.upper()[found.start - 1 :][:size]
    assert found.alt == changed.upper()[found.start - 1 :][:size]

    (begin, end), (alt_begin, alt_end) = found.ref_span, found.alt_span
    assert begin == alt_begin
    assert max(end, alt_end) <= size
    replaced = found.ref[:begin] + found.alt[alt_begin:alt_end] + found.ref[end:]
    common = min(len(replaced), size)
    assert replaced[:common] == found.alt[:common]
    # The spans hold the change and nothing that both have: no anchor, no base that could be left out at either side.
    own_ref, own_alt = found.ref[begin:end], found.alt[begin:alt_end]
    assert not (own_ref and own_alt and (own_ref[0] == own_alt[0] or own_ref[-1] == own_alt[-1]))
    assert len(own_alt) - len(own_ref) == len(variant.alt) - len(variant.ref)


@given(cases())
def test_the_variant_back_has_the_same_windows_the_other_way_round(case: tuple[str, Variant, int]) -> None:
    text, variant, flank = case
    changed = text[: variant.pos - 1] + variant.alt + text[variant.pos - 1 + len(variant.ref) :]
    there = window(*of(text), variant, flank)
    back = window(*of(changed), Variant(20, variant.pos, variant.alt, variant.ref), flank)
    if isinstance(there, Skip) or isinstance(back, Skip):
        assert there == back
    else:
        assert back == Window(there.start, there.alt, there.ref, there.alt_span, there.ref_span)


@given(cases())
def test_only_the_ends_of_the_chromosome_make_windows_shorter(case: tuple[str, Variant, int]) -> None:
    text, variant, flank = case
    margin = "ACGTT" * 10
    moved = Variant(20, variant.pos + len(margin), variant.ref, variant.alt)
    found = window(*of(margin + text + margin), moved, flank)
    if found is Skip.TOO_LONG:
        assert max(len(variant.ref), len(variant.alt)) > 2 * flank + 1
    else:
        assert isinstance(found, Window)
        assert len(found.ref) == 2 * flank + 1
        # As many bases on either side of the longer allele, to the base.
        longest = max(found.ref_span[1], found.alt_span[1]) - found.ref_span[0]
        assert found.ref_span[0] - (2 * flank + 1 - found.ref_span[0] - longest) in (0, 1)
