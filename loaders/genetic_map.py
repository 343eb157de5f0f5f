"""Genetic maps: from positions to centimorgans.

In: PLINK's .map (chromosome, name, cM, position; no header), or a table whose header names chromosome, position and cM: SHAPEIT's gmap, HapMap's
and Eagle's maps. Positions are 1-based. Several files, such as one for each chromosome, make one map.
Sources: cog-genomics.org/plink/1.9/formats (map); the headers of HapMap II (genetic_map_GRCh37_chr*.txt), of SHAPEIT4 (maps/chr*.gmap.gz)
and of Eagle (tables/genetic_map_hg19_withX.txt.gz).
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loaders.errors import InputError
from loaders.source import source_file, text_blocks
from store.assembly import NAMES, chrom_code

_PLINK = (0, 3, 2)
_COLUMNS = (
    ("chr", "chrom", "chromosome"),
    ("pos", "position", "position(bp)", "bp"),
    ("cm", "map(cm)", "genetic_map(cm)"),
)
"""What a header may call the columns of chromosome, position and cM, in lower case."""

MOST_POINTS = 50_000_000
"""Positions of a map, which are held in memory, sixteen bytes each; HapMap's has three million."""

_MOST = 1 << 28  # no position is beyond
_REMEDY = (
    "Known are PLINK's .map (chromosome, name, cM, position, without header) and tables with a header: pos chr cM (SHAPEIT),\n"
    "  Chromosome Position(bp) Rate(cM/Mb) Map(cM) (HapMap), chr position COMBINED_rate(cM/Mb) Genetic_Map(cM) (Eagle)."
)


@dataclass(frozen=True)
class GeneticMap:
    """For each chromosome code, positions and their cM, neither of which decreases; `digest` is the SHA-256 of the files."""

    points: Mapping[int, tuple[np.ndarray, np.ndarray]]
    digest: str

    def cm(self, chrom: np.ndarray, pos: np.ndarray) -> np.ndarray:
        """cM of positions, interpolated linearly; beyond the ends of a map that of its end, on a chromosome without one NaN."""
        found = np.full(len(pos), np.nan)
        for code, (known, cm) in self.points.items():
            here = chrom == code
            found[here] = np.interp(pos[here], known, cm)
        return found

    def beyond(self, chrom: np.ndarray, pos: np.ndarray) -> np.ndarray:
        """Which of these positions lie beyond the ends of the map of their chromosome."""
        found = np.zeros(len(pos), bool)
        for code, (known, _) in self.points.items():
            found |= (chrom == code) & ((pos < known[0]) | (pos > known[-1]))
        return found

    def lengths_cm(self) -> list[float | None]:
        """The length of each chromosome from the first to the last position that the map has, in cM, by code from 1; None for those that it does not have."""
        return [
            float(cm[-1] - cm[0]) if (cm := self.points.get(code, (None, None))[1]) is not None else None
            for code in range(1, len(NAMES) + 1)
        ]


def read_map(paths: Sequence[Path]) -> GeneticMap:
    """The genetic map in files. Raises InputError where one is no map, or where positions or cM decrease.

    Chromosomes other than 1-22, X, Y and MT (X_par1 ...) are left out.
    """
    points: dict[int, tuple[array, array]] = {}
    count = 0
    for path in paths:
        for line, code, pos, cm in _points(path):
            known, cms = points.setdefault(code, (array("q"), array("d")))
            if known and (pos < known[-1] or cm < cms[-1]):
                what = f"position {pos} after {known[-1]}" if pos < known[-1] else f"{cm} cM after {cms[-1]}"
                raise InputError(
                    path, line, f"{what} on chromosome {NAMES[code - 1]}", "Sort the map by position; a genetic map never decreases."
                )
            known.append(pos)
            cms.append(cm)
            if (count := count + 1) > MOST_POINTS:
                raise InputError(path, line, f"more than {MOST_POINTS:,} positions", "Check that it is the file you mean.")
    if not any(cms[-1] > cms[0] for _, cms in points.values()):
        reason = "no two positions of it differ in cM" if points else "no chromosome in it"
        raise InputError(paths[0], None, f"{reason}: this is no genetic map", _REMEDY)
    digest = hashlib.sha256("".join(source_file(path).sha256 for path in paths).encode()).hexdigest()
    return GeneticMap({code: (np.array(known, np.int64), np.array(cms, np.float64)) for code, (known, cms) in points.items()}, digest)


def _points(path: Path) -> Iterator[tuple[int, int, int, float]]:
    """(line, chromosome code, position, cM) of each row."""
    places: tuple[int, ...] | None = None
    header: list[str] | None = None
    lines = ((n, line.split()) for block in text_blocks(path) for n, line in enumerate(block.lines, block.first))
    for number, cells in lines:
        if not cells or cells == header:
            continue
        if places is None:
            places = _header(cells)
            if places:
                header = cells
                continue
            if len(cells) != 4:
                raise InputError(path, number, f"not a genetic map: it begins with {' '.join(cells)[:40]!r}", _REMEDY)
            places = _PLINK
        if len(cells) <= max(places):
            raise InputError(path, number, f"{len(cells)} columns of at least {1 + max(places)}", _REMEDY)
        chrom, pos, cm = (cells[place] for place in places)
        if (code := chrom_code(chrom)) is None:
            continue
        if not (pos.isascii() and pos.isdecimal() and len(pos) < 10 and 0 < int(pos) < _MOST):
            raise InputError(path, number, f"not a position: {pos[:40]!r}", _REMEDY)
        if (value := _finite(cm)) is None:
            raise InputError(path, number, f"not a number of cM: {cm[:40]!r}", _REMEDY)
        yield number, code, int(pos), value


def _header(cells: Sequence[str]) -> tuple[int, ...] | None:
    """The places of chromosome, position and cM where this is a header that names them."""
    lower = [cell.lower() for cell in cells]
    places = tuple(next((lower.index(name) for name in names if name in lower), -1) for names in _COLUMNS)
    return None if -1 in places else places


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
