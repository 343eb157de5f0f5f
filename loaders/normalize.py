"""Records to variants: one ALT each, checked against the reference, trimmed and left-aligned (store/allele.py).

Comes in: the columns of a record. Goes out: for each ALT a normal form, or a `Rejected` that names the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from loaders.info import fields
from store.allele import left_align, trim
from store.assembly import NAMES, Assembly, chrom_code
from store.reference import Reference

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

NOT_CHECKED = "REF not checked, no reference sequence there"

NOT_VARIANTS = {".": "no variant: no ALT", "*": "no variant: *", "<*>": "no variant: <*>", "<NON_REF>": "no variant: <NON_REF>"}
"""ALTs that name no allele of this site, and what they are counted as: nothing, an allele deleted by another record, any allele."""

_BASES = frozenset("ACGT")
_ALLELE = re.compile("[ACGTN]+")
_BREAKEND = re.compile(r".*[\[\]].*|\..+|.+\.")
_SHOWN = 60


class Rejected(Exception):
    """A record or one ALT of it cannot be loaded: the reason, which is counted, and a detail, which is told."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


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


@dataclass
class Normalizer:
    """Brings alleles to their normal form. Without a reference, and only with `unnormalized`, indels are just trimmed.

    `warnings` counts what was loaded but could not be checked.
    """

    assembly: Assembly
    reference: Reference | None
    unnormalized: bool = False
    warnings: Counter[str] = field(default_factory=Counter)
    _chroms: dict[str, tuple[int, int]] = field(default_factory=dict)
    # The stretch of the reference that the last record fell into: chromosome, first position, bases.
    _chrom: int = 0
    _first: int = 0
    _text: str = ""

    def locus(self, chrom: str, pos: str) -> tuple[int, int]:
        """(chromosome code, 1-based position) of a record's first two columns. Raises Rejected."""
        found = self._chroms.get(chrom)
        if found is None:
            code = chrom_code(chrom)
            if code is None:
                raise Rejected(BAD_CONTIG, chrom[:_SHOWN])
            found = self._chroms[chrom] = code, self.assembly.length(code)
        code, length = found
        number = int(pos) if pos.isdecimal() and len(pos) < 10 else 0
        if number > length:
            raise Rejected(BEYOND, self._beyond(code))
        if number == 0:
            raise Rejected(BAD_POSITION, f"{pos[:_SHOWN]!r}; positions are whole numbers from 1")
        return code, number

    def check_ref(self, chrom: int, pos: int, ref: str) -> None:
        """Checks the REF (upper case) of a record. Raises Rejected where it is not what the reference has there."""
        start = pos - self._first
        if chrom == self._chrom and start >= 0 and self._text[start : start + len(ref)] == ref:
            return
        if not _ALLELE.fullmatch(ref):
            raise Rejected(BAD_ALLELE, f"REF {ref[:_SHOWN]!r}")
        if pos + len(ref) - 1 > self.assembly.length(chrom):
            raise Rejected(BEYOND, f"REF reaches to {pos + len(ref) - 1}; {self._beyond(chrom)}")
        if self.reference is None:
            return
        self._chrom = chrom
        self._first, self._text = self.reference.window(chrom, pos)
        expected = self.reference.fetch(chrom, pos, pos + len(ref) - 1)
        if expected == ref:
            return
        if not all(a == b or b not in _BASES for a, b in zip(ref, expected, strict=False)):
            raise Rejected(REF_MISMATCH, f"the reference has {expected[:_SHOWN]}")
        self.warnings[NOT_CHECKED] += 1

    def normal(self, chrom: int, pos: int, ref: str, alt: str) -> tuple[int, str, str]:
        """The normal form (pos, ref, alt) of one ALT of a record whose REF was checked. Raises Rejected."""
        if ref in _BASES and alt in _BASES and ref != alt:
            return pos, ref, alt
        if not _ALLELE.fullmatch(alt):
            raise _not_bases(alt)
        if ref == alt:
            raise Rejected(NO_CHANGE)
        if len(ref) == len(alt):
            return trim(pos, ref, alt)
        if (reference := self.reference) and pos + len(ref) - 1 <= reference.length(chrom):
            aligned = left_align(pos, ref, alt, lambda start, end: reference.fetch(chrom, start, end))
            if _BASES.issuperset(aligned[1]) and aligned[2]:
                return aligned
        if self.unnormalized:
            return trim(pos, ref, alt)
        raise Rejected(NO_SEQUENCE, "give a --reference that has it, or load with --unnormalized")

    def _beyond(self, chrom: int) -> str:
        return f"{NAMES[chrom - 1]} has {self.assembly.length(chrom):,} bases in {self.assembly.name}"


def _not_bases(alt: str) -> Rejected:
    if alt.startswith("<"):
        return Rejected(SYMBOLIC, alt[:_SHOWN])
    if _BREAKEND.fullmatch(alt):
        return Rejected(BREAKEND, alt[:_SHOWN])
    return Rejected(BAD_ALLELE, f"ALT {alt[:_SHOWN]!r}")
