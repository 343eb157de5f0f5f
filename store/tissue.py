"""Which tissue a track of Enformer is of, by the words of its description: store/tissues.tsv says which words, and why.

Comes in: a description as targets_human.txt has it, `ASSAY:text`. Goes out: the assay, and the name of a tissue.
"""

from __future__ import annotations

import csv
import hashlib
import re
from pathlib import Path

ASSAYS = ("CAGE", "DNASE", "ATAC", "CHIP")
"""What tracks measure, as their descriptions begin: expression (CAGE), open chromatin (DNASE, ATAC), bound proteins and histone marks (CHIP)."""

UNKNOWN_ASSAY = "UNKNOWN"
"""The assay of a track whose description names none."""

_OF_NONE = "-"


def _words(text: str) -> re.Pattern[str] | None:
    """What finds any of words with commas between, each whole or with an s at its end, in any case; None for no words."""
    words = [re.escape(word.strip()) for word in text.split(",") if word.strip()]
    return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(words)})s?(?![a-z0-9])", re.IGNORECASE) if words else None


_LINES = [line for line in Path(__file__).with_name("tissues.tsv").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
_ROWS = {row["tissue"]: row for row in csv.DictReader(_LINES, delimiter="\t", quoting=csv.QUOTE_NONE)}
_NO_TISSUE = _words(_ROWS.pop(_OF_NONE)["words"])
_ANY = _words(",".join(row["words"] for row in _ROWS.values()))
_TABLE = [(tissue, _words(row["words"]), _words(row["except"])) for tissue, row in _ROWS.items()]

TISSUES: dict[str, str] = {tissue: row["name"] for tissue, row in _ROWS.items()}
"""The tissues, in the order of the table, and what each is called."""

DIGEST = hashlib.sha256("\n".join(_LINES).encode()).hexdigest()[:12]
"""A short name for what the table says, so that loads with unlike tables can be told apart."""


def assay_of(description: str) -> str:
    """What a track measures: what stands before the first colon of its description, in upper case; UNKNOWN_ASSAY where there is none."""
    assay, colon, _ = description.partition(":")
    return assay.strip().upper() if colon else UNKNOWN_ASSAY


def tissue_of(description: str) -> str | None:
    """The tissue (of TISSUES) that a track is of by what its description says after the assay, None where it is of none.

    Of several tissues that the words allow it is the first of the table.
    """
    said = description.partition(":")[2]
    # Half of the tracks are cell lines whose names are no words: looked for in the whole table at once, they are soon done.
    if not (_ANY and _ANY.search(said)) or (_NO_TISSUE and _NO_TISSUE.search(said)):
        return None
    found = (tissue for tissue, words, less in _TABLE if words and words.search(said) and not (less and less.search(said)))
    return next(found, None)
