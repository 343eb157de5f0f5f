"""`vkg ...` as tests ask for it, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.command_line import Said

Command = Callable[..., Said]


def refused(said: Said, *parts: str) -> None:
    """Checks that a command was refused, in words, and what they are."""
    assert said.code == 2, said
    assert said.err.startswith("vkg: ")
    assert "Traceback" not in said.err
    for part in parts:
        assert part in said.err


def models(command: Command) -> list[dict[str, Any]]:
    """What `vkg models list --json` says."""
    said = command("models", "list", "--json")
    assert said.code == 0, said
    return json.loads(said.out)
