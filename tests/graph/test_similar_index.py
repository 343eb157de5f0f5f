"""Which variants are like which where an index finds them: nearly those of exact search, always as many as there are, in their order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
import pytest

from bench.synthetic import fill
from store.embedding_index import build_index
from tests.graph.api import Api
from tests.graph.conftest import Clone, settings
from tests.graph.facts import holds, read_facts
from tests.graph.neighbours import Neighbours, read_neighbours, register

pytestmark = pytest.mark.slow

VARIANTS = 60_000
QUERY = """query ($ids: [String!]!, $first: Int!, $after: String, $filter: VariantFilter, $least: Float) { variants(ids: $ids, first: 100) { nodes { name
    similar(model: "clusters", first: $first, after: $after, filter: $filter, minSimilarity: $least) { edges { similarity node { name } }
    pageInfo { hasNextPage endCursor } } } } }"""
FILTERS: dict[str, Any] = {
    "half": {"score": [{"name": "CADD_PHRED", "min": 0}]},
    "a tenth": {"score": [{"name": "CADD_PHRED", "min": 32}]},
    "a hundredth": {"score": [{"name": "CADD_PHRED", "min": 39.2}]},
    "few": {"impact": ["HIGH"]},
    "less than ten": {"and": [{"impact": ["HIGH"]}, {"score": [{"name": "CADD_PHRED", "min": 38}]}]},
}


@dataclass(frozen=True)
class World:
    """A synthetic store whose variants lie in clusters, and which of them pass each filter."""

    api: Api
    url: str
    known: Neighbours
    passing: dict[str, np.ndarray]
    asked: list[str]


@pytest.fixture(scope="module")
def world(clone: Clone) -> Iterator[World]:
    rng = np.random.default_rng(32)
    centres = rng.normal(size=(300, 32))
    with clone("vkg_template") as url:
        fill(url, VARIANTS)
        facts = {fact.name: fact for fact in read_facts(url)}
        of = rng.integers(0, len(centres), len(facts))
        model = register(url, "clusters", dict(zip(facts, centres[of] + 0.5 * rng.normal(size=(len(facts), 32)), strict=True)))
        with psycopg.connect(url, autocommit=True) as conn:
            build_index(conn, model, "128MB")
            conn.execute(f"VACUUM ANALYZE {model.table}")
        known = read_neighbours(url, "clusters")
        passing = {name: np.array([holds(filter, facts[each]) for each in known.names]) for name, filter in FILTERS.items()}
        asked = [known.names[n] for n in rng.choice(VARIANTS, 100, replace=False)]
        with Api(settings(url)) as api:
            yield World(api, url, known, passing, asked)


def similar(world: World, names: list[str], first: int = 10, **arguments: Any) -> dict[str, Any]:
    """By variant the page of what is most like it."""
    data = world.api.data(QUERY, {"ids": names, "first": first, **arguments})
    return {node["name"]: node["similar"] for node in data["variants"]["nodes"]}


def check_numbers(world: World, name: str, edges: list[Any]) -> list[str]:
    """Asserts that similarities are those of the vectors, highest first. Returns the names."""
    names = [edge["node"]["name"] for edge in edges]
    told = np.array([edge["similarity"] for edge in edges])
    exact = world.known.similarities(name)[[world.known.place[each] for each in names]]
    assert np.abs(told - exact).max(initial=0) < 1e-6
    assert (np.diff(told) <= 0).all()
    return names


def scans(url: str) -> int:
    """How often the index was read, as far as the server has counted."""
    with psycopg.connect(url) as conn:
        return conn.execute("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'embedding_2_direction'").fetchone()[0]  # type: ignore[index]


def test_the_index_loses_nearly_none(world: World) -> None:
    before = scans(world.url)
    for count in (10, 100):
        found = similar(world, world.asked, count)
        recalls = [world.known.recall(name, check_numbers(world, name, page["edges"]), count) for name, page in found.items()]
        assert len(recalls) == 100
        assert np.mean(recalls) >= 0.98
    end = time.monotonic() + 20
    while scans(world.url) < before + 200:
        assert time.monotonic() < end, "it is the index that was asked"
        time.sleep(0.1)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_still_gives_as_many_as_there_are(world: World, name: str) -> None:
    allowed = world.passing[name]
    shares = {
        "half": (0.4, 0.6),
        "a tenth": (0.05, 0.15),
        "a hundredth": (0.005, 0.02),
        "few": (0.0002, 0.005),
        "less than ten": (1e-5, 1e-4),
    }
    low, high = shares[name]
    assert low < allowed.mean() < high
    for count in (10, 60):
        found = similar(world, world.asked[:40], count, filter=FILTERS[name])
        recalls = []
        for each, page in found.items():
            others = int(allowed.sum()) - int(allowed[world.known.place[each]])
            names = check_numbers(world, each, page["edges"])
            assert len(names) == min(count, others)
            assert page["pageInfo"]["hasNextPage"] == (others > count)
            recalls.append(world.known.recall(each, names, len(names), allowed))
        assert np.mean(recalls) >= 0.98


BY_VECTOR = """query ($vector: [Float!]!, $first: Int!, $after: String, $filter: VariantFilter, $least: Float) {
    page: variantsByEmbedding(vector: $vector, first: $first, after: $after, filter: $filter, minSimilarity: $least, model: "clusters") {
    edges { similarity node { name } } pageInfo { hasNextPage endCursor } } }"""


def test_the_index_finds_what_is_like_a_vector(world: World) -> None:
    before = scans(world.url)
    rng = np.random.default_rng(33)
    for filter in (None, "a tenth", "a hundredth", "few", "less than ten"):
        allowed = np.ones(len(world.known.names), bool) if filter is None else world.passing[filter]
        recalls = []
        for name in world.asked[:30]:
            vector = world.known.directions[world.known.place[name]] + 0.02 * rng.normal(size=32)
            exact = world.known.similarities_to(vector)
            asked = {"vector": (vector * 1e30).tolist(), "first": 40, "filter": None if filter is None else FILTERS[filter]}
            page = world.api.data(BY_VECTOR, asked)["page"]
            places = [world.known.place[edge["node"]["name"]] for edge in page["edges"]]
            told = np.array([edge["similarity"] for edge in page["edges"]])
            assert len(set(places)) == len(places) == min(40, allowed.sum())
            assert page["pageInfo"]["hasNextPage"] == (allowed.sum() > 40)
            assert allowed[places].all()
            assert np.abs(told - exact[places]).max() < 1e-6
            assert (np.diff(told) <= 0).all()
            bound = -np.sort(-exact[allowed])[: len(places)][-1]
            recalls.append(float((exact[places] >= bound - 1e-6).mean()))
            if page["pageInfo"]["hasNextPage"]:
                rest = world.api.data(BY_VECTOR, asked | {"after": page["pageInfo"]["endCursor"]})["page"]["edges"]
                assert not set(places) & {world.known.place[edge["node"]["name"]] for edge in rest}
                assert rest[0]["similarity"] <= told[-1]
        assert np.mean(recalls) >= 0.98, filter
    end = time.monotonic() + 20
    while scans(world.url) < before + 60:
        assert time.monotonic() < end, "it is the index that was asked"
        time.sleep(0.1)


def test_a_vector_of_the_store_gives_its_variant_first(world: World) -> None:
    for name in world.asked[:20]:
        vector = world.known.directions[world.known.place[name]].tolist()
        edges = world.api.data(BY_VECTOR, {"vector": vector, "first": 11})["page"]["edges"]
        assert edges[0] == {"similarity": 1, "node": {"name": name}}
        assert edges[1:] == similar(world, [name])[name]["edges"]
        near = [edge for edge in edges if edge["similarity"] >= 0.9]
        assert world.api.data(BY_VECTOR, {"vector": vector, "first": 11, "least": 0.9})["page"]["edges"] == near


def test_pages_repeat_nothing_and_go_on_in_their_order(world: World) -> None:
    for filter in (None, FILTERS["a tenth"], FILTERS["few"]):
        allowed = None if filter is None else world.passing[next(name for name, f in FILTERS.items() if f is filter)]
        for name in world.asked[:5]:
            edges: list[Any] = []
            cursor = None
            while len(edges) < 280:
                page = similar(world, [name], 40, filter=filter, after=cursor)[name]
                edges += page["edges"]
                cursor = page["pageInfo"]["endCursor"]
                if not page["pageInfo"]["hasNextPage"]:
                    assert filter == FILTERS["few"]
                    break
            names = check_numbers(world, name, edges)
            assert world.known.recall(name, names, len(names), allowed) >= 0.98


def test_of_those_that_are_similar_enough_none_is_left_out(world: World) -> None:
    found = similar(world, world.asked[:20], 200, least=world.known.bound(world.asked[0], 0.8))
    least = world.known.bound(world.asked[0], 0.8)
    there = got = 0
    for name, page in found.items():
        names = check_numbers(world, name, page["edges"])
        near = world.known.similarities(name) >= least
        near[world.known.place[name]] = False
        assert near[[world.known.place[each] for each in names]].all()
        there, got = there + min(int(near.sum()), 200), got + len(names)
    assert there > 500
    assert got >= 0.98 * there
