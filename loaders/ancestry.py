"""Ancestry: where people lie on the principal components of their genotypes, as PLINK writes it (.eigenvec, .eigenval).

In: rows of white-space separated columns: FID IID and the components without a header (PLINK 1.9), or under one that names them (PLINK 1.9
`header`, PLINK 2: #IID or #FID IID, PC1, PC2 ...). Out: one row of ancestry_run, and rows of ancestry with names for samples. Eigenvectors have
length 1 in every component; times the square root of its eigenvalue each gets the variance that it explains, so that distances mean something.
Sources: cog-genomics.org/plink/1.9/formats and cog-genomics.org/plink/2.0/formats (eigenvec, eigenval).
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from loaders.errors import InputError
from loaders.samples import MOST_ROWS
from loaders.source import text_blocks
from store.copy import LINE, Chunk, Reject

TABLES = ("ancestry_run", "ancestry")
_NUMBERS = pa.list_(pa.float32())
SCHEMA = {
    "ancestry_run": pa.schema([("cohort", pa.string()), ("eigenvalues", _NUMBERS)]),
    "ancestry": pa.schema([("sample_id", pa.string()), ("components", _NUMBERS), (LINE, pa.int32())]),
}

WRONG_COUNT = "wrong number of components"
NOT_FINITE = "component that is no finite number"
REPEATED = "repeated sample"

MOST = 16_000
"""Components that a vector of pgvector can have."""

_COMPONENT = re.compile(r"(?:PC|C|EV)?[0-9]+", re.IGNORECASE)
_SHOWN = 200
_REMEDY = "Known are the .eigenvec files of PLINK 1.9 and 2: FID IID PC1 PC2 ..., or #IID PC1 PC2 ..."


@dataclass(frozen=True)
class Layout:
    """The line of the first row, the place of the sample's name in it, that of the first component, and how many these are."""

    begin: int
    name: int
    first: int
    components: int


def layout(path: Path) -> Layout:
    """The layout of a file, told by its first line. Raises InputError where it is none that is known."""
    number, cells = next(((n, line.split()) for n, line in _lines(path)), (1, []))
    header = [cell.lstrip("#").upper() for cell in cells]
    if "IID" in header[:2]:
        name = header.index("IID")
        first = next((place for place in range(name + 1, len(cells)) if _COMPONENT.fullmatch(cells[place])), len(cells))
        found = Layout(number + 1, name, first, len(cells) - first)
        sound = first - name <= 2 and all(map(_COMPONENT.fullmatch, cells[first:]))  # an SID may stand between
    else:
        found = Layout(number, 1, 2, len(cells) - 2)
        sound = not cells[:1] or (not cells[0].startswith("#") and all(_number(cell) is not None for cell in cells[2:]))
    if not sound or not 1 <= found.components <= MOST:
        raise InputError(path, number, f"not a file of principal components: it begins with {' '.join(cells)[:60]!r}", _REMEDY)
    return found


def names(path: Path) -> list[str]:
    """The names of the people whom a file places. Raises InputError where it has no known layout."""
    described = layout(path)
    return [cells[described.name] for n, line in _lines(path) if n >= described.begin and len(cells := line.split()) > described.name]


def eigenvalues(path: Path, wanted: int) -> list[float]:
    """The first `wanted` numbers of a file of eigenvalues, one in each line. Raises InputError where there are fewer."""
    values: list[float] = []
    for number, line in _lines(path):
        value = _number(line.strip())
        if value is None or not 0 <= value < math.inf:
            raise InputError(path, number, f"not an eigenvalue: {line[:40]!r}", "A file of eigenvalues has one number in each line.")
        if len(values) < wanted:
            values.append(value)
    if len(values) < wanted:
        raise InputError(path, None, f"{len(values)} eigenvalues for {wanted} components", "Give the .eigenval file of the same run.")
    return values[:wanted]


def read(path: Path, cohort: str, scale: Sequence[float] | None, *, after: int = 0) -> Generator[Chunk, None, None]:
    """The chunks of a file, from the line after line `after`; the first one has the run. `scale` are the eigenvalues, None to leave the
    components as they are."""
    described = layout(path)
    roots = np.sqrt(scale) if scale is not None else np.ones(described.components)
    first: dict[str, int] = {}
    run: pa.RecordBatch | None = pa.record_batch([[cohort], pa.array([scale], _NUMBERS)], schema=SCHEMA["ancestry_run"])
    for block in text_blocks(path):
        rows: list[tuple[str, np.ndarray, int]] = []
        rejects: list[Reject] = []
        records = end = 0
        for number, line in enumerate(block.lines, block.first):
            if number < described.begin or not line or line.isspace():
                continue
            cells = line.split()
            name = cells[described.name] if len(cells) > described.name else ""
            earlier = first.setdefault(name, number) if name else number
            if len(first) > MOST_ROWS:
                raise InputError(path, number, f"more than {MOST_ROWS:,} people", "Check that it is the file you mean.")
            if number <= after:
                continue
            records, end = records + 1, number
            values = _components(cells[described.first :], roots)
            if len(cells) != described.first + described.components:
                had = max(0, len(cells) - described.first)
                rejects.append(Reject(number, WRONG_COUNT, f"{had} of {described.components}", line[:_SHOWN]))
            elif earlier != number:
                rejects.append(Reject(number, REPEATED, f"{name} stands in line {earlier}", line[:_SHOWN]))
            elif values is None:
                rejects.append(Reject(number, NOT_FINITE, "", line[:_SHOWN]))
            else:
                rows.append((name, values, number))
        tables = {"ancestry": _rows(rows)} if rows else {}
        if run is not None and records and not after:
            tables["ancestry_run"], run = run, None
        yield Chunk(tables, records, rejects, block.position, end)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    return ((n, line) for block in text_blocks(path) for n, line in enumerate(block.lines, block.first) if line and not line.isspace())


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _components(texts: Sequence[str], roots: np.ndarray) -> np.ndarray | None:
    """(components,) float32, scaled; None where one is no finite number, or becomes none."""
    if len(texts) != len(roots):
        return None
    try:
        values = np.array([float(text) for text in texts]) * roots
    except ValueError:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        single = values.astype(np.float32)
    return single if np.isfinite(single).all() else None


def _rows(rows: Sequence[tuple[str, np.ndarray, int]]) -> pa.RecordBatch:
    name, components, line = zip(*rows, strict=True)
    values = np.stack(components)
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))
    return pa.record_batch([pa.array(name, pa.string()), lists, pa.array(line, pa.int32())], schema=SCHEMA["ancestry"])
