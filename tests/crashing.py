"""A store of its own server, processes of `vkg` that work on it, and ways to kill each at once, for tests/test_crash.py."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg
import pytest

from store import embedded
from store.deep import Finding
from store.doctor import examine_deeply
from tests import everything
from tests.conftest import ROOT, STRATEGY, VOLATILE

FORKING = """
import json, os, sys, vkg
import sklearn.cluster
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        said = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(said, stream)
        sys.argv = ["vkg", *asked["arguments"]]
        try:
            vkg.main()
        except SystemExit as ended:
            sys.stdout.flush()
            os._exit(ended.code or 0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Runs `vkg` in a process of its own for each line it reads, and tells its pid, and how it ended: importing all of it would take each two seconds, and
tidying it up at the end another."""

PATIENCE = 60.0
"""Seconds after which something that should recover is taken not to."""

QUERY = """{ variant(id: "20-1000226-A-T") { name genes { nodes { symbol } } frequency { alleleCount alleleNumber } carriers(first: 3) { nodes { name } } }
    gene(id: "SIRPA") { start transcripts { nodes { transcriptId } } } }"""
"""Asked all the time; the loads that come and go do not change its answer."""


class Running:
    """A process of `vkg`."""

    def __init__(self, forking: subprocess.Popen[bytes], arguments: tuple[str, ...], log: Path) -> None:
        assert forking.stdin is not None
        assert forking.stdout is not None
        self._log, self._told = log, forking.stdout
        forking.stdin.write(json.dumps({"arguments": arguments, "log": str(log)}).encode() + b"\n")
        self.pid = int(self._told.readline())
        self.code: int | None = None

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.wait() if self.code is not None or select.select([self._told], [], [], 0)[0] else None

    def wait(self) -> int:
        """Its exit code, when it has ended. Negative numbers are those of signals."""
        if self.code is None:
            assert select.select([self._told], [], [], PATIENCE)[0], f"it does not end: {self.said}"
            self.code = os.waitstatus_to_exitcode(int(self._told.readline()))
        return self.code

    def kill(self) -> None:
        """Ends it at once, if it still runs, and what it started."""
        if self.poll() is None:
            with suppress(psutil.NoSuchProcess):
                for process in [*psutil.Process(self.pid).children(recursive=True), psutil.Process(self.pid)]:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()

    @property
    def said(self) -> str:
        """What it printed."""
        return self._log.read_text(errors="replace")


class World:
    """A server, a store on it with something of every kind, which `again` makes anew, and an API over it that is asked all the time."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.told: Counter[str] = Counter()
        self.states: Counter[tuple[str, str, str]] = Counter()
        self._undisturbed: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="vkg-crash-", dir=VOLATILE))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o711)
        environment = {"VKG_HOME": str(self.folder / "home"), "VKG_EMBEDDED_MEMORY": "256MB", "VKG_CHUNK_ROWS": "50"}
        self._environment = os.environ | environment
        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("VKG_HOME", environment["VKG_HOME"])
        patch.setenv("VKG_EMBEDDED_MEMORY", environment["VKG_EMBEDDED_MEMORY"])
        self._stack.callback(embedded.stop)
        self._workers = [self._stack.enter_context(self._forking()) for _ in range(2)]
        self.url = embedded.start()
        self._make()
        self.api: Running | None = None
        self._stack.callback(self._end_api)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)

    @contextmanager
    def _forking(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-c", FORKING]
        with subprocess.Popen(
            command, bufsize=0, cwd=ROOT, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            yield process

    def _make(self) -> None:
        """Loads everything, and keeps it as a template; and the files of other versions."""
        first, second = (self.folder / name for name in ("first", "second"))
        for folder, records in ((first, 600), (second, 2_400)):
            folder.mkdir()
            everything.write_files(folder, records)
        lines = everything.gzip.decompress(everything.VCF.read_bytes()).decode().splitlines()
        more = [line.split("\t", 8)[:8] if not line.startswith("##") else [line] for line in lines[:4_000]]
        (first / "more.vcf").write_text("".join("\t".join(line) + "\n" for line in more))
        old = everything.loads(first)
        more_sites = ("load", "vcf", str(first / "more.vcf"), "--dataset", "more", "--version", "1", "--assembly", "GRCh37")
        for command in (everything.INIT, *(old[name] for name in old if name not in ("derived", "clusters")), more_sites):
            done = self.run(command)
            assert done.wait() == 0, done.said
        new = everything.loads(second)
        self.commands = {name: tuple("2" if word == "1" else word for word in command) for name, command in new.items()}
        self.commands["embed again"] = ("embed", "--again", "--no-index")
        self.commands["unload"] = ("unload", "family")
        self.commands["clean"] = ("doctor", "--clean")
        self.commands["name"] = ("release", "create", "named")
        with self.connect() as conn:
            self.base = everything.contents(conn)
            self.visible = self._visible(conn)
        with psycopg.connect(self._other("template1"), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE base TEMPLATE vkg STRATEGY {STRATEGY}")

    def _other(self, database: str) -> str:
        return self.url.replace("/vkg?", f"/{database}?")

    def run(self, command: tuple[str, ...], worker: int = 0) -> Running:
        """Starts `vkg ...`."""
        return Running(self._workers[worker], command, self.folder / f"log{worker}")

    def connect(self) -> psycopg.Connection[Any]:
        """A connection to the store; where the server is gone, it is started again, as any command does."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return psycopg.connect(embedded.start(), autocommit=True)
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "the server does not come back"
                time.sleep(0.02)

    def again(self, name: str) -> None:
        """Makes the store as it was, and as a command expects it."""
        with psycopg.connect(self._other("template1"), autocommit=True) as conn:
            conn.execute("DROP DATABASE IF EXISTS vkg WITH (FORCE)")
            conn.execute(f"CREATE DATABASE vkg TEMPLATE {'template0' if name == 'init' else 'base'} STRATEGY {STRATEGY}")
        if name == "clean":
            with self.connect() as conn:
                conn.execute("""WITH gone AS (UPDATE load SET state = 'unloaded', unloaded_at = now() - interval '1 hour' WHERE load_id IN (
                    SELECT load_id FROM load JOIN dataset USING (dataset_id) WHERE name IN ('more', 'family', 'enformer')) RETURNING load_id)
                    INSERT INTO release (loads, reason) SELECT ARRAY(SELECT x FROM unnest(r.loads) x WHERE x NOT IN (SELECT load_id FROM gone)), 'test'
                    FROM release r ORDER BY release_id DESC LIMIT 1""")  # fmt: skip

    def undisturbed(self, name: str) -> dict[str, Any]:
        """What a command makes of the store when nobody kills anything: the store's contents, what is visible, how long it takes, its exit code."""
        if name not in self._undisturbed:
            self.again(name)
            begun = time.monotonic()
            done = self.run(self.commands[name])
            code = done.wait()
            takes = time.monotonic() - begun
            assert code in (0, 1), done.said
            with self.connect() as conn:
                assert not self.faults(conn)
                self._undisturbed[name] = {"contents": self.contents(conn), "visible": self._visible(conn), "takes": takes, "code": code}
        return self._undisturbed[name]

    def contents(self, conn: psycopg.Connection[Any]) -> everything.Contents:
        """Everything that the store holds; versions that are called after the day are of no day."""
        return {(table, re.sub(r"\d{4}-\d\d-\d\d", "today", of)): found for (table, of), found in everything.contents(conn).items()}

    @staticmethod
    def _visible(conn: psycopg.Connection[Any]) -> set[str]:
        """The versions that the current release shows."""
        rows = conn.execute(
            """SELECT d.name || ' ' || l.version FROM (SELECT loads FROM release ORDER BY release_id DESC LIMIT 1) r, unnest(r.loads) x
            JOIN load l ON l.load_id = x AND l.state = 'loaded' JOIN dataset d USING (dataset_id)"""
        )
        return {re.sub(r"\d{4}-\d\d-\d\d", "today", name) for (name,) in rows}

    @staticmethod
    def faults(conn: psycopg.Connection[Any]) -> list[Finding]:
        """What is wrong with the store: not what waits to be gone on with, or to be removed."""
        return [found for found in examine_deeply(conn).findings if found.where]

    # ---- ways to die

    def kill(self, victim: str, process: Running, watching: psycopg.Connection[Any], of: str = "vkg") -> None:
        """Kills at once what `victim` says, if it is there; `of` tells whose connections. `watching` is one that is open already."""
        if victim == "process":
            process.kill()
        elif victim == "api" and self.api:
            self.api.kill()
        elif victim in ("server", "everything"):
            self._kill_server(whole=victim == "everything")
            if victim == "everything":
                process.kill()
        elif victim in ("backend", "terminated"):
            with suppress(psycopg.OperationalError):
                for (pid,) in watching.execute(
                    """SELECT pid FROM pg_stat_activity WHERE datname = 'vkg' AND application_name = %s AND backend_type = 'client backend'
                    AND pid <> pg_backend_pid()""",
                    (of,),
                ).fetchall():
                    if victim == "terminated":
                        watching.execute("SELECT pg_terminate_backend(%s)", (pid,))
                    else:
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)

    def _kill_server(self, whole: bool) -> None:
        pid = int((self.folder / "home" / f"postgres-{embedded.MAJOR}" / "postmaster.pid").read_text().split()[0])
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(pid)
            for process in [server, *(server.children(recursive=True) if whole else ())]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    # ---- the API

    def _end_api(self) -> None:
        if self.api:
            self.api.kill()
            self.api.wait()

    def serve(self) -> None:
        """Starts the API, unless it runs, and waits till it can answer."""
        if self.api is None or self.api.poll() is not None:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
            self.api = self.run(("serve", "--port", str(self.port)), worker=1)
        deadline = time.monotonic() + PATIENCE
        while self.ask() != self.known:
            assert self.api.poll() is None, self.api.said
            assert time.monotonic() < deadline, f"the API does not recover: {self.ask()}\n{self.api.said[-3000:]}"
            time.sleep(0.05)

    known: Any = None
    """The right answer to QUERY."""

    def ask(self) -> Any:
        """The data of an answer to QUERY; None where the store or the API said that it is not there. Anything else is a fault."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", json.dumps({"query": QUERY}).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                status, answer = response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            status, answer = error.code, json.loads(error.read())
        except OSError:
            self.told["no connection to the API"] += 1
            return None
        if errors := answer.get("errors"):
            assert ({each["extensions"]["code"] for each in errors}, status in (200, 503)) == ({"STORE_UNAVAILABLE"}, True), (
                status,
                errors,
            )
            self.told[f"{status} STORE_UNAVAILABLE"] += 1
            return None
        assert status == 200
        if World.known is None:
            World.known = answer["data"]
            assert answer["data"]["variant"]["carriers"]["nodes"], answer
        self.told["right answer"] += answer["data"] == self.known
        return answer["data"]

    @contextmanager
    def asked(self) -> Iterator[list[Any]]:
        """Asks all the time meanwhile; what was neither the right answer nor a clear error is in the list then."""
        wrong: list[Any] = []
        ended = threading.Event()

        def keep_asking() -> None:
            while not ended.is_set():
                try:
                    if (answer := self.ask()) not in (None, self.known):
                        wrong.append(answer)
                except Exception as error:  # told by the test, not lost in a thread
                    wrong.append(repr(error))
                ended.wait(0.04)

        thread = threading.Thread(target=keep_asking)
        thread.start()
        try:
            yield wrong
        finally:
            ended.set()
            thread.join()
