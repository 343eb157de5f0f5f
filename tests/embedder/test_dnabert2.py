"""DNABERT-2's forward pass against the formulas written once more (checkpoints.py), and its tokenizer against the library's own offsets."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Library
from torch import Tensor

from embedder.errors import EmbedderError
from embedder.models.dnabert2 import BpeTokenizer, Config, Dnabert2, Network, network, slopes
from tests.embedder.checkpoints import PUBLISHED, SMALL, random_state, reference, small_tokenizer

FILE = Path("pytorch_model.bin")


def net(published: dict, dtype: torch.dtype = torch.float64) -> tuple[Network, dict[str, Tensor]]:
    state = random_state(published, dtype=dtype)
    config = Config(**{key: published[key] for key in vars(Config())})
    return network(config, state, FILE), state


def sequences(vocabulary: int, *lengths: int) -> list[list[int]]:
    rng = random.Random(3)
    return [[1, *(rng.randrange(5, vocabulary) for _ in range(n - 2)), 2] for n in lengths]


def padded(rows: list[list[int]], width: int, left: bool = False) -> tuple[Tensor, Tensor]:
    """ids and mask of sequences padded to one width."""
    ids = torch.full((len(rows), width), 3)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :] = torch.tensor(row) if left else ids[i, width - len(row) :]
        if not left:
            ids[i, : len(row)] = torch.tensor(row)
    return ids, ids != 3


def test_slopes_are_those_of_the_paper() -> None:
    assert slopes(8) == [2.0**-k for k in range(1, 9)]
    assert slopes(12) == pytest.approx([2.0**-k for k in range(1, 9)] + [2.0 ** -(k + 0.5) for k in range(4)], rel=1e-15)
    assert slopes(16)[:2] == [2**-0.5, 2**-1]


def test_the_published_configuration_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        made = Network(Config())
    head = 768 * 768 + 768 + 2 * 768 + 4096  # cls.predictions; the decoder is tied
    assert sum(p.numel() for p in made.parameters()) + head == 117_074_176


@pytest.mark.slow
def test_the_true_configuration_agrees_with_the_formulas() -> None:
    """Single, batched and padded sequences of up to 700 tokens; float64 to 1e-10, float32 to 1e-4."""
    made, state = net(PUBLISHED)
    long, first, second = rows = sequences(4096, 700, 150, 150)
    with torch.inference_mode():
        expected = [reference(state, PUBLISHED, row) for row in rows]
        del state
        for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
            made = made.to(dtype)
            found = {
                "single": (made(torch.tensor([long])), expected[:1]),
                "batched": (made(torch.tensor([first, second])), expected[1:]),
                "padded": (made(*padded([first, long], 700)), [expected[1], expected[0]]),
            }
            for how, (hidden, hidden_expected) in found.items():
                for h, e in zip(hidden, hidden_expected, strict=True):
                    assert (h[: len(e)].double() - e).abs().max() < tolerance, (how, dtype, len(e))


def test_any_length_agrees_with_the_formulas() -> None:
    made, state = net(SMALL)
    for row in sequences(25, 2, 3, 64, 513, 700, 64):  # ALiBi grows beyond 512, and shorter sequences go on as before
        with torch.inference_mode():
            assert (made(torch.tensor([row]))[0] - reference(state, SMALL, row)).abs().max() < 1e-10


@pytest.mark.parametrize("left", [False, True])
def test_padding_changes_nothing_wherever_it_stands(left: bool) -> None:
    made, _ = net(SMALL)
    rows = sequences(25, 5, 17, 40)
    ids, mask = padded(rows, 50, left)
    with torch.inference_mode():
        together = made(ids, mask)
        for row, hidden, real in zip(rows, together, mask, strict=True):
            assert (hidden[real] - made(torch.tensor([row]))[0]).abs().max() < 1e-12
            assert not hidden[~real].any()
        noise = torch.where(mask, ids, torch.randint(5, 25, ids.shape))
        assert torch.equal(made(noise, mask), together)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float16, 0.05), (torch.bfloat16, 0.3)])
def test_shorter_numbers_give_nearly_the_same(dtype: torch.dtype, tolerance: float) -> None:
    made, state = net(SMALL)
    row = sequences(25, 60)[0]
    found = made.to(dtype)(torch.tensor([row]))[0]
    assert found.dtype is dtype
    assert (found.double() - reference(state, SMALL, row)).abs().max() < tolerance


def test_hidden_takes_arrays_of_any_integers() -> None:
    made, state = net(SMALL, torch.float32)
    model = Dnabert2(made, BpeTokenizer(small_tokenizer().to_str(), "x"), "r", "s")
    row = sequences(25, 9)[0]
    expected = reference(state, SMALL, row)
    for dtype in (np.int32, np.int64, np.uint16):
        assert (model.hidden(np.array([row, row], dtype))[1] - expected).abs().max() < 1e-5
    ids, mask = padded([row], 12)
    assert (model.hidden(ids.numpy(), mask.numpy())[0, :9] - expected).abs().max() < 1e-5
    assert (model.dimension, model.dtype, model.device.type, model.max_tokens) == (24, torch.float32, "cpu", None)


@pytest.fixture(params=["published", "small"])
def tokenizer(request: pytest.FixtureRequest) -> tuple[BpeTokenizer, Library]:
    if request.param == "small":
        library = small_tokenizer()
    else:
        library = Library.from_file(str(request.getfixturevalue("real_tokenizer")))
    return BpeTokenizer(library.to_str(), "tokenizer.json"), library


def test_tokens_and_their_characters_are_the_librarys(tokenizer: tuple[BpeTokenizer, Library]) -> None:
    ours, library = tokenizer
    rng = random.Random(5)
    texts = ["".join(rng.choices("ACGTN", (50, 50, 50, 50, 1), k=n)) for n in (1, 2, 7, 300, 1001)]
    for tokens, text in zip(pickle.loads(pickle.dumps(ours)).tokenize(texts), texts, strict=True):
        encoded = library.encode(text)
        assert tokens.ids.tolist() == encoded.ids
        assert tokens.spans[1:-1].tolist() == [list(span) for span in encoded.offsets[1:-1]]
        assert (tokens.spans[0].tolist(), tokens.spans[-1].tolist()) == ([0, 0], [len(text)] * 2)


def test_soft_masked_sequences_have_the_same_tokens(tokenizer: tuple[BpeTokenizer, Library]) -> None:
    ours, _ = tokenizer
    upper, lower = ours.tokenize(["ACGTNACCA", "acgTNacca"])
    assert upper.ids.tolist() == lower.ids.tolist()
    assert upper.ids.tolist().count(0) == 1  # the N


def test_a_window_of_1001_bases_has_the_expected_number_of_tokens(real_tokenizer: Path) -> None:
    ours = BpeTokenizer(real_tokenizer.read_text(), "tokenizer.json")
    rng = random.Random(1)
    counts = [len(t.ids) for t in ours.tokenize(["".join(rng.choices("ACGT", k=1001)) for _ in range(50)])]
    assert ours.size == 4096
    assert 150 < min(counts) < max(counts) < 240


def test_sequences_with_other_characters_than_letters_are_refused() -> None:
    with pytest.raises(EmbedderError, match=r"tokens of 4 characters for a sequence of 5.*\n.*letters only"):
        BpeTokenizer(small_tokenizer().to_str(), "tokenizer.json").tokenize(["AC GT"])


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"version": "1.0"}'])
def test_what_is_no_tokenizer_is_refused(text: str) -> None:
    with pytest.raises(EmbedderError, match=r"here/tokenizer\.json: not a tokenizer: "):
        BpeTokenizer(text, "here/tokenizer.json")


def test_another_tokenizer_is_refused() -> None:
    text = small_tokenizer().to_str().replace('"[PAD]":3', '"[PAD]":4').replace('"[MASK]":4', '"[MASK]":3')
    with pytest.raises(EmbedderError, match="not the tokenizer of DNABERT-2"):
        BpeTokenizer(text, "here/tokenizer.json")
