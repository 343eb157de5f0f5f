"""Connections: one message for each thing that can be wrong, no password in any, and drivers that agree."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import asyncpg
import orjson
import psycopg
import pytest

from store import database, embedded, migrate
from store.errors import NotInitialised, ServerError, StoreError
from tests.conftest import VOLATILE

PASSWORD = "p@ss:w/rd%?#"


@contextlib.contextmanager
def serving(binaries: Path, *initdb: str) -> Iterator[str]:
    """Run some PostgreSQL's executables as a server of its own, and yield the folder of its socket."""
    account = embedded._server_account()
    folder = Path(tempfile.mkdtemp(prefix="vkg-other-", dir=VOLATILE))
    if account:
        os.chown(folder, account.uid, account.gid)
    data = folder / "data"

    def run(command: str, *arguments: str | Path) -> None:
        done = embedded._run([binaries / command, "-D", data, *arguments], account, stdout=log, stderr=log)
        assert done.returncode == 0, (folder / "log").read_text()

    with open(folder / "log", "w") as log:
        run("initdb", "-U", "vkg", "--encoding=UTF8", "--locale=C", "--no-sync", *(initdb or ["--auth=trust"]))
        run("pg_ctl", "start", "-w", "-s", "-o", f"-k {folder} -c listen_addresses= -c fsync=off")
        try:
            yield str(folder)
        finally:
            run("pg_ctl", "stop", "-w", "-s", "-m", "immediate")
            shutil.rmtree(folder)


@pytest.fixture
def locked_url() -> Iterator[str]:
    """URL of a server that asks for a password with every character that means something in a URL."""
    with tempfile.NamedTemporaryFile("w", dir="/tmp") as file:
        file.write(PASSWORD)
        file.flush()
        os.chmod(file.name, 0o644)
        with serving(embedded._binaries(), "--auth=scram-sha-256", f"--pwfile={file.name}") as folder:
            yield f"postgresql://vkg:{quote(PASSWORD, safe='')}@/postgres?host={folder}"


def refusal(url: str) -> str:
    with pytest.raises(ServerError) as refused:
        database.connect(url)
    return str(refused.value)


# ---- where the store is


def test_the_url_of_the_environment_comes_before_the_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VKG_DATABASE_URL", "postgresql://somewhere/else")
    assert database.database_url() == "postgresql://somewhere/else"


def test_a_url_may_come_from_a_file_as_secrets_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "url"
    monkeypatch.setenv("VKG_DATABASE_URL_FILE", str(file))
    with pytest.raises(ServerError, match=r"cannot be read from .*/url: No such file(.|\n)*VKG_DATABASE_URL_FILE"):
        database.database_url()
    file.write_text("postgresql://some:secret@where/else\n")
    assert database.database_url() == "postgresql://some:secret@where/else"
    file.write_bytes(b"\xff")
    with pytest.raises(ServerError, match="it is not text"):
        database.database_url()
    monkeypatch.setenv("VKG_DATABASE_URL", "postgresql://nearer")
    assert database.database_url() == "postgresql://nearer"


def test_without_one_the_embedded_server_is_started(server: str) -> None:
    assert database.database_url() == server
    with database.connect() as connection:
        assert connection.execute("SELECT current_setting('application_name')").fetchone() == ("vkg",)


# ---- URLs and connections that fail


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://user:{}@host/db", "does not start with postgresql://"),
        ("{}", "does not start with postgresql://"),
        ("host=localhost password={}", "does not start with postgresql://"),
        ("postgresql://user:%{}@host/db", "cannot be read"),
        ("postgresql://user:x@{}@host/db", "cannot be read"),
        ("postgresql://user:{}/x@host/db", "cannot be read"),
        ("postgresql://user:1/{}@host/db", "cannot be read"),
        ("postgresql://user:{}@host/db?unknown=1", "cannot be read"),
        ("postgresql://user:{}@no-such-host.invalid/db", "user@no-such-host.invalid/db: the host's name is unknown"),
        ("postgresql://user:{}@127.0.0.1:1/db", "user@127.0.0.1:1/db: no server listens there"),
        ("postgresql://user:{}@/db?host=/nowhere", "user@/db?host=/nowhere: no server listens there"),
    ],
)
async def test_a_wrong_url_is_one_message_without_the_password(url: str, said: str) -> None:
    url = url.format("swordfish")
    message = refusal(url)
    assert said in message
    assert "swordfish" not in message
    with pytest.raises(ServerError) as refused:
        await database.open_pool(url, size=1, timeout_ms=1000)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("/postgres?", "/absent?"), "it has no such database"),
        (("://vkg:", "://nobody:"), "it does not accept this user and password"),
        ((quote(PASSWORD, safe=""), "swordfish"), "it does not accept this user and password"),
        ((":" + quote(PASSWORD, safe=""), ""), "it does not accept this user and password"),
    ],
)
def test_what_a_server_refuses_is_one_message(locked_url: str, change: tuple[str, str], said: str) -> None:
    message = refusal(locked_url.replace(*change))
    assert said in message
    assert "VKG_DATABASE_URL" in message
    assert PASSWORD not in message
    assert "swordfish" not in message


def test_an_unknown_user_of_a_server_without_passwords_is_named(server: str) -> None:
    assert "it knows no such user" in refusal(server.replace("://vkg@", "://stranger@"))


async def test_both_drivers_take_the_password_from_the_environment(locked_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docker-compose.yml gives it, so that it may hold characters that a URL has to escape."""
    url = locked_url.replace(":" + quote(PASSWORD, safe=""), "")
    assert url != locked_url
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with database.connect(url) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("vkg",)
    pool = await database.open_pool(url, size=1, timeout_ms=1000)
    assert await pool.fetchval("SELECT current_user") == "vkg"
    await pool.close()


async def test_both_drivers_read_a_url_alike(locked_url: str) -> None:
    url = locked_url + "&connect_timeout=3&keepalives_idle=60&sslmode=prefer"
    with database.connect(url) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("vkg",)
    pool = await database.open_pool(url, size=1, timeout_ms=1000)
    assert await pool.fetchval("SELECT current_user") == "vkg"
    await pool.close()


def test_a_redacted_url_shows_all_but_the_password() -> None:
    url = "postgresql://me:secret@db.example.org:5433/store?sslpassword=hidden"
    assert database.redact(url) == "postgresql://me@db.example.org:5433/store"
    assert database.redact("postgresql://me:secret@/store?host=/run/x") == "postgresql://me@/store?host=/run/x"


# ---- servers the store cannot live on


def test_the_embedded_server_will_do(server: str) -> None:
    with database.connect(server) as connection:
        database.check_server(connection)


async def test_postgresql_16_will_do() -> None:
    binaries = embedded._binaries().parent.parent / "pginstall" / "bin"
    if not binaries.exists():
        pytest.skip("the package brings no PostgreSQL 16")
    with serving(binaries) as folder:
        url = f"postgresql://vkg@/postgres?host={folder}"
        assert migrate.migrate(url)
        pool = await database.open_pool(url, size=1, timeout_ms=1000)
        assert await pool.fetchval("SELECT current_user") == "vkg_open"
        await pool.close()


def test_an_old_server_is_refused() -> None:
    found = sorted(Path("/usr/lib/postgresql").glob("1[0-5]/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL older than 16 is installed")
    with serving(found[0].parent) as folder, pytest.raises(ServerError) as refused:
        migrate.migrate(f"postgresql://vkg@/postgres?host={folder}")
    assert f"The server is PostgreSQL {found[0].parts[-3]}; the store needs 16 or newer." in str(refused.value)


def test_a_server_without_pgvector_is_refused() -> None:
    package = embedded._binaries().parent.parent
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        no_vector = shutil.ignore_patterns("vector*", "include", "*.a")
        for part in (package / "pginstall18", package.with_name(package.name + ".libs")):
            shutil.copytree(part, folder / part.relative_to(package.parent), ignore=no_vector)
        with (
            serving(Path(folder) / package.name / "pginstall18" / "bin") as sockets,
            pytest.raises(ServerError) as refused,
        ):
            migrate.migrate(f"postgresql://vkg@/postgres?host={sockets}")
    assert "The server lacks the extension pgvector; the store needs 0.8 or newer." in str(refused.value)
    assert "apt install postgresql-18-pgvector" in str(refused.value)


def test_an_old_pgvector_in_the_database_is_refused(empty_url: str) -> None:
    with database.connect(empty_url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
        with pytest.raises(ServerError, match=r"has pgvector 0\.7\.4(.|\n)*ALTER EXTENSION vector UPDATE"):
            database.check_server(connection)


@pytest.mark.parametrize(
    ("major", "available", "installed", "said"),
    [
        (16, "0.8.0", None, None),
        (19, "0.10.1", "0.8.0", None),
        (18, None, "0.8.2", None),
        (15, "0.8.0", "0.8.0", "PostgreSQL 15"),
        (17, None, None, "apt install postgresql-17-pgvector"),
        (17, "0.7.4", None, "Upgrade pgvector"),
        (17, "0.7.4", "0.7.4", "Upgrade pgvector"),
        (17, "0.8.1", "0.7.4", "ALTER EXTENSION vector UPDATE"),
    ],
)
def test_versions_are_judged(major: int, available: str | None, installed: str | None, said: str | None) -> None:
    problem = database._server_problem(major, available, installed)
    assert (problem is None) == (said is None)
    assert (said or "") in str(problem)


# ---- the pool


async def test_the_pool_reads_only_as_the_open_role_within_a_time(store_url: str) -> None:
    pool = await database.open_pool(store_url, size=2, timeout_ms=200)
    settings = ("role", "transaction_read_only", "plan_cache_mode", "statement_timeout", "jit", "application_name")
    row = await pool.fetchrow("SELECT current_user, " + ", ".join(f"current_setting('{name}')" for name in settings))
    assert tuple(row) == ("vkg_open", "vkg_open", "on", "force_generic_plan", "200ms", "off", "vkg graph")
    with pytest.raises(ServerError, match="takes no writes here"), database.wrap_errors():
        await pool.execute("CREATE TABLE nonsense ()")
    with pytest.raises(StoreError, match=r"stopped: .* due to statement timeout"), database.wrap_errors():
        await pool.execute("SELECT pg_sleep(5)")
    await pool.close()


async def test_nothing_is_sent_between_two_requests(store_url: str) -> None:
    pool = await database.open_pool(store_url, size=1, timeout_ms=1000)
    sent: list[str] = []
    async with pool.acquire() as connection:
        connection.add_query_logger(lambda record: sent.append(record.query))
    for _ in range(2):
        async with pool.acquire() as connection:
            await connection.fetchval("SELECT 1")
    assert sent == ["SELECT 1", "SELECT 1"]
    await pool.close()


async def test_json_keeps_the_digits_it_was_stored_with(store_url: str) -> None:
    text = '{"AF": 0.10, "DP": 12345678901234567890, "é": [1e-300, null]}'
    pool = await database.open_pool(store_url, size=1, timeout_ms=1000)
    plain, binary = await pool.fetchrow("SELECT $1::json, $2::jsonb", text, text.encode())
    assert orjson.dumps(plain) == text.encode()
    assert json.loads(orjson.dumps(binary)) == json.loads(text)
    assert b'"AF": 0.10' in orjson.dumps(binary)
    assert await pool.fetchrow("SELECT NULL::json, NULL::jsonb") == (None, None)
    await pool.close()


async def test_a_role_that_may_not_be_assumed_is_not(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with psycopg.connect(store_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE outsider LOGIN")
    try:
        pool = await database.open_pool(store_url.replace("://vkg@", "://outsider@"), size=1, timeout_ms=1000)
        assert await pool.fetchval("SELECT current_user") == "outsider"
        assert "GRANT vkg_open TO outsider" in caplog.text
        await pool.close()
    finally:
        with psycopg.connect(store_url, autocommit=True) as connection:
            connection.execute("DROP ROLE outsider")


# ---- errors of either driver


def raising(state: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'it says so' USING ERRCODE = '{state}'; END $$"


@pytest.mark.parametrize(
    ("statement", "kind", "said"),
    [
        ("SELECT * FROM nowhere", NotInitialised, "vkg init"),
        ("SET statement_timeout = 1; SELECT pg_sleep(5)", StoreError, "due to statement timeout"),
        ("BEGIN READ ONLY; CREATE TABLE x ()", ServerError, "takes no writes here"),
        ("SET ROLE pg_monitor; CREATE TABLE x ()", StoreError, "lacks a right: permission denied"),
        (raising("53100"), ServerError, "disk of the PostgreSQL server is full: it says so"),
        (raising("53200"), ServerError, "ran out of memory: it says so"),
        (raising("53300"), ServerError, "max_connections"),
        (raising("40P01"), StoreError, "Run it again"),
        (raising("57P01"), ServerError, "stopping or starting"),
        (raising("08006"), ServerError, "connection to the PostgreSQL server was lost"),
        (raising("XX001"), ServerError, "damaged data"),
        (raising("22012"), StoreError, "PostgreSQL refused: it says so (SQLSTATE 22012)"),
        (raising("P0042"), StoreError, "PostgreSQL refused: it says so (SQLSTATE P0042)"),
    ],
)
async def test_errors_of_both_drivers_become_the_same_store_error(
    empty_url: str, statement: str, kind: type[StoreError], said: str
) -> None:
    with psycopg.connect(empty_url, autocommit=True) as one, pytest.raises(kind) as sync, database.wrap_errors():
        one.execute(statement)
    other = await asyncpg.connect(empty_url)
    with pytest.raises(kind) as asynchronous, database.wrap_errors():
        await other.execute(statement)
    await other.close()
    assert said in str(sync.value)
    assert str(sync.value) == str(asynchronous.value)
    assert isinstance(sync.value.__cause__, psycopg.Error)
    assert isinstance(asynchronous.value.__cause__, asyncpg.PostgresError)


async def test_a_lost_connection_is_named(empty_url: str) -> None:
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    with psycopg.connect(empty_url, autocommit=True) as killer, psycopg.connect(empty_url) as connection:
        other = await asyncpg.connect(empty_url)
        killer.execute(kill, [killer.info.backend_pid])
        with pytest.raises(ServerError), database.wrap_errors():
            connection.execute("SELECT 1")
        with pytest.raises(ServerError, match="was lost"), database.wrap_errors():
            connection.execute("SELECT 1")
        with pytest.raises(ServerError), database.wrap_errors():
            await other.execute("SELECT 1")


def test_other_errors_pass_unchanged() -> None:
    for error in (StoreError("ours"), ValueError("theirs"), FileNotFoundError("a file")):
        with pytest.raises(type(error)) as passed, database.wrap_errors():
            raise error
        assert passed.value is error


# ---- migrations


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    (tmp_path / "0001.first.sql").write_text(
        "-- First.\nCREATE TABLE first (n int);\nCOMMENT ON TABLE first IS 'It; has 100% of :what it needs.';\n"
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;\nINSERT INTO first SELECT one();\n"
    )
    (tmp_path / "0002.second.sql").write_text("-- depends: 0001.first\nALTER TABLE first ADD m int;\n")
    return tmp_path


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def test_migrations_are_applied_once_in_order(empty_url: str, migrations: Path) -> None:
    with database.connect(empty_url, autocommit=True) as connection:
        assert migrate.pending(connection, str(migrations)) == ["0001.first", "0002.second"]
        assert migrate.migrate(empty_url, str(migrations)) == ["0001.first", "0002.second"]
        assert migrate.pending(connection, str(migrations)) == []
        assert migrate.migrate(empty_url, str(migrations)) == []
        assert connection.execute("SELECT n, m FROM first").fetchall() == [(1, None)]


def test_the_projects_own_migrations_are_found_and_complete(store_url: str, empty_url: str) -> None:
    files = sorted(path.stem for path in Path(migrate.__file__).with_name("migrations").glob("*.sql"))
    with database.connect(store_url) as connection:
        assert migrate.pending(connection) == []
    with database.connect(empty_url) as connection:
        assert migrate.pending(connection) == files != []


def test_two_that_migrate_at_once_apply_everything_once(empty_url: str) -> None:
    applied: list[list[str]] = []
    threads = [threading.Thread(target=lambda: applied.append(migrate.migrate(empty_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(applied) == 4
    assert sorted(map(bool, applied)) == [False, False, False, True]


def test_a_migration_that_fails_is_named_and_leaves_nothing(empty_url: str, migrations: Path) -> None:
    (migrations / "0002.second.sql").write_text("CREATE TABLE half ();\nSELECT 1 / 0;\n")
    with pytest.raises(StoreError, match=r"Migration 0002\.second failed and was undone: division by zero"):
        migrate.migrate(empty_url, str(migrations))
    assert "first" in tables(empty_url)
    assert "half" not in tables(empty_url)
    (migrations / "0002.second.sql").write_text("CREATE TABLE half ();\n")
    assert migrate.migrate(empty_url, str(migrations)) == ["0002.second"]


def test_a_lock_left_by_a_killed_process_holds_nobody_up(empty_url: str, migrations: Path) -> None:
    (migrations / "0002.second.sql").rename(migrations / "later")
    migrate.migrate(empty_url, str(migrations))
    with psycopg.connect(empty_url) as connection:
        connection.execute("INSERT INTO yoyo_lock (locked, pid) VALUES (1, 1)")
    (migrations / "later").rename(migrations / "0002.second.sql")
    assert migrate.migrate(empty_url, str(migrations)) == ["0002.second"]


def test_a_store_of_a_newer_version_is_refused(empty_url: str, migrations: Path) -> None:
    migrate.migrate(empty_url, str(migrations))
    (migrations / "0002.second.sql").unlink()
    with pytest.raises(NotInitialised, match=r"newer version of vkg \(migration 0002\.second\)"):
        migrate.migrate(empty_url, str(migrations))


def test_migrating_is_quiet(empty_url: str, migrations: Path, capfd: pytest.CaptureFixture[str]) -> None:
    migrate.migrate(empty_url, str(migrations))
    assert capfd.readouterr() == ("", "")


def test_any_name_of_a_database_and_any_form_of_url_migrates(server: str, migrations: Path) -> None:
    name = "Génome, 38 & more"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        folder = server.split("host=")[1]
        url = f"postgres:///{quote(name)}?user=vkg&host={folder}"
        assert migrate.migrate(url, str(migrations)) == ["0001.first", "0002.second"]
        connection.execute(f'DROP DATABASE "{name}"')
