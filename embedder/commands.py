"""`vkg embed` and `vkg models`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from embedder import choice
from embedder.errors import EmbedderError
from embedder.models import annotation
from embedder.pooling import Pooling
from embedder.progress import Progress, say
from embedder.run import Outcome, release_of, run
from embedder.windows import Skip
from store import embedding, embedding_index, embedding_inputs
from store.commands import opened
from store.errors import StoreError
from store.region import Region

embed_group = typer.Typer()
models_group = typer.Typer(help="The models that turn variants into vectors.", no_args_is_help=True)
embed_group.add_typer(models_group, name="models")


@embed_group.command()
def embed(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="annotation; dnabert2, dnabert2:FOLDER; hf:REPOSITORY or hf:FOLDER of a Hugging Face encoder of DNA or, with --proteins, of proteins; "
            "hgvs:REPOSITORY or hgvs:FOLDER of one of text.",
        ),
    ] = annotation.ID,
    name: Annotated[
        str | None, typer.Option("--name", help="What the model is called in the store; else as --model says, folder and all.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", help="FASTA of the assembly; else the one registered with the store.")
    ] = None,
    proteins: Annotated[
        Path | None, typer.Option("--proteins", help="FASTA of the proteins that HGVSp names, for a model of proteins.")
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option("--region", help="Only variants of CHROM:START-END. More than once for several.")
    ] = None,
    gene: Annotated[
        list[str] | None, typer.Option("--gene", help="Only variants in a gene, by symbol or identifier. More than once for several.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, cuda:N or cpu.")] = "auto",
    flank: Annotated[
        int | None,
        typer.Option(
            "--flank", min=16, max=100_000, help="Bases of the reference on either side, else 500; residues of the protein, else 510."
        ),
    ] = None,
    pooling: Annotated[
        Pooling | None,
        typer.Option(
            "--pooling",
            help="Tokens that make the vector: the variant's own (variant), all (mean), or of all the largest (max); else variant, of text mean.",
        ),
    ] = None,
    dtype: Annotated[str | None, typer.Option("--dtype", help="fp16, bf16 or fp32; else fp16 on a GPU, fp32 on a CPU.")] = None,
    revision: Annotated[str | None, typer.Option("--revision", help="Commit of the model's repository.")] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=0, help="Processes that make tokens; else none on a CPU, and for a GPU one for each core but one."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Take the model's vectors out first, and make all anew.")] = False,
    index: Annotated[bool, typer.Option(help="Index the vectors when all are made, so that similar ones are found fast.")] = True,
    memory: Annotated[
        str | None, typer.Option("--index-memory", help="Memory for making the index, such as 4GB; else what it takes, up to 4 GB.")
    ] = None,
) -> None:
    """Turn variants into vectors: those that have none yet by this model. Several processes, on several machines, may do it at once.

    Example: vkg embed --model dnabert2 --device cuda
    """  # fmt: skip
    options = choice.Options(model, name or model, reference, proteins, device, flank, pooling, dtype, revision, workers)
    with _interruptible():
        with opened() as conn:
            if memory is not None:
                embedding_index.check_memory(conn, memory)
            release, loads = release_of(conn)
            ranges = [Region.parse(text).keys() for text in region or ()] + embedding.gene_ranges(conn, gene or (), loads)
            chosen = choice.choose(conn, options, release, loads)
            registered = _register(conn, chosen.wanted, again)
        try:
            with chosen.backend as made:
                outcome = run(registered, made, ranges or embedding.EVERYWHERE)
        except (EmbedderError, StoreError):
            with suppress(StoreError), opened() as conn:  # what went wrong says more; and another --flank may do
                embedding.remove_unused(conn, registered)
            raise
        with opened() as conn:
            how = _tell(conn, registered, outcome, chosen.remedy)
            if index and not how["indexed"] and not how["tasks"] and how["vectors"] >= embedding_index.INDEXED_FROM:
                _index(conn, registered, memory or embedding_index.index_memory(how["vectors"], registered.dimension))


def _register(conn: psycopg.Connection, wanted: embedding.Model, again: bool) -> embedding.Model:
    with conn.transaction():
        if again:
            embedding.lock_models(conn)
            if found := embedding.find_model(conn, wanted.name):
                embedding.remove(conn, found)
        registered = embedding.register(conn, wanted)
    if wanted.release_id is not None and registered.release_id is not None:
        embedding.forget_skipped(conn, registered, wanted.release_id)
        if not embedding_inputs.read_alike(conn, registered.release_id, wanted.release_id):
            say(
                f"vectors of {wanted.name} tell of release {registered.release_id}, and it is {wanted.release_id} by now: only variants without one are embedded.\n"
                "  To make all anew: vkg embed --again, with the other options as they were"
            )
    return registered


def _tell(conn: psycopg.Connection, model: embedding.Model, outcome: Outcome, remedy: str) -> dict[str, Any]:
    """Prints what became of a run, and returns the model's state. Raises EmbedderError, with the remedy, where not one variant has a vector."""
    if outcome.embedded or outcome.skipped:
        embedding_index.tidy(conn, model)
    how = embedding.status(conn, model)
    typer.echo(f"{model.name}: {outcome.embedded:,} variants embedded, {how['vectors']:,} in all")
    for reason, n in how["skipped"].items():
        typer.echo(f"  without a vector: {n:,}: {Skip[reason].text if reason in Skip.__members__ else reason}")
    if outcome.interrupted:
        raise KeyboardInterrupt(f"what was embedded is kept; {how['tasks']:,} tasks wait: run it again")
    if how["skipped"] and not how["vectors"]:
        raise EmbedderError(f"no variant could be embedded: {sum(how['skipped'].values()):,} tried", remedy)
    if how["tasks"]:
        typer.echo(f"  {how['tasks']:,} tasks are others' or elsewhere, and wait: run it again when those have ended")
    return how


def _index(conn: psycopg.Connection, model: embedding.Model, memory: str) -> None:
    """Builds the index, and says how far it is, which another connection asks for."""
    done = threading.Event()
    conn.add_notice_handler(lambda notice: say(f"{notice.message_primary}\n  {notice.message_hint or ''}".rstrip()))

    def follow() -> None:
        with opened() as other, Progress(f"indexing {model.name}", 100, "%") as bar:
            told = 0
            while not done.wait(1):
                part = int(100 * (embedding_index.index_progress(other, model) or 0))
                bar.update(max(part - told, 0))
                told = max(part, told)

    watcher = threading.Thread(target=follow, daemon=True)
    watcher.start()
    try:
        embedding_index.build_index(conn, model, memory)
    finally:
        done.set()
        watcher.join()
    typer.echo(f"  indexed {model.name}")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C inside ends the command with exit code 130."""
    try:
        yield
    except KeyboardInterrupt as error:
        say(f"vkg: interrupted{f'; {error}' if str(error) else ''}")
        raise typer.Exit(130) from None


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
        typer.echo(f"{row['name']}  {', '.join(_facts(row))}")


def _facts(row: dict[str, Any]) -> Iterator[str]:
    """What is said of a model in one line."""
    yield f"{row['vectors']:,} vectors of {row['dimension']:,} numbers"
    if row["skipped"]:
        yield f"{sum(row['skipped'].values()):,} variants without"
    if row["tasks"]:
        yield f"{row['tasks']:,} tasks wait"
    if row["flank"] is not None:
        yield f"{row['flank']:,} {'residues' if choice.PROTEIN in row['inputs'] else 'bases'} on either side"
    yield from (row[each] for each in ("pooling", "dtype") if row[each])
    if row["release_id"] is not None:
        yield f"of release {row['release_id']}"
    yield "indexed" if row["indexed"] else "not indexed"


@models_group.command("remove")
def models_remove(name: Annotated[str, typer.Argument(help="Name of the model.", show_default=False)]) -> None:
    """Take a model and its vectors out."""
    with opened() as conn:
        found = embedding.find_model(conn, name)
        if found is None:
            known = ", ".join(model.name for model in embedding.models(conn)) or "none"
            raise EmbedderError(f"no model {name!r} is registered", f"In the store: {known}")
        embedding.remove(conn, found)
        typer.echo(f"{name} is gone")
