"""Metacells: what they are, what they express, and where their chromatin is open.

Values of all metacells of a load stand in arrays, by gene or by peak: a gene is one row however many metacells there are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .gene import NEWEST, OF_GENE, TARGET
from .read import SHORTEST, By, Order, Read
from .region import LENGTH_CLASSES
from .v2f import of_genes
from .variant import CHROM, NAMED_LOADS, VARIANT

_CELLS = "(SELECT metacell_id AS key, load_id, ordinal, top_genes FROM metacell WHERE metacell_id = ANY(:keys) AND load_id = ANY(:loads)) k"
_DATASET = f"t.load_id = ANY({NAMED_LOADS.format('ANY(:value)')})"


def metacell_id(load_id: int, ordinal: int) -> int:
    """As metacell.metacell_id is made."""
    return load_id * 16_777_216 + ordinal


METACELL = Read(
    name="metacell",
    source="metacell t",
    visible="t.load_id = ANY(:loads)",
    columns={
        "metacell_id": "t.metacell_id",
        "id": "'Metacell:' || t.metacell_id",
        "load_id": "t.load_id",
        "name": "t.name",
        "dataset": "(SELECT d.name FROM load l JOIN dataset d USING (dataset_id) WHERE l.load_id = t.load_id)",
        "cell_type": "t.cell_type",
        "purity": SHORTEST.format("t.purity"),
        "tissue": "t.tissue",
        "condition": "t.condition",
        "cell_count": SHORTEST.format("t.cell_count"),
        "plot_x": SHORTEST.format("t.plot_x"),
        "plot_y": SHORTEST.format("t.plot_y"),
    },
    by={"pk": By("t.metacell_id = ANY(:keys)", parent="t.metacell_id"), "all": By()},
    orders={"id": Order(("t.metacell_id",))},
    where={
        "dataset": _DATASET,
        "cell_type": "t.cell_type = ANY(:value)",
        "tissue": "t.tissue = ANY(:value)",
        "condition": "t.condition = ANY(:value)",
        "name": "t.name = ANY(:value)",
    },
)

METACELL_RUN = Read(
    name="metacell_run",
    source="metacell_run t",
    visible="t.load_id = ANY(:loads)",
    columns={
        name: f"t.{name}"
        for name in ("load_id", "layout", "matrix", "scale", "gene_count", "cell_types", "embedding", "plot", "peak_count", "peak_matrix")
    },
    by={"pk": By("t.load_id = ANY(:keys)", parent="t.load_id")},
    orders={"load": Order(("t.load_id",))},
)

EMBEDDING = replace(METACELL, name="metacell_embedding", columns={"embedding": "t.embedding::real[]::text[]::float8[]"})

# ---- expression

_VALUES = "e.gene, e.gene_id, e.load_id, e.tau, e.mean[k.ordinal + 1] AS mean, e.percent[k.ordinal + 1] AS percent, e.z[k.ordinal + 1] AS z, k.key AS metacell_id"

_EXPRESSION = {
    "load_id": "t.load_id",
    "metacell_id": "t.metacell_id",
    "gene_name": "t.gene",
    "gene_id": TARGET.format("t"),
    "mean": SHORTEST.format("t.mean"),
    "percent": SHORTEST.format("t.percent"),
    "z": SHORTEST.format("t.z"),
    "tau": SHORTEST.format("t.tau"),
}

EXPRESSION = Read(
    name="metacell_expression",
    source=f"""(SELECT e.gene, e.gene_id, e.load_id, e.tau, u.mean, u.percent, u.z, e.load_id::bigint * 16777216 + u.place - 1 AS metacell_id
        FROM metacell_expression e CROSS JOIN LATERAL unnest(e.mean, e.percent, e.z) WITH ORDINALITY u (mean, percent, z, place)
        WHERE e.load_id = ANY(:loads) AND {OF_GENE.format("e", "k")} OFFSET 0) t""",
    visible="true",
    columns=_EXPRESSION,
    by={
        "gene": By(
            anchor=f"(SELECT g.gene_id AS key, g.gene_id, g.symbol FROM gene g WHERE g.gene_id = ANY(:keys) AND {NEWEST.format('g')}) k"
        )
    },
    orders={"highest": Order(("t.mean", "t.metacell_id", "t.gene"), descending=True)},
    where={
        "dataset": _DATASET,
        "cell_type": "(SELECT m.cell_type FROM metacell m WHERE m.metacell_id = t.metacell_id) = ANY(:value)",
        "least": "t.mean >= :value",
    },
)
"""What metacells express of a gene, highest first."""

EXPRESSED = replace(
    EXPRESSION,
    name="expressed_gene",
    source=f"(SELECT {_VALUES} FROM metacell_expression e WHERE e.load_id = k.load_id AND (e.gene_id = ANY(:genes) OR upper(e.gene) = ANY(:genes)) OFFSET 0) t",
    by={"metacell": By(anchor=_CELLS)},
    orders={"gene": Order(("t.gene",))},
    where={},
)
"""What a metacell expresses of genes that are named, by identifier or as written, in upper case."""

TOP_GENE = replace(
    EXPRESSED,
    name="top_gene",
    source=f"""(SELECT {_VALUES}, g.place FROM unnest(k.top_genes) WITH ORDINALITY g (gene, place)
        CROSS JOIN LATERAL (SELECT x.* FROM metacell_expression x WHERE x.gene = g.gene AND x.load_id = k.load_id OFFSET 0) e OFFSET 0) t""",
    orders={"rank": Order(("t.place",))},
)

# ---- accessibility

PEAK = Read(
    name="metacell_peak",
    source=f"""{LENGTH_CLASSES} CROSS JOIN LATERAL (SELECT p.* FROM metacell_peak p WHERE p.chrom = :chrom AND p.length_class = c AND p.start_pos <= :end
        AND p.start_pos > :start - (1 << c) AND p.end_pos >= :start AND p.load_id = k.load_id OFFSET 0) t""",
    visible="true",
    columns={
        "chrom": CHROM.format("t"),
        "start": "t.start_pos",
        "end": "t.end_pos",
        "access": SHORTEST.format("t.access[k.ordinal + 1]"),
        "open": "t.open[k.ordinal + 1]",
    },
    by={"metacell": By(anchor=_CELLS)},
    orders={"genome": Order(("t.start_pos", "t.end_pos", "t.ordinal"))},
)

# ---- the variants that act on genes of a cell type

_EXPRESSING = f"""c.load_id = ANY(:loads) AND (:datasets::text[] IS NULL OR c.load_id = ANY({NAMED_LOADS.format("ANY(:datasets)")}))
    AND e.highest[array_position(c.cell_types, :metacell_type)] >= :min_expression AND e.highest[array_position(c.cell_types, :metacell_type)] > 0"""
_EXPRESSED_BY = f"""EXISTS (SELECT FROM metacell_run c CROSS JOIN LATERAL (SELECT e.highest FROM metacell_expression e
    WHERE e.load_id = c.load_id AND {OF_GENE.format("e", "g")} OFFSET 0) e WHERE {_EXPRESSING} OFFSET 0)"""
_ANY_EXPRESSED = f"EXISTS (SELECT FROM metacell_run c JOIN metacell_expression e ON e.load_id = c.load_id WHERE {_EXPRESSING} OFFSET 0)"

PROFILE = Read(
    name="metacell_profile",
    source=f"(SELECT e.* FROM metacell_expression e WHERE e.load_id = ANY(:loads) AND {OF_GENE.format('e', 'k')} OFFSET 0) t",
    visible="true",
    columns={name: f"t.{name}" for name in ("load_id", "gene", "tau")}
    | {name: f"array_send(t.{name})" for name in ("mean", "percent", "z")},
    by=EXPRESSION.by,
    # Of several names of a gene: its identifier before its symbol before an alias.
    orders={"load": Order(("t.load_id", "t.gene_id IS DISTINCT FROM k.gene_id", "upper(t.gene) <> upper(k.symbol)", "t.gene"))},
    where={"dataset": _DATASET},
)
"""Genes with their values in all metacells, by ordinal: in binary form (`reals`), because they are looked at as a whole."""

_ELEMENT = np.dtype([("length", ">i4"), ("value", ">f4")])
_BEFORE = 20
"""Bytes before the elements of an array: its dimensions, whether it has nulls, type, size, lowest index."""


def reals(data: bytes | None) -> np.ndarray | None:
    """(n,) float32 of a real[] without nulls, as array_send gives it; None for NULL."""
    return None if data is None else np.frombuffer(data[_BEFORE:], _ELEMENT)["value"].astype(np.float32)


AFFECTING = replace(VARIANT, name="affecting_variant", by={"cell_type": of_genes(_EXPRESSED_BY, _ANY_EXPRESSED)})
"""Variants that methods say act on a gene which some metacell of a cell type expresses."""
