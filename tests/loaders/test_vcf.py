"""Every real VCF, loaded, against what bcftools makes of it and what pysam reads in it."""

from __future__ import annotations

import gzip
import json
import math
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pysam
import pytest

from store.assembly import NAMES, assembly, chrom_code
from store.genome import initialise
from tests.conftest import REAL

VCFS = sorted([*REAL.rglob("*.vcf.gz"), *REAL.rglob("*.vcf")])
FASTAS = {
    ("chr20_grch37", "GRCh37"): "chr20_grch37/chr20_npad_0.9-4.1mb.grch37.fa.gz",
    ("chr20_grch38", "GRCh38"): "chr20_grch38/chr20_npad_0.9-4.1mb.grch38.derived.fa.gz",
    ("chr1_head", "GRCh37"): "chr1_head/chr1_1-1000000.grch37.fa.gz",
    ("chr1_head", "GRCh38"): "chr1_head/chr1_1-177376.grch38_identical_to_grch37.fa.gz",
}

pytestmark = [
    pytest.mark.requires_real,
    pytest.mark.skipif(not shutil.which("bcftools"), reason="bcftools is not installed"),
]


def build(path: Path) -> str:
    """The assembly in the name of a real file or of its folder."""
    return "GRCh38" if re.search("(grch|hg)38", f"{path.parent.name} {path.name}") else "GRCh37"


def fasta(path: Path) -> Path | None:
    found = FASTAS.get((path.parent.name, build(path)))
    return REAL / found if found else None


@pytest.fixture(params=VCFS or [None], ids=[p.name for p in VCFS] or ["none"])
def vcf(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_variants_equal_bcftools_norm_and_info_equals_another_reading(vcf: Path, store_url: str, load_vcf: Any, tmp_path: Path) -> None:
    local = tmp_path / vcf.name
    local.symlink_to(vcf)
    reference = fasta(vcf)
    with psycopg.connect(store_url, autocommit=True) as conn:
        initialise(conn, assembly(build(vcf)))
        outcome = load_vcf(conn, local, assembly=build(vcf), reference=reference, unnormalized=reference is None, sites_only=True)
        assert set(outcome.load.reasons) <= {"symbolic ALT", "breakend", "repeated record", "contig outside 1-22, X, Y, MT"}
        stored = list(
            conn.execute(
                "SELECT v.chrom, v.pos, v.ref, v.alt, r.line, r.allele, r.info::text FROM variant v JOIN variant_record r USING (variant_key)"
            )
        )
    ours = {(NAMES[c - 1], pos, ref, alt) for c, pos, ref, alt, *_ in stored}
    theirs = set(bcftools_norm(vcf, reference, tmp_path)) if reference else set(split_and_trimmed(vcf))
    assert ours == theirs
    assert_info_equal({(line, allele): info for *_, line, allele, info in stored}, vcf, tmp_path)


def lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, columns) of the records of a VCF."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        for number, line in enumerate(file, 1):
            if not line.startswith("#"):
                yield number, line.rstrip("\n").split("\t", 8)[:8]


def is_sequence(allele: str) -> bool:
    return set(allele.upper()) <= set("ACGTN")


def name_of(chrom: str) -> str | None:
    code = chrom_code(chrom)
    return NAMES[code - 1] if code else None


def bcftools_norm(path: Path, reference: Path, folder: Path) -> Iterator[tuple[str, int, str, str]]:
    contigs = {name_of(contig): contig for contig in pysam.FastaFile(str(reference)).references}
    plain = folder / "sites.vcf"
    with plain.open("w") as out:
        out.write("##fileformat=VCFv4.2\n" + "".join(f"##contig=<ID={c}>\n" for c in contigs.values()))
        out.write("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for _, (chrom, pos, _, ref, alt, *_) in lines(path):
            out.write(f"{contigs[name_of(chrom)]}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n")
    command = ["bcftools", "norm", "-m-any", "-c", "x", "-f", str(reference), str(plain)]
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        if not line.startswith("#"):
            chrom, pos, _, ref, alt, *_ = line.split("\t")
            if is_sequence(alt):
                yield name_of(chrom), int(pos), ref.upper(), alt.upper()


def split_and_trimmed(path: Path) -> Iterator[tuple[str, int, str, str]]:
    for _, (chrom, pos, _, ref, alts, *_) in lines(path):
        for alt in filter(is_sequence, alts.split(",")):
            start, r, a = int(pos), ref.upper(), alt.upper()
            while len(r) > 1 and len(a) > 1 and r[-1] == a[-1]:
                r, a = r[:-1], a[:-1]
            while len(r) > 1 and len(a) > 1 and r[0] == a[0]:
                start, r, a = start + 1, r[1:], a[1:]
            if name_of(chrom):
                yield name_of(chrom), start, r, a


def assert_info_equal(stored: dict[tuple[int, int], str], path: Path, folder: Path) -> None:
    texts = {number: columns[7] for number, columns in lines(path)}
    plain = folder / "plain.vcf"  # pysam reads bgzip and text, not gzip
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as source, plain.open("wb") as out:
        if not source.readline().startswith(b"##fileformat"):
            out.write(b"##fileformat=VCFv4.2\n")  # one file has no such line, and pysam wants it
        source.seek(0)
        shutil.copyfileobj(source, out)
    verbosity = pysam.set_verbosity(0)
    try:
        with pysam.VariantFile(str(plain)) as file:
            file.subset_samples([])
            for number, record in zip(texts, file, strict=True):
                alleles = [a for a in range(1, len(record.alts or ()) + 1) if (number, a) in stored]
                for allele in alleles:
                    _assert_record(stored[number, allele], texts[number], record, allele)
    finally:
        pysam.set_verbosity(verbosity)


def _assert_record(stored: str | None, text: str, record: pysam.VariantRecord, allele: int) -> None:
    info = json.loads(stored or "{}", parse_float=Decimal, parse_int=Decimal)
    in_file = [field.partition("=") for field in text.split(";")] if text != "." else []
    written: dict[str, tuple[str, str]] = {}
    for key, equals, value in in_file:
        written.setdefault(key, (equals, value))
    written = {key: value for key, value in written.items() if key}
    assert list(info) == list(written)
    for key, (equals, value) in written.items():
        if not equals:
            assert info[key] is True
            continue
        parts = value.split(",")
        number = record.header.info[key].number
        if number == "A" and len(parts) == len(record.alts):
            parts = [parts[allele - 1]]
        elif number == "R" and len(parts) == len(record.alts) + 1:
            parts = [parts[0], parts[allele]]
        shown = info[key] if isinstance(info[key], list) else [info[key]]
        assert len(shown) == len(parts), key
        for mine, digits in zip(shown, parts, strict=True):
            if isinstance(mine, Decimal):
                assert mine == Decimal(digits), key
                assert str(mine).lower() in (digits.lower(), str(Decimal(digits)).lower()), key
            else:
                assert mine == (None if digits == "." else digits), key
        kind = record.header.info[key].type
        # pysam has no access to END and Number=G here, and htslib cuts fractions off where the header wrongly says Integer.
        if key != "END" and number != "G" and (kind == "Float" or (kind == "Integer" and "." not in value.strip("."))):
            theirs = record.info[key]
            theirs = theirs if isinstance(theirs, tuple) else (theirs,)
            if number == "A" and len(theirs) == len(record.alts):
                theirs = theirs[allele - 1 : allele]
            elif number == "R" and len(theirs) == len(record.alts) + 1:
                theirs = (theirs[0], theirs[allele])
            assert [_float32(m) for m in shown] == [_float32(t) for t in theirs], key


def _float32(value: Any) -> float | None:
    """As BCF holds it, so that the file's digits can be compared with what htslib reads."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return struct.unpack("f", struct.pack("f", float(value)))[0]
