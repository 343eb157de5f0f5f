"""Ways through the schema: for every field that can be reached from Query, an operation that reaches it in the demo data, so that each argument of each field
can be tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_object_type,
    is_required_argument,
)

GOOD = {
    ("variant", "id"): '"rs4813331"', ("gene", "id"): '"SIRPA"', ("sample", "id"): '"HG01531"', ("node", "id"): '"Gene:ENSG00000198053"',
    ("nodes", "ids"): '["Gene:ENSG00000198053"]', ("resolve", "inputs"): '["rs4813331"]', ("search", "text"): '"SIRP"',
    ("variantsByEmbedding", "vector"): "[1.0]", ("genotypes", "ids"): '["rs4813331"]', ("expression", "genes"): '["NOP56"]',
    ("similarityToClass", "classification"): "[PATHOGENIC]", ("metacell", "id"): '"SEACell-1"', ("transcript", "id"): '"NM_080792.3"',
}  # fmt: skip
"""Values of required arguments by field and argument."""
ANYWHERE = {
    "id": '"rs4813331"', "ids": '["rs4813331"]', "sample": '"HG00376"', "sample1": '"HG00376"', "sample2": '"HG00381"', "gene": '"SIRPA"',
    "population": '"EUR"', "region": '"20:1890000-1900000"', "ref": '"ACGT"', "alt": '"ACCT"', "cellType": '"Dendritic"', "name": '"kg300"',
    "tissue": "BLOOD", "genes": '["NOP56"]', "model": '"annotation"', "text": '"SIRP"', "callset": '"kg300"', "text1": '"x"',
}  # fmt: skip
"""Values of required arguments by their names."""


@dataclass(frozen=True)
class Step:
    """From a type to the next by a field, with its arguments."""

    written: str
    kind: str


@dataclass(frozen=True)
class Place:
    """A string argument: of which field of which type, how to get there, and where in the argument it stands (through input objects)."""

    type: str
    field: str
    argument: str
    inside: tuple[str, ...]
    way: tuple[Step, ...]

    def __str__(self) -> str:
        return ".".join((self.type, self.field, self.argument, *self.inside))


def written(field: str, arguments: dict[str, str]) -> str:
    """A field with arguments."""
    return f"{field}({', '.join(f'{name}: {value}' for name, value in arguments.items())})" if arguments else field


def required(field: str, arguments: dict[str, Any]) -> dict[str, str]:
    """What a field cannot be asked without, and a small page."""
    found = {}
    for name, argument in arguments.items():
        if is_required_argument(argument):
            kind = get_named_type(argument.type)
            value = GOOD.get((field, name)) or ANYWHERE.get(name)
            if isinstance(kind, GraphQLEnumType) and (value is None or value.startswith('"')):
                value = next(iter(kind.values))
            elif kind.name in ("Int", "Float"):
                value = value or "1"
            if value is None:
                raise KeyError(f"no value of {field}({name}:), which a new field wants: add one to tests/graph/reached.py")
            found[name] = value
    if "first" in arguments:
        found["first"] = "2"
    if field == "variantContext":  # what it says of a person it says when one is named
        found["sample"] = ANYWHERE["sample"]
    return found


def ways(schema: GraphQLSchema) -> dict[str, tuple[Step, ...]]:
    """The shortest way from Query to every object type."""
    assert schema.query_type is not None
    found: dict[str, tuple[Step, ...]] = {"Query": ()}
    coming = ["Query"]
    for name in coming:
        for field, each in schema.type_map[name].fields.items():  # type: ignore[attr-defined]
            kind = get_named_type(each.type)
            if is_object_type(kind) and kind.name not in found:  # not by `node`, whose id is of one type
                found[kind.name] = (*found[name], Step(written(field, required(field, each.args)), kind.name))
                coming.append(kind.name)
    return found


def strings(schema: GraphQLSchema) -> Iterator[Place]:
    """Every argument, or field of an input object within, that is a text or a list of texts."""
    for name, way in ways(schema).items():
        kind = schema.type_map[name]
        assert is_object_type(kind)
        for field, each in kind.fields.items():
            for argument, declared in each.args.items():
                for inside in _texts(declared.type, ()):
                    yield Place(name, field, argument, inside, way)


def _texts(kind: Any, inside: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    named = get_named_type(kind)
    if named.name in ("String", "ID"):
        yield inside
    elif isinstance(named, GraphQLInputObjectType) and len(inside) < 2:
        for name, field in named.fields.items():
            if not (isinstance(get_named_type(field.type), GraphQLInputObjectType) and get_named_type(field.type) is named):
                yield from _texts(field.type, (*inside, name))


def operation(schema: GraphQLSchema, place: Place) -> str:
    """An operation that gives an argument the value of a variable $x."""
    each = schema.type_map[place.type].fields[place.field]  # type: ignore[attr-defined]
    declared = each.args[place.argument].type
    arguments = {**required(place.field, each.args), place.argument: "$x"}
    named = get_named_type(each.type)
    body = written(place.field, arguments) + ("" if is_leaf_type(named) else " { __typename }")
    return f"query ($x: {declared}) {{ {along(place.way, body)} }}"


def along(way: tuple[Step, ...], body: str) -> str:
    """What is asked of the type at the end of a way, asked from Query."""
    for step in reversed(way):
        body = f"{step.written} {{ {body} }}"
    return body


def value(schema: GraphQLSchema, place: Place, text: str) -> Any:
    """The value of $x that has a text where the place says."""
    declared = schema.type_map[place.type].fields[place.field].args[place.argument].type  # type: ignore[attr-defined]

    def within(kind: Any, inside: tuple[str, ...]) -> Any:
        kind = get_nullable_type(kind)
        if is_list_type(kind):
            return [within(kind.of_type, inside)]
        if not inside:
            return text
        fields = kind.fields
        made = {name: _filled(field.type) for name, field in fields.items() if is_required_argument(field)}
        return made | {inside[0]: within(fields[inside[0]].type, inside[1:])}

    return within(declared, place.inside)


def _filled(kind: Any) -> Any:
    kind = get_nullable_type(kind)
    if is_list_type(kind):
        return [_filled(kind.of_type)]
    return 1 if kind.name in ("Int", "Float") else next(iter(kind.values)) if isinstance(kind, GraphQLEnumType) else "x"
