"""What is visible: a release shows its loads and nothing else, in every way in (design section 4)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from loaders.run import ingest
from loaders.vcf_job import vcf_job
from store import release
from store.copy import Chunk
from tests.graph.api import Api
from tests.graph.loading import load_genes, load_vcf, write_vcf

DATA = Path(__file__).resolve().parent.parent / "data" / "graph"

Serve = Callable[..., Api]

# 20:1890113 and 20:1895963 are in the annotated store already; the others are nowhere.
ROWS = (
    "20 1895963 rs9000003 A G 1 odd AF=0.9;DP=1234",
    "20 1896200 rs77000001 G A 2 odd AF=0.8;DP=1234",
    "20 1899999 rs77000002 G A 3 odd DP=1234",
)
NEW = ("20-1896200-G-A", "20-1899999-G-A")

# Every way in which a variant, or what a load says of one, can come to light.
WAYS_IN = """query ($keys: [ID!]!) {
  all: variants { totalCount nodes { name rsids records { qual load { dataset } } populationFrequencies { frequency load { id } } } }
  region: variants(region: "20:1896200-1899999") { totalCount nodes { name } }
  ids: variants(ids: ["20-1896200-G-A", "rs77000002", "20:1899999"]) { totalCount nodes { name } }
  gene: gene(id: "SIRPA") { variants(first: 100) { totalCount nodes { name } } }
  variant(id: "20-1896200-G-A") { name }
  nodes(ids: $keys) { id }
  resolve(inputs: ["20-1896200-G-A", "rs77000001", "rs77000002", "20:1899999"]) { outcome variant { name } candidates { name } }
  searched: search(text: "rs7700000") { __typename }
  searchedPosition: search(text: "20:1896200") { __typename }
  searchedRegion: search(text: "20:1896150-1900000", first: 50) { __typename }
  byRsid: variants(filter: {rsid: ["rs77000001"]}) { totalCount nodes { name } }
  byDataset: variants(region: "20:1890000-1900000", filter: {dataset: ["other"]}) { totalCount }
  byFrequency: variants(region: "20:1890000-1900000", filter: {frequency: [{min: 0.8}]}) { totalCount }
  byInfo: variants(region: "20:1890000-1900000", filter: {info: [{key: "DP", equals: ["1234"]}]}) { totalCount }
  byFilter: variants(region: "20:1890000-1900000", filter: {filter: ["odd"]}) { totalCount }
  byQual: variants(region: "20:1890000-1900000", filter: {qual: {max: 3}}) { totalCount nodes { name } }
  store { loads { dataset version } counts { records } populations }
}"""
HIDDEN = {"keys": ["Load:6", "Load:7"]}


@pytest.fixture
def store(own_annotated: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(own_annotated, autocommit=True) as conn:
        yield conn


@pytest.fixture
def api(own_annotated: str, serve: Serve) -> Api:
    return serve(own_annotated)


def current(api: Api, conn: psycopg.Connection[Any]) -> int:
    """Waits until the application answers from the newest release. Returns its number."""
    number = release.current(conn).release_id
    end = time.monotonic() + 5
    while api.post("{ store { assembly } }").headers["vkg-release"] != str(number):
        assert time.monotonic() < end
        time.sleep(0.02)
    return number


# ---- what is not published is not there


def test_a_held_load_shows_nowhere_until_it_is_published(
    api: Api, store: psycopg.Connection[Any], own_annotated: str, tmp_path: Path
) -> None:
    before = api.data(WAYS_IN, HIDDEN)
    assert [node for node in before["nodes"] if node] == []
    load_id = load_vcf(own_annotated, write_vcf(tmp_path / "x.vcf", *ROWS), dataset="other", version="1", hold=True)
    assert f"Load:{load_id}" in HIDDEN["keys"]
    assert api.data(WAYS_IN, HIDDEN) == before
    release.publish(store, load_id)
    current(api, store)
    after = api.data(WAYS_IN, HIDDEN)
    assert {name for name, found in after.items() if found != before[name]} == set(before), (
        "what was hidden shows in every one of these ways"
    )
    assert after["all"]["totalCount"] == before["all"]["totalCount"] + 2
    assert [one["outcome"] for one in after["resolve"]] == ["MATCH"] * 4
    assert [v["name"] for v in after["ids"]["nodes"]] == list(NEW)
    assert [after[way]["totalCount"] for way in ("byRsid", "byDataset", "byFrequency", "byInfo", "byFilter")] == [1, 3, 2, 3, 3]
    release.unload(store, load_id)
    current(api, store)
    assert api.data(WAYS_IN, HIDDEN) == before


def test_an_unfinished_load_shows_nowhere(api: Api, store: psycopg.Connection[Any], own_annotated: str, tmp_path: Path) -> None:
    before = api.data(WAYS_IN, HIDDEN)
    written = threading.Event()
    go_on = threading.Event()

    def load() -> None:
        with psycopg.connect(own_annotated, autocommit=True) as conn:
            job, read = vcf_job(conn, [write_vcf(tmp_path / "x.vcf", *ROWS)], dataset="other", version="1")

            def slowly(ordinal: int, after: int) -> Iterator[Any]:
                yield from read(ordinal, after)
                for _ in range(3):  # the writer is one or two chunks behind the reader
                    yield Chunk({}, 0, [], 0, 0)
                written.set()
                go_on.wait(30)

            ingest(conn, job, slowly)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        assert written.wait(30)
        with psycopg.connect(own_annotated, autocommit=True) as conn:
            end = time.monotonic() + 10
            while conn.execute("SELECT count(*) FROM variant WHERE pos IN (1896200, 1899999)").fetchone() != (2,):
                assert time.monotonic() < end, "the rows are committed"
                time.sleep(0.02)
        assert api.data(WAYS_IN, HIDDEN) == before
    finally:
        go_on.set()
        thread.join()
    current(api, store)
    assert api.data(WAYS_IN, HIDDEN)["all"]["totalCount"] == before["all"]["totalCount"] + 2


# ---- two files of the same variants


def test_two_files_with_the_same_variants_answer_each_under_its_own_load(
    api: Api, store: psycopg.Connection[Any], own_annotated: str, tmp_path: Path
) -> None:
    one = load_vcf(own_annotated, write_vcf(tmp_path / "1.vcf", *ROWS), dataset="one", version="1")
    two = load_vcf(
        own_annotated, write_vcf(tmp_path / "2.vcf", *(row.replace("1234", "4321") for row in ROWS[1:])), dataset="two", version="1"
    )
    query = '{ variants(ids: ["20-1896200-G-A"]) { nodes { records { info qual line load { dataset version } } } } }'

    def said() -> list[tuple[str, int, int]]:
        records = [record for v in api.data(query)["variants"]["nodes"] for record in v["records"]]
        return [(record["load"]["dataset"], record["info"]["DP"], record["line"]) for record in records]

    current(api, store)
    assert said() == [("one", 1234, 8), ("two", 4321, 7)]
    release.unload(store, one)
    current(api, store)
    assert said() == [("two", 4321, 7)]
    release.unload(store, two)
    current(api, store)
    assert said() == []


def test_a_new_version_takes_the_place_of_the_old_one(api: Api, store: psycopg.Connection[Any], own_annotated: str, tmp_path: Path) -> None:
    query = '{ variants(region: "20:1896200-1899999") { nodes { name records { load { version } } } } }'
    load_vcf(own_annotated, write_vcf(tmp_path / "1.vcf", *ROWS), dataset="other", version="1")
    load_vcf(own_annotated, write_vcf(tmp_path / "2.vcf", ROWS[2]), dataset="other", version="2")
    current(api, store)
    assert api.data(query)["variants"]["nodes"] == [{"name": NEW[1], "records": [{"load": {"version": "2"}}]}]


# ---- releases that were named


def test_a_named_release_answers_the_same_whatever_is_loaded_or_unloaded_later(
    api: Api, store: psycopg.Connection[Any], own_annotated: str, tmp_path: Path
) -> None:
    release.create_release(store, "paper")
    pinned = {"Vkg-Release": "paper"}
    before = api.post(WAYS_IN, HIDDEN, pinned)
    load_vcf(own_annotated, write_vcf(tmp_path / "x.vcf", *ROWS), dataset="other", version="1")
    load_vcf(own_annotated, DATA / "panel.vcf", dataset="cohort", version="2")  # in place of another file's version
    for dataset in ("clinvar", "gencode", "cadd"):
        release.unload(store, release.find_load(store, dataset).load_id)
    release.purge(store)
    current(api, store)
    assert api.post(WAYS_IN, HIDDEN, pinned).content == before.content
    now = api.data(WAYS_IN, HIDDEN)
    assert now["gene"] is None
    assert now["all"] != before.json()["data"]["all"]


def test_releases_are_listed_and_told_apart(api: Api, store: psycopg.Connection[Any]) -> None:
    number = release.create_release(store, "paper")
    current(api, store)
    named = api.data("{ store { releases(named: true) { totalCount nodes { id name reason } } } }")["store"]["releases"]
    assert named == {"totalCount": 1, "nodes": [{"id": f"Release:{number}", "name": "paper", "reason": "name paper"}]}
    others = api.data("{ store { releases(named: false) { nodes { reason } } } }")["store"]["releases"]["nodes"]
    assert [one["reason"] for one in others] == [
        "publish cadd 1.7", "publish panel 1", "publish clinvar 1", "publish cohort 1", "publish gencode 19", "the empty store",
    ]  # fmt: skip


# ---- cursors hold on to their release

PAGES = {
    "a region": "query ($after: String) { page: variants(region: \"20:1890000-1970000\", first: 4, after: $after) { %s } }",
    "names": "query ($after: String) { page: variants(ids: [\"rs9000003\", \"20:1896010\", \"20-1896200-G-A\", \"20-1896120-T-C\", \"rs9000013\"], first: 2, after: $after) { %s } }",
    "a gene": "query ($after: String) { page: variants(gene: \"SIRPA\", first: 4, after: $after) { %s } }",
    "below a gene": "query ($after: String) { gene(id: \"SIRPA\") { page: variants(first: 4, after: $after) { %s } } }",
}  # fmt: skip
ROW = "totalCount nodes { name rsids records { load { dataset } } consequences { impact } } pageInfo { hasNextPage endCursor }"


def walk(api: Api, query: str, between: Callable[[], object], headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """All rows of a list; `between` is called after the first page. Every page has the count of the first."""
    rows: list[dict[str, Any]] = []
    cursor, counts = None, set()
    while True:
        data = api.data(query, {"after": cursor}, headers)
        page = data["page"] if "page" in data else data["gene"]["page"]
        if cursor is None:
            between()
        rows += page["nodes"]
        counts.add(page["totalCount"])
        if not page["pageInfo"]["hasNextPage"]:
            assert counts == {len(rows)}
            return rows
        cursor = page["pageInfo"]["endCursor"]


@pytest.mark.parametrize("list", PAGES)
def test_pages_go_on_in_the_release_they_began_in(
    api: Api, store: psycopg.Connection[Any], own_annotated: str, tmp_path: Path, list: str
) -> None:
    query = PAGES[list] % ROW
    before = walk(api, query, lambda: None)

    def change_everything() -> None:
        load_vcf(own_annotated, write_vcf(tmp_path / "x.vcf", *ROWS), dataset="other", version="1")
        load_vcf(own_annotated, write_vcf(tmp_path / "y.vcf", ROWS[2]), dataset="cohort", version="2")
        moved = tmp_path / "genes.gtf"
        moved.write_text("".join(_moved(line) for line in (DATA / "genes.gtf").read_text().splitlines(keepends=True)))
        load_genes(own_annotated, moved, dataset="gencode", version="20", assembly="GRCh37")
        current(api, store)

    # Below a gene, the gene itself is read in the release of the request: what hangs from the cursor is the page.
    assert walk(api, query, change_everything) == before
    assert walk(api, query, lambda: None) != before


def _moved(line: str) -> str:
    """A line of the GTF with SIRPA's start a little further on."""
    return line.replace("\t1874813\t1920540\t", "\t1896005\t1920540\t") if "\tgene\t" in line else line


def test_an_answer_names_the_release_that_its_cursor_made_it_read(
    api: Api, store: psycopg.Connection[Any], own_annotated: str, tmp_path: Path
) -> None:
    began = current(api, store)
    release.create_release(store, "pinned")
    began_named = current(api, store)
    cursor = api.data("{ variants(first: 1) { pageInfo { endCursor } } }")["variants"]["pageInfo"]["endCursor"]
    load_vcf(own_annotated, write_vcf(tmp_path / "x.vcf", *ROWS), dataset="other", version="1")
    now = current(api, store)
    assert began < began_named < now
    page = f'{{ variants(first: 1, after: "{cursor}") {{ nodes {{ name }} }} }}'
    answer = api.post(page)
    assert answer.headers["vkg-release"] == str(began_named)
    assert answer.json()["extensions"] == {"release": {"id": f"Release:{began_named}", "name": "pinned"}}
    both = api.post(page.replace("{ variants", "{ variants(first: 1) { nodes { name } } old: variants", 1))
    assert {one["id"] for one in both.json()["extensions"]["releases"]} == {f"Release:{began_named}", f"Release:{now}"}

    release.create_release(store, "later")
    current(api, store)
    assert api.error(page, headers={"Vkg-Release": "later"})["code"] == "BAD_CURSOR"
    assert api.data(page, headers={"Vkg-Release": "pinned"})


def test_an_unload_hides_at_once_also_from_cursors(api: Api, store: psycopg.Connection[Any]) -> None:
    query = (PAGES["a region"] % ROW).replace("first: 4", "first: 9")
    panel = release.find_load(store, "panel").load_id

    def unload() -> None:
        release.unload(store, panel)
        current(api, store)

    data = api.data(query)
    cursor = data["page"]["pageInfo"]["endCursor"]
    assert "panel" in str(api.data(query, {"after": cursor}))
    unload()
    for after in (None, cursor):
        assert "panel" not in str(api.data(query, {"after": after}))


def test_an_unload_does_not_hide_from_a_named_release(api: Api, store: psycopg.Connection[Any]) -> None:
    release.create_release(store, "paper")
    query, pinned = PAGES["a region"] % ROW, {"Vkg-Release": "paper"}
    before = walk(api, query, lambda: None, pinned)
    assert walk(api, query, lambda: release.unload(store, release.find_load(store, "panel").load_id), pinned) == before
    current(api, store)
    # The cursor carries the release, so that a client which forgets the header still reads one version of the data.
    cursor = api.data(query, None, pinned)["page"]["pageInfo"]["endCursor"]
    assert api.data(query, {"after": cursor}) == api.data(query, {"after": cursor}, pinned)
