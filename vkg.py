"""The front door: one command, `vkg`, its groups mounted from the packages. It parses, calls and prints."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from embedder import cluster_commands, serving
from embedder import commands as embedder_commands
from embedder.errors import EmbedderError
from graph import commands as graph_commands
from graph import query_commands, similar_commands
from graph.errors import UserError
from graph.schema import VERSION
from loaders import commands as loader_commands
from loaders import function_commands
from loaders.errors import LoaderError
from store import access_commands
from store import commands as store_commands
from store.errors import StoreError

app = typer.Typer(no_args_is_help=True, invoke_without_command=True, add_completion=False, pretty_exceptions_enable=False)
for group in (
    store_commands.store, access_commands.commands, graph_commands.graph, query_commands.queries, similar_commands.similar_group, embedder_commands.embed_group, cluster_commands.cluster_group,
):  # fmt: skip
    app.registered_commands.extend(group.registered_commands)
    app.registered_groups.extend(group.registered_groups)
app.add_typer(loader_commands.load, name="load")
app.add_typer(loader_commands.derive, name="derive")
loader_commands.embed_variants = embedder_commands.embed
graph_commands.load_models = serving.load_models

DEMO = Path(__file__).resolve().parent / "demo"
PLACE = "20:1000000-4000000"
"""Where the variants of the demo lie."""
SURVEYED_CM = 6.65
"""What the runs of the demo searched: from its first to its last variant, whose INFO says CM=4.70307 and CM=11.353 (the HapMap map)."""
TRY = '{ variant(id: \\"rs4813331\\") { name genes { nodes { symbol } } carriers(first: 3) { edges { gt node { name population { name } } } } } }'


@app.callback()
def vkg(version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    """A knowledge graph of genetic variation."""
    if version:
        typer.echo(VERSION)
        raise typer.Exit


@app.command()
def demo(port: graph_commands.Port = 8000, serve: Annotated[bool, typer.Option(help="Serve when it is loaded.")] = True) -> None:
    """Load the demo data (3 Mb of chromosome 20, 300 people of the 1000 Genomes, GRCh37) and serve it."""
    if not DEMO.is_dir():
        raise StoreError(f"the demo data are not at {DEMO}", "They come with a checkout and with the wheel: install it anew.")
    for line in store_commands.initialise("GRCh37", DEMO / "chr20_npad_0.9-4.1mb.grch37.fa.gz", keep=True):
        typer.echo(line, err=True)
    loader_commands.samples(DEMO / "samples.panel", cohort="1000G", dataset="panel", version="20130502")
    loader_commands.vcf(
        [DEMO / "kg300_eur.chr20_1-4mb.grch37.phased.vcf.gz"],
        dataset="kg300", version="phase3", cohort="1000G", assembly="GRCh37",
    )  # fmt: skip
    loader_commands.genes(DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz", dataset="refgene", version="hg19", assembly="GRCh37")
    loader_commands.ibd(
        [DEMO / "hapibd.min1cm.ibd.gz", DEMO / "hapibd.min1cm.hbd.gz"],
        source="hap-ibd", source_version="1.0", dataset="hapibd", version="min1cm", cohort="1000G", callset="kg300",
        surveyed_cm=SURVEYED_CM,
    )  # fmt: skip
    function_commands.v2f([DEMO / "v2f.synthetic.abc.tsv"], source="abc", dataset="abc_synthetic", version="demo", assembly="GRCh37")
    function_commands.enformer([DEMO / "enformer.synthetic.h5"], dataset="enformer_synthetic", version="demo", assembly="GRCh37")
    function_commands.metacells(DEMO / "pbmc68k_reduced.seacells.h5ad", dataset="pbmc68k", version="10x", tissue="peripheral blood")
    embedder_commands.embed(region=[PLACE], index=False)  # whatever else the store holds
    if serve:
        address = f"http://127.0.0.1:{port}"
        curl = f"curl {address}/graphql -H 'Content-Type: application/json' -d '{{\"query\": \"{TRY}\"}}'"
        greeting = f"\nOpen {address}/graphiql in a browser (Ctrl-C ends it), or ask {address}/graphql:\n\n  {curl}\n"
        graph_commands.run("127.0.0.1", port, partial(graph_commands.make, (), (), None, 1), greeting)


def main() -> None:
    """Runs the command; errors that a user can mend are one message on standard error and exit code 2."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # what it warns of comes as an exception, too
    try:
        app()
    except (StoreError, LoaderError, EmbedderError) as error:
        fail(str(error), *getattr(error, "__notes__", ()))
    except UserError as error:
        fail(*filter(None, (str(error), f"  {error.hint}" if error.hint else None)))


def fail(*lines: str) -> None:
    """Prints what went wrong and ends the process with exit code 2."""
    print("vkg:", "\n".join(lines), file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
