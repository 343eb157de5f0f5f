"""Carriers of a variant by descent, and frequencies that count lineages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

import numpy as np
import strawberry

from store.descent import Segments, alleles, carriers, carriers_joined, lineages, people_joined
from store.genotype import PLANES
from store.ibd import OVER, RUN
from store.planes import Calls, decode
from store.read import compose, ordered_columns, where
from store.sample import CALLSET, SAMPLE
from store.statements import statement

from .context import Context, View
from .errors import UserError
from .ibd import IBDRun, IBDSegment, runs, runs_of
from .link import Ask, Connection, Ref, computed, define, leaf, link, listed
from .page import checked_size
from .sample import Callset, Sample

MOST_SEGMENTS = 50_000
"""Most segments of one run over one variant that are joined; 2,500 people have some thousand."""

_AT_ONCE = 20
"""Variants whose segments are in memory together."""


@define
@strawberry.enum(description="What is joined by descent.")
class DescentBasis(Enum):
    HAPLOTYPES = strawberry.enum_value(
        "HAPLOTYPES", description="Haplotypes: the run says which it joins, and the callset in which it found them says which carry what."
    )
    PEOPLE = strawberry.enum_value(
        "PEOPLE",
        description="People: haplotypes are not known. Two carriers may share a stretch, and carry the variant on another haplotype.",
    )


@define
@strawberry.type(description="A carrier in a group: a haplotype, or a person where haplotypes are not known.")
class DescentMember:
    sample_id: strawberry.Private[int]
    haplotype: int | None = leaf("The haplotype that carries the variant, 1 or 2, in the callset; null where haplotypes are not known.")

    @link(SAMPLE, by="pk", on="sample_id", access="individual")
    def sample(ctx: Context) -> Sample:
        """The person."""
        return Ask()


@define
@strawberry.type(
    description="Carriers who have a variant from one ancestor, as far as segments show: a connected component of sharing over it."
)
class DescentGroup:
    segment_keys: strawberry.Private[tuple[str, ...]]
    all_members: strawberry.Private[list[DescentMember]]
    size: int = leaf("Haplotypes, or people where haplotypes are not known.")
    sample_count: int = leaf("People.")
    segment_count: int = leaf("Segments that join them.")

    @listed
    def members(self) -> Connection[DescentMember]:
        """The carriers, in the order of the callset."""
        return self.all_members

    @computed(on="segment_keys")
    async def segments(
        ctx: Context, view: View, keys: Sequence[tuple[str, ...]],
        *, first: Annotated[int, strawberry.argument(description="How many, at most 1,000.")] = 50,
    ) -> list[IBDSegment]:  # fmt: skip
        """The segments that join them, longest first. `ibdSharing` has all over the variant."""
        checked_size(first, "first")
        return [(key, Ref("IBDSegment", each)) for key in keys for each in key[:first]]


@define
@strawberry.type(description="The carriers of a variant, grouped by descent.")
class CarriersByDescent:
    run_id: strawberry.Private[int]
    callset_id: strawberry.Private[int]
    all_groups: strawberry.Private[list[DescentGroup]]
    basis: DescentBasis = leaf("What is grouped.")
    carrier_count: int = leaf("People who carry it.")
    haplotype_count: int | None = leaf("Haplotypes that carry it; null where haplotypes are not known.")
    group_count: int = leaf("Groups, those of one carrier too.")
    joins: int = leaf("Segments over the variant between carriers.")
    unequal_joins: int | None = leaf(
        "Segments over the variant between a haplotype that carries it and one that does not; null where haplotypes are not known."
    )

    @listed
    def groups(
        self, *, min_size: Annotated[int, strawberry.argument(description="Only groups of at least this size.")] = 1
    ) -> Connection[DescentGroup]:  # fmt: skip
        """The groups, the largest first."""
        return [group for group in self.all_groups if group.size >= min_size]

    @link(RUN, by="pk", on="run_id")
    def run(ctx: Context) -> IBDRun:
        """The run whose segments join them."""
        return Ask()

    @link(CALLSET, by="pk", on="callset_id")
    def callset(ctx: Context) -> Callset:
        """The callset that says who carries it."""
        return Ask()


@define
@strawberry.type(
    description="How common a variant is among lineages: connected components of sharing by descent over it, of all called haplotypes, carriers or "
    "not, joined by segments of one run between haplotypes of equal allele. Relatives then count once. (To collapse carriers alone would be biased.) "
    "Segments of homozygosity by descent join nothing. Of a population those lineages count that have a member of it."
)
class IBDWeightedFrequency:
    run_id: strawberry.Private[int]
    callset_id: strawberry.Private[int]
    frequency: float = leaf("Lineages that carry ALT over all lineages, 0 to 1.")
    carrier_lineages: int = leaf("Lineages that carry ALT.")
    lineages: int = leaf("All lineages.")
    allele_count: int = leaf("Haplotypes that carry ALT, each counted.")
    allele_number: int = leaf("Haplotypes called.")
    raw_frequency: float = leaf("alleleCount / alleleNumber.")
    joins: int = leaf("Segments over the variant between haplotypes of equal allele.")
    unequal_joins: int = leaf(
        "Segments over it between haplotypes of unequal allele: errors of calls, phase or segments, or a new mutation. They join nothing."
    )
    population: str | None = leaf("The population asked for; null for everybody.")
    min_length_cm: float = leaf("Least length of the segments counted, in cM.")

    @link(RUN, by="pk", on="run_id")
    def run(ctx: Context) -> IBDRun:
        """The run."""
        return Ask()

    @link(CALLSET, by="pk", on="callset_id")
    def callset(ctx: Context) -> Callset:
        """The callset in which the run found its segments."""
        return Ask()


# ---- reading


@dataclass(frozen=True)
class _Site:
    """One variant: its genotypes in one callset, whose samples are `people` (rows of people_of_callset), and the segments over it of one run.
    `own`: the run found its segments in that callset, and says which haplotypes they join."""

    run: int
    callset: int
    own: bool
    genotypes: dict[str, Any]
    people: list[Any]
    segments: list[Any]

    def calls(self) -> Calls:
        """The calls of all people."""
        return decode([self.genotypes], len(self.people))

    def numbers(self) -> np.ndarray:
        """The samples in the order of their calls."""
        return np.array([person["sample_id"] for person in self.people], np.int64)

    def ends(self) -> Segments:
        """The segments as arrays."""
        return Segments(*(np.array([row[place] or 0 for row in self.segments], np.int64) for place in range(len(_ENDS))))


async def by_descent(
    ctx: Context, view: View, keys: Sequence[int], source: str | None, min_length: float
) -> list[tuple[int, CarriersByDescent]]:
    """Carriers by descent of variants; none for those of which no visible run and callset speak."""
    sites = _sites(ctx, view, keys, source, min_length, None)
    return [(key, await asyncio.to_thread(_carriers, site)) async for key, site in sites]


async def weighted(
    ctx: Context, view: View, keys: Sequence[int], source: str | None, min_length: float, population: str | None
) -> list[tuple[int, IBDWeightedFrequency]]:
    """Frequencies among lineages; none where haplotypes are not known, or none is called."""
    sites = _sites(ctx, view, keys, source, min_length, population)
    found = [(key, await asyncio.to_thread(_frequency, site, population, min_length)) async for key, site in sites]
    return [(key, frequency) for key, frequency in found if frequency is not None]


async def _sites(
    ctx: Context, view: View, keys: Sequence[int], source: str | None, min_length: float, population: str | None
) -> AsyncIterator[tuple[int, _Site]]:
    """Each variant that a visible run and a callset of its cohort speak of: the latest run, and the callset in which it found its segments, else
    the latest of its cohort that has the variant. Raises UserError TOO_MANY_SEGMENTS."""
    chosen = await runs_of(ctx, view, source)
    visible = [run for run in reversed(await runs(ctx, view)) if run["of_pairs"] and (chosen is None or run["load_id"] in chosen)]
    bound = view.bound
    cohorts = {row["load_id"]: row["cohort"] for row in await ctx.query(statement("callset_cohorts"), bound["loads"])} if visible else {}
    people: dict[int, list[Any]] = {}
    columns = ordered_columns(PLANES, PLANES.columns)
    read, values = compose(PLANES, "variant", columns=columns, order="load", filter=where(load=list(cohorts)), mode="all")
    for start in range(0, len(keys) if cohorts else 0, _AT_ONCE):
        some = list(keys[start : start + _AT_ONCE])
        rows: dict[int, dict[int, Any]] = {}
        for row in await ctx.fetch(read, values | bound | {"keys": some}, "individual"):
            genotypes = dict(zip(columns, row[2:], strict=True))
            rows.setdefault(row[0], {})[genotypes["load_id"]] = genotypes
        picked = {key: pick for key in some if (pick := _pick(rows.get(key, {}), visible, cohorts))}
        segments: dict[int, list[Any]] = {}
        for run in sorted({run for run, *_ in picked.values()}):
            segments |= await _segments(ctx, view, [key for key, pick in picked.items() if pick[0] == run], run, min_length)
        for key, (run, callset, own) in picked.items():
            if callset not in people:
                asked = [population] if population is not None else None
                people[callset] = await ctx.query_individual(view, statement("people_of_callset"), callset, asked, bound["loads"])
            if ctx.people is not None:
                ctx.people.update(person["sample_id"] for person in people[callset])
            yield key, _Site(run, callset, own, rows[key][callset], people[callset], segments.get(key, []))


def _pick(rows: dict[int, Any], visible: Sequence[Any], cohorts: dict[int, str]) -> tuple[int, int, bool] | None:
    """(run, callset, whether the run says which of its haplotypes are joined) to speak of a variant that has genotypes in these callsets."""
    for run in visible:
        if run["callset_id"] in rows:
            return run["load_id"], run["callset_id"], run["phased"]
        if others := [load for load in rows if cohorts[load] == run["cohort"]]:
            return run["load_id"], max(others), False
    return None


_ENDS = ("sample1_id", "haplotype1", "sample2_id", "haplotype2")
_WHICH = ("load_id", "file", "line")  # as in OVER's order, behind the length


async def _segments(ctx: Context, view: View, keys: Sequence[int], run: int, min_length: float) -> dict[int, list[Any]]:
    """By variant the segments over it of a run, longest first: rows of _ENDS and _WHICH."""
    asked = where(run=[run], min_length=min_length or None)
    read, values = compose(OVER, "variant", columns=_ENDS, order="length", filter=asked, per_parent=True)
    width = 1 + len(OVER.orders["length"].columns)
    places = [*(width + ordered_columns(OVER, _ENDS).index(name) for name in _ENDS), *range(width - len(_WHICH), width)]
    found: dict[int, list[Any]] = {}
    for row in await ctx.fetch(read, values | view.bound | {"keys": list(keys), "limit": MOST_SEGMENTS + 1}, "individual"):
        found.setdefault(row[0], []).append([row[place] for place in places])
    if any(len(rows) > MOST_SEGMENTS for rows in found.values()):
        raise UserError(
            "TOO_MANY_SEGMENTS", f"More than {MOST_SEGMENTS:,} segments of one run lie over one variant.", value=min_length,
            hint="Count only longer ones: minLengthCm.",
        )  # fmt: skip
    return found


def _carriers(site: _Site) -> CarriersByDescent:
    calls, people = site.calls(), site.numbers()
    carrying = carriers(calls)
    allele = alleles(calls) if site.own else None
    if allele is None:
        groups = people_joined(site.ends(), people, carrying)
        members = [[DescentMember(sample_id=number, haplotype=None) for number in people[nodes].tolist()] for nodes in groups.nodes]
    else:
        groups = carriers_joined(site.ends(), people, allele)
        members = [
            [DescentMember(sample_id=int(people[node // 2]), haplotype=node % 2 + 1) for node in nodes.tolist()] for nodes in groups.nodes
        ]
    made = [
        DescentGroup(
            segment_keys=tuple(_key(site.segments[place]) for place in segments.tolist()),
            all_members=found,
            size=len(found),
            sample_count=len({member.sample_id for member in found}),
            segment_count=len(segments),
        )
        for found, segments in zip(members, groups.segments, strict=True)
    ]
    return CarriersByDescent(
        run_id=site.run,
        callset_id=site.callset,
        all_groups=made,
        basis=DescentBasis.PEOPLE if allele is None else DescentBasis.HAPLOTYPES,
        carrier_count=len(carrying),
        haplotype_count=None if allele is None else sum(group.size for group in made),
        group_count=len(made),
        joins=sum(group.segment_count for group in made),
        unequal_joins=groups.unequal,
    )


def _key(segment: Sequence[Any]) -> str:
    """The key of a segment, as the Read SEGMENT has it, of a row of _ENDS and _WHICH."""
    sample1, _, sample2, *_ = segment
    return ".".join(map(str, (sample1, sample2, *segment[len(_ENDS) :])))


def _frequency(site: _Site, population: str | None, min_length: float) -> IBDWeightedFrequency | None:
    allele = alleles(site.calls()) if site.own else None
    if allele is None:
        return None
    found = lineages(site.ends(), site.numbers(), allele, np.array([person["counts"] for person in site.people], bool))
    if not found.haplotypes:
        return None
    return IBDWeightedFrequency(
        run_id=site.run,
        callset_id=site.callset,
        frequency=found.carrying / found.all,
        carrier_lineages=found.carrying,
        lineages=found.all,
        allele_count=found.haplotypes_carrying,
        allele_number=found.haplotypes,
        raw_frequency=found.haplotypes_carrying / found.haplotypes,
        joins=found.joins,
        unequal_joins=found.unequal,
        population=population,
        min_length_cm=min_length,
    )
