"""Files as blocks of lines: plain text, gzip, bgzip, and BCF turned to text, all the same to a reader.

Comes in: a path. Goes out: `Block`s of a few megabytes of whole lines, numbered from 1. Every way in which a file can
be damaged or not be what it is said to be ends in an InputError that names the file and the line.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pysam
from isal import igzip_threaded
from isal.igzip_lib import IsalError

from loaders.errors import InputError
from store.load import SourceFile

BLOCK = 1 << 20
"""Bytes of text per block; of compressed bytes, eight times as much is read ahead."""

LONGEST_LINE = 64 << 20
"""Bytes of a line: a VCF has 64 for each of a million samples, and no other file has lines nearly as long. What has none, or is no text, would fill the memory."""

ZERO_BYTE = "the line holds a zero byte: the file is damaged, or not text"

_NEWLINE = ord("\n")
_GZIP = b"\x1f\x8b"
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")  # SAM specification, 4.1.2
_TOO_LONG = "Check that it is the file you mean, and that it is text with line ends."
_COPY_AGAIN = "Copy or download it again."


class Block(NamedTuple):
    """Whole lines without their line ends; `first` is the number of the first; `position`: bytes of the file on disk read so far."""

    first: int
    lines: list[str]
    position: int


class RawBlock(NamedTuple):
    """Whole lines as they stand in the file, without the last line end; the rest is as in Block."""

    first: int
    data: bytes
    position: int


def text_blocks(path: Path) -> Iterator[Block]:
    """The lines of a text file, which may be compressed with gzip or bgzip.

    Lines that are not UTF-8 are read as Latin-1, as older files are. Raises InputError where the file is missing,
    unreadable, empty, truncated, damaged, or not text.
    """
    for block in raw_blocks(path):
        yield Block(block.first, text(block.data).split("\n"), block.position)


def raw_blocks(path: Path, times: int = 1) -> Iterator[RawBlock]:
    """The same lines as bytes, for readers that parse them as a whole, in blocks `times` as large; `text` decodes them. Raises InputError as `text_blocks` does."""
    compressed = check(path)
    number, size = 1, 0
    parts: list[bytes] = []  # of the line that is not at its end, and their size
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        file = stack.enter_context(igzip_threaded.open(raw, "rb", block_size=BLOCK)) if compressed else raw
        try:
            while data := file.read(times * BLOCK):
                end = data.rfind(b"\n")
                if size + (data.find(b"\n") if end >= 0 else len(data)) > LONGEST_LINE:
                    raise InputError(path, number, f"a line of more than {LONGEST_LINE:,} bytes", _TOO_LONG)
                if end < 0:
                    parts.append(data)
                    size += len(data)
                    continue
                block = _checked(path, number, b"".join((*parts, memoryview(data)[:end])), raw.tell())
                parts, size = [data[end + 1 :]], len(data) - end - 1
                yield block
                number += newlines(block.data) + 1
        except EOFError as error:
            raise truncated(path, number) from error
        except (OSError, IsalError) as error:  # type: ignore[misc]  # isal's stubs take the class for an instance
            raise InputError(path, number, f"the file is damaged: {error}", _COPY_AGAIN) from error
        if size:
            yield _checked(path, number, b"".join(parts), raw.tell())


def text(data: bytes) -> str:
    """Lines as text, divided by newlines alone; those that are not UTF-8 are read as Latin-1."""
    try:
        decoded = data.decode()
    except UnicodeDecodeError:
        decoded = "\n".join(map(_decode, data.split(b"\n")))
    return decoded.replace("\r\n", "\n").removesuffix("\r") if "\r" in decoded else decoded


def newlines(data: bytes) -> int:
    """How many line ends there are; bytes.count takes five times as long."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == _NEWLINE))


def utf8(data: bytes) -> bytes:
    """The same lines as `text` has, in UTF-8."""
    return data if data.isascii() and b"\r" not in data else text(data).encode()


def bcf_blocks(path: Path, *, samples: bool) -> tuple[str, Iterator[Block]]:
    """The header of a BCF file as VCF text, and its records as VCF lines, with or without those of samples; `first` counts records."""
    check(path)
    verbosity = pysam.set_verbosity(0)
    try:
        file = pysam.VariantFile(str(path), "rb")
    except (OSError, ValueError, NotImplementedError) as error:
        raise InputError(path, None, "not a readable BCF file", "Check it with: bcftools view -h") from error
    finally:
        pysam.set_verbosity(verbosity)
    try:
        header = str(file.header)
        if not samples:
            file.subset_samples([])
    except ValueError as error:  # text that is not UTF-8
        _close(file)
        raise InputError(path, None, f"its header is damaged: {error}", _COPY_AGAIN) from error
    return header, _bcf_records(path, file)


def is_bcf(path: Path) -> bool:
    """True where the decompressed file begins as BCF does."""
    if not check(path):
        return False
    try:
        with path.open("rb") as raw, igzip_threaded.open(raw, "rb", threads=0) as file:
            return bool(file.read(3) == b"BCF")
    except (EOFError, OSError, IsalError):  # type: ignore[misc]
        return False


def check(path: Path) -> bool:
    """True where a file is compressed with gzip. Raises InputError where it cannot be read or is visibly cut off."""
    if not path.exists():
        raise InputError(path, None, "no such file", "Check the path.")
    if not path.is_file():
        raise InputError(path, None, "not a regular file", "Write a pipe or a device to a file first.")
    try:
        with path.open("rb") as file:
            start = file.read(18)
            if not start:
                raise InputError(path, None, "the file is empty", _COPY_AGAIN)
            if start[:4] == b"\x1f\x8b\x08\x04" and start[12:14] == b"BC":
                file.seek(max(0, os.path.getsize(path) - len(_BGZF_END)))
                if file.read() != _BGZF_END:
                    raise truncated(path, None)
    except PermissionError as error:
        raise InputError(path, None, "not readable: permission denied", "Change its permissions: chmod u+r") from error
    except OSError as error:
        raise InputError(path, None, f"not readable: {error.strerror}", "Check the disk it is on.") from error
    return start[:2] == _GZIP


def truncated(path: Path, line: int | None) -> InputError:
    """The error for a compressed file that ends too early."""
    return InputError(path, line, "the file is cut off: its compressed data end too early", _COPY_AGAIN)


def source_file(path: Path, header: str | None = None) -> SourceFile:
    """What the ledger keeps of a file: absolute path, SHA-256, size, header."""
    check(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return SourceFile(str(path.absolute()), digest, path.stat().st_size, header)


def _checked(path: Path, number: int, data: bytes, position: int) -> RawBlock:
    if b"\0" in data:
        line = number + data[: data.index(b"\0")].count(b"\n")
        raise InputError(path, line, ZERO_BYTE, _COPY_AGAIN)
    return RawBlock(number, data, position)


def _decode(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _close(file: pysam.VariantFile) -> None:
    # Closing says once more, as an error of its own, that reading had failed.
    with suppress(OSError):
        file.close()


def _bcf_records(path: Path, file: pysam.VariantFile) -> Iterator[Block]:
    first = 1
    lines: list[str] = []
    size = 0
    records = iter(file)
    with ExitStack() as stack:
        stack.callback(_close, file)
        stack.callback(pysam.set_verbosity, pysam.set_verbosity(0))  # what is wrong with a record is said once, by an error
        while True:
            try:
                record = next(records, None)
                line = None if record is None else str(record).rstrip("\n")
            except (OSError, ValueError) as error:
                raise InputError(path, first + len(lines), f"the file is damaged: {error}", _COPY_AGAIN) from error
            if line is not None:
                lines.append(line)
                size += len(lines[-1])
            if lines and (record is None or size >= BLOCK):
                yield Block(first, lines, file.tell() >> 16)
                first, lines, size = first + len(lines), [], 0
            if record is None:
                return
