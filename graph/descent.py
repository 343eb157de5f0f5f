"""Carriers of a variant by descent, and frequencies that count lineages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

import numpy as np
import strawberry

from store.descent import carriers, components, haploid, haplotypes, joined
from store.genotype import PLANES
from store.ibd import RUN
from store.planes import ALT, Calls, decode
from store.read import compose, ordered_columns, where
from store.sample import CALLSET, SAMPLE
from store.statements import statement

from .context import Context, View
from .ibd import IBDRun, IBDSegment, runs, runs_of
from .link import Ask, Ref, computed, define, leaf, link
from .page import checked_size
from .sample import Callset, Sample

_AT_ONCE = 20
"""Variants whose segments are in memory together: thousands each."""


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
    size: int = leaf("Haplotypes, or people where haplotypes are not known.")
    sample_count: int = leaf("People.")
    segment_count: int = leaf("Segments that join them.")
    members: list[DescentMember] = leaf("The carriers, in the order of the callset.")

    @computed(on="segment_keys")
    async def segments(
        ctx: Context, view: View, keys: Sequence[tuple[str, ...]],
        *, first: Annotated[int, strawberry.argument(description="How many, at most 1,000.")] = 50,
    ) -> list[IBDSegment]:  # fmt: skip
        """The segments that join them, in the order of their files."""
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

    @strawberry.field(description="The groups, the largest first.")
    def groups(
        self,
        first: Annotated[int, strawberry.argument(description="How many, at most 1,000.")] = 50,
        min_size: Annotated[int, strawberry.argument(description="Only groups of at least this size.")] = 1,
    ) -> list[DescentGroup]:
        checked_size(first, "first")
        found = [group for group in self.all_groups[:first] if group.size >= min_size]
        for part in (part for group in found for part in (group, *group.members)):
            part._view = self._view  # type: ignore[attr-defined]
        return found

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
    "Segments of homozygosity by descent join nothing."
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
    """One variant: its calls in one callset, whose samples are `people`, and the segments over it of one run. `own`: the run found its segments in it."""

    run: int
    callset: int
    own: bool
    calls: Calls
    people: list[int]
    segments: list[Any]


async def by_descent(
    ctx: Context, view: View, keys: Sequence[int], source: str | None, min_length: float
) -> list[tuple[int, CarriersByDescent]]:
    """Carriers by descent of variants; none for those of which no visible run and callset speak."""
    return [(key, _groups(site)) async for key, site in _sites(ctx, view, keys, source, min_length, None)]


async def weighted(
    ctx: Context, view: View, keys: Sequence[int], source: str | None, min_length: float, population: str | None
) -> list[tuple[int, IBDWeightedFrequency]]:
    """Frequencies among lineages; none where haplotypes are not known, or none is called."""
    found = [(key, _frequency(site, population, min_length)) async for key, site in _sites(ctx, view, keys, source, min_length, population)]
    return [(key, frequency) for key, frequency in found if frequency is not None]


async def _sites(
    ctx: Context, view: View, keys: Sequence[int], source: str | None, min_length: float, population: str | None
) -> AsyncIterator[tuple[int, _Site]]:
    """Each variant that a visible run and a callset of its cohort speak of: the latest run, and the callset in which it found its segments, else
    the latest of its cohort that has the variant."""
    chosen = await runs_of(ctx, view, source)
    visible = [run for run in reversed(await runs(ctx, view)) if chosen is None or run["load_id"] in chosen]
    loads = list(view.loads)
    cohorts = {row["load_id"]: row for row in await ctx.query(statement("callset_sizes"), loads)} if visible else {}
    people: dict[int, list[Any]] = {}
    for start in range(0, len(keys) if cohorts else 0, _AT_ONCE):
        some = list(keys[start : start + _AT_ONCE])
        rows: dict[int, dict[int, Any]] = {}
        columns = ordered_columns(PLANES, PLANES.columns)
        read, values = compose(PLANES, "variant", columns=columns, order="load", filter=where(load=list(cohorts)), mode="all")
        for row in await ctx.fetch(read, values | {"keys": some, "loads": loads}, "individual"):
            calls = dict(zip(columns, row[2:], strict=True))
            rows.setdefault(row[0], {})[calls["load_id"]] = calls
        picked = {key: pick for key in some if (pick := _pick(rows.get(key, {}), visible, cohorts))}
        segments: dict[int, list[Any]] = {}
        for run in sorted({run for run, *_ in picked.values()}):
            of_run = [key for key, pick in picked.items() if pick[0] == run]
            for row in await ctx.query_individual(loads, statement("segments_over"), of_run, [run], min_length):
                segments.setdefault(row["variant_key"], []).append(row)
        for key, (run, callset, own) in picked.items():
            if callset not in people:
                asked = [population] if population is not None else None
                people[callset] = await ctx.query_individual(loads, statement("people_of_callset"), callset, asked, loads)
            of_people = decode(
                [rows[key][callset]], cohorts[callset]["size"], np.array([row["ordinal"] for row in people[callset]], np.int64)
            )
            yield key, _Site(run, callset, own, of_people, [row["sample_id"] for row in people[callset]], segments.get(key, []))


def _pick(rows: dict[int, Any], visible: Sequence[Any], cohorts: dict[int, Any]) -> tuple[int, int, bool] | None:
    """(run, callset, whether the run found its segments in it) to speak of a variant that has rows of genotypes of these callsets."""
    for run in visible:
        own = run["callset_id"] if run["callset_id"] in rows else None
        others = [load for load in rows if cohorts[load]["cohort"] == run["cohort"]]
        if own is not None or others:
            return run["load_id"], own or max(others), bool(own and run["phased"])
    return None


def _segments(site: _Site, alone: set[int]) -> Iterator[tuple[tuple[int, int], tuple[int, int], Any]]:
    """The segments of a site between haplotypes; whoever has one allele, in `alone`, has one haplotype whatever the segment says."""
    for row in site.segments:
        one, other = (
            (row[who], 1 if row[who] in alone else row[slot]) for who, slot in (("sample_id", "haplotype"), ("other_id", "other_haplotype"))
        )
        yield one, other, row


def _groups(site: _Site) -> CarriersByDescent:
    carrying = carriers(site.calls, site.people)
    allele = haplotypes(site.calls, site.people) if site.own else None
    nodes: list[Any]
    if allele is None:
        nodes, unequal = [(person, None) for person in carrying], None
        there = set(carrying)
        joins = [
            ((row["sample_id"], None), (row["other_id"], None), row)
            for row in site.segments
            if row["sample_id"] in there and row["other_id"] in there
        ]
    else:
        nodes = [node for node, held in allele.items() if held == ALT]
        found = joined(_segments(site, haploid(site.calls, site.people)), allele)
        joins = [join for join in found.equal if allele[join[0]] == ALT]
        unequal = sum(1 for one, other in found.unequal if ALT in (allele[one], allele[other]))
    groups = components(nodes, joins)
    return CarriersByDescent(
        run_id=site.run,
        callset_id=site.callset,
        all_groups=[
            DescentGroup(
                segment_keys=tuple(map(_segment_key, sorted(lineage.joins, key=lambda row: (row["load_id"], row["file"], row["line"])))),
                size=len(lineage.members),
                sample_count=len({person for person, _ in lineage.members}),
                segment_count=len(lineage.joins),
                members=[DescentMember(sample_id=person, haplotype=slot) for person, slot in lineage.members],
            )
            for lineage in groups
        ],
        basis=DescentBasis.PEOPLE if allele is None else DescentBasis.HAPLOTYPES,
        carrier_count=len(carrying),
        haplotype_count=None if allele is None else len(nodes),
        group_count=len(groups),
        joins=len(joins),
        unequal_joins=unequal,
    )


def _segment_key(row: Any) -> str:
    """The key of a segment as the Read SEGMENT has it; the statement gives the lower number first."""
    return ".".join(str(row[name]) for name in ("sample_id", "other_id", "load_id", "file", "line"))


def _frequency(site: _Site, population: str | None, min_length: float) -> IBDWeightedFrequency | None:
    allele = haplotypes(site.calls, site.people) if site.own else None
    if not allele:
        return None
    found = joined(_segments(site, haploid(site.calls, site.people)), allele)
    lineages = [allele[lineage.members[0]] for lineage in components(allele, found.equal)]
    count, carrying = sum(held == ALT for held in allele.values()), sum(held == ALT for held in lineages)
    return IBDWeightedFrequency(
        run_id=site.run,
        callset_id=site.callset,
        frequency=carrying / len(lineages),
        carrier_lineages=carrying,
        lineages=len(lineages),
        allele_count=count,
        allele_number=len(allele),
        raw_frequency=count / len(allele),
        joins=len(found.equal),
        unequal_joins=len(found.unequal),
        population=population,
        min_length_cm=min_length,
    )
