"""Records that are read together are read as they are one by one: the rows, the rejects and the counts of both ways are equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders import source, vcf
from loaders.callset import Callset
from loaders.counts import Populations
from loaders.frequencies import Frequencies
from loaders.genotypes import Genotypes
from loaders.header import VcfHeader, open_vcf
from loaders.info import InfoColumn
from loaders.normalize import Normalizer
from loaders.sites import Sites, variants
from store.assembly import GRCH37, GRCH38
from store.copy import ROW
from store.reference import Reference
from store.sample import Known
from tests.conftest import REAL
from tests.loaders.conftest import FORMATS, ODDITIES
from tests.loaders.test_vcf import build, fasta

VCFS = [ODDITIES, *sorted([*REAL.rglob("*.vcf.gz"), *REAL.rglob("*.vcf")])]


def contents(path: Path, *, genotypes: bool) -> dict[str, Any]:
    """All that comes of a file, whatever its chunks: rows of each table, rejects and counts."""
    header, _ = open_vcf(path)
    known = Known({name: f"P{n % 7}" for n, name in enumerate(header.samples) if n % 11}, {f"P{n}": f"S{n % 2}" for n in range(7)})
    counted = Populations(header.samples, known) if genotypes else None
    frequencies = Frequencies.for_headers([header], counted)
    callset = Callset(header.samples, frequencies.count, keep_format=len(header.samples) < 1000) if genotypes and frequencies else None
    reference = Reference(found) if path.is_relative_to(REAL) and (found := fasta(path)) else None
    normalizer = Normalizer(GRCH38 if build(path) == "GRCh38" else GRCH37, reference, reference is None)
    tables: dict[str, list] = {}
    rejects: list = []
    skipped: Counter[str] = Counter()
    warnings: Counter[str] = Counter()
    records = end = before = 0
    for chunk in vcf.read(path, header, normalizer, frequencies=frequencies, genotypes=callset, first=True):
        for table, rows in chunk.tables.items():
            columns = rows.to_pydict()
            if ROW in columns:
                columns[ROW] = [before + row for row in columns[ROW]]
            tables.setdefault(table, []).extend(zip(*columns.values(), strict=True))
        before += chunk.tables["variant"].num_rows if "variant" in chunk.tables else 0
        rejects += chunk.rejects
        skipped += chunk.skipped
        warnings += chunk.warnings
        records, end = records + chunk.records, chunk.end
    return {"tables": tables, "rejects": rejects, "skipped": skipped, "warnings": warnings, "records": records, "end": end}


@contextmanager
def one_by_one(block: int = 1 << 17) -> Iterator[None]:
    """No record, no genotype and no INFO is read in the way of those that are alike, and blocks are others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "BLOCK", block)
        patch.setattr(vcf, "CHUNK_ROWS", 1_001)
        patch.setattr(Normalizer, "agrees", lambda self, chrom, pos, base: np.zeros(len(pos), bool))
        patch.setattr(Genotypes, "_read_fixed", lambda self, records: records)
        patch.setattr("loaders.info._ONE_NUMBER", "x$y")  # which nothing is
        patch.setattr("loaders.info._NOT_ONE_WORD", "")  # which everything has
        yield


@pytest.mark.requires_real
@pytest.mark.parametrize("path", VCFS, ids=[path.name for path in VCFS])
@pytest.mark.parametrize("genotypes", [False, True])
def test_real_files_read_together_and_one_by_one_are_equal(path: Path, genotypes: bool) -> None:
    if genotypes and not open_vcf(path)[0].samples:
        pytest.skip("it has no samples")
    together = contents(path, genotypes=genotypes)
    assert together["tables"]["variant_record"]
    with one_by_one():
        singly = contents(path, genotypes=genotypes)
    for table in together["tables"] | singly["tables"]:
        assert repr(together["tables"].get(table)) == repr(singly["tables"].get(table)), table
    assert {**together, "tables": None} == {**singly, "tables": None}


HEADER = (
    "##fileformat=VCFv4.2\n"
    '##INFO=<ID=A,Number=A,Type=Integer,Description="">\n##INFO=<ID=R,Number=R,Type=Float,Description="">\n'
    '##INFO=<ID=AF,Number=A,Type=Float,Description="">\n##INFO=<ID=S,Number=1,Type=String,Description="">\n'
    '##INFO=<ID=L,Number=.,Type=String,Description="">\n##INFO=<ID=F,Number=0,Type=Flag,Description="">\n' + FORMATS
)
SEQUENCE = "ACGTTTGCANNACGTACGGGT"

VALUES = st.one_of(
    st.sampled_from(
        ["0", "1", "0.5", "-1e-5", "007", "+1", ".5", "1.", ".", "", "nan", "inf", "x", "a b", '"', "\\", "é", "1,2", "x,.", ",", "1e5"]
    ),
    st.text(alphabet='01.eE+-,"\\xé', max_size=5),
)
INFOS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["A", "R", "AF", "S", "L", "F", "U", '"', ""]), VALUES).map("=".join),
        st.sampled_from(["F", "S", ".", "", "U"]),
    ),
    max_size=4,
).map(";".join)
ALLELES = st.one_of(st.sampled_from("ACGT"), st.sampled_from(["a", "N", "AC", "ACG", "", ".", "*", "<DEL>", "A[1:2[", "<*>", "é"]))
POSITIONS = st.one_of(
    st.integers(1, len(SEQUENCE) + 2).map(str),
    st.sampled_from(["007", "0", "-1", "+3", " 3", "0x3", "٣", "1e1", "", "9999999999", "51304567"]),
)


@st.composite
def lines(draw: st.DrawFn, samples: int) -> str:
    """A record, mostly sound, in which anything may be odd."""
    alts = (
        draw(st.lists(ALLELES, min_size=1, max_size=draw(st.sampled_from([1, 1, 1, 3]))))
        if draw(st.booleans())
        else [draw(st.sampled_from("ACGT"))]
    )
    columns = [
        draw(st.sampled_from(["22", "22", "22", "chr22", "1", "X", "z", ""])),
        draw(POSITIONS),
        draw(st.sampled_from([".", "rs5", "rs5;rs6", "a;rs7", "é"])),
        draw(ALLELES),
        ",".join(alts),
        draw(st.sampled_from([".", "10", "nan", "x"])),
        draw(st.sampled_from([".", "PASS", "a;b"])),
        draw(INFOS),
    ]
    if samples:
        format, call = draw(
            st.sampled_from(
                [
                    ("GT", "[01.][|][01]"),
                    ("GT", r"[0-2.][|/][01.]"),
                    ("GT:DP", r"(0|1/1|10/0|0\|1|1\|0/1):[0-9]?"),
                    ("GT", "[01]|0/1"),
                    ("DP", "3"),
                ]
            )
        )
        cells = draw(st.lists(st.from_regex(rf"\A(?:{call})\Z"), min_size=samples, max_size=samples))
        columns += [format, *(cells if draw(st.integers(0, 9)) else cells[1:])]
    keep = draw(st.sampled_from([len(columns)] * 8 + [0, 1, 7, 8, 9]))
    return "\t".join(columns[:keep]) + draw(st.sampled_from([""] * 9 + ["\r"]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "ref.fa").write_text(f">22\n{SEQUENCE}\n")
    return folder


@given(data=st.data(), samples=st.integers(0, 3), latin=st.booleans())
def test_made_up_records_read_together_and_one_by_one_are_equal(made: Path, data: st.DataObject, samples: int, latin: bool) -> None:
    records = data.draw(st.lists(lines(samples), max_size=12))
    names = "".join(f"\t{name}" for name in ("FORMAT", *range(samples))) if samples else ""
    text = f"{HEADER}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO{names}\n" + "".join(f"{record}\n" for record in records)
    path = made / "in.vcf"
    path.write_bytes(text.encode("latin-1" if latin and "٣" not in text else "utf-8"))
    found = contents(path, genotypes=bool(samples))
    with one_by_one(64):
        assert repr(contents(path, genotypes=bool(samples))) == repr(found)
    assert found["records"] == sum(record.strip("\r") != "" for record in records)


@pytest.fixture(scope="module")
def reference(made: Path) -> Reference:
    """In windows of eight bases, as those of real ones have an end too."""
    return Reference(made / "ref.fa", bases=8)


@given(data=st.data())
def test_a_reference_is_asked_in_both_ways(reference: Reference, data: st.DataObject) -> None:
    """What the reference does not have is rejected, what it has as N is counted."""
    text = "\n".join(data.draw(st.lists(lines(0), min_size=1, max_size=12))).replace("\r", "")
    sites = Sites(text.encode(), 7)
    read = []
    for together in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not together:
                patch.setattr(Normalizer, "agrees", lambda self, chrom, pos, base: np.zeros(len(pos), bool))
            found = variants(sites, Normalizer(GRCH37, reference), {})
        read.append([column.tolist() if isinstance(column, np.ndarray) else list(column) for column in found])
    assert repr(read[0]) == repr(read[1])
    for chrom, pos, ref in zip(*read[0][3:6], strict=True):
        assert chrom != 22 or all(has in (base, "N") for base, has in zip(ref.as_py(), SEQUENCE[pos - 1 :], strict=False))


def test_places_are_those_of_lines_whatever_they_hold() -> None:
    sites = Sites("22\t1\t.\tA\tC\t.\t.\t.\n\n22\t2\n22\t3\té\tA\tC\t.\t.\tB\tGT\t0|1".encode(), 5)
    assert [sites.whole.tolist(), sites.empty.tolist()] == [[True, False, False, True], [False, True, False, False]]
    assert [sites.row(2), sites.width(2), sites.row(3)] == ["22\t2", 2, "22\t3\té\tA\tC\t.\t.\tB"]
    found = variants(sites, Normalizer(GRCH37, None), {})
    assert (found.record.tolist(), found.pos.tolist(), [reject.line for _, reject in found.rejects]) == ([0, 3], [1, 3], [7])


def test_header_lines_are_no_records_wherever_blocks_end(made: Path) -> None:
    text = HEADER + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n22\t5\t.\tA\tC\t.\t.\t.\n"
    path = made / "header.vcf"
    path.write_text(text)
    header = VcfHeader.parse(text.splitlines()[:-1])
    for size in (1, 7, 40, len(text) - 23, len(text) - 22, len(text) - 21, len(text)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(source, "BLOCK", size)
            (chunk,) = vcf.read(path, header, Normalizer(GRCH37, None))
        assert chunk.tables["variant_record"].column("line").to_pylist() == [text.count("\n")]


def test_keys_that_are_others_in_each_record_are_forgotten_with_their_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free text with semicolons makes new keys in every record."""
    path = tmp_path / "keys.vcf"
    records = (f"22\t{1000 + n}\t.\tA\tG\t.\t.\tAF=0.5;k{n}=1;word {n};k{n}=2;S=x\n" for n in range(3_000))
    path.write_text(HEADER + "##contig=<ID=22>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(records))
    names: list[int] = []
    made = InfoColumn.__init__

    def counted(self: InfoColumn, *args: Any, **options: Any) -> None:
        made(self, *args, **options)
        names.append(len(self._names))

    monkeypatch.setattr(InfoColumn, "__init__", counted)
    monkeypatch.setattr(vcf, "CHUNK_ROWS", 100)
    together = contents(path, genotypes=False)
    assert len(names) >= 30
    assert max(names) <= 3 + 2 * 100
    with one_by_one():
        assert repr(contents(path, genotypes=False)["tables"]) == repr(together["tables"])


def in_chunks(tmp_path: Path, *records: str, samples: str = "") -> list:
    """The chunks of a VCF of these records."""
    path = tmp_path / "some.vcf"
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO" + (f"\tFORMAT\t{samples}" if samples else "")
    path.write_text("\n".join(["##fileformat=VCFv4.2", columns, *records]) + "\n")
    header, _ = open_vcf(path)
    names = header.samples
    frequencies = Frequencies.for_headers([header], Populations(names, Known({}, {}))) if names else None
    genotypes = Callset(names, frequencies.count) if frequencies else None
    return list(vcf.read(path, header, Normalizer(GRCH37, None, True), frequencies=frequencies, genotypes=genotypes))


def test_a_record_of_too_many_alts_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alts = ",".join("A" * n for n in range(2, 12))
    (whole,) = in_chunks(tmp_path, f"1\t5\t.\tA\t{alts}\t.\t.\t.")
    assert whole.tables["variant"].num_rows == 10
    monkeypatch.setattr("loaders.normalize.MOST_TEXT", 10 * (len(alts) + 2) - 1)
    (none,) = in_chunks(tmp_path, f"1\t5\t.\tA\t{alts}\t.\t.\t.")
    assert [reject.reason for reject in none.rejects] == ["record of too many and too long ALTs"]
    monkeypatch.setattr("loaders.normalize.MOST_ALTS", 9)
    monkeypatch.setattr("loaders.normalize.MOST_TEXT", 1 << 20)
    assert [reject.detail for reject in in_chunks(tmp_path, f"1\t5\t.\tA\t{alts}\t.\t.\t.")[0].rejects] == ["10 ALTs, 76 characters"]


def test_of_a_long_record_each_alt_keeps_its_own_locus(tmp_path: Path) -> None:
    (chunk,) = in_chunks(tmp_path, f"1\t5\t.\tA\tAC,A{'G' * 2000}\t.\t.\t.")
    assert chunk.tables["variant_record"].column("source_locus")[0].as_py() == "1:5:A:AC"


def test_rejects_alone_fill_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vcf, "CHUNK_ROWS", 100)
    monkeypatch.setattr(source, "BLOCK", 1000)
    chunks = in_chunks(tmp_path, *["decoy\t5\t.\tA\tG\t.\t.\t."] * 1000)
    assert sum(len(chunk.rejects) for chunk in chunks) == 1000
    assert max(len(chunk.rejects) for chunk in chunks) < 200


def test_lines_without_their_samples_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    made = Genotypes.__init__

    def counted(self: Genotypes, *arguments: Any) -> None:
        made(self, *arguments)
        shapes.append(self.alleles.shape)

    monkeypatch.setattr(Genotypes, "__init__", counted)
    monkeypatch.setattr(vcf, "_CHUNK_CALLS", 1000)
    samples = "\t".join(f"S{n}" for n in range(100))
    chunks = in_chunks(tmp_path, *[f"1\t{n}\t.\tA\tG\t.\t.\t.\tGT\t0/1" for n in range(1, 96)], samples=samples)
    assert [reject.line for chunk in chunks for reject in chunk.rejects] == list(range(3, 98))
    assert max(r * n for r, n, _ in shapes) == 1000
