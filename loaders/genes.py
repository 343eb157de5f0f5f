"""Genes and transcripts of a GTF file: GENCODE, Ensembl, and what is written like them.

In: gene, transcript, exon and CDS lines in any order, 1-based and inclusive. Out: rows of gene and transcript. Genes and transcripts that have no line of
their own are made from their parts, as UCSC and StringTie write only exons. Contigs other than 1-22, X, Y and MT go to the rejects.
Sources: the GTF 2.2 specification (mblab.wustl.edu/GTF22.html), and the format descriptions of GENCODE and Ensembl.
"""

from __future__ import annotations

import itertools
import re
from array import array
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from loaders.errors import InputError
from loaders.source import Block, text_blocks
from store.accession import split_version
from store.assembly import NAMES, Assembly, chrom_code
from store.copy import Chunk, Reject

TABLES = ("gene", "transcript")
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
}
_READ = frozenset(("gene", "transcript", "exon", "CDS"))
_STRANDS = {"+": 1, "-": -1}
_ATTRIBUTE = re.compile(r'\s*([^\s";]+)\s+(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))\s*(?:;|$)')
_TRANSCRIPT_ID = re.compile(r'(?:^|;)\s*transcript_id "([^"]*)"')
_REMEDY = "Give a GTF file, as GENCODE and Ensembl publish them; GFF3 becomes GTF with: gffread -T"


@dataclass(slots=True)
class Feature:
    """A gene or a transcript as far as it was read; `line` is 0 while only parts of it were seen."""

    chrom: int
    strand: int
    start: int
    end: int
    line: int
    attributes: dict[str, str]
    tags: frozenset[str]
    biotype: str | None = None
    gene: str = ""
    protein: str | None = None
    exons: array = field(default_factory=lambda: array("i"))
    coding: tuple[int, int] | None = None

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

    There is nothing left to read when a load was cut off `after` any line. What is held in memory grows with the genes, not with the lines: about
    300 MB for all of GENCODE. Raises InputError where the file is no GTF, or has a position beyond the end of its chromosome.
    """
    if after:
        return
    annotation = Annotation(path, build)
    records = 0
    for block in text_blocks(path):
        records += annotation.read(block)
        yield Chunk({}, 0, position=block.position)
    if not annotation.genes and not annotation.transcripts:
        raise InputError(path, None, "no gene, transcript or exon on chromosomes 1-22, X, Y, MT was found in it", _REMEDY)
    end = block.first + len(block.lines) - 1
    yield Chunk(annotation.tables(), records, annotation.rejects, block.position, end)


def attributes(text: str) -> tuple[dict[str, str], frozenset[str]]:
    """The ninth column: the first value of each key, and all values of `tag`. Values may be quoted, and then hold semicolons."""
    first: dict[str, str] = {}
    tags = []
    for key, quoted, bare in _ATTRIBUTE.findall(text):
        if key == "tag":
            tags.append(quoted or bare)
        else:
            first.setdefault(key, quoted or bare)
    return first, frozenset(tags)


class Annotation:
    """What was read of a GTF file, in compact form; `rejects` are the lines that could not be used."""

    def __init__(self, path: Path, build: Assembly) -> None:
        self.path = path
        self.build = build
        self.genes: dict[str, Feature] = {}
        self.transcripts: dict[str, Feature] = {}
        self.rejects: list[Reject] = []
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
        transcripts = _batch("transcript", self._transcript_rows())
        return {"transcript": transcripts, "gene": _batch("gene", self._gene_rows())}

    def _feature(self, number: int, line: str, columns: list[str]) -> None:
        name, source, kind, first, last, _, sign, _, text = columns
        chrom, strand = chrom_code(name), _STRANDS.get(sign)
        if chrom is None:
            return self._reject(number, "contig outside 1-22, X, Y, MT", name, line)
        if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
            return self._malformed(number, line, f"not a range: {first}-{last}")
        if strand is None:
            return self._reject(number, "no strand", sign, line)
        start, end = int(first), int(last)
        if end > self.build.length(chrom):
            raise InputError(
                self.path, number, f"position {end} lies beyond the end of chromosome {NAMES[chrom - 1]} of {self.build.name}",
                "The file is of another assembly: load it into a store of that one.",
            )  # fmt: skip
        if kind in ("exon", "CDS"):
            return self._part(number, line, kind, Feature(chrom, strand, start, end, 0, {}, frozenset()), text)
        values, tags = attributes(text)
        key = values.get(f"{kind}_id")
        if not key:
            return self._malformed(number, line, f"no {kind}_id")
        known = self.genes if kind == "gene" else self.transcripts
        made = Feature(chrom, strand, start, end, number, values, tags)
        if kind == "transcript":
            made.gene = values.get("gene_id") or key
            made.protein = values.get("protein_id")
            # Before release 76 Ensembl wrote the biotype of the transcript where the source belongs.
            made.biotype = (
                values.get("transcript_type") or values.get("transcript_biotype") or (source if "transcript_source" in values else None)
            )
        else:
            made.biotype = values.get("gene_type") or values.get("gene_biotype")
        if (before := known.get(key)) is not None:
            if before.line:
                return self._reject(number, f"{kind} that has a place already", f"{key} stands in line {before.line}", line)
            made.exons, made.coding, made.protein = before.exons, before.coding, made.protein or before.protein
        known[key] = made
        return None

    def _part(self, number: int, line: str, kind: str, part: Feature, text: str) -> None:
        found = _TRANSCRIPT_ID.search(text)
        if not found or not found[1]:
            return self._malformed(number, line, "no transcript_id")
        whole = self.transcripts.get(found[1])
        if whole is None:
            whole = self.transcripts[found[1]] = part
            part.attributes, part.tags = attributes(text)
            part.gene = part.attributes.get("gene_id") or found[1]
            part.biotype = part.attributes.get("transcript_type") or part.attributes.get("transcript_biotype")
        elif (whole.chrom, whole.strand) != (part.chrom, part.strand):
            return self._reject(number, f"{kind} on another chromosome or strand than its transcript", found[1], line)
        elif whole.line and not whole.start <= part.start <= part.end <= whole.end:
            return self._reject(number, f"{kind} outside its transcript", found[1], line)
        whole.widen(part.start, part.end)
        if kind == "exon":
            whole.exons.extend((part.start, part.end))
        else:
            low, high = whole.coding or (part.start, part.end)
            whole.coding = min(low, part.start), max(high, part.end)
            whole.protein = whole.protein or attributes(text)[0].get("protein_id")
        return None

    def _transcript_rows(self) -> Iterator[tuple]:
        for key, t in self.transcripts.items():
            # Exons that stood before the line of their transcript could not be held against it.
            exons = sorted({e for e in zip(t.exons[::2], t.exons[1::2], strict=True) if t.start <= e[0] and e[1] <= t.end})
            identifier, version = split_version(key)
            gene = self.genes.get(t.gene)
            if gene is None:
                gene = self.genes[t.gene] = Feature(t.chrom, t.strand, t.start, t.end, 0, t.attributes, t.tags)
                gene.biotype = t.attributes.get("gene_type") or t.attributes.get("gene_biotype")
            elif gene.chrom == t.chrom:
                gene.widen(t.start, t.end)
            low, high = t.coding or (None, None)
            yield (
                identifier,
                version or t.attributes.get("transcript_version"),
                split_version(t.gene)[0],
                t.attributes.get("transcript_name"),
                t.chrom,
                t.start,
                t.end,
                t.strand,
                t.biotype,
                low,
                high,
                [start for start, _ in exons],
                [end for _, end in exons],
                "Ensembl_canonical" in t.tags,
                "SELECT" if "MANE_Select" in t.tags else "PLUS_CLINICAL" if "MANE_Plus_Clinical" in t.tags else None,
                t.protein,
            )

    def _gene_rows(self) -> Iterator[tuple]:
        for key, g in self.genes.items():
            identifier, version = split_version(key)
            yield (
                identifier,
                version or g.attributes.get("gene_version"),
                g.attributes.get("gene_name") or g.attributes.get("gene") or identifier,
                g.chrom,
                g.start,
                g.end,
                g.strand,
                g.biotype,
                g.attributes.get("description"),
            )

    def _malformed(self, number: int, line: str, what: str) -> None:
        if not self._begun:
            raise InputError(self.path, number, f"not a GTF: {what}", _REMEDY)
        self._reject(number, "malformed line", what, line)

    def _reject(self, number: int, reason: str, detail: str, row: str) -> None:
        self.rejects.append(Reject(number, reason, detail, row[:200]))


def _batch(table: str, rows: Iterable[tuple]) -> pa.RecordBatch:
    schema = SCHEMA[table]
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.record_batch([pa.array(column, f.type) for column, f in zip(columns, schema, strict=True)], schema=schema)
