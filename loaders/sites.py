"""The first eight columns of a block of VCF records, and which of its ALTs are variants.

Comes in: lines as bytes. Goes out: the columns, and the variants by columns. Records that change one base for another are nearly all
there are: these are looked at together; every other record is read by itself (normalize.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loaders.normalize import BAD_COLUMNS, NOT_VARIANTS, Normalizer, Rejected, check_size
from store.assembly import NAMES
from store.copy import Reject
from store.region import pos0
from store.variant_key import encode, encode_one

COLUMNS = 8
"""CHROM POS ID REF ALT QUAL FILTER INFO."""

CHROM, POS, ID, REF, ALT, QUAL, FILTER, INFO = range(COLUMNS)

_BASES = "ACGT"
_CODE = np.full(256, len(_BASES), np.int64)
_CODE[[*_BASES.encode()]] = range(len(_BASES))
_PAIRS = [(ref, alt) for ref in _BASES for alt in _BASES]
_POS_SHIFT = 31  # of a VariantKey (store/variant_key.py)
_POS_DIGITS = 10  # fewer, in a position
_SHOWN_ROW = 1000

LONGEST_LOCUS = 2_000
"""Characters of a locus as written with all its ALTs; of longer ones just the ALT's own is kept."""


class Sites:
    """The records of a block, by their place in it.

    `columns` are (r,) pa.StringArray, one for each of `COLUMNS`, of empty strings where `whole` (r,) bool is false: there, a line is empty or has fewer
    columns. `empty` (r,) bool are empty lines, which are no records.
    """

    def __init__(self, data: bytes, first: int) -> None:
        """`data` are lines in UTF-8, whose columns behind the eighth are not looked at; `first` is the number of the first."""
        self.first = first
        text = np.frombuffer(data, np.uint8)
        marks = np.flatnonzero((text == ord("\t")) | (text == ord("\n")))
        ends = text[marks] == ord("\n")
        self._short: dict[int, str] = {}
        lines = int(np.count_nonzero(ends)) + 1
        self.whole, self.empty = np.ones(lines, bool), np.zeros(lines, bool)
        if len(marks) + 1 != lines * COLUMNS or not ends[COLUMNS - 1 :: COLUMNS].all():
            data = b"\n".join(self._cut(place, line) for place, line in enumerate(data.split(b"\n")))
        fields = pc.split_pattern(pa.array([data.replace(b"\n", b"\t")], pa.string()), "\t").values
        self.columns = [fields.take(pa.array(np.arange(column, len(fields), COLUMNS))) for column in range(COLUMNS)]

    def __len__(self) -> int:
        return len(self.whole)

    def row(self, place: int) -> str:
        """A record as it stands in the file, of a sensible length."""
        text = self._short[place] if place in self._short else "\t".join(column[place].as_py() for column in self.columns)
        return text[:_SHOWN_ROW]

    def width(self, place: int) -> int:
        """How many columns a record has, of those that are looked at."""
        return self._short[place].count("\t") + 1 if place in self._short else COLUMNS

    def _cut(self, place: int, line: bytes) -> bytes:
        columns = line.split(b"\t", COLUMNS)
        if len(columns) >= COLUMNS:
            return b"\t".join(columns[:COLUMNS])
        self.whole[place], self.empty[place] = False, not line
        self._short[place] = line.decode()
        return b"\t" * (COLUMNS - 1)


class Variants(NamedTuple):
    """The variants of a block, in the order of its records and their ALTs.

    `record` (v,) is the place of the record in the block, `allele` (v,) the number of the ALT, from 1, `locus` CHROM:POS:REF:ALTs as written where
    normalisation or splitting changed them, else null. The lists are in the order of the records too, each item with the place of its record: ALTs
    that are no variants and no fault by name, rejects, and by reason what was odd.
    """

    record: np.ndarray
    allele: np.ndarray
    key: np.ndarray
    chrom: np.ndarray
    pos: np.ndarray
    ref: pa.StringArray
    alt: pa.StringArray
    locus: pa.StringArray
    skipped: list[tuple[int, str]]
    rejects: list[tuple[int, Reject]]
    odd: list[tuple[int, str]]


def variants(sites: Sites, normalizer: Normalizer, faults: Mapping[int, Rejected]) -> Variants:
    """The variants of a block. `faults` says, by place, why a record must not be loaded even if it has some."""
    plain = _plain(sites, normalizer)
    plain.there[[*faults]] = False
    singly = _Singly(sites, normalizer, faults)
    singly.read(np.flatnonzero(~plain.there & ~sites.empty))
    place = np.flatnonzero(plain.there)
    pair = plain.pair[place]
    chrom, pos = plain.chrom[place], plain.pos[place]
    first = np.zeros((len(NAMES) + 1, len(_PAIRS)), np.int64)
    for code in np.unique(chrom).tolist():
        first[code] = [encode_one(code, 1, ref, alt) for ref, alt in _PAIRS]
    both = Variants(
        place,
        np.ones(len(place), np.int16),
        first[chrom, pair] + (pos0(pos) << _POS_SHIFT),
        chrom,
        pos,
        sites.columns[REF].filter(pa.array(plain.there)),
        sites.columns[ALT].filter(pa.array(plain.there)),
        pa.nulls(len(place), pa.string()),
        singly.skipped,
        singly.rejects,
        singly.odd,
    )
    return _merged(both, singly.found) if singly.found else both


class _Plain(NamedTuple):
    """(r,) arrays: which records change one base for another, and of these chromosome code, 1-based position and number in `_PAIRS`."""

    there: np.ndarray
    chrom: np.ndarray
    pos: np.ndarray
    pair: np.ndarray


def _plain(sites: Sites, normalizer: Normalizer) -> _Plain:
    """Finds the records of which nothing has to be known but that the reference agrees: upper-case bases, a position on its chromosome."""
    if normalizer.lift is not None:
        nothing = np.zeros(len(sites), np.int64)
        return _Plain(np.zeros(len(sites), bool), nothing, nothing, nothing)
    names = sites.columns[CHROM].dictionary_encode()
    known = np.array([normalizer.chromosome(name) for name in names.dictionary.to_pylist()])
    chrom, length = known[names.indices.to_numpy()].T
    digits = sites.columns[POS]
    digits = pc.if_else(pc.and_(pc.ascii_is_decimal(digits), pc.less(pc.binary_length(digits), _POS_DIGITS)), digits, "0")
    pos = digits.cast(pa.int64()).to_numpy()
    ref, alt = _letters(sites.columns[REF]), _letters(sites.columns[ALT])
    there = (pos > 0) & (pos <= length) & (_CODE[ref] < len(_BASES)) & (_CODE[alt] < len(_BASES)) & (ref != alt)
    at = np.flatnonzero(there)
    there[at] = normalizer.agrees(chrom[at], pos[at], ref[at])
    return _Plain(there, chrom, pos, len(_BASES) * _CODE[ref] + _CODE[alt])


def _letters(texts: pa.StringArray) -> np.ndarray:
    """(n,) uint8 characters of texts of one character, else 0."""
    _, offsets, data = texts.buffers()
    begin = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    letters = np.append(np.frombuffer(data or b"", np.uint8), np.uint8(0))[begin[:-1]]
    return np.where(np.diff(begin) == 1, letters, np.uint8(0))


class _Singly:
    """Reads records one by one. `found` are variants: place, ALT number, what it is in normal form, and its source locus."""

    def __init__(self, sites: Sites, normalizer: Normalizer, faults: Mapping[int, Rejected]) -> None:
        self.found: list[tuple[int, int, tuple[int, int, str, str], str | None]] = []
        self.skipped: list[tuple[int, str]] = []
        self.rejects: list[tuple[int, Reject]] = []
        self.odd: list[tuple[int, str]] = []
        self._sites, self._normalizer, self._faults = sites, normalizer, faults

    def read(self, places: np.ndarray) -> None:
        """Reads the records at these places, in this order."""
        columns = (self._sites.columns[column].take(pa.array(places)).to_pylist() for column in (CHROM, POS, REF, ALT))
        sizes = pc.binary_length(self._sites.columns[INFO].take(pa.array(places))).to_pylist()
        for place, size, chrom, pos, ref, alts in zip(places.tolist(), sizes, *columns, strict=True):
            try:
                if not self._sites.whole[place]:
                    raise Rejected(BAD_COLUMNS, f"{self._sites.width(place)} of at least {COLUMNS}")
                check_size(alts.count(",") + 1, size + len(ref) + len(alts))
                self._read(place, chrom, pos, ref, alts)
            except Rejected as why:
                self._reject(place, why)
            if odd := self._normalizer.warnings:
                self.odd += ((place, reason) for reason in odd.elements())
                odd.clear()

    def _read(self, place: int, chrom: str, pos: str, ref: str, alts: str) -> None:
        site = self._normalizer.site(chrom, pos, ref)
        checked = False
        for allele, alt in enumerate(alts.upper().split(","), 1):
            if alt in NOT_VARIANTS:
                self.skipped.append((place, NOT_VARIANTS[alt]))
                continue
            try:
                variant = self._normalizer.normal(site, alt)
            except Rejected as why:
                self._reject(place, why)
                continue
            if not checked and place in self._faults:
                raise self._faults[place]
            checked = True
            changed = variant != (site.chrom, site.pos, ref, alts)
            written = alts if len(ref) + len(alts) <= LONGEST_LOCUS else alt
            self.found.append((place, allele, variant, f"{chrom}:{pos}:{ref}:{written}" if changed else None))

    def _reject(self, place: int, why: Rejected) -> None:
        self.rejects.append((place, Reject(self._sites.first + place, why.reason, why.detail, self._sites.row(place))))


def _merged(plain: Variants, found: list[tuple[int, int, tuple[int, int, str, str], str | None]]) -> Variants:
    """The variants of `plain` and those found singly, in the order of their records."""
    record, allele, variant, locus = zip(*found, strict=True)
    chrom, pos, ref, alt = zip(*variant, strict=True)
    key = encode(np.array(chrom), np.array(pos), ref, alt)
    order = np.argsort(np.concatenate([plain.record, record]), kind="stable")

    def numbers(one: np.ndarray, other: Sequence[int] | np.ndarray) -> np.ndarray:
        return np.concatenate([one, other])[order]

    def texts(one: pa.StringArray, other: Sequence[str | None]) -> pa.StringArray:
        return pa.concat_arrays([one, pa.array(other, pa.string())]).take(pa.array(order))

    return plain._replace(
        record=numbers(plain.record, record),
        allele=numbers(plain.allele, allele),
        key=numbers(plain.key, key),
        chrom=numbers(plain.chrom, chrom),
        pos=numbers(plain.pos, pos),
        ref=texts(plain.ref, ref),
        alt=texts(plain.alt, alt),
        locus=texts(plain.locus, locus),
    )
