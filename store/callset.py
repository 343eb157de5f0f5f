"""Callsets as who counts their genotypes sees them: which are visible, whose genotypes they have, and all of these in genome order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row, dict_row

from .planes import SCHEMA


@dataclass(frozen=True)
class Callset:
    """A visible callset. `counted` is the digest of the division into populations by which its genotypes were counted last, as far as that is
    visible; None for none. `everybody` is true where its own load has the counts of everybody."""

    load_id: int
    dataset: str
    version: str
    cohort: str
    variants: int
    counted: str | None
    everybody: bool


def callsets(conn: psycopg.Connection, cohort: str | None = None) -> list[Callset]:
    """The callsets that the current release shows, of all cohorts or of one."""
    with conn.cursor(row_factory=class_row(Callset)) as cursor:
        return cursor.execute(
            """SELECT l.load_id, d.name AS dataset, l.version, l.options ->> 'cohort' AS cohort, coalesce((l.counts ->> 'genotype')::bigint, 0) AS variants,
            coalesce((SELECT a.options ->> 'populations' FROM load a WHERE a.options ->> 'callset' = l.load_id::text AND a.options ? 'populations' AND a.load_id = ANY(r.loads)
                ORDER BY a.load_id DESC LIMIT 1), l.options ->> 'populations') AS counted,
            EXISTS (SELECT FROM frequency_population p WHERE p.load_id = l.load_id AND p.population = 'ALL' AND p.counted) AS everybody
            FROM (SELECT loads FROM release ORDER BY release_id DESC LIMIT 1) r JOIN load l ON l.load_id = ANY(r.loads) JOIN dataset d USING (dataset_id)
            WHERE (l.counts ->> 'callset_sample')::bigint > 0 AND (%(cohort)s::text IS NULL OR l.options ->> 'cohort' = %(cohort)s) ORDER BY l.load_id""",
            {"cohort": cohort},
        ).fetchall()


def samples_in(conn: psycopg.Connection, load_id: int) -> list[str]:
    """The names of the samples of a callset, in the order of its genotypes."""
    found = conn.execute(
        "SELECT s.name FROM callset_sample c JOIN sample s USING (sample_id) WHERE c.load_id = %s ORDER BY c.ordinal", (load_id,)
    )
    return [name for (name,) in found]


def genotypes(conn: psycopg.Connection, load_id: int, *, skip: int = 0, size: int) -> Iterator[Sequence[dict[str, Any]]]:
    """All rows of genotype of a callset in genome order, without the first `skip`, `size` at a time: variant_key and the columns of
    planes.SCHEMA.

    They are read on a connection of their own to the database of `conn`, on which others write meanwhile, and are those of one moment.
    """
    columns = ", ".join(("variant_key", *SCHEMA.names))
    statement = f"SELECT {columns} FROM genotype WHERE load_id = %s ORDER BY variant_key OFFSET %s"
    with (
        psycopg.connect(conn.info.dsn, password=conn.info.password or None) as reading,
        reading.cursor(name="genotypes", binary=True, row_factory=dict_row) as cursor,
    ):
        cursor.execute(statement, (load_id, skip))
        while rows := cursor.fetchmany(size):
            yield rows
