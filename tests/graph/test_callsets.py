"""Several callsets of the same people: what is said of a person once, which call counts, and that a callset is seen nowhere before it is
published or after it is taken out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pysam
import pytest

from store import release
from tests.graph.api import Api
from tests.graph.conftest import FASTA, Serve
from tests.graph.loading import load_frequencies, load_vcf, write_vcf


@pytest.fixture
def bases() -> dict[int, str]:
    """REF of the demo's reference at the places of three variants."""
    with pysam.FastaFile(str(FASTA)) as fasta:
        return {pos: fasta.fetch("20", pos - 1, pos) for pos in (1_000_226, 1_000_300, 1_000_400)}


def rows(bases: dict[int, str], *calls: str) -> list[str]:
    """VCF rows of the three variants with these calls; an empty text leaves a variant out."""
    return [f"20 {pos} . {base} {alt(base)} . . . GT {call}" for (pos, base), call in zip(bases.items(), calls, strict=True) if call]


def alt(base: str) -> str:
    return "A" if base != "A" else "T"


@pytest.fixture
def names(bases: dict[int, str]) -> list[str]:
    return [f"20-{pos}-{base}-{alt(base)}" for pos, base in bases.items()]


@pytest.fixture
def first(own_store: str, bases: dict[int, str], tmp_path: Path) -> str:
    """A store with a callset of A, B and C."""
    path = write_vcf(tmp_path / "first.vcf", *rows(bases, "0/1 0/0 1/1", "0/1 0/1 0/0", "0/0 ./. 0/1"), samples="ABC")
    load_vcf(own_store, path, dataset="first", cohort="people", version="1")
    return own_store


def load_second(url: str, bases: dict[int, str], tmp_path: Path, **options: Any) -> int:
    """A later callset of the same people: B, A and somebody new."""
    path = write_vcf(tmp_path / "second.vcf", *rows(bases, "0|1 1|1 0|1", "0|0 0|0 1|1", ""), samples="BAD")
    return load_vcf(url, path, dataset="second", cohort="people", version="1", **options)


def of(api: Api, sample: str, callset: list[str] | None = None) -> list[tuple[str, str, str]]:
    """What a sample carries: (variant, GT, callset)."""
    query = """query ($id: String!, $callset: [String!]) { sample(id: $id) { variants(callset: $callset) {
        totalCount edges { gt callset { name } node { name } } } } }"""
    page = api.data(query, {"id": sample, "callset": callset})["sample"]["variants"]
    assert page["totalCount"] == len(page["edges"])
    return [(edge["node"]["name"], edge["gt"], edge["callset"]["name"]) for edge in page["edges"]]


def carriers(api: Api, variant: str, callset: list[str] | None = None) -> list[tuple[str, str, str]]:
    """Who carries a variant: (callset, sample, GT)."""
    query = """query ($id: String!, $callset: [String!]) { variant(id: $id) { carriers(callset: $callset) {
        totalCount edges { gt callset { name } node { name } } } } }"""
    found = api.data(query, {"id": variant, "callset": callset})["variant"]
    if found is None:
        return []
    assert found["carriers"]["totalCount"] == len(found["carriers"]["edges"])
    return [(edge["callset"]["name"], edge["node"]["name"], edge["gt"]) for edge in found["carriers"]["edges"]]


def test_two_callsets_of_one_cohort_have_one_sample_of_a_name(
    first: str, bases: dict[int, str], names: list[str], serve: Serve, tmp_path: Path
) -> None:
    load_second(first, bases, tmp_path)
    api = serve(first)
    one, two, three = names
    found = api.data("{ samples { totalCount nodes { name cohort callsets { name } } } callsets { name cohort sampleCount } }")
    callsets = {"A": ["first", "second"], "B": ["first", "second"], "C": ["first"], "D": ["second"]}
    assert found["samples"]["totalCount"] == 4
    assert {row["name"]: [c["name"] for c in row["callsets"]] for row in found["samples"]["nodes"]} == callsets
    assert found["callsets"] == [{"name": name, "cohort": "people", "sampleCount": 3} for name in ("first", "second")]
    assert api.data('{ samples(callset: ["second"]) { nodes { name } } }')["samples"]["nodes"] == [{"name": n} for n in "ABD"]

    # Each variant once, with the call of the latest callset in which the sample carries it.
    assert of(api, "A") == [(one, "1|1", "second"), (two, "0/1", "first")]
    assert of(api, "B") == [(one, "0|1", "second"), (two, "0/1", "first")]
    assert of(api, "C") == [(one, "1/1", "first"), (three, "0/1", "first")]
    assert of(api, "D") == [(one, "0|1", "second"), (two, "1|1", "second")]
    assert of(api, "A", ["first"]) == [(one, "0/1", "first"), (two, "0/1", "first")]
    assert of(api, "A", ["second"]) == [(one, "1|1", "second")]
    assert of(api, "A", ["second", "first"]) == of(api, "A")
    assert of(api, "C", ["second"]) == []

    # Carriers are people: each comes once, with its call of the latest callset in which it carries the ALT.
    assert carriers(api, one) == [("first", "C", "1/1"), ("second", "B", "0|1"), ("second", "A", "1|1"), ("second", "D", "0|1")]
    assert carriers(api, two) == [("first", "A", "0/1"), ("first", "B", "0/1"), ("second", "D", "1|1")]
    assert carriers(api, one, ["first"]) == [("first", "A", "0/1"), ("first", "C", "1/1")]
    assert carriers(api, three, ["second"]) == []

    query = """query ($id: String!, $sample: String!) { variant(id: $id) { latest: genotype(sample: $sample) { gt callset { name } }
        first: genotype(sample: $sample, callset: "first") { gt } } }"""
    assert api.data(query, {"id": two, "sample": "A"})["variant"] == {
        "latest": {"gt": "0|0", "callset": {"name": "second"}}, "first": {"gt": "0/1"},
    }  # fmt: skip
    assert api.data(query, {"id": three, "sample": "B"})["variant"] == {
        "latest": {"gt": "./.", "callset": {"name": "first"}}, "first": {"gt": "./."},
    }  # fmt: skip
    assert api.data(query, {"id": one, "sample": "D"})["variant"]["first"] is None

    query = 'query ($ids: [String!]!) { sample(id: "A") { genotypes(ids: $ids) { gt variant { name } callset { name } } second: genotypes(ids: $ids, callset: ["second"]) { gt } } }'
    found = api.data(query, {"ids": [three, two, one]})["sample"]
    assert [(call["variant"]["name"], call["callset"]["name"], call["gt"]) for call in found["genotypes"]] == [
        (one, "first", "0/1"), (one, "second", "1|1"), (two, "first", "0/1"), (two, "second", "0|0"), (three, "first", "0/0"),
    ]  # fmt: skip
    assert found["second"] == [{"gt": "1|1"}, {"gt": "0|0"}]

    query = 'query ($id: String!) { variant(id: $id) { frequency { alleleCount load { dataset } } first: frequency(callset: "first") { alleleCount alleleNumber } } }'
    assert api.data(query, {"id": one})["variant"] == {
        "frequency": {"alleleCount": 4, "load": {"dataset": "second"}}, "first": {"alleleCount": 3, "alleleNumber": 6},
    }  # fmt: skip
    assert api.data(query, {"id": three})["variant"]["frequency"] == {"alleleCount": 1, "load": {"dataset": "first"}}


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_pages_over_two_callsets_lose_and_repeat_nothing(
    first: str, bases: dict[int, str], names: list[str], serve: Serve, tmp_path: Path, size: int, backward: bool
) -> None:
    load_second(first, bases, tmp_path)
    api = serve(first)
    lists = {
        "sample": ('sample(id: "A") { page: variants', of(api, "A")),
        "variant": (f'variant(id: "{names[0]}") {{ page: carriers', carriers(api, names[0])),
    }
    for name, (field, whole) in lists.items():
        found: list[str] = []
        cursor, more = None, True
        while more:
            window = f"{'last' if backward else 'first'}: {size}" + (f', {"before" if backward else "after"}: "{cursor}"' if cursor else "")
            query = f"{{ {field}({window}) {{ edges {{ gt }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }}"
            page = api.data(query)[name]["page"]
            gts = [edge["gt"] for edge in page["edges"]]
            found = gts + found if backward else found + gts
            more = page["pageInfo"]["hasPreviousPage" if backward else "hasNextPage"]
            cursor = page["pageInfo"]["startCursor" if backward else "endCursor"]
        assert found == [row[1] if name == "sample" else row[2] for row in whole]


def test_a_callset_that_is_not_visible_is_seen_nowhere(
    first: str, bases: dict[int, str], names: list[str], serve: Serve, tmp_path: Path
) -> None:
    """Held, published, unloaded: everything that could tell of it is asked each time."""
    one, two, _ = names
    query = """query ($node: [ID!]!, $one: String!) { nodes(ids: $node) { id } sample(id: "D") { name } a: sample(id: "A") { callsets { name } }
        samples { totalCount nodes { name } } callsets { name } search(text: "D") { __typename }
        variant(id: $one) { records { line } populationFrequencies { population } frequency { alleleCount }
        genotype(sample: "A") { gt } carriers { totalCount } }
        variants { totalCount } only: variants(filter: { dataset: ["second"] }, region: "20:1-5000000") { totalCount }
        store { loads { dataset } counts { records } populations } }"""

    named = [
        '{ callsets(name: ["second"]) { name } }', f'{{ variant(id: "{one}") {{ frequency(callset: "second") {{ alleleCount }} }} }}',
        f'{{ variant(id: "{one}") {{ genotype(sample: "A", callset: "second") {{ gt }} }} }}',
    ]  # fmt: skip

    with psycopg.connect(first, autocommit=True) as conn:
        api = serve(first)
        nothing = {"one": one, "node": ["Sample:1"]}
        before = api.data(query, nothing)
        second = load_second(first, bases, tmp_path, hold=True)
        (number,) = conn.execute("SELECT sample_id FROM sample WHERE name = 'D'").fetchone() or (0,)
        asked = nothing | {"node": ["Sample:1", f"Sample:{number}", f"Callset:{second}", f"Load:{second}"]}
        hidden = before | {"nodes": [{"id": "Sample:1"}, None, None, None]}

        assert api.data(query, asked) == hidden
        assert of(api, "A") == [(one, "0/1", "first"), (two, "0/1", "first")]
        assert carriers(api, one) == [("first", "A", "0/1"), ("first", "C", "1/1")]
        assert api.error(f'{{ variant(id: "{one}") {{ genotype(sample: "D") {{ gt }} }} }}')["code"] == "UNKNOWN_SAMPLE"
        assert [api.error(each)["code"] for each in named] == ["UNKNOWN_CALLSET"] * 3

        release.publish(conn, second)
        release.create_release(conn, "both")
        visible = serve(first).data(query, asked)
        assert [row and row["id"] for row in visible["nodes"]] == asked["node"]
        assert visible["sample"] == {"name": "D"}
        assert visible["a"] == {"callsets": [{"name": "first"}, {"name": "second"}]}
        assert (visible["samples"]["totalCount"], visible["only"]["totalCount"]) == (4, 2)
        assert visible["variant"]["frequency"] == {"alleleCount": 4}
        assert visible["variant"]["genotype"] == {"gt": "1|1"}
        assert visible["variant"]["carriers"] == {"totalCount": 4}
        assert {"__typename": "Sample"} in visible["search"]
        assert [len(str(serve(first).data(each))) > 20 for each in named] == [True] * 3

        release.unload(conn, second)
        api = serve(first)
        assert api.data(query, asked) == hidden
        assert [api.error(each)["code"] for each in named] == ["UNKNOWN_CALLSET"] * 3
        assert of(api, "A") == [(one, "0/1", "first"), (two, "0/1", "first")]
        # Who names a release that holds it still sees it, all of it.
        assert api.data(query, asked, headers={"Vkg-Release": "both"}) == visible


def test_a_new_version_of_a_callset_takes_the_place_of_the_old_one(
    first: str, bases: dict[int, str], names: list[str], serve: Serve, tmp_path: Path
) -> None:
    path = write_vcf(tmp_path / "again.vcf", *rows(bases, "0/0 1/1", "", "0/1 0/0"), samples="CA")
    load_vcf(first, path, dataset="first", cohort="people", version="2")
    api = serve(first)
    found = api.data("{ samples { nodes { name } } callsets { name version sampleCount } }")
    assert found == {
        "samples": {"nodes": [{"name": "A"}, {"name": "C"}]},
        "callsets": [{"name": "first", "version": "2", "sampleCount": 2}],
    }
    assert of(api, "A") == [(names[0], "1/1", "first")]
    assert of(api, "C") == [(names[2], "0/1", "first")]
    assert carriers(api, names[1]) == []


def test_all_of_a_dataset_is_its_overall_frequency_whatever_the_namespace(own_demo: str, serve: Serve, tmp_path: Path) -> None:
    """Where no dataset is named, ALL is of those without a namespace."""
    header = "".join(f'##INFO=<ID={key},Number=A,Type=Float,Description="">\n' for key in ("AF", "AF_afr"))
    row = "\t".join(["20", "1897442", ".", "C", "T", ".", "PASS", "AF=0.125;AF_afr=0.5"])
    (tmp_path / "g.vcf").write_text(f"##fileformat=VCFv4.2\n{header}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{row}\n")
    load_frequencies(own_demo, tmp_path / "g.vcf", dataset="gnomad", version="4.1", assembly="GRCh37")
    api = serve(own_demo)
    query = """query ($population: String!, $callset: String) { variant(id: "rs4813331") { frequency(population: $population, callset: $callset) {
        population frequency } } }"""

    def frequency(population: str, callset: str | None) -> tuple[str, float] | None:
        found = api.data(query, {"population": population, "callset": callset})["variant"]["frequency"]
        return found and (found["population"], found["frequency"])

    assert frequency("ALL", "gnomad") == frequency("gnomad:ALL", "gnomad") == frequency("gnomad:ALL", None) == ("gnomad:ALL", 0.125)
    assert frequency("gnomad:afr", "gnomad") == ("gnomad:afr", 0.5)
    assert frequency("ALL", None) == frequency("ALL", "kg300") == ("ALL", 235 / 600)
    names = """query ($filter: VariantFilter) { variants(region: "20:1890000-1900000", filter: $filter, first: 1000) { nodes { name } } }"""
    for population, dataset, low, high, count in (
        ("ALL", "gnomad", 0.12, 0.13, 1), ("gnomad:ALL", "gnomad", 0.12, 0.13, 1), ("ALL", "gnomad", 0.2, 1, 0), ("ALL", "kg300", 0.39, 0.392, None),
    ):  # fmt: skip
        asked = {"frequency": [{"population": population, "dataset": dataset, "min": low, "max": high}]}
        found = [row["name"] for row in api.data(names, {"filter": asked})["variants"]["nodes"]]
        assert ("20-1897442-C-T" in found) == (count != 0)
        assert count is None or len(found) == count
