"""Segments: stored from both sides and by classes of length, found over a position, and measured as unions."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loaders.ibd import SCHEMA
from store.assembly import GRCH37, GRCH38
from store.copy import copy_rows
from store.ibd import OVER, RELATIVE, from_both_sides
from store.read import compose, ordered_columns, where
from store.region import length_class
from store.release import current
from store.statements import statement
from tests.store.chunks import key
from tests.store.people import loaded, mention, mentioned

Conn = psycopg.Connection[Any]
Row = dict[str, Any]

LONGEST = max(*GRCH37.lengths, *GRCH38.lengths)
RUN, OTHER_RUN = 1, 2
STORED = pa.schema([pa.field(f.name, pa.int32()) if f.name in ("sample_id", "other_id") else f for f in SCHEMA["ibd_segment"]])

positions = st.integers(1, LONGEST) | st.integers(1, 40)
haplotypes = st.sampled_from([1, 2, None])


@st.composite
def segments(draw: st.DrawFn) -> list[Row]:
    """Segments of four people on two chromosomes, each on a line of its own."""
    found = []
    for line in range(1, draw(st.integers(0, 12)) + 1):
        one, other = draw(st.permutations(range(1, 5)))[:2]
        start, end = sorted((draw(positions), draw(positions)))
        found.append(
            {
                "sample_id": one, "other_id": other, "file": 0, "line": line, "chrom": draw(st.sampled_from([20, 21])), "start_pos": start, "end_pos": end,
                "haplotype": draw(haplotypes), "other_haplotype": draw(haplotypes), "ibd_type": None, "length_cm": float(draw(st.integers(1, 9))),
                "markers": None, "score": None,
            }
        )  # fmt: skip
    return found


def batch(rows: list[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, STORED)


def turned(row: Row) -> Row:
    """The segment as the other person sees it."""
    other = {"sample_id": "other_id", "other_id": "sample_id", "haplotype": "other_haplotype", "other_haplotype": "haplotype"}
    return {name: row[other.get(name, name)] for name in row}


@given(st.tuples(positions, positions).map(sorted), st.floats(0, 1))
def test_a_segment_over_a_position_begins_within_its_class(ends: list[int], share: float) -> None:
    start, end = ends
    (found,) = length_class(np.array([start]), np.array([end])).tolist()
    position = start + int(share * (end - start))
    assert position - (1 << found) < start <= position <= end
    assert found == (end - start).bit_length(), "and no smaller class would do"


def test_no_chromosome_is_longer_than_the_longest_class() -> None:
    assert length_class(np.array([1]), np.array([LONGEST])).tolist() == [28]
    assert "generate_series(0, 28)" in OVER.source


@given(segments())
def test_each_segment_is_stored_once_for_each_person_whose_rows_lie_together(rows: list[Row]) -> None:
    found = from_both_sides(batch(rows)).to_pylist()
    classed = [row | {"length_class": (row["end_pos"] - row["start_pos"]).bit_length()} for row in rows]
    by_line = itemgetter("line", "sample_id")
    assert sorted(found, key=by_line) == sorted([*classed, *map(turned, classed)], key=by_line)
    order = [(row["sample_id"], row["chrom"], row["start_pos"]) for row in found]
    assert order == sorted(order)


def stored(conn: Conn, rows: list[Row]) -> psycopg.RawCursor[Any]:
    """A cursor over a store with these segments, in two runs by turns."""
    for run in (RUN, OTHER_RUN):
        copy_rows(conn, "ibd_segment", from_both_sides(batch([row for row in rows if row["line"] % 2 + 1 == run])), {"load_id": run})
    return psycopg.RawCursor(conn)


@given(segments(), st.lists(positions, min_size=1, max_size=4, unique=True), st.sampled_from([0.0, 4.0]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_segments_over_a_variant_are_found_once_the_longest_first(conn: Conn, rows: list[Row], at: list[int], least: float) -> None:
    at = at + [row[end] for row in rows[:2] for end in ("start_pos", "end_pos")]
    variants = {key(20, pos, "A", "C"): pos for pos in at}
    covering = {
        variant: sorted(
            (row for row in rows if row["chrom"] == 20 and row["start_pos"] <= pos <= row["end_pos"] and row["length_cm"] >= least),
            key=lambda row: (row["length_cm"], row["line"] % 2 + 1, row["line"]),
            reverse=True,
        )
        for variant, pos in variants.items()
    }
    with conn.transaction(force_rollback=True):
        cursor = stored(conn, rows)
        cursor.executemany("INSERT INTO variant VALUES ($1, 20, $2, 'A', 'C')", list(variants.items()))
        asked = {"keys": list(variants), "loads": [RUN, OTHER_RUN], "limit": 100}
        made, values = compose(OVER, "variant", columns=["line"], order="length", filter=where(min_length=least or None), per_parent=True)
        found = cursor.execute(made.text, made.bind(asked | values)).fetchall()
        assert [(row[0], row[-1]) for row in found] == [(variant, row["line"]) for variant in sorted(variants) for row in covering[variant]]
        ends = ["sample1_id", "sample2_id", "haplotype1", "haplotype2", "line"]
        made, values = compose(
            OVER, "variant", columns=ends, order="length", filter=where(run=[RUN], min_length=least or None), per_parent=True
        )
        of_run = cursor.execute(made.text, made.bind(asked | values)).fetchall()
    by_line = {row["line"]: row if row["sample_id"] < row["other_id"] else turned(row) for row in rows}
    names = {
        "sample1_id": "sample_id",
        "sample2_id": "other_id",
        "haplotype1": "haplotype",
        "haplotype2": "other_haplotype",
        "line": "line",
    }
    assert [(row[0], *row[-5:]) for row in of_run] == [
        (variant, *(by_line[row["line"]][names[column]] for column in ordered_columns(OVER, ends)))
        for variant in sorted(variants)
        for row in covering[variant]
        if row["line"] % 2 + 1 == RUN
    ]


short = st.tuples(st.integers(1, 60), st.integers(0, 30)).map(lambda two: (two[0], two[0] + two[1]))


@given(st.lists(short, max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_new_centimorgans_in_the_order_of_starts_measure_a_union(conn: Conn, ends: list[tuple[int, int]]) -> None:
    """At half a centimorgan a base everywhere."""
    covered: int | None = None
    total = 0.0
    with conn.transaction(force_rollback=True):
        for start, end in sorted(ends, key=lambda two: (two[0], -two[1])):
            (cm,) = conn.execute("SELECT new_cm(%s::float8, %s, %s, %s)", ((end - start + 1) / 2, start, end, covered)).fetchone() or (0,)
            total += cm
            covered = max(end, covered or end)
    assert total == pytest.approx(len({base for start, end in ends for base in range(start, end + 1)}) / 2)


@st.composite
def beside(draw: st.DrawFn) -> list[Row]:
    """Segments of four people that often overlap, a hundredth of a centimorgan a base."""
    return [
        row | {"start_pos": start, "end_pos": end, "chrom": draw(st.sampled_from([1, 22, 23])), "length_cm": (end - start + 1) / 100}
        for row in draw(segments())
        for start, end in [draw(short)]
    ]


@given(beside(), st.sampled_from([0.0, 0.1]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_two_people_share_is_a_union_however_it_is_asked(conn: Conn, rows: list[Row], least: float) -> None:
    """By the person whose relatives are asked for, by pairs in either direction, and base by base."""
    used = [row for row in rows if row["line"] % 2 + 1 == RUN and row["length_cm"] >= least]

    def of(one: int, other: int, *chroms: int) -> list[Row]:
        return [row for row in used if {row["sample_id"], row["other_id"]} == {one, other} and row["chrom"] in chroms]

    def cm(found: list[Row]) -> float:
        return len({(row["chrom"], base) for row in found for base in range(row["start_pos"], row["end_pos"] + 1)}) / 100

    pairs = [(one, other) for one in range(1, 5) for other in range(1, 5) if one != other]
    with conn.transaction(force_rollback=True):
        cursor = stored(conn, rows)
        cursor.execute(
            "INSERT INTO sample (sample_id, cohort, name) OVERRIDING SYSTEM VALUE SELECT n, 'kg', n FROM generate_series(1, 4) n"
        )
        cursor.execute("INSERT INTO dataset (dataset_id, name, kind) OVERRIDING SYSTEM VALUE VALUES (1, 'run', 'variants')")
        cursor.execute(
            f"""INSERT INTO load (load_id, dataset_id, version, state, hold, normalized, options) OVERRIDING SYSTEM VALUE
            VALUES ({RUN}, 1, '1', 'loaded', false, true, '{{}}')"""
        )
        cursor.execute(f"INSERT INTO ibd_run (load_id, source, cohort, phased) VALUES ({RUN}, 'hap-ibd', 'kg', true)")
        found = cursor.execute(statement("pair_sharing"), [*map(list, zip(*pairs, strict=True)), [RUN] * len(pairs), least, 22]).fetchall()
        asked = {"keys": [1, 2, 3, 4], "loads": [RUN], "runs": None, "min_length": least, "limit": 10}
        made, _ = compose(RELATIVE, "sample", columns=["total_cm", "segment_count", "longest_cm"], order="shared", per_parent=True)
        relatives = cursor.execute(made.text, made.bind(asked)).fetchall()
    shared = {pairs[row[0] - 1]: row for row in found}
    for pair in pairs:
        _, total, _, on_x, count, longest = shared.get(pair, (0, 0, 0, 0, 0, None))
        all_of = of(*pair, 1, 22, 23)
        assert (total or 0) == pytest.approx(cm(of(*pair, 1, 22)))
        assert (on_x or 0) == pytest.approx(cm(of(*pair, 23)))
        assert (count, longest) == (len(all_of), max((row["length_cm"] for row in all_of), default=None))
    assert all(shared[pair][1:] == shared[pair[::-1]][1:] for pair in shared), "the same whoever is named first"
    assert [(row[0], *row[2:3]) for row in relatives] == [
        (one, other) for one in range(1, 5) for _, other in sorted(((shared[one, o][1], o) for o in range(1, 5) if o != one and of(one, o, 1, 22)), reverse=True)
    ]  # fmt: skip
    for one, _, other, total, count, longest in relatives:
        all_of = of(one, other, 1, 22)
        assert (total, count, longest) == (shared[one, other][1], len(all_of), max(row["length_cm"] for row in all_of))


def test_two_haplotypes_are_shared_where_segments_of_different_haplotypes_overlap(conn: Conn) -> None:
    def between(line: int, start: int, end: int, mine: int | None, its: int | None, kind: int | None = None) -> Row:
        place = {"sample_id": 1, "other_id": 2, "file": 0, "line": line, "chrom": 1, "start_pos": start, "end_pos": end}
        return place | {
            "haplotype": mine,
            "other_haplotype": its,
            "ibd_type": kind,
            "length_cm": (end - start + 1) / 100,
            "markers": None,
            "score": None,
        }

    def doubly(*rows: Row) -> tuple[float, float | None]:
        with conn.transaction(force_rollback=True):
            copy_rows(conn, "ibd_segment", from_both_sides(batch(list(rows))), {"load_id": RUN})
            found = [
                psycopg.RawCursor(conn).execute(statement("pair_sharing"), [[one], [other], [RUN], 0.0, 22]).fetchone() or ()
                for one, other in ((1, 2), (2, 1))
            ]
        assert found[0] == found[1]
        return found[0][1], found[0][2]

    assert doubly(between(1, 1, 1_000, 1, 1), between(2, 501, 1_500, 2, 2)) == (15, 5)
    assert doubly(between(1, 1, 1_000, 1, 2), between(2, 501, 1_500, 2, 1)) == (15, 5)
    assert doubly(between(1, 1, 1_000, 1, 1), between(2, 501, 1_500, 2, 1)) == (15, 0), "one haplotype of the other person"
    assert doubly(between(1, 1, 1_000, 1, 1), between(2, 501, 1_500, 1, 1)) == (15, 0), "two pieces of one segment"
    assert doubly(between(1, 1, 1_000, None, None), between(2, 501, 1_500, None, None)) == (15, None), "nobody knows"
    assert doubly(between(1, 1, 1_000, 1, 1), between(2, 501, 1_500, 2, 2), between(3, 2_001, 2_100, None, None)) == (16, None)
    assert doubly(between(1, 1, 1_000, None, None, 1), between(2, 501, 700, None, None, 2)) == (10, 2)
    assert doubly(between(1, 1, 1_000, 1, 1), between(2, 1, 1_000, 2, 2), between(3, 301, 400, 1, 2), between(4, 301, 400, 2, 1)) == (
        10,
        10,
    )


# ---- which run speaks, and of which callset


AB = {"sample_id": "A", "other_id": "B"}


@pytest.fixture
def db(store_url: str) -> Iterator[Conn]:
    """A connection, as loads use it."""
    with psycopg.connect(store_url, autocommit=True) as connection:
        yield connection


def a_run(db: Conn, dataset: str, cohort: str = "kg", **said: Any) -> int:
    """A load of a run of one segment of A and B, or with `hbd` of homozygosity; the rest is of its row."""
    rows, alone = ([], [{"sample_id": "A"}]) if said.pop("hbd", False) else ([AB], [])
    run = {"source": "hap-ibd", "cohort": cohort, "phased": True} | said
    return mentioned(db, dataset, mention(*rows, hbd=alone, run=run), cohort, create_samples=True)


def test_the_latest_run_speaks_of_pairs_unless_it_has_segments_of_homozygosity_alone(db: Conn) -> None:
    def of_pairs(cohort: str, loads: list[int]) -> int | None:
        return (db.execute("SELECT run_of_pairs(%s, %s::int[])", (cohort, loads)).fetchone() or ())[0]

    alone = a_run(db, "alone", hbd=True)
    assert of_pairs("kg", [alone]) is None
    first, second, third = a_run(db, "first"), a_run(db, "second"), a_run(db, "third", hbd=True)
    nothing = mentioned(db, "nothing", mention(run={"source": "hap-ibd", "cohort": "kg", "phased": True}))
    other = a_run(db, "other", "others")
    every = [alone, first, second, third, other]
    assert of_pairs("kg", every) == second
    assert of_pairs("kg", [alone, first, third]) == first
    assert of_pairs("kg", [*every, nothing]) == nothing, "that nobody shares anything is said, too"
    assert (of_pairs("others", every), of_pairs("nobody", every), of_pairs("kg", [])) == (other, None, None)


def test_the_callset_of_a_run_is_that_of_its_name_version_and_cohort_where_it_is_visible(db: Conn) -> None:
    def callset(run: int) -> int | None:
        return (db.execute("SELECT callset_of_run(%s, %s::int[])", (run, current(db).loads)).fetchone() or ())[0]

    first = loaded(db, "vcf", version="1", called=["A", "B"])
    run = a_run(db, "run", callset="vcf", callset_version="1")
    assert callset(run) == first
    assert callset(a_run(db, "nobody_said")) is None
    assert callset(a_run(db, "absent", callset="other", callset_version="1")) is None
    assert callset(a_run(db, "elsewhere", "others", callset="vcf", callset_version="1")) is None, "of people of another cohort"
    assert callset(a_run(db, "later", callset="vcf", callset_version="2")) is None
    second = loaded(db, "vcf", version="2", called=["A", "B"])
    assert second in current(db).loads
    assert first not in current(db).loads
    assert callset(run) is None, "another version may be phased otherwise"


def test_both_haplotypes_share_no_more_than_is_shared(conn: Conn) -> None:
    """Of two segments over the same bases the first counts in the total; the other one, of type 2, may have more cM a base."""
    both = {
        "sample_id": 1,
        "other_id": 2,
        "file": 0,
        "chrom": 1,
        "start_pos": 1,
        "haplotype": None,
        "other_haplotype": None,
        "markers": None,
        "score": None,
    }
    rows = [
        both | {"line": 2, "end_pos": 200, "ibd_type": 1, "length_cm": 1.0},
        both | {"line": 4, "end_pos": 100, "ibd_type": 2, "length_cm": 10.0},
    ]
    with conn.transaction(force_rollback=True):
        found = stored(conn, rows).execute(statement("pair_sharing"), [[1], [2], [RUN], 0.0, 22]).fetchall()
    ((_, total, ibd2, *_),) = found
    assert total == ibd2 == 1.0


def test_who_share_on_x_alone_share_nothing_of_the_autosomes(conn: Conn) -> None:
    """That is known, so that it is 0 and not null."""
    rows = [
        {"sample_id": 1, "other_id": 2, "file": 0, "line": 2, "chrom": 23, "start_pos": 1, "end_pos": 9, "haplotype": 1, "other_haplotype": 2,
         "ibd_type": None, "length_cm": 3.0, "markers": None, "score": None},
    ]  # fmt: skip
    with conn.transaction(force_rollback=True):
        ((_, total, ibd2, on_x, *_),) = stored(conn, rows).execute(statement("pair_sharing"), [[1], [2], [RUN], 0.0, 22]).fetchall()
    assert (total or 0, ibd2, on_x) == (0, 0, 3.0)
