"""What tests of the embedder share: one thread for PyTorch, since tests run side by side, and the real tokenizer where it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT

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
