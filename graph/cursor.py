"""Cursors: where a row stands in a list, and in which release, as opaque text that notices when it was changed. How it is made is no secret, so what it
says is looked at like anything that a client sends.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from store.read import Order

from .errors import UserError

_DIGEST = 6


def encode_cursor(release_id: int, link: str, order: str, values: Iterable[Any]) -> str:
    """The cursor of a row: the values of the order's columns."""
    payload = orjson.dumps([release_id, f"{link}/{order}", *values])
    return _text(_digest(payload) + payload)


def decode_cursor(cursor: str, link: str, order: str, columns: Order, kinds: Sequence[type] | None = None) -> tuple[int, list[Any]]:
    """(release, values) of a cursor of this list; the values are of these `kinds`, or else any scalars. Raises UserError BAD_CURSOR for any other text."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        digest, payload = raw[:_DIGEST], raw[_DIGEST:]
        if digest != _digest(payload) or cursor != _text(raw):
            raise ValueError
        release_id, name, *values = orjson.loads(payload)
        if type(release_id) is not int or not 0 < release_id < 1 << 31 or not all(map(_scalar, values)):
            raise ValueError
    except (ValueError, TypeError, binascii.Error):
        raise not_ours(cursor) from None
    if name != f"{link}/{order}" or len(values) != len(columns.columns):
        raise UserError(
            "BAD_CURSOR",
            "The cursor is of another list.",
            value=cursor[:80],
            hint="A cursor goes on where it came from, in the same order.",
        )
    if kinds is not None and any(type(value) is not kind for value, kind in zip(values, kinds, strict=True)):
        raise not_ours(cursor)
    return release_id, values


def not_ours(cursor: str) -> UserError:
    """What a text is told that is no cursor."""
    return UserError(
        "BAD_CURSOR", "That is not a cursor of this API.", value=cursor[:80], hint="Pass on endCursor or startCursor as they came."
    )


def _scalar(value: Any) -> bool:
    """Whether a column can have a value: whole numbers of 64 bits, other numbers, texts, nothing."""
    return -(1 << 63) <= value < 1 << 63 if type(value) is int else type(value) in (float, str, type(None))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_DIGEST, person=b"vkg-cursor").digest()
