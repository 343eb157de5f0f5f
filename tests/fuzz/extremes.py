"""Files that are large when they are read, and small on the disk: lines without an end, of a million columns, fields of millions of characters, headers
without an end, and what is much of the same. All are gzip, made of the first seed of a reader of text."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

from isal import igzip

SEED = "extremes"
"""The seed in the labels of these inputs: extremes/0 ..."""

LIMIT = 240
"""Seconds for one of them."""

_MANY = 1 << 20
_PIECE = 1 << 20

Parts = Iterator[bytes]


def _without_end(seed: bytes) -> Parts:
    """300 MB in one line."""
    yield seed
    for _ in range(300):
        yield b"A" * _PIECE


def _long_field(seed: bytes) -> Parts:
    """Before the last line's last field one of 50 MB, which is shorter than a line may be."""
    head, _, last = seed.rstrip(b"\n").rpartition(b"\n")
    first, mark, rest = last.rpartition(b"\t" if b"\t" in last else b" ")
    yield head + b"\n" + first + mark
    for _ in range(50):
        yield b"A" * _PIECE
    yield mark + rest + b"\n"


def _wide(seed: bytes) -> Parts:
    """A million columns more in the last line."""
    last = seed.rstrip(b"\n").rpartition(b"\n")[2]
    yield seed.rstrip(b"\n") + (b"\t1" if b"\t" in last else b" 1") * _MANY + b"\n" + last + b"\n"


def _wide_header(seed: bytes) -> Parts:
    """A million columns more in the header, or in the first line."""
    lines = seed.split(b"\n")
    place = next((n for n, line in enumerate(lines) if line[:2] != b"##"), 0)
    mark = b"\t" if b"\t" in lines[place] else b" "
    lines[place] += b"".join(mark + b"AF_%d" % n for n in range(_MANY))
    yield b"\n".join(lines)


def _comments(seed: bytes) -> Parts:
    """A header of 150 MB and no end of it."""
    yield seed.split(b"\n")[0] + b"\n"
    line = b'##INFO=<ID=K%d,Number=1,Type=Float,Description="' + b"x" * 80 + b'">\n'
    for n in range(_MANY):
        yield line % n


def _empty_lines(seed: bytes) -> Parts:
    """Ten million empty lines behind the file."""
    yield seed
    for _ in range(10):
        yield b"\n" * _PIECE


def _again_and_again(seed: bytes) -> Parts:
    """The last line 50 MB long over."""
    yield seed
    last = seed.rstrip(b"\n").rpartition(b"\n")[2] + b"\n"
    piece = last * (_PIECE // len(last))
    for _ in range(50):
        yield piece


def _others(seed: bytes) -> Parts:
    """The last line 30 MB long over, its second field or first another each time."""
    yield seed
    last = seed.rstrip(b"\n").rpartition(b"\n")[2]
    mark = b"\t" if b"\t" in last else b" "
    fields = last.split(mark)
    place = min(1, len(fields) - 1)
    for n in range((30 << 20) // (len(last) + 1)):
        fields[place] = b"%d" % (1_000_000 + n)
        yield mark.join(fields) + b"\n"


def _zeros(seed: bytes) -> Parts:
    """200 MB of nothing behind the first line."""
    yield seed.split(b"\n")[0] + b"\n"
    for _ in range(200):
        yield b"\0" * _PIECE


EXTREMES: tuple[Callable[[bytes], Parts], ...] = (
    _without_end, _long_field, _wide, _wide_header, _comments, _empty_lines, _again_and_again, _others, _zeros,
)  # fmt: skip


def make(seed: bytes, number: int) -> bytes:
    """The gzip file of an extreme, by its number."""
    out = io.BytesIO()
    with igzip.open(out, "wb", compresslevel=1) as file:
        for part in EXTREMES[number](seed):
            file.write(part)
    return out.getvalue()
