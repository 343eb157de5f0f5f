"""One GT that is not one or two alleles of one digit: read from its text, and told in two alleles where it has more.

Source: the VCF specification, 1.6.2 of version 4.3; a mark before the first allele (`/0/1`, `|1`) is of version 4.4.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from store.planes import ABSENT, ALT, MISSING, OTHER, REF

_CALL = re.compile(rb"([|/]?)([0-9]{1,9}|\.)((?:[|/](?:[0-9]{1,9}|\.))*)")
_ALLELE = re.compile(rb"[0-9]+|\.")
_SHOWN = {REF: "0", ALT: "1", OTHER: "2", MISSING: "."}


class Call(NamedTuple):
    """A genotype: its alleles, MISSING or numbers in the record, and the marks around them, one before each; the first may be empty."""

    alleles: tuple[int, ...]
    marks: tuple[str, ...]

    @classmethod
    def parse(cls, text: bytes) -> Call | None:
        """The call that a GT says, None where it is no genotype."""
        found = _CALL.fullmatch(text)
        if not found:
            return None
        alleles = tuple(MISSING if a == b"." else int(a) for a in _ALLELE.findall(text))
        return cls(alleles, (found[1].decode(), *re.findall("[|/]", found[3].decode())))

    @property
    def plain(self) -> bool:
        """True where two slots and whether it is phased say all of it."""
        return len(self.alleles) <= 2 and not self.marks[0]

    @property
    def phased(self) -> bool:
        """True where it has several alleles, all of them phased."""
        return len(self.alleles) > 1 and set(self.marks[1:]) == {"|"}

    def relative(self, allele: int) -> tuple[int, ...]:
        """Its alleles as REF, ALT, OTHER and MISSING, where ALT is the allele with this number."""
        return tuple(ALT if a == allele else OTHER if a > 0 else a for a in self.alleles)

    def text(self, allele: int) -> str:
        """VCF text with 0 REF, 1 the allele with this number, 2 another ALT."""
        return "".join(mark + _SHOWN[a] for mark, a in zip(self.marks, self.relative(allele), strict=True))

    def pair(self, allele: int) -> tuple[int, int]:
        """Two alleles of the same zygosity: of more than two, those that say most, ALT before OTHER before MISSING; REF stands first."""
        alleles = self.relative(allele)
        if len(alleles) == 1:
            return alleles[0], ABSENT
        if len(alleles) == 2:
            return alleles[0], alleles[1]
        kinds = [kind for kind in (ALT, OTHER, MISSING, REF) if kind in alleles]
        first, second = (kinds * 2)[:2]
        return (second, first) if second == REF else (first, second)
