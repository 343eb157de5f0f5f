"""Loads that add variants at the same time: none waits for ever, none fails, and each variant is there once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from store.copy import Reject, prepare
from store.load import Load, SourceFile, begin
from store.release import IDENTITY_LOCK
from tests.store.chunks import chunk

Conn = psycopg.Connection[Any]
Report = Callable[[Sequence[Reject]], None]


def start(conn: Conn, name: str) -> Load:
    load = begin(conn, dataset=name, kind="variants", version="1", files=[SourceFile(name, name, 1)], options={})
    assert isinstance(load, Load)
    return load


def some(*positions: int) -> Any:
    return chunk(*((20, pos, "A", "G") for pos in positions), rsid=False)


def nothing(rejects: Sequence[Reject]) -> None:
    assert not rejects


@pytest.fixture
def connect(store_url: str) -> Any:
    opened: list[Conn] = []

    def open_one() -> Conn:
        opened.append(psycopg.connect(store_url, autocommit=True))
        opened[-1].execute("SET statement_timeout = '20s'")
        return opened[-1]

    yield open_one
    for conn in opened:
        conn.close()


def test_a_load_waits_for_the_chunk_of_one_that_copies_straight_in(connect: Callable[[], Conn]) -> None:
    """It would find the same keys, which are not committed, to be none."""
    one, two = start(connect(), "one"), start(connect(), "two")
    inside, go_on = threading.Event(), threading.Event()

    def pause(rejects: Sequence[Reject]) -> None:
        inside.set()
        assert go_on.wait(20)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(one.write, 0, some(1, 2, 3), pause)
        assert inside.wait(20)
        second = pool.submit(two.write, 0, some(2, 3, 4), nothing)
        with connect() as watcher:
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint = %s AND NOT granted"
            while watcher.execute(waiting, (IDENTITY_LOCK,)).fetchone() != (1,):
                assert not second.done()
        go_on.set()
        first.result(20)
        second.result(20)
        assert (one.counts["variant"], two.counts["variant"]) == (3, 1)
        assert one.conn.execute("SELECT array_agg(pos ORDER BY pos) FROM variant").fetchone() == ([1, 2, 3, 4],)


def test_loads_that_meet_do_not_wait_for_each_other_unless_keys_are_the_same(connect: Callable[[], Conn]) -> None:
    load, other = start(connect(), "load"), connect()
    with other.transaction():
        other.execute("SELECT pg_advisory_xact_lock_shared(%s, 0)", (IDENTITY_LOCK,))
        load.write(0, some(1, 2), nothing)
    assert load.counts["variant"] == 2


def test_many_loads_of_the_same_variants_at_once(connect: Callable[[], Conn]) -> None:
    """Each in an order of its own, in chunks that overlap and chunks that don't."""
    chunks = [[some(*range(begin, begin + 40)) for begin in range(1, 2_000, 40)] for _ in range(4)]
    chunks[1].reverse()
    chunks[2] = [some(*range(begin, begin + 100)[::-1]) for begin in range(1, 2_000, 100)]
    chunks[3] = [some(*range(begin, 2_001, 10)) for begin in range(1, 11)]
    loads = [start(connect(), f"load{n}") for n in range(len(chunks))]

    def write(load: Load, own: Sequence[Any]) -> None:
        for each in own:
            load.write(0, each, nothing)

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(write, load, own) for load, own in zip(loads, chunks, strict=True)]:
            done.result(60)
    assert sum(load.counts["variant"] for load in loads) == 2_000
    assert [load.counts["variant_record"] for load in loads] == [2_000] * 4
    assert connect().execute("SELECT count(*), min(pos), max(pos) FROM variant").fetchone() == (2_000, 1, 2_000)


def test_rows_encoded_beforehand_are_those_that_were_not_rejected(connect: Callable[[], Conn]) -> None:
    load = start(connect(), "load")
    rejects: list[Reject] = []
    for positions in ((1, 2), (2, 3), (4, 4, 5), (6, 7)):
        chunk = prepare(some(*positions), load.load_id)
        assert chunk.encoded.keys() == {"variant", "variant_record"}
        load.write(0, chunk, rejects.extend)
    assert len(rejects) == 2
    for table in ("variant", "variant_record JOIN variant USING (variant_key)"):
        assert load.conn.execute(f"SELECT array_agg(pos ORDER BY pos) FROM {table}").fetchone() == ([1, 2, 3, 4, 5, 6, 7],)
    assert load.conn.execute("SELECT DISTINCT load_id FROM variant_record").fetchall() == [(load.load_id,)]
