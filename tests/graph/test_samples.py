"""Samples, callsets and populations: what their fields say, by what they are found, and who is visible when."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from store import release
from tests.graph.api import Api
from tests.graph.conftest import DATA, Serve
from tests.graph.loading import load_genes, load_samples, load_vcf, write_vcf
from tests.graph.pedigree import read_ped, read_vcf

# ---- fields


def test_a_sample_says_what_the_pedigree_says(family: Api) -> None:
    query = """{ people: samples(ids: ["narrow/GIRL", "narrow/DAD", "narrow/SON", "narrow/ALONE", "narrow/MUM", "narrow/DUO", "narrow/MUM2", "narrow/DAD2",
        "narrow/ORPHAN"]) { totalCount nodes { name cohort sex family phenotype population { name } callsets { name }
        father { name } mother { name } parents { name } children { totalCount nodes { name } } } } }"""
    found = {row.pop("name"): row for row in family.data(query)["people"]["nodes"]}
    people = read_ped(DATA / "family.ped")
    assert list(found) == sorted(people)
    for name, person in people.items():
        children = sorted(child.name for child in people.values() if name in (child.father, child.mother))
        parents = [parent for parent in (person.father, person.mother) if parent]
        assert found[name] == {
            "cohort": "narrow", "sex": person.sex, "family": person.family, "phenotype": person.phenotype, "population": None,
            "callsets": [] if name in ("DAD2", "ORPHAN") else [{"name": "narrow"}],
            "father": {"name": person.father} if person.father else None,
            "mother": {"name": person.mother} if person.mother else None,
            "parents": [{"name": parent} for parent in sorted(parents)],
            "children": {"totalCount": len(children), "nodes": [{"name": child} for child in children]},
        }, name  # fmt: skip


def test_a_parent_whom_only_a_child_names_is_a_sample(family: Api) -> None:
    query = """{ sample(id: "narrow/ORPHAN") { father { name cohort sex family phenotype callsets { name } children { nodes { name } } } } search(text: "nobody", first: 1) {
        ... on Sample { name } } }"""
    nobody = {
        "name": "NOBODY",
        "cohort": "narrow",
        "sex": "MALE",
        "family": None,
        "phenotype": None,
        "callsets": [],
        "children": {"nodes": [{"name": "ORPHAN"}]},
    }
    assert family.data(query) == {"sample": {"father": nobody}, "search": [{"name": "NOBODY"}]}


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
    assert demo.data('{ callsets(name: ["kg300"]) { name } }') == {"callsets": [{"name": "kg300"}]}


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
        ('population: ["CEU"]', ["NA06984", "NA06985", "NA06986"]),
        ('population: ["CEU"], sex: FEMALE', ["NA06985"]),
        ('population: ["EUR", "CEU"], sex: MALE, ids: ["NA06985", "NA06986"]', ["NA06986"]),
        ('callset: ["kg300"], ids: ["HG00096"]', ["HG00096"]),
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
    men = sorted(["NOBODY", *(person.name for person in read_ped(DATA / "family.ped").values() if person.sex == "MALE")])
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
    for name, found in (
        ("P/1", "P/1"),
        ("1", "1"),
        ("some/where/1", "1"),
        ("some/where/P/1", "P/1"),
        ("where/1", None),
        ("where/P/1", None),
    ):
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


def test_search_gives_the_sample_of_that_name_before_what_only_begins_so(own_store: str, serve: Serve, tmp_path: Path) -> None:
    gtf = tmp_path / "genes.gtf"
    rows = (f'20\ttest\tgene\t{n}000000\t{n}000900\t.\t+\t.\tgene_id "G{n}"; gene_name "S100A{n}";' for n in range(1, 13))
    gtf.write_text("#!genome-build GRCh37\n" + "\n".join(rows) + "\n")
    load_genes(own_store, gtf, dataset="genes", assembly="GRCh37")
    ped = tmp_path / "a.tsv"
    ped.write_text("sample\tsex\nS1\tmale\nS100A1\tfemale\nS10\tmale\n")
    load_samples(own_store, ped, dataset="ped", cohort="people")
    api = serve(own_store)

    def names(text: str) -> list[str]:
        found = api.data(
            "query ($text: String!) { search(text: $text) { ... on Sample { name } ... on Gene { symbol } } }", {"text": text}
        )["search"]
        return [" ".join(f"{kind} {name}" for kind, name in row.items()) for row in found]

    for text in ("S1", "s1", "people/S1"):
        assert names(text)[0] == "name S1", text
    assert names("S1")[1].startswith("symbol S100A")
    assert len(names("S1")) == 10
    assert names("people/S1") == ["name S1"]
    assert names("S100A1")[:2] == ["symbol S100A1", "name S100A1"]


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
        ('{ samples(cohort: ["1000g"]) { totalCount } }', "UNKNOWN_COHORT", "of a cohort '1000g'", "There are 1000G"),
        ('{ samples(callset: ["kg300", "kg30"]) { totalCount } }', "UNKNOWN_CALLSET", "is a callset 'kg30'", "There are kg300"),
        ('{ callsets(name: ["panel"]) { name } }', "UNKNOWN_CALLSET", "'panel'", "There are kg300"),
        ('{ variant(id: "rs4813331") { carriers(callset: ["typo"]) { totalCount } } }', "UNKNOWN_CALLSET", "'typo'", "There are kg300"),
        ('{ variant(id: "rs4813331") { genotype(sample: "HG00096", callset: "KG300") { gt } } }', "UNKNOWN_CALLSET", "'KG300'", "There are kg300"),
        ('{ sample(id: "HG00096") { variants(callset: ["typo"]) { totalCount } } }', "UNKNOWN_CALLSET", "'typo'", "There are kg300"),
        ('{ sample(id: "HG00096") { genotypes(ids: ["rs4813331"], callset: ["typo"]) { gt } } }', "UNKNOWN_CALLSET", "'typo'", "There are kg300"),
        ('{ variant(id: "rs4813331") { frequency(population: "GRB") { frequency } } }', "UNKNOWN_POPULATION", "frequencies of a population 'GRB'", "GBR"),
        ('{ variant(id: "rs4813331") { frequency(callset: "kg3000") { frequency } } }', "UNKNOWN_CALLSET", "of a dataset 'kg3000'", "kg300"),
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


def test_a_name_is_looked_up_only_where_one_is_given(demo: Api) -> None:
    for field, argument in (
        ("frequency%s { frequency }", '(population: "FIN")'),
        ("frequency%s { frequency }", '(callset: "panel")'),
        ("carriers%s { nodes { name } }", '(callset: ["kg300"])'),
    ):
        query = f'{{ variant(id: "rs4813331") {{ {field} }} }}'
        without = demo.cost(query % "")["statements"]
        assert demo.cost(query % argument)["statements"] == without + 1
    queries = [f'{{ variant(id: "rs4813331") {{ frequency{argument} {{ frequency }} }} }}' for argument in ('(population: "ALL")', "")]
    assert demo.cost(queries[0])["statements"] == demo.cost(queries[1])["statements"]


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
    for query in ('{ callsets(name: ["x"]) { name } }', '{ samples(cohort: ["x"]) { totalCount } }'):
        assert "vkg load vcf" in annotated.error(query)["hint"]
    found = annotated.data(
        '{ samples { totalCount } callsets { name } populations { totalCount } variant(id: "rs9000003") { carriers { totalCount } } }'
    )
    assert found == {
        "samples": {"totalCount": 0},
        "callsets": [],
        "populations": {"totalCount": 0},
        "variant": {"carriers": {"totalCount": 0}},
    }


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
