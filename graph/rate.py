"""How much each client may ask for: a bucket that fills at a rate and from which each request takes its cost, in objects.

A client is the subject that a request is made for, or else the address that it comes from. Of IPv6 addresses the network of 64 bits counts, since whoever
has one has all of it. Each process counts for itself.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from starlette.types import Scope

from . import limits

RATE = 20_000
"""Objects a second, for each client, where a server is reached by others: some six pages of a hundred variants with three links each."""
REQUEST = 20
"""Objects that a request costs beside those it asks for: about what its way in and out takes."""
FAILED = 2_000
"""Objects that credentials cost which are not good: guessing them is slow."""
MOST_CLIENTS = 100_000
"""Buckets that are kept; those who were away longest begin with a full one again."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Buckets:
    """One for each client. `rate` is in objects a second; a bucket holds ten seconds of it, and at least the largest request that is allowed."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.burst = max(10 * rate, limits.COST + limits.BATCH * REQUEST)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what was in it, and when

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, client: str, cost: float, now: float) -> None:
        """Takes the cost of a request, at a time in seconds. Raises LimitError RATE_LIMITED, and takes nothing, where there is not as much."""
        there = self._there(client, now)
        self._refuse(cost, there)
        self._buckets[client] = there - cost, now
        self._buckets.move_to_end(client)
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)

    def check(self, client: str, cost: float, now: float) -> None:
        """Raises as `take` does, and takes nothing."""
        self._refuse(cost, self._there(client, now))

    def _there(self, client: str, now: float) -> float:
        there, then = self._buckets.get(client, (self.burst, now))
        return min(self.burst, there + (now - then) * self.rate)

    def _refuse(self, cost: float, there: float) -> None:
        if cost > there:
            wait = math.ceil((cost - there) / self.rate)
            raise limits.LimitError(
                "RATE_LIMITED", f"This client asks for more than {self.rate:,.0f} objects a second: {cost:,.0f} now, and {there:,.0f} are left.",
                limit=self.rate, value=cost, hint=f"Ask again in {wait:,} s, or for less: Vkg-Cost: 1 tells what a request costs.", retry=wait,
            )  # fmt: skip


class Peers:
    """Tells from what address a request comes: that of the connection; behind `proxies`, that which the first other one before them had.

    Each proxy appends to X-Forwarded-For whom it was asked by, so the header is read from its end, as long as those who wrote are trusted: what a
    client writes there itself stands before that, and is not read.
    """

    def __init__(self, proxies: Iterable[Network] = ()) -> None:
        self._proxies = tuple(proxies)

    def of(self, scope: Scope) -> str:
        """The address, or the network of 64 bits, as text; `local` for a connection that has none (a socket in the file system)."""
        peer = scope.get("client")
        found = _address(peer[0]) if peer else None
        if found is None:
            return "local"
        if self._proxies and self._trusted(found):
            for part in reversed(_forwarded(scope)):
                before = _address(part)
                if before is None:
                    break
                found = before
                if not self._trusted(found):
                    break
        return str(ipaddress.IPv6Network((found, 64), strict=False)) if found.version == 6 else str(found)

    def scheme(self, scope: Scope) -> str:
        """http or https: that of the connection, or what a proxy that is believed says it was asked by."""
        peer = scope.get("client")
        address = _address(peer[0]) if peer and self._proxies else None
        if address is not None and self._trusted(address):
            said = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"x-forwarded-proto"]
            if said and said[-1] in ("http", "https"):
                return said[-1]
        return str(scope["scheme"])

    def _trusted(self, address: Any) -> bool:
        return any(address.version == network.version and address in network for network in self._proxies)


def _forwarded(scope: Scope) -> list[str]:
    """What all headers X-Forwarded-For say, in the order in which it was written."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [part.strip() for value in values for part in value.split(",")]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, without a port; an IPv4 address that is written as IPv6 is IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks of proxies: an address, or a network such as 10.0.0.0/8. Raises ValueError."""
    return tuple(ipaddress.ip_network(text) for text in texts)
