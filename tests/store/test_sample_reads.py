"""Samples, callsets and populations are read as the visible loads describe them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest

from store import release
from store.read import Filter, Read, compose, where
from store.sample import (
    CALLSET,
    CALLSET_OF,
    POPULATION,
    SAMPLE,
    Known,
    in_callsets,
    known,
)
from tests.store.people import loaded

Conn = psycopg.Connection[Any]


@pytest.fixture
def db(store_url: str) -> Iterator[Conn]:
    """A connection, as loads use it."""
    with psycopg.connect(store_url, autocommit=True) as connection:
        yield connection


# ---- reading: a store that says several things of the same people

PANEL = [
    {"sample_id": "A", "sex": "FEMALE", "population": "GBR"},
    {"sample_id": "B", "sex": "MALE", "population": "GBR"},
    {"sample_id": "C", "sex": "MALE", "population": "FIN"},
    {"sample_id": "D", "sex": "MALE", "population": "YRI"},
]
PED = [
    {"sample_id": "A", "family": "F1", "phenotype": "2"},
    {"sample_id": "B", "family": "F1", "father_id": "E", "mother_id": "A"},
    {"sample_id": "C", "population": "TSI", "mother_id": "A"},
    {"sample_id": "D", "sex": "FEMALE", "father_id": "C"},
]
HIDDEN = [
    {"sample_id": "A", "family": "SECRET", "sex": "MALE", "father_id": "D", "phenotype": "1"},
    {"sample_id": "D", "population": "GBR", "mother_id": "A"},
    {"sample_id": "X", "population": "GBR", "father_id": "D", "family": "F1"},
]


class Store:
    """A store with loads of people; `ask` runs a composed statement, `reader` says who does."""

    def __init__(self, connection: Conn) -> None:
        db = connection
        self.loads = {
            "vcf": loaded(db, "vcf", called=["C", "A", "B"]),
            "panel": loaded(db, "panel", infos=PANEL, populations={"GBR": "EUR", "FIN": "EUR", "YRI": "AFR", "EUR": None, "AFR": None}),
            "ped": loaded(db, "ped", infos=PED, populations={"TSI": "EUR", "EUR": None, "YRI": None}),
            "other": loaded(db, "other", "another", called=["Z", "A"]),
        }
        self.hidden = loaded(db, "hidden", infos=HIDDEN, populations={"GBR": "ASIA", "FIN": None}, hold=True)
        self.hidden_calls = loaded(db, "hidden_calls", called=["D", "Y"], hold=True)
        self.number = {(c, n): i for i, c, n in db.execute("SELECT sample_id, cohort, name FROM sample")}
        self.names = {number: name if cohort == "kg" else f"{cohort}/{name}" for (cohort, name), number in self.number.items()}
        self.cursor = psycopg.RawCursor(connection)
        self.visible = list(self.loads.values())

    def ask(self, read: Read, by: str, columns: Sequence[str] = (), f: Filter = where(), mode: Any = None, **values: Any) -> list[tuple]:  # noqa: B008
        """The rows of a statement."""
        per_parent = read.by[by].anchor is not None
        (order,) = read.orders
        statement, of_filter = compose(
            read, by, columns=columns, order=order, filter=f, mode=mode or ("page" if per_parent else "all"), per_parent=per_parent,
            after="c0" in values,
        )  # fmt: skip
        return self.cursor.execute(statement.text, statement.bind({"loads": self.visible, "limit": 100} | values | of_filter)).fetchall()

    def people(self, by: str, f: Filter = where(), **values: Any) -> str:  # noqa: B008
        """The samples of a statement, by name."""
        return " ".join(self.names[row[-1]] for row in self.ask(SAMPLE, by, ["sample_id"], f, **values))


@pytest.fixture(params=["owner", "individual"])
def store(request: pytest.FixtureRequest, db: Conn) -> Store:
    """The store, as its owner reads it, whom only the statements restrict, and as the API does, whose role sees the visible loads only."""
    made = Store(db)
    if request.param == "individual":
        db.execute("SELECT set_config('vkg.loads', %s::int[]::text, false)", (made.visible,))
        db.execute("SET ROLE vkg_individual")
    return made


def test_the_latest_visible_load_that_says_something_speaks_field_by_field(store: Store) -> None:
    columns = [c for c in SAMPLE.columns if c not in ("sample_id", "id")]
    assert columns == ["cohort", "name", "family", "sex", "phenotype", "population_name", "father_id", "mother_id"]
    number = {name: number for (cohort, name), number in store.number.items() if cohort == "kg"}
    rows = [row[3:] for row in store.ask(SAMPLE, "all", columns)]
    assert rows == [
        ("another", "A", None, None, None, None, None, None),
        ("another", "Z", None, None, None, None, None, None),
        ("kg", "A", "F1", "FEMALE", "2", "GBR", None, None),
        ("kg", "B", "F1", "MALE", None, "GBR", number["E"], number["A"]),
        ("kg", "C", None, "MALE", None, "TSI", None, number["A"]),
        ("kg", "D", None, "FEMALE", None, "YRI", number["C"], None),
    ]
    assert store.ask(SAMPLE, "pk", ["id"], keys=[number["A"]]) == [(number["A"], "kg", "A", f"Sample:{number['A']}")]


def test_who_is_named_only_by_hidden_loads_or_as_a_parent_is_not_there(store: Store) -> None:
    hidden = [store.number["kg", name] for name in "EXY"]
    assert store.ask(SAMPLE, "pk", keys=hidden) == []
    assert store.ask(CALLSET_OF, "sample", keys=[store.number["kg", name] for name in "DY"]) == []


CONDITIONS: list[tuple[str, Any, str]] = [
    ("id", [], ""),
    ("cohort", ["kg"], "A B C D"),
    ("cohort", ["another", "none"], "another/A another/Z"),
    ("sex", ["FEMALE"], "A D"),
    ("sex", ["FEMALE", "MALE"], "A B C D"),
    ("family", ["F1"], "A B"),
    ("family", ["SECRET"], ""),
    ("population", ["GBR"], "A B"),
    ("population", ["FIN"], ""),
    ("population", ["EUR"], "A B C"),
    ("population", ["AFR", "TSI"], "C D"),
    ("population", ["ASIA"], ""),
    ("callset", ["vcf"], "A B C"),
    ("callset", ["vcf", "other"], "another/A another/Z A B C"),
    ("callset", ["hidden_calls"], ""),
]


def test_each_condition(store: Store) -> None:
    assert {name for name, _, _ in CONDITIONS} == set(SAMPLE.where)
    for name, value, expected in CONDITIONS:
        assert store.people("all", where(**{name: value})) == expected, (name, value)
        assert store.ask(SAMPLE, "all", f=where(**{name: value}), mode="count") == [(0, len(expected.split()))]
    assert store.people("all", where(id=[store.number["kg", name] for name in "AX"])) == "A"
    assert store.people("all", ("or", (where(family=["F1"]), where(sex=["FEMALE"])))) == "A B D"


def test_each_way(store: Store) -> None:
    number = {name: n for n, name in store.names.items()}
    assert store.people("all", c0="kg", c1="B") == "C D"
    assert store.people("population", keys=["EUR"]) == "A B C"
    assert store.people("population", keys=["YRI"]) == "D"
    assert [row[:3] for row in store.ask(SAMPLE, "population", keys=["EUR", "AFR", "ASIA", "none"])] == [
        ("AFR", "kg", "D"), ("EUR", "kg", "A"), ("EUR", "kg", "B"), ("EUR", "kg", "C"),
    ]  # fmt: skip
    assert store.people("callset", keys=[store.loads["vcf"]]) == "A B C"
    assert store.people("callset", keys=[store.loads["other"], store.hidden_calls]) == "another/A another/Z"
    assert store.people("parent", keys=[number["A"]]) == "B C"
    assert store.people("parent", keys=[number["D"]]) == ""
    assert [row[0] for row in store.ask(SAMPLE, "parent", keys=[number["A"], number["C"]])] == [number["A"], number["A"], number["C"]]
    assert store.people("child", keys=[number["B"]]) == "A", "the father has no row of his own"
    assert store.people("child", keys=[number["A"]]) == ""
    assert store.ask(SAMPLE, "parent", mode="count", keys=[number["A"]]) == [(number["A"], 2)]


def test_callsets_are_what_the_ledger_counted(store: Store) -> None:
    vcf, other = store.loads["vcf"], store.loads["other"]
    rows = store.ask(CALLSET, "all", [c for c in CALLSET.columns if c != "version"])
    assert [row[2:] for row in rows] == [
        (vcf, f"Callset:{vcf}", "vcf", "kg", 3, 0, False),
        (other, f"Callset:{other}", "other", "another", 2, 0, False),
    ]
    assert [row[1] for row in store.ask(CALLSET, "pk", keys=[vcf, store.hidden_calls, store.loads["panel"]])] == [vcf]
    assert [row[1] for row in store.ask(CALLSET, "all", f=where(name=["other", "panel"]))] == [other]
    found = store.ask(
        CALLSET_OF, "sample", ["load_id"], keys=[store.number["kg", "A"], store.number["another", "A"], store.number["kg", "D"]]
    )
    assert sorted(row[::2] for row in found) == sorted([(store.number["kg", "A"], vcf), (store.number["another", "A"], other)])


def test_populations_keep_what_a_later_load_does_not_say(store: Store) -> None:
    panel, ped = store.loads["panel"], store.loads["ped"]
    rows = store.ask(POPULATION, "all", list(POPULATION.columns))
    assert [row[2:] for row in rows] == [
        ("AFR", "Population:AFR", panel, None, None),
        ("EUR", "Population:EUR", ped, None, None),
        ("FIN", "Population:FIN", panel, "EUR", None),
        ("GBR", "Population:GBR", panel, "EUR", None),
        ("TSI", "Population:TSI", ped, "EUR", None),
        ("YRI", "Population:YRI", ped, "AFR", None),
    ]
    assert [row[:2] for row in store.ask(POPULATION, "super", keys=["AFR", "EUR", "ASIA"])] == [
        ("AFR", "YRI"), ("EUR", "FIN"), ("EUR", "GBR"), ("EUR", "TSI"),
    ]  # fmt: skip
    assert [row[0] for row in store.ask(POPULATION, "pk", keys=["GBR", "ASIA"])] == ["GBR"]
    assert [row[1] for row in store.ask(POPULATION, "all", f=where(name=["GBR", "ASIA"]))] == ["GBR"]


def test_a_population_that_moved_is_in_its_new_place_only(db: Conn) -> None:
    store = Store(db)
    moved = loaded(db, "moved", populations={"GBR": "ISLES", "ISLES": None})
    store.visible.append(moved)
    assert store.people("all", where(population=["EUR"])) == store.people("population", keys=["EUR"]) == "C"
    assert store.people("population", keys=["ISLES"]) == "A B"
    assert [row[1] for row in store.ask(POPULATION, "super", keys=["EUR"])] == ["FIN", "TSI"]


def test_a_population_has_all_that_is_part_of_it_at_any_depth_and_what_is_part_of_itself_ends(db: Conn) -> None:
    parts = {"LONDON": "GBR", "GBR": "ISLES", "ISLES": "EUR", "FIN": "EUR", "EUR": None, "ROUND": "RING", "RING": "ROUND", "SELF": "SELF"}
    first = loaded(db, "first", infos=[{"sample_id": n, "population": n} for n in parts], populations=parts)
    moved = loaded(db, "moved", populations={"GBR": "WORLD", "LONDON": None})

    def within(*names: str, loads: Sequence[int] = (first,)) -> set[str]:
        (found,) = db.execute("SELECT populations_within(%s, %s)", (list(names), list(loads))).fetchone() or ([],)
        assert len(found) == len(set(found))
        return set(found)

    assert within("EUR") == {"EUR", "ISLES", "GBR", "LONDON", "FIN"}
    assert within("ISLES", "FIN") == {"ISLES", "GBR", "LONDON", "FIN"}
    assert within("LONDON") == {"LONDON"}
    assert within("RING") == within("ROUND") == {"RING", "ROUND"}
    assert within("SELF") == {"SELF"}
    assert within("NOWHERE") == {"NOWHERE"}
    assert within("EUR", loads=[]) == {"EUR"}
    assert within("EUR", loads=[first, moved]) == {"EUR", "ISLES", "FIN"}
    assert within("WORLD", loads=[first, moved]) == {"WORLD", "GBR", "LONDON"}
    cursor = psycopg.RawCursor(db)
    statement, values = compose(SAMPLE, "all", order="name", filter=where(population=["EUR"]), mode="all")
    assert {row[2] for row in cursor.execute(statement.text, statement.bind({"loads": [first]} | values))} == within("EUR")


def test_what_is_known_of_a_cohort_is_what_is_visible(db: Conn) -> None:
    assert known(db, "kg") == Known({}, {})
    store = Store(db)
    larger = {"GBR": "EUR", "FIN": "EUR", "YRI": "AFR", "TSI": "EUR"}
    assert known(db, "kg") == Known({"A": "GBR", "B": "GBR", "C": "TSI", "D": "YRI"}, larger)
    assert known(db, "another") == Known({}, {})
    loaded(db, "regrouped", "another", infos=[{"sample_id": "A", "population": "GBR"}], populations={"GBR": "ISLES", "ISLES": None})
    assert known(db, "another") == Known({"A": "GBR"}, {"GBR": "ISLES"})
    assert known(db, "kg").super_population == larger, "as the cohort's own files have it"
    release.publish(db, store.hidden)
    assert known(db, "kg") == Known({"A": "GBR", "B": "GBR", "C": "TSI", "D": "GBR", "X": "GBR"}, larger | {"GBR": "ASIA"})


def test_those_of_a_load_that_are_in_callsets_are_counted(db: Conn) -> None:
    alone = loaded(db, "alone", "nobody", infos=[{"sample_id": "A"}])
    store = Store(db)
    assert in_callsets(db, store.loads["panel"]) == 3
    assert in_callsets(db, store.hidden) == 1
    assert in_callsets(db, alone) is None, "of its cohort no callset is there"
    strangers = loaded(db, "strangers", infos=[{"sample_id": "0_A"}])
    assert in_callsets(db, strangers) == 0


# ---- reading: anything that loads may say, against a plain reading of the rows


def test_any_loads_are_read_as_a_plain_reading_of_their_rows_does(db: Conn) -> None:
    dice = random.Random(5)
    people = [f"S{n}" for n in range(12)]
    families, populations = ["F1", "F2", None, None], ["P", "Q", "R", None]
    said: dict[int, tuple[list[str], list[dict[str, Any]], dict[str, str | None]]] = {}
    for number in range(5):
        infos = [
            {
                "sample_id": name, "family": dice.choice(families), "sex": dice.choice(["MALE", "FEMALE", None]), "phenotype": dice.choice(["1", None]),
                "population": dice.choice(populations), "father_id": dice.choice([*people, None, None]), "mother_id": dice.choice([*people, None]),
            }
            for name in dice.sample(people, 7)
        ]  # fmt: skip
        larger = {name: dice.choice(["BIG", "BIGGER", None]) for name in "PQR"} | {"BIG": None, "BIGGER": None}
        called = dice.sample(people, 4) if number in (1, 3) else []
        load = loaded(db, f"d{number}", infos=infos, populations=larger, **({"called": called} if called else {}))
        said[load] = (called, infos, larger)
    cursor = psycopg.RawCursor(db)
    names = dict(db.execute("SELECT sample_id, name FROM sample").fetchall())

    def ask(by: str, loads: Sequence[int], columns: Sequence[str] = (), f: Filter = where(), **values: Any) -> list[tuple]:  # noqa: B008
        per_parent = SAMPLE.by[by].anchor is not None
        statement, of_filter = compose(SAMPLE, by, columns=columns, order="name", filter=f, mode="page", per_parent=per_parent)
        return cursor.execute(statement.text, statement.bind({"loads": list(loads), "limit": 100} | values | of_filter)).fetchall()

    for count in range(6):
        for loads in itertools.combinations(said, count):
            known_of: dict[str, dict[str, Any]] = {}
            larger = {}
            for called, infos, populations_said in (said[load] for load in loads):
                for name in called:
                    known_of.setdefault(name, {})
                for info in infos:
                    known_of.setdefault(info["sample_id"], {}).update({k: v for k, v in info.items() if v is not None})
                larger.update({k: v for k, v in populations_said.items() if v is not None})
            rows = ask("all", loads, list(SAMPLE.columns))
            assert [row[2] for row in rows] == sorted(known_of)
            for row in rows:
                found = dict(zip(SAMPLE.columns, row[3:], strict=True))
                expected = known_of[found["name"]]
                for column, field in (("family",) * 2, ("sex",) * 2, ("phenotype",) * 2, ("population_name", "population")):
                    assert found[column] == expected.get(field)
                for parent in ("father_id", "mother_id"):
                    assert names.get(found[parent]) == expected.get(parent)
            for family in ("F1", "F2"):
                theirs = sorted(name for name, k in known_of.items() if k.get("family") == family)
                assert [row[2] for row in ask("all", loads, f=where(family=[family]))] == theirs
            for group in ("P", "BIG", "BIGGER"):
                theirs = sorted(n for n, k in known_of.items() if (p := k.get("population")) and group in (p, larger.get(p)))
                assert [row[2] for row in ask("all", loads, f=where(population=[group]))] == theirs
                assert [row[2] for row in ask("population", loads, keys=[group])] == theirs
            children = {(p, n) for n, k in known_of.items() for p in (k.get("father_id"), k.get("mother_id")) if p}
            assert {(names[row[0]], row[2]) for row in ask("parent", loads, keys=list(names))} == children
            parents = {(n, p) for p, n in children if p in known_of}
            assert {(names[row[0]], row[2]) for row in ask("child", loads, keys=list(names))} == parents
