"""What needs no network imports none: windows and annotations work where torch is not installed."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "tokenizers", "safetensors", "huggingface_hub")


def test_only_a_sequence_model_imports_torch() -> None:
    code = f"""
import sys
for name in {HEAVY}: sys.modules[name] = None  # importing it fails
import embedder.batches, embedder.choice, embedder.models.annotation, embedder.models.hgvs, embedder.pooling, embedder.proteins, embedder.windows
from embedder.models import load
embedder.models.annotation.vectors([embedder.models.annotation.Annotation("A", "C")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
