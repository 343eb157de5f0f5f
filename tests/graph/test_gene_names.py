"""Genes by what files call them: renamed between annotations, by alias, by another authority's identifier. Whichever way is asked, the answers agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from graph.app import Settings
from store.assembly import GRCH38
from store.genome import initialise
from tests.graph.api import Api
from tests.graph.cells import write_cells, write_gtf
from tests.graph.conftest import Clone
from tests.graph.loading import load_genes, load_metacells, load_v2f, load_vcf

FIRST = [
    ("ENSG00000000001.4", "OLDSYM"),
    ("ENSG00000000002.1", "BBB"),
    ("LOC3", "CCC", "C3", "Shared"),
    ("ENSG00000000004.1", "DDD", "BBB", "shared", "Four"),
]
SECOND = [("ENSG00000000001.5", "NEWSYM")]

NAMED = {
    "20-100-A-C": ("OLDSYM", "", "ENSG00000000001"),
    "20-110-A-C": ("newsym", "", "ENSG00000000001"),
    "20-120-A-C": ("c3", "", "LOC3"),
    "20-130-A-C": ("BBB", "", "ENSG00000000002"),  # a symbol goes before another gene's alias
    "20-140-A-C": ("OLDSYM", "ENSG00000000004", "ENSG00000000004"),  # an identifier before a symbol
    "20-150-A-C": ("FOUR", "ENSG00000000009", "ENSG00000000004"),  # an identifier that nobody has
    "20-160-A-C": ("nobody", "", None),
}
"""By variant the name and the identifier in a table of scores, and the gene that is meant."""

VEP = {
    "20-1000001-A-C": ("missense_variant", "1234", "NEWSYM", "ENSG00000000001"),  # as --refseq writes it
    "20-1000002-A-C": ("missense_variant", "1234", "OLDSYM", "ENSG00000000001"),
    "20-1000003-A-C": ("stop_gained", "79", "C3", "LOC3"),
    "20-1000004-A-C": ("intron_variant", "ENSG00000000002", "DDD", "ENSG00000000002"),
    "20-1000005-A-C": ("synonymous_variant", "", "DDD", "ENSG00000000004"),
    "20-1000006-A-C": ("missense_variant", "5", "nobody", None),
    "20-1000007-A-C": ("downstream_gene_variant", "79", "CCC", "LOC3"),
    "20-1000008-A-C": ("upstream_gene_variant&intron_variant", "79", "CCC", "LOC3"),
    "20-1000009-A-C": ("intergenic_variant", "", "", None),
}
"""By variant the terms, Gene and SYMBOL of a consequence, and the gene that is meant."""

OF = {
    "OLDSYM": "ENSG00000000001",
    "NewSym": "ENSG00000000001",
    "c3": "LOC3",
    "BBB": "ENSG00000000002",
    "ENSG00000000004": "ENSG00000000004",
    "FOUR": "ENSG00000000004",
    "nobody": None,
}
"""Genes as the metacells call them, and those that are meant."""

GENES = sorted({gene for gene in OF.values() if gene})


def write_variants(path: Path) -> Path:
    """The variants of NAMED and VEP, with the consequences."""
    lines = [
        "##fileformat=VCFv4.2", "##reference=GRCh38",
        '##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequence annotations from Ensembl VEP. Format: Allele|Consequence|IMPACT|SYMBOL|Gene|Feature_type|Feature|BIOTYPE">',
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
    ]  # fmt: skip
    for name in (*NAMED, *VEP):
        chrom, pos, ref, alt = name.split("-")
        said = "."
        if name in VEP:
            terms, gene, symbol, _ = VEP[name]
            said = f"CSQ={alt}|{terms}|MODIFIER|{symbol}|{gene}|Transcript|NM_{pos}|protein_coding"
        lines.append("\t".join([chrom, pos, ".", ref, alt, ".", ".", said]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def api(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A store of two annotations, of which the second has renamed a gene."""
    folder = tmp_path_factory.mktemp("names")
    table = "".join(f"{variant}\t{n}\t{gene}\t{identifier}\n" for n, (variant, (gene, identifier, _)) in enumerate(NAMED.items(), 1))
    (folder / "t.tsv").write_text("variant\tscore\tgene\tgene_id\n" + table)
    with clone("vkg_template") as url:
        with psycopg.connect(url, autocommit=True) as conn:
            initialise(conn, GRCH38)
        load_vcf(url, write_variants(folder / "v.vcf"), dataset="v", unnormalized=True)
        for name, rows in (("first", FIRST), ("second", SECOND)):
            load_genes(url, write_gtf(folder / f"{name}.gtf", rows), dataset=name, assembly="GRCh38")
        load_v2f(url, folder / "t.tsv", source="table", dataset="t", assembly="GRCh38", unnormalized=True)
        load_metacells(url, write_cells(folder / "c.h5ad", [(name, None) for name in OF]), dataset="c")
        with Api(Settings(url=url, assembly=GRCH38, pool_size=2)) as api:
            yield api


def variants(api: Api, fields: str) -> dict[str, Any]:
    """By name what is asked of each variant."""
    return {node["name"]: node for node in api.data(f"{{ variants(first: 20) {{ nodes {{ name {fields} }} }} }}")["variants"]["nodes"]}


def test_a_gene_has_what_scores_say_of_it_by_any_symbol_that_an_annotation_gives_it(api: Api) -> None:
    nodes = variants(api, "v2fScores { nodes { targetGene { geneId symbol } } }")
    targets = {name: nodes[name]["v2fScores"]["nodes"][0]["targetGene"] for name in NAMED}
    assert {name: gene and gene["geneId"] for name, gene in targets.items()} == {name: gene for name, (*_, gene) in NAMED.items()}
    assert {gene["symbol"] for gene in targets.values() if gene and gene["geneId"] == "ENSG00000000001"} == {"NEWSYM"}
    for gene in GENES:
        of_gene = f'gene(id: "{gene}") {{ v2fVariants {{ totalCount nodes {{ name }} }} }}'
        found = api.data(f'{{ {of_gene} v2fVariants(gene: "{gene}") {{ nodes {{ name }} }} }}')
        meant = [name for name, (*_, of) in NAMED.items() if of == gene]
        assert found["gene"]["v2fVariants"] == {"totalCount": len(meant), "nodes": [{"name": name} for name in meant]}
        assert found["v2fVariants"]["nodes"] == [{"name": name} for name in meant]


def test_a_gene_has_what_cells_express_of_it_by_any_symbol_that_an_annotation_gives_it(api: Api) -> None:
    names = list(OF)
    query = "query ($genes: [String!]!) { metacells(first: 1) { nodes { expression(genes: $genes) { geneName gene { geneId } } } } }"
    rows = api.data(query, {"genes": names})["metacells"]["nodes"][0]["expression"]
    assert {row["geneName"]: row["gene"] and row["gene"]["geneId"] for row in rows} == OF
    for gene in GENES:
        found = api.data(f'{{ gene(id: "{gene}") {{ expression {{ totalCount nodes {{ geneName }} }} }} }}')["gene"]["expression"]
        assert {row["geneName"] for row in found["nodes"]} == {name for name, of in OF.items() if of == gene}
        assert found["totalCount"] == 3 * len({row["geneName"] for row in found["nodes"]})


def test_cells_of_a_variant_are_those_of_its_target_genes_one_row_for_each(api: Api) -> None:
    """Two names of a gene in one dataset are one gene: the identifier before the symbol before another name."""
    nodes = variants(
        api, "cellContext(minExpression: 0, first: 20) { geneName gene { geneId } scoreCount metacell { name } evidence { kind } }"
    )
    best = {"ENSG00000000001": "NewSym", "LOC3": "c3", "ENSG00000000002": "BBB", "ENSG00000000004": "ENSG00000000004"}
    for name, (*_, gene) in NAMED.items():
        cells = nodes[name]["cellContext"]
        assert {row["gene"]["geneId"] for row in cells} == ({gene} if gene else set())
        assert {row["geneName"] for row in cells} == ({best[gene]} if gene else set())
        assert len({row["metacell"]["name"] for row in cells}) == len(cells) == (3 if gene else 0)
        assert all((row["scoreCount"], row["evidence"]) == (1, [{"kind": "V2F"}]) for row in cells)


def test_a_consequence_is_for_a_gene_by_identifier_then_symbol_then_alias(api: Api) -> None:
    fields = """consequences { gene { geneId } geneId symbol } consequenceGenes { nodes { geneId } }
        cellContext(minExpression: 0, first: 20) { gene { geneId } evidence { kind consequence { terms gene { geneId } } } }"""
    nodes = variants(api, fields)
    for name, (terms, identifier, symbol, gene) in VEP.items():
        (consequence,) = nodes[name]["consequences"]
        assert consequence == {"gene": gene and {"geneId": gene}, "geneId": identifier or None, "symbol": symbol or None}
        assert nodes[name]["consequenceGenes"]["nodes"] == ([{"geneId": gene}] if gene else [])
        said = {
            (row["gene"]["geneId"], *e["consequence"]["terms"])
            for row in nodes[name]["cellContext"]
            for e in row["evidence"]
            if e["kind"] == "CONSEQUENCE"
        }
        beside = terms == "downstream_gene_variant"
        assert said == ({(gene, *terms.split("&"))} if gene and not beside else set()), name


def test_scores_are_asked_for_by_any_name_of_the_gene_that_is_meant(api: Api) -> None:
    query = "query ($gene: [String!]) { variants(first: 100) { nodes { name v2fScores(gene: $gene) { totalCount } } } }"
    for asked, meant in {
        "ENSG00000000001.77": ["20-100-A-C", "20-110-A-C"],
        "NEWSYM": ["20-100-A-C", "20-110-A-C"],
        "oldsym": ["20-100-A-C", "20-110-A-C", "20-140-A-C"],  # the last is about DDD, and the source says OLDSYM
        "CCC": ["20-120-A-C"],
        "LOC3": ["20-120-A-C"],
        "C3": ["20-120-A-C"],
        "DDD": ["20-140-A-C", "20-150-A-C"],
        "ENSG00000000009": ["20-150-A-C"],
        "bbb": ["20-130-A-C"],
        "nobody": ["20-160-A-C"],
        "EEE": [],
    }.items():
        found = api.data(query, {"gene": [asked]})["variants"]["nodes"]
        assert [node["name"] for node in found if node["v2fScores"]["totalCount"]] == meant, asked


@pytest.mark.parametrize(
    ("name", "gene"),
    [
        ("c3", "LOC3"),
        ("four", "ENSG00000000004"),
        ("BBB", "ENSG00000000002"),
        ("OLDSYM", "ENSG00000000001"),
        ("newsym", "ENSG00000000001"),
        ("ENSG00000000001.2", "ENSG00000000001"),
    ],
)
def test_what_takes_a_gene_takes_its_other_names(api: Api, name: str, gene: str) -> None:
    query = """query ($gene: String!) { gene(id: $gene) { geneId } variants(gene: $gene) { nodes { name } } v2fVariants(gene: $gene) { nodes { name } }
        expressionAlteringVariants(gene: $gene, tissue: LIVER) { totalCount } }"""
    found = api.data(query, {"gene": name})
    assert found["gene"] == {"geneId": gene}
    assert found == api.data(query, {"gene": gene})


def test_a_name_of_two_genes_is_ambiguous_and_one_of_none_unknown(api: Api) -> None:
    for query in ('gene(id: "%s") { symbol }', 'variants(gene: "%s") { totalCount }', 'v2fVariants(gene: "%s") { totalCount }'):
        error = api.error(f"{{ {query % 'SHARED'} }}")
        assert error["code"] == "AMBIGUOUS_NAME"
        assert {"LOC3", "ENSG00000000004"} <= set(error["message"].replace(".", "").replace(",", "").split())
    assert api.data('{ gene(id: "C33") { symbol } }') == {"gene": None}
    assert api.error('{ variants(gene: "C33") { totalCount } }')["code"] == "UNKNOWN_GENE"


# ---- many


def test_more_genes_than_a_page_has_are_all_told(clone: Clone, tmp_path: Path) -> None:
    genes = [f"GENE{n:03}" for n in range(120)]
    with clone("vkg_template") as url:
        with psycopg.connect(url, autocommit=True) as conn:
            initialise(conn, GRCH38)
        load_metacells(url, write_cells(tmp_path / "c.h5ad", [(name, None) for name in genes]), dataset="c")
        with Api(Settings(url=url, assembly=GRCH38, pool_size=2)) as api:
            query = "query ($genes: [String!]!) { metacells { nodes { expression(genes: $genes) { geneName } } } }"
            for some in (genes, genes[:51], genes[:52]):
                found = api.data(query, {"genes": some[::-1]})["metacells"]["nodes"]
                assert [[row["geneName"] for row in node["expression"]] for node in found] == [some] * 3


def test_of_many_scores_the_ten_best_are_evidence_and_all_are_counted(clone: Clone, tmp_path: Path) -> None:
    """Of two loads, the latest first."""
    scores = {"older": [n / 100 for n in range(90, 97)], "newer": [n / 100 for n in range(50, 58)]}
    with clone("vkg_template") as url:
        with psycopg.connect(url, autocommit=True) as conn:
            initialise(conn, GRCH38)
        (tmp_path / "v.vcf").write_text(
            "##fileformat=VCFv4.2\n##reference=GRCh38\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n20\t100\t.\tA\tC\t.\t.\t.\n"
        )
        load_vcf(url, tmp_path / "v.vcf", dataset="v", unnormalized=True)
        load_genes(url, write_gtf(tmp_path / "g.gtf", FIRST), dataset="g", assembly="GRCh38")
        load_metacells(url, write_cells(tmp_path / "c.h5ad", [("BBB", None)]), dataset="c")
        for dataset, values in scores.items():
            path = tmp_path / f"{dataset}.tsv"
            rows = "".join(
                f"20\t{90 - n}\t120\tBBB\tNA\t{value}\n" for n, value in enumerate([*values, 0.001])
            )  # the last is below the threshold
            path.write_text("chr\tstart\tend\tTargetGene\tTargetGeneEnsembl_ID\tABC.Score\n" + rows)
            load_v2f(url, path, source="abc", dataset=dataset, assembly="GRCh38")
        with Api(Settings(url=url, assembly=GRCH38, pool_size=2)) as api:
            query = (
                '{ variant(id: "20-100-A-C") { cellContext(minExpression: 0) { scoreCount evidence { kind v2fScore { linkScore } } } } }'
            )
            rows = api.data(query)["variant"]["cellContext"]
            assert rows
            for row in rows:
                assert row["scoreCount"] == 15
                assert {each["kind"] for each in row["evidence"]} == {"V2F"}
                assert [each["v2fScore"]["linkScore"] for each in row["evidence"]] == (
                    sorted(scores["newer"])[::-1] + sorted(scores["older"])[::-1]
                )[:10]
