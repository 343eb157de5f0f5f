"""Regions, and every conversion between 0-based and 1-based coordinates: nowhere else is that arithmetic done.

Outside, positions are 1-based and ends inclusive. VariantKeys hold 0-based positions. End coordinates are the same
number in the 0-based half-open and the 1-based inclusive system; only starts differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .assembly import NAMES, chrom
from .errors import InvalidName

SIGN = 1 << 63
MAX_POS = (1 << 28) - 1
"""Positions have 28 bits in a VariantKey; no human chromosome is longer than 249 Mb."""

N = TypeVar("N", int, np.ndarray)

_REGION = re.compile(r"([^:\s]+)(?::([\d,_]+)(?:(-|\.\.)([\d,_]*))?)?")


def pos0(pos: N) -> N:
    """The 0-based position of a 1-based one; of each, for an array."""
    return pos - 1


def pos1(pos0: int) -> int:
    """The 1-based position of a 0-based one."""
    return pos0 + 1


def locus_key(chrom: int, pos: int) -> int:
    """The lowest (signed) variant key at a 1-based position: the twin of the SQL function of the same name."""
    return ((chrom << 59) | (max(pos0(pos), 0) << 31)) - SIGN


LENGTH_CLASSES = "generate_series(0, 28) c"
"""SQL of all classes of lengths: no chromosome is longer than the last."""


def classes_there(table: str, keys: str) -> str:
    """SQL of the classes of lengths that a table with an index on (chrom, length_class) has on the chromosomes of some variant keys.

    One look into the index for each class: computed once in a statement, it saves one for each variant and class that is not there.
    """
    there = f"SELECT min(x.length_class) FROM {table} x WHERE x.chrom = s.chrom"
    return f"""unnest(ARRAY(WITH RECURSIVE s AS (SELECT s.chrom, ({there}) AS class FROM (SELECT DISTINCT ((key # (1::bigint << 63)) >> 59 & 31)::smallint AS chrom
        FROM unnest({keys}::bigint[]) key) s UNION ALL SELECT s.chrom, ({there} AND x.length_class > s.class) FROM s WHERE s.class IS NOT NULL)
        SELECT DISTINCT s.class FROM s WHERE s.class IS NOT NULL)) c"""


def length_class(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Bits of the difference of the ends: a stretch of class c that covers a position p begins after p - 2^c, and not after p."""
    return np.frexp(np.asarray(end, np.float64) - start)[1].astype(np.int16)


@dataclass(frozen=True)
class Region:
    """A stretch of one chromosome: `chrom` is a code (1-25), `start` and `end` are 1-based and inclusive."""

    chrom: int
    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Region:
        """Reads `20`, `chr20:1897442`, `20:1,000,000-2,000,000`, `20:1000000-` (to the end) or `20:1..5`.

        Raises InvalidName where the text is not a region, or its end lies before its start.
        """
        found = _REGION.fullmatch(text.strip())
        if not found:
            raise InvalidName(f"not a region: {text!r}", "Write CHROM:START-END, 1-based and inclusive, such as 20:1897000-1898000.")
        name, first, dash, last = found.groups()
        start = _position(first, text) if first else 1
        end = _position(last, text) if last else MAX_POS if dash or not first else start
        if start < 1:
            raise InvalidName(f"position {start} in {text!r}: positions begin at 1", "Positions are 1-based.")
        if end < start:
            raise InvalidName(f"the end of {text!r} lies before its start", "Write CHROM:START-END with START <= END.")
        return cls(chrom(name), start, min(end, MAX_POS))

    def keys(self) -> tuple[int, int]:
        """The half-open range [lo, hi) of the keys of all variants whose position lies in the region."""
        return locus_key(self.chrom, self.start), locus_key(self.chrom, self.end + 1)

    def __len__(self) -> int:
        """Length in bases."""
        return self.end - self.start + 1

    def __str__(self) -> str:
        return f"{NAMES[self.chrom - 1]}:{self.start}-{self.end}"


def _position(digits: str, text: str) -> int:
    value = digits.replace(",", "").replace("_", "")
    if not value or len(value) > 10:
        raise InvalidName(f"not a position: {digits!r} in {text!r}", "Positions are whole numbers of at most nine digits.")
    return int(value)
