"""Segments shared by descent, as they are read: literal lines of every tool in, rows out; rows and files that are not as they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders import ibd, ibd_layout, source
from loaders.errors import InputError
from loaders.genetic_map import GeneticMap
from store.assembly import GRCH37, chrom_code
from tests.loaders.segment_files import DATA, GERMLINE, HAP_IBD, Segment, Write, simple_map, writer


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: write(text, name="some.ibd"), compressed where its name says so."""
    return writer(tmp_path)


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


def test_long_lines_fill_a_chunk_too(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK", 1000)
    monkeypatch.setattr(ibd, "_CHUNK_TEXT", 3000)
    path = write(HAP_IBD * 10 + f"{'x' * 2500}\n" * 10)
    layout = ibd_layout.layouts(path)[0]
    sizes = [len(block.data) for block in ibd._blocks(path, 0)]
    assert max(sizes) < 7000
    chunks = list(ibd.Reader(path, layout, GRCH37).read())
    assert sum(chunk.records for chunk in chunks) == 30
