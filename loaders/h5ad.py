"""AnnData files (.h5ad): what cells and genes they describe, which matrices they have, and these a slice at a time.

In: a path. Out: an `H5ad` with its tables as pandas frames, and `Stored` matrices, dense or sparse, of which never more than a slice is in memory.
Files of every age: where a table is one compound dataset (anndata before 0.7), it is read as such. Every way in which a file can be damaged, or be
none, ends in an InputError. Source: anndata.readthedocs.io/en/latest/fileformat-prose.html.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem
from scipy import sparse

from loaders import hdf5
from loaders.errors import InputError
from loaders.hdf5 import readable
from loaders.source import check

SLICE = 1 << 21
"""Numbers in a slice of a matrix, where a row (or column) has no more."""

LONGEST = 200
"""Characters that a name or a label can have."""

_MISSING = frozenset(("", "nan", "NaN", "NA", "N/A", "<NA>", "None"))
_COPY_AGAIN = "Copy or download it again."
_REMEDY = "An .h5ad is what adata.write_h5ad() of anndata writes."


class Slice(NamedTuple):
    """The numbers of some rows or of some columns of a matrix, as float64: sparse and canonical, or dense. `done` is the part of the matrix
    that has been read by then, 0 to 1."""

    rows: slice
    columns: slice
    values: Any
    done: float


@dataclass(frozen=True)
class Stored:
    """A matrix (rows, columns) in a file; `kind` is array, csr or csc, `node` the dataset or group."""

    path: Path
    name: str
    kind: str
    shape: tuple[int, int]
    node: Any

    def slices(self) -> Iterator[Slice]:
        """Its slices in order: of rows, or, where it is stored by columns, of columns. Raises InputError where it is damaged."""
        with readable(self.path):
            yield from self._dense() if self.kind == "array" else self._compressed()

    def _dense(self) -> Iterator[Slice]:
        rows, columns = self.shape
        step = max(1, SLICE // max(1, columns))
        for first in range(0, rows, step):
            last = min(rows, first + step)
            yield Slice(slice(first, last), slice(0, columns), np.asarray(self.node[first:last], np.float64), last / rows)

    def _compressed(self) -> Iterator[Slice]:
        by_rows = self.kind == "csr"
        major, minor = self.shape if by_rows else self.shape[::-1]
        make = sparse.csr_matrix if by_rows else sparse.csc_matrix
        begins, data, indices = self.node["indptr"][:].astype(np.int64), self.node["data"], self.node["indices"]
        if len(begins) != major + 1 or begins[0] or np.any(np.diff(begins) < 0) or not begins[-1] == data.shape[0] == indices.shape[0]:
            raise self._damaged("its indptr doesn't fit its shape and data")
        first = 0
        while first < major:
            last = max(first + 1, int(np.searchsorted(begins, begins[first] + SLICE, side="right")) - 1)
            last = min(last, major, first + SLICE)
            lo, hi = int(begins[first]), int(begins[last])
            place = indices[lo:hi]
            if len(place) and not 0 <= int(place.min()) <= int(place.max()) < minor:
                raise self._damaged(f"an index of it lies beyond its {minor:,} {'columns' if by_rows else 'rows'}")
            shape = (last - first, minor) if by_rows else (minor, last - first)
            values = make((data[lo:hi].astype(np.float64), place, begins[first : last + 1] - lo), shape=shape)
            values.sum_duplicates()
            here, all_of_it = slice(first, last), slice(0, minor)
            yield Slice(*((here, all_of_it) if by_rows else (all_of_it, here)), values, last / major)
            first = last

    def _damaged(self, why: str) -> InputError:
        return InputError(self.path, None, f"{self.name} is damaged: {why}", _COPY_AGAIN)


@dataclass(frozen=True)
class H5ad:
    """An open file: `obs` and `var` are its tables of rows and of columns, `matrices` those of its shape by their names (layers/NAME, raw.X, X),
    `raw_var` the columns of raw.X, `obsm` the tables of numbers that its rows have, by name."""

    path: Path
    obs: pd.DataFrame
    var: pd.DataFrame
    raw_var: pd.DataFrame | None
    matrices: dict[str, Stored]
    obsm: dict[str, Stored]

    def columns_of(self, matrix: str) -> pd.DataFrame:
        """The table of the columns of a matrix."""
        return self.raw_var if matrix == "raw.X" and self.raw_var is not None else self.var


@contextmanager
def opened(path: Path) -> Iterator[H5ad]:
    """The file, open. Raises InputError where it is no AnnData, is damaged, or its parts disagree in size."""
    if check(path):
        raise InputError(path, None, "a compressed file, not HDF5", f"Decompress it first: gunzip -k {path.name}")
    with hdf5.opened(path) as file:
        with readable(path):
            read = _read(path, file)
        yield read


def labels(column: pd.Series) -> list[str | None]:
    """A column as text, None where it is missing (NaN, or empty, nan, NA, None in text)."""
    absent = column.isna().to_numpy()
    texts = [_text(value) for value in column.to_numpy(object)]
    return [None if gone or text in _MISSING else text for gone, text in zip(absent, texts, strict=True)]


def check_texts(path: Path, what: str, texts: Sequence[str | None]) -> None:
    """Raises InputError for a text that has a zero byte or is longer than a name may be."""
    for text in texts:
        if text is not None and "\0" in text:
            raise InputError(path, None, f"{what} {text[:60]!r} holds a zero byte", "Write it without.")
        if text is not None and len(text) > LONGEST:
            shown = f"{what} of {len(text):,} characters: {text[:40]}..."
            raise InputError(path, None, shown, f"Names and labels have at most {LONGEST} characters: shorten it.")


def check_unique(path: Path, what: str, names: Sequence[str], remedy: str) -> None:
    """Raises InputError where names repeat."""
    index = pd.Index(names)
    if repeated := list(index[index.duplicated()].unique()):
        shown = ", ".join(map(str, repeated[:5])) + (" ..." if len(repeated) > 5 else "")
        raise InputError(path, None, f"{len(repeated):,} {what} are there more than once: {shown}", remedy)


def _read(path: Path, file: h5py.File) -> H5ad:
    if missing := [name for name in ("obs", "var") if name not in file]:
        raise InputError(path, None, f"not an AnnData file: it has no {' and no '.join(missing)}", _REMEDY)
    obs, var = (_frame(path, file, name) for name in ("obs", "var"))
    raw = next((name for name in ("raw/", "raw.") if f"{name}X" in file and f"{name}var" in file), None)
    raw_var = _frame(path, file, f"{raw}var") if raw else None
    nodes = {"X": file.get("X"), "raw.X": file[f"{raw}X"] if raw else None}
    nodes |= {f"layers/{name}": node for name, node in _children(file, "layers").items()}
    matrices = {name: found for name, node in nodes.items() if node is not None and (found := _stored(path, name, node))}
    of_rows = {name: found for name, node in _children(file, "obsm").items() if (found := _stored(path, f"obsm/{name}", node))}
    for name, found in matrices.items():
        wanted = (len(obs), len(raw_var if name == "raw.X" and raw_var is not None else var))
        if found.shape != wanted:
            raise _disagree(path, name, found.shape, f"{wanted[0]:,} rows in obs and {wanted[1]:,} in var")
    for found in of_rows.values():
        if found.shape[0] != len(obs):
            raise _disagree(path, found.name, found.shape, f"{len(obs):,} rows in obs")
    return H5ad(path, obs, var, raw_var, matrices, of_rows)


def _children(file: h5py.File, name: str) -> dict[str, Any]:
    """What a group holds; the fields of a compound dataset, as old files have it."""
    node = file.get(name)
    if isinstance(node, h5py.Dataset):
        return {field: node[field] for field in node.dtype.names or ()}
    return dict(node) if node is not None else {}


def _stored(path: Path, name: str, node: Any) -> Stored | None:
    """A matrix of numbers; None where a node is none."""
    if isinstance(node, h5py.Group):
        kind = str(node.attrs.get("encoding-type", node.attrs.get("h5sparse_format", ""))).removesuffix("_matrix")
        shape = node.attrs.get("shape", node.attrs.get("h5sparse_shape"))
        if kind not in ("csr", "csc") or shape is None or not {"data", "indices", "indptr"} <= set(node):
            return None
        numeric = node["data"].dtype
    else:
        kind, shape, numeric = "array", node.shape, node.dtype
    sound = shape is not None and len(shape) == 2 and numeric.kind in "biuf"
    return Stored(path, name, kind, (int(shape[0]), int(shape[1])), node) if sound else None


def _frame(path: Path, file: h5py.File, name: str) -> pd.DataFrame:
    """A table, its index as text. Raises InputError where it cannot be read, or two columns have other lengths."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the file's age
            node = file[name]
            frame = _compound(file, node) if isinstance(node, h5py.Dataset) else read_elem(node)
        frame.index = pd.Index([_text(value) for value in frame.index], dtype=object)
        return frame
    except Exception as error:  # anndata raises whatever comes of it
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(path, None, f"its {name} cannot be read: {why[:300]}", f"{_COPY_AGAIN} {_REMEDY}") from error


def _compound(file: h5py.File, node: h5py.Dataset) -> pd.DataFrame:
    """A table that is one dataset, as anndata before 0.7 wrote it: categories of a column are in uns/COLUMN_categories."""
    rows = node[:]
    first, *columns = rows.dtype.names
    made = {}
    for name in columns:
        stored = f"uns/{name}_categories"
        codes = rows[name]
        if stored in file and codes.dtype.kind == "i":
            made[name] = pd.Categorical.from_codes(codes, [_text(value) for value in file[stored][:]])
        else:
            made[name] = [_text(value) for value in codes] if codes.dtype.kind in "SO" else codes
    return pd.DataFrame(made, index=[_text(value) for value in rows[first]])


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _disagree(path: Path, name: str, shape: tuple[int, int], wanted: str) -> InputError:
    return InputError(path, None, f"{name} is {shape[0]:,} x {shape[1]:,}, but there are {wanted}", f"Write the file again. {_REMEDY}")
