"""Segments shared by descent: literal lines of every tool in, rows out; real files against an independent reader; whole loads; bad input."""

from __future__ import annotations

import gzip
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vkg
from loaders import ibd, ibd_layout, source
from loaders.errors import InputError, LoaderError
from loaders.genetic_map import GeneticMap
from loaders.ibd_job import ibd_job
from loaders.run import Outcome, ingest
from store import release
from store.assembly import GRCH37, chrom_code
from store.errors import StoreError
from store.load import UNKNOWN_SAMPLE, AlreadyLoaded, Load, begin
from tests.conftest import REAL, ROOT
from tests.store.people import loaded

Conn = psycopg.Connection[Any]
Write = Callable[..., Path]
Segment = tuple[Any, ...]

DATA = ROOT / "tests" / "data" / "ibd"
HAP_IBD = "A\t1\tB\t2\t20\t100\t200\t1.5\nC\t2\tA\t1\tX\t5\t5\t0\n"
EMPTY_BGZF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000") * 3
MAP = "pos chr cM\n1000000 20 2\n2000000 20 4\n3000000 20 5\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: write(text, name="some.ibd"), compressed where its name says so."""

    def write(text: str | bytes, name: str = "some.ibd") -> Path:
        path = tmp_path / name
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") and data[:2] != b"\x1f\x8b" else data)
        return path

    return write


def read(path: Path, source: str, *, divided: bool | None = None, chrom: int = 20, genetic_map: GeneticMap | None = None) -> tuple:
    """(segments of two people, of one, rejects) of a file: line, sample, other, chrom, start, end, haplotypes, type, cM, markers, score."""
    layout = next(iter(ibd_layout.layouts(path, source)), None)
    if divided is None:
        divided = layout is not None and (layout.always or bool(ibd.divisible_names(path, layout)))
    chunks = list(ibd.Reader(path, layout, GRCH37, 7, chrom, divided, genetic_map).read())
    found: dict[str, list[Segment]] = {"ibd_segment": [], "hbd_segment": []}
    for chunk in chunks:
        for table, rows in chunk.tables.items():
            assert rows.schema == ibd.SCHEMA[table]
            assert set(rows.column("file").to_pylist()) == {7}
            columns = [name for name in FIELDS if name in rows.schema.names]
            found[table] += zip(*(rows.column(name).to_pylist() for name in columns), strict=True)
    return found["ibd_segment"], found["hbd_segment"], [(r.line, r.reason, r.detail, r.row) for chunk in chunks for r in chunk.rejects]


FIELDS = (
    "line", "sample_id", "other_id", "chrom", "start_pos", "end_pos", "haplotype", "other_haplotype", "ibd_type", "length_cm", "markers", "score",
)  # fmt: skip


def simple_map() -> GeneticMap:
    """2 cM for the second Mb of chromosome 20, 1 cM for the third."""
    return GeneticMap({20: (np.array([1_000_000, 2_000_000, 3_000_000]), np.array([2.0, 4.0, 5.0]))}, "")


# ---- layouts


def test_hap_ibd(write: Write) -> None:
    segments, alone, rejects = read(write(HAP_IBD + "A\t1\tA\t2\tchr20\t7\t9\t2.25\n"), "hap-ibd")
    assert segments == [
        (1, "A", "B", 20, 100, 200, 1, 2, None, 1.5, None, None),
        (2, "C", "A", 23, 5, 5, 2, 1, None, 0, None, None),
    ]
    assert alone == [(3, "A", 20, 7, 9, 2.25, None, None)]
    assert rejects == []


def test_refined_ibd() -> None:
    segments, alone, _ = read(DATA / "refined_ibd.made_from_documentation.ibd", "refined-ibd")
    assert segments == [
        (1, "HG00101", "HG00111", 20, 2387527, 3657785, 1, 2, None, 2.045, None, 4.31),
        (2, "HG00282", "HG00364", 23, 1763730, 2315588, 1, 2, None, 2.059, None, 3.02),
    ]
    assert alone == [(3, "HG01531", 20, 1570398, 1929699, 1.104, None, 5.5)]


def test_refined_ibd_of_beagle_4_has_lengths_from_a_map_only() -> None:
    path = DATA / "beagle41.made_from_documentation.ibd"
    with pytest.raises(InputError, match="ibd:1: the length is not in cM\n  Give a genetic map"):
        read(path, "refined-ibd")
    segments, _, _ = read(path, "refined-ibd", genetic_map=simple_map())
    assert segments == [
        (1, "HG00101", "HG00111", 20, 1000000, 2000000, 1, 2, None, 2.0, None, 4.31),
        (2, "HG00282", "HG00364", 20, 1500000, 1600000, 2, 1, None, pytest.approx(0.2), None, 3.02),
    ]


GERMLINE = "0 A{0}\t0 B{1}\t20\t100 200\trs1 rs2\t7\t1.5\tcM\t0\t1\t1\n0 A{2}\t0 A{3}\t20\t5 9\trs1 rs2\t3\t0.5\tcM\t0\t1\t1\n"


def test_germline(write: Write) -> None:
    segments, alone, rejects = read(write(GERMLINE.format("", "", "", "")), "germline")
    assert segments == [(1, "A", "B", 20, 100, 200, None, None, None, 1.5, 7, None)]
    assert alone == [(2, "A", 20, 5, 9, 0.5, 3, None)]
    assert rejects == []


def test_germline_haplotypes(write: Write) -> None:
    segments, alone, rejects = read(
        write(GERMLINE.format(".0", ".1", ".1", ".0") + GERMLINE.format(".0", "", ".1", ".1")), "germline", divided=True
    )
    assert segments == [(1, "A", "B", 20, 100, 200, 1, 2, None, 1.5, 7, None)]
    assert alone == [(2, "A", 20, 5, 9, 0.5, 3, None)]
    assert [(line, reason, detail) for line, reason, detail, _ in rejects] == [
        (3, ibd.UNDIVIDED, "id1 A.0, id2 B"),
        (4, ibd.SAME_HAPLOTYPE, "id1 A.1, id2 A.1"),
    ]
    assert rejects[0][3] == "0 A.0\t0 B\t20\t100 200\trs1 rs2\t7\t1.5\tcM\t0\t1\t1"


def test_germline_lengths_in_mb_need_a_map(write: Write) -> None:
    line = "0 A\t0 B\t{}\t1500000 2500000\trs1 rs2\t7\t1.0\tMB\t0\t1\t1\n"
    path = write(
        GERMLINE.format("", "", "", "") + line.format(20) + line.format(1) + line.format(20).replace("2500000", "3500000"), "x.match"
    )
    with pytest.raises(InputError, match="match:3: the length is not in cM"):
        read(path, "germline")
    segments, _, rejects = read(path, "germline", genetic_map=simple_map())
    assert [(line, cm) for line, *_, cm, _, _ in segments] == [(1, 1.5), (3, 1.5), (5, 2.0)]
    assert [(line, reason, detail) for line, reason, detail, _ in rejects] == [(4, ibd.NO_MAP, "chrom 1")]
    (chunk,) = ibd.Reader(path, ibd_layout.layouts(path)[0], GRCH37, genetic_map=simple_map()).read()
    assert chunk.warnings == {ibd.BEYOND_MAP: 1}


def test_germline2(write: Write) -> None:
    segments, _, _ = read(write("A\tB\t100\t200\t1.5\t22\t2\n"), "germline2", chrom=21)
    assert segments == [(1, "A", "B", 21, 100, 200, None, None, None, 1.5, None, None)]
    segments, alone, _ = read(write("A.1\tB.0\t100\t200\t1.5\t22\t2\nA.1\tA.0\t100\t200\t1.5\t22\t2\n"), "germline2")
    assert segments == [(1, "A", "B", 20, 100, 200, 2, 1, None, 1.5, None, None)]
    assert alone == [(2, "A", 20, 100, 200, 1.5, None, None)]


def test_ilash(write: Write) -> None:
    segments, alone, rejects = read(
        write(
            "0\tA_b_0\t0\tB_1\t20\t100\t200\trs1\trs2\t1.5\t0.99\n0\tB_0\t0\tB_1\t20\t1\t2\trs1\trs2\t1\t1\n0\tB\t0\tB_1\t20\t1\t2\trs1\trs2\t1\t1\n"
        ),
        "ilash",
    )
    assert segments == [(1, "A_b", "B", 20, 100, 200, 1, 2, None, 1.5, None, 0.99)]
    assert alone == [(2, "B", 20, 1, 2, 1, None, 1)]
    assert [(line, reason) for line, reason, *_ in rejects] == [(3, ibd.UNDIVIDED)]


def test_truffle() -> None:
    path = DATA / "truffle.made_from_documentation.segments"
    with pytest.raises(InputError, match="segments:2: the length is not in cM"):
        read(path, "truffle")
    segments, _, rejects = read(path, "truffle", genetic_map=simple_map())
    assert segments == [
        (2, "HG00101", "HG00111", 20, 1000000, 1500000, None, None, 1, 1.0, 756, None),
        (3, "HG00282", "HG00364", 20, 1234500, 2500000, None, None, 2, pytest.approx(2.031), 59, None),
    ]
    assert [(line, reason) for line, reason, *_ in rejects] == [(4, ibd.NO_MAP)]
    assert rejects[0][3].startswith("IBD1          HG00101         HG00364"), "as it stands in the file"


def test_ibis() -> None:
    segments, alone, rejects = read(DATA / "ibis.made_from_documentation.seg", "ibis")
    assert (alone, rejects) == ([], [])
    assert segments == [
        (1, "A", "B", 20, 1000851, 1553150, None, None, 1, 1.077978, 1600, None),
        (2, "A", "C", 20, 1021241, 1505558, None, None, 2, 1.018110, 1409, None),
        (3, "B", "C", 20, 2000000, 2500000, None, None, 1, 1.5, 900, None),
    ]
    assert read(DATA / "ibis.made_from_documentation.hbd", "ibis") == ([], [(1, "A", 20, 1570398, 1929699, 1.104, 700, None)], [])


@pytest.mark.parametrize("source", ["refined-ibd", "ibis", "truffle", "germline", "germline2", "ilash"])
def test_the_source_is_told_where_one_alone_writes_so(write: Write, source: str) -> None:
    lines = {
        "germline": GERMLINE.format("", "", "", ""),
        "germline2": "1\t2\t100\t200\t1.5\t22\t2\n",
        "ilash": "0\tA_0\t0\tB_1\t20\t100\t200\trs1\trs2\t1.5\t0.99\n",
        "refined-ibd": (DATA / "refined_ibd.made_from_documentation.ibd").read_text(),
        "ibis": (DATA / "ibis.made_from_documentation.hbd").read_text(),
        "truffle": (DATA / "truffle.made_from_documentation.segments").read_text(),
    }
    assert {layout.source for layout in ibd_layout.layouts(write(lines[source]))} == {source}


def test_what_eight_columns_are_nobody_can_tell(write: Write) -> None:
    assert [layout.source for layout in ibd_layout.layouts(write(HAP_IBD))] == ["hap-ibd", "refined-ibd"]


SOUND = st.characters(categories=("L", "N", "P", "S"))
NAMES = st.text(SOUND, min_size=1, max_size=8)
CM = st.floats(0, 1e4, allow_nan=False)


@st.composite
def segments(draw: st.DrawFn) -> dict[str, Any]:
    """A segment with all that any tool says of one; positions are multiples of 100, as TRUFFLE's are."""
    start = draw(st.integers(1, 500_000))
    return {
        "one": draw(NAMES),
        "other": draw(NAMES),
        "hap": (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        "chrom": draw(st.sampled_from(["1", "X", "chr20", "22"])),
        "start": 100 * start,
        "end": 100 * (start + draw(st.integers(0, 1000))),
        "cm": draw(CM),
        "markers": draw(st.integers(0, 1 << 30)),
        "score": draw(CM),
        "type": draw(st.integers(1, 2)),
    }


def rendered(source: str, s: dict[str, Any]) -> str:
    """A segment as a tool writes it."""
    a, b, (h, i), c, x, y, cm, n, score = (s[k] for k in ("one", "other", "hap", "chrom", "start", "end", "cm", "markers", "score"))
    return {
        "hap-ibd": f"{a}\t{h}\t{b}\t{i}\t{c}\t{x}\t{y}\t{cm!r}",
        "refined-ibd": f"{a}\t{h}\t{b}\t{i}\t{c}\t{x}\t{y}\t{score!r}\t{cm!r}",
        "germline": f"F {a}.{h - 1}\tG {b}.{i - 1}\t{c}\t{x} {y}\trs1 rs2\t{n}\t{cm!r}\tcM\t0\t1\t0",
        "germline2": f"{a}.{h - 1}\t{b}.{i - 1}\t{x}\t{y}\t{cm!r}\t5\t1",
        "ilash": f"0\t{a}_{h - 1}\t0\t{b}_{i - 1}\t{c}\t{x}\t{y}\trs1\trs2\t{cm!r}\t{score!r}",
        "truffle": f"IBD{s['type']}  {a}   {b} {c}  1  2   {x / 1e6:.4f} Mbp   {(y - x) / 1e6:.4f} Mbp   {n} ",
        "ibis": f"F:{a}\tG:{b}\t{c}\t{x}\t{y}\tIBD{s['type']}\t1.5\t2.5\t{cm!r}\t{n}\t-1\t-0.5",
    }[source]


def wanted(source: str, line: int, s: dict[str, Any]) -> Segment:
    """The same as a row, less its length for TRUFFLE, which has none."""
    phased = source in ("hap-ibd", "refined-ibd", "germline", "germline2", "ilash")
    return (
        line, s["one"], s["other"], 19 if source == "germline2" else chrom_code(s["chrom"]), s["start"], s["end"], *(s["hap"] if phased else (None, None)),
        s["type"] if source in ("truffle", "ibis") else None, None if source == "truffle" else s["cm"],
        s["markers"] if source in ("germline", "truffle", "ibis") else None, s["score"] if source in ("refined-ibd", "ilash") else None,
    )  # fmt: skip


@pytest.mark.parametrize("source", ibd_layout.SOURCES)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_segments_are_read_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, source: str, data: st.DataObject) -> None:
    given_ = data.draw(st.lists(segments(), min_size=1, max_size=8))
    crlf, broken = data.draw(st.booleans()), data.draw(st.booleans())
    lines = [rendered(source, s) for s in given_]
    if broken:
        lines.insert(len(lines) // 2, "three of\tthem")
    path = tmp_path_factory.mktemp("ibd") / "some.txt"
    path.write_bytes(("\r\n" if crlf else "\n").join(lines).encode())
    everywhere = GeneticMap({code: (np.array([1, 250_000_000]), np.array([0.0, 250.0])) for code in range(1, 26)}, "")
    two, one, rejects = read(path, source, divided=source in ("germline", "germline2", "ilash", "ibis"), chrom=19, genetic_map=everywhere)
    if source == "truffle":
        two = [(*row[:9], None, *row[10:]) for row in two]
    at = [n + (broken and n > len(given_) // 2) for n in range(1, len(given_) + 1)]
    expected = [wanted(source, line, s) for line, s in zip(at, given_, strict=True)]
    assert two == [row for row in expected if row[1] != row[2]]
    same = [row for row in expected if row[1] == row[2]]
    assert [row[0] for row in one] == [row[0] for row in same if row[6] is None or row[6] != row[7]]
    assert len(rejects) == broken + sum(row[6] is not None and row[6] == row[7] for row in same)


# ---- rows that are not as they should be


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        ("A\t1\tB\t2\t20\t100\t200", "too few columns", "7 of 8"),
        ("A\t1\tB\t2\t20\t100\t200\t1\t1", ibd_layout.TOO_MANY, "9 of 8"),
        ("A\t1\tB\t2\tGL000192.1\t100\t200\t1", "contig outside 1-22, X, Y, MT", "chrom GL000192.1"),
        ("A\t1\tB\t2\t20\t200\t100\t1", ibd.BACKWARDS, "start 200, end 100"),
        ("A\t1\tB\t2\t20\t1.5\t100\t1", ibd_layout.BAD_POSITION, "start '1.5'"),
        ("A\t1\tB\t2\t20\t0\t100\t1", ibd_layout.BAD_POSITION, "start 0"),
        ("A\t1\tB\t2\t20\t-5\t100\t1", ibd_layout.BAD_POSITION, "start -5"),
        ("A\t1\tB\t2\t20\t5\t99999999999999999999\t1", ibd_layout.BAD_POSITION, "end '99999999999999999999'"),
        ("A\t1\tB\t2\t20\t5\t268435457\t1", "position beyond the contig", "chrom 20, end 268435457"),
        ("A\t1\tB\t2\t20\t5\t63025521\t1", "position beyond the contig", "chrom 20, end 63025521"),
        ("A\t1\tB\t2\t20\t5\t9\t-0.5", ibd_layout.BAD_LENGTH, "length -0.5"),
        ("A\t1\tB\t2\t20\t5\t9\tnan", ibd_layout.BAD_LENGTH, "length nan"),
        ("A\t1\tB\t2\t20\t5\t9\tinf", ibd_layout.BAD_LENGTH, "length inf"),
        ("A\t1\tB\t2\t20\t5\t9\t", ibd_layout.BAD_LENGTH, "length ''"),
        ("A\t1\tB\t2\t20\t5\t9\tlong", ibd_layout.BAD_LENGTH, "length 'long'"),
        ("A\t0\tB\t2\t20\t5\t9\t1", ibd_layout.BAD_HAPLOTYPE, "hap1 0, hap2 2"),
        ("A\t1\tB\t3\t20\t5\t9\t1", ibd_layout.BAD_HAPLOTYPE, "hap1 1, hap2 3"),
        ("A\tx\tB\t2\t20\t5\t9\t1", ibd_layout.BAD_HAPLOTYPE, "hap1 'x'"),
        ("A\t1\tA\t1\t20\t5\t9\t1", ibd.SAME_HAPLOTYPE, "id1 A, id2 A, hap1 1, hap2 1"),
        ("\t1\tA\t1\t20\t5\t9\t1", "no name", "id1 , id2 A"),
    ],
)
def test_a_bad_row_is_rejected_with_its_line_and_the_others_stay(write: Write, line: str, reason: str, detail: str) -> None:
    first, second = HAP_IBD.splitlines()
    found, _, rejects = read(write(f"{first}\n{line}\n\n{second}\n"), "hap-ibd")
    assert [row[0] for row in found] == [1, 4]
    assert rejects == [(2, reason, detail, line)]


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("germline", "0 A\t0 B\t20\t100 200\trs1 rs2\t7\t1.5\tkb\t0\t1\t1", ibd.BAD_UNIT),
        ("germline", "0 A\t0 B\t20\t100 200\trs1 rs2\t-7\t1.5\tcM\t0\t1\t1", ibd_layout.NOT_A_NUMBER),
        ("germline", "0 A\t0 B\t20\t100 200\trs1 rs2\t1e3\t1.5\tcM\t0\t1\t1", ibd_layout.NOT_A_NUMBER),
        ("refined-ibd", "A\t1\tB\t2\t20\t100\t200\tnan\t1.5", ibd_layout.NOT_A_NUMBER),
        ("ibis", "A\tB\t20\t100\t200\tIBD3\t1\t2\t1\t5\t0\t0", ibd.BAD_TYPE),
        ("truffle", "IBD1 A B 20 1 2 nan Mbp 1.0 Mbp 5", ibd_layout.BAD_POSITION),
        ("truffle", "IBD1 A B 20 1 2 1.5 Mbp -1.0 Mbp 5", ibd.BACKWARDS),
        ("truffle", "IBD1 A B 20 1 2 inf Mbp 1.0 Mbp 5", "position beyond the contig"),
    ],
)
def test_bad_rows_of_other_sources(write: Write, source: str, line: str, reason: str) -> None:
    found, _, rejects = read(write(line + "\n"), source, genetic_map=simple_map())
    assert (found, [(n, why, row) for n, why, _, row in rejects]) == ([], [(1, reason, line)])


def test_names_are_not_restricted(write: Write) -> None:
    latin1 = "J\xf6rg Müller\t1\t1e5\t2\t20\t1\t2\t1\n".encode("latin-1")
    found, _, _ = read(write(latin1 + 'Zoë\t1\t"\t2\t20\t1\t2\t1\n'.encode()), "hap-ibd")
    assert [row[1:3] for row in found] == [("J\xf6rg Müller", "1e5"), ("Zoë", '"')]


def test_headers_of_joined_truffle_files_are_no_records(write: Write) -> None:
    text = (DATA / "truffle.made_from_documentation.segments").read_text()
    found, _, rejects = read(write(text + text), "truffle", genetic_map=simple_map())
    assert ([row[0] for row in found], [r[0] for r in rejects]) == ([2, 3, 6, 7], [4, 8])


def test_every_line_after_a_given_one_is_read_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK", 64)
    monkeypatch.setattr(ibd, "CHUNK_ROWS", 3)
    path = write("".join(f"S{n}\t1\tT\t2\t20\t{n}\t{n}\t1\n" for n in range(1, 41)))
    (layout,) = ibd_layout.layouts(path, "hap-ibd")
    for after in range(41):
        chunks = list(ibd.Reader(path, layout, GRCH37).read(after))
        assert [line for chunk in chunks for line in chunk.tables["ibd_segment"].column("line").to_pylist()] == list(range(after + 1, 41))
        assert [line for chunk in chunks for line in chunk.tables["ibd_segment"].column("start_pos").to_pylist()] == list(
            range(after + 1, 41)
        )
        assert sum(chunk.records for chunk in chunks) == 40 - after
        assert len(chunks) > (37 - after) // 8


# ---- files that cannot be loaded


@pytest.mark.parametrize(
    ("text", "source", "error"),
    [
        (
            "0 A\t0 B\t2.196\n",
            "germline",
            "some.ibd:1: it has only names and lengths of segments, not where they are, as GERMLINE -min_out writes it",
        ),
        ("0 A\t0 B\t2.196\n", None, "GERMLINE -min_out"),
        (
            b"\x81\0\0\0abc\0",
            "ibis",
            "some.ibd: a binary file, or a damaged one\n  Load the text that the tool writes: GERMLINE without -bin_out",
        ),
        ("##fileformat=VCFv4.2\n", None, "some.ibd:1: not a file of segments that is known: it begins with '##fileformat"),
        ("A\t1\tB\t2\t20\t1\t2\t3\t4\n", "hap-ibd", "not a file of hap-ibd: no line has 8 columns, the first has 9"),
        ("A\t1\tB\t2\t20\t1\t2\n", "refined-ibd", "no line has 9 or 8 columns, the first has 7"),
    ],
)
def test_a_file_of_another_kind_is_refused(write: Write, text: str | bytes, source: str | None, error: str) -> None:
    with pytest.raises(InputError) as raised:
        ibd_layout.layouts(write(text), source)
    assert error in str(raised.value)


# ---- loads


def load(conn: Conn, *paths: Path, **options: Any) -> Outcome | AlreadyLoaded:
    """Loads files as `vkg load ibd` does."""
    job, reader = ibd_job(conn, paths, **options)
    return ingest(conn, job, reader)


def stored(conn: Conn) -> list[Segment]:
    """All segments of two people, once: seen from the one whose name comes first in the file."""
    return conn.execute(
        """SELECT s.file, s.line, a.name, b.name, s.chrom, s.start_pos, s.end_pos, s.haplotype, s.other_haplotype, s.ibd_type, s.length_cm, s.markers, s.score
        FROM ibd_segment s JOIN sample a USING (sample_id) JOIN sample b ON b.sample_id = s.other_id ORDER BY 1, 2, 3"""
    ).fetchall()


def stored_alone(conn: Conn) -> list[Segment]:
    return conn.execute(
        """SELECT s.file, s.line, a.name, s.chrom, s.start_pos, s.end_pos, s.length_cm, s.markers, s.score
        FROM hbd_segment s JOIN sample a USING (sample_id) ORDER BY 1, 2"""
    ).fetchall()


def nothing_is_left(conn: Conn) -> bool:
    tables = ("ibd_run", "ibd_segment", "hbd_segment", "sample_info", "sample", "load", "dataset")
    return all(conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,) for table in tables)


def test_a_run_is_one_load_of_several_files_seen_from_both_sides(grch37: Conn, write: Write) -> None:
    loaded(grch37, "vcf", "c", called=["A", "B", "C"])
    paths = write(HAP_IBD, "x.ibd.gz"), write("A\t1\tA\t2\t20\t7\t9\t2.25\n", "x.hbd.gz"), write(EMPTY_BGZF, "y.hbd.gz")
    outcome = load(grch37, *paths, source="hap-ibd", source_version="1.0", callset="vcf@1", surveyed_cm=3500)
    assert isinstance(outcome, Outcome)
    assert (outcome.load.dataset, outcome.load.cohort, outcome.load.counts) == (
        "x.ibd",
        "c",
        {"records": 3, "ibd_run": 1, "ibd_segment": 2, "hbd_segment": 1, "sample_info": 3},
    )
    assert outcome.load.load_id in release.current(grch37).loads
    assert stored(grch37) == [
        (0, 1, "A", "B", 20, 100, 200, 1, 2, None, 1.5, None, None),
        (0, 1, "B", "A", 20, 100, 200, 2, 1, None, 1.5, None, None),
        (0, 2, "A", "C", 23, 5, 5, 1, 2, None, 0, None, None),
        (0, 2, "C", "A", 23, 5, 5, 2, 1, None, 0, None, None),
    ]
    assert stored_alone(grch37) == [(1, 1, "A", 20, 7, 9, 2.25, None, None)]
    run = grch37.execute("SELECT source, source_version, cohort, phased, callset, callset_version, surveyed_cm FROM ibd_run").fetchall()
    assert run == [("hap-ibd", "1.0", "c", True, "vcf", "1", 3500)]
    assert isinstance(load(grch37, *paths, source="hap-ibd", source_version="1.0", callset="vcf@1", surveyed_cm=3500), AlreadyLoaded)
    release.unload(grch37, outcome.load.load_id)


@pytest.mark.parametrize("first", [True, False])
def test_an_empty_file_is_a_run_without_segments(grch37: Conn, write: Write, first: bool) -> None:
    empty = write(EMPTY_BGZF, "none.ibd.gz")
    with pytest.raises(InputError, match="nothing tells its source: it is empty\n  Say which tool wrote them: --source"):
        load(grch37, empty, cohort="c")
    outcome = load(grch37, *((empty,) if first else (empty, write(HAP_IBD))), source="hap-ibd", cohort="c", create_samples=True)
    assert isinstance(outcome, Outcome)
    assert outcome.load.counts["records"] == (0 if first else 2)
    assert grch37.execute("SELECT source, phased FROM ibd_run").fetchall() == [("hap-ibd", True)]
    assert len(stored(grch37)) == (0 if first else 4)


def test_an_unknown_sample_is_rejected_or_made(grch37: Conn, write: Write) -> None:
    loaded(grch37, "vcf", "c", called=["A", "B"])
    path = write(HAP_IBD)
    outcome = load(grch37, path, source="hap-ibd", dataset="x")
    assert isinstance(outcome, Outcome)
    assert (outcome.load.reasons, len(stored(grch37))) == ({UNKNOWN_SAMPLE: 1}, 2)
    assert "C is not in cohort c; --create-samples adds" in Path(f"{path}.rejects.tsv").read_text()
    outcome = load(grch37, path, source="hap-ibd", dataset="y", create_samples=True)
    assert isinstance(outcome, Outcome)
    assert outcome.load.counts["ibd_segment"] == 2
    assert grch37.execute("SELECT cohort FROM sample WHERE name = 'C'").fetchall() == [("c",)]


def test_the_cohort_where_nobody_says(grch37: Conn, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(HAP_IBD)
    with pytest.raises(StoreError, match=r"the store has no samples.*\n.*--create-samples"):
        load(grch37, path, source="hap-ibd")
    assert nothing_is_left(grch37)
    own = load(grch37, path, source="hap-ibd", create_samples=True, dataset="made.ibd")
    assert isinstance(own, Outcome)
    assert own.load.cohort == "made"
    assert isinstance(load(grch37, path, source="hap-ibd", create_samples=True, dataset="made.ibd"), AlreadyLoaded)
    loaded(grch37, "vcf", "c", called=["A", "B", "C"])
    with pytest.raises(StoreError, match="the store has 2 cohorts: c, made\n  Say whose names these are: --cohort NAME"):
        load(grch37, path, source="hap-ibd", dataset="other")
    capsys.readouterr()
    with pytest.raises(LoaderError, match="--cohort is made, but callset vcf has people of cohort c"):
        load(grch37, path, source="hap-ibd", cohort="made", callset="vcf")
    of_callset = load(grch37, path, source="hap-ibd", dataset="other", callset="vcf")
    assert isinstance(of_callset, Outcome)
    assert of_callset.load.cohort == "c"
    said = capsys.readouterr().err
    assert "cohort c\n" in said
    assert "says otherwise" not in said, "the callset does"
    later = load(grch37, path, source="hap-ibd", dataset="other", callset="later@2", version="2")
    assert isinstance(later, Outcome)
    assert later.load.cohort == "c", "as the earlier version"
    assert "no callset later@2 is visible now" in capsys.readouterr().err


def test_a_run_is_bound_to_the_version_of_its_callset_that_is_visible(grch37: Conn, write: Write) -> None:
    path = write(HAP_IBD)
    with pytest.raises(LoaderError, match=r"no callset vcf is visible, .*\n  Say which: --callset vcf@VERSION, or load it first"):
        load(grch37, path, source="hap-ibd", cohort="c", create_samples=True, callset="vcf")
    assert nothing_is_left(grch37)
    for version in ("1", "2"):
        loaded(grch37, "vcf", "c", version=version, called=["A", "B", "C"])
        assert isinstance(load(grch37, path, source="hap-ibd", dataset=f"run{version}", callset="vcf"), Outcome)
    assert grch37.execute("SELECT callset, callset_version FROM ibd_run ORDER BY load_id").fetchall() == [("vcf", "1"), ("vcf", "2")]
    assert isinstance(load(grch37, path, source="hap-ibd", dataset="run2", callset="vcf@2"), AlreadyLoaded)
    with pytest.raises(LoaderError, match="--cohort is d, but callset vcf has people of cohort c"):
        load(grch37, path, source="hap-ibd", dataset="run2", cohort="d", callset="vcf")


def test_the_same_file_twice_is_refused(grch37: Conn, write: Write) -> None:
    one, again = write(HAP_IBD, "one.ibd"), write(HAP_IBD, "again.ibd")
    with pytest.raises(InputError, match=r"again\.ibd: the same content as .*one\.ibd\n  Give each file once"):
        load(grch37, one, again, source="hap-ibd", cohort="c", create_samples=True)
    assert nothing_is_left(grch37)
    empty, none = write(EMPTY_BGZF, "1.ibd.gz"), write(EMPTY_BGZF, "2.ibd.gz")
    assert isinstance(load(grch37, one, empty, none, source="hap-ibd", cohort="c", create_samples=True), Outcome)


def test_names_of_haplotypes_are_samples_where_the_cohort_has_them(grch37: Conn, write: Write) -> None:
    path = write(GERMLINE.format(".0", ".1", ".1", ".0"), "x.match")
    load(grch37, path, cohort="people", create_samples=True)
    assert grch37.execute("SELECT phased FROM ibd_run").fetchall() == [(True,)]
    loaded(grch37, "vcf", "haplotypes", called=["A.0", "A.1", "B.1"])
    outcome = load(grch37, path, cohort="haplotypes", dataset="other")
    assert isinstance(outcome, Outcome)
    assert outcome.load.counts["ibd_segment"] == 2
    assert grch37.execute("SELECT phased FROM ibd_run ORDER BY load_id").fetchall() == [(True,), (False,)]


def test_families_are_taken_off_unless_they_are_part_of_samples_names(grch37: Conn) -> None:
    path = DATA / "ibis.made_from_documentation.seg"
    load(grch37, path, DATA / "ibis.made_from_documentation.hbd", cohort="c", create_samples=True)
    assert grch37.execute("SELECT name FROM sample ORDER BY 1").fetchall() == [("A",), ("B",), ("C",)]
    assert len(stored_alone(grch37)) == 1
    loaded(grch37, "vcf", "families", called=["F1:A", "F2:B", "F3:C"])
    outcome = load(grch37, path, cohort="families", dataset="other")
    assert isinstance(outcome, Outcome)
    assert (outcome.load.counts["ibd_segment"], outcome.load.reasons) == (3, {})


def test_files_with_and_without_haplotypes_are_two_loads(grch37: Conn, write: Write) -> None:
    with_them, without = write(GERMLINE.format(".0", ".1", ".1", ".0"), "h.match"), write(GERMLINE.format("", "", "", ""), "d.match")
    with pytest.raises(InputError, match=r"d.match: its segments do not say which haplotypes they join, those of .*h.match do"):
        load(grch37, with_them, without, cohort="c", create_samples=True)
    assert nothing_is_left(grch37)


def test_what_is_searched_is_as_long_as_the_map(grch37: Conn, write: Write) -> None:
    path, map_ = write((DATA / "truffle.made_from_documentation.segments").read_bytes(), "some.segments"), write(MAP, "some.map")
    outcome = load(grch37, path, cohort="c", create_samples=True, genetic_map=[map_])
    assert isinstance(outcome, Outcome)
    assert (outcome.load.counts["ibd_segment"], outcome.load.reasons) == (2, {ibd.NO_MAP: 1})
    assert grch37.execute("SELECT surveyed_cm FROM ibd_run").fetchall() == [(3.0,)]
    assert isinstance(load(grch37, path, cohort="c", create_samples=True, genetic_map=[map_]), AlreadyLoaded)
    other = write(MAP.replace("20 5", "20 6"), "other.map")
    assert isinstance(load(grch37, path, cohort="c", create_samples=True, genetic_map=[other]), Outcome), "another map, other lengths"


def test_what_is_searched_is_the_map_of_the_autosomes_that_have_segments(grch37: Conn, write: Write) -> None:
    """Not of those without, nor of X; what is given goes before."""
    map_ = write("pos chr cM\n1 1 0\n9 1 100\n1 20 0\n9 20 7\n1 22 0\n9 22 11\n1 X 0\n9 X 50\n", "some.map")
    on_20 = write("A\t1\tB\t2\t20\t100\t200\t1.5\nC\t2\tA\t1\tX\t5\t5\t0\n", "20.ibd")
    alone_22 = write("A\t1\tA\t2\t22\t100\t200\t1.5\n", "22.hbd")
    how: dict[str, Any] = {"source": "hap-ibd", "cohort": "c", "create_samples": True, "genetic_map": [map_]}
    for n, (files, said) in enumerate(
        [([on_20], None), ([on_20, alone_22], None), ([on_20], 3_000.0), ([write("C\t2\tA\t1\tX\t5\t5\t0\n", "x.ibd")], None)]
    ):
        assert isinstance(load(grch37, *files, dataset=str(n), surveyed_cm=said, **how), Outcome)
    assert grch37.execute("SELECT surveyed_cm FROM ibd_run ORDER BY load_id").fetchall() == [(7.0,), (18.0,), (3_000.0,), (None,)]


@pytest.mark.parametrize(
    ("text", "options", "error"),
    [
        (HAP_IBD, {}, "it may be of hap-ibd or of refined-ibd\n  Say which tool wrote them: --source hap-ibd|refined-ibd"),
        (
            HAP_IBD,
            {"source": "plink"},
            "unknown source 'plink'\n  Known are: hap-ibd, refined-ibd, germline, germline2, ilash, truffle, ibis; auto",
        ),
        (HAP_IBD, {"source": "refined-ibd"}, "the length is not in cM"),
        (HAP_IBD, {"source": "hap-ibd", "chrom": ["20"]}, "--chrom is given, but files of hap-ibd name their chromosomes"),
        (HAP_IBD, {"source": "hap-ibd", "surveyed_cm": -1.0}, "--surveyed-cm is -1.0, not a length"),
        (HAP_IBD + "A\t1\n", {"source": "hap-ibd", "strict": True}, "some.ibd:3: too few columns: 2 of 8"),
        ("A\t1\tB\t2\t20\t9\t5\t1\n", {"source": "hap-ibd"}, "nothing of it could be loaded: 1 of 1 records rejected for: start after end"),
        (
            "A\tB\t100\t200\t1.5\t22\t2\n",
            {},
            "files of germline2 do not name their chromosome: 1 files, 0 given\n  Give --chrom once for each file",
        ),
        ("A\tB\t100\t200\t1.5\t22\t2\n", {"chrom": ["HLA"]}, "unknown chromosome 'HLA'"),
        (GERMLINE.format("", "", "", "").replace("cM", "MB"), {}, "some.ibd:1: the length is not in cM\n  Give a genetic map"),
        (gzip.compress(HAP_IBD.encode() * 9000)[:-40], {"source": "hap-ibd"}, "the file is cut off: its compressed data end too early"),
        (HAP_IBD.encode() * 50_000 + b"A\0", {"source": "hap-ibd"}, "some.ibd:100001: the line holds a zero byte"),
    ],
)
def test_bad_input_leaves_nothing(grch37: Conn, write: Write, text: str | bytes, options: dict[str, Any], error: str) -> None:
    path = write(text)
    with pytest.raises((InputError, LoaderError, StoreError)) as raised:
        load(grch37, path, **{"cohort": "c", "create_samples": True, **options})
    assert error in str(raised.value)
    assert nothing_is_left(grch37)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_files_of_several_sources_are_several_loads(grch37: Conn, write: Write) -> None:
    with pytest.raises(InputError, match="the files are not of one source"):
        load(grch37, write("A\tB\t100\t200\t1.5\t22\t2\n", "a"), write(GERMLINE.format("", "", "", ""), "b"), cohort="c")


@pytest.mark.parametrize("committed", [0, 1, 2, 5])
def test_a_load_that_was_cut_off_goes_on(
    grch37: Conn, store_url: str, write: Write, monkeypatch: pytest.MonkeyPatch, committed: int
) -> None:
    monkeypatch.setattr(source, "BLOCK", 64)
    monkeypatch.setattr(ibd, "CHUNK_ROWS", 3)
    lines = [f"S{n}\t1\tT{n % 3}\t2\t20\t{n}\t{n if n % 5 else 0}\t1\n" for n in range(1, 41)]
    paths = [write("".join(lines), "a.ibd"), write(EMPTY_BGZF, "b.ibd.gz"), write(HAP_IBD, "c.ibd")]
    options: dict[str, Any] = {"source": "hap-ibd", "cohort": "c", "create_samples": True}
    job, reader = ibd_job(grch37, paths, **options)
    chunks = list(reader(0, 0))
    assert len(chunks) > 5
    with psycopg.connect(store_url, autocommit=True) as died:
        cut_off = begin(died, dataset=job.dataset, kind=job.kind, version=None, files=job.files, options=job.options)
        assert isinstance(cut_off, Load)
        for chunk in chunks[:committed]:
            cut_off.write(0, chunk, lambda rejects: None)
    outcome = load(grch37, *paths, **options)
    assert isinstance(outcome, Outcome)
    assert outcome.load.load_id == cut_off.load_id
    assert outcome.load.counts["records"] == 42
    assert outcome.load.counts["sample_info"] == grch37.execute("SELECT count(*) FROM sample_info").fetchone()[0]  # type: ignore[index]
    assert outcome.load.reasons == {ibd.BACKWARDS: 8}
    assert [row[:2] for row in stored(grch37)][::2] == [(0, n) for n in range(1, 41) if n % 5] + [(2, 1), (2, 2)]
    assert grch37.execute("SELECT count(*) FROM ibd_run").fetchone() == (1,)


def test_a_cut_off_load_of_nothing_goes_on(grch37: Conn, store_url: str, write: Write) -> None:
    path = write(EMPTY_BGZF, "a.ibd.gz")
    job, reader = ibd_job(grch37, [path], source="hap-ibd", cohort="c")
    with psycopg.connect(store_url, autocommit=True) as died:
        cut_off = begin(died, dataset=job.dataset, kind=job.kind, version=None, files=job.files, options=job.options)
        assert isinstance(cut_off, Load)
        cut_off.write(0, next(reader(0, 0)), lambda rejects: None)
    assert isinstance(load(grch37, path, source="hap-ibd", cohort="c"), Outcome)
    assert grch37.execute("SELECT count(*) FROM ibd_run").fetchone() == (1,)


def test_the_command_loads_and_says_so(
    grch37: Conn, store_url: str, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(grch37, "vcf", "kg", called=["A", "B"])
    monkeypatch.setenv("VKG_DATABASE_URL", store_url)
    monkeypatch.setattr(
        sys, "argv", ["vkg", "load", "ibd", str(write(HAP_IBD)), "--source", "hap-ibd", "--callset", "vcf", "--version", "3"]
    )
    with pytest.raises(SystemExit) as ended:
        vkg.main()
    said = capsys.readouterr()
    assert ended.value.code in (0, None), said.err
    assert said.out.startswith("some.ibd 3: 2 records: ")
    assert "rejected: 1 unknown sample" in said.out
    assert "2 of 2 samples are in callsets of cohort kg\n" in said.err


# ---- real files, against a reader that shares nothing with this one


def independent(path: Path, source: str) -> list[dict[str, Any]]:
    """The segments of a file, read with split and nothing else."""
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    places = {
        "hap-ibd": {"one": 0, "hap": 1, "other": 2, "its": 3, "chrom": 4, "start": 5, "end": 6, "cm": 7},
        "germline": {"one": 1, "other": 3, "chrom": 4, "start": 5, "end": 6, "markers": 9, "cm": 10},
        "germline2": {"one": 0, "other": 1, "start": 2, "end": 3, "cm": 4},
        "ilash": {"one": 1, "other": 3, "chrom": 4, "start": 5, "end": 6, "cm": 9, "score": 10},
    }[source]
    mark = "_" if source == "ilash" else "." if "haploid" in path.name else None
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split()
        row: dict[str, Any] = {"line": number, "chrom": "20"} | {name: cells[place] for name, place in places.items()}
        if mark:
            (row["one"], hap), (row["other"], its) = row["one"].rsplit(mark, 1), row["other"].rsplit(mark, 1)
            row |= {"hap": int(hap) + 1, "its": int(its) + 1}
        for name, kind in (("hap", int), ("its", int), ("markers", int), ("start", int), ("end", int), ("cm", float), ("score", float)):
            row[name] = kind(row[name]) if name in row else None
        rows.append(row)
    return rows


REAL_FILES = {
    **{f"{folder}/ibd/hapibd.{run}.{kind}.gz": ("hap-ibd", n) for folder in ("chr20_grch37", "chr20_grch38") for run, kind, n in (
        ("default", "ibd", 17), ("default", "hbd", 0), ("min1cm", "ibd", 473), ("min1cm", "hbd", 3))},
    "chr20_grch37/ibd/germline1.diploid_w_extend.match": ("germline", 1243),
    "chr20_grch37/ibd/germline1.haploid.match": ("germline", 715),
    "chr20_grch37/ibd/germline1.homoz.match": ("germline", 2308),
    "chr20_grch37/ibd/germline2.diploid.match": ("germline2", 3621),
    "chr20_grch37/ibd/germline2.haploid.match": ("germline2", 1051),
    "chr20_grch37/ibd/ilash.match": ("ilash", 438),
    "formats/germline1.hapmap_ceu_chr22.expected.match": ("germline", 55),
    "formats/germline2.simulated.diploid.head500.match": ("germline2", 500),
    "formats/ilash.sample_output.match": ("ilash", 159),
}  # fmt: skip


@pytest.mark.requires_real
@pytest.mark.parametrize("name", REAL_FILES)
def test_real_files_are_stored_as_they_stand(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    conn: Conn = request.getfixturevalue("grch38" if "grch38" in name else "grch37")
    source, records = REAL_FILES[name]
    path = Path(shutil.copy(REAL / name, tmp_path))
    outcome = load(conn, path, source=source, cohort="kg", create_samples=True, chrom=["20"] if source == "germline2" else [])
    assert isinstance(outcome, Outcome)
    assert (outcome.load.counts["records"], outcome.load.reasons) == (records, {})
    assert outcome.load.counts["ibd_segment"] + outcome.load.counts["hbd_segment"] == records
    rows = independent(path, source)
    assert len(rows) == records
    both, alone = [], []
    for r in rows:
        place = (chrom_code(r["chrom"]), r["start"], r["end"])
        size = (r["cm"], r["markers"], r["score"])
        if r["one"] == r["other"]:
            alone.append((0, r["line"], r["one"], *place, *size))
            continue
        both.append((0, r["line"], r["one"], r["other"], *place, r["hap"], r["its"], None, *size))
        both.append((0, r["line"], r["other"], r["one"], *place, r["its"], r["hap"], None, *size))
    assert stored(conn) == sorted(both, key=lambda row: row[:3])
    assert stored_alone(conn) == alone
    phased = conn.execute("SELECT phased FROM ibd_run").fetchone()
    assert phased == (source in ("hap-ibd", "ilash") or "haploid" in name,)


@pytest.mark.requires_real
def test_the_example_of_truffle_has_no_lengths_in_cm(grch37: Conn, tmp_path: Path, write: Write) -> None:
    path = Path(shutil.copy(REAL / "formats" / "truffle.doc_example.segments", tmp_path))
    with pytest.raises(InputError, match="the length is not in cM"):
        load(grch37, path, cohort="c", create_samples=True)
    outcome = load(
        grch37, path, cohort="c", create_samples=True, genetic_map=[write("pos chr cM\n1 6 0\n171115067 6 171.115066\n", "chr6.map")]
    )
    assert isinstance(outcome, Outcome)
    found = grch37.execute(
        "SELECT line, start_pos, end_pos, ibd_type, length_cm, markers FROM ibd_segment WHERE sample_id < other_id ORDER BY line"
    )
    assert [(*row[:4], round(row[4], 4), row[5]) for row in found] == [
        (2, 276500, 7732500, 1, 7.456, 756),
        (3, 104659300, 106039500, 2, 1.3802, 59),
        (4, 110778000, 112485200, 2, 1.7072, 68),
        (5, 52565900, 113709600, 1, 61.1437, 2614),
        (6, 139845600, 141716800, 2, 1.8712, 56),
        (7, 130324600, 143902200, 1, 13.5776, 755),
    ]


@pytest.mark.requires_real
def test_min_out_of_germline_is_named(grch37: Conn, tmp_path: Path) -> None:
    path = Path(shutil.copy(REAL / "chr20_grch37/ibd/germline1.min_out.match", tmp_path))
    for named in ("auto", "germline"):
        with pytest.raises(InputError, match="as GERMLINE -min_out writes it\n  Run GERMLINE without -min_out"):
            load(grch37, path, source=named, cohort="c", create_samples=True)


@pytest.mark.requires_real
def test_two_tools_find_the_same_homozygous_segments(grch37: Conn, tmp_path: Path) -> None:
    folder = REAL / "chr20_grch37" / "ibd"
    load(grch37, Path(shutil.copy(folder / "hapibd.min1cm.hbd.gz", tmp_path)), source="hap-ibd", cohort="kg", create_samples=True)
    load(grch37, Path(shutil.copy(folder / "germline1.homoz.match", tmp_path)), cohort="kg")
    load(grch37, Path(shutil.copy(folder / "germline1.haploid.match", tmp_path)), cohort="kg", create_samples=True)
    found = grch37.execute(
        """SELECT r.load_id, s.start_pos, s.end_pos FROM hbd_segment s JOIN ibd_run r USING (load_id) JOIN sample USING (sample_id)
        WHERE name = 'HG01531' ORDER BY 1, 2"""
    ).fetchall()
    by_run: dict[int, list[tuple[int, int]]] = {}
    for run, start, end in found:
        by_run.setdefault(run, []).append((start, end))
    hap_ibd, homoz, haploid = by_run.values()
    for others in (homoz, haploid):
        assert all(any(start < stop and begin < end for begin, stop in others) for start, end in hap_ibd)
