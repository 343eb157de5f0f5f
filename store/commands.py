"""The commands about the store itself: make it, look at it, publish, unload, release, stop the server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from . import embedded, genome, release
from .assembly import assembly as assembly_named
from .backup import backup as save
from .backup import restore as restored
from .database import connect, database_url, redact, wrap_errors
from .doctor import clean, examine, examine_deeply
from .errors import NotInitialised
from .migrate import migrate, pending
from .reference import Reference

store = typer.Typer(no_args_is_help=True)
release_group = typer.Typer(help="Named releases: what was visible at a moment, answerable for ever.", no_args_is_help=True)
store.add_typer(release_group, name="release")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LoadName = Annotated[
    str, typer.Argument(metavar="LOAD", help="Number of a load, DATASET@VERSION, or DATASET where it has one version.", show_default=False)
]


@contextmanager
def opened() -> Iterator[psycopg.Connection[Any]]:
    """A connection to an initialised store, in autocommit mode."""
    with wrap_errors(), connect(autocommit=True) as conn:
        if pending(conn):
            raise NotInitialised(
                "this database holds no store of this version", "Make or migrate it: vkg init --assembly GRCh38 --reference FASTA"
            )
        yield conn


def initialise(assembly: str | None, reference: Path | None, keep: bool = False) -> list[str]:
    """Makes or migrates the store; fixes its assembly and registers its reference where given (with `keep`, only where it has
    none). Returns what was done.

    Raises StoreError where the store has another assembly, or the FASTA contradicts it.
    """
    done = [f"applied {name}" for name in migrate(database_url())]
    with opened() as conn:
        found = genome.find_genome(conn)
        if found is None:
            if assembly is None:
                raise NotInitialised("the store needs an assembly", "vkg init --assembly GRCh37, or GRCh38")
            genome.initialise(conn, assembly_named(assembly))
            done.append(f"the store holds {assembly_named(assembly).name}")
        elif assembly is not None:
            genome.initialise(conn, assembly_named(assembly))
        if reference is not None and not (keep and genome.genome(conn).reference_path):
            fasta = Reference(reference)
            fasta.check(genome.genome(conn).assembly)
            genome.register_reference(conn, fasta.path, fasta.contigs)
            done.append(f"registered the reference {reference}")
    return done


@store.command()
def init(
    assembly: Annotated[str | None, typer.Option(help="GRCh37 (hg19) or GRCh38 (hg38); fixed from then on.")] = None,
    reference: Annotated[Path | None, typer.Option(help="FASTA of the assembly, with its .fai: indels are aligned to it.")] = None,
) -> None:
    """Make the store, or bring it to this version. Running it again is harmless.

    Example: vkg init --assembly GRCh38 --reference GRCh38.fa.gz
    """
    for line in initialise(assembly, reference) or ["the store is up to date"]:
        typer.echo(line)


@store.command()
def stop() -> None:
    """Stop the built-in PostgreSQL server. The next command that needs it starts it again."""
    typer.echo("stopped" if embedded.stop() else "it was not running")


@store.command()
def loads(as_json: Json = False) -> None:
    """List what was loaded, newest first.

    Example: vkg loads --json
    """
    with opened() as conn:
        rows = release.loads(conn)
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], default=str, indent=2))
        return
    if not rows:
        typer.echo("Nothing is loaded yet: vkg load --help")
        return
    table: list[tuple[str, ...]] = [("load", "dataset", "version", "holds", "state", "records", "rejected", "loaded", "files")]
    for row in rows:
        state = (
            "visible"
            if row.visible
            else "held"
            if row.state == "loaded" and row.hold
            else "replaced"
            if row.state == "loaded"
            else row.state
        )
        when = (row.finished_at or row.started_at).strftime("%Y-%m-%d %H:%M")
        counts = (f"{row.counts.get(name, 0):,}" for name in ("records", "rejects"))
        table.append(
            (str(row.load_id), row.dataset, row.version, row.kind, state, *counts, when, ", ".join(Path(f).name for f in row.files))
        )
    _print_table(table)


@store.command()
def publish(load: LoadName) -> None:
    """Make a load visible in place of its dataset's present version: a held one, or an older one again.

    Example: vkg publish clinvar@2026-11
    """
    with opened() as conn:
        row = release.find_load(conn, load)
        number = release.publish(conn, row.load_id)
        typer.echo(f"{row.dataset} {row.version} is visible as of release {number}")


@store.command()
def unload(load: LoadName) -> None:
    """Hide a load at once. Its rows are removed when no named release holds them.

    Example: vkg unload clinvar@2026-10
    """
    with opened() as conn:
        row = release.find_load(conn, load)
        number = release.unload(conn, row.load_id)
        release.purge(conn)
        typer.echo(f"{row.dataset} {row.version} is gone as of release {number}")


@release_group.command("list")
def release_list(as_json: Json = False, everything: Annotated[bool, typer.Option("--all", help="Unnamed ones too.")] = False) -> None:
    """List named releases, newest first."""
    with opened() as conn:
        rows = [row for row in release.releases(conn) if everything or row.name]
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], default=str, indent=2))
    elif not rows:
        typer.echo("No release has a name yet: vkg release create NAME")
    else:
        head = ("release", "name", "made", "loads", "by")
        _print_table(
            [head, *((str(r.release_id), r.name or "", r.created_at.strftime("%Y-%m-%d %H:%M"), str(len(r.loads)), r.reason) for r in rows)]
        )


@release_group.command("create")
def release_create(name: Annotated[str, typer.Argument(help="Letters, digits, dots, dashes and underscores.", show_default=False)]) -> None:
    """Name what is visible now. A request with the header Vkg-Release: NAME is answered from it ever after.

    Example: vkg release create paper-2026
    """
    with opened() as conn:
        typer.echo(f"release {release.create_release(conn, name)} is named {name}")


@store.command()
def doctor(
    as_json: Json = False,
    clean_up: Annotated[bool, typer.Option("--clean", help="Remove loads that were cut off, and rows of unloaded loads.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read everything, and compare what has to agree: ledger, rows, indexes, checksums.")
    ] = False,
) -> None:
    """Say what state the store is in, and what wants attention. Exit code 1 where something does.

    Example: vkg doctor --deep
    """
    url = database_url()
    with wrap_errors(), connect(url, autocommit=True) as conn:
        done = clean(conn) if clean_up else []
        report = examine_deeply(conn, _say_checking) if deep else examine(conn)
    if as_json:
        typer.echo(json.dumps({"url": redact(url), "cleaned": done} | asdict(report), default=str, indent=2))
    else:
        for line in done:
            typer.echo(line)
        _print_table([("database", redact(url)), *((name, str(value)) for name, value in report.facts.items())])
        if report.tables:
            typer.echo("")
            _print_table(
                [("table", "rows (about)", "MB"), *((name, f"{rows:,}", f"{size / 1e6:,.1f}") for name, rows, size in report.tables)]
            )
        if report.checks:
            typer.echo("")
            _print_table([("check", "seconds", "looked at"), *((c.name, f"{c.seconds:.1f}", c.looked_at) for c in report.checks)])
        for finding in report.findings:
            typer.echo(f"\n! {f'{finding.where}: ' if finding.where else ''}{finding.what}\n  {finding.remedy}")
    if report.findings:
        raise typer.Exit(1)


@store.command()
def backup(file: Annotated[Path, typer.Argument(help="File to write; it must not be there yet.", show_default=False)]) -> None:
    """Write all of the store to one file, as it is at this moment. Loads may run meanwhile.

    Example: vkg backup store-2026-11.dump
    """
    size = save(database_url(), file)
    typer.echo(f"{file}: {size:,} bytes; vkg restore makes the store of it again, in an empty database")


@store.command()
def restore(file: Annotated[Path, typer.Argument(help="File that vkg backup wrote.", show_default=False)]) -> None:
    """Make the store of a backup, in a database that holds nothing, and bring it to this version. All of it is restored, or nothing.

    Example: VKG_HOME=/data/new vkg restore store-2026-11.dump
    """
    for line in restored(database_url(), file):
        typer.echo(f"applied {line}")
    with opened() as conn:
        found = genome.find_genome(conn)
        visible, now = sum(row.visible for row in release.loads(conn)), release.current(conn).release_id
    typer.echo(f"restored: release {now}, {visible} loads visible; vkg doctor --deep checks everything")
    if found is not None and found.reference_path and not found.reference_path.is_file():
        typer.echo(f"the reference {found.reference_path} is not on this machine: vkg init --reference FASTA")


def _say_checking(name: str) -> None:
    if sys.stderr.isatty():
        typer.echo(f"checking {name} ...", err=True)


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
