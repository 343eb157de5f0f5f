"""Trusted documents: those that a client was built with, by their identifiers. The manifest comes in as JSON, `{identifier: document}` out.

Reads what graphql-codegen's client preset writes (`persisted-documents.json`: identifier to document), and Apollo's manifest
(`generate-persisted-query-manifest`). They are asked for as the appendix "Persisted Documents" of GraphQL over HTTP says,
`{"documentId": "sha256:..."}`, and as Apollo Client does, `{"extensions": {"persistedQuery": {"sha256Hash": "..."}}}`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphql import FieldNode, GraphQLError, OperationType, visit
from graphql.language import SKIP, Visitor

from store.errors import StoreError

from .errors import UserError
from .execution import Executor

_APOLLO = "apollo-persisted-query-manifest"
_IDENTIFIER = re.compile(r"(?:sha256:|x-[\w.~-]+:)?[\w.~-]+", re.ASCII)
_REMEDY = "Make the file anew, from the operations and the schema that are served."

Documents = Mapping[str, str]
"""Documents by identifier: SHA-256 ones as `sha256:` and 64 hexadecimal digits, others as they stand in the manifest."""


def read(path: Path) -> Documents:
    """The documents of a manifest. Raises StoreError with the file and the identifier of what is wrong."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=lambda pairs: _once(path, pairs))
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: cannot be read: {error}", "Name the manifest of documents with --trusted FILE.") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise StoreError(f"{path}: is not JSON: {error}", _REMEDY) from None
    pairs = _apollo(path, found) if isinstance(found, dict) and found.get("format") == _APOLLO else _codegen(path, found)
    documents = {_checked(path, identifier, text): text for identifier, text in pairs}
    if not documents:
        raise StoreError(f"{path}: has no document", _REMEDY)
    return documents


def check(path: Path, documents: Documents, executor: Executor, introspection: bool) -> None:
    """Has an executor keep the documents. Raises StoreError with file and identifier where one would be refused, or asks about the schema and
    `introspection` is not offered."""
    for identifier, text in documents.items():
        try:
            document = executor.trust(text)
        except (GraphQLError, UserError, RecursionError) as error:
            raise StoreError(f"{path}: {identifier}: {error}", _REMEDY) from None
        if any(node.operation is not OperationType.QUERY for node in document.operations.values()) or not document.operations:
            raise StoreError(f"{path}: {identifier}: is no query", _REMEDY)
        if not introspection and _introspects(document.node):
            raise StoreError(f"{path}: {identifier}: asks about the schema, which this profile does not offer", "Leave it out.")


def asked(operation: Mapping[str, Any]) -> str | None:
    """The identifier that a request names, None where it names none. Raises UserError BAD_REQUEST."""
    identifier = operation.get("documentId")
    if identifier is not None:
        if not isinstance(identifier, str):
            raise UserError("BAD_REQUEST", "documentId is not a string.")
        if operation.get("query") is not None:
            raise UserError("BAD_REQUEST", "The request has a query and a documentId.", hint="Send one of them.")
        return identifier
    persisted = (operation.get("extensions") or {}).get("persistedQuery")
    if persisted is None:
        return None
    digest = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
    if not isinstance(digest, str):
        raise UserError("BAD_REQUEST", "extensions.persistedQuery has no sha256Hash.")
    text = operation.get("query")
    if isinstance(text, str) and hashlib.sha256(text.encode()).hexdigest() != digest:
        raise UserError("BAD_REQUEST", "extensions.persistedQuery.sha256Hash is not that of the query.")
    return f"sha256:{digest}"


def unknown(operation: Mapping[str, Any], identifier: str) -> UserError:
    """What a request is told whose document is not here: Apollo's clients know the words of theirs, and send the text then."""
    if operation.get("documentId") is None:
        return UserError("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound", value=identifier[:80])
    return UserError(
        "UNKNOWN_DOCUMENT", "There is no trusted document of this identifier.", value=identifier[:80],
        hint="The server has another version of the client's documents, or none: vkg serve --trusted.",
    )  # fmt: skip


def _once(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise StoreError(f"{path}: {next(name for name in names if names.count(name) > 1)[:100]}: is there twice", _REMEDY)
    return found


def _codegen(path: Path, found: Any) -> list[tuple[str, Any]]:
    if not isinstance(found, dict):
        raise StoreError(f"{path}: is no object of identifiers and documents", _REMEDY)
    return list(found.items())


def _apollo(path: Path, found: dict[str, Any]) -> list[tuple[str, Any]]:
    operations = found.get("operations")
    if found.get("version") != 1 or not isinstance(operations, list):
        raise StoreError(f"{path}: is no manifest of version 1 with a list of operations", _REMEDY)
    pairs: dict[str, Any] = {}
    for n, operation in enumerate(operations):
        identifier = operation.get("id") if isinstance(operation, dict) else None
        if not isinstance(identifier, str):
            raise StoreError(f"{path}: operations[{n}]: has no id", _REMEDY)
        if identifier in pairs:
            raise StoreError(f"{path}: {identifier[:100]}: is there twice", _REMEDY)
        pairs[identifier] = operation.get("body")
    return list(pairs.items())


def _checked(path: Path, identifier: str, text: Any) -> str:
    """The identifier as it is asked for, of a document that is what a hash in it says."""
    where = f"{path}: {identifier[:100]}"
    if not isinstance(text, str):
        raise StoreError(f"{where}: is no text of a document", _REMEDY)
    if not _IDENTIFIER.fullmatch(identifier):
        raise StoreError(f"{where}: is no identifier of a document", _REMEDY)
    digits = identifier.removeprefix("sha256:")
    for name, length in (("sha256", 64), ("sha1", 40)):
        hashed = re.fullmatch(rf"[0-9a-f]{{{length}}}", digits)
        if (hashed or (name == "sha256" and digits != identifier)) and hashlib.new(name, text.encode()).hexdigest() != digits:
            raise StoreError(f"{where}: is not the {name} of its document", _REMEDY)
    return f"sha256:{digits}" if re.fullmatch(r"[0-9a-f]{64}", digits) else identifier


class _Introspection(Visitor):
    found = False

    def enter_field(self, node: FieldNode, *_: Any) -> Any:
        """Any field of the schema about itself."""
        self.found |= node.name.value in ("__schema", "__type")
        return SKIP if self.found else None


def _introspects(node: Any) -> bool:
    visitor = _Introspection()
    visit(node, visitor)
    return visitor.found
