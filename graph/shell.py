"""What the commands of `vkg query` share: a request at the shell, lists read page by page, and files that are there only when they are complete."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import strawberry
from graphql import GraphQLError, parse_value
from graphql.utilities import coerce_input_literal, validate_input_literal
from strawberry.types.arguments import convert_argument

from store import output as output_file
from store.assembly import Assembly
from store.database import Pools
from store.errors import OutputError
from store.output import Write
from store.read import ordered_columns
from store.reference import Reference
from store.statements import statement

from .context import Context, View
from .cursor import encode_cursor
from .errors import UserError
from .execution import Executor
from .filters import VariantFilter
from .page import LARGEST_PAGE, Window
from .relation import ROOT, Link, links
from .schema import build

SECONDS = 600.0
"""How long one operation may take."""


async def request(pools: Pools, assembly: Assembly, reference: Reference | None, release: str | None) -> Context:
    """A request of its own, which reads a named release or what is visible now. Raises UserError UNKNOWN_RELEASE."""
    build()  # declares all links
    rows = await pools.fetch(*((statement("release_by_name"), release) if release else (statement("current_release"),)))
    if not rows:
        raise UserError("UNKNOWN_RELEASE", f"There is no release named {release!r}.", hint="vkg release list")
    return Context(pools, View(rows[0]["release_id"], rows[0]["name"], tuple(rows[0]["loads"])), assembly, reference)


# ---- reading: rows are dicts of the columns of the link's Read


async def pages(
    ctx: Context, name: str, arguments: Mapping[str, Any], *, key: Any = ROOT, size: int = LARGEST_PAGE
) -> AsyncIterator[list[dict[str, Any]]]:
    """The rows of a link that is a page, for one parent, page by page; none for an empty list."""
    link = _link(name)
    cursor = None
    while True:
        found = await link.rows(ctx, ctx.view, [key], link.read.columns, Window(size, cursor), dict(arguments))
        rows = found.of(key)
        if rows:
            yield _dicts(link, rows)
        if key not in found.more:
            return
        cursor = encode_cursor(ctx.view.release_id, link.name, link.order, rows[-1][1 : link.width])


async def children(
    ctx: Context, name: str, keys: Sequence[Any], arguments: Mapping[str, Any] | None = None
) -> dict[Any, list[dict[str, Any]]]:
    """All rows of a link by the keys of their parents."""
    link = _link(name)
    found = await link.rows(ctx, ctx.view, keys, link.read.columns, Window(), dict(arguments or {})) if keys else None
    return {key: _dicts(link, found.of(key)) for key in found.bounds} if found else {}


async def answer(ctx: Context, executor: Executor, operation: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What the API answers to an operation, in the view of the request. Raises UserError where it answers with an error."""
    own = replace(ctx, loaders={})  # what it read is not kept for the next one
    body = (await executor.run(own, operation, dict(variables), None, seconds=SECONDS)).body
    ctx.statements = own.statements
    for error in body.get("errors", ()):
        told = error["extensions"]
        raise UserError(told["code"], error["message"], value=told.get("value"), hint=told.get("hint"))
    return body["data"]


def _link(name: str) -> Link:
    return next(link for link in links if link.name == name)


def _dicts(link: Link, rows: Sequence[Any]) -> list[dict[str, Any]]:
    columns = ordered_columns(link.read, link.read.columns)
    return [dict(zip(columns, row[link.width :], strict=True)) for row in rows]


def variant_filter(text: str) -> VariantFilter:
    """A filter from a GraphQL literal, such as {impact: [HIGH]}. Raises UserError BAD_FILTER."""
    schema: strawberry.Schema = build()
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


# ---- writing


def format_of(output: Path, formats: Sequence[str]) -> str:
    """Which of the formats (.tsv ...) the name of a file says, with or without .gz behind. Raises UserError BAD_OUTPUT."""
    name = output.name.removesuffix(".gz")
    for found in formats:
        if name.endswith(found):
            return found
    listed = ", ".join(ending for each in formats for ending in (each, f"{each}.gz"))
    raise UserError("BAD_OUTPUT", f"{output}: the ending says no format.", hint=f"Name it {' or '.join(listed.rsplit(', ', 1))}.")


@contextlib.asynccontextmanager
async def writing(ctx: Context, output: Path | None, out: IO[str]) -> AsyncIterator[Write]:
    """Writes to `out`, or to a file (bgzip where it ends in .gz), which is only there when it is complete. Raises UserError BAD_OUTPUT, or
    UNLOADED where a load was taken out meanwhile, so that rows may be missing."""
    if output is None:
        yield out.write
        return
    try:
        with output_file.writing(output) as write:
            yield write
            await _still_visible(ctx)
    except OutputError as error:
        raise UserError("BAD_OUTPUT", f"{error.what}.", hint=error.remedy) from None


async def _still_visible(ctx: Context) -> None:
    rows = await ctx.query(statement("release_by_number"), ctx.view.release_id)
    if tuple(rows[0]["loads"]) != ctx.view.loads:
        raise UserError("UNLOADED", "A dataset was unloaded while it was being written.", hint="Run this again.")
