"""Metacells: what the content of a file tells: matrix, scale, genes, labels, and what is left out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from loaders.errors import InputError
from tests.loaders.metacell_files import TWO, Conn, Write, genes, load, matrix, metacells, run, write_h5ad


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an AnnData: write(X, "a a b", name=..., genes=..., and what else AnnData takes)."""
    return partial(write_h5ad, tmp_path)


def test_the_matrix_asked_for_is_taken_and_a_scaled_one_passed_over(grch38: Conn, write: Write) -> None:
    path = write(-TWO, "a a b", layers={"counts": TWO - 1, "raw": TWO / 4, "other": TWO * 2})
    outcome = load(grch38, path, dataset="auto")
    assert (run(grch38)["matrix"], run(grch38)["scale"]) == ("layers/raw", "LOGGED")
    said = "is scaled (negative values): layers/raw was used instead"
    taken = "layers/raw was taken for logged (else --scale counts): not whole, highest 1.25"
    assert dict(outcome.load.warnings) == {f"layers/counts {said}": 1, f"X {said}": 1, taken: 1}
    for layer in ("counts", "X"):
        with pytest.raises(InputError, match=r"is scaled: it has negative values, as of G\d"):
            load(grch38, path, layer=layer)
    other = load(grch38, path, layer="other", dataset="other").load
    plain = load(grch38, write(TWO, "a a b"), layer="X", dataset="plain").load
    found = grch38.execute("SELECT load_id, layout, matrix, scale FROM metacell_run ORDER BY load_id").fetchall()
    assert found[1:] == [(other.load_id, "CELLS", "layers/other", "COUNTS"), (plain.load_id, "CELLS", "X", "COUNTS")]


def test_the_ledger_has_what_was_asked_not_what_was_found(grch38: Conn, write: Write) -> None:
    load(grch38, write(TWO / 2, "a a b"), scale="Counts", tissue="blood")
    assert grch38.execute("SELECT options FROM load").fetchone() == (
        {
            "layer": None, "scale": "COUNTS", "cell_type": None, "tissue": "blood", "condition": None, "embedding": None,
            "roles": ["expression"],
        },
    )  # fmt: skip


def soft_of(values: np.ndarray) -> tuple[np.ndarray, dict]:
    """Weighted means of six cells in two metacells, and their sizes, as summarize_by_soft_SEACell makes them."""
    weights = np.array([[0.9, 0.7, 1, 0.2, 0, 0.1], [0.1, 0.3, 0, 0.8, 1, 0.9]])
    sizes = weights.sum(1)
    return weights @ values / sizes[:, None], {"index": ["0", "1"], "obs": {"Pseudo-sizes": sizes}}


POISSON = np.random.default_rng(3).poisson(2, (6, 5)).astype(float)
OF = "SEACell-0 SEACell-0 SEACell-0 SEACell-1 SEACell-1 SEACell-1"
LOW = POISSON * 0.9 + 0.05
"""Counts, corrected, of which none is above 20."""


def test_weighted_means_of_whole_counts_are_counts(grch38: Conn, write: Write) -> None:
    means, parts = soft_of(POISSON)
    outcome = load(grch38, write(means, None, "soft.h5ad", **parts), cells=write(POISSON, OF, "cells.h5ad"))
    assert (run(grch38)["scale"], dict(outcome.load.warnings)) == ("COUNTS", {})
    assert matrix(genes(grch38).loc[[f"G{n}" for n in range(5)], "mean"]) == pytest.approx(
        np.log1p(1e4 * means / means.sum(1, keepdims=True)).T, rel=1e-6
    )


@pytest.mark.parametrize("soft", [True, False])
def test_of_several_matrices_of_cells_the_one_that_adds_up_decides(grch38: Conn, write: Write, soft: bool) -> None:
    logged = np.log1p(POISSON / POISSON.sum(1, keepdims=True) * 100)
    values, parts = soft_of(logged)
    if not soft:
        values, parts = np.array([logged[:3].sum(0), logged[3:].sum(0)]), {"index": ["SEACell-0", "SEACell-1"]}
    # Where a gene is expressed is not as in the matrix of counts, which stands first.
    counts = np.where(np.arange(6)[:, None] == 0, 0, POISSON)
    cells = write(np.full((6, 5), -1.0), OF, "cells.h5ad", layers={"counts": counts, "raw": logged})
    outcome = load(grch38, write(values, None, "sum.h5ad", **parts), cells=cells)
    assert run(grch38)["scale"] == "LOGGED"
    assert list(outcome.load.warnings) == [f"X was taken for logged (else --scale counts): not whole, highest {logged.max():.3g}"]
    shown = values if soft else values / 3
    found = genes(grch38).loc[[f"G{n}" for n in range(5)]]
    assert matrix(found["mean"]) == pytest.approx(shown.T, rel=1e-6)
    assert matrix(found["percent"]).T[0] == pytest.approx(100 * (logged[:3] > 0).mean(0), rel=1e-6)


@pytest.mark.parametrize("soft", [True, False])
def test_cells_that_do_not_add_up_are_told_of(grch38: Conn, write: Write, soft: bool) -> None:
    values, parts = soft_of(POISSON)
    if not soft:
        values, parts = np.array([POISSON[:3].sum(0), POISSON[3:].sum(0)]), {"index": ["SEACell-0", "SEACell-1"]}
    outcome = load(grch38, write(values, None, "sum.h5ad", **parts), cells=write(POISSON * 3, OF, "cells.h5ad"))
    assert (run(grch38)["scale"], dict(outcome.load.warnings)) == ("COUNTS", {"no matrix of the cells adds up to the summary": 1})


def test_low_corrected_counts_are_taken_for_logged_unless_told_otherwise(grch38: Conn, write: Write) -> None:
    assert LOW.max() < 20
    path = write(LOW, OF)
    outcome = load(grch38, path, dataset="guessed")
    assert list(outcome.load.warnings) == [f"X was taken for logged (else --scale counts): not whole, highest {LOW.max():.3g}"]
    told = load(grch38, path, dataset="told", scale="counts")
    assert dict(told.load.warnings) == {}
    assert grch38.execute("SELECT scale FROM metacell_run ORDER BY load_id").fetchall() == [("LOGGED",), ("COUNTS",)]
    sums = np.array([LOW[:3].sum(0), LOW[3:].sum(0)])
    rows = grch38.execute("SELECT mean FROM metacell_expression WHERE load_id = %s ORDER BY gene", (told.load.load_id,)).fetchall()
    assert np.array([mean for (mean,) in rows]) == pytest.approx(np.log1p(1e4 * sums / sums.sum(1, keepdims=True)).T, rel=1e-6)


def test_sums_that_are_not_whole_need_no_cells_where_they_are_told_to_be_counts(grch38: Conn, write: Write) -> None:
    path = write(LOW[:2], index=["SEACell-0", "SEACell-1"])
    for scale in (None, "logged"):
        with pytest.raises(InputError, match=r"sums that are not whole.*\n.*--cells.*--scale counts"):
            load(grch38, path, scale=scale)
    assert dict(load(grch38, path, scale="counts").load.warnings) == {}
    assert run(grch38)["scale"] == "COUNTS"
    load(grch38, write(np.floor(LOW), OF), scale="logged", dataset="whole")
    assert grch38.execute("SELECT scale FROM metacell_run ORDER BY load_id").fetchall() == [("COUNTS",), ("LOGGED",)]


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_nobody_minds_where_a_cell_without_a_metacell_lies(grch38: Conn, write: Write, form: Any) -> None:
    place = np.array([[1.0, 2], [3, 4], [np.nan, np.inf]])
    load(grch38, write(TWO, ["a", "b", np.nan], obsm={"X_pca": form(place)}))
    assert metacells(grch38)["place"].tolist() == [[1, 2], [3, 4]]
    with pytest.raises(InputError, match="obsm X_pca has NaN or infinity, at cell2\n"):
        load(grch38, write(TWO, ["a", "b", "b"], obsm={"X_pca": form(place)}), dataset="other")


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
