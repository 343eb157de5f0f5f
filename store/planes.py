"""Genotypes as bit planes: what the table `genotype` holds, and back (design section 4b).

A call is one or two alleles of a sample at one variant, each of REF, ALT (this one), OTHER (another ALT of the record) or MISSING; the
second is ABSENT where the call is haploid. Allele s of sample i is slot 2i + s, and slot b is bit b % 8 of byte b / 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

REF, ALT, OTHER, MISSING, ABSENT = 0, 1, 2, -1, -2

UNPHASED, PHASED, MIXED = 0, 1, 2

NO_NUMBER = -1
"""In arrays of numbers by sample that are never negative: none is written."""

INTEGERS = pa.list_(pa.int32())

SCHEMA = pa.schema(
    [
        ("phasing", pa.int16()),
        ("alt", pa.binary()),
        ("alt_slots", INTEGERS),
        ("other", pa.binary()),
        ("missing", pa.binary()),
        ("haploid", pa.binary()),
        ("phase", pa.binary()),
        ("calls", pa.list_(pa.string())),
        ("phase_sets", INTEGERS),
    ]
)
"""Columns of `genotype` without variant_key and load_id."""

_TEXTS = SCHEMA.field("calls").type
_SLOT_BYTES, _LIST_BYTES = 4, 20  # of an integer[] on disk: per element, and before the first


@dataclass(frozen=True)
class Calls:
    """The calls of n samples at v variants: `alleles` (v, n, 2) int8; `phased` (v, n) bool, false for haploid calls.

    `texts` are the calls of those variants (by their number) that two alleles cannot hold, by sample, as in the column calls;
    `phase_sets` (v, n) int32, NO_NUMBER for none, where there are any. `plain` (v,) bool are variants known to have just REF and ALT, two of them
    in each call, all phased or none.
    """

    alleles: np.ndarray
    phased: np.ndarray
    texts: Mapping[int, Sequence[str]] = field(default_factory=dict)
    phase_sets: np.ndarray | None = None
    plain: np.ndarray | None = None

    @cached_property
    def alt(self) -> np.ndarray:
        """(v, bytes) uint8, the slots that hold ALT."""
        v, n, _ = self.alleles.shape
        return pack(self.alleles.reshape(v, 2 * n) == ALT)

    @cached_property
    def others(self) -> np.ndarray:
        """The variants that are not known to be plain."""
        return np.arange(len(self.alleles)) if self.plain is None else np.flatnonzero(~self.plain)


def encode(calls: Calls) -> pa.RecordBatch:
    """Rows of `genotype`, one for each variant, with the columns of SCHEMA."""
    v, n, _ = calls.alleles.shape
    slots, others = calls.alleles.reshape(v, 2 * n), calls.others
    count = np.bitwise_count(calls.alt).sum(axis=1, dtype=np.int64)
    listed = (count > 0) & (_LIST_BYTES + _SLOT_BYTES * count < calls.alt.shape[1])
    other, missing, haploid, mixed = np.zeros((4, v), bool)
    phasing = np.where(calls.phased[:, :1].any(axis=1), PHASED, UNPHASED)
    # Most rows are plain, and of the others most have no more than REF and ALT: their highest and lowest value tells.
    alleles, phased = calls.alleles[others], calls.phased[others]
    other[others] = slots[others].max(axis=1, initial=REF) == OTHER
    lowest = slots[others].min(axis=1, initial=REF)
    missing[others], haploid[others] = lowest <= MISSING, lowest == ABSENT
    unphased = np.logical_not((phased | (alleles[:, :, 1] == ABSENT)).all(axis=1))
    some_phased = phased.any(axis=1)
    mixed[others] = some_phased & unphased
    phasing[others] = np.where(mixed[others], MIXED, np.where(some_phased, PHASED, UNPHASED))
    columns = [
        pa.array(phasing, pa.int16()),
        _plane(calls.alt[(count > 0) & ~listed], (count > 0) & ~listed),
        _lists(pa.array(set_bits(calls.alt[listed])[1], pa.int32()), np.where(listed, count, 0), listed),
        _plane(pack(slots[other] == OTHER), other),
        _plane(pack(slots[missing] == MISSING), missing),
        _plane(pack(calls.alleles[haploid, :, 1] == ABSENT), haploid),
        _plane(pack(calls.phased[mixed]), mixed),
        pa.array([calls.texts.get(row) for row in range(v)], _TEXTS) if calls.texts else pa.nulls(v, _TEXTS),
        pa.nulls(v, INTEGERS) if calls.phase_sets is None else number_lists(calls.phase_sets),
    ]
    return pa.record_batch(columns, schema=SCHEMA)


def decode(rows: Sequence[Mapping[str, Any]], samples: int, ordinals: np.ndarray | None = None) -> Calls:
    """The calls of rows with the columns of SCHEMA, as the database gives them: of all samples, or of those at some ordinals, in their order."""
    wanted = np.arange(samples) if ordinals is None else ordinals
    slots = (2 * wanted[:, None] + [0, 1]).ravel()
    v, n = len(rows), len(wanted)
    alleles = np.zeros((v, 2 * n), np.int8)
    phased = np.zeros((v, n), bool)
    phase_sets = np.full((v, n), NO_NUMBER, np.int32)
    for place, row in enumerate(rows):
        for name, value in (("other", OTHER), ("missing", MISSING), ("alt", ALT)):
            if row[name] is not None:
                alleles[place, _bits(row[name], 2 * samples, slots)] = value
        if row["alt_slots"] is not None:
            alleles[place, np.isin(slots, row["alt_slots"])] = ALT
        if row["phasing"] == PHASED:
            phased[place] = True
        elif row["phase"] is not None:
            phased[place] = _bits(row["phase"], samples, wanted)
        if row["haploid"] is not None:
            haploid = _bits(row["haploid"], samples, wanted)
            alleles[place, 1::2][haploid] = ABSENT
            phased[place, haploid] = False
        if row["phase_sets"] is not None:
            phase_sets[place] = [NO_NUMBER if (number := row["phase_sets"][i]) is None else number for i in wanted.tolist()]
    texts = {place: [row["calls"][i] for i in wanted.tolist()] for place, row in enumerate(rows) if row["calls"] is not None}
    return Calls(alleles.reshape(v, n, 2), phased, texts, phase_sets if (phase_sets != NO_NUMBER).any() else None)


def texts(calls: Calls, other: str = "2") -> np.ndarray:
    """(v, n) calls as VCF text: 0 REF, 1 this ALT, 2 (or `other`) another ALT, . not called."""
    allele = {ABSENT: "", MISSING: ".", REF: "0", ALT: "1", OTHER: other}
    written = np.array([first + ("" if second == ABSENT else between) + allele[second]
                        for first in (".", "0", "1", other) for second in (ABSENT, MISSING, REF, ALT, OTHER) for between in "/|"], object)  # fmt: skip
    first, second = calls.alleles[:, :, 0], calls.alleles[:, :, 1]
    out = written[((first - MISSING) * 5 + (second - ABSENT)) * 2 + calls.phased]
    for row, listed in calls.texts.items():
        out[row] = listed if other == "2" else [text.replace("2", other) for text in listed]
    return out


def number_lists(numbers: np.ndarray) -> pa.Array:
    """Rows of numbers as lists of integers: NO_NUMBER as null, and null for a row of nothing else."""
    written = numbers != NO_NUMBER
    present = written.any(axis=1)
    values = pa.array(numbers[present].ravel(), pa.int32(), mask=~written[present].ravel())
    return _lists(values, np.where(present, numbers.shape[1], 0), present)


def _bits(plane: bytes, count: int, bits: np.ndarray) -> np.ndarray:
    """Which of these bits of a plane of so many are set."""
    return np.unpackbits(np.frombuffer(plane, np.uint8), count=count, bitorder="little").view(bool)[bits]


def pack(bits: np.ndarray) -> np.ndarray:
    """Rows of bits as planes: rows of bytes."""
    return np.packbits(bits, axis=1, bitorder="little")


def set_bits(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, bit) of each bit that is set in rows of bytes, in this order."""
    # Most are zero: bytes that are not are found by eights.
    rows, width = planes.shape
    eights = -(-width // 8)
    padded = np.zeros((rows, 8 * eights), np.uint8)
    padded[:, :width] = planes
    words = padded.view(np.uint64).ravel()
    word = np.flatnonzero(words)
    found = np.flatnonzero(np.unpackbits(words[word].view(np.uint8), bitorder="little").view(bool))
    row, in_row = np.divmod(word, eights)
    place = found >> 6
    return row[place], (in_row[place] << 6) + (found & 63)


def _plane(packed: np.ndarray, present: np.ndarray) -> pa.Array:
    """Values of bytes: those of the rows that are present one after the other, null for the others and where a plane is all zero."""
    filled = packed.any(axis=1)
    if not filled.all():
        present = present.copy()
        present[present] = filled
        packed = packed[filled]
    v = len(present)
    validity = pa.py_buffer(np.packbits(present, bitorder="little").tobytes())
    offsets = _offsets(np.where(present, packed.shape[1], 0))
    return pa.Array.from_buffers(pa.binary(), v, [validity, pa.py_buffer(offsets.tobytes()), pa.py_buffer(packed.tobytes())])


def _lists(values: pa.Array, lengths: np.ndarray, present: np.ndarray) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(_offsets(lengths)), values, type=INTEGERS, mask=pa.array(~present))


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
