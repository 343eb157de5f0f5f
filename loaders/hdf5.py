"""HDF5 files: looked over in a process of its own, opened, and what the library raises made an InputError.

Over a damaged file the library may crash or never come to an end (of a global heap with an object of no size, for one), and a file of a kilobyte may
say that it holds a terabyte. So before anything is read another process, which may die of it, opens all groups, reads all attributes and texts, and holds what
each dataset says it has against what is stored. It goes on to serve the files that follow, and ends with this process.
"""

from __future__ import annotations

import atexit
import json
import math
import resource
import selectors
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import h5py

from loaders.errors import InputError

COPY_AGAIN = "Copy or download it again."

PATIENCE = 10.0
"""Seconds that looking over a file may take, and one more for each SPEED bytes of it. It takes milliseconds, unless the file has millions of texts."""

SPEED = 10_000_000

MOST_RATIO = 1_100
"""Bytes that one stored byte can stand for: deflate, which packs best of the filters that are read, gets to 1,032 (zlib.net/zlib_tech.html)."""

MOST_OBJECTS = 100_000
"""Groups and datasets in a file. Those of real ones have tens."""

MOST_CHUNK = 256 << 20
"""Bytes of a chunk, which is unpacked as a whole whatever is read of it."""

MOST_TEXTS = 100_000_000
"""Texts of a dataset, which are held in memory where they are names: of cells, of genes, of variants."""

RAISES = (
    OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, MemoryError, NotImplementedError, SystemError,
)  # fmt: skip
"""What h5py raises for a file that is damaged, or whose parts are of another kind than they should be."""

_SPARE = 1 << 20  # bytes that need not be stored: fill values of small datasets
_MEMORY = 4 << 30  # bytes of addresses of the process that looks
_AT_ONCE = 1 << 17  # texts that it reads
_FILTERS = frozenset((h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF))
_SHOWN = 200
_WHOLE = "Copy all into one file."
_LOOK = "import sys; sys.path.insert(0, sys.argv[1]); from loaders.hdf5 import serve; serve()"


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to read, looked over. Raises InputError where it is damaged, says that it holds what was never stored, or leads to other files."""
    with readable(path):
        about = path.stat()
    _looked_over(path, about.st_size, about.st_mtime_ns, about.st_ino)
    with readable(path):
        file = h5py.File(path, "r", locking=False)
    with file:
        yield file


@contextmanager
def readable(path: Path, row: int | None = None) -> Iterator[None]:
    """What h5py raises inside becomes an InputError of the file, at a row where one is given."""
    try:
        yield
    except RAISES as error:
        raise damaged(path, row, error) from error


def damaged(path: Path, row: int | None, error: Exception) -> InputError:
    """The error for an HDF5 file that the library cannot read, from a row on."""
    said = str(error) or type(error).__name__
    why = "the file is cut off" if "truncated" in said else "not HDF5, or damaged" if "signature" in said else "the file is damaged"
    return InputError(path, row, f"{why}: {said.splitlines()[0][:_SHOWN]}", COPY_AGAIN)


@lru_cache(maxsize=64)
def _looked_over(path: Path, size: int, *changed: int) -> None:
    """Has a file looked over. Raises InputError; a file that is sound is looked over once."""
    if (found := _looker.ask(path, PATIENCE + size / SPEED)) is not None:
        raise InputError(path, None, *found)


class _Looker:
    """The process that looks over files, one after the other; a new one where it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()

    def ask(self, path: Path, patience: float) -> tuple[str, str] | None:
        """What is wrong with a file, and what to do; None where nothing is."""
        with self._turn:
            if self._process is not None and self._process.poll() is not None:
                self.end()
            process = self._process
            if process is None:
                process = self._process = subprocess.Popen(
                    [sys.executable, "-c", _LOOK, str(Path(__file__).resolve().parent.parent)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1, start_new_session=True,
                )  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            with selectors.DefaultSelector() as answers:
                answers.register(process.stdout, selectors.EVENT_READ)
                try:
                    process.stdin.write(json.dumps(str(path.absolute())) + "\n")
                    answered = answers.select(patience)
                except BrokenPipeError:
                    answered = []
                line = process.stdout.readline() if answered else ""
            if line:
                found = json.loads(line)
                return (found[0], found[1]) if found else None
            process.kill()
            self.end()
            what = "crashes over it" if answered else "comes to no end over it"
            return f"the file is damaged: the library that reads HDF5 {what}", COPY_AGAIN

    def end(self) -> None:
        """Ends the process, if there is one."""
        if (process := self._process) is not None and process.stdin is not None and process.stdout is not None:
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()
            process.wait()
            self._process = None


_looker = _Looker()
atexit.register(_looker.end)


def serve() -> None:
    """What the process that looks does: for each path that is given, a line of JSON: null, or what is wrong and what to do."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.RLIM_INFINITY))
    for line in sys.stdin:
        path = Path(json.loads(line))
        found = None
        try:
            with readable(path), h5py.File(path, "r", locking=False) as file:
                _look_over(path, file)
        except InputError as error:
            found = error.reason, error.remedy
        print(json.dumps(found), flush=True)


def _look_over(path: Path, file: h5py.File) -> None:
    """Looks at everything in a file but its numbers. Raises InputError."""
    links: list[tuple[str, object]] = []

    def gather(name: str, link: object) -> bool | None:  # what is raised in here the library takes for a fault of its own
        links.append((name, link))
        return True if len(links) > MOST_OBJECTS else None

    if file.visititems_links(gather):
        raise InputError(path, None, f"more than {MOST_OBJECTS:,} groups and datasets", "Write it again with what is to be loaded.")
    dict(file.attrs)
    for name, link in links:
        if isinstance(link, h5py.ExternalLink):
            raise InputError(path, None, f"its {name} is in another file", _WHOLE)
        if isinstance(link, h5py.HardLink):
            node = file[name]
            if node == file:
                raise InputError(path, None, f"its {name} is the whole file again", "Write it again without.")
            dict(node.attrs)
            if isinstance(node, h5py.Dataset):
                _check(path, name, node)


def _check(path: Path, name: str, node: h5py.Dataset) -> None:
    """Raises InputError where a dataset is larger than what is stored of it can be, is in other files, or is packed in a way that only plugins know."""
    made = node.id.get_create_plist()
    if made.get_external_count() or node.is_virtual:
        raise InputError(path, None, f"its {name} is in other files", _WHOLE)
    for number in range(made.get_nfilters()):
        if (filter := made.get_filter(number))[0] not in _FILTERS:
            reason = f"its {name} is packed with {filter[3].decode('utf-8', 'replace') or f'filter {filter[0]}'}"
            raise InputError(path, None, reason, "Pack it with gzip, or not at all: h5repack -f GZIP=4")
    if node.chunks and (chunk := math.prod(node.chunks) * node.dtype.itemsize) > MOST_CHUNK:
        reason = f"its {name} is stored in chunks of {chunk:,} bytes, which are at most {MOST_CHUNK:,}"
        raise InputError(path, None, reason, "Write it with smaller ones: h5repack -l CHUNK=1000x1000")
    says, stored = node.size or 0, node.id.get_storage_size()
    shape = " x ".join(f"{n:,}" for n in node.shape or ())
    if says * max(1, node.dtype.itemsize) > MOST_RATIO * stored + _SPARE:
        raise InputError(path, None, f"its {name} says that it is {shape}, of which {stored:,} bytes are stored", COPY_AGAIN)
    if not node.dtype.hasobject or not says:
        return
    if says > MOST_TEXTS:
        raise InputError(path, None, f"its {name} has {shape} texts, of which at most {MOST_TEXTS:,} are read", "Divide it.")
    step = max(1, _AT_ONCE * len(node) // says) if node.ndim else 1
    for first in range(0, len(node) if node.ndim else 1, step):
        _ = node[first : first + step] if node.ndim else node[()]
