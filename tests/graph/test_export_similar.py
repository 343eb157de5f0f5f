"""`vkg similar NAME` writes what the API answers, and `--pairs` what numpy finds over the vectors as text; the commands."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from graph import candidates, export_similar, shell
from graph.candidates import Candidates
from graph.errors import UserError
from graph.export_annotations import Fuzzy
from graph.export_similar import alike
from graph.similar_commands import similar_group
from store import release
from store.assembly import GRCH37
from store.database import open_pools
from store.reference import Reference
from tests.command_line import run
from tests.graph.api import JSON
from tests.graph.conftest import FASTA, Clone, Site, embed_annotation
from tests.graph.known import DISEASE, RS, World, facts, make_world, pairs, ranked, similar, write_clinical
from tests.graph.loading import load_vcf, write_vcf
from tests.graph.neighbours import ROUNDING
from tests.graph.test_cell_context import IMPACTS, TERMS


@pytest.fixture(scope="module")
def world(clone: Clone, demo_template: str, sites: list[Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from make_world(clone, demo_template, sites, tmp_path_factory.mktemp("world"))


# ---- vkg similar NAME

NODE = """name rsids genes { nodes { symbol geneId } } consequences { terms impact } clinicalSignificance { aspect classes } frequency { frequency }
    there: frequency(population: $there) { frequency }"""
OF_API = f"""query ($id: String!, $model: String, $first: Int! = 10, $least: Float, $sameGene: Boolean! = false, $gene: String, $region: String,
    $population: String, $filter: VariantFilter, $there: String! = "ALL") {{ variant(id: $id) {{ {NODE} similar(model: $model, first: $first,
    minSimilarity: $least, sameGene: $sameGene, gene: $gene, region: $region, population: $population, filter: $filter) {{
    edges {{ similarity node {{ {NODE} }} }} }} }} }}"""


def at_a_glance(node: JSON) -> JSON:
    """A variant of an answer of the API as the shell has it."""
    severe = (node["consequences"] or [{"terms": [], "impact": None}])[0]
    classes = [each for one in node["clinicalSignificance"] if one["aspect"] == "GERMLINE" for each in one["classes"]]
    return {
        "variant": node["name"], "rsids": node["rsids"], "genes": [gene["symbol"] or gene["geneId"] for gene in node["genes"]["nodes"]],
        "consequence": severe["terms"], "impact": severe["impact"], "classes": list(dict.fromkeys(classes)),
        "frequency": node["frequency"] and node["frequency"]["frequency"],
    }  # fmt: skip


@pytest.mark.parametrize("model", ["annotation", "noise"])
@pytest.mark.parametrize(
    ("asked", "options"),
    [
        ({"least": 0.3}, {"least": 0.3}),
        ({"first": 300, "least": -1}, {"top": 300, "least": -1}),
        ({"sameGene": True, "least": 0.2}, {"same_gene": True, "least": 0.2}),
        ({"gene": "SIRPA", "least": -1, "filter": {"type": ["DELETION", "INSERTION"]}}, {"gene": "SIRPA", "least": -1, "filter": "{type: [DELETION, INSERTION]}"}),
        ({"region": "20:1800000-1900000", "least": 0.3}, {"region": "20:1800000-1900000", "least": 0.3}),
        ({"population": "FIN", "there": "FIN", "least": 0.3}, {"population": "FIN", "least": 0.3}),
    ],
    ids=["plain", "many", "same gene", "gene and filter", "region", "population"],
)  # fmt: skip
def test_the_most_similar_are_those_of_the_api(world: World, model: str, asked: JSON, options: JSON) -> None:
    name = next(each for each in world.within(model, 1_880_000, 1_910_000) if world.genes.at("20", int(each.split("-")[1])))
    answer = world.api.data(OF_API, {"id": name, "model": model, "first": 10, **asked})["variant"]
    expected = []
    for edge in [{"node": answer, "similarity": None}, *answer["similar"]["edges"]]:
        row = at_a_glance(edge["node"]) | ({"similarity": edge["similarity"]} if edge["similarity"] is not None else {})
        there = edge["node"]["there"] and edge["node"]["there"]["frequency"]
        expected.append(row | ({"frequencyInPopulation": there} if "population" in asked else {}))
    assert len(expected) > 4
    found = json.loads(similar(world.url, name, model, as_json=True, **options).text)
    assert found["variant"] == expected[0]
    for row, other in zip(found["similar"], expected[1:], strict=True):
        assert row == other
    assert found["model"]["name"] == model
    table = similar(world.url, name, model, **options)
    assert table.told == []
    assert [(row["variant"], float(row["similarity"])) for row in table.rows] == [
        (row["variant"], row["similarity"]) for row in expected[1:]
    ]
    assert [row["genes"] for row in table.rows] == [",".join(row["genes"]) for row in expected[1:]]
    if "population" in asked:
        assert [row["frequency_FIN"] for row in table.rows] == [f"{row['frequencyInPopulation']:.15g}" for row in expected[1:]]
        assert all(row["frequencyInPopulation"] > 0 for row in expected[1:])


def test_what_is_seen_at_a_glance_is_what_the_files_say(world: World) -> None:
    """Against plain Python over the rows of the tables, of two hundred variants of most of which something is known."""
    rng = random.Random(2)
    classified = [name for name, fact in world.facts.items() if fact.classes]
    names = list({*world.consequences, *rng.sample(classified, 50), *rng.sample(sorted(world.facts), 50)})

    async def look() -> list[JSON]:
        pools = await open_pools(world.url, size=1, timeout_ms=60_000)
        try:
            ctx = await shell.request(pools, GRCH37, Reference(FASTA), None)
            keys = [await candidates.one_named(ctx, name) for name in names]
            before = ctx.statements
            found = await export_similar.glance(ctx, keys)
            assert ctx.statements - before == 5
            return [found[key] for key in keys]
        finally:
            await pools.close()

    symbols = {gene.gene_id: gene.symbol for gene in world.genes.genes}
    for name, row in zip(names, asyncio.run(look()), strict=True):
        fact = world.facts[name]
        assert row["variant"] == name
        assert sorted(row["genes"]) == sorted(symbols[each] or each for each in world.genes.at("20", int(name.split("-")[1])))
        assert set(row["rsids"]) == fact.rsids
        assert set(row["classes"]) == {each for classes in fact.classes for each in classes}
        assert row["frequency"] == next((value for _, population, value in fact.frequencies if population == "ALL"), None)
        severe = min((term for term, _, _ in world.consequences.get(name, ())), key=TERMS.index, default=None)
        assert row["consequence"] == ([severe] if severe else [])
        assert row["impact"] == (IMPACTS[severe] if severe else None)


def test_what_is_seen_takes_as_many_statements_for_many_as_for_one(world: World) -> None:
    one, many = (similar(world.url, RS, "annotation", top=top, least=-1).statements for top in (1, 400))
    assert one == many <= 16


def test_nothing_similar_is_said_and_is_no_error(world: World) -> None:
    zero = next(name for name, norm in zip(world.noise.names, world.noise.norms, strict=True) if norm == 0)
    empty = similar(world.url, zero, "noise")
    assert (empty.rows, empty.told) == ([], [f"Nothing is like {zero}: ALT changes nothing that noise reads."])
    other = world.noise.names[1]
    lonely = similar(world.url, other, "noise", least=0.99999)
    assert (lonely.rows, len(lonely.told)) == ([], 1)
    assert "none that was asked for is at least 0.99999 similar (--min-similarity)" in lonely.told[0]


@pytest.mark.parametrize(
    ("name", "model", "asked", "code", "said"),
    [
        (RS, None, {}, "MODEL_NEEDED", "annotation, noise"),
        (RS, "dnabert2", {}, "UNKNOWN_MODEL", "annotation, noise"),
        ("20-1000000-A-C", "noise", {}, "INVALID_NAME", "20-1000000-A-C"),
        ("rs999999999", "noise", {}, "UNKNOWN_VARIANT", "vkg load vcf"),
        ("what?", "noise", {}, "INVALID_NAME", "'what?' is not the name of a variant"),
        (RS, "noise", {}, "UNEMBEDDED", "vkg embed --model noise"),
        (RS, "annotation", {"least": 1.5}, "BAD_SIMILARITY", "--min-similarity: 1.5"),
        (RS, "annotation", {"least": float("nan")}, "BAD_SIMILARITY", "--min-similarity: nan"),
        (RS, "annotation", {"top": 1001}, "PAGE_TOO_LARGE", "--top: 1001"),
        (RS, "annotation", {"gene": "NOGENE"}, "UNKNOWN_GENE", "NOGENE"),
        (RS, "annotation", {"population": "XXX"}, "UNKNOWN_POPULATION", "XXX"),
        (RS, "annotation", {"filter": "{kind: SNV}"}, "BAD_FILTER", "cannot be read"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_of_one_is_said(world: World, name: str, model: str | None, asked: JSON, code: str, said: str) -> None:
    if code == "UNEMBEDDED":
        assert RS not in world.noise.place
    with pytest.raises(UserError) as caught:
        similar(world.url, name, model, **asked)
    assert caught.value.code == code
    assert said in f"{caught.value} {caught.value.hint}"


def test_of_an_ambiguous_name_it_says_which_variants_have_it(own_store: str, tmp_path: Path) -> None:
    load_vcf(own_store, write_vcf(tmp_path / "two.vcf", "20 1897442 rs1 C T,A 1 PASS DP=1"), dataset="two", version="1")
    with pytest.raises(UserError) as none:
        similar(own_store, "20-1897442-C-A")
    assert (none.value.code, none.value.hint) == ("UNKNOWN_MODEL", "Embed variants first: vkg embed --model annotation")
    embed_annotation(own_store)
    for name in ("rs1", "20:1897442"):
        for call in (lambda: similar(own_store, name), lambda: facts(own_store, Candidates(ids=["20-1897442-C-A", name]))):  # noqa: B023
            with pytest.raises(UserError) as caught:
                call()
            assert (caught.value.code, caught.value.hint) == ("AMBIGUOUS_NAME", "Say which: 20-1897442-C-A, 20-1897442-C-T")
    path = tmp_path / "names.txt"
    path.write_text("rs1\n20-1897442-C-A\n")
    found = facts(own_store, Candidates(file=path))
    assert {(row["variant"], row["outcome"]) for row in found.rows} == {("rs1", "AMBIGUOUS")}
    assert f"{path}:1: rs1: 2 variants have this name" in found.told[0]


def test_a_named_release_answers_as_it_was(own_demo: str, sites: list[Site], tmp_path: Path) -> None:
    with psycopg.connect(own_demo, autocommit=True) as conn:
        release.create_release(conn, "first")
    before = similar(own_demo, RS, least=-1, top=50).text
    of = Candidates(gene="SIRPA")
    known = facts(own_demo, of).text
    load_vcf(own_demo, write_clinical(tmp_path / "clinical.vcf", sites), dataset="clinical", version="7", assembly="GRCh37")
    assert similar(own_demo, RS, least=-1, top=50, named="first").text == before
    assert facts(own_demo, of, named="first").text == known
    assert "clinical@7" not in known
    assert "clinical@7" in facts(own_demo, of).text
    with pytest.raises(UserError, match="There is no release named 'never'"):
        similar(own_demo, RS, named="never")


# ---- vkg similar --pairs


def numpy_pairs(world: World, model: str, start: int, end: int, near: float) -> tuple[float, dict[tuple[str, str], float]]:
    """A similarity that lies near a number and clearly between two that pairs have, and all pairs of a stretch above it, in float64."""
    known, names = world.of(model), world.within(model, start, end)
    units = known.directions[[known.place[name] for name in names]]
    units = units / np.linalg.norm(units, axis=1, keepdims=True)
    similarities = units @ units.T
    upper = np.triu_indices(len(names), 1)
    told = np.unique(similarities[upper])
    gaps = np.flatnonzero(np.diff(told) > 10 * ROUNDING)
    middles = (told[gaps] + told[gaps + 1]) / 2
    least = float(middles[np.abs(middles - near).argmin()])
    return least, {(names[a], names[b]): similarities[a, b] for a, b in zip(*upper, strict=True) if similarities[a, b] > least}


@pytest.mark.parametrize(("model", "near"), [("annotation", 0.9999), ("annotation", 0.7), ("noise", 0.7), ("noise", -0.3)])
@pytest.mark.parametrize("at_once", [None, 3_000])
def test_pairs_are_those_of_numpy(world: World, monkeypatch: pytest.MonkeyPatch, model: str, near: float, at_once: int | None) -> None:
    if at_once:
        monkeypatch.setattr(export_similar, "_AT_ONCE", at_once)
    start, end = next((gene.start, gene.end) for gene in world.genes.genes if gene.symbol == "SIRPA")
    least, expected = numpy_pairs(world, model, start, end, near)
    rows = pairs(world.url, model, gene="SIRPA", least=least).rows
    found = {(row["variant1"], row["variant2"]): float(row["similarity"]) for row in rows}
    assert set(found) == set(expected)
    assert len(rows) == len(found) > 20
    assert max(abs(found[pair] - expected[pair]) for pair in expected) < ROUNDING
    assert all(value == round(value, 6) for value in found.values())
    place = {name: n for n, name in enumerate(world.of(model).names)}
    order = [(-similarity, place[one], place[other]) for (one, other), similarity in found.items()]
    assert order == sorted(order)
    for row in rows:
        assert int(row["bases_apart"]) == int(row["variant2"].split("-")[1]) - int(row["variant1"].split("-")[1]) >= 0
    # The most similar alone are the first of all.
    top = len(rows) // 2
    assert pairs(world.url, model, gene="SIRPA", least=least, top=top).rows == rows[:top]


def test_pairs_are_of_visible_variants_with_vectors_that_a_filter_leaves(world: World) -> None:
    region = "20:1896000-1899000"
    answer = pairs(world.url, "annotation", region=region, least=-1)
    names = {name for row in answer.rows for name in (row["variant1"], row["variant2"])}
    assert names == set(world.within("annotation", 1_896_000, 1_899_000))
    assert set(world.hidden) <= set(world.annotation.names)  # they have vectors
    assert not names & set(world.hidden)
    visible = [name for name in world.facts if 1_896_000 <= int(name.split("-")[1]) <= 1_899_000]
    noise = pairs(world.url, "noise", region=region, least=-1)
    missing = len(visible) - len(world.within("noise", 1_896_000, 1_899_000))
    assert missing
    assert noise.told[0].startswith(f"{missing} of {len(visible)} variants are in no pair: ")
    snvs = pairs(world.url, "annotation", region=region, least=-1, filter="{type: [SNV]}").rows
    assert snvs == [row for row in answer.rows if all(len(name) == len(RS) for name in (row["variant1"], row["variant2"]))]
    assert 0 < len(snvs) < len(answer.rows)
    assert pairs(world.url, "noise", region="20:1896000-1899000", least=1).told[-1] == "No pair is at least 1 similar (--min-similarity)."
    assert pairs(world.url, "noise", region="19:1-100").rows == []


def test_too_many_variants_or_pairs_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pairs(world.url, "annotation", gene="SIRPA", least=0.9999).rows
    monkeypatch.setattr(export_similar, "MOST_PAIRS", len(rows))
    assert pairs(world.url, "annotation", gene="SIRPA", least=0.9999).rows == rows
    monkeypatch.setattr(export_similar, "MOST_PAIRS", len(rows) - 1)
    with pytest.raises(UserError, match=f"More than {len(rows) - 1:,} pairs are at least 0.9999 similar") as caught:
        pairs(world.url, "annotation", gene="SIRPA", least=0.9999)
    assert "--top" in (caught.value.hint or "")
    assert pairs(world.url, "annotation", gene="SIRPA", least=0.9999, top=5).rows == rows[:5]
    with pytest.raises(UserError, match="--top"):
        pairs(world.url, "annotation", gene="SIRPA", top=len(rows))
    visible = len(world.within("annotation", 1_896_000, 1_899_000))
    for most, refused in ((visible, False), (visible - 1, True)):
        monkeypatch.setattr(export_similar, "MOST_VARIANTS", most)
        if refused:
            with pytest.raises(UserError, match=f"more than {most:,} variants"):
                pairs(world.url, "annotation", region="20:1896000-1899000", least=0.99999)
        else:
            pairs(world.url, "annotation", region="20:1896000-1899000", least=0.99999)


@given(st.data())
def test_however_pairs_are_compared_they_are_the_same(data: st.DataObject) -> None:
    """By a few or many at once; all, or the first: ties stand in the order of the list. Small whole numbers have many."""
    n = data.draw(st.integers(0, 25))
    vectors = np.array(
        data.draw(st.lists(st.lists(st.integers(-1, 1), min_size=3, max_size=3).filter(any), min_size=n, max_size=n)), np.float64
    )
    units = vectors.reshape(n, 3) / np.linalg.norm(vectors.reshape(n, 3), axis=1, keepdims=True)
    least = data.draw(st.sampled_from([-1, -0.2, 0.6, 0.9, 1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_similar, "_AT_ONCE", data.draw(st.sampled_from([1, 40, 100, 10**6])))
        found = list(zip(*(each.tolist() for each in alike(units, least, 10_000)), strict=True))
        top = data.draw(st.integers(1, 40))
        assert list(zip(*(each.tolist() for each in alike(units, least, top, cut=True)), strict=True)) == found[:top]
    exact = np.round(units @ units.T, 6)
    assert {(a, b) for a, b, _ in found} == {(a, b) for a in range(n) for b in range(a + 1, n) if exact[a, b] >= least}
    assert found == sorted(found, key=lambda pair: (-pair[2], pair[0], pair[1]))


def test_pairs_take_no_memory_by_the_square() -> None:
    units = np.random.default_rng(1).normal(size=(8_000, 3))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    tracemalloc.start()
    found = alike(units, 0.9999, 1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found[0]) > 100
    assert peak < 0.25 * 8 * 8_000**2


# ---- the commands


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("similar", "Similar to what?"),
        ("similar rs1 --pairs --gene SIRPA", "NAME and --pairs exclude each other."),
        ("similar rs1 --to-class BENIGN", "NAME and --to-class exclude each other."),
        ("similar --pairs --to-class BENIGN", "--pairs and --to-class exclude each other."),
        ("similar --pairs --same-gene", "--same-gene goes with NAME, not with --pairs."),
        ("similar --to-class BENIGN --population FIN", "--population goes with NAME, not with --to-class."),
        ("similar --to-class BENIGN --min-similarity 0.5", "--min-similarity goes with NAME and --pairs, not with --to-class."),
        ("similar rs1 --id rs2", "--id goes with --to-class, not with NAME."),
        ("similar --pairs --candidates README.md", "--candidates goes with --to-class, not with --pairs."),
        ("similar rs1 --same-gene --gene SIRPA", "--same-gene, --gene and --region exclude each other."),
        ("similar --to-class PATHOGENIK --id rs1", "--to-class: 'PATHOGENIK' is no clinical class."),
        ("similar --to-class , --id rs1", "--to-class: '' is no clinical class."),
        ("annotate --id rs1 --similarity 0.5", "--similarity says what is carried over."),
        ("annotate --id rs1 --k 5", "--k says what is carried over."),
        ("annotate --id rs1 --model annotation", "--model says what is carried over."),
    ],
)
def test_options_that_contradict_each_other_are_refused(arguments: str, said: str) -> None:
    caught = CliRunner().invoke(similar_group, arguments.split()).exception
    assert isinstance(caught, UserError)
    assert said in str(caught)
    assert caught.hint


def test_the_commands_write_to_the_terminal_and_to_files(world: World, tmp_path: Path) -> None:
    near = ["--model", "annotation", "--top", "5", "--min-similarity", "0.9"]
    on_terminal = run(world.url, "similar", "rs4813331", *near)
    expected = similar(world.url, "rs4813331", "annotation", top=5, least=0.9)
    assert (on_terminal.code, on_terminal.out, on_terminal.err) == (0, expected.text, "")
    for name, options in (("s.tsv", []), ("s.json.gz", ["--json"])):
        done = run(world.url, "similar", "rs4813331", *near, *options, "--output", str(tmp_path / name))
        assert (done.code, done.out, done.err) == (0, "", f"5 rows in {tmp_path / name}\n")
    assert (tmp_path / "s.tsv").read_text() == expected.text
    assert len(json.loads(gzip.decompress((tmp_path / "s.json.gz").read_bytes()))["similar"]) == 5
    found = run(world.url, "similar", "--pairs", "--gene", "SIRPA", "--model", "noise", "--top", "3", "--json")
    assert [json.loads(line)["similarity"] for line in found.out.splitlines()] == [
        float(row["similarity"]) for row in pairs(world.url, "noise", gene="SIRPA", top=3).rows
    ]
    name = world.within("noise", 1_880_000, 1_900_000)[0]
    first = run(world.url, "similar", "--to-class", "pathogenic,Likely_Pathogenic", "--id", name, "--model", "noise")
    assert first.out == ranked(world.url, Candidates(ids=[name]), DISEASE, "noise").text
    assert first.err.count("It is no classification of a variant, and no probability of disease.") == 1
    output = tmp_path / "facts.jsonl.gz"
    asked = [
        "--gene",
        "SIRPA",
        "--filter",
        "{type: [DELETION]}",
        "--fuzzy",
        "--model",
        "noise",
        "--similarity",
        "0.7",
        "--k",
        "4",
        "--json",
    ]
    done = run(world.url, "annotate", *asked, "--output", str(output))
    of = Candidates(gene="SIRPA", filter="{type: [DELETION]}")
    assert gzip.decompress(output.read_bytes()).decode() == facts(world.url, of, Fuzzy("noise", 0.7, 4), as_json=True).text
    assert done.code == 0
    assert done.err.endswith(f" rows in {output}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["facts.jsonl.gz", "s.json.gz", "s.tsv"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("similar rs999999999 --model noise", "No visible file has a record of 'rs999999999'."),
        ("similar rs4813331", "Several models have vectors of variants."),
        ("similar rs4813331 --model annotation --output x.vcf", "x.vcf: the ending says no format"),
        ("annotate --region 20:x", "20:x"),
        ("annotate --id rs4813331 --candidates nowhere.txt", "nowhere.txt"),
        ("annotate --gene SIRPA --output /nowhere/x.tsv", "/nowhere/x.tsv: there is no folder /nowhere"),
    ],
)
def test_what_cannot_be_answered_is_one_message_and_exit_code_2(world: World, arguments: str, said: str) -> None:
    done = run(world.url, *arguments.split())
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err
