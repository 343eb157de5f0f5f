"""Which variants are like a change of a sequence, over HTTP, by a small model that the server has loaded."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
import pytest

from embedder.commands import embed
from embedder.serving import serve as load
from embedder.windows import Variant, Window, window
from graph.context import SequenceModel
from store.reference import Reference
from tests.embedder.stores import small_model
from tests.embedder.test_huggingface import SIX_MERS, esm
from tests.graph.api import Api
from tests.graph.claims import new_store, write_records
from tests.graph.conftest import FASTA, Clone, Site, embed_annotation, settings
from tests.graph.loading import load_vcf
from tests.graph.neighbours import Neighbours, read_neighbours

FLANK = 120
QUERY = """query ($ref: String!, $alt: String!, $model: String, $first: Int! = 10, $after: String, $least: Float, $region: String, $filter: VariantFilter,
    $population: String) { variantsLikeSequence(ref: $ref, alt: $alt, model: $model, first: $first, after: $after, minSimilarity: $least, region: $region,
    filter: $filter, population: $population) { model { name } nodes { name } edges { similarity cursor node { name } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


@dataclass(frozen=True)
class World:
    """A store of some hundred variants of the demo and its models: `tiny`, loaded; `limited`, loaded, which reads 200 tokens; `away`, which is not; `annotation`.
    The window of each variant that `tiny` has a vector of."""

    api: Api
    url: str
    known: Neighbours
    windows: dict[str, Window]
    models: dict[str, SequenceModel]


@pytest.fixture(scope="module")
def world(clone: Clone, sites: list[Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("sequence")
    indels = [site for site in sites if len(site.ref) != len(site.alt)][::12]
    chosen = sorted({site.name: site for site in [*sites[::120], *indels]}.values(), key=lambda site: (site.pos, site.ref, site.alt))
    fasta = Reference(FASTA)
    windows = {site.name: window(fasta.fetch, fasta.length, Variant(20, site.pos, site.ref, site.alt), FLANK) for site in chosen}
    tiny, limited = f"dnabert2:{small_model(folder / 'tiny')}", f"hf:{esm(folder / 'nt', SIX_MERS, 'absolute', token_dropout=False)}"
    with clone("vkg_template") as url, pytest.MonkeyPatch.context() as patch:
        new_store(url)
        rows = {site.name: f"AF={n % 3 / 10}" for n, site in enumerate(chosen)}
        load_vcf(url, write_records(folder / "base.vcf", rows), dataset="base", version="1")
        patch.setenv("VKG_DATABASE_URL", url)
        for name, model in (("tiny", tiny), ("limited", limited), ("away", tiny)):
            embed(model=model, name=name, flank=FLANK, device="cpu", index=False)
        embed_annotation(url)
        with psycopg.connect(url, autocommit=True) as conn:
            models = load(conn, [f"tiny={tiny}", f"limited={limited}"], device="cpu")
        with Api(settings(url, models=models)) as api:
            yield World(api, url, read_neighbours(url, "tiny"), {n: w for n, w in windows.items() if isinstance(w, Window)}, models)


def page_of(world: World, ref: str, alt: str, **arguments: Any) -> Any:
    return world.api.data(QUERY, {"ref": ref, "alt": alt, "model": "tiny", **arguments})["variantsLikeSequence"]


def test_the_window_of_a_variant_gives_it_and_then_what_is_like_it(world: World) -> None:
    """Substitutions, insertions and deletions."""
    assert len(world.windows) == len(world.known.names) > 300
    names = world.known.names[::4]
    assert min(sum(len(name.split("-")[n]) > 1 for name in names) for n in (2, 3)) > 15
    for name in names:
        page = page_of(world, world.windows[name].ref, world.windows[name].alt)
        near_by = {edge["node"]["name"]: edge["similarity"] for edge in page["edges"]}
        first, best = next(iter(near_by.items()))
        assert best >= near_by[name] > 0.9999, name
        assert first == name or world.known.similarities(name)[world.known.place[first]] > 0.9999
        exact = world.known.similarities(name)
        for other, similarity in near_by.items():
            assert similarity == pytest.approx(exact[world.known.place[other]], abs=2e-3)  # the vector in the store is rounded to halves
        assert page["nodes"] == [edge["node"] for edge in page["edges"]]


def test_what_it_gives_is_what_the_vector_gives(world: World) -> None:
    """Sequences that no variant has, of any lengths: as many bases as come, with or without N."""
    rng = np.random.default_rng(4)
    for n in range(12):
        text = "".join(rng.choice(list("ACGT" if n % 2 else "ACGTN"), 80 + 9 * n))
        at, gone = 30 + n, n % 4
        alt = text[:at] + "ACTTG"[: n % 5 + 1] + text[at + gone :]
        made = world.models["tiny"](text, alt)
        for arguments, allowed in (
            ({}, None),
            ({"region": "20:1500000-3000000"}, np.array([1_500_000 <= int(name.split("-")[1]) <= 3_000_000 for name in world.known.names])),
            ({"filter": {"type": ["DELETION"]}}, np.array([len(name.split("-")[2]) > len(name.split("-")[3]) == 1 for name in world.known.names])),
            ({"population": "ALL"}, np.array([rank % 3 > 0 for rank in range(len(world.known.names))])),
        ):  # fmt: skip
            edges = page_of(world, text, alt, first=40, **arguments)["edges"]
            world.known.check_vector(made, edges, 40, allowed)


def test_lower_case_is_the_same(world: World) -> None:
    each = world.windows[world.known.names[10]]
    expected = page_of(world, each.ref, each.alt)
    assert page_of(world, each.ref.lower(), each.alt) == page_of(world, each.ref, each.alt.lower()) == expected


def test_nothing_is_like_no_change(world: World) -> None:
    text = world.windows[world.known.names[0]].ref
    empty = {"model": {"name": "tiny"}, "nodes": [], "edges": []}
    info = {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None}
    assert page_of(world, text, text) == page_of(world, text, text.lower(), region="20:1-2000000") == empty | {"pageInfo": info}


def test_pages_go_on(world: World) -> None:
    each, other = (world.windows[world.known.names[n]] for n in (20, 30))
    whole = page_of(world, each.ref, each.alt, first=60)
    edges, cursor = [], None
    for _ in range(6):
        page = page_of(world, each.ref, each.alt.lower(), first=10, after=cursor)
        edges += page["edges"]
        cursor = page["pageInfo"]["endCursor"]
    assert edges == whole["edges"]
    error = world.api.error(QUERY, {"ref": other.ref, "alt": other.alt, "model": "tiny", "after": cursor})
    assert (error["code"], error["message"]) == ("BAD_CURSOR", "The cursor is of the list of another variant.")


def test_requests_at_once_get_the_same_answers_as_one(world: World) -> None:
    asked = [world.windows[name] for name in world.known.names[:24]]
    alone = [page_of(world, each.ref, each.alt) for each in asked]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda each: page_of(world, each.ref, each.alt), asked * 3)) == alone * 3
    fields = " ".join(
        f'a{n}: variantsLikeSequence(ref: "{each.ref}", alt: "{each.alt}", model: "tiny") {{ edges {{ similarity node {{ name }} }} }}'
        for n, each in enumerate(asked[:5])
    )
    together = world.api.data(f"{{ {fields} }}")
    plain = [[{"similarity": edge["similarity"], "node": edge["node"]} for edge in page["edges"]] for page in alone[:5]]
    assert [together[f"a{n}"]["edges"] for n in range(5)] == plain


ACGT = "ACGT" * 20
CHANGED = ACGT[:40] + "G" + ACGT[41:]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"model": "away"}, "MODEL_NOT_LOADED", "This server has not loaded the model away."),
        ({"model": "annotation"}, "BAD_MODEL", "annotation reads no sequences of DNA."),
        ({"model": "dnabert2"}, "UNKNOWN_MODEL", None),
        ({"model": None}, "MODEL_NEEDED", None),
        ({"alt": ""}, "BAD_SEQUENCE", "alt has 0 letters."),
        ({"ref": ""}, "BAD_SEQUENCE", "ref has 0 letters."),
        ({"ref": "A" * 20_002}, "BAD_SEQUENCE", "ref has 20,002 letters."),
        ({"alt": "ACG T"}, "BAD_SEQUENCE", "alt: letter 4 is ' '."),
        ({"alt": "ACG-T"}, "BAD_SEQUENCE", "alt: letter 4 is '-'."),
        ({"ref": "ACGU"}, "BAD_SEQUENCE", "ref: letter 4 is 'U'."),
        ({"ref": "ACRT"}, "BAD_SEQUENCE", "ref: letter 3 is 'R'."),
        ({"ref": "ACGé"}, "BAD_SEQUENCE", "ref: letter 4 is 'é'."),
        ({"alt": "ACG\n"}, "BAD_SEQUENCE", "alt: letter 4 is '\\n'."),
        ({"model": "limited", "ref": "ACGTGT" * 199, "alt": "ACGTGT" * 198 + "ACGTGA"}, "BAD_SEQUENCE", "A sequence is 201 tokens to the model, which reads 200"),
        ({"first": 0}, "BAD_PAGE", None),
        ({"least": 2}, "BAD_SIMILARITY", None),
        ({"population": "NOWHERE"}, "UNKNOWN_POPULATION", None),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(world: World, arguments: Any, code: str, message: str | None) -> None:
    error = world.api.error(QUERY, {"ref": ACGT, "alt": CHANGED, "model": "tiny", **arguments})
    assert error["code"] == code
    assert message is None or error["message"].startswith(message)


def test_a_sequence_may_be_as_long_as_five_windows(world: World) -> None:
    """As long as those of the longest indels, with some to spare."""
    text = "ACGTA" * 241
    assert len(page_of(world, text, text[:600] + "G" + text[601:])["edges"]) == 10
    error = world.api.error(QUERY, {"ref": text + "A", "alt": text, "model": "tiny"})
    assert error["hint"] == "Give up to 1,205, best 241: the model read so many around each variant."


def test_who_comes_when_many_wait_is_told_so(world: World) -> None:
    """Eight wait for a model that takes its time; the ninth is not let in, and the eight get their answers."""
    go, begun = threading.Event(), threading.Event()

    def slow(ref: str, alt: str) -> np.ndarray:
        begun.set()
        assert go.wait(60)
        return world.models["tiny"](ref, alt)

    asked = {"ref": ACGT, "alt": CHANGED, "model": "tiny"}
    expected = page_of(world, ACGT, CHANGED)["edges"]
    with Api(settings(world.url, models={"tiny": slow})) as api, ThreadPoolExecutor(8) as pool:
        try:
            waiting = [pool.submit(api.data, QUERY, asked) for _ in range(8)]
            assert begun.wait(10)
            time.sleep(1)  # the seven others come as far as the queue
            error = api.error(QUERY, asked)
        finally:
            go.set()
        assert (error["code"], error["hint"]) == ("BUSY", "Try again in a moment.")
        assert [each.result()["variantsLikeSequence"]["edges"] for each in waiting] == [expected] * 8
        assert api.data(QUERY, asked)["variantsLikeSequence"]["edges"] == expected


def test_who_has_not_loaded_a_model_says_how_to(world: World) -> None:
    error = world.api.error(QUERY, {"ref": ACGT, "alt": CHANGED, "model": "away"})
    assert error["hint"] == "It has limited, tiny. Serve it (vkg serve --model away), or give a vector (variantsByEmbedding)."
    with Api(settings(world.url)) as bare:
        error = bare.error(QUERY, {"ref": ACGT, "alt": CHANGED, "model": "tiny"})
    assert (error["code"], error["hint"]) == (
        "MODEL_NOT_LOADED",
        "Serve it (vkg serve --model tiny), or give a vector (variantsByEmbedding).",
    )


def test_the_longest_sequences_are_read(world: World) -> None:
    rng = np.random.default_rng(6)
    text = "".join(rng.choice(list("ACGT"), 6 * 198))
    alt = text[:600] + ("A" if text[600] != "A" else "C") + text[601:]
    found = page_of(world, text, alt, model="limited")
    assert len(found["edges"]) == 10


def test_what_a_model_is_asked_costs(world: World) -> None:
    cost = world.api.cost(QUERY, {"ref": ACGT, "alt": CHANGED, "model": "tiny"})
    assert cost["objects"] == 1_000 + 50 + 10 + 10
