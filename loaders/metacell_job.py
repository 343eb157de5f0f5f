"""From files and options to a load of metacells: everything that is settled, or refused, before anything is written.

What the files are is settled first; their numbers are read when rows are asked for, a slice at a time, into sums by metacell: they tell which matrix
counts, and its scale. What they refuse takes the load out again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import psycopg

from loaders.annotation_job import stating
from loaders.assembly_check import check_assembly
from loaders.errors import InputError, LoaderError
from loaders.h5ad import LONGEST, H5ad, check_texts, labels, opened
from loaders.metacell import Genes, Metacells, Reader, expression, named_genes, percentages
from loaders.metacell_layout import (
    CELLS,
    PURITY,
    SOFT_SUMMARY,
    SUMMARY,
    Layout,
    choose,
    column,
    commonest,
    layout,
    means,
    of_metacells,
    type_column,
)
from loaders.metacell_peaks import Peaks, contigs, read_peaks
from loaders.metacell_scale import SCALES, OfCells, made_of
from loaders.metacell_scale import scale as scale_of
from loaders.run import Job, Read, dataset_name
from loaders.source import Block, source_file
from store.assembly import Assembly
from store.assembly import assembly as assembly_of
from store.copy import Chunk
from store.genome import genome

T = TypeVar("T")

EMBEDDINGS = ("X_pca", "X_svd", "X_lsi", "X_scVI", "X_diffmap")
PLOTS = ("X_umap", "X_tsne", "X_draw_graph_fa")
"""Tables of obsm that embeddings and plotting coordinates are means of, best first."""

DIMENSIONS = 2000
"""Most dimensions of an embedding."""

WITHOUT = "cells without a metacell"
OTHER_CELLS = "cells of metacells that the summary does not have"


@dataclass(frozen=True)
class _Source:
    """A file, and whose its rows are."""

    file: H5ad
    layout: Layout


@dataclass(frozen=True)
class _Files:
    """The files of a load, by what they have; the cells of a file that has them itself are not `beside`."""

    expression: Path
    beside: Path | None
    accessible: Path | None

    @property
    def roles(self) -> dict[str, Path]:
        """The files that are given, in order."""
        all_of_them = {"expression": self.expression, "cells": self.beside, "accessibility": self.accessible}
        return {role: path for role, path in all_of_them.items() if path is not None}

    def open(self, stack: ExitStack) -> tuple[_Source, _Source | None, H5ad | None]:
        """All of them, open. Raises InputError where one is none, or the cells are not those of the summary."""
        main = _source(stack.enter_context(opened(self.expression)))
        beside = None if self.beside is None else _cells(main, stack.enter_context(opened(self.beside)))
        return main, beside, None if self.accessible is None else stack.enter_context(opened(self.accessible))


@dataclass(frozen=True)
class _Options:
    """What is asked of the numbers, as the ledger keeps it."""

    layer: str | None
    scale: str | None
    cell_type: str | None
    tissue: str | None
    condition: str | None
    embedding: str | None


def metacell_job(
    conn: psycopg.Connection,
    path: Path,
    *,
    cells: Path | None = None,
    layer: str | None = None,
    scale: str | None = None,
    atac: Path | None = None,
    cell_type: str | None = None,
    tissue: str | None = None,
    condition: str | None = None,
    embedding: str | None = None,
    dataset: str | None = None,
    version: str | None = None,
    assembly: str | None = None,
    hold: bool = False,
    strict: bool = False,
) -> tuple[Job, Read]:
    """The job and the reader of a load of metacells; the options are those of `vkg load metacells`.

    The files of the job are the one of expression, then that of its cells and that of accessibility where they are given. Numbers are read when the
    reader is first asked, and all of them before it gives any row; in memory are then 20 bytes for each metacell and gene, 32 where cells stand
    beside a summary, and one slice of cells. Raises InputError, LoaderError and StoreError for what must not be loaded.
    """
    build = genome(conn).assembly
    given = assembly_of(assembly) if assembly else None
    for name, text in (("--tissue", tissue), ("--condition", condition)):
        if text is not None and not 0 < len(text) <= LONGEST:
            raise LoaderError(f"{name} has {len(text):,} characters\n  Give 1 to {LONGEST}.")
    if scale is not None and scale.upper() not in SCALES:
        raise LoaderError(f"unknown --scale {scale!r}\n  Known are: {', '.join(SCALES).lower()}")
    options = _Options(layer, scale and scale.upper(), cell_type, tissue, condition, embedding)
    files = _Files(path, cells, atac)
    with ExitStack() as stack:
        *_, accessible = files.open(stack)
        if accessible is not None:
            named = iter([Block(1, contigs(accessible), 0)])
            check_assembly(conn, accessible.path, stating(None), named, store=build, given=given, reference=None)
        elif given:
            check_assembly(conn, path, stating(None), iter(()), store=build, given=given, reference=None)
    roles = list(files.roles)
    made: list[tuple[Reader, Peaks | None]] = []

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        if roles[ordinal] == "cells":
            return
        if not made:
            made.append((yield from _readers(files, options, build)))
        expressed, peaks = made[0]
        if roles[ordinal] == "expression":
            yield from expressed.read(after)
        elif peaks is not None:
            yield from peaks.read(after)

    sources = [source_file(each) for each in files.roles.values()]
    ledger = {**asdict(options), "roles": roles}
    return Job("metacells", sources, dataset or dataset_name(path), version, ledger, hold=hold, strict=strict), chunks


def _readers(files: _Files, options: _Options, build: Assembly) -> Generator[Chunk, None, tuple[Reader, Peaks | None]]:
    """What makes the rows, of the numbers of all files; gives chunks that tell how far they are read. Raises InputError."""
    with ExitStack() as stack:
        main, beside, accessible = files.open(stack)
        path, kind = files.expression, main.layout.kind
        by_cell = main if kind == CELLS else beside
        before = [path.stat().st_size, beside.file.path.stat().st_size if beside else 0]
        sums, odd = yield from _telling(choose(main.file, main.layout, options.layer), 0, before[0])
        columns = main.file.columns_of(sums.matrix)
        names, identifiers = named_genes(path, columns)
        counts = _counts(main, by_cell)
        of_cells: OfCells | None = None
        if beside is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                total = counts @ sums.total if kind == SOFT_SUMMARY else sums.total.sum(axis=0)
            of_cells = yield from _telling(made_of(beside.file, beside.layout, list(columns.index), total), before[0], before[1])
        sizes = by_cell.layout.sizes if by_cell else None
        scaled, doubtful = scale_of(main.file, kind, sums, sizes, of_cells, options.scale)
        positive = of_cells.positive if of_cells else sums.positive
        percent = None if sizes is None else percentages(positive, sizes)
        mean = expression(path, sums, kind, scaled, sizes)
        found = _metacells(main, by_cell, counts, options)
        run: dict[str, object] = {"layout": kind, "matrix": sums.matrix, "scale": scaled}
        del sums, of_cells, positive  # which peaks need no more
        peaks: Peaks | None = None
        if accessible is not None:
            size = accessible.path.stat().st_size
            peaks = yield from _telling(read_peaks(accessible, main.layout.names, build), sum(before), size)
        left_out = Counter({WITHOUT: main.layout.without})
        if beside:
            left_out[OTHER_CELLS] = beside.layout.without
    run |= {"peak_count": len(peaks.ordinal) if peaks else 0, "peak_matrix": peaks.matrix if peaks else None}
    read = sum(each.stat().st_size for each in files.roles.values())
    return Reader(found, Genes(names, identifiers, mean, percent), run, read, +left_out, Counter([*odd, *doubtful])), peaks


def _telling(reading: Generator[float, None, T], before: int, size: int) -> Generator[Chunk, None, T]:
    """Empty chunks for the parts of a file of some size that are read, 0 to 1, where others were read before; returns what came of them."""
    while True:
        try:
            done = next(reading)
        except StopIteration as end:
            return end.value
        yield Chunk({}, 0, position=before + int(size * done))


def _source(file: H5ad) -> _Source:
    return _Source(file, layout(file))


def _cells(main: _Source, file: H5ad) -> _Source:
    """The cells of a summary. Raises InputError where a file is not of them."""
    if main.layout.kind == CELLS:
        remedy = f"Load it without --cells; of a summary, {file.path.name} may be the cells."
        raise InputError(main.file.path, None, "it has the cells itself, but --cells was given", remedy)
    found = layout(file)
    if found.kind != CELLS:
        raise InputError(
            file.path, None, f"not a file of cells: it is a {found.kind}", "Give --cells the file that the summary was made of."
        )
    here = of_metacells(found, main.layout.names)
    missing = [name for name, size in zip(main.layout.names, here.sizes, strict=True) if not size]
    # Weights can make up a metacell that no cell belongs to most.
    if missing and (main.layout.kind == SUMMARY or len(missing) == len(main.layout.names)):
        shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
        raise InputError(
            file.path, None, f"no cells of {len(missing):,} of the metacells in {main.file.path.name}: {shown}",
            "Give --cells the file that the summary was made of.",
        )  # fmt: skip
    return _Source(file, here)


def _counts(main: _Source, by_cell: _Source | None) -> np.ndarray:
    """(metacells,) float64 numbers of cells, or sums of their weights; NaN where nobody knows."""
    if main.layout.kind == SOFT_SUMMARY:
        return _sizes(main.file)
    return by_cell.layout.sizes.astype(np.float64) if by_cell else np.full(len(main.layout.names), np.nan)


def _metacells(main: _Source, by_cell: _Source | None, counts: np.ndarray, options: _Options) -> Metacells:
    """What the metacells are. Raises InputError where an option names what is not there."""
    types, purity = _types(main, by_cell, options.cell_type)
    count = len(main.layout.names)
    embedded = _embedding(main, by_cell, options.embedding)
    plotted = next((n for n in PLOTS if by_cell and n in by_cell.file.obsm and by_cell.file.obsm[n].shape[1] >= 2), None)
    return Metacells(
        main.layout.names,
        types,
        purity,
        [options.tissue] * count if options.tissue else _said(main, by_cell, "tissue"),
        [options.condition] * count if options.condition else _said(main, by_cell, "condition"),
        counts,
        embedded,
        means(by_cell.file, embedded, by_cell.layout) if by_cell and embedded else None,
        plotted,
        means(by_cell.file, plotted, by_cell.layout)[:, :2] if by_cell and plotted else None,
    )


def _types(main: _Source, by_cell: _Source | None, wanted: str | None) -> tuple[list[str | None], np.ndarray]:
    """(cell types, their purities) of the metacells: from the column that is wanted or found, in the file or else in that of its cells."""
    for source in filter(None, (main, by_cell if by_cell is not main else None)):
        file = source.file
        name = type_column(file, source.layout.kind) if wanted is None else column(file.obs, [wanted])
        if name is not None:
            texts = labels(file.obs[name])
            check_texts(file.path, "a cell type", texts)
            types, purity = commonest(texts, source.layout)
            if source.layout.kind != CELLS:
                purity = _purity(file, name)
            return types, np.where([each is None for each in types], np.nan, purity)
    if wanted is not None:
        there = ", ".join(map(str, main.file.obs.columns)) or "no columns"
        raise InputError(main.file.path, None, f"no column {wanted} in obs, which has {there}", "Give another --cell-type.")
    return [None] * len(main.layout.names), np.full(len(main.layout.names), np.nan)


def _purity(file: H5ad, name: str) -> np.ndarray:
    if (beside := f"{name}{PURITY}") not in file.obs.columns:
        return np.full(len(file.obs), np.nan)
    values = pd.to_numeric(file.obs[beside], errors="coerce").to_numpy(np.float64)
    if ((values < 0) | (values > 1)).any():
        raise InputError(file.path, None, f"{beside} is not from 0 to 1", "It is the part of a metacell's cells that have its cell type.")
    return values


def _sizes(file: H5ad) -> np.ndarray:
    values = pd.to_numeric(file.obs["Pseudo-sizes"], errors="coerce").to_numpy(np.float64)
    with np.errstate(over="ignore"):
        sound = (values.astype(np.float32) > 0) & np.isfinite(values.astype(np.float32))
    if not sound.all():
        where = file.obs.index[~sound][0]
        raise InputError(file.path, None, f"Pseudo-sizes is no number above 0 at {where}", "It is the sum of the weights of a metacell.")
    return values


def _said(main: _Source, by_cell: _Source | None, what: str) -> list[str | None]:
    for source in filter(None, (main, by_cell)):
        if (name := column(source.file.obs, [what])) is not None:
            texts = labels(source.file.obs[name])
            check_texts(source.file.path, f"a {what}", texts)
            return commonest(texts, source.layout)[0]
    return [None] * len(main.layout.names)


def _embedding(main: _Source, by_cell: _Source | None, wanted: str | None) -> str | None:
    """The table of obsm that embeddings are means of. Raises InputError where it is not there, or has too many dimensions."""
    if by_cell is None:
        if wanted is not None:
            raise InputError(main.file.path, None, f"a summary places no cells, so there is no {wanted}", "Give --cells CELLS.h5ad too.")
        return None
    tables = by_cell.file.obsm
    if wanted is not None and wanted not in tables:
        remedy = f"obsm has {', '.join(tables) or 'none'}: give another --embedding."
        raise InputError(by_cell.file.path, None, f"no table of numbers {wanted} in obsm", remedy)
    name = wanted or next((name for name in EMBEDDINGS if name in tables), None)
    if name is not None and not 1 <= (dimensions := tables[name].shape[1]) <= DIMENSIONS:
        raise InputError(
            by_cell.file.path,
            None,
            f"obsm {name} has {dimensions:,} dimensions, not 1 to {DIMENSIONS:,}",
            "Choose another: --embedding NAME",
        )
    return name
