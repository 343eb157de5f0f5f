"""Models that a server has loaded: a window gives the vector that the store has of its variant, and what cannot be served is said."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from embedder import models
from embedder.commands import embed
from embedder.errors import EmbedderError
from embedder.models import dnabert2
from embedder.pooling import Pooling
from embedder.serving import Served, changed, load_models, serve
from embedder.windows import Variant, Window, window
from store.embedding import Model, register
from store.reference import Reference
from tests.embedder.checkpoints import SMALL, random_state, reference, small_tokenizer
from tests.embedder.stores import FASTA, fill, sites, small_model
from tests.embedder.test_huggingface import SIX_MERS, esm
from tests.store.vectors import Conn, Locus, stored

FLANK = 150


@pytest.fixture
def url(store_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of this test's own, which is the one that commands connect to."""
    monkeypatch.setenv("VKG_DATABASE_URL", store_url)
    return store_url


@pytest.fixture
def store(url: str) -> Iterator[Conn]:
    """A connection to it."""
    with psycopg.connect(url, autocommit=True) as conn:
        yield conn


def windows_of(loci: list[Locus], flank: int = FLANK) -> list[Window]:
    fasta = Reference(FASTA)
    found = [window(fasta.fetch, fasta.length, Variant(*locus), flank) for locus in loci]
    assert all(isinstance(each, Window) for each in found)
    return [each for each in found if isinstance(each, Window)]


def indels(count: int) -> list[Locus]:
    """Insertions and deletions of the demo."""
    return [site for site in sites(25_000) if len(site[2]) != len(site[3])][:count]


# ---- what is the variant's own


@pytest.mark.parametrize(
    ("ref", "alt", "begin", "ends"),
    [
        ("ACGTA", "ACTTA", 2, (3, 3)),
        ("ACGTA", "CCGTC", 0, (5, 5)),
        ("ACGTACGGT", "ACGTGCGGT", 4, (5, 5)),
        ("ACGTTA", "ACTTA", 2, (3, 2)),  # sequences of two lengths end alike
        ("ACTTA", "ACGTTA", 2, (2, 3)),
        ("CAAAG", "CAAG", 1, (2, 1)),  # of equal bases the first
        ("CAAG", "CAAAAG", 1, (1, 3)),
        ("GTCTCA", "GTCA", 1, (3, 1)),
        ("ACG", "ACGTT", 3, (3, 5)),
        ("ACG", "TTACG", 0, (0, 2)),
        ("CGATTACAGG", "CGTTACAGGC", 2, (3, 2)),  # windows, of which one reads on
        ("CGTTACAGGC", "CGATTACAGG", 2, (2, 3)),
        ("CAAAGTCTGA", "CAAGTCTGAT", 1, (2, 1)),
        ("CGATTACAGG", "CGCCTACAGG", 2, (4, 4)),
        ("CGAGTACAGG", "CGTTTTACAG", 2, (4, 5)),
    ],
)  # fmt: skip
def test_the_change_is_found(ref: str, alt: str, begin: int, ends: tuple[int, int]) -> None:
    assert changed(ref, alt) == (begin, ends)
    assert changed(alt, ref) == (begin, ends[::-1])


@given(st.text("AC", min_size=1, max_size=30), st.text("AC", min_size=1, max_size=30))
def test_what_is_not_changed_is_the_same(ref: str, alt: str) -> None:
    if ref == alt:
        return
    begin, (ref_end, alt_end) = changed(ref, alt)
    assert 0 <= begin <= ref_end <= len(ref)
    assert begin <= alt_end <= len(alt)
    assert max(ref_end, alt_end) > begin
    assert ref[:begin] == alt[:begin]
    behind = ref[ref_end:], alt[alt_end:]
    size = min(map(len, behind)) if len(ref) == len(alt) else max(map(len, behind))
    assert behind[0][:size] == behind[1][:size]


def test_of_every_window_the_own_bases_are_found() -> None:
    loci = sites(25_000)[::4] + indels(1_000)
    for locus, each in zip(loci, windows_of(loci, 500), strict=True):
        assert changed(each.ref, each.alt) == (each.ref_span[0], (each.ref_span[1], each.alt_span[1])), locus


# ---- the vectors


@pytest.mark.parametrize("pooling", Pooling)
def test_a_window_gives_what_the_store_has_of_its_variant(store: Conn, url: str, tmp_path: Path, pooling: Pooling) -> None:
    loci = [*sites(20), *indels(40)]
    keys = fill(url, loci)
    folder = small_model(tmp_path)
    embed(model=f"dnabert2:{folder}", name="tiny", flank=FLANK, pooling=pooling, device="cpu", index=False)
    (read,) = load_models([f"tiny=dnabert2:{folder}"]).values()
    vectors = stored(store, "tiny")
    assert sorted(vectors) == sorted(keys)
    for key, locus, each in zip(keys, loci, windows_of(loci), strict=True):
        direction, norm, _ = vectors[key]
        made = read(each.ref, each.alt)
        assert made.dtype == np.float32
        assert np.linalg.norm(made) == pytest.approx(norm, rel=1e-4), locus
        assert np.abs(made / norm - direction).max() < 2**-10, locus


def test_a_sequence_that_no_store_has_gives_what_the_formulas_say(tmp_path: Path) -> None:
    """A deletion of three bases, as two sequences of two lengths: both are read as far as the shorter one goes."""
    loaded = dnabert2.load(str(small_model(tmp_path)), device="cpu")
    before, own, behind = "ACGTTGCATCAGGTCA", "TTG", "CCATGACGTAGGATCCA"
    ref, alt = before + own + behind, before + behind
    expected = []
    for text, (low, high) in ((ref[: len(alt)], (16, 19)), (alt, (15, 17))):
        encoded = small_tokenizer().encode(text)
        kept = [i for i, (a, b) in enumerate(encoded.offsets) if b > a and a < high and b > low]
        expected.append(reference(random_state(SMALL), SMALL, encoded.ids)[kept].mean(0).numpy())
    made = Served(loaded, Pooling.VARIANT)(ref, alt)
    assert np.abs(made - (expected[1] - expected[0])).max() < 1e-5
    assert np.array_equal(Served(loaded, Pooling.VARIANT)(alt, ref), -made)


def test_no_change_is_zero(tmp_path: Path) -> None:
    read = Served(dnabert2.load(str(small_model(tmp_path)), device="cpu"), Pooling.MEAN)
    made = read("ACGTACGT", "ACGTACGT")
    assert (made.shape, made.dtype, made.any()) == ((SMALL["hidden_size"],), np.float32, np.False_)


def test_threads_get_the_same_answers_as_one(tmp_path: Path) -> None:
    read = Served(dnabert2.load(str(small_model(tmp_path)), device="cpu"), Pooling.VARIANT)
    asked = [(each.ref, each.alt) for each in windows_of(sites(40))]
    alone = [read(*each).tobytes() for each in asked]
    assert len(set(alone)) > 30
    with ThreadPoolExecutor(8) as pool:
        assert [made.tobytes() for made in pool.map(lambda each: read(*each), asked * 3)] == alone * 3


def test_what_a_model_cannot_read_is_said(tmp_path: Path) -> None:
    read = Served(models.load(f"hf:{esm(tmp_path / 'nt', SIX_MERS, 'absolute', token_dropout=False)}", device="cpu"), Pooling.MEAN)
    longest = "ACGTGT" * 198  # with CLS and EOS the 200 tokens that it has positions for
    assert read(longest, longest[:-1] + "A").any()
    with pytest.raises(ValueError, match=r"A sequence is 201 tokens to the model, which reads 200 at most\."):
        read(longest + "ACGTGT", longest + "ACGTGA")


def test_numbers_that_are_not_finite_are_said(tmp_path: Path) -> None:
    loaded = dnabert2.load(str(small_model(tmp_path)), device="cpu")
    with torch.no_grad():
        loaded.network.words.weight[:] = torch.nan
    with pytest.raises(ValueError, match="no finite numbers"):
        Served(loaded, Pooling.MEAN)("ACGT", "ACCT")


# ---- which models are served


@pytest.fixture
def tiny(url: str, tmp_path: Path) -> Path:
    """The folder of a model that the store has as `tiny`."""
    fill(url, sites(3))
    folder = small_model(tmp_path / "tiny")
    embed(model=f"dnabert2:{folder}", name="tiny", flank=FLANK, pooling=Pooling.MAX, device="cpu", index=False)
    return folder


def test_models_are_served_by_their_names(store: Conn, tiny: Path) -> None:
    embed(model=f"dnabert2:{tiny}", flank=40, device="cpu", index=False)  # a name that says where it is
    names = [f"tiny=dnabert2:{tiny}", f"dnabert2:{tiny}"]
    found: dict[str, Any] = serve(store, names, device="cpu")
    assert list(found) == ["tiny", f"dnabert2:{tiny}"]
    assert [each.pooling for each in found.values()] == [Pooling.MAX, Pooling.VARIANT]
    assert serve(store, []) == {}


def test_what_is_not_what_made_the_vectors_is_not_served(store: Conn, tiny: Path, tmp_path: Path) -> None:
    other = small_model(tmp_path / "other", seed=2)
    with pytest.raises(EmbedderError, match=rf"the weights of dnabert2:{other} are not those that made the vectors of tiny\n.*tiny=SOURCE"):
        serve(store, [f"tiny=dnabert2:{other}"], device="cpu")
    with pytest.raises(EmbedderError, match=r"no model 'small' is registered\n.*In the store: tiny\."):
        serve(store, [f"small=dnabert2:{tiny}"], device="cpu")
    with pytest.raises(EmbedderError, match="no model '' is registered"):
        serve(store, [""], device="cpu")
    with pytest.raises(EmbedderError, match=r"tiny does not say where a model is\n.*--model tiny=dnabert2:FOLDER"):
        serve(store, ["tiny"], device="cpu")
    with pytest.raises(EmbedderError, match="nowhere"):
        serve(store, [f"tiny=dnabert2:{tmp_path / 'nowhere'}"], device="cpu")


def test_models_of_other_than_dna_are_not_served(store: Conn, tiny: Path) -> None:
    embed()
    with pytest.raises(EmbedderError, match=r"annotation reads .*frequency:ALL.*, not sequences of DNA"):
        serve(store, ["annotation"], device="cpu")
    register(store, Model("peptides", "1", "ab", 8, 510, "variant", "fp32", "r", ["protein", "consequence.hgvsp"]))
    with pytest.raises(EmbedderError, match=r"peptides reads protein, consequence\.hgvsp, not sequences of DNA"):
        serve(store, ["peptides=hf:somewhere"], device="cpu")
