"""Effects of Enformer: files that are refused and leave nothing, rows that are rejected, and the load as a whole: repeated, cut off, taken out."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from loaders import enformer_layout
from loaders.enformer_job import enformer_job
from loaders.errors import InputError, LoaderError
from loaders.normalize import Normalizer
from store.errors import StoreError
from store.load import AlreadyLoaded, Load
from store.release import unload
from store.tissue import DIGEST
from store.variant_key import encode_one
from tests.conftest import ROOT
from tests.loaders.enformer_files import (
    FASTA,
    HEADER,
    PCA,
    TRACKS,
    Conn,
    Site,
    Write,
    check,
    counts,
    load,
    loaded,
    random_effects,
    rejects,
    snvs,
    stored,
    take_out,
    write_effects,
    write_targets,
)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: write(sites, effects, name="some.h5", drop=..., attributes=..., NAME=dataset ...)."""
    return partial(write_effects, tmp_path)


@pytest.fixture
def targets(tmp_path: Path) -> Write:
    """Writes a file like targets_human.txt: targets(rows, header=...)."""
    return partial(write_targets, tmp_path)


@pytest.fixture
def refused(grch37: Conn) -> Callable[..., str]:
    """What is said of files that are refused: refused(*paths, **options)."""

    def refused(*paths: Path, error: type[LoaderError] = InputError, **options: Any) -> str:
        with pytest.raises(error) as why:
            load(grch37, *paths, **options)
        assert counts(grch37) == [0, 0, 0, 0]
        return str(why.value)

    return refused


def test_damaged_files(refused: Any, write: Write, tmp_path: Path) -> None:
    path = write(snvs(50))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "some.h5: the file is cut off: " in refused(path)
    path.write_bytes(whole[:20])
    assert "some.h5: the file is damaged: " in refused(path)
    path.write_bytes(b"")
    assert "some.h5: the file is empty" in refused(path)
    path.write_text("chr20\t5\n")
    assert "some.h5: not an HDF5 file" in refused(path)
    assert "other.h5: no such file" in refused(tmp_path / "other.h5")
    text = tmp_path / "some.tsv"
    text.write_text("chr20\t5\n")
    assert "some.tsv:1: neither HDF5 nor a table of principal components" in refused(text)
    text.write_text(PCA.replace("\tPC0\tPC1\tPC2", ""))
    assert "some.tsv:1: no components after ALT" in refused(text)
    text.write_text(PCA.replace("PC2", "PC1"))
    assert "some.tsv:1: two columns PC1" in refused(text)
    text.write_text(f"{PCA}\n# nothing\n")
    assert "some.tsv: no variants in it" in refused(text)
    text.write_text("# nothing\n")
    assert "some.tsv: no header" in refused(text)


def test_damage_on_the_way_takes_all_out_again(refused: Any, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enformer_layout, "SLICE_BYTES", 10 * 14)
    path = write(snvs(40), chunks=(10, 7))
    with h5py.File(path, "r+") as file:
        effects = file["SAD"][:]
        del file["SAD"]
        file.create_dataset("SAD", data=effects, chunks=(10, 7), compression="gzip")
        at = file["SAD"].id.get_chunk_info(2).byte_offset
    with path.open("r+b") as raw:
        raw.seek(at)
        raw.write(b"\xff" * 20)
    assert "some.h5:21: the file is damaged: " in refused(path)


@pytest.mark.requires_real
def test_files_of_basenji_have_no_alleles(refused: Any, real: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(real / "formats" / "basenji_sad.legacy_no_alt.16snps.hg19.h5", tmp_path / "old.h5"))
    said = refused(path)
    assert (
        "old.h5: a file of Basenji that has no ALT alleles (no dataset alt), so that effects of several ALTs cannot be told apart" in said
    )


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"drop": ["SAD"]}, "no dataset SAD or SAR\n  It has alt, chr, pos, ref, snp, target_ids, target_labels."),
        ({"drop": ["pos", "chr"]}, "no dataset chr, pos\n"),
        ({"drop": ["target_labels"]}, "no dataset target_labels\n"),
        ({"effects": random_effects(9)}, "SAD has the shape (9, 7), not (5, tracks) for the 5 variants of pos"),
        ({"effects": np.zeros(5, np.float16)}, "SAD has the shape (5,), not (5, tracks)"),
        ({"effects": np.zeros((5, 0), np.float16)}, "SAD has the shape (5, 0)"),
        ({"effects": np.zeros((5, 7), np.int16)}, "SAD holds int16, not floats"),
        ({"pos": np.zeros(5)}, "pos holds float64, not whole numbers"),
        ({"ref": np.array(["A"] * 4, "S")}, "ref has the shape (4,), not one value for each variant"),
        ({"target_ids": np.array(["A"] * 4, "S")}, "7 tracks, but 4 target_ids"),
        ({"tracks": [("x", "y")] * 40_000}, "40,000 tracks; at most 32,768 can be told apart"),
    ],
)
def test_matrices_that_contradict_themselves(refused: Any, write: Write, made: dict[str, Any], reason: str) -> None:
    assert f"some.h5: {reason}" in refused(write(snvs(5), **made))


def test_more_tracks_than_a_vector_holds(grch37: Conn, refused: Any, write: Write) -> None:
    tracks = [(f"t{n}", "CAGE:liver") for n in range(16_001)]
    effects = random_effects(2, 16_001)
    path = write(snvs(2), effects, tracks=tracks)
    assert "16,001 tracks, of which at most 16,000 can all be kept\n  Keep the strongest: --keep-tracks summary" in refused(path)
    loaded(grch37, path, keep_tracks="summary")
    check(grch37, effects, tracks, keep="summary")


def test_targets_that_are_not_those_of_the_file(refused: Any, write: Write, targets: Any) -> None:
    path = write(snvs(3))
    rows = [(n, *track) for n, track in enumerate(TRACKS)]
    assert "some.h5: 7 tracks, while --targets has 6" in refused(path, targets=targets(rows[:6]))
    other = [*rows[:3], (3, "ENCFF999999", "CHIP:x:y"), *rows[4:]]
    assert "some.h5: track 3 is ENCFF000004, while --targets has ENCFF999999 there" in refused(path, targets=targets(other))
    assert "targets.txt:3: index 0 is that of line 2 too" in refused(path, targets=targets([rows[0], rows[0]]))
    assert "targets.txt: no track has the index 1, but 2 tracks there are" in refused(path, targets=targets([rows[0], rows[2]]))
    assert "targets.txt: no track has the index 0" in refused(path, targets=targets(rows[1:2]))
    assert "targets.txt:2: index 'x' is no number" in refused(path, targets=targets([("x", "a", "b")]))
    assert "targets.txt:1: no column identifier, description" in refused(path, targets=targets(rows, "index\tgenome\tfile\n"))


def test_targets_by_their_index_and_without_a_name_for_it(grch37: Conn, write: Write, targets: Any) -> None:
    rows = [(n, *track) for n, track in enumerate(TRACKS)]
    listed = targets(rows[::-1], HEADER.removeprefix("index"))
    loaded(grch37, write(snvs(3), drop=["target_ids", "target_labels"]), targets=listed)
    assert grch37.execute("SELECT identifier, description FROM enformer_track ORDER BY ordinal").fetchall() == TRACKS


def test_options_that_are_wrong(refused: Any, write: Write, targets: Any, tmp_path: Path) -> None:
    path = write(snvs(3))
    assert "unknown score 'SNP'\n  Known are: SAD, SAR" in refused(path, score="SNP", error=LoaderError)
    assert "some.h5: no dataset SAR" in refused(path, score="SAR")
    for threshold in (float("nan"), float("inf"), -0.1):
        assert f"--threshold is {threshold}" in refused(path, threshold=threshold, error=LoaderError)
    assert "unknown --keep-tracks 'some'" in refused(path, keep_tracks="some", error=LoaderError)
    table = tmp_path / "some.tsv"
    _, pos, ref, alt = snvs(1)[0]
    table.write_text(f"{PCA}20\t{pos}\t.\t{ref}\t{alt}\t1\t2\t3\n")
    assert "some.tsv: principal components have no tracks" in refused(table, targets=targets())
    assert "some.tsv: principal components have no tracks" in refused(table, threshold=0.5)
    assert "--threshold and --keep-tracks out" in refused(table, keep_tracks="none")


def test_files_that_are_not_alike(refused: Any, write: Write, tmp_path: Path) -> None:
    first = write(snvs(3), name="a.h5")
    table = tmp_path / "some.tsv"
    _, pos, ref, alt = snvs(1)[0]
    table.write_text(f"{PCA}20\t{pos}\t.\t{ref}\t{alt}\t1\t2\t3\n")
    other = [*TRACKS[:2], ("CNhs1", "CAGE:brain, adult, pool1"), *TRACKS[3:]]
    assert "b.h5: 6 tracks, 7 in a.h5" in refused(first, write(snvs(3), name="b.h5", tracks=TRACKS[:6]))
    assert "b.h5: track 2 is CNhs1, CNhs10617 in a.h5" in refused(first, write(snvs(3), name="b.h5", tracks=other))
    assert "b.h5: its effects are SAR, SAD in a.h5" in refused(first, write(snvs(3), name="b.h5", score="SAR"))
    assert "some.tsv: principal components, effects on tracks in a.h5" in refused(first, table)
    assert "a.h5: effects on tracks, principal components in some.tsv" in refused(table, first)
    more = tmp_path / "more.tsv"
    more.write_text(f"{PCA.rstrip()}\tPC3\n20\t{pos}\t.\t{ref}\t{alt}\t1\t2\t3\t4\n")
    assert "more.tsv: 4 principal components, 3 in some.tsv" in refused(table, more)


def test_a_file_without_variants_does_not_replace_one_that_has_some(grch37: Conn, write: Write) -> None:
    loaded(grch37, write(snvs(3)), dataset="some", version="1")
    empty = write([], random_effects(0), "empty.h5")
    for paths in ([empty], [write(snvs(2), name="other.h5"), empty]):
        with pytest.raises(InputError, match=r"empty\.h5: no variants in it\n  Take it out of the command"):
            load(grch37, *paths, dataset="some", version="2")
    assert counts(grch37) == [1, 7, 3, 1]


def test_the_wrong_assembly(refused: Any, write: Write) -> None:
    assert "it is of GRCh38 (by its header, 'genome=hg38'), not GRCh37" in refused(write(snvs(3), attributes={"genome": "hg38"}))
    assert "nothing in the file tells its assembly" in refused(write(snvs(3)), assembly=None)
    shifted = [(chrom, pos + 19_353, ref, alt) for chrom, pos, ref, alt in snvs(50)]
    assert "so for " in refused(write(shifted))


def test_without_a_reference_alleles_are_taken_as_they_are(grch37: Conn, write: Write) -> None:
    sites: list[Site] = [("20", 500, "A", "C"), ("20", 600, "AT", "A")]
    path = write(sites)
    outcome = loaded(grch37, path, reference=None, dataset="one")
    assert [row[1] for row in rejects(path)] == ["indel where there is no reference sequence"]
    assert stored(grch37, "variant_key, swapped") == [(encode_one(20, 500, "A", "C"), False)]
    unload(grch37, outcome.load.load_id)
    loaded(grch37, path, reference=None, unnormalized=True, dataset="two")
    assert [row[1] for row in stored(grch37, "variant_key, line")] == [1, 1, 2]
    assert grch37.execute("SELECT normalized, options FROM load ORDER BY load_id DESC LIMIT 1").fetchone() == (
        False,
        {
            "score": "SAD", "threshold": 0.1, "tracks_kept": "ALL", "track_count": 7, "component_count": 0, "synthetic": False,
            "targets": None, "tissues": DIGEST, "reference": None, "unnormalized": True,
        },
    )  # fmt: skip


# ---- the load as a whole


def test_rows_that_cannot_be_loaded_are_rejected_by_line(grch37: Conn, write: Write) -> None:
    good = snvs(30)
    _, pos, ref, alt = good[5]
    third = next(base for base in "ACGT" if base not in (ref, alt))
    fourth = next(base for base in "ACGT" if base not in (ref, alt, third))
    bad: list[Site] = [
        ("chr20", pos, third, fourth),
        ("chr20", pos, ref, "Z"),
        ("chr20", pos, ref, "<DEL>"),
        ("chrUn_gl000220", 5, "A", "C"),
        ("chr20", 63_025_521, "A", "C"),
        ("chr20", 0, "A", "C"),
        ("chr20", pos, ref, alt),
        ("chr20", pos, ref, ref),
    ]
    effects = random_effects(38)
    effects[7, 2], effects[7, 4], effects[8, 0] = np.nan, np.inf, -np.inf
    path = write([*good, *bad], effects)
    outcome = loaded(grch37, path)
    assert rejects(path) == [
        ["8", "effect that is not a finite number", "nan on track 2, CNhs10617 (CAGE:brain, adult, pool1)"],
        ["9", "effect that is not a finite number", f"-inf on track 0, ENCFF000001 ({TRACKS[0][1]})"],
        ["31", "REF differs from the reference", f"the reference has {ref}"],
        ["32", "allele not of A, C, G, T, N", "ALT 'Z'"],
        ["33", "symbolic ALT", "<DEL>"],
        ["34", "contig outside 1-22, X, Y, MT", "chrUn_gl000220"],
        ["35", "position beyond the contig", "20 has 63,025,520 bases in GRCh37"],
        ["36", "POS is not a position", "'0'; positions are whole numbers from 1"],
        ["37", "repeated record", "the same variant as line 6 after normalisation"],
        ["38", "ALT equals REF", ""],
    ]
    kept = [n for n in range(30) if n not in (7, 8)]
    check(grch37, effects[kept])
    assert [line for (line,) in stored(grch37, "line")] == [n + 1 for n in kept]
    assert outcome.load.counts["rejects"] == 10
    unload(grch37, outcome.load.load_id)
    with pytest.raises(InputError, match=r"some\.h5:8: effect that is not a finite number: nan on track 2"):
        load(grch37, path, strict=True)


def test_files_of_one_load_and_a_repeat_of_it(grch37: Conn, write: Write, targets: Any) -> None:
    effects = [random_effects(5), random_effects(4, seed=1)]
    paths = [write(snvs(5), effects[0], "a.h5"), write([*snvs(3, 2_000_000), snvs(1)[0]], effects[1], "b.h5")]
    loaded(grch37, *paths, dataset="enformer", version="1", targets=targets())
    assert stored(grch37, "file, line") == [*((0, line) for line in range(1, 6)), *((1, line) for line in range(1, 4))]
    check(grch37, np.concatenate([effects[0], effects[1][:3]]))
    assert rejects(paths[1]) == [["4", "repeated record", "the same variant as an earlier line after normalisation"]]
    assert grch37.execute("SELECT count(*) FROM enformer_run").fetchone() == (1,)
    again = load(grch37, *paths, dataset="enformer", version="1", targets=targets())
    assert isinstance(again, AlreadyLoaded)
    with pytest.raises(StoreError, match="other content or options"):
        load(grch37, *paths, dataset="enformer", version="1", targets=targets(), keep_tracks="none")


def test_a_file_of_which_no_variant_can_be_loaded(grch37: Conn, write: Write) -> None:
    path = write(snvs(2), np.full((2, 7), np.nan, np.float16))
    with pytest.raises(InputError, match="nothing of it could be loaded: 2 of 2 records rejected"):
        load(grch37, path)
    assert counts(grch37) == [0, 0, 0, 0]


def test_a_load_that_was_cut_off_goes_on_where_it_stopped(
    grch37: Conn, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(enformer_layout, "SLICE_BYTES", 10 * len(TRACKS) * 2)
    effects = random_effects(61)
    effects[5, 3] = np.nan
    path = write([*snvs(60), snvs(3)[2]], effects)
    write_chunk, written = Load.write, []

    def die(self: Load, ordinal: int, chunk: Any, report: Any) -> None:
        if len(written) == 3:
            raise SystemExit
        written.append(chunk)
        write_chunk(self, ordinal, chunk, report)

    monkeypatch.setattr(Load, "write", die)
    monkeypatch.setattr("loaders.run._abort", lambda load, rejects: [file.close() for file in rejects])
    with pytest.raises(SystemExit):
        load(grch37, path)
    grch37.execute("SELECT pg_advisory_unlock_all()")
    assert counts(grch37)[2] == 29
    monkeypatch.setattr(Load, "write", write_chunk)
    outcome = loaded(grch37, path)
    assert "going on with some" in capsys.readouterr().err
    assert (outcome.load.counts["records"], outcome.load.counts["enformer_effect"], outcome.load.counts["enformer_run"]) == (61, 59, 1)
    check(grch37, np.delete(effects, [5, 60], axis=0))
    assert [line for line, *_ in rejects(path)] == ["6", "61"]


def test_components_go_on_after_the_last_line(grch37: Conn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.enformer._CHUNK_VALUES", 8 * 4)
    sites = snvs(10)
    path = tmp_path / "some.tsv"
    path.write_text(PCA + "".join(f"{c}\t{p}\t.\t{r}\t{a}\t{n}\t{n}\t-{n}\n" for n, (c, p, r, a) in enumerate(sites)))
    _, read = enformer_job(grch37, [path], assembly="GRCh37", reference=FASTA)
    chunks = list(read(0, 0))
    assert [chunk.end for chunk in chunks] == [5, 9, 11]
    later = [chunk.tables["enformer_effect"] for chunk in read(0, 5)]
    assert later == [chunk.tables["enformer_effect"] for chunk in chunks[1:]]
    assert [sorted(chunk.tables) for chunk in chunks] == [["enformer_effect", "enformer_run"], *[["enformer_effect"]] * 2]


def test_rejects_fill_chunks_too(grch37: Conn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.enformer._CHUNK_VALUES", 8 * 4)
    path = tmp_path / "some.tsv"
    path.write_text(PCA + "20\t5\t.\tA\tC\t1\n" * 10)
    _, read = enformer_job(grch37, [path], assembly="GRCh37", reference=FASTA)
    assert [(chunk.end, len(chunk.rejects), sorted(chunk.tables)) for chunk in read(0, 0)] == [
        (5, 4, ["enformer_run"]), (9, 4, []), (11, 2, []),
    ]  # fmt: skip


def test_of_few_tracks_no_more_variants_are_read_at_a_time(grch37: Conn, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enformer_layout, "MOST_ROWS", 8)
    for chunks, ends in ((None, [8, 16, 20]), ((12, 7), [8, 16, 20]), ((3, 7), [8, 16, 20])):
        _, read = enformer_job(grch37, [write(snvs(20), chunks=chunks)], assembly="GRCh37", reference=FASTA)
        assert [chunk.end for chunk in read(0, 0)] == ends
    monkeypatch.undo()
    described = enformer_layout.layout(write(snvs(2), tracks=TRACKS[:1]))
    assert isinstance(described, enformer_layout.Matrix)
    assert described.step == enformer_layout.MOST_ROWS == 20_000


def test_what_could_not_be_checked_is_counted_once(grch37: Conn, write: Write) -> None:
    # The reference has nothing before 900,000.
    outcome = loaded(grch37, write([("20", 500 + n, "A", "C") for n in range(30)]))
    assert outcome.load.warnings == {"REF not checked, no reference sequence there": 30}


def test_no_more_variants_are_looked_at_than_are_asked_for(grch37: Conn, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.enformer.SAMPLE", 12)
    monkeypatch.setattr(enformer_layout, "MOST_ROWS", 8)
    looked: list[str] = []
    site = Normalizer.site
    monkeypatch.setattr(Normalizer, "site", lambda self, *of: (looked.append(of[1]), site(self, *of))[1])
    enformer_job(grch37, [write(snvs(40))], assembly="GRCh37", reference=FASTA)
    assert looked == [str(pos) for _, pos, *_ in snvs(12)]


def test_text_that_is_not_utf_8_is_kept_as_far_as_it_is(grch37: Conn, write: Write) -> None:
    path = write(snvs(2), objects=True)
    with h5py.File(path, "r+") as file:
        file.attrs.create("source", b"M\xfcnchen", dtype=h5py.string_dtype())
        file["target_labels"][1] = b"CAGE:liver, \xe9"
    loaded(grch37, path)
    assert grch37.execute("SELECT header FROM load_file").fetchone() == ("source=M\ufffdnchen",)
    assert grch37.execute("SELECT description, tissue FROM enformer_track WHERE ordinal = 1").fetchone() == ("CAGE:liver, \ufffd", "LIVER")


def test_unloaded_nothing_is_left(grch37: Conn, write: Write) -> None:
    outcome = loaded(grch37, write(snvs(5)))
    assert counts(grch37) == [1, 7, 5, 1]
    take_out(grch37, outcome)
    assert counts(grch37)[:3] == [0, 0, 0]


@pytest.mark.slow
def test_the_command(grch37: Conn, store_url: str, write: Write, targets: Any) -> None:
    effects = random_effects(4)
    command = [sys.executable, "-m", "vkg", "load", "enformer", str(write(snvs(4), effects)), "--targets", str(targets())]
    command += ["--reference", str(FASTA), "--assembly", "hg19", "--dataset", "enformer", "--threshold", "0.2", "--keep-tracks", "summary"]
    run = subprocess.run(command, cwd=ROOT, env={"VKG_DATABASE_URL": store_url, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert (run.returncode, run.stdout.splitlines()[0][:9]) == (0, "enformer "), run.stderr
    check(grch37, effects, threshold=0.2, keep="summary")
