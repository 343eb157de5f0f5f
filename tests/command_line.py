"""`vkg ...` as at a shell, but in this process: importing all of it takes a process two seconds, and only some tests are about a process."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import NamedTuple

import pytest

import vkg


class Said(NamedTuple):
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


def run(url: str, *arguments: str) -> Said:
    """Runs `vkg ...` on a store as its own process would, with these arguments."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setenv("VKG_DATABASE_URL", url)
        patch.setattr(sys, "argv", ["vkg", *arguments])
        with pytest.raises(SystemExit) as ended:
            vkg.main()
    code = ended.value.code or 0
    assert isinstance(code, int)
    return Said(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))  # type: ignore[attr-defined]
