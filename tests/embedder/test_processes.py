"""Processes end with the one that they work for, whatever they are at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT

PROGRAM = """
import ctypes, multiprocessing, os, sys, time
from embedder.processes import serve_parent

def child(pipe, how):
    serve_parent()
    pipe.send(os.getpid())
    if how == "waits":
        time.sleep(60)
    ctypes.PyDLL(None).sleep(60)  # as a library does that holds the interpreter

if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    spawn.Process(target=child, args=(there, sys.argv[1]), daemon=True).start()
    print(here.recv(), flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("how", ["waits", "computes"])
@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_ends_with_its_parent_and_hears_no_ctrl_c(tmp_path: Path, how: str, way: signal.Signals) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, str(script), how], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    try:
        child.send_signal(signal.SIGINT)
        with pytest.raises(psutil.TimeoutExpired):
            child.wait(0.5)
        parent.send_signal(way)
        parent.wait(10)
        child.wait(5)
    finally:
        parent.kill()
        parent.communicate()
        if child.is_running():
            child.kill()
