"""Progress of long work by bytes read: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

_EVERY = 10.0  # seconds between plain lines


class Progress:
    """A context manager; `total` is in bytes. Call `begin` for each file and `update` as it is read. Writes to standard error."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = max(total, 1)
        self._records = self._before = 0
        self._started = self._said = time.monotonic()
        # One line per bar, gone when done: what stays on the screen is the summary.
        self._bar = tqdm(total=total, desc=what, unit="B", unit_scale=True, unit_divisor=1024, leave=False, disable=not sys.stderr.isatty())

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()

    def begin(self, before: int) -> None:
        """A file begins; `before` are the bytes of those before it."""
        self._before = before

    def update(self, position: int, records: int) -> None:
        """So many bytes of the file were read, and so many more records written."""
        done = self._before + position
        self._records += records
        now = time.monotonic()
        if not self._bar.disable:
            self._bar.set_postfix_str(f"{self._records:,} records", refresh=False)
            self._bar.update(done - self._bar.n)
        elif now - self._said >= _EVERY:
            self._said = now
            left = (now - self._started) * (self._total - done) / max(done, 1)
            print(
                f"{self._what}: {100 * done / self._total:.0f}%, {self._records:,} records, about {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
