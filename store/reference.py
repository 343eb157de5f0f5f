"""The reference genome: sequence by chromosome code, from an indexed FASTA (plain or bgzip).

Comes in: a FASTA with its .fai. Goes out: upper-case bases at 1-based inclusive positions. Reading is pysam's,
because htslib reads bgzip FASTA as it is; pyfaidx would need Biopython for that.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from pathlib import Path

import pysam

from .assembly import ASSEMBLIES, HG19_MT_LENGTH, NAMES, Assembly, chrom_code
from .errors import StoreError
from .region import pos0, pos1

WINDOW = 1 << 20
"""Bases read from the file at once. Files are in genome order nearly always, so one window serves many records."""

SMALL_WINDOW = 1 << 12
"""The same for single names, which come from anywhere."""

_KEPT_WINDOWS = 4
_MT = 25


class Reference:
    """An open FASTA. Chromosomes are codes (1-25), whatever the file calls them; other contigs don't exist here.

    Raises StoreError where the file is missing, unreadable, not a FASTA, not indexable, or has no human chromosome.
    """

    def __init__(self, path: Path | str, bases: int = WINDOW) -> None:
        self.path = Path(path)
        self.bases = bases
        self._file = _open(self.path)
        self._name: dict[int, str] = {}
        self._length: dict[int, int] = {}
        for name, length in zip(self._file.references, self._file.lengths, strict=True):
            if code := chrom_code(name):
                self._name.setdefault(code, name)
                self._length.setdefault(code, length)
        if not self._name:
            raise StoreError(
                f"{self.path}: none of its contigs is a human chromosome (the first is {self._file.references[0][:60]!r})",
                "Give a FASTA whose contigs are named 1 or chr1 or NC_000001, and so on, with whole-chromosome coordinates.",
            )
        self._windows: OrderedDict[tuple[int, int], str] = OrderedDict()

    @property
    def contigs(self) -> dict[str, int]:
        """Lengths in bases by the file's own names, chromosomes only."""
        return {name: self._length[code] for code, name in self._name.items()}

    @property
    def digest(self) -> str:
        """A short name for what the file covers, so that loads with unlike references can be told apart."""
        text = " ".join(f"{NAMES[code - 1]}:{length}" for code, length in sorted(self._length.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def length(self, chrom: int) -> int:
        """Length of a chromosome in this file, in bases; 0 where the file does not have it."""
        return self._length.get(chrom, 0)

    def window(self, chrom: int, pos: int) -> tuple[int, str]:
        """The stretch that holds a 1-based position: (its first position, its bases); ("" outside the file's contigs)."""
        number = pos0(pos) // self.bases
        text = self._windows.get((chrom, number))
        if text is None:
            text = self._read(chrom, number)
            self._windows[chrom, number] = text
            if len(self._windows) > _KEPT_WINDOWS:
                self._windows.popitem(last=False)
        return pos1(number * self.bases), text

    def fetch(self, chrom: int, start: int, end: int) -> str:
        """Bases at 1-based inclusive positions, upper case; shorter, or empty, where the contig ends or is not there."""
        first, text = self.window(chrom, start)
        if end - first < self.bases:
            return text[start - first : end - first + 1]
        parts = [text[start - first :]]
        while (first := first + self.bases) <= end:
            parts.append(self.window(chrom, first)[1][: end - first + 1])
        return "".join(parts)

    def check(self, assembly: Assembly) -> None:
        """Raises StoreError where the contigs contradict an assembly: one is longer than its chromosome, or has the very
        length it has in another assembly, or MT is hg19's own. Contigs may be shorter, as those of a part of a genome.
        """
        for code, length in self._length.items():
            name, expected = self._name[code], assembly.length(code)
            if code == _MT and length == HG19_MT_LENGTH:
                raise StoreError(
                    f"{self.path}: {name} is hg19's own ({length:,} bases); its coordinates are not those of MT ({expected:,})",
                    "Use a FASTA with the revised Cambridge sequence (human_g1k_v37, hs37d5), or one without chrM.",
                )
            other = next((a for a in ASSEMBLIES if a is not assembly and length == a.length(code) != expected), None)
            if other or length > expected:
                belongs = f"as in {other.name}" if other else "longer than the chromosome"
                raise StoreError(
                    f"{self.path}: contig {name} has {length:,} bases, {belongs}; the store is {assembly.name} ({expected:,})",
                    f"Give the FASTA of {assembly.name}.",
                )

    def _read(self, chrom: int, number: int) -> str:
        start = number * self.bases
        if start >= self.length(chrom):
            return ""
        try:
            return self._file.fetch(self._name[chrom], start, min(start + self.bases, self._length[chrom])).upper()
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path}: cannot be read: {error}", "Index it anew: samtools faidx FASTA") from error


def _open(path: Path) -> pysam.FastaFile:
    index = Path(f"{path}.fai")
    remedy = f"Index it: samtools faidx {path}"
    if not path.is_file():
        raise StoreError(f"{path}: no such reference FASTA", "Name an existing file with --reference.")
    if not os.access(path, os.R_OK):
        raise StoreError(f"{path}: not readable", "Change its permissions, or copy it.")
    if not index.exists() and not os.access(path.parent, os.W_OK):
        raise StoreError(f"{path}: has no index {index.name}, and its folder is not writable", f"{remedy} (or copy it elsewhere first)")
    with path.open("rb") as file:
        start = file.read(2)
    if start[:1] != b">" and start != b"\x1f\x8b":
        raise StoreError(f"{path}: not a FASTA file", "A reference is a FASTA, plain or compressed with bgzip.")
    verbosity = pysam.set_verbosity(0)
    try:
        return pysam.FastaFile(str(path))
    except (OSError, ValueError) as error:
        compressed = "; compress it with bgzip, not gzip" if start != b">" else ""
        raise StoreError(f"{path}: not a FASTA that can be indexed{compressed}", remedy) from error
    finally:
        pysam.set_verbosity(verbosity)
