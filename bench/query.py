"""What queries cost at two million variants, as multiples of what it costs to fetch the same rows with asyncpg alone.

    python -m bench.query [--variants N] [--url URL] [--json]
    python -m bench.query --peers [...]      # beside PostGraphile and graphql-core, over HTTP: bench/peers.py, whose options follow

Pages: the statements that the API sends, in a pool as the API opens it. Requests: GraphQL through the ASGI application
in this process, so without the share of an HTTP server and a network; alone, and with 16 clients at once. The limit of
both is the same rows, fetched by their keys with plain statements through a pool of the same kind.

What is compared takes turns, so that a busy machine is busy for both, and figures are medians (p50). Without --url a
server of the benchmark's own is filled with synthetic variants (bench/synthetic.py) and removed afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Any

import asyncpg
import orjson
import uvloop
from starlette.applications import Starlette

from bench.server import synthetic_store
from graph.app import Settings, application
from graph.commands import keep
from store.assembly import GRCH37, NAMES
from store.database import open_pool
from store.read import HIGHEST, LOWEST, Filter, compose, where
from store.region import Region
from store.variant import VARIANT

SECONDS = 5.0
"""How long one comparison runs."""

CLIENTS = 16
SPOTS = 40
"""Different places that a comparison goes round, so that no page is measured again and again."""

Work = Callable[[], Awaitable[Any]]


@dataclass
class Figure:
    """One comparison: median milliseconds of what is measured and of its limit, and what was counted on the way."""

    name: str
    milliseconds: float
    limit: float
    rows: float
    statements: int

    @property
    def ratio(self) -> float:
        return self.milliseconds / self.limit

    def __str__(self) -> str:
        return f"{self.name:<58} {self.milliseconds:8.2f} {self.limit:8.2f} {self.ratio:7.1f}x {self.rows:8.0f} {self.statements:6}"


TITLE = f"{'':<58} {'ms':>8} {'limit':>8} {'ratio':>8} {'rows':>8} {'SQL':>6}"


async def in_turns(spots: Sequence[tuple[Work, Work]], clients: int = 1) -> tuple[float, float]:
    """Median milliseconds of the first and of the second work of the spots, done in turn, by so many clients at once."""
    times: tuple[list[float], list[float]] = ([], [])

    async def client(spent: list[float], works: Sequence[Work]) -> None:
        for work in works:
            started = time.perf_counter()
            await work()
            spent.append(time.perf_counter() - started)

    for pair in spots:  # once around, to prepare statements and fill caches
        for work in pair:
            await work()
    end = time.perf_counter() + SECONDS
    for spot in cycle(spots):
        for spent, work in zip(times, spot, strict=True):
            await asyncio.gather(*(client(spent, [work] * (1 if clients == 1 else 4)) for _ in range(clients)))
        if time.perf_counter() > end:
            break
    first, second = (statistics.median(spent) * 1000 for spent in times)
    return first, second


# ---- pages


@dataclass(frozen=True)
class Places:
    """Where the store has variants: one chromosome from its first to its last, and the genes there."""

    chrom: int
    first: int
    last: int
    genes: list[str]

    def region(self, size: int) -> Region:
        start = random.randint(self.first, max(self.first, self.last - size))
        return Region(self.chrom, start, start + size - 1)


async def places(pool: asyncpg.Pool) -> Places:
    chrom, first, last = await pool.fetchrow(
        "SELECT chrom, min(pos), max(pos) FROM variant WHERE chrom = (SELECT max(chrom) FROM variant) GROUP BY chrom"
    )
    genes = await pool.fetch("SELECT gene_id FROM gene WHERE chrom = $1 AND end_pos < $2 AND end_pos - start_pos > 20000", chrom, last)
    return Places(chrom, first, last, [row[0] for row in genes])


_RARE = {"population": "ALL", "dataset": None, "min": None, "max": 0.001}
_EITHER: Filter = ("or", (where(pathogenic=["PATHOGENIC", "LIKELY_PATHOGENIC"]), where(frequency=_RARE, damaging_impact=[1])))
PAGES: list[tuple[str, str, Filter]] = [
    ("region", "region", where()),
    ("region, frequency <= 0.001, impact HIGH or MODERATE", "region", where(frequency=_RARE, damaging_impact=[1, 2])),
    ("region, frequency <= 0.001, impact LOW or MODIFIER", "region", where(frequency=_RARE, impact=[3, 4])),
    ("region, pathogenic", "region", where(pathogenic=["PATHOGENIC", "LIKELY_PATHOGENIC"])),
    ("region, pathogenic, or HIGH and frequency <= 0.001", "region", _EITHER),
    ("genome, pathogenic, or HIGH and frequency <= 0.001", "genome", _EITHER),
    ("gene", "gene", where()),
    ("gene, frequency <= 0.001", "gene", where(frequency=_RARE)),
]
_KEYED = "SELECT variant_key, chrom, pos, ref, alt FROM variant WHERE variant_key = ANY($1)"


async def page(pool: asyncpg.Pool, there: Places, loads: list[int], name: str, by: str, asked: Filter) -> Figure:
    """A page of 100 as the API reads it, one row more than it shows."""
    way = "region" if by == "genome" else by
    per_parent = VARIANT.by[way].anchor is not None
    statement, values = compose(
        VARIANT, way, columns=["variant_key", "chrom", "pos", "ref", "alt"], order="genome", filter=asked, per_parent=per_parent
    )
    spots: list[tuple[Work, Work]] = []
    rows = 0
    for _ in range(SPOTS):
        lo, hi = there.region(5_000_000).keys() if by == "region" else (LOWEST, HIGHEST)
        bound = statement.bind(
            {
                "lo": lo,
                "hi": hi,
                "loads": loads,
                "withheld": [],
                "limited": [],
                "least": 0,
                "limit": 101,
                "keys": [random.choice(there.genes)],
                "flank": 0,
            }
            | values
        )
        keys = [row[1] for row in await pool.fetch(statement.text, *bound)]
        rows += len(keys)
        spots.append((lambda bound=bound: pool.fetch(statement.text, *bound), lambda keys=keys: pool.fetch(_KEYED, keys)))
    return Figure(f"page: {name}", *await in_turns(spots), rows / SPOTS, 1)


# ---- requests

ONE = "query One($id: String!) { variant(id: $id) { id key name chrom pos ref alt type } }"
NESTED = """query Nested($id: String!) { variant(id: $id) { name consequences { terms impact symbol hgvsc hgvsp transcriptId
    gene { symbol chrom start end strand biotype } } } }"""
MANY = """query Many($region: String!, $first: Int!) { variants(region: $region, first: $first) { nodes { id name chrom pos ref alt
    records { qual filter info } populationFrequencies { population frequency alleleCount alleleNumber } scores { name value } } } }"""


class Api:
    """The ASGI application, called without a server in between."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def ask(self, query: str, **variables: Any) -> bytes:
        """The bytes of an answer; raises where it has errors."""
        body = orjson.dumps({"query": query, "variables": variables})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"accept", b"application/json")]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http", "path": "/graphql",
            "raw_path": b"/graphql", "query_string": b"", "root_path": "", "headers": [*headers, (b"host", b"127.0.0.1"), (b"vkg-cost", b"1")],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000), "state": {},
        }  # fmt: skip
        sent: list[bytes] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))

        await self._app(scope, receive, send)
        answer = b"".join(sent)
        if not answer.startswith(b'{"data"'):
            raise RuntimeError(answer[:500].decode())
        return answer


def statements_of(answer: bytes) -> int:
    return orjson.loads(answer)["extensions"]["cost"]["statements"]


def objects_in(value: Any) -> int:
    """How many objects an answer has; INFO is a value, not an object."""
    if isinstance(value, list):
        return sum(map(objects_in, value))
    if isinstance(value, dict):
        return 1 + sum(objects_in(inner) for key, inner in value.items() if key != "info")
    return 0


async def one(api: Api, pool: asyncpg.Pool) -> list[tuple[Work, Work]]:
    """One variant, 8 scalars."""
    rows = await pool.fetch("SELECT * FROM variant WHERE length(ref) = 1 AND length(alt) = 1 AND pos % 97 = 0 LIMIT $1", SPOTS)
    return [
        (
            lambda name=f"{NAMES[v['chrom'] - 1]}-{v['pos']}-{v['ref']}-{v['alt']}": api.ask(ONE, id=name),
            lambda key=v["variant_key"]: pool.fetch("SELECT variant_key, chrom, pos, ref, alt FROM variant WHERE variant_key = $1", key),
        )
        for v in rows
    ]


async def nested(api: Api, pool: asyncpg.Pool, loads: list[int]) -> list[tuple[Work, Work]]:
    """A variant, its consequences, their genes."""
    rows = await pool.fetch(
        """SELECT * FROM variant v WHERE length(ref) = 1 AND length(alt) = 1 AND EXISTS
        (SELECT FROM transcript_consequence c WHERE c.variant_key = v.variant_key AND c.gene_id IS NOT NULL) LIMIT $1""", SPOTS
    )  # fmt: skip

    async def plain(key: int) -> None:
        await pool.fetch("SELECT variant_key, chrom, pos, ref, alt FROM variant WHERE variant_key = $1", key)
        found = await pool.fetch(
            """SELECT terms, impact, symbol, hgvsc, hgvsp, transcript_id, gene_id FROM transcript_consequence
            WHERE variant_key = $1 AND load_id = ANY($2)""", key, loads
        )  # fmt: skip
        genes = list({row["gene_id"] for row in found})
        await pool.fetch("SELECT gene_id, symbol, chrom, start_pos, end_pos, strand, biotype FROM gene WHERE gene_id = ANY($1)", genes)

    return [
        (
            lambda name=f"{NAMES[v['chrom'] - 1]}-{v['pos']}-{v['ref']}-{v['alt']}": api.ask(NESTED, id=name),
            lambda key=v["variant_key"]: plain(key),
        )
        for v in rows
    ]


async def many(api: Api, pool: asyncpg.Pool, loads: list[int], there: Places, size: int) -> list[tuple[Work, Work]]:
    """A page of variants, each with its records, frequencies and scores."""

    async def plain(keys: list[int]) -> None:
        await pool.fetch(_KEYED, keys)
        await pool.fetch(
            "SELECT variant_key, qual, filter, info FROM variant_record WHERE variant_key = ANY($1) AND load_id = ANY($2)", keys, loads
        )
        await pool.fetch(
            "SELECT variant_key, ac, an, af FROM population_frequency WHERE variant_key = ANY($1) AND load_id = ANY($2)", keys, loads
        )
        await pool.fetch(
            "SELECT variant_key, score_id, value FROM variant_score WHERE variant_key = ANY($1) AND load_id = ANY($2)", keys, loads
        )

    spots: list[tuple[Work, Work]] = []
    for _ in range(SPOTS if size <= 100 else 8):
        region = there.region(1_000_000)
        rows = await pool.fetch(
            "SELECT variant_key FROM variant WHERE variant_key >= $1 AND variant_key < $2 ORDER BY variant_key LIMIT $3",
            *region.keys(),
            size,
        )
        keys = [row[0] for row in rows]
        spots.append((lambda region=str(region): api.ask(MANY, region=region, first=size), lambda keys=keys: plain(keys)))
    return spots


async def request(name: str, spots: list[tuple[Work, Work]], clients: int) -> Figure:
    """A request at so many clients."""
    answer = await spots[0][0]()
    figure = Figure(
        f"{name}, {clients} client{'s' if clients > 1 else ''}", 0, 0, objects_in(orjson.loads(answer)["data"]), statements_of(answer)
    )
    figure.milliseconds, figure.limit = await in_turns(spots, clients)
    return figure


# ---- all of it


async def measure(url: str, as_json: bool) -> None:
    figures: list[Figure] = []

    def show(figure: Figure) -> None:
        figures.append(figure)
        if not as_json:
            print(figure, flush=True)

    app = application(Settings(url, GRCH37))
    pool = await open_pool(url, size=10, timeout_ms=60_000)
    async with app.router.lifespan_context(app), pool:
        keep()
        loads = list(app.state.releases.current.loads)
        there = await places(pool)
        variants = await pool.fetchval("SELECT count(*) FROM variant")
        if not as_json:
            print(f"{variants:,} variants; medians; the limit is asyncpg fetching the same rows by key\n\n{TITLE}")
        for name, by, asked in PAGES:
            show(await page(pool, there, loads, name, by, asked))
        api = Api(app)
        for clients in (1, CLIENTS):
            show(await request("Q1: one variant", await one(api, pool), clients))
            show(await request("Q2: variant, consequences, genes", await nested(api, pool, loads), clients))
            for size in (10, 100, 1000):
                show(await request(f"Q3: {size:,} variants with three links", await many(api, pool, loads, there, size), clients))
    if as_json:
        print(json.dumps({"variants": variants, "figures": [asdict(figure) | {"ratio": figure.ratio} for figure in figures]}, indent=2))


def main() -> None:
    if "--peers" in sys.argv:
        from bench import peers  # which imports this

        sys.argv.remove("--peers")
        peers.main()
        return
    parser = argparse.ArgumentParser(description="What queries cost, as multiples of asyncpg fetching the same rows.")
    parser.add_argument("--variants", type=int, default=2_000_000, help="how many synthetic variants to make (default 2,000,000)")
    parser.add_argument("--url", help="a store made by bench.synthetic before, instead of a server of the benchmark's own")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--peers", action="store_true", help="beside PostGraphile, graphql-core and asyncpg, over HTTP: see python -m bench.peers --help"
    )
    options = parser.parse_args()
    random.seed(1)
    with synthetic_store(options.url, options.variants) as url:
        uvloop.run(measure(url, options.json))


if __name__ == "__main__":
    main()
