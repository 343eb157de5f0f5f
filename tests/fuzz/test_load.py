"""Damaged files through the real commands into a real store: a load that fails leaves the store as it was, and the sound file loads after it as it would
have before."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from store.assembly import assembly
from store.genome import initialise
from tests import conftest
from tests.command_line import run
from tests.fuzz.readers import BY_NAME, SEEDS

Conn = psycopg.Connection[Any]

COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "vcf": ("cohort.vcf", ("vcf", "--cohort", "people", "--unnormalized", "--assembly", "GRCh37")),
    "bcf": ("cohort.bcf", ("vcf", "--cohort", "people", "--unnormalized", "--assembly", "GRCh37")),
    "genes": ("refgene.gtf", ("genes", "--assembly", "GRCh37")),
    "scores": ("scores.tsv", ("scores", "--column", "PHRED", "--assembly", "GRCh37")),
    "frequencies": ("popaf.vcf", ("frequencies", "--unnormalized", "--assembly", "GRCh37")),
    "samples": ("kg.panel", ("samples", "--cohort", "people")),
    "populations": ("populations.tsv", ("populations",)),
    "ancestry": ("pca.plink2.eigenvec", ("ancestry", "--unscaled", "--cohort", "people", "--create-samples")),
    "ibd": ("hap-ibd.ibd", ("ibd", "--source", "hap-ibd", "--cohort", "people", "--create-samples")),
    "v2f": ("abc.tsv", ("v2f", "--source", "abc", "--assembly", "GRCh37")),
    "enformer": ("enformer.h5", ("enformer", "--assembly", "GRCh37", "--unnormalized")),
    "metacells": ("cells.csr.h5ad", ("metacells",)),
}
"""By reader: a sound file, and how it is loaded."""

INPUTS = int(os.environ.get("FUZZ_LOADS", 4))
"""Damaged files of each; `make fuzz` has more."""

_NUMBERED = re.compile("(_id|_?loads?)$")
"""Columns of numbers that the store gives, and never gives twice."""


@pytest.fixture
def stores(_template: str) -> Iterator[Callable[[], str]]:
    """Makes empty stores of GRCh37: each a URL."""
    with contextlib.ExitStack() as stack:

        def make() -> str:
            url = stack.enter_context(conftest.database(_template, conftest.TEMPLATE))
            with psycopg.connect(url, autocommit=True) as conn:
                initialise(conn, assembly("GRCh37"))
            return url

        yield make


def content(url: str, *, numbers: bool = True) -> dict[str, list]:
    """All rows of all tables that have some; without `numbers`, but for what the store numbers and when it did."""
    with psycopg.connect(url, autocommit=True) as conn:
        columns: dict[str, list[str]] = {}
        for table, column, kind in conn.execute(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind = 'r' "
            "AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped AND c.relname !~ 'yoyo' ORDER BY 1, a.attnum"
        ).fetchall():
            given = _NUMBERED.search(column) and kind.startswith(("int", "small", "big"))
            if numbers or not (given or kind.startswith("timestamp") or (table, column) in {("load_file", "path"), ("load", "options")}):
                columns.setdefault(table, []).append(column)
        found = {}
        for table, names in columns.items():
            query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(table))
            if rows := sorted(map(repr, conn.execute(query).fetchall())):
                found[table] = rows
        return found


@pytest.mark.parametrize("name", COMMANDS)
def test_a_load_that_fails_leaves_nothing(name: str, stores: Callable[[], str], tmp_path: Path) -> None:
    seed, (command, *options) = COMMANDS[name]
    reader = BY_NAME[name]
    url = stores()
    empty = content(url)
    failed = 0
    for number in range(INPUTS):
        ending, data = reader.make(f"store/{number}")
        path = tmp_path / f"in{ending}"
        path.write_bytes(data)
        said = run(url, "load", command, str(path), *options, "--strict", "--dataset", "some", "--version", "1")
        assert "Traceback" not in said.err
        if said.code == 0:  # not every damage is a fault
            url = stores()
            empty = content(url)
        else:
            assert said.code == 2, said
            assert re.match(r"(?:(?!vkg: ).*\n)*vkg: .*\n  \S", said.err), said.err
            assert content(url) == empty
            assert sorted(each.name for each in tmp_path.iterdir()) == [path.name]
            failed += 1
        for each in tmp_path.iterdir():
            each.unlink()
    assert failed
    sound = tmp_path / seed
    sound.write_bytes((SEEDS / seed).read_bytes())
    made = []
    for store in (url, stores()):
        said = run(store, "load", command, str(sound), *options, "--dataset", "some", "--version", "1")
        assert said.code == 0, said.err
        made.append(content(store, numbers=False))
    assert made[0] == made[1]
    assert len(made[0]) > len(empty)
