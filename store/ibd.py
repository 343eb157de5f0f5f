"""Segments shared by descent: how they are stored, and how they are read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import psycopg
import pyarrow as pa

from .assembly import LAST_AUTOSOME
from .genotype import CARRIED, callsets_asked, genotype_text
from .read import By, Order, Read
from .region import LENGTH_CLASSES, length_class
from .sample import SAMPLE
from .variant import CHROM, VARIANT


def from_both_sides(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of ibd_segment as they are stored: each segment as either person sees it, those of a person together, in genome order."""
    start, end = (rows.column(name).to_numpy() for name in ("start_pos", "end_pos"))
    rows = rows.append_column("length_class", pa.array(length_class(start, end)))
    turned = rows.rename_columns([_OTHER.get(name, name) for name in rows.schema.names]).select(rows.schema.names)
    both = pa.concat_batches([rows, turned])
    return both.take(pa.array(np.lexsort([both.column(name).to_numpy() for name in ("start_pos", "chrom", "sample_id")])))


_OTHER = {"sample_id": "other_id", "other_id": "sample_id", "haplotype": "other_haplotype", "other_haplotype": "haplotype"}
"""What a column is to the other person."""

# ---- runs

RUN = Read(
    name="ibd_run",
    source="ibd_run t JOIN load l ON l.load_id = t.load_id JOIN dataset d ON d.dataset_id = l.dataset_id",
    visible="t.load_id = ANY(:loads)",
    columns={
        "load_id": "t.load_id",
        "id": "'IBDRun:' || t.load_id",
        "name": "d.name",
        "version": "l.version",
        "source": "upper(replace(t.source, '-', '_'))",
        "source_version": "t.source_version",
        "cohort": "t.cohort",
        "phased": "t.phased",
        "callset_id": "callset_of_run(t.load_id, :loads)",
        "surveyed_cm": "t.surveyed_cm",
        "segment_count": "coalesce((l.counts ->> 'ibd_segment')::bigint, 0)",
        "hbd_segment_count": "coalesce((l.counts ->> 'hbd_segment')::bigint, 0)",
        "sample_count": "coalesce((l.counts ->> 'sample_info')::integer, 0)",
    },
    by={"pk": By("t.load_id = ANY(:keys)", parent="t.load_id"), "all": By()},
    orders={"load": Order(("t.load_id",))},
    where={"load": "t.load_id = ANY(:value)"},
)


def run_of(cohort: str) -> str:
    """SQL of the run that speaks of the people of a cohort: the latest visible one, of `:runs` where these are given."""
    return f"run_of_pairs({cohort}, coalesce(:runs::int[], :loads))"


def set_surveyed(conn: psycopg.Connection, load_id: int) -> None:
    """Says of a run that is complete how much was searched, where nobody did: the length of its genetic map on the autosomes that have segments."""
    conn.execute(
        """UPDATE ibd_run r SET surveyed_cm = (SELECT nullif(sum(r.map_cm[c]), 0) FROM generate_series(1, %(last)s) c WHERE c IN
        (SELECT chrom FROM ibd_segment WHERE load_id = %(load)s UNION SELECT chrom FROM hbd_segment WHERE load_id = %(load)s))
        WHERE load_id = %(load)s AND surveyed_cm IS NULL AND map_cm IS NOT NULL""",
        {"load": load_id, "last": LAST_AUTOSOME},
    )


# ---- segments

_VARIANTS = "(SELECT variant_key AS key, chrom, pos FROM variant WHERE variant_key = ANY(:keys)) k"
_CALLS = """(SELECT p.key, v.chrom, v.pos, p.sample_id FROM (SELECT x AS key, split_part(x, ':', 1)::bigint AS variant_key,
    split_part(x, ':', 2)::int AS sample_id FROM unnest(:keys::text[]) x OFFSET 0) p JOIN variant v ON v.variant_key = p.variant_key) k"""
_SAMPLES = "(SELECT sample_id AS key FROM sample WHERE sample_id = ANY(:keys)) k"
# Pairs of people in a run, and the least length in cM: SAMPLE.SAMPLE.RUN:LEAST.
_PAIRS = """(SELECT p.*, s.sample_id AS key1 FROM (SELECT x AS key, split_part(x, '.', 1)::int AS one, split_part(x, '.', 2)::int AS key2,
    split_part(split_part(x, ':', 1), '.', 3)::int AS run, split_part(x, ':', 2)::float8 AS least FROM unnest(:keys::text[]) x OFFSET 0) p
    JOIN sample s ON s.sample_id = p.one) k"""
_COVERS = "t.chrom = k.chrom AND t.start_pos <= k.pos AND t.end_pos >= k.pos"


def _seen_from(lower: str, higher: str) -> str:
    return f"CASE WHEN t.sample_id < t.other_id THEN t.{lower} ELSE t.{higher} END"


def _key(*columns: str) -> str:
    return " || '.' || ".join(columns)


def _numbered(columns: str, count: int) -> By:
    """Rows by the text of their key, whole numbers with dots between."""
    parts = ", ".join(f"split_part(x, '.', {i})::int" for i in range(1, count + 1))
    return By(f"({columns}) IN (SELECT {parts} FROM unnest(:keys::text[]) x OFFSET 0)", parent=_key(*columns.split(", ")))


_PLACE = {
    "load_id": "t.load_id",
    "line": "t.line",
    "chrom": CHROM.format("t"),
    "start": "t.start_pos",
    "end": "t.end_pos",
    "region": f"{CHROM.format('t')} || ':' || t.start_pos || '-' || t.end_pos",
    "length_bp": "t.end_pos - t.start_pos + 1",
    "length_cm": "t.length_cm",
    "markers": "t.markers",
    "score": "t.score",
}
_WHERE = {
    "run": "t.load_id = ANY(:value)",
    "min_length": "t.length_cm >= :value",
    "region": "t.chrom = :chrom AND t.start_pos <= :end AND t.end_pos >= :start",
}
_LONGEST = Order(("t.length_cm", "t.load_id", "t.file", "t.line"), descending=True)
_SEGMENT_KEY = _key("least(t.sample_id, t.other_id)", "greatest(t.sample_id, t.other_id)", "t.load_id", "t.file", "t.line")

SEGMENT = Read(
    name="ibd_segment",
    source="ibd_segment t",
    visible="t.load_id = ANY(:loads)",
    columns={
        "key": _SEGMENT_KEY,
        "id": f"'IBDSegment:' || {_SEGMENT_KEY}",
        "sample1_id": "least(t.sample_id, t.other_id)",
        "sample2_id": "greatest(t.sample_id, t.other_id)",
        "haplotype1": _seen_from("haplotype", "other_haplotype"),
        "haplotype2": _seen_from("other_haplotype", "haplotype"),
        "ibd_type": "t.ibd_type",
        **_PLACE,
        "other_id": "t.other_id",
        "haplotype": "t.haplotype",
        "other_haplotype": "t.other_haplotype",
    },
    by={
        "pk": _numbered("t.sample_id, t.other_id, t.load_id, t.file, t.line", 5),
        "variant": By(anchor=_VARIANTS, each=f"t.sample_id = :sample_id AND {_COVERS}"),
        "call": By(anchor=_CALLS, each=f"t.sample_id = k.sample_id AND {_COVERS}"),
        "sample": By(anchor=_SAMPLES, each="t.sample_id = k.key"),
        "pair": By(anchor=_PAIRS, each="t.sample_id = k.key1 AND t.other_id = k.key2 AND t.load_id = k.run AND t.length_cm >= k.least"),
    },
    orders={"length": _LONGEST},
    where={**_WHERE, "other": "t.other_id = ANY(:value)"},
)
"""Each segment in two rows: how it is told by its key and its two samples is the same in both, `other` and `haplotype` are not."""

OVER = replace(
    SEGMENT,
    name="ibd_segment_over",
    columns={
        **SEGMENT.columns,
        "sample1_id": "t.sample_id",
        "sample2_id": "t.other_id",
        "haplotype1": "t.haplotype",
        "haplotype2": "t.other_haplotype",
    },
    # By length classes, so that an index finds all that cover a position, and little else; each segment once.
    source=f"""{LENGTH_CLASSES} CROSS JOIN LATERAL (SELECT s.* FROM ibd_segment s WHERE s.chrom = k.chrom AND s.length_class = c
        AND s.start_pos <= k.pos AND s.start_pos > k.pos - (1 << c) AND s.end_pos >= k.pos AND s.sample_id < s.other_id OFFSET 0) t""",
    by={"variant": By(anchor=_VARIANTS)},
)

HBD = Read(
    name="hbd_segment",
    source="hbd_segment t",
    visible="t.load_id = ANY(:loads)",
    columns={
        "key": _key("t.sample_id", "t.load_id", "t.file", "t.line"),
        "id": f"'HBDSegment:' || {_key('t.sample_id', 't.load_id', 't.file', 't.line')}",
        "sample_id": "t.sample_id",
        **_PLACE,
    },
    by={
        "pk": _numbered("t.sample_id, t.load_id, t.file, t.line", 4),
        "sample": By(anchor=_SAMPLES, each="t.sample_id = k.key"),
    },
    orders={"length": replace(_LONGEST, columns=(*_LONGEST.columns, "t.sample_id"))},
    where=_WHERE,
)

# ---- what two people share

_UNION = """max({0}.end_pos) OVER (PARTITION BY {1} ORDER BY {0}.start_pos, {0}.end_pos DESC, {0}.file, {0}.line
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"""

TOTALS = f"""SELECT u.other_id AS sample_id, round(sum(new_cm(u.length_cm, u.start_pos, u.end_pos, u.covered))::numeric, 6)::float8 AS total_cm,
    count(*)::int AS segment_count, max(u.length_cm) AS longest_cm FROM (SELECT s.other_id, s.length_cm, s.start_pos, s.end_pos,
    {_UNION.format("s", "s.other_id, s.chrom")} AS covered FROM ibd_segment s WHERE s.sample_id = {{sample}} AND s.load_id = {{run}}
    AND s.length_cm >= :min_length AND s.chrom <= {LAST_AUTOSOME}) u GROUP BY u.other_id"""

RELATIVE = replace(
    SAMPLE,
    name="relative",
    # In their order, so that who is behind a page is not looked at.
    source=f"""({TOTALS.format(sample="k.key", run="k.run")} ORDER BY total_cm DESC, sample_id DESC OFFSET 0) r
        CROSS JOIN LATERAL (SELECT x.* FROM sample x WHERE x.sample_id = r.sample_id OFFSET 0) t""",
    # Whom a visible run mentions, its own rows of sample_info name.
    visible="true",
    columns={
        **SAMPLE.columns,
        "pair": "k.key || '.' || t.sample_id || '.' || k.run",
        "run_id": "k.run",
        "total_cm": "r.total_cm",
        "segment_count": "r.segment_count",
        "longest_cm": "r.longest_cm",
    },
    by={
        "sample": By(
            anchor=f"(SELECT s.sample_id AS key, {run_of('s.cohort')} AS run FROM sample s WHERE s.sample_id = ANY(:keys) OFFSET 0) k"
        )
    },
    orders={"shared": Order(("r.total_cm", "r.sample_id"), descending=True)},
    where={"min_total": "r.total_cm >= :value", "population": SAMPLE.where["population"]},
)

# ---- variants in segments

_SPAN = "int8range(locus_key({0}.chrom, {0}.start_pos), locus_key({0}.chrom, {0}.end_pos + 1))"


def _inside(table: str, numbered: By) -> By:
    return By(
        anchor=f"(SELECT {numbered.parent} AS key, t.chrom, t.start_pos, t.end_pos FROM {table} t WHERE t.load_id = ANY(:loads) AND {numbered.where}) k",
        range=("greatest(locus_key(k.chrom, k.start_pos), :lo)", "least(locus_key(k.chrom, k.end_pos + 1), :hi)"),
    )


IN_SEGMENT = replace(
    VARIANT,
    name="segment_variant",
    by={"ibd": _inside("ibd_segment", SEGMENT.by["pk"]), "hbd": _inside("hbd_segment", HBD.by["pk"])},
)

IN_HBD = replace(
    CARRIED,
    name="hbd_variant",
    by={
        "sample": replace(
            CARRIED.by["sample"],
            spans=f"""unnest((SELECT range_agg({_SPAN.format("b")}) FROM hbd_segment b WHERE b.sample_id = k.key AND b.load_id = ANY(:loads)
                AND b.length_cm >= :min_length AND (:runs::int[] IS NULL OR b.load_id = ANY(:runs)))) span""",
            range=("greatest(lower(span), :lo)", "least(upper(span), :hi)"),
        )
    },
)

# The genotypes to ask: of each variant those in which the run found its segments, else those of the latest callset that has both people.
# Only in the former do haplotype numbers mean something.
_BEST = "ORDER BY c.own DESC, c.load_id DESC"
_WITH_GENOTYPES = f"""(SELECT s.*, c.*
    FROM (SELECT {{key}} AS key, min(t.load_id) AS run, min(t.sample_id) AS sample1, min(t.other_id) AS sample2, array_agg({_SPAN.format("t")}) AS spans,
        range_agg({_SPAN.format("t")}) AS merged, array_agg(t.haplotype) AS haplotypes1, array_agg(t.other_haplotype) AS haplotypes2
        FROM ibd_segment t WHERE t.load_id = ANY(:loads) AND {{where}}) s
    CROSS JOIN LATERAL (SELECT array_agg(c.load_id {_BEST}) AS callsets, array_agg(c.own AND c.phased {_BEST}) AS placed,
        array_agg(c.ordinal1 {_BEST}) AS ordinals1, array_agg(c.ordinal2 {_BEST}) AS ordinals2
        FROM (SELECT a.load_id, a.ordinal AS ordinal1, b.ordinal AS ordinal2, r.phased, a.load_id IS NOT DISTINCT FROM r.callset AS own
            FROM (SELECT t.phased, callset_of_run(t.load_id, :loads) AS callset FROM ibd_run t WHERE t.load_id = s.run OFFSET 0) r
            CROSS JOIN callset_sample a JOIN callset_sample b ON b.load_id = a.load_id AND b.sample_id = s.sample2
            WHERE a.sample_id = s.sample1 AND a.load_id = ANY(:loads) AND {callsets_asked("a")}) c) c) k"""

_HAPLOTYPE_ALT = """haplotype_alt(g.alt, g.alt_slots, g.missing, g.haploid, g.phasing, g.phase, g.calls, g.phase_sets, g.ordinal{0},
    k.haplotypes{0}[i])"""

_CARRIES = "alt_pair(g.alt, g.alt_slots, {}) <> 0"

SHARED = replace(
    VARIANT,
    name="shared_variant",
    source=f"""(SELECT g.*, o.* FROM genotype g CROSS JOIN LATERAL (SELECT i AS rank, k.ordinals1[i] AS ordinal1, k.ordinals2[i] AS ordinal2, k.placed[i] AS placed
            FROM (SELECT array_position(k.callsets, g.load_id) AS i OFFSET 0) i OFFSET 0) o
            WHERE g.variant_key >= {{lo}} AND g.variant_key < {{hi}} AND g.load_id = ANY(k.callsets)
            AND ({_CARRIES.format("o.ordinal1")} OR {_CARRIES.format("o.ordinal2")}) ORDER BY g.variant_key{{direction}} OFFSET 0) g
        CROSS JOIN LATERAL (SELECT coalesce(CASE WHEN g.placed THEN (SELECT CASE WHEN bool_or(j.one AND j.two) THEN 'SHARED_HAPLOTYPE'
            WHEN bool_or(j.one <> j.two) THEN 'DISCORDANT_HAPLOTYPES' WHEN bool_and(NOT j.one AND NOT j.two) THEN 'OTHER_HAPLOTYPE' END
            FROM (SELECT {_HAPLOTYPE_ALT.format(1)} AS one, {_HAPLOTYPE_ALT.format(2)} AS two FROM generate_subscripts(k.spans, 1) i
                WHERE k.spans[i] @> g.variant_key) j) END,
            CASE WHEN {_CARRIES.format("g.ordinal1")} AND {_CARRIES.format("g.ordinal2")} THEN 'BOTH_CARRY' ELSE 'ONE_CARRIES' END) AS sharing OFFSET 0) w
        CROSS JOIN LATERAL (SELECT v.* FROM variant v WHERE v.variant_key = g.variant_key OFFSET 0) t""",
    # Of visible callsets by its anchor; one row for a variant: of the first of them that has it.
    visible=f"""{VARIANT.visible} AND (cardinality(k.callsets) = 1 OR NOT EXISTS (SELECT FROM genotype n WHERE n.variant_key = g.variant_key
        AND n.load_id = ANY(k.callsets) AND array_position(k.callsets, n.load_id) < g.rank OFFSET 0))""",
    columns={
        **VARIANT.columns,
        "callset_id": "g.load_id",
        "sharing": "w.sharing",
        "gt1": genotype_text("g.ordinal1"),
        "gt2": genotype_text("g.ordinal2"),
    },
    genome="g.variant_key",
    by={
        "pair": By(
            anchor=_WITH_GENOTYPES.format(
                key="0",
                where="t.sample_id = :sample1 AND t.other_id = :sample2 AND t.load_id = :run AND t.length_cm >= :min_length HAVING count(*) > 0",
            ),
            spans="unnest(k.merged) span",
            range=("greatest(lower(span), :lo)", "least(upper(span), :hi)"),
        ),
        "segment": By(
            anchor=_WITH_GENOTYPES.format(
                key=SEGMENT.by["pk"].parent, where=f"{SEGMENT.by['pk'].where} GROUP BY t.sample_id, t.other_id, t.load_id, t.file, t.line"
            ),
            spans="unnest(k.merged) span",
            range=("greatest(lower(span), :lo)", "least(upper(span), :hi)"),
        ),
    },
    orders={"genome": Order(("g.variant_key",))},
    where={**VARIANT.where, "sharing": "w.sharing = ANY(:value)"},
    drivers={},
)

SHARED_BY_BOTH = ("SHARED_HAPLOTYPE", "BOTH_CARRY")
"""The ways of sharing (column `sharing` of SHARED) in which both people carry the variant, by this segment as far as that is known."""
