"""Samples and populations by the names that users write, and by sex."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Any

import strawberry

from store.statements import statement

from .context import Context, View
from .errors import UserError
from .link import define


@define
@strawberry.enum(description="Sex of a person, as a panel or pedigree file says.")
class Sex(Enum):
    FEMALE = strawberry.enum_value("FEMALE", description="Female.")
    MALE = strawberry.enum_value("MALE", description="Male.")


OfSex = Annotated[Sex | None, strawberry.argument(description="Only samples of this sex.")]

_MOST_SLASHES = 8


async def find_samples(ctx: Context, view: View, names: Sequence[str]) -> dict[str, list[Any]]:
    """Visible samples by the names as given, NAME or COHORT/NAME: rows (sample_id, cohort, name)."""
    loads = list(view.loads)
    texts = {name: name.strip() for name in names}
    # Either may have slashes itself: all that may be a name after the cohort is looked up, and the row tells.
    parts = [text.split("/", _MOST_SLASHES) for text in texts.values()]
    wanted = sorted({"/".join(part[i:]) for part in parts for i in range(len(part))})
    rows = await ctx.query_individual(loads, statement("samples_by_name"), wanted, loads)
    return {
        name: [r for r in rows if r["name"] == text] or [r for r in rows if f"{r['cohort']}/{r['name']}" == text]
        for name, text in texts.items()
    }


def only_sample(rows: Sequence[Any], name: str) -> Any:
    """The one sample that a name means. Raises UserError AMBIGUOUS_NAME."""
    if len(rows) > 1:
        listed = ", ".join(sorted(f"{row['cohort']}/{row['name']}" for row in rows))
        raise UserError("AMBIGUOUS_NAME", f"{name!r} is a sample of several cohorts.", value=name, hint=f"Say which: {listed}")
    return rows[0]


async def sample_ids(ctx: Context, view: View, names: Sequence[str]) -> list[int]:
    """The numbers of samples that must be there, each once, in the order given. Raises UserError UNKNOWN_SAMPLE or AMBIGUOUS_NAME."""
    found = await find_samples(ctx, view, names)
    for name, rows in found.items():
        if not rows:
            hint = "search(text:) finds samples by the start of their names; samples lists them."
            raise UserError("UNKNOWN_SAMPLE", f"No visible load names a sample {name[:80]!r}.", value=name[:80], hint=hint)
    return list(dict.fromkeys(only_sample(rows, name)["sample_id"] for name, rows in found.items()))


async def check_populations(ctx: Context, view: View, names: Sequence[str] | None) -> None:
    """Raises UserError UNKNOWN_POPULATION for a population that no visible load has: nobody in it would read as nobody carries it."""
    if names is None:
        return
    known = [row[0] for row in await ctx.query(statement("sample_populations"), list(view.loads))]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name.upper(), known, 3) or known[:10]
            raise UserError(
                "UNKNOWN_POPULATION",
                f"No visible load has samples of a population {name[:80]!r}.",
                value=name[:80],
                hint=f"There are {', '.join(near)}{' ...' if len(near) < len(known) else ''}"
                if known
                else "Load them with vkg load samples.",
            )
