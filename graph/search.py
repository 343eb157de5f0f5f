"""Typeahead over rsIDs, gene symbols, samples and everything that names a variant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Union

import strawberry

from store.errors import InvalidName
from store.region import Region
from store.statements import statement
from store.variant_name import RsId, parse_name

from . import names
from .context import Context, View
from .errors import UserError
from .page import checked_size
from .people import find_samples
from .relation import Ref
from .resolve import find_genes, resolve_names

if TYPE_CHECKING:
    from .gene import Gene
    from .sample import Sample
    from .variant import Variant

SearchResult = Annotated[
    Union["Variant", "Gene", "Sample"],
    strawberry.union("SearchResult", description="Something that `search` finds."),
]
names.__dict__["SearchResult"] = SearchResult
LONGEST_TEXT = 200
_LARGEST_RSID = 10**12


async def search_refs(ctx: Context, view: View, text: str, first: int) -> Sequence[Ref]:
    """What a typed text may mean, likeliest first: exact names of genes, samples and variants, rsIDs by prefix, variants of a
    region, genes by prefix, samples by prefix."""
    checked_size(first, "first")
    text = text.strip()
    if not text:
        return []
    if len(text) > LONGEST_TEXT:
        raise UserError("TEXT_TOO_LONG", f"A text of {len(text):,} characters.", hint=f"Search texts have at most {LONGEST_TEXT}.")
    loads = list(view.loads)
    found: dict[Ref, None] = {}
    (genes,) = (await find_genes(ctx, view, [text])).values()
    found |= {Ref("Gene", row["gene_id"]): None for row in genes}
    for samples in (await find_samples(ctx, view, list(dict.fromkeys((text, text.upper()))))).values():
        found |= {Ref("Sample", row["sample_id"]): None for row in samples}
    try:
        name = parse_name(text, ctx.assembly)
    except InvalidName:
        name = None
    if isinstance(name, RsId):
        lows, highs = rsid_ranges(name.number)
        rows = await ctx.query(statement("search_rsids"), lows, highs, loads, first)
        found |= {Ref("Variant", row["variant_key"]): None for row in sorted(rows, key=lambda r: (r["rsid"] != name.number, r["rsid"]))}
    elif name is not None:
        (resolution,) = await resolve_names(ctx, view, [text])
        found |= {Ref("Variant", key): None for key in resolution.found}
    elif (region := _region(text)) is not None:
        lo, hi = region.keys()
        rows = await ctx.query(statement("variants_by_position"), [lo], [hi], loads)
        found |= {Ref("Variant", row["variant_key"]): None for row in rows[:first]}
    if len(found) < first and text.replace("-", "").replace(".", "").isalnum():
        prefix = text.upper()
        rows = await ctx.query(statement("search_genes"), prefix, prefix + "\U0010ffff", loads, first)
        found |= {Ref("Gene", row["gene_id"]): None for row in rows}
    if len(found) < first:
        prefix = text.upper()
        seen = view.seen
        rows = await ctx.query_individual(view, statement("search_samples"), prefix, prefix + "\U0010ffff", seen, first)
        found |= {Ref("Sample", row["sample_id"]): None for row in rows}
    return list(found)[:first]


def rsid_ranges(number: int) -> tuple[list[int], list[int]]:
    """The half-open ranges of numbers that begin with these digits: 48 gives 48, 480-489, 4800-4899 ..."""
    lows, highs = [number], [number + 1]
    low, high = number, number + 1
    while (low := low * 10) < _LARGEST_RSID and number:
        high *= 10
        lows.append(low)
        highs.append(high)
    return lows, highs


def _region(text: str) -> Region | None:
    if ":" not in text:
        return None
    try:
        return Region.parse(text)
    except InvalidName:
        return None
