"""The normal form of an allele pair: trimmed, left-aligned, upper case, never empty.

Pure functions on one REF and one ALT: records with several ALTs are split first. Positions are 1-based. The result
equals that of `bcftools norm -f`. Source of the method: Tan, Abecasis and Kang, Unified representation of genetic
variants, Bioinformatics 2015.
"""

from __future__ import annotations

from collections.abc import Callable

_FIRST_WINDOW = 64  # bases looked at to the left at first; repeats that are longer double it


def trim(pos: int, ref: str, alt: str) -> tuple[int, str, str]:
    """Removes the bases that both alleles share, first at their end, then at their start, but leaves one base of each.

    Returns (pos, ref, alt), as short as can be said without a reference. Equal alleles come out as one base each.
    """
    ref, alt = _without_common_end(ref, alt, least=1)
    start = _common_start(ref, alt, least=1)
    return pos + start, ref[start:], alt[start:]


def left_align(pos: int, ref: str, alt: str, fetch: Callable[[int, int], str]) -> tuple[int, str, str]:
    """Moves an indel as far left as the reference allows, and trims it.

    `fetch(start, end)` gives the reference at 1-based inclusive positions of the same chromosome, in upper case, and
    less of it, or nothing, beyond its ends. The reference must spell `ref` at `pos`. Returns (pos, ref, alt). An indel
    that reaches position 1 keeps the base after it instead of the base before it, as the VCF format has it.
    """
    if len(ref) == len(alt):
        return trim(pos, ref, alt)
    ref, alt = _without_common_end(ref, alt, least=0)
    if ref and alt:
        start = _common_start(ref, alt, least=1)
        return pos + start, ref[start:], alt[start:]
    sequence = ref or alt
    size, window = len(sequence), _FIRST_WINDOW
    while True:
        # Moving an inserted or deleted sequence one base to the left takes its last base to its front. That changes
        # nothing when the last base equals the one before the sequence, that is, where `text` repeats with its period.
        left = fetch(max(1, pos - window), pos - 1) if pos > 1 else ""
        text = left + sequence
        start = len(left)
        while start and text[start - 1] == text[start - 1 + size] != "N":
            start -= 1
        if start or len(left) < window:
            break
        window *= 2
    pos -= len(left) - start
    moved = text[start : start + size]
    if start:
        pos, anchor = pos - 1, text[start - 1]
        return (pos, anchor + moved, anchor) if ref else (pos, anchor, anchor + moved)
    after = pos + size if ref else pos
    anchor = fetch(after, after)
    return (pos, moved + anchor, anchor) if ref else (pos, anchor, moved + anchor)


def _without_common_end(ref: str, alt: str, least: int) -> tuple[str, str]:
    limit = min(len(ref), len(alt)) - least
    n = 0
    while n < limit and ref[-1 - n] == alt[-1 - n]:
        n += 1
    return (ref[:-n], alt[:-n]) if n else (ref, alt)


def _common_start(ref: str, alt: str, least: int) -> int:
    limit = min(len(ref), len(alt)) - least
    n = 0
    while n < limit and ref[n] == alt[n]:
        n += 1
    return n
