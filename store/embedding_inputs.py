"""What visible loads say of variants, for models that read observations: one statement for a task, by the variants' keys."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg
from psycopg.rows import class_row

from .access import LEAST_PEOPLE

_BEST = "severity, load_id DESC, (mane IS NOT DISTINCT FROM 'SELECT') DESC, canonical DESC, ordinal"
"""The most severe consequence first; of equal ones those of the latest load, and of these the transcript that the annotator prefers."""

_FETCHED = 10_000

READ = ("variants", "scores", "frequencies")
"""Kinds of the loads that models read: of others no vector tells."""


def read_alike(conn: psycopg.Connection, one: int, other: int) -> bool:
    """True where two releases show the same loads, as far as models read them."""
    found = conn.execute(
        """SELECT count(*), count(DISTINCT ARRAY(SELECT l.load_id FROM load l JOIN dataset d USING (dataset_id)
            WHERE l.load_id = ANY(r.loads) AND d.kind = ANY(%s) ORDER BY 1)) FROM release r WHERE r.release_id IN (%s, %s)""",
        (list(READ), one, other),
    ).fetchone()
    return found == (len({one, other}), 1)


@dataclass
class Known:
    """What visible loads say of a variant: terms and impact of its most severe consequence, frequencies by population, scores by name."""

    terms: list[str] = field(default_factory=list)
    impact: str | None = None
    frequencies: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)


def known(
    conn: psycopg.Connection, keys: Sequence[int], loads: Sequence[int], populations: Sequence[str], scores: Sequence[str]
) -> dict[int, Known]:
    """What these loads say of variants. Of several loads the latest counts; a population of a dataset (gnomad:afr) stands in for one that none has.
    What was counted of few people is left out: vectors are open data.

    Of equally severe consequences of one load the first that the annotator wrote counts, not that of its preferred transcript, as with
    `consequences`: terms and impact are all that is read of it. Vectors of `annotation` follow from this order (its VERSION).
    """
    found = {key: Known() for key in keys}
    asked = {
        "keys": list(keys),
        "loads": list(loads),
        "populations": list(populations),
        "scores": [name.upper() for name in scores],
        "least": LEAST_PEOPLE,
    }
    for key, terms, impact in conn.execute(
        """SELECT DISTINCT ON (variant_key) variant_key, terms, (ARRAY['HIGH','MODERATE','LOW','MODIFIER'])[impact] FROM transcript_consequence
        WHERE variant_key = ANY(%(keys)s) AND load_id = ANY(%(loads)s) ORDER BY variant_key, severity, load_id DESC, ordinal""",
        asked,
    ):
        found[key].terms, found[key].impact = terms, impact
    for key, population, frequency in conn.execute(
        """SELECT DISTINCT ON (f.variant_key, p.name) f.variant_key, p.name, f.af[p.ordinal] FROM population_frequency f
        JOIN (SELECT load_id, ordinal, population, upper(regexp_replace(population, '^.*:', '')) AS name FROM frequency_population q
            WHERE load_id = ANY(%(loads)s) AND NOT (counted AND %(least)s > (SELECT count(*) FROM callset_sample c
                WHERE c.load_id = coalesce(q.callset_load, q.load_id)))) p ON p.load_id = f.load_id
        WHERE f.variant_key = ANY(%(keys)s) AND f.load_id = ANY(%(loads)s) AND p.name = ANY(%(populations)s) AND f.af[p.ordinal] IS NOT NULL
        ORDER BY f.variant_key, p.name, p.population = p.name DESC, f.load_id DESC""",
        asked,
    ):
        found[key].frequencies[population] = frequency
    written = {name.upper(): name for name in scores}
    for key, name, value in conn.execute(
        """SELECT DISTINCT ON (v.variant_key, upper(s.name)) v.variant_key, upper(s.name), v.value FROM variant_score v
        JOIN score s ON s.load_id = v.load_id AND s.score_id = v.score_id
        WHERE v.variant_key = ANY(%(keys)s) AND v.load_id = ANY(%(loads)s) AND upper(s.name) = ANY(%(scores)s)
        ORDER BY v.variant_key, upper(s.name), v.load_id DESC""",
        asked,
    ):
        found[key].scores[written[name]] = value
    return found


@dataclass(frozen=True)
class Consequence:
    """A variant's most severe consequence, as its annotator wrote it: HGVS with the accessions before the colon, `exon` and `intron` as number/total."""

    variant_key: int
    terms: list[str]
    impact: str
    symbol: str | None = None
    biotype: str | None = None
    hgvsc: str | None = None
    hgvsp: str | None = None
    exon: str | None = None
    intron: str | None = None


def consequences(conn: psycopg.Connection, keys: Sequence[int], loads: Sequence[int]) -> dict[int, Consequence]:
    """The most severe consequence of each of these variants that has one in these loads."""
    with conn.cursor(row_factory=class_row(Consequence)) as cursor:
        cursor.execute(
            f"""SELECT DISTINCT ON (variant_key) variant_key, terms, (ARRAY['HIGH','MODERATE','LOW','MODIFIER'])[impact] AS impact, symbol, biotype,
            hgvsc, hgvsp, exon, intron FROM transcript_consequence
            WHERE variant_key = ANY(%(keys)s) AND load_id = ANY(%(loads)s) ORDER BY variant_key, {_BEST}""",
            {"keys": list(keys), "loads": list(loads)},
        )
        return {found.variant_key: found for found in cursor}


class ProteinChange(NamedTuple):
    """What HGVSp says: `protein`, the accession before its colon, or the transcript's where there is none, and `change`, such as p.Val41Ile."""

    protein: str | None
    change: str


_CHANGE = r"""CASE WHEN hgvsp LIKE '%%:%%' THEN split_part(hgvsp, ':', 1) ELSE transcript_id END, regexp_replace(hgvsp, '^.*:', '')"""


def protein_changes(conn: psycopg.Connection, keys: Sequence[int], loads: Sequence[int]) -> dict[int, list[ProteinChange]]:
    """The changes of proteins that these loads give for each of these variants, the most severe consequence first; none has no entry."""
    found: dict[int, list[ProteinChange]] = {}
    for key, *change in conn.execute(
        f"""SELECT variant_key, {_CHANGE} FROM transcript_consequence
        WHERE variant_key = ANY(%(keys)s) AND load_id = ANY(%(loads)s) AND hgvsp IS NOT NULL ORDER BY variant_key, {_BEST}""",
        {"keys": list(keys), "loads": list(loads)},
    ):
        found.setdefault(key, []).append(ProteinChange(*change))
    return found


def has_consequences(conn: psycopg.Connection, loads: Sequence[int]) -> bool:
    """True where one of these loads tells of a consequence."""
    return conn.execute("SELECT FROM transcript_consequence WHERE load_id = ANY(%s) LIMIT 1", (list(loads),)).fetchone() is not None


def changed_proteins(conn: psycopg.Connection, loads: Sequence[int]) -> Generator[str]:
    """The accessions that these loads' changes of proteins name, in no order and again and again: read as far as the caller goes on."""
    with conn.transaction(), conn.cursor("changed_proteins") as cursor:
        cursor.itersize = _FETCHED
        cursor.execute(f"SELECT {_CHANGE} FROM transcript_consequence WHERE load_id = ANY(%s) AND hgvsp IS NOT NULL", (list(loads),))
        for protein, _ in cursor:
            if protein:
                yield protein
