"""VCF and BCF: sites into variant, variant_record, rsid, what their INFO says into the tables of the extractors, genotypes into those of callset.py.

Comes in: a file and what to check it against. Goes out: chunks of at most `CHUNK_ROWS` variants. Records with several
ALTs become one variant each, with their INFO and genotypes split.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loaders import callset
from loaders.callset import Callset
from loaders.clinvar import ClinVar
from loaders.consequences import Consequences
from loaders.extract import Extractor
from loaders.frequencies import Frequencies
from loaders.genotypes import Lines
from loaders.header import VcfHeader, raw_records
from loaders.info import InfoColumn, InfoReader
from loaders.normalize import Normalizer, Record
from loaders.sites import ALT, FILTER, ID, INFO, QUAL, Sites, Variants, variants
from loaders.source import RawBlock, newlines
from store.copy import ROW, Chunk, Reject

EXTRACTORS: tuple[type[Extractor], ...] = (ClinVar, Consequences)

SCHEMA = {
    "variant": pa.schema(
        [("variant_key", pa.int64()), ("chrom", pa.int16()), ("pos", pa.int32()), ("ref", pa.string()), ("alt", pa.string())]
    ),
    "variant_record": pa.schema(
        [
            ("variant_key", pa.int64()),
            ("ids", pa.list_(pa.string())),
            ("qual", pa.float64()),
            ("filter", pa.list_(pa.string())),
            ("info", pa.string()),
            ("source_locus", pa.string()),
            ("allele", pa.int16()),
            ("line", pa.int32()),
        ]
    ),
    "rsid": pa.schema([("rsid", pa.int64()), ("variant_key", pa.int64())]),
}
"""Columns without load_id and `_row`; those of the other tables stand with what makes their rows."""

TABLES = (*SCHEMA, *Frequencies.SCHEMAS, *callset.TABLES, *(table for extractor in EXTRACTORS for table in extractor.SCHEMAS))

CHUNK_ROWS = int(os.environ.get("VKG_CHUNK_ROWS", 10_000))  # tests make it small
CHUNK_BYTES = 8 << 20  # of INFO; gnomAD and CSQ records have tens of kB each
CHUNK_FREQUENCIES = 2_000_000
_CHUNK_LINES = 200_000  # which are looked at together
_CHUNK_CALLS = 32 << 20  # the same: four times as many as whole lines of a block can have
_CHUNK_TEXT = 64 << 20  # of lines; the rows of genotypes take a tenth, and are written while the next are read

NOT_FINITE = "QUAL that is no finite number, left out"
_RSID = r"^rs[0-9]{1,18}$"
_NUMBER = re.compile(r"\b[0-9]{1,18}\b")


def read(
    path: Path,
    header: VcfHeader,
    normalizer: Normalizer,
    *,
    after: int = 0,
    frequencies: Frequencies | None = None,
    genotypes: Callset | None = None,
    first: bool = False,
) -> Generator[Chunk, None, None]:
    """The chunks of a file, in file order, from the line after line `after`.

    `header` is the file's own, or with the keys of the other files of the load added; `frequencies` reads those
    of all files of the load, else of this one alone; `genotypes` collects those of the samples, else they are not looked at. The
    first chunk of the first file names samples and populations. Raises InputError.
    """
    batch = _Batch(header, normalizer, frequencies or Frequencies.for_header(header), genotypes, first and not after)
    most = min(_CHUNK_LINES, max(1, _CHUNK_CALLS // max(1, len(genotypes.samples)))) if genotypes else _CHUNK_LINES
    for block in raw_records(path, header, samples=genotypes is not None):
        done = max(0, after + 1 - block.first)
        if done:
            lines = block.data.split(b"\n", done)
            if len(lines) <= done:
                continue
            block = RawBlock(block.first + done, lines[done], block.position)
        for part in _parts(block, most):
            yield from batch.read(part)
    if batch.pending:
        yield batch.take(path.stat().st_size)


def _parts(block: RawBlock, most: int) -> Iterator[RawBlock]:
    """A block, in parts of at most so many lines, where there are more: they are hardly records, or lack their samples."""
    if newlines(block.data) < most:
        yield block
        return
    lines = block.data.split(b"\n")
    for first in range(0, len(lines), most):
        yield RawBlock(block.first + first, b"\n".join(lines[first : first + most]), block.position)


class _Part(NamedTuple):
    """Variants of some records that follow each other, and these records. `record` is the number of each variant's record in `infos`, `line` that of its line,
    `alts` how many ALTs it has; ID, QUAL and FILTER are by variant too."""

    record: np.ndarray
    line: np.ndarray
    alts: np.ndarray
    allele: np.ndarray
    key: np.ndarray
    chrom: np.ndarray
    pos: np.ndarray
    ref: pa.StringArray
    alt: pa.StringArray
    locus: pa.StringArray
    id: pa.StringArray
    qual: pa.StringArray
    filter: pa.StringArray
    infos: pa.StringArray


class _Batch:
    """Rows of the tables, collected block by block."""

    def __init__(
        self,
        header: VcfHeader,
        normalizer: Normalizer,
        frequencies: Frequencies | None,
        genotypes: Callset | None,
        first: bool,
    ) -> None:
        self._normalizer = normalizer
        self._frequencies = frequencies
        self._genotypes = genotypes
        self._once: dict[str, pa.RecordBatch] = {}
        if first and frequencies:
            self._once["frequency_population"] = frequencies.places()
        if first and genotypes:
            self._once["callset_sample"] = genotypes.members()
        self._end = header.text.count("\n")
        self._long = bool(header.samples)
        self._extractors = [e for kind in EXTRACTORS if (e := kind.for_header(header))]
        self._info = InfoReader(header)
        rs = header.infos.get("RS")
        self._info_has_rsid = rs is not None and "dbsnp" in rs.description.lower()
        self._warnings: Counter[str] = Counter()
        self._all_warnings = [self._info.warnings, *(e.warnings for e in self._extractors)]
        self._all_warnings += [part.warnings for part in (frequencies, genotypes) if part]
        self._most = CHUNK_ROWS
        if self._frequencies:
            self._most = max(1, min(CHUNK_ROWS, CHUNK_FREQUENCIES // len(self._frequencies.populations)))
        self._clear()

    def _clear(self) -> None:
        self._records = self._variants = self._infos = self._bytes = self._text = 0
        self._rejects: list[Reject] = []
        self._skipped: Counter[str] = Counter()
        self._parts: list[_Part] = []

    @property
    def pending(self) -> bool:
        """True where there is something to take."""
        return bool(self._records or self._once)

    def read(self, block: RawBlock) -> Iterator[Chunk]:
        """Adds the records of a block; gives a chunk whenever one is full."""
        lines = Lines(block.data) if self._long else None
        sites = Sites(lines.heads if lines else block.data, block.first)
        alts = pc.add(pc.count_substring(sites.columns[ALT], ","), 1).to_numpy()
        if self._genotypes and lines:
            self._genotypes.read(lines, alts)
        found = variants(sites, self._normalizer, self._genotypes.faults if self._genotypes else {})
        # How many variants there are, and how much INFO they have, in all records before each place.
        there = np.bincount(found.record, minlength=len(sites))
        size = there * pc.binary_length(sites.columns[INFO]).to_numpy().astype(np.int64)
        before, bytes_before = (np.concatenate([[0], np.cumsum(number)]) for number in (there, size))
        begin = 0
        while begin < len(sites):
            room, bytes_room = before[begin] + self._most - self._variants, bytes_before[begin] + CHUNK_BYTES - self._bytes
            end = min(len(sites), int(np.searchsorted(before, room)), int(np.searchsorted(bytes_before, bytes_room)))
            self._add(sites, found, alts, begin, end, slice(int(before[begin]), int(before[end])))
            self._bytes += int(bytes_before[end] - bytes_before[begin])
            if self._variants >= self._most or self._bytes >= CHUNK_BYTES or len(self._rejects) >= CHUNK_ROWS:
                yield self.take(block.position)
            begin = end
        if self._genotypes:
            self._genotypes.flush()
        self._text += len(block.data) * (2 if self._genotypes and self._genotypes.keep_format else 1)  # which takes as much as its text
        if self._text >= _CHUNK_TEXT:
            yield self.take(block.position)

    def _add(self, sites: Sites, found: Variants, alts: np.ndarray, begin: int, end: int, own: slice) -> None:
        """Adds the records from place `begin` to before `end`, and the variants that are theirs."""
        self._end = sites.first + end - 1
        self._records += int(np.count_nonzero(~sites.empty[begin:end]))
        self._rejects += (reject for place, reject in found.rejects if begin <= place < end)
        self._skipped.update(name for place, name in found.skipped if begin <= place < end)
        self._warnings.update(reason for place, reason in found.odd if begin <= place < end)
        place, allele = found.record[own], found.allele[own]
        if not len(place):
            return
        if self._genotypes:
            self._genotypes.add(place, allele)
        records, number = np.unique(place, return_inverse=True)
        taken = pa.array(place)
        part = _Part(
            self._infos + number,
            sites.first + place,
            alts[place],
            allele,
            found.key[own],
            found.chrom[own],
            found.pos[own],
            found.ref[own],
            found.alt[own],
            found.locus[own],
            sites.columns[ID].take(taken),
            sites.columns[QUAL].take(taken),
            sites.columns[FILTER].take(taken),
            sites.columns[INFO].take(pa.array(records)),
        )
        if self._extractors:
            self._extract(sites, part, place)
        self._parts.append(part)
        self._variants += len(place)
        self._infos += len(records)

    def _extract(self, sites: Sites, part: _Part, place: np.ndarray) -> None:
        """Shows the records of a part to the extractors."""
        places = np.unique(place)
        columns = [column.take(pa.array(places)).to_pylist() for column in sites.columns]
        records = [
            Record(line, chrom, int(pos), name, ref, alts.split(","), qual, filters, info)
            for line, chrom, pos, name, ref, alts, qual, filters, info in zip((sites.first + places).tolist(), *columns, strict=True)
        ]
        named = zip(part.chrom.tolist(), part.pos.tolist(), part.ref.to_pylist(), part.alt.to_pylist(), strict=True)
        rows = zip((part.record - self._infos).tolist(), part.allele.tolist(), named, strict=True)
        for row, (record, allele, variant) in enumerate(rows, self._variants):
            for extractor in self._extractors:
                extractor.add(row, records[record], allele, variant)

    def take(self, position: int) -> Chunk:
        """The chunk of what was added since the last call; `position` is how far in the file that is."""
        tables = (self._tables() if self._parts else {}) | self._once
        self._once = {}
        warnings, self._warnings = self._warnings, Counter()
        for counted in self._all_warnings:
            warnings += counted
            counted.clear()
        chunk = Chunk(tables, self._records, self._rejects, position, self._end, self._skipped, warnings)
        self._clear()
        return chunk

    def _tables(self) -> dict[str, pa.RecordBatch]:
        all = _Part(*(_joined(columns) for columns in zip(*self._parts, strict=True)))
        row = np.arange(len(all.key), dtype=np.int32)
        ids = _split(all.id)
        info = self._info.read(all.infos, all.record, all.allele, all.alts)
        observed = [all.key, ids, self._quals(all.qual), _split(all.filter), info.json(), all.locus, all.allele, all.line]
        rsid, carrier = self._rsids(ids, info)
        tables = {
            "variant": _rows("variant", [all.key, all.chrom, all.pos, all.ref, all.alt], row),
            "variant_record": _rows("variant_record", observed, row),
            "rsid": _rows("rsid", [rsid, all.key[carrier]], carrier),
        }
        extracted = {table: rows for e in self._extractors for table, rows in e.take().items()}
        if self._genotypes:
            extracted |= self._genotypes.take()
        if self._frequencies:
            extracted["population_frequency"] = self._frequencies.read(info)
        for table, rows in extracted.items():
            tables[table] = rows.add_column(0, "variant_key", pa.array(all.key[rows.column(ROW).to_numpy()]))
        return tables

    def _quals(self, texts: pa.StringArray) -> pa.DoubleArray:
        """QUAL as numbers; null for a dot, and for what is no finite number, which is counted."""
        present = _present(texts)
        try:
            quals = present.cast(pa.float64())
        except pa.ArrowInvalid:
            quals = pa.array([_number(text) for text in present.to_pylist()], pa.float64())
        finite = pc.is_finite(quals)
        if odd := pc.sum(pc.invert(finite)).as_py():
            self._warnings[NOT_FINITE] += odd
        return pc.if_else(finite, quals, None)

    def _rsids(self, ids: pa.ListArray, info: InfoColumn) -> tuple[np.ndarray, np.ndarray]:
        """(n,) rsIDs and (n,) the rows that carry them: from the ID column, else what ClinVar and dbSNP write as INFO RS."""
        names, row = pc.list_flatten(ids), pc.list_parent_indices(ids).to_numpy().astype(np.int32)
        is_rsid = pc.match_substring_regex(names, _RSID)
        rsid = pc.utf8_slice_codeunits(names.filter(is_rsid), 2).cast(pa.int64()).to_numpy()
        carrier = row[is_rsid.to_numpy(zero_copy_only=False)]
        if self._info_has_rsid:
            texts = info.texts("RS").to_pylist()
            without = np.setdiff1d(np.arange(len(texts)), carrier).tolist()
            more = [(int(number), row) for row in without for number in _NUMBER.findall(texts[row] or "")]
            numbers, rows = np.array(more, np.int64).reshape(-1, 2).T
            rsid, carrier = np.concatenate([rsid, numbers]), np.concatenate([carrier, rows.astype(np.int32)])
        if pc.max(pc.list_value_length(ids)).as_py() in (None, 1) and not self._info_has_rsid:
            return rsid, carrier
        pairs = np.unique(np.stack([carrier, rsid]), axis=1)  # a record may name one twice
        return pairs[1], pairs[0].astype(np.int32)


def _joined(columns: Sequence) -> np.ndarray | pa.Array:
    """One column of parts."""
    return pa.concat_arrays(columns) if isinstance(columns[0], pa.Array) else np.concatenate(columns)


def _present(texts: pa.StringArray) -> pa.StringArray:
    """Values of a column; null for a dot, the format's missing value."""
    return pc.if_else(pc.equal(texts, "."), None, texts)


def _split(texts: pa.StringArray) -> pa.ListArray:
    """Values of a column that holds lists; null for a dot."""
    return pc.split_pattern(_present(texts), ";")


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return math.nan


def _rows(table: str, columns: Sequence, row: np.ndarray) -> pa.RecordBatch:
    schema = SCHEMA[table]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch([*arrays, pa.array(row)], schema=schema.append(pa.field(ROW, pa.int32())))
