"""Tiny text encoders with random weights, as transformers saves them, and the mean of their states by transformers alone."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import ByteLevelBPETokenizer, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizerFast,
)

WORDS = ["missense", "variant", "in", "the", "gene", "impact", "protein", "coding", "change", "transcript", "exon", "intron", "of", "and"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHARACTERS = string.ascii_letters + string.digits + string.punctuation
PIECES = [*SPECIAL, *WORDS, *CHARACTERS, *(f"##{each}" for each in CHARACTERS)]

SENTENCES = [
    "Missense variant in the gene SIRPA, moderate impact. Protein change p.Gly44Asp. Coding change c.131A>G.",
    "Intergenic variant, modifier impact.",
    "Stop gained in the gene PDYN, high impact. Protein change p.Arg200Ter. Protein coding transcript, exon 4 of 4. Coding change c.598C>T.",
]


def wordpiece(lowercase: bool) -> PreTrainedTokenizerFast:
    """A tokenizer as BERT has it, of single characters and a few words."""
    made = Tokenizer(WordPiece({piece: n for n, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **named)


SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "initializer_range": 0.3,
}


def bert(folder: Path, *, lowercase: bool = True, positions: int = 512, seed: int = 1) -> Path:
    """A tiny BERT with its head, and its tokenizer."""
    torch.manual_seed(seed)
    BertForMaskedLM(BertConfig(vocab_size=len(PIECES), max_position_embeddings=positions, pad_token_id=0, **SIZES)).save_pretrained(folder)
    wordpiece(lowercase).save_pretrained(folder)
    return folder


def distilbert(folder: Path) -> Path:
    config = DistilBertConfig(vocab_size=len(PIECES), dim=32, n_layers=2, n_heads=4, hidden_dim=48, pad_token_id=0, initializer_range=0.3)
    DistilBertForMaskedLM(config).save_pretrained(folder)
    wordpiece(True).save_pretrained(folder)
    return folder


def electra(kind: Callable[[ElectraConfig], Any]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        kind(ElectraConfig(vocab_size=len(PIECES), embedding_size=16, pad_token_id=0, **SIZES)).save_pretrained(folder)
        wordpiece(True).save_pretrained(folder)
        return folder

    return make


def roberta(folder: Path) -> Path:
    """Byte pairs, where a blank belongs to the word behind it, and positions are counted from the padding's id on."""
    made = ByteLevelBPETokenizer()
    made.train_from_iterator(SENTENCES, vocab_size=300, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False)
    folder.mkdir()
    made.save_model(str(folder))
    RobertaTokenizerFast(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt")).save_pretrained(folder)
    config = RobertaConfig(vocab_size=300, max_position_embeddings=130, pad_token_id=1, bos_token_id=0, eos_token_id=2, **SIZES)
    RobertaForMaskedLM(config).save_pretrained(folder)
    return folder


def mean(folder: Path, sentence: str, longest: int | None = None) -> np.ndarray:
    """The mean of a text's hidden states, special tokens left out, by transformers alone, in float32 and one text at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(sentence, add_special_tokens=False, verbose=False)["input_ids"]
    first, *_, last = tokenizer("x")["input_ids"]
    if longest is not None:
        ids = ids[: longest - 2]
    with torch.inference_mode():
        given = torch.tensor([[first, *ids, last]])
        states = AutoModel.from_pretrained(folder).eval()(input_ids=given, attention_mask=torch.ones_like(given)).last_hidden_state
    return states[0, 1:-1].mean(0).numpy()
