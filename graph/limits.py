"""What one request may ask for, each limit with an error that says so.

Sizes are known before anything runs: `measure` walks an operation once, with its variables, and adds up the objects
it can return. A page counts its `first` or `last`, a list of names its length, any other list `LIST_SIZE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLList,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
)

from .errors import UserError
from .page import DEFAULT_FIRST, LARGEST_PAGE
from .relation import Link

BODY_BYTES = 1 << 20
BATCH = 10
TOKENS = 5_000
DEPTH = 16
ALIASES = 100
DIRECTIVES = 50
FIELDS = 10_000
"""Selections met, fragments opened each time they are spread: bounds the measuring itself."""
COMPARISONS = 50_000
"""What validation may spend on comparing fields of one name: a tenth of a second; realistic documents need far less."""
COST = 100_000
SECONDS = 15.0
LIST_SIZE = 10
TOTAL = 100
"""What a totalCount costs: it reads up to 10,000 rows and returns none."""
LIST_ITEMS = 10_000
"""Items of one list in a variable; literals are bounded by tokens. Lists of names that are looked up one by one have a lower limit of their own."""
ERRORS = 10
"""Validation stops after this many errors, so that a small document cannot ask for a large answer of complaints."""
LARGEST_SHOWN = 10**15
"""A measured value beyond this is told as this: integers of JSON end at 2**53."""


class LimitError(UserError):
    """A limit that a request passes: `limit` is what it may have, `value` what it has, `retry` the seconds after which it may come again, where it may."""

    def __init__(
        self, code: str, message: str, *, limit: float, value: float | None = None, hint: str | None = None, retry: int | None = None
    ) -> None:
        super().__init__(code, message, value=value, hint=hint)
        self.limit, self.retry = limit, retry

    def extensions(self) -> dict[str, Any]:
        """With the limit, and the seconds to wait."""
        found = super().extensions() | {"limit": self.limit}
        return found if self.retry is None else found | {"retryAfter": self.retry}


@dataclass
class Measure:
    """What an operation asks for: its depth in fields, aliases, directives, and cost in objects; and the variables that its sizes depend on."""

    sized: set[str] = field(default_factory=set)
    depth: int = 0
    aliases: int = 0
    directives: int = 0
    fields: int = 0
    cost: int = 0


def measure(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: dict[str, FragmentDefinitionNode],
    variables: dict[str, Any],
    spent: int = 0,
) -> Measure:
    """Measures a valid operation, after `spent` objects of the same request. Raises LimitError with the limit that it passes, and by how much: it is
    measured to its end, but for more than `FIELDS`."""
    found = Measure(directives=len(operation.directives or ()), cost=spent)
    _selections(schema, schema.query_type, operation.selection_set, fragments, variables, 1, 1, found)
    _check("DEPTH", "levels of fields", found.depth, DEPTH)
    _check("ALIASES", "aliases", found.aliases, ALIASES)
    _check("DIRECTIVES", "directives", found.directives, DIRECTIVES)
    _check("COST", "objects", found.cost, COST)
    return found


def check_lists(variables: Mapping[str, Any]) -> None:
    """Refuses a list in a variable that is longer than `LIST_ITEMS`. Raises LimitError LIST_TOO_LONG."""
    for value in variables.values():
        if type(value) is list or type(value) is dict:
            _check_list(value)


def _check_list(value: Any) -> None:
    if isinstance(value, dict):
        value = value.values()
    elif len(value) > LIST_ITEMS:
        raise LimitError(
            "LIST_TOO_LONG", f"A list in a variable has more than {LIST_ITEMS:,} items: {len(value):,}.", limit=LIST_ITEMS, value=len(value),
            hint="Ask in portions.",
        )  # fmt: skip
    for inner in value:
        if isinstance(inner, list | dict):
            _check_list(inner)


def _selections(
    schema: GraphQLSchema, parent: Any, selections: SelectionSetNode, fragments: dict[str, FragmentDefinitionNode],
    variables: dict[str, Any], parents: int, depth: int, found: Measure,
) -> None:  # fmt: skip
    for node in selections.selections:
        found.fields += 1
        _check("FIELDS", "fields", found.fields, FIELDS)
        found.directives += len(node.directives or ())
        if isinstance(node, FragmentSpreadNode):
            fragment = fragments[node.name.value]
            kind = schema.get_type(fragment.type_condition.name.value) if parent is not None else None
            _selections(schema, kind, fragment.selection_set, fragments, variables, parents, depth, found)
        elif isinstance(node, InlineFragmentNode):
            kind = schema.get_type(node.type_condition.name.value) if node.type_condition and parent is not None else parent
            _selections(schema, kind, node.selection_set, fragments, variables, parents, depth, found)
        elif isinstance(node, FieldNode):
            found.aliases += node.alias is not None
            found.depth = max(found.depth, depth)
            if node.selection_set is None:
                found.cost += parents * _metadata(getattr(parent, "fields", {}).get(node.name.value)).get("cost", 0)
                continue
            if parent is None or node.name.value.startswith("__"):  # introspection reads no objects
                _selections(schema, None, node.selection_set, fragments, variables, parents, depth + 1, found)
                continue
            field = parent.fields[node.name.value]
            size = _size(field, node, variables, found.sized)
            objects = parents * size
            if isinstance(get_named_type(field.type), GraphQLObjectType) and _is_page_part(parent, node):
                objects = parents  # nodes and edges are the rows of a page that was counted as a whole
            else:
                found.cost += objects + parents * (TOTAL * _counts(node) + _metadata(field).get("cost", 0))
            _selections(schema, get_named_type(field.type), node.selection_set, fragments, variables, objects, depth + 1, found)


def _counts(node: FieldNode) -> bool:
    """Whether a page's total is asked for; inside a fragment it is not seen, which only makes it cheaper."""
    below = node.selection_set.selections if node.selection_set else ()
    return any(isinstance(n, FieldNode) and n.name.value.startswith("totalCount") for n in below)


def _is_page_part(parent: Any, node: FieldNode) -> bool:
    return parent.name.endswith(("Connection", "Edge")) and node.name.value in ("nodes", "edges", "node", "pageInfo")


def sizes(variables: Mapping[str, Any], names: Iterable[str]) -> tuple[int | None, ...]:
    """What of the values of variables sizes can depend on: a number, or the length of a list."""
    found = (variables.get(name) for name in names)
    return tuple(value if isinstance(value, int) else len(value) if isinstance(value, list) else None for value in found)


_PAGE, _NAMES = ("first", "last"), ("inputs", "ids", "genes")
"""Arguments that sizes depend on."""


def _size(field: Any, node: FieldNode, variables: dict[str, Any], sized: set[str]) -> int:
    declared: Link | None = _metadata(field).get("link")
    arguments = {name: field.args[name].default_value for name in (*_PAGE, *_NAMES) if name in field.args}
    for given in node.arguments or ():
        if (name := given.name.value) in arguments:
            arguments[name] = _value(given.value, variables)
            if isinstance(given.value, VariableNode):
                sized.add(given.value.name.value)
    if (declared is not None and declared.shape == "page") or get_named_type(field.type).name.endswith("Connection"):
        asked = arguments.get("first") if arguments.get("first") is not None else arguments.get("last")
        return min(asked, LARGEST_PAGE) if isinstance(asked, int) and asked > 0 else DEFAULT_FIRST
    for name in _NAMES:
        if isinstance(names := arguments.get(name), list):
            return len(names)
    if declared is not None:
        return 1 if declared.shape == "one" else LIST_SIZE
    if isinstance(first := arguments.get("first"), int):
        return max(first, 1)
    return LIST_SIZE if isinstance(get_nullable_type(field.type), GraphQLList) else 1


def _metadata(field: Any) -> dict[str, Any]:
    """What the field was declared with; nothing for those that GraphQL itself has (__typename)."""
    return {} if field is None else getattr(field.extensions.get("strawberry-definition"), "metadata", {})


def _value(node: Any, variables: dict[str, Any]) -> Any:
    if isinstance(node, VariableNode):
        return variables.get(node.name.value)
    if isinstance(node, IntValueNode):
        return int(node.value)
    return list(node.values) if isinstance(node, ListValueNode) else None


def _check(code: str, what: str, value: int, limit: int) -> None:
    if value > limit:
        hint = {
            "COST": "Ask for smaller pages or fewer levels, or in several requests.",
            "DEPTH": "Ask for fewer levels.",
            "FIELDS": "Ask for fewer fields, and spread each fragment once.",
            "ALIASES": "Use lists (ids:, inputs:) instead of one alias for each object.",
            "DIRECTIVES": "Use fewer directives.",
        }[code]
        shown = min(value, LARGEST_SHOWN)
        raise LimitError(
            f"TOO_MANY_{code}" if code != "DEPTH" else "TOO_DEEP", f"The operation has more than {limit:,} {what}: {shown:,}.",
            limit=limit, value=shown, hint=hint,
        )  # fmt: skip
