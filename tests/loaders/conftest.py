"""What the tests of loaders share: stores of an assembly, and a way to load files and look at what came of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from loaders.run import Outcome, ingest
from loaders.vcf_job import vcf_job
from store.assembly import assembly
from store.genome import initialise
from store.load import AlreadyLoaded
from tests.conftest import ROOT


@pytest.fixture
def grch37(store_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection, as loads use it, to an empty store of GRCh37."""
    yield from _store(store_url, "GRCh37")


@pytest.fixture
def grch38(store_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection, as loads use it, to an empty store of GRCh38."""
    yield from _store(store_url, "GRCh38")


def _store(url: str, name: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as connection:
        initialise(connection, assembly(name))
        yield connection


Load = Callable[..., Outcome]


@pytest.fixture
def load_vcf() -> Load:
    """Loads VCF files as `vkg load vcf` does: load_vcf(conn, *paths, **options)."""

    def load(conn: psycopg.Connection[Any], *paths: Path, **options: Any) -> Outcome | AlreadyLoaded:
        job, read = vcf_job(conn, paths, **options)
        return ingest(conn, job, read)

    return load


VCF_HEADER = "##fileformat=VCFv4.2\n##reference=GRCh37\n"
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


@pytest.fixture
def write_vcf(tmp_path: Path) -> Callable[..., Path]:
    """Writes a GRCh37 VCF: write_vcf("20 100 . A G . . .", ..., header="##INFO=...")."""

    def write(*rows: str, header: str = "", name: str = "in.vcf") -> Path:
        path = tmp_path / name
        text = VCF_HEADER + (header.rstrip("\n") + "\n" if header else "") + COLUMNS
        path.write_text(text + "".join("\t".join(row.split(" ")) + "\n" for row in rows))
        return path

    return write


@pytest.fixture
def write_fasta(tmp_path: Path) -> Callable[..., Path]:
    """Writes a FASTA: write_fasta({"20": "ACGT..."})."""

    def write(contigs: dict[str, str], name: str = "ref.fa") -> Path:
        path = tmp_path / name
        path.write_text("".join(f">{contig}\n{sequence}\n" for contig, sequence in contigs.items()))
        return path

    return write


FORMATS = "".join(f'##FORMAT=<ID={key},Number=.,Type=String,Description="">\n' for key in ("GT", "DP", "GQ", "AD", "PS"))


@pytest.fixture
def write_cohort(tmp_path: Path) -> Callable[..., Path]:
    """Writes a GRCh37 VCF with samples: write_cohort("a b", "20 100 . A G . . . GT 0/1 0/0", ...)."""

    def write(samples: str, *rows: str, name: str = "in.vcf") -> Path:
        path = tmp_path / name
        columns = COLUMNS.rstrip("\n") + (f"\tFORMAT\t{samples}" if samples else "")
        lines = ["\t".join(row.split(" ")) for row in (columns, *rows)]
        path.write_text(f"{VCF_HEADER}##contig=<ID=20>\n{FORMATS}" + "".join(f"{line}\n" for line in lines))
        return path

    return write


ODDITIES = ROOT / "tests" / "data" / "genotypes" / "oddities.vcf"


@pytest.fixture
def oddities(tmp_path: Path) -> Path:
    """A file of genotypes of all kinds, where rejects may lie beside it."""
    return Path(shutil.copy(ODDITIES, tmp_path / "oddities.vcf"))
