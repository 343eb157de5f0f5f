"""Carriers and lineages: haplotypes, or people, that segments join at one variant.

Person i of a callset has the nodes 2i and 2i + 1, one for each haplotype; where haplotypes are not known, person i is the node i.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .planes import ABSENT, ALT, NO_NUMBER, REF, Calls

NOBODY = -1
"""The node of whom the callset does not have."""


@dataclass(frozen=True)
class Segments:
    """Segments over a variant: numbers of samples, and which haplotype (1 or 2) of each they join, where they say; (m,) int each."""

    sample1: np.ndarray
    haplotype1: np.ndarray
    sample2: np.ndarray
    haplotype2: np.ndarray


@dataclass(frozen=True)
class Groups:
    """Nodes joined by segments: the nodes of each group, the largest first, else by their first node; the places of the segments in it; and how
    many segments join a node to one that was left out for its allele, None where haplotypes are not known."""

    nodes: list[np.ndarray]
    segments: list[np.ndarray]
    unequal: int | None


@dataclass(frozen=True)
class Lineages:
    """Components of haplotypes of equal allele, how many of them carry ALT, the same of haplotypes, and the segments that join equal and unequal
    ones."""

    all: int
    carrying: int
    haplotypes: int
    haplotypes_carrying: int
    joins: int
    unequal: int


def components(count: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(count,) the lowest node that each node hangs together with, by the joins of `one` and `other`, both (m,) nodes.

    Each round hooks the roots of both ends of every join to the lower one, then shortens all paths to their roots.
    """
    root = np.arange(count)
    while (root[one] != root[other]).any():
        low = np.minimum(root[one], root[other])
        np.minimum.at(root, root[one], low)
        np.minimum.at(root, root[other], low)
        while (root[root] != root).any():
            root = root[root]
    return root


def alleles(calls: Calls) -> np.ndarray | None:
    """(2n,) the allele of each haplotype at one variant; None where some call does not say which haplotype has which.

    `calls` are of one variant. A call of one allele is haplotype 1, and the other one ABSENT.
    """
    found = calls.alleles[0]
    placed = calls.phased[0]
    if calls.phase_sets is not None:
        placed = placed & (calls.phase_sets[0] == NO_NUMBER)
    several = (found[:, 0] != found[:, 1]) & (found[:, 1] != ABSENT)
    return None if 0 in calls.texts or (several & ~placed).any() else found.ravel()


def carriers(calls: Calls) -> np.ndarray:
    """The places of the people who have the ALT at one variant."""
    return np.flatnonzero((calls.alleles[0] == ALT).any(axis=1))


def people_joined(segments: Segments, people: np.ndarray, carrying: np.ndarray) -> Groups:
    """The carriers, given by their places among `people`, grouped by the segments between them."""
    chosen = np.zeros(len(people), bool)
    chosen[carrying] = True
    return _groups(_place(people, segments.sample1), _place(people, segments.sample2), chosen, None)


def carriers_joined(segments: Segments, people: np.ndarray, allele: np.ndarray) -> Groups:
    """The haplotypes that carry ALT, grouped by the segments between them."""
    one, other = _ends(segments, people, allele)
    held = _held(allele)
    chosen = held == ALT
    inside = (held[one] >= REF) & (held[other] >= REF)
    return _groups(one, other, chosen[:-1], int((inside & (chosen[one] != chosen[other])).sum()))


def lineages(segments: Segments, people: np.ndarray, allele: np.ndarray, counts: np.ndarray) -> Lineages:
    """The lineages of all haplotypes, and of them those with a member that `counts`, (n,) bool by person."""
    one, other = _ends(segments, people, allele)
    held, counted = _held(allele), np.append(np.repeat(counts, 2), False)
    inside = (held[one] >= REF) & (held[other] >= REF) & (counted[one] | counted[other])
    called = (held[one] >= REF) & (held[one] == held[other])
    root = components(len(allele), one[called], other[called])
    mine = counted[:-1] & (allele >= REF)
    carrying = mine & (allele == ALT)
    equal = held[one] == held[other]
    return Lineages(
        len(np.unique(root[mine])), len(np.unique(root[carrying])), int(mine.sum()), int(carrying.sum()),
        int((inside & equal).sum()), int((inside & ~equal).sum()),
    )  # fmt: skip


def _held(allele: np.ndarray) -> np.ndarray:
    """The alleles, and behind them what NOBODY has."""
    return np.append(allele, np.int8(ABSENT))


def _place(people: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Places of samples among people, NOBODY for those who are not there."""
    if not len(people):
        return np.full(len(samples), NOBODY)
    order = np.argsort(people)
    place = order[np.searchsorted(people, samples, sorter=order).clip(max=len(people) - 1)]
    return np.where(people[place] == samples, place, NOBODY)


def _ends(segments: Segments, people: np.ndarray, allele: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nodes of the ends of segments. Who has one allele has one haplotype, whatever the segment says."""
    alone = np.append(allele[1::2] == ABSENT, False)

    def node(samples: np.ndarray, haplotype: np.ndarray) -> np.ndarray:
        place = _place(people, samples)
        return np.where(place == NOBODY, NOBODY, 2 * place + np.where(alone[place], 0, haplotype - 1))

    return node(segments.sample1, segments.haplotype1), node(segments.sample2, segments.haplotype2)


def _groups(one: np.ndarray, other: np.ndarray, chosen: np.ndarray, unequal: int | None) -> Groups:
    there = np.append(chosen, False)
    joins = np.flatnonzero(there[one] & there[other])
    root = components(len(chosen), one[joins], other[joins])
    nodes = np.flatnonzero(chosen)
    nodes = nodes[np.argsort(root[nodes], kind="stable")]
    roots, first, sizes = np.unique(root[nodes], return_index=True, return_counts=True)
    joins = joins[np.argsort(root[one[joins]], kind="stable")]
    begin = np.searchsorted(root[one[joins]], roots, side="left")
    end = np.searchsorted(root[one[joins]], roots, side="right")
    order = np.argsort(-sizes, kind="stable")
    return Groups([nodes[first[i] : first[i] + sizes[i]] for i in order], [np.sort(joins[begin[i] : end[i]]) for i in order], unequal)
