"""The 64-bit identity of a variant: the VariantKey of Asuni et al., with the top bit flipped.

From the top: 5 bits chromosome, 28 bits 0-based position, 31 bits REF+ALT, which are reversible for up to 11 bases
of ACGT and a hash otherwise. Flipping the top bit makes the order of signed 64-bit integers the order of the genome,
so a region is one range of keys (region.py). Users see the published form, 16 hex digits.
Source: Asuni N. and Wilder S., VariantKey, bioRxiv 473744, and its reference implementation (tecnickcom/variantkey).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from .region import SIGN, pos0, pos1

REVERSIBLE_BASES = 11
_BASE = {"A": 0, "C": 1, "G": 2, "T": 3}
_REFALT_MASK = (1 << 31) - 1
_POS_MASK = (1 << 28) - 1
_CODES = np.full(256, 255, np.uint8)
_CODES[[*b"ACGT"]] = range(4)
_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]{16})")


def encode(chrom: np.ndarray, pos: np.ndarray, ref: Sequence[str], alt: Sequence[str]) -> np.ndarray:
    """Keys of many variants.

    Args:
        chrom: (n,) chromosome codes 1-25.
        pos: (n,) positions of the first REF base, 1-based.
        ref, alt: n alleles, in any case.
    Returns:
        (n,) int64 keys in signed, genome-ordered form.
    """
    high = (np.asarray(chrom).astype(np.uint64) << np.uint64(59)) | (pos0(np.asarray(pos)).astype(np.uint64) << np.uint64(31))
    return ((high | refalt_codes(ref, alt)) ^ np.uint64(SIGN)).view(np.int64)


def encode_one(chrom: int, pos: int, ref: str, alt: str) -> int:
    """The key of one variant; see `encode`."""
    return ((chrom << 59) | (pos0(pos) << 31) | refalt_code(ref, alt)) - SIGN


def refalt_codes(ref: Sequence[str], alt: Sequence[str]) -> np.ndarray:
    """(n,) uint64 31-bit codes of REF+ALT. Reversible ones are computed as one matrix, hashed ones (rare) one by one."""
    n = len(ref)
    out = np.empty(n, np.uint64)
    size_r = np.fromiter(map(len, ref), np.int64, n)
    size_a = np.fromiter(map(len, alt), np.int64, n)
    total = size_r + size_a
    short = np.flatnonzero(total <= REVERSIBLE_BASES)
    text = "".join([(ref[i] + alt[i]).ljust(REVERSIBLE_BASES, "A") for i in short.tolist()]).upper()
    letters = np.frombuffer(text.encode("ascii", "replace"), np.uint8).reshape(-1, REVERSIBLE_BASES)
    bases = _CODES[letters]
    shifts = np.arange(21, 0, -2, dtype=np.uint64)
    packed = (bases.astype(np.uint64) << shifts).sum(1, dtype=np.uint64)
    out[short] = (size_r[short].astype(np.uint64) << np.uint64(27)) | (size_a[short].astype(np.uint64) << np.uint64(23)) | packed
    hashed = np.concatenate([short[(bases == 255).any(1)], np.flatnonzero(total > REVERSIBLE_BASES)])
    for i in hashed.tolist():
        out[i] = _hash(ref[i], alt[i])
    return out


def refalt_code(ref: str, alt: str) -> int:
    """The 31-bit code of one REF+ALT."""
    if len(ref) + len(alt) > REVERSIBLE_BASES:
        return _hash(ref, alt)
    code, shift = (len(ref) << 27) | (len(alt) << 23), 21
    for base in (ref + alt).upper():
        if base not in _BASE:
            return _hash(ref, alt)
        code |= _BASE[base] << shift
        shift -= 2
    return code


def decode(key: int) -> tuple[int, int, str | None, str | None]:
    """(chromosome code, 1-based position, REF, ALT) of a key; the alleles are None where the key holds their hash."""
    raw = key + SIGN
    chrom, pos, code = raw >> 59, pos1((raw >> 31) & _POS_MASK), raw & _REFALT_MASK
    if code & 1:
        return chrom, pos, None, None
    size_r, size_a = code >> 27, (code >> 23) & 15
    bases = "".join("ACGT"[(code >> shift) & 3] for shift in range(21, 21 - 2 * (size_r + size_a), -2))
    return chrom, pos, bases[:size_r], bases[size_r:]


def is_hashed(key: int | np.ndarray) -> bool | np.ndarray:
    """True where a key holds a hash of its alleles, so that two variants could share it."""
    return (key & 1) == 1


def to_hex(key: int) -> str:
    """The published form of a key: 16 upper-case hex digits."""
    return f"{key + SIGN:016X}"


def from_hex(text: str) -> int | None:
    """The key of 16 hex digits (0x allowed); None where the text is not that, or names no human chromosome."""
    found = _HEX.fullmatch(text.strip())
    if not found:
        return None
    raw = int(found[1], 16)
    return raw - SIGN if 1 <= raw >> 59 <= 25 else None


def _hash(ref: str, alt: str) -> int:
    h = _mux(_hash32(alt), _mux(0x3, _hash32(ref)))
    h ^= h >> 16
    h = (h * 0x85EBCA6B) & 0xFFFFFFFF
    h ^= h >> 13
    h = (h * 0xC2B2AE35) & 0xFFFFFFFF
    h ^= h >> 16
    return (h >> 1) | 1


def _hash32(text: str) -> int:
    h = 0
    for i in range(0, len(text), 6):
        block = 0
        for j, char in enumerate(text[i : i + 6]):
            # Five bits a letter: A-Z (any case) are 1-26, everything below is 27.
            block ^= (27 if char < "A" else ord(char.upper()) - 64) << (26 - 5 * j)
        h = _mux(block & 0xFFFFFFFF, h)
    return h


def _mux(k: int, h: int) -> int:
    k = (k * 0xCC9E2D51) & 0xFFFFFFFF
    k = ((k >> 17) | (k << 15)) & 0xFFFFFFFF
    k = (k * 0x1B873593) & 0xFFFFFFFF
    h ^= k
    h = ((h >> 19) | (h << 13)) & 0xFFFFFFFF
    return (h * 5 + 0xE6546B64) & 0xFFFFFFFF
