"""Files that claim things of variants, by their names (20-POS-REF-ALT): records with INFO, and scores; and stores to load them into."""

from __future__ import annotations

from pathlib import Path

import psycopg

from store.assembly import GRCH37
from store.genome import initialise, register_reference
from store.reference import Reference
from tests.graph.conftest import FASTA

HEADER = """##fileformat=VCFv4.2
##reference=GRCh37
##INFO=<ID=AF,Number=A,Type=Float,Description="Allele frequency">
##INFO=<ID=AF_EUR,Number=A,Type=Float,Description="Allele frequency in EUR">
##INFO=<ID=CLNSIG,Number=.,Type=String,Description="Aggregate germline classification">
##INFO=<ID=CLNREVSTAT,Number=.,Type=String,Description="ClinVar review status of germline classification">
##INFO=<ID=ONC,Number=.,Type=String,Description="Aggregate oncogenicity classification">
##INFO=<ID=ONCREVSTAT,Number=.,Type=String,Description="ClinVar review status of oncogenicity classification">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO
"""
WRITTEN = {
    "Pathogenic": ["PATHOGENIC"],
    "Pathogenic/Likely_pathogenic": ["PATHOGENIC", "LIKELY_PATHOGENIC"],
    "Benign": ["BENIGN"],
    "Uncertain_significance": ["UNCERTAIN_SIGNIFICANCE"],
}
"""Classes as ClinVar writes them, and as the store has them."""


def write_records(path: Path, rows: dict[str, str]) -> Path:
    """A VCF of variants by their names, with INFO."""
    fields = ((*name.split("-"), info) for name, info in rows.items())
    path.write_text(HEADER + "".join(f"{chrom}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t{info}\n" for chrom, pos, ref, alt, info in fields))
    return path


def write_scores(path: Path, name: str, rows: dict[str, float]) -> Path:
    """A table of a score by the names of variants."""
    lines = "".join("\t".join((*variant.split("-"), str(value))) + "\n" for variant, value in rows.items())
    path.write_text(f"#Chrom\tPos\tRef\tAlt\t{name}\n{lines}")
    return path


def new_store(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        initialise(conn, GRCH37)
        reference = Reference(FASTA)
        register_reference(conn, reference.path, reference.contigs)


def position(name: str) -> int:
    return int(name.split("-")[1])
