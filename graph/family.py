"""Questions about a family: which of the variants that a sample carries came from whom."""

from __future__ import annotations

from enum import Enum
from typing import Any

import strawberry

from store.read import Filter, both, where
from store.statements import statement

from .context import Context, View
from .errors import UserError
from .link import define
from .people import sample_ids


@define
@strawberry.enum(description="Which parent carries the ALT.")
class InheritedFrom(Enum):
    FATHER = strawberry.enum_value(
        "FATHER", description="The father carries it, and the mother was called without it; on Y, the father carries it."
    )
    MOTHER = strawberry.enum_value(
        "MOTHER",
        description="The mother carries it, and the father was called without it; for MT and a call of one allele on X, the mother carries it.",
    )
    BOTH = strawberry.enum_value("BOTH", description="Both carry it, where both can pass it on.")


@define
@strawberry.input(
    description="""Conditions on the calls of a sample's relatives in the same callset: of several, in those that have most of the parents. All that
are given must hold. Parents are those that visible loads name (vkg load samples). A call that is missing proves nothing. How many alleles a
call has tells whether X is judged as a son's; callers that write two for a son's X have it judged as an autosome.""".replace("\n", " ")
)
class FamilyFilter:
    de_novo: bool | None = strawberry.field(
        default=None,
        description="true: both parents were called, without the ALT. For MT and a call of one allele on X only the mother counts, for Y only the father.",
    )
    homozygous_recessive: bool | None = strawberry.field(
        default=None,
        description="true: homozygous, and heterozygous in each parent in the callset, of whom there is one at least (a father's one allele on X counts); or a call of one allele on X, and heterozygous in the mother.",
    )
    compound_het: bool | None = strawberry.field(
        default=None,
        description="""true: heterozygous, and so is another variant in the same gene that passes the same filter, on the other chromosome:
one from the father, one from the mother; where the parents do not tell, not on the same chromosome by phase; where nothing tells, it counts.""".replace(
            "\n", " "
        ),
    )
    inherited_from: InheritedFrom | None = strawberry.field(default=None, description="Which parent carries it.")
    absent_in: list[str] | None = strawberry.field(
        default=None, description="Names of samples of the same callset that were called without the ALT, all of them."
    )
    min_dp: int | None = strawberry.field(
        default=None, description="The call, and those of the relatives that other conditions look at, have at least this DP (reads)."
    )
    min_gq: int | None = strawberry.field(
        default=None, description="The call, and those of the relatives that other conditions look at, have at least this GQ (phred)."
    )


async def family_conditions(ctx: Context, view: View, f: FamilyFilter | None, of_partner: Filter) -> tuple[Filter, dict[str, Any]]:
    """The conditions of a filter, and which relatives the callsets must have, as values to bind.

    `of_partner` are the conditions that the other variant of a compound heterozygote has to fulfil too. Raises UserError for an unknown sample,
    for DP and GQ where no visible callset keeps them, and for what would ask nothing.
    """
    if f is None:
        return both(), {"parents": False, "beside": None}
    for name, value in (("deNovo", f.de_novo), ("homozygousRecessive", f.homozygous_recessive), ("compoundHet", f.compound_het)):
        if value is False:
            raise UserError("BAD_FILTER", f"{name}: false asks nothing.", value=False, hint="Leave it out, or write true.")
    bounds = {"dp": f.min_dp, "gq": f.min_gq}
    bounded = any(bound is not None for bound in bounds.values())
    if bounded:
        await _check_format(ctx, view)
    inherited = f"from_{f.inherited_from.name.lower()}" if f.inherited_from else None
    asked = (("de_novo", f.de_novo), ("recessive", f.homozygous_recessive), (inherited, inherited), ("quality", bounded))
    parts: list[Filter] = [where(**{name: bounds}) for name, wanted in asked if name and wanted]
    beside = None
    if f.absent_in is not None:
        if not f.absent_in:
            raise UserError("BAD_FILTER", "absentIn: an empty list excludes nobody.", hint="Leave it out, or name at least one sample.")
        beside = await sample_ids(ctx, view, f.absent_in)
        parts.append(where(absent_in=bounds | {"value": beside}))
    if f.compound_het:
        parts.append(("with", ("compound_het", bounds, both(of_partner))))
    of_parents = bool(f.de_novo or f.homozygous_recessive or f.compound_het or f.inherited_from)
    return both(*parts), {"parents": of_parents, "beside": beside}


async def _check_format(ctx: Context, view: View) -> None:
    (row,) = await ctx.query(statement("formats_kept"), list(view.loads))
    if not row["kept"]:
        raise UserError(
            "NO_FORMAT", "minDp and minGq need DP and GQ, which no visible callset keeps.", hint="Load it with vkg load vcf --keep-format."
        )
