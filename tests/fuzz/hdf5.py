"""Damage done to HDF5: by its bytes, and by what it holds, which bytes alone hardly reach: datasets gone, of another shape, kind or size, attributes
that contradict them, links that lead nowhere or in a ring, and shapes of which nothing was ever written."""

from __future__ import annotations

import contextlib
from random import Random
from typing import Any

import h5py
import numpy as np

from tests.fuzz import mutate

READ_WRITE = 1  # H5LT_FILE_IMAGE_OPEN_RW
_KINDS = ("f2", "f4", "f8", "i1", "i8", "u4", "u8", "?", "S3", "c8", "V4")
_SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (3,), (0, 0), (6, 0), (0, 5), (2, 2), (6, 5), (1, 1, 1), (5, 6))
_HUGE: tuple[tuple[int, ...], ...] = ((10**9,), (10**12,), (10**9, 10**6), (6, 10**9), (10**12, 5), (6, 40_000))
_VALUES = (0, 1, -1, 0.5, -0.5, np.nan, np.inf, -np.inf, 1e300, 65504, 65520, 2**31, 2**62, -(2**62))
_TEXTS: tuple[Any, ...] = (
    "", "SEACell-1", "csr_matrix", "csc_matrix", "array", "dataframe", "categorical", "nullable-integer", "awkward-array", "dict", "rec-array", "numeric-scalar",
    "0.1.0", "0.2.0", "x" * 5000, "é\N{DNA DOUBLE HELIX}", b"\xff\xfe", 7, -1, 1.5, (0, 0), (-1, 5), (10**12, 10**12), (6,), (6, 3, 1), ("a", "b"), True,
)  # fmt: skip
_READ = 1 << 16  # numbers of a dataset that are read to be changed
_REFUSED = (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError, NotImplementedError, AttributeError, IndexError)


def damaged(random: Random, data: bytes) -> bytes:
    """The bytes of an HDF5 file, damaged in one to some places."""
    if random.random() < 0.4:
        return mutate.binary(random, data)
    with h5py.File(h5py.h5f.open_file_image(data, flags=READ_WRITE)) as file:
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            with contextlib.suppress(*_REFUSED):  # what the library does not do is not done
                random.choice(_DAMAGES)(random, file)
        file.flush()
        made = bytes(file.id.get_file_image())
    return mutate.binary(random, made) if random.random() < 0.15 else made


def _paths(file: h5py.File) -> list[str]:
    """The paths of what a file holds, rings and dangling links apart."""
    found: list[str] = []
    file.visit(found.append)
    return found


def _a_path(random: Random, file: h5py.File) -> str:
    return random.choice(_paths(file))


def _a_dataset(random: Random, file: h5py.File) -> h5py.Dataset:
    return random.choice([file[path] for path in _paths(file) if isinstance(file[path], h5py.Dataset) and (file[path].size or 0) < _READ])


def _gone(random: Random, file: h5py.File) -> None:
    del file[_a_path(random, file)]


def _moved(random: Random, file: h5py.File) -> None:
    one, other = _a_path(random, file), _a_path(random, file)
    file.move(one, random.choice((one + "x", one.upper(), "X", "obs/SEACell", other + "/" + "y")))


def _exchanged(random: Random, file: h5py.File) -> None:
    one, other = _a_path(random, file), _a_path(random, file)
    del file[one]
    file[one] = random.choice(
        (file[other], h5py.SoftLink("/nowhere"), h5py.SoftLink("/" + one), h5py.ExternalLink("gone.h5", "/"), file["/"])
    )


def _reshaped(random: Random, file: h5py.File) -> None:
    """Other numbers, of another shape or kind, in place of a dataset; or a group."""
    path = _a_path(random, file)
    attributes = dict(file[path].attrs)
    del file[path]
    kind, shape = random.choice(_KINDS), random.choice(_SHAPES)
    way = random.randrange(7)
    if way == 0:
        made = file.create_group(path)
    elif way == 1:
        made = file.create_dataset(path, data=h5py.Empty("f4"))
    elif way == 2:
        words = [
            random.choice(("", "a", "é", "20", "chr20", "SEACell-1", "x" * 3000, "1e400", "nan"))
            for _ in range(random.choice((1, 3, 5, 6, 10)))
        ]
        made = file.create_dataset(path, data=words, dtype=h5py.string_dtype())
    elif way == 3:
        shape = random.choice(_HUGE)
        made = file.create_dataset(
            path,
            shape=shape,
            dtype=random.choice(("f2", "u4", "S200", h5py.string_dtype())),
            chunks=random.choice((True, tuple(min(n, 1000) for n in shape))),
        )
    elif way == 4:
        compound = np.dtype([("index", "S4"), ("SEACell", random.choice(("i1", "f4", "S9"))), ("pos", "u4")])
        made = file.create_dataset(path, data=np.zeros(shape, compound))
    elif way == 5:
        made = file.create_dataset(path, data=np.zeros(shape, "i1"), dtype=h5py.enum_dtype({"FALSE": 0, "TRUE": 1}, basetype="i1"))
    else:
        packing = (
            {"compression": random.choice((None, "gzip", "lzf")), "shuffle": True, "fletcher32": random.random() < 0.3}
            if shape and 0 not in shape
            else {}
        )
        with np.errstate(all="ignore"):
            values = (np.arange(int(np.prod(shape))) * random.choice(_VALUES)).reshape(shape) if kind[0] in "fiuc" else np.zeros(shape)
            made = file.create_dataset(path, data=values.astype(kind), **packing)
    for name, value in attributes.items():
        made.attrs[name] = value


def _revalued(random: Random, file: h5py.File) -> None:
    """Some numbers or texts of a dataset changed."""
    found = _a_dataset(random, file)
    values = found[()]
    for _ in range(random.choice((1, 1, 3))):
        place = tuple(random.randrange(n) for n in found.shape)
        with np.errstate(all="ignore"):
            if found.dtype.kind in "SO":
                values[place] = random.choice(mutate.WORDS + mutate.NUMBERS).replace(b"\0", b"")
            else:
                values[place] = np.array(random.choice(_VALUES)).astype(found.dtype)
    found[()] = values


def _shuffled(random: Random, file: h5py.File) -> None:
    found = _a_dataset(random, file)
    values = found[()]
    found[()] = random.choice((values[::-1], np.sort(values), np.roll(values, 1), np.zeros_like(values)))


def _attributed(random: Random, file: h5py.File) -> None:
    """An attribute changed, made, or gone."""
    node = file[random.choice((_a_path(random, file), "/"))]
    name = random.choice((*node.attrs, "encoding-type", "encoding-version", "shape", "_index", "column-order", "h5sparse_shape", "ordered"))
    if name in node.attrs and random.random() < 0.3:
        del node.attrs[name]
    else:
        node.attrs[name] = random.choice((*_TEXTS, _a_path(random, file)))


def _more(random: Random, file: h5py.File) -> None:
    """Something beside what is there, under a name that readers look for."""
    name = random.choice(
        (
            "raw/X",
            "raw.X",
            "layers/counts",
            "layers/raw",
            "obsm/X_pca",
            "obs/SEACell",
            "obs/Pseudo-sizes",
            "SAR",
            "SAD",
            "snp",
            "alt",
            "uns/SEACell_categories",
            "target_ids",
        )
    )
    file[name] = np.zeros(random.choice(_SHAPES), random.choice(_KINDS))


_DAMAGES = (
    _gone,
    _moved,
    _exchanged,
    _reshaped,
    _reshaped,
    _reshaped,
    _revalued,
    _revalued,
    _revalued,
    _shuffled,
    _attributed,
    _attributed,
    _attributed,
    _more,
)
