"""`vkg backup` and `vkg restore`: what comes back is what was there, answers and all; what holds something is left alone."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from store import embedded
from store.doctor import examine_deeply
from tests import everything
from tests.command_line import run
from tests.conftest import TEMPLATE, database
from tests.graph.api import Api
from tests.graph.conftest import settings
from tests.store.test_database import serving

QUESTIONS = (
    '{ variant(id: "20-1000226-A-T") { name frequency { alleleCount } carriers(first: 3) { totalCount edges { gt node { name } } } similar(first: 3) { edges { similarity } } } }',
    '{ gene(id: "SIRPA") { start transcripts { nodes { transcriptId } } } ibdShared(sample1: "HG00376", sample2: "HG00381") { totalCm } }',
    "{ store { assembly } sample(id: \"HG00099\") { sex population { name superPopulation { name } } variants(first: 5) { edges { gt node { name } } } } }",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a store with something of every kind."""
    folder = everything.write_files(tmp_path_factory.mktemp("files"))
    with database(_template, TEMPLATE) as url:
        for command in (everything.INIT, *everything.loads(folder).values(), ("release", "create", "kept"), ("unload", "clinvar")):
            done = run(url, *command)
            assert done.code == 0, done.err
        yield url


@pytest.fixture(scope="module")
def dump(whole: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it."""
    file = tmp_path_factory.mktemp("backup") / "store.dump"
    done = run(whole, "backup", str(file))
    assert done.code == 0, done.err
    assert done.out.startswith(f"{file}: {file.stat().st_size:,} bytes")
    return file


def answers(url: str) -> list[object]:
    """What the API answers, of what is visible and of a named release."""
    with Api(settings(url)) as api:
        return [api.data(question, headers=headers) for question in QUESTIONS for headers in ({}, {"Vkg-Release": "kept"})]


def test_a_restored_store_is_what_it_was(whole: str, dump: Path, empty_url: str) -> None:
    assert stat.S_IMODE(dump.stat().st_mode) == 0o600
    assert [path.name for path in dump.parent.iterdir()] == [dump.name]
    done = run(empty_url, "restore", str(dump))
    assert (done.code, done.err) == (0, "")
    assert "restored: release " in done.out
    with psycopg.connect(whole, autocommit=True) as old, psycopg.connect(empty_url, autocommit=True) as new:
        assert everything.contents(new) == everything.contents(old)
        for table in ("load", "load_file", "release", "dataset", "genome", "embedding_model"):
            rows = f"SELECT t::text FROM {table} t ORDER BY 1"
            assert new.execute(rows).fetchall() == old.execute(rows).fetchall()
        assert [f for f in examine_deeply(new).findings if f.where] == []
    assert run(empty_url, "loads").out == run(whole, "loads").out
    assert answers(empty_url) == answers(whole)
    assert run(empty_url, "embed", "--no-index").out.startswith("annotation: 0 variants embedded")


def test_a_restored_store_goes_on_where_it_was(dump: Path, empty_url: str, tmp_path: Path) -> None:
    run(empty_url, "restore", str(dump))
    folder = everything.write_files(tmp_path)
    loads = everything.loads(folder)
    assert "is loaded already" in run(empty_url, *loads["genes"]).out
    assert run(empty_url, *loads["clinvar"]).code == 0
    assert run(empty_url, "release", "create", "kept").code == 2
    with psycopg.connect(empty_url, autocommit=True) as conn:
        assert [f for f in examine_deeply(conn).findings if f.where] == []


def test_another_server_that_knows_none_of_the_roles_restores_it(whole: str, dump: Path) -> None:
    with serving(embedded._binaries()) as folder:
        url = f"postgresql://vkg@/postgres?host={folder}"
        assert run(url, "restore", str(dump)).code == 0
        with psycopg.connect(url, autocommit=True) as conn:
            assert [f for f in examine_deeply(conn).findings if f.where] == []
            assert conn.execute("SELECT pg_has_role('vkg_individual', 'vkg_open', 'USAGE')").fetchone() == (True,)
        assert answers(url) == answers(whole)


def test_the_servers_own_tools_do_the_same(whole: str, tmp_path: Path) -> None:
    """As docs/operations.md tells for containers."""
    file = tmp_path / "backup.dump"
    subprocess.run([embedded.tool("pg_dump"), "--format", "custom", "--file", file, whole], check=True)
    with serving(embedded._binaries()) as folder:
        url = f"postgresql://vkg@/postgres?host={folder}"
        assert run(url, "init", "--assembly", "GRCh37").code == 0
        drop = (
            "--quiet",
            "--command",
            "SET client_min_messages = error",
            "--command",
            "DROP SCHEMA public CASCADE",
            "--command",
            "CREATE SCHEMA public",
        )
        subprocess.run([embedded.tool("psql"), *drop, url], check=True)
        subprocess.run(
            [embedded.tool("pg_restore"), "--dbname", url, "--single-transaction", "--exit-on-error", "--no-owner", file], check=True
        )
        assert run(url, "init").out == "the store is up to date\n"
        with psycopg.connect(url, autocommit=True) as new, psycopg.connect(whole) as old:
            assert everything.contents(new) == everything.contents(old)
            assert [f for f in examine_deeply(new).findings if f.where] == []


def test_what_holds_something_is_left_alone(whole: str, dump: Path, empty_url: str) -> None:
    with psycopg.connect(whole) as conn:
        before = everything.contents(conn)
    done = run(whole, "restore", str(dump))
    assert done.code == 2
    assert "holds something already" in done.err
    with psycopg.connect(whole) as conn:
        assert everything.contents(conn) == before
    for statement in (
        "CREATE TABLE theirs (n) AS SELECT 1",
        "ALTER TABLE theirs RENAME TO mine; TRUNCATE mine; CREATE VIEW theirs AS SELECT 1",
    ):
        with psycopg.connect(empty_url, autocommit=True) as conn:
            conn.execute(statement)
        done = run(empty_url, "restore", str(dump))
        assert done.code == 2
        assert "holds something already: theirs" in done.err
        with psycopg.connect(empty_url) as conn:
            assert conn.execute("SELECT count(*) FROM theirs").fetchone() == (1,)
            assert conn.execute("SELECT to_regclass('load')").fetchone() == (None,)


def test_a_store_with_nothing_loaded_gives_way(dump: Path, store_url: str) -> None:
    run(store_url, "init", "--assembly", "GRCh38")
    assert run(store_url, "restore", str(dump)).code == 0
    assert "GRCh37" in run(store_url, "doctor").out


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such backup"), (b"", "is no backup: "), (b"-- PostgreSQL database dump\n", "is no backup: "), (b"PGDMP" + bytes(100), "is no backup: ")],
)  # fmt: skip
def test_what_is_no_backup_is_refused_before_anything_is_done(tmp_path: Path, empty_url: str, content: bytes | None, said: str) -> None:
    file = tmp_path / "x.dump"
    if content is not None:
        file.write_bytes(content)
    done = run(empty_url, "restore", str(file))
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    with psycopg.connect(empty_url) as conn:
        assert conn.execute("SELECT to_regclass('load')").fetchone() == (None,)


def test_a_broken_backup_leaves_nothing(tmp_path: Path, dump: Path, empty_url: str) -> None:
    file = tmp_path / "short.dump"
    content = dump.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert run(empty_url, "restore", str(file)).code == 2
    assert "there is no store" in run(empty_url, "doctor").out
    assert run(empty_url, "restore", str(dump)).code == 0


def test_a_backup_of_a_newer_version_is_refused(whole: str, tmp_path: Path, empty_url: str) -> None:
    with psycopg.connect(whole, autocommit=True) as conn:
        conn.execute("INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc) VALUES ('x', '9999.future', now())")
        try:
            file = tmp_path / "newer.dump"
            assert run(whole, "backup", str(file)).code == 0
        finally:
            conn.execute("DELETE FROM _yoyo_migration WHERE migration_id = '9999.future'")
    done = run(empty_url, "restore", str(file))
    assert done.code == 2
    assert "newer version of vkg (migration 9999.future)" in done.err
    assert "there is no store" in run(empty_url, "doctor").out


def test_backups_overwrite_nothing_and_leave_nothing_half(whole: str, dump: Path, empty_url: str, tmp_path: Path) -> None:
    for url, file, said in (
        (whole, dump, "is there already"),
        (empty_url, tmp_path / "x", "no store to back up"),
        (whole, tmp_path / "no" / "x", "cannot be written"),
    ):
        done = run(url, "backup", str(file))
        assert done.code == 2
        assert said in done.err
    assert list(tmp_path.iterdir()) == []
    with psycopg.connect(whole) as conn:
        outsider = whole.replace("://vkg@", "://pg_monitor_of_none@")
        assert run(outsider, "backup", str(tmp_path / "x")).code == 2
        assert conn.execute("SELECT 1").fetchone() == (1,)
    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_of_one_moment_while_loads_run(whole: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.vcf.CHUNK_ROWS", 50)
    folder = everything.write_files(tmp_path, 3_000)
    command = everything.loads(folder)["callset"][:-1]
    with database(server, TEMPLATE) as url, database(server, "template0") as other, database(server, "template0") as third:
        assert run(url, *everything.INIT).code == 0
        loaded = threading.Event()

        def load() -> None:
            # In a process of its own: `run` changes what is of the whole process.
            environment = {"VKG_DATABASE_URL": url, "VKG_CHUNK_ROWS": "50", "PATH": "/usr/bin:/bin"}
            subprocess.run(
                [sys.executable, "-m", "vkg", *command, "1"], cwd=everything.ROOT, env=environment, check=True, capture_output=True
            )
            loaded.set()

        thread = threading.Thread(target=load)
        thread.start()
        with psycopg.connect(url, autocommit=True) as conn:
            while not loaded.is_set() and (conn.execute("SELECT coalesce(sum(chunks), 0) FROM load_file").fetchone() or (0,))[0] < 5:
                pass
        assert run(url, "backup", str(tmp_path / "amidst")).code == 0
        thread.join()
        assert loaded.is_set()
        assert run(url, "backup", str(tmp_path / "after")).code == 0
        assert run(other, "restore", str(tmp_path / "amidst")).code == 0
        assert run(third, "restore", str(tmp_path / "after")).code == 0
        with psycopg.connect(other, autocommit=True) as conn:
            (chunks,) = conn.execute("SELECT chunks FROM load_file WHERE NOT done").fetchone() or (0,)
            assert 5 <= chunks < 60
            assert [f for f in examine_deeply(conn).findings if f.where] == []
        done = run(other, *command, "1")
        assert (done.code, "going on with callset 1 after" in done.err) == (0, True)
        with psycopg.connect(other) as one, psycopg.connect(third) as two:
            assert everything.contents(one) == everything.contents(two)
