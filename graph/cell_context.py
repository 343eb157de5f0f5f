"""In which cells a variant may matter: metacells that express a gene that it may act on, and the evidence that leads there.

variant -> (score of a method; consequence; position) -> gene -> (expression, specificity) -> metacell. Four statements for all variants of a level.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import strawberry

from store.annotation import CONSEQUENCE
from store.gene import GENE
from store.metacell import METACELL, PROFILE, metacell_id, reals
from store.read import where
from store.v2f import V2F

from .annotation import TranscriptConsequence
from .batch import object_of, read_all
from .context import Context, View
from .link import Ask, define, leaf, link
from .v2f import V2FScore

if TYPE_CHECKING:
    from .gene import Gene
    from .metacell import Metacell

EXPRESSED = 0.5
"""A gene counts as expressed from this mean on: of counts log(1 + 0.65 per 10,000)."""

Expressed = Annotated[
    float,
    strawberry.argument(
        description="Least mean expression for a gene to count as expressed, as MetacellExpression.mean; what is 0 never counts."
    ),
]
MOST_SCORES = 10
"""Of the scores that link a variant to a gene, so many are given as evidence."""

_NEAR = {"upstream_gene_variant", "downstream_gene_variant", "intergenic_variant", "intergenic_region"}
"""Terms of what lies beside a gene, and does nothing to a transcript."""

CELLS = 20
"""What it costs to find the cells of one variant, in objects."""

HowMany = Annotated[int, strawberry.argument(description="How many, at most 1,000.")]


@define
@strawberry.enum(description="Why a gene is taken to be one that a variant may act on.")
class TargetKind(Enum):
    V2F = strawberry.enum_value("V2F", description="A method says so: with a score from its threshold on, or any where it has none.")
    CONSEQUENCE = strawberry.enum_value(
        "CONSEQUENCE", description="A consequence for one of its transcripts; to lie upstream or downstream of one is none."
    )
    POSITION = strawberry.enum_value("POSITION", description="A base of its REF lies in the gene.")


@define
@strawberry.type(description="Evidence that a variant may act on a gene.")
class TargetEvidence:
    kind: TargetKind = leaf("What kind of evidence it is.")
    v2f_score: V2FScore | None = leaf("The score, for V2F.")
    consequence: TranscriptConsequence | None = leaf("The most severe consequence for a transcript of the gene, for CONSEQUENCE.")


@define
@strawberry.type(description="A metacell that expresses a gene which a variant may act on: where the variant may matter, and why.")
class CellContext:
    metacell_id: strawberry.Private[int]
    gene_id: strawberry.Private[str]
    gene_name: str = leaf("The gene, as the dataset of the metacell writes it.")
    evidence: list[TargetEvidence] = leaf(
        f"Why the variant may act on the gene: scores first, those of the latest load, the best first, {MOST_SCORES} at most (see scoreCount)."
    )
    score_count: int = leaf("How many scores link the variant to the gene.")
    mean: float = leaf("Mean expression of the gene in the metacell, as MetacellExpression.mean.")
    percent: float | None = leaf("Percentage of its cells that express it, 0 to 100; null where single cells are not known.")
    z: float | None = leaf(
        "Standard deviations above the average of the metacells of the dataset: specificity for the metacell. At most the root of their number less one, so "
        "the order is one within a dataset; `dataset` names one."
    )
    tau: float | None = leaf("Specificity of the gene for cell types, 0 to 1.")

    @link(GENE, by="pk", on="gene_id")
    def gene(ctx: Context) -> Gene:
        """The gene."""
        return Ask()

    @link(METACELL, by="pk", on="metacell_id")
    def metacell(ctx: Context) -> Metacell:
        """The metacell."""
        return Ask()


@dataclass
class _Target:
    """A gene that a variant may act on: why, and how many scores say so."""

    evidence: list[TargetEvidence] = field(default_factory=list)
    scores: int = 0


async def cells_of(
    ctx: Context, view: View, keys: Sequence[int], least: float, first: int, datasets: list[str] | None
) -> list[tuple[int, CellContext]]:
    """(variant, cell context) of variants, in the metacells of all datasets or of these: at most `first`, the most specific (z) first, then the
    highest."""
    targets = await _targets(ctx, view, keys)
    genes = sorted({gene for found in targets.values() for gene in found})
    best: dict[str, list[tuple[Any, _Profile]]] = {}
    seen: set[tuple[str, int]] = set()
    for gene, row in await read_all(ctx, view, PROFILE, "gene", genes, where=where(dataset=datasets)) if genes else ():
        if (gene, row["load_id"]) not in seen:  # a dataset may have a gene by several names: the surest comes first
            seen.add((gene, row["load_id"]))
            profile = _Profile(row["load_id"], row["gene"], row["tau"], reals(row["mean"]), reals(row["percent"]), reals(row["z"]))
            best.setdefault(gene, []).extend((rank, profile) for rank in profile.ranked(least, first))
    answer = []
    for key, found in targets.items():
        ranked = sorted((((*rank, gene), profile) for gene in found for rank, profile in best.get(gene, ())), key=itemgetter(0))
        for (_, _, metacell, gene), profile in ranked[:first]:
            target = found[gene]
            cell = CellContext(gene_id=gene, evidence=target.evidence, score_count=target.scores, **profile.values(metacell))
            answer.append((key, cell))
    return answer


@dataclass
class _Profile:
    """A gene in all metacells of a load: (n,) float32 each."""

    load_id: int
    name: str
    tau: float | None
    mean: Any
    percent: Any
    z: Any

    def ranked(self, least: float, first: int) -> Iterator[tuple[float, float, int]]:
        """(rank by specificity, rank by expression, metacell) of at most `first` metacells that express the gene, most specifically first."""
        mean = self.mean
        expressing = np.flatnonzero((mean >= np.float32(least)) & (mean > 0))
        z = self.z[expressing] if self.z is not None else np.zeros(len(expressing), np.float32)
        for place in expressing[np.lexsort((expressing, -mean[expressing], -z))][:first].tolist():
            specific = -float(self.z[place]) if self.z is not None else math.inf
            yield specific, -float(mean[place]), metacell_id(self.load_id, place)

    def values(self, metacell: int) -> dict[str, Any]:
        """What is said of the gene in a metacell of the load."""
        place = metacell - metacell_id(self.load_id, 0)
        values = {name: getattr(self, name) for name in ("mean", "percent", "z")}
        found = {name: shortest(listed[place]) if listed is not None else None for name, listed in values.items()}
        return found | {"metacell_id": metacell, "gene_name": self.name, "tau": shortest(self.tau)}


async def _targets(ctx: Context, view: View, keys: Sequence[int]) -> dict[int, dict[str, _Target]]:
    """By variant and gene why the one may act on the other."""
    found: dict[int, defaultdict[str, _Target]] = {key: defaultdict(_Target) for key in keys}
    scores, consequences, touched = await asyncio.gather(
        read_all(ctx, view, V2F, "variant", keys, where=where(above_threshold={})),
        read_all(ctx, view, CONSEQUENCE, "variant", keys),
        read_all(ctx, view, GENE, "touched", keys, columns=("gene_id",)),
    )
    for key, row in scores:
        if (gene := row["target_id"]) is not None:
            target = found[key][gene]
            target.scores += 1
            if target.scores <= MOST_SCORES:
                score = object_of(V2FScore, row, view)
                target.evidence.append(TargetEvidence(kind=TargetKind.V2F, v2f_score=score, consequence=None))
    severest: dict[tuple[int, str], dict[str, Any]] = {}
    for key, row in consequences:
        if row["target_id"] is not None and not _NEAR.issuperset(row["terms"]):
            severest.setdefault((key, row["target_id"]), row)
    for (key, gene), row in severest.items():
        consequence = object_of(TranscriptConsequence, row, view)
        found[key][gene].evidence.append(TargetEvidence(kind=TargetKind.CONSEQUENCE, v2f_score=None, consequence=consequence))
    for key, row in touched:
        found[key][row["gene_id"]].evidence.append(TargetEvidence(kind=TargetKind.POSITION, v2f_score=None, consequence=None))
    return {key: dict(genes) for key, genes in found.items()}


def shortest(value: float | None) -> float | None:
    """A real as the number with the fewest digits that is it, as store.read.SHORTEST."""
    return None if value is None else float(str(np.float32(value)))
