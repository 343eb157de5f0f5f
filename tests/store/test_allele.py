"""The normal form of alleles: by example, by its properties on random references, and against bcftools norm."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.allele import left_align, trim

# 1-based:   1234567890123456789012
REFERENCE = "GGGCACACACAGGGTTTTTTAC"


def fetch(start: int, end: int) -> str:
    return REFERENCE[start - 1 : end]


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ((10, "A", "G"), (10, "A", "G")),
        ((10, "AAA", "AA"), (10, "AA", "A")),  # never an empty allele
        ((10, "AA", "AAA"), (10, "A", "AA")),
        ((10, "ACG", "ATG"), (11, "C", "T")),
        ((10, "ACG", "TCA"), (10, "ACG", "TCA")),
        ((10, "CTCC", "CCC"), (10, "CT", "C")),
        ((10, "GCATC", "GCA"), (12, "ATC", "A")),
        ((10, "A", "A"), (10, "A", "A")),
        ((10, "TTT", "TTT"), (10, "T", "T")),
    ],
)
def test_trim_takes_off_what_both_alleles_share_and_leaves_a_base(given_: tuple, expected: tuple) -> None:
    assert trim(*given_) == expected


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ((8, "CAC", "C"), (3, "GCA", "G")),  # the example of Tan, Abecasis and Kang
        ((6, "CAC", "C"), (3, "GCA", "G")),
        ((10, "C", "CAC"), (3, "G", "GCA")),
        ((20, "T", "TT"), (14, "G", "GT")),
        ((19, "TT", "T"), (14, "GT", "G")),
        ((14, "GTT", "GA"), (15, "TT", "A")),  # not a pure deletion: nothing moves
        ((15, "T", "A"), (15, "T", "A")),
        ((3, "GC", "G"), (3, "GC", "G")),
        # At the contig's start there is no base before: the one after stands for it.
        ((2, "GG", "G"), (1, "GG", "G")),
        ((1, "G", "GG"), (1, "G", "GG")),
        ((1, "G", "TG"), (1, "G", "TG")),
        ((1, "GGGC", "C"), (1, "GGGC", "C")),
    ],
)
def test_left_align_moves_indels_through_repeats(given_: tuple, expected: tuple) -> None:
    assert left_align(*given_, fetch) == expected


REFERENCES = st.text("ACGT", min_size=1, max_size=6).flatmap(
    lambda unit: st.text("AC", max_size=4).map(lambda noise: (unit * 40 + noise + unit * 3 + noise + unit * 40)[:150])
)


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, int, str, str]:
    """A reference of repeats, and a variant on it: (reference, pos, ref, alt)."""
    reference = draw(REFERENCES.filter(lambda text: len(text) > 12))
    pos = draw(st.integers(1, len(reference) - 10))
    size = draw(st.integers(1, 10))
    ref = reference[pos - 1 : pos - 1 + size]
    alt = draw(st.one_of(st.text("ACGT", min_size=1, max_size=10), st.integers(1, size).map(lambda n: ref[:n])))
    return reference, pos, ref, alt


def haplotype(reference: str, pos: int, ref: str, alt: str) -> str:
    assert reference[pos - 1 : pos - 1 + len(ref)] == ref
    return reference[: pos - 1] + alt + reference[pos - 1 + len(ref) :]


@given(changes())
def test_left_align_spells_the_same_haplotype_trimmed_and_only_once(change: tuple[str, int, str, str]) -> None:
    reference, pos, ref, alt = change
    if ref == alt:
        return
    normal = left_align(pos, ref, alt, lambda start, end: reference[start - 1 : end])
    assert haplotype(reference, *normal) == haplotype(reference, pos, ref, alt)
    assert normal[1] and normal[2]  # noqa: PT018
    assert normal[0] >= 1
    assert trim(*normal) == normal
    assert left_align(*normal, lambda start, end: reference[start - 1 : end]) == normal


@given(changes(), st.integers(0, 5), st.integers(0, 5))
def test_equal_changes_have_one_form_however_much_is_written_around_them(change: tuple, before: int, after: int) -> None:
    reference, pos, ref, alt = change
    if ref == alt:
        return
    start, end = max(1, pos - before), min(len(reference), pos + len(ref) - 1 + after)
    wide_ref = reference[start - 1 : end]
    wide_alt = reference[start - 1 : pos - 1] + alt + reference[pos - 1 + len(ref) : end]
    get = lambda start, end: reference[start - 1 : end]  # noqa: E731
    assert left_align(start, wide_ref, wide_alt, get) == left_align(pos, ref, alt, get)


@pytest.mark.skipif(not shutil.which("bcftools"), reason="bcftools is not installed")
def test_left_align_equals_bcftools_norm(tmp_path: Path) -> None:
    rng = random.Random(5)
    units = ["A", "CA", "GATA", "T", "ACGTTGCA", "CCG"]
    reference = "".join(rng.choice(units) * rng.randint(1, 30) + rng.choice("ACGT") for _ in range(300))
    (tmp_path / "ref.fa").write_text(f">1\n{reference}\n")
    variants = set()
    while len(variants) < 4000:
        pos = rng.choice([1, 2, 3, rng.randint(1, len(reference) - 20)])
        ref = reference[pos - 1 : pos - 1 + rng.randint(1, 12)]
        inserted = rng.choice([reference[pos - 1 : pos - 1 + rng.randint(0, 12)], "".join(rng.choices("ACGT", k=rng.randint(1, 6)))])
        alt = rng.choice([ref[: rng.randint(1, len(ref))], ref + inserted, inserted + ref, inserted])
        if alt and alt != ref:
            variants.add((pos, ref, alt))
    rows = sorted(variants)
    lines = [f"1\t{pos}\t{number}\t{ref}\t{alt}\t.\t.\t.\n" for number, (pos, ref, alt) in enumerate(rows)]
    header = f"##fileformat=VCFv4.2\n##contig=<ID=1,length={len(reference)}>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (tmp_path / "in.vcf").write_text(header + "".join(lines))
    done = subprocess.run(["bcftools", "norm", "-f", tmp_path / "ref.fa", tmp_path / "in.vcf"], check=True, capture_output=True, text=True)
    theirs = {}
    for line in done.stdout.splitlines():
        if not line.startswith("#"):
            _, pos, number, ref, alt = line.split("\t")[:5]
            theirs[int(number)] = (int(pos), ref, alt)
    get = lambda start, end: reference[start - 1 : end]  # noqa: E731
    different = [(v, left_align(*v, get), theirs[i]) for i, v in enumerate(rows) if left_align(*v, get) != theirs[i]]
    assert not different, different[:10]
