"""However many parents a level has, its links are read in one statement each (design section 6)."""

from __future__ import annotations

import pytest

from tests.graph.api import Api

THREE = "records { line load { dataset } } genes(first: 3) { nodes { symbol } } populationFrequencies { population frequency }"
FIVE = f"{THREE} consequences {{ terms }} clinicalSignificance {{ classes }}"
LEVELS = "genes(first: 2) { nodes { symbol load { version } transcripts(first: 3) { nodes { transcriptId gene { symbol } } } } }"


@pytest.mark.parametrize(("links", "most"), [(THREE, 5), (FIVE, 7), (LEVELS, 5)], ids=["three links", "five links", "four levels"])
def test_a_thousand_parents_take_as_many_statements_as_one(demo: Api, links: str, most: int) -> None:
    query = f'query ($first: Int!) {{ variants(region: "20:1890000-2300000", first: $first) {{ nodes {{ name {links} }} }} }}'
    one, thousand = demo.cost(query, {"first": 1}), demo.cost(query, {"first": 1000})
    assert one["statements"] == thousand["statements"] == most
    assert len(demo.data(query, {"first": 1000})["variants"]["nodes"]) == 1000


OF_VARIANTS = """carriers(first: 2) { edges { gt callset { name samples(first: 1) { nodes { name } } } node { name population { name superPopulation { name } } } } }
    genotype(sample: "HG00096") { gt sample { name } callset { name } } frequency(population: "FIN") { frequency }"""
OF_SAMPLES = """population { name load { dataset } } callsets { name load { dataset } } father { name } mother { name } parents { name } children { nodes { name } }
    variants(region: "20:1890000-1900000", first: 2, zygosity: [HET], family: { absentIn: ["HG01501"] }) { edges { gt callset { name } node { name records { line } } } }
    genotypes(ids: ["rs4813331", "20-1897442-C-T"]) { gt variant { name } callset { name } }"""
OF_POPULATIONS = (
    "superPopulation { name } subPopulations { nodes { name } } samples(first: 2) { nodes { name callsets { name } } } load { dataset }"
)


@pytest.mark.parametrize(
    ("parents", "links", "most"),
    [
        ('variants(region: "20:1890000-2300000", first: $first)', OF_VARIANTS, 12),
        ("samples(first: $first)", OF_SAMPLES, 14),
        ("populations(first: $first)", OF_POPULATIONS, 6),
    ],
    ids=["variants", "samples", "populations"],
)
def test_people_take_as_many_statements_for_many_parents_as_for_one(demo: Api, parents: str, links: str, most: int) -> None:
    query = f"query ($first: Int!) {{ {parents} {{ nodes {{ name {links} }} }} }}"
    one, many = demo.cost(query, {"first": 1}), demo.cost(query, {"first": 300})
    assert most - 1 <= one["statements"] <= many["statements"] == most, "of few, the populations come along"


def test_totals_of_carriers_and_of_carried_variants_take_one_statement_each(demo: Api) -> None:
    for parents, page in (
        ('variants(region: "20:1890000-2300000", first: $first)', 'carriers(first: 2, population: ["FIN"]) { nodes { name } %s }'),
        ("samples(first: $first)", 'variants(first: 2, region: "20:1890000-1900000") { nodes { name } %s }'),
    ):
        query = f"query ($first: Int!) {{ {parents} {{ nodes {{ {page} }} }} }}"
        for first in (1, 100):
            without = demo.cost(query % "", {"first": first})["statements"]
            assert demo.cost(query % "totalCount", {"first": first})["statements"] == without + 1


SEGMENT = "id sample1 { name } sample2 { name } run { name callset { name } } variants(first: 2) { nodes { name } } sharedVariants(first: 2) { edges { sharing callset { name } } }"
OVER_VARIANTS = f"""ibdContext(sample: "HG01501", first: 2) {{ edges {{ haplotype other {{ name }} node {{ {SEGMENT} }} }} }} ibdSharing(first: 2) {{ nodes {{ {SEGMENT} }} }}
    carriers(first: 2) {{ edges {{ ibdSegments(first: 2) {{ edges {{ other {{ name }} node {{ id }} }} }} }} }}"""
OF_PEOPLE = f"""ibdSegments(first: 2) {{ edges {{ other {{ name }} node {{ {SEGMENT} }} }} }}
    relatives(first: 2) {{ edges {{ run {{ name }} sharing {{ totalCm relationship {{ kind }} segments(first: 1) {{ nodes {{ id }} }} }} node {{ name }} }} }}
    hbdSegments(first: 2) {{ nodes {{ sample {{ name }} run {{ name }} variants(first: 1) {{ nodes {{ name }} }} }} }} hbdVariants(first: 2) {{ edges {{ gt node {{ name }} }} }}
    ancestry {{ components load {{ version }} }} ancestryMatched(first: 2) {{ edges {{ distance load {{ version }} node {{ name }} }} }}"""


def test_segments_over_many_variants_take_as_many_statements_as_over_one(demo: Api) -> None:
    query = f'query ($first: Int!) {{ variants(region: "20:2000000-2300000", first: $first) {{ nodes {{ name {OVER_VARIANTS} }} }} }}'
    one, many = demo.cost(query, {"first": 1}), demo.cost(query, {"first": 300})
    assert one["statements"] == many["statements"] == 14


def test_segments_of_many_people_take_as_many_statements_as_of_one(demo: Api) -> None:
    """Of one who has some of all."""
    there = "ibdSegments(first: 1) { totalCount } hbdSegments(first: 1) { totalCount } hbdVariants(first: 1) { totalCount }"
    people = demo.data(f"{{ samples(first: 300) {{ nodes {{ name {there} }} }} }}")["samples"]["nodes"]
    names = [person.pop("name") for person in people]
    one = next(name for name, person in zip(names, people, strict=True) if all(page["totalCount"] for page in person.values()))
    query = f"query ($ids: [String!]) {{ samples(ids: $ids, first: 300) {{ nodes {{ name {OF_PEOPLE} }} }} }}"
    assert demo.cost(query, {"ids": [one]})["statements"] == demo.cost(query, {"ids": names})["statements"] == 23


@pytest.mark.parametrize(
    ("parents", "page"),
    [
        ("variants", 'ibdContext(sample: "HG01501", first: 2) { nodes { id } %s }'),
        ("variants", "ibdSharing(first: 2, minLengthCm: 2) { nodes { id } %s }"),
        ("samples", 'ibdSegments(first: 2, region: "20:2000000-2300000") { nodes { id } %s }'),
        ("samples", "relatives(first: 2) { nodes { id } %s }"),
        ("samples", "hbdSegments(first: 2) { nodes { id } %s }"),
        ("samples", "hbdVariants(first: 2) { nodes { id } %s }"),
        ("samples", "ancestryMatched(first: 2) { nodes { id } %s }"),
    ],
    ids=lambda text: text.partition("(")[0],
)
def test_totals_of_segments_take_one_statement_each(demo: Api, parents: str, page: str) -> None:
    query = f"query ($first: Int!) {{ {parents}(first: $first) {{ nodes {{ {page} }} }} }}"
    for first in (1, 100):
        without = demo.cost(query % "", {"first": first})["statements"]
        assert demo.cost(query % "totalCount", {"first": first})["statements"] == without + 1


def test_descent_takes_two_statements_for_twenty_variants(demo: Api) -> None:
    """Their genotypes and the segments over them, of which there can be thousands for each. What runs, callsets and people there are is read
    once, and so are all members and segments of all groups."""
    query = """query ($first: Int!) { variants(region: "20:2000000-2300000", first: $first) { nodes { name %s } } }"""
    groups = (
        "run { name } callset { name } groups(first: 2) { nodes { size members { nodes { sample { name } } } segments(first: 2) { id } } }"
    )
    for what, others in (("ibdWeightedFrequency { frequency }", 4), (f"carriersByDescent {{ {groups} }}", 8)):
        for variants in (20, 40, 90):
            statements = demo.cost(query % what, {"first": variants})["statements"]
            assert statements == others + 2 * -(-variants // 20), (what, variants)


def test_a_total_count_takes_one_statement_more_for_all_parents(demo: Api) -> None:
    query = "query ($first: Int!) { genes(first: $first) { nodes { variants(first: 2) { nodes { name } %s } } } }"
    for first in (1, 70):
        without = demo.cost(query % "", {"first": first})["statements"]
        assert without == 2
        assert demo.cost(query % "totalCount totalCountIsExact", {"first": first})["statements"] == without + 1


def test_refs_take_one_statement_for_each_type_among_them(annotated: Api) -> None:
    names = [row["id"] for row in annotated.data("{ variants { nodes { id } } }")["variants"]["nodes"]]
    genes = [row["id"] for row in annotated.data("{ genes { nodes { id } } }")["genes"]["nodes"]]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Variant { records { line } } ... on Gene { load { id } } } }"
    assert annotated.cost(query, {"ids": names[:1]})["statements"] == 2
    assert annotated.cost(query, {"ids": names})["statements"] == 2
    assert annotated.cost(query, {"ids": [*names, *genes, "Load:1", "Release:1", "Transcript:ENST00000356025"]})["statements"] == 5 + 2


def test_resolving_takes_one_statement_for_each_kind_of_name(annotated: Api) -> None:
    query = "query ($inputs: [String!]!) { resolve(inputs: $inputs) { outcome variant { name } candidates { name } } }"
    names = [row["name"] for row in annotated.data("{ variants { nodes { name } } }")["variants"]["nodes"]]
    assert annotated.cost(query, {"inputs": names[:1]})["statements"] == 2
    assert annotated.cost(query, {"inputs": names})["statements"] == 2
    kinds = ["rs9000001", "20:1896010", "ENST00000356025.3:c.131A>G", "ENSP00000348307.3:p.Gly44Asp"]
    # Six: one for each of five kinds of names, one for the variants of all of them.
    assert annotated.cost(query, {"inputs": names + kinds})["statements"] == 6


def test_a_page_of_names_and_its_count_look_the_names_up_once(annotated: Api) -> None:
    query = '{ variants(ids: ["rs9000001"]) { nodes { name } totalCount } }'
    assert annotated.cost(query)["statements"] == 3


def test_the_same_list_twice_is_read_once(demo: Api) -> None:
    query = '{ variants(region: "20:1890000-1900000") { nodes { %s } } }'
    once = demo.cost(query % "records { line }")["statements"]
    assert demo.cost(query % "a: records { line } b: records { line }")["statements"] == once
    assert demo.cost(query % "a: records { line } b: records { qual }")["statements"] == once + 1


def test_a_list_below_no_rows_is_not_read(demo: Api) -> None:
    assert demo.cost('{ variants(region: "20:1-10") { nodes { records { line } genes { nodes { id } } } } }')["statements"] == 1
