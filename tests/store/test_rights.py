"""What the role of the API may do: read the open tables, and nothing else."""

from __future__ import annotations

import psycopg
import pytest

from store.database import OPEN_ROLE
from store.release import OBSERVATIONS

OPEN = {"genome", "dataset", "load", "load_file", "release", "variant", *OBSERVATIONS}


def test_the_open_role_reads_the_open_tables_only(conn: psycopg.Connection) -> None:
    rows = conn.execute(
        """SELECT c.relname, has_table_privilege(%s, c.oid, 'SELECT'), has_table_privilege(%s, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
        FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace""",
        (OPEN_ROLE, OPEN_ROLE),
    ).fetchall()
    assert {name for name, reads, _ in rows if reads} == OPEN
    assert not [name for name, _, writes in rows if writes]


def test_a_new_table_is_closed(conn: psycopg.Connection) -> None:
    conn.execute("CREATE TABLE secret (x int)")
    conn.execute(f"SET ROLE {OPEN_ROLE}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("SELECT * FROM secret")
