"""What state the store is in: versions, assembly, counts, space, and loads that were cut off or wait to be removed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from . import deep_genotypes, deep_indexes, deep_ledger, deep_rows, deep_schema
from .deep import Check, Finding, Look, look
from .errors import StoreError
from .genome import find_genome
from .migrate import pending
from .release import LONGEST_REQUEST, LoadRow, current, loads, purge, releases, remove_cut_off

_TABLES = """SELECT c.relname, greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid) FROM pg_class c
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE '%%yoyo%%' ORDER BY 3 DESC, 1"""


@dataclass(frozen=True)
class Report:
    """The state of the store. `tables` are (name, estimated rows, bytes on disk); `checks` those of `examine_deeply`."""

    facts: dict[str, Any]
    tables: list[tuple[str, int, int]]
    findings: list[Finding]
    checks: list[Check] = field(default_factory=list)


def examine(conn: psycopg.Connection) -> Report:
    """Looks at everything and changes nothing."""
    facts: dict[str, Any] = {"PostgreSQL": conn.execute("SHOW server_version").fetchone()[0]}  # type: ignore[index]
    for name, version in conn.execute("SELECT extname, extversion FROM pg_extension WHERE extname = 'vector'"):
        facts["pgvector" if name == "vector" else name] = version
    facts["database size"] = _size(conn.execute("SELECT pg_database_size(current_database())").fetchone()[0])  # type: ignore[index]
    missing = pending(conn)
    genome = find_genome(conn) if not missing else None
    if missing or genome is None:
        remedy = "vkg init --assembly GRCh38 --reference FASTA" if genome is None else "vkg init"
        return Report(facts, [], [Finding("there is no store of this version yet" if missing else "the store has no assembly yet", remedy)])
    findings = []
    facts["assembly"] = genome.assembly.name
    facts["reference"] = str(genome.reference_path) if genome.reference_path else "none"
    if genome.reference_path and not os.path.isfile(genome.reference_path):
        findings.append(Finding(f"the reference {genome.reference_path} is gone", "vkg init --reference FASTA"))
    now, ledger = current(conn), loads(conn)
    held = {load_id for row in releases(conn) if row.name for load_id in row.loads}
    facts["release"] = f"{now.release_id} ({now.reason})"
    facts["loads"] = f"{sum(r.visible for r in ledger)} visible of {sum(r.state != 'unloaded' for r in ledger)}"
    for row in ledger:
        if row.state == "loading":
            findings.append(
                Finding(f"{_name(row)} was cut off, or is being loaded now", f"load the same files again, or vkg unload {row.load_id}")
            )
        elif row.state == "loaded" and not row.visible and not row.hold:
            findings.append(Finding(f"{_name(row)} was replaced by another version and takes space", f"vkg unload {row.load_id}"))
        elif row.state == "unloaded" and row.files and row.load_id not in held:
            findings.append(
                Finding(
                    f"rows of {_name(row)}, unloaded, are still there",
                    f"vkg doctor --clean ({LONGEST_REQUEST} after the unload)",
                )
            )
    return Report(facts, conn.execute(_TABLES).fetchall(), findings)


CHECKS: tuple[tuple[str, Look], ...] = (
    ("schema", deep_schema.schema),
    ("server", deep_schema.server),
    ("ledger", deep_ledger.ledger),
    ("rows", deep_ledger.rows),
    ("orphans", deep_rows.orphans),
    ("identity", deep_rows.identity),
    ("genotypes", deep_genotypes.genotypes),
    ("vectors", deep_rows.vectors),
    ("indexes", deep_indexes.indexes),
)
"""What `examine_deeply` does besides what `examine` does, in this order."""


def examine_deeply(conn: psycopg.Connection, report: Callable[[str], None] = lambda _: None) -> Report:
    """Looks at everything, reads all rows, and compares what has to agree; changes nothing. `conn` in autocommit mode; loads may run meanwhile.

    `report` is told of each check before it is made. Raises StoreError where the server goes away in between.
    """
    found = examine(conn)
    if not found.tables:
        return found
    for check, findings in look(conn, CHECKS, report):
        found.checks.append(check)
        found.findings.extend(findings)
    return found


def clean(conn: psycopg.Connection) -> list[str]:
    """Removes loads that were cut off and rows of unloaded loads; returns what was done. Loads at work are left alone."""
    done = []
    for row in loads(conn):
        if row.state == "loading":
            with contextlib.suppress(StoreError):  # it is being loaded now
                if remove_cut_off(conn, row.load_id, _name(row)):
                    done.append(f"removed what was there of {_name(row)}")
    done.extend(f"removed the rows of load {load_id}" for load_id in purge(conn))
    return done


def _name(row: LoadRow) -> str:
    return f"{row.dataset} {row.version} (load {row.load_id})"


def _size(size: float) -> str:
    units = ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.0f} {units[0]}"
