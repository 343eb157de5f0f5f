"""Which variants are like a vector, over HTTP: against exact numpy search, and against what is like the variant whose vector it is."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from graph.page import LARGEST_PAGE
from tests.graph.api import Api
from tests.graph.conftest import Clone, Site
from tests.graph.neighbours import Neighbours, World, read_neighbours, two_models
from tests.graph.test_similar import FILTERS, similar

QUERY = """query ($vector: [Float!]!, $model: String, $first: Int! = 10, $after: String, $least: Float, $gene: String, $region: String, $population: String,
    $filter: VariantFilter) { variantsByEmbedding(vector: $vector, model: $model, first: $first, after: $after, minSimilarity: $least, gene: $gene, region: $region,
    population: $population, filter: $filter) { model { name } nodes { name } edges { similarity cursor node { name } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


@pytest.fixture(scope="module")
def world(clone: Clone, demo_template: str, sites: list[Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The demo with two models."""
    with two_models(clone, demo_template, sites, tmp_path_factory.mktemp("vectors")) as made:
        yield made


def page_of(api: Api, vector: Sequence[float] | np.ndarray, **arguments: Any) -> Any:
    """A page of what is most like a vector, checked against itself."""
    page = api.data(QUERY, {"vector": [float(number) for number in vector], **arguments})["variantsByEmbedding"]
    assert page["nodes"] == [edge["node"] for edge in page["edges"]]
    info = page["pageInfo"]
    ends = (page["edges"][0]["cursor"], page["edges"][-1]["cursor"]) if page["edges"] else (None, None)
    assert (info["startCursor"], info["endCursor"]) == ends
    assert info["hasPreviousPage"] == (arguments.get("after") is not None)
    return page


def like(api: Api, vector: Sequence[float] | np.ndarray, **arguments: Any) -> list[Any]:
    """The edges of such a page."""
    return page_of(api, vector, **arguments)["edges"]


def plain(edges: list[Any]) -> list[tuple[str, float]]:
    return [(edge["node"]["name"], edge["similarity"]) for edge in edges]


def directions(known: Neighbours, count: int, seed: int) -> list[tuple[str, np.ndarray]]:
    """(name, direction) of some variants that point anywhere."""
    there = [name for name in known.names if known.directions[known.place[name]].any()]
    return [(name, known.directions[known.place[name]]) for name in random.Random(seed).sample(there, count)]


# ---- what is like a vector


def test_the_direction_of_a_variant_gives_it_and_then_what_is_like_it(world: World) -> None:
    for name, direction in directions(world.noise, 25, 1):
        found = plain(like(world.api, direction, model="noise", first=31))
        assert found[0] == (name, 1)
        assert found[1:] == plain(similar(world.api, name, model="noise", first=30))
        world.noise.check_vector(direction, like(world.api, direction, model="noise", first=200), 200)


@pytest.mark.slow
def test_of_variants_of_the_demo_the_ten_most_similar_are_those_of_exact_search(demo: Api, demo_url: str) -> None:
    known = read_neighbours(demo_url, "annotation")

    def ask(one: tuple[str, np.ndarray]) -> None:
        name, direction = one
        edges = like(demo, direction, first=10)
        known.check_vector(direction, edges, 10)
        assert edges[0]["similarity"] == 1
        twins = plain(like(demo, direction, least=1, first=LARGEST_PAGE))
        assert name in {each for each, _ in twins} or len(twins) == LARGEST_PAGE
        assert [each for each in twins if each[0] != name][:10] == plain(similar(demo, name, first=10, least=1))

    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(ask, directions(known, 120, 2)))) == 120


def test_the_length_of_a_vector_does_not_matter(world: World) -> None:
    for name, direction in directions(world.noise, 3, 3):
        expected = page_of(world.api, direction, model="noise")
        assert expected["nodes"][0]["name"] == name
        for scale in (2.0**-1000, 1e-290, 1e-50, 0.3, 4, 7e20, 1e60, 1e300):
            assert plain(like(world.api, direction * scale, model="noise")) == plain(expected["edges"])
        # It is one list: pages go on.
        rest = like(world.api, direction * 8, model="noise", first=5, after=expected["edges"][4]["cursor"])
        assert rest == expected["edges"][5:]
        opposite = like(world.api, direction * -1e200, model="noise")
        world.noise.check_vector(-direction, opposite, 10)


def test_any_vector_will_do(world: World) -> None:
    rng = np.random.default_rng(4)
    for _ in range(10):
        drawn = rng.normal(size=12) * 10.0 ** rng.uniform(-5, 5)
        world.noise.check_vector(drawn, like(world.api, drawn, model="noise", first=100), 100)
    one = [0.0] * 11 + [-1e-320]
    world.noise.check_vector(np.eye(12)[11] * -1, like(world.api, one, model="noise", first=50), 50)
    sparse = np.zeros(70)
    sparse[[3, 50]] = (2, 1)
    world.annotation.check_vector(sparse, like(world.api, sparse, model="annotation", first=50), 50)
    whole = world.api.data(
        '{ variantsByEmbedding(vector: [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], model: "noise") { edges { similarity node { name } } } }'
    )
    world.noise.check_vector([1, *[0] * 10, 2], whole["variantsByEmbedding"]["edges"], 10)


@pytest.mark.parametrize("filter", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("model", ["annotation", "noise"])
def test_a_filter_leaves_the_nearest_of_those_that_pass(world: World, model: str, filter: Any) -> None:
    known = world.of(model)
    allowed = world.allowed(model, filter=filter)
    for _, direction in directions(known, 3, 5):
        for count in (10, 300):
            known.check_vector(direction, like(world.api, direction, model=model, filter=filter, first=count), count, allowed)


@pytest.mark.parametrize("model", ["annotation", "noise"])
def test_places_populations_and_a_least_similarity_narrow_it(world: World, model: str) -> None:
    known = world.of(model)
    sirpa = next(gene for gene in world.genes.genes if gene.symbol == "SIRPA")
    narrowed = [
        ({"gene": "SIRPA"}, {"span": (sirpa.start, sirpa.end)}),
        ({"region": "20:1500000-1600000"}, {"span": (1_500_000, 1_600_000)}),
        ({"population": "FIN"}, {"population": "FIN"}),
        (
            {"population": "FIN", "region": "20:1500000-1900000", "filter": FILTERS["type"]},
            {"population": "FIN", "span": (1_500_000, 1_900_000), "filter": FILTERS["type"]},
        ),
    ]
    for name, direction in directions(known, 4, 6):
        for arguments, allowed in narrowed:
            known.check_vector(
                direction, like(world.api, direction, model=model, first=60, **arguments), 60, world.allowed(model, **allowed)
            )
        for near in (0.9999, 0.8, 0.3):
            least = known.bound(name, near)
            known.check_vector(direction, like(world.api, direction, model=model, first=60, least=least), 60, least=least)
    assert like(world.api, direction, model=model, region="19") == []


# ---- pages


@pytest.mark.parametrize("size", [9, 250])
@pytest.mark.parametrize(
    "arguments", [{}, {"filter": {"type": ["DELETION"]}}, {"region": "20:1800000-2400000"}], ids=["all", "few", "a region"]
)
def test_pages_lose_and_repeat_nothing(world: World, arguments: Any, size: int) -> None:
    drawn = np.random.default_rng(7).normal(size=12)
    whole = page_of(world.api, drawn, model="noise", first=LARGEST_PAGE, **arguments)
    edges, cursor = [], None
    while True:
        page = page_of(world.api, drawn, model="noise", first=size, after=cursor, **arguments)
        edges += page["edges"]
        if not page["pageInfo"]["hasNextPage"] or len(edges) == LARGEST_PAGE:
            break
        cursor = page["pageInfo"]["endCursor"]
    assert edges == whole["edges"]
    assert len(edges) > 200
    if len(edges) == LARGEST_PAGE:
        error = world.api.error(QUERY, {"vector": drawn.tolist(), "model": "noise", "after": edges[-1]["cursor"]})
        assert error["code"] == "TOO_MANY_SIMILAR"


def test_a_cursor_is_of_one_vector_by_one_model(world: World) -> None:
    (name, one), (_, other) = directions(world.noise, 2, 8)
    cursor = like(world.api, one, model="noise")[4]["cursor"]
    of_variant = similar(world.api, name, model="noise")[4]["cursor"]
    listed = world.api.data("{ variants(first: 1) { pageInfo { endCursor } } }")["variants"]["pageInfo"]["endCursor"]
    wrong = [(other, cursor), (-one, cursor), (one, of_variant), (one, listed), (one, cursor[:-3]), (one, "what?")]
    for vector, after in wrong:
        error = world.api.error(QUERY, {"vector": vector.tolist(), "model": "noise", "after": after})
        assert error["code"] == "BAD_CURSOR"
    (_, long), *_ = directions(world.annotation, 1, 8)
    assert world.api.error(QUERY, {"vector": long.tolist(), "model": "annotation", "after": cursor})["code"] == "BAD_CURSOR"
    query = 'query ($id: String!, $after: String) { variant(id: $id) { similar(model: "noise", after: $after) { nodes { name } } } }'
    assert world.api.error(query, {"id": name, "after": cursor})["code"] == "BAD_CURSOR"


# ---- what cannot be asked

DRAWN = np.random.default_rng(9).normal(size=12).tolist()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"vector": []}, "BAD_VECTOR", "The vector has 0 numbers, and those of noise have 12."),
        ({"vector": DRAWN[1:]}, "BAD_VECTOR", "The vector has 11 numbers, and those of noise have 12."),
        ({"vector": DRAWN * 200}, "BAD_VECTOR", "The vector has 2,400 numbers, and those of noise have 12."),
        ({"vector": [0] * 12}, "BAD_VECTOR", "The vector is zero, and points nowhere."),
        ({"vector": [-0.0] * 12}, "BAD_VECTOR", "The vector is zero, and points nowhere."),
        ({"model": None}, "MODEL_NEEDED", None),
        ({"model": "dnabert2"}, "UNKNOWN_MODEL", None),
        ({"first": 0}, "BAD_PAGE", None),
        ({"first": 1001}, "PAGE_TOO_LARGE", None),
        ({"least": 1.01}, "BAD_SIMILARITY", None),
        ({"gene": "SIRPA", "region": "20:1-10"}, "BAD_SELECTION", None),
        ({"gene": "NOBODY1"}, "UNKNOWN_GENE", None),
        ({"population": "NOWHERE"}, "UNKNOWN_POPULATION", None),
        ({"filter": {"frequency": [{"min": 2}]}}, "BAD_FILTER", None),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(world: World, arguments: Any, code: str, message: str | None) -> None:
    error = world.api.error(QUERY, {"vector": DRAWN, "model": "noise", **arguments})
    assert error["code"] == code
    assert message is None or error["message"] == message


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 400, "NaN", "Infinity", "-Infinity", "null", '"1"', "true"])
def test_what_is_no_finite_number_is_refused(world: World, number: str) -> None:
    """As a literal, and as a variable, in which JSON has neither NaN nor infinities."""
    numbers = ", ".join([number] + ["1"] * 11)
    literal = world.api.post(f'{{ variantsByEmbedding(vector: [{numbers}], model: "noise") {{ nodes {{ name }} }} }}')
    body = f'{{"query": "query ($v: [Float!]!) {{ variantsByEmbedding(vector: $v, model: \\"noise\\") {{ nodes {{ name }} }} }}", "variables": {{"v": [{numbers}]}}}}'
    variable = world.api.request("POST", "/graphql", content=body, headers={"Content-Type": "application/json"})
    for response in (literal, variable):
        assert response.status_code in (200, 400)
        answer = response.json()
        assert answer.get("data") is None
        (error,) = answer["errors"]
        assert error["extensions"]["code"] in ("BAD_VECTOR", "SYNTAX", "INVALID_DOCUMENT", "BAD_JSON", "BAD_REQUEST"), error


def test_without_a_model_there_is_nothing_to_compare(annotated: Api) -> None:
    error = annotated.error(QUERY, {"vector": [1.0]})
    assert (error["code"], error["hint"]) == ("UNKNOWN_MODEL", "Embed variants first: vkg embed --model annotation")


def test_a_vector_costs_as_much_as_a_variant(demo: Api, demo_url: str) -> None:
    ((_, direction),) = directions(read_neighbours(demo_url, "annotation"), 1, 10)
    cost = demo.cost(QUERY.replace("$first: Int! = 10", "$first: Int! = 20"), {"vector": direction.tolist()})
    assert cost["objects"] == 50 + 20 + 20  # nodes, and edges
    assert cost["statements"] <= 4  # the models, the neighbours (twice where few pass), the variants
