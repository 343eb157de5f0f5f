"""Connections to the store's PostgreSQL: psycopg for the write way and for commands, an asyncpg pool for the read way.

What comes in is a URL (VKG_DATABASE_URL, else the embedded server's); what goes out are connections and, when
something is wrong, StoreErrors that say what to do and never show a password. Both drivers get libpq's reading of the
URL, so one URL means one thing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

import asyncpg
import orjson
import psycopg
from psycopg.conninfo import conninfo_to_dict

from store import embedded
from store.errors import NotInitialised, ServerError, StoreError

OPEN_ROLE = "vkg_open"  # may read everything but individual-level data
OLDEST_SERVER = 16
OLDEST_PGVECTOR = (0, 8)

log = logging.getLogger(__name__)


def database_url() -> str:
    """Return the URL of the store's database: VKG_DATABASE_URL, else that of the embedded server, started if need be.
    Raises ServerError.
    """
    return os.environ.get("VKG_DATABASE_URL") or embedded.start()


def connect(url: str | None = None, **options: Any) -> psycopg.Connection[Any]:
    """Connect with psycopg, for writing and for commands; `options` are those of psycopg.connect. Raises ServerError
    with the reason and a remedy.
    """
    parameters = _parameters(url or database_url())
    try:
        return psycopg.connect(**({"application_name": "vkg"} | parameters | options))
    except psycopg.Error as error:
        _refuse(error, parameters)


async def open_pool(url: str | None = None, *, size: int, timeout_ms: int) -> asyncpg.Pool:
    """Open the read way's pool of `size` connections, read-only, each statement limited to `timeout_ms` milliseconds.

    They run as the role vkg_open where it exists and may be assumed. No statement may leave state in a session,
    because none is reset. Columns of type json and jsonb arrive as orjson.Fragment, whose text goes into an answer as
    it is: parsing it would cost time and the numbers' own digits. Raises ServerError.
    """
    parameters = _parameters(url or database_url())
    settings = {
        "application_name": "vkg graph",
        "default_transaction_read_only": "on",
        "statement_timeout": str(timeout_ms),
        "plan_cache_mode": "force_generic_plan",  # a plan that flips with its parameters costs a hundredfold (docs/performance.md)
        "jit": "off",
    }
    if await _may_assume(OPEN_ROLE, parameters):
        settings["role"] = OPEN_ROLE
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
            init=_prepare_connection,
            reset=_keep_session,
        )


def check_server(connection: psycopg.Connection[Any]) -> None:
    """Refuse a server the store cannot live on: PostgreSQL 16 or newer, with pgvector 0.8 or newer installed or at
    hand. Raises ServerError.
    """
    with wrap_errors():
        row = connection.execute(
            "SELECT default_version, installed_version FROM pg_available_extensions WHERE name = 'vector'"
        ).fetchone()
    available, installed = row or (None, None)
    if problem := _server_problem(connection.info.server_version // 10000, available, installed):
        raise problem


def redact(url: str) -> str:
    """Return a URL without its password or anything else that might be secret, for messages and logs. Raises
    ServerError when it is not a URL.
    """
    return _shown(_parameters(url))


@contextlib.contextmanager
def wrap_errors() -> Iterator[None]:
    """Turn errors of either driver inside the block into StoreErrors that say what to do; the driver's error is kept
    as `__cause__`.
    """
    try:
        yield
    except (psycopg.Error, asyncpg.PostgresError) as error:
        raise _store_error(error) from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise StoreError(f"The database driver refused: {error}") from error
    except TimeoutError as error:
        raise ServerError(
            "The PostgreSQL server did not answer in time.", "See whether it runs and is reachable, then try again."
        ) from error
    except ConnectionError as error:
        raise _connection_lost(error) from error


# ---- URLs


def _parameters(url: str) -> dict[str, Any]:
    """Return libpq's reading of a URL. Its own messages are not passed on, because they quote parts of a password that
    it took for something else.
    """
    mistaken = ServerError(
        "The database URL cannot be read.",
        "Write it like postgresql://user:password@host:5432/database; in user and password, write @ as %40, : as %3A, / as %2F, % as %25.",
    )
    scheme = url.split("://", 1)[0] if "://" in url else ""
    if scheme not in ("postgresql", "postgres"):
        found = f"starts with {scheme}://" if scheme.isalnum() and len(scheme) < 20 else "has no scheme"
        raise ServerError(f"The database URL {found}, where postgresql:// is needed.", mistaken.remedy)
    try:
        parameters = conninfo_to_dict(url)
    except psycopg.Error:
        raise mistaken from None
    host, port, name = (str(parameters.get(key, "")) for key in ("host", "port", "dbname"))
    # An unescaped @ or / in a password moves its rest into host, port or database.
    if "@" in host or "@" in name or not re.fullmatch(r"[\d,]*", port):
        raise mistaken
    return dict(parameters)


def _shown(parameters: dict[str, Any]) -> str:
    host = str(parameters.get("host", ""))
    user = f"{quote(str(parameters['user']))}@" if "user" in parameters else ""
    port = f":{parameters['port']}" if "port" in parameters else ""
    name = quote(str(parameters.get("dbname", "")))
    return (
        f"postgresql://{user}/{name}?host={host}" if host.startswith("/") else f"postgresql://{user}{host}{port}/{name}"
    )


# libpq's parameters that asyncpg understands or passes to the server as a setting. What else libpq knows tunes libpq
# alone.
_ASYNCPG_PARAMETERS = frozenset(
    "host port dbname user password passfile sslmode sslcert sslkey sslrootcert sslcrl sslpassword sslnegotiation ssl_min_protocol_version "
    "ssl_max_protocol_version target_session_attrs krbsrvname gsslib service options".split()
)


def _asyncpg_url(parameters: dict[str, Any]) -> str:
    kept = {key: value for key, value in parameters.items() if key in _ASYNCPG_PARAMETERS}
    return "postgresql://?" + urlencode(kept, quote_via=quote)


# ---- the pool


async def _may_assume(role: str, parameters: dict[str, Any]) -> bool:
    try:
        connection = await psycopg.AsyncConnection.connect(**parameters)
    except psycopg.Error as error:
        _refuse(error, parameters)
    async with connection:
        with wrap_errors():
            found = await connection.execute(
                "SELECT pg_has_role(current_user, oid, 'SET') FROM pg_roles WHERE rolname = %s", [role]
            )
            row = await found.fetchone()
    if row == (False,):
        log.warning(
            "%s may not assume the role %s, so reads run with all its own rights. GRANT %s TO %s ends this.",
            connection.info.user,
            role,
            role,
            connection.info.user,
        )
    return row == (True,)


async def _prepare_connection(connection: asyncpg.Connection) -> None:
    for name, header in (("json", 0), ("jsonb", 1)):  # jsonb's binary form is a version byte, then the text
        await connection.set_type_codec(
            name,
            schema="pg_catalog",
            format="binary",
            encoder=lambda text, version=b"\1" * header: version + (text.encode() if isinstance(text, str) else text),
            decoder=lambda data, header=header: orjson.Fragment(data[header:]),
        )


async def _keep_session(_: asyncpg.Connection) -> None:
    """Do nothing where asyncpg would send a RESET, one more round trip per request."""


# ---- what went wrong


def _server_problem(major: int, available: str | None, installed: str | None) -> ServerError | None:
    """Judge a server by its major version and the versions of pgvector it offers and has in this database, each None
    if it does not.
    """
    needed = ".".join(map(str, OLDEST_PGVECTOR))
    if major < OLDEST_SERVER:
        return ServerError(
            f"The server is PostgreSQL {major}; the store needs {OLDEST_SERVER} or newer.",
            "Upgrade it, point VKG_DATABASE_URL at a newer one, or unset VKG_DATABASE_URL to use the built-in server.",
        )
    if available is None and installed is None:
        return ServerError(
            f"The server lacks the extension pgvector; the store needs {needed} or newer.",
            f"Install it on the server (Debian: apt install postgresql-{major}-pgvector), or unset VKG_DATABASE_URL to use the built-in server.",
        )
    if _version(installed or available or "") >= OLDEST_PGVECTOR:
        return None
    if installed and _version(available or "") >= OLDEST_PGVECTOR:
        return ServerError(
            f"The database has pgvector {installed}; the store needs {needed} or newer.",
            "Run in it: ALTER EXTENSION vector UPDATE;",
        )
    return ServerError(
        f"The server has pgvector {installed or available}; the store needs {needed} or newer.",
        "Upgrade pgvector on the server.",
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


# What libpq or the server says when a connection fails: reason and remedy. A server may speak another language, then
# its own words stand.
_CONNECTION_PROBLEMS = [
    (
        "password authentication failed|no password supplied",
        "the server does not accept this user and password",
        "Correct user and password in VKG_DATABASE_URL.",
    ),
    (
        "no pg_hba.conf entry|Ident authentication failed|Peer authentication failed",
        "the server does not let this user in from here",
        "See the server's pg_hba.conf.",
    ),
    (
        'role "[^"]*" does not exist',
        "the server knows no such user",
        "Correct the user in VKG_DATABASE_URL, or make it: CREATE ROLE ... LOGIN.",
    ),
    (
        'database "[^"]*" does not exist',
        "the server has no such database",
        "Make it (createdb), or correct VKG_DATABASE_URL.",
    ),
    (
        "failed to resolve host|could not translate host name|[Nn]ame or service not known",
        "the host's name is unknown",
        "Correct the host in VKG_DATABASE_URL, or see whether the network is up.",
    ),
    (
        "Connection refused|No such file or directory",
        "no server listens there",
        "Start the server, or correct host and port in VKG_DATABASE_URL.",
    ),
    (
        "timeout|timed out|No route to host|unreachable",
        "the host does not answer",
        "See whether it is up and a firewall lets this through.",
    ),
    (
        "too many (connections|clients)|remaining connection slots",
        "all connections of the server are taken",
        "Close some, or raise max_connections.",
    ),
    ("starting up|shutting down|recovery mode", "the server is starting or stopping", "Try again in a moment."),
    ("SSL|certificate", "server and client do not agree on encryption", "See sslmode in VKG_DATABASE_URL."),
]


def _refuse(error: psycopg.Error, parameters: dict[str, Any]) -> NoReturn:
    """Raise the ServerError for a connection that failed."""
    said = " ".join(str(error).split())
    for pattern, reason, remedy in _CONNECTION_PROBLEMS:
        if re.search(pattern, said):
            raise ServerError(f"Cannot connect to {_shown(parameters)}: {reason}.", remedy) from error
    raise ServerError(f"Cannot connect to {_shown(parameters)}: {said}", "Correct VKG_DATABASE_URL.") from error


# SQLSTATE, or its first two characters: kind of error, what happened ({} is the server's own message), remedy.
_STATES: dict[str, tuple[type[StoreError], str, str | None]] = {
    "53100": (
        ServerError,
        "The disk of the PostgreSQL server is full: {}",
        "Free some space and run this again; nothing of it was kept.",
    ),
    "53200": (
        ServerError,
        "The PostgreSQL server ran out of memory: {}",
        "Give it more (the built-in one: VKG_EMBEDDED_MEMORY, then `vkg stop`), or do less at once.",
    ),
    "53300": (
        ServerError,
        "All connections of the PostgreSQL server are taken: {}",
        "Close some, or raise max_connections.",
    ),
    "57014": (StoreError, "The statement was stopped: {}", "Ask for less at once, or allow more time."),
    "55P03": (StoreError, "Something else holds a lock: {}", "Try again when it is done."),
    "40": (StoreError, "The transaction conflicted with another one: {}", "Run it again."),
    "25006": (
        ServerError,
        "The database takes no writes here: {}",
        "Point VKG_DATABASE_URL at the primary server, with a user that may write.",
    ),
    "42501": (StoreError, "The database user lacks a right: {}", "GRANT it, or connect as the owner of the store."),
    "42P01": (NotInitialised, "The database holds no store of this version: {}", "Run `vkg init`."),
    "42703": (NotInitialised, "The database holds no store of this version: {}", "Run `vkg init`."),
    "3F000": (NotInitialised, "The database holds no store of this version: {}", "Run `vkg init`."),
    "3D000": (ServerError, "The server has no such database: {}", "Make it (createdb), or correct VKG_DATABASE_URL."),
    "28": (ServerError, "The server does not let this user in: {}", "Correct user and password in VKG_DATABASE_URL."),
    "57P": (
        ServerError,
        "The PostgreSQL server is stopping or starting: {}",
        "Run this again when it is up; nothing of it was kept.",
    ),
    "58030": (
        ServerError,
        "The PostgreSQL server cannot read or write its files: {}",
        "See its log, and whether its disk is healthy.",
    ),
    "XX00": (
        ServerError,
        "The PostgreSQL server reports damaged data or a defect: {}",
        "See its log; restore a backup if data are damaged.",
    ),
}


def _store_error(error: psycopg.Error | asyncpg.PostgresError) -> StoreError:
    state: str = error.sqlstate or ""
    if state.startswith("08") or (not state and isinstance(error, psycopg.OperationalError)):
        return _connection_lost(error)
    message = (error.diag.message_primary if isinstance(error, psycopg.Error) else None) or str(error)
    for length in (5, 4, 3, 2):
        if known := _STATES.get(state[:length]):
            kind, what, remedy = known
            return kind(what.format(message), remedy)
    return StoreError(f"PostgreSQL refused: {message}" + (f" (SQLSTATE {state})" if state else ""))


def _connection_lost(error: Exception) -> ServerError:
    return ServerError(
        f"The connection to the PostgreSQL server was lost: {' '.join(str(error).split())}",
        "Run this again when it is up; nothing uncommitted was kept.",
    )
