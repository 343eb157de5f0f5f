"""Rows against the rows that they are about: orphans, and the identity of variants. No foreign keys guard them (design section 11)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from . import sample
from .assembly import NAMES
from .deep import REPORT, RESTORE, Looking, counted
from .embedding import models
from .genome import genome
from .release import OBSERVATIONS
from .variant_key import encode

_FETCHED = 20_000
_SAMPLES = {*sample.NAMED, *(column for columns in sample.MENTIONING.values() for column in columns)}
"""Columns that hold numbers of samples, in whichever table of the ledger's."""


def orphans(looking: Looking) -> str:
    """Rows about variants, samples, genes, runs and models that are not there."""
    links = 0
    columns = _columns(looking)
    for child, condition, parent, what, where in _links(columns):
        links += 1
        load = "t.load_id" if "load_id" in columns.get(child, ()) else "NULL::int"
        statement = f"""SELECT {load}, count(*), left(min(t::text), 200) FROM {child} t WHERE {condition}
            AND NOT EXISTS (SELECT FROM {parent} p WHERE {what}) GROUP BY 1 ORDER BY 1"""
        for number, count, example in looking.ask(child, statement):
            of = "" if number is None else f" of load {number}"
            looking.find(f"{counted(count, 'row')}{of} without their {where}, such as {example}", REPORT, child)
    for number, forth, back in looking.ask("ibd_segment", _TURNED):
        looking.find(
            f"segments of load {number} are not the same seen from both people: {forth:,} and {back:,} rows", REPORT, "ibd_segment"
        )
    return counted(links, "relation of rows to rows").replace("relation of rows to rowss", "relations of rows to rows")


Columns = dict[str, set[str]]


def _columns(looking: Looking) -> Columns:
    """The columns of each table."""
    found: Columns = {}
    for table, names in looking.ask(
        "pg_attribute",
        """SELECT c.relname, array_agg(a.attname::text) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        AND NOT a.attisdropped WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY 1""",
    ):
        found[table] = set(names)
    return found


_OF_KIND = "t.load_id IN (SELECT l.load_id FROM load l JOIN dataset d USING (dataset_id) WHERE d.kind = '{}')"
_OF_VARIANTS = _OF_KIND.format("variants")


def _links(columns: Columns) -> Iterator[tuple[str, str, str, str, str]]:
    """(table, which of its rows t, table of their p, how these go together, what p is): what columns are called says what they point at."""
    own = "p.load_id = t.load_id"
    for table in OBSERVATIONS:
        has = columns.get(table, set())
        if "variant_key" in has and table != "variant_record":
            # Other kinds of loads may tell of variants that nobody loaded yet.
            yield table, _OF_VARIANTS, "variant_record", f"p.variant_key = t.variant_key AND {own}", "record"
        for column in sorted(has & _SAMPLES):
            yield table, f"t.{column} IS NOT NULL", "sample", f"p.sample_id = t.{column}", f"sample ({column})"
        for column in sample.MENTIONING.get(table, ()):
            yield table, "true", "sample_info", f"p.sample_id = t.{column} AND {own}", f"sample's row of sample_info ({column})"
        if "gene_id" in has and table != "gene":
            yield table, _OF_KIND.format("genes"), "gene", f"p.gene_id = t.gene_id AND {own}", "gene"
        if "score_id" in has and table != "score":
            yield table, "true", "score", f"p.score_id = t.score_id AND {own}", "score"
        if "ordinal" in has and (of := table.removesuffix("_member")) != table and of in columns:
            yield table, "true", of, f"p.ordinal = t.ordinal AND {own}", of
        if not table.endswith("_run"):
            for run in (other for other in OBSERVATIONS if other.endswith("_run") and _is_of(table, other)):
                yield table, "true", run, own, run
    yield "variant_record", "true", "variant", "p.variant_key = t.variant_key", "variant"
    yield "variant", "true", "variant_record", "p.variant_key = t.variant_key", "record in any load"
    yield "genotype", "true", "callset_sample", own, "samples"
    named = " OR ".join(f"EXISTS (SELECT FROM {table} o WHERE o.{column} = t.sample_id)" for table in sample.TABLES
                        for column in sample.NAMED if column in columns.get(table, ()))  # fmt: skip
    yield "sample", f"NOT ({named})", "sample_info", "false", "row in any load"
    yield "frequency_population", "t.callset_load IS NOT NULL", "load", "p.load_id = t.callset_load", "callset"
    for table in ("embedding_skip", "embedding_task"):
        yield table, "true", "embedding_model", "p.model_id = t.model_id", "model"


def _is_of(table: str, run: str) -> bool:
    """Whether a table has rows of what a table of runs tells, as their names say: v2f_score of v2f_run."""
    of = run.removesuffix("_run")
    return table == of or table.startswith(f"{of}_")


_TURNED = """SELECT load_id, count(*) FILTER (WHERE sample_id < other_id), count(*) FILTER (WHERE sample_id > other_id) FROM (
        SELECT load_id, sample_id, other_id, hash_record_extended(ROW(least(sample_id, other_id), greatest(sample_id, other_id), file, line, chrom,
            start_pos, end_pos, length_class, CASE WHEN sample_id < other_id THEN haplotype ELSE other_haplotype END,
            CASE WHEN sample_id < other_id THEN other_haplotype ELSE haplotype END, ibd_type, length_cm, markers, score), 0) AS h FROM ibd_segment) s
    GROUP BY load_id HAVING sum(h) FILTER (WHERE sample_id < other_id) IS DISTINCT FROM sum(h) FILTER (WHERE sample_id > other_id)"""


def identity(looking: Looking) -> str:
    """Every variant's key, computed again from its locus and alleles."""
    assembly, total = genome(looking.conn).assembly, 0
    lengths = np.array([0, *(assembly.length(code) for code in range(1, len(NAMES) + 1))])
    for keys, chroms, positions, refs, alts in _variants(looking):
        total += len(keys)
        outside = (chroms < 1) | (chroms > len(NAMES))
        outside |= (positions < 1) | (positions > lengths[np.where(outside, 0, chroms)])
        same = np.array([ref == alt or not ref or not alt for ref, alt in zip(refs, alts, strict=True)])
        wrong = outside | same
        wrong[~outside] |= encode(chroms[~outside], positions[~outside], _of(refs, ~outside), _of(alts, ~outside)) != keys[~outside]
        for row in np.flatnonzero(wrong).tolist():
            locus = f"chromosome {chroms[row]}, position {positions[row]:,}, REF {refs[row][:50]}, ALT {alts[row][:50]}"
            said = f"is not of the assembly {assembly.name}" if outside[row] else "is no variant" if same[row] else "has another VariantKey"
            looking.find(f"variant_key {keys[row]}: {locus} {said}", RESTORE, "variant")
    return f"the keys of all {counted(total, 'variant')}"


def _variants(looking: Looking) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...], tuple[str, ...]]]:
    """Keys, chromosomes, positions, REFs and ALTs, some thousand at a time."""
    try:
        with looking.conn.transaction(), looking.conn.cursor("variants", binary=True) as cursor:
            cursor.execute("SELECT variant_key, chrom, pos, ref, alt FROM variant")
            while rows := cursor.fetchmany(_FETCHED):
                keys, chroms, positions, refs, alts = zip(*rows, strict=True)
                yield np.array(keys, np.int64), np.array(chroms), np.array(positions), refs, alts
    except psycopg.Error as error:
        if looking.conn.broken:
            raise
        looking.find(f"cannot be read: {error.diag.message_primary or error}", RESTORE, "variant")


def _of(texts: tuple[str, ...], kept: np.ndarray) -> list[str]:
    return [texts[row] for row in np.flatnonzero(kept).tolist()]


def vectors(looking: Looking) -> str:
    """Models and their tables: vectors of the length that the model has, whose direction is of length 1, or of nothing but zeros."""
    total, registered = 0, models(looking.conn)
    there = {table for table in _columns(looking) if table.startswith("embedding_") and table.removeprefix("embedding_").isdigit()}
    for table in sorted(there - {model.table for model in registered}):
        looking.find("has vectors of no registered model", f"DROP TABLE {table} as the owner of the store.", table)
    for model in registered:
        again = f"vkg embed --again, with the options that made {model.name}"
        if model.table not in there:
            looking.find(f"the vectors of {model.name} are not there", again, model.table)
            continue
        for rows, wrong, both in looking.ask(model.table, sql.SQL(_VECTORS).format(sql.Identifier(model.table)), _values(model)):
            total += rows
            if wrong:
                looking.find(
                    f"{counted(wrong, 'vector')} of {model.name} not of {model.dimension} numbers and of length 1", again, model.table
                )
            if both:
                looking.find(
                    f"{counted(both, 'variant')} of {model.name} both with a vector and with a reason for none", again, model.table
                )
    return f"{counted(total, 'vector')} of {counted(len(registered), 'model')}"


def _values(model: Any) -> dict[str, int]:
    return {"dimension": model.dimension, "model": model.model_id}


_VECTORS = """SELECT count(*), count(*) FILTER (WHERE vector_dims(direction) <> %(dimension)s OR norm < 0
        OR abs(l2_norm(direction) - (norm > 0)::int) > 0.02 OR distance NOT BETWEEN -0.001 AND 2.001),
    (SELECT count(*) FROM embedding_skip s WHERE s.model_id = %(model)s AND EXISTS (SELECT FROM {0} e WHERE e.variant_key = s.variant_key))
    FROM {0}"""
