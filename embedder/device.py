"""Where models run, in which numbers, and what happens when the memory of that place is too small."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from embedder.errors import EmbedderError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Numbers by name. fp16 keeps differences of vectors better than bf16 (relative error 2 % against 13 %); bf16 never overflows."""

BATCH_TOKENS = {"cuda": 1 << 15, "cpu": 1 << 12}
"""Tokens of a batch, by kind of device: enough to keep it busy."""


def choose(name: str = "auto") -> torch.device:
    """The device `auto`, `cuda`, `cuda:N` or `cpu`; auto is CUDA where there is one. Raises EmbedderError where it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in BATCH_TOKENS or (number and not (kind == "cuda" and number.isdecimal())):
        raise EmbedderError(f"no device {name!r}", "Devices are auto, cuda, cuda:N and cpu.")
    if kind == "cuda" and not torch.cuda.is_available():
        build = "this PyTorch is built without CUDA" if torch.version.cuda is None else "PyTorch finds no GPU"
        raise EmbedderError(f"no CUDA here: {build}", "Say --device cpu, or install the driver and a PyTorch with CUDA (pytorch.org).")
    if number and int(number) >= torch.cuda.device_count():
        raise EmbedderError(f"no {name} here: there are {torch.cuda.device_count()} GPUs", "They are counted from 0.")
    return torch.device(name)


def dtype(name: str | None, device: torch.device) -> torch.dtype:
    """The dtype of a name; without one fp16 on CUDA, fp32 on CPUs. Raises EmbedderError for another name."""
    if name is None:
        return torch.float16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise EmbedderError(f"no dtype {name!r}", f"Dtypes are {', '.join(DTYPES)}.")
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """The name of a dtype, as the registry keeps it."""
    return next((name for name, d in DTYPES.items() if d is dtype), str(dtype).removeprefix("torch."))


def put(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array on a device; a GPU takes it while it computes, without anybody waiting."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


class Halving:
    """Runs batches through `step(rows)`; where the memory does not hold one, in halves, and from then on none as large.

    A batch is a number of rows of one length. `report` gets one sentence, once, however often that happens.
    """

    def __init__(self, step: Callable[[slice], torch.Tensor], report: Callable[[str], None] | None = None) -> None:
        self._step = step
        self._report = report
        self._tokens: int | None = None  # what fitted after something did not

    def __call__(self, rows: int, length: int) -> Iterator[torch.Tensor]:
        """The result of every part of a batch of `rows` rows of `length` tokens, in order.

        Raises EmbedderError where one row alone is too much.
        """
        begin = 0
        while begin < rows:
            fits = rows if self._tokens is None else max(1, self._tokens // length)
            part = slice(begin, min(rows, begin + fits))
            result = self._try(part)
            if result is not None:
                yield result
                begin = part.stop
                continue
            count = part.stop - part.start
            if count == 1:
                raise EmbedderError(
                    f"one sequence of {length:,} tokens does not fit in the memory of the device",
                    "Say --dtype fp16, a smaller --flank, or --device cpu; other programs may hold memory there too.",
                )
            if self._tokens is None and self._report:
                self._report(f"batches of {count * length:,} tokens do not fit in the memory of the device: halving them")
            self._tokens = count // 2 * length

    def _try(self, part: slice) -> torch.Tensor | None:
        try:
            return self._step(part)
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
                raise
        # Only here, when the error and with it the frames that hold tensors are gone, can memory be given back.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None
