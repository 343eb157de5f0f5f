"""Names into variants and genes: every form of design section 3, and what is said of those that name nothing or several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.graph.api import Api
from tests.graph.conftest import Serve
from tests.graph.loading import load_vcf, write_vcf

RESOLVE = "query ($inputs: [String!]!) { resolve(inputs: $inputs) { input outcome reason variant { name key } candidates { name } } }"
SEARCH = """query ($text: String!, $first: Int!) { search(text: $text, first: $first) {
    __typename ... on Variant { name rsids } ... on Gene { symbol geneId } } }"""


def resolve(api: Api, *inputs: str) -> list[dict[str, Any]]:
    found = api.data(RESOLVE, {"inputs": inputs})["resolve"]
    assert [one["input"] for one in found] == list(inputs)
    return found


def search(api: Api, text: str, first: int = 10) -> list[str]:
    """Names of variants and symbols of genes."""
    found = api.data(SEARCH, {"text": text, "first": first})["search"]
    return [one["name"] if one["__typename"] == "Variant" else one["symbol"] for one in found]


# ---- names of variants

SNV = "20-1897442-C-T"
DELETION = "20-1042261-CCCTG-C"  # the reference goes on with CCTG, so the same deletion has four more places
DUPLICATION = "20-1150381-C-CTA"  # the reference goes on with TA
INSERTION = "20-1138860-T-TA"  # before nine A


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *((text, SNV) for text in (
            "20-1897442-C-T", "chr20-1897442-C-T", "Chr20-1897442-C-T", "CHR20-1897442-C-T", "20:1897442:C:T", "20_1897442_C_T", "chr20:1897442:C:T",
            "chr20:1897442 C>T", "20:1,897,442:C:T", "20 1897442 C T", "chr20:1897442C>T", "NC_000020.10-1897442-C-T", "20-1897442-c-t",
            "  20-1897442-C-T  ", "Variant:20-1897442-C-T",
            "NC_000020.10:1897441:C:T", "NC_000020.10:1897441:1:T", "nc_000020.10:1897441:C:T",
            "NC_000020.10:g.1897442C>T", "chr20:g.1897442C>T", "20:g.1897442C>T", "NC_000020.10:g.1897442delinsT", "NC_000020.10:g.1897442delCinsT",
            "rs4813331", "RS4813331", "Rs4813331",
            "20-1897441-AC-AT", "20-1897440-TAC-TAT",
        )),
        *((text, DELETION) for text in (
            DELETION, "20-1042262-CCTGC-C", "20-1042265-GCCTG-G", "20-1042261-CCCTGC-CC", "NC_000020.10:g.1042266_1042269del",
            "NC_000020.10:g.1042266_1042269delCCTG", "NC_000020.10:g.1042262_1042265del", "NC_000020.10:1042265:CCTG:", "NC_000020.10:1042261:4:",
        )),
        *((text, DUPLICATION) for text in (
            DUPLICATION, "20-1150383-A-ATA", "NC_000020.10:g.1150382_1150383dup", "NC_000020.10:g.1150382_1150383dupTA",
            "NC_000020.10:g.1150383_1150384insTA", "NC_000020.10:g.1150381_1150382insTA", "NC_000020.10:1150383::TA", "NC_000020.10:1150381:0:TA",
        )),
        *((text, INSERTION) for text in (INSERTION, "20-1138869-A-AA", "NC_000020.10:g.1138869dup", "20:g.1138865_1138866insA")),
    ],
)  # fmt: skip
def test_every_form_of_a_name_finds_its_variant(demo: Api, text: str, name: str) -> None:
    (found,) = resolve(demo, text)
    assert (found["outcome"], found["reason"], found["candidates"]) == ("MATCH", None, [])
    assert found["variant"]["name"] == name
    assert demo.data("query ($id: String!) { variant(id: $id) { name } }", {"id": text})["variant"] == {"name": name}


@pytest.mark.parametrize("text", ["NC_000020.10:g.1008267_1008269inv", "NC_000020.10:g.1008266_1008270inv", "20:g.1008267_1008269invTTA"])
def test_an_inversion_is_its_reverse_complement(demo: Api, text: str) -> None:
    """The reference has TTTAA there, whose reverse complement differs in the middle base alone."""
    assert resolve(demo, text)[0]["variant"]["name"] == "20-1008268-T-A"


def test_a_variant_key_in_hex_names_its_variant(demo: Api) -> None:
    (by_name,) = resolve(demo, SNV)
    key = by_name["variant"]["key"]
    assert len(key) == 16
    for text in (key, key.lower(), f"0x{key}", f"Variant:{key}"):
        assert resolve(demo, text)[0]["variant"]["name"] == SNV
    assert demo.data("query ($id: ID!) { node(id: $id) { id ... on Variant { name } } }", {"id": f"Variant:{key}"}) == {
        "node": {"id": f"Variant:{key}", "name": SNV}
    }


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ENST00000356025.3:c.131A>G", "20-1895963-A-G"),  # VEP writes the transcript's version
        ("ENST00000356025:c.131A>G", "20-1895963-A-G"),  # SnpEff does not
        ("ENSP00000348307.3:p.Gly44Asp", "20-1895963-A-G"),
        ("ENST00000356025.3:c.120del", "20-1890113-AT-A"),
        ("ENSP00000348307.3:p.Phe40LeufsTer7", "20-1890113-AT-A"),
        ("ENST00000460085.1:n.90+12del", "20-1890113-AT-A"),
        ("ENSP00000348307.3:p.Pro60=", "20-1896010-T-C"),
        ("ENST00000217305.2:c.763T>C", "20-1960100-C-T"),
    ],
)
def test_names_on_transcripts_and_proteins_are_those_of_the_annotation(annotated: Api, text: str, name: str) -> None:
    (found,) = resolve(annotated, text)
    assert (found["outcome"], found["variant"] and found["variant"]["name"]) == ("MATCH", name)


@pytest.mark.parametrize(
    ("text", "name"),
    [("MT-3308-T-C", "MT-3308-T-C"), ("chrM:3308:T:C", "MT-3308-T-C"), ("M-3308-T-C", "MT-3308-T-C"), ("NC_012920.1:m.3308T>C", "MT-3308-T-C"),
     ("NC_012920.1:3307:T:C", "MT-3308-T-C"), ("chrX-155000100-A-G", "X-155000100-A-G"), ("23-155000100-A-G", "X-155000100-A-G"),
     ("NC_000023.10:g.155000100A>G", "X-155000100-A-G"), ("rs9000014", "X-155000100-A-G"),
     ("20-1890121-TT-T", "20-1890113-AT-A"), ("20-1890135-A-AA", "20-1890129-G-GA")],
)  # fmt: skip
def test_chromosomes_have_all_their_spellings(annotated: Api, text: str, name: str) -> None:
    (found,) = resolve(annotated, text)
    assert (found["outcome"], found["variant"] and found["variant"]["name"]) == ("MATCH", name)


def test_a_position_means_the_variants_there(annotated: Api) -> None:
    several, one, none = resolve(annotated, "20:1896010", "chr20-1895963", "20:1,895,964")
    assert (several["outcome"], several["variant"]) == ("AMBIGUOUS", None)
    assert [v["name"] for v in several["candidates"]] == ["20-1896010-T-A", "20-1896010-T-C"]
    assert several["reason"] == "2 variants have this name: say CHROM-POS-REF-ALT."
    assert (one["outcome"], one["variant"]["name"], one["candidates"]) == ("MATCH", "20-1895963-A-G", [])
    assert (none["outcome"], none["variant"], none["candidates"]) == ("NOT_FOUND", None, [])
    assert none["reason"] == "No visible file has a record of it."


def test_an_rsid_of_several_alleles_lists_them(demo: Api) -> None:
    (found,) = resolve(demo, "rs369887745")
    assert found["outcome"] == "AMBIGUOUS"
    assert {v["name"] for v in found["candidates"]} == {f"20-3188342-A-AAAC{'AAC' * n}" for n in (0, 3, 4, 6)}
    error = demo.error('{ variant(id: "rs369887745") { name } }')
    assert (error["code"], error["value"], error["hint"]) == ("AMBIGUOUS_NAME", "rs369887745", "resolve(inputs:) lists the candidates.")


@pytest.mark.parametrize("text", ["rs1", "20-1897442-C-G", "20:1897443", "A00CDC9108E80001", "NM_1.1:c.1A>G", "21-10000000-A-T"])
def test_a_name_of_nothing_is_not_found(demo: Api, text: str) -> None:
    (found,) = resolve(demo, text)
    assert (found["outcome"], found["variant"], found["candidates"]) == ("NOT_FOUND", None, [])
    assert demo.data("query ($id: String!) { variant(id: $id) { name } }", {"id": text}) == {"variant": None}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "an empty name"),
        ("FFFFFFFFFFFFFFFF", "is not the name of a variant"),  # no chromosome has that code
        ("hello", "'hello' is not the name of a variant"),
        ("rs", "is not the name of a variant"),
        ("rs12x", "is not the name of a variant"),
        ("rs" + "9" * 16, "the number is too long"),
        ("Z-1-A-T", "unknown chromosome 'Z'"),
        ("GL000191.1-100-A-T", "unknown chromosome"),
        ("20-0-A-T", "outside the chromosome (1 to 63,025,520)"),
        ("20-63025521-A-T", "outside the chromosome (1 to 63,025,520)"),
        ("20:99999999999", "outside the chromosome"),
        ("20-1897442-G-T", "the reference has C at position 1897442, not G"),
        ("20-1897441-TT-T", "the reference has AC at position 1897441, not TT"),
        ("NC_000020.10:1897441:G:T", "the reference has C at position 1897442, not G"),
        ("NC_000020.10:1042265:AAAA:", "the reference has CCTG at position 1042266, not AAAA"),
        ("NC_000020.10:g.1897442G>T", "the reference has C at position 1897442, not G"),
        ("NC_000020.10:g.1042266_1042269delAAAA", "the reference has CCTG at position 1042266, not AAAA"),
        ("NC_000020.10:g.1150382_1150383dupGG", "the reference has TA at position 1150382, not GG"),
        ("NC_000020.10:g.1042266_1042269delCC", "names 2 bases for 4 positions"),
        ("20-1897442-C-C", "REF and ALT are the same"),
        ("20-1897442-C-<DEL>", "is not the name of a variant"),
        ("20-1897442--T", "is not the name of a variant"),
        ("NC_000020.11:g.1897442C>T", "NC_000020.11 is a sequence of GRCh38; this store holds GRCh37"),
        ("NC_000020.11:1897441:C:T", "NC_000020.11 is a sequence of GRCh38"),
        ("NC_000020.10:1897441::", "changes nothing"),
        ("NC_000020.10:g.1897445_1897442del", "lies before its start"),
        ("NC_000020.10:g.1897442_1897450insA", "an insertion lies between two neighbours"),
        ("NC_000020.10:g.1897442_1897443ins", "does not say which bases are inserted"),
        ("NC_000020.10:g.500000del", "the bases of this change are in the reference, which this server does not have there"),
        ("A" * 2001, "a name of 2,001 characters"),
        ("20-1897442-C-T; DROP TABLE variant", "is not the name of a variant"),
    ],
    ids=lambda value: value[:40] or "empty",
)  # fmt: skip
def test_what_is_no_name_is_invalid_with_the_reason(demo: Api, text: str, reason: str) -> None:
    (found,) = resolve(demo, text)
    assert (found["outcome"], found["variant"], found["candidates"]) == ("INVALID", None, [])
    assert reason in found["reason"]
    error = demo.error("query ($id: String!) { variant(id: $id) { name } }", {"id": text})
    assert (error["code"], error["message"], error.get("value", "")) == ("INVALID_NAME", found["reason"], text[:80])


def test_a_text_with_a_nul_is_refused_not_a_failure(demo: Api) -> None:
    for query in (
        '{ resolve(inputs: ["ENST1:c.\\u0000"]) { outcome } }',
        '{ search(text: "SIR\\u0000PA") { __typename } }',
        '{ gene(id: "\\u0000") { id } }',
        '{ variants(region: "20:1-10", filter: {dataset: ["\\u0000"]}) { nodes { id } } }',
    ):
        error = demo.error(query)
        assert (error["code"], error["message"]) == ("BAD_REQUEST", "A text holds the character U+0000, which no text in the store does.")


def test_the_four_outcomes_of_one_request(demo: Api) -> None:
    """Number 1 of what the first served graph had to show."""
    (key,) = (one["variant"]["key"] for one in resolve(demo, "rs4813331"))
    found = resolve(demo, "rs4813331", "20:1897442", key, "no such thing", "rs1", "rs369887745")
    assert [one["outcome"] for one in found] == ["MATCH"] * 3 + ["INVALID", "NOT_FOUND", "AMBIGUOUS"]
    assert {one["variant"]["name"] for one in found[:3]} == {SNV}


def test_names_are_resolved_by_the_thousand_and_no_more(demo: Api, sites: list[Any]) -> None:
    names = [site.name for site in sites[:1000]]
    assert [one["variant"]["name"] for one in resolve(demo, *names)] == names
    for query, argument in (
        ("query ($x: [String!]!) { resolve(inputs: $x) { outcome } }", "names"),
        ("query ($x: [ID!]!) { nodes(ids: $x) { id } }", "ids"),
        ("query ($x: [String!]) { variants(ids: $x) { nodes { id } } }", "names"),
    ):
        error = demo.error(query, {"x": [*names, "rs1"]})
        assert error["code"] == "TOO_MANY_INPUTS"
        assert error["message"] == f"1,001 {argument} at once; the most is 1,000."
        assert error["value"] == 1001


def test_variants_by_names_come_in_genome_order_each_once(demo: Api) -> None:
    query = "query ($ids: [String!]) { variants(ids: $ids) { totalCount nodes { name } } }"
    ids = ["rs369887745", DUPLICATION, "rs4813331", SNV, DELETION, "rs1"]
    names = [DELETION, DUPLICATION, SNV, *(f"20-3188342-A-AAAC{'AAC' * n}" for n in (0, 3, 4, 6))]
    found = demo.data(query, {"ids": ids})["variants"]
    assert [v["name"] for v in found["nodes"]][:3] == names[:3]
    assert ({v["name"] for v in found["nodes"]}, found["totalCount"]) == (set(names), 7)
    assert demo.data(query, {"ids": []})["variants"] == {"totalCount": 0, "nodes": []}
    error = demo.error(query, {"ids": [SNV, "20-1-A-X"]})
    assert (error["code"], error["value"]) == ("INVALID_NAME", "20-1-A-X")


# ---- ids


def test_nodes_keep_the_order_of_their_ids_and_a_gap_for_what_is_not_there(annotated: Api) -> None:
    ids = [
        "Gene:ENSG00000198053",
        "Gene:NOPE",
        "Load:1",
        "Load:99",
        "Release:2",
        "Transcript:ENST00000217305",
        "Variant:A00CDC9108E80001",
        "Gene:ENSG00000198053",
    ]
    found = annotated.data("query ($ids: [ID!]!) { nodes(ids: $ids) { id __typename } }", {"ids": ids})["nodes"]
    shown = [node and node["id"] for node in found]
    assert shown == [id if id not in ("Gene:NOPE", "Load:99", "Variant:A00CDC9108E80001") else None for id in ids]
    assert all(node["__typename"] == node["id"].split(":")[0] for node in found if node)


@pytest.mark.parametrize(
    "id",
    ["", "Gene", "Gene:", "Nope:1", "Load:x", "Load:-1", "Load:99999999999", "Variant:20-1-A-T", "Variant:zz", "VariantRecord:1", "Load:²"],
)
def test_what_is_no_id_is_refused(annotated: Api, id: str) -> None:
    error = annotated.error("query ($id: ID!) { node(id: $id) { id } }", {"id": id})
    assert (error["code"], error.get("value", "")) == ("BAD_ID", id)
    types = "Callset, EnformerTrack, Gene, HBDSegment, IBDRun, IBDSegment, Load, Metacell, Population, Release, Sample, Transcript, Variant, VariantCluster"
    assert error["hint"] == f"Ids come from the field id; types are {types}."


# ---- genes


@pytest.mark.parametrize(
    "name", ["SIRPA", "sirpa", " Sirpa ", "ENSG00000198053", "ENSG00000198053.7", "ensg00000198053.99", "Gene:ENSG00000198053"]
)
def test_a_gene_has_its_symbol_and_its_identifier_with_or_without_version(annotated: Api, name: str) -> None:
    assert annotated.data("query ($id: String!) { gene(id: $id) { geneId } }", {"id": name}) == {"gene": {"geneId": "ENSG00000198053"}}
    found = annotated.data("query ($ids: [String!]) { genes(ids: $ids) { nodes { geneId } } }", {"ids": [name]})
    assert found == {"genes": {"nodes": [{"geneId": "ENSG00000198053"}]}}


def test_a_symbol_of_several_genes_is_ambiguous(annotated: Api) -> None:
    for query in ('{ gene(id: "y_rna") { id } }', '{ variants(gene: "y_rna") { nodes { id } } }'):
        error = annotated.error(query)
        assert (error["code"], error["value"]) == ("AMBIGUOUS_NAME", "y_rna")
        assert "ENSG00000201770" in error["message"]
        assert "ENSG00000202078" in error["message"]
    found = annotated.data('{ genes(ids: ["Y_RNA"]) { nodes { geneId } totalCount } }')["genes"]
    assert found == {"nodes": [{"geneId": "ENSG00000201770"}, {"geneId": "ENSG00000202078"}], "totalCount": 2}


def test_an_unknown_gene_is_null_alone_and_an_error_as_a_place(annotated: Api) -> None:
    assert annotated.data('{ gene(id: "BRCA1") { id } genes(ids: ["BRCA1"]) { nodes { id } } }') == {"gene": None, "genes": {"nodes": []}}
    error = annotated.error('{ variants(gene: "BRCA1") { nodes { id } } }')
    assert (error["code"], error["value"], error["message"]) == ("UNKNOWN_GENE", "BRCA1", "No visible gene annotation has 'BRCA1'.")


@pytest.mark.parametrize(
    ("arguments", "symbols"),
    [
        ("", ["SIRPA", "Y_RNA", "PDYN", "Y_RNA", "MT-ND1"]),
        ('region: "20"', ["SIRPA", "Y_RNA", "PDYN", "Y_RNA"]),
        ('region: "chr20:1920540-1930000"', ["SIRPA"]),
        ('region: "20:1920541-1930000"', []),
        ('region: "20:1920541-1930001"', ["Y_RNA"]),
        ('region: "20:1900000"', ["SIRPA"]),
        ('region: "MT"', ["MT-ND1"]),
        ('biotype: ["misc_RNA"]', ["Y_RNA", "Y_RNA"]),
        ('biotype: ["misc_RNA"], region: "20:2300100-2400000"', ["Y_RNA"]),
        ('ids: ["pdyn", "ENSG00000198888.2", "nothing"]', ["PDYN", "MT-ND1"]),
        ('ids: []', []),
        ('ids: ["pdyn", "SIRPA"], region: "20:1950000-1960000"', ["PDYN"]),
    ],
)  # fmt: skip
def test_genes_by_region_biotype_and_names(annotated: Api, arguments: str, symbols: list[str]) -> None:
    found = annotated.data(f"{{ genes{f'({arguments})' if arguments else ''} {{ nodes {{ symbol }} }} }}")
    assert [gene["symbol"] for gene in found["genes"]["nodes"]] == symbols


@pytest.mark.parametrize("region", ["", "nope", "20:5-1", "20:0-5", "20:x-y", "99:1-5", "20:1-5-9", "20:99999999999-", ":1-5", "20:-5"])
def test_an_unknown_region_is_refused(demo: Api, region: str) -> None:
    for field in ("variants", "genes"):
        error = demo.error(f"query ($region: String) {{ {field}(region: $region) {{ nodes {{ id }} }} }}", {"region": region})
        assert error["code"] == "INVALID_NAME"
        assert len(error["message"]) > 10
        assert "hint" in error


# ---- search


@pytest.mark.parametrize(
    ("text", "first", "found"),
    [
        ("SIRPA", 10, ["SIRPA"]),
        ("sirpa", 10, ["SIRPA"]),
        ("sirp", 10, ["SIRPA", "SIRPD", "SIRPG", "SIRPB1", "SIRPB2", "SIRPG-AS1"]),
        ("SIRPG", 10, ["SIRPG", "SIRPG-AS1"]),
        ("SIRPG-", 10, ["SIRPG-AS1"]),
        ("SIRP", 2, ["SIRPA", "SIRPD"]),
        ("ENSG00000198053", 10, ["SIRPA"]),
        ("ENSG00000198053.7", 10, ["SIRPA"]),
        ("c20orf", 10, ["C20orf27", "C20orf141", "C20orf194", "C20orf202"]),
        ("20:1897442", 10, ["20-1897442-C-T"]),
        ("chr20:1897442", 10, ["20-1897442-C-T"]),
        ("20-1897442-C-T", 10, ["20-1897442-C-T"]),
        ("NC_000020.10:g.1897442C>T", 10, ["20-1897442-C-T"]),
        ("rs4813331", 1, ["20-1897442-C-T"]),
        ("  rs4813331 ", 1, ["20-1897442-C-T"]),
        ("", 10, []),
        ("   ", 10, []),
        ("rs", 10, ["RSPO4"]),  # a gene's symbol may begin so
        ("%", 10, []),
        ("SIRP%", 10, []),
        ("_IRPA", 10, []),
        ("' OR 1=1 --", 10, []),
        ("'; DROP TABLE gene; --", 10, []),
        ("\\", 10, []),
        ("no such gene", 10, []),
        ("\U0001f9ec", 10, []),
        ("20:5-1", 10, []),
        ("rs0", 10, []),
    ],
)  # fmt: skip
def test_search_finds_what_was_begun_to_be_typed(demo: Api, text: str, first: int, found: list[str]) -> None:
    assert search(demo, text, first) == found


@pytest.mark.parametrize("digits", ["4813331", "481333", "4813", "1", "99999999"])
def test_the_start_of_an_rsid_finds_those_that_begin_with_it_smallest_first(demo: Api, sites: list[Any], digits: str) -> None:
    numbers = sorted({int(i[2:]) for site in sites for i in site.ids if i.startswith("rs" + digits)}, key=lambda n: (n != int(digits), n))
    found = demo.data(SEARCH, {"text": "rs" + digits, "first": 20})["search"]
    variants = [one for one in found if one["__typename"] == "Variant"]
    assert len(variants) == min(20, len({s.name for s in sites if any(i.startswith("rs" + digits) for i in s.ids)}))
    for variant, number in zip(variants, numbers, strict=False):
        assert f"rs{number}" in variant["rsids"]


def test_search_of_a_region_gives_its_variants_in_order(demo: Api, sites: list[Any]) -> None:
    there = [site.name for site in sites if 1_897_000 <= site.pos <= 1_897_500]
    assert search(demo, "20:1897000-1897500", 100) == there
    assert search(demo, "20:1,897,000-1,897,500", 2) == there[:2]


@pytest.mark.parametrize(
    ("text", "first", "code"),
    [("x" * 201, 10, "TEXT_TOO_LONG"), ("S", 0, "BAD_PAGE"), ("S", 1001, "PAGE_TOO_LARGE"), ("S", -5, "BAD_PAGE")],
)
def test_a_search_that_is_too_much_is_refused(demo: Api, text: str, first: int, code: str) -> None:
    assert demo.error(SEARCH, {"text": text, "first": first})["code"] == code


# ---- names that ask for much


def test_a_change_of_millions_of_bases_is_refused_before_any_of_them_is_read(demo: Api) -> None:
    for name in ("20:g.1000000_3000000del", "NC_000020.10:1000000:2000000:", "20:g.1000001_1020000dup"):
        (found,) = resolve(demo, name)
        assert found["outcome"] == "INVALID"
        assert "at most 10,000" in found["reason"]


def test_a_deletion_of_unknown_bases_is_not_moved_through_them(demo: Api) -> None:
    (found,) = resolve(demo, "20-890000-NN-N")
    assert found["outcome"] == "NOT_FOUND"


def test_an_insertion_before_the_first_base_is_no_name(demo: Api) -> None:
    (found,) = resolve(demo, "NC_012920.1:0::A")
    assert found["outcome"] == "INVALID"


def test_indels_are_found_where_there_is_no_reference(own_annotated: str, serve: Serve, tmp_path: Path) -> None:
    rows = ("22\t100\t.\tAA\tA\t.\t.\t.", "22\t200\t.\tC\tCTT\t.\t.\t.")
    load_vcf(own_annotated, write_vcf(tmp_path / "x.vcf", *rows), dataset="other", version="1", unnormalized=True)
    for reference in ({}, {"reference": None}):
        api = serve(own_annotated, **reference)
        assert [one["variant"]["name"] for one in resolve(api, "22-100-AA-A", "22-200-C-CTT")] == ["22-100-AA-A", "22-200-C-CTT"]
