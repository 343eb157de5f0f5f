"""Calls into planes and back, and what the functions of the database make of planes, against definitions of this test's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from store.copy import copy_rows
from store.planes import (
    ABSENT,
    ALT,
    MISSING,
    MIXED,
    NO_NUMBER,
    OTHER,
    PHASED,
    REF,
    SCHEMA,
    UNPHASED,
    Calls,
    decode,
    encode,
    number_lists,
    texts,
)

Conn = psycopg.Connection[Any]

COLUMNS = ", ".join(SCHEMA.names)


@st.composite
def calls(draw: st.DrawFn) -> Calls:
    """Calls of some samples; few alleles of each kind, many, or all."""
    v, n = draw(st.integers(1, 4)), draw(st.sampled_from([1, 2, 3, 4, 5, 17, 400]))
    first = draw(st.lists(st.sampled_from([REF, ALT, OTHER, MISSING]), min_size=1, max_size=4))
    second = draw(st.lists(st.sampled_from([REF, ALT, OTHER, MISSING, ABSENT]), min_size=1, max_size=5))
    slots = [draw(arrays(np.int8, (v, n), elements=st.sampled_from(kinds), fill=st.just(kinds[0]))) for kinds in (first, second)]
    alleles = np.stack(slots, axis=2)
    phased = draw(arrays(bool, (v, n), fill=st.just(draw(st.booleans())))) & (alleles[:, :, 1] != ABSENT)
    sets = draw(st.none() | arrays(np.int32, (v, n), elements=st.integers(NO_NUMBER, 5), fill=st.just(NO_NUMBER)))
    rows = draw(st.sets(st.integers(0, v - 1)))
    return Calls(alleles, phased, {row: ["0/0/1"] * n for row in rows}, sets)


@given(calls())
def test_what_is_encoded_is_decoded(given_calls: Calls) -> None:
    v, n, _ = given_calls.alleles.shape
    found = decode(encode(given_calls).to_pylist(), n)
    assert (found.alleles == given_calls.alleles).all()
    assert (found.phased == given_calls.phased).all()
    assert found.texts == given_calls.texts
    sets = given_calls.phase_sets
    written = sets if sets is not None else np.full((v, n), NO_NUMBER)
    assert (found.phase_sets is None) == (written == NO_NUMBER).all()
    assert found.phase_sets is None or (found.phase_sets == written).all()


@given(calls())
def test_a_plane_that_would_be_all_zero_is_null_and_the_shorter_form_of_alt_is_taken(given_calls: Calls) -> None:
    n = given_calls.alleles.shape[1]
    for row, alleles, phased in zip(encode(given_calls).to_pylist(), given_calls.alleles, given_calls.phased, strict=True):
        assert (row["other"] is None) == (OTHER not in alleles)
        assert (row["missing"] is None) == (MISSING not in alleles)
        assert (row["haploid"] is None) == (ABSENT not in alleles)
        count = (alleles == ALT).sum()
        listed = count > 0 and 20 + 4 * count < -(-2 * n // 8)
        assert (row["alt_slots"] is not None) == listed
        assert (row["alt"] is not None) == (count > 0 and not listed)
        diploid = phased[alleles[:, 1] != ABSENT]
        assert row["phasing"] == (UNPHASED if not diploid.any() else PHASED if diploid.all() else MIXED)
        assert (row["phase"] is not None) == (row["phasing"] == MIXED)


def test_the_planes_of_a_variant_bit_by_bit() -> None:
    pairs = [(REF, ALT), (ALT, ABSENT), (MISSING, OTHER), (REF, REF), (ALT, ALT)]
    row = encode(Calls(np.array([pairs], np.int8), np.array([[True, False, False, True, True]]))).to_pylist()[0]
    assert row == {
        "phasing": MIXED,
        "alt": bytes([0b0000_0110, 0b0000_0011]),
        "alt_slots": None,
        "other": bytes([0b0010_0000, 0]),
        "missing": bytes([0b0001_0000, 0]),
        "haploid": bytes([0b0000_0010]),
        "phase": bytes([0b0001_1001]),
        "calls": None,
        "phase_sets": None,
    }


def test_rare_alts_are_listed() -> None:
    alleles = np.zeros((1, 1000, 2), np.int8)
    alleles[0, 7, 1] = alleles[0, 999, 0] = ALT
    row = encode(Calls(alleles, np.ones((1, 1000), bool))).to_pylist()[0]
    assert (row["alt"], row["alt_slots"], row["phasing"]) == (None, [15, 1998], PHASED)


def test_number_lists() -> None:
    assert number_lists(np.array([[1, NO_NUMBER], [NO_NUMBER, NO_NUMBER], [0, 2]])).to_pylist() == [[1, None], None, [0, 2]]


def text_of(pair: list[int], phased: bool) -> str:
    shown = ["." if a == MISSING else str(a) for a in pair if a != ABSENT]
    return ("|" if phased else "/").join(shown)


def zygosity_of(pair: list[int]) -> str | None:
    """How many alleles of a call are the ALT, and what the other one is; an independent definition."""
    alleles = [a for a in pair if a != ABSENT]
    if ALT not in alleles:
        return None
    if len(alleles) == 1:
        return "HEMI"
    (other,) = set(alleles) - {ALT} or {ALT}
    return {ALT: "HOM_ALT", REF: "HET", OTHER: "HET_OTHER_ALT", MISSING: "PARTIAL"}[other]


def alt_pair_of(pair: list[int]) -> int:
    return (pair[0] == ALT) + 2 * (pair[1] == ALT)


@given(calls())
def test_texts_say_each_call(given_calls: Calls) -> None:
    found = texts(given_calls)
    for row, (alleles, phased) in enumerate(zip(given_calls.alleles.tolist(), given_calls.phased.tolist(), strict=True)):
        own = given_calls.texts.get(row) or [text_of(*call) for call in zip(alleles, phased, strict=True)]
        assert found[row].tolist() == own


@given(given_calls=calls())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_functions_of_the_database_see_the_same_calls(conn: Conn, given_calls: Calls) -> None:
    n = given_calls.alleles.shape[1]
    rows = encode(given_calls)
    rows = rows.add_column(0, "variant_key", pa.array(np.arange(rows.num_rows)))
    with conn.transaction(force_rollback=True):
        copy_rows(conn, "genotype", rows, {"load_id": 1})
        stored = conn.execute(f"SELECT {COLUMNS} FROM genotype ORDER BY variant_key").fetchall()
        seen = conn.execute(
            """SELECT g.variant_key, o, alt_pair(alt, alt_slots, o), genotype_zygosity(alt, alt_slots, other, missing, haploid, o),
            genotype_text(alt, alt_slots, other, missing, haploid, phasing, phase, calls, o)
            FROM genotype g, generate_series(0, %s) o ORDER BY 1, 2""",
            (n - 1,),
        ).fetchall()
    assert [dict(zip(SCHEMA.names, row, strict=True)) for row in stored] == encode(given_calls).to_pylist()
    shown = texts(given_calls)
    for row, ordinal, pair, zygosity, text in seen:
        call = given_calls.alleles[row, ordinal].tolist()
        assert (pair, zygosity, text) == (alt_pair_of(call), zygosity_of(call), shown[row, ordinal])


def haplotype_alt_of(pair: list[int], slot: int, phased: bool, phase_set: int) -> bool | None:
    """Whether an allele (0 or 1) of a call is the ALT; None where nobody knows which allele is on which haplotype, or it was not called."""
    first, second = pair
    if second == ABSENT:
        return None if first == MISSING else first == ALT
    if pair[slot] == MISSING:
        return None
    either = {allele == ALT for allele in pair} if MISSING not in pair else {True, False}
    if len(either) == 1 or (phased and phase_set == NO_NUMBER):
        return pair[slot] == ALT
    return None


@given(given_calls=calls())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_haplotypes_carry_the_alt_where_the_calls_say_so(conn: Conn, given_calls: Calls) -> None:
    n = given_calls.alleles.shape[1]
    rows = encode(given_calls)
    rows = rows.add_column(0, "variant_key", pa.array(np.arange(rows.num_rows)))
    with conn.transaction(force_rollback=True):
        copy_rows(conn, "genotype", rows, {"load_id": 1})
        seen = conn.execute(
            """SELECT g.variant_key, o, h, haplotype_alt(alt, alt_slots, missing, haploid, phasing, phase, calls, phase_sets, o, h::smallint)
            FROM genotype g, generate_series(0, %s) o, generate_series(1, 2) h ORDER BY 1, 2, 3""",
            (n - 1,),
        ).fetchall()
    read = decode(encode(given_calls).to_pylist(), n)
    sets = np.full((rows.num_rows, n), NO_NUMBER) if read.phase_sets is None else read.phase_sets
    for row, ordinal, haplotype, found in seen:
        pair, phased = read.alleles[row, ordinal].tolist(), bool(read.phased[row, ordinal])
        known = None if row in read.texts else haplotype_alt_of(pair, haplotype - 1, phased, int(sets[row, ordinal]))
        assert found == known, (pair, haplotype, phased)


def test_of_calls_that_are_texts_those_of_two_alleles_have_haplotypes(conn: Conn) -> None:
    """A triploid call makes texts of all calls of its variant; only of itself the planes hold less."""
    pairs = [[(REF, ALT), (REF, ALT), (ALT, ABSENT), (REF, ALT), (MISSING, ABSENT)]]
    calls = Calls(np.array(pairs, np.int8), np.array([[False, True, False, False, False]]), {0: ["0/0/1", "0|1", "1", "0/1", "."]})
    rows = encode(calls).add_column(0, "variant_key", pa.array([0]))
    copy_rows(conn, "genotype", rows, {"load_id": 1})
    found = conn.execute(
        """SELECT array_agg(haplotype_alt(alt, alt_slots, missing, haploid, phasing, phase, calls, phase_sets, o, h::smallint) ORDER BY o, h)
        FROM genotype, generate_series(0, 4) o, generate_series(1, 2) h"""
    )
    assert found.fetchone() == ([None, None, False, True, True, True, None, None, None, None],)


@pytest.mark.parametrize("samples", [1, 4, 5, 1000])
def test_bits_are_where_get_bit_finds_them(conn: Conn, samples: int) -> None:
    alleles = np.random.default_rng(samples).choice(np.array([REF, ALT, ALT, MISSING], np.int8), (1, samples, 2))
    row = encode(Calls(alleles, np.zeros((1, samples), bool))).to_pylist()[0]
    if row["alt"] is not None:
        statement = "SELECT array_agg(get_bit(%s::bytea, s) ORDER BY s) FROM generate_series(0, %s) s"
        (bits,) = conn.execute(statement, (row["alt"], 2 * samples - 1)).fetchone() or ()
        assert bits == (alleles.ravel() == ALT).astype(int).tolist()
