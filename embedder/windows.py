"""Windows: the bases around a variant as the reference has them, and as they are with its ALT. Pure functions on text.

In: a variant as the store holds it (trimmed, left-aligned, an indel with one anchor base). Out: two sequences of equal
length with the variant's own bases marked, or the reason why there are none. The MT is taken as linear: a window at its
ends does not go on at the other one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

FLANK = 500
"""Bases on either side of a variant: a window is 2 * FLANK + 1 bases."""

MAX_N = 0.1
"""A window in which more than this share of the bases is unknown is skipped."""

_BASES = re.compile("[ACGT]+")
_UNKNOWN = re.compile("[^ACGT]")
_BREAKEND = re.compile(r".*[\[\]].*|\..+|.+\.")


class Skip(Enum):
    """Why a variant has no vector: names are stored, values are told to users."""

    SYMBOLIC = "symbolic ALT: no bases to read"
    BREAKEND = "breakend: no bases to read"
    SPANNING_DELETION = "ALT is *: the allele is that of another record"
    AMBIGUOUS = "an allele has bases other than A, C, G and T"
    NO_CHANGE = "ALT equals REF"
    TOO_LONG = "an allele is longer than the window"
    OUTSIDE = "the reference has no sequence there"
    REF_MISMATCH = "REF differs from the reference"
    EDGE = "the chromosome ends too close by for windows of equal length"
    TOO_MANY_N = "too many unknown bases (N) around it"
    NOT_FINITE = "the model gave no finite numbers (overflow)"
    NO_CONSEQUENCE = "no visible load tells of a consequence"
    NO_PROTEIN_CHANGE = "no visible consequence gives a change of a protein (HGVSp)"
    NO_PEPTIDE = "the FASTA has no sequence of the protein that HGVSp names, or one of another version"
    PEPTIDE_MISMATCH = "HGVSp differs from the protein's sequence"
    SYNONYMOUS = "the protein does not change"
    FRAMESHIFT = "frameshift: HGVSp does not give the new residues"
    START_LOST = "start lost: where translation begins instead is not known"
    EXTENSION = "stop lost: HGVSp does not give the residues that follow"
    UNKNOWN_CHANGE = "HGVSp says that the change is not known"
    NOT_EXACT = "HGVSp cannot be applied to a sequence exactly"
    TOO_MANY_X = "too many unknown residues (X) around it"

    @property
    def text(self) -> str:
        """What users are told."""
        return self.value


class Variant(NamedTuple):
    """A variant of the store: `chrom` is a code (1-25), `pos` is 1-based."""

    chrom: int
    pos: int
    ref: str
    alt: str


class Window(NamedTuple):
    """Both sequences, upper case, of equal length, and where the variant's own bases are in each.

    `start` is the 1-based position of the first base of both. Spans are 0-based and half-open within the window, begin at
    the same base, hold no anchor base, and are empty where that allele has no bases of its own (REF of an insertion, ALT
    of a deletion): then they lie between two bases.
    """

    start: int
    ref: str
    alt: str
    ref_span: tuple[int, int]
    alt_span: tuple[int, int]


def window(
    fetch: Callable[[int, int, int], str],
    length: Callable[[int], int],
    variant: Variant,
    flank: int = FLANK,
    max_n: float = MAX_N,
) -> Window | Skip:
    """The windows of a variant, 2 * `flank` + 1 bases each, or why there are none.

    `fetch(chrom, start, end)` gives the reference at 1-based inclusive positions, less of it where the chromosome ends,
    and `length(chrom)` the chromosome's length, 0 where there is none: the methods of store.reference.Reference.

    The longer allele (without its anchor) stands in the middle of the window. Both windows begin at the same base, so
    what comes before the variant is the same in both; the shorter allele's window reads on in the reference at its right
    end until both are equally long. On the right, because left-aligned indels are anchored on the left: the bases up to
    the variant keep their places, and a model's tokens of them too.

    At the ends of a chromosome both windows are shorter, and equally so; they are not shifted, since the variant would
    then stand elsewhere in the window than all others. Bases that are not A, C, G or T become N; where the reference
    does not know a base of the variant itself, REF is believed.
    """
    chrom, pos, ref, alt = variant.chrom, variant.pos, variant.ref.upper(), variant.alt.upper()
    if reason := _unusable(ref, alt):
        return reason
    last = length(chrom)
    if pos < 1 or pos + len(ref) - 1 > last:
        return Skip.OUTSIDE

    shared, own_ref, own_alt = own_letters(ref, alt)
    shortest, longest = sorted((len(own_ref), len(own_alt)))
    size = 2 * flank + 1
    if longest > size:
        return Skip.TOO_LONG
    expected = fetch(chrom, pos, pos + len(ref) - 1).upper()
    if any(a != b and _BASES.fullmatch(b) for a, b in zip(ref, expected, strict=True)):
        return Skip.REF_MISMATCH

    first, after = pos + shared, pos + shared + len(own_ref)
    wanted = first - flank + (longest - 1) // 2
    start = max(1, wanted)
    size -= start - wanted
    left = _known(fetch, chrom, start, first - 1)
    right = _known(fetch, chrom, after, min(last, start + size - 1 + len(own_ref) - shortest))
    size = min(size, len(left) + shortest + len(right))
    if size < len(left) + longest:
        return Skip.EDGE
    in_ref, in_alt = (left + own_ref + right)[:size], (left + own_alt + right)[:size]
    if max(in_ref.count("N"), in_alt.count("N")) > max_n * size:
        return Skip.TOO_MANY_N
    begin = len(left)
    return Window(start, in_ref, in_alt, (begin, begin + len(own_ref)), (begin, begin + len(own_alt)))


def _unusable(ref: str, alt: str) -> Skip | None:
    if _BASES.fullmatch(ref) and _BASES.fullmatch(alt):
        return Skip.NO_CHANGE if ref == alt else None
    if alt == "*":
        return Skip.SPANNING_DELETION
    if alt.startswith("<"):
        return Skip.SYMBOLIC
    return Skip.BREAKEND if _BREAKEND.fullmatch(alt) else Skip.AMBIGUOUS


def own_letters(ref: str, alt: str) -> tuple[int, str, str]:
    """How many letters the alleles share at their start, and what is left of each without those and those shared at the end."""
    shortest = min(len(ref), len(alt))
    start = 0
    while start < shortest and ref[start] == alt[start]:
        start += 1
    end = 0
    while end < shortest - start and ref[-1 - end] == alt[-1 - end]:
        end += 1
    return start, ref[start : len(ref) - end], alt[start : len(alt) - end]


def _known(fetch: Callable[[int, int, int], str], chrom: int, start: int, end: int) -> str:
    return _UNKNOWN.sub("N", fetch(chrom, start, end).upper()) if start <= end else ""
