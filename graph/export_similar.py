"""`vkg similar`: variants most like one, pairs that are alike, and candidates by how near they are to a clinical class, as tables or JSON. It reads
through the API's own links and functions, so that names and numbers mean the same in both places.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from store.annotation import CONSEQUENCE
from store.similarity import vectors
from store.variant import VARIANT
from store.vector import matrix_of_halfvecs

from .batch import read_all
from .candidates import MOST, PORTION, Candidates, Missed, Say, one_named, read_candidates, too_many
from .context import Context
from .errors import UserError
from .export_people import Columns, Found, Row
from .filters import ClinicalClass
from .likeness import ClassSimilarity, likeness, tells
from .page import checked_size
from .shell import children, pages, variant_filter
from .similar import EmbeddingModel, checked_similarity, listing, model_named, similar_of
from .transfer import germline_classes

MOST_VARIANTS = 20_000
"""Of so many variants at most all pairs are compared: two hundred million."""
MOST_PAIRS = 1_000_000
"""So many pairs at most are listed."""
_AT_ONCE = 4_000_000
"""Pairs compared in one go: 32 MB of similarities."""
EVIDENCE = (
    "Similarity to a class is evidence of likeness in what {} reads. It is no classification of a variant, and no probability of disease."
)

_GLANCE: Columns = {name: name for name in ("genes", "consequence", "impact", "classes", "frequency")}
SIMILAR: Columns = {"variant": "variant", "rsids": "rsids", "similarity": "similarity", **_GLANCE}
PAIRS: Columns = {"variant1": "variant1", "variant2": "variant2", "similarity": "similarity", "bases_apart": "basesApart"}
RANKED: Columns = {
    "variant": "variant", "rsids": "rsids", "similarity": "similarity", "percentile": "percentile", "discrimination": "discrimination",
    "members": "memberCount", "background": "backgroundCount", **_GLANCE, "nearest": "nearest", "reason": "reason",
}  # fmt: skip


async def glance(ctx: Context, keys: Sequence[int], population: str | None = None) -> dict[int, Row]:
    """By variant, of those that are visible, what is seen of it at a glance: name, rsIDs, genes at its position by symbol, terms and impact of its most
    severe consequence, its germline classes by all files, its frequency (ALL), and in a population where one is named. A statement for each."""
    found: dict[int, Row] = {}
    for start in range(0, len(keys), PORTION):
        found |= await _glance(ctx, keys[start : start + PORTION], population)
    return found


async def _glance(ctx: Context, wanted: Sequence[int], population: str | None) -> dict[int, Row]:
    view = ctx.view
    found: dict[int, Row] = {}
    for key, row in await read_all(ctx, view, VARIANT, "pk", wanted, columns=("name", "rsids")):
        found[key] = {"variant": row["name"], "rsids": row["rsids"], "genes": [], "consequence": [], "impact": None, "classes": []}
    keys = list(found)
    for key, genes in (await children(ctx, "Variant.genes", keys, {"flank": 0})).items():
        found[key]["genes"] = [gene["symbol"] or gene["gene_id"] for gene in genes]
    for key, row in await read_all(ctx, view, CONSEQUENCE, "variant", keys, columns=("terms", "impact")):
        if found[key]["impact"] is None:  # the most severe comes first
            found[key] |= {"consequence": row["terms"], "impact": row["impact"]}
    for key, classes in await germline_classes(ctx, view, keys):
        found[key]["classes"] = classes
    for name, where in (("frequency", "ALL"), ("frequencyInPopulation", population)):
        if where is not None:
            rows = await children(ctx, "Variant.frequency", keys, {"population": where, "callset": None})
            for key, row in found.items():
                row[name] = rows[key][0]["frequency"] if key in rows else None
    return found


# ---- one variant


@dataclass(frozen=True)
class Near:
    """Which of the variants similar to one are wanted: as the API's field `similar`."""

    top: int = 10
    least: float = 0.8
    region: str | None = None
    gene: str | None = None
    same_gene: bool = False
    population: str | None = None
    filter: str | None = None


async def most_similar(ctx: Context, name: str, model: str | None, asked: Near, say: Say) -> Found:
    """The variants most like one (Variant.similar), the most similar first. Raises UserError, UNEMBEDDED where it has no vector by the model."""
    first, least = checked_size(asked.top, "--top"), checked_similarity(asked.least, name="--min-similarity")
    filter = variant_filter(asked.filter) if asked.filter is not None else None
    chosen = await model_named(ctx, ctx.view, model)
    key = await one_named(ctx, name)
    wanted = await listing(
        ctx, ctx.view, chosen.name, first, None, least, filter, asked.region, asked.gene, asked.population, same_gene=asked.same_gene
    )
    found = await similar_of(ctx, ctx.view, [key], wanted)
    edges = [edge for _, page in found for edge in page.edges]
    seen = await glance(ctx, [key, *(edge.variant_key for edge in edges)], asked.population)
    itself = seen.pop(key)
    if not found:
        raise UserError("UNEMBEDDED", f"{itself['variant']} has no vector by {chosen.name}.", hint=how_to_embed(chosen))
    if not edges:
        why = (await _pointless(ctx, chosen, [key])).get(key) or f"none that was asked for is at least {least:g} similar (--min-similarity)"
        say(f"Nothing is like {itself['variant']}: {why}.")
    rows = [seen[edge.variant_key] | {"similarity": edge.similarity} for edge in edges if edge.variant_key in seen]
    columns = {**SIMILAR} | ({f"frequency_{asked.population}": "frequencyInPopulation"} if asked.population is not None else {})
    return Found(_each(rows), columns, lambda rows: {"variant": itself, "model": _model(chosen), "similar": rows})


async def _pointless(ctx: Context, model: EmbeddingModel, keys: Sequence[int]) -> dict[int, str]:
    """Why variants are like nothing by a model, of those that are not."""
    if not keys:
        return {}
    norms = {key: row["norm"] for key, row in await read_all(ctx, ctx.view, vectors(model.model_id), "variant", keys, columns=("norm",))}
    nothing = f"ALT changes nothing that {model.name} reads"
    return {key: nothing if key in norms else f"no vector by {model.name}" for key in keys if not norms.get(key)}


def how_to_embed(model: EmbeddingModel) -> str:
    """What to do about variants without a vector."""
    return f"vkg embed --model {model.name} embeds what has none yet; vkg models list --json counts those left out, by reason."


def _model(model: EmbeddingModel) -> Row:
    return {"name": model.name, "inputs": model.inputs}


async def _each(rows: Iterable[Row]) -> AsyncIterator[Row]:
    for row in rows:
        yield row


# ---- pairs


@dataclass(frozen=True)
class Alike:
    """Which pairs are wanted: of variants of a region or a gene that a filter leaves, at least so similar; the most similar alone, or all."""

    region: str | None = None
    gene: str | None = None
    filter: str | None = None
    least: float = 0.7
    top: int | None = None


async def similar_pairs(ctx: Context, model: str | None, asked: Alike, say: Say) -> Found:
    """All pairs of visible variants of a place whose vectors are alike, the most similar first, then in genome order. Exact. Raises UserError
    TOO_MANY_VARIANTS or TOO_MANY_PAIRS beyond MOST_VARIANTS and MOST_PAIRS."""
    least = checked_similarity(asked.least, name="--min-similarity")
    if asked.region is None and asked.gene is None:
        raise UserError("BAD_SELECTION", "--pairs compares all variants of a place.", hint="Say which: --gene or --region.")
    if asked.top is not None and not 0 < asked.top <= MOST_PAIRS:
        raise UserError("BAD_PAGE", f"--top: {asked.top} is not between 1 and {MOST_PAIRS:,}.", value=asked.top)
    chosen = await model_named(ctx, ctx.view, model)
    place = {"region": asked.region, "gene": asked.gene, "filter": variant_filter(asked.filter) if asked.filter is not None else None}
    names: dict[int, tuple[str, int]] = {}
    async for page in pages(ctx, "Query.variants", place):
        names |= {row["variant_key"]: (row["name"], row["pos"]) for row in page}
        if len(names) > MOST_VARIANTS:
            hint = "Narrow it: a shorter --region, or a --filter such as '{frequency: [{min: 0.01}]}'."
            raise UserError("TOO_MANY_VARIANTS", f"All pairs of more than {MOST_VARIANTS:,} variants are too many.", hint=hint)
    rows = await read_all(ctx, ctx.view, vectors(chosen.model_id), "variant", list(names), columns=("norm", "halves"))
    there = [(key, row["halves"]) for key, row in rows if row["norm"] > 0]
    if missing := len(names) - len(there):
        zero = len(rows) - len(there)
        say(
            f"{missing:,} of {len(names):,} variants are in no pair: {missing - zero:,} have no vector by {chosen.name}, {zero:,} a vector of zeros."
        )
    values = matrix_of_halfvecs([halves for _, halves in there], chosen.dimension).astype(
        np.float64
    )  # in float32 the last place is the processor's
    first, second, similar = await asyncio.to_thread(
        alike, values / np.linalg.norm(values, axis=1, keepdims=True), least, asked.top or MOST_PAIRS, cut=asked.top is not None
    )
    if not len(similar):
        say(f"No pair is at least {least:g} similar (--min-similarity).")
    variants = [names[key] for key, _ in there]

    def each() -> Iterator[Row]:
        for a, b, similarity in zip(first.tolist(), second.tolist(), similar.tolist(), strict=True):
            (one, here), (other, there) = variants[a], variants[b]
            yield {"variant1": one, "variant2": other, "similarity": similarity, "basesApart": abs(there - here)}

    return Found(_each(each()), PAIRS)


def alike(units: np.ndarray, least: float, most: int, *, cut: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs (i < j) of unit vectors, float64 (n, d), whose cosine similarity, to six places, is at least so high: i, j and similarity, the most
    similar first, then by i and j. Memory grows with n and the pairs found, not with their square.

    Raises UserError TOO_MANY_PAIRS for more than `most`; with `cut` those are left out that come last.
    """
    first, second, similar = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64)
    step = max(1, _AT_ONCE // max(1, len(units)))
    full = False
    for start in range(0, len(units), step):
        block = units[start : start + step] @ units[start:].T
        a, b = np.nonzero(block >= least - 1e-6)
        a, b = a[b > a], b[b > a]
        told = np.round(np.clip(block[a, b], -1, 1), 6) + 0.0  # no -0
        near = told > least if full else told >= least  # of the same similarity the first ones stay
        first, second = np.concatenate([first, a[near] + start]), np.concatenate([second, b[near] + start])
        similar = np.concatenate([similar, told[near]])
        if len(similar) > most and not cut:
            hint = "Raise --min-similarity, ask for the most similar alone (--top), or narrow it with --region or --filter."
            raise UserError("TOO_MANY_PAIRS", f"More than {most:,} pairs are at least {least:g} similar.", hint=hint)
        if len(similar) > most or start + step >= len(units):
            order = np.lexsort((second, first, -similar))[:most]
            first, second, similar = first[order], second[order], similar[order]
            full = len(similar) == most
            least = float(similar[-1]) if full else least
    return first, second, similar


# ---- candidates, by a class


def classes_named(text: str) -> list[ClinicalClass]:
    """The clinical classes of a list with commas between. Raises UserError BAD_CLASS."""
    known = {each.name: each for each in ClinicalClass}
    found = []
    for part in text.split(","):
        name = part.strip().upper().replace(" ", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, 3) or ["PATHOGENIC", "LIKELY_PATHOGENIC", "BENIGN"]
            raise UserError(
                "BAD_CLASS", f"--to-class: {part.strip()!r} is no clinical class.", value=part[:80], hint=f"There are {', '.join(near)} ..."
            )
        found.append(known[name])
    return list(dict.fromkeys(found))


async def ranked(
    ctx: Context, candidates: Candidates, classes: Sequence[ClinicalClass], model: str | None, top: int | None, say: Say, *, as_json: bool = False
) -> Found:  # fmt: skip
    """Candidates by how near they are to a class (Variant.similarityToClass), the nearest first; in the end those of which nothing can be said, with the
    reason, unless only the `top` are wanted. Raises UserError."""
    candidates.check()
    chosen = await model_named(ctx, ctx.view, model)
    near: list[tuple[int, ClassSimilarity]] = []
    reasons: dict[int, str] = {}
    missed: list[Missed] = []
    async for batch in read_candidates(ctx, candidates, say):
        found = await likeness(ctx, ctx.view, batch.keys, classes, chosen.name)
        near += found
        reasons |= await _pointless(ctx, chosen, sorted({*batch.keys} - {key for key, _ in found}))
        missed += batch.missed
        if len(near) + len(reasons) > MOST:
            raise too_many("There are")
    near.sort(key=lambda each: (each[1].similarity is None, -(each[1].similarity or 0), -(each[1].percentile or 0), each[0]))
    if reasons:
        hint = f"\n  {how_to_embed(chosen)}" if any("vector" in why for why in reasons.values()) else ""
        say(f"{len(reasons):,} of {len(near) + len(reasons):,} candidates have no vector by {chosen.name} that points anywhere.{hint}")
    say(EVIDENCE.format(chosen.name))
    judged = next((one for _, one in near if one.discrimination is not None), None)
    if judged is None:
        say("Too few are known of the class, or too few others, to tell what the ranking is worth.")
    elif not tells(judged):
        say(
            f"In this store it hardly tells members of the class from others, if at all: the area under the curve is {judged.discrimination:g} "
            f"(standard error {judged.discrimination_error:g}), and 0.5 is chance."
        )
    if top is not None:
        near, reasons, missed = near[:top], {}, []
    members = sorted({member.variant_key for _, one in near for member in one.nearest})
    names: dict[int, str] = {}
    for start in range(0, len(members), PORTION):
        rows = await read_all(ctx, ctx.view, VARIANT, "pk", members[start : start + PORTION], columns=("name",))
        names |= {key: row["name"] for key, row in rows}
    seen = await glance(ctx, [*(key for key, _ in near), *reasons])
    nothing = dict.fromkeys(RANKED.values())
    table = [nothing | seen[key] | _ranked(one, names, as_json) for key, one in near if key in seen]
    table += [nothing | seen[key] | {"reason": why} for key, why in sorted(reasons.items()) if key in seen]
    table += [nothing | {"variant": each.name, "reason": each.reason} for each in missed]
    head = {"classes": [each.name for each in classes], "model": _model(chosen)}
    return Found(_each(table), RANKED, lambda rows: head | {"candidates": rows})


def _ranked(one: ClassSimilarity, names: dict[int, str], as_json: bool) -> Row:
    nearest = [(names[member.variant_key], member.similarity) for member in one.nearest if member.variant_key in names]
    return {
        "similarity": one.similarity, "percentile": one.percentile, "discrimination": one.discrimination, "memberCount": one.member_count,
        "backgroundCount": one.background_count, "nearest": neighbours(nearest, as_json), "reason": one.statement if one.percentile is None else None,
    }  # fmt: skip


def neighbours(found: Sequence[tuple[str, float]], as_json: bool) -> Any:
    """Names and similarities for JSON, or as the text NAME:SIMILARITY;NAME:SIMILARITY."""
    if as_json:
        return [{"variant": name, "similarity": similarity} for name, similarity in found]
    return ";".join(f"{name}:{similarity:.15g}" for name, similarity in found)
