"""What a VCF, a pedigree and a GTF say of people, read as text and once more in plain Python: who carries what, and from whom it came.

Comes in: files whose variants are normalised already. The definitions are those of the API's descriptions, one call at a time.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Answers = Callable[["Observed"], bool]


@dataclass(frozen=True)
class Call:
    """One call with regard to one ALT, as VCF text: 0 REF, 1 this ALT, 2 another ALT, . not called."""

    gt: str
    dp: int | None = None
    gq: int | None = None
    ad_ref: int | None = None
    ad_alt: int | None = None
    phase_set: int | None = None

    @property
    def alleles(self) -> list[str]:
        return re.findall(r"[012.]", self.gt)

    @property
    def carries(self) -> bool:
        return "1" in self.alleles

    @property
    def lacks(self) -> bool:
        return not {"1", "."} & {*self.alleles}

    @property
    def phased(self) -> bool:
        return len(self.alleles) > 1 and "/" not in self.gt

    @property
    def zygosity(self) -> str | None:
        kinds = {*self.alleles}
        if "1" not in kinds:
            return None
        if kinds == {"1"}:
            return "HOM_ALT" if len(self.alleles) > 1 else "HEMI"
        return "HET_OTHER_ALT" if "2" in kinds else "PARTIAL" if "." in kinds else "HET"

    @property
    def het(self) -> bool:
        return self.zygosity in ("HET", "HET_OTHER_ALT")

    def good(self, f: dict[str, Any]) -> bool:
        """DP and GQ are at least what a FamilyFilter asks for."""
        return all(
            bound is None or (value is not None and value >= bound)
            for value, bound in ((self.dp, f.get("minDp")), (self.gq, f.get("minGq")))
        )


@dataclass(frozen=True)
class Observed:
    """One ALT of one record: its columns as text, and the calls of the samples."""

    columns: list[str]
    allele: int
    samples: dict[str, int]

    @property
    def chrom(self) -> str:
        return self.columns[0].removeprefix("chr")

    @property
    def pos(self) -> int:
        return int(self.columns[1])

    @property
    def name(self) -> str:
        return f"{self.chrom}-{self.pos}-{self.columns[3]}-{self.columns[4].split(',')[self.allele - 1]}"

    @property
    def info(self) -> dict[str, str]:
        return dict(part.partition("=")[::2] for part in self.columns[7].split(";"))

    def call(self, sample: str) -> Call | None:
        """The call of a sample, None where the file does not have the sample."""
        if sample not in self.samples:
            return None
        values = dict(zip(self.columns[8].split(":"), self.columns[9 + self.samples[sample]].split(":"), strict=False))
        gt = re.sub(r"\d+", lambda number: self._shown(int(number[0])), values["GT"])
        depths = [_number(value) for value in values.get("AD", ".").split(",")]
        ad_ref, ad_alt = (depths[0], depths[self.allele]) if len(depths) > 1 else (None, None)
        return Call(gt, _number(values.get("DP")), _number(values.get("GQ")), ad_ref, ad_alt, _number(values.get("PS")))

    def _shown(self, allele: int) -> str:
        return "0" if allele == 0 else "1" if allele == self.allele else "2"


def _number(text: str | None) -> int | None:
    return None if text in (None, ".", "") else int(str(text))


def read_vcf(path: Path) -> list[Observed]:
    """Every ALT of a VCF, in file order."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    found: list[Observed] = []
    samples: dict[str, int] = {}
    for line in text.splitlines():
        columns = line.split("\t")
        if line.startswith("#CHROM"):
            samples = {name: place for place, name in enumerate(columns[9:])}
        elif not line.startswith("#"):
            found += [Observed(columns, allele, samples) for allele in range(1, columns[4].count(",") + 2)]
    return found


def read_genes(path: Path) -> dict[str, tuple[str, int, int]]:
    """Chromosome, start and end of the genes of a GTF, by symbol."""
    rows = [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#")]
    return {
        row[8].split('gene_name "')[1].split('"')[0]: (row[0].removeprefix("chr"), int(row[3]), int(row[4]))
        for row in rows
        if row[2] == "gene"
    }


@dataclass(frozen=True)
class Person:
    """A row of a pedigree; None for what it does not say."""

    family: str
    name: str
    father: str | None
    mother: str | None
    sex: str | None
    phenotype: str | None


def read_ped(path: Path) -> dict[str, Person]:
    """The people of a pedigree of PLINK's six columns, by name."""
    people = {}
    for line in path.read_text().splitlines():
        family, name, father, mother, sex, phenotype = line.split()
        known = [None if text in ("0", "-9") else text for text in (father, mother, phenotype)]
        people[name] = Person(family, name, known[0], known[1], {"1": "MALE", "2": "FEMALE"}.get(sex), known[2])
    return people


@dataclass(frozen=True)
class Families:
    """Files put together; `holds` says what a FamilyFilter means."""

    variants: list[Observed]
    people: dict[str, Person]
    genes: dict[str, tuple[str, int, int]] = field(default_factory=dict)

    def carried(self, sample: str, f: dict[str, Any] | None = None, passes: Answers = lambda _: True) -> list[str]:
        """Names of the variants that a sample carries and for which a FamilyFilter holds, of those that pass another filter."""
        found = (v for v in self.variants if passes(v) and (call := v.call(sample)) is not None and call.carries)
        return [v.name for v in found if self.holds(f or {}, sample, v, passes)]

    def holds(self, f: dict[str, Any], sample: str, v: Observed, passes: Answers) -> bool:
        """True where the FamilyFilter, as JSON, holds for a variant that the sample carries."""
        call = v.call(sample)
        assert call is not None
        father, mother = self._parents(sample, v)
        asked = {
            "deNovo": lambda: self._de_novo(f, v, call, father, mother),
            "homozygousRecessive": lambda: self._recessive(f, v, call, father, mother),
            "inheritedFrom": lambda: self._inherited(f, v, call, father, mother),
            "absentIn": lambda: all((other := v.call(name)) is not None and other.lacks and other.good(f) for name in f["absentIn"]),
            "compoundHet": lambda: call.het and any(self._compound(f, sample, v, other) for other in self.variants if passes(other)),
        }
        return call.good(f) and all(meaning() for name, meaning in asked.items() if f.get(name))

    def _parents(self, sample: str, v: Observed) -> tuple[Call | None, Call | None]:
        person = self.people[sample]
        father, mother = (None if name is None else v.call(name) for name in (person.father, person.mother))
        return father, mother

    @staticmethod
    def _de_novo(f: dict[str, Any], v: Observed, call: Call, father: Call | None, mother: Call | None) -> bool:
        needed = {"Y": [father], "MT": [mother], "X": [mother] if call.zygosity == "HEMI" else [father, mother]}.get(
            v.chrom, [father, mother]
        )
        return all(parent is not None and parent.lacks and parent.good(f) for parent in needed)

    @staticmethod
    def _recessive(f: dict[str, Any], v: Observed, call: Call, father: Call | None, mother: Call | None) -> bool:
        if call.zygosity == "HEMI":
            return v.chrom == "X" and mother is not None and mother.het and mother.good(f)
        there = [parent for parent in (father, mother) if parent is not None]
        of_father = father is not None and v.chrom == "X" and father.zygosity == "HEMI"  # a daughter has his one X
        return (
            call.zygosity == "HOM_ALT"
            and bool(there)
            and all((parent.het or (parent is father and of_father)) and parent.good(f) for parent in there)
        )

    @staticmethod
    def _inherited(f: dict[str, Any], v: Observed, call: Call, father: Call | None, mother: Call | None) -> bool:
        only = {"Y": "FATHER", "MT": "MOTHER", "X": "MOTHER" if call.zygosity == "HEMI" else None}.get(v.chrom)
        if only is not None:
            parent = father if only == "FATHER" else mother
            return f["inheritedFrom"] == only and parent is not None and parent.carries and parent.good(f)
        if father is None or mother is None or not (father.good(f) and mother.good(f)):
            return False
        sides = {
            "FATHER": (father.carries, mother.lacks),
            "MOTHER": (mother.carries, father.lacks),
            "BOTH": (father.carries, mother.carries),
        }
        return all(sides[f["inheritedFrom"]])

    def _compound(self, f: dict[str, Any], sample: str, v: Observed, other: Observed) -> bool:
        """True where another variant makes a pair with it: in one gene, on different chromosomes as far as anything tells."""
        one, two = v.call(sample), other.call(sample)
        assert one is not None
        assert two is not None
        if other.name == v.name or not (two.het and two.good(f)):
            return False
        if not any(g[0] == v.chrom == other.chrom and g[1] <= v.pos <= g[2] and g[1] <= other.pos <= g[2] for g in self.genes.values()):
            return False
        origins = [self._origin(f, *self._parents(sample, each)) for each in (v, other)]
        if None not in origins:
            return origins[0] != origins[1]
        if one.phased and two.phased and one.phase_set == two.phase_set and len(one.alleles) == len(two.alleles) == 2:
            return one.alleles.index("1") != two.alleles.index("1")
        return True

    @staticmethod
    def _origin(f: dict[str, Any], father: Call | None, mother: Call | None) -> str | None:
        if father is None or mother is None or not (father.good(f) and mother.good(f)):
            return None
        if father.carries and mother.lacks:
            return "FATHER"
        return "MOTHER" if mother.carries and father.lacks else None
