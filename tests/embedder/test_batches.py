"""Batches: what is together changes no result, nothing is lost, and memory is bounded."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from embedder.batches import Batch, Pair, buckets, embed, pairs
from embedder.models.dnabert2 import BpeTokenizer, Config, Dnabert2, network
from embedder.pooling import Pooling
from embedder.windows import Variant, Window, window
from tests.embedder.checkpoints import SMALL, random_state, small_tokenizer

FIELDS = ("difference", "norm", "cosine_distance")


@pytest.fixture(scope="module")
def model() -> Dnabert2:
    config = Config(**{key: SMALL[key] for key in vars(Config())})
    net = network(config, random_state(SMALL), "pytorch_model.bin")  # type: ignore[arg-type]
    return Dnabert2(net, BpeTokenizer(small_tokenizer().to_str(), "tokenizer.json"), "r", "s")


@pytest.fixture(scope="module")
def windows() -> list[Window]:
    """Of SNVs, insertions and deletions on a chromosome of 5 kb."""
    rng = random.Random(2)
    text = "".join(rng.choices("ACGT", k=5000))
    found = []
    for pos in range(3, 5000, 70):
        ref = text[pos - 1 : pos + rng.randrange(4)]
        alt = ref[0] + "".join(rng.choices("ACGT", k=rng.randrange(4)))
        alt = "ACGT"[("ACGT".index(ref) + 1) % 4] if alt == ref == ref[0] else alt
        w = window(lambda chrom, start, end: text[start - 1 : end], lambda chrom: len(text), Variant(20, pos, ref, alt), flank=20)
        if isinstance(w, Window):
            found.append(w)
    assert len(found) > 60
    return found


def merged(batches: Iterator[Batch[int]]) -> dict[int, tuple[np.ndarray, ...]]:
    found: dict[int, tuple[np.ndarray, ...]] = {}
    for keys, embedded, refused in batches:
        assert not refused
        for i, key in enumerate(keys):
            assert key not in found
            found[key] = tuple(getattr(embedded, field)[i] for field in FIELDS)
    return found


def swapped(pair: Pair) -> Pair:
    return Pair(pair.alt_ids, pair.alt_chosen, pair.ref_ids, pair.ref_chosen)


@given(st.lists(st.integers(1, 9)), st.integers(1, 5), st.integers(0, 12))
def test_buckets_lose_nothing_and_hold_one_length_each(lengths: list[int], rows: int, limit: int) -> None:
    taken = 0

    def items() -> Iterator[tuple[int, int]]:
        nonlocal taken
        for item in enumerate(lengths):
            taken += 1
            yield item

    given_ = []
    for batch in buckets(items(), lambda item: item[1], lambda length: rows, limit):
        assert len({length for _, length in batch}) == 1
        assert 1 <= len(batch) <= rows
        assert batch == sorted(batch)  # in the order they came
        given_ += batch
        assert taken - len(given_) <= limit
    assert sorted(given_) == list(enumerate(lengths))


def test_the_fullest_bucket_goes_when_too_many_wait() -> None:
    found = list(buckets([1, 2, 2, 3, 2, 1], lambda n: n, lambda n: 100, limit=4))
    assert found == [[2, 2, 2], [1, 1], [3]]


def test_rows_of_a_batch_depend_on_its_length() -> None:
    assert list(buckets([4, 2, 4, 2, 2], lambda n: n, lambda n: 8 // n)) == [[4, 4], [2, 2, 2]]


@pytest.mark.parametrize("pooling", Pooling)
def test_batches_do_not_change_results(model: Dnabert2, windows: list[Window], pooling: Pooling) -> None:
    """Alone, in small and large batches, in another order: the same up to rounding; the same batches: the same bits."""
    stream = list(enumerate(pairs(model.tokenizer, windows, pooling)))
    lengths = [len(ids) for _, p in stream for ids in (p.ref_ids, p.alt_ids)]
    assert len(set(lengths)) > 3
    assert any(len(p.ref_ids) != len(p.alt_ids) for _, p in stream)
    alone = {key: next(iter(embed(model, [(key, pair)], pooling))).embedded for key, pair in stream}
    shuffled = random.Random(1).sample(stream, len(stream))
    for tokens, limit, order in ((1, 1, stream), (200, 10, stream), (100_000, 100_000, stream), (300, 30, shuffled)):
        found = merged(embed(model, order, pooling, batch_tokens=tokens, limit=limit))
        again = merged(embed(model, order, pooling, batch_tokens=tokens, limit=limit))
        assert found.keys() == alone.keys() == again.keys()
        for key, values in found.items():
            for value, same, field in zip(values, again[key], FIELDS, strict=True):
                assert np.array_equal(value, same)
                assert value == pytest.approx(getattr(alone[key], field)[0], rel=1e-4, abs=1e-5)
    assert all(values[1] > 0 for values in found.values())


def test_vectors_are_the_pooled_differences_of_hidden_states(model: Dnabert2, windows: list[Window]) -> None:
    found = merged(embed(model, enumerate(pairs(model.tokenizer, windows, Pooling.MEAN)), Pooling.MEAN))
    for key, w in enumerate(windows):
        ref, alt = (model.hidden(t.ids[None])[0, 1:-1].double().mean(0) for t in model.tokenizer.tokenize([w.ref, w.alt]))
        assert found[key][0] == pytest.approx((alt - ref).numpy(), abs=1e-5)


def test_the_same_sequence_twice_gives_exactly_zero(model: Dnabert2, windows: list[Window]) -> None:
    same = [Window(w.start, w.ref, w.ref, w.ref_span, w.ref_span) for w in windows]
    stream = enumerate(pairs(model.tokenizer, same, Pooling.VARIANT))
    for values in merged(embed(model, stream, Pooling.VARIANT, batch_tokens=150)).values():
        assert not any(np.any(v) for v in values)


@pytest.mark.parametrize("pooling", Pooling)
@pytest.mark.parametrize(("ref", "alt"), [("GTTAGGG", "G"), ("G", "GTTAGGG")])
def test_an_indel_in_a_repeat_longer_than_the_window_gives_exactly_zero(model: Dnabert2, ref: str, alt: str, pooling: Pooling) -> None:
    """The window does not see it: both sequences are the same, and so must be what is pooled of them."""
    text = "TTAGGG" * 100
    w = window(lambda chrom, start, end: text[start - 1 : end], lambda chrom: len(text), Variant(20, 306, ref, alt), flank=20)
    assert isinstance(w, Window)
    assert w.ref == w.alt
    assert w.ref_span != w.alt_span
    (found,) = embed(model, enumerate(pairs(model.tokenizer, [w], pooling)), pooling)
    assert not any(np.any(value) for value in found.embedded)


@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
def test_swapping_ref_and_alt_negates_exactly(model: Dnabert2, windows: list[Window], batch_tokens: int) -> None:
    stream = list(enumerate(pairs(model.tokenizer, windows, Pooling.VARIANT)))
    there = merged(embed(model, stream, Pooling.VARIANT, batch_tokens=batch_tokens))
    back = merged(embed(model, [(k, swapped(p)) for k, p in stream], Pooling.VARIANT, batch_tokens=batch_tokens))
    for key, (difference, norm, distance) in there.items():
        assert np.array_equal(difference, -back[key][0])
        assert (norm, distance) == back[key][1:]


def test_variants_whose_numbers_overflow_are_refused_by_key_and_the_rest_go_on(model: Dnabert2, windows: list[Window]) -> None:
    class Overflowing:
        device = model.device

        def hidden(self, ids: np.ndarray, mask: None = None) -> torch.Tensor:
            hidden = model.hidden(ids).clone()
            hidden[(ids == poison).any(1)] = torch.inf
            return hidden

    stream = list(enumerate(pairs(model.tokenizer, windows, Pooling.MEAN)))
    poison = int(stream[0][1].ref_ids[1])
    bad = {key for key, p in stream if poison in p.ref_ids or poison in p.alt_ids}
    batches = list(embed(Overflowing(), stream, Pooling.MEAN, batch_tokens=300))  # type: ignore[type-var, arg-type]
    assert {key for batch in batches for key in batch.refused} == bad
    assert {key for batch in batches for key in batch.keys} == set(range(len(windows))) - bad
    assert all(np.isfinite(batch.embedded.difference).all() for batch in batches)
    assert 0 < len(bad) < len(windows)


def test_the_stream_is_not_read_ahead_of_what_is_given(model: Dnabert2, windows: list[Window]) -> None:
    pair = pairs(model.tokenizer, windows[:1], Pooling.MEAN)[0]
    taken = 0

    def endless() -> Iterator[tuple[int, Pair]]:
        nonlocal taken
        while True:
            yield taken, pair
            taken += 1

    done = 0
    for batch in embed(model, endless(), Pooling.MEAN, batch_tokens=10 * len(pair.ref_ids), limit=50):
        done += len(batch.keys)
        assert taken - done < 50
        if done > 500:
            return


def test_an_empty_stream_gives_nothing(model: Dnabert2) -> None:
    assert list(embed(model, [], Pooling.MEAN)) == []


def test_worker_processes_make_the_tokens(model: Dnabert2, windows: list[Window]) -> None:
    expected = pairs(model.tokenizer, windows, Pooling.VARIANT)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as workers:
        found = workers.submit(pairs, model.tokenizer, windows, Pooling.VARIANT).result()
    assert pickle.dumps(found) == pickle.dumps(expected)
