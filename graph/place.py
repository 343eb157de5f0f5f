"""Where in the genome variants are asked for: a region, a gene, or names; and which filters need such a place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import strawberry

from store.read import Filter, Read, drivers_of, leaves
from store.region import Region
from store.variant_key import from_hex

from .context import Context, View
from .errors import UserError
from .filters import LARGEST_FILTERED_REGION
from .gene import checked_flank
from .resolve import MOST_INPUTS, Outcome, find_genes, resolve_names

RegionText = Annotated[
    str | None,
    strawberry.argument(
        description="CHROM:START-END, 1-based and inclusive, such as 20:1,890,000-1,900,000; a chromosome alone is all of it."
    ),
]
GeneName = Annotated[str | None, strawberry.argument(description="A gene: its symbol, identifier, or alias.")]
_IDS = f"Names of variants in any form that `resolve` takes, at most {MOST_INPUTS:,}."
Ids = Annotated[list[str] | None, strawberry.argument(description=_IDS)]
GivenIds = Annotated[list[str], strawberry.argument(description=_IDS)]


def one_place(**given: Any) -> None:
    """Raises UserError BAD_SELECTION where more than one of region, gene and ids is given."""
    if sum(value is not None for value in given.values()) > 1:
        raise UserError("BAD_SELECTION", f"{', '.join(given)} exclude each other.", hint="Give one of them; narrow it with filter.")


async def keys_of(ctx: Context, view: View, ids: Sequence[str]) -> list[int]:
    """The keys of the variants that names mean, in genome order; they may be of variants that are not visible. Raises UserError INVALID_NAME."""
    keys = [from_hex(text.removeprefix("Variant:")) for text in ids]
    if None not in keys and len(keys) <= MOST_INPUTS:  # as the API gives them: nothing to find out
        return sorted({key for key in keys if key is not None})
    found = await resolve_names(ctx, view, ids, visible=False)
    for resolution in found:
        if resolution.outcome is Outcome.INVALID:
            raise UserError("INVALID_NAME", resolution.reason or "", value=resolution.input[:80])
    return sorted({key for resolution in found for key in resolution.found})


async def place(ctx: Context, view: View, region: str | None, gene: str | None, flank: int, read: Read, asked: Filter) -> dict[str, int]:
    """The bounds `lo` and `hi` of the keys of a region or a gene; none for the whole genome.

    Raises UserError REGION_NEEDED where the filter would read every variant of too long a stretch, BAD_SELECTION, UNKNOWN_GENE or
    AMBIGUOUS_NAME; InvalidName for what is no region.
    """
    one_place(region=region, gene=gene)
    if gene is not None:
        found: Region | None = await _gene_region(ctx, view, gene, checked_flank(flank))
    else:
        found = Region.parse(region) if region is not None else None
    size = min(found.end, ctx.assembly.length(found.chrom)) - found.start + 1 if found else None
    if any(True for _ in leaves(asked)) and not drivers_of(read, asked) and (size is None or size > LARGEST_FILTERED_REGION):
        raise UserError(
            "REGION_NEEDED",
            f"This filter reads every variant it passes over, so it needs a region of at most {LARGEST_FILTERED_REGION:,} bases"
            + (f", not {size:,}." if size else "."),
            value=region,
            hint="Name a region or a gene, or add a selective condition (or several with or): impact HIGH or MODERATE, clinicalSignificance PATHOGENIC, rsid.",
        )
    return dict(zip(("lo", "hi"), found.keys(), strict=True)) if found else {}


async def _gene_region(ctx: Context, view: View, name: str, flank: int) -> Region:
    row = await named_gene(ctx, view, name)
    return Region(row["chrom"], max(1, row["start_pos"] - flank), row["end_pos"] + flank)


async def named_gene(ctx: Context, view: View, name: str) -> Any:
    """The gene that a name means, as a row of find_genes. Raises UserError UNKNOWN_GENE or AMBIGUOUS_NAME."""
    rows = (await find_genes(ctx, view, [name]))[name]
    if not rows:
        raise UserError(
            "UNKNOWN_GENE",
            f"No visible gene annotation has {name[:80]!r}.",
            value=name[:80],
            hint="search(text:) finds genes by the start of a symbol.",
        )
    return only_gene(rows, name)


def only_gene(rows: list[Any], name: str) -> Any:
    """The one gene that a name means. Raises UserError AMBIGUOUS_NAME."""
    if len(rows) > 1:
        ids = ", ".join(sorted(row["gene_id"] for row in rows))
        raise UserError("AMBIGUOUS_NAME", f"{name!r} is a name of several genes: {ids}.", value=name, hint="Use one of these identifiers.")
    return rows[0]
