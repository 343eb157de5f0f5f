"""Segments shared by descent, as they are loaded: whole loads, bad input, loads that were cut off, and the command."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

import vkg
from loaders import ibd, source
from loaders.errors import InputError, LoaderError
from loaders.ibd_job import ibd_job
from loaders.run import Outcome
from store import release
from store.errors import StoreError
from store.load import UNKNOWN_SAMPLE, AlreadyLoaded, Load, begin
from tests.loaders.segment_files import (
    DATA,
    EMPTY_BGZF,
    GERMLINE,
    HAP_IBD,
    MAP,
    Conn,
    Write,
    load,
    nothing_is_left,
    stored,
    stored_alone,
    writer,
)
from tests.store.people import loaded


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: write(text, name="some.ibd"), compressed where its name says so."""
    return writer(tmp_path)


def test_a_run_is_one_load_of_several_files_seen_from_both_sides(grch37: Conn, write: Write) -> None:
    loaded(grch37, "vcf", "c", called=["A", "B", "C"])
    paths = write(HAP_IBD, "x.ibd.gz"), write("A\t1\tA\t2\t20\t7\t9\t2.25\n", "x.hbd.gz"), write(EMPTY_BGZF, "y.hbd.gz")
    outcome = load(grch37, *paths, source="hap-ibd", source_version="1.0", callset="vcf@1", surveyed_cm=3500)
    assert isinstance(outcome, Outcome)
    assert (outcome.load.dataset, outcome.load.cohort, outcome.load.counts) == (
        "x.ibd",
        "c",
        {"records": 3, "ibd_run": 1, "ibd_segment": 2, "hbd_segment": 1, "sample_info": 3},
    )
    assert outcome.load.load_id in release.current(grch37).loads
    assert stored(grch37) == [
        (0, 1, "A", "B", 20, 100, 200, 1, 2, None, 1.5, None, None),
        (0, 1, "B", "A", 20, 100, 200, 2, 1, None, 1.5, None, None),
        (0, 2, "A", "C", 23, 5, 5, 1, 2, None, 0, None, None),
        (0, 2, "C", "A", 23, 5, 5, 2, 1, None, 0, None, None),
    ]
    assert stored_alone(grch37) == [(1, 1, "A", 20, 7, 9, 2.25, None, None)]
    run = grch37.execute("SELECT source, source_version, cohort, phased, callset, callset_version, surveyed_cm FROM ibd_run").fetchall()
    assert run == [("hap-ibd", "1.0", "c", True, "vcf", "1", 3500)]
    assert isinstance(load(grch37, *paths, source="hap-ibd", source_version="1.0", callset="vcf@1", surveyed_cm=3500), AlreadyLoaded)
    release.unload(grch37, outcome.load.load_id)


@pytest.mark.parametrize("first", [True, False])
def test_an_empty_file_is_a_run_without_segments(grch37: Conn, write: Write, first: bool) -> None:
    empty = write(EMPTY_BGZF, "none.ibd.gz")
    with pytest.raises(InputError, match="nothing tells its source: it is empty\n  Say which tool wrote them: --source"):
        load(grch37, empty, cohort="c")
    outcome = load(grch37, *((empty,) if first else (empty, write(HAP_IBD))), source="hap-ibd", cohort="c", create_samples=True)
    assert isinstance(outcome, Outcome)
    assert outcome.load.counts["records"] == (0 if first else 2)
    assert grch37.execute("SELECT source, phased FROM ibd_run").fetchall() == [("hap-ibd", True)]
    assert len(stored(grch37)) == (0 if first else 4)


def test_an_unknown_sample_is_rejected_or_made(grch37: Conn, write: Write) -> None:
    loaded(grch37, "vcf", "c", called=["A", "B"])
    path = write(HAP_IBD)
    outcome = load(grch37, path, source="hap-ibd", dataset="x")
    assert isinstance(outcome, Outcome)
    assert (outcome.load.reasons, len(stored(grch37))) == ({UNKNOWN_SAMPLE: 1}, 2)
    assert "C is not in cohort c; --create-samples adds" in Path(f"{path}.rejects.tsv").read_text()
    outcome = load(grch37, path, source="hap-ibd", dataset="y", create_samples=True)
    assert isinstance(outcome, Outcome)
    assert outcome.load.counts["ibd_segment"] == 2
    assert grch37.execute("SELECT cohort FROM sample WHERE name = 'C'").fetchall() == [("c",)]


def test_the_cohort_where_nobody_says(grch37: Conn, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(HAP_IBD)
    with pytest.raises(StoreError, match=r"the store has no samples.*\n.*--create-samples"):
        load(grch37, path, source="hap-ibd")
    assert nothing_is_left(grch37)
    own = load(grch37, path, source="hap-ibd", create_samples=True, dataset="made.ibd")
    assert isinstance(own, Outcome)
    assert own.load.cohort == "made"
    assert isinstance(load(grch37, path, source="hap-ibd", create_samples=True, dataset="made.ibd"), AlreadyLoaded)
    loaded(grch37, "vcf", "c", called=["A", "B", "C"])
    with pytest.raises(StoreError, match="the store has 2 cohorts: c, made\n  Say whose names these are: --cohort NAME"):
        load(grch37, path, source="hap-ibd", dataset="other")
    capsys.readouterr()
    with pytest.raises(LoaderError, match="--cohort is made, but callset vcf has people of cohort c"):
        load(grch37, path, source="hap-ibd", cohort="made", callset="vcf")
    of_callset = load(grch37, path, source="hap-ibd", dataset="other", callset="vcf")
    assert isinstance(of_callset, Outcome)
    assert of_callset.load.cohort == "c"
    said = capsys.readouterr().err
    assert "cohort c\n" in said
    assert "says otherwise" not in said, "the callset does"
    later = load(grch37, path, source="hap-ibd", dataset="other", callset="later@2", version="2")
    assert isinstance(later, Outcome)
    assert later.load.cohort == "c", "as the earlier version"
    assert "no callset later@2 is visible now" in capsys.readouterr().err


def test_a_run_is_bound_to_the_version_of_its_callset_that_is_visible(grch37: Conn, write: Write) -> None:
    path = write(HAP_IBD)
    with pytest.raises(LoaderError, match=r"no callset vcf is visible, .*\n  Say which: --callset vcf@VERSION, or load it first"):
        load(grch37, path, source="hap-ibd", cohort="c", create_samples=True, callset="vcf")
    assert nothing_is_left(grch37)
    for version in ("1", "2"):
        loaded(grch37, "vcf", "c", version=version, called=["A", "B", "C"])
        assert isinstance(load(grch37, path, source="hap-ibd", dataset=f"run{version}", callset="vcf"), Outcome)
    assert grch37.execute("SELECT callset, callset_version FROM ibd_run ORDER BY load_id").fetchall() == [("vcf", "1"), ("vcf", "2")]
    assert isinstance(load(grch37, path, source="hap-ibd", dataset="run2", callset="vcf@2"), AlreadyLoaded)
    with pytest.raises(LoaderError, match="--cohort is d, but callset vcf has people of cohort c"):
        load(grch37, path, source="hap-ibd", dataset="run2", cohort="d", callset="vcf")


def test_the_same_file_twice_is_refused(grch37: Conn, write: Write) -> None:
    one, again = write(HAP_IBD, "one.ibd"), write(HAP_IBD, "again.ibd")
    with pytest.raises(InputError, match=r"again\.ibd: the same content as .*one\.ibd\n  Give each file once"):
        load(grch37, one, again, source="hap-ibd", cohort="c", create_samples=True)
    assert nothing_is_left(grch37)
    empty, none = write(EMPTY_BGZF, "1.ibd.gz"), write(EMPTY_BGZF, "2.ibd.gz")
    assert isinstance(load(grch37, one, empty, none, source="hap-ibd", cohort="c", create_samples=True), Outcome)


def test_names_of_haplotypes_are_samples_where_the_cohort_has_them(grch37: Conn, write: Write) -> None:
    path = write(GERMLINE.format(".0", ".1", ".1", ".0"), "x.match")
    load(grch37, path, cohort="people", create_samples=True)
    assert grch37.execute("SELECT phased FROM ibd_run").fetchall() == [(True,)]
    loaded(grch37, "vcf", "haplotypes", called=["A.0", "A.1", "B.1"])
    outcome = load(grch37, path, cohort="haplotypes", dataset="other")
    assert isinstance(outcome, Outcome)
    assert outcome.load.counts["ibd_segment"] == 2
    assert grch37.execute("SELECT phased FROM ibd_run ORDER BY load_id").fetchall() == [(True,), (False,)]


def test_families_are_taken_off_unless_they_are_part_of_samples_names(grch37: Conn) -> None:
    path = DATA / "ibis.made_from_documentation.seg"
    load(grch37, path, DATA / "ibis.made_from_documentation.hbd", cohort="c", create_samples=True)
    assert grch37.execute("SELECT name FROM sample ORDER BY 1").fetchall() == [("A",), ("B",), ("C",)]
    assert len(stored_alone(grch37)) == 1
    loaded(grch37, "vcf", "families", called=["F1:A", "F2:B", "F3:C"])
    outcome = load(grch37, path, cohort="families", dataset="other")
    assert isinstance(outcome, Outcome)
    assert (outcome.load.counts["ibd_segment"], outcome.load.reasons) == (3, {})


def test_files_with_and_without_haplotypes_are_two_loads(grch37: Conn, write: Write) -> None:
    with_them, without = write(GERMLINE.format(".0", ".1", ".1", ".0"), "h.match"), write(GERMLINE.format("", "", "", ""), "d.match")
    with pytest.raises(InputError, match=r"d.match: its segments do not say which haplotypes they join, those of .*h.match do"):
        load(grch37, with_them, without, cohort="c", create_samples=True)
    assert nothing_is_left(grch37)


def test_what_is_searched_is_as_long_as_the_map(grch37: Conn, write: Write) -> None:
    path, map_ = write((DATA / "truffle.made_from_documentation.segments").read_bytes(), "some.segments"), write(MAP, "some.map")
    outcome = load(grch37, path, cohort="c", create_samples=True, genetic_map=[map_])
    assert isinstance(outcome, Outcome)
    assert (outcome.load.counts["ibd_segment"], outcome.load.reasons) == (2, {ibd.NO_MAP: 1})
    assert grch37.execute("SELECT surveyed_cm FROM ibd_run").fetchall() == [(3.0,)]
    assert isinstance(load(grch37, path, cohort="c", create_samples=True, genetic_map=[map_]), AlreadyLoaded)
    other = write(MAP.replace("20 5", "20 6"), "other.map")
    assert isinstance(load(grch37, path, cohort="c", create_samples=True, genetic_map=[other]), Outcome), "another map, other lengths"


def test_what_is_searched_is_the_map_of_the_autosomes_that_have_segments(grch37: Conn, write: Write) -> None:
    """Not of those without, nor of X; what is given goes before."""
    map_ = write("pos chr cM\n1 1 0\n9 1 100\n1 20 0\n9 20 7\n1 22 0\n9 22 11\n1 X 0\n9 X 50\n", "some.map")
    on_20 = write("A\t1\tB\t2\t20\t100\t200\t1.5\nC\t2\tA\t1\tX\t5\t5\t0\n", "20.ibd")
    alone_22 = write("A\t1\tA\t2\t22\t100\t200\t1.5\n", "22.hbd")
    how: dict[str, Any] = {"source": "hap-ibd", "cohort": "c", "create_samples": True, "genetic_map": [map_]}
    for n, (files, said) in enumerate(
        [([on_20], None), ([on_20, alone_22], None), ([on_20], 3_000.0), ([write("C\t2\tA\t1\tX\t5\t5\t0\n", "x.ibd")], None)]
    ):
        assert isinstance(load(grch37, *files, dataset=str(n), surveyed_cm=said, **how), Outcome)
    assert grch37.execute("SELECT surveyed_cm FROM ibd_run ORDER BY load_id").fetchall() == [(7.0,), (18.0,), (3_000.0,), (None,)]


@pytest.mark.parametrize(
    ("text", "options", "error"),
    [
        (HAP_IBD, {}, "it may be of hap-ibd or of refined-ibd\n  Say which tool wrote them: --source hap-ibd|refined-ibd"),
        (
            HAP_IBD,
            {"source": "plink"},
            "unknown source 'plink'\n  Known are: hap-ibd, refined-ibd, germline, germline2, ilash, truffle, ibis; auto",
        ),
        (HAP_IBD, {"source": "refined-ibd"}, "the length is not in cM"),
        (HAP_IBD, {"source": "hap-ibd", "chrom": ["20"]}, "--chrom is given, but files of hap-ibd name their chromosomes"),
        (HAP_IBD, {"source": "hap-ibd", "surveyed_cm": -1.0}, "--surveyed-cm is -1.0, not a length"),
        (HAP_IBD + "A\t1\n", {"source": "hap-ibd", "strict": True}, "some.ibd:3: too few columns: 2 of 8"),
        ("A\t1\tB\t2\t20\t9\t5\t1\n", {"source": "hap-ibd"}, "nothing of it could be loaded: 1 of 1 records rejected for: start after end"),
        (
            "A\tB\t100\t200\t1.5\t22\t2\n",
            {},
            "files of germline2 do not name their chromosome: 1 files, 0 given\n  Give --chrom once for each file",
        ),
        ("A\tB\t100\t200\t1.5\t22\t2\n", {"chrom": ["HLA"]}, "unknown chromosome 'HLA'"),
        (GERMLINE.format("", "", "", "").replace("cM", "MB"), {}, "some.ibd:1: the length is not in cM\n  Give a genetic map"),
        (gzip.compress(HAP_IBD.encode() * 9000)[:-40], {"source": "hap-ibd"}, "the file is cut off: its compressed data end too early"),
        (HAP_IBD.encode() * 50_000 + b"A\0", {"source": "hap-ibd"}, "some.ibd:100001: the line holds a zero byte"),
    ],
)
def test_bad_input_leaves_nothing(grch37: Conn, write: Write, text: str | bytes, options: dict[str, Any], error: str) -> None:
    path = write(text)
    with pytest.raises((InputError, LoaderError, StoreError)) as raised:
        load(grch37, path, **{"cohort": "c", "create_samples": True, **options})
    assert error in str(raised.value)
    assert nothing_is_left(grch37)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_files_of_several_sources_are_several_loads(grch37: Conn, write: Write) -> None:
    with pytest.raises(InputError, match="the files are not of one source"):
        load(grch37, write("A\tB\t100\t200\t1.5\t22\t2\n", "a"), write(GERMLINE.format("", "", "", ""), "b"), cohort="c")


@pytest.mark.parametrize("committed", [0, 1, 2, 5])
def test_a_load_that_was_cut_off_goes_on(
    grch37: Conn, store_url: str, write: Write, monkeypatch: pytest.MonkeyPatch, committed: int
) -> None:
    monkeypatch.setattr(source, "BLOCK", 64)
    monkeypatch.setattr(ibd, "CHUNK_ROWS", 3)
    lines = [f"S{n}\t1\tT{n % 3}\t2\t20\t{n}\t{n if n % 5 else 0}\t1\n" for n in range(1, 41)]
    paths = [write("".join(lines), "a.ibd"), write(EMPTY_BGZF, "b.ibd.gz"), write(HAP_IBD, "c.ibd")]
    options: dict[str, Any] = {"source": "hap-ibd", "cohort": "c", "create_samples": True}
    job, reader = ibd_job(grch37, paths, **options)
    chunks = list(reader(0, 0))
    assert len(chunks) > 5
    with psycopg.connect(store_url, autocommit=True) as died:
        cut_off = begin(died, dataset=job.dataset, kind=job.kind, version=None, files=job.files, options=job.options)
        assert isinstance(cut_off, Load)
        for chunk in chunks[:committed]:
            cut_off.write(0, chunk, lambda rejects: None)
    outcome = load(grch37, *paths, **options)
    assert isinstance(outcome, Outcome)
    assert outcome.load.load_id == cut_off.load_id
    assert outcome.load.counts["records"] == 42
    assert outcome.load.counts["sample_info"] == grch37.execute("SELECT count(*) FROM sample_info").fetchone()[0]  # type: ignore[index]
    assert outcome.load.reasons == {ibd.BACKWARDS: 8}
    assert [row[:2] for row in stored(grch37)][::2] == [(0, n) for n in range(1, 41) if n % 5] + [(2, 1), (2, 2)]
    assert grch37.execute("SELECT count(*) FROM ibd_run").fetchone() == (1,)


def test_a_cut_off_load_of_nothing_goes_on(grch37: Conn, store_url: str, write: Write) -> None:
    path = write(EMPTY_BGZF, "a.ibd.gz")
    job, reader = ibd_job(grch37, [path], source="hap-ibd", cohort="c")
    with psycopg.connect(store_url, autocommit=True) as died:
        cut_off = begin(died, dataset=job.dataset, kind=job.kind, version=None, files=job.files, options=job.options)
        assert isinstance(cut_off, Load)
        cut_off.write(0, next(reader(0, 0)), lambda rejects: None)
    assert isinstance(load(grch37, path, source="hap-ibd", cohort="c"), Outcome)
    assert grch37.execute("SELECT count(*) FROM ibd_run").fetchone() == (1,)


def test_the_command_loads_and_says_so(
    grch37: Conn, store_url: str, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(grch37, "vcf", "kg", called=["A", "B"])
    monkeypatch.setenv("VKG_DATABASE_URL", store_url)
    monkeypatch.setattr(
        sys, "argv", ["vkg", "load", "ibd", str(write(HAP_IBD)), "--source", "hap-ibd", "--callset", "vcf", "--version", "3"]
    )
    with pytest.raises(SystemExit) as ended:
        vkg.main()
    said = capsys.readouterr()
    assert ended.value.code in (0, None), said.err
    assert said.out.startswith("some.ibd 3: 2 records: ")
    assert "rejected: 1 unknown sample" in said.out
    assert "2 of 2 samples are in callsets of cohort kg\n" in said.err
