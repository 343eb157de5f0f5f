"""The rejects of one input file: `<input>.rejects.tsv`, written only when there are any.

Columns: line, reason, detail, and the row as it stands in the file (with its own tabs, so that `cut -f4-` gives rows
back), cut to a sensible length.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count, takewhile
from pathlib import Path
from typing import IO

from store.copy import Reject

_LONGEST = 300  # characters of a detail
HEADER = "#line\treason\tdetail\trow\n"


def written(reject: Reject) -> str:
    """A reject as a line of the file. Of what a row can hold (HDF5 has any text) a line end would make it two, and a tab in the detail a column more."""
    detail, row = reject.detail[:_LONGEST].replace("\t", " "), reject.row.replace("\r", " ")
    return f"{reject.line}\t{reject.reason}\t{detail}\t{row}".replace("\n", " ") + "\n"


class RejectsFile:
    """Opened with the number of rejects that an earlier, cut off run has already written and that stay.

    A rejects file that an earlier load of the same input left behind is replaced, or removed when there are none. Another file of that
    name is left alone; the rejects are then in `<input>.rejects.2.tsv`.
    `say` is told when the rejects go to the current folder because the input's is not writable.
    """

    def __init__(self, source: Path, already: int, say: Callable[[str], None]) -> None:
        self.source = source
        self._folders = [source.parent, Path.cwd()]
        self._say = say
        self._file: IO[str] | None = None
        self.path: Path | None = None
        if already:
            self._reopen(already)
        else:
            self._remove_old()

    def add(self, rejects: Sequence[Reject]) -> None:
        """Writes rejects, down to the disk cache: what a commit counts is in the file before the commit."""
        if not rejects:
            return
        file = self._file or self._create()
        file.writelines(map(written, rejects))
        file.flush()

    def close(self) -> None:
        """Closes the file, if there is one."""
        if self._file:
            self._file.close()

    def discard(self) -> None:
        """Removes the file: the load it belongs to was taken out."""
        self.close()
        if self.path:
            self.path.unlink(missing_ok=True)

    def _create(self) -> IO[str]:
        for folder in self._folders:
            place = next(place for place in self._places(folder) if not os.path.lexists(place) or _is_ours(place))
            try:
                self._file = place.open("w", encoding="utf-8", errors="backslashreplace")
            except OSError:
                continue
            self.path = place
            if folder is not self._folders[0]:
                self._say(f"{self._folders[0]} is not writable; the rejects are in {place}")
            self._file.write(HEADER)
            return self._file
        self._say(f"the rejects can be written neither to {self._folders[0]} nor to {self._folders[1]}")
        self._file = open("/dev/null", "w")  # noqa: SIM115
        return self._file

    def _reopen(self, already: int) -> None:
        for place in self._old():
            try:
                with place.open("rb+") as file:
                    for _ in range(1 + already):
                        file.readline()
                    file.truncate(file.tell())
                self._file = place.open("a", encoding="utf-8", errors="backslashreplace")
            except OSError:
                continue
            self.path = place
            return

    def _remove_old(self) -> None:
        for place in self._old():
            with suppress(OSError):
                place.unlink()

    def _old(self) -> Iterator[Path]:
        """The rejects files of this input that are there."""
        for folder in self._folders:
            for place in takewhile(os.path.lexists, self._places(folder)):
                if _is_ours(place):
                    yield place

    def _places(self, folder: Path) -> Iterator[Path]:
        """The names that the file can have in a folder, best first."""
        yield folder / f"{self.source.name}.rejects.tsv"
        for number in count(2):
            yield folder / f"{self.source.name}.rejects.{number}.tsv"


def _is_ours(place: Path) -> bool:
    try:
        with place.open(encoding="utf-8", errors="replace") as file:
            return file.readline() == HEADER
    except OSError:
        return False
