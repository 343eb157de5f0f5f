"""Plans: an operation compiled once, for the values of the variables that its directives use.

A plan is a tree of selections: of one object type, which leaves are read from columns of its rows, and which branches lead on, each by one call for all
rows of its level (run.py). Nothing of a request is in it but what the text of the operation says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import strawberry
from graphql import (
    DirectiveNode,
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    VariableNode,
    Visitor,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    is_scalar_type,
    visit,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues, get_argument_values
from strawberry.types.arguments import convert_arguments

from graph.relation import Computed, Link, entities

from .documents import Document
from .leaves import Leaf


class NotPlanned(Exception):
    """The operation is the reference executor's; the text says what of it (docs/performance.md lists all)."""


INTROSPECTION, INCREMENTAL, OTHER_OPERATION, NESTED_LISTS = "introspection", "defer or stream", "no query", "lists of lists"

Joins = tuple[tuple[Link, tuple[str, ...]], ...]
"""Links of the rows of another link to one row each, which come along, and the columns that are wanted of them."""

Resolver = Callable[[Any, dict[str, Any], Any], Any]
"""(object, arguments, view) -> value of one of its fields, or an awaitable of it."""


@dataclass(eq=False)
class Slot:
    """A field of a selection: where its value stands in the answer, and what it may be."""

    key: str
    parent: str
    name: str
    type: GraphQLOutputType
    nodes: list[FieldNode]

    @cached_property
    def required(self) -> bool:
        """True where null is an error."""
        return is_non_null_type(self.type)

    @cached_property
    def listed(self) -> bool:
        """True for a list."""
        return is_list_type(nullable(self.type))

    @cached_property
    def item(self) -> GraphQLOutputType:
        """The type of one value: of an item, for a list."""
        kind: Any = nullable(self.type)
        return kind.of_type if self.listed else self.type

    @cached_property
    def named(self) -> Any:
        """The type without lists: a GraphQLNamedType."""
        return get_named_type(self.type)


@dataclass(eq=False)
class Column(Slot):
    """A leaf that is a column of the row, or an attribute of the object."""

    attribute: str = ""
    leaf: Leaf | None = None


@dataclass(eq=False)
class Branch(Slot):
    """A field that is made for all rows of its level at once. `below` are the selections of what comes out, by type; `leaf` where it is a leaf."""

    how: Literal["attribute", "method", "computed", "link", "row"] = "attribute"
    on: str | None = None
    attribute: str = ""
    resolver: Resolver | None = None
    computed: Computed | None = None
    link: Link | None = None
    arguments: Callable[[VariableValues], dict[str, Any]] = lambda _: {}
    below: dict[str, Selection] = field(default_factory=dict)
    leaf: Leaf | None = None
    columns: tuple[str, ...] = ()
    joins: Joins = ()
    parts: list[Part] = field(default_factory=list)


@dataclass(eq=False)
class Part(Slot):
    """A field of a page that a link reads: nodes, edges, pageInfo, a count, or __typename."""

    below: Selection | None = None
    fields: list[tuple[str, str]] = field(default_factory=list)


@dataclass(eq=False)
class Selection:
    """What is asked of objects of one type: constants, columns and branches, in the order of the answer."""

    type: str
    columns: list[Column] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)
    needs: tuple[str, ...] = ()
    build: Callable[[int, list[Sequence[Any]]], list[dict[str, Any]]] = lambda count, columns: []

    @cached_property
    def identity(self) -> tuple[str, ...]:
        """The columns that it needs of rows that are read by their own keys."""
        link = entities[self.type].identity
        needs = _row_needs(self).union(link.people)
        return tuple(name for name in link.read.columns if name in needs)


class Compiler:
    """Makes plans of the operations of a schema."""

    def __init__(self, schema: strawberry.Schema) -> None:
        self.schema: GraphQLSchema = schema._schema
        self._scalars, self._config = schema.schema_converter.scalar_registry, schema.config
        self._leaves: dict[str, Leaf] = {}
        self.types: dict[type, str] = {}
        """The names of types by the classes of their objects, where a class is one type."""
        for name, kind in self.schema.type_map.items():
            definition = kind.extensions.get("strawberry-definition")
            if is_object_type(kind) and definition is not None and not definition.concrete_of:
                self.types[definition.origin] = name

    def plan(self, document: Document, operation: OperationDefinitionNode, variables: VariableValues) -> Selection:
        """The plan of an operation. Raises NotPlanned, always the same for one operation and these values."""
        return _Compilation(self, document, operation, variables).root()

    def leaf(self, kind: Any) -> Leaf:
        """What completes a leaf type."""
        if kind.name not in self._leaves:
            self._leaves[kind.name] = Leaf(kind)
        return self._leaves[kind.name]

    def arguments(self, definition: GraphQLField, node: FieldNode) -> Callable[[VariableValues], dict[str, Any]]:
        """What gives the arguments of a field by the values of variables: a dict of its own each time. Raises GraphQLError then."""
        declared = definition.extensions["strawberry-definition"].arguments
        if not declared:
            return lambda _: {}

        plain = {}
        if all(is_scalar_type(nullable(argument.type)) for argument in definition.args.values()):  # nothing to convert
            plain = {name: one.python_name for one in declared if (name := self._config.name_converter.from_argument(one))}

        def read(variables: VariableValues) -> dict[str, Any]:
            if plain:
                return {plain[name]: value for name, value in get_argument_values(definition, node, variables).items()}
            return convert_arguments(get_argument_values(definition, node, variables), declared, self._scalars, self._config)

        if uses_variables(node.arguments):
            return read
        made: dict[str, Any] = {}

        def read_once(variables: VariableValues) -> dict[str, Any]:
            if "arguments" not in made:
                made["arguments"] = read(variables)
            return dict(made["arguments"])

        return read_once


def directive_variables(document: Document) -> tuple[str, ...]:
    """The names of variables that @skip and @include use, in order. Raises NotPlanned for @defer and @stream."""
    names: set[str] = set()

    class Find(Visitor):
        def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
            if node.name.value in ("defer", "stream"):
                raise NotPlanned(INCREMENTAL)
            names.update(argument.value.name.value for argument in node.arguments or () if isinstance(argument.value, VariableNode))

    visit(document.node, Find())
    return tuple(sorted(names))


class _Compilation:
    def __init__(self, compiler: Compiler, document: Document, operation: OperationDefinitionNode, variables: VariableValues) -> None:
        self._compiler, self._operation, self._variables = compiler, operation, variables
        self._fragments = {name: FragmentDetails(fragment) for name, fragment in document.fragments.items()}

    def root(self) -> Selection:
        query = self._compiler.schema.query_type
        if self._operation.operation.value != "query" or query is None:
            raise NotPlanned(OTHER_OPERATION)
        found = collect_fields(self._compiler.schema, self._fragments, self._variables, query, self._operation)
        return self._selection(query, found.grouped_field_set)

    def _fields(self, kind: GraphQLObjectType, nodes: Sequence[FieldNode]) -> dict[str, list[Any]]:
        details = [FieldDetails(node, None) for node in nodes]
        schema, operation = self._compiler.schema, self._operation
        return collect_subfields(schema, self._fragments, self._variables, operation, kind, details).grouped_field_set

    def _below(self, kind: Any, nodes: Sequence[FieldNode]) -> dict[str, Selection]:
        kinds: Sequence[Any] = [kind] if is_object_type(kind) else self._compiler.schema.get_possible_types(kind)
        return {each.name: self._selection(each, self._fields(each, nodes)) for each in kinds}

    def _selection(self, kind: GraphQLObjectType, grouped: Mapping[str, list[Any]]) -> Selection:
        found = Selection(kind.name)
        needs: dict[str, None] = {}
        order: list[tuple[str, Literal["constant", "column", "branch"]]] = []
        for key, details in grouped.items():
            nodes = [detail.node for detail in details]
            name = nodes[0].name.value
            if name == "__typename":
                order.append((key, "constant"))
                continue
            if name.startswith("__"):
                raise NotPlanned(INTROSPECTION)
            made = self._field(key, kind, name, nodes)
            needs |= dict.fromkeys(_needed(kind, made))
            if isinstance(made, Column):
                found.columns.append(made)
                order.append((key, "column"))
            else:
                found.branches.append(made)
                order.append((key, "branch"))
        found.needs = tuple(needs)
        found.build = builder(kind.name, order)
        return found

    def _field(self, key: str, parent: GraphQLObjectType, name: str, nodes: list[FieldNode]) -> Column | Branch:
        definition = parent.fields[name]
        declared = definition.extensions["strawberry-definition"]
        slot = (key, parent.name, name, definition.type, nodes)
        named = get_named_type(definition.type)
        if is_list_type(nullable(getattr(nullable(definition.type), "of_type", None))):
            raise NotPlanned(NESTED_LISTS)
        leaf = self._compiler.leaf(named) if is_leaf_type(named) else None
        if declared.base_resolver is None and leaf is not None:
            return Column(*slot, attribute=declared.python_name, leaf=leaf)
        link, computed = declared.metadata.get("link"), declared.metadata.get("computed")
        branch = Branch(*slot, leaf=leaf, arguments=self._compiler.arguments(definition, nodes[0]))
        if link is not None:
            branch.how, branch.link, branch.on = "link", link, link.on
            if link.shape == "page":
                branch.parts = self._parts(link, named, nodes)
                selections = [part.below for part in branch.parts if part.below]
            else:
                branch.below = self._below(named, nodes)
                selections = [*branch.below.values()]
            needs = {need for below in selections for need in _row_needs(below)}.union(link.people)
            branch.columns = tuple(name for name in link.read.columns if name in needs)
            joined = {each.link: each.columns for below in selections for each in _row_branches(below) if each.link and each.link.joined}
            branch.joins = tuple((each, wanted) for each, wanted in joined.items() if each.access in ("open", link.access))
            return branch
        branch.below = {} if leaf is not None else self._below(named, nodes)
        if computed is not None:
            branch.how, branch.computed, branch.on = "computed", computed, computed.on
        elif declared.base_resolver is not None:
            branch.how, branch.resolver = "method", declared.metadata.get("listed") or _method(declared.base_resolver.wrapped_func)
        else:
            branch.how, branch.attribute = "attribute", declared.python_name
        return branch

    def _parts(self, link: Link, page: GraphQLObjectType, nodes: Sequence[FieldNode]) -> list[Part]:
        """The fields of a page: what stands in it is read from the rows of the link."""
        found = []
        for key, details in self._fields(page, nodes).items():
            fields = [detail.node for detail in details]
            name = fields[0].name.value
            kind: Any = page.fields[name].type if name != "__typename" else None
            part = Part(key, page.name, name, kind, fields)
            if name == "nodes":
                part.below = self._selection(part.named, self._fields(part.named, fields))
            elif name == "edges":
                part.below = self._edge(part.named, fields)
            elif name == "pageInfo":
                selected = self._fields(part.named, fields)
                part.fields = [(each, details[0].node.name.value) for each, details in selected.items()]
            found.append(part)
        return found

    def _edge(self, kind: GraphQLObjectType, nodes: Sequence[FieldNode]) -> Selection:
        """An edge: the row has both its own columns and those of its node."""
        selection = self._selection(kind, self._fields(kind, nodes))
        for branch in selection.branches:
            if branch.name == "node":
                branch.how = "row"
        return selection


def builder(type_name: str, order: Sequence[tuple[str, str]]) -> Callable[[int, list[Sequence[Any]]], list[dict[str, Any]]]:
    """A function that makes the objects of a level of (their number, columns): keys in the order of the selection, None where a branch goes on.

    It is one comprehension, written for the selection: several times as fast as a loop over fields.
    """
    columns = [key for key, how in order if how == "column"]
    names = {key: f"v{place}" for place, key in enumerate(columns)}
    text = {"constant": repr(type_name), "branch": "None"}
    items = ", ".join(f"{key!r}: {names.get(key) or text[how]}" for key, how in order)
    if not columns:
        source = f"lambda count, columns: [{{{items}}} for _ in range(count)]"
    elif len(columns) == 1:
        source = f"lambda count, columns: [{{{items}}} for v0 in columns[0]]"
    else:
        source = f"lambda count, columns: [{{{items}}} for {', '.join(names.values())} in zip(*columns)]"
    return eval(source)


def nullable(kind: Any) -> Any:
    """A type without its exclamation mark."""
    return kind.of_type if is_non_null_type(kind) else kind


def uses_variables(nodes: Any) -> bool:
    """Whether a variable stands anywhere in arguments."""
    found: list[VariableNode] = []

    class Find(Visitor):
        def enter_variable(self, node: VariableNode, *_: Any) -> None:
            found.append(node)

    for node in nodes or ():
        visit(node, Find())
    return bool(found)


def _method(function: Callable[..., Any]) -> Resolver:
    return lambda source, arguments, view: function(source, **arguments)


def _needed(kind: GraphQLObjectType, made: Column | Branch) -> tuple[str, ...]:
    """The columns of a row that a field of it needs."""
    if isinstance(made, Column) or made.how == "attribute":
        return (made.attribute,)
    if made.how == "method":
        return tuple(kind.fields[made.name].extensions["strawberry-definition"].metadata.get("made_of", ()))
    return (made.on,) if made.on else ()


def _row_needs(selection: Selection) -> set[str]:
    """The columns that a selection needs of a row, with those of the node where it is of edges."""
    found = {*selection.needs}
    for branch in selection.branches:
        if branch.how == "row":
            found |= {need for below in branch.below.values() for need in _row_needs(below)}
    return found


def _row_branches(selection: Selection) -> Iterator[Branch]:
    """The branches of a selection of a row, with those of the node where it is of edges."""
    for branch in selection.branches:
        yield branch
        if branch.how == "row":
            for below in branch.below.values():
                yield from _row_branches(below)
