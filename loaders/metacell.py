"""Metacells: cells in one state, taken together, and what they express of each gene.

In: sums of a matrix by metacell (metacell_layout.py). Out: the row of metacell_run, rows of metacell, and of metacell_expression one for each gene
with arrays over the metacells. Statistics are those of the means as they are stored, floats of 32 bits, and can be had from them again.
Sources: tau is that of Yanai et al. 2005 (Bioinformatics 21:650); log1p of counts per 10,000 is scanpy's normalize_total(1e4) and log1p.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from loaders.errors import InputError
from loaders.h5ad import check_texts, check_unique, labels
from loaders.metacell_layout import SOFT_SUMMARY, Sums, column
from loaders.metacell_scale import COUNTS
from store.accession import split_version
from store.copy import Chunk
from store.vector import vectors

TABLES = ("metacell_run", "metacell", "metacell_expression")
_NUMBERS, _TEXTS = pa.list_(pa.float32()), pa.list_(pa.string())
SCHEMA = {
    "metacell_run": pa.schema(
        [
            ("layout", pa.string()),
            ("matrix", pa.string()),
            ("scale", pa.string()),
            ("gene_count", pa.int32()),
            ("cell_types", _TEXTS),
            ("embedding", pa.string()),
            ("plot", pa.string()),
            ("peak_count", pa.int32()),
            ("peak_matrix", pa.string()),
        ]
    ),
    "metacell": pa.schema(
        [
            ("ordinal", pa.int32()),
            ("name", pa.string()),
            ("cell_type", pa.string()),
            ("purity", pa.float32()),
            ("tissue", pa.string()),
            ("condition", pa.string()),
            ("cell_count", pa.float32()),
            ("plot_x", pa.float32()),
            ("plot_y", pa.float32()),
            ("embedding", pa.large_binary()),
            ("top_genes", _TEXTS),
        ]
    ),
    "metacell_expression": pa.schema(
        [
            ("gene", pa.string()),
            ("gene_id", pa.string()),
            ("tau", pa.float32()),
            ("highest", _NUMBERS),
            ("mean", _NUMBERS),
            ("percent", _NUMBERS),
            ("z", _NUMBERS),
        ]
    ),
}

CHUNK_VALUES = 1 << 18
"""Numbers in each of the arrays of a chunk: about a megabyte, unless one gene has more."""

TOP = 100
"""Most genes that a metacell's most specific ones are."""

TOP_PERCENT = 10
"""Percentage of its cells that express each of them, at least."""

SUM = 10_000.0
"""What counts are brought to."""

_ENSEMBL = re.compile(r"ENSGR?\d{10,}(?:\..+|_PAR_Y)?")
_IDENTIFIERS = ("gene_ids", "gene_id", "ensembl_id", "ensembl", "feature_id")
_SYMBOLS = ("gene_symbols", "gene_symbol", "feature_name", "symbol")


@dataclass(frozen=True)
class Metacells:
    """The metacells of a load, in order: (metacells,) arrays have NaN, and lists None, for what is not known; `embedding` is (metacells,
    dimensions), `plot` (metacells, 2), and None where there is none; `embedded` and `plotted` are their names."""

    names: list[str]
    cell_type: list[str | None]
    purity: np.ndarray
    tissue: list[str | None]
    condition: list[str | None]
    cell_count: np.ndarray
    embedded: str | None = None
    embedding: np.ndarray | None = None
    plotted: str | None = None
    plot: np.ndarray | None = None

    @property
    def cell_types(self) -> list[str]:
        """Its cell types, by name."""
        return sorted({name for name in self.cell_type if name is not None})


@dataclass(frozen=True)
class Genes:
    """The genes of a load: names, identifiers, (metacells, genes) float32 means and percentages of cells; NaN, or None for all, is not known."""

    names: list[str]
    identifiers: list[str | None]
    mean: np.ndarray
    percent: np.ndarray | None


def expression(path: Path, sums: Sums, kind: str, scale: str, sizes: np.ndarray | None) -> np.ndarray:
    """(metacells, genes) float32 means, natural logarithm of 1 + counts per 10,000; uses up `sums.total`.

    Counts, also weighted means of them, become counts per 10,000 of the metacell's sum over all genes of the file, then log1p; 0 where that sum
    is 0. Logged values are averaged over cells, of which `sizes` (metacells,) are the numbers; weighted means of them stay as they are.
    Raises InputError where numbers are too large.
    """
    values = sums.total
    with np.errstate(over="ignore", invalid="ignore"):
        library = values.sum(axis=1)
        if scale == COUNTS:
            values *= np.divide(SUM, library, out=np.zeros_like(library), where=library > 0)[:, None]
            np.log1p(values, out=values)
        elif kind != SOFT_SUMMARY and sizes is not None:
            values /= sizes[:, None]
        mean = values.astype(np.float32)
    # The highest tells of all: it is not finite where one is not, and takes no memory.
    if not (np.isfinite(library).all() and np.isfinite(mean.max(initial=0))):
        raise InputError(path, None, f"{sums.matrix} has numbers too large to add up", "Choose another matrix with --layer.")
    return mean


def percentages(positive: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(metacells, genes) float32 percentages of cells with more than 0, of how many have it and of (metacells,) how many there are; NaN of none."""
    made = positive.astype(np.float32)
    made *= 100
    with np.errstate(invalid="ignore"):
        made /= sizes[:, None].astype(np.float32)
    return made


def named_genes(path: Path, frame: pd.DataFrame) -> tuple[list[str], list[str | None]]:
    """(names, Ensembl identifiers without version) of the genes of a table.

    Names are as written; where that is an identifier and a column has symbols, the symbol, if no other gene has it. Raises InputError for
    names that repeat, are too long or damaged, and where there are no genes.
    """
    written = list(frame.index)
    if not written:
        raise InputError(path, None, "no genes: it has no columns", "Write the file again with its genes.")
    check_unique(path, "genes", written, "Make them unique: adata.var_names_make_unique()")
    check_texts(path, "a gene's name", written)
    known = (labels(frame[name]) for name in _IDENTIFIERS if name in frame.columns)
    beside = next((texts for texts in known if any(text and _ENSEMBL.fullmatch(text) for text in texts)), [None] * len(written))
    own = [_identifier(name) for name in written]
    identifiers = [mine or (text and _identifier(text)) for mine, text in zip(own, beside, strict=True)]
    symbols = column(frame, _SYMBOLS)
    if symbols is None:
        return written, identifiers
    said = labels(frame[symbols])
    check_texts(path, "a gene's symbol", said)
    times = Counter(said) + Counter(written)
    names = [text if mine and text and times[text] == 1 else name for name, text, mine in zip(written, said, own, strict=True)]
    return names, identifiers


@dataclass
class Reader:
    """Makes the chunks of a load's expression. `run` has what metacell_run says of the matrix and of peaks; `skipped` and `warnings`
    come with the first chunk; `position` is how far the files have been read by then, in bytes."""

    metacells: Metacells
    genes: Genes
    run: dict
    position: int
    skipped: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)

    def read(self, after: int = 0) -> Generator[Chunk, None, None]:
        """The chunks, from the gene after the first `after`; the first one has the run and the metacells."""
        count, codes = len(self.genes.names), self._codes()
        step = max(1, CHUNK_VALUES // len(self.metacells.names))
        for first in range(after, count, step):
            last = min(count, first + step)
            tables = {"metacell_expression": self._rows(first, last, codes)}
            chunk = Chunk(tables, last - first, position=self.position, end=last)
            if first == 0:
                tables |= {"metacell_run": self._run(), "metacell": self._metacells()}
                chunk.skipped, chunk.warnings = Counter(self.skipped), Counter(self.warnings)
            yield chunk

    def _codes(self) -> np.ndarray:
        """(metacells,) places of the cell types in their list, -1 for none."""
        places = {name: place for place, name in enumerate(self.metacells.cell_types)}
        return np.array([-1 if name is None else places[name] for name in self.metacells.cell_type])

    def _run(self) -> pa.RecordBatch:
        of = self.metacells
        row = {**self.run, "gene_count": len(self.genes.names), "cell_types": of.cell_types, "embedding": of.embedded, "plot": of.plotted}
        return pa.RecordBatch.from_pylist([row], schema=SCHEMA["metacell_run"])

    def _metacells(self) -> pa.RecordBatch:
        of, count = self.metacells, len(self.metacells.names)
        plot = np.full((count, 2), np.nan, np.float32) if of.plot is None else of.plot
        columns = [
            np.arange(count, dtype=np.int32),
            of.names,
            of.cell_type,
            _nullable(of.purity),
            of.tissue,
            of.condition,
            _nullable(of.cell_count),
            _nullable(plot[:, 0]),
            _nullable(plot[:, 1]),
            [None] * count if of.embedding is None else vectors(of.embedding),
            self._top_genes(),
        ]
        schema = SCHEMA["metacell"]
        return pa.record_batch([pa.array(values, each.type) for values, each in zip(columns, schema, strict=True)], schema=schema)

    def _top_genes(self) -> list[list[str]]:
        """Per metacell its most specific genes: those that it expresses, in at least 10% of its cells where these are known, by z, those of the
        same z by mean and then by name."""
        mean, percent, names = self.genes.mean, self.genes.percent, np.array(self.genes.names, object)
        average, spread = np.empty(mean.shape[1]), np.empty(mean.shape[1])
        step = max(1, CHUNK_VALUES // len(mean))
        for first in range(0, mean.shape[1], step):
            average[first : first + step], spread[first : first + step] = moments(mean[:, first : first + step])
        ranks = np.argsort(np.argsort(names))
        found = []
        for place, row in enumerate(mean):
            fit = (row > 0) & (spread > 0)
            if percent is not None:
                fit &= ~(percent[place] < TOP_PERCENT)
            of = np.flatnonzero(fit)
            z = standard(row[of], average[of], spread[of])
            if len(of) > TOP:
                high = np.flatnonzero(z >= np.partition(z, -TOP)[-TOP])  # more than TOP where some are alike
                of, z = of[high], z[high]
            found.append(names[of[np.lexsort((ranks[of], -row[of], -z))[:TOP]]].tolist())
        return found

    def _rows(self, first: int, last: int, codes: np.ndarray) -> pa.RecordBatch:
        mean = self.genes.mean[:, first:last]
        average, spread = moments(mean)
        z = standard(mean, average, np.where(spread > 0, spread, np.nan))
        percent = None if self.genes.percent is None else self.genes.percent[:, first:last]
        types = [mean[codes == code] for code in range(len(self.metacells.cell_types))]
        highest = np.array([of.max(axis=0) for of in types], np.float32).reshape(len(types), last - first)
        columns = [
            pa.array(self.genes.names[first:last], pa.string()),
            pa.array(self.genes.identifiers[first:last], pa.string()),
            _nullable(tau(np.array([of.mean(axis=0, dtype=np.float64) for of in types]).reshape(len(types), last - first))),
            lists(highest.T, pa.float32()),
            lists(mean.T, pa.float32()),
            pa.nulls(last - first, _NUMBERS) if percent is None else lists(percent.T, pa.float32()),
            lists(z.T, pa.float32(), spread == 0),
        ]
        return pa.record_batch(columns, schema=SCHEMA["metacell_expression"])


def moments(mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(genes,) averages over the metacells of (metacells, genes) means, and population standard deviations, exactly 0 where all are alike."""
    alike = mean.max(axis=0) == mean.min(axis=0)
    return mean.mean(axis=0, dtype=np.float64), np.where(alike, 0, mean.std(axis=0, dtype=np.float64))


def standard(mean: np.ndarray, average: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Means in standard deviations above the average, as float32: z."""
    return ((mean - average) / spread).astype(np.float32)


def tau(of_types: np.ndarray) -> np.ndarray:
    """(genes,) specificity for cell types, 0 to 1, of (types, genes) means: the sum of 1 - x / max x over N types, by N - 1.

    NaN for fewer than two types and where no type expresses the gene. Source: Yanai et al. 2005, Bioinformatics 21:650.
    """
    types, genes = of_types.shape
    if types < 2:
        return np.full(genes, np.nan)
    most = of_types.max(axis=0)
    expressed = most > 0
    rest = (1 - of_types / np.where(expressed, most, 1)).sum(axis=0) / (types - 1)
    return np.where(expressed, np.clip(rest, 0, 1), np.nan)


def lists(rows: np.ndarray, kind: pa.DataType, absent: np.ndarray | None = None) -> pa.ListArray:
    """(rows, values) as lists; `absent` (rows,) are NULL, and so are values that are NaN."""
    flat = np.ascontiguousarray(rows).ravel()
    missing = np.isnan(flat) if flat.dtype.kind == "f" else None
    offsets = pa.array(np.arange(0, flat.size + 1, max(1, rows.shape[1])) if rows.shape[1] else np.zeros(len(rows) + 1), pa.int32())
    mask = None if absent is None else pa.array(np.asarray(absent, bool))
    return pa.ListArray.from_arrays(offsets, pa.array(flat, kind, mask=missing), mask=mask)


def _identifier(text: str) -> str | None:
    return split_version(text)[0] if _ENSEMBL.fullmatch(text) else None


def _nullable(values: np.ndarray) -> pa.Array:
    single = values.astype(np.float32)
    return pa.array(single, pa.float32(), mask=np.isnan(single))
