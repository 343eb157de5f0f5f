"""DNABERT-2 for tests: folders in the published layout with random weights, and its forward pass written once more, from the
formulas of the papers, in float64 and one sequence at a time, with none of the project's code."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from torch import Tensor

PUBLISHED: dict[str, Any] = {
    "_name_or_path": "zhihan1996/DNABERT-2-117M",
    "alibi_starting_size": 512,
    "architectures": ["BertForMaskedLM"],
    "auto_map": {"AutoModel": "bert_layers.BertModel"},
    "hidden_act": "gelu",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 4096,
}
SMALL = {**PUBLISHED, "hidden_size": 24, "intermediate_size": 36, "num_hidden_layers": 2, "vocab_size": 25}
"""Two layers of 12 heads, for the tokenizer below."""


def shapes(config: dict[str, Any], head: bool = True) -> dict[str, tuple[int, ...]]:
    """The published state dict: names and shapes."""
    d, m, v = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    found: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (v, d),
        "bert.embeddings.token_type_embeddings.weight": (2, d),
        "bert.embeddings.LayerNorm.weight": (d,),
        "bert.embeddings.LayerNorm.bias": (d,),
    }
    for i in range(config["num_hidden_layers"]):
        layer = {
            "attention.self.Wqkv.weight": (3 * d, d),
            "attention.self.Wqkv.bias": (3 * d,),
            "attention.output.dense.weight": (d, d),
            "attention.output.dense.bias": (d,),
            "attention.output.LayerNorm.weight": (d,),
            "attention.output.LayerNorm.bias": (d,),
            "mlp.gated_layers.weight": (2 * m, d),
            "mlp.wo.weight": (d, m),
            "mlp.wo.bias": (d,),
            "mlp.layernorm.weight": (d,),
            "mlp.layernorm.bias": (d,),
        }
        found |= {f"bert.encoder.layer.{i}.{name}": shape for name, shape in layer.items()}
    if head:
        found |= {
            "cls.predictions.transform.dense.weight": (d, d),
            "cls.predictions.transform.dense.bias": (d,),
            "cls.predictions.transform.LayerNorm.weight": (d,),
            "cls.predictions.transform.LayerNorm.bias": (d,),
            "cls.predictions.decoder.weight": (v, d),
            "cls.predictions.decoder.bias": (v,),
        }
    return found


def random_state(config: dict[str, Any], seed: int = 1, dtype: torch.dtype = torch.float32, head: bool = True) -> dict[str, Tensor]:
    """Random weights under the published names, of sizes at which attention and the MLP are far from linear."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes(config, head).items():
        values = torch.randn(shape, generator=generator, dtype=dtype)
        if len(shape) == 2:
            values *= 1.0 if "embeddings" in name else 1 / math.sqrt(shape[1])
        elif "orm.weight" in name:
            values = 1 + 0.2 * values
        else:
            values *= 0.2
        state[name] = values
    return state


def reference(state: dict[str, Tensor], config: dict[str, Any], ids: list[int]) -> Tensor:
    """Hidden states (t, d) of one sequence, in float64."""
    heads, layers = config["num_attention_heads"], config["num_hidden_layers"]
    w = {name: values.double() for name, values in state.items()}
    # ALiBi's slopes for 12 heads as published: a geometric series for 8, then every other one of that for 16.
    slope = torch.tensor([2.0**-k for k in range(1, 9)] + [2.0 ** -(k + 0.5) for k in range(4)], dtype=torch.float64)
    assert heads == len(slope)
    t = len(ids)
    distance = torch.tensor([[abs(i - j) for j in range(t)] for i in range(t)], dtype=torch.float64)

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.sum(1, keepdim=True) / x.shape[1]
        variance = (centred**2).sum(1, keepdim=True) / x.shape[1]
        return centred / (variance + config["layer_norm_eps"]) ** 0.5 * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["bert.embeddings.word_embeddings.weight"][ids] + w["bert.embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "bert.embeddings.LayerNorm")
    for i in range(layers):
        at = f"bert.encoder.layer.{i}."
        qkv = torch.einsum("ti,oi->to", x, w[at + "attention.self.Wqkv.weight"]) + w[at + "attention.self.Wqkv.bias"]
        q, k, v = (part.reshape(t, heads, -1) for part in (qkv[:, : qkv.shape[1] // 3], *qkv[:, qkv.shape[1] // 3 :].tensor_split(2, 1)))
        attended = []
        for h in range(heads):
            scores = torch.einsum("id,jd->ij", q[:, h], k[:, h]) / q.shape[2] ** 0.5 - slope[h] * distance
            weights = torch.exp(scores - scores.max(1, keepdim=True).values)
            attended.append(torch.einsum("ij,jd->id", weights / weights.sum(1, keepdim=True), v[:, h]))
        out = torch.einsum("ti,oi->to", torch.cat(attended, 1), w[at + "attention.output.dense.weight"])
        x = norm(x + out + w[at + "attention.output.dense.bias"], at + "attention.output.LayerNorm")
        both = torch.einsum("ti,oi->to", x, w[at + "mlp.gated_layers.weight"])
        gate, value = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
        gelu = gate * 0.5 * (1 + torch.erf(gate / 2**0.5))
        down = torch.einsum("ti,oi->to", gelu * value, w[at + "mlp.wo.weight"]) + w[at + "mlp.wo.bias"]
        x = norm(x + down, at + "mlp.layernorm")
    return x


def small_tokenizer() -> Tokenizer:
    """Byte pairs like the published ones, with 16 pairs of bases: 25 tokens."""
    bases = "ACGT"
    tokens = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", *bases, *(a + b for a in bases for b in bases)]
    merges = [(a, b) for a in bases for b in bases]
    tokenizer = Tokenizer(BPE({token: i for i, token in enumerate(tokens)}, merges, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return tokenizer


def write(folder: Path, config: dict[str, Any], state: dict[str, Tensor], tokenizer: str, form: str = "bin") -> Path:
    """A folder as the model is published: config.json, tokenizer.json, and pytorch_model.bin or model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(tokenizer)
    if form == "bin":
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(state, folder / "model.safetensors")
    return folder
