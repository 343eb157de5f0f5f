"""How the tools that find segments shared by descent write them: which columns a file has, and its lines as columns of values.

Blocks are parsed as a whole (pyarrow.csv); line by line only near lines that are not as they should be.

Sources: README.md of browning-lab/hap-ibd; faculty.washington.edu/browning/refined-ibd.html (with cM) and beagle/b4_1.html (without);
cs.columbia.edu/~itsik/software/INFOSTIP/MatchFileFormat.html (GERMLINE); gusevlab/germline2; roohy/iLASH; the quickstart of TRUFFLE
(adimitromanolakis/truffle-website); README.md of williamslab/ibis (.seg and .hbd); and files that these tools wrote.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv

from loaders.errors import InputError
from loaders.samples import TOO_FEW
from loaders.source import ZERO_BYTE, raw_blocks, text

TOO_MANY = "too many columns"
BAD_POSITION = "position that is not a whole number from 1"
BAD_LENGTH = "length that is not a number of cM"
BAD_HAPLOTYPE = "haplotype that is not 1 or 2"
NOT_A_NUMBER = "not a number"

TEXT = pa.dictionary(pa.int32(), pa.string())


class _Column(NamedTuple):
    """What a column can be: what it looks like, the type it is read as (None: not at all), and why a row is rejected where it is no such."""

    looks: str
    type: pa.DataType | None = None
    reason: str = ""


_NUMBER = "[0-9.]+(?:[eE]-?[0-9]+)?"
_COLUMNS = {
    "-": _Column(".*"),
    "Mbp": _Column("Mbp"),
    "HBD": _Column("HBD"),
    "id1": _Column(".+", TEXT),
    "id2": _Column(".+", TEXT),
    "hap1": _Column("[12]", pa.int16(), BAD_HAPLOTYPE),
    "hap2": _Column("[12]", pa.int16(), BAD_HAPLOTYPE),
    "chrom": _Column("(?i:chr)?(?:[0-9]+|X|Y|MT?)|NC_[0-9.]+", TEXT),
    "start": _Column("[0-9]+", pa.int64(), BAD_POSITION),
    "end": _Column("[0-9]+", pa.int64(), BAD_POSITION),
    "start_mb": _Column(_NUMBER, pa.float64(), BAD_POSITION),
    "length_mb": _Column(_NUMBER, pa.float64(), BAD_POSITION),
    "length": _Column(_NUMBER, pa.float64(), BAD_LENGTH),
    "unit": _Column("cM|MB", TEXT),
    "type": _Column("IBD[12]", TEXT),
    "markers": _Column("[0-9]+", pa.int32(), NOT_A_NUMBER),
    "score": _Column(_NUMBER, pa.float64(), NOT_A_NUMBER),
}


@dataclass(frozen=True)
class Layout:
    """How a source writes segments. `form` says what its columns are (of _COLUMNS), which single tabs divide, or white space of any kind (`spaced`).

    `names` divides a name as written into sample and haplotype, or family and sample: `always`, or else in files whose names look like it.
    `length` is in cM unless there is a `unit`.
    """

    source: str
    form: str
    spaced: bool = False
    names: str | None = None
    always: bool = False

    @property
    def columns(self) -> list[str]:
        """What its columns are, in order."""
        return self.form.split()

    def phased(self, divided: bool) -> bool:
        """True where segments say which haplotypes they join; `divided`: names are divided."""
        return "hap1" in self.columns or (divided and "<haplotype>" in (self.names or ""))

    def fits(self, line: str, *, closely: bool) -> bool:
        """True where a line has as many columns, and `closely` where all look like what they should be."""
        cells = line.split() if self.spaced else line.split("\t")
        return len(cells) == len(self.columns) and not (
            closely and any(not re.fullmatch(_COLUMNS[column].looks, cell) for column, cell in zip(self.columns, cells, strict=True))
        )


_HAPLOTYPE = r"^(?P<name>.+)\.(?P<haplotype>[01])$"
_FAMILY = "^[^:]*:(?P<name>.+)$"
LAYOUTS = (
    Layout("hap-ibd", "id1 hap1 id2 hap2 chrom start end length"),
    Layout("refined-ibd", "id1 hap1 id2 hap2 chrom start end score length"),
    Layout("refined-ibd", "id1 hap1 id2 hap2 chrom start end score"),  # of Beagle 4.1
    Layout("germline", "- id1 - id2 chrom start end - - markers length unit - - -", spaced=True, names=_HAPLOTYPE),
    Layout("germline2", "id1 id2 start end length - -", names=_HAPLOTYPE),
    Layout("ilash", "- id1 - id2 chrom start end - - length score", names=_HAPLOTYPE.replace(r"\.", "_"), always=True),
    Layout("truffle", "type id1 id2 chrom - - start_mb Mbp length_mb Mbp markers", spaced=True),
    Layout("ibis", "id1 id2 chrom start end type - - length markers - -", names=_FAMILY),
    Layout("ibis", "id1 chrom start end HBD - - length markers - -", names=_FAMILY),
)
SOURCES = tuple(dict.fromkeys(layout.source for layout in LAYOUTS))

_HEADER = ["TYPE", "ID1", "ID2"]  # how TRUFFLE's begins, the only one there is
_MIN_OUT = 5
_WHOLE = re.compile("-?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?|-?(?:nan|inf|infinity)", re.IGNORECASE)
_FEW = 1 << 16  # bytes
_PARSE = csv.ParseOptions(delimiter="\t", quote_char=False, double_quote=False, escape_char=False, ignore_empty_lines=False)
_SPACE_TO_TAB = bytes.maketrans(b" ", b"\t")


class Parsed(NamedTuple):
    """Lines that have all columns: those by name, and the number of each line; and the others: line, reason, detail."""

    columns: dict[str, pa.Array]
    lines: np.ndarray
    faults: list[tuple[int, str, str]]


def layouts(path: Path, source: str | None = None) -> list[Layout]:
    """The layouts that a file can be of, told by the first of its lines that is of any: those of `source` that have as many columns, or those of
    any source that it looks like. None where it has no line. Raises InputError where its lines are of no layout."""
    lines = [line for line in text(first_lines(path)).split("\n") if line and not line.isspace() and line.split(None, 3)[:3] != _HEADER]
    for line in lines:
        if found := [a for a in LAYOUTS if source in (None, a.source) and a.fits(line, closely=source is None)]:
            return found
    if not lines:
        return []
    cells = lines[0].split()
    if len(cells) == _MIN_OUT and source in (None, "germline"):
        reason = "it has only names and lengths of segments, not where they are, as GERMLINE -min_out writes it"
        raise InputError(path, 1, reason, "Run GERMLINE without -min_out.")
    known = f"Known are the text files of {', '.join(SOURCES)}: say which with --source."
    if source is None:
        raise InputError(path, 1, f"not a file of segments that is known: it begins with {lines[0][:40]!r}", known)
    numbers = " or ".join(str(len(a.columns)) for a in LAYOUTS if a.source == source)
    raise InputError(path, 1, f"not a file of {source}: no line has {numbers} columns, the first has {len(cells)}", known)


def first_lines(path: Path) -> bytes:
    """The lines of the first blocks of a file."""
    try:
        return b"\n".join(block.data for block in islice(raw_blocks(path), 2))  # a last line without a line end is a block of its own
    except InputError as error:
        if error.reason != ZERO_BYTE:
            raise
        remedy = "Load the text that the tool writes: GERMLINE without -bin_out, IBIS without -bin (or after bseg2seg). Else copy the file again."
        raise InputError(path, None, "a binary file, or a damaged one", remedy) from None


def parse(data: bytes, first: int, layout: Layout) -> Parsed:
    """The columns of whole lines, of which the first has the number `first`."""
    if b"\r" in data or not data.isascii():
        data = text(data).replace("\r", " ").encode()
    return _parse_tabbed(_tabbed(data) if layout.spaced else data, first, layout)


def _parse_tabbed(data: bytes, first: int, layout: Layout) -> Parsed:
    """The same of UTF-8 whose columns single tabs divide: all lines at once, or in halves, down to few that are looked at one by one."""
    wanted = {column: _COLUMNS[column].type for column in layout.columns if _COLUMNS[column].type}
    names = [column if column in wanted else f"{column}{place}" for place, column in enumerate(layout.columns)]
    read = csv.ReadOptions(column_names=names)
    convert = csv.ConvertOptions(column_types=wanted, include_columns=list(wanted), null_values=[], check_utf8=False)
    try:
        table = csv.read_csv(pa.BufferReader(data), read, _PARSE, convert)
    except pa.ArrowInvalid:
        middle = data.find(b"\n", len(data) // 2)
        if len(data) < _FEW or middle < 0:
            return _parse_lines(data.decode().split("\n"), first, layout)
        before = _parse_tabbed(data[:middle], first, layout)
        after = _parse_tabbed(data[middle + 1 :], first + data.count(b"\n", 0, middle) + 1, layout)
        columns = {name: pa.chunked_array([column, after.columns[name]]) for name, column in before.columns.items()}
        lines, faults = np.append(before.lines, after.lines), before.faults + after.faults
    else:
        columns = {name: table.column(name) for name in wanted}
        lines, faults = np.arange(first, first + table.num_rows), []
    return Parsed({name: column.unify_dictionaries().combine_chunks() for name, column in columns.items()}, lines, faults)


def _parse_lines(text: Sequence[str], first: int, layout: Layout) -> Parsed:
    """The same, line by line."""
    width = len(layout.columns)
    rows: list[list[str]] = []
    lines: list[int] = []
    faults: list[tuple[int, str, str]] = []
    for number, line in enumerate(text, first):
        cells = line.split("\t")
        if not line or line.isspace() or cells[:3] == _HEADER:
            continue
        if len(cells) == width:
            rows.append(cells)
            lines.append(number)
        else:
            faults.append((number, TOO_FEW if len(cells) < width else TOO_MANY, f"{len(cells)} of {width}"))
    sound = np.ones(len(rows), bool)
    columns = {}
    for place, name in enumerate(layout.columns):
        column = _COLUMNS[name]
        if column.type:
            columns[name], bad = _read_as(column.type, [row[place] for row in rows])
            faults += [(lines[row], column.reason, f"{name} {rows[row][place][:40]!r}") for row in bad if sound[row]]
            sound[bad] = False
    return Parsed({name: values.filter(pa.array(sound)) for name, values in columns.items()}, np.array(lines, np.int64)[sound], faults)


def _read_as(kind: pa.DataType, texts: Sequence[str]) -> tuple[pa.Array, list[int]]:
    """Texts as values of a type, and which of them are none (0 stands for these)."""
    if kind == TEXT:
        return pa.array(texts, pa.string()).dictionary_encode(), []
    if pa.types.is_floating(kind):
        values = [float(each) if _DECIMAL.fullmatch(each.strip()) else None for each in texts]
    else:
        most = 1 << (kind.bit_width - 1)
        values = [n if _WHOLE.fullmatch(each.strip()) and -most <= (n := int(each)) < most else None for each in texts]
    return pa.array(values, kind).fill_null(0), [place for place, value in enumerate(values) if value is None]


def _tabbed(data: bytes) -> bytes:
    """Lines whose columns single tabs divide, from lines in which any spaces and tabs do."""
    data = data.translate(_SPACE_TO_TAB).strip(b"\t")
    if b"\t\t" in data:
        tab = np.frombuffer(data, np.uint8) == ord("\t")
        data = np.frombuffer(data, np.uint8)[~(tab & np.append(False, tab[:-1]))].tobytes()
    if b"\t\n" in data or b"\n\t" in data:
        data = data.replace(b"\t\n", b"\n").replace(b"\n\t", b"\n")
    return data
