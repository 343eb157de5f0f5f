"""Genes and transcripts of a GTF file: GENCODE, Ensembl, NCBI RefSeq, and what is written like them.

In: gene, transcript, exon and CDS lines in any order, 1-based and inclusive. Out: rows of gene and transcript, and of gene_alias, which RefSeq
alone has: its gene_synonym, once for each. Genes and transcripts that have no line of their own are made from their parts, as UCSC and StringTie write only exons. Contigs other than 1-22, X, Y and MT go to
the rejects. Sources: the GTF 2.2 specification (mblab.wustl.edu/GTF22.html), and the format descriptions of GENCODE and Ensembl.
"""

from __future__ import annotations

import itertools
import re
import sys
from array import array
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from loaders.errors import InputError
from loaders.source import Block, text_blocks
from store.accession import split_version
from store.assembly import NAMES, Assembly, chrom_code
from store.copy import Chunk, Reject

TABLES = ("gene", "transcript", "gene_alias")
SCHEMA = {
    "gene": pa.schema(
        [
            ("gene_id", pa.string()),
            ("version", pa.string()),
            ("symbol", pa.string()),
            ("chrom", pa.int16()),
            ("start_pos", pa.int32()),
            ("end_pos", pa.int32()),
            ("strand", pa.int16()),
            ("biotype", pa.string()),
            ("description", pa.string()),
        ]
    ),
    "transcript": pa.schema(
        [
            ("transcript_id", pa.string()),
            ("version", pa.string()),
            ("gene_id", pa.string()),
            ("name", pa.string()),
            ("chrom", pa.int16()),
            ("start_pos", pa.int32()),
            ("end_pos", pa.int32()),
            ("strand", pa.int16()),
            ("biotype", pa.string()),
            ("cds_start", pa.int32()),
            ("cds_end", pa.int32()),
            ("exon_starts", pa.list_(pa.int32())),
            ("exon_ends", pa.list_(pa.int32())),
            ("canonical", pa.bool_()),
            ("mane", pa.string()),
            ("protein_id", pa.string()),
        ]
    ),
    "gene_alias": pa.schema([("alias", pa.string()), ("gene_id", pa.string())]),
}

TOO_LONG = "aliases of more than 200 characters"

_READ = frozenset(("gene", "transcript", "exon", "CDS"))
_STRANDS = {"+": 1, "-": -1}
_TAG, _SYNONYM = "tag", "gene_synonym"
# A key stands at the beginning of a word: tried at each character, a long text would take the square of its length.
_ATTRIBUTE = re.compile(r'(?<![^\s";])([^\s";]+)\s+(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))\s*(?:;|$)')
_TRANSCRIPT_ID = re.compile(r'(?:^|;)\s*transcript_id "([^"]*)"')
_DIGITS = 10  # fewer, in a position
_SHOWN = 60
MOST_HELD = 3_000_000
"""Genes, transcripts and rejects, which are held in memory; GENCODE has three hundred thousand."""

_PART = 20_000
_LONGEST_ALIAS = 200
_REMEDY = "Give a GTF file, as GENCODE and Ensembl publish them; GFF3 becomes GTF with: gffread -T"


@dataclass(slots=True)
class Feature:
    """A gene or a transcript as far as it was read; `line` is 0 while only parts of it were seen. `name` is a gene's symbol.

    There are hundreds of thousands of them: they keep only what becomes a column, and strings that many share, once.
    """

    chrom: int
    strand: int
    start: int
    end: int
    line: int
    name: str | None
    version: str | None
    biotype: str | None
    description: str | None = None
    gene: str = ""
    protein: str | None = None
    canonical: bool = False
    mane: str | None = None
    exons: array | None = None
    coding: tuple[int, int] | None = None
    aliases: frozenset[str] = frozenset()

    def widen(self, start: int, end: int) -> None:
        """Takes in a part, unless the feature's own line gave its ends."""
        if not self.line:
            self.start, self.end = min(self.start, start), max(self.end, end)


def statement(path: Path) -> str:
    """What the comment lines at the top of a GTF file say, as far as it may name the assembly; empty where there are none.

    GENCODE's back-mapped files begin "(GRCh38), ... mapped to GRCh37": there, only what follows counts.
    """
    for block in text_blocks(path):
        comments = " ".join(itertools.takewhile(lambda line: line.startswith("#"), block.lines))
        return comments.rpartition("mapped to ")[2]
    return ""


def read(path: Path, build: Assembly, *, after: int = 0) -> Generator[Chunk, None, None]:
    """The chunks of a GTF file of the given assembly: empty ones that tell of progress, then one with all rows and rejects.

    There is nothing left to read when a load was cut off `after` any line. Memory grows with the transcripts, not with
    the lines: about a kilobyte for each. Raises InputError where the file is no GTF, or has a position beyond the end of its chromosome.
    """
    if after:
        return
    annotation = Annotation(path, build)
    records = 0
    for block in text_blocks(path):
        records += annotation.read(block)
        if len(annotation.genes) + len(annotation.transcripts) + len(annotation.rejects) > MOST_HELD:
            raise InputError(path, block.first, f"more than {MOST_HELD:,} genes, transcripts and lines of no use", _REMEDY)
        yield Chunk({}, 0, position=block.position)
    if not annotation.genes and not annotation.transcripts:
        raise InputError(path, None, "no gene, transcript or exon on chromosomes 1-22, X, Y, MT was found in it", _REMEDY)
    end = block.first + len(block.lines) - 1
    yield Chunk(annotation.tables(), records, annotation.rejects, block.position, end, annotation.skipped)


def attributes(text: str) -> tuple[dict[str, str], dict[str, frozenset[str]]]:
    """The ninth column: the first value of each key, and all values of `tag` and of `gene_synonym`, which are given once for each. Values may be
    quoted, and then hold semicolons."""
    first: dict[str, str] = {}
    several: dict[str, list[str]] = {_TAG: [], _SYNONYM: []}
    for key, quoted, bare in _ATTRIBUTE.findall(text):
        if key in several:
            several[key].append(quoted or bare)
        else:
            first.setdefault(key, quoted or bare)
    return first, {key: frozenset(values) for key, values in several.items()}


class Annotation:
    """What was read of a GTF file, in compact form; `rejects` are the lines that could not be used, `skipped` counts what is left out of `tables`."""

    def __init__(self, path: Path, build: Assembly) -> None:
        self.path = path
        self.build = build
        self.genes: dict[str, Feature] = {}
        self.transcripts: dict[str, Feature] = {}
        self.rejects: list[Reject] = []
        self.skipped: Counter[str] = Counter()
        self._chroms: dict[str, int | None] = {}
        self._begun = False

    def read(self, block: Block) -> int:
        """Reads the lines of a block; returns how many were records."""
        records = 0
        for number, line in enumerate(block.lines, block.first):
            if not line or line[0] == "#":
                continue
            records += 1
            columns = line.split("\t")
            if len(columns) != 9:
                self._malformed(number, line, f"{len(columns)} columns, not 9")
            elif columns[2] in _READ:
                self._feature(number, line, columns)
            self._begun = True
        return records

    def tables(self) -> dict[str, pa.RecordBatch]:
        """All rows, in the order of their first lines."""
        made = {"transcript": _batch("transcript", self._transcript_rows()), "gene": _batch("gene", self._gene_rows())}
        aliases = _batch("gene_alias", self._alias_rows())
        return made | ({"gene_alias": aliases} if aliases.num_rows else {})

    def _feature(self, number: int, line: str, columns: list[str]) -> None:
        name, source, kind, first, last, _, sign, _, text = columns
        if name not in self._chroms:
            self._chroms[name] = chrom_code(name)
        chrom, strand = self._chroms[name], _STRANDS.get(sign)
        if chrom is None:
            return self._reject(number, "contig outside 1-22, X, Y, MT", name, line)
        if not (first.isdecimal() and last.isdecimal() and len(first) < _DIGITS and len(last) < _DIGITS and 1 <= int(first) <= int(last)):
            return self._malformed(number, line, f"not a range: {first[:_SHOWN]}-{last[:_SHOWN]}")
        if strand is None:
            return self._reject(number, "no strand", sign, line)
        place = (chrom, strand, int(first), int(last))
        if place[3] > self.build.length(chrom):
            raise InputError(
                self.path,
                number,
                f"position {last} lies beyond the end of chromosome {NAMES[chrom - 1]} of {self.build.name}",
                "The file is of another assembly: load it into a store of that one.",
            )
        if kind in ("exon", "CDS"):
            return self._part(number, line, kind, place, text)
        said, several = attributes(text)
        key = said.get(f"{kind}_id")
        if not key:
            return self._malformed(number, line, f"no {kind}_id")
        known = self.genes if kind == "gene" else self.transcripts
        before = known.get(key)
        if before is not None and before.line:
            return self._reject(number, f"{kind} that has a place already", f"{key} stands in line {before.line}", line)
        if kind == "gene":
            known[key] = _gene(number, place, said, several)
            return None
        made = known[key] = self._transcript(key, number, place, said, several)
        # Before release 76 Ensembl wrote the biotype of the transcript where the source belongs.
        if made.biotype is None and "transcript_source" in said:
            made.biotype = sys.intern(source)
        if before is not None:
            made.exons, made.coding, made.protein = before.exons, before.coding, made.protein or before.protein
        return None

    def _transcript(
        self, key: str, line: int, place: tuple[int, int, int, int], said: dict[str, str], several: dict[str, frozenset[str]]
    ) -> Feature:
        gene = sys.intern(said.get("gene_id") or key)
        if gene not in self.genes:
            self.genes[gene] = _gene(0, place, said, several)
        tags = several[_TAG]
        return Feature(
            *place,
            line,
            said.get("transcript_name"),
            said.get("transcript_version"),
            _shared(said.get("transcript_type") or said.get("transcript_biotype")),
            gene=gene,
            protein=said.get("protein_id"),
            canonical="Ensembl_canonical" in tags,
            mane="SELECT" if "MANE_Select" in tags else "PLUS_CLINICAL" if "MANE_Plus_Clinical" in tags else None,
        )

    def _part(self, number: int, line: str, kind: str, place: tuple[int, int, int, int], text: str) -> None:
        found = _TRANSCRIPT_ID.search(text)
        if not found or not found[1]:
            return self._malformed(number, line, "no transcript_id")
        chrom, strand, start, end = place
        whole = self.transcripts.get(found[1])
        if whole is None:
            whole = self.transcripts[found[1]] = self._transcript(found[1], 0, place, *attributes(text))
        elif whole.chrom != chrom or whole.strand != strand:
            return self._reject(number, f"{kind} on another chromosome or strand than its transcript", found[1], line)
        elif whole.line and not (whole.start <= start and end <= whole.end):
            return self._reject(number, f"{kind} outside its transcript", found[1], line)
        whole.widen(start, end)
        if kind == "exon":
            if whole.exons is None:
                whole.exons = array("i")
            whole.exons.extend((start, end))
        else:
            low, high = whole.coding or (start, end)
            whole.coding = min(low, start), max(high, end)
            if whole.protein is None:
                whole.protein = attributes(text)[0].get("protein_id", "")
        return None

    def _transcript_rows(self) -> Iterator[tuple]:
        for identifier, version, t in self._unique("transcript", self.transcripts):
            # Exons that stood before the line of their transcript could not be held against it.
            written = t.exons or ()
            exons = sorted({e for e in zip(written[::2], written[1::2], strict=True) if t.start <= e[0] and e[1] <= t.end})
            if (gene := self.genes[t.gene]).chrom == t.chrom:
                gene.widen(t.start, t.end)
            low, high = t.coding or (None, None)
            yield (
                identifier,
                version,
                split_version(t.gene)[0],
                t.name,
                t.chrom,
                t.start,
                t.end,
                t.strand,
                t.biotype,
                low,
                high,
                [start for start, _ in exons],
                [end for _, end in exons],
                t.canonical,
                t.mane,
                t.protein or None,
            )

    def _gene_rows(self) -> Iterator[tuple]:
        for identifier, version, g in self._unique("gene", self.genes):
            yield identifier, version, g.name or identifier, g.chrom, g.start, g.end, g.strand, g.biotype, g.description

    def _alias_rows(self) -> Iterator[tuple[str, str]]:
        """(alias, gene), each once, without the genes' own symbols, and without what is too long to be one, or for an index."""
        seen: set[str] = set()
        for key, gene in self.genes.items():
            if (identifier := split_version(key)[0]) not in seen:
                seen.add(identifier)
                others = {name.strip().upper() for name in gene.aliases} - {"", (gene.name or identifier).upper()}
                short = sorted(alias for alias in others if len(alias) <= _LONGEST_ALIAS)
                self.skipped[TOO_LONG] += len(others) - len(short)
                yield from ((alias, identifier) for alias in short)

    def _unique(self, kind: str, features: dict[str, Feature]) -> Iterator[tuple[str, str | None, Feature]]:
        """(identifier, version, feature) of each; a second version of an identifier is rejected."""
        seen: set[str] = set()
        for key, feature in features.items():
            identifier, version = split_version(key)
            if identifier in seen:
                self._reject(feature.line, f"{kind} of which another version stands before", key, key)
                continue
            seen.add(identifier)
            yield identifier, version or feature.version, feature

    def _malformed(self, number: int, line: str, what: str) -> None:
        if not self._begun:
            raise InputError(self.path, number, f"not a GTF: {what}", _REMEDY)
        self._reject(number, "malformed line", what, line)

    def _reject(self, number: int, reason: str, detail: str, row: str) -> None:
        self.rejects.append(Reject(number, reason, detail, row[:200]))


def _gene(line: int, place: tuple[int, int, int, int], said: dict[str, str], several: dict[str, frozenset[str]]) -> Feature:
    """A gene as its line, or one of its parts, describes it."""
    biotype = _shared(said.get("gene_type") or said.get("gene_biotype"))
    symbol, aliases = said.get("gene_name") or said.get("gene"), several[_SYNONYM]
    return Feature(*place, line, symbol, said.get("gene_version"), biotype, said.get("description"), aliases=aliases)


def _shared(text: str | None) -> str | None:
    return sys.intern(text) if text else None


def _batch(table: str, rows: Iterator[tuple]) -> pa.RecordBatch:
    """One batch of all rows, made in parts, since rows of Python objects take many times the memory."""
    schema = SCHEMA[table]
    parts = [pa.record_batch([()] * len(schema), schema=schema)]
    while part := list(itertools.islice(rows, _PART)):
        columns = zip(*part, strict=True)
        parts.append(pa.record_batch([pa.array(column, f.type) for column, f in zip(columns, schema, strict=True)], schema=schema))
    return pa.concat_batches(parts)
