"""The commands of `vkg load` for what variants do, and in which cells: V2F scores, effects of Enformer, metacells (pattern: commands.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loaders.commands import (
    AssemblyOption,
    DatasetOption,
    Files,
    HoldOption,
    LiftOption,
    ReferenceOption,
    StrictOption,
    UnnormalizedOption,
    VersionOption,
    load,
    loading,
    report,
)
from loaders.enformer_job import THRESHOLD, enformer_job
from loaders.run import ingest
from loaders.v2f_job import count_unknown, v2f_job


@load.command()
def v2f(
    files: Files,
    source: Annotated[
        str, typer.Option("--source", help="The method: cv2f, abc, encode-re2g, sce2g, epiraction, or table.", show_default=False)
    ],
    score_version: Annotated[str | None, typer.Option("--score-version", help="Version of the method.")] = None,
    cell_type: Annotated[str | None, typer.Option("--cell-type", help="Cell type of rows that name none.")] = None,
    tissue: Annotated[str | None, typer.Option("--tissue", help="Tissue of scores that name none.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", help="The score from which on it counts as positive; else the published one (abc, encode-re2g, sce2g)."
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option("--reference", help="For a table: FASTA of the assembly, indexed; else the one registered with the store."),
    ] = None,
    dataset: DatasetOption = None,
    version: VersionOption = None,
    assembly: AssemblyOption = None,
    lift: LiftOption = None,
    hold: HoldOption = False,
    unnormalized: Annotated[
        bool, typer.Option("--unnormalized", help="For a table: keep indels where there is no reference to left-align them, just trimmed.")
    ] = False,
    strict: StrictOption = False,
) -> None:
    """Load variant-to-function scores: of variants (cV2F, or a table), or links of elements to genes (ABC, ENCODE-rE2G, scE2G, EPIraction).

    They are stored as published and joined to variants when read, so they may be loaded before the variants or after. See docs/function.md.

    Example: vkg load v2f EnhancerPredictionsFull.tsv.gz --source abc --dataset abc_k562 --assembly GRCh38
    """
    with loading() as conn:
        job, read = v2f_job(
            conn,
            files,
            source=source,
            score_version=score_version,
            cell_type=cell_type,
            tissue=tissue,
            threshold=threshold,
            reference=reference,
            dataset=dataset,
            version=version,
            assembly=assembly,
            lift=lift,
            hold=hold,
            unnormalized=unnormalized,
            strict=strict,
        )
        outcome = ingest(conn, job, read)
        count_unknown(conn, outcome)
        report(outcome)


@load.command()
def metacells(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="AnnData of SEACells: its cells, or a summary of them.", show_default=False)],
    cells: Annotated[
        Path | None, typer.Option("--cells", help="For a summary: the file of the cells that it was made of.", show_default=False)
    ] = None,
    layer: Annotated[
        str | None, typer.Option("--layer", help="Matrix of expression: a layer, X or raw; else layer counts, layer raw, raw.X or X.")
    ] = None,
    atac: Annotated[
        Path | None, typer.Option("--atac", help="AnnData of the same metacells' accessibility: its columns are peaks.", show_default=False)
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale",
            metavar="counts|logged",
            help="What the matrix holds; else what its numbers, or those of the cells, tell.",
            show_default=False,
        ),
    ] = None,
    cell_type: Annotated[str | None, typer.Option("--cell-type", help="Column of cell types; else the first with a usual name.")] = None,
    tissue: Annotated[str | None, typer.Option("--tissue", help="Tissue of all; else the column tissue.")] = None,
    condition: Annotated[str | None, typer.Option("--condition", help="Condition of all; else the column condition.")] = None,
    embedding: Annotated[
        str | None, typer.Option("--embedding", help="Table of obsm to average; else X_pca, X_svd, X_lsi, X_scVI or X_diffmap.")
    ] = None,
    dataset: DatasetOption = None,
    version: VersionOption = None,
    assembly: AssemblyOption = None,
    hold: HoldOption = False,
    strict: StrictOption = False,
) -> None:
    """Load metacells of single cells, as SEACells makes them: what they express, and where their chromatin is open (--atac).

    The mean expression of a gene is the natural logarithm of 1 + counts per 10,000 of the metacell, or the mean of logged values.

    Example: vkg load metacells pbmc.seacells.h5ad --dataset pbmc68k --tissue blood
    """
    from loaders.metacell_job import metacell_job  # anndata takes a second, which no other command should

    with loading() as conn:
        job, read = metacell_job(
            conn,
            file,
            cells=cells,
            layer=layer,
            scale=scale,
            atac=atac,
            cell_type=cell_type,
            tissue=tissue,
            condition=condition,
            embedding=embedding,
            dataset=dataset,
            version=version,
            assembly=assembly,
            hold=hold,
            strict=strict,
        )
        report(ingest(conn, job, read))


@load.command()
def enformer(
    files: Files,
    targets: Annotated[
        Path | None, typer.Option("--targets", help="What the tracks are: targets_human.txt of the model; else what the files say.")
    ] = None,
    score: Annotated[
        str | None,
        typer.Option("--score", metavar="SAD|SAR", help="Which effects are read; SAD where files have both.", show_default=False),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            help=f"Size from which on an effect on a track counts; else {THRESHOLD}. Tracks differ in scale, SAD and SAR too.",
        ),
    ] = None,
    keep_tracks: Annotated[
        str,
        typer.Option(
            "--keep-tracks", metavar="all|summary|none", help="Keep effects on all tracks, on the 100 strongest, or summaries only."
        ),
    ] = "all",
    reference: ReferenceOption = None,
    dataset: DatasetOption = None,
    version: VersionOption = None,
    assembly: AssemblyOption = None,
    lift: LiftOption = None,
    hold: HoldOption = False,
    unnormalized: UnnormalizedOption = False,
    strict: StrictOption = False,
) -> None:
    """Load what Enformer predicts variants to change: effects on tracks (HDF5), or their principal components (a table).

    No variants are made: effects show at their variant whether that was loaded before or is loaded later. See docs/function.md.

    Example: vkg load enformer 1000G.MAF_threshold=0.005.22.h5 --targets targets_human.txt --dataset enformer --assembly GRCh37
    """
    with loading() as conn:
        job, read = enformer_job(
            conn,
            files,
            targets=targets,
            score=score,
            threshold=threshold,
            keep_tracks=keep_tracks,
            reference=reference,
            dataset=dataset,
            version=version,
            assembly=assembly,
            lift=lift,
            hold=hold,
            unnormalized=unnormalized,
            strict=strict,
        )
        report(ingest(conn, job, read))
