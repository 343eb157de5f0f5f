"""Encoders that transformers loads natively: tiny ones with random weights, saved and loaded again, and what must not load."""

from __future__ import annotations

import itertools
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    EsmConfig,
    EsmForMaskedLM,
    EsmTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5Model,
)

from embedder import models
from embedder.batches import embed, pairs
from embedder.errors import EmbedderError
from embedder.models import weights
from embedder.models.huggingface import HubTokenizer
from embedder.pooling import Pooling
from embedder.windows import Window
from tests.embedder.checkpoints import PUBLISHED, SMALL, random_state, small_tokenizer, write

SPECIAL = ["<unk>", "<pad>", "<mask>", "<cls>", "<eos>"]
SIX_MERS = [*SPECIAL, *map("".join, itertools.product("ATCG", repeat=6)), *"ATCGN"]
AMINO_ACIDS = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]


def esm_tokenizer(folder: Path, vocabulary: list[str]) -> EsmTokenizer:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    return EsmTokenizer(str(folder / "vocab.txt"))


def esm(folder: Path, vocabulary: list[str], positions: str, **more: Any) -> Path:
    """A tiny EsmForMaskedLM in a folder, with its tokenizer: a Nucleotide Transformer v1 or an ESM-2."""
    torch.manual_seed(1)
    config = EsmConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=202,
        pad_token_id=vocabulary.index("<pad>"),
        mask_token_id=vocabulary.index("<mask>"),
        position_embedding_type=positions,
        initializer_range=0.3,
        **more,
    )
    esm_tokenizer(folder, vocabulary).save_pretrained(folder)
    EsmForMaskedLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def nucleotide_transformer(tmp_path: Path) -> Path:
    return esm(tmp_path / "nt", SIX_MERS, "absolute", token_dropout=False)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    folder = tmp_path / "bert"
    config = BertConfig(vocab_size=25, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, pad_token_id=3)
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=small_tokenizer(), unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]"
    )
    tokenizer.save_pretrained(folder)
    return folder


def edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Changes the weights of a folder."""
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def configure(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def dna(n: int) -> str:
    return "".join(random.Random(n).choices("ACGT", k=n))


def test_a_nucleotide_transformer_gives_the_states_of_its_own_forward(nucleotide_transformer: Path) -> None:
    model = models.load(f"hf:{nucleotide_transformer}", device="cpu")
    (tokens,) = model.tokenizer.tokenize([dna(301)])
    assert len(tokens.ids) == 1 + 301 // 6 + 1 + 1
    own = EsmForMaskedLM.from_pretrained(nucleotide_transformer).eval()
    with torch.inference_mode():
        expected = own.esm(torch.from_numpy(tokens.ids[None]).long()).last_hidden_state
    assert (model.hidden(tokens.ids[None]) - expected).abs().max() < 1e-5
    assert (model.id, model.revision, model.alphabet) == ("hf:nt", "local", "DNA")
    assert (model.dimension, model.max_tokens, model.dtype) == (32, 200, torch.float32)
    assert model.weights_sha256 == weights.sha256([nucleotide_transformer / "model.safetensors"])


def test_a_bert_gives_the_states_of_its_own_forward(bert: Path) -> None:
    model = models.load(f"hf:{bert}", device="cpu")
    (tokens,) = model.tokenizer.tokenize([dna(101)])
    with torch.inference_mode():
        expected = BertModel.from_pretrained(bert).eval()(torch.from_numpy(tokens.ids[None]).long()).last_hidden_state
    assert (model.hidden(tokens.ids[None]) - expected).abs().max() < 1e-5
    assert (model.dimension, model.max_tokens, model.alphabet) == (32, 512, "DNA")


@pytest.mark.parametrize("positions", ["absolute", "rotary"])
def test_padding_changes_nothing(tmp_path: Path, positions: str) -> None:
    model = models.load(f"hf:{esm(tmp_path / 'm', SIX_MERS, positions)}", device="cpu")
    short, long = model.tokenizer.tokenize([dna(30), dna(300)])
    ids = np.full((2, len(long.ids)), SIX_MERS.index("<pad>"), np.int32)
    mask = np.zeros(ids.shape, bool)
    for i, tokens in enumerate((short, long)):
        ids[i, : len(tokens.ids)], mask[i, : len(tokens.ids)] = tokens.ids, True
    found = model.hidden(ids, mask)
    assert (found[0][mask[0]] - model.hidden(short.ids[None])[0]).abs().max() < 1e-5
    assert (found[1] - model.hidden(long.ids[None])[0]).abs().max() < 1e-5
    assert not found[0][~mask[0]].any()


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_rotary_positions_keep_their_digits_in_half_precision(tmp_path: Path, name: str) -> None:
    folder = esm(tmp_path / "m", AMINO_ACIDS, "rotary")
    whole, half = (models.load(f"hf:{folder}", device="cpu", dtype=d) for d in ("fp32", name))
    assert half.dtype is half.hidden(np.array([[0, 5, 2]])).dtype is {"fp16": torch.float16, "bf16": torch.bfloat16}[name]
    for model in (whole, half):
        assert torch.equal(model.network.rotary_embeddings.inv_freq, whole.network.rotary_embeddings.inv_freq)  # type: ignore[attr-defined]


def test_a_protein_model_says_so_and_reads_any_length(tmp_path: Path) -> None:
    model = models.load(f"hf:{esm(tmp_path / 'esm2', AMINO_ACIDS, 'rotary', token_dropout=True)}", device="cpu")
    (tokens,) = model.tokenizer.tokenize(["MKTAYIAKQR" * 30])
    assert (model.alphabet, model.max_tokens) == ("PROTEIN", None)
    assert tokens.spans[1:-1].tolist() == [[i, i + 1] for i in range(300)]
    assert torch.isfinite(model.hidden(tokens.ids[None])).all()


def test_sequences_beyond_the_models_positions_are_refused(nucleotide_transformer: Path) -> None:
    model = models.load(f"hf:{nucleotide_transformer}", device="cpu")
    assert model.hidden(np.full((1, 200), 7)).shape == (1, 200, 32)
    with pytest.raises(EmbedderError, match="hf:nt reads at most 200 tokens, and a sequence has 201"):
        model.hidden(np.full((1, 201), 7))


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("ACGTACGTACGTAC", [(0, 6), (6, 12), (12, 13), (13, 14)]),
        ("acgtacNGTACGTA", [(0, 6), (6, 7), (7, 13), (13, 14)]),
        ("ACGNACGTAC", [(0, 1), (1, 2), (2, 3), (3, 4), (4, 10)]),
        ("ACGTACRRGTACGT", [(0, 6), (6, 8), (8, 14)]),  # unknown to the vocabulary
        ("RACGTAC", [(0, 1), (1, 7)]),
        ("ACGTACR", [(0, 6), (6, 7)]),
    ],
)
def test_tokens_of_six_bases_tell_their_characters(tmp_path: Path, text: str, spans: list[tuple[int, int]]) -> None:
    tokenizer = pickle.loads(pickle.dumps(HubTokenizer(esm_tokenizer(tmp_path, SIX_MERS), "nt")))
    (tokens,) = tokenizer.tokenize([text])
    assert [tuple(span) for span in tokens.spans.tolist()] == [(0, 0), *spans, (0, 0)]
    assert (tokens.ids[0], tokens.ids[-1]) == (3, 4)


def test_tokenizers_of_the_library_give_their_own_characters(bert: Path) -> None:
    tokenizer = pickle.loads(pickle.dumps(models.load(f"hf:{bert}", device="cpu").tokenizer))
    (tokens,) = tokenizer.tokenize(["acgtnACG"])
    # The first pair that is in the vocabulary, from the left.
    assert tokens.spans.tolist() == [[0, 0], [0, 2], [2, 4], [4, 5], [5, 7], [7, 8], [0, 0]]


def test_a_tokenizer_of_other_text_is_refused(tmp_path: Path) -> None:
    tokenizer = HubTokenizer(esm_tokenizer(tmp_path, AMINO_ACIDS), "esm2")
    with pytest.raises(EmbedderError, match="esm2: its tokenizer does not know most of 'JJJJJJ'"):
        tokenizer.tokenize(["JJJJJJ"])


def test_a_model_embeds_variants(nucleotide_transformer: Path) -> None:
    model = models.load(f"hf:{nucleotide_transformer}", device="cpu")
    ref = dna(101)
    alt = ref[:50] + ("A" if ref[50] != "A" else "C") + ref[51:]
    stream = pairs(model.tokenizer, [Window(1, ref, alt, (50, 51), (50, 51)), Window(1, ref, ref, (0, 1), (0, 1))], Pooling.VARIANT)
    (batch,) = embed(model, enumerate(stream), Pooling.VARIANT)
    assert dict(zip(batch.keys, batch.embedded.norm > 0, strict=True)) == {0: True, 1: False}


def test_a_folder_of_dnabert2_is_refused_with_the_name_to_use(tmp_path: Path) -> None:
    folder = write(tmp_path / "DNABERT-2-117M", SMALL, random_state(SMALL), small_tokenizer().to_str())
    with pytest.raises(EmbedderError, match=rf"random weights\n.*Say dnabert2:{folder}"):
        models.load(f"hf:{folder}", device="cpu")


def test_weights_of_dnabert2_under_a_stock_config_would_be_random_and_are_refused(bert: Path) -> None:
    state = random_state({**PUBLISHED, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 25})
    save_file(state, bert / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EmbedderError, match="its weights are not those of the architecture") as caught:
        models.load(f"hf:{bert}", device="cpu")
    assert "missing, so random: embeddings.position_embeddings.weight" in caught.value.what
    assert "more" in caught.value.what


QUERY = "bert.encoder.layer.1.attention.self.query.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop(QUERY), "missing, so random: encoder.layer.1.attention.self.query.weight"),
        (lambda s: s.update({"bert.encoder.layer.2.own.weight": torch.zeros(2)}), "unknown: bert.encoder.layer.2.own.weight"),
        (
            lambda s: s.update({QUERY: torch.zeros(32, 31)}),
            r"of shape \[32, 31\], not \[32, 32\]: encoder.layer.1.attention.self.query.weight",
        ),
    ],
)
def test_weights_must_be_all_there_and_nothing_else(bert: Path, change: Callable[[dict[str, torch.Tensor]], Any], said: str) -> None:
    edit(bert, change)
    with pytest.raises(EmbedderError, match=said):
        models.load(f"hf:{bert}", device="cpu")


def test_more_layers_in_the_config_than_in_the_file_would_be_random_and_are_refused(nucleotide_transformer: Path) -> None:
    configure(nucleotide_transformer, num_hidden_layers=3)
    with pytest.raises(EmbedderError, match=r"missing, so random: encoder\.layer\.2\."):
        models.load(f"hf:{nucleotide_transformer}", device="cpu")


def test_heads_and_poolers_are_not_needed(nucleotide_transformer: Path) -> None:
    before = models.load(f"hf:{nucleotide_transformer}", device="cpu").hidden(np.arange(5, 25)[None])
    edit(nucleotide_transformer, lambda s: [s.pop(key) for key in list(s) if "lm_head" in key or "contact_head" in key])
    assert torch.equal(models.load(f"hf:{nucleotide_transformer}", device="cpu").hidden(np.arange(5, 25)[None]), before)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "caduceus", "auto_map": {"AutoModel": "modeling.Caduceus"}}, "cannot load it without code of its own"),
        ({"hidden_size": 64}, r"of shape \[32\], not \[64\]: .*\n[^$]*and \d+ more"),
    ],
)
def test_other_architectures_are_refused(nucleotide_transformer: Path, changes: dict[str, Any], said: str) -> None:
    configure(nucleotide_transformer, **changes)
    (nucleotide_transformer / "modeling.py").write_text("raise SystemExit('code of the repository ran')")
    with pytest.raises(EmbedderError, match=said):
        models.load(f"hf:{nucleotide_transformer}", device="cpu")


def test_encoders_with_a_decoder_are_refused(tmp_path: Path) -> None:
    T5Model(T5Config(vocab_size=10, d_model=8, d_ff=8, num_layers=1, num_heads=1, d_kv=8)).save_pretrained(tmp_path)
    with pytest.raises(EmbedderError, match=r"an encoder with a decoder \(t5\)"):
        models.load(f"hf:{tmp_path}", device="cpu")


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "vocab.txt", "no config", "no weights"])
def test_folders_that_are_damaged_say_so(nucleotide_transformer: Path, damage: str) -> None:
    if damage.startswith("no "):
        (nucleotide_transformer / {"no config": "config.json", "no weights": "model.safetensors"}[damage]).unlink()
    elif damage == "vocab.txt":
        (nucleotide_transformer / damage).unlink()
    else:
        (nucleotide_transformer / damage).write_bytes(b"{")
    with pytest.raises(EmbedderError):
        models.load(f"hf:{nucleotide_transformer}", device="cpu")


def test_a_repository_that_cannot_be_fetched_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        EmbedderError, match=r"facebook/esm2_t6_8M_UR50D is not a folder here.*\n.*huggingface.co/facebook/esm2_t6_8M_UR50D/tree/main"
    ):
        models.load("hf:facebook/esm2_t6_8M_UR50D", device="cpu")


def test_loading_is_silent_and_leaves_the_librarys_settings(bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    models.load(f"hf:{bert}", device="cpu")
    assert (transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")
