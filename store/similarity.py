"""Which variants have vectors like that of another, or like one given: cosine similarity of directions (store/embedding.py), in one table per model;
and which metacells lie near another one.

The index (HNSW) finds the nearest, from which on a filter is tried. Where it finds too few, what passes is found first, and all that is compared.
Measured in docs/performance.md.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Literal

from .gene import NEWEST
from .metacell import METACELL
from .read import EVERYTHING, LOWEST, SHORTEST, By, Filter, Order, Read
from .variant import VARIANT

OVER = 4
"""Of the nearest by the index this share (1 / OVER) is looked at: the further away, the more of a vector's neighbours the index misses."""

GIVEN = LOWEST
"""The key of a vector that is no variant's."""

_SIMILARITY = "round((1 - ({}))::numeric, 6)::float8"
"""SQL of a similarity; format it with a cosine distance. Halves multiplied as reals: further digits are the processor's."""

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
            "halves": "halfvec_send(e.direction)",
        },
        by={"variant": By("e.variant_key = ANY(:keys)", parent="e.variant_key")},
        orders={"key": Order(("e.variant_key",))},
    )


Way = Literal["index", "exact"]
Origin = Literal["variant", "vector"]


@cache
def nearest(model_id: int, way: Way, origin: Origin = "variant") -> Read:
    """The variants nearest to each of some variants, or to a vector (`:vector`, an array of any length above 0), by a model. Ways: `index`, the `:tried`
    nearest; `exact`, all compared. A vector of zeros points nowhere: it has no neighbours, and is none.

    Whose position is at most `:apart` bases away is left out: the variant itself is always, with -1 nobody else. What passes a filter is looked for from
    the nearest on with `index`, and before anything is compared with `exact`: see `passing`.
    """
    table = f"embedding_{model_id}"
    anchor = f"(SELECT variant_key AS key, direction FROM {table} WHERE variant_key = ANY(:keys) AND norm > 0) k"
    if origin == "vector":
        anchor = "(SELECT key, :vector::real[]::halfvec AS direction FROM unnest(:keys::bigint[]) key) k"
    each = "e.variant_key <> k.key AND abs((e.variant_key >> 31) - (k.key >> 31)) > :apart"  # above 31 bits of alleles lie chromosome and position
    compared = f"SELECT i.variant_key, (i.direction <=> k.direction) + 0 AS distance FROM {table} i WHERE i.norm > 0"
    if way == "index":
        # Cut by key, too, since vectors of one annotation are alike by the thousand; then sorted anew, as the index goes by rounded vectors. Only then
        # joined, and no further than a page goes.
        cut = f"SELECT * FROM ({compared} ORDER BY i.direction <=> k.direction, i.variant_key LIMIT {OVER} * :tried) i ORDER BY distance, variant_key LIMIT :tried"
    source = f"({cut if way == 'index' else compared}) e"
    return replace(
        VARIANT,
        name=f"nearest_{way}_{origin}_{model_id}",
        source=f"{source} JOIN variant t ON t.variant_key = e.variant_key",
        columns={"variant_key": "e.variant_key", "similarity": _SIMILARITY.format("e.distance")},
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
        where={**VARIANT.where, **_HAVING, "passing": _PASSING.format(table)},
        driven=f"{VARIANT.driven} JOIN {source} ON e.variant_key = t.variant_key",
    )


_HAVING = {
    "classified": """EXISTS (SELECT FROM clinical_significance c WHERE c.variant_key = t.variant_key AND c.load_id = ANY(:loads)
        AND c.aspect = 'GERMLINE' AND NOT c.classes <@ '{NOT_PROVIDED}' OFFSET 0)""",
    "scored": """EXISTS (SELECT FROM variant_score s JOIN score n ON n.load_id = s.load_id AND n.score_id = s.score_id
        WHERE s.variant_key = t.variant_key AND s.load_id = ANY(:loads) AND NOT regexp_replace(upper(n.name), '[^A-Z0-9]', '', 'g') ~ :but AND (:names::text[] IS NULL OR n.name = ANY(:names)) OFFSET 0)""",
}
"""What a neighbour must have for it to be carried over: a clinical classification; a score of these names, and whose name without
punctuation does not match `:but`."""

# An array that depends on nothing outside is made once, however many variants are asked about.
_PASSING = """e.variant_key = ANY(ARRAY(SELECT t.variant_key FROM {} v JOIN variant t ON t.variant_key = v.variant_key WHERE {{filter}}))"""


def passing(condition: Filter) -> Filter:
    """A filter of variants, applied to all that have a vector before any is compared: for `exact` by variant."""
    return condition if condition == EVERYTHING else ("with", ("passing", {}, condition))


# ---- what is known of a class, and what else there is

MOST_MEMBERS, BACKGROUND = 2_000, 1_000
"""So many variants of a class are compared with, and so many others, drawn by their keys: the same ones every time."""

_DRAWN = Order(("hashint8extended(t.variant_key, 0)", "t.variant_key"))
_COLUMNS = {"variant_key": "t.variant_key"}
_OF_CLASS = "c.load_id = ANY(:loads) AND c.aspect = 'GERMLINE' AND c.classes && :classes::text[]"


@cache
def members(model_id: int, pathogenic: bool = False) -> Read:
    """Variants of a class (`:classes`, germline) that have a vector by a model which points anywhere, in the order in which they are drawn. Where the
    classes are PATHOGENIC and LIKELY_PATHOGENIC alone, an index has them: `pathogenic`."""
    indexed = " AND c.classes && '{PATHOGENIC,LIKELY_PATHOGENIC}'" if pathogenic else ""
    return Read(
        name=f"members_{model_id}{'_pathogenic' if pathogenic else ''}",
        source=f"""(SELECT DISTINCT c.variant_key FROM clinical_significance c WHERE {_OF_CLASS}{indexed}) c
            JOIN embedding_{model_id} e ON e.variant_key = c.variant_key AND e.norm > 0 JOIN variant t ON t.variant_key = c.variant_key""",
        visible=VARIANT.visible,
        columns=_COLUMNS,
        by={"all": By()},
        orders={"drawn": _DRAWN},
    )


@cache
def background(model_id: int) -> Read:
    """Variants of no class of `:classes` that have a vector by a model which points anywhere, in the order in which they are drawn; of `:percent` of the
    table's blocks."""
    return Read(
        name=f"background_{model_id}",
        source=f"embedding_{model_id} e TABLESAMPLE SYSTEM (:percent::real) REPEATABLE (1) JOIN variant t ON t.variant_key = e.variant_key",
        visible=f"""e.norm > 0 AND {VARIANT.visible}
            AND NOT EXISTS (SELECT FROM clinical_significance c WHERE c.variant_key = t.variant_key AND {_OF_CLASS} OFFSET 0)""",
        columns=_COLUMNS,
        by={"all": By()},
        orders={"drawn": _DRAWN},
    )


# ---- metacells

SIMILAR_METACELL = replace(
    METACELL,
    name="similar_metacell",
    columns={
        **METACELL.columns,
        "distance": "t.embedding <-> k.embedding",
        "similarity": f"CASE WHEN t.embedding <=> k.embedding <> 'NaN' THEN {_SIMILARITY.format('t.embedding <=> k.embedding')} END",
    },
    by={
        "metacell": By(
            anchor="(SELECT metacell_id AS key, load_id, embedding FROM metacell WHERE metacell_id = ANY(:keys) AND load_id = ANY(:loads)) k",
            each="t.load_id = k.load_id AND t.metacell_id <> k.key AND t.embedding IS NOT NULL AND k.embedding IS NOT NULL",
        )
    },
    orders={"nearest": Order(("t.embedding <-> k.embedding", "t.metacell_id"))},
)
"""The metacells of a load nearest to each of some, in the space that they were made in."""
