"""kill -9 of a load at any moment: nothing is half visible, and the same command again completes it."""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from store.release import current, loads
from tests.conftest import ROOT

RECORDS = 6_000
MOMENTS = 20

FORKING = """
import os, sys, vkg
for _ in sys.stdin:
    child = os.fork()
    if not child:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        vkg.main()
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""
"""Runs `vkg` with its arguments in a process of its own for each line it reads, and tells its pid, and how it ended: importing all of it would take
each two seconds, longer than the load."""


class Running:
    """A process of `vkg`, one at a time."""

    def __init__(self, forking: subprocess.Popen[bytes]) -> None:
        assert forking.stdin is not None
        assert forking.stdout is not None
        self._said = forking.stdout
        forking.stdin.write(b"\n")
        self.pid = int(self._said.readline())
        self.code: int | None = None

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.wait() if self.code is not None or select.select([self._said], [], [], 0)[0] else None

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(int(self._said.readline()))
        return self.code

    def kill(self) -> None:
        """Ends it at once, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, 9)


@contextmanager
def forking(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """What runs `vkg ...` in as many processes as one likes, one after the other."""
    command = [sys.executable, "-c", FORKING, *arguments]
    with subprocess.Popen(command, bufsize=0, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process


def everything_in_order(conn: psycopg.Connection[Any]) -> list[tuple]:
    """All rows of the load, less its number and its times."""
    found = []
    for table, columns in (
        ("variant", "variant_key, ref, alt"),
        ("variant_record", "variant_key, ids, qual, filter, info::text, allele, line"),
        ("rsid", "rsid, variant_key"),
        ("population_frequency", "variant_key, ac, an, af, hom, hemi"),
        ("frequency_population", "ordinal, population"),
        ("callset_sample JOIN sample USING (sample_id)", "ordinal, name"),
        ("genotype", "variant_key, phasing, alt, other, missing, haploid, phase, calls"),
    ):
        found += conn.execute(f"SELECT '{table}', {columns} FROM {table} ORDER BY 2, 3").fetchall()
    return found


@pytest.mark.slow
def test_a_killed_load_is_invisible_and_the_next_one_completes_it(
    grch37: psycopg.Connection[Any], store_url: str, write_cohort: Any
) -> None:
    rng = random.Random(11)
    alts = {n: "<DEL>" if n % 50 == 0 else "G,T" if n % 9 == 0 else "G" for n in range(1, RECORDS)}
    calls = [f"{a}{mark}{b}" for a in "01." for mark in "|/" for b in "01."] + ["0", "1", "0/1/1"]
    path = write_cohort("a b", *(f"20 {n} rs{n} A {alt} . PASS . GT {' '.join(rng.sample(calls, 2))}" for n, alt in alts.items()))
    with forking("load", "vcf", str(path), VKG_DATABASE_URL=store_url, VKG_CHUNK_ROWS="50", PATH="/usr/bin:/bin") as vkg:
        started = time.monotonic()
        assert Running(vkg).wait() == 0
        takes = time.monotonic() - started
        whole = everything_in_order(grch37)
        rejects = Path(f"{path}.rejects.tsv").read_bytes()
        (row,) = loads(grch37)
        counts = row.counts
        _forget(grch37)
        while_writing = 0
        for moment in range(MOMENTS):
            process = Running(vkg)
            # Any moment, and in every second run one between the chunks, where most can go wrong.
            if moment % 2:
                time.sleep(takes * rng.uniform(0.05, 1.0))
            else:
                _wait_for_chunks(grch37, rng.randrange(1, RECORDS // 50), process)
            process.kill()
            finished = process.wait() == 0
            half_done = grch37.execute("SELECT count(*) FROM load_file WHERE chunks > 0 AND NOT done").fetchone()
            while_writing += half_done == (1,)
            assert current(grch37).loads == [row.load_id for row in loads(grch37) if row.state == "loaded"]
            # Now and then the next run is killed too.
            if finished or rng.random() < 0.5:
                assert Running(vkg).wait() == 0
                (row,) = loads(grch37)
                assert row.visible
                assert row.counts == counts
                assert everything_in_order(grch37) == whole
                assert Path(f"{path}.rejects.tsv").read_bytes() == rejects
                _forget(grch37)
    assert while_writing > MOMENTS / 4


def _wait_for_chunks(conn: psycopg.Connection[Any], count: int, process: Running) -> None:
    """Until so many chunks are committed, or the process has ended."""
    while process.poll() is None:
        (chunks,) = conn.execute("SELECT coalesce(sum(chunks), 0) FROM load_file").fetchone() or (0,)
        if chunks >= count:
            return
        time.sleep(0.002)


def _forget(conn: psycopg.Connection[Any]) -> None:
    """Empties the store, as far as loads are concerned."""
    tables = "variant, variant_record, rsid, population_frequency, frequency_population, sample, callset_sample, genotype, dataset, load, load_file"
    conn.execute(f"TRUNCATE {tables}")
    conn.execute("DELETE FROM release WHERE release_id > 1")
