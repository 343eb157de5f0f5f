"""Carriers by descent and frequencies among lineages, against components of networkx over the files (segments.py); and what is said of people where
haplotypes are not known.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import psycopg
import pytest

from graph import descent
from store import release
from tests.graph.api import OF_PAGE, PAGE, WINDOW, Api
from tests.graph.conftest import DEMO, HAPIBD, Clone, Serve
from tests.graph.loading import load_ibd, load_vcf
from tests.graph.segments import Run, Segment, World, draws

pytestmark = pytest.mark.requires_real

LENGTHS = [0, 0, 0.9, 1.05, 1.2, 1.5]
SOURCES = [
    None,
    "hapibd",
    "germline1_diploid",
    "germline",
    "germline1",
    "GERMLINE2",
    "germline2",
    "germline1_homoz",
    "germline2_diploid",
    "ilash",
]
SEGMENT = "line run { name } sample1 { name } sample2 { name } haplotype1 haplotype2"
BY_DESCENT = f"""query ($id: String!, $source: String, $min: Float! = 0, $size: Int! = 1, $first: Int! = 300, $most: Int! = 120) {{ variant(id: $id) {{ carriersByDescent(source: $source, minLengthCm: $min) {{
    basis carrierCount haplotypeCount groupCount joins unequalJoins run {{ name }} callset {{ name }}
    groups(first: $first, minSize: $size) {{ totalCount nodes {{ size sampleCount segmentCount segments(first: 10) {{ lengthCm {SEGMENT} }}
        members(first: $most) {{ nodes {{ haplotype sample {{ name }} }} }} }} }} }} }} }}"""
WEIGHTED = """query ($id: String!, $source: String, $min: Float! = 0, $population: String) { variant(id: $id) {
    ibdWeightedFrequency(source: $source, minLengthCm: $min, population: $population) { frequency carrierLineages lineages alleleCount alleleNumber
    rawFrequency joins unequalJoins population minLengthCm run { name } callset { name } } } }"""

Node = tuple[str, int | None]


def ends(segment: Segment) -> tuple[Node, Node]:
    return (segment.one, segment.hap1), (segment.two, segment.hap2)


def alleles(world: World, place: int, population: str | None = None) -> dict[Node, bool]:
    """Whether each haplotype carries the ALT, in the order of the VCF."""
    return {(s, h): bool(world.haplotypes[place, world.place[s], h - 1]) for s in world.within(population) for h in (1, 2)}


def by_descent(world: World, run: Run, place: int, least: float) -> dict[str, Any]:
    """The answer of carriersByDescent; `groups` are sets of members, with the keys of the segments in each."""
    over = [s for s in run.segments if s.over(world.pos[place]) and s.cm >= least]
    carriers = [s for s in world.samples if world.carry[place, world.place[s]]]
    graph = nx.MultiGraph()
    unequal = None
    if run.phased:
        carry = alleles(world, place)
        graph.add_nodes_from(node for node, alt in carry.items() if alt)
        unequal = sum(carry[a] != carry[b] for a, b in map(ends, over))
    else:
        graph.add_nodes_from((carrier, None) for carrier in carriers)
    joins = [s for s in over if all(end in graph for end in ends(s))]
    graph.add_edges_from((*ends(s), s.key) for s in joins)
    groups = [
        (frozenset(members), frozenset(key for *_, key in graph.subgraph(members).edges(keys=True)))
        for members in nx.connected_components(graph)
    ]
    return {
        "basis": "HAPLOTYPES" if run.phased else "PEOPLE", "carrierCount": len(carriers), "haplotypeCount": len(graph) if run.phased else None,
        "groupCount": len(groups), "joins": len(joins), "unequalJoins": unequal, "run": {"name": run.dataset}, "callset": {"name": "kg300"},
        "groups": groups,
    }  # fmt: skip


def weighted(world: World, run: Run, place: int, least: float, population: str | None) -> dict[str, Any] | None:
    if not run.phased:
        return None
    carry, everybody = alleles(world, place, population), alleles(world, place)
    graph = nx.Graph()
    graph.add_nodes_from(everybody)
    over = [ends(s) for s in run.segments if s.over(world.pos[place]) and s.cm >= least]
    graph.add_edges_from((a, b) for a, b in over if everybody[a] == everybody[b])
    lineages = [everybody[next(iter(members))] for members in nx.connected_components(graph) if members & carry.keys()]
    inside = [(a, b) for a, b in over if a in carry or b in carry]
    equal = [(a, b) for a, b in inside if everybody[a] == everybody[b]]
    return {
        "frequency": sum(lineages) / len(lineages), "carrierLineages": sum(lineages), "lineages": len(lineages), "alleleCount": sum(carry.values()),
        "alleleNumber": len(carry), "rawFrequency": sum(carry.values()) / len(carry), "joins": len(equal), "unequalJoins": len(inside) - len(equal),
        "population": population, "minLengthCm": least, "run": {"name": run.dataset}, "callset": {"name": "kg300"},
    }  # fmt: skip


def a_place(rng: random.Random, world: World, run: Run) -> int:
    """A variant inside a segment of a run, half of them carried on both haplotypes that it joins."""
    segment = rng.choice(run.segments)
    inside = world.inside([segment])
    if rng.random() < 0.5:
        both = [p for p in inside if world.carry[p, world.place[segment.one]] and world.carry[p, world.place[segment.two]]]
        inside = both or inside
    return int(rng.choice(inside))


def grouped(found: dict[str, Any]) -> dict[str, Any]:
    """An answer with its groups as sets, after what can be told from it alone."""
    groups = found["groups"]["nodes"]
    assert found["groups"]["totalCount"] == len(groups)
    sizes = [group["size"] for group in groups]
    assert sizes == sorted(sizes, reverse=True)
    sets = []
    for group in groups:
        members = [(member["sample"]["name"], member["haplotype"]) for member in group["members"]["nodes"]]
        assert group["size"] == len(members) == len({*members})
        assert group["sampleCount"] == len({name for name, _ in members})
        lengths = [s["lengthCm"] for s in group["segments"]]
        assert lengths == sorted(lengths, reverse=True), "the longest first"
        for s in group["segments"]:
            assert {
                (s["sample1"]["name"], s["haplotype1"] if members[0][1] else None),
                (s["sample2"]["name"], s["haplotype2"] if members[0][1] else None),
            } <= {*members}
        sets.append((frozenset(members), group["segmentCount"], frozenset((s["run"]["name"], s["line"]) for s in group["segments"])))
    return found | {"groups": sets}


def test_carriers_by_descent_are_components_of_sharing(shared: Api, world: World) -> None:
    joined = 0

    def draw(rng: random.Random) -> Any:
        source, least = rng.choice(SOURCES), rng.choice(LENGTHS)
        run = world.run_of(source)
        place = a_place(rng, world, run)
        expected = by_descent(world, run, place, least)
        largest = max((len(members) for members, _ in expected["groups"]), default=0)
        pages = {"first": 300, "most": 120} if largest <= 120 else {"first": 150, "most": 300}
        size = rng.choice([1, 2, 2, 2]) if len(expected["groups"]) <= pages["first"] else 2
        return {"id": world.names[place], "source": source, "min": least, "size": size} | pages, expected["carrierCount"] and expected

    for variables, expected in draws(21, 210, draw):
        found = grouped(shared.data(BY_DESCENT, variables)["variant"]["carriersByDescent"])
        groups = {members: (count, keys) for members, count, keys in found.pop("groups")}
        wanted = {members: keys for members, keys in expected.pop("groups") if len(members) >= variables["size"]}
        assert found == expected, variables
        assert groups.keys() == wanted.keys(), variables
        for members, (count, keys) in groups.items():
            assert count == len(wanted[members])
            assert len(keys) == min(count, 10)
            assert keys <= wanted[members]
        joined += expected["joins"] > 0
    assert joined > 100


def test_groups_are_those_of_at_least_a_size_the_largest_first(shared: Api, world: World) -> None:
    run = world.run_of("hapibd")
    expected = by_descent(world, run, world.number["20-1897442-C-T"], 0)["groups"]
    for size in (2, 3, 5, 1000):
        found = grouped(shared.data(BY_DESCENT, {"id": "rs4813331", "source": "hapibd", "size": size})["variant"]["carriersByDescent"])
        assert found["groupCount"] == len(expected)
        assert {members for members, *_ in found["groups"]} == {members for members, _ in expected if len(members) >= size}


def test_frequencies_among_lineages_are_those_of_components(shared: Api, world: World) -> None:
    phased = [source for source in SOURCES if world.run_of(source).phased] + ["hapibd_default"]
    collapsed = 0

    def draw(rng: random.Random) -> Any:
        source, least = rng.choice(phased), rng.choice(LENGTHS)
        population = rng.choice([None, None, None, "FIN", "GBR", "IBS", "CEU", "EUR"])
        run = world.run_of(source)
        place = a_place(rng, world, run)
        return {"id": world.names[place], "source": source, "min": least, "population": population}, weighted(
            world, run, place, least, population
        )

    for variables, expected in draws(22, 210, draw):
        assert shared.data(WEIGHTED, variables)["variant"]["ibdWeightedFrequency"] == expected, variables
        collapsed += expected["lineages"] < expected["alleleNumber"]
    assert collapsed > 150


def test_many_variants_at_once_are_each_as_if_alone(shared: Api, world: World) -> None:
    """More than are read together; also those over which there is no segment, and the run without haplotypes."""
    query = """query ($after: String, $source: String) { variants(region: "20:1000000-1060000", first: 30, after: $after) { pageInfo { endCursor } nodes { name
        ibdWeightedFrequency(source: $source) { lineages carrierLineages joins unequalJoins } carriersByDescent(source: $source) { groupCount joins unequalJoins } } } }"""
    for source in ("ilash", "germline1_diploid"):
        run, after, seen = world.run_of(source), None, 0
        for _ in range(5):
            page = shared.data(query, {"after": after, "source": source})["variants"]
            after = page["pageInfo"]["endCursor"]
            for row in page["nodes"]:
                place = world.number[row["name"]]
                lineages, groups = weighted(world, run, place, 0, None), by_descent(world, run, place, 0)
                assert row["ibdWeightedFrequency"] == (lineages and {name: lineages[name] for name in row["ibdWeightedFrequency"]})
                assert row["carriersByDescent"] == {name: groups[name] for name in row["carriersByDescent"]}
                seen += 1
        assert seen == 150


def test_the_demo_shows_that_to_collapse_carriers_alone_is_another_thing(demo: Api) -> None:
    """At rs4813331: all lineages give 199/499, above the raw 235/600; carriers alone collapsed would give 199/600, below it, whatever is shared."""
    query = """{ variant(id: "rs4813331") { ibdWeightedFrequency { frequency carrierLineages lineages alleleCount alleleNumber rawFrequency joins unequalJoins }
        carriersByDescent { groupCount haplotypeCount joins unequalJoins basis } } }"""
    found = demo.data(query)["variant"]
    assert found["ibdWeightedFrequency"] == {
        "frequency": 199 / 499, "carrierLineages": 199, "lineages": 499, "alleleCount": 235, "alleleNumber": 600, "rawFrequency": 235 / 600,
        "joins": 159, "unequalJoins": 0,
    }  # fmt: skip
    assert found["ibdWeightedFrequency"]["frequency"] == pytest.approx(0.39879, abs=1e-5)
    carriers = found["carriersByDescent"]
    assert (carriers["basis"], carriers["groupCount"], carriers["haplotypeCount"], carriers["unequalJoins"]) == ("HAPLOTYPES", 199, 235, 0)
    assert carriers["joins"] < 159
    assert carriers["groupCount"] / 600 < 235 / 600 < found["ibdWeightedFrequency"]["frequency"]


# ---- where haplotypes are not known


IN_IBD = """query ($one: String!, $two: String!, $source: String, $region: String) { variantsInIbd(sample1: $one, sample2: $two, source: $source, region: $region, first: 1000) {
    edges { sharing gt1 gt2 callset { name } node { name } } } }"""


def people_only(api: Api, world: World, run: Run, callset: str, places: list[int]) -> None:
    """Asserts that a run whose haplotypes mean nothing speaks of people."""
    expected_of = unphased(run)
    for place in places:
        variables = {"id": world.names[place], "source": run.dataset}
        assert api.data(WEIGHTED, variables)["variant"]["ibdWeightedFrequency"] is None
        found = grouped(api.data(BY_DESCENT, variables | {"size": 2, "first": 150, "most": 300})["variant"]["carriersByDescent"])
        expected = by_descent(world, expected_of, place, 0)
        assert {members for members, *_ in found.pop("groups")} == {members for members, _ in expected.pop("groups") if len(members) > 1}
        assert found == expected | {"callset": {"name": callset}}


def sharing_of_people(api: Api, run: Run, callset: str) -> None:
    """Asserts that variants in the segments of such a run are shared by people, where both callsets have them."""
    seen: set[str] = set()
    for segment in [segment for segment in run.segments if segment.over(1_900_000)][::15]:
        variables = {"one": segment.one, "two": segment.two, "source": run.dataset, "region": "20:1880001-1999999"}
        for edge in api.data(IN_IBD, variables)["variantsInIbd"]["edges"]:
            both = "1" in edge["gt1"] and "1" in edge["gt2"]
            assert edge["sharing"] == ("BOTH_CARRY" if both else "ONE_CARRIES")
            assert edge["callset"] == {"name": callset}
            seen.add(edge["sharing"])
    assert seen == {"BOTH_CARRY", "ONE_CARRIES"}


def unphased(run: Run) -> Run:
    """A run as one whose segments join people."""
    return replace(run, phased=False, segments=[replace(segment, hap1=None, hap2=None) for segment in run.segments])


@pytest.fixture(scope="module")
def bare_url(clone: Clone, demo_template: str, tmp_path_factory: pytest.TempPathFactory, segment_files: Path) -> Iterator[str]:
    """URL of a store with the demo data, a second callset of some of its variants, and runs that do not say in which callset they were found, or say
    one that is not there, or have no haplotypes."""
    folder = tmp_path_factory.mktemp("bare")
    with gzip.open(DEMO / "kg300_eur.chr20_1-4mb.grch37.phased.vcf.gz", "rt") as lines:
        some = [line for line in lines if line[0] == "#" or 1_880_000 < int(line.split("\t", 2)[1]) < 2_000_000]
    (folder / "some.vcf").write_text("".join(some))
    with clone(demo_template) as url:
        load_vcf(url, folder / "some.vcf", dataset="some", version="1", cohort="1000G", assembly="GRCh37")
        load_ibd(url, *HAPIBD, source="hap-ibd", dataset="nobody_said", version="1", cohort="1000G")
        load_ibd(url, *HAPIBD, source="hap-ibd", dataset="absent", version="1", cohort="1000G", callset="never@1")
        load_ibd(url, *HAPIBD, source="hap-ibd", dataset="other_version", version="1", cohort="1000G", callset="kg300@phase1")
        load_ibd(url, *HAPIBD, source="hap-ibd", dataset="this_version", version="1", cohort="1000G", callset="kg300@phase3")
        load_ibd(
            url,
            segment_files / "germline1.diploid_w_extend.match",
            source="germline",
            dataset="unphased",
            version="1",
            cohort="1000G",
            callset="kg300",
        )
        yield url


def named(run: Run, dataset: str) -> Run:
    """A run, loaded under another name."""
    return replace(run, dataset=dataset, segments=[replace(segment, run=dataset) for segment in run.segments])


def test_a_run_whose_callset_nobody_said_or_is_another_speaks_of_people(bare_url: str, serve: Serve, world: World) -> None:
    """Which of the callsets of the cohort then says who carries what: the latest that has the variant, and both people."""
    api = serve(bare_url)
    run, rng = world.run_of("hapibd"), random.Random(23)
    outside = [p for p in (a_place(rng, world, run) for _ in range(60)) if not 1_880_000 < world.pos[p] < 2_000_000][:10]
    for of_people in (named(run, "nobody_said"), named(run, "absent"), named(run, "other_version")):
        people_only(api, world, of_people, "kg300", outside)
        people_only(api, world, of_people, "some", [world.number["20-1897442-C-T"]])
        sharing_of_people(api, of_people, "some")
    diploid = named(world.run_of("germline1_diploid"), "unphased")
    people_only(api, world, diploid, "kg300", outside)
    sharing_of_people(api, diploid, "kg300")
    exact = {"id": "rs4813331", "source": "this_version"}
    assert api.data(WEIGHTED, exact)["variant"]["ibdWeightedFrequency"]["lineages"] == 499
    assert api.data(BY_DESCENT, exact)["variant"]["carriersByDescent"]["callset"] == {"name": "kg300"}


def test_when_its_callset_is_not_visible_a_run_speaks_of_people_of_another_and_without_any_not_at_all(
    clone: Clone, bare_url: str, serve: Serve, world: World
) -> None:
    template = bare_url.split("?")[0].rpartition("/")[2]
    with clone(template) as url:
        run = world.run_of("hapibd")
        before = serve(url)
        assert before.data(WEIGHTED, {"id": "rs4813331", "source": "hapibd"})["variant"]["ibdWeightedFrequency"]["callset"] == {
            "name": "kg300"
        }
        with psycopg.connect(url, autocommit=True) as conn:
            release.unload(conn, release.find_load(conn, "kg300@phase3").load_id)
        api = serve(url)
        assert api.data('{ ibdRuns(source: "hapibd") { phased callset { name } } }') == {"ibdRuns": [{"phased": True, "callset": None}]}
        people_only(api, world, run, "some", [world.number["20-1897442-C-T"]])
        sharing_of_people(api, run, "some")
        with psycopg.connect(url, autocommit=True) as conn:
            release.unload(conn, release.find_load(conn, "some@1").load_id)
        api = serve(url)
        s = run.segments[0]
        found = api.data(
            'query ($one: String!, $two: String!) { variantsInIbd(sample1: $one, sample2: $two, source: "hapibd") { totalCount } ibdShared(sample1: $one, sample2: $two) { segmentCount } }',
            {"one": s.one, "two": s.two},
        )
        assert found == {"variantsInIbd": {"totalCount": 0}, "ibdShared": {"segmentCount": 1}}


# ---- pages, and limits


PAGES = f"""query ($id: String!, {WINDOW}) {{ variant(id: $id) {{ carriersByDescent(source: "hapibd") {{
    page: groups({PAGE}) {{ {OF_PAGE} edges {{ cursor node {{ size members(first: 20) {{ nodes {{ haplotype sample {{ name }} }} }} }} }} }} }} }} }}"""
MEMBERS = f"""query ($id: String!, {WINDOW}) {{ variant(id: $id) {{ carriersByDescent(source: "hapibd") {{
    groups(first: 1) {{ nodes {{ page: members({PAGE}) {{ {OF_PAGE} edges {{ cursor node {{ haplotype sample {{ name }} }} }} }} }} }} }} }} }}"""


@pytest.mark.parametrize(("size", "backward"), [(1000, False), (37, False), (37, True), (1000, True)])
def test_pages_of_groups_lose_and_repeat_nothing(demo: Api, size: int, backward: bool) -> None:
    variables = {"id": "rs4813331"}
    every = demo.walk(PAGES, variables, 1000)
    assert demo.walk(PAGES, variables, size, backward=backward) == every
    assert len(every) == 199
    members = [(m["sample"]["name"], m["haplotype"]) for edge in every for m in edge["node"]["members"]["nodes"]]
    assert len({*members}) == len(members) == 235


@pytest.mark.parametrize(("size", "backward"), [(1, False), (2, True), (5, False)])
def test_pages_of_members_lose_and_repeat_nothing(demo: Api, size: int, backward: bool) -> None:
    edges = demo.walk(MEMBERS, {"id": "rs4813331"}, size, backward=backward)
    assert [edge["node"]["sample"]["name"] for edge in edges] == ["HG00097", "HG00106", "HG00136", "HG00245", "HG01669"]


def test_a_cursor_of_groups_holds_for_its_release(own_demo: str, serve: Serve) -> None:
    variables = {"id": "rs4813331", "first": 3}
    page = serve(own_demo).data(PAGES, variables)["variant"]["carriersByDescent"]["page"]
    cursor = page["pageInfo"]["endCursor"]
    load_ibd(own_demo, HAPIBD[1], source="hap-ibd", dataset="other", version="1", callset="kg300")
    api = serve(own_demo)
    assert api.error(PAGES, variables | {"after": cursor})["code"] == "BAD_CURSOR"
    assert api.error(MEMBERS, variables | {"after": cursor})["code"] == "BAD_CURSOR", "of another list"
    assert api.error(PAGES, variables | {"after": "x"})["code"] == "BAD_CURSOR"
    fresh = api.data(PAGES, variables)["variant"]["carriersByDescent"]["page"]
    assert [edge["node"] for edge in fresh["edges"]] == [edge["node"] for edge in page["edges"]]


def test_too_many_segments_over_one_variant_are_refused(demo: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """159 lie over this one."""
    monkeypatch.setattr(descent, "MOST_SEGMENTS", 158)
    for query in (WEIGHTED, BY_DESCENT):
        error = demo.error(query, {"id": "rs4813331"})
        assert (error["code"], error["hint"]) == ("TOO_MANY_SEGMENTS", "Count only longer ones: minLengthCm.")
        assert demo.data(query, {"id": "rs4813331", "min": 1.2})
    monkeypatch.setattr(descent, "MOST_SEGMENTS", 159)
    assert demo.data(WEIGHTED, {"id": "rs4813331"})["variant"]["ibdWeightedFrequency"]["joins"] == 159


def test_joining_all_haplotypes_at_a_variant_costs_two_hundred_objects(demo: Api) -> None:
    query = '{ variants(region: "20:2000000-2010000", first: 10) { nodes { name %s } } }'
    without = demo.cost(query % "")["objects"]
    one, other = "ibdWeightedFrequency { frequency }", "carriersByDescent { basis }"
    assert demo.cost(query % one)["objects"] == without + 10 * 201
    assert demo.cost(query % f"{one} {other}")["objects"] == without + 20 * 201
    assert demo.error(query.replace("10)", "1000)") % one)["code"] == "TOO_MANY_COST"
