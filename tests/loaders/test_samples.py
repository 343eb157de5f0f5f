"""Files of samples: literal lines in, rows out; real files against the csv module; and pedigrees, possible and not."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loaders import samples
from loaders.errors import InputError
from loaders.samples import read
from tests.conftest import ROOT

Write = Callable[..., Path]

PANEL = """sample\tpop\tsuper_pop\tgender\t\t
HG00096\tGBR\tEUR\tmale
HG00097\tGBR\tEUR\tfemale
NA18939\tJPT\tEAS\tfemale
"""
G1K = """#Family ID\tIndividual ID\tPaternal ID\tMaternal ID\tGender\tPhenotype\tPopulation\tRelationship\tSiblings\tSecond Order\tThird Order\tOther Comments
BB01\tHG01879\t0\t0\t1\t0\tACB\tfather\t0\t0\t0\t0
BB01\tHG01880\t0\t0\t2\t0\tACB\tmother\t0\t0\t0\t0
BB01\tHG01881\tHG01879\tHG01880\t2\t0\tACB\tchild\t0\t0\t0\t0
"""
G1K_30X = """FamilyID SampleID FatherID MotherID Sex Population Superpopulation
HG00096 HG00096 0 0 1 GBR EUR
1328 NA06984 0 0 1 CEU EUR
"""
FAM = """F1 A 0 0 1 1
F1 B 0 0 2 -9
F1\tC  A B 0 2
0 D E 0 2 1.5
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: write(text, name="some.tsv"), compressed where its name says so."""

    def write(text: str, name: str = "some.tsv") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


def rows_of(path: Path) -> tuple[list[tuple], list[tuple], list[tuple]]:
    """Rows of sample_info, of population, and rejects (line, reason, detail) of a file."""
    chunks = [chunk for chunk in read(path) if chunk.records]
    tables = [[tuple(row.values()) for c in chunks if t in c.tables for row in c.tables[t].to_pylist()] for t in samples.TABLES]
    return tables[0], tables[1], [(r.line, r.reason, r.detail) for c in chunks for r in c.rejects]


# ---- layouts


@pytest.mark.parametrize("name", ["x.panel", "x.ped", "x.panel.gz"])
def test_a_panel_is_known_by_its_content(write: Write, name: str) -> None:
    infos, populations, rejects = rows_of(write(PANEL, name))
    assert infos == [
        ("HG00096", None, "MALE", "GBR", None, None, None),
        ("HG00097", None, "FEMALE", "GBR", None, None, None),
        ("NA18939", None, "FEMALE", "JPT", None, None, None),
    ]
    assert populations == [("GBR", "EUR"), ("EUR", None), ("JPT", "EAS"), ("EAS", None)]
    assert rejects == []


def test_the_pedigree_of_1000_genomes_has_names_with_spaces(write: Write) -> None:
    infos, populations, _ = rows_of(write(G1K))
    assert infos == [
        ("HG01879", "BB01", "MALE", "ACB", None, None, None),
        ("HG01880", "BB01", "FEMALE", "ACB", None, None, None),
        ("HG01881", "BB01", "FEMALE", "ACB", "HG01879", "HG01880", None),
    ]
    assert populations == [("ACB", None)]


def test_a_header_may_be_separated_by_spaces(write: Write) -> None:
    assert rows_of(write(G1K_30X))[0] == [
        ("HG00096", "HG00096", "MALE", "GBR", None, None, None),
        ("NA06984", "1328", "MALE", "CEU", None, None, None),
    ]


@pytest.mark.parametrize("text", [FAM, FAM.replace("\n", " A A G T 0 0\n"), "# comment\n\n" + FAM, FAM.replace("\n", "\r\n"), FAM.rstrip()])
def test_plink_has_six_columns_and_no_header(write: Write, text: str) -> None:
    infos, populations, rejects = rows_of(write(text))
    assert infos == [
        ("A", "F1", "MALE", None, None, None, "1"),
        ("B", "F1", "FEMALE", None, None, None, None),
        ("C", "F1", None, None, "A", "B", "2"),
        ("D", None, "FEMALE", None, "E", None, "1.5"),
        ("E", None, "MALE", None, None, None, None),
    ]
    assert (populations, rejects) == ([], [])


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("SAMPLE\tFamily\tSex\tPopulation\tSuper_Population\tFather\tMother\tPhenotype", "S\tF\tM\tGBR\tEUR\tP\tQ\t2"),
        ("sample_id\tfamily\tgender\tpop\tsuper_pop\tfather\tmother\tphenotype", "S\tF\tmale\tGBR\tEUR\tP\tQ\t2"),
        ("age\tindividual\tphenotype\tmother\tfather\tsuper_pop\tpop\tGender\tfamily", "40\tS\t2\tQ\tP\tEUR\tGBR\t1\tF"),
        ("#FID\tIID\tPAT\tMAT\tSEX\tPHENO1\tpop\tsuper-pop", "F\tS\tP\tQ\t1\t2\tGBR\tEUR"),
        ("# IID FID PAT MAT SEX PHENO pop superpop", "S F P Q MALE 2 GBR EUR"),
        ("Sample name\tFamily ID\tFather\tMother\tSex\tPhenotype\tPopulation code\tSuperpopulation code", "S\tF\tP\tQ\tmale\t2\tGBR\tEUR"),
    ],
)
def test_columns_are_found_by_their_usual_names(write: Write, header: str, row: str) -> None:
    infos, populations, _ = rows_of(write(f"##about\n{header}\n{row}\n"))
    bare = [("P", None, "MALE", None, None, None, None), ("Q", None, "FEMALE", None, None, None, None)]
    assert infos == [("S", "F", "MALE", "GBR", "P", "Q", "2"), *bare]
    assert populations == [("GBR", "EUR"), ("EUR", None)]


@pytest.mark.parametrize("missing", ["", "0", ".", "NA", "na", "-9", " "])
def test_what_is_missing_is_null(write: Write, missing: str) -> None:
    text = "sample\tfamily\tsex\tpop\tsuper_pop\tfather\tmother\tphenotype\n" + "\t".join(["S", *[missing] * 7]) + "\n"
    assert rows_of(write(text)) == ([("S", None, None, None, None, None, None)], [], [])


@pytest.mark.parametrize("sex", ["unknown", "Other", "U", "0", "-9"])
def test_a_sex_that_is_said_to_be_unknown_is_null(write: Write, sex: str) -> None:
    assert rows_of(write(f"sample\tsex\nS\t{sex}\n")) == ([("S", None, None, None, None, None, None)], [], [])


def test_the_larger_population_does_where_no_smaller_one_is_known(write: Write) -> None:
    infos, populations, _ = rows_of(write("sample\tpop\tsuper_pop\nA\t.\tEUR\nB\tEUR\tEUR\nC\tGBR\t\nD\tGBR\tEUR\n"))
    assert [row[3] for row in infos] == ["EUR", "EUR", "GBR", "GBR"]
    assert populations == [("EUR", None), ("GBR", "EUR")]


# ---- rows and files that are not right


def test_rows_that_are_not_right_are_rejected_one_by_one(write: Write) -> None:
    infos, _, rejects = rows_of(
        write("sample\tsex\tfather\tmother\nA\tF\nB\tF\t0\t0\n.\tM\t0\t0\nC\tx1\t0\t0\nD\tM\tP\tP\nE\tM\tB\t0\nF\tM\t0\tG\nG\tM\tF2\tM2\n")
    )
    assert [row[0] for row in infos] == ["B", "G", "F2", "M2"]
    assert rejects == [
        (2, "too few columns", "2 of at least 4"),
        (4, "no name", ""),
        (5, "sex that is not understood", "'x1'"),
        (6, "the same person as father and mother", "P"),
        (7, "father listed as female", "B in line 3"),
        (8, "mother listed as male", "G in line 9"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("F1 A 0 0 1 1\nF1 A 0 0 1 1\n", 2, "sample A stands in line 1 already$"),
        ("F1 A 0 0 1 1\nF2 A 0 0 2 1\n", 2, "already, there of family F1 and here of F2\n  Names must be unique in a cohort"),
        ("F1 A 0 0 1 1\nF1 B B 0 1 1\n", 2, "B is listed as its own parent"),
        ("F1 A C 0 1 1\nF1 B A 0 1 1\nF1 C B 0 1 1\nF1 D A 0 1 1\n", 1, "A is listed as its own ancestor: A is a parent of B, B is a parent of C, C is a"),
        ("sample\tpop\tsuper_pop\nA\tGBR\tEUR\nB\tFIN\tEUR\nC\tGBR\tAFR\n", 4, "GBR is part of AFR here, and of EUR in line 2"),
        ("pop\tsuper_pop\tgender\nGBR\tEUR\tmale\n", 1, "the header has no column of samples, only of sex, population, super_population"),
        ("sample\tage\nA\t4\n", 1, "no column that says something of its samples"),
        ("#sample\tsex\n#A\tmale\n", None, "no sample in it"),
        ("# nothing\n\n", None, "no line in it but comments"),
        ("chr1\t100\t200\tname\t0\t+\n", 1, "not a file of samples: it begins with 'chr1"),
        ("chr1\t100\t200\tname\t0\t.\n", 1, "not a file of samples"),
        ("F1 A 0 0 1\n", 1, "not a file of samples"),
        ("F1 A 0 0 man 1\n", 1, "not a file of samples"),
        ("##fileformat=VCFv4.2\n#CHROM\tPOS\n", 1, "this is a VCF"),
        ("", None, "the file is empty"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_is_refused_naming_the_line(write: Write, text: str, line: int | None, told: str) -> None:
    path = write(text)
    with pytest.raises(InputError, match=rf"(?m){told}") as refused:
        list(read(path))
    assert (refused.value.path, refused.value.line) == (path, line)
    assert refused.value.remedy


def test_what_is_no_known_layout_is_told_which_are(write: Write) -> None:
    with pytest.raises(InputError, match=r"(?s)column sample .*PLINK's .fam and .ped"):
        list(read(write("hello world\n")))


def test_a_long_chain_is_told_in_short(write: Write) -> None:
    text = "".join(f"F S{n} S{(n + 1) % 100_000} 0 1 1\n" for n in range(100_000))
    with pytest.raises(InputError) as refused:
        list(read(write(text)))
    assert refused.value.reason.count("is a parent of") == 10
    assert refused.value.reason.endswith(" ...")


# ---- pedigrees


@st.composite
def forests(draw: st.DrawFn) -> list[tuple[int | None, int | None]]:
    """(father, mother) of each of some people, by number; parents are younger in number, fathers even and mothers odd."""
    count = draw(st.integers(2, 30))
    return [
        (
            draw(st.none() | st.sampled_from(range(0, n, 2))) if n > 0 else None,
            draw(st.none() | st.sampled_from(range(1, n, 2))) if n > 1 else None,
        )
        for n in range(count)
    ]


def fam(parents: list[tuple[int | None, int | None]], order: list[int]) -> str:
    """A .fam file of these people, in this order."""
    lines = [f"F S{n} {' '.join('0' if p is None else f'S{p}' for p in parents[n])} {1 + n % 2} 1" for n in order]
    return "\n".join(lines) + "\n"


hypothetical = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@hypothetical
@given(st.data(), forests())
def test_any_forest_is_a_pedigree(write: Write, data: st.DataObject, parents: list[tuple[int | None, int | None]]) -> None:
    order = data.draw(st.permutations(range(len(parents))))
    infos, _, rejects = rows_of(write(fam(parents, order)))
    named = [tuple(None if p is None else f"S{p}" for p in parents[n]) for n in order]
    assert [(row[0], row[4:6]) for row in infos] == [(f"S{n}", pair) for n, pair in zip(order, named, strict=True)]
    assert rejects == []


@hypothetical
@given(st.data(), forests())
def test_any_cycle_is_refused(write: Write, data: st.DataObject, parents: list[tuple[int | None, int | None]]) -> None:
    """A chain from an ancestor to a descendant, closed; where the forest has none, somebody is their own parent."""
    young = data.draw(st.integers(0, len(parents) - 1))
    old = young
    while (ups := [p for p in parents[old] if p is not None]) and data.draw(st.booleans()):
        old = data.draw(st.sampled_from(ups))
    father, mother = parents[old]
    parents = list(parents)
    parents[old] = (young, mother) if young % 2 == 0 else (father, young)
    order = data.draw(st.permutations(range(len(parents))))
    with pytest.raises(InputError, match=r"its own (ancestor|parent)") as refused:
        rows_of(write(fam(parents, order)))
    if "ancestor" not in refused.value.reason:
        assert refused.value.reason == f"S{old} is listed as its own parent"
        return
    steps = [step.split(" is a parent of ") for step in refused.value.reason.partition(": ")[2].removesuffix(" ...").split(", ")]
    for parent, child in steps:
        assert int(parent[1:]) in parents[int(child[1:])]
    assert order[refused.value.line - 1] == int(steps[0][0][1:])  # type: ignore[operator]


# ---- real files


@pytest.mark.requires_real
def test_the_panel_of_1000_genomes_is_what_csv_reads(real: Path) -> None:
    path = real / "genome_wide/integrated_call_samples_v3.20130502.ALL.panel"
    with path.open() as file:
        plain = list(csv.DictReader(file, delimiter="\t"))
    infos, populations, rejects = rows_of(path)
    assert infos == [(r["sample"], None, r["gender"].upper(), r["pop"], None, None, None) for r in plain]
    assert dict(populations) == {r["pop"]: r["super_pop"] for r in plain} | {r["super_pop"]: None for r in plain}
    assert (len(infos), len(populations), rejects) == (2504, 26 + 5, [])


@pytest.mark.requires_real
def test_the_pedigree_of_1000_genomes_is_what_csv_reads(real: Path) -> None:
    path = real / "genome_wide/20130606_g1k.ped"
    with path.open() as file:
        plain = list(csv.DictReader(file, delimiter="\t"))
    infos, populations, rejects = rows_of(path)
    sexes = {"1": "MALE", "2": "FEMALE"}
    own = {r["Individual ID"] for r in plain}
    assert [row for row in infos if row[0] in own] == [
        (
            r["Individual ID"], r["#Family ID"], sexes[r["Gender"]], r["Population"],
            *(None if r[column] == "0" else r[column] for column in ("Paternal ID", "Maternal ID", "Phenotype")),
        )
        for r in plain
    ]  # fmt: skip
    assert set(populations) == {(r["Population"], None) for r in plain}
    bare = {row[0]: row[1:] for row in infos if row[0] not in own}
    assert set(bare) == {r[parent] for r in plain for parent in ("Paternal ID", "Maternal ID")} - own - {"0"}
    assert {row[:1] + row[2:] for row in bare.values()} <= {(None,) * 5}
    assert (len(infos) - len(bare), sum(row[4] is not None for row in infos) > 600, rejects) == (3501, True, [])


def test_the_panel_of_the_demo_is_read() -> None:
    infos, populations, rejects = rows_of(ROOT / "demo/samples.panel")
    assert (len(infos), len(populations), rejects) == (300, 5, [])


def test_rows_have_a_limit(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.samples.MOST_ROWS", 2)
    with pytest.raises(InputError, match=":3: more than 2 rows"):
        rows_of(write(FAM))
