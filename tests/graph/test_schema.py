"""The schema as a contract: exported, described, named by one convention, and every link's declaration true of the database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLScalarType,
    is_specified_scalar_type,
)

from graph import names
from graph.relation import Link, entities, links
from graph.schema import build, sdl
from store.read import By, Read

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA = build()
TYPES = {name: kind for name, kind in SCHEMA._schema.type_map.items() if not name.startswith("__")}
OWN = {name: kind for name, kind in TYPES.items() if not is_specified_scalar_type(kind)}
READS = {link.read.name: link.read for link in [*links, *(entity.identity for entity in entities.values())]}


def elements() -> Iterator[tuple[str, Any]]:
    """Everything in the schema that has a name of ours, as (path, element)."""
    for name, kind in OWN.items():
        yield name, kind
        if isinstance(kind, GraphQLEnumType):
            yield from ((f"{name}.{value}", element) for value, element in kind.values.items())
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for field, element in kind.fields.items():
                yield f"{name}.{field}", element
                yield from ((f"{name}.{field}({argument}:)", a) for argument, a in getattr(element, "args", {}).items())


def test_schema_graphql_is_the_export() -> None:
    assert (ROOT / "schema.graphql").read_text() == sdl(SCHEMA), "export it anew: vkg schema > schema.graphql"


def test_everything_has_a_description() -> None:
    assert [path for path, element in elements() if not (element.description or "").strip().endswith(".")] == []


def test_custom_scalars_say_where_they_are_specified() -> None:
    scalars = [kind for kind in OWN.values() if isinstance(kind, GraphQLScalarType)]
    assert {kind.name for kind in scalars} == {"BigInt", "DateTime", "JSON"}
    assert all(kind.specified_by_url.startswith("https://") for kind in scalars)


def test_names_follow_one_convention() -> None:
    styles = {"type": r"[A-Z][A-Za-z0-9]*", "field": r"[a-z][A-Za-z0-9]*", "value": r"[A-Z][A-Z0-9_]*"}
    wrong = []
    for path, _ in elements():
        name = re.split(r"[.(]", path.rstrip(":)"))[-1]
        parent = TYPES[path.split(".")[0]]
        style = "type" if "." not in path else "value" if isinstance(parent, GraphQLEnumType) else "field"
        if not re.fullmatch(styles[style], name) or (style == "field" and re.search(r"[A-Z]{2}", name)):
            wrong.append(path)
    assert wrong == []


def test_lists_and_their_elements_are_never_null_except_where_gaps_say_something() -> None:
    lists = {path: str(e.type) for path, e in elements() if "(" not in path and "[" in str(getattr(e, "type", ""))}
    fields = {path: shown for path, shown in lists.items() if not isinstance(TYPES[path.split(".")[0]], GraphQLInputObjectType)}
    assert {path for path, shown in fields.items() if not shown.endswith("!]!")} == {
        "Query.nodes",  # null for an id that names nothing visible, so that answers stay in the order of the ids
        "ClinicalSignificance.conditionIds",  # null for a dot, so that they stay in the order of the conditions
        "VariantRecord.filter",  # null for a dot: not filtered, which is not the same as no failed filter
        "Frequency.filter",  # the same
    }


def test_every_page_is_a_connection_with_the_same_fields_and_arguments() -> None:
    pages = [link for link in links if link.shape == "page"]
    assert len(pages) >= 7
    for parent, name in ((parent, link.name.split(".")[1]) for link in pages for parent in _parents(link)):
        field = TYPES[parent].fields[_camel(name)]
        kind = TYPES[str(field.type).rstrip("!")]
        assert kind.name.endswith("Connection")
        assert set(kind.fields) == {"nodes", "edges", "pageInfo", "totalCount", "totalCountIsExact"}
        assert {"first", "after", "last", "before"} <= set(field.args)


@pytest.mark.parametrize("link", links, ids=lambda link: link.name)
def test_a_link_names_what_its_parent_and_its_read_have(link: Link) -> None:
    field = link.name.split(".")[1]
    assert link.by in link.read.by
    assert link.order in link.read.orders
    for name in _parents(link):
        assert _camel(field) in TYPES[name].fields
        assert link.on is None or all(link.on in read.columns for read in _reads_of(name))
    node, edge = link.types
    assert set(entities[node.__name__].identity.read.columns) <= set(link.read.columns), "a link reads the columns of its type"
    if edge is not None:
        assert _leaves(edge) - {"node", "cursor"} <= set(link.read.columns), "and those of its edges"


def _parents(link: Link) -> set[str]:
    """The types that have a link: that of its class, or those that take it over from it."""
    parent = link.name.split(".")[0]
    return {parent} if parent in TYPES else {cls.__name__ for cls in getattr(names, parent).__subclasses__()}


def _reads_of(name: str) -> list[Read]:
    """What rows of a type are read by; edges by the links that have them."""
    if name in entities:
        return [entities[name].identity.read]
    return [link.read for link in links if link.types[1] is not None and link.types[1].__name__ == name]


def _leaves(cls: type) -> set[str]:
    return {f.python_name for f in cls.__strawberry_definition__.fields if f.base_resolver is None}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", entities)
def test_leaf_fields_are_columns(name: str) -> None:
    assert _leaves(entities[name].cls) <= set(entities[name].identity.read.columns)


JOINED = {
    "genotype_call": {"g.variant_key", "g.load_id", "c.sample_id"},
    "carrier": {"g.load_id", "t.ordinal"},  # of one variant
    "v2f_score": {"t.load_id", "t.file", "t.line", "t.part"},  # of one variant
    "carried_variant": {"d.variant_key"},  # of one sample: each variant comes once
    "hbd_variant": {"d.variant_key"},
    "shared_variant": {"g.variant_key"},  # of one callset
    "ibd_segment": {"t.load_id", "t.file", "t.line"},  # of one person: a line has one segment
    "ibd_segment_over": {"t.load_id", "t.file", "t.line"},
    "relative": {"r.sample_id"},  # of one person, in one run
    "ancestry_matched": {"t.sample_id"},  # of one analysis
    "metacell_expression": {"t.metacell_id", "t.gene"},  # of one gene of the graph, which several of a dataset may mean
    "expressed_gene": {"t.gene"},  # of one metacell
    "top_gene": {"t.place"},  # of one metacell
    "metacell_peak": {"t.ordinal"},  # of one load
    "cluster_member": {"m.place"},  # of one cluster
    "cluster_of_variant": {"m.load_id"},  # of one variant: a load has it in one cluster at most
}
"""What there is one row of, in reads whose rows come from several tables, or are half of a table."""


@pytest.mark.parametrize("read", READS.values(), ids=lambda read: read.name)
def test_orders_are_total(read: Read, conn: psycopg.Connection[Any]) -> None:
    """Every order is over NOT NULL columns, and with what addresses the rows it holds a unique key of the table, so that
    no two rows of a list stand at the same place and a cursor means one of them."""
    if read.name in JOINED:
        for used, order in {(link.by, link.order) for link in links if link.read is read}:
            assert JOINED[read.name] <= {*read.orders[order].columns, read.by[used].parent}
        return
    table = read.source.split()[0]
    not_null = {name for (name,) in conn.execute("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnotnull", (table,))}
    keys = [
        set(key)
        for (key,) in conn.execute(
            "SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) "
            "WHERE i.indrelid = %s::regclass AND i.indisunique GROUP BY i.indexrelid",
            (table,),
        )
    ]
    newest = {"load_id"} if "n.load_id > t.load_id" in read.visible else set()
    for name, order in read.orders.items():
        columns = {column.removeprefix("t.") for column in order.columns if re.fullmatch(r"t\.\w+", column)}
        assert columns <= not_null, name
        for by in (
            by for used, by in read.by.items() if any(link.by == used and link.order == name for link in links if link.read is read)
        ):
            assert any(key <= columns | newest | _fixed(by) for key in keys), name


def _fixed(by: By) -> set[str]:
    """The columns of t that the rows of one parent have in common."""
    return {by.parent.removeprefix("t.")} | set(re.findall(r"t\.(\w+) = k\.key", by.each))


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.capitalize, rest))
