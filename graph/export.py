"""`vkg query`: the API's answers as files. It runs the API's own operations, so filters mean the same in both places."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import asyncpg
import orjson
import pysam
from graphql import GraphQLError, parse_value, value_from_ast_untyped

from store.assembly import NAMES, Assembly, chrom_code
from store.reference import Reference

from .context import CURRENT_RELEASE, NAMED_RELEASE, Context, View
from .errors import UserError
from .execution import Executor
from .link import LARGEST_PAGE
from .schema import build

_PAGE = """query ($region: String, $gene: String, $ids: [String!], $flank: Int!, $filter: VariantFilter, $dataset: [String!], $first: Int!, $after: String) {
  variants(region: $region, gene: $gene, ids: $ids, flank: $flank, filter: $filter, first: $first, after: $after) {
    nodes { key chrom pos ref alt type rsids records(dataset: $dataset) { ids qual filter info load { dataset version id } } }
    pageInfo { hasNextPage endCursor }
  }
}"""

COLUMNS = ("chrom", "pos", "ref", "alt", "key", "type", "rsids", "dataset", "version", "id", "qual", "filter", "info")
"""Columns of the TSV: `info` is JSON, `rsids` are joined by commas, what is missing is empty."""


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


async def export(pool: asyncpg.Pool, assembly: Assembly, reference: Reference | None, selection: Selection, output: Path | None, out: IO[str]) -> int:
    """Writes the records of the selected variants, in genome order, to a .vcf, .vcf.gz, .tsv or .tsv.gz file, or as TSV
    to `out`. Returns their number. Raises UserError; a file is only there when it is complete.
    """
    variants = read(pool, assembly, reference, selection)
    if output is None:
        return await _write_tsv(out.write, variants)
    name = output.name.removesuffix(".gz")
    if not name.endswith((".vcf", ".tsv")):
        raise UserError("BAD_OUTPUT", f"{output}: the ending says no format.", hint="Name it .vcf, .vcf.gz, .tsv or .tsv.gz.")
    partial = output.with_name(output.name + ".partial")
    try:
        with _writer(partial, compressed=output.suffix == ".gz") as write:
            if name.endswith(".tsv"):
                count = await _write_tsv(write, variants)
            else:
                count = await _write_vcf(write, variants, pool, selection)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return count


async def read(pool: asyncpg.Pool, assembly: Assembly, reference: Reference | None, selection: Selection) -> AsyncIterator[dict[str, Any]]:
    """The selected variants with their records, page by page, all of one release."""
    executor = Executor(build())
    rows = await pool.fetch(*((NAMED_RELEASE, selection.release) if selection.release else (CURRENT_RELEASE,)))
    if not rows:
        raise UserError("UNKNOWN_RELEASE", f"There is no release named {selection.release!r}.", hint="vkg release list")
    view = View(rows[0]["release_id"], rows[0]["name"], tuple(rows[0]["loads"]))
    variables: dict[str, Any] = {
        "region": selection.region, "gene": selection.gene, "ids": selection.ids, "flank": selection.flank, "dataset": selection.dataset,
        "filter": _literal(selection.filter) if selection.filter else None, "first": LARGEST_PAGE,
    }  # fmt: skip
    while True:
        answer = await executor.run(Context(pool, view, assembly, reference), _PAGE, variables, None, seconds=600)
        for error in answer.body.get("errors", ()):
            extensions = error.get("extensions", {})
            raise UserError(extensions.get("code", "INTERNAL"), error["message"], hint=extensions.get("hint"))
        page = answer.body["data"]["variants"]
        for node in page["nodes"]:
            yield node
        if not page["pageInfo"]["hasNextPage"]:
            return
        variables["after"] = page["pageInfo"]["endCursor"]


def _literal(text: str) -> Any:
    try:
        return value_from_ast_untyped(parse_value(text))
    except GraphQLError as error:
        raise UserError("BAD_FILTER", f"The filter cannot be read: {error.message}", hint="Write it as in GraphQL: {impact: [HIGH], qual: {min: 30}}") from None


async def _write_tsv(write: Any, variants: AsyncIterator[dict[str, Any]]) -> int:
    write("\t".join(COLUMNS) + "\n")
    count = 0
    async for variant in variants:
        for record in variant["records"]:
            count += 1
            cells = (
                variant["chrom"], variant["pos"], variant["ref"], variant["alt"], variant["key"], variant["type"], ",".join(variant["rsids"]),
                record["load"]["dataset"], record["load"]["version"], ";".join(record["ids"]), _qual(record["qual"], ""),
                ";".join(record["filter"] or ()), orjson.dumps(record["info"]).decode() if record["info"] is not None else "",
            )  # fmt: skip
            write("\t".join(str(cell).replace("\t", " ") for cell in cells) + "\n")
    return count


async def _write_vcf(write: Any, variants: AsyncIterator[dict[str, Any]], pool: asyncpg.Pool, selection: Selection) -> int:
    header: list[str] | None = None
    load: dict[str, Any] = {}
    names: dict[str, str] = {}
    count = 0
    async for variant in variants:
        for record in variant["records"]:
            if header is None:
                load = record["load"]
                header, names = await _header(pool, load["id"])
                write("".join(line + "\n" for line in header))
            elif record["load"]["id"] != load["id"]:
                raise UserError(
                    "SEVERAL_DATASETS",
                    f"The variants have records of {load['dataset']} and {record['load']['dataset']}, whose INFO keys mean different things.",
                    hint="Choose one with --dataset, or write .tsv.",
                )
            count += 1
            chrom = names.get(variant["chrom"], variant["chrom"])
            filters = ";".join(record["filter"]) if record["filter"] is not None else "."
            write(f"{chrom}\t{variant['pos']}\t{';'.join(record['ids']) or '.'}\t{variant['ref']}\t{variant['alt']}\t{_qual(record['qual'], '.')}\t{filters}\t{_info(record['info'])}\n")
    if header is None:
        write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
    return count


async def _header(pool: asyncpg.Pool, load: str) -> tuple[list[str], dict[str, str]]:
    """The header of a load's file without its samples, and the names that it gives to chromosomes."""
    text = await pool.fetchval("SELECT header FROM load_file WHERE load_id = $1 ORDER BY ordinal LIMIT 1", int(load.removeprefix("Load:")))
    lines = [line for line in (text or "##fileformat=VCFv4.2").splitlines() if line.startswith("##") and not line.startswith("##FORMAT")]
    names: dict[str, str] = {}
    for line in lines:
        if line.startswith("##contig=<ID="):
            name = line.removeprefix("##contig=<ID=").split(",")[0].rstrip(">")
            if (code := chrom_code(name)) is not None:
                names.setdefault(NAMES[code - 1], name)
    return [*lines, "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"], names


def _qual(qual: float | None, missing: str) -> str:
    return missing if qual is None else f"{qual:.15g}"


def _info(fragment: Any) -> str:
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
def _writer(path: Path, *, compressed: bool) -> Iterator[Any]:
    if compressed:
        with pysam.BGZFile(str(path), "w", None) as file:
            yield lambda text: file.write(text.encode())
    else:
        with path.open("w", encoding="utf-8") as plain:
            yield plain.write
