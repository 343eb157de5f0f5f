"""Loads about people whom other loads name: segments that they share, and where they lie in ancestry space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from store import release
from store.copy import Reject
from store.load import UNKNOWN_SAMPLE
from store.read import compose
from store.sample import MENTIONING, SAMPLE
from tests.store.people import loaded, mention, mentioned, samples, start

Conn = psycopg.Connection[Any]

AB: dict[str, Any] = {"sample_id": "A", "other_id": "B"}
BA: dict[str, Any] = {"sample_id": "B", "other_id": "A"}


@pytest.fixture
def db(store_url: str) -> Iterator[Conn]:
    """A connection, as loads use it."""
    with psycopg.connect(store_url, autocommit=True) as connection:
        yield connection


def visible(db: Conn) -> list[str]:
    """The samples that the current release shows."""
    statement, _ = compose(SAMPLE, "all", columns=["name"], order="name", mode="all")
    rows = psycopg.RawCursor(db).execute(statement.text, statement.bind({"loads": release.current(db).loads}))
    return [row[2] for row in rows]


def test_each_segment_is_stored_as_either_person_sees_it(db: Conn) -> None:
    loaded(db, "vcf", called=["B", "A"])
    mentioned(db, "ibd", mention(AB | {"haplotype": 1, "other_haplotype": 2, "end_pos": 1_004}, BA | {"haplotype": 1, "end_pos": 1_000}))
    found = db.execute(
        """SELECT s.name, o.name, line, haplotype, other_haplotype, length_class FROM ibd_segment t
        JOIN sample s ON s.sample_id = t.sample_id JOIN sample o ON o.sample_id = t.other_id ORDER BY line, 1"""
    )
    assert found.fetchall() == [("A", "B", 1, 1, 2, 3), ("B", "A", 1, 2, 1, 3), ("A", "B", 2, None, 1, 0), ("B", "A", 2, 1, None, 0)]


def test_rows_about_samples_that_the_cohort_does_not_have_are_rejected_by_line_and_name(db: Conn) -> None:
    loaded(db, "vcf", called=["A", "B"])
    loaded(db, "strangers", "others", called=["X"])
    found: list[Reject] = []
    load = start(db, "ibd", kind="ibd")
    of_x, of_y = {"sample_id": "X"}, {"other_id": "Y"}
    load.write(0, mention(AB, AB | of_y, AB | of_x | of_y, BA, hbd=[of_x, {"sample_id": "A"}]), found.extend)
    load.write(0, mention(places=[of_x, {"sample_id": "B"}], line=7), found.extend)
    assert [(r.line, r.reason, r.row) for r in found] == [
        (line, UNKNOWN_SAMPLE, row)
        for line, row in (
            (2, "A\tY\t20\t1000\t2000\t3.0"),
            (3, "X\tY\t20\t1000\t2000\t3.0"),
            (5, "X\t20\t1000\t2000\t3.0"),
            (7, "X\t[0.5]"),
        )
    ]
    assert found[0].detail == "Y is not in cohort kg; --create-samples adds those that are not"
    load.finish()
    assert load.counts == {"records": 8, "rejects": 4, "sample_info": 2, "ibd_segment": 2, "hbd_segment": 1, "ancestry": 1}
    assert samples(db) == [("kg", "A"), ("kg", "B"), ("others", "X")]


def test_samples_are_added_where_that_is_asked_for_and_visible_with_the_load(db: Conn) -> None:
    loaded(db, "vcf", called=["A"])
    ibd = mentioned(db, "ibd", mention(AB, hbd=[{"sample_id": "C"}]), create_samples=True)
    mentioned(db, "held", mention(places=[{"sample_id": "D"}]), create_samples=True, hold=True)
    assert samples(db) == [("kg", name) for name in "ABCD"]
    assert visible(db) == ["A", "B", "C"]
    assert db.execute("SELECT count(*) FROM sample_info WHERE load_id = %s", (ibd,)).fetchone() == (3,)
    release.unload(db, ibd)
    assert visible(db) == ["A"]


def test_a_name_that_only_rejected_rows_had_makes_no_sample(db: Conn) -> None:
    """Readers keep the names of a whole block in one dictionary."""
    load = start(db, "ibd", kind="ibd", create_samples=True)
    chunk = mention(AB)
    names = pa.array(["A", "B", "REJECTED"])
    for column, place in (("sample_id", 0), ("other_id", 1)):
        rows = chunk.tables["ibd_segment"]
        said = pa.DictionaryArray.from_arrays(pa.array([place], pa.int32()), names)
        chunk.tables["ibd_segment"] = rows.set_column(rows.schema.get_field_index(column), column, said)
    load.write(0, chunk, lambda rejects: None)
    assert samples(db) == [("kg", "A"), ("kg", "B")]


def test_a_load_that_goes_on_counts_its_samples_once(db: Conn, store_url: str) -> None:
    loaded(db, "vcf", called=["A", "B", "C"])
    with psycopg.connect(store_url, autocommit=True) as died:
        start(died, "ibd", kind="ibd").write(0, mention(AB), lambda rejects: None)
    load = start(db, "ibd", kind="ibd")
    load.write(0, mention(AB, BA | {"other_id": "C"}, line=2), lambda rejects: None)
    assert (load.counts["sample_info"], load.counts["ibd_segment"]) == (3, 3)


@pytest.mark.parametrize("table", MENTIONING)
def test_samples_that_only_such_a_load_names_go_with_it(db: Conn, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "LONGEST_REQUEST", "0 seconds")
    loaded(db, "vcf", called=["A"])
    said = {"ibd_segment": mention(AB), "hbd_segment": mention(hbd=[{"sample_id": "B"}]), "ancestry": mention(places=[{"sample_id": "B"}])}
    load = mentioned(db, "about", said[table], create_samples=True)
    assert samples(db) == [("kg", "A"), ("kg", "B")]
    release.unload(db, load)
    assert samples(db) == [("kg", "A"), ("kg", "B")]
    assert release.purge(db) == [load]
    assert samples(db) == [("kg", "A")]
    assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
