"""A load being written: opened in the ledger, filled chunk by chunk, finished or taken out again (design sections 4, 5).

Nothing of it is visible before `Load.finish` publishes it (release.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date

import numpy as np
import psycopg
import pyarrow as pa
from psycopg.types.json import Jsonb

from . import ibd, sample
from .assembly import NAMES
from .copy import (
    LINE,
    REPEATED,
    ROW,
    Chunk,
    Encoded,
    Reject,
    collisions,
    copy_rows,
    insert_variants,
    keep,
    locus,
    present,
    record_lines,
    repeated,
)
from .errors import NotInitialised, StoreError
from .migrate import pending
from .release import IDENTITY_LOCK, OBSERVATIONS, current, lock_load, lock_releases, publish_in, remove_load, returned, unlock_load
from .v2f_load import IDENTITY, Repeats
from .variant_key import decode

COLLISION = "key collision"
UNKNOWN_SAMPLE = "unknown sample"

_SHOWN = 200

_WITHOUT_VARIANTS = ("variant_score", "population_frequency", "enformer_effect")
"""Tables whose rows are about variants that other loads name; they come with `_row` and `_line`."""


@dataclass(frozen=True)
class SourceFile:
    """A file to load: absolute path, SHA-256 in hex, size in bytes, and its header text."""

    path: str
    sha256: str
    bytes: int
    header: str | None = None


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
    rows by table; `cohort` is the one of the samples that it names, and `create_samples` whether it may name new ones, from its options; `reasons` counts the rejects, `skipped` what was no variant, `warnings` what was odd.
    """

    conn: psycopg.Connection
    load_id: int
    dataset: str
    version: str
    hold: bool
    cohort: str | None = None
    create_samples: bool = False
    progress: dict[int, Written] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    _highest: int = -(1 << 63)
    _number: dict[str, int | None] = field(default_factory=dict)
    _repeats: Repeats = field(init=False)

    def __post_init__(self) -> None:
        self._repeats = Repeats(self.conn, self.load_id)

    def write(self, ordinal: int, chunk: Chunk, report: Callable[[Sequence[Reject]], None]) -> None:
        """Writes one chunk of a file in one transaction.

        Rows that repeat a variant of this load, variants whose hashed key belongs to another one, and rows about samples that the cohort does not
        have are rejected.
        `report` gets all rejects of the chunk, in the order of lines, before the commit; when it raises, nothing of the
        chunk is kept.
        """
        with self.conn.transaction():
            # The rows and where to go on after them are lost together or not at all, and `finish` waits for the disk: for all before it, too.
            self.conn.execute("SET LOCAL synchronous_commit = off")
            tables, rejects = dict(chunk.tables), list(chunk.rejects)
            named = [table for table in sample.TABLES if table in tables]
            mentioning = [table for table in sample.MENTIONING if table in tables]
            # Held alone, where nobody else holds it, it makes what is not there yet certain (copy.insert_variants). Others wait for this chunk then, and
            # where loads meet, both share it.
            alone = "variant" in tables and bool(returned(self.conn, "SELECT pg_try_advisory_xact_lock(%s, 0)", IDENTITY_LOCK))
            if not alone and ("variant" in tables or named or mentioning):
                self.conn.execute("SELECT pg_advisory_xact_lock_shared(%s, 0)", (IDENTITY_LOCK,))
            if "variant" in tables:
                self.counts["variant"] += self._identify(tables, rejects, alone, chunk.encoded.get("variant"))
            else:
                for table in (table for table in _WITHOUT_VARIANTS if table in tables):
                    tables[table] = self._first_of_variants(table, tables[table], rejects)
            for table in named:
                tables[table] = sample.number_samples(self.conn, self.cohort or self.dataset, tables[table])
            for table in mentioning:
                tables[table] = self._of_known(table, tables[table], rejects)
            for table in (table for table in IDENTITY if table in tables):
                tables[table] = self._repeats.first_only(table, tables[table], not self.counts[table], rejects)
            for table, rows in tables.items():
                self.counts[table] += rows.num_rows
                stored = ibd.from_both_sides(rows) if table == "ibd_segment" else rows
                copy_rows(self.conn, table, stored, {"load_id": self.load_id}, chunk.encoded.get(table))
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

    def _identify(self, tables: dict[str, pa.RecordBatch], rejects: list[Reject], alone: bool, encoded: Encoded | None) -> int:
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
        added = insert_variants(self.conn, keep(variants, kept), alone=alone, encoded=encoded)
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

    def _of_known(self, table: str, rows: pa.RecordBatch, rejects: list[Reject]) -> pa.RecordBatch:
        """The rows whose samples the cohort has, with their numbers for names; the others are rejected."""
        columns = {name: rows.column(name).dictionary_encode() for name in sample.MENTIONING[table]}
        # A dictionary may have names that no row has: of rows that were rejected before.
        named = {name for column in columns.values() for name in column.dictionary.take(column.indices.unique()).to_pylist()}
        if new := sorted(named - self._number.keys()):
            found, added = sample.find_numbers(self.conn, self.cohort or self.dataset, new, self.load_id, self.create_samples)
            self._number.update((name, found.get(name)) for name in new)
            self.counts["sample_info"] += added
        kept, written = np.ones(rows.num_rows, bool), rows
        lines = rows.column("line" if "line" in rows.schema.names else LINE)
        for name, column in columns.items():
            place = column.indices.to_numpy()
            numbers = np.array([self._number.get(each) or -1 for each in column.dictionary.to_pylist()] or [-1], np.int32)[place]
            rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(numbers, pa.int32()))
            for row in np.flatnonzero(kept & (numbers < 0)).tolist():
                unknown = column.dictionary[place[row]].as_py()
                detail = f"{unknown} is not in cohort {self.cohort or self.dataset}; --create-samples adds those that are not"
                rejects.append(Reject(lines[row].as_py(), UNKNOWN_SAMPLE, detail, _shown(written, row)))
            kept &= numbers >= 0
        return rows if kept.all() else rows.filter(pa.array(kept))

    def _first_of_variants(self, table: str, scores: pa.RecordBatch, rejects: list[Reject]) -> pa.RecordBatch:
        """The rows of variants that no earlier record of this load is about; the others are rejected."""
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
            earlier = present(self.conn, table, self.load_id, keys[below].tolist())
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
        written = {table for table, rows in self.counts.items() if rows}
        for table in ("variant", "sample", *OBSERVATIONS):
            if table in written or (table == "sample" and written.intersection(sample.TABLES)):
                self.conn.execute(f"VACUUM (ANALYZE) {table}")
        if "ibd_run" in written:
            ibd.set_surveyed(self.conn, self.load_id)
        with self.conn.transaction():
            if not self.hold:
                lock_releases(self.conn)
            self.conn.execute(
                "UPDATE load SET state = 'loaded', finished_at = now(), counts = %s WHERE load_id = %s",
                (Jsonb(self._ledger()), self.load_id),
            )
            release = None if self.hold else publish_in(self.conn, self.load_id)
        unlock_load(self.conn, self.load_id)
        return release

    def abort(self) -> bool:
        """Takes everything of this load out again. False, and nothing is done, where it is complete already."""
        with self.conn.transaction():
            removed = remove_load(self.conn, self.load_id)
        unlock_load(self.conn, self.load_id)
        return removed


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
    cohort_now: Callable[[psycopg.Connection], str] | None = None,
) -> Load | AlreadyLoaded:
    """Opens a load in the ledger, or goes on with one that was cut off, or says that it is all there already.

    `conn` must be in autocommit mode; it holds a lock on the load until `finish` or `abort`. `options` are those that
    decide what the rows are. `cohort_now` says, where nobody did, which cohort the samples belong to: it is asked again while no other load
    can begin. Raises NotInitialised where the store is of an older version; StoreError when the version exists with other content, or is being loaded now, or when the cohort is another by now.
    """
    if missing := pending(conn):
        raise NotInitialised(f"this store is of an older version: it lacks {missing[0]}", "Bring it to this one: vkg init")
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
            return _resume(conn, load_id, name, old_version, hold, options)
        if cohort_now and (now := cohort_now(conn)) != options["cohort"]:
            raise StoreError(
                f"another load has begun meanwhile, and the samples of {dataset} would belong to cohort {now} now, not {options['cohort']}",
                "Load it again, or say whose samples they are: --cohort NAME",
            )
        row = conn.execute("SELECT dataset_id, kind FROM dataset WHERE name = %s", (dataset,)).fetchone()
        if row and row[1] != kind:
            raise StoreError(f"dataset {dataset!r} holds {row[1]}, not {kind}", "Choose another name with --dataset.")
        dataset_id = (
            row[0] if row else returned(conn, "INSERT INTO dataset (name, kind) VALUES (%s, %s) RETURNING dataset_id", dataset, kind)
        )
        taken = {v for (v,) in conn.execute("SELECT version FROM load WHERE dataset_id = %s AND state <> 'unloaded'", (dataset_id,))}
        if version in taken:
            raise StoreError(
                f"{dataset} {version} is in the store already, with other content or options",
                f"Give another --version, or take it out first: vkg unload {dataset}@{version}",
            )
        chosen = version or _next_version(taken)
        load_id = returned(
            conn,
            "INSERT INTO load (dataset_id, version, state, hold, normalized, options) VALUES (%s, %s, 'loading', %s, %s, %s) RETURNING load_id",
            dataset_id, chosen, hold, normalized, Jsonb(options),
        )  # fmt: skip
        for ordinal, f in enumerate(files):
            conn.execute(
                "INSERT INTO load_file (load_id, ordinal, path, sha256, bytes, header) VALUES (%s, %s, %s, %s, %s, %s)",
                (load_id, ordinal, f.path, f.sha256, f.bytes, f.header),
            )
        lock_load(conn, load_id, f"{dataset} {chosen}")
    return Load(conn, load_id, dataset, chosen, hold, options.get("cohort"), options.get("create_samples", False))


def _shown(rows: pa.RecordBatch, row: int) -> str:
    """A row as its values, without what is missing."""
    values = (rows.column(name)[row].as_py() for name in rows.schema.names if name not in ("file", "line", LINE))
    return "\t".join(str(value) for value in values if value is not None)[:_SHOWN]


def _next_version(taken: set[str]) -> str:
    today = date.today().isoformat()
    return next(v for n in range(1, len(taken) + 2) if (v := today if n == 1 else f"{today}.{n}") not in taken)


def _resume(conn: psycopg.Connection, load_id: int, dataset: str, version: str, hold: bool, options: dict) -> Load:
    lock_load(conn, load_id, f"{dataset} {version}")
    conn.execute("UPDATE load SET hold = %s WHERE load_id = %s", (hold, load_id))
    load = Load(conn, load_id, dataset, version, hold, options.get("cohort"), options.get("create_samples", False))
    for ordinal, resume, done in conn.execute(
        "SELECT ordinal, resume, done FROM load_file WHERE load_id = %s AND chunks > 0 ORDER BY ordinal", (load_id,)
    ):
        load.progress[ordinal] = Written(resume["end"], resume["rejects"], done)
        counts = resume["counts"]
        load.reasons, load.skipped, load.warnings = (Counter(counts.pop(k)) for k in ("reasons", "skipped", "warnings"))
        load.counts = Counter(counts)
    (highest,) = conn.execute(
        """SELECT greatest((SELECT max(variant_key) FROM variant_record WHERE load_id = %(load)s),
        (SELECT max(variant_key) FROM variant_score WHERE load_id = %(load)s),
        (SELECT max(variant_key) FROM population_frequency WHERE load_id = %(load)s),
        (SELECT max(variant_key) FROM enformer_effect WHERE load_id = %(load)s))""",
        {"load": load_id},
    ).fetchone() or (None,)
    load._highest = highest if highest is not None else load._highest
    return load
