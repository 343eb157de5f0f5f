"""From one assembly to the other: UCSC chain files, and where they put a locus.

In: a chain file (plain, gzip or bgzip). Out: for a locus its place in the other assembly, or a `Rejected` that names why there is none. Where
chains overlap the one of the highest score counts, base by base, and a locus has to lie in one aligned block of it. MT, which is the same in both
assemblies, needs no chain. Source:
genome.ucsc.edu/goldenPath/help/chain.html: 0-based half-open coordinates, those of a chain on the reverse strand from the other end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from loaders.assembly_check import from_contigs
from loaders.errors import InputError
from loaders.normalize import BAD_CONTIG, OVER_GAP, Rejected
from loaders.source import source_file, text_blocks
from store.assembly import GRCH37, HG19_MT_LENGTH, NAMES, Assembly, chrom_code
from store.reference import Reference
from store.region import pos0, pos1

NOT_COVERED = "not in the chain file"
DELETED = "deleted in the other assembly"
APART = "element whose ends lie on different chains"
LENGTH_CHANGED = "element changes its length"

LONGEST_CHANGE = 0.05
"""The part of its length by which an element may become longer or shorter."""

_WHOLE = re.compile("[0-9]{1,12}")
_SCORE = re.compile("-?[0-9]{1,18}")
MOST_BLOCKS = 20_000_000
"""Aligned blocks of a chain file, which are held in memory; UCSC's of the human assemblies have up to a million."""

_FIELDS = (11, 12)  # after "chain"; the last, the identifier, is missing in some files
_MT = 25
_HG19_MT = frozenset(("CHRM", "M"))  # names of MT by which files of GRCh37 may mean hg19's own
_REMEDY = "Give a UCSC chain file, such as hg19ToHg38.over.chain.gz, or copy it again."


class Lifted(NamedTuple):
    """A place in the other assembly: code of the chromosome, 1-based position of the first base on the forward strand, whether the strand is
    the other one, which chain says so, and the first and the last position of the aligned stretch that it lies in."""

    chrom: int
    pos: int
    reverse: bool
    chain: int
    first: int
    last: int


class Chain(NamedTuple):
    """The header of a chain: its line and score; of the assembly that it leads from, and of the other, chromosome name and size, and 0-based
    half-open ends, which on the reverse strand are counted from the other end. `code` and `other_code` are those of the chromosomes, if any."""

    line: int
    score: int
    name: str
    size: int
    start: int
    end: int
    other_name: str
    other_size: int
    reverse: bool
    other_start: int
    other_end: int
    code: int | None
    other_code: int | None


class _Blocks(NamedTuple):
    """The aligned stretches of one chromosome: (n,) start and end, 0-based half-open, apart and in order; the chain of each; (n,) where a position
    p of it lies in the other assembly: origin + p, on the reverse strand origin - p. (m,) `spans` are the stretches that any chain reaches over."""

    start: np.ndarray
    end: np.ndarray
    chain: np.ndarray
    origin: np.ndarray
    span_start: np.ndarray
    span_end: np.ndarray


class _Stretch(NamedTuple):
    """One aligned stretch, as in `_Blocks`: what the last locus fell into."""

    chrom: int
    start: int
    end: int
    chain: int
    origin: int


_NOWHERE = _Stretch(0, 0, 0, 0, 0)


@dataclass
class Lift:
    """A chain file that leads from `source` to `target`; `digest` is its SHA-256 in hex. With `same_mt` no chain of it covers MT."""

    path: Path
    source: Assembly
    target: Assembly
    digest: str
    chains: Sequence[Chain]
    _blocks: dict[int, _Blocks]
    same_mt: bool = False
    _last: _Stretch = _NOWHERE

    @property
    def option(self) -> dict[str, str]:
        """What the ledger keeps of it."""
        return {"from": self.source.name, "chain": self.digest}

    def locus(self, chrom: int, pos: int, bases: int = 1, name: str = "") -> Lifted:
        """Where `bases` bases from a 1-based position lie; `name` is that of the chromosome as written. Raises Rejected where they are not all in
        one aligned block."""
        if chrom == _MT and self.same_mt and self.source is GRCH37 and name.upper() in _HG19_MT:
            raise Rejected(NOT_COVERED, f"{name} of hg19 has coordinates of its own; where they are those of MT, call it MT")
        start = pos0(pos)
        last = self._last
        if not (chrom == last.chrom and last.start <= start and start + bases <= last.end):
            last = self._last = self._find(chrom, start, start + bases)
        chain = self.chains[last.chain]
        if chain.other_code is None:
            raise Rejected(BAD_CONTIG, f"it lifts to {chain.other_name[:60]}")
        if chain.reverse:
            place, low, high = (last.origin - p for p in (start + bases - 1, last.end - 1, last.start))
        else:
            place, low, high = (last.origin + p for p in (start, last.start, last.end - 1))
        return Lifted(chain.other_code, pos1(place), chain.reverse, last.chain, pos1(low), pos1(high))

    def element(self, chrom: int, start: int, end: int, name: str = "") -> tuple[int, int, int]:
        """(chromosome code, start, end) of an element, 1-based and inclusive as they are given; `name` is as for `locus`. Raises Rejected unless
        both ends lie on one chain and are as far apart as they were, but for `LONGEST_CHANGE`."""
        first, last = self.locus(chrom, start, name=name), self.locus(chrom, end, name=name)
        if first.chain != last.chain:
            raise Rejected(APART, f"{start} and {end}")
        low, high = sorted((first.pos, last.pos))
        before, after = end - pos0(start), high - pos0(low)
        if abs(after - before) > LONGEST_CHANGE * before:
            raise Rejected(LENGTH_CHANGED, f"from {before:,} bases to {after:,}")
        return first.chrom, low, high

    def _find(self, chrom: int, start: int, end: int) -> _Stretch:
        """The stretch that holds a 0-based half-open locus."""
        blocks = self._blocks.get(chrom)
        if blocks is None:
            raise Rejected(NOT_COVERED)
        place = int(np.searchsorted(blocks.start, start, side="right")) - 1
        if place >= 0 and end <= blocks.end[place]:
            found = (int(column[place]) for column in (blocks.start, blocks.end, blocks.chain, blocks.origin))
            return _Stretch(chrom, *found)
        begun = place >= 0 and start < blocks.end[place]
        follows = place + 1 < len(blocks.start) and blocks.start[place + 1] < end
        if begun or follows:
            raise Rejected(OVER_GAP, f"of its {end - start} bases not all lie in one aligned block")
        span = int(np.searchsorted(blocks.span_start, start, side="right")) - 1
        raise Rejected(DELETED if span >= 0 and start < blocks.span_end[span] else NOT_COVERED)


def open_lift(chain: Path | None, store: Assembly, reference: Reference | None) -> Lift | None:
    """The chain file of a load into a store; None without one. Raises InputError where it does not lead to the store's assembly, or where there
    is no reference that could tell whether REF is right there."""
    if chain is None:
        return None
    if reference is None:
        raise InputError(
            chain, None, "where alleles are lifted to there is no reference to check them", f"Give the FASTA of {store.name}: --reference FASTA"
        )  # fmt: skip
    return read_lift(chain, store)


def read_lift(path: Path, store: Assembly) -> Lift:
    """The chain file that leads to a store's assembly. Raises InputError where it does not, or is none."""
    chains: list[Chain] = []
    parts: list[np.ndarray] = []
    for chain, blocks in _read(path):
        parts.append(np.column_stack([np.full(len(blocks), len(chains)), blocks]))
        chains.append(chain)
    if not chains:
        raise InputError(path, None, "no chain in it", _REMEDY)
    source = from_contigs(list({chain.name: chain.size for chain in chains}.items()))
    target = from_contigs(list({chain.other_name: chain.other_size for chain in chains}.items()))
    if source is None or source is store or target is not store:
        led = " to ".join(build.name if build else "an unknown assembly" for build in (source, target))
        raise InputError(
            path, None, f"it leads from {led}, by the sizes of its chromosomes; the store holds {store.name}",
            f"Give a chain file that leads from the assembly of the files to {store.name}.",
        )  # fmt: skip
    for chain in chains:
        _check_size(path, chain.line, source, chain.name, chain.code, chain.size)
        _check_size(path, chain.line, target, chain.other_name, chain.other_code, chain.other_size)
    rows = np.concatenate(parts)
    codes = np.array([_usable(chain) for chain in chains])[rows[:, 0]]
    made = {int(code): _blocks(rows[codes == code], chains) for code in np.unique(codes[codes > 0])}
    if same_mt := _MT not in made:
        # The revised Cambridge sequence in both, which chain files of UCSC leave out for hg19's own chrM.
        length = target.length(_MT)
        chains.append(Chain(0, 0, NAMES[_MT - 1], length, 0, length, NAMES[_MT - 1], length, False, 0, length, _MT, _MT))
        made[_MT] = _blocks(np.array([[len(chains) - 1, 0, length, 0]]), chains)
    return Lift(path, source, target, source_file(path).sha256, chains, made, same_mt)


def _check_size(path: Path, line: int, build: Assembly, name: str, code: int | None, size: int) -> None:
    if code is not None and size not in (build.length(code), HG19_MT_LENGTH):
        reason = f"its {name} has {size:,} bases; chromosome {NAMES[code - 1]} of {build.name} has {build.length(code):,}"
        raise InputError(path, line, reason, _REMEDY)


def _usable(chain: Chain) -> int:
    """The code of the chromosome that a chain leads from; 0 for others, and for hg19's own chrM, whose coordinates are not those of MT."""
    return 0 if chain.code is None or HG19_MT_LENGTH in (chain.size, chain.other_size) else chain.code


def _blocks(rows: np.ndarray, chains: Sequence[Chain]) -> _Blocks:
    """The stretches of one chromosome, from its blocks: (n, 4) chain, start, end, and start in the other assembly, from its chain's own end."""
    chain, start, end, other = rows.T
    score = np.array([chains[number].score for number in chain.tolist()])
    # Every base goes to the best chain: stretches between any two ends are painted by the chains, the best one last.
    edges = np.unique(np.concatenate([start, end]))
    first, last = np.searchsorted(edges, start), np.searchsorted(edges, end)
    best = np.full(len(edges), -1)
    for block in np.lexsort((-np.arange(len(score)), score)).tolist():
        best[first[block] : last[block]] = block
    begins = np.flatnonzero((best >= 0) & (best != np.roll(best, 1)))
    ends = np.flatnonzero((best >= 0) & (best != np.roll(best, -1))) + 1
    kept = best[begins]
    reverse = np.array([chains[number].reverse for number in chain[kept].tolist()], bool)
    size = np.array([chains[number].other_size for number in chain[kept].tolist()])
    origin = np.where(reverse, size - 1 - other[kept] + start[kept], other[kept] - start[kept])
    reached = sorted((c.start, c.end) for c in (chains[number] for number in np.unique(chain).tolist()))
    spans: list[list[int]] = []
    for low, high in reached:
        if spans and low <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], high)
        else:
            spans.append([low, high])
    return _Blocks(edges[begins], edges[ends], chain[kept], origin, *np.array(spans).T)


def _read(path: Path) -> Iterator[tuple[Chain, np.ndarray]]:
    """The chains of a file, each with its (n, 3) blocks: start, end, start in the other assembly. Raises InputError."""
    chain: Chain | None = None
    blocks: list[tuple[int, int, int]] = []
    start = other = count = 0
    for block in text_blocks(path):
        for number, line in enumerate(block.lines, block.first):
            words = line.split()
            if not words or words[0][0] == "#":
                continue
            if words[0] == "chain":
                if chain:
                    raise InputError(path, number, f"the chain of line {chain.line} has not ended here", _REMEDY)
                chain = _header(path, number, words[1:])
                blocks, start, other = [], chain.start, chain.other_start
                continue
            if chain is None:
                raise InputError(path, number, f"not a chain file: {line[:40]!r}, where a line is due that begins with chain", _REMEDY)
            if len(words) not in (1, 3) or not all(map(_WHOLE.fullmatch, words)):
                raise InputError(path, number, f"not the size of a block and of the gaps after it: {line[:60]!r}", _REMEDY)
            size, *gaps = map(int, words)
            if size:
                blocks.append((start, start + size, other))
                if (count := count + 1) > MOST_BLOCKS:
                    raise InputError(path, number, f"more than {MOST_BLOCKS:,} aligned blocks", _REMEDY)
            start, other = start + size, other + size
            if gaps:
                start, other = start + gaps[0], other + gaps[1]
                continue
            if (start, other) != (chain.end, chain.other_end):
                told = f"{chain.end} and {chain.other_end}"
                raise InputError(path, number, f"the blocks end at {start} and {other}, where line {chain.line} says {told}", _REMEDY)
            yield chain, np.array(blocks, np.int64).reshape(-1, 3)
            chain = None
    if chain:
        raise InputError(path, chain.line, "the file ends before this chain does", _REMEDY)


def _whole(word: str) -> int:
    """A number of bases. Raises ValueError."""
    if not _WHOLE.fullmatch(word):
        raise ValueError
    return int(word)


def _score(word: str) -> int:
    """The score of a chain. Raises ValueError."""
    if not _SCORE.fullmatch(word):
        raise ValueError
    return int(word)


def _header(path: Path, number: int, words: Sequence[str]) -> Chain:
    """A header from its words after `chain`: score, then name, size, strand, start and end, in one assembly and in the other."""
    try:
        if len(words) not in _FIELDS or words[3] != "+" or words[8] not in ("+", "-"):
            raise ValueError
        made = Chain(
            number, _score(words[0]), words[1], _whole(words[2]), _whole(words[4]), _whole(words[5]),
            words[6], _whole(words[7]), words[8] == "-", _whole(words[9]), _whole(words[10]), chrom_code(words[1]), chrom_code(words[6]),
        )  # fmt: skip
    except ValueError:
        raise InputError(path, number, f"not the header of a chain: {' '.join(words)[:100]!r}", _REMEDY) from None
    if not (0 <= made.start < made.end <= made.size and 0 <= made.other_start < made.other_end <= made.other_size):
        raise InputError(path, number, "a chain that reaches beyond its chromosome, or ends before it starts", _REMEDY)
    return made
