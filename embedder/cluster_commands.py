"""`vkg cluster`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import psycopg
import typer

from embedder.cluster import KIND, MIN_SIZE, Outcome, Parameters, cluster
from embedder.errors import EmbedderError
from embedder.progress import say
from store import embedding
from store.cluster import members
from store.commands import opened
from store.errors import OutputError
from store.load import AlreadyLoaded
from store.output import file_of, writing
from store.region import Region
from store.release import current

cluster_group = typer.Typer()

HEADER = ("variant", "cluster", "probability")
"""Columns of the TSV: CHROM-POS-REF-ALT, the number of its cluster, from 1, and how far it belongs to it, 0 to 1."""


@cluster_group.command("cluster")
def cluster_variants(
    model: Annotated[
        str | None, typer.Option("--model", help="Name of a model that has embedded variants (vkg models list); else the only one.")
    ] = None,
    min_size: Annotated[int, typer.Option("--min-size", min=2, help="Fewest variants of a cluster.")] = MIN_SIZE,
    min_samples: Annotated[
        int | None,
        typer.Option(
            "--min-samples",
            min=1,
            help="So many of the nearest say how dense it is around a variant: fewer leave fewer out; else as --min-size.",
        ),
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option("--region", help="Only variants of CHROM:START-END. More than once for several.")
    ] = None,
    gene: Annotated[
        list[str] | None, typer.Option("--gene", help="Only variants in a gene, by symbol or identifier. More than once for several.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write a table, too: variant, cluster, probability; .tsv, or .tsv.gz.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the dataset; else clusters.MODEL. Another one keeps both.")] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Store, but don't publish: `vkg publish` makes it visible.")] = False,
) -> None:
    """Find clusters of variants whose vectors point the same way (HDBSCAN), and store them.

    Example: vkg cluster --model annotation --min-size 100 --output clusters.tsv
    """
    if name is not None and "@" in name:
        raise EmbedderError(f"not a name for clusters: {name!r}", "Leave @ out: it stands between a dataset and its version.")
    if output is not None:
        file_of(output)  # before hours of work
    try:
        with _stoppable() as stop, opened() as conn:
            of = _model(conn, model)
            loads = current(conn).loads
            ranges = [Region.parse(text).keys() for text in region or ()] + embedding.gene_ranges(conn, gene or (), loads)
            wanted = Parameters(min_size, min_samples or min_size, region or [], gene or [])
            made = cluster(conn, of, loads, ranges or embedding.EVERYWHERE, wanted, dataset=name, hold=hold, stop=stop)
            for line in summary(made):
                typer.echo(line)
            if output is not None:
                count = write(conn, made.load_id if isinstance(made, AlreadyLoaded) else made.load.load_id, output, stop)
                typer.echo(f"  {count:,} variants in {output}")
    except KeyboardInterrupt:
        say("vkg: interrupted; nothing unfinished was kept")
        raise typer.Exit(130) from None


def _model(conn: psycopg.Connection, name: str | None) -> embedding.Model:
    """A registered model by its name, or the only one. Raises EmbedderError."""
    known = embedding.models(conn)
    listed = ", ".join(each.name for each in known)
    if not known:
        raise EmbedderError("no variant has a vector yet", "Embed variants first: vkg embed")
    if name is None and len(known) > 1:
        raise EmbedderError("several models have vectors of variants", f"Name one with --model: {listed}")
    found = next((each for each in known if name in (None, each.name)), None)
    if found is None:
        raise EmbedderError(f"no model {name!r} is registered", f"In the store: {listed}")
    return found


def summary(made: Outcome | AlreadyLoaded) -> Iterator[str]:
    """What the command prints of clusters: how many there are, how many variants are in none, and where they are visible."""
    if isinstance(made, AlreadyLoaded):
        shown = "" if made.visible else f", not visible (vkg publish {made.load_id})"
        yield f"{made.dataset} {made.version} is there already, of the same vectors and options: load {made.load_id}{shown}"
        return
    load = made.load
    yield f"{load.dataset} {load.version}: {made.clusters:,} {KIND} of {load.counts['records']:,} variants"
    for reason, count in load.skipped.items():
        yield f"  {count:,} {reason}"
    if made.release is None:
        yield f"  held: make it visible with vkg publish {load.load_id}"
    else:
        yield f"  visible as of release {made.release}"


def write(conn: psycopg.Connection, load_id: int, output: Path, stop: Callable[[], None] = lambda: None) -> int:
    """Writes the members of a load's clusters to a .tsv file (store/output.py). Returns how many there are. Raises OutputError where it cannot be written."""
    count = 0
    try:
        with writing(output) as write, conn.transaction():
            write("\t".join(HEADER) + "\n")
            for variant, number, probability in members(conn, load_id):
                write(f"{variant}\t{number}\t{probability:.15g}\n")
                count += 1
                if not count % 1_000:
                    stop()
    except OutputError as error:
        raise OutputError(error.what, "The clusters are stored; choose another --output and run it again.") from None
    return count


@contextmanager
def _stoppable() -> Iterator[Callable[[], None]]:
    """Gives what raises KeyboardInterrupt once Ctrl-C was pressed: raised in the midst of a statement it would leave a connection on which nothing can be
    taken back. A second Ctrl-C does not wait."""
    asked = threading.Event()

    def stop() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
