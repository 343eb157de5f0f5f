"""GT: the FORMAT and sample columns of a block of VCF records, read all at once.

Comes in: the columns of the records, as text. Goes out: which alleles each sample has, by their number in the record, or why a record
has none. Lines of nothing but `0|1` have a known width and are looked at as one matrix, others by the four bytes after each tab; what
these do not tell (`10/3`, `0/1/1`, `|0`) is read one by one (call.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from loaders.call import Call
from loaders.cells import Cells
from loaders.normalize import Rejected
from store.planes import ABSENT, ALT, MISSING, NO_NUMBER, OTHER, Calls, texts

NO_GT = "FORMAT without GT"
GT_NOT_FIRST = "GT is not the first FORMAT key"
BAD_SAMPLES = "wrong number of sample columns"
BAD_GENOTYPE = "GT that is no genotype"
NO_ALLELE = "GT with an allele that the record does not have"

FORMAT, SAMPLES = 8, 9
"""Columns of a record split at its first nine tabs; the last holds all samples."""

_TAB, _SLASH, _BAR, _COLON, _ZERO, _NINE = b"\t/|:09"
_SITES_ONLY = "--sites-only leaves genotypes out"
_NONE = -9
_SHOWN = 60

# By byte: the allele that it is; whether a GT may end there; whether it may stand between two alleles.
_ALLELE = np.full(256, _NONE, np.int8)
_ALLELE[_ZERO : _NINE + 1] = range(10)
_ALLELE[ord(".")] = MISSING
_ENDS = np.isin(np.arange(256), [_TAB, _COLON])
_BETWEEN = np.isin(np.arange(256), [_SLASH, _BAR])


class Genotypes:
    """The genotypes of a block's r records and n samples; `errors` says, by number in the block, why a record has none.

    `alleles` (r, n, 2) are numbers in the record, MISSING or ABSENT; `phased` (r, n) is false for haploid calls; `unusual` has
    the calls that these cannot hold, by record and sample. `warnings` counts values of FORMAT that were no use.
    """

    def __init__(self, records: Sequence[list[str]], samples: Sequence[str]) -> None:
        """`records` are lines of a VCF, each split at its first nine tabs; `samples` those of its header."""
        self._records, self._samples = records, samples
        r, n = len(records), len(samples)
        self.alts = np.array([record[4].count(",") + 1 if len(record) > 4 else 0 for record in records], np.int32)
        self.alleles = np.zeros((r, n, 2), np.int8 if self.alts.max(initial=0) < 1 << 7 else np.int32)
        self.phased = np.zeros((r, n), bool)
        self.unusual: dict[int, dict[int, Call]] = {}
        self.errors: dict[int, Rejected] = {}
        self.warnings: Counter[str] = Counter()
        self._cells: Cells | None = None
        self._cell_row = np.full(r, -1)  # row of the cells of each record that has some
        self._read_varied(self._read_fixed([record for record in range(r) if self._has_gt(record)]))
        for record in np.flatnonzero(self.alleles.reshape(r, 2 * n).max(axis=1, initial=0) > self.alts).tolist():
            sample = int((self.alleles[record] > self.alts[record]).any(axis=1).argmax())
            self._refuse(record, NO_ALLELE, sample, records[record][SAMPLES].split("\t")[sample].partition(":")[0])

    def relative(self, record: np.ndarray, allele: np.ndarray) -> Calls:
        """The calls of v variants, each an ALT (by its number, from 1) of a record (by its number in the block)."""
        alleles = self.alleles[record]
        several = np.flatnonzero(self.alts[record] > 1)
        theirs = alleles[several]
        alleles[several] = np.where(theirs == allele[several, None, None], ALT, np.where(theirs > 0, OTHER, theirs))
        calls = Calls(alleles.astype(np.int8, copy=False), self.phased[record], {}, self.numbers("PS", record))
        written = {}
        for row, (number, own) in enumerate(zip(record.tolist(), allele.tolist(), strict=True)) if self.unusual else ():
            if unusual := self.unusual.get(number):
                of_row = texts(Calls(calls.alleles[row : row + 1], calls.phased[row : row + 1]))[0].tolist()
                for sample, call in unusual.items():
                    of_row[sample] = call.text(own)
                    calls.alleles[row, sample] = call.pair(own)
                written[row] = of_row
        return replace(calls, texts=written)

    def numbers(self, key: str, record: np.ndarray, part: np.ndarray | None = None, *, rounded: bool = False) -> np.ndarray | None:
        """(v, n) int32 values of a FORMAT key of v records, NO_NUMBER where there is none; None where there is none at all.

        `part` (v,) says which of several values, from 0, separated by commas. With `rounded`, values may have decimals.
        """
        if self._cells is None:
            return None
        place = np.array([_places(self._records[number][FORMAT]).get(key, -1) for number in record.tolist()])
        rows = np.flatnonzero((place >= 0) & (self._cell_row[record] >= 0))
        if not len(rows):
            return None
        cells = self._cells.rows(self._cell_row[record[rows]]).part(":", place[rows, None])
        if part is not None:
            cells = cells.part(",", part[rows, None])
        values = np.full((len(record), len(self._samples)), NO_NUMBER, np.int32)
        values[rows], bad = cells.numbers(rounded=rounded)
        if bad:
            self.warnings[f"FORMAT {key} that is no number from 0, left out"] += bad
        return values if (values != NO_NUMBER).any() else None

    def _has_gt(self, record: int) -> bool:
        columns = self._records[record]
        keys = columns[FORMAT].split(":") if len(columns) > FORMAT else []
        if keys[:1] == ["GT"] and len(columns) > SAMPLES:
            return True
        if "GT" not in keys:
            self.errors[record] = Rejected(NO_GT, f"{':'.join(keys)[:_SHOWN] or 'no FORMAT'}; {_SITES_ONLY}")
        elif keys[0] != "GT":
            self.errors[record] = Rejected(GT_NOT_FIRST, f"{':'.join(keys)[:_SHOWN]}; {_SITES_ONLY}")
        else:
            self.errors[record] = Rejected(BAD_SAMPLES, f"0 of {len(self._samples)}")
        return False

    def _read_fixed(self, records: list[int]) -> list[int]:
        """Reads records that have nothing but diploid calls of one digit; returns the others."""
        n = len(self._samples)
        fixed = [r for r in records if len(self._records[r][SAMPLES]) == 4 * n - 1 and self._records[r][FORMAT] == "GT"]
        if not fixed:
            return records
        text = "\t".join(["", *(self._records[record][SAMPLES] for record in fixed)])
        cells = np.frombuffer(text.encode("ascii", "replace"), "<u4").reshape(len(fixed), n)
        frame = cells & 0x00FF00FF
        phased = frame == _BAR << 16 | _TAB
        sound = phased.all(axis=1)
        mixed = np.flatnonzero(~sound)
        sound[mixed] = (phased[mixed] | (frame[mixed] == _SLASH << 16 | _TAB)).all(axis=1)
        # Every second byte is an allele.
        characters = (cells.view("<u2") >> 8).astype(np.uint8)
        alleles = (characters - np.uint8(_ZERO)).view(np.int8)
        other = np.flatnonzero((characters.min(axis=1) < _ZERO) | (characters.max(axis=1) > _NINE))
        alleles[other] = _ALLELE[characters[other]]
        sound[other] &= (alleles[other] != _NONE).all(axis=1)
        read = np.array(fixed)[sound]
        self.alleles[read], self.phased[read] = alleles[sound].reshape(-1, n, 2), phased[sound]
        return sorted({*records}.difference(read.tolist()))

    def _read_varied(self, records: list[int]) -> None:
        """Reads records of any width."""
        n = len(self._samples)
        lines = [self._records[record][SAMPLES].encode() for record in records]
        data = np.frombuffer(b"\t" + b"\t".join(lines) + b"\t\t\t\t", np.uint8)  # four bytes can be taken at every cell
        tabs = np.flatnonzero(data == _TAB)
        found = np.diff(np.searchsorted(tabs, np.cumsum([0, *(len(line) + 1 for line in lines)])))
        for line in np.flatnonzero(found != n).tolist():
            self.errors[records[line]] = Rejected(BAD_SAMPLES, f"{found[line]} of {n}")
        complete = np.repeat(found == n, found)
        start, end = tabs[:-4][complete].reshape(-1, n) + 1, tabs[1:-3][complete].reshape(-1, n)
        rows = np.array(records, np.int64)[found == n]
        if not len(rows):
            return
        self._cells = Cells(data, start, end)
        self._cell_row[rows] = range(len(rows))
        at = np.ndarray(len(data) - 3, "<u4", data, strides=(1,))[start].view(np.uint8).reshape(-1, n, 4)
        alleles = _ALLELE[at[:, :, ::2]]
        mark, after = at[:, :, 1], at[:, :, 3]
        haploid = _ENDS[mark]
        plain = haploid | (_BETWEEN[mark] & _ENDS[after] & (alleles[:, :, 1] != _NONE))
        plain &= alleles[:, :, 0] != _NONE
        alleles[haploid, 1] = ABSENT
        alleles[~plain] = MISSING
        self.alleles[rows], self.phased[rows] = alleles, plain & ~haploid & (mark == _BAR)
        for row, sample in np.argwhere(~plain).tolist():
            self._read_one(int(rows[row]), sample, self._cells.text(row, sample).partition(b":")[0])

    def _read_one(self, record: int, sample: int, text: bytes) -> None:
        call = _call(text)
        if call is None:
            self._refuse(record, BAD_GENOTYPE, sample, text.decode())
        elif max(call.alleles) > self.alts[record]:
            self._refuse(record, NO_ALLELE, sample, text.decode())
        elif call.plain:
            self.alleles[record, sample] = (*call.alleles, ABSENT)[:2]
            self.phased[record, sample] = call.phased
        else:
            self.unusual.setdefault(record, {})[sample] = call
            self.phased[record, sample] = call.phased

    def _refuse(self, record: int, reason: str, sample: int, text: str) -> None:
        self.errors.setdefault(record, Rejected(reason, f"{self._samples[sample]} has {text[:_SHOWN]!r}"))


@lru_cache(1 << 16)
def _call(text: bytes) -> Call | None:
    return Call.parse(text)


@lru_cache
def _places(format: str) -> dict[str, int]:
    """Where each key of a FORMAT stands; the first of two equal ones."""
    keys = format.split(":")
    return {key: place for place, key in reversed(list(enumerate(keys)))}
