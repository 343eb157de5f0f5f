"""Every real VCF with samples, loaded, against what cyvcf2 reads in it and what bcftools counts."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cyvcf2
import numpy as np
import psycopg
import pytest
from psycopg.rows import dict_row

from store.assembly import assembly
from store.genome import initialise
from store.planes import ABSENT, ALT, OTHER, SCHEMA, decode
from tests.conftest import REAL
from tests.loaders.test_run import rows
from tests.loaders.test_vcf import build

Conn = psycopg.Connection[Any]

WITH_SAMPLES = re.compile("kg300_|kg2504[._](?!sites)|kg2504_phase|kg3202|kg1092|kg_phase1|gatk")
CALLSETS = [path for path in sorted(REAL.rglob("*.vcf.gz")) if WITH_SAMPLES.match(path.name)]

BCFTOOLS = shutil.which("bcftools")


@pytest.fixture(params=CALLSETS or [None], ids=[p.name for p in CALLSETS] or ["none"])
def loaded(request: pytest.FixtureRequest, store_url: str, load_vcf: Any, tmp_path: Path) -> Iterator[tuple[Path, Conn]]:
    """A real file and a store that holds it and nothing else."""
    path: Path = request.param
    local = tmp_path / path.name
    local.symlink_to(path)
    with psycopg.connect(store_url, autocommit=True) as conn:
        initialise(conn, assembly(build(path)))
        load = load_vcf(conn, local, assembly=build(path), unnormalized=True, keep_format=True).load
        assert {*load.reasons} <= {"symbolic ALT", "breakend", "repeated record", "contig outside 1-22, X, Y, MT"}
        assert load.counts["genotype"] == load.counts["variant_record"] == load.counts["population_frequency"] > 0
        yield path, conn


@pytest.mark.requires_real
def test_genotypes_equal_another_reading_and_counts_those_of_bcftools(loaded: tuple[Path, Conn], tmp_path: Path) -> None:
    path, conn = loaded
    compared = sum(compared_with_cyvcf2(conn, readable(path, tmp_path), first_line(path)))
    assert rows(conn, "SELECT count(*) FROM genotype") == [(compared,)]
    if BCFTOOLS:
        assert {(line, allele): tuple(counts) for line, allele, *counts in rows(conn, COUNTS)}.items() <= bcftools_counts(path).items()


@pytest.mark.skipif(not BCFTOOLS, reason="bcftools is not installed")
def test_counts_of_odd_calls_equal_those_of_bcftools(grch37: Conn, load_vcf: Any, oddities: Path) -> None:
    # bcftools 1.16 does not read a phase before the first allele, and its fill-tags counts equal alleles of a triploid call once.
    oddities.write_text("".join(line for line in oddities.read_text().splitlines(keepends=True) if "leading_phase" not in line))
    load_vcf(grch37, oddities, unnormalized=True)
    theirs = {key: (ac, an) for key, (ac, an, _, _) in bcftools_counts(oddities, "bcftools +fill-AN-AC -Ou - |").items()}
    assert {(line, allele): (ac, an) for line, allele, ac, an, _, _ in rows(grch37, COUNTS)}.items() <= theirs.items()


COUNTS = """SELECT line, allele, ac[1], an[1], coalesce(hom[1], 0), coalesce(hemi[1], 0)
    FROM population_frequency JOIN variant_record USING (variant_key, load_id)"""


def readable(path: Path, folder: Path) -> Path:
    """The file, or a copy that htslib can read: one has no first line, and is compressed with gzip."""
    with gzip.open(path, "rb") as file:
        start = file.readline()
        if start.startswith(b"##fileformat"):
            return path
        copy = folder / "readable.vcf"
        copy.write_bytes(b"##fileformat=VCFv4.2\n" + start + file.read())
    return copy


def first_line(path: Path) -> int:
    """The line of a file's first record."""
    with gzip.open(path, "rb") as file:
        return next(number for number, line in enumerate(file, 1) if not line.startswith(b"#"))


def compared_with_cyvcf2(conn: Conn, path: Path, first: int) -> Iterator[int]:
    """Compares all calls of a store, and their DP, GQ and AD, with what cyvcf2 reads; gives how many variants were compared."""
    file = cyvcf2.VCF(str(path))
    n = len(file.samples)
    statement = f"""SELECT line, allele, dp, gq, ad_ref, ad_alt, {", ".join(f"g.{name}" for name in SCHEMA.names)} FROM genotype g
        JOIN variant_record USING (variant_key, load_id) LEFT JOIN genotype_format USING (variant_key, load_id) ORDER BY 1, 2"""
    with conn.cursor(row_factory=dict_row, binary=True) as cursor:
        left = cursor.execute(statement).fetchall()[::-1]
    ours: list[dict[str, Any]] = []
    theirs: list[np.ndarray] = []
    for line, variant in enumerate(file, first):
        while left and left[-1]["line"] == line:
            ours.append(left.pop())
            theirs.append(variant.genotype.array())
            compare_format(ours[-1], variant)
        if len(ours) >= 500:
            yield compare_calls(ours, theirs, n)
            ours, theirs = [], []
    assert not left
    yield compare_calls(ours, theirs, n)


def compare_calls(ours: list[dict[str, Any]], theirs: list[np.ndarray], samples: int) -> int:
    found = decode(ours, samples)
    assert found.texts == {}
    for row, alleles, phased, array in zip(ours, found.alleles, found.phased, theirs, strict=True):
        their_alleles = array[:, :2].copy()
        if array.shape[1] == 2:  # all are haploid
            their_alleles[:, 1] = ABSENT
        expected = np.where(their_alleles == row["allele"], ALT, np.where(their_alleles > 0, OTHER, their_alleles))
        assert (alleles == expected).all(), row["line"]
        assert (phased == (array[:, -1].astype(bool) & (their_alleles[:, 1] != ABSENT))).all(), row["line"]
    return len(ours)


def compare_format(row: dict[str, Any], variant: Any) -> None:
    for column, key, place in (("dp", "DP", 0), ("gq", "GQ", 0), ("ad_ref", "AD", 0), ("ad_alt", "AD", row["allele"])):
        values = variant.format(key) if key in variant.FORMAT else None
        expected = None if values is None or values.shape[1] <= place else [int(x) if x >= 0 else None for x in values[:, place]]
        assert row[column] == (expected if expected and any(x is not None for x in expected) else None), (row["line"], key)


def bcftools_counts(path: Path, then: str = "") -> dict[tuple[int, int], tuple[int, ...]]:
    """(AC, AN, homozygotes, haploid calls of the ALT) by line and allele, as bcftools counts them in records that it split.

    It gets GT alone and a header of this test's own: some files declare too little for it.
    """
    command = rf"""bcftools norm -m-any -Ou - | bcftools +fill-tags -Ou - -- -t AN,AC,AC_Hom,AC_Hemi | {then}
        bcftools query -f '%ID\t%AC\t%AN\t%AC_Hom\t%AC_Hemi\n' -"""
    header = [
        b'##FORMAT=<ID=GT,Number=1,Type=String,Description="">',
        *(b"##contig=<ID=%s%s>" % (p, n) for p in (b"", b"chr") for n in (b"1", b"20", b"22", b"X", b"Y", b"MT")),
    ]
    with (
        (gzip.open if path.suffix == ".gz" else open)(path, "rb") as source,
        subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as pipe,
        ThreadPoolExecutor(1) as reader,
    ):
        assert pipe.stdin is not None
        assert pipe.stdout is not None
        answer = reader.submit(pipe.stdout.read)
        pipe.stdin.write(b"".join(b"%s\n" % line for line in (b"##fileformat=VCFv4.2", *header)))
        for number, line in enumerate(source, 1):
            if not line.startswith(b"#"):
                chrom, pos, _, ref, alt, _, _, _, keys, calls = line.split(b"\t", 9)
                if keys != b"GT":
                    calls = b"\t".join(cell.split(b":")[0] for cell in calls.rstrip().split(b"\t")) + b"\n"
                pipe.stdin.write(b"\t".join((chrom, pos, b"%d" % number, ref, alt, b".\t.\t.\tGT", calls)))
            elif line.startswith(b"#CHROM"):
                pipe.stdin.write(line)
        pipe.stdin.close()
        output = answer.result().decode()
    assert pipe.returncode == 0
    seen: Counter[int] = Counter()
    counts = {}
    for ours in output.splitlines():
        line, ac, an, hom, hemi = map(int, ours.split("\t"))
        seen[line] += 1
        counts[line, seen[line]] = (ac, an, hom // 2, hemi)
    return counts
