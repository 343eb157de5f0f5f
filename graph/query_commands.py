"""The commands that ask the store at the shell: vkg query."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from store.database import Pools, open_pools, wrap_errors

from . import export_people
from .app import Settings
from .commands import settings
from .context import Context
from .export import Selection, export
from .export_people import Found
from .shell import request

queries = typer.Typer(no_args_is_help=True)
query = typer.Typer(help="Ask the store at the shell.", no_args_is_help=True)
queries.add_typer(query, name="query")


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
