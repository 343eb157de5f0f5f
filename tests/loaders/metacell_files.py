"""Files of metacells for tests: real ones copied, others written; loading them, and what was stored."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import psycopg

from loaders.metacell_job import metacell_job
from loaders.run import Outcome, ingest
from tests.conftest import REAL, ROOT

Conn = psycopg.Connection[Any]
Write = Callable[..., Path]

DEMO = ROOT / "demo"
PBMC, K562, ATAC = "pbmc68k_reduced.seacells", "k562_multiome1000.rna.seacells", "k562_multiome500.atac_chr22p.seacells"

TWO = np.array([[3.0, 0, 1], [1, 0, 3], [0, 5, 5]])


def copy_sample(folder: Path, name: str) -> Path:
    """A copy of a real file, of the demo or not."""
    source = DEMO / f"{name}.h5ad"
    return Path(shutil.copy(source if source.exists() else REAL / "single_cell" / source.name, folder))


def write_h5ad(
    folder: Path, x: Any, seacells: str | Sequence | None = None, name: str = "some.h5ad", genes: str | None = None, **parts: Any
) -> Path:
    """Writes an AnnData; `seacells` are the metacells of its rows ("a a b"), None for no such column; `parts` what else AnnData takes."""
    labels = seacells.split() if isinstance(seacells, str) else seacells
    obs = pd.DataFrame(parts.pop("obs", {}), index=parts.pop("index", [f"cell{n}" for n in range(x.shape[0])]))
    if labels is not None:
        obs["SEACell"] = labels
    var = pd.DataFrame(parts.pop("var", {}), index=genes.split() if genes else [f"G{n}" for n in range(x.shape[1])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata's own, of names that repeat
        anndata.AnnData(x, obs=obs, var=var, **parts).write_h5ad(folder / name)
    return folder / name


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
