"""Counting alleles: from calls to the counts of each population that the samples are known to belong to.

AC and AN are those of `bcftools +fill-tags`: AN counts the alleles that were called, whatever the ploidy of the call. (Of calls of more than
two alleles, where bcftools 1.16 counts equal ones once, they are those of `+fill-AN-AC`.)
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from store.planes import ABSENT, Calls, pack, set_bits
from store.sample import Known

ALL = "ALL"

_FIRST = np.uint8(0b01010101)
"""The first slot of each call."""

_FEW = 250
"""Slots that are set in a row, up to which they are looked at one by one: with more, all slots of each group are faster."""


class Counts(NamedTuple):
    """(variants, populations) int: ALT alleles, called alleles, individuals whose alleles are all ALT, and haploid calls of ALT."""

    ac: np.ndarray
    an: np.ndarray
    hom: np.ndarray
    hemi: np.ndarray


class Populations:
    """Who is counted where. `names`: everybody (ALL), then the larger populations that those of the samples are part of, at any depth, and
    those of the samples, each sorted.

    `digest` tells one division of the samples from another, None where nothing is known of them; `known` is of how many it is. `smallest` is how many
    people the smallest group has that the counts tell apart: those of one population, or of whom nothing is known.
    """

    def __init__(self, samples: Sequence[str], known: Known, *, everybody: bool = True) -> None:
        """Without `everybody`, ALL is left out."""
        own = [known.population.get(name) for name in samples]
        groups = sorted({name for name in own if name is not None})
        chains = [_chain(name, known.super_population) for name in groups]
        every = (ALL,) if everybody else ()
        within = [{*every}, *({*every, *chain} for chain in chains)]
        self.known = sum(name is not None for name in own)
        larger = dict(itertools.chain.from_iterable(map(itertools.pairwise, chains)))
        self.digest = hashlib.sha256(json.dumps([own, larger], sort_keys=True).encode()).hexdigest() if groups else None
        names = dict.fromkeys([*every, *sorted(set(larger.values())), *groups])
        self.names = list(names)
        # A sample is of one group, the first of which are those of whom nothing is known; a group is of several populations.
        number = {name: place for place, name in enumerate(groups, 1)}
        self._group = np.array([number.get(name or "", 0) for name in own], np.int64)
        self.smallest = int(min(filter(None, np.bincount(self._group)), default=0))
        self._of_slot = np.repeat(self._group, 2)
        self._within = np.array([[name in populations for name in names] for populations in within], np.int64)
        self._masks = _eights(pack(self._of_slot == np.arange(len(within))[:, None]))
        self._slots = 2 * np.bincount(self._group, minlength=len(within)) @ self._within

    def count(self, calls: Calls) -> Counts:
        """The counts of calls of these samples."""
        v, n, _ = calls.alleles.shape
        others = calls.others
        slots = calls.alleles[others].reshape(len(others), 2 * n)
        lowest = slots.min(axis=1, initial=0)
        ac = self._sum(calls.alt)
        an = np.tile(self._slots, (v, 1))
        uncalled = np.flatnonzero(lowest < 0)
        an[others[uncalled]] -= self._sum(pack(slots[uncalled] < 0))
        hom = self._sum(calls.alt & calls.alt >> 1 & _FIRST)
        hemi = np.zeros_like(ac)
        haploid = np.flatnonzero(lowest == ABSENT)
        hemi[others[haploid]] = self._sum(calls.alt[others[haploid]] & pack(slots[haploid] == ABSENT) >> 1 & _FIRST)
        for row, texts in calls.texts.items():  # the slots don't hold all alleles
            ac[row] = np.bincount(self._group, [text.count("1") for text in texts], len(self._within)) @ self._within
            an[row] = np.bincount(self._group, [sum(map(text.count, "012")) for text in texts], len(self._within)) @ self._within
        return Counts(ac, an, hom, hemi)

    def _sum(self, planes: np.ndarray) -> np.ndarray:
        """(rows, populations) how many of each one's slots are set in planes, which are rows of bytes."""
        total = np.bitwise_count(planes).sum(axis=1, dtype=np.int64)
        groups = len(self._within)
        found = np.zeros((len(planes), groups), np.int64)
        if groups == 1:
            found[:, 0] = total
            return found @ self._within
        few = total <= _FEW
        row, slot = set_bits(planes[few])
        found[few] = np.bincount(row * groups + self._of_slot[slot], minlength=np.count_nonzero(few) * groups).reshape(-1, groups)
        many = _eights(planes[~few])
        for group, mask in enumerate(self._masks):
            found[~few, group] = np.bitwise_count(many & mask).sum(axis=1, dtype=np.int64)
        return found @ self._within


def _eights(planes: np.ndarray) -> np.ndarray:
    """Rows of bytes as rows of uint64."""
    padded = np.zeros((len(planes), -(-planes.shape[1] // 8) * 8), np.uint8)
    padded[:, : planes.shape[1]] = planes
    return padded.view(np.uint64)


def _chain(name: str, within: Mapping[str, str]) -> list[str]:
    """A population and the larger ones that it is part of, one after the other. Files that contradict each other may close a ring: it ends there."""
    chain = [name]
    while (larger := within.get(chain[-1])) is not None and larger not in chain:
        chain.append(larger)
    return chain
