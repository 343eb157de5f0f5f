"""Reading ahead: an iterator runs in a thread of its own while its results are used, so that parsing and writing overlap."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_LOOK_UP = 0.1  # seconds after which a waiting thread looks whether it is still wanted


@contextmanager
def ahead(items: Generator[T, None, None], depth: int = 1) -> Iterator[Iterator[T]]:
    """Gives the items of a generator, of which at most `depth` wait to be taken, made in another thread.

    What the generator raises is raised here. On leaving, early or not, the generator is closed and its thread has ended.
    """
    waiting: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    unwanted = threading.Event()

    def put(item: T | None, error: BaseException | None) -> bool:
        while not unwanted.is_set():
            try:
                waiting.put((item, error), timeout=_LOOK_UP)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for item in items:
                if not put(item, None):
                    return
            put(None, None)
        except BaseException as error:
            put(None, error)
        finally:
            items.close()

    def taken() -> Iterator[T]:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item

    thread = threading.Thread(target=run, name="reader", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        unwanted.set()
        thread.join()
