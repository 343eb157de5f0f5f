"""Segments shared by descent in real files, against a reader that shares nothing with this one."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import pytest

from loaders.errors import InputError
from loaders.run import Outcome
from store.assembly import chrom_code
from tests.conftest import REAL
from tests.loaders.segment_files import (
    Conn,
    Write,
    load,
    stored,
    stored_alone,
    writer,
)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: write(text, name="some.ibd"), compressed where its name says so."""
    return writer(tmp_path)


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
