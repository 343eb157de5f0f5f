"""Frequencies without variants: published allele counts and frequencies, from VCF and BCF of sites (gnomAD, 1000 Genomes) and from tables.

In: records with AF, AC, AN and nhomalt by population, in INFO or in columns of those names (frequencies.py says which). Out: rows of
frequency_population and population_frequency, keyed by the same normal form of the variant that the VCF loader makes; no variants are made, so
a frequency may await its variant. FILTER goes along. Populations are named within a namespace: gnomad:afr, gnomad:ALL. Where records are
lifted over and REF and ALT are swapped by that, frequencies are those of the allele that was REF, if it has but one ALT: in its record, and in
those beside it with the same CHROM, POS and REF, as files have them whose ALTs were split to records of their own.

INFO of such files has hundreds of keys and up to tens of kilobytes: it is read by columns, a chunk at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loaders.errors import InputError
from loaders.frequencies import Frequencies
from loaders.header import InfoField, VcfHeader, open_vcf
from loaders.info import InfoReader
from loaders.normalize import BAD_COLUMNS, NOT_VARIANTS, SWAPPED, Normalizer, Rejected, check_size
from loaders.scores import Table
from loaders.source import Block, is_bcf, text_blocks
from loaders.vcf import CHUNK_BYTES, CHUNK_FREQUENCIES, CHUNK_ROWS
from store.copy import LINE, ROW, Chunk, Reject
from store.variant_key import encode

TABLES = tuple(Frequencies.SCHEMAS)

NO_VALUE = "no frequency"
_MISSING = frozenset(("", ".", "NA", "N/A", "-"))
_FILTER = pa.list_(pa.string())
_SHOWN = 1000

_MOST_TOGETHER = 1000
"""Records of one position that are looked at together."""

Split = Callable[[str], Sequence[str]]
"""A line as (at least) the first eight columns of a VCF."""


class _Record(NamedTuple):
    """A line with its number, and its columns, or why it has none."""

    number: int
    line: str
    columns: Sequence[str] | Rejected


def is_vcf(path: Path) -> bool:
    """True for a VCF or BCF, by its content."""
    if is_bcf(path):
        return True
    lines = (line for block in text_blocks(path) for line in block.lines)
    line = next((line for line in lines if not line.startswith("##") or line.startswith("##fileformat=VCF")), "")
    return line.startswith("##") or (line.startswith("#CHROM") and "\tINFO" in line)


def header_of(table: Table) -> VcfHeader:
    """The header of a VCF that has what a table has: each column an INFO key, and what tells of the assembly."""
    infos = {name: InfoField(name, ".", "Float", "") for place, name in enumerate(table.columns) if place not in table.locus}
    return VcfHeader("", None, infos, {}, table.assembly or None, ())


def split_row(table: Table, keys: Iterable[str]) -> Split:
    """How a row of a table becomes the columns of a VCF: these columns as INFO, and FILTER where it has one."""
    chrom, pos, ref, alt = table.locus
    places = [(name, table.columns.index(name)) for name in keys if name in table.columns]
    filters = next((place for place, name in enumerate(table.columns) if name.upper() == "FILTER"), None)
    needed = 1 + max(*table.locus, *(place for _, place in places), filters or 0)

    def split(line: str) -> Sequence[str]:
        cells = line.split(table.separator)
        if len(cells) < needed:
            raise Rejected(BAD_COLUMNS, f"{len(cells)} of at least {needed}")
        # A semicolon would end a value.
        info = ";".join(f"{name}={cells[place].replace(';', ',')}" for name, place in places if cells[place] not in _MISSING)
        return (cells[chrom], cells[pos], ".", cells[ref], cells[alt], ".", (cells[filters] if filters is not None else "") or ".", info)

    return split


def read(
    path: Path,
    frequencies: Frequencies,
    normalizer: Normalizer,
    *,
    table: Table | None = None,
    namespace: str = "",
    after: int = 0,
    first: bool = True,
) -> Generator[Chunk, None, None]:
    """The chunks of a VCF, BCF or table, from the line after line `after`; with `first`, the first one names the populations.

    `frequencies` reads those of all files of the load. Raises InputError.
    """
    if table is None:
        header, blocks = open_vcf(path)
        split: Split = _columns
    else:
        header, blocks = header_of(table), text_blocks(path)
        split = split_row(table, frequencies.keys)
    batch = _Batch(header, normalizer, frequencies, frequencies.places(namespace) if first and not after else None)
    begin = max(after + 1, table.begin if table else 1)
    for records, position in _together(blocks, begin, split, normalizer.lift is not None):
        # Between chunks, so that the next run, if it goes on here, has all records of a position.
        if batch.full:
            yield batch.take(position)
        batch.add(records)
    if batch.pending:
        yield batch.take(path.stat().st_size)


def _together(blocks: Iterable[Block], begin: int, split: Split, by_position: bool) -> Iterator[tuple[list[_Record], int]]:
    """The records from line `begin`, each alone or, `by_position`, with those beside it of the same CHROM and POS, as written; and how far in
    the file that is."""
    records: list[_Record] = []
    size = 0
    last: Sequence[str] | None = None
    position = 0
    for block in blocks:
        for number, line in enumerate(block.lines[max(0, begin - block.first) :], max(begin, block.first)):
            if not line or line[0] == "#":
                continue
            try:
                columns: Sequence[str] | Rejected = split(line)[:8]
            except Rejected as why:
                columns = why
            place = columns[:2] if by_position and not isinstance(columns, Rejected) else None
            if records and (place is None or place != last or len(records) >= _MOST_TOGETHER or size >= CHUNK_BYTES):
                yield records, position
                records, size = [], 0
            size += len(line)
            records.append(_Record(number, line, columns))
            last, position = place, block.position
    if records:
        yield records, position


def _columns(line: str) -> Sequence[str]:
    columns = line.split("\t", 8)
    if len(columns) < 8:
        raise Rejected(BAD_COLUMNS, f"{len(columns)} of at least 8")
    return columns


class _Batch:
    """Variants and what their records say, collected record by record."""

    def __init__(self, header: VcfHeader, normalizer: Normalizer, frequencies: Frequencies, places: pa.RecordBatch | None) -> None:
        self._normalizer = normalizer
        self._frequencies = frequencies
        self._places = places
        self._info = InfoReader(header)
        self._most = max(1, min(CHUNK_ROWS, CHUNK_FREQUENCIES // len(frequencies.populations)))
        self._end = 1  # the first chunk comes once, in a file without records too
        self._clear()

    def _clear(self) -> None:
        self._records = self._bytes = 0
        self._rejects: list[Reject] = []
        self._skipped: Counter[str] = Counter()
        self._infos: list[str] = []
        self._filters: list[str] = []
        self._variants: list[tuple[int, int, str, str]] = []
        self._observed: list[tuple[int, int, int, int]] = []
        self._source: list[str | None] = []
        self._swapped: list[bool] = []

    @property
    def pending(self) -> bool:
        """True where there is something to take."""
        return bool(self._records) or self._places is not None

    @property
    def full(self) -> bool:
        """True where what was added makes a chunk."""
        return len(self._variants) + len(self._rejects) >= self._most or self._bytes >= CHUNK_BYTES

    def add(self, records: Sequence[_Record]) -> None:
        """Adds records, of one position if they are several."""
        alts: dict[str, set[str]] = {}
        for record in records:
            if len(records) > 1 and not isinstance(record.columns, Rejected):
                alts.setdefault(record.columns[3].upper(), set()).update(record.columns[4].upper().split(","))
        for number, line, columns in records:
            self._end = number
            self._records += 1
            try:
                if isinstance(columns, Rejected):
                    raise columns
                self._add(number, line, columns, len(alts.get(columns[3].upper(), set()) - {"."}))
            except Rejected as why:
                self._reject(number, line, why)

    def _add(self, number: int, line: str, columns: Sequence[str], known: int) -> None:
        """Adds a record. `known` is how many ALTs its REF has in the records that were added with it. Raises Rejected."""
        chrom_text, pos_text, _, ref, alt_text, _, filters, info = columns
        site = self._normalizer.site(chrom_text, pos_text, ref)
        alts = alt_text.split(",")
        check_size(len(alts), len(ref) + len(alt_text) + len(info))
        if site.swapped and max(len(alts), known) > 1 and any(site.has(alt.upper()) for alt in alts):
            raise Rejected(SWAPPED.format(self._normalizer.assembly.name), "the frequencies of several ALTs do not tell that of REF")
        kept = False
        for allele, alt in enumerate(alts, 1):
            if name := NOT_VARIANTS.get(alt.upper()):
                self._skipped[name] += 1
                continue
            try:
                variant = self._normalizer.normal(site, alt.upper())
            except Rejected as why:
                self._reject(number, line, why)
                continue
            if not kept:
                self._infos.append(info)
                self._filters.append(filters)
                self._bytes += len(info) + len(ref) + len(alt_text)
                kept = True
            self._variants.append(variant)
            self._source.append(site.source_locus(alt))
            self._swapped.append(site.swapped)
            self._observed.append((number, len(self._infos) - 1, allele, len(alts)))

    def _reject(self, number: int, line: str, why: Rejected) -> None:
        self._rejects.append(Reject(number, why.reason, why.detail, line[:_SHOWN]))

    def take(self, position: int) -> Chunk:
        """The chunk of what was added since the last call; `position` is how far in the file that is."""
        tables = {"population_frequency": self._rows()} if self._variants else {}
        if self._places is not None:
            tables["frequency_population"], self._places = self._places, None
        warnings: Counter[str] = Counter()
        for counted in (self._normalizer.warnings, self._frequencies.warnings, self._info.warnings):
            warnings += counted
            counted.clear()
        chunk = Chunk(tables, self._records, self._rejects, position, self._end, self._skipped, warnings)
        self._clear()
        return chunk

    def _rows(self) -> pa.RecordBatch:
        line, record, allele, alts = np.array(self._observed, np.int32).T
        rows = self._frequencies.read(self._info.read(self._infos, record, allele, alts), np.array(self._swapped))
        told = rows.column(ROW).to_numpy()
        if silent := len(line) - len(told):
            self._skipped[NO_VALUE] += silent
        chrom, pos, ref, alt = zip(*self._variants, strict=True)
        key = encode(np.array(chrom), np.array(pos), ref, alt)
        texts = pa.array(self._filters, pa.string())
        filters = pc.split_pattern(pc.if_else(pc.equal(texts, "."), None, texts), ";").take(pa.array(record[told]))
        source = pa.array(self._source, pa.string()).take(pa.array(told))
        columns = {"variant_key": pa.array(key[told]), "filter": filters.cast(_FILTER), "source_locus": source, LINE: pa.array(line[told])}
        return pa.record_batch([*rows.columns, *columns.values()], names=[*rows.schema.names, *columns])


def frequencies_of(paths: Sequence[Path], headers: Sequence[VcfHeader]) -> Frequencies:
    """The reader for the files of a load. Raises InputError where none has a frequency."""
    if (found := Frequencies.for_headers(headers)) is None:
        raise InputError(
            paths[0],
            None,
            "no allele frequency in it",
            "INFO keys or columns of frequencies are AF, AC, AN and nhomalt, alone or with a population: AF_afr, EAS_AF, AC_fin and AN_fin.",
        )
    return found
