"""DNABERT-2: its network in plain PyTorch, its tokenizer, and how its published weights are loaded, strictly.

In: a folder (or the hub's repository) with config.json, tokenizer.json and pytorch_model.bin or model.safetensors. Out: a
model (embedder/models/__init__.py). transformers loads these files as a stock BERT with random attention and MLP weights,
and the code that the repository brings is not run here, so the network is this file: a BERT encoder with post-layer-norm,
one matrix for q, k and v, a gated MLP, and ALiBi in place of positions. Sources: Zhou et al., DNABERT-2, ICLR 2024; Portes
et al., MosaicBERT, NeurIPS 2023; Press, Smith and Lewis, Train Short, Test Long (ALiBi), ICLR 2022.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tokenizers
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embedder.device import choose, dtype_name, put
from embedder.device import dtype as dtype_of
from embedder.errors import EmbedderError
from embedder.models import Tokens
from embedder.models.weights import LOCAL, locate, read, sha256, weight_files

ID = "dnabert2"
REPOSITORY = "zhihan1996/DNABERT-2-117M"
REVISION = "7bce263b15377fc15361f52cfab88f8b586abda0"
SHA256 = "7ff39ec77a484dd01070a41bfd6e95cdd7247bec80fe357ab43a4be33687aeba"
"""Of the published pytorch_model.bin (468,354,983 bytes)."""
FILES = ("config.json", "tokenizer.json", "pytorch_model.bin")
UNK, CLS, SEP, PAD = 0, 1, 2, 3
"""Ids of the tokenizer. The published config says that padding is 0, and is wrong."""

_HEAD = "cls.predictions."
"""Keys of the published file for masked language modelling, the decoder tied to the word embeddings: no vector needs them."""
_TYPES = 2
_LISTED = 8
_NEEDED = f"config.json, tokenizer.json and pytorch_model.bin (468,354,983 bytes, sha256 {SHA256})"


@dataclass(frozen=True)
class Config:
    """The numbers of config.json that make the network; the defaults are the published model's."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    vocab_size: int = 4096
    layer_norm_eps: float = 1e-12
    alibi_starting_size: int = 512

    @classmethod
    def read(cls, path: Path) -> Config:
        """The numbers of a config.json. Raises EmbedderError where it is not DNABERT-2's."""
        remedy = f"It should be that of {REPOSITORY}; other models are loaded as hf:{path.parent.name}."
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise EmbedderError(f"{path}: no such file", f"The folder should hold {_NEEDED}.") from error
        except ValueError as error:
            raise EmbedderError(f"{path}: not JSON: {error}", "It is damaged: fetch it again.") from error
        fixed = {"model_type": "bert", "hidden_act": "gelu", "type_vocab_size": _TYPES}
        for key, expected in fixed.items():
            if not isinstance(found, dict) or found.get(key) != expected:
                value = found.get(key) if isinstance(found, dict) else None
                raise EmbedderError(f"{path}: {key} is {value!r}; DNABERT-2 has {expected!r}", remedy)
        if "alibi_starting_size" not in found:
            raise EmbedderError(f"{path}: a BERT without ALiBi (no alibi_starting_size), which is not DNABERT-2", remedy)
        values: dict[str, Any] = {}
        for key, default in vars(cls()).items():
            value = found.get(key)
            if isinstance(value, bool) or not isinstance(value, int if isinstance(default, int) else (int, float)) or value <= 0:
                raise EmbedderError(f"{path}: {key} is {value!r}, not a number above 0", remedy)
            values[key] = value
        config = cls(**values)
        if config.hidden_size % config.num_attention_heads:
            raise EmbedderError(f"{path}: {config.hidden_size} numbers cannot be shared by {config.num_attention_heads} heads", remedy)
        return config


def slopes(heads: int) -> list[float]:
    """ALiBi's slope of each head: 2^-1 ... 2^-8 for 8 heads; where heads are no power of two, those of the power below,
    then every other one of twice that power, unsorted (Press, Smith and Lewis)."""
    power = 1 << (heads.bit_length() - 1)
    first = [2.0 ** (-8 * (i + 1) / power) for i in range(power)]
    return first if power == heads else first + slopes(2 * power)[::2][: heads - power]


class Layer(nn.Module):
    """Attention and gated MLP, a layer norm after each. Shapes: n sequences, t tokens, d numbers, h heads."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        d, eps = config.hidden_size, config.layer_norm_eps
        self.heads = config.num_attention_heads
        self.qkv = nn.Linear(d, 3 * d)
        self.out = nn.Linear(d, d)
        self.norm_attention = nn.LayerNorm(d, eps)
        self.gated = nn.Linear(d, 2 * config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, d)
        self.norm_mlp = nn.LayerNorm(d, eps)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """(n, t, d) to (n, t, d); `bias` (1 or n, h, t, t) is added to the scores, which are scaled by 1 / sqrt(d / h)."""
        n, t, d = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)  # each (n, h, t, d / h)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = self.norm_attention(x + self.out(attended.transpose(1, 2).reshape(n, t, d)))
        gate, value = self.gated(x).chunk(2, dim=-1)
        return self.norm_mlp(x + self.down(F.gelu(gate) * value))  # the exact GELU, of the first half


class Network(nn.Module):
    """Token ids to hidden states."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.types = nn.Embedding(_TYPES, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self._bias: Tensor | None = None

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Hidden states (n, t, d) of ids (n, t). `mask` (n, t) is False at padding, which no token sees; its own states are 0."""
        x = self.norm(self.words(ids) + self.types.weight[0])
        bias = self.alibi(ids.shape[1])
        if mask is not None:
            bias = bias.masked_fill(~mask[:, None, None, :], -torch.inf)
        for layer in self.layers:
            x = layer(x, bias)
        return x if mask is None else x.masked_fill(~mask[..., None], 0)

    def alibi(self, length: int) -> Tensor:
        """-slope * |i - j|, (1, h, length, length): part of one tensor that is kept, and made anew when it is too short."""
        like = self.words.weight
        kept = self._bias
        if kept is None or kept.shape[-1] < length or kept.dtype != like.dtype or kept.device != like.device:
            size = max(self.config.alibi_starting_size, -(-length // 64) * 64)  # rows of fused kernels begin at multiples of 16 bytes
            place = torch.arange(size, device=like.device)
            slope = torch.tensor(slopes(self.config.num_attention_heads), dtype=torch.float64, device=like.device)
            kept = self._bias = (-slope[:, None, None] * (place - place[:, None]).abs())[None].to(like.dtype)
        return kept[..., :length, :length]


_NAMES = {
    "words": "embeddings.word_embeddings",
    "types": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
    "layers": "encoder.layer",
    "qkv": "attention.self.Wqkv",
    "out": "attention.output.dense",
    "norm_attention": "attention.output.LayerNorm",
    "gated": "mlp.gated_layers",
    "down": "mlp.wo",
    "norm_mlp": "mlp.layernorm",
}


def published(name: str) -> str:
    """The published name of one of the network's parameters."""
    return "bert." + ".".join(_NAMES.get(part, part) for part in name.split("."))


def network(config: Config, state: dict[str, Tensor], path: Path) -> Network:
    """The network with the weights of a published state dict, every one of them and nothing else.

    Raises EmbedderError that lists the keys that are missing, unknown or of another shape; `path` is where they are from.
    """
    with torch.device("meta"):  # no numbers are made that a gap in the file could leave standing
        net = Network(config)
    expected = {published(name): (name, tuple(p.shape)) for name, p in net.named_parameters()}
    faults = [f"missing: {key}" for key in expected if key not in state]
    faults += [f"unknown: {key}" for key in state if key not in expected and not key.startswith(_HEAD)]
    for key, (_, shape) in expected.items():
        if key in state and tuple(state[key].shape) != shape:
            faults.append(f"of shape {list(state[key].shape)}, not {list(shape)}: {key}")
        elif key in state and not state[key].is_floating_point():
            faults.append(f"of {dtype_name(state[key].dtype)}: {key}")
    if faults:
        listed = "\n    ".join(faults[:_LISTED] + ([f"and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else []))
        raise EmbedderError(
            f"{path}: not the weights that config.json describes; keys are\n    {listed}",
            f"DNABERT-2's own are those of {REPOSITORY} at {REVISION}.",
        )
    net.load_state_dict({name: state[key] for key, (name, _) in expected.items()}, strict=True, assign=True)
    return net.eval().requires_grad_(False)


@contextmanager
def _without_panic(source: str) -> Iterator[None]:
    """What the library panics over, a tokenizer whose parts contradict each other, becomes an EmbedderError. Its exception is none of Exception, and has no name to import."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise EmbedderError(f"{source}: not a tokenizer: {error}", f"It is tokenizer.json of {REPOSITORY}.") from error


class BpeTokenizer:
    """DNABERT-2's byte pairs, CLS and SEP around them. Pickled, it is its own JSON.

    Raises EmbedderError where the JSON is not this tokenizer, whose tokens spell the sequence without a gap.
    """

    def __init__(self, text: str, source: str) -> None:
        self._text, self._source = text, source
        special = [self._tokenizer.token_to_id(token) for token in ("[UNK]", "[CLS]", "[SEP]", "[PAD]")]
        with _without_panic(source):
            sound = special == [UNK, CLS, SEP, PAD] and self._tokenizer.encode("A").tokens == ["[CLS]", "A", "[SEP]"]
        if not sound:
            raise EmbedderError(f"{source}: not the tokenizer of DNABERT-2", f"It is tokenizer.json of {REPOSITORY}.")

    @property
    def size(self) -> int:
        """How many tokens it knows."""
        return int(self._tokenizer.get_vocab_size())

    def tokenize(self, sequences: Sequence[str]) -> list[Tokens]:
        """Ids, CLS and SEP included, and characters of each sequence; lower-case bases are read as upper-case ones."""
        with _without_panic(self._source):
            encoded = self._tokenizer.encode_batch_fast([s.upper() for s in sequences])
        return [self._tokens(np.array(e.ids, np.int32), len(s)) for e, s in zip(encoded, sequences, strict=True)]

    def _tokens(self, ids: np.ndarray, length: int) -> Tokens:
        ends = np.cumsum(self._lengths[ids], dtype=np.int32)
        if ends[-1] != length:
            raise EmbedderError(
                f"{self._source}: tokens of {ends[-1]} characters for a sequence of {length}", "Sequences hold letters only."
            )
        return Tokens(ids, np.stack((ends - self._lengths[ids], ends), axis=1))

    @cached_property
    def _tokenizer(self) -> Any:
        try:
            return tokenizers.Tokenizer.from_str(self._text)
        except Exception as error:  # the only kind the library raises
            raise EmbedderError(f"{self._source}: not a tokenizer: {error}", f"It is tokenizer.json of {REPOSITORY}.") from error

    @cached_property
    def _lengths(self) -> np.ndarray:
        """Characters that each token stands for: its own letters; an unknown one is one letter, and other special ones are none."""
        lengths = np.zeros(self.size, np.int32)
        for token, place in self._tokenizer.get_vocab().items():
            lengths[place] = 0 if token.startswith("[") else len(token)
        lengths[UNK] = 1
        return lengths

    def __getstate__(self) -> dict[str, str]:
        return {"_text": self._text, "_source": self._source}


class Dnabert2:
    """A loaded DNABERT-2: a model as the rest of the embedder knows them."""

    id = ID
    alphabet: Literal["DNA", "PROTEIN", "TEXT"] = "DNA"
    max_tokens: int | None = None  # ALiBi has no end

    def __init__(self, network: Network, tokenizer: BpeTokenizer, revision: str, weights_sha256: str) -> None:
        self.network, self.tokenizer = network, tokenizer
        self.revision, self.weights_sha256 = revision, weights_sha256
        self.dimension = network.config.hidden_size
        self.device, self.dtype = network.words.weight.device, network.words.weight.dtype

    @torch.inference_mode()
    def hidden(self, ids: np.ndarray, mask: np.ndarray | None = None) -> Tensor:
        """Hidden states (n, t, dimension) of ids (n, t), any integers; `mask` (n, t), bool, is False at padding."""
        tokens = put(ids.astype(np.int64, copy=False), self.device)
        return self.network(tokens, None if mask is None else put(mask, self.device))


def load(source: str | None = None, *, revision: str | None = None, device: str = "auto", dtype: str | None = None) -> Dnabert2:
    """DNABERT-2 from a folder, a repository of the hub, or (None) the published one at its pinned revision.

    Raises EmbedderError where files are missing, damaged, or not DNABERT-2's: nothing is ever filled up with random numbers.
    """
    place = choose(device)
    number = dtype_of(dtype, place)
    pinned = source is None and revision is None
    folder, found = locate(source or REPOSITORY, REVISION if pinned else revision, FILES, _NEEDED)
    config = Config.read(folder / "config.json")
    # Beside the published file a cache may hold a converted one, whose checksum nobody knows.
    files = [folder / FILES[-1]] if pinned and (folder / FILES[-1]).is_file() else weight_files(folder)
    if len(files) > 1:
        raise EmbedderError(f"{folder}: weights in {len(files)} files", "DNABERT-2 is published in one, pytorch_model.bin.")
    checksum = sha256(files)
    if pinned and checksum != SHA256:
        raise EmbedderError(
            f"{files[0]}: its SHA-256 is {checksum}, that of the published model is {SHA256}",
            "It is damaged: delete it, and fetch it again.",
        )
    try:
        tokenizer = BpeTokenizer((folder / "tokenizer.json").read_text(), str(folder / "tokenizer.json"))
    except (OSError, ValueError) as error:
        raise EmbedderError(f"{folder / 'tokenizer.json'}: cannot be read: {error}", f"The folder should hold {_NEEDED}.") from error
    if tokenizer.size != config.vocab_size:
        raise EmbedderError(
            f"{folder}: a tokenizer of {tokenizer.size} tokens and a model of {config.vocab_size}", "Both files are of one model."
        )
    net = network(config, read(files[0]), files[0]).to(place, number)
    return Dnabert2(net, tokenizer, REVISION if checksum == SHA256 and found == LOCAL else found, checksum)
