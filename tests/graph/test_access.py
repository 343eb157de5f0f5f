"""What is known of single persons is read by links that say so, as a role that sees the loads it is told of and no others.

Which links these are follows from the tables that their SQL names, in every shape that it has.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from graph.relation import Link, entities, links
from store import embedding
from store.database import OPEN_ROLE, Pools, open_pools
from store.errors import StoreError
from store.ibd import HBD, SEGMENT
from store.read import HIGHEST, LOWEST, compose, where
from store.statements import statement, statements
from tests.graph.conftest import Clone
from tests.store.people import mention, mentioned
from tests.store.shapes import OTHER_WAYS, columns_of, condition_of, is_individual, searches

REPOSITORY = Path(__file__).parents[2]
EVERY_LINK = [*links, *(e.identity for e in entities.values() if "pk" in e.identity.read.by)]
OF_PERSONS = [
    "samples_by_name", "search_samples", "callsets_with", "samples_of_callset", "pair_sharing", "searched", "people_of_callset",
]  # fmt: skip


def every_shape(link: Link) -> list[str]:
    """The SQL of a link with all columns, in all its modes, with each condition."""
    read, found = link.read, []
    for by in (link.by, *OTHER_WAYS.get(link.name, ())):
        for condition in (None, *read.where):
            for mode in ("page", "count") if link.shape == "page" else ("all",):
                made, _ = compose(
                    read, by, columns=columns_of(read, by), order=link.order, filter=condition_of(read, condition), mode=mode, per_parent=read.by[by].anchor is not None
                )  # fmt: skip
                found.append(made.text)
    return found


@pytest.mark.parametrize("link", EVERY_LINK, ids=lambda link: link.name)
def test_a_link_says_whether_it_reads_what_is_known_of_persons(link: Link) -> None:
    for sql in every_shape(link):
        assert (link.access == "individual") == is_individual(sql), sql


def test_a_statement_says_whether_it_reads_what_is_known_of_persons() -> None:
    assert sorted(name for name, sql in statements().items() if is_individual(sql)) == sorted(OF_PERSONS)


def test_links_to_persons_are_individual() -> None:
    """However they are composed: what gives a person, a call, a segment or a place, says how two carry a variant, or begins at one of these is
    not open."""
    given = {"Sample", "GenotypeCall", "IBDSegment", "HBDSegment", "Ancestry", "SharedVariantEdge"}
    of_persons = {
        link.name
        for link in EVERY_LINK
        if any(cls and cls.__name__ in given for cls in link.types) or link.on in ("sample_id", "key", "pair", "place", "call")
    }
    assert {link.name for link in EVERY_LINK if link.access == "individual"} == of_persons
    assert len(of_persons) > 30


def test_the_open_role_may_not_run_what_is_individual_and_may_run_the_rest(conn: psycopg.Connection[Any]) -> None:
    model = embedding.register(conn, embedding.Model("a", None, None, 3, None, None, None, None, ["sequence"]))
    conn.execute(f"SET ROLE {OPEN_ROLE}")
    conn.commit()
    shapes = [(link.name, link.access, sql) for link in EVERY_LINK for sql in every_shape(link)]
    shapes += [(name, "individual" if name in OF_PERSONS else "open", sql) for name, sql in statements().items()]
    shapes += [(str(shape), "open", shape.sql) for shape in searches(model.model_id)]
    for name, access, sql in shapes:
        refused = pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for table")
        with refused if access == "individual" else nullcontext():
            conn.execute(f"EXPLAIN (GENERIC_PLAN) {sql}".encode())
            assert access == "open", name
        conn.rollback()


# ---- row-level security


@pytest.fixture(scope="module")
def sharing_url(clone: Clone, family_template: str) -> Iterator[str]:
    """URL of the store of families, with segments that those of either cohort share, and where they lie in ancestry space."""
    with clone(family_template) as url, psycopg.connect(url, autocommit=True) as conn:
        for cohort in COHORTS:
            run = {"source": "hap-ibd", "cohort": cohort, "phased": True, "callset": cohort, "surveyed_cm": 3_000.0}
            place = {"start_pos": 1_900_000, "end_pos": 2_100_000, "haplotype": 1, "other_haplotype": 1}
            pairs = [{"sample_id": one, "other_id": other} | place for one, other in (("SON", "GIRL"), ("DAD", "SON"), ("MUM", "GIRL"))]
            mentioned(conn, f"{cohort}_ibd", mention(*pairs, hbd=[{"sample_id": "SON"} | place], run=run), cohort)
            places = [{"sample_id": name, "components": [n]} for n, name in enumerate(("SON", "GIRL", "DAD"))]
            mentioned(conn, f"{cohort}_pca", mention(places=places, analysis={"cohort": cohort, "eigenvalues": [1.0]}), cohort)
        yield url


@dataclass(frozen=True)
class Store:
    """What of a store is asked for, by the names of datasets and of people."""

    loads: dict[str, int]
    people: dict[tuple[str, str], int]
    variants: list[int]
    segments: list[str]
    hbd: list[str]

    @property
    def every(self) -> list[int]:
        return list(self.loads.values())

    def of(self, *cohorts: str) -> list[int]:
        """The loads of cohorts, and the genes."""
        return [number for name, number in self.loads.items() if name.partition("_")[0] in (*cohorts, "genes")]

    def pair(self, cohort: str) -> tuple[int, int, int]:
        """Two who share, and the run that says so."""
        return self.people[cohort, "SON"], self.people[cohort, "GIRL"], self.loads[f"{cohort}_ibd"]

    def keys(self, link: Link) -> list[Any]:
        """Parents enough for a link to have rows of either cohort."""
        calls = [f"{variant}:{person}" for variant in self.variants for person in self.people.values()]
        few = [f"{variant}:{person}" for variant in self.variants for cohort in COHORTS for person in self.pair(cohort)[:2]]
        pairs = [".".join(map(str, self.pair(cohort))) + ":0.0" for cohort in COHORTS]
        segments = self.hbd if link.name.startswith("HBD") else self.segments
        known = {
            "variant_key": self.variants,
            "load_id": self.every,
            "name": ["EUR"],
            "key": segments,
            "pair": pairs,
            "place": calls,
            "call": few,
        }
        return segments if link.read in (SEGMENT, HBD) and link.by == "pk" else known.get(link.on or "", list(self.people.values()))

    def asked(self, link: Link) -> list[dict[str, Any]]:
        """The values of two statements of a link, which ask for either cohort where they can ask for one only."""
        people = list(self.people.values())
        both = {
            "loads": self.every, "withheld": [], "limited": [], "least": 0, "keys": self.keys(link), "sample_ids": people, "variant_keys": self.variants, "callsets": None, "parents": False,
            "beside": None, "runs": None, "analyses": None, "related": None, "min_length": 0.0, "lo": LOWEST, "hi": HIGHEST, "limit": 100_000,
        }  # fmt: skip
        one = [dict(zip(("sample1", "sample2", "run"), self.pair(cohort), strict=True)) for cohort in COHORTS]
        return [both | pair | {"sample_id": pair["sample1"]} for pair in one]

    def told(self, rows: list[dict[str, Any]]) -> set[str]:
        """The cohorts that rows tell of: by the people and loads in their columns, and by the person or segment that they begin at."""
        cohort_of = {number: cohort for (cohort, _), number in self.people.items()}
        of_load = {number: name.partition("_")[0] for name, number in self.loads.items()}
        found = {cohort_of[row[column]] for row in rows for column in PERSONS if row.get(column) is not None}
        found |= {cohort_of[int(str(row["parent"]).partition(".")[0])] for row in rows if "." in str(row["parent"])}
        return found | {of_load[row[column]] for row in rows for column in LOADS if row.get(column) is not None}


COHORTS = ("narrow", "wide")
PERSONS = ("sample_id", "father_id", "mother_id", "sample1_id", "sample2_id", "other_id")
LOADS = ("load_id", "callset_id", "run_id", "analysis_id")


@pytest.fixture
def store(sharing_url: str) -> Store:
    """What is in the store."""
    with psycopg.connect(sharing_url) as conn:
        segments = conn.execute("SELECT concat_ws('.', sample_id, other_id, load_id, file, line) FROM ibd_segment").fetchall()
        hbd = conn.execute("SELECT concat_ws('.', sample_id, load_id, file, line) FROM hbd_segment").fetchall()
        return Store(
            {name: number for number, name in conn.execute("SELECT load_id, name FROM load JOIN dataset USING (dataset_id)")},
            {(cohort, name): number for number, cohort, name in conn.execute("SELECT sample_id, cohort, name FROM sample")},
            [key for (key,) in conn.execute("SELECT variant_key FROM variant")],
            [key for (key,) in segments],
            [key for (key,) in hbd],
        )


@pytest.fixture
async def pools(sharing_url: str) -> AsyncIterator[Pools]:
    found = await open_pools(sharing_url, size=1, timeout_ms=10_000)
    yield found
    await found.close()


async def rows(pools: Pools, link: Link, store: Store, loads: list[int]) -> list[dict[str, Any]]:
    """All rows of a link, with all columns, where the session may see `loads`; the statements themselves ask for all."""
    read, found = link.read, []
    made, values = compose(
        read, link.by, columns=read.columns, order=link.order, mode="page", filter=where(), per_parent=read.by[link.by].anchor is not None
    )  # fmt: skip
    for asked in store.asked(link):
        for row in await pools.fetch_individual(loads, made.text, *made.bind(asked | values)):
            found.append({"parent": row[0]} | dict(zip(read.columns, list(row)[-len(read.columns) :], strict=True)))
    return found


@pytest.mark.parametrize("link", [link for link in EVERY_LINK if link.access == "individual"], ids=lambda link: link.name)
async def test_a_load_that_the_session_may_not_see_gives_no_row_even_when_it_is_asked_for(pools: Pools, store: Store, link: Link) -> None:
    if link.on == "name":  # no file of these has populations
        assert await rows(pools, link, store, store.every) == []
        return
    assert store.told(await rows(pools, link, store, store.every)) == {"narrow", "wide"}
    for cohort in COHORTS:
        found = await rows(pools, link, store, store.of(cohort))
        assert found
        assert store.told(found) == {cohort}
    assert await rows(pools, link, store, store.of()) == []
    assert await rows(pools, link, store, []) == []


async def test_whole_statements_see_no_more(pools: Pools, store: Store) -> None:
    every, wide = store.every, store.loads["wide"]
    one, other, run = store.pair("wide")
    asked: dict[str, tuple[Any, ...]] = {
        "samples_by_name": (["SON", "R1"], every),
        "search_samples": ("R", "R\U0010ffff", every, 10),
        "samples_of_callset": (wide,),
        "callsets_with": ([store.people["wide", "R1"]], every),
        "pair_sharing": ([one], [other], [run], 0.0, 22),
        "searched": ([run], [one, other], every),
        "people_of_callset": (wide, None, every),
    }
    assert set(asked) == set(OF_PERSONS)
    found = {name: await pools.fetch_individual(every, statement(name), *values) for name, values in asked.items()}
    assert all(found.values())
    less = {name: await pools.fetch_individual(store.of("narrow"), statement(name), *values) for name, values in asked.items()}
    assert [(row["cohort"], row["name"]) for row in less.pop("samples_by_name")] == [("narrow", "SON")]
    assert not any(less.values())


SEEN = "SELECT DISTINCT load_id FROM genotype"


async def seen(pools: Pools, loads: list[int]) -> set[int]:
    return {row[0] for row in await pools.fetch_individual(loads, SEEN)}


async def test_a_session_sees_what_it_was_told_for_this_statement(pools: Pools, store: Store) -> None:
    """One connection, asked by one and another."""
    narrow, wide, every = map(set, (store.of("narrow"), store.of("wide"), store.every))
    known = await seen(pools, store.every)
    assert known & narrow
    assert known & wide
    draws = random.Random(0)
    for _ in range(50):
        loads = draws.choice([narrow, wide, every, set[int]()])
        assert await seen(pools, sorted(loads)) == known & loads
    together = [draws.choice([narrow, wide, every]) for _ in range(30)]
    found = await asyncio.gather(*(seen(pools, sorted(loads)) for loads in together))
    assert found == [known & loads for loads in together]
    with pytest.raises(StoreError, match="permission denied"):
        await pools.fetch(SEEN)


async def test_a_request_that_ends_while_its_session_is_told_leaves_it_to_be_told_anew(pools: Pools, store: Store) -> None:
    narrow, wide = store.of("narrow"), store.of("wide")
    known = await seen(pools, store.every)
    draws = random.Random(0)
    ended = 0
    for n in range(100):
        asked = asyncio.create_task(seen(pools, wide if n % 2 else narrow))
        for _ in range(draws.randrange(6)):
            await asyncio.sleep(0)
        ended += asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert await seen(pools, narrow if n % 2 else wide) == known & {*(narrow if n % 2 else wide)}
    assert ended > 50


def test_nothing_else_reads_by_the_connections_for_persons() -> None:
    """They may still see what they were told last."""
    used = {
        str(path.relative_to(REPOSITORY))
        for package in ("store", "graph", "loaders", "embedder")
        for path in (REPOSITORY / package).rglob("*.py")
        if re.search(r"\.individual\b", path.read_text(encoding="utf-8"))
    }
    assert used == {"store/database.py"}
