"""The one way in: every format's chunks go through `ingest`, which makes a load atomic, idempotent and resumable.

    hash -> ledger (store.load.begin) -> chunks, read in one thread and written in another -> finish, or abort

What goes wrong takes the load out again, Ctrl-C included. A process that dies leaves an unfinished load, which the same
command goes on with after the last chunk that was committed. `vkg doctor` shows those that nobody went on with.
"""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from loaders.ahead import ahead
from loaders.errors import InputError, Interrupted
from loaders.progress import Progress
from loaders.rejects import RejectsFile
from store.copy import Chunk, Reject, prepare
from store.database import wrap_errors
from store.errors import StoreError
from store.load import AlreadyLoaded, Load, SourceFile, Written, begin
from store.release import current

_ROWS = {
    "variants": ("variant_record",),
    "genes": ("gene",),
    "scores": ("variant_score",),
    "samples": ("sample_info",),
    "ibd": ("ibd_segment", "hbd_segment"),
    "populations": ("population",),
    "ancestry": ("ancestry",),
    "frequencies": ("population_frequency",),
    "v2f": ("v2f_score", "v2f_element"),
    "enformer": ("enformer_effect",),
    "metacells": ("metacell",),
    "clusters": ("variant_cluster",),
}
"""The tables that a load of each kind is about."""

_ENDINGS = (
    ".gz", ".bgz", ".vcf", ".bcf", ".gtf", ".tsv", ".txt", ".csv", ".panel", ".ped", ".fam", ".psam", ".eigenvec", ".h5", ".h5ad",
)  # fmt: skip

_MAY_BE_EMPTY = ("ibd",)
"""The kinds of which nothing is a result: that nobody shares by descent."""

Read = Callable[[int, int], Generator[Chunk, None, None]]
"""(ordinal of the file, line after which to begin) -> its chunks; their `end` is such a line. A chunk without rows and records
only moves the progress bar."""

_UNFINISHED = "The unfinished load is invisible; load again to complete it, or see vkg doctor."
_COMPLETE = "The load was complete by then and was kept: see vkg loads."


@dataclass(frozen=True)
class Job:
    """What to load and how. `options` are those that decide what the rows are: the same files with the same are a no-op. `cohort_now` chose
    the cohort in them, where nobody gave one."""

    kind: str
    files: Sequence[SourceFile]
    dataset: str
    version: str | None
    options: dict
    hold: bool = False
    normalized: bool = True
    strict: bool = False
    cohort_now: Callable[[psycopg.Connection], str] | None = None


@dataclass(frozen=True)
class Outcome:
    """A load as it was written; `release` is the one that shows it, None when held; `rejects` are the files written."""

    load: Load
    release: int | None
    rejects: list[Path]


def say(message: str) -> None:
    """Tells the user something along the way, on standard error."""
    print(message, file=sys.stderr, flush=True)


def ingest(conn: psycopg.Connection, job: Job, read: Read) -> Outcome | AlreadyLoaded:
    """Loads all files of a job as one load, and publishes it unless held.

    `conn` must be in autocommit mode. Raises InputError (with `strict`, also for the first reject), Interrupted or
    StoreError; the load is then taken out again as a whole.
    """
    with wrap_errors():
        load = begin(
            conn,
            dataset=job.dataset,
            kind=job.kind,
            version=job.version,
            files=job.files,
            options=job.options,
            hold=job.hold,
            normalized=job.normalized,
            cohort_now=job.cohort_now,
        )
        if isinstance(load, AlreadyLoaded):
            return load
        if load.progress:
            say(f"going on with {load.dataset} {load.version} after {load.counts['records']:,} records")
    rejects: list[RejectsFile] = []
    with _interrupts() as interrupts:
        try:
            with wrap_errors(), _quiet_gc(), _short_turns(), Progress(load.dataset, sum(f.bytes for f in job.files)) as progress:
                for ordinal, file in enumerate(job.files):
                    already = load.progress.get(ordinal, Written())
                    rejects.append(RejectsFile(Path(file.path), already.rejects, say))
                    progress.begin(sum(f.bytes for f in job.files[:ordinal]))
                    if not already.done:
                        with closing(_write(load, ordinal, read, rejects[-1], job.strict)) as chunks:
                            for chunk in chunks:
                                progress.update(chunk.position, chunk.records)
                                interrupts.stop_if_asked()
                _refuse_nothing(conn, load, job)
                interrupts.no_more()
                release = load.finish()
        except BaseException as error:
            left = _abort(load, rejects)
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted(f"interrupted; {left or 'nothing of this load was kept'}") from None
            if left:
                error.add_note(f"  {left}")
            raise
    for written in rejects:
        written.close()
    return Outcome(load, release, [r.path for r in rejects if r.path])


def _write(load: Load, ordinal: int, read: Read, rejects: RejectsFile, strict: bool) -> Generator[Chunk, None, None]:
    """Writes a file from where it stands, and gives each chunk when it is committed."""

    def report(found: Sequence[Reject]) -> None:
        if strict and found:
            first = found[0]
            raise InputError(
                rejects.source,
                first.line,
                f"{first.reason}: {first.detail}".rstrip(": "),
                "Load without --strict to keep the other records; they are listed in the rejects file.",
            )
        rejects.add(found)

    with ahead(_prepared(read(ordinal, load.progress.get(ordinal, Written()).end), load.load_id)) as chunks:
        for chunk in chunks:
            if chunk.tables or chunk.records:
                load.write(ordinal, chunk, report)
            yield chunk
    load.file_done(ordinal)


def _prepared(chunks: Generator[Chunk, None, None], load_id: int) -> Generator[Chunk, None, None]:
    """The chunks, with what can be done for the server before it is their turn."""
    with closing(chunks):
        for chunk in chunks:
            yield prepare(chunk, load_id)


def _refuse_nothing(conn: psycopg.Connection, load: Load, job: Job) -> None:
    """Raises InputError where every record was rejected, or where there is none and another version is visible: published, such a load would replace
    it by nothing."""
    if any(load.counts[table] for table in _ROWS[job.kind]):
        return
    if load.reasons:
        reason, n = load.reasons.most_common(1)[0]
        raise InputError(
            job.files[0].path,
            None,
            f"nothing of it could be loaded: {n:,} of {load.counts['records']:,} records rejected for: {reason}",
            "Check the options, and that it is the file you mean; --strict names the first line.",
        )
    if job.kind not in _MAY_BE_EMPTY and not job.hold and (version := _visible(conn, load.dataset, job.kind)):
        raise InputError(
            job.files[0].path, None, f"nothing in it to load, in place of {load.dataset} {version}",
            f"Check that it is the file you mean. To have nothing of {load.dataset}: vkg unload {load.dataset}@{version}",
        )  # fmt: skip


def _visible(conn: psycopg.Connection, dataset: str, kind: str) -> str | None:
    """The visible version of a dataset, where it has anything."""
    found = conn.execute(
        "SELECT l.version, l.counts FROM load l JOIN dataset d USING (dataset_id) WHERE d.name = %s AND l.load_id = ANY(%s)",
        (dataset, current(conn).loads),
    ).fetchone()
    return found[0] if found and any(found[1].get(table) for table in _ROWS[kind]) else None


def _abort(load: Load, rejects: Sequence[RejectsFile]) -> str:
    """Takes a load out again. Returns what is to be said where something of it is left: then the rejects files are too."""
    left = _UNFINISHED
    # The error that led here says more than the one of a connection that is gone.
    with suppress(StoreError, psycopg.Error, KeyboardInterrupt), wrap_errors():
        left = "" if load.abort() else _COMPLETE
    for file in rejects:
        file.close() if left else file.discard()
    return left


class _Interrupts:
    """Ctrl-C, asked for between chunks, of which there are several a second.

    Raised in the midst of a statement it would leave a connection on which nothing can be taken back. A second Ctrl-C
    does not wait; once the load is being finished, none is heard.
    """

    def __init__(self) -> None:
        self._asked = self._deaf = False

    def ask(self, *_: object) -> None:
        """Handler of SIGINT."""
        if self._asked and not self._deaf:
            raise KeyboardInterrupt
        self._asked = True

    def stop_if_asked(self) -> None:
        """Raises KeyboardInterrupt if Ctrl-C was pressed since."""
        if self._asked:
            raise KeyboardInterrupt

    def no_more(self) -> None:
        """From now on Ctrl-C does nothing; one that was pressed before still counts."""
        self._deaf = not self._asked
        self.stop_if_asked()


@contextmanager
def _interrupts() -> Iterator[_Interrupts]:
    interrupts = _Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = signal.signal(signal.SIGINT, interrupts.ask)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet_gc() -> Iterator[None]:
    """Loading makes millions of rows and no cycles; looking for some would take most of the time (docs/performance.md)."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _short_turns() -> Iterator[None]:
    """The writer often waits for the server, and each time for the interpreter, which the reader gives back only at the end of its
    turn: with turns of 5 ms, Python's default, loads take a seventh longer (docs/performance.md)."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def summary(outcome: Outcome | AlreadyLoaded) -> Iterator[str]:
    """What a command prints of a load: what was loaded, rejected by reason, left out, and odd."""
    if isinstance(outcome, AlreadyLoaded):
        shown = "" if outcome.visible else f", not visible (vkg publish {outcome.load_id})"
        yield f"{outcome.dataset} {outcome.version} is loaded already, from the same content: load {outcome.load_id}{shown}"
        return
    load = outcome.load
    rows = ", ".join(f"{n:,} {table}" for table, n in load.counts.items() if table not in ("records", "rejects", "variant"))
    yield f"{load.dataset} {load.version}: {load.counts['records']:,} records: {rows or 'nothing'}"
    if "variant" in load.counts:
        yield f"  {load.counts['variant']:,} variants were new to the store"
    for title, counts in (("rejected", load.reasons), ("left out", load.skipped), ("odd", load.warnings)):
        for name, n in counts.most_common():
            yield f"  {title}: {n:,} {name}"
    for path in outcome.rejects:
        yield f"  the rejected rows are in {path}"
    if outcome.release is None:
        yield f"  held: make it visible with vkg publish {load.load_id}"
    else:
        yield f"  visible as of release {outcome.release}"


def dataset_name(path: Path) -> str:
    """The name of a dataset whose file was given none: the file's, without its endings."""
    name = path.name
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name or path.name
