"""What tests of the embedder share: one thread for PyTorch, since tests run side by side, the real tokenizer where it is, a store and its commands."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import torch

from tests import command_line
from tests.conftest import ROOT
from tests.embedder.asked import Command
from tests.store.vectors import Conn

REAL_TOKENIZER = ROOT.parent / "shared" / "data" / "dnabert2" / "tokenizer.json"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_tokenizer() -> Path:
    """The published tokenizer of DNABERT-2."""
    if not REAL_TOKENIZER.is_file():
        pytest.skip(f"the published tokenizer is not here: {REAL_TOKENIZER}")
    return REAL_TOKENIZER


@pytest.fixture
def url(store_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of this test's own, which is the one that commands use."""
    monkeypatch.setenv("VKG_DATABASE_URL", store_url)
    return store_url


@pytest.fixture
def store(url: str) -> Iterator[Conn]:
    """A connection to it."""
    with psycopg.connect(url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def command(url: str) -> Command:
    """Runs `vkg ...` in this process: command("embed", ...) -> exit code and what was printed."""
    return functools.partial(command_line.run, url)
