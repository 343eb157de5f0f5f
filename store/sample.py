"""Samples, the callsets they are in and the populations they belong to: how they are identified and how they are read.

A sample is (cohort, name). Its row is identity only, as a variant's is: a load that names it makes it visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg
import pyarrow as pa

from .errors import StoreError
from .read import By, Order, Read
from .variant import NAMED_LOADS

NAMED = ("sample_id", "father_id", "mother_id")
"""Columns that a loader fills with names of samples and that hold their numbers in the store."""

TABLES = ("callset_sample", "sample_info")
"""The tables that name samples."""

MENTIONING = {"ibd_segment": ("sample_id", "other_id"), "hbd_segment": ("sample_id",), "ancestry": ("sample_id",)}
"""Tables whose rows are about samples that other loads name, and their columns of names. Each load of them has a bare row of sample_info for
each, too, so that what is visible of a load never is about somebody who is not."""

_CURRENT = "ANY((SELECT loads FROM release ORDER BY release_id DESC LIMIT 1)::int[])"


@dataclass(frozen=True)
class Known:
    """What the visible loads say of a cohort's samples: the population of each, by name, and the super-population of each population."""

    population: dict[str, str]
    super_population: dict[str, str]


def number_samples(conn: psycopg.Connection, cohort: str, rows: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with the numbers of the samples that they name, which are added where the store does not have them."""
    named = [name for name in NAMED if name in rows.schema.names]
    names = sorted({name for column in named for name in rows.column(column).to_pylist() if name is not None})
    # In one order for all, since an insert waits for another load's of the same name. A name that only ON CONFLICT finds uses up a number.
    conn.execute(
        """INSERT INTO sample (cohort, name) SELECT %(cohort)s, n FROM unnest(%(names)s::text[]) n
        WHERE NOT EXISTS (SELECT FROM sample s WHERE s.cohort = %(cohort)s AND s.name = n) ORDER BY n ON CONFLICT DO NOTHING""",
        {"cohort": cohort, "names": names},
    )
    number: dict[str, int] = dict(
        conn.execute("SELECT name, sample_id FROM sample WHERE cohort = %s AND name = ANY(%s)", (cohort, names)).fetchall()
    )
    for column in named:
        numbers = pa.array([number.get(name) for name in rows.column(column).to_pylist()], pa.int32())
        rows = rows.set_column(rows.schema.get_field_index(column), column, numbers)
    return rows


def find_numbers(conn: psycopg.Connection, cohort: str, names: Sequence[str], load_id: int, create: bool) -> tuple[dict[str, int], int]:
    """The numbers of the samples of a cohort that have these names, of which the load now has rows of sample_info, and how many of these are
    new; with `create`, all have numbers."""
    if create:
        number_samples(conn, cohort, pa.record_batch([pa.array(names, pa.string())], names=["sample_id"]))
    found = conn.execute("SELECT name, sample_id FROM sample WHERE cohort = %s AND name = ANY(%s)", (cohort, list(names))).fetchall()
    added = conn.execute(
        "INSERT INTO sample_info (sample_id, load_id) SELECT i, %s FROM unnest(%s::int[]) i ON CONFLICT DO NOTHING",
        (load_id, sorted(number for _, number in found)),
    )
    return dict(found), added.rowcount


def remove_samples(conn: psycopg.Connection, load_id: int) -> None:
    """Removes the samples that only this load names; called before its rows are deleted."""
    mine = " UNION ".join(f"SELECT {c} FROM {t} WHERE load_id = %(load)s" for t, c in _NAMING)
    others = " OR ".join(f"EXISTS (SELECT FROM {t} o WHERE o.{c} = s.sample_id AND o.load_id <> %(load)s)" for t, c in _NAMING)
    conn.execute(f"DELETE FROM sample s WHERE s.sample_id IN ({mine}) AND NOT ({others})", {"load": load_id})


_NAMING = (("callset_sample", "sample_id"), *(("sample_info", column) for column in NAMED))


def cohorts(conn: psycopg.Connection) -> list[str]:
    """The cohorts of the store: those of complete loads, held ones too."""
    found = conn.execute("SELECT DISTINCT options ->> 'cohort' AS c FROM load WHERE state = 'loaded' AND options ? 'cohort' ORDER BY c")
    return [name for (name,) in found]


def cohort_of(conn: psycopg.Connection, dataset: str, names: Sequence[str]) -> str:
    """The cohort that the samples of a callset belong to where nobody says: that of the dataset's earlier versions; else the one cohort
    whose visible panel or pedigree names all of them and that has no other callset yet; else one of the dataset's own.

    People of two callsets are never taken for the same because they have the same names: S1 is in every hospital.
    """
    if earlier := _earlier_cohort(conn, dataset):
        return earlier
    described = conn.execute(
        f"""SELECT s.cohort FROM sample s WHERE s.name = ANY(%s)
        AND EXISTS (SELECT FROM sample_info i WHERE i.sample_id = s.sample_id AND i.load_id = {_CURRENT})
        AND NOT EXISTS (SELECT FROM load l JOIN dataset d USING (dataset_id)
            WHERE d.kind = 'variants' AND l.options ->> 'cohort' = s.cohort AND l.state <> 'unloaded')
        GROUP BY s.cohort HAVING count(*) = %s""",
        (list(names), len(names)),
    ).fetchall()
    return described[0][0] if len(described) == 1 else dataset


def cohort_described(conn: psycopg.Connection, dataset: str, names: Sequence[str], own: str) -> str:
    """The cohort that the people of a panel or pedigree belong to where nobody says: that of the dataset's earlier versions; else the only
    one of the store, if it has somebody of one of these names; else `own`."""
    if earlier := _earlier_cohort(conn, dataset):
        return earlier
    there = cohorts(conn)
    if len(there) != 1:
        return own
    return there[0] if knows(conn, there[0], names) else own


def cohort_mentioned(conn: psycopg.Connection, dataset: str, of_callset: str | None, own: str | None) -> str:
    """The cohort of the people whom a load mentions and does not describe, where nobody says: that of the callset that it is about; else that of
    the dataset's earlier versions; else the only one of the store; `own` where there is none. Raises StoreError where that leaves none or
    several."""
    if chosen := of_callset or _earlier_cohort(conn, dataset):
        return chosen
    there = cohorts(conn)
    if len(there) > 1:
        raise StoreError(f"the store has {len(there)} cohorts: {', '.join(there)}", "Say whose names these are: --cohort NAME")
    if chosen := there[0] if there else own:
        return chosen
    raise StoreError(
        "the store has no samples, so that nobody would know these names",
        "Load the callset or the samples first, or give --create-samples.",
    )


def knows(conn: psycopg.Connection, cohort: str, names: Sequence[str]) -> bool:
    """True where a cohort has somebody of one of these names."""
    return conn.execute("SELECT FROM sample WHERE cohort = %s AND name = ANY(%s) LIMIT 1", (cohort, list(names))).fetchone() is not None


def _earlier_cohort(conn: psycopg.Connection, dataset: str) -> str | None:
    """The cohort of the latest version of a dataset, which may be unfinished: then it is gone on with."""
    row = conn.execute(
        """SELECT l.options ->> 'cohort' FROM load l JOIN dataset d USING (dataset_id)
        WHERE d.name = %s AND l.options ? 'cohort' AND l.state <> 'unloaded' ORDER BY l.load_id DESC LIMIT 1""",
        (dataset,),
    ).fetchone()
    return row[0] if row else None


def in_callsets(conn: psycopg.Connection, load_id: int) -> int | None:
    """Of the samples that a load describes, how many are in a visible callset; None where no sample of their cohort is in one."""
    called = f"EXISTS (SELECT FROM callset_sample c WHERE c.sample_id = s.sample_id AND c.load_id = {_CURRENT})"
    row = conn.execute(
        f"""SELECT (SELECT count(*) FROM sample_info s WHERE s.load_id = l.load_id AND {called})
        FROM load l WHERE l.load_id = %s AND EXISTS (SELECT FROM sample s WHERE s.cohort = l.options ->> 'cohort' AND {called})""",
        (load_id,),
    ).fetchone()
    return row[0] if row else None


def known(conn: psycopg.Connection, cohort: str) -> Known:
    """What the current release says of the samples of a cohort. How populations are grouped, files of this cohort say, and those that are
    about populations alone, which count for all cohorts."""
    population = conn.execute(
        f"""SELECT DISTINCT ON (s.name) s.name, i.population FROM sample s JOIN sample_info i USING (sample_id)
        WHERE s.cohort = %s AND i.population IS NOT NULL AND i.load_id = {_CURRENT} ORDER BY s.name, i.load_id DESC""",
        (cohort,),
    )
    larger = conn.execute(
        f"""SELECT DISTINCT ON (p.name) p.name, p.super_population FROM population p JOIN load l USING (load_id) JOIN dataset d USING (dataset_id)
        WHERE (l.options ->> 'cohort' = %s OR d.kind = 'populations') AND p.super_population IS NOT NULL AND p.load_id = {_CURRENT}
        ORDER BY p.name, p.load_id DESC""",
        (cohort,),
    )
    return Known(dict(population.fetchall()), dict(larger.fetchall()))


def _latest(column: str, sample: str = "t.sample_id") -> str:
    """What the latest visible load that says something says of a sample."""
    return (
        f"(SELECT i.{column} FROM sample_info i WHERE i.sample_id = {sample} AND i.load_id = ANY(:loads) "
        f"AND i.{column} IS NOT NULL ORDER BY i.load_id DESC LIMIT 1)"
    )


_SEEN = """(EXISTS (SELECT FROM callset_sample c WHERE c.sample_id = t.sample_id AND c.load_id = ANY(:loads) OFFSET 0)
    OR EXISTS (SELECT FROM sample_info i WHERE i.sample_id = t.sample_id AND i.load_id = ANY(:loads) OFFSET 0))"""


def _stated(column: str, of: str) -> str:
    """What the latest visible load that says something says of a population; `of` is the alias of its row."""
    return (
        f"(SELECT s.{column} FROM population s WHERE s.name = {of}.name AND s.load_id = ANY(:loads) "
        f"AND s.{column} IS NOT NULL ORDER BY s.load_id DESC LIMIT 1)"
    )


def _within(names: str) -> str:
    """The populations of these names (an array) and those that are part of them, computed once for all samples."""
    return f"ARRAY(SELECT unnest(populations_within({names}, :loads)))"


SAMPLE = Read(
    name="sample",
    source="sample t",
    visible=_SEEN,
    columns={
        "sample_id": "t.sample_id",
        "id": "'Sample:' || t.sample_id",
        "cohort": "t.cohort",
        "name": "t.name",
        "family": _latest("family"),
        "sex": _latest("sex"),
        "phenotype": _latest("phenotype"),
        "population_name": _latest("population"),
        "father_id": _latest("father_id"),
        "mother_id": _latest("mother_id"),
    },
    by={
        "pk": By("t.sample_id = ANY(:keys)", parent="t.sample_id"),
        "all": By(),
        "population": By(
            anchor="(SELECT DISTINCT name AS key FROM population WHERE name = ANY(:keys) AND load_id = ANY(:loads)) k",
            each=f"{_latest('population')} = ANY({_within('ARRAY[k.key]')})",
        ),
        "callset": By(
            anchor="(SELECT load_id AS key, options ->> 'cohort' AS cohort FROM load WHERE load_id = ANY(:keys)) k",
            each="""t.cohort = k.cohort
                AND EXISTS (SELECT FROM callset_sample c WHERE c.sample_id = t.sample_id AND c.load_id = k.key AND c.load_id = ANY(:loads) OFFSET 0)""",
        ),
        "parent": By(
            anchor="(SELECT sample_id AS key FROM sample WHERE sample_id = ANY(:keys)) k",
            # Whom any load calls its child; of these, those of whom the latest says so.
            each=f"""t.sample_id = ANY(ARRAY(SELECT i.sample_id FROM sample_info i
                WHERE (i.father_id = k.key OR i.mother_id = k.key) AND i.load_id = ANY(:loads)))
                AND (k.key = {_latest("father_id")} OR k.key = {_latest("mother_id")})""",
        ),
        "child": By(
            anchor="(SELECT sample_id AS key FROM sample WHERE sample_id = ANY(:keys)) k",
            each=f"t.sample_id IN ({_latest('father_id', 'k.key')}, {_latest('mother_id', 'k.key')})",
        ),
    },
    orders={"name": Order(("t.cohort", "t.name"))},
    where={
        "id": "t.sample_id = ANY(:value)",
        "cohort": "t.cohort = ANY(:value)",
        "sex": f"{_latest('sex')} = ANY(:value)",
        # Families are small: whom any load puts into it; of these, those of whom the latest says so.
        "family": f"""t.sample_id = ANY(ARRAY(SELECT i.sample_id FROM sample_info i WHERE i.family = ANY(:value) AND i.load_id = ANY(:loads)))
            AND {_latest("family")} = ANY(:value)""",
        "population": f"{_latest('population')} = ANY({_within(':value')})",
        "callset": f"""t.cohort = ANY(ARRAY(SELECT l.options ->> 'cohort' FROM load l WHERE l.load_id = ANY({NAMED_LOADS.format("ANY(:value)")})))
            AND EXISTS (SELECT FROM callset_sample c WHERE c.sample_id = t.sample_id AND c.load_id = ANY(:loads)
            AND c.load_id = ANY({NAMED_LOADS.format("ANY(:value)")}) OFFSET 0)""",
    },
)

CALLSET = Read(
    name="callset",
    source="load t JOIN dataset d ON d.dataset_id = t.dataset_id",
    # What the ledger counted, so that this is open data: who is in it is not.
    visible="t.load_id = ANY(:loads) AND (t.counts ->> 'callset_sample')::bigint > 0",
    columns={
        "load_id": "t.load_id",
        "id": "'Callset:' || t.load_id",
        "name": "d.name",
        "version": "t.version",
        "cohort": "t.options ->> 'cohort'",
        "sample_count": "(t.counts ->> 'callset_sample')::integer",
        "variant_count": "coalesce((t.counts ->> 'genotype')::bigint, 0)",
        "format_kept": "coalesce((t.counts ->> 'genotype_format')::bigint > 0, false)",
    },
    by={
        "pk": By("t.load_id = ANY(:keys)", parent="t.load_id"),
        "all": By(),
    },
    orders={"load": Order(("t.load_id",))},
    where={"name": "d.name = ANY(:value)"},
)

CALLSET_OF = replace(
    CALLSET,
    name="callset_of",
    source=CALLSET.source + " JOIN callset_sample c ON c.load_id = t.load_id",
    by={"sample": By("c.sample_id = ANY(:keys)", parent="c.sample_id")},
)

POPULATION = Read(
    name="population",
    source="population t",
    visible="""t.load_id = ANY(:loads) AND NOT EXISTS (SELECT FROM population n WHERE n.name = t.name
        AND n.load_id = ANY(:loads) AND n.load_id > t.load_id OFFSET 0)""",
    columns={
        "name": "t.name",
        "id": "'Population:' || t.name",
        "load_id": "t.load_id",
        "super_name": _stated("super_population", "t"),
        "description": _stated("description", "t"),
    },
    by={
        "pk": By("t.name = ANY(:keys)", parent="t.name"),
        "all": By(),
        "super": By(
            anchor="(SELECT DISTINCT name AS key FROM population WHERE name = ANY(:keys) AND load_id = ANY(:loads)) k",
            each=f"{_stated('super_population', 't')} = k.key",
        ),
    },
    orders={"name": Order(("t.name",))},
    where={"name": "t.name = ANY(:value)"},
)
