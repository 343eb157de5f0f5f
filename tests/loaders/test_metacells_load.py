"""Metacells: files that are refused and leave nothing, and the load as a whole: repeated, cut off, and how much memory it takes."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

import vkg
from loaders.errors import InputError, LoaderError
from loaders.metacell_job import metacell_job
from loaders.run import Outcome, ingest
from store import release
from store.load import AlreadyLoaded, begin
from store.release import unlock_load
from tests.conftest import ROOT
from tests.loaders.metacell_files import PBMC, TWO, Conn, Write, copy_sample, genes, load, metacells, write_h5ad
from tests.loaders.test_run import everything


@pytest.fixture
def sample(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a real file: sample("pbmc68k_reduced.seacells")."""
    return partial(copy_sample, tmp_path)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an AnnData: write(X, "a a b", name=..., genes=..., and what else AnnData takes)."""
    return partial(write_h5ad, tmp_path)


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
    "NaN in obsm": (lambda w: {"path": w(TWO, "a a b", obsm={"X_umap": TWO * np.nan})}, "obsm X_umap has NaN or infinity, at cell0"),
    "no such scale": (lambda w: {"path": w(TWO, "a a b"), "scale": "log"}, "unknown --scale 'log'\n  Known are: counts, logged"),
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
        (whole.read_bytes()[:-5000], "the file is cut off"),
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
    with pytest.raises(InputError, match="the file is damaged") as refused:
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

    def unread(self: Any) -> Any:
        raise AssertionError(f"{self.name} is read again")

    with monkeypatch.context() as patch:
        patch.setattr("loaders.h5ad.Stored.slices", unread)
        assert isinstance(ingest(grch38, *metacell_job(grch38, path, atac=atac, assembly="GRCh38")), AlreadyLoaded)
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
    begun.write(0, next(chunk for chunk in read(0, 0) if chunk.records), lambda found: None)
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
def test_memory_is_that_of_the_metacells_not_of_the_cells(grch38: Conn, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 cells x 20,000 genes: 3.2 GB where they are dense, 200 metacells of them 80 MB at 20 bytes for each number of a metacell, and a
    slice, at 64 bytes for each of its numbers; the tables of cells and genes are within that."""
    numbers = 1 << 17
    monkeypatch.setattr("loaders.h5ad.SLICE", numbers)
    cells, count, each = 20_000, 20_000, 200
    rng = np.random.default_rng(1)
    indices = np.sort(rng.integers(0, count, (cells, each)), axis=1).ravel()
    values = sparse.csr_matrix(
        (rng.integers(1, 9, cells * each).astype(np.float32), indices, np.arange(0, cells * each + 1, each)), (cells, count)
    )
    for name, stored in (("csr.h5ad", values), ("csc.h5ad", values.tocsc())):
        path = write(stored, [f"SEACell-{n % 200}" for n in range(cells)], name)
        tracemalloc.start()
        _, read = metacell_job(grch38, path)
        genes_read = sum(chunk.records for chunk in read(0, 0))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"{name}: {peak / 1e6:.1f} MB")
        assert genes_read == count
        assert peak < 20 * 200 * count + 64 * numbers, f"{name}: {peak / 1e6:.1f} MB"
