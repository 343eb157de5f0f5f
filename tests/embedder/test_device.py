"""Devices and dtypes by name, and batches that do not fit."""

from __future__ import annotations

import pytest
import torch

from embedder.device import Halving, choose, dtype, dtype_name, put
from embedder.errors import EmbedderError


def test_auto_is_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose().type == choose("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose().type == choose("cpu").type == "cpu"


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EmbedderError, match=r"no CUDA here: .*\n.*--device cpu"):
        choose("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose("cuda:1").index == 1
    with pytest.raises(EmbedderError, match="no cuda:2 here: there are 2 GPUs"):
        choose("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cpu:0", "cuda:x", "CUDA", ""])
def test_another_device_is_refused(name: str) -> None:
    with pytest.raises(EmbedderError, match="Devices are auto, cuda, cuda:N and cpu"):
        choose(name)


def test_dtypes_follow_the_device_unless_named() -> None:
    assert dtype(None, torch.device("cuda")) is torch.float16
    assert dtype(None, torch.device("cpu")) is torch.float32
    assert [dtype(dtype_name(d), torch.device("cpu")) for d in (torch.float32, torch.float16, torch.bfloat16)] == [
        torch.float32,
        torch.float16,
        torch.bfloat16,
    ]
    assert dtype_name(torch.int8) == "int8"
    with pytest.raises(EmbedderError, match="Dtypes are fp32, fp16, bf16"):
        dtype("float16", torch.device("cpu"))


def test_arrays_are_put_on_a_device() -> None:
    import numpy as np

    assert put(np.arange(3), torch.device("cpu")).tolist() == [0, 1, 2]


class Memory:
    """A device that holds `room` tokens."""

    def __init__(self, room: int, length: int, error: Exception | None = None) -> None:
        self.room, self.length, self.error = room, length, error or torch.OutOfMemoryError("CUDA out of memory")
        self.asked: list[int] = []

    def __call__(self, rows: slice) -> torch.Tensor:
        count = rows.stop - rows.start
        self.asked.append(count)
        if count * self.length > self.room:
            raise self.error
        return torch.arange(rows.start, rows.stop)


def test_a_batch_that_does_not_fit_runs_in_halves_and_says_so_once() -> None:
    memory, said = Memory(250, 10), []
    run = Halving(memory, said.append)
    for _ in range(2):
        assert torch.cat(list(run(100, 10))).tolist() == list(range(100))
    assert memory.asked == [100, 50, 25, 25, 25, 25, 25, 25, 25, 25]  # from then on none that is too large
    assert said == ["batches of 1,000 tokens do not fit in the memory of the device: halving them"]
    memory.asked.clear()
    memory.length = 50
    assert torch.cat(list(run(11, 50))).tolist() == list(range(11))
    assert memory.asked == [5, 5, 1]


def test_a_batch_that_fits_runs_whole() -> None:
    memory, said = Memory(1000, 10), []
    assert torch.cat(list(Halving(memory, said.append)(100, 10))).tolist() == list(range(100))
    assert (memory.asked, said) == ([100], [])


def test_one_sequence_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(EmbedderError, match=r"one sequence of 1,000 tokens does not fit.*\n.*--flank"):
        list(Halving(Memory(999, 1000))(4, 1000))


def test_memory_of_the_cpu_counts_too_and_other_errors_do_not() -> None:
    small = RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
    assert torch.cat(list(Halving(Memory(20, 10, small))(4, 10))).tolist() == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(Halving(Memory(20, 10, RuntimeError("mat1 and mat2 shapes cannot be multiplied")))(4, 10))
