"""VCF and BCF: sites into variant, variant_record, rsid, and what their INFO says into the tables of the extractors.

Comes in: a file and what to check it against. Goes out: chunks of at most `CHUNK_ROWS` variants. Records with several
ALTs become one variant each, with their INFO split; genotype columns are not looked at.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from loaders.clinvar import ClinVar
from loaders.consequences import Consequences
from loaders.extract import Extractor
from loaders.frequencies import Frequencies
from loaders.header import VcfHeader, open_vcf
from loaders.info import InfoReader
from loaders.normalize import BAD_COLUMNS, BAD_QUAL, NOT_VARIANTS, Normalizer, Record, Rejected
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
    "frequency_population": pa.schema([("ordinal", pa.int16()), ("population", pa.string())]),
}
"""Columns without load_id and `_row`; those of the other tables stand with their extractors."""

TABLES = (*SCHEMA, *Frequencies.SCHEMAS, *(table for extractor in EXTRACTORS for table in extractor.SCHEMAS))

CHUNK_ROWS = int(os.environ.get("VKG_CHUNK_ROWS", 50_000))
CHUNK_BYTES = 16 << 20  # of INFO; gnomAD and CSQ records have tens of kB each
_CHUNK_FREQUENCIES = 2_000_000

NOT_FINITE = "QUAL that is not finite, left out"
_RSID = re.compile(r"rs([0-9]{1,18})")
_NUMBER = re.compile(r"[0-9]{1,18}")
_SHOWN = 60
_SHOWN_ROW = 1000


def read(
    path: Path, header: VcfHeader, normalizer: Normalizer, *, after: int = 0, populations: bool = False
) -> Generator[Chunk, None, None]:
    """The chunks of a file, in file order, from the line after line `after`.

    `header` is the file's own, or with the keys of the other files of the load added. With `populations`, and at the
    beginning of the file, the first chunk names the populations of its frequencies. Raises InputError.
    """
    batch = _Batch(header, normalizer, populations and not after)
    _, blocks = open_vcf(path)
    for block in blocks:
        done = max(0, after + 1 - block.first)
        if done < len(block.lines):
            yield from batch.read(Block(block.first + done, block.lines[done:], block.position))
    if batch.records:
        yield batch.take(block.position)


class _Batch:
    """Rows of the tables, collected record by record."""

    def __init__(self, header: VcfHeader, normalizer: Normalizer, populations: bool) -> None:
        self._normalizer = normalizer
        self._frequencies = Frequencies.for_header(header)
        self._populations = populations
        self._extractors = [e for kind in EXTRACTORS if (e := kind.for_header(header))]
        self._info = InfoReader(header, frozenset[str]().union(*(e.consumes for e in self._extractors)))
        rs = header.infos.get("RS")
        self._info_has_rsid = rs is not None and "dbsnp" in rs.description.lower()
        self._filters: dict[str, list[str] | None] = {".": None}
        self._warnings: Counter[str] = Counter()
        self._most = CHUNK_ROWS
        if self._frequencies:
            self._most = max(1, min(CHUNK_ROWS, _CHUNK_FREQUENCIES // len(self._frequencies.populations)))
        self._clear()

    def _clear(self) -> None:
        self.records = self._bytes = 0
        self._rejects: list[Reject] = []
        self._skipped: Counter[str] = Counter()
        self._infos: list[str] = []
        self._variants: list[tuple[int, int, str, str]] = []
        self._observed: list[tuple] = []
        self._rsids: list[tuple[int, int]] = []

    def read(self, block: Block) -> Iterator[Chunk]:
        """Adds the records of a block; gives a chunk whenever one is full."""
        for number, line in enumerate(block.lines, block.first):
            self._end = number
            if not line:
                continue
            columns = line.split("\t", 8)
            try:
                self._add(number, columns)
            except Rejected as why:
                self._reject(number, why, columns)
            self.records += 1
            if len(self._variants) >= self._most or self._bytes >= CHUNK_BYTES:
                yield self.take(block.position)

    def _add(self, line: int, columns: list[str]) -> None:
        if len(columns) < 8:
            raise Rejected(BAD_COLUMNS, f"{len(columns)} of at least 8")
        chrom_text, pos_text, id_text, ref_text, alt_text, qual_text, filter_text, info = columns[:8]
        chrom, pos = self._normalizer.locus(chrom_text, pos_text)
        ref = ref_text.upper()
        self._normalizer.check_ref(chrom, pos, ref)
        qual = None if qual_text == "." else self._qual(qual_text)
        if filter_text not in self._filters:
            self._filters[filter_text] = filter_text.split(";")
        filters = self._filters[filter_text]
        ids = None if id_text == "." else id_text.split(";")
        alts = alt_text.split(",")
        record = None
        for allele, alt in enumerate(alts, 1):
            try:
                normal = self._normal(chrom, pos, ref, alt.upper())
            except Rejected as why:
                self._reject(line, why, columns)
                continue
            if normal is None:
                continue
            if record is None:
                record = Record(line, chrom_text, pos, id_text, ref_text, alts, qual_text, filter_text, info)
                rsids = self._rsids_of(ids, record)
                self._infos.append(info)
                self._bytes += len(info)
            row = len(self._variants)
            as_written = normal == (pos, ref_text, alt_text)
            locus = None if as_written else f"{chrom_text}:{pos_text}:{ref_text}:{alt_text}"
            self._variants.append((chrom, *normal))
            self._observed.append((ids, qual, filters, locus, allele, line, len(self._infos) - 1, len(alts)))
            for rsid in rsids:
                self._rsids.append((rsid, row))
            for extractor in self._extractors:
                extractor.add(row, record, allele, (chrom, *normal))

    def _normal(self, chrom: int, pos: int, ref: str, alt: str) -> tuple[int, str, str] | None:
        if alt in NOT_VARIANTS:
            self._skipped[NOT_VARIANTS[alt]] += 1
            return None
        return self._normalizer.normal(chrom, pos, ref, alt)

    def _qual(self, text: str) -> float | None:
        try:
            value = float(text)
        except ValueError:
            raise Rejected(BAD_QUAL, text[:_SHOWN]) from None
        if math.isfinite(value):
            return value
        self._warnings[NOT_FINITE] += 1
        return None

    def _rsids_of(self, ids: list[str] | None, record: Record) -> Iterable[int]:
        """The rsIDs of a record: those of the ID column, else those that ClinVar and dbSNP write as INFO RS."""
        found = [int(m[1]) for m in map(_RSID.fullmatch, ids) if m] if ids else []
        if not found and self._info_has_rsid:
            found = list(map(int, _NUMBER.findall(record.info.get("RS") or "")))
        return dict.fromkeys(found) if len(found) > 1 else found

    def _reject(self, line: int, why: Rejected, columns: list[str]) -> None:
        self._rejects.append(Reject(line, why.reason, why.detail, "\t".join(columns[:8])[:_SHOWN_ROW]))

    def take(self, position: int) -> Chunk:
        """The chunk of what was added since the last call; `position` is how far in the file that is."""
        tables = self._tables() if self._variants else {}
        warnings, self._warnings = self._warnings, Counter()
        for source in filter(None, (self._normalizer, self._info, self._frequencies, *self._extractors)):
            warnings += source.warnings
            source.warnings.clear()
        chunk = Chunk(tables, self.records, self._rejects, position, self._end, self._skipped, warnings)
        self._clear()
        return chunk

    def _tables(self) -> dict[str, pa.RecordBatch]:
        chrom, pos, ref, alt = zip(*self._variants, strict=True)
        ids, qual, filters, locus, allele, line, record, alts = zip(*self._observed, strict=True)
        key = encode(np.array(chrom), np.array(pos), ref, alt)
        row = np.arange(len(key), dtype=np.int32)
        rsid, carrier = np.array(self._rsids, np.int64).reshape(-1, 2).T
        info = self._info.read(self._infos, np.array(record), np.array(allele), np.array(alts))
        tables = {
            "variant": _rows("variant", [key, chrom, pos, ref, alt], row),
            "variant_record": _rows("variant_record", [key, ids, qual, filters, info.json(), locus, allele, line], row),
            "rsid": _rows("rsid", [rsid, key[carrier]], carrier.astype(np.int32)),
        }
        extracted = {table: rows for e in self._extractors for table, rows in e.take().items()}
        if self._frequencies:
            extracted["population_frequency"] = self._frequencies.read(info)
        for table, rows in extracted.items():
            tables[table] = rows.add_column(0, "variant_key", pa.array(key[rows.column(ROW).to_numpy()]))
        if self._frequencies and self._populations:
            self._populations = False
            names = self._frequencies.populations
            columns = [pa.array(range(1, len(names) + 1), pa.int16()), pa.array(names, pa.string())]
            tables["frequency_population"] = pa.record_batch(columns, schema=SCHEMA["frequency_population"])
        return tables


def _rows(table: str, columns: Sequence, row: np.ndarray) -> pa.RecordBatch:
    schema = SCHEMA[table]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch([*arrays, pa.array(row)], schema=schema.append(pa.field(ROW, pa.int32())))
