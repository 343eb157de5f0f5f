"""Scores: one number per variant, from a table of text (CADD, AlphaMissense and their like) or from INFO keys of a VCF.

In: rows with chromosome, 1-based position, REF, ALT and scores. Out: rows of score and variant_score, keyed by the same normal form of the
variant that the VCF loader makes, where REF and ALT are not swapped; no variants are made, so a score may await its variant. A value that is missing (empty, a dot, a
dash, NA) gives no row and is counted; one that is no finite number is rejected.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from loaders.errors import InputError
from loaders.header import VcfHeader, open_vcf
from loaders.normalize import NOT_VARIANTS, SWAPPED, Normalizer, Rejected, Site, check_size
from loaders.source import Block, text_blocks
from loaders.vcf import CHUNK_BYTES, CHUNK_ROWS
from store.copy import LINE, ROW, Chunk, Reject
from store.variant_key import encode

TABLES = ("score", "variant_score")
SCHEMA = {
    "score": pa.schema([("score_id", pa.int16()), ("name", pa.string()), ("description", pa.string())]),
    "variant_score": pa.schema(
        [
            ("variant_key", pa.int64()),
            ("score_id", pa.int16()),
            ("value", pa.float64()),
            ("source_locus", pa.string()),
            (ROW, pa.int32()),
            (LINE, pa.int32()),
        ]
    ),
}
NO_VALUE = "no value"
NOT_A_NUMBER = "score that is not a finite number"
TOO_FEW = "too few columns"
NOT_PER_ALT = "not one value for each ALT"

_MISSING = frozenset(("", ".", "NA", "N/A", "-"))
_LOCUS = (
    ("chrom", "chr", "chromosome", "contig"),
    ("pos", "position", "bp", "pos(1-based)"),
    ("ref", "reference", "ref_allele", "reference_allele"),
    ("alt", "alternate", "alternative", "alt_allele", "alternate_allele"),
)
_USUAL = ("PHRED", "am_pathogenicity", "score")
"""The columns that tools mean when they speak of their score: CADD, AlphaMissense, anybody."""
_SHOWN = 200

MOST_COLUMNS = 10_000
"""Of a table; dbNSFP has seven hundred."""

MOST_COMMENTS = 1 << 20
"""Characters of the comments before a header, which are held in memory."""


def check_comments(path: Path, number: int, size: int) -> None:
    """Raises InputError where what stands before a header, so many characters up to this line, is too long to be comments."""
    if size > MOST_COMMENTS:
        what = f"comments of more than {MOST_COMMENTS:,} characters, and no header"
        raise InputError(path, number, what, "Check that it is the file you mean.")


@dataclass(frozen=True)
class Score:
    """A score to load: its name in the store, what the file says about it, and the column or INFO key it stands in."""

    name: str
    description: str | None
    source: str


@dataclass(frozen=True)
class Table:
    """How a table of text is laid out: its separator, where its columns are, and what its comments say.

    `locus` are the places of chromosome, position, REF and ALT; `begin` is the line of its first row; `assembly` is text that may name
    the assembly.
    """

    separator: str
    columns: tuple[str, ...]
    locus: tuple[int, int, int, int]
    begin: int
    comment: str | None
    assembly: str | None


def layout(path: Path, names: Sequence[str] | None = None) -> Table:
    """The layout of a table: its header is the line whose columns have the usual names, or those given for chromosome,
    position, REF and ALT. Raises InputError where there is none."""
    if names is not None and len(names) != len(_LOCUS):
        raise InputError(path, None, f"{len(names)} columns named for a variant", "Name four: --locus CHROM,POS,REF,ALT")
    comments: list[str] = []
    size, number = 0, None  # compressed, a file of nothing has no first line
    for number, line in _lines(text_blocks(path)):
        if line.startswith("##fileformat=VCF"):
            raise InputError(path, None, "this is a VCF", "Say which of its INFO keys are scores: --info KEY")
        separator = "\t" if "\t" in line else ","
        columns = tuple(name.strip() for name in line.lstrip("#").split(separator))
        if (locus := _locus(columns, names)) is not None:
            if len(columns) > MOST_COLUMNS:
                raise InputError(
                    path,
                    number,
                    f"{len(columns):,} columns, of which at most {MOST_COLUMNS:,} are read",
                    "Take out those that are not needed.",
                )
            first = next((row for n, row in _lines(text_blocks(path)) if n > number and row), "")
            genome = dict(zip(columns, first.split(separator), strict=False)).get("genome")
            return Table(separator, columns, locus, number + 1, _first(comments), " ".join([*comments, genome or ""]))
        if not line.startswith("#"):
            break
        size += len(line)
        check_comments(path, number, size)
        comments.append(line.lstrip("#").strip())
    wanted = ", ".join(names) if names else "such as #Chrom, Pos, Ref, Alt"
    raise InputError(path, number, f"no header with the columns of a variant ({wanted})", "Name them: --locus CHROM,POS,REF,ALT")


def chosen(path: Path, columns: Sequence[str], table: Table, names: Sequence[str]) -> list[Score]:
    """The scores to read from a table: the columns given, else the one it is about; under `names`, else their own.

    Raises InputError where a column is not there, or several could be meant.
    """
    others = [c for place, c in enumerate(table.columns) if place not in table.locus]
    listed = ", ".join(others)
    if unknown := [c for c in columns if c not in others]:
        raise InputError(path, table.begin - 1, f"no column {unknown[0]!r}", f"Its columns are: {listed}")
    if not columns:
        columns = [c for c in _USUAL if c in others][:1] or others
        if len(columns) != 1:
            raise InputError(path, table.begin - 1, "it has several columns that may be scores", f"Say which: --column NAME ({listed})")
    return _named(path, columns, names, lambda column: table.comment)


def declared(path: Path, keys: Sequence[str], header: VcfHeader, names: Sequence[str]) -> list[Score]:
    """The scores to read from INFO keys of a VCF. Raises InputError where a key is not declared, or as a flag."""
    for key in keys:
        if key not in header.infos or header.infos[key].type == "Flag":
            numeric = [k for k, f in header.infos.items() if f.type in ("Float", "Integer")]
            raise InputError(path, None, f"no INFO key {key!r} that holds numbers", f"Its numeric keys are: {', '.join(numeric) or 'none'}")
    return _named(path, keys, names, lambda key: header.infos[key].description or None)


def read_table(
    path: Path, table: Table, scores: Sequence[Score], normalizer: Normalizer, *, after: int = 0, first: bool = True
) -> Generator[Chunk, None, None]:
    """The chunks of a table, from the line after line `after`; with `first`, the first one names the scores."""
    chrom, pos, ref, alt = table.locus
    places = [table.columns.index(score.source) for score in scores]
    needed = 1 + max(*table.locus, *places)
    batch = _Batch(scores, normalizer, first and not after)

    def add(number: int, line: str) -> None:
        columns = line.split(table.separator)
        if len(columns) < needed:
            raise Rejected(TOO_FEW, f"{len(columns)} of at least {needed}")
        batch.add(number, line, normalizer.site(columns[chrom], columns[pos], columns[ref]), columns[alt], [columns[p] for p in places])

    yield from batch.read(text_blocks(path), max(after + 1, table.begin), add)


def read_vcf(
    path: Path, scores: Sequence[Score], normalizer: Normalizer, *, after: int = 0, first: bool = True
) -> Generator[Chunk, None, None]:
    """The chunks of the INFO keys of a VCF or BCF, from the record after line `after`; with `first`, the first one names the scores."""
    header, blocks = open_vcf(path)
    keys = [(re.compile(rf"(?:^|;){re.escape(s.source)}=([^;]*)"), header.infos[s.source].number) for s in scores]
    batch = _Batch(scores, normalizer, first and not after)

    def add(number: int, line: str) -> None:
        columns = line.split("\t", 8)
        if len(columns) < 8:
            raise Rejected(TOO_FEW, f"{len(columns)} of at least 8")
        site = normalizer.site(columns[0], columns[1], columns[3])
        alts = columns[4].split(",")
        check_size(len(alts), len(columns[3]) + len(columns[4]) + len(columns[7]))
        found = [(match[1], number) if (match := key.search(columns[7])) else ("", number) for key, number in keys]
        for allele, alt in enumerate(alts, 1):
            if name := NOT_VARIANTS.get(alt.upper()):
                batch.skipped[name] += 1
                continue
            try:
                values = [_of_alt(text, declared, allele, len(alts)) for text, declared in found]
                batch.add(number, line, site, alt, values)
            except Rejected as why:
                batch.reject(number, line, why)

    yield from batch.read(blocks, after + 1, add)


def _of_alt(text: str, number: str, allele: int, alts: int) -> str:
    """The value of one ALT: of several values the ALT's own, of a single one (Number=1) that of the site."""
    values = text.split(",")
    if len(values) == alts:
        return values[allele - 1]
    if number == "R" and len(values) == alts + 1:
        return values[allele]
    if len(values) == 1 and (number == "1" or text in _MISSING):
        return text
    raise Rejected(NOT_PER_ALT, f"{len(values)} values for {alts} ALTs")


class _Batch:
    """Scored variants, collected one by one."""

    def __init__(self, scores: Sequence[Score], normalizer: Normalizer, first: bool) -> None:
        self.skipped: Counter[str] = Counter()
        self._scores = scores
        self._normalizer = normalizer
        self._first = first
        self._clear()

    def _clear(self) -> None:
        self._records = self._text = 0
        self._rejects: list[Reject] = []
        self._variants: list[tuple[int, int, str, str]] = []
        self._source: list[str | None] = []
        self._line: list[int] = []
        self._values: list[tuple[int, int, float]] = []

    def read(self, blocks: Iterable[Block], begin: int, add: Callable[[int, str], None]) -> Iterator[Chunk]:
        """Gives a chunk whenever one is full, of the lines from line `begin`, each of which `add` takes apart."""
        end, position = max(1, begin - 1), 0  # the first chunk comes once, in a file without records too
        for block in blocks:
            position = block.position
            for number, line in enumerate(block.lines[max(0, begin - block.first) :], max(begin, block.first)):
                end = number
                if not line or line[0] == "#":
                    continue
                self._records += 1
                try:
                    add(number, line)
                except Rejected as why:
                    self.reject(number, line, why)
                if len(self._line) + len(self._rejects) >= CHUNK_ROWS or self._text >= CHUNK_BYTES:
                    yield self._take(position, end)
        if self._records or self._first:
            yield self._take(position, end)

    def add(self, number: int, line: str, site: Site, alt: str, texts: Sequence[str]) -> None:
        """Adds the scores of one variant. Raises Rejected."""
        variant = self._normalizer.normal(site, alt.upper())
        if site.swapped:
            raise Rejected(SWAPPED.format(self._normalizer.assembly.name), "a score of REF to ALT is none of ALT to REF")
        row = len(self._line)
        self._variants.append(variant)
        self._text += len(variant[2]) + len(variant[3])
        self._source.append(site.source_locus(alt))
        self._line.append(number)
        for score, text in enumerate(texts):
            if text in _MISSING:
                self.skipped[NO_VALUE] += 1
            elif (value := _finite(text)) is None:
                self.reject(number, line, Rejected(NOT_A_NUMBER, f"{self._scores[score].source} {text[:40]!r}"))
            else:
                self._values.append((row, score, value))

    def reject(self, number: int, line: str, why: Rejected) -> None:
        """Adds to the rejects."""
        self._rejects.append(Reject(number, why.reason, why.detail, line[:_SHOWN]))

    def _take(self, position: int, end: int) -> Chunk:
        tables = {}
        if self._first:
            named = zip(*((n, s.name, s.description) for n, s in enumerate(self._scores)), strict=True)
            tables["score"] = _rows("score", named)
            self._first = False
        if self._values:
            chrom, pos, ref, alt = zip(*self._variants, strict=True)
            key = encode(np.array(chrom), np.array(pos), ref, alt)
            row, score, value = (np.array(c) for c in zip(*self._values, strict=True))
            source = pa.array(self._source, pa.string()).take(pa.array(row))
            tables["variant_score"] = _rows("variant_score", (key[row], score, value, source, row, np.array(self._line)[row]))
        chunk = Chunk(tables, self._records, self._rejects, position, end, self.skipped, Counter(self._normalizer.warnings))
        self.skipped = Counter()
        self._normalizer.warnings.clear()
        self._clear()
        return chunk


def _rows(table: str, columns: Iterable[Any]) -> pa.RecordBatch:
    schema = SCHEMA[table]
    return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _locus(columns: Sequence[str], names: Sequence[str] | None) -> tuple[int, int, int, int] | None:
    wanted = [(name.lower().lstrip("#"),) for name in names] if names else _LOCUS
    lower = [column.lower() for column in columns]
    places = [next((lower.index(name) for name in known if name in lower), -1) for known in wanted]
    chrom, pos, ref, alt = places
    return None if -1 in places else (chrom, pos, ref, alt)


def _named(path: Path, sources: Sequence[str], names: Sequence[str], describe: Callable[[str], str | None]) -> list[Score]:
    if names and len(names) != len(sources):
        raise InputError(
            path, None, f"{len(names)} names for {len(sources)} scores", "Give --name once for each --column or --info, in their order."
        )
    scores = [Score(name, describe(source), source) for name, source in zip(names or sources, sources, strict=True)]
    if len({score.name for score in scores}) < len(scores):
        raise InputError(path, None, "two scores of the same name", "Give each its own --name.")
    return scores


def _lines(blocks: Iterable[Block]) -> Iterator[tuple[int, str]]:
    return ((number, line) for block in blocks for number, line in enumerate(block.lines, block.first))


def _first(comments: Sequence[str]) -> str | None:
    return next((comment for comment in comments if comment), None)
