"""The fuzzer in the suite: no reader is forgotten, some inputs of each are read, and what it must find it finds."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import get_type_hints

import pytest
import typer

import vkg
from loaders import ibd_layout, v2f_layout
from loaders.errors import InputError
from store.copy import Chunk
from tests.fuzz import check, extremes, mutate, readers
from tests.fuzz.readers import BY_NAME, READERS, SEEDS
from tests.fuzz.run import Report, again, read_one, run, shares, told, work

OUTPUTS = frozenset(("output",))
"""Parameters of commands that are files to write."""

GROUPS = ("load", "derive", "embed", "cluster", "init")
"""Commands of the ways in. Files that the read way reads are its own tests' to damage."""


def files_of(app: typer.Typer, name: str = "") -> Iterable[str]:
    """The parameters of the commands of an app that are files to read."""
    for command in app.registered_commands:
        assert command.callback is not None
        called = f"{name} {command.name or command.callback.__name__.replace('_', '-')}".strip()
        for parameter, kind in get_type_hints(command.callback).items():
            if "Path" in str(kind) and parameter not in OUTPUTS:
                yield f"{called} {parameter}"
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from files_of(group.typer_instance, f"{name} {group.name or group.typer_instance.info.name}".strip())


def test_every_file_that_a_command_loads_has_a_reader_here() -> None:
    files = set(files_of(vkg.app))
    covered = {command for reader in READERS for command in reader.covers}
    assert covered <= files
    assert {each for each in files - covered if each.split()[0] in GROUPS} == set()


def test_every_format_within_a_reader_has_a_seed() -> None:
    ibd = {layout.source for name in BY_NAME["ibd"].seeds for layout in ibd_layout.layouts(SEEDS / name)}
    assert ibd == set(ibd_layout.SOURCES)
    v2f = {readers._told(SEEDS / name) for name in BY_NAME["v2f"].seeds}
    assert v2f == set(v2f_layout.THRESHOLDS)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_sound_files_are_read(reader: readers.Reader, tmp_path: Path) -> None:
    """A seed that nothing can be read of would make fuzz of little use: each has some draw of options with which it is."""
    for seed in reader.seeds:
        path = tmp_path / Path(seed).name
        path.write_bytes((SEEDS / seed).read_bytes())
        records = 0
        for draw in range(40):
            try:
                records = max(records, check.chunks(reader.read(path, Random(draw))))
            except check.ERRORS as error:
                last = str(error)
            else:
                break
        else:
            pytest.fail(last)
        assert records >= 0


def test_an_input_follows_from_its_label() -> None:
    for reader in READERS:
        assert reader.make("1/7") == reader.make("1/7")
        assert len({reader.make(f"1/{number}")[1] for number in range(30)}) > 15


COUNT = 40
SLOW = {"model": 4, "cells": 12, "peaks": 12, "metacells": 20, "enformer": 30}


def test_some_inputs_of_every_reader(tmp_path: Path) -> None:
    report = Report()
    run([(reader.name, "suite", 0, SLOW.get(reader.name, COUNT)) for reader in READERS], tmp_path, report)
    assert report.inputs == {reader.name: SLOW.get(reader.name, COUNT) for reader in READERS}
    assert not report.findings, "\n".join(told(report, 1))
    assert report.records.total() > 2_000
    assert 0.2 < report.refused.total() / report.inputs.total() < 0.8


@pytest.mark.parametrize(("name", "wanted"), [("vcf", "_wide_header"), ("scores", "_comments")])
def test_large_files_take_little_memory(tmp_path: Path, name: str, wanted: str) -> None:
    report = Report()
    number = [extreme.__name__ for extreme in extremes.EXTREMES].index(wanted)
    run([(name, extremes.SEED, number, number + 1)], tmp_path, report, limit=extremes.LIMIT)
    assert not report.findings, "\n".join(told(report, 1))
    assert report.inputs[name] == 1


def fails(path: Path, random: Random) -> Iterable[Chunk]:
    raise KeyError("of a reader")


def leaves(path: Path, random: Random) -> Iterable[Chunk]:
    path.with_suffix(".left").write_text("x")
    return ()


def says_nothing(path: Path, random: Random) -> Iterable[Chunk]:
    raise InputError("another.txt", 1, "wrong", "Correct it.")


def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, read: readers.Read, inputs: int = 3) -> list[dict]:
    """What a worker tells of a reader that does what it must not."""
    reader = replace(BY_NAME["eigenvalues"], name="planted", read=read)
    monkeypatch.setitem(BY_NAME, "planted", reader)
    monkeypatch.setattr("tests.fuzz.run._bound", lambda memory: None)  # that of a worker, not of the tests' process
    monkeypatch.setattr("tests.fuzz.run.faulthandler.enable", lambda log: None)
    monkeypatch.setattr("loaders.hdf5.PATIENCE", 10.0)
    out = io.StringIO()
    with warnings.catch_warnings():
        work(tmp_path, [("planted", "1", 0, inputs)], out)
    return [json.loads(line) for line in out.getvalue().splitlines()][:-1]


def test_what_a_reader_must_not_do_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = planted(monkeypatch, tmp_path, fails)
    assert len(found) == 3
    assert "KeyError: 'of a reader'" in found[0]["what"]
    with pytest.raises(KeyError):
        again("planted", found[0]["kept"])
    assert "left behind: " in planted(monkeypatch, tmp_path, leaves)[0]["what"]
    assert "the file is not named" in planted(monkeypatch, tmp_path, says_nothing)[0]["what"]


PLANTED = """
import sys
from tests.fuzz import readers, run
{code}
readers.BY_NAME["eigenvalues"] = __import__("dataclasses").replace(readers.BY_NAME["eigenvalues"], read=lambda path, random: bad(path))
sys.exit(run.main())
"""


@pytest.mark.parametrize(
    ("code", "limit", "said"),
    [
        ("def bad(path):\n    while True: pass", 1, "no end within the limit"),
        ("def bad(path):\n    import ctypes; ctypes.string_at(0)", 30, "it crashed"),
        ("def bad(path):\n    return [bytearray(2 << 30)] * 0", 30, "MemoryError"),
    ],
)
def test_what_does_not_live_to_tell_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, limit: float, said: str) -> None:
    script = tmp_path / "planted.py"
    script.write_text(PLANTED.format(code=code))
    monkeypatch.setattr("tests.fuzz.run.COMMAND", [str(script)])
    monkeypatch.setenv("PYTHONPATH", str(Path(vkg.__file__).parent))
    report = Report()
    run([("eigenvalues", "1", 0, 2)], tmp_path / "worker", report, limit=limit)
    assert report.inputs["eigenvalues"] == 2
    assert len(report.findings) >= 1
    assert all(said in found.what for found in report.findings)
    assert all(found.kept and found.kept.exists() for found in report.findings)
    assert " times\n" in "\n".join(told(report, 1))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("in.txt:1: wrong", "no remedy"),
        ("wrong\n  Correct it.", "the file is not named"),
        (f"in.txt:1: {'x' * 3000}\n  Correct it.", "a message of 3,"),
        ("in.txt:1: \x1b[2J\n  Correct it.", "takes for a command"),
    ],
)
def test_messages_are_for_users(said: str, why: str) -> None:
    with pytest.raises(check.Unsound, match=why):
        check.message(ValueError(said), Path("in.txt"))


def test_inputs_are_shared_by_speed() -> None:
    found = shares({"slow": 10.0, "fast": 990.0}, 100_000)
    assert found == {"slow": 500 + 990, "fast": 500 + 98_010}
    few = shares({"a": 1.0, "b": 2.0, "c": 1e6}, 1000)
    assert sum(few.values()) == 1000
    assert min(few.values()) >= 333


def test_bgzf_is_read_by_others(tmp_path: Path) -> None:
    import pysam

    data = b"line of text\n" * 9000
    (tmp_path / "some.gz").write_bytes(mutate.bgzf(data, 500))
    with pysam.BGZFile(str(tmp_path / "some.gz")) as file:
        assert file.read() == data


def test_a_file_that_is_kept_can_be_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "some.eigenval"
    path.write_bytes((SEEDS / "pca.eigenval").read_bytes())
    assert read_one(BY_NAME["eigenvalues"], path) in ((False, 0), (True, 0))
    assert again("eigenvalues", str(path)) == 0
    assert capsys.readouterr().out.startswith(("read", "refused"))
