"""How near a variant is to a class, over HTTP: every number once more, one variant at a time, over vectors read as text and classes as the files have them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from graph import likeness
from store import release, similarity
from tests.graph.api import Api
from tests.graph.claims import WRITTEN, new_store, position, write_records
from tests.graph.conftest import Clone, Serve, Site, settings
from tests.graph.loading import load_vcf
from tests.graph.neighbours import Neighbours, read_neighbours, register
from tests.graph.test_similar_releases import current

FLANK = 2_000
QUERY = """query ($ids: [String!]!, $first: Int! = 20, $model: String, $classes: [ClinicalClass!]!) { variants(ids: $ids, first: $first) { nodes { name
    similarityToClass(classification: $classes, model: $model) { model { name } classes similarity percentile discrimination discriminationError memberCount backgroundCount
    nearest { similarity node { name } } statement } } } }"""
PATHOGENIC = ["PATHOGENIC", "LIKELY_PATHOGENIC"]


@dataclass(frozen=True)
class World:
    """A store of some variants, and their classes by name. Models of sequences: `clear`, by which pathogenic ones lie together; `noise`, which tells nothing
    and has vectors of three in four, some of them zero; `here`, which reads no bases."""

    api: Api
    url: str
    models: dict[str, Neighbours]
    classes: dict[str, set[str]]


@pytest.fixture(scope="module")
def world(clone: Clone, sites: list[Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, rng, drawn = tmp_path_factory.mktemp("likeness"), random.Random(17), np.random.default_rng(17)
    chosen = [site.name for site in sites[::25]]
    classes: dict[str, set[str]] = {}
    files: list[dict[str, str]] = [{}, {}]
    for share, rows in zip((0.2, 0.1), files, strict=True):
        for name in chosen:
            if rng.random() < share:
                text = rng.choice(list(WRITTEN))
                rows[name] = f"CLNSIG={text};CLNREVSTAT=criteria_provided,_single_submitter"
                classes.setdefault(name, set()).update(WRITTEN[text])
    for name in rng.sample(sorted(set(chosen) - classes.keys()), 30):  # a tumour's class, which is no germline's
        files[0][name] = "ONC=Benign;ONCREVSTAT=criteria_provided,_single_submitter"
    for name in rng.sample(sorted(set(chosen) - classes.keys()), 7):
        files[1][name] = "CLNSIG=drug_response;CLNREVSTAT=criteria_provided,_single_submitter"
        classes.setdefault(name, set()).add("DRUG_RESPONSE")
    centre = 4 * drawn.normal(size=10)
    clear = {name: drawn.normal(size=10) + (centre if classes.get(name, set()) & set(PATHOGENIC) else 0) for name in chosen}
    noise = {name: drawn.normal(size=10) for name in chosen if rng.random() < 0.75}
    for name in list(noise)[::20]:
        noise[name] *= 0
    with clone("vkg_template") as url:
        new_store(url)
        load_vcf(url, write_records(folder / "base.vcf", dict.fromkeys(chosen, ".")), dataset="base", version="1")
        for number, rows in enumerate(files):
            load_vcf(url, write_records(folder / f"{number}.vcf", rows), dataset=f"clinical{number}", version="1")
        register(url, "clear", clear, flank=FLANK)
        register(url, "noise", noise, flank=16)
        register(url, "here", noise, flank=None)
        models = {name: read_neighbours(url, name) for name in ("clear", "noise", "here")}
        with Api(settings(url)) as api:
            yield World(api, url, models, classes)


REACH = {"clear": 5 * FLANK + 3, "noise": 83, "here": -1}


@dataclass(frozen=True)
class Expected:
    """What the API should say of a variant."""

    members: list[tuple[str, float]]
    background: int
    similarity: float | None
    percentile: float | None
    curve: Curve


@dataclass(frozen=True)
class Curve:
    """The area under the ROC curve of members against others, and its standard error."""

    area: float
    error: float


def expected(known: Neighbours, classes: dict[str, set[str]], wanted: set[str], name: str, reach: int) -> Expected:
    """By the definitions, one pair of variants at a time as far as they go."""
    there = [each for each in known.names if known.directions[known.place[each]].any()]
    units = {each: known.directions[known.place[each]] / np.linalg.norm(known.directions[known.place[each]]) for each in there}
    of_class = [each for each in there if classes.get(each, set()) & wanted]
    matrix = np.array([units[each] for each in of_class]).reshape(len(of_class), known.directions.shape[1])
    places = np.array([position(each) for each in of_class])

    def near(one: str) -> list[tuple[float, str]]:
        apart = np.abs(places - position(one)) > reach
        values = matrix @ units[one]
        return sorted(((float(values[n]), each) for n, each in enumerate(of_class) if apart[n] and each != one), reverse=True)

    def nearness(one: str, but: str = "") -> float | None:
        best = [value for value, each in near(one)[:6] if each != but][:5]
        return sum(best) / 5 if len(best) == 5 else None

    mine = near(name)
    everybody = [each for each in there if each not in of_class]
    others = [each for each in everybody if each != name and abs(position(each) - position(name)) > reach]
    # A member is not compared with itself; nor is anybody with it then.
    beyond = np.array([value for each in others if (value := nearness(each, but=name)) is not None])
    listed = [(each, value) for value, each in mine]
    if len(mine) < 20:
        return Expected(listed, 0, None, None, Curve(0, 0))
    own = nearness(name)
    assert own is not None
    if len(beyond) < 20:
        return Expected(listed, len(beyond), own, None, Curve(0, 0))
    percentile = 100 * ((beyond < own - 1e-6).mean() + (np.abs(beyond - own) <= 1e-6).mean() / 2)
    best_six = {each: near(each)[:6] for each in everybody}
    told: list[float] = []
    for member in of_class:
        if (within := nearness(member)) is None:
            continue
        for six in best_six.values():
            if len(six) == 6:
                value = sum([value for value, each in six if each != member][:5]) / 5
                told.append((within > value) + (within == value) / 2)
    area = float(np.mean(told))
    n = sum(nearness(member) is not None for member in of_class)
    m = len(told) // n
    spread = area * (1 - area) + (n - 1) * (area / (2 - area) - area**2) + (m - 1) * (2 * area**2 / (1 + area) - area**2)
    return Expected(listed, len(beyond), own, float(percentile), Curve(area, (spread / (n * m)) ** 0.5))


def ask(world: World, names: list[str], classes: list[str], model: str) -> dict[str, Any]:
    nodes = world.api.data(QUERY, {"ids": names, "first": len(names), "classes": classes, "model": model})["variants"]["nodes"]
    assert {node["name"] for node in nodes} == set(names)
    return {node["name"]: node["similarityToClass"] for node in nodes}


def check(world: World, name: str, found: Any, classes: list[str], model: str) -> Expected:
    """Asserts that what is said of a variant follows from vectors and classes."""
    wanted = expected(world.models[model], world.classes, set(classes), name, REACH[model])
    assert (found["model"]["name"], found["classes"]) == (model, classes)
    assert found["memberCount"] == len(wanted.members)
    assert found["backgroundCount"] == wanted.background
    near_by = [(each["node"]["name"], each["similarity"]) for each in found["nearest"]]
    assert near_by == [(each, pytest.approx(value, abs=1.1e-6)) for each, value in wanted.members[:5]]
    assert found["similarity"] == (None if wanted.similarity is None else pytest.approx(wanted.similarity, abs=1.1e-6))
    # A number that stands at a boundary of two is counted on either side: one of the background is a tenth of a percent.
    assert found["percentile"] == (None if wanted.percentile is None else pytest.approx(wanted.percentile, abs=0.006))
    told = (found["discrimination"], found["discriminationError"])
    if wanted.percentile is None:
        assert told == (None, None)
    else:
        assert told == (pytest.approx(wanted.curve.area, abs=1.1e-4), pytest.approx(wanted.curve.error, abs=1.1e-4))
    check_statement(found)
    return wanted


def check_statement(found: Any) -> None:
    said, by, name = found["statement"], f"By {found['model']['name']}", " or ".join(found["classes"])
    if found["similarity"] is None:
        assert said == f"{by} nothing can be said: {found['memberCount']:,} variants classified as {name} can be compared, fewer than 20."
    elif found["percentile"] is None:
        others = f"{found['backgroundCount']:,} others are too few to compare with."
        assert said == f"{by} its similarity to {name} is {found['similarity']}; {others}"
    else:
        area, error = found["discrimination"], found["discriminationError"]
        nearer = f"nearer to variants classified as {name} than {found['percentile']:g}% of {found['backgroundCount']:,} others are"
        curve = f"area under the curve {area} with a standard error of {error}"
        if area < 0.6 or area - 2 * error <= 0.5:
            hardly = f"In this store nearness by {found['model']['name']} hardly tells variants classified as {name} from others ({curve})"
            assert said == f"{hardly}: that it is {nearer} means nothing."
        else:
            assert said.startswith(
                f"{by} it is {nearer}; here that tells members from others ({curve}). That is evidence of likeness, not a classification."
            )


def some(world: World, model: str, count: int, of: set[str] | None = None) -> list[str]:
    """Variants that point anywhere: any, or of a class."""
    known = world.models[model]
    there = [name for name in known.names if known.directions[known.place[name]].any()]
    return random.Random(model).sample([name for name in there if of is None or world.classes.get(name, set()) & of], count)


@pytest.mark.parametrize("classes", [PATHOGENIC, ["BENIGN"], ["PATHOGENIC"], ["UNCERTAIN_SIGNIFICANCE", "BENIGN"]], ids="+".join)
@pytest.mark.parametrize("model", ["clear", "noise", "here"])
def test_every_number_follows_from_the_vectors(world: World, model: str, classes: list[str]) -> None:
    names = list(dict.fromkeys(some(world, model, 6) + some(world, model, 4, set(classes))))
    for name, found in ask(world, names, classes, model).items():
        wanted = check(world, name, found, classes, model)
        assert wanted.percentile is not None
        assert name not in [each["node"]["name"] for each in found["nearest"]]


def test_a_clear_class_is_told_and_one_of_noise_is_not(world: World) -> None:
    def curves(model: str) -> list[float]:
        return [found["discrimination"] for found in ask(world, some(world, model, 10), PATHOGENIC, model).values()]

    assert min(curves("clear")) > 0.95
    assert all(0.35 < curve < 0.65 for curve in curves("noise"))
    inside = ask(world, some(world, "clear", 12, set(PATHOGENIC)), PATHOGENIC, "clear").values()
    assert np.median([found["percentile"] for found in inside]) > 95
    outside = [name for name in some(world, "clear", 40) if not world.classes.get(name, set()) & set(PATHOGENIC)][:12]
    assert np.median([found["percentile"] for found in ask(world, outside, PATHOGENIC, "clear").values()]) < 80


def test_neither_itself_nor_who_overlaps_is_a_member_or_of_the_background(world: World) -> None:
    """Windows of the model may overlap up to 10,003 bases apart: there, some are members, and others of the background."""
    names = some(world, "clear", 15, set(PATHOGENIC))
    members = [name for name in world.models["clear"].names if world.classes.get(name, set()) & set(PATHOGENIC)]
    left_out = 0
    for name, found in ask(world, names, PATHOGENIC, "clear").items():
        close = [each for each in members if abs(position(each) - position(name)) <= REACH["clear"]]
        assert name in close
        assert found["memberCount"] == len(members) - len(close)
        assert all(abs(position(each["node"]["name"]) - position(name)) > REACH["clear"] for each in found["nearest"])
        others = [each for each in world.models["clear"].names if each not in members]
        beside = [each for each in others if abs(position(each) - position(name)) <= REACH["clear"]]
        assert found["backgroundCount"] == len(others) - len(beside)
        left_out += (len(close) > 1) + (len(beside) > 0)
    assert left_out > 10
    for name, found in ask(world, some(world, "here", 10, set(PATHOGENIC)), PATHOGENIC, "here").items():
        there = {each for each, norm in zip(world.models["here"].names, world.models["here"].norms, strict=True) if norm > 0}
        assert found["memberCount"] == len(there & {each for each in members if each != name})


def test_of_too_few_nothing_is_said(world: World) -> None:
    name, other = some(world, "clear", 2)
    for classes, count in ((["DRUG_RESPONSE"], 7), (["ONCOGENIC"], 0), (["PROTECTIVE", "AFFECTS"], 0)):
        found = ask(world, [name, other], classes, "clear")
        for each in (name, other):
            check(world, each, found[each], classes, "clear")
            assert (found[each]["similarity"], found[each]["percentile"], found[each]["discrimination"]) == (None, None, None)
            assert found[each]["memberCount"] <= count
            assert len(found[each]["nearest"]) == min(5, found[each]["memberCount"])


def test_a_class_of_tumours_is_none_of_the_germline(world: World) -> None:
    benign = {name for name, classes in world.classes.items() if "BENIGN" in classes}
    (found,) = ask(world, some(world, "noise", 1), ["BENIGN"], "noise").values()
    there = {name for name, norm in zip(world.models["noise"].names, world.models["noise"].norms, strict=True) if norm > 0}
    assert len(there & benign) - found["memberCount"] in (0, 1)


def test_who_has_no_vector_or_a_zero_one_is_null(world: World) -> None:
    known = world.models["noise"]
    zero = next(name for name, norm in zip(known.names, known.norms, strict=True) if norm == 0)
    without = next(name for name in world.models["clear"].names if name not in known.place)
    assert ask(world, [zero, without], PATHOGENIC, "noise") == {zero: None, without: None}


def test_a_class_named_twice_is_one_and_their_order_does_not_matter(world: World) -> None:
    (name,) = some(world, "clear", 1)
    (once,) = ask(world, [name], PATHOGENIC, "clear").values()
    (twice,) = ask(world, [name], [*PATHOGENIC, "PATHOGENIC"], "clear").values()
    (turned,) = ask(world, [name], PATHOGENIC[::-1], "clear").values()
    assert twice == once
    assert turned | {"classes": 0, "statement": 0} == once | {"classes": 0, "statement": 0}
    assert turned["classes"] == PATHOGENIC[::-1]


def test_many_variants_take_as_many_statements_as_one_and_get_the_same(world: World) -> None:
    names = some(world, "clear", 25)
    costs = [world.api.cost(QUERY, {"ids": ids, "first": len(ids), "classes": PATHOGENIC, "model": "clear"}) for ids in (names[:1], names)]
    assert costs[0]["statements"] == costs[1]["statements"] == 12
    assert costs[1]["objects"] > 25 * 3_000
    together = ask(world, names, PATHOGENIC, "clear")
    for name in names[:5]:
        assert ask(world, [name], PATHOGENIC, "clear")[name] == together[name]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"classes": []}, "BAD_CLASS"),
        ({"model": "dnabert2"}, "UNKNOWN_MODEL"),
        ({"model": None}, "MODEL_NEEDED"),
        ({"classes": ["NASTY"]}, "INVALID_DOCUMENT"),
        ({"first": 40}, "TOO_MANY_COST"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_said(world: World, arguments: Any, code: str) -> None:
    error = world.api.error(QUERY, {"ids": some(world, "clear", 1), "classes": PATHOGENIC, "model": "clear", **arguments})
    assert error["code"] == code or (code == "INVALID_DOCUMENT" and "NASTY" in error["message"])


# ---- samples, and releases


def test_of_many_a_sample_is_compared_always_the_same(world: World, serve: Serve, clone: Clone, sites: list[Site], tmp_path: Path) -> None:
    """More than the sizes: 2,300 members, and 12,000 others, of which a sample of the table's blocks is looked at."""
    chosen = [site.name for site in sites[:14_300]]
    members, others = set(chosen[::6][:2_300]), [name for n, name in enumerate(chosen) if n % 6 or n >= 6 * 2_300]
    drawn = np.random.default_rng(19)
    rows = {name: "CLNSIG=Pathogenic;CLNREVSTAT=no_assertion_criteria_provided" if name in members else "." for name in chosen}
    vectors = {name: drawn.normal(size=4) + (3 if name in members else 0) for name in chosen}
    query = """query ($id: String!) { variant(id: $id) { similarityToClass(classification: [PATHOGENIC]) { similarity percentile discrimination memberCount
        backgroundCount nearest { similarity node { name } } statement } } }"""
    with clone("vkg_template") as url:
        new_store(url)
        load_vcf(url, write_records(tmp_path / "x.vcf", rows), dataset="x", version="1")
        register(url, "clear", vectors, flank=16)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("VACUUM (ANALYZE) embedding_1")
        api = serve(url)
        known = read_neighbours(url, "clear")
        answers = []
        # Nearness of all members, and of as many others, to all members: a sample's is nearly that.
        units = known.directions / np.linalg.norm(known.directions, axis=1, keepdims=True)
        of_class = units[[known.place[name] for name in sorted(members)]]
        near = [
            np.sort(units[[known.place[name] for name in names]] @ of_class.T, axis=1)[:, -5 - own : 2_300 - own].mean(1)
            for names, own in ((sorted(members), 1), (others[:2_000], 0))
        ]
        curve = (near[0][:, None] > near[1]).mean()
        assert 0.8 < curve < 0.999
        for name in (*sorted(members)[:3], *others[:3]):
            found = api.data(query, {"id": name})["variant"]["similarityToClass"]
            assert api.data(query, {"id": name})["variant"]["similarityToClass"] == found
            assert similarity.MOST_MEMBERS - 20 <= found["memberCount"] <= similarity.MOST_MEMBERS == 2_000
            assert similarity.BACKGROUND - 20 <= found["backgroundCount"] <= similarity.BACKGROUND == 1_000
            assert found["discrimination"] == pytest.approx(curve, abs=0.04)
            exact = known.similarities(name)
            for each in found["nearest"]:
                assert each["node"]["name"] in members - {name}
                assert each["similarity"] == pytest.approx(exact[known.place[each["node"]["name"]]], abs=1.1e-6)
            answers.append(found)
        with Api(settings(url)) as another:
            assert another.data(query, {"id": others[2]})["variant"]["similarityToClass"] == answers[-1]


def test_classes_are_those_of_the_release(own_store: str, serve: Serve, sites: list[Site], tmp_path: Path) -> None:
    chosen = [site.name for site in sites[::300]]
    one, members = chosen[0], chosen[1:50:2]
    drawn = np.random.default_rng(23)
    load_vcf(own_store, write_records(tmp_path / "base.vcf", dict.fromkeys(chosen, ".")), dataset="base", version="1")
    said = dict.fromkeys(members, "CLNSIG=Benign;CLNREVSTAT=no_assertion_criteria_provided")
    number = load_vcf(own_store, write_records(tmp_path / "x.vcf", said), dataset="x", version="1")
    register(own_store, "drawn", {name: drawn.normal(size=4) for name in chosen})
    query = """query ($id: String!) { variant(id: $id) { similarityToClass(classification: [BENIGN]) { similarity memberCount backgroundCount nearest { node { name } } } } }"""
    api = serve(own_store)
    with psycopg.connect(own_store, autocommit=True) as conn:
        release.create_release(conn, "paper")
        current(api, conn)
        before = api.data(query, {"id": one})
        assert before["variant"]["similarityToClass"]["memberCount"] == len(members)
        assert before["variant"]["similarityToClass"]["backgroundCount"] == len(chosen) - 1 - len(members)
        release.unload(conn, number)
        current(api, conn)
        nothing = {"similarity": None, "memberCount": 0, "backgroundCount": 0, "nearest": []}
        assert api.data(query, {"id": one}) == {"variant": {"similarityToClass": nothing}}
        assert api.data(query, {"id": one}, {"Vkg-Release": "paper"}) == before


# ---- the formulas


def test_what_is_equal_counts_half() -> None:
    background = np.array([0.1, 0.2, 0.2, 0.2000001, 0.9])
    assert likeness.below(0.2, background) == (1 + 3 / 2) / 5
    assert [likeness.below(value, background) for value in (0.05, 0.5, 1.0)] == [0, 0.8, 1]
