"""From variants to function: how scores of variants, and links of the elements that they lie in, are joined to them and read.

What a source says of a position is about the variant there that has its rsID; where the source or the variant has none, about the only SNV at the
position. A link is about every variant of whose REF a base lies in the element. So the order of loads never matters.
"""

from __future__ import annotations

from dataclasses import replace

from .read import By, Order, Read
from .region import LENGTH_CLASSES
from .variant import CHROM, VARIANT

LONGEST_REF = 10_000
"""Where variants of a gene are listed, those with a longer REF are found only in elements in which they begin."""

_SNV = "length({0}.ref) = 1 AND length({0}.alt) = 1"

_ALONE = f"""(SELECT count(*) FROM variant v WHERE v.variant_key >= k.locus AND v.variant_key < locus_key(k.chrom, k.pos + 1) AND {_SNV.format("v")}
    AND EXISTS (SELECT FROM variant_record r WHERE r.variant_key = v.variant_key AND r.load_id = ANY(:loads) OFFSET 0)) = 1"""

# Of what a record says, as VARIANT has it: the look-up of rsIDs has no index by variant.
_UNNAMED = VARIANT.columns["rsids"].replace("t.variant_key", "k.key") + " = '{}'"

_MATCHED = f"""CASE WHEN s.by_allele THEN 'ALLELES'
    WHEN EXISTS (SELECT FROM rsid i WHERE i.rsid = s.rsid AND i.variant_key = k.key AND i.load_id = ANY(:loads) OFFSET 0) THEN 'RSID'
    WHEN k.snv AND (s.rsid IS NULL OR {_UNNAMED}) AND {_ALONE} THEN 'POSITION' END"""

_ROWS = f"""(SELECT s.load_id, s.file, s.line, s.part, s.score AS value, false AS linked, {_MATCHED} AS matched_by, s.percentile, s.gene_id, s.gene, s.cell_type, s.tissue,
        s.components, s.evidence, NULL::smallint AS chrom, NULL::int AS start_pos, NULL::int AS end_pos, NULL AS name, NULL AS class,
        NULL::int AS distance_to_tss, NULL::boolean AS self_promoter
    FROM v2f_score s WHERE s.locus IN (k.key, k.locus) AND s.by_allele = (s.locus = k.key) AND s.load_id = ANY(:loads)
    UNION ALL SELECT e.load_id, e.file, e.line, 0, e.score, true, 'OVERLAP', NULL, e.gene_id, e.gene, e.cell_type, e.tissue, NULL, NULL, e.chrom, e.start_pos, e.end_pos,
        e.name, e.class, e.distance_to_tss, e.self_promoter
    FROM {LENGTH_CLASSES} CROSS JOIN LATERAL (SELECT x.* FROM v2f_element x WHERE x.chrom = k.chrom AND x.length_class = c AND x.start_pos <= k.last
        AND x.start_pos > k.pos - (1 << c) AND x.end_pos >= k.pos AND x.load_id = ANY(:loads) OFFSET 0) e OFFSET 0) t"""

_TARGET = """coalesce((SELECT n.gene_id FROM gene n WHERE n.gene_id = {0}.gene_id AND n.load_id = ANY(:loads) LIMIT 1),
    (SELECT n.gene_id FROM gene n WHERE upper(n.symbol) = upper({0}.gene) AND n.load_id = ANY(:loads) ORDER BY n.load_id DESC, n.gene_id LIMIT 1))"""
"""The gene of a visible annotation that a score or link is about: by identifier, else by symbol."""

V2F = Read(
    name="v2f_score",
    source=f"{_ROWS} CROSS JOIN LATERAL (SELECT r.* FROM v2f_run r WHERE r.load_id = t.load_id OFFSET 0) r",
    visible="t.matched_by IS NOT NULL",
    columns={
        "load_id": "t.load_id",
        "line": "t.line",
        "source": "upper(replace(r.source, '-', '_'))",
        "score_version": "r.score_version",
        "synthetic": "r.synthetic",
        "threshold": "r.threshold",
        "score": "CASE WHEN NOT t.linked THEN t.value END",
        "link_score": "CASE WHEN t.linked THEN t.value END",
        "above_threshold": "t.value >= r.threshold",
        "percentile": "t.percentile",
        "matched_by": "t.matched_by",
        "gene_name": "coalesce(t.gene, t.gene_id)",
        "target_id": _TARGET.format("t"),
        "cell_type": "t.cell_type",
        "tissue": "t.tissue",
        "components": "t.components",
        "evidence": "coalesce(t.evidence, '{}')",
        "element": f"{CHROM.format('t')} || ':' || t.start_pos || '-' || t.end_pos",
        "element_name": "t.name",
        "element_class": "t.class",
        "distance_to_tss": "t.distance_to_tss",
        "self_promoter": "t.self_promoter",
    },
    by={
        "variant": By(
            anchor=f"""(SELECT v.variant_key AS key, v.chrom, v.pos, v.pos + length(v.ref) - 1 AS last, locus_key(v.chrom, v.pos) AS locus, {_SNV.format("v")} AS snv
                FROM variant v WHERE v.variant_key = ANY(:keys)) k"""
        )
    },
    orders={"newest": Order(("t.load_id", "t.value", "t.file", "t.line", "t.part"), descending=True)},
    where={
        "source": "r.source = ANY(:value)",
        "min_score": "t.value >= :value",
        "above_threshold": "r.threshold IS NULL OR t.value >= r.threshold",
        "cell_type": "t.cell_type = ANY(:value)",
        "tissue": "t.tissue = ANY(:value)",
        "gene": "upper(t.gene_id) = ANY(:value) OR upper(t.gene) = ANY(:value)",
    },
)

# ---- the variants of a gene

_ASKED = """(:sources::text[] IS NULL OR r.source = ANY(:sources)) AND (:cell_types::text[] IS NULL OR x.cell_type = ANY(:cell_types))
    AND x.score >= coalesce(:min_score::float8, r.threshold, '-Infinity'::float8) AND x.load_id = ANY(:loads)"""

_OF_GENE = f"(x.gene_id = g.gene_id OR upper(x.gene) = upper(g.symbol) AND {_TARGET.format('x')} = g.gene_id)"

_JUDGED = f"JOIN v2f_run r ON r.load_id = x.load_id WHERE {_OF_GENE} AND {_ASKED}"

# Elements as stretches of keys, in which a variant may begin or reach; named variants as their keys alone. Multiranges are searched by halving.
_SPANS = f"""(SELECT range_agg(int8range(locus_key(x.chrom, x.start_pos), locus_key(x.chrom, x.end_pos + 1))) FROM v2f_element x {_JUDGED}) AS elements,
    (SELECT range_agg(int8range(x.locus, x.locus, '[]')) FROM v2f_score x {_JUDGED} AND x.by_allele) AS named"""

_TARGETED = f"""(SELECT {{key}} AS key, {_SPANS} FROM gene g WHERE {{which}} AND g.load_id = ANY(:loads)
    AND NOT EXISTS (SELECT FROM gene n WHERE n.gene_id = g.gene_id AND n.load_id = ANY(:loads) AND n.load_id > g.load_id OFFSET 0) OFFSET 0) k"""

_OF_ELEMENTS = By(
    each="(k.elements && int8range(t.variant_key, locus_key(t.chrom, t.pos + length(t.ref))) OR k.named @> t.variant_key)",
    spans=f"""unnest((SELECT range_agg(s) FROM (SELECT int8range(lower(e) - ({LONGEST_REF}::bigint << 31), upper(e)) AS s FROM unnest(k.elements) e
        UNION ALL SELECT unnest(k.named)) a)) span""",
    range=("greatest(lower(span), :lo)", "least(upper(span), :hi)"),
)

TARGETING = replace(
    VARIANT,
    name="v2f_variant",
    by={
        "gene": replace(_OF_ELEMENTS, anchor=_TARGETED.format(key="g.gene_id", which="g.gene_id = ANY(:keys)")),
        "named": replace(_OF_ELEMENTS, anchor=_TARGETED.format(key="0", which="g.gene_id = :gene_id")),
    },
)
