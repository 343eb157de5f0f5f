"""The commands of the API: serve, schema, sql. What asks at the shell is in query_commands.py."""

from __future__ import annotations

import asyncio
import errno
import gc
import ipaddress
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from starlette.applications import Starlette

from store import genome
from store.access import LEAST_PEOPLE
from store.commands import opened
from store.database import database_url, wrap_errors
from store.errors import StoreError
from store.read import Mode, compose, where
from store.reference import SMALL_WINDOW, Reference

from .access import Accounts, check_guarded
from .app import POOL_SIZE, Settings, application
from .backpressure import WAITING
from .changes import changes
from .context import SequenceModel
from .errors import UserError
from .incoming import LOOPBACK
from .profile import PROFILES
from .protocol import OPTIONS as PROTOCOL
from .rate import RATE, Network, networks
from .relation import links
from .schema import build, sdl
from .viewer import Provider, checked_url
from .workers import OPTIONS
from .workers import serve as serve_with

graph = typer.Typer(no_args_is_help=True)

LoadModels = Callable[[Sequence[str]], Mapping[str, SequenceModel]]
MOST_WORKERS = 16
CONNECTIONS = 80
"""Connections of all workers together, one of each for news of releases, which leaves some of the hundred that PostgreSQL has unless told otherwise."""
Port = Annotated[int, typer.Option(help="TCP port.", min=1, max=65535)]


def settings() -> Settings:
    """What the API serves: the store of this environment. Raises StoreError where there is none."""
    url = database_url()
    with opened() as conn:
        found = genome.genome(conn)
    reference = None
    if found.reference_path is not None and found.reference_path.is_file():
        reference = Reference(found.reference_path, SMALL_WINDOW)
    return Settings(url, found.assembly, reference)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises StoreError when the port is taken or not allowed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise StoreError(f"port {port} of {host} is in use", "Choose another with --port, or stop what listens there.") from None
        raise StoreError(f"cannot listen on {host} port {port}: {error.strerror}", "Choose another --host or --port.") from None
    return sock


def run(host: str, port: int, app: Callable[[], Starlette], greeting: str, workers: int = 1) -> None:
    """Serves until interrupted, with so many processes that each make the application; says so once it can answer."""
    sock = listen(host, port)

    def greet() -> None:
        typer.echo(greeting)
        sys.stdout.flush()

    if workers > 1:
        serve_with(app, sock, workers, greet)
        return
    made = app()
    greet()
    uvicorn.Server(uvicorn.Config(made, **OPTIONS | PROTOCOL)).run([sock])


def make(
    origins: Sequence[str],
    models: Sequence[str],
    load: LoadModels | None,
    workers: int,
    accounts: Accounts | None = None,
    hosts: Sequence[str] = LOOPBACK,
    **guards: Any,
) -> Starlette:
    """The application over the store of this environment, in any process: one of `workers`, who share what connections the server has. `guards` are other
    settings: profile, trusted, rate, queue, proxies."""
    loaded = load(models) if models and load is not None else {}
    size = max(2, min(POOL_SIZE, (CONNECTIONS - workers) // (2 * workers)))
    made = application(
        replace(settings(), origins=tuple(origins), models=loaded, pool_size=size, accounts=accounts, hosts=tuple(hosts), **guards)
    )
    keep()
    return made


def keep() -> None:
    """Keeps the collector of cycles from walking over what is there for ever, the schema above all, and from running in the middle of large answers."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def accounts_of(
    host: str, accounts: bool, issuer: str | None, audience: str | None, jwks: str | None, open_only: bool, refused: bool, least: int,
    reached: bool = False,
) -> Accounts | None:  # fmt: skip
    """How a server that is started so tells who asks; None where everybody is the owner. `reached` says that others come to its loopback by a proxy. Raises StoreError for what does not go together, and where
    everybody who can reach it could see individual-level data."""
    if (issuer is None) != (audience is None) or (jwks is not None and issuer is None):
        raise StoreError("an identity provider needs an issuer and an audience", "Give --oidc-issuer and --oidc-audience.")
    try:
        for url in filter(None, (issuer, jwks)):
            checked_url(url)
    except ValueError as error:
        raise StoreError(str(error), "What came from there could be anybody's.") from None
    provider = Provider(issuer, audience, jwks) if issuer is not None and audience is not None else None
    if open_only and (accounts or provider or refused):
        raise StoreError("--open-data-only shows individual-level data to nobody, so there are no accounts", "Leave out one or the other.")
    if accounts or provider or open_only or refused:
        return Accounts(provider, open_only, refused, least)
    if not is_loopback(host) or reached:
        raise StoreError(
            f"whoever reaches {host}{' through a proxy' if reached else ''} could read all individual-level data",
            "Show it to those it was granted to with --accounts (vkg token, vkg grant) or --oidc-issuer, or to nobody with --open-data-only.",
        )
    return None


def guards_of(
    host: str, origins: Sequence[str], profile: str, trusted: Path | None, rate: float | None, queue: int, proxies: Sequence[str],
    hosts: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """What a server that is started so keeps from whom: settings of the application. Raises StoreError for what is none, or does not go together."""
    if profile not in PROFILES:
        raise StoreError(f"there is no profile {profile!r}", f"Profiles are {', '.join(PROFILES)}.")
    if not PROFILES[profile].any_document and trusted is None:
        raise StoreError(
            f"the profile {profile} answers trusted documents only, and there are none", "Name their manifest: --trusted FILE."
        )
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"https?://[^/?#@\s*]+", origin):
            raise StoreError(
                f"{origin!r} is not an origin", "Write it as browsers do: https://browser.example, with no path; or * for any."
            )
    try:
        believed: tuple[Network, ...] = networks(proxies)
    except ValueError as error:
        raise StoreError(f"--trust-proxy: {error}", "Give the address of the proxy, or a network such as 10.0.0.0/8.") from None
    if any(network.num_addresses == 1 << network.max_prefixlen for network in believed):
        raise StoreError("--trust-proxy: of everybody, anybody could say who asks", "Give the address of the proxy, or its network.")
    local = is_loopback(host)
    names = (*LOOPBACK, f"[{host}]" if ":" in host else host, *hosts) if local or hosts else ()
    chosen = rate if rate is not None else 0 if local and not believed else RATE
    return {
        "profile": PROFILES[profile], "trusted": trusted, "rate": chosen, "queue": queue, "proxies": believed, "hosts": names,
    }  # fmt: skip


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


@graph.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; beyond loopback with --accounts or --open-data-only.")] = "127.0.0.1",
    port: Port = 8000,
    origin: Annotated[list[str] | None, typer.Option("--allow-origin", help="Web origin whose pages may ask; may be repeated.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Load this model for variantsLikeSequence, by its name in vkg models; NAME=SOURCE where that is not where it is. May be repeated.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes that answer: one for each core that PostgreSQL does not need.", min=1, max=MOST_WORKERS)
    ] = 1,
    with_accounts: Annotated[
        bool,
        typer.Option(
            "--accounts", envvar="VKG_ACCOUNTS", help="Show individual-level data to those it was granted to: vkg token, vkg grant."
        ),
    ] = False,
    issuer: Annotated[
        str | None,
        typer.Option("--oidc-issuer", envvar="VKG_OIDC_ISSUER", help="URL of an OpenID Connect provider whose tokens are accounts, too."),
    ] = None,
    audience: Annotated[
        str | None, typer.Option("--oidc-audience", envvar="VKG_OIDC_AUDIENCE", help="The audience that its tokens must be for.")
    ] = None,
    jwks: Annotated[
        str | None, typer.Option("--oidc-jwks", envvar="VKG_OIDC_JWKS", help="URL of its keys, where it cannot be discovered.")
    ] = None,
    open_only: Annotated[
        bool, typer.Option("--open-data-only", envvar="VKG_OPEN_DATA_ONLY", help="Leave individual-level data out of all answers.")
    ] = False,
    refused: Annotated[
        bool, typer.Option("--refuse-anonymous", help="Answer nobody without credentials; else they see open data.")
    ] = False,
    profile: Annotated[
        str, typer.Option(envvar="VKG_PROFILE", help="What is offered: default, public or locked (trusted documents only).")
    ] = "default",
    trusted: Annotated[
        Path | None,
        typer.Option(
            help="Manifest of documents that are asked for by their hash: graphql-codegen's persisted-documents.json, or Apollo's."
        ),
    ] = None,
    metrics: Annotated[
        bool | None,
        typer.Option("--metrics/--no-metrics", help="Whether /metrics is there, whatever the profile says.", show_default=False),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            help=f"Objects a second that each client may ask for, 0 for any: {RATE:,} where others reach it.", min=0, show_default=False
        ),
    ] = None,
    queue: Annotated[
        int, typer.Option(help="Requests that may wait for their turn, in each process; more are told to come again.", min=0)
    ] = WAITING,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--trust-proxy", help="Address or network of a proxy that is believed whom it asks for (X-Forwarded-For); may be repeated."
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="Name by which it may be called, where that is not its address; may be repeated."),
    ] = None,
    least: Annotated[
        int, typer.Option("--least-people", help="Of fewer people, counts and frequencies are individual-level data.", min=1)
    ] = LEAST_PEOPLE,
) -> None:
    """Serve GraphQL at http://HOST:PORT/graphql.

    Example: vkg serve --port 8001
    """
    accounts = accounts_of(host, with_accounts, issuer, audience, jwks, open_only, refused, least, bool(proxy or name))
    guards = guards_of(host, origin or (), profile, trusted, rate, queue, proxy or (), name or ())
    if metrics is not None:
        guards["profile"] = replace(guards["profile"], metrics=metrics)
    if accounts is not None:
        with wrap_errors():
            asyncio.run(check_guarded(settings().url))
    browser = f", in a browser at http://{host}:{port}/graphiql" if guards["profile"].graphiql else ""
    greeting = f"GraphQL at http://{host}:{port}/graphql{browser} (Ctrl-C ends it)"
    run(host, port, partial(make, origin or (), model or (), load_models, workers, accounts, **guards), greeting, workers)


load_models: LoadModels | None = None
"""Loads models of sequences by name. Another package has them: the front door puts it here."""


@graph.command()
def schema(
    against: Annotated[
        Path | None,
        typer.Option(
            help="Say instead what changed since this schema; exit code 1 where that breaks clients.", exists=True, dir_okay=False
        ),
    ] = None,
) -> None:
    """Print the GraphQL schema, or what changed in it.

    Example: vkg schema --against schema.graphql
    """
    current = sdl(build())
    if against is None:
        typer.echo(current, nl=False)
        return
    found = changes(against.read_text(encoding="utf-8"), current)
    typer.echo("\n".join(map(str, found)) or "Nothing that a client would notice.")
    if any(change.breaking for change in found):
        raise typer.Exit(1)


@graph.command()
def sql(
    name: Annotated[
        str | None, typer.Argument(help="A link, such as Variant.populationFrequencies; all are listed without one.", show_default=False)
    ] = None,
    condition: Annotated[list[str] | None, typer.Option("--where", help="A condition of its Read; may be repeated.")] = None,
    by: Annotated[str | None, typer.Option(help="Another way of its Read to address rows.")] = None,
    mode: Annotated[str | None, typer.Option(help="all, page or count.")] = None,
    after: Annotated[bool, typer.Option("--after", help="With a cursor.")] = False,
    backward: Annotated[bool, typer.Option("--backward", help="From the back.")] = False,
) -> None:
    """Print the SQL of a link.

    Example: vkg sql Query.variants --where frequency
    """
    build()
    if name is None:
        for link in sorted(links, key=lambda found: found.name):
            typer.echo(
                f"{link.name}  ({link.shape} of {link.read.name}, by {', '.join(link.read.by)}; where {', '.join(link.read.where) or 'nothing'})"
            )
        return
    wanted = name.replace("_", "").lower()  # the API's spelling as well as Python's
    found = next((link for link in links if link.name.replace("_", "").lower() == wanted), None)
    if mode not in (None, "all", "page", "count"):
        raise UserError("UNKNOWN_LINK", f"There is no mode {mode!r}.", hint="Modes are all, page and count.")
    if found is None:
        raise UserError("UNKNOWN_LINK", f"There is no link {name!r}.", hint="vkg sql lists them.")
    address = by or found.by
    unknown = [c for c in condition or () if c not in found.read.where] + ([address] if address not in found.read.by else [])
    if unknown:
        raise UserError(
            "UNKNOWN_LINK", f"{found.read.name} has no {unknown[0]!r}.", hint="vkg sql lists conditions and ways of every link."
        )
    parameters = {c: {"value": None} for c in condition or ()}
    chosen: Mode = mode or ("page" if found.shape == "page" else "all")  # type: ignore[assignment]
    statement, _ = compose(
        found.read, address, columns=found.read.columns if chosen != "count" else (), order=found.order, filter=where(**parameters),
        mode=chosen, after=after, backward=backward, per_parent=found.read.by[address].anchor is not None,
    )  # fmt: skip
    typer.echo(statement.text)
    typer.echo("-- " + ", ".join(f"${i} {slot}" for i, slot in enumerate(statement.slots, 1)))
