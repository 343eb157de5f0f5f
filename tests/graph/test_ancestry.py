"""Who lies near whom in ancestry space: distances that numpy computes from PLINK's own files, of the 2,504 people of the 1000 Genomes of whom
three hundred are those of the demo data.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from store import release
from tests.conftest import REAL
from tests.graph.api import OF_PAGE, PAGE, WINDOW, Api
from tests.graph.conftest import Clone, Serve, settings
from tests.graph.loading import load_ancestry, load_samples
from tests.graph.segments import World, total_cm

pytestmark = pytest.mark.requires_real

STEM = "kg2504.chr22_16-17mb.pca10"
MATCHED = f"""query ($id: String!, $above: Float, $population: [String!], $analysis: String, {WINDOW}) {{ sample(id: $id) {{
    page: ancestryMatched(excludeRelatedAboveCm: $above, population: $population, analysis: $analysis, {PAGE}) {{
    {OF_PAGE} edges {{ cursor distance load {{ dataset }} node {{ name }} }} }} }} }}"""


class Space:
    """The components of people, from the files of PLINK: scaled with the roots of the eigenvalues, and as they are."""

    def __init__(self, folder: Path) -> None:
        rows = [line.split() for line in (folder / f"{STEM}.plink1.eigenvec").read_text().splitlines()]
        self.names = [row[1] for row in rows]
        self.place = {name: n for n, name in enumerate(self.names)}
        self.raw = np.array([row[2:] for row in rows], float)
        self.scaled = self.raw * np.sqrt(np.loadtxt(folder / f"{STEM}.plink1.eigenval"))

    def nearest(self, name: str, *, scaled: bool = True) -> list[tuple[str, float]]:
        """All others, nearest first."""
        places = self.scaled if scaled else self.raw
        distances = np.linalg.norm(places - places[self.place[name]], axis=1)
        return [(self.names[n], float(distances[n])) for n in np.argsort(distances) if self.names[n] != name]


@pytest.fixture(scope="module")
def space() -> Space:
    return Space(REAL / "chr22_grch37")


@pytest.fixture(scope="module")
def populations() -> dict[str, set[str]]:
    """The population and super-population of each of the 2,504."""
    panel = REAL / "genome_wide" / "integrated_call_samples_v3.20130502.ALL.panel"
    return {cells[0]: {*cells[1:3]} for cells in (line.split() for line in panel.read_text().splitlines()[1:])}


@pytest.fixture(scope="module")
def placed_url(clone: Clone, demo_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a store with the demo data, the panel of all 2,504, and two analyses: first one without eigenvalues, then PLINK's."""
    folder = Path(
        shutil.copytree(REAL / "chr22_grch37", tmp_path_factory.mktemp("ancestry") / "chr22", ignore=shutil.ignore_patterns("*.gz*"))
    )
    panel = Path(shutil.copy(REAL / "genome_wide" / "integrated_call_samples_v3.20130502.ALL.panel", folder))
    with clone(demo_template) as url:
        load_samples(url, panel, dataset="all", version="1", cohort="1000G")
        load_ancestry(url, folder / f"{STEM}.plink1.eigenvec", unscaled=True, dataset="raw", version="1", cohort="1000G")
        load_ancestry(url, folder / f"{STEM}.plink2.eigenvec", dataset="pca", version="1", cohort="1000G")
        yield url


@pytest.fixture(scope="module")
def placed(placed_url: str) -> Iterator[Api]:
    with Api(settings(placed_url)) as api:
        yield api


def agree(edges: list[dict[str, Any]], expected: list[tuple[str, float]]) -> None:
    """The same people at the same distances, in this order but for those whose distances single precision cannot tell apart."""
    distances = [edge["distance"] for edge in edges]
    assert distances == sorted(distances)
    assert distances == pytest.approx([distance for _, distance in expected], rel=1e-5, abs=1e-6)
    assert len({edge["node"]["name"] for edge in edges}) == len(edges)
    known = dict(expected)
    tied = 0
    for edge, (name, distance) in zip(edges, expected, strict=True):
        if edge["node"]["name"] != name:
            tied += 1
            assert known[edge["node"]["name"]] == pytest.approx(distance, rel=1e-5, abs=1e-6)
    assert tied <= len(edges) // 10


def test_components_are_those_of_the_files(placed: Api, space: Space) -> None:
    query = (
        "query ($ids: [String!]) { samples(ids: $ids, first: 500) { nodes { name ancestry { components scaled load { dataset kind } } } } }"
    )
    for start in range(0, 2504, 500):
        some = space.names[start : start + 500]
        for row in placed.data(query, {"ids": some})["samples"]["nodes"]:
            pca, raw = row["ancestry"]
            assert (pca.pop("scaled"), raw.pop("scaled")) == (True, False)
            assert (pca.pop("load"), raw.pop("load")) == ({"dataset": "pca", "kind": "ANCESTRY"}, {"dataset": "raw", "kind": "ANCESTRY"})
            n = space.place[row["name"]]
            assert pca["components"] == pytest.approx(space.scaled[n], rel=2e-5, abs=1e-7)
            assert raw["components"] == pytest.approx(space.raw[n], rel=2e-5, abs=1e-7)


def test_the_nearest_are_those_that_numpy_finds(placed: Api, space: Space, populations: dict[str, set[str]]) -> None:
    rng = random.Random(31)
    for _ in range(200):
        name = rng.choice(space.names)
        population = rng.choice([None, None, ["FIN"], ["EUR"], ["AFR", "GBR"], ["PJL", "CHB"]])
        analysis = rng.choice([None, "pca", "raw"])
        expected = [
            (other, distance) for other, distance in space.nearest(name, scaled=analysis != "raw")
            if population is None or populations[other] & {*population}
        ]  # fmt: skip
        size = rng.choice([1, 5, 40, 300])
        variables = {"id": name, "population": population, "analysis": analysis, "first": size}
        page = placed.data(MATCHED, variables)["sample"]["page"]
        assert page["totalCount"] == len(expected)
        assert {edge["load"]["dataset"] for edge in page["edges"]} == {analysis or "pca"}
        agree(page["edges"], expected[:size])
        assert page["pageInfo"]["hasNextPage"] == (len(expected) > size)


def test_relatives_are_left_out_of_the_nearest(placed: Api, space: Space, populations: dict[str, set[str]], world: World) -> None:
    """Those who share more in the latest run; 0 leaves out all who share anything."""
    run, rng, left = world.run_of("hapibd"), random.Random(32), 0
    europeans = sum("EUR" in populations[name] for name in space.names)
    for _ in range(200):
        name, above = rng.choice(sorted(run.of_person)), rng.choice([0, 1.1, 1.5, 2.5])
        related = {
            other
            for other in {s.seen_from(name)[0] for s in run.of_person[name]}
            if total_cm(run.of_pair[frozenset((name, other))]) > above
        }
        expected = [row for row in space.nearest(name) if row[0] not in related]
        page = placed.data(MATCHED, {"id": name, "above": above, "first": 60, "population": ["EUR"]})["sample"]["page"]
        assert page["totalCount"] == europeans - 1 - len(related)
        assert not related & {edge["node"]["name"] for edge in page["edges"]}
        names = {edge["node"]["name"] for edge in page["edges"]}
        assert [edge["distance"] for edge in page["edges"]] == pytest.approx([d for o, d in expected if o in names], rel=1e-5, abs=1e-6)
        left += bool(related)
    assert left > 120


@pytest.mark.parametrize(("size", "backward"), [(97, False), (97, True), (1000, False), (1000, True)])
def test_pages_of_the_nearest_lose_and_repeat_nothing(placed: Api, space: Space, size: int, backward: bool) -> None:
    agree(placed.walk(MATCHED, {"id": "HG00096"}, size, backward=backward), space.nearest("HG00096"))


def test_many_people_at_once_are_each_as_if_alone(placed: Api, space: Space) -> None:
    query = "query ($ids: [String!]) { samples(ids: $ids, first: 100) { nodes { name ancestryMatched(first: 7) { edges { distance node { name } } } } } }"
    for row in placed.data(query, {"ids": space.names[::30]})["samples"]["nodes"]:
        agree(row["ancestryMatched"]["edges"], space.nearest(row["name"])[:7])


def test_who_is_placed_by_no_visible_analysis_has_nobody_near(own_demo: str, serve: Serve, tmp_path: Path) -> None:
    names = ["HG00096", "HG00097", "HG00099", "SOMEBODY"]
    (tmp_path / "few.eigenvec").write_text("".join(f"0 {name} {n}.5 {n * n}\n" for n, name in enumerate(names)))
    (tmp_path / "few.eigenval").write_text("4\n9\n")
    load_ancestry(own_demo, tmp_path / "few.eigenvec", dataset="few", version="1", cohort="1000G", create_samples=True)
    api = serve(own_demo)
    found = api.data(MATCHED, {"id": "HG00097"})["sample"]["page"]["edges"]
    assert [(edge["node"]["name"], edge["distance"]) for edge in found] == [
        ("HG00096", pytest.approx(13**0.5)), ("HG00099", pytest.approx(85**0.5)), ("SOMEBODY", pytest.approx((16 + 24 * 24) ** 0.5)),
    ]  # fmt: skip
    assert api.data(MATCHED, {"id": "HG00100"})["sample"]["page"]["totalCount"] == 0
    assert api.error(MATCHED, {"id": "HG00096", "analysis": "fewer"})["code"] == "UNKNOWN_ANALYSIS"
    assert api.error(MATCHED, {"id": "HG00096", "above": -1})["code"] == "BAD_LENGTH"
    assert api.error(MATCHED, {"id": "HG00096", "population": ["FINN"]})["code"] == "UNKNOWN_POPULATION"
    assert [row["name"] for row in api.data('{ samples(ids: ["SOMEBODY"]) { nodes { name } } }')["samples"]["nodes"]] == ["SOMEBODY"]
    with psycopg.connect(own_demo, autocommit=True) as conn:
        release.unload(conn, release.find_load(conn, "few@1").load_id)
    api = serve(own_demo)
    assert api.data(MATCHED, {"id": "HG00097"})["sample"]["page"]["totalCount"] == 0
    assert api.data('{ sample(id: "HG00096") { ancestry { components } } nobody: sample(id: "SOMEBODY") { name } }') == {
        "sample": {"ancestry": []}, "nobody": None,
    }  # fmt: skip


def test_without_a_run_nobody_knows_who_is_related(own_demo: str, serve: Serve) -> None:
    with psycopg.connect(own_demo, autocommit=True) as conn:
        release.unload(conn, release.find_load(conn, "hapibd").load_id)
    error = serve(own_demo).error(MATCHED, {"id": "HG00096", "above": 1})
    assert error["code"] == "UNKNOWN_SOURCE"


def test_of_whom_no_run_speaks_nobody_is_known_to_be_unrelated_and_the_latest_analysis_that_places_them_counts(
    own_demo: str, serve: Serve, tmp_path: Path
) -> None:
    def place(name: str, cohort: str, *people: str) -> None:
        (tmp_path / f"{name}.eigenvec").write_text("".join(f"0 {person} {n}.5\n" for n, person in enumerate(people)))
        load_ancestry(own_demo, tmp_path / f"{name}.eigenvec", unscaled=True, dataset=name, version="1", cohort=cohort, create_samples=True)

    place("hospital", "hospital", "P1", "P2", "P3")
    place("first", "1000G", "HG00096", "HG00097", "HG00099")
    place("second", "1000G", "HG00097", "HG00099", "HG00100")
    api = serve(own_demo)

    def near(person: str, above: float | None = None) -> tuple[set[str], list[str]]:
        edges = api.data(MATCHED, {"id": person, "above": above})["sample"]["page"]["edges"]
        return {edge["load"]["dataset"] for edge in edges}, [edge["node"]["name"] for edge in edges]

    assert near("P1") == ({"hospital"}, ["P2", "P3"])
    assert near("P1", 1) == (set(), []), "a run is visible, but of another cohort"
    assert near("HG00096") == ({"first"}, ["HG00097", "HG00099"]), "the second does not place this one"
    assert near("HG00097") == ({"second"}, ["HG00099", "HG00100"])
    assert near("HG00096", 1_000) == near("HG00096")
