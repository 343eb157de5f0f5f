"""The API beside PostGraphile 5, graphql-core and asyncpg alone: the same questions to the same database in one run.

    python -m bench.peers [--variants N] [--url URL] [--seconds S] [--only TEXT] [--json]

Servers are processes of their own on loopback, one each (`vkg serve`; the same without plans; PostGraphile over an API schema of views, see
bench/postgraphile/), with as many connections to the database; the client keeps its connections and decodes nothing (bench/client.py). asyncpg runs in the
client, and fetches the rows behind each answer by their keys: what nobody who asks this database from Python can beat.

Before anything is timed, every answer is compared: the API and PostGraphile have to say the same (peers_asked.facts), else nothing is measured and the exit
code is 1. Then all take turns of a fraction of a second, at 1 and at 16 clients, so that a busy machine is busy for all; and `vkg serve` and PostGraphile once more
with two processes each.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field

import asyncpg
import uvloop

from bench.client import Ask, Client, ask_for, post
from bench.peers_asked import Question, Spot, questions
from bench.peers_store import add_peers
from bench.server import synthetic_store
from bench.servers import POOL, Server, has_workers, postgraphile, reference, seconds_of, serving
from store.database import open_pool

CLIENTS = (1, 16)
TURNS = 4
"""Into so many turns the seconds of a server are cut."""

WARMING = 0.7
"""Seconds that are not counted, before the first turn."""

NAMES = PLAIN, PLANNED, REFERENCE, PEER = "asyncpg", "vkg serve", "graphql-core", "PostGraphile"


@dataclass
class Figure:
    """One question to one server: seconds of each answer, and of all turns; seconds of a core that the server and the database took."""

    times: list[float] = field(default_factory=list)
    seconds: float = 0
    server: float = 0
    database: float = 0

    @property
    def p50(self) -> float:
        """Median milliseconds."""
        return statistics.median(self.times) * 1000

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.times) / self.seconds

    def cores(self) -> tuple[float, float]:
        """Milliseconds of a core for each request: of the server (for asyncpg: of the client), of the database. A busy machine changes them least."""
        return self.server * 1000 / len(self.times), self.database * 1000 / len(self.times)


@dataclass
class Row:
    """One question at so many clients, by who answered, and the kB of an answer of the API and of PostGraphile."""

    question: str
    clients: int
    workers: int
    figures: dict[str, Figure]
    sizes: tuple[float, float]

    def heading(self) -> str:
        more = f", {self.workers} processes each" if self.workers > 1 else ""
        names = f"{self.clients} client{'s' if self.clients > 1 else ''}{more}: ms (p50), requests/s"
        columns = "".join(f"{name:>21}" for name in NAMES)
        return f"{names:<48}{columns}{'asyncpg':>10}{'PostGr.':>9}"

    def __str__(self) -> str:
        columns = "".join(f"{f.p50:12.2f}{f.rate:9,.0f}" if (f := self.figures.get(name)) else " " * 21 for name in NAMES)
        return f"{self.question:<48}{columns}{self._beside(PLAIN, 9)}{self._beside(PEER, 8)}"

    def _beside(self, other: str, width: int) -> str:
        """How many times the API's rate is another's."""
        return f"{self.figures[PLANNED].rate / self.figures[other].rate:{width}.2f}x" if other in self.figures else " " * (width + 1)

    def shares(self) -> str:
        """What a request takes of a core: server + database."""
        columns = ""
        for name in NAMES:
            if figure := self.figures.get(name):
                server, database = figure.cores()
                columns += f"{server:12.2f} +{database:7.2f}"
            else:
                columns += " " * 21
        return f"{self.question:<48}{columns}{self.sizes[0]:10,.1f}{self.sizes[1]:9,.1f}"


def asks(question: Question, client: Client, theirs: bool) -> list[Ask]:
    """What is sent for a question: a request for each spot."""
    document = question.theirs if theirs else question.ours
    requests = [post(client.port, document, spot.theirs if theirs else spot.ours) for spot in question.spots]
    return [lambda number, request=request: client.ask(request, number) for request in requests]


def plain(spots: Sequence[Spot], pool: asyncpg.Pool) -> list[Ask]:
    """The statements behind the answers, one after the other on one connection."""

    async def fetch(spot: Spot) -> None:
        async with pool.acquire() as connection:
            for sql, *values in spot.plain:
                await connection.fetch(sql, *values)

    return [lambda _, spot=spot: fetch(spot) for spot in spots]


async def in_turns(
    works: dict[str, list[Ask]], servers: dict[str, Server], pool: asyncpg.Pool, clients: int, seconds: float
) -> dict[str, Figure]:
    """Everybody's answers, in turns; each begins as often."""
    found = {name: Figure() for name in works}
    for name, asked in works.items():
        await ask_for(asked, 1 if name == REFERENCE else clients, WARMING)  # prepares statements, fills caches, warms compilers
    for turn in range(TURNS):
        names = list(works)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            figure = found[name]
            if name == REFERENCE and sum(figure.times) > clients * seconds:  # what takes many seconds has one turn
                continue
            server, database = spent(servers.get(name)), await spent_by_database(pool)
            times, took = await ask_for(works[name], clients, seconds / TURNS)
            figure.database += sum(seconds - database.get(pid, 0) for pid, seconds in (await spent_by_database(pool)).items())
            figure.server += spent(servers.get(name)) - server
            figure.times += times
            figure.seconds += took
    return found


def spent(server: Server | None) -> float:
    """Seconds of a core that a server took so far, or, for none, this process."""
    return server.spent() if server is not None else time.process_time()


async def spent_by_database(pool: asyncpg.Pool) -> dict[int, float]:
    """Seconds of a core that each connection of the database took so far; none where it is another machine's."""
    rows = await pool.fetch("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
    return {pid: seconds_of([pid]) for (pid,) in rows}


async def compare(asked: Sequence[Question], ours: Client, theirs: Client, unplanned: Client) -> dict[str, tuple[float, float]]:
    """Asks everything once of everybody. Returns the kB of answers by question. Raises SystemExit where answers differ."""
    sizes = {}
    for question in asked:
        lengths = []
        for spot in question.spots:
            left = await ours.ask(post(ours.port, question.ours, spot.ours))
            same = await unplanned.ask(post(unplanned.port, question.ours, spot.ours))
            if same != left:
                raise SystemExit(f"{question.name}: the executors differ at {spot.ours}:\n{left[:300]!r}\n{same[:300]!r}")
            right = await theirs.ask(post(theirs.port, question.theirs, spot.theirs))
            if different := question.differences(left, right):
                raise SystemExit(f"{question.name} at {spot.ours}: the API | PostGraphile\n" + "\n".join(different))
            lengths.append((len(left) / 1000, len(right) / 1000))
        sizes[question.name] = (statistics.mean(left for left, _ in lengths), statistics.mean(right for _, right in lengths))
    return sizes


@asynccontextmanager
async def clients_of(servers: Sequence[Server]) -> AsyncIterator[list[Client]]:
    """Clients with as many connections as are asked at once."""
    async with AsyncExitStack() as stack:
        clients = []
        for server in servers:
            client = Client(server.port)
            stack.callback(client.close)
            await client.open(max(CLIENTS))
            clients.append(client)
        yield clients


async def measure(url: str, only: str, seconds: float, as_json: bool) -> list[Row]:
    """Everything, printed as it is found."""
    rows: list[Row] = []

    async def all_of(asked: Sequence[Question], servers: dict[str, Server], pool: asyncpg.Pool, clients: int, workers: int) -> None:
        """All questions at so many clients."""
        async with clients_of(list(servers.values())) as opened:
            for number, question in enumerate(asked):
                works = {PLAIN: plain(question.spots, pool)} if workers == 1 else {}
                works |= {name: asks(question, client, name == PEER) for name, client in zip(servers, opened, strict=True)}
                row = Row(question.name, clients, workers, await in_turns(works, servers, pool, clients, seconds), sizes[question.name])
                rows.append(row)
                if not as_json:
                    print(*([] if number else ["", row.heading()]), row, sep="\n" if not number else "", flush=True)
        if not as_json:
            print(f"{'ms of a core for each: server + database; kB':<48}{'':<84}{'vkg':>10}{'PostGr.':>9}")
            print("\n".join(row.shares() for row in rows[-len(asked) :]), flush=True)

    async with await open_pool(url, size=POOL, timeout_ms=60_000, role="none") as pool:
        with ExitStack() as stack:
            servers = {
                PEER: stack.enter_context(postgraphile(url)),
                PLANNED: stack.enter_context(serving(url)),
                REFERENCE: stack.enter_context(reference(url)),
            }
            asked = [question for question in await questions(pool) if only.lower() in question.name.lower()]
            async with clients_of([servers[PLANNED], servers[PEER], servers[REFERENCE]]) as (ours, theirs, unplanned):
                sizes = await compare(asked, ours, theirs, unplanned)
            for clients in CLIENTS:
                await all_of(asked, servers, pool, clients, 1)
        if not has_workers():
            print("\nvkg serve has no --workers: two processes each are left out.", file=sys.stderr)
            return rows
        with ExitStack() as stack:
            servers = {PEER: stack.enter_context(postgraphile(url, 2)), PLANNED: stack.enter_context(serving(url, 2))}
            async with clients_of(list(servers.values())) as opened:
                for question in asked:  # as the comparison of answers did for the first: a compiler needs seconds to know what is asked
                    for name, client in zip(servers, opened, strict=True):
                        await ask_for(asks(question, client, name == PEER), max(CLIENTS), 3 * WARMING)
            await all_of(asked, servers, pool, max(CLIENTS), 2)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="The API beside PostGraphile, graphql-core and asyncpg alone.")
    parser.add_argument("--variants", type=int, default=200_000, help="how many synthetic variants to make (default 200,000)")
    parser.add_argument(
        "--url", help="a store made by bench.synthetic before, instead of a server of the benchmark's own; what is missing is added"
    )
    parser.add_argument("--seconds", type=float, default=1.5, help="how long each server answers each question (default 1.5)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only questions with this in their names")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    random.seed(1)
    with synthetic_store(options.url, options.variants) as url:
        add_peers(url)
        rows = uvloop.run(measure(url, options.only, options.seconds, options.json))
    if options.json:
        shown = [
            asdict(row) | {"figures": {name: {"p50": f.p50, "rate": f.rate, "cores": f.cores()} for name, f in row.figures.items()}}
            for row in rows
        ]
        print(json.dumps(shown, indent=2))


if __name__ == "__main__":
    main()
