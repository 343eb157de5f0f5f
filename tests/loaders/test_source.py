"""Files as blocks of lines: what is no text, has no line ends, or is damaged where only another library looks."""

from __future__ import annotations

import gzip
from pathlib import Path

import pysam
import pytest

from loaders import source
from loaders.errors import LONGEST, InputError
from loaders.header import MOST_KEYS, open_vcf
from loaders.source import bcf_blocks, raw_blocks
from tests.fuzz.mutate import bgzf

HEADER = "##fileformat=VCFv4.2\n##contig=<ID=20>\n"
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def test_a_line_may_be_so_long_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK", 100)
    monkeypatch.setattr(source, "LONGEST_LINE", 250)
    path = tmp_path / "some.txt"
    for ending in ("", "\n", "\nshort\n"):
        path.write_text("a\nb\n" + "x" * 250 + ending)
        assert b"\n".join(block.data for block in raw_blocks(path)) == path.read_bytes().removesuffix(b"\n")
        path.write_text("a\nb\n" + "x" * 251 + ending)
        with pytest.raises(InputError, match=r"some[.]txt:3: a line of more than 250 bytes"):
            list(raw_blocks(path))


def test_what_inflates_to_one_line_is_refused_when_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "some.txt.gz"
    path.write_bytes(gzip.compress(b"a\n" + b"x" * (source.LONGEST_LINE + 1), 1))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match=r"some.txt.gz:2: a line of more than 67,108,864 bytes"):
        list(raw_blocks(path))


def bcf(tmp_path: Path, header: str, *records: str) -> bytes:
    """What a BCF file of these lines is, below its compression."""
    text, made = tmp_path / "made.vcf", tmp_path / "made.bcf"
    text.write_text(HEADER + header + COLUMNS + "".join(f"20\t{n}\t{record}\n" for n, record in enumerate(records, 1)))
    with pysam.VariantFile(str(text)) as lines, pysam.VariantFile(str(made), "wb", header=lines.header) as out:
        for record in lines:
            out.write(record)
    return gzip.decompress(made.read_bytes())


def test_bcf_whose_text_is_not_utf8_is_refused(tmp_path: Path) -> None:
    data = bcf(tmp_path, "##source=somebody\n", "rs1\tA\tG\t.\t.\t.", "rs2name\tA\tG\t.\t.\t.")
    path = tmp_path / "some.bcf"
    path.write_bytes(bgzf(data.replace(b"somebody", b"some\xffody")))
    with pytest.raises(InputError, match=r"some[.]bcf: its header is damaged: 'utf-8' codec"):
        bcf_blocks(path, samples=False)
    path.write_bytes(bgzf(data.replace(b"rs2name", b"rs2\xffame")))
    with pytest.raises(InputError, match=r"some[.]bcf:2: the file is damaged: 'utf-8' codec"):
        list(bcf_blocks(path, samples=False)[1])


def test_closing_a_damaged_bcf_does_not_hide_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "some.bcf"
    path.write_bytes(bgzf(bcf(tmp_path, "", *["rs1\tA\tG\t.\t.\t."] * 9)[:-3]))
    with pytest.raises(InputError, match=r"some[.]bcf:9: the file is damaged: truncated file"):
        list(bcf_blocks(path, samples=False)[1])


def test_a_header_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "some.vcf"
    path.write_text(HEADER + "##k=v\n" * 100)
    monkeypatch.setattr("loaders.header.MOST_HEADER", 300)
    with pytest.raises(InputError, match=r"some.vcf:5\d: a header of more than 300 characters"):
        open_vcf(path)


def test_a_header_names_no_more_than_a_file_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "some.vcf"
    path.write_text(HEADER + "".join(f"##INFO=<ID=K{n},Number=1,Type=Float>\n" for n in range(MOST_KEYS + 1)) + COLUMNS)
    with pytest.raises(InputError, match=r"some[.]vcf: 10,001 INFO keys"):
        open_vcf(path)
    monkeypatch.setattr("loaders.header.MOST_SAMPLES", 2)
    path.write_text(HEADER + COLUMNS.rstrip("\n") + "\tFORMAT\tA\tB\tC\n")
    with pytest.raises(InputError, match=r"some[.]vcf: 3 samples, of which a file has at most 2"):
        open_vcf(path)


def test_a_contig_of_any_number_of_digits(tmp_path: Path) -> None:
    path = tmp_path / "some.vcf"
    path.write_text(f"##fileformat=VCFv4.2\n##contig=<ID=20,length={'9' * 5000}>\n{COLUMNS}")
    assert open_vcf(path)[0].contigs == {"20": None}


def test_an_error_shows_a_terminal_nothing_but_text() -> None:
    error = InputError("some.txt", 1, "it begins with \x1b[2J\r" + "x" * 90_000, "Look\nat it.")
    assert str(error).startswith("some.txt:1: it begins with \\x1b[2J\\rxxx")
    assert str(error).endswith(" ...\n  Look\nat it.")
    assert len(str(error)) < LONGEST + 100


def test_a_long_text_in_a_header_takes_no_time_to_speak_of(tmp_path: Path) -> None:
    """Two million characters: the square of that would be hours."""
    path = tmp_path / "some.vcf"
    path.write_text(f'{HEADER}##INFO=<ID=A,{"x" * 2_000_000}\n##INFO=<ID=B,Number=1,Type=Float,Description="a, b=c, \\"d\\"">\n{COLUMNS}')
    found = open_vcf(path)[0].infos
    assert found["B"].description == 'a, b=c, "d"'
    assert found["A"].number == "."


def test_a_bcf_that_is_not_bgzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.bcf"
    path.write_bytes(gzip.compress(bcf(tmp_path, "", "rs1\tA\tG\t.\t.\t.")))
    with pytest.raises(InputError, match="not a readable BCF file"):
        bcf_blocks(path, samples=False)
