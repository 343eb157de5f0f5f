"""Imports go one way: graph, loaders and embedder to the store, never between the three, never out of the store (design section 2)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"store": set(), "graph": {"store"}, "loaders": {"store"}, "embedder": {"store"}}


def imported(file: Path) -> set[str]:
    """Names of the top-level modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0] if node.level == 0 else file.relative_to(ROOT).parts[0])
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    ours = {*PACKAGES, "vkg", "tests", "bench"}
    wrong = {str(f.relative_to(ROOT)): bad for f in files if (bad := imported(f) & ours - PACKAGES[package] - {package})}
    assert files
    assert not wrong


def test_only_the_store_and_its_callers_know_the_drivers() -> None:
    """asyncpg is the read way's driver, psycopg the write way's; nothing but the store builds SQL around them."""
    assert not [f.name for f in (ROOT / "graph").rglob("*.py") if "psycopg" in imported(f)]
    assert not [f.name for package in ("loaders", "embedder") for f in (ROOT / package).rglob("*.py") if "asyncpg" in imported(f)]
