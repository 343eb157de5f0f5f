"""Ten minutes of everything at once: mixed questions at saturation while loads and unloads go on, each answer compared with a known one.

    python -m bench.soak [--minutes 10] [--clients 32] [--variants 200000] [--workers 1]

`vkg serve --accounts` over a built-in server of its own with a synthetic store and people (as bench/peers.py). Before it begins, each question is asked once as somebody who may see
all and once as nobody in particular: these are the known answers. Then so many clients ask them in random order, as either, without a pause; some go away before they are answered; and in other
processes a cohort is loaded, published and unloaded again and again. Afterwards the whole store is checked (`vkg doctor --deep`). Exit code 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import psycopg
import uvloop

from bench.client import Client, post
from bench.peers_asked import questions
from bench.peers_store import add_peers
from bench.server import synthetic_store
from bench.servers import Server, serving, views
from store import access

WARM_UP = 0.2
"""Share of the time after which memory is looked at for the first time."""

MOST_GROWN = 0.05
"""By how much resident memory may grow from then on."""

GOING_AWAY = 0.02
"""Share of requests whose client goes away."""

WAITING = 65
"""Seconds after which the rows of what was unloaded last may be taken out."""

LOADED, PEOPLE = 2_000, 40
"""Variants and people of the cohort that comes and goes."""


@dataclass
class Asked:
    """A request, its known answer (without extensions, which name the release), and its name."""

    name: str
    request: bytes
    answer: bytes


@dataclass
class Seen:
    """What came of it: seconds by question, statuses, what was wrong, resident memory in MB by seconds since the beginning."""

    times: dict[str, list[float]] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    left: int = 0
    loads: int = 0


def data_of(body: bytes) -> bytes:
    """An answer without its extensions."""
    return body[: body.rfind(b',"extensions":')]


async def prepare(url: str, server: Server) -> list[Asked]:
    """The requests with their known answers."""
    with psycopg.connect(url, autocommit=True) as conn:
        token = access.create_token(conn, "soak", ["admin"], datetime.now(UTC) + timedelta(days=1))[1]
    found = []
    client = Client(server.port)
    await client.open(1)
    async with asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
        for question in await questions(pool):
            for spot in question.spots:
                for who in (token, None):
                    request = post(server.port, question.ours, spot.ours, token=who)
                    status, body = await client.exchange(request)
                    if status != 200:
                        raise SystemExit(f"{question.name}: {status} {body[:500].decode()}")
                    found.append(Asked(question.name + ("" if who else ", by nobody"), request, data_of(body)))
    client.close()
    return found


async def soak(server: Server, asked: list[Asked], clients: int, seconds: float, seen: Seen) -> None:
    """Asks without a pause, by so many clients at once."""
    began = time.monotonic()
    client = Client(server.port)
    await client.open(clients)

    async def ask(number: int) -> None:
        dice = random.Random(number)
        while time.monotonic() - began < seconds:
            one = dice.choice(asked)
            if dice.random() < GOING_AWAY:
                await client.leave(one.request, number, dice.random() * 0.02)
                seen.left += 1
                continue
            started = time.perf_counter()
            status, body = await client.exchange(one.request, number)
            seen.times.setdefault(one.name, []).append(time.perf_counter() - started)
            seen.statuses[status] += 1
            if status == 503 and b'"OVERLOADED"' in body:
                await asyncio.sleep(dice.random())
            elif status != 200:
                seen.wrong.append(f"{one.name}: {status} {body[:300].decode(errors='replace')}")
            elif data_of(body) != one.answer:
                seen.wrong.append(f"{one.name}: another answer\n  {one.answer[:300].decode()}\n  {body[:300].decode()}")

    async def look() -> None:
        while time.monotonic() - began < seconds:
            seen.memory.append((time.monotonic() - began, server.memory()))
            await asyncio.sleep(1)

    await asyncio.gather(look(), *(ask(number) for number in range(clients)))
    client.close()


def come_and_go(url: str, folder: Path, ended: threading.Event, seen: Seen) -> None:
    """Loads a cohort and unloads it, until it is told to end."""
    path = folder / "guests.vcf"
    people = "\t".join(f"GUEST{n}" for n in range(PEOPLE))
    with path.open("w") as out:
        out.write("##fileformat=VCFv4.2\n##contig=<ID=22,length=51304566>\n##FORMAT=<ID=GT,Number=1,Type=String,Description=x>\n")
        out.write(f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{people}\n")
        for n in range(LOADED):
            calls = "\t".join("0|1" if (n * k) % 7 == 0 else "0|0" for k in range(PEOPLE))
            out.write(f"22\t{40_000_000 + 10 * n}\t.\tA\tC\t50\tPASS\t.\tGT\t{calls}\n")
    while not ended.is_set():
        name = f"guests{seen.loads % 2}"
        load = ["load", "vcf", str(path), "--dataset", name, "--version", str(seen.loads), "--cohort", "guests", "--assembly", "GRCh37"]
        for arguments in (load, ["unload", name]):
            made = subprocess.run(
                [sys.executable, "-m", "vkg", *arguments],
                env=os.environ | {"VKG_DATABASE_URL": url},
                capture_output=True,
                text=True,
                check=False,
            )
            if made.returncode:
                seen.wrong.append(f"vkg {' '.join(arguments)}: exit code {made.returncode}\n{made.stderr[-500:]}")
                return
        seen.loads += 1


def report(seen: Seen, seconds: float) -> None:
    """Prints what was seen."""
    print(f"{'':<52} {'requests':>9} {'p50 ms':>8} {'p99 ms':>8} {'most ms':>8}")
    for name, times in sorted(seen.times.items()):
        ordered = sorted(times)
        print(
            f"{name:<52} {len(times):9,} {statistics.median(ordered) * 1e3:8.1f} {ordered[int(0.99 * (len(ordered) - 1))] * 1e3:8.1f} {ordered[-1] * 1e3:8.1f}"
        )
    every = sorted(time for times in seen.times.values() for time in times)
    print(
        f"{len(every):,} answers in {seconds:.0f} s, p99 {every[int(0.99 * (len(every) - 1))] * 1e3:.1f} ms; {seen.left:,} clients went away"
    )
    print(
        f"statuses: {', '.join(f'{status}: {count:,}' for status, count in sorted(seen.statuses.items()))}; {seen.loads} loads came and went"
    )


def grown(seen: Seen, seconds: float) -> tuple[float, float]:
    """Resident memory in MB after the warm-up and in the end: medians of a tenth of the time each."""
    first = [size for at, size in seen.memory if WARM_UP * seconds <= at < (WARM_UP + 0.1) * seconds]
    last = [size for at, size in seen.memory if at >= 0.9 * seconds]
    return statistics.median(first), statistics.median(last)


def faults(url: str) -> set[str]:
    """What `vkg doctor --deep` finds. A synthetic store has faults: its rows were made without loaders."""
    made = subprocess.run(
        [sys.executable, "-m", "vkg", "doctor", "--deep"],
        env=os.environ | {"VKG_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    return {line for line in made.stdout.splitlines() if line.startswith("!")}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--variants", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    seconds, seen, ended = asked.minutes * 60, Seen(), threading.Event()
    with synthetic_store(None, asked.variants) as url, tempfile.TemporaryDirectory() as folder:
        add_peers(url)
        synthetic = faults(url)
        with serving(url, asked.workers, "--accounts") as server:
            with views(url):
                known = uvloop.run(prepare(url, server))
            guests = threading.Thread(target=come_and_go, args=(url, Path(folder), ended, seen))
            guests.start()
            try:
                uvloop.run(soak(server, known, asked.clients, seconds, seen))
            finally:
                ended.set()
                guests.join()
        report(seen, seconds)
        before, after = grown(seen, seconds)
        print(f"resident memory: {before:.0f} MB after the warm-up, {after:.0f} MB in the end ({after / before - 1:+.1%})")
        time.sleep(WAITING)
        subprocess.run(
            [sys.executable, "-m", "vkg", "doctor", "--clean"], env=os.environ | {"VKG_DATABASE_URL": url}, capture_output=True, check=False
        )
        found = sorted(faults(url) - synthetic)
    if after > before * (1 + MOST_GROWN):
        seen.wrong.append(f"memory grew by more than {MOST_GROWN:.0%}")
    seen.wrong += [f"vkg doctor --deep: {fault}" for fault in found]
    print(f"{len(seen.wrong)} things were wrong" + "".join(f"\n{each}" for each in seen.wrong[:20]))
    raise SystemExit(bool(seen.wrong))


if __name__ == "__main__":
    main()
