"""What is carried over from similar variants, over HTTP: every number once more, by numpy and plain Python over the files."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from store import release
from store.reference import Reference
from tests.graph.api import Api
from tests.graph.claims import WRITTEN, new_store, position, write_records, write_scores
from tests.graph.conftest import FASTA, Clone, Serve, Site, embed_annotation, settings
from tests.graph.loading import load_scores, load_vcf
from tests.graph.neighbours import Neighbours, read_neighbours, register
from tests.graph.test_similar_releases import current

FLANK = 1_000
REACH = 5 * FLANK + 3
NAMES = ["REVEL", "CADD_PHRED", "CADD-Raw", "Rare"]
NUMBER = "name outcome estimate lowest highest neighbours { similarity value node { name } }"
QUERY = f"""query ($ids: [String!]!, $first: Int! = 20, $model: String, $k: Int! = 10, $least: Float! = 0, $names: [String!]) {{
    variants(ids: $ids, first: $first) {{ nodes {{ name transferredAnnotations(model: $model, k: $k, minSimilarity: $least) {{ model {{ name }}
    clinicalSignificance {{ outcome classes {{ classification weight }} neighbours {{ similarity classes node {{ name }} }} }}
    frequency {{ {NUMBER} }} eur: frequency(population: "EUR") {{ {NUMBER} }}
    scores {{ {NUMBER} }} named: scores(name: $names) {{ {NUMBER} }} }} }} }} }}"""


@dataclass(frozen=True)
class World:
    """A store of some variants, and what its files say: by kind of fact and name of the variant. Models: `annotation`; `sequence`, drawn, which reads 1,000
    bases on either side; `reader`, drawn, which says that it read some annotations."""

    api: Api
    url: str
    models: dict[str, Neighbours]
    classes: dict[str, set[str]]
    frequencies: dict[str, dict[str, float]]
    scores: dict[str, dict[str, float]]

    def apart(self, model: str, name: str) -> np.ndarray:
        """Which variants a model of sequences read no base of together with one; it reads as many on either side."""
        names = self.models[model].names
        reach = REACH if model == "sequence" else -1
        return np.array([each != name and abs(position(each) - position(name)) > reach for each in names])

    def having(self, model: str, facts: dict[str, Any]) -> np.ndarray:
        return np.array([each in facts for each in self.models[model].names])


@pytest.fixture(scope="module")
def world(clone: Clone, sites: list[Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, rng = tmp_path_factory.mktemp("transfer"), random.Random(7)
    places = {*range(0, len(sites), 40), *range(5_000, 5_060)}  # some lie close together
    chosen = [sites[n].name for n in sorted(places)]
    draw = {"AF": 0.7, "AF_EUR": 0.4}
    frequencies: dict[str, dict[str, float]] = {"ALL": {}, "EUR": {}}
    for key, population in (("AF", "ALL"), ("AF_EUR", "EUR")):
        for name in chosen:
            if rng.random() < draw[key]:
                frequencies[population][name] = round(rng.random() ** 3, 4) if rng.random() < 0.9 else 0.0
    infos = {}
    for name in chosen:
        said = [f"{key}={frequencies[p][name]}" for key, p in (("AF", "ALL"), ("AF_EUR", "EUR")) if name in frequencies[p]]
        infos[name] = ";".join(said) or "."
    classes: dict[str, set[str]] = {}
    clinical: list[dict[str, str]] = [{}, {}]
    for share, rows in zip((0.25, 0.08), clinical, strict=True):
        for name in chosen:
            if rng.random() < share:
                text = rng.choice(list(WRITTEN))
                rows[name] = f"CLNSIG={text};CLNREVSTAT=criteria_provided,_single_submitter"
                classes.setdefault(name, set()).update(WRITTEN[text])
    for name in rng.sample(chosen, 60):  # a tumour's is no classification of the germline
        clinical[0].setdefault(name, "ONC=Oncogenic;ONCREVSTAT=criteria_provided,_single_submitter")
    for name in rng.sample(chosen, 40):  # nor is what was submitted without one
        clinical[0].setdefault(name, "CLNSIG=not_provided;CLNREVSTAT=no_classification_provided")
    scores: dict[str, dict[str, float]] = {}
    files = []
    for number, (score, share) in enumerate((("CADD_PHRED", 0.6), ("REVEL", 0.3), ("Rare", 0.04), ("CADD-Raw", 0.2), ("REVEL", 0.05))):
        values = {name: round(rng.uniform(-3, 40), 3) for name in chosen if rng.random() < share}
        files.append((write_scores(folder / f"{number}.tsv", score, values), score, f"scores{number}"))
        scores.setdefault(score, {}).update(values)  # the later file's counts
    drawn = np.random.default_rng(5)
    with clone("vkg_template") as url:
        new_store(url)
        load_vcf(url, write_records(folder / "base.vcf", infos), dataset="base", version="1")
        for number, rows in enumerate(clinical):
            load_vcf(url, write_records(folder / f"clinical{number}.vcf", rows), dataset=f"clinical{number}", version="1")
        for path, score, dataset in files:
            load_scores(url, path, dataset=dataset, version="1", columns=[score], names=[score], assembly="GRCh37")
        embed_annotation(url)
        close, alike = {sites[n].name for n in range(5_000, 5_060)}, drawn.normal(size=6)
        beside = {name: alike + 0.3 * drawn.normal(size=6) if name in close else drawn.normal(size=6) for name in chosen}
        register(url, "sequence", beside, flank=FLANK)
        vectors = {name: drawn.normal(size=6) for name in chosen[::2]}
        vectors[chosen[4]] *= 0
        register(url, "reader", vectors, flank=None, reference=None, inputs=["ref", "score:cadd_Phred", "frequency:AFR"])
        models = {name: read_neighbours(url, name) for name in ("annotation", "sequence", "reader")}
        with Api(settings(url)) as api:
            yield World(api, url, models, classes, frequencies, scores)


def ask(world: World, names: Sequence[str], **arguments: Any) -> dict[str, Any]:
    """By variant what is carried over to it."""
    found = {}
    for part in (list(names[start : start + 50]) for start in range(0, len(names), 50)):
        variables = {"ids": part, "first": len(part), "names": NAMES, **arguments}
        found |= {node["name"]: node["transferredAnnotations"] for node in world.api.data(QUERY, variables)["variants"]["nodes"]}
    assert found.keys() == set(names)
    return found


def check_number(
    world: World, model: str, name: str, number: Any, facts: dict[str, float], k: int, least: float | None, read: bool = False
) -> str:  # fmt: skip
    """Asserts that a number is what the neighbours that have one make of it. Returns what became of it."""
    if read or name in facts:
        assert number["outcome"] == ("READ_BY_MODEL" if read else "KNOWN")
        assert (number["estimate"], number["lowest"], number["highest"], number["neighbours"]) == (None, None, None, [])
        return number["outcome"]
    known, near_by = world.models[model], number["neighbours"]
    allowed = world.having(model, facts) & world.apart(model, name) & (known.similarities(name) > 0)
    known.check(name, near_by, k, allowed, least)
    assert [each["value"] for each in near_by] == [pytest.approx(facts[each["node"]["name"]], rel=1e-6, abs=1e-6) for each in near_by]
    if not near_by:
        assert (number["outcome"], number["estimate"], number["lowest"], number["highest"]) == ("NO_NEIGHBOUR", None, None, None)
        return "NO_NEIGHBOUR"
    weights, values = np.array([each["similarity"] for each in near_by]), np.array([each["value"] for each in near_by])
    assert number["outcome"] == "TRANSFERRED"
    assert number["estimate"] == pytest.approx((weights * values).sum() / weights.sum(), rel=6e-6)  # six digits
    assert (number["lowest"], number["highest"]) == (values.min(), values.max())
    return "TRANSFERRED"


def check_clinical(world: World, model: str, name: str, found: Any, k: int, least: float | None) -> str:
    """Asserts that classes are those of the neighbours that have any. Returns what became of them."""
    if name in world.classes:
        assert found == {"outcome": "KNOWN", "classes": [], "neighbours": []}
        return "KNOWN"
    known, near_by = world.models[model], found["neighbours"]
    allowed = world.having(model, world.classes) & world.apart(model, name) & (known.similarities(name) > 0)
    known.check(name, near_by, k, allowed, least)
    assert [set(each["classes"]) for each in near_by] == [world.classes[each["node"]["name"]] for each in near_by]
    assert found["outcome"] == ("TRANSFERRED" if near_by else "NO_NEIGHBOUR")
    total = sum(each["similarity"] for each in near_by)
    weights = {
        each: sum(n["similarity"] for n in near_by if each in n["classes"]) / total
        for each in {each for n in near_by for each in n["classes"]}
    }
    told = {each["classification"]: each["weight"] for each in found["classes"]}
    assert told == {each: pytest.approx(weight, abs=1e-6) for each, weight in weights.items()}
    assert all(weight == round(weight, 6) for weight in told.values())
    assert list(told) == sorted(told, key=lambda each: (-told[each], each))
    return found["outcome"]


def some(world: World, model: str, count: int) -> list[str]:
    known = world.models[model]
    there = [name for name in known.names if known.directions[known.place[name]].any()]
    return random.Random(model).sample(there, count)


# ---- every number


@pytest.mark.parametrize("k", [1, 7, 100])
@pytest.mark.parametrize("model", ["annotation", "sequence", "reader"])
def test_every_number_is_that_of_the_neighbours_that_have_one(world: World, model: str, k: int) -> None:
    became: dict[str, set[str]] = {}
    names = some(world, model, 60)
    cadd = {"CADD_PHRED", "CADD-Raw"}  # of one family, of which the models read one
    reads = {"annotation": {*cadd, "REVEL"}, "reader": cadd}.get(model, set())
    for name, found in ask(world, names, model=model, k=k).items():
        assert found["model"] == {"name": model}
        became.setdefault("clinical", set()).add(check_clinical(world, model, name, found["clinicalSignificance"], k, None))
        for field, population in (("frequency", "ALL"), ("eur", "EUR")):
            assert found[field]["name"] == population
            read = model in ("annotation", "reader")  # of whom a model read, others' frequencies are too near
            said = check_number(world, model, name, found[field], world.frequencies[population], k, None, read)
            became.setdefault(field, set()).add(said)
        assert [each["name"] for each in found["named"]] == NAMES
        for each in found["named"]:
            said = check_number(world, model, name, each, world.scores.get(each["name"], {}), k, None, each["name"] in reads)
            became.setdefault(each["name"], set()).add(said)
        check_all_scores(world, model, name, found["scores"], k, reads)
    expected = {"KNOWN", "TRANSFERRED"}
    assert became["clinical"] == expected
    assert became["frequency"] == became["eur"] == (expected if model == "sequence" else {"READ_BY_MODEL"})
    assert {name for name in NAMES if became[name] == {"READ_BY_MODEL"}} == reads
    assert "TRANSFERRED" in became["Rare"]
    assert "TRANSFERRED" in became["REVEL"] or model == "annotation"


def check_all_scores(world: World, model: str, name: str, found: list[Any], k: int, reads: set[str]) -> None:
    """Without names: of the neighbours that have any score which the model did not read, what they have and the variant has not."""
    known = world.models[model]
    mine = {each for each, values in world.scores.items() if name in values}
    any_of = {near: 0.0 for each, values in world.scores.items() if each not in reads for near in values}
    allowed = world.having(model, any_of) & world.apart(model, name) & (known.similarities(name) > 0)
    listed = {n["node"]["name"]: n for each in found for n in each["neighbours"]}
    nearest = sorted(np.flatnonzero(allowed), key=lambda n: (-round(known.similarities(name)[n], 7), n))[:k]
    if model != "annotation":  # whose twins are many
        expected = {
            each: {known.names[n] for n in nearest if known.names[n] in values}
            for each, values in world.scores.items()
            if each not in reads | mine
        }
        assert {each["name"]: {n["node"]["name"] for n in each["neighbours"]} for each in found} == {a: b for a, b in expected.items() if b}
    assert all(allowed[known.place[each]] for each in listed)
    assert [each["name"] for each in found] == sorted({each["name"] for each in found} - mine - reads)
    for each in found:
        assert each["outcome"] == "TRANSFERRED"
        weights, values = zip(*((n["similarity"], n["value"]) for n in each["neighbours"]), strict=True)
        assert list(values) == [pytest.approx(world.scores[each["name"]][n["node"]["name"]], rel=1e-6) for n in each["neighbours"]]
        assert each["estimate"] == pytest.approx(np.average(values, weights=weights), rel=6e-6)
        assert (each["lowest"], each["highest"]) == (min(values), max(values))
        assert list(weights) == sorted(weights, reverse=True)


@pytest.mark.parametrize("model", ["annotation", "sequence"])
def test_who_is_less_similar_is_not_asked(world: World, model: str) -> None:
    outcomes = set()
    for name in some(world, model, 8):
        for near in (0.999, 0.9, 0.6):
            least = world.models[model].bound(name, near)
            (found,) = ask(world, [name], model=model, least=least, k=40).values()
            outcomes.add(check_clinical(world, model, name, found["clinicalSignificance"], 40, least))
            if model == "sequence":
                outcomes.add(check_number(world, model, name, found["frequency"], world.frequencies["ALL"], 40, least))
                outcomes |= {
                    check_number(world, model, name, each, world.scores.get(each["name"], {}), 40, least) for each in found["named"]
                }
    assert {"TRANSFERRED", "KNOWN", "NO_NEIGHBOUR"} <= outcomes or model == "annotation"


def test_nobody_is_asked_whose_bases_the_model_read_too(world: World) -> None:
    """Of variants whose windows may overlap, some are the nearest of all."""
    known, close = world.models["sequence"], 0
    crowd = [name for name in known.names if (world.apart("sequence", name) == 0).sum() > 5]
    assert len(crowd) > 30
    for name, found in ask(world, crowd, model="sequence", k=3).items():
        for each in (found["frequency"], *found["named"], found["clinicalSignificance"]):
            for near in each["neighbours"]:
                assert abs(position(near["node"]["name"]) - position(name)) > REACH
        best = known.names[int(np.nanargmax(np.where(np.arange(len(known.names)) == known.place[name], -2, known.similarities(name))))]
        close += abs(position(best) - position(name)) <= REACH
    assert close > 5
    # By a model that reads no bases, a near one counts.
    near_by = [
        abs(position(near["node"]["name"]) - position(name))
        for name, found in ask(world, some(world, "reader", 100), model="reader").items()
        for near in found["clinicalSignificance"]["neighbours"]
    ]
    assert min(near_by) <= REACH


def test_the_edge_of_what_a_model_reads(own_store: str, serve: Serve, sites: list[Site], tmp_path: Path) -> None:
    """Windows of 2 * FLANK + 1 bases, which of long indels begin later and read on, share no base where positions are further than REACH apart."""
    fasta, start = Reference(FASTA), 2_000_000
    bases = {pos: fasta.fetch(20, pos, pos) for pos in (start, start + REACH, start + REACH + 1)}
    one, within, beyond = names = [f"20-{pos}-{ref}-{dict(zip('ACGT', 'CGTA', strict=True))[ref]}" for pos, ref in bases.items()]
    load_vcf(own_store, write_records(tmp_path / "x.vcf", {one: ".", within: "AF=0.1", beyond: "AF=0.7"}), dataset="x", version="1")
    register(own_store, "sequence", {name: np.array([1.0, 2.0]) for name in names}, flank=FLANK)
    query = "query ($id: String!) { variant(id: $id) { transferredAnnotations { frequency { estimate neighbours { similarity node { name } } } } } }"
    found = serve(own_store).data(query, {"id": one})["variant"]["transferredAnnotations"]["frequency"]
    assert found == {"estimate": 0.7, "neighbours": [{"similarity": 1, "node": {"name": beyond}}]}


def test_a_frequency_of_zero_is_one_and_a_missing_one_is_none(world: World) -> None:
    zeros = {name for name, value in world.frequencies["ALL"].items() if value == 0}
    assert len(zeros) > 20
    met = 0
    for name, found in ask(world, some(world, "sequence", 150), model="sequence", k=3).items():
        number = found["frequency"]
        if name in zeros:
            assert number["outcome"] == "KNOWN"
        values = [each["value"] for each in number["neighbours"]]
        met += 0 in values
        assert {each["node"]["name"] for each in number["neighbours"]} <= set(world.frequencies["ALL"])
        if values and 0 in values and any(values):
            assert number["lowest"] == 0 < number["estimate"] < number["highest"]
    assert met > 5


def test_who_points_nowhere_gets_nothing_and_who_has_no_vector_is_null(world: World) -> None:
    known = world.models["reader"]
    (zero,) = [name for name, norm in zip(known.names, known.norms, strict=True) if norm == 0]
    without = next(name for name in world.models["sequence"].names if name not in known.place)
    found = ask(world, [zero, without], model="reader")
    assert found[without] is None
    assert {each["outcome"] for each in (found[zero]["clinicalSignificance"], *found[zero]["named"])} <= {
        "NO_NEIGHBOUR",
        "KNOWN",
        "READ_BY_MODEL",
    }
    assert found[zero]["scores"] == []


# ---- how it is asked


def test_two_fields_of_one_request_may_ask_differently(world: World) -> None:
    part = f'frequency {{ {NUMBER} }} scores(name: ["REVEL"]) {{ {NUMBER} }} clinicalSignificance {{ outcome neighbours {{ similarity }} }}'
    asked = {
        "a": 'model: "sequence", k: 3, minSimilarity: 0',
        "b": 'model: "annotation", k: 2, minSimilarity: 0',
        "c": 'model: "sequence", k: 9, minSimilarity: 0.7',
        "d": 'model: "reader", k: 3, minSimilarity: 0',
    }
    every = " ".join(f"{name}: transferredAnnotations({how}) {{ {part} }}" for name, how in asked.items())
    names = some(world, "reader", 20)
    query = "query ($ids: [String!]!) { variants(ids: $ids, first: 20) { nodes { name %s } } }"
    together = world.api.data(query % every, {"ids": names})["variants"]["nodes"]
    for name, how in asked.items():
        alone = world.api.data(query % f"{name}: transferredAnnotations({how}) {{ {part} }}", {"ids": names})["variants"]["nodes"]
        assert [node[name] for node in alone] == [node[name] for node in together]
    assert len({str(node[name]) for node in together for name in asked}) > 60


def test_many_variants_take_as_many_statements_as_one(world: World) -> None:
    for model in ("sequence", "annotation"):
        lacking = [
            name
            for name in world.models["reader"].names
            if name not in world.classes and not any(name in values for values in (*world.frequencies.values(), *world.scores.values()))
        ]
        arguments = {"model": model, "names": ["Rare"], "k": 100}
        took = [world.api.cost(QUERY, {"ids": lacking[:count], **arguments})["statements"] for count in (1, 3, 10, 20)]
        # Five searches, each of one to three statements, with what is known before and after.
        assert max(took) <= 4 + 5 * (3 + 2) + 2 + 1, model
        assert max(took) - min(took) <= 5 * 2


def test_a_search_costs_what_another_does(world: World) -> None:
    query = '{ variants(first: 10) { nodes { transferredAnnotations(model: "sequence") { frequency { estimate } scores { estimate } } } } }'
    assert world.api.cost(query)["objects"] >= 10 * 2 * 50


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"k": 0}, "BAD_COUNT"),
        ({"k": 101}, "BAD_COUNT"),
        ({"k": -1}, "BAD_COUNT"),
        ({"least": -0.1}, "BAD_SIMILARITY"),
        ({"least": 1.1}, "BAD_SIMILARITY"),
        ({"model": "dnabert2"}, "UNKNOWN_MODEL"),
        ({"model": None}, "MODEL_NEEDED"),
        ({"names": [f"S{n}" for n in range(11)]}, "TOO_MANY_INPUTS"),
        ({"names": ["REVEL", "NOBODY"]}, "UNKNOWN_SCORE"),
        ({"names": ["revel"]}, "UNKNOWN_SCORE"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_said(world: World, arguments: Any, code: str) -> None:
    name = world.models["sequence"].names[3]
    assert world.api.error(QUERY, {"ids": [name], "model": "sequence", **arguments})["code"] == code


def test_an_unknown_population_is_an_error_and_no_name_no_score(world: World) -> None:
    name = world.models["sequence"].names[3]
    query = 'query ($id: String!) { variant(id: $id) { transferredAnnotations(model: "sequence") { %s } } }'
    assert world.api.error(query % 'frequency(population: "NOWHERE") { estimate }', {"id": name})["code"] == "UNKNOWN_POPULATION"
    assert world.api.data(query % "scores(name: []) { name }", {"id": name})["variant"]["transferredAnnotations"] == {"scores": []}
    twice = world.api.data(query % 'scores(name: ["Rare", "Rare"]) { name }', {"id": name})["variant"]["transferredAnnotations"]["scores"]
    assert twice == [{"name": "Rare"}]


# ---- of which release


def test_what_is_carried_over_is_of_the_release(own_store: str, serve: Serve, sites: list[Site], tmp_path: Path) -> None:
    chosen = [site.name for site in sites[::2_000]]
    one, *others = chosen
    load_vcf(own_store, write_records(tmp_path / "base.vcf", dict.fromkeys(chosen, ".")), dataset="base", version="1")
    said = {name: f"CLNSIG=Benign;CLNREVSTAT=no_assertion_criteria_provided;AF={n / 100}" for n, name in enumerate(others, 1)}
    first = load_vcf(own_store, write_records(tmp_path / "first.vcf", said), dataset="first", version="1")
    scored = load_scores(
        own_store, write_scores(tmp_path / "s.tsv", "S", dict.fromkeys(others, 2.0)), dataset="s", version="1", columns=["S"], names=["S"], assembly="GRCh37"
    )  # fmt: skip
    drawn = np.random.default_rng(3)
    base = drawn.normal(size=5)
    register(own_store, "sequence", {name: base + 0.05 * drawn.normal(size=5) for name in chosen})
    query = """query ($id: String!) { variant(id: $id) { transferredAnnotations(k: 100) { frequency { outcome estimate neighbours { value node { name } } }
        clinicalSignificance { outcome classes { classification weight } } scores { name estimate neighbours { value } } } } }"""

    def asked(**headers: str) -> Any:
        return api.data(query, {"id": one}, {name.replace("_", "-"): value for name, value in headers.items()})["variant"][
            "transferredAnnotations"
        ]

    api = serve(own_store)
    with psycopg.connect(own_store, autocommit=True) as conn:
        release.create_release(conn, "paper")
        current(api, conn)
        before = asked()
        assert before["clinicalSignificance"] == {"outcome": "TRANSFERRED", "classes": [{"classification": "BENIGN", "weight": 1}]}
        assert {each["node"]["name"]: each["value"] for each in before["frequency"]["neighbours"]} == {
            name: n / 100 for n, name in enumerate(others, 1)
        }
        assert [(each["name"], each["estimate"], len(each["neighbours"])) for each in before["scores"]] == [("S", 2, len(others))]
        release.unload(conn, first)
        release.unload(conn, scored)
        current(api, conn)
        nothing = {"outcome": "NO_NEIGHBOUR", "estimate": None, "neighbours": []}
        assert asked() == {"frequency": nothing, "clinicalSignificance": {"outcome": "NO_NEIGHBOUR", "classes": []}, "scores": []}
        assert asked(Vkg_Release="paper") == before
        # What it is said to be itself, is not carried over; and is again, where that is not visible.
        rows = {one: "CLNSIG=Pathogenic;CLNREVSTAT=no_assertion_criteria_provided;AF=0.5"}
        load_vcf(own_store, write_records(tmp_path / "own.vcf", rows), dataset="own", version="1")
        current(api, conn)
        now = asked()
        assert (now["frequency"]["outcome"], now["clinicalSignificance"]["outcome"]) == ("KNOWN", "KNOWN")
        assert asked(Vkg_Release="paper") == before
