"""The commands of similarity: similar, annotate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import export_annotations, export_similar
from .candidates import Candidates
from .errors import UserError
from .export_annotations import Fuzzy
from .export_similar import Alike, Near
from .query_commands import Output, Release, write_found

similar_group = typer.Typer()

Model = Annotated[str | None, typer.Option(help="Name of a model (vkg models list); may be left out where there is one alone.")]
OfRegion = Annotated[str | None, typer.Option("--region", help="Only variants of CHROM:START-END, 1-based and inclusive.")]
OfGene = Annotated[str | None, typer.Option("--gene", help="Only variants in a gene: its symbol or identifier.")]
Filter = Annotated[str | None, typer.Option(help="Conditions as in the API: '{impact: [HIGH], qual: {min: 30}}'.")]
Ids = Annotated[list[str] | None, typer.Option("--id", help="A candidate, by any of its names; may be repeated.")]
OfFile = Annotated[
    Path | None,
    typer.Option(
        "--candidates", exists=True, dir_okay=False,
        help="File of candidates: .vcf or .vcf.gz, else one name on each line, in the first column; # begins a comment.",
    ),
]  # fmt: skip

_MODES = ("NAME", "--pairs", "--to-class")
_OF_MODE = {
    "--same-gene": ("NAME",), "--population": ("NAME",), "--id": ("--to-class",), "--candidates": ("--to-class",),
    "--min-similarity": ("NAME", "--pairs"),
}  # fmt: skip
"""Options that say nothing in some of the modes, and in which they do."""


@similar_group.command()
def similar(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A variant, by any of its names.", show_default=False)] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="All pairs of variants that are alike, of a --gene or --region.")] = False,
    to_class: Annotated[
        str | None,
        typer.Option(
            "--to-class", metavar="CLASS[,CLASS]", help="Rank candidates by how near they are to clinical classes, such as PATHOGENIC."
        ),
    ] = None,
    model: Model = None,
    top: Annotated[int | None, typer.Option(help="Only so many, the most similar: 10 of NAME unless said, else all.", min=1)] = None,
    min_similarity: Annotated[
        float | None, typer.Option(help="Least cosine similarity, -1 to 1: 0.8 unless said, of pairs 0.7.", show_default=False)
    ] = None,
    region: OfRegion = None,
    gene: OfGene = None,
    same_gene: Annotated[bool, typer.Option("--same-gene", help="Only variants in a gene that NAME lies in.")] = False,
    population: Annotated[str | None, typer.Option(help="Only variants seen in this population, with their frequency there.")] = None,
    filter: Filter = None,
    ids: Ids = None,
    candidates: OfFile = None,
    release: Release = None,
    output: Output = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON in place of TSV: one document; of pairs one line for each.")] = False,
) -> None:
    """Write which variants are like one; with --pairs which of a gene or region are like each other; with --to-class how near candidates are to known
    variants of a clinical class, the nearest first: evidence of likeness in what the model reads, and no classification.

    Example: vkg similar rs4813331 --top 5 --min-similarity 0.9

    Example: vkg similar --pairs --gene SIRPA --min-similarity 0.99

    Example: vkg similar --to-class PATHOGENIC,LIKELY_PATHOGENIC --candidates case.vcf.gz
    """
    given = {"NAME": name, "--pairs": pairs or None, "--to-class": to_class}
    modes = [mode for mode in _MODES if given[mode] is not None]
    if len(modes) > 1:
        raise UserError("BAD_SELECTION", f"{' and '.join(modes)} exclude each other.", hint="Give one of them.")
    if not modes:
        hint = "Say a variant (vkg similar rs4813331), --pairs and a --gene, or --to-class PATHOGENIC and candidates."
        raise UserError("BAD_SELECTION", "Similar to what?", hint=hint)
    options: dict[str, Any] = {
        "--same-gene": same_gene or None, "--population": population, "--id": ids, "--candidates": candidates, "--min-similarity": min_similarity
    }  # fmt: skip
    for option, value in options.items():
        if value is not None and modes[0] not in _OF_MODE[option]:
            what = f"{option} goes with {' and '.join(_OF_MODE[option])}, not with {modes[0]}."
            raise UserError("BAD_SELECTION", what, hint="vkg similar --help")
    if same_gene and (region is not None or gene is not None):
        raise UserError(
            "BAD_SELECTION", "--same-gene, --gene and --region exclude each other.", hint="Give one of them; narrow it with --filter."
        )
    if name is not None:
        near = Near(
            10 if top is None else top, 0.8 if min_similarity is None else min_similarity, region, gene, same_gene, population, filter
        )
        write_found(release, output, as_json, lambda ctx: export_similar.most_similar(ctx, name, model, near, _say))
    elif to_class is not None:
        classes = export_similar.classes_named(to_class)
        of = Candidates(ids, candidates, region, gene, filter)
        write_found(release, output, as_json, lambda ctx: export_similar.ranked(ctx, of, classes, model, top, _say, as_json=as_json))
    else:
        alike = Alike(region, gene, filter, 0.7 if min_similarity is None else min_similarity, top)
        write_found(release, output, as_json, lambda ctx: export_similar.similar_pairs(ctx, model, alike, _say))


@similar_group.command()
def annotate(
    ids: Ids = None,
    candidates: OfFile = None,
    region: OfRegion = None,
    gene: OfGene = None,
    filter: Filter = None,
    fuzzy: Annotated[bool, typer.Option("--fuzzy", help="Also what variants similar to it have and it does not, carried over.")] = False,
    similarity: Annotated[
        float | None,
        typer.Option(help="With --fuzzy, least cosine similarity of a neighbour, 0 to 1: 0.9 unless said.", show_default=False),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("--k", help="With --fuzzy, how many neighbours are asked: 10 unless said, at most 100.", show_default=False),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="With --fuzzy, name of a model (vkg models list); may be left out where there is one alone.")
    ] = None,
    release: Release = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write: .tsv, or .jsonl with --json, or either with .gz behind; else the terminal.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON in place of TSV: one line for each fact.")] = False,
) -> None:
    """Write what is known of variants, a line for each fact: clinical classes, frequencies, scores, consequences, each with the file that says it.

    With --fuzzy also clinical classes, frequency and scores of the variants most like it, where it has none itself, with whom they came from: evidence to
    follow up, never what the model read. Nothing is ever written to the store.

    Example: vkg annotate --id rs4813331 --id 20-1897407-A-G

    Example: vkg annotate --candidates case.vcf.gz --fuzzy --similarity 0.95 --output case.facts.tsv
    """
    for option, value in (("--similarity", similarity), ("--k", k), ("--model", model)):
        if value is not None and not fuzzy:
            raise UserError("BAD_SELECTION", f"{option} says what is carried over.", hint="It goes with --fuzzy.")
    how = Fuzzy(model, 0.9 if similarity is None else similarity, 10 if k is None else k) if fuzzy else None
    of = Candidates(ids, candidates, region, gene, filter)
    write_found(release, output, as_json, lambda ctx: export_annotations.facts(ctx, of, how, _say, as_json=as_json))


def _say(text: str) -> None:
    typer.echo(text, err=True)
