"""What a variant may be like where nothing says so: annotations of the variants most like it, carried over, with whom they came from.

Nothing of this is stored. What the model read is not carried over by it: that would tell it its own input. Nor is what the variant has itself. Variants
so near that the model read a part of the same bases are no witnesses. A value that is missing is not 0: only who has one counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import strawberry

from store.annotation import CLINICAL, FREQUENCY, SCORE
from store.read import Filter, where
from store.similarity import vectors
from store.variant import VARIANT

from .batch import read_all
from .context import Context, View
from .errors import UserError
from .filters import ClinicalClass
from .link import Ask, computed, define, leaf, link
from .people import check_frequencies, check_known
from .similar import SEARCH, EmbeddingModel, Wanted, checked_similarity, model_named, search

if TYPE_CHECKING:
    from .variant import Variant

MOST_NEIGHBOURS = 100
MOST_SCORES = 10
"""Scores named at once: neighbours are looked for once for each."""
REACH = 2_500_000
"""Variants this near, in bases, are no witnesses by a model of proteins: they may lie in the same one. The longest genes are about so long."""
_ALSO = {"ALPHAMISSENSE": ("AMPATHOGENICITY",), "SPLICEAI": ("DSAG", "DSAL", "DSDG", "DSDL")}
"""Other names of scores, without punctuation, by the family that has them."""

HowManyNeighbours = Annotated[
    int, strawberry.argument(description=f"So many neighbours that have a value are asked, at most {MOST_NEIGHBOURS}: the most similar.")
]
LeastAlike = Annotated[float, strawberry.argument(description="Least cosine similarity of a neighbour, 0 to 1.")]
CarriedPopulation = Annotated[str, strawberry.argument(description="Population as datasets name it; ALL is the overall frequency.")]
CarriedScores = Annotated[
    list[str] | None,
    strawberry.argument(description=f"Only these scores, at most {MOST_SCORES}, whatever became of each; else all that are carried over."),
]


@define
@strawberry.enum(description="What became of an annotation that was to be carried over.")
class TransferOutcome(Enum):
    TRANSFERRED = strawberry.enum_value("TRANSFERRED", description="Neighbours have it, and it is carried over.")
    KNOWN = strawberry.enum_value("KNOWN", description="The variant has it itself: nothing is carried over.")
    READ_BY_MODEL = strawberry.enum_value("READ_BY_MODEL", description="The model read it: its neighbours are alike in it because it did.")
    NO_NEIGHBOUR = strawberry.enum_value("NO_NEIGHBOUR", description="No neighbour so similar has it.")


@define
@strawberry.type(description="A neighbour, and the number that it has.")
class NumberNeighbour:
    variant_key: strawberry.Private[int]
    similarity: float = leaf("Its cosine similarity, which is its weight.")
    value: float = leaf("The number.")

    @link(VARIANT, by="pk", on="variant_key")
    def node(ctx: Context) -> Variant:
        """The neighbour."""
        return Ask()


@define
@strawberry.type(description="A number carried over from variants that are similar: an estimate, and no observation.")
class TransferredNumber:
    name: str = leaf("Name of the score, or of the population.")
    outcome: TransferOutcome = leaf("What became of it.")
    estimate: float | None = leaf(
        "Mean of the neighbours' numbers, weighted by similarity, to six digits; null where nothing is carried over."
    )
    lowest: float | None = leaf("Lowest of the neighbours' numbers.")
    highest: float | None = leaf("Highest of them.")
    neighbours: list[NumberNeighbour] = leaf("Whom it came from, the most similar first.")


@define
@strawberry.type(description="A neighbour, and its clinical classes.")
class ClassifiedNeighbour:
    variant_key: strawberry.Private[int]
    similarity: float = leaf("Its cosine similarity, which is its weight.")
    classes: list[ClinicalClass] = leaf("What it is classified as (germline), by all visible files.")

    @link(VARIANT, by="pk", on="variant_key")
    def node(ctx: Context) -> Variant:
        """The neighbour."""
        return Ask()


@define
@strawberry.type(description="A clinical class of similar variants.")
class TransferredClass:
    classification: ClinicalClass = leaf("The class.")
    weight: float = leaf(
        "Part of the neighbours, weighted by similarity, that are of this class, 0 to 1, to six places. It is no probability of disease."
    )


@define
@strawberry.type(
    description="Clinical classes of variants that are similar. That is evidence to follow up, and no classification of the variant."
)
class TransferredClinical:
    outcome: TransferOutcome = leaf("What became of it.")
    classes: list[TransferredClass] = leaf("The classes that neighbours have, the weightiest first.")
    neighbours: list[ClassifiedNeighbour] = leaf("Whom they came from, the most similar first.")


class Asked(NamedTuple):
    """Whose annotations are wanted, by which model, from how many neighbours of at least which similarity; what keeps neighbours apart, in bases."""

    variant: int
    model_id: int
    inputs: tuple[str, ...]
    neighbours: int
    least: float
    apart: int


@define
@strawberry.type(
    description="Annotations that variants similar to one have and it does not, carried over. Evidence to follow up: nothing is stored."
)
class TransferredAnnotations:
    asked: strawberry.Private[Asked]
    model: EmbeddingModel = leaf("The model that says what is similar.")

    @computed(on="asked", cost=SEARCH)
    async def clinical_significance(ctx: Context, view: View, keys: Sequence[Asked]) -> TransferredClinical:
        """Germline classifications of its neighbours."""
        known = {variant for variant, _ in await germline_classes(ctx, view, [asked.variant for asked in keys])}
        found = await _neighbours(ctx, view, [asked for asked in keys if asked.variant not in known], where(classified={}))
        classes = dict(await germline_classes(ctx, view, sorted({near for rows in found.values() for near, _ in rows})))
        return [(asked, _clinical(view, asked.variant in known, found.get(asked, []), classes)) for asked in keys]

    @computed(on="asked", cost=SEARCH)
    async def frequency(
        ctx: Context, view: View, keys: Sequence[Asked], *, population: CarriedPopulation = "ALL"
    ) -> TransferredNumber:  # fmt: skip
        """The allele frequency in a population. Of a model that read any frequency none is carried over."""
        await check_frequencies(ctx, view, population, None)
        known = {variant for variant, _ in await _frequencies(ctx, view, [asked.variant for asked in keys], population)}
        reads = {asked for asked in keys if any(name.startswith("frequency:") for name in asked.inputs)}
        condition = where(frequency={"population": population, "dataset": None, "min": 0, "max": 1})
        found = await _neighbours(ctx, view, [asked for asked in keys if asked.variant not in known and asked not in reads], condition)
        values = dict(await _frequencies(ctx, view, sorted({near for rows in found.values() for near, _ in rows}), population))
        return [(asked, _number(view, population, asked.variant in known, asked in reads, found.get(asked, []), values)) for asked in keys]

    @computed(on="asked", cost=SEARCH)
    async def scores(ctx: Context, view: View, keys: Sequence[Asked], *, name: CarriedScores = None) -> list[TransferredNumber]:
        """Scores of its neighbours. Of each that is named the neighbours are those that have it; without names, those that have any which may be carried
        over, and it is what they have and the variant has not."""
        read = {asked: _families(asked.inputs) for asked in keys}
        names = list(dict.fromkeys(name or ()))
        if len(names) > MOST_SCORES:
            what = f"{len(names)} scores at once; the most is {MOST_SCORES}."
            raise UserError("TOO_MANY_INPUTS", what, value=len(names), hint="Ask in portions.")
        await check_known(ctx, view, "has a score", names, "score_names", "UNKNOWN_SCORE", "Load it with vkg load scores.")
        known = await _scores(ctx, view, [asked.variant for asked in keys], None if name is None else names)
        answer = []
        for each in names:
            lacking = [asked for asked in keys if not _is_of(each, read[asked]) and each not in known.get(asked.variant, {})]
            found, values = await _scored(ctx, view, lacking, {"but": _pattern(()), "names": [each]})
            for asked in keys:
                own = each in known.get(asked.variant, {})
                answer.append((asked, _number(view, each, own, _is_of(each, read[asked]), found.get(asked, []), values.get(each, {}))))
        for families in dict.fromkeys(read.values() if name is None else ()):  # those of one model, as a rule
            same = [asked for asked in keys if read[asked] == families]
            found, values = await _scored(ctx, view, same, {"but": _pattern(families), "names": None})
            for asked in same:
                rows = found.get(asked, [])
                there = {each for each, held in values.items() if not _is_of(each, families) and any(near in held for near, _ in rows)}
                new = sorted(there - known.get(asked.variant, {}).keys())
                answer += [(asked, _number(view, each, False, False, rows, values[each])) for each in new]
        return answer


async def transferred(
    ctx: Context, view: View, keys: Sequence[int], name: str | None, count: int, least: float
) -> list[tuple[int, TransferredAnnotations]]:
    """(variant, what may be carried over to it) of variants that have a vector by the model. Raises UserError BAD_SIMILARITY or BAD_COUNT."""
    if not 1 <= count <= MOST_NEIGHBOURS:
        raise UserError("BAD_COUNT", f"k: {count} is not between 1 and {MOST_NEIGHBOURS}.", value=count)
    checked_similarity(least, 0)
    model = await model_named(ctx, view, name)
    there = await read_all(ctx, view, vectors(model.model_id), "variant", keys, columns=())
    ask = (model.model_id, tuple(model.inputs), count, least, apart(model))
    return [(key, TransferredAnnotations(asked=Asked(key, *ask), model=model)) for key, _ in there]


def apart(model: EmbeddingModel) -> int:
    """Within so many bases of a variant a model read a part of the same bases; -1 where it reads none."""
    if model.flank is None:
        return -1
    # The window of a long indel begins later and reads on at its right end (embedder/windows.py), by up to one window and a half.
    return 5 * model.flank + 3 if model.inputs == ["sequence"] else REACH


def _families(inputs: Sequence[str]) -> tuple[str, ...]:
    """What the names of scores that a model read begin with, in any of their versions (CADD_PHRED, CADD_RAW ...): upper case, without punctuation."""
    first = sorted({_plain(each[6:].partition("_")[0]) for each in inputs if each.startswith("score:")})
    return tuple(name for family in first for name in (family, *_ALSO.get(family, ())))


def _plain(name: str) -> str:
    return re.sub("[^A-Z0-9]", "", name.upper())


def _is_of(name: str, families: tuple[str, ...]) -> bool:
    return bool(families) and _plain(name).startswith(families)


def _pattern(families: Sequence[str]) -> str:
    """A regular expression of the plain names of these families."""
    return f"^({'|'.join(families)})" if families else "^$"


async def _neighbours(ctx: Context, view: View, keys: Sequence[Asked], condition: Filter) -> dict[Asked, list[tuple[int, float]]]:
    """By variant asked about those most similar to it that a condition holds for: (variant, similarity), each above 0."""
    found: dict[Asked, list[tuple[int, float]]] = {}
    for alike in dict.fromkeys(asked[1:] for asked in keys):  # several fields may ask, of other models
        same = {asked.variant: asked for asked in keys if asked[1:] == alike}
        ask = next(iter(same.values()))
        wanted = Wanted(ask.neighbours, condition, least=ask.least, apart=ask.apart)
        for variant, rows in (await search(ctx, view, ask.model_id, list(same), wanted)).items():
            found[same[variant]] = [(row["variant_key"], row["similarity"]) for row in rows[: ask.neighbours] if row["similarity"] > 0]
    return found


async def germline_classes(ctx: Context, view: View, keys: Sequence[int]) -> list[tuple[int, list[str]]]:
    """(variant, its germline classes by all files), each variant once; what was submitted without one is none."""
    found: dict[int, list[str]] = {}
    for key, row in await read_all(ctx, view, CLINICAL, "variant", keys, columns=("aspect", "classes")) if keys else ():
        if row["aspect"] == "GERMLINE":
            held = found.setdefault(key, [])
            held += [each for each in row["classes"] if each not in held and each != "NOT_PROVIDED"]
    return [(key, held) for key, held in found.items() if held]


async def _frequencies(ctx: Context, view: View, keys: Sequence[int], population: str) -> list[tuple[int, float]]:
    """(variant, its frequency as Variant.frequency has it)."""
    if not keys:
        return []
    condition = where(population=[population], known=True)
    return [
        (key, row["frequency"])
        for key, row in await read_all(ctx, view, FREQUENCY, "variant", keys, columns=("frequency",), where=condition)
    ]


async def _scores(ctx: Context, view: View, keys: Sequence[int], names: list[str] | None) -> dict[int, dict[str, float]]:
    """By variant its scores by name: of several loads the latest one's."""
    found: dict[int, dict[str, float]] = {}
    for key, row in await read_all(ctx, view, SCORE, "variant", keys, columns=("name", "value"), where=where(name=names)) if keys else ():
        found.setdefault(key, {})[row["name"]] = row["value"]
    return found


async def _scored(
    ctx: Context, view: View, keys: Sequence[Asked], which: dict[str, Any]
) -> tuple[dict[Asked, list[tuple[int, float]]], dict[str, dict[int, float]]]:
    """The neighbours that have a score which is one of these, as `_neighbours`, and by name the scores of all of them."""
    found = await _neighbours(ctx, view, keys, where(scored=which))
    values: dict[str, dict[int, float]] = {}
    for near, held in (await _scores(ctx, view, sorted({near for rows in found.values() for near, _ in rows}), which["names"])).items():
        for each, value in held.items():
            values.setdefault(each, {})[near] = value
    return found, values


def _number(
    view: View, name: str, known: bool, read: bool, rows: Sequence[tuple[int, float]], values: dict[int, float]
) -> TransferredNumber:  # fmt: skip
    """A number carried over from (variant, similarity), of those that have a value."""
    held = seen(view, [NumberNeighbour(variant_key=near, similarity=weight, value=values[near]) for near, weight in rows if near in values])
    outcome = _outcome(known, read, held)
    if outcome is not TransferOutcome.TRANSFERRED:
        return TransferredNumber(name=name, outcome=outcome, estimate=None, lowest=None, highest=None, neighbours=[])
    numbers = [each.value for each in held]
    estimate = math.fsum(each.similarity * each.value for each in held) / math.fsum(each.similarity for each in held)
    return TransferredNumber(
        name=name, outcome=outcome, estimate=float(f"{estimate:.6g}"), lowest=min(numbers), highest=max(numbers), neighbours=held
    )  # fmt: skip


def _clinical(view: View, known: bool, rows: Sequence[tuple[int, float]], classes: dict[int, list[str]]) -> TransferredClinical:
    made = [
        ClassifiedNeighbour(variant_key=near, similarity=weight, classes=cast(Any, classes[near]))
        for near, weight in rows
        if near in classes
    ]
    held = seen(view, made)
    outcome = _outcome(known, False, held)
    if outcome is not TransferOutcome.TRANSFERRED:
        return TransferredClinical(outcome=outcome, classes=[], neighbours=[])
    weights: dict[Any, list[float]] = {}
    for each in held:
        for classification in each.classes:
            weights.setdefault(classification, []).append(each.similarity)
    total = math.fsum(each.similarity for each in held)
    shares = sorted(
        ((round(math.fsum(those) / total, 6), classification) for classification, those in weights.items()),
        key=lambda share: (-share[0], share[1]),
    )
    return TransferredClinical(
        outcome=outcome, classes=[TransferredClass(classification=each, weight=share) for share, each in shares], neighbours=held
    )  # fmt: skip


def seen(view: View, made: list[Any]) -> list[Any]:
    """Objects whose links read this view."""
    for each in made:
        each._view = view
    return made


def _outcome(known: bool, read: bool, held: Sequence[Any]) -> TransferOutcome:
    if read:
        return TransferOutcome.READ_BY_MODEL
    if known:
        return TransferOutcome.KNOWN
    return TransferOutcome.TRANSFERRED if held else TransferOutcome.NO_NEIGHBOUR
