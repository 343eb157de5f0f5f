"""The whole statements of store/sql: each named and described in its file, none composed."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_HEAD = re.compile(r"^-- name: (\w+)\n((?:-- .*\n)+)", re.MULTILINE)


@cache
def statements() -> dict[str, str]:
    """Every statement by name."""
    found: dict[str, str] = {}
    for file in sorted(resources.files("store").joinpath("sql").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".sql"):
            parts = _HEAD.split(file.read_text())
            for name, _, sql in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
                if name in found:
                    raise ValueError(f"two statements are named {name}")
                found[name] = sql.strip().removesuffix(";")
    return found


def statement(name: str) -> str:
    """One statement by name."""
    return statements()[name]
