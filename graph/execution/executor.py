"""From a document to an answer: read (parsed, validated, kept), measured, carried out by its plan; by graphql-core where it has none.

The answer is a plain dict, ready for orjson. Requests that are wrong before execution are told apart from errors of
single fields, because HTTP gives them different status codes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import ExecutionResult, GraphQLError, GraphQLSyntaxError, IntValueNode, OperationDefinitionNode, execute
from graphql.execution.values import VariableValues

from graph import limits
from graph.context import Context
from graph.errors import UserError, present

from .documents import Document, Documents
from .nulls import first_of_each_null
from .plan import Compiler, NotPlanned, Selection, directive_variables
from .run import Run


@dataclass(frozen=True)
class Answer:
    """The response body, whether the request was refused before execution, its cost in objects; and why graphql-core ran it, where it did."""

    body: dict[str, Any]
    refused: bool
    cost: int = 0
    unplanned: str | None = None


class Executor:
    """Runs operations on a schema. `planned` is False where all are to be run by graphql-core, `every_error` True where more than one is to be told of a
    null."""

    def __init__(self, schema: strawberry.Schema, planned: bool = True, every_error: bool = False) -> None:
        self.schema = schema._schema
        self.planned, self.every_error = planned, every_error
        self._documents = Documents(self.schema)
        self._compiler = Compiler(schema)

    def price(self, query: str, variables: dict[str, Any] | None, operation_name: str | None, spent: int = 0) -> int:
        """What an operation will cost, in objects, before it is run; 0 where it will be refused."""
        try:
            document = self._documents.read(query)
            if document.errors:
                return 0
            operation = document.operation(operation_name)
            values = document.values(self.schema, operation, variables or {})
            return 0 if isinstance(values, list) else self._cost(document, operation, values, spent)
        except (UserError, GraphQLError, RecursionError):
            return 0

    def trust(self, query: str) -> Document:
        """Keeps a document for good. Raises GraphQLError or UserError where one of its operations would be refused, with what its variables are by
        default."""
        document = self._documents.read(query)
        for error in document.errors:
            raise error
        for operation in document.operations.values():
            defaults = {
                node.variable.name.value: node.default_value.value
                for node in operation.variable_definitions or ()
                if isinstance(node.default_value, IntValueNode)
            }
            limits.measure(self.schema, operation, document.fragments, {name: int(value) for name, value in defaults.items()})
        self._documents.trusted[query] = document
        return document

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
            document = self._documents.read(query)
            if document.errors:
                return _refused(document.errors)
            operation = document.operation(operation_name)
            values = document.values(self.schema, operation, variables or {})
            if isinstance(values, list):
                return _refused(values)
            limits.check_lists(values.coerced)
            cost = self._cost(document, operation, values, spent)
            plan = self._plan(document, operation, values)
        except UserError as error:
            return _refused([GraphQLError(str(error), extensions=error.extensions())])
        except GraphQLSyntaxError as error:
            return _refused([error])
        except Exception as error:  # too deep to be walked, or a fault here: masked, like those of fields
            return _refused([present(GraphQLError("", original_error=error))])
        try:
            async with asyncio.timeout(seconds) as time_left:
                if isinstance(plan, Selection):
                    data, errors = await Run(ctx, values, self._compiler.types).answer(plan)
                    if len(errors) > 1 and not self.every_error:
                        errors = first_of_each_null(data, errors, lambda error: error.path or ())
                else:
                    data, errors = await self._by_graphql_core(ctx, document, variables, operation_name)
        except Exception as error:  # the time is over; or a fault here, which is masked, like those of fields
            data, errors = None, [GraphQLError("", original_error=_too_slow(time_left, seconds) if time_left.expired() else error)]
        body = {"errors": [present(error).formatted for error in errors], "data": data} if errors else {"data": data}
        return Answer(body, False, cost, None if isinstance(plan, Selection) else plan)

    async def _by_graphql_core(
        self, ctx: Context, document: Document, variables: dict[str, Any] | None, operation_name: str | None
    ) -> tuple[dict[str, Any] | None, list[GraphQLError]]:
        result: Any = execute(self.schema, document.node, None, ctx, variables, operation_name)
        if not isinstance(result, ExecutionResult):
            result = await result
        return result.data, result.errors or []

    def _plan(self, document: Document, operation: OperationDefinitionNode, values: VariableValues) -> Selection | str:
        """The plan of an operation, or why it has none."""
        if not self.planned:
            return "not wanted"
        names = document.variables.get("directives")
        try:
            if names is None:
                names = document.variables["directives"] = directive_variables(document)
            key = (id(operation), *(values.coerced.get(name) for name in names))
            return document.plans.get(key) or document.plans.keep(key, self._compiler.plan(document, operation, values))
        except NotPlanned as reason:
            return str(reason)

    def _cost(self, document: Document, operation: OperationDefinitionNode, values: VariableValues, spent: int) -> int:
        """What an operation costs, in objects. Raises UserError where that is too much."""
        names = document.variables.get(id(operation))
        if names is not None:
            known = document.costs.get((id(operation), limits.sizes(values.coerced, names)))
            if known is not None and spent + known <= limits.COST:
                return known
        found = limits.measure(self.schema, operation, document.fragments, values.coerced, spent)
        names = document.variables[id(operation)] = tuple(sorted(found.sized))
        return document.costs.keep((id(operation), limits.sizes(values.coerced, names)), found.cost - spent)


def _too_slow(time_left: asyncio.Timeout, seconds: float) -> limits.LimitError:
    late = asyncio.get_running_loop().time() - (time_left.when() or 0)
    return limits.LimitError(
        "TIMEOUT", f"The request took longer than the {seconds:.3g} s that it had.", limit=round(seconds, 3),
        value=round(seconds + late, 3), hint="Ask for less: a smaller page or region, fewer levels.",
    )  # fmt: skip


def _refused(errors: list[GraphQLError]) -> Answer:
    return Answer({"errors": [_coded(error).formatted for error in errors[: limits.ERRORS]]}, True)


def _coded(error: GraphQLError) -> GraphQLError:
    if error.extensions and "code" in error.extensions:
        return error
    code = "SYNTAX" if isinstance(error, GraphQLSyntaxError) else "INVALID_DOCUMENT"
    if "nested too deeply" in error.message:  # what graphql-core says of documents, literals and variables
        code = "TOO_DEEP"
    return GraphQLError(error.message, error.nodes, error.source, error.positions, error.path, extensions={"code": code})
