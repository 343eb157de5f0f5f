"""Models: what each one is to the rest of the embedder, and how one is loaded by name. Importing this imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np

from embedder.errors import EmbedderError

if TYPE_CHECKING:
    import torch

NEEDS = ("torch", "transformers", "tokenizers", "safetensors", "huggingface_hub")
"""Packages that sequence models and text encoders need: the extra `embed`."""

KINDS = "dnabert2, dnabert2:FOLDER, hf:REPOSITORY, hf:FOLDER, hgvs:REPOSITORY and hgvs:FOLDER"
"""Names that `load` takes."""


class Tokens(NamedTuple):
    """A sequence as a model reads it: `ids` int32 (t,), and of each token the characters it stands for.

    `spans` is int32 (t, 2), 0-based and half-open; tokens that stand for no characters (CLS, SEP) have empty ones.
    """

    ids: np.ndarray
    spans: np.ndarray


class Tokenizer(Protocol):
    """What turns sequences into tokens. It can be pickled, so worker processes have it without the model."""

    def tokenize(self, sequences: Sequence[str]) -> list[Tokens]:
        """The tokens of each sequence, special ones included, never padded; sequences are never cut off, texts where a model's positions end."""
        ...


class Model(Protocol):
    """A loaded model of sequences or of text on its device.

    `id`, `revision` and `weights_sha256` say what was loaded; `max_tokens` is None where any length will do; `alphabet`
    says what its sequences are made of.
    """

    id: str
    revision: str
    weights_sha256: str
    dimension: int
    max_tokens: int | None
    alphabet: Literal["DNA", "PROTEIN", "TEXT"]
    device: torch.device
    dtype: torch.dtype

    @property
    def tokenizer(self) -> Tokenizer:
        """Its own."""
        ...

    def hidden(self, ids: np.ndarray, mask: np.ndarray | None = None) -> torch.Tensor:
        """The last hidden states (n, t, dimension), on the model's device and in its dtype, of n sequences of t tokens.

        `mask` (n, t) is False at padding, which then changes no other token; without it there is none.
        """
        ...


def load(name: str, *, revision: str | None = None, device: str = "auto", dtype: str | None = None) -> Model:
    """A model by name: `dnabert2`, `dnabert2:FOLDER`, `hf:REPOSITORY` or `hf:FOLDER`; a text encoder `hgvs:REPOSITORY` or `hgvs:FOLDER`.

    `revision` is a commit of the repository; `device` and `dtype` are those of embedder.device. Raises EmbedderError where
    the name is none of these, packages are missing, or what is there is not the whole model.
    """
    kind, _, source = name.partition(":")
    if kind not in ("dnabert2", "hf", "hgvs") or (kind != "dnabert2" and not source):
        raise EmbedderError(f"no sequence model {name!r}", f"Models are {KINDS}.")
    if missing := [package for package in NEEDS if find_spec(package) is None]:
        raise EmbedderError(f"{name} needs {', '.join(missing)}", "Install them: pip install 'variant-knowledge-graph[embed]'")
    if kind == "dnabert2":
        from embedder.models import dnabert2

        return dnabert2.load(source or None, revision=revision, device=device, dtype=dtype)
    from embedder.models import huggingface

    return huggingface.load(source, revision=revision, device=device, dtype=dtype, text=kind == "hgvs")
