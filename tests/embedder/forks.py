"""Processes that cluster, as forks of one that has imported scikit-learn: two seconds less for each. tests/embedder/test_cluster.py asks for some that begin
anew, as they do elsewhere."""

from __future__ import annotations

import multiprocessing
from types import SimpleNamespace

import pytest

from embedder import cluster

FORKS = multiprocessing.get_context("forkserver")


def quick_processes(patch: pytest.MonkeyPatch) -> None:
    """From here on `embedder.cluster` forks."""
    FORKS.set_forkserver_preload(["embedder.cluster", "sklearn.cluster"])
    patch.setattr(cluster, "multiprocessing", SimpleNamespace(get_context=lambda _: FORKS))
