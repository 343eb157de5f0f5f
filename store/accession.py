"""Identifiers of genes and transcripts that carry a version."""

from __future__ import annotations

import re

# ENSG00000101282.4, ENSG00000182378.15_PAR_Y, ENSGR0000182378.10, ENSG00000223972.5_2 (GENCODE lifted to GRCh37), NM_001029871.3.
# Nothing else is taken apart: in RP3-467L1.4 the number after the dot belongs to the name.
_VERSIONED = re.compile(r"((?:ENS[A-Z]*\d{10,})|(?:[NX][MRP]_\d+))\.(\d+(?:_\d+)?)(_PAR_Y)?")


def split_version(identifier: str) -> tuple[str, str | None]:
    """An identifier without its version, and the version: `ENSG00000182378.15_PAR_Y` gives `ENSG00000182378_PAR_Y` and `15`.

    Identifiers that are not Ensembl's or RefSeq's come back as they are, with None.
    """
    found = _VERSIONED.fullmatch(identifier)
    return (found[1] + (found[3] or ""), found[2]) if found else (identifier, None)
