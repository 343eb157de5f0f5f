"""Metacells and genes once more: what files of single cells and gene annotations say, by plain Python and numpy, for the tests of metacells and of
the cells in which a variant may matter. Nothing of it is a loader's.
"""

from __future__ import annotations

import gzip
import math
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

Row = dict[str, Any]


def near(value: float | None) -> Any:
    """What a 32-bit float of this value is shown as; None for NaN."""
    return None if value is None or math.isnan(value) else pytest.approx(value, rel=2e-6, abs=2e-6)


@dataclass(frozen=True)
class Gene:
    """A gene of a GTF: positions are 1-based and inclusive, aliases in upper case."""

    gene_id: str
    symbol: str
    chrom: str
    start: int
    end: int
    aliases: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Annotation:
    """The genes of a GTF, and which of them a name with an identifier means."""

    genes: list[Gene]

    @cached_property
    def _found(self) -> tuple[dict[str, str], dict[str, str]]:
        symbols: dict[str, str] = {}
        aliases: dict[str, str] = {}
        for gene in sorted(self.genes, key=lambda g: g.gene_id):
            symbols.setdefault(gene.symbol.upper(), gene.gene_id)
            for alias in gene.aliases - {gene.symbol.upper()}:
                aliases.setdefault(alias, gene.gene_id)
        return symbols, aliases

    @cached_property
    def ids(self) -> set[str]:
        return {gene.gene_id for gene in self.genes}

    @cached_property
    def symbol_of(self) -> dict[str, str]:
        return {gene.gene_id: gene.symbol for gene in self.genes}

    def target(self, name: str | None, identifier: str | None) -> str | None:
        """The gene that is meant: by identifier, else by symbol, else by alias."""
        symbols, aliases = self._found
        if identifier in self.ids:
            return identifier
        upper = (name or "").upper()
        return symbols.get(upper) or aliases.get(upper)

    def at(self, chrom: str, start: int, end: int | None = None) -> list[str]:
        """The genes in which a position lies, or any of several."""
        return [gene.gene_id for gene in self.genes if gene.chrom == chrom and gene.start <= (end or start) and start <= gene.end]


def read_gtf(path: Path) -> Annotation:
    """The gene lines of a GTF, plain or gzip."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    found = []
    for row in (line.split("\t") for line in text.splitlines() if line[0] != "#"):
        if row[2] == "gene":
            said = re.findall(r'(\w+) "([^"]*)"', row[8])
            known = dict(said)
            aliases = frozenset(value.upper() for key, value in said if key == "gene_synonym")
            identifier = known["gene_id"].split(".")[0] if known["gene_id"].startswith("ENSG") else known["gene_id"]
            found.append(Gene(identifier, known["gene_name"], row[0].removeprefix("chr"), int(row[3]), int(row[4]), aliases))
    return Annotation(found)


@dataclass(frozen=True)
class Cells:
    """The metacells of a file of cells: (metacells,) lists, (metacells, genes) means and percentages, float32."""

    dataset: str
    names: list[str]
    cell_type: list[str]
    purity: np.ndarray
    size: np.ndarray
    genes: list[str]
    ids: list[str | None]
    mean: np.ndarray
    percent: np.ndarray
    embedding: np.ndarray | None
    plot: np.ndarray | None
    tissue: str | None = None

    @cached_property
    def types(self) -> list[str]:
        return sorted(set(self.cell_type))

    @cached_property
    def z(self) -> np.ndarray:
        """(metacells, genes) standard deviations above the average, NaN where all metacells are alike."""
        mean = self.mean.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            z = (mean - mean.mean(0)) / mean.std(0)
        z[:, (mean == mean[0]).all(0)] = np.nan
        return z.astype(np.float32)

    @cached_property
    def tau(self) -> np.ndarray:
        """(genes,) specificity for cell types (Yanai et al. 2005) over the means of their metacells."""
        of = np.array([self.mean[[name == each for name in self.cell_type]].astype(np.float64).mean(0) for each in self.types])
        with np.errstate(invalid="ignore", divide="ignore"):
            return (1 - of / of.max(0)).sum(0) / (len(of) - 1) if len(of) > 1 else np.full(len(self.genes), np.nan)

    @cached_property
    def place(self) -> dict[str, int]:
        return {name: n for n, name in enumerate(self.genes)}

    def expressing(self, gene: int, cell_type: str, least: float) -> bool:
        """Whether some metacell of a cell type expresses a gene."""
        return any(
            of == cell_type and mean >= np.float32(least) and mean > 0 for of, mean in zip(self.cell_type, self.mean[:, gene], strict=True)
        )

    def row(self, metacell: int, gene: int) -> Row:
        """What a metacell expresses of a gene, as the fields of MetacellExpression that are its own."""
        return {
            "geneName": self.genes[gene], "mean": near(float(self.mean[metacell, gene])), "percent": near(float(self.percent[metacell, gene])),
            "z": near(float(self.z[metacell, gene])), "tau": near(float(self.tau[gene])),
        }  # fmt: skip

    def top(self, metacell: int) -> list[int]:
        """The most specific genes of a metacell: those that a tenth of its cells express, by z."""
        z, mean = self.z[metacell], self.mean[metacell]
        fit = [g for g in range(len(self.genes)) if mean[g] > 0 and not np.isnan(z[g]) and self.percent[metacell, g] >= 10]
        return sorted(fit, key=lambda g: (-z[g], -mean[g], self.genes[g]))[:100]

    def distances(self, metacell: int) -> np.ndarray:
        """(metacells,) Euclidean distances of the embeddings from that of one."""
        assert self.embedding is not None
        return np.sqrt(((self.embedding.astype(np.float64) - self.embedding[metacell]) ** 2).sum(1))


def read_cells(path: Path, dataset: str, matrix: str, label: str, **more: Any) -> Cells:
    """The metacells of cells with a column SEACell: `matrix` is raw.X (logged), or X or layers/counts (of counts), `label` the column of cell types."""
    source = read(path)
    values = source.raw.X if matrix == "raw.X" else source.X if matrix == "X" else source.layers["counts"]
    values = (values.toarray() if hasattr(values, "toarray") else np.asarray(values)).astype(np.float64)
    labels = list(source.obs["SEACell"].astype(str))
    names = list(dict.fromkeys(labels))
    of = [np.array([label == name for label in labels]) for name in names]
    pooled = np.array([values[rows].sum(0) for rows in of])
    size = np.array([rows.sum() for rows in of])
    mean = pooled / size[:, None] if matrix == "raw.X" else np.log1p(pooled / pooled.sum(1, keepdims=True) * 1e4)
    said = np.array(source.obs[label].astype(str))
    counted = [Counter(said[rows].tolist()) for rows in of]
    cell_type = [min(c, key=lambda name, c=c: (-c[name], name)) for c in counted]  # type: ignore[misc]
    said_ids = [text or None for text in source.var["gene_ids"]] if "gene_ids" in source.var else [None] * source.n_vars
    genes = list(source.raw.var_names if matrix == "raw.X" else source.var_names)
    return Cells(
        dataset, names, cell_type, np.array([c[t] for c, t in zip(counted, cell_type, strict=True)]) / size, size, genes,
        [name if re.fullmatch(r"ENSG\d{11}", name) else beside for name, beside in zip(genes, said_ids, strict=True)], mean.astype(np.float32),
        np.array([100 * (values[rows] > 0).mean(0) for rows in of]), means_of(source, of, "X_pca"),
        means_of(source, of, "X_umap"), **more,
    )  # fmt: skip


def means_of(source: anndata.AnnData, members: Sequence[np.ndarray], name: str) -> np.ndarray | None:
    """(metacells, dimensions) means of a table of obsm over the cells of each; None where there is none."""
    return np.array([source.obsm[name][rows].astype(np.float64).mean(0) for rows in members]) if name in source.obsm else None


def read(path: Path) -> anndata.AnnData:
    """An AnnData of any age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return anndata.read_h5ad(path)


@dataclass(frozen=True)
class Peaks:
    """Accessibility by metacell: (metacells, peaks) of the metacells that are named; NaN for those that the file does not have."""

    peaks: list[tuple[str, int, int]]
    access: np.ndarray

    def over(self, chrom: str, start: int, end: int) -> list[int]:
        """The peaks that overlap a region, 1-based and inclusive, in genome order."""
        found = [n for n, (where, first, last) in enumerate(self.peaks) if where == chrom and first <= end and last >= start]
        return sorted(found, key=lambda n: (*self.peaks[n][1:], n))


def read_peaks(path: Path, names: Sequence[str]) -> Peaks:
    """The peaks of a file of cells with layers['counts'], whose names are in BED coordinates."""
    source = read(path)
    counts = source.layers["counts"]
    counts = (counts.toarray() if hasattr(counts, "toarray") else counts).astype(np.float64)
    labels = np.array(source.obs["SEACell"].astype(str))
    peaks = [re.fullmatch(r"chr(\w+):(\d+)-(\d+)", name) for name in source.var_names]
    access = np.full((len(names), counts.shape[1]), np.nan)
    for n, name in enumerate(names):
        if (labels == name).any():
            pooled = counts[labels == name].sum(0)
            access[n] = np.log1p(pooled / pooled.sum() * 1e4)
    return Peaks([(p[1], int(p[2]) + 1, int(p[3])) for p in peaks if p], access)


def copied(path: Path, folder: Path) -> Path:
    """A copy of a file, since what is rejected of a file is written beside it."""
    return Path(shutil.copy(path, folder))


def write_gtf(path: Path, rows: Sequence[tuple[str, ...]]) -> Path:
    """Genes 1,000 bases apart on chromosome 20, each with its identifier, symbol and other names."""
    lines = [
        f'20\tx\tgene\t{n * 1000 + 1_000_001}\t{n * 1000 + 1_000_500}\t.\t+\t.\tgene_id "{i}"; gene_name "{s}"; '
        + "".join(f'gene_synonym "{a}"; ' for a in aliases)
        for n, (i, s, *aliases) in enumerate(rows)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_cells(
    path: Path, genes: Sequence[tuple[str, str | None]], types: Sequence[str] = ("x", "x", "y"), counts: np.ndarray | None = None
) -> Path:
    """Two cells of each metacell, of these cell types, with counts (cells, genes), else drawn; genes have names, and some identifiers."""
    of = [n // 2 for n in range(2 * len(types))]
    drawn = np.random.default_rng(1).integers(0, 9, (len(of), len(genes))) if counts is None else counts
    obs = pd.DataFrame(
        {"SEACell": [f"SEACell-{n}" for n in of], "cell_type": [types[n] for n in of]}, index=[f"c{n}" for n in range(len(of))]
    )
    var = pd.DataFrame({"gene_ids": [identifier or "" for _, identifier in genes]}, index=[name for name, _ in genes])
    anndata.AnnData(drawn.astype(np.float32), obs=obs, var=var).write_h5ad(path)
    return path
