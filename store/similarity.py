"""Which variants have vectors like that of another: cosine similarity of directions (store/embedding.py), in one table per model.

The index (HNSW) finds the nearest, and with a filter the nearest of few; where it finds too few, or where few are asked about, all are compared.
Measured in docs/performance.md.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from .read import SHORTEST, By, Order, Read
from .variant import VARIANT

AMONG = 1_000
"""With a filter, the nearest are looked for among so many first."""

MODEL = Read(
    name="embedding_model",
    source="embedding_model t",
    visible="true",  # what is said of no variant
    columns={
        name: f"t.{name}"
        for name in (
            "model_id",
            "name",
            "revision",
            "weights_sha256",
            "dimension",
            "flank",
            "pooling",
            "dtype",
            "reference",
            "release_id",
            "inputs",
        )
    },
    by={"pk": By("t.model_id = ANY(:keys)", parent="t.model_id"), "all": By()},
    orders={"number": Order(("t.model_id",))},
)


@cache
def vectors(model_id: int) -> Read:
    """The vectors of a model."""
    return Read(
        name=f"embedding_{model_id}",
        source=f"embedding_{model_id} e JOIN variant t ON t.variant_key = e.variant_key",
        visible=VARIANT.visible,
        columns={
            "norm": SHORTEST.format("e.norm"),
            "distance": SHORTEST.format("e.distance"),
            "direction": "e.direction::real[]",
        },
        by={"variant": By("e.variant_key = ANY(:keys)", parent="e.variant_key")},
        orders={"key": Order(("e.variant_key",))},
    )


@cache
def nearest(model_id: int, way: str) -> Read:
    """The variants nearest to one, by a model. Ways: `index`; `among` the AMONG nearest, where a filter leaves many; `exact`, all compared."""
    table = f"embedding_{model_id}"
    anchor = f"(SELECT variant_key AS key, direction FROM {table} WHERE variant_key = ANY(:keys)) k"
    distance = "e.direction <=> k.direction"
    source = table
    if way == "among":
        source = f"(SELECT i.* FROM {table} i ORDER BY i.direction <=> k.direction LIMIT {AMONG})"
    order = distance if way == "index" else f"({distance}) + 0"  # which no index is of
    return replace(
        VARIANT,
        name=f"nearest_{way}_{model_id}",
        source=f"{source} e JOIN variant t ON t.variant_key = e.variant_key",
        columns={"variant_key": "e.variant_key", "similarity": f"1 - ({distance})"},
        genome="e.variant_key",
        by={
            "variant": By(anchor=anchor, each="e.variant_key <> k.key"),
            "span": By(anchor=anchor, each="e.variant_key <> k.key", range=(":lo", ":hi")),
            "gene": By(  # that the variant lies in
                anchor=anchor,
                each="e.variant_key <> k.key",
                spans="unnest((SELECT range_agg(g.span) FROM gene g WHERE g.span && int8range(k.key, k.key, '[]') AND g.load_id = ANY(:loads))) span",
                range=("greatest(lower(span), :lo)", "least(upper(span), :hi)"),
            ),
        },
        orders={"nearest": Order((order, "e.variant_key"))},
        where={**VARIANT.where, "least": f"({distance}) <= 1 - :value::float8"},
        drivers={},
    )
