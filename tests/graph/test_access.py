"""What is known of single persons is read by links that say so, as a role that sees the loads it is told of and no others.

Which links these are follows from the tables that their SQL names, in every shape that it has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import psycopg
import pytest

from graph.relation import Link, entities, links
from store.database import OPEN_ROLE, Pools, open_pools
from store.errors import StoreError
from store.read import HIGHEST, LOWEST, compose, where
from store.statements import statement, statements
from tests.store.shapes import OTHER_WAYS, condition_of, is_individual

EVERY_LINK = [*links, *(e.identity for e in entities.values() if "pk" in e.identity.read.by)]
OF_PERSONS = ["samples_by_name", "search_samples", "callsets_with", "samples_of_callset"]


def every_shape(link: Link) -> list[str]:
    """The SQL of a link with all columns, in all its modes, with each condition."""
    read, found = link.read, []
    for by in (link.by, *OTHER_WAYS.get(link.name, ())):
        for condition in (None, *read.where):
            for mode in ("page", "count") if link.shape == "page" else ("all",):
                columns = [name for name in read.columns if by == "variant" or name not in ("distance", "relation")]
                made, _ = compose(
                    read, by, columns=columns, order=link.order, filter=condition_of(read, condition), mode=mode, per_parent=read.by[by].anchor is not None
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
    """However they are composed: what gives a Sample or a call, or begins at one's number, is not open."""
    of_persons = {link.name for link in EVERY_LINK if link.types[0].__name__ in ("Sample", "GenotypeCall") or link.on == "sample_id"}
    assert {link.name for link in EVERY_LINK if link.access == "individual"} == of_persons
    assert len(of_persons) > 12


def test_the_open_role_may_not_run_what_is_individual_and_may_run_the_rest(conn: psycopg.Connection[Any]) -> None:
    conn.execute(f"SET ROLE {OPEN_ROLE}")
    conn.commit()
    shapes = [(link.name, link.access, sql) for link in EVERY_LINK for sql in every_shape(link)]
    shapes += [(name, "individual" if name in OF_PERSONS else "open", sql) for name, sql in statements().items()]
    for name, access, sql in shapes:
        refused = pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for table")
        with refused if access == "individual" else nullcontext():
            conn.execute(f"EXPLAIN (GENERIC_PLAN) {sql}".encode())
            assert access == "open", name
        conn.rollback()


# ---- row-level security


@pytest.fixture
async def pools(family_url: str) -> AsyncIterator[Pools]:
    found = await open_pools(family_url, size=1, timeout_ms=10_000)
    yield found
    await found.close()


async def rows(pools: Pools, link: Link, seen: list[int], asked: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows of a link, with all columns, where the transaction may see `seen`; the statement itself asks for what is in `asked`."""
    read = link.read
    made, values = compose(
        read, link.by, columns=read.columns, order=link.order, mode="page", filter=where(), per_parent=read.by[link.by].anchor is not None
    )  # fmt: skip
    fetched = await pools.fetch_individual(seen, made.text, *made.bind(asked | values))
    width = len(read.columns)
    return [dict(zip(read.columns, list(row)[-width:], strict=True)) for row in fetched]


@pytest.mark.parametrize("link", [link for link in EVERY_LINK if link.access == "individual"], ids=lambda link: link.name)
async def test_a_load_that_the_transaction_may_not_see_gives_no_row_even_when_it_is_asked_for(
    pools: Pools, family_url: str, link: Link
) -> None:
    with psycopg.connect(family_url) as conn:
        loads = {name: number for number, name in conn.execute("SELECT load_id, name FROM load JOIN dataset USING (dataset_id)")}
        people = {(cohort, name): number for number, cohort, name in conn.execute("SELECT sample_id, cohort, name FROM sample")}
        variants = [key for (key,) in conn.execute("SELECT variant_key FROM variant")]
    keys: list[Any] = {"variant_key": variants, "load_id": list(loads.values()), "name": ["EUR"]}.get(link.on or "", list(people.values()))
    asked = {
        "loads": list(loads.values()), "keys": keys, "sample_ids": list(people.values()), "variant_keys": variants, "callsets": None,
        "parents": False, "beside": None,
        "lo": LOWEST, "hi": HIGHEST, "limit": 100_000,
    }  # fmt: skip

    def of(rows: list[dict[str, Any]]) -> set[str]:
        """The cohorts that rows tell of."""
        cohorts = {number: cohort for (cohort, _), number in people.items()} | {None: None}
        callsets = {loads[name]: name for name in ("narrow", "wide")}
        told = {cohorts[row[column]] for row in rows for column in ("sample_id", "father_id", "mother_id") if column in row}
        told |= {callsets[row[column]] for row in rows for column in ("callset_id", "load_id") if column in row}
        return {cohort for cohort in told if cohort is not None}

    narrow = [loads["genes"], loads["narrow"], loads["narrow_ped"]]
    if link.read.by[link.by].parent == "t.name" or link.on == "name":  # no file of these has populations
        assert of(await rows(pools, link, list(loads.values()), asked)) == set()
        return
    assert of(await rows(pools, link, list(loads.values()), asked)) == {"narrow", "wide"}
    assert of(await rows(pools, link, narrow, asked)) == {"narrow"}
    assert await rows(pools, link, [loads["genes"]], asked) == []
    assert await rows(pools, link, [], asked) == []


async def test_whole_statements_see_no_more(pools: Pools, family_url: str) -> None:
    with psycopg.connect(family_url) as conn:
        loads = {name: number for number, name in conn.execute("SELECT load_id, name FROM load JOIN dataset USING (dataset_id)")}
    every, narrow = list(loads.values()), [loads["narrow"], loads["narrow_ped"]]
    asked: dict[str, tuple[Any, ...]] = {
        "samples_by_name": (["SON", "R1"], every),
        "search_samples": ("R", "R\U0010ffff", every, 10),
        "samples_of_callset": (loads["wide"],),
        "callsets_with": ([21], every),
    }
    assert set(asked) == set(OF_PERSONS)
    seen = {name: await pools.fetch_individual(every, statement(name), *values) for name, values in asked.items()}
    assert all(seen.values())
    less = {name: await pools.fetch_individual(narrow, statement(name), *values) for name, values in asked.items()}
    assert [(row["cohort"], row["name"]) for row in less.pop("samples_by_name")] == [("narrow", "SON")]
    assert not any(less.values())


async def test_a_session_keeps_nothing_of_what_its_last_transaction_was_told(pools: Pools, family_url: str) -> None:
    with psycopg.connect(family_url) as conn:
        every = [number for (number,) in conn.execute("SELECT load_id FROM load")]
    assert (await pools.fetch_individual(every, "SELECT count(*) FROM genotype"))[0][0] > 0
    assert (await pools.individual.fetch("SELECT count(*) FROM genotype"))[0][0] == 0
    with pytest.raises(StoreError, match="permission denied"):
        await pools.fetch("SELECT count(*) FROM genotype")
