"""Which ALT an annotation means: VEP and SnpEff name alleles by text, and not by the text of the ALT column.

VEP cuts the first base of a record that holds an indel, if REF and all its ALTs share it, and writes `-` for what is then empty (its VCF
parser); with `--minimal` it trims each ALT on its own. SnpEff writes the ALT. A file that was split, or trimmed, after it was annotated
shows yet other combinations, so names are looked up in several ways, the most likely one first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

Naming = Callable[[str, list[str]], list[str]]


def vep_names(ref: str, alts: list[str]) -> list[str]:
    """The names VEP gives to the ALTs of a record; `*` takes no part in it."""
    real = [alt for alt in alts if "*" not in alt]
    if all(len(alt) == len(ref) for alt in real) or len({a[:1] for a in (ref, *real)}) > 1:
        return alts
    return [alt if "*" in alt else alt[1:] or "-" for alt in alts]


def alt_names(ref: str, alts: list[str]) -> list[str]:
    """The ALTs themselves."""
    return alts


def minimal_names(ref: str, alts: list[str]) -> list[str]:
    """Each ALT without what it shares with REF at the start, and then at the end; `-` for nothing."""
    return [_trim_end(*_trim_start(ref, alt))[1] or "-" for alt in alts]


def minimal_names_from_end(ref: str, alts: list[str]) -> list[str]:
    """Each ALT without what it shares with REF at the end, and then at the start; `-` for nothing."""
    return [_trim_start(*_trim_end(ref, alt))[1] or "-" for alt in alts]


VEP: tuple[Naming, ...] = (vep_names, minimal_names, minimal_names_from_end, alt_names)
SNPEFF: tuple[Naming, ...] = (alt_names, vep_names, minimal_names, minimal_names_from_end)


def assign(entries: Sequence[tuple[str, int | None]], ref: str, alts: list[str], namings: Sequence[Naming]) -> list[int | None]:
    """The ALT (from 1) that each entry means, None where that cannot be told.

    `entries` are (name, number where the annotator gave one). A record with one ALT takes all its entries if they agree on the allele. If
    they do not, the record was split after annotation: it takes those that mean its ALT. With several ALTs the annotator's numbers count,
    else the first way of naming that gives just these names, else the first that explains them all, else the first that explains the
    entry.
    """
    names = {name for name, _ in entries}
    if len(alts) == 1:
        if len(names) > 1:
            own = next((name for naming in namings if (name := naming(ref, alts)[0]) in names), None)
            return [1 if name == own else None for name, _ in entries]
        return [1] * len(entries)
    if all(number is not None and 1 <= number <= len(alts) for _, number in entries):
        return [number for _, number in entries]
    meanings = [_unique(naming(ref, alts)) for naming in namings]
    meanings.sort(key=lambda meaning: (names != meaning.keys(), not names <= meaning.keys()))
    return [next((m[name] for m in meanings if name in m), None) for name, _ in entries]


def _unique(names: list[str]) -> dict[str, int | None]:
    """The ALT of each name, None for a name that two ALTs share."""
    times = Counter(names)
    return {name: number if times[name] == 1 else None for number, name in enumerate(names, 1)}


def _trim_start(ref: str, alt: str) -> tuple[str, str]:
    size = next((i for i, (r, a) in enumerate(zip(ref, alt, strict=False)) if r != a), min(len(ref), len(alt)))
    return ref[size:], alt[size:]


def _trim_end(ref: str, alt: str) -> tuple[str, str]:
    ref, alt = _trim_start(ref[::-1], alt[::-1])
    return ref[::-1], alt[::-1]
