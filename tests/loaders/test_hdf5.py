"""HDF5 files that are damaged, say that they hold what they do not, or lead elsewhere; each is refused before anything of it is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from loaders import hdf5
from loaders.errors import InputError
from tests.fuzz.readers import SEEDS


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error, hdf5.opened(path):
        pass
    return str(error.value)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Callable[[h5py.File], object]], Path]:
    """Writes a file with what is put into it."""

    def write(fill: Callable[[h5py.File], object]) -> Path:
        path = tmp_path / "some.h5"
        path.unlink(missing_ok=True)
        with h5py.File(path, "w") as file:
            fill(file)
        return path

    return write


def test_a_sound_file_is_open_inside(write: Callable) -> None:
    path = write(lambda file: file.create_dataset("zeros", data=np.zeros((4000, 1000)), compression="gzip", compression_opts=9))
    assert path.stat().st_size < 100_000
    with hdf5.opened(path) as file:
        assert file["zeros"].shape == (4000, 1000)
    assert not file


@pytest.mark.parametrize("kind", ["f2", "S200", h5py.string_dtype()])
def test_what_was_never_stored_is_not_read(write: Callable, kind: object) -> None:
    path = write(lambda file: file.create_dataset("obs/index", shape=(10**12,), dtype=kind, chunks=(1000,)))
    assert path.stat().st_size < 100_000
    assert "some.h5: its obs/index says that it is 1,000,000,000,000, of which 0 bytes are stored" in refused(path)


def test_a_file_is_all_in_itself(write: Callable, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x" * 800)

    def linked(file: h5py.File) -> None:
        file["X"] = h5py.ExternalLink("other.h5", "/X")

    def elsewhere(file: h5py.File) -> None:
        file.create_dataset("X", shape=(100,), dtype="f8", external=[(str(tmp_path / "secret"), 0, 800)])

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
        layout[:] = h5py.VirtualSource("other.h5", "X", shape=(4,))
        file.create_virtual_dataset("X", layout)

    def ring(file: h5py.File) -> None:
        file["a/b"] = file["/"]

    assert "its X is in another file" in refused(write(linked))
    assert "its X is in other files" in refused(write(elsewhere))
    assert "its X is in other files" in refused(write(virtual))
    assert "the whole file again" in refused(write(ring))


def test_a_filter_that_only_plugins_know_is_named(write: Callable) -> None:
    path = write(lambda file: file.create_dataset("X", data=np.arange(100), chunks=(10,), scaleoffset=4))
    assert "its X is packed with scaleoffset" in refused(path)


def test_chunks_have_a_limit(write: Callable) -> None:
    path = write(lambda file: file.create_dataset("X", data=np.zeros((7000, 10_000), "f4"), chunks=(7000, 10_000), compression="gzip"))
    assert path.stat().st_size < 1 << 20
    assert "its X is stored in chunks of 280,000,000 bytes, which are at most 268,435,456" in refused(path)


def test_more_objects_than_a_file_has(write: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write(lambda file: [file.create_group(f"g{n}") for n in range(30)])
    monkeypatch.setattr(hdf5, "MOST_OBJECTS", 20)
    with h5py.File(path) as file, pytest.raises(InputError, match="more than 20 groups and datasets"):
        hdf5._look_over(path, file)


def test_a_file_over_which_the_library_comes_to_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "PATIENCE", 1.5)
    data = bytearray((SEEDS / "soft.h5ad").read_bytes())
    data[982] = data[2945] = 2  # sizes within the heap of texts, which the library walks for ever
    path = tmp_path / "some.h5ad"
    path.write_bytes(data)
    assert "the library that reads HDF5 comes to no end over it" in refused(path)
    with hdf5.opened(SEEDS / "soft.h5ad") as file:  # by another process
        assert "obs" in file


def test_a_process_that_died_is_followed_by_another(tmp_path: Path) -> None:
    hdf5._looked_over.cache_clear()
    with hdf5.opened(SEEDS / "soft.h5ad"):
        pass
    process = hdf5._looker._process
    assert process is not None
    process.kill()
    process.wait()
    with hdf5.opened(SEEDS / "summary.h5ad") as file:
        assert "var" in file


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "some.h5"
    path.write_text("chr20\t5\n")
    assert "some.h5: not HDF5, or damaged" in refused(path)
    path.write_bytes((SEEDS / "enformer.h5").read_bytes()[:5000])
    assert "some.h5: the file is cut off" in refused(path)
