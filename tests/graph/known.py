"""A store of which more is known than of the demo, and what the commands of similarity write about it, for their tests."""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from graph import export_annotations, export_people, export_similar, shell
from graph.candidates import Candidates
from graph.export_annotations import Fuzzy
from graph.export_people import Found
from graph.export_similar import Alike, Near, classes_named
from store.assembly import GRCH37
from store.database import open_pools
from store.reference import Reference
from tests.graph.api import JSON, Api
from tests.graph.cells import Annotation, read_gtf
from tests.graph.conftest import DEMO, FASTA, Clone, Site, embed_annotation, settings
from tests.graph.facts import Facts, read_facts
from tests.graph.loading import HEADER, load_scores, load_vcf, write_vcf
from tests.graph.neighbours import Neighbours, read_neighbours, register
from tests.graph.test_cell_context import some_consequences, write_vep

RS = "20-1897442-C-T"
DISEASE = ["PATHOGENIC", "LIKELY_PATHOGENIC"]
WRITTEN = {
    "PATHOGENIC": "Pathogenic",
    "LIKELY_PATHOGENIC": "Likely_pathogenic",
    "BENIGN": "Benign",
    "UNCERTAIN_SIGNIFICANCE": "Uncertain_significance",
}
APART = 20
"""The model `noise` reads 10 bases on either side."""


@dataclass
class Answer:
    """What a command wrote, what it told beside, and how many statements it took."""

    text: str = ""
    told: list[str] = field(default_factory=list)
    statements: int = 0

    @property
    def rows(self) -> list[dict[str, str]]:
        head, *rows = (line.split("\t") for line in self.text.splitlines())
        return [dict(zip(head, row, strict=True)) for row in rows]


def write(
    url: str, find: Callable[..., Awaitable[Found]], *wanted: Any, output: Path | None = None, named: str | None = None, **how: Any
) -> Answer:
    """What a command writes to the terminal or a file."""
    answer = Answer()

    async def work() -> None:
        pools = await open_pools(url, size=1, timeout_ms=60_000)
        out = io.StringIO()
        try:
            ctx = await shell.request(pools, GRCH37, Reference(FASTA), named)
            found = await find(ctx, *wanted, answer.told.append, **how)
            await export_people.write(ctx, found, how.get("as_json", False), output, out)
            answer.statements = ctx.statements
        finally:
            await pools.close()
        answer.text = out.getvalue()

    asyncio.run(work())
    return answer


def similar(
    url: str,
    name: str,
    model: str | None = None,
    *,
    as_json: bool = False,
    output: Path | None = None,
    named: str | None = None,
    **asked: Any,
) -> Answer:
    async def find(ctx: Any, say: Any, as_json: bool) -> Found:
        return await export_similar.most_similar(ctx, name, model, Near(**asked), say)

    return write(url, find, output=output, named=named, as_json=as_json)


def pairs(url: str, model: str | None, **asked: Any) -> Answer:
    return write(url, export_similar.similar_pairs, model, Alike(**asked))


def ranked(url: str, of: Candidates, classes: list[str], model: str, top: int | None = None, **how: Any) -> Answer:
    return write(url, export_similar.ranked, of, classes_named(",".join(classes)), model, top, **how)


def facts(url: str, of: Candidates, fuzzy: Fuzzy | None = None, **how: Any) -> Answer:
    return write(url, export_annotations.facts, of, fuzzy, **how)


def lines(answer: Answer) -> list[JSON]:
    return [json.loads(line) for line in answer.text.splitlines()]


# ---- a store of which more is known than of the demo


@dataclass(frozen=True)
class World:
    """The demo; 900 variants are classified (every sixth of the indels, which `noise` puts in a corner, as causing disease), 400 have scores, 100
    consequences. `noise` has vectors of every third variant, each hundredth of them zero. Of three variants more, which everybody has vectors of, a file
    that is held back tells."""

    api: Api
    url: str
    annotation: Neighbours
    noise: Neighbours
    genes: Annotation
    consequences: dict[str, list[tuple[str, str, str]]]
    facts: dict[str, Facts]
    hidden: list[str]

    def of(self, model: str) -> Neighbours:
        return self.annotation if model == "annotation" else self.noise

    def within(self, model: str, start: int, end: int) -> list[str]:
        """The visible variants of a stretch that have a vector which is not zero."""
        known = self.of(model)
        there = [n for n, name in enumerate(known.names) if start <= int(name.split("-")[1]) <= end and known.norms[n] > 0]
        return [known.names[n] for n in there if known.names[n] not in self.hidden]


def write_clinical(path: Path, sites: list[Site]) -> Path:
    rng = random.Random(12)
    rows = []
    for n, site in enumerate(rng.sample(sites, 900)):
        indel = len(site.ref) != len(site.alt)
        said = rng.choice(DISEASE) if indel or not n % 20 else rng.choice(["BENIGN", "UNCERTAIN_SIGNIFICANCE"])
        rows.append(
            (
                site.pos,
                f"20\t{site.pos}\t{site.ids[0]}\t{site.ref}\t{site.alt}\t.\t.\tCLNSIG={WRITTEN[said]};CLNREVSTAT=no_assertion_criteria_provided\n",
            )
        )
    keys = '##INFO=<ID=CLNSIG,Number=.,Type=String,Description="Germline classification">\n'
    keys += '##INFO=<ID=CLNREVSTAT,Number=.,Type=String,Description="Review status">\n'
    path.write_text(HEADER + keys + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(row for _, row in sorted(rows)))
    return path


def write_scores(path: Path, sites: list[Site]) -> Path:
    rng = random.Random(13)
    chosen = sorted(rng.sample(range(len(sites)), 400))
    rows = [f"20\t{sites[n].pos}\t{sites[n].ref}\t{sites[n].alt}\t{rng.uniform(-5, 6):.2f}\t{rng.uniform(0, 40):.1f}\n" for n in chosen]
    path.write_text("#CHROM\tPOS\tREF\tALT\tGERP\tPHRED\n" + "".join(rows))
    return path


HIDDEN = [f"20 {pos} . {ref} {alt} 1 PASS DP=1" for pos, ref, alt in ((1_897_441, "A", "G"), (1_897_443, "G", "A"), (1_897_445, "A", "G"))]


def make_world(clone: Clone, demo_template: str, sites: list[Site], folder: Path) -> Iterator[World]:
    """The store, served; files are written to the folder."""
    genes = read_gtf(DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz")
    csq = some_consequences(sites, genes)
    reference = Reference(FASTA)
    held = []
    for row in HIDDEN:
        _, pos, _, _, _, *rest = row.split(" ")
        base = reference.fetch(20, int(pos), int(pos))
        held.append(" ".join(("20", pos, ".", base, {"A": "G", "G": "A", "C": "T", "T": "C"}[base], *rest)))
    hidden = ["20-{1}-{3}-{4}".format(*row.split(" ")) for row in held]
    rng = np.random.default_rng(71)
    corner = rng.normal(size=12)
    vectors = {site.name: rng.normal(size=12) + 3 * corner * (len(site.ref) != len(site.alt)) for site in sites[::3]}
    for name in list(vectors)[::100]:
        vectors[name] = np.zeros(12)
    vectors |= {name: next(iter(vectors.values())) + corner for name in hidden}
    with clone(demo_template) as url:
        load_vcf(url, write_vcf(folder / "held.vcf", *held), dataset="held", version="1", hold=True)
        load_vcf(url, write_clinical(folder / "clinical.vcf", sites), dataset="clinical", version="7", assembly="GRCh37")
        load_vcf(
            url, write_vep(folder / "vep.vcf", {site.name: site for site in sites}, csq), dataset="vep", version="1", assembly="GRCh37"
        )
        scores = {"columns": ["GERP", "PHRED"], "names": ["GERP", "CADD_PHRED"]}
        load_scores(url, write_scores(folder / "scores.tsv", sites), dataset="scores", version="2", assembly="GRCh37", **scores)
        embed_annotation(url)
        register(url, "noise", vectors)
        known = {each.name: each for each in read_facts(url) if each.name not in hidden}
        with Api(settings(url)) as api:
            yield World(api, url, read_neighbours(url, "annotation"), read_neighbours(url, "noise"), genes, csq, known, hidden)
