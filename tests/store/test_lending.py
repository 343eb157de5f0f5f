"""Connections that are lent statement by statement: whatever becomes of a statement, the next one gets a connection that works."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import psycopg
import pytest

from store.database import open_pool
from store.lending import Lending

SIZE = 3
PID = "SELECT pg_backend_pid()"


@pytest.fixture
async def lending(store_url: str) -> AsyncIterator[Lending]:
    found = Lending(await open_pool(store_url, size=SIZE, timeout_ms=5_000))
    yield found
    await found.close()


async def ask(lending: Lending, sql: str, *values: Any) -> Any:
    return await lending.run(lambda connection: connection.fetchval(sql, *values))


async def test_statements_one_after_the_other_have_one_connection(lending: Lending) -> None:
    assert len({await ask(lending, PID) for _ in range(10)}) == 1


async def test_no_more_than_there_are_run_at_once_and_all_are_served_in_turn(lending: Lending) -> None:
    running, most, order = 0, 0, []

    async def work(connection: Any, n: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await connection.fetchval("SELECT pg_sleep(0.005)")
        running -= 1
        order.append(n)

    await asyncio.gather(*(lending.run(lambda connection, n=n: work(connection, n)) for n in range(20)))
    assert most == SIZE
    assert sorted(order) == [*range(20)]
    assert all(abs(place - n) < 2 * SIZE for place, n in enumerate(order))


async def test_what_fails_or_ends_in_between_takes_no_connection_away(lending: Lending) -> None:
    draws = random.Random(0)

    async def one(n: int) -> int | None:
        if n % 3 == 0:
            with pytest.raises(asyncpg.DivisionByZeroError):
                await ask(lending, "SELECT 1 / $1::int", 0)
            return n
        if n % 3 == 1:
            asked = asyncio.create_task(ask(lending, "SELECT pg_sleep(5)"))
            await asyncio.sleep(draws.random() / 50)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            return n
        return await ask(lending, "SELECT $1::int", n)

    assert await asyncio.wait_for(asyncio.gather(*map(one, range(60))), 30) == [*range(60)]
    assert await asyncio.wait_for(asyncio.gather(*(ask(lending, "SELECT $1::int", n) for n in range(2 * SIZE))), 10) == [*range(2 * SIZE)]


async def test_one_who_waits_and_goes_leaves_the_connection_to_the_next(lending: Lending) -> None:
    busy = [asyncio.create_task(ask(lending, "SELECT pg_sleep(0.3)")) for _ in range(SIZE)]
    await asyncio.sleep(0.05)
    waiting = [asyncio.create_task(ask(lending, "SELECT $1::int", n)) for n in range(6)]
    await asyncio.sleep(0.05)
    for task in waiting[::2]:
        task.cancel()
    assert await asyncio.gather(*waiting[1::2]) == [1, 3, 5]
    await asyncio.gather(*busy)


async def test_a_connection_that_the_server_ended_is_replaced(lending: Lending, store_url: str) -> None:
    for at_work in (False, True):
        before = {await ask(lending, PID), *await asyncio.gather(*(ask(lending, PID + ", pg_sleep(0.05)") for _ in range(SIZE)))}
        asked = asyncio.create_task(ask(lending, "SELECT pg_sleep(5)")) if at_work else None
        await asyncio.sleep(0.1)
        with psycopg.connect(store_url, autocommit=True) as conn:
            for pid in before:
                conn.execute("SELECT pg_terminate_backend(%s)", (pid,))
        if asked is not None:
            with pytest.raises((asyncpg.PostgresError, ConnectionError)):
                await asked
        await asyncio.sleep(0.2)
        after = {await asyncio.wait_for(ask(lending, PID), 10) for _ in range(2 * SIZE)}
        assert not after & before


async def test_closing_waits_for_what_runs(store_url: str) -> None:
    lending = Lending(await open_pool(store_url, size=SIZE, timeout_ms=5_000))
    running = asyncio.create_task(ask(lending, "SELECT 7 FROM pg_sleep(0.2)"))
    await asyncio.sleep(0.05)
    await asyncio.wait_for(lending.close(), 10)
    assert await running == 7
    with pytest.raises(asyncpg.InterfaceError):
        await ask(lending, PID)
