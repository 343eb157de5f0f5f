"""How files of variant-to-function scores are laid out: which columns are where, told by their names, and their rows as cells.

In: tables of text with a header, and Parquet. Out: a `Layout`, and rows of text; v2f.py says what they mean. Sources:
github.com/Deylab999MSKCC/cv2f, github.com/broadinstitute/ABC-Enhancer-Gene-Prediction, github.com/EngreitzLab/ENCODE_rE2G and scE2G, and the ENCODE portal's
files of rE2G and EPIraction. The layout of `table` is this project's own (docs/function.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from loaders.errors import InputError
from loaders.scores import MOST_COLUMNS, check_comments
from loaders.source import check, text_blocks

THRESHOLDS = {"cv2f": None, "abc": 0.027, "encode-re2g": 0.243, "sce2g": 0.177, "epiraction": None, "table": None}
"""The sources, and the cut-off that each publishes for its scores."""

ELEMENTS = ("abc", "encode-re2g", "sce2g", "epiraction")

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

_UNTRUE = frozenset(("", "0", "FALSE", "NO", "NA", "."))
_RAISES = (pa.ArrowException, OSError, ValueError, MemoryError)
_ROWS = 50_000  # of a Parquet file, read at once


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
    if len(header) > MOST_COLUMNS:
        raise InputError(
            path, line, f"{len(header):,} columns, of which at most {MOST_COLUMNS:,} are read", "Take out those that are not needed."
        )
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
        first = next((cells for rows, _ in rows_after(path, made, 0) for _, cells, _ in rows), [])
        return replace(made, synthetic=made.synthetic or (len(first) > place and first[place].upper() not in _UNTRUE))
    return made


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
    size = 0
    for block in text_blocks(path):
        for number, line in enumerate(block.lines, block.first):
            cells = [cell.strip() for cell in line.lstrip("# ").split("\t")]
            if not line.strip():
                continue
            if line[0] != "#" or (len(cells) > 1 and cells[0].lower() in _FIRST):
                return number + 1, tuple(cells), "\n".join(comments)
            size += len(line)
            check_comments(path, number, size)
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
    except _RAISES as error:
        raise _damaged(path, None, error) from error


def _damaged(path: Path, line: int | None, error: Exception) -> InputError:
    return InputError(path, line, f"the file is damaged: {error}", "Copy or download it again.")


Rows = list[tuple[int, Sequence[str], str]]


def rows_after(path: Path, described: Layout, after: int) -> Iterator[tuple[Rows, int]]:
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
            for batch in file.iter_batches(_ROWS):
                columns = [[_text(value) for value in column.to_pylist()] for column in batch.columns]
                rows: Rows = [(n, cells, "\t".join(cells)) for n, cells in enumerate(zip(*columns, strict=True), number + 1) if n > after]
                number += batch.num_rows
                yield rows, size * number // max(1, file.metadata.num_rows)
    except _RAISES as error:
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
