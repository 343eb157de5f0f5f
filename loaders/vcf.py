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

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loaders import callset
from loaders.callset import Callset
from loaders.clinvar import ClinVar
from loaders.consequences import Consequences
from loaders.extract import Extractor
from loaders.frequencies import Frequencies
from loaders.header import VcfHeader, open_vcf
from loaders.info import InfoColumn, InfoReader
from loaders.normalize import BAD_COLUMNS, NOT_VARIANTS, Normalizer, Record, Rejected
from loaders.source import Block
from store.copy import ROW, Chunk, Reject
from store.variant_key import encode

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

CHUNK_ROWS = int(os.environ.get("VKG_CHUNK_ROWS", 25_000))  # tests make it small
CHUNK_BYTES = 8 << 20  # of INFO; gnomAD and CSQ records have tens of kB each
CHUNK_FREQUENCIES = 2_000_000
_CHUNK_TEXT = 32 << 20  # of lines with genotypes; the rows take less, and are written while the next are read

NOT_FINITE = "QUAL that is no finite number, left out"
_RSID = r"^rs[0-9]{1,18}$"
_NUMBER = re.compile(r"\b[0-9]{1,18}\b")
_SHOWN_ROW = 1000


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
    _, blocks = open_vcf(path, samples=genotypes is not None)
    for block in blocks:
        done = max(0, after + 1 - block.first)
        if done < len(block.lines):
            yield from batch.read(Block(block.first + done, block.lines[done:], block.position))
    if batch.pending:
        yield batch.take(path.stat().st_size)


class _Batch:
    """Rows of the tables, collected record by record."""

    def __init__(
        self, header: VcfHeader, normalizer: Normalizer, frequencies: Frequencies | None, genotypes: Callset | None, first: bool
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
        self._extractors = [e for kind in EXTRACTORS if (e := kind.for_header(header))]
        self._info = InfoReader(header)
        rs = header.infos.get("RS")
        self._info_has_rsid = rs is not None and "dbsnp" in rs.description.lower()
        self._warnings: Counter[str] = Counter()
        self._all_warnings = [normalizer.warnings, self._info.warnings, *(e.warnings for e in self._extractors)]
        self._all_warnings += [part.warnings for part in (frequencies, genotypes) if part]
        self._most = CHUNK_ROWS
        if self._frequencies:
            self._most = max(1, min(CHUNK_ROWS, CHUNK_FREQUENCIES // len(self._frequencies.populations)))
        self._clear()

    def _clear(self) -> None:
        self._records = self._bytes = self._text = 0
        self._rejects: list[Reject] = []
        self._skipped: Counter[str] = Counter()
        self._infos: list[str] = []
        self._variants: list[tuple[int, int, str, str]] = []
        self._observed: list[tuple] = []

    @property
    def pending(self) -> bool:
        """True where there is something to take."""
        return bool(self._records or self._once)

    def read(self, block: Block) -> Iterator[Chunk]:
        """Adds the records of a block; gives a chunk whenever one is full."""
        records = [line.split("\t", 9) for line in block.lines] if self._genotypes else []
        if self._genotypes:
            self._genotypes.read(records)
        for place, line in enumerate(block.lines):
            self._end = number = block.first + place
            if not line:
                continue
            columns = records[place] if records else line.split("\t", 8)
            try:
                self._add(number, place, columns)
            except Rejected as why:
                self._reject(number, why, columns)
            self._records += 1
            if len(self._variants) >= self._most or self._bytes >= CHUNK_BYTES:
                yield self.take(block.position)
        if self._genotypes:
            self._genotypes.flush()
            self._text += sum(map(len, block.lines))
            if self._text >= _CHUNK_TEXT:
                yield self.take(block.position)

    def _add(self, line: int, place: int, columns: list[str]) -> None:
        if len(columns) < 8:
            raise Rejected(BAD_COLUMNS, f"{len(columns)} of at least 8")
        chrom_text, pos_text, id_text, ref_text, alt_text, qual, filter_text, info = columns[:8]
        site = self._normalizer.site(chrom_text, pos_text, ref_text)
        chrom, pos = site[:2]
        alts = alt_text.split(",")
        number = record = None
        for allele, alt in enumerate(alts, 1):
            alt = alt.upper()
            if alt in NOT_VARIANTS:
                self._skipped[NOT_VARIANTS[alt]] += 1
                continue
            try:
                variant = self._normalizer.normal(site, alt)
            except Rejected as why:
                self._reject(line, why, columns)
                continue
            if number is None:
                if self._genotypes:
                    self._genotypes.check(place)
                number = len(self._infos)
                self._infos.append(info)
                self._bytes += len(info)
            changed = variant != (chrom, pos, ref_text, alt_text)
            locus = f"{chrom_text}:{pos_text}:{ref_text}:{alt_text}" if changed else None
            if self._extractors:
                record = record or Record(line, chrom_text, pos, id_text, ref_text, alts, qual, filter_text, info)
                for extractor in self._extractors:
                    extractor.add(len(self._variants), record, allele, variant)
            if self._genotypes:
                self._genotypes.add(place, allele)
            self._variants.append(variant)
            self._observed.append((id_text, qual, filter_text, locus, allele, line, number, len(alts)))

    def _reject(self, line: int, why: Rejected, columns: list[str]) -> None:
        self._rejects.append(Reject(line, why.reason, why.detail, "\t".join(columns[:8])[:_SHOWN_ROW]))

    def take(self, position: int) -> Chunk:
        """The chunk of what was added since the last call; `position` is how far in the file that is."""
        tables = (self._tables() if self._variants else {}) | self._once
        self._once = {}
        warnings, self._warnings = self._warnings, Counter()
        for counted in self._all_warnings:
            warnings += counted
            counted.clear()
        chunk = Chunk(tables, self._records, self._rejects, position, self._end, self._skipped, warnings)
        self._clear()
        return chunk

    def _tables(self) -> dict[str, pa.RecordBatch]:
        chrom, pos, ref, alt = zip(*self._variants, strict=True)
        id_text, qual, filters, locus, allele, line, record, alts = zip(*self._observed, strict=True)
        key = encode(np.array(chrom), np.array(pos), ref, alt)
        row = np.arange(len(key), dtype=np.int32)
        ids = _split(id_text)
        info = self._info.read(self._infos, np.array(record), np.array(allele), np.array(alts))
        observed = [key, ids, self._quals(qual), _split(filters), info.json(), locus, allele, line]
        rsid, carrier = self._rsids(ids, info)
        tables = {
            "variant": _rows("variant", [key, chrom, pos, ref, alt], row),
            "variant_record": _rows("variant_record", observed, row),
            "rsid": _rows("rsid", [rsid, key[carrier]], carrier),
        }
        extracted = {table: rows for e in self._extractors for table, rows in e.take().items()}
        if self._genotypes:
            extracted |= self._genotypes.take()
        if self._frequencies:
            extracted["population_frequency"] = self._frequencies.read(info)
        for table, rows in extracted.items():
            tables[table] = rows.add_column(0, "variant_key", pa.array(key[rows.column(ROW).to_numpy()]))
        return tables

    def _quals(self, texts: Sequence[str]) -> pa.DoubleArray:
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


def _present(texts: Sequence[str]) -> pa.StringArray:
    """Values of a column; null for a dot, the format's missing value."""
    array = pa.array(texts, pa.string())
    return pc.if_else(pc.equal(array, "."), None, array)


def _split(texts: Sequence[str]) -> pa.ListArray:
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
