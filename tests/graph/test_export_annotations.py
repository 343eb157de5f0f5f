"""`vkg annotate`: facts against plain Python over the tables, and what is carried over against the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from graph import candidates, export_annotations
from graph.candidates import Candidates
from graph.errors import UserError
from graph.export_annotations import Fuzzy
from tests.graph.conftest import Clone, Site
from tests.graph.known import DISEASE, RS, World, facts, lines, make_world, ranked


@pytest.fixture(scope="module")
def world(clone: Clone, demo_template: str, sites: list[Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from make_world(clone, demo_template, sites, tmp_path_factory.mktemp("world"))


# ---- vkg annotate


def test_facts_are_what_the_files_say(world: World) -> None:
    """Against plain Python over the rows of the tables."""
    of = Candidates(region="20:1700000-2000000")
    names = [name for name in world.facts if 1_700_000 <= int(name.split("-")[1]) <= 2_000_000]
    rows = facts(world.url, of).rows
    expected = []
    for name in names:
        known = world.facts[name]
        expected += [(name, "clinical", "GERMLINE", ",".join(sorted(classes)), "clinical@7") for classes in known.classes]
        expected += [
            (name, "frequency", where, f"{value:.15g}", f"{data}@phase3") for data, where, value in known.frequencies if value is not None
        ]
        expected += [(name, "score", score, f"{value:.15g}", "scores@2") for score, value in known.scores]
        expected += [
            (name, "consequence", f"{gene}:{transcript}", term, "vep@1") for term, gene, transcript in world.consequences.get(name, ())
        ]
    found = [tuple(row[column] for column in ("variant", "field", "name", "value", "from")) for row in rows]
    assert sorted(found) == sorted(expected)
    assert {row["origin"] for row in rows} == {"store"}
    assert {row["outcome"] for row in rows} == {""}
    assert list(dict.fromkeys(row["variant"] for row in rows)) == names
    assert min(sum(row["field"] == field for row in rows) for field in ("clinical", "score", "consequence")) > 5
    order = [export_annotations.FIELDS.index(row["field"]) for row in rows if row["variant"] == rows[0]["variant"]]
    assert order == sorted(order)
    lines_ = lines(facts(world.url, of, as_json=True))
    assert [(row["variant"], row["field"], row["name"], f"{row['load']['dataset']}@{row['load']['version']}") for row in lines_] == [
        (row["variant"], row["field"], row["name"], row["from"]) for row in rows
    ]


CARRIED = """query ($ids: [String!]!, $model: String!, $k: Int!, $least: Float!) { variants(ids: $ids, first: 100) { nodes { name transferredAnnotations(
    model: $model, k: $k, minSimilarity: $least) { clinicalSignificance { outcome classes { classification weight } neighbours { similarity classes node {
    name } } } frequency { name outcome estimate lowest highest neighbours { similarity node { name } } }
    scores { name outcome estimate lowest highest neighbours { similarity node { name } } } } } } }"""


@pytest.mark.parametrize(("model", "least", "k"), [("annotation", 0.99, 5), ("noise", 0.6, 10), ("noise", 0.7, 3)])
def test_what_is_carried_over_is_what_the_api_says(world: World, model: str, least: float, k: int) -> None:
    names = [name for name in world.facts if 1_880_000 <= int(name.split("-")[1]) <= 1_895_000][:90]
    nodes = world.api.data(CARRIED, {"ids": names, "model": model, "k": k, "least": least})["variants"]["nodes"]
    expected, without = [], []
    for node in nodes:
        name, found = node["name"], node["transferredAnnotations"]
        if found is None:
            without.append(name)
            expected.append((name, "", "", "", "NO_VECTOR", "", ("", ""), ""))
            continue
        clinical = found["clinicalSignificance"]
        for share in clinical["classes"]:
            of = [near for near in clinical["neighbours"] if share["classification"] in near["classes"]]
            told = ";".join(f"{near['node']['name']}:{near['similarity']:.15g}" for near in of)
            expected.append(
                (name, "clinical", "GERMLINE", share["classification"], "TRANSFERRED", f"{share['weight']:.15g}", ("", ""), told)
            )
        for field_, number in [("frequency", found["frequency"]), *(("score", each) for each in found["scores"])]:
            told = ";".join(f"{near['node']['name']}:{near['similarity']:.15g}" for near in number["neighbours"])
            if number["outcome"] == "TRANSFERRED":
                span = tuple(f"{number[name]:.15g}" for name in ("lowest", "highest"))
                expected.append((name, field_, number["name"], f"{number['estimate']:.15g}", "TRANSFERRED", "", span, told))
        for field_, called, each in (("clinical", "GERMLINE", clinical), ("frequency", "ALL", found["frequency"])):
            if each["outcome"] == "NO_NEIGHBOUR":
                expected.append((name, field_, called, "", "NO_NEIGHBOUR", "", ("", ""), ""))
    answer = facts(world.url, Candidates(ids=names), Fuzzy(model, least, k))
    lent = [row for row in answer.rows if row["origin"] == "similar"]
    columns = ("variant", "field", "name", "value", "outcome", "weight")
    assert sorted((*(row[c] for c in columns), (row["lowest"], row["highest"]), row["from"]) for row in lent) == sorted(expected)
    assert [row for row in answer.rows if row["origin"] == "store"] == facts(world.url, Candidates(ids=names)).rows
    assert sum(row["outcome"] == "TRANSFERRED" for row in lent) > 10
    # Nothing that the variant has, nor what the model read.
    has = {(row["variant"], row["field"], row["name"]) for row in answer.rows if row["origin"] == "store"}
    assert not has & {(row["variant"], row["field"], row["name"]) for row in lent}
    if model == "annotation":
        assert not {row["name"] for row in lent} & {"CADD_PHRED", "ALL"}
        assert answer.told == ["Not carried over by annotation, which reads them: frequencies, CADD_PHRED, REVEL, AlphaMissense, SpliceAI."]
    else:
        assert len(without) > 10
        assert answer.told[0].startswith(f"To {len(without)} variants without a vector by noise nothing is carried over: {without[0]}, ")
        assert "CADD_PHRED" in {row["name"] for row in lent}
    in_json = [
        row for row in lines(facts(world.url, Candidates(ids=names), Fuzzy(model, least, k), as_json=True)) if row["origin"] == "similar"
    ]
    assert [";".join(f"{near['variant']}:{near['similarity']:.15g}" for near in row["neighbours"]) for row in in_json] == [
        row["from"] for row in lent
    ]


def test_nothing_is_written_to_the_store(world: World) -> None:
    def state() -> list[Any]:
        with psycopg.connect(world.url) as conn:
            tables = [name for (name,) in conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]
            return [conn.execute(f"SELECT %s, count(*), max(xmin::text::bigint) FROM {table}", (table,)).fetchone() for table in tables]

    before = state()
    assert facts(world.url, Candidates(region="20:1890000-1900000"), Fuzzy("noise", 0.5, 10)).rows
    assert ranked(world.url, Candidates(region="20:1890000-1900000"), DISEASE, "noise").rows
    assert state() == before


def test_many_variants_take_as_many_statements_as_a_few(world: World) -> None:
    names = [name for name in world.facts if 1_880_000 <= int(name.split("-")[1]) <= 1_900_000][:90]
    few, many = (facts(world.url, Candidates(ids=ids)).statements for ids in (names[:40], names))
    assert few == many <= 10
    one, fifty = (facts(world.url, Candidates(ids=ids), Fuzzy("annotation", 0.9, 5)).statements for ids in (names[:25], names[:50]))
    assert one == fifty <= 30


@pytest.mark.parametrize(
    ("fuzzy", "code", "said"),
    [
        (Fuzzy(None), "MODEL_NEEDED", "annotation, noise"),
        (Fuzzy("esm"), "UNKNOWN_MODEL", "esm"),
        (Fuzzy("noise", -0.1), "BAD_SIMILARITY", "--similarity: -0.1"),
        (Fuzzy("noise", 1.1), "BAD_SIMILARITY", "--similarity: 1.1"),
        (Fuzzy("noise", 0.9, 0), "BAD_COUNT", "--k: 0"),
        (Fuzzy("noise", 0.9, 101), "BAD_COUNT", "--k: 101"),
    ],
    ids=str,
)
def test_what_cannot_be_carried_over_is_said(world: World, fuzzy: Fuzzy, code: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        facts(world.url, Candidates(ids=[RS]), fuzzy)
    assert caught.value.code == code
    assert said in f"{caught.value} {caught.value.hint}"


def test_a_file_that_fails_half_way_is_not_there(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = export_annotations._known
    calls: list[int] = []

    async def once(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise UserError("ANY", "No more.")
        return await known(*arguments)

    monkeypatch.setattr(candidates, "PORTION", 5)
    monkeypatch.setattr(export_annotations, "_known", once)
    for name in ("facts.tsv", "facts.tsv.gz"):
        calls.clear()
        with pytest.raises(UserError, match="No more"):
            facts(world.url, Candidates(gene="SIRPA"), output=tmp_path / name)
        assert len(calls) == 2
    assert not list(tmp_path.iterdir())
