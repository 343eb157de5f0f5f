"""From a document to an answer: parse, validate (both cached), measure, execute on graphql-core.

The answer is a plain dict, ready for orjson. Requests that are wrong before execution are told apart from errors of
single fields, because HTTP gives them different status codes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    execute,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError

from . import limits
from .columns import ColumnExecutor
from .context import Context
from .errors import UserError, present

CACHED_DOCUMENTS = 512
LONGEST_CACHED = 20_000
"""Documents longer than this (characters) are not kept."""
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = limits.COMPARISONS


@dataclass(frozen=True)
class Document:
    """A parsed document with what validation found."""

    node: DocumentNode
    operations: dict[str | None, OperationDefinitionNode]
    fragments: dict[str, FragmentDefinitionNode]
    errors: list[GraphQLError]


@dataclass(frozen=True)
class Answer:
    """The response body, whether the request was refused before execution, and its cost in objects."""

    body: dict[str, Any]
    refused: bool
    cost: int = 0


class Executor:
    """Runs operations on a schema."""

    def __init__(self, schema: strawberry.Schema) -> None:
        self.schema = schema._schema
        self._documents: OrderedDict[str, Document] = OrderedDict()

    async def run(
        self,
        ctx: Context,
        query: str,
        variables: dict[str, Any] | None,
        operation_name: str | None,
        seconds: float = limits.SECONDS,
        spent: int = 0,
    ) -> Answer:
        """Answers one operation, within what is left of the request's time and, `spent` objects being asked for already, cost."""
        try:
            document = self.document(query)
            if document.errors:
                return _refused(document.errors)
            operation = _operation(document, operation_name)
            values = get_variable_values(self.schema, operation.variable_definitions or (), variables or {}, max_errors=limits.ERRORS)
            if isinstance(values, list):
                return _refused(values)
            cost = limits.measure(self.schema, operation, document.fragments, values.coerced, spent).cost - spent
        except UserError as error:
            return _refused([GraphQLError(str(error), extensions=error.extensions())])
        except GraphQLSyntaxError as error:
            return _refused([error])
        except Exception as error:  # too deep to be walked, or a fault here: masked, like those of fields
            return _refused([present(GraphQLError("", original_error=error))])
        try:
            async with asyncio.timeout(seconds):
                result = execute(self.schema, document.node, None, ctx, variables, operation_name, executor_class=ColumnExecutor)
                if not isinstance(result, ExecutionResult):
                    result = await result
        except TimeoutError as error:
            return Answer({"data": None, "errors": [present(GraphQLError("", original_error=error)).formatted]}, False, cost)
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body = {"errors": [present(error).formatted for error in result.errors], **body}
        return Answer(body, False, cost)

    def document(self, query: str) -> Document:
        """The parsed and validated document. Raises GraphQLSyntaxError, and UserError where it is too long or repetitive."""
        found = self._documents.get(query)
        if found is not None:
            self._documents.move_to_end(query)
            return found
        try:
            node = parse(query, max_tokens=limits.TOKENS)
            errors = validate(self.schema, node, max_errors=limits.ERRORS)
        except GraphQLSyntaxError as error:
            if "token" in error.message.lower() and str(limits.TOKENS) in error.message:
                raise UserError(
                    "TOO_MANY_TOKENS",
                    f"The document has more than {limits.TOKENS:,} tokens.",
                    hint="Send values as variables, or several requests.",
                ) from None
            raise
        if any(isinstance(e, ValidationAbortedError) for e in errors) and len(errors) < limits.ERRORS:
            raise UserError(
                "TOO_COMPLEX", "The document repeats so many fields and fragments that checking it takes too long.", hint="Name each once."
            )
        operations = {d.name.value if d.name else None: d for d in node.definitions if isinstance(d, OperationDefinitionNode)}
        fragments = {d.name.value: d for d in node.definitions if isinstance(d, FragmentDefinitionNode)}
        found = Document(node, operations, fragments, errors)
        if len(query) <= LONGEST_CACHED:
            self._documents[query] = found
            if len(self._documents) > CACHED_DOCUMENTS:
                self._documents.popitem(last=False)
        return found


def _operation(document: Document, name: str | None) -> OperationDefinitionNode:
    if name is None and len(document.operations) == 1:
        return next(iter(document.operations.values()))
    if name not in document.operations:
        known = ", ".join(n for n in document.operations if n) or "none"
        problem = f"The document has no operation {name!r}." if name else "The document does not say which operation to run."
        raise UserError("NO_OPERATION", problem, hint=f"Name one in operationName: {known}.")
    return document.operations[name]


def _refused(errors: list[GraphQLError]) -> Answer:
    return Answer({"errors": [_coded(error).formatted for error in errors[: limits.ERRORS]]}, True)


def _coded(error: GraphQLError) -> GraphQLError:
    if error.extensions and "code" in error.extensions:
        return error
    code = "SYNTAX" if isinstance(error, GraphQLSyntaxError) else "INVALID_DOCUMENT"
    if "nested too deeply" in error.message:  # what graphql-core says of documents, literals and variables
        code = "TOO_DEEP"
    return GraphQLError(error.message, error.nodes, error.source, error.positions, error.path, extensions={"code": code})
