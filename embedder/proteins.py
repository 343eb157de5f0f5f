"""Proteins: their sequences by accession, from a FASTA, plain or compressed.

In: a FASTA as Ensembl, GENCODE, RefSeq and UniProt write it; of descriptions only Ensembl's `transcript:` is read. Out: sequences in one-letter code, upper case, without the stop. The file is read
once, from the beginning to the end: it needs no index, and may be compressed with gzip, as Ensembl's is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pysam

from embedder.errors import EmbedderError
from embedder.peptides import UNKNOWN

MOST = 1 << 30
"""Residues of a FASTA at most: they are held in memory, a byte each. All human proteins of Ensembl are a twentieth of this."""

LONGEST = 1_000_000
"""Residues of a protein at most; titin has 36 thousand."""

_SHOWN = 5
_SHOWN_NAME = 60
_LOOKED_AT = 1_000
_NO_RESIDUE = re.compile("[^ABCDEFGHIKLMNOPQRSTUVWXYZ]")
_BASES = frozenset("ACGTUN")
# Ensembl's proteins and transcripts, RefSeq's, UniProt's (https://www.uniprot.org/help/accession_numbers) with isoforms.
_ACCESSION = re.compile(
    r"ENS[A-Z]*[PT]\d{11}(?:\.\d+)?|[NXY][PMR]_\d+(?:\.\d+)?"
    r"|(?:[OPQ]\d[A-Z\d]{3}\d|[A-NR-Z]\d(?:[A-Z][A-Z\d]{2}\d){1,2})(?:-\d+)?"
)
_TRANSCRIPT = re.compile(r"(?:^|\s)transcript:(ENS[A-Z]*T\d{11}(?:\.\d+)?)(?=\s|$)")
_OF_RNA = re.compile(r"[NX][MR]_\d")
_VERSION = re.compile(r"((?:ENS|[NXY][PMR]_).*)\.\d+")
_REMEDY = (
    "Give a FASTA of proteins, such as Ensembl's Homo_sapiens.GRCh38.pep.all.fa.gz, of the release that the variants were annotated with."
)
_REMEDY_OF_RNA = (
    "The consequences name transcripts alone (NM_), as SnpEff writes them, and RefSeq's FASTA proteins alone (NP_). Annotate with VEP (--refseq --hgvs), "
    "which names the protein, or give a FASTA whose records are named by both: >NP_000509.1|NM_000518.5."
)


class Proteins:
    """The sequences of a FASTA. `names` are accessions as the file has them, `digest` a short name for all that it holds.

    Raises EmbedderError where the file is missing, not a FASTA, cut off, too large, or of bases.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: dict[str, str] = {}
        self._unversioned: dict[str, str] = {}
        digest = hashlib.sha256()
        total = 0
        for name, text in _records(path):
            digest.update(f"{name}\t{text}\n".encode())
            sequence = _NO_RESIDUE.sub(UNKNOWN, text.upper().removesuffix("*"))
            if (total := total + len(sequence)) > MOST:
                raise EmbedderError(f"{path}: more than {MOST:,} residues", "They are held in memory: give the proteins of one organism.")
            for accession in _accessions(name) if sequence else ():
                self._found.setdefault(accession, sequence)
                self._unversioned.setdefault(unversioned(accession), accession)
        if not total:
            raise EmbedderError(f"{path}: holds no sequence", _REMEDY)
        if all(_BASES.issuperset(sequence) for sequence in islice(self._found.values(), _LOOKED_AT)):
            raise EmbedderError(f"{path}: holds bases, not residues", _REMEDY)
        self.digest = digest.hexdigest()[:12]

    @property
    def names(self) -> list[str]:
        """The accessions, in the order of the file."""
        return list(self._found)

    def sequence(self, accession: str) -> str | None:
        """The sequence of an accession; a version counts where both the file and the accession have one. None where there is none."""
        if accession in self._found:
            return self._found[accession]
        plain = unversioned(accession)
        found = plain if accession != plain else self._unversioned.get(plain, plain)
        return self._found.get(found)

    def check(self, named: Iterable[str]) -> None:
        """Raises EmbedderError where none of these accessions has a sequence, with some of those looked for and found."""
        looked_for: dict[str, None] = {}
        for accession in named:
            if self.sequence(accession):
                return
            if len(looked_for) < _SHOWN:
                looked_for[accession] = None
        if not looked_for:
            raise EmbedderError(
                "no visible consequence gives a change of a protein (HGVSp)",
                "Annotate the file with HGVS and load it again: vep --hgvs --fasta FASTA ..., then vkg load vcf; see docs/loading.md.",
            )
        raise EmbedderError(
            f"{self.path}: no sequence of any protein that a consequence names\n"
            f"  looked for: {', '.join(looked_for)} ...\n  found: {', '.join(name[:_SHOWN_NAME] for name in self.names[:_SHOWN])} ...",
            _REMEDY_OF_RNA if all(_OF_RNA.match(accession) for accession in looked_for) else _REMEDY,
        )


def unversioned(accession: str) -> str:
    """An accession of Ensembl or RefSeq without its version: ENSP00000357654.3 gives ENSP00000357654. Others come back as they are."""
    found = _VERSION.fullmatch(accession)
    return found[1] if found else accession


def _accessions(name: str) -> list[str]:
    """What a record is called by: sp|P12345|NAME_HUMAN by P12345, ENSP0.1|ENST0.2|... of GENCODE by both, another name by itself."""
    return [part for part in name.split("|") if _ACCESSION.fullmatch(part)] or [name]


def _named(name: str, description: str) -> str:
    """The name of a record; of Ensembl's, ENSP0.1 pep ... transcript:ENST0.2, as GENCODE has it: SnpEff's HGVSp is of transcripts."""
    found = _TRANSCRIPT.search(description) if name.startswith("ENS") and "|" not in name else None
    return f"{name}|{found[1]}" if found else name


def _records(path: Path) -> Iterable[tuple[str, str]]:
    if not path.is_file():
        raise EmbedderError(f"{path}: no such FASTA of proteins", "Name an existing file with --proteins.")
    verbosity = pysam.set_verbosity(0)
    try:
        with pysam.FastxFile(str(path)) as file:
            for record in file:
                if record.quality is not None:
                    raise EmbedderError(f"{path}: a FASTQ, not a FASTA of proteins (record {(record.name or '')[:_SHOWN_NAME]})", _REMEDY)
                sequence = record.sequence or ""
                if len(sequence) > LONGEST:
                    shown = (record.name or "")[:_SHOWN_NAME]
                    raise EmbedderError(
                        f"{path}: {shown} has {len(sequence):,} residues, of which a protein has at most {LONGEST:,}", _REMEDY
                    )
                yield _named(record.name or "", record.comment or ""), sequence
    except (OSError, ValueError) as error:
        raise EmbedderError(f"{path}: cannot be read: {error}", "It is damaged or cut off, or not readable: fetch it again.") from error
    finally:
        pysam.set_verbosity(verbosity)
