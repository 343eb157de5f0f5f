"""VCFs that VEP or SnpEff could have written, of SNVs of the demo's reference."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pysam

from tests.embedder.stores import FASTA

FIELDS = "Allele|Consequence|IMPACT|SYMBOL|Feature|BIOTYPE|EXON|INTRON|HGVSc|HGVSp|CANONICAL|MANE_SELECT|SIFT|CLIN_SIG|gnomADe_AF"
HEADER = f"""##fileformat=VCFv4.2
##reference=GRCh37
##contig=<ID=20,length=63025520>
##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequence annotations from Ensembl VEP. Format: {FIELDS}">
##INFO=<ID=ANN,Number=.,Type=String,Description="Functional annotations: 'Allele | Annotation | Annotation_Impact | Gene_Name | Gene_ID | Feature_Type | Feature_ID | Transcript_BioType | Rank | HGVS.c | HGVS.p | cDNA.pos / cDNA.length | CDS.pos / CDS.length | AA.pos / AA.length | Distance | ERRORS / WARNINGS / INFO'">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO
"""
NEXT = dict(zip("ACGT", "CGTA", strict=True))


def csq(terms: str, impact: str = "MODIFIER", **fields: str) -> str:
    """An entry of CSQ without its allele: terms joined by &, other FIELDS by name, `=` as VEP writes it."""
    said = {"Consequence": terms, "IMPACT": impact} | fields
    assert set(said) <= set(FIELDS.split("|"))
    return "|".join(said.get(name, "") for name in FIELDS.split("|")).replace("=", "%3D")


def ann(terms: str, impact: str, symbol: str, transcript: str, hgvsc: str = "", hgvsp: str = "") -> str:
    """An entry of ANN without its allele."""
    return f"|{terms}|{impact}|{symbol}|{symbol}|transcript|{transcript}|protein_coding|1/2|{hgvsc}|{hgvsp}|||||"


def write(path: Path, rows: Iterable[tuple[int, list[str]]], key: str = "CSQ") -> Path:
    """A VCF of SNVs of chromosome 20 at 1-based positions, each with its entries; without any there is no annotation."""
    with pysam.FastaFile(str(FASTA)) as fasta, path.open("w") as file:
        file.write(HEADER)
        for pos, entries in rows:
            ref = fasta.fetch("20", pos - 1, pos).upper()
            info = ",".join(NEXT[ref] + entry for entry in entries)
            file.write(f"20\t{pos}\t.\t{ref}\t{NEXT[ref]}\t.\t.\t{f'{key}={info}' if info else '.'}\n")
    return path
