"""Which variants are like which, over HTTP: against exact numpy search over the vectors in the tables."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from graph.page import LARGEST_PAGE
from tests.graph.api import Api
from tests.graph.conftest import Clone, Site
from tests.graph.neighbours import Neighbours, World, read_neighbours, two_models

RS = "20-1897442-C-T"
EDGES = "edges { similarity cursor node { name } }"
OF_ONE = "query ($id: String!%s) { variant(id: $id) { similar(%s) { edges { similarity cursor node { name } } } } }"
OF_MANY = """query ($ids: [String!]!, $model: String) { variants(ids: $ids, first: 100) { nodes { name
    similar(model: $model) { edges { similarity node { name } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } } }"""
WITH = """query ($id: String!, $model: String, $first: Int! = 10, $after: String, $least: Float, $sameGene: Boolean! = false, $gene: String, $region: String,
    $population: String, $filter: VariantFilter) { variant(id: $id) { similar(model: $model, first: $first, after: $after, minSimilarity: $least, sameGene: $sameGene,
    gene: $gene, region: $region, population: $population, filter: $filter) { model { name } nodes { name } edges { similarity cursor node { name } }
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
def test_of_every_vector_of_the_demo_the_ten_most_similar_are_those_of_exact_search(demo: Api, annotation: Neighbours) -> None:
    """Of one variant for each of the vectors, which many share, and of a tenth of all variants."""
    assert annotation.directions.shape == (24_990, 70)
    _, first = np.unique(annotation.directions, axis=0, return_index=True)
    wanted = [annotation.names[n] for n in sorted({*first.tolist(), *range(0, 24_990, 10)})]
    assert len(first) == 1_793
    assert len(wanted) > 4_000

    def ask(names: list[str]) -> int:
        found = demo.data(OF_MANY, {"ids": names})["variants"]["nodes"]
        for node in found:
            annotation.check(node["name"], node["similar"]["edges"], 10)
            info = node["similar"]["pageInfo"]
            assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, False)
        return len(found)

    parts = [wanted[n : n + 100] for n in range(0, len(wanted), 100)]
    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(ask, parts)) == len(wanted)


# ---- a store of consequences, and of a model that tells all variants apart


@pytest.fixture(scope="module")
def world(clone: Clone, demo_template: str, sites: list[Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The demo with two models."""
    with two_models(clone, demo_template, sites, tmp_path_factory.mktemp("similar")) as made:
        yield made


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


@pytest.mark.parametrize("population", ["ALL", "FIN", "GBR"])
@pytest.mark.parametrize("model", ["annotation", "noise"])
def test_of_a_population_are_those_that_are_seen_in_it(world: World, model: str, population: str) -> None:
    known = world.of(model)
    allowed = world.allowed(model, population=population)
    assert 0.2 < allowed.mean() < 1
    rng = random.Random(population)
    for name in rng.sample(known.names, 4):
        for count in (10, 400):
            known.check(name, similar(world.api, name, model=model, population=population, first=count), count, allowed)
        common = world.allowed(model, population=population, filter=FILTERS["of one population"], span=(1_000_000, 3_000_000))
        arguments = {"population": population, "filter": FILTERS["of one population"], "region": "20:1000000-3000000"}
        known.check(name, similar(world.api, name, model=model, **arguments, first=50), 50, common)
        # What nobody has is nowhere else: "not seen" and "seen" are all that have a frequency.
        unseen = similar(world.api, name, model=model, filter={"frequency": [{"population": population, "max": 0}]}, first=1000)
        assert not allowed[[known.place[edge["node"]["name"]] for edge in unseen]].any()


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
    assert not page["pageInfo"]["hasNextPage"]
    error = world.api.error(WITH, {"id": RS, "model": "annotation", "first": 1, "after": page["pageInfo"]["endCursor"]})
    assert (error["code"], error["hint"]) == ("TOO_MANY_SIMILAR", "Narrow it with a filter.")
    last = world.api.data(WITH, {"id": RS, "model": "annotation", "first": 50, "after": page["edges"][989]["cursor"]})["variant"]["similar"]
    assert last["edges"] == page["edges"][990:]


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
        ({"model": "noise", "population": "NOWHERE"}, "UNKNOWN_POPULATION", None),
        ({"model": "noise", "population": ""}, "UNKNOWN_POPULATION", None),
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
    """The variants; the models, those that have a vector, their neighbours; the neighbours as variants."""
    names = random.Random(8).sample(annotation.names, 50)
    one, fifty = (demo.cost(OF_MANY, {"ids": ids}) for ids in (names[:1], names))
    assert one["statements"] == fifty["statements"] == 5
    # In a place all are compared, in one statement.
    query = OF_MANY.replace("similar(", 'similar(filter: {type: [DELETION], frequency: {max: 0.002}}, region: "20:1000000-1050000" ')
    one, fifty = (demo.cost(query, {"ids": ids}) for ids in (names[:1], names))
    assert one["statements"] == fifty["statements"] == 5
    query = OF_MANY.replace("similar(", "similar(filter: {type: [DELETION], frequency: {min: 0.3, max: 0.31}} ")
    # Where a filter leaves too few of the nearest, all that pass are compared; before that the index may be asked a second time.
    few, many = (demo.cost(query, {"ids": ids})["statements"] for ids in (names[:25], names))
    assert few == many <= 8
    # A vector is a statement more, however many there are.
    query = "query ($ids: [String!]!) { variants(ids: $ids, first: 100) { nodes { embedding { norm direction model { name release { id } } } } } }"
    assert [demo.cost(query, {"ids": ids})["statements"] for ids in (names[:1], names)] == [5, 5]


def test_a_search_costs_fifty_objects_and_those_that_it_may_give(demo: Api) -> None:
    cost = demo.cost('{ variant(id: "rs4813331") { similar(first: 20) { nodes { name } } } }')
    assert cost["objects"] == 1 + 50 + 20
    assert demo.error("{ variants(first: 1000) { nodes { similar(first: 100) { nodes { name } } } } }")["code"] == "TOO_MANY_COST"
