"""`vkg query`: variants as files. It reads through the API's own links, so filters mean the same in both places."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
import pysam
import strawberry
from graphql import GraphQLError, parse_value
from graphql.utilities import coerce_input_literal, validate_input_literal
from strawberry.types.arguments import convert_argument

from store.assembly import NAMES, Assembly, chrom_code
from store.database import Pools
from store.read import ordered_columns
from store.reference import Reference
from store.statements import statement

from .context import Context, View
from .cursor import encode_cursor
from .errors import UserError
from .export_genotypes import HEADER as FORMAT_LINES
from .export_genotypes import Columns, columns_of
from .filters import VariantFilter
from .page import LARGEST_PAGE, Window
from .relation import ROOT, Link, links
from .schema import build

COLUMNS = ("chrom", "pos", "ref", "alt", "key", "type", "rsids", "dataset", "version", "id", "qual", "filter", "info")
"""Columns of the TSV: `info` is JSON, `rsids` are joined by commas, `id` and `filter` by semicolons; what is missing is empty."""

Write = Callable[[str], Any]


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
    ctx = await _context(pools, assembly, reference, selection.release)
    columns = await columns_of(ctx, selection.samples, selection.all_samples, selection.dataset)
    names = columns.names if columns else []
    rows = read(ctx, selection, columns)
    if output is None:
        return await _write_tsv(out.write, rows, names)
    name = output.name.removesuffix(".gz")
    if not name.endswith((".vcf", ".tsv")):
        raise UserError("BAD_OUTPUT", f"{output}: the ending says no format.", hint="Name it .vcf, .vcf.gz, .tsv or .tsv.gz.")
    partial = output.with_name(output.name + ".partial")
    try:
        with _writer(partial, compressed=output.suffix == ".gz") as write:
            count = await (_write_tsv(write, rows, names) if name.endswith(".tsv") else _write_vcf(write, rows, names, pools))
        await _still_visible(ctx)
        partial.replace(output)
    except OSError as error:
        raise UserError("BAD_OUTPUT", f"{output}: {error.strerror}.", hint="Choose another --output.") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return count


async def read(ctx: Context, selection: Selection, columns: Columns | None = None) -> AsyncIterator[Row]:
    """The records of the selected variants, read page by page, three statements each; with columns of samples five, and the records
    of their callset."""
    schema = build()
    by_name = {link.name: link for link in links}
    arguments: dict[str, Any] = {"region": selection.region, "gene": selection.gene, "ids": selection.ids, "flank": selection.flank}
    arguments["filter"] = _filter(schema, selection.filter) if selection.filter is not None else None
    variants, order = by_name["Query.variants"], by_name["Query.variants"].order
    cursor = None
    while True:
        window = Window(columns.page if columns else LARGEST_PAGE, cursor)
        page = await variants.rows(ctx, ctx.view, [ROOT], variants.read.columns, window, arguments)
        found = {v["variant_key"]: v for v in _dicts(variants, page.by_parent.get(ROOT, []))}
        records = await _children(
            ctx, by_name["Variant.records"], list(found), {"dataset": [columns.dataset] if columns else selection.dataset}
        )
        wanted = sorted({r["load_id"] for rows in records.values() for r in rows})
        loads = await _children(ctx, by_name["VariantRecord.load"], wanted, {})
        calls = await columns.read(ctx, ctx.view, list(records)) if columns and records else {}
        for key, variant in found.items():
            for record in records.get(key, ()):
                yield Row(variant, record, loads[record["load_id"]][0], *calls.get(key, ()))
        if ROOT not in page.more:
            return
        cursor = encode_cursor(ctx.view.release_id, variants.name, order, [next(reversed(found))])


async def _children(ctx: Context, link: Link, keys: list[Any], arguments: dict[str, Any]) -> dict[Any, list[dict[str, Any]]]:
    rows = await link.rows(ctx, ctx.view, keys, link.read.columns, Window(), arguments) if keys else None
    return {key: _dicts(link, found) for key, found in rows.by_parent.items()} if rows else {}


def _dicts(link: Link, rows: list[Any]) -> list[dict[str, Any]]:
    columns = ordered_columns(link.read, link.read.columns)
    return [dict(zip(columns, row[link.width :], strict=True)) for row in rows]


async def _still_visible(ctx: Context) -> None:
    """Raises UserError where a load was taken out while it was being written, so that rows may be missing."""
    rows = await ctx.query(statement("release_by_number"), ctx.view.release_id)
    if tuple(rows[0]["loads"]) != ctx.view.loads:
        raise UserError("UNLOADED", "A dataset was unloaded while it was being written.", hint="Run this again.")


async def _context(pools: Pools, assembly: Assembly, reference: Reference | None, release: str | None) -> Context:
    rows = await pools.fetch(*((statement("release_by_name"), release) if release else (statement("current_release"),)))
    if not rows:
        raise UserError("UNKNOWN_RELEASE", f"There is no release named {release!r}.", hint="vkg release list")
    return Context(pools, View(rows[0]["release_id"], rows[0]["name"], tuple(rows[0]["loads"])), assembly, reference)


def _filter(schema: strawberry.Schema, text: str) -> VariantFilter:
    """A filter from a GraphQL literal."""
    wanted: Any = schema._schema.type_map["VariantFilter"]
    problems: list[str] = []
    try:
        literal = parse_value(text)
        validate_input_literal(literal, wanted, lambda error, path: problems.append(error.message))
    except GraphQLError as error:
        problems.append(error.message)
    if problems:
        hint = "Write it as in the API: {impact: [HIGH], qual: {min: 30}}"
        raise UserError("BAD_FILTER", f"The filter cannot be read: {problems[0]}", hint=hint)
    value = coerce_input_literal(literal, wanted)
    converted = convert_argument(value, VariantFilter, schema.schema_converter.scalar_registry, schema.config)
    assert isinstance(converted, VariantFilter)
    return converted


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


@contextlib.contextmanager
def _writer(path: Path, *, compressed: bool) -> Iterator[Write]:
    if compressed:
        with pysam.BGZFile(str(path), "w", None) as file:
            yield lambda text: file.write(text.encode())
    else:
        with path.open("w", encoding="utf-8") as plain:
            yield plain.write
