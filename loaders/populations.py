"""Populations: what they are called and which larger ones they are part of, to any depth.

In: a table whose header names its columns (TSV, or CSV with quotes), such as 20131219.populations.tsv and 20131219.superpopulations.tsv of the
1000 Genomes, and igsr_populations.tsv of the IGSR data portal. Out: rows of population. A larger population without a row of its own gets one,
described by what the rows of its parts say of it. Where a population has no code (those of HGDP and SGDP at the IGSR), its elastic ID is its
name, and that of a larger one the name of that.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pyarrow as pa

from loaders.errors import InputError
from loaders.source import text_blocks
from store.copy import Chunk, Reject

TABLES = ("population",)
SCHEMA = pa.schema([("name", pa.string()), ("super_population", pa.string()), ("description", pa.string())])

REPEATED = "repeated population"
NO_NAME = "no name"
EMPTY = "no population: neither a name nor a larger population"

_COLUMNS = {
    "name": ("populationcode", "code", "population", "pop", "name", "populationelasticid"),
    "description": ("populationdescription", "description", "label", "populationname", "name"),
    "larger": ("superpopulationcode", "superpopulation", "superpop", "parent", "parentpopulation", "partof", "superpopulationname"),
    "about_larger": ("superpopulationdescription", "superpopulationname"),
}
"""What a header may call a column, in lower case and without anything but letters and digits. In a row, the first that says something counts."""

_SAMPLES = frozenset(("sample", "sampleid", "samplename", "individual", "individualid", "iid"))
_MISSING = frozenset(("", ".", "-", "na", "n/a", "null"))
_SHOWN = 200

MOST_ROWS = 100_000
"""Populations of a file, which are held in memory."""

_REMEDY = (
    "A table of populations has a header with a column name (or code), and description and parent (or super_population) if it has them."
)


@dataclass(frozen=True)
class Population:
    """One row: None for what is missing. `about_larger` describes the larger population."""

    line: int
    row: str
    name: str
    larger: str | None
    description: str | None
    about_larger: str | None


def read(path: Path, *, after: int = 0) -> Generator[Chunk, None, None]:
    """The one chunk of a file of populations, none after any line. Raises InputError where it is no such file, or a population is part of
    itself."""
    if after:
        return
    begin, separator, places = _layout(path)
    found: dict[str, Population] = {}
    rejects: list[Reject] = []
    skipped: Counter[str] = Counter()
    records = end = position = 0
    for block in text_blocks(path):
        position = block.position
        for end, line in enumerate(block.lines, block.first):
            if end < begin or line.isspace() or not line or line[0] == "#":
                continue
            records += 1
            if records > MOST_ROWS:
                raise InputError(path, end, f"more than {MOST_ROWS:,} rows", "Check that it is the file you mean.")
            row = _population(end, line, _cells(line, separator), places)
            if row is None:
                skipped[EMPTY] += 1
            elif not row.name:
                rejects.append(Reject(end, NO_NAME, f"part of {row.larger}", line[:_SHOWN]))
            elif (first := found.setdefault(row.name, row)) is not row:
                rejects.append(Reject(end, REPEATED, f"{row.name} stands in line {first.line}", line[:_SHOWN]))
    if not found:
        raise InputError(path, None, "no population in it", "Check that it is the file you mean.")
    _check_rings(path, found)
    yield Chunk({"population": _rows(found)}, records, rejects, position, end, skipped)


def check(path: Path) -> None:
    """Raises InputError where a file is no table of populations."""
    _layout(path)


def _layout(path: Path) -> tuple[int, str, Mapping[str, Sequence[int]]]:
    """(line of the first row, separator, the places of each field's columns, best first)."""
    for block in text_blocks(path):
        for number, line in enumerate(block.lines, block.first):
            if not line or line.isspace() or line.startswith("##"):
                continue
            separator = "\t" if "\t" in line else ","
            header = ["".join(filter(str.isalnum, cell.lower())) for cell in _cells(line.lstrip("#"), separator)]
            places = {field: [header.index(name) for name in names if name in header] for field, names in _COLUMNS.items()}
            if _SAMPLES.intersection(header):
                raise InputError(path, number, "it describes samples", "Load it with: vkg load samples")
            places["description"] = [place for place in places["description"] if place not in places["name"][:1]]
            if not places["name"] or not (places["description"] or places["larger"]):
                raise InputError(path, number, f"not a table of populations: it begins with {line[:60]!r}", _REMEDY)
            return number + 1, separator, places
    raise InputError(path, None, "no line in it but comments", _REMEDY)


def _cells(line: str, separator: str) -> list[str]:
    if separator == "\t":
        return line.split("\t")
    try:
        return next(csv.reader([line.replace("\r", " ")], skipinitialspace=True))
    except csv.Error:  # a field of more than 128 kB
        return line.split(",")


def _population(number: int, line: str, cells: Sequence[str], places: Mapping[str, Sequence[int]]) -> Population | None:
    """The population of a row, its name empty where only its larger one is named; None where neither is."""

    def said(field: str, *others: str | None) -> str | None:
        texts = (cells[place].strip() for place in places[field] if place < len(cells))
        return next((text for text in texts if text.lower() not in _MISSING and text not in others), None)

    name, larger = said("name"), said("larger")
    if name is None and larger is None:
        return None
    return Population(number, line[:_SHOWN], name or "", larger, said("description", name), said("about_larger", larger))


def _check_rings(path: Path, found: Mapping[str, Population]) -> None:
    """Raises InputError where a population is part of itself."""
    try:
        TopologicalSorter({row.name: [row.larger] for row in found.values() if row.larger}).prepare()
    except CycleError as error:
        ring: list[str] = error.args[1][::-1]  # it lists each before those that are part of it
        steps = ", ".join(f"{part} is part of {whole} (line {found[part].line})" for part, whole in itertools.pairwise(ring))
        raise InputError(
            path, min(found[name].line for name in ring), f"{ring[0]} is part of itself: {steps}", "Correct the file."
        ) from None


def _rows(found: Mapping[str, Population]) -> pa.RecordBatch:
    """Rows of population: those of the file, then the larger ones that have none."""
    about: dict[str, str | None] = {}
    for row in found.values():
        if row.larger is not None:
            about[row.larger] = about.get(row.larger) or row.about_larger
    rows = [(row.name, row.larger, row.description or about.get(row.name)) for row in found.values()]
    rows += [(name, None, description) for name, description in about.items() if name not in found]
    return pa.record_batch([pa.array(column, pa.string()) for column in zip(*rows, strict=True)], schema=SCHEMA)
