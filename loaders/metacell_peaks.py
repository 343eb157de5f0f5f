"""Where the chromatin of metacells is open: peaks of accessibility, and how much of each metacell's fragments lies in them.

In: an AnnData of SEACells whose columns are peaks, chrom:start-end (or chrom-start-end) in BED coordinates (0-based, half-open), with rows that
are cells or metacells. Out: rows of metacell_peak, 1-based and inclusive, with arrays over the metacells of the file of expression.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from loaders.errors import InputError
from loaders.h5ad import H5ad, check_unique
from loaders.metacell import CHUNK_VALUES, expression, lists
from loaders.metacell_layout import SOFT_SUMMARY, SUMMARY, Scaled, add_up, choose, layout, of_metacells
from loaders.metacell_scale import COUNTS
from store.assembly import NAMES, Assembly, chrom_code
from store.copy import Chunk
from store.region import length_class, pos1

TABLES = ("metacell_peak",)
SCHEMA = {
    "metacell_peak": pa.schema(
        [
            ("ordinal", pa.int32()),
            ("chrom", pa.int16()),
            ("length_class", pa.int16()),
            ("start_pos", pa.int32()),
            ("end_pos", pa.int32()),
            ("access", pa.list_(pa.float32())),
            ("open", pa.list_(pa.bool_())),
        ]
    )
}

OTHER_CONTIGS = "peaks on other contigs"
OTHER_METACELLS = "metacells of accessibility that the file of expression does not have"
WITHOUT = "cells of accessibility without a metacell"

_OPEN = "layers/OpenPeaks"
_PEAK = re.compile(r"(\S+)[:-]([0-9]{1,9})-([0-9]{1,9})")
_REMEDY = "Peaks are named chrom:start-end in BED coordinates (0-based, half-open), such as chr1:9999-10500."


@dataclass(frozen=True)
class Peaks:
    """Peaks on chromosomes: (peaks,) places in the file, codes of chromosomes, first and last bases; (metacells, peaks) float32 accessibility,
    NaN for metacells that the file does not have; whether they are open, 1 or 0 or NaN, where it says."""

    matrix: str
    ordinal: np.ndarray
    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    access: np.ndarray
    open: np.ndarray | None
    position: int
    skipped: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)

    def read(self, after: int = 0) -> Generator[Chunk, None, None]:
        """The chunks, from the peak after the first `after` of those that are kept."""
        count, step = len(self.ordinal), max(1, CHUNK_VALUES // len(self.access))
        for first in range(after, count, step):
            last = min(count, first + step)
            chunk = Chunk({"metacell_peak": self._rows(first, last)}, last - first, position=self.position, end=last)
            if first == 0:
                chunk.skipped, chunk.warnings = Counter(self.skipped), Counter(self.warnings)
            yield chunk

    def _rows(self, first: int, last: int) -> pa.RecordBatch:
        here = slice(first, last)
        start, end = self.start[here], self.end[here]
        columns = [
            pa.array(self.ordinal[here], pa.int32()),
            pa.array(self.chrom[here], pa.int16()),
            pa.array(length_class(start, end), pa.int16()),
            pa.array(start, pa.int32()),
            pa.array(end, pa.int32()),
            lists(self.access[:, here].T, pa.float32()),
            pa.nulls(last - first, pa.list_(pa.bool_())) if self.open is None else lists(self.open[:, here].T, pa.bool_()),
        ]
        return pa.record_batch(columns, schema=SCHEMA["metacell_peak"])


def contigs(file: H5ad) -> list[str]:
    """The contigs that the names of peaks begin with, in order of appearance; names that are no peaks are left out."""
    return list(dict.fromkeys(found[1] for name in file.var.index if (found := _PEAK.fullmatch(name))))


def read_peaks(file: H5ad, names: Sequence[str], build: Assembly) -> Generator[float, None, Peaks]:
    """The peaks of a file, and their accessibility in the metacells that are named: natural logarithm of 1 + fragments per 10,000 of the
    metacell's in all peaks of the file.

    Metacells are matched by name; those that the file does not have get nothing, those that nobody named are left out and counted, as are peaks
    on other contigs. Gives the part of a matrix that was read, 0 to 1. Raises InputError for what is no peak, lies beyond its chromosome, or is no count.
    """
    found = layout(file)
    if found.kind == SOFT_SUMMARY:
        raise InputError(file.path, None, "a soft summary of accessibility", "Give the file of the cells, or summarize_by_SEACell's.")
    here = of_metacells(found, names)
    if not here.sizes.any():
        shown = f"{', '.join(found.names[:3])} ... here, {', '.join(names[:3])} ... there"
        raise InputError(
            file.path, None, f"none of its metacells is one of the file of expression: {shown}", "Metacells are matched by name."
        )
    sums, odd = yield from choose(file, here)
    if not sums.whole:
        raise InputError(
            file.path, None, f"{sums.matrix} has numbers that are not whole: they are no counts of fragments",
            "Keep the counts: adata.layers['counts'].",
        )  # fmt: skip
    ordinal, chrom, start, end, elsewhere = _places(file.path, list(file.columns_of(sums.matrix).index), build)
    absent = here.sizes == 0
    access = expression(file.path, sums, found.kind, COUNTS, None)[:, ordinal]
    access[absent] = np.nan
    is_open: np.ndarray | None = None
    if found.kind == SUMMARY and _OPEN in file.matrices and sums.matrix != "raw.X":
        try:
            opened = yield from add_up(file, file.matrices[_OPEN], here)
        except Scaled as why:
            raise InputError(
                file.path, None, f"OpenPeaks is negative at {file.var.index[why.column]}", "It is 1 or 0, or true or false."
            ) from None
        is_open = (opened.positive[:, ordinal] > 0).astype(np.float32)
        is_open[absent] = np.nan
    left_out = Counter(
        {OTHER_CONTIGS: elsewhere, OTHER_METACELLS: len(set(found.names)) - int(here.sizes.astype(bool).sum()), WITHOUT: found.without}
    )
    return Peaks(sums.matrix, ordinal, chrom, start, end, access, is_open, file.path.stat().st_size, +left_out, Counter(odd))


def _places(path: Path, names: Sequence[str], build: Assembly) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """(places in the file, codes of chromosomes, first bases, last bases) of the peaks on chromosomes, and how many others there are."""
    if not names:
        raise InputError(path, None, "no peaks: it has no columns", _REMEDY)
    check_unique(path, "peaks", names, "Name each once.")
    rows, elsewhere = [], 0
    for ordinal, name in enumerate(names):
        found = _PEAK.fullmatch(name)
        if not found:
            raise InputError(path, None, f"{name[:80]!r} is not a peak", _REMEDY)
        code, start, end = chrom_code(found[1]), int(found[2]), int(found[3])
        if start >= end:
            raise InputError(path, None, f"the start of the peak {name} is not before its end", _REMEDY)
        if code is None:
            elsewhere += 1
        elif end > build.length(code):
            raise InputError(
                path, None, f"the peak {name} lies beyond the end of chromosome {NAMES[code - 1]} of {build.name}",
                "The file is of another assembly: load it into a store of that one.",
            )  # fmt: skip
        else:
            rows.append((ordinal, code, pos1(start), end))
    if not rows:
        raise InputError(
            path, None, f"none of its {len(names):,} peaks is on a chromosome: {names[0]}", "Chromosomes are 1-22, X, Y and MT."
        )
    ordinals, codes, starts, ends = np.array(rows, np.int64).T
    return ordinals, codes, starts, ends, elsewhere
