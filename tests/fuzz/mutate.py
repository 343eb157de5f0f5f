"""Damage done to files: what fuzz inputs are made of.

In: the bytes of a sound file, and a source of random numbers, from which everything follows. Out: the bytes of a file that may be anything: a number
where none fits, a column less, a line twice, half a gzip member, a byte turned. Text is damaged by its lines and fields, what is in fields by what
it looks like, and anything by its bytes.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random

Damage = Callable[[Random, bytes], bytes]

NUMBERS = (
    b"0", b"-0", b"1", b"-1", b"+1", b"1.", b".5", b"007", b"1e400", b"-1e400", b"1e-400", b"1e5", b"nan", b"NaN", b"-nan", b"inf", b"-Infinity",
    b"127", b"128", b"255", b"256", b"32767", b"32768", b"65535", b"65536", b"2147483647", b"2147483648", b"-2147483649", b"4294967296",
    b"268435455", b"999999999", b"9999999999", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"1" + b"0" * 400,
    b"9" * 5000, b"0" * 5000, b"0x10", b"1_000", b"1,000", b"1 000", b"3.4e38", b"3.5e38", b"65504", b"65520", b"5e-324", b"0.1" + b"1" * 60,
    "١٢٣".encode(), "²".encode(), "１２".encode(), "½".encode(), "Ⅷ".encode(),
)  # fmt: skip
"""Numbers at the ends of what holds them, and what only looks like one (digits of other scripts, of which Python reads some)."""

WORDS = (
    b"", b".", b"-", b"*", b"NA", b"<DEL>", b"<*>", b"<NON_REF>", b"N", b"n", b"acgt", b"ACGTN", b"R", b"A[chr1:5[", b"]1:5]A", b"None", b"null",
    b"true", b"TRUE", b"PASS", b"GT", b"0/1", b"0|1|1", b"./.", b"|0", b"99/99", b"1/", b"10|2", b"chrX", b"MT", b"chrM", b"M", b"NC_000020.10", b"NC_000020.11",
    b"chrUn_gl000220", b"0", b"rs1", b"rs0", b"rs" + b"9" * 18, b"rs" + b"9" * 30, b'"', b'""', b'"a', b"'", b"\\", b"\\N", b"%00", b"%ED%A0%80", b"%", b"%zz", b"#", b"##",
    b"a=b", b"=", b";", b";;", b",", b",,", b":", b"::", b"|", b"||||", b"&", b"{}", b"{", b"[1,2]", b'{"a": "\\ud800"}', b'{"a": "\\u0000"}', b'{"a": NaN}', b'{"a": 1e999}',
    b"[" * 3000, b'{"a":' * 1200, b"$(id)", b"'; DROP TABLE load; --", b"../../x", b"=1+1",
    "é".encode(), "\N{ZERO WIDTH SPACE}".encode(), "\N{NO-BREAK SPACE}".encode(), "\N{LINE SEPARATOR}".encode(), "\N{NEXT LINE}".encode(), "ﬁ".encode(), "İ".encode(), "ß".encode(),
    "\N{DNA DOUBLE HELIX}".encode(), "e\u0301".encode(), b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xfe\xff", b"\0", b"\x01", b"\x0b", b"\x0c", b"\x1a", b"\x1c", b"\x7f", b"\r",
    b"A" * 300, b"ACGT" * 500, b"x" * 70_000, b"1|" * 400, b"1," * 3000, b"k=v;" * 2000,
)  # fmt: skip
"""Fields that are something else than what is due: missing values, symbols of each format, quotes, scripts and bytes of all kinds, and long ones."""

_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_PIECE = re.compile(rb"[^\t ,;:|=\n\r/&()\"'<>{}]+")
_SEPARATORS = (b"\t", b" ", b",", b";", b":", b"|", b"=", b"\n", b"\r\n", b"\r", b"  ", b"\t\t", b"\x0b", b"/", b"&", b"")
_MOST = 1 << 18
"""Bytes that an input grows to at most, unless told otherwise: what is larger has a list of its own (extremes.py)."""


def text(random: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Text with one to some damages; `others` are files that lines are borrowed from."""
    for _ in range(_some(random)):
        data = (
            random.choice(_OF_TEXT)(random, data)
            if random.random() < 0.93 or not others
            else _borrowed(random, data, random.choice(others))
        )
        if len(data) > _MOST:
            break
    return data[:_MOST]


def binary(random: Random, data: bytes) -> bytes:
    """Bytes with one to some damages."""
    for _ in range(_some(random)):
        data = random.choice(_OF_BYTES)(random, data)
    return data[:_MOST]


def compressed(random: Random, data: bytes) -> bytes:
    """The same in gzip or bgzip, mostly sound, else damaged as such files are: cut off, with more behind, of several members, of no length."""
    packed = (
        bgzf(data, random.choice((0xFF00, 0xFF00, 700, 64, 1)))
        if random.random() < 0.5 and len(data) < 20_000
        else gzip.compress(data, 1, mtime=0)
    )
    kind = random.random()
    if kind < 0.4:
        return packed
    if kind < 0.5:
        return packed[: random.randrange(len(packed))]
    if kind < 0.6:
        return packed + random.choice((b"\0" * 512, b"trailing", b"\x1f\x8b", b"\n", packed, bgzf(b""), gzip.compress(b"", mtime=0)))
    if kind < 0.65:
        return gzip.compress(packed, 1, mtime=0)
    return binary(random, packed)


def bgzf(data: bytes, size: int = 0xFF00) -> bytes:
    """Bytes as blocks of BGZF with so many each, and the empty block behind (SAM specification, 4.1)."""
    parts = []
    for begin in (*range(0, len(data), size), len(data)):
        piece = data[begin : begin + size]
        squeeze = zlib.compressobj(1, zlib.DEFLATED, -15)
        body = squeeze.compress(piece) + squeeze.flush()
        head = b"\x1f\x8b\x08\x04" + b"\0" * 5 + b"\xff\x06\0BC\x02\0" + struct.pack("<H", len(body) + 25)
        parts.append(head + body + struct.pack("<II", zlib.crc32(piece), len(piece)))
    return b"".join(parts)


def _some(random: Random) -> int:
    count = 1
    while count < 8 and random.random() < 0.45:
        count += 1
    return count


def _lines(data: bytes) -> list[bytes]:
    return data.split(b"\n")


def _separator(line: bytes) -> bytes:
    return b"\t" if b"\t" in line else b"," if b"," in line else b" "


def _a_line(random: Random, lines: Sequence[bytes]) -> int:
    return random.randrange(len(lines))


def _line_dropped(random: Random, data: bytes) -> bytes:
    lines = _lines(data)
    del lines[_a_line(random, lines)]
    return b"\n".join(lines)


def _line_repeated(random: Random, data: bytes) -> bytes:
    lines = _lines(data)
    place = _a_line(random, lines)
    lines[place:place] = [lines[place]] * random.choice((1, 1, 2, 5, 60))
    return b"\n".join(lines)


def _lines_swapped(random: Random, data: bytes) -> bytes:
    lines = _lines(data)
    one, other = _a_line(random, lines), _a_line(random, lines)
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _line_torn(random: Random, data: bytes) -> bytes:
    lines = _lines(data)
    place = _a_line(random, lines)
    cut = random.randrange(len(lines[place]) + 1)
    lines[place : place + 1] = random.choice(([lines[place][:cut]], [lines[place][cut:]], [lines[place][:cut], lines[place][cut:]]))
    return b"\n".join(lines)


def _lines_joined(random: Random, data: bytes) -> bytes:
    lines = _lines(data)
    place = _a_line(random, lines)
    lines[place : place + 2] = [random.choice((b"", b"\t", b"\r", b"\0")).join(lines[place : place + 2])]
    return b"\n".join(lines)


def _line_foreign(random: Random, data: bytes) -> bytes:
    lines = _lines(data)
    lines.insert(
        _a_line(random, lines),
        random.choice((b"", b" ", b"\t", b"#", b"##", b"##x=<ID=", b"#CHROM\tPOS", b"\r", random.choice(WORDS), b"\t" * 30)),
    )
    return b"\n".join(lines)


def _field(random: Random, data: bytes, change: Callable[[list[bytes], int], None]) -> bytes:
    lines = _lines(data)
    place = _a_line(random, lines)
    mark = _separator(lines[place])
    fields = lines[place].split(mark)
    change(fields, random.randrange(len(fields)))
    lines[place] = mark.join(fields)
    return b"\n".join(lines)


def _field_dropped(random: Random, data: bytes) -> bytes:
    return _field(random, data, lambda fields, place: fields.__delitem__(place))


def _field_repeated(random: Random, data: bytes) -> bytes:
    times = random.choice((1, 1, 2, 20, 500))
    return _field(random, data, lambda fields, place: fields.__setitem__(slice(place, place), [fields[place]] * times))


def _fields_swapped(random: Random, data: bytes) -> bytes:
    def swap(fields: list[bytes], place: int) -> None:
        other = random.randrange(len(fields))
        fields[place], fields[other] = fields[other], fields[place]

    return _field(random, data, swap)


def _field_another(random: Random, data: bytes) -> bytes:
    word = random.choice((random.choice(WORDS), random.choice(NUMBERS)))
    return _field(random, data, lambda fields, place: fields.__setitem__(place, word))


def _column_gone(random: Random, data: bytes) -> bytes:
    """The same column of all lines dropped, doubled, or emptied."""
    place, kind = random.randrange(12), random.randrange(3)
    lines = []
    for line in _lines(data):
        mark = _separator(line)
        fields = line.split(mark)
        if place < len(fields):
            fields[place : place + 1] = ([], [fields[place]] * 2, [b""])[kind]
        lines.append(mark.join(fields))
    return b"\n".join(lines)


def _number_another(random: Random, data: bytes) -> bytes:
    found = list(_NUMBER.finditer(data))
    if not found:
        return data
    one = random.choice(found)
    number = (
        random.choice(NUMBERS)
        if random.random() < 0.7
        else str(random.randint(-(1 << random.randrange(70)), 1 << random.randrange(70))).encode()
    )
    return data[: one.start()] + number + data[one.end() :]


def _piece_another(random: Random, data: bytes) -> bytes:
    """One piece between any marks replaced, by a word or by another piece of the file."""
    found = list(_PIECE.finditer(data))
    if not found:
        return data
    one, other = random.choice(found), random.choice(found)
    return data[: one.start()] + random.choice((random.choice(WORDS), other[0], other[0] + one[0], b"")) + data[one.end() :]


def _separator_another(random: Random, data: bytes) -> bytes:
    places = [n for n, byte in enumerate(data) if byte in b"\t ,;:|=\n/&"]
    if not places:
        return data
    place, mark = random.choice(places), random.choice(_SEPARATORS)
    if random.random() < 0.15:
        return data.replace(data[place : place + 1], mark)
    return data[:place] + mark + data[place + 1 :]


def _header_torn(random: Random, data: bytes) -> bytes:
    """The first lines gone, all comments gone, all but comments gone, or the header in another case."""
    lines = _lines(data)
    kind = random.randrange(5)
    if kind == 0:
        lines = lines[random.randrange(1, 4) :]
    elif kind == 1:
        lines = [line for line in lines if line[:1] != b"#"]
    elif kind == 2:
        lines = [line for line in lines if line[:1] == b"#"]
    elif kind == 3:
        lines[:1] = [random.choice((lines[0].upper(), lines[0].lower(), lines[0][::-1], b"\xef\xbb\xbf" + lines[0]))]
    else:
        lines = lines[: random.randrange(len(lines) + 1)]
    return b"\n".join(lines)


def _line_ends(random: Random, data: bytes) -> bytes:
    return data.replace(b"\n", random.choice((b"\r\n", b"\r", b"\n\r", b"\n\n", b"\0\n", b"\x0b", "\u2028".encode())))


def _many(random: Random, data: bytes) -> bytes:
    """The body many times over."""
    lines = _lines(data)
    return b"\n".join(lines + lines[random.randrange(len(lines)) :] * random.choice((2, 10, 60)))


def _borrowed(random: Random, data: bytes, other: bytes) -> bytes:
    lines, theirs = _lines(data), _lines(other)
    begin = _a_line(random, theirs)
    place = _a_line(random, lines)
    lines[place : place + random.choice((0, 1, 3))] = theirs[begin : begin + random.choice((1, 2, 10))]
    return b"\n".join(lines)


def _byte_turned(random: Random, data: bytes) -> bytes:
    if not data:
        return data
    made = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        made[random.randrange(len(made))] ^= 1 << random.randrange(8)
    return bytes(made)


def _bytes_another(random: Random, data: bytes) -> bytes:
    if not data:
        return random.randbytes(8)
    place = random.randrange(len(data))
    new = random.choice(
        (b"\0", b"\xff", b"\x7f", b"\0" * 4, b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f", b"\0\0\0\x80", random.randbytes(4))
    )
    return data[:place] + new + data[place + len(new) :]


def _bytes_more(random: Random, data: bytes) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + random.randbytes(random.choice((1, 2, 16, 600))) + data[place:]


def _bytes_gone(random: Random, data: bytes) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + data[place + random.choice((1, 2, 16, 600)) :]


def _bytes_moved(random: Random, data: bytes) -> bytes:
    begin, place, size = random.randrange(len(data) + 1), random.randrange(len(data) + 1), random.choice((4, 32, 512))
    return data[:place] + data[begin : begin + size] + data[place + size :]


def _cut_off(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _twice(random: Random, data: bytes) -> bytes:
    return data + data[random.choice((0, random.randrange(len(data) + 1))) :]


_OF_TEXT: tuple[Damage, ...] = (
    _line_dropped, _line_repeated, _lines_swapped, _line_torn, _lines_joined, _line_foreign,
    _field_dropped, _field_repeated, _fields_swapped, _field_another, _field_another, _field_another, _column_gone,
    _number_another, _number_another, _number_another, _piece_another, _piece_another, _piece_another,
    _separator_another, _separator_another, _header_torn, _line_ends, _many,
    _byte_turned, _bytes_another, _bytes_more, _cut_off, _twice,
)  # fmt: skip
_OF_BYTES: tuple[Damage, ...] = (
    _byte_turned,
    _byte_turned,
    _bytes_another,
    _bytes_another,
    _bytes_more,
    _bytes_gone,
    _bytes_moved,
    _cut_off,
    _twice,
)
