"""What a loader says when a file cannot be loaded. Commands print it and end with exit code 2."""

from __future__ import annotations

import re
from pathlib import Path

LONGEST = 600
"""Characters of what an error says of a file: lines and fields of files that are damaged can have millions."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")


def shown(text: str) -> str:
    """Text that holds what stands in a file, as a terminal can show it: of a sensible length, and without characters that control one."""
    cut = f"{text[:LONGEST]} ..." if len(text) > LONGEST else text
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], cut)


class LoaderError(Exception):
    """A load cannot be done. The message says what happened, where, and what to do."""


class InputError(LoaderError):
    """A file is not what it should be: which file, which line (None: all of it), why, and what to do."""

    def __init__(self, path: Path | str, line: int | None, reason: str, remedy: str) -> None:
        where = f"{path}:{line}" if line else str(path)
        reason, remedy = shown(reason), shown(remedy)
        super().__init__(f"{where}: {reason}\n  {remedy}")
        self.path = Path(path)
        self.line = line
        self.reason = reason
        self.remedy = remedy


class Interrupted(LoaderError):
    """The user ended a load; nothing of it was kept."""
