"""`vkg query ibd-shared`, `hbd-regions`, `relatives` and `variants-in-ibd` write what the API answers, as TSV and as JSON."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from graph import export_people, shell
from graph.context import Context
from graph.errors import UserError
from graph.export_people import Found, Row
from store import release
from store.assembly import GRCH37
from store.database import open_pools
from tests.command_line import run
from tests.graph.api import JSON, Api
from tests.graph.conftest import ROOT
from tests.graph.loading import load_ibd, load_vcf, write_vcf

PAIR = ("HG00376", "HG00381")  # two segments between them
RUN = "run { name version source sourceVersion cohort phased surveyedCm }"
RELATIONSHIP = "relationship { kinship kind degree nearestDegree furthestDegree } noRelationship"
SEGMENT = "chrom start end lengthBp lengthCm markers score line"


def write(
    url: str,
    find: Callable[..., Awaitable[Found]],
    *wanted: Any,
    as_json: bool = False,
    output: Path | None = None,
    named: str | None = None,
) -> str:
    """What a command writes."""

    async def work() -> str:
        pools = await open_pools(url, size=1, timeout_ms=60_000)
        out = io.StringIO()
        try:
            ctx = await shell.request(pools, GRCH37, None, named)
            await export_people.write(ctx, await find(ctx, *wanted), as_json, output, out)
        finally:
            await pools.close()
        return out.getvalue()

    return asyncio.run(work())


def table(text: str) -> list[dict[str, str]]:
    head, *rows = (line.split("\t") for line in text.splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


def shared(url: str, *people: str, least: float = 0, source: str | None = None, segments: bool = False, **how: Any) -> str:
    return write(url, export_people.ibd_shared, *people, least, source, segments or how.get("as_json", False), **how)


def variants(url: str, *people: str, least: float = 0, only: bool = False, source: str | None = None, **more: Any) -> str:
    place = [more.pop(name, default) for name, default in (("region", None), ("gene", None), ("flank", 0), ("filter", None))]
    return write(url, export_people.variants_in_ibd, *people, least, only, source, *place, **more)


# ---- the same as the API


@pytest.mark.parametrize("people", [PAIR, PAIR[::-1], ("HG00097", "NA06985")], ids=" ".join)
@pytest.mark.parametrize("least", [0, 1.5])
def test_what_two_people_share_is_what_the_api_says(demo: Api, demo_url: str, people: tuple[str, str], least: float) -> None:
    data = demo.data(
        f"""query ($a: String!, $b: String!, $least: Float!) {{ ibdShared(sample1: $a, sample2: $b, minLengthCm: $least) {{
            totalCm ibd1Cm ibd2Cm xCm segmentCount longestCm minLengthCm {RELATIONSHIP} {RUN}
            segments {{ nodes {{ sample1 {{ name }} haplotype1 haplotype2 ibdType {SEGMENT} }} }} }} }}""",
        {"a": people[0], "b": people[1], "least": least},
    )["ibdShared"]
    segments = data.pop("segments")["nodes"]
    for segment in segments:
        if segment.pop("sample1")["name"] != people[0]:  # at the shell, 1 is the person who is named first
            segment["haplotype1"], segment["haplotype2"] = segment["haplotype2"], segment["haplotype1"]
    found = json.loads(shared(demo_url, *people, least=least, as_json=True))
    named = {f"sample{n}": {"name": name, "cohort": "1000G"} for n, name in enumerate(people, 1)}
    assert found == named | data | {"segments": segments}

    (row,) = table(shared(demo_url, *people, least=least))
    assert (row["sample1"], row["sample2"]) == people
    assert float(row["total_cm"]) == data["totalCm"]
    assert row["segments"] == str(len(segments)) == str(data["segmentCount"])
    assert (row["relationship"], row["no_relationship"], row["source"]) == ("", "INSUFFICIENT_COVERAGE", "HAP_IBD")
    rows = table(shared(demo_url, *people, least=least, segments=True))
    assert [(r["start"], r["haplotype1"], r["haplotype2"]) for r in rows] == [
        tuple(str(segment[name]) for name in ("start", "haplotype1", "haplotype2")) for segment in segments
    ]


def test_segments_stand_as_in_the_file(demo_url: str) -> None:
    """In the columns of hap-IBD, whoever is named first."""
    lines = gzip.decompress((ROOT / "demo" / "hapibd.min1cm.ibd.gz").read_bytes()).decode().splitlines()
    of_pair = {n: line.split("\t") for n, line in enumerate(lines, 1) if set(PAIR) <= set(line.split("\t"))}
    rows = table(shared(demo_url, *PAIR, segments=True))
    assert len(rows) == len(of_pair) == 2
    for row in rows:
        sample1, haplotype1, sample2, haplotype2, *place, length = of_pair[int(row["line"])]
        ends = {(sample1, haplotype1), (sample2, haplotype2)}
        assert {(row["sample1"], row["haplotype1"]), (row["sample2"], row["haplotype2"])} == ends
        assert ([row["chrom"], row["start"], row["end"]], float(row["length_cm"])) == (place, float(length))


@pytest.mark.parametrize("name", ["HG01531", "HG00282", "HG00097"])
@pytest.mark.parametrize("least", [0, 1.1])
def test_homozygous_regions_are_those_of_the_api(demo: Api, demo_url: str, name: str, least: float) -> None:
    query = (
        f"query ($s: String!, $least: Float!) {{ sample(id: $s) {{ hbdSegments(minLengthCm: $least) {{ nodes {{ {SEGMENT} {RUN} }} }} }} }}"
    )
    segments = demo.data(query, {"s": name, "least": least})["sample"]["hbdSegments"]["nodes"]
    found = json.loads(write(demo_url, export_people.hbd_regions, name, least, "hapibd", as_json=True))
    assert found == {"sample": {"name": name, "cohort": "1000G"}, "segments": segments}
    rows = table(write(demo_url, export_people.hbd_regions, name, least, None))
    assert [(r["chrom"], r["start"], r["end"]) for r in rows] == [(s["chrom"], str(s["start"]), str(s["end"])) for s in segments]
    assert {r["sample"] for r in rows} <= {name}


@pytest.mark.parametrize(
    ("total", "least", "population", "first"), [(0, 0, None, None), (1.5, 0, None, None), (0, 1.2, ["FIN"], 3), (0, 0, None, 2)]
)
def test_relatives_are_those_of_the_api(
    demo: Api, demo_url: str, monkeypatch: pytest.MonkeyPatch, total: float, least: float, population: list[str] | None, first: int | None
) -> None:
    query = f"""query ($s: String!, $total: Float!, $least: Float!, $population: [String!]) {{ sample(id: $s) {{
        relatives(minTotalCm: $total, minLengthCm: $least, population: $population, first: 1000) {{ edges {{
        node {{ name cohort sex population {{ name }} }} totalCm segmentCount longestCm {RUN} sharing {{ {RELATIONSHIP} }} }} }} }} }}"""
    asked = {"s": PAIR[0], "total": total, "least": least, "population": population}
    edges = demo.data(query, asked)["sample"]["relatives"]["edges"][:first]
    assert len(edges) > 1
    for edge in edges:
        node = edge.pop("node")
        edge |= edge.pop("sharing") | node | {"population": node["population"]["name"]}
    monkeypatch.setattr(export_people, "LARGEST_PAGE", 2)
    wanted = (PAIR[0], total, least, None, population, first)
    found = json.loads(write(demo_url, export_people.relatives, *wanted, as_json=True))
    assert found == {"sample": {"name": PAIR[0], "cohort": "1000G"}, "relatives": edges}
    rows = table(write(demo_url, export_people.relatives, *wanted))
    assert [(r["relative"], r["total_cm"]) for r in rows] == [(edge["name"], f"{edge['totalCm']:.15g}") for edge in edges]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"minLengthCm": 1.5},
        {"sharedOnly": True, "source": "hap-ibd"},
        {"region": "20:1900000-2000000"},
        {"gene": "SIRPA", "flank": 10_000, "sharedOnly": True},
        {"region": "20:1000000-3000000", "filter": {"type": ["DELETION"]}},
    ],
    ids=str,
)
def test_variants_in_segments_are_those_of_the_api(demo: Api, demo_url: str, asked: JSON) -> None:
    query = """query ($a: String!, $b: String!, $minLengthCm: Float, $sharedOnly: Boolean, $source: String, $region: String, $gene: String, $flank: Int,
        $filter: VariantFilter, $after: String) { variantsInIbd(sample1: $a, sample2: $b, minLengthCm: $minLengthCm, sharedOnly: $sharedOnly, source: $source,
        region: $region, gene: $gene, flank: $flank, filter: $filter, first: 1000, after: $after) { pageInfo { hasNextPage endCursor } edges {
        sharing gt1 gt2 callset { name version } node { name key chrom pos ref alt type rsids } } } }"""
    edges: list[JSON] = []
    given = {"minLengthCm": 0, "sharedOnly": False, "flank": 0} | asked
    page: JSON = {"hasNextPage": True, "endCursor": None}
    while page["hasNextPage"]:
        answer = demo.data(query, {"a": PAIR[0], "b": PAIR[1], **given, "after": page["endCursor"]})["variantsInIbd"]
        edges += [edge | edge.pop("node") for edge in answer["edges"]]
        page = answer["pageInfo"]
    names = {"minLengthCm": "least", "sharedOnly": "only"}
    options = {names.get(name, name): value for name, value in asked.items()}
    if "filter" in options:
        options["filter"] = "{type: [DELETION]}"
    lines = variants(demo_url, *PAIR, as_json=True, **options).splitlines()
    assert [json.loads(line) for line in lines] == edges
    assert edges
    rows = table(variants(demo_url, *PAIR, **options))
    shown = ("chrom", "pos", "ref", "alt", "key", "type", "sharing", "gt1", "gt2")
    assert [tuple(row[name] for name in shown) for row in rows] == [tuple(str(edge[name]) for name in shown) for edge in edges]
    assert [row["rsids"] for row in rows] == [",".join(edge["rsids"]) for edge in edges]
    assert {(row["callset"], row["version"]) for row in rows} == {("kg300", "phase3")}


# ---- the commands


def test_the_commands_write_to_the_terminal_and_to_files(demo_url: str, tmp_path: Path) -> None:
    on_terminal = run(demo_url, "query", "ibd-shared", *PAIR, "--min-length", "1.5")
    assert (on_terminal.code, on_terminal.err) == (0, "")
    assert on_terminal.out == shared(demo_url, *PAIR, least=1.5)
    regions = run(demo_url, "query", "hbd-regions", "1000G/HG01531", "--source", "HAP_IBD", "--json")
    assert [segment["start"] for segment in json.loads(regions.out)["segments"]] == [1_570_398, 1_000_341]
    people = run(demo_url, "query", "relatives", PAIR[0], "--min-total", "1.5", "--first", "1", "--population", "FIN")
    assert [row["relative"] for row in table(people.out)] == [PAIR[1]]
    for name, options in (("v.tsv", []), ("v.tsv.gz", []), ("v.jsonl.gz", ["--json"]), ("v.jsonl", ["--json"])):
        done = run(
            demo_url, "query", "variants-in-ibd", *PAIR, "--shared-only", "--gene", "SIRPA", *options, "--output", str(tmp_path / name)
        )
        assert (done.code, done.out) == (0, "")
        content = (tmp_path / name).read_bytes()
        text = gzip.decompress(content).decode() if name.endswith(".gz") else content.decode()
        assert text == variants(demo_url, *PAIR, only=True, gene="SIRPA", as_json=bool(options))
        assert done.err == f"{len(text.splitlines()) - (not options):,} rows in {tmp_path / name}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.jsonl", "v.jsonl.gz", "v.tsv", "v.tsv.gz"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ibd-shared", "HG00376", "NOBODY"], "No visible load names a sample 'NOBODY'"),
        (["ibd-shared", "HG00376", "HG00376"], "the same person"),
        (["variants-in-ibd", "HG00376", "1000G/HG00376"], "the same person"),
        (["ibd-shared", *PAIR, "--source", "germline"], "No visible run of segments is named 'germline'"),
        (["ibd-shared", *PAIR, "--min-length", "-1"], "--min-length: -1.0 is no length"),
        (["relatives", "HG00376", "--min-total", "nan"], "--min-total: nan is no length"),
        (["relatives", "HG00376", "--population", "XXX"], "'XXX'"),
        (["hbd-regions", "HG01531", "--release", "never"], "There is no release named 'never'"),
        (["variants-in-ibd", *PAIR, "--filter", "{kind: SNV}"], "The filter cannot be read"),
        (["variants-in-ibd", *PAIR, "--gene", "NOGENE"], "NOGENE"),
        (["variants-in-ibd", *PAIR, "--output", "x.vcf"], "x.vcf: the ending says no format"),
        (["hbd-regions", "HG01531", "--json", "--output", "x.tsv"], "Name it .json or .json.gz."),
        (["hbd-regions", "HG01531", "--output", "/nowhere/x.tsv"], "/nowhere/x.tsv: there is no folder /nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_answered_is_one_message_and_exit_code_2(demo_url: str, arguments: list[str], said: str) -> None:
    done = run(demo_url, "query", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.startswith("vkg: ")
    assert "Traceback" not in done.err


def test_a_reader_that_has_seen_enough_is_no_error(demo_url: str) -> None:
    for command in ("variants-in-ibd HG00376 HG00381", "ibd-shared HG00376 HG00381"):
        shown = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m vkg query {command} | head -c 5 > /dev/null; echo ${{PIPESTATUS[0]}}"],
            cwd=ROOT, env=os.environ | {"VKG_DATABASE_URL": demo_url}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert (shown.stdout, shown.stderr) == ("0\n", "")


# ---- runs and releases


def test_without_a_run_nobody_knows(own_store: str, tmp_path: Path) -> None:
    path = write_vcf(tmp_path / "two.vcf", "20 1000226 . A T . . . GT 0/1 1|1", samples="AB")
    load_vcf(own_store, path, dataset="two", cohort="people")
    calls: list[Callable[[], str]] = [
        lambda: shared(own_store, "A", "B"),
        lambda: variants(own_store, "A", "B"),
        lambda: write(own_store, export_people.hbd_regions, "A", 0, None),
        lambda: write(own_store, export_people.relatives, "A", 0, 0, None, None, None),
    ]
    for call in calls:
        with pytest.raises(UserError, match="No visible run of segments is of people of people") as caught:
            call()
        assert caught.value.code == "NO_RUN"
        assert "vkg load ibd" in (caught.value.hint or "")


def test_a_named_release_keeps_its_run(own_demo: str, tmp_path: Path) -> None:
    before = shared(own_demo, *PAIR)
    with psycopg.connect(own_demo, autocommit=True) as conn:
        release.create_release(conn, "first")
        later = tmp_path / "later.ibd"
        later.write_text("HG00376\t1\tHG00381\t2\t20\t1000341\t3999840\t20\n")
        load_ibd(own_demo, later, source="hap-ibd", dataset="later", version="1", cohort="1000G", surveyed_cm=3_400)
        after = shared(own_demo, *PAIR)
        release.unload(conn, release.find_load(conn, "hapibd").load_id)
    assert shared(own_demo, *PAIR, named="first") == before
    assert shared(own_demo, *PAIR) == after
    (row,) = table(after)
    assert (row["dataset"], row["total_cm"], row["relationship"], row["degree"]) == ("later", "20", "DISTANT", "8")
    assert run(own_demo, "query", "ibd-shared", *PAIR, "--release", "first").out == before


# ---- a file is there when it is complete, or not at all


def found(during: Callable[[], None]) -> Callable[[Context], Awaitable[Found]]:
    """Rows between which something happens."""

    async def rows() -> AsyncIterator[Row]:
        yield {"a": 1}
        during()
        yield {"a": 2}

    async def find(ctx: Context) -> Found:
        return Found(rows(), {"a": "a"})

    return find


def test_a_file_that_fails_half_way_is_not_there(demo_url: str, tmp_path: Path) -> None:
    def fail() -> None:
        raise UserError("ANY", "No more.")

    kept = tmp_path / "kept.tsv"
    kept.write_text("of yesterday")
    for output in (kept, tmp_path / "never.tsv.gz"):
        with pytest.raises(UserError, match="No more"):
            write(demo_url, found(fail), output=output)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("kept.tsv", "of yesterday")]


def test_a_file_from_which_something_was_taken_out_meanwhile_is_not_there(own_demo: str, tmp_path: Path) -> None:
    def unload() -> None:
        with psycopg.connect(own_demo, autocommit=True) as conn:
            release.unload(conn, release.find_load(conn, "hapibd").load_id)

    with pytest.raises(UserError) as caught:
        write(own_demo, found(unload), output=tmp_path / "never.tsv")
    assert caught.value.code == "UNLOADED"
    assert not list(tmp_path.iterdir())
    write(own_demo, found(lambda: None), output=tmp_path / "now.tsv")
    assert (tmp_path / "now.tsv").read_text() == "a\n1\n2\n"
