"""The log of what was read of single persons: written before it is answered, by whoever asks in the same moment in one transaction."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from typing import Any

import orjson

from store.database import Pools
from store.statements import statement


class Audit:
    """Writes entries into access_audit."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._waiting: list[tuple[dict[str, Any], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, subject: str, document: str, name: str | None, release_id: int, samples: Iterable[int | None]) -> None:
        """Logs one operation; returns once it is stored. Raises StoreError where it cannot be."""
        entry = {
            "subject": subject, "operation": hashlib.sha256(document.encode(errors="surrogatepass")).hexdigest(), "operation_name": name,
            "release_id": release_id, "samples": sorted(sample for sample in samples if sample is not None),
        }  # fmt: skip
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, stored))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.ensure_future(self._write())
        await stored

    async def _write(self) -> None:
        """Writes what waits, again and again until nothing does: what comes meanwhile goes together."""
        while self._waiting:
            entries, self._waiting = self._waiting, []
            await self._store(entries)

    async def _store(self, entries: list[tuple[dict[str, Any], asyncio.Future[None]]]) -> None:
        """Writes entries in one transaction; where that fails, each in one of its own: one may be at fault for all."""
        try:
            await self._pools.write(statement("write_audit"), orjson.dumps([entry for entry, _ in entries]).decode())
        except Exception as error:
            for each in entries if len(entries) > 1 else ():
                await self._store([each])
            if len(entries) == 1 and not entries[0][1].done():
                entries[0][1].set_exception(error)
            return
        for _, stored in entries:
            if not stored.done():
                stored.set_result(None)
