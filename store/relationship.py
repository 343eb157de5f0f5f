"""How closely two people are related, from how much they share by descent.

Kinship is IBD1 / (4 L) + IBD2 / (2 L), where L is the length of the genome that was searched; the degree is the nearest power of one half, with
the bounds of Manichaikul et al. 2010 (Bioinformatics 26:2867, KING). How much chance varies it: relatives of degree d share segments whose number
is Poisson, with mean (d L / 100 + 22) / 2^(d - 1), and whose lengths are exponential (Huff et al. 2011, Genome Research 21:768, ERSA).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .assembly import LAST_AUTOSOME

LEAST_SURVEYED_CM = 2_500.0
"""With less of the autosomes searched, what two people share says nothing of how they are related."""

FURTHEST = 9
"""The furthest degree that sharing can tell from none."""

_PARENT_SHARED = 0.9  # a parent shares all, full siblings three quarters, on either or both haplotypes
_SPREAD = 1.96  # standard deviations on either side of the mean: 95 in 100


@dataclass(frozen=True)
class Estimate:
    """An estimate: kinship (0 to 0.5), the nearest degree and the nearest and furthest that agree with it; None: no relatives that could be told."""

    kinship: float
    degree: int | None
    nearest: int | None
    furthest: int | None
    relationship: str


def estimate(total_cm: float, ibd2_cm: float | None, surveyed_cm: float | None) -> Estimate | None:
    """The relationship of two people who share that much of the autosomes, in cM: on one haplotype or both, and on both (None: not known).

    None where too little was searched, or nobody said how much.
    """
    if surveyed_cm is None or surveyed_cm < LEAST_SURVEYED_CM:
        return None
    kinship = min((total_cm + (ibd2_cm or 0.0)) / (4 * surveyed_cm), 0.5)
    degree = _degree(kinship)
    agree = [d for d in range(1, FURTHEST + 1) if abs(kinship - 2.0 ** -(d + 1)) <= _SPREAD * _deviation(d, surveyed_cm)]
    if degree is not None:
        agree = sorted({*agree, degree, *((0,) if degree == 1 and ibd2_cm is None else ())})
    furthest = agree[-1] if agree and agree[-1] < FURTHEST else None
    return Estimate(kinship, degree, agree[0] if agree else None, furthest, _name(degree, total_cm / surveyed_cm, ibd2_cm is not None))


def _degree(kinship: float) -> int | None:
    degree = max(math.floor(-math.log2(kinship) - 0.5), 0) if kinship > 0 else FURTHEST + 1
    return degree if degree <= FURTHEST else None


def _deviation(degree: int, surveyed_cm: float) -> float:
    """Standard deviation of the kinship of relatives of a degree."""
    segments = (degree * surveyed_cm / 100 + LAST_AUTOSOME) / 2 ** (degree - 1)
    mean_cm = surveyed_cm / 2 ** (degree - 1) / segments
    return math.sqrt(2 * segments) * mean_cm / (4 * surveyed_cm)


def _name(degree: int | None, shared: float, told: bool) -> str:
    if degree is None:
        return "UNRELATED"
    if degree <= 1 and not told:
        return "FIRST_DEGREE"
    if degree == 1:
        return "PARENT_CHILD" if shared >= _PARENT_SHARED else "FULL_SIBLINGS"
    return ("IDENTICAL", "", "SECOND_DEGREE", "THIRD_DEGREE")[degree] if degree < 4 else "DISTANT"
