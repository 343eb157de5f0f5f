"""What of a release somebody may see: of each load either all, or open data only, or nothing.

Open data are variants, genes, scores, metacells, frequencies of populations. Individual-level data (samples, genotypes, carriers, segments, pedigrees,
ancestry) are seen of the loads of granted datasets: sessions are told of them, and row-level security holds every statement to that (migrations/0005.cohort.sql). Runs, and
callsets and pedigrees of fewer than `least` people are nothing but individual-level data; of larger callsets whose counts tell smaller groups apart, only
the overall counts are open, as differences would tell the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from store.access import LEAST_PEOPLE
from store.database import Pools, open_pools
from store.errors import StoreError
from store.statements import statement

from .audit import Audit
from .context import View
from .errors import UserError
from .viewer import NOBODY, OWNER, Provider, Viewer, Viewers

ALL_INDIVIDUAL = ("ibd", "ancestry")
"""Kinds of datasets in which everything is about single persons."""

MOST_KEPT = 256


@dataclass(frozen=True)
class Accounts:
    """How a server tells who asks: by tokens of the store and, where there is a `provider`, its JWTs. Without credentials open data is seen, unless that is
    `refused`; with `open_only` nobody sees more. Of fewer people than `least`, counts are individual-level data."""

    provider: Provider | None = None
    open_only: bool = False
    refused: bool = False
    least: int = LEAST_PEOPLE


@dataclass(frozen=True)
class Load:
    """What of a load is about persons: how many `people` it has genotypes of or describes; the callset that its frequencies were
    counted in, where it is another; how many people the smallest group has that its counts tell apart, where they were counted here."""

    load_id: int
    dataset: str
    kind: str
    people: int
    callset: int | None
    smallest: int | None


class Gate:
    """Tells who asks and narrows views to what that viewer may see; `audit` is the log of individual-level reads. What was worked out is kept.

    Without accounts, whoever asks is the owner of the store, who sees all, and nothing is logged.
    """

    def __init__(self, pools: Pools, accounts: Accounts | None, current: Callable[[], View]) -> None:
        """`current` gives the view of the newest release."""
        self._pools, self._accounts, self._current = pools, accounts, current
        self._viewers = Viewers(pools, accounts.provider) if accounts else None
        self.audit = Audit(pools) if accounts else None
        self._loads: dict[View, tuple[Load, ...]] = {}
        self._narrow: dict[tuple[View, frozenset[str], int], View] = {}

    async def viewer(self, headers: Mapping[bytes, bytes]) -> Viewer:
        """Who asks. Raises UserError UNAUTHENTICATED, and StoreError."""
        if self._accounts is None or self._viewers is None:
            return OWNER
        found = NOBODY if self._accounts.open_only else await self._viewers.of(headers)
        if found == NOBODY and self._accounts.refused:
            raise UserError(
                "UNAUTHENTICATED", "This server answers nobody without credentials.", hint="Send `Authorization: Bearer TOKEN`."
            )
        return found

    def known(self, headers: Mapping[bytes, bytes]) -> Viewer | None:
        """Who asks, where that costs nothing to say."""
        if self._accounts is None or self._viewers is None:
            return OWNER
        return self._viewers.known(headers)

    def withheld(self, viewer: Viewer) -> str:
        """What to say to somebody who asked for individual-level data and does not see all of it."""
        if self._accounts is not None and self._accounts.open_only:
            return "This server answers open data only: individual-level data is left out."
        if viewer.subject is None:
            return "Individual-level data is left out: it is for those it was granted to, who send `Authorization: Bearer TOKEN`."
        return f"Individual-level data is that of the datasets granted to {viewer.subject}; other is left out."

    async def narrowed(self, view: View, viewer: Viewer) -> View:
        """The view as this viewer has it. Raises StoreError."""
        if viewer.datasets is None or self._accounts is None:
            return view
        key = (view, viewer.datasets, self._current().release_id)
        if key not in self._narrow:
            made = narrowed(view, await self._about(view), viewer.datasets, self._accounts.least, frozenset(self._current().loads))
            if len(self._narrow) >= MOST_KEPT:
                self._narrow.clear()
            self._narrow[key] = made
        return self._narrow[key]

    async def _about(self, view: View) -> tuple[Load, ...]:
        if view not in self._loads:
            rows = await self._pools.fetch(statement("loads_of_people"), list(view.loads))
            if len(self._loads) >= MOST_KEPT:
                self._loads.clear()
            self._loads[view] = tuple(Load(**row) for row in rows)
        return self._loads[view]


def narrowed(view: View, about: tuple[Load, ...], datasets: frozenset[str], least: int, current: frozenset[int]) -> View:
    """A view, of which somebody may see the individual-level data of these datasets. `current` are the loads of the newest release: of earlier ones
    nothing that was counted of people is open, because two countings that differ by few people tell of these."""
    by_id = {load.load_id: load for load in about}
    granted = {load.load_id for load in about if load.dataset in datasets}

    def open_(load: Load) -> bool:
        """Whether anything of a load is open."""
        counted = load if load.callset is None else by_id.get(load.callset)  # whose people its counts are of
        if load.kind in ALL_INDIVIDUAL or counted is None:
            return False
        return counted.people == 0 or counted.load_id in granted or (counted.people >= least and load.load_id in current)

    seen = {load.load_id for load in about if load.load_id in granted or open_(load)}
    limited = [
        load for load in about if load.load_id in seen and load.smallest is not None and (load.callset or load.load_id) not in granted
    ]
    return replace(
        view,
        loads=tuple(load_id for load_id in view.loads if load_id in seen),
        granted=tuple(load_id for load_id in view.loads if load_id in seen and (load_id in granted or not by_id[load_id].people)),
        withheld=tuple(load.load_id for load in limited if (load.smallest or 0) < least),
        limited=tuple(load.load_id for load in limited),
        least=least,
    )


async def check_guarded(url: str) -> None:
    """Raises StoreError where the database does not keep individual-level data from those who may not see it: where the roles of the read way cannot be
    taken on, statements would run with the rights of the store's owner."""
    pools = await open_pools(url, size=2, timeout_ms=10_000)
    try:
        (hidden,) = await pools.fetch_individual([], statement("rows_are_hidden"))
        (kept,) = await pools.fetch(statement("individual_tables_are_kept"))
        if not (hidden["hidden"] and kept["kept"]):
            raise StoreError(
                "row-level security does not hold for the database user of this store, so individual-level data cannot be kept from anybody",
                "Let the user make and take on the roles vkg_open and vkg_individual (docs/security.md), and run vkg init again.",
            )
    finally:
        await pools.close()
