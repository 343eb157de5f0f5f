"""The fuzzer: `make fuzz`, or `python -m tests.fuzz.run`.

Each input is made from its label alone (SEED and a number), written to a file, and read by its reader in a process of its own kind, which

- ends an input that takes longer than LIMIT seconds, with the stack of all threads (faulthandler, which needs no interpreter that answers);
- has so many bytes of addresses beyond what it had when it began (Reader.memory): what wants more fails, and is a finding;
- takes anything for a finding but chunks that the store could take and the project's own errors (check.py), and any file that is left behind.

A finding is printed with its reader and label, and its input is kept; `--again READER FILE` reads that file once more.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.conftest import ROOT

INPUTS = 1_000_000
LIMIT = 20
"""Seconds for one input, of which nearly all take a thousandth; other processes may have the processor meanwhile."""

COMMAND = ["-m", "tests.fuzz.run"]
"""What a worker is started with."""

ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Environment of a worker: no addresses for threads that don't run and pools that are not used, so that those it has are of what it reads."""

LARGE = 100_000
"""Inputs of a run from which on it also reads the large files (extremes.py), which take minutes."""

FEWEST = 500
"""Inputs of each reader at least."""

_LEARN = 40  # inputs of each reader by which its speed is told
_STACK = 64  # frames of the longest traceback that is shown


@dataclass
class Finding:
    """Something that a reader must not do: which reader, with which input, what it was, and where the input is kept."""

    reader: str
    label: str
    what: str
    kept: Path | None = None

    @property
    def place(self) -> str:
        """What tells two findings apart: the kind of the error, and the lines of the project that it came from."""
        lines = [line.strip() for line in self.what.splitlines()]
        own = [
            line.split(", in ")[0]
            for line in lines
            if line.startswith("File ") and f"{ROOT}/" in line and "/tests/" not in line and "/.venv/" not in line
        ]
        return re.sub("0x[0-9a-f]+|[0-9]+", "N", lines[-1].split(": /")[0][:60] if lines else "") + f" {own[-1:] or ''}"


@dataclass
class Report:
    """What came of a run: inputs and seconds by reader, what they ended in, findings, and the most memory that a process had, in bytes."""

    inputs: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    memory: int = 0


def read_one(reader: Any, path: Path) -> tuple[bool, int]:
    """Reads one file: whether it was refused, and else how many records it is of. Raises what is a finding."""
    from tests.fuzz import check

    try:
        return False, check.chunks(reader.take(path))
    except check.ERRORS as error:
        check.message(error, path)
        return True, 0


def work(folder: Path, jobs: Sequence[tuple[str, str, int, int]], out: IO[str], limit: float = LIMIT) -> None:
    """What a worker does: for each (reader, seed, first, last) the inputs with these numbers, in `folder`. Writes a line of JSON for each finding and each job.

    The file `now` there says which input is being read, in case that the process does not live to tell.
    """
    from loaders import hdf5
    from tests.fuzz import extremes
    from tests.fuzz.readers import BY_NAME

    hdf5.PATIENCE = 1.0  # of what comes to no end in the process that looks there are many here
    warnings.simplefilter("error")
    place = folder / "in"
    place.mkdir(exist_ok=True)
    with (folder / "stacks").open("w") as log, (folder / "now").open("w") as now:
        faulthandler.enable(log)
        for name, seed, first, last in jobs:
            reader = BY_NAME[name]
            told: dict[str, Any] = {"job": name, "inputs": last - first, "refused": 0, "records": 0}
            begun = time.perf_counter()
            _bound(reader.memory if seed == extremes.SEED else None)
            for number in range(first, last):
                label = f"{seed}/{number}"
                ending, data = reader.make(label)
                path = place / f"{name}.{seed}.{number}{ending}"
                path.write_bytes(data)
                os.pwrite(now.fileno(), json.dumps([name, label, number, str(path)]).ljust(500).encode(), 0)
                faulthandler.dump_traceback_later(limit, exit=True, file=log)
                try:
                    refused, records = read_one(reader, path)
                    told["refused"] += refused
                    told["records"] += records
                except BaseException as error:
                    _tell(out, name, label, "".join(traceback.format_exception(error, limit=-_STACK)), path)
                faulthandler.cancel_dump_traceback_later()
                path.unlink()
                if left := [each for each in place.iterdir() if not any(each.name == path.name + ending for ending in reader.beside)]:
                    _tell(out, name, label, f"left behind: {', '.join(each.name for each in left)}", None)
                for each in place.iterdir():
                    each.unlink()
                if number == first:  # by now what is loaded once is there
                    _bound(reader.memory)
            told |= {"seconds": time.perf_counter() - begun, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10}
            gc.collect()
            print(json.dumps(told), file=out, flush=True)


def _bound(memory: int | None) -> None:
    """Bounds the addresses of this process to so many bytes more than it has; None for no bound."""
    most = (
        resource.RLIM_INFINITY if memory is None else int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + memory
    )
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def _tell(out: IO[str], name: str, label: str, what: str, path: Path | None) -> None:
    kept = None
    if path is not None:
        kept = path.parent.parent / f"kept.{path.name}"
        kept.write_bytes(path.read_bytes())
    print(json.dumps({"reader": name, "label": label, "what": what[-6000:], "kept": kept and str(kept)}), file=out, flush=True)


def run(jobs: Sequence[tuple[str, str, int, int]], folder: Path, report: Report, limit: float = LIMIT) -> None:
    """Does jobs in a process of its own, and in another one for what is left where it dies, which is a finding."""
    left = list(jobs)
    while left:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "now").unlink(missing_ok=True)
        settings = [str(folder), json.dumps(left), str(limit)]
        command = [sys.executable, *COMMAND, "--work", *settings]
        with (
            (folder / "errors").open("w") as errors,
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | ALONE) as process,
        ):
            assert process.stdout is not None
            done = 0
            for line in process.stdout:
                done += _heard(json.loads(line), report)
            code = process.wait()
        left = left[done:]
        if code == 0:
            return
        report.findings.append(found := _death(folder, code))
        if not left or found.reader != left[0][0]:
            raise RuntimeError(found.what)
        name, seed, _, last = left[0]
        first = int(found.label.rpartition("/")[2]) + 1
        report.inputs[name] += first - left[0][2]
        left[0] = (name, seed, first, last)


def _heard(line: dict[str, Any], report: Report) -> bool:
    """Adds what a worker told; True where a job is done."""
    if "job" not in line:
        report.findings.append(Finding(line["reader"], line["label"], line["what"], line["kept"] and Path(line["kept"])))
        return False
    name = line["job"]
    report.inputs[name] += line["inputs"]
    report.seconds[name] += line["seconds"]
    report.refused[name] += line["refused"]
    report.records[name] += line["records"]
    report.memory = max(report.memory, line["memory"])
    return True


def _death(folder: Path, code: int) -> Finding:
    """The finding of a process that ended in the midst of an input."""
    said = "".join((folder / name).read_text(errors="replace")[-3000:] for name in ("errors", "stacks") if (folder / name).exists())
    what = f"{said}\nthe process ended with {code}: {'no end within the limit' if 'Timeout' in said else 'it crashed'}"
    if not (folder / "now").exists():
        return Finding("", "0", what)
    name, label, _, path = json.loads((folder / "now").read_text())
    kept = folder / f"kept.{Path(path).name}"
    if Path(path).exists():
        Path(path).replace(kept)
    for each in (folder / "in").iterdir():
        each.unlink()
    return Finding(name, label, what, kept)


def shares(speeds: dict[str, float], inputs: int) -> dict[str, int]:
    """How many inputs each reader gets: FEWEST, or as many as there are for all alike, and of the rest as many as its speed (inputs a second) is of all."""
    fewest = min(FEWEST, inputs // len(speeds))
    rest, total = inputs - fewest * len(speeds), sum(speeds.values())
    found = {name: fewest + int(rest * speed / total) for name, speed in speeds.items()}
    found[max(speeds, key=lambda name: speeds[name])] += inputs - sum(found.values())
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code: 1 for any finding."""
    parser = argparse.ArgumentParser(
        "python -m tests.fuzz.run", description="Reads damaged files, and says what readers must not have done."
    )
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--seed", default="1")
    parser.add_argument("--reader", action="append", help="Only this one; more than once for several.")
    parser.add_argument("--again", nargs=2, metavar=("READER", "FILE"), help="Read one input that was kept once more.")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        folder, jobs, limit = options.work
        work(Path(folder), json.loads(jobs), sys.stdout, float(limit))
        return 0
    if options.again:
        return again(*options.again)
    return fuzz(options.inputs, options.processes, options.seed, options.reader or ())


def again(name: str, file: str) -> int:
    """Reads one input in this process, with what it raises as it is."""
    from tests.fuzz.readers import BY_NAME

    warnings.simplefilter("error")
    refused, records = read_one(BY_NAME[name], Path(file))
    print("refused" if refused else f"read: {records:,} records")
    return 0


def fuzz(inputs: int, processes: int, seed: str, only: Sequence[str]) -> int:
    """A whole run. Returns 1 for any finding."""
    from concurrent.futures import ThreadPoolExecutor

    from tests.fuzz import extremes
    from tests.fuzz.readers import READERS

    names = [reader.name for reader in READERS if not only or reader.name in only]
    kept = Path(tempfile.mkdtemp(prefix="vkg-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    report, begun = Report(), time.monotonic()
    learn = min(_LEARN, max(1, inputs // (4 * len(names))))
    run([(name, seed, 0, learn) for name in names], kept / "learn", report)
    speeds = {name: report.inputs[name] / max(1e-6, report.seconds[name]) for name in names}
    rest = shares(speeds, max(0, inputs - learn * len(names)))
    print(f"{inputs:,} inputs, seed {seed}, {len(names)} readers, {processes} processes; findings are kept in {kept}", flush=True)
    with ThreadPoolExecutor(processes) as pool:
        parts = list(pool.map(lambda at: _part(at, processes, rest, learn, seed, kept / f"worker{at}"), range(processes)))
    for part in parts:
        for counted in ("inputs", "seconds", "refused", "records"):
            getattr(report, counted).update(getattr(part, counted))
        report.findings += part.findings
        report.memory = max(report.memory, part.memory)
    if inputs >= LARGE:
        large = [
            (reader.name, extremes.SEED, 0, len(extremes.EXTREMES)) for reader in READERS if reader.kind == "text" and reader.name in names
        ]
        run(large, kept / "extremes", report, limit=extremes.LIMIT)
    for line in told(report, time.monotonic() - begun):
        print(line)
    return 1 if report.findings else 0


def _part(at: int, processes: int, rest: dict[str, int], begin: int, seed: str, folder: Path) -> Report:
    """What one of some processes does: its part of each reader's inputs, a thousand or so at a time."""
    report = Report()
    jobs = []
    for name, count in rest.items():
        ends = range(begin, begin + count, 1000)
        jobs += [(name, seed, first, min(begin + count, first + 1000)) for first in ends[at::processes]]
    run(jobs, folder, report)
    return report


def told(report: Report, seconds: float) -> Iterator[str]:
    """What is printed of a run."""
    yield f"{'reader':<16} {'inputs':>9} {'inputs/s':>9} {'refused':>8} {'records':>10}"
    for name, count in report.inputs.items():
        rate = count / max(1e-9, report.seconds[name])
        yield f"{name:<16} {count:>9,} {rate:>9,.0f} {report.refused[name] / max(1, count):>8.0%} {report.records[name]:>10,}"
    total = report.inputs.total()
    yield f"{total:,} inputs in {seconds:,.0f} s, {total / seconds:,.0f} inputs/s; at most {report.memory >> 20:,} MiB in a process"
    places = Counter((found.reader, found.place) for found in report.findings)
    shown = set()
    for found in report.findings:
        if (key := (found.reader, found.place)) in shown:
            continue
        shown.add(key)
        yield f"\n{found.reader} {found.label}: {places[key]} times\n{found.what}\n  again: python -m tests.fuzz.run --again {found.reader} {found.kept}"
    yield f"{len(report.findings):,} findings in {len(places)} places" if report.findings else "no findings"


if __name__ == "__main__":
    sys.exit(main())
