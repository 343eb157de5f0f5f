"""What `vkg embed` was asked for: the model to register, and what makes its vectors.

Whatever can be said to be wrong is said here, before anything is registered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psycopg

from embedder import models, peptides, windows
from embedder.backends import Annotations, Peptides, Sequences, Texts, token_makers
from embedder.errors import EmbedderError
from embedder.models import annotation, hgvs
from embedder.pooling import Pooling
from embedder.progress import say
from embedder.proteins import Proteins
from embedder.run import Embed, sequences
from store import embedding_inputs
from store.embedding import Model
from store.genome import genome
from store.reference import Reference

PROTEIN = "protein"
"""What a model of proteins names among its inputs."""

_KINDS = f"annotation, {models.KINDS}"
_PROTEIN_INPUTS = (PROTEIN, "consequence.hgvsp")
_ANNOTATE = (
    "Annotate a VCF with VEP or SnpEff and load it, vkg load vcf FILE: consequences come in from its CSQ, ANN or EFF; see docs/loading.md."
)
_SEQUENCES = "such as Ensembl's Homo_sapiens.GRCh38.pep.all.fa.gz of the release that the variants were annotated with."


@dataclass(frozen=True)
class Options:
    """What decides over a model, as the command has it; None where it was not said."""

    model: str
    name: str
    reference: Path | None = None
    proteins: Path | None = None
    device: str = "auto"
    flank: int | None = None
    pooling: Pooling | None = None
    dtype: str | None = None
    revision: str | None = None
    workers: int | None = None


@dataclass(frozen=True)
class Choice:
    """The model as it is to be registered, what makes its vectors, and what to do when not one variant gets a vector."""

    wanted: Model
    backend: AbstractContextManager[Embed]
    remedy: str


def choose(conn: psycopg.Connection, options: Options, release: int, loads: Sequence[int]) -> Choice:
    """The model that was asked for, of this release and its loads. Raises EmbedderError and StoreError where it cannot be had, or not so."""
    kind = options.model.partition(":")[0]
    if options.proteins is not None and kind != "hf":
        raise EmbedderError(
            f"{options.model} reads no proteins", "Leave --proteins out, or choose a model of proteins: hf:REPOSITORY or hf:FOLDER."
        )
    if options.model == annotation.ID:
        return _annotations(options, release, loads)
    if kind not in ("dnabert2", "hf", "hgvs"):
        raise EmbedderError(f"no model {options.model!r}", f"Models are {_KINDS}.")
    if options.name == annotation.ID:
        raise EmbedderError(f"{options.name} is the name of another model", "Give this one another: --name")
    if kind == "hgvs":
        return _texts(conn, options, release, loads)
    if options.proteins is not None:
        return _proteins(conn, options, options.proteins, release, loads)
    return _bases(conn, options)


def _annotations(options: Options, release: int, loads: Sequence[int]) -> Choice:
    for name in ("reference", "device", "flank", "pooling", "dtype", "revision", "workers"):
        if getattr(options, name) != getattr(Options, name):
            raise EmbedderError(f"--{name}: {options.model} is made by fixed rules, of what visible loads say", f"Leave --{name} out.")
    wanted = Model(options.name, annotation.VERSION, None, annotation.DIMENSION, None, None, None, None, list(annotation.INPUTS), release)
    return Choice(wanted, nullcontext(Annotations(loads)), "")


def _bases(conn: psycopg.Connection, options: Options) -> Choice:
    store = genome(conn)
    path = options.reference or store.reference_path
    if path is None:
        raise EmbedderError(
            f"{options.model} reads the reference, and none is registered with the store",
            "Give it: --reference FASTA; a model of proteins reads --proteins FASTA.",
        )
    fasta = Reference(path)
    fasta.check(store.assembly)
    loaded = _load(options)
    if loaded.alphabet == "PROTEIN":
        raise EmbedderError(
            f"{options.model} reads proteins, and variants are of DNA",
            f"Give the proteins that HGVSp names: --proteins FASTA, {_SEQUENCES}",
        )
    flank, pooling = options.flank or windows.FLANK, options.pooling or Pooling.VARIANT
    return Choice(
        _registered(options, loaded, flank, pooling, fasta.digest, ["sequence"]),
        sequences(loaded, path, flank, pooling, workers=options.workers, report=say),
        "Check that the reference is the one that the variants were called against: --reference FASTA --again",
    )


def _proteins(conn: psycopg.Connection, options: Options, path: Path, release: int, loads: Sequence[int]) -> Choice:
    if options.reference is not None:
        raise EmbedderError("--reference and --proteins: a model reads one of the two", "Leave --reference out, or choose a model of DNA.")
    _need_consequences(conn, options, loads)
    proteins = Proteins(path)
    with closing(embedding_inputs.changed_proteins(conn, loads)) as named:
        proteins.check(named)
    loaded = _load(options)
    if loaded.alphabet != "PROTEIN":
        raise EmbedderError(
            f"{options.model} is no model of proteins", "Leave --proteins out, or choose one, such as hf:facebook/esm2_t33_650M_UR50D."
        )
    flank, pooling = options.flank or peptides.FLANK, options.pooling or Pooling.VARIANT
    cut = Peptides(proteins, loads, flank)
    return Choice(
        _registered(options, loaded, flank, pooling, proteins.digest, _PROTEIN_INPUTS, release=release),
        _with_tokens(options, loaded, lambda tokens: Sequences(model=loaded, cut=cut, pooling=pooling, tokens=tokens, report=say)),
        f"Check that the FASTA is of the proteins that HGVSp names, {_SEQUENCES} Then: --proteins FASTA --again",
    )


def _texts(conn: psycopg.Connection, options: Options, release: int, loads: Sequence[int]) -> Choice:
    if options.flank is not None or options.reference is not None:
        option = "--flank" if options.flank is not None else "--reference"
        raise EmbedderError(f"{option}: {options.model} reads text, and no sequence", f"Leave {option} out.")
    if options.pooling not in (None, Pooling.MEAN):
        raise EmbedderError(f"--pooling {options.pooling}: of a text the mean of all tokens is taken", "Leave it out.")
    _need_consequences(conn, options, loads)
    loaded = _load(options)
    return Choice(
        _registered(options, loaded, None, Pooling.MEAN, None, hgvs.INPUTS, release=release, text=f"+text.{hgvs.VERSION}"),
        _with_tokens(options, loaded, lambda tokens: Texts(model=loaded, loads=loads, tokens=tokens, report=say)),
        _ANNOTATE,
    )


def _need_consequences(conn: psycopg.Connection, options: Options, loads: Sequence[int]) -> None:
    if not embedding_inputs.has_consequences(conn, loads):
        raise EmbedderError(f"{options.model} reads consequences, and no visible load tells of any", _ANNOTATE)


def _load(options: Options) -> models.Model:
    return models.load(options.model, revision=options.revision, device=options.device, dtype=options.dtype)


def _registered(
    options: Options, loaded: models.Model, flank: int | None, pooling: Pooling, reference: str | None, inputs: Sequence[str], *,
    release: int | None = None, text: str = "",
) -> Model:  # fmt: skip
    """The row of a network; `text` is the version of the texts that it reads, as a suffix of the revision."""
    from embedder.device import dtype_name

    return Model(
        options.name, loaded.revision + text, loaded.weights_sha256, loaded.dimension, flank, pooling.value, dtype_name(loaded.dtype), reference,
        list(inputs), release,
    )  # fmt: skip


@contextmanager
def _with_tokens(options: Options, loaded: models.Model, make: Callable[[Executor], Embed]) -> Iterator[Embed]:
    with token_makers(loaded, options.workers) as tokens:
        yield make(tokens)
