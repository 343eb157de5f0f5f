"""From variants to function: how scores of variants, and links of the elements that they lie in, are joined to them and read.

What a source says of a position is about the variant there that has its rsID; where the source or the variant has none, about the only SNV at the
position. A link is about every variant of whose REF a base lies in the element. So the order of loads never matters.
"""

from __future__ import annotations

from dataclasses import replace

from .gene import NEWEST, OF_GENE, TARGET
from .read import By, Order, Read
from .region import LENGTH_CLASSES, classes_there
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
        NULL::int AS distance_to_tss, NULL::boolean AS self_promoter, s.source_locus
    FROM v2f_score s WHERE s.locus IN (k.key, k.locus) AND s.by_allele = (s.locus = k.key) AND s.load_id = ANY(:loads)
    UNION ALL SELECT e.load_id, e.file, e.line, 0, e.score, true, 'OVERLAP', NULL, e.gene_id, e.gene, e.cell_type, e.tissue, NULL, NULL, e.chrom, e.start_pos, e.end_pos,
        e.name, e.class, e.distance_to_tss, e.self_promoter, e.source_locus
    FROM {classes_there("v2f_element", ":keys")} CROSS JOIN LATERAL (SELECT x.* FROM v2f_element x WHERE x.chrom = k.chrom AND x.length_class = c AND x.start_pos <= k.last
        AND x.start_pos > k.pos - (1 << c) AND x.end_pos >= k.pos AND x.load_id = ANY(:loads) OFFSET 0) e OFFSET 0) t"""

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
        "target_id": TARGET.format("t"),
        "cell_type": "t.cell_type",
        "tissue": "t.tissue",
        "components": "t.components",
        "evidence": "coalesce(t.evidence, '{}')",
        "element": f"{CHROM.format('t')} || ':' || t.start_pos || '-' || t.end_pos",
        "element_name": "t.name",
        "element_class": "t.class",
        "distance_to_tss": "t.distance_to_tss",
        "self_promoter": "t.self_promoter",
        "source_locus": "t.source_locus",
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
        "gene": f"""upper(t.gene_id) = ANY(:value) OR upper(t.gene) = ANY(:value) OR {TARGET.format("t")} = ANY(ARRAY(SELECT g.gene_id FROM gene g
            WHERE (g.gene_id = ANY(:value) OR upper(g.symbol) = ANY(:value)) AND g.load_id = ANY(:loads)))""",
    },
)

# ---- the variants of a gene

_ASKED = """(:sources::text[] IS NULL OR r.source = ANY(:sources)) AND (:cell_types::text[] IS NULL OR x.cell_type = ANY(:cell_types))
    AND x.score >= coalesce(:min_score::float8, r.threshold, '-Infinity'::float8) AND x.load_id = ANY(:loads)"""

_JUDGED = f"JOIN v2f_run r ON r.load_id = x.load_id WHERE {OF_GENE.format('x', 'g')} AND {_ASKED}"

# Elements as stretches of keys, in which a variant may begin or reach; named variants as their keys alone. Multiranges are searched by halving.
_ELEMENTS = f"""SELECT int8range(locus_key(x.chrom, x.start_pos), locus_key(x.chrom, x.end_pos + 1)) AS span FROM v2f_element x {_JUDGED}"""
_NAMED = f"SELECT int8range(x.locus, x.locus, '[]') AS span FROM v2f_score x {_JUDGED} AND x.by_allele"

# Where a variant may begin that lies in an element, or is named.
_REACHING = f"""unnest((SELECT range_agg(s) FROM (SELECT int8range(lower(e) - ({LONGEST_REF}::bigint << 31), upper(e)) AS s FROM unnest({{0}}.elements) e
    UNION ALL SELECT unnest({{0}}.named)) a)) span"""

_OF_ELEMENTS = By(
    each="(k.elements && int8range(t.variant_key, locus_key(t.chrom, t.pos + length(t.ref))) OR k.named @> t.variant_key)",
    spans=_REACHING.format("k"),
    range=("greatest(lower(span), :lo)", "least(upper(span), :hi)"),
)


def _of_gene(key: str, which: str) -> By:
    return replace(
        _OF_ELEMENTS,
        anchor=f"""(SELECT {key} AS key, (SELECT range_agg(a.span) FROM ({_ELEMENTS}) a) AS elements, (SELECT range_agg(a.span) FROM ({_NAMED}) a) AS named
            FROM gene g WHERE {which} AND {NEWEST.format("g")} OFFSET 0) k""",
    )


_WINDOW = 1 << 22
_WINDOWS = f"""(SELECT w.* FROM (SELECT c AS chrom, s AS start, s + {_WINDOW} AS stop, locus_key(c, s) AS lo, locus_key(c, s + {_WINDOW}) AS hi
        FROM (SELECT generate_series(1, 25)::smallint AS c) c, generate_series(0, {(1 << 28) - 1}, {_WINDOW}) s OFFSET 0) w
    WHERE w.hi > :lo AND w.lo < :hi AND EXISTS (SELECT FROM variant v WHERE v.variant_key >= w.lo AND v.variant_key < w.hi OFFSET 0)
    ORDER BY w.lo{{direction}}) w"""
"""Stretches of the genome that have variants, in order."""


def of_genes(wanted: str, any_wanted: str) -> By:
    """The variants that methods say act on any of the genes g for which the SQL `wanted` holds; `any_wanted` is whether it does for any.

    There may be thousands, with elements all over the genome: it is read window by window, as far as a page goes, and each gene that is named in a
    window is looked up once.
    """
    named = "coalesce({0}.gene_id, '') = coalesce({1}.gene_id, '') AND coalesce({0}.gene, '') = coalesce({1}.gene, '')"
    judged = f"JOIN v2f_run r ON r.load_id = x.load_id WHERE {_ASKED}"
    found = f"""WITH x AS MATERIALIZED (SELECT true AS linked, int8range(locus_key(x.chrom, x.start_pos), locus_key(x.chrom, x.end_pos + 1)) AS span, x.gene_id, x.gene
            FROM {LENGTH_CLASSES} CROSS JOIN LATERAL (SELECT e.* FROM v2f_element e WHERE e.chrom = w.chrom AND e.length_class = c
            AND e.start_pos < w.stop + {LONGEST_REF} AND e.start_pos > w.start - (1 << c) AND e.end_pos >= w.start OFFSET 0) x {judged}
            UNION ALL SELECT false, int8range(x.locus, x.locus, '[]'), x.gene_id, x.gene FROM v2f_score x {judged}
            AND x.by_allele AND x.locus >= w.lo AND x.locus < w.hi),
        y AS MATERIALIZED (SELECT y.* FROM (SELECT DISTINCT x.gene_id, x.gene FROM x OFFSET 0) y
            WHERE EXISTS (SELECT FROM gene g WHERE g.gene_id = {TARGET.format("y")} AND {NEWEST.format("g")} AND {wanted} OFFSET 0))
        SELECT range_agg(x.span) FILTER (WHERE x.linked) AS elements, range_agg(x.span) FILTER (WHERE NOT x.linked) AS named
        FROM x JOIN y ON {named.format("x", "y")}"""
    return By(
        anchor=f"(SELECT 0 AS key WHERE {any_wanted}) k",
        each="(e.elements && int8range(t.variant_key, locus_key(t.chrom, t.pos + length(t.ref))) OR e.named @> t.variant_key)",
        windows=_WINDOWS,
        spans=f"({found} OFFSET 0) e CROSS JOIN LATERAL (SELECT span FROM {_REACHING.format('e')} ORDER BY span{{direction}} OFFSET 0) s",
        range=("greatest(lower(span), w.lo, :lo)", "least(upper(span), w.hi, :hi)"),
    )


TARGETING = replace(
    VARIANT,
    name="v2f_variant",
    by={"gene": _of_gene("g.gene_id", "g.gene_id = ANY(:keys)"), "named": _of_gene("0", "g.gene_id = :gene_id")},
)
