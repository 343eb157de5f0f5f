"""Is a file of the store's assembly? Settled before anything is written: the builds differ by kilobases, so a wrong one would load silently.

The assembly is known from header contig lengths, RefSeq names, `##reference` or the option --assembly, in this order.
Then a sample of the file must agree: its REF alleles with the reference or, where there is none, its positions and
rsIDs with the store, also where the reference has nothing of them. With a chain file it is the assembly that this leads from, and the
sample is lifted over first; what names no alleles has to say it, unless rsIDs tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from loaders.errors import InputError
from loaders.header import VcfHeader
from loaders.normalize import Rejected, reverse_complement
from loaders.source import Block
from store.assembly import ASSEMBLIES, HG19_MT_LENGTH, NAMES, Assembly, accession_assembly, chrom_code
from store.reference import Reference

if TYPE_CHECKING:
    from loaders.lift import Lift

SAMPLE = 1000
"""Records looked at."""

_MT = 25
_FEW = 10  # below this many, half of the sample must disagree before a file is refused, else a fifth
_WORDS = {a.name: re.compile(p, re.IGNORECASE) for a, p in zip(ASSEMBLIES, (
    r"GRCh37|hg19|hs37|[gv]1?k?_v37|\bb37\b|NCBI37|assembly19\b", r"GRCh38|hg38|hs38|\bb38\b|assembly38\b"), strict=True)}  # fmt: skip
_DIGITS_OF_POS = 10  # fewer, in a position
_DIGITS = re.compile("rs([0-9]{1,18})")


@dataclass(frozen=True)
class Sampled:
    """One record of the sample: its line, chromosome, also as written, 1-based position, ID, REF (`.` where it names none) and ALTs."""

    line: int
    chrom: int
    name: str
    pos: int
    id: str
    ref: str
    alts: Sequence[str]


@dataclass(frozen=True)
class Settled:
    """What a file alone tells of its assembly: the sample in the store's assembly, how many records of it the reference agrees with, and whether something
    has yet to tell which assembly it is."""

    sample: Sequence[Sampled]
    checked: int
    untold: bool


def check_assembly(
    conn: psycopg.Connection,
    path: Path,
    header: VcfHeader,
    blocks: Iterator[Block],
    *,
    store: Assembly,
    given: Assembly | None,
    reference: Reference | None,
    lift: Lift | None = None,
) -> None:
    """Raises InputError unless the file is of the store's assembly, as far as can be told, and can be told at all.

    With `lift`, unless it is of the assembly that this leads from, which is what it is taken to be where nothing else tells but its alleles
    will: what they are not in the reference is rejected.
    """
    found = settle(path, header, blocks, store=store, given=given, reference=reference, lift=lift)
    source = lift.source if lift else store
    if not (found.checked or _check_rsids(conn, path, found.sample, source)) and found.untold:
        raise _untold(path, source)


def settle(
    path: Path,
    header: VcfHeader,
    blocks: Iterator[Block],
    *,
    store: Assembly,
    given: Assembly | None,
    reference: Reference | None,
    lift: Lift | None = None,
) -> Settled:
    """What can be told without asking the store, as `check_assembly` does. Raises InputError."""
    _refuse_hg19_mt(path, header)
    lines = list(islice(((n, line) for block in blocks for n, line in enumerate(block.lines, block.first)), SAMPLE))
    found, why = _from_header(header) or _from_names(lines) or (given, "--assembly")
    untold = found is None
    if lift is not None:
        found = found or lift.source
        if found is store:
            raise InputError(path, None, f"it is of {found.name} ({why}), as the store is", "Load it without --lift.")
    if found is None:
        raise _untold(path, store)
    if given not in (None, found):
        raise InputError(path, None, f"it is of {found.name} ({why}), not {given.name}", f"Give --assembly {found.name}, or nothing.")
    if lift is None and found is not store:
        raise InputError(
            path, None, f"it is of {found.name} ({why}); the store holds {store.name}",
            f"Load it into a store of {found.name}. Scores, frequencies and effects can be lifted over: --lift CHAIN",
        )  # fmt: skip
    sample = [site for n, line in lines if (site := _sampled(n, line))]
    with_alleles = any(line.split("\t", 4)[3:4] not in ([], ["."]) for _, line in lines)
    if lift is not None:
        sample = [lifted for site in sample if (lifted := _lifted(site, lift))]
    checked = _check_ref(path, sample, store, reference, lift) if reference is not None else 0
    return Settled(sample, checked, lift is not None and untold and not with_alleles)


def from_contigs(contigs: Iterable[tuple[str, int | None]]) -> Assembly | None:
    """The assembly whose chromosomes have the lengths given; None where no length, or not one alone, tells."""
    votes = {
        a.name: sum(1 for name, length in contigs if length and (code := chrom_code(name)) and code != _MT and a.length(code) == length)
        for a in ASSEMBLIES
    }
    best = max(ASSEMBLIES, key=lambda a: votes[a.name])
    return best if sum(v > 0 for v in votes.values()) == 1 else None


def _untold(path: Path, likely: Assembly) -> InputError:
    return InputError(path, None, "nothing in the file tells its assembly", f"If it is {likely.name}, say so: --assembly {likely.name}")


def _from_header(header: VcfHeader) -> tuple[Assembly, str] | None:
    if found := from_contigs(list(header.contigs.items())):
        return found, "by the lengths of its contigs"
    for name in header.contigs:
        if found := accession_assembly(name):
            return found, f"by its contig {name}"
    # Contig lines may name the assembly without giving lengths.
    texts = [header.reference or "", *re.findall(r"^##(?:assembly|contig)=.*", header.text, re.MULTILINE)]
    for text in texts:
        named = [a for a in ASSEMBLIES if _WORDS[a.name].search(text)]
        if len(named) == 1:
            return named[0], f"by its header, {text[:80]!r}"
    return None


def _from_names(lines: Sequence[tuple[int, str]]) -> tuple[Assembly, str] | None:
    for _, line in lines:
        name = line.partition("\t")[0]
        if found := accession_assembly(name):
            return found, f"by its contig {name}"
    return None


def _refuse_hg19_mt(path: Path, header: VcfHeader) -> None:
    for name, length in header.contigs.items():
        if chrom_code(name) == _MT and length == HG19_MT_LENGTH:
            raise InputError(
                path,
                None,
                f"its {name} is hg19's own ({length:,} bases), whose coordinates are not those of MT",
                f"Take {name} out, its header line too: bcftools view -t ^{name} FILE | grep -v '^##contig=<ID={name},'",
            )


def _sampled(number: int, line: str) -> Sampled | None:
    columns = line.split("\t", 5)
    if len(columns) < 5 or not (columns[1].isascii() and columns[1].isdecimal() and len(columns[1]) < _DIGITS_OF_POS):
        return None
    code = chrom_code(columns[0])
    if code is None:
        return None
    return Sampled(number, code, columns[0], int(columns[1]), columns[2], columns[3].upper(), columns[4].upper().split(","))


def _lifted(site: Sampled, lift: Lift) -> Sampled | None:
    """The site in the other assembly; None where it has no place there."""
    if site.pos > lift.source.length(site.chrom):
        return None
    try:
        lifted = lift.locus(site.chrom, site.pos, max(1, len(site.ref)), site.name)
    except Rejected:
        return None
    ref, alts = site.ref, site.alts
    if lifted.reverse:
        ref, alts = reverse_complement(ref), [reverse_complement(alt) for alt in alts]
    return replace(site, chrom=lifted.chrom, pos=lifted.pos, ref=ref, alts=alts)


def _check_ref(path: Path, sites: Sequence[Sampled], store: Assembly, reference: Reference, lift: Lift | None) -> int:
    """How many sites could be compared. With `lift`, those whose ALT the reference has say nothing: assemblies have them swapped."""
    checked, wrong = 0, []
    for site in sites:
        if not 1 <= site.pos <= reference.length(site.chrom):
            continue
        expected = reference.fetch(site.chrom, site.pos, site.pos + len(site.ref) - 1)
        if set(expected) <= set("ACGT") and (lift is None or expected not in site.alts):
            checked += 1
            if expected != site.ref:
                wrong.append((site, expected))
    if _too_many(len(wrong), checked):
        site, expected = wrong[0]
        where = f"{NAMES[site.chrom - 1]}:{site.pos}{' of ' + store.name if lift else ''}"
        of = f"the file is of {lift.source.name}, the reference of" if lift else "both the file and the reference are of"
        raise InputError(
            path,
            site.line,
            f"REF is {site.ref[:40]} at {where}, where {reference.path} has {expected[:40]}; so for {len(wrong)} of the first {checked} records",
            f"Check that {of} {store.name}, and REF and ALT not swapped (bcftools norm -c w -f FASTA).",
        )
    return checked


def _check_rsids(conn: psycopg.Connection, path: Path, sites: Sequence[Sampled], store: Assembly) -> int:
    """How many rsIDs the store has as well."""
    by_rsid = {int(found[1]): site for site in sites if (found := _DIGITS.fullmatch(site.id))}
    known: dict[int, set[tuple[int, int]]] = {}
    for rsid, chrom, pos in conn.execute(
        "SELECT r.rsid, v.chrom, v.pos FROM rsid r JOIN variant v USING (variant_key) WHERE r.rsid = ANY(%s)", (list(by_rsid),)
    ):
        known.setdefault(rsid, set()).add((chrom, pos))
    # Positions of one indel may differ a little before normalisation; assemblies differ by more.
    wrong = [
        by_rsid[rsid]
        for rsid, places in known.items()
        if not any(c == by_rsid[rsid].chrom and abs(p - by_rsid[rsid].pos) < 100 for c, p in places)
    ]
    if _too_many(len(wrong), len(known)):
        site = wrong[0]
        raise InputError(
            path,
            site.line,
            f"{site.id} is at {NAMES[site.chrom - 1]}:{site.pos}, in the store elsewhere; so for {len(wrong)} of {len(known)} rsIDs",
            f"Check that the file is of {store.name}.",
        )
    return len(known)


def _too_many(wrong: int, checked: int) -> bool:
    return wrong * (5 if checked >= _FEW else 2) > checked
