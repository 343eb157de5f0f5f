"""Samples: who people are, from a panel, a pedigree, or any table that names its columns.

In: a table with a header (1000 Genomes .panel and .ped, PLINK 2 .psam, a TSV), or the six columns of PLINK's .fam and .ped, which have none
and may have genotypes behind them. Out: rows of sample_info, in which sample, father and mother are names, and of population. A parent
without a row in the file gets a bare one. What is missing (0, -9, a dot, NA, nothing) is NULL; sex also where it is called unknown or other.
Sources: cog-genomics.org/plink/1.9/formats (fam, ped), cog-genomics.org/plink/2.0/formats (psam), and the 1000 Genomes files themselves
(integrated_call_samples_v3.20130502.ALL.panel, 20130606_g1k.ped).
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pyarrow as pa

from loaders.errors import InputError
from loaders.normalize import Rejected
from loaders.source import text_blocks
from store.copy import Chunk, Reject

TABLES = ("sample_info", "population")
SCHEMA = {
    "sample_info": pa.schema(
        [(name, pa.string()) for name in ("sample_id", "family", "sex", "population", "father_id", "mother_id", "phenotype")]
    ),
    "population": pa.schema([("name", pa.string()), ("super_population", pa.string())]),
}
CHUNK_ROWS = 50_000

MOST_ROWS = 2_000_000
"""People of a file, which are held in memory: about a kilobyte for each."""

TOO_FEW = "too few columns"
NO_NAME = "no name"
NO_SEX = "sex that is not understood"
ONE_PARENT = "the same person as father and mother"
FEMALE_FATHER = "father listed as female"
MALE_MOTHER = "mother listed as male"

_COLUMNS = {
    "name": ("sample", "sampleid", "samplename", "individual", "individualid", "iid"),
    "family": ("family", "familyid", "fid"),
    "sex": ("sex", "gender"),
    "population": ("population", "pop", "populationcode"),
    "super_population": ("superpopulation", "superpop", "superpopulationcode"),
    "father": ("father", "fatherid", "paternalid", "pat"),
    "mother": ("mother", "motherid", "maternalid", "mat"),
    "phenotype": ("phenotype", "pheno", "pheno1"),
}
"""What a header may call a column, in lower case and without anything but letters and digits; the first that is there counts."""

_PLINK = {"family": 0, "name": 1, "father": 2, "mother": 3, "sex": 4, "phenotype": 5}
_SEX = {"1": "MALE", "m": "MALE", "male": "MALE", "2": "FEMALE", "f": "FEMALE", "female": "FEMALE"}
_NO_SEX = frozenset(("u", "unknown", "other"))
_MISSING = frozenset(("", "0", "-9", ".", "na", "n/a"))
_SHOWN, _STEPS = 200, 10
_REMEDY = (
    "Known are tables with a header that has a column sample (or individual, IID) and others such as family, sex, population, father, mother,\n"
    "  phenotype (1000 Genomes .panel and .ped), and PLINK's .fam and .ped: family, sample, father, mother, sex (1, 2, 0), phenotype."
)


@dataclass(frozen=True)
class Layout:
    """Where the columns of a file are, by field; `separator` is None for white space; `begin` is the line of the first row."""

    places: dict[str, int]
    separator: str | None
    begin: int


@dataclass(frozen=True, slots=True)
class Person:
    """One row: names as written, None for what is missing."""

    line: int
    row: str
    name: str
    family: str | None
    sex: str | None
    population: str | None
    super_population: str | None
    father: str | None
    mother: str | None
    phenotype: str | None


def layout(path: Path) -> Layout:
    """The layout of a file, told by its first line that is no comment. Raises InputError where it is none that is known."""
    for number, line in _lines(path):
        if line.startswith("##fileformat=VCF"):
            raise InputError(path, number, "this is a VCF", "Load it with: vkg load vcf")
        cells = line.split(None, 6)
        if _is_plink(cells):
            return Layout(_PLINK, None, number)
        separator = "\t" if "\t" in line else None
        header = ["".join(filter(str.isalnum, cell.lower())) for cell in line.lstrip("#").split(separator)]
        places = {
            field: header.index(found) for field, names in _COLUMNS.items() if (found := next((n for n in names if n in header), None))
        }
        if "name" in places and len(places) > 1:
            return Layout(places, separator, number + 1)
        if "name" in places:
            raise InputError(path, number, "the header has no column that says something of its samples", _REMEDY)
        if len(places) > 1:
            raise InputError(path, number, f"the header has no column of samples, only of {', '.join(places)}", _REMEDY)
        if not line.startswith("#"):
            raise InputError(path, number, f"not a file of samples: it begins with {line[:40]!r}", _REMEDY)
    raise InputError(path, None, "no line in it but comments", _REMEDY)


def read(path: Path, *, after: int = 0) -> Generator[Chunk, None, None]:
    """The chunks of a file of samples, from the line after line `after`: empty ones that tell of progress, then the rows, whose first chunk
    has the populations.

    The whole file is read before any row is given: memory grows with it, by about a kilobyte for each sample. Raises InputError where it has
    no known layout, names a sample twice, has somebody who is their own ancestor, or a population in two larger ones.
    """
    rows: list[Person | Reject] = []
    position = 0
    for found, position in _rows(path):
        rows += found
        if len(rows) > MOST_ROWS:
            raise InputError(path, rows[MOST_ROWS].line, f"more than {MOST_ROWS:,} rows", "Check that it is the file you mean.")
        yield Chunk({}, 0, position=position)
    if not rows:
        raise InputError(path, None, "no sample in it", "Check that it is the file you mean.")
    people = {person.name: person for person in _unique(path, rows)}
    _check_descent(path, people)
    rows = [_with_parents(row, people) for row in rows]
    populations = _populations(path, rows)
    parents = _bare_parents(rows)
    rest = [row for row in rows if row.line > after]
    for start in range(0, len(rest), CHUNK_ROWS):
        part = rest[start : start + CHUNK_ROWS]
        tables = {"sample_info": _infos([*part, *(parent for row in part for parent in parents.get(row.line, ()))])}
        if populations.num_rows and not after and not start:
            tables["population"] = populations
        yield Chunk(tables, len(part), [row for row in part if isinstance(row, Reject)], position, part[-1].line)


def names(path: Path) -> list[str]:
    """The names of the people whom a file describes. Raises InputError where it has no known layout."""
    return [row.name for found, _ in _rows(path) for row in found if isinstance(row, Person)]


def _rows(path: Path) -> Iterator[tuple[list[Person | Reject], int]]:
    """The rows of each block of a file, and how far it is read then."""
    described = layout(path)
    for block in text_blocks(path):
        lines = enumerate(block.lines, block.first)
        yield (
            [_row(n, line, described) for n, line in lines if n >= described.begin and line and line[0] != "#" and not line.isspace()],
            block.position,
        )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    return (
        (number, line) for block in text_blocks(path) for number, line in enumerate(block.lines, block.first) if line and not line.isspace()
    )


def _is_plink(cells: Sequence[str]) -> bool:
    """Six columns of which the fifth is a sex and the sixth a number: a BED file's sixth is a strand."""
    if len(cells) < 6 or cells[4].lower() not in (*_SEX, "0", "-9"):
        return False
    try:
        float(cells[5])
    except ValueError:
        return cells[5].upper() == "NA"
    return True


def _row(number: int, line: str, described: Layout) -> Person | Reject:
    """A line as the person it describes, or as rejected."""
    try:
        return _person(number, line, described)
    except Rejected as why:
        return Reject(number, why.reason, why.detail, line[:_SHOWN])


def _person(number: int, line: str, described: Layout) -> Person:
    needed = 1 + max(described.places.values())
    cells = line.split(described.separator, needed)
    if len(cells) < needed:
        raise Rejected(TOO_FEW, f"{len(cells)} of at least {needed}")
    # Families, populations and phenotypes are shared by many.
    said = {field: None if (text := cells[p].strip()).lower() in _MISSING else sys.intern(text) for field, p in described.places.items()}
    name, sex, father, mother = map(said.get, ("name", "sex", "father", "mother"))
    if name is None:
        raise Rejected(NO_NAME)
    if sex is not None and sex.lower() not in _SEX and sex.lower() not in _NO_SEX:
        raise Rejected(NO_SEX, repr(sex[:40]))
    if father is not None and father == mother:
        raise Rejected(ONE_PARENT, father)
    population, larger = said.get("population"), said.get("super_population")
    return Person(
        number,
        line[:_SHOWN],
        name,
        said.get("family"),
        _SEX.get(sex.lower()) if sex else None,
        population or larger,
        None if population == larger or population is None else larger,
        father,
        mother,
        said.get("phenotype"),
    )


def _unique(path: Path, rows: Iterable[Person | Reject]) -> Iterator[Person]:
    """The people of a file. Raises InputError where one stands there twice."""
    first: dict[str, Person] = {}
    for row in rows:
        if isinstance(row, Reject):
            continue
        if (other := first.setdefault(row.name, row)) is not row:
            families = f", there of family {other.family} and here of {row.family}" if other.family and row.family != other.family else ""
            raise InputError(
                path,
                row.line,
                f"sample {row.name} stands in line {other.line} already{families}",
                "Names must be unique in a cohort: take one of the rows out, or give the people names of their own, here and in the VCFs.",
            )
        yield row


def _check_descent(path: Path, people: dict[str, Person]) -> None:
    """Raises InputError where somebody is their own ancestor."""
    parents = {p.name: [parent for parent in (p.father, p.mother) if parent] for p in people.values() if p.father or p.mother}
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        chain: list[str] = error.args[1]
        if len(chain) == 2:
            reason = f"{chain[0]} is listed as its own parent"
        else:
            steps = [f"{parent} is a parent of {child}" for parent, child in itertools.pairwise(chain)]
            reason = f"{chain[0]} is listed as its own ancestor: " + ", ".join(steps[:_STEPS]) + (" ..." if len(steps) > _STEPS else "")
        raise InputError(path, people[chain[0]].line, reason, "Correct the parents in the file.") from None


def _with_parents(row: Person | Reject, people: dict[str, Person]) -> Person | Reject:
    """The row, rejected where its parents are of the other sex than parents of their kind are."""
    if isinstance(row, Reject):
        return row
    for parent, wrong, reason in ((row.father, "FEMALE", FEMALE_FATHER), (row.mother, "MALE", MALE_MOTHER)):
        if parent in people and people[parent].sex == wrong:
            return Reject(row.line, reason, f"{parent} in line {people[parent].line}", row.row)
    return row


def _bare_parents(rows: Iterable[Person | Reject]) -> dict[int, list[Person]]:
    """Those who are named as parents and have no row, by the line that first names them; of the sex that this implies, which is none where
    somebody is father here and mother there."""
    people = [row for row in rows if isinstance(row, Person)]
    own = {person.name for person in people}
    found: dict[str, Person] = {}
    for person in people:
        for name, sex in ((person.father, "MALE"), (person.mother, "FEMALE")):
            if name is None or name in own:
                continue
            parent = found.setdefault(name, Person(person.line, person.row, name, None, sex, None, None, None, None, None))
            if parent.sex != sex:
                found[name] = replace(parent, sex=None)
    by_line: dict[int, list[Person]] = {}
    for parent in found.values():
        by_line.setdefault(parent.line, []).append(parent)
    return by_line


def _populations(path: Path, rows: Iterable[Person | Reject]) -> pa.RecordBatch:
    """The populations of people and the larger ones that they are part of. Raises InputError where one is part of two."""
    larger: dict[str, str | None] = {}
    stated: dict[str, Person] = {}
    for p in rows:
        if isinstance(p, Reject) or p.population is None:
            continue
        larger.setdefault(p.population, None)
        if p.super_population is None:
            continue
        first = stated.setdefault(p.population, p)
        if first.super_population != p.super_population:
            raise InputError(
                path,
                p.line,
                f"population {p.population} is part of {p.super_population} here, and of {first.super_population} in line {first.line}",
                "A population is part of one larger one: correct the file.",
            )
        larger[p.population] = p.super_population
        larger.setdefault(p.super_population, None)
    return pa.record_batch([pa.array(larger, pa.string()), pa.array(larger.values(), pa.string())], schema=SCHEMA["population"])


def _infos(rows: Iterable[Person | Reject]) -> pa.RecordBatch:
    schema = SCHEMA["sample_info"]
    told = [(p.name, p.family, p.sex, p.population, p.father, p.mother, p.phenotype) for p in rows if isinstance(p, Person)]
    columns = zip(*told, strict=True) if told else [()] * len(schema)
    return pa.record_batch([pa.array(c, pa.string()) for c in columns], schema=schema)
