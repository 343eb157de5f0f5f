"""Fields that are columns, answered in one step.

For every field of every object graphql-core makes a path and an info object and completes the value level by level,
which is most of the time of a large answer. A field that is a column of its row needs none of that: its value is there
and is only serialised; a list of rows of which only columns are asked is one loop; and the arguments of a link are read for
its first parent, not for every one. Where that does not go as it should (a null that must not be, a value of the wrong
kind), graphql-core does it after all, and makes the error with its path.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from graphql import GraphQLField, GraphQLObjectType, Undefined, is_leaf_type, is_list_type, is_non_null_type, is_object_type
from graphql.execution.executor_throwing_on_incremental import ExecutorThrowingOnIncremental
from graphql.pyutils import Path

Column = Callable[[Any], Any]
"""An object of the graph -> the serialised value of one of its fields. Raises whatever is wrong with it."""


class ColumnExecutor(ExecutorThrowingOnIncremental):
    """graphql-core's executor, with the fields that are columns taken out of its way."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._only_columns: dict[int, tuple[Any, dict[str, Column] | None]] = {}

    def execute_fields(
        self, parent_type: GraphQLObjectType, source_value: Any, path: Path | None, grouped_field_set: Any, position_context: Any
    ) -> Any:
        """The fields of one object, in the order of the selection."""
        known = columns(parent_type)
        results: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for name, details in grouped_field_set.items():
            try:
                results[name] = known[details[0].node.name.value](source_value)
            except Exception:  # no column; or what is wrong with it happens again below
                results[name], others[name] = Undefined, details
        if not others:
            return results
        found = super().execute_fields(parent_type, source_value, path, others, position_context)
        if isinstance(found, dict):
            return results | found

        async def merged() -> dict[str, Any]:
            return results | await found

        return merged()

    def execute_field(self, parent_type: GraphQLObjectType, source: Any, field_details_list: Any, path: Path, position_context: Any) -> Any:
        """A field that is no column. A link that was resolved for one parent has its arguments; for the others it only loads."""
        known = self.context_value.loads.get((parent_type, *(id(details.node) for details in field_details_list)))
        if known is not None:
            load, info = known
            try:
                result = load(source)
            except Exception:  # happens again below
                result = None
            if result is not None:
                return self.complete_awaitable_value(info.return_type, field_details_list, info, path, result, position_context)
        return super().execute_field(parent_type, source, field_details_list, path, position_context)

    def complete_list_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Path, result: Any, position_context: Any
    ) -> Any:
        """The items of one list."""
        kind = return_type.of_type
        kind = kind.of_type if is_non_null_type(kind) else kind
        if is_leaf_type(kind) and isinstance(result, list):
            try:
                return list(map(_not_null, result, map(kind.coerce_output_value, result)))
            except Exception:  # happens again below
                pass
        wanted = self._columns_of_items(return_type, field_details_list)
        if wanted is not None and isinstance(result, list):
            try:
                return [{name: column(item) for name, column in wanted.items()} for item in result]
            except Exception:  # happens again below
                pass
        return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)

    def _columns_of_items(self, return_type: Any, field_details_list: Any) -> dict[str, Column] | None:
        """The columns asked of a list's items, by response name; None where more than columns is asked."""
        found = self._only_columns.get(id(field_details_list))
        if found is None:
            kind = return_type.of_type
            kind = kind.of_type if is_non_null_type(kind) else kind
            wanted = None
            if is_object_type(kind):
                known = columns(kind)
                fields = {name: details[0].node.name.value for name, details in self.collect_subfields(kind, field_details_list)[0].items()}
                if known.keys() >= set(fields.values()):
                    wanted = {name: known[field] for name, field in fields.items()}
            # With the list itself, so that its id stays its own.
            found = self._only_columns[id(field_details_list)] = field_details_list, wanted
        return found[1]


@lru_cache(1024)
def columns(kind: GraphQLObjectType) -> dict[str, Column]:
    """The fields of a type that are columns, by name."""
    found = {name: _column(field) for name, field in kind.fields.items()}
    return {"__typename": lambda _: kind.name} | {name: column for name, column in found.items() if column is not None}


def _column(field: GraphQLField) -> Column | None:
    declared = field.extensions.get("strawberry-definition")
    if declared is None or declared.base_resolver is not None or field.args:
        return None
    kind: Any = field.type
    required = is_non_null_type(kind)
    kind = kind.of_type if required else kind
    listed = is_list_type(kind)
    kind = kind.of_type if listed else kind
    kind = kind.of_type if is_non_null_type(kind) else kind
    if not is_leaf_type(kind):
        return None
    attribute, serialize = declared.python_name, kind.coerce_output_value

    def column(source: Any) -> Any:
        value = getattr(source, attribute)
        if value is None and not required:
            return None
        return list(map(_not_null, value, map(serialize, value))) if listed else _not_null(value, serialize(value))

    return column


def _not_null(value: Any, serialized: Any) -> Any:
    if value is None or serialized is None or serialized is Undefined:
        raise ValueError
    return serialized
