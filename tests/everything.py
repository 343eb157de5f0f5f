"""A small store with something of every kind of load, made by the commands that users give, and what it holds by content."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import psycopg

from store import sample
from store.release import OBSERVATIONS
from tests.conftest import ROOT

DEMO = ROOT / "demo"
DATA = ROOT / "tests" / "data" / "graph"
FASTA = DEMO / "chr20_npad_0.9-4.1mb.grch37.fa.gz"
VCF = DEMO / "kg300_eur.chr20_1-4mb.grch37.phased.vcf.gz"
COHORT = "1000G"

Command = tuple[str, ...]

INIT: Command = ("init", "--assembly", "GRCh37", "--reference", str(FASTA))


def write_files(folder: Path, records: int = 600) -> Path:
    """Writes the files that `loads` loads to a folder: beside them lies what is rejected. Returns the folder."""
    lines = gzip.decompress(VCF.read_bytes()).decode().splitlines(keepends=True)
    head = [line for line in lines if line.startswith("#")]
    body = lines[len(head) : len(head) + records]
    (folder / "callset.vcf").write_text("".join(head + body))
    names = head[-1].split()[9:]
    frequencies = '##INFO=<ID=AF,Number=A,Type=Float,Description="">\n##INFO=<ID=AF_afr,Number=A,Type=Float,Description="">\n'
    sites = (
        "\t".join([*line.split("\t", 7)[:7], f"AF={n % 97 / 100:.2f};AF_afr={n % 89 / 100:.2f}"]) + "\n" for n, line in enumerate(body)
    )
    columns = "\t".join(head[-1].split()[:8]) + "\n"
    (folder / "frequencies.vcf").write_text("##fileformat=VCFv4.2\n##reference=GRCh37\n" + frequencies + columns + "".join(sites))
    scores = ("\t".join(line.split("\t")[n] for n in (0, 1, 3, 4)) + f"\t{n % 40}\n" for n, line in enumerate(body))
    (folder / "cadd.tsv").write_text("#Chrom\tPos\tRef\tAlt\tPHRED\n" + "".join(scores))
    components = (f"{name}\t{n / 1000:.3f}\t{-n / 500:.3f}\n" for n, name in enumerate(names))
    (folder / "people.eigenvec").write_text("#IID\tPC1\tPC2\n" + "".join(components))
    (folder / "populations.tsv").write_text(
        "name\tdescription\tparent\nWORLD\tAll\t\nEUR\tEurope\tWORLD\nGBR\tBritain\tEUR\nFIN\tFinland\tEUR\n"
    )
    for path in (
        DEMO / "samples.panel",
        *DEMO.glob("hapibd.*"),
        *DEMO.glob("*.abc.tsv"),
        DEMO / "enformer.synthetic.h5",
        *DATA.glob("*.*"),
    ):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "demo.gtf.gz").write_bytes((DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz").read_bytes())
    (folder / "metacells.h5ad").write_bytes((DEMO / "pbmc68k_reduced.seacells.h5ad").read_bytes())
    return folder


def loads(folder: Path) -> dict[str, Command]:
    """The commands that load the files of `write_files` in this order, by what they are called in tests."""
    assembly = ("--assembly", "GRCh37")
    named: dict[str, Command] = {
        "samples": ("load", "samples", "samples.panel", "--cohort", COHORT),
        "callset": ("load", "vcf", "callset.vcf", "--cohort", COHORT, *assembly),
        "annotated": ("load", "vcf", "cohort.vcf"),
        "clinvar": ("load", "vcf", "clinvar.vcf"),
        "family_ped": ("load", "samples", "family.ped", "--cohort", "family"),
        "family": ("load", "vcf", "family.vcf", "--cohort", "family", "--keep-format"),
        "genes": ("load", "genes", "demo.gtf.gz", *assembly),
        "scores": ("load", "scores", "cadd.tsv", "--column", "PHRED", "--name", "CADD_PHRED", *assembly),
        "ibd": ("load", "ibd", "hapibd.min1cm.ibd.gz", "hapibd.min1cm.hbd.gz", "--source", "hap-ibd", "--callset", "callset"),
        "populations": ("load", "populations", "populations.tsv"),
        "ancestry": ("load", "ancestry", "people.eigenvec", "--cohort", COHORT, "--unscaled"),
        "frequencies": ("load", "frequencies", "frequencies.vcf", *assembly),
        "v2f": ("load", "v2f", "v2f.synthetic.abc.tsv", "--source", "abc", *assembly),
        "enformer": ("load", "enformer", "enformer.synthetic.h5", *assembly),
        "metacells": ("load", "metacells", "metacells.h5ad"),
        "derived": ("derive", "frequencies", "--callset", "callset"),
        "embed": ("embed", "--no-index"),
        "clusters": ("cluster", "--min-size", "5"),
    }
    return {name: _complete(name, command, folder) for name, command in named.items()}


def _complete(name: str, command: Command, folder: Path) -> Command:
    """With files by their paths, and a dataset and a version."""
    paths = tuple(str(folder / word) if (folder / word).is_file() else word for word in command)
    return (*paths, "--dataset", name, "--version", "1") if command[0] == "load" else paths


Contents = dict[tuple[str, str], tuple[int, Any]]
"""(table, dataset and version) -> number of rows, and the sum of their hashes, which is the same in any order."""

_OF = "(SELECT d.name || ' ' || l.version FROM load l JOIN dataset d USING (dataset_id) WHERE l.load_id = t.{})"
_WHO = "(SELECT s.cohort || ' ' || s.name FROM sample s WHERE s.sample_id = t.{})"
_PEOPLE = {*sample.NAMED, *(column for columns in sample.MENTIONING.values() for column in columns)}


def contents(conn: psycopg.Connection[Any]) -> Contents:
    """All rows of the store by content: numbers of loads and of samples, which differ from store to store, count as what they stand for."""
    columns: dict[str, list[str]] = {}
    for table, column in conn.execute(
        """SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attgenerated = '' ORDER BY a.attname"""
    ):
        columns.setdefault(table, []).append(column)
    vectors = [table for table in columns if table.removeprefix("embedding_").isdigit()]
    found: Contents = {}
    for table in ("variant", "sample", "embedding_skip", "embedding_task", *vectors, *OBSERVATIONS):
        kept = [_meant(column) for column in columns[table] if column != "load_id" and (table, column) != ("sample", "sample_id")]
        of = _OF.format("load_id") if "load_id" in columns[table] else "''"
        rows = conn.execute(
            f"SELECT of, count(*), sum(h) FROM (SELECT {of} AS of, hashtextextended(ROW({', '.join(kept)})::text, 0) AS h FROM {table} t) r GROUP BY of"
        )
        found |= {(table, dataset): (count, digest) for dataset, count, digest in rows}
    return found


def _meant(column: str) -> str:
    if column in _PEOPLE:
        return _WHO.format(column)
    return _OF.format(column) if column == "callset_load" else f"t.{column}"
