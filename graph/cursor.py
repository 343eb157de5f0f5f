"""Cursors: where a row stands in a list, and in which release, as opaque text that notices when it was changed."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Any

import orjson

from store.read import Order

from .errors import UserError

_DIGEST = 6


def encode_cursor(release_id: int, link: str, order: str, values: Iterable[Any]) -> str:
    """The cursor of a row: the values of the order's columns."""
    payload = orjson.dumps([release_id, f"{link}/{order}", *values])
    return _text(_digest(payload) + payload)


def decode_cursor(cursor: str, link: str, order: str, columns: Order) -> tuple[int, list[Any]]:
    """(release, values) of a cursor of this list. Raises UserError BAD_CURSOR for any other text."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        digest, payload = raw[:_DIGEST], raw[_DIGEST:]
        if digest != _digest(payload) or cursor != _text(raw):
            raise ValueError
        release_id, name, *values = orjson.loads(payload)
    except (ValueError, TypeError, binascii.Error):
        raise UserError(
            "BAD_CURSOR", "That is not a cursor of this API.", value=cursor[:80], hint="Pass on endCursor or startCursor as they came."
        ) from None
    if name != f"{link}/{order}" or len(values) != len(columns.columns):
        raise UserError(
            "BAD_CURSOR",
            "The cursor is of another list.",
            value=cursor[:80],
            hint="A cursor goes on where it came from, in the same order.",
        )
    return release_id, values


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_DIGEST, person=b"vkg-cursor").digest()
