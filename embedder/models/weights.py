"""Where a model's files are, what they hold, and their checksum. No file of a model is ever run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from embedder.errors import EmbedderError

if TYPE_CHECKING:
    import torch

LOCAL = "local"
"""The revision of a folder that does not tell its own."""

_COMMIT = re.compile("[0-9a-f]{40}")
_BLOCK = 1 << 22


class Place(NamedTuple):
    """A folder with a model's files, and the commit they are of, or LOCAL."""

    folder: Path
    revision: str


def locate(source: str, revision: str | None, files: Sequence[str], needed: str) -> Place:
    """The folder of a model: `source` itself where it is a folder, else what the hub's cache or the hub has of that repository.

    `files` are the names (with wildcards) to fetch, `needed` says in words what is needed, for those who must fetch it by
    hand. A snapshot of the hub's cache tells its commit by its name. Raises EmbedderError where nothing is found.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return Place(folder, folder.name if _COMMIT.fullmatch(folder.name) else LOCAL)
    if folder.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1:
        raise EmbedderError(f"{source}: no such folder", f"It should hold {needed}.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        found = Path(snapshot_download(source, revision=revision, allow_patterns=list(files)))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        first = str(error).strip().splitlines()[0]
        raise EmbedderError(
            f"{source} is not a folder here, not in the cache of the Hugging Face hub, and cannot be fetched: {first}",
            f"Fetch by hand, where there is a network, from https://huggingface.co/{source}/tree/{revision or 'main'}: {needed}. "
            "Put them into one folder, and say dnabert2:FOLDER, hf:FOLDER or hgvs:FOLDER.",
        ) from error
    return Place(found, found.name if _COMMIT.fullmatch(found.name) else revision or LOCAL)


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights, safetensors before pickles, shards in order. Raises EmbedderError where there are none."""
    for pattern in ("model.safetensors", "model-*-of-*.safetensors", "pytorch_model.bin", "pytorch_model-*-of-*.bin"):
        if found := sorted(folder.glob(pattern)):
            return found
    raise EmbedderError(f"{folder}: no weights", "They are called model.safetensors or pytorch_model.bin.")


def sha256(files: Sequence[Path]) -> str:
    """The SHA-256 of a file, in hex; of several, that of the lines `sha256  name` of all of them, as sha256sum prints them."""
    sums = []
    for path in files:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        sums.append(digest.hexdigest())
    if len(files) == 1:
        return sums[0]
    return hashlib.sha256("".join(f"{s}  {p.name}\n" for s, p in zip(sums, files, strict=True)).encode()).hexdigest()


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file of weights, by name, on the CPU; pickles are read as data only. Raises EmbedderError where it is damaged."""
    import torch
    from safetensors.torch import load_file

    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle that was cut off, or isn't one, fails in as many ways as there are opcodes
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EmbedderError(
            f"{path}: cannot be read as weights: {first}", "It is damaged or cut off: fetch it again, and compare its SHA-256."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise EmbedderError(f"{path}: holds something else than named tensors", "It should be a state dict.")
    return state
