"""Files that commands write: there only when they are complete, and never in place of anything but a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pysam

from .errors import OutputError

Write = Callable[[str], Any]

_REMEDY = "Choose another --output."


def file_of(output: Path) -> Path:
    """The file that an --output names, through links, which stay: one that is there, or a new one in a folder that is. Raises OutputError for anything
    else: what is written takes the place of what was there, and a device, a pipe or a folder is not to be replaced."""
    try:
        target = output.resolve()
        if target.is_file():
            return target
        if target.exists():
            raise OutputError(f"{output}: is a folder or a device, not a file", _REMEDY)
        if not target.parent.is_dir():
            raise OutputError(f"{output}: there is no folder {target.parent}", _REMEDY)
    except (OSError, RuntimeError) as error:  # too long, not to be read; links that go round
        raise OutputError(f"{output}: {getattr(error, 'strerror', None) or error}", _REMEDY) from None
    return target


@contextmanager
def writing(output: Path) -> Iterator[Write]:
    """Writes text to a file, by bgzip where its name ends in .gz. What is raised inside leaves what was there. Raises OutputError where it cannot be written."""
    target = file_of(output)
    partial = target.with_name(target.name + ".partial")
    try:
        with _writer(partial, compressed=target.suffix == ".gz") as write:
            yield write
        partial.replace(target)
    except OSError as error:
        raise OutputError(f"{output}: {error.strerror}", _REMEDY) from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def _writer(path: Path, *, compressed: bool) -> Iterator[Write]:
    if compressed:
        with pysam.BGZFile(str(path), "w", None) as file:
            yield lambda text: file.write(text.encode())
    else:
        with path.open("w", encoding="utf-8") as plain:
            yield plain.write
