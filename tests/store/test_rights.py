"""What the roles of the API may do: the open one reads the open tables; the individual one also single persons, of the loads it is told."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from store import embedding
from store.database import INDIVIDUAL_ROLE, OPEN_ROLE
from store.release import OBSERVATIONS

INDIVIDUAL = {"callset_sample", "sample_info", "genotype", "genotype_format", "ibd_segment", "hbd_segment", "ancestry"}
"""The tables of rows on single persons that have a load."""

OF_MODELS = {"embedding_model", "embedding_skip", "embedding_1"}
OPEN = {"genome", "dataset", "load", "load_file", "release", "variant", *OBSERVATIONS, *OF_MODELS} - INDIVIDUAL

Conn = psycopg.Connection[Any]


@pytest.mark.parametrize(("role", "readable"), [(OPEN_ROLE, OPEN), (INDIVIDUAL_ROLE, OPEN | INDIVIDUAL | {"sample"})])
def test_a_role_reads_its_tables_and_writes_none(conn: Conn, role: str, readable: set[str]) -> None:
    embedding.register(conn, embedding.Model("a", None, None, 3, None, None, None, None, ["sequence"]))
    rows = conn.execute(
        """SELECT c.relname, has_table_privilege(%s, c.oid, 'SELECT'), has_table_privilege(%s, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
        FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace""",
        (role, role),
    ).fetchall()
    assert {name for name, reads, _ in rows if reads} == readable
    assert not [name for name, _, writes in rows if writes]


@pytest.mark.parametrize("role", [OPEN_ROLE, INDIVIDUAL_ROLE])
def test_a_new_table_is_closed(conn: Conn, role: str) -> None:
    conn.execute("CREATE TABLE secret (x int)")
    conn.execute(f"SET ROLE {role}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("SELECT * FROM secret")


@pytest.fixture
def people(conn: Conn) -> Conn:
    """Rows of the loads 1 and 2: sample 1 is called in load 1, 2 is described in load 2, 3 in both, 4 is named as a parent only; both have
    segments and places in ancestry space."""
    conn.execute("INSERT INTO sample (cohort, name) SELECT 'kg', 'S' || n FROM generate_series(1, 4) n ORDER BY n")
    conn.execute("INSERT INTO callset_sample (load_id, ordinal, sample_id) VALUES (1, 0, 1), (1, 1, 3)")
    conn.execute("INSERT INTO sample_info (sample_id, load_id, father_id) VALUES (2, 2, 4), (3, 2, NULL)")
    conn.execute("INSERT INTO genotype (variant_key, load_id, phasing) VALUES (7, 1, 0), (7, 2, 0)")
    conn.execute("INSERT INTO genotype_format (variant_key, load_id) VALUES (7, 1), (7, 2)")
    conn.execute(
        """INSERT INTO ibd_segment (sample_id, other_id, load_id, file, line, chrom, length_class, start_pos, end_pos, length_cm)
        VALUES (1, 3, 1, 0, 1, 20, 1, 5, 6, 1), (2, 3, 2, 0, 1, 20, 1, 5, 6, 1)"""
    )
    conn.execute("INSERT INTO hbd_segment (sample_id, load_id, file, line, chrom, start_pos, end_pos, length_cm) VALUES (1, 1, 0, 2, 20, 5, 6, 1), (2, 2, 0, 2, 20, 5, 6, 1)")  # fmt: skip
    conn.execute("INSERT INTO ancestry (sample_id, load_id, components) VALUES (1, 1, '{1}'), (2, 2, '{1}')")
    conn.commit()
    return conn


def seen(conn: Conn) -> dict[str, list[int]]:
    """Of each table what identifies its rows: samples by their number, all others by their load."""
    found = {t: conn.execute(f"SELECT load_id FROM {t} ORDER BY 1").fetchall() for t in sorted(INDIVIDUAL)}
    found["sample"] = conn.execute("SELECT sample_id FROM sample ORDER BY 1").fetchall()
    return {table: [number for (number,) in rows] for table, rows in found.items()}


@pytest.mark.parametrize(
    ("loads", "calls", "infos", "samples"),
    [
        ("{}", [], [], []),
        ("{1}", [1], [], [1, 3]),
        ("{2}", [2], [2, 2], [2, 3]),
        ("{1,2}", [1, 2], [2, 2], [1, 2, 3]),
        ("{3}", [], [], []),
    ],
)
def test_the_individual_role_sees_the_rows_of_the_loads_it_is_told(
    people: Conn, loads: str, calls: list[int], infos: list[int], samples: list[int]
) -> None:
    people.execute(f"SET LOCAL ROLE {INDIVIDUAL_ROLE}")
    people.execute("SELECT set_config('vkg.loads', %s, true)", (loads,))
    called = [1, 1] if 1 in calls else []
    others = dict.fromkeys(INDIVIDUAL - {"callset_sample", "sample_info"}, calls)  # a row of each load
    assert seen(people) == {"callset_sample": called, "sample_info": infos, "sample": samples, **others}


NOTHING: dict[str, list[int]] = {table: [] for table in (*INDIVIDUAL, "sample")}


def test_the_individual_role_sees_nothing_when_it_is_told_of_no_loads(people: Conn) -> None:
    people.execute(f"SET ROLE {INDIVIDUAL_ROLE}")
    assert seen(people) == NOTHING


def test_what_a_transaction_was_told_ends_with_it(people: Conn) -> None:
    people.execute(f"SET ROLE {INDIVIDUAL_ROLE}")
    people.commit()
    people.execute("SELECT set_config('vkg.loads', '{1,2}', true)")
    assert seen(people) != NOTHING
    people.commit()
    assert seen(people) == NOTHING


@pytest.mark.parametrize("table", [*sorted(INDIVIDUAL), "sample"])
def test_the_open_role_sees_no_person(people: Conn, table: str) -> None:
    people.execute(f"SET ROLE {OPEN_ROLE}")
    people.execute("SELECT set_config('vkg.loads', '{1,2}', true)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        people.execute(f"SELECT count(*) FROM {table}")


@pytest.mark.parametrize("table", [*sorted(INDIVIDUAL), "sample"])
def test_the_individual_role_changes_nothing(people: Conn, table: str) -> None:
    people.execute(f"SET ROLE {INDIVIDUAL_ROLE}")
    people.execute("SELECT set_config('vkg.loads', '{1,2}', true)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        people.execute(f"DELETE FROM {table}")
