"""Groups by descent, against networkx and plain readings of the same calls."""

from __future__ import annotations

import networkx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from store.descent import Lineage, carriers, components, haploid, haplotypes, joined
from store.planes import ABSENT, ALT, MISSING, NO_NUMBER, OTHER, REF, Calls

graphs = st.lists(st.integers(0, 30), unique=True).flatmap(
    lambda nodes: st.tuples(
        st.just(nodes),
        st.lists(st.tuples(st.sampled_from(nodes), st.sampled_from(nodes), st.integers()), max_size=40) if nodes else st.just([]),
    )
)


@given(graphs)
def test_components_are_those_of_networkx(graph: tuple[list[int], list[tuple[int, int, int]]]) -> None:
    nodes, joins = graph
    found = components(nodes, joins)
    known = networkx.MultiGraph()
    known.add_nodes_from(nodes)
    known.add_edges_from((one, other, number) for number, (one, other, _) in enumerate(joins))
    assert sorted(map(set, networkx.connected_components(known)), key=min) == sorted((set(each.members) for each in found), key=min)
    for each in found:
        assert each.members == [node for node in nodes if node in set(each.members)], "in the order of the nodes"
        assert each.joins == [join for one, _, join in joins if one in set(each.members)]
    order = [(-len(each.members), nodes.index(each.members[0])) for each in found]
    assert order == sorted(order), "the largest first, else by the first node"


def test_components_of_a_hundred_thousand_in_a_row() -> None:
    count = 100_000
    assert components(range(count), [(n + 1, n, None) for n in range(count - 1)]) == [Lineage(list(range(count)), [None] * (count - 1))]


PEOPLE = [7, 3, 5]

_calls = st.tuples(
    st.lists(
        st.tuples(st.sampled_from([REF, ALT, OTHER, MISSING]), st.sampled_from([REF, ALT, ALT, OTHER, MISSING, ABSENT])),
        min_size=3,
        max_size=3,
    ),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.none() | st.lists(st.sampled_from([NO_NUMBER, NO_NUMBER, 5]), min_size=3, max_size=3),
    st.booleans(),
)


@given(_calls)
def test_haplotypes_have_the_alleles_that_the_calls_put_there(given_calls: tuple) -> None:
    pairs, phased, sets, text = given_calls
    calls = Calls(
        np.array([pairs], np.int8),
        np.array([phased]),
        {0: ["0/0/1"] * 3} if text else {},
        None if sets is None else np.array([sets], np.int32),
    )
    known = {}
    sure = not text
    for person, pair, is_phased, group in zip(PEOPLE, pairs, phased, sets or [NO_NUMBER] * 3, strict=True):
        alleles = [allele for allele in pair if allele != ABSENT]
        sure &= len(set(alleles)) == 1 or (is_phased and group == NO_NUMBER)
        known.update({(person, slot): allele for slot, allele in enumerate(alleles, 1) if allele != MISSING})
    assert haplotypes(calls, PEOPLE) == (known if sure else None)
    assert haploid(calls, PEOPLE) == {person for person, pair in zip(PEOPLE, pairs, strict=True) if pair[1] == ABSENT}
    assert carriers(calls, PEOPLE) == [person for person, pair in zip(PEOPLE, pairs, strict=True) if ALT in pair]


@given(
    st.dictionaries(st.integers(0, 6), st.sampled_from([REF, ALT, OTHER])),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers())),
)
def test_segments_join_equal_alleles_of_those_who_are_there(allele: dict[int, int], segments: list[tuple[int, int, int]]) -> None:
    found = joined(segments, allele)
    there = [each for each in segments if {each[0], each[1]} <= set(allele)]
    assert found.equal == [each for each in there if allele[each[0]] == allele[each[1]]]
    assert found.unequal == [each[:2] for each in there if allele[each[0]] != allele[each[1]]]
