"""What tests of the store share: connections to a store of one's own."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from store.embedding import (
    Model,
    register,
)
from tests.store.vectors import PLAIN, Conn, Connected


@pytest.fixture
def store(store_url: str) -> Iterator[Conn]:
    """A connection, as commands use it, to an empty store."""
    with psycopg.connect(store_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def another(store_url: str) -> Iterator[Connected]:
    """Further connections to the same store, closed at the end."""
    opened: list[Conn] = []

    def connect() -> Conn:
        opened.append(psycopg.connect(store_url, autocommit=True))
        return opened[-1]

    yield connect
    for conn in opened:
        conn.close()


@pytest.fixture
def model(store: Conn) -> Model:
    """A registered model of five numbers."""
    return register(store, PLAIN)
