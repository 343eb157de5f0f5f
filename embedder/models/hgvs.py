"""The text that a text encoder reads of a variant: what its most severe consequence is, in words, as a paper would say it.

In: a consequence of the store. Out: one line, such as

    Missense variant and splice region variant in the gene SIRPA, moderate impact. Protein change p.Gly44Asp. Protein coding transcript, exon 3 of 9.
    Coding change c.131A>G.

Terms of the Sequence Ontology are written out as words, and HGVS goes without the accession before its colon: the gene's symbol says which, and
encoders for text spell numbers out in pieces, which would outweigh the rest of a mean. What can be long comes last, since what is longer than
a model's positions is cut. Another wording is another VERSION.

What is used is listed in INPUTS: whatever is predicted from neighbours in this space must be none of it. Clinical significance, frequencies
and scores are not used, nor the annotator's other fields, which may hold them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.embedding_inputs import Consequence

VERSION = "1"
INPUTS = (
    "consequence.terms", "consequence.impact", "consequence.symbol", "consequence.biotype", "consequence.hgvsc", "consequence.hgvsp",
    "consequence.exon", "consequence.intron",
)  # fmt: skip
"""What texts are made of; none of it may be predicted from neighbours in this space."""

_KINDS = {"c": "Coding change", "n": "Non-coding change", "g": "Genomic change", "m": "Mitochondrial change", "r": "RNA change"}


def text(consequence: Consequence) -> str:
    """The text of a consequence; what it does not say is left out."""
    terms = " and ".join(_words(term) for term in consequence.terms) or "sequence variant"
    gene = f" in the gene {consequence.symbol}" if consequence.symbol else ""
    sentences = [f"{_capital(terms)}{gene}, {consequence.impact.lower()} impact"]
    if consequence.hgvsp:
        change = _change(consequence.hgvsp)
        if "(p." in change:  # before release 86 VEP wrote that nothing changes as c.717C>T(p.=)
            change = "p." + change.rpartition("(p.")[2].removesuffix(")")
        sentences.append(f"Protein change {change}")
    place = [f"{what} {number.replace('/', ' of ')}" for what in ("exon", "intron") if (number := getattr(consequence, what))]
    if consequence.biotype:
        place.insert(0, f"{_words(consequence.biotype).removesuffix(' transcript')} transcript")
    if place:
        sentences.append(_capital(", ".join(place)))
    if consequence.hgvsc:
        change = _change(consequence.hgvsc)
        sentences.append(f"{_KINDS.get(change.partition('.')[0], 'Change')} {change}")
    return "".join(f"{sentence}. " for sentence in sentences).rstrip()


def _change(hgvs: str) -> str:
    return hgvs.rpartition(":")[2]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
