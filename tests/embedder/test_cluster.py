"""Clusters of variants: those of drawn vectors are found again, as scikit-learn and numpy find them, and stored once, whole or not at all."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from embedder import cluster as clusters
from embedder.cluster import Parameters, find
from embedder.cluster_commands import cluster_group
from embedder.errors import EmbedderError
from embedder.run import release_of
from store import embedding, release
from store.assembly import GRCH37
from store.errors import OutputError, StoreError
from store.genome import initialise
from store.load import Load
from tests.conftest import ROOT
from tests.embedder.forks import quick_processes
from tests.graph.loading import load_vcf, write_vcf
from tests.graph.neighbours import read_neighbours, register
from tests.store.vectors import Conn

SIZES = (120, 90, 60, 60)
LONE = 40
NOISE = 33
"""Of the default draw: some of the lone ones fall to the nearest cluster, with a small probability."""


def drawn(seed: int = 1, dimension: int = 24, sizes: tuple[int, ...] = SIZES, lone: int = LONE) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (n, dimension) around one centre for each size, and lone ones anywhere, mixed; and of which centre each is, -1 for none."""
    rng = np.random.default_rng(seed)
    of = rng.permutation(np.repeat([*range(len(sizes)), -1], [*sizes, lone]))
    centres = np.vstack([rng.normal(size=(len(sizes), dimension)), np.zeros(dimension)])
    return centres[of] + np.where(of < 0, 1, 0.1)[:, None] * rng.normal(size=(len(of), dimension)), of


def halves(vectors: np.ndarray) -> np.ndarray:
    """Directions as they are stored."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def sklearns(directions: np.ndarray, min_size: int, min_samples: int) -> list[tuple[list[int], np.ndarray]]:
    """Members and their probabilities, by scikit-learn with all distances in one matrix, by size and first member."""
    from sklearn.cluster import HDBSCAN

    points = directions.astype(np.float64)
    points /= np.linalg.norm(points, axis=1)[:, None]
    distances = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    made = HDBSCAN(min_cluster_size=min_size, min_samples=min_samples, metric="precomputed", copy=True).fit(distances)
    found = [np.flatnonzero(made.labels_ == label) for label in range(made.labels_.max() + 1)]
    return [(rows.tolist(), made.probabilities_[rows]) for rows in sorted(found, key=lambda rows: (-len(rows), rows[0]))]


def checked(directions: np.ndarray, min_size: int, min_samples: int) -> clusters.Clusters:
    """What `find` finds, which is what scikit-learn and numpy do."""
    found, expected = find(directions, min_size, min_samples), sklearns(directions, min_size, min_samples)
    assert len(found.sizes) == len(expected)
    inside: set[int] = set()
    for number, (rows, probabilities) in enumerate(expected, 1):
        assert np.flatnonzero(found.numbers == number).tolist() == rows
        assert np.abs(found.probabilities[rows] - probabilities).max() < 1e-6
        units = directions[rows] / np.linalg.norm(directions[rows].astype(np.float64), axis=1)[:, None]
        mean = units.sum(axis=0) / np.linalg.norm(units.sum(axis=0))
        near = (units * mean).sum(axis=1)
        assert found.exemplars[number - 1] == next(row for row, one in zip(rows, near, strict=True) if one > near.max() - 1e-9)
        assert found.cohesions[number - 1] == pytest.approx(near.mean(), abs=1e-9)
        assert found.sizes[number - 1] == len(rows)
        inside |= set(rows)
    assert not found.probabilities[[row for row in range(len(directions)) if row not in inside]].any()
    return found


# ---- HDBSCAN


@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_those_of_scikit_learn_and_of_the_draw(seed: int) -> None:
    vectors, of = drawn(seed)
    found = checked(halves(vectors), 30, 10)
    assert len(found.sizes) == len(SIZES)
    for number in range(1, len(SIZES) + 1):
        inside = found.numbers == number
        (centre,) = set(of[inside]) - {-1}
        assert inside[of == centre].all()
    assert found.probabilities[of >= 0].min() > 0.6
    assert found.probabilities[of < 0].max() < 0.2, "some that are alone fall to the nearest cluster, and hardly belong to it"
    assert 20 < (found.numbers == 0).sum() <= LONE


def test_the_largest_comes_first_and_of_one_size_the_first_in_the_genome() -> None:
    vectors, of = drawn(3, sizes=(60, 60, 90, 60), lone=0)
    found = checked(halves(vectors), 30, 10)
    assert found.sizes.tolist() == [90, 60, 60, 60]
    first = [int(np.flatnonzero(found.numbers == number)[0]) for number in (2, 3, 4)]
    assert first == sorted(first)
    assert set(of[found.numbers == 1]) == {2}


def test_numbers_that_are_zero_everywhere_change_nothing() -> None:
    plain = halves(drawn(4)[0])
    padded = np.insert(plain, [0, 3, 3, 24], 0, axis=1)
    one, other = find(plain, 30, 10), checked(padded, 30, 10)
    assert (one.numbers == other.numbers).all()
    assert (one.probabilities == other.probabilities).all()


def test_equal_vectors_are_one_cluster_and_the_same_again() -> None:
    """As annotations are: a few vectors that many have, some that few have."""
    rng = np.random.default_rng(5)
    kinds = halves(rng.normal(size=(40, 12)))
    of = rng.permutation(np.repeat(np.arange(40), [200, 150, 60, *[3] * 37]))
    found = find(kinds[of], 50, 50)
    again = find(kinds[of], 50, 50)
    for name in ("numbers", "probabilities", "sizes", "exemplars", "cohesions"):
        assert (getattr(found, name) == getattr(again, name)).all()
    assert len(found.sizes) == 3
    for number, kind in enumerate(range(3), 1):
        core = np.flatnonzero(of == kind)
        assert (found.numbers[core] == number).all()
        assert (found.probabilities[core] == 1).all()
        others = np.flatnonzero((found.numbers == number) & (of != kind))
        assert not found.probabilities[others].any(), "beside equal ones all others are infinitely far"
        assert found.exemplars[number - 1] == core[0]


def test_a_process_that_dies_is_told_of() -> None:
    def stop() -> None:
        (child,) = multiprocessing.active_children()
        os.kill(child.pid or 0, signal.SIGKILL)

    with pytest.raises(EmbedderError, match=r"(?s)clustering 370 variants ended without a result \(exit code -9\).*--region"):
        find(halves(drawn()[0]), 30, 10, stop)
    assert multiprocessing.active_children() == []


def test_what_does_not_begin_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no memory for another process, and that is what is said."""

    def fail(self: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", fail)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BlockingIOError, match="temporarily unavailable"):
        find(halves(drawn()[0]), 30, 10)
    assert len(os.listdir("/proc/self/fd")) == before


# ---- the load


@pytest.fixture
def url(store_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of this test's own, which is the one that commands use."""
    monkeypatch.setenv("VKG_DATABASE_URL", store_url)
    quick_processes(monkeypatch)
    with psycopg.connect(store_url, autocommit=True) as conn:
        initialise(conn, GRCH37)
    return store_url


@pytest.fixture
def store(url: str) -> Any:
    """A connection to it."""
    with psycopg.connect(url, autocommit=True) as conn:
        yield conn


def name_of(place: int) -> str:
    return f"20-{1_000_000 + 10 * place}-A-G"


def fill(url: str, folder: Path, vectors: np.ndarray, model: str = "drawn", dataset: str = "variants") -> None:
    """Loads as many variants as there are vectors, and gives them these by a model."""
    rows = [f"20 {1_000_000 + 10 * place} . A G 30 PASS DP=7" for place in range(len(vectors))]
    load_vcf(url, write_vcf(folder / f"{dataset}.vcf", *rows), dataset=dataset, version="1", assembly="GRCh37")
    register(url, model, {name_of(place): vector for place, vector in enumerate(vectors)})


def run(*arguments: str) -> Result:
    """`vkg cluster ...`, in this process."""
    return CliRunner().invoke(cluster_group, [str(each) for each in arguments])


def done(*arguments: str) -> str:
    """What it prints where all goes well."""
    made = run(*arguments)
    if made.exception is not None:
        raise made.exception
    assert made.exit_code == 0, made.output
    return made.stdout


def refused(*arguments: str) -> str:
    """What it says where it is refused."""
    made = run(*arguments)
    assert isinstance(made.exception, EmbedderError | OutputError), made.exception or made.output
    return str(made.exception)


def rows(store: Conn, load: int | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """All that is stored of clusters, or of one load's."""
    return {
        table: store.execute(f"SELECT * FROM {table} WHERE %(load)s::int IS NULL OR load_id = %(load)s ORDER BY 1, 2", {"load": load}).fetchall()
        for table in ("variant_cluster_run", "variant_cluster", "variant_cluster_member")
    }  # fmt: skip


SMALL = ("--min-size", "30", "--min-samples", "10")


def test_what_is_stored_is_what_was_found(url: str, store: Conn, tmp_path: Path) -> None:
    vectors, _ = drawn()
    fill(url, tmp_path, vectors)
    out = done("--model", "drawn", *SMALL, "--output", tmp_path / "clusters.tsv")
    lines = out.splitlines()
    assert lines[0].startswith("clusters.drawn ")
    assert lines[0].endswith(": 4 clusters of 370 variants")
    assert lines[1:] == [f"  {NOISE} in no cluster", "  visible as of release 3", f"  {370 - NOISE} variants in {tmp_path}/clusters.tsv"]

    known = read_neighbours(url, "drawn")
    assert known.names == [name_of(place) for place in range(len(vectors))]
    found = find(known.directions.astype(np.float16), 30, 10)
    keys = [key for (key,) in store.execute("SELECT variant_key FROM variant ORDER BY 1").fetchall()]
    stored = rows(store)
    ((load, *facts),) = stored["variant_cluster_run"]
    assert facts == ["drawn", 30, 10, 370, NOISE, 4]
    assert [(row[0], *row[1:5]) for row in stored["variant_cluster"]] == [
        (load * 2**24 + n, load, n, size, keys[exemplar])
        for n, size, exemplar in zip(range(1, 5), found.sizes.tolist(), found.exemplars.tolist(), strict=True)
    ]
    assert np.allclose([row[5] for row in stored["variant_cluster"]], found.cohesions, atol=1e-6)
    members = sorted(
        ((int(number), -np.float32(probability), place) for place, (number, probability) in enumerate(zip(found.numbers, found.probabilities, strict=True)) if number)
    )  # fmt: skip
    expected = [name_of(place) for _, _, place in members]
    text = (tmp_path / "clusters.tsv").read_text().splitlines()
    assert text[0] == "variant\tcluster\tprobability"
    assert [line.split("\t")[:2] for line in text[1:]] == [[name, str(n)] for name, (n, _, _) in zip(expected, members, strict=True)]
    assert [np.float32(line.split("\t")[2]) for line in text[1:]] == [-negative for _, negative, _ in members]
    by_place = store.execute("SELECT variant_key, ordinal, place FROM variant_cluster_member ORDER BY ordinal, place").fetchall()
    assert [keys.index(key) for key, _, _ in by_place] == [place for _, _, place in members]
    for n in range(1, 5):
        assert [place for _, number, place in by_place if number == n] == list(range(1, int(found.sizes[n - 1]) + 1))
    (shown,) = [row for row in release.loads(store) if row.kind == "clusters"]
    assert (shown.visible, shown.counts["records"], shown.counts["skipped"]) == (True, 370, {"in no cluster": NOISE})
    assert list(tmp_path.glob("*.partial")) == []


def test_the_same_again_is_a_no_op_and_anything_else_is_not(url: str, store: Conn, tmp_path: Path) -> None:
    fill(url, tmp_path, drawn()[0])
    done(*SMALL)
    before = rows(store)
    (load,) = before["variant_cluster_run"][0][:1]
    out = done(*SMALL, "--output", tmp_path / "again.tsv.gz")
    assert f"is there already, of the same vectors and options: load {load}" in out
    assert rows(store) == before
    assert gzip.decompress((tmp_path / "again.tsv.gz").read_bytes()).count(b"\n") == 1 + 370 - NOISE

    done("--min-size", "30", "--min-samples", "11")
    (newest,) = store.execute("SELECT max(load_id) FROM variant_cluster_run").fetchone() or (None,)
    assert [row.load_id for row in release.loads(store) if row.kind == "clusters" and row.visible] == [newest], "in place of the other one"
    done("--min-size", "30", "--min-samples", "11", "--name", "mine")
    assert [row.dataset for row in release.loads(store) if row.kind == "clusters" and row.visible] == ["mine", "clusters.drawn"]
    # One number of one vector.
    key, *_ = store.execute("SELECT variant_key FROM embedding_1 ORDER BY 1 LIMIT 1").fetchone() or ()
    store.execute("UPDATE embedding_1 SET direction = l2_normalize((direction::text::vector + (ARRAY[0.01] || array_fill(0, ARRAY[23]))::vector)::halfvec) WHERE variant_key = %s", (key,))  # fmt: skip
    assert "4 clusters" in done("--min-size", "30", "--min-samples", "11", "--name", "mine")
    release.unload(store, release.find_load(store, "clusters.drawn@" + _version(store, newest)).load_id)
    assert "4 clusters" in done("--min-size", "30", "--min-samples", "11"), "what was unloaded is made again"


def _version(store: Conn, load: int) -> str:
    return next(row.version for row in release.loads(store) if row.load_id == load)


def test_held_clusters_wait(url: str, store: Conn, tmp_path: Path) -> None:
    fill(url, tmp_path, drawn()[0])
    out = done(*SMALL, "--hold")
    (load,) = [row for row in release.loads(store) if row.kind == "clusters"]
    assert f"held: make it visible with vkg publish {load.load_id}" in out
    assert (load.visible, load.hold) == (False, True)
    assert f"not visible (vkg publish {load.load_id})" in done(*SMALL)
    release.publish(store, load.load_id)
    assert done(*SMALL).endswith(f"load {load.load_id}\n")


def test_only_visible_variants_with_a_direction_in_the_places_asked_for(url: str, store: Conn, tmp_path: Path) -> None:
    vectors, _ = drawn()
    vectors[:5] = 0
    fill(url, tmp_path, vectors)
    hidden = [f"20 {2_000_000 + 10 * place} . A G 30 PASS DP=7" for place in range(50)]
    load_vcf(url, write_vcf(tmp_path / "held.vcf", *hidden), dataset="held", version="1", assembly="GRCh37", hold=True)
    register(url, "drawn", {f"20-{2_000_000 + 10 * place}-A-G": vectors[9] for place in range(50)})
    made = run(*SMALL)
    assert "365 visible variants have a vector by drawn; 5 more have one of zeros, which points nowhere, and are left out" in made.stderr
    assert "clusters of 365 variants" in made.stdout
    assert "  5 with a vector of zeros" in made.stdout
    assert not store.execute("SELECT FROM variant_cluster_member m JOIN variant v USING (variant_key) WHERE v.pos >= 2000000").fetchall()
    assert "clusters of 200 variants" in done(*SMALL, "--region", "20:1000100-1001090", "--region", "20:1002000-1002990")
    inside = [pos for (pos,) in store.execute(
        "SELECT v.pos FROM variant_cluster_member m JOIN variant v USING (variant_key) WHERE m.load_id = (SELECT max(load_id) FROM variant_cluster_run)"
    )]  # fmt: skip
    assert all(1_000_100 <= pos <= 1_001_090 or 1_002_000 <= pos <= 1_002_990 for pos in inside)
    assert inside
    visible = next(row for row in release.loads(store) if row.dataset == "variants")
    release.unload(store, visible.load_id)
    assert "0 visible variants have a vector by drawn" in refused(*SMALL)


# ---- what is refused, and what is broken off


def test_what_cannot_be_clustered_is_refused_and_leaves_nothing(
    url: str, store: Conn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no variant has a vector yet\n  Embed variants first: vkg embed" in refused()
    fill(url, tmp_path, drawn()[0])
    assert "no model 'nobody' is registered\n  In the store: drawn" in refused("--model", "nobody")
    register(url, "other", {name_of(0): np.ones(4)})
    assert "several models have vectors of variants\n  Name one with --model: drawn, other" in refused()
    assert "1 visible variants have a vector by other: too few for clusters of 50" in refused("--model", "other")
    lone = {name_of(place): vector for place, vector in enumerate(np.random.default_rng(9).normal(size=(100, 40)))}
    register(url, "lone", lone)
    none = refused("--model", "lone", "--min-size", "45", "--min-samples", "45")
    assert "no 45 of 100 variants lie closer together" in none
    assert "--min-size" in none
    nowhere = tmp_path / "no" / "where.tsv"
    assert "there is no folder" in refused("--model", "drawn", "--output", nowhere)
    monkeypatch.setattr(clusters, "MOST", 369)
    much = refused("--model", "drawn")
    assert "370 visible variants have a vector by drawn: more than the 369" in much
    assert "--region CHROM:START-END, or --gene NAME" in much
    assert run("--min-size", "1").exit_code == 2
    assert rows(store) == {"variant_cluster_run": [], "variant_cluster": [], "variant_cluster_member": []}
    assert not [row for row in release.loads(store) if row.kind == "clusters"]
    assert not store.execute("SELECT FROM dataset WHERE kind = 'clusters'").fetchall()


def test_a_table_that_cannot_be_written_keeps_the_clusters(url: str, store: Conn, tmp_path: Path) -> None:
    fill(url, tmp_path, drawn()[0])
    name = "n" * 248 + ".tsv"  # so long that what is written first, with more to its name, cannot be
    assert "The clusters are stored" in refused(*SMALL, "--output", tmp_path / name)
    assert list(tmp_path.glob("*.partial")) == []
    assert len(rows(store)["variant_cluster"]) == 4
    dataset = next(row for row in release.loads(store) if row.kind == "variants").dataset
    with pytest.raises(Exception, match="holds variants, not clusters"):
        done(*SMALL, "--name", dataset)


def test_an_output_that_is_no_file_is_refused_before_any_work(url: str, store: Conn, tmp_path: Path) -> None:
    """What is written takes its place: a pipe, or a device, would be gone."""
    fill(url, tmp_path, drawn()[0])
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder.tsv").mkdir()
    (tmp_path / "to_pipe").symlink_to("pipe")
    (tmp_path / "to_nowhere").symlink_to(tmp_path / "no" / "where.tsv")
    (tmp_path / "round").symlink_to("round")
    for name, said in {
        "pipe": "is a folder or a device, not a file", "folder.tsv": "is a folder or a device, not a file",
        "to_pipe": "is a folder or a device, not a file", "to_nowhere": f"there is no folder {tmp_path}/no", "round": "Symlink loop",
        "n" * 300: "File name too long",
    }.items():  # fmt: skip
        assert f"{name}: {said}" in refused(*SMALL, "--output", tmp_path / name)
    assert (tmp_path / "pipe").is_fifo()
    assert rows(store)["variant_cluster"] == []


def test_an_output_through_a_link_is_written_where_it_leads(url: str, store: Conn, tmp_path: Path) -> None:
    fill(url, tmp_path, drawn()[0])
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "old.tsv").write_text("old\n")
    for link, file in (("to_old", "old.tsv"), ("to_new", "new.tsv")):
        (tmp_path / link).symlink_to(tmp_path / "there" / file)
        done(*SMALL, "--output", tmp_path / link)
        assert (tmp_path / link).is_symlink()
        assert (tmp_path / "there" / file).read_text().count("\n") == 1 + 370 - NOISE


def test_names_with_an_at_are_found_and_none_is_given(url: str, store: Conn, tmp_path: Path) -> None:
    fill(url, tmp_path, drawn()[0], model="lab/drawn@2026")
    assert "not a name for clusters: 'mine@1'\n  Leave @ out" in refused(*SMALL, "--name", "mine@1")
    done(*SMALL)
    (load,) = [row for row in release.loads(store) if row.kind == "clusters"]
    assert load.dataset == "clusters.lab/drawn@2026"
    assert release.find_load(store, load.dataset).load_id == load.load_id
    assert release.find_load(store, f"{load.dataset}@{load.version}").load_id == load.load_id
    for name in ("clusters.lab/drawn", f"{load.dataset}@", f"{load.dataset}@0"):
        with pytest.raises(StoreError, match="no load"):
            release.find_load(store, name)
    release.unload(store, load.load_id)
    with pytest.raises(StoreError, match="was unloaded"):
        release.find_load(store, load.dataset)


def test_a_model_that_is_another_by_now_is_told_and_not_read(url: str, store: Conn, tmp_path: Path) -> None:
    fill(url, tmp_path, drawn()[0])
    model = embedding.find_model(store, "drawn")
    assert model is not None

    def told() -> None:
        with psycopg.connect(url, autocommit=True) as conn, pytest.raises(StoreError, match="drawn was taken out or registered anew"):
            clusters.cluster(conn, model, release_of(conn)[1], embedding.EVERYWHERE, Parameters(30, 10, [], []))

    embedding.remove(store, model)
    told()
    register(url, "other", {name_of(place): vector for place, vector in enumerate(drawn(2)[0])})
    (other,) = embedding.models(store)
    assert other.table == model.table, "its vectors are where those of the other one were"
    told()
    assert not any(rows(store).values())


def test_what_is_broken_off_before_its_end_leaves_nothing(url: str, store: Conn, tmp_path: Path) -> None:
    fill(url, tmp_path, drawn()[0])
    for moment in ("SELECT FROM load l JOIN dataset d USING (dataset_id) WHERE d.kind = 'clusters'", "SELECT FROM variant_cluster_member"):
        with psycopg.connect(url, autocommit=True) as conn, pytest.raises(KeyboardInterrupt):
            _cluster(conn, _stop_at(store, moment))
        assert not any(rows(store).values())
        assert not store.execute("SELECT FROM load l JOIN dataset d USING (dataset_id) WHERE d.kind = 'clusters'").fetchall()


def test_a_process_that_died_after_writing_is_gone_on_with(url: str, store: Conn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(url, tmp_path, drawn()[0])
    with monkeypatch.context() as patch:
        patch.setattr(Load, "abort", lambda load: True)  # nobody is there any more to do it
        with psycopg.connect(url, autocommit=True) as conn, pytest.raises(KeyboardInterrupt):
            _cluster(conn, _stop_at(store, "SELECT FROM variant_cluster_member"))
    written = rows(store)
    assert len(written["variant_cluster_member"]) == 370 - NOISE
    monkeypatch.setattr(clusters, "find", None)  # it is not done again
    out = done(*SMALL)
    assert "4 clusters of 370 variants" in out
    assert f"  {NOISE} in no cluster" in out
    assert rows(store) == written
    assert [row.visible for row in release.loads(store) if row.kind == "clusters"] == [True]


def _stop_at(store: Conn, moment: str) -> Callable[[], None]:
    """Raises KeyboardInterrupt as soon as a statement finds anything."""

    def stop() -> None:
        if store.execute(f"{moment} LIMIT 1").fetchall():
            raise KeyboardInterrupt

    return stop


def _cluster(conn: Conn, stop: Callable[[], None]) -> Any:
    model = embedding.find_model(conn, "drawn")
    assert model is not None
    return clusters.cluster(conn, model, release_of(conn)[1], embedding.EVERYWHERE, Parameters(30, 10, [], []), stop=stop)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ctrl-c", "killed"])
def test_ctrl_c_ends_it_at_once_and_the_next_run_does_it(url: str, store: Conn, tmp_path: Path, way: str) -> None:
    """In the midst of the work, which takes some seconds, and which scikit-learn does not leave by itself."""
    fill(url, tmp_path, drawn(sizes=(3_000, 2_000, 1_000), dimension=200, lone=500)[0])
    program = "from embedder.cluster_commands import cluster_group as g\nif __name__ == '__main__': g()"
    script = tmp_path / "cluster.py"
    script.write_text(program)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "will take about" in line:
            break
    else:
        pytest.fail("it did not say how long it takes")
    time.sleep(random.random())
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGINT if way == "ctrl-c" else signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive, "it computes on for nobody"
    out, err = process.communicate(timeout=20)
    assert "visible" not in out
    left = store.execute("SELECT l.state FROM load l JOIN dataset d USING (dataset_id) WHERE d.kind = 'clusters'").fetchall()
    if way == "ctrl-c":
        assert process.returncode == 130, err
        assert "interrupted; nothing unfinished was kept" in err
        assert left == []
    else:
        assert left == [("loading",)]
    assert "3 clusters of 6,500 variants" in done()
    assert [row.state for row in release.loads(store) if row.kind == "clusters"] == ["loaded"]
