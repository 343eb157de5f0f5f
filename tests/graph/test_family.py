"""Family filters: every condition means what its description says, one call at a time (pedigree.py), however the genotypes are stored.

The files are of two cohorts with the same families: narrow has their seven samples, wide three hundred more without any ALT.
"""

from __future__ import annotations

import json
import re
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graph.api import Api
from tests.graph.conftest import DATA, Serve
from tests.graph.facts import Facts, holds, read_facts
from tests.graph.loading import load_samples, load_vcf
from tests.graph.pedigree import Families, Observed, read_genes, read_ped, read_vcf

PLACES = ("20:1-5000000", "X:5000000-6000000", "Y:7000000-8000000", "MT")
_PAGES = " ".join(
    f'p{n}: variants(region: "{place}", family: $family, filter: $filter, zygosity: $zygosity, first: 1000) {{ totalCount nodes {{ name }} }}'
    for n, place in enumerate(PLACES)
)
CARRIED = f"""query ($sample: String!, $family: FamilyFilter, $filter: VariantFilter, $zygosity: [Zygosity!]) {{
    sample(id: $sample) {{ {_PAGES} }} }}"""
SAMPLES = ("GIRL", "DAD", "SON", "ALONE", "MUM", "DUO", "MUM2")
COHORTS = ("narrow", "wide")

Condition = dict[str, Any]


@pytest.fixture(scope="module")
def families() -> Families:
    return Families(read_vcf(DATA / "family.vcf"), read_ped(DATA / "family.ped"), read_genes(DATA / "family.gtf"))


@pytest.fixture(scope="module")
def facts(family_url: str) -> dict[str, Facts]:
    return {f.name: f for f in read_facts(family_url)}


def carried(api: Api, sample: str, **asked: Any) -> list[str]:
    """Names of the variants of a sample that the API finds, in its order; and each page is whole."""
    family = asked.get("family") or {}
    if "absentIn" in family:
        cohort = sample.partition("/")[0]
        asked["family"] = family | {"absentIn": [f"{cohort}/{name}" for name in family["absentIn"]]}
    pages = api.data(CARRIED, {"sample": sample} | asked)["sample"].values()
    for page in pages:
        assert page["totalCount"] == len(page["nodes"])
    return [row["name"] for page in pages for row in page["nodes"]]


def cases(families: Families, names: list[str]) -> set[str]:
    """What the records of variants are examples of."""
    of = {v.name: v.info["CASE"] for v in families.variants}
    return {of[name] for name in names}


# ---- literal answers


EXAMPLES: list[tuple[str, Condition, str]] = [
    ("SON", {"deNovo": True, "minGq": 20, "minDp": 10},
     """de_novo de_novo_phased de_novo_gq_20_dp_10 de_novo_homozygous de_novo_in_both_children de_novo_half_call de_novo_half_call_second
     de_novo_second_alt de_novo_beside_inherited de_novo_third_alt triploid_de_novo triploid_half denovotrans_1 denovocis_1 single_1 x_de_novo
     x_de_novo_whatever_the_father x_de_novo_father_missing x_de_novo_father_gq_9 x_son_diploid_de_novo y_de_novo
     y_de_novo_mother_called_with_it mt_de_novo mt_de_novo_whatever_the_father mt_two_alleles"""),
    ("SON", {"deNovo": True, "minGq": 21, "minDp": 41}, ""),
    ("SON", {"deNovo": True, "absentIn": ["GIRL", "MUM2"], "minGq": 90}, ""),
    ("GIRL", {"deNovo": True}, "de_novo_in_both_children x_de_novo_daughter"),
    ("DUO", {"deNovo": True}, "x_duo_de_novo mt_duo"),
    ("ALONE", {"deNovo": True}, ""),
    ("SON", {"homozygousRecessive": True, "minGq": 10, "minDp": 10},
     """recessive recessive_sister_missing recessive_sister_half_missing recessive_both_children recessive_father_other_alt
     triploid_homozygous x_recessive x_recessive_brother_of_carrier x_two_alts xcis_1"""),
    ("SON", {"homozygousRecessive": True, "absentIn": ["GIRL"]},
     "recessive_father_other_alt recessive_mother_gq_8 recessive_child_dp_6 triploid_homozygous x_recessive x_two_alts"),
    ("DUO", {"homozygousRecessive": True}, "recessive_duo x_duo"),
    ("ALONE", {"homozygousRecessive": True}, ""),
    ("SON", {"inheritedFrom": "FATHER", "absentIn": ["GIRL"], "minDp": 6},
     """de_novo_beside_inherited from_father from_father_mother_other_alt from_father_half_call insertion trans_1 transagainstphase_1 cis_1 cis_2
     three_1 three_2 fathermissing_2 fathermissingtrans_2 onesite_1"""),
    ("SON", {"inheritedFrom": "BOTH", "absentIn": ["GIRL"]},
     "recessive_not_father_homozygous recessive_not_father_half recessive_father_other_alt recessive_mother_gq_8 recessive_child_dp_6 from_both "
     "from_both_mother_dp_none triploid_homozygous bothparents_1 bothparentscis_1 bothparentstrans_1"),
    ("DUO", {"inheritedFrom": "MOTHER"}, "x_duo"),
    ("SON", {"compoundHet": True},
     """trans_1 trans_2 transagainstphase_1 transagainstphase_2 three_1 three_2 three_3 bothparents_1 bothparents_2 bothparentstrans_1
     bothparentstrans_2 denovotrans_1 denovotrans_2 fathermissingtrans_1 fathermissingtrans_2 onesite_1"""),
    ("GIRL", {"compoundHet": True}, "xtrans_1 xtrans_2"),
    ("DUO", {"compoundHet": True}, "duo_1 duo_2 duotrans_1 duotrans_2"),
    ("ALONE", {"compoundHet": True, "minGq": 20, "minDp": 1},
     """phasetrans_1 phasetrans_2 sets_1 sets_2 onesettrans_1 onesettrans_2 setornone_1 setornone_2 halfphased_1 halfphased_2 unphased_1
     unphased_2 onesitealone_1 onesitephased_1 onesiteandmore_1 onesiteandmore_2 filtered_1 filtered_2 impacts_1 impacts_2 impacts_3
     triploid_1 triploid_2 triploid_3 triploidpair_1 triploidpair_2 edges_1 edges_2 overlapa_1 overlapa_2 overlapb_1"""),
]  # fmt: skip


@pytest.mark.parametrize("cohort", COHORTS)
@pytest.mark.parametrize(("sample", "family_filter", "expected"), EXAMPLES, ids=lambda value: json.dumps(value)[:60])
def test_a_condition_finds_its_examples(
    family: Api, families: Families, cohort: str, sample: str, family_filter: Condition, expected: str
) -> None:
    assert cases(families, carried(family, f"{cohort}/{sample}", family=family_filter)) == set(expected.split())


# ---- answers of the definitions


SINGLE: list[Condition] = [
    {"deNovo": True}, {"homozygousRecessive": True}, {"compoundHet": True}, {"inheritedFrom": "FATHER"}, {"inheritedFrom": "MOTHER"},
    {"inheritedFrom": "BOTH"}, {"absentIn": ["GIRL"]}, {"absentIn": ["MUM", "DAD"]}, {"minDp": 0}, {"minDp": 10}, {"minGq": 20},
]  # fmt: skip


@pytest.mark.parametrize("condition", SINGLE, ids=json.dumps)
@pytest.mark.parametrize("bounds", [{}, {"minDp": 5}, {"minGq": 10}, {"minDp": 0, "minGq": 60}], ids=json.dumps)
def test_a_condition_means_what_it_says_for_everybody(family: Api, families: Families, condition: Condition, bounds: Condition) -> None:
    asked = bounds | condition
    found = {sample: [carried(family, f"{cohort}/{sample}", family=asked) for cohort in COHORTS] for sample in SAMPLES}
    for sample, lists in found.items():
        expected = families.carried(sample, asked)
        assert [sorted(names) for names in lists] == [sorted(expected)] * 2, sample
    assert any(lists[0] for lists in found.values()), "the data have no example"


family_filters = st.fixed_dictionaries(
    {},
    optional={
        "deNovo": st.just(True),
        "homozygousRecessive": st.just(True),
        "compoundHet": st.just(True),
        "inheritedFrom": st.sampled_from(["FATHER", "MOTHER", "BOTH"]),
        "absentIn": st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=3),
        "minDp": st.sampled_from([0, 4, 10, 25]),
        "minGq": st.sampled_from([0, 9, 20, 60]),
    },
)
variant_filters = st.fixed_dictionaries(
    {},
    optional={
        "qual": st.sampled_from([{"min": 10}, {"max": 50}, {}]),
        "filter": st.sampled_from([["PASS"], ["q10"]]),
        "impact": st.lists(st.sampled_from(["HIGH", "MODERATE", "LOW", "MODIFIER"]), min_size=1, max_size=2),
        "consequence": st.sampled_from([["missense_variant"], ["stop_gained", "intron_variant"]]),
        "type": st.sampled_from([["SNV"], ["INSERTION"]]),
        "rsid": st.lists(st.integers(9200059, 9200141).map(lambda n: f"rs{n}"), min_size=10, max_size=80),
        "not": st.sampled_from([{"impact": ["HIGH"]}, {"qual": {"max": 10}}]),
    },
)


@settings(max_examples=120, deadline=None)
@given(
    sample=st.sampled_from(SAMPLES), cohort=st.sampled_from(COHORTS), f=family_filters, where=variant_filters,
    zygosity=st.none() | st.lists(st.sampled_from(["HET", "HOM_ALT", "HEMI", "HET_OTHER_ALT", "PARTIAL"]), min_size=1, max_size=3),
)  # fmt: skip
def test_filters_together_mean_what_they_say(
    family: Api,
    families: Families,
    facts: dict[str, Facts],
    sample: str,
    cohort: str,
    f: Condition,
    where: Condition,
    zygosity: list[str] | None,
) -> None:
    def passes(v: Observed) -> bool:
        return holds(where, facts[v.name])

    of = {v.name: v.call(sample) for v in families.variants}
    expected = [name for name in families.carried(sample, f, passes) if zygosity is None or of[name].zygosity in zygosity]
    found = carried(family, f"{cohort}/{sample}", family=f, filter=where, zygosity=zygosity)
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("cohort", COHORTS)
def test_the_partner_of_a_compound_heterozygote_passes_the_same_filter(family: Api, families: Families, cohort: str) -> None:
    """Whatever way the filter is answered: by looking at each variant, or by an index that drives the list."""

    def pairs(filter: Condition) -> set[str]:
        return {
            case
            for case in cases(families, carried(family, f"{cohort}/ALONE", family={"compoundHet": True}, filter=filter))
            if case[:6] in ("impact", "filter")
        }

    assert pairs({}) == {"impacts_1", "impacts_2", "impacts_3", "filtered_1", "filtered_2"}
    assert pairs({"qual": {"min": 10}}) == {"impacts_1", "impacts_2", "impacts_3"}
    assert pairs({"filter": ["q10"]}) == set()
    assert pairs({"impact": ["HIGH", "MODIFIER"]}) == {"impacts_1", "impacts_2"}
    assert pairs({"impact": ["HIGH", "MODERATE"]}) == {"filtered_1", "filtered_2"}
    assert pairs({"impact": ["HIGH"]}) == set()
    assert pairs({"not": {"impact": ["HIGH"]}}) == {"impacts_2", "impacts_3", "filtered_1", "filtered_2"}


@pytest.mark.parametrize("cohort", COHORTS)
@pytest.mark.parametrize("size", [1, 2, 7])
def test_pages_of_a_family_filter_go_both_ways(family: Api, families: Families, cohort: str, size: int) -> None:
    query = """query ($sample: String!, $family: FamilyFilter, $filter: VariantFilter, $first: Int, $after: String, $last: Int, $before: String) {
        sample(id: $sample) { variants(region: "20:1-5000000", family: $family, filter: $filter, first: $first, after: $after, last: $last, before: $before) {
        nodes { name } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""
    for f, filter in (({"compoundHet": True}, {"impact": ["HIGH", "MODERATE"]}), ({"inheritedFrom": "MOTHER"}, None)):
        asked = {"sample": f"{cohort}/SON", "family": f, "filter": filter}
        whole = [row["name"] for row in family.data(query, asked)["sample"]["variants"]["nodes"]]
        assert len(whole) > 8
        for backward in (False, True):
            found: list[str] = []
            cursor, more = None, True
            while more:
                window = {"last": size, "before": cursor} if backward else {"first": size, "after": cursor}
                page = family.data(query, asked | window)["sample"]["variants"]
                names = [row["name"] for row in page["nodes"]]
                found = names + found if backward else found + names
                more = page["pageInfo"]["hasPreviousPage" if backward else "hasNextPage"]
                cursor = page["pageInfo"]["startCursor" if backward else "endCursor"]
            assert found == whole


# ---- who is a parent


def test_the_parents_are_those_that_the_latest_load_names(own_family: str, serve: Serve, tmp_path: Any) -> None:
    """ALONE becomes a child of DAD and MUM; what the new file does not say of others stays as it was."""
    ped = tmp_path / "more.ped"
    ped.write_text("FAM1 ALONE DAD MUM 2 -9\n")
    load_samples(own_family, ped, dataset="more", cohort="narrow")
    api = serve(own_family)
    families = Families(read_vcf(DATA / "family.vcf"), read_ped(DATA / "family.ped") | read_ped(ped), read_genes(DATA / "family.gtf"))
    for sample, f in (("ALONE", {"deNovo": True}), ("ALONE", {"compoundHet": True}), ("SON", {"deNovo": True})):
        assert sorted(carried(api, f"narrow/{sample}", family=f)) == sorted(families.carried(sample, f))
    assert carried(api, "wide/ALONE", family={"deNovo": True}) == []


def test_a_later_callset_without_the_parents_takes_no_answers_away(
    own_family: str, families: Families, serve: Serve, tmp_path: Any
) -> None:
    """SON is sequenced again, alone: families are asked about in the callset that has his parents, everything else in the latest."""
    lines = (DATA / "family.vcf").read_text().splitlines()
    header = next(line for line in lines if line.startswith("#CHROM"))
    son = header.split("\t").index("SON")
    solo = tmp_path / "solo.vcf"
    rows = (line if line.startswith("##") else "\t".join([*line.split("\t")[:9], line.split("\t")[son]]) for line in lines)
    solo.write_text("".join(f"{row}\n" for row in rows))
    load_vcf(own_family, solo, dataset="solo", cohort="narrow", unnormalized=True)
    api = serve(own_family)
    for f in ({"deNovo": True}, {"inheritedFrom": "MOTHER"}, {"compoundHet": True}, {"absentIn": ["GIRL"]}):
        assert sorted(carried(api, "narrow/SON", family=f)) == sorted(families.carried("SON", f))
    query = '{ sample(id: "narrow/SON") { variants(first: 1000) { edges { callset { name } } } } }'
    assert {edge["callset"]["name"] for edge in api.data(query)["sample"]["variants"]["edges"]} == {"solo"}


def test_a_parent_who_is_not_in_the_callset_tells_nothing_however_the_alt_is_stored(family: Api, family_url: str) -> None:
    """DUO's father has no calls: only what a son has from his mother alone is inherited. Both encodings are there."""
    with psycopg.connect(family_url) as conn:
        (counts,) = conn.execute(
            "SELECT count(*) FILTER (WHERE alt IS NOT NULL), count(*) FILTER (WHERE alt_slots IS NOT NULL) FROM genotype"
        ).fetchall()
    assert min(counts) > 100
    for cohort in COHORTS:
        for side in ("FATHER", "MOTHER", "BOTH"):
            found = carried(family, f"{cohort}/DUO", family={"inheritedFrom": side})
            assert found == (["X-5001262-G-T"] if side == "MOTHER" else [])


# ---- what cannot be asked


@pytest.mark.parametrize(
    ("family_filter", "code", "said"),
    [
        ({"absentIn": []}, "BAD_FILTER", "excludes nobody"),
        ({"deNovo": False}, "BAD_FILTER", "deNovo: false asks nothing"),
        ({"absentIn": ["narrow/NOONE"]}, "UNKNOWN_SAMPLE", "'narrow/NOONE'"),
        ({"absentIn": ["GIRL"]}, "AMBIGUOUS_NAME", "several cohorts"),
    ],
)
def test_a_family_filter_that_means_nothing_is_refused(family: Api, family_filter: Condition, code: str, said: str) -> None:
    query = 'query ($f: FamilyFilter) { sample(id: "narrow/SON") { variants(region: "MT", family: $f) { totalCount } } }'
    error = family.error(query, {"f": family_filter})
    assert error["code"] == code
    assert said in error["message"]
    assert error["hint"]


@pytest.mark.parametrize(
    "family_filter", [{"deNovo": True}, {"minGq": 20}, {"compoundHet": True}, {"inheritedFrom": "BOTH"}], ids=json.dumps
)
@pytest.mark.parametrize("region", [None, "20:1-5000001"])
def test_a_family_filter_needs_a_region_unless_something_selective_stands_beside_it(
    family: Api, family_filter: Condition, region: str | None
) -> None:
    query = 'query ($f: FamilyFilter, $r: String, $filter: VariantFilter) { sample(id: "narrow/SON") { variants(region: $r, family: $f, filter: $filter) { nodes { name } } } }'
    error = family.error(query, {"f": family_filter, "r": region})
    assert error["code"] == "REGION_NEEDED"
    found = family.data(query, {"f": family_filter, "r": region, "filter": {"impact": ["HIGH", "MODERATE"]}})
    assert all(re.match(r"(20|X|Y|MT)-", row["name"]) for row in found["sample"]["variants"]["nodes"])


def test_an_empty_family_filter_asks_nothing(family: Api, families: Families) -> None:
    query = 'query ($f: FamilyFilter) { sample(id: "narrow/SON") { variants(family: $f, first: 1000) { nodes { name } } } }'
    for f in (None, {}, {"homozygousRecessive": None}):
        found = [row["name"] for row in family.data(query, {"f": f})["sample"]["variants"]["nodes"]]
        assert sorted(found) == sorted(families.carried("SON"))


def test_bounds_of_quality_need_a_callset_that_keeps_it(demo: Api) -> None:
    query = 'query ($f: FamilyFilter) { sample(id: "HG00096") { variants(region: "20:1890000-1900000", family: $f) { totalCount } } }'
    for f in ({"minDp": 1}, {"minGq": 0}, {"deNovo": True, "minGq": 20}):
        error = demo.error(query, {"f": f})
        assert error["code"] == "NO_FORMAT"
        assert "--keep-format" in error["hint"]
    assert demo.data(query, {"f": {"deNovo": True}})["sample"]["variants"] == {"totalCount": 0}
