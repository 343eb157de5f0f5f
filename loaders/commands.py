"""The commands of `vkg load` and `vkg derive`. Each parses its options, says what it loads as a `Job`, and prints what became of it.

@load.command()
def things(files: Files, dataset: DatasetOption = None, ...) -> None:
    with loading() as conn:
        report(ingest(conn, Job(...), lambda ordinal, after: things.read(files[ordinal], after=after)))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from loaders.annotation_job import genes_job, scores_job
from loaders.derive import derive_job, say_outdated
from loaders.errors import Interrupted, LoaderError
from loaders.frequency_job import frequencies_job
from loaders.ibd_job import AUTO, ibd_job
from loaders.people_job import ancestry_job, populations_job
from loaders.run import Outcome, ingest, say, summary
from loaders.samples_job import samples_job, say_called
from loaders.vcf_job import vcf_job
from store.database import connect, wrap_errors
from store.load import AlreadyLoaded

load = typer.Typer(help="Load files into the store.", no_args_is_help=True)
derive = typer.Typer(help="Work out, and store, what follows from what is loaded.", no_args_is_help=True)

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", show_default=False)]
DatasetOption = Annotated[str | None, typer.Option("--dataset", help="Name of the dataset; else that of the first file.")]
VersionOption = Annotated[str | None, typer.Option("--version", help="Version of the dataset; else today's date.")]
AssemblyOption = Annotated[str | None, typer.Option("--assembly", help="GRCh37 or GRCh38, needed where the files do not tell theirs.")]
HoldOption = Annotated[bool, typer.Option("--hold", help="Load, but don't publish: `vkg publish` makes it visible.")]
ReferenceOption = Annotated[
    Path | None, typer.Option("--reference", help="FASTA of the assembly, indexed; else the one registered with the store.")
]
UnnormalizedOption = Annotated[
    bool, typer.Option("--unnormalized", help="Keep indels where there is no reference to left-align them, just trimmed.")
]
LocusOption = Annotated[
    str | None, typer.Option("--locus", metavar="CHROM,POS,REF,ALT", help="A table's columns of the variant, if named unusually.")
]
LiftOption = Annotated[
    Path | None,
    typer.Option("--lift", metavar="CHAIN", help="The files are of the other assembly: a UCSC chain file that lifts them to the store's."),
]
CohortOption = Annotated[str | None, typer.Option("--cohort", help="The people whose names these are. Without it: see docs/cohorts.md.")]
CreateOption = Annotated[bool, typer.Option("--create-samples", help="Add samples that the cohort does not have.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Fail, and keep nothing, when any record is rejected.")]


@contextmanager
def loading() -> Iterator[psycopg.Connection]:
    """A connection to write a load with. Ctrl-C inside ends the command with exit code 130."""
    try:
        with wrap_errors(), connect(autocommit=True) as conn:
            yield conn
    except (KeyboardInterrupt, Interrupted) as error:
        say(f"vkg: {error or 'interrupted'}")
        raise typer.Exit(130) from None


def report(outcome: Outcome | AlreadyLoaded) -> None:
    """Prints what became of a load."""
    for line in summary(outcome):
        typer.echo(line)


@load.command()
def vcf(
    files: Files,
    reference: ReferenceOption = None,
    dataset: DatasetOption = None,
    version: VersionOption = None,
    assembly: AssemblyOption = None,
    cohort: Annotated[
        str | None,
        typer.Option(
            "--cohort", help="Whose names the samples' are: callsets of one cohort share its people. Without it: see docs/cohorts.md."
        ),
    ] = None,
    keep_format: Annotated[bool, typer.Option("--keep-format", help="Keep DP, GQ and AD of the genotypes too.")] = False,
    sites_only: Annotated[bool, typer.Option("--sites-only", help="Leave genotypes out.")] = False,
    hold: HoldOption = False,
    unnormalized: UnnormalizedOption = False,
    strict: StrictOption = False,
    embed: Annotated[
        bool, typer.Option("--embed", help="Then embed the variants that have no vector yet by the model annotation, as vkg embed does.")
    ] = False,
) -> None:
    """Load VCF or BCF files, sites and genotypes, all of them as one load.

    Records are split to one ALT each, checked against the reference and left-aligned. Genotypes go along, and alleles are counted by
    population where that of the samples is known (vkg load samples). What cannot be loaded is listed in FILE.rejects.tsv. The same files
    again are a no-op.

    Example: vkg load vcf clinvar.vcf.gz --dataset clinvar --version 2026-11 --assembly GRCh38
    """
    if embed and hold:
        raise LoaderError(
            "--embed reads what is visible, and --hold keeps the load from being so\n  Publish it first (vkg publish), then: vkg embed"
        )
    with loading() as conn:
        job, read = vcf_job(
            conn,
            files,
            reference=reference,
            dataset=dataset,
            version=version,
            assembly=assembly,
            cohort=cohort,
            keep_format=keep_format,
            sites_only=sites_only,
            hold=hold,
            unnormalized=unnormalized,
            strict=strict,
        )
        report(ingest(conn, job, read))
    if embed and embed_variants is not None:
        embed_variants()


embed_variants: Callable[[], None] | None = None
"""Embeds the variants that have no vector yet. Another package does that: the front door puts it here."""


@load.command()
def genes(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    dataset: DatasetOption = None,
    version: VersionOption = None,
    assembly: AssemblyOption = None,
    hold: HoldOption = False,
    strict: StrictOption = False,
) -> None:
    """Load the genes and transcripts of a GTF file, as GENCODE and Ensembl publish them.

    Example: vkg load genes gencode.v46.annotation.gtf.gz --dataset gencode --version 46
    """
    with loading() as conn:
        job, read = genes_job(conn, file, dataset=dataset, version=version, assembly=assembly, hold=hold, strict=strict)
        report(ingest(conn, job, read))


@load.command()
def scores(
    files: Files,
    name: Annotated[
        list[str] | None, typer.Option("--name", help="Name of the score; else that of its column. Once for each score.")
    ] = None,
    column: Annotated[list[str] | None, typer.Option("--column", help="Column of a table that is a score.")] = None,
    info: Annotated[list[str] | None, typer.Option("--info", help="INFO key of a VCF that is a score.")] = None,
    locus: LocusOption = None,
    reference: ReferenceOption = None,
    dataset: DatasetOption = None,
    version: Annotated[str | None, typer.Option("--version", "--score-version", help="Version of the scores; else today's date.")] = None,
    assembly: AssemblyOption = None,
    lift: LiftOption = None,
    hold: HoldOption = False,
    unnormalized: UnnormalizedOption = False,
    strict: StrictOption = False,
) -> None:
    """Load numbers per variant: columns of a table (TSV or CSV, 1-based positions), or INFO keys of a VCF.

    No variants are made: a score shows at its variant whether that was loaded before or is loaded later.

    Example: vkg load scores CADD.tsv.gz --name CADD_PHRED --column PHRED --dataset cadd --version 1.7
    """
    with loading() as conn:
        job, read = scores_job(
            conn,
            files,
            names=name or (),
            columns=column or (),
            info=info or (),
            locus=locus.split(",") if locus else None,
            reference=reference,
            dataset=dataset,
            version=version,
            assembly=assembly,
            lift=lift,
            hold=hold,
            unnormalized=unnormalized,
            strict=strict,
        )
        report(ingest(conn, job, read))


@load.command()
def samples(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    cohort: CohortOption = None,
    dataset: DatasetOption = None,
    version: VersionOption = None,
    hold: HoldOption = False,
    strict: StrictOption = False,
) -> None:
    """Load what a file says of people: population, family, sex, parents, phenotype.

    Panels and pedigrees of 1000 Genomes, PLINK's .fam, .ped and .psam, and tables with a header that has a column sample. Which it is, the
    content tells.

    Example: vkg load samples integrated_call_samples_v3.20130502.ALL.panel --cohort kg --dataset kg_panel
    """
    with loading() as conn:
        job, read = samples_job(conn, file, cohort=cohort, dataset=dataset, version=version, hold=hold, strict=strict)
        outcome = ingest(conn, job, read)
        report(outcome)
        say_called(conn, outcome)
        say_outdated(conn, outcome, job.options["cohort"])


@load.command()
def populations(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    dataset: DatasetOption = None,
    version: VersionOption = None,
    hold: HoldOption = False,
    strict: StrictOption = False,
) -> None:
    """Load what populations are called, and which larger ones they are part of, to any depth: a table with a header (TSV or CSV).

    Columns are name (or code), description and parent (or super_population), as in the tables of 1000 Genomes and IGSR. They hold for all cohorts.

    Example: vkg load populations igsr_populations.tsv --dataset igsr
    """
    with loading() as conn:
        job, read = populations_job(file, dataset=dataset, version=version, hold=hold, strict=strict)
        outcome = ingest(conn, job, read)
        report(outcome)
        say_outdated(conn, outcome)


@load.command()
def ancestry(
    file: Annotated[Path, typer.Argument(metavar="FILE.eigenvec", show_default=False)],
    eigenval: Annotated[
        Path | None, typer.Option("--eigenval", help="The eigenvalues; else the file beside, of the same name but .eigenval.")
    ] = None,
    unscaled: Annotated[bool, typer.Option("--unscaled", help="Keep the components as they are, not weighed by eigenvalues.")] = False,
    cohort: CohortOption = None,
    create_samples: CreateOption = False,
    dataset: DatasetOption = None,
    version: VersionOption = None,
    hold: HoldOption = False,
    strict: StrictOption = False,
) -> None:
    """Load where people lie in ancestry space: principal components, as PLINK 1.9 and 2 write them.

    Each component is multiplied with the square root of its eigenvalue, so that distances weigh it by the variance that it explains.

    Example: vkg load ancestry kg.eigenvec --cohort kg
    """
    with loading() as conn:
        job, read = ancestry_job(
            conn,
            file,
            eigenval=eigenval,
            unscaled=unscaled,
            cohort=cohort,
            create_samples=create_samples,
            dataset=dataset,
            version=version,
            hold=hold,
            strict=strict,
        )
        report(ingest(conn, job, read))


@load.command()
def ibd(
    files: Files,
    source: Annotated[
        str,
        typer.Option(
            "--source",
            help="The tool that wrote them: hap-ibd, refined-ibd, germline, germline2, ilash, truffle, ibis; auto: the files tell.",
        ),
    ] = AUTO,
    source_version: Annotated[str | None, typer.Option("--source-version", help="Its version.")] = None,
    chrom: Annotated[
        list[str] | None, typer.Option("--chrom", help="Chromosome of a file whose lines do not say (germline2). Once for each file.")
    ] = None,
    genetic_map: Annotated[
        list[Path] | None,
        typer.Option(
            "--genetic-map",
            help="Genetic map (PLINK, SHAPEIT, HapMap, Eagle): lengths in cM where the files have none. More than once for several files.",
        ),
    ] = None,
    callset: Annotated[
        str | None,
        typer.Option(
            "--callset",
            metavar="NAME[@VERSION]",
            help="The callset in which they were found, in its visible version or the one named; haplotypes 1 and 2 are its.",
            show_default=False,
        ),
    ] = None,
    cohort: Annotated[
        str | None, typer.Option("--cohort", help="The people whose names these are. Without it: see docs/loading.md.")
    ] = None,
    create_samples: CreateOption = False,
    surveyed_cm: Annotated[
        float | None,
        typer.Option(
            "--surveyed-cm",
            help="How much of the autosomes was searched, in cM; else the length of the genetic map on those that have segments.",
        ),
    ] = None,
    dataset: DatasetOption = None,
    version: VersionOption = None,
    hold: HoldOption = False,
    strict: StrictOption = False,
) -> None:
    """Load segments that people share by descent (IBD), or that are homozygous by descent (HBD), as the tools write them.

    The files of one run are one load: one for each chromosome, .ibd.gz and .hbd.gz together.

    Example: vkg load ibd kg.ibd.gz kg.hbd.gz --source hap-ibd --callset kg30x
    """
    with loading() as conn:
        job, read = ibd_job(
            conn,
            files,
            source=source,
            source_version=source_version,
            chrom=chrom or (),
            genetic_map=genetic_map or (),
            callset=callset,
            cohort=cohort,
            create_samples=create_samples,
            surveyed_cm=surveyed_cm,
            dataset=dataset,
            version=version,
            hold=hold,
            strict=strict,
        )
        outcome = ingest(conn, job, read)
        report(outcome)
        say_called(conn, outcome)


@load.command("frequencies")
def load_frequencies(
    files: Files,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", help="What goes before the populations' names (gnomad:afr); else the dataset. '' for nothing."),
    ] = None,
    locus: LocusOption = None,
    reference: ReferenceOption = None,
    dataset: DatasetOption = None,
    version: VersionOption = None,
    assembly: AssemblyOption = None,
    lift: LiftOption = None,
    hold: HoldOption = False,
    unnormalized: UnnormalizedOption = False,
    strict: StrictOption = False,
) -> None:
    """Load allele frequencies of populations: INFO keys of VCF or BCF files (gnomAD, 1000 Genomes), or columns of tables (1-based positions).

    AF, AC, AN and nhomalt, alone or with a population (AF_afr, EAS_AF); FILTER goes along. No variants are made: a frequency shows at its
    variant whether that was loaded before or is loaded later.

    Example: vkg load frequencies gnomad.genomes.v4.1.sites.chr*.vcf.bgz --dataset gnomad --version 4.1
    """
    with loading() as conn:
        job, read = frequencies_job(
            conn,
            files,
            namespace=namespace,
            locus=locus.split(",") if locus else None,
            reference=reference,
            dataset=dataset,
            version=version,
            assembly=assembly,
            lift=lift,
            hold=hold,
            unnormalized=unnormalized,
            strict=strict,
        )
        report(ingest(conn, job, read))


@derive.command("frequencies")
def derive_frequencies(
    callset: Annotated[
        str,
        typer.Option("--callset", metavar="NAME[@VERSION]", help="The visible callset whose genotypes are counted.", show_default=False),
    ],
    hold: HoldOption = False,
) -> None:
    """Count a callset's alleles again, by the populations that are known now, larger ones included.

    For populations that were loaded, or grouped otherwise, after the callset was.

    Example: vkg derive frequencies --callset kg300
    """
    with loading() as conn:
        if (derived := derive_job(conn, callset, hold=hold)) is not None:
            job, read = derived
            report(ingest(conn, job, read))
