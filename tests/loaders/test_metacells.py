"""Metacells: every real file and random ones against plain numpy, all layouts alike, accessibility, what is refused, and how much memory it takes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from loaders.errors import InputError
from loaders.metacell_job import metacell_job
from tests.loaders.metacell_files import ATAC, K562, PBMC, Conn, Write, copy_sample, genes, load, matrix, metacells, run, table, write_h5ad
from tests.loaders.test_run import everything


@pytest.fixture
def sample(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a real file: sample("pbmc68k_reduced.seacells")."""
    return partial(copy_sample, tmp_path)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an AnnData: write(X, "a a b", name=..., genes=..., and what else AnnData takes)."""
    return partial(write_h5ad, tmp_path)


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
    scaled = "X is scaled (negative values): raw.X was used instead"
    taken = f"raw.X was taken for logged (else --scale counts): not whole, highest {values.max():.3g}"
    assert dict(outcome.load.warnings) == ({scaled: 1, taken: 1} if logged else {})
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
        chunks = [chunk for chunk in read(0, 0) if chunk.records]
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
