"""Releases: which loads are visible, since when (design section 4).

A load is one version of one dataset, written by load.py. Publishing it inserts a new release: the old one with the load
in place of the dataset's previous version. Releases are immutable; the newest is current.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from .errors import StoreError
from .sample import remove_samples

OBSERVATIONS = (
    "variant_record",
    "rsid",
    "population_frequency",
    "frequency_population",
    "transcript_consequence",
    "clinical_significance",
    "variant_score",
    "score",
    "gene",
    "transcript",
    "gene_alias",
    "callset_sample",
    "sample_info",
    "population",
    "genotype",
    "genotype_format",
    "ibd_run",
    "ibd_segment",
    "hbd_segment",
    "ancestry_run",
    "ancestry",
    "v2f_run",
    "v2f_score",
    "v2f_element",
    "enformer_run",
    "enformer_track",
    "enformer_effect",
    "metacell_run",
    "metacell",
    "metacell_expression",
    "metacell_peak",
    "variant_cluster_run",
    "variant_cluster",
    "variant_cluster_member",
)
"""Every table whose rows carry a load_id, the ledger's own aside."""

CHANNEL = "vkg_release"
"""LISTEN/NOTIFY channel that tells of a new release."""

LONGEST_REQUEST = "1 minute"
"""After this no request of the API can still read a release that was current when a load was unloaded; exports check in the end."""

# Advisory locks: a load holds (LOAD, load_id) while it is being written, so that a load whose process died can be
# told from one at work; whoever writes identity rows shares (IDENTITY, 0), or holds it alone for a chunk where nobody else has it (load.py);
# whoever removes them holds it alone.
LOAD_LOCK, IDENTITY_LOCK = 0x766B6701, 0x766B6702


@dataclass(frozen=True)
class LoadRow:
    """A row of the ledger, as `vkg loads` shows it."""

    load_id: int
    dataset: str
    kind: str
    version: str
    state: str
    visible: bool
    hold: bool
    normalized: bool
    counts: dict
    files: list[str]
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class ReleaseRow:
    """A release: its number, the loads visible in it, its name if it has one, and what made it."""

    release_id: int
    loads: list[int]
    name: str | None
    reason: str
    created_at: datetime


def returned(conn: psycopg.Connection, statement: str, *values: object) -> int:
    """The one number that a statement returns."""
    row = conn.execute(statement, values).fetchone()
    assert row is not None
    return row[0]


def publish_in(conn: psycopg.Connection, load_id: int) -> int:
    """A new release with this load in place of its dataset's previous version; inside a transaction."""
    lock_releases(conn)
    row = conn.execute(
        """SELECT d.dataset_id, d.name, l.version, l.state FROM load l JOIN dataset d USING (dataset_id) WHERE load_id = %s""", (load_id,)
    ).fetchone()
    if row is None or row[3] != "loaded":
        raise StoreError(f"load {load_id} cannot be published: it is {row[3] if row else 'not in the store'}", "See vkg loads.")
    dataset_id, name, version, _ = row
    others = {other for (other,) in conn.execute("SELECT load_id FROM load WHERE dataset_id = %s", (dataset_id,))}
    loads = sorted({*(now for now in current(conn).loads if now not in others), load_id})
    conn.execute("UPDATE load SET hold = false WHERE load_id = %s AND hold", (load_id,))
    return _release(conn, loads, f"publish {name} {version}")


def _release(conn: psycopg.Connection, loads: list[int], reason: str, name: str | None = None) -> int:
    release_id = returned(conn, "INSERT INTO release (loads, reason, name) VALUES (%s, %s, %s) RETURNING release_id", loads, reason, name)
    conn.execute("SELECT pg_notify(%s, %s)", (CHANNEL, str(release_id)))
    return release_id


def publish(conn: psycopg.Connection, load_id: int) -> int:
    """Makes a complete load visible, in place of its dataset's previous version. Returns the new release's number."""
    with conn.transaction():
        return publish_in(conn, load_id)


def unload(conn: psycopg.Connection, load_id: int) -> int:
    """Hides a load at once, for good. Returns the new release's number.

    Its rows are removed by `purge` when no named release holds them and the longest request is over. A load that was
    cut off is removed with all its rows now.
    """
    find = "SELECT d.name, l.version, l.state FROM load l JOIN dataset d USING (dataset_id) WHERE load_id = %s"
    row = conn.execute(find, (load_id,)).fetchone()
    if row is not None and row[2] == "loading" and remove_cut_off(conn, load_id, f"{row[0]} {row[1]}"):
        return current(conn).release_id
    with conn.transaction():
        lock_releases(conn)
        row = conn.execute(f"{find} FOR UPDATE OF l", (load_id,)).fetchone()
        if row is None or row[2] == "unloaded":
            raise StoreError(f"load {load_id} is not in the store", "See vkg loads.")
        name, version, _ = row
        conn.execute("UPDATE load SET state = 'unloaded', unloaded_at = now() WHERE load_id = %s", (load_id,))
        return _release(conn, [other for other in current(conn).loads if other != load_id], f"unload {name} {version}")


def remove_cut_off(conn: psycopg.Connection, load_id: int, name: str) -> bool:
    """Takes out a load that was cut off; False where it is complete by now. Raises StoreError where it is being written."""
    lock_load(conn, load_id, name)
    with conn.transaction():
        removed = remove_load(conn, load_id)
    unlock_load(conn, load_id)
    return removed


def create_release(conn: psycopg.Connection, name: str) -> int:
    """Names what is visible now, so that it can be asked for later. Raises StoreError when the name is taken."""
    if not name or name.isdigit() or not all(c.isalnum() or c in "._-" for c in name):
        raise StoreError(f"not a name for a release: {name!r}", "Use letters, digits, '.', '_' and '-', and not only digits.")
    with conn.transaction():
        lock_releases(conn)
        if conn.execute("SELECT FROM release WHERE name = %s", (name,)).fetchone() is not None:
            raise StoreError(f"there is a release named {name!r} already", "Releases don't change; choose another name.")
        return _release(conn, current(conn).loads, f"name {name}", name)


def purge(conn: psycopg.Connection) -> list[int]:
    """Removes the rows of unloaded loads that no named release holds, once the longest request is over.

    Returns the loads whose rows were removed; their ledger rows stay as history, without files.
    """
    gone = []
    for (load_id,) in conn.execute(
        """SELECT l.load_id FROM load l WHERE l.state = 'unloaded' AND l.unloaded_at < now() - %s::interval
        AND EXISTS (SELECT FROM load_file f WHERE f.load_id = l.load_id)
        AND NOT EXISTS (SELECT FROM release r WHERE r.name IS NOT NULL AND l.load_id = ANY(r.loads)) ORDER BY 1""",
        (LONGEST_REQUEST,),
    ).fetchall():
        with conn.transaction():
            _delete_rows(conn, load_id)
            conn.execute("DELETE FROM load_file WHERE load_id = %s", (load_id,))
        gone.append(load_id)
    return gone


def lock_releases(conn: psycopg.Connection) -> None:
    """Keeps others from making releases till the end of the transaction. Whoever changes rows of the ledger too takes this first."""
    conn.execute("LOCK TABLE release IN EXCLUSIVE MODE")


def lock_load(conn: psycopg.Connection, load_id: int, name: str) -> None:
    """Holds a load for this session. Raises StoreError where another process is writing it."""
    for _ in range(20):  # the server notices only after a moment that a process died
        if returned(conn, "SELECT pg_try_advisory_lock(%s, %s)", LOAD_LOCK, load_id):
            return
        time.sleep(0.1)
    raise StoreError(f"{name} is being loaded by another process", "Wait for it to end.")


def unlock_load(conn: psycopg.Connection, load_id: int) -> None:
    """Lets go of a load."""
    conn.execute("SELECT pg_advisory_unlock(%s, %s)", (LOAD_LOCK, load_id))


def remove_load(conn: psycopg.Connection, load_id: int) -> bool:
    """Takes out all that there is of an unfinished load, and its dataset where it was the only one; inside a transaction.

    False, and nothing is done, where the load is not an unfinished one.
    """
    row = conn.execute("SELECT dataset_id FROM load WHERE load_id = %s AND state = 'loading' FOR UPDATE", (load_id,)).fetchone()
    if row is None:
        return False
    _delete_rows(conn, load_id)
    conn.execute("DELETE FROM load_file WHERE load_id = %s", (load_id,))
    conn.execute("DELETE FROM load WHERE load_id = %s", (load_id,))
    conn.execute("DELETE FROM dataset d WHERE dataset_id = %s AND NOT EXISTS (SELECT FROM load l WHERE l.dataset_id = d.dataset_id)", row)
    return True


def _delete_rows(conn: psycopg.Connection, load_id: int) -> None:
    conn.execute("SELECT pg_advisory_xact_lock(%s, 0)", (IDENTITY_LOCK,))
    conn.execute(
        """DELETE FROM variant v USING variant_record r WHERE r.load_id = %s AND v.variant_key = r.variant_key
        AND NOT EXISTS (SELECT FROM variant_record o WHERE o.variant_key = r.variant_key AND o.load_id <> r.load_id)""",
        (load_id,),
    )
    remove_samples(conn, load_id)
    for table in OBSERVATIONS:
        conn.execute(f"DELETE FROM {table} WHERE load_id = %s", (load_id,))


def current(conn: psycopg.Connection) -> ReleaseRow:
    """The newest release."""
    with conn.cursor(row_factory=class_row(ReleaseRow)) as cursor:
        row = cursor.execute("SELECT release_id, loads, name, reason, created_at FROM release ORDER BY release_id DESC LIMIT 1").fetchone()
    assert row is not None
    return row


def releases(conn: psycopg.Connection) -> list[ReleaseRow]:
    """All releases, newest first."""
    with conn.cursor(row_factory=class_row(ReleaseRow)) as cursor:
        return cursor.execute("SELECT release_id, loads, name, reason, created_at FROM release ORDER BY release_id DESC").fetchall()


def loads(conn: psycopg.Connection) -> list[LoadRow]:
    """The ledger, newest first."""
    with conn.cursor(row_factory=class_row(LoadRow)) as cursor:
        return cursor.execute(
            """SELECT l.load_id, d.name AS dataset, d.kind, l.version, l.state, l.hold, l.normalized, l.counts, l.started_at, l.finished_at,
            l.load_id = ANY((SELECT r.loads FROM release r ORDER BY r.release_id DESC LIMIT 1)::int[]) AS visible,
            ARRAY(SELECT f.path FROM load_file f WHERE f.load_id = l.load_id ORDER BY f.ordinal) AS files
            FROM load l JOIN dataset d USING (dataset_id) ORDER BY l.load_id DESC"""
        ).fetchall()


def find_load(conn: psycopg.Connection, name: str) -> LoadRow:
    """The load that a user names: its number, `dataset@version`, or `dataset` where only one version is there.

    Raises StoreError when there is none, or more than one.
    """
    alive = [row for row in loads(conn) if row.state != "unloaded"]

    def named(row: LoadRow) -> bool:  # a dataset's name may hold an @, that of a model
        return name in (row.dataset, f"{row.dataset}@{row.version}")

    found = [r for r in alive if str(r.load_id) == name] or [r for r in alive if named(r)]
    if len(found) == 1:
        return found[0]
    if not found:
        if any(named(r) for r in loads(conn)):
            raise StoreError(f"{name} was unloaded", "Load its files again; named releases still answer from it.")
        known = ", ".join(f"{r.dataset}@{r.version}" for r in alive) or "none"
        raise StoreError(f"no load {name!r}", f"In the store: {known}")
    raise StoreError(f"{name!r} has {len(found)} versions", "Say which: " + ", ".join(f"{r.dataset}@{r.version}" for r in found))
