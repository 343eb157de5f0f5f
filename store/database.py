"""Connections to the store's PostgreSQL: psycopg for the write way and for commands, an asyncpg pool for the read way.

What comes in is a URL (VKG_DATABASE_URL or the file VKG_DATABASE_URL_FILE, else the embedded server's); what goes out are connections and, when
something is wrong, StoreErrors that say what to do and never show a password. Both drivers get libpq's reading of the
URL, so one URL means one thing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

import asyncpg
import orjson
import psycopg
from psycopg.conninfo import conninfo_to_dict

from store import embedded
from store.errors import NotInitialised, ServerError, StoreError
from store.lending import Lending

OPEN_ROLE = "vkg_open"  # may read everything but individual-level data
INDIVIDUAL_ROLE = "vkg_individual"  # may read that too, of the loads in vkg.loads
OLDEST_SERVER = 16
OLDEST_PGVECTOR = (0, 8)

log = logging.getLogger(__name__)


def database_url() -> str:
    """Return VKG_DATABASE_URL, else what is in the file VKG_DATABASE_URL_FILE, else the URL of the embedded server, which is started if
    need be. Raises ServerError."""
    if not _chosen():
        return embedded.start()
    if url := os.environ.get("VKG_DATABASE_URL"):
        return url
    file = Path(os.environ["VKG_DATABASE_URL_FILE"])
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        what = f"The database URL cannot be read from {file}: {getattr(error, 'strerror', 'it is not text')}."
        raise ServerError(what, "Correct VKG_DATABASE_URL_FILE, or let the user that runs this read the file.") from None


def _chosen() -> bool:
    """Whether the environment names a server, so that the embedded one is not asked."""
    return bool(os.environ.get("VKG_DATABASE_URL") or os.environ.get("VKG_DATABASE_URL_FILE"))


def connect(url: str | None = None, **options: Any) -> psycopg.Connection[Any]:
    """Connect with psycopg, for writing and for commands; `options` are those of psycopg.connect.

    Raises ServerError with the reason and the remedy.
    """
    parameters = _parameters(url or database_url())
    try:
        return psycopg.connect(**({"application_name": "vkg"} | parameters | options))
    except psycopg.Error as error:
        _refuse(error, parameters)


class Seeing(asyncpg.Connection):
    """A connection that knows what its session may see of individual-level data: it is told anew only for another view."""

    _seen: tuple[int, ...] | None = None

    async def see(self, loads: Sequence[int]) -> None:
        """From now on, the session sees of the tables of individual-level data the rows of these loads only."""
        if (asked := tuple(loads)) == self._seen:
            return
        self._seen = None  # known only once the server has said so: a request may end in between
        await self.fetchval("SELECT set_config('vkg.loads', $1, false)", "{" + ",".join(map(str, asked)) + "}")
        self._seen = asked


@dataclass(frozen=True)
class Pools:
    """The read way's connections: `open` for what anybody may see, `individual` for what is known of single persons."""

    open: Lending
    individual: Lending

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Runs a statement on open data. Raises StoreError."""
        try:
            return await self.open.run(lambda connection: connection.fetch(sql, *values))
        except _DRIVERS as error:
            raise _explained(error) from error

    async def fetch_individual(self, loads: Sequence[int], sql: str, *values: Any) -> list[asyncpg.Record]:
        """Runs a statement that sees, of the tables of individual-level data, the rows of these loads only. Raises StoreError."""

        async def see_and_fetch(connection: Seeing) -> list[asyncpg.Record]:
            await connection.see(loads)
            return await connection.fetch(sql, *values)

        try:
            return await self.individual.run(see_and_fetch)
        except _DRIVERS as error:
            raise _explained(error) from error

    async def write(self, sql: str, *values: Any) -> None:
        """Runs one statement that writes, in a transaction of its own. Raises StoreError.

        The roles of the read way may write by few functions only, of their owner's rights (migrations/0013.access.sql).
        """

        async def write(connection: asyncpg.Connection) -> None:
            await connection.execute("BEGIN READ WRITE")
            try:
                await connection.execute(sql, *values)
            except Exception:
                await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")

        try:
            await self.open.run(write)
        except _DRIVERS as error:
            raise _explained(error) from error

    async def close(self) -> None:
        """Waits for what runs, and closes the connections."""
        await self.open.close()
        await self.individual.close()


async def open_pools(url: str | None = None, *, size: int, timeout_ms: int) -> Pools:
    """Open both pools of the read way, of `size` connections each, as `open_pool` does."""
    url = url or database_url()
    pool = await open_pool(url, size=size, timeout_ms=timeout_ms)
    try:
        return Pools(Lending(pool), Lending(await open_pool(url, size=size, timeout_ms=timeout_ms, role=INDIVIDUAL_ROLE)))
    except BaseException:
        pool.terminate()
        raise


async def open_pool(url: str | None = None, *, size: int, timeout_ms: int, role: str = OPEN_ROLE) -> asyncpg.Pool:
    """Open a pool of `size` connections, read-only, each statement limited to `timeout_ms` milliseconds.

    They run as a role, by default vkg_open, where it exists and may be assumed. No statement may leave state in a session,
    because none is reset, but `Seeing.see`. Columns of type json and jsonb arrive as orjson.Fragment, whose text goes into an answer as
    it is: parsing it would cost time and the numbers' own digits. Raises ServerError.
    """
    parameters = _parameters(url or database_url())
    settings = {
        "application_name": "vkg graph",
        "default_transaction_read_only": "on",
        "statement_timeout": str(timeout_ms),
        "plan_cache_mode": "force_generic_plan",  # plans that follow the parameters flip, at a hundred times the cost
        "jit": "off",
        # However many of the nearest vectors are asked for, they are found, and nearly all of them: with 100 one search in fifty ends in a wrong
        # place. Strict order would leave out what is found late; what is found is sorted anew (store/similarity.py).
        "hnsw.ef_search": "200",
        "hnsw.iterative_scan": "relaxed_order",
    }
    if await _may_assume(role, parameters):
        settings["role"] = role
    with wrap_errors():
        return await asyncpg.create_pool(
            _asyncpg_url(parameters),
            min_size=size,
            max_size=size,
            max_inactive_connection_lifetime=0,  # prepared statements are worth keeping
            command_timeout=timeout_ms / 1000 + 5,  # for a server that no longer answers at all
            statement_cache_size=1000,
            max_cached_statement_lifetime=0,
            server_settings=settings,
            connection_class=Seeing,
            init=_prepare_connection,
            reset=_keep_session,
        )


def asyncpg_url(url: str) -> str:
    """Return a URL as asyncpg reads it, meaning what libpq reads in it. Raises ServerError when it is not a URL."""
    return _asyncpg_url(_parameters(url))


def check_server(connection: psycopg.Connection[Any]) -> None:
    """Refuse a server the store cannot live on: it takes PostgreSQL 16 and pgvector 0.8, or newer.

    Raises ServerError, which says what was found and what to do.
    """
    query = "SELECT default_version, installed_version FROM pg_available_extensions WHERE name = 'vector'"
    with wrap_errors():
        row = connection.execute(query).fetchone()
    available, installed = row or (None, None)
    if problem := _server_problem(connection.info.server_version // 10000, available, installed):
        raise problem


def redact(url: str) -> str:
    """Return a URL without its password, for messages and logs. Raises ServerError when it is not one."""
    return _shown(_parameters(url))


@contextlib.contextmanager
def wrap_errors() -> Iterator[None]:
    """Turn either driver's errors inside the block into StoreErrors that say what to do.

    The driver's error is their `__cause__`, with its `sqlstate`.
    """
    try:
        yield
    except _DRIVERS as error:
        raise _explained(error) from error


# ---- URLs


def _parameters(url: str) -> dict[str, Any]:
    """Return libpq's reading of a URL, or raise a ServerError of our own words.

    libpq's would quote what it takes for a host or port, and that may be the rest of a password with an unescaped @.
    """
    remedy = (
        "Write it like postgresql://user:password@host:5432/database; in user and password, write @ as %40, : as %3A, / as %2F, % as %25."
    )
    scheme = url.partition("://")[0]
    if scheme not in ("postgresql", "postgres"):
        raise ServerError("The database URL does not start with postgresql://.", remedy)
    try:
        parameters = conninfo_to_dict(url)
    except psycopg.Error:
        raise ServerError("The database URL cannot be read.", remedy) from None
    host, port, name = (str(parameters.get(key, "")) for key in ("host", "port", "dbname"))
    if "@" in host or "@" in name or not re.fullmatch(r"[\d,]*", port):
        raise ServerError("The database URL cannot be read.", remedy)
    return {"connect_timeout": 10} | parameters


def _shown(parameters: dict[str, Any]) -> str:
    user, host, name = (quote(str(parameters.get(key, ""))) for key in ("user", "host", "dbname"))
    user = f"{user}@" if user else ""
    port = f":{parameters['port']}" if "port" in parameters else ""
    return f"postgresql://{user}/{name}?host={host}" if host.startswith("/") else f"postgresql://{user}{host}{port}/{name}"


# What asyncpg takes from a URL. Anything else it would send to the server as a setting, which libpq's options are not.
_ASYNCPG_PARAMETERS = re.compile(
    "host|port|dbname|user|password|passfile|service|options|target_session_attrs|krbsrvname|gsslib|"
    "ssl(mode|negotiation|cert|key|password|rootcert|crl)|ssl_(min|max)_protocol_version"
)


def _asyncpg_url(parameters: dict[str, Any]) -> str:
    kept = {key: value for key, value in parameters.items() if _ASYNCPG_PARAMETERS.fullmatch(key)}
    return "postgresql://?" + urlencode(kept, quote_via=quote)


# ---- the pool


async def _may_assume(role: str, parameters: dict[str, Any]) -> bool:
    query = "SELECT pg_has_role(current_user, oid, 'SET') FROM pg_roles WHERE rolname = %s"
    try:
        connection = await psycopg.AsyncConnection.connect(**parameters)
    except psycopg.Error as error:
        _refuse(error, parameters)
    async with connection:
        user = connection.info.user
        with wrap_errors():
            row = await (await connection.execute(query, [role])).fetchone()
    if row == (False,):
        log.warning("%s may not SET ROLE %s, so reads keep all its rights; GRANT %s TO %s.", user, role, role, user)
    return row == (True,)


async def _prepare_connection(connection: asyncpg.Connection) -> None:
    for name, header in (("json", 0), ("jsonb", 1)):  # jsonb's binary form is a version byte, then the text
        await connection.set_type_codec(
            name,
            schema="pg_catalog",
            format="binary",
            encoder=lambda text, version=b"\1" * header: version + (text.encode() if isinstance(text, str) else text),
            decoder=orjson.Fragment if not header else lambda data: orjson.Fragment(data[1:]),
        )


async def _keep_session(_: asyncpg.Connection) -> None:
    """Do nothing where asyncpg would send a RESET, one more round trip per request."""


# ---- what went wrong

_DRIVERS = (psycopg.Error, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError, ConnectionError)


def _explained(error: Exception) -> StoreError:
    """A driver's error as one that says what to do."""
    if isinstance(error, psycopg.Error | asyncpg.PostgresError):
        return _store_error(error)
    if isinstance(error, asyncpg.InternalClientError) or (
        isinstance(error, asyncpg.InterfaceError) and re.search(r"clos|released", str(error))
    ):
        return _connection_lost(error)  # the driver met the end of a connection in the midst of something
    if isinstance(error, asyncpg.InterfaceError):
        return StoreError(f"The database driver refused: {error}")
    if isinstance(error, TimeoutError):
        return ServerError("The PostgreSQL server did not answer in time.", "See whether it runs and is reachable, then try again.")
    return _connection_lost(error)


def _server_problem(major: int, available: str | None, installed: str | None) -> ServerError | None:
    """Judge a server by its major version, and the pgvector it offers and has in this database (None: it does not)."""
    needed = ".".join(map(str, OLDEST_PGVECTOR))
    builtin = "or unset VKG_DATABASE_URL to use the built-in server."
    if major < OLDEST_SERVER:
        what = f"The server is PostgreSQL {major}; the store needs {OLDEST_SERVER} or newer."
        return ServerError(what, f"Upgrade it, point VKG_DATABASE_URL at a newer one, {builtin}")
    if available is None and installed is None:
        what = f"The server lacks the extension pgvector; the store needs {needed} or newer."
        return ServerError(what, f"Install it there (Debian: apt install postgresql-{major}-pgvector), {builtin}")
    if _version(installed or available) >= OLDEST_PGVECTOR:
        return None
    what = f"The server has pgvector {installed or available}; the store needs {needed} or newer."
    if installed and _version(available) >= OLDEST_PGVECTOR:
        return ServerError(what, f"The newer one is there: run ALTER EXTENSION vector UPDATE in the database, {builtin}")
    return ServerError(what, f"Upgrade pgvector on the server, {builtin}")


def _version(text: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text or ""))


_CORRECT = "Correct VKG_DATABASE_URL."

# What libpq or the server says when a connection fails: pattern, reason, remedy. What fits none stands as it was said.
_CONNECTION_PROBLEMS = [
    ("password authentication failed|no password supplied", "it does not accept this user and password", _CORRECT),
    ("pg_hba.conf|(Ident|Peer) authentication", "it does not let this user in from here", "See its pg_hba.conf."),
    ('role "[^"]*" does not exist', "it knows no such user", f"{_CORRECT} Or make it: CREATE ROLE ... LOGIN."),
    ('database "[^"]*" does not exist', "it has no such database", f"{_CORRECT} Or make it: createdb."),
    ("resolve host|translate host name", "the host's name is unknown", f"{_CORRECT} Or see whether the network is up."),
    ("refused|No such file", "no server listens there", f"Start the server. {_CORRECT}"),
    ("time(d )?out|No route|unreachable", "the host does not answer", "See whether it is up, and no firewall between."),
    ("too many|connection slots", "all its connections are taken", "Close some, or raise max_connections."),
    ("starting up|shutting down|recovery mode", "it is starting or stopping", "Try again in a moment."),
    ("SSL|certificate", "it and we do not agree on encryption", "See sslmode in VKG_DATABASE_URL."),
]


def _refuse(error: psycopg.Error, parameters: dict[str, Any]) -> NoReturn:
    """Raise the ServerError for a connection that failed."""
    said = " ".join(str(error).split())
    for pattern, reason, remedy in _CONNECTION_PROBLEMS:
        if re.search(pattern, said):
            raise ServerError(f"Cannot connect to {_shown(parameters)}: {reason}.", remedy) from error
    raise ServerError(f"Cannot connect to {_shown(parameters)}: {said}", _CORRECT) from error


_AGAIN = "Run this again when it is up; nothing uncommitted was kept."
_INIT = (NotInitialised, "The database holds no store of this version", "Run `vkg init`.")

# SQLSTATE, or how it starts: kind of error, what happened (the server's own message follows), remedy.
_STATES: dict[str, tuple[type[StoreError], str, str]] = {
    "08": (ServerError, "The connection to the PostgreSQL server was lost", _AGAIN),
    "25006": (ServerError, "The database takes no writes here", "Point VKG_DATABASE_URL at the primary server."),
    "28": (ServerError, "The server does not let this user in", _CORRECT),
    "3D000": (ServerError, "The server has no such database", f"{_CORRECT} Or make it: createdb."),
    "3F000": _INIT,
    "40": (StoreError, "The transaction conflicted with another one", "Run it again."),
    "42501": (StoreError, "The database user lacks a right", "GRANT it, or connect as the owner of the store."),
    "42703": _INIT,
    "42P01": _INIT,
    "53100": (ServerError, "The disk of the PostgreSQL server is full", "Free some space, then run this again."),
    "53200": (ServerError, "The PostgreSQL server ran out of memory", "Do less at once, or give it more."),
    "53300": (ServerError, "All connections of the server are taken", "Close some, or raise max_connections."),
    "55P03": (StoreError, "Something else holds a lock", "Try again when it is done."),
    "57014": (StoreError, "The statement was stopped", "Ask for less at once, or allow more time."),
    "57P": (ServerError, "The PostgreSQL server is stopping or starting", _AGAIN),
    "58030": (
        ServerError,
        "The server cannot read or write its files",
        "See its log, and whether its disk is healthy.",
    ),
    "XX": (
        ServerError,
        "The server reports a defect or damaged data",
        "See its log; restore a backup if data are lost.",
    ),
}


def _store_error(error: psycopg.Error | asyncpg.PostgresError) -> StoreError:
    state: str = error.sqlstate or ""
    if not state and isinstance(error, psycopg.OperationalError):
        return _connection_lost(error)
    message = (error.diag.message_primary if isinstance(error, psycopg.Error) else error.message) or str(error)
    for length in (5, 3, 2):
        if state[:length] in _STATES:
            kind, what, remedy = _STATES[state[:length]]
            return kind(f"{what}: {message}", remedy)
    return StoreError(f"PostgreSQL refused: {message}" + (f" (SQLSTATE {state})" if state else ""))


def _connection_lost(error: Exception) -> StoreError:
    if not _chosen() and embedded.ran_out_of_disk():
        kind, what, remedy = _STATES["53100"]
        return kind(f"{what}, so it stopped", remedy)
    kind, what, remedy = _STATES["08"]
    return kind(f"{what}: {' '.join(str(error).split())}", remedy)
