"""How the cost of an answer grows with the answer, how much memory a request takes, and what a server keeps of documents.

    python -m bench.growth [--variants N] [--url URL] [--json]

`vkg serve` and PostGraphile, each a process on loopback as in bench/peers.py. Pages of variants with what methods say of them, of 10 to 10,000 objects: medians, and the straight line
through them. Resident memory before, at most during, and after requests by 1 and by 16 clients. And 6,000 documents that are all different, more than
are kept: memory grows until the caches are full, and then no more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
from collections.abc import Awaitable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import asyncpg
import numpy as np
import orjson
import uvloop

from bench.client import Client, ask_for, post
from bench.peers import PEER, PLANNED, clients_of
from bench.peers_asked import facts, page_spot
from bench.peers_store import add_peers
from bench.query import objects_in
from bench.server import synthetic_store
from bench.servers import POOL, Server, postgraphile, serving
from graph.execution.documents import KEPT, Documents
from graph.schema import build
from store.database import open_pool
from store.variant_key import to_hex

SIZES = (10, 100, 1_000, 10_000)
"""Objects of an answer, about."""

PER_VARIANT = 4.5
"""Objects of a variant: itself, and its scores."""

PAGE = 1_000
DOCUMENTS = (0, 500, 1_000, 2_000, 4_000, 6_000)
SECONDS = 2.0
EVERY = 0.005
"""Seconds between looks at the memory of a server."""

_FIELDS = "{ key name chrom pos ref alt v2fScores(first: 5) { nodes { source score linkScore matchedBy geneName } } }"
_THERE = """{ key: variantKey name chrom pos ref alt v2fScores: linksList(first: 5, orderBy: [LOAD_ID_DESC, VALUE_DESC]) {
    source score linkScore matchedBy geneName } }"""
_SCALARS = ("id", "key", "name", "chrom", "pos", "ref", "alt", "type")

T = TypeVar("T")


@dataclass
class Size:
    """An answer of one size by one server: its objects, kB, and median milliseconds."""

    server: str
    objects: int
    kilobytes: float
    milliseconds: float


@dataclass
class Memory:
    """Resident MB of a server: before, at most during, and after requests."""

    server: str
    what: str
    before: float
    most: float
    after: float

    def __str__(self) -> str:
        return f"{self.server:<14}{self.what:<46}{self.before:9.1f}{self.most:9.1f}{self.after:9.1f}"


def pages(spots: list[Any], theirs: bool) -> tuple[str, dict[str, Any]]:
    """A document with a page for each spot, and its variables."""
    names: list[str] = []
    fields: list[str] = []
    variables: dict[str, Any] = {}
    for number, spot in enumerate(spots):
        given = spot.theirs if theirs else spot.ours
        variables |= {f"{name}{number}": value for name, value in given.items()}
        kinds = {"lo": "BigInt!", "hi": "BigInt!", "region": "String!", "first": "Int!"}
        names += [f"${name}{number}: {kinds[name]}" for name in given]
        arguments = {"lo": "firstKey", "hi": "lastKey"} | ({"region": "region"} if not theirs else {}) | {"first": "first"}
        asked = ", ".join(f"{arguments[name]}: ${name}{number}" for name in given)
        fields.append(
            f"p{number}: variantsBetweenList({asked}) {_THERE}" if theirs else f"p{number}: variants({asked}) {{ nodes {_FIELDS} }}"
        )
    return f"query Pages({', '.join(names)}) {{ {' '.join(fields)} }}", variables


async def grown(pool: asyncpg.Pool, clients: dict[str, Client]) -> tuple[list[Size], dict[str, bytes]]:
    """Answers of all sizes by all servers, in turns; and the requests of the largest."""
    start = await pool.fetchval("SELECT min(variant_key) FROM variant")
    found, largest = [], {}
    for size in SIZES:
        variants = max(1, round(size / PER_VARIANT))
        spots, key = [], start
        while variants > 0:
            spots.append(await page_spot(pool, key, min(variants, PAGE)))
            key, variants = int(spots[-1].theirs["hi"]), variants - PAGE
        times: dict[str, list[float]] = {}
        answers: dict[str, bytes] = {}
        for turn in range(4):
            for name, client in clients.items():
                document, variables = pages(spots, name == PEER)
                largest[name] = request = post(client.port, document, variables)
                answers[name] = await client.ask(request)
                spent, _ = await ask_for([lambda number, c=client, r=request: c.ask(r, number)], 1, SECONDS / 4)
                times.setdefault(name, []).extend(spent if turn else [])
        said = {name: facts(orjson.loads(answer)["data"]) for name, answer in answers.items()}
        for name, answer in answers.items():
            found.append(Size(name, objects_in(said[name]) - 1, len(answer) / 1000, statistics.median(times[name]) * 1000))
    return found, largest


async def watched(server: Server, what: str, work: Awaitable[T]) -> tuple[Memory, T]:
    """What a work returns, and the memory of a server meanwhile."""
    before = most = server.memory()
    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.wait([task], timeout=EVERY)
        most = max(most, server.process.memory_info().rss / 2**20)
    await asyncio.sleep(0.2)
    return Memory(server.name, what, before, most, server.memory()), task.result()


def documents(client: Client, key: int, theirs: bool, numbers: range) -> list[bytes]:
    """Requests for scalars of a variant, each by a document of its own: other fields, another alias, another name."""
    made = []
    for number in numbers:
        names = [name for place, name in enumerate(_SCALARS) if (number + 1) >> place & 1] or ["pos"]
        if theirs:
            fields = " ".join("variantKey" if name == "key" else name for name in names)
            made.append(
                post(
                    client.port,
                    f"query D{number}($key: BigInt!) {{ variant(variantKey: $key) {{ a{number}: pos {fields} }} }}",
                    {"key": str(key)},
                )
            )
        else:
            made.append(
                post(
                    client.port,
                    f"query D{number}($id: String!) {{ variant(id: $id) {{ a{number}: pos {' '.join(names)} }} }}",
                    {"id": to_hex(key)},
                )
            )
    return made


async def measure(url: str, as_json: bool) -> dict[str, Any]:
    """Everything, printed as it is found."""

    def show(line: str) -> None:
        if not as_json:
            print(line, flush=True)

    with ExitStack() as stack:
        peer, ours = stack.enter_context(postgraphile(url)), stack.enter_context(serving(url))
        async with await open_pool(url, size=POOL, timeout_ms=60_000, role="none") as pool, clients_of((ours, peer)) as opened:
            servers, clients = {PLANNED: ours, PEER: peer}, dict(zip((PLANNED, PEER), opened, strict=True))
            key = await pool.fetchval("SELECT min(variant_key) FROM variant_record")
            small = {name: documents(client, key, name == PEER, range(1)) for name, client in clients.items()}
            for name, client in clients.items():  # what is there once a server has answered some requests
                await ask_for([lambda number, c=client, r=small[name][0]: c.ask(r, number)], 16, SECONDS)

            # First, as what large answers leave free would hide it.
            show(f"{'resident MB after so many different documents':<46}" + "".join(f"{count:>9,}" for count in DOCUMENTS))
            kept: dict[str, list[float]] = {}
            for name, client in clients.items():
                for first, last in zip((0, *DOCUMENTS), DOCUMENTS, strict=False):
                    for request in documents(client, key, name == PEER, range(first, last)):
                        await client.ask(request)
                    kept.setdefault(name, []).append(servers[name].memory())
                show(f"{name:<46}" + "".join(f"{value:9.1f}" for value in kept[name]))
            show("")

            sizes, largest = await grown(pool, clients)
            show(f"{'objects':<14}{'':>9}{'kB':>10}{'ms':>10}{'us each':>10}")
            lines = {}
            for name in clients:
                of_server = [size for size in sizes if size.server == name]
                for size in of_server:
                    show(
                        f"{name:<14}{size.objects:>9,}{size.kilobytes:>10,.1f}{size.milliseconds:>10.2f}{size.milliseconds * 1000 / size.objects:>10.1f}"
                    )
                # Weighted by what each takes, so that the largest does not say all.
                x, y = (np.array([getattr(size, field) for size in of_server]) for field in ("objects", "milliseconds"))
                each, fixed = np.polyfit(x, y, 1, w=1 / y)
                off = float(np.max(np.abs(fixed + each * x - y) / y))
                lines[name] = {"fixed_ms": float(fixed), "us_each": float(each) * 1000, "off": off}
                show(f"{name:<14}a line: {fixed:.2f} ms + {each * 1000:.1f} us for each object; at most {off:.0%} off\n")

            show(f"{'resident MB':<60}{'before':>9}{'most':>9}{'after':>9}")
            memory = []
            for name, client in clients.items():
                for what, request, count in (("1 variant, 1 client", small[name][0], 1), ("10,000 objects, 1 client", largest[name], 1), ("10,000 objects, 16 clients", largest[name], 16), ("the same again", largest[name], 16)):  # fmt: skip
                    work = ask_for([lambda number, c=client, r=request: c.ask(r, number)], count, SECONDS)
                    found, _ = await watched(servers[name], what, work)
                    memory.append(found)
                    show(str(found))

    documents_kept = Documents(build()._schema)
    for number in range(DOCUMENTS[-1]):
        documents_kept.read(f"query D{number} {{ store {{ a{number}: assembly }} }}")
    show(f"\nof {DOCUMENTS[-1]:,} documents {len(documents_kept.kept)} are kept, each with at most {KEPT} plans and {KEPT} costs")
    return {
        "documents_kept": len(documents_kept.kept),
        "sizes": [asdict(size) for size in sizes],
        "lines": lines,
        "memory": [asdict(one) for one in memory],
        "documents": kept,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="How cost grows with the answer, memory of requests, and what is kept of documents.")
    parser.add_argument("--variants", type=int, default=200_000, help="how many synthetic variants to make (default 200,000)")
    parser.add_argument(
        "--url", help="a store made by bench.synthetic before, instead of a server of the benchmark's own; what is missing is added"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    random.seed(1)
    with synthetic_store(options.url, options.variants) as url:
        add_peers(url)
        found = uvloop.run(measure(url, options.json))
    if options.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
