"""The root of the graph: where every query begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import strawberry

from store.gene import GENE
from store.ledger import LOAD, RELEASE
from store.read import driver_of, leaves, where
from store.region import Region
from store.statements import statement
from store.variant import VARIANT

from .context import Context, View
from .errors import UserError
from .filters import LARGEST_FILTERED_REGION, conditions
from .gene import Filter, Flank, checked_flank
from .ledger import DatasetKind
from .link import Ask, Connection, Ref, computed, define, leaf, link
from .node import Node, ref
from .relation import ROOT
from .resolve import MOST_INPUTS, Outcome, Resolution, find_genes, one_variant, resolve_names, stem
from .scalars import BigInt
from .search import SearchResult, search_refs
from .variant import Datasets

if TYPE_CHECKING:
    from .gene import Gene
    from .ledger import Load, Release
    from .variant import Variant

RegionText = Annotated[
    str | None,
    strawberry.argument(
        description="CHROM:START-END, 1-based and inclusive, such as 20:1,890,000-1,900,000; a chromosome alone is all of it."
    ),
]
Kind = Annotated[DatasetKind | None, strawberry.argument(description="Only datasets of this kind.")]
Named = Annotated[bool | None, strawberry.argument(description="Only releases with a name, or only others.")]
GeneName = Annotated[str | None, strawberry.argument(description="Symbol or identifier of a gene.")]
Ids = Annotated[
    list[str] | None, strawberry.argument(description=f"Names of variants in any form that `resolve` takes, at most {MOST_INPUTS:,}.")
]


@define
@strawberry.type(description="How many rows the visible loads hold.")
class StoreCounts:
    records: BigInt = leaf("Records of variants, one per variant and file.")
    genes: BigInt = leaf("Genes.")
    transcripts: BigInt = leaf("Transcripts.")
    consequences: BigInt = leaf("Transcript consequences.")
    clinical: BigInt = leaf("Clinical classifications.")
    scores: BigInt = leaf("Scores.")


@define
@strawberry.type(description="What this store holds.")
class Store:
    key: strawberry.Private[int]
    assembly: str = leaf("The assembly of all positions: GRCh37 or GRCh38.")
    version: str = leaf("Version of the software that answers.")

    @computed(on="key")
    async def release(ctx: Context, view: View, keys: Sequence[int]) -> Release:
        """The release that this answer reads."""
        return [(key, Ref("Release", view.release_id)) for key in keys]

    @link(LOAD, by="all")
    def loads(ctx: Context, *, dataset: Datasets = None, kind: Kind = None) -> list[Load]:
        """The visible loads, oldest first."""
        return Ask(where(dataset=dataset, kind=[kind.name.lower()] if kind else None))

    @link(RELEASE, by="all")
    def releases(ctx: Context, *, named: Named = None) -> Connection[Release]:
        """Releases, newest first; `named: true` gives those that can be pinned."""
        return Ask(where(named=named))

    @computed(on="key")
    async def counts(ctx: Context, view: View, keys: Sequence[int]) -> StoreCounts:
        """How many rows the visible loads hold."""
        (row,) = await ctx.query(statement("store_counts"), list(view.loads))
        return [(key, StoreCounts(**row)) for key in keys]

    @computed(on="key")
    async def scores(ctx: Context, view: View, keys: Sequence[int]) -> list[str]:
        """Names of the scores that variants can have."""
        rows = await ctx.query(statement("score_names"), list(view.loads))
        return [(key, row[0]) for key in keys for row in rows]

    @computed(on="key")
    async def populations(ctx: Context, view: View, keys: Sequence[int]) -> list[str]:
        """Names of the populations that frequencies can have."""
        rows = await ctx.query(statement("population_names"), list(view.loads))
        return [(key, row[0]) for key in keys for row in rows]


@define
@strawberry.type(description="Where every query begins.")
class Query:
    @computed()
    async def node(
        ctx: Context,
        view: View,
        keys: Sequence[int],
        *,
        id: Annotated[strawberry.ID, strawberry.argument(description="An id, as from the field id.")],
    ) -> Node | None:
        """The object with an id; null where it is not visible."""
        return [(ROOT, ref(id))]

    @computed()
    async def nodes(
        ctx: Context, view: View, keys: Sequence[int],
        *, ids: Annotated[list[strawberry.ID], strawberry.argument(description=f"Ids, at most {MOST_INPUTS:,}.")],
    ) -> list[Node | None]:  # fmt: skip
        """The objects with these ids, in their order; null for those that are not visible."""
        if len(ids) > MOST_INPUTS:
            raise UserError(
                "TOO_MANY_INPUTS", f"{len(ids):,} ids at once; the most is {MOST_INPUTS:,}.", value=len(ids), hint="Ask in portions."
            )
        return [(ROOT, ref(id)) for id in ids]

    @computed()
    async def resolve(
        ctx: Context, view: View, keys: Sequence[int],
        *, inputs: Annotated[list[str], strawberry.argument(description=f"Names of variants, at most {MOST_INPUTS:,}.")],
    ) -> list[Resolution]:  # fmt: skip
        """What each name means. Names are CHROM-POS-REF-ALT (also with : or _), rsIDs, SPDI, HGVS (genomic; c. and p. where an
        annotation has them), VariantKeys in hex, and positions (CHROM:POS), which mean the variants there."""
        return [(ROOT, found) for found in await resolve_names(ctx, view, inputs)]

    @computed()
    async def variant(
        ctx: Context,
        view: View,
        keys: Sequence[int],
        *,
        id: Annotated[str, strawberry.argument(description="A name in any form that `resolve` takes.")],
    ) -> Variant | None:
        """One variant by any of its names; null where no visible file has it."""
        key = await one_variant(ctx, view, id)
        return [] if key is None else [(ROOT, Ref("Variant", key))]

    @link(VARIANT, by="region")
    async def variants(
        ctx: Context,
        view: View,
        *,
        region: RegionText = None,
        gene: GeneName = None,
        ids: Ids = None,
        flank: Flank = 0,
        filter: Filter = None,
    ) -> Connection[Variant]:
        """Variants in genome order: those whose position lies in a region or a gene (with `flank` bases around it), those with
        these names, or all."""
        if sum(given is not None for given in (region, gene, ids)) > 1:
            raise UserError("BAD_SELECTION", "region, gene and ids exclude each other.", hint="Give one of them; narrow it with filter.")
        asked = conditions(filter)
        if ids is not None:
            found = await resolve_names(ctx, view, ids)
            for resolution in found:
                if resolution.outcome is Outcome.INVALID:
                    raise UserError("INVALID_NAME", resolution.reason or "", value=resolution.input[:80])
            return Ask(asked, {"variant_keys": sorted({key for resolution in found for key in resolution.found})}, by="keys")
        if gene is not None:
            where_it_is: Region | None = await _gene_region(ctx, view, gene, checked_flank(flank))
        else:
            where_it_is = Region.parse(region) if region is not None else None
        size = min(where_it_is.end, ctx.assembly.length(where_it_is.chrom)) - where_it_is.start + 1 if where_it_is else None
        if any(True for _ in leaves(asked)) and driver_of(VARIANT, asked) is None and (size is None or size > LARGEST_FILTERED_REGION):
            raise UserError(
                "REGION_NEEDED",
                f"This filter reads every variant it passes over, so it needs a region of at most {LARGEST_FILTERED_REGION:,} bases"
                + (f", not {size:,}." if size else "."),
                value=region,
                hint="Name a region, gene or ids, or add a selective condition: impact HIGH or MODERATE, clinicalSignificance PATHOGENIC, rsid.",
            )
        if where_it_is is None:
            return Ask(asked)
        lo, hi = where_it_is.keys()
        return Ask(asked, {"lo": lo, "hi": hi})

    @computed()
    async def gene(
        ctx: Context,
        view: View,
        keys: Sequence[int],
        *,
        id: Annotated[str, strawberry.argument(description="Symbol or identifier, with or without version.")],
    ) -> Gene | None:
        """One gene; null where no visible annotation has it."""
        rows = (await find_genes(ctx, view, [id]))[id]
        return [(ROOT, Ref("Gene", _one(rows, id)["gene_id"]))] if rows else []

    @link(GENE, by="all")
    def genes(
        ctx: Context, *, region: RegionText = None, ids: Annotated[list[str] | None, strawberry.argument(description="Symbols or identifiers.")] = None,
        biotype: Annotated[list[str] | None, strawberry.argument(description="Biotypes (protein_coding ...).")] = None,
    ) -> Connection[Gene]:  # fmt: skip
        """Genes in genome order: all, those that overlap a region, or those with these names."""
        asked = where(biotype=biotype, name=None if ids is None else [stem(name) for name in ids])
        if region is None:
            return Ask(asked)
        lo, hi = Region.parse(region).keys()
        return Ask(asked, {"lo": lo, "hi": hi}, by="region")

    @computed()
    async def search(
        ctx: Context, view: View, keys: Sequence[int],
        *, text: Annotated[str, strawberry.argument(description="What was typed: an rsID or the start of one, a gene symbol or the start of one, a position, a region, any name of a variant.")],
        first: Annotated[int, strawberry.argument(description="How many results, at most 1,000.")] = 10,
    ) -> list[SearchResult]:  # fmt: skip
        """What a typed text may mean, likeliest first."""
        return [(ROOT, found) for found in await search_refs(ctx, view, text, first)]

    @computed()
    async def store(ctx: Context, view: View, keys: Sequence[int]) -> Store:
        """What this store holds."""
        from .schema import VERSION

        return [(ROOT, Store(key=0, assembly=ctx.assembly.name, version=VERSION))]


async def _gene_region(ctx: Context, view: View, name: str, flank: int) -> Region:
    rows = (await find_genes(ctx, view, [name]))[name]
    if not rows:
        raise UserError(
            "UNKNOWN_GENE",
            f"No visible gene annotation has {name[:80]!r}.",
            value=name[:80],
            hint="search(text:) finds genes by the start of a symbol.",
        )
    row = _one(rows, name)
    return Region(row["chrom"], max(1, row["start_pos"] - flank), row["end_pos"] + flank)


def _one(rows: list, name: str) -> dict:
    if len(rows) > 1:
        ids = ", ".join(sorted(row["gene_id"] for row in rows))
        raise UserError(
            "AMBIGUOUS_NAME", f"{name!r} is the symbol of several genes: {ids}.", value=name, hint="Use one of these identifiers."
        )
    return rows[0]
