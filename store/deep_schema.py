"""The database against what the migrations of this version make, and the server against damage that it knows of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg
from yoyo import read_migrations

from .deep import RESTORE, Looking, counted
from .migrate import SOURCE, applied

_SCRATCH = "vkg_doctor"
_PATIENCE = "5s"

_DESCRIBED = """
    SELECT 'column ' || c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        || a.attidentity::text || a.attgenerated::text || coalesce(' ' || pg_get_expr(d.adbin, d.adrelid), '')
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind = 'r'
    UNION ALL SELECT 'index ' || c.relname, pg_get_indexdef(c.oid) FROM pg_class c WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind = 'i'
    UNION ALL SELECT 'constraint ' || conname || ' of ' || conrelid::regclass, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = %(schema)s::regnamespace AND contype NOT IN ('n', 't') AND conrelid <> 0
    UNION ALL SELECT 'policy ' || polname || ' of ' || polrelid::regclass, coalesce(pg_get_expr(polqual, polrelid), '')
    FROM pg_policy JOIN pg_class c ON c.oid = polrelid WHERE c.relnamespace = %(schema)s::regnamespace
    UNION ALL SELECT 'row-level security of ' || relname, relrowsecurity::text || relforcerowsecurity
    FROM pg_class WHERE relnamespace = %(schema)s::regnamespace AND relkind = 'r'
    UNION ALL SELECT 'trigger ' || tgname || ' of ' || c.relname, pg_get_triggerdef(t.oid)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = %(schema)s::regnamespace AND NOT t.tgisinternal
    UNION ALL SELECT 'function ' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
    FROM pg_proc p WHERE p.pronamespace = %(schema)s::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')
    UNION ALL SELECT 'rights of ' || r.rolname || ' on ' || c.relname, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type)
    FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
    WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind = 'r' AND r.rolname LIKE 'vkg\\_%%' GROUP BY r.rolname, c.relname"""


def schema(looking: Looking) -> str:
    """What is in the database, beside what the migrations make in a schema that is undone with the transaction."""
    there = {migration.id for migration in read_migrations(SOURCE)}
    done = applied(looking.conn)
    if missing := sorted(there - done):
        looking.find(f"{counted(len(missing), 'migration')} not applied: {', '.join(missing)}", "vkg init", "schema")
    if newer := sorted(done - there):
        looking.find(f"made by a newer version: {', '.join(newer)}", "Upgrade vkg.", "schema")
    if missing or newer:
        return f"{counted(len(done), 'migration')}"
    try:
        with looking.conn.transaction(force_rollback=True):
            found = _described(looking, "public")
            wanted = _described(looking, make(looking.conn))
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.LockNotAvailable) as error:
        return f"{counted(len(done), 'migration')}; tables were not compared: {error.diag.message_primary}"
    for name in sorted(wanted.keys() | found.keys()):
        if name in wanted and found.get(name) != wanted[name]:
            what = f"{name} is not as the migrations make it" if name in found else f"{name} is missing"
            looking.find(what, f"It should be {wanted[name]!r}: make it so, or restore a backup.", "schema")
        elif name not in wanted and (name.startswith(("policy", "trigger", "rights")) or _of_ours(name, wanted)):
            looking.find(f"{name} is not of the migrations: {found[name]}", "Take it away, if nobody knows what it is for.", "schema")
    return f"{counted(len(done), 'migration')}, {len(wanted):,} columns, indexes, rules and functions"


def make(conn: psycopg.Connection[Any]) -> str:
    """Applies the migrations in a schema of its own, and returns its name: inside a transaction that is undone."""
    conn.execute(f"SELECT set_config('lock_timeout', '{_PATIENCE}', true)")
    conn.execute(f"CREATE SCHEMA {_SCRATCH}")
    conn.execute(f"SELECT set_config('search_path', '{_SCRATCH}, public', true), set_config('client_min_messages', 'error', true)")
    for migration in read_migrations(SOURCE):
        conn.execute(Path(migration.path).read_bytes())
    return _SCRATCH


def _described(looking: Looking, name: str) -> dict[str, str]:
    """What a schema has, by name, without its own name and without what belongs to models."""
    looking.conn.execute(f"SELECT set_config('search_path', '{name}, public', true)")
    rows = looking.conn.execute(_DESCRIBED, {"schema": name}).fetchall()
    plain = {key: value.replace(f"{name}.", "") for key, value in rows}
    return {key: value for key, value in plain.items() if not re.search(r"yoyo|embedding_\d", key)}


def _of_ours(name: str, wanted: dict[str, str]) -> bool:
    """Whether something unknown is in a table of the store's."""
    kind, _, rest = name.partition(" ")
    return kind == "column" and any(other.startswith(f"column {rest.partition('.')[0]}.") for other in wanted)


def server(looking: Looking) -> str:
    """What the server knows of damage: the checksums of its pages, and transactions that were prepared and forgotten."""
    on = looking.conn.execute("SHOW data_checksums").fetchone() == ("on",)
    for name, failures, last in looking.ask(
        "server",
        "SELECT coalesce(datname, 'shared tables'), checksum_failures, checksum_last_failure FROM pg_stat_database WHERE checksum_failures > 0",
    ):
        looking.find(f"{failures:,} pages failed their checksum, the last one at {last:%Y-%m-%d %H:%M}", RESTORE, f"server, {name}")
    for name, prepared in looking.ask("server", "SELECT gid, prepared FROM pg_prepared_xacts WHERE database = current_database()"):
        looking.find(
            f"a transaction {name!r} was prepared at {prepared:%Y-%m-%d %H:%M}, and holds its locks",
            f"ROLLBACK PREPARED '{name}'",
            "server",
        )
    toast = 0
    for oid, name in looking.ask("server", _TOAST):
        for (chunks,) in looking.ask(f"{name} (long values)", f"SELECT count(chunk_id) FROM pg_toast.pg_toast_{oid}"):
            toast += chunks
    return f"checksums are {'on' if on else 'off'}; {counted(toast, 'part')} of long values read"


_TOAST = """SELECT c.oid::int8, c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.reltoastrelid <> 0
    AND has_schema_privilege('pg_toast', 'USAGE') AND has_table_privilege(c.reltoastrelid, 'SELECT')"""
