"""`vkg embed` and `vkg models`: what they print, refuse and leave behind; killed, interrupted, and beside others."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pysam
import pytest
import torch

from embedder.backends import TASKS
from embedder.models import annotation, dnabert2
from embedder.windows import Variant, Window, window
from store import embedding_index
from store.reference import Reference
from tests.command_line import run
from tests.conftest import ROOT
from tests.embedder import annotated
from tests.embedder.asked import Command, Said, models, refused
from tests.embedder.checkpoints import PUBLISHED, random_state, reference, write
from tests.embedder.encoders import bert
from tests.embedder.stores import FASTA, bits, fill, sites, small_model
from tests.embedder.test_huggingface import AMINO_ACIDS, SIX_MERS, esm
from tests.graph.loading import load_vcf
from tests.store.vectors import Conn, stored


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small model."""
    return small_model(tmp_path_factory.mktemp("model"))


SMALL = ("--name", "small", "--flank", "40", "--device", "cpu")


# ---- the model annotation, and the registry


def test_the_registry_from_empty_to_empty(store: Conn, url: str, command: Command) -> None:
    fill(url, sites(30))
    assert command("models", "list").out == "No variant is embedded yet: vkg embed --help\n"
    assert models(command) == []
    assert command("embed") == Said(0, "annotation: 30 variants embedded, 30 in all\n", "")
    assert command("embed") == Said(0, "annotation: 0 variants embedded, 30 in all\n", "")
    assert command("models", "list").out == "annotation  30 vectors of 70 numbers, of release 1, not indexed\n"
    (model,) = models(command)
    facts = {
        "name": "annotation",
        "revision": "1",
        "dimension": 70,
        "release_id": 1,
        "vectors": 30,
        "tasks": 0,
        "skipped": {},
        "indexed": False,
    }
    assert {key: model[key] for key in facts} == facts
    assert model["inputs"] == list(annotation.INPUTS)
    refused(command("models", "remove", "nobody"), "no model 'nobody' is registered", "In the store: annotation")
    assert command("models", "remove", "annotation") == Said(0, "annotation is gone\n", "")
    assert models(command) == []
    refused(command("models", "remove", "annotation"), "In the store: none")


def test_regions_and_genes(store: Conn, url: str, command: Command) -> None:
    loci = sites(60)
    keys = fill(url, loci)
    pos = [locus[1] for locus in loci]
    store.execute("UPDATE release SET loads = '{1}'")
    store.execute(
        "INSERT INTO gene (gene_id, load_id, symbol, chrom, start_pos, end_pos, strand) VALUES ('ENSG1', 1, 'GENE1', 20, %s, %s, 1)",
        (pos[20], pos[25]),
    )
    assert command("embed", "--gene", "gene1", "--region", f"20:{pos[3]}-{pos[5]}", "--region", f"chr20:{pos[4]}").code == 0
    assert list(stored(store, "annotation")) == keys[3:6] + keys[20:26]
    refused(command("embed", "--gene", "GENE2"), "no gene 'GENE2' is loaded", "--region")
    refused(command("embed", "--region", "20:9-1"), "the end of '20:9-1' lies before its start")
    assert command("embed").out == "annotation: 51 variants embedded, 60 in all\n"


def test_another_release_is_told_of_and_again_makes_all_anew(store: Conn, url: str, command: Command, tmp_path: Path) -> None:
    fill(url, [])
    data = ROOT / "tests" / "data" / "graph"
    load_vcf(url, data / "cohort.vcf", dataset="cohort", version="1")
    assert command("embed").err == ""
    before = bits(store, "annotation")
    load_vcf(url, data / "panel.vcf", dataset="panel", version="1")
    said = command("embed")
    assert said.out == "annotation: 1 variants embedded, 19 in all\n"
    assert said.err.startswith("vectors of annotation tell of release 2, and it is 3 by now: only variants without one are embedded")
    assert "--again" in said.err
    kept = bits(store, "annotation")
    assert set(before) < set(kept)
    assert command("embed", "--again") == Said(0, "annotation: 19 variants embedded, 19 in all\n", "")
    assert models(command)[0]["release_id"] == 3
    assert set(before) - set(bits(store, "annotation"))  # panel.vcf has other frequencies
    assert command("embed").err == ""
    # What no model reads is no newer annotation.
    assert "visible as of release 4" in command("cluster", "--min-size", "2", "--min-samples", "1").out
    assert command("embed") == Said(0, "annotation: 0 variants embedded, 19 in all\n", "")


def test_variants_without_a_vector_are_tried_anew_once_for_a_change(store: Conn, url: str, command: Command, tmp_path: Path) -> None:
    fill(url, [])
    load_vcf(url, annotated.write(tmp_path / "a.vcf", [(1_896_000, []), (1_896_010, [annotated.csq("intron_variant")])]), dataset="a", version="1")  # fmt: skip
    asked = ("embed", "--model", f"hgvs:{bert(tmp_path / 'bert')}", "--name", "hgvs", "--device", "cpu")
    assert command(*asked).out.startswith("hgvs: 1 variants embedded, 1 in all\n  without a vector: 1: no visible load")
    assert command(*asked).out.startswith("hgvs: 0 variants embedded")

    def tried() -> tuple[Any, ...] | None:
        return store.execute("SELECT tried_release, (SELECT min(xmin::text) FROM embedding_skip) FROM embedding_model").fetchone()

    first = tried()
    assert first is not None
    assert first[0] is None
    load_vcf(url, annotated.write(tmp_path / "b.vcf", [(1_896_020, [])]), dataset="b", version="1")
    command(*asked)
    second = tried()
    assert second is not None
    assert second[0] == 3
    assert second[1] != first[1], "written anew"
    assert "tell of release 2, and it is 3 by now" in command(*asked).err
    assert tried() == second


def test_an_index_is_built_where_it_is_worth_it(store: Conn, url: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(url, sites(120))
    monkeypatch.setattr(embedding_index, "INDEXED_FROM", 100)
    assert not models(command)
    said = command("embed", "--no-index")
    assert (said.code, models(command)[0]["indexed"]) == (0, False)
    assert command("embed").out == "annotation: 0 variants embedded, 120 in all\n  indexed annotation\n"
    assert models(command)[0]["indexed"]
    assert "indexed" not in command("embed").out
    assert command("embed", "--again", "--index-memory", "64MB").out.endswith("indexed annotation\n")
    refused(command("embed", "--again", "--index-memory", "plenty"), "not an amount of memory for an index: 'plenty'")
    assert models(command)[0]["vectors"] == 120


def test_statistics_and_visibility_are_up_to_date_after_a_run(store: Conn, url: str, command: Command) -> None:
    fill(url, sites(50))
    command("embed")
    assert store.execute("SELECT reltuples::int, relallvisible = relpages FROM pg_class WHERE relname = 'embedding_1'").fetchone() == (
        50,
        True,
    )


# ---- what is refused


@pytest.mark.parametrize(
    ("option", "value"),
    [("--device", "cpu"), ("--reference", "x.fa"), ("--pooling", "mean"), ("--flank", "40"), ("--dtype", "fp32"), ("--revision", "1"), ("--workers", "1")],
)  # fmt: skip
def test_what_would_be_said_in_vain_of_annotation_is_refused(store: Conn, url: str, command: Command, option: str, value: str) -> None:
    fill(url, sites(2))
    refused(command("embed", option, value), f"{option}: annotation is made by fixed rules", f"Leave {option} out")
    assert models(command) == []
    assert command("embed", "--device", "auto").code == 0


def test_what_cannot_be_a_model_or_a_place_for_one_is_refused(store: Conn, url: str, command: Command, small: Path, tmp_path: Path) -> None:
    """Each in words, and with nothing registered."""
    keys = fill(url, sites(5))
    model = ("--model", f"dnabert2:{small}")
    refused(command("embed", "--model", "dnabert3"), "no model 'dnabert3'", "annotation, dnabert2, dnabert2:FOLDER")
    refused(command("embed", "--model", "hf:"), "no sequence model 'hf:'")
    refused(command("embed", *model, "--dtype", "fp8"), "no dtype 'fp8'", "fp32, fp16, bf16")
    refused(command("embed", *model, "--device", "tpu"), "no device 'tpu'")
    if not torch.cuda.is_available():
        refused(command("embed", *model, "--device", "cuda"), "no CUDA here", "--device cpu")
    refused(command("embed", *model, "--name", "annotation"), "annotation is the name of another model", "--name")
    refused(command("embed", *model, "--name", "my model"), "not a name for a model: 'my model'", "--name")
    refused(command("embed", "--model", f"dnabert2:{tmp_path / 'nowhere'}"), "no such folder", "pytorch_model.bin")
    assert command("embed", *model, "--pooling", "sum").code == 2
    assert command("embed", *model, "--flank", "3").code == 2

    protein = esm(tmp_path / "esm2", AMINO_ACIDS, "rotary", token_dropout=True)
    refused(command("embed", "--model", f"hf:{protein}"), "reads proteins, and variants are of DNA")

    half = tmp_path / "half"
    state = {
        key: values for key, values in random_state(PUBLISHED | {"num_hidden_layers": 1, "hidden_size": 24}).items() if ".mlp." not in key
    }
    write(half, json.loads((small / "config.json").read_text()), state, (small / "tokenizer.json").read_text())
    refused(
        command("embed", "--model", f"dnabert2:{half}"), "not the weights that config.json describes", "missing: bert.encoder.layer.0.mlp"
    )
    (half / "pytorch_model.bin").write_bytes((small / "pytorch_model.bin").read_bytes()[:-999])
    refused(command("embed", "--model", f"dnabert2:{half}"), "cannot be read as weights", "cut off")

    assert models(command) == []
    store.execute("UPDATE genome SET reference_path = NULL")
    refused(command("embed", *model), "reads the reference, and none is registered", "--reference FASTA")
    refused(command("embed", *model, "--reference", str(tmp_path / "no.fa")), "no.fa: no such reference FASTA")
    other = tmp_path / "GRCh38.fa"
    other.write_text(">chr21\nACGT\n")
    Path(f"{other}.fai").write_text("chr21\t46709983\t7\t4\t5\n")  # its length in GRCh38
    refused(command("embed", *model, "--reference", str(other)), "46,709,983 bases, as in GRCh38; the store is GRCh37")
    assert models(command) == []
    assert store.execute("SELECT count(*) FROM embedding_task").fetchone() == (0,)
    assert len(keys) == 5


def test_a_model_that_fails_at_once_is_not_left_registered(store: Conn, url: str, command: Command, tmp_path: Path) -> None:
    """Else the remedy, a smaller window, would be another model's."""
    fill(url, sites(20))
    folder = esm(tmp_path / "nt", SIX_MERS, "absolute", token_dropout=False)
    model = ("--model", f"hf:{folder}", "--name", "nt", "--device", "cpu")
    refused(command("embed", *model, "--flank", "2000"), "nt reads at most 200 tokens, and a sequence has", "a smaller --flank")
    assert models(command) == []
    assert command("embed", *model, "--flank", "100").out == "nt: 20 variants embedded, 20 in all\n"
    assert models(command)[0]["dimension"] == 32


def test_a_reference_of_other_bases_is_noticed_and_can_be_corrected(
    store: Conn, url: str, command: Command, small: Path, tmp_path: Path
) -> None:
    fill(url, sites(20))
    wrong = tmp_path / "wrong.fa"
    rotated = str.maketrans("ACGT", "CGTA")
    with pysam.FastaFile(str(FASTA)) as fasta:
        wrong.write_text(f">20\n{fasta.fetch('20', 0, 1_200_000).upper().translate(rotated)}\n")
    model = ("--model", f"dnabert2:{small}", *SMALL)
    said = command("embed", *model, "--reference", str(wrong))
    refused(said, "no variant could be embedded: 20 tried", "--reference FASTA --again")
    assert "without a vector: 20: REF differs from the reference" in said.out
    refused(command("embed", *model, "--reference", str(wrong)), "no variant could be embedded")
    refused(command("embed", *model), "small is registered with reference", "--again")
    assert command("embed", *model, "--again").out == "small: 20 variants embedded, 20 in all\n"


def test_other_weights_are_refused_and_their_vectors_not_lost(store: Conn, url: str, command: Command, small: Path, tmp_path: Path) -> None:
    fill(url, sites(20))
    assert command("embed", "--model", f"dnabert2:{small}", *SMALL).code == 0
    before = bits(store, "small")
    other = small_model(tmp_path / "other", seed=2)
    sums = [models(command)[0]["weights_sha256"], dnabert2.load(str(other), device="cpu").weights_sha256]
    refused(
        command("embed", "--model", f"dnabert2:{other}", *SMALL),
        f"small is registered with weights_sha256 {sums[0]}, not {sums[1]}",
        "--name",
    )
    for option, said in ((("--flank", "41"), "flank 40, not 41"), (("--pooling", "max"), "pooling variant, not max"), (("--dtype", "bf16"), "dtype fp32, not bf16")):  # fmt: skip
        refused(command("embed", "--model", f"dnabert2:{small}", *SMALL, *option), f"small is registered with {said}")
    (other / "pytorch_model.bin").write_bytes(b"")
    refused(command("embed", "--model", f"dnabert2:{other}", *SMALL, "--again"), "cannot be read as weights")
    assert bits(store, "small") == before  # --again takes nothing out before it can make it anew
    assert command("embed", "--model", f"dnabert2:{small}", *SMALL, "--again").code == 0
    assert bits(store, "small") == before


def test_a_folder_is_no_name_that_it_has_to_have(store: Conn, url: str, command: Command, small: Path) -> None:
    fill(url, sites(3))
    command("embed", "--model", f"dnabert2:{small}", "--name", "lab/dnabert2@2026", "--device", "cpu", "--flank", "40")
    command("embed", "--model", f"dnabert2:{small}", "--device", "cpu", "--flank", "40")
    names = [model["name"] for model in models(command)]
    assert names == ["lab/dnabert2@2026", f"dnabert2:{small}"]
    lines = command("models", "list").out.splitlines()
    assert lines[0] == "lab/dnabert2@2026  3 vectors of 24 numbers, 40 bases on either side, variant, fp32, not indexed"


def test_a_database_without_a_store_is_told_so(empty_url: str) -> None:
    for arguments in (("embed",), ("models", "list"), ("models", "remove", "x")):
        refused(run(empty_url, *arguments), "vkg init")


def test_what_needs_no_network_needs_no_torch(url: str) -> None:
    fill(url, sites(3))
    code = """
import sys
for name in ("torch", "transformers", "tokenizers", "safetensors", "huggingface_hub"): sys.modules[name] = None  # importing it fails
import vkg
sys.argv = ["vkg", "embed"]
vkg.main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "annotation: 3 variants embedded, 3 in all\n", "")


# ---- the published layout, from the file to the row


@pytest.mark.slow
def test_a_checkpoint_in_the_published_layout_over_variants_of_the_demo(
    store: Conn, url: str, command: Command, real_tokenizer: Path, tmp_path: Path
) -> None:
    """The true width and the true tokens, one layer; a dozen rows against the formulas in float64."""
    config = PUBLISHED | {"num_hidden_layers": 1}
    state = random_state(config)
    folder = write(tmp_path / "DNABERT-2-117M", config, state, real_tokenizer.read_text())
    loci = sites(200, start=5_000)
    keys = fill(url, loci)
    model = ("--model", f"dnabert2:{folder}", "--name", "dnabert2", "--device", "cpu", "--flank", "120")
    assert command("embed", *model).out == "dnabert2: 200 variants embedded, 200 in all\n"
    (row,) = models(command)
    assert (row["dimension"], row["flank"], row["pooling"], row["dtype"], row["revision"]) == (768, 120, "variant", "fp32", "local")
    assert row["reference"] == Reference(FASTA).digest
    found = stored(store, "dnabert2")
    assert list(found) == keys
    tokenizer = dnabert2.load(str(folder), device="cpu").tokenizer
    with pysam.FastaFile(str(FASTA)) as fasta:
        for key, locus in list(zip(keys, loci, strict=True))[::25]:
            w = window(
                lambda _, start, end: fasta.fetch("20", start - 1, end), lambda _: fasta.get_reference_length("20"), Variant(*locus), 120
            )
            assert isinstance(w, Window)
            pooled = []
            for text, (begin, end) in ((w.ref, w.ref_span), (w.alt, w.alt_span)):
                (tokens,) = tokenizer.tokenize([text])
                low, high = (begin, end) if end > begin else (begin - 1, begin + 1)
                own = [i for i, (a, b) in enumerate(tokens.spans) if a < high and b > low and b > a]
                pooled.append(reference(state, config, tokens.ids.tolist())[own].mean(0).numpy())
            difference = pooled[1] - pooled[0]
            assert found[key][1] == pytest.approx(np.linalg.norm(difference), rel=1e-4)
            assert np.abs(found[key][0] - difference / np.linalg.norm(difference)).max() < 1e-3
    same = tmp_path / "safetensors"
    write(same, config, state, real_tokenizer.read_text(), "safetensors")
    assert command("embed", "--model", f"dnabert2:{same}", *model[4:], "--name", "safetensors").code == 0
    assert bits(store, "safetensors") == bits(store, "dnabert2")


# ---- in processes of their own

COUNT = 3_000


def process(url: str, small: Path, name: str, *more: str) -> subprocess.Popen[str]:
    """`vkg embed` of a small model in a process of its own, with one thread, so that the same batches give the same bits."""
    command = [sys.executable, "-m", "vkg", "embed", "--model", f"dnabert2:{small}", *SMALL, "--name", name, *more]
    environment = os.environ | {"VKG_DATABASE_URL": url, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def count(conn: Conn, table: str) -> int:
    """Rows of a table; 0 where there is none yet."""
    if conn.execute("SELECT to_regclass(%s)", (table,)).fetchone() == (None,):
        return 0
    (found,) = conn.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    return found


def ended(process: subprocess.Popen[str]) -> Said:
    out, err = process.communicate(timeout=180)
    return Said(process.returncode, out, err)


@pytest.fixture
def alone(store: Conn, url: str, small: Path) -> list[tuple[Any, ...]]:
    """What a run that nothing disturbs writes, of variants some of which have no vector."""
    loci = sites(COUNT)
    fill(url, loci + [(3, 1_000 + n, "A", "C") for n in range(100)])
    assert ended(process(url, small, "alone")) == Said(
        0, f"alone: {COUNT:,} variants embedded, {COUNT:,} in all\n  without a vector: 100: the reference has no sequence there\n", ""
    )
    return bits(store, "alone")


@pytest.mark.slow
def test_two_processes_at_once_leave_no_gap_and_nothing_twice(store: Conn, url: str, small: Path, alone: list[tuple[Any, ...]]) -> None:
    both = [process(url, small, "both"), process(url, small, "both", "--workers", "1")]
    said = [ended(each) for each in both]
    assert [each.code for each in said] == [0, 0], said
    embedded = [int(each.out.split()[1].replace(",", "")) for each in said]
    assert sum(embedded) == COUNT
    assert bits(store, "both") == alone


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed_it_is_as_if_nothing_had_been(
    store: Conn, url: str, small: Path, alone: list[tuple[Any, ...]]
) -> None:
    rng = random.Random(5)
    kills, amidst = 0, 0
    while (before := count(store, "embedding_2")) < COUNT:
        running = process(url, small, "killed")
        # Any moment: while it plans or writes its first rows, or some tasks later, and a little after that.
        wanted = (0, 1, before + 400, before + 700)[kills % 4]
        while running.poll() is None and count(store, "embedding_2") < min(wanted, COUNT):
            time.sleep(0.001)
        if not wanted:
            time.sleep(rng.uniform(0, 5))  # while it begins
        time.sleep(rng.uniform(0, 0.05))
        running.kill()
        running.communicate(timeout=60)
        while store.execute("SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").fetchone():
            time.sleep(0.01)
        now = count(store, "embedding_2")
        assert not now or _forgotten(store, 2) == 0
        kills, amidst = kills + 1, amidst + (before < now < COUNT)
    assert amidst >= 2
    last = ended(process(url, small, "killed"))
    assert (last.code, last.err) == (0, "")
    assert bits(store, "killed") == alone


@pytest.mark.slow
def test_a_killed_process_leaves_no_other_behind(store: Conn, url: str, small: Path) -> None:
    fill(url, sites(COUNT))
    running = process(url, small, "small", "--workers", "2")
    try:
        while not count(store, "embedding_1"):
            assert running.poll() is None, ended(running)
            time.sleep(0.01)
        children = psutil.Process(running.pid).children(recursive=True)
        assert len(children) >= 2
    finally:
        running.kill()
    running.communicate(timeout=60)  # when the last one that has its standard error ends
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_ctrl_c_ends_after_the_tasks_at_hand(store: Conn, url: str, small: Path, workers: str) -> None:
    fill(url, sites(COUNT))
    running = process(url, small, "small", "--workers", workers)
    while not count(store, "embedding_1"):
        assert running.poll() is None, ended(running)
        time.sleep(0.002)
    for each in [*psutil.Process(running.pid).children(recursive=True), running]:  # as a terminal does it
        each.send_signal(signal.SIGINT)
    said = ended(running)
    done, waiting = count(store, "embedding_1"), count(store, "embedding_task")
    assert said.code == 130
    assert said.out == f"small: {done:,} variants embedded, {done:,} in all\n"
    lines = [
        line for line in said.err.splitlines() if not line.startswith("small: ")
    ]  # how far it is, where it takes more than ten seconds
    assert lines == [
        "Ctrl-C: it ends when the tasks at hand are done; again: at once",
        f"vkg: interrupted; what was embedded is kept; {waiting:,} tasks wait: run it again",
    ]
    assert (done, waiting) == (COUNT - sum(row[0] for row in _waiting(store)), -(-(COUNT - done) // TASKS["cpu"]))
    assert ended(process(url, small, "small")).out == f"small: {COUNT - done:,} variants embedded, {COUNT:,} in all\n"


def _forgotten(conn: Conn, model: int) -> int:
    """Variants that have no vector, no reason, and no task either."""
    (found,) = conn.execute(
        f"""SELECT count(*) FROM variant v WHERE variant_key NOT IN (SELECT variant_key FROM embedding_{model})
        AND variant_key NOT IN (SELECT variant_key FROM embedding_skip WHERE model_id = {model})
        AND NOT EXISTS (SELECT FROM embedding_task t WHERE model_id = {model} AND v.variant_key >= t.lo AND v.variant_key < t.hi)"""
    ).fetchone() or (0,)
    return found


def _waiting(conn: Conn) -> list[tuple[int]]:
    return conn.execute("SELECT count(*) FROM variant v JOIN embedding_task t ON v.variant_key >= t.lo AND v.variant_key < t.hi").fetchall()
