"""Variants that methods say act on a gene which a cell type expresses, against overlaps worked out here, on files made here and on real ones."""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
import pytest

from graph.app import Settings
from store.assembly import GRCH38
from store.genome import initialise
from store.variant_key import encode_one
from tests.conftest import REAL
from tests.graph.api import OF_PAGE, PAGE, WINDOW, Api
from tests.graph.cells import Annotation, Cells, Gene, copied, read_cells, read_gtf, write_cells
from tests.graph.conftest import DEMO, Clone, Site
from tests.graph.loading import load_genes, load_metacells, load_v2f, load_vcf
from tests.graph.segments import draws
from tests.graph.test_cell_context import ABC, read_elements

WINDOW_BASES = 1 << 22
"""Variants are looked for window by window of so many bases."""

CODES = {str(n): n for n in range(1, 23)} | {"X": 23, "Y": 24, "MT": 25}

Variant = tuple[str, int, str, str]

AFFECTING = f"""query ($cell: String!, $datasets: [String!], $source: [V2FSource!], $least: Float, $expressed: Float! = 0.5, $region: String,
    $filter: VariantFilter, {WINDOW}) {{
    page: variantsAffectingCellType(cellType: $cell, dataset: $datasets, source: $source, minV2f: $least, minExpression: $expressed, region: $region,
        filter: $filter, {PAGE}) {{ {OF_PAGE} edges {{ cursor node {{ name }} }} }} }}"""


@dataclass(frozen=True)
class Link:
    """An element, 1-based and inclusive, that is linked to a gene; of a table a variant by its name."""

    source: str
    score: float
    symbol: str
    identifier: str | None
    chrom: str = ""
    start: int = 0
    end: int = 0
    variant: str = ""

    def about(self, variant: Variant) -> bool:
        chrom, pos, ref, _ = variant
        if self.variant:
            return self.variant == name_of(variant)
        return chrom == self.chrom and pos <= self.end and pos + len(ref) - 1 >= self.start


THRESHOLDS = {"ABC": ABC, "ENCODE_RE2G": 0.243, "TABLE": -np.inf}


@dataclass(frozen=True)
class World:
    """What the files of a store say."""

    api: Api
    variants: list[Variant]
    links: list[Link]
    annotation: Annotation
    datasets: list[Cells]

    def genes(self, cell_type: str, least: float, datasets: Sequence[str] | None = None) -> set[str]:
        """The genes that some metacell of a cell type expresses."""
        return {
            target
            for cells in self.datasets
            if datasets is None or cells.dataset in datasets
            for g, (name, identifier) in enumerate(zip(cells.genes, cells.ids, strict=True))
            if (target := self.annotation.target(name, identifier)) and cells.expressing(g, cell_type, least)
        }

    def affecting(
        self, cell: str, source: Sequence[str] | None = None, least: float | None = None, expressed: float = 0.5,
        datasets: Sequence[str] | None = None,
    ) -> list[Variant]:  # fmt: skip
        """The variants of the cell type, in genome order: each is tested against each link."""
        genes = self.genes(cell, expressed, datasets)
        links = [
            link for link in self.links
            if (source is None or link.source in source) and link.score >= (THRESHOLDS[link.source] if least is None else least)
            and self.annotation.target(link.symbol, link.identifier) in genes
        ]  # fmt: skip
        return sorted((v for v in self.variants if any(link.about(v) for link in links)), key=key_of)

    def asked(self, asked: dict[str, Any], size: int, backward: bool = False) -> list[str]:
        return [edge["node"]["name"] for edge in self.api.walk(AFFECTING, asked, size, backward=backward)]


def name_of(variant: Variant) -> str:
    return "-".join(map(str, variant))


def key_of(variant: Variant) -> int:
    return encode_one(CODES[variant[0]], *variant[1:])


# ---- the demo


def test_variants_of_the_demo_are_those_of_links_to_expressed_genes(demo: Api, sites: list[Site]) -> None:
    links = [Link("ABC", e.score, e.symbol, e.identifier, "20", e.start, e.end) for e in read_elements()]
    cells = read_cells(DEMO / "pbmc68k_reduced.seacells.h5ad", "pbmc68k", "raw.X", "bulk_labels")
    variants = [("20", site.pos, site.ref, site.alt) for site in sites]
    world = World(demo, variants, links, read_gtf(DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz"), [cells])
    told = set()
    for cell in cells.types:
        for expressed in (0, 0.3, 0.5, 0.9, 1.1, 3):
            expected = [name_of(v) for v in world.affecting(cell, expressed=expressed)]
            assert world.asked({"cell": cell, "expressed": expressed}, 1000) == expected, (cell, expressed)
            told.add(len(expected))
    assert len(told) > 3
    # At a value as it is shown the gene counts.
    g = cells.genes.index("NOP56")
    at = max(mean for mean, of in zip(cells.mean[:, g], cells.cell_type, strict=True) if of == "CD19+ B")
    assert world.asked({"cell": "CD19+ B", "expressed": float(str(at))}, 1000) == [
        name_of(v) for v in world.affecting("CD19+ B", expressed=at)
    ]


# ---- windows

CHROMS = ("1", "2", "20", "22", "X", "MT")
GENES = [(f"ENSG0000000000{n}", f"G{n}") for n in range(1, 9)]


def some_variants(rng: random.Random) -> list[Variant]:
    """Variants on both sides of borders of windows on several chromosomes: single bases, and deletions of up to 10,000 bases, some over a border."""
    found: dict[str, Variant] = {}
    for chrom in CHROMS:
        for border in [0] if chrom == "MT" else [0, 1, 2, 5, 8]:
            middle = border * WINDOW_BASES
            for _ in range(40):
                pos = max(1, middle + rng.choice([0, 1, 2, rng.randint(-30, 30), rng.randint(-15_000, 15_000)]))
                kind = rng.random()
                length = 1 if kind < 0.7 or chrom == "MT" else rng.choice([2, 40, 999, 9_999, 10_000])
                variant = (chrom, min(pos, 16_500) if chrom == "MT" else pos, "A" * length, "A" if length > 1 else rng.choice("CGT"))
                found[name_of(variant)] = variant
    return list(found.values())


@pytest.fixture(scope="module")
def world(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A store of files made here, of which elements are dense about the borders of windows."""
    folder, rng = tmp_path_factory.mktemp("windows"), random.Random(81)
    variants = some_variants(rng)
    head = "##fileformat=VCFv4.2\n##reference=GRCh38\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    rows = ["\t".join([v[0], str(v[1]), ".", v[2], v[3], ".", ".", "."]) for v in sorted(variants, key=key_of)]
    (folder / "v.vcf").write_text(head + "\n".join(rows) + "\n")
    gtf = [f'1\tx\tgene\t{n * 100 + 1}\t{n * 100 + 9}\t.\t+\t.\tgene_id "{i}"; gene_name "{s}";' for n, (i, s) in enumerate(GENES)]
    (folder / "g.gtf").write_text("\n".join(gtf) + "\n")
    links = []
    for chrom in CHROMS:
        for border in [0] if chrom == "MT" else range(9):
            for _ in range(6):
                start = max(1, border * WINDOW_BASES + rng.choice([rng.randint(-400, 400), rng.randint(-12_000, 12_000)]))
                end = start + rng.choice([1, 10, 500, 3_000, *([5_000_000] if rng.random() < 0.02 else [])])
                if chrom == "MT":
                    start, end = min(start, 16_000), min(end, 16_569)
                n = rng.randrange(len(GENES) + 1)
                known = n < len(GENES) and rng.random() < 0.5
                symbol = GENES[n][1] if n < len(GENES) else "nobody"
                links.append(
                    Link("ABC", round(rng.random() ** 3, 4), symbol, GENES[n][0] if known else None, chrom, start, max(end, start + 1))
                )
    for chrom, pos, ref, _ in variants:
        if len(ref) >= 9_999:  # elements that it reaches with its last base, or just does not
            start = pos + len(ref) - rng.randint(0, 1)
            links.append(Link("ABC", round(rng.random(), 4), GENES[rng.randrange(8)][1], None, chrom, start, start + 20))
    lines = [f"{k.chrom}\t{k.start - 1}\t{k.end}\t{k.symbol}\t{k.identifier or 'NA'}\t{k.score}" for k in links]
    (folder / "e.tsv").write_text("chr\tstart\tend\tTargetGene\tTargetGeneEnsembl_ID\tABC.Score\n" + "\n".join(dict.fromkeys(lines)) + "\n")
    named = [
        Link("TABLE", rng.choice([-2.5, -1.0, 0.5, 3.0]), GENES[rng.randrange(8)][1], None, variant=name_of(v))
        for v in rng.sample(variants, 90)
        if len(v[2]) < 50
    ]
    (folder / "t.tsv").write_text("variant\tscore\tgene\n" + "".join(f"{k.variant}\t{k.score}\t{k.symbol}\n" for k in named))
    counts = np.random.default_rng(3).integers(0, 3, (12, 8)) ** 3
    counts[:4, :3], counts[4:, 5] = 0, 0
    path = write_cells(
        folder / "c.h5ad", [(s, None) if n % 2 else (i, None) for n, (i, s) in enumerate(GENES)], ["a", "a", "b", "b", "c", "c"], counts
    )
    other = write_cells(
        folder / "d.h5ad", [(s, None) for _, s in GENES[2:5]], ["a", "c"], np.array([[1, 0, 9], [2, 0, 3], [5, 5, 0], [1, 0, 0]])
    )
    with clone("vkg_template") as url:
        with psycopg.connect(url, autocommit=True) as conn:
            initialise(conn, GRCH38)
        load_vcf(url, folder / "v.vcf", dataset="v", unnormalized=True)
        load_genes(url, folder / "g.gtf", dataset="g", assembly="GRCh38")
        load_v2f(url, folder / "e.tsv", source="abc", dataset="e", assembly="GRCh38")
        load_v2f(url, folder / "t.tsv", source="table", dataset="t", assembly="GRCh38", unnormalized=True)
        load_metacells(url, path, dataset="c")
        load_metacells(url, other, dataset="d")
        annotation = Annotation([Gene(i, s, "1", n * 100 + 1, n * 100 + 9) for n, (i, s) in enumerate(GENES)])
        with Api(Settings(url=url, assembly=GRCH38, pool_size=2)) as api:
            cells = [read_cells(path, "c", "X", "cell_type"), read_cells(other, "d", "X", "cell_type")]
            yield World(api, variants, links + named, annotation, cells)


def test_pages_go_over_windows_and_chromosomes_without_loss_or_repeat(world: World) -> None:
    assert len(world.variants) > 600
    longest = max(world.variants, key=lambda v: len(v[2]))
    assert len(longest[2]) == 10_000

    def draw(rng: random.Random) -> Any:
        asked: dict[str, Any] = {"cell": rng.choice("abc"), "expressed": rng.choice([0, 1e-9, 0.5, 5, 7.5, 8.2])}
        asked["source"] = rng.choice([None, ["ABC"], ["TABLE"], ["ABC", "TABLE"]])
        if asked["source"] and len(asked["source"]) == 1:
            asked["least"] = rng.choice([None, 0, 0.2, -1.5, 0.6])
        asked["datasets"] = rng.choice([None, None, ["c"], ["d"], ["d", "c"]])
        expected = world.affecting(**asked)
        if rng.random() < 0.4:
            chrom = rng.choice(CHROMS)
            start = max(1, rng.choice([0, 1, 2, 5]) * WINDOW_BASES + rng.randint(-2_000, 2_000))
            end = start + rng.choice([100, 5_000, 4_999_999])
            asked["region"] = f"{chrom}:{start}-{end}"
            expected = [v for v in expected if v[0] == chrom and start <= v[1] <= end]
            if rng.random() < 0.5:
                asked["filter"] = {"type": ["DELETION"]}
                expected = [v for v in expected if len(v[2]) > 1]
        return asked, expected

    crossing = several = 0
    for n, (asked, expected) in enumerate(draws(91, 42, draw)):
        size = (1, 2, 3, 7, 50, 1000)[n % 6] if len(expected) < 60 else (37, 90, 1000)[n % 3]
        names = [name_of(v) for v in expected]
        for backward in (False, True):
            assert world.asked(asked, size, backward) == names, (asked, size, backward)
        windows = {(v[0], (v[1] - 1) // WINDOW_BASES) for v in expected}
        several += len(windows) > 2 and size < len(names)
        crossing += any((v[1] - 1) // WINDOW_BASES < (v[1] + len(v[2]) - 2) // WINDOW_BASES for v in expected)
    assert several > 8
    assert crossing > 8


def test_a_variant_is_listed_where_a_gene_that_its_scores_name_is_expressed(world: World) -> None:
    """Variant by variant, by what the graph itself says of its scores."""
    query = """query ($after: String) { variants(first: 200, after: $after) { nodes { name v2fScores(first: 30) { pageInfo { hasNextPage } nodes { targetGene { geneId } } } }
        pageInfo { hasNextPage endCursor } } }"""
    targets: dict[str, set[str]] = {}
    cursor = None
    while True:
        page = world.api.data(query, {"after": cursor})["variants"]
        for node in page["nodes"]:
            assert not node["v2fScores"]["pageInfo"]["hasNextPage"]
            targets[node["name"]] = {s["targetGene"]["geneId"] for s in node["v2fScores"]["nodes"] if s["targetGene"]}
        if not page["pageInfo"]["hasNextPage"]:
            break
        cursor = page["pageInfo"]["endCursor"]
    assert targets.keys() == {name_of(v) for v in world.variants}
    for cell in "abc":
        for expressed in (1e-9, 7.5):
            genes = world.genes(cell, expressed)
            assert set(world.asked({"cell": cell, "expressed": expressed}, 1000)) == {name for name, of in targets.items() if of & genes}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ('cellType: "a", minV2f: 0.1', "SOURCE_NEEDED"),
        ('cellType: "a", minV2f: 0.1, source: []', "SOURCE_NEEDED"),
        ('cellType: "a", minV2f: 0.1, source: [ABC, TABLE]', "SOURCE_NEEDED"),
        ('cellType: "A"', "UNKNOWN_CELL_TYPE"),
        ('cellType: "a", dataset: ["c", "C"]', "UNKNOWN_DATASET"),
        ('cellType: "a", minExpression: -1', "BAD_EXPRESSION"),
        ('cellType: "a", minExpression: 1e39', "BAD_EXPRESSION"),
        ('cellType: "a", region: "20:9-1"', "INVALID_NAME"),
        ('cellType: "a", filter: {type: [SNV]}', "REGION_NEEDED"),
        ('cellType: "a", first: 1, last: 1', "BAD_PAGE"),
    ],
)
def test_what_cannot_be_asked_is_said(world: World, arguments: str, code: str) -> None:
    error = world.api.error(f"{{ variantsAffectingCellType({arguments}) {{ totalCount }} }}")
    assert error["code"] == code
    if code == "SOURCE_NEEDED":
        assert error["message"].startswith("minV2f needs one source")


def test_a_page_and_its_count_take_a_statement_each(world: World) -> None:
    """And one for the cell types that there are, however many genes and windows."""
    query = '{ variantsAffectingCellType(cellType: "a", minExpression: 0, first: %d) { nodes { name } %s } }'
    for first in (1, 1000):
        assert world.api.cost(query % (first, ""))["statements"] == 2
        assert world.api.cost(query % (first, "totalCount"))["statements"] == 3


# ---- real files

VCF = "chr20_grch38/kg300_eur.chr20_1-4mb.grch38.lifted.phased.vcf.gz"
FASTA = "chr20_grch38/chr20_npad_0.9-4.1mb.grch38.derived.fa.gz"
GTF = "chr20_grch38/genes.chr20_0.9-4.1mb.grch38.refgene_derived.gtf.gz"
RE2G = "chr20_grch38/encode_re2g.ENCFF617FJH.MCF-7.chr20.hg38.bed.gz"
K562 = "single_cell/k562_multiome1000.rna.seacells.h5ad"


@pytest.fixture(scope="module")
def real_world(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Real variants, genes, links and cells of GRCh38."""
    folder = tmp_path_factory.mktemp("real")
    with clone("vkg_template") as url:
        with psycopg.connect(url, autocommit=True) as conn:
            initialise(conn, GRCH38)
        load_vcf(url, copied(REAL / VCF, folder), dataset="kg300", assembly="GRCh38", reference=REAL / FASTA, sites_only=True)
        load_genes(url, copied(REAL / GTF, folder), dataset="refgene", assembly="GRCh38")
        load_v2f(url, copied(REAL / RE2G, folder), source="encode-re2g", dataset="re2g", assembly="GRCh38")
        load_metacells(url, copied(REAL / K562, folder), dataset="k562", assembly="GRCh38")
        lines = (line.split("\t", 5) for line in gzip.decompress((REAL / VCF).read_bytes()).decode().splitlines() if line[0] != "#")
        variants = [(chrom.removeprefix("chr"), int(pos), ref, alt) for chrom, pos, _, ref, alt, _ in lines]
        rows = csv.DictReader(gzip.decompress((REAL / RE2G).read_bytes()).decode().splitlines(), delimiter="\t")
        links = [
            Link(
                "ENCODE_RE2G",
                float(r["Score"]),
                r["TargetGene"],
                r["TargetGeneEnsemblID"],
                r["#chr"][3:],
                int(r["start"]) + 1,
                int(r["end"]),
            )
            for r in rows
        ]
        with Api(Settings(url=url, assembly=GRCH38, pool_size=2)) as api:
            yield World(api, variants, links, read_gtf(REAL / GTF), [read_cells(REAL / K562, "k562", "layers/counts", "cluster")])


@pytest.mark.requires_real
def test_real_variants_lead_to_real_cells(real_world: World) -> None:
    assert len(real_world.variants) == 24_990
    for least, count in ((0, 413), (None, 388)):
        for expressed in (0, 1e-9):
            union = set()
            for cell in ("cluster1", "cluster2"):
                asked = {"cell": cell, "source": ["ENCODE_RE2G"], "least": least, "expressed": expressed}
                expected = [name_of(v) for v in real_world.affecting(**asked)]
                for size, backward in ((1000, False), (97, False), (60, True)):
                    assert real_world.asked(asked, size, backward) == expected
                union.update(expected)
            assert len(union) == count, (least, expressed)


@pytest.mark.requires_real
def test_real_variants_are_in_the_context_of_the_cells_that_list_them(real_world: World) -> None:
    """Both ways: the cells of a variant by what methods say are those whose types list it."""
    query = """query ($ids: [String!]!) { variants(ids: $ids, first: 20) { nodes { name cellContext(minExpression: 1, first: 200) { metacell { cellType } evidence { kind } } } } }"""
    listed = {cell: set(real_world.asked({"cell": cell, "expressed": 1}, 1000)) for cell in ("cluster1", "cluster2")}
    names = sorted(set().union(*listed.values()))
    assert names
    some = random.Random(2).sample(names, 60) + [name_of(v) for v in random.Random(3).sample(real_world.variants, 60)]
    for n in range(0, len(some), 20):
        for node in real_world.api.data(query, {"ids": some[n : n + 20]})["variants"]["nodes"]:
            assert len(node["cellContext"]) < 200
            types = {c["metacell"]["cellType"] for c in node["cellContext"] if any(e["kind"] == "V2F" for e in c["evidence"])}
            assert types == {cell for cell, of in listed.items() if node["name"] in of}
