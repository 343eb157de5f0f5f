"""Loads and releases: written piece by piece, seen as a whole, taken out without a trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from store import release
from store.copy import Reject
from store.errors import StoreError
from store.load import AlreadyLoaded, Load, SourceFile, begin
from store.release import (
    OBSERVATIONS,
    create_release,
    current,
    find_load,
    loads,
    publish,
    purge,
    releases,
    unload,
)
from tests.store.chunks import chunk, key

A, B, C = (20, 100, "A", "G"), (20, 200, "C", "T"), (20, 300, "G", "T")


@pytest.fixture
def db(store_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(store_url, autocommit=True) as connection:
        yield connection


def file(content: str = "a") -> SourceFile:
    return SourceFile(f"/data/{content}.vcf", content * 64, 10, None)


def start(db: psycopg.Connection[Any], content: str = "a", dataset: str = "kg", **options: Any) -> Load:
    load = begin(db, dataset=dataset, kind="variants", version=options.pop("version", None), files=[file(content)], options={}, **options)
    assert isinstance(load, Load)
    return load


def loaded(db: psycopg.Connection[Any], *variants: tuple, content: str = "a", **options: Any) -> Load:
    load = start(db, content, **options)
    load.write(0, chunk(*variants), ignore)
    load.file_done(0)
    load.finish()
    return load


def ignore(rejects: object) -> None:
    """For tests that don't look at rejects."""


def count(db: psycopg.Connection[Any], table: str = "variant_record") -> int:
    return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # type: ignore[index]


def test_a_load_is_visible_when_it_is_finished_and_not_before(db: psycopg.Connection[Any]) -> None:
    load = start(db)
    load.write(0, chunk(A, B), ignore)
    assert current(db).loads == []
    assert [(row.state, row.visible) for row in loads(db)] == [("loading", False)]
    assert load.finish() == current(db).release_id
    assert current(db).loads == [load.load_id]
    (row,) = loads(db)
    assert (row.state, row.visible, row.files) == ("loaded", True, ["/data/a.vcf"])
    assert row.counts == {
        "records": 2, "rejects": 0, "variant": 2, "variant_record": 2, "rsid": 2, "reasons": {}, "skipped": {}, "warnings": {},
    }  # fmt: skip


def test_publishing_tells_those_who_listen(db: psycopg.Connection[Any], store_url: str) -> None:
    with psycopg.connect(store_url, autocommit=True) as other:
        other.execute(f"LISTEN {release.CHANNEL}")
        load = loaded(db, A)
        (notice,) = other.notifies(timeout=5, stop_after=1)
    assert (notice.payload, current(db).loads) == (str(current(db).release_id), [load.load_id])


def test_a_new_version_takes_the_place_of_the_old_one(db: psycopg.Connection[Any]) -> None:
    old = loaded(db, A, version="1")
    other = loaded(db, B, content="b", dataset="other")
    new = loaded(db, A, B, content="c", version="2")
    assert current(db).loads == [other.load_id, new.load_id]
    assert count(db) == 4
    publish(db, old.load_id)
    assert current(db).loads == [old.load_id, other.load_id]


def test_a_held_load_is_complete_and_waits(db: psycopg.Connection[Any]) -> None:
    load = loaded(db, A, hold=True)
    assert current(db).loads == []
    publish(db, load.load_id)
    assert current(db).loads == [load.load_id]
    assert [row.hold for row in loads(db)] == [False]


def test_the_ledger_knows_whether_a_load_that_goes_on_is_held(db: psycopg.Connection[Any], store_url: str) -> None:
    with psycopg.connect(store_url, autocommit=True) as died:
        start(died).write(0, chunk(A), ignore)
    load = start(db, hold=True)
    load.finish()
    assert [(row.hold, row.visible) for row in loads(db)] == [(True, False)]


def test_a_complete_load_is_not_aborted(db: psycopg.Connection[Any]) -> None:
    load = loaded(db, A)
    assert load.abort() is False
    assert (count(db), current(db).loads) == (1, [load.load_id])


def test_finishing_and_unloading_take_their_locks_in_one_order(db: psycopg.Connection[Any], store_url: str) -> None:
    load = start(db)
    load.write(0, chunk(A), ignore)
    with psycopg.connect(store_url) as other, ThreadPoolExecutor(1) as pool:
        # As `unload` does: first the releases, then the load.
        other.execute("LOCK TABLE release IN EXCLUSIVE MODE")
        finishing = pool.submit(load.finish)
        waits = "SELECT count(*) FROM pg_locks WHERE relation = 'release'::regclass AND NOT granted"
        with psycopg.connect(store_url, autocommit=True) as watch:
            while watch.execute(waits).fetchone() == (0,):
                assert not finishing.done()
                time.sleep(0.01)
        assert other.execute("SELECT state FROM load FOR UPDATE").fetchone() == ("loading",)
        other.rollback()
        assert finishing.result() == current(db).release_id


def test_removing_a_load_that_was_cut_off_lets_others_publish(
    db: psycopg.Connection[Any], store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(store_url, autocommit=True) as died:
        cut_off = start(died)
        cut_off.write(0, chunk(A), ignore)
    delete = release._delete_rows

    def publish_meanwhile(conn: psycopg.Connection[Any], load_id: int) -> None:
        delete(conn, load_id)
        with psycopg.connect(store_url, autocommit=True) as other:
            other.execute("SET lock_timeout = '5s'")
            create_release(other, "meanwhile")

    monkeypatch.setattr(release, "_delete_rows", publish_meanwhile)
    unload(db, cut_off.load_id)
    assert current(db).name == "meanwhile"


def test_rows_of_a_load_are_found_without_reading_the_table(db: psycopg.Connection[Any]) -> None:
    columns = "variant_key, load_id, allele, line"
    db.execute(f"INSERT INTO variant_record ({columns}) SELECT n, 1, 1, n FROM generate_series(1, 200000) n")
    db.execute("VACUUM (ANALYZE) variant_record")
    # What a cut-off load left: no VACUUM came after it.
    db.execute(f"INSERT INTO variant_record ({columns}) SELECT n, 2, 1, n FROM generate_series(1, 1000) n")
    (plan,) = db.execute("EXPLAIN (ANALYZE, FORMAT json) DELETE FROM variant_record WHERE load_id = 2").fetchone()[0]  # type: ignore[index]
    (scan,) = plan["Plan"]["Plans"]
    assert (scan["Node Type"], scan["Plans"][0]["Index Name"]) == ("Bitmap Heap Scan", "variant_record_load")
    assert scan["Rows Removed by Index Recheck"] < 50_000


def test_what_has_a_load_is_taken_out_with_it(db: psycopg.Connection[Any]) -> None:
    tables = db.execute(
        """SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attname = 'load_id' AND NOT a.attisdropped"""
    )
    assert {name for (name,) in tables} == {"load", "load_file", *OBSERVATIONS}


def test_the_same_files_again_are_there_already(db: psycopg.Connection[Any]) -> None:
    load = loaded(db, A)
    again = begin(db, dataset="kg", kind="variants", version=None, files=[file()], options={})
    assert again == AlreadyLoaded(load.load_id, "kg", load.version, True)


def test_a_version_has_one_content(db: psycopg.Connection[Any]) -> None:
    loaded(db, A, version="1")
    with pytest.raises(StoreError, match="in the store already, with other content"):
        start(db, "b", version="1")


def test_a_dataset_has_one_kind(db: psycopg.Connection[Any]) -> None:
    loaded(db, A)
    with pytest.raises(StoreError, match="holds variants, not genes"):
        begin(db, dataset="kg", kind="genes", version=None, files=[file("b")], options={})


def test_versions_that_nobody_names_are_days(db: psycopg.Connection[Any]) -> None:
    one, two, three = (loaded(db, A, content=content).version for content in "abc")
    assert [two, three] == [f"{one}.2", f"{one}.3"]


def test_an_aborted_load_leaves_nothing(db: psycopg.Connection[Any]) -> None:
    keep = loaded(db, A)
    load = start(db, "b", dataset="other")
    load.write(0, chunk(A, B), ignore)
    assert count(db, "variant") == 2
    load.abort()
    assert {table: count(db, table) for table in OBSERVATIONS if count(db, table)} == {"variant_record": 1, "rsid": 1}
    assert db.execute("SELECT pos FROM variant").fetchall() == [(100,)]
    assert (count(db, "dataset"), count(db, "load"), count(db, "load_file")) == (1, 1, 1)
    assert current(db).loads == [keep.load_id]


def test_a_load_that_was_cut_off_goes_on(db: psycopg.Connection[Any], store_url: str) -> None:
    with psycopg.connect(store_url, autocommit=True) as died:
        first = start(died)
        first.write(0, chunk(B, A, line=5), ignore)
    second = start(db)
    assert second.load_id == first.load_id
    assert (second.progress[0].end, second.progress[0].done) == (6, False)
    found: list[Reject] = []
    second.write(0, chunk(A, C, line=7), found.extend)
    assert [(r.line, r.reason, r.detail) for r in found] == [(7, "repeated record", "the same variant as line 6 after normalisation")]
    second.file_done(0)
    second.finish()
    assert loads(db)[0].counts | {"reasons": {"repeated record": 1}, "records": 4, "rejects": 1, "variant_record": 3} == loads(db)[0].counts


def test_two_processes_do_not_write_one_load(db: psycopg.Connection[Any], store_url: str) -> None:
    start(db)
    with psycopg.connect(store_url, autocommit=True) as other, pytest.raises(StoreError, match="being loaded by another process"):
        start(other)


def test_records_that_repeat_one_are_rejected_naming_its_line(db: psycopg.Connection[Any]) -> None:
    load, found = start(db), list[Reject]()
    load.write(0, chunk(B, A, B, A, line=10), found.extend)
    load.write(0, chunk(A, C, line=14), found.extend)
    assert [(r.line, r.detail.split(" after")[0]) for r in found] == [
        (12, "the same variant as line 10"),
        (13, "the same variant as line 11"),
        (14, "the same variant as line 11"),
    ]
    assert found[0].row == "20\t200\tC\tT"
    assert (count(db), count(db, "rsid"), count(db, "variant")) == (3, 3, 3)
    assert load.reasons == {"repeated record": 3}


def test_two_variants_of_one_hash_are_never_merged(db: psycopg.Connection[Any]) -> None:
    long, other = (20, 100, "A" * 12, "G"), (20, 100, "C" * 12, "G")
    shared = key(*long)
    found: list[Reject] = []
    load = start(db)
    load.write(0, chunk(long, other, given=[shared, shared]), found.extend)
    load.write(0, chunk(other, given=[shared], line=3), found.extend)
    load.finish()
    again = start(db, "b", dataset="other")
    again.write(0, chunk(other, long, given=[shared, shared], line=4), found.extend)
    assert [(r.line, r.reason) for r in found] == [(2, "key collision"), (3, "key collision"), (4, "key collision"), (5, "key collision")]
    assert db.execute("SELECT ref FROM variant").fetchall() == [("A" * 12,)]


def test_what_the_report_refuses_is_not_written(db: psycopg.Connection[Any]) -> None:
    def refuse(rejects: object) -> None:
        raise ValueError

    load = start(db)
    with pytest.raises(ValueError):
        load.write(0, chunk(A, A), refuse)
    assert count(db) == count(db, "variant") == 0


def test_unloading_hides_at_once_and_rows_go_when_nobody_can_read_them(
    db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = loaded(db, A, B), loaded(db, B, C, content="b", dataset="other")
    unload(db, one.load_id)
    assert current(db).loads == [two.load_id]
    assert purge(db) == []
    assert count(db) == 4
    monkeypatch.setattr(release, "LONGEST_REQUEST", "0 seconds")
    assert purge(db) == [one.load_id]
    assert db.execute("SELECT pos FROM variant ORDER BY 1").fetchall() == [(200,), (300,)]
    assert purge(db) == []
    assert [row.state for row in loads(db)] == ["loaded", "unloaded"]


def test_a_named_release_keeps_its_rows(db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "LONGEST_REQUEST", "0 seconds")
    load = loaded(db, A)
    create_release(db, "paper")
    unload(db, load.load_id)
    assert purge(db) == []
    assert count(db) == 1
    assert [r.loads for r in releases(db) if r.name == "paper"] == [[load.load_id]]


@pytest.mark.parametrize("name", ["", "12", "a b", "a/b"])
def test_names_of_releases_are_plain(db: psycopg.Connection[Any], name: str) -> None:
    with pytest.raises(StoreError, match="not a name"):
        create_release(db, name)


def test_a_release_has_its_name_for_itself(db: psycopg.Connection[Any]) -> None:
    create_release(db, "one")
    with pytest.raises(StoreError, match="there is a release named"):
        create_release(db, "one")


def test_unloading_a_load_that_was_cut_off_removes_it(db: psycopg.Connection[Any], store_url: str) -> None:
    with psycopg.connect(store_url, autocommit=True) as died:
        load = start(died)
        load.write(0, chunk(A), ignore)
    unload(db, load.load_id)
    assert count(db) == count(db, "variant") == count(db, "load") == 0


def test_loads_are_found_by_number_dataset_or_version(db: psycopg.Connection[Any]) -> None:
    one, two = loaded(db, A, version="1"), loaded(db, B, content="b", version="2")
    assert find_load(db, str(one.load_id)).version == "1"
    assert find_load(db, "kg@2").load_id == two.load_id
    with pytest.raises(StoreError, match="2 versions"):
        find_load(db, "kg")
    with pytest.raises(StoreError, match="no load 'x'"):
        find_load(db, "x")


def test_the_files_of_a_load_keep_their_hash_size_and_header(db: psycopg.Connection[Any]) -> None:
    files = [SourceFile("/a", "1" * 64, 1, "##h\n"), SourceFile("/b", "2" * 64, 2, None)]
    begin(db, dataset="kg", kind="variants", version=None, files=files, options={"x": 1})
    found = db.execute("SELECT ordinal, path, sha256, bytes, header, done FROM load_file ORDER BY 1").fetchall()
    assert found == [(0, "/a", "1" * 64, 1, "##h\n", False), (1, "/b", "2" * 64, 2, None, False)]
