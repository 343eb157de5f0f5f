"""Effects of Enformer: files made with the layout of the published ones in, rows out, against an independent reading; swapped, lifted, refused."""

from __future__ import annotations

import csv
import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psycopg
import pytest

from loaders import enformer_layout
from loaders.enformer_job import enformer_job
from loaders.errors import InputError, LoaderError
from loaders.run import Outcome, ingest, summary
from store.enformer import TRACKS_KEPT
from store.errors import StoreError
from store.load import AlreadyLoaded, Load
from store.reference import Reference
from store.release import purge, unload
from store.tissue import ASSAYS, DIGEST, TISSUES, assay_of, tissue_of
from store.variant_key import decode, encode_one
from tests.conftest import ROOT

Conn = psycopg.Connection[Any]
Write = Callable[..., Path]

FASTA = ROOT / "demo" / "chr20_npad_0.9-4.1mb.grch37.fa.gz"
DEMO = Reference(FASTA)

TRACKS = [
    ("ENCFF000001", "DNASE:liver embryo (59 days) and embryo (80 days)"),
    ("CNhs10624", "CAGE:liver, adult, pool1"),
    ("CNhs10617", "CAGE:brain, adult, pool1"),
    ("ENCFF000004", "CHIP:H3K27ac:K562"),
    ("CNhs12340", "CAGE:Hepatocyte,"),
    ("CNhs11785", "CAGE:heart, adult, diseased,"),
    ("ENCFF000007", "CHIP:CTCF:right lobe of liver female adult (53 years)"),
]
HEADER = "index\tgenome\tidentifier\tfile\tclip\tscale\tsum_stat\tdescription\n"
SUMMARIES = ["BRAIN:CAGE", "HEART:CAGE", "LIVER:CAGE", "LIVER:DNASE", "LIVER:CHIP"]

COLUMNS = """variant_key, file, line, swapped, source_locus, strongest, strongest_track, over_threshold, tissue_effects, tissue_tracks,
    kept_effects, kept_tracks, components, tracks::real[]"""

Site = tuple[str, int, str, str]


def load(conn: Conn, *paths: Path, **options: Any) -> Outcome | AlreadyLoaded:
    """Loads files as `vkg load enformer` does, GRCh37 and the demo's reference unless told otherwise."""
    job, read = enformer_job(conn, paths, **{"assembly": "GRCh37", "reference": FASTA, **options})
    return ingest(conn, job, read)


def loaded(conn: Conn, *paths: Path, **options: Any) -> Outcome:
    outcome = load(conn, *paths, **options)
    assert isinstance(outcome, Outcome)
    return outcome


def stored(conn: Conn, columns: str = COLUMNS) -> list[tuple]:
    """Rows of enformer_effect in the order of the files; as binary, in which 32-bit floats arrive whole."""
    return conn.execute(f"SELECT {columns} FROM enformer_effect ORDER BY load_id, file, line", binary=True).fetchall()


def rejects(path: Path) -> list[list[str]]:
    """(line, reason, detail) of each reject of a file."""
    return [line.split("\t")[:3] for line in path.with_name(f"{path.name}.rejects.tsv").read_text().splitlines()[1:]]


def take_out(conn: Conn, outcome: Outcome) -> None:
    """Unloads a load, and removes its rows as if the longest request were over."""
    unload(conn, outcome.load.load_id)
    conn.execute("UPDATE load SET unloaded_at = unloaded_at - interval '1 day'")
    assert purge(conn) == [outcome.load.load_id]


def snvs(count: int, first: int = 1_000_000, step: int = 101) -> list[Site]:
    """So many SNVs of the demo's reference."""
    found = []
    for pos in range(first, first + count * step, step):
        ref = DEMO.fetch(20, pos, pos)
        found.append(("chr20", pos, ref, "ACGT"["ACGT".index(ref) - 1]))
    return found


def turned(site: Site) -> Site:
    chrom, pos, ref, alt = site
    return chrom, pos, alt, ref


def random_effects(variants: int, tracks: int = len(TRACKS), seed: int = 0) -> np.ndarray:
    """(variants, tracks) float16, many of them equal in size."""
    draws = np.random.default_rng(seed)
    effects = (draws.standard_normal((variants, tracks)) ** 3 / 8).astype(np.float16)
    effects[:, ::3] = np.round(effects[:, ::3].astype(np.float32), 1).astype(np.float16)
    return effects


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file as the published ones are: write(sites, effects, name="some.h5", drop=..., attributes=..., NAME=dataset ...)."""

    def write(
        sites: Sequence[Site],
        effects: np.ndarray | None = None,
        name: str = "some.h5",
        *,
        tracks: Sequence[tuple[str, str]] = TRACKS,
        score: str = "SAD",
        drop: Sequence[str] = (),
        attributes: dict[str, Any] | None = None,
        objects: bool = False,
        chunks: tuple[int, int] | None = None,
        **datasets: Any,
    ) -> Path:
        path = tmp_path / name
        columns = [list(column) for column in zip(*sites, strict=True)] or [[], [], [], []]
        chrom, pos, ref, alt = columns
        text = {
            "snp": [f"rs{n}" for n in range(len(sites))],
            "chr": chrom,
            "ref": ref,
            "alt": alt,
            "target_ids": [identifier for identifier, _ in tracks],
            "target_labels": [label for _, label in tracks],
        }
        made: dict[str, Any] = {key: value if objects else np.array(value, "S") for key, value in text.items()}
        made |= {
            "pos": np.array(pos, np.uint32),
            score: random_effects(len(sites), len(tracks)) if effects is None else effects,
            **datasets,
        }
        with h5py.File(path, "w") as file:
            for key, value in made.items():
                if key not in drop:
                    file.create_dataset(key, data=value, chunks=chunks if key == score else None)
            file.attrs.update(attributes or {})
        return path

    return write


@pytest.fixture
def targets(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file like targets_human.txt: targets(rows, header=...)."""

    def write(rows: Sequence[tuple[Any, str, str]] | None = None, header: str = HEADER) -> Path:
        path = tmp_path / "targets.txt"
        listed = [(n, *track) for n, track in enumerate(TRACKS)] if rows is None else rows
        path.write_text(header + "".join(f"{n}\t0\t{name}\tx.w5\t32\t2\tmean\t{said}\n" for n, name, said in listed))
        return path

    return write


def expected(effects: np.ndarray, tracks: Sequence[tuple[str, str]], threshold: float, keep: str) -> list[tuple]:
    """The columns from strongest to kept_tracks, worked out one by one in double precision from the definitions."""
    pairs = [(tissue, assay) for tissue in TISSUES for assay in ASSAYS]
    of = [(tissue_of(said), assay_of(said)) for _, said in tracks]
    members = [{n for n, each in enumerate(of) if each == pair} for pair in pairs]
    rows = []
    for row in effects.astype(np.float64).tolist():
        ranked = sorted(range(len(row)), key=lambda n: (-abs(row[n]), n))
        top = ranked[0]
        tops = [next(n for n in ranked if n in ordinals) for ordinals in members if ordinals]
        kept = ranked[:TRACKS_KEPT] if keep == "summary" else None
        listed = ([row[n] for n in kept], kept) if kept is not None else (None, None)
        rows.append((row[top], top, sum(abs(x) >= threshold for x in row), [row[n] for n in tops], tops, *listed))
    return rows


def check(conn: Conn, effects: np.ndarray, tracks: Sequence[tuple[str, str]] = TRACKS, threshold: float = 0.1, keep: str = "all") -> None:
    """Every column about effects is what the definitions say."""
    found = [row[5:] for row in stored(conn)]
    told = expected(effects, tracks, threshold, keep)
    vectors = effects.astype(np.float64).tolist() if keep == "all" else [None] * len(effects)
    assert found == [(*row, None, vector) for row, vector in zip(told, vectors, strict=True)]


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
    assert grch37.execute("SELECT count(*), count(tissue) FROM enformer_track").fetchone() == (5313, 5313 - 2948)


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


PCA = "#CHROM\tPOS\tID\tREF\tALT\tPC0\tPC1\tPC2\n"


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
    path.write_bytes(gzip.compress(f"{text}20\t5\t.\tA\tC\t1\n".encode()) if compressed else f"{text}20\t5\t.\tA\tC\t1\n".encode())
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
    ]
    assert outcome.load.counts["records"] == 6
    run = "score, threshold, tracks_kept, track_count, component_count, summaries, synthetic"
    assert grch37.execute(f"SELECT {run} FROM enformer_run").fetchall() == [(None, None, None, 0, 3, [], True)]
    assert grch37.execute("SELECT count(*) FROM enformer_track").fetchone() == (0,)


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


def test_a_file_without_variants_and_one_of_which_none_can_be_loaded(grch37: Conn, write: Write) -> None:
    path = write(snvs(2), np.full((2, 7), np.nan, np.float16))
    with pytest.raises(InputError, match="nothing of it could be loaded: 2 of 2 records rejected"):
        load(grch37, path)
    assert counts(grch37) == [0, 0, 0, 0]


def counts(conn: Conn) -> list[int]:
    """Rows of the tables of Enformer, and loads."""
    return [conn.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("enformer_run", "enformer_track", "enformer_effect", "load")]  # type: ignore[index]


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


# ---- what is refused, and leaves nothing


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
