"""From files and options to a load of frequencies: everything that is settled, or refused, before anything is written."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import psycopg

from loaders import frequency_files, scores
from loaders.annotation_job import sites
from loaders.assembly_check import check_assembly
from loaders.header import VcfHeader, open_vcf
from loaders.lift import open_lift
from loaders.normalize import Normalizer
from loaders.run import Job, Read, dataset_name
from loaders.source import Block, source_file, text_blocks
from loaders.vcf_job import open_reference
from store.assembly import assembly as assembly_of
from store.copy import Chunk
from store.genome import genome, register_reference


def frequencies_job(
    conn: psycopg.Connection,
    files: Sequence[Path],
    *,
    namespace: str | None = None,
    locus: Sequence[str] | None = None,
    reference: Path | None = None,
    dataset: str | None = None,
    version: str | None = None,
    assembly: str | None = None,
    lift: Path | None = None,
    hold: bool = False,
    unnormalized: bool = False,
    strict: bool = False,
) -> tuple[Job, Read]:
    """The job and the reader of a load of frequencies; the options are those of `vkg load frequencies`.

    Without a namespace populations are in that of the dataset's name; with an empty one, in none. Registers `reference` with a store that has
    none. Raises InputError and StoreError for what must not be loaded.
    """
    store = genome(conn)
    given = assembly_of(assembly) if assembly else None
    fasta = open_reference(store, reference)
    lifted = open_lift(lift, store.assembly, fasta)
    normalizer = Normalizer(store.assembly, fasta, unnormalized, lift=lifted)
    dataset = dataset or dataset_name(files[0])
    within = dataset if namespace is None else namespace
    tables: list[scores.Table | None] = []
    headers: list[VcfHeader] = []
    for path in files:
        table = None if frequency_files.is_vcf(path) else scores.layout(path, locus)
        header, blocks = _opened(path, table)
        check_assembly(conn, path, header, blocks, store=store.assembly, given=given, reference=fasta, lift=lifted)
        tables.append(table)
        headers.append(header)
    frequencies = frequency_files.frequencies_of(files, headers)
    if fasta and store.reference_path is None:
        register_reference(conn, fasta.path, fasta.contigs)

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        return frequency_files.read(
            files[ordinal], frequencies, normalizer, table=tables[ordinal], namespace=within, after=after, first=ordinal == 0
        )

    job = Job(
        kind="frequencies",
        files=[source_file(path, header.public_text or header.reference) for path, header in zip(files, headers, strict=True)],
        dataset=dataset,
        version=version,
        options={
            "reference": fasta.digest if fasta else None,
            "unnormalized": unnormalized,
            "namespace": within,
            "locus": list(locus or ()),
            **({"lift": lifted.option} if lifted else {}),
        },
        hold=hold,
        normalized=not unnormalized,
        strict=strict,
    )
    return job, chunks


def _opened(path: Path, table: scores.Table | None) -> tuple[VcfHeader, Iterator[Block]]:
    if table is None:
        return open_vcf(path)
    return frequency_files.header_of(table), sites(table, text_blocks(path))
