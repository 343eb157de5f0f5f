"""Groups and lineages by descent, against networkx and plain readings of the same calls."""

from __future__ import annotations

from typing import Any

import networkx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from store.descent import Lineages, Segments, alleles, carriers, carriers_joined, components, lineages, people_joined
from store.planes import ABSENT, ALT, MISSING, NO_NUMBER, OTHER, REF, Calls

graphs = st.integers(0, 40).flatmap(
    lambda count: st.tuples(st.just(count), st.lists(st.tuples(*[st.integers(0, count - 1)] * 2), max_size=60) if count else st.just([]))
)


@given(graphs)
def test_components_are_those_of_networkx_by_their_lowest_node(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, joins = graph
    known = networkx.Graph()
    known.add_nodes_from(range(count))
    known.add_edges_from(joins)
    lowest = {node: min(members) for members in networkx.connected_components(known) for node in members}
    assert components(count, *_columns(joins, 2)).tolist() == [lowest[node] for node in range(count)]


def test_components_of_a_hundred_thousand_in_a_row_whatever_their_numbers() -> None:
    rng = np.random.default_rng(1)
    for nodes in (np.arange(100_000), np.arange(100_000)[::-1], rng.permutation(100_000), rng.permutation(100_000)):
        assert not components(100_000, nodes[1:], nodes[:-1]).any()


PEOPLE = [7, 3, 5, 11]

pairs = st.tuples(st.sampled_from([REF, REF, ALT, ALT, OTHER, MISSING]), st.sampled_from([REF, REF, ALT, ALT, OTHER, MISSING, ABSENT]))
of_all = st.lists(pairs, min_size=len(PEOPLE), max_size=len(PEOPLE))
flags = st.lists(st.booleans(), min_size=len(PEOPLE), max_size=len(PEOPLE))
# One or other of whom is not in the callset: 2, 12.
joined = st.lists(
    st.tuples(st.sampled_from([*PEOPLE, 2, 12]), st.integers(1, 2), st.sampled_from([*PEOPLE, 2, 12]), st.integers(1, 2)).filter(
        lambda row: row[0] != row[2]
    ),
    max_size=14,
)


@given(
    of_all,
    flags,
    st.none() | st.lists(st.sampled_from([NO_NUMBER, NO_NUMBER, 5]), min_size=len(PEOPLE), max_size=len(PEOPLE)),
    st.booleans(),
)
def test_haplotypes_have_the_alleles_that_the_calls_put_there(
    called: list[tuple[int, int]], phased: list[bool], sets: list[int] | None, text: bool
) -> None:
    calls = Calls(
        np.array([called], np.int8),
        np.array([phased]),
        {0: ["0/0/1"] * len(PEOPLE)} if text else {},
        None if sets is None else np.array([sets], np.int32),
    )
    sure = not text
    for pair, is_phased, group in zip(called, phased, sets or [NO_NUMBER] * len(PEOPLE), strict=True):
        sure &= pair[1] in (ABSENT, pair[0]) or (is_phased and group == NO_NUMBER)
    found = alleles(calls)
    assert (found is not None) == sure
    assert found is None or found.tolist() == [allele for pair in called for allele in pair]
    assert carriers(calls).tolist() == [place for place, pair in enumerate(called) if ALT in pair]


Node = tuple[int, int]


def _columns(rows: list[Any], width: int) -> list[np.ndarray]:
    return [np.array([row[column] for row in rows], np.int64) for column in range(width)]


def _allele(called: list[tuple[int, int]]) -> dict[Node, int]:
    """The allele of each haplotype that there is and that is called, (person, 1 or 2)."""
    return {
        (person, slot): allele
        for person, pair in zip(PEOPLE, called, strict=True)
        for slot, allele in enumerate(pair, 1)
        if allele not in (ABSENT, MISSING)
    }


def _ends(called: list[tuple[int, int]], rows: list[tuple[int, int, int, int]]) -> list[tuple[Node, Node]]:
    """The haplotypes that segments join. Who has one allele has one haplotype."""
    alone = {person for person, pair in zip(PEOPLE, called, strict=True) if pair[1] == ABSENT}
    return [((a, 1 if a in alone else h), (b, 1 if b in alone else k)) for a, h, b, k in rows]


def _check(found: Any, nodes: list[Any], joins: list[tuple[Any, Any]], number: dict[Any, int]) -> None:
    """Asserts that groups are the components of nodes, in their order, by the joins between them; the largest first, else by the first node."""
    known = networkx.Graph()
    known.add_nodes_from(nodes)
    inside = [place for place, (a, b) in enumerate(joins) if a in known and b in known]
    known.add_edges_from(joins[place] for place in inside)
    expected = sorted(
        ((sorted(map(number.__getitem__, members)), [place for place in inside if joins[place][0] in members])
         for members in networkx.connected_components(known)),
        key=lambda group: (-len(group[0]), group[0][0]),
    )  # fmt: skip
    assert [(group.tolist(), places.tolist()) for group, places in zip(found.nodes, found.segments, strict=True)] == expected


@given(of_all, joined)
def test_carriers_are_grouped_by_the_segments_between_haplotypes_of_them(called: list[tuple[int, int]], rows: list[Any]) -> None:
    allele, ends = _allele(called), _ends(called, rows)
    found = carriers_joined(Segments(*_columns(rows, 4)), np.array(PEOPLE), np.array(called, np.int8).ravel())
    number = {(person, slot): 2 * place + slot - 1 for place, person in enumerate(PEOPLE) for slot in (1, 2)}
    _check(found, [node for node, held in allele.items() if held == ALT], ends, number)
    assert found.unequal == sum(a in allele and b in allele and (allele[a] == ALT) != (allele[b] == ALT) for a, b in ends)


@given(flags, joined)
def test_people_are_grouped_by_the_segments_between_carriers(carrying: list[bool], rows: list[Any]) -> None:
    found = people_joined(Segments(*_columns(rows, 4)), np.array(PEOPLE), np.flatnonzero(carrying))
    nodes = [person for person, carries in zip(PEOPLE, carrying, strict=True) if carries]
    _check(found, nodes, [(a, b) for a, _, b, _ in rows], {person: place for place, person in enumerate(PEOPLE)})
    assert found.unequal is None


@given(of_all, flags, joined)
def test_lineages_are_components_over_everybody_of_which_those_count_that_have_a_member(
    called: list[tuple[int, int]], counts: list[bool], rows: list[Any]
) -> None:
    allele, ends = _allele(called), _ends(called, rows)
    counted = {person for person, counts_one in zip(PEOPLE, counts, strict=True) if counts_one}
    known = networkx.Graph()
    known.add_nodes_from(allele)
    between = [(a, b) for a, b in ends if a in allele and b in allele]
    known.add_edges_from((a, b) for a, b in between if allele[a] == allele[b])
    mine = [
        held
        for members in networkx.connected_components(known)
        for held in [allele[next(iter(members))]]
        if {p for p, _ in members} & counted
    ]
    of_mine = [held for (person, _), held in allele.items() if person in counted]
    touching = [allele[a] == allele[b] for a, b in between if {a[0], b[0]} & counted]
    found = lineages(Segments(*_columns(rows, 4)), np.array(PEOPLE), np.array(called, np.int8).ravel(), np.array(counts))
    assert found == Lineages(len(mine), mine.count(ALT), len(of_mine), of_mine.count(ALT), sum(touching), touching.count(False))


def test_who_is_nobody_joins_nothing_even_in_an_empty_callset() -> None:
    rows = [(2, 1, 12, 2)]
    nobody = np.array([], np.int64)
    assert carriers_joined(Segments(*_columns(rows, 4)), nobody, np.array([], np.int8)).nodes == []
    assert people_joined(Segments(*_columns(rows, 4)), nobody, nobody).nodes == []
    assert lineages(Segments(*_columns(rows, 4)), nobody, np.array([], np.int8), np.array([], bool)) == Lineages(0, 0, 0, 0, 0, 0)
