"""From files and options to a load of VCF: everything that is settled, or refused, before anything is written."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import psycopg

from loaders.assembly_check import check_assembly
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


def vcf_job(
    conn: psycopg.Connection,
    files: Sequence[Path],
    *,
    reference: Path | None = None,
    dataset: str | None = None,
    version: str | None = None,
    assembly: str | None = None,
    sites_only: bool = False,
    hold: bool = False,
    unnormalized: bool = False,
    strict: bool = False,
) -> tuple[Job, Read]:
    """The job and the reader of a load of VCF files; the options are those of `vkg load vcf`.

    Registers `reference` with a store that has none. Raises InputError and StoreError for what must not be loaded.
    """
    store = genome(conn)
    given = assembly_of(assembly) if assembly else None
    fasta = open_reference(store, reference)
    headers: list[VcfHeader] = []
    for path in files:
        header, blocks = open_vcf(path)
        check_assembly(conn, path, header, blocks, store=store.assembly, given=given, reference=fasta)
        headers.append(header)
    if fasta and store.reference_path is None:
        register_reference(conn, fasta.path, fasta.contigs)
    if any(header.samples for header in headers) and not sites_only:
        say("genotypes are not loaded by this version: sites only")
    normalizer = Normalizer(store.assembly, fasta, unnormalized)
    merged = [header.with_keys_of(headers) for header in headers]
    frequencies = Frequencies.for_headers(headers)

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        return read(files[ordinal], merged[ordinal], normalizer, after=after, frequencies=frequencies, populations=ordinal == 0)

    job = Job(
        kind="variants",
        files=[source_file(path, header.text) for path, header in zip(files, headers, strict=True)],
        dataset=dataset or dataset_name(files[0]),
        version=version,
        options={"reference": fasta.digest if fasta else None, "unnormalized": unnormalized},
        hold=hold,
        normalized=not unnormalized,
        strict=strict,
    )
    return job, chunks


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
