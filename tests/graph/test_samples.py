"""Samples, callsets and populations: what their fields say, by what they are found, and who is visible when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from store import release
from tests.graph.api import Api
from tests.graph.conftest import DATA, Serve
from tests.graph.loading import load_samples, load_vcf, write_vcf
from tests.graph.pedigree import read_ped, read_vcf

# ---- fields


def test_a_sample_says_what_the_pedigree_says(family: Api) -> None:
    query = """query ($cohort: String!) { samples(cohort: [$cohort], callset: ["narrow", "wide_ped", "wide"], first: 7) { totalCount }
        people: samples(ids: ["narrow/GIRL", "narrow/DAD", "narrow/SON", "narrow/ALONE", "narrow/MUM", "narrow/DUO", "narrow/MUM2", "narrow/DAD2",
        "narrow/ORPHAN"]) { totalCount nodes { name cohort sex family phenotype population { name } callsets { name }
        father { name } mother { name } parents { name } children { totalCount nodes { name } } } } }"""
    found = {row.pop("name"): row for row in family.data(query, {"cohort": "narrow"})["people"]["nodes"]}
    people = read_ped(DATA / "family.ped")
    assert list(found) == sorted(people)
    for name, person in people.items():
        children = sorted(child.name for child in people.values() if name in (child.father, child.mother))
        parents = [parent for parent in (person.father, person.mother) if parent in people]
        assert found[name] == {
            "cohort": "narrow", "sex": person.sex, "family": person.family, "phenotype": person.phenotype, "population": None,
            "callsets": [] if name in ("DAD2", "ORPHAN") else [{"name": "narrow"}],
            "father": {"name": person.father} if person.father in people else None,
            "mother": {"name": person.mother} if person.mother in people else None,
            "parents": [{"name": parent} for parent in sorted(parents)],
            "children": {"totalCount": len(children), "nodes": [{"name": child} for child in children]},
        }, name  # fmt: skip


def test_a_callset_says_what_was_loaded(family: Api, demo: Api) -> None:
    query = """{ callsets { id name version cohort sampleCount variantCount formatKept load { id dataset kind files }
        samples(first: 2) { totalCount nodes { name } } } }"""
    narrow, wide = family.data(query)["callsets"]
    variants = len(read_vcf(DATA / "family.vcf"))
    assert (narrow.pop("id").partition(":")[2], wide.pop("id").partition(":")[2]) == ("3", "5")
    assert narrow == {
        "name": "narrow", "version": "1", "cohort": "narrow", "sampleCount": 7, "variantCount": variants, "formatKept": True,
        "load": {"id": "Load:3", "dataset": "narrow", "kind": "VARIANTS", "files": ["family.vcf"]},
        "samples": {"totalCount": 7, "nodes": [{"name": "ALONE"}, {"name": "DAD"}]},
    }  # fmt: skip
    assert (wide["sampleCount"], wide["samples"]["totalCount"], wide["variantCount"]) == (307, 307, variants)
    (kg,) = demo.data(query)["callsets"]
    assert (kg["cohort"], kg["sampleCount"], kg["variantCount"], kg["formatKept"]) == ("1000G", 300, 24_990, False)
    assert demo.data('{ callsets(name: ["kg300", "x"]) { name } none: callsets(name: ["panel"]) { name } }') == {
        "callsets": [{"name": "kg300"}],
        "none": [],
    }


def test_a_population_has_its_own_samples_and_those_of_its_parts(demo: Api, demo_vcf: Path) -> None:
    rows = [line.split() for line in (demo_vcf.parent / "samples.panel").read_text().splitlines()[1:]]
    query = """{ populations { totalCount nodes { id name description superPopulation { name } subPopulations { totalCount nodes { name } }
        load { dataset } samples(first: 300) { totalCount nodes { name } } } } }"""
    found = demo.data(query)["populations"]
    assert found["totalCount"] == 5
    for row in found["nodes"]:
        name = row["name"]
        parts = ["CEU", "FIN", "GBR", "IBS"] if name == "EUR" else []
        samples = sorted(sample for sample, population, larger, _ in rows if name in (population, larger))
        assert row == {
            "id": f"Population:{name}", "name": name, "description": None, "superPopulation": None if name == "EUR" else {"name": "EUR"},
            "subPopulations": {"totalCount": len(parts), "nodes": [{"name": part} for part in parts]}, "load": {"dataset": "panel"},
            "samples": {"totalCount": len(samples), "nodes": [{"name": sample} for sample in samples]},
        }  # fmt: skip
    assert demo.data('{ populations(name: ["FIN", "AFR"]) { nodes { name } } }') == {"populations": {"nodes": [{"name": "FIN"}]}}


@pytest.mark.parametrize("cohort", ["narrow", "wide"])
def test_every_call_of_everybody_is_that_of_the_file(family: Api, cohort: str) -> None:
    """GT, what is derived from it, and FORMAT: as an edge of the sample, as an edge of the variant, and on its own."""
    fields = "gt zygosity phased phaseSet dp gq adRef adAlt"
    variants = read_vcf(DATA / "family.vcf")
    by_place: dict[int, list[str]] = {}
    for n, v in enumerate(variants):
        by_place.setdefault(n // 100, []).append(v.name)
    for sample in ("GIRL", "DAD", "SON", "ALONE", "MUM", "DUO", "MUM2"):
        expected = {}
        for v in variants:
            call = v.call(sample)
            assert call is not None
            expected[v.name] = {
                "gt": call.gt, "zygosity": call.zygosity, "phased": call.phased, "phaseSet": call.phase_set, "dp": call.dp, "gq": call.gq,
                "adRef": call.ad_ref, "adAlt": call.ad_alt,
            }  # fmt: skip
        query = f"query ($id: String!, $ids: [String!]!) {{ sample(id: $id) {{ genotypes(ids: $ids) {{ variant {{ name }} callset {{ name }} sample {{ name }} {fields} }} }} }}"
        found = family.data(query, {"id": f"{cohort}/{sample}", "ids": list(expected)})["sample"]["genotypes"]
        assert {(call.pop("callset")["name"], call.pop("sample")["name"]) for call in found} == {(cohort, sample)}
        assert {call.pop("variant")["name"]: call for call in found} == expected

        query = f"query ($id: String!, $cohort: String!) {{ sample(id: $id) {{ variants(first: 1000, callset: [$cohort]) {{ edges {{ node {{ name }} {fields} }} }} }} }}"
        edges = family.data(query, {"id": f"{cohort}/{sample}", "cohort": cohort})["sample"]["variants"]["edges"]
        assert {edge.pop("node")["name"]: edge for edge in edges} == {n: c for n, c in expected.items() if c["zygosity"] is not None}

    query = f"query ($ids: [String!]!, $callset: [String!]) {{ variants(ids: $ids, first: 100) {{ nodes {{ name carriers(first: 20, callset: $callset) {{ edges {{ node {{ name }} {fields} }} }} }} }} }}"
    for names in by_place.values():
        for row in family.data(query, {"ids": names, "callset": [cohort]})["variants"]["nodes"]:
            v = next(v for v in variants if v.name == row["name"])
            carriers = [(sample, call) for sample in v.samples if (call := v.call(sample)) is not None and call.carries]
            found = [(edge["node"]["name"], edge["gt"], edge["zygosity"], edge["dp"]) for edge in row["carriers"]["edges"]]
            assert found == [(sample, call.gt, call.zygosity, call.dp) for sample, call in carriers]


# ---- finding samples


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ('ids: ["HG00099", "1000G/HG00096"]', ["HG00096", "HG00099"]),
        ('ids: ["HG00096", "1000G/HG00096", " HG00096 "]', ["HG00096"]),
        ("ids: []", []),
        ('cohort: ["1000G"], ids: ["HG00096"]', ["HG00096"]),
        ('cohort: ["kg"]', []),
        ('population: ["CEU"]', ["NA06984", "NA06985", "NA06986"]),
        ('population: ["CEU"], sex: FEMALE', ["NA06985"]),
        ('population: ["EUR", "CEU"], sex: MALE, ids: ["NA06985", "NA06986"]', ["NA06986"]),
        ('callset: ["kg300"], ids: ["HG00096"]', ["HG00096"]),
        ('callset: ["panel"], ids: ["HG00096"]', []),
        ('family: ["F"]', []),
    ],
)
def test_samples_are_found_by(demo: Api, arguments: str, names: list[str]) -> None:
    found = demo.data(f"{{ samples({arguments}) {{ totalCount nodes {{ name }} }} }}")["samples"]
    assert found == {"totalCount": len(names), "nodes": [{"name": name} for name in names]}


def test_samples_are_found_by_family(family: Api) -> None:
    query = '{ samples(family: ["FAM2", "FAM3"], cohort: ["wide"]) { nodes { name } } }'
    assert [row["name"] for row in family.data(query)["samples"]["nodes"]] == ["ALONE", "DAD2", "DUO", "MUM2"]
    query = '{ samples(family: ["FAM1"], sex: FEMALE) { nodes { cohort name } } }'
    found = [(row["cohort"], row["name"]) for row in family.data(query)["samples"]["nodes"]]
    assert found == [("narrow", "GIRL"), ("narrow", "MUM"), ("wide", "GIRL"), ("wide", "MUM")]


@pytest.mark.parametrize("size", [1, 7, 300])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_pages_of_samples_come_by_cohort_and_name(family: Api, family_url: str, size: int, backward: bool) -> None:
    query = """query ($first: Int, $after: String, $last: Int, $before: String) { samples(sex: MALE, first: $first, after: $after, last: $last,
        before: $before) { nodes { cohort name } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
    found: list[tuple[str, str]] = []
    cursor, more = None, True
    while more:
        page = family.data(query, {"last": size, "before": cursor} if backward else {"first": size, "after": cursor})["samples"]
        rows = [(row["cohort"], row["name"]) for row in page["nodes"]]
        found = rows + found if backward else found + rows
        more = page["pageInfo"]["hasPreviousPage" if backward else "hasNextPage"]
        cursor = page["pageInfo"]["startCursor" if backward else "endCursor"]
    men = sorted(person.name for person in read_ped(DATA / "family.ped").values() if person.sex == "MALE")
    assert found == [(cohort, name) for cohort in ("narrow", "wide") for name in men]


def test_a_sample_is_named_with_or_without_its_cohort(demo: Api, family: Api) -> None:
    query = "query ($id: String!) { sample(id: $id) { name cohort } }"
    for name in ("HG00096", "1000G/HG00096", " HG00096"):
        assert demo.data(query, {"id": name})["sample"] == {"name": "HG00096", "cohort": "1000G"}
    for name in ("HG0009", "hg00096", "kg/HG00096", "/HG00096", "1000G/", "", "1000G/1000G/HG00096", "/" * 5000):
        assert demo.data(query, {"id": name})["sample"] is None
    assert family.data(query, {"id": "wide/SON"})["sample"] == {"name": "SON", "cohort": "wide"}
    assert family.data(query, {"id": "R7"})["sample"] == {"name": "R7", "cohort": "wide"}


def test_a_name_may_have_a_slash(own_store: str, serve: Serve, tmp_path: Path) -> None:
    path = write_vcf(tmp_path / "a.vcf", "20 1000226 . A T . . . GT 0/1 1/1", samples=["P/1", "1"])
    load_vcf(own_store, path, dataset="a", cohort="some/where")
    api = serve(own_store)
    for name, found in (("P/1", "P/1"), ("1", "1"), ("some/where/1", "1"), ("some/where/P/1", "P/1"), ("where/1", None), ("where/P/1", None)):
        row = api.data("query ($id: String!) { sample(id: $id) { name } }", {"id": name})["sample"]
        assert row == (found and {"name": found})


@pytest.mark.parametrize(
    ("text", "first", "names"),
    [
        ("HG00096", 10, ["HG00096"]),
        ("hg00096", 10, ["HG00096"]),
        ("hg0009", 10, ["HG00096", "HG00097", "HG00099"]),
        ("NA0698", 2, ["NA06984", "NA06985"]),
        ("G00096", 10, []),
        ("HG0009_", 10, []),
        ("HG0009%", 10, []),
    ],
)
def test_search_finds_samples_by_the_start_of_their_names(demo: Api, text: str, first: int, names: list[str]) -> None:
    query = "query ($text: String!, $first: Int!) { search(text: $text, first: $first) { __typename ... on Sample { name population { name } } } }"
    found = demo.data(query, {"text": text, "first": first})["search"]
    assert [row["name"] for row in found if row["__typename"] == "Sample"] == names


def test_search_gives_samples_of_one_name_of_every_cohort(family: Api) -> None:
    found = family.data('{ search(text: "dad") { ... on Sample { name cohort } } }')["search"]
    assert found == [{"name": name, "cohort": cohort} for name in ("DAD", "DAD2") for cohort in ("narrow", "wide")]


def test_nodes_read_samples_callsets_and_populations_again(demo: Api) -> None:
    ids = demo.data('{ sample(id: "HG00096") { id population { id } callsets { id } } }')["sample"]
    wanted = [ids["id"], ids["population"]["id"], ids["callsets"][0]["id"], "Sample:999999", "Population:AFR", "Callset:1", "Callset:99"]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on Sample { name } ... on Population { name } ... on Callset { name } } }"
    sample, population, callset, *others = demo.data(query, {"ids": wanted})["nodes"]
    assert sample == {"__typename": "Sample", "id": ids["id"], "name": "HG00096"}
    assert population == {"__typename": "Population", "id": "Population:GBR", "name": "GBR"}
    assert callset == {"__typename": "Callset", "id": ids["callsets"][0]["id"], "name": "kg300"}
    assert others == [None] * 4, "a load without samples is no callset"
    for bad in ("Sample:x", "Sample:", "Callset:-1", "GenotypeCall:1"):
        assert demo.error("query ($id: ID!) { node(id: $id) { id } }", {"id": bad})["code"] == "BAD_ID"


# ---- what cannot be asked


@pytest.mark.parametrize(
    ("query", "code", "said", "hint"),
    [
        ('{ variant(id: "rs4813331") { genotype(sample: "HG1") { gt } } }', "UNKNOWN_SAMPLE", "'HG1'", "search"),
        ('{ samples(ids: ["HG00096", "1000G/HG1"]) { totalCount } }', "UNKNOWN_SAMPLE", "'1000G/HG1'", "search"),
        ('{ variant(id: "rs4813331") { carriers(population: ["GRB"]) { totalCount } } }', "UNKNOWN_POPULATION", "'GRB'", "GBR"),
        ('{ samples(population: ["GBR", "XX"]) { totalCount } }', "UNKNOWN_POPULATION", "'XX'", "CEU, EUR, FIN, GBR, IBS"),
        ('{ sample(id: "HG00096") { variants(region: "20", gene: "SIRPA") { totalCount } } }', "BAD_SELECTION", "exclude each other", "one of them"),
        ('{ sample(id: "HG00096") { variants(gene: "NOPE") { totalCount } } }', "UNKNOWN_GENE", "'NOPE'", "search"),
        ('{ sample(id: "HG00096") { variants(region: "20:x") { totalCount } } }', "INVALID_NAME", "20:x", "20:"),
        ('{ sample(id: "HG00096") { variants(filter: { type: [SNV] }) { totalCount } } }', "REGION_NEEDED", "5,000,000", "region"),
        ('{ sample(id: "HG00096") { variants(region: "20", filter: { qual: { min: 3 } }) { totalCount } } }', "REGION_NEEDED", "63,025,520", "region"),
        ('{ sample(id: "HG00096") { variants(filter: { type: [] }) { totalCount } } }', "BAD_FILTER", "empty list", "at least one"),
        ('{ sample(id: "HG00096") { variants(first: 1001) { totalCount } } }', "PAGE_TOO_LARGE", "1001", "1,000"),
        ('{ sample(id: "HG00096") { genotypes(ids: ["nonsense"]) { gt } } }', "INVALID_NAME", "nonsense", None),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused(demo: Api, query: str, code: str, said: str, hint: str | None) -> None:
    error = demo.error(query)
    assert error["code"] == code
    assert said in error["message"]
    assert hint is None or hint in error["hint"]


def test_a_name_of_several_cohorts_is_ambiguous(family: Api) -> None:
    for query in (
        '{ sample(id: "SON") { name } }',
        '{ samples(ids: ["R1", "SON"]) { totalCount } }',
        '{ variant(id: "20:2000100") { genotype(sample: "SON") { gt } } }',
    ):
        error = family.error(query)
        assert (error["code"], error["value"]) == ("AMBIGUOUS_NAME", "SON")
        assert error["hint"] == "Say which: narrow/SON, wide/SON"


def test_without_samples_the_hint_says_how_to_load_them(annotated: Api) -> None:
    error = annotated.error('{ variant(id: "rs9000003") { carriers(population: ["GBR"]) { totalCount } } }')
    assert (error["code"], error["hint"]) == ("UNKNOWN_POPULATION", "Load them with vkg load samples.")
    found = annotated.data('{ samples { totalCount } callsets { name } populations { totalCount } variant(id: "rs9000003") { carriers { totalCount } } }')
    assert found == {"samples": {"totalCount": 0}, "callsets": [], "populations": {"totalCount": 0}, "variant": {"carriers": {"totalCount": 0}}}


# ---- several loads


V1, V2, V3 = "20-1000226-A-T", "20-1000300-C-G", "20-1000400-G-C"


@pytest.fixture
def bases(demo_vcf: Path) -> dict[int, str]:
    """REF of the demo's reference at the places of these variants."""
    import pysam

    with pysam.FastaFile(str(demo_vcf.parent / "chr20_npad_0.9-4.1mb.grch37.fa.gz")) as fasta:
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
    assert of(api, "C", ["second"]) == of(api, "C", ["third"]) == []

    assert carriers(api, one) == [("first", "A", "0/1"), ("first", "C", "1/1"), ("second", "B", "0|1"), ("second", "A", "1|1"), ("second", "D", "0|1")]
    assert carriers(api, one, ["first"]) == [("first", "A", "0/1"), ("first", "C", "1/1")]
    assert carriers(api, three, ["second"]) == []

    query = """query ($id: String!, $sample: String!) { variant(id: $id) { latest: genotype(sample: $sample) { gt callset { name } }
        first: genotype(sample: $sample, callset: "first") { gt } none: genotype(sample: $sample, callset: "x") { gt } } }"""
    assert api.data(query, {"id": two, "sample": "A"})["variant"] == {
        "latest": {"gt": "0|0", "callset": {"name": "second"}}, "first": {"gt": "0/1"}, "none": None,
    }  # fmt: skip
    assert api.data(query, {"id": three, "sample": "B"})["variant"] == {
        "latest": {"gt": "./.", "callset": {"name": "first"}}, "first": {"gt": "./."}, "none": None,
    }  # fmt: skip
    assert api.data(query, {"id": one, "sample": "D"})["variant"]["first"] is None

    query = "query ($ids: [String!]!) { sample(id: \"A\") { genotypes(ids: $ids) { gt variant { name } callset { name } } second: genotypes(ids: $ids, callset: [\"second\"]) { gt } } }"
    found = api.data(query, {"ids": [three, two, one]})["sample"]
    assert [(call["variant"]["name"], call["callset"]["name"], call["gt"]) for call in found["genotypes"]] == [
        (one, "first", "0/1"), (one, "second", "1|1"), (two, "first", "0/1"), (two, "second", "0|0"), (three, "first", "0/0"),
    ]  # fmt: skip
    assert found["second"] == [{"gt": "1|1"}, {"gt": "0|0"}]

    query = "query ($id: String!) { variant(id: $id) { frequency { alleleCount load { dataset } } first: frequency(callset: \"first\") { alleleCount alleleNumber } } }"
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


def test_a_callset_that_is_not_visible_is_seen_nowhere(first: str, bases: dict[int, str], names: list[str], serve: Serve, tmp_path: Path) -> None:
    """Held, published, unloaded: everything that could tell of it is asked each time."""
    one, two, _ = names
    query = """query ($node: [ID!]!, $one: String!) { nodes(ids: $node) { id } sample(id: "D") { name } a: sample(id: "A") { callsets { name } }
        samples { totalCount nodes { name } } callsets { name } named: callsets(name: ["second"]) { name } search(text: "D") { __typename }
        variant(id: $one) { records { line } frequencies { population } frequency(callset: "second") { alleleCount }
        genotype(sample: "A", callset: "second") { gt } carriers { totalCount } }
        variants { totalCount } only: variants(filter: { dataset: ["second"] }, region: "20:1-5000000") { totalCount }
        store { loads { dataset } counts { records } populations } }"""

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

        release.publish(conn, second)
        release.create_release(conn, "both")
        visible = serve(first).data(query, asked)
        assert [row and row["id"] for row in visible["nodes"]] == asked["node"]
        assert visible["sample"] == {"name": "D"}
        assert visible["a"] == {"callsets": [{"name": "first"}, {"name": "second"}]}
        assert (visible["samples"]["totalCount"], len(visible["named"]), visible["only"]["totalCount"]) == (4, 1, 2)
        assert visible["variant"]["frequency"] == {"alleleCount": 4}
        assert visible["variant"]["genotype"] == {"gt": "1|1"}
        assert visible["variant"]["carriers"] == {"totalCount": 5}
        assert {"__typename": "Sample"} in visible["search"]

        release.unload(conn, second)
        api = serve(first)
        assert api.data(query, asked) == hidden
        assert of(api, "A") == [(one, "0/1", "first"), (two, "0/1", "first")]
        # Who names a release that holds it still sees it, all of it.
        assert api.data(query, asked, headers={"Vkg-Release": "both"}) == visible


def test_a_new_version_of_a_callset_takes_the_place_of_the_old_one(first: str, bases: dict[int, str], names: list[str], serve: Serve, tmp_path: Path) -> None:
    path = write_vcf(tmp_path / "again.vcf", *rows(bases, "0/0 1/1", "", "0/1 0/0"), samples="CA")
    load_vcf(first, path, dataset="first", cohort="people", version="2")
    api = serve(first)
    found = api.data("{ samples { nodes { name } } callsets { name version sampleCount } }")
    assert found == {"samples": {"nodes": [{"name": "A"}, {"name": "C"}]}, "callsets": [{"name": "first", "version": "2", "sampleCount": 2}]}
    assert of(api, "A") == [(names[0], "1/1", "first")]
    assert of(api, "C") == [(names[2], "0/1", "first")]
    assert carriers(api, names[1]) == []


# ---- panels and pedigrees


def test_a_panel_alone_makes_samples_visible(own_store: str, serve: Serve, tmp_path: Path) -> None:
    panel = tmp_path / "a.panel"
    panel.write_text("sample\tpop\tsuper_pop\tgender\nS1\tGBR\tEUR\tmale\nS2\tYRI\tAFR\tfemale\nS3\tESN\tAFR\t\n")
    load = load_samples(own_store, panel, dataset="panel", cohort="people")
    query = """{ samples { totalCount nodes { id name sex population { name superPopulation { name } } callsets { name }
        variants { totalCount } genotypes(ids: ["20-1000226-A-T"]) { gt } } } search(text: "s") { ... on Sample { name } } callsets { name }
        populations { nodes { name } } af: samples(population: ["AFR"]) { nodes { name } } }"""
    found = serve(own_store).data(query)
    assert found["samples"]["totalCount"] == 3
    assert [(row["name"], row["sex"], row["population"]["superPopulation"]["name"]) for row in found["samples"]["nodes"]] == [
        ("S1", "MALE", "EUR"), ("S2", "FEMALE", "AFR"), ("S3", None, "AFR"),
    ]  # fmt: skip
    assert all((row["callsets"], row["variants"], row["genotypes"]) == ([], {"totalCount": 0}, []) for row in found["samples"]["nodes"])
    assert found["search"] == [{"name": name} for name in ("S1", "S2", "S3")]
    assert found["callsets"] == []
    assert [row["name"] for row in found["populations"]["nodes"]] == ["AFR", "ESN", "EUR", "GBR", "YRI"]
    assert found["af"]["nodes"] == [{"name": "S2"}, {"name": "S3"}]
    with psycopg.connect(own_store, autocommit=True) as conn:
        release.unload(conn, load)
    api = serve(own_store)
    empty = api.data('{ samples { totalCount } search(text: "s") { __typename } populations { totalCount } sample(id: "S1") { id } }')
    assert empty == {"samples": {"totalCount": 0}, "search": [], "populations": {"totalCount": 0}, "sample": None}
    assert api.data("query ($id: ID!) { node(id: $id) { id } }", {"id": found["samples"]["nodes"][0]["id"]})["node"] is None


def test_of_what_several_files_say_the_latest_that_says_something_counts(own_store: str, serve: Serve, tmp_path: Path) -> None:
    panel, ped = tmp_path / "a.panel", tmp_path / "b.tsv"
    panel.write_text("sample\tpop\tsuper_pop\tgender\nS1\tGBR\tEUR\tmale\nS2\tGBR\tEUR\tfemale\nS3\tFIN\tEUR\tmale\n")
    ped.write_text("sample\tfather\tmother\tsex\tpopulation\tfamily\tphenotype\nS1\tS2\t.\t.\tFIN\tF1\t2\nS2\t.\t.\tmale\t.\tF1\t.\n")
    load_samples(own_store, panel, dataset="panel", cohort="people")
    later = load_samples(own_store, ped, dataset="pedigree", cohort="people")
    query = """{ samples { nodes { name sex family phenotype population { name } father { name } mother { name } children { nodes { name } } } }
        populations { nodes { name samples { nodes { name } } } } fin: samples(population: ["FIN"]) { nodes { name } } men: samples(sex: MALE) { nodes { name } } }"""
    found = serve(own_store).data(query)
    assert [tuple(map(str, (r["name"], r["sex"], r["family"], r["phenotype"], r["population"]["name"]))) for r in found["samples"]["nodes"]] == [
        ("S1", "MALE", "F1", "2", "FIN"), ("S2", "MALE", "F1", "None", "GBR"), ("S3", "MALE", "None", "None", "FIN"),
    ]  # fmt: skip
    s1, s2, s3 = found["samples"]["nodes"]
    assert (s1["father"], s1["mother"], s1["children"]["nodes"]) == ({"name": "S2"}, None, [])
    assert (s2["children"]["nodes"], s3["children"]["nodes"]) == ([{"name": "S1"}], [])
    assert found["fin"]["nodes"] == [{"name": "S1"}, {"name": "S3"}]
    assert len(found["men"]["nodes"]) == 3
    of_populations = {row["name"]: [s["name"] for s in row["samples"]["nodes"]] for row in found["populations"]["nodes"]}
    assert of_populations == {"EUR": ["S1", "S2", "S3"], "FIN": ["S1", "S3"], "GBR": ["S2"]}
    with psycopg.connect(own_store, autocommit=True) as conn:
        release.unload(conn, later)
    found = serve(own_store).data(query)
    assert [(r["name"], r["sex"], r["family"], r["father"], r["population"]["name"]) for r in found["samples"]["nodes"]] == [
        ("S1", "MALE", None, None, "GBR"), ("S2", "FEMALE", None, None, "GBR"), ("S3", "MALE", None, None, "FIN"),
    ]  # fmt: skip
