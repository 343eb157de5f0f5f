"""The rejects of one input file: `<input>.rejects.tsv`, written only when there are any.

Columns: line, reason, detail, and the row as it stands in the file (with its own tabs, so that `cut -f4-` gives rows
back), cut to a sensible length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from store.copy import Reject

HEADER = "#line\treason\tdetail\trow\n"


class RejectsFile:
    """Opened with the number of rejects that an earlier, cut off run has already written and that stay.

    A rejects file that an earlier load of the same input left behind is replaced, or removed when there are none.
    `say` is told when the rejects go to the current folder because the input's is not writable.
    """

    def __init__(self, source: Path, already: int, say: Callable[[str], None]) -> None:
        self.source = source
        name = f"{source.name}.rejects.tsv"
        self._places = [source.parent / name, Path.cwd() / name]
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
        file.writelines(f"{r.line}\t{r.reason}\t{r.detail}\t{r.row}\n" for r in rejects)
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
        for place in self._places:
            try:
                self._file = place.open("w", encoding="utf-8")
            except OSError:
                continue
            self.path = place
            if place is not self._places[0]:
                self._say(f"{self._places[0].parent} is not writable; the rejects are in {place}")
            self._file.write(HEADER)
            return self._file
        self._say(f"the rejects can be written neither to {self._places[0].parent} nor to {self._places[1].parent}")
        self._file = open("/dev/null", "w")  # noqa: SIM115
        return self._file

    def _reopen(self, already: int) -> None:
        for place in self._places:
            try:
                with place.open("rb+") as file:
                    for _ in range(1 + already):
                        file.readline()
                    file.truncate(file.tell())
                self._file = place.open("a", encoding="utf-8")
            except OSError:
                continue
            self.path = place
            return

    def _remove_old(self) -> None:
        for place in self._places:
            try:
                with place.open(encoding="utf-8", errors="replace") as file:
                    ours = file.readline() == HEADER
                if ours:
                    place.unlink()
            except OSError:
                continue
