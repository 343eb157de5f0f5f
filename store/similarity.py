"""Which variants have vectors like that of another: cosine similarity of directions (store/embedding.py), in one table per model.

The index (HNSW) finds the nearest, from which on a filter is tried. Where it finds too few, what passes is found first, and all that is compared.
Measured in docs/performance.md.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from .gene import NEWEST
from .read import EVERYTHING, SHORTEST, By, Filter, Order, Read
from .variant import VARIANT

OVER = 4
"""Of the nearest by the index this share (1 / OVER) is looked at: the further away, the more of a vector's neighbours the index misses."""

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
    """The variants nearest to one, by a model. Ways: `index`, the `:tried` nearest; `exact`, all compared. A vector of zeros points nowhere: it has
    no neighbours, and is none.

    What passes a filter is looked for from the nearest on with `index`, and before anything is compared with `exact`: see `passing`.
    """
    table = f"embedding_{model_id}"
    anchor = f"(SELECT variant_key AS key, direction FROM {table} WHERE variant_key = ANY(:keys) AND norm > 0) k"
    each = "e.variant_key <> k.key"
    compared = f"SELECT i.variant_key, (i.direction <=> k.direction) + 0 AS distance FROM {table} i WHERE i.norm > 0"
    if way == "index":
        # Cut by key, too, since vectors of one annotation are alike by the thousand; then sorted anew, as the index goes by rounded vectors. Only then
        # joined, and no further than a page goes.
        cut = f"SELECT * FROM ({compared} ORDER BY i.direction <=> k.direction, i.variant_key LIMIT {OVER} * :tried) i ORDER BY distance, variant_key LIMIT :tried"
    source = f"({cut if way == 'index' else compared}) e"
    return replace(
        VARIANT,
        name=f"nearest_{way}_{model_id}",
        source=f"{source} JOIN variant t ON t.variant_key = e.variant_key",
        # Halves multiplied as reals: further digits are the processor's.
        columns={"variant_key": "e.variant_key", "similarity": "round((1 - e.distance)::numeric, 6)::float8"},
        genome="e.variant_key",
        by={
            "variant": By(anchor=anchor, each=each),
            "span": By(anchor=anchor, each=each, range=(":lo", ":hi")),
            "gene": By(  # that the variant lies in
                anchor=anchor,
                each=each,
                spans=f"unnest((SELECT range_agg(g.span) FROM gene g WHERE g.span && int8range(k.key, k.key, '[]') AND {NEWEST.format('g')})) span",
                range=("greatest(lower(span), :lo)", "least(upper(span), :hi)"),
            ),
        },
        orders={"nearest": Order(("e.distance", "e.variant_key"))},
        where={**VARIANT.where, "passing": _PASSING.format(table)},
        drivers={name: f"{driver} JOIN {source} ON e.variant_key = t.variant_key" for name, driver in VARIANT.drivers.items()},
    )


# An array that depends on nothing outside is made once, however many variants are asked about.
_PASSING = """e.variant_key = ANY(ARRAY(SELECT t.variant_key FROM {} v JOIN variant t ON t.variant_key = v.variant_key WHERE {{filter}}))"""


def passing(condition: Filter) -> Filter:
    """A filter of variants, applied to all that have a vector before any is compared: for `exact` by variant."""
    return condition if condition == EVERYTHING else ("with", ("passing", {}, condition))
