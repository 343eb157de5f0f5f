"""What the tests of the graph share: three stores filled by the project's own loaders, served over HTTP.

`demo` holds the demo data, `annotated` and `family` the files of tests/data/graph. They are shared and only read; a test that loads
or unloads takes a copy (`own_demo`, `own_annotated`, `own_family`), or an empty one (`own_store`), and serves that.
"""

from __future__ import annotations

import functools
import gzip
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from embedder.commands import embed
from graph.app import Settings
from store.assembly import GRCH37
from store.genome import initialise, register_reference
from store.reference import Reference
from tests.conftest import REAL, database
from tests.graph.api import Api
from tests.graph.loading import load_enformer, load_genes, load_ibd, load_metacells, load_samples, load_scores, load_v2f, load_vcf
from tests.graph.segments import REAL_RUNS, File, World, read_run

ROOT = Path(__file__).resolve().parent.parent.parent
DEMO = ROOT / "demo"
DATA = ROOT / "tests" / "data" / "graph"
HAPIBD = (DEMO / "hapibd.min1cm.ibd.gz", DEMO / "hapibd.min1cm.hbd.gz")
FASTA = DEMO / "chr20_npad_0.9-4.1mb.grch37.fa.gz"

Clone = Callable[[str], Any]
Serve = Callable[..., Api]


@pytest.fixture(scope="session")
def demo_vcf() -> Path:
    """The VCF of the demo data."""
    return DEMO / "kg300_eur.chr20_1-4mb.grch37.phased.vcf.gz"


@dataclass(frozen=True)
class Site:
    """A record of the demo VCF, as text."""

    pos: int
    ref: str
    alt: str
    ids: tuple[str, ...]
    info: dict[str, str]

    @property
    def name(self) -> str:
        return f"20-{self.pos}-{self.ref}-{self.alt}"


@pytest.fixture(scope="session")
def sites(demo_vcf: Path) -> list[Site]:
    """All records of the demo VCF in file order, taken apart here, not by a loader. They have one ALT each, left-aligned."""
    lines = (line.split("\t", 8) for line in gzip.decompress(demo_vcf.read_bytes()).decode().splitlines() if line[0] != "#")
    return [
        Site(int(pos), ref, alt, tuple(ids.split(";")), dict(field.split("=") for field in info.split(";")))
        for _, pos, ids, ref, alt, _, _, info, _ in lines
    ]


@pytest.fixture(scope="session")
def clone(_template: str) -> Clone:
    """`with clone(template) as url`: a database of its own, a copy of another one of this server."""
    return functools.partial(database, _template)


def _name(url: str) -> str:
    return url.rpartition("/")[2] if "?" not in url else url.split("?")[0].rpartition("/")[2]


def _initialise(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        initialise(conn, GRCH37)
        reference = Reference(FASTA)
        register_reference(conn, reference.path, reference.contigs)


def embed_annotation(url: str) -> None:
    """Embeds what has no vector yet by the model `annotation`, as `vkg embed` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VKG_DATABASE_URL", url)
        embed()


@pytest.fixture(scope="session")
def demo_template(clone: Clone, demo_vcf: Path) -> Iterator[str]:
    """Name of a database with the demo data, as `vkg demo` loads them; nothing may stay connected to it."""
    with clone("vkg_template") as url:
        _initialise(url)
        load_samples(url, DEMO / "samples.panel", dataset="panel", version="20130502", cohort="1000G")
        load_vcf(url, demo_vcf, dataset="kg300", version="phase3", cohort="1000G", assembly="GRCh37")
        load_genes(url, DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz", dataset="refgene", version="hg19", assembly="GRCh37")
        run = {"source": "hap-ibd", "source_version": "1.0", "callset": "kg300", "surveyed_cm": 6.65}
        load_ibd(url, *HAPIBD, dataset="hapibd", version="min1cm", cohort="1000G", **run)
        load_v2f(url, DEMO / "v2f.synthetic.abc.tsv", source="abc", dataset="abc_synthetic", version="demo", assembly="GRCh37")
        load_enformer(url, DEMO / "enformer.synthetic.h5", dataset="enformer_synthetic", version="demo", assembly="GRCh37")
        load_metacells(url, DEMO / "pbmc68k_reduced.seacells.h5ad", dataset="pbmc68k", version="10x", tissue="peripheral blood")
        embed_annotation(url)
        yield _name(url)


@pytest.fixture(scope="session")
def segment_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of all real files of segments, copied, since what is rejected of a file is written beside it; use it with the marker requires_real."""
    return Path(shutil.copytree(REAL / "chr20_grch37" / "ibd", tmp_path_factory.mktemp("segments") / "ibd"))


@pytest.fixture(scope="session")
def shared_template(clone: Clone, demo_template: str, segment_files: Path) -> Iterator[str]:
    """Name of a database with the demo data and all real runs of segments; nothing may stay connected to it."""
    with clone(demo_template) as url:
        for file in REAL_RUNS:
            paths = [segment_files / name for name in file.names]
            load_ibd(url, *paths, source=file.source, dataset=file.dataset, version="1", cohort="1000G", **file.options)
        yield _name(url)


@pytest.fixture(scope="session")
def world(demo_vcf: Path, segment_files: Path) -> World:
    """What the files of the store `shared` say."""
    demo = File("hapibd", "hap-ibd", tuple(path.name for path in HAPIBD))
    return World(demo_vcf, DEMO / "samples.panel", [read_run(DEMO, demo), *(read_run(segment_files, file) for file in REAL_RUNS)])


@pytest.fixture(scope="session")
def annotated_template(clone: Clone) -> Iterator[str]:
    """Name of a database with the files of tests/data/graph; nothing may stay connected to it."""
    with clone("vkg_template") as url:
        _initialise(url)
        load_genes(url, DATA / "genes.gtf", dataset="gencode", version="19", assembly="GRCh37")
        for dataset in ("cohort", "clinvar", "panel"):
            load_vcf(url, DATA / f"{dataset}.vcf", dataset=dataset, version="1")
        scores = {"columns": ["RawScore", "PHRED"], "names": ["CADD_RAW", "CADD_PHRED"]}
        load_scores(url, DATA / "scores.tsv", dataset="cadd", version="1.7", **scores)
        yield _name(url)


@pytest.fixture(scope="session")
def family_template(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of a database with the families of tests/data/graph, twice: as they are (cohort narrow), and among three hundred people without
    any ALT (cohort wide), where rare variants are stored as lists; nothing may stay connected to it."""
    with clone("vkg_template") as url:
        _initialise(url)
        load_genes(url, DATA / "family.gtf", dataset="genes", version="1", assembly="GRCh37")
        files = {"narrow": DATA / "family.vcf", "wide": widened(DATA / "family.vcf", tmp_path_factory.mktemp("family") / "wide.vcf")}
        for cohort, vcf in files.items():
            load_samples(url, DATA / "family.ped", dataset=f"{cohort}_ped", version="1", cohort=cohort)
            load_vcf(url, vcf, dataset=cohort, version="1", cohort=cohort, keep_format=True)
        yield _name(url)


def widened(path: Path, to: Path) -> Path:
    """Writes a VCF with three hundred more samples, R0 to R299, who have no ALT."""
    lines = path.read_text().splitlines()
    more = {"MT": "0:20:50:20:.", "Y": "0:20:50:20:."}
    names = "\t".join(f"R{n}" for n in range(300))
    with to.open("w") as out:
        for line in lines:
            cells = "\t".join([more.get(line.split("\t")[0], "0/0:20:50:20:.")] * 300)
            out.write(f"{line}\n" if line.startswith("##") else f"{line}\t{names if line.startswith('#') else cells}\n")
    return to


@pytest.fixture(scope="session")
def demo_url(clone: Clone, demo_template: str) -> Iterator[str]:
    """URL of the demo store that all tests of a process read."""
    with clone(demo_template) as url:
        yield url


@pytest.fixture(scope="session")
def shared_url(clone: Clone, shared_template: str) -> Iterator[str]:
    """URL of the store of all runs that all tests of a process read."""
    with clone(shared_template) as url:
        yield url


@pytest.fixture(scope="session")
def annotated_url(clone: Clone, annotated_template: str) -> Iterator[str]:
    """URL of the annotated store that all tests of a process read."""
    with clone(annotated_template) as url:
        yield url


@pytest.fixture(scope="session")
def family_url(clone: Clone, family_template: str) -> Iterator[str]:
    """URL of the store of families that all tests of a process read."""
    with clone(family_template) as url:
        yield url


@pytest.fixture
def own_store(clone: Clone) -> Iterator[str]:
    """URL of a store of this test's own with nothing loaded."""
    with clone("vkg_template") as url:
        _initialise(url)
        yield url


@pytest.fixture
def own_demo(clone: Clone, demo_template: str) -> Iterator[str]:
    """URL of a demo store of this test's own."""
    with clone(demo_template) as url:
        yield url


@pytest.fixture
def own_shared(clone: Clone, shared_template: str) -> Iterator[str]:
    """URL of a store of all runs of this test's own."""
    with clone(shared_template) as url:
        yield url


@pytest.fixture
def own_annotated(clone: Clone, annotated_template: str) -> Iterator[str]:
    """URL of an annotated store of this test's own."""
    with clone(annotated_template) as url:
        yield url


@pytest.fixture
def own_family(clone: Clone, family_template: str) -> Iterator[str]:
    """URL of a store of families of this test's own."""
    with clone(family_template) as url:
        yield url


def settings(url: str, **other: Any) -> Settings:
    """Those of `vkg serve`, with a pool that is small enough for many stores on one server."""
    return Settings(**{"url": url, "assembly": GRCH37, "reference": Reference(FASTA), "pool_size": 3} | other)


@pytest.fixture(scope="session")
def demo(demo_url: str) -> Iterator[Api]:
    """The application over the demo data."""
    with Api(settings(demo_url)) as api:
        yield api


@pytest.fixture(scope="session")
def shared(shared_url: str) -> Iterator[Api]:
    """The application over the demo data and all real runs of segments."""
    with Api(settings(shared_url)) as api:
        yield api


@pytest.fixture(scope="session")
def annotated(annotated_url: str) -> Iterator[Api]:
    """The application over the files of tests/data/graph."""
    with Api(settings(annotated_url)) as api:
        yield api


@pytest.fixture(scope="session")
def family(family_url: str) -> Iterator[Api]:
    """The application over the families."""
    with Api(settings(family_url)) as api:
        yield api


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a store of the test's own: serve(url, **settings) -> Api, up to the end of the test."""
    with ExitStack() as stack:
        yield lambda url, **other: stack.enter_context(Api(settings(url, **other)))
