"""GT: the FORMAT and sample columns of a block of VCF records, read all at once.

Comes in: lines as bytes. Goes out: which alleles each sample has, by their number in the record, or why a record
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
_STRIP = 1 << 18  # bytes of calls that are looked at together: they stay in the processor's cache
_HEAD = 1 << 9  # bytes of a line in which its first nine columns mostly end

# A tab and a diploid call of REF or the first ALT as one number, its first byte the lowest, with the last bit of both alleles set.
_LAST_BITS = 0x01000100
_PHASED, _UNPHASED = (int.from_bytes(b"\t1" + mark + b"1", "little") for mark in (b"|", b"/"))
_ONE = ord("1") << 8  # an allele and the byte before it: at least that, where it is not 0
_SHOWN = 60

# By byte: the allele that it is; whether a GT may end there; whether it may stand between two alleles.
_ALLELE = np.full(256, _NONE, np.int8)
_ALLELE[_ZERO : _NINE + 1] = range(10)
_ALLELE[ord(".")] = MISSING
_ENDS = np.isin(np.arange(256), [_TAB, _COLON])
_BETWEEN = np.isin(np.arange(256), [_SLASH, _BAR])


class Lines:
    """The lines of a block, divided into what is of the site and what is of samples, which is not copied.

    `heads` are the first eight columns of each, or all where there are fewer, in lines again. `formats` has the FORMAT of each, "" where there is none; its
    samples are `data[begin[i]:end[i]]`, `begin` is NONE where there are none.
    """

    NONE = -1

    def __init__(self, data: bytes) -> None:
        """`data` are lines in UTF-8."""
        self.data = data
        self.formats: list[str] = []
        self.begin: list[int] = []
        self.end: list[int] = []
        heads = []
        start, stop = 0, data.find(b"\n")
        while start <= len(data):
            stop = stop if stop >= 0 else len(data)
            # Copying all columns of many samples takes longer than all else here: mostly the first are within some bytes.
            columns = data[start : min(stop, start + _HEAD)].split(b"\t", SAMPLES)
            if len(columns) <= SAMPLES and stop > start + _HEAD:
                columns = data[start:stop].split(b"\t", SAMPLES)
            heads.append(b"\t".join(columns[:FORMAT]))
            self.formats.append(columns[FORMAT].decode() if len(columns) > FORMAT else "")
            self.begin.append(start + sum(map(len, columns[:SAMPLES])) + SAMPLES if len(columns) > SAMPLES else self.NONE)
            self.end.append(stop)
            start = stop + 1
            stop = data.find(b"\n", start)
        self.heads = b"\n".join(heads)

    def samples(self, line: int) -> bytes:
        """The columns of the samples of a line that has some."""
        return self.data[self.begin[line] : self.end[line]]


class Genotypes:
    """The genotypes of a block's r records and n samples; `errors` says, by number in the block, why a record has none.

    `alleles` (r, n, 2) are numbers in the record, MISSING or ABSENT; `phased` (r, n) is false for haploid calls; `plain` (r,) tells which have just REF and the
    first ALT, two of them each, all phased or none; `unusual` has the calls that these cannot hold, by record and sample. `warnings` counts values of FORMAT that were no use.
    """

    def __init__(self, lines: Lines, alts: np.ndarray, samples: Sequence[str]) -> None:
        """`alts` (r,) is how many ALTs each record has; `samples` are those of the header."""
        self._lines, self._samples = lines, samples
        r, n = len(lines.formats), len(samples)
        self.alts = alts
        self.alleles = np.zeros((r, n, 2), np.int8 if alts.max(initial=0) < 1 << 7 else np.int32)
        self.phased = np.zeros((r, n), bool)
        self.plain = np.zeros(r, bool)
        self.unusual: dict[int, dict[int, Call]] = {}
        self.errors: dict[int, Rejected] = {}
        self.warnings: Counter[str] = Counter()
        self._cells: Cells | None = None
        self._cell_row = np.full(r, -1)  # row of the cells of each record that has some
        self._read_varied(self._read_fixed([record for record in range(r) if self._has_gt(record)]))
        more = np.flatnonzero(~self.plain)
        more = more[self.alleles[more].reshape(len(more), 2 * n).max(axis=1, initial=0) > alts[more]]
        for record in more.tolist():
            sample = int((self.alleles[record] > alts[record]).any(axis=1).argmax())
            self._refuse(record, NO_ALLELE, sample, lines.samples(record).split(b"\t")[sample].partition(b":")[0].decode())

    def relative(self, record: np.ndarray, allele: np.ndarray) -> Calls:
        """The calls of v variants, each an ALT (by its number, from 1) of a record (by its number in the block)."""
        several = np.flatnonzero(self.alts[record] > 1)
        as_it_is = not len(several) and np.array_equal(record, np.arange(len(self.alts)))
        alleles, phased = (self.alleles, self.phased) if as_it_is else (self.alleles[record], self.phased[record])
        plain = self.plain[record]
        theirs = alleles[several]
        alleles[several] = np.where(theirs == allele[several, None, None], ALT, np.where(theirs > 0, OTHER, theirs))
        plain[several] = False
        calls = Calls(alleles.astype(np.int8, copy=False), phased, {}, self.numbers("PS", record), plain)
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
        place = np.array([_places(self._lines.formats[number]).get(key, -1) for number in record.tolist()])
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
        format = self._lines.formats[record]
        samples = self._lines.begin[record] != Lines.NONE
        if samples and (format == "GT" or format.startswith("GT:")):
            return True
        keys = format.split(":")
        if "GT" not in keys:
            self.errors[record] = Rejected(NO_GT, f"{format[:_SHOWN] or 'no FORMAT'}; {_SITES_ONLY}")
        elif keys[0] != "GT":
            self.errors[record] = Rejected(GT_NOT_FIRST, f"{format[:_SHOWN]}; {_SITES_ONLY}")
        else:
            self.errors[record] = Rejected(BAD_SAMPLES, f"0 of {len(self._samples)}")
        return False

    def _read_fixed(self, records: list[int]) -> list[int]:
        """Reads records that have nothing but diploid calls of one digit; returns the others."""
        n, lines = len(self._samples), self._lines
        fixed = [r for r in records if lines.end[r] - lines.begin[r] == 4 * n - 1 and lines.formats[r] == "GT"]
        if not fixed:
            return records
        read: set[int] = set()
        size = max(1, _STRIP // (4 * n))
        for strip in (fixed[i : i + size] for i in range(0, len(fixed), size)):
            # Each call with the tab before it, four bytes.
            cells = np.frombuffer(b"".join([lines.data[lines.begin[r] - 1 : lines.end[r]] for r in strip]), "<u4").reshape(len(strip), n)
            read.update(self._read_cells(np.array(strip), cells))
        return [record for record in records if record not in read]

    def _read_cells(self, records: np.ndarray, cells: np.ndarray) -> list[int]:
        """Reads records whose calls may all be diploid and of one digit: `cells` (records, n) of four bytes. Returns those that are that."""
        # Where no bit but the last of each allele differs in a line, its alleles are 0 and 1.
        least, most = np.bitwise_and.reduce(cells, axis=1) | _LAST_BITS, np.bitwise_or.reduce(cells, axis=1) | _LAST_BITS
        phased = most == _PHASED
        plain = (least == most) & (phased | (most == _UNPHASED))
        self.plain[records] = plain
        self.phased[records] = (plain & phased)[:, None]
        self.alleles[records] = (cells.view("<u2") >= _ONE).reshape(*cells.shape, 2)
        others = np.flatnonzero(~plain)
        if not len(others):
            return records.tolist()
        plain[others] = self._read_mixed(records[others], cells[others])
        return records[plain].tolist()

    def _read_mixed(self, records: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Reads cells (records, n) of four bytes of whatever kind; returns which records have nothing but diploid calls of one digit."""
        n = len(self._samples)
        frame = cells & 0x00FF00FF
        phased = frame == _PHASED & 0x00FF00FF
        sound = (phased | (frame == _UNPHASED & 0x00FF00FF)).all(axis=1)
        # Every second byte is an allele.
        alleles = _ALLELE[(cells.view("<u2") >> 8).astype(np.uint8)]
        sound &= (alleles != _NONE).all(axis=1)
        self.alleles[records] = np.where(sound[:, None, None], alleles.reshape(-1, n, 2), 0)
        self.phased[records] = phased & sound[:, None]
        return sound

    def _read_varied(self, records: list[int]) -> None:
        """Reads records of any width."""
        n = len(self._samples)
        lines = [self._lines.samples(record) for record in records]
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
