"""Objects with an id of their own."""

from __future__ import annotations

import strawberry

from .errors import UserError
from .page import leaf
from .relation import Ref, define, entities


@define
@strawberry.interface(description="An object with an id that `node` reads again.")
class Node:
    id: strawberry.ID = leaf("Type and identifier, such as Variant:A00CDC9108E80000 or Gene:ENSG00000198053.")


def ref(id: str) -> Ref:
    """The row that an id names. Raises UserError BAD_ID for text that is not an id."""
    kind, _, key = id.partition(":")
    found = entities.get(kind)
    parsed = found.key_of(key) if found and found.key_of and key else None
    if parsed is None:
        known = ", ".join(sorted(name for name, e in entities.items() if e.key_of))
        raise UserError("BAD_ID", f"{id[:80]!r} is not an id.", value=id[:80], hint=f"Ids come from the field id; types are {known}.")
    return Ref(kind, parsed)


def numbered(text: str) -> int | None:
    """The key of a row whose number has its load in it: of up to 18 digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def whole_number(text: str) -> int | None:
    """The key of a numbered row."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
