"""Keyset pages lose and repeat nothing: compared with the demo files, read independently of the project."""

from __future__ import annotations

import base64
import gzip
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from graph.cursor import encode_cursor
from store import release
from tests.graph.api import Api
from tests.graph.loading import load_vcf, write_vcf

_WINDOW = "first: $first, after: $after, last: $last, before: $before"
_PAGE = "nodes { ...Row } edges { cursor node { ...Row } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
_DECLARED = "$first: Int, $after: String, $last: Int, $before: String"
ALL = f"query ({_DECLARED}, $region: String) {{ page: variants(region: $region, {_WINDOW}) {{ {_PAGE} }} }} fragment Row on Variant {{ name }}"
OF_GENE = f"""query ({_DECLARED}, $gene: String!, $flank: Int!) {{ gene(id: $gene) {{ page: variants(flank: $flank, {_WINDOW}) {{ {_PAGE} }} }} }}
    fragment Row on Variant {{ name }}"""


def page_of(data: dict[str, Any]) -> dict[str, Any]:
    """The page in an answer, wherever it stands under the name `page`."""
    return data["page"] if "page" in data else page_of(next(iter(data.values())))


def walk(api: Api, query: str, variables: dict[str, Any], size: int, backward: bool = False) -> list[Any]:
    """All rows of a list, in its order, from one end to the other; every page is checked against what it says of itself."""
    rows: list[Any] = []
    cursor = None
    while True:
        window = {"last": size, "before": cursor} if backward else {"first": size, "after": cursor}
        page = page_of(api.data(query, variables | window))
        info, edges = page["pageInfo"], page["edges"]
        assert [edge["node"] for edge in edges] == page["nodes"]
        assert len(edges) <= size
        assert (info["startCursor"], info["endCursor"]) == ((edges[0]["cursor"], edges[-1]["cursor"]) if edges else (None, None))
        ahead, behind = ("hasPreviousPage", "hasNextPage") if backward else ("hasNextPage", "hasPreviousPage")
        assert info[behind] == (cursor is not None)
        rows = page["nodes"] + rows if backward else rows + page["nodes"]
        if not info[ahead]:
            return rows
        assert len(edges) == size
        cursor = info["startCursor" if backward else "endCursor"]


def in_genome_order(rows: list[dict[str, str]]) -> list[str]:
    """The names of variants, which are in the order of positions; those of one position are brought into the file's order."""
    positions = [int(row["name"].split("-")[1]) for row in rows]
    assert positions == sorted(positions)
    return sorted((row["name"] for row in rows), key=_locus)


def _locus(name: str) -> tuple[int, str, str]:
    _, pos, ref, alt = name.split("-")
    return int(pos), ref, alt


def expected(sites: list[Any], start: int = 1, end: int = 1 << 30) -> list[str]:
    return sorted((site.name for site in sites if start <= site.pos <= end), key=_locus)


# ---- whole lists


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("size", [1000, 997])
def test_pages_of_all_variants_are_the_file(demo: Api, sites: list[Any], size: int, backward: bool) -> None:
    assert len(sites) == 24_990
    assert in_genome_order(walk(demo, ALL, {}, size, backward)) == expected(sites)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_pages_of_one_row_are_the_file(demo: Api, sites: list[Any], backward: bool) -> None:
    found = in_genome_order(walk(demo, ALL, {"region": "20:1897000-1905000"}, 1, backward))
    assert found == expected(sites, 1_897_000, 1_905_000)
    assert len(found) > 50


@settings(max_examples=40, deadline=None)
@given(start=st.integers(1_000_000, 3_990_000), width=st.integers(1, 20_000), size=st.integers(1, 60), backward=st.booleans())
def test_pages_of_any_size_of_any_region_are_the_file(
    demo: Api, sites: list[Any], start: int, width: int, size: int, backward: bool
) -> None:
    found = walk(demo, ALL, {"region": f"20:{start}-{start + width - 1}"}, size, backward)
    assert in_genome_order(found) == expected(sites, start, start + width - 1)


@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, 24_989), size=st.integers(1, 1000))
def test_from_any_row_the_pages_on_either_side_join_it(demo: Api, every_row: list[tuple[str, str]], place: int, size: int) -> None:
    names = [name for name, _ in every_row]
    cursor = every_row[place][1]
    after = page_of(demo.data(ALL, {"first": size, "after": cursor}))
    before = page_of(demo.data(ALL, {"last": size, "before": cursor}))
    assert [row["name"] for row in after["nodes"]] == names[place + 1 : place + 1 + size]
    assert [row["name"] for row in before["nodes"]] == names[max(0, place - size) : place]
    assert after["pageInfo"]["hasNextPage"] == (place + 1 + size < len(names))
    assert before["pageInfo"]["hasPreviousPage"] == (place - size > 0)


@pytest.fixture(scope="module")
def every_row(demo: Api) -> list[tuple[str, str]]:
    """(name, cursor) of all demo variants."""
    rows: list[tuple[str, str]] = []
    while True:
        page = page_of(demo.data(ALL, {"first": 1000, "after": rows[-1][1] if rows else None}))
        rows += [(edge["node"]["name"], edge["cursor"]) for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            return rows


def test_pages_lose_no_row_while_loads_are_published_and_unloaded(
    own_demo: str, serve: Callable[..., Api], sites: list[Any], tmp_path: Path
) -> None:
    api = serve(own_demo)
    files = [
        write_vcf(tmp_path / f"{n}.vcf", *(f"20 {pos} . N {alt} . . DP={n}" for pos in NOWHERE for alt in "ACG"[: n + 1])) for n in range(3)
    ]
    stop, published = threading.Event(), []

    def load_and_unload() -> None:
        with psycopg.connect(own_demo, autocommit=True) as conn:
            while not stop.is_set():
                load_id = load_vcf(own_demo, files[len(published) % 3], dataset="other", version=str(len(published)))
                published.append(load_id)
                if len(published) % 2:
                    release.unload(conn, load_id)

    thread = threading.Thread(target=load_and_unload)
    thread.start()
    try:
        forward = in_genome_order(walk(api, ALL, {}, 400))
        backward = in_genome_order(walk(api, ALL, {}, 400, backward=True))
    finally:
        stop.set()
        thread.join()
    assert len(published) > 3
    # What the first page saw is what all pages see: with or without one version of the other dataset, never two of them. Only
    # unloading hides at once: of a version that the first page saw and that was unloaded then, the last page has nothing.
    everything = expected(sites)
    front, back = (
        [[f"20-{pos}-N-{alt}" for pos in side for alt in "ACG"[: n + 1]] for n in range(3)] for side in (NOWHERE[:2], NOWHERE[2:])
    )
    whole = [everything, *(front[n] + everything + back[n] for n in range(3))]
    assert forward in whole + [front[n] + everything for n in range(3)]
    assert backward in whole + [everything + back[n] for n in range(3)]


NOWHERE = (500_000, 600_000, 4_500_000)
"""Positions before and after the demo data, where its reference has no bases."""


# ---- what a page says of itself


def test_a_page_that_ends_with_its_list_says_so(demo: Api, sites: list[Any]) -> None:
    count = len(expected(sites, 1_897_000, 1_900_000))
    for size, more in ((count - 1, True), (count, False), (count + 1, False)):
        for which, ahead in (("first", "hasNextPage"), ("last", "hasPreviousPage")):
            page = page_of(demo.data(ALL, {"region": "20:1897000-1900000", which: size}))
            assert (len(page["nodes"]), page["pageInfo"][ahead]) == (min(size, count), more)


def test_an_empty_page_has_no_cursors(demo: Api) -> None:
    empty = {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None}
    for region in ("20:1-900000", "21", "20:4000001-63025520"):
        page = page_of(demo.data(ALL, {"region": region}))
        assert (page["nodes"], page["edges"], page["pageInfo"]) == ([], [], empty)


def test_total_counts_stop_at_ten_thousand_and_say_so(demo: Api, sites: list[Any]) -> None:
    query = "query ($region: String) { variants(region: $region, first: 1) { totalCount totalCountIsExact } }"
    assert demo.data(query)["variants"] == {"totalCount": 10_000, "totalCountIsExact": False}
    for start, end in ((1_897_000, 1_900_000), (1_000_000, 2_000_000), (10, 20)):
        count = len(expected(sites, start, end))
        assert count < 10_000
        assert demo.data(query, {"region": f"20:{start}-{end}"})["variants"] == {"totalCount": count, "totalCountIsExact": True}


def test_total_counts_do_not_depend_on_the_page(demo: Api) -> None:
    query = (
        'query ($after: String) { variants(region: "20:1897000-1900000", first: 5, after: $after) { totalCount pageInfo { endCursor } } }'
    )
    first = demo.data(query)["variants"]
    second = demo.data(query, {"after": first["pageInfo"]["endCursor"]})["variants"]
    assert first["totalCount"] == second["totalCount"] > 5
    assert first["pageInfo"] != second["pageInfo"]


# ---- pages below a parent


def _genes(demo_gtf: Path) -> dict[str, tuple[int, int, str]]:
    """Span and strand of each gene by its symbol, from the GTF's text."""
    found = {}
    for line in gzip.decompress(demo_gtf.read_bytes()).decode().splitlines():
        columns = line.split("\t")
        if len(columns) > 8 and columns[2] == "gene":
            symbol = columns[8].split('gene_name "')[1].split('"')[0]
            found[symbol] = (int(columns[3]), int(columns[4]), columns[6])
    return found


@pytest.fixture(scope="module")
def genes(demo_vcf: Path) -> dict[str, tuple[int, int, str]]:
    return _genes(demo_vcf.parent / "genes.chr20_0.9-4.1mb.grch37.gtf.gz")


@settings(max_examples=25, deadline=None)
@given(data=st.data(), flank=st.sampled_from([0, 1, 777, 10_000]), size=st.integers(20, 1000), backward=st.booleans())
def test_pages_of_a_gene_are_the_file(
    demo: Api, sites: list[Any], genes: dict[str, tuple[int, int, str]], data: st.DataObject, flank: int, size: int, backward: bool
) -> None:
    symbol = data.draw(st.sampled_from(sorted(genes)))
    start, end, _ = genes[symbol]
    found = walk(demo, OF_GENE, {"gene": symbol, "flank": flank}, size, backward)
    assert in_genome_order(found) == expected(sites, start - flank, end + flank)


@pytest.mark.parametrize(("which", "part"), [("first", slice(0, 2)), ("last", slice(-2, None))])
def test_every_parent_has_a_page_of_its_own(
    demo: Api, sites: list[Any], genes: dict[str, tuple[int, int, str]], which: str, part: slice
) -> None:
    query = f"{{ genes(first: 100) {{ nodes {{ symbol variants({which}: 2) {{ nodes {{ name }} totalCount pageInfo {{ hasNextPage hasPreviousPage }} }} }} }} }}"
    found = {gene["symbol"]: gene["variants"] for gene in demo.data(query)["genes"]["nodes"]}
    assert set(found) == set(genes)
    ahead, behind = ("hasNextPage", "hasPreviousPage") if which == "first" else ("hasPreviousPage", "hasNextPage")
    for symbol, (start, end, _) in genes.items():
        there = expected(sites, start, end)
        assert [int(v["name"].split("-")[1]) for v in found[symbol]["nodes"]] == [_locus(name)[0] for name in there[part]]
        assert found[symbol]["totalCount"] == len(there)
        assert found[symbol]["pageInfo"] == {ahead: len(there) > 2, behind: False}


def test_genes_of_a_variant_come_by_distance_with_the_relation(demo: Api, genes: dict[str, tuple[int, int, str]]) -> None:
    query = f"""query ({_DECLARED}) {{ variant(id: "20-1897442-C-T") {{ page: genes(flank: 400000, {_WINDOW}) {{
        nodes {{ ...Row }} edges {{ cursor distance relation node {{ ...Row }} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }}
        fragment Row on Gene {{ symbol }}"""
    pos = 1_897_442
    there = {}
    for symbol, (start, end, strand) in genes.items():
        distance = max(start - pos, pos - end, 0)
        before_start = pos < start if strand == "+" else pos > end
        if distance <= 400_000:
            there[symbol] = (distance, "INSIDE" if distance == 0 else "UPSTREAM" if before_start else "DOWNSTREAM")
    assert len(there) > 8
    assert {relation for _, relation in there.values()} == {"INSIDE", "UPSTREAM", "DOWNSTREAM"}
    for backward in (False, True):
        found = [row["symbol"] for row in walk(demo, query, {}, 3, backward)]
        assert sorted(found) == sorted(there)
        assert [there[symbol][0] for symbol in found] == sorted(distance for distance, _ in there.values())
    edges = page_of(demo.data(query, {"first": 100}))["edges"]
    assert {edge["node"]["symbol"]: (edge["distance"], edge["relation"]) for edge in edges} == there


def test_pages_of_releases_go_backwards_in_time(demo: Api) -> None:
    query = f"query ({_DECLARED}) {{ store {{ page: releases({_WINDOW}) {{ {_PAGE} }} }} }} fragment Row on Release {{ id }}"
    ids = [row["id"] for row in walk(demo, query, {}, 2)]
    assert ids == ["Release:8", "Release:7", "Release:6", "Release:5", "Release:4", "Release:3", "Release:2", "Release:1"]
    assert [row["id"] for row in walk(demo, query, {}, 2, backward=True)] == ids


# ---- sizes and cursors that are refused


@pytest.mark.parametrize(
    ("window", "code", "said"),
    [
        ({"first": 1001}, "PAGE_TOO_LARGE", "1,000"),
        ({"last": 5000}, "PAGE_TOO_LARGE", "1,000"),
        ({"first": 0}, "BAD_PAGE", "1,000"),
        ({"first": -1}, "BAD_PAGE", "1,000"),
        ({"first": 1, "last": 1}, "BAD_PAGE", "first and last"),
        ({"first": 1, "before": "x"}, "BAD_PAGE", "last with before"),
        ({"last": 1, "after": "x"}, "BAD_PAGE", "last with before"),
        ({"after": "x", "before": "y"}, "BAD_PAGE", "last with before"),
    ],
)  # fmt: skip
def test_a_window_that_makes_no_page_is_refused(demo: Api, window: dict[str, Any], code: str, said: str) -> None:
    error = demo.error(ALL, window)
    assert error["code"] == code
    assert said in error["message"]
    assert "hint" in error


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 200), letter=st.sampled_from("abcXYZ019-_.!= \n%é"))
def test_a_changed_cursor_is_refused(demo: Api, place: int, letter: str) -> None:
    cursor = page_of(demo.data(ALL, {"first": 1}))["pageInfo"]["endCursor"]
    changed = cursor[: place % len(cursor)] + letter + cursor[place % len(cursor) + 1 :]
    assume(changed != cursor)
    for bad in (changed, cursor + letter, cursor[:-1]):
        assert demo.error(ALL, {"first": 1, "after": bad})["code"] == "BAD_CURSOR"


def test_a_cursor_of_another_list_is_refused(demo: Api) -> None:
    of_gene = page_of(demo.data(OF_GENE, {"gene": "SIRPA", "flank": 0, "first": 1}))["pageInfo"]["endCursor"]
    of_genes = page_of(demo.data("{ page: genes(first: 1) { pageInfo { endCursor } } }"))["pageInfo"]["endCursor"]
    of_all = page_of(demo.data(ALL, {"first": 1}))["pageInfo"]["endCursor"]
    for query, cursor in ((ALL, of_gene), (ALL, of_genes), (OF_GENE, of_all), (OF_GENE, of_genes)):
        error = demo.error(query, {"gene": "SIRPA", "flank": 0, "after": cursor} if query is OF_GENE else {"after": cursor})
        assert (error["code"], error["message"]) == ("BAD_CURSOR", "The cursor is of another list.")
        assert error["value"] == cursor[:80]


def test_a_cursor_of_another_order_or_release_is_refused(demo: Api) -> None:
    cursor = page_of(demo.data(ALL, {"first": 1}))["pageInfo"]["endCursor"]
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    assert b"Query.variants/genome" in raw
    for other in (encode_cursor(3, "Query.variants", "size", [1]), encode_cursor(3, "Query.variants", "genome", [1, 2])):
        assert demo.error(ALL, {"after": other})["message"] == "The cursor is of another list."
    unknown = demo.error(ALL, {"after": encode_cursor(999, "Query.variants", "genome", [1])})
    assert (unknown["code"], unknown["message"]) == ("BAD_CURSOR", "The cursor is of a release that this store does not have.")
