"""Questions about a family: which of the variants that a sample carries came from whom."""

from __future__ import annotations

from enum import Enum

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
    FATHER = strawberry.enum_value("FATHER", description="The father carries it, and the mother was called without it.")
    MOTHER = strawberry.enum_value("MOTHER", description="The mother carries it, and the father was called without it.")
    BOTH = strawberry.enum_value("BOTH", description="Both carry it.")


@define
@strawberry.input(
    description="""Conditions on the calls of a sample's relatives in the same callset. All that are given must hold. Parents are those that
visible loads name (vkg load samples); where one is not in the callset, what would need its call does not hold.""".replace("\n", " ")
)
class FamilyFilter:
    de_novo: bool | None = strawberry.field(
        default=None,
        description="true: both parents were called, without the ALT. For one allele of X or MT only the mother counts, for Y only the father.",
    )
    homozygous_recessive: bool | None = strawberry.field(
        default=None,
        description="true: homozygous here, and heterozygous in each parent that is in the callset; or the one allele of X, and heterozygous in the mother.",
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


async def family_conditions(ctx: Context, view: View, f: FamilyFilter | None, of_partner: Filter) -> Filter:
    """The conditions of a filter; `of_partner` are those that the other variant of a compound heterozygote has to fulfil too.

    Raises UserError for an unknown sample, and for DP and GQ where no visible callset keeps them.
    """
    if f is None:
        return both()
    bounds = {"dp": f.min_dp, "gq": f.min_gq}
    bounded = any(bound is not None for bound in bounds.values())
    if bounded:
        await _check_format(ctx, view)
    inherited = f"from_{f.inherited_from.name.lower()}" if f.inherited_from else None
    asked = (("de_novo", f.de_novo), ("recessive", f.homozygous_recessive), (inherited, inherited), ("quality", bounded))
    parts: list[Filter] = [where(**{name: bounds}) for name, wanted in asked if name and wanted]
    if f.absent_in is not None:
        if not f.absent_in:
            raise UserError("BAD_FILTER", "absentIn: an empty list excludes nobody.", hint="Leave it out, or name at least one sample.")
        parts.append(where(absent_in=bounds | {"value": await sample_ids(ctx, view, f.absent_in)}))
    if f.compound_het:
        parts.append(("with", ("compound_het", bounds, both(of_partner))))
    return both(*parts)


async def _check_format(ctx: Context, view: View) -> None:
    (row,) = await ctx.query(statement("formats_kept"), list(view.loads))
    if not row["kept"]:
        raise UserError(
            "NO_FORMAT", "minDp and minGq need DP and GQ, which no visible callset keeps.", hint="Load it with vkg load vcf --keep-format."
        )
