"""Counts or logged values: what the numbers of a matrix are, as the user says, or they tell, or those of the cells that a summary was made of.

Whole numbers are counts. Others are logged where none is above 20 for a cell, since log1p of anything per 10^4 to 10^8 stays below, else counts,
as decontaminated ones are. Weighted means of counts are not whole, and corrected counts may all be low: what the cells hold decides, where they
are at hand, and where nothing does, the load says so.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from loaders.errors import InputError
from loaders.h5ad import H5ad
from loaders.metacell_layout import MATRICES, SUMMARY, Layout, Scaled, Sums, add_up, no_expression

COUNTS, LOGGED = SCALES = ("COUNTS", "LOGGED")

UNLIKE = "no matrix of the cells adds up to the summary"

_HIGHEST_LOG = 20
"""log1p(10^8) is 18.4."""

_ALIKE = 0.05
"""Part of a summary's sums by which those of its cells may differ from them: weights are rounded, and those near 0 left out."""


@dataclass(frozen=True)
class OfCells:
    """A matrix of cells: its name, (metacells, genes of the summary) int32 numbers of cells with more than 0, the highest of its numbers, whether
    these are whole, and whether they add up to the summary. Where none does, it is the first, and `whole` is said of all."""

    matrix: str
    positive: np.ndarray
    highest: float
    whole: bool
    alike: bool


def made_of(file: H5ad, found: Layout, genes: Sequence[str], total: np.ndarray) -> Generator[float, None, OfCells]:
    """The matrix of cells that a summary was made of: the first of MATRICES whose sums are those of the summary, `total` (genes,).

    Gives the part of a matrix that was read, 0 to 1. Raises InputError where no matrix of expression has all the genes.
    """
    first: OfCells | None = None
    whole, passed, lacking = True, [], None
    for name in (name for name in MATRICES if name in file.matrices):
        index = pd.Index(file.columns_of(name).index)
        if not index.is_unique:
            raise InputError(file.path, None, "genes are there more than once", "Make them unique: adata.var_names_make_unique()")
        where = index.get_indexer(pd.Index(genes))
        if (where < 0).any():
            lacking = lacking or _lacks(file, name, [gene for gene, at in zip(genes, where.tolist(), strict=True) if at < 0])
            continue
        try:
            sums = yield from add_up(file, file.matrices[name], found)
        except Scaled:
            passed.append(name)
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            theirs = sums.total.sum(axis=0)[where]
            alike = bool(np.abs(theirs - total).sum() <= _ALIKE * total.sum())
        made = OfCells(name, sums.positive[:, where], sums.highest, sums.whole, alike)
        del sums
        if alike:
            return made
        first, whole = first or made, whole and made.whole
    if first is None:
        raise lacking or no_expression(file, passed)
    return OfCells(first.matrix, first.positive, first.highest, whole, False)


def _lacks(file: H5ad, matrix: str, missing: Sequence[str]) -> InputError:
    shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
    return InputError(
        file.path, None, f"{matrix} lacks {len(missing):,} genes of the summary: {shown}",
        "Give --cells the file that the summary was made of.",
    )  # fmt: skip


def scale(
    file: H5ad, kind: str, sums: Sums, sizes: np.ndarray | None, of_cells: OfCells | None, wanted: str | None
) -> tuple[str, list[str]]:
    """COUNTS or LOGGED, and what is odd about it; `sizes` (metacells,) are numbers of cells, `wanted` is what the user says.

    Raises InputError for sums that are not whole where nobody knows of how many cells.
    """
    odd = [UNLIKE] if of_cells and not of_cells.alike else []
    if wanted is None and sums.whole:
        return COUNTS, odd
    if kind == SUMMARY and sizes is None and wanted != COUNTS:
        raise InputError(
            file.path, None, f"{sums.matrix} has sums that are not whole, of logged values or of corrected counts: how many cells each is of decides",
            "Give the file of the cells too: --cells CELLS.h5ad, or load that one alone. If they are counts, say so: --scale counts",
        )  # fmt: skip
    if wanted is not None:
        return wanted, odd
    # Sums of whole numbers are whole: those of a summary that are not were made of something else.
    if of_cells and of_cells.whole and (of_cells.alike or kind != SUMMARY):
        return COUNTS, odd
    highest = sums.highest
    if of_cells and of_cells.alike:
        highest = of_cells.highest
    elif kind == SUMMARY and sizes is not None:
        highest = float((sums.total / sizes[:, None]).max(initial=0))
    if highest > _HIGHEST_LOG:
        return COUNTS, odd
    return LOGGED, [*odd, f"{sums.matrix} was taken for logged (else --scale counts): not whole, highest {highest:.3g}"]
