"""kill -9 at any moment, of loads, embeddings, the API, PostgreSQL and its processes: what was visible stays visible and is answered as before, nothing is
half visible, and the same command again makes the store what it would have been.

VKG_CRASH_ROUNDS says how many rounds, VKG_CRASH_SEED which ones; with VKG_CRASH_FIRST=17 and VKG_CRASH_ROUNDS=1 a round is done again.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from store import embedded
from store.migrate import pending
from tests import everything
from tests.crashing import PATIENCE, Running, World
from tests.test_upgrade import OLD

ROUNDS = int(os.environ.get("VKG_CRASH_ROUNDS", 8))
FIRST = int(os.environ.get("VKG_CRASH_FIRST", 0))
SEED = os.environ.get("VKG_CRASH_SEED", "1")

HITS = 6

VICTIMS = ("process", "process", "process", "server", "backend", "terminated", "everything", "api")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The server, the store and the API."""
    with World() as found:
        found.serve()
        yield found


@pytest.mark.slow
def test_nothing_is_lost_nor_half_visible(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    failed: list[str] = []
    for number in range(FIRST, FIRST + ROUNDS):
        try:
            _round(world, number)
        except AssertionError as error:
            failed.append(f"round {number} of seed {SEED}: {error}"[:2_000])
    with capsys.disabled():
        print(f"\n{ROUNDS} rounds from {FIRST} on, seed {SEED}: command / what was killed / when")
        for key in sorted(world.states):
            print(f"  {world.states[key]:4} {' / '.join(key)}")
        print("  the API:", ", ".join(f"{n} {what}" for what, n in world.told.most_common()))
    assert not failed, "\n\n".join([f"{len(failed)} rounds failed", *failed])
    if ROUNDS >= 50:
        assert {state for *_, state in world.states} >= {
            "half written",
            "half embedded",
            "before it was published",
            "nothing of it there",
            "done",
        }
        assert {victim for _, victim, _ in world.states} == set(VICTIMS)


def _round(world: World, number: int) -> None:
    """Has a command, what is killed and the moment from the seed and the number."""
    rng = random.Random(f"{SEED} {number}")
    # Those that write in chunks, where most can go wrong, come more often.
    name = rng.choice([*world.commands, *["callset", "annotated", "family", "embed", "embed", "enformer", "clean"]])
    victim = rng.choice(VICTIMS)
    expected = world.undisturbed(name)
    world.again(name)
    world.serve()
    with world.asked() as wrong:
        with world.connect() as watching:
            process = world.run(world.commands[name])
            _wait(watching, process, rng.uniform(0.05, 0.95) * expected["takes"], rng.choice([None, 1, 1, 2, 5, 10, 30]))
            world.kill(victim, process, watching)
        ended = process.wait()
        state = _look(world, name, expected, ended)
        world.states[name, victim, state] += 1
        if victim == "api":
            world.serve()
        _again(world, name, expected)
    world.serve()
    assert not wrong, f"{wrong[0]}\n{world.api.said if world.api else ''}"
    with world.connect() as conn:
        assert world.contents(conn) == expected["contents"]
        assert world._visible(conn) == expected["visible"]
        assert not world.faults(conn)


def _wait(watching: psycopg.Connection[Any], process: Running, moment: float, steps: int | None) -> None:
    """Until the moment has come, or so many chunks of a load or tasks of a model are done, or it has ended."""
    until = time.monotonic() + (moment if steps is None else PATIENCE)
    most = 0
    while time.monotonic() < until and process.poll() is None:
        if steps is not None:
            chunks, tasks = watching.execute(
                """SELECT (SELECT coalesce(sum(f.chunks), 0) FROM load_file f JOIN load l USING (load_id) WHERE l.state = 'loading'),
                (SELECT count(*) FROM embedding_task)"""
            ).fetchone() or (0, 0)
            most = max(most, tasks)
            if chunks >= steps or 0 < tasks <= most - steps + 1:
                return
        else:
            time.sleep(0.001)


def _look(world: World, name: str, expected: dict[str, Any], ended: int) -> str:
    """Sees to it that nothing is lost or half visible. Returns in which state the command was."""
    with world.connect() as conn:
        assert not world.faults(conn)
        now, visible = world.contents(conn), world._visible(conn)
        assert visible in (world.visible, expected["visible"]) or name == "clean"
        for (table, of), rows in world.base.items():
            if of in visible:
                assert now[table, of] == rows, (table, of)
        for (table, of), rows in expected["contents"].items():
            if of in visible:
                assert now[table, of] == rows, (table, of)
        loading = conn.execute(
            "SELECT coalesce(sum(chunks), 0), bool_and(done) FROM load_file JOIN load USING (load_id) WHERE state = 'loading'"
        ).fetchone() or (0, None)
        (tasks,) = conn.execute("SELECT count(*) FROM embedding_task").fetchone() or (0,)
    if loading[1] is not None:
        return "before it was published" if loading[1] else "half written" if loading[0] else "before the first chunk"
    if tasks:
        return "half embedded"
    return "done" if now == expected["contents"] else "nothing of it there"


def _again(world: World, name: str, expected: dict[str, Any]) -> None:
    """Runs the command again till it ends as it would have."""
    process = world.run(world.commands[name])
    code = process.wait()
    if name in ("unload", "name") and code == 2:  # it was done before
        assert "is not in the store" in process.said or "there is a release named" in process.said or "was unloaded" in process.said
        return
    assert code == expected["code"], process.said


@pytest.mark.slow
def test_checks_that_are_made_while_the_store_changes_find_nothing(world: World) -> None:
    world.again("callset")
    checks = 0
    for name in ("callset", "embed", "unload", "family", "ibd", "embed again", "enformer", "clusters"):
        process = world.run(world.commands[name])
        with world.connect() as conn:
            while process.poll() is None:
                assert world.faults(conn) == []
                checks += 1
        assert process.wait() == 0, process.said
    assert checks > 5


@pytest.mark.slow
def test_a_killed_migration_is_gone_on_with(world: World) -> None:
    """Of a store that is made, and of one of the first version: each migration is there whole or not at all."""
    rng = random.Random(SEED)
    takes: dict[bool, float] = {}
    states = set()
    for number in range(8):
        old = number % 2 == 1
        world.again("init")
        if old:
            subprocess.run([embedded.tool("pg_restore"), "--dbname", world.url, "--exit-on-error", "--no-owner", OLD], check=True)
        begun = time.monotonic()
        process = world.run(everything.INIT)
        if old in takes:
            time.sleep(rng.uniform(0, takes[old]))
            process.kill()
        ended = process.wait()
        takes.setdefault(old, time.monotonic() - begun)
        with world.connect() as conn:
            states.add((old, len(pending(conn)), ended == 0))
        again = world.run(everything.INIT)
        assert again.wait() == 0, again.said
        with world.connect() as conn:
            assert not world.faults(conn)
            if old:
                assert conn.execute("SELECT count(*) FROM variant_record WHERE load_id = 2").fetchone() == (18,)
    assert len(states) > 3


@pytest.mark.slow
@pytest.mark.parametrize("how", ["terminated", "backend", "server", "restarted"])
def test_the_api_says_clearly_what_it_cannot_answer_and_goes_on_by_itself(world: World, how: str) -> None:
    """Single connections ended, a process of the server killed, the server killed, and restarted in order, while four clients ask at once."""
    world.again("callset")
    world.serve()
    api, rng = world.api, random.Random(how)
    assert api is not None
    before = world.told["right answer"]
    with ExitStack() as stack:
        wrong = [stack.enter_context(world.asked()) for _ in range(4)]
        for _ in range(HITS):
            time.sleep(rng.uniform(0.1, 0.5))
            if how == "restarted":
                embedded.stop()
            else:
                with world.connect() as watching:
                    world.kill(how, api, watching, of="vkg graph")
            world.connect().close()
    assert not any(wrong), f"{wrong}\n{api.said[-5000:]}"
    world.serve()
    assert world.api is api
    assert api.poll() is None
    assert world.told["right answer"] > before + HITS
