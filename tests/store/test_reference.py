"""The reference: windows, names, indexes, and what it refuses."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pysam
import pytest

from store import reference
from store.assembly import GRCH37, GRCH38
from store.errors import StoreError
from store.reference import Reference


def write(path: Path, contigs: dict[str, str]) -> Path:
    path.write_text("".join(f">{name}\n{text}\n" for name, text in contigs.items()))
    return path


def of_length(path: Path, contigs: dict[str, int]) -> Path:
    """A FASTA that says that its contigs have these lengths; only its index is long."""
    write(path, dict.fromkeys(contigs, "A"))
    Path(f"{path}.fai").write_text("".join(f"{name}\t{length}\t3\t60\t61\n" for name, length in contigs.items()))
    return path


def test_bases_are_upper_case_at_one_based_inclusive_positions(tmp_path: Path) -> None:
    ref = Reference(write(tmp_path / "r.fa", {"chr20": "acgtNACGT", "chrM": "GG", "chrUn_1": "T"}))
    assert ref.fetch(20, 1, 4) == "ACGT"
    assert ref.fetch(20, 5, 5) == "N"
    assert ref.fetch(20, 8, 20) == "GT"
    assert ref.fetch(20, 50, 60) == ref.fetch(1, 1, 5) == ""
    assert (ref.length(20), ref.length(25), ref.length(1)) == (9, 2, 0)
    assert ref.contigs == {"chr20": 9, "chrM": 2}


@pytest.mark.parametrize("name", ["20", "chr20", "NC_000020.10", "NC_000020.11"])
def test_chromosomes_are_found_under_any_name(tmp_path: Path, name: str) -> None:
    assert Reference(write(tmp_path / "r.fa", {name: "ACGT"})).fetch(20, 2, 3) == "CG"


def test_windows_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "WINDOW", 16)
    rng = random.Random(1)
    text = "".join(rng.choices("ACGT", k=200))
    ref = Reference(write(tmp_path / "r.fa", {"1": text}))
    for _ in range(500):
        start = rng.randint(1, 210)
        end = start + rng.randint(0, 80)
        assert ref.fetch(1, start, end) == text[start - 1 : end]


def test_bgzip_is_read_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "r.fa", {"1": "ACGT" * 50_000})
    pysam.tabix_compress(str(path), f"{path}.gz")
    assert Reference(f"{path}.gz").fetch(1, 131_073, 131_076) == "ACGT"


def test_a_missing_index_is_made(tmp_path: Path) -> None:
    path = write(tmp_path / "r.fa", {"1": "ACGT"})
    Reference(path)
    assert (tmp_path / "r.fa.fai").exists()


def test_a_missing_index_that_cannot_be_made_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "r.fa", {"1": "ACGT"})
    monkeypatch.setattr(os, "access", lambda place, mode: mode != os.W_OK)
    with pytest.raises(StoreError, match="samtools faidx"):
        Reference(path)


@pytest.mark.parametrize("content", [b"", b"@SQ\n", b"##fileformat=VCFv4.2\n", b"\x1f\x8bnonsense"])
def test_what_is_no_fasta_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.fa"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a FASTA"):
        Reference(path)


def test_gzip_is_refused_and_bgzip_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.fa.gz"
    path.write_bytes(gzip.compress(b">1\nACGT\n"))
    with pytest.raises(StoreError, match="compress it with bgzip, not gzip"):
        Reference(path)
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere\.fa: no such reference FASTA"):
        Reference(tmp_path / "nowhere.fa")


def test_a_fasta_without_human_chromosomes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="none of its contigs is a human chromosome"):
        Reference(write(tmp_path / "r.fa", {"chr22:20000001-21000000": "ACGT"}))


@pytest.mark.parametrize(
    ("contigs", "said"),
    [
        ({"1": 249250621}, "as in GRCh37"),
        ({"20": 4_000_000, "chr1": 248956423}, "longer than the chromosome"),
        ({"chrM": 16571}, "hg19's own"),
    ],
)
def test_lengths_that_contradict_the_assembly_are_refused(tmp_path: Path, contigs: dict[str, int], said: str) -> None:
    with pytest.raises(StoreError, match=said):
        Reference(of_length(tmp_path / "r.fa", contigs)).check(GRCH38)


def test_parts_and_whole_chromosomes_of_the_assembly_are_accepted(tmp_path: Path) -> None:
    Reference(of_length(tmp_path / "r.fa", {"1": 249250621, "20": 4_100_000, "MT": 16569, "GL1": 5})).check(GRCH37)


def test_references_of_unlike_reach_have_unlike_digests(tmp_path: Path) -> None:
    one, two, same = (
        Reference(write(tmp_path / f"{n}.fa", {name: text})).digest
        for n, (name, text) in enumerate([("1", "ACGT"), ("1", "ACG"), ("chr1", "TTTT")])
    )
    assert one != two
    assert one == same


def test_the_name_of_a_contig_in_a_message_is_short(tmp_path: Path) -> None:
    path = tmp_path / "some.fa"
    path.write_text(f">{'9' * 5000}\nACGT\n")
    with pytest.raises(StoreError, match="none of its contigs is a human chromosome") as error:
        Reference(path)
    assert len(str(error.value)) < 1000
