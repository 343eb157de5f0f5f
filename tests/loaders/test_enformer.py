"""Effects of Enformer: files made with the layout of the published ones in, rows out, against an independent reading; swapped, lifted, refused."""

from __future__ import annotations

import csv
import gzip
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders import enformer_layout
from loaders.enformer import _numbers
from loaders.errors import InputError
from loaders.run import summary
from store.reference import Reference
from store.tissue import assay_of, tissue_of
from store.variant_key import decode, encode_one
from tests.conftest import ROOT
from tests.loaders.enformer_files import (
    DEMO,
    PCA,
    SUMMARIES,
    TRACKS,
    Conn,
    Site,
    Write,
    check,
    load,
    loaded,
    random_effects,
    rejects,
    snvs,
    stored,
    take_out,
    turned,
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


@pytest.mark.parametrize("keep", ["all", "summary", "none"])
@pytest.mark.parametrize(("objects", "chunks"), [(False, None), (True, (3, 7))])
def test_every_column_is_what_the_file_says(
    grch37: Conn, write: Write, targets: Any, monkeypatch: pytest.MonkeyPatch, keep: str, objects: bool, chunks: tuple[int, int] | None
) -> None:
    monkeypatch.setattr(enformer_layout, "SLICE_BYTES", 100)
    sites, effects = snvs(40), random_effects(40)
    effects[3] = 0
    effects[4] = [65504, -65504, 6e-8, -6e-8, 0.1, -0.1, 0.0999]
    path = write(sites, effects, objects=objects, chunks=chunks, attributes={"genome": "hg19"})
    outcome = loaded(grch37, path, targets=targets(), keep_tracks=keep, assembly=None)
    check(grch37, effects, keep=keep)
    assert [row[:5] for row in stored(grch37)] == [
        (encode_one(20, *site), 0, line, False, None) for line, (_, *site) in enumerate(sites, 1)
    ]
    run = "score, threshold, tracks_kept, track_count, component_count, summaries, synthetic"
    assert grch37.execute(f"SELECT {run} FROM enformer_run").fetchall() == [
        ("SAD", pytest.approx(0.1), keep.upper(), 7, 0, SUMMARIES, False)
    ]
    assert grch37.execute("SELECT ordinal, identifier, assay, description, tissue FROM enformer_track ORDER BY track_id").fetchall() == [
        (n, name, assay_of(said), said, tissue_of(said)) for n, (name, said) in enumerate(TRACKS)
    ]
    assert grch37.execute("SELECT count(*) FROM variant").fetchone() == (0,)
    assert (outcome.load.counts["records"], outcome.load.counts["enformer_effect"], outcome.release is not None) == (40, 40, True)
    (written,) = grch37.execute("SELECT chunks FROM load_file").fetchone() or (0,)
    assert written > 5


@pytest.mark.requires_real
@pytest.mark.parametrize("keep", ["all", "summary"])
def test_the_real_tracks(grch37: Conn, write: Write, real: Path, tmp_path: Path, keep: str) -> None:
    listed = real / "genome_wide" / "enformer_targets_human.txt.gz"
    with gzip.open(listed, "rt", encoding="utf-8") as file:
        tracks = [(row["identifier"], row["description"]) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    effects = random_effects(30, len(tracks))
    path = write(snvs(30), effects, tracks=tracks)
    loaded(grch37, path, targets=Path(shutil.copy(listed, tmp_path)), threshold=0.5, keep_tracks=keep)
    check(grch37, effects, tracks, 0.5, keep)
    (summaries,) = grch37.execute("SELECT summaries FROM enformer_run").fetchone() or ([],)
    assert summaries[:3] == ["BLOOD_VESSEL:CAGE", "BLOOD_VESSEL:DNASE", "BLOOD_VESSEL:CHIP"]
    assert len(summaries) == len(set(summaries)) > 100
    assert grch37.execute("SELECT count(*), count(tissue) FROM enformer_track").fetchone() == (5313, 5313 - 2950)


def test_where_ref_and_alt_are_swapped_signs_turn(grch37: Conn, write: Write) -> None:
    sites, effects = snvs(40), random_effects(40)
    effects[1, 0] = 0
    swapped = [n % 2 == 1 for n in range(40)]
    outcome = loaded(grch37, write([turned(site) if turn else site for site, turn in zip(sites, swapped, strict=True)], effects))
    check(grch37, np.where(np.array(swapped)[:, None], -effects, effects))
    assert stored(grch37, "variant_key, swapped, source_locus") == [
        (encode_one(20, *site[1:]), turn, ":".join(map(str, turned(site))) if turn else None)
        for site, turn in zip(sites, swapped, strict=True)
    ]
    assert outcome.load.reasons == {}
    assert stored(grch37, "tracks::text LIKE '%-0,%'")[1] == (False,)


def test_indels_and_longer_alleles_have_the_normal_form(grch37: Conn, write: Write) -> None:
    first = next(p for p in range(1_000_000, 1_100_000) if DEMO.fetch(20, p, p + 5) == "C" + "A" * 5)
    stretch = DEMO.fetch(20, first, first + 30)
    run = len(stretch[1:]) - len(stretch[1:].lstrip("A"))
    after = first + run
    pos, bases = 2_000_000, DEMO.fetch(20, 2_000_000, 2_000_002)
    other = "".join("ACGT"["ACGT".index(base) - 1] for base in bases)
    long = bases[0] + "ACGTACGTACGTACGT" + other[0]
    sites: list[Site] = [
        ("20", after - 1, "AA", "A"),
        ("20", after, "A", "AA"),
        ("chr20", pos, bases, other),
        ("chr20", pos, other, bases),
        ("20", pos, bases[0].lower(), other[0].lower()),
        ("20", pos, bases[0], long),
    ]
    effects = random_effects(6)
    path = write(sites, effects)
    loaded(grch37, path)
    normal = [(first, "CA", "C"), (first, "C", "CA"), (pos, bases, other), None, (pos, bases[0], other[0]), (pos, bases[0], long)]
    found = {line: (key, locus) for key, line, locus in stored(grch37, "variant_key, line, source_locus")}
    assert found == {
        line: (encode_one(20, *form), f"20:{sites[line - 1][1]}:{sites[line - 1][2]}:{sites[line - 1][3]}" if line < 3 else None)
        for line, form in enumerate(normal, 1)
        if form
    }
    assert rejects(path) == [["4", "repeated record", "the same variant as line 3 after normalisation"]]


def test_swapped_indels_are_turned_where_only_the_alt_is_there(grch37: Conn, write: Write) -> None:
    pos = next(p for p in range(1_000_000, 1_100_000) if DEMO.fetch(20, p, p + 3) == "CGAC")
    sites: list[Site] = [("20", pos, "CTT", "C"), ("20", pos, "C", "CG"), ("20", pos + 10, "NNN", "ACGTA"), ("20", pos, "CTT", "G")]
    effects = random_effects(4)
    path = write(sites, effects)
    loaded(grch37, path)
    assert stored(grch37, "variant_key, swapped, source_locus, tracks::real[]") == [
        (encode_one(20, pos, "C", "CTT"), True, f"20:{pos}:CTT:C", (-effects[0]).tolist()),
        # As every insertion beside its like is written.
        (encode_one(20, pos, "C", "CG"), False, None, effects[1].tolist()),
    ]
    assert [(line, reason) for line, reason, _ in rejects(path)] == [
        ("3", "REF differs from the reference"), ("4", "REF differs from the reference"),
    ]  # fmt: skip


NEW = "TTGCACACAGGGTTTACGATCCATGAACTG"  # GRCh38 20:1-30; in GRCh37 at 201-230, and at 101-130 on the reverse strand
CHAIN = """chain 1000 chr20 63025520 + 200 230 chr20 64444167 + 0 30 1
30

chain 1000 chr20 63025520 + 100 130 chr20 64444167 - 64444137 64444167 2
30
"""


def test_files_of_the_other_assembly_are_lifted_over(grch38: Conn, write: Write, write_fasta: Any, tmp_path: Path) -> None:
    chain = tmp_path / "some.chain"
    chain.write_text(CHAIN)
    sites: list[Site] = [
        ("chr20", 204, "C", "T"),
        ("chr20", 126, "T", "A"),  # of the other strand
        ("chr20", 207, "G", "A"),  # there is A
        ("chr20", 210, "GGG", "GG"),
        ("chr20", 300, "A", "C"),
        ("chr20", 221, "A", "G"),
    ]
    effects = random_effects(6)
    path = write(sites, effects, attributes={"assembly": "hg19"})
    options = {"reference": write_fasta({"20": NEW}), "assembly": None}
    with pytest.raises(InputError, match=r"it is of GRCh37 .*; the store holds GRCh38"):
        load(grch38, path, **options)
    loaded(grch38, path, lift=chain, **options)
    assert stored(grch38, "variant_key, line, swapped, source_locus, tracks::real[]") == [
        (encode_one(20, *normal), line, line == 3, ":".join(map(str, sites[line - 1])), (effects[line - 1] * sign).tolist())
        for line, normal, sign in ((1, (4, "C", "T"), 1), (2, (5, "A", "T"), 1), (3, (7, "A", "G"), -1), (4, (9, "AG", "A"), 1))
    ]
    assert rejects(path) == [
        ["5", "not in the chain file", rejects(path)[0][2]],
        ["6", "REF differs from the reference", "the reference has C"],
    ]
    (options_,) = grch38.execute("SELECT options FROM load").fetchone() or ({},)
    assert options_["lift"]["from"] == "GRCh37"


@pytest.mark.requires_real
def test_a_real_stretch_is_lifted_to_where_it_is(grch38: Conn, write: Write, real: Path) -> None:
    chain = ROOT / "tests" / "data" / "lift" / "grch37_to_grch38.chr20_0.9-4.1mb.chain"
    reference = real / "chr20_grch38" / "chr20_npad_0.9-4.1mb.grch38.derived.fa.gz"
    sites = snvs(200, step=15_000)
    effects = random_effects(200)
    loaded(grch38, write([turned(s) if n % 3 == 0 else s for n, s in enumerate(sites)], effects), lift=chain, reference=reference)
    new = Reference(reference)
    rows = stored(grch38, "variant_key, line, swapped, strongest")
    assert len(rows) == 200
    for (key, line, swapped, strongest), (_, pos, ref, alt) in zip(rows, sites, strict=True):
        _, there, *alleles = decode(key)
        assert (alleles, new.fetch(20, there, there)) == ([ref, alt], ref)
        assert there - pos in (19_357, 19_356, 19_355, 19_354, 19_353)
        assert new.fetch(20, there - 9, there + 9) == DEMO.fetch(20, pos - 9, pos + 9)
        row = effects[line - 1].astype(float)
        assert (swapped, strongest) == ((line - 1) % 3 == 0, row[np.abs(row).argmax()] * (-1 if swapped else 1))


@pytest.mark.parametrize("compressed", [False, True])
def test_principal_components(grch37: Conn, tmp_path: Path, compressed: bool) -> None:
    sites = snvs(4)
    lines = [
        (*sites[0], "1.5 -0.25 0"),
        (*turned(sites[1]), "2e-3 0 -7"),
        (*sites[2], "1 x 2"),
        (*sites[3], "1 1e39 2"),
        (*sites[0], "1 1 1"),
    ]
    text = "##synthetic, of hg19\n" + PCA
    text += "".join("\t".join((chrom, str(pos), ".", ref, alt, *values.split())) + "\n" for chrom, pos, ref, alt, values in lines)
    path = tmp_path / ("some.tsv.gz" if compressed else "some.tsv")
    text += "20\t5\t.\tA\tC\t1\n" + "20\t5\t.\tA\tC\t1\t2\t3\t4\n"
    path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    outcome = loaded(grch37, path, assembly=None)
    assert stored(grch37, "variant_key, line, swapped, source_locus, components, strongest, tissue_effects, tracks") == [
        (encode_one(20, *sites[0][1:]), 3, False, None, [1.5, -0.25, 0], None, None, None),
        (encode_one(20, *sites[1][1:]), 4, True, ":".join(map(str, turned(sites[1]))), [pytest.approx(-0.002), 0, 7], None, None, None),
    ]
    assert stored(grch37, "components::text")[1] == ("{-0.002,0,7}",)
    assert rejects(path) == [
        ["5", "component that is not a finite number", "PC1 is 'x'"],
        ["6", "component that is not a finite number", "PC1 is '1e39'"],
        ["7", "repeated record", "the same variant as line 3 after normalisation"],
        ["8", "too few columns", "6 of 8"],
        ["9", "too many columns", "9 of 8"],
    ]
    assert outcome.load.counts["records"] == 7
    run = "score, threshold, tracks_kept, track_count, component_count, summaries, synthetic"
    assert grch37.execute(f"SELECT {run} FROM enformer_run").fetchall() == [(None, None, None, 0, 3, [], True)]
    assert grch37.execute("SELECT count(*) FROM enformer_track").fetchone() == (0,)


def test_wider_floats_are_rounded_to_16_bits(grch37: Conn, write: Write) -> None:
    wide = random_effects(3).astype(np.float64) + 1e-9
    wide[1, 1] = 1e6
    path = write(snvs(3), wide)
    outcome = loaded(grch37, path)
    check(grch37, wide[[0, 2]].astype(np.float16))
    assert outcome.load.warnings == {"variants whose effects were rounded to 16 bits": 3}
    assert rejects(path) == [["2", "effect that is not a finite number", "1000000.0 on track 1, CNhs10624 (CAGE:liver, adult, pool1)"]]


@pytest.mark.parametrize("threshold", [0, 0.1, 0.25, 6e-8, 65504, 1e6])
def test_an_effect_counts_from_the_threshold_on(grch37: Conn, write: Write, threshold: float) -> None:
    effects = random_effects(6)
    effects[0] = [0.25, -0.25, 65504, -65504, 0, 6e-8, 0.1]
    effects[1] = np.nextafter(effects[0], np.float16(0))
    loaded(grch37, write(snvs(6), effects), threshold=threshold)
    assert stored(grch37, "over_threshold") == [(sum(abs(x) >= threshold for x in row),) for row in effects.astype(float).tolist()]


def test_of_files_with_both_scores_one_is_taken(grch37: Conn, write: Write) -> None:
    sad, sar = random_effects(3), random_effects(3, seed=1)
    path = write(snvs(3), sad, SAR=sar)
    first = loaded(grch37, path, dataset="first")
    check(grch37, sad)
    take_out(grch37, first)
    loaded(grch37, path, score="SAR", dataset="second")
    check(grch37, sar)
    assert grch37.execute("SELECT score FROM enformer_run").fetchall() == [("SAR",)]


def test_tracks_without_an_assay_have_no_tissues_and_that_is_told(grch37: Conn, write: Write) -> None:
    outcome = loaded(grch37, write(snvs(3), tracks=[("a", "liver, adult"), ("b", "")]))
    assert "  odd: 2 tracks whose descriptions name no assay, so that no tissue is known" in list(summary(outcome))
    assert stored(grch37, "tissue_effects, tissue_tracks") == [([], [])] * 3
    assert grch37.execute("SELECT assay, description, tissue FROM enformer_track ORDER BY ordinal").fetchall() == [
        ("UNKNOWN", "liver, adult", None),
        ("UNKNOWN", "", None),
    ]


@pytest.mark.parametrize(
    ("attributes", "synthetic"),
    [
        ({"synthetic": True}, True),
        ({"synthetic": np.bool_(False)}, False),
        ({"synthetic": "false"}, False),
        ({"synthetic": 1}, True),
        ({"source": "Synthetic effects"}, True),
        ({"source": "Enformer"}, False),
    ],
)
def test_files_say_that_they_are_synthetic(grch37: Conn, write: Write, attributes: dict[str, Any], synthetic: bool) -> None:
    loaded(grch37, write(snvs(3), attributes=attributes))
    assert grch37.execute("SELECT synthetic FROM enformer_run").fetchone() == (synthetic,)


def test_a_track_of_any_number_of_digits(tmp_path: Path) -> None:
    path = write_targets(tmp_path, [("9" * 5000, "ENCFF1", "DNASE:x")])
    with pytest.raises(InputError, match="is no number from 0 to 32,767"):
        enformer_layout.targets(path)


def test_components_and_comments_have_limits(tmp_path: Path) -> None:
    path = tmp_path / "some.tsv"
    path.write_text("#CHROM\tPOS\tID\tREF\tALT" + "".join(f"\tPC{n}" for n in range(10_001)) + "\n")
    with pytest.raises(InputError, match=":1: 10,001 components"):
        enformer_layout.layout(path)
    path.write_text("# comment\n" * 150_000)
    with pytest.raises(InputError, match="comments of more than 1,048,576 characters"):
        enformer_layout.layout(path)


def test_a_component_beyond_32_bits_beside_one_that_is_none() -> None:
    values, bad = _numbers(["1", "1e300", ""])
    assert values[0] == 1
    assert bad == "PC1 is '1e300'"
