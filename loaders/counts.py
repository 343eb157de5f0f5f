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

from store.planes import ABSENT, ALT, Calls
from store.sample import Known

ALL = "ALL"

_HOM, _HEMI = (int(np.array(pair, np.int8).view(np.int16)[0]) for pair in ((ALT, ALT), (ALT, ABSENT)))


class Counts(NamedTuple):
    """(variants, populations) int: ALT alleles, called alleles, individuals whose alleles are all ALT, and haploid calls of ALT."""

    ac: np.ndarray
    an: np.ndarray
    hom: np.ndarray
    hemi: np.ndarray


class Populations:
    """Who is counted where. `names`: everybody (ALL), then the larger populations that those of the samples are part of, at any depth, and
    those of the samples, each sorted.

    `digest` tells one division of the samples from another, None where nothing is known of them; `known` is of how many it is.
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
        self._of_slot = np.repeat(self._group, 2)
        self._within = np.array([[name in populations for name in names] for populations in within], np.int64)
        self._slots = 2 * np.bincount(self._group, minlength=len(within)) @ self._within

    def count(self, calls: Calls) -> Counts:
        """The counts of calls of these samples."""
        v, n, _ = calls.alleles.shape
        slots = calls.alleles.reshape(v, 2 * n)
        calls_as_one = calls.alleles.view(np.int16)[:, :, 0]
        lowest = slots.min(axis=1, initial=0)
        ac = self._sum(slots == ALT, self._of_slot)
        an = np.tile(self._slots, (v, 1))
        uncalled = np.flatnonzero(lowest < 0)
        an[uncalled] -= self._sum(slots[uncalled] < 0, self._of_slot)
        hom = self._sum(calls_as_one == _HOM, self._group)
        hemi = np.zeros_like(ac)
        haploid = np.flatnonzero(lowest == ABSENT)
        hemi[haploid] = self._sum(calls_as_one[haploid] == _HEMI, self._group)
        for row, texts in calls.texts.items():  # the slots don't hold all alleles
            ac[row] = np.bincount(self._group, [text.count("1") for text in texts], len(self._within)) @ self._within
            an[row] = np.bincount(self._group, [sum(map(text.count, "012")) for text in texts], len(self._within)) @ self._within
        return Counts(ac, an, hom, hemi)

    def _sum(self, bits: np.ndarray, group: np.ndarray) -> np.ndarray:
        """(rows, populations) how many bits are set in each row; `group` says whose each column is."""
        groups = len(self._within)
        row, column = np.divmod(np.flatnonzero(bits), bits.shape[1])
        return np.bincount(row * groups + group[column], minlength=len(bits) * groups).reshape(-1, groups) @ self._within


def _chain(name: str, within: Mapping[str, str]) -> list[str]:
    """A population and the larger ones that it is part of, one after the other. Files that contradict each other may close a ring: it ends there."""
    chain = [name]
    while (larger := within.get(chain[-1])) is not None and larger not in chain:
        chain.append(larger)
    return chain
