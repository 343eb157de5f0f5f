"""What must not be loaded: each a message with file, line where there is one, and remedy, exit code 2, and an untouched store."""

from __future__ import annotations

import gzip
import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pysam
import pytest

import vkg
from loaders.errors import InputError
from store.genome import genome, register_reference
from store.reference import Reference
from tests.loaders.test_run import everything

Conn = psycopg.Connection[Any]
Run = Callable[..., str]

HEADER = "##fileformat=VCFv4.2\n"
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
RECORD = "20\t100\t.\tA\tG\t.\t.\t.\n"


@pytest.fixture
def refused(grch37: Conn, store_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `vkg load vcf` with arguments that it must refuse; returns what it says."""

    def run(*arguments: object) -> str:
        monkeypatch.setenv("VKG_DATABASE_URL", store_url)
        monkeypatch.setattr(sys, "argv", ["vkg", "load", "vcf", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            vkg.main()
        said = capsys.readouterr().err
        assert ended.value.code == 2, said
        assert said.startswith("vkg: ")
        assert re.search(r"\n  \S", said), f"no remedy in {said!r}"
        assert everything(grch37) == {}
        return said

    return run


def write(tmp_path: Path, content: str | bytes, name: str = "in.vcf") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("", None, "the file is empty"),
        ("chr1\t5\t6\n", 1, "not a VCF: it begins with 'chr1"),
        ("%PDF-1.4\n", 1, "not a VCF"),
        (b"\x00\x01\x02\n", 1, "zero byte"),
        (HEADER + RECORD, 2, "no #CHROM line"),
        (HEADER, None, "no #CHROM line"),
        (HEADER + COLUMNS.replace("\t", " ") + RECORD, 2, "separated by spaces"),
        (HEADER + "#CHROM\tPOS\tREF\n", 2, "not the columns of a VCF"),
        (gzip.compress(b"", mtime=0), None, "not a VCF"),
    ],
)
def test_not_a_vcf(refused: Run, tmp_path: Path, content: str | bytes, line: int | None, said: str) -> None:
    path = write(tmp_path, content)
    message = refused(path, "--assembly", "GRCh37")
    assert said in message
    assert (f"{path}:{line}: " if line else f"{path}: ") in message


def test_a_missing_file(refused: Run, tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nowhere.vcf")


def test_a_folder(refused: Run, tmp_path: Path) -> None:
    assert "not a regular file" in refused(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(refused: Run, tmp_path: Path) -> None:
    path = write(tmp_path, HEADER)
    path.chmod(stat.S_IWUSR)
    assert "permission denied" in refused(path)


def test_an_unreadable_file_even_for_root(refused: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, HEADER)
    opened = Path.open

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert f"{path}: not readable: permission denied" in refused(path)


def long_vcf(records: int = 20_000) -> bytes:
    return (HEADER + COLUMNS + "".join(f"20\t{n}\t.\tA\tG\t.\t.\t.\n" for n in range(1, records))).encode()


@pytest.mark.parametrize("cut", [30, 2000, 20_000])
def test_a_truncated_gzip_names_the_line_it_reaches(refused: Run, tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.vcf.CHUNK_ROWS", 1000)
    monkeypatch.setattr("loaders.source.BLOCK", 10_000)
    path = write(tmp_path, gzip.compress(long_vcf())[:-cut], "in.vcf.gz")
    message = refused(path, "--assembly", "GRCh37")
    assert "cut off" in message
    assert re.search(rf"{path}:\d+: ", message)


def test_a_truncated_bgzip_is_seen_at_once(refused: Run, tmp_path: Path) -> None:
    whole = tmp_path / "whole.vcf.gz"
    pysam.tabix_compress(str(write(tmp_path, long_vcf())), str(whole))
    for cut in (1, 28, 5000):
        assert "cut off" in refused(write(tmp_path, whole.read_bytes()[:-cut], "cut.vcf.gz"), "--assembly", "GRCh37")


def test_a_damaged_gzip(refused: Run, tmp_path: Path) -> None:
    content = bytearray(gzip.compress(long_vcf()))
    content[len(content) // 2] ^= 0xFF
    assert "damaged" in refused(write(tmp_path, bytes(content), "in.vcf.gz"), "--assembly", "GRCh37")


def test_a_truncated_bcf(refused: Run, tmp_path: Path) -> None:
    path, bcf = write(tmp_path, HEADER + "##contig=<ID=20>\n" + COLUMNS + RECORD * 9000), tmp_path / "in.bcf"
    with pysam.VariantFile(str(path)) as source, pysam.VariantFile(str(bcf), "wb", header=source.header) as out:
        for record in source:
            out.write(record)
    assert "cut off" in refused(write(tmp_path, bcf.read_bytes()[:-100], "cut.bcf"), "--assembly", "GRCh37")


def test_a_zero_byte_far_into_the_file(refused: Run, tmp_path: Path) -> None:
    path = write(tmp_path, long_vcf() + b"20\t5\0\n")
    assert f"{path}:20002: the line holds a zero byte" in refused(path, "--assembly", "GRCh37")


def test_no_assembly_in_the_file_and_none_given(refused: Run, tmp_path: Path) -> None:
    message = refused(write(tmp_path, HEADER + COLUMNS + RECORD))
    assert "nothing in the file tells its assembly" in message
    assert "--assembly GRCh37" in message


@pytest.mark.parametrize(
    ("header", "record", "by"),
    [
        ("##contig=<ID=chr20,length=64444167>", RECORD, "by the lengths of its contigs"),
        ("##reference=file:///data/Homo_sapiens_assembly38.fasta", RECORD, "by its header"),
        ("##reference=GRCh38/hg38", RECORD, "by its header"),
        ("##contig=<ID=20,assembly=GRCh38>", RECORD, "by its header"),
        ("##contig=<ID=NC_000020.11>", RECORD, "by its contig NC_000020.11"),
        ("##source=x", RECORD.replace("20", "NC_000020.11", 1), "by its contig NC_000020.11"),
    ],
)
def test_the_wrong_assembly(refused: Run, tmp_path: Path, header: str, record: str, by: str) -> None:
    message = refused(write(tmp_path, f"{HEADER}{header}\n{COLUMNS}{record}"))
    assert "it is of GRCh38" in message
    assert by in message
    assert "the store holds GRCh37" in message


def test_an_assembly_given_that_the_file_contradicts(refused: Run, tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEADER}##reference=hg19\n{COLUMNS}{RECORD}")
    assert "it is of GRCh37 (by its header, 'hg19'), not GRCh38" in refused(path, "--assembly", "hg38")
    assert "unknown assembly 'T2T'" in refused(path, "--assembly", "T2T")


def test_hg19s_own_chrm(refused: Run, tmp_path: Path) -> None:
    path = write(tmp_path, f"{HEADER}##contig=<ID=chr1,length=249250621>\n##contig=<ID=chrM,length=16571>\n{COLUMNS}{RECORD}")
    assert "its chrM is hg19's own (16,571 bases)" in refused(path)


def test_ref_that_differs_from_the_reference(refused: Run, tmp_path: Path, write_fasta: Any) -> None:
    fasta = write_fasta({"20": "ACGT" * 100})
    path = write(tmp_path, HEADER + COLUMNS + "".join(f"20\t{n}\t.\t{'ACGT'[n % 4]}\tN\t.\t.\t.\n" for n in range(9, 90)))
    message = refused(path, "--assembly", "GRCh37", "--reference", fasta)
    assert f"{path}:3: REF is C at 20:9, where {fasta} has A; so for 81 of the first 81 records" in message
    assert "--reference" in refused(path, "--assembly", "GRCh37", "--reference", tmp_path / "nowhere.fa")


def test_a_few_wrong_refs_are_rejects(grch37: Conn, load_vcf: Any, write_vcf: Any, write_fasta: Any) -> None:
    fasta = write_fasta({"20": "ACGT" * 100})
    records = [f"20 {n} . {'TACG'[n % 4]} N . . ." for n in range(9, 90)]
    outcome = load_vcf(grch37, write_vcf(*records, "20 100 . A G . . ."), reference=fasta)
    assert outcome.load.reasons == {"REF differs from the reference": 1}


def test_positions_that_contradict_the_rsids_in_the_store(grch37: Conn, load_vcf: Any, write_vcf: Any, write_fasta: Any) -> None:
    load_vcf(grch37, write_vcf(*(f"20 {1000 * n} rs{n} A G . . ." for n in range(1, 30))))
    shifted = write_vcf(*(f"20 {1000 * n + 19_353} rs{n} A G . . ." for n in range(1, 30)), name="shifted.vcf")
    before = everything(grch37)
    with pytest.raises(InputError, match=r"shifted\.vcf:4: rs1 is at 20:20353, in the store elsewhere; so for 29 of 29 rsIDs"):
        load_vcf(grch37, shifted)
    assert everything(grch37) == before
    with pytest.raises(InputError, match="rs1 is at 20:20353, in the store elsewhere"):
        load_vcf(grch37, shifted, reference=write_fasta({"21": "ACGT"}))


def test_a_reference_of_the_other_assembly(refused: Run, tmp_path: Path, write_fasta: Any) -> None:
    fasta = write_fasta({"20": "A"})
    Path(f"{fasta}.fai").write_text("20\t64444167\t4\t60\t61\n")
    message = refused(write(tmp_path, HEADER + COLUMNS + RECORD), "--assembly", "GRCh37", "--reference", fasta)
    assert "as in GRCh38; the store is GRCh37" in message


def test_a_registered_reference_that_changed(refused: Run, grch37: Conn, tmp_path: Path, write_fasta: Any) -> None:
    fasta = write_fasta({"20": "ACGT"})
    register_reference(grch37, fasta, {"20": 5})
    assert "has changed" in refused(write(tmp_path, HEADER + COLUMNS + RECORD), "--assembly", "GRCh37")


def test_a_store_that_was_not_made_yet(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VKG_DATABASE_URL", store_url)
    monkeypatch.setattr(sys, "argv", ["vkg", "load", "vcf", str(write(tmp_path, HEADER + COLUMNS + RECORD))])
    with pytest.raises(SystemExit) as ended:
        vkg.main()
    assert ended.value.code == 2
    assert "vkg init --assembly" in capsys.readouterr().err


def test_a_reference_given_to_a_store_without_one_is_registered(grch37: Conn, load_vcf: Any, write_vcf: Any, write_fasta: Any) -> None:
    fasta = write_fasta({"20": "ACGT" * 100})
    load_vcf(grch37, write_vcf("20 9 . A G . . ."), reference=fasta)
    assert genome(grch37).reference_path == fasta
    assert genome(grch37).reference_contigs == Reference(fasta).contigs
    other = write_fasta({"20": "ACGT" * 50}, name="other.fa")
    load_vcf(grch37, write_vcf("20 9 . A C . . ."), reference=other)
    assert genome(grch37).reference_path == fasta
