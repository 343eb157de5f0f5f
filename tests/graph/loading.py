"""Files into a store, by the project's own loaders, as the commands do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg

from loaders.annotation_job import genes_job, scores_job
from loaders.enformer_job import enformer_job
from loaders.frequency_job import frequencies_job
from loaders.ibd_job import ibd_job
from loaders.metacell_job import metacell_job
from loaders.people_job import ancestry_job
from loaders.run import Outcome, ingest
from loaders.samples_job import samples_job
from loaders.v2f_job import v2f_job
from loaders.vcf_job import vcf_job

HEADER = """##fileformat=VCFv4.2
##reference=GRCh37
##INFO=<ID=AF,Number=A,Type=Float,Description="Allele frequency">
##INFO=<ID=AN,Number=1,Type=Integer,Description="Alleles called">
##INFO=<ID=DP,Number=1,Type=Float,Description="Depth">
"""


def write_vcf(path: Path, *rows: str, samples: Sequence[str] = ()) -> Path:
    """Writes a GRCh37 VCF of rows such as "20 1000226 rs1 A T 30 PASS DP=7", and for two samples "GT 0/1 1|1" behind that."""
    columns = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", *(("FORMAT", *samples) if samples else ()))
    path.write_text(HEADER + "".join("\t".join(row) + "\n" for row in (columns, *(row.split(" ") for row in rows))))
    return path


def load_vcf(url: str, *paths: Path, **options: Any) -> int:
    """Loads VCF files as one load, as `vkg load vcf` does. Returns its load_id."""
    return _load(url, vcf_job, paths, options)


def load_samples(url: str, path: Path, **options: Any) -> int:
    """Loads a panel or a pedigree, as `vkg load samples` does. Returns its load_id."""
    return _load(url, samples_job, path, options)


def load_genes(url: str, path: Path, **options: Any) -> int:
    """Loads a GTF, as `vkg load genes` does. Returns its load_id."""
    return _load(url, genes_job, path, options)


def load_scores(url: str, *paths: Path, **options: Any) -> int:
    """Loads scores, as `vkg load scores` does. Returns its load_id."""
    return _load(url, scores_job, paths, options)


def load_ibd(url: str, *paths: Path, **options: Any) -> int:
    """Loads the files of a run of segments, as `vkg load ibd` does. Returns its load_id."""
    return _load(url, ibd_job, paths, options)


def load_frequencies(url: str, *paths: Path, **options: Any) -> int:
    """Loads frequencies of populations, as `vkg load frequencies` does. Returns its load_id."""
    return _load(url, frequencies_job, paths, options)


def load_v2f(url: str, *paths: Path, **options: Any) -> int:
    """Loads scores and links of variants to function, as `vkg load v2f` does. Returns their load_id."""
    return _load(url, v2f_job, paths, options)


def load_enformer(url: str, *paths: Path, **options: Any) -> int:
    """Loads effects that Enformer predicts, as `vkg load enformer` does. Returns their load_id."""
    return _load(url, enformer_job, paths, options)


def load_metacells(url: str, path: Path, **options: Any) -> int:
    """Loads metacells, as `vkg load metacells` does. Returns their load_id."""
    return _load(url, metacell_job, path, options)


def load_ancestry(url: str, path: Path, **options: Any) -> int:
    """Loads principal components, as `vkg load ancestry` does. Returns its load_id."""
    return _load(url, ancestry_job, path, options)


def _load(url: str, prepare: Callable[..., Any], source: Any, options: dict[str, Any]) -> int:
    with psycopg.connect(url, autocommit=True) as conn:
        job, read = prepare(conn, source, **options)
        outcome = ingest(conn, job, read)
        assert isinstance(outcome, Outcome)
        return outcome.load.load_id
