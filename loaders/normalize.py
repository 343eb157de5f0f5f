"""Records to variants: one ALT each, lifted over where asked for, checked against the reference, trimmed and left-aligned (store/allele.py).

Comes in: the columns of a record. Goes out: its `Site`, and for each ALT there a normal form, or a `Rejected` that names the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from loaders.info import fields
from store.allele import left_align, trim
from store.assembly import NAMES, Assembly, chrom_code
from store.reference import Reference
from store.region import pos0

if TYPE_CHECKING:
    from loaders.lift import Lift

BAD_COLUMNS = "too few columns"
BAD_CONTIG = "contig outside 1-22, X, Y, MT"
BAD_POSITION = "POS is not a position"
BEYOND = "position beyond the contig"
BAD_ALLELE = "allele not of A, C, G, T, N"
SYMBOLIC = "symbolic ALT"
BREAKEND = "breakend"
NO_CHANGE = "ALT equals REF"
REF_MISMATCH = "REF differs from the reference"
NO_SEQUENCE = "indel where there is no reference sequence"
TOO_LARGE = "record of too many and too long ALTs"
SWAPPED = "REF and ALT are swapped in {}"
"""Reason, with the name of the assembly, where what is said of an ALT says nothing of the REF in its place."""

OVER_GAP = "REF spans a gap between the assemblies"
"""Also where an indel may be moved to the gap, so that it is another one beyond it."""

NOT_CHECKED = "REF not checked, no reference sequence there"

NOT_VARIANTS = {".": "no variant: no ALT", "*": "no variant: *", "<*>": "no variant: <*>", "<NON_REF>": "no variant: <NON_REF>"}
"""ALTs that name no allele of this site, and what they are counted as: nothing, an allele deleted by another record, any allele."""

MOST_ALTS = 10_000
"""ALTs of a record. Each becomes a variant, which repeats what the record says:"""

MOST_TEXT = 64 << 20
"""characters of REF, ALTs and INFO, times the number of ALTs."""

_BASES = frozenset("ACGT")
_ALLELE = re.compile("[ACGTN]+")
_BREAKEND = re.compile(r".*[\[\]].*|\..+|.+\.")
_COMPLEMENT = str.maketrans("ACGT", "TGCA")
_UNSEEN = (0, 0)
_SHOWN = 60
_WINDOW = 64  # bases looked at to the right at first; repeats that are longer double it


class Rejected(Exception):
    """A record or one ALT of it cannot be loaded: the reason, which is counted, and a detail, which is told."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def check_size(alts: int, size: int) -> None:
    """Raises Rejected for a record of so many ALTs, and of so many characters in all of REF, ALTs and INFO, that it would be too large taken apart."""
    if alts > MOST_ALTS or (alts > 1 and alts * size > MOST_TEXT):
        raise Rejected(TOO_LARGE, f"{alts:,} ALTs, {size:,} characters")


class Record:
    """One record as it stands in the file; `pos` is 1-based."""

    __slots__ = ("_info", "_info_text", "alts", "chrom", "filter", "id", "line", "pos", "qual", "ref")

    def __init__(self, line: int, chrom: str, pos: int, id: str, ref: str, alts: list[str], qual: str, filter: str, info: str) -> None:
        self.line, self.chrom, self.pos, self.id, self.ref, self.alts = line, chrom, pos, id, ref, alts
        self.qual, self.filter = qual, filter
        self._info_text = info
        self._info: dict[str, str | None] | None = None

    @property
    def info(self) -> dict[str, str | None]:
        """INFO in file order, None for a key without a value; read when it is first asked for."""
        if self._info is None:
            self._info = fields(self._info_text)
        return self._info


class Site(NamedTuple):
    """Where a record stands in the store's assembly, on the forward strand.

    `chrom` is a code, `pos` the 1-based position of the first base of `ref`, which is in upper case. Where the record was lifted over, `source` is
    CHROM:POS:REF as in the file, `reverse` tells that its alleles are of the other strand there, and `aligned` are the first and the last
    position of the aligned stretch that it lies in. `expected` is what the reference has, where that is not `ref`, but may be the ALT.
    """

    chrom: int
    pos: int
    ref: str
    source: str | None = None
    reverse: bool = False
    expected: str | None = None
    aligned: tuple[int, int] | None = None

    @property
    def swapped(self) -> bool:
        """True where the ALT of any variant that stands here is the reference's: it has the record's REF as its ALT."""
        return self.expected is not None

    def has(self, alt: str) -> bool:
        """True where an ALT, in upper case as in the file, is what the reference has in place of REF."""
        return self.expected == (reverse_complement(alt) if self.reverse else alt)

    def source_locus(self, alt: str) -> str | None:
        """CHROM:POS:REF:ALT as in the file, of a record that was lifted over."""
        return self.source and f"{self.source}:{alt}"


_made = tuple.__new__
"""Makes a Site as its own constructor does, without the handling of defaults: every record passes there that is read by itself."""


@dataclass
class Normalizer:
    """Brings alleles to their normal form. Without a reference, and only with `unnormalized`, indels are just trimmed.

    With `lift`, records are of its source assembly. With that or `swaps`, a REF may be what the reference does not have, where the ALT is;
    of another length only with `swaps` and without `lift`: where both are of one assembly, nothing else explains that.
    `warnings` counts what was loaded but could not be checked.
    """

    assembly: Assembly
    reference: Reference | None
    unnormalized: bool = False
    lift: Lift | None = field(default=None, kw_only=True)
    swaps: bool = field(default=False, kw_only=True)
    warnings: Counter[str] = field(default_factory=Counter)
    _chroms: dict[str, tuple[int, int]] = field(default_factory=dict)
    # The stretch of the reference that the last record fell into: chromosome, first position, bases.
    _chrom: int = 0
    _first: int = 0
    _text: str = ""

    def position(self, chrom: str, pos: str) -> Site:
        """The site of a record that names no alleles, by its chromosome and position as written. Raises Rejected."""
        code, number = self._locus(chrom, pos)
        if self.lift is None:
            return Site(code, number, "")
        lifted = self.lift.locus(code, number, name=chrom)
        return Site(lifted.chrom, lifted.pos, "", f"{chrom}:{pos}", lifted.reverse)

    def site(self, chrom: str, pos: str, ref: str) -> Site:
        """The site of a record, by its chromosome, position and REF as written.

        Raises Rejected where there is none, or REF is not what the reference has there.
        """
        # Every record that is read by itself passes here: only the first of a contig, and what is wrong, needs another call.
        code, length = self._chroms.get(chrom, _UNSEEN)
        if not (pos.isdecimal() and len(pos) < 10 and 0 < (number := int(pos)) <= length):
            code, number = self._locus(chrom, pos)
        upper = ref.upper()
        if self.lift is not None:
            if not _ALLELE.fullmatch(upper):
                raise _bad_ref(ref)
            lifted = self.lift.locus(code, number, len(upper), chrom)
            upper = reverse_complement(upper) if lifted.reverse else upper
            expected = self._expected(lifted.chrom, lifted.pos, upper)
            return Site(lifted.chrom, lifted.pos, upper, f"{chrom}:{pos}:{ref}", lifted.reverse, expected, (lifted.first, lifted.last))
        start = number - self._first
        if code == self._chrom and start >= 0 and self._text[start : start + len(upper)] == upper != "":
            return _made(Site, (code, number, upper, None, False, None, None))
        return Site(code, number, upper, expected=self._expected(code, number, upper))

    def normal(self, site: Site, alt: str) -> tuple[int, int, str, str]:
        """The normal form (chromosome, pos, ref, alt) of one ALT, in upper case as the file has it, of the record of a site. Raises Rejected."""
        chrom, pos, ref, _, reverse, expected, stretch = site
        if ref in _BASES and alt in _BASES and ref != alt and not reverse and expected is None:
            return chrom, pos, ref, alt
        if not _ALLELE.fullmatch(alt):
            raise _not_bases(alt)
        if reverse:
            alt = reverse_complement(alt)
        if ref == alt:
            raise Rejected(NO_CHANGE)
        if expected is not None:
            if alt != (expected if len(alt) == len(ref) else self._of_length(len(alt), site)):
                raise _mismatch(expected)
            ref, alt = alt, ref
        if len(ref) == len(alt):
            return chrom, *trim(pos, ref, alt)
        if (reference := self.reference) and pos + len(ref) - 1 <= reference.length(chrom):

            def fetch(start: int, end: int) -> str:
                return reference.fetch(chrom, start, end)

            aligned = left_align(pos, ref, alt, fetch)
            if _BASES.issuperset(aligned[1]) and aligned[2]:
                if stretch is not None:
                    first, last = _context(*aligned, fetch)
                    if first < stretch[0] or min(last, self.assembly.length(chrom)) > stretch[1]:
                        raise Rejected(OVER_GAP, f"what it is depends on {NAMES[chrom - 1]}:{first}-{last} of {self.assembly.name}")
                return chrom, *aligned
        if self.unnormalized and stretch is None:
            return chrom, *trim(pos, ref, alt)
        raise Rejected(NO_SEQUENCE, "give a --reference that has it, or load with --unnormalized")

    def _of_length(self, bases: int, site: Site) -> str | None:
        """What the reference has in place of REF, in so many bases; None where that does not tell whether REF and ALT are swapped.

        Of what is lifted over it does not: of a deletion whose REF is not there the ALT mostly is, as it is but the base before, and the
        assemblies differ in what is deleted.
        """
        if self.lift is not None or self.reference is None:
            return None
        return self.reference.fetch(site.chrom, site.pos, site.pos + bases - 1)

    def chromosome(self, name: str) -> tuple[int, int]:
        """The code of a chromosome by its name as written, and its length in the assembly of the file; (0, 0) for other contigs."""
        found = self._chroms.get(name)
        if found is None:
            if (code := chrom_code(name)) is None:
                return _UNSEEN
            found = self._chroms[name] = code, self.written.length(code)
        return found

    def agrees(self, chrom: np.ndarray, pos: np.ndarray, base: np.ndarray) -> np.ndarray:
        """(n,) bool, whether the reference has a base (n, of A, C, G, T in ASCII) at each of n positions, 1-based, on chromosomes (codes); without a reference
        true. Where it is false, `site` tells why."""
        reference, found = self.reference, np.ones(len(pos), bool)
        if reference is None or not len(pos):
            return found
        window = pos0(pos) // reference.bases
        stretch = (chrom << 32) + window
        for each in np.unique(stretch).tolist():
            here = np.flatnonzero(stretch == each)
            first, text = reference.window(int(chrom[here[0]]), int(pos[here[0]]))
            at = pos[here] - first
            inside = at < len(text)
            found[here] = inside
            found[here[inside]] = np.frombuffer(text.encode("ascii", "replace"), np.uint8)[at[inside]] == base[here[inside]]
        return found

    def _locus(self, chrom: str, pos: str) -> tuple[int, int]:
        """(chromosome code, 1-based position) in the assembly of the file. Raises Rejected."""
        code, length = self.chromosome(chrom)
        if not code:
            raise Rejected(BAD_CONTIG, chrom[:_SHOWN])
        number = int(pos) if pos.isdecimal() and len(pos) < 10 else 0
        if number > length:
            raise Rejected(BEYOND, _beyond(self.written, code))
        if number == 0:
            raise Rejected(BAD_POSITION, f"{pos[:_SHOWN]!r}; positions are whole numbers from 1")
        return code, number

    @property
    def written(self) -> Assembly:
        """The assembly of the file."""
        return self.assembly if self.lift is None else self.lift.source

    def _expected(self, chrom: int, pos: int, ref: str) -> str | None:
        """Checks a REF (upper case). None where the reference has it, or nothing; else what it has. Raises Rejected, also for that unless `swaps`."""
        if not _ALLELE.fullmatch(ref):
            raise _bad_ref(ref)
        if pos + len(ref) - 1 > self.assembly.length(chrom):
            raise Rejected(BEYOND, f"REF reaches to {pos + len(ref) - 1}; {_beyond(self.assembly, chrom)}")
        if self.reference is None:
            return None
        self._chrom = chrom
        self._first, self._text = self.reference.window(chrom, pos)
        expected = self.reference.fetch(chrom, pos, pos + len(ref) - 1)
        if expected == ref:
            return None
        if not all(a == b or b not in _BASES for a, b in zip(ref, expected, strict=False)):
            if (self.swaps or self.lift is not None) and len(expected) == len(ref):
                return expected
            raise _mismatch(expected)
        if self.lift is not None:
            raise Rejected(NOT_CHECKED, "what is lifted over has to agree with the reference: give a --reference that has it")
        self.warnings[NOT_CHECKED] += 1
        return None


def reverse_complement(bases: str) -> str:
    """The same bases, of A, C, G, T and N in upper case, as read on the other strand."""
    return bases.translate(_COMPLEMENT)[::-1]


def _context(pos: int, ref: str, alt: str, fetch: Callable[[int, int], str]) -> tuple[int, int]:
    """The first and the last position, 1-based, that decide what alleles of unlike length, left-aligned, are: of an inserted or deleted sequence
    all places where it may stand as well, and the base on either side; `fetch` is as in `store.allele.left_align`."""
    longer, shorter = (ref, alt) if len(ref) > len(alt) else (alt, ref)
    if len(shorter) > 1 or shorter not in (longer[0], longer[-1]):
        return max(1, pos - 1), pos + len(ref)
    before = longer[0] == shorter  # else it begins its chromosome, and the base that both have is after it
    sequence = longer[1:] if before else longer[:-1]
    begin = pos + before
    beyond = begin + len(sequence) if longer is ref else begin
    # It may be moved one base to the right where the base after it is its first, that is, as long as what follows repeats with its period.
    end, window = beyond, _WINDOW
    while more := fetch(end, end + window - 1):
        for base in more:
            if base != sequence[(end - beyond) % len(sequence)]:
                return pos, end
            end += 1
        window *= 2
    return pos, end


def _beyond(assembly: Assembly, chrom: int) -> str:
    return f"{NAMES[chrom - 1]} has {assembly.length(chrom):,} bases in {assembly.name}"


def _mismatch(expected: str) -> Rejected:
    return Rejected(REF_MISMATCH, f"the reference has {expected[:_SHOWN]}")


def _bad_ref(ref: str) -> Rejected:
    return Rejected(BAD_ALLELE, f"REF {ref[:_SHOWN]!r}")


def _not_bases(alt: str) -> Rejected:
    if alt.startswith("<"):
        return Rejected(SYMBOLIC, alt[:_SHOWN])
    if _BREAKEND.fullmatch(alt):
        return Rejected(BREAKEND, alt[:_SHOWN])
    return Rejected(BAD_ALLELE, f"ALT {alt[:_SHOWN]!r}")
