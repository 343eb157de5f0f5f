"""Any encoder that transformers loads natively, for sequences or for text: ESM-2, Nucleotide Transformer v1, BERT and their like.

In: a folder, or a repository of the hub. Out: a model (embedder/models/__init__.py). Code that a repository brings is never
run. transformers fills weights that it does not find with random numbers and says so in a log; here that is an error.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from embedder.device import choose, put
from embedder.device import dtype as dtype_of
from embedder.errors import EmbedderError
from embedder.models import Tokenizer, Tokens
from embedder.models.weights import locate, sha256, weight_files

FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "pytorch_model*.bin")
UNUSED = ("pooler.", "contact_head.", "rotary_embeddings.inv_freq")
"""Weights that a file may lack, by the beginning of their name: hidden states don't pass through the heads, and the frequencies of
rotary positions are computed from the config."""
HEADS = (
    "lm_head.", "cls.", "classifier.", "qa_outputs.", "mlm.", "embeddings.position_ids", "vocab_transform.", "vocab_layer_norm.",
    "vocab_projector.", "generator_predictions.", "generator_lm_head.", "discriminator_predictions.", *UNUSED,
)  # fmt: skip
"""Weights that a file may have too many, by the beginning of their name: heads of the task it was trained on, and counters."""

_NEEDED = "config.json, the tokenizer's files, and model.safetensors or pytorch_model.bin"
_AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
_MOST_UNKNOWN = 0.5
_LISTED = 8


class HubTokenizer:
    """A tokenizer of transformers. Where it does not say which characters a token stands for, the tokens' own letters do."""

    def __init__(self, tokenizer: Any, source: str) -> None:
        self._tokenizer, self._source = tokenizer, source

    def tokenize(self, sequences: Sequence[str]) -> list[Tokens]:
        """Ids, special tokens included, and characters of each sequence; letters are read as upper case.

        Raises EmbedderError where tokens do not spell the sequence, or most of it is unknown to the tokenizer.
        """
        texts = [s.upper() for s in sequences]
        fast = bool(self._tokenizer.is_fast)
        encoded = self._tokenizer(texts, return_special_tokens_mask=True, return_offsets_mapping=fast, truncation=False, verbose=False)
        found = []
        for i, text in enumerate(texts):
            ids = np.array(encoded["input_ids"][i], np.int32)
            special = np.array(encoded["special_tokens_mask"][i], bool) & (ids != self._unknown)
            spans = np.array(encoded["offset_mapping"][i], np.int32) if fast else self._spell(ids, special, text)
            spans[special] = 0
            self._check(ids, spans, text)
            found.append(Tokens(ids, spans))
        return found

    @property
    def _unknown(self) -> int:
        unknown = self._tokenizer.unk_token_id
        return -1 if unknown is None else int(unknown)

    def _spell(self, ids: np.ndarray, special: np.ndarray, text: str) -> np.ndarray:
        """The characters of each token, from their letters; an unknown one reaches to where the next known one can begin."""
        spans = np.zeros((len(ids), 2), np.int32)
        real = np.flatnonzero(~special)
        pieces = [None if ids[i] == self._unknown else p for i, p in zip(real, self._pieces(ids[real]), strict=True)]
        at = 0
        for i, (piece, following) in zip(real, pairwise([*pieces, ""]), strict=True):
            if piece is None:
                end = at + 1 if following is None else (text.find(following, at + 1) if following else len(text))
            else:
                end = at + len(piece) if text.startswith(piece, at) else -1
            if end < 0:
                break
            spans[i] = at, end
            at = end
        if at != len(text):
            raise EmbedderError(
                f"{self._source}: its tokens do not spell the sequence (from character {at + 1} on)", "Its tokenizer is for other text."
            )
        return spans

    def _pieces(self, ids: np.ndarray) -> list[str]:
        return [token.removeprefix("##") for token in self._tokenizer.convert_ids_to_tokens(ids.tolist())]

    def _check(self, ids: np.ndarray, spans: np.ndarray, text: str) -> None:
        unknown = spans[ids == self._unknown]
        if text and (unknown[:, 1] - unknown[:, 0]).sum() > _MOST_UNKNOWN * len(text):
            raise EmbedderError(
                f"{self._source}: its tokenizer does not know most of {text[:20]!r}...", "It is a model of other text than these sequences."
            )


class TextTokenizer:
    """A tokenizer of transformers for text: its own rules for upper and lower case, and nothing checked but that it knows the words.

    Which characters a token stands for is not asked: each stands for the whole text, special ones for none.
    """

    def __init__(self, tokenizer: Any, source: str, longest: int | None) -> None:
        tokenizer.truncation_side = "right"
        self._tokenizer, self._source, self._longest = tokenizer, source, longest

    def tokenize(self, sequences: Sequence[str]) -> list[Tokens]:
        """Ids of each text, special tokens included; what is longer than the model's positions is cut at its end.

        Raises EmbedderError where most tokens of a text are unknown.
        """
        cut = {} if self._longest is None else {"truncation": True, "max_length": self._longest}
        encoded = self._tokenizer(list(sequences), return_special_tokens_mask=True, verbose=False, **cut)
        unknown = self._tokenizer.unk_token_id
        found = []
        for text, given, mask in zip(sequences, encoded["input_ids"], encoded["special_tokens_mask"], strict=True):
            ids = np.array(given, np.int32)
            not_known = ids == (-1 if unknown is None else unknown)
            real = ~np.array(mask, bool) | not_known
            if not_known.sum() > _MOST_UNKNOWN * real.sum():
                raise EmbedderError(f"{self._source}: its tokenizer does not know most of {text[:40]!r}...", "It is not a model of text.")
            spans = np.zeros((len(ids), 2), np.int32)
            spans[real, 1] = len(text)
            found.append(Tokens(ids, spans))
        return found


class HubModel:
    """A loaded encoder: a model as the rest of the embedder knows them. `text` says that it reads text."""

    def __init__(self, network: Any, tokenizer: Any, source: str, id: str, revision: str, weights_sha256: str, text: bool = False) -> None:
        self.network = network
        self.id, self.revision, self.weights_sha256 = id, revision, weights_sha256
        config = network.config
        self.dimension = int(config.hidden_size)
        self.device: torch.device = network.device
        self.dtype: torch.dtype = network.dtype
        self.max_tokens = _max_tokens(network)
        self.alphabet: Literal["DNA", "PROTEIN", "TEXT"] = "TEXT" if text else _alphabet(config, tokenizer)
        self.tokenizer: Tokenizer = TextTokenizer(tokenizer, source, self.max_tokens) if text else HubTokenizer(tokenizer, source)

    @torch.inference_mode()
    def hidden(self, ids: np.ndarray, mask: np.ndarray | None = None) -> torch.Tensor:
        """Hidden states (n, t, dimension) of ids (n, t), any integers; `mask` (n, t), bool, is False at padding.

        Raises EmbedderError where sequences are longer than the model's positions.
        """
        if self.max_tokens is not None and ids.shape[1] > self.max_tokens:
            raise EmbedderError(
                f"{self.id} reads at most {self.max_tokens:,} tokens, and a sequence has {ids.shape[1]:,}", "Say a smaller --flank."
            )
        # Some models read a missing mask as one that hides every token whose id is their padding's; ours has none.
        seen = np.ones(ids.shape, np.int64) if mask is None else mask.astype(np.int64)
        output = self.network(input_ids=put(ids.astype(np.int64, copy=False), self.device), attention_mask=put(seen, self.device))
        states: torch.Tensor = output.last_hidden_state
        return states if mask is None else states.masked_fill(~put(mask, self.device).unsqueeze(-1), 0)


def load(source: str, *, revision: str | None = None, device: str = "auto", dtype: str | None = None, text: bool = False) -> HubModel:
    """An encoder from a folder or a repository of the hub, of sequences or of `text`.

    Raises EmbedderError where transformers does not have its architecture, or that is a decoder, or the file and the architecture do not
    have the same weights but for UNUSED and HEADS: what is missing would be random numbers.
    """
    place = choose(device)
    number = dtype_of(dtype, place)
    folder, found = locate(source, revision, FILES, _NEEDED)
    _refuse_dnabert2(folder)
    files = weight_files(folder)
    id = f"{'hgvs' if text else 'hf'}:{folder.name if Path(source).expanduser().is_dir() else source}"
    with _quiet():
        import transformers

        try:
            config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            _refuse_decoder(source, config)
            network, info = transformers.AutoModel.from_pretrained(
                folder,
                config=config,
                trust_remote_code=False,
                local_files_only=True,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                output_loading_info=True,
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        except EmbedderError:
            raise
        # transformers raises whatever its parts raise: of keys, shapes, files, pickles, unknown architectures.
        except Exception as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise EmbedderError(
                f"{source}: transformers {transformers.__version__} cannot load it without code of its own: {first}",
                "Models that transformers has itself load here (ESM-2, Nucleotide Transformer v1, BERT); it needs " + _NEEDED + ".",
            ) from error
    _refuse_random(source, info)
    network = network.eval().requires_grad_(False).to(place)
    for parameter in network.parameters():  # not the buffers: rotary frequencies rounded to fp16 turn distant positions by half a radian
        parameter.data = parameter.data.to(number)
    return HubModel(network, tokenizer, source, id, found, sha256(files), text)


def _refuse_dnabert2(folder: Path) -> None:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except OSError as error:
        raise EmbedderError(f"{folder}: no config.json", f"The folder should hold {_NEEDED}.") from error
    except ValueError as error:
        raise EmbedderError(f"{folder / 'config.json'}: not JSON: {error}", "It is damaged: fetch it again.") from error
    if isinstance(config, dict) and config.get("model_type") == "bert" and "alibi_starting_size" in config:
        raise EmbedderError(
            f"{folder}: DNABERT-2, which transformers would load as a stock BERT with random weights", f"Say dnabert2:{folder}"
        )


def _refuse_decoder(source: str, config: Any) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

    if config.is_encoder_decoder:
        raise EmbedderError(f"{source}: an encoder with a decoder ({config.model_type})", "Only encoders give one state for each token.")
    # What the library can train to go on with a text, and not to fill gaps in it, reads from left to right.
    causal = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if causal or getattr(config, "is_decoder", False):
        raise EmbedderError(
            f"{source}: a decoder ({config.model_type}): its first tokens know nothing of those that follow",
            "Choose an encoder, such as a BERT (text), an ESM-2 (proteins) or a Nucleotide Transformer (DNA).",
        )


def _refuse_random(source: str, info: dict[str, Any]) -> None:
    faults = [f"missing, so random: {key}" for key in sorted(info["missing_keys"]) if not _begins(key, UNUSED)]
    faults += [f"unknown: {key}" for key in sorted(info["unexpected_keys"]) if not _begins(key, HEADS)]
    faults += [f"of shape {list(its)}, not {list(ours)}: {key}" for key, its, ours in sorted(info["mismatched_keys"])]
    faults += [str(message) for message in info.get("error_msgs", ())]
    if faults:
        listed = "\n    ".join(faults[:_LISTED] + ([f"and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else []))
        raise EmbedderError(
            f"{source}: its weights are not those of the architecture its config names\n    {listed}",
            "transformers would go on with random numbers. If the model needs code of its own, it cannot be used here.",
        )


def _begins(key: str, names: tuple[str, ...]) -> bool:
    """Whether a key, or what follows the name of the encoder in it, begins with one of the names."""
    return key.startswith(names) or key.partition(".")[2].startswith(names)


def _max_tokens(network: Any) -> int | None:
    """Most tokens of a sequence, where positions are learned: RoBERTa and ESM count theirs from the padding's id on."""
    config = network.config
    if getattr(config, "position_embedding_type", "absolute") != "absolute" or not hasattr(config, "max_position_embeddings"):
        return None
    embeddings = getattr(network, "embeddings", None)
    padding = getattr(embeddings, "padding_idx", None)
    return int(config.max_position_embeddings) - (0 if padding is None else int(padding) + 1)


def _alphabet(config: Any, tokenizer: Any) -> Literal["DNA", "PROTEIN"]:
    vocabulary = tokenizer.get_vocab()
    return "PROTEIN" if config.model_type == "esm" and all(letter in vocabulary for letter in _AMINO_ACIDS) else "DNA"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own progress bars and report of keys: errors say here what matters."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
