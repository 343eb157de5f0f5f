"""Files that commands write: whole or not at all, and in place of files alone."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from store.errors import OutputError, StoreError
from store.output import Write, writing


def fail_after(write: Write) -> None:
    write("lost")
    raise StoreError("the store's")


def test_a_file_is_there_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("old")
    with writing(path) as write:
        write("a\tb\n")
        assert path.read_text() == "old"
    assert path.read_text() == "a\tb\n"
    with pytest.raises(StoreError, match="the store's"), writing(path) as write:
        fail_after(write)
    assert path.read_text() == "a\tb\n"
    assert [each.name for each in tmp_path.iterdir()] == ["x.tsv"]


def test_gz_is_bgzip(tmp_path: Path) -> None:
    with writing(tmp_path / "x.tsv.gz") as write:
        write("a\n" * 100_000)
    packed = (tmp_path / "x.tsv.gz").read_bytes()
    assert gzip.decompress(packed) == b"a\n" * 100_000
    assert packed[12:14] == b"BC"  # the extra field of BGZF


def test_links_stay_and_nothing_but_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link.tsv").symlink_to(tmp_path / "there" / "x.tsv")
    with writing(tmp_path / "link.tsv") as write:
        write("new")
    assert (tmp_path / "link.tsv").is_symlink()
    assert (tmp_path / "there" / "x.tsv").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    for name, said in {"pipe": "not a file", "there": "not a file", "no/x.tsv": "there is no folder", "n" * 300: "name too long"}.items():
        with pytest.raises(OutputError, match=said), writing(tmp_path / name):
            raise AssertionError("nothing is begun")
    assert (tmp_path / "pipe").is_fifo()
