"""`vkg query`: variants as files. It reads through the API's own links, so filters mean the same in both places."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import asyncpg
import orjson
import pysam
import strawberry
from graphql import GraphQLError, parse_value
from graphql.utilities import coerce_input_literal, validate_input_literal
from strawberry.types.arguments import convert_argument

from store.assembly import NAMES, Assembly, chrom_code
from store.read import ordered_columns
from store.reference import Reference
from store.statements import statement

from .context import Context, View
from .cursor import encode_cursor
from .errors import UserError
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


@dataclass(frozen=True)
class Row:
    """One record of one variant: columns of the reads VARIANT, RECORD and LOAD."""

    variant: dict[str, Any]
    record: dict[str, Any]
    load: dict[str, Any]


async def export(
    pool: asyncpg.Pool, assembly: Assembly, reference: Reference | None, selection: Selection, output: Path | None, out: IO[str]
) -> int:
    """Writes the records of the selected variants, in genome order, to a .vcf, .vcf.gz, .tsv or .tsv.gz file, or as TSV
    to `out`. Returns their number. Raises UserError; a file is only there when it is complete.
    """
    ctx = await _context(pool, assembly, reference, selection.release)
    rows = read(ctx, selection)
    if output is None:
        return await _write_tsv(out.write, rows)
    name = output.name.removesuffix(".gz")
    if not name.endswith((".vcf", ".tsv")):
        raise UserError("BAD_OUTPUT", f"{output}: the ending says no format.", hint="Name it .vcf, .vcf.gz, .tsv or .tsv.gz.")
    partial = output.with_name(output.name + ".partial")
    try:
        with _writer(partial, compressed=output.suffix == ".gz") as write:
            count = await (_write_tsv(write, rows) if name.endswith(".tsv") else _write_vcf(write, rows, pool))
        await _still_visible(ctx)
        partial.replace(output)
    except OSError as error:
        raise UserError("BAD_OUTPUT", f"{output}: {error.strerror}.", hint="Choose another --output.") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return count


async def read(ctx: Context, selection: Selection) -> AsyncIterator[Row]:
    """The records of the selected variants, read page by page, three statements each."""
    schema = build()
    by_name = {link.name: link for link in links}
    arguments: dict[str, Any] = {"region": selection.region, "gene": selection.gene, "ids": selection.ids, "flank": selection.flank}
    arguments["filter"] = _filter(schema, selection.filter) if selection.filter is not None else None
    variants, order = by_name["Query.variants"], by_name["Query.variants"].order
    cursor = None
    while True:
        window = Window(LARGEST_PAGE, cursor)
        page = await variants.rows(ctx, ctx.view, [ROOT], variants.read.columns, window, arguments)
        found = {v["variant_key"]: v for v in _dicts(variants, page.by_parent.get(ROOT, []))}
        records = await _children(ctx, by_name["Variant.records"], list(found), {"dataset": selection.dataset})
        wanted = sorted({r["load_id"] for rows in records.values() for r in rows})
        loads = await _children(ctx, by_name["VariantRecord.load"], wanted, {})
        for key, variant in found.items():
            for record in records.get(key, ()):
                yield Row(variant, record, loads[record["load_id"]][0])
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


async def _context(pool: asyncpg.Pool, assembly: Assembly, reference: Reference | None, release: str | None) -> Context:
    rows = await pool.fetch(*((statement("release_by_name"), release) if release else (statement("current_release"),)))
    if not rows:
        raise UserError("UNKNOWN_RELEASE", f"There is no release named {release!r}.", hint="vkg release list")
    return Context(pool, View(rows[0]["release_id"], rows[0]["name"], tuple(rows[0]["loads"])), assembly, reference)


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


async def _write_tsv(write: Write, rows: AsyncIterator[Row]) -> int:
    count = 0
    async for row in rows:
        if not count:
            write("\t".join(COLUMNS) + "\n")
        count += 1
        variant, record, load = row.variant, row.record, row.load
        cells = (
            variant["chrom"], str(variant["pos"]), variant["ref"], variant["alt"], variant["key"], variant["type"], ",".join(variant["rsids"]),
            load["dataset"], load["version"], ";".join(record["ids"]), _qual(record["qual"], ""), ";".join(record["filter"] or ()),
            orjson.dumps(record["info"]).decode() if record["info"] is not None else "",
        )  # fmt: skip
        write("\t".join(cells) + "\n")
    if not count:
        write("\t".join(COLUMNS) + "\n")
    return count


async def _write_vcf(write: Write, rows: AsyncIterator[Row], pool: asyncpg.Pool) -> int:
    first: dict[str, Any] | None = None
    names: dict[str, str] = {}
    count = 0
    async for row in rows:
        if first is None:
            first = row.load
            header, names = await _header(pool, first["load_id"])
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
        )  # fmt: skip
        write("\t".join(cells) + "\n")
    if first is None:
        write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
    return count


async def _header(pool: asyncpg.Pool, load_id: int) -> tuple[str, dict[str, str]]:
    """The header lines of a load's files, without samples, and the names that they give to chromosomes."""
    headers = [row["header"].splitlines() for row in await pool.fetch(statement("headers_of_load"), load_id)]
    found = dict.fromkeys(line for header in headers for line in header if line.startswith("##") and not line.startswith("##FORMAT"))
    lines = list(found) or ["##fileformat=VCFv4.2"]
    names: dict[str, str] = {}
    for line in lines:
        if line.startswith("##contig=<ID="):
            name = line.removeprefix("##contig=<ID=").split(",")[0].rstrip(">")
            if (code := chrom_code(name)) is not None:
                names.setdefault(NAMES[code - 1], name)
    return "\n".join([*lines, "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"]), names


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
