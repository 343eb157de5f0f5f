"""From the store to vectors and back: what is stored is what the model makes of the reference, once, whoever does it and however often."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pysam
import pytest
import torch

from embedder.backends import TASKS, Annotations, Genome, Sequences
from embedder.errors import EmbedderError
from embedder.models import annotation, dnabert2
from embedder.pooling import Pooling
from embedder.run import Outcome, release_of, run, sequences
from store.embedding import EVERYWHERE, Model, Rows, Vectors, register, status
from store.region import Region
from tests.conftest import ROOT
from tests.embedder.checkpoints import SMALL, random_state, reference, small_tokenizer
from tests.embedder.stores import FASTA, bits, fill, sites, small_model
from tests.graph.loading import load_scores, load_vcf
from tests.store.vectors import Conn, Locus, add, stored, tasks

FLANK = 40
DATA = ROOT / "tests" / "data" / "graph"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dnabert2.Dnabert2:
    """A small model, loaded."""
    return dnabert2.load(str(small_model(tmp_path_factory.mktemp("model"))), device="cpu")


@pytest.fixture
def url(store_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of this test's own, which is the one that runs connect to."""
    monkeypatch.setenv("VKG_DATABASE_URL", store_url)
    return store_url


@pytest.fixture
def store(url: str) -> Iterator[Conn]:
    """A connection to it."""
    with psycopg.connect(url, autocommit=True) as conn:
        yield conn


@pytest.fixture(autouse=True)
def _small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "cpu", 16)


def registered(conn: Conn, name: str = "small", dimension: int = SMALL["hidden_size"], release: int | None = None) -> Model:
    return register(conn, Model(name, "local", "ab", dimension, FLANK, "variant", "fp32", "r", ["sequence"], release))


def embed(model: Model, network: Any, ranges: list[tuple[int, int]] = EVERYWHERE, workers: int = 0, **options: Any) -> Outcome:
    """Runs a sequence model over a store, as the command does."""
    with sequences(network, FASTA, FLANK, Pooling.VARIANT, workers=workers, report=options.get("report", print)) as made:
        return run(model, made, ranges)


def parts(network: Any, tokens: Executor) -> dict[str, Any]:
    """What Sequences is made of, as `sequences` does it."""
    return {"model": network, "cut": Genome(FASTA, FLANK), "pooling": Pooling.VARIANT, "tokens": tokens, "report": print}


# ---- what is stored


def test_vectors_are_those_of_the_formulas(store: Conn, url: str, small: dnabert2.Dnabert2) -> None:
    """SNVs against windows cut here, tokens of the tokenizer's own offsets, and the forward pass in float64."""
    loci = [site for site in sites(200) if len(site[2]) == len(site[3]) == 1][::8][:16]
    keys = fill(url, loci)
    assert embed(registered(store), small) == Outcome(len(loci))
    found, state, tokenizer = stored(store, "small"), random_state(SMALL), small_tokenizer()
    with pysam.FastaFile(str(FASTA)) as fasta:
        for key, (_, pos, ref, alt) in zip(keys, loci, strict=True):
            text = fasta.fetch("20", pos - 1 - FLANK, pos + FLANK).upper()
            assert text[FLANK] == ref
            pooled = []
            for base in (ref, alt):
                encoded = tokenizer.encode(text[:FLANK] + base + text[FLANK + 1 :])
                (at,) = [i for i, (begin, end) in enumerate(encoded.offsets) if begin <= FLANK < end]
                pooled.append(reference(state, SMALL, encoded.ids)[at].numpy())
            difference = pooled[1] - pooled[0]
            direction, norm, distance = found[key]
            length = np.linalg.norm(difference)
            assert norm == pytest.approx(length, rel=1e-5)
            assert np.abs(direction - difference / length).max() < 2**-11
            cosine = pooled[0] @ pooled[1] / np.linalg.norm(pooled[0]) / np.linalg.norm(pooled[1])
            assert distance == pytest.approx(1 - cosine, rel=1e-4)


def test_what_has_no_vector_says_why(store: Conn, url: str, small: dnabert2.Dnabert2) -> None:
    good = sites(20)
    (_, pos, ref, _), last = next(site for site in good if len(site[2]) == 1), 63_025_520
    wrong = {
        (20, pos, {"A": "C", "C": "G", "G": "T", "T": "A"}[ref], ref): "REF_MISMATCH",
        (20, 5_000, "A", "C"): "TOO_MANY_N",
        (20, last + 1, "A", "C"): "OUTSIDE",
        (3, 1_000, "A", "C"): "OUTSIDE",
        (20, pos, ref, ref + "ACGT" * 50): "TOO_LONG",
        (20, pos, ref, "R"): "AMBIGUOUS",
    }
    keys = fill(url, [*good, *wrong])
    outcome = embed(registered(store), small)
    assert outcome == Outcome(20, Counter(wrong.values()))
    assert dict(store.execute("SELECT variant_key, reason FROM embedding_skip").fetchall()) == dict(
        zip(keys[20:], wrong.values(), strict=True)
    )
    assert sorted(stored(store, "small")) == sorted(keys[:20])
    assert embed(registered(store), small) == Outcome()  # a reason is as good as a vector


def test_a_task_of_nothing_that_can_be_embedded_is_done(store: Conn, url: str, small: dnabert2.Dnabert2) -> None:
    fill(url, [(20, pos, "A", "C") for pos in range(1_000, 1_020)])
    assert embed(registered(store), small) == Outcome(0, Counter(TOO_MANY_N=20))
    assert (stored(store, "small"), tasks(store)) == ({}, [])


def test_numbers_that_are_not_finite_are_a_reason(store: Conn, url: str, tmp_path: Path) -> None:
    fill(url, sites(40))
    network = dnabert2.load(str(small_model(tmp_path)), device="cpu")
    with torch.no_grad():
        network.network.words.weight[9:13] = torch.nan  # of the pairs AA, AC, AG and AT
    outcome = embed(registered(store), network)
    assert outcome.skipped["NOT_FINITE"] > 0
    assert outcome.embedded + outcome.skipped.total() == 40
    assert len(stored(store, "small")) == outcome.embedded


# ---- by whom, and when


def test_lanes_and_runs_at_once_and_processes_for_tokens_change_nothing(store: Conn, url: str, small: dnabert2.Dnabert2) -> None:
    keys = fill(url, sites(300))
    assert embed(registered(store), small) == Outcome(300)
    alone = bits(store, "small")
    assert [row[0] for row in alone] == keys
    both = registered(store, "both")
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: embed(both, small), range(2)))
    assert sum(outcome.embedded for outcome in outcomes) == 300
    assert bits(store, "both") == alone
    assert embed(registered(store, "tokens"), small, workers=1) == Outcome(300)
    assert bits(store, "tokens") == alone


def test_only_what_is_new_is_embedded(store: Conn, url: str, small: dnabert2.Dnabert2) -> None:
    fill(url, sites(100)[::2])
    model = registered(store)
    assert embed(model, small).embedded == 50
    before = store.execute("SELECT variant_key, xmin FROM embedding_1").fetchall()
    add(store, sites(100)[1::2])
    assert status(store, model)["vectors"] == 50
    assert embed(model, small).embedded == 50
    now = dict(store.execute("SELECT variant_key, xmin FROM embedding_1").fetchall())
    assert len(now) == 100
    assert {key: now[key] for key, _ in before} == dict(before)
    assert embed(model, small) == Outcome()


def test_variants_that_come_while_others_are_embedded_are_the_next_runs(store: Conn, url: str, small: dnabert2.Dnabert2) -> None:
    fill(url, sites(40))
    model, late = registered(store), sites(40, start=40)

    class Loading(Sequences):
        def __call__(self, conn: Conn, rows: Rows) -> Vectors:
            if late:
                add(store, [late.pop() for _ in range(40)])
            return super().__call__(conn, rows)

    with ThreadPoolExecutor(1) as tokens:
        made = Loading(**parts(small, tokens), lanes=1)
        assert run(model, made).embedded == 40
    assert embed(model, small).embedded == 40
    assert len(stored(store, "small")) == 80


def test_only_what_was_asked_for_is_embedded(store: Conn, url: str, small: dnabert2.Dnabert2) -> None:
    loci = sites(60)
    keys = fill(url, loci)
    first, second = Region(20, loci[10][1], loci[14][1]), Region(20, loci[30][1], loci[31][1])
    expected = [key for key, (_, pos, _, _) in zip(keys, loci, strict=True) if any(r.start <= pos <= r.end for r in (first, second))]
    assert embed(registered(store), small, [second.keys(), first.keys()]).embedded == len(expected)
    assert list(stored(store, "small")) == expected


def test_what_fails_ends_all_lanes_and_what_was_done_stays(store: Conn, url: str, small: dnabert2.Dnabert2) -> None:
    fill(url, sites(160))
    model = registered(store)
    calls: list[int] = []

    class Failing(Sequences):
        def __call__(self, conn: Conn, rows: Rows) -> Vectors:
            calls.append(rows[0][0])
            if len(calls) == 4:
                raise EmbedderError("it is broken", "Mend it.")
            return super().__call__(conn, rows)

    with ThreadPoolExecutor(1) as tokens, pytest.raises(EmbedderError, match="it is broken"):
        run(model, Failing(**parts(small, tokens)))
    done = status(store, model)
    assert 16 <= done["vectors"] == 16 * (10 - done["tasks"])
    assert len(calls) < 10
    assert embed(model, small).embedded == 160 - done["vectors"]
    other = registered(store, "other")
    embed(other, small)
    assert bits(store, "small") == bits(store, "other")


def test_a_device_that_is_too_small_is_told_of_once(
    store: Conn, url: str, small: dnabert2.Dnabert2, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(url, sites(160))
    hidden, told = dnabert2.Dnabert2.hidden, list[str]()

    def little(self: Any, ids: np.ndarray, mask: np.ndarray | None = None) -> torch.Tensor:
        if len(ids) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return hidden(self, ids, mask)

    embed(registered(store), small)
    monkeypatch.setattr(dnabert2.Dnabert2, "hidden", little)
    assert embed(registered(store, "little"), small, report=told.append).embedded == 160
    (said,) = told
    assert "do not fit" in said
    assert list(stored(store, "little")) == list(stored(store, "small"))


def test_a_process_for_tokens_that_ends_is_told_of(store: Conn, url: str, small: dnabert2.Dnabert2) -> None:
    fill(url, sites(20))
    with sequences(small, FASTA, FLANK, Pooling.VARIANT, workers=1, report=print) as made:
        assert isinstance(made.tokens, Executor)
        made.tokens.submit(os._exit, 1)
        with pytest.raises(EmbedderError, match=r"a process that makes tokens ended\n.*--workers"):
            run(registered(store), made)
    assert status(store, registered(store)) == {"vectors": 0, "tasks": 2, "skipped": {}, "indexed": False}


def test_tokens_are_made_while_another_has_the_device(store: Conn, url: str, small: dnabert2.Dnabert2) -> None:
    """With the device taken, a lane's tokens are asked for all the same; its vectors wait."""
    fill(url, sites(10))
    model = registered(store)
    asked = threading.Event()

    class Watched(ThreadPoolExecutor):
        def submit(self, job: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
            asked.set()
            return super().submit(job, *args, **options)

    with Watched(1) as tokens, ThreadPoolExecutor(1) as pool:
        made = Sequences(**parts(small, tokens))
        with made.device:
            waiting = pool.submit(run, model, made)
            assert asked.wait(60)
            assert not waiting.done()
        assert waiting.result().embedded == 10


# ---- the model annotation, over files read here

SEVERITY = (
    "splice_donor_variant", "stop_gained", "frameshift_variant", "stop_lost", "start_lost", "inframe_insertion", "inframe_deletion",
    "missense_variant", "protein_altering_variant", "splice_region_variant", "synonymous_variant", "intron_variant",
    "non_coding_transcript_variant", "upstream_gene_variant", "downstream_gene_variant", "intergenic_variant",
)  # fmt: skip
"""The order of VEP's documentation, as far as the files have terms."""


def normal(fasta: pysam.FastaFile, chrom: str, pos: int, ref: str, alt: str) -> Locus:
    """A variant trimmed and left-aligned (Tan et al. 2015)."""
    while ref[-1] == alt[-1] and (len(ref) > 1 or len(alt) > 1):
        ref, alt = ref[:-1], alt[:-1]
        if not ref or not alt:
            pos -= 1
            base = fasta.fetch(chrom, pos - 1, pos).upper()
            ref, alt = base + ref, base + alt
    while len(ref) > 1 and len(alt) > 1 and ref[0] == alt[0]:
        pos, ref, alt = pos + 1, ref[1:], alt[1:]
    return {"X": 23, "MT": 25}.get(chrom) or int(chrom), pos, ref, alt


def read_annotations() -> dict[Locus, annotation.Annotation]:
    """What cohort.vcf, panel.vcf and scores.tsv say of each variant, the later file before the earlier one."""
    said: dict[Locus, dict[str, Any]] = {}
    with pysam.FastaFile(str(FASTA)) as fasta:
        for name in ("cohort", "clinvar", "panel"):
            for line in (DATA / f"{name}.vcf").read_text().splitlines():
                if line.startswith("#"):
                    continue
                chrom, pos, _, ref, alts, _, _, text = line.split("\t")[:8]
                info = dict(field.partition("=")[::2] for field in text.split(";"))
                for number, alt in enumerate(alts.split(",")):
                    own = said.setdefault(normal(fasta, chrom, int(pos), ref, alt), {"frequencies": {}, "consequences": []})
                    for key, population in (("AF", "ALL"), ("AF_EUR", "EUR"), ("AF_AFR", "AFR")):
                        value = info.get(key, ".").split(",")
                        if value != ["."] and value[number] != "." and info.get("AN") != "0":
                            own["frequencies"][population] = float(value[number])
                    own["consequences"] += [
                        (terms, impact, -len(own["consequences"])) for terms, impact in consequences(info, ref, alt, alts)
                    ]
        for line in (DATA / "scores.tsv").read_text().splitlines():
            if not line.startswith("#"):
                chrom, pos, ref, alt, _, phred = line.split("\t")
                if own := said.get(normal(fasta, chrom, int(pos), ref, alt)):
                    own["scores"] = {"CADD_PHRED": float(phred)}
    found = {}
    for locus, own in said.items():
        best = min(own["consequences"], key=lambda one: (min(map(SEVERITY.index, one[0])), one[2]), default=((), None, 0))
        found[locus] = annotation.Annotation(*locus[2:], best[0], best[1], own["frequencies"], own.get("scores", {}))
    return found


def consequences(info: dict[str, str], ref: str, alt: str, alts: str) -> Iterator[tuple[list[str], str]]:
    """Terms and impact of each consequence that VEP (CSQ) or SnpEff (ANN) gives an allele, in the way that each names alleles."""
    for entry in info.get("CSQ", "").split(","):
        shared = all(other[0] == ref[0] for other in alts.split(",")) and (len(ref) > 1 or any(len(o) > 1 for o in alts.split(",")))
        named = (alt[1:] or "-") if shared else alt
        if entry and entry.split("|")[0] == named:
            yield entry.split("|")[1].split("&"), entry.split("|")[2]
    for entry in info.get("ANN", "").split(","):
        if entry and entry.split("|")[0] == alt:
            yield entry.split("|")[1].split("&"), entry.split("|")[2]


def test_annotations_are_those_of_the_files(store: Conn, url: str) -> None:
    fill(url, [])
    for dataset in ("cohort", "clinvar", "panel"):
        load_vcf(url, DATA / f"{dataset}.vcf", dataset=dataset, version="1")
    load_scores(url, DATA / "scores.tsv", dataset="cadd", version="1.7", columns=["RawScore", "PHRED"], names=["CADD_RAW", "CADD_PHRED"])
    release, loads = release_of(store)
    model = registered(store, "annotation", annotation.DIMENSION, release)
    expected = read_annotations()
    assert run(model, Annotations(loads)) == Outcome(len(expected))
    found = stored(store, "annotation")
    keys = {
        (chrom, pos, ref, alt): key for key, chrom, pos, ref, alt in store.execute("SELECT variant_key, chrom, pos, ref, alt FROM variant")
    }
    assert keys.keys() == expected.keys()
    assert sum(bool(own.terms) for own in expected.values()) > 12
    assert sum("AFR" in own.frequencies for own in expected.values()) > 4
    assert sum(bool(own.scores) for own in expected.values()) > 4
    for locus, own in expected.items():
        (vector,) = annotation.vectors([own])
        length = np.linalg.norm(vector)
        direction, norm, distance = found[keys[locus]]
        assert direction.astype(np.float16).tolist() == (vector / length).astype(np.float16).tolist(), locus
        assert norm == pytest.approx(length, rel=1e-6)
        assert distance is None


def test_annotations_of_other_loads_are_not_read(store: Conn, url: str) -> None:
    fill(url, [])
    load_vcf(url, DATA / "cohort.vcf", dataset="cohort", version="1")
    _, before = release_of(store)
    load_vcf(url, DATA / "panel.vcf", dataset="panel", version="1")
    load_scores(url, DATA / "scores.tsv", dataset="cadd", version="1.7", columns=["PHRED"], names=["CADD_PHRED"])
    model, blind = (registered(store, name, annotation.DIMENSION) for name in ("before", "blind"))
    run(model, Annotations(before))
    run(blind, Annotations([]))
    scored = [name.startswith("score_") and not name.endswith("_missing") for name in annotation.DIMENSIONS]
    assert not any(direction[scored].any() for direction, _, _ in stored(store, "before").values())
    kept = [name.startswith(("type_", "trans", "bases_", "whole_")) or name.endswith("_missing") for name in annotation.DIMENSIONS]
    assert not any(direction[~np.array(kept)].any() for direction, _, _ in stored(store, "blind").values())


def test_populations_of_datasets_and_names_in_any_case_stand_in(store: Conn, url: str, tmp_path: Path) -> None:
    """gnomad:afr is AFR where no load has AFR itself; cadd_phred is CADD_PHRED."""
    fill(url, [])
    (_, pos, ref, alt), *_ = sites(1)
    (key,) = add(store, [(20, pos, ref, alt)])
    store.execute("INSERT INTO frequency_population VALUES (1, 1, 'gnomad:afr'), (1, 2, 'EUR'), (2, 1, 'gnomad:EUR'), (2, 2, 'sas')")
    store.execute(
        "INSERT INTO population_frequency (variant_key, load_id, ac, an, af) VALUES (%s, 1, '{1,1}', '{2,4}', '{0.5,0.25}')", (key,)
    )
    store.execute(
        "INSERT INTO population_frequency (variant_key, load_id, ac, an, af) VALUES (%s, 2, '{1,NULL}', '{8,NULL}', '{0.125,NULL}')", (key,)
    )
    store.execute("INSERT INTO score VALUES (3, 0, 'cadd_phred', ''), (4, 0, 'RAW', '')")
    store.execute("INSERT INTO variant_score (variant_key, load_id, score_id, value) VALUES (%s, 3, 0, 25), (%s, 4, 0, 7)", (key, key))
    run(registered(store, "annotation", annotation.DIMENSION), Annotations([1, 2, 3, 4]))
    (expected,) = annotation.vectors([annotation.Annotation(ref, alt, (), None, {"AFR": 0.5, "EUR": 0.25}, {"CADD_PHRED": 25.0})])
    ((direction, _, _),) = stored(store, "annotation").values()
    assert direction.astype(np.float16).tolist() == (expected / np.linalg.norm(expected)).astype(np.float16).tolist()
