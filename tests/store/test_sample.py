"""Samples: numbered when they are named, removed when nothing names them, and of a cohort."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from loaders.header import VcfHeader
from store import migrate as migrations
from store import release
from store.errors import StoreError
from store.load import Load, SourceFile, begin
from store.sample import (
    cohort_described,
    cohort_of,
    cohorts,
    number_samples,
)
from tests.store.people import chunk, loaded, samples, start

Conn = psycopg.Connection[Any]


@pytest.fixture
def db(store_url: str) -> Iterator[Conn]:
    """A connection, as loads use it."""
    with psycopg.connect(store_url, autocommit=True) as connection:
        yield connection


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
