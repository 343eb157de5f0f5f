"""The two human assemblies: chromosome names and lengths.

Chromosomes are numbers inside (1-22, 23 = X, 24 = Y, 25 = MT) and `1 ... 22, X, Y, MT` outside.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import InvalidName, StoreError

NAMES = (*(str(n) for n in range(1, 23)), "X", "Y", "MT")
"""Chromosome names in genome order; `NAMES[code - 1]` is the name of a code."""

LAST_AUTOSOME = 22
"""Code of the last chromosome that everybody has two of."""


@dataclass(frozen=True)
class Assembly:
    """One assembly: its name, the lengths of its chromosomes in bases, and their RefSeq accessions."""

    name: str
    lengths: tuple[int, ...]
    accessions: tuple[str, ...]
    aliases: tuple[str, ...]

    def length(self, chrom: int) -> int:
        """Length in bases of a chromosome given by its code."""
        return self.lengths[chrom - 1]


# Lengths: NCBI assembly reports GCF_000001405.25 and .40; MT is NC_012920.1 (rCRS) in both.
GRCH37 = Assembly(
    "GRCh37",
    (249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022, 141213431, 135534747,
     135006516, 133851895, 115169878, 107349540, 102531392, 90354753, 81195210, 78077248, 59128983, 63025520,
     48129895, 51304566, 155270560, 59373566, 16569),
    ("NC_000001.10", "NC_000002.11", "NC_000003.11", "NC_000004.11", "NC_000005.9", "NC_000006.11", "NC_000007.13",
     "NC_000008.10", "NC_000009.11", "NC_000010.10", "NC_000011.9", "NC_000012.11", "NC_000013.10", "NC_000014.8",
     "NC_000015.9", "NC_000016.9", "NC_000017.10", "NC_000018.9", "NC_000019.9", "NC_000020.10", "NC_000021.8",
     "NC_000022.10", "NC_000023.10", "NC_000024.9", "NC_012920.1"),
    ("GRCH37", "HG19", "B37", "HS37D5", "HS37", "G1K_V37", "HUMAN_G1K_V37", "37", "NCBI37"),
)  # fmt: skip
GRCH38 = Assembly(
    "GRCh38",
    (248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636, 138394717, 133797422,
     135086622, 133275309, 114364328, 107043718, 101991189, 90338345, 83257441, 80373285, 58617616, 64444167,
     46709983, 50818468, 156040895, 57227415, 16569),
    ("NC_000001.11", "NC_000002.12", "NC_000003.12", "NC_000004.12", "NC_000005.10", "NC_000006.12", "NC_000007.14",
     "NC_000008.11", "NC_000009.12", "NC_000010.11", "NC_000011.10", "NC_000012.12", "NC_000013.11", "NC_000014.9",
     "NC_000015.10", "NC_000016.10", "NC_000017.11", "NC_000018.10", "NC_000019.10", "NC_000020.11", "NC_000021.9",
     "NC_000022.11", "NC_000023.11", "NC_000024.10", "NC_012920.1"),
    ("GRCH38", "HG38", "B38", "HS38", "HS38DH", "38", "NCBI38"),
)  # fmt: skip
ASSEMBLIES = (GRCH37, GRCH38)
HG19_MT_LENGTH = 16571
"""Length of hg19's own chrM (NC_001807), whose coordinates are not those of MT."""

_BY_NAME: dict[str, int] = {name: code for code, name in enumerate(NAMES, 1)}
_BY_NAME |= {"M": 25, "23": 23, "24": 24, "25": 25}
_BY_NAME |= {f"0{n}": n for n in range(1, 10)}
_BY_ACCESSION = {acc: code for a in ASSEMBLIES for code, acc in enumerate(a.accessions, 1)}


def assembly(name: str) -> Assembly:
    """The assembly of a name: GRCh37, hg19, b37, GRCh38, hg38 ... in any case.

    Raises StoreError for any other name.
    """
    for a in ASSEMBLIES:
        if name.upper() in a.aliases:
            return a
    raise StoreError(f"unknown assembly {name!r}", "Known are GRCh37 (hg19, b37) and GRCh38 (hg38).")


def chrom_code(name: str) -> int | None:
    """The code (1-25) of a chromosome name: `chr1`, `1`, `01`, `chrM`, `MT`, `NC_000001.11`; None for any other contig."""
    code = _BY_NAME.get(name)
    if code is None:
        upper = name.upper()
        code = _BY_NAME.get(upper.removeprefix("CHROM").removeprefix("CHR")) or _BY_ACCESSION.get(upper)
    return code


def chrom(name: str) -> int:
    """Like `chrom_code`, but raises InvalidName where there is no such chromosome."""
    code = chrom_code(name)
    if code is None:
        raise InvalidName(f"unknown chromosome {name!r}", "Chromosomes are 1-22, X, Y and MT, with or without chr, or RefSeq.")
    return code


def accession_assembly(name: str) -> Assembly | None:
    """The assembly that a RefSeq accession with version belongs to; None for other names and for MT, which both share."""
    found = [a for a in ASSEMBLIES if name.upper() in a.accessions]
    return found[0] if len(found) == 1 else None
