"""Genotypes as columns of an exported file: which callset they are of, and the cells of each record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from store import planes
from store.genotype import FORMAT, PLANES
from store.read import Read, compose, ordered_columns, where
from store.statements import statement

from .context import Context, View
from .errors import UserError
from .page import LARGEST_PAGE
from .people import sample_ids

HEADER = {
    "GT": '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
    "PS": '##FORMAT=<ID=PS,Number=1,Type=Integer,Description="Phase set">',
    "DP": '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Read depth">',
    "GQ": '##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="Genotype quality">',
    "AD": '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Reads by allele">',
}
"""Header lines of the FORMAT keys that the store keeps, for callsets whose own header has none."""

_MOST_CALLS = 5_000_000  # in memory at once, in several forms


@dataclass(frozen=True)
class Columns:
    """The samples of a callset whose calls are written: their names, and their places among its `size` samples."""

    load_id: int
    dataset: str
    size: int
    names: list[str]
    ordinals: np.ndarray

    @property
    def page(self) -> int:
        """How many variants are read at once, so that a page of many people stays small."""
        return max(1, min(LARGEST_PAGE, _MOST_CALLS // self.size))

    async def read(self, ctx: Context, view: View, keys: Sequence[int]) -> dict[int, tuple[str, list[str]]]:
        """FORMAT and the cells of these samples, by variant. Another ALT of a site is written 0, as `bcftools norm -m-any` does."""
        rows = await self._rows(ctx, view, PLANES, keys)
        kept = await self._rows(ctx, view, FORMAT, keys)
        texts = planes.texts(planes.decode(list(rows.values()), self.size, self.ordinals), other="0")
        found = {}
        for place, (key, row) in enumerate(rows.items()):
            numbers = kept.get(key, {}) | {"ps": row["phase_sets"]}
            fields = {"GT": texts[place].tolist()}
            fields |= {name: self._numbers(numbers[name.lower()]) for name in ("PS", "DP", "GQ") if numbers.get(name.lower()) is not None}
            if numbers.get("ad_ref") is not None:
                depths = zip(self._numbers(numbers["ad_ref"]), self._numbers(numbers["ad_alt"]), strict=True)
                fields["AD"] = ["." if pair == (".", ".") else ",".join(pair) for pair in depths]
            found[key] = ":".join(fields), [":".join(cell) for cell in zip(*fields.values(), strict=True)]
        return found

    async def _rows(self, ctx: Context, view: View, read: Read, keys: Sequence[int]) -> dict[int, dict[str, Any]]:
        columns = ordered_columns(read, read.columns)
        only = where(load=[self.load_id])
        text, values = compose(read, "variant", columns=columns, order="load", filter=only, mode="all")
        fetched = await ctx.fetch(text, values | view.bound | {"keys": list(keys)}, "individual")
        return {row[0]: dict(zip(columns, row[2:], strict=True)) for row in fetched}

    def _numbers(self, array: Sequence[int | None]) -> list[str]:
        return ["." if (number := array[place]) is None else str(number) for place in self.ordinals.tolist()]


async def columns_of(ctx: Context, samples: Sequence[str] | None, everybody: bool, datasets: Sequence[str] | None) -> Columns | None:
    """The columns for the samples named, or for all of a callset; None where none are asked for.

    They stand in the order given, or in that of the callset, which is the one that has them; raises UserError where none or several have.
    """
    if not samples and not everybody:
        return None
    wanted = await sample_ids(ctx, ctx.view, samples) if samples else []
    rows = await ctx.query_individual(ctx.view, statement("callsets_with"), wanted, ctx.view.seen)
    found = [row for row in rows if not datasets or row["dataset"] in datasets]
    if len(found) != 1:
        what = "these samples" if samples else "genotypes"
        names = ", ".join(row["dataset"] for row in found)
        raise UserError(
            "SEVERAL_DATASETS" if found else "NO_CALLSET",
            f"Several visible callsets have {what}: {names}." if found else f"No visible callset has {what}.",
            hint="Choose one with --dataset." if found else "vkg loads shows what is loaded.",
        )
    load_id, dataset = found[0]["load_id"], found[0]["dataset"]
    people = await ctx.query_individual(ctx.view, statement("samples_of_callset"), load_id)
    place = {row["sample_id"]: row for row in people}
    chosen = [place[sample] for sample in wanted or place]
    return Columns(load_id, dataset, len(people), [row["name"] for row in chosen], np.array([row["ordinal"] for row in chosen]))
