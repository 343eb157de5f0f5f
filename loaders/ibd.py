"""Segments shared by descent (IBD) and homozygous by descent (HBD), as the tools that find them write them.

In: one segment a line, in the layout of the tool (ibd_layout.py); positions are 1-based and inclusive. Out: rows of ibd_segment, one for each segment,
in which samples are names; of hbd_segment where both names are one; and of ibd_run. Lengths are in cM, of the file or of a genetic map, never Mb.
Haplotypes are 1 and 2, whether the tool counts from 0 or from 1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loaders.errors import InputError
from loaders.genetic_map import GeneticMap
from loaders.ibd_layout import BAD_HAPLOTYPE, BAD_LENGTH, BAD_POSITION, NOT_A_NUMBER, TEXT, Layout, first_lines, parse
from loaders.normalize import BAD_CONTIG, BEYOND
from loaders.samples import NO_NAME
from loaders.source import RawBlock, raw_blocks, text
from store.assembly import Assembly, chrom_code
from store.copy import Chunk, Reject

TABLES = ("ibd_run", "ibd_segment", "hbd_segment")
_PLACE = [("file", pa.int16()), ("line", pa.int32()), ("chrom", pa.int16()), ("start_pos", pa.int32()), ("end_pos", pa.int32())]
_SHARED = [("haplotype", pa.int16()), ("other_haplotype", pa.int16()), ("ibd_type", pa.int16())]
_SIZE = [("length_cm", pa.float64()), ("markers", pa.int32()), ("score", pa.float64())]
SCHEMA = {
    "ibd_run": pa.schema(
        [(name, pa.string()) for name in ("source", "source_version", "cohort", "callset", "callset_version")]
        + [("phased", pa.bool_()), ("surveyed_cm", pa.float64()), ("map_cm", pa.list_(pa.float64()))]
    ),
    "ibd_segment": pa.schema([("sample_id", TEXT), ("other_id", TEXT), *_PLACE, *_SHARED, *_SIZE]),
    "hbd_segment": pa.schema([("sample_id", TEXT), *_PLACE, *_SIZE]),
}
CHUNK_ROWS = 200_000
_CHUNK_TEXT = 64 << 20  # bytes, which that many lines have not where they are sound
_TYPES = {"IBD1": 1, "IBD2": 2}
_BASES_OF_MB = 1_000_000
_SHOWN = 200

UNDIVIDED = "name without the part that tells haplotype or family"
BACKWARDS = "start after end"
BAD_UNIT = "unit other than cM and MB"
SAME_HAPLOTYPE = "a haplotype shared with itself"
BAD_TYPE = "unknown IBD type"
NO_MAP = "chromosome that the genetic map does not have"
BEYOND_MAP = "segments beyond the genetic map, measured to its end"


def divisible_names(path: Path, layout: Layout) -> list[str]:
    """The names in the first lines of a file as they are written, where all of them can be divided; else none."""
    names = _people(parse(first_lines(path), 1, layout).columns, None).names.to_pylist()
    return names if layout.names and all(re.match(layout.names, name) for name in names) else []


@dataclass(frozen=True)
class Reader:
    """Reads one file of a run. `file` is its ordinal; `chrom` the code of its chromosome, where its lines do not say; `divided` whether names are
    divided as the layout says; `run` the row of ibd_run, which comes with the first chunk of the first file."""

    path: Path
    layout: Layout | None
    assembly: Assembly
    file: int = 0
    chrom: int = 0
    divided: bool = False
    genetic_map: GeneticMap | None = None
    run: pa.RecordBatch | None = None

    def read(self, after: int = 0) -> Generator[Chunk, None, None]:
        """The chunks of the file, from the line after line `after`.

        Raises InputError where lengths are in Mb, or there are none, and no genetic map tells them in cM.
        """
        first = {"ibd_run": self.run} if self.run is not None and not self.file and not after else {}
        if self.layout:
            for block in _blocks(self.path, after):
                chunk = self._chunk(self.layout, block)
                yield replace(chunk, tables=first | chunk.tables)
                first = {}
        if first:
            yield Chunk(first, 0, end=1)

    def _chunk(self, layout: Layout, block: RawBlock) -> Chunk:
        columns, lines, faults = parse(block.data, block.first, layout)
        records = len(lines) + len(faults)
        people = _people(columns, layout.names if self.divided else None)
        values, measured = self._values(columns, lines, people)
        sound = np.ones(len(lines), bool)
        for reason, wrong, about in self._checks(columns, people, values, measured):
            for row in np.flatnonzero(sound & wrong).tolist():
                detail = ", ".join(f"{name} {str(columns[name][row].as_py())[:40]}" for name in about if name in columns)
                faults.append((int(lines[row]), reason, detail))
            sound &= ~wrong
        alone = values["sample_id"] == values["other_id"]
        tables = {
            table: _rows(table, values, people.names, np.flatnonzero(which))
            for table, which in (("ibd_segment", sound & ~alone), ("hbd_segment", sound & alone))
            if which.any()
        }
        warnings: Counter[str] = Counter()
        if self.genetic_map and measured.any():
            beyond = self.genetic_map.beyond(values["chrom"], values["start_pos"]) | self.genetic_map.beyond(
                values["chrom"], values["end_pos"]
            )
            warnings += Counter({BEYOND_MAP: int((sound & measured & beyond).sum())})
        last = block.first + block.data.count(b"\n")
        return Chunk(tables, records, _rejects(faults, block), block.position, last, warnings=warnings)

    def _values(self, columns: dict[str, pa.Array], lines: np.ndarray, people: _People) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Columns of the tables, as far as the file has them, sound or not (unknown chromosomes and types are 0), and which lengths the genetic
        map measured."""
        chrom = _codes(columns["chrom"], lambda name: chrom_code(name) or 0) if "chrom" in columns else np.full(len(lines), self.chrom)
        start, end = _positions(columns)
        length, measured = self._lengths(columns, lines, chrom, start, end)
        values = {
            "file": np.full(len(lines), self.file),
            "line": lines,
            "chrom": chrom,
            "start_pos": start,
            "end_pos": end,
            "length_cm": length,
        }
        values["sample_id"], values["other_id"] = people.number
        if people.haplotype:
            values["haplotype"], values["other_haplotype"] = people.haplotype
        if "type" in columns:
            values["ibd_type"] = _codes(columns["type"], lambda name: _TYPES.get(name, 0))
        values |= {name: columns[name].to_numpy() for name in ("markers", "score") if name in columns}
        return values, measured

    def _checks(
        self, columns: dict[str, pa.Array], people: _People, values: dict[str, np.ndarray], measured: np.ndarray
    ) -> Iterator[tuple[str, np.ndarray, tuple[str, ...]]]:
        """Why rows are rejected: the reason, which rows, and the columns that show it."""
        one, other, chrom, start, end, length = (
            values[name] for name in ("sample_id", "other_id", "chrom", "start_pos", "end_pos", "length_cm")
        )
        yield NO_NAME, people.nameless, ("id1", "id2")
        yield UNDIVIDED, (one < 0) | (other < 0), ("id1", "id2")
        yield BAD_CONTIG, chrom == 0, ("chrom",)
        yield BAD_POSITION, start < 1, ("start", "start_mb")
        yield BACKWARDS, start > end, ("start", "end", "length_mb")
        yield BEYOND, end > np.array([0, *self.assembly.lengths])[chrom], ("chrom", "end", "start_mb", "length_mb")
        if "unit" in columns:
            yield BAD_UNIT, _codes(columns["unit"], lambda unit: unit.lower() in ("cm", "mb")) == 0, ("unit",)
        yield NO_MAP, measured & np.isnan(length), ("chrom",)
        yield BAD_LENGTH, ~(np.isfinite(length) & (length >= 0)), ("length",)
        if people.haplotype:
            mine, its = people.haplotype
            yield BAD_HAPLOTYPE, (mine < 1) | (mine > 2) | (its < 1) | (its > 2), ("hap1", "hap2")
            yield SAME_HAPLOTYPE, (one == other) & (mine == its), ("id1", "id2", "hap1", "hap2")
        if "type" in columns:
            yield BAD_TYPE, values["ibd_type"] == 0, ("type",)
        if "markers" in columns:
            yield NOT_A_NUMBER, values["markers"] < 0, ("markers",)
        if "score" in columns:
            yield NOT_A_NUMBER, ~np.isfinite(values["score"]), ("score",)

    def _lengths(
        self, columns: dict[str, pa.Array], lines: np.ndarray, chrom: np.ndarray, start: np.ndarray, end: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lengths in cM, NaN where the genetic map has no such chromosome, and which of them it measured."""
        length = columns["length"].to_numpy() if "length" in columns else np.full(len(lines), np.nan)
        if "unit" in columns:
            measured = _codes(columns["unit"], lambda unit: unit.lower() == "mb") == 1
        else:
            measured = np.full(len(lines), "length" not in columns)
        if not measured.any():
            return length, measured
        if not self.genetic_map:
            line = int(lines[np.argmax(measured)])
            raise InputError(self.path, line, "the length is not in cM", "Give a genetic map, which tells cM: --genetic-map FILE")
        return np.where(measured, self.genetic_map.cm(chrom, end) - self.genetic_map.cm(chrom, start), length), measured


class _People(NamedTuple):
    """Who shares: names, and for each segment the places of two of them (-1 for one that cannot be divided), whether one of them is empty, and
    the haplotypes of both, where they are told."""

    names: pa.StringArray
    number: tuple[np.ndarray, np.ndarray]
    nameless: np.ndarray
    haplotype: tuple[np.ndarray, np.ndarray] | None


def _blocks(path: Path, after: int) -> Iterator[RawBlock]:
    """The lines after line `after`, in blocks of about CHUNK_ROWS lines."""
    taken: list[RawBlock] = []
    count = size = 0
    for block in raw_blocks(path):
        skipped = max(0, after + 1 - block.first)
        if skipped > block.data.count(b"\n"):
            continue
        taken.append(RawBlock(block.first + skipped, block.data.split(b"\n", skipped)[skipped], block.position) if skipped else block)
        count += taken[-1].data.count(b"\n") + 1
        size += len(taken[-1].data)
        if count >= CHUNK_ROWS or size >= _CHUNK_TEXT:
            yield _joined(taken)
            taken, count, size = [], 0, 0
    if taken:
        yield _joined(taken)


def _joined(blocks: Sequence[RawBlock]) -> RawBlock:
    return RawBlock(blocks[0].first, b"\n".join(block.data for block in blocks), blocks[-1].position)


def _people(columns: dict[str, pa.Array], pattern: str | None) -> _People:
    """The people of segments; with `pattern`, their names are divided by it."""
    one = columns["id1"]
    both = pa.chunked_array([one, columns.get("id2", one)], TEXT).unify_dictionaries().combine_chunks()
    names, number = both.dictionary, both.indices.to_numpy()
    empty = (pc.equal(names, "").to_numpy(zero_copy_only=False))[number] if len(names) else np.zeros(len(number), bool)
    haplotype = None
    if "hap1" in columns:
        haplotype = columns["hap1"].to_numpy(), columns["hap2"].to_numpy()
    if pattern:
        parts = pc.extract_regex(names, pattern)
        base = pc.struct_field(parts, "name").dictionary_encode()
        if "<haplotype>" in pattern:
            counted = pc.fill_null(pc.struct_field(parts, "haplotype"), "0").cast(pa.int16()).to_numpy() + 1
            haplotype = _halves(counted[number])
        names, number = base.dictionary, pc.fill_null(base.indices, -1).to_numpy()[number]
    before, after = _halves(empty)
    return _People(names, _halves(number), before | after, haplotype)


def _halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values[: len(values) // 2], values[len(values) // 2 :]


def _codes(column: pa.DictionaryArray, code: Callable[[str], int]) -> np.ndarray:
    """The code of each text."""
    return np.array([code(each) for each in column.dictionary.to_pylist()] or [0], np.int16)[column.indices.to_numpy()]


def _positions(columns: dict[str, pa.Array]) -> tuple[np.ndarray, np.ndarray]:
    """First and last position; from Mb they are rounded to whole ones, and what is no number is position 0."""
    if "start" in columns:
        return columns["start"].to_numpy(), columns["end"].to_numpy()
    start, length = columns["start_mb"].to_numpy(), columns["length_mb"].to_numpy()
    with np.errstate(invalid="ignore"):
        ends = np.stack([start, start + length]) * _BASES_OF_MB
    start, end = np.rint(np.clip(np.nan_to_num(ends, nan=0.0), -1, 1 << 40)).astype(np.int64)
    return start, end


def _rows(table: str, values: dict[str, np.ndarray], names: pa.StringArray, rows: np.ndarray) -> pa.RecordBatch:
    """Some of the rows of a table; samples are places among names."""

    def column(field: pa.Field) -> pa.Array:
        if field.name not in values:
            return pa.nulls(len(rows), field.type)
        value = values[field.name][rows]
        return (
            pa.DictionaryArray.from_arrays(pa.array(value, pa.int32()), names) if field.type == TEXT else pa.array(value).cast(field.type)
        )

    return pa.record_batch([column(field) for field in SCHEMA[table]], schema=SCHEMA[table])


def _rejects(faults: list[tuple[int, str, str]], block: RawBlock) -> list[Reject]:
    """Rows as rejected, with the lines as they stand in the file."""
    if not faults:
        return []
    lines = block.data.split(b"\n")
    return [Reject(line, reason, detail, text(lines[line - block.first])[:_SHOWN]) for line, reason, detail in sorted(faults)]
