"""Peptides: the residues around a change of a protein, as its sequence has them and as they are after the change. Pure functions on text.

In: a change as HGVS writes it (p.Val41Ile; den Dunnen et al. 2016) and the protein's sequence in one-letter code. Out: two peptides with the
changed residues marked, as embedder/windows.py has them for bases, or the reason why there are none. Residues are counted from 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from embedder.windows import Skip, Window, own_letters

FLANK = 510
"""Residues on either side of a change: with the two special tokens of ESM-2, 1,023 of the 1,024 positions that it was trained on."""

MAX_X = 0.1
"""A peptide of which more than this share of the residues is unknown is skipped."""

UNKNOWN = "X"

# fmt: off
LETTERS = {
    "Ala": "A", "Arg": "R", "Asn": "N", "Asp": "D", "Cys": "C", "Gln": "Q", "Glu": "E", "Gly": "G", "His": "H", "Ile": "I", "Leu": "L",
    "Lys": "K", "Met": "M", "Phe": "F", "Pro": "P", "Ser": "S", "Thr": "T", "Trp": "W", "Tyr": "Y", "Val": "V", "Sec": "U", "Pyl": "O",
    "Asx": "B", "Glx": "Z", "Xaa": UNKNOWN, "Ter": "*",
}
# fmt: on
"""One-letter codes (IUPAC-IUB 1983, HGVS); Ter is the stop."""

_RESIDUE = "[A-Z][a-z]{2}|[A-Z*]"
_CHANGE = re.compile(
    rf"(?P<first>{_RESIDUE})(?P<start>\d+)(?:_(?P<last>{_RESIDUE})(?P<end>\d+))?"
    rf"(?P<kind>delins|del|dup|ins|)(?P<residues>(?:{_RESIDUE})*)"
)
_RUN = re.compile(rf"(?P<lost>(?:{_RESIDUE}){{2,}})(?P<start>\d+)(?P<residues>(?:{_RESIDUE}){{2,}})")


class Change(NamedTuple):
    """What becomes of a protein: residues `start` to `end` (`end` is `start` - 1 for an insertion before `start`) give way to `inserted`, and
    where `stops` is set the protein ends behind these. `expected` are residues by place that the sequence must have."""

    start: int
    end: int
    inserted: str
    stops: bool
    expected: tuple[tuple[int, str], ...]


def change(hgvs: str, sequence: str) -> Change | Skip:
    """The change that HGVS says, without the accession, of the protein of this sequence: p.Val41Ile, p.Glu6Ter, p.Lys23_Val25del, p.Lys23dup,
    p.Lys2_Met3insGlnSer, p.Cys28delinsTrpVal; in three letters or one, with parentheses or without; and SnpEff's p.MetLys997ArgGlu.

    What says no residues says why: frameshifts, extensions, lost starts, p.?, p.=. Changes that are not written so (repeats, alleles of several) are
    NOT_EXACT. The sequence is needed for duplications alone; that it has the residues expected is `peptides` to check.
    """
    text = hgvs.strip().removeprefix("p.").replace("(", "").replace(")", "")
    if reason := _without_residues(text):
        return reason
    if run := _RUN.fullmatch(text):
        return _of_run(run)
    found = _CHANGE.fullmatch(text)
    if found is None:
        return Skip.NOT_EXACT
    start, first, kind = int(found["start"]), _letter(found["first"]), found["kind"]
    end, last = (start, first) if found["end"] is None else (int(found["end"]), _letter(found["last"]))
    residues = _letters(found["residues"])
    if first is None or last is None or residues is None or start < 1 or end < start:
        return Skip.NOT_EXACT
    if not _written_well(kind, start, end, residues, whole=found["end"] is None):
        return Skip.NOT_EXACT
    inserted, stop, behind = residues.partition("*")
    if behind:
        return Skip.NOT_EXACT
    if first == "*":
        return Skip.SYNONYMOUS if residues == "*" else Skip.EXTENSION
    if last == "*" and not stop and kind != "ins":
        return Skip.EXTENSION
    if start == 1 and first == "M" and kind not in ("ins", "dup") and not residues.startswith("M"):
        return Skip.START_LOST
    if UNKNOWN in inserted:
        return Skip.UNKNOWN_CHANGE
    expected = ((start, first), (end, last))
    if kind == "ins":
        return Change(end, start, inserted, bool(stop), expected)
    if kind == "dup":
        return Change(end + 1, end, _believed(sequence, expected)[start - 1 : end], False, expected)
    return Change(start, end, inserted, bool(stop), expected)


def _believed(sequence: str, expected: Sequence[tuple[int, str]]) -> str:
    """A sequence with the residues that HGVS names where it does not know its own."""
    for place, letter in expected:
        if sequence[place - 1 : place] == UNKNOWN:
            sequence = sequence[: place - 1] + letter + sequence[place:]
    return sequence


def _of_run(run: re.Match[str]) -> Change | Skip:
    """The change of several neighbours, each named."""
    start, lost, new = int(run["start"]), _letters(run["lost"]), _letters(run["residues"])
    if lost is None or new is None or len(lost) != len(new) or start < 1 or "*" in lost or "*" in new[:-1]:
        return Skip.NOT_EXACT
    if start == 1 and lost[0] == "M" != new[0]:
        return Skip.START_LOST
    if UNKNOWN in new:
        return Skip.UNKNOWN_CHANGE
    return Change(start, start + len(lost) - 1, new.removesuffix("*"), new.endswith("*"), tuple(enumerate(lost, start)))


def _without_residues(text: str) -> Skip | None:
    if "fs" in text:
        return Skip.FRAMESHIFT
    if re.match(r"(Met|M)1(?!\d).*ext", text):  # a start before the first one
        return Skip.START_LOST
    if "ext" in text:
        return Skip.EXTENSION
    if text in ("0", "0?") or re.fullmatch(r"(Met|M)1\?", text):
        return Skip.START_LOST
    if text.endswith("="):
        return Skip.SYNONYMOUS
    return Skip.UNKNOWN_CHANGE if "?" in text else None


def _written_well(kind: str, start: int, end: int, residues: str, whole: bool) -> bool:
    """Whether a kind of change has the places and residues that it takes: `whole` where one residue is named, not a range."""
    if kind in ("del", "dup"):
        return not residues
    if kind == "ins":
        return end == start + 1 and bool(residues)
    return bool(residues) if kind == "delins" else whole and len(residues) == 1


def _letters(residues: str) -> str | None:
    found = [_letter(residue) for residue in re.findall(_RESIDUE, residues)]
    return None if None in found else "".join(letter or "" for letter in found)


def _letter(residue: str) -> str | None:
    return residue if len(residue) == 1 else LETTERS.get(residue)


def peptides(sequence: str, hgvs: str, flank: int = FLANK, max_x: float = MAX_X) -> Window | Skip:
    """The peptides of a change, up to 2 * `flank` + 1 residues each (`flank` from 1 on), or why there are none. `sequence` is upper case, without a stop.

    As with bases, both begin at the same residue, the longer allele stands in the middle, and the shorter allele's peptide reads on in the
    sequence until both are equally long. Unlike a chromosome, a protein ends near by: there each peptide ends where its protein does, so that
    those of an insertion, a deletion or a stop may differ in length. A stop is the loss of all that follows, to the end of the window.

    Where the sequence does not know a residue (X), HGVS is believed.
    """
    found = change(hgvs, sequence)
    if isinstance(found, Skip):
        return found
    for place, letter in found.expected:
        ours = f"{sequence}*"[place - 1 : place]
        if ours != letter and (ours != UNKNOWN or letter == "*"):
            return Skip.PEPTIDE_MISMATCH
    sequence = _believed(sequence, found.expected)
    lost = sequence[found.start - 1 : None if found.stops else found.end]
    # A new stop is not the protein's own: what stands before both is not shared, though it be the same.
    shared, own_ref, own_alt = own_letters(lost, found.inserted + "*" * found.stops)
    own_alt = own_alt.removesuffix("*")
    if own_ref == own_alt:
        return Skip.SYNONYMOUS
    size = 2 * flank + 1
    # What a stop takes away is more than the residue that it stands for; the window is cut around that one.
    longest = max(1, len(own_alt)) if found.stops else max(len(own_ref), len(own_alt))
    if longest >= size:  # a neighbour on the left at least is what an empty allele is pooled over
        return Skip.TOO_LONG
    first = found.start + shared
    wanted = first - flank + (longest - 1) // 2
    start = max(1, wanted)
    size -= start - wanted
    left, right = sequence[start - 1 : first - 1], sequence[first - 1 + len(own_ref) :]
    in_ref, in_alt = (left + own_ref + right)[:size], (left + own_alt + right)[:size]
    if not in_alt:
        return Skip.START_LOST
    if any(peptide.count(UNKNOWN) > max_x * len(peptide) for peptide in (in_ref, in_alt)):
        return Skip.TOO_MANY_X
    begin = len(left)
    return Window(start, in_ref, in_alt, (begin, min(begin + len(own_ref), len(in_ref))), (begin, begin + len(own_alt)))
