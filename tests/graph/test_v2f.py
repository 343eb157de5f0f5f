"""Variant-to-function over HTTP: real links and scores against intervals overlapped here, ways of matching, variants of a gene."""

from __future__ import annotations

import csv
import functools
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from graph.app import Settings
from store.assembly import GRCH38
from store.genome import initialise
from tests.conftest import REAL
from tests.graph.api import Api
from tests.graph.loading import load_genes, load_v2f, load_vcf

FILES = [
    ("chr22_grch38/abc.K562_chr22.EnhancerPredictionsFull_threshold0.027_self_promoter.tsv.gz", "abc", "ABC.Score", 0.027),
    ("chr22_grch38/encode_re2g.K562_chr22.threshold0.243.tsv.gz", "encode-re2g", "ENCODE-rE2G.Score", 0.243),
    ("chr22_grch38/encode_re2g.ENCFF617FJH.MCF-7.chr22.hg38.bed.gz", "encode-re2g", "Score", 0.243),
    ("chr20_grch38/encode_re2g.ENCFF617FJH.MCF-7.chr20.hg38.bed.gz", "encode-re2g", "Score", 0.243),
    ("chr22_grch38/sce2g.K562_cluster1_chr22p.multiome_powerlaw_v3.threshold0.177.tsv.gz", "sce2g", "E2G.Score.qnorm", 0.177),
    ("chr22_grch38/epiraction.ENCFF712SUP.chr22.hg38.bed.gz", "epiraction", "Score", 0),
    ("chr20_grch38/epiraction.ENCFF712SUP.chr20.hg38.bed.gz", "epiraction", "Score", 0),
]
CV2F = "genome_wide/fungen_ad_cv2f.hg38.dey_lab_layout.cv2f.txt"
VCFS = ["chr22_grch38/kg3202.COMT.chr22.grch38.phased.vcf.gz", "chr22_grch38/kg3202.CYP2D6.chr22.grch38.phased.vcf.gz"]
LIFTED = "chr20_grch38/kg300_eur.chr20_1-4mb.grch38.lifted.phased.vcf.gz"
GENES = [
    "chr22_grch38/genes.chr22_19.8-21.1mb.grch38.refgene_derived.gtf.gz",
    "chr20_grch38/genes.chr20_0.9-4.1mb.grch38.refgene_derived.gtf.gz",
]
COMT_ROWS = [212, 209, 372, 0, 48, 546, 0]
"""Links, by file, that the variants of the COMT file lie in."""

Row = tuple[str, str, str, str, float, str, str]
"""Variant, source, gene, cell type, score, element, matchedBy."""


def links_of(name: str, source: str, column: str) -> list[tuple[str, int, int, str, str, float, str]]:
    """(chromosome, 0-based start, end, symbol, cell type, score, identifier) of each line of a file, as it stands there."""
    text = gzip.decompress((REAL / name).read_bytes()).decode()
    return [
        (
            (row.get("chr") or row["#chr"])[3:], int(row["start"]), int(row["end"]), row["TargetGene"], row["CellType"], float(row[column]),
            row.get("TargetGeneEnsembl_ID") or row["TargetGeneEnsemblID"],
        )
        for row in csv.DictReader(text.splitlines(), delimiter="\t")
    ]  # fmt: skip


def variants_of(name: str) -> list[tuple[str, int, str, str]]:
    """(chromosome, position, REF, ALT) of the records of a file, which have one ALT each, and no base too many."""
    lines = (line.split("\t", 5) for line in gzip.decompress((REAL / name).read_bytes()).decode().splitlines() if line[0] != "#")
    return [(chrom.removeprefix("chr"), int(pos), ref, alt) for chrom, pos, _, ref, alt, _ in lines]


def overlaps(variant: tuple[str, int, str, str], link: tuple) -> bool:
    chrom, pos, ref, _ = variant
    return chrom == link[0] and pos - 1 < link[2] and pos - 1 + len(ref) > link[1]


@functools.cache
def expected_rows(vcf: str, place: int) -> list[Row]:
    """What the variants of a VCF are told of the links of a file."""
    name, source, column, _ = FILES[place]
    links = links_of(name, source, column)
    return sorted(
        ("-".join(map(str, v)), source.upper().replace("-", "_"), gene, cell, score, f"{chrom}:{start + 1}-{end}", "OVERLAP")
        for v in variants_of(vcf)
        for chrom, start, end, gene, cell, score, _ in (link for link in links if overlaps(v, link))
    )


QUERY = """query ($region: String!, $source: [V2FSource!], $all: Boolean!, $after: String) { variants(region: $region, first: 1000, after: $after) {
    nodes { name v2fScores(first: 40, source: $source, belowThreshold: $all) { pageInfo { hasNextPage } nodes {
        source score linkScore threshold aboveThreshold geneName cellType element matchedBy targetGene { symbol } } } }
    pageInfo { hasNextPage endCursor } } }"""


def rows(api: Api, region: str, sources: list[str] | None = None, everything: bool = True) -> list[dict[str, Any]]:
    """The rows of v2fScores of all variants of a region, each with the variant's name."""
    found, after = [], None
    while True:
        page = api.data(QUERY, {"region": region, "source": sources, "all": everything, "after": after})["variants"]
        for node in page["nodes"]:
            assert not node["v2fScores"]["pageInfo"]["hasNextPage"]
            found += [{"variant": node["name"], **row} for row in node["v2fScores"]["nodes"]]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


def links(found: list[dict[str, Any]]) -> list[Row]:
    wanted = ("variant", "source", "geneName", "cellType", "linkScore", "element", "matchedBy")
    return sorted(tuple(row[name] for name in wanted) for row in found if row["linkScore"] is not None)  # type: ignore[misc]


def load_everything(url: str, scores_first: bool) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        initialise(conn, GRCH38)

    def scores() -> None:
        for place, (name, source, *_) in enumerate(FILES):
            load_v2f(url, REAL / name, source=source, dataset=f"links{place}", assembly="GRCh38")
        load_v2f(url, REAL / CV2F, source="cv2f", dataset="cv2f", assembly="GRCh38")

    if scores_first:
        scores()
    for place, name in enumerate([*VCFS, LIFTED]):
        load_vcf(url, REAL / name, dataset=f"vcf{place}", assembly="GRCh38", sites_only=True, unnormalized=True)
    for place, name in enumerate(GENES):
        load_genes(url, REAL / name, dataset=f"genes{place}", assembly="GRCh38")
    if not scores_first:
        scores()


def served(url: str) -> Settings:
    return Settings(url=url, assembly=GRCH38, pool_size=2)


@pytest.fixture(scope="module")
def before(clone: Any) -> Iterator[Api]:
    """The real files, scores loaded before variants and genes."""
    with clone("vkg_template") as url:
        load_everything(url, scores_first=True)
        with Api(served(url)) as api:
            yield api


@pytest.fixture(scope="module")
def after(clone: Any) -> Iterator[Api]:
    """The real files, scores loaded after variants and genes."""
    with clone("vkg_template") as url:
        load_everything(url, scores_first=False)
        with Api(served(url)) as api:
            yield api


COMT, CYP2D6 = "22:19900000-20000000", "22:42100000-42200000"


@pytest.mark.requires_real
def test_links_are_those_of_the_elements_that_a_variant_lies_in(after: Api) -> None:
    found = rows(after, COMT)
    assert [len(expected_rows(VCFS[0], place)) for place in range(len(FILES))] == COMT_ROWS
    for source in ("ABC", "ENCODE_RE2G", "SCE2G", "EPIRACTION"):
        expected = sorted(row for place in range(len(FILES)) for row in expected_rows(VCFS[0], place) if row[1] == source)
        assert links([row for row in found if row["source"] == source]) == expected
        assert links(rows(after, COMT, [source])) == expected
    assert links(rows(after, CYP2D6)) == sorted(row for place in range(len(FILES)) for row in expected_rows(VCFS[1], place))
    # The lifted variants, in the stretch where most of that chromosome's links are.
    stretch = [row for place in (3, 6) for row in expected_rows(LIFTED, place) if 1_000_000 <= int(row[0].split("-")[1]) <= 2_000_000]
    assert stretch
    assert links(rows(after, "20:1000000-2000000")) == sorted(stretch)


@pytest.mark.requires_real
def test_each_source_has_its_own_threshold(after: Api) -> None:
    cut = {source.upper().replace("-", "_"): least for _, source, _, least in FILES}
    everything = rows(after, COMT)
    assert rows(after, COMT, everything=False) == [row for row in everything if row["linkScore"] >= cut[row["source"]]]
    for row in everything:
        assert row["threshold"] == (cut[row["source"]] or None)
        assert row["aboveThreshold"] == (row["linkScore"] >= cut[row["source"]] if row["threshold"] else None)
    assert any(row["aboveThreshold"] is False for row in everything)


@pytest.mark.requires_real
def test_from_variants_to_genes_takes_as_many_statements_for_many_as_for_one(after: Api) -> None:
    """Variants, their scores, the target genes, the variants of these, and the loads: one statement each, four levels deep."""
    query = """query ($first: Int!) { variants(region: "22:19930000-19990000", first: $first) { nodes { v2fScores(first: 3) { nodes { score linkScore load { dataset }
        targetGene { symbol v2fVariants(first: 2) { nodes { name } } } } } } } }"""
    one, many = (after.cost(query, {"first": first}) for first in (1, 500))
    assert one["statements"] <= many["statements"] == 5
    found = [score for row in after.data(query, {"first": 500})["variants"]["nodes"] for score in row["v2fScores"]["nodes"]]
    assert sum(bool(score["targetGene"] and score["targetGene"]["v2fVariants"]["nodes"]) for score in found) > 100


def test_the_order_of_loads_does_not_matter(before: Api, after: Api) -> None:
    for region in (COMT, CYP2D6, "20:1900000-2000000"):
        one, other = (sorted(map(repr, rows(api, region))) for api in (before, after))
        assert one == other
        assert one
    query = '{ v2fVariants(gene: "COMT", first: 1000) { totalCount nodes { name } } }'
    assert before.data(query) == after.data(query)


@pytest.mark.requires_real
def test_real_cv2f_matches_by_rsid(after: Api) -> None:
    lines = [line.split("\t") for line in (REAL / CV2F).read_text().splitlines()[1:]]
    scores = {(int(pos), rsid): float(score) for chrom, pos, rsid, _, score in lines if chrom == "20"}
    ids = {}
    for line in gzip.decompress((REAL / LIFTED).read_bytes()).decode().splitlines():
        if line[0] != "#":
            _, pos, rsid, ref, alt, _ = line.split("\t", 5)
            if (int(pos), rsid) in scores:
                ids[f"20-{pos}-{ref}-{alt}"] = scores[int(pos), rsid]
    found = [row for row in rows(after, "20:1019583-4019202", ["CV2F"]) if row["score"] is not None]
    assert {row["variant"]: row["score"] for row in found} == ids
    assert {row["matchedBy"] for row in found} == {"RSID"}
    assert ids


GENE = """query ($gene: String!, $source: [V2FSource!], $least: Float, $cell: [String!]) {
    gene(id: $gene) { v2fVariants(first: 1000, source: $source, minScore: $least, cellType: $cell) { totalCount nodes { name } } }
    v2fVariants(first: 1000, gene: $gene, source: $source, minScore: $least, cellType: $cell) { totalCount nodes { name } } }"""


def of_gene(api: Api, gene: str, **asked: Any) -> list[str]:
    """The variants of a gene, by either way of asking, which agree."""
    data = api.data(GENE, {"gene": gene, **asked})
    assert data["gene"]["v2fVariants"] == data["v2fVariants"]
    names = [node["name"] for node in data["v2fVariants"]["nodes"]]
    assert data["v2fVariants"]["totalCount"] == len(names)
    return names


@pytest.mark.requires_real
def test_variants_of_a_gene_are_those_in_its_elements(after: Api) -> None:
    variants = [v for name in VCFS for v in variants_of(name)]
    linked = [(link, source, least) for name, source, column, least in FILES for link in links_of(name, source, column)]
    for gene, identifier in (
        ("COMT", "ENSG00000093010"),
        ("TXNRD2", "ENSG00000184470"),
        ("ARVCF", "ENSG00000099889"),
        ("GNB1L", "ENSG00000185838"),
    ):
        for asked in (
            {},
            {"source": ["ABC"]},
            {"source": ["EPIRACTION"], "least": 0.05},
            {"source": ["ENCODE_RE2G"], "cell": ["MCF-7"], "least": 0},
        ):
            mine = [
                link
                for link, source, threshold in linked
                if link[6] == identifier and link[5] >= asked.get("least", threshold)
                and ("source" not in asked or source.upper().replace("-", "_") in asked["source"]) and link[4] in asked.get("cell", [link[4]])
            ]  # fmt: skip
            expected = ["-".join(map(str, v)) for v in variants if any(overlaps(v, link) for link in mine)]
            assert sorted(of_gene(after, gene, **asked)) == sorted(expected)
            assert expected or gene != "COMT"


# ---- literal files


@pytest.fixture
def store(clone: Any) -> Iterator[str]:
    """URL of an empty store of GRCh38."""
    with clone("vkg_template") as url:
        with psycopg.connect(url, autocommit=True) as conn:
            initialise(conn, GRCH38)
        yield url


def vcf(path: Path, *records: str) -> Path:
    """Writes a VCF of records such as "20 100 rs1 A G"."""
    head = "##fileformat=VCFv4.2\n##reference=GRCh38\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    path.write_text(head + "".join("\t".join([*record.split(" "), ".", ".", "."]) + "\n" for record in records))
    return path


def test_scores_of_positions_are_about_the_variant_with_their_rsid_else_about_the_only_snv(store: str, tmp_path: Path) -> None:
    load_vcf(
        store,
        vcf(
            tmp_path / "v.vcf", "20 100 rs1 A G", "20 100 rs2 A C", "20 200 . A G", "20 300 . A G", "20 300 . A C", "20 400 rs4 A G", "20 400 rs4 A C",
            "20 500 rs5 A G", "20 500 . AT A", "20 600 rs66 A G", "20 700 rs7 A G", "20 800 rs8 AT A", "20 900 . AT A",
        ),
        unnormalized=True,
    )  # fmt: skip
    cv2f = [
        "100\trs1",
        "100\trs2",
        "100\trs9",
        "200\trs20",
        "300\trs30",
        "400\trs4",
        "500\trs50",
        "600\trs6",
        "700\t.",
        "800\trs8",
        "900\t.",
    ]
    path = tmp_path / "some.cv2f.txt"
    path.write_text("CHR\tBP\tSNP\tcV2F\n" + "".join(f"20\t{row}\t0.{n:02}\n" for n, row in enumerate(cv2f)))
    load_v2f(store, path, source="cv2f", assembly="GRCh38")
    with Api(served(store)) as api:
        found = [(row["variant"], row["score"], row["matchedBy"]) for row in rows(api, "20", ["CV2F"])]
    assert found == [
        ("20-100-A-C", 0.01, "RSID"),
        ("20-100-A-G", 0.0, "RSID"),
        ("20-200-A-G", 0.03, "POSITION"),  # the variant has no rsID
        ("20-400-A-C", 0.05, "RSID"),
        ("20-400-A-G", 0.05, "RSID"),
        ("20-700-A-G", 0.08, "POSITION"),  # the source has no rsID
        ("20-800-AT-A", 0.09, "RSID"),
    ]


TABLE = "variant\tscore\tgene\tgene_id\tcell_type\tpercentile\tevidence\tcomponent:ATAC\n"


def test_tables_name_alleles_and_lead_to_their_variant_alone(store: str, tmp_path: Path) -> None:
    gtf = tmp_path / "g.gtf"
    gtf.write_text(
        '20\tx\tgene\t1\t9\t.\t+\t.\tgene_id "ENSG00000000001"; gene_name "AL049634.2";\n20\tx\tgene\t20\t29\t.\t+\t.\tgene_id "B"; gene_name "B";\n'
    )
    load_genes(store, gtf, assembly="GRCh38")
    load_vcf(store, vcf(tmp_path / "v.vcf", "20 98 . AAAA A", "20 100 rs1 A G", "20 100 rs2 A C", "20 100 . A T"), unnormalized=True)
    path = tmp_path / "mine.tsv"
    path.write_text(
        f"# synthetic\n{TABLE}20-100-A-G\t-3\tal049634.2\t\tT cell\t10\teQTL;Hi-C\t1.5\n20-100-A-T\t7\tB\tENSG00000000001\t\t\t\t\n"
    )
    load_v2f(store, path, source="table", score_version="2", assembly="GRCh38")
    fields = "source scoreVersion synthetic score linkScore percentile matchedBy geneName cellType evidence components element targetGene { geneId }"
    with Api(served(store)) as api:
        query = '{ variants(region: "20") { nodes { name v2fScores { nodes { %s } } } } }'
        nodes = {n["name"]: n["v2fScores"]["nodes"] for n in api.data(query % fields)["variants"]["nodes"]}
        assert [len(nodes[f"20-{name}"]) for name in ("98-AAAA-A", "100-A-G", "100-A-C", "100-A-T")] == [0, 1, 0, 1]
        assert nodes["20-100-A-G"] == [
            {
                "source": "TABLE", "scoreVersion": "2", "synthetic": True, "score": -3, "linkScore": None, "percentile": 10, "matchedBy": "ALLELES",
                "geneName": "al049634.2", "cellType": "T cell", "evidence": ["eQTL", "Hi-C"], "components": {"ATAC": 1.5}, "element": None,
                "targetGene": {"geneId": "ENSG00000000001"},
            }
        ]  # fmt: skip
        # An identifier that the annotation has goes before a symbol.
        assert nodes["20-100-A-T"][0]["targetGene"] == {"geneId": "ENSG00000000001"}
        assert of_gene(api, "AL049634.2") == ["20-100-A-G", "20-100-A-T"]
        assert of_gene(api, "B") == []
        for name, count in (("AL049634.2", 2), ("ENSG00000000001.4", 2), ("b", 1), ("x", 0)):
            query = f'{{ variants(region: "20") {{ nodes {{ v2fScores(gene: ["{name}"]) {{ totalCount }} }} }} }}'
            assert sum(node["v2fScores"]["totalCount"] for node in api.data(query)["variants"]["nodes"]) == count


def test_variants_of_a_gene_may_begin_before_its_elements(store: str, tmp_path: Path) -> None:
    gtf = tmp_path / "g.gtf"
    gtf.write_text('20\tx\tgene\t1\t9\t.\t+\t.\tgene_id "ENSG00000000001"; gene_name "A";\n')
    load_genes(store, gtf, assembly="GRCh38")
    long = "A" * 5001
    records = [
        "20 9000 . A G",
        f"20 5000 . {long} A",
        f"20 4999 . {long} A",
        "20 9998 . AAA A",
        "20 9998 . AA A",
        "20 10000 . A G",
        "20 10009 . A AT",
        "20 10010 . A G",
        "20 20005 . A G",
    ]
    load_vcf(store, vcf(tmp_path / "v.vcf", *sorted(records, key=lambda r: int(r.split()[1]))), unnormalized=True)
    path = tmp_path / "e.tsv"
    links = ["9999\t10009\tA\tNA", "9990\t10005\tother\tENSG00000000001.7", "20000\t20010\tA\tENSG00000000002", "30000\t30010\tB\tNA"]
    path.write_text(
        "chr\tstart\tend\tTargetGene\tTargetGeneEnsembl_ID\tABC.Score\n" + "".join(f"20\t{row}\t0.{n + 1}\n" for n, row in enumerate(links))
    )
    load_v2f(store, path, source="abc", assembly="GRCh38")
    with Api(served(store)) as api:
        # The third link names an identifier that no annotation has, and a symbol that one has.
        named = ["20-5000-" + long + "-A", "20-9998-AA-A", "20-9998-AAA-A", "20-10000-A-G", "20-10009-A-AT", "20-20005-A-G"]
        assert sorted(of_gene(api, "A")) == sorted([*named, "20-4999-" + long + "-A"])
        assert sorted(of_gene(api, "A", source=["ABC"], least=0.25)) == ["20-20005-A-G"]
        assert {row["variant"] for row in rows(api, "20")} == set(of_gene(api, "A"))
        pages, cursor = [], None
        for _ in range(9):
            query = 'query ($after: String) { v2fVariants(gene: "a", first: 2, after: $after) { nodes { name } pageInfo { hasNextPage endCursor } } }'
            page = api.data(query, {"after": cursor})["v2fVariants"]
            pages += [node["name"] for node in page["nodes"]]
            cursor = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        assert pages == of_gene(api, "A")


@pytest.mark.parametrize("sources", ["cellType: []", "source: [ABC, CV2F]"])
def test_a_least_score_needs_one_source(store: str, tmp_path: Path, sources: str) -> None:
    load_vcf(store, vcf(tmp_path / "v.vcf", "20 100 rs1 A G"))
    with Api(served(store)) as api:
        of_variants = "{ variants { nodes { v2fScores(minScore: 0.5, %s) { totalCount } } } }"
        of_a_gene = '{ v2fVariants(gene: "A", minScore: 0.5, %s) { totalCount } }'
        assert {api.error(query % sources)["code"] for query in (of_variants, of_a_gene)} == {"SOURCE_NEEDED"}
        assert api.error('{ v2fVariants(gene: "nobody") { totalCount } }')["code"] == "UNKNOWN_GENE"


def test_scores_of_one_line_that_are_alike_are_on_pages_of_their_own(store: str, tmp_path: Path) -> None:
    load_vcf(store, vcf(tmp_path / "v.vcf", "20 100 rs1 A G"))
    path = tmp_path / "some.cv2f.txt"
    path.write_text("CHR\tBP\tSNP\tLiver.cV2F\tBlood.cV2F\n20\t100\trs1\t0.5\t0.5\n")
    load_v2f(store, path, source="cv2f", assembly="GRCh38")
    with Api(served(store)) as api:
        query = 'query ($after: String) { variant(id: "rs1") { v2fScores(first: 1, after: $after) { nodes { tissue } pageInfo { endCursor } } } }'
        first = api.data(query)["variant"]["v2fScores"]
        second = api.data(query, {"after": first["pageInfo"]["endCursor"]})["variant"]["v2fScores"]
    assert {first["nodes"][0]["tissue"], second["nodes"][0]["tissue"]} == {"Liver", "Blood"}
