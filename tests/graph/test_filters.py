"""Every filter means what `facts.holds` says in plain Python, alone and nested, with and without an index to drive it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graph.api import Api
from tests.graph.conftest import Serve
from tests.graph.facts import Facts, holds, read_facts
from tests.graph.loading import load_vcf

REGION = "20:1890000-1970000"
QUERY = """query ($region: String, $gene: String, $ids: [String!], $filter: VariantFilter, $first: Int, $after: String, $last: Int, $before: String) {
    variants(region: $region, gene: $gene, ids: $ids, filter: $filter, first: $first, after: $after, last: $last, before: $before) {
        totalCount nodes { name } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


@pytest.fixture(scope="module")
def facts(annotated_url: str) -> list[Facts]:
    """Those of the annotated store, in genome order."""
    return read_facts(annotated_url)


@pytest.fixture(scope="module")
def demo_facts(sites: list[Any]) -> list[Facts]:
    """Those of the demo VCF, from its text. Frequencies are counted; AC and AN are of these samples, as AF is not."""
    return [
        Facts(
            site.name, site.ref, site.alt,
            records=[{"dataset": "kg300", "qual": None, "filter": [], "info": site.info}],
            rsids=set(site.ids), frequencies=[("kg300", "ALL", int(site.info["AC"]) / int(site.info["AN"]))],
        )
        for site in sites
    ]  # fmt: skip


def ask(api: Api, f: dict[str, Any], **selection: Any) -> list[str]:
    """The names of the variants that pass a filter, and that their total count says the same."""
    page = api.data(QUERY, {"filter": f, "first": 1000, **selection})["variants"]
    names = [variant["name"] for variant in page["nodes"]]
    if not page["pageInfo"]["hasNextPage"] and "after" not in selection:
        assert page["totalCount"] == len(names)
    return names


ONE_BY_ONE: list[dict[str, Any]] = [
    {"type": ["SNV"]},
    {"type": ["MNV"]},
    {"type": ["INSERTION", "DELETION"]},
    {"type": ["INDEL"]},
    {"impact": ["HIGH"]},
    {"impact": ["MODERATE"]},
    {"impact": ["HIGH", "MODERATE"]},
    {"impact": ["LOW"]},
    {"impact": ["HIGH", "MODIFIER"]},
    {"consequence": ["missense_variant"]},
    {"consequence": ["stop_gained", "frameshift_variant"]},
    {"consequence": ["splice_region_variant"]},
    {"consequence": ["intron_variant", "stop_lost"]},
    {"clinicalSignificance": ["PATHOGENIC"]},
    {"clinicalSignificance": ["LIKELY_PATHOGENIC"]},
    {"clinicalSignificance": ["PATHOGENIC", "LIKELY_PATHOGENIC"]},
    {"clinicalSignificance": ["BENIGN"]},
    {"clinicalSignificance": ["CONFLICTING", "DRUG_RESPONSE", "ONCOGENIC", "TIER_I_STRONG"]},
    {"frequency": [{"max": 0.01}]},
    {"frequency": [{"min": 0.3}]},
    {"frequency": [{"min": 0.04, "max": 0.1}]},
    {"frequency": [{}]},
    {"frequency": [{"population": "EUR", "max": 0}]},
    {"frequency": [{"population": "AFR"}]},
    {"frequency": [{"population": "EUR", "min": 0.2}, {"population": "AFR", "max": 0.25}]},
    {"frequency": [{"dataset": "panel"}]},
    {"frequency": [{"dataset": "cohort", "min": 0.3}]},
    {"not": {"frequency": [{"max": 1}]}},
    {"filter": ["PASS"]},
    {"filter": ["q10"]},
    {"filter": ["s50", "lowq"]},
    {"qual": {"min": 50}},
    {"qual": {"max": 30}},
    {"qual": {"min": 55.5, "max": 55.5}},
    {"qual": {}},
    {"not": {"qual": {}}},
    {"info": [{"key": "DP", "min": 35, "max": 50}]},
    {"info": [{"key": "MQ", "max": 0.001}]},
    {"info": [{"key": "SC", "max": -2}]},
    {"info": [{"key": "SC", "min": 2.5}]},
    {"info": [{"key": "DB"}]},
    {"info": [{"key": "DB", "equals": ["true"]}]},
    {"info": [{"key": "AF_AFR"}]},
    {"info": [{"key": "TAG", "equals": ["review"]}]},
    {"info": [{"key": "TAG", "equals": ["somatic", "nothing"]}]},
    {"info": [{"key": "MQ", "equals": ["60.00"]}]},
    {"info": [{"key": "MQ", "equals": ["60"]}]},
    {"info": [{"key": "DP", "min": 40}, {"key": "TAG"}]},
    {"info": [{"key": "CLNSIG", "equals": ["Pathogenic"]}]},
    {"score": [{"name": "CADD_PHRED", "min": 20}]},
    {"score": [{"name": "CADD_RAW", "max": 0}]},
    {"score": [{"name": "CADD_RAW"}]},
    {"score": [{"name": "CADD_RAW", "min": 0}, {"name": "CADD_PHRED", "max": 30}]},
    {"rsid": ["rs9000003"]},
    {"rsid": ["RS9000006", "rs9000020"]},
    {"dataset": ["clinvar"]},
    {"dataset": ["panel", "clinvar"]},
    {"and": [{"dataset": ["cohort"]}, {"dataset": ["panel"]}]},
    {"impact": ["HIGH"], "type": ["DELETION"]},
    {"or": [{"impact": ["HIGH"]}, {"qual": {"min": 90}}]},
    {"not": {"or": [{"impact": ["HIGH"]}, {"qual": {"min": 90}}]}},
    {"not": {"not": {"impact": ["HIGH"]}}},
    {"rsid": ["rs9000003", "rs9000009"], "impact": ["MODERATE"], "clinicalSignificance": ["PATHOGENIC"]},
]


@pytest.mark.parametrize("f", ONE_BY_ONE, ids=str)
def test_a_filter_finds_what_python_finds(annotated: Api, facts: list[Facts], f: dict[str, Any]) -> None:
    passing = [v.name for v in facts if holds(f, v)]
    assert 0 < len(passing) < len(facts), "a filter that finds some and not all"
    here = [name for name in passing if name.startswith("20-")]
    assert ask(annotated, f, region=REGION) == here
    assert ask(annotated, f, ids=[v.name for v in facts]) == passing
    assert ask(annotated, f, gene="SIRPA") == [name for name in here if int(name.split("-")[1]) <= 1_920_540]


@pytest.mark.parametrize(
    "f", [{}, {"and": []}, {"not": {"not": {}}}, {"info": [], "score": [], "frequency": []}, {"or": [{}, {"impact": ["HIGH"]}]}], ids=str
)
def test_a_filter_without_conditions_passes_all(annotated: Api, facts: list[Facts], f: dict[str, Any]) -> None:
    assert ask(annotated, f, ids=[v.name for v in facts]) == [v.name for v in facts]


def test_nothing_passes_not_everything(annotated: Api) -> None:
    assert ask(annotated, {"not": {}}) == []


# ---- nested


def _bounds(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[dict[str, Any]]:
    pairs = st.tuples(st.none() | numbers, st.none() | numbers)
    return pairs.map(lambda p: {"min": min(p), "max": max(p)} if None not in p else {"min": p[0], "max": p[1]})


def _some(values: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


def _nested(leaves: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def deeper(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        parts = st.lists(inner, min_size=1, max_size=3)
        return st.one_of(
            st.builds(lambda x: {"and": x}, parts), st.builds(lambda x: {"or": x}, parts), st.builds(lambda x: {"not": x}, inner),
            st.builds(lambda leaf, x, y: {**leaf, "or": x, "not": y}, leaves, parts, inner),
        )  # fmt: skip

    return st.recursive(leaves, deeper, max_leaves=8)


def _mixed(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Filters of one or two of these conditions."""
    names = st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=2, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: fields[name] for name in chosen}))


def _info(keys: list[str], texts: list[str], numbers: st.SearchStrategy[float]) -> st.SearchStrategy[list[dict[str, Any]]]:
    key = st.sampled_from(keys)
    one = st.one_of(
        st.builds(lambda k, b: {"key": k} | b, key, _bounds(numbers)), st.builds(lambda k: {"key": k}, key),
        st.builds(lambda k, e: {"key": k, "equals": e}, key, _some(texts)),
    )  # fmt: skip
    return st.lists(one, min_size=1, max_size=2)


_quals = st.sampled_from([0, 10, 12, 21, 30, 43, 55.5, 99, 200, 812.5, 1000])
_share = st.sampled_from([0, 0.001, 0.005, 0.01, 0.04, 0.05, 0.1, 0.125, 0.25, 0.3, 0.5, 1])
_frequencies = st.lists(
    st.builds(
        lambda p, d, b: {"population": p, **d} | b, st.sampled_from(["ALL", "EUR", "AFR", "none"]),
        st.sampled_from([{}, {"dataset": "cohort"}, {"dataset": "panel"}, {"dataset": None}]), _bounds(_share),
    ), min_size=1, max_size=2,
)  # fmt: skip
ANNOTATED = _nested(
    _mixed(
        type=_some(["SNV", "MNV", "INSERTION", "DELETION", "INDEL"]),
        impact=_some(["HIGH", "MODERATE", "LOW", "MODIFIER"]),
        consequence=_some(["missense_variant", "stop_gained", "intron_variant", "synonymous_variant", "frameshift_variant", "start_lost"]),
        clinicalSignificance=_some(["PATHOGENIC", "LIKELY_PATHOGENIC", "BENIGN", "CONFLICTING", "DRUG_RESPONSE"]),
        frequency=_frequencies,
        filter=_some(["PASS", "q10", "s50", "lowq"]),
        qual=_bounds(_quals),
        info=_info(["DP", "MQ", "SC", "DB", "TAG", "AF_AFR", "CLNSIG"], ["review", "true", "60", "Pathogenic", "3"], st.sampled_from([-3, 0, 0.1, 7, 20, 60])),
        score=st.lists(
            st.builds(lambda n, b: {"name": n} | b, st.sampled_from(["CADD_RAW", "CADD_PHRED"]), _bounds(st.sampled_from([-1, 0, 0.5, 3.5, 20, 41]))),
            min_size=1, max_size=2,
        ),
        rsid=_some([f"rs{9000000 + n}" for n in range(1, 21)]),
        dataset=_some(["cohort", "clinvar", "panel"]),
    )
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(f=ANNOTATED)
def test_nested_filters_find_what_python_finds(annotated: Api, facts: list[Facts], f: dict[str, Any]) -> None:
    passing = [v.name for v in facts if holds(f, v)]
    assert ask(annotated, f, region=REGION) == [name for name in passing if name.startswith("20-")]
    assert ask(annotated, f, ids=[v.name for v in facts]) == passing


DEMO = _nested(
    _mixed(
        type=_some(["SNV", "MNV", "INSERTION", "DELETION", "INDEL"]),
        frequency=st.lists(_bounds(st.floats(0, 1)), min_size=1, max_size=2),
        info=_info(["AC", "AN", "CM", "AF", "none"], ["1", "600", "0.00198807"], st.floats(0, 600)),
        rsid=_some(["rs4813331", "rs376678365"]),
        dataset=_some(["kg300", "none"]),
        filter=_some(["PASS"]),
        qual=_bounds(_quals),
    )
)


@settings(max_examples=60, deadline=None)
@given(f=DEMO, start=st.integers(1_000_000, 3_900_000), width=st.integers(1, 50_000))
def test_nested_filters_of_a_region_of_the_demo_find_what_python_finds(
    demo: Api, demo_facts: list[Facts], f: dict[str, Any], start: int, width: int
) -> None:
    there = [v for v in demo_facts if start <= int(v.name.split("-")[1]) < start + width]
    assert sorted(ask(demo, f, region=f"20:{start}-{start + width - 1}")) == sorted(v.name for v in there if holds(f, v))


# ---- drivers: conditions that an index answers in genome order

DRIVERS: list[dict[str, Any]] = [
    {"impact": ["HIGH"]},
    {"impact": ["HIGH", "MODERATE"]},
    {"consequence": ["missense_variant", "stop_gained"]},
    {"clinicalSignificance": ["PATHOGENIC"]},
    {"clinicalSignificance": ["PATHOGENIC", "LIKELY_PATHOGENIC"]},
    {"rsid": [f"rs900000{n}" for n in range(1, 10)]},
    {"impact": ["HIGH"], "consequence": ["stop_gained"], "clinicalSignificance": ["PATHOGENIC"]},
    {"impact": ["MODERATE"], "frequency": [{"min": 0.05}]},
    {"and": [{"rsid": ["rs9000003", "rs9000004"]}, {"rsid": ["rs9000004", "rs9000009"]}]},
    {"or": [{"clinicalSignificance": ["PATHOGENIC"]}, {"impact": ["HIGH"]}]},
    {
        "or": [
            {"impact": ["HIGH"], "not": {"frequency": [{"min": 0.01}]}},
            {"or": [{"rsid": ["rs9000003"]}, {"clinicalSignificance": ["PATHOGENIC"]}]},
        ]
    },
]


@pytest.mark.parametrize("f", DRIVERS, ids=str)
def test_a_driver_needs_no_region_and_gives_what_the_condition_gives_without_it(
    annotated: Api, facts: list[Facts], f: dict[str, Any]
) -> None:
    driven = ask(annotated, f)
    assert driven == [v.name for v in facts if holds(f, v)] != []
    assert ask(annotated, f, region=REGION) == ask(annotated, {"or": [f, {"not": {"not": f}}]}, region=REGION)
    assert ask(annotated, {"not": {"not": f}}, region=REGION) == ask(annotated, f, region=REGION)


@pytest.mark.parametrize("f", DRIVERS, ids=str)
@pytest.mark.parametrize("size", [1, 2])
def test_pages_of_a_driver_go_both_ways(annotated: Api, facts: list[Facts], f: dict[str, Any], size: int) -> None:
    passing = [v.name for v in facts if holds(f, v)]
    for which, cursor, at, more in (("first", "after", "endCursor", "hasNextPage"), ("last", "before", "startCursor", "hasPreviousPage")):
        found, position = [], None
        while True:
            page = annotated.data(QUERY, {"filter": f, which: size, cursor: position})["variants"]
            names = [v["name"] for v in page["nodes"]]
            found = found + names if which == "first" else names + found
            if not page["pageInfo"][more]:
                break
            position = page["pageInfo"][at]
        assert found == passing


@pytest.mark.parametrize("f", [*DRIVERS, {"qual": {"min": 50}}], ids=str)
def test_every_gene_has_its_own_filtered_page(annotated: Api, facts: list[Facts], f: dict[str, Any]) -> None:
    query = "query ($f: VariantFilter) { genes { nodes { chrom start end variants(filter: $f, first: 3) { totalCount nodes { name } } } } }"
    passing = [v.name.split("-") for v in facts if holds(f, v)]
    for gene in annotated.data(query, {"f": f})["genes"]["nodes"]:
        there = ["-".join(n) for n in passing if n[0] == gene["chrom"] and gene["start"] <= int(n[1]) <= gene["end"]]
        assert gene["variants"] == {"totalCount": len(there), "nodes": [{"name": name} for name in there[:3]]}


# ---- what is refused

SLOW: list[dict[str, Any]] = [
    {"qual": {"min": 1}}, {"impact": ["LOW"]}, {"impact": ["HIGH", "LOW"]}, {"clinicalSignificance": ["BENIGN"]}, {"consequence": ["intron_variant"]},
    {"or": [{"impact": ["HIGH"]}, {"type": ["SNV"]}]}, {"not": {"impact": ["HIGH"]}}, {"type": ["SNV"]}, {"dataset": ["kg300"]},
]  # fmt: skip


@pytest.mark.parametrize("f", SLOW, ids=str)
def test_a_filter_that_no_index_answers_needs_a_place(demo: Api, f: dict[str, Any]) -> None:
    for region, size in ((None, ""), ("20", "63,025,520"), ("20:1-5000001", "5,000,001"), ("20:58000000-", "5,025,521")):
        error = demo.error(QUERY, {"filter": f, "region": region})
        assert error["code"] == "REGION_NEEDED"
        assert "at most 5,000,000 bases" in error["message"]
        assert size in error["message"]
        assert error.get("value") == region
    for place in (
        {"region": "20:1-5000000"},
        {"region": "20:60000000-"},
        {"region": "21:48000000-"},
        {"gene": "SIRPA"},
        {"ids": ["rs4813331"]},
    ):
        assert "errors" not in demo.ask(QUERY, {"filter": f, "first": 1, **place})


@pytest.mark.parametrize(
    ("f", "said"),
    [
        ({"consequence": ["mis_sense"]}, "consequence: 'mis_sense' is not a Sequence Ontology term of VEP or SnpEff."),
        ({"consequence": []}, "consequence: an empty list matches nothing."),
        ({"impact": []}, "impact: an empty list matches nothing."),
        ({"type": []}, "type: an empty list matches nothing."),
        ({"clinicalSignificance": []}, "clinicalSignificance: an empty list matches nothing."),
        ({"rsid": []}, "rsid: an empty list matches nothing."),
        ({"dataset": []}, "dataset: an empty list matches nothing."),
        ({"filter": []}, "filter: an empty list matches nothing."),
        ({"or": []}, "or: an empty list matches nothing."),
        ({"info": [{"key": "DP", "equals": []}]}, "info DP: an empty list matches nothing."),
        ({"info": [{"key": "DP", "equals": ["1"], "min": 1}]}, "info DP: equals and bounds exclude each other."),
        ({"qual": {"min": 2, "max": 1}}, "qual: min 2.0 is above max 1.0."),
        ({"frequency": [{"min": 0.5, "max": 0.1}]}, "frequency: min 0.5 is above max 0.1."),
        ({"score": [{"name": "x", "min": 1, "max": 0}]}, "score: min 1.0 is above max 0.0."),
        ({"info": [{"key": "DP", "min": 1, "max": 0}]}, "info: min 1.0 is above max 0.0."),
        ({"rsid": ["4813331"]}, "rsid: '4813331' is not an rsID."),
        ({"rsid": ["rs"]}, "rsid: 'rs' is not an rsID."),
        ({"rsid": ["rs²"]}, "rsid: 'rs²' is not an rsID."),
        ({"rsid": ["rs" + "1" * 16]}, f"rsid: 'rs{'1' * 16}' is not an rsID."),
        ({"or": [{"qual": {"min": n}} for n in range(101)]}, "The filter has 101 conditions; the most is 100."),
        ({"not": {"and": [{"consequence": ["stop_gaine"]}]}}, "consequence: 'stop_gaine' is not a Sequence Ontology term of VEP or SnpEff."),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_a_filter_that_means_nothing_is_refused(demo: Api, f: dict[str, Any], said: str) -> None:
    for query, variables in (
        (QUERY, {"region": REGION}),
        ('query ($filter: VariantFilter) { gene(id: "SIRPA") { variants(filter: $filter) { totalCount } } }', {}),
    ):
        error = demo.error(query, {"filter": f, **variables})
        assert (error["code"], error["message"]) == ("BAD_FILTER", said)
        assert "hint" in error


def test_a_misspelt_term_comes_with_its_neighbours(demo: Api) -> None:
    assert demo.error(QUERY, {"filter": {"consequence": ["missense"]}, "region": REGION})["hint"] == "Did you mean missense_variant?"


@pytest.mark.parametrize(
    ("f", "said"),
    [
        ({"impact": ["SEVERE"]}, "SEVERE"),
        ({"quality": 3}, "quality"),
        ({"qual": {"min": "x"}}, "Float cannot represent"),
        ({"score": [{"min": 1}]}, "name"),
    ],
    ids=str,
)
def test_a_filter_of_the_wrong_shape_is_refused_before_anything_runs(demo: Api, f: dict[str, Any], said: str) -> None:
    response = demo.post(QUERY, {"filter": f}, {"Accept": "application/graphql-response+json"})
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert said in error["message"]
    assert error["extensions"]["code"] == "INVALID_DOCUMENT"


CSQ = """##fileformat=VCFv4.2
##reference=GRCh37
##INFO=<ID=RS,Number=.,Type=String,Description="dbSNP ID (i.e. rs number)">
##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequence annotations. Format: Allele|Consequence|IMPACT|Feature">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
22\t100\t77\tA\tG\t.\t.\tRS=777777;CSQ=G|feature_truncation|MODIFIER|ENST00000000001
"""


def test_a_term_is_found_whatever_impact_the_annotator_gave_it(own_annotated: str, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "x.vcf").write_text(CSQ)
    load_vcf(own_annotated, tmp_path / "x.vcf", dataset="other", version="1")
    query = '{ variants(region: "22:100", filter: { consequence: ["feature_truncation"] }) { nodes { name rsids } } }'
    # The rsID stands in INFO only, as in ClinVar's files.
    assert serve(own_annotated).data(query)["variants"]["nodes"] == [{"name": "22-100-A-G", "rsids": ["rs777777"]}]
