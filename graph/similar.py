"""Variants that are like another one: whose vectors, by a model, point where its own does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from store.read import EVERYTHING, Filter, Read
from store.similarity import MODEL, nearest, vectors
from store.variant import VARIANT

from .batch import LISTED, read_all
from .context import Context, View
from .cursor import decode_cursor, encode_cursor
from .errors import UserError
from .link import Ask, Ref, computed, define, entity, leaf, link
from .page import LARGEST_PAGE, PageInfo

if TYPE_CHECKING:
    from .variant import Variant

SEARCH = 50
"""What it costs to find the variants nearest to one, in objects."""
_VECTOR = 100

ModelName = Annotated[
    str | None, strawberry.argument(description="Name of a model (embeddingModels); may be left out where there is one alone.")
]
SameGene = Annotated[bool, strawberry.argument(description="Only variants in a gene that it lies in.")]
HowManySimilar = Annotated[int, strawberry.argument(description="How many, at most 1,000.")]
AfterSimilar = Annotated[str | None, strawberry.argument(description="Cursor to go on after.")]
MinSimilarity = Annotated[float | None, strawberry.argument(description="Least cosine similarity, -1 to 1.")]


@entity(MODEL, description="A model that turns variants into vectors, and all that decides what comes out.")
class EmbeddingModel:
    model_id: strawberry.Private[int]
    name: str = leaf("Name, as the argument model takes it.")
    revision: str | None = leaf("Revision of the published model, or version of the layout.")
    weights_sha256: str | None = leaf("SHA-256 of the weights, in hex; null for a model without.")
    dimension: int = leaf("Length of its vectors.")
    flank: int | None = leaf("Bases of the reference on either side of the variant that it reads; null for a model that reads none.")
    pooling: str | None = leaf("How tokens become one vector: variant, mean or max.")
    dtype: str | None = leaf("Precision of the model.")
    inputs: list[str] = leaf("Kinds of observations that it read: by these, similar variants are alike because they are said to be.")


@define
@strawberry.type(description="What a model makes of a variant.")
class VariantEmbedding:
    model: EmbeddingModel = leaf("The model.")
    norm: float = leaf("Length of the difference of the vectors of ALT and REF: how much ALT changes.")
    distance: float | None = leaf("Cosine distance between the vectors of REF and ALT, 0 to 2; null where the model makes one vector of both.")
    key: strawberry.Private[Any]

    @computed(on="key", cost=_VECTOR)
    async def direction(ctx: Context, view: View, keys: Sequence[Any]) -> list[float]:
        """The difference of the vectors of ALT and REF, of length 1."""
        found = []
        for model in sorted({model for model, _ in keys}):
            wanted = [variant for number, variant in keys if number == model]
            for variant, row in await read_all(ctx, view, vectors(model), "variant", wanted, columns=("direction",)):
                found += [((model, variant), value) for value in row["direction"]]
        return found


@define
@strawberry.type(description="A variant that is like another one.")
class SimilarVariantEdge:
    variant_key: strawberry.Private[int]
    similarity: float = leaf("Cosine similarity of the two vectors, -1 to 1. It is no probability, and says nothing of disease.")
    cursor: str = leaf("Where the row stands: pass it as `after`.")

    @link(VARIANT, by="pk", on="variant_key")
    def node(ctx: Context) -> Variant:
        """The variant."""
        return Ask()


@define
@strawberry.type(description="The variants most like another one, the most similar first.")
class SimilarVariantConnection:
    keys: strawberry.Private[Any]
    model: EmbeddingModel = leaf("The model that says so.")
    edges: list[SimilarVariantEdge] = leaf("The variants, each with its similarity.")
    page_info: PageInfo = leaf("Where the page lies in its list.")

    @computed(on="keys")
    async def nodes(ctx: Context, view: View, keys: Sequence[Any]) -> list[Variant]:
        """The variants."""
        return [(page, Ref("Variant", variant)) for page in keys for variant in page]


async def model_named(ctx: Context, view: View, name: str | None) -> EmbeddingModel:
    """A registered model: the one of the name, or the only one. Raises UserError UNKNOWN_MODEL or MODEL_NEEDED."""
    from .batch import object_of

    known = [object_of(EmbeddingModel, row, view) for _, row in await read_all(ctx, view, MODEL, "all", [])]
    if name is None and len(known) == 1:
        return known[0]
    names = ", ".join(model.name for model in known)
    if name is None and known:
        raise UserError("MODEL_NEEDED", "Several models have vectors of variants.", hint=f"Name one: {names}.")
    found = next((model for model in known if model.name == name), None)
    if found is None:
        hint = f"There are {names}." if known else "Embed variants first: vkg embed --model annotation"
        raise UserError("UNKNOWN_MODEL", f"No model {(name or '')[:80]!r} has vectors of variants.", value=(name or "")[:80], hint=hint)
    return found


def checked_similarity(least: float | None) -> float | None:
    """A least similarity, if it is one. Raises UserError BAD_SIMILARITY."""
    if least is not None and not (math.isfinite(least) and -1 <= least <= 1):
        raise UserError("BAD_SIMILARITY", f"minSimilarity: {least} is not between -1 and 1.", value=least)
    return least


async def embeddings_of(ctx: Context, view: View, keys: Sequence[int], name: str | None) -> list[tuple[int, VariantEmbedding]]:
    """(variant, what the model makes of it) of those that have a vector."""
    model = await model_named(ctx, view, name)
    rows = await read_all(ctx, view, vectors(model.model_id), "variant", keys, columns=("norm", "distance"))
    return [(key, VariantEmbedding(model=model, key=(model.model_id, key), **row)) for key, row in rows]


async def similar_of(
    ctx: Context, view: View, keys: Sequence[int], name: str | None, first: int, after: str | None, condition: Filter = EVERYTHING,
    *, same_gene: bool = False, span: tuple[int, int] | None = None,
) -> list[tuple[int, SimilarVariantConnection]]:  # fmt: skip
    """(variant, the page of those most like it) of variants that have a vector by the model: of all, of those in its genes, or of those in a range of
    keys, half-open."""
    model = await model_named(ctx, view, name)
    begin = 0
    if after is not None:
        release, (place,) = decode_cursor(after, "similar", "place", LISTED)
        view, begin = await ctx.view_of(release), place + 1
    if begin + first > LARGEST_PAGE:
        raise UserError(
            "TOO_MANY_SIMILAR",
            f"The {LARGEST_PAGE:,} most similar are given, no more.",
            value=begin + first,
            hint="Narrow it with a filter.",
        )
    known = [key for key, _ in await read_all(ctx, view, vectors(model.model_id), "variant", keys, columns=())]
    count = begin + first + 1
    found: dict[int, list[dict[str, Any]]] = {}
    by = "gene" if same_gene else "span" if span else "variant"
    if by == "variant":
        found = await _read(
            ctx, view, nearest(model.model_id, "index" if condition == EVERYTHING else "among"), by, known, count, condition, span
        )
    if few := [key for key in known if len(found.get(key, ())) < count]:  # perhaps all there are, perhaps not
        found |= await _read(ctx, view, nearest(model.model_id, "exact"), by, few, count, condition, span)
    return [(key, _page(view, model, found.get(key, []), begin, first)) for key in known]


async def _read(
    ctx: Context, view: View, read: Read, by: str, keys: Sequence[int], count: int, asked: Filter, span: tuple[int, int] | None
) -> dict[int, list[dict[str, Any]]]:
    """By variant at most `count` rows most like it."""
    bounds = dict(zip(("lo", "hi"), span, strict=True)) if span else {}
    found: dict[int, list[dict[str, Any]]] = {}
    values: dict[str, Any] = {"limit": count} | bounds
    for key, row in await read_all(ctx, view, read, by, keys, where=asked, **values):
        found.setdefault(key, []).append(row)
    return found


def _page(view: View, model: EmbeddingModel, rows: list[dict[str, Any]], begin: int, first: int) -> SimilarVariantConnection:
    edges = [
        SimilarVariantEdge(
            variant_key=row["variant_key"], similarity=row["similarity"], cursor=encode_cursor(view.release_id, "similar", "place", [place])
        )
        for place, row in enumerate(rows[begin : begin + first], begin)
    ]
    for edge in edges:
        edge._view = view  # type: ignore[attr-defined]
    info = PageInfo(
        has_next_page=len(rows) > begin + first, has_previous_page=begin > 0,
        start_cursor=edges[0].cursor if edges else None, end_cursor=edges[-1].cursor if edges else None,
    )  # fmt: skip
    return SimilarVariantConnection(keys=tuple(edge.variant_key for edge in edges), model=model, edges=edges, page_info=info)
