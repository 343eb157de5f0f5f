"""Who sees what: nobody in particular, somebody granted one cohort or the other, and who may see all, over every field of the schema.

The strictest question comes first: two stores that differ only in a cohort of four people must give the same bytes to whoever was not granted it.
"""

from __future__ import annotations

import datetime
import gc
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from graphql import GraphQLObjectType, get_named_type, is_leaf_type, is_object_type

from graph.access import Accounts
from store import access
from tests.graph import operations
from tests.graph.api import BUILD, JSON, Api
from tests.graph.conftest import DATA, Clone, _initialise, settings
from tests.graph.loading import load_genes, load_samples, load_vcf
from tests.graph.operations import Maker
from tests.store.people import mention, mentioned

SCHEMA = BUILD()._schema
SEEN = ("GIRL", "DAD", "SON", "ALONE", "MUM", "DUO", "MUM2")
COLUMNS = 9
"""Columns of a VCF before those of the samples."""


def of_people(path: Path, names: dict[str, str], to: Path, every: int = 1) -> Path:
    """Writes the calls of some people of a VCF under other names, phased, of one record in so many."""
    lines = path.read_text().splitlines()
    called = next(line for line in lines if line.startswith("#CHROM")).split("\t")
    places = [called.index(name) for name in names]
    with to.open("w") as out:
        for number, line in enumerate(lines):
            cells = line.split("\t")
            if line.startswith("##"):
                out.write(f"{line}\n")
            elif line.startswith("#"):
                out.write("\t".join([*cells[:COLUMNS], *names.values()]) + "\n")
            elif number % every == 0:
                out.write("\t".join([*cells[:COLUMNS], *(cells[place].replace("/", "|") for place in places)]) + "\n")
    return to


def ped(names: dict[str, str], to: Path) -> Path:
    """A pedigree of four: two parents and two children."""
    father, mother, one, two = names.values()
    rows = [(father, "0", "0", "1"), (mother, "0", "0", "2"), (one, father, mother, "1"), (two, father, mother, "2")]
    to.write_text("".join(f"F {name} {dad} {mum} {sex} 1\n" for name, dad, mum, sex in rows))
    return to


def panel(names: Sequence[str], to: Path) -> Path:
    """A panel of people of one population."""
    to.write_text("sample\tpop\tsuper_pop\tgender\n" + "".join(f"{name}\tGBR\tEUR\tmale\n" for name in names))
    return to


def cohort(url: str, name: str, people: tuple[str, ...], start: int) -> None:
    """What shares, is homozygous by descent, and lies where in ancestry space, of the people of a cohort."""
    with psycopg.connect(url, autocommit=True) as conn:
        run = {"source": "hap-ibd", "cohort": name, "phased": True, "callset": name, "callset_version": "1", "surveyed_cm": 3_000.0}
        place = {"start_pos": start, "end_pos": start + 200_000, "haplotype": 1, "other_haplotype": 1}
        pairs = [{"sample_id": one, "other_id": other} | place for one, other in itertools.pairwise(people)]
        mentioned(conn, f"{name}_ibd", mention(*pairs, hbd=[{"sample_id": people[0]} | place], run=run), name)
        places = [{"sample_id": who, "components": [n]} for n, who in enumerate(people)]
        mentioned(conn, f"{name}_pca", mention(places=places, analysis={"cohort": name, "eigenvalues": [1.0]}), name)


@pytest.fixture(scope="module")
def worlds(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """URLs of two stores: a cohort of seven people, and one of four, of whom nothing is the same in both but how many they are."""
    with clone("vkg_template") as one, clone("vkg_template") as other:
        for world, (url, named) in enumerate(zip((one, other), NAMES, strict=True)):
            folder = tmp_path_factory.mktemp(f"world{world}")
            _initialise(url)
            load_genes(url, DATA / "family.gtf", dataset="genes", version="1", assembly="GRCh37")
            load_samples(url, DATA / "family.ped", dataset="seen_ped", version="1", cohort="seen")
            load_samples(url, panel(("DAD", "SON", "GIRL"), folder / "seen.panel"), dataset="seen_panel", version="1", cohort="seen")
            calls = of_people(DATA / "family.vcf", dict(zip(SEEN, SEEN, strict=True)), folder / "seen.vcf")
            load_vcf(url, calls, dataset="seen", version="1", cohort="seen", keep_format=True)
            cohort(url, "seen", ("DAD", "SON", "GIRL", "MUM"), 1_900_000)
            load_samples(url, ped(named, folder / "kept.ped"), dataset="kept_ped", version="1", cohort="kept")
            load_samples(url, panel(tuple(named.values()), folder / "kept.panel"), dataset="kept_panel", version="1", cohort="kept")
            calls = of_people(DATA / "family.vcf", named, folder / "kept.vcf", every=1 + world)
            load_vcf(url, calls, dataset="kept", version="1", cohort="kept", keep_format=True)
            cohort(url, "kept", tuple(named.values()), 1_950_000 + 1_000 * world)
            with psycopg.connect(url, autocommit=True) as conn:
                for subject, granted in GRANTED.items():
                    access.grant(conn, subject, granted)
                conn.execute("UPDATE load SET started_at = '2026-11-01', finished_at = '2026-11-01'")
                conn.execute("UPDATE release SET created_at = '2026-11-01'")
        yield [one, other]


GRANTED = {who: [name + of for of in ("", "_ped", "_panel", "_ibd", "_pca")] for who, name in (("anna", "seen"), ("bert", "kept"))}
NAMES = [
    dict(zip(("DAD", "MUM", "SON", "GIRL"), ("ADA", "BOB", "CLEO", "DAN"), strict=True)),
    dict(zip(("MUM2", "DUO", "ALONE", "GIRL"), ("VERA", "WIM", "XENIA", "YANN"), strict=True)),
]
"""Whose calls the four people of the other cohort have, and what they are called, in the one store and in the other."""

VIEWERS = ("nobody", "anna", "bert", "admin")
VALUES: dict[str, list[Any]] = operations.VALUES | {
    "id": ["20-2000100-A-C", "Variant:A000F42500080000", "Sample:1", "Sample:9", "SON", "CLEO", "rs9200001", "Callset:3", "Callset:7", "IBDSegment:1.2.4.0.1", "x"],
    "ids": [["20-2000100-A-C", "20-2000197-T-A"], ["Sample:1", "Sample:8", "Sample:9", "Sample:10"], ["SON", "CLEO"], []],
    "inputs": [["rs9200001", "20:2000197"]],
    "text": ["SO", "CLE", "XEN", "20:2000100", ""],
    "sample": ["SON", "CLEO", "seen/GIRL", "kept/DAN", "XENIA", "nobody"],
    "sample1": ["DAD", "ADA", "SON"],
    "sample2": ["SON", "BOB", "GIRL"],
    "others": [["SON"], ["BOB"], ["CLEO", "GIRL"]],
    "region": ["20:1900000-2100000", "20:2000000-2000500"],
    "gene": ["GENE1", "none"],
    "callset": ["seen", "kept"],
    "dataset": ["seen", "kept", "kept_ibd"],
    "source": ["seen_ibd", "kept_ibd", "hap-ibd"],
    "cohort": ["seen", "kept"],
    "population": ["ALL"],
    "analysis": ["seen_pca", "kept_pca"],
    "name": ["seen", "kept", "SON", "CLEO"],
    "VariantFilter": [{"type": ["SNV"]}, {"dataset": ["kept"]}, {"frequency": [{"max": 0.5}]}, {"not": {"dataset": ["seen"]}}, {"impact": ["HIGH"]}],
}  # fmt: skip


class Servers:
    """Both stores, served to the viewers."""

    def __init__(self, urls: list[str]) -> None:
        self.apis = [Api(settings(url, accounts=Accounts())) for url in urls]
        self.tokens: list[dict[str, str]] = []
        soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=2)
        for url in urls:
            with psycopg.connect(url, autocommit=True) as conn:
                made = {who: access.create_token(conn, who, ["individual"], soon)[1] for who in GRANTED}
                self.tokens.append(made | {"admin": access.create_token(conn, "admin", ["admin"], soon)[1]})

    def ask(self, world: int, viewer: str, query: str, variables: JSON | None = None) -> bytes:
        """The bytes of an answer."""
        token = self.tokens[world].get(viewer)
        return self.apis[world].post(query, variables, {"Authorization": f"Bearer {token}"} if token else None).content

    def data(self, viewer: str, query: str, variables: JSON | None = None) -> Any:
        """The data of an answer of the first store."""
        return json.loads(self.ask(0, viewer, query, variables)).get("data")


@pytest.fixture(scope="module")
def servers(worlds: list[str]) -> Iterator[Servers]:
    found = Servers(worlds)
    with found.apis[0], found.apis[1]:
        yield found


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what graphql-core leaves of siblings of what failed
@pytest.mark.parametrize("part", range(4))
def test_what_is_not_granted_makes_no_difference(servers: Servers, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    """Random operations, with names of both cohorts: whoever was not granted the four is told the same by both stores."""
    monkeypatch.setattr(operations, "VALUES", VALUES)
    told, asked = 0, 75
    for seed in range(part * asked, (part + 1) * asked):
        maker = Maker(SCHEMA, Random(seed))
        query = maker.operation()
        given = query + str(maker.variables)
        for viewer in ("nobody", "anna"):
            one, other = (json.loads(servers.ask(world, viewer, query, maker.variables)) for world in (0, 1))
            assert one.get("data") == other.get("data"), f"{viewer}, seed {seed}: {given}"
            errors = str([answer.get("errors") for answer in (one, other)])  # of several faults any may be found first
            assert not any(name in errors for names in NAMES for name in names.values() if name not in given), (
                f"{viewer}, seed {seed}: {errors}"
            )
        told += servers.ask(0, "admin", query, maker.variables) != servers.ask(1, "admin", query, maker.variables)
    gc.collect()  # here, and not in another test
    assert told > asked / 20, "these operations ask for the four at all"


# ---- every way in

DECIDED = {
    **dict.fromkeys(
        (
            "EnformerEffect.tissueEffects", "EnformerEffect.topTracks", "Metacell.embedding", "Transcript.exons", "Variant.embedding", "Variant.similar",
            "Variant.transferredAnnotations", "Variant.similarityToClass", "Variant.cellContext", "VariantEmbedding.direction",
            "TransferredAnnotations.clinicalSignificance", "TransferredAnnotations.frequency", "TransferredAnnotations.scores", "VariantCluster.consequences",
            "VariantCluster.classes", "Query.resolve", "Query.variant", "Query.gene", "Query.variantsByEmbedding", "Query.variantsLikeSequence", "Query.store",
            "Resolution.variant", "Resolution.candidates", "Store.release", "Store.counts", "Store.scores", "Store.populations", "Store.cellTypes",
        ),
        "open",
    ),
    **dict.fromkeys(
        (
            "Variant.carriersByDescent", "Variant.ibdWeightedFrequency", "Query.node", "Query.nodes", "Query.variantContext", "Query.sample", "Query.ibdShared",
            "Query.search", "DescentGroup.segments", "DescentGroup.members", "CarriersByDescent.groups", "RelativeEdge.sharing",
        ),
        "individual",
    ),
}  # fmt: skip
"""Which fields that are worked out are open, and which tell of single persons, or may. Links say it themselves (`access`)."""

VARIANTS = 'variants(region: "20:1900000-2300000", first: 200)'
ASKED = {
    "Query.node": "{ ALL }".replace("ALL", " ".join(f'n{n}: node(id: "Sample:{n}") {{ ... on Sample {{ name }} }}' for n in range(1, 16))),
    "Query.nodes": "{ nodes(ids: [SAMPLES]) { ... on Sample { name } } }".replace("SAMPLES", ", ".join(f"\"Sample:{n}\"" for n in range(1, 16))),
    "Query.variantContext": '{ variantContext(id: "20-2000100-A-C", sample: "TWO") { inSample { sample { name } genotype { gt } } } }',
    "Query.sample": '{ sample(id: "TWO") { name } }',
    "Query.samples": "{ samples(first: 100) { totalCount nodes { name } } }",
    "Query.ibdShared": '{ ibdShared(sample1: "ONE", sample2: "TWO") { totalCm segments { nodes { sample1 { name } } } } }',
    "Query.variantsInIbd": '{ variantsInIbd(sample1: "ONE", sample2: "TWO", first: 100) { nodes { carriers { nodes { name } } } } }',
    "Query.search": '{ search(text: "TWO") { ... on Sample { name } } }',
    "Variant.carriers": "{ VARIANTS { nodes { carriers { totalCount nodes { name } } } } }",
    "Variant.genotype": '{ VARIANTS { nodes { genotype(sample: "TWO") { sample { name } gt } } } }',
    "Variant.ibdContext": '{ VARIANTS { nodes { ibdContext(sample: "TWO") { nodes { sample1 { name } } } } } }',
    "Variant.ibdSharing": "{ VARIANTS { nodes { ibdSharing { totalCount nodes { sample1 { name } } } } } }",
    "Variant.carriersByDescent": '{ VARIANTS { nodes { carriersByDescent { groups(first: 5) { nodes { members(first: 5) { nodes { sample { name } } } } } } } } }',
    "Variant.ibdWeightedFrequency": '{ VARIANTS { nodes { ibdWeightedFrequency { alleleCount } } } }',
    "Callset.samples": "{ callsets { samples(first: 100) { totalCount nodes { name } } } }",
    "Population.samples": "{ populations { nodes { samples(first: 100) { totalCount nodes { name } } } } }",
}  # fmt: skip
"""How to come from open data to what is known of persons, of both cohorts: by each field that leads there."""


HIDDEN = ("Population.samples", "Variant.carriersByDescent")
"""What nobody in particular does not come to: the panels are of too few people to be known, the runs are not open."""


def decision(kind: GraphQLObjectType, name: str) -> str:
    """Whether a field is open; fields that come with their object are as it is."""
    field = kind.fields[name]
    declared = field.extensions.get("strawberry-definition")
    told = declared.metadata if declared else {}
    if "link" in told:
        return told["link"].access
    worked_out = "computed" in told or "listed" in told or (declared and declared.base_resolver is not None)
    if not worked_out or kind.name.endswith("Connection") or is_leaf_type(get_named_type(field.type)):
        return "open"
    assert f"{kind.name}.{name}" in DECIDED, f"{kind.name}.{name} is new: say in DECIDED whether it tells of single persons"
    return DECIDED[f"{kind.name}.{name}"]


def reached() -> tuple[set[str], set[str]]:
    """The types that open fields lead to from Query, and the fields of these that are not open."""
    assert SCHEMA.query_type is not None
    types, frontier, ahead = set(), set(), [SCHEMA.query_type]
    while ahead:
        kind = ahead.pop()
        if kind.name in types:
            continue
        types.add(kind.name)
        for name, field in kind.fields.items():
            if decision(kind, name) == "individual":
                frontier.add(f"{kind.name}.{name}")
            elif is_object_type(get_named_type(field.type)):
                ahead.append(get_named_type(field.type))
    return types, frontier


def test_every_field_has_a_decision() -> None:
    kinds = [kind for kind in SCHEMA.type_map.values() if is_object_type(kind) and not kind.name.startswith("__")]
    decided = {f"{kind.name}.{name}": decision(kind, name) for kind in kinds for name in kind.fields}
    assert {*DECIDED} <= {*decided}, "what is no field any more is decided no more"
    types, frontier = reached()
    assert frontier == {*ASKED}, "ASKED has a question for each way from open data to persons"
    of_persons = {
        "Sample",
        "GenotypeCall",
        "IBDSegment",
        "HBDSegment",
        "Ancestry",
        "CarrierEdge",
        "IBDSharing",
        "SampleContext",
        "DescentMember",
    }
    assert types.isdisjoint(of_persons), "no open field leads to these"
    assert len(types) > 60


@pytest.mark.parametrize("field", sorted(ASKED))
def test_each_sees_the_people_of_granted_cohorts(servers: Servers, field: str) -> None:
    """By each way from open data to persons: nobody sees none, either sees its own, who may see all sees all."""
    pairs = (("DAD", "SON"), ("BOB", "CLEO"))  # who share
    texts = [ASKED[field].replace("VARIANTS", VARIANTS).replace("ONE", one).replace("TWO", two) for one, two in pairs]
    answers = {viewer: "".join(servers.ask(0, viewer, text).decode() for text in dict.fromkeys(texts)) for viewer in VIEWERS}
    kept = {*NAMES[0].values()}
    seen = {viewer: {name for name in {*SEEN} | kept if f'"name":"{name}"' in answer} for viewer, answer in answers.items()}
    if field == "Variant.ibdWeightedFrequency":  # numbers only
        assert "alleleCount" not in answers["nobody"]
        assert "alleleCount" in answers["anna"]
        assert "alleleCount" in answers["bert"]
        return
    assert seen["nobody"] == set()
    assert set() < seen["anna"] <= {*SEEN}
    assert set() < seen["bert"] <= kept
    assert seen["admin"] == seen["anna"] | seen["bert"] or field == "Variant.carriersByDescent"  # which is of the latest run
    assert "withheld" in answers["nobody"] or field in HIDDEN
    assert "withheld" not in answers["admin"]


OPEN = "{ VARIANTS { totalCount nodes { name records { load { dataset } } populationFrequencies { population frequency alleleNumber } } } }"


def test_open_data_is_seen_by_all_but_that_of_few_people(servers: Servers) -> None:
    """Of a callset of four nothing is open: no variant, no record, no count, no load."""
    nobody, anna, bert, admin = (json.dumps(servers.data(viewer, OPEN.replace("VARIANTS", VARIANTS))) for viewer in VIEWERS)
    assert '"kept"' not in anna
    assert '"GBR"' in anna
    assert '"GBR"' not in nobody, "three people of the seven are said to be of it"
    assert [v["name"] for v in json.loads(nobody)["variants"]["nodes"]] == [v["name"] for v in json.loads(anna)["variants"]["nodes"]]
    assert '"kept"' in bert
    assert '"kept"' in admin
    loads = "{ store { loads { dataset recordCount files } counts { records samples ibdSegments } } ibdRuns { name } callsets { name sampleCount } }"
    assert "kept" not in json.dumps(servers.data("anna", loads))
    assert "kept_ibd" in json.dumps(servers.data("bert", loads))
    assert "_ibd" not in json.dumps(servers.data("nobody", loads))


def test_filters_do_not_tell_what_is_withheld(servers: Servers) -> None:
    """Of a population of three people no bound of a frequency holds, whatever it is: a filter would tell it by halves."""
    query = "query ($most: Float!) { %s { nodes { name } } }".replace(
        "%s", VARIANTS.replace("first", 'filter: { frequency: [{ population: "GBR", max: $most }] }, first')
    )
    for most in (0.0, 0.4, 1.0):
        assert servers.data("nobody", query, {"most": most})["variants"]["nodes"] == []
        assert servers.data("bert", query, {"most": most})["variants"]["nodes"] != []
    assert "EUR" not in json.dumps(servers.data("nobody", "{ store { populations } }"))


def test_what_made_a_release_names_no_dataset_that_is_hidden(servers: Servers) -> None:
    query = "{ store { release { reason } releases(first: 50) { nodes { reason } } } }"
    assert '"publish kept_ibd' in json.dumps(servers.data("admin", query))
    assert "kept" not in json.dumps(servers.data("nobody", query))
    assert '"reason": "publish"' in json.dumps(servers.data("nobody", query))


def test_of_variants_at_which_few_were_called_nothing_is_counted(servers: Servers) -> None:
    query = "{ variants(first: 1000) { nodes { populationFrequencies { alleleNumber hemizygotes } } } }"
    numbers = {
        viewer: [f for v in servers.data(viewer, query)["variants"]["nodes"] for f in v["populationFrequencies"]] for viewer in VIEWERS
    }
    assert min(f["alleleNumber"] for f in numbers["nobody"]) >= 10
    assert min(f["alleleNumber"] for f in numbers["anna"]) < 10
    assert {f["hemizygotes"] for f in numbers["nobody"]} == {None}
    assert 1 in {f["hemizygotes"] for f in numbers["anna"]}
