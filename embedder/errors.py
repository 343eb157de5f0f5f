"""What the embedder says when vectors cannot be made. Commands print it and end with exit code 2."""

from __future__ import annotations


class EmbedderError(Exception):
    """Vectors cannot be made. The message says what happened, where, and what to do."""

    def __init__(self, what: str, remedy: str | None = None) -> None:
        super().__init__(f"{what}\n  {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy
