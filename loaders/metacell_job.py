"""From files and options to a load of metacells: everything that is settled, or refused, before anything is written.

The matrices are read here, a slice at a time, into sums by metacell: what the layout, matrix and scale of a file are, its numbers tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg

from loaders.annotation_job import stating
from loaders.assembly_check import check_assembly
from loaders.errors import InputError, LoaderError
from loaders.h5ad import LONGEST, H5ad, check_texts, labels, opened
from loaders.metacell import Genes, Metacells, Reader, expression, named_genes
from loaders.metacell_layout import (
    CELLS,
    PURITY,
    SOFT_SUMMARY,
    SUMMARY,
    Layout,
    Sums,
    choose,
    column,
    commonest,
    layout,
    means,
    of_metacells,
    scale,
    type_column,
)
from loaders.metacell_peaks import Peaks, contigs, read_peaks
from loaders.run import Job, Read, dataset_name
from loaders.source import Block, source_file
from store.assembly import assembly as assembly_of
from store.copy import Chunk
from store.genome import genome

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


def metacell_job(
    conn: psycopg.Connection,
    path: Path,
    *,
    cells: Path | None = None,
    layer: str | None = None,
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

    The files of the job are the one of expression, then that of its cells and that of accessibility where they are given; in memory are 20 bytes
    for each metacell and gene, 32 where cells stand beside a summary, and one slice of cells. Raises InputError, LoaderError and StoreError for what must not be loaded.
    """
    build = genome(conn).assembly
    given = assembly_of(assembly) if assembly else None
    for name, text in (("--tissue", tissue), ("--condition", condition)):
        if text is not None and not 0 < len(text) <= LONGEST:
            raise LoaderError(f"{name} has {len(text):,} characters\n  Give 1 to {LONGEST}.")
    with ExitStack() as stack:
        main = _source(stack.enter_context(opened(path)))
        beside = None if cells is None else _cells(main, stack.enter_context(opened(cells)))
        by_cell = main if main.layout.kind == CELLS else beside
        sums, odd = choose(main.file, main.layout, layer)
        sizes = by_cell.layout.sizes if by_cell else None
        scaled = scale(main.file, main.layout.kind, sums, sizes)
        columns = main.file.columns_of(sums.matrix)
        names, identifiers = named_genes(path, columns)
        percent = _percent(sums, columns, main, beside)
        mean = expression(path, sums, main.layout.kind, scaled, sizes)
        found = _metacells(main, by_cell, cell_type, tissue, condition, embedding)
        peaks: Peaks | None = None
        if atac is not None:
            accessible = stack.enter_context(opened(atac))
            named = iter([Block(1, contigs(accessible), 0)])
            check_assembly(conn, atac, stating(None), named, store=build, given=given, reference=None)
            peaks = read_peaks(accessible, main.layout.names, build)
        elif given:
            check_assembly(conn, path, stating(None), iter(()), store=build, given=given, reference=None)
        left_out = Counter({WITHOUT: main.layout.without})
        if beside:
            left_out[OTHER_CELLS] = beside.layout.without
    run = {"layout": main.layout.kind, "matrix": sums.matrix, "scale": scaled}
    of_peaks = {"peak_count": len(peaks.ordinal) if peaks else 0, "peak_matrix": peaks.matrix if peaks else None}
    reader = Reader(found, Genes(names, identifiers, mean, percent), {**run, **of_peaks}, path.stat().st_size, +left_out, Counter(odd))
    roles = {"expression": path, **({"cells": cells} if cells else {}), **({"accessibility": atac} if atac else {})}

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        role = list(roles)[ordinal]
        if role == "expression":
            yield from reader.read(after)
        elif role == "accessibility" and peaks is not None:
            yield from peaks.read(after)

    options = {
        **run,
        "layer": layer,
        "cell_type": cell_type,
        "tissue": tissue,
        "condition": condition,
        "embedding": embedding,
        "roles": list(roles),
    }
    files = [source_file(each) for each in roles.values()]
    own = dataset or dataset_name(path)
    return Job("metacells", files, own, version, options, hold=hold, strict=strict), chunks


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


def _percent(sums: Sums, columns: pd.DataFrame, main: _Source, beside: _Source | None) -> np.ndarray | None:
    """(metacells, genes) float32 percentages of cells with more than 0, None where no cells are known."""
    positive, sizes = sums.positive, main.layout.sizes
    if beside is not None:
        of_cells, _ = choose(beside.file, beside.layout)
        place = pd.Index(beside.file.columns_of(of_cells.matrix).index)
        if not place.is_unique:
            raise InputError(beside.file.path, None, "genes are there more than once", "Make them unique: adata.var_names_make_unique()")
        where = place.get_indexer(columns.index)
        if (where < 0).any():
            missing = list(columns.index[where < 0])
            shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
            raise InputError(
                beside.file.path, None, f"{of_cells.matrix} lacks {len(missing):,} genes of the summary: {shown}",
                "Give --cells the file that the summary was made of.",
            )  # fmt: skip
        positive, sizes = of_cells.positive[:, where], beside.layout.sizes
    elif main.layout.kind != CELLS:
        return None
    with np.errstate(invalid="ignore"):
        return (positive * np.float32(100) / sizes[:, None].astype(np.float32)).astype(np.float32)


def _metacells(
    main: _Source, by_cell: _Source | None, cell_type: str | None, tissue: str | None, condition: str | None, embedding: str | None
) -> Metacells:
    """What the metacells are. Raises InputError where an option names what is not there."""
    types, purity = _types(main, by_cell, cell_type)
    count = len(main.layout.names)
    if main.layout.kind == SOFT_SUMMARY:
        counts = _sizes(main.file)
    else:
        counts = by_cell.layout.sizes.astype(np.float64) if by_cell else np.full(count, np.nan)
    embedded = _embedding(main, by_cell, embedding)
    plotted = next((n for n in PLOTS if by_cell and n in by_cell.file.obsm and by_cell.file.obsm[n].shape[1] >= 2), None)
    return Metacells(
        main.layout.names,
        types,
        purity,
        [tissue] * count if tissue else _said(main, by_cell, "tissue"),
        [condition] * count if condition else _said(main, by_cell, "condition"),
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
