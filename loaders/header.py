"""The header of a VCF: what its INFO keys are, its contigs, its samples, what it says of its reference.

Source: the VCF specification, versions 4.1 to 4.5. Real headers leave out much of it, and all of this is optional but
the line that begins with #CHROM.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from loaders.errors import InputError
from loaders.source import Block, RawBlock, bcf_blocks, is_bcf, raw_blocks, text_blocks, utf8

# A key stands at the beginning or behind a mark: tried at each character, a long text would take the square of its length.
_ATTRIBUTE = re.compile(r'(?:^|(?<=[<,]))([^=,<>"]+)=("(?:[^"\\]|\\.)*"|[^,>]*)')
_COLUMNS = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]
_OF_SITES = frozenset(("##INFO", "##FORMAT", "##FILTER", "##ALT", "##contig", "##fileformat", "##reference"))
_OF_FILES = frozenset(("##source", "##fileDate", "##phasing", "##assembly"))
_LOOKED_AT = 20_000_000
_DIGITS = 10  # fewer, in a length
_LAST = b"#CHROM"
_SAMPLES_TIMES = 8  # as large are blocks of lines with genotypes, which are long: what is done once per block is to be done for many lines
MOST_HEADER = 64 << 20
"""Characters of a header, which is held in memory: that of a million samples has some ten million."""

MOST_SAMPLES, MOST_KEYS = 2_000_000, 10_000
"""Samples and INFO keys of a file: more are no names."""

_NOT_VCF = "Give a VCF or BCF file; `bcftools view -h` shows whether it is one."


@dataclass(frozen=True)
class InfoField:
    """An INFO key as declared: `number` is digits, A, R, G or a dot; `type` is Integer, Float, Flag, Character or String."""

    id: str
    number: str
    type: str
    description: str


@dataclass(frozen=True)
class VcfHeader:
    """A header: its text with all lines; INFO fields and contig lengths by name (None where not given)."""

    text: str
    fileformat: str | None
    infos: dict[str, InfoField]
    contigs: dict[str, int | None]
    reference: str | None
    samples: tuple[str, ...]

    @classmethod
    def parse(cls, lines: Iterable[str]) -> VcfHeader:
        """Reads header lines, the last of which begins with #CHROM. The first declaration of a key is the one that counts."""
        fileformat = reference = None
        infos: dict[str, InfoField] = {}
        contigs: dict[str, int | None] = {}
        samples: tuple[str, ...] = ()
        lines = list(lines)
        for line in lines:
            kind, _, value = line.partition("=")
            if kind == "##INFO":
                if field := _info(value):
                    infos.setdefault(field.id, field)
            elif kind == "##contig":
                found = _attributes(value)
                length = found.get("length", "").replace(",", "")
                contigs.setdefault(found.get("ID", ""), int(length) if length.isdecimal() and len(length) < _DIGITS else None)
            elif kind == "##reference":
                reference = reference or value
            elif kind == "##fileformat":
                fileformat = fileformat or value
            elif line.startswith("#CHROM"):
                samples = tuple(line.split("\t")[9:])
        return cls("\n".join(lines) + "\n", fileformat, infos, contigs, reference, samples)

    @property
    def public_text(self) -> str:
        """The text as anybody may read it: of sites, and of the file where no name of a sample is in the line. What else programs write
        (command lines with paths, SAMPLE, PEDIGREE) tells of samples."""
        lines = []
        left = _LOOKED_AT  # comparisons of a line and a name
        for line in self.text.splitlines():
            if line.startswith("#CHROM"):
                lines.append("\t".join(line.split("\t")[: len(_COLUMNS) + 1]))
            elif (kind := line.partition("=")[0]) in _OF_SITES or (
                kind in _OF_FILES and (left := left - len(self.samples)) >= 0 and not any(name in line for name in self.samples)
            ):
                lines.append(line)
        return "".join(f"{line}\n" for line in lines)

    def with_keys_of(self, others: Iterable[VcfHeader]) -> VcfHeader:
        """This header with the INFO keys of all files of a load, in one order for all of them; its own definitions go first."""
        keys = dict.fromkeys(key for header in others for key in header.infos)
        everyones = {key: field for header in others for key, field in header.infos.items()}
        return replace(self, infos={key: self.infos.get(key) or everyones[key] for key in keys} | self.infos)


def open_vcf(path: Path, *, samples: bool = False) -> tuple[VcfHeader, Iterator[Block]]:
    """The header of a VCF or BCF file, and blocks of its records: those of BCF, which are made, with samples only where asked for.

    Raises InputError where it is neither.
    """
    if is_bcf(path):
        text, records = bcf_blocks(path, samples=samples)
        return _parsed(path, text.splitlines()), records
    return _split(path, text_blocks(path))


def raw_records(path: Path, header: VcfHeader, *, samples: bool = False) -> Iterator[RawBlock]:
    """The same records as bytes in UTF-8, of a file that has this header."""
    if is_bcf(path):
        for made in bcf_blocks(path, samples=samples)[1]:
            yield RawBlock(made.first, "\n".join(made.lines).encode(), made.position)
        return
    columns = None  # line with the names of the columns
    for block in raw_blocks(path, _SAMPLES_TIMES if header.samples else 1):
        number, data, position = block
        if columns is None:
            at = 0 if data.startswith(_LAST) else data.find(b"\n" + _LAST) + 1
            if not at and not data.startswith(_LAST):
                continue
            columns = number + data.count(b"\n", 0, at)
            _, newline, data = data[at:].partition(b"\n")
            if not newline:
                continue
            number = columns + 1
        yield RawBlock(number, utf8(data), position)


def _split(path: Path, blocks: Iterator[Block]) -> tuple[VcfHeader, Iterator[Block]]:
    lines: list[str] = []
    size = 0
    for block in blocks:
        for index, line in enumerate(block.lines):
            if line.startswith("#CHROM"):
                _check_columns(path, block.first + index, line)
                rest = Block(block.first + index + 1, block.lines[index + 1 :], block.position)
                return _parsed(path, [*lines, line]), chain([rest], blocks)
            if not line.startswith("##"):
                raise _no_header(path, block.first + index, line, lines)
            lines.append(line)
            if (size := size + len(line)) > MOST_HEADER:
                raise InputError(path, block.first + index, f"a header of more than {MOST_HEADER:,} characters", _NOT_VCF)
    raise _no_header(path, None, "", lines)


def _parsed(path: Path, lines: list[str]) -> VcfHeader:
    """The header of lines. Raises InputError where it names more than a file has."""
    header = VcfHeader.parse(lines)
    for count, most, what in ((len(header.samples), MOST_SAMPLES, "samples"), (len(header.infos), MOST_KEYS, "INFO keys")):
        if count > most:
            raise InputError(
                path, None, f"{count:,} {what}, of which a file has at most {most:,}", "Take out those that are not needed, with bcftools."
            )
    return header


def _no_header(path: Path, line: int | None, text: str, before: list[str]) -> InputError:
    if not before:
        return InputError(path, line, f"not a VCF: it begins with {text[:40]!r}", _NOT_VCF)
    return InputError(path, line, "not a VCF: its header has no #CHROM line", "Put the header back (bcftools reheader -h).")


def _check_columns(path: Path, number: int, line: str) -> None:
    columns = line.split("\t")
    if columns[:8] == _COLUMNS:
        return
    if line.split()[:8] == _COLUMNS:
        raise InputError(path, number, "its columns are separated by spaces", "Separate them by tabs, as the VCF format wants.")
    raise InputError(path, number, "its #CHROM line has not the columns of a VCF", f"They are: {' '.join(_COLUMNS)}")


def _attributes(value: str) -> dict[str, str]:
    return {key.strip(): _unquoted(text) for key, text in _ATTRIBUTE.findall(value)}


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[:1] == '"' else text


def _info(value: str) -> InfoField | None:
    found = _attributes(value)
    if "ID" not in found:
        return None
    return InfoField(found["ID"], found.get("Number", "."), found.get("Type", "String"), found.get("Description", ""))
