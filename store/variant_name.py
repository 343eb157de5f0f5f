"""The ways in which people name a variant, told apart by their form. No look-up is done here.

`chr17-43044295-G-A`, `17:43044295:G:A`, `17_43044295_G_A`, `chr17:43044295 G>A`, SPDI (`NC_000017.11:43044294:G:A`),
genomic HGVS (`NC_000017.11:g.43044295G>A`, also with chr17), transcript and protein HGVS, rsID, VariantKey in hex, and
a bare position (`17:43044295`), which names whatever is there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .assembly import Assembly, accession_assembly, chrom
from .errors import InvalidName
from .region import MAX_POS, pos1
from .variant_key import from_hex


@dataclass(frozen=True)
class Alleles:
    """Chromosome code, 1-based position, REF and ALT, as named: not normalised."""

    chrom: int
    pos: int
    ref: str
    alt: str


@dataclass(frozen=True)
class Edit:
    """A genomic HGVS change whose bases are in the reference: `start` to `end` (1-based, inclusive) deleted, duplicated or
    inverted (`kind` del, dup, inv, delins, ins), with the inserted bases, and the bases at `start` where the name says them."""

    chrom: int
    start: int
    end: int
    kind: str
    inserted: str
    stated: str = ""


@dataclass(frozen=True)
class Position:
    """Whatever is at a 1-based position."""

    chrom: int
    pos: int


@dataclass(frozen=True)
class RsId:
    """The number of a dbSNP rsID."""

    number: int


@dataclass(frozen=True)
class Key:
    """A variant key, signed."""

    key: int


@dataclass(frozen=True)
class TranscriptHgvs:
    """HGVS on a transcript (`column` hgvsc) or protein (hgvsp), as an annotation may hold it."""

    column: str
    text: str


Name = Alleles | Edit | Position | RsId | Key | TranscriptHgvs

HINT = "Write 20-1897442-C-T, rs4813331, NC_000020.10:g.1897442C>T, a 16-digit VariantKey, or a position such as 20:1897442."
LONGEST_EDIT = 10_000
"""Longest change read that does not spell its bases."""

LONGEST = 2_000
"""Longest name read, in characters."""

_ALLELES = re.compile(r"([A-Za-z0-9.]+(?:_\d+\.\d+)?)[-:_ ]([\d,]+)[-:_ ]?([ACGTNacgtn]+)[-:_>/ ]([ACGTNacgtn]+)")
_POSITION = re.compile(r"([A-Za-z0-9]+|NC_\d+\.\d+)[:-]([\d,]+)")
_SPDI = re.compile(r"(NC_\d+\.\d+):(\d+):([ACGTNacgtn]*|\d+):([ACGTNacgtn]*)", re.IGNORECASE)
_HGVS_G = re.compile(
    r"(NC_\d+\.\d+|(?:chr)?[0-9XYMTxymt]+):[gm]\.(\d+)(?:_(\d+))?(?:([ACGT]+)>([ACGT]+)|(delins|del|dup|ins|inv)([ACGT]*)(?:ins([ACGT]+))?)",
    re.IGNORECASE,
)
_HGVS_T = re.compile(r"[A-Za-z]+[_A-Za-z0-9.-]*(?:\([^)]*\))?:([cnp])\.\S+")


def parse_name(text: str, assembly: Assembly) -> Name:
    """Reads a name. Raises InvalidName with the reason for anything else, and for positions and accessions that the
    assembly does not have."""
    name = text.strip().removeprefix("Variant:")
    if not name:
        raise InvalidName("an empty name", HINT)
    if len(name) > LONGEST:
        raise InvalidName(f"a name of {len(name):,} characters", f"Names have at most {LONGEST:,}.")
    if (key := from_hex(name)) is not None:
        return Key(key)
    lower = name.lower()
    if lower.startswith("rs") and lower[2:].isascii() and lower[2:].isdigit():
        if len(lower) > 17:
            raise InvalidName(f"{text!r} is no rsID: the number is too long", HINT)
        return RsId(int(lower[2:]))
    if found := _SPDI.fullmatch(name):
        return _spdi(found, assembly)
    if found := _HGVS_G.fullmatch(name):
        return _genomic(found, assembly, text)
    if found := _HGVS_T.fullmatch(name):
        return TranscriptHgvs("hgvsp" if found[1] == "p" else "hgvsc", name)
    if found := _ALLELES.fullmatch(name):
        code = _chrom(found[1], assembly)
        return Alleles(code, _pos(found[2], code, assembly), found[3].upper(), found[4].upper())
    if found := _POSITION.fullmatch(name):
        code = _chrom(found[1], assembly)
        return Position(code, _pos(found[2], code, assembly))
    raise InvalidName(f"{text[:80]!r} is not the name of a variant", HINT)


def _spdi(found: re.Match[str], assembly: Assembly) -> Name:
    code = _chrom(found[1], assembly)
    pos = _pos(str(pos1(int(found[2]))), code, assembly)
    deleted, inserted = found[3].upper(), found[4].upper()
    if not deleted.isdigit() and deleted and inserted:
        return Alleles(code, pos, deleted, inserted)
    size = int(deleted) if deleted.isdigit() else len(deleted)
    if not size and not inserted:
        raise InvalidName(f"{found[0]!r} changes nothing", HINT)
    if not size:
        if pos == 1:
            raise InvalidName(f"{found[0]!r} inserts before the first base of a chromosome", "Name REF and ALT, as CHROM-POS-REF-ALT.")
        return _edit(code, pos - 1, pos, "ins", inserted)
    return _edit(code, pos, pos + size - 1, "delins" if inserted else "del", inserted, "" if deleted.isdigit() else deleted)


def _genomic(found: re.Match[str], assembly: Assembly, text: str) -> Name:
    accession, first, last, ref, alt, kind, bases, also = found.groups()
    code = _chrom(accession, assembly)
    start = _pos(first, code, assembly)
    end = _pos(last, code, assembly) if last else start
    if end < start:
        raise InvalidName(f"the end of {text!r} lies before its start", HINT)
    if ref:
        return Alleles(code, start, ref.upper(), alt.upper())
    kind, stated = kind.lower(), ""
    if kind in ("del", "dup", "inv"):
        stated, bases = bases.upper(), also or ""
        if stated and len(stated) != end - start + 1:
            raise InvalidName(f"{text[:80]!r} names {len(stated)} bases for {end - start + 1} positions", HINT)
        if bases and kind != "del":
            raise InvalidName(f"{text[:80]!r} is not the name of a variant", HINT)
        kind = "delins" if bases else kind
    if kind in ("ins", "delins") and not bases:
        raise InvalidName(f"{text!r} does not say which bases are inserted", HINT)
    if kind == "ins" and end != start + 1:
        raise InvalidName(f"an insertion lies between two neighbours, as in {accession}:g.{start}_{start + 1}ins{bases}", HINT)
    return _edit(code, start, end, kind, bases.upper(), stated)


def _edit(chrom: int, start: int, end: int, kind: str, inserted: str, stated: str = "") -> Edit:
    if end - start >= LONGEST_EDIT:
        raise InvalidName(f"a change of {end - start + 1:,} bases", f"Changes have at most {LONGEST_EDIT:,} bases here.")
    return Edit(chrom, start, end, kind, inserted, stated)


def _chrom(name: str, assembly: Assembly) -> int:
    other = accession_assembly(name)
    if other is not None and other is not assembly:
        raise InvalidName(
            f"{name} is a sequence of {other.name}; this store holds {assembly.name}", f"Lift the name over to {assembly.name}."
        )
    return chrom(name)


def _pos(digits: str, code: int, assembly: Assembly) -> int:
    value = digits.replace(",", "")
    pos = int(value) if len(value) < 11 else MAX_POS + 1
    if not 1 <= pos <= assembly.length(code):
        raise InvalidName(f"position {digits} is outside the chromosome (1 to {assembly.length(code):,})", "Positions are 1-based.")
    return pos
