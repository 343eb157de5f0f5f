"""What models read of variants: genes near them, consequences, changes of proteins."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from psycopg.pq import TransactionStatus

from store.embedding import (
    gene_ranges,
)
from store.embedding_inputs import Consequence, changed_proteins, consequences, has_consequences, known, protein_changes
from store.errors import StoreError
from store.region import Region
from tests.store.vectors import Conn, snvs

# ---- genes


def test_the_ranges_of_genes(store: Conn) -> None:
    genes = [
        ("ENSG1", 1, "TP53", 17, 100, 200),
        ("ENSG2", 1, "Y_RNA", 20, 50, 60),
        ("ENSG3", 1, "Y_RNA", 20, 70, 80),
        ("ENSG4", 2, "HID", 1, 1, 2),
    ]
    with store.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO gene (gene_id, load_id, symbol, chrom, start_pos, end_pos, strand) VALUES (%s, %s, %s, %s, %s, %s, 1)", genes
        )
        cursor.executemany("INSERT INTO gene_alias (alias, gene_id, load_id) VALUES (%s, %s, 1)", [("P53", "ENSG1"), ("TP53", "ENSG2")])
    tp53, first, second = (Region(*place).keys() for place in ((17, 100, 200), (20, 50, 60), (20, 70, 80)))
    assert gene_ranges(store, ["tp53"], [1]) == gene_ranges(store, ["ENSG1.7"], [1]) == gene_ranges(store, ["p53"], [1]) == [tp53]
    assert gene_ranges(store, ["Y_RNA", "TP53"], [1]) == [first, second, tp53]
    assert gene_ranges(store, [], [1]) == []
    for name in ("HID", "nobody"):
        with pytest.raises(StoreError, match=f"no gene '{name}' is loaded"):
            gene_ranges(store, ["TP53", name], [1])


# ---- what loads say of variants


def consequence(conn: Conn, key: int, load: int, ordinal: int, severity: int, **columns: Any) -> None:
    """A row of transcript_consequence, with what it has to have."""
    values = {"annotator": "VEP", "impact": 2, "terms": ["missense_variant"], "canonical": False} | columns
    values |= {"variant_key": key, "load_id": load, "ordinal": ordinal, "severity": severity}
    conn.execute(f"INSERT INTO transcript_consequence ({', '.join(values)}) VALUES ({', '.join(f'%({name})s' for name in values)})", values)


def test_the_most_severe_consequence_of_the_latest_load_and_the_preferred_transcript(store: Conn) -> None:
    first, second, third, fourth = snvs(store, 4)
    consequence(store, first, 1, 0, 31, symbol="LATER", impact=3, terms=["synonymous_variant"])
    consequence(store, first, 1, 1, 10, symbol="SEVERE", impact=1, terms=["stop_gained", "splice_region_variant"], biotype="protein_coding",
                hgvsc="ENST1.1:c.4C>T", hgvsp="ENSP1.1:p.Gln2Ter", exon="1/2", intron="3/4")  # fmt: skip
    for ordinal, (name, mane, canonical) in enumerate([("PLAIN", None, False), ("CANONICAL", None, True), ("PLUS", "PLUS_CLINICAL", True), ("MANE", "SELECT", False)]):  # fmt: skip
        consequence(store, second, 1, ordinal, 29, symbol=name, mane=mane, canonical=canonical)
    consequence(store, third, 1, 0, 29, symbol="EARLIER", canonical=True)
    consequence(store, third, 2, 0, 29, symbol="LATEST")
    consequence(store, third, 3, 0, 1, symbol="HIDDEN")
    consequence(store, fourth, 3, 0, 1, symbol="HIDDEN")
    found = consequences(store, [fourth, third, second, first], [2, 1])
    assert {key: each.symbol for key, each in found.items()} == {first: "SEVERE", second: "MANE", third: "LATEST"}
    assert found[first] == Consequence(
        first,
        ["stop_gained", "splice_region_variant"],
        "HIGH",
        "SEVERE",
        "protein_coding",
        "ENST1.1:c.4C>T",
        "ENSP1.1:p.Gln2Ter",
        "1/2",
        "3/4",
    )
    assert consequences(store, [], [1]) == consequences(store, [first], []) == {}
    assert has_consequences(store, [3])
    assert not has_consequences(store, [4])


def test_changes_of_proteins_the_most_severe_first(store: Conn) -> None:
    first, second, third = snvs(store, 3)
    consequence(store, first, 1, 0, 29, hgvsp="ENSP1.1:p.Gly2Ala")
    consequence(store, first, 1, 1, 10, hgvsp="ENSP2.1:p.Gly3Ter")
    consequence(store, first, 1, 2, 1, hgvsp=None)
    consequence(store, first, 1, 3, 29, hgvsp="ENSP3.1:p.Gly4Ala", mane="SELECT")
    consequence(store, first, 2, 0, 29, hgvsp="p.Gly5Ala", transcript_id="ENST5.1")
    consequence(store, first, 3, 0, 1, hgvsp="ENSP9.1:p.Gly9Ala")
    consequence(store, second, 2, 0, 29, hgvsp="p.Gly6Ala")
    consequence(store, third, 2, 0, 29, hgvsp=None, transcript_id="ENST7.1")
    assert protein_changes(store, [first, second, third], [1, 2]) == {
        first: [("ENSP2.1", "p.Gly3Ter"), ("ENST5.1", "p.Gly5Ala"), ("ENSP3.1", "p.Gly4Ala"), ("ENSP1.1", "p.Gly2Ala")],
        second: [(None, "p.Gly6Ala")],
    }
    assert sorted(changed_proteins(store, [1, 2])) == ["ENSP1.1", "ENSP2.1", "ENSP3.1", "ENST5.1"]
    with closing(changed_proteins(store, [1, 2])) as named:
        next(named)
    assert store.info.transaction_status == TransactionStatus.IDLE  # what is not read to the end holds nothing
    assert not list(changed_proteins(store, [4]))


# ---- what is counted of few people


@pytest.mark.parametrize(("people", "counted", "told"), [(4, True, {}), (5, True, {"ALL": 0.25}), (4, False, {"ALL": 0.25})])
def test_what_was_counted_of_few_people_is_not_read(store: Conn, people: int, counted: bool, told: dict[str, float]) -> None:
    """Vectors are open data; what a file says is open already."""
    (key,) = snvs(store, 1)
    store.execute("INSERT INTO frequency_population (load_id, ordinal, population, counted) VALUES (1, 1, 'ALL', %s)", (counted,))
    store.execute("INSERT INTO population_frequency (variant_key, load_id, ac, an, af) VALUES (%s, 1, '{2}', '{8}', '{0.25}')", (key,))
    with store.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO callset_sample (load_id, ordinal, sample_id) VALUES (1, %s, %s)", [(n, n + 1) for n in range(people)]
        )
    assert known(store, [key], [1], ["ALL"], [])[key].frequencies == told
