"""Loads of samples: the cohort they belong to, the same file again, a new version, taking out, and going on after a cut."""

from __future__ import annotations

import gzip
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

import vkg
from loaders import samples
from loaders.errors import InputError
from loaders.run import Outcome, dataset_name, ingest
from loaders.samples_job import samples_job, say_called
from store import release
from store.errors import StoreError
from store.load import AlreadyLoaded, Load, begin
from tests.loaders.test_samples import FAM, PANEL
from tests.store.people import loaded

Conn = psycopg.Connection[Any]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: write(text, name="some.tsv"), compressed where its name says so."""

    def write(text: str, name: str = "some.tsv") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


def load(conn: Conn, path: Path, **options: Any) -> Outcome | AlreadyLoaded:
    """Loads a file as `vkg load samples` does."""
    job, read_chunks = samples_job(conn, path, **options)
    outcome = ingest(conn, job, read_chunks)
    say_called(conn, outcome)
    return outcome


def stored(conn: Conn) -> list[tuple]:
    """(cohort, name, sex, population, father) of all descriptions, hidden ones too."""
    return conn.execute(
        """SELECT s.cohort, s.name, i.sex, i.population, f.name FROM sample_info i JOIN sample s USING (sample_id)
        LEFT JOIN sample f ON f.sample_id = i.father_id ORDER BY i.load_id, 1, 2"""
    ).fetchall()


FAM_STORED = [
    ("c", "A", "MALE", None, None),
    ("c", "B", "FEMALE", None, None),
    ("c", "C", None, None, "A"),
    ("c", "D", "FEMALE", None, "E"),
    ("c", "E", "MALE", None, None),
]


def test_a_load_is_visible_at_once_and_the_same_file_again_is_a_no_op(grch37: Conn, write: Write) -> None:
    path = write(FAM, "some.fam.gz")
    outcome = load(grch37, path, cohort="c")
    assert isinstance(outcome, Outcome)
    assert (outcome.load.dataset, outcome.load.counts, outcome.load.cohort) == ("some.fam", {"records": 4, "sample_info": 5}, "c")
    assert outcome.load.load_id in release.current(grch37).loads
    assert [(row.kind, row.visible) for row in release.loads(grch37)] == [("samples", True)]
    assert isinstance(load(grch37, path), AlreadyLoaded), "the cohort is the only one"
    assert isinstance(load(grch37, path, cohort="c", dataset="some.fam"), AlreadyLoaded)
    assert stored(grch37) == FAM_STORED


def test_a_new_version_takes_the_place_of_the_old_one_and_samples_go_with_their_last_load(
    grch37: Conn, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "LONGEST_REQUEST", "0 seconds")
    old = load(grch37, write(FAM, "people.fam"), cohort="c", version="1")
    new = load(grch37, write("sample\tpop\nA\tGBR\nZ\tFIN\n", "people.tsv"), dataset="people.fam", version="2")
    assert isinstance(old, Outcome)
    assert isinstance(new, Outcome)
    assert release.current(grch37).loads == [new.load.load_id]
    loaded(grch37, "vcf", "c", called=["B"])
    release.unload(grch37, old.load.load_id)
    assert release.purge(grch37) == [old.load.load_id]
    assert stored(grch37) == [("c", "A", None, "GBR", None), ("c", "Z", None, "FIN", None)]
    assert [n for (n,) in grch37.execute("SELECT name FROM sample ORDER BY 1")] == ["A", "B", "Z"]
    assert grch37.execute("SELECT name, load_id FROM population ORDER BY 1").fetchall() == [
        ("FIN", new.load.load_id),
        ("GBR", new.load.load_id),
    ]


def test_rejects_are_listed_and_strict_keeps_nothing(grch37: Conn, write: Write) -> None:
    path = write("sample\tsex\nA\tM\nB\t?\n")
    with pytest.raises(InputError, match=r"some.tsv:3: sex that is not understood: '\?'"):
        load(grch37, path, strict=True)
    assert grch37.execute("SELECT count(*) FROM sample").fetchone() == (0,)
    outcome = load(grch37, path)
    assert isinstance(outcome, Outcome)
    assert outcome.load.reasons == {samples.NO_SEX: 1}
    assert Path(f"{path}.rejects.tsv").read_text().splitlines()[1:] == ["3\tsex that is not understood\t'?'\tB\t?"]


def test_a_pedigree_that_cannot_be_stores_nothing(grch37: Conn, write: Write) -> None:
    with pytest.raises(InputError, match="its own parent"):
        load(grch37, write(FAM + "F1 Z Z 0 1 1\n"))
    with pytest.raises(InputError, match="nothing of it could be loaded: 1 of 1 records rejected for: no name"):
        load(grch37, write("sample\tsex\n.\t1\n"))
    assert (release.loads(grch37), grch37.execute("SELECT count(*) FROM sample").fetchone()) == ([], (0,))


def test_the_cohort_where_nobody_says(grch37: Conn, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    def cohort(path: Path, **options: Any) -> str | None:
        outcome = load(grch37, path, **options)
        assert isinstance(outcome, Outcome)
        return outcome.load.cohort

    one, two = write("sample\tpop\nA\tGBR\n", "first.panel"), write("sample\tpop\nX\tGBR\n", "other.panel")
    assert cohort(one) == "first"
    assert capsys.readouterr().err.startswith("cohort first: --cohort NAME says otherwise\n")
    assert cohort(one, dataset="second") == "first", "the only one, and it has A"
    assert cohort(two, dataset="hospital") == "hospital", "other people, as far as one can tell"
    assert cohort(one, dataset="third") == "third", "there are two cohorts"
    assert cohort(two, dataset="second", version="2") == "first", "as the earlier version"
    capsys.readouterr()
    assert cohort(one, dataset="fourth", cohort="another") == "another"
    assert "--cohort" not in capsys.readouterr().err


def test_a_pedigree_beside_a_vcf_of_the_same_name_is_of_its_cohort(grch37: Conn, write: Write, load_vcf: Any, write_cohort: Any) -> None:
    """Whichever comes first."""
    pedigree, rows = write(FAM, "fam.ped"), ["20 1 . A G . . . GT 0/1 0/0"]
    vcf = load_vcf(grch37, write_cohort("A B", *rows, name="fam.vcf")).load
    ped = load(grch37, pedigree)
    assert isinstance(ped, Outcome)
    assert (vcf.dataset, vcf.cohort, ped.load.dataset, ped.load.cohort) == ("fam", "fam", "fam.ped", "fam")
    later = load(grch37, write(FAM.replace("A", "P").replace("B", "Q"), "later.ped.gz"))
    assert isinstance(later, Outcome)
    after = load_vcf(grch37, write_cohort("P Q", *rows, name="later.vcf")).load
    assert (later.load.dataset, later.load.cohort, after.dataset, after.cohort) == ("later.ped", "fam", "later", "later")


def test_a_parent_without_a_row_is_a_sample_too(grch37: Conn, write: Write) -> None:
    outcome = load(grch37, write("F A P M 1 1\nF B P N 2 1\nF C M Q 0 1\nF P X Y 9 1\n"), cohort="c")
    assert isinstance(outcome, Outcome)
    assert outcome.load.counts == {"records": 4, "rejects": 1, "sample_info": 7}
    assert [(name, sex, father) for _, name, sex, _, father in stored(grch37)] == [
        ("A", "MALE", "P"), ("B", "FEMALE", "P"), ("C", None, "M"), ("M", None, None), ("N", "FEMALE", None), ("P", "MALE", None), ("Q", "FEMALE", None),
    ]  # fmt: skip


def test_a_dataset_of_another_kind_is_left_alone(grch37: Conn, write: Write, load_vcf: Any, write_vcf: Any) -> None:
    load_vcf(grch37, write_vcf("20 1 . A G . . ."), dataset="some")
    with pytest.raises(StoreError, match="'some' holds variants, not samples"):
        load(grch37, write(FAM), dataset="some")


def test_it_is_said_how_many_samples_have_genotypes(grch37: Conn, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    load(grch37, write(PANEL, "one.panel"), cohort="kg")
    assert "in callsets" not in capsys.readouterr().err
    loaded(grch37, "vcf", "kg", called=["HG00097", "NA18939", "NA00001"])
    load(grch37, write(PANEL, "two.panel"), hold=True)
    assert "2 of 3 samples are in callsets of cohort kg\n" in capsys.readouterr().err
    load(grch37, write(FAM), cohort="kg")
    assert "0 of 5 samples are in callsets of cohort kg\n" in capsys.readouterr().err


@pytest.mark.parametrize("committed", [0, 1, 2, 4])
def test_a_load_that_was_cut_off_goes_on(
    grch37: Conn, store_url: str, write: Write, monkeypatch: pytest.MonkeyPatch, committed: int
) -> None:
    monkeypatch.setattr(samples, "CHUNK_ROWS", 3)
    dice = random.Random(1)
    lines = [f"S{n}\t{dice.choice('MF?')}\tP{n % 3}\tQ" for n in range(11)]
    path = write("sample\tsex\tpop\tsuper_pop\n" + "\n".join(lines) + "\n")
    job, read_chunks = samples_job(grch37, path, cohort="c")
    chunks = [chunk for chunk in read_chunks(0, 0) if chunk.records]
    assert [(chunk.records, chunk.end) for chunk in chunks] == [(3, 4), (3, 7), (3, 10), (2, 12)]
    with psycopg.connect(store_url, autocommit=True) as died:
        cut_off = begin(died, dataset=job.dataset, kind=job.kind, version=None, files=job.files, options=job.options)
        assert isinstance(cut_off, Load)
        for chunk in chunks[:committed]:
            cut_off.write(0, chunk, lambda rejects: None)
    outcome = load(grch37, path, cohort="c")
    assert isinstance(outcome, Outcome)
    assert outcome.load.load_id == cut_off.load_id
    rejected = sum(line.split("\t")[1] == "?" for line in lines)
    assert outcome.load.counts == {"records": 11, "rejects": rejected, "sample_info": 11 - rejected, "population": 4}
    assert [row[1] for row in stored(grch37)] == sorted(line.split("\t")[0] for line in lines if "?" not in line)
    assert grch37.execute("SELECT name FROM population ORDER BY 1").fetchall() == [("P0",), ("P1",), ("P2",), ("Q",)]


def test_the_command_loads_and_says_so(
    grch37: Conn, store_url: str, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(grch37, "vcf", "kg", called=["HG00096"])
    monkeypatch.setenv("VKG_DATABASE_URL", store_url)
    monkeypatch.setattr(sys, "argv", ["vkg", "load", "samples", str(write(PANEL, "kg.panel")), "--cohort", "kg", "--version", "3"])
    with pytest.raises(SystemExit) as ended:
        vkg.main()
    said = capsys.readouterr()
    assert ended.value.code in (0, None), said.err
    assert said.out.startswith("kg.panel 3: 3 records: 3 sample_info, 4 population\n")
    assert "1 of 3 samples are in callsets of cohort kg\n" in said.err


@pytest.mark.parametrize(("name", "expected"), [("kg.panel", "kg"), ("a.b.ped.gz", "a.b"), ("x.fam", "x"), ("x.psam", "x")])
def test_datasets_are_named_after_their_files(name: str, expected: str) -> None:
    assert dataset_name(Path("/data") / name) == expected
