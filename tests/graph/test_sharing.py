"""What two people share: centimorgans, variants, and how they are related, against brute force on the files (segments.py) and on files made here."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from loaders.errors import LoaderError
from store.assembly import GRCH37
from tests.graph.api import OF_PAGE, PAGE, WINDOW, Api
from tests.graph.conftest import DEMO, HAPIBD, Clone, Serve, settings
from tests.graph.loading import HEADER, load_ancestry, load_ibd, load_vcf, write_vcf
from tests.graph.segments import Run, Segment, World, double_cm, draws, total_cm

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
SHARED = "totalCm ibd1Cm ibd2Cm xCm segmentCount longestCm minLengthCm noRelationship relationship { kinship } run { name }"
PAIR = "$one: String!, $two: String!, $source: String, $min: Float! = 0"
OF_PAIR = "sample1: $one, sample2: $two, source: $source, minLengthCm: $min"
IBD_SHARED = (
    f"query ({PAIR}) {{ ibdShared({OF_PAIR}) {{ {SHARED} segments(first: 100) {{ totalCount nodes {{ line run {{ name }} }} }} }} }}"
)


def some_pair(rng: random.Random, run: Run) -> list[str]:
    return rng.sample(sorted(rng.choice(run.segments).people), 2)


def shared_of(world: World, run: Run, one: str, two: str, least: float) -> dict[str, Any]:
    """The answer of ibdShared, but for the segments."""
    segments = [s for s in run.of_pair[frozenset((one, two))] if s.cm >= least]
    total, double = total_cm(segments), double_cm(segments, one)
    told = all(s.hap1 for s in segments)
    return {
        "totalCm": pytest.approx(total, abs=2e-6), "ibd1Cm": pytest.approx(total - double, abs=2e-6) if told else None,
        "ibd2Cm": pytest.approx(double, abs=2e-6) if told else None, "xCm": 0,
        "segmentCount": len(segments), "longestCm": max((s.cm for s in segments), default=None), "minLengthCm": least,
        "noRelationship": "INSUFFICIENT_COVERAGE", "relationship": None, "run": {"name": run.dataset},
    }  # fmt: skip


# ---- how much


def test_what_two_people_share_is_that_of_the_files_whoever_is_named_first(shared: Api, world: World) -> None:
    overlapping = [
        (run, pair) for run in world.runs for pair, of_pair in run.of_pair.items()
        if any(a.start <= b.end and b.start <= a.end for n, a in enumerate(of_pair) for b in of_pair[:n])
    ]  # fmt: skip

    def draw(rng: random.Random) -> Any:
        source, least = rng.choice(SOURCES), rng.choice(LENGTHS)
        run = world.run_of(source)
        one, two = some_pair(rng, run)
        if rng.random() < 0.3:
            run, pair = rng.choice(overlapping)
            source, (one, two) = run.dataset, sorted(pair)
        segments = [s for s in run.of_pair[frozenset((one, two))] if s.cm >= least]
        return {"one": one, "two": two, "source": source, "min": least}, segments and (run, segments)

    doubled = multiple = unknown = 0
    for variables, (run, segments) in draws(11, 220, draw):
        found = shared.data(IBD_SHARED, variables)["ibdShared"]
        turned = shared.data(IBD_SHARED, variables | {"one": variables["two"], "two": variables["one"]})["ibdShared"]
        assert found == turned
        listed = found.pop("segments")
        assert found == shared_of(world, run, variables["one"], variables["two"], variables["min"]), variables
        assert found["ibd1Cm"] is None or found["ibd1Cm"] >= 0
        keys = [s.key for s in sorted(segments, key=world.order, reverse=True)]
        assert [(s["run"]["name"], s["line"]) for s in listed["nodes"]] == keys
        assert listed["totalCount"] == len(keys)
        doubled += (found["ibd2Cm"] or 0) > 0
        unknown += found["ibd2Cm"] is None
        multiple += len(segments) > 1
    assert multiple > 50
    assert unknown > 20
    print(f"{len(overlapping)} pairs have overlapping segments; drawn with several segments {multiple}, sharing both haplotypes {doubled}")


def test_people_who_share_nothing_share_nothing(shared: Api, world: World) -> None:
    """Most do not."""
    query = f"""query ({PAIR}) {{ ibdShared({OF_PAIR}) {{ {SHARED} segments {{ totalCount nodes {{ id }} }} }}
        variantsInIbd({OF_PAIR}) {{ totalCount edges {{ gt1 }} pageInfo {{ hasNextPage }} }} }}"""
    run, rng = world.run_of("hapibd"), random.Random(12)
    for _ in range(40):
        one, two = rng.sample(world.samples, 2)
        if frozenset((one, two)) not in run.of_pair:
            found = shared.data(query, {"one": one, "two": two, "source": "hapibd"})
            assert found["ibdShared"].pop("segments") == {"totalCount": 0, "nodes": []}
            assert found["ibdShared"] == shared_of(world, run, one, two, 0)
            assert found["variantsInIbd"] == {"totalCount": 0, "edges": [], "pageInfo": {"hasNextPage": False}}


# ---- which variants


IN_IBD = f"""query ({PAIR}, $only: Boolean! = false, $region: String, $gene: String, $filter: VariantFilter, {WINDOW}) {{
    page: variantsInIbd({OF_PAIR}, sharedOnly: $only, region: $region, gene: $gene, filter: $filter, {PAGE}) {{
    {OF_PAGE} edges {{ cursor sharing gt1 gt2 callset {{ name }} node {{ name }} }} }} }}"""


def in_ibd(
    world: World, run: Run, one: str, two: str, *, least: float = 0, only: bool = False, span: tuple[int, int] = (0, 1 << 30)
) -> list[tuple[str, ...]]:
    """(variant, sharing, gt1, gt2) of each variant that either carries inside their segments."""
    segments = [s for s in run.of_pair[frozenset((one, two))] if s.cm >= least]
    found = []
    for place in world.inside(segments, *span):
        if world.carry[place, world.place[one]] or world.carry[place, world.place[two]]:
            sharing = world.sharing(place, segments, one, two, run.phased)
            if not only or sharing in ("SHARED_HAPLOTYPE", "BOTH_CARRY"):
                found.append((world.names[place], sharing, world.gt(place, one), world.gt(place, two)))
    return found


def rows_of(edges: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    assert all(edge["callset"] == {"name": "kg300"} for edge in edges)
    return [(edge["node"]["name"], edge["sharing"], edge["gt1"], edge["gt2"]) for edge in edges]


def test_variants_in_ibd_are_those_of_the_files_whoever_is_named_first(shared: Api, world: World) -> None:
    kinds: Counter[str] = Counter()

    def draw(rng: random.Random) -> Any:
        source, least, only = rng.choice(SOURCES), rng.choice(LENGTHS), rng.random() < 0.3
        run = world.run_of(source)
        one, two = some_pair(rng, run)
        segment = rng.choice(run.of_pair[frozenset((one, two))])
        start = rng.choice([segment.start - 1_000, segment.end - 10_000, rng.randint(segment.start, segment.end)])
        end = start + rng.randint(1, 40_000)
        found = in_ibd(world, run, one, two, least=least, only=only, span=(start, end))
        variables = {"one": one, "two": two, "source": source, "min": least, "only": only, "region": f"20:{start}-{end}"}
        if rng.random() < 0.3:
            variables["filter"] = {"type": ["SNV"]}
            found = [row for row in found if len(row[0].split("-", 2)[2]) == 3]
        return variables, found

    for variables, expected in draws(13, 210, draw):
        assert rows_of(shared.walk(IN_IBD, variables, 1000)) == expected, variables
        turned = shared.walk(IN_IBD, variables | {"one": variables["two"], "two": variables["one"]}, 1000)
        assert rows_of(turned) == [(name, sharing, gt2, gt1) for name, sharing, gt1, gt2 in expected]
        kinds.update(sharing for _, sharing, _, _ in expected)
    assert min(kinds[k] for k in ("SHARED_HAPLOTYPE", "DISCORDANT_HAPLOTYPES", "OTHER_HAPLOTYPE", "BOTH_CARRY", "ONE_CARRIES")) > 10, kinds


@pytest.mark.parametrize(("size", "backward"), [(173, False), (173, True), (1000, True)])
def test_pages_of_variants_in_ibd_lose_and_repeat_nothing(shared: Api, world: World, size: int, backward: bool) -> None:
    """The two who share most stretches."""
    for source in ("hapibd", "germline1_diploid"):
        run = world.run_of(source)
        one, two = sorted(max(run.of_pair, key=lambda pair: (len(run.of_pair[pair]), sorted(pair))))
        for only in (False, True):
            variables = {"one": one, "two": two, "source": source, "only": only}
            assert rows_of(shared.walk(IN_IBD, variables, size, backward=backward)) == in_ibd(world, run, one, two, only=only)


def test_variants_in_ibd_in_a_gene_are_those_of_its_region(shared: Api, world: World) -> None:
    gene = shared.data('{ gene(id: "SIRPA") { start end } }')["gene"]
    run, seen = world.run_of("hapibd"), 0
    for pair, segments in run.of_pair.items():
        if any(s.start <= gene["end"] and s.end >= gene["start"] for s in segments):
            one, two = sorted(pair)
            expected = in_ibd(world, run, one, two, span=(gene["start"], gene["end"]))
            assert rows_of(shared.walk(IN_IBD, {"one": one, "two": two, "source": "hapibd", "gene": "SIRPA"}, 1000)) == expected
            seen += bool(expected)
            if seen > 15:
                return
    pytest.fail("too few share in the gene")


# ---- with whom


RELATIVES = f"""query ($id: String!, $source: String, $min: Float! = 0, $total: Float! = 0, $population: [String!], {WINDOW}) {{ sample(id: $id) {{
    page: relatives(source: $source, minLengthCm: $min, minTotalCm: $total, population: $population, {PAGE}) {{
    {OF_PAGE} edges {{ cursor totalCm segmentCount longestCm run {{ name }} node {{ name }} }} }} }} }}"""


def relatives(
    world: World, run: Run, person: str, least: float, at_least: float, population: list[str] | None
) -> list[tuple[str, float, int, float]]:
    found = []
    for other in {s.seen_from(person)[0] for s in run.of_person[person] if s.cm >= least}:
        segments = [s for s in run.of_pair[frozenset((person, other))] if s.cm >= least]
        total = round(total_cm(segments), 6)
        if total >= at_least and (population is None or {world.people[other]["pop"], world.people[other]["super_pop"]} & {*population}):
            found.append((other, total, len(segments), max(s.cm for s in segments)))
    return sorted(found, key=lambda row: (row[1], row[0]), reverse=True)  # people are numbered by name


def test_relatives_are_those_of_the_files(shared: Api, world: World) -> None:
    def draw(rng: random.Random) -> Any:
        source, least, at_least = rng.choice(SOURCES), rng.choice(LENGTHS), rng.choice([0, 0, 1.1, 1.5, 2, 3])
        population = rng.choice([None, None, ["FIN"], ["GBR", "IBS"], ["EUR"], ["CEU", "FIN"]])
        run = world.run_of(source)
        person = rng.choice(sorted(run.of_person))
        variables = {"id": person, "source": source, "min": least, "total": at_least, "population": population}
        return variables, relatives(world, run, person, least, at_least, population)

    for variables, expected in draws(14, 210, draw):
        edges = shared.walk(RELATIVES, variables, 1000)
        assert {edge["run"]["name"] for edge in edges} == {world.run_of(variables["source"]).dataset}
        assert [(e["node"]["name"], round(e["totalCm"], 5), e["segmentCount"], e["longestCm"]) for e in edges] == [
            (other, round(total, 5), count, longest) for other, total, count, longest in expected
        ], variables


def test_pages_of_relatives_lose_and_repeat_nothing(shared: Api, world: World) -> None:
    for source in ("hapibd", "germline2_diploid"):
        run = world.run_of(source)
        person = max(sorted(run.of_person), key=lambda p: len(run.of_person[p]))
        expected = [row[0] for row in relatives(world, run, person, 0, 0, None)]
        assert len(expected) > 10
        for size, backward in ((1, False), (4, False), (4, True), (len(expected), True), (1000, False)):
            edges = shared.walk(RELATIVES, {"id": person, "source": source}, size, backward=backward)
            assert [edge["node"]["name"] for edge in edges] == expected


def test_what_a_relative_shares_is_what_the_two_share(shared: Api, world: World) -> None:
    query = f"""query ($ids: [String!]) {{ samples(ids: $ids, first: 40) {{ nodes {{ name relatives(source: "germline1", minLengthCm: 1.2, first: 20) {{ edges {{ node {{ name }}
        totalCm sharing {{ {SHARED} segments(first: 10) {{ nodes {{ line run {{ name }} }} }} }} }} }} }} }} }}"""
    run, seen = world.run_of("germline1"), 0
    for row in shared.data(query, {"ids": world.samples[::8]})["samples"]["nodes"]:
        for edge in row["relatives"]["edges"]:
            segments = sorted(run.of_pair[frozenset((row["name"], edge["node"]["name"]))], key=world.order, reverse=True)
            listed = edge["sharing"].pop("segments")["nodes"]
            assert [(s["run"]["name"], s["line"]) for s in listed] == [s.key for s in segments]
            assert edge["sharing"] == shared_of(world, run, row["name"], edge["node"]["name"], 0)
            seen += 1
    assert seen > 30


# ---- made here: chromosomes, both haplotypes, several runs, relatives


Row = tuple[str, int, str, int, str, int, int, float]


def write_hapibd(path: Path, rows: Sequence[Row]) -> Path:
    """Writes segments as hap-IBD does: person, haplotype, person, haplotype, chromosome, start, end, cM."""
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path


A, B, C, D, E = "HG00096", "HG00097", "HG00099", "HG00100", "HG00101"
MB = 1_000_000
LENGTHS_CM = [length / MB * 1.2 for length in GRCH37.lengths[:22]]
"""Of the autosomes, at 1.2 cM each Mb."""
SURVEYED = round(sum(LENGTHS_CM), 3)
CHROMOSOMES = [(str(n), 1, length, cm) for n, (length, cm) in enumerate(zip(GRCH37.lengths[:22], LENGTHS_CM, strict=True), 1)]


@pytest.fixture(scope="module")
def made(clone: Clone, demo_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The demo data, people of another cohort, and runs made here: `pieces`, small ones of every kind, and `genome`, relatives over the autosomes."""
    folder = tmp_path_factory.mktemp("made")
    pieces: list[Row] = [
        # The same positions on two chromosomes, and on X.
        (A, 1, B, 1, "20", 1_000_001, 2_000_000, 1.0), (A, 1, B, 1, "21", 1_000_001, 2_000_000, 2.0), (B, 2, A, 1, "X", 1_000_001, 2_000_000, 4.0),
        # Overlapping, of one haplotype each; in one another; repeated.
        (C, 1, A, 1, "20", 1_000_001, 2_000_000, 1.0), (A, 1, C, 2, "20", 1_500_001, 2_500_000, 2.0), (A, 1, C, 1, "20", 1_200_001, 1_300_000, 0.9),
        (C, 1, A, 1, "20", 1_000_001, 2_000_000, 1.0),
        # Of both haplotypes of each: overlapping by 0.5 Mb, and then by a base; of one haplotype of the other twice; not overlapping.
        (A, 1, D, 1, "20", 1_000_001, 2_000_000, 1.0), (D, 2, A, 2, "20", 1_500_001, 2_500_000, 2.0), (A, 1, D, 1, "20", 2_500_000, 3_000_000, 3.0),
        (A, 1, D, 1, "21", 1_000_001, 2_000_000, 1.0), (A, 2, D, 1, "21", 1_000_001, 2_000_000, 1.0),
        (A, 1, D, 1, "22", 17_000_000, 18_000_000, 1.0), (A, 2, D, 2, "22", 18_000_001, 19_000_000, 1.0),
        (A, 1, D, 1, "X", 1_000_001, 2_000_000, 1.0), (A, 2, D, 2, "X", 1_000_001, 2_000_000, 1.0),
        # Only on X.
        (B, 1, C, 1, "X", 1_000_001, 2_000_000, 5.0), (A, 1, "NOBODY", 1, "20", 1_000_001, 1_900_000, 3.5),
    ]  # fmt: skip
    half = [(chrom, start, end // 2, cm / 2) for chrom, start, end, cm in CHROMOSOMES]
    genome: list[Row] = [
        *((A, 1, B, 2, *where) for where in CHROMOSOMES),  # parent and child
        *((A, n, C, n, *where) for where in CHROMOSOMES for n in (1, 2)),  # twins
        # Siblings: half the genome on one haplotype, a quarter on both.
        *((D, 1, A, 1, *where) for where in half), *((A, 2, D, 2, chrom, end // 2 + 1, end + end // 2, cm) for chrom, _, end, cm in half),
        *((A, 1, E, 1, *where) for where in half),  # half siblings
        (B, 1, C, 1, "1", 1_000_001, 21_000_000, 24.0), (B, 1, D, 1, "X", 1_000_001, 21_000_000, 24.0),
    ]  # fmt: skip
    with clone(demo_template) as url:
        other = write_vcf(folder / "other.vcf", "20 1897442 rs4813331 C T 30 PASS DP=7 GT 0|1 1|1", samples=["NA06986", "P2"])
        load_vcf(url, other, dataset="other", version="1", cohort="hospital", assembly="GRCh37")
        runs = {"pieces": pieces, "genome": genome, "narrow": genome}
        surveyed = {"pieces": None, "genome": SURVEYED, "narrow": 2_499.9}
        for name, rows in runs.items():
            path = write_hapibd(folder / f"{name}.ibd", rows)
            how: dict[str, Any] = {"cohort": "1000G", "callset": "kg300", "create_samples": True, "surveyed_cm": surveyed[name]}
            load_ibd(url, path, source="hap-ibd", dataset=name, version="1", **how)
        ibis = ["IBD1 0 1 1.0", "IBD2 1 3 2.0", "IBD2 2 4 2.0", "IBD1 8 9 1.0"]
        lines = []
        for kind, start, end, cm in (row.split() for row in ibis):
            lines.append("\t".join([A, B, "20", str(int(start) * MB + 1), str(int(end) * MB), kind, "0", cm, cm, "100", "0", "0"]) + "\n")
        (folder / "types.seg").write_text("".join(lines))
        load_ibd(url, folder / "types.seg", source="ibis", dataset="types", version="1", cohort="1000G", surveyed_cm=3_500.0)
        with Api(settings(url)) as api:
            yield api


def pair(api: Api, one: str, two: str, source: str | None) -> dict[str, Any]:
    """What two people share, found the same whoever is named first."""
    fields = "totalCm ibd1Cm ibd2Cm xCm segmentCount longestCm noRelationship relationship { kinship kind degree nearestDegree furthestDegree } run { name }"
    query = f"query ({PAIR}) {{ ibdShared({OF_PAIR}) {{ {fields} }} }}"
    found = api.data(query, {"one": one, "two": two, "source": source})["ibdShared"]
    assert found == api.data(query, {"one": two, "two": one, "source": source})["ibdShared"]
    return found


@pytest.mark.parametrize(
    ("two", "total", "both", "on_x", "count", "longest"),
    [
        (B, 1.0 + 2.0, 0, 4.0, 3, 4.0),
        (C, 1.0 + 2.0 * 0.5, 0, 0, 4, 2.0),
        (D, 1.0 + 2.0 * 0.5 + 3.0 * 500_000 / 500_001 + 1.0 + 2.0, 1.0 * 0.5 + 2.0 / MB, 1.0, 9, 3.0),
        (E, 0, 0, 0, 0, None),
        ("NOBODY", 3.5, 0, 0, 1, 3.5),
    ],
    ids=["chromosomes", "overlaps", "both haplotypes", "nothing", "nobody"],
)
def test_lengths_are_unions_by_chromosome_and_x_is_apart(
    made: Api, two: str, total: float, both: float, on_x: float, count: int, longest: float | None
) -> None:
    assert pair(made, A, two, "pieces") == {
        "totalCm": pytest.approx(total, abs=1e-6), "ibd1Cm": pytest.approx(total - both, abs=1e-6), "ibd2Cm": pytest.approx(both, abs=1e-6),
        "xCm": on_x, "segmentCount": count, "longestCm": longest, "noRelationship": "INSUFFICIENT_COVERAGE", "relationship": None,
        "run": {"name": "pieces"},
    }  # fmt: skip


def test_segments_of_type_2_are_of_both_haplotypes(made: Api) -> None:
    found = pair(made, A, B, "types")
    assert {name: found[name] for name in ("totalCm", "ibd1Cm", "ibd2Cm", "segmentCount")} == {
        "totalCm": 5.0, "ibd1Cm": 2.0, "ibd2Cm": 3.0, "segmentCount": 4,
    }  # fmt: skip
    query = """query ($one: String!, $two: String!) { ibdShared(sample1: $one, sample2: $two, source: "types") { segments { nodes { ibdType haplotype1 haplotype2 lengthCm } } } }"""
    nodes = made.data(query, {"one": A, "two": B})["ibdShared"]["segments"]["nodes"]
    assert sorted((s["ibdType"], s["lengthCm"]) for s in nodes) == [(1, 1.0), (1, 1.0), (2, 2.0), (2, 2.0)]
    assert {(s["haplotype1"], s["haplotype2"]) for s in nodes} == {(None, None)}


def test_x_counts_for_no_relative(made: Api) -> None:
    """People who share only X are listed with nothing of the autosomes, or not at all."""
    query = """query ($id: String!) { sample(id: $id) { relatives(source: "pieces") { edges { node { name population { name } } totalCm segmentCount longestCm } }
        british: relatives(source: "pieces", population: ["GBR"]) { nodes { name } } } }"""
    found = made.data(query, {"id": A})["sample"]
    rows = [(e["node"]["name"], round(e["totalCm"], 3), e["segmentCount"], e["longestCm"]) for e in found["relatives"]["edges"]]
    assert rows == [(D, 8.0, 7, 3.0), ("NOBODY", 3.5, 1, 3.5), (B, 3.0, 2, 2.0), (C, 2.0, 4, 2.0)]
    assert [e["node"]["population"] for e in found["relatives"]["edges"] if e["node"]["name"] == "NOBODY"] == [None]
    assert [row["name"] for row in found["british"]["nodes"]] == [D, B, C]
    assert [e["node"]["name"] for e in made.data(query, {"id": C})["sample"]["relatives"]["edges"]] == [A]


def test_runs_are_not_added_up_and_the_latest_speaks(made: Api) -> None:
    names = {
        source: pair(made, A, B, source)["run"]["name"] for source in (None, "hap-ibd", "HAP-IBD", "pieces", "genome", "ibis", "types")
    }
    assert names == {
        None: "types",
        "hap-ibd": "narrow",
        "HAP-IBD": "narrow",
        "pieces": "pieces",
        "genome": "genome",
        "ibis": "types",
        "types": "types",
    }
    totals = {source: pair(made, A, B, source)["totalCm"] for source in ("types", "pieces", "genome")}
    assert totals == {"types": 5.0, "pieces": 3.0, "genome": pytest.approx(SURVEYED, abs=0.01)}
    query = "query ($id: String!, $source: String) { sample(id: $id) { relatives(source: $source, first: 1) { edges { totalCm run { name } } } } }"
    (edge,) = made.data(query, {"id": A})["sample"]["relatives"]["edges"]
    assert edge == {"totalCm": 5.0, "run": {"name": "types"}}


RELATED = [
    ("PARENT_CHILD", A, B, 0.25, 1), ("IDENTICAL", A, C, 0.5, 0), ("FULL_SIBLINGS", A, D, 0.25, 1), ("SECOND_DEGREE", A, E, 0.125, 2),
    ("DISTANT", B, C, 24 / 4 / SURVEYED, 8), ("UNRELATED", B, D, 0, None), ("UNRELATED", B, E, 0, None),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "one", "two", "kinship", "degree"), RELATED, ids=[f"{kind}_{two}" for kind, _, two, *_ in RELATED])
def test_sharing_over_the_genome_tells_relatives(made: Api, kind: str, one: str, two: str, kinship: float, degree: int | None) -> None:
    found = pair(made, one, two, "genome")
    estimate = found["relationship"]
    assert (estimate["kind"], estimate["degree"], found["noRelationship"]) == (kind, degree, None)
    assert estimate["kinship"] == pytest.approx(kinship, abs=1e-3)
    if degree:
        assert (estimate["nearestDegree"] or 0) <= degree <= (estimate["furthestDegree"] or 99)
    narrow = pair(made, one, two, "narrow")
    assert (narrow["relationship"], narrow["noRelationship"]) == (None, "INSUFFICIENT_COVERAGE")
    assert narrow["totalCm"] == found["totalCm"]


def test_people_of_two_cohorts_share_nothing_that_is_known(made: Api) -> None:
    query = f"query ({PAIR}) {{ ibdShared({OF_PAIR}) {{ totalCm }} variantsInIbd({OF_PAIR}) {{ totalCount nodes {{ name }} }} }}"
    nothing = {"ibdShared": None, "variantsInIbd": {"totalCount": 0, "nodes": []}}
    assert made.data(query, {"one": B, "two": "P2"}) == nothing
    assert made.data(query, {"one": "hospital/NA06986", "two": "1000G/NA06986"}) == nothing
    assert made.data(query, {"one": "hospital/NA06986", "two": "P2"}) == nothing
    assert made.error('{ ibdShared(sample1: "NA06986", sample2: "P2") { totalCm } }')["code"] == "AMBIGUOUS_NAME"
    own = '{ sample(id: "P2") { relatives { totalCount } ibdSegments { totalCount } hbdSegments { totalCount } hbdVariants { totalCount } ancestryMatched { totalCount } } }'
    assert made.data(own)["sample"] == {
        name: {"totalCount": 0} for name in ("relatives", "ibdSegments", "hbdSegments", "hbdVariants", "ancestryMatched")
    }


def test_variants_in_ibd_of_one_haplotype_with_two_of_the_other_count_by_the_best(made: Api, world: World) -> None:
    """Where several segments of a pair are over a variant, one that both joined haplotypes carry makes it shared."""
    rows = [(A, 1, C, 1, 1_000_001, 2_000_000), (A, 1, C, 2, 1_500_001, 2_500_000)]
    segments = [Segment("pieces", 0, 0, one, h1, two, h2, start, end, 1.0, None, None) for one, h1, two, h2, start, end in rows]
    run = Run("pieces", "hap-ibd", True, segments, [])
    variables = {"one": A, "two": C, "source": "pieces"}
    found = rows_of(made.walk(IN_IBD, variables, 1000))
    assert found == in_ibd(world, run, A, C)
    assert {sharing for _, sharing, *_ in found} == {"SHARED_HAPLOTYPE", "DISCORDANT_HAPLOTYPES", "OTHER_HAPLOTYPE"}


# ---- calls of every kind, on the joined haplotypes: 1 of S1, 2 of S2


CALLS = [
    # S1, S2, how they share it; haplotypes that carry it, lineages and carrying lineages (of the four haplotypes, two of which are joined); None: of people
    ("1|0", "0|1", "SHARED_HAPLOTYPE", (2, 3, 1)),
    ("0|1", "0|1", "DISCORDANT_HAPLOTYPES", (2, 4, 2)),
    ("0|1", "1|0", "OTHER_HAPLOTYPE", (2, 3, 2)),
    ("1|1", "0|0", "DISCORDANT_HAPLOTYPES", (2, 4, 2)),
    ("1/1", "0|1", "SHARED_HAPLOTYPE", (3, 3, 2)),
    ("0/1", "0|1", "BOTH_CARRY", None),
    ("0/1", "0/0", "ONE_CARRIES", None),
    ("0|1:7", "1|0:.", "BOTH_CARRY", None),
    (".|1", "0|1", "BOTH_CARRY", (2, 3, 2)),
    ("1|.", ".|1", "SHARED_HAPLOTYPE", (2, 1, 1)),
    ("1", "1", "SHARED_HAPLOTYPE", (2, 1, 1)),
    ("0", "0|1", "DISCORDANT_HAPLOTYPES", (1, 3, 1)),
    ("1", "0|1", "SHARED_HAPLOTYPE", (2, 2, 1)),
    ("2|1", "1|2", "OTHER_HAPLOTYPE", (2, 3, 2)),
    ("1|2", "1|1", "SHARED_HAPLOTYPE", (3, 3, 2)),
    ("2|1", "1|0", "OTHER_HAPLOTYPE", (2, 4, 2)),
]


def test_calls_of_every_kind_tell_what_the_joined_haplotypes_carry(own_store: str, serve: Serve, tmp_path: Path) -> None:
    """Not phased, within a phase set, not called, of one allele, of a second ALT: what is not known of haplotypes is said of people."""
    lines = [f'{HEADER}##FORMAT=<ID=GT,Number=1,Type=String,Description="G">\n##FORMAT=<ID=PS,Number=1,Type=Integer,Description="P">\n']
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2\n")
    for n, (one, two, *_) in enumerate(CALLS):
        cells = [call if ":" in call else f"{call}:." for call in (one, two)]
        lines.append("\t".join(["X", str(5_000_100 + n), ".", "A", "C,G", ".", ".", ".", "GT:PS", *cells]) + "\n")
    (tmp_path / "calls.vcf").write_text("".join(lines))
    load_vcf(own_store, tmp_path / "calls.vcf", dataset="calls", version="1", cohort="few", assembly="GRCh37")
    path = write_hapibd(tmp_path / "calls.ibd", [("S2", 2, "S1", 1, "X", 5_000_000, 5_001_000, 1.0)])
    load_ibd(own_store, path, source="hap-ibd", dataset="run", version="1", cohort="few", callset="calls")
    api = serve(own_store)
    edges = api.data(
        """{ variantsInIbd(sample1: "S1", sample2: "S2", first: 100) { edges { sharing gt1 gt2 node { name alt pos
        carriersByDescent { basis haplotypeCount } ibdWeightedFrequency { alleleCount lineages carrierLineages } } } } }"""
    )["variantsInIbd"]["edges"]
    found = {edge["node"]["pos"] - 5_000_100: edge for edge in edges if edge["node"]["alt"] == "C"}
    for n, (one, two, sharing, counts) in enumerate(CALLS):
        edge = found[n]
        assert (edge["gt1"], edge["gt2"]) == (one.split(":")[0], two.split(":")[0])
        assert edge["sharing"] == sharing, CALLS[n]
        frequency = edge["node"]["ibdWeightedFrequency"]
        assert (frequency and tuple(frequency[k] for k in ("alleleCount", "lineages", "carrierLineages"))) == counts, CALLS[n]
        assert edge["node"]["carriersByDescent"]["basis"] == ("HAPLOTYPES" if counts else "PEOPLE")
        assert edge["node"]["carriersByDescent"]["haplotypeCount"] == (counts and counts[0])


# ---- what later loads change, and what they do not


EVERYTHING = """query ($id: String!, $one: String!, $two: String!) {
    variant(id: $id) { carriersByDescent { basis groupCount joins run { name } callset { name } } ibdWeightedFrequency { lineages carrierLineages run { name } } }
    ibdShared(sample1: $one, sample2: $two) { totalCm run { name } }
    variantsInIbd(sample1: $one, sample2: $two, first: 1000) { totalCount edges { sharing gt1 gt2 callset { name } node { name } } }
    sample(id: $one) { relatives { totalCount edges { totalCm run { name } node { name } } } ancestryMatched(excludeRelatedAboveCm: 1) { nodes { name } } } }"""


def test_a_later_run_of_homozygosity_alone_does_not_speak_of_pairs(own_demo: str, serve: Serve, tmp_path: Path, world: World) -> None:
    two = sorted(max(world.run_of("hapibd").of_pair, key=lambda pair: (len(world.run_of("hapibd").of_pair[pair]), sorted(pair))))
    variables = {"id": "rs4813331", "one": two[0], "two": two[1]}
    (tmp_path / "few.eigenvec").write_text("".join(f"0 {name} {n}.5\n" for n, name in enumerate([*world.samples[:20], two[0]])))
    load_ancestry(own_demo, tmp_path / "few.eigenvec", unscaled=True, dataset="few", version="1", cohort="1000G")
    before = serve(own_demo).data(EVERYTHING, variables)
    assert before["ibdShared"]["run"] == {"name": "hapibd"}
    assert before["variant"]["ibdWeightedFrequency"]["lineages"] == 499
    assert min(len(before["sample"]["relatives"]["edges"]), len(before["sample"]["ancestryMatched"]["nodes"])) > 0
    load_ibd(own_demo, HAPIBD[1], source="hap-ibd", dataset="alone", version="1", callset="kg300")
    api = serve(own_demo)
    assert [run["name"] for run in api.data("{ ibdRuns { name } }")["ibdRuns"]] == ["hapibd", "alone"]
    assert api.data(EVERYTHING, variables) == before
    named = 'sample1: "HG00376", sample2: "HG00381", source: "alone"'
    assert api.data(f"{{ ibdShared({named}) {{ totalCm }} variantsInIbd({named}) {{ totalCount }} }}") == {
        "ibdShared": None, "variantsInIbd": {"totalCount": 0},
    }  # fmt: skip


def rewritten(to: Path, keep: Callable[[int, int], bool], call: Callable[[str], str] = str) -> Path:
    """Writes those records of the demo VCF that `keep` (number, position) says, with other calls."""
    with gzip.open(DEMO / "kg300_eur.chr20_1-4mb.grch37.phased.vcf.gz", "rt") as lines, to.open("w") as out:
        for n, line in enumerate(lines):
            cells = line.rstrip("\n").split("\t")
            if line[0] == "#":
                out.write(line)
            elif keep(n, int(cells[1])):
                out.write("\t".join([*cells[:9], *map(call, cells[9:])]) + "\n")
    return to


def test_another_version_of_the_callset_is_not_the_one_in_which_the_run_found_its_segments(
    own_demo: str, serve: Serve, tmp_path: Path
) -> None:
    """It is phased the other way round here: its haplotypes are not those of the segments."""
    swapped = rewritten(tmp_path / "again.vcf", lambda n, pos: 1_890_000 < pos < 1_910_000, lambda call: call[::-1])
    query = """{ ibdRuns { callset { version } }
        variant(id: "rs4813331") { ibdWeightedFrequency { lineages } carriersByDescent { basis haplotypeCount callset { name version } } }
        variantsInIbd(sample1: "HG00376", sample2: "HG00381", region: "20:1890001-1909999") { totalCount edges { sharing callset { version } } } }"""
    before = serve(own_demo).data(query)
    assert before["ibdRuns"] == [{"callset": {"version": "phase3"}}]
    assert before["variant"]["carriersByDescent"]["basis"] == "HAPLOTYPES"
    load_vcf(own_demo, swapped, dataset="kg300", version="rephased", cohort="1000G", assembly="GRCh37")
    after = serve(own_demo).data(query)
    assert after["ibdRuns"] == [{"callset": None}]
    assert after["variant"] == {
        "ibdWeightedFrequency": None,
        "carriersByDescent": {"basis": "PEOPLE", "haplotypeCount": None, "callset": {"name": "kg300", "version": "rephased"}},
    }
    assert after["variantsInIbd"]["totalCount"] == before["variantsInIbd"]["totalCount"] > 0
    assert {edge["sharing"] for edge in after["variantsInIbd"]["edges"]} <= {"BOTH_CARRY", "ONE_CARRIES"}
    assert {edge["callset"]["version"] for edge in after["variantsInIbd"]["edges"]} == {"rephased"}


def test_a_run_of_one_cohort_has_no_callset_of_another(own_demo: str, serve: Serve, tmp_path: Path) -> None:
    """Not when it names one that comes later, and then turns out to be of other people."""
    other = write_vcf(tmp_path / "other.vcf", "20 1897442 rs4813331 C T 30 PASS DP=7 GT 0|1 1|1", samples=["P1", "P2"])
    load_vcf(own_demo, other, dataset="other", version="1", cohort="hospital", assembly="GRCh37")
    path = write_hapibd(tmp_path / "h.ibd", [("P1", 2, "P2", 1, "20", 1_000_000, 2_000_000, 1.0)])
    with pytest.raises(LoaderError, match="--cohort is hospital, but callset kg300 has people of cohort 1000G"):
        load_ibd(own_demo, path, source="hap-ibd", dataset="h", version="1", cohort="hospital", callset="kg300")
    load_ibd(own_demo, path, source="hap-ibd", dataset="h", version="1", cohort="hospital", callset="later@1")
    later = write_vcf(tmp_path / "later.vcf", "20 1897442 rs4813331 C T 30 PASS DP=7 GT 0|1", samples=["HG00096"])
    load_vcf(own_demo, later, dataset="later", version="1", cohort="1000G", assembly="GRCh37")
    found = serve(own_demo).data(
        """{ ibdRuns(source: "h") { callset { name } } variant(id: "rs4813331") { carriersByDescent(source: "h") { basis callset { name } } }
        variantsInIbd(sample1: "P1", sample2: "P2") { edges { sharing callset { name } } } }"""
    )
    assert found == {
        "ibdRuns": [{"callset": None}], "variant": {"carriersByDescent": {"basis": "PEOPLE", "callset": {"name": "other"}}},
        "variantsInIbd": {"edges": [{"sharing": "BOTH_CARRY", "callset": {"name": "other"}}]},
    }  # fmt: skip


def test_a_later_callset_adds_its_variants_and_changes_none_of_the_others(
    own_demo: str, serve: Serve, tmp_path: Path, world: World
) -> None:
    """As exomes after genomes: some variants of the first, in which all calls are the ALT here, and others that it does not have."""
    exomes = rewritten(tmp_path / "exomes.vcf", lambda n, pos: n % 2 == 0 and 1_900_000 < pos < 1_920_000, lambda call: "1/1")
    lines, added = exomes.read_text().splitlines(), []
    for n, cells in enumerate(line.split("\t") for line in lines):
        if lines[n][0] != "#" and len(cells[3]) == 1:
            alt = next(base for base in "ACGT" if base != cells[3] and f"20-{cells[1]}-{cells[3]}-{base}" not in world.number)
            added.append(f"20-{cells[1]}-{cells[3]}-{alt}")
            lines[n] += "\n" + "\t".join([*cells[:2], ".", cells[3], alt, *cells[5:9], *["0/1"] * (len(cells) - 9)])
    exomes.write_text("\n".join(lines) + "\n")
    query = """query ($callset: [String!], $only: Boolean!) { variantsInIbd(sample1: "HG00376", sample2: "HG00381", region: "20:1900001-1919999",
        callset: $callset, sharedOnly: $only, first: 1000) { totalCount edges { sharing gt1 gt2 callset { name } node { name } } }
        ibdShared(sample1: "HG00376", sample2: "HG00381") { segments(first: 5) { nodes { sharedVariants(region: "20:1900001-1919999", callset: $callset, first: 500) {
        totalCount edges { sharing callset { name } node { name } } } } } } }"""
    api = serve(own_demo)
    before = {only: api.data(query, {"only": only}) for only in (False, True)}
    load_vcf(own_demo, exomes, dataset="exomes", version="1", cohort="1000G", assembly="GRCh37")
    api = serve(own_demo)
    for only in (False, True):
        assert api.data(query, {"only": only, "callset": ["kg300"]}) == before[only]
        known, after = before[only]["variantsInIbd"], api.data(query, {"only": only})["variantsInIbd"]
        # The run's callset speaks of all variants that it has; where neither carries one there, neither does.
        assert [edge for edge in after["edges"] if edge["callset"]["name"] == "kg300"] == known["edges"] != []
        new = [edge for edge in after["edges"] if edge["callset"]["name"] == "exomes"]
        assert {(edge["sharing"], edge["gt1"], edge["gt2"]) for edge in new} == {("BOTH_CARRY", "0/1", "0/1")}
        assert {edge["node"]["name"] for edge in new} <= {*added}
        assert after["totalCount"] == len(after["edges"]) == len({edge["node"]["name"] for edge in after["edges"]})
        pages = [segment["sharedVariants"] for segment in api.data(query, {"only": only})["ibdShared"]["segments"]["nodes"]]
        olds = [segment["sharedVariants"] for segment in before[only]["ibdShared"]["segments"]["nodes"]]
        for page, old in zip(pages, olds, strict=True):
            assert [edge for edge in page["edges"] if edge["callset"]["name"] == "kg300"] == old["edges"]
        assert sum(page["totalCount"] for page in pages) == sum(old["totalCount"] for old in olds) + len(new)
    alone = api.data(query, {"only": False, "callset": ["exomes"]})["variantsInIbd"]["edges"]
    assert {(edge["sharing"], edge["gt1"]) for edge in alone} == {("BOTH_CARRY", "1/1"), ("BOTH_CARRY", "0/1")}
    assert api.error(query, {"only": False, "callset": ["nothing"]})["code"] == "UNKNOWN_CALLSET"


def test_where_the_source_says_neither_types_nor_haplotypes_what_both_share_is_not_known(
    own_demo: str, serve: Serve, tmp_path: Path
) -> None:
    """GERMLINE of diploids. How two are related is told by all segments, whatever the least length; nothing where nobody searched them."""
    rows = [(A, B, 1, 3_000_000, 2_600.0), (A, B, 4_000_000, 5_000_000, 900.0), (A, C, 1, 3_000_000, 2_600.0), (A, D, 1, 9_000_000, 875.0)]
    line = "0 {0}\t0 {1}\t20\t{2} {3}\trs1 rs2\t700\t{4}\tcM\t0\t1\t1\n"
    (tmp_path / "d.match").write_text("".join(line.format(*row) for row in rows))
    how: dict[str, Any] = {"source": "germline", "version": "1", "cohort": "1000G", "surveyed_cm": 3_500.0}
    load_ibd(own_demo, tmp_path / "d.match", dataset="d", **how)
    load_ibd(own_demo, tmp_path / "d.match", dataset="of_callset", callset="kg300", **how)
    api = serve(own_demo)
    fields = "totalCm ibd1Cm ibd2Cm noRelationship relationship { kind degree nearestDegree furthestDegree kinship }"
    query = f"query ({PAIR}) {{ ibdShared({OF_PAIR}) {{ {fields} }} }}"

    def found(one: str, two: str, source: str = "d", least: float = 0) -> dict[str, Any]:
        return api.data(query, {"one": one, "two": two, "source": source, "min": least})["ibdShared"]

    first = {"kind": "FIRST_DEGREE", "degree": 1, "nearestDegree": 0, "furthestDegree": 1, "kinship": 0.25}
    unknown = {"ibd1Cm": None, "ibd2Cm": None, "noRelationship": None}
    assert found(A, B) == unknown | {"totalCm": 3_500.0, "relationship": first}
    assert found(A, B, least=1_000) == unknown | {"totalCm": 2_600.0, "relationship": first}, "by all segments"
    assert found(A, B, least=3_000) == {"totalCm": 0.0, "ibd1Cm": 0.0, "ibd2Cm": 0.0, "noRelationship": None, "relationship": first}
    assert found(A, C)["relationship"]["kind"] == "FIRST_DEGREE"
    assert found(A, D)["relationship"]["kind"] == "THIRD_DEGREE"
    nothing = {"totalCm": 0.0, "ibd1Cm": 0.0, "ibd2Cm": 0.0}
    unrelated = {"kind": "UNRELATED", "degree": None, "nearestDegree": 6, "furthestDegree": None, "kinship": 0.0}
    assert found(B, C) == nothing | {"noRelationship": None, "relationship": unrelated}, "the run names both"
    assert found(B, E) == nothing | {"noRelationship": "NOT_SEARCHED", "relationship": None}
    assert found(B, E, "of_callset") == nothing | {"noRelationship": None, "relationship": unrelated}, "each is in its callset"
