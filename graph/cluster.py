"""Clusters of variants: those whose vectors, by a model, lie close together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import strawberry

from store.cluster import CLUSTER, CLUSTER_RUN, MEMBER
from store.ledger import LOAD
from store.statements import statement
from store.variant import VARIANT

from .context import Context, View
from .filters import ClinicalClass
from .link import Ask, Edge, EdgeConnection, computed, define, entity, leaf, link
from .node import Node, numbered
from .people import check_known
from .variant import Variant

if TYPE_CHECKING:
    from .ledger import Load

SUMMARY = 100
"""What it costs to sum up the members of one cluster, in objects: all are looked at."""
_MOST_TERMS = 10


@entity(CLUSTER_RUN, description="How the clusters of a load were made, by HDBSCAN over the directions of vectors.")
class VariantClusterRun:
    model: str = leaf("Name of the model whose vectors were clustered.")
    min_size: int = leaf("Fewest variants of a cluster.")
    min_samples: int = leaf("So many of the nearest, itself included, say how dense it is around a variant.")
    variant_count: int = leaf("Variants that were clustered: those that were visible and had a vector that is not zero.")
    noise_count: int = leaf("Of these, variants that are in no cluster.")
    cluster_count: int = leaf("Number of clusters.")


@define
@strawberry.type(description="A term of the Sequence Ontology, and how many members of a cluster have it.")
class ClusterTerm:
    term: str = leaf("The term, as written.")
    count: int = leaf("Visible members whose most severe consequence has it.")


@define
@strawberry.type(description="A clinical class, and how many members of a cluster have it.")
class ClusterClass:
    classification: ClinicalClass = leaf("The class.")
    count: int = leaf("Visible members with a classification in it.")


@define
@strawberry.type(description="A variant of a cluster.")
class ClusterMemberEdge(Edge[Variant]):
    probability: float = leaf(
        "How far it belongs to the cluster, 0 to 1, as near as it is to the densest part (HDBSCAN). Where enough members have one and the same vector, 1 "
        "for these and 0 for all others. It is no chance of anything."
    )


@entity(
    CLUSTER,
    description="Variants whose vectors, by a model, lie closer together than those around them. They are alike in what the model reads "
    "(embeddingModels.inputs): evidence of that, and no diagnosis.",
    key_of=numbered,
)
class VariantCluster(Node):
    cluster_id: strawberry.Private[int]
    load_id: strawberry.Private[int]
    exemplar_key: strawberry.Private[int]
    number: int = leaf("Its number in its load, from 1, the largest first.")
    size: int = leaf("Number of members when it was made; members.totalCount counts those that are visible now.")
    model: str = leaf("Name of the model whose vectors were clustered.")
    cohesion: float = leaf("Mean cosine similarity of its members to their mean direction, 0 to 1: 1 where all have one vector.")

    @link(VARIANT, by="pk", on="exemplar_key")
    def exemplar(ctx: Context) -> Variant | None:
        """The member most similar to the mean direction of all, of equal ones the first in the genome; null where no visible file has it any more."""
        return Ask()

    @link(MEMBER, by="cluster", on="cluster_id")
    def members(ctx: Context) -> EdgeConnection[Variant, ClusterMemberEdge]:
        """Its members, those that belong to it most first, then in genome order."""
        return Ask()

    @computed(on="cluster_id", cost=SUMMARY)
    async def consequences(ctx: Context, view: View, keys: Sequence[int]) -> list[ClusterTerm]:
        """What its members do: terms of the most severe consequence of each, the commonest first, at most 10. Members without consequences count
        nowhere."""
        rows = await ctx.query(statement("cluster_consequences"), list(keys), list(view.loads), _MOST_TERMS)
        return [(row["cluster_id"], ClusterTerm(term=row["term"], count=row["count"])) for row in rows]

    @computed(on="cluster_id", cost=SUMMARY)
    async def classes(ctx: Context, view: View, keys: Sequence[int]) -> list[ClusterClass]:
        """What its members are classified as (germline), the commonest class first. One with several classes counts in each."""
        rows = await ctx.query(statement("cluster_classes"), list(keys), list(view.loads))
        return [(row["cluster_id"], ClusterClass(classification=row["class"], count=row["count"])) for row in rows]

    @link(CLUSTER_RUN, by="pk", on="load_id")
    def run(ctx: Context) -> VariantClusterRun:
        """How it was made."""
        return Ask()

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load it came from: dataset and version."""
        return Ask()


@define
@strawberry.type(description="A cluster that a variant is in.")
class ClusterOfVariantEdge(Edge[VariantCluster]):
    probability: float = leaf("How far the variant belongs to it, 0 to 1, as ClusterMemberEdge.probability.")


async def check_models(ctx: Context, view: View, names: Sequence[str] | None) -> None:
    """Raises UserError UNKNOWN_MODEL for a model of whose vectors there are no visible clusters."""
    await check_known(ctx, view, "has clusters by the model", names, "cluster_models", "UNKNOWN_MODEL", "Make them with vkg cluster.")
