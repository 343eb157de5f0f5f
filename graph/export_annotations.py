"""`vkg annotate`: what the store says of variants, a row for each fact, and what variants similar to them may lend where it says nothing.

What is carried over is what the API's field transferredAnnotations answers. Nothing of it is written to the store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from store.annotation import CLINICAL, CONSEQUENCE, FREQUENCY, SCORE
from store.read import EVERYTHING, where
from store.variant import VARIANT

from .batch import read_all
from .candidates import Candidates, Missed, Say, read_candidates
from .context import Context
from .errors import UserError
from .execution import Executor
from .export_people import Columns, Found, Row
from .export_similar import how_to_embed, neighbours
from .schema import build
from .shell import answer, children
from .similar import EmbeddingModel, checked_similarity, model_named
from .transfer import MOST_NEIGHBOURS

FIELDS = ("clinical", "frequency", "score", "consequence")
"""Kinds of facts, in the order in which they are told of a variant."""
FACTS: Columns = {
    name: name for name in ("variant", "field", "name", "value", "origin", "outcome", "weight", "lowest", "highest", "from")
}  # fmt: skip
ASKED_AT_ONCE = 50
"""Of so many variants the API is asked what they may be lent."""
_SHOWN = 10

CARRIED = """query Carried($ids: [ID!]!, $model: String!, $k: Int!, $least: Float!) { nodes(ids: $ids) { ... on Variant {
    transferredAnnotations(model: $model, k: $k, minSimilarity: $least) {
        clinicalSignificance { outcome classes { classification weight } neighbours { similarity classes node { name } } }
        frequency { ...number } scores { ...number } } } } }
    fragment number on TransferredNumber { name outcome estimate lowest highest neighbours { similarity node { name } } }"""


@dataclass(frozen=True)
class Fuzzy:
    """What may be carried over: by a model, from so many neighbours of at least so much similarity."""

    model: str | None = None
    least: float = 0.9
    k: int = 10


async def facts(ctx: Context, candidates: Candidates, fuzzy: Fuzzy | None, say: Say, *, as_json: bool = False) -> Found:
    """A row for each fact of each candidate, and with `fuzzy` for what is carried over to it. Raises UserError."""
    candidates.check()
    lend = await _lender(ctx, fuzzy, say) if fuzzy is not None else None

    async def each() -> AsyncIterator[Row]:
        without: list[str] = []
        async for batch in read_candidates(ctx, candidates, say):
            async for row in _batch(ctx, batch.keys, lend, without):
                yield _shown(row, as_json)
            for missed in batch.missed:
                yield _shown(_missed(missed), as_json)
        if without and lend is not None:
            listed = ", ".join(without[:_SHOWN]) + (" ..." if len(without) > _SHOWN else "")
            say(
                f"To {len(without):,} variants without a vector by {lend.model.name} nothing is carried over: {listed}\n  {how_to_embed(lend.model)}"
            )

    return Found(each(), FACTS)


async def _batch(ctx: Context, keys: Sequence[int], lend: _Lender | None, without: list[str]) -> AsyncIterator[Row]:
    """The facts of some variants, in their order; names of those without a vector are added to `without`."""
    rows = await read_all(ctx, ctx.view, VARIANT, "pk", keys, columns=("id", "name")) if keys else []
    variants = dict(rows)
    known = await _known(ctx, list(variants))
    lent = await lend.of([row["id"] for row in variants.values()]) if lend is not None else {}
    for key in keys:
        if key not in variants:
            continue
        name, id = variants[key]["name"], variants[key]["id"]
        told = known[key]
        if lend is not None and (found := lent[id]) is None:
            without.append(name)
            told = [*told, {"origin": "similar", "outcome": "NO_VECTOR"}]
        elif lend is not None and found is not None:
            told = [*told, *_carried(found)]
        order = {field: place for place, field in enumerate(FIELDS)}
        for fact in sorted(told, key=lambda fact: order.get(fact.get("field", ""), len(order))):  # the store's come first
            yield {"variant": name} | fact


async def _known(ctx: Context, keys: Sequence[int]) -> dict[int, list[Row]]:
    """By variant the facts that visible files say of it."""
    found: dict[int, list[Row]] = {key: [] for key in keys}
    wanted = {
        "clinical": (CLINICAL, ("aspect", "classes"), EVERYTHING),
        "frequency": (FREQUENCY, ("population", "frequency"), where(known=True)),
        "score": (SCORE, ("name", "value"), EVERYTHING),
        "consequence": (CONSEQUENCE, ("terms", "gene_id", "symbol", "transcript_id"), EVERYTHING),
    }
    loads = set()
    for field, (read, columns, condition) in wanted.items():
        for key, row in (
            await read_all(ctx, ctx.view, read, "variant", keys, columns=(*columns, "load_id"), where=condition) if keys else ()
        ):
            loads.add(row["load_id"])
            name, value = _said(field, row)
            found[key].append({"field": field, "name": name, "value": value, "origin": "store", "load": row["load_id"]})
    files = await children(ctx, "VariantRecord.load", sorted(loads))
    for fact in (fact for facts in found.values() for fact in facts):
        load = files[fact["load"]][0]
        fact["load"] = {"dataset": load["dataset"], "version": load["version"]}
    return found


def _said(field: str, row: Row) -> tuple[str, Any]:
    """Name and value of a fact."""
    match field:
        case "clinical":
            return row["aspect"], row["classes"]
        case "frequency":
            return row["population"], row["frequency"]
        case "score":
            return row["name"], row["value"]
    return ":".join(filter(None, (row["symbol"] or row["gene_id"], row["transcript_id"]))), row["terms"]


# ---- what is carried over


@dataclass(frozen=True)
class _Lender:
    """Asks the API what variants may be lent."""

    ctx: Context
    executor: Executor
    model: EmbeddingModel
    fuzzy: Fuzzy

    async def of(self, ids: Sequence[str]) -> dict[str, Row | None]:
        """By the id of a variant its transferredAnnotations."""
        found: dict[str, Row | None] = {}
        for start in range(0, len(ids), ASKED_AT_ONCE):
            some = ids[start : start + ASKED_AT_ONCE]
            asked = {"ids": some, "model": self.model.name, "k": self.fuzzy.k, "least": self.fuzzy.least}
            nodes = (await answer(self.ctx, self.executor, CARRIED, asked))["nodes"]
            found |= {id: node and node["transferredAnnotations"] for id, node in zip(some, nodes, strict=True)}
        return found


async def _lender(ctx: Context, fuzzy: Fuzzy, say: Say) -> _Lender:
    checked_similarity(fuzzy.least, 0, "--similarity")
    if not 1 <= fuzzy.k <= MOST_NEIGHBOURS:
        raise UserError("BAD_COUNT", f"--k: {fuzzy.k} is not between 1 and {MOST_NEIGHBOURS}.", value=fuzzy.k)
    model = await model_named(ctx, ctx.view, fuzzy.model)
    read = ["frequencies"] * any(name.startswith("frequency:") for name in model.inputs)
    read += [name.removeprefix("score:") for name in model.inputs if name.startswith("score:")]
    if read:
        say(f"Not carried over by {model.name}, which reads them: {', '.join(read)}.")
    return _Lender(ctx, Executor(build()), model, fuzzy)


def _carried(found: Row) -> Iterator[Row]:
    """The rows of what is carried over, and of what no neighbour has."""
    clinical = found["clinicalSignificance"]
    for share in clinical["classes"]:
        alike = [near for near in clinical["neighbours"] if share["classification"] in near["classes"]]
        yield _lent("clinical", "GERMLINE", clinical) | {"value": share["classification"], "weight": share["weight"], "neighbours": alike}
    for field, number in (("frequency", found["frequency"]), *(("score", score) for score in found["scores"])):
        if number["outcome"] == "TRANSFERRED":
            told = {"value": number["estimate"]} | {name: number[name] for name in ("lowest", "highest", "neighbours")}
            yield _lent(field, number["name"], number) | told
    for field, name, tried in (("clinical", "GERMLINE", clinical), ("frequency", found["frequency"]["name"], found["frequency"])):
        if tried["outcome"] == "NO_NEIGHBOUR":
            yield _lent(field, name, tried)


def _lent(field: str, name: str, found: Row) -> Row:
    return {"field": field, "name": name, "origin": "similar", "outcome": found["outcome"]}


# ---- rows


def _missed(missed: Missed) -> Row:
    return {"variant": missed.name, "outcome": missed.outcome}


def _shown(fact: Row, as_json: bool) -> Row:
    """A fact as a row: of JSON, with `load` and `neighbours`; of a table, with `from` for both."""
    row = dict.fromkeys(FACTS) | {name: value for name, value in fact.items() if name in FACTS}
    told = [(near["node"]["name"], near["similarity"]) for near in fact.get("neighbours", ()) if near["node"]]
    load = fact.get("load")
    if as_json:
        del row["from"]
        return row | {"load": load, "neighbours": neighbours(told, True)}
    row["from"] = f"{load['dataset']}@{load['version']}" if load else neighbours(told, False)
    return row
