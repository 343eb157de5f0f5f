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
    texts = {name: name.strip() for name in names}
    # Either may have slashes itself: all that may be a name after the cohort is looked up, and the row tells.
    parts = [text.split("/", _MOST_SLASHES) for text in texts.values()]
    wanted = sorted({"/".join(part[i:]) for part in parts for i in range(len(part))})
    rows = await ctx.query_individual(view, statement("samples_by_name"), wanted, view.seen)
    if ctx.people is not None:
        ctx.people.update(row["sample_id"] for row in rows)
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
    return list(dict.fromkeys(row["sample_id"] for row in await _samples(ctx, view, names)))


async def one_sample(ctx: Context, view: View, name: str) -> Any:
    """The row of a sample that must be there. Raises UserError UNKNOWN_SAMPLE or AMBIGUOUS_NAME."""
    return (await _samples(ctx, view, [name]))[0]


async def two_samples(ctx: Context, view: View, sample1: str, sample2: str) -> list[Any]:
    """The rows of two different samples that must be there. Raises UserError UNKNOWN_SAMPLE, AMBIGUOUS_NAME or SAME_SAMPLE."""
    first, second = await _samples(ctx, view, [sample1, sample2]) if sample1 != sample2 else [None, None]
    if first == second:
        hint = "hbdSegments has what both haplotypes of one person share."
        raise UserError("SAME_SAMPLE", "sample1 and sample2 are the same person.", value=sample2[:80], hint=hint)
    return [first, second]


async def _samples(ctx: Context, view: View, names: Sequence[str]) -> list[Any]:
    found = await find_samples(ctx, view, names)
    for name, rows in found.items():
        if not rows:
            hint = "search(text:) finds samples by the start of their names; samples lists them."
            raise UserError("UNKNOWN_SAMPLE", f"No visible load names a sample {name[:80]!r}.", value=name[:80], hint=hint)
    return [only_sample(rows, name) for name, rows in found.items()]


async def check_known(
    ctx: Context, view: View, what: str, names: Sequence[str] | None, known_by: str, code: str, hint: str, *more: Any
) -> None:
    """Raises UserError `code` for a name that is none of those that the statement `known_by` gives for the visible loads, and `more` values: a typo would read
    as nobody, or nothing. `what` goes on from "No visible load"; `hint` is for a store without any."""
    if not names:
        return
    known = [row[0] for row in await ctx.query(statement(known_by), list(view.loads), *more)]
    for name in names:
        if name not in known:
            folded = {each.upper(): each for each in known}
            near = [folded[found] for found in difflib.get_close_matches(name[:80].upper(), folded, 3)] or known[:10]
            listed = f"There are {', '.join(near)}{' ...' if len(near) < len(known) else ''}"
            raise UserError(code, f"No visible load {what} {name[:80]!r}.", value=name[:80], hint=listed if known else hint)


async def check_populations(ctx: Context, view: View, names: Sequence[str] | None) -> None:
    """Raises UserError UNKNOWN_POPULATION for a population that no visible load has samples of."""
    hint = "Load them with vkg load samples."
    await check_known(ctx, view, "has samples of a population", names, "sample_populations", "UNKNOWN_POPULATION", hint)


async def check_callsets(ctx: Context, view: View, names: Sequence[str] | None) -> None:
    """Raises UserError UNKNOWN_CALLSET for a callset that is not visible, by the name of its dataset."""
    await check_known(ctx, view, "is a callset", names, "callset_names", "UNKNOWN_CALLSET", "Load one with vkg load vcf.")


async def check_cohorts(ctx: Context, view: View, names: Sequence[str] | None) -> None:
    """Raises UserError UNKNOWN_COHORT for a cohort of which no callset and no file of samples is visible."""
    hint = "Load its people with vkg load samples or vkg load vcf."
    await check_known(ctx, view, "is of a cohort", names, "cohort_names", "UNKNOWN_COHORT", hint)


async def check_frequencies(ctx: Context, view: View, population: str, dataset: str | None) -> None:
    """Raises UserError UNKNOWN_POPULATION for a population without frequencies in the visible loads, UNKNOWN_CALLSET for a dataset that is not
    visible: any may have frequencies, with genotypes or without."""
    populations = [population] if population != "ALL" else []
    hint = "They come with vkg load vcf: counted, or from INFO."
    await check_known(
        ctx, view, "has frequencies of a population", populations, "population_names", "UNKNOWN_POPULATION", hint, list(view.withheld)
    )
    datasets = [dataset] if dataset is not None else []
    await check_known(ctx, view, "is of a dataset", datasets, "dataset_names", "UNKNOWN_CALLSET", "Load one with vkg load vcf.")


async def analyses_of(ctx: Context, view: View, name: str | None) -> list[int] | None:
    """The loads of the analysis of ancestry with this name, None for all. Raises UserError UNKNOWN_ANALYSIS."""
    if name is None:
        return None
    visible = await ctx.query(statement("ancestry_runs"), list(view.loads))
    found = [run["load_id"] for run in visible if run["name"] == name]
    if not found:
        hint = f"There are {', '.join(run['name'] for run in visible)}." if visible else "Load one with vkg load ancestry."
        raise UserError("UNKNOWN_ANALYSIS", f"No visible analysis of ancestry is named {name[:80]!r}.", value=name[:80], hint=hint)
    return found
