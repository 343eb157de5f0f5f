"""Metacells: every real file and random ones against plain numpy, all layouts alike, accessibility, what is refused, and how much memory it takes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

import vkg
from loaders.errors import InputError, LoaderError
from loaders.metacell_job import metacell_job
from loaders.run import Outcome, ingest
from store import release
from store.load import AlreadyLoaded, begin
from store.release import unlock_load
from tests.conftest import ROOT
from tests.loaders.test_run import everything

Conn = psycopg.Connection[Any]
Write = Callable[..., Path]

DEMO = ROOT / "demo"
PBMC, K562, ATAC = "pbmc68k_reduced.seacells", "k562_multiome1000.rna.seacells", "k562_multiome500.atac_chr22p.seacells"


@pytest.fixture
def sample(tmp_path: Path, real: Path) -> Callable[[str], Path]:
    """A copy of a real file: sample("pbmc68k_reduced.seacells")."""

    def copy(name: str) -> Path:
        source = DEMO / f"{name}.h5ad"
        return Path(shutil.copy(source if source.exists() else real / "single_cell" / source.name, tmp_path))

    return copy


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an AnnData: write(X, "a a b", name=..., genes=..., and what else AnnData takes); the metacell of each row, None for no column."""

    def write(x: Any, seacells: str | Sequence | None = None, name: str = "some.h5ad", genes: str | None = None, **parts: Any) -> Path:
        labels = seacells.split() if isinstance(seacells, str) else seacells
        obs = pd.DataFrame(parts.pop("obs", {}), index=parts.pop("index", [f"cell{n}" for n in range(x.shape[0])]))
        if labels is not None:
            obs["SEACell"] = labels
        var = pd.DataFrame(parts.pop("var", {}), index=genes.split() if genes else [f"G{n}" for n in range(x.shape[1])])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anndata's own, of names that repeat
            anndata.AnnData(x, obs=obs, var=var, **parts).write_h5ad(tmp_path / name)
        return tmp_path / name

    return write


def load(conn: Conn, path: Path, **options: Any) -> Outcome:
    """Loads a file as `vkg load metacells` does."""
    outcome = ingest(conn, *metacell_job(conn, path, **options))
    assert isinstance(outcome, Outcome)
    return outcome


def table(conn: Conn, query: str, key: str) -> pd.DataFrame:
    """Rows as a frame, by a column."""
    cursor = conn.execute(query)
    return pd.DataFrame(cursor.fetchall(), columns=[c.name for c in cursor.description or ()], dtype=object).set_index(key, drop=False)


def metacells(conn: Conn) -> pd.DataFrame:
    return table(conn, "SELECT m.*, m.embedding::real[] AS place FROM metacell m ORDER BY load_id, ordinal", "name")


def genes(conn: Conn) -> pd.DataFrame:
    return table(conn, "SELECT * FROM metacell_expression", "gene")


def run(conn: Conn) -> dict:
    return table(conn, "SELECT * FROM metacell_run", "load_id").iloc[0].to_dict()


def matrix(column: pd.Series, width: int = 0) -> np.ndarray:
    """Arrays of all rows as (rows, values), NaN for NULL; `width` where there may be no arrays."""
    width = max((len(row) for row in column if row is not None), default=width)
    return np.array([[np.nan] * width if row is None else row for row in column], float)


def expected(values: np.ndarray, seacells: Sequence[str], logged: bool) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(names, (genes, metacells) means and percentages) of a dense matrix of cells, worked out gene by gene from the definitions."""
    names = list(dict.fromkeys(seacells))
    mean, percent = np.zeros((values.shape[1], len(names))), np.zeros((values.shape[1], len(names)))
    for place, name in enumerate(names):
        of = values[[label == name for label in seacells]].astype(float)
        pooled = of.sum(0)
        mean[:, place] = of.mean(0) if logged else np.log1p(pooled / max(pooled.sum(), 1e-300) * 1e4)
        percent[:, place] = 100 * (of > 0).mean(0)
    return names, mean, percent


def check_statistics(found: pd.DataFrame, of: pd.DataFrame) -> None:
    """z, tau, highest and the top genes are what the stored means give."""
    mean, percent, z = (matrix(found[name], len(of)) for name in ("mean", "percent", "z"))
    mean32 = mean.astype(np.float32).astype(float)
    alike = (mean32 == mean32[:, :1]).all(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = (mean32 - mean32.mean(1, keepdims=True)) / mean32.std(1, keepdims=True)
    assert [row is None for row in found["z"]] == alike.tolist()
    assert np.allclose(z[~alike], wanted[~alike], rtol=1e-4, atol=1e-5)
    types = sorted({name for name in of["cell_type"] if name is not None})
    for gene, row in zip(mean32, found.to_dict("records"), strict=True):
        by_type = [gene[[name == each for name in of["cell_type"]]] for each in types]
        assert row["highest"] == pytest.approx([v.max() for v in by_type], rel=1e-6)
        x = np.array([v.mean() for v in by_type])
        if len(types) < 2 or x.max() == 0:
            assert row["tau"] is None
        else:
            assert row["tau"] == pytest.approx(sum(1 - x / x.max()) / (len(types) - 1), abs=1e-5)
    for place, top in enumerate(of["top_genes"]):
        known = not np.isnan(percent).any()
        fit = [n for n in range(len(mean)) if mean[n, place] > 0 and not alike[n] and (not known or percent[n, place] >= 10)]
        best = sorted(fit, key=lambda n: (-z[n, place], -mean[n, place], found["gene"].iloc[n]))
        assert top == found["gene"].iloc[best[:100]].tolist()


# ---- real files

REAL_CELLS = [
    pytest.param(PBMC, "raw.X", True, "bulk_labels", id="pbmc"),
    pytest.param(K562, "layers/counts", False, "cluster", id="k562", marks=pytest.mark.requires_real),
]


@pytest.mark.parametrize(("name", "named", "logged", "column"), REAL_CELLS)
def test_every_value_of_real_cells(grch38: Conn, sample: Any, name: str, named: str, logged: bool, column: str) -> None:
    path = sample(name)
    outcome = load(grch38, path, tissue="blood")
    source = anndata.read_h5ad(path)
    values = (source.raw.X if logged else source.layers["counts"]).toarray()
    seacells = source.obs["SEACell"].astype(str).tolist()
    names, mean, percent = expected(values, seacells, logged)
    of, found = metacells(grch38), genes(grch38).loc[source.var_names]
    assert of["name"].tolist() == names
    assert of["ordinal"].tolist() == list(range(len(names)))
    assert len(genes(grch38)) == source.n_vars
    assert np.allclose(matrix(found["mean"]), mean, rtol=1e-5, atol=1e-7)
    assert np.allclose(matrix(found["percent"]), percent, rtol=1e-6)
    check_statistics(found, of)
    for each in of.to_dict("records"):
        cells = source[[label == each["name"] for label in seacells]]
        times = cells.obs[column].astype(str).value_counts()
        assert each["cell_count"] == cells.n_obs
        assert each["cell_type"] == min(times[times == times.max()].index)
        assert each["purity"] == pytest.approx(times.max() / cells.n_obs)
        assert each["place"] == pytest.approx(cells.obsm["X_pca"].mean(0, dtype=float).tolist(), rel=1e-4, abs=1e-5)
        assert (each["tissue"], each["condition"]) == ("blood", None)
        if "X_umap" in cells.obsm:
            assert [each["plot_x"], each["plot_y"]] == pytest.approx(cells.obsm["X_umap"].mean(0, dtype=float).tolist(), rel=1e-5)
        else:
            assert (each["plot_x"], each["plot_y"]) == (None, None)
    assert {k: v for k, v in run(grch38).items() if k not in ("load_id", "cell_types")} == {
        "layout": "CELLS", "matrix": named, "scale": "LOGGED" if logged else "COUNTS", "gene_count": source.n_vars, "embedding": "X_pca",
        "plot": "X_umap" if "X_umap" in source.obsm else None, "peak_count": 0, "peak_matrix": None,
    }  # fmt: skip
    assert dict(outcome.load.warnings) == ({"X is scaled (negative values): raw.X was used instead": 1} if logged else {})
    assert (outcome.load.dataset, outcome.load.counts["records"]) == (name, source.n_vars)


@pytest.mark.requires_real
def test_sums_of_counts_give_what_the_cells_give(grch38: Conn, sample: Any) -> None:
    load(grch38, sample(K562))
    cells, of_cells = genes(grch38), metacells(grch38)
    grch38.execute("TRUNCATE metacell, metacell_expression, metacell_run")
    load(grch38, sample(f"{K562}_summary"))
    found, of = genes(grch38).loc[cells.index], metacells(grch38)
    assert of["name"].tolist() == of_cells["name"].tolist()
    assert found["mean"].tolist() == cells["mean"].tolist()
    assert found["z"].tolist() == cells["z"].tolist()
    assert set(found["percent"]) == {None}
    for name in ("cell_type", "tau", "highest"):
        assert of[name].tolist() == of_cells[name].tolist() if name in of else found[name].tolist() == cells[name].tolist()
    assert of["purity"].tolist() == pytest.approx(of_cells["purity"].tolist(), rel=1e-6)
    assert set(of["cell_count"]) == set(of["place"]) == {None}
    assert {k: run(grch38)[k] for k in ("layout", "matrix", "scale", "embedding")} == {
        "layout": "SUMMARY", "matrix": "layers/raw", "scale": "COUNTS", "embedding": None,
    }  # fmt: skip
    check_statistics(found, of)


def test_sums_of_logged_values_need_their_cells_and_then_give_what_the_cells_give(grch38: Conn, sample: Any) -> None:
    cells, summary = sample(PBMC), sample(f"{PBMC}_summary")
    with pytest.raises(InputError, match=r"layers/raw has sums that are not whole.*\n.*--cells"):
        load(grch38, summary)
    assert everything(grch38) == {}
    load(grch38, cells)
    of_cells, first = metacells(grch38), genes(grch38)
    grch38.execute("TRUNCATE metacell, metacell_expression, metacell_run")
    load(grch38, summary, cells=cells)
    of, found = metacells(grch38), genes(grch38).loc[first.index]
    assert np.allclose(matrix(found["mean"]), matrix(first["mean"]), rtol=1e-5)
    assert found["percent"].tolist() == first["percent"].tolist()
    for name in ("name", "purity", "cell_count", "plot_x", "plot_y", "place"):
        assert of[name].tolist() == of_cells[name].tolist(), name
    assert of["cell_type"].tolist() == anndata.read_h5ad(summary).obs["bulk_labels"].tolist()  # of types as common as each other either
    assert (run(grch38)["layout"], run(grch38)["scale"]) == ("SUMMARY", "LOGGED")
    check_statistics(found, of)


@pytest.mark.parametrize("with_cells", [False, True])
def test_a_soft_summary_of_logged_values_stays_as_it_is(grch38: Conn, sample: Any, with_cells: bool) -> None:
    path, cells = sample(f"{PBMC}_soft_summary"), sample(PBMC)
    load(grch38, path, cells=cells if with_cells else None)
    source, of = anndata.read_h5ad(path), metacells(grch38)
    found = genes(grch38).loc[source.var_names]
    assert np.allclose(matrix(found["mean"]), source.X.toarray().T, rtol=1e-6)
    assert of["name"].tolist() == list(source.obs_names)
    assert of["cell_count"].tolist() == pytest.approx(source.obs["Pseudo-sizes"].tolist())
    assert of["cell_type"].tolist() == source.obs["celltype"].tolist()
    assert of["purity"].tolist() == pytest.approx(source.obs["celltype_purity"].tolist())
    assert (run(grch38)["layout"], run(grch38)["scale"], run(grch38)["matrix"]) == ("SOFT_SUMMARY", "LOGGED", "X")
    check_statistics(found, of)
    if with_cells:
        single = anndata.read_h5ad(cells)
        theirs = single[(single.obs["SEACell"] == "SEACell-3").to_numpy()]
        assert matrix(found["percent"])[:, 3] == pytest.approx(100 * (theirs.raw.X.toarray() > 0).mean(0), rel=1e-6)
        assert of["place"].iloc[3] == pytest.approx(theirs.obsm["X_pca"].mean(0, dtype=float).tolist(), rel=1e-4, abs=1e-5)


def test_a_soft_summary_of_counts_is_brought_to_10_000_and_may_have_metacells_that_no_cell_is_in_most(grch38: Conn, write: Write) -> None:
    weighted = np.array([[30.5, 0.5], [1.5, 3]])
    soft = write(weighted, None, "soft.h5ad", index=["0", "1"], obs={"Pseudo-sizes": [1.5, 0.5]})
    cells = write(np.array([[40, 0], [20, 1]]), "SEACell-0 SEACell-0", "cells.h5ad", obsm={"X_pca": np.array([[1.0], [2]])})
    load(grch38, soft, cells=cells)
    of, found = metacells(grch38), genes(grch38).loc[["G0", "G1"]]
    assert (run(grch38)["layout"], run(grch38)["scale"]) == ("SOFT_SUMMARY", "COUNTS")
    assert matrix(found["mean"]) == pytest.approx(np.log1p(1e4 * weighted / weighted.sum(1, keepdims=True)).T, rel=1e-6)
    assert found["percent"].tolist() == [[100, None], [50, None]]
    assert (of["cell_count"].tolist(), of["place"].tolist()) == ([1.5, 0.5], [[1.5], None])


@pytest.mark.requires_real
@pytest.mark.parametrize("ending", ["", "_summary"])
def test_accessibility_of_real_files(grch38: Conn, sample: Any, ending: str) -> None:
    path = sample(ATAC + ending)
    load(grch38, sample(K562), atac=path, assembly="hg38")
    source, single = anndata.read_h5ad(path), anndata.read_h5ad(sample(ATAC))
    peaks = table(grch38, "SELECT * FROM metacell_peak ORDER BY ordinal", "ordinal")
    names, access, _ = expected(single.layers["counts"].toarray(), single.obs["SEACell"].astype(str).tolist(), logged=False)
    for place, name in enumerate(metacells(grch38)["name"]):
        stored = [row[place] for row in peaks["access"]]
        assert stored == (pytest.approx(access[:, names.index(name)], rel=1e-5) if name in names else [None] * source.n_vars)
    assert len(names) == 9
    assert peaks["start_pos"].tolist() == (source.var["start"] + 1).tolist()
    assert peaks["end_pos"].tolist() == source.var["end"].tolist()
    assert set(peaks["chrom"]) == {22}
    assert set(peaks["length_class"]) == {(1000 - 1).bit_length()}
    assert set(peaks["open"]) == {None}
    assert (run(grch38)["peak_count"], run(grch38)["peak_matrix"]) == (152, "layers/counts" if not ending else "layers/raw")


@pytest.mark.requires_real
def test_a_file_of_the_oldest_kind_gives_what_the_new_one_gives(grch38: Conn, sample: Any, real: Path, tmp_path: Path) -> None:
    old = Path(shutil.copy(real / "single_cell" / "10x_pbmc68k_reduced.h5ad", tmp_path))
    old.chmod(0o644)
    with pytest.raises(InputError, match=r"no column SEACell in obs, which has bulk_labels, n_genes.*\n.*get_hard_assignments"):
        load(grch38, old)
    load(grch38, new := sample(PBMC))
    first, of_first = genes(grch38), metacells(grch38)
    grch38.execute("TRUNCATE metacell, metacell_expression, metacell_run")
    label = anndata.read_h5ad(new).obs["SEACell"]
    with h5py.File(old, "r+") as file:
        rows = file["obs"][:]
        wider = np.empty(len(rows), [*((name, rows.dtype[name]) for name in rows.dtype.names), ("SEACell", "i1")])
        for name in rows.dtype.names:
            wider[name] = rows[name]
        wider["SEACell"] = label.cat.codes
        del file["obs"]
        file["obs"] = wider
        file["uns/SEACell_categories"] = [name.encode() for name in label.cat.categories]
    load(grch38, old)
    assert metacells(grch38).drop(columns=["load_id", "metacell_id"]).equals(of_first.drop(columns=["load_id", "metacell_id"]))
    assert genes(grch38).loc[first.index].drop(columns="load_id").equals(first.drop(columns="load_id"))


# ---- random files

FORMATS = {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_matrix}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    data=st.data(), cells=st.integers(1, 12), count=st.integers(1, 6), form=st.sampled_from(sorted(FORMATS)), logged=st.booleans(),
    place=st.sampled_from(["X", "counts", "raw"]), categorical=st.booleans(), slices=st.sampled_from([1, 7, 1 << 21]), rows=st.sampled_from([1, 5, 1 << 18]),
)  # fmt: skip
def test_random_files_against_plain_numpy(
    grch38: Conn,
    write: Write,
    data: Any,
    cells: int,
    count: int,
    form: str,
    logged: bool,
    place: str,
    categorical: bool,
    slices: int,
    rows: int,
) -> None:
    numbers = st.sampled_from([0.0, 0.5, 1.25, 3.5, 19.75]) if logged else st.integers(0, 40).map(float)
    values = np.array(data.draw(st.lists(st.lists(numbers, min_size=count, max_size=count), min_size=cells, max_size=cells)))
    logged = logged and bool((values % 1).any())
    seacells = data.draw(st.lists(st.sampled_from(["m1", "SEACell-2", "x"]), min_size=cells, max_size=cells))
    kinds = data.draw(st.lists(st.sampled_from(["B", "T", "NK"]), min_size=cells, max_size=cells))
    stored = FORMATS[form](values)
    x = stored if place != "counts" else np.full(values.shape, -1.0)
    dtype = "category" if categorical else object
    path = write(x, pd.Categorical(seacells) if categorical else seacells, obs={"CellType": pd.Series(kinds, dtype=dtype).to_numpy()},
                 layers={place: stored} if place != "X" else {})  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("loaders.h5ad.SLICE", slices)
        patch.setattr("loaders.metacell.CHUNK_VALUES", rows)
        _, read = metacell_job(grch38, path)
        chunks = list(read(0, 0))
    names, mean, percent = expected(values, seacells, logged)
    of = pd.DataFrame(chunks[0].tables["metacell"].to_pylist(), dtype=object)
    found = pd.DataFrame([row for chunk in chunks for row in chunk.tables["metacell_expression"].to_pylist()], dtype=object)
    assert of["name"].tolist() == names
    assert [c.end for c in chunks][-1] == len(found) == count
    assert chunks[0].tables["metacell_run"].to_pylist()[0]["scale"] == ("LOGGED" if logged else "COUNTS")
    assert np.allclose(matrix(found["mean"]), mean, rtol=1e-5, atol=1e-7)
    assert np.allclose(matrix(found["percent"]), percent, rtol=1e-6)
    for name, kind, purity in zip(of["name"], of["cell_type"], of["purity"], strict=True):
        theirs = [k for k, s in zip(kinds, seacells, strict=True) if s == name]
        most = max(theirs.count(k) for k in theirs)
        assert kind == min(k for k in theirs if theirs.count(k) == most)
        assert purity == pytest.approx(most / len(theirs))
    check_statistics(found, of)


# ---- what is told by content

TWO = np.array([[3.0, 0, 1], [1, 0, 3], [0, 5, 5]])


def test_the_matrix_asked_for_is_taken_and_a_scaled_one_passed_over(grch38: Conn, write: Write) -> None:
    path = write(-TWO, "a a b", layers={"counts": TWO - 1, "raw": TWO / 4, "other": TWO * 2})
    outcome = load(grch38, path, dataset="auto")
    assert (run(grch38)["matrix"], run(grch38)["scale"]) == ("layers/raw", "LOGGED")
    said = "is scaled (negative values): layers/raw was used instead"
    assert dict(outcome.load.warnings) == {f"layers/counts {said}": 1, f"X {said}": 1}
    job, _ = metacell_job(grch38, path, layer="other")
    assert {k: job.options[k] for k in ("layout", "matrix", "scale", "layer")} == {
        "layout": "CELLS", "matrix": "layers/other", "scale": "COUNTS", "layer": "other",
    }  # fmt: skip
    for layer in ("counts", "X"):
        with pytest.raises(InputError, match=r"is scaled: it has negative values, as of G\d"):
            metacell_job(grch38, path, layer=layer)
    assert metacell_job(grch38, write(TWO, "a a b"), layer="X")[0].options["matrix"] == "X"


def test_corrected_counts_are_counts(grch38: Conn, write: Write) -> None:
    values = np.array([[30.5, 0.25], [1.5, 7]])
    load(grch38, write(values, "a b"))
    assert run(grch38)["scale"] == "COUNTS"
    assert matrix(genes(grch38).loc[["G0", "G1"], "mean"]) == pytest.approx(
        np.log1p(values / values.sum(1, keepdims=True) * 1e4).T, rel=1e-6
    )


def test_a_number_that_a_sparse_matrix_has_in_parts_is_one(grch38: Conn, write: Write) -> None:
    parts = sparse.csr_matrix((np.array([1.0, 2, 5]), np.array([1, 1, 0]), np.array([0, 2, 3])), (2, 2))
    load(grch38, write(parts, "a a"))
    assert genes(grch38).loc[["G0", "G1"], "percent"].tolist() == [[50], [50]]
    assert matrix(genes(grch38).loc[["G0", "G1"], "mean"])[:, 0] == pytest.approx(np.log1p([6250, 3750]), rel=1e-6)


def test_genes_have_identifiers_and_symbols(grch38: Conn, write: Write) -> None:
    identifiers = "ENSG00000000001.4 ENSG00000000002 ENSG00000000003 SIRPA ENSG00000000005"
    write_var = {"gene_symbols": ["A", "twice", "twice", "S", "SIRPA"], "feature_id": ["x", "y", "z", "ENSG00000198053.9", ""]}
    load(grch38, write(np.ones((2, 5)), "a b", genes=identifiers, var=write_var))
    assert {row["gene"]: row["gene_id"] for row in genes(grch38).to_dict("records")} == {
        "A": "ENSG00000000001", "ENSG00000000002": "ENSG00000000002", "ENSG00000000003": "ENSG00000000003",
        "SIRPA": "ENSG00000198053", "ENSG00000000005": "ENSG00000000005",
    }  # fmt: skip


def test_cells_without_a_metacell_are_left_out_and_labels_are_the_commonest(grch38: Conn, write: Write) -> None:
    obs = {
        "leiden": ["0", "1", "1", "0", "0"],
        "Tissue": ["lung", None, "skin", "skin", "lung"],
        "condition": ["", "ill", "ill", "well", "x"],
        "mine": ["n", "m", None, None, None],
    }
    outcome = load(grch38, write(np.ones((5, 2)), ["b", "b", "a", "a", np.nan], obs=obs))
    columns = ["name", "cell_type", "purity", "tissue", "condition", "cell_count"]
    assert metacells(grch38)[columns].to_numpy().tolist() == [["b", "0", 0.5, "lung", "ill", 2], ["a", "0", 0.5, "skin", "ill", 2]]
    assert dict(outcome.load.skipped) == {"cells without a metacell": 1}
    load(grch38, write(np.ones((5, 2)), ["b", "b", "a", "a", np.nan], obs=obs), cell_type="mine", condition="old", dataset="other")
    columns = ["cell_type", "purity", "condition"]
    assert metacells(grch38)[columns].to_numpy().tolist()[2:] == [["m", 0.5, "old"], [None, None, "old"]]


def test_of_summaries_cells_give_what_they_lack(grch38: Conn, write: Write) -> None:
    cells = write(np.array([[1.0, 2, 0], [0, 0, 9], [1, 1, 1]]), "SEACell-1 SEACell-0 SEACell-7", "cells.h5ad", "x y z", obs={"tissue": ["u", "v", "w"]},
                  obsm={"X_lsi": np.array([[1.0, 2], [3, 4], [5, 6]]), "X_tsne": np.eye(3)})  # fmt: skip
    summary = write(np.array([[0.0, 9], [2, 1]]), None, "sum.h5ad", "y z", index=["SEACell-0", "SEACell-1"])
    outcome = load(grch38, summary, cells=cells, embedding="X_lsi")
    of, found = metacells(grch38), genes(grch38).loc[["y", "z"]]
    assert of[["cell_count", "tissue", "cell_type", "plot_x", "plot_y"]].to_numpy().tolist() == [[1, "v", None, 0, 1], [1, "u", None, 1, 0]]
    assert of["place"].tolist() == [[3, 4], [1, 2]]
    assert found["percent"].tolist() == [[0, 100], [100, 0]]
    assert found["highest"].tolist() == [[], []]
    assert dict(outcome.load.skipped) == {"cells of metacells that the summary does not have": 1}


def test_peaks_elsewhere_and_metacells_elsewhere_are_left_out(grch38: Conn, write: Write) -> None:
    rna = write(np.ones((2, 2)), None, "rna.h5ad", index=["SEACell-0", "SEACell-1"])
    counts = np.array([[1.0, 0, 3], [4, 4, 4]])
    atac = write(counts, None, "atac.h5ad", "chr1:0-100 GL000192.1:5-9 chrX-9-12", index=["SEACell-1", "SEACell-5"],
                 layers={"OpenPeaks": np.array([[1, 0, 0], [1, 1, 1]])})  # fmt: skip
    outcome = load(grch38, rna, atac=atac, assembly="GRCh38")
    peaks = grch38.execute("SELECT ordinal, chrom, start_pos, end_pos, length_class, access, open FROM metacell_peak ORDER BY 1").fetchall()
    one, three = (pytest.approx(np.log1p(1e4 * n / 4), rel=1e-6) for n in (1, 3))
    assert peaks == [(0, 1, 1, 100, 7, [None, one], [None, True]), (2, 23, 10, 12, 2, [None, three], [None, False])]
    assert dict(outcome.load.skipped) == {
        "peaks on other contigs": 1, "metacells of accessibility that the file of expression does not have": 1,
    }  # fmt: skip
    assert outcome.load.counts["metacell_peak"] == 2


# ---- what is refused

WRONG: dict[str, tuple[Callable[[Write], dict], str]] = {
    "no SEACells": (lambda w: {"path": w(TWO, obs={"leiden": list("abc")})}, r"no column SEACell in obs, which has leiden\n.*summarize_by_SEACell"),
    "genes that repeat": (lambda w: {"path": w(TWO, "a a b", genes="G H G")}, r"1 genes are there more than once: G\n.*var_names_make_unique"),
    "NaN": (lambda w: {"path": w(np.where(TWO == 5, np.nan, TWO), "a a b")}, "X has NaN or infinity, at G1"),
    "infinity": (lambda w: {"path": w(sparse.csc_matrix(np.where(TWO == 5, np.inf, TWO)), "a a b")}, "X has NaN or infinity, at G1"),
    "negative": (lambda w: {"path": w(TWO - 1, "a a b")}, r"no matrix of expression: scaled \(negative values\): X"),
    "negative, asked for": (lambda w: {"path": w(TWO - 1, "a a b"), "layer": "X"}, "X is scaled: it has negative values, as of G1"),
    "too large": (lambda w: {"path": w(np.where(TWO == 5, 1e308, TWO), "a a b")}, "numbers too large"),
    "no such layer": (lambda w: {"path": w(TWO, "a a b", layers={"L": TWO}), "layer": "M"}, r"no layer 'M' of numbers\n.*has X, L"),
    "no such cell type": (lambda w: {"path": w(TWO, "a a b"), "cell_type": "M"}, "no column M in obs, which has SEACell"),
    "no such embedding": (lambda w: {"path": w(TWO, "a a b"), "embedding": "X_pca"}, "no table of numbers X_pca in obsm"),
    "NaN in obsm": (lambda w: {"path": w(TWO, "a a b", obsm={"X_umap": TWO * np.nan})}, "obsm X_umap has NaN"),
    "too many dimensions": (lambda w: {"path": w(TWO, "a a b", obsm={"X_pca": np.ones((3, 2001))})}, "obsm X_pca has 2,001 dimensions"),
    "a long name": (lambda w: {"path": w(TWO, ["a", "a", "b" * 201])}, "a metacell's name of 201 characters"),
    "no metacells": (lambda w: {"path": w(TWO, [np.nan] * 3)}, "no metacells"),
    "no cells": (lambda w: {"path": w(TWO[:0], [])}, "no metacells"),
    "no genes": (lambda w: {"path": w(TWO[:, :0], "a a b")}, "no genes"),
    "sums of fractions": (lambda w: {"path": w(TWO / 8, index=["SEACell-0", "SEACell-1", "SEACell-2"])}, r"sums that are not whole.*\n.*--cells"),
    "an embedding of a summary": (
        lambda w: {"path": w(TWO, index=["SEACell-0", "SEACell-1", "SEACell-2"]), "embedding": "X_pca"}, r"a summary places no cells.*\n.*--cells",
    ),
    "metacells that repeat": (lambda w: {"path": w(TWO, index=["SEACell-0", "SEACell-1", "SEACell-1"])}, "metacells are there more than once: SEACell-1"),
    "cells of cells": (lambda w: {"path": w(TWO, "a a b"), "cells": w(TWO, "a a b", "c.h5ad")}, "it has the cells itself"),
    "cells of others": (
        lambda w: {"path": w(TWO, index=["SEACell-0", "SEACell-1", "SEACell-2"]), "cells": w(TWO, "SEACell-0 SEACell-0 SEACell-1", "c.h5ad")},
        "no cells of 1 of the metacells in some.h5ad: SEACell-2",
    ),
    "cells of other genes": (
        lambda w: {"path": w(TWO[:2], index=["SEACell-0", "SEACell-1"]), "cells": w(TWO[:2], "SEACell-0 SEACell-1", "c.h5ad", "G0 G1 H")},
        "X lacks 1 genes of the summary: G2",
    ),
    "cells that are none": (
        lambda w: {"path": w(TWO[:2], index=["SEACell-0", "SEACell-1"]), "cells": w(TWO[:2], None, "c.h5ad", index=["SEACell-0", "SEACell-1"])},
        "not a file of cells: it is a SUMMARY",
    ),
    "purity": (
        lambda w: {"path": w(TWO[:1], index=["SEACell-0"], obs={"t": ["x"], "t_purity": [1.5]})}, "t_purity is not from 0 to 1",
    ),
    "sizes": (lambda w: {"path": w(TWO[:1], index=["0"], obs={"Pseudo-sizes": [0.0]})}, "Pseudo-sizes is no number above 0 at 0"),
    "a long option": (lambda w: {"path": w(TWO, "a a b"), "tissue": "x" * 201}, "--tissue has 201 characters"),
    "another assembly": (lambda w: {"path": w(TWO, "a a b"), "assembly": "hg19"}, "it is of GRCh37"),
}  # fmt: skip
PEAKS = {
    "no peak": ("chr1:1-2 chr1:5 chr1:7-9", "'chr1:5' is not a peak"),
    "no length": ("chr1:1-2 chr1:5-5 chr1:7-9", "the start of the peak chr1:5-5 is not before its end"),
    "beyond": ("chr1:1-2 chr1:5-6 chr21:46709983-46709984", "chr21:46709983-46709984 lies beyond the end of chromosome 21 of GRCh38"),
    "repeated": ("chr1:1-2 chr1:1-2 chr1:7-9", "1 peaks are there more than once: chr1:1-2"),
    "elsewhere": ("GL1:1-2 GL1:2-3 GL1:7-9", "none of its 3 peaks is on a chromosome"),
    "GRCh37": ("NC_000001.10:1-2 chr1:2-3 chr1:7-9", r"it is of GRCh37 \(by its contig NC_000001.10\)"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_refused_leaves_nothing(grch38: Conn, write: Write, what: str) -> None:
    make, said = WRONG[what]
    with pytest.raises(LoaderError, match=said) as refused:
        load(grch38, **make(write))
    assert "\n  " in str(refused.value), "no remedy"
    assert everything(grch38) == {}


@pytest.mark.parametrize("what", PEAKS)
def test_peaks_that_are_refused(grch38: Conn, write: Write, what: str) -> None:
    names, said = PEAKS[what]
    with pytest.raises(InputError, match=said):
        load(grch38, write(TWO, "a a b"), atac=write(TWO, "a a b", "atac.h5ad", names), assembly=None if what == "GRCh37" else "GRCh38")
    assert everything(grch38) == {}


def test_accessibility_that_is_refused(grch38: Conn, write: Write) -> None:
    rna, peaks = write(TWO, "a a b"), "chr1:1-2 chr1:5-6 chr1:7-9"
    for said, of, options in (
        ("nothing in the file tells its assembly", write(TWO, "a a b", "1.h5ad", peaks), {"assembly": None}),
        ("the store holds GRCh38", write(TWO, "a a b", "1.h5ad", peaks), {"assembly": "GRCh37"}),
        ("no counts of fragments", write(TWO / 3, "a a b", "2.h5ad", peaks), {}),
        ("none of its metacells is one of the file of expression: c ... here, a, b ... there", write(TWO, "c c c", "3.h5ad", peaks), {}),
        ("a soft summary", write(TWO[:1], None, "4.h5ad", peaks, index=["0"], obs={"Pseudo-sizes": [1.0]}), {}),
    ):
        with pytest.raises(InputError, match=said):
            load(grch38, rna, atac=of, **{"assembly": "GRCh38", **options})
    assert everything(grch38) == {}


def test_damaged_files_are_refused(grch38: Conn, write: Write, sample: Any, tmp_path: Path) -> None:
    whole, cut = sample(PBMC), tmp_path / "cut.h5ad"
    for bytes_, said in (
        (b"", "the file is empty"),
        (b"#CHROM\n", "not HDF5, or damaged"),
        (whole.read_bytes()[:-5000], "not HDF5, or damaged"),
    ):
        cut.write_bytes(bytes_)
        with pytest.raises(InputError, match=said):
            load(grch38, cut)
    with pytest.raises(InputError, match="no such file"):
        load(grch38, tmp_path / "none.h5ad")

    blocks = tmp_path / "blocks.h5ad"
    anndata.read_h5ad(summary := sample(f"{PBMC}_summary")).write_h5ad(blocks, compression="gzip")
    with h5py.File(blocks) as file:
        place = file["layers/raw/data"].id.get_chunk_info(0)
    with blocks.open("r+b") as raw:
        raw.seek(place.byte_offset + place.size // 2)
        raw.write(b"damaged!")
    with pytest.raises(InputError, match="not HDF5, or damaged") as refused:
        load(grch38, blocks, cells=whole)
    assert refused.value.path == blocks
    assert isinstance(metacell_job(grch38, summary, cells=whole), tuple)

    def damaged(said: str, damage: Callable[[h5py.File], None], x: Any = TWO) -> None:
        path = write(x, "a a b", obsm={"X_pca": TWO})
        with h5py.File(path, "r+") as file:
            damage(file)
        with pytest.raises(InputError, match=said):
            load(grch38, path)

    def replaced(name: str, value: Any) -> Callable[[h5py.File], None]:
        def replace(file: h5py.File) -> None:
            attributes = dict(file[name].attrs)
            del file[name]
            file[name] = value
            file[name].attrs.update(attributes)

        return replace

    damaged("it has no obs", lambda file: file.move("obs", "observations"))
    damaged(r"X is 2 x 3, but there are 3 rows in obs and 3 in var", replaced("X", TWO[:2]))
    damaged("X_pca is 4 x 3, but there are 3 rows in obs", replaced("obsm/X_pca", np.ones((4, 3))))
    damaged("its obs cannot be read", lambda file: file["obs"].pop("SEACell"))
    damaged("its obs cannot be read", replaced("obs/_index", [b"a", b"b"]))
    damaged("X is damaged: an index", replaced("X/indices", np.full(np.count_nonzero(TWO), 3)), sparse.csr_matrix(TWO))
    damaged("X is damaged: its indptr", replaced("X/indptr", np.array([0, 1, 2, 99])), sparse.csr_matrix(TWO))
    damaged("no matrix of expression: none of", replaced("X", np.array([[b"x"] * 3] * 3)))
    damaged(r"a gene's name 'A\\x00B' holds a zero byte", replaced("var/_index", np.array([b"A\0B", b"C", b"D"])))
    damaged(r"a metacell's name 'a\\x00b' holds a zero byte", replaced("obs/SEACell/categories", np.array([b"a\0b", b"C"])))
    assert everything(grch38) == {}


# ---- the load as a whole


def test_the_same_file_again_is_a_no_op_and_is_taken_out_as_a_whole(grch38: Conn, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path, atac = write(TWO, "a a b", obs={"leiden": list("xxy")}), write(TWO, "a a b", "atac.h5ad", "chr1:1-2 chr1:5-6 chr1:7-9")
    outcome = load(grch38, path, atac=atac, assembly="GRCh38")
    before = everything(grch38)
    again = ingest(grch38, *metacell_job(grch38, path, atac=atac, assembly="GRCh38"))
    assert isinstance(again, AlreadyLoaded)
    assert everything(grch38) == before
    assert {name: before[name] for name in before if name.startswith("metacell")} == {
        "metacell_run": 1, "metacell": 2, "metacell_expression": 3, "metacell_peak": 3,
    }  # fmt: skip
    assert isinstance(ingest(grch38, *metacell_job(grch38, path, tissue="t")), Outcome)
    for load_id in (outcome.load.load_id, outcome.load.load_id + 1):
        release.unload(grch38, load_id)
    monkeypatch.setattr(release, "LONGEST_REQUEST", "0 seconds")
    release.purge(grch38)
    assert not [name for name in everything(grch38) if name.startswith("metacell")]


def test_a_load_that_was_cut_off_goes_on_at_its_gene(grch38: Conn, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.metacell.CHUNK_VALUES", 2)
    path = write(TWO, ["a", "b", np.nan])
    job, read = metacell_job(grch38, path)
    begun = begin(grch38, dataset=job.dataset, kind=job.kind, version=None, files=job.files, options=job.options)
    assert not isinstance(begun, AlreadyLoaded)
    begun.write(0, next(read(0, 0)), lambda found: None)
    unlock_load(grch38, begun.load_id)
    outcome = load(grch38, path)
    assert outcome.load.load_id == begun.load_id
    assert sorted(genes(grch38).index) == ["G0", "G1", "G2"]
    assert (len(metacells(grch38)), outcome.load.skipped) == (2, {"cells without a metacell": 1})


def test_the_command(
    grch37: Conn, store_url: str, sample: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, cells = sample(f"{PBMC}_summary"), sample(PBMC)
    monkeypatch.setenv("VKG_DATABASE_URL", store_url)
    monkeypatch.setattr(sys, "argv", ["vkg", "load", "metacells", str(path), "--cells", str(cells), "--dataset", "pbmc", "--version", "1"])
    with pytest.raises(SystemExit) as ended:
        vkg.main()
    assert not ended.value.code
    assert "pbmc 1: 765 records: 765 metacell_expression, 1 metacell_run, 20 metacell" in capsys.readouterr().out
    assert grch37.execute("SELECT ordinal, path FROM load_file ORDER BY 1").fetchall() == [(0, str(path)), (1, str(cells))]


def test_other_commands_don_t_wait_for_anndata() -> None:
    script = "import sys, vkg; sys.exit(sorted({'anndata', 'pandas', 'scipy'} & set(sys.modules)) or 0)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_memory_is_that_of_the_metacells_not_of_the_cells(grch38: Conn, write: Write) -> None:
    """20,000 cells x 20,000 genes: 3.2 GB where they are dense, 200 metacells of them 80 MB at 20 bytes for each number of a metacell."""
    cells, count, each = 20_000, 20_000, 200
    rng = np.random.default_rng(1)
    indices = np.sort(rng.integers(0, count, (cells, each)), axis=1).ravel()
    values = sparse.csr_matrix(
        (rng.integers(1, 9, cells * each).astype(np.float32), indices, np.arange(0, cells * each + 1, each)), (cells, count)
    )
    for name, stored in (("csr.h5ad", values), ("csc.h5ad", values.tocsc())):
        path = write(stored, [f"SEACell-{n % 200}" for n in range(cells)], name)
        tracemalloc.start()
        job, read = metacell_job(grch38, path)
        genes_read = sum(chunk.records for chunk in read(0, 0))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (genes_read, job.options["scale"]) == (count, "COUNTS")
        assert peak < 400e6, f"{name}: {peak / 1e6:.0f} MB"
        print(f"{name}: {peak / 1e6:.0f} MB")
