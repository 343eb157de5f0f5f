"""Files of populations: literal tables in, rows out; the layouts that 1000 Genomes and IGSR publish; rings; and the counts they lead to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loaders import populations
from loaders.counts import Populations
from loaders.errors import InputError
from loaders.people_job import populations_job
from loaders.run import Outcome, ingest
from store import release
from store.load import AlreadyLoaded
from store.sample import Known, known
from tests.store.people import loaded

Conn = psycopg.Connection[Any]
Write = Callable[..., Path]

KG = """Population Description\tPopulation Code\tSuper Population\tDNA from Blood\tTotal
Chinese Dai in Xishuangbanna, China\tCDX\tEAS\tno\t99
British in England and Scotland\tGBR\tEUR\tno\t94
\t\t\t\t
Total\t\t\t\t193
"""
KG_SUPER = "Description\tPopulation Code\nEast Asian\tEAS\nEuropean\tEUR\n"
IGSR = """Population code\tPopulation elastic ID\tPopulation name\tPopulation description\tPopulation latitude\tSuperpopulation code\tSuperpopulation name\tSuperpopulation display colour\tData collections
TSI\tTSI\tToscani\tToscani in Italy\t42.1\tEUR\tEuropean Ancestry\t#018ead\t1000 Genomes on GRCh38,MAGE RNA-seq
\tBrahuiHGDP\tBrahui\tBrahui in Pakistan (HGDP)\t30.5\t\tCentral South Asia (HGDP)\t#d8ffdf\tHuman Genome Diversity Project
MKK\tMasai\tMasai\tMasai in Kenya\t-1.5\t\tAfrica (SGDP)\t#12eeff\tSimons Genome Diversity Project
GBR\tGBR\tBritish\tBritish in England\t52.4\tEUR\tEuropean Ancestry\t#018ead\t1000 Genomes on GRCh38
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: write(text, name="some.tsv")."""

    def write(text: str, name: str = "some.tsv") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def rows_of(path: Path) -> tuple[list[tuple], list[tuple], dict[str, int]]:
    """Rows of population (name, larger, description), rejects (line, reason, detail), and what was left out."""
    (chunk,) = populations.read(path)
    rows = [tuple(row.values()) for row in chunk.tables["population"].to_pylist()]
    return rows, [(r.line, r.reason, r.detail) for r in chunk.rejects], dict(chunk.skipped)


# ---- layouts


def test_the_tables_of_1000_genomes(write: Write) -> None:
    rows, rejects, skipped = rows_of(write(KG))
    assert rows == [
        ("CDX", "EAS", "Chinese Dai in Xishuangbanna, China"),
        ("GBR", "EUR", "British in England and Scotland"),
        ("EAS", None, None),
        ("EUR", None, None),
    ]
    assert (rejects, skipped) == ([], {populations.EMPTY: 1})
    assert rows_of(write(KG_SUPER))[0] == [("EAS", None, "East Asian"), ("EUR", None, "European")]


def test_the_table_of_igsr_names_those_without_a_code(write: Write) -> None:
    rows, rejects, _ = rows_of(write(IGSR))
    assert rows == [
        ("TSI", "EUR", "Toscani in Italy"),
        ("BrahuiHGDP", "Central South Asia (HGDP)", "Brahui in Pakistan (HGDP)"),
        ("MKK", "Africa (SGDP)", "Masai in Kenya"),
        ("GBR", "EUR", "British in England"),
        ("EUR", None, "European Ancestry"),
        ("Central South Asia (HGDP)", None, None),
        ("Africa (SGDP)", None, None),
    ]
    assert rejects == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name\tdescription\tparent\nA\tThe A\tB\nB\tThe B\t\n", "x.tsv"),
        ("# populations of ours\ncode\tname\tsuper_population\nA\tThe A\tB\nB\tThe B\tNA\n".replace("# ", "## "), "x.tsv"),
        ('#Population,Super Population,Description\r\nA,B,"The A"\r\n\r\nB,.,The B\r\n', "x.csv"),
        ("parent, label, code\nB, The A, A\n, The B, B", "x.csv"),
    ],
)
def test_any_table_that_names_its_columns(write: Write, text: str, name: str) -> None:
    assert rows_of(write(text, name))[0] == [("A", "B", "The A"), ("B", None, "The B")]


def test_a_quoted_cell_of_a_csv_has_commas(write: Write) -> None:
    assert rows_of(write('code,description\nBEB,"Bengali, ""in"" Bangladesh"\n', "x.csv"))[0] == [("BEB", None, 'Bengali, "in" Bangladesh')]


def test_a_name_that_comes_again_is_rejected_with_its_first_line(write: Write) -> None:
    rows, rejects, _ = rows_of(write("name\tparent\nA\tB\nC\tB\nA\tC\n\tB\n"))
    assert rows == [("A", "B", None), ("C", "B", None), ("B", None, None)]
    assert rejects == [(4, populations.REPEATED, "A stands in line 2"), (5, populations.NO_NAME, "part of B")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name\tparent\nA\tA\n", r":2: A is part of itself: A is part of A \(line 2\)"),
        ("name\tparent\nX\tA\nA\tB\nB\tC\nC\tA\n", r":3: . is part of itself: (. is part of . \(line [345]\)(, )?){3}\n"),
        ("sample\tpop\tsuper_pop\tgender\nS\tGBR\tEUR\tmale\n", r":1: it describes samples\n.*vkg load samples"),
        ("chr\tstart\tend\n1\t2\t3\n", ":1: not a table of populations"),
        ("name\nA\n", ":1: not a table of populations"),
        ("name\tparent\n\t\n", "no population in it"),
        ("## only\n", "no line in it but comments"),
    ],
)
def test_what_is_no_table_of_populations_is_refused(write: Write, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        rows_of(write(text))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from("ABCDEFG"), st.sampled_from("ABCDEFGHI"), min_size=1))
def test_every_hierarchy_is_kept_or_refused_for_a_ring(write: Write, parents: dict[str, str]) -> None:
    def is_ring(name: str) -> bool:
        seen = [name]
        while seen[-1] in parents and len(seen) <= len(parents) + 1:
            seen.append(parents[seen[-1]])
        return len(seen) > len(parents) + 1

    path = write("name\tparent\n" + "".join(f"{name}\t{parent}\n" for name, parent in parents.items()))
    if any(map(is_ring, parents)):
        with pytest.raises(InputError, match="is part of itself"):
            rows_of(path)
    else:
        rows, rejects, _ = rows_of(path)
        assert {name: larger for name, larger, _ in rows} == parents | {p: None for p in parents.values() if p not in parents}
        assert rejects == []


# ---- loads


def load(conn: Conn, path: Path, **options: Any) -> Outcome | AlreadyLoaded:
    """Loads a file as `vkg load populations` does."""
    return ingest(conn, *populations_job(path, **options))


def test_populations_belong_to_no_cohort_and_count_for_all(grch37: Conn, write: Write) -> None:
    loaded(grch37, "panel", "kg", infos=[{"sample_id": "S", "population": "GBR"}], populations={"GBR": "EUR", "EUR": None})
    loaded(grch37, "others", "clinic", infos=[{"sample_id": "S", "population": "FIN"}], populations={"FIN": "NORTH", "GBR": "ISLES"})
    path = write("code\tparent\nEUR\tWORLD\nISLES\tEUR\n", "ours.tsv")
    outcome = load(grch37, path)
    assert isinstance(outcome, Outcome)
    assert (outcome.load.dataset, outcome.load.cohort, outcome.load.counts) == ("ours", None, {"records": 2, "population": 3})
    assert [(row.kind, row.visible) for row in release.loads(grch37)][:1] == [("populations", True)]
    assert isinstance(load(grch37, path), AlreadyLoaded)
    assert known(grch37, "kg") == Known({"S": "GBR"}, {"GBR": "EUR", "EUR": "WORLD", "ISLES": "EUR"}), (
        "what the clinic says of GBR is its own"
    )
    assert known(grch37, "clinic").super_population == {"FIN": "NORTH", "GBR": "ISLES", "EUR": "WORLD", "ISLES": "EUR"}
    load(grch37, write("name\tparent\nGBR\tISLES\n", "more.tsv"))
    assert known(grch37, "kg").super_population["GBR"] == "ISLES", "the latest load speaks"


def test_a_chunk_that_was_committed_is_not_read_again(write: Write) -> None:
    (chunk,) = populations.read(write(KG))
    assert list(populations.read(write(KG), after=chunk.end)) == []


def test_a_sample_counts_in_all_that_its_population_is_part_of() -> None:
    larger = {"GBR": "ISLES", "ISLES": "EUR", "EUR": "WORLD", "FIN": "EUR", "JPT": "EAS"}
    who = Populations(["a", "b", "c", "d"], Known({"a": "GBR", "b": "FIN", "c": "ISLES"}, larger))
    assert who.names == ["ALL", "EUR", "ISLES", "WORLD", "FIN", "GBR"]
    assert who.known == 3
    assert Populations(["a"], Known({"a": "GBR"}, larger), everybody=False).names == ["EUR", "ISLES", "WORLD", "GBR"]
    assert Populations(["a"], Known({"a": "A"}, {"A": "B", "B": "A"})).names == ["ALL", "B", "A"], "a ring ends"


def test_only_what_concerns_the_samples_tells_divisions_apart() -> None:
    def digest(population: dict[str, str], larger: dict[str, str]) -> str | None:
        return Populations(["a", "b"], Known(population, larger)).digest

    one = digest({"a": "GBR"}, {"GBR": "EUR"})
    assert digest({"a": "GBR", "z": "FIN"}, {"GBR": "EUR", "JPT": "EAS"}) == one
    assert digest({}, {"GBR": "EUR"}) is None
    assert len({one, digest({"a": "GBR"}, {}), digest({"b": "GBR"}, {"GBR": "EUR"}), digest({"a": "GBR"}, {"GBR": "EUR", "EUR": "W"})}) == 4


def test_a_carriage_return_and_a_long_field_in_a_row_of_commas(write: Write) -> None:
    path = write(f"name,description,parent\nGBR,a\rb,EUR\nFIN,{'x' * 200_000},EUR\n")
    assert [row[0] for row in rows_of(path)[0]] == ["GBR", "FIN", "EUR"]


def test_rows_have_a_limit(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.populations.MOST_ROWS", 2)
    with pytest.raises(InputError, match=":4: more than 2 rows"):
        rows_of(write("name\tparent\nA\tB\nC\tB\nD\tB\n"))
