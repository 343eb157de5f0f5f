"""Processes that work for another one, and end with it."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import threading


def serve_parent() -> None:
    """To be called first in a process that multiprocessing spawned: Ctrl-C is the parent's to hear, and when the parent is gone, killed even, so is this one.

    Else it would compute on for nobody, or wait for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    # A library that holds the interpreter for minutes (scikit-learn) keeps that thread from running. The kernel sends SIGIO, which ends a
    # process that does not handle it, when nobody can write to the sentinel any more: it is a pipe, and its other end is the parent's.
    if hasattr(fcntl, "F_SETOWN") and hasattr(os, "O_ASYNC"):
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, fcntl.fcntl(parent.sentinel, fcntl.F_GETFL) | os.O_ASYNC)
