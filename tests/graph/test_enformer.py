"""Effects of Enformer over HTTP: every field against numpy on the matrices, filters of tracks, variants by what they change, what is not visible."""

from __future__ import annotations

import csv
import gzip
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psycopg
import pysam
import pytest

from store import release
from store.tissue import assay_of, tissue_of
from store.variant_key import encode_one
from tests.conftest import REAL
from tests.graph.api import OF_PAGE, PAGE, WINDOW, Api
from tests.graph.conftest import DEMO, FASTA, Clone, Serve, Site, settings
from tests.graph.loading import load_enformer
from tests.graph.segments import draws
from tests.graph.test_releases import current

Row = dict[str, Any]

ASSAYS = ("CAGE", "DNASE", "ATAC", "CHIP")
SAID = {
    "CAGE:liver, adult, pool": ("CAGE", "LIVER"),
    "CAGE:Hepatocyte, donor": ("CAGE", "LIVER"),
    "CAGE:brain, adult, donor": ("CAGE", "BRAIN"),
    "CAGE:heart, fetal, pool": ("CAGE", "HEART"),
    "CAGE:hepatocellular carcinoma cell line:HEP-3B": ("CAGE", None),
    "DNASE:liver female adult": ("DNASE", "LIVER"),
    "DNASE:HepG2": ("DNASE", None),
    "ATAC:cerebellum male adult": ("ATAC", "BRAIN"),
    "CHIP:H3K27ac:liver male adult": ("CHIP", "LIVER"),
    "CHIP:H3K4me3:stomach": ("CHIP", "STOMACH"),
    "CHIP:CTCF:GM12878": ("CHIP", None),
    "RNA:liver": ("OTHER", "LIVER"),
    "expression in liver": ("OTHER", None),
}
"""Assay and tissue of descriptions, as they are meant."""


@dataclass(frozen=True)
class Track:
    """A track as it stands in a list of targets, and what it is of."""

    index: int
    identifier: str
    description: str
    assay: str
    tissue: str | None

    @property
    def shown(self) -> Row:
        return {name: getattr(self, name) for name in ("index", "identifier", "description", "assay", "tissue")}


def some_tracks(times: int) -> list[Track]:
    """Tracks of all that SAID has, several of each, in no order."""
    said = [(f"{text} {n}", *of) for text, of in SAID.items() for n in range(times)]
    random.Random(5).shuffle(said)
    return [Track(n, f"ENCFF{n:05}", *each) for n, each in enumerate(said)]


def real_tracks() -> list[Track]:
    """Those of Enformer. Which tissue the words mean has tests of its own (tests/store/test_tissue.py)."""
    lines = gzip.decompress((REAL / "genome_wide" / "enformer_targets_human.txt.gz").read_bytes()).decode().splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t"))
    found = []
    for row in rows:
        assay, tissue = assay_of(row["description"]), tissue_of(row["description"])
        found.append(Track(int(row["index"]), row["identifier"], row["description"], assay if assay in ASSAYS else "OTHER", tissue))
    assert [track.index for track in found] == list(range(5_313))
    return found


@dataclass(frozen=True)
class Effects:
    """What a load says: by variant its row in the file, the effects of ALT against REF, whether they were swapped, and the locus as written where that
    is another; of principal components these."""

    dataset: str
    version: str
    tracks: list[Track]
    score: str | None
    kept: str | None
    threshold: float | None
    synthetic: bool
    of: dict[str, tuple[int, np.ndarray, bool, str | None]]

    @cached_property
    def places(self) -> dict[tuple[str, str], np.ndarray]:
        """By tissue and assay, the indices of the tracks that are summed up."""
        found: dict[tuple[str, str], list[int]] = {}
        for track in self.tracks:
            if track.tissue is not None and track.assay != "OTHER":
                found.setdefault((track.tissue, track.assay), []).append(track.index)
        return {pair: np.array(indices) for pair, indices in found.items()}

    def summary(self, variant: str, tissue: str, assay: str) -> tuple[float, Track] | None:
        """The effect of the largest size on the tracks of a tissue and assay, of several the first."""
        if variant not in self.of or (tissue, assay) not in self.places:
            return None
        values, indices = self.of[variant][1], self.places[tissue, assay]
        best = indices[np.argmax(np.abs(values[indices]))]
        return float(values[best]), self.tracks[best]

    def ranked(self, variant: str) -> list[int]:
        """The indices of the tracks that were kept, largest effect first."""
        values = self.of[variant][1]
        ranked = sorted(range(len(values)), key=lambda index: (-abs(values[index]), index))
        return {"ALL": ranked, "SUMMARY": ranked[:100], "NONE": [], None: []}[self.kept]

    def shown(self, variant: str, tissues: Sequence[str]) -> Row:
        """The answer for one variant, all of its fields, tissues in this order."""
        line, values, swapped, locus = self.of[variant]
        row = {
            "score": self.score, "synthetic": self.synthetic, "swapped": swapped, "sourceLocus": locus, "line": line, "variant": {"name": variant},
            "threshold": self.threshold, "trackCount": len(self.tracks), "tracksKept": self.kept,
            "load": {"dataset": self.dataset, "version": self.version},
        }  # fmt: skip
        if self.score is None:
            nothing = {"maxEffect": None, "strongestEffect": None, "overThreshold": None, "strongestTrack": None}
            return row | nothing | {"components": values.tolist(), "tissueEffects": [], "topTracks": [], "tracks": []}
        assert self.threshold is not None
        best = int(np.argmax(np.abs(values)))
        summed = [(tissue, assay, self.summary(variant, tissue, assay)) for tissue in tissues for assay in ASSAYS]
        return row | {
            "components": [], "maxEffect": abs(float(values[best])), "strongestEffect": float(values[best]),
            "overThreshold": int((np.abs(values) >= self.threshold).sum()), "strongestTrack": self.tracks[best].shown,
            "tissueEffects": [{"tissue": t, "assay": a, "effect": s[0], "track": s[1].shown} for t, a, s in summed if s],
            "topTracks": [{"effect": float(values[n]), "track": self.tracks[n].shown} for n in self.ranked(variant)[:10]],
            "tracks": values.tolist() if self.kept == "ALL" else [],
        }  # fmt: skip


# ---- files


def write_targets(path: Path, tracks: Sequence[Track]) -> Path:
    rows = [f"{t.index}\t0\t{t.identifier}\tx.w5\t32\t2\tmean\t{t.description}\n" for t in tracks]
    path.write_text("index\tgenome\tidentifier\tfile\tclip\tscale\tsum_stat\tdescription\n" + "".join(rows))
    return path


def write_matrix(path: Path, variants: Sequence[tuple[str, int, str, str, str]], tracks: Sequence[Track], **effects: np.ndarray) -> Path:
    """Writes effects (SAD=, SAR=) as Enformer's published files are laid out; variants are (chromosome, position, ID, REF, ALT)."""
    with h5py.File(path, "w") as file:
        for name, values in zip(("chr", "pos", "snp", "ref", "alt"), zip(*variants, strict=True), strict=True):
            file[name] = np.array(values, np.uint32 if name == "pos" else "S")
        file["target_ids"] = np.array([track.identifier for track in tracks], "S")
        file["target_labels"] = np.array([track.description.encode() for track in tracks], "S")
        for name, matrix in effects.items():
            file[name] = matrix.astype(np.float16)
    return path


def some_effects(seed: int, variants: int, tracks: int) -> np.ndarray:
    """(variants, tracks) 16-bit floats around 0: zeros of both signs, equal sizes with other signs, tiny and huge ones."""
    rng = np.random.default_rng(seed)
    values = (rng.standard_normal((variants, tracks)) ** 3 * 0.05).astype(np.float16)
    some = rng.random(values.shape)
    values[some < 0.05] = 0
    values[(some >= 0.05) & (some < 0.08)] = np.float16(-0.0)
    values[(some >= 0.08) & (some < 0.2)] = np.float16(0.5) * np.sign(values[(some >= 0.08) & (some < 0.2)])
    values[(some >= 0.2) & (some < 0.22)] = np.float16(6e-8)
    values[::7, 3] = np.float16(-65504)
    return values


class Written:
    """Variants as a file writes them: some as they are, some SNVs with REF and ALT the other way round, some with a base too many before them."""

    def __init__(self, sites: Sequence[Site], prefix: str = "") -> None:
        self.names = [site.name for site in sites]
        self.rows, self.swapped, self.locus = [], [], []
        with pysam.FastaFile(str(FASTA)) as fasta:
            for n, site in enumerate(sites):
                row = (f"{prefix}20", site.pos, site.ref, site.alt)
                if n % 3 == 1 and len(site.ref) == len(site.alt) == 1:
                    row = (row[0], site.pos, site.alt, site.ref)
                elif n % 3 == 2:
                    before = fasta.fetch("20", site.pos - 2, site.pos - 1)
                    row = (row[0], site.pos - 1, before + site.ref, before + site.alt)
                self.swapped.append(row[2:] == (site.alt, site.ref))
                self.locus.append(None if n % 3 == 0 or row[1:] == (site.pos, site.ref, site.alt) else ":".join(map(str, row)))
                self.rows.append((row[0], row[1], site.ids[0], row[2], row[3]))

    def said(self, values: np.ndarray, first: int = 1) -> dict[str, tuple[int, np.ndarray, bool, str | None]]:
        """Effects of ALT against REF, which turn where these are swapped."""
        turned = [-row if swapped else row for row, swapped in zip(values.astype(np.float64), self.swapped, strict=True)]
        return {
            name: (n, row, *more)
            for n, (name, row, *more) in enumerate(zip(self.names, turned, self.swapped, self.locus, strict=True), first)
        }


def demo_effects() -> Effects:
    """What the demo has."""
    words = {"peripheral blood": "BLOOD"} | {t: t.upper() for t in ("liver", "brain", "heart", "lung", "kidney", "spleen", "thymus")}
    with h5py.File(DEMO / "enformer.synthetic.h5") as file:
        chrom, ref, alt, identifier, label = (
            [v.decode() for v in file[name][:]] for name in ("chr", "ref", "alt", "target_ids", "target_labels")
        )
        names = ["-".join(map(str, each)) for each in zip(chrom, file["pos"][:], ref, alt, strict=True)]
        values = file["SAD"][:].astype(np.float64)
    tracks = [
        Track(n, identifier[n], text, text.split(":")[0], next((t for word, t in words.items() if word in text), None))
        for n, text in enumerate(label)
    ]
    assert sum(track.tissue is None for track in tracks) == 2
    of = {name: (n, row, False, None) for n, (name, row) in enumerate(zip(names, values, strict=True), 1)}
    return Effects("enformer_synthetic", "demo", tracks, "SAD", "ALL", 0.1, True, of)


# ---- stores


@dataclass(frozen=True)
class World:
    """A store of the demo and more loads of effects, and what these say, the latest first."""

    api: Api
    loads: list[Effects]
    tissues: list[str]

    def shown(self, variant: str) -> list[Row]:
        return [load.shown(variant, self.tissues) for load in self.loads if variant in load.of]

    def altering(
        self, variant: str, tissue: str, score: str | None = None, datasets: Sequence[str] | None = None
    ) -> tuple[float, Track, Effects] | None:
        """What the latest load of a score (else SAD) that has effects of a variant on expression in a tissue says of it."""
        asked = [load for load in self.loads if load.score == (score or "SAD") and (datasets is None or load.dataset in datasets)]
        return next(((*found, load) for load in asked if (found := load.summary(variant, tissue, "CAGE"))), None)


@pytest.fixture(scope="module", params=["some tracks", pytest.param("all tracks", marks=pytest.mark.requires_real)])
def world(
    request: pytest.FixtureRequest, clone: Clone, demo_template: str, sites: list[Site], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The demo with four more loads, of variants of which some are in several: all tracks, the strongest, none (SAR), and components."""
    folder = tmp_path_factory.mktemp("enformer")
    tracks = real_tracks() if request.param == "all tracks" else some_tracks(12)
    targets = write_targets(folder / "targets.txt", tracks)
    if request.param == "all tracks":
        targets = REAL / "genome_wide" / "enformer_targets_human.txt.gz"
    rng = random.Random(7)
    of_demo = demo_effects()
    shared = [site for site in sites if site.name in of_demo.of]
    drawn = rng.sample(shared, 15) + rng.sample(sites, 25)
    drawn = list({site.name: site for site in drawn}.values())
    some = [Written(rng.sample(drawn, 24), prefix) for prefix in ("chr", "", "", "chr")]
    values = [some_effects(n, 24, len(tracks)) for n in range(3)]
    components = np.random.default_rng(9).standard_normal((24, 20)).round(4)
    write_matrix(folder / "all.h5", some[0].rows, tracks, SAD=values[0])
    write_matrix(folder / "summary.h5", some[1].rows, tracks, SAD=values[1])
    write_matrix(folder / "none.h5", some[2].rows, tracks, SAD=values[0], SAR=values[2])
    head = "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", *(f"PC{n}" for n in range(20))])
    lines = ["\t".join(map(str, [*row, *of])) for row, of in zip(some[3].rows, components.tolist(), strict=True)]
    (folder / "pca.tsv").write_text("\n".join([head, *lines]) + "\n")
    with clone(demo_template) as url:
        given = {"assembly": "GRCh37", "version": "1"}
        load_enformer(url, folder / "all.h5", dataset="all", targets=targets, **given)
        load_enformer(url, folder / "summary.h5", dataset="summary", keep_tracks="summary", threshold=0.5, **given)
        load_enformer(url, folder / "none.h5", dataset="none", keep_tracks="none", score="SAR", targets=targets, **given)
        load_enformer(url, folder / "pca.tsv", dataset="pca", **given)
        loads = [
            Effects("pca", "1", [], None, None, None, False, some[3].said(components, first=2)),
            Effects("none", "1", tracks, "SAR", "NONE", 0.1, False, some[2].said(values[2])),
            Effects("summary", "1", tracks, "SAD", "SUMMARY", 0.5, False, some[1].said(values[1])),
            Effects("all", "1", tracks, "SAD", "ALL", 0.1, False, some[0].said(values[0])),
            of_demo,
        ]
        with Api(settings(url)) as api:
            listed = api.data('{ __type(name: "EnformerTissue") { enumValues { name } } }')["__type"]["enumValues"]
            yield World(api, loads, [each["name"] for each in listed])


def in_several(world: World) -> list[str]:
    """The variants of the loads made here, those first of which most loads have something."""
    names = sorted({name for load in world.loads[:-1] for name in load.of})
    return sorted(names, key=lambda name: -sum(name in load.of for load in world.loads))


# ---- effects of variants

TRACK = "index identifier description assay tissue"
EFFECT = f"""score synthetic maxEffect strongestEffect threshold overThreshold trackCount tracksKept components swapped sourceLocus line variant {{ name }}
    strongestTrack {{ {TRACK} }} tissueEffects {{ tissue assay effect track {{ {TRACK} }} }} topTracks {{ effect track {{ {TRACK} }} }} tracks
    load {{ dataset version }}"""


def test_every_field_is_that_of_the_matrix_and_the_latest_load_comes_first(world: World) -> None:
    names = in_several(world)
    assert sum(name in load.of for load in world.loads for name in names[:1]) >= 4
    for load in world.loads[:-1]:
        assert sum(load.of[name][2] for name in load.of) > 3, "some are swapped"
        assert sum(load.of[name][3] is not None for name in load.of) > 8, "some are written in another way"
    query = f"query ($ids: [String!]!) {{ variants(ids: $ids, first: 8) {{ nodes {{ name enformerEffects {{ {EFFECT} }} }} }} }}"
    answered = {}
    for n in range(0, len(names), 8):
        answered |= {row["name"]: row["enformerEffects"] for row in world.api.data(query, {"ids": names[n : n + 8]})["variants"]["nodes"]}
    assert answered.keys() == set(names)
    for name in names:
        assert answered[name] == world.shown(name), name


def test_effects_are_chosen_by_kind_and_dataset(world: World) -> None:
    name = in_several(world)[0]
    query = "query ($id: String!, $score: [EnformerScore!], $in: [String!]) { variant(id: $id) { enformerEffects(score: $score, dataset: $in) { line load { dataset } } } }"
    for score in (None, ["SAD"], ["SAR"], ["SAD", "SAR"]):
        for datasets in (None, ["all"], ["none", "pca"], ["nobody"], []):
            found = world.api.data(query, {"id": name, "score": score, "in": datasets})["variant"]["enformerEffects"]
            assert [effect["load"]["dataset"] for effect in found] == [
                load.dataset
                for load in world.loads
                if name in load.of and (score is None or load.score in score) and (datasets is None or load.dataset in datasets)
            ]


def test_the_largest_tracks_and_summaries_are_those_of_assays_and_tissues(world: World) -> None:
    query = f"""query ($id: String!, $first: Int!, $assay: [EnformerAssay!], $tissue: [EnformerTissue!]) {{ variant(id: $id) {{ enformerEffects {{
        topTracks(first: $first, assay: $assay, tissue: $tissue) {{ effect track {{ {TRACK} }} }}
        tissueEffects(assay: $assay, tissue: $tissue) {{ tissue assay effect track {{ {TRACK} }} }} }} }} }}"""
    names = in_several(world)

    def draw(rng: random.Random) -> Any:
        assays = rng.choice([None, rng.sample([*ASSAYS, "OTHER"], rng.randint(1, 3)), ["OTHER"], []])
        tissues = rng.choice([None, rng.sample(world.tissues, 5), ["LIVER"], ["LIVER", "BRAIN", "HEART"], []])
        return {"id": rng.choice(names[:12]), "first": rng.choice([1, 3, 40, 1000]), "assay": assays, "tissue": tissues}, True

    some = others = 0
    for asked, _ in draws(21, 60, draw):
        found = world.api.data(query, asked)["variant"]["enformerEffects"]
        loads = [load for load in world.loads if asked["id"] in load.of]
        for effect, load in zip(found, loads, strict=True):
            fits = {t.index for t in load.tracks if asked["assay"] is None or t.assay in asked["assay"]}
            fits &= {t.index for t in load.tracks if asked["tissue"] is None or t.tissue in asked["tissue"]}
            values = load.of[asked["id"]][1]
            best = [n for n in load.ranked(asked["id"]) if n in fits][: asked["first"]]
            assert effect["topTracks"] == [{"effect": float(values[n]), "track": load.tracks[n].shown} for n in best], asked
            every = load.shown(asked["id"], world.tissues)["tissueEffects"]
            assert effect["tissueEffects"] == [
                row for row in every if (asked["assay"] is None or row["assay"] in asked["assay"]) and (asked["tissue"] is None or row["tissue"] in asked["tissue"])
            ]  # fmt: skip
            some += 0 < len(best) < asked["first"]
            others += asked["assay"] == ["OTHER"] and bool(best)
    assert some > 10
    assert others or len(world.loads[1].tracks) == 5_313


def test_a_size_of_no_sense_is_refused(world: World) -> None:
    query = "query ($first: Int!) { variants(first: 1) { nodes { enformerEffects { topTracks(first: $first) { effect } } } } }"
    name = in_several(world)[0]
    for first, code in ((0, "BAD_PAGE"), (-1, "BAD_PAGE"), (1001, "PAGE_TOO_LARGE")):
        asked = query.replace("variants(first: 1) { nodes", f'variant(id: "{name}")').replace("} } } }", "} } }")
        assert world.api.error(asked, {"first": first})["code"] == code


# ---- tracks


def test_tracks_are_paged_by_load_and_index(world: World) -> None:
    query = f"""query ($in: [String!], $assay: [EnformerAssay!], $tissue: [EnformerTissue!], {WINDOW}) {{
        page: enformerTracks(dataset: $in, assay: $assay, tissue: $tissue, {PAGE}) {{ {OF_PAGE} edges {{ cursor node {{ id {TRACK} load {{ dataset }} }} }} }} }}"""
    every = [{**track.shown, "load": {"dataset": load.dataset}} for load in reversed(world.loads) for track in load.tracks]
    asked: list[Row] = [
        {"in": ["all"]},
        {"in": ["enformer_synthetic"]},
        {"assay": ["ATAC", "OTHER"]},
        {"tissue": ["LIVER", "STOMACH"], "in": ["none", "all"]},
        {"assay": ["CAGE"], "tissue": ["BRAIN"]},
        {"in": ["pca"]},
    ]
    error = world.api.error(query, {"in": ["all", "al"]})
    assert (error["code"], error["value"]) == ("UNKNOWN_DATASET", "al")
    seen = set()
    for filters in asked:
        expected = [
            row for row in every
            if row["load"]["dataset"] in filters.get("in", [row["load"]["dataset"]]) and row["assay"] in filters.get("assay", [row["assay"]])
            and row["tissue"] in filters.get("tissue", [row["tissue"]])
        ]  # fmt: skip
        assert expected or filters == {"in": ["pca"]} or filters.get("assay") == ["ATAC", "OTHER"]
        for size, backward in ((1000, False), (1000, True), (7, False), (7, True)):
            if len(expected) > 2000 and size < 1000:
                continue
            edges = world.api.walk(query, filters, size, backward=backward)
            ids = [edge["node"].pop("id") for edge in edges]
            assert [edge["node"] for edge in edges] == expected
            assert len(set(ids)) == len(ids)
        seen.update(ids)
    some = random.Random(3).sample(sorted(seen), 20)
    again = world.api.data(
        f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ id ... on EnformerTrack {{ {TRACK} load {{ dataset }} }} }} }}", {"ids": some}
    )
    assert [node.pop("id") for node in again["nodes"]] == some
    assert all(node in every for node in again["nodes"])
    one = world.api.data(f'{{ node(id: "{some[0]}") {{ ... on EnformerTrack {{ {TRACK} load {{ dataset }} }} }} }}')
    assert one["node"] == again["nodes"][0]


def test_a_tissue_that_the_table_no_longer_has_is_none(own_demo: str, serve: Serve) -> None:
    """The tissue of a track is settled when it is loaded, and tables change."""
    with psycopg.connect(own_demo, autocommit=True) as conn:
        assert conn.execute("UPDATE enformer_track SET tissue = 'ELBOW' WHERE tissue = 'LIVER'").rowcount > 0
        conn.execute("UPDATE enformer_run SET summaries = array_replace(summaries, 'LIVER:CAGE', 'ELBOW:CAGE')")
    api = serve(own_demo)
    tracks = api.data("{ enformerTracks(first: 100) { nodes { description tissue } } }")["enformerTracks"]["nodes"]
    assert {track["tissue"] for track in tracks if "liver" in track["description"]} == {None}
    assert sum(track["tissue"] is not None for track in tracks) > 10
    query = '{ variant(id: "rs75077214") { enformerEffects { tissueEffects(assay: [CAGE]) { tissue track { tissue } } } } }'
    (effect,) = api.data(query)["variant"]["enformerEffects"]
    assert effect["tissueEffects"]
    assert all(each["tissue"] == each["track"]["tissue"] != "LIVER" for each in effect["tissueEffects"])


@pytest.mark.parametrize("id", ["EnformerTrack:x", "EnformerTrack:-1", "EnformerTrack:", "EnformerTrack:1234567890123456789"])
def test_an_id_that_is_none_is_said_to_be_none(demo: Api, id: str) -> None:
    assert demo.error("query ($id: ID!) { node(id: $id) { id } }", {"id": id})["code"] == "BAD_ID"


@pytest.mark.parametrize("id", ["EnformerTrack:7", "EnformerTrack:999999999999999999"])
def test_the_id_of_no_track_gives_nothing(demo: Api, id: str) -> None:
    assert demo.data("query ($id: ID!) { node(id: $id) { id } }", {"id": id}) == {"node": None}


# ---- variants by what they change

ALTERING = f"""query ($gene: String!, $tissue: EnformerTissue!, $least: Float! = 0.1, $score: EnformerScore, $in: [String!], $flank: Int! = 57344,
    $filter: VariantFilter, {WINDOW}) {{
    page: expressionAlteringVariants(gene: $gene, tissue: $tissue, minEffect: $least, score: $score, dataset: $in, flank: $flank, filter: $filter, {PAGE}) {{
        {OF_PAGE} edges {{ cursor effect score synthetic load {{ dataset }} track {{ {TRACK} load {{ dataset }} }} node {{ name }} }} nodes {{ name }} }} }}"""


def genome_order(row: Sequence[Any]) -> int:
    """The place in the genome of a row that begins with the name of a variant: its key, since several may be at a position."""
    chrom, pos, ref, alt = row[0].split("-")
    return encode_one(int(chrom), int(pos), ref, alt)


@pytest.fixture(scope="module")
def starts() -> dict[str, set[int]]:
    """Where each gene of the demo and its transcripts start, by symbol."""
    lines = gzip.decompress((DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz").read_bytes()).decode().splitlines()
    found: dict[str, set[int]] = {}
    for row in (line.split("\t") for line in lines if line[0] != "#"):
        if row[2] in ("gene", "transcript"):
            found.setdefault(re.findall('gene_name "([^"]*)"', row[8])[0], set()).add(int(row[3] if row[6] == "+" else row[4]))
    assert sum(len(of) > 1 for of in found.values()) > 10
    return found


def test_variants_that_change_expression_are_those_of_the_matrices(world: World, sites: list[Site], starts: dict[str, set[int]]) -> None:
    def draw(rng: random.Random) -> Any:
        gene, tissue = rng.choice(sorted(starts)), rng.choice(["LIVER", "BRAIN", "HEART", "BLOOD", "STOMACH", "THYMUS"])
        least, flank = rng.choice([0, 0.1, 0.1, 0.25, 0.5, 0.7]), rng.choice([0, 500, 5_000, 57_344, 57_344])
        kind = rng.choice([None, None, "SNV", "DELETION"])
        score = rng.choice([None, None, "SAD", "SAR"])
        datasets = rng.choice([None, None, ["all", "none"], ["summary", "enformer_synthetic"], []])
        expected = []
        for site in sites:
            reached = any(abs(site.pos - start) <= flank for start in starts[gene])
            if reached and (found := world.altering(site.name, tissue, score, datasets)) and abs(found[0]) >= least:
                deletion = len(site.alt) == 1 and len(site.ref) > 1 and site.ref[0] == site.alt
                if kind is None or (kind == "SNV" and len(site.ref) == len(site.alt) == 1) or (kind == "DELETION" and deletion):
                    expected.append((site.name, *found))
        expected.sort(key=genome_order)
        asked = {"gene": gene, "tissue": tissue, "least": least, "flank": flank, "filter": {"type": [kind]} if kind else None}
        asked |= {"score": score, "in": datasets}
        return asked, expected and len(expected) < 900 and expected

    long = overruled = ratios = 0
    for n, (asked, expected) in enumerate(draws(31, 60, draw)):
        size = (1, 3, 7, 50, 1000)[n % 5] if len(expected) < 60 else (50, 1000)[n % 2]
        wanted = [
            (name, effect, track.shown, load.score, load.synthetic, {"dataset": load.dataset}) for name, effect, track, load in expected
        ]
        for backward in (False, True):
            edges = world.api.walk(ALTERING, asked, size, backward=backward)
            assert [edge["track"].pop("load") for edge in edges] == [edge["load"] for edge in edges]
            found = [(e["node"]["name"], *(e[name] for name in ("effect", "track", "score", "synthetic", "load"))) for e in edges]
            assert found == wanted, asked
            overruled += sum(edge["load"]["dataset"] != "enformer_synthetic" for edge in edges)
            ratios += sum(edge["score"] == "SAR" for edge in edges)
        long += len(edges) > size
    assert long > 15
    assert overruled > 5
    assert ratios > 5


def test_an_effect_counts_from_the_least_size_on(world: World, starts: dict[str, set[int]], sites: list[Site]) -> None:
    """A half float between two others: one above it counts where that is asked for, one below does not."""
    reached = [s.name for s in sites if any(abs(s.pos - start) <= 57_344 for start in starts["NOP56"])]
    near = {name: world.altering(name, "LIVER") for name in reached}
    sizes = sorted({abs(found[0]) for found in near.values() if found})
    for least in (0, *sizes[1:40:8], sizes[-1]):
        edges = world.api.walk(ALTERING, {"gene": "NOP56", "tissue": "LIVER", "least": least}, 1000)
        expected = sorted(((name, *found) for name, found in near.items() if found and abs(found[0]) >= least), key=genome_order)
        assert [edge["node"]["name"] for edge in edges] == [name for name, *_ in expected]
    assert not world.api.walk(ALTERING, {"gene": "NOP56", "tissue": "LIVER", "least": 1e5}, 1000)
    assert not world.api.walk(ALTERING, {"gene": "NOP56", "tissue": "TONGUE", "least": 0}, 10) or len(world.loads[1].tracks) == 5_313


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ('gene: "nobody", tissue: LIVER', "UNKNOWN_GENE"),
        ('gene: "SIRPA", tissue: LIVER, minEffect: -0.1', "BAD_EFFECT"),
        ('gene: "SIRPA", tissue: LIVER, flank: -1', "BAD_FLANK"),
        ('gene: "SIRPA", tissue: LIVER, flank: 1000001', "BAD_FLANK"),
        ('gene: "SIRPA", tissue: ELBOW', "INVALID_DOCUMENT"),
        ('gene: "SIRPA"', "INVALID_DOCUMENT"),
        ('gene: "SIRPA", tissue: LIVER, first: 0', "BAD_PAGE"),
        ('gene: "SIRPA", tissue: LIVER, dataset: ["enformer"]', "UNKNOWN_DATASET"),
        ('gene: "SIRPA", tissue: LIVER, score: SED', "INVALID_DOCUMENT"),
    ],
)
def test_what_cannot_be_asked_is_said(demo: Api, arguments: str, code: str) -> None:
    assert demo.error(f"{{ expressionAlteringVariants({arguments}) {{ totalCount }} }}")["code"] == code


def test_a_least_size_that_is_no_number_is_refused(demo: Api) -> None:
    query = 'query ($least: Float!) { expressionAlteringVariants(gene: "SIRPA", tissue: LIVER, minEffect: $least) { totalCount } }'
    body = '{"query": %s, "variables": {"least": %s}}'
    text = '"' + query.replace('"', '\\"') + '"'
    for number in ("NaN", "Infinity", "1e999", "-1"):
        response = demo.request("POST", "/graphql", content=body % (text, number), headers={"Content-Type": "application/json"})
        assert [error["extensions"]["code"] for error in response.json()["errors"]], number
        assert "data" not in response.json() or response.json()["data"] is None
    for least in (1e39, 1e300):
        assert demo.error(query, {"least": least})["code"] == "BAD_EFFECT"
    for least in (1e5, 3.4e38):
        assert demo.data(query, {"least": least}) == {"expressionAlteringVariants": {"totalCount": 0}}


# ---- what is visible

VISIBLE = """query ($id: String!, $track: ID!) { node(id: $track) { id } enformerTracks { totalCount } store { counts { enformerEffects } }
    variant(id: $id) { enformerEffects { line topTracks(first: 3) { effect track { id } } tracks tissueEffects { effect track { id } } load { dataset } } }
    expressionAlteringVariants(gene: "SIRPA", tissue: STOMACH, minEffect: 0) { totalCount edges { effect node { name } } } }"""


def test_a_held_or_unloaded_load_shows_nowhere(own_demo: str, serve: Serve, sites: list[Site], tmp_path: Path) -> None:
    tracks = [Track(n, f"T{n}", text, *SAID[text]) for n, text in enumerate(SAID)]
    tracks.append(Track(len(tracks), "T", "CAGE:stomach, adult", "CAGE", "STOMACH"))
    some = [site for site in sites if 1_874_813 <= site.pos <= 1_920_540][::40]
    values = some_effects(4, len(some), len(tracks))
    rows = [("20", s.pos, s.ids[0], s.ref, s.alt) for s in some]
    path = write_matrix(tmp_path / "held.h5", rows, tracks, SAD=values)
    api = serve(own_demo)
    with psycopg.connect(own_demo, autocommit=True) as conn:
        load_id = load_enformer(own_demo, path, dataset="held", version="1", assembly="GRCh37", hold=True)
        asked = {"id": some[0].name, "track": f"EnformerTrack:{load_id * 65_536}"}
        before = api.data(VISIBLE, asked)
        assert before["node"] is None
        of_demo = before["enformerTracks"]["totalCount"]
        assert of_demo > 0
        assert before["store"]["counts"]["enformerEffects"] == str(len(demo_effects().of))
        assert before["expressionAlteringVariants"] == {"totalCount": 0, "edges": []}
        assert [effect["load"]["dataset"] for effect in before["variant"]["enformerEffects"]] in ([], ["enformer_synthetic"])
        release.publish(conn, load_id)
        current(api, conn)
        after = api.data(VISIBLE, asked)
        assert after["node"] == {"id": asked["track"]}
        assert after["enformerTracks"]["totalCount"] == of_demo + len(tracks)
        assert int(after["store"]["counts"]["enformerEffects"]) == int(before["store"]["counts"]["enformerEffects"]) + len(some)
        assert after["expressionAlteringVariants"]["totalCount"] == len(some)
        effect, *older = after["variant"]["enformerEffects"]
        assert older == before["variant"]["enformerEffects"]
        assert effect["tracks"] == values[0].astype(float).tolist()
        release.unload(conn, load_id)
        current(api, conn)
        assert api.data(VISIBLE, asked) == before
        # The ids of its tracks lead nowhere, nor do its vectors come to light through an older one's.
        ids = [top["track"]["id"] for top in effect["topTracks"]]
        assert api.data("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ids}) == {"nodes": [None] * 3}


# ---- statements and cost


def test_effects_of_many_variants_take_as_many_statements_as_those_of_one(demo: Api) -> None:
    """What names mean; variants, effects, these variants again, loads; the strongest tracks and their loads; vectors for each of two fields; tracks of
    the summaries and of the largest."""
    links = "variant { name } strongestTrack { description load { dataset } } tissueEffects { effect track { index } } topTracks(first: 2) { track { identifier } } tracks load { version }"
    query = f"query ($ids: [String!]!) {{ variants(ids: $ids, first: 15) {{ nodes {{ name enformerEffects {{ line {links} }} }} }} }}"
    names = list(demo_effects().of)[::300][:15]
    assert demo.cost(query, {"ids": names[:1]})["statements"] == demo.cost(query, {"ids": names})["statements"] == 10
    found = demo.data(query, {"ids": names})["variants"]["nodes"]
    assert [len(node["enformerEffects"]) for node in found] == [1] * 15
    page = 'query ($first: Int!) { expressionAlteringVariants(gene: "SIRPA", tissue: LIVER, first: $first) { edges { effect track { index } node { name } } %s } }'
    for first in (1, 40):
        assert demo.cost(page % "", {"first": first})["statements"] == 3
        assert demo.cost(page % "totalCount", {"first": first})["statements"] == 4


def test_all_tracks_cost_what_they_are(demo: Api) -> None:
    query = "query ($first: Int!) { variants(first: $first) { nodes { enformerEffects { line %s } } } }"
    for first in (1, 19):
        assert demo.cost(query % "", {"first": first})["objects"] == first + 10 * first
        assert demo.cost(query % "tracks", {"first": first})["objects"] == first + 10 * first * (1 + 500)
    assert demo.error(query % "tracks", {"first": 1000})["code"] == "TOO_MANY_COST"
    assert demo.data(query % "", {"first": 1000})["variants"]["nodes"]
