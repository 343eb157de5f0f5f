"""Progress of work whose end is known: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

_EVERY = 10.0  # seconds between plain lines


class Progress:
    """A context manager; `total` is how many `unit`s there are to do. Writes to standard error."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        self._what, self._total, self._unit = what, max(total, 1), unit
        self._done = 0
        self._started = self._said = time.monotonic()
        self._bar = tqdm(total=total, desc=what, unit=f" {unit}", leave=False, disable=not sys.stderr.isatty())

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()

    def update(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        now = time.monotonic()
        if not self._bar.disable:
            self._bar.update(count)
        elif now - self._said >= _EVERY:
            self._said = now
            rate = self._done / (now - self._started)
            left = max(self._total - self._done, 0) / rate if rate else 0
            share = min(100, 100 * self._done / self._total)
            say(f"{self._what}: {share:.0f}%, {self._done:,} {self._unit}, {rate:,.0f} a second, about {left:.0f} s left")

    def message(self, text: str) -> None:
        """Says something along the way, above the bar."""
        if self._bar.disable:
            say(text)
        else:
            self._bar.write(text, file=sys.stderr)


def say(message: str) -> None:
    """Tells the user something along the way, on standard error."""
    print(message, file=sys.stderr, flush=True)
