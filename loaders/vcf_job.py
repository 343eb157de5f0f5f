"""From files and options to a load of VCF: everything that is settled, or refused, before anything is written."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path

import psycopg

from loaders.assembly_check import check_assembly
from loaders.callset import Callset, samples_of
from loaders.counts import Populations
from loaders.errors import InputError
from loaders.frequencies import Frequencies
from loaders.header import VcfHeader, open_vcf
from loaders.normalize import Normalizer
from loaders.run import Job, Read, dataset_name, say
from loaders.source import source_file
from loaders.vcf import read
from store.assembly import assembly as assembly_of
from store.copy import Chunk
from store.genome import Genome, genome, register_reference
from store.reference import Reference
from store.sample import cohort_of, known


def vcf_job(
    conn: psycopg.Connection,
    files: Sequence[Path],
    *,
    reference: Path | None = None,
    dataset: str | None = None,
    version: str | None = None,
    assembly: str | None = None,
    cohort: str | None = None,
    keep_format: bool = False,
    sites_only: bool = False,
    hold: bool = False,
    unnormalized: bool = False,
    strict: bool = False,
) -> tuple[Job, Read]:
    """The job and the reader of a load of VCF files; the options are those of `vkg load vcf`.

    Genotypes are loaded where the files have samples, unless `sites_only`. Registers `reference` with a store that has none.
    Raises InputError and StoreError for what must not be loaded.
    """
    store = genome(conn)
    given = assembly_of(assembly) if assembly else None
    fasta = open_reference(store, reference)
    dataset = dataset or dataset_name(files[0])
    headers: list[VcfHeader] = []
    for path in files:
        header, blocks = open_vcf(path)
        check_assembly(conn, path, header, blocks, store=store.assembly, given=given, reference=fasta)
        headers.append(header)
    samples = () if sites_only else samples_of(files, [header.samples for header in headers])
    if fasta and store.reference_path is None:
        register_reference(conn, fasta.path, fasta.contigs)
    options = {"reference": fasta.digest if fasta else None, "unnormalized": unnormalized}
    populations = genotypes = cohort_now = None
    if samples:
        if not cohort:
            cohort_now = partial(cohort_of, dataset=dataset, names=samples)
            cohort = cohort_now(conn)
        populations = Populations(samples, known(conn, cohort))
        options |= {"cohort": cohort, "keep_format": keep_format, "populations": populations.digest}
    elif any(header.samples for header in headers):
        options["sites_only"] = True
    normalizer = Normalizer(store.assembly, fasta, unnormalized)
    merged = [header.with_keys_of(headers) for header in headers]
    frequencies = Frequencies.for_headers(headers, populations)
    if cohort and populations and frequencies:
        genotypes = Callset(samples, frequencies.count, keep_format=keep_format)
        _say_who_is_counted(populations, len(samples), cohort)

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        first = ordinal == 0
        return read(files[ordinal], merged[ordinal], normalizer, after=after, frequencies=frequencies, genotypes=genotypes, first=first)

    job = Job(
        kind="variants",
        files=[source_file(path, header.public_text) for path, header in zip(files, headers, strict=True)],
        dataset=dataset,
        version=version,
        options=options,
        hold=hold,
        normalized=not unnormalized,
        strict=strict,
        cohort_now=cohort_now,
    )
    return job, chunks


def _say_who_is_counted(populations: Populations, samples: int, cohort: str) -> None:
    if populations.known == 0:
        say(
            f"no population is known of the samples of cohort {cohort}: only the overall frequency is written; "
            f"`vkg load samples FILE --cohort {cohort}` first gives the others"
        )
    elif populations.known < samples:
        say(f"of {samples - populations.known:,} of {samples:,} samples no population is known: they count for the overall frequency only")


def open_reference(store: Genome, given: Path | None) -> Reference | None:
    """The FASTA given, else the one registered with the store, else None. Raises StoreError and InputError where it is not usable."""
    path = given or store.reference_path
    if path is None:
        return None
    reference = Reference(path)
    reference.check(store.assembly)
    if given is None and store.reference_contigs != reference.contigs:
        raise InputError(
            path, None, "the reference registered with the store has changed: its contigs are others now", "Give another --reference."
        )
    return reference
