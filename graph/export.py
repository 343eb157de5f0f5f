"""`vkg query`: variants as files. It reads through the API's own links, so filters mean the same in both places."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from store.assembly import NAMES, Assembly, chrom_code
from store.database import Pools
from store.output import Write
from store.reference import Reference
from store.statements import statement

from .context import Context
from .errors import UserError
from .export_genotypes import HEADER as FORMAT_LINES
from .export_genotypes import Columns, columns_of
from .page import LARGEST_PAGE
from .shell import children, format_of, pages, request, variant_filter, writing

COLUMNS = ("chrom", "pos", "ref", "alt", "key", "type", "rsids", "dataset", "version", "id", "qual", "filter", "info")
"""Columns of the TSV: `info` is JSON, `rsids` are joined by commas, `id` and `filter` by semicolons; what is missing is empty."""


@dataclass(frozen=True)
class Selection:
    """Which variants, as in the API's field `variants`; `filter` is a GraphQL literal such as {impact: [HIGH]}."""

    region: str | None = None
    gene: str | None = None
    ids: list[str] | None = None
    flank: int = 0
    filter: str | None = None
    dataset: list[str] | None = None
    release: str | None = None
    samples: list[str] | None = None
    all_samples: bool = False


@dataclass(frozen=True)
class Row:
    """One record of one variant: columns of the reads VARIANT, RECORD and LOAD; FORMAT and the calls of the samples asked for."""

    variant: dict[str, Any]
    record: dict[str, Any]
    load: dict[str, Any]
    format: str = ""
    calls: Sequence[str] = ()


async def export(
    pools: Pools, assembly: Assembly, reference: Reference | None, selection: Selection, output: Path | None, out: IO[str]
) -> int:
    """Writes the records of the selected variants, in genome order, to a .vcf, .vcf.gz, .tsv or .tsv.gz file, or as TSV
    to `out`. Returns their number. Raises UserError; a file is only there when it is complete.
    """
    form = format_of(output, (".vcf", ".tsv")) if output is not None else ".tsv"
    ctx = await request(pools, assembly, reference, selection.release)
    columns = await columns_of(ctx, selection.samples, selection.all_samples, selection.dataset)
    names = columns.names if columns else []
    rows = read(ctx, selection, columns)
    async with writing(ctx, output, out) as write:
        return await (_write_tsv(write, rows, names) if form == ".tsv" else _write_vcf(write, rows, names, pools))


async def read(ctx: Context, selection: Selection, columns: Columns | None = None) -> AsyncIterator[Row]:
    """The records of the selected variants, read page by page, three statements each; with columns of samples five, and the records
    of their callset."""
    arguments: dict[str, Any] = {"region": selection.region, "gene": selection.gene, "ids": selection.ids, "flank": selection.flank}
    arguments["filter"] = variant_filter(selection.filter) if selection.filter is not None else None
    datasets = {"dataset": [columns.dataset] if columns else selection.dataset}
    async for page in pages(ctx, "Query.variants", arguments, size=columns.page if columns else LARGEST_PAGE):
        records = await children(ctx, "Variant.records", [variant["variant_key"] for variant in page], datasets)
        wanted = sorted({r["load_id"] for rows in records.values() for r in rows})
        loads = await children(ctx, "VariantRecord.load", wanted)
        calls = await columns.read(ctx, ctx.view, list(records)) if columns and records else {}
        for variant in page:
            for record in records.get(variant["variant_key"], ()):
                yield Row(variant, record, loads[record["load_id"]][0], *calls.get(variant["variant_key"], ()))


async def _write_tsv(write: Write, rows: AsyncIterator[Row], samples: Sequence[str]) -> int:
    count = 0
    async for row in rows:
        if not count:
            write("\t".join((*COLUMNS, *samples)) + "\n")
        count += 1
        variant, record, load = row.variant, row.record, row.load
        cells = (
            variant["chrom"], str(variant["pos"]), variant["ref"], variant["alt"], variant["key"], variant["type"], ",".join(variant["rsids"]),
            load["dataset"], load["version"], ";".join(record["ids"]), _qual(record["qual"], ""), ";".join(record["filter"] or ()),
            orjson.dumps(record["info"]).decode() if record["info"] is not None else "",
            *(call.partition(":")[0] for call in row.calls),
        )  # fmt: skip
        write("\t".join(cells) + "\n")
    if not count:
        write("\t".join((*COLUMNS, *samples)) + "\n")
    return count


async def _write_vcf(write: Write, rows: AsyncIterator[Row], samples: Sequence[str], pools: Pools) -> int:
    first: dict[str, Any] | None = None
    names: dict[str, str] = {}
    count = 0
    async for row in rows:
        if first is None:
            first = row.load
            header, names = await _header(pools, first["load_id"], samples)
            write(header)
        elif row.load["load_id"] != first["load_id"]:
            raise UserError(
                "SEVERAL_DATASETS",
                f"The variants have records of {first['dataset']} and {row.load['dataset']}, whose INFO keys mean different things.",
                hint="Choose one with --dataset, or write .tsv.",
            )
        count += 1
        variant, record = row.variant, row.record
        cells = (
            names.get(variant["chrom"], variant["chrom"]), str(variant["pos"]), ";".join(record["ids"]) or ".", variant["ref"], variant["alt"],
            _qual(record["qual"], "."), ";".join(record["filter"]) if record["filter"] is not None else ".", _info(record["info"]),
            *((row.format or "GT", *(row.calls or ["."] * len(samples))) if samples else ()),
        )  # fmt: skip
        write("\t".join(cells) + "\n")
    if first is None:
        write("##fileformat=VCFv4.2\n" + _columns(samples))
    return count


async def _header(pools: Pools, load_id: int, samples: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The header of a load's files, with these samples, and the names that it gives to chromosomes."""
    headers = [row["header"].splitlines() for row in await pools.fetch(statement("headers_of_load"), load_id)]
    found = dict.fromkeys(line for header in headers for line in header if line.startswith("##"))
    lines = [line for line in found if not line.startswith("##FORMAT")] or ["##fileformat=VCFv4.2"]
    if samples:
        for key, usual in FORMAT_LINES.items():
            lines.append(next((line for line in found if line.startswith(f"##FORMAT=<ID={key},")), usual))
    names: dict[str, str] = {}
    for line in lines:
        if line.startswith("##contig=<ID="):
            name = line.removeprefix("##contig=<ID=").split(",")[0].rstrip(">")
            if (code := chrom_code(name)) is not None:
                names.setdefault(NAMES[code - 1], name)
    return "\n".join(lines) + "\n" + _columns(samples), names


def _columns(samples: Sequence[str]) -> str:
    return "\t".join(("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", *(("FORMAT", *samples) if samples else ()))) + "\n"


def _qual(qual: float | None, missing: str) -> str:
    return missing if qual is None else f"{qual:.15g}"


def _info(fragment: orjson.Fragment | None) -> str:
    if fragment is None:
        return "."
    parts = []
    for key, value in json.loads(orjson.dumps(fragment), parse_float=str, parse_int=str).items():
        if value is True:
            parts.append(key)
        else:
            values = value if isinstance(value, list) else [value]
            parts.append(f"{key}=" + ",".join("." if v is None else v for v in values))
    return ";".join(parts) or "."
