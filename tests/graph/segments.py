"""Who shares what by descent, from the files alone: segments read with plain Python, haplotypes with cyvcf2, and each definition of the API's
descriptions by brute force: a union is an array of bases, a lineage a component of networkx.
"""

from __future__ import annotations

import csv
import gzip
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from cyvcf2 import VCF

from store.variant_key import encode_one

COHORT = {"cohort": "1000G", "callset": "kg300"}
TOOLS = {"hap-ibd": "HAP_IBD", "germline": "GERMLINE", "germline2": "GERMLINE2", "ilash": "ILASH"}


@dataclass(frozen=True)
class File:
    """A file of segments to load, and how: one load of the real runs."""

    dataset: str
    source: str
    names: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


REAL_RUNS = (
    File("germline1_diploid", "germline", ("germline1.diploid_w_extend.match",)),
    File("germline1_homoz", "germline", ("germline1.homoz.match",)),
    File("germline1", "germline", ("germline1.haploid.match",), {"callset": "kg300"}),
    File("germline2_diploid", "germline2", ("germline2.diploid.match",), {"chrom": ["20"]}),
    File("germline2", "germline2", ("germline2.haploid.match",), {"chrom": ["20"], "callset": "kg300"}),
    File("hapibd_default", "hap-ibd", ("hapibd.default.ibd.gz", "hapibd.default.hbd.gz"), {"callset": "kg300"}),
    File("ilash", "ilash", ("ilash.match",), {"callset": "kg300"}),
)
"""All real runs but that of the demo data, in the order in which they are loaded."""


@dataclass(frozen=True)
class Segment:
    """A line of a file. Haplotypes are 1 and 2; None where the file does not say."""

    run: str
    file: int
    line: int
    one: str
    hap1: int | None
    two: str
    hap2: int | None
    start: int
    end: int
    cm: float
    markers: int | None
    score: float | None

    @property
    def key(self) -> tuple[str, int]:
        """What tells it among the segments between two people: in these runs they are in one file."""
        return self.run, self.line

    @property
    def people(self) -> frozenset[str]:
        return frozenset((self.one, self.two))

    def over(self, pos: int) -> bool:
        return self.start <= pos <= self.end

    def seen_from(self, person: str) -> tuple[str, int | None, int | None]:
        """(the other person, the haplotype of this one, that of the other)."""
        return (self.two, self.hap1, self.hap2) if person == self.one else (self.one, self.hap2, self.hap1)


@dataclass(frozen=True)
class Run:
    """A load of segments, those between two people and those of one apart. `phased`: they are of haplotypes of the callset."""

    dataset: str
    source: str
    phased: bool
    segments: list[Segment]
    homozygous: list[Segment]

    @cached_property
    def of_pair(self) -> dict[frozenset[str], list[Segment]]:
        found: dict[frozenset[str], list[Segment]] = defaultdict(list)
        for segment in self.segments:
            found[segment.people].append(segment)
        return found

    @cached_property
    def of_person(self) -> dict[str, list[Segment]]:
        found: dict[str, list[Segment]] = defaultdict(list)
        for segment in self.segments:
            for person in segment.people:
                found[person].append(segment)
        return found


def read_run(folder: Path, file: File) -> Run:
    """The segments of a run, from its files."""
    found = [
        _segment(file.dataset, file.source, ordinal, line, text)
        for ordinal, name in enumerate(file.names)
        for line, text in enumerate(_text(folder / name).splitlines(), 1)
    ]
    between = [segment for segment in found if segment.one != segment.two]
    alone = [segment for segment in found if segment.one == segment.two]
    return Run(file.dataset, file.source, all(segment.hap1 for segment in found), between, alone)


def _text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()


def _segment(run: str, source: str, file: int, line: int, text: str) -> Segment:
    cells = text.split()
    places = {"hap-ibd": (0, 2, 5, 7), "germline": (1, 3, 5, 10), "germline2": (0, 1, 2, 4), "ilash": (1, 3, 5, 9)}
    one, two, start, cm = places[source]
    if source == "hap-ibd":
        people = [(cells[0], int(cells[1])), (cells[2], int(cells[3]))]
    else:
        people = [_haplotype(cells[one]), _haplotype(cells[two])]
    (first, hap1), (second, hap2) = people
    markers = int(cells[9]) if source == "germline" else None
    score = float(cells[10]) if source == "ilash" else None
    return Segment(run, file, line, first, hap1, second, hap2, int(cells[start]), int(cells[start + 1]), float(cells[cm]), markers, score)


def _haplotype(name: str) -> tuple[str, int | None]:
    parts = re.fullmatch(r"(.+)[._]([01])", name)
    return (parts[1], int(parts[2]) + 1) if parts else (name, None)


def swapped(path: Path, source: str, to: Path) -> Path:
    """Writes a file of segments in which haplotypes 1 and 2 (0 and 1) have changed names."""
    lines = [text.split("\t") for text in _text(path).splitlines()]
    if source == "hap-ibd":
        for cells in lines:
            cells[1], cells[3] = ("21"[int(cells[place]) - 1] for place in (1, 3))
        to.write_text("".join("\t".join(cells) + "\n" for cells in lines))
    else:
        other = {"0": "1", "1": "0"}
        to.write_text(re.sub(r"(NA|HG)(\d+[._])([01])\b", lambda m: m[1] + m[2] + other[m[3]], _text(path)))
    return to


# ---- measures, base by base


def union_cm(pieces: Iterable[tuple[int, int, float, int, int]]) -> float:
    """Centimorgans of (start, end, cM, file, line), each spread evenly over its bases, of which those count that no earlier one covers."""
    ordered = sorted(pieces, key=lambda p: (p[0], -p[1], p[3], p[4]))
    covered = np.zeros(max((p[1] for p in ordered), default=0) + 1, bool)
    total = 0.0
    for start, end, cm, *_ in ordered:
        total += cm * np.count_nonzero(~covered[start : end + 1]) / (end - start + 1)
        covered[start : end + 1] = True
    return total


def total_cm(segments: Iterable[Segment]) -> float:
    return union_cm((s.start, s.end, s.cm, s.file, s.line) for s in segments)


def double_cm(segments: Iterable[Segment], person: str) -> float:
    """Of it, where segments overlap that join the one and the other haplotypes of each; seen from either."""
    found = []
    ordered = sorted(segments, key=lambda s: (s.start, s.file, s.line))
    for n, a in enumerate(ordered):
        for b in ordered[n + 1 :]:
            (_, mine, its), (_, my, their) = a.seen_from(person), b.seen_from(person)
            if None not in (mine, its, my, their) and mine != my and its != their and b.start <= a.end:
                end = min(a.end, b.end)
                found.append((b.start, end, a.cm * (end - b.start + 1) / (a.end - a.start + 1), a.file, a.line))
    return union_cm(found)


# ---- the demo data


class World:
    """The demo VCF, its panel and runs of segments: `haplotypes[variant, sample, 0 or 1]` is true where it carries the ALT."""

    def __init__(self, vcf: Path, panel: Path, runs: Sequence[Run]) -> None:
        reader = VCF(str(vcf))
        self.samples: list[str] = list(reader.samples)
        self.place = {name: n for n, name in enumerate(self.samples)}
        # Genome order: at one position as their keys are, not as in the file.
        records = sorted(
            ((v.POS, v.REF, v.ALT[0], v.genotype.array()) for v in reader), key=lambda r: (r[0], encode_one(20, r[0], r[1], r[2]))
        )
        self.pos = np.array([pos for pos, *_ in records])
        self.names = [f"20-{pos}-{ref}-{alt}" for pos, ref, alt, _ in records]
        self.number = {name: n for n, name in enumerate(self.names)}
        calls = np.stack([array for *_, array in records])
        assert ((calls[:, :, :2] >= 0) & (calls[:, :, :2] <= 1)).all()
        assert calls[:, :, 2].all()
        self.haplotypes = calls[:, :, :2] == 1
        self.carry = self.haplotypes.any(axis=2)
        with panel.open() as lines:
            self.people = {row["sample"]: row for row in csv.DictReader(lines, delimiter="\t")}
        self.runs = list(runs)

    def within(self, population: str | None) -> list[str]:
        """The samples of a population, in the order of the VCF."""
        return [s for s in self.samples if population is None or population in (self.people[s]["pop"], self.people[s]["super_pop"])]

    def runs_of(self, source: str | None) -> list[Run]:
        """The runs that a source names, oldest first."""
        return [run for run in self.runs if run.dataset == source] or [
            run for run in self.runs if source is None or run.source == source.lower()
        ]

    def run_of(self, source: str | None) -> Run:
        """The run that speaks for a source."""
        return self.runs_of(source)[-1]

    def order(self, segment: Segment) -> tuple[float, int, int, int]:
        """Longest first, sorted with reverse."""
        return segment.cm, [run.dataset for run in self.runs].index(segment.run), segment.file, segment.line

    def inside(self, segments: Iterable[Segment], start: int = 0, end: int = 1 << 30) -> np.ndarray:
        """The numbers of the variants inside any of these segments and between two positions, in genome order."""
        covered = np.zeros(len(self.pos), bool)
        for segment in segments:
            covered |= (self.pos >= segment.start) & (self.pos <= segment.end)
        return np.flatnonzero(covered & (self.pos >= start) & (self.pos <= end))

    def gt(self, variant: int, person: str) -> str:
        return "{:d}|{:d}".format(*self.haplotypes[variant, self.place[person]])

    def sharing(self, variant: int, segments: Iterable[Segment], one: str, two: str, phased: bool) -> str:
        """How two people, of whom either carries it, share a variant inside some of these segments."""
        mine, its = self.haplotypes[variant, self.place[one]], self.haplotypes[variant, self.place[two]]
        if not phased:
            return "BOTH_CARRY" if mine.any() and its.any() else "ONE_CARRIES"
        joined = []
        for segment in segments:
            if segment.over(self.pos[variant]):
                _, a, b = segment.seen_from(one)
                assert a is not None
                assert b is not None
                joined.append((bool(mine[a - 1]), bool(its[b - 1])))
        if (True, True) in joined:
            return "SHARED_HAPLOTYPE"
        return "DISCORDANT_HAPLOTYPES" if any(a != b for a, b in joined) else "OTHER_HAPLOTYPE"


def draws(seed: int, count: int, draw: Callable[[random.Random], Any]) -> list[Any]:
    """So many drawings with what they should give, each of which gives something: (arguments, expected)."""
    rng = random.Random(seed)
    found: list[Any] = []
    while len(found) < count:
        drawn = draw(rng)
        if drawn is not None and drawn[1]:
            found.append(drawn)
    return found
