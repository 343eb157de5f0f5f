"""Where people lie in ancestry space, and who lies near whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import strawberry

from store.ancestry import ANCESTRY
from store.ledger import LOAD

from .context import Context
from .link import Ask, Edge, define, entity, leaf, link
from .sample import Sample

if TYPE_CHECKING:
    from .ledger import Load


@entity(ANCESTRY, access="individual", description="Where an analysis of principal components places a sample.")
class Ancestry:
    load_id: strawberry.Private[int]
    components: list[float] = leaf("Its components; each multiplied with the square root of its eigenvalue, where scaled.")
    scaled: bool = leaf("False where the components were loaded without their eigenvalues: then all weigh the same.")

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The analysis: dataset and version."""
        return Ask()


@define
@strawberry.type(description="A person near another in ancestry space.")
class AncestryEdge(Edge[Sample]):
    analysis_id: strawberry.Private[int]
    distance: float = leaf("Euclidean distance between the two, in scaled components.")

    @link(LOAD, by="pk", on="analysis_id")
    def load(ctx: Context) -> Load:
        """The analysis that places both: dataset and version."""
        return Ask()
