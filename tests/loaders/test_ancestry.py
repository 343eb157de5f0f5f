"""Principal components: the layouts of PLINK 1.9 and 2, literal and real, against another reading; eigenvalues; samples that are not there."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loaders import ancestry
from loaders.errors import InputError
from loaders.people_job import ancestry_job
from loaders.run import Outcome, ingest
from store import release
from store.load import AlreadyLoaded, Load, begin
from tests.store.people import loaded

Conn = psycopg.Connection[Any]
Write = Callable[..., Path]

ROWS = "0 A 0.5 -0.25\n0 B 1e-3 2\n"
LAYOUTS = {
    "PLINK 1.9": ROWS,
    "PLINK 1.9 header tabs": "FID\tIID\tPC1\tPC2\n" + ROWS.replace(" ", "\t"),
    "PLINK 1.9 header": "FID IID PC1 PC2\n" + ROWS,
    "PLINK 2": "#IID\tPC1\tPC2\n" + ROWS.replace("0 A", "A").replace("0 B", "B").replace(" ", "\t"),
    "PLINK 2 with families": "#FID\tIID\tPC1\tPC2\n" + ROWS.replace(" ", "\t"),
    "PLINK 2 with SID": "#FID\tIID\tSID\tPC1\tPC2\n" + ROWS.replace(" A ", " A 1 ").replace(" B ", " B 2 ").replace(" ", "\t"),
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: write(text, name="some.eigenvec")."""

    def write(text: str, name: str = "some.eigenvec") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def load(conn: Conn, path: Path, **options: Any) -> Outcome | AlreadyLoaded:
    """Loads a file as `vkg load ancestry` does."""
    return ingest(conn, *ancestry_job(conn, path, **options))


def stored(conn: Conn) -> dict[str, list[float]]:
    """The components of all samples, by name."""
    return dict(conn.execute("SELECT name, components FROM ancestry JOIN sample USING (sample_id) ORDER BY 1").fetchall())


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_are_told_by_the_first_line(write: Write, text: str) -> None:
    (chunk,) = ancestry.read(write(text), "c", [4.0, 0.25])
    line = text.count("\n") - 1
    assert chunk.tables["ancestry"].to_pylist() == [
        {"sample_id": "A", "components": [1.0, -0.125], "_line": line},
        {"sample_id": "B", "components": [np.float32(2e-3), 1.0], "_line": line + 1},
    ]
    assert chunk.tables["ancestry_run"].to_pylist() == [{"cohort": "c", "eigenvalues": [4.0, 0.25]}]
    assert ancestry.names(write(text)) == ["A", "B"]


@pytest.mark.parametrize(
    "text",
    [
        "#eigvals:  5.1 4.0\n A 0.1 0.2 Case\n",
        "FID\tIID\n0\tA\n",
        "#FID\tIID\tPHENO\tPC1\tAGE\n0\tA\t1\t2\t3\n",
        "#IID\n",
        "#CHROM\tID\tMAJ\tNONMAJ\tPC1\n1\trs1\tA\tC\t0.5\n",
        "1 rs1 A C 0.5\n",
        "A\n",
        "\n\n",
    ],
)
def test_what_is_no_eigenvec_file_is_refused(write: Write, text: str) -> None:
    with pytest.raises(InputError, match="not a file of principal components"):
        ancestry.layout(write(text))


def test_eigenvalues_are_numbers_and_as_many_as_the_components(write: Write) -> None:
    assert ancestry.eigenvalues(write("3\n 2.5 \n\n1e-2\n0\n"), 3) == [3, 2.5, 0.01]
    for text, told in (
        ("3\n2\n", "2 eigenvalues for 3"),
        ("3\n-1\n2\n", ":2: not an eigenvalue"),
        ("x\n", ":1: not"),
        ("nan\n", ":1: not"),
    ):
        with pytest.raises(InputError, match=told):
            ancestry.eigenvalues(write(text), 3)


def test_components_are_weighed_by_the_eigenvalues_beside(grch37: Conn, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    loaded(grch37, "vcf", "kg", called=["A", "B"])
    path = write(ROWS, "pca.eigenvec")
    with pytest.raises(InputError, match=r"there is no pca.eigenval\n.*--eigenval FILE.*--unscaled"):
        load(grch37, path)
    write("4\n0.25\n", "pca.eigenval")
    outcome = load(grch37, path, version="1")
    assert isinstance(outcome, Outcome)
    assert (outcome.load.dataset, outcome.load.cohort, outcome.release is not None) == ("pca.eigenvec", "kg", True)
    assert "cohort kg: --cohort NAME says otherwise" in capsys.readouterr().err
    assert stored(grch37) == {"A": [1.0, -0.125], "B": [pytest.approx(2e-3), 1.0]}
    assert grch37.execute("SELECT cohort, eigenvalues FROM ancestry_run").fetchall() == [("kg", [4.0, 0.25])]
    assert grch37.execute("SELECT place::text FROM ancestry ORDER BY sample_id LIMIT 1").fetchone() == ("[1,-0.125]",)
    assert isinstance(load(grch37, path), AlreadyLoaded)
    write("9\n0.25\n", "pca.eigenval")
    assert isinstance(load(grch37, path, version="2"), Outcome), "other eigenvalues are another load"
    assert isinstance(load(grch37, path, version="3", eigenval=write("16\n1\n3\n", "other")), Outcome)
    assert isinstance(load(grch37, path, version="4", unscaled=True), Outcome)
    runs = grch37.execute(
        "SELECT eigenvalues, components FROM ancestry_run JOIN ancestry a USING (load_id) JOIN sample USING (sample_id) WHERE name = 'A' ORDER BY load_id"
    )
    assert runs.fetchall() == [
        ([4.0, 0.25], [1.0, -0.125]),
        ([9.0, 0.25], [1.5, -0.125]),
        ([16.0, 1.0], [2.0, -0.25]),
        (None, [0.5, -0.25]),
    ]
    with pytest.raises(InputError, match="no use to --unscaled"):
        load(grch37, path, unscaled=True, eigenval=path)


def test_rows_that_cannot_be_used_are_rejected_by_line(grch37: Conn, write: Write) -> None:
    loaded(grch37, "vcf", "kg", called=["A", "B", "C", "D", "E"])
    path = write("0 A 1 2\n0 B 1\n0 C 1 nan\n1 A 3 4\n0 Z 1 2\n0 D 1e39 2\n0\n0 E 1 2 3\n\n0 E 5 6\n")
    outcome = load(grch37, path, cohort="kg", unscaled=True)
    assert isinstance(outcome, Outcome)
    assert outcome.load.counts == {"records": 9, "rejects": 8, "ancestry": 1, "ancestry_run": 1, "sample_info": 1}
    told = [line.split("\t")[:3] for line in Path(f"{path}.rejects.tsv").read_text().splitlines()[1:]]
    assert told == [
        ["2", ancestry.WRONG_COUNT, "1 of 2"],
        ["3", ancestry.NOT_FINITE, ""],
        ["4", ancestry.REPEATED, "A stands in line 1"],
        ["5", "unknown sample", "Z is not in cohort kg; --create-samples adds those that are not"],
        ["6", ancestry.NOT_FINITE, ""],
        ["7", ancestry.WRONG_COUNT, "0 of 2"],
        ["8", ancestry.WRONG_COUNT, "3 of 2"],
        ["10", ancestry.REPEATED, "E stands in line 8"],
    ]


def test_samples_that_nobody_knows_may_be_added(grch37: Conn, write: Write) -> None:
    with pytest.raises(InputError, match="2 of 2 records rejected for: unknown sample"):
        load(grch37, write(ROWS), unscaled=True)
    assert release.loads(grch37) == []
    outcome = load(grch37, write(ROWS), unscaled=True, create_samples=True)
    assert isinstance(outcome, Outcome)
    assert (outcome.load.dataset, outcome.load.cohort) == ("some.eigenvec", "some")
    assert list(stored(grch37)) == ["A", "B"]


@pytest.mark.parametrize("committed", [0, 1, 3])
def test_a_load_that_was_cut_off_goes_on(
    grch37: Conn, store_url: str, write: Write, monkeypatch: pytest.MonkeyPatch, committed: int
) -> None:
    monkeypatch.setattr("loaders.source.BLOCK", 64)
    path = write("#IID\tPC1\n" + "".join(f"S{n % 60}\t{n}\n" for n in range(80)))
    options = {"cohort": "c", "unscaled": True, "create_samples": True}
    job, read = ancestry_job(grch37, path, **options)
    chunks = [chunk for chunk in read(0, 0) if chunk.records]
    assert len(chunks) > 5
    with psycopg.connect(store_url, autocommit=True) as died:
        cut_off = begin(died, dataset=job.dataset, kind=job.kind, version=None, files=job.files, options=job.options)
        assert isinstance(cut_off, Load)
        for chunk in chunks[:committed]:
            cut_off.write(0, chunk, lambda rejects: None)
    outcome = load(grch37, path, **options)
    assert isinstance(outcome, Outcome)
    assert outcome.load.load_id == cut_off.load_id
    assert outcome.load.reasons == {ancestry.REPEATED: 20}
    assert stored(grch37) == {f"S{n}": [float(n)] for n in range(60)}
    assert grch37.execute("SELECT count(*) FROM ancestry_run").fetchone() == (1,)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(st.floats(width=32), min_size=2, max_size=2), min_size=1), st.lists(st.floats(0, 1e6), min_size=2, max_size=2))
def test_every_row_is_kept_as_numpy_reads_it_or_rejected(write: Write, values: list[list[float]], scale: list[float]) -> None:
    path = write("FID IID PC1 PC2\n" + "".join(f"F S{n} {a!r} {b!r}\n" for n, (a, b) in enumerate(values)))
    (chunk,) = ancestry.read(path, "c", scale)
    found = {row["sample_id"]: row["components"] for row in chunk.tables["ancestry"].to_pylist()} if "ancestry" in chunk.tables else {}
    with np.errstate(over="ignore", invalid="ignore"):
        expected = (np.array(values) * np.sqrt(scale)).astype(np.float32)
    whole = np.isfinite(expected).all(axis=1)
    assert found == {f"S{n}": expected[n].tolist() for n in np.flatnonzero(whole).tolist()}
    assert [reject.line for reject in chunk.rejects] == (np.flatnonzero(~whole) + 2).tolist()


@pytest.mark.requires_real
@pytest.mark.parametrize("layout", ["plink1", "plink1h", "plink2"])
def test_the_real_files_are_equal_and_as_numpy_reads_them(grch37: Conn, real: Path, tmp_path: Path, layout: str) -> None:
    stem = "kg2504.chr22_16-17mb.pca10"
    path = tmp_path / f"{stem}.{layout}.eigenvec"
    path.symlink_to(real / f"chr22_grch37/{stem}.{layout}.eigenvec")
    eigenval = tmp_path / f"{stem}.{layout}.eigenval"
    shutil.copy(real / f"chr22_grch37/{stem}.{layout.removesuffix('h')}.eigenval", eigenval)
    outcome = load(grch37, path, create_samples=True, strict=True)
    assert isinstance(outcome, Outcome)
    assert outcome.load.counts["ancestry"] == 2504
    plain = real / f"chr22_grch37/{stem}.plink1.eigenvec"
    names = np.loadtxt(plain, usecols=1, dtype=str).tolist()
    values = np.loadtxt(plain, usecols=range(2, 12)) * np.sqrt(np.loadtxt(eigenval))
    found = stored(grch37)
    assert sorted(names) == list(found)
    assert (np.array([found[name] for name in names], np.float32) == values.astype(np.float32)).all()
    # Every eigenvector has length 1, so that the scaled one has the length of its eigenvalue's root.
    assert math.isclose(np.square(values[:, 0]).sum(), float(eigenval.read_text().split()[0]), rel_tol=1e-4)


def test_rows_have_a_limit(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.ancestry.MOST_ROWS", 1)
    with pytest.raises(InputError, match=":2: more than 1 people"):
        list(ancestry.read(write(ROWS), "kg", None))
