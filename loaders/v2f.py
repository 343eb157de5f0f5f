"""From variants to function: scores of variants (cV2F, any table), and links of regulatory elements to genes (ABC, ENCODE-rE2G, scE2G, EPIraction).

In: tables of text with a header, of which the columns are told by their names; `table` also as Parquet. Out: rows of v2f_run and of v2f_score or
v2f_element, as published: nothing is looked up, no variants are made. Elements come in BED coordinates (0-based, half-open), all else 1-based.
Sources: github.com/Deylab999MSKCC/cv2f, github.com/broadinstitute/ABC-Enhancer-Gene-Prediction, github.com/EngreitzLab/ENCODE_rE2G and scE2G,
and the ENCODE portal's files of rE2G and EPIraction. The layout of `table` is this project's own (docs/function.md).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loaders import info
from loaders.errors import InputError
from loaders.normalize import BAD_CONTIG, BAD_POSITION, Normalizer, Rejected
from loaders.source import Block, check, text_blocks
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
        ]
    ),
}
"""The columns as a reader makes them; length_class comes to those of v2f_element."""

CHUNK_ROWS = 50_000

THRESHOLDS = {"cv2f": None, "abc": 0.027, "encode-re2g": 0.243, "sce2g": 0.177, "epiraction": None, "table": None}
"""The sources, and the cut-off that each publishes for its scores."""

ELEMENTS = ("abc", "encode-re2g", "sce2g", "epiraction")

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

_LOCUS = {"chrom": ("chr", "chrom", "chromosome"), "pos": ("bp", "pos", "position")}
_COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "cv2f": {**_LOCUS, "rsid": ("snp", "rsid")},
    "element": {
        "chrom": _LOCUS["chrom"],
        "start": ("start",),
        "end": ("end",),
        "name": ("name",),
        "class": ("class",),
        "gene": ("targetgene",),
        "gene_id": ("targetgeneensemblid", "targetgeneensembl_id"),
        "cell_type": ("celltype",),
        "distance": ("distancetotss", "distancetotss.feature", "distance"),
        "self_promoter": ("isselfpromoter",),
    },
    "table": {
        "variant": ("variant",),
        **_LOCUS,
        "ref": ("ref",),
        "alt": ("alt",),
        "percentile": ("percentile",),
        "gene": ("gene",),
        "gene_id": ("gene_id",),
        "cell_type": ("cell_type",),
        "tissue": ("tissue",),
        "evidence": ("evidence",),
        "components": ("components",),
    },
}
"""What a header may call a column, in lower case; the first that is there counts."""

_SCORES: dict[str, tuple[str, ...]] = {
    "cv2f": ("cv2f",),
    "table": ("score",),
    "abc": ("abc.score", "score"),
    "encode-re2g": ("encode-re2g.score", "score"),
    "sce2g": ("e2g.score.qnorm", "score"),
    "epiraction": ("score",),
}
_NEEDED = {"cv2f": ("chrom", "pos", "rsid"), "element": ("chrom", "start", "end", "gene")}
_WRITTEN = {
    "cv2f": "CHR BP SNP CM cV2F, or for tissues NAME.cV2F",
    "abc": "chr start end TargetGene ABC.Score",
    "encode-re2g": "chr start end TargetGene ENCODE-rE2G.Score (or Score)",
    "sce2g": "chr start end TargetGene E2G.Score.qnorm",
    "epiraction": "#chr start end TargetGene Score",
    "table": "variant (or chrom pos ref alt) and score",
}
_CV2F, _COMPONENT = ".cv2f", "component:"
_FIRST = frozenset(("chr", "chrom", "chromosome", "variant"))

_MISSING = frozenset(("", ".", "NA", "N/A", "-"))
_TRUTH = {"TRUE": True, "FALSE": False, "1": True, "0": False}
_UNTRUE = frozenset(("", "0", "FALSE", "NO", "NA", "."))
_RSID = re.compile("rs([0-9]{1,18})")
_LONGEST = 500  # of what is indexed; the index takes some 2,000 bytes
_SHOWN = 200


@dataclass(frozen=True)
class Layout:
    """How a file is laid out: where its columns are, by field; of its scores place and tissue, of its components place and name; the line of
    its first row; what its comments say; whether it says that it is synthetic."""

    places: dict[str, int]
    scores: tuple[tuple[int, str | None], ...]
    components: tuple[tuple[int, str], ...]
    begin: int
    comment: str
    synthetic: bool
    parquet: bool = False

    @property
    def needed(self) -> int:
        """How many columns a row has at least."""
        return 1 + max(*self.places.values(), *(place for place, _ in (*self.scores, *self.components)))


def layout(path: Path, source: str) -> Layout:
    """The layout of a file of a source. Raises InputError where it is not of that source."""
    if path.name.removesuffix(".gz").endswith(".bedpe"):
        raise InputError(
            path, None, "a BEDPE file has neither the identifiers of genes nor the cell type",
            "Load the table of the same predictions: EnhancerPredictions*.tsv, or .bed.gz of the ENCODE portal.",
        )  # fmt: skip
    parquet = _is_parquet(path)
    if parquet and source != "table":
        raise InputError(
            path, None, f"a Parquet file, which {source} does not write", "Scores in a layout of your own load with: --source table"
        )
    begin, header, comment = (1, _parquet_columns(path), "") if parquet else _header(path, source)
    lower = [name.lower() for name in header]
    line = None if parquet else begin - 1
    known = next((name for name, told in _TOLD.items() if told(lower)), source)
    if source not in ("table", known):
        raise InputError(path, line, f"its columns are those of {known}, not of {source}", f"Say so: --source {known}")
    names = _COLUMNS["element" if source in ELEMENTS else source]
    places = {f: lower.index(name) for f, called in names.items() if (name := next((n for n in called if n in lower), None))}
    scores = tuple(_scores(source, header))
    missing = [names[f][0] for f in _missing(source, places)] + ([] if scores else [_SCORES[source][0]])
    if missing:
        remedy = f"Files of {source} have {_WRITTEN[source]}. This one has {' '.join(header)[:300]}"
        raise InputError(path, line, f"no column {', '.join(missing)}", remedy)
    components = [(p, header[p][len(_COMPONENT) :]) for p, name in enumerate(lower) if source == "table" and name.startswith(_COMPONENT)]
    made = Layout(places, scores, tuple(components), begin, comment, "synthetic" in comment.lower(), parquet)
    if "synthetic" in lower:
        place = lower.index("synthetic")
        first = next((cells for rows, _ in _rows(path, made, 0) for _, cells, _ in rows), [])
        return replace(made, synthetic=made.synthetic or (len(first) > place and first[place].upper() not in _UNTRUE))
    return made


def sites(path: Path, described: Layout, build: Assembly) -> Generator[Block, None, None]:
    """The rows of scores of variants as the first columns of a VCF, one a block."""
    places = [described.places.get(name, -1) for name in ("chrom", "pos", "rsid", "ref", "alt")]
    for rows, position in _rows(path, described, 0):
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
        for rows, position in _rows(self.path, self.layout, after):
            for number, cells, shown in rows:
                end = number
                self._records += 1
                try:
                    if len(cells) < self.layout.needed:
                        raise Rejected(TOO_FEW, f"{len(cells)} of at least {self.layout.needed}")
                    add(number, cells, shown)
                except Rejected as why:
                    self._reject(number, shown, why)
                if len(self._rows) >= CHUNK_ROWS:
                    yield self._take(first, position, end)
                    first = {}
        if first or self._records:
            yield self._take(first, position, end)

    def _of_position(self, number: int, cells: Sequence[str], shown: str) -> None:
        places = self.layout.places
        chrom, pos = self.normalizer.locus(cells[places["chrom"]], cells[places["pos"]])
        named = _RSID.fullmatch(cells[places["rsid"]])
        rsid, locus = int(named[1]) if named else None, locus_key(chrom, pos)
        for part, (place, tissue) in enumerate(self.layout.scores):
            try:
                if (score := self._score(cells[place], unit=True)) is not None:
                    target = (None, None, self.cell_type, tissue or self.tissue)
                    self._rows.append((self.file, number, part, locus, False, rsid, score, None, *target, None, None))
            except Rejected as why:
                self._reject(number, shown, why)

    def _of_variant(self, number: int, cells: Sequence[str], shown: str) -> None:
        said = {name: cells[place] for name, place in self.layout.places.items()}
        if "variant" in said:
            named = _alleles(said["variant"], self.normalizer.assembly)
            chrom, pos, ref, alt = named.chrom, named.pos, named.ref, named.alt
        else:
            chrom, pos = self.normalizer.locus(said["chrom"], said["pos"])
            ref, alt = said["ref"].upper(), said["alt"].upper()
        self.normalizer.check_ref(chrom, pos, ref)
        key = encode_one(chrom, *self.normalizer.normal(chrom, pos, ref, alt))
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
        self._rows.append((self.file, number, 0, key, True, None, score, percentile, *target, self._components(said, cells), evidence))

    def _components(self, said: dict[str, str], cells: Sequence[str]) -> str | None:
        found: dict[str, str] = {}
        if (text := said.get("components", "")) not in _MISSING:
            try:
                whole = json.loads(text, parse_constant=_no_constant)
            except (ValueError, RecursionError):
                whole = None
            if not isinstance(whole, dict):
                raise Rejected(NOT_AN_OBJECT, text[:60])
            found = {name: json.dumps(value, ensure_ascii=False) for name, value in whole.items()}
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
        _check_end(self.path, number, chrom, end, self.normalizer.assembly)
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
        place = (chrom, pos1(start), end, *(None if (text := said.get(f, "")) in _MISSING else text for f in ("name", "class")))
        target = (gene_id, gene, _name(said, "cell_type") or self.cell_type, self.tissue)
        self._rows.append((self.file, number, *place, *target, score, None if distance is None else math.floor(distance), promoter))

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


_TOLD = {
    "sce2g": lambda names: "e2g.score.qnorm" in names,
    "encode-re2g": lambda names: "encode-re2g.score" in names or any(n.startswith("abcscore") and n.endswith(".feature") for n in names),
    "abc": lambda names: "abc.score" in names,
    "epiraction": lambda names: "hic_foldchange" in names,
    "cv2f": lambda names: any(f".{name}".endswith(_CV2F) for name in names),
}
"""What tells a source by its columns, in lower case; the first that holds counts, since files of E2G have ABC scores too."""


def _header(path: Path, source: str) -> tuple[int, tuple[str, ...], str]:
    """(line of the first row, names of the columns, comments before them)."""
    comments: list[str] = []
    for block in text_blocks(path):
        for number, line in enumerate(block.lines, block.first):
            cells = [cell.strip() for cell in line.lstrip("# ").split("\t")]
            if not line.strip():
                continue
            if line[0] != "#" or (len(cells) > 1 and cells[0].lower() in _FIRST):
                return number + 1, tuple(cells), "\n".join(comments)
            comments.append(line.lstrip("# "))
    raise InputError(path, None, "no header", f"Files of {source} have the columns {_WRITTEN[source]}, with tabs between.")


def _missing(source: str, places: dict[str, int]) -> list[str]:
    """The fields that a file of a source must have and this one has not."""
    if source == "table":
        return [] if "variant" in places else [f for f in ("chrom", "pos", "ref", "alt") if f not in places]
    needed = _NEEDED["element" if source in ELEMENTS else source]
    return [f for f in needed if f not in places and (f != "gene" or "gene_id" not in places)]


def _scores(source: str, header: Sequence[str]) -> Iterator[tuple[int, str | None]]:
    """Places of the scores, and the tissues that their columns name: of cV2F all, of other sources the one."""
    lower = [name.lower() for name in header]
    if source == "cv2f":
        for place, name in enumerate(lower):
            if f".{name}".endswith(_CV2F):
                yield place, header[place][: -len(_CV2F)] or None
    elif found := next((name for name in _SCORES[source] if name in lower), None):
        yield lower.index(found), None


def _is_parquet(path: Path) -> bool:
    check(path)
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _parquet_columns(path: Path) -> tuple[str, ...]:
    try:
        return tuple(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, None, error) from error


def _damaged(path: Path, line: int | None, error: Exception) -> InputError:
    return InputError(path, line, f"the file is damaged: {error}", "Copy or download it again.")


Rows = list[tuple[int, Sequence[str], str]]


def _rows(path: Path, described: Layout, after: int) -> Iterator[tuple[Rows, int]]:
    """The rows after line `after`, as (line, cells, the row to show), and how far the file is read then."""
    if described.parquet:
        yield from _parquet_rows(path, after)
        return
    begin = max(after + 1, described.begin)
    for block in text_blocks(path):
        lines = enumerate(block.lines[max(0, begin - block.first) :], max(begin, block.first))
        yield [(n, line.split("\t"), line) for n, line in lines if line and line[0] != "#" and not line.isspace()], block.position


def _parquet_rows(path: Path, after: int) -> Iterator[tuple[Rows, int]]:
    number, size = 0, path.stat().st_size
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(CHUNK_ROWS):
                columns = [[_text(value) for value in column.to_pylist()] for column in batch.columns]
                rows: Rows = [(n, cells, "\t".join(cells)) for n, cells in enumerate(zip(*columns, strict=True), number + 1) if n > after]
                number += batch.num_rows
                yield rows, size * number // max(1, file.metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, number + 1, error) from error


def _text(value: Any) -> str:
    """A value of a Parquet file as a table of text has it."""
    if value is None:
        return ""
    if isinstance(value, list):  # also of pairs: a map
        pairs = value and all(isinstance(v, tuple) for v in value)
        return json.dumps(dict(value)) if pairs else ";".join(map(_text, value))
    if isinstance(value, dict):
        return json.dumps({name: v for name, v in value.items() if v is not None}, default=str)
    return str(value).strip()


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
