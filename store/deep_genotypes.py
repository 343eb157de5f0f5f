"""Genotypes against the samples that they are of: the lengths of all planes, and a part of them unpacked and packed again."""

from __future__ import annotations

from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from .deep import RESTORE, Looking, counted
from .planes import MIXED, SCHEMA, decode, encode

UNPACKED = 20_000_000
"""Calls of a load that are unpacked at most; of a larger one as many variants are, evenly spread, as have so many."""

_CHUNK = 2_000_000

_SAMPLES = """SELECT l.load_id, count(c.ordinal)::int, coalesce(min(c.ordinal), 0), coalesce(max(c.ordinal), -1)
    FROM (SELECT DISTINCT load_id FROM callset_sample UNION SELECT DISTINCT load_id FROM genotype) l LEFT JOIN callset_sample c USING (load_id)
    GROUP BY 1 ORDER BY 1"""

# Slots are two bits for a sample, the others one; what is of no sample is zero, which only the last byte can show.
_SLOTS = ("alt", "other", "missing")
_BITS = ("haploid", "phase")


def _wrong() -> str:
    plane = "octet_length({0}) <> (%(samples)s * {1} + 7) / 8 OR get_byte({0}, octet_length({0}) - 1) >> ((%(samples)s * {1} - 1) %% 8 + 1) <> 0"
    tests = [plane.format(f"nullif(t.{name}, ''::bytea)", 2) + f" OR t.{name} = ''" for name in _SLOTS]
    tests += [plane.format(f"nullif(t.{name}, ''::bytea)", 1) + f" OR t.{name} = ''" for name in _BITS]
    tests += [
        f"t.phasing NOT BETWEEN 0 AND {MIXED}",
        f"(t.phase IS NOT NULL) <> (t.phasing = {MIXED})",
        "t.alt IS NOT NULL AND t.alt_slots IS NOT NULL",
        "t.alt_slots = '{}' OR 0 > ANY (t.alt_slots) OR 2 * %(samples)s <= ANY (t.alt_slots)",
        "cardinality(t.calls) <> %(samples)s",
        "cardinality(t.phase_sets) <> %(samples)s",
    ]
    return " OR ".join(f"({test})" for test in tests)


_LENGTHS = f"SELECT count(*), left(min(t.variant_key)::text, 50) FROM genotype t WHERE t.load_id = %(load)s AND ({_wrong()})"
_FORMATS = ("dp", "gq", "ad_ref", "ad_alt")
_LISTS = f"""SELECT count(*), min(t.variant_key)::text FROM genotype_format t WHERE t.load_id = %(load)s
    AND ({" OR ".join(f"cardinality(t.{name}) <> %(samples)s" for name in _FORMATS)})"""
_PART = sql.SQL(
    "SELECT variant_key, {} FROM genotype WHERE load_id = %(load)s AND abs(hashint8(variant_key)::bigint) %% %(every)s = 0"
).format(sql.SQL(", ").join(map(sql.Identifier, SCHEMA.names)))


def genotypes(looking: Looking) -> str:
    """Every row's planes have the length of their callset's samples; unpacked and packed again they are the same."""
    total = unpacked = 0
    for load_id, samples, lowest, highest in looking.ask("callset_sample", _SAMPLES):
        where = f"callset_sample, load {load_id}"
        if samples and (lowest, highest) != (0, samples - 1):
            looking.find(f"its {counted(samples, 'sample')} are not numbered from 0 on", RESTORE, where)
        asked = {"load": load_id, "samples": samples}
        for table, statement in (("genotype", _LENGTHS), ("genotype_format", _LISTS)):
            for count, example in looking.ask(table, statement, asked):
                if count:
                    what = (
                        f"{counted(count, 'row')} of load {load_id} not of its {counted(samples, 'sample')}, such as variant_key {example}"
                    )
                    looking.find(what, RESTORE, table)
        for (rows,) in looking.ask("genotype", "SELECT count(*) FROM genotype WHERE load_id = %s", (load_id,)):
            total += rows
            every = max(1, -(-rows * samples // UNPACKED))
            if rows and samples and not any("genotype" in found.where for found in looking.findings):
                unpacked += _unpack(looking, load_id, samples, every)
    return f"the planes of {counted(total, 'row')}, of which {unpacked:,} were unpacked"


def _unpack(looking: Looking, load_id: int, samples: int, every: int) -> int:
    """How many rows were unpacked and packed again."""
    done = 0
    with looking.conn.cursor("planes", binary=True, row_factory=dict_row) as cursor:
        cursor.execute(_PART, {"load": load_id, "every": every})
        while rows := cursor.fetchmany(max(1, _CHUNK // samples)):
            done += len(rows)
            again = encode(decode(rows, samples)).to_pylist()
            for row, packed in zip(rows, again, strict=True):
                if different := [name for name in SCHEMA.names if _plain(row[name]) != packed[name]]:
                    what = f"variant_key {row['variant_key']} of load {load_id}: {', '.join(different)} cannot be what a loader wrote"
                    looking.find(what, RESTORE, "genotype")
    return done


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value
