"""The ledger against itself, and against the rows that it answers for."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from psycopg import sql

from .deep import REPORT, RESTORE, Looking, counted
from .release import OBSERVATIONS


class Rule(NamedTuple):
    """A statement whose rows are faults: its first column is what to say of them in `what`, or several are."""

    what: str
    statement: str
    remedy: str = RESTORE


_LEDGER = (
    Rule("load {} is of dataset number {}, which is not there",
         "SELECT load_id, dataset_id FROM load l WHERE NOT EXISTS (SELECT FROM dataset d WHERE d.dataset_id = l.dataset_id)"),
    Rule("dataset {} has no load",
         "SELECT name FROM dataset d WHERE NOT EXISTS (SELECT FROM load l WHERE l.dataset_id = d.dataset_id)", REPORT),
    Rule("load {} is {}, and its times do not say so",
         """SELECT load_id, state FROM load WHERE (state = 'loading') <> (finished_at IS NULL) AND unloaded_at IS NULL
            OR (state = 'unloaded') <> (unloaded_at IS NOT NULL)""", REPORT),
    Rule("load {} is complete, and has no file", "SELECT load_id FROM load l WHERE state = 'loaded' AND "
         "NOT EXISTS (SELECT FROM load_file f WHERE f.load_id = l.load_id)"),
    Rule("load {} is complete, and its file {} was not read to the end",
         "SELECT load_id, path FROM load JOIN load_file USING (load_id) WHERE state = 'loaded' AND NOT done"),
    Rule("the files of load {} are not numbered from 0 on",
         "SELECT load_id FROM load_file GROUP BY load_id HAVING min(ordinal) <> 0 OR max(ordinal) <> count(*) - 1"),
    Rule("files are there of load {}, which is not in the ledger",
         "SELECT DISTINCT load_id FROM load_file f WHERE NOT EXISTS (SELECT FROM load l WHERE l.load_id = f.load_id)", REPORT),
    Rule("release {} shows load {}, which is not in the ledger",
         "SELECT release_id, x FROM release r, unnest(r.loads) x WHERE NOT EXISTS (SELECT FROM load l WHERE l.load_id = x)"),
    Rule("release {} shows load {}, which was never complete",
         """SELECT release_id, x FROM release r, unnest(r.loads) x JOIN load l ON l.load_id = x
            WHERE l.state = 'loading' OR l.finished_at IS NULL"""),
    Rule("release {}, the current one, shows load {}, which was unloaded",
         """SELECT release_id, x FROM release r, unnest(r.loads) x JOIN load l ON l.load_id = x
            WHERE l.state = 'unloaded' AND release_id = (SELECT max(release_id) FROM release)""", REPORT),
    Rule("release {} is named {}, and the rows of its load {} were removed",
         """SELECT release_id, name, x FROM release r, unnest(r.loads) x JOIN load l ON l.load_id = x
            WHERE r.name IS NOT NULL AND l.state = 'unloaded' AND NOT EXISTS (SELECT FROM load_file f WHERE f.load_id = x)"""),
    Rule("release {} shows two versions of dataset {}",
         """SELECT release_id, min(d.name) FROM release r, unnest(r.loads) x JOIN load l ON l.load_id = x JOIN dataset d USING (dataset_id)
            GROUP BY release_id, dataset_id HAVING count(*) > 1""", REPORT),
    Rule("there is no release at all", "SELECT WHERE NOT EXISTS (SELECT FROM release)"),
)  # fmt: skip


def ledger(looking: Looking) -> str:
    """Loads, their files, and the releases that show them."""
    for rule in _LEDGER:
        for row in looking.ask("ledger", rule.statement):
            looking.find(rule.what.format(*row), rule.remedy, "ledger")
    for table, column, sequence in looking.ask("ledger", _NUMBERED):
        for last, highest in looking.ask(
            table,
            sql.SQL("SELECT (SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM {}), (SELECT max({}) FROM {})").format(
                sql.Identifier(*sequence.split(".")), sql.Identifier(column), sql.Identifier(table)
            ),
        ):
            if highest is not None and highest > last:
                remedy = f"SELECT setval('{sequence}', {highest}) as the owner of the store."
                looking.find(f"the next {column} would be {last + 1}, and {highest} is taken", remedy, table)
    return " and ".join(
        counted(number, name)
        for name in ("load", "release")
        for (number,) in looking.ask(name, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name)))
    )


_NUMBERED = """SELECT c.relname, a.attname, n.nspname || '.' || s.relname FROM pg_depend d
    JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
    JOIN pg_class c ON c.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'
    AND c.relnamespace = 'public'::regnamespace ORDER BY 1"""

_LOADS = """SELECT l.load_id, l.state, d.name || ' ' || l.version, EXISTS (SELECT FROM load_file f WHERE f.load_id = l.load_id),
    CASE WHEN l.state = 'loading' THEN coalesce((SELECT f.resume -> 'counts' FROM load_file f WHERE f.load_id = l.load_id AND f.chunks > 0
        ORDER BY f.ordinal DESC LIMIT 1), '{}') ELSE l.counts END
    FROM load l LEFT JOIN dataset d USING (dataset_id)"""

ROWS_EACH = {"ibd_segment": 2}
"""Rows by table for each that is counted: segments are stored once for each of two people."""


def rows(looking: Looking) -> str:
    """Every table of the ledger's rows: of which loads they are, and whether they are as many as the ledger says; of loads at work, too."""
    loads = {number: rest for number, *rest in looking.ask("ledger", _LOADS)}
    looking.conn.execute(_WHOLE)
    total = 0
    for table in OBSERVATIONS:
        found: dict[int, int] = defaultdict(int)
        found.update(looking.ask(table, sql.SQL("SELECT load_id, count(*) FROM {} GROUP BY 1").format(sql.Identifier(table))))
        total += sum(found.values())
        for number in sorted(found.keys() - loads.keys()):
            looking.find(f"{counted(found[number], 'row')} of load {number}, which is not in the ledger", REPORT, table)
        for number, (state, name, has_files, counts) in loads.items():
            gone = state == "unloaded" and not has_files
            said = 0 if gone else _said(counts, table, state == "loaded")
            if said is not None and found[number] != said:
                which = f"{name or 'a dataset that is gone'} (load {number}, {state})"
                looking.find(f"{counted(found[number], 'row')} of {which}, and the ledger says {said:,}", REPORT, table)
    return f"{counted(total, 'row')} in {counted(len(OBSERVATIONS), 'table')}"


_WHOLE = "SELECT set_config('enable_indexonlyscan', 'off', true), set_config('enable_indexscan', 'off', true), set_config('enable_bitmapscan', 'off', true)"
"""Tables are read whole: each page, and with it its checksum."""


def _said(counts: dict[str, Any], table: str, complete: bool) -> int | None:
    """How many rows the ledger says a load has in a table; None where it says nothing of any of a complete one."""
    if complete and not counts:
        return None
    return int(counts.get(table, 0)) * ROWS_EACH.get(table, 1)
