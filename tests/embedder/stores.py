"""Stores with variants to embed, and a small model to do it with."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
import pysam

from store.assembly import GRCH37
from store.embedding import find_model
from store.genome import initialise, register_reference
from store.reference import Reference
from tests.conftest import ROOT
from tests.embedder.checkpoints import SMALL, random_state, small_tokenizer, write
from tests.store.vectors import Conn, Locus, add

DEMO = ROOT / "demo"
VCF = DEMO / "kg300_eur.chr20_1-4mb.grch37.phased.vcf.gz"
FASTA = DEMO / "chr20_npad_0.9-4.1mb.grch37.fa.gz"


def sites(count: int, start: int = 0) -> list[Locus]:
    """Variants of the demo's VCF, read by htslib; it has one ALT a record, left-aligned."""
    with pysam.VariantFile(str(VCF), drop_samples=True) as file:
        return [(20, r.pos, r.ref or "", (r.alts or ("",))[0]) for r in islice(file, start, start + count)]


def fill(url: str, loci: list[Locus]) -> list[int]:
    """Makes a store of GRCh37 with the demo's reference and these variants. Returns their keys."""
    with psycopg.connect(url, autocommit=True) as conn:
        initialise(conn, GRCH37)
        reference = Reference(FASTA)
        register_reference(conn, reference.path, reference.contigs)
        return add(conn, loci) if loci else []


def small_model(folder: Path, seed: int = 1, **config: Any) -> Path:
    """A folder with a DNABERT-2 of two narrow layers and random weights."""
    changed = SMALL | config
    return write(folder, changed, random_state(changed, seed), small_tokenizer().to_str())


def bits(conn: Conn, name: str) -> list[tuple[Any, ...]]:
    """All that is stored by a model, in order, numbers as their bytes."""
    model = find_model(conn, name)
    assert model is not None
    vectors = conn.execute(
        f"SELECT variant_key, halfvec_send(direction), float4send(norm), float4send(distance) FROM {model.table} ORDER BY variant_key"
    ).fetchall()
    skipped = conn.execute("SELECT variant_key, reason FROM embedding_skip WHERE model_id = %s ORDER BY 1", (model.model_id,)).fetchall()
    return vectors + skipped


def keys_by_position(conn: Conn) -> dict[int, int]:
    """The keys of all variants by position, of which each has one."""
    return dict(conn.execute("SELECT pos, variant_key FROM variant").fetchall())
