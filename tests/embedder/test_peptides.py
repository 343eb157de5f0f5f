"""Peptides: by example, and by their properties on random proteins and changes that are written as HGVS here."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from embedder.peptides import FLANK, LETTERS, peptides
from embedder.windows import Skip, Window

#          12345678901234567890
PROTEIN = "MKTAYIAKQRQISFVKSHFS"
THREE = {one: three for three, one in LETTERS.items()}


@pytest.mark.parametrize(
    ("hgvs", "expected"),
    [
        ("p.Arg10Trp", Window(7, "AKQRQIS", "AKQWQIS", (3, 4), (3, 4))),
        ("p.(Arg10Trp)", Window(7, "AKQRQIS", "AKQWQIS", (3, 4), (3, 4))),
        ("p.R10W", Window(7, "AKQRQIS", "AKQWQIS", (3, 4), (3, 4))),
        ("p.Arg10delinsTrp", Window(7, "AKQRQIS", "AKQWQIS", (3, 4), (3, 4))),
        # ALT reads on at its right end.
        ("p.Gln9_Gln11del", Window(7, "AKQRQIS", "AKISFVK", (2, 5), (2, 2))),
        ("p.Arg10del", Window(7, "AKQRQIS", "AKQQISF", (3, 4), (3, 3))),
        ("p.Arg10_Gln11insTrp", Window(8, "KQRQISF", "KQRWQIS", (3, 3), (3, 4))),
        ("p.Arg10dup", Window(8, "KQRQISF", "KQRRQIS", (3, 3), (3, 4))),
        ("p.Gln9_Arg10dup", Window(8, "KQRQISF", "KQRQRQI", (3, 3), (3, 5))),
        ("p.Gln9_Arg10delinsTrpTrpTrp", Window(7, "AKQRQIS", "AKWWWQI", (2, 4), (2, 5))),
        # As SnpEff writes it.
        ("p.GlnArg9TrpHis", Window(6, "IAKQRQI", "IAKWHQI", (3, 5), (3, 5))),
        ("p.QR9WH", Window(6, "IAKQRQI", "IAKWHQI", (3, 5), (3, 5))),
        ("p.GlnArg9TrpTer", Window(6, "IAKQRQI", "IAKW", (3, 7), (3, 4))),
        # What both alleles have is nobody's own.
        ("p.Gln9_Arg10delinsGlnTrp", Window(7, "AKQRQIS", "AKQWQIS", (3, 4), (3, 4))),
        ("p.Met1delinsMetVal", Window(1, "MKTAY", "MVKTA", (1, 1), (1, 2))),
        # A stop takes all that follows.
        ("p.Arg10Ter", Window(7, "AKQRQIS", "AKQ", (3, 7), (3, 3))),
        ("p.Arg10*", Window(7, "AKQRQIS", "AKQ", (3, 7), (3, 3))),
        ("p.Gln9_Arg10insTrpTer", Window(7, "AKQRQIS", "AKQW", (3, 7), (3, 4))),
        ("p.Gln9_Arg10delinsTrpTer", Window(6, "IAKQRQI", "IAKW", (3, 7), (3, 4))),
        ("p.Arg10_Ter21delinsTrpTer", Window(7, "AKQRQIS", "AKQW", (3, 7), (3, 4))),
        ("p.Ser20_Ter21insTrp", Window(18, "HFS", "HFSW", (3, 3), (3, 4))),
        # The stop is new: what stands before it is not the protein's end, though it looks so.
        ("p.Arg10delinsSerTer", Window(7, "AKQRQIS", "AKQS", (3, 7), (3, 4))),
        # The protein ends where it ends.
        ("p.Lys2Arg", Window(1, "MKTAY", "MRTAY", (1, 2), (1, 2))),
        ("p.Lys2del", Window(1, "MKTAY", "MTAYI", (1, 2), (1, 1))),
        ("p.Ser20Thr", Window(17, "SHFS", "SHFT", (3, 4), (3, 4))),
        ("p.Ser20del", Window(17, "SHFS", "SHF", (3, 4), (3, 3))),
        ("p.Ser20dup", Window(18, "HFS", "HFSS", (3, 3), (3, 4))),
        ("p.His18_Phe19insTrp", Window(16, "KSHFS", "KSHWFS", (3, 3), (3, 4))),
        ("p.Ser20Ter", Window(17, "SHFS", "SHF", (3, 4), (3, 3))),
        ("p.Lys2Ter", Window(1, "MKTAY", "M", (1, 5), (1, 1))),
    ],
)
def test_peptides_hold_the_change_in_their_middle(hgvs: str, expected: Window) -> None:
    assert peptides(PROTEIN, hgvs, flank=3) == expected


@pytest.mark.parametrize(
    ("hgvs", "reason"),
    [
        ("p.Arg10ProfsTer23", Skip.FRAMESHIFT),
        ("p.Arg10fs", Skip.FRAMESHIFT),
        ("p.(Arg10Profs*2)", Skip.FRAMESHIFT),
        ("p.Ter21GlnextTer?", Skip.EXTENSION),
        ("p.Met1ext-5", Skip.START_LOST),
        ("p.M1Vext-12", Skip.START_LOST),
        ("p.Met12ext-5", Skip.EXTENSION),
        ("p.Ser20_Ter21delinsTrp", Skip.EXTENSION),
        ("p.Ter21Gln", Skip.EXTENSION),
        ("p.Ser20_Ter21del", Skip.EXTENSION),
        ("p.Met1?", Skip.START_LOST),
        ("p.M1?", Skip.START_LOST),
        ("p.0", Skip.START_LOST),
        ("p.0?", Skip.START_LOST),
        ("p.Met1Val", Skip.START_LOST),
        ("p.Met1_Lys2del", Skip.START_LOST),
        ("p.?", Skip.UNKNOWN_CHANGE),
        ("p.(Gly?)", Skip.UNKNOWN_CHANGE),
        ("p.Arg10Xaa", Skip.UNKNOWN_CHANGE),
        ("p.=", Skip.SYNONYMOUS),
        ("p.(=)", Skip.SYNONYMOUS),
        ("p.Arg10=", Skip.SYNONYMOUS),
        ("c.30G>A(p.=)", Skip.SYNONYMOUS),  # as VEP wrote it before release 86
        ("p.Arg10Arg", Skip.SYNONYMOUS),
        ("p.Met1Met", Skip.SYNONYMOUS),
        ("p.Gln9_Arg10delinsGlnArg", Skip.SYNONYMOUS),
        ("p.Ter21=", Skip.SYNONYMOUS),
        ("p.Ter21Ter", Skip.SYNONYMOUS),
        ("p.Ser20_Ter21delinsSerTer", Skip.SYNONYMOUS),
        ("p.Gln10Trp", Skip.PEPTIDE_MISMATCH),
        ("p.Ser21Trp", Skip.PEPTIDE_MISMATCH),
        ("p.Lys200Trp", Skip.PEPTIDE_MISMATCH),
        ("p.Lys7_Arg10dup", Skip.PEPTIDE_MISMATCH),
        ("p.Gln9_Lys10insTrp", Skip.PEPTIDE_MISMATCH),
        ("p.Ser19_Ter20delinsTrpTer", Skip.PEPTIDE_MISMATCH),
        ("p.Gln9_Arg10insTrpTrpTrpTrpTrpTrpTrp", Skip.TOO_LONG),
        ("p.Lys2_Lys8del", Skip.TOO_LONG),
        ("", Skip.NOT_EXACT),
        ("p.", Skip.NOT_EXACT),
        ("p.Arg10", Skip.NOT_EXACT),
        ("p.Arg10[23]", Skip.NOT_EXACT),
        ("p.[Arg10Trp;Lys8Arg]", Skip.NOT_EXACT),
        ("p.Arg10Zzz", Skip.NOT_EXACT),
        ("p.Arg10TrpTrp", Skip.NOT_EXACT),
        ("p.GlnArg9Trp", Skip.NOT_EXACT),
        ("p.GlnArg9TrpTrpTrp", Skip.NOT_EXACT),
        ("p.GlnArg9TerTrp", Skip.NOT_EXACT),
        ("p.GlnArg9TrpZzz", Skip.NOT_EXACT),
        ("p.GlnArg9TrpXaa", Skip.UNKNOWN_CHANGE),
        ("p.GlnLys9TrpTrp", Skip.PEPTIDE_MISMATCH),
        ("p.MetLys1ValLys", Skip.START_LOST),
        ("p.Arg10_Gln11TrpTrp", Skip.NOT_EXACT),
        ("p.Arg10delTrp", Skip.NOT_EXACT),
        ("p.Arg10delins", Skip.NOT_EXACT),
        ("p.Gln9_Gln11insTrp", Skip.NOT_EXACT),
        ("p.Gln11_Arg10del", Skip.NOT_EXACT),
        ("p.Arg0Trp", Skip.NOT_EXACT),
        ("p.Arg10delinsTerTrp", Skip.NOT_EXACT),
    ],
)
def test_what_has_no_peptides_says_why(hgvs: str, reason: Skip) -> None:
    assert peptides(PROTEIN, hgvs, flank=3) is reason
    assert reason.text


def test_a_protein_of_which_nothing_is_left_has_no_peptides() -> None:
    assert peptides("AKT", "p.Ala1Ter") is Skip.START_LOST
    assert peptides("AKT", "p.Ala1_Thr3del") is Skip.START_LOST
    assert peptides("AKT", "p.Ala1del") == Window(1, "AKT", "KT", (0, 1), (0, 0))


def test_a_peptide_is_of_1021_residues_and_the_positions_of_esm2_hold_it() -> None:
    found = peptides("M" + "ACDEFGHIKL" * 300, "p.Ala1502Trp")
    assert isinstance(found, Window)
    assert (FLANK, found.start, len(found.ref), found.ref_span) == (510, 992, 1021, (510, 511))
    assert len(found.ref) + 2 <= 1024


def test_unknown_residues_are_believed_and_too_many_leave_no_peptide() -> None:
    assert peptides(PROTEIN[:9] + "X" + PROTEIN[10:], "p.Arg10Trp", flank=3) == peptides(PROTEIN, "p.Arg10Trp", flank=3)
    assert peptides("MAXDEF", "p.Cys3dup") == Window(1, "MACDEF", "MACCDEF", (3, 3), (3, 4))
    assert peptides("MAXDEF", "p.Ala2_Ter3insGly") is Skip.PEPTIDE_MISMATCH, "a residue that is not known is no stop"
    text = "A" * 9 + "R" + "A" * 9
    for n in range(1, 8):
        found = peptides("X" * n + text[n:], "p.Arg10Trp", flank=9)
        assert (found is Skip.TOO_MANY_X) == (n > 0.1 * 19)


residues = st.text("ACDEFGHIKLMNPQRSTVWY", min_size=1, max_size=8)


def three(text: str) -> str:
    return "".join(THREE[letter] for letter in text)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, str, str, int]:
    """A protein, a change of it as HGVS, what the protein then is, and a flank."""
    sequence = "M" + draw(st.text("ACDEFGHIKLMNPQRSTVWY", min_size=3, max_size=80))
    start = draw(st.integers(2, len(sequence)))
    end = min(len(sequence), start + draw(st.integers(0, 8)))
    before, lost, after = sequence[: start - 1], sequence[start - 1 : end], sequence[end:]
    place = f"{THREE[lost[0]]}{start}" + (f"_{THREE[lost[-1]]}{end}" if end > start else "")
    kind = draw(st.sampled_from(["substitution", "stop", "del", "dup", "ins", "delins", "delins stop"]))
    new = draw(residues)
    if kind in ("substitution", "stop"):
        new = new[0] if kind == "substitution" else "*"
        written, changed = f"{THREE[lost[0]]}{start}{THREE[new]}", before + new + sequence[start:]
    elif kind == "del":
        written, changed = f"{place}del", before + after
    elif kind == "dup":
        written, changed = f"{place}dup", before + lost + lost + after
    elif kind == "ins":
        written = f"{THREE[sequence[start - 2]]}{start - 1}_{THREE[lost[0]]}{start}ins{three(new)}"
        changed = before + new + lost + after
    else:
        new += "*" if kind == "delins stop" else ""
        written, changed = f"{place}delins{three(new)}", before + new + after
    return sequence, f"p.{written}", changed.partition("*")[0], draw(st.integers(1, 20))


@given(cases())
def test_peptides_are_what_the_protein_and_the_changed_protein_have_there(case: tuple[str, str, str, int]) -> None:
    sequence, hgvs, changed, flank = case
    found = peptides(sequence, hgvs, flank)
    if sequence == changed:
        assert found is Skip.SYNONYMOUS
        return
    assume(found is not Skip.TOO_LONG)
    assert isinstance(found, Window), found
    size = 2 * flank + 1
    assert 0 < len(found.ref) <= size
    assert 0 < len(found.alt) <= size
    # Each is a stretch of its protein from the same residue on: as long as the other, or to its own end.
    assert found.ref == sequence[found.start - 1 :][: len(found.ref)]
    assert found.alt == changed[found.start - 1 :][: len(found.alt)]
    longest = max(len(found.ref), len(found.alt))
    for peptide, whole in ((found.ref, sequence), (found.alt, changed)):
        assert len(peptide) == longest or found.start - 1 + len(peptide) == len(whole)

    (begin, end), (alt_begin, alt_end) = found.ref_span, found.alt_span
    assert begin == alt_begin
    assert begin <= end <= len(found.ref)
    assert begin <= alt_end <= len(found.alt)
    assert found.ref[:begin] == found.alt[:begin]
    own_ref, own_alt = found.ref[begin:end], found.alt[begin:alt_end]
    assert not (own_ref and own_alt and own_ref[0] == own_alt[0])
    assert own_ref or own_alt
    # Pooled are the change's own residues, or those beside it: there is one on the left at least.
    assert begin > 0 or (own_ref and own_alt)


@given(cases())
def test_far_from_the_ends_peptides_are_equally_long_unless_a_stop_comes(case: tuple[str, str, str, int]) -> None:
    sequence, hgvs, _, flank = case
    margin = "ACDEFGHIKLMNPQRSTVWY" * 3
    moved = "p." + "".join(part if not part.isdigit() else str(int(part) + len(margin)) for part in _parts(hgvs[2:]))
    found = peptides(margin + sequence + margin, moved, flank)
    if isinstance(found, Skip):
        assert found in (Skip.SYNONYMOUS, Skip.TOO_LONG)
    else:
        assert len(found.ref) == 2 * flank + 1
        assert len(found.alt) == 2 * flank + 1 or "Ter" in hgvs


def _parts(text: str) -> list[str]:
    parts = [""]
    for letter in text:
        if parts[-1] and parts[-1][-1].isdigit() != letter.isdigit():
            parts.append("")
        parts[-1] += letter
    return parts
