"""The plan of every statement, made without its values, at two million variants: none walks a table or sorts before it cuts.

Rules, for tables that grow with the data: no sequential scan; every index scan is bounded on the index's first column;
no parallel workers; and in a page nothing is sorted that was not cut to a page's size before, so that a page costs what
its rows cost. What may break a rule is listed with its reason. What is known of single persons is planned as the role that reads it,
under row-level security.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from bench import synthetic
from store.database import INDIVIDUAL_ROLE, OPEN_ROLE, open_pool
from store.embedding import Model
from store.genotype import CARRIED
from store.read import both, compose, where
from store.statements import statements
from store.variant import VARIANT
from tests.store.shapes import EITHER, is_individual, searches, shapes

VARIANTS = 2_000_000

SMALL = {
    "pg_namespace",
    "access_audit",
    "access_grant",
    "access_token",
    "genome",
    "load",
    "dataset",
    "load_file",
    "release",
    "score",
    "frequency_population",
    "population",
    "ibd_run",
    "ancestry_run",
    "v2f_run",
    "enformer_run",
    "enformer_track",
    "metacell_run",
    "metacell",
    "variant_cluster_run",
    "variant_cluster",
    "embedding_model",
    "embedding_skip",
    "embedding_task",
    "pg_class",
}
"""Tables of the ledger and the like, which have at most some thousand rows, and those that the API does not read."""

THE_ORDER = "the order itself: it ends when the page is full"
ALL_GENES = "of genes, of which there are some ten thousand"
ALL_VECTORS = "all that have a vector are looked at, where the index finds too few"
OF_RSIDS = "of the variants that have the rsIDs given"
ALLOWED = {
    ("Query.genes by all: count", "Seq Scan on gene"): ALL_GENES,
    ("Query.genes by all, biotype: count", "Seq Scan on gene"): ALL_GENES,
    ("Query.genes by all", "unbounded gene_order"): THE_ORDER,
    ("Query.genes by all, name: page", "Sort"): "of the genes that have the names given",
    ("Query.genes by region", "Sort"): ALL_GENES,
    ("Store.releases by all", "Sort"): "of releases, of which there are some thousand",
    ("Variant.genes by variant", "Sort"): "of the genes near one variant, by distance",
    ("Variant.consequence_genes by consequence", "Sort"): "of the genes that one variant's consequences name",
    ("Query.variants by region, rsid: page", "Sort"): OF_RSIDS,
    ("Gene.variants by gene, rsid: page", "Sort"): OF_RSIDS,
    ("Sample.variants by sample, rsid: page", "Sort"): OF_RSIDS,
    ("Sample.hbd_variants by sample, rsid: page", "Sort"): OF_RSIDS,
    ("IBDSegment.variants by ibd, rsid: page", "Sort"): OF_RSIDS,
    ("HBDSegment.variants by hbd, rsid: page", "Sort"): OF_RSIDS,
    ("IBDSegment.shared_variants by segment", "Sort"): "of the segments asked, and of the callsets that two people are in",
    ("Query.variants_in_ibd by pair", "Sort"): "of the callsets that two people are in",
    ("Variant.ibd_sharing by variant", "Sort"): "of the segments over one variant, the longest first",
    ("Variant.ibd_context by variant", "Sort"): "of the segments of one person over one variant, the longest first",
    ("CallSharing.ibd_segments by call", "Sort"): "of the segments of one person over one variant, the longest first",
    ("Sample.ibd_segments by sample", "Sort"): "of the segments of one person, the longest first",
    ("Sample.hbd_segments by sample", "Sort"): "of the segments of one person, the longest first",
    ("IBDSharing.segments by pair", "Sort"): "of the segments of two people, the longest first",
    ("Sample.relatives by sample", "Sort"): "of those with whom one person shares, the closest first",
    ("Sample.ancestry_matched by sample", "Sort"): "of the people of one analysis, the nearest first: exact, whoever is left out",
    ("Query.v2f_variants by named, rsid: page", "Sort"): "of the variants that have the rsIDs given",
    ("Gene.v2f_variants by gene, rsid: page", "Sort"): "of the variants that have the rsIDs given",
    ("Variant.v2f_scores by variant", "Sort"): "of what is said of one variant, which its index finds, the best first",
    ("Query.variants_affecting_cell_type by cell_type", "Sort"): "of the stretches of the genome, and of the elements in one",
    ("Query.variants_affecting_cell_type by cell_type", "Seq Scan on metacell_expression"): "of genes, until the first that is expressed",
    ("Gene.expression by gene", "Sort"): "of the metacells that measured one gene, the highest first",
    ("Metacell.top_genes by metacell", "Sort"): "of the hundred genes of one metacell",
    ("Metacell.accessibility by metacell", "Sort"): "of the peaks of one region",
    ("Metacell.similar by metacell", "Sort"): "of the metacells of one load, the nearest first",
    ("Query.variant_clusters by all", "Sort"): "of clusters, of which there are some thousand",
    ("Variant.clusters by variant", "Sort"): "of the clusters of one variant, one of a load",
    ("Query.metacells by all", "Sort"): "of metacells, of which there are some thousand",
    ("Variant.carriers by variant", "Sort"): "of the carriers of one variant, who are found by looking at all samples of the callset",
    ("Sample.children by parent", "Sort"): "of the children of one person",
    ("Population.sub_populations by super", "Sort"): "of populations, of which there are some hundred",
    ("Query.samples by all", "unbounded sample_cohort_name_key"): THE_ORDER,
    ("Population.samples by population", "unbounded sample_cohort_name_key"): THE_ORDER,
    ("Callset.samples by callset", "unbounded sample_name"): f"{THE_ORDER}; all samples are of its cohort here",
    **{
        (f"{samples}{what}", fault): reason
        for samples in ("Query.samples by all", "Population.samples by population", "Callset.samples by callset")
        for what, fault, reason in (
            ("", "Seq Scan on sample", "counting ends at ten thousand"),
            (", family: page", "Sort", "of the members of the families given"),
            (", id: page", "Sort", "of the samples that have the names given"),
        )
    },
    ("Variant.similar index by", "unbounded embedding_1_direction"): THE_ORDER,
    ("Variant.similar exact by variant", "Seq Scan on embedding_1"): ALL_VECTORS,
    ("Variant.similar exact by variant", "unbounded embedding_1_pkey"): ALL_VECTORS,
    ("Variant.similar exact by variant, type", "parallel workers"): ALL_VECTORS,
    ("Query.variants_by_embedding index by", "unbounded embedding_1_direction"): THE_ORDER,
    ("Query.variants_by_embedding exact by variant", "Seq Scan on embedding_1"): ALL_VECTORS,
    ("Query.variants_by_embedding exact by variant", "unbounded embedding_1_pkey"): ALL_VECTORS,
    ("Query.variants_by_embedding exact by variant, type", "parallel workers"): ALL_VECTORS,
    ("Variant.similarity_to_class", "Sort"): "of a class, or of a sample of the others: drawn by their keys, the same each time",
    ("Variant.similarity_to_class members by all", "unbounded clinical_significance_pkey"): "of all that is classified",
    ("Variant.similarity_to_class members pathogenic", "unbounded clinical_significance_pathogenic"): "of the pathogenic ones, all of them",
    ("samples_by_name", "unbounded sample_cohort_name_key"): "skips from cohort to cohort, of which there are few",
}
"""(start of the shape's name, the broken rule): why it may."""

_DAMAGING = where(damaging_impact=[])
PAIRS = both(_DAMAGING, ("with", ("compound_het", {"dp": None, "gq": None}, _DAMAGING)))

DRIVERS = {
    "pathogenic": "clinical_significance_pathogenic",
    "damaging_impact": "transcript_consequence_damaging",
    "damaging_consequence": "transcript_consequence_damaging",
    "rsid": "rsid_pkey",
}
"""The index that each driver of variants reads."""

DRIVEN = (
    "Query.variants by region", "Gene.variants by gene", "Sample.variants by sample", "Sample.hbd_variants by sample", "IBDSegment.variants by ibd",
    "HBDSegment.variants by hbd",
)  # fmt: skip
IN_GENOME_ORDER = ("IBDSegment.shared_variants by segment", "Query.variants_in_ibd by pair", "Sample.hbd_variants by sample")
PAGES = ("page", "page after", "page backward", "page after backward")

Plan = dict[str, Any]


class Server:
    """Plans as the API's sessions make them."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        rows = connection.execute(
            """SELECT i.relname, t.relname, pg_get_indexdef(i.oid, 1, true) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
            JOIN pg_class t ON t.oid = x.indrelid WHERE t.relnamespace = 'public'::regnamespace"""
        ).fetchall()
        self.first_columns = {index: column for index, _, column in rows}
        # The BRIN indexes on load_id are for taking a load out (tests/store/test_release.py).
        self.indexes = {index for index, table, _ in rows if table not in SMALL and "yoyo" not in table and index != f"{table}_load"}

    def plan(self, sql: str) -> Plan:
        """The generic plan of a statement, whose parameters have no values."""
        (row,) = self.connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {sql}").fetchall()
        return row[0][0]["Plan"]

    def faults(self, plan: Plan, page: bool) -> set[str]:
        """The rules that a plan breaks."""
        found = set()
        for node in nodes(plan):
            table, index, kind = node.get("Relation Name"), node.get("Index Name"), node["Node Type"]
            if kind == "Seq Scan" and table not in SMALL:
                found.add(f"Seq Scan on {table}")
            if index and table not in SMALL and self.first_columns[index] not in node.get("Index Cond", ""):
                found.add(f"unbounded {index}")
            if kind.startswith("Gather"):
                found.add("parallel workers")
        if page and any(node["Node Type"].endswith("Sort") and not any(is_cut(n) for n in main_nodes(node)) for node in main_nodes(plan)):
            found.add("Sort")
        return found


def nodes(plan: Plan) -> Iterator[Plan]:
    """Every node of a plan."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def main_nodes(plan: Plan) -> Iterator[Plan]:
    """The nodes through which a page's rows come: not the conditions and columns computed for one row."""
    yield plan
    for part in plan.get("Plans", ()):
        if part["Parent Relationship"] not in ("SubPlan", "InitPlan"):
            yield from main_nodes(part)


def indexes(plan: Plan) -> set[str]:
    """The indexes that a plan reads."""
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


def is_cut(node: Plan) -> bool:
    return node["Node Type"] == "Limit"


def hasty_index(conn: psycopg.Connection[Any], model: Model, memory: str) -> None:
    """An index of the same size and name, made in a quarter of the time: plans ask how many neighbours a vector has, not how near they are."""
    with conn.transaction():
        conn.execute("SELECT set_config('maintenance_work_mem', %s, true)", (memory,))
        conn.execute(
            f"CREATE INDEX {model.table}_direction ON {model.table} USING hnsw (direction halfvec_cosine_ops) WITH (ef_construction = 32)"
        )


@pytest.mark.slow
async def test_no_plan_walks_a_table_or_sorts_before_it_cuts(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "build_index", hasty_index)
    synthetic.fill(store_url, VARIANTS)
    with psycopg.connect(store_url) as open_connection, psycopg.connect(store_url) as individual_connection:
        servers = {}
        for connection, role in ((open_connection, OPEN_ROLE), (individual_connection, INDIVIDUAL_ROLE)):
            for name, value in await _api_settings(store_url, role):
                connection.execute("SELECT set_config(%s, %s, false)", (name, value))
            connection.execute(f"SET ROLE {role}")
            assert connection.execute("SHOW plan_cache_mode").fetchone() == ("force_generic_plan",)
            servers[role] = Server(connection)
        named = [(str(shape), shape.sql, shape.mode == "page") for shape in (*shapes(), *searches(1))] + [
            (n, sql, False) for n, sql in statements().items()
        ]
        plans = {n: (servers[INDIVIDUAL_ROLE if is_individual(sql) else OPEN_ROLE].plan(sql), page) for n, sql, page in named}
        for mode in ("page", "count"):  # as it is asked most: pairs of damaging variants, found by the driver
            pairs, _ = compose(CARRIED, "sample", columns=["name"], order="genome", filter=PAIRS, mode=mode, per_parent=True)
            plans[f"Sample.variants by sample, damaging pairs: {mode}"] = servers[INDIVIDUAL_ROLE].plan(pairs.text), mode == "page"
        server = servers[OPEN_ROLE]
        found = {(name, fault) for name, (plan, page) in plans.items() for fault in server.faults(plan, page)}
        allowed = {(name, fault): next((a for a in ALLOWED if name.startswith(a[0]) and fault == a[1]), None) for name, fault in found}
        assert sorted(broken for broken, allowance in allowed.items() if allowance is None) == []
        assert set(allowed.values()) == set(ALLOWED), "what no plan needs any more is allowed no more"
        used = set[str]().union(*(indexes(plan) for plan, _ in plans.values()))
        assert server.indexes <= used, "an index that no statement reads costs every load"

        assert set(DRIVERS) == set(VARIANT.drivers) == set(CARRIED.drivers)
        for name, index in DRIVERS.items():
            for link in DRIVEN:
                for mode in (*PAGES, "count"):
                    plan, _ = plans[f"{link}, {name}: {mode}"]
                    assert index in indexes(plan), f"{link} does not read {index}"
                    either, _ = plans[f"{link}, {EITHER}: {mode}"]
                    assert name == "rsid" or index in indexes(either), f"{link} does not read {index} for one of several drivers"

        (plan, _) = plans["Variant.similarity_to_class members pathogenic by all: page"]
        assert "clinical_significance_pathogenic" in indexes(plan)
        for name, (plan, _) in plans.items():
            if name.startswith(("Variant.similar index", "Query.variants_by_embedding index")):
                assert "embedding_1_direction" in indexes(plan), f"{name} does not begin with the nearest"

        for link in IN_GENOME_ORDER:
            for mode in PAGES:
                plan, _ = plans[f"{link}: {mode}"]
                cut = [node for node in main_nodes(plan) if is_cut(node) and "genotype_pkey" in indexes(node)][-1]
                assert not [node for node in main_nodes(cut) if node["Node Type"].endswith("Sort")], f"{link} sorts what is in one stretch"
        for name in ("Variant.ibd_sharing by variant: page", "Variant.ibd_sharing by variant: count"):
            (scan,) = (node for node in nodes(plans[name][0]) if node.get("Index Name") == "ibd_segment_over")
            assert scan["Node Type"] == "Index Only Scan", f"{name} visits the table for each segment"
            assert {"chrom", "length_class", "start_pos", "end_pos"} <= {part.split()[0] for part in scan["Index Cond"].split("(") if part}


async def _api_settings(url: str, role: str) -> list[tuple[str, str]]:
    """The settings that the API gives to its sessions of a role."""
    pool = await open_pool(url, size=1, timeout_ms=60_000, role=role)
    async with pool:
        return [tuple(row) for row in await pool.fetch("SELECT name, setting FROM pg_settings WHERE source = 'client'")]
