"""Samples: numbered when they are named, removed when nothing names them, and read as the visible loads describe them."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from loaders.header import VcfHeader
from store import migrate as migrations
from store import release
from store.copy import Chunk
from store.errors import StoreError
from store.load import Load, SourceFile, begin
from store.read import Filter, Read, compose, where
from store.sample import (
    CALLSET,
    CALLSET_OF,
    POPULATION,
    SAMPLE,
    Known,
    cohort_described,
    cohort_of,
    cohorts,
    in_callsets,
    known,
    number_samples,
)

Conn = psycopg.Connection[Any]

INFO = ("sample_id", "family", "sex", "population", "father_id", "mother_id", "phenotype")


@pytest.fixture
def db(store_url: str) -> Iterator[Conn]:
    """A connection, as loads use it."""
    with psycopg.connect(store_url, autocommit=True) as connection:
        yield connection


def chunk(called: Sequence[str] = (), infos: Sequence[dict[str, str]] = (), populations: dict[str, str | None] | None = None) -> Chunk:
    """What a load says of people: the samples of a callset, descriptions by the columns of sample_info, populations by name."""
    tables = {}
    if called:
        tables["callset_sample"] = pa.record_batch({"ordinal": pa.array(range(len(called)), pa.int32()), "sample_id": list(called)})
    if infos:
        tables["sample_info"] = pa.record_batch({name: pa.array([i.get(name) for i in infos], pa.string()) for name in INFO})
    if populations:
        columns = {"name": pa.array(populations, pa.string()), "super_population": pa.array(populations.values(), pa.string())}
        tables["population"] = pa.record_batch(columns)
    return Chunk(tables, 1, end=1)


def start(db: Conn, dataset: str, cohort: str = "kg", **options: Any) -> Load:
    """A load of people, opened."""
    kind = options.pop("kind", "samples")
    load = begin(
        db, dataset=dataset, kind=kind, version=None, files=[SourceFile(dataset, dataset, 1)], options={"cohort": cohort}, **options
    )
    assert isinstance(load, Load)
    return load


def loaded(db: Conn, dataset: str, cohort: str = "kg", hold: bool = False, **said: Any) -> int:
    """The number of a load of one chunk."""
    load = start(db, dataset, cohort, hold=hold, kind="variants" if "called" in said else "samples")
    load.write(0, chunk(**said), lambda rejects: None)
    load.file_done(0)
    load.finish()
    return load.load_id


def samples(db: Conn) -> list[tuple[str, str]]:
    """(cohort, name) of every sample of the store."""
    return db.execute("SELECT cohort, name FROM sample ORDER BY 1, 2").fetchall()


# ---- names and numbers


def test_names_become_numbers_that_a_cohort_keeps(db: Conn) -> None:
    rows = pa.record_batch({"sample_id": ["B", "A"], "father_id": pa.array([None, "B"]), "family": ["x", "y"]})
    one = number_samples(db, "kg", rows).to_pylist()
    number = {name: n for n, name in db.execute("SELECT sample_id, name FROM sample")}
    assert one == [
        {"sample_id": number["B"], "father_id": None, "family": "x"},
        {"sample_id": number["A"], "father_id": number["B"], "family": "y"},
    ]
    assert number_samples(db, "kg", rows).to_pylist() == one
    (other,) = number_samples(db, "other", rows.slice(0, 1)).to_pylist()
    assert other["sample_id"] not in number.values()
    assert samples(db) == [("kg", "A"), ("kg", "B"), ("other", "B")]


def test_no_names_are_no_numbers(db: Conn) -> None:
    rows = pa.record_batch({"sample_id": pa.array([], pa.string())})
    assert number_samples(db, "kg", rows).num_rows == len(samples(db)) == 0


def test_samples_that_are_there_use_up_no_numbers(db: Conn) -> None:
    rows = pa.record_batch({"sample_id": [str(n) for n in range(1000)]})
    for _ in range(3):
        number_samples(db, "kg", rows)
    number_samples(db, "kg", pa.record_batch({"sample_id": ["new"]}))
    assert db.execute("SELECT max(sample_id) FROM sample").fetchone() == (1001,)


def test_two_loads_at_once_number_the_same_samples(db: Conn, store_url: str) -> None:
    rows = pa.record_batch({"sample_id": [str(n) for n in range(2000)]})

    def numbered(shuffled: pa.RecordBatch) -> dict[int, str]:
        with psycopg.connect(store_url) as connection:
            found = number_samples(connection, "kg", shuffled)
        return dict(zip(found.column(0).to_pylist(), shuffled.column(0).to_pylist(), strict=True))

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(numbered, [rows, rows.take(pa.array(range(1999, -1, -1)))])
    assert one == two
    assert len(one) == len(samples(db)) == 2000


# ---- taking out


def test_a_sample_goes_with_the_last_load_that_names_it(db: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "LONGEST_REQUEST", "0 seconds")
    panel = loaded(db, "panel", infos=[{"sample_id": "A"}, {"sample_id": "D"}])
    ped = loaded(db, "ped", infos=[{"sample_id": "B", "father_id": "E", "mother_id": "A"}])
    callset = loaded(db, "vcf", called=["A", "B"])
    everybody = [("kg", name) for name in "ABDE"]
    assert samples(db) == everybody
    release.unload(db, panel)
    assert samples(db) == everybody, "a request may still read them"
    release.purge(db)
    assert samples(db) == [("kg", name) for name in "ABE"]
    release.unload(db, callset)
    release.purge(db)
    assert samples(db) == [("kg", name) for name in "ABE"], "a pedigree names mothers and fathers too"
    release.unload(db, ped)
    release.purge(db)
    assert samples(db) == []


def test_a_load_that_is_aborted_leaves_no_samples(db: Conn) -> None:
    loaded(db, "vcf", called=["A"])
    load = start(db, "ped")
    load.write(0, chunk(infos=[{"sample_id": "A"}, {"sample_id": "B", "mother_id": "C"}]), lambda rejects: None)
    assert samples(db) == [("kg", name) for name in "ABC"]
    load.abort()
    assert samples(db) == [("kg", "A")]


# ---- cohorts


def test_cohorts_are_those_of_complete_loads(db: Conn) -> None:
    loaded(db, "panel", "b", infos=[{"sample_id": "A"}])
    gone = loaded(db, "gone", "c", infos=[{"sample_id": "A"}])
    loaded(db, "held", "a", hold=True, infos=[{"sample_id": "A"}])
    start(db, "unfinished", "d").write(0, chunk(infos=[{"sample_id": "A"}]), lambda rejects: None)
    release.unload(db, gone)
    assert cohorts(db) == ["a", "b"]


def test_a_callset_goes_to_the_people_of_a_visible_file_only(db: Conn) -> None:
    panel = [{"sample_id": "A"}, {"sample_id": "B"}]
    held = loaded(db, "held", "held", hold=True, infos=panel)
    unfinished = start(db, "unfinished", "unfinished")
    unfinished.write(0, chunk(infos=panel), lambda rejects: None)
    gone = loaded(db, "gone", "gone", infos=panel)
    release.unload(db, gone)
    assert cohort_of(db, "vcf", ["A", "B"]) == "vcf"
    release.publish(db, held)
    assert cohort_of(db, "vcf", ["A", "B"]) == "held"
    assert cohort_of(db, "vcf", ["A", "C"]) == "vcf"
    unfinished.file_done(0)
    unfinished.finish()
    assert cohort_of(db, "vcf", ["A", "B"]) == "vcf", "two describe them"
    assert cohort_of(db, "gone", ["A", "B"]) == "gone"


def test_a_panel_goes_to_the_only_cohort_where_that_has_one_of_its_people(db: Conn) -> None:
    assert cohort_described(db, "panel", ["A"], "own") == "own"
    loaded(db, "vcf", "people", called=["A", "B"])
    assert cohort_described(db, "panel", ["B", "C"], "own") == "people"
    assert cohort_described(db, "panel", ["C"], "own") == "own"
    loaded(db, "panel", "mine", infos=[{"sample_id": "Z"}])
    assert cohort_described(db, "panel", ["A", "B"], "own") == "mine"
    assert cohort_described(db, "another", ["A", "B"], "own") == "own", "there are two cohorts"


def test_a_cohort_that_was_chosen_is_looked_at_again_when_the_load_begins(db: Conn) -> None:
    loaded(db, "panel", "people", infos=[{"sample_id": "A"}])
    file = SourceFile("one", "one", 1)

    def begun(dataset: str) -> Load:
        found = begin(
            db, dataset=dataset, kind="variants", version=None, files=[file], options={"cohort": "people"},
            cohort_now=lambda conn: cohort_of(conn, dataset, ["A"]),
        )  # fmt: skip
        assert isinstance(found, Load)
        return found

    first = begun("one")
    with pytest.raises(StoreError, match=r"the samples of two would belong to cohort two now, not people\n  .*--cohort NAME"):
        begun("two")
    assert begun("one").load_id == first.load_id, "one that was cut off goes on"
    assert db.execute("SELECT count(*) FROM dataset WHERE name = 'two'").fetchone() == (0,)


def test_headers_of_a_store_without_cohorts_lose_the_names_of_samples(empty_url: str, tmp_path: Path) -> None:
    folder = Path(migrations.__file__).with_name("migrations")
    for file in folder.glob("000[1-4].*.sql"):
        shutil.copy(file, tmp_path)
    migrations.migrate(empty_url, str(tmp_path))
    columns = "#CHROM POS ID REF ALT QUAL FILTER INFO".replace(" ", "\t")
    kept = [
        "##fileformat=VCFv4.2",
        "##reference=GRCh37",
        '##INFO=<ID=AF,Number=A,Type=Float,Description="of 5% = x">',
        "##contig=<ID=20>",
        "##source=caller",
    ]
    lost = [
        "##GATKCommandLine=<ID=x,CommandLine=I=/bams/CHILD.bam>", "##SAMPLE=<ID=CHILD>", "##bcftools_viewCommand=view in.vcf", "##source=CHILD.bam",
        "##INFOx=1",
    ]  # fmt: skip
    of_vcf = [*kept[:2], *lost, *kept[2:], f"{columns}\tFORMAT\tCHILD\tMUM"]
    headers = ["\n".join(of_vcf) + "\n", f"##source=CHILD\n{columns}\n", "#!genome-build GRCh37\n##x\n", None]
    with psycopg.connect(empty_url, autocommit=True) as conn:
        for ordinal, header in enumerate(headers):
            conn.execute(
                "INSERT INTO load_file (load_id, ordinal, path, sha256, bytes, header) VALUES (1, %s, 'p', 's', 1, %s)", (ordinal, header)
            )
        migrations.migrate(empty_url)
        found = [header for (header,) in conn.execute("SELECT header FROM load_file ORDER BY ordinal")]
    assert found == ["\n".join([*kept, f"{columns}\tFORMAT"]) + "\n", *headers[1:]]
    assert found[:2] == [VcfHeader.parse(str(header).splitlines()).public_text for header in headers[:2]]


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
