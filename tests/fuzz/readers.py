"""All readers of files: what each begins with (seeds), how its files are damaged, and how a load would read them, but for the store.

What a command would be told by its options is drawn from the content of the file, so that a file alone is enough to see what came of it again.
"""

from __future__ import annotations

import gzip
import shutil
import zlib
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from loaders import (
    ancestry,
    enformer,
    enformer_layout,
    frequency_files,
    genes,
    ibd,
    ibd_layout,
    metacell_job,
    populations,
    samples,
    scores,
    v2f,
    v2f_layout,
)
from loaders.annotation_job import sites, stating
from loaders.assembly_check import from_contigs, settle
from loaders.callset import Callset, samples_of
from loaders.counts import Populations
from loaders.enformer_effects import Pairs
from loaders.frequencies import Frequencies
from loaders.genetic_map import GeneticMap, read_map
from loaders.header import VcfHeader, open_vcf
from loaders.lift import Lift, read_lift
from loaders.normalize import Normalizer
from loaders.source import source_file, text_blocks
from loaders.vcf import read as read_vcf
from store.assembly import GRCH37, GRCH38, Assembly
from store.copy import Chunk
from store.reference import Reference
from store.sample import Known
from tests.conftest import ROOT
from tests.fuzz import extremes, hdf5, mutate

SEEDS = Path(__file__).with_name("seeds")
FASTA = ROOT / "demo" / "chr20_npad_0.9-4.1mb.grch37.fa.gz"
_WINDOW = 1 << 14

Read = Callable[[Path, Random], Iterable[Chunk]]


@dataclass(frozen=True)
class Reader:
    """One way in. `seeds` are files of SEEDS; `read` reads a file with options that are drawn; `covers` are the parameters of commands that lead
    here; `kind` is how files are damaged: text (also compressed), bytes, bgzf or hdf5; `beside` are files that the library leaves beside, as documented.

    `memory` is how many bytes of addresses reading may need beyond the process. The longest line (loaders.source.LONGEST_LINE, 64 MiB) has to fit as bytes, as text of up
    to four times as many, and as a list of its cells, and so have a slice of a matrix and the blocks that are read ahead."""

    name: str
    seeds: tuple[str, ...]
    read: Read
    covers: tuple[str, ...]
    kind: str = "text"
    beside: tuple[str, ...] = ()
    memory: int = 1 << 30

    def make(self, label: str) -> tuple[str, bytes]:
        """The input of a label: the ending of its name, and its bytes. All of it follows from the label."""
        whose, _, number = label.rpartition("/")
        if whose == extremes.SEED:
            return f"{Path(self.seeds[0]).suffix}.gz", extremes.make(_seed(self.seeds[0]), int(number))
        random = Random(f"{self.name} {label}")
        seed = random.choice(self.seeds)
        data, ending = _seed(seed), Path(seed).suffix
        if self.kind == "hdf5":
            return ending, hdf5.damaged(random, data)
        if self.kind == "bgzf" and random.random() < 0.85:  # below the checksums of its blocks
            return ending, mutate.bgzf(mutate.binary(random, gzip.decompress(data)))
        if self.kind in ("bytes", "bgzf"):
            return ending, mutate.binary(random, data)
        made = mutate.text(random, data, [_seed(other) for other in self.seeds])
        return (f"{ending}.gz", mutate.compressed(random, made)) if random.random() < 0.12 else (ending, made)

    def take(self, path: Path) -> Iterable[Chunk]:
        """Reads a file; its options are drawn from its content."""
        return self.read(path, Random(zlib.crc32(path.read_bytes())))


@cache
def _seed(name: str) -> bytes:
    return (SEEDS / name).read_bytes()


@cache
def _reference() -> Reference:
    return Reference(FASTA, _WINDOW)


@cache
def _lift() -> Lift:
    return read_lift(SEEDS / "hg19ToHg38.chain", GRCH38)


@cache
def _map() -> GeneticMap:
    return read_map([SEEDS / "plink.map"])


def _normalizer(random: Random, build: Assembly, *, lift: bool = False, swaps: bool = False) -> Normalizer:
    """A normalizer of an assembly; sometimes one of GRCh38 into which GRCh37 is lifted. The only reference is of a part of GRCh37."""
    if lift and build is GRCH37 and random.random() < 0.25:
        return Normalizer(GRCH38, _reference(), lift=_lift(), swaps=swaps)
    return Normalizer(build, _reference() if build is GRCH37 and random.random() < 0.8 else None, random.random() < 0.5, swaps=swaps)


def _build(random: Random, header: VcfHeader) -> Assembly:
    """Mostly the assembly that a header tells."""
    said = from_contigs(list(header.contigs.items()))
    return random.choice((GRCH37, GRCH38)) if said is None or random.random() < 0.05 else said


def _settle(path: Path, header: VcfHeader, blocks: Iterable[Any], normalizer: Normalizer) -> None:
    store, lifted = normalizer.assembly, normalizer.lift
    settle(path, header, iter(blocks), store=store, given=normalizer.written, reference=normalizer.reference, lift=lifted)


def _after(random: Random) -> int:
    """The line after which a load goes on: mostly it begins."""
    return random.choice((0, 0, 0, 0, 1, 5, 9, 30, 1 << 20))


def _vcf(path: Path, random: Random) -> Generator[Chunk, None, None]:
    header, blocks = open_vcf(path)
    normalizer = _normalizer(random, _build(random, header))
    _settle(path, header, blocks, normalizer)
    names = () if random.random() < 0.1 else samples_of([path], [header.samples])
    known = Known(
        dict(zip(names, random.choices(("GBR", "FIN", "YRI"), k=len(names)), strict=True)),
        {"GBR": "EUR", "FIN": "EUR", "EUR": "ALL OF THEM"},
    )
    counted = Populations(names, known if random.random() < 0.7 else Known({}, {})) if names else None
    frequencies = Frequencies.for_headers([header], counted)
    callset = Callset(names, frequencies.count, keep_format=random.random() < 0.5) if names and frequencies else None
    source_file(path, header.public_text)
    yield from read_vcf(
        path, header.with_keys_of([header]), normalizer, after=_after(random), frequencies=frequencies, genotypes=callset, first=True
    )


def _genes(path: Path, random: Random) -> Generator[Chunk, None, None]:
    said = genes.statement(path)
    build = GRCH37 if random.random() < 0.7 else GRCH38
    settle(path, stating(said), iter(()), store=build, given=build, reference=None)
    source_file(path, said or None)
    yield from genes.read(path, build)


def _scores(path: Path, random: Random) -> Generator[Chunk, None, None]:
    normalizer = _normalizer(random, random.choice((GRCH37, GRCH38)), lift=True)
    table = scores.layout(path, random.choice((None, None, None, ("hg", "pos", "ref", "alt"))))
    listed = [name for place, name in enumerate(table.columns) if place not in table.locus]
    wanted = scores.chosen(path, random.choice(((), listed[-1:], listed)), table, ())
    _settle(path, stating(table.assembly), sites(table, text_blocks(path)), normalizer)
    yield from scores.read_table(path, table, wanted, normalizer, after=_after(random))


def _scores_vcf(path: Path, random: Random) -> Generator[Chunk, None, None]:
    header, blocks = open_vcf(path)
    normalizer = _normalizer(random, _build(random, header), lift=True)
    _settle(path, header, blocks, normalizer)
    numeric = [key for key, field in header.infos.items() if field.type in ("Float", "Integer")]
    wanted = scores.declared(path, random.sample(numeric, min(2, len(numeric))) or ["AF"], header, ())
    yield from scores.read_vcf(path, wanted, normalizer, after=_after(random))


def _frequencies(path: Path, random: Random) -> Generator[Chunk, None, None]:
    table = None if frequency_files.is_vcf(path) else scores.layout(path)
    header, blocks = (open_vcf(path)) if table is None else (frequency_files.header_of(table), sites(table, text_blocks(path)))
    normalizer = _normalizer(random, _build(random, header), lift=True)
    _settle(path, header, blocks, normalizer)
    found = frequency_files.frequencies_of([path], [header])
    yield from frequency_files.read(path, found, normalizer, table=table, namespace=random.choice(("", "gnomad")), after=_after(random))


def _samples(path: Path, random: Random) -> Generator[Chunk, None, None]:
    samples.layout(path)
    samples.names(path)
    yield from samples.read(path, after=_after(random))


def _populations(path: Path, random: Random) -> Generator[Chunk, None, None]:
    populations.check(path)
    yield from populations.read(path)


def _ancestry(path: Path, random: Random) -> Generator[Chunk, None, None]:
    count = ancestry.layout(path).components
    ancestry.names(path)
    yield from ancestry.read(path, "cohort", [2.5] * count if random.random() < 0.5 else None, after=_after(random))


def _eigenvalues(path: Path, random: Random) -> Iterable[Chunk]:
    ancestry.eigenvalues(path, random.choice((1, 10, 40)))
    return ()


def _ibd(path: Path, random: Random) -> Generator[Chunk, None, None]:
    source = random.choice((None, None, *ibd_layout.SOURCES))
    found = ibd_layout.layouts(path, source)
    run = pa.RecordBatch.from_pylist([{"source": "x", "cohort": "c", "phased": True}], schema=ibd.SCHEMA["ibd_run"])
    source_file(path)
    if not found:
        return
    layout = random.choice(found)
    divided = layout.always or (bool(ibd.divisible_names(path, layout)) and random.random() < 0.8)
    genetic_map = _map() if random.random() < 0.6 else None
    chrom = 0 if "chrom" in layout.columns else 20
    yield from ibd.Reader(path, layout, GRCH37, chrom=chrom, divided=divided, genetic_map=genetic_map, run=run).read(_after(random))


def _genetic_map(path: Path, random: Random) -> Iterable[Chunk]:
    read_map([path] if random.random() < 0.9 else [path, path]).lengths_cm()
    return ()


def _v2f(path: Path, random: Random) -> Generator[Chunk, None, None]:
    source = random.choice(tuple(v2f_layout.THRESHOLDS)) if random.random() < 0.1 else _told(path)
    layout = v2f_layout.layout(path, source)
    normalizer = _normalizer(random, random.choice((GRCH37, GRCH38)), lift=True)
    blocks = () if source in v2f_layout.ELEMENTS else v2f.sites(path, layout, normalizer.written)
    _settle(path, stating(layout.comment), blocks, normalizer)
    run = pa.RecordBatch.from_pylist([{"source": source, "synthetic": layout.synthetic}], schema=v2f.SCHEMA["v2f_run"])
    cell_type = random.choice((None, "B cell"))
    yield from v2f.Reader(path, layout, source, normalizer, 0, cell_type, None, run).read(_after(random))


def _told(path: Path) -> str:
    """The source that its columns tell, as a user would see it; a table where none does."""
    lines = path.read_bytes()[:4000].decode("latin-1").lower().split("\n")
    return next((source for line in lines for source, told in v2f_layout._TOLD.items() if told(line.lstrip("#").split("\t"))), "table")


def _enformer(path: Path, random: Random) -> Generator[Chunk, None, None]:
    found = enformer_layout.layout(path, random.choice((None, None, "SAD", "SAR")))
    normalizer = _normalizer(random, GRCH37 if random.random() < 0.9 else GRCH38, lift=True, swaps=True)
    with closing(enformer.sites(path, found, normalizer)) as blocks:
        _settle(path, stating(enformer_layout.stated_assembly(found)), blocks, normalizer)
    tracks = found.tracks if isinstance(found, enformer_layout.Matrix) else ()
    pairs = Pairs([track.tissue for track in tracks], [track.assay for track in tracks])
    about = {"enformer_track": enformer.tracks_table(tracks)} if tracks else {}
    yield from enformer.Reader(path, found, normalizer, 0, about, 0.1, random.choice(enformer.KEEP), pairs).read(
        random.choice((0, 0, 0, 2))
    )


def _targets(path: Path, random: Random) -> Iterable[Chunk]:
    for track in enformer_layout.targets(path):
        _ = track.assay, track.tissue
    return ()


_NO_OPTIONS = metacell_job._Options(None, None, None, None, None, None)


def _metacells(path: Path, random: Random) -> Generator[Chunk, None, None]:
    yield from _read_metacells(metacell_job._Files(path, None, None), random)


def _cells(path: Path, random: Random) -> Generator[Chunk, None, None]:
    beside = _beside(path, random.choice(("summary.h5ad", "soft.h5ad")))
    yield from _read_metacells(metacell_job._Files(beside, path, None), random)


def _peaks(path: Path, random: Random) -> Generator[Chunk, None, None]:
    yield from _read_metacells(metacell_job._Files(_beside(path, "summary.h5ad"), None, path), random)


def _read_metacells(files: metacell_job._Files, random: Random) -> Generator[Chunk, None, None]:
    scale = random.choice((None, None, "COUNTS", "LOGGED"))
    options = metacell_job._Options(random.choice((None, None, None, "X", "counts")), scale, None, None, None, None)
    reader, peaks = yield from metacell_job._readers(files, options, GRCH37)
    yield from reader.read()
    if peaks is not None:
        yield from (
            Chunk(chunk.tables, chunk.records, position=chunk.position, end=len(reader.genes.names) + chunk.end) for chunk in peaks.read()
        )


def _beside(path: Path, seed: str) -> Path:
    """A sound file that a load needs besides; it stands in the folder of seeds, to which nothing is written."""
    return SEEDS / seed


def _chain(path: Path, random: Random) -> Iterable[Chunk]:
    lifted = read_lift(path, random.choice((GRCH38, GRCH38, GRCH37)))
    normalizer = Normalizer(lifted.target, None, lift=lifted)
    for pos in ("1", "1000000", "4000000", "63025520"):
        try:
            normalizer.position("20", pos)
        except Exception as error:
            if type(error).__name__ != "Rejected":
                raise
    return ()


def _fasta(path: Path, random: Random) -> Iterable[Chunk]:
    reference = Reference(path, _WINDOW)
    reference.check(GRCH37)
    for code in range(1, 26):
        reference.fetch(code, 1, 40)
        reference.fetch(code, max(1, reference.length(code) - 20), reference.length(code) + 5)
    return ()


def _proteins(path: Path, random: Random) -> Iterable[Chunk]:
    from embedder.proteins import Proteins

    Proteins(path).check(["ENSP00000357654.3", "NP_000509"])
    return ()


def _model(path: Path, random: Random) -> Iterable[Chunk]:
    """A model of which one file is the input: config.json, tokenizer.json or the weights."""
    from embedder.models import dnabert2

    name = {".json": "config.json", ".safetensors": "model.safetensors"}[path.suffix]
    if path.suffix == ".json" and b"merges" in path.read_bytes():
        name = "tokenizer.json"
    folder = path.with_suffix(".model")
    shutil.copytree(SEEDS / "model", folder)
    try:
        path.replace(folder / name)
        dnabert2.load(str(folder), device="cpu").tokenizer.tokenize(["ACGT"])
    finally:
        (folder / name).replace(path)
        shutil.rmtree(folder)
    return ()


_VCFS = (
    "cohort.vcf",
    "oddities.vcf",
    "joint.vcf",
    "clinvar.vcf",
    "vep.vcf",
    "vep85.vcf",
    "snpeff.vcf",
    "gnomad.vcf",
    "popaf.vcf",
    "dbsnp.vcf",
)
_IBD = (
    "hap-ibd.ibd", "hap-ibd.hbd", "refined-ibd.ibd", "beagle41.ibd", "germline.match", "germline2.match", "germline2.diploid.match", "ilash.match",
    "truffle.segments", "ibis.seg", "ibis.hbd",
)  # fmt: skip
_V2F = (
    "abc.tsv", "abc.real.tsv", "encode-re2g.tsv", "encode-re2g.full.tsv", "sce2g.tsv", "epiraction.tsv", "cv2f.txt", "v2f.table.tsv", "v2f.locus.tsv",
)  # fmt: skip

READERS: tuple[Reader, ...] = (
    Reader("vcf", _VCFS, _vcf, ("load vcf files",)),
    Reader("bcf", ("cohort.bcf", "popaf.bcf"), _vcf, ("load vcf files",), "bgzf"),
    Reader("genes", ("refgene.gtf", "gencode.gtf", "ensembl.gtf", "family.gtf"), _genes, ("load genes file",)),
    Reader("scores", ("alphamissense.tsv", "alphamissense.csv", "scores.tsv"), _scores, ("load scores files",)),
    Reader("scores-vcf", ("popaf.vcf", "clinvar.vcf", "cohort.vcf", "gnomad.vcf"), _scores_vcf, ("load scores files",)),
    Reader("frequencies", ("popaf.vcf", "gnomad.vcf", "cohort.vcf", "frequencies.tsv"), _frequencies, ("load frequencies files",)),
    Reader("frequencies-bcf", ("popaf.bcf",), _frequencies, ("load frequencies files",), "bgzf"),
    Reader("samples", ("kg.panel", "kg.ped", "family.ped", "family.fam", "plink2.psam"), _samples, ("load samples file",)),
    Reader("populations", ("populations.tsv", "populations.csv"), _populations, ("load populations file",)),
    Reader("ancestry", ("pca.plink1.eigenvec", "pca.plink1h.eigenvec", "pca.plink2.eigenvec"), _ancestry, ("load ancestry file",)),
    Reader("eigenvalues", ("pca.eigenval",), _eigenvalues, ("load ancestry eigenval",)),
    Reader("ibd", _IBD, _ibd, ("load ibd files",)),
    Reader("genetic-map", ("plink.map", "shapeit.gmap", "hapmap.map"), _genetic_map, ("load ibd genetic_map",)),
    Reader("v2f", _V2F, _v2f, ("load v2f files",)),
    Reader("v2f-parquet", ("v2f.parquet",), _v2f, ("load v2f files",), "bytes"),
    Reader("enformer", ("enformer.h5",), _enformer, ("load enformer files",), "hdf5"),
    Reader("enformer-table", ("enformer.pca.tsv",), _enformer, ("load enformer files",)),
    Reader("targets", ("targets.txt",), _targets, ("load enformer targets",)),
    Reader("metacells", ("cells.h5ad", "cells.csr.h5ad", "summary.h5ad", "soft.h5ad", "old.h5ad"), _metacells, ("load metacells file",), "hdf5"),
    Reader("cells", ("cells.h5ad", "cells.csr.h5ad"), _cells, ("load metacells cells",), "hdf5"),
    Reader("peaks", ("peaks.h5ad",), _peaks, ("load metacells atac",), "hdf5"),
    Reader(
        "chain", ("hg19ToHg38.chain",), _chain, ("load scores lift", "load frequencies lift", "load v2f lift", "load enformer lift"),
    ),
    Reader(
        "fasta", ("grch37.fa",), _fasta,
        ("init reference", "load vcf reference", "load scores reference", "load frequencies reference", "load v2f reference", "load enformer reference", "embed reference"),
        beside=(".fai", ".gzi"),
    ),
    Reader("proteins", ("proteins.fa",), _proteins, ("embed proteins",), memory=2 << 30),
    Reader("model", ("model/config.json", "model/tokenizer.json", "model/model.safetensors"), _model, (), "bytes"),
)  # fmt: skip
BY_NAME = {reader.name: reader for reader in READERS}
