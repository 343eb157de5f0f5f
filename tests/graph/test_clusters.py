"""Clusters of variants, over HTTP: those of the demo as scikit-learn finds them once more, with what their members have in common."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from embedder.cluster_commands import cluster_variants
from store import release
from tests.embedder.forks import quick_processes
from tests.graph.api import OF_PAGE, PAGE, WINDOW, Api
from tests.graph.cells import read_gtf
from tests.graph.conftest import DEMO, Clone, Serve, Site, settings
from tests.graph.loading import load_vcf, write_vcf
from tests.graph.neighbours import Neighbours, read_neighbours, register
from tests.graph.test_cell_context import some_consequences, write_vep
from tests.graph.test_releases import current

CLUSTERS = """query ($model: [String!], $dataset: [String!]) { variantClusters(model: $model, dataset: $dataset, first: 1000) { totalCount nodes {
    id number size model cohesion exemplar { name } run { model minSize minSamples variantCount noiseCount clusterCount } load { id dataset kind } } } }"""
MEMBERS = f"""query ($id: ID!, {WINDOW}) {{ node(id: $id) {{ ... on VariantCluster {{ page: members({PAGE}) {{ {OF_PAGE}
    edges {{ cursor probability node {{ name }} }} }} }} }} }}"""
OF_VARIANTS = """query ($ids: [String!]!, $model: [String!], $dataset: [String!]) { variants(ids: $ids, first: 200) { nodes { name
    clusters(model: $model, dataset: $dataset, first: 5) { totalCount edges { probability node { number model load { dataset } } } } } } }"""
COMMON = "query ($id: ID!) { node(id: $id) { ... on VariantCluster { consequences { term count } classes { classification count } } } }"


def make(url: str, **options: Any) -> None:
    """Makes clusters, as `vkg cluster` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VKG_DATABASE_URL", url)
        quick_processes(patch)
        cluster_variants(**options)


def groups(names: list[str], sizes: tuple[int, ...], dimension: int = 16) -> dict[str, np.ndarray]:
    """Vectors of variants: of as many as the first size says around one centre, and so on."""
    rng = np.random.default_rng(16)
    centres = np.repeat(rng.normal(size=(len(sizes), dimension)), sizes, axis=0)
    return dict(zip(names, centres + 0.05 * rng.normal(size=centres.shape), strict=True))


# ---- the demo


@dataclass(frozen=True)
class World:
    """The demo with consequences of some variants; its clusters by annotation, and those of another model, which knows 200 variants."""

    api: Api
    url: str
    annotation: Neighbours
    drawn: dict[str, np.ndarray]
    consequences: dict[str, list[tuple[str, str, str]]]


@pytest.fixture(scope="module")
def world(clone: Clone, demo_template: str, sites: list[Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    csq = some_consequences(sites, read_gtf(DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz"))
    drawn = groups(random.Random(2).sample([site.name for site in sites], 200), (110, 60, 30))
    with clone(demo_template) as url:
        path = write_vep(tmp_path_factory.mktemp("clusters") / "vep.vcf", {site.name: site for site in sites}, csq)
        load_vcf(url, path, dataset="vep", version="1", assembly="GRCh37")
        register(url, "drawn", drawn)
        make(url, model="annotation")
        make(url, model="drawn", min_size=20, min_samples=5)
        with Api(settings(url)) as api:
            yield World(api, url, read_neighbours(url, "annotation"), drawn, csq)


@pytest.mark.slow
def test_clusters_of_the_demo_are_those_of_scikit_learn(world: World) -> None:
    """All 24,990 variants, of which only 1,793 have different vectors: read as text, clustered over a tree of another kind."""
    from sklearn.cluster import HDBSCAN

    directions = world.annotation.directions
    assert len(np.unique(directions, axis=0)) == 1_793
    points = directions / np.linalg.norm(directions, axis=1)[:, None]
    told = points[:, np.ptp(points, axis=0) > 0]
    made = HDBSCAN(min_cluster_size=50, algorithm="kd_tree", copy=True).fit(told)
    expected = sorted(
        (np.flatnonzero(made.labels_ == label) for label in range(made.labels_.max() + 1)), key=lambda rows: (-len(rows), rows[0])
    )
    page = world.api.data(CLUSTERS, {"model": ["annotation"]})["variantClusters"]
    assert page["totalCount"] == len(page["nodes"]) == len(expected) > 50
    (run,) = {str(node["run"]) for node in page["nodes"]}
    noise = int((made.labels_ < 0).sum())
    facts = {
        "model": "annotation",
        "minSize": 50,
        "minSamples": 50,
        "variantCount": 24_990,
        "noiseCount": noise,
        "clusterCount": len(expected),
    }
    assert run == str(facts)
    assert noise < 3_000
    names = world.annotation.names
    for number, (node, rows) in enumerate(zip(page["nodes"], expected, strict=True), 1):
        assert (node["number"], node["size"], node["model"]) == (number, len(rows), "annotation")
        assert (node["load"]["dataset"], node["load"]["kind"]) == ("clusters.annotation", "CLUSTERS")
        mean = points[rows].sum(axis=0)
        near = (points[rows] * (mean / np.linalg.norm(mean))).sum(axis=1)
        assert node["exemplar"]["name"] == names[next(row for row, one in zip(rows, near, strict=True) if one > near.max() - 1e-9)]
        assert node["cohesion"] == pytest.approx(near.mean(), abs=1e-6)
        edges = world.api.walk(MEMBERS, {"id": node["id"]}, 1_000)
        order = sorted(rows, key=lambda row: (-np.float32(made.probabilities_[row]), row))
        assert [edge["node"]["name"] for edge in edges] == [names[row] for row in order]
        assert np.abs(np.array([edge["probability"] for edge in edges]) - made.probabilities_[order]).max() < 1e-6


def test_a_variant_leads_to_its_clusters_and_back(world: World) -> None:
    clusters = world.api.data(CLUSTERS, {"model": ["drawn"]})["variantClusters"]["nodes"]
    assert [(node["number"], node["size"], node["load"]["dataset"]) for node in clusters] == [
        (1, 110, "clusters.drawn"), (2, 60, "clusters.drawn"), (3, 30, "clusters.drawn"),
    ]  # fmt: skip
    place, of = {name: n for n, name in enumerate(world.annotation.names)}, list(world.drawn)
    belongs: dict[str, tuple[int, float]] = {}
    for node, start in zip(clusters, (0, 110, 170), strict=True):
        edges = world.api.walk(MEMBERS, {"id": node["id"]}, 13)
        assert {edge["node"]["name"] for edge in edges} == set(of[start : start + node["size"]])
        assert edges == world.api.walk(MEMBERS, {"id": node["id"]}, 17, backward=True)
        assert [(-edge["probability"], place[edge["node"]["name"]]) for edge in edges] == sorted(
            (-edge["probability"], place[edge["node"]["name"]]) for edge in edges
        )
        belongs |= {edge["node"]["name"]: (node["number"], edge["probability"]) for edge in edges}
    for variant in world.api.data(OF_VARIANTS, {"ids": of})["variants"]["nodes"]:
        edges = variant["clusters"]["edges"]
        assert variant["clusters"]["totalCount"] == len(edges)
        number, probability = belongs[variant["name"]]
        expected = {"probability": probability, "node": {"number": number, "model": "drawn", "load": {"dataset": "clusters.drawn"}}}
        assert edges[0] == expected, "the latest load comes first"
        assert [edge["node"]["model"] for edge in edges[1:]] in ([], ["annotation"])
    with_both = world.api.data(OF_VARIANTS, {"ids": of[:40]})["variants"]["nodes"]
    assert sum(variant["clusters"]["totalCount"] == 2 for variant in with_both) > 30
    for arguments in ({"model": ["annotation"]}, {"dataset": ["clusters.annotation"]}):
        for variant, both in zip(world.api.data(OF_VARIANTS, {"ids": of[:40], **arguments})["variants"]["nodes"], with_both, strict=True):
            assert variant["clusters"]["edges"] == both["clusters"]["edges"][1:]
    assert world.api.data(CLUSTERS, {"dataset": ["clusters.drawn"]})["variantClusters"]["nodes"] == clusters


def test_pages_of_clusters_are_the_largest_first(world: World) -> None:
    query = f"query ({WINDOW}) {{ page: variantClusters({PAGE}) {{ {OF_PAGE} edges {{ cursor node {{ id size number model }} }} }} }}"
    edges = world.api.walk(query, {}, 7)
    ids = [(-edge["node"]["size"], int(edge["node"]["id"].partition(":")[2])) for edge in edges]
    assert ids == sorted(ids)
    assert {edge["node"]["model"] for edge in edges} == {"annotation", "drawn"}
    assert edges == world.api.walk(query, {}, 9, backward=True)


def test_what_members_have_in_common_is_counted(world: World) -> None:
    with psycopg.connect(world.url) as conn:
        severities = dict(
            conn.execute("SELECT DISTINCT unnest(terms), severity FROM transcript_consequence WHERE cardinality(terms) = 1").fetchall()
        )
    counted = 0
    for node in world.api.data(CLUSTERS)["variantClusters"]["nodes"]:
        said = [world.consequences.get(edge["node"]["name"], []) for edge in world.api.walk(MEMBERS, {"id": node["id"]}, 1_000)]
        terms = Counter(min((term for term, *_ in each), key=severities.__getitem__) for each in said if each)
        found = world.api.data(COMMON, {"id": node["id"]})["node"]
        assert found["classes"] == []
        expected = sorted(terms.items(), key=lambda item: (-item[1], item[0]))[:10]
        assert [(each["term"], each["count"]) for each in found["consequences"]] == expected
        counted += sum(terms.values())
    assert counted > 50


def test_many_clusters_take_as_many_statements_as_one(world: World) -> None:
    within = """number exemplar { name } consequences { term count } classes { classification count } run { noiseCount } load { dataset }
        members(first: 2) { totalCount edges { probability node { name clusters { edges { probability node { size } } } } } }"""
    query = f"query ($first: Int!) {{ variantClusters(first: $first) {{ nodes {{ {within} }} }} }}"
    assert world.api.cost(query, {"first": 1})["statements"] == world.api.cost(query, {"first": 50})["statements"] == 9
    query = "query ($ids: [String!]!) { variants(ids: $ids, first: 200) { nodes { clusters { totalCount nodes { number run { noiseCount } } } } } }"
    names = list(world.drawn)
    few, many = (world.api.cost(query, {"ids": names[:count]})["statements"] for count in (1, 200))
    assert few == many


@pytest.mark.parametrize(
    ("arguments", "code"), [('model: ["nobody"]', "UNKNOWN_MODEL"), ('dataset: ["nothing"]', "UNKNOWN_DATASET")], ids=["model", "dataset"]
)
def test_what_there_is_none_of_is_named(world: World, arguments: str, code: str) -> None:
    for query in ("{ variantClusters(%s) { totalCount } }", '{ variant(id: "rs4813331") { clusters(%s) { totalCount } } }'):
        error = world.api.error(query % arguments)
        assert error["code"] == code
        assert "annotation" in error["hint"]


# ---- what is not visible


def test_only_what_is_visible_is_shown_and_counted(own_store: str, serve: Serve, sites: list[Site], tmp_path: Path) -> None:
    some = sites[:80]
    names = [site.name for site in some]
    in_file = {site.name: ("even", "odd")[place % 2] for place, site in enumerate(some)}
    loads = {}
    for dataset in ("even", "odd"):
        rows = [f"20 {site.pos} . {site.ref} {site.alt} 30 PASS DP=7" for site in some if in_file[site.name] == dataset]
        loads[dataset] = load_vcf(own_store, write_vcf(tmp_path / f"{dataset}.vcf", *rows), dataset=dataset, version="1")
    register(own_store, "drawn", groups(names, (50, 30)))
    make(own_store, min_size=20, min_samples=5)
    api = serve(own_store)
    with psycopg.connect(own_store, autocommit=True) as conn:
        current(api, conn)
        before = api.data(CLUSTERS)["variantClusters"]["nodes"]
        assert [node["size"] for node in before] == [50, 30]
        pages = [api.walk(MEMBERS, {"id": node["id"]}, 6) for node in before]
        assert {edge["node"]["name"] for edge in pages[0]} == set(names[:50])
        release.create_release(conn, "kept")
        hidden = in_file[before[0]["exemplar"]["name"]]
        release.unload(conn, loads[hidden])
        current(api, conn)
        after = api.data(CLUSTERS)["variantClusters"]["nodes"]
        assert after[0]["exemplar"] is None
        assert [node["size"] for node in after] == [50, 30], "as it was made"
        for node, page in zip(after, pages, strict=True):
            seen = api.walk(MEMBERS, {"id": node["id"]}, 6)
            assert [edge["node"] for edge in seen] == [edge["node"] for edge in page if in_file[edge["node"]["name"]] != hidden]
            assert 0 < len(seen) < len(page)
        kept = {"Vkg-Release": "kept"}
        assert api.data(CLUSTERS, headers=kept)["variantClusters"]["nodes"] == before
        # Another run takes the place of the first one, and none is left where it is unloaded.
        make(own_store, min_size=10, min_samples=5)
        current(api, conn)
        again = api.data(CLUSTERS)["variantClusters"]["nodes"]
        assert {node["id"] for node in again}.isdisjoint(node["id"] for node in before)
        assert api.data(f'{{ node(id: "{before[0]["id"]}") {{ id }} }}') == {"node": None}
        assert sum(node["size"] for node in again) <= 40
        release.unload(conn, release.find_load(conn, "clusters.drawn@" + again_version(conn)).load_id)
        current(api, conn)
        assert api.data(CLUSTERS)["variantClusters"] == {"totalCount": 0, "nodes": []}
        (variant,) = api.data(OF_VARIANTS, {"ids": [next(name for name in names if in_file[name] != hidden)]})["variants"]["nodes"]
        assert variant["clusters"] == {"totalCount": 0, "edges": []}
        assert api.data(CLUSTERS, headers=kept)["variantClusters"]["nodes"] == before


def again_version(conn: psycopg.Connection[Any]) -> str:
    """The version of the newest clusters."""
    return next(row.version for row in release.loads(conn) if row.kind == "clusters")


def test_held_clusters_are_nobodys(own_annotated: str, serve: Serve) -> None:
    """And published they tell of clinical classes, and of consequences of which several are as severe."""
    api = serve(own_annotated)
    variants = api.data("{ variants { nodes { name } } }")["variants"]["nodes"]
    names = [variant["name"] for variant in variants]
    register(own_annotated, "drawn", groups(names, (len(names) - 6, 6)))
    make(own_annotated, min_size=4, min_samples=2, hold=True)
    with psycopg.connect(own_annotated, autocommit=True) as conn:
        assert api.data(CLUSTERS)["variantClusters"]["nodes"] == []
        release.publish(conn, next(row.load_id for row in release.loads(conn) if row.kind == "clusters"))
        current(api, conn)
    said = """{ variants { nodes { name consequences { terms } clinicalSignificance { aspect classes } } } }"""
    known = {variant["name"]: variant for variant in api.data(said)["variants"]["nodes"]}
    nodes = api.data(CLUSTERS)["variantClusters"]["nodes"]
    assert [node["size"] for node in nodes] == [len(names) - 6, 6]
    seen = Counter[str]()
    for node in nodes:
        members = [known[edge["node"]["name"]] for edge in api.walk(MEMBERS, {"id": node["id"]}, 5)]
        # Consequences are listed the most severe first; several of one severity have one most severe term.
        terms = Counter(term for member in members for term in set(member["consequences"][0]["terms"] if member["consequences"] else ()))
        classes = Counter(
            c
            for member in members
            for c in {c for each in member["clinicalSignificance"] if each["aspect"] == "GERMLINE" for c in each["classes"]}
        )
        found = api.data(COMMON, {"id": node["id"]})["node"]
        for counts, told, name in ((terms, found["consequences"], "term"), (classes, found["classes"], "classification")):
            assert [(each[name], each["count"]) for each in told] == sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10]
            seen.update(each[name] for each in told)
    assert {"missense_variant", "PATHOGENIC"} <= set(seen)
