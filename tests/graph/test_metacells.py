"""Metacells over HTTP: every field against numpy on the files of cells, filters and pages, genes by what they are called, what is not visible."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import psycopg
import pytest

from graph.app import Settings
from store import release
from store.assembly import GRCH38
from store.genome import initialise
from tests.conftest import REAL
from tests.graph.api import OF_PAGE, PAGE, WINDOW, Api
from tests.graph.cells import Annotation, Cells, Peaks, Row, copied, near, read, read_cells, read_gtf, read_peaks, write_cells, write_gtf
from tests.graph.conftest import DEMO, Clone, Serve
from tests.graph.loading import load_genes, load_metacells
from tests.graph.segments import draws
from tests.graph.test_releases import current

PBMC = DEMO / "pbmc68k_reduced.seacells.h5ad"
SOFT = DEMO / "pbmc68k_reduced.seacells_soft_summary.h5ad"
K562, ATAC = (REAL / "single_cell" / f"k562_{name}.seacells.h5ad" for name in ("multiome1000.rna", "multiome500.atac_chr22p"))
REAL_GENES = [
    "chr20_grch38/genes.chr20_0.9-4.1mb.grch38.refgene_derived.gtf.gz",
    "chr22_grch38/genes.chr22_19.8-21.1mb.grch38.refgene_derived.gtf.gz",
]


class World:
    """A store of one file of cells, and what the file says."""

    def __init__(self, api: Api, cells: Cells, annotation: Annotation, run: Row, peaks: Peaks | None = None) -> None:
        self.api, self.cells, self.annotation, self.run, self.peaks = api, cells, annotation, run, peaks
        self.target = [annotation.target(name, identifier) for name, identifier in zip(cells.genes, cells.ids, strict=True)]

    def gene(self, gene: int) -> Row | None:
        found = self.target[gene]
        return {"symbol": self.annotation.symbol_of[found]} if found else None


@pytest.fixture(scope="module")
def blood(demo: Api) -> World:
    """The demo."""
    cells = read_cells(PBMC, "pbmc68k", "raw.X", "bulk_labels", tissue="peripheral blood")
    run = {
        "layout": "CELLS",
        "matrix": "raw.X",
        "scale": "LOGGED",
        "geneCount": 765,
        "embedding": "X_pca",
        "plot": "X_umap",
        "peakCount": 0,
        "peakMatrix": None,
    }
    return World(demo, cells, read_gtf(DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz"), run)


@pytest.fixture(scope="module")
def leukemia(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """K562 cells, their accessibility, and the genes of two chromosomes."""
    folder = tmp_path_factory.mktemp("k562")
    cells = read_cells(K562, "k562", "layers/counts", "cluster")
    run = {
        "layout": "CELLS",
        "matrix": "layers/counts",
        "scale": "COUNTS",
        "geneCount": 1877,
        "embedding": "X_pca",
        "plot": None,
        "peakCount": 152,
        "peakMatrix": "layers/counts",
    }
    with clone("vkg_template") as url:
        with psycopg.connect(url, autocommit=True) as conn:
            initialise(conn, GRCH38)
        for n, name in enumerate(REAL_GENES):
            load_genes(url, copied(REAL / name, folder), dataset=f"genes{n}", assembly="GRCh38")
        load_metacells(url, copied(K562, folder), atac=copied(ATAC, folder), dataset="k562", version="1", assembly="GRCh38")
        genes = [gene for name in REAL_GENES for gene in read_gtf(REAL / name).genes]
        with Api(Settings(url=url, assembly=GRCH38, pool_size=2)) as api:
            yield World(api, cells, Annotation(genes), run, read_peaks(ATAC, cells.names))


@pytest.fixture(params=["blood", pytest.param("leukemia", marks=pytest.mark.requires_real)])
def world(request: pytest.FixtureRequest) -> World:
    """Either store."""
    return request.getfixturevalue(request.param)


METACELL = "name dataset cellType purity tissue condition cellCount plotX plotY load { dataset }"
EXPRESSION = "geneName mean percent z tau"


def shown(cells: Cells, n: int) -> Row:
    """The fields of a metacell."""
    place = cells.plot[n].tolist() if cells.plot is not None else [None, None]
    return {
        "name": cells.names[n], "dataset": cells.dataset, "cellType": cells.cell_type[n], "purity": near(float(cells.purity[n])),
        "tissue": cells.tissue, "condition": None, "cellCount": cells.size[n], "plotX": near(place[0]), "plotY": near(place[1]),
        "load": {"dataset": cells.dataset},
    }  # fmt: skip


# ---- what a metacell is


def test_every_field_is_that_of_the_file(world: World) -> None:
    query = f"""query ($first: Int!) {{ metacells(first: $first) {{ totalCount nodes {{ id {METACELL} embedding
        run {{ layout matrix scale geneCount cellTypes embedding plot peakCount peakMatrix }} }} }} }}"""
    cells, place = world.cells, world.cells.embedding
    assert place is not None
    page = world.api.data(query, {"first": 100})["metacells"]
    assert page["totalCount"] == len(cells.names)
    for n, row in enumerate(page["nodes"]):
        assert row["embedding"] == [float(str(np.float32(v))) for v in row["embedding"]], "the shortest decimals"
        run = world.run | {"cellTypes": cells.types}
        expected = shown(cells, n) | {"run": run, "embedding": [pytest.approx(v, rel=1e-5, abs=1e-5) for v in place[n]]}
        assert {name: value for name, value in row.items() if name != "id"} == expected
    ids = [row["id"] for row in page["nodes"]]
    again = world.api.data("query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Metacell { name } } }", {"ids": ids[::-1]})["nodes"]
    assert again == [{"id": row["id"], "name": row["name"]} for row in reversed(page["nodes"])]


def test_top_genes_are_the_most_specific(world: World) -> None:
    query = f"""query ($name: [String!], {WINDOW}) {{ metacells(name: $name, first: 1) {{ nodes {{ page: topGenes({PAGE}) {{ {OF_PAGE}
        edges {{ cursor node {{ {EXPRESSION} gene {{ symbol }} metacell {{ name }} }} }} }} }} }} }}"""
    known = 0
    for n, name in enumerate(world.cells.names):
        top = world.cells.top(n)
        expected = [{**world.cells.row(n, g), "gene": world.gene(g), "metacell": {"name": name}} for g in top]
        for size, backward in ((1000, False), (9, False), (31, True)):
            found = [edge["node"] for edge in world.api.walk(query, {"name": [name]}, size, backward=backward)]
            assert found == expected, name
        known += sum(row["gene"] is not None for row in expected)
    assert known > 5


def test_expression_of_genes_is_found_by_any_name(world: World) -> None:
    cells = world.cells
    query = f"query ($genes: [String!]!) {{ metacells(first: 100) {{ nodes {{ name expression(genes: $genes) {{ {EXPRESSION} gene {{ symbol }} }} }} }} }}"
    rng = random.Random(17)
    some = rng.sample(range(len(cells.genes)), 12)
    identified = [g for g in range(len(cells.genes)) if cells.ids[g]][:3]
    names = [cells.genes[g].lower() if n % 2 else cells.genes[g] for n, g in enumerate(some)]
    annotated = [g for g in range(len(cells.genes)) if world.target[g] and not cells.ids[g]][:3]
    names += [f"{cells.ids[g]}.7" for g in identified] + [str(world.target[g]) for g in annotated] + ["nobody", "", " "]
    asked = sorted({*some, *identified, *annotated}, key=lambda g: cells.genes[g])
    found = world.api.data(query, {"genes": names + names[:3]})["metacells"]["nodes"]
    for n, row in enumerate(found):
        expected = [{**cells.row(n, g), "gene": world.gene(g)} for g in asked]
        assert sorted(row["expression"], key=lambda e: e["geneName"]) == expected
        assert [e["geneName"] for e in row["expression"]] == [e["geneName"] for e in found[0]["expression"]]
    assert world.api.data(query, {"genes": ["nobody"]})["metacells"]["nodes"][0]["expression"] == []
    assert world.api.data(query, {"genes": []})["metacells"]["nodes"][0]["expression"] == []


def test_too_many_genes_at_once_are_refused(demo: Api) -> None:
    query = "query ($genes: [String!]!) { metacells(first: 1) { nodes { expression(genes: $genes) { mean } } } }"
    assert demo.error(query, {"genes": ["x"] * 1001})["code"] == "TOO_MANY_INPUTS"
    assert demo.data(query, {"genes": ["NOP56"] * 1000})["metacells"]["nodes"][0]["expression"]


def test_similar_metacells_are_the_nearest(world: World) -> None:
    cells = world.cells
    query = f"""query ($name: [String!], $types: [String!], {WINDOW}) {{ metacells(name: $name) {{ nodes {{ page: similar(cellType: $types, {PAGE}) {{
        {OF_PAGE} edges {{ cursor distance similarity node {{ {METACELL} }} }} }} }} }} }}"""
    assert cells.embedding is not None
    units = cells.embedding / np.linalg.norm(cells.embedding, axis=1, keepdims=True)
    for n, name in enumerate(cells.names):
        distance = cells.distances(n)
        for types in (None, cells.types[:1], cells.types):
            others = [m for m in range(len(cells.names)) if m != n and (types is None or cells.cell_type[m] in types)]
            expected = sorted(others, key=lambda m: distance[m])
            for size, backward in ((50, False), (3, False), (4, True)):
                edges = world.api.walk(query, {"name": [name], "types": types}, size, backward=backward)
                assert [edge["node"] for edge in edges] == [shown(cells, m) for m in expected]
                assert [edge["distance"] for edge in edges] == [pytest.approx(distance[m], rel=1e-5) for m in expected]
                cosines = [float(units[m] @ units[n]) for m in expected]
                assert [edge["similarity"] for edge in edges] == [pytest.approx(cosine, abs=1.5e-6) for cosine in cosines]


@pytest.mark.requires_real
def test_accessibility_is_that_of_the_file(leukemia: World) -> None:
    peaks, cells = leukemia.peaks, leukemia.cells
    assert peaks is not None
    query = f"""query ($name: [String!], $region: String!, {WINDOW}) {{ metacells(name: $name) {{ nodes {{ page: accessibility(region: $region, {PAGE}) {{
        {OF_PAGE} edges {{ cursor node {{ chrom start end access open }} }} }} }} }} }}"""
    starts = sorted(start for _, start, _ in peaks.peaks)
    unknown = np.isnan(peaks.access).all(1)
    assert 0 < unknown.sum() < len(cells.names)
    rng = random.Random(8)
    regions = [
        ("22", starts[0] - 9, starts[0] + 4_999_990),
        ("22", starts[3], starts[3]),
        ("22", starts[3] - 1, starts[3] - 1),
        ("22", starts[7] + 999, starts[7] + 999),
        ("21", 1, 5_000_000),
    ]
    regions += [
        ("22", start := rng.choice(starts) + rng.randint(-2000, 2000), start + rng.choice([1, 500, 1_000, 1_000_000])) for _ in range(20)
    ]
    told = 0
    for k, (chrom, start, end) in enumerate(regions):
        n = k % len(cells.names)
        expected = [
            {
                "chrom": chrom, "start": peaks.peaks[p][1], "end": peaks.peaks[p][2],
                "access": None if unknown[n] else pytest.approx(peaks.access[n, p], rel=2e-6), "open": None,
            }
            for p in peaks.over(chrom, start, end)
        ]  # fmt: skip
        asked = {"name": [cells.names[n]], "region": f"chr{chrom}:{start:,}-{end}"}
        for size, backward in ((200, False), (13, False), (40, True)):
            assert [edge["node"] for edge in leukemia.api.walk(query, asked, size, backward=backward)] == expected
        told += len(expected)
    assert told > 200
    bad = 'query { metacells(first: 1) { nodes { accessibility(region: "%s") { totalCount } } } }'
    for region, code in (("22:5-1", "INVALID_NAME"), ("22:1-5000001", "REGION_TOO_LARGE"), ("22", "REGION_TOO_LARGE")):
        assert leukemia.api.error(bad % region)["code"] == code
    assert leukemia.api.data(bad % "22:1-5000000")["metacells"]["nodes"]


# ---- what cells express of a gene

OF_GENE = f"""query ($id: String!, $in: [String!], $types: [String!], $least: Float, {WINDOW}) {{ gene(id: $id) {{
    page: expression(dataset: $in, cellType: $types, minExpression: $least, {PAGE}) {{ {OF_PAGE} edges {{ cursor node {{
        {EXPRESSION} gene {{ geneId }} metacell {{ {METACELL} }} }} }} }} }} }}"""


def test_expression_of_a_gene_is_highest_first_and_filtered(world: World) -> None:
    cells = world.cells
    measured = sorted({target for target in world.target if target})

    def draw(rng: random.Random) -> Any:
        gene, types = rng.choice(measured), rng.choice([None, None, rng.sample(cells.types, rng.randint(1, len(cells.types))), []])
        least = rng.choice([None, None, 0, 1e-9, 0.1, 0.5, 1.0, 2.0])
        dataset = rng.choice([None, None, [cells.dataset], []])
        rows = [
            (cells.mean[n, g], n, cells.genes[g], g)
            for g in range(len(cells.genes)) for n in range(len(cells.names))
            if world.target[g] == gene and (types is None or cells.cell_type[n] in types) and (least is None or cells.mean[n, g] >= np.float32(least))
            and dataset != []
        ]  # fmt: skip
        return {"id": gene, "types": types, "least": least, "in": dataset}, (sorted(rows, reverse=True), rng.choice([2, 5, 50]))

    some = 0
    for asked, (rows, size) in draws(41, 80, draw):
        expected = [{**cells.row(n, g), "gene": {"geneId": asked["id"]}, "metacell": shown(cells, n)} for _, n, _, g in rows]
        for backward in (False, True):
            found = [edge["node"] for edge in world.api.walk(OF_GENE, asked, size, backward=backward)]
            assert found == expected, asked
        some += bool(expected)
    assert some > 30
    assert len(measured) >= 3


def test_a_value_as_it_is_shown_counts_where_it_is_the_least(world: World) -> None:
    """It is rounded to the shortest decimal, which may lie above the number itself."""
    some = [target for target in world.target if target][:8]
    for gene in some:
        rows = [edge["node"] for edge in world.api.walk(OF_GENE, {"id": gene}, 1000)]
        for row in rows:
            found = world.api.walk(OF_GENE, {"id": gene, "least": row["mean"]}, 1000)
            assert [edge["node"] for edge in found] == [other for other in rows if other["mean"] >= row["mean"]]


@pytest.mark.parametrize("least", [-1, -1e-30, 1e39, 1e300])
def test_an_expression_that_is_none_is_refused(demo: Api, least: float) -> None:
    assert demo.error(OF_GENE, {"id": "NOP56", "least": least})["code"] == "BAD_EXPRESSION"


@pytest.mark.parametrize("least", [100, 3.4e38])
def test_an_expression_that_nothing_reaches_gives_nothing(demo: Api, least: float) -> None:
    assert demo.walk(OF_GENE, {"id": "NOP56", "least": least}, 1) == []


@pytest.mark.parametrize(
    "query",
    [
        'gene(id: "NOP56") { expression(cellType: ["cd19+ b"]) { totalCount } }',
        'metacells(cellType: ["CD19+ B", "elbow"]) { totalCount }',
        'metacells(first: 1) { nodes { similar(cellType: ["elbow"]) { totalCount } } }',
        'variantsAffectingCellType(cellType: "elbow") { totalCount }',
        'variantsAffectingCellType(cellType: "") { totalCount }',
    ],
)
def test_a_cell_type_that_no_metacell_is_of_is_named(demo: Api, query: str) -> None:
    error = demo.error(f"{{ {query} }}")
    assert error["code"] == "UNKNOWN_CELL_TYPE"
    assert "cell type" in error["message"]


@pytest.mark.parametrize(
    ("query", "code", "near"),
    [
        ('gene(id: "NOP56") { expression(dataset: ["pbmc68k", "pbmc"]) { totalCount } }', "UNKNOWN_DATASET", "pbmc68k"),
        ('metacells(dataset: ["PBMC68k"]) { totalCount }', "UNKNOWN_DATASET", "pbmc68k"),
        ('metacells(tissue: ["peripheral blod"]) { totalCount }', "UNKNOWN_TISSUE", "peripheral blood"),
        ('metacells(condition: ["healthy"]) { totalCount }', "UNKNOWN_CONDITION", "--condition"),
    ],
)
def test_a_dataset_tissue_or_condition_of_no_metacell_is_named(demo: Api, query: str, code: str, near: str) -> None:
    error = demo.error(f"{{ {query} }}")
    assert error["code"] == code
    assert near in error["hint"]


# ---- lists of metacells


def test_metacells_are_filtered_and_paged(own_demo: str, serve: Serve, blood: World, tmp_path: Path) -> None:
    load_metacells(own_demo, copied(PBMC, tmp_path), dataset="again", version="1", tissue="blood", condition="well", cell_type="louvain")
    load_metacells(own_demo, copied(SOFT, tmp_path), dataset="soft", version="1")
    soft = read(SOFT)
    hard = read_cells(PBMC, "again", "raw.X", "louvain", tissue="blood")
    rows = [{**shown(blood.cells, n)} for n in range(20)]
    rows += [{**shown(hard, n), "condition": "well"} for n in range(20)]
    rows += [
        {
            "name": name, "dataset": "soft", "cellType": of["celltype"], "purity": near(of["celltype_purity"]), "tissue": None, "condition": None,
            "cellCount": near(of["Pseudo-sizes"]), "plotX": None, "plotY": None, "load": {"dataset": "soft"},
        }
        for name, of in zip(soft.obs_names, soft.obs.to_dict("records"), strict=True)
    ]  # fmt: skip
    api = serve(own_demo)
    query = f"""query ($in: [String!], $types: [String!], $tissue: [String!], $condition: [String!], $name: [String!], {WINDOW}) {{
        page: metacells(dataset: $in, cellType: $types, tissue: $tissue, condition: $condition, name: $name, {PAGE}) {{
        {OF_PAGE} edges {{ cursor node {{ {METACELL} }} }} }} }}"""
    known = sorted({row["cellType"] for row in rows})
    assert api.data("{ store { cellTypes counts { metacells } } }")["store"] == {
        "cellTypes": known,
        "counts": {"metacells": str(len(rows))},
    }

    def draw(rng: random.Random) -> Any:
        asked = {
            "in": rng.choice([None, ["soft"], ["again", "pbmc68k"], []]),
            "types": rng.choice([None, None, rng.sample(known, 3), rng.sample(known, 8)]),
            "tissue": rng.choice([None, None, ["blood"], ["blood", "peripheral blood"]]),
            "condition": rng.choice([None, None, None, ["well"], []]),
            "name": rng.choice([None, None, [row["name"] for row in rng.sample(rows, 15)]]),
        }
        column = {"in": "dataset", "types": "cellType"}
        expected = [row for row in rows if all(of is None or row[column.get(name, name)] in of for name, of in asked.items())]
        return asked, (expected, rng.choice([1, 7, 1000]))

    some = 0
    for asked, (expected, size) in draws(51, 60, draw):
        for backward in (False, True):
            assert [edge["node"] for edge in api.walk(query, asked, size, backward=backward)] == expected, asked
        some += bool(expected)
    assert some > 20
    # A soft summary tells neither cells nor places.
    own = api.data(
        '{ metacells(dataset: ["soft"], first: 1) { nodes { embedding similar { totalCount } topGenes(first: 1) { nodes { percent z mean } } run { layout embedding } } } }'
    )
    (one,) = own["metacells"]["nodes"]
    assert (one["embedding"], one["similar"], one["run"]) == ([], {"totalCount": 0}, {"layout": "SOFT_SUMMARY", "embedding": None})
    assert one["topGenes"]["nodes"][0]["percent"] is None
    assert one["topGenes"]["nodes"][0]["z"] > 0
    # The distance to others is within a load.
    near_by = api.data('{ metacells(dataset: ["again"], first: 1) { nodes { similar(first: 100) { nodes { dataset } } } } }')
    assert near_by["metacells"]["nodes"][0]["similar"]["nodes"] == [{"dataset": "again"}] * 19
    # Expression of a gene is told of each.
    found = api.walk(OF_GENE, {"id": "NOP56"}, 1000)
    assert {name: sum(edge["node"]["metacell"]["dataset"] == name for edge in found) for name in ("pbmc68k", "again", "soft")} == {
        "pbmc68k": 20,
        "again": 20,
        "soft": 20,
    }
    means = [edge["node"]["mean"] for edge in found]
    assert means == sorted(means, reverse=True)


# ---- genes by what they are called

GTF = [
    ("ENSG00000000001.4", "AAA", "OLDA", "Shared"),
    ("ENSG00000000002.1", "BBB", "AAA2", "shared"),
    ("ENSG00000000003", "CCC", "BBB", "C3"),
]


def test_genes_are_found_by_identifier_then_symbol_then_alias(own_store: str, serve: Serve, tmp_path: Path) -> None:
    genes = {
        "AAA": ("ENSG00000000002", "BBB"),  # an identifier that is known goes before a symbol
        "olda": (None, "AAA"),
        "BBB": (None, "BBB"),  # a symbol goes before another gene's alias
        "ccc": ("ENSG00000000009", "CCC"),  # an identifier that nobody has
        "ENSG00000000003": ("ENSG00000000003", "CCC"),
        "c3": (None, "CCC"),
        "SHARED": (None, "AAA"),  # of two genes, the first by identifier
        "NOBODY": ("ENSG00000000009", None),
    }
    path = write_cells(tmp_path / "some.h5ad", [(name, identifier) for name, (identifier, _) in genes.items()])
    load_metacells(own_store, path, dataset="some", version="1")
    api = serve(own_store)
    query = "query ($genes: [String!]!) { metacells(first: 1) { nodes { expression(genes: $genes) { geneName gene { symbol } } } } }"

    def told(names: Sequence[str]) -> dict[str, str | None]:
        rows = api.data(query, {"genes": list(names)})["metacells"]["nodes"][0]["expression"]
        return {row["geneName"]: row["gene"] and row["gene"]["symbol"] for row in rows}

    assert told(list(genes)) == dict.fromkeys(genes)
    load_genes(own_store, write_gtf(tmp_path / "g.gtf", GTF), dataset="genes", version="1", assembly="GRCh37")
    with psycopg.connect(own_store, autocommit=True) as conn:
        current(api, conn)
    annotation = read_gtf(tmp_path / "g.gtf")
    meant = {name: annotation.target(name, identifier) for name, (identifier, _) in genes.items()}
    assert {name: symbol for name, (_, symbol) in genes.items()} == {name: i and annotation.symbol_of[i] for name, i in meant.items()}
    assert told(list(genes)) == {name: symbol for name, (_, symbol) in genes.items()}
    for gene in annotation.genes:
        found = api.walk(OF_GENE, {"id": gene.symbol}, 50)
        assert {edge["node"]["geneName"] for edge in found} == {name for name, i in meant.items() if i == gene.gene_id}
        assert {edge["node"]["gene"]["geneId"] for edge in found} == {gene.gene_id}
        assert len(found) == 3 * len({edge["node"]["geneName"] for edge in found})
    # A metacell's genes are asked for as the dataset names them, and by what the annotation says of the gene that is asked for.
    assert told(["aaa"]) == {"AAA": "BBB", "olda": "AAA", "SHARED": "AAA"}
    assert told(["ENSG00000000009.12"]) == {"ccc": "CCC", "NOBODY": None}
    assert told(["ensg00000000002.8"]) == told(["bbb"]) == {"AAA": "BBB", "BBB": "BBB", "SHARED": "AAA"}
    assert told(["ENSG00000000001"]) == told(["OLDA", "Olda "]) == told(["aaa"])
    assert told(["C3"]) == {"BBB": "BBB", "c3": "CCC", "ccc": "CCC", "ENSG00000000003": "CCC"}  # BBB, since that is another name of CCC


def test_peaks_say_whether_they_are_open(own_store: str, serve: Serve, tmp_path: Path) -> None:
    path = write_cells(tmp_path / "some.h5ad", [("AAA", None), ("BBB", None)])
    names = ["chr1:100-200", "chr1:150-160", "chr2:0-50", "GL000194.1:1-5"]
    counts = np.array([[1, 2, 3, 4], [0, 0, 5, 5]], np.float32)
    opened = np.array([[1, 0, 1, 1], [0, 1, 0, 1]], np.float32)
    obs = pd.DataFrame(index=["SEACell-0", "SEACell-2"])
    anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=names), layers={"OpenPeaks": opened}).write_h5ad(tmp_path / "atac.h5ad")
    load_metacells(own_store, path, atac=tmp_path / "atac.h5ad", dataset="some", version="1", assembly="GRCh37")
    api = serve(own_store)
    query = '{ metacells { nodes { name accessibility(region: "%s") { totalCount nodes { chrom start end access open } } } } }'
    found = {row["name"]: row["accessibility"]["nodes"] for row in api.data(query % "1:1-5000000")["metacells"]["nodes"]}
    access = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    places = [{"chrom": "1", "start": 101, "end": 200}, {"chrom": "1", "start": 151, "end": 160}]
    for name, row in (("SEACell-0", 0), ("SEACell-2", 1)):
        assert found[name] == [
            place | {"access": near(float(access[row, n])), "open": bool(opened[row, n])} for n, place in enumerate(places)
        ]
    assert found["SEACell-1"] == [place | {"access": None, "open": None} for place in places]
    for region, count in (
        ("1:100", 0),
        ("1:101", 1),
        ("1:160", 2),
        ("1:161-200", 1),
        ("1:201", 0),
        ("2:1-50", 1),
        ("2:51-60", 0),
        ("3:1-5,000,000", 0),
    ):
        assert {row["accessibility"]["totalCount"] for row in api.data(query % region)["metacells"]["nodes"]} == {count}, region


# ---- what is visible

VISIBLE = """{ store { cellTypes counts { metacells } } metacells(first: 100) { totalCount nodes { name dataset } }
    gene(id: "NOP56") { expression(first: 100) { totalCount nodes { geneName metacell { name } } } } }"""


def test_a_held_or_unloaded_load_shows_nowhere(own_demo: str, serve: Serve, tmp_path: Path) -> None:
    path = write_cells(tmp_path / "held.h5ad", [("NOP56", None), ("SIRPA", None), ("x", None)], types=("held", "held", "CD19+ B"))
    api = serve(own_demo)
    by_type = '{ metacells(cellType: ["held"]) { totalCount } }'
    before = api.data(VISIBLE)
    assert before["metacells"]["totalCount"] == 20
    with psycopg.connect(own_demo, autocommit=True) as conn:
        load_id = load_metacells(own_demo, path, dataset="held", version="1", hold=True)
        node = f'{{ node(id: "Metacell:{load_id * 16_777_216}") {{ ... on Metacell {{ name similar {{ totalCount }} embedding }} }} }}'
        assert api.data(VISIBLE) == before
        assert api.data(node) == {"node": None}
        assert api.error(by_type)["code"] == "UNKNOWN_CELL_TYPE"
        release.publish(conn, load_id)
        current(api, conn)
        after = api.data(VISIBLE)
        assert after["store"]["counts"]["metacells"] == "23"
        assert set(after["store"]["cellTypes"]) == {*before["store"]["cellTypes"], "held"}
        assert after["gene"]["expression"]["totalCount"] == before["gene"]["expression"]["totalCount"] + 3
        assert api.data(by_type)["metacells"]["totalCount"] == 2
        assert api.data(node)["node"] == {"name": "SEACell-0", "similar": {"totalCount": 0}, "embedding": []}
        release.unload(conn, load_id)
        current(api, conn)
        assert api.data(VISIBLE) == before
        assert api.data(node) == {"node": None}
        assert api.error(by_type)["code"] == "UNKNOWN_CELL_TYPE"


# ---- statements and cost


def test_metacells_take_as_many_statements_for_many_as_for_one(demo: Api) -> None:
    links = """topGenes(first: 40) { totalCount nodes { gene { symbol } } } expression(genes: ["NOP56", "IDH3B"]) { geneName gene { geneId } }
        similar(first: 2) { totalCount edges { distance node { name run { layout } } } } accessibility(region: "20:1-5000000", first: 5) { totalCount nodes { start } }
        embedding run { scale } load { version }"""
    query = f"query ($first: Int!) {{ metacells(first: $first) {{ nodes {{ name {links} }} }} }}"
    one, many = (demo.cost(query, {"first": first}) for first in (1, 20))
    assert one["statements"] <= many["statements"] == 16  # one of them for the names of the genes
    of_genes = """query ($first: Int!) { genes(first: $first) { nodes { symbol expression(first: 2, cellType: ["CD19+ B"], minExpression: 0.1) { totalCount
        nodes { mean gene { symbol } metacell { name load { dataset } } } } } } }"""
    assert demo.cost(of_genes, {"first": 73})["statements"] == 7
    found = [node["expression"]["nodes"] for node in demo.data(of_genes, {"first": 73})["genes"]["nodes"]]
    assert sum(map(bool, found)) == 3


def test_an_embedding_costs_what_it_is(demo: Api) -> None:
    query = "query ($first: Int!) { metacells(first: $first) { nodes { name %s } } }"
    for first in (1, 20):
        assert demo.cost(query % "", {"first": first})["objects"] == first
        assert demo.cost(query % "embedding", {"first": first})["objects"] == first * (1 + 200)
        assert demo.cost(query % 'accessibility(region: "20:1-9", first: 7) { nodes { start } }', {"first": first})["objects"] == first * (
            1 + 7 + 50
        )
        genes = 'expression(genes: ["NOP56", "IDH3B", "x"]) { mean }'
        assert demo.cost(query % genes, {"first": first})["objects"] == first * (1 + 3)
    twice = "query { metacells(first: 1000) { nodes { embedding similar(first: 2) { nodes { embedding } } } } }"
    assert demo.error(twice)["code"] == "TOO_MANY_COST"


def test_a_metacell_at_the_origin_lies_near_others_and_is_like_none(own_demo: str, serve: Serve) -> None:
    with psycopg.connect(own_demo, autocommit=True) as conn:
        conn.execute("UPDATE metacell SET embedding = array_fill(0, ARRAY[vector_dims(embedding)])::vector WHERE name = 'SEACell-1'")
    query = '{ metacells(name: ["SEACell-1", "SEACell-2"]) { nodes { name similar(first: 100) { edges { distance similarity node { name } } } } } }'
    for node in serve(own_demo).data(query)["metacells"]["nodes"]:
        edges = node["similar"]["edges"]
        assert len(edges) == 19
        assert [edge["distance"] for edge in edges] == sorted(edge["distance"] for edge in edges)
        none = {edge["node"]["name"] for edge in edges if edge["similarity"] is None}
        assert none == ({"SEACell-1"} if node["name"] == "SEACell-2" else {edge["node"]["name"] for edge in edges})
