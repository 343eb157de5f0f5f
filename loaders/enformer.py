"""What Enformer predicts variants to change: effects on tracks from HDF5, or their principal components from a table of text.

Out: one row of enformer_run, the tracks, and rows of enformer_effect, keyed by the same normal form of the variant that the VCF loader makes; no
variants are made. Effects are of ALT against REF: where a file has the two the other way round, signs turn. The matrix is read some megabytes at
a time. Source of the files: enformer_layout.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pyarrow as pa

from loaders import enformer_effects as effects_of
from loaders.assembly_check import SAMPLE
from loaders.enformer_effects import Pairs
from loaders.enformer_layout import Matrix, Table, Track, texts
from loaders.hdf5 import opened, readable
from loaders.normalize import Normalizer, Rejected
from loaders.source import Block, text_blocks
from store.copy import LINE, ROW, Chunk, Reject
from store.enformer import TRACKS_KEPT
from store.variant_key import encode_one
from store.vector import halfvecs

TABLES = ("enformer_run", "enformer_track", "enformer_effect")
SCHEMA = {
    "enformer_run": pa.schema(
        [
            ("score", pa.string()),
            ("threshold", pa.float32()),
            ("tracks_kept", pa.string()),
            ("track_count", pa.int32()),
            ("component_count", pa.int32()),
            ("summaries", pa.list_(pa.string())),
            ("synthetic", pa.bool_()),
        ]
    ),
    "enformer_track": pa.schema(
        [
            ("ordinal", pa.int16()),
            ("identifier", pa.string()),
            ("assay", pa.string()),
            ("description", pa.string()),
            ("tissue", pa.string()),
        ]
    ),
    "enformer_effect": pa.schema(
        [
            ("variant_key", pa.int64()),
            ("file", pa.int16()),
            ("line", pa.int32()),
            ("swapped", pa.bool_()),
            ("source_locus", pa.string()),
            (ROW, pa.int32()),
            (LINE, pa.int32()),
            ("strongest", pa.float32()),
            ("strongest_track", pa.int16()),
            ("over_threshold", pa.int32()),
            ("tissue_effects", pa.list_(pa.float32())),
            ("tissue_tracks", pa.list_(pa.int16())),
            ("kept_effects", pa.list_(pa.float32())),
            ("kept_tracks", pa.list_(pa.int16())),
            ("components", pa.list_(pa.float32())),
            ("tracks", pa.large_binary()),
        ]
    ),
}
"""The columns as a reader makes them; those that a load has no use for are left out."""

ALL, SUMMARY, NONE = KEEP = ("all", "summary", "none")
"""What is kept of the tracks: all, the strongest, or only what is summed up of them."""

NOT_FINITE = "effect that is not a finite number"
NOT_A_COMPONENT = "component that is not a finite number"
TOO_FEW = "too few columns"
TOO_MANY = "too many columns"

NO_ASSAY = "tracks whose descriptions name no assay, so that no tissue is known"
ROUNDED = "variants whose effects were rounded to 16 bits"

_CHUNK_VALUES = 400_000
_SHOWN = 200


class Written(NamedTuple):
    """A variant as a file has it: all as written."""

    chrom: str
    pos: str
    id: str
    ref: str
    alt: str


def tracks_table(tracks: Sequence[Track]) -> pa.RecordBatch:
    """The rows of enformer_track."""
    columns = [range(len(tracks)), *([getattr(t, name) for t in tracks] for name in ("identifier", "assay", "description", "tissue"))]
    schema = SCHEMA["enformer_track"]
    return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


@dataclass
class Variants:
    """Variants of a stretch of a file that have a normal form: for each its place in the stretch, key, line, and whether the file has REF and ALT
    the other way round, with its locus in the file where that is another."""

    place: list[int]
    key: list[int]
    line: list[int]
    swapped: list[bool]
    source_locus: list[str | None]

    def columns(self, file: int, kept: np.ndarray | None = None) -> dict[str, pa.Array]:
        """The columns that all effects have; `kept` is (n,) bool."""
        n = len(self.key)
        arrays = {
            "variant_key": pa.array(self.key, pa.int64()),
            "file": pa.array(np.full(n, file, np.int16)),
            "line": pa.array(self.line, pa.int32()),
            "swapped": pa.array(self.swapped, pa.bool_()),
            "source_locus": pa.array(self.source_locus, pa.string()),
            LINE: pa.array(self.line, pa.int32()),
        }
        if kept is not None:
            arrays = {name: column.filter(pa.array(kept)) for name, column in arrays.items()}
        return arrays | {ROW: pa.array(np.arange(len(arrays["line"]), dtype=np.int32))}


def normal_forms(normalizer: Normalizer, written: Sequence[Written], lines: Sequence[int], rejects: list[Reject]) -> Variants:
    """The variants that have a normal form; the others are rejected."""
    found = Variants([], [], [], [], [])
    for place, (variant, line) in enumerate(zip(written, lines, strict=True)):
        chrom, pos, _, ref, alt = variant
        try:
            site = normalizer.site(chrom, pos, ref)
            normal = normalizer.normal(site, upper := alt.upper())
        except Rejected as why:
            rejects.append(Reject(line, why.reason, why.detail, "\t".join(variant)[:_SHOWN]))
            continue
        moved = site.swapped or site.source is not None or normal != (site.chrom, site.pos, site.ref, upper)
        found.place.append(place)
        found.key.append(encode_one(*normal))
        found.line.append(line)
        found.swapped.append(site.swapped)
        found.source_locus.append(f"{chrom}:{pos}:{ref}:{alt}" if moved else None)
    return found


@dataclass
class Reader:
    """Reads one file of a load. `file` is its ordinal; `about` are the tables that come with the first chunk of the first file; `threshold`,
    `keep` and `pairs` say what becomes of effects on tracks."""

    path: Path
    layout: Matrix | Table
    normalizer: Normalizer
    file: int
    about: dict[str, pa.RecordBatch]
    threshold: float = 0.0
    keep: str = ALL
    pairs: Pairs | None = None

    def read(self, after: int = 0) -> Generator[Chunk, None, None]:
        """The chunks of the file, from the row (of text: line) after `after`. Raises InputError where it is damaged."""
        first = self.about if not self.file and not after else {}
        chunks = self._matrix(self.layout, after) if isinstance(self.layout, Matrix) else self._table(self.layout, after)
        for chunk in chunks:
            chunk.tables.update(first)
            chunk.warnings.update(self.normalizer.warnings)
            if first and isinstance(self.layout, Matrix) and self.pairs is not None and not self.pairs.names:
                chunk.warnings[NO_ASSAY] += len(self.layout.tracks)
            self.normalizer.warnings.clear()
            first = {}
            yield chunk

    def _matrix(self, described: Matrix, after: int) -> Iterator[Chunk]:
        size = self.path.stat().st_size
        with opened(self.path) as file:
            for begin in range(after, described.rows, described.step):
                end = min(begin + described.step, described.rows)
                with readable(self.path, begin + 1):
                    written = _written(file, begin, end)
                    values = file[described.score][begin:end]
                tables, rejects, warnings = self._effects(described, values, written, begin)
                yield Chunk(tables, end - begin, rejects, size * end // described.rows, end, warnings=warnings)

    def _effects(
        self, described: Matrix, values: np.ndarray, written: list[Written], begin: int
    ) -> tuple[dict[str, pa.RecordBatch], list[Reject], Counter[str]]:
        rejects: list[Reject] = []
        warnings: Counter[str] = Counter()
        variants = normal_forms(self.normalizer, written, range(begin + 1, begin + 1 + len(written)), rejects)
        if values.dtype.itemsize > 2:
            warnings[ROUNDED] += len(variants.key)
        effects = effects_of.as_half(values)
        if len(variants.place) < len(effects):
            effects = effects[variants.place]
        sizes = effects_of.sizes(effects)
        kept = np.ones(len(effects), bool)
        for row, track in effects_of.infinite(sizes).items():
            kept[row] = False
            named, value = described.tracks[track], values[variants.place[row], track]
            detail = f"{value} on track {track}, {named.identifier} ({named.description[:60]})"
            rejects.append(Reject(variants.line[row], NOT_FINITE, detail, "\t".join(written[variants.place[row]])[:_SHOWN]))
        swapped = np.array(variants.swapped, bool)
        columns = variants.columns(self.file, None if kept.all() else kept)
        if not kept.all():
            effects, sizes, swapped = effects[kept], sizes[kept], swapped[kept]
        if swapped.any():
            effects_of.flip(effects, np.flatnonzero(swapped))
        columns |= self._columns(effects, sizes)
        return ({"enformer_effect": _batch(columns)} if len(effects) else {}), rejects, warnings

    def _columns(self, effects: np.ndarray, sizes: np.ndarray) -> dict[str, pa.Array]:
        """What is kept of effects on tracks."""
        value, track = effects_of.strongest(effects, sizes)
        columns = {"strongest": pa.array(value), "strongest_track": pa.array(track)}
        columns["over_threshold"] = pa.array(effects_of.reaching(sizes, self.threshold))
        assert self.pairs is not None
        value, track = self.pairs.strongest(effects, sizes)
        columns |= {"tissue_effects": effects_of.lists(value), "tissue_tracks": effects_of.lists(track)}
        if self.keep == SUMMARY:
            value, track = effects_of.largest(effects, sizes, TRACKS_KEPT)
            columns |= {"kept_effects": effects_of.lists(value), "kept_tracks": effects_of.lists(track)}
        if self.keep == ALL:
            columns["tracks"] = halfvecs(effects)
        return columns

    def _table(self, described: Table, after: int) -> Iterator[Chunk]:
        begin = max(after + 1, described.begin)
        width = 5 + described.components
        lines: list[int] = []
        rows: list[list[str]] = []
        rejects: list[Reject] = []
        for block in text_blocks(self.path):
            for number, line in enumerate(block.lines[max(0, begin - block.first) :], max(begin, block.first)):
                if not line or line[0] == "#" or line.isspace():
                    continue
                cells = line.split("\t")
                if len(cells) != width:
                    rejects.append(Reject(number, TOO_FEW if len(cells) < width else TOO_MANY, f"{len(cells)} of {width}", line[:_SHOWN]))
                else:
                    lines.append(number)
                    rows.append(cells)
                if (len(rows) + len(rejects)) * width >= _CHUNK_VALUES:
                    yield self._components(lines, rows, rejects, block.position, number)
                    lines, rows, rejects = [], [], []
            end, position = block.first + len(block.lines) - 1, block.position
        if rows or rejects:
            yield self._components(lines, rows, rejects, position, end)

    def _components(self, lines: list[int], rows: list[list[str]], rejects: list[Reject], position: int, end: int) -> Chunk:
        records = len(rows) + len(rejects)
        variants = normal_forms(self.normalizer, [Written(*cells[:5]) for cells in rows], lines, rejects)
        values: list[np.ndarray] = []
        kept = np.ones(len(variants.key), bool)
        for row, place in enumerate(variants.place):
            value, bad = _numbers(rows[place][5:])
            if bad is not None:
                kept[row] = False
                rejects.append(Reject(variants.line[row], NOT_A_COMPONENT, bad, "\t".join(rows[place])[:_SHOWN]))
            else:
                # A difference has no 0 with a sign.
                values.append(0 - value if variants.swapped[row] else value)
        tables = {}
        if values:
            columns = variants.columns(self.file, kept) | {"components": effects_of.lists(np.stack(values))}
            tables["enformer_effect"] = _batch(columns)
        return Chunk(tables, records, rejects, position, end)


def sites(path: Path, described: Matrix | Table, normalizer: Normalizer) -> Generator[Block, None, None]:
    """The first variants of a file, as many as are looked at, as the first columns of a VCF: where REF and ALT are swapped, with REF as the
    reference has it."""
    left = SAMPLE
    for first, variants, position in _variants(path, described):
        lines = ["\t".join(_turned(variant, normalizer)) for variant in variants[:left]]
        normalizer.warnings.clear()  # what is loaded is counted when it is
        left -= len(lines)
        yield Block(first, lines, position)
        if not left:
            return


def _variants(path: Path, described: Matrix | Table) -> Iterator[tuple[int, list[Written], int]]:
    """The line of the first of some variants, these, and how far the file is read then."""
    if isinstance(described, Table):
        for block in text_blocks(path):
            skipped = max(0, described.begin - block.first)
            cells = ([*line.split("\t", 5)[:5], "", "", "", "", ""] for line in block.lines[skipped:])
            yield block.first + skipped, [Written(*row[:5]) for row in cells], block.position
        return
    with opened(path) as file:
        for begin in range(0, described.rows, described.step):
            with readable(path, begin + 1):
                written = _written(file, begin, min(begin + described.step, described.rows))
            yield begin + 1, written, 0


def _turned(variant: Written, normalizer: Normalizer) -> Written:
    with suppress(Rejected):
        site = normalizer.site(variant.chrom, variant.pos, variant.ref)
        normalizer.normal(site, variant.alt.upper())
        if site.swapped:
            return variant._replace(ref=variant.alt, alt=variant.ref)
    return variant


def _written(file: h5py.File, begin: int, end: int) -> list[Written]:
    """The variants of some rows; those of files without identifiers have a dot for theirs."""
    chrom, ref, alt = (texts(file[name][begin:end]) for name in ("chr", "ref", "alt"))
    names = texts(file["snp"][begin:end]) if "snp" in file else ["."] * (end - begin)
    return [Written(*each) for each in zip(chrom, map(str, file["pos"][begin:end].tolist()), names, ref, alt, strict=True)]


def _numbers(cells: Sequence[str]) -> tuple[np.ndarray, str | None]:
    """Components as 32-bit floats, and what is wrong with the first that is none."""
    try:
        with np.errstate(over="ignore"):
            values = np.array(cells, np.float64).astype(np.float32)
    except ValueError:
        with np.errstate(over="ignore"):
            values = np.array([_number(cell) for cell in cells]).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(values))
    return values, f"PC{bad[0]} is {cells[bad[0]][:40]!r}" if len(bad) else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _batch(columns: dict[str, pa.Array]) -> pa.RecordBatch:
    schema = pa.schema([field for field in SCHEMA["enformer_effect"] if field.name in columns])
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)
