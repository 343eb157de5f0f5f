"""Cells of a text: many pieces of it looked at together, divided at a character, and read as numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from store.planes import NO_NUMBER

_DIGITS = 10  # of the largest number that is read, 2^31 - 1
_DOT = ord(".")


@dataclass(frozen=True)
class Cells:
    """Cell (r, i) is data[start[r, i]:end[r, i]]; `data` is (bytes,) uint8 and goes on after the last cell."""

    data: np.ndarray
    start: np.ndarray
    end: np.ndarray
    _marks: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def rows(self, rows: np.ndarray) -> Cells:
        """The cells of some rows."""
        return replace(self, start=self.start[rows], end=self.end[rows])

    def part(self, mark: str, number: np.ndarray) -> Cells:
        """Of each cell, divided at `mark`, the part with this number (broadcast to the cells) from 0; an empty cell where there is none."""
        before, places = self._found(ord(mark))
        first = before[self.start]
        count = before[self.end] - first
        here = first + number
        start = np.where(number > 0, places.take(here - 1, mode="clip") + 1, self.start)
        end = np.where(number < count, places.take(here, mode="clip"), self.end)
        there = (number >= 0) & (number <= count)
        return replace(self, start=np.where(there, start, 0), end=np.where(there, end, 0))

    def numbers(self, *, rounded: bool = False) -> tuple[np.ndarray, int]:
        """(rows, cells) int32, NO_NUMBER for an empty cell, a dot, and what is no whole number from 0: how many were that, too.

        With `rounded`, other numbers become whole ones.
        """
        length = self.end - self.start
        missing = (length == 0) | ((length == 1) & (self.data[self.start] == _DOT))
        sound = ~missing & (length <= _DIGITS)
        value = np.zeros(length.shape, np.int64)
        for place in range(min(_DIGITS, int(length.max(initial=0)))):
            inside = place < length
            digit = self.data.take(self.start + place, mode="clip") - np.uint8(ord("0"))  # others wrap to more than 9
            value = np.where(inside, 10 * value + digit, value)
            sound &= ~inside | (digit <= 9)
        sound &= value < 1 << 31
        value[~sound] = NO_NUMBER
        bad = 0
        for row, cell in np.argwhere(~sound & ~missing).tolist():
            number = _rounded(self.text(row, cell)) if rounded else None
            value[row, cell] = NO_NUMBER if number is None else number
            bad += number is None
        return value.astype(np.int32), bad

    def text(self, row: int, cell: int) -> bytes:
        """The text of one cell."""
        return self.data[self.start[row, cell] : self.end[row, cell]].tobytes()

    def _found(self, mark: int) -> tuple[np.ndarray, np.ndarray]:
        """How many marks stand before each place of the data, and where they are (one more at the end, for a text without)."""
        if mark not in self._marks:
            there = self.data == mark
            self._marks[mark] = np.cumsum(there, dtype=np.int32) - there, np.append(np.flatnonzero(there), 0)
        return self._marks[mark]


def _rounded(text: bytes) -> int | None:
    try:
        number = round(float(text))
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < 1 << 31 else None
