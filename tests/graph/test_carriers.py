"""Who carries a variant, and what a sample carries: compared with the demo VCF, read independently as text (pedigree.py)."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graph.api import Api
from tests.graph.conftest import DATA
from tests.graph.pedigree import Call, Observed, read_vcf

DECLARED = "$first: Int, $after: String, $last: Int, $before: String, $zygosity: [Zygosity!]"
WINDOW = "first: $first, after: $after, last: $last, before: $before, zygosity: $zygosity"
PAGE = "totalCount totalCountIsExact pageInfo { hasNextPage hasPreviousPage startCursor endCursor } nodes { name } edges { cursor node { name } gt zygosity phased"
CARRIERS = f"""query ($id: String!, $population: [String!], $sex: Sex, {DECLARED}) {{ variant(id: $id) {{
    page: carriers(population: $population, sex: $sex, {WINDOW}) {{ {PAGE} node {{ sex population {{ name }} }} }} }} }} }}"""
CARRIED = f"""query ($id: String!, $region: String, $gene: String, $flank: Int! = 0, $filter: VariantFilter, {DECLARED}) {{ sample(id: $id) {{
    page: variants(region: $region, gene: $gene, flank: $flank, filter: $filter, {WINDOW}) {{ {PAGE} }} }} }} }}"""
ZYGOSITIES = st.none() | st.lists(st.sampled_from(["HET", "HOM_ALT", "HEMI"]), min_size=1, max_size=2, unique=True)

Row = tuple[str, str, str | None, bool]


class Demo:
    """The demo VCF and its panel, taken apart here."""

    def __init__(self, vcf: Path, panel: Path) -> None:
        self.variants = read_vcf(vcf)
        self.by_name = {v.name: v for v in self.variants}
        self.samples = list(self.variants[0].samples)
        with panel.open() as lines:
            self.people = {row["sample"]: row for row in csv.DictReader(lines, delimiter="\t")}

    def carriers(self, name: str, population: list[str] | None, sex: str | None, zygosity: list[str] | None) -> list[Row]:
        """The carriers of a variant in file order, as (name, GT, zygosity, phased)."""
        found = []
        for sample in self.samples:
            person = self.people[sample]
            call = self.by_name[name].call(sample)
            assert call is not None
            if population is not None and not {person["pop"], person["super_pop"]} & {*population}:
                continue
            if call.carries and sex in (None, person["gender"].upper()) and (zygosity is None or call.zygosity in zygosity):
                found.append((sample, *shown(call)))
        return found

    def carried(self, sample: str, variants: list[Observed], zygosity: list[str] | None) -> list[Row]:
        """The variants that a sample carries, of those given."""
        calls = ((v.name, v.call(sample)) for v in variants)
        return [
            (name, *shown(call))
            for name, call in calls
            if call is not None and call.carries and (zygosity is None or call.zygosity in zygosity)
        ]

    def within(self, start: int, end: int) -> list[Observed]:
        return [v for v in self.variants if start <= v.pos <= end]


def shown(call: Call) -> tuple[str, str | None, bool]:
    return call.gt, call.zygosity, call.phased


@pytest.fixture(scope="module")
def data(demo_vcf: Path) -> Demo:
    return Demo(demo_vcf, demo_vcf.parent / "samples.panel")


def walk(api: Api, query: str, variables: dict[str, Any], size: int, backward: bool) -> list[Row]:
    """All rows of a list by its pages, in its order; each page is checked against what it says of itself."""
    rows: list[Row] = []
    cursor, totals = None, set()
    while True:
        window = {"last": size, "before": cursor} if backward else {"first": size, "after": cursor}
        page = next(iter(api.data(query, variables | window).values()))["page"]
        info, edges = page["pageInfo"], page["edges"]
        assert [edge["node"]["name"] for edge in edges] == [node["name"] for node in page["nodes"]]
        assert (info["startCursor"], info["endCursor"]) == ((edges[0]["cursor"], edges[-1]["cursor"]) if edges else (None, None))
        ahead, behind = ("hasPreviousPage", "hasNextPage") if backward else ("hasNextPage", "hasPreviousPage")
        assert info[behind] == (cursor is not None)
        found = [(edge["node"]["name"], edge["gt"], edge["zygosity"], edge["phased"]) for edge in edges]
        rows = found + rows if backward else rows + found
        totals.add((page["totalCount"], page["totalCountIsExact"]))
        if not info[ahead]:
            assert totals == {(len(rows), True)}
            return rows
        assert len(edges) == size
        cursor = info["startCursor" if backward else "endCursor"]


# ---- carriers of a variant


@settings(max_examples=60, deadline=None)
@given(
    place=st.integers(0, 24_989), size=st.integers(1, 60), backward=st.booleans(), zygosity=ZYGOSITIES, sex=st.sampled_from([None, "FEMALE", "MALE"]),
    population=st.none() | st.lists(st.sampled_from(["GBR", "FIN", "IBS", "CEU", "EUR"]), min_size=1, max_size=2),
)  # fmt: skip
def test_carriers_are_those_of_the_file(
    demo: Api, data: Demo, place: int, size: int, backward: bool, zygosity: list[str] | None, sex: str | None, population: list[str] | None
) -> None:
    name = data.variants[place].name
    found = walk(demo, CARRIERS, {"id": name, "population": population, "sex": sex, "zygosity": zygosity}, size, backward)
    assert found == data.carriers(name, population, sex, zygosity)


@pytest.mark.parametrize("size", [1, 7, 235, 1000])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_pages_of_carriers_of_any_size_are_the_file(demo: Api, data: Demo, size: int, backward: bool) -> None:
    """A common variant, whose calls are a plane, and a rare one, whose calls are a list."""
    rare = next(v.name for v in data.variants if sum(call.carries for sample in data.samples if (call := v.call(sample))) == 3)
    for name in ("20-1897442-C-T", rare):
        assert walk(demo, CARRIERS, {"id": name}, size, backward) == data.carriers(name, None, None, None)


def test_carriers_of_many_variants_at_once_are_those_of_the_file(demo: Api, data: Demo) -> None:
    query = """{ variants(region: "20:1890000-1900000", first: 100) { nodes { name
        carriers(first: 300) { totalCount nodes { name } } women: carriers(sex: FEMALE, population: ["FIN"], first: 3) { totalCount nodes { name } } } } }"""
    found = demo.data(query)["variants"]["nodes"]
    assert [row["name"] for row in found] == [v.name for v in data.within(1_890_000, 1_900_000)]
    for row in found:
        everybody = [carrier for carrier, *_ in data.carriers(row["name"], None, None, None)]
        women = [carrier for carrier, *_ in data.carriers(row["name"], ["FIN"], "FEMALE", None)]
        assert row["carriers"] == {"totalCount": len(everybody), "nodes": [{"name": name} for name in everybody]}
        assert row["women"] == {"totalCount": len(women), "nodes": [{"name": name} for name in women[:3]]}


def test_a_carrier_says_who_it_is(demo: Api, data: Demo) -> None:
    query = """{ variant(id: "rs4813331") { carriers(first: 300) { edges { node { id name cohort sex family phenotype population { name superPopulation { name } } }
        callset { name version } phaseSet dp gq adRef adAlt } } } }"""
    edges = demo.data(query)["variant"]["carriers"]["edges"]
    assert len(edges) == len({edge["node"]["id"] for edge in edges}) > 100
    for edge in edges:
        person = data.people[edge["node"]["name"]]
        assert edge.pop("node") | {"id": None} == {
            "id": None, "name": person["sample"], "cohort": "1000G", "sex": person["gender"].upper(), "family": None, "phenotype": None,
            "population": {"name": person["pop"], "superPopulation": {"name": "EUR"}},
        }  # fmt: skip
        assert edge == {
            "callset": {"name": "kg300", "version": "phase3"},
            "phaseSet": None,
            "dp": None,
            "gq": None,
            "adRef": None,
            "adAlt": None,
        }


def test_the_call_of_one_sample_is_that_of_the_file_also_where_it_is_no_carrier(demo: Api, data: Demo) -> None:
    query = """query ($sample: String!) { variants(region: "20:1890000-1900000", first: 100) { nodes { name
        genotype(sample: $sample) { gt zygosity phased sample { name } variant { name } callset { name } } } } }"""
    for sample in ("HG00096", "1000G/HG01531", "NA06985"):
        name = sample.removeprefix("1000G/")
        for row in demo.data(query, {"sample": sample})["variants"]["nodes"]:
            call = data.by_name[row["name"]].call(name)
            assert call is not None
            assert row["genotype"] == {
                "gt": call.gt, "zygosity": call.zygosity, "phased": call.phased,
                "sample": {"name": name}, "variant": {"name": row["name"]}, "callset": {"name": "kg300"},
            }  # fmt: skip


# ---- variants that a sample carries


@settings(max_examples=50, deadline=None)
@given(
    sample=st.integers(0, 299), start=st.integers(990_000, 3_990_000), width=st.integers(1, 60_000), size=st.integers(1, 1000),
    backward=st.booleans(), zygosity=ZYGOSITIES,
)  # fmt: skip
def test_variants_of_a_sample_in_a_region_are_those_of_the_file(
    demo: Api, data: Demo, sample: int, start: int, width: int, size: int, backward: bool, zygosity: list[str] | None
) -> None:
    name, end = data.samples[sample], start + width - 1
    size = max(size, width // 2_000)
    found = walk(demo, CARRIED, {"id": name, "region": f"20:{start}-{end}", "zygosity": zygosity}, size, backward)
    assert found == data.carried(name, data.within(start, end), zygosity)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_all_variants_of_a_sample_are_those_of_the_file(demo: Api, data: Demo, backward: bool) -> None:
    for name in (data.samples[0], data.samples[-1]):
        assert walk(demo, CARRIED, {"id": name}, 997, backward) == data.carried(name, data.variants, None)


@settings(max_examples=20, deadline=None)
@given(sample=st.integers(0, 299), flank=st.sampled_from([0, 1, 5_000]), size=st.integers(3, 200), backward=st.booleans())
@pytest.mark.parametrize("gene", ["SIRPA", "PDYN"])
def test_variants_of_a_sample_in_a_gene_are_those_of_the_file(
    demo: Api, data: Demo, gene: str, sample: int, flank: int, size: int, backward: bool
) -> None:
    span = demo.data("query ($id: String!) { gene(id: $id) { start end } }", {"id": gene})["gene"]
    name = data.samples[sample]
    found = walk(demo, CARRIED, {"id": name, "gene": gene, "flank": flank}, size, backward)
    assert found == data.carried(name, data.within(span["start"] - flank, span["end"] + flank), None)


@pytest.mark.parametrize(
    "filter",
    [
        {"type": ["INSERTION", "DELETION"]},
        {"frequency": [{"population": "FIN", "min": 0.01, "max": 0.02}]},
        {"frequency": [{"population": "GBR", "min": 0.3}], "not": {"type": ["SNV"]}},
        {"rsid": ["rs4813331", "rs6075340", "rs1", "rs6034968"]},
        {"info": [{"key": "AC", "max": 3}]},
    ],
    ids=str,
)
@pytest.mark.parametrize("zygosity", [None, ["HOM_ALT"]])
def test_variants_of_a_sample_pass_the_filter_as_all_variants_do(
    demo: Api, data: Demo, filter: dict[str, Any], zygosity: list[str] | None
) -> None:
    """What passes is tested in test_filters.py; who carries it of these, here."""
    region = {"region": "20:1800000-2000000", "filter": filter}
    of_all = "query ($region: String, $filter: VariantFilter, $after: String) { variants(region: $region, filter: $filter, first: 1000, after: $after) { nodes { name } pageInfo { hasNextPage } } }"
    passing = demo.data(of_all, region)["variants"]
    assert passing["nodes"]
    assert not passing["pageInfo"]["hasNextPage"]
    there = [data.by_name[row["name"]] for row in passing["nodes"]]
    for name in data.samples[::60]:
        for backward in (False, True):
            assert walk(demo, CARRIED, {"id": name, "zygosity": zygosity} | region, 40, backward) == data.carried(name, there, zygosity)


def test_every_sample_has_a_page_of_its_own(demo: Api, data: Demo) -> None:
    query = """query ($last: Int, $first: Int) { samples(population: ["CEU", "GBR"], first: 100) { nodes { name
        variants(region: "20:1890000-1900000", first: $first, last: $last) { totalCount nodes { name } pageInfo { hasNextPage hasPreviousPage } } } } }"""
    there = data.within(1_890_000, 1_900_000)
    for window, part, ahead in (({"first": 2}, slice(0, 2), "hasNextPage"), ({"last": 3}, slice(-3, None), "hasPreviousPage")):
        found = demo.data(query, window)["samples"]["nodes"]
        assert [row["name"] for row in found] == sorted(name for name, person in data.people.items() if person["pop"] in ("CEU", "GBR"))
        for row in found:
            whole = [name for name, *_ in data.carried(row["name"], there, None)]
            assert [v["name"] for v in row["variants"]["nodes"]] == whole[part]
            assert row["variants"]["totalCount"] == len(whole)
            assert row["variants"]["pageInfo"] == {"hasNextPage": False, "hasPreviousPage": False} | {ahead: len(whole) > len(whole[part])}


def test_genotypes_of_a_sample_at_many_variants_are_those_of_the_file(demo: Api, data: Demo) -> None:
    names = [v.name for v in data.variants[5000:24_990:40]]
    query = 'query ($ids: [String!]!) { samples(ids: ["HG00097", "HG01501"]) { nodes { name genotypes(ids: $ids) { gt zygosity phased variant { name } } } } }'
    for row in demo.data(query, {"ids": names})["samples"]["nodes"]:
        found = [(call["variant"]["name"], call["gt"], call["zygosity"], call["phased"]) for call in row["genotypes"]]
        calls = [(name, data.by_name[name].call(row["name"])) for name in names]
        assert found == [(name, *shown(call)) for name, call in calls if call is not None]


# ---- frequencies that were counted


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, 24_989))
def test_counted_frequencies_are_those_of_the_calls(demo: Api, data: Demo, place: int) -> None:
    query = """query ($id: String!) { variant(id: $id) { populationFrequencies { population alleleCount alleleNumber frequency homozygotes hemizygotes counted load { dataset } }
        all: frequency { alleleCount counted } fin: frequency(population: "FIN", callset: "kg300") { alleleCount frequency }
        other: frequency(population: "FIN", callset: "panel") { alleleCount } } }"""
    v = data.variants[place]
    found = demo.data(query, {"id": v.name})["variant"]
    counts = {}
    for population in ("ALL", "EUR", "GBR", "FIN", "IBS", "CEU"):
        calls = [v.call(name) for name, person in data.people.items() if population in ("ALL", person["pop"], person["super_pop"])]
        alleles = [allele for call in calls if call is not None for allele in call.alleles]
        ac, an = alleles.count("1"), len(alleles) - alleles.count(".")
        hom = sum(call is not None and call.zygosity == "HOM_ALT" for call in calls)
        counts[population] = {
            "population": population, "alleleCount": ac, "alleleNumber": an, "frequency": ac / an, "homozygotes": hom, "hemizygotes": 0,
            "counted": True, "load": {"dataset": "kg300"},
        }  # fmt: skip
    assert {row["population"]: row for row in found["populationFrequencies"]} == counts
    assert len(found["populationFrequencies"]) == len(counts)
    assert found["all"] == {"alleleCount": counts["ALL"]["alleleCount"], "counted": True}
    assert found["fin"] == {"alleleCount": counts["FIN"]["alleleCount"], "frequency": counts["FIN"]["frequency"]}
    assert found["other"] is None


def test_frequencies_are_counted_whatever_the_ploidy(family: Api) -> None:
    """Of the families: with haploid and triploid calls, calls that are missing or half missing, and a variant that nobody was called at."""
    query = """query ($ids: [String!]!) { variants(ids: $ids, first: 200) { nodes { name populationFrequencies(dataset: ["narrow"]) {
        population alleleCount alleleNumber frequency homozygotes hemizygotes counted } } } }"""
    variants = {v.name: v for v in read_vcf(DATA / "family.vcf")}
    found = family.data(query, {"ids": list(variants)})["variants"]["nodes"]
    assert {row["name"] for row in found} == set(variants)
    for row in found:
        v = variants[row["name"]]
        calls = [call for name in v.samples if (call := v.call(name)) is not None]
        alleles = [allele for call in calls for allele in call.alleles if allele != "."]
        ac, an = alleles.count("1"), len(alleles)
        assert row["populationFrequencies"] == [
            {
                "population": "ALL", "alleleCount": ac, "alleleNumber": an, "frequency": ac / an if an else None, "counted": True,
                "homozygotes": sum(call.zygosity == "HOM_ALT" for call in calls), "hemizygotes": sum(call.zygosity == "HEMI" for call in calls),
            }
        ], v.info["CASE"]  # fmt: skip
    nobody = next(v.name for v in variants.values() if v.info["CASE"] == "nobody_called")
    query = """query ($id: String!, $filter: VariantFilter) { variants(ids: [$id], filter: $filter) { nodes { name
        frequency(callset: "narrow") { alleleNumber frequency } } } }"""
    assert family.data(query, {"id": nobody})["variants"]["nodes"] == [{"name": nobody, "frequency": None}]
    for bounds in ({}, {"min": 0}, {"max": 1}):
        assert family.data(query, {"id": nobody, "filter": {"frequency": [{"dataset": "narrow"} | bounds]}})["variants"]["nodes"] == [], (
            "unknown is not 0"
        )
