"""What two people share: centimorgans, variants, and how they are related, against brute force on the files (segments.py) and on files made here."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from store.assembly import GRCH37
from tests.graph.api import OF_PAGE, PAGE, WINDOW, Api
from tests.graph.conftest import Clone, Serve, settings
from tests.graph.loading import HEADER, load_ibd, load_vcf, write_vcf
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
    return {
        "totalCm": pytest.approx(total, abs=2e-6), "ibd1Cm": pytest.approx(total - double, abs=2e-6), "ibd2Cm": pytest.approx(double, abs=2e-6), "xCm": 0,
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

    doubled = multiple = 0
    for variables, (run, segments) in draws(11, 220, draw):
        found = shared.data(IBD_SHARED, variables)["ibdShared"]
        turned = shared.data(IBD_SHARED, variables | {"one": variables["two"], "two": variables["one"]})["ibdShared"]
        assert found == turned
        listed = found.pop("segments")
        assert found == shared_of(world, run, variables["one"], variables["two"], variables["min"]), variables
        assert found["ibd1Cm"] >= 0
        keys = [s.key for s in sorted(segments, key=world.order, reverse=True)]
        assert [(s["run"]["name"], s["line"]) for s in listed["nodes"]] == keys
        assert listed["totalCount"] == len(keys)
        doubled += found["ibd2Cm"] > 0
        multiple += len(segments) > 1
    assert multiple > 50
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
