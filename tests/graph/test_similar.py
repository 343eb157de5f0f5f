"""Which variants are like which, over HTTP: against exact numpy search over the vectors in the tables."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from graph.page import LARGEST_PAGE
from store import embedding, release
from store.reference import Reference
from tests.graph.api import Api
from tests.graph.cells import Annotation, read_gtf
from tests.graph.conftest import DEMO, FASTA, Clone, Serve, Site, embed_annotation, settings
from tests.graph.facts import Facts, holds, read_facts
from tests.graph.loading import load_genes, load_vcf, write_vcf
from tests.graph.neighbours import Neighbours, read_neighbours, register
from tests.graph.test_cell_context import some_consequences, write_vep

RS = "20-1897442-C-T"
EDGES = "edges { similarity cursor node { name } }"
OF_ONE = "query ($id: String!%s) { variant(id: $id) { similar(%s) { edges { similarity cursor node { name } } } } }"
OF_MANY = """query ($ids: [String!]!, $model: String) { variants(ids: $ids, first: 100) { nodes { name
    similar(model: $model) { edges { similarity node { name } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } } }"""
WITH = """query ($id: String!, $model: String, $first: Int! = 10, $after: String, $least: Float, $sameGene: Boolean! = false, $gene: String, $region: String,
    $filter: VariantFilter) { variant(id: $id) { similar(model: $model, first: $first, after: $after, minSimilarity: $least, sameGene: $sameGene, gene: $gene,
    region: $region, filter: $filter) { model { name } nodes { name } edges { similarity cursor node { name } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""


@pytest.fixture(scope="module")
def annotation(demo_url: str) -> Neighbours:
    """The vectors of the demo."""
    return read_neighbours(demo_url, "annotation")


def similar(api: Api, name: str, **arguments: Any) -> list[Any]:
    """The edges of what is most like a variant; the page is checked against itself."""
    page = api.data(WITH, {"id": name, **arguments})["variant"]["similar"]
    assert page["nodes"] == [edge["node"] for edge in page["edges"]]
    info = page["pageInfo"]
    assert (info["startCursor"], info["endCursor"]) == (
        (page["edges"][0]["cursor"], page["edges"][-1]["cursor"]) if page["edges"] else (None, None)
    )
    assert info["hasPreviousPage"] == ("after" in arguments)
    return page["edges"]


@pytest.mark.slow
def test_of_every_variant_of_the_demo_the_ten_most_similar_are_those_of_exact_search(demo: Api, annotation: Neighbours) -> None:
    assert annotation.directions.shape == (24_990, 70)

    def ask(names: list[str]) -> int:
        found = demo.data(OF_MANY, {"ids": names})["variants"]["nodes"]
        for node in found:
            annotation.check(node["name"], node["similar"]["edges"], 10)
            info = node["similar"]["pageInfo"]
            assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, False)
        return len(found)

    parts = [annotation.names[n : n + 100] for n in range(0, len(annotation.names), 100)]
    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(ask, parts)) == 24_990


# ---- a store of consequences, and of a model that tells all variants apart


@dataclass(frozen=True)
class World:
    """The demo with consequences of some variants, and a second model, `noise`, that has vectors of every third variant; every hundredth of these is 0,
    and their frequencies do not matter to it."""

    api: Api
    url: str
    annotation: Neighbours
    noise: Neighbours
    genes: Annotation
    facts: list[Facts]

    def of(self, model: str) -> Neighbours:
        return self.annotation if model == "annotation" else self.noise

    def allowed(self, model: str, **arguments: Any) -> np.ndarray:
        """Which of the model's variants pass the arguments filter, region and the like, by plain Python."""
        facts = {fact.name: fact for fact in self.facts}
        return np.array([self._allowed(facts[name], **arguments) for name in self.of(model).names])

    def _allowed(self, fact: Facts, filter: Any = None, span: tuple[int, int] | None = None, genes: list[str] | None = None) -> bool:
        pos = int(fact.name.split("-")[1])
        return (
            (filter is None or holds(filter, fact))
            and (span is None or span[0] <= pos <= span[1])
            and (genes is None or bool(set(genes) & set(self.genes.at("20", pos))))
        )


@pytest.fixture(scope="module")
def world(clone: Clone, demo_template: str, sites: list[Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    genes = read_gtf(DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz")
    csq = some_consequences(sites, genes)
    rng = np.random.default_rng(70)
    vectors = {site.name: rng.normal(size=12) * 10 for site in sites[::3]}
    for name in list(vectors)[::100]:
        vectors[name] *= 0
    with clone(demo_template) as url:
        path = write_vep(tmp_path_factory.mktemp("similar") / "vep.vcf", {site.name: site for site in sites}, csq)
        load_vcf(url, path, dataset="vep", version="1", assembly="GRCh37")
        with psycopg.connect(url, autocommit=True) as conn:
            before = embedding.find_model(conn, "annotation")
            assert before is not None
            embedding.remove(conn, before)
        embed_annotation(url)
        register(url, "noise", vectors)
        with Api(settings(url)) as api:
            yield World(api, url, read_neighbours(url, "annotation"), read_neighbours(url, "noise"), genes, read_facts(url))


FILTERS: dict[str, Any] = {
    "common": {"frequency": [{"min": 0.05}]},
    "of one population": {"frequency": [{"population": "FIN", "min": 0.01, "max": 0.011}]},
    "type": {"type": ["DELETION", "INDEL"]},
    "severe": {"impact": ["HIGH", "MODERATE"]},
    "term": {"consequence": ["synonymous_variant"]},
    "dataset": {"dataset": ["vep"]},
    "nothing": {"frequency": [{"min": 0.5, "max": 0.5}, {"population": "FIN", "max": 0.0}]},
    "mixed": {"or": [{"impact": ["LOW"]}, {"and": [{"type": ["INSERTION"]}, {"not": {"frequency": [{"max": 0.01}]}}]}]},
    "nearly all": {"not": {"rsid": ["rs4813331"]}},
}


@pytest.mark.parametrize("filter", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("model", ["annotation", "noise"])
def test_a_filter_leaves_the_nearest_of_those_that_pass_and_always_as_many_as_there_are(world: World, model: str, filter: Any) -> None:
    known = world.of(model)
    allowed = world.allowed(model, filter=filter)
    rng = random.Random(model)
    for name in (known.names[7], *rng.sample(known.names, 5)):
        for count in (10, 300):
            known.check(name, similar(world.api, name, model=model, filter=filter, first=count), count, allowed)


@pytest.mark.parametrize("model", ["annotation", "noise"])
def test_a_least_similarity_cuts_where_it_says(world: World, model: str) -> None:
    known = world.of(model)
    for name in random.Random(5).sample(known.names, 10):
        for least in (*(known.bound(name, near) for near in (0.9999, 0.9, 0.3)), -1):
            known.check(name, similar(world.api, name, model=model, least=least, first=50), 50, least=least)
    # Of those that are the same nothing is lost to rounding.
    twin = similar(world.api, RS, model="annotation", least=1)
    assert twin
    assert {edge["similarity"] for edge in twin} == {1}


@pytest.mark.parametrize("model", ["annotation", "noise"])
def test_places_are_a_region_a_gene_or_the_genes_that_the_variant_lies_in(world: World, model: str) -> None:
    known, rng = world.of(model), random.Random(9)
    inside = [name for name in known.names if world.genes.at("20", int(name.split("-")[1]))]
    several = [name for name in inside if len(world.genes.at("20", int(name.split("-")[1]))) > 1]
    outside = sorted(set(known.names) - set(inside))
    assert min(map(len, (inside, several, outside))) > 100
    sirpa = next(gene for gene in world.genes.genes if gene.symbol == "SIRPA")
    for name in (*rng.sample(inside, 5), *rng.sample(several, 5), *rng.sample(outside, 3)):
        genes = world.genes.at("20", int(name.split("-")[1]))
        for count in (10, 1000):
            found = similar(world.api, name, model=model, sameGene=True, first=count)
            known.check(name, found, count, world.allowed(model, genes=genes))
        found = similar(world.api, name, model=model, sameGene=True, filter=FILTERS["common"])
        known.check(name, found, 10, world.allowed(model, genes=genes, filter=FILTERS["common"]))
        found = similar(world.api, name, model=model, gene="SIRPA", first=20)
        known.check(name, found, 20, world.allowed(model, span=(sirpa.start, sirpa.end)))
        start = rng.randrange(1_000_000, 3_900_000)
        found = similar(world.api, name, model=model, region=f"20:{start}-{start + 20_000}", filter=FILTERS["type"], first=30)
        known.check(name, found, 30, world.allowed(model, span=(start, start + 20_000), filter=FILTERS["type"]))
    assert similar(world.api, RS, model="annotation", region="19") == []


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


# ---- pages


def walk(api: Api, name: str, size: int, **arguments: Any) -> list[Any]:
    """The edges of all pages of a size, up to the last, or to the thousandth."""
    edges, cursor = [], None
    while True:
        page = api.data(WITH, {"id": name, "first": size, "after": cursor, **arguments})["variant"]["similar"]
        info = page["pageInfo"]
        assert info["hasPreviousPage"] == (cursor is not None)
        edges += page["edges"]
        if not info["hasNextPage"] or len(edges) == LARGEST_PAGE:
            return edges
        assert len(page["edges"]) == min(size, LARGEST_PAGE - len(edges) + len(page["edges"]))
        cursor = info["endCursor"]


@pytest.mark.parametrize("size", [7, 100, 333, 1000])
@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("annotation", {}),
        ("noise", {}),
        ("noise", {"filter": {"frequency": [{"min": 0.3}]}}),
        ("noise", {"filter": {"type": ["DELETION"]}}),
        ("annotation", {"sameGene": True}),
        ("annotation", {"least": 0.99999, "region": "20:1800000-2400000"}),
    ],
    ids=["alike", "all", "a filter", "few", "a gene", "a region"],
)
def test_pages_lose_and_repeat_nothing(world: World, model: str, arguments: Any, size: int) -> None:
    name = RS if model == "annotation" else world.noise.names[2001]
    whole = similar(world.api, name, model=model, first=1000, **arguments)
    assert walk(world.api, name, size, model=model, **arguments) == whole
    assert len(whole) > 40


def test_a_thousand_are_given_and_no_more(world: World) -> None:
    page = world.api.data(WITH, {"id": RS, "model": "annotation", "first": 1000})["variant"]["similar"]
    assert len(page["edges"]) == 1000
    assert page["pageInfo"]["hasNextPage"]
    error = world.api.error(WITH, {"id": RS, "model": "annotation", "first": 1, "after": page["pageInfo"]["endCursor"]})
    assert (error["code"], error["hint"]) == ("TOO_MANY_SIMILAR", "Narrow it with a filter.")
    last = world.api.data(WITH, {"id": RS, "model": "annotation", "first": 50, "after": page["edges"][989]["cursor"]})["variant"]["similar"]
    assert last["edges"] == page["edges"][990:]


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


# ---- what is not visible


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


def rows_of(path: Path) -> list[list[str]]:
    """The records of a VCF."""
    return [line.split("\t") for line in path.read_text().splitlines() if line[0] != "#"]


# ---- vectors, and those that have none


def test_an_embedding_is_what_the_table_holds(world: World) -> None:
    query = """query ($ids: [String!]!, $model: String) { variants(ids: $ids, first: 60) { nodes { name
        embedding(model: $model) { norm distance direction model { name dimension } } similar(model: $model, first: 1) { model { name } } } } }"""
    names = random.Random(3).sample(world.annotation.names, 50) + world.noise.names[:200:20]
    without = 0
    for model in ("annotation", "noise"):
        known = world.of(model)
        for node in world.api.data(query, {"ids": names, "model": model})["variants"]["nodes"]:
            place = known.place.get(node["name"])
            if place is None:
                assert node["embedding"] is node["similar"] is None
                without += 1
                continue
            found = node["embedding"]
            assert found["model"] == {"name": model, "dimension": known.directions.shape[1]}
            assert np.array_equal(found["direction"], known.directions[place])
            assert np.float32(found["norm"]) == np.float32(known.norms[place])
            assert (found["distance"] is None) == (model == "annotation")
            assert found["distance"] is None or np.float32(found["distance"]) == np.float32(known.distances[place])
            assert node["similar"]["model"]["name"] == model
    assert without > 20


def test_a_vector_of_zeros_has_no_neighbours_and_is_none(world: World) -> None:
    zeros = [name for name, norm in zip(world.noise.names, world.noise.norms, strict=True) if norm == 0]
    assert len(zeros) > 80
    assert similar(world.api, zeros[5], model="noise") == []
    assert similar(world.api, zeros[5], model="noise", filter=FILTERS["common"], first=1000) == []
    found = world.api.data(f'{{ variant(id: "{zeros[5]}") {{ embedding(model: "noise") {{ norm direction }} }} }}')["variant"]
    assert found == {"embedding": {"norm": 0, "direction": [0] * 12}}
    # Not even where all others are asked for.
    position = zeros[5].split("-")[1]
    near_by = similar(world.api, world.noise.names[1], model="noise", region=f"20:{position}-{int(position) + 30_000}", first=1000)
    assert len(near_by) > 50
    assert not set(zeros) & {edge["node"]["name"] for edge in near_by}


def test_models_say_what_made_their_vectors(world: World) -> None:
    query = "{ embeddingModels { name revision weightsSha256 dimension flank pooling dtype reference inputs release { id } } }"
    one, two = world.api.data(query)["embeddingModels"]
    assert (one["name"], one["dimension"], one["release"], one["flank"]) == ("annotation", 70, {"id": "Release:9"}, None)
    assert "frequency:ALL" in one["inputs"]
    assert "clinical" not in str(one["inputs"])
    assert two == {
        "name": "noise", "revision": "1", "weightsSha256": None, "dimension": 12, "flank": 10, "pooling": "mean", "dtype": "fp32",
        "reference": "a digest", "inputs": ["sequence"], "release": None,
    }  # fmt: skip


# ---- what cannot be asked


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        ({}, "MODEL_NEEDED", "Name one: annotation, noise."),
        ({"model": "dnabert2"}, "UNKNOWN_MODEL", "There are annotation, noise."),
        ({"model": ""}, "UNKNOWN_MODEL", "There are annotation, noise."),
        ({"model": "noise", "least": 1.01}, "BAD_SIMILARITY", None),
        ({"model": "noise", "least": -1.5}, "BAD_SIMILARITY", None),
        ({"model": "noise", "first": 0}, "BAD_PAGE", None),
        ({"model": "noise", "first": 1001}, "PAGE_TOO_LARGE", None),
        ({"model": "noise", "after": "what?"}, "BAD_CURSOR", "Pass on endCursor or startCursor as they came."),
        ({"model": "noise", "gene": "SIRPA", "region": "20:1-10"}, "BAD_SELECTION", None),
        ({"model": "noise", "gene": "SIRPA", "sameGene": True}, "BAD_SELECTION", None),
        ({"model": "noise", "gene": "NOBODY1"}, "UNKNOWN_GENE", None),
        ({"model": "noise", "region": "20:x"}, "INVALID_NAME", None),
        ({"model": "noise", "filter": {"frequency": [{"min": 2}]}}, "BAD_FILTER", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_asked_is_said(world: World, arguments: Any, code: str, hint: str | None) -> None:
    error = world.api.error(WITH, {"id": world.noise.names[1], **arguments})
    assert error["code"] == code
    assert hint is None or error["hint"] == hint


def test_a_cursor_goes_on_where_it_came_from(world: World) -> None:
    one, other = world.noise.names[1], world.noise.names[4]
    cursor = similar(world.api, one, model="noise")[-1]["cursor"]
    listed = world.api.data("{ variants(first: 1) { pageInfo { endCursor } } }")["variants"]["pageInfo"]["endCursor"]
    for name, model, after in ((one, "annotation", cursor), (other, "noise", cursor), (one, "noise", listed), (one, "noise", cursor[:-2])):
        assert world.api.error(WITH, {"id": name, "model": model, "after": after})["code"] == "BAD_CURSOR"
    assert similar(world.api, one, model="noise", after=cursor) == similar(world.api, one, model="noise", first=20)[10:]


def test_without_a_model_nothing_is_embedded(annotated: Api) -> None:
    assert annotated.data("{ embeddingModels { name } }") == {"embeddingModels": []}
    for field in ("embedding { norm }", "similar { nodes { name } }"):
        error = annotated.error(f'{{ variant(id: "rs9000001-") {{ {field} }} }}'.replace("rs9000001-", "20-1940000-A-G"))
        assert (error["code"], error["hint"]) == ("UNKNOWN_MODEL", "Embed variants first: vkg embed --model annotation")


# ---- what it costs


def test_fifty_variants_take_as_many_statements_as_one(demo: Api, annotation: Neighbours) -> None:
    """What names mean, the variants; the models, those that have a vector, their neighbours; the neighbours as variants."""
    names = random.Random(8).sample(annotation.names, 50)
    one, fifty = (demo.cost(OF_MANY, {"ids": ids}) for ids in (names[:1], names))
    assert one["statements"] == fifty["statements"] == 6
    # In a place all are compared, in one statement.
    query = OF_MANY.replace("similar(", 'similar(filter: {type: [DELETION], frequency: {max: 0.002}}, region: "20:1000000-1050000" ')
    one, fifty = (demo.cost(query, {"ids": ids}) for ids in (names[:1], names))
    assert one["statements"] == fifty["statements"] == 6
    query = OF_MANY.replace("similar(", "similar(filter: {type: [DELETION], frequency: {min: 0.3, max: 0.31}} ")
    # Where a filter leaves too few of the nearest, all that pass are compared; before that the index may be asked a second time.
    few, many = (demo.cost(query, {"ids": ids})["statements"] for ids in (names[:25], names))
    assert few == many <= 8
    # A vector is a statement more, however many there are.
    query = "query ($ids: [String!]!) { variants(ids: $ids, first: 100) { nodes { embedding { norm direction model { name release { id } } } } } }"
    assert [demo.cost(query, {"ids": ids})["statements"] for ids in (names[:1], names)] == [6, 6]


def test_a_search_costs_fifty_objects_and_those_that_it_may_give(demo: Api) -> None:
    cost = demo.cost('{ variant(id: "rs4813331") { similar(first: 20) { nodes { name } } } }')
    assert cost["objects"] == 1 + 50 + 20
    assert demo.error("{ variants(first: 1000) { nodes { similar(first: 100) { nodes { name } } } } }")["code"] == "TOO_MANY_COST"
