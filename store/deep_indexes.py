"""Indexes against their tables: by amcheck where the server has it, else by reading each table both ways and comparing what comes."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import class_row

from .deep import RESTORE, Looking, counted

_SAMPLED = 200


class Index(NamedTuple):
    """An index: how it is defined, as SQL. `operators` are those that sort by it; `default` says whether they are those of the types."""

    oid: int
    name: str
    relation: str
    method: str
    valid: bool
    keys: list[str]
    columns: list[str]
    operators: list[str]
    predicate: str | None
    default: bool

    @property
    def remedy(self) -> str:
        """What puts it right."""
        return f"REINDEX INDEX {self.name}, as the owner of the store."


_INDEXES = """SELECT i.indexrelid::int8 AS oid, c.relname AS name, t.relname AS relation, m.amname AS method, i.indisvalid AND i.indisready AND i.indislive AS valid,
    ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true) FROM generate_series(1, i.indnkeyatts) n) AS keys,
    ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true) FROM generate_series(1, i.indnatts) n) AS columns,
    ARRAY(SELECT 'OPERATOR(' || n.nspname || '.' || p.oprname || ')' FROM unnest(i.indclass::oid[]) WITH ORDINALITY k (opclass, place)
        JOIN pg_opclass o ON o.oid = k.opclass JOIN pg_amop a ON a.amopfamily = o.opcfamily AND a.amoplefttype = o.opcintype
            AND a.amoprighttype = o.opcintype AND a.amopstrategy = 1 AND m.amname = 'btree'
        JOIN pg_operator p ON p.oid = a.amopopr JOIN pg_namespace n ON n.oid = p.oprnamespace ORDER BY k.place) AS operators,
    pg_get_expr(i.indpred, i.indrelid) AS predicate, (SELECT bool_and(o.opcdefault) FROM unnest(i.indclass::oid[]) k JOIN pg_opclass o ON o.oid = k) AS default
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_am m ON m.oid = c.relam
    WHERE t.relnamespace = 'public'::regnamespace AND t.relkind = 'r' ORDER BY pg_relation_size(i.indrelid), t.relname, c.relname"""


def indexes(looking: Looking) -> str:
    """Every index is valid, and has each row of its table, and no other, in order."""
    with looking.conn.cursor(row_factory=class_row(Index)) as cursor:
        found = cursor.execute(_INDEXES).fetchall()
    for index in found:
        if not index.valid:
            looking.find("the index is not valid: it was being built when the server stopped", index.remedy, index.name)
    valid = [index for index in found if index.valid]
    how: Counter[str] = Counter()
    unread: list[str] = []
    why = _amcheck(looking, valid) if any(index.method == "btree" for index in valid) else None
    tables = defaultdict(list)
    for index in valid:
        tables[index.relation].append(index)
    for table, its in tables.items():
        asked = [index for index in its if why is not None or index.method != "btree"]
        for index, way in zip(asked, _read(looking, table, asked), strict=True):
            how[way] += 1
            unread += [index.name] if way == "nothing" else []
    if why is None:
        how["amcheck"] = sum(index.method == "btree" for index in valid)
    said = ", ".join(f"{number} by {what}" for what, number in how.most_common() if what != "nothing")
    left_out = f"; not {', '.join(unread)}" if unread else ""
    return f"{len(found):,} indexes: {said}" + (f" (no amcheck: {why})" if why else "") + left_out


# ---- amcheck


def _amcheck(looking: Looking, found: list[Index]) -> str | None:
    """Checks B-trees, and tables with their TOAST, by amcheck, which is made for the transaction where it is not there. Returns why it cannot be."""
    row = looking.conn.execute("SELECT installed_version IS NOT NULL FROM pg_available_extensions WHERE name = 'amcheck'").fetchone()
    if row is None:
        return "the server does not bring it"
    try:
        with looking.conn.transaction():
            if not row[0]:
                looking.conn.execute("CREATE EXTENSION amcheck")
            looking.conn.execute("SELECT bt_index_check('pg_class_oid_index'::regclass)")
    except psycopg.Error as error:
        return str(error.diag.message_primary)
    for index in found:
        if index.method == "btree":
            try:
                with looking.conn.transaction():
                    looking.conn.execute("SELECT bt_index_check(%s::oid::regclass, heapallindexed => true)", (index.oid,))
            except psycopg.Error as error:
                if looking.conn.broken:
                    raise
                looking.find(f"the index is damaged: {error.diag.message_primary or error}", index.remedy, index.name)
    for table in sorted({index.relation for index in found}):
        for block, said in looking.ask(table, "SELECT blkno, msg FROM verify_heapam(%s::regclass, check_toast => true) LIMIT 5", (table,)):
            looking.find(f"block {block} is damaged: {said}", RESTORE, table)
    return None


# ---- without it: what a table has, read as a whole, and by each index


def _read(looking: Looking, table: str, its: list[Index]) -> list[str]:
    """How each of its indexes, in their order, was checked: by 'reading', by a 'sample', or by 'nothing'."""
    done: dict[str, str] = {}
    ordered = [index for index in its if index.method == "btree"]
    if ordered:
        columns = [
            f"count(*) FILTER (WHERE {index.predicate or 'true'}), sum({_hash(index)}) FILTER (WHERE {index.predicate or 'true'})"
            for index in ordered
        ]
        whole = _ask(looking, table, f"SELECT {', '.join(columns)} FROM {table}", ("enable_seqscan",))
        for place, index in enumerate(ordered):
            statement = _in_order(index)
            if whole and _names(looking, index.name, statement, ("enable_indexscan", "enable_indexonlyscan")) == {index.name}:
                done[index.name] = "reading"
                for count, digest, unsorted in _ask(looking, index.name, statement, ("enable_indexscan", "enable_indexonlyscan")):
                    expected = whole[0][2 * place]
                    if (count, digest) != (expected, whole[0][2 * place + 1]):
                        looking.find(f"has {count:,} rows, and they are not the {expected:,} of {table}", index.remedy, index.name)
                    elif unsorted:
                        looking.find(f"is out of order at {unsorted:,} places", index.remedy, index.name)
    for index in its:
        if index.method == "brin":
            whole_of = f"SELECT {index.keys[0]}, count(*) FROM {table} GROUP BY 1"
            done[index.name] = _by_value(looking, index, whole_of, f"{index.keys[0]} = {{}}")
        elif index.method == "gist":
            any_of = f"{index.keys[0]} && '(,)'"
            done[index.name] = _by_value(looking, index, f"SELECT NULL, count(*) FROM {table} WHERE {any_of}", any_of)
        elif index.method == "hnsw":
            done[index.name] = _nearest(looking, index)
    return [done.get(index.name, "nothing") for index in its]


_WAYS = ("enable_seqscan", "enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan", "enable_sort", "enable_incremental_sort")


def _choose(looking: Looking, ways: tuple[str, ...]) -> None:
    """Leaves the planner these ways of reading."""
    settings = ", ".join(f"set_config('{way}', '{'on' if way in ways else 'off'}', true)" for way in _WAYS)
    parallel = "set_config('max_parallel_workers_per_gather', '0', true)" if "enable_indexscan" in ways else "NULL"
    looking.conn.execute(f"SELECT {settings}, {parallel}")


def _ask(looking: Looking, where: str, statement: str, ways: tuple[str, ...], values: Any = None) -> list[tuple[Any, ...]]:
    _choose(looking, ways)
    return looking.ask(where, statement.replace("%", "%%") if values is None else statement, () if values is None else values)


def _names(looking: Looking, where: str, statement: str, ways: tuple[str, ...]) -> set[str]:
    """The indexes that a statement would be answered by."""
    _choose(looking, ways)
    found: set[str] = set()
    waiting = [plan[0]["Plan"] for (plan,) in looking.ask(where, f"EXPLAIN (FORMAT JSON) {statement}".replace("%", "%%"), ())]
    while waiting:
        node = waiting.pop()
        found |= (
            {node["Index Name"]} if "Index Name" in node else {node["Node Type"]} if node["Node Type"] in ("Seq Scan", "Sort") else set()
        )
        waiting += node.get("Plans", ())
    return found


def _hash(index: Index) -> str:
    return f"hash_record_extended(ROW({', '.join(index.columns)}), 0)"


def _in_order(index: Index) -> str:
    """Rows, the sum of their hashes, and how many come before one that they should come after, read by the index."""
    order = ", ".join(f"{key} USING {operator}" for key, operator in zip(index.keys, index.operators, strict=True))
    row = f"ROW({', '.join(index.keys)})"
    # Other operators than a type's own have another order.
    before = f"lag({row}) OVER (ORDER BY {order}) > {row}" if index.default else "false"
    where = f" WHERE {index.predicate}" if index.predicate else ""
    return f"SELECT count(*), sum(h), count(*) FILTER (WHERE b) FROM (SELECT {_hash(index)} AS h, {before} AS b FROM {index.relation}{where} ORDER BY {order}) s"


def _by_value(looking: Looking, index: Index, whole: str, condition: str) -> str:
    """Compares how many rows a table has of each value with how many the index finds of it."""
    one = f"SELECT count(*) FROM {index.relation} WHERE {condition}"
    if not _ask(looking, index.relation, f"SELECT FROM {index.relation} LIMIT 1", ("enable_seqscan",)):
        return "reading"
    if index.predicate or _names(looking, index.name, one.format("0"), ("enable_bitmapscan",)) != {index.name}:
        return "nothing"
    for value, expected in _ask(looking, index.relation, whole, ("enable_seqscan",)):
        for (count,) in _ask(looking, index.name, one.format(0 if value is None else int(value)), ("enable_bitmapscan",)):
            if count != expected:
                of = "" if value is None else f" whose {index.keys[0]} is {value}"
                looking.find(f"finds {count:,} of {expected:,} rows{of}", index.remedy, index.name)
    return "reading"


def _nearest(looking: Looking, index: Index) -> str:
    """Whether vectors are their own nearest: a part of them, evenly spread."""
    key, table = index.keys[0], index.relation
    nearest = f"(SELECT e.{key} <=> t.{key} FROM {table} e ORDER BY e.{key} <=> t.{key} LIMIT 1)"
    few = f"(SELECT {key} FROM {table} WHERE norm > 0 AND abs(hashint8(variant_key)::bigint) % greatest((SELECT count(*) FROM {table}) / {_SAMPLED}, 1) = 0 LIMIT {_SAMPLED} OFFSET 0) t"
    looking.conn.execute("SELECT set_config('hnsw.ef_search', '200', true)")
    statement = f"SELECT count(*), count(*) FILTER (WHERE d IS NULL OR d > 0.001) FROM (SELECT {nearest} AS d FROM {few}) s"
    ways = ("enable_seqscan", "enable_indexscan", "enable_sort")
    for rows, lost in _ask(looking, index.name, statement, ways):
        if lost > rows // 50:
            looking.find(f"does not find {lost:,} of {counted(rows, 'vector')} that it was asked for", index.remedy, index.name)
    return "sample"
