"""The schema: all types put together, with the limits and caches of every execution."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import strawberry
from graphql import GraphQLInputObjectType, GraphQLSchema, Undefined, lexicographic_sort_schema, print_schema
from strawberry.schema.config import StrawberryConfig

from . import (  # noqa: F401 - they declare the types
    altering,
    ancestry,
    annotation,
    cell_context,
    cluster,
    descent,
    enformer,
    gene,
    genotype,
    ibd,
    ledger,
    likeness,
    metacell,
    node,
    query,
    report,
    resolve,
    sample,
    search,
    sharing,
    similar,
    transfer,
    v2f,
    variant,
)  # fmt: skip
from .page import Names
from .relation import entities
from .scalars import SCALARS

try:
    VERSION = version("variant-knowledge-graph")
except PackageNotFoundError:  # run from a checkout that was not installed
    VERSION = "0+checkout"


def build() -> strawberry.Schema:
    """The executable schema."""
    schema = strawberry.Schema(
        query.Query,
        types=[e.cls for e in entities.values()],
        config=StrawberryConfig(name_converter=Names(), scalar_map=SCALARS),  # type: ignore[arg-type]
    )
    _drop_null_defaults(schema._schema)
    return schema


def _drop_null_defaults(schema: GraphQLSchema) -> None:
    """`= null` says nothing that the absence of a default does not, and clutters the schema and generated clients."""
    for kind in schema.type_map.values():
        if kind.name.startswith("__"):
            continue
        inputs = [kind.fields] if isinstance(kind, GraphQLInputObjectType) else [f.args for f in getattr(kind, "fields", {}).values()]
        for arguments in inputs:
            for argument in arguments.values():
                if argument.default_value is None:
                    argument.default_value = Undefined


def sdl(schema: Any) -> str:
    """The schema in the schema definition language, sorted: what schema.graphql holds and /schema.graphql serves."""
    return print_schema(lexicographic_sort_schema(schema._schema)) + "\n"
