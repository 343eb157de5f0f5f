"""Segments shared by descent, and of homozygosity by descent: those that the graph gives are those of the files (segments.py), whatever they are
asked by, and the haplotypes that they join are those of the calls.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from store import release
from tests.graph.api import OF_PAGE, PAGE, WINDOW, Api
from tests.graph.conftest import DEMO, Clone, Serve, settings
from tests.graph.loading import load_ibd
from tests.graph.segments import REAL_RUNS, TOOLS, File, Run, Segment, World, draws, swapped

pytestmark = pytest.mark.requires_real

SEGMENT = "line lengthCm start end run { name } sample1 { name } sample2 { name } haplotype1 haplotype2"
EDGES = f"totalCount edges {{ cursor haplotype otherHaplotype other {{ name }} node {{ {SEGMENT} }} }}"
SOURCES = [None, "hapibd", "germline1_diploid", "germline", "germline1", "GERMLINE2", "germline2", "hap-ibd", "hapibd_default", "ilash"]
LENGTHS = [0, 0, 0.9, 1.05, 1.2, 1.5, 2]


def shown(segment: Segment, seen_from: str | None = None) -> dict[str, Any]:
    """A segment as the graph should show it, and as an edge of one of its people."""
    (first, hap1), (second, hap2) = sorted([(segment.one, segment.hap1), (segment.two, segment.hap2)])
    node = {
        "line": segment.line, "lengthCm": segment.cm, "start": segment.start, "end": segment.end, "run": {"name": segment.run},
        "sample1": {"name": first}, "sample2": {"name": second}, "haplotype1": hap1, "haplotype2": hap2,
    }  # fmt: skip
    if seen_from is None:
        return node
    other, mine, its = segment.seen_from(seen_from)
    return {"haplotype": mine, "otherHaplotype": its, "other": {"name": other}, "node": node}


def listed(page: dict[str, Any]) -> list[dict[str, Any]]:
    """The edges of a page, which has all, without their cursors."""
    edges = [{name: value for name, value in edge.items() if name != "cursor"} for edge in page["edges"]]
    assert page["totalCount"] == len(edges)
    return edges


def edges_of(world: World, segments: Iterable[Segment], person: str) -> list[dict[str, Any]]:
    return [shown(segment, person) for segment in sorted(segments, key=world.order, reverse=True)]


def variant_inside(rng: random.Random, world: World, segment: Segment) -> int:
    """A variant inside a segment: any, or the one nearest to an end."""
    inside = world.inside([segment])
    return int(rng.choice([inside[0], inside[-1], *rng.choices(inside, k=4)]))


def some_segment(rng: random.Random, runs: list[Run]) -> Segment:
    return rng.choice(rng.choice(runs).segments)


# ---- runs


def test_runs_are_those_loaded(shared: Api, world: World) -> None:
    query = """{ ibdRuns { name version source sourceVersion cohort phased surveyedCm segmentCount hbdSegmentCount sampleCount callset { name } load { dataset kind } } }"""
    for found, run in zip(shared.data(query)["ibdRuns"], world.runs, strict=True):
        people = {person for segment in run.segments + run.homozygous for person in segment.people}
        assert found == {
            "name": run.dataset, "version": "min1cm" if run.dataset == "hapibd" else "1", "source": TOOLS[run.source],
            "sourceVersion": "1.0" if run.dataset == "hapibd" else None, "cohort": "1000G", "phased": run.phased, "surveyedCm": 6.65 if run.dataset == "hapibd" else None,
            "segmentCount": str(len(run.segments)), "hbdSegmentCount": str(len(run.homozygous)), "sampleCount": len(people),
            "callset": {"name": "kg300"} if run.phased else None, "load": {"dataset": run.dataset, "kind": "IBD"},
        }  # fmt: skip
    for source in SOURCES[1:]:
        found = shared.data("query ($s: String) { ibdRuns(source: $s) { name } }", {"s": source})["ibdRuns"]
        assert [run["name"] for run in found] == [run.dataset for run in world.runs_of(source)]


# ---- segments over a variant


def test_context_of_a_variant_is_that_of_the_files(shared: Api, world: World) -> None:
    query = f"""query ($id: String!, $sample: String!, $source: String, $min: Float!) {{ variant(id: $id) {{
        ibdContext(sample: $sample, source: $source, minLengthCm: $min, first: 1000) {{ {EDGES} }} }} }}"""

    def draw(rng: random.Random) -> Any:
        source, least = rng.choice(SOURCES), rng.choice(LENGTHS)
        runs = world.runs_of(source)
        segment = some_segment(rng, runs)
        place, person = variant_inside(rng, world, segment), rng.choice([segment.one, segment.two])
        found = [s for run in runs for s in run.of_person[person] if s.over(world.pos[place]) and s.cm >= least]
        return {"id": world.names[place], "sample": person, "source": source, "min": least}, edges_of(world, found, person)

    for variables, expected in draws(1, 220, draw):
        assert listed(shared.data(query, variables)["variant"]["ibdContext"]) == expected, variables


def test_all_sharing_over_a_variant_is_that_of_the_files(shared: Api, world: World) -> None:
    query = f"""query ($id: String!, $source: String, $min: Float!) {{ variant(id: $id) {{
        ibdSharing(source: $source, minLengthCm: $min, first: 60) {{ totalCount nodes {{ {SEGMENT} }} }} }} }}"""

    def draw(rng: random.Random) -> Any:
        source, least = rng.choice(SOURCES), rng.choice(LENGTHS)
        runs = world.runs_of(source)
        place = variant_inside(rng, world, some_segment(rng, runs))
        found = [s for run in runs for s in run.segments if s.over(world.pos[place]) and s.cm >= least]
        ordered = sorted(found, key=world.order, reverse=True)
        return {"id": world.names[place], "source": source, "min": least}, ordered

    for variables, expected in draws(2, 200, draw):
        page = shared.data(query, variables)["variant"]["ibdSharing"]
        assert (page["totalCount"], page["nodes"]) == (len(expected), [shown(s) for s in expected[:60]]), variables


def test_pages_of_sharing_over_a_variant_lose_and_repeat_nothing(shared: Api, world: World) -> None:
    query = f"""query ($id: String!, {WINDOW}) {{ variant(id: $id) {{ page: ibdSharing({PAGE}) {{ {OF_PAGE} edges {{ cursor node {{ id {SEGMENT} }} }} }} }} }}"""
    place = int(abs(world.pos - 2_500_000).argmin())
    found = sorted((s for run in world.runs for s in run.segments if s.over(world.pos[place])), key=world.order, reverse=True)
    assert len(found) > 500
    for size, backward in ((61, False), (61, True), (1000, False), (1000, True)):
        edges = shared.walk(query, {"id": world.names[place]}, size, backward=backward)
        assert len({edge["node"].pop("id") for edge in edges}) == len(edges)
        assert [edge["node"] for edge in edges] == [shown(segment) for segment in found]


def test_segments_of_carriers_over_a_variant_are_those_of_the_files(shared: Api, world: World) -> None:
    """Of 60 variants, each with up to 40 carriers."""
    query = f"""query ($ids: [String!]!, $source: String, $min: Float!) {{ variants(ids: $ids, first: 12) {{ nodes {{ name
        carriers(first: 40) {{ edges {{ node {{ name }} ibdSegments(source: $source, minLengthCm: $min, first: 20) {{ {EDGES} }} }} }} }} }} }}"""
    rng, seen = random.Random(3), 0
    for source in (None, "hapibd", "germline", "ilash", "germline2_diploid"):
        runs, least = world.runs_of(source), rng.choice(LENGTHS)
        names = [world.names[variant_inside(rng, world, some_segment(rng, runs))] for _ in range(12)]
        rows = shared.data(query, {"ids": names, "source": source, "min": least})["variants"]["nodes"]
        assert {row["name"] for row in rows} == set(names)
        for row in rows:
            place = world.number[row["name"]]
            carriers = [person for person in world.samples if world.carry[place, world.place[person]]]
            assert [edge["node"]["name"] for edge in row["carriers"]["edges"]] == carriers[:40]
            for edge in row["carriers"]["edges"]:
                person = edge["node"]["name"]
                found = [s for run in runs for s in run.of_person[person] if s.over(world.pos[place]) and s.cm >= least]
                page = edge["ibdSegments"]
                assert page["totalCount"] == len(found)
                assert [{n: v for n, v in e.items() if n != "cursor"} for e in page["edges"]] == edges_of(world, found, person)[:20]
                seen += bool(found)
    assert seen > 200


def test_segments_over_the_variants_of_a_sample_are_those_of_the_files(shared: Api, world: World) -> None:
    query = f"""query ($id: String!, $region: String, $source: String) {{ sample(id: $id) {{ variants(region: $region, first: 30) {{
        edges {{ node {{ name }} ibdSegments(source: $source, first: 30) {{ {EDGES} }} }} }} }} }}"""
    rng, seen = random.Random(4), 0
    for source in [None, "hapibd", "germline1", "ilash"] * 8:
        runs = world.runs_of(source)
        segment = some_segment(rng, runs)
        middle = rng.randint(segment.start, segment.end)
        variables = {"id": segment.one, "region": f"20:{middle - 4_000}-{middle + 4_000}", "source": source}
        for edge in shared.data(query, variables)["sample"]["variants"]["edges"]:
            pos = world.pos[world.number[edge["node"]["name"]]]
            found = [s for run in runs for s in run.of_person[segment.one] if s.over(pos)]
            assert edge["ibdSegments"]["totalCount"] == len(found)
            assert [{n: v for n, v in e.items() if n != "cursor"} for e in edge["ibdSegments"]["edges"]] == edges_of(
                world, found, segment.one
            )[:30]
            seen += bool(found)
    assert seen > 200


# ---- segments of a sample


def test_segments_of_a_sample_are_those_of_the_files(shared: Api, world: World) -> None:
    query = f"""query ($id: String!, $region: String, $others: [String!], $source: String, $min: Float!) {{ sample(id: $id) {{
        ibdSegments(region: $region, others: $others, source: $source, minLengthCm: $min, first: 1000) {{ {EDGES} }} }} }}"""

    def draw(rng: random.Random) -> Any:
        source, least = rng.choice(SOURCES), rng.choice(LENGTHS)
        runs = world.runs_of(source)
        segment = some_segment(rng, runs)
        person = rng.choice([segment.one, segment.two])
        found = [s for run in runs for s in run.of_person[person] if s.cm >= least]
        variables: dict[str, Any] = {"id": person, "source": source, "min": least}
        if rng.random() < 0.5:
            start, end = sorted(
                rng.choices([segment.start - 1, segment.start, segment.end, segment.end + 1, rng.randint(1_000_000, 4_000_000)], k=2)
            )
            variables["region"] = f"20:{start}-{end}"
            found = [s for s in found if s.start <= end and s.end >= start]
        if rng.random() < 0.5:
            others = {segment.seen_from(person)[0], rng.choice(world.samples), rng.choice(world.samples)}
            variables["others"] = sorted(rng.choice(["", "1000G/"]) + other for other in others)
            found = [s for s in found if s.seen_from(person)[0] in others]
        return variables, edges_of(world, found, person)

    for variables, expected in draws(5, 220, draw):
        assert listed(shared.data(query, variables)["sample"]["ibdSegments"]) == expected, variables


def test_pages_of_segments_of_a_sample_lose_and_repeat_nothing(shared: Api, world: World) -> None:
    query = f"""query ($id: String!, {WINDOW}) {{ sample(id: $id) {{ page: ibdSegments({PAGE}) {{ {OF_PAGE} edges {{ cursor node {{ line run {{ name }} }} }} }} }} }}"""
    person = Counter(person for run in world.runs for s in run.segments for person in s.people).most_common(1)[0][0]
    found = sorted((s for run in world.runs for s in run.of_person[person]), key=world.order, reverse=True)
    for size, backward in ((1, False), (9, False), (9, True), (len(found), True)):
        edges = shared.walk(query, {"id": person}, size, backward=backward)
        assert [(edge["node"]["run"]["name"], edge["node"]["line"]) for edge in edges] == [segment.key for segment in found]


# ---- homozygosity by descent


def homozygous(world: World) -> list[Segment]:
    return [segment for run in world.runs for segment in run.homozygous]


def test_segments_of_homozygosity_are_those_of_the_files(shared: Api, world: World) -> None:
    """All of all people, and by region, source and length."""
    fields = "line lengthCm start end region lengthBp chrom run { name } sample { name }"
    query = f"""query ($ids: [String!], $region: String, $source: String, $min: Float!) {{ samples(ids: $ids, first: 300) {{ nodes {{ name
        hbdSegments(region: $region, source: $source, minLengthCm: $min, first: 20) {{ totalCount nodes {{ {fields} }} }} }} }} }}"""
    assert len(homozygous(world)) == 29
    rng, seen = random.Random(6), 0
    asked: list[tuple[list[str], dict[str, Any]]] = [(world.samples, {"min": 0})]
    for _ in range(450):
        segment = rng.choice(homozygous(world))
        ends = sorted(rng.choices([segment.start - 1, segment.start, segment.end, segment.end + 1, 2_500_000], k=2))
        region = {"region": f"20:{ends[0]}-{ends[1]}"} if rng.random() < 0.5 else {}
        asked.append(
            (sorted({segment.one, rng.choice(world.samples)}), {"source": rng.choice(SOURCES), "min": rng.choice(LENGTHS), **region})
        )
    for ids, variables in asked:
        start, end = (int(x) for x in variables.get("region", "20:1-9999999")[3:].split("-"))
        found = shared.data(query, {"ids": ids, **variables})["samples"]["nodes"]
        assert [row["name"] for row in found] == sorted(ids)
        for row in found:
            expected = sorted(
                (
                    s for run in world.runs_of(variables.get("source")) for s in run.homozygous
                    if s.one == row["name"] and s.cm >= variables["min"] and s.start <= end and s.end >= start
                ),
                key=world.order, reverse=True,
            )  # fmt: skip
            assert row["hbdSegments"] == {
                "totalCount": len(expected),
                "nodes": [
                    {
                        "line": s.line, "lengthCm": s.cm, "start": s.start, "end": s.end, "region": f"20:{s.start}-{s.end}", "chrom": "20",
                        "lengthBp": s.end - s.start + 1, "run": {"name": s.run}, "sample": {"name": s.one},
                    }
                    for s in expected
                ],
            }  # fmt: skip
            seen += bool(expected)
    assert seen > 200


def test_variants_of_homozygosity_are_those_of_the_files(shared: Api, world: World) -> None:
    query = """query ($id: String!, $region: String, $source: String, $min: Float!, $zygosity: [Zygosity!], $filter: VariantFilter) { sample(id: $id) {
        hbdVariants(region: $region, source: $source, minLengthCm: $min, zygosity: $zygosity, filter: $filter, first: 500) {
        totalCount edges { gt zygosity phased callset { name } node { name } ibdSegments(first: 1) { totalCount } } } } }"""

    def draw(rng: random.Random) -> Any:
        source, least = rng.choice(SOURCES), rng.choice(LENGTHS)
        runs, segment = world.runs_of(source), rng.choice(homozygous(world))
        person, zygosity = segment.one, rng.choice([None, None, ["HOM_ALT"], ["HET"], ["HET", "HOM_ALT"]])
        start = rng.randint(segment.start - 20_000, segment.end)
        end = start + rng.randint(1, 150_000)
        snvs = rng.random() < 0.3
        found = []
        for place in world.inside((s for run in runs for s in run.homozygous if s.one == person and s.cm >= least), start, end):
            copies = int(world.haplotypes[place, world.place[person]].sum())
            name = world.names[place]
            if copies and ("", "HET", "HOM_ALT")[copies] in (zygosity or ["HOM_ALT"]) and not (snvs and len(name.split("-", 2)[2]) != 3):
                over = sum(s.over(world.pos[place]) for run in world.runs for s in run.of_person[person])
                found.append((name, world.gt(place, person), ("", "HET", "HOM_ALT")[copies], over))
        variables = {"id": person, "region": f"20:{start}-{end}", "source": source, "min": least, "zygosity": zygosity}
        return variables | ({"filter": {"type": ["SNV"]}} if snvs else {}), found

    for variables, expected in draws(7, 200, draw):
        page = shared.data(query, variables)["sample"]["hbdVariants"]
        found = [(e["node"]["name"], e["gt"], e["zygosity"], e["ibdSegments"]["totalCount"]) for e in page["edges"]]
        assert found == expected, variables
        assert page["totalCount"] == len(expected)
        assert all(edge["phased"] and edge["callset"] == {"name": "kg300"} for edge in page["edges"])


def test_pages_of_variants_of_homozygosity_lose_and_repeat_nothing(shared: Api, world: World) -> None:
    query = f"""query ($id: String!, {WINDOW}) {{ sample(id: $id) {{ page: hbdVariants(zygosity: [HET, HOM_ALT], source: "hapibd", {PAGE}) {{
        {OF_PAGE} edges {{ cursor node {{ name }} }} }} }} }}"""
    inside = world.inside(s for s in world.run_of("hapibd").homozygous if s.one == "HG01531")
    expected = [world.names[place] for place in inside if world.carry[place, world.place["HG01531"]]]
    assert len(expected) > 300
    for size, backward in ((97, False), (97, True), (1000, False)):
        assert [edge["node"]["name"] for edge in shared.walk(query, {"id": "HG01531"}, size, backward=backward)] == expected


# ---- what is inside a segment


@pytest.fixture(scope="module")
def ids(shared: Api, world: World) -> dict[tuple[str, int], str]:
    """The id of each segment, of both kinds, by its run and line (lines of homozygosity in a file of their own count on from 10,000)."""
    query = """query ($ids: [String!]!) { samples(ids: $ids, first: 20) { nodes { ibdSegments(first: 1000) { nodes { id line run { name } } }
        hbdSegments { nodes { id line run { name } } } } } }"""
    found: dict[tuple[str, int], str] = {}
    for n in range(0, 300, 20):
        for row in shared.data(query, {"ids": world.samples[n : n + 20]})["samples"]["nodes"]:
            found |= {(s["run"]["name"], s["line"]): s["id"] for s in row["ibdSegments"]["nodes"]}
            found |= {(s["run"]["name"], 10_000 + s["line"]): s["id"] for s in row["hbdSegments"]["nodes"]}
    assert len(found) == sum(len(run.segments) + len(run.homozygous) for run in world.runs) == len(set(found.values()))
    return found


def test_a_segment_is_found_by_its_id(shared: Api, world: World, ids: dict[tuple[str, int], str]) -> None:
    query = f"""query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ __typename id ... on IBDSegment {{ {SEGMENT} chrom region lengthBp markers score ibdType }}
        ... on HBDSegment {{ sample {{ name }} line run {{ name }} start end lengthCm }} }} }}"""
    rng = random.Random(8)
    chosen = [some_segment(rng, world.runs) for _ in range(300)]
    for n in range(0, 300, 100):
        some = chosen[n : n + 100]
        for found, s in zip(shared.data(query, {"ids": [ids[s.key] for s in some]})["nodes"], some, strict=True):
            rest = {name: found.pop(name) for name in ("__typename", "id", "chrom", "region", "lengthBp", "markers", "score", "ibdType")}
            assert found == shown(s)
            assert rest == {
                "__typename": "IBDSegment", "id": ids[s.key], "chrom": "20", "region": f"20:{s.start}-{s.end}", "lengthBp": s.end - s.start + 1,
                "markers": s.markers, "score": s.score, "ibdType": None,
            }  # fmt: skip
    alone = homozygous(world)
    for found, s in zip(shared.data(query, {"ids": [ids[s.run, 10_000 + s.line] for s in alone]})["nodes"], alone, strict=True):
        assert found == {
            "__typename": "HBDSegment", "id": ids[s.run, 10_000 + s.line], "sample": {"name": s.one}, "line": s.line, "run": {"name": s.run},
            "start": s.start, "end": s.end, "lengthCm": s.cm,
        }  # fmt: skip


def test_a_segment_is_one_from_either_side_and_what_is_no_segment_is_null(shared: Api, ids: dict[tuple[str, int], str]) -> None:
    known = next(iter(ids.values()))
    one, other, *rest = known.removeprefix("IBDSegment:").split(".")
    turned = ".".join([other, one, *rest])
    absent = [f"IBDSegment:{one}.{one}.1.0.1", "IBDSegment:999999.1.1.0.1", "HBDSegment:1.1.0.1", "HBDSegment:999999999.1.0.1"]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert shared.data(query, {"ids": [known, f"IBDSegment:{turned}", *absent]})["nodes"] == [{"id": known}] * 2 + [None] * 4
    for bad in ("IBDSegment:1.2.3", "HBDSegment:1.2.3.x", "IBDSegment:1.2.3.4.5.6", "HBDSegment:1.2.3.-4", "IBDSegment:"):
        assert shared.error("query ($id: ID!) { node(id: $id) { id } }", {"id": bad})["code"] == "BAD_ID"


def test_variants_inside_a_segment_are_those_of_the_files(shared: Api, world: World, ids: dict[tuple[str, int], str]) -> None:
    """All, and those that both joined haplotypes carry, or both people where haplotypes are not known."""
    query = """query ($id: ID!, $filter: VariantFilter, $region: String) { node(id: $id) {
        ... on IBDSegment { variants(region: $region, filter: $filter, last: 40) { totalCount nodes { name } }
            sharedVariants(region: $region, filter: $filter, callset: ["kg300"], first: 40) { totalCount edges { sharing gt1 gt2 callset { name } node { name } } } }
        ... on HBDSegment { variants(region: $region, filter: $filter, last: 40) { totalCount nodes { name } } } } }"""
    rng, shares = random.Random(9), 0
    for n in range(240):
        run = rng.choice(world.runs)
        kind, s = ("IBD", rng.choice(run.segments)) if n < 210 or not run.homozygous else ("HBD", rng.choice(run.homozygous))
        filter = rng.choice([None, {"not": {"type": ["SNV"]}}])
        span = rng.choice([(1, 5_000_000), (s.start - 5, s.start + 90_000), (s.end - 90_000, s.end)])
        region = "20:{}-{}".format(*span) if filter or rng.random() < 0.3 else None
        inside = [
            place for place in world.inside([s], *(span if region else ())) if not filter or len(world.names[place].split("-", 2)[2]) != 3
        ]
        asked = {"id": ids[s.run, s.line + (10_000 if kind == "HBD" else 0)], "filter": filter, "region": region}
        found = shared.data(query, asked)["node"]
        names = [world.names[place] for place in inside]
        assert found["variants"] == {"totalCount": min(len(names), 10_000), "nodes": [{"name": name} for name in names[-40:]]}
        if kind == "HBD":
            continue
        one, two = sorted(s.people)
        expected = []
        for place in inside:
            if world.carry[place, world.place[one]] or world.carry[place, world.place[two]]:
                sharing = world.sharing(place, [s], one, two, run.phased)
                if sharing in ("SHARED_HAPLOTYPE", "BOTH_CARRY"):
                    expected.append((world.names[place], sharing, world.gt(place, one), world.gt(place, two)))
        edges = found["sharedVariants"]["edges"]
        assert [(e["node"]["name"], e["sharing"], e["gt1"], e["gt2"]) for e in edges] == expected[:40]
        assert found["sharedVariants"]["totalCount"] == len(expected)
        assert all(edge["callset"] == {"name": "kg300"} for edge in edges)
        shares += bool(expected)
    assert shares > 200


def test_a_filter_that_reads_all_variants_of_a_segment_needs_a_region(shared: Api, ids: dict[tuple[str, int], str]) -> None:
    """At most 5 Mb of it; what two carry may be filtered anyhow."""
    query = """query ($id: ID!, $region: String, $filter: VariantFilter) { node(id: $id) { ... on IBDSegment { variants(region: $region, filter: $filter) {
        totalCount } } ... on HBDSegment { variants(region: $region, filter: $filter) { totalCount } } } }"""
    every = {"filter": {"frequency": [{"max": 0.01}]}}
    for kind in ("IBD", "HBD"):
        known = next(key for key in ids.values() if key.startswith(kind))
        assert shared.error(query, {"id": known} | every)["code"] == "REGION_NEEDED"
        assert shared.error(query, {"id": known, "region": "20:1-5000001"} | every)["code"] == "REGION_NEEDED"
        found = shared.data(query, {"id": known, "region": "20:1-5000000"} | every)["node"]["variants"]["totalCount"]
        assert 0 < found < shared.data(query, {"id": known})["node"]["variants"]["totalCount"]
        assert shared.data(query, {"id": known, "filter": {"rsid": ["rs4813331"]}})["node"]["variants"]["totalCount"] in (0, 1)
    shared_only = "query ($id: ID!, $filter: VariantFilter) { node(id: $id) { ... on IBDSegment { sharedVariants(filter: $filter) { totalCount } } } }"
    assert shared.data(shared_only, {"id": next(iter(ids.values()))} | every)


# ---- the haplotypes that segments join


def concordance(api: Api, segments: list[Segment], source: str) -> float:
    """Of the sites where either joined haplotype carries the ALT, those where both do, by the graph's `sharing`: in a twentieth of each segment."""
    query = """query ($one: String!, $two: String!, $source: String, $region: String) { variantsInIbd(sample1: $one, sample2: $two, source: $source,
        region: $region, first: 1000) { edges { sharing } } }"""
    rng, kinds = random.Random(10), Counter[str]()
    for s in segments:
        size = (s.end - s.start) // 20
        start = rng.randint(s.start, s.end - size)
        variables = {"one": s.one, "two": s.two, "source": source, "region": f"20:{start}-{start + size}"}
        kinds.update(edge["sharing"] for edge in api.data(query, variables)["variantsInIbd"]["edges"])
    assert kinds.keys() <= {"SHARED_HAPLOTYPE", "DISCORDANT_HAPLOTYPES", "OTHER_HAPLOTYPE"}
    print(f"{source}: {len(segments)} segments, {dict(kinds)}")
    return kinds["SHARED_HAPLOTYPE"] / (kinds["SHARED_HAPLOTYPE"] + kinds["DISCORDANT_HAPLOTYPES"])


PHASED = [
    File("hapibd", "hap-ibd", ("hapibd.min1cm.ibd.gz",)),
    *(file for file in REAL_RUNS if file.dataset in ("germline1", "germline2", "ilash")),
]


@pytest.mark.parametrize("file", PHASED, ids=lambda file: file.dataset)
def test_joined_haplotypes_are_alike_and_the_others_are_not(
    file: File, shared: Api, own_demo: str, serve: Serve, world: World, segment_files: Path, tmp_path: Path
) -> None:
    """All segments of each tool that knows haplotypes; and every sixth, loaded with haplotypes 1 and 2 exchanged."""
    segments = world.run_of(file.dataset).segments
    assert concordance(shared, segments, file.dataset) >= 0.97
    turned = swapped(segment_files / file.names[0], file.source, tmp_path / "turned")
    load_ibd(own_demo, turned, source=file.source, dataset="turned", version="1", cohort="1000G", **{"callset": "kg300"} | file.options)
    assert concordance(serve(own_demo), segments[::6], "turned") < 0.5


# ---- edges of segments, of chromosomes, of what can be asked


@pytest.fixture(scope="module")
def edges(clone: Clone, demo_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The demo data and, as the latest run, segments of HG00096 and others around rs4813331 (20:1897442): which are over it, their lengths tell."""
    folder = tmp_path_factory.mktemp("edges")
    rows = [
        ("HG00097", "20", 1_897_442, 1_897_442, 1.0), ("HG00099", "20", 1_897_442, 1_950_000, 1.1), ("HG00100", "20", 1_800_000, 1_897_442, 1.2),
        ("HG00101", "20", 1_897_443, 1_950_000, 2.0), ("HG00102", "20", 1_800_000, 1_897_441, 2.1), ("HG00103", "21", 1_800_000, 1_950_000, 2.2),
        ("HG00104", "19", 1_800_000, 1_950_000, 2.3), ("HG00106", "X", 1_897_442, 1_897_442, 2.4), ("HG00108", "20", 1, 63_025_520, 1.3),
        ("HG00109", "2", 1_897_442, 1_897_442, 2.5),
    ]  # fmt: skip
    known = {"HG00096", *(line.split()[0] for line in (DEMO / "samples.panel").read_text().splitlines())}
    rows = [row for row in rows if row[0] in known]
    lines = [f"HG00096\t1\t{name}\t2\t{chrom}\t{start}\t{end}\t{cm}\n" for name, chrom, start, end, cm in rows]
    (folder / "edges.ibd").write_text("".join(lines))
    alone = ["HG00096\t1\tHG00096\t2\t20\t1897442\t1897442\t1\n", "HG00096\t1\tHG00096\t2\t21\t1800000\t1950000\t1.5\n"]
    (folder / "edges.hbd").write_text("".join(alone))
    with clone(demo_template) as url:
        load_ibd(
            url, folder / "edges.ibd", folder / "edges.hbd", source="hap-ibd", dataset="edges", version="1", cohort="1000G", callset="kg300"
        )
        with Api(settings(url)) as api:
            yield api


def test_a_segment_is_over_its_first_and_its_last_position_and_of_its_chromosome(edges: Api) -> None:
    over = [1.3, 1.2, 1.1, 1.0]
    query = """{ variant(id: "rs4813331") { ibdContext(sample: "HG00096", source: "edges") { nodes { lengthCm } } ibdSharing(source: "edges") { nodes { lengthCm } }
        carriersByDescent(source: "edges") { joins unequalJoins } ibdWeightedFrequency(source: "edges") { joins unequalJoins } }
        sample(id: "HG00096") { at: ibdSegments(source: "edges", region: "20:1897442-1897442") { nodes { lengthCm } }
            next: ibdSegments(source: "edges", region: "20:1897443-1897443") { nodes { lengthCm } }
            x: ibdSegments(source: "edges", region: "X:1-3000000") { nodes { lengthCm chrom } }
            y: ibdSegments(source: "edges", region: "21:1950000-1950001") { nodes { lengthCm chrom } }
            after: ibdSegments(source: "edges", region: "21:1950001-1950002") { nodes { lengthCm chrom } }
            hbd: hbdSegments(source: "edges", region: "20:1897442-1897442") { nodes { chrom } }
            hbdVariants(source: "edges", zygosity: [HOM_ALT, HET]) { nodes { name } } } }"""
    found = edges.data(query)
    lengths = {
        name: [segment["lengthCm"] for segment in page["nodes"]]
        for name, page in found["sample"].items()
        if name != "hbdVariants" and name != "hbd"
    }
    assert lengths == {"at": over, "next": [2.0, 1.3, 1.1], "x": [2.4], "y": [2.2], "after": []}
    variant = found["variant"]
    assert [s["lengthCm"] for s in variant["ibdContext"]["nodes"]] == [s["lengthCm"] for s in variant["ibdSharing"]["nodes"]] == over
    frequency = variant["ibdWeightedFrequency"]
    assert frequency["joins"] + frequency["unequalJoins"] == 4
    assert found["sample"]["hbd"]["nodes"] == [{"chrom": "20"}]
    gt = edges.data('{ variant(id: "rs4813331") { genotype(sample: "HG00096") { gt } } }')["variant"]["genotype"]["gt"]
    assert [v["name"] for v in found["sample"]["hbdVariants"]["nodes"]] == (["20-1897442-C-T"] if "1" in gt else [])


def test_variants_at_the_ends_of_a_segment_are_inside(edges: Api) -> None:
    query = """query ($two: String!, $one: String!) { ibdShared(sample1: $one, sample2: $two, source: "edges") { segments { nodes {
        variants(first: 1000) { totalCount nodes { pos } } } } } }"""
    for other, first, last in (
        ("HG00097", 1_897_442, 1_897_442),
        ("HG00099", 1_897_442, None),
        ("HG00100", None, 1_897_442),
        ("HG00101", 1_897_443, None),
    ):
        (segment,) = edges.data(query, {"one": "HG00096", "two": other})["ibdShared"]["segments"]["nodes"]
        positions = [v["pos"] for v in segment["variants"]["nodes"]]
        if first:
            assert (positions[0] == first) == (first == 1_897_442)
        if last:
            assert positions[-1] == last
    (segment,) = edges.data(query, {"one": "HG00103", "two": "HG00096"})["ibdShared"]["segments"]["nodes"]
    assert segment["variants"] == {"totalCount": 0, "nodes": []}


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ('variant(id: "rs4813331") { ibdContext(sample: "HG00096", source: "hapibd2") { totalCount } }', "UNKNOWN_SOURCE"),
        ('variant(id: "rs4813331") { ibdContext(sample: "NOBODY") { totalCount } }', "UNKNOWN_SAMPLE"),
        ('variant(id: "rs4813331") { ibdContext(sample: "HG00096", minLengthCm: -1) { totalCount } }', "BAD_LENGTH"),
        ('variant(id: "rs4813331") { ibdSharing(source: "truffle") { totalCount } }', "UNKNOWN_SOURCE"),
        ('variant(id: "rs4813331") { ibdSharing(minLengthCm: -0.1) { totalCount } }', "BAD_LENGTH"),
        ('variant(id: "rs4813331") { carriersByDescent(source: "") { joins } }', "UNKNOWN_SOURCE"),
        ('variant(id: "rs4813331") { carriersByDescent(minLengthCm: -1) { joins } }', "BAD_LENGTH"),
        ('variant(id: "rs4813331") { carriersByDescent { groups(first: 1001) { totalCount } } }', "PAGE_TOO_LARGE"),
        ('variant(id: "rs4813331") { carriersByDescent { groups { nodes { segments(first: 0) { line } } } } }', "BAD_PAGE"),
        ('variant(id: "rs4813331") { ibdWeightedFrequency(source: "IBIS") { joins } }', "UNKNOWN_SOURCE"),
        ('variant(id: "rs4813331") { ibdWeightedFrequency(population: "FINN") { joins } }', "UNKNOWN_POPULATION"),
        ('variant(id: "rs4813331") { ibdWeightedFrequency(minLengthCm: -1) { joins } }', "BAD_LENGTH"),
        ('variant(id: "rs4813331") { carriers(first: 2) { edges { ibdSegments(source: "x") { totalCount } } } }', "UNKNOWN_SOURCE"),
        ('sample(id: "HG00096") { ibdSegments(source: "x") { totalCount } }', "UNKNOWN_SOURCE"),
        ('sample(id: "HG00096") { ibdSegments(others: ["HG00097", "NOBODY"]) { totalCount } }', "UNKNOWN_SAMPLE"),
        ('sample(id: "HG00096") { ibdSegments(minLengthCm: -2) { totalCount } }', "BAD_LENGTH"),
        ('sample(id: "HG00096") { ibdSegments(region: "nowhere") { totalCount } }', "INVALID_NAME"),
        ('sample(id: "HG00096") { relatives(source: "x") { totalCount } }', "UNKNOWN_SOURCE"),
        ('sample(id: "HG00096") { relatives(minTotalCm: -1) { totalCount } }', "BAD_LENGTH"),
        ('sample(id: "HG00096") { relatives(population: ["NO"]) { totalCount } }', "UNKNOWN_POPULATION"),
        ('sample(id: "HG00096") { hbdSegments(source: "x") { totalCount } }', "UNKNOWN_SOURCE"),
        ('sample(id: "HG00096") { hbdVariants(source: "x") { totalCount } }', "UNKNOWN_SOURCE"),
        ('sample(id: "HG00096") { hbdVariants(minLengthCm: -1) { totalCount } }', "BAD_LENGTH"),
        ('ibdRuns(source: "x") { name }', "UNKNOWN_SOURCE"),
        ('ibdShared(sample1: "HG00096", sample2: "HG00096") { totalCm }', "SAME_SAMPLE"),
        ('ibdShared(sample1: "HG00096", sample2: "1000G/HG00096") { totalCm }', "SAME_SAMPLE"),
        ('ibdShared(sample1: "HG00096", sample2: " HG00096") { totalCm }', "SAME_SAMPLE"),
        ('ibdShared(sample1: "HG00096", sample2: "NOBODY") { totalCm }', "UNKNOWN_SAMPLE"),
        ('ibdShared(sample1: "HG00096", sample2: "HG00097", source: "x") { totalCm }', "UNKNOWN_SOURCE"),
        ('ibdShared(sample1: "HG00096", sample2: "HG00097", minLengthCm: -1) { totalCm }', "BAD_LENGTH"),
        ('variantsInIbd(sample1: "HG00096", sample2: "HG00096") { totalCount }', "SAME_SAMPLE"),
        ('variantsInIbd(sample1: "HG00096", sample2: "HG00097", source: "x") { totalCount }', "UNKNOWN_SOURCE"),
        ('variantsInIbd(sample1: "HG00096", sample2: "HG00097", minLengthCm: -1) { totalCount }', "BAD_LENGTH"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(edges: Api, field: str, code: str) -> None:
    error = edges.error(f"{{ {field} }}")
    assert error["code"] == code
    if code == "UNKNOWN_SOURCE":
        assert error["hint"] == "There are hapibd (hap-ibd), edges (hap-ibd)."


def test_what_is_unloaded_is_gone(own_demo: str, serve: Serve, tmp_path: Path) -> None:
    """With the run its segments go, what is said from them, and the people whom it alone named."""
    (tmp_path / "more.ibd").write_text("HG00096\t1\tNOBODY\t2\t20\t1800000\t1950000\t3\nHG00096\t1\tHG00097\t2\t20\t1800000\t1950000\t3\n")
    load_ibd(
        own_demo, tmp_path / "more.ibd", source="hap-ibd", dataset="more", version="1", cohort="1000G", callset="kg300", create_samples=True
    )
    query = """query ($two: String!) { sample(id: "HG00096") { ibdSegments { totalCount nodes { id } } relatives { nodes { name } } } other: sample(id: $two) { name }
        ibdRuns { name } variant(id: "rs4813331") { ibdContext(sample: "HG00096") { totalCount } ibdSharing { totalCount } } }"""
    before = serve(own_demo).data(query, {"two": "NOBODY"})
    assert [row["name"] for row in before["sample"]["relatives"]["nodes"]] == ["NOBODY", "HG00097"]
    assert (before["variant"]["ibdContext"]["totalCount"], before["other"]) == (2, {"name": "NOBODY"})
    ids = [segment["id"] for segment in before["sample"]["ibdSegments"]["nodes"]]
    for dataset in ("more", "hapibd"):
        with psycopg.connect(own_demo, autocommit=True) as conn:
            release.unload(conn, release.find_load(conn, dataset).load_id)
        api = serve(own_demo)
        after = api.data(query, {"two": "NOBODY"})
        mine = [id for id in ids if dataset == "hapibd" or id.split(".")[2] == ids[0].split(".")[2]]
        assert api.data("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": mine})["nodes"] == [None] * len(mine)
        assert after["other"] is None
        assert after["sample"]["ibdSegments"]["totalCount"] == before["sample"]["ibdSegments"]["totalCount"] - len(mine)
        assert after["variant"]["ibdContext"]["totalCount"] == 0
    assert after["ibdRuns"] == after["sample"]["relatives"]["nodes"] == []
    assert after["variant"]["ibdSharing"]["totalCount"] == 0
    query = """{ variant(id: "rs4813331") { carriersByDescent { joins } ibdWeightedFrequency { joins } } ibdShared(sample1: "HG00096", sample2: "HG00097") { totalCm }
        variantsInIbd(sample1: "HG00096", sample2: "HG00097") { totalCount } sample(id: "HG01531") { hbdSegments { totalCount } hbdVariants { totalCount } } }"""
    assert api.data(query) == {
        "variant": {"carriersByDescent": None, "ibdWeightedFrequency": None}, "ibdShared": None, "variantsInIbd": {"totalCount": 0},
        "sample": {"hbdSegments": {"totalCount": 0}, "hbdVariants": {"totalCount": 0}},
    }  # fmt: skip
