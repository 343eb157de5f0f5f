"""Loading DNABERT-2: from folders in the published layout, strictly; and from the hub, pinned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embedder import models
from embedder.errors import EmbedderError
from embedder.models import dnabert2, weights
from tests.embedder.checkpoints import PUBLISHED, SMALL, random_state, reference, small_tokenizer, write

QKV = "bert.encoder.layer.1.attention.self.Wqkv.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "model", SMALL, random_state(SMALL), small_tokenizer().to_str())


def replace(folder: Path, **changes: Any) -> None:
    (folder / "config.json").write_text(json.dumps({k: v for k, v in {**SMALL, **changes}.items() if v != "gone"}))


@pytest.mark.parametrize("form", ["bin", "safetensors"])
def test_a_folder_loads_end_to_end(tmp_path: Path, real_tokenizer: Path, form: str) -> None:
    config = {**PUBLISHED, "num_hidden_layers": 2}
    state = random_state(config)
    folder = write(tmp_path / "DNABERT-2-117M", config, state, real_tokenizer.read_text(), form)
    model = models.load(f"dnabert2:{folder}", device="cpu")
    (tokens,) = model.tokenizer.tokenize(["ACGTTGCATTTTGCA" * 20])
    with torch.inference_mode():
        expected = reference(state, config, tokens.ids.tolist())
    assert (model.hidden(tokens.ids[None])[0] - expected).abs().max() < 1e-4
    file = folder / ("pytorch_model.bin" if form == "bin" else "model.safetensors")
    assert (model.id, model.revision, model.weights_sha256) == ("dnabert2", "local", weights.sha256([file]))
    assert (model.dimension, model.alphabet, model.dtype) == (768, "DNA", torch.float32)


@pytest.mark.parametrize("form", ["bin", "safetensors"])
def test_the_head_may_be_there_or_not_and_changes_nothing(tmp_path: Path, form: str) -> None:
    ids = np.array([[1, 7, 8, 20, 2]])
    found = []
    for head in (True, False):
        state = {k: v for k, v in random_state(SMALL).items() if head or not k.startswith("cls.")}
        folder = write(tmp_path / str(head), SMALL, state, small_tokenizer().to_str(), form)
        found.append(dnabert2.load(str(folder), device="cpu").hidden(ids))
    assert torch.equal(*found)


def test_weights_in_half_precision_load_in_any(tmp_path: Path) -> None:
    state = {k: v.half() for k, v in random_state(SMALL).items()}
    folder = write(tmp_path / "half", SMALL, state, small_tokenizer().to_str())
    for name, dtype in (("fp32", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)):
        assert dnabert2.load(str(folder), device="cpu", dtype=name).hidden(np.array([[1, 9, 2]])).dtype is dtype


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop(QKV), [f"missing: {QKV}"]),
        (lambda s: s.update({"bert.pooler.dense.weight": torch.zeros(24, 24)}), ["unknown: bert.pooler.dense.weight"]),
        (lambda s: s.update({QKV: torch.zeros(72, 23)}), [f"of shape [72, 23], not [72, 24]: {QKV}"]),
        (lambda s: s.update({QKV: torch.zeros(72, 24, dtype=torch.int8)}), [f"of int8: {QKV}"]),
        (
            lambda s: s.update({"bert.encoder.layer.0.attention.self.query.weight": s.pop(QKV)}),
            [f"missing: {QKV}", "unknown: bert.encoder.layer.0.attention.self.query.weight"],
        ),
        (lambda s: s.clear(), ["missing: bert.embeddings.word_embeddings.weight", "and 18 more"]),
    ],
)
def test_weights_must_be_all_there_and_nothing_else(folder: Path, change: Any, said: list[str]) -> None:
    state = random_state(SMALL)
    change(state)
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(EmbedderError) as caught:
        dnabert2.load(str(folder), device="cpu")
    assert "pytorch_model.bin: not the weights that config.json describes" in caught.value.what
    assert [line for line in said if line not in caught.value.what] == []


def test_fewer_layers_than_the_file_has_are_an_error(folder: Path) -> None:
    replace(folder, num_hidden_layers=1)
    with pytest.raises(EmbedderError, match=r"unknown: bert\.encoder\.layer\.1\."):
        dnabert2.load(str(folder), device="cpu")


@pytest.mark.parametrize("form", ["bin", "safetensors"])
@pytest.mark.parametrize("kept", [0, 10, 3000, -1])
def test_a_file_that_was_cut_off_says_so(tmp_path: Path, form: str, kept: int) -> None:
    folder = write(tmp_path / "model", SMALL, random_state(SMALL), small_tokenizer().to_str(), form)
    file = next(f for f in folder.iterdir() if f.suffix != ".json")
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(EmbedderError, match=rf"{file.name}: cannot be read as weights: .*\n.*damaged or cut off"):
        dnabert2.load(str(folder), device="cpu")


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("/tmp/this-must-not-be"),)


def test_a_pickle_runs_no_code(folder: Path) -> None:
    torch.save({QKV: Malicious()}, folder / "pytorch_model.bin")
    with pytest.raises(EmbedderError, match="cannot be read as weights"):
        dnabert2.load(str(folder), device="cpu")
    assert not Path("/tmp/this-must-not-be").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "esm"}, "model_type is 'esm'; DNABERT-2 has 'bert'"),
        ({"model_type": "gone"}, "model_type is None"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"alibi_starting_size": "gone"}, "a BERT without ALiBi"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0, not a number above 0"),
        ({"hidden_size": "many"}, "hidden_size is 'many', not a number"),
        ({"num_attention_heads": 7}, "24 numbers cannot be shared by 7 heads"),
        ({"vocab_size": 26}, "a tokenizer of 25 tokens and a model of 26"),
    ],
)
def test_another_config_is_refused(folder: Path, changes: dict[str, Any], said: str) -> None:
    replace(folder, **changes)
    with pytest.raises(EmbedderError, match=said):
        dnabert2.load(str(folder), device="cpu")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "pytorch_model.bin"])
def test_a_file_that_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(EmbedderError, match="no weights.*\n.*pytorch_model.bin" if name.endswith("bin") else name):
        dnabert2.load(str(folder), device="cpu")


@pytest.mark.parametrize("text", ["{", "[]", '"text"'])
def test_a_config_that_is_damaged_says_so(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(EmbedderError, match=r"config\.json: (not JSON|model_type is None)"):
        dnabert2.load(str(folder), device="cpu")


def test_without_a_network_the_error_says_what_to_fetch_and_from_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EmbedderError) as caught:
        models.load("dnabert2", device="cpu")
    for said in (dnabert2.REPOSITORY, dnabert2.REVISION, *dnabert2.FILES, dnabert2.SHA256, "by hand"):
        assert said in str(caught.value)


def test_no_such_folder_is_not_looked_up_on_the_hub(tmp_path: Path) -> None:
    for name in (str(tmp_path / "absent"), "./absent", "a/b/c"):
        with pytest.raises(EmbedderError, match="no such folder"):
            models.load(f"dnabert2:{name}", device="cpu")


def test_the_pinned_model_must_have_the_published_checksum(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetched(repository: str, revision: str, allow_patterns: list[str]) -> str:
        asked.append((repository, revision, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    with pytest.raises(EmbedderError, match=rf"its SHA-256 is [0-9a-f]{{64}}, that of the published model is {dnabert2.SHA256}"):
        models.load("dnabert2", device="cpu")
    assert asked == [(dnabert2.REPOSITORY, dnabert2.REVISION, list(dnabert2.FILES))]
    monkeypatch.setattr(dnabert2, "SHA256", weights.sha256([folder / "pytorch_model.bin"]))
    assert models.load("dnabert2", device="cpu").revision == dnabert2.REVISION


def test_a_folder_of_the_hubs_cache_knows_its_revision(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = write(tmp_path / "snapshots" / commit, SMALL, random_state(SMALL), small_tokenizer().to_str())
    assert dnabert2.load(str(folder), device="cpu").revision == commit


@pytest.mark.parametrize("name", ["dnabert3", "hf:", "hf", "annotation", ""])
def test_another_name_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(
        EmbedderError, match=r"no sequence model.*\n.*dnabert2, dnabert2:FOLDER, hf:REPOSITORY, hf:FOLDER, hgvs:REPOSITORY and hgvs:FOLDER"
    ):
        models.load(name)


def test_without_torch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_spec", lambda name: None if name == "torch" else True)
    with pytest.raises(EmbedderError, match=r"dnabert2 needs torch\n.*pip install 'variant-knowledge-graph\[embed\]'"):
        models.load("dnabert2")


def test_a_tokenizer_whose_parts_contradict_each_other(tmp_path: Path) -> None:
    """The library panics over it."""
    text = small_tokenizer().to_str().replace('{"id":"[SEP]"', '{"id":"[SEP"')
    folder = write(tmp_path / "model", SMALL, random_state(SMALL), text)
    with pytest.raises(EmbedderError, match=r"tokenizer[.]json: not a tokenizer: no entry found for key"):
        dnabert2.load(str(folder), device="cpu")
