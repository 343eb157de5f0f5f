"""Documents: parsed and validated once, with what was made of them kept beside."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    parse,
    validate,
)
from graphql.execution.get_variable_signature import get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError

from graph import limits
from graph.errors import UserError

CACHED_DOCUMENTS = 512
LONGEST_CACHED = 20_000
"""Documents longer than this (characters) are not kept."""
KEPT = 16
"""So many plans are kept of one document, and so many costs."""
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = limits.COMPARISONS


class Kept:
    """The `most` things that were asked for last, by key; never None."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Any, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Any) -> Any:
        """What is kept under a key; None where nothing is."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, key: Any, made: Any) -> Any:
        """Keeps something, and lets go of what was longest not asked for. Returns it."""
        self._kept[key] = made
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return made


@dataclass(frozen=True)
class Document:
    """A parsed document with what validation found; and, kept for the next time, what was made of it: plans and costs of its operations, by the values of
    the variables that these depend on, and the names of these variables."""

    node: DocumentNode
    operations: dict[str | None, OperationDefinitionNode]
    fragments: dict[str, FragmentDefinitionNode]
    errors: list[GraphQLError]
    plans: Kept = field(default_factory=lambda: Kept(KEPT))
    costs: Kept = field(default_factory=lambda: Kept(KEPT))
    variables: dict[Any, tuple[str, ...]] = field(default_factory=dict)
    signatures: dict[int, list[tuple[Any, type | None]]] = field(default_factory=dict)

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """The operation to run. Raises UserError NO_OPERATION."""
        if name is None and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        if name not in self.operations:
            known = ", ".join(n for n in self.operations if n) or "none"
            problem = f"The document has no operation {name!r}." if name else "The document does not say which operation to run."
            raise UserError("NO_OPERATION", problem, hint=f"Name one in operationName: {known}.")
        return self.operations[name]

    def values(
        self, schema: GraphQLSchema, operation: OperationDefinitionNode, given: dict[str, Any]
    ) -> VariableValues | list[GraphQLError]:
        """The values of an operation's variables, or what is wrong with those given. Texts and flags, which most are, are taken as they come."""
        known = self.signatures.get(id(operation))
        if known is None:
            found: list[Any] = [get_variable_signature(schema, node) for node in operation.variable_definitions or ()]
            known = self.signatures[id(operation)] = [(signature, _TAKEN.get(str(signature.type).rstrip("!"))) for signature in found]
        sources, coerced = {}, {}
        for signature, kind in known:
            name = signature.name
            value = given.get(name)
            if type(value) is not kind:
                return get_variable_values(schema, operation.variable_definitions or (), given, max_errors=limits.ERRORS)
            sources[name], coerced[name] = VariableValueSource(signature, value), value
        return VariableValues(sources, coerced)


_TAKEN = {"String": str, "ID": str, "Boolean": bool}
"""What values of scalars are that need not be looked at."""


class Documents:
    """The documents that were asked last."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self.kept = Kept(CACHED_DOCUMENTS)
        self.trusted: dict[str, Document] = {}
        """Those that are kept for good, by their text."""

    def read(self, query: str) -> Document:
        """The parsed and validated document. Raises GraphQLSyntaxError, and UserError where it is too long or repetitive."""
        found: Document | None = self.kept.get(query) or self.trusted.get(query)
        if found is not None:
            return found
        try:
            node = parse(query, max_tokens=limits.TOKENS)
            errors = validate(self.schema, node, max_errors=limits.ERRORS)
        except GraphQLSyntaxError as error:
            if "token" in error.message.lower() and str(limits.TOKENS) in error.message:
                raise limits.LimitError(
                    "TOO_MANY_TOKENS", f"The document has more than {limits.TOKENS:,} tokens.",
                    limit=limits.TOKENS, value=limits.TOKENS + 1, hint="Send values as variables, or several requests.",
                ) from None  # fmt: skip
            raise
        if any(isinstance(e, ValidationAbortedError) for e in errors) and len(errors) < limits.ERRORS:
            raise limits.LimitError(
                "TOO_COMPLEX", "The document repeats so many fields and fragments that checking it takes too long.",
                limit=limits.COMPARISONS, value=limits.COMPARISONS + 1, hint="Name each once.",
            )  # fmt: skip
        operations = {d.name.value if d.name else None: d for d in node.definitions if isinstance(d, OperationDefinitionNode)}
        fragments = {d.name.value: d for d in node.definitions if isinstance(d, FragmentDefinitionNode)}
        found = Document(node, operations, fragments, errors)
        if len(query) <= LONGEST_CACHED:
            self.kept.keep(query, found)
        return found
