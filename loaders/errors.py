"""What a loader says when a file cannot be loaded. Commands print it and end with exit code 2."""

from __future__ import annotations

from pathlib import Path


class LoaderError(Exception):
    """A load cannot be done. The message says what happened, where, and what to do."""


class InputError(LoaderError):
    """A file is not what it should be: which file, which line (None: all of it), why, and what to do."""

    def __init__(self, path: Path | str, line: int | None, reason: str, remedy: str) -> None:
        where = f"{path}:{line}" if line else str(path)
        super().__init__(f"{where}: {reason}\n  {remedy}")
        self.path = Path(path)
        self.line = line
        self.reason = reason
        self.remedy = remedy


class Interrupted(LoaderError):
    """The user ended a load; nothing of it was kept."""
