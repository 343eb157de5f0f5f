"""From files and options to a load of genes or of scores: everything that is settled, or refused, before anything is written."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

import psycopg

from loaders import genes, scores
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


def genes_job(
    conn: psycopg.Connection,
    path: Path,
    *,
    dataset: str | None = None,
    version: str | None = None,
    assembly: str | None = None,
    hold: bool = False,
    strict: bool = False,
) -> tuple[Job, Read]:
    """The job and the reader of a load of one GTF file; the options are those of `vkg load genes`.

    Raises InputError and StoreError for what must not be loaded.
    """
    build = genome(conn).assembly
    said = genes.statement(path)
    given = assembly_of(assembly) if assembly else None
    check_assembly(conn, path, stating(said), iter(()), store=build, given=given, reference=None)

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        return genes.read(path, build, after=after)

    files = [source_file(path, said or None)]
    return Job("genes", files, dataset or dataset_name(path), version, {}, hold=hold, strict=strict), chunks


def scores_job(
    conn: psycopg.Connection,
    files: Sequence[Path],
    *,
    names: Sequence[str] = (),
    columns: Sequence[str] = (),
    info: Sequence[str] = (),
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
    """The job and the reader of a load of scores; the options are those of `vkg load scores`.

    With `info` the files are VCFs, else tables. Registers `reference` with a store that has none. Raises InputError and StoreError for what
    must not be loaded.
    """
    store = genome(conn)
    given = assembly_of(assembly) if assembly else None
    fasta = open_reference(store, reference)
    lifted = open_lift(lift, store.assembly, fasta)
    normalizer = Normalizer(store.assembly, fasta, unnormalized, lift=lifted)
    tables: list[scores.Table] = []
    headers: list[VcfHeader] = []
    for path in files:
        if info:
            header, blocks = open_vcf(path)
            wanted = scores.declared(path, info, header, names)
        else:
            tables.append(table := scores.layout(path, locus))
            wanted = scores.chosen(path, columns, table, names)
            columns = [score.source for score in wanted]
            header, blocks = stating(table.assembly), sites(table, text_blocks(path))
        check_assembly(conn, path, header, iter(blocks), store=store.assembly, given=given, reference=fasta, lift=lifted)
        headers.append(header)
    if fasta and store.reference_path is None:
        register_reference(conn, fasta.path, fasta.contigs)

    def chunks(ordinal: int, after: int) -> Generator[Chunk, None, None]:
        path, first = files[ordinal], ordinal == 0
        if info:
            return scores.read_vcf(path, wanted, normalizer, after=after, first=first)
        return scores.read_table(path, tables[ordinal], wanted, normalizer, after=after, first=first)

    job = Job(
        kind="scores",
        files=[source_file(path, header.public_text or header.reference) for path, header in zip(files, headers, strict=True)],
        dataset=dataset or dataset_name(files[0]),
        version=version,
        options={
            "reference": fasta.digest if fasta else None,
            "unnormalized": unnormalized,
            "scores": {score.name: score.source for score in wanted},
            "locus": list(locus or ()),
            **({"lift": lifted.option} if lifted else {}),
        },
        hold=hold,
        normalized=not unnormalized,
        strict=strict,
    )
    return job, chunks


def stating(text: str | None) -> VcfHeader:
    """A header that tells of the assembly what the text tells; files of other formats have none of their own."""
    return VcfHeader("", None, {}, {}, text or None, ())


def sites(table: scores.Table, blocks: Iterable[Block]) -> Generator[Block, None, None]:
    """The rows of a table as the first columns of a VCF."""
    chrom, pos, ref, alt = table.locus
    for block in blocks:
        skipped = max(0, table.begin - block.first)
        rows = (line.split(table.separator) for line in block.lines[skipped:])
        lines = ["\t".join((r[chrom], r[pos], ".", r[ref], r[alt])) if len(r) > max(table.locus) else "" for r in rows]
        yield Block(block.first + skipped, lines, block.position)
