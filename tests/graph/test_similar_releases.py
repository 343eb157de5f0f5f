"""Which variants are like which when files come and go: what is held back, unloaded or of another release, and genes that move."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from store import release
from store.reference import Reference
from tests.graph.api import Api
from tests.graph.cells import read_gtf
from tests.graph.conftest import DEMO, FASTA, Serve, Site, embed_annotation
from tests.graph.loading import load_genes, load_vcf, write_vcf
from tests.graph.neighbours import read_neighbours
from tests.graph.test_similar import RS, WITH, similar, walk
from tests.graph.test_similar_vector import QUERY, like, plain


def current(api: Api, conn: psycopg.Connection[Any]) -> int:
    """Waits until the application answers from the newest release. Returns its number."""
    number = release.current(conn).release_id
    end = time.monotonic() + 5
    while api.post("{ store { assembly } }").headers["vkg-release"] != str(number):
        assert time.monotonic() < end
        time.sleep(0.02)
    return number


TRANSITION = dict(zip("ACGT", "GTAC", strict=True))


def transitions(sites: list[Site], start: int, count: int) -> list[str]:
    """VCF rows of so many transitions that the demo does not have, from a position on: of all of them nobody knows more."""
    taken, reference = {site.pos for site in sites}, Reference(FASTA)
    free = (pos for pos in range(start, start + 2 * count) if pos not in taken)
    bases = ((pos, reference.fetch(20, pos, pos)) for pos in free)
    return [f"20 {pos} . {base} {TRANSITION[base]} 1 PASS DP=1" for pos, base in bases][:count]


def rows_of(path: Path) -> list[list[str]]:
    """The records of a VCF."""
    return [line.split("\t") for line in path.read_text().splitlines() if line[0] != "#"]


def test_of_a_gene_that_two_annotations_have_the_later_one_says_where_it_is(own_demo: str, serve: Serve, tmp_path: Path) -> None:
    api, lines = serve(own_demo), []
    sirpa = next(g for g in read_gtf(DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz").genes if g.symbol == "SIRPA")
    for start, end in ((sirpa.start, sirpa.end), (1_897_000, 1_898_000)):
        lines.append(
            f'20\tx\tgene\t{start}\t{end}\t.\t+\t.\tgene_id "{sirpa.gene_id}"; gene_name "SIRPA"; gene_biotype "protein_coding";\n'
        )
    before = similar(api, RS, sameGene=True, first=1000)
    path = tmp_path / "x.gtf"
    path.write_text(lines[1])
    load_genes(own_demo, path, dataset="later", version="1", assembly="GRCh37")
    query = '{ gene(id: "SIRPA") { variants(first: 1000) { nodes { name } } } }'
    end = time.monotonic() + 5
    while len(api.data(query)["gene"]["variants"]["nodes"]) > 100:
        assert time.monotonic() < end
    within = {node["name"] for node in api.data(query)["gene"]["variants"]["nodes"]}
    after = {edge["node"]["name"] for edge in similar(api, RS, sameGene=True, first=1000)}
    assert after == within - {RS}
    assert len(after) < len(before)


def test_pages_go_on_in_the_release_they_began_in(own_demo: str, serve: Serve, sites: list[Site], tmp_path: Path) -> None:
    api = serve(own_demo)
    files = [write_vcf(tmp_path / f"{start}.vcf", *transitions(sites, start, count)) for start, count in ((1_896_200, 5), (1_897_500, 30))]
    (one, *others), more = ([f"20-{row[1]}-{row[3]}-{row[4]}" for row in rows_of(path)] for path in files)
    with psycopg.connect(own_demo, autocommit=True) as conn:
        number = load_vcf(own_demo, files[0], dataset="other", version="1")
        embed_annotation(own_demo)
        current(api, conn)
        assert [edge["node"]["name"] for edge in similar(api, one, first=4)] == others
        first = api.data(WITH, {"id": one, "first": 1})["variant"]["similar"]["pageInfo"]["endCursor"]
        release.create_release(conn, "paper")
        old = current(api, conn)
        began = api.data(WITH, {"id": one, "first": 2})["variant"]["similar"]["pageInfo"]["endCursor"]
        load_vcf(own_demo, files[1], dataset="more", version="1")
        embed_annotation(own_demo)
        new = current(api, conn)
        assert {edge["node"]["name"] for edge in similar(api, one, first=34)} == {*others, *more}
        # The page is of the release in which the list began, its nodes and all; pinned to it, a new list is the same.
        answer = api.ask(WITH, {"id": one, "first": 5, "after": began})
        page = answer["data"]["variant"]["similar"]
        assert {each["id"] for each in answer["extensions"]["releases"]} == {f"Release:{old}", f"Release:{new}"}
        assert page["nodes"] == [edge["node"] for edge in page["edges"]]
        paper = {"Vkg-Release": "paper"}
        assert page["edges"] == api.data(WITH, {"id": one, "first": 7}, paper)["variant"]["similar"]["edges"][2:]
        assert page == api.data(WITH, {"id": one, "first": 5, "after": began}, paper)["variant"]["similar"]
        assert api.error(WITH, {"id": one, "after": first}, paper)["code"] == "BAD_CURSOR"
        # What is unloaded is out of all of its pages at once.
        cursor = api.data(WITH, {"id": more[0], "first": 1})["variant"]["similar"]["pageInfo"]["endCursor"]
        release.unload(conn, number)
        current(api, conn)
        assert api.data(WITH, {"id": one}) == {"variant": None}
        for after in (None, cursor):
            assert not {one, *others} & {
                node["name"] for node in api.data(WITH, {"id": more[0], "first": 900, "after": after})["variant"]["similar"]["nodes"]
            }


def test_the_list_of_a_vector_goes_on_in_its_release_too(own_demo: str, serve: Serve, sites: list[Site], tmp_path: Path) -> None:
    api = serve(own_demo)
    files = [write_vcf(tmp_path / f"{start}.vcf", *transitions(sites, start, count)) for start, count in ((1_896_200, 6), (1_897_500, 30))]
    few, more = ({f"20-{row[1]}-{row[3]}-{row[4]}" for row in rows_of(path)} for path in files)
    with psycopg.connect(own_demo, autocommit=True) as conn:
        number = load_vcf(own_demo, files[0], dataset="other", version="1")
        embed_annotation(own_demo)
        old = current(api, conn)
        known = read_neighbours(own_demo, "annotation")
        vector = 3 * known.directions[known.place[min(few)]]
        whole = like(api, vector, first=9)
        assert {edge["node"]["name"] for edge in whole[:6]} == few
        began = whole[1]["cursor"]
        release.create_release(conn, "paper")
        load_vcf(own_demo, files[1], dataset="more", version="1")
        embed_annotation(own_demo)
        current(api, conn)
        assert {edge["node"]["name"] for edge in like(api, vector, first=36)} == few | more
        answer = api.ask(QUERY, {"vector": vector.tolist(), "first": 5, "after": began})
        assert answer["extensions"]["release"]["id"] == f"Release:{old}"
        rest = answer["data"]["variantsByEmbedding"]
        assert (plain(rest["edges"]), rest["nodes"]) == (plain(whole[2:7]), [edge["node"] for edge in whole[2:7]])
        # Pinned to the release that has a name by now, it is the same list.
        pinned = api.data(QUERY, {"vector": vector.tolist(), "first": 9}, {"Vkg-Release": "paper"})["variantsByEmbedding"]["edges"]
        assert plain(pinned) == plain(whole)
        release.unload(conn, number)
        current(api, conn)
        assert not few & {edge["node"]["name"] for edge in like(api, vector, first=900)}


def test_what_is_not_visible_is_nobodys_neighbour_however_many_there_are(
    own_demo: str, serve: Serve, sites: list[Site], tmp_path: Path
) -> None:
    """Of 2,022 variants with one and the same vector 22 are visible, and lie behind the others in the genome."""
    api = serve(own_demo)
    paths = [
        write_vcf(tmp_path / f"{start}.vcf", *transitions(sites, start, count)) for start, count in ((3_900_100, 22), (1_000_300, 2_000))
    ]
    seen, hidden = ({f"20-{row[1]}-{row[3]}-{row[4]}" for row in rows_of(path)} for path in paths)
    load_vcf(own_demo, paths[0], dataset="seen", version="1")
    held = load_vcf(own_demo, paths[1], dataset="held", version="1", hold=True)
    embed_annotation(own_demo)
    known = read_neighbours(own_demo, "annotation")
    assert len(known.names) == 24_990 + 2_022
    visible = np.array([name not in hidden for name in known.names])
    one = sorted(seen)[5]
    with psycopg.connect(own_demo, autocommit=True) as conn:
        current(api, conn)
        asked = (
            {"first": 30},
            {"first": 30, "filter": {"type": ["SNV"]}},
            {"first": 30, "least": 0.5},
            {"first": 30, "region": "20:1-4000000"},
        )
        for arguments in asked:
            edges = similar(api, one, **arguments)
            known.check(one, edges, 30, visible)
            assert {edge["node"]["name"] for edge in edges[:21]} == seen - {one}
        assert walk(api, one, 7, least=0.5) == similar(api, one, first=1000, least=0.5)
        name = sorted(hidden)[0]
        assert api.data(f'{{ variant(id: "{name}") {{ embedding {{ norm }} similar {{ nodes {{ name }} }} }} }}') == {"variant": None}
        # Published they are, and unloaded they are no more.
        release.publish(conn, held)
        current(api, conn)
        edges = similar(api, one, first=30)
        known.check(one, edges, 30)
        assert {edge["node"]["name"] for edge in edges} <= hidden
        release.unload(conn, held)
        current(api, conn)
        known.check(one, similar(api, one, first=30), 30, visible)
