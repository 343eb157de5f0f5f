"""From variants to function: scores of variants (cV2F, any table), and links of regulatory elements to genes (ABC, ENCODE-rE2G, scE2G, EPIraction).

In: the rows of files of these methods, whose layouts v2f_layout.py knows. Out: rows of v2f_run and of v2f_score or v2f_element, as published: nothing
is looked up, no variants are made. Elements come in BED coordinates (0-based, half-open), all else 1-based. What is lifted over keeps its
place as written beside the one that it has here.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from loaders import info
from loaders.errors import InputError
from loaders.normalize import BAD_CONTIG, BAD_POSITION, SWAPPED, Normalizer, Rejected
from loaders.source import Block
from loaders.v2f_layout import ELEMENTS, Layout, rows_after
from store.accession import split_version
from store.assembly import NAMES, Assembly, chrom_code
from store.copy import Chunk, Reject
from store.errors import InvalidName
from store.region import length_class, locus_key, pos1
from store.variant_key import encode_one
from store.variant_name import Alleles, parse_name

TABLES = ("v2f_run", "v2f_score", "v2f_element")
_TARGET = [("gene_id", pa.string()), ("gene", pa.string()), ("cell_type", pa.string()), ("tissue", pa.string())]
SCHEMA = {
    "v2f_run": pa.schema([("source", pa.string()), ("score_version", pa.string()), ("threshold", pa.float64()), ("synthetic", pa.bool_())]),
    "v2f_score": pa.schema(
        [
            ("file", pa.int16()),
            ("line", pa.int32()),
            ("part", pa.int16()),
            ("locus", pa.int64()),
            ("by_allele", pa.bool_()),
            ("rsid", pa.int64()),
            ("score", pa.float64()),
            ("percentile", pa.float64()),
            *_TARGET,
            ("components", pa.string()),
            ("evidence", pa.list_(pa.string())),
            ("source_locus", pa.string()),
        ]
    ),
    "v2f_element": pa.schema(
        [
            ("file", pa.int16()),
            ("line", pa.int32()),
            ("chrom", pa.int16()),
            ("start_pos", pa.int32()),
            ("end_pos", pa.int32()),
            ("name", pa.string()),
            ("class", pa.string()),
            *_TARGET,
            ("score", pa.float64()),
            ("distance_to_tss", pa.int32()),
            ("self_promoter", pa.bool_()),
            ("source_locus", pa.string()),
        ]
    ),
}
"""The columns as a reader makes them; length_class comes to those of v2f_element."""

CHUNK_ROWS = 50_000

NO_SCORE = "no score"
NOT_ALLELES = "variant that is not CHROM-POS-REF-ALT"
NOT_A_SCORE = "score that is not a number from 0 to 1"
NOT_A_NUMBER = "score that is not a finite number"
NOT_A_PERCENTILE = "percentile that is not a number from 0 to 100"
NOT_A_DISTANCE = "distance that is not a number"
NOT_TRUE_OR_FALSE = "isSelfPromoter that is neither true nor false"
NOT_AN_OBJECT = "components that are not a JSON object"
NO_TARGET = "no target gene"
NOTHING_IN_IT = "start that is not before end"
TOO_FEW = "too few columns"
TOO_LONG = "name that is too long"
ZERO_BYTE = "zero byte"

_MISSING = frozenset(("", ".", "NA", "N/A", "-"))
_TRUTH = {"TRUE": True, "FALSE": False, "1": True, "0": False}
_RSID = re.compile("rs([0-9]{1,18})")
_LONGEST = 500  # of what is indexed; the index takes some 2,000 bytes
_SHOWN = 200


def sites(path: Path, described: Layout, build: Assembly) -> Generator[Block, None, None]:
    """The rows of scores of variants as the first columns of a VCF, one a block."""
    places = [described.places.get(name, -1) for name in ("chrom", "pos", "rsid", "ref", "alt")]
    for rows, position in rows_after(path, described, 0):
        for number, cells, _ in rows:
            if len(cells) < described.needed:
                continue
            site = [cells[p] if p >= 0 else "." for p in places]
            if "variant" in described.places:
                with suppress(Rejected):
                    named = _alleles(cells[described.places["variant"]], build)
                    site = [NAMES[named.chrom - 1], str(named.pos), ".", named.ref, named.alt]
            yield Block(number, ["\t".join(site)], position)


@dataclass
class Reader:
    """Reads one file of a load. `file` is its ordinal; `cell_type` and `tissue` are those of rows that name none; `run` is the row of v2f_run,
    which comes with the first chunk of the first file."""

    path: Path
    layout: Layout
    source: str
    normalizer: Normalizer
    file: int = 0
    cell_type: str | None = None
    tissue: str | None = None
    run: pa.RecordBatch | None = None
    _rows: list[tuple[Any, ...]] = field(default_factory=list)
    _rejects: list[Reject] = field(default_factory=list)
    _skipped: Counter[str] = field(default_factory=Counter)
    _records: int = 0

    def read(self, after: int = 0) -> Generator[Chunk, None, None]:
        """The chunks of the file, from the line after line `after`. Raises InputError where an element ends beyond its chromosome."""
        first = {"v2f_run": self.run} if self.run is not None and not self.file and not after else {}
        add = self._link if self.source in ELEMENTS else self._of_position if self.source == "cv2f" else self._of_variant
        end, position = self.layout.begin - 1, 0
        for rows, position in rows_after(self.path, self.layout, after):
            for number, cells, shown in rows:
                end = number
                self._records += 1
                try:
                    if len(cells) < self.layout.needed:
                        raise Rejected(TOO_FEW, f"{len(cells)} of at least {self.layout.needed}")
                    add(number, cells, shown)
                except Rejected as why:
                    self._reject(number, shown, why)
                if len(self._rows) + len(self._rejects) >= CHUNK_ROWS:
                    yield self._take(first, position, end)
                    first = {}
        if first or self._records:
            yield self._take(first, position, end)

    def _of_position(self, number: int, cells: Sequence[str], shown: str) -> None:
        places = self.layout.places
        site = self.normalizer.position(cells[places["chrom"]], cells[places["pos"]])
        named = _RSID.fullmatch(cells[places["rsid"]])
        rsid, locus = int(named[1]) if named else None, locus_key(site.chrom, site.pos)
        for part, (place, tissue) in enumerate(self.layout.scores):
            try:
                if (score := self._score(cells[place], unit=True)) is not None:
                    target = (None, None, self.cell_type, tissue or self.tissue)
                    self._rows.append((self.file, number, part, locus, False, rsid, score, None, *target, None, None, site.source))
            except Rejected as why:
                self._reject(number, shown, why)

    def _of_variant(self, number: int, cells: Sequence[str], shown: str) -> None:
        said = {name: cells[place] for name, place in self.layout.places.items()}
        if "variant" in said:
            named = _alleles(said["variant"], self.normalizer.written)
            said |= {"chrom": NAMES[named.chrom - 1], "pos": str(named.pos), "ref": named.ref, "alt": named.alt}
        site = self.normalizer.site(said["chrom"], said["pos"], said["ref"])
        key = encode_one(*self.normalizer.normal(site, said["alt"].upper()))
        if site.swapped:
            raise Rejected(SWAPPED.format(self.normalizer.assembly.name), "a score of REF to ALT is none of ALT to REF")
        score = self._score(cells[self.layout.scores[0][0]], unit=False)
        if score is None:
            return
        percentile = None
        if (text := said.get("percentile", "")) not in _MISSING:
            percentile = _number(text)
            if percentile is None or not 0 <= percentile <= 100:
                raise Rejected(NOT_A_PERCENTILE, repr(text[:40]))
        target = (*_gene(said), _name(said, "cell_type") or self.cell_type, _name(said, "tissue") or self.tissue)
        evidence = [part for text in said.get("evidence", "").split(";") if (part := text.strip()) not in _MISSING] or None
        if "\0" in said.get("evidence", ""):
            raise Rejected(ZERO_BYTE, "evidence")
        source = site.source_locus(said["alt"])
        self._rows.append(
            (self.file, number, 0, key, True, None, score, percentile, *target, self._components(said, cells), evidence, source)
        )

    def _components(self, said: dict[str, str], cells: Sequence[str]) -> str | None:
        found: dict[str, str] = {}
        if (text := said.get("components", "")) not in _MISSING:
            try:
                whole = json.loads(text, parse_constant=_no_constant)
                if not isinstance(whole, dict):
                    raise ValueError
                # Numbers that are too large become infinite, and escapes can be halves of characters: neither can be stored.
                found = {name: json.dumps(value, ensure_ascii=False, allow_nan=False) for name, value in whole.items()}
                "".join((*found, *found.values())).encode()
            except (ValueError, RecursionError):
                raise Rejected(NOT_AN_OBJECT, text[:60]) from None
        for place, name in self.layout.components:
            if cells[place] not in _MISSING:
                found[name] = info.number(cells[place])
        return "{" + ", ".join(f"{info.string(name)}: {value}" for name, value in found.items()) + "}" if found else None

    def _link(self, number: int, cells: Sequence[str], shown: str) -> None:
        said = {name: cells[place] for name, place in self.layout.places.items()}
        chrom = chrom_code(said["chrom"])
        if chrom is None:
            raise Rejected(BAD_CONTIG, said["chrom"][:60])
        start, end = (_position(said[name]) for name in ("start", "end"))
        if start >= end:
            raise Rejected(NOTHING_IN_IT, f"{start} and {end}")
        _check_end(self.path, number, chrom, end, self.normalizer.written)
        gene_id, gene = _gene(said)
        if gene_id is None and gene is None:
            raise Rejected(NO_TARGET)
        distance = None
        if (text := said.get("distance", "")) not in _MISSING:
            distance = _number(text)
            if distance is None or abs(distance) >= 1 << 31:
                raise Rejected(NOT_A_DISTANCE, repr(text[:40]))
        promoter = None
        if (text := said.get("self_promoter", "")) not in _MISSING and (promoter := _TRUTH.get(text.upper())) is None:
            raise Rejected(NOT_TRUE_OR_FALSE, repr(text[:40]))
        score = self._score(cells[self.layout.scores[0][0]], unit=True)
        if score is None:
            return
        stretch, source = (chrom, pos1(start), end), None
        if self.normalizer.lift is not None:
            stretch = self.normalizer.lift.element(*stretch, said["chrom"])
            source = f"{said['chrom']}:{pos1(start)}-{end}"
        place = (*stretch, *(None if (text := said.get(f, "")) in _MISSING else text for f in ("name", "class")))
        target = (gene_id, gene, _name(said, "cell_type") or self.cell_type, self.tissue)
        self._rows.append((self.file, number, *place, *target, score, None if distance is None else math.floor(distance), promoter, source))

    def _score(self, text: str, *, unit: bool) -> float | None:
        """A score, None where it is missing. Raises Rejected for what is none; with `unit`, scores are 0 to 1."""
        if text in _MISSING:
            self._skipped[NO_SCORE] += 1
            return None
        score = _number(text)
        if score is None:
            raise Rejected(NOT_A_SCORE if unit else NOT_A_NUMBER, repr(text[:40]))
        if unit and not 0 <= score <= 1:
            raise Rejected(NOT_A_SCORE, text[:40])
        return score

    def _reject(self, number: int, shown: str, why: Rejected) -> None:
        self._rejects.append(Reject(number, why.reason, why.detail, shown[:_SHOWN]))

    def _take(self, first: dict[str, pa.RecordBatch], position: int, end: int) -> Chunk:
        tables = dict(first)
        if self._rows:
            table = "v2f_element" if self.source in ELEMENTS else "v2f_score"
            columns = zip(*self._rows, strict=True)
            rows = pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, SCHEMA[table], strict=True)], schema=SCHEMA[table])
            if table == "v2f_element":
                start, last = (rows.column(name).to_numpy().astype(np.int64) for name in ("start_pos", "end_pos"))
                rows = rows.append_column("length_class", pa.array(length_class(start, last)))
            tables[table] = rows
        chunk = Chunk(tables, self._records, self._rejects, position, end, self._skipped, Counter(self.normalizer.warnings))
        self.normalizer.warnings.clear()
        self._rows, self._rejects, self._skipped, self._records = [], [], Counter(), 0
        return chunk


def _alleles(text: str, build: Assembly) -> Alleles:
    """The alleles that a name of the form CHROM-POS-REF-ALT names. Raises Rejected."""
    try:
        found = parse_name(text, build)
    except InvalidName as error:
        raise Rejected(NOT_ALLELES, str(error).splitlines()[0][:_SHOWN]) from None
    if not isinstance(found, Alleles):
        raise Rejected(NOT_ALLELES, repr(text[:60]))
    return found


def _check_end(path: Path, number: int, chrom: int, end: int, build: Assembly) -> None:
    """Raises InputError where an element ends beyond its chromosome: nothing else in such a file tells of another assembly."""
    if end > build.length(chrom):
        raise InputError(
            path, number, f"position {end} lies beyond the end of chromosome {NAMES[chrom - 1]} of {build.name}",
            "The file is of another assembly: load it into a store of that one.",
        )  # fmt: skip


def _position(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Rejected(BAD_POSITION, f"{text[:60]!r}; those of BED are whole numbers from 0")
    return int(text)


def _number(text: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _gene(said: dict[str, str]) -> tuple[str | None, str | None]:
    """(identifier without version, symbol) of the target gene."""
    gene_id = _name(said, "gene_id")
    return split_version(gene_id)[0] if gene_id else None, _name(said, "gene")


def _name(said: dict[str, str], field: str) -> str | None:
    text = said.get(field, "")
    if text in _MISSING:
        return None
    if len(text) > _LONGEST:
        raise Rejected(TOO_LONG, f"{field} of {len(text):,} characters")
    if "\0" in text:
        raise Rejected(ZERO_BYTE, field)
    return text


def _no_constant(name: str) -> None:
    raise ValueError(name)
