"""How files of Enformer's effects are laid out: HDF5 with a matrix of effects on tracks, or a table of text with their principal components.

HDF5, as 1000G.MAF_threshold=0.005.CHROM.h5 (Avsec et al. 2021): snp, chr, pos (1-based), ref and alt for each variant, target_ids and target_labels
for each track, and SAD or SAR or both, 16-bit floats, (variants, tracks). The table: tabs, a header `#CHROM POS ID REF ALT PC0 PC1 ...`,
1-based positions. What the tracks are says targets_human.txt, or the file itself. Source: github.com/calico/basenji, basenji_sad.py and
manuscripts/cross2020.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from loaders.errors import InputError
from loaders.hdf5 import opened, readable
from loaders.scores import check_comments
from loaders.source import check, text_blocks
from store.tissue import assay_of, tissue_of

SCORES = ("SAD", "SAR")
"""What an effect may be; of files with both the first is taken."""

MOST_TRACKS = 1 << 15
"""Ordinals of tracks are 16-bit numbers."""

MOST_COMPONENTS = 10_000
"""Principal components of a variant."""

SLICE_BYTES = 16 << 20
"""Of the matrix of effects, what is read at a time."""

MOST_ROWS = 20_000
"""Variants that are read at a time, where tracks are few: their alleles and names take memory too."""

_MOST_SLICE_BYTES = 64 << 20
_LOCUS = ("chr", "pos", "ref", "alt")
_COLUMNS = ("chrom", "pos", "id", "ref", "alt")
_TARGETS = ("index", "identifier", "description")
_COPY_AGAIN = "Copy or download it again."
_EMPTY = "Take it out of the command, or write it again with its variants."
_FALSE = frozenset(("", "0", "FALSE", "NO", "NONE"))


@dataclass(frozen=True)
class Track:
    """A track whose change is predicted: its identifier and its description, as written."""

    identifier: str
    description: str

    @cached_property
    def assay(self) -> str:
        """What was measured (store.tissue.ASSAYS), or what the description begins with."""
        return assay_of(self.description)

    @cached_property
    def tissue(self) -> str | None:
        """The tissue by store/tissues.tsv."""
        return tissue_of(self.description)


@dataclass(frozen=True)
class Matrix:
    """An HDF5 file: which of its scores is read, how many variants it has, what its tracks are (labels are empty where it has none), how many
    rows are read at a time, and what its attributes say."""

    score: str
    rows: int
    tracks: tuple[Track, ...]
    step: int
    comment: str
    synthetic: bool


@dataclass(frozen=True)
class Table:
    """A table of components: how many there are, the line of its first row, and what its comments say."""

    components: int
    begin: int
    comment: str
    synthetic: bool


def layout(path: Path, score: str | None = None, targets: tuple[Track, ...] | None = None) -> Matrix | Table:
    """The layout of a file. `score` is the one to read of a matrix; without one, the first of SCORES that it has.

    `targets` are what its tracks have to be; without them they are what the file says. Raises InputError where it is of neither kind, or
    contradicts itself or `targets`.
    """
    check(path)
    if h5py.is_hdf5(path):
        with opened(path) as file, readable(path):
            return _matrix(path, file, score, targets)
    if path.suffix.lower() in (".h5", ".hdf5"):
        raise InputError(path, None, "not an HDF5 file", _COPY_AGAIN)
    return _table(path)


def targets(path: Path) -> tuple[Track, ...]:
    """The tracks of a file like targets_human.txt, by their index. Raises InputError where that is not what it is."""
    header: list[str] = []
    found: dict[int, Track] = {}
    lines: dict[int, int] = {}
    for block in text_blocks(path):
        for number, line in enumerate(block.lines, block.first):
            cells = line.split("\t")
            if not header:
                # As pandas writes an index that has no name.
                header = ["index" if not cell and not place else cell.strip().lower() for place, cell in enumerate(cells)]
                if missing := [name for name in _TARGETS if name not in header]:
                    raise InputError(
                        path, number, f"no column {', '.join(missing)}",
                        "Give targets_human.txt: tabs, and a header index genome identifier file clip scale sum_stat description.",
                    )  # fmt: skip
                continue
            if not line.strip():
                continue
            if len(cells) < len(header):
                raise InputError(path, number, f"{len(cells)} columns of {len(header)}", _COPY_AGAIN)
            index, identifier, description = (cells[header.index(name)].strip() for name in _TARGETS)
            if not (index.isascii() and index.isdecimal() and len(index) < 10) or int(index) >= MOST_TRACKS:
                raise InputError(path, number, f"index {index[:40]!r} is no number from 0 to {MOST_TRACKS - 1:,}", "Correct it.")
            if int(index) in found:
                raise InputError(
                    path, number, f"index {index} is that of line {lines[int(index)]} too", "Give each track an index of its own."
                )
            found[int(index)], lines[int(index)] = Track(identifier, description), number
    if missing_index := next((index for index in range(len(found)) if index not in found), None):
        raise InputError(path, None, f"no track has the index {missing_index}, but {len(found):,} tracks there are", "Number them from 0.")
    if 0 not in found:
        raise InputError(path, None, "no track has the index 0", "Give targets_human.txt, whose tracks are numbered from 0.")
    return tuple(found[index] for index in range(len(found)))


def texts(values: np.ndarray) -> list[str]:
    """Strings of HDF5, which come as bytes of a fixed length or as objects, as text."""
    return [_text(value) for value in values.tolist()]


def _text(value: Any) -> str:
    # Of text that is not UTF-8 the library makes surrogates, which nothing can store.
    raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "replace").replace("\0", "").strip()


def _matrix(path: Path, file: h5py.File, score: str | None, targets: tuple[Track, ...] | None) -> Matrix:
    there = {name: file[name] for name in file if isinstance(file.get(name), h5py.Dataset)}
    listed = f"It has {', '.join(sorted(there)) or 'no datasets'}."
    chosen = score or next((name for name in SCORES if name in there), None)
    if "alt" not in there and "ref" in there and any(name in there for name in SCORES):
        raise InputError(
            path, None, "a file of Basenji that has no ALT alleles (no dataset alt), so that effects of several ALTs cannot be told apart",
            f"Load files of Enformer, which have one: 1000G.MAF_threshold=0.005.CHROM.h5. {listed}",
        )  # fmt: skip
    needed = (*_LOCUS, *(() if targets else ("target_ids", "target_labels")), chosen or "SAD or SAR")
    if missing := [name for name in needed if name not in there]:
        raise InputError(path, None, f"no dataset {', '.join(missing)}", listed)
    assert chosen is not None
    effects, rows = there[chosen], len(there["pos"]) if there["pos"].ndim == 1 else -1
    wrong = next((n for n in (*_LOCUS, "snp") if n in there and there[n].shape != (rows,)), None)
    if wrong:
        raise InputError(path, None, f"{wrong} has the shape {there[wrong].shape}, not one value for each variant", _COPY_AGAIN)
    if effects.ndim != 2 or effects.shape[0] != rows or not effects.shape[1]:
        raise InputError(
            path, None, f"{chosen} has the shape {effects.shape}, not ({rows}, tracks) for the {rows} variants of pos", _COPY_AGAIN
        )
    for name, kinds, what in ((chosen, "f", "floats"), ("pos", "iu", "whole numbers")):
        if there[name].dtype.kind not in kinds:
            raise InputError(path, None, f"{name} holds {there[name].dtype}, not {what}", _COPY_AGAIN)
    if not rows:
        raise InputError(path, None, "no variants in it", _EMPTY)
    count = effects.shape[1]
    if count > MOST_TRACKS:
        raise InputError(
            path, None, f"{count:,} tracks; at most {MOST_TRACKS:,} can be told apart", "Choose tracks, and write a file of them."
        )
    tracks = _tracks(path, there, count, targets)
    said = _attributes(file)
    synthetic = said.get("synthetic", "").upper() not in _FALSE or "synthetic" in said.get("source", "").lower()
    comment = "\n".join(f"{name}={value}" for name, value in said.items())
    return Matrix(chosen, rows, tracks, _step(effects), comment, synthetic)


def _tracks(path: Path, there: dict[str, h5py.Dataset], count: int, targets: tuple[Track, ...] | None) -> tuple[Track, ...]:
    """The tracks of a file: `targets`, with which it has to agree, or those that it names itself."""
    named = {name: texts(there[name][()]) for name in ("target_ids", "target_labels") if name in there and there[name].ndim == 1}
    if targets is not None and len(targets) != count:
        raise InputError(
            path, None, f"{count:,} tracks, while --targets has {len(targets):,}", "Give the targets of the model that made the effects."
        )
    if wrong := next((name for name, values in named.items() if len(values) != count), None):
        raise InputError(path, None, f"{count:,} tracks, but {len(named[wrong]):,} {wrong}", _COPY_AGAIN)
    if targets is None:
        if len(named) < 2:
            raise InputError(
                path, None, "target_ids and target_labels are not one for each track", "Name the tracks: --targets targets_human.txt"
            )
        return tuple(Track(*each) for each in zip(named["target_ids"], named["target_labels"], strict=True))
    for ordinal, (identifier, target) in enumerate(zip(named.get("target_ids", ()), targets, strict=False)):
        if identifier != target.identifier:
            raise InputError(
                path, None, f"track {ordinal} is {identifier}, while --targets has {target.identifier} there",
                "Give the targets of the model that made the effects, in its order.",
            )  # fmt: skip
    return targets


def _step(effects: h5py.Dataset) -> int:
    """How many rows are read at a time: some megabytes, and whole chunks, which are read as a whole; at most MOST_ROWS."""
    row = effects.shape[1] * effects.dtype.itemsize
    whole = effects.chunks[0] if effects.chunks else 1
    step = max(1, SLICE_BYTES // row // whole) * whole
    return max(1, min(step, _MOST_SLICE_BYTES // row, MOST_ROWS))


def _attributes(file: h5py.File) -> dict[str, str]:
    """The attributes of a file that are text or one value, cut to a sensible length."""
    found = {}
    for name, value in file.attrs.items():
        if isinstance(value, (str, bytes)) or np.ndim(value) == 0:
            found[_text(name.lower())] = _text(value)[:1000]
    return found


def stated_assembly(described: Matrix | Table) -> str:
    """The part of what a file says of itself that may name its assembly."""
    if isinstance(described, Table):
        return described.comment
    return "\n".join(line for line in described.comment.splitlines() if line.partition("=")[0] in ("genome", "assembly"))


def _table(path: Path) -> Table:
    comments: list[str] = []
    size = 0
    found: Table | None = None
    for block in text_blocks(path):
        for number, line in enumerate(block.lines, block.first):
            cells = [cell.strip() for cell in line.lstrip("#").split("\t")]
            if not line.strip() or (found and line[0] == "#"):
                continue
            if found:
                return found
            if tuple(cell.lower() for cell in cells[:5]) == _COLUMNS:
                components = cells[5:]
                if not components:
                    raise InputError(path, number, "no components after ALT", "Its header is #CHROM POS ID REF ALT PC0 PC1 ...")
                if len(components) > MOST_COMPONENTS:
                    raise InputError(
                        path,
                        number,
                        f"{len(components):,} components, of which at most {MOST_COMPONENTS:,} are kept",
                        "Keep the first ones.",
                    )
                if twice := next((name for name, n in Counter(components).items() if n > 1), None):
                    raise InputError(path, number, f"two columns {twice}", "Name each component once.")
                comment = "\n".join(comments)
                found = Table(len(components), number + 1, comment, "synthetic" in comment.lower())
                continue
            if line[0] != "#":
                raise InputError(
                    path, number, "neither HDF5 nor a table of principal components",
                    "Such a table has tabs and a header #CHROM POS ID REF ALT PC0 PC1 ...",
                )  # fmt: skip
            size += len(line)
            check_comments(path, number, size)
            comments.append(line.lstrip("# "))
    if found:
        raise InputError(path, None, "no variants in it", _EMPTY)
    raise InputError(path, None, "no header", "A table of principal components begins with #CHROM POS ID REF ALT PC0 PC1 ...")
