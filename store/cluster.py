"""Clusters of variants: the directions that they are made of, what they are, and how they are read.

A cluster is of its load. Its members are variants like any other: those that no visible file has are not shown, nor counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import psycopg
from psycopg import sql

from .embedding import Model
from .read import SHORTEST, By, Order, Read, children
from .variant import CHROM, NAMED_LOADS, VARIANT
from .vector import matrix_of_halfvecs

MOST_CLUSTERS = (1 << 24) - 1
"""Clusters that a load can have: what an ordinal can count to."""


def cluster_id(load_id: int, ordinal: int) -> int:
    """As variant_cluster.cluster_id is made."""
    return load_id * 16_777_216 + ordinal


_MODEL = "(SELECT r.model FROM variant_cluster_run r WHERE r.load_id = t.load_id)"

CLUSTER = Read(
    name="variant_cluster",
    source="variant_cluster t",
    visible="t.load_id = ANY(:loads)",
    columns={
        "cluster_id": "t.cluster_id",
        "id": "'VariantCluster:' || t.cluster_id",
        "load_id": "t.load_id",
        "exemplar_key": "t.exemplar",
        "number": "t.ordinal",
        "size": "t.size",
        "model": _MODEL,
        "cohesion": SHORTEST.format("t.cohesion"),
    },
    by={"pk": By("t.cluster_id = ANY(:keys)", parent="t.cluster_id"), "all": By()},
    orders={"largest": Order(("-t.size", "t.cluster_id"))},
    where={"dataset": f"t.load_id = ANY({NAMED_LOADS.format('ANY(:value)')})", "model": f"{_MODEL} = ANY(:value)"},
)

CLUSTER_RUN = Read(
    name="variant_cluster_run",
    source="variant_cluster_run t",
    visible="t.load_id = ANY(:loads)",
    columns={name: f"t.{name}" for name in ("load_id", "model", "min_size", "min_samples")}
    | {"variant_count": "t.variants", "noise_count": "t.noise", "cluster_count": "t.clusters"},
    by={"pk": By("t.load_id = ANY(:keys)", parent="t.load_id")},
    orders={"load": Order(("t.load_id",))},
)

_PROBABILITY = SHORTEST.format("m.probability")

MEMBER = replace(
    VARIANT,
    name="cluster_member",
    source="variant_cluster_member m JOIN variant t ON t.variant_key = m.variant_key",
    columns={**VARIANT.columns, "probability": _PROBABILITY},
    genome="",
    by={
        "cluster": By(
            anchor="(SELECT cluster_id AS key, load_id, ordinal FROM variant_cluster WHERE cluster_id = ANY(:keys) AND load_id = ANY(:loads)) k",
            each="m.load_id = k.load_id AND m.ordinal = k.ordinal",
        )
    },
    orders={"place": Order(("m.place",))},
    where={},
    drivers={},
)
"""The members of a cluster, those that belong to it most first."""

OF_VARIANT = replace(
    CLUSTER,
    name="cluster_of_variant",
    source="variant_cluster_member m JOIN variant_cluster t ON t.cluster_id = m.load_id::bigint * 16777216 + m.ordinal",
    visible="m.load_id = ANY(:loads)",
    columns={**CLUSTER.columns, "probability": _PROBABILITY},
    by={"variant": children("m.variant_key", "variant.variant_key")},
    orders={"newest": Order(("m.load_id",), descending=True)},
)
"""The clusters that a variant is in: one of a load, at most."""

# ---- what clusters are made of

_VISIBLE = """EXISTS (SELECT FROM variant_record r WHERE r.variant_key = e.variant_key AND r.load_id = ANY(%(loads)s))
    AND EXISTS (SELECT FROM unnest(%(los)s::bigint[], %(his)s::bigint[]) b (lo, hi) WHERE e.variant_key >= b.lo AND e.variant_key < b.hi)"""
_ROWS = 2_000


def _asked(loads: Sequence[int], ranges: Sequence[tuple[int, int]]) -> dict[str, list[int]]:
    return {"loads": list(loads), "los": [lo for lo, _ in ranges], "his": [hi for _, hi in ranges]}


def count_directions(conn: psycopg.Connection, model: Model, loads: Sequence[int], ranges: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """How many variants of these loads, in ranges of keys, half-open, have a vector by the model that points somewhere, and how many one of zeros."""
    statement = sql.SQL(f"SELECT count(*) FILTER (WHERE e.norm > 0), count(*) FILTER (WHERE e.norm = 0) FROM {{}} e WHERE {_VISIBLE}")
    row = conn.execute(statement.format(sql.Identifier(model.table)), _asked(loads, ranges)).fetchone()
    assert row is not None
    return row[0], row[1]


def directions(
    conn: psycopg.Connection, model: Model, loads: Sequence[int], ranges: Sequence[tuple[int, int]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Keys (m,) int64 and directions (m, dimension) float16, as stored, of the variants that `count_directions` counts, without those of zeros; in
    genome order, some thousand at a time. Inside a transaction."""
    statement = sql.SQL(
        f"SELECT e.variant_key, halfvec_send(e.direction) FROM {{}} e WHERE e.norm > 0 AND {_VISIBLE} ORDER BY e.variant_key"
    ).format(sql.Identifier(model.table))
    with conn.cursor("directions", binary=True) as cursor:
        cursor.execute(statement, _asked(loads, ranges))
        while rows := cursor.fetchmany(_ROWS):
            numbers = matrix_of_halfvecs([row[1] for row in rows], model.dimension)
            yield np.array([row[0] for row in rows], np.int64), numbers.astype(np.float16)


def members(conn: psycopg.Connection, load_id: int) -> Iterator[tuple[str, int, float]]:
    """(CHROM-POS-REF-ALT, number of the cluster, probability) of all members of a load's clusters, cluster by cluster, by their places. Inside a
    transaction."""
    with conn.cursor("members") as cursor:
        cursor.execute(
            f"""SELECT {CHROM.format("v")} || '-' || v.pos || '-' || v.ref || '-' || v.alt, m.ordinal, {_PROBABILITY}
            FROM variant_cluster_member m JOIN variant v ON v.variant_key = m.variant_key WHERE m.load_id = %s ORDER BY m.ordinal, m.place""",
            (load_id,),
        )
        yield from cursor
