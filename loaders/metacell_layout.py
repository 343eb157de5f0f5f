"""What a file of metacells has: their names, the metacell of each row, the matrix that counts, and its sums over the rows of each metacell.

SEACells (github.com/dpeerlab/SEACells) adds a column SEACell to the cells of an AnnData; its summarize_by_SEACell makes an AnnData of metacells
whose matrices are sums over cells, and summarize_by_soft_SEACell one of weighted means with the column Pseudo-sizes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from loaders.errors import InputError
from loaders.h5ad import H5ad, Stored, check_texts, check_unique, labels

CELLS, SUMMARY, SOFT_SUMMARY = "CELLS", "SUMMARY", "SOFT_SUMMARY"

LABEL = "SEACell"

MOST_SUMS = 1 << 30
"""Metacells times columns, whose sums are held in memory: 12 GiB."""

MATRICES = ("layers/counts", "layers/raw", "raw.X", "X")
"""Matrices of expression, best first."""

CELL_TYPES = (
    "cell_type", "celltype", "cell_types", "cell_ontology_class", "annotation", "bulk_labels", "louvain", "leiden", "cluster",
)  # fmt: skip
"""Columns of cell types, best first, in any case."""

PURITY = "_purity"

_NAME = re.compile(r"(?:.*[^A-Za-z0-9])?SEACell-\d+(?:[^A-Za-z0-9].*)?")
_HARD = "SEACell-"
_REMEDY = (
    "Metacells are those of SEACells: adata.obs['SEACell'] = model.get_hard_assignments()['SEACell'] in the file of cells, "
    "or the AnnData that SEACells.core.summarize_by_SEACell makes."
)


@dataclass(frozen=True)
class Layout:
    """What a file has: CELLS, SUMMARY or SOFT_SUMMARY, its metacells' names in order, and (rows,) the place of each row's among them; -1 for a
    cell that has none."""

    kind: str
    names: list[str]
    member: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """(metacells,) number of rows of each."""
        return np.bincount(self.member[self.member >= 0], minlength=len(self.names))

    @property
    def without(self) -> int:
        """Number of rows without a metacell."""
        return int(np.count_nonzero(self.member < 0))


@dataclass(frozen=True)
class Sums:
    """A matrix summed up by metacell: its name, (metacells, columns) float64 sums and int32 numbers of rows with more than 0, whether all of
    its numbers are whole, and the highest of them."""

    matrix: str
    total: np.ndarray
    positive: np.ndarray
    whole: bool
    highest: float


class Scaled(Exception):
    """A matrix has a negative number: the place of a column with one."""

    def __init__(self, column: int) -> None:
        super().__init__(column)
        self.column = column


def layout(file: H5ad) -> Layout:
    """The layout of a file, told by its content; metacells of cells stand in the order in which they first appear. Raises InputError."""
    names, obs = list(file.obs.index), file.obs
    if "Pseudo-sizes" in obs.columns:
        kind = SOFT_SUMMARY
    elif names and all(map(_NAME.fullmatch, names)):
        kind = SUMMARY
    elif LABEL in obs.columns:
        kind = CELLS
    else:
        raise InputError(file.path, None, f"no column {LABEL} in obs, which has {', '.join(obs.columns) or 'no columns'}", _REMEDY)
    if kind != CELLS:
        check_unique(file.path, "metacells", names, "Give each its own name: adata.obs_names_make_unique()")
        found = Layout(kind, names, np.arange(len(names)))
    else:
        places: dict[str, int] = {}
        texts = labels(obs[LABEL])
        member = np.fromiter((-1 if text is None else places.setdefault(text, len(places)) for text in texts), np.int64, len(texts))
        found = Layout(kind, list(places), member)
    if not found.names:
        raise InputError(file.path, None, "no metacells: no row has one" if len(obs) else "no metacells: it has no rows", _REMEDY)
    check_texts(file.path, "a metacell's name", found.names)
    return found


def of_metacells(found: Layout, names: Sequence[str]) -> Layout:
    """The same rows as those of metacells that are named, in that order; other rows have none. A soft metacell 3 is the cells' SEACell-3."""
    places = {name: place for place, name in enumerate(names)}
    places = {**{f"{_HARD}{name}": place for name, place in places.items()}, **places}
    moved = np.array([places.get(name, -1) for name in found.names], np.int64)
    return Layout(found.kind, list(names), np.where(found.member < 0, -1, moved[found.member]))


def add_up(file: H5ad, matrix: Stored, found: Layout) -> Generator[float, None, Sums]:
    """Sums of a matrix by metacell, made a slice at a time by a product with the indicator of who is whose.

    Gives, after each slice, the part of the matrix that was read, 0 to 1. In memory are 12 bytes for each metacell and column, and one slice. Raises Scaled at a negative number, InputError at one that is not finite.
    """
    shape = (len(found.names), matrix.shape[1])
    if shape[0] * shape[1] > MOST_SUMS:
        reason = f"{matrix.name} has {shape[1]:,} columns, in {shape[0]:,} metacells: more than {MOST_SUMS:,} sums"
        raise InputError(file.path, None, reason, "Metacells are of many cells: check the column of theirs.")
    total, positive, whole, highest = np.zeros(shape), np.zeros(shape, np.int32), True, 0.0
    for part in matrix.slices():
        numbers = part.values.data if sparse.issparse(part.values) else part.values.ravel()
        if len(numbers):
            if numbers.min() < 0:
                raise Scaled(part.columns.start + _column(part.values, lambda values: values < 0))
            if not np.isfinite(numbers).all():
                column = part.columns.start + _column(part.values, lambda values: ~np.isfinite(values))
                name = file.columns_of(matrix.name).index[column]
                remedy = "Put numbers in their place, or choose another matrix with --layer."
                raise InputError(file.path, None, f"{matrix.name} has NaN or infinity, at {name}", remedy)
            whole = whole and bool((numbers == np.floor(numbers)).all())
            highest = max(highest, float(numbers.max()))
        _add(part.values, found.member[part.rows], part.columns.start, total, positive)
        yield part.done
    return Sums(matrix.name, total, positive, whole, highest)


def means(file: H5ad, name: str, found: Layout) -> np.ndarray:
    """(metacells, dimensions) float32 means of a table of obsm over the rows of each metacell, NaN where it has no rows.

    Raises InputError where the row of a metacell has a number that is not finite.
    """
    table = file.obsm[name]
    shape = (len(found.names), table.shape[1])
    total, positive = np.zeros(shape), np.zeros(shape, np.int32)
    for part in table.slices():
        member = found.member[part.rows]
        wrong = _rows(part.values, lambda values: ~np.isfinite(values))
        if len(wrong := wrong[member[wrong] >= 0]):
            cell = file.obs.index[part.rows.start + wrong[0]]
            remedy = "Choose another with --embedding, or make it anew."
            raise InputError(file.path, None, f"obsm {name} has NaN or infinity, at {cell}", remedy)
        _add(part.values, member, part.columns.start, total, positive)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = (total / found.sizes[:, None]).astype(np.float32)
    if np.isinf(mean).any():
        raise InputError(file.path, None, f"obsm {name} has numbers beyond what a float of 32 bits holds", "Make it anew.")
    return mean


def choose(file: H5ad, found: Layout, layer: str | None = None) -> Generator[float, None, tuple[Sums, list[str]]]:
    """The sums of the matrix of expression, and what is odd about the choice.

    It is the one asked for (a layer's name, X, raw), which must not be scaled, else the first of MATRICES that is there and not scaled: values
    below 0 are no expression. Gives the part of a matrix that was read, 0 to 1. Raises InputError where there is none.
    """
    names = [name for name in MATRICES if name in file.matrices] if layer is None else [_asked(file, layer)]
    passed: list[str] = []
    for name in names:
        try:
            sums = yield from add_up(file, file.matrices[name], found)
        except Scaled as why:
            if layer is not None:
                where = f"{name} is scaled: it has negative values, as of {file.columns_of(name).index[why.column]}"
                raise InputError(file.path, None, where, "Choose one of counts, or of log-normalised values: --layer") from None
            passed.append(name)
            continue
        if layer is None and name != "X" and "X" in file.matrices and "X" not in passed and _begins_negative(file.matrices["X"]):
            passed.append("X")
        return sums, [f"{each} is scaled (negative values): {name} was used instead" for each in passed]
    raise no_expression(file, passed)


def no_expression(file: H5ad, passed: Sequence[str]) -> InputError:
    """The error for a file without a matrix of expression; those that were passed over are scaled."""
    why_not = f"scaled (negative values): {', '.join(passed)}" if passed else "none of " + ", ".join(MATRICES)
    return InputError(file.path, None, f"no matrix of expression: {why_not}", f"Keep the counts: adata.layers['counts']. {_there(file)}")


def column(frame: pd.DataFrame, names: Sequence[str]) -> str | None:
    """The first of the names that a table has as a column, in any case but the same one first; as the table writes it."""
    lower = {str(name).lower(): str(name) for name in reversed(list(frame.columns))}
    return next((name if name in frame.columns else lower[name.lower()] for name in names if name.lower() in lower), None)


def type_column(file: H5ad, kind: str) -> str | None:
    """The column of cell types where nobody named it: in a summary the one that has its purity beside it, else the first of CELL_TYPES."""
    if kind != CELLS:
        beside = [name for name in map(str, file.obs.columns) if f"{name}{PURITY}" in file.obs.columns]
        if beside:
            return beside[0]
    return column(file.obs, CELL_TYPES)


def commonest(texts: Sequence[str | None], found: Layout) -> tuple[list[str | None], np.ndarray]:
    """Per metacell the commonest label of its rows, the first in the alphabet of those that are as common, None where no row has one; and
    (metacells,) its part of all rows of the metacell, 0 to 1."""
    known = sorted({text for text in texts if text is not None})
    codes = {text: code for code, text in enumerate(known)}
    code = np.fromiter((-1 if text is None else codes[text] for text in texts), np.int64, len(texts))
    used = (code >= 0) & (found.member >= 0)
    pairs, times = np.unique(found.member[used] * max(1, len(known)) + code[used], return_counts=True)
    of, label = np.divmod(pairs, max(1, len(known)))
    order = np.lexsort((label, -times, of))
    first = order[np.unique(of[order], return_index=True)[1]]
    best: list[str | None] = [None] * len(found.names)
    part = np.zeros(len(found.names))
    for metacell, which, n in zip(of[first].tolist(), label[first].tolist(), times[first].tolist(), strict=True):
        best[metacell], part[metacell] = known[which], n
    return best, part / np.maximum(found.sizes, 1)


def _add(values: Any, member: np.ndarray, first: int, total: np.ndarray, positive: np.ndarray) -> None:
    """Adds the rows of a slice, which begins at column `first`, to their metacells."""
    rows = np.flatnonzero(member >= 0)
    present, of = np.unique(member[rows], return_inverse=True)
    whose = sparse.csr_matrix((np.ones(len(rows)), (of, rows)), shape=(len(present), len(member)))
    if sparse.issparse(values):
        above = values.copy()
        above.data = (values.data > 0).astype(np.float64)
        for into, product in ((total, (whose @ values).tocoo()), (positive, (whose @ above).tocoo())):
            into[present[product.row], first + product.col] += product.data.astype(into.dtype)
    else:
        columns = slice(first, first + values.shape[1])
        total[present, columns] += whose @ values
        positive[present, columns] += (whose @ (values > 0)).astype(np.int32)


def _column(values: Any, wrong: Callable[[np.ndarray], np.ndarray]) -> int:
    """The column of the first number in a slice that is wrong."""
    if sparse.issparse(values):
        table = values.tocoo()
        return int(table.col[np.flatnonzero(wrong(table.data))[0]])
    return int(np.argwhere(wrong(values))[0][1])


def _rows(values: Any, wrong: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The rows of a slice that have numbers that are wrong."""
    if sparse.issparse(values):
        table = values.tocoo()
        return np.unique(table.row[wrong(table.data)])
    return np.flatnonzero(wrong(values).any(axis=1))


def _begins_negative(matrix: Stored) -> bool:
    part = next(matrix.slices(), None)
    return part is not None and min(part.values.shape) > 0 and bool(part.values.min() < 0)


def _asked(file: H5ad, layer: str) -> str:
    names = (f"layers/{layer}", {"raw": "raw.X"}.get(layer, layer))
    if found := next((name for name in names if name in file.matrices), None):
        return found
    raise InputError(file.path, None, f"no layer {layer!r} of numbers", f"Give another --layer. {_there(file)}")


def _there(file: H5ad) -> str:
    return f"It has {', '.join(name.removeprefix('layers/') for name in file.matrices) or 'no matrices'}."
