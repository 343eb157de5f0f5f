"""How genes and transcripts are read. Where two visible loads have the same gene, the later one speaks."""

from __future__ import annotations

from .read import By, Order, Read, children
from .variant import CHROM

LONGEST_FLANK = 1_000_000
"""The widest flank, in bases, that a gene or a variant may be asked about."""


def _newest(table: str, key: str) -> str:
    return (
        f"t.load_id = ANY(:loads) AND NOT EXISTS (SELECT FROM {table} n WHERE n.{key} = t.{key} "
        "AND n.load_id = ANY(:loads) AND n.load_id > t.load_id OFFSET 0)"
    )


NEWEST = """{0}.load_id = ANY(:loads) AND NOT EXISTS (SELECT FROM gene n WHERE n.gene_id = {0}.gene_id AND n.load_id = ANY(:loads)
    AND n.load_id > {0}.load_id OFFSET 0)"""
"""SQL: a row of gene is the one that speaks of its gene."""


def target(gene_id: str, name: str) -> str:
    """SQL of the gene of a visible annotation that is meant by an identifier without version, else by a symbol, else by an alias."""
    return f"""coalesce((SELECT n.gene_id FROM gene n WHERE n.gene_id = {gene_id} AND n.load_id = ANY(:loads) LIMIT 1),
    (SELECT n.gene_id FROM gene n WHERE upper(n.symbol) = upper({name}) AND n.load_id = ANY(:loads) ORDER BY n.load_id DESC, n.gene_id LIMIT 1),
    (SELECT n.gene_id FROM gene_alias n WHERE n.alias = upper({name}) AND n.load_id = ANY(:loads) ORDER BY n.load_id DESC, n.gene_id LIMIT 1))"""


TARGET = target("{0}.gene_id", "{0}.gene")
"""SQL of the gene that a row with the columns gene_id and gene is about."""

OF_GENE = f"""({{0}}.gene_id = {{1}}.gene_id OR upper({{0}}.gene) = ANY(ARRAY(SELECT upper(n.symbol) FROM gene n
    WHERE n.gene_id = {{1}}.gene_id AND n.load_id = ANY(:loads) UNION ALL SELECT n.alias FROM gene_alias n WHERE n.gene_id = {{1}}.gene_id AND n.load_id = ANY(:loads))) AND {TARGET} = {{1}}.gene_id)"""
"""SQL: a row is about the gene {1}. As TARGET, the other way round, so that an index finds the rows."""

_DISTANCE = "greatest(t.start_pos - k.pos, k.pos - t.end_pos, 0)"

GENE = Read(
    name="gene",
    source="gene t",
    visible=_newest("gene", "gene_id"),
    columns={
        "gene_id": "t.gene_id",
        "id": "'Gene:' || t.gene_id",
        "load_id": "t.load_id",
        "version": "t.version",
        "symbol": "t.symbol",
        "chrom": CHROM.format("t"),
        "start": "t.start_pos",
        "end": "t.end_pos",
        "strand": "CASE t.strand WHEN 1 THEN 'FORWARD' ELSE 'REVERSE' END",
        "biotype": "t.biotype",
        "description": "t.description",
        "distance": _DISTANCE,
        "relation": f"CASE WHEN {_DISTANCE} = 0 THEN 'INSIDE' WHEN (k.pos < t.start_pos) = (t.strand = 1) THEN 'UPSTREAM' ELSE 'DOWNSTREAM' END",
    },
    by={
        "pk": By("t.gene_id = ANY(:keys)", parent="t.gene_id"),
        "all": By(),
        "region": By("t.span && int8range(:lo, :hi)"),
        "variant": By(
            anchor="(SELECT variant_key AS key, chrom, pos FROM variant WHERE variant_key = ANY(:keys)) k",
            each="t.span && int8range(locus_key(k.chrom, k.pos - :flank), locus_key(k.chrom, k.pos + 1 + :flank))",
        ),
        "consequence": By(
            anchor="(SELECT variant_key AS key FROM variant WHERE variant_key = ANY(:keys)) k",
            each=f"""t.gene_id IN (SELECT {target("c.gene_id", "c.symbol")} FROM transcript_consequence c WHERE c.variant_key = k.key
                AND c.load_id = ANY(:loads) OFFSET 0)""",
        ),
        "touched": By(  # a base of the variant's REF lies in it
            anchor="(SELECT variant_key AS key, locus_key(chrom, pos + length(ref)) AS stop FROM variant WHERE variant_key = ANY(:keys)) k",
            each="t.span && int8range(k.key, k.stop)",
        ),
    },
    orders={
        "genome": Order(("t.chrom", "t.start_pos", "t.gene_id")),
        "distance": Order((_DISTANCE, "t.gene_id")),
    },
    where={
        "biotype": "t.biotype = ANY(:value)",
        "name": "(t.gene_id = ANY(:value) OR upper(t.symbol) = ANY(:value))",
    },
)

TRANSCRIPT = Read(
    name="transcript",
    source="transcript t",
    visible=_newest("transcript", "transcript_id"),
    columns={
        "transcript_id": "t.transcript_id",
        "id": "'Transcript:' || t.transcript_id",
        "load_id": "t.load_id",
        "gene_id": "t.gene_id",
        "version": "t.version",
        "name": "t.name",
        "chrom": CHROM.format("t"),
        "start": "t.start_pos",
        "end": "t.end_pos",
        "strand": "CASE t.strand WHEN 1 THEN 'FORWARD' ELSE 'REVERSE' END",
        "biotype": "t.biotype",
        "cds_start": "t.cds_start",
        "cds_end": "t.cds_end",
        "exon_starts": "t.exon_starts",
        "exon_ends": "t.exon_ends",
        "canonical": "t.canonical",
        "mane": "t.mane",
        "protein_id": "t.protein_id",
    },
    by={
        "pk": By("t.transcript_id = ANY(:keys)", parent="t.transcript_id"),
        "gene": children("t.gene_id", "gene.gene_id"),
    },
    orders={"id": Order(("t.transcript_id",))},
    where={"canonical": "t.canonical = :value", "mane": "(t.mane IS NOT NULL) = :value", "biotype": "t.biotype = ANY(:value)"},
)
