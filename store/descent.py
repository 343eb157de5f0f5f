"""Carriers and lineages: haplotypes, or people, that segments join at one variant."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from .planes import ABSENT, ALT, MISSING, NO_NUMBER, Calls

T = TypeVar("T", bound=Hashable)
J = TypeVar("J")


@dataclass(frozen=True)
class Lineage(Generic[T, J]):
    """A connected component: its members, and the joins inside it."""

    members: list[T]
    joins: list[J]


def components(nodes: Iterable[T], joins: Iterable[tuple[T, T, J]]) -> list[Lineage[T, J]]:
    """The connected components of a graph, the largest first, else by their first node; members in the order of `nodes`."""
    root = {node: node for node in nodes}

    def find(node: T) -> T:
        while root[node] != node:
            root[node] = node = root[root[node]]
        return node

    kept = list(joins)
    for one, other, _ in kept:
        root[find(other)] = find(one)
    found: dict[T, Lineage[T, J]] = {}
    for node in root:
        found.setdefault(find(node), Lineage([], [])).members.append(node)
    for one, _, join in kept:
        found[find(one)].joins.append(join)
    return sorted(found.values(), key=lambda lineage: -len(lineage.members))


def haplotypes(calls: Calls, people: Sequence[int]) -> dict[tuple[int, int], int] | None:
    """The allele of each called haplotype, (sample, 1 or 2), at one variant; None where some call does not say which haplotype has which allele.

    `calls` are of one variant, and `people` their samples. A call of one allele is haplotype 1, also for segments that call it 2: `haploid`.
    """
    if 0 in calls.texts:
        return None
    alleles = calls.alleles[0]
    unknown = (alleles[:, 0] != alleles[:, 1]) & (alleles[:, 1] != ABSENT)
    placed = calls.phased[0]
    if calls.phase_sets is not None:
        placed = placed & (calls.phase_sets[0] == NO_NUMBER)
    if (unknown & ~placed).any():
        return None
    return {
        (people[place], slot + 1): int(alleles[place, slot])
        for place, slot in np.argwhere((alleles != MISSING) & (alleles != ABSENT)).tolist()
    }


def haploid(calls: Calls, people: Sequence[int]) -> set[int]:
    """Whose calls at one variant have one allele."""
    return {people[place] for place in np.flatnonzero(calls.alleles[0, :, 1] == ABSENT).tolist()}


def carriers(calls: Calls, people: Sequence[int]) -> list[int]:
    """Who has the ALT at one variant."""
    return [people[place] for place in np.flatnonzero((calls.alleles[0] == ALT).any(axis=1)).tolist()]


@dataclass(frozen=True)
class Joined(Generic[T]):
    """Segments between nodes: those whose ends agree, (one, other, segment), and the ends of those where they don't."""

    equal: list[tuple[T, T, Any]]
    unequal: list[tuple[T, T]]


def joined(segments: Iterable[tuple[T, T, Any]], allele: dict[T, int]) -> Joined[T]:
    """The segments between nodes of equal alleles. Those with an end that is no node count for nothing."""
    found: Joined[T] = Joined([], [])
    for one, other, segment in segments:
        if one in allele and other in allele:
            if allele[one] == allele[other]:
                found.equal.append((one, other, segment))
            else:
                found.unequal.append((one, other))
    return found
