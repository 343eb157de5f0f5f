"""The commands of the read way: serve, query, schema, sql."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from starlette.applications import Starlette

from store import genome
from store.commands import opened
from store.database import Pools, database_url, open_pools, wrap_errors
from store.errors import StoreError
from store.read import Mode, compose, where
from store.reference import SMALL_WINDOW, Reference

from . import export_people
from .app import POOL_SIZE, Settings, application
from .changes import changes
from .context import Context, SequenceModel
from .errors import UserError
from .export import Selection, export
from .export_people import Found
from .relation import links
from .schema import build, sdl
from .shell import request
from .workers import OPTIONS
from .workers import serve as serve_with

graph = typer.Typer(no_args_is_help=True)
query = typer.Typer(help="Ask the store at the shell.", no_args_is_help=True)
graph.add_typer(query, name="query")

LoadModels = Callable[[Sequence[str]], Mapping[str, SequenceModel]]
MOST_WORKERS = 16
CONNECTIONS = 80
"""Connections of all workers together, one of each for news of releases, which leaves some of the hundred that PostgreSQL has unless told otherwise."""
Port = Annotated[int, typer.Option(help="TCP port.", min=1, max=65535)]


def settings() -> Settings:
    """What the API serves: the store of this environment. Raises StoreError where there is none."""
    url = database_url()
    with opened() as conn:
        found = genome.genome(conn)
    reference = None
    if found.reference_path is not None and found.reference_path.is_file():
        reference = Reference(found.reference_path, SMALL_WINDOW)
    return Settings(url, found.assembly, reference)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises StoreError when the port is taken or not allowed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise StoreError(f"port {port} of {host} is in use", "Choose another with --port, or stop what listens there.") from None
        raise StoreError(f"cannot listen on {host} port {port}: {error.strerror}", "Choose another --host or --port.") from None
    return sock


def run(host: str, port: int, app: Callable[[], Starlette], greeting: str, workers: int = 1) -> None:
    """Serves until interrupted, with so many processes that each make the application; says so once it can answer."""
    sock = listen(host, port)

    def greet() -> None:
        typer.echo(greeting)
        sys.stdout.flush()

    if workers > 1:
        serve_with(app, sock, workers, greet)
        return
    made = app()
    greet()
    uvicorn.Server(uvicorn.Config(made, **OPTIONS)).run([sock])


def make(origins: Sequence[str], models: Sequence[str], load: LoadModels | None, workers: int) -> Starlette:
    """The application over the store of this environment, in any process: one of `workers`, who share what connections the server has."""
    loaded = load(models) if models and load is not None else {}
    size = max(2, min(POOL_SIZE, (CONNECTIONS - workers) // (2 * workers)))
    made = application(replace(settings(), origins=tuple(origins), models=loaded, pool_size=size))
    keep()
    return made


def keep() -> None:
    """Keeps the collector of cycles from walking over what is there for ever, the schema above all, and from running in the middle of large answers."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@graph.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond 127.0.0.1, anybody who reaches it can read the store.")
    ] = "127.0.0.1",
    port: Port = 8000,
    origin: Annotated[list[str] | None, typer.Option("--allow-origin", help="Web origin whose pages may ask; may be repeated.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Load this model for variantsLikeSequence, by its name in vkg models; NAME=SOURCE where that is not where it is. May be repeated.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes that answer: one for each core that PostgreSQL does not need.", min=1, max=MOST_WORKERS)
    ] = 1,
) -> None:
    """Serve GraphQL at http://HOST:PORT/graphql.

    Example: vkg serve --port 8001
    """
    greeting = f"GraphQL at http://{host}:{port}/graphql, in a browser at http://{host}:{port}/graphiql (Ctrl-C ends it)"
    run(host, port, partial(make, origin or (), model or (), load_models, workers), greeting, workers)


load_models: LoadModels | None = None
"""Loads models of sequences by name. Another package has them: the front door puts it here."""


@graph.command()
def schema(
    against: Annotated[
        Path | None,
        typer.Option(
            help="Say instead what changed since this schema; exit code 1 where that breaks clients.", exists=True, dir_okay=False
        ),
    ] = None,
) -> None:
    """Print the GraphQL schema, or what changed in it.

    Example: vkg schema --against schema.graphql
    """
    current = sdl(build())
    if against is None:
        typer.echo(current, nl=False)
        return
    found = changes(against.read_text(encoding="utf-8"), current)
    typer.echo("\n".join(map(str, found)) or "Nothing that a client would notice.")
    if any(change.breaking for change in found):
        raise typer.Exit(1)


@graph.command()
def sql(
    name: Annotated[
        str | None, typer.Argument(help="A link, such as Variant.populationFrequencies; all are listed without one.", show_default=False)
    ] = None,
    condition: Annotated[list[str] | None, typer.Option("--where", help="A condition of its Read; may be repeated.")] = None,
    by: Annotated[str | None, typer.Option(help="Another way of its Read to address rows.")] = None,
    mode: Annotated[str | None, typer.Option(help="all, page or count.")] = None,
    after: Annotated[bool, typer.Option("--after", help="With a cursor.")] = False,
    backward: Annotated[bool, typer.Option("--backward", help="From the back.")] = False,
) -> None:
    """Print the SQL of a link.

    Example: vkg sql Query.variants --where frequency
    """
    build()
    if name is None:
        for link in sorted(links, key=lambda found: found.name):
            typer.echo(
                f"{link.name}  ({link.shape} of {link.read.name}, by {', '.join(link.read.by)}; where {', '.join(link.read.where) or 'nothing'})"
            )
        return
    wanted = name.replace("_", "").lower()  # the API's spelling as well as Python's
    found = next((link for link in links if link.name.replace("_", "").lower() == wanted), None)
    if mode not in (None, "all", "page", "count"):
        raise UserError("UNKNOWN_LINK", f"There is no mode {mode!r}.", hint="Modes are all, page and count.")
    if found is None:
        raise UserError("UNKNOWN_LINK", f"There is no link {name!r}.", hint="vkg sql lists them.")
    address = by or found.by
    unknown = [c for c in condition or () if c not in found.read.where] + ([address] if address not in found.read.by else [])
    if unknown:
        raise UserError(
            "UNKNOWN_LINK", f"{found.read.name} has no {unknown[0]!r}.", hint="vkg sql lists conditions and ways of every link."
        )
    parameters = {c: {"value": None} for c in condition or ()}
    chosen: Mode = mode or ("page" if found.shape == "page" else "all")  # type: ignore[assignment]
    statement, _ = compose(
        found.read, address, columns=found.read.columns if chosen != "count" else (), order=found.order, filter=where(**parameters),
        mode=chosen, after=after, backward=backward, per_parent=found.read.by[address].anchor is not None,
    )  # fmt: skip
    typer.echo(statement.text)
    typer.echo("-- " + ", ".join(f"${i} {slot}" for i, slot in enumerate(statement.slots, 1)))


@query.command()
def variants(
    region: Annotated[str | None, typer.Option(help="CHROM:START-END, 1-based and inclusive.")] = None,
    gene: Annotated[str | None, typer.Option(help="Symbol or identifier of a gene.")] = None,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Name of a variant; may be repeated.")] = None,
    flank: Annotated[int, typer.Option(help="Bases on either side of the gene.")] = 0,
    filter: Annotated[str | None, typer.Option(help="Conditions as in the API: '{impact: [HIGH], qual: {min: 30}}'.")] = None,
    dataset: Annotated[list[str] | None, typer.Option(help="Only records of this dataset; may be repeated.")] = None,
    release: Annotated[str | None, typer.Option(help="Answer from this named release.")] = None,
    samples: Annotated[
        list[str] | None, typer.Option("--sample", help="With the genotypes of this sample, NAME or COHORT/NAME; may be repeated.")
    ] = None,
    all_samples: Annotated[bool, typer.Option("--all-samples", help="With the genotypes of all samples of the callset.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="File to write: .vcf, .vcf.gz, .tsv or .tsv.gz; TSV on the terminal without one.")
    ] = None,
) -> None:
    """Write the records of variants, in genome order; with --sample also its genotypes. INFO stays as in the file: AC and AN are those of all its samples.

    Example: vkg query variants --gene SIRPA --filter '{type: [DELETION]}' --output sirpa.vcf.gz
    """

    selection = Selection(region, gene, ids, flank, filter, dataset, release, samples, all_samples)
    count = _ask(lambda pools, found: export(pools, found.assembly, found.reference, selection, output, sys.stdout))
    if output is not None:
        typer.echo(f"{count:,} records in {output}", err=True)


OnePerson = Annotated[str, typer.Argument(metavar="SAMPLE", help="NAME or COHORT/NAME.", show_default=False)]
First = Annotated[str, typer.Argument(metavar="SAMPLE1", help="NAME or COHORT/NAME.", show_default=False)]
Second = Annotated[str, typer.Argument(metavar="SAMPLE2", show_default=False)]
MinLength = Annotated[float, typer.Option(help="Only segments of at least so many centimorgans.")]
Source = Annotated[str | None, typer.Option(help="The run, by the name of its dataset, or the tool (hap-ibd ...).")]
Release = Annotated[str | None, typer.Option(help="Answer from this named release.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON in place of TSV: one document.")]
AsLines = Annotated[bool, typer.Option("--json", help="JSON in place of TSV: one line for each variant.")]
Output = Annotated[
    Path | None, typer.Option(help="File to write: .tsv, or .json with --json, or either with .gz behind; else the terminal.")
]


@query.command("ibd-shared")
def ibd_shared(
    sample1: First, sample2: Second, min_length: MinLength = 0, source: Source = None,
    segments: Annotated[bool, typer.Option("--segments", help="A line for each segment, longest first. JSON has them always.")] = False,
    release: Release = None, output: Output = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Write what two people share by descent: how many centimorgans, and how they may be related.

    Example: vkg query ibd-shared HG00376 HG00381 --min-length 1.5
    """
    write_found(
        release, output, as_json, lambda ctx: export_people.ibd_shared(ctx, sample1, sample2, min_length, source, segments or as_json)
    )


@query.command("hbd-regions")
def hbd_regions(
    sample: OnePerson, min_length: MinLength = 0, source: Source = None, release: Release = None, output: Output = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Write the regions where both haplotypes of a person are one by descent, longest first.

    Example: vkg query hbd-regions HG01531
    """
    write_found(release, output, as_json, lambda ctx: export_people.hbd_regions(ctx, sample, min_length, source))


@query.command()
def relatives(
    sample: OnePerson,
    min_total: Annotated[float, typer.Option(help="Only those who share at least so many centimorgans of the autosomes.")] = 0,
    min_length: MinLength = 0,
    population: Annotated[list[str] | None, typer.Option(help="Only people of this population; may be repeated.")] = None,
    first: Annotated[int | None, typer.Option(help="Only so many.", min=1)] = None,
    source: Source = None, release: Release = None, output: Output = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Write with whom a person shares most by descent, and how they may be related.

    Example: vkg query relatives HG00376 --min-total 1.5 --first 10
    """
    write_found(
        release, output, as_json, lambda ctx: export_people.relatives(ctx, sample, min_total, min_length, source, population, first)
    )


@query.command("variants-in-ibd")
def variants_in_ibd(
    sample1: First, sample2: Second, min_length: MinLength = 0,
    shared_only: Annotated[bool, typer.Option("--shared-only", help="Only those that both carry, by descent as far as that is known.")] = False,
    source: Source = None,
    region: Annotated[str | None, typer.Option(help="CHROM:START-END, 1-based and inclusive.")] = None,
    gene: Annotated[str | None, typer.Option(help="Symbol or identifier of a gene.")] = None,
    flank: Annotated[int, typer.Option(help="Bases on either side of the gene.")] = 0,
    filter: Annotated[str | None, typer.Option(help="Conditions as in the API: '{impact: [HIGH], qual: {min: 30}}'.")] = None,
    release: Release = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write: .tsv, or .jsonl with --json, or either with .gz behind; else the terminal.")
    ] = None,
    as_json: AsLines = False,
) -> None:  # fmt: skip
    """Write the variants that either of two people carries inside what they share, in genome order, and whether the shared haplotypes carry them.

    Example: vkg query variants-in-ibd HG00376 HG00381 --shared-only --gene SIRPA
    """
    wanted = (sample1, sample2, min_length, shared_only, source, region, gene, flank, filter)
    write_found(release, output, as_json, lambda ctx: export_people.variants_in_ibd(ctx, *wanted))


def write_found(release: str | None, output: Path | None, as_json: bool, find: Callable[[Context], Awaitable[Found]]) -> None:
    async def work(pools: Pools, found: Settings) -> int:
        ctx = await request(pools, found.assembly, found.reference, release)
        return await export_people.write(ctx, await find(ctx), as_json, output, sys.stdout)

    count = _ask(work)
    if output is not None:
        typer.echo(f"{count:,} rows in {output}", err=True)


def _ask(work: Callable[[Pools, Settings], Awaitable[int]]) -> int:
    """Runs what reads the store and writes to the terminal or a file; 0 where the terminal's reader (head, less) has seen enough."""

    async def run() -> int:
        found = settings()
        pools = await open_pools(found.url, size=4, timeout_ms=600_000)
        try:
            count = await work(pools, found)
            sys.stdout.flush()
            return count
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        finally:
            await pools.close()

    with wrap_errors():
        return asyncio.run(run())
