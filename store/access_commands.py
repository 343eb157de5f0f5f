"""The commands about who may see individual-level data: token, grant, audit."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from . import access
from .commands import Json, opened

commands = typer.Typer(no_args_is_help=True)
token = typer.Typer(help="Tokens for the API: who asks.", no_args_is_help=True)
grant = typer.Typer(help="Grants: who may see the individual-level data of which dataset.", no_args_is_help=True)
commands.add_typer(token, name="token")
commands.add_typer(grant, name="grant")

Subject = Annotated[
    str, typer.Argument(help="Who: any name, such as an e-mail address, or the `sub` of an identity provider.", show_default=False)
]
Datasets = Annotated[list[str], typer.Argument(metavar="DATASET...", help="Names of datasets.", show_default=False)]
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def _until(text: str) -> datetime:
    found = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    try:
        until = datetime.now(UTC) + int(found[1]) * _UNITS[found[2]] if found else datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is neither a time such as 12h, 90d or 8w nor a date such as 2027-01-31.") from None
    if until <= datetime.now(UTC):
        raise typer.BadParameter(f"{text!r} is over already.")
    return until


def _since(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date or time such as 2026-11-01 or 2026-11-01T08:30.") from None


@token.command("create")
def create(
    subject: Subject,
    scope: Annotated[
        list[str] | None, typer.Option(help="individual: what the subject was granted. admin: all data. May be repeated.")
    ] = None,
    expires: Annotated[str, typer.Option(help="When it ends: 12h, 90d, 8w, or a date.")] = "90d",
    label: Annotated[str | None, typer.Option(help="What it is for.")] = None,
) -> None:
    """Make a token, and print it: the only time that it is shown.

    Example: vkg token create anna@clinic.example --scope individual --expires 90d
    """
    until = _until(expires)
    with opened() as conn:
        number, made = access.create_token(conn, subject, scope or [], until, label)
    typer.echo(f"token {number} of {subject}, until {until:%Y-%m-%d %H:%M} UTC; send it as `Authorization: Bearer TOKEN`:", err=True)
    typer.echo(made)


@token.command("list")
def list_tokens(as_json: Json = False) -> None:
    """Show all tokens: whose, what for, until when.

    Example: vkg token list
    """
    with opened() as conn:
        found = access.tokens(conn)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], default=str))
        return
    for each in found:
        state = "revoked" if each.revoked_at else "expired" if each.expires_at <= datetime.now(UTC) else f"until {each.expires_at:%Y-%m-%d}"
        typer.echo(f"{each.token_id}\t{each.subject}\t{','.join(each.scopes) or 'open'}\t{state}\t{each.label or ''}".rstrip())


@token.command("revoke")
def revoke(number: Annotated[int, typer.Argument(help="Number of the token.", show_default=False)]) -> None:
    """Refuse a token from now on: a running server learns of it within seconds.

    Example: vkg token revoke 3
    """
    with opened() as conn:
        access.revoke_token(conn, number)
    typer.echo(f"token {number} is revoked")


@grant.command("add")
def add(subject: Subject, datasets: Datasets) -> None:
    """Let somebody see the individual-level data of datasets.

    Example: vkg grant add anna@clinic.example clinic clinic-ibd
    """
    with opened() as conn:
        missing = access.grant(conn, subject, datasets)
    typer.echo(f"{subject} may see {', '.join(datasets)}")
    for name in missing:
        typer.echo(f"There is no dataset {name!r} yet; the grant holds for one that is loaded under this name.", err=True)


@grant.command("remove")
def remove(
    subject: Subject,
    datasets: Annotated[
        list[str] | None, typer.Argument(metavar="[DATASET]...", help="All that were granted, where none is named.")
    ] = None,
) -> None:
    """Take grants back: a running server learns of it within seconds.

    Example: vkg grant remove anna@clinic.example clinic
    """
    with opened() as conn:
        access.withdraw(conn, subject, datasets or [])
    typer.echo(f"{subject} may not see {', '.join(datasets or ()) or 'any individual-level data'} any more")


@grant.command("list")
def list_grants(as_json: Json = False) -> None:
    """Show who may see the individual-level data of which dataset.

    Example: vkg grant list
    """
    with opened() as conn:
        found = access.grants(conn)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], default=str))
        return
    for each in found:
        typer.echo(f"{each.subject}\t{each.dataset}\tsince {each.granted_at:%Y-%m-%d}" + ("" if each.there else "\t(no such dataset yet)"))


@commands.command()
def audit(
    subject: Annotated[str | None, typer.Option(help="Only what this subject read.")] = None,
    sample: Annotated[str | None, typer.Option(help="Only what was read of this sample, NAME or COHORT/NAME.")] = None,
    since: Annotated[str | None, typer.Option(help="Only from this date or time on.")] = None,
    last: Annotated[int, typer.Option(help="The last so many entries.", min=1)] = 1000,
    as_json: Json = False,
) -> None:
    """Show what was read of single persons over the API: when, by whom, with which operation, of which samples.

    Example: vkg audit --sample clinic/P1 --since 2026-11-01
    """
    with opened() as conn:
        found = access.audit(conn, subject=subject, sample=sample, since=_since(since) if since else None, last=last)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], default=str))
        return
    for each in found:
        who = f"{len(each.samples):,} samples" if len(each.samples) > 8 else ", ".join(each.samples)
        typer.echo(
            f"{each.at:%Y-%m-%d %H:%M:%S}\t{each.subject}\t{each.operation_name or '-'} {each.operation[:12]}\trelease {each.release_id}\t{who}"
        )
