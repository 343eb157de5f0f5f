"""In which cells a variant may matter, over HTTP: against plain Python over the files of links, consequences, genes and cells; and the whole report."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from tests.graph.api import Api
from tests.graph.cells import Annotation, Cells, Row, near, read_cells, read_gtf, write_cells
from tests.graph.conftest import DEMO, Clone, Serve, Site, settings
from tests.graph.loading import HEADER, load_metacells, load_vcf

ABC = 0.027
TERMS = ["stop_gained", "frameshift_variant", "missense_variant", "synonymous_variant", "intron_variant", "upstream_gene_variant"]
"""Terms of VEP, most severe first (ensembl.org/info/genome/variation/prediction/predicted_data.html), and their impacts."""
IMPACTS = dict(zip(TERMS, ("HIGH", "HIGH", "MODERATE", "LOW", "MODIFIER", "MODIFIER"), strict=True))


@dataclass(frozen=True)
class Element:
    """A line of the file of links; positions are 1-based and inclusive."""

    line: int
    start: int
    end: int
    symbol: str
    identifier: str
    score: float

    def over(self, site: Site) -> bool:
        return site.pos <= self.end and site.pos + len(site.ref) - 1 >= self.start


def read_elements() -> list[Element]:
    """The links of the demo, as they stand there."""
    lines = list(enumerate((DEMO / "v2f.synthetic.abc.tsv").read_text().splitlines(), 1))
    rows = csv.DictReader((line for _, line in lines if line[0] != "#"), delimiter="\t")
    numbers = (number for number, line in lines if line[0] != "#" and not line.startswith("chr\t"))
    return [
        Element(n, int(row["start"]) + 1, int(row["end"]), row["TargetGene"], row["TargetGeneEnsembl_ID"], float(row["ABC.Score"]))
        for n, row in zip(numbers, rows, strict=True)
    ]


@dataclass(frozen=True)
class World:
    """The demo with consequences of some variants and with metacells that express all of its genes, and what the files say."""

    api: Api
    url: str
    sites: dict[str, Site]
    annotation: Annotation
    elements: list[Element]
    csq: dict[str, list[tuple[str, str, str]]]
    datasets: list[Cells]

    @cached_property
    def measured(self) -> dict[str, dict[int, int]]:
        """By gene the datasets that have it, and where: of several names the identifier, else the symbol, else the first."""
        found: dict[str, dict[int, int]] = {}
        for d, cells in enumerate(self.datasets):
            several: dict[str, list[tuple[bool, bool, str, int]]] = {}
            for g, (name, identifier) in enumerate(zip(cells.genes, cells.ids, strict=True)):
                if target := self.annotation.target(name, identifier):
                    by_symbol = name.upper() == self.annotation.symbol_of[target].upper()
                    several.setdefault(target, []).append((identifier != target, not by_symbol, name, g))
            for target, names in several.items():
                found.setdefault(target, {})[d] = min(names)[-1]
        return found

    def evidence(self, site: Site) -> dict[str, list[Row]]:
        """By gene why a variant may act on it: scores, the best first, its most severe consequence in it, its place."""
        found: dict[str, list[Row]] = {}
        nothing = {"v2fScore": None, "consequence": None}
        for element in sorted((e for e in self.elements if e.over(site) and e.score >= ABC), key=lambda e: (-e.score, -e.line)):
            target = self.annotation.target(element.symbol, element.identifier)
            assert target is not None
            place = f"20:{element.start}-{element.end}"
            score = {
                "line": element.line,
                "linkScore": element.score,
                "element": place,
                "geneName": element.symbol,
                "targetGene": {"geneId": target},
            }
            found.setdefault(target, []).append({"kind": "V2F", **nothing, "v2fScore": score})
        severest: dict[str, tuple[str, str]] = {}
        for term, gene, transcript in sorted(self.csq.get(site.name, ()), key=lambda c: TERMS.index(c[0])):
            if term != "upstream_gene_variant":
                severest.setdefault(gene, (term, transcript))
        for gene, (term, transcript) in severest.items():
            said = {"terms": [term], "transcriptId": transcript, "impact": IMPACTS[term]}
            found.setdefault(gene, []).append({"kind": "CONSEQUENCE", **nothing, "consequence": said})
        for gene in self.annotation.at("20", site.pos, site.pos + len(site.ref) - 1):
            found.setdefault(gene, []).append({"kind": "POSITION", **nothing})
        return found

    def context(self, name: str, least: float, first: int, datasets: list[str] | None = None) -> list[Row]:
        """The answer of cellContext."""
        rows = []
        for gene, evidence in self.evidence(self.sites[name]).items():
            scores = sum(each["kind"] == "V2F" for each in evidence)
            for d, g in self.measured.get(gene, {}).items():
                if datasets is not None and self.datasets[d].dataset not in datasets:
                    continue
                cells = self.datasets[d]
                for n in range(len(cells.names)):
                    if cells.mean[n, g] >= np.float32(least) and cells.mean[n, g] > 0:
                        z = -np.inf if np.isnan(cells.z[n, g]) else cells.z[n, g]
                        where = {
                            "gene": {"geneId": gene},
                            "metacell": {"name": cells.names[n], "dataset": cells.dataset},
                            "evidence": evidence[: min(scores, 10)] + evidence[scores:],
                            "scoreCount": scores,
                        }
                        rows.append(((-z, -cells.mean[n, g], d, n, gene), {**cells.row(n, g), **where}))
        rows.sort(key=lambda row: row[0])
        return [row for _, row in rows[:first]]


def some_consequences(sites: list[Site], annotation: Annotation) -> dict[str, list[tuple[str, str, str]]]:
    """Of a hundred variants (term, gene, transcript) of one to four consequences, often several for one gene, also for one that nobody knows."""
    rng = random.Random(61)
    genes = sorted(annotation.ids)
    found = {}
    for n, site in enumerate(sorted(rng.sample(sites, 100), key=lambda s: s.pos)):
        near_by = rng.sample(genes, 2) + annotation.at("20", site.pos) + ["ENSG00000999999"]
        found[site.name] = [(rng.choice(TERMS), rng.choice(near_by), f"ENST{n:07}{k:04}") for k in range(rng.randint(1, 4))]
    return found


def write_vep(path: Path, sites: dict[str, Site], csq: dict[str, list[tuple[str, str, str]]]) -> Path:
    """Writes consequences as VEP does."""
    keys = "Allele|Consequence|IMPACT|SYMBOL|Gene|Feature_type|Feature|BIOTYPE"
    head = f'##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequence annotations from Ensembl VEP. Format: {keys}">\n'
    rows = []
    for name, said in csq.items():
        site = sites[name]
        allele = site.alt if len(site.ref) == len(site.alt) == 1 else site.alt[1:] or "-"
        csqs = ",".join(
            f"{allele}|{term}|{IMPACTS[term]}||{gene}|Transcript|{transcript}|protein_coding" for term, gene, transcript in said
        )
        rows.append(f"20\t{site.pos}\t{site.ids[0]}\t{site.ref}\t{site.alt}\t.\t.\tCSQ={csqs}\n")
    path.write_text(HEADER + head + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(rows))
    return path


@pytest.fixture(scope="module")
def world(clone: Clone, demo_template: str, sites: list[Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Four loads of metacells: the demo's, and three of all genes, by symbols, identifiers, both, in any case, one that nothing expresses; in the last all
    metacells are alike."""
    folder = tmp_path_factory.mktemp("context")
    annotation = read_gtf(DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz")
    csq = some_consequences(sites, annotation)
    by_name = {site.name: site for site in sites}
    rng = np.random.default_rng(6)
    genes = [
        (g.symbol.lower() if n % 3 else g.symbol, g.gene_id if g.gene_id.startswith("ENSG") and n % 2 else None)
        for n, g in enumerate(annotation.genes)
    ]
    more = [(g.gene_id, None) for g in annotation.genes[5:9] if g.gene_id.startswith("ENSG")] + [("elsewhere", None)]
    types = ["T cell", "B cell", "T cell", "B cell", "NK", "NK", "T cell", "CD19+ B"]
    paths = []
    for name, of in (("one", genes + more), ("two", genes[::-1])):
        counts = rng.integers(0, 40, (16, len(of))) * (rng.random((16, len(of))) < 0.8)
        counts[:, 2] = 0
        paths.append(write_cells(folder / f"{name}.h5ad", of, types, counts))
    paths.append(write_cells(folder / "alike.h5ad", genes, types[:2], np.ones((4, len(genes)))))
    with clone(demo_template) as url:
        for path in paths:
            load_metacells(url, path, dataset=path.stem, version="1")
        load_vcf(url, write_vep(folder / "vep.vcf", by_name, csq), dataset="vep", version="1", assembly="GRCh37")
        datasets = [read_cells(DEMO / "pbmc68k_reduced.seacells.h5ad", "pbmc68k", "raw.X", "bulk_labels")]
        datasets += [read_cells(path, path.stem, "X", "cell_type") for path in paths]
        with Api(settings(url)) as api:
            yield World(api, url, by_name, annotation, read_elements(), csq, datasets)


CONTEXT = """geneName scoreCount mean percent z tau gene { geneId } metacell { name dataset } evidence { kind
    v2fScore { line linkScore element geneName targetGene { geneId } } consequence { terms transcriptId impact } }"""
QUERY = f"""query ($ids: [String!]!, $least: Float! = 0.5, $cells: Int! = 10, $in: [String!]) {{ variants(ids: $ids, first: 20) {{ nodes {{ name
    cellContext(minExpression: $least, first: $cells, dataset: $in) {{ {CONTEXT} }} }} }} }}"""


def test_cells_are_those_that_express_a_gene_which_the_variant_may_act_on(world: World) -> None:
    rng = random.Random(71)
    names = (
        list(world.csq)
        + rng.sample([s for s, site in world.sites.items() if world.evidence(site)], 160)
        + rng.sample(sorted(world.sites), 20)
    )
    rng.shuffle(names)
    names = list(dict.fromkeys(names))
    assert len(names) >= 250
    kinds: dict[tuple[str, ...], int] = {}
    told = nothing = cut = unspecific = 0
    for n in range(0, len(names), 20):
        least, first = rng.choice([(0.5, 10), (0.5, 1), (0, 40), (2.5, 30), (4.8, 10), (1e-9, 15), (20, 5)])
        datasets = rng.choice([None, None, ["one", "alike"], ["two", "pbmc68k"]])
        asked = {"ids": names[n : n + 20], "least": least, "cells": first, "in": datasets}
        for node in world.api.data(QUERY, asked)["variants"]["nodes"]:
            expected = world.context(node["name"], least, first, datasets)
            assert node["cellContext"] == expected, (node["name"], asked)
            ranks = [(row["z"] is None, -(row["z"] or 0), -row["mean"]) for row in node["cellContext"]]
            assert ranks == sorted(ranks)
            told += bool(expected)
            nothing += not expected
            cut += len(expected) == first
            unspecific += sum(row["z"] is None for row in expected)
            for row in expected:
                kind = tuple(sorted({e["kind"] for e in row["evidence"]}))
                kinds[kind] = kinds.get(kind, 0) + 1
    assert told > 100
    assert nothing > 20
    assert cut > 50
    assert unspecific > 0
    for kind in (("V2F",), ("CONSEQUENCE",), ("POSITION",), ("POSITION", "V2F"), ("CONSEQUENCE", "POSITION")):
        assert kinds.get(kind, 0) > 3, kind


def test_without_arguments_they_express_it_from_a_half_on_and_are_ten(world: World) -> None:
    name = next(name for name in world.csq if len(world.context(name, 0.5, 100)) > 12)
    found = world.api.data(f'{{ variant(id: "{name}") {{ cellContext {{ {CONTEXT} }} }} }}')["variant"]["cellContext"]
    assert found == world.context(name, 0.5, 10)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("minExpression: -0.1", "BAD_EXPRESSION"),
        ("minExpression: 1e39", "BAD_EXPRESSION"),
        ("first: 0", "BAD_PAGE"),
        ("first: 1001", "PAGE_TOO_LARGE"),
        ('dataset: ["pbmc68k", "pbmc68"]', "UNKNOWN_DATASET"),
    ],
)
def test_what_cannot_be_asked_is_said(demo: Api, arguments: str, code: str) -> None:
    assert demo.error(f'{{ variant(id: "rs4813331") {{ cellContext({arguments}) {{ mean }} }} }}')["code"] == code


def test_cells_of_a_hundred_variants_take_as_many_statements_as_those_of_one(world: World) -> None:
    """The variants; scores, consequences, genes there, expression; then the genes, the metacells and the target genes of scores."""
    query = """query ($ids: [String!]!) { variants(ids: $ids, first: 100) { nodes { name cellContext(minExpression: 0, first: 5) { mean z gene { symbol } metacell { name }
        evidence { kind v2fScore { linkScore targetGene { geneId } } consequence { terms } } } } } }"""
    names = [name for name, site in world.sites.items() if len({e["kind"] for of in world.evidence(site).values() for e in of}) == 3]
    many = random.Random(4).sample(sorted(world.sites), 99) + names[:1]
    one, hundred = (world.api.cost(query, {"ids": ids})["statements"] for ids in (names[:1], many))
    assert one == hundred == 8
    found = world.api.data(query, {"ids": many})["variants"]["nodes"]
    assert len(found) == 100
    assert sum(bool(node["cellContext"]) for node in found) > 20
    assert world.api.cost(query.replace("mean z gene { symbol } metacell { name }", "mean"), {"ids": many})["statements"] == 6


def test_from_a_variant_to_the_cells_in_one_query_with_a_statement_for_each_link(demo: Api, sites: list[Site]) -> None:
    """Four levels: a variant in NOP56, the links of elements that it lies in, their genes, what is expressed of these, by which metacells."""
    nop56 = next(g for g in read_gtf(DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz").genes if g.symbol == "NOP56")
    elements = [e for e in read_elements() if e.symbol == "NOP56" and e.score >= ABC]
    site = next(s for s in sites if nop56.start <= s.pos <= nop56.end and any(e.over(s) for e in elements))
    query = f"""{{ variant(id: "{site.name}") {{ name genes {{ nodes {{ symbol }} }} v2fScores(gene: ["NOP56"]) {{ nodes {{ linkScore targetGene {{ symbol
        expression(first: 100) {{ nodes {{ mean metacell {{ name cellType }} }} }} }} }} }} }} }}"""
    cells = read_cells(DEMO / "pbmc68k_reduced.seacells.h5ad", "pbmc68k", "raw.X", "bulk_labels")
    g = cells.genes.index("NOP56")
    data = demo.data(query)["variant"]
    assert "NOP56" in [gene["symbol"] for gene in data["genes"]["nodes"]]
    order = sorted(range(20), key=lambda n: (-cells.mean[n, g], -n))
    expressed = [
        {"mean": near(float(cells.mean[n, g])), "metacell": {"name": cells.names[n], "cellType": cells.cell_type[n]}} for n in order
    ]
    scores = sorted((e.score for e in elements if e.over(site)), reverse=True)
    gene = {"symbol": "NOP56", "expression": {"nodes": expressed}}
    assert data["v2fScores"]["nodes"] == [{"linkScore": score, "targetGene": gene} for score in scores]
    # The variant, its scores with their genes, expression with metacells; and its genes.
    without = query.replace("genes { nodes { symbol } } ", "")
    levels = without.replace(" metacell { name cellType }", ""), without
    assert [demo.cost(q)["statements"] for q in (*levels, query)] == [3, 3, 4]
    many = (
        without.replace("v2fScores(", "v2fScores(first: 5, ")
        .replace("first: 100", "first: 5")
        .replace(f'variant(id: "{site.name}") {{', 'page: variants(region: "20:2632900-2639039", first: 60) { nodes {')
    )
    assert demo.cost(many + " }")["statements"] == 4


# ---- the whole report

REPORT = """query ($id: String!, $sample: String) { variantContext(id: $id, sample: $sample) {
    variant { name rsids records { load { dataset } } genes { nodes { symbol } } consequences { terms } clinicalSignificance { classes } frequency { frequency }
        scores { name } v2fScores { nodes { linkScore targetGene { symbol } } } enformerEffects { strongestEffect strongestTrack { description } }
        cellContext { geneName metacell { name } } }
    inSample { sample { name } genotype { gt zygosity callset { name } } ibdSegments(first: 100) { totalCount edges { haplotype other { name } node { lengthCm } } } } } }"""


def test_the_report_of_a_variant_is_all_that_its_fields_say_in_one_request(world: World) -> None:
    api, sample = world.api, "HG00376"
    with_all = [name for name, site in world.sites.items() if any(e.over(site) and e.score >= ABC for e in world.elements)]
    ids = [*list(world.csq)[:25], *with_all[::120], "rs4813331"]
    said = REPORT.partition("variant { ")[2].partition("    inSample")[0].rstrip().removesuffix("}")
    carried = 0
    for name in ids:
        report = api.data(REPORT, {"id": name, "sample": sample})["variantContext"]
        alone = api.data(f'{{ variant(id: "{name}") {{ {said} genotype(sample: "{sample}") {{ gt zygosity callset {{ name }} }} '
                         f'ibdContext(sample: "{sample}", first: 100) {{ totalCount edges {{ haplotype other {{ name }} node {{ lengthCm }} }} }} }} }}')["variant"]  # fmt: skip
        person = {"sample": {"name": sample}, "genotype": alone.pop("genotype"), "ibdSegments": alone.pop("ibdContext")}
        assert report == {"variant": alone, "inSample": person}
        carried += bool(person["genotype"] and person["genotype"]["zygosity"]) and person["ibdSegments"]["totalCount"] > 0
        without = api.data(REPORT, {"id": name})["variantContext"]
        assert without == {"variant": alone, "inSample": None}
    assert carried > 0
    # Of one variant in one person: one statement for each field and level that has rows, four for the cells, two for the names; populations come along.
    assert max(api.cost(REPORT, {"id": name, "sample": sample})["statements"] for name in ids) == 24


def test_the_report_says_what_it_cannot_find(annotated: Api, demo: Api) -> None:
    assert demo.data(REPORT, {"id": "20-1897442-C-A"}) == {"variantContext": None}
    assert demo.data(REPORT, {"id": "rs999999999999"}) == {"variantContext": None}
    assert demo.data(REPORT, {"id": "20-1897442-C-A", "sample": "HG00376"}) == {"variantContext": None}
    assert demo.error(REPORT, {"id": "rs4813331", "sample": "nobody"})["code"] == "UNKNOWN_SAMPLE"
    assert demo.error(REPORT, {"id": "rs4813331", "sample": ""})["code"] == "UNKNOWN_SAMPLE"
    assert demo.error(REPORT, {"id": "what?"})["code"] == "INVALID_NAME"
    assert annotated.error(REPORT, {"id": "20:1896010"})["code"] == "AMBIGUOUS_NAME"


def test_a_variant_that_the_sample_was_not_called_at_has_no_genotype(own_demo: str, serve: Serve, tmp_path: Path) -> None:
    row = "20 1896200 rs77000001 G A 1 PASS DP=1"
    columns = "#CHROM POS ID REF ALT QUAL FILTER INFO"
    path = tmp_path / "x.vcf"
    path.write_text(HEADER + columns.replace(" ", "\t") + "\n" + row.replace(" ", "\t") + "\n")
    load_vcf(own_demo, path, dataset="other", version="1")
    found = serve(own_demo).data(REPORT, {"id": "20-1896200-G-A", "sample": "1000G/HG00376"})["variantContext"]
    assert found["variant"]["name"] == "20-1896200-G-A"
    assert found["inSample"]["sample"] == {"name": "HG00376"}
    assert found["inSample"]["genotype"] is None
