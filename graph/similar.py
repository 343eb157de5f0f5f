"""Variants that are like another one, or like a vector: whose vectors, by a model, point where it does."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import strawberry

from store.ledger import RELEASE
from store.read import EVERYTHING, HIGHEST, LOWEST, Filter, Order, Read, both, compose, drivers_of, where
from store.similarity import GIVEN, MODEL, nearest, passing, vectors
from store.variant import VARIANT

from .batch import object_of, read_all
from .context import Context, View
from .cursor import decode_cursor, encode_cursor
from .errors import UserError
from .filters import VariantFilter, conditions
from .link import Ask, Ref, computed, define, entity, leaf, link
from .page import LARGEST_PAGE, PageInfo, checked_size
from .people import check_frequencies
from .place import place

if TYPE_CHECKING:
    from .ledger import Release
    from .variant import Variant

SEARCH = 50
"""What it costs to find the variants nearest to one, in objects."""
_VECTOR = 100
SPARE = 14
"""So many more than are asked for are looked at first: some are not visible."""
TRIED = 500
"""Where these are too few, so many of the nearest are looked at, or more for a long page."""
MOST_TRIED = 2_500
LONGEST_SEQUENCE = 20_001
"""Bases of a sequence at most."""
READING = 1_000
"""What it costs to have a model read two sequences, in objects."""
_WAITING = 8
_READER = ThreadPoolExecutor(1, "model")
"""Where models read: one at a time, apart from the threads that other work is done in."""
_PLACES = BoundedSemaphore(_WAITING)
WIDE = 5_000_000 << 31
"""In a range of keys as wide as so many bases the nearest are looked for by the index first."""
_RAREST = 1e-45
"""Below the smallest frequency that is not 0, in the precision in which they are stored."""
_PLACE = Order(("of", "place", "distance", "variant_key"))
"""What a cursor holds: the variant (or vector) whose list it is, and where in that a row stands."""
_KINDS = (int, int, float, int)

ModelName = Annotated[
    str | None, strawberry.argument(description="Name of a model (embeddingModels); may be left out where there is one alone.")
]
SameGene = Annotated[bool, strawberry.argument(description="Only variants in a gene that it lies in.")]
HowManySimilar = Annotated[int, strawberry.argument(description="How many, at most 1,000.")]
AfterSimilar = Annotated[str | None, strawberry.argument(description="Cursor to go on after.")]
MinSimilarity = Annotated[float | None, strawberry.argument(description="Least cosine similarity, -1 to 1.")]
SeenIn = Annotated[
    str | None,
    strawberry.argument(
        description="Only variants seen in this population: whose frequency there is above 0. As the dataset names it; ALL is all."
    ),
]
Direction = Annotated[
    list[float],
    strawberry.argument(description="As many numbers as vectors of the model have (EmbeddingModel.dimension). Its length does not matter."),
]
RefSequence = Annotated[
    str,
    strawberry.argument(
        description=f"Sequence with REF: the bases around the variant, best as many as the model reads (EmbeddingModel.flank); at most five times as many, and {LONGEST_SEQUENCE:,}."
    ),
]
AltSequence = Annotated[str, strawberry.argument(description="The same sequence with ALT in place of REF.")]


@entity(MODEL, description="A model that turns variants into vectors, and all that decides what comes out.")
class EmbeddingModel:
    model_id: strawberry.Private[int]
    release_id: strawberry.Private[int | None]
    name: str = leaf("Name, as the argument model takes it.")
    revision: str | None = leaf("Revision of the published model, or version of the layout.")
    weights_sha256: str | None = leaf("SHA-256 of the weights, in hex; null for a model without.")
    dimension: int = leaf("Length of its vectors.")
    flank: int | None = leaf(
        "Bases of the reference, of a model of proteins residues, on either side of the change that it reads; null for a model that reads none."
    )
    pooling: str | None = leaf("How tokens become one vector: variant, mean or max.")
    dtype: str | None = leaf("Precision of the model.")
    reference: str | None = leaf(
        "Digest of the reference, of a model of proteins of their FASTA, that it read; null for a model that reads none."
    )
    inputs: list[str] = leaf(
        "What it reads: sequence, or kinds of observations. In these, similar variants are alike because they are said to be."
    )

    @link(RELEASE, by="pk", on="release_id")
    def release(ctx: Context) -> Release | None:
        """The release whose observations it read; null for a model that reads none."""
        return Ask()


@define
@strawberry.type(description="What a model makes of a variant.")
class VariantEmbedding:
    model: EmbeddingModel = leaf("The model.")
    norm: float = leaf(
        "Length of the difference of the vectors of ALT and REF: how much ALT changes. Of a model that makes one vector of both, its length."
    )
    distance: float | None = leaf(
        "Cosine distance between the vectors of REF and ALT, 0 to 2; null where the model makes one vector of both."
    )
    key: strawberry.Private[Any]

    @computed(on="key", cost=_VECTOR)
    async def direction(ctx: Context, view: View, keys: Sequence[Any]) -> list[float]:
        """The difference of the vectors of ALT and REF, or the one vector of both, of length 1; all 0 where ALT changes nothing."""
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
    similarity: float = leaf(
        "Cosine similarity of the two vectors, -1 to 1, to six places. It is no probability, and says nothing of disease."
    )
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


def checked_similarity(least: float, lowest: float = -1, name: str = "minSimilarity") -> float:
    """A least similarity, if it is one. Raises UserError BAD_SIMILARITY."""
    if not lowest <= least <= 1:  # nor is NaN
        hint = "Of the same vectors it is 1."
        raise UserError("BAD_SIMILARITY", f"{name}: {least} is not between {lowest} and 1.", value=least, hint=hint)
    return least


async def embeddings_of(ctx: Context, view: View, keys: Sequence[int], name: str | None) -> list[tuple[int, VariantEmbedding]]:
    """(variant, what the model makes of it) of those that have a vector."""
    model = await model_named(ctx, view, name)
    rows = await read_all(ctx, view, vectors(model.model_id), "variant", keys, columns=("norm", "distance"))
    return [(key, VariantEmbedding(model=model, key=(model.model_id, key), **row)) for key, row in rows]


@dataclass(frozen=True)
class Listing:
    """Which page of similar variants is asked for: by which model, of how many, after which cursor, and of which variants."""

    model: EmbeddingModel
    first: int
    after: str | None
    condition: Filter
    span: tuple[int, int] | None
    least: float | None
    same_gene: bool = False


async def listing(
    ctx: Context, view: View, model: str | None, first: int, after: str | None, least: float | None, filter: VariantFilter | None,
    region: str | None, gene: str | None, population: str | None, *, same_gene: bool = False,
) -> Listing:  # fmt: skip
    """The arguments that all lists of similar variants have, checked. Raises UserError."""
    found = await place(ctx, view, region, gene, 0, VARIANT, EVERYTHING)
    if found and same_gene:
        raise UserError("BAD_SELECTION", "sameGene, gene and region exclude each other.", hint="Give one of them; narrow it with filter.")
    condition = conditions(filter)
    if population is not None:
        await check_frequencies(ctx, view, population, None)
        condition = both(condition, where(frequency={"population": population, "dataset": None, "min": _RAREST, "max": None}))
    span = (found["lo"], found["hi"]) if found else None
    bound = None if least is None else checked_similarity(least)
    return Listing(await model_named(ctx, view, model), checked_size(first, "first"), after, condition, span, bound, same_gene)


async def similar_of(ctx: Context, view: View, keys: Sequence[int], asked: Listing) -> list[tuple[int, SimilarVariantConnection]]:
    """(variant, the page of those most like it) of variants that have a vector by the model."""
    if asked.after is not None and len(keys) > 1:
        raise _another_list()
    view, begin, last = await _begin(ctx, view, asked, keys[0])
    known = [key for key, _ in await read_all(ctx, view, vectors(asked.model.model_id), "variant", keys, columns=())]
    return await _pages(ctx, view, known, asked, begin, last, {key: key for key in known})


async def similar_to(ctx: Context, view: View, vector: np.ndarray, asked: Listing, sign: str = "") -> SimilarVariantConnection:
    """The page of the variants most like a vector, float32 (dimension,). `sign` stands for what it was made of, where that may come out otherwise
    another time."""
    length = float(np.linalg.norm(vector.astype(np.float64)))
    unit = vector / length if length else vector
    # What halves of it there are decides over the list, whatever its length was.
    made = hashlib.blake2b(sign.encode() or unit.astype(np.float16).tobytes(), digest_size=8).digest()
    of = int.from_bytes(made, "big", signed=True)
    view, begin, last = await _begin(ctx, view, asked, of)
    pages = await _pages(ctx, view, [GIVEN] if length else [], asked, begin, last, {GIVEN: of}, tuple(unit.tolist()))
    return pages[0][1] if pages else _page(view, asked.model, of, [], begin, asked.first)


def checked_vector(model: EmbeddingModel, numbers: Sequence[float]) -> np.ndarray:
    """The direction of a vector that may be one of the model's, float32 (dimension,), of length 1. Raises UserError BAD_VECTOR."""
    if len(numbers) != model.dimension:
        what = f"The vector has {len(numbers):,} numbers, and those of {model.name} have {model.dimension:,}."
        raise UserError("BAD_VECTOR", what, value=len(numbers), hint="Make it with the same model: embeddingModels says what decides.")
    vector = np.array(numbers, np.float64)
    wrong = np.flatnonzero(~np.isfinite(vector))
    if len(wrong):
        raise UserError("BAD_VECTOR", f"Number {wrong[0] + 1} of the vector is {numbers[wrong[0]]}.", hint="All must be finite.")
    largest = np.abs(vector).max()
    if not largest:
        raise UserError("BAD_VECTOR", "The vector is zero, and points nowhere.", hint="Nothing is like it.")
    vector /= largest  # squares of the numbers as they came may be beyond any float
    return (vector / np.linalg.norm(vector)).astype(np.float32)


async def vector_of(ctx: Context, model: EmbeddingModel, ref: str, alt: str) -> np.ndarray:
    """What the model, which this server has loaded, makes of ALT less REF: float32 (dimension,), zero where that is nothing.

    Raises UserError BAD_MODEL, MODEL_NOT_LOADED, BAD_SEQUENCE or BUSY.
    """
    if model.inputs != ["sequence"]:
        hint = "Name a model that does: see embeddingModels."
        raise UserError("BAD_MODEL", f"{model.name} reads no sequences of DNA.", value=model.name, hint=hint)
    if (read := ctx.models.get(model.name)) is None:
        loaded = f"It has {', '.join(sorted(ctx.models))}. " if ctx.models else ""
        hint = f"{loaded}Serve it (vkg serve --model {model.name}), or give a vector (variantsByEmbedding)."
        raise UserError("MODEL_NOT_LOADED", f"This server has not loaded the model {model.name}.", value=model.name, hint=hint)
    longest = min(LONGEST_SEQUENCE, 5 * (2 * (model.flank or 0) + 1))
    for name, text in (("ref", ref), ("alt", alt)):
        if not 0 < len(text) <= longest:
            hint = f"Give up to {longest:,}, best {2 * (model.flank or 0) + 1:,}: the model read so many around each variant."
            raise UserError("BAD_SEQUENCE", f"{name} has {len(text):,} letters.", value=len(text), hint=hint)
        if wrong := re.search("[^ACGTNacgtn]", text):
            hint = "Write A, C, G and T alone, and N where a base is not known."
            raise UserError("BAD_SEQUENCE", f"{name}: letter {wrong.start() + 1} is {wrong[0]!r}.", value=wrong[0], hint=hint)
    if not _PLACES.acquire(blocking=False):
        raise UserError("BUSY", f"{_WAITING} others wait for a model of this server.", hint="Try again in a moment.")
    reading = _READER.submit(read, ref.upper(), alt.upper())
    reading.add_done_callback(lambda _: _PLACES.release())
    try:
        return await asyncio.wrap_future(reading)
    except ValueError as error:
        hint = "Give what the model reads: a stretch of the reference, with REF and with ALT."
        raise UserError("BAD_SEQUENCE", str(error), hint=hint) from None


async def _begin(ctx: Context, view: View, asked: Listing, of: int) -> tuple[View, int, Sequence[Any] | None]:
    """The view that a page is of, how many rows come before it, and the (distance, variant) of the last one. Raises UserError BAD_CURSOR or
    TOO_MANY_SIMILAR."""
    begin, last = 0, None
    if asked.after is not None:
        release, (whose, place, *last) = decode_cursor(asked.after, f"similar {asked.model.model_id}", "nearest", _PLACE, _KINDS)
        if whose != of or place < 0:
            raise _another_list()
        view, begin = await ctx.view_of(release), place + 1
    if begin >= LARGEST_PAGE:
        raise UserError(
            "TOO_MANY_SIMILAR",
            f"The {LARGEST_PAGE:,} most similar are given, no more.",
            value=begin + asked.first,
            hint="Narrow it with a filter.",
        )
    ctx.read[view.release_id] = view
    return view, begin, last


def _another_list() -> UserError:
    return UserError("BAD_CURSOR", "The cursor is of the list of another variant.", hint="A cursor goes on where it came from.")


async def _pages(
    ctx: Context, view: View, keys: Sequence[int], asked: Listing, begin: int, last: Sequence[Any] | None, of: Mapping[int, int],
    vector: tuple[float, ...] | None = None,
) -> list[tuple[int, SimilarVariantConnection]]:  # fmt: skip
    first = min(asked.first, LARGEST_PAGE - begin)
    by = "gene" if asked.same_gene else "span" if asked.span else "variant"
    wanted = Wanted(first + 1, asked.condition, by, asked.span, asked.least, begin, last, vector=vector)
    found = await search(ctx, view, asked.model.model_id, keys, wanted)
    return [(key, _page(view, asked.model, of[key], found.get(key, []), begin, first)) for key in keys]


@dataclass(frozen=True)
class Wanted:
    """Which rows: how many, of those that a condition holds for, `by` variant, gene or span (a range of keys), of at least a similarity; `begin` so many
    further on, after a (distance, variant); further `apart` than so many bases; near a `vector` instead of a variant."""

    count: int
    condition: Filter = EVERYTHING
    by: str = "variant"
    span: tuple[int, int] | None = None
    least: float | None = None
    begin: int = 0
    after: Sequence[Any] | None = None
    apart: int = -1
    vector: tuple[float, ...] | None = None

    def tries(self) -> tuple[int, int]:
        """How many of the nearest are looked at first, and then, before all are compared."""
        few = (self.begin + self.count) * (1 if self.condition == EVERYTHING and self.span is None else 12) + SPARE
        return min(few, MOST_TRIED), min(max(4 * few, TRIED), MOST_TRIED)

    def done(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """True where rows, the nearest first, are enough, or reach to what is not wanted any more."""
        return len(rows) >= self.count or (self.least is not None and len(rows) > 0 and rows[-1]["similarity"] < self.least)


async def search(ctx: Context, view: View, model_id: int, keys: Sequence[int], wanted: Wanted) -> dict[int, list[dict[str, Any]]]:
    """By variant, of those that have a vector, the rows most like it, the nearest first: as many as are wanted, or all there are. For a vector the
    key is GIVEN."""
    found: dict[int, list[dict[str, Any]]] = {}
    origin = "variant" if wanted.vector is None else "vector"
    if wanted.by == "variant" or (wanted.span is not None and wanted.span[1] - wanted.span[0] > WIDE):
        index = nearest(model_id, "index", origin)
        few, many = wanted.tries()
        found = await _read(ctx, view, index, keys, wanted, few)
        # Where few pass, what is worth a second look is told by the first.
        hopeful = [key for key in keys if (wanted.begin + len(found.get(key, ()))) * many >= (wanted.begin + wanted.count) * few]
        found |= await _read(ctx, view, index, [key for key in hopeful if not wanted.done(found.get(key, ()))], wanted, many)
    rest = [key for key in keys if not wanted.done(found.get(key, ()))]  # perhaps what was found is all there is, perhaps not
    exact = nearest(model_id, "exact", origin)
    if wanted.by == "variant" and drivers_of(exact, wanted.condition):  # an index has what passes
        found |= await _read(ctx, view, exact, rest, replace(wanted, by="span"))
    elif wanted.by == "variant":
        found |= await _read(ctx, view, exact, rest, replace(wanted, condition=passing(wanted.condition)))
    else:
        found |= await _read(ctx, view, exact, rest, wanted)
    return {key: [row for row in rows if wanted.least is None or row["similarity"] >= wanted.least] for key, rows in found.items()}


async def _read(
    ctx: Context, view: View, read: Read, keys: Sequence[int], wanted: Wanted, tried: int = 0
) -> dict[int, list[dict[str, Any]]]:
    """By variant the rows most like it, the nearest first."""
    if not keys:
        return {}
    statement, bound = compose(
        read, wanted.by, columns=read.columns, order="nearest", filter=wanted.condition, mode="all", after=wanted.after is not None, per_parent=True
    )  # fmt: skip
    low, high = wanted.span or (LOWEST, HIGHEST)
    values = bound | view.bound | {"keys": list(keys), "lo": low, "hi": high, "limit": wanted.count, "tried": tried}
    values |= {"apart": wanted.apart, "vector": wanted.vector} | {f"c{i}": value for i, value in enumerate(wanted.after or ())}
    found: dict[int, list[dict[str, Any]]] = {}
    for key, distance, variant, *columns in await ctx.fetch(statement, values):
        row = dict(zip(read.columns, columns, strict=True)) | {"distance": distance, "variant_key": variant}
        found.setdefault(key, []).append(row)
    return found


def _page(view: View, model: EmbeddingModel, of: int, rows: list[dict[str, Any]], begin: int, first: int) -> SimilarVariantConnection:
    edges = []
    for ordinal, row in enumerate(rows[:first], begin):
        cursor = encode_cursor(view.release_id, f"similar {model.model_id}", "nearest", (of, ordinal, row["distance"], row["variant_key"]))
        edge: Any = SimilarVariantEdge(variant_key=row["variant_key"], similarity=row["similarity"], cursor=cursor)
        edge._view = view
        edges.append(edge)
    info = PageInfo(
        has_next_page=len(rows) > first and begin + first < LARGEST_PAGE, has_previous_page=begin > 0,
        start_cursor=edges[0].cursor if edges else None, end_cursor=edges[-1].cursor if edges else None,
    )  # fmt: skip
    page: Any = SimilarVariantConnection(keys=tuple(edge.variant_key for edge in edges), model=model, edges=edges, page_info=info)
    page._view = view
    return page
