"""Variants by what they are predicted to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import strawberry

from store.enformer import TRACK
from store.ledger import LOAD

from .context import Context
from .enformer import EnformerScore
from .link import Ask, Edge, define, leaf, link
from .variant import Variant

if TYPE_CHECKING:
    from .enformer import EnformerTrack
    from .ledger import Load


@define
@strawberry.type(description="A variant with a predicted effect on expression.")
class ExpressionAlteringEdge(Edge[Variant]):
    track_id: strawberry.Private[int]
    load_id: strawberry.Private[int]
    score: EnformerScore = leaf("What the effect is.")
    synthetic: bool = leaf("True where the numbers were generated, to show how it works.")
    effect: float = leaf("The strongest effect on the tracks of expression (CAGE) of the tissue: positive for more with ALT.")

    @link(TRACK, by="pk", on="track_id")
    def track(ctx: Context) -> EnformerTrack:
        """Its track."""
        return Ask()

    @link(LOAD, by="pk", on="load_id")
    def load(ctx: Context) -> Load:
        """The load it came from: dataset and version."""
        return Ask()
