"""Loads and releases: what is in the store, since when, and what of it is visible (design section 4).

A load is one version of one dataset. It is written chunk by chunk, invisible, and published as a whole: a new release
is the old one with the load in place of the dataset's previous version. Releases are immutable; the newest is current.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime

import numpy as np
import psycopg
import pyarrow as pa
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from .assembly import NAMES
from .copy import LINE, ROW, Chunk, Reject, collisions, copy_rows, insert_variants, keep, locus, record_lines, repeated, scored
from .errors import StoreError
from .variant_key import decode

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
)
"""Every table whose rows carry a load_id, the ledger's own aside."""

CHANNEL = "vkg_release"
"""LISTEN/NOTIFY channel that tells of a new release."""

LONGEST_REQUEST = "1 minute"
"""After this no request can still read a release that was current when a load was unloaded."""

REPEATED = "repeated record"
COLLISION = "key collision"

# Advisory locks: a load holds (LOAD, load_id) while it is being written, so that a load whose process died can be
# told from one at work; whoever writes identity rows shares (IDENTITY, 0), whoever removes them holds it alone.
_LOAD, _IDENTITY = 0x766B6701, 0x766B6702


@dataclass(frozen=True)
class SourceFile:
    """A file to load: absolute path, SHA-256 in hex, size in bytes, and its header text."""

    path: str
    sha256: str
    bytes: int
    header: str | None = None


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


@dataclass(frozen=True)
class Written:
    """How far a file of a load is written: up to which line, with how many rejects so far, and whether that is all of it."""

    end: int = 0
    rejects: int = 0
    done: bool = False


@dataclass
class Load:
    """A load being written. Use `begin`; then `write` chunks, `file_done` after each file, `finish` or `abort`.

    `progress` is where a load that was cut off goes on, by the ordinal of the file. `counts` are records, rejects and
    rows by table; `reasons` counts the rejects, `skipped` what was no variant, `warnings` what was odd.
    """

    conn: psycopg.Connection
    load_id: int
    dataset: str
    version: str
    hold: bool
    progress: dict[int, Written] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    _highest: int = -(1 << 63)

    def write(self, ordinal: int, chunk: Chunk, report: Callable[[Sequence[Reject]], None]) -> None:
        """Writes one chunk of a file in one transaction.

        Rows that repeat a variant of this load, and variants whose hashed key belongs to another one, are rejected.
        `report` gets all rejects of the chunk, in the order of lines, before the commit; when it raises, nothing of the
        chunk is kept.
        """
        with self.conn.transaction():
            tables, rejects = dict(chunk.tables), list(chunk.rejects)
            if "variant" in tables:
                self.conn.execute("SELECT pg_advisory_xact_lock_shared(%s, 0)", (_IDENTITY,))
                self.counts["variant"] += self._identify(tables, rejects)
            elif "variant_score" in tables:
                tables["variant_score"] = self._first_scores(tables["variant_score"], rejects)
            for table, rows in tables.items():
                self.counts[table] += copy_rows(self.conn, table, rows, {"load_id": self.load_id})
            rejects.sort(key=lambda reject: reject.line)
            report(rejects)
            self.counts += Counter({"records": chunk.records, "rejects": len(rejects)})
            self.reasons.update(reject.reason for reject in rejects)
            self.skipped += chunk.skipped
            self.warnings += chunk.warnings
            before = self.progress.get(ordinal, Written())
            self.progress[ordinal] = Written(chunk.end, before.rejects + len(rejects))
            self.conn.execute(
                "UPDATE load_file SET chunks = chunks + 1, resume = %s WHERE load_id = %s AND ordinal = %s",
                (Jsonb({**asdict(self.progress[ordinal]), "counts": self._ledger()}), self.load_id, ordinal),
            )

    def _ledger(self) -> dict:
        """The counts as the ledger keeps them."""
        return {"records": 0, "rejects": 0, **self.counts, "reasons": self.reasons, "skipped": self.skipped, "warnings": self.warnings}

    def _identify(self, tables: dict[str, pa.RecordBatch], rejects: list[Reject]) -> int:
        """Writes the variants that are new and takes out of `tables` the rows of those that are rejected. Returns how many were new."""
        variants = tables.pop("variant")
        keys = variants.column("variant_key").to_numpy()
        lines = tables["variant_record"].column("line").to_numpy()
        kept = np.ones(len(keys), bool)

        def reject(row: int, reason: str, detail: str) -> None:
            kept[row] = False
            rejects.append(Reject(int(lines[row]), reason, detail, "\t".join(map(str, locus(variants, row)))))

        for row, first in zip(*map(np.ndarray.tolist, repeated(keys)), strict=True):
            if locus(variants, row) == locus(variants, first):
                reject(row, REPEATED, f"the same variant as line {lines[first]} after normalisation")
            else:
                reject(row, COLLISION, f"its VariantKey is the hash of the alleles of line {lines[first]} too")
        added = insert_variants(self.conn, keep(variants, kept))
        for row in collisions(self.conn, variants):
            if kept[row]:
                reject(row, COLLISION, "its VariantKey is the hash of the alleles of another variant in the store too")
        # In a sorted file nothing at or below the highest key so far comes again; in any other, those rows are looked up.
        below = np.flatnonzero(kept & (keys <= self._highest))
        if len(below):
            earlier = record_lines(self.conn, self.load_id, keys[below].tolist())
            for row in below.tolist():
                if (line := earlier.get(int(keys[row]))) is not None:
                    reject(row, REPEATED, f"the same variant as line {line} after normalisation")
        if len(keys):
            self._highest = max(self._highest, int(keys.max()))
        tables.update({table: keep(rows, kept) for table, rows in tables.items()})
        return added

    def _first_scores(self, scores: pa.RecordBatch, rejects: list[Reject]) -> pa.RecordBatch:
        """The scores of variants that no earlier record of this load has scored; the others are rejected."""
        rows, first_score = np.unique(scores.column(ROW).to_numpy(), return_index=True)
        keys = scores.column("variant_key").to_numpy()[first_score]
        lines = scores.column(LINE).to_numpy()[first_score]
        kept = np.ones(int(rows.max(initial=-1)) + 1, bool)

        def reject(place: int, where: str) -> None:
            kept[rows[place]] = False
            code, *alleles = decode(int(keys[place]))
            shown = "\t".join(map(str, (NAMES[code - 1], *alleles)))
            rejects.append(Reject(int(lines[place]), REPEATED, f"the same variant as {where} after normalisation", shown))

        for place, first in zip(*map(np.ndarray.tolist, repeated(keys)), strict=True):
            reject(place, f"line {lines[first]}")
        below = np.flatnonzero(kept[rows] & (keys <= self._highest))
        if len(below):
            earlier = scored(self.conn, self.load_id, keys[below].tolist())
            for place in below.tolist():
                if int(keys[place]) in earlier:
                    reject(place, "an earlier line")
        self._highest = max(self._highest, int(keys.max(initial=self._highest)))
        return keep(scores, kept)

    def file_done(self, ordinal: int) -> None:
        """Marks a file as wholly written."""
        self.progress[ordinal] = replace(self.progress.get(ordinal, Written()), done=True)
        self.conn.execute("UPDATE load_file SET done = true WHERE load_id = %s AND ordinal = %s", (self.load_id, ordinal))

    def finish(self) -> int | None:
        """Completes the load and, unless it is held, publishes it. Returns the new release's number."""
        # The planner has to know the new rows before anybody asks for them, and index-only scans need the visibility map.
        for table in ("variant", *OBSERVATIONS):
            if self.counts[table]:
                self.conn.execute(f"VACUUM (ANALYZE) {table}")
        with self.conn.transaction():
            self.conn.execute(
                "UPDATE load SET state = 'loaded', finished_at = now(), counts = %s WHERE load_id = %s",
                (Jsonb(self._ledger()), self.load_id),
            )
            release = None if self.hold else _publish(self.conn, self.load_id)
        self._unlock()
        return release

    def abort(self) -> None:
        """Takes everything of this load out again."""
        with self.conn.transaction():
            _delete_rows(self.conn, self.load_id)
            self.conn.execute("DELETE FROM load_file WHERE load_id = %s", (self.load_id,))
            self.conn.execute("DELETE FROM load WHERE load_id = %s", (self.load_id,))
            self.conn.execute(
                "DELETE FROM dataset d WHERE name = %s AND NOT EXISTS (SELECT FROM load l WHERE l.dataset_id = d.dataset_id)",
                (self.dataset,),
            )
        self._unlock()

    def _unlock(self) -> None:
        self.conn.execute("SELECT pg_advisory_unlock(%s, %s)", (_LOAD, self.load_id))


@dataclass(frozen=True)
class AlreadyLoaded:
    """The same files with the same options are in the store."""

    load_id: int
    dataset: str
    version: str
    visible: bool


def begin(
    conn: psycopg.Connection,
    *,
    dataset: str,
    kind: str,
    version: str | None,
    files: Sequence[SourceFile],
    options: dict,
    hold: bool = False,
    normalized: bool = True,
) -> Load | AlreadyLoaded:
    """Opens a load in the ledger, or goes on with one that was cut off, or says that it is all there already.

    `conn` must be in autocommit mode; it holds a lock on the load until `finish` or `abort`. `options` are those that
    decide what the rows are. Raises StoreError when the version exists with other content, or is being loaded now.
    """
    with conn.transaction():
        conn.execute("LOCK TABLE load IN SHARE ROW EXCLUSIVE MODE")
        for load_id, state, name, old_version in conn.execute(
            """SELECT l.load_id, l.state, d.name, l.version FROM load l JOIN dataset d USING (dataset_id)
            WHERE d.name = %s AND d.kind = %s AND l.state <> 'unloaded' AND l.options = %s AND (%s::text IS NULL OR l.version = %s)
            AND (SELECT array_agg(f.sha256 ORDER BY f.ordinal) FROM load_file f WHERE f.load_id = l.load_id) = %s
            ORDER BY l.load_id DESC LIMIT 1""",
            (dataset, kind, Jsonb(options), version, version, [f.sha256 for f in files]),
        ):
            if state == "loaded":
                return AlreadyLoaded(load_id, name, old_version, load_id in current(conn).loads)
            return _resume(conn, load_id, name, old_version, hold)
        row = conn.execute("SELECT dataset_id, kind FROM dataset WHERE name = %s", (dataset,)).fetchone()
        if row and row[1] != kind:
            raise StoreError(f"dataset {dataset!r} holds {row[1]}, not {kind}", "Choose another name with --dataset.")
        dataset_id = (
            row[0] if row else _insert(conn, "INSERT INTO dataset (name, kind) VALUES (%s, %s) RETURNING dataset_id", dataset, kind)
        )
        taken = {v for (v,) in conn.execute("SELECT version FROM load WHERE dataset_id = %s AND state <> 'unloaded'", (dataset_id,))}
        if version in taken:
            raise StoreError(
                f"{dataset} {version} is in the store already, with other content or options",
                f"Give another --version, or take it out first: vkg unload {dataset}@{version}",
            )
        chosen = version or _next_version(taken)
        load_id = _insert(
            conn,
            "INSERT INTO load (dataset_id, version, state, hold, normalized, options) VALUES (%s, %s, 'loading', %s, %s, %s) RETURNING load_id",
            dataset_id, chosen, hold, normalized, Jsonb(options),
        )  # fmt: skip
        for ordinal, f in enumerate(files):
            conn.execute(
                "INSERT INTO load_file (load_id, ordinal, path, sha256, bytes, header) VALUES (%s, %s, %s, %s, %s, %s)",
                (load_id, ordinal, f.path, f.sha256, f.bytes, f.header),
            )
        conn.execute("SELECT pg_advisory_lock(%s, %s)", (_LOAD, load_id))
    return Load(conn, load_id, dataset, chosen, hold)


def _next_version(taken: set[str]) -> str:
    today = date.today().isoformat()
    return next(v for n in range(1, len(taken) + 2) if (v := today if n == 1 else f"{today}.{n}") not in taken)


def _insert(conn: psycopg.Connection, statement: str, *values: object) -> int:
    row = conn.execute(statement, values).fetchone()
    assert row is not None
    return row[0]


def _resume(conn: psycopg.Connection, load_id: int, dataset: str, version: str, hold: bool) -> Load:
    if not _insert(conn, "SELECT pg_try_advisory_lock(%s, %s)", _LOAD, load_id):
        raise StoreError(f"{dataset} {version} is being loaded by another process", "Wait for it to end.")
    load = Load(conn, load_id, dataset, version, hold)
    for ordinal, resume, done in conn.execute(
        "SELECT ordinal, resume, done FROM load_file WHERE load_id = %s AND chunks > 0 ORDER BY ordinal", (load_id,)
    ):
        load.progress[ordinal] = Written(resume["end"], resume["rejects"], done)
        counts = resume["counts"]
        load.reasons, load.skipped, load.warnings = (Counter(counts.pop(k)) for k in ("reasons", "skipped", "warnings"))
        load.counts = Counter(counts)
    (highest,) = conn.execute(
        """SELECT greatest((SELECT max(variant_key) FROM variant_record WHERE load_id = %(load)s),
        (SELECT max(variant_key) FROM variant_score WHERE load_id = %(load)s))""",
        {"load": load_id},
    ).fetchone() or (None,)
    load._highest = highest if highest is not None else load._highest
    return load


def _publish(conn: psycopg.Connection, load_id: int) -> int:
    """A new release with this load in place of its dataset's previous version; inside a transaction."""
    conn.execute("LOCK TABLE release IN EXCLUSIVE MODE")
    row = conn.execute(
        """SELECT d.dataset_id, d.name, l.version, l.state FROM load l JOIN dataset d USING (dataset_id) WHERE load_id = %s""", (load_id,)
    ).fetchone()
    if row is None or row[3] != "loaded":
        raise StoreError(f"load {load_id} cannot be published: it is {row[3] if row else 'not in the store'}", "See vkg loads.")
    dataset_id, name, version, _ = row
    others = {other for (other,) in conn.execute("SELECT load_id FROM load WHERE dataset_id = %s", (dataset_id,))}
    loads = sorted({*(now for now in current(conn).loads if now not in others), load_id})
    return _release(conn, loads, f"publish {name} {version}")


def _release(conn: psycopg.Connection, loads: list[int], reason: str, name: str | None = None) -> int:
    release_id = _insert(conn, "INSERT INTO release (loads, reason, name) VALUES (%s, %s, %s) RETURNING release_id", loads, reason, name)
    conn.execute("SELECT pg_notify(%s, %s)", (CHANNEL, str(release_id)))
    return release_id


def publish(conn: psycopg.Connection, load_id: int) -> int:
    """Makes a complete load visible, in place of its dataset's previous version. Returns the new release's number."""
    with conn.transaction():
        return _publish(conn, load_id)


def unload(conn: psycopg.Connection, load_id: int) -> int:
    """Hides a load at once, for good. Returns the new release's number.

    Its rows are removed by `purge` when no named release holds them and the longest request is over. A load that was
    cut off is removed with all its rows now.
    """
    with conn.transaction():
        conn.execute("LOCK TABLE release IN EXCLUSIVE MODE")
        row = conn.execute(
            "SELECT d.name, l.version, l.state FROM load l JOIN dataset d USING (dataset_id) WHERE load_id = %s FOR UPDATE OF l", (load_id,)
        ).fetchone()
        if row is None or row[2] == "unloaded":
            raise StoreError(f"load {load_id} is not in the store", "See vkg loads.")
        name, version, state = row
        now = current(conn)
        if state == "loading":
            _resume(conn, load_id, name, version, False).abort()
            return now.release_id
        conn.execute("UPDATE load SET state = 'unloaded', unloaded_at = now() WHERE load_id = %s", (load_id,))
        return _release(conn, [other for other in now.loads if other != load_id], f"unload {name} {version}")


def create_release(conn: psycopg.Connection, name: str) -> int:
    """Names what is visible now, so that it can be asked for later. Raises StoreError when the name is taken."""
    if not name or name.isdigit() or not all(c.isalnum() or c in "._-" for c in name):
        raise StoreError(f"not a name for a release: {name!r}", "Use letters, digits, '.', '_' and '-', and not only digits.")
    with conn.transaction():
        conn.execute("LOCK TABLE release IN EXCLUSIVE MODE")
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


def _delete_rows(conn: psycopg.Connection, load_id: int) -> None:
    conn.execute("SELECT pg_advisory_xact_lock(%s, 0)", (_IDENTITY,))
    conn.execute(
        """DELETE FROM variant v USING variant_record r WHERE r.load_id = %s AND v.variant_key = r.variant_key
        AND NOT EXISTS (SELECT FROM variant_record o WHERE o.variant_key = r.variant_key AND o.load_id <> r.load_id)""",
        (load_id,),
    )
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
    dataset, _, version = name.partition("@")
    found = [r for r in alive if str(r.load_id) == name] or [
        r for r in alive if r.dataset == dataset and (not version or r.version == version)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        known = ", ".join(f"{r.dataset}@{r.version}" for r in alive) or "none"
        raise StoreError(f"no load {name!r}", f"In the store: {known}")
    raise StoreError(f"{name!r} has {len(found)} versions", "Say which: " + ", ".join(f"{r.dataset}@{r.version}" for r in found))
