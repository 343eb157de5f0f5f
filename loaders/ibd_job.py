"""From files and options to a load of segments shared by descent: everything that is settled, or refused, before anything is written."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path

import psycopg
import pyarrow as pa

from loaders import ibd, ibd_layout
from loaders.errors import InputError, LoaderError
from loaders.genetic_map import read_map
from loaders.run import Job, Read, say
from loaders.source import source_file
from store.assembly import NAMES
from store.assembly import chrom as chrom_of
from store.callset import Callset, callsets
from store.copy import Chunk
from store.genome import genome
from store.sample import cohort_mentioned, knows

AUTO = "auto"


def ibd_job(
    conn: psycopg.Connection,
    files: Sequence[Path],
    *,
    source: str = AUTO,
    source_version: str | None = None,
    chrom: Sequence[str] = (),
    genetic_map: Sequence[Path] = (),
    callset: str | None = None,
    cohort: str | None = None,
    create_samples: bool = False,
    surveyed_cm: float | None = None,
    dataset: str | None = None,
    version: str | None = None,
    hold: bool = False,
    strict: bool = False,
) -> tuple[Job, Read]:
    """The job and the reader of a load of files of one run; the options are those of `vkg load ibd`.

    A dataset without a name is named as the first file, its ending kept, since a VCF beside it may have the same stem. For the cohort see
    store.sample.cohort_mentioned. Raises InputError, LoaderError and StoreError for what must not be loaded.
    """
    source, layouts = _layouts(files, source)
    codes = _chromosomes(files, source, layouts, chrom)
    known_map = read_map(genetic_map) if genetic_map else None
    if surveyed_cm is not None and not 0 < surveyed_cm < math.inf:
        raise LoaderError(
            f"--surveyed-cm is {surveyed_cm}, not a length\n  Give how much of the autosomes was searched, in cM (all: about 3,500)."
        )
    dataset = dataset or files[0].name.removesuffix(".gz").removesuffix(".bgz")
    callset, _, callset_version = (callset or "").partition("@")
    if callset and (found := _visible(conn, callset, callset_version)):
        callset_version = found.version
        if cohort and cohort != found.cohort:
            raise LoaderError(f"--cohort is {cohort}, but callset {callset} has people of cohort {found.cohort}\n  Leave --cohort out.")
    elif callset and not callset_version:
        raise LoaderError(
            f"no callset {callset} is visible, so that nobody knows in which version of it the segments were found\n"
            f"  Say which: --callset {callset}@VERSION, or load it first."
        )
    elif callset:
        say(f"no callset {callset}@{callset_version} is visible now: segments refer to its genotypes once it is")
    cohort_now = None
    if not cohort:
        cohort_now = partial(
            _cohort, dataset=dataset, callset=callset, version=callset_version, own=Path(dataset).stem if create_samples else None
        )
        cohort = cohort_now(conn)
        say(f"cohort {cohort}" + ("" if callset and _visible(conn, callset, callset_version) else ": --cohort NAME says otherwise"))
    divided = [layout is not None and _divided(conn, cohort, path, layout) for path, layout in zip(files, layouts, strict=True)]
    phased = _phased(files, source, layouts, divided)
    run = {
        "source": source,
        "source_version": source_version,
        "cohort": cohort,
        "callset": callset or None,
        "callset_version": callset_version or None,
        "phased": phased,
        "surveyed_cm": surveyed_cm,
        "map_cm": known_map and known_map.lengths_cm(),
    }
    row = pa.RecordBatch.from_pylist([run], schema=ibd.SCHEMA["ibd_run"])
    build = genome(conn).assembly

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        reader = ibd.Reader(
            files[ordinal], layouts[ordinal], build, ordinal, codes[ordinal], divided=divided[ordinal], genetic_map=known_map, run=row
        )
        return reader.read(after)

    options = {
        **run,
        "create_samples": create_samples,
        "divided": divided,
        "chrom": [NAMES[code - 1] for code in codes if code],
        "genetic_map": known_map and known_map.digest,
    }
    sources = [source_file(path) for path in files]
    for n, again in enumerate(sources):
        if first := next((one for one in sources[:n] if one.sha256 == again.sha256 and layouts[n] is not None), None):
            raise InputError(files[n], None, f"the same content as {first.path}", "Give each file once.")
    return Job("ibd", sources, dataset, version, options, hold=hold, strict=strict, cohort_now=cohort_now), chunks


def _layouts(files: Sequence[Path], source: str) -> tuple[str, list[ibd_layout.Layout | None]]:
    """The source of files and the layout of each, None for one without lines. Raises InputError or LoaderError where they are not of one source."""
    if source not in (AUTO, *ibd_layout.SOURCES):
        raise LoaderError(f"unknown source {source!r}\n  Known are: {', '.join(ibd_layout.SOURCES)}; {AUTO} where the files tell.")
    found = [ibd_layout.layouts(path, None if source == AUTO else source) for path in files]
    if source == AUTO:
        possible = [s for s in ibd_layout.SOURCES if any(found) and all(not these or s in {a.source for a in these} for these in found)]
        if len(possible) != 1:
            asked = f"Say which tool wrote them: --source {'|'.join(possible or ibd_layout.SOURCES)}"
            reason = "nothing tells its source: it is empty" if not any(found) else f"it may be of {' or of '.join(possible)}"
            raise InputError(files[0], None, reason if possible or not any(found) else "the files are not of one source", asked)
        (source,) = possible
    return source, [next((a for a in these if a.source == source), None) for these in found]


def _chromosomes(files: Sequence[Path], source: str, layouts: Sequence[ibd_layout.Layout | None], chrom: Sequence[str]) -> list[int]:
    """The code of each file's chromosome; 0 where its lines tell. Raises InputError, LoaderError and InvalidName."""
    tells = all("chrom" in layout.columns for layout in ibd_layout.LAYOUTS if layout.source == source)
    if tells and chrom:
        raise LoaderError(f"--chrom is given, but files of {source} name their chromosomes\n  Leave it out.")
    if not tells and len(chrom) != len(files):
        remedy = "Give --chrom once for each file, in their order."
        raise InputError(files[0], None, f"files of {source} do not name their chromosome: {len(files)} files, {len(chrom)} given", remedy)
    return [0] * len(files) if tells else [chrom_of(name) for name in chrom]


def _visible(conn: psycopg.Connection, callset: str, version: str) -> Callset | None:
    """The visible callset of a name and, where one is given, version."""
    return next((c for c in callsets(conn) if c.dataset == callset and version in ("", c.version)), None)


def _cohort(conn: psycopg.Connection, *, dataset: str, callset: str, version: str, own: str | None) -> str:
    found = _visible(conn, callset, version)
    return cohort_mentioned(conn, dataset, found.cohort if found else None, own)


def _divided(conn: psycopg.Connection, cohort: str, path: Path, layout: ibd_layout.Layout) -> bool:
    """True where names in a file are of a sample and its haplotype, or its family, and not samples' own."""
    if layout.always or layout.names is None:
        return layout.always
    names = ibd.divisible_names(path, layout)
    return bool(names) and not knows(conn, cohort, names)


def _phased(files: Sequence[Path], source: str, layouts: Sequence[ibd_layout.Layout | None], divided: Sequence[bool]) -> bool:
    """True where segments say which haplotypes they join. Raises InputError where those of some files do and of others do not."""
    said = [(path, layout.phased(parts)) for path, layout, parts in zip(files, layouts, divided, strict=True) if layout]
    if not said:
        return any(layout.phased(layout.always) for layout in ibd_layout.LAYOUTS if layout.source == source)
    first, phased = said[0]
    for path, other in said:
        if other != phased:
            with_them, without = (first, path) if phased else (path, first)
            raise InputError(
                without, None, f"its segments do not say which haplotypes they join, those of {with_them} do", "Load them apart."
            )
    return phased
