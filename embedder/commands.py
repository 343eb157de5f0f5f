"""`vkg embed` and `vkg models`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from embedder import models as sequence_models
from embedder.errors import EmbedderError
from embedder.models import annotation
from embedder.pooling import Pooling
from embedder.run import Annotations, refuse_nothing, release_of, run, sequences
from embedder.windows import FLANK, Skip
from store import embedding
from store.commands import opened
from store.genome import genome
from store.read import HIGHEST, LOWEST
from store.reference import Reference
from store.region import Region

embed_group = typer.Typer()
models_group = typer.Typer(help="The models that turn variants into vectors.", no_args_is_help=True)
embed_group.add_typer(models_group, name="models")

ModelName = Annotated[
    str, typer.Option("--model", help="annotation; dnabert2, dnabert2:FOLDER; hf:REPOSITORY or hf:FOLDER of a Hugging Face encoder.")
]


@embed_group.command()
def embed(
    model: ModelName = annotation.ID,
    reference: Annotated[
        Path | None, typer.Option("--reference", help="FASTA of the assembly; else the one registered with the store.")
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option("--region", help="Only variants of CHROM:START-END. More than once for several.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cuda or cpu.")] = "auto",
    flank: Annotated[int, typer.Option("--flank", min=16, max=100_000, help="Bases of the reference on either side.")] = FLANK,
    pooling: Annotated[
        Pooling, typer.Option("--pooling", help="Tokens that make the vector: of the variant, all (mean), or the largest of each (max).")
    ] = Pooling.VARIANT,
    dtype: Annotated[str | None, typer.Option("--dtype", help="fp16, bf16 or fp32; else fp16 on a GPU, fp32 on a CPU.")] = None,
    revision: Annotated[str | None, typer.Option("--revision", help="Commit of the model's repository.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes that make tokens; else one for each core but one.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Take the model's vectors out first, and make all anew.")] = False,
    index: Annotated[bool, typer.Option(help="Index the vectors when all are made, so that similar ones are found fast.")] = True,
    memory: Annotated[str, typer.Option("--index-memory", help="Memory for making the index, as PostgreSQL writes it.")] = "1GB",
) -> None:
    """Turn variants into vectors: those that have none yet by this model. Several processes, on several machines, may do it at once.

    Example: vkg embed --model dnabert2 --device cuda
    """  # fmt: skip
    ranges = [Region.parse(text).keys() for text in region or ()] or [(LOWEST, HIGHEST)]
    with opened() as conn:
        found = embedding.find_model(conn, model)
        if again and found:
            embedding.remove(conn, found)
        release, loads = release_of(conn)
        store = genome(conn)
        if model == annotation.ID:
            wanted = embedding.Model(
                annotation.ID, annotation.VERSION, None, annotation.DIMENSION, None, None, None, None, list(annotation.INPUTS), release
            )
            registered = embedding.register(conn, wanted)
            if registered.release_id != release:
                _say(f"vectors of {model} tell of release {registered.release_id}; now it is {release}. To make all anew: --again")
            backend: Any = nullcontext(Annotations(loads))
        else:
            path = reference or store.reference_path
            if path is None:
                raise EmbedderError(f"{model} reads the reference, and none is registered with the store", "Give it: --reference FASTA")
            fasta = Reference(path)
            fasta.check(store.assembly)
            loaded = sequence_models.load(model, revision=revision, device=device, dtype=dtype)
            if loaded.alphabet != "DNA":
                raise EmbedderError(f"{model} reads proteins, and variants are of DNA", "Choose a model of DNA sequences.")
            wanted = embedding.Model(
                model,
                loaded.revision,
                loaded.weights_sha256,
                loaded.dimension,
                flank,
                pooling.value,
                _precision(loaded),
                fasta.digest,
                ["sequence"],
            )
            registered = embedding.register(conn, wanted)
            backend = sequences(loaded, path, flank, pooling, workers=workers or max(1, (os.cpu_count() or 2) - 1), report=_say)
    with backend as made:
        outcome = run(registered, made, ranges, lanes=1 if model == annotation.ID else 3)
    with opened() as conn:
        how = embedding.status(conn, registered)
        typer.echo(f"{model}: {outcome.embedded:,} variants embedded, {how['vectors']:,} in all")
        for reason, n in how["skipped"].items():
            typer.echo(f"  without a vector: {n:,} {Skip[reason].value}")
        refuse_nothing(outcome)
        if how["tasks"]:
            typer.echo(f"  {how['tasks']:,} tasks are being done by others, or wait: run it again")
        elif index and not how["indexed"] and how["vectors"] >= embedding.INDEXED_FROM:
            _say("indexing")
            embedding.build_index(conn, registered, memory)
            conn.execute(f"VACUUM (ANALYZE) {registered.table}")


@models_group.command("list")
def models_list(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the registered models, and how far each is."""
    with opened() as conn:
        rows = [asdict(model) | embedding.status(conn, model) for model in embedding.models(conn)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif not rows:
        typer.echo("No variant is embedded yet: vkg embed --help")
    for row in rows if not as_json else ():
        skipped = f", {sum(row['skipped'].values()):,} without" if row["skipped"] else ""
        typer.echo(
            f"{row['name']}  {row['vectors']:,} vectors of {row['dimension']} numbers{skipped}{'' if row['indexed'] else ', not indexed'}"
        )


@models_group.command("remove")
def models_remove(name: Annotated[str, typer.Argument(help="Name of the model.", show_default=False)]) -> None:
    """Take a model and its vectors out."""
    with opened() as conn:
        found = embedding.find_model(conn, name)
        if found is None:
            raise EmbedderError(f"no model {name!r} is registered", "vkg models list")
        embedding.remove(conn, found)
        typer.echo(f"{name} is gone")


def _precision(model: sequence_models.Model) -> str:
    from embedder.device import dtype_name

    return dtype_name(model.dtype)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
