"""In which cells a variant may matter: metacells that express a gene that it may act on, and the evidence that leads there.

variant -> (score of a method; consequence; position) -> gene -> (expression, specificity) -> metacell. Four statements for all variants of a level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from enum import Enum
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import strawberry

from store.annotation import CONSEQUENCE
from store.gene import GENE
from store.metacell import METACELL, PROFILE, metacell_id
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
"""A gene counts as expressed from this mean on: log(1 + 0.65 counts per 10,000)."""

Expressed = Annotated[
    float,
    strawberry.argument(description="Least mean expression for a gene to count as expressed: natural logarithm of 1 + counts per 10,000."),
]
CELLS = 20
"""What it costs to find the cells of one variant, in objects."""

HowMany = Annotated[int, strawberry.argument(description="How many, at most 1,000.")]


@define
@strawberry.enum(description="Why a gene is taken to be one that a variant may act on.")
class TargetKind(Enum):
    V2F = strawberry.enum_value("V2F", description="A method says so, with a score from its threshold on.")
    CONSEQUENCE = strawberry.enum_value("CONSEQUENCE", description="A consequence for one of its transcripts.")
    POSITION = strawberry.enum_value("POSITION", description="The variant lies in the gene.")


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
    evidence: list[TargetEvidence] = leaf("Why the variant may act on the gene: scores first, the best of each load first.")
    mean: float = leaf("Mean expression of the gene in the metacell: natural logarithm of 1 + counts per 10,000.")
    percent: float | None = leaf("Percentage of its cells that express it, 0 to 100; null where single cells are not known.")
    z: float | None = leaf("Standard deviations above the average of the metacells: specificity for the metacell.")
    tau: float | None = leaf("Specificity of the gene for cell types, 0 to 1.")

    @link(GENE, by="pk", on="gene_id")
    def gene(ctx: Context) -> Gene:
        """The gene."""
        return Ask()

    @link(METACELL, by="pk", on="metacell_id")
    def metacell(ctx: Context) -> Metacell:
        """The metacell."""
        return Ask()


async def cells_of(
    ctx: Context, view: View, keys: Sequence[int], least: float, first: int, datasets: list[str] | None
) -> list[tuple[int, CellContext]]:
    """(variant, cell context) of variants, in the metacells of all datasets or of these: at most `first`, the most specific (z) first, then the
    highest."""
    targets = await _targets(ctx, view, keys)
    genes = sorted({gene for found in targets.values() for gene in found})
    best: dict[str, list[tuple[Any, dict[str, Any]]]] = {}
    for gene, profile in await read_all(ctx, view, PROFILE, "gene", genes, where=where(dataset=datasets)) if genes else ():
        best.setdefault(gene, []).extend(_expressing(profile, least, first))
    answer = []
    for key, found in targets.items():
        ranked = sorted((((*rank, gene), values) for gene in found for rank, values in best.get(gene, ())), key=itemgetter(0))
        for (*_, gene), values in ranked[:first]:
            answer.append((key, CellContext(gene_id=gene, evidence=found[gene], **values)))
    return answer


async def _targets(ctx: Context, view: View, keys: Sequence[int]) -> dict[int, dict[str, list[TargetEvidence]]]:
    """By variant and gene why the one may act on the other."""
    found: dict[int, dict[str, list[TargetEvidence]]] = {key: {} for key in keys}
    for key, row in await read_all(ctx, view, V2F, "variant", keys, where=where(above_threshold={})):
        if (gene := row["target_id"]) is not None:
            score = object_of(V2FScore, row, view)
            found[key].setdefault(gene, []).append(TargetEvidence(kind=TargetKind.V2F, v2f_score=score, consequence=None))
    severest: dict[tuple[int, str], dict[str, Any]] = {}
    for key, row in await read_all(ctx, view, CONSEQUENCE, "variant", keys):
        if row["gene_id"] is not None:
            severest.setdefault((key, row["gene_id"]), row)
    for (key, gene), row in severest.items():
        consequence = object_of(TranscriptConsequence, row, view)
        found[key].setdefault(gene, []).append(TargetEvidence(kind=TargetKind.CONSEQUENCE, v2f_score=None, consequence=consequence))
    for key, row in await read_all(ctx, view, GENE, "variant", keys, columns=("gene_id",), flank=0):
        found[key].setdefault(row["gene_id"], []).append(TargetEvidence(kind=TargetKind.POSITION, v2f_score=None, consequence=None))
    return found


def _expressing(profile: dict[str, Any], least: float, first: int) -> Iterator[tuple[Any, dict[str, Any]]]:
    """(rank, values) of at most `first` metacells that express a gene, most specifically first."""
    means, percents, zs = (profile[name] for name in ("mean", "percent", "z"))
    mean = np.array(means, np.float32)
    expressing = np.flatnonzero(mean >= np.float32(least))
    z = np.array(zs, np.float32)[expressing] if zs is not None else np.zeros(len(expressing), np.float32)
    for place in expressing[np.lexsort((expressing, -mean[expressing], -z))][:first].tolist():
        metacell = metacell_id(profile["load_id"], place)
        values = {
            name: shortest(listed[place]) if listed is not None else None
            for name, listed in (("mean", means), ("percent", percents), ("z", zs))
        }
        values |= {"metacell_id": metacell, "gene_name": profile["gene"], "tau": shortest(profile["tau"])}
        yield (-zs[place] if zs is not None else math.inf, -means[place], metacell), values


def shortest(value: float | None) -> float | None:
    """A real as the number with the fewest digits that is it, as store.read.SHORTEST."""
    return None if value is None else float(str(np.float32(value)))
