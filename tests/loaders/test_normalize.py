"""Records to variants: splitting, INFO as JSON, checks against the reference; by example and by property."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.header import VcfHeader
from loaders.info import COUNT_MISMATCH, REPEATED_KEY, InfoReader, fields, number
from loaders.normalize import NOT_CHECKED, Normalizer, Rejected
from store.assembly import GRCH37
from store.reference import Reference

HEADER = """##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">
##INFO=<ID=AF,Number=A,Type=Float,Description="A \\"quoted\\" word, a comma">
##INFO=<ID=AD,Number=R,Type=Integer,Description="">
##INFO=<ID=PL,Number=G,Type=Integer,Description="">
##INFO=<ID=DB,Number=0,Type=Flag,Description="">
##INFO=<ID=NAME,Number=1,Type=String,Description="">
##INFO=<ID=MANY,Number=.,Type=String,Description="">
##INFO=<ID=PAIR,Number=2,Type=Integer,Description="">
##INFO=<ID=CSQ,Number=.,Type=String,Description="">
#CHROM"""


def as_json(*records: tuple[str, int]) -> tuple[list[list[str | None]], InfoReader]:
    """The JSON of every ALT of records (INFO, how many ALTs)."""
    reader = InfoReader(VcfHeader.parse(HEADER.split("\n")))
    alts = [n for _, n in records]
    allele = [a for n in alts for a in range(1, n + 1)]
    column = reader.read([i for i, _ in records], np.repeat(range(len(records)), alts), np.array(allele), np.repeat(alts, alts))
    made = iter(column.json().to_pylist())
    return [[next(made) for _ in range(n)] for n in alts], reader


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("DP=14", '{"DP":14}'),
        ("AF=0.0002;DP=007", '{"AF":0.0002,"DP":7}'),
        ("AF=2.96154e+01", '{"AF":2.96154e+01}'),
        ("AF=.", '{"AF":null}'),
        ("AF=.;DP=.;NAME=.;MANY=.", '{"AF":null,"DP":null,"NAME":null,"MANY":null}'),
        ("DB;DP=1", '{"DB":true,"DP":1}'),
        ("DP", '{"DP":true}'),
        ("NAME=a b", '{"NAME":"a b"}'),
        ('NAME=say "x"\\y', '{"NAME":"say \\"x\\"\\\\y"}'),
        ("NAME=1,2", '{"NAME":["1","2"]}'),
        ("NAME=", '{"NAME":""}'),
        ("DP=", '{"DP":null}'),
        ("NAME=a=b=c", '{"NAME":"a=b=c"}'),
        ("MANY=x", '{"MANY":["x"]}'),
        ("MANY=x,.,y", '{"MANY":["x",null,"y"]}'),
        ("PAIR=1,2", '{"PAIR":[1,2]}'),
        ("AD=10,3", '{"AD":[10,3]}'),
        ("PL=0,10,100", '{"PL":[0,10,100]}'),
        ("PL=0,10", '{"PL":[0,10]}'),
        ("DP=nan;AF=inf", '{"DP":"nan","AF":"inf"}'),
        ("UNKNOWN=5", '{"UNKNOWN":"5"}'),
        ("UNKNOWN=5,6", '{"UNKNOWN":["5","6"]}'),
        ("NEW", '{"NEW":true}'),
        (";DP=1;;DB;", '{"DP":1,"DB":true}'),
        (".", None),
        ("", None),
        ("NAME=Zoë 😀", '{"NAME":"Zoë 😀"}'),
    ],
)
def test_info_of_one_alt_becomes_json_with_the_files_digits(info: str, expected: str | None) -> None:
    assert as_json((info, 1))[0] == [[expected]]


def test_info_of_several_alts_is_split_by_allele() -> None:
    ((first, second),), reader = as_json(("DP=9;AF=0.10,.;AD=1,2,3;PL=00,01,11,02,12,22;MANY=a,b;DB", 2))
    assert first == '{"DP":9,"AF":0.10,"AD":[1,2],"PL":[0,1,11],"MANY":["a","b"],"DB":true}'
    assert second == '{"DP":9,"AF":null,"AD":[1,3],"PL":[0,2,22],"MANY":["a","b"],"DB":true}'
    assert not reader.warnings


def test_values_whose_count_does_not_fit_stay_whole_and_are_counted() -> None:
    (one, two), reader = as_json(("AF=0.1,0.2;AD=5", 1), ("AF=0.5;AD=1,2;PL=1,2,3,4", 2))
    assert one == ['{"AF":[0.1,0.2],"AD":[5]}']
    assert two == ['{"AF":[0.5],"AD":[1,2],"PL":[1,2,3,4]}'] * 2
    assert reader.warnings == {COUNT_MISMATCH: 2 + 2 * 3}


def test_the_first_of_two_equal_keys_is_kept_and_the_other_counted() -> None:
    made, reader = as_json(("DP=1;AF=0.5;DP=2", 1), ("DP=3", 1), ("AF=1,2;AF=3,4", 2))
    assert made == [['{"DP":1,"AF":0.5}'], ['{"DP":3}'], ['{"AF":1}', '{"AF":2}']]
    assert reader.warnings == {REPEATED_KEY: 2}
    assert fields("DP=1;AF=0.5;DP=2;DB") == {"DP": "1", "AF": "0.5", "DB": None}


@given(st.from_regex(r"[+-]?([0-9]{1,20}(\.[0-9]{0,9})?|\.[0-9]{1,9})([eE][+-]?[0-9]{1,2})?", fullmatch=True))
def test_numbers_keep_their_value_and_are_json(written: str) -> None:
    made = number(written)
    assert json.loads(made, parse_float=Decimal, parse_int=Decimal) == Decimal(written)
    if written == str(Decimal(written)) and "E" not in written:
        assert made == written


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=";=,\n\0"), min_size=1).filter(lambda t: t != "."))
def test_any_text_survives_as_a_json_string(written: str) -> None:
    (made,), _ = as_json((f"NAME={written}", 1))
    assert json.loads(str(made[0])) == {"NAME": written}


KEYS = st.sampled_from(["DP", "AF", "AD", "PL", "DB", "NAME", "MANY", "PAIR", "OTHER"])
VALUES = st.lists(st.sampled_from(["1", "0.5", ".", "x"]), min_size=1, max_size=6).map(",".join)
INFOS = st.lists(st.tuples(KEYS, VALUES).map("=".join), max_size=6).map(lambda parts: ";".join(parts) or ".")


@given(st.lists(st.tuples(INFOS, st.integers(1, 4)), min_size=1, max_size=8))
def test_a_chunk_of_records_says_what_each_record_says_alone(records: list[tuple[str, int]]) -> None:
    together, _ = as_json(*records)
    assert together == [as_json(record)[0][0] for record in records]


def test_texts_are_found_by_key_for_every_variant() -> None:
    reader = InfoReader(VcfHeader.parse(HEADER.split("\n")))
    column = reader.read(["AF=1,2;DP=3", "DB", "DP=."], np.array([0, 0, 1, 2]), np.array([1, 2, 1, 1]), np.array([2, 2, 1, 1]))
    assert column.texts("AF").to_pylist() == ["1,2", "1,2", None, None]
    assert column.texts("DP").to_pylist() == ["3", "3", None, "."]
    assert column.texts("DB").to_pylist() == [None] * 4
    assert column.texts("NOTHING").to_pylist() == [None] * 4


# 20:  1..60. N, then repeats, then N again.
SEQUENCE = "N" * 10 + "GGGCACACACAGGGTTTTTTACGTACGT" + "N" * 10 + "ACGTACGTACGT"


@pytest.fixture
def normalizer(write_fasta: Any) -> Normalizer:
    return Normalizer(GRCH37, Reference(write_fasta({"20": SEQUENCE})))


def normal(normalizer: Normalizer, chrom: str, pos: str, ref: str, alt: str) -> tuple[int, str, str]:
    return normalizer.normal(normalizer.site(chrom, pos, ref), alt)[1:]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("20 11 G A", (11, "G", "A")),
        ("chr20 18 CAC C", (13, "GCA", "G")),
        ("NC_000020.10 29 T TT", (24, "G", "GT")),
        ("20 14 CAC CAG", (16, "C", "G")),
        ("20 54 C CT", (54, "C", "CT")),
    ],
)
def test_alleles_come_out_normal(normalizer: Normalizer, row: str, expected: tuple) -> None:
    assert normal(normalizer, *row.split()) == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("GL000192.1 5 A G", "contig outside 1-22, X, Y, MT"),
        ("20 0 A G", "POS is not a position"),
        ("20 -3 A G", "POS is not a position"),
        ("20 1e3 A G", "POS is not a position"),
        ("20 x A G", "POS is not a position"),
        ("20 63025521 A G", "position beyond the contig"),
        ("20 63025520 AC G", "position beyond the contig"),
        ("20 11 T A", "REF differs from the reference"),
        ("20 11 GGA G", "REF differs from the reference"),
        ("20 11 R A", "allele not of A, C, G, T, N"),
        ("20 11 G R", "allele not of A, C, G, T, N"),
        ("20 11  A", "allele not of A, C, G, T, N"),
        ("20 11 G <DEL>", "symbolic ALT"),
        ("20 11 G G[20:15[", "breakend"),
        ("20 11 G .G", "breakend"),
        ("20 11 G G", "ALT equals REF"),
        ("20 5 N NA", "indel where there is no reference sequence"),
        ("20 38 T TA", None),
        ("20 49 ACG ACGACG", "indel where there is no reference sequence"),
        ("20 4000 A AC", "indel where there is no reference sequence"),
        ("21 4000 A AC", "indel where there is no reference sequence"),
    ],
)
def test_what_cannot_be_loaded_is_rejected_by_name(normalizer: Normalizer, row: str, reason: str | None) -> None:
    if reason is None:
        normal(normalizer, *row.split(" "))
        return
    with pytest.raises(Rejected) as why:
        normal(normalizer, *row.split(" "))
    assert why.value.reason == reason


def test_a_ref_without_bases_is_none_after_any_record_too(normalizer: Normalizer) -> None:
    normalizer.site("20", "11", "G")
    with pytest.raises(Rejected, match="allele not of A, C, G, T, N"):
        normalizer.site("20", "11", "")


def test_single_bases_outside_the_reference_are_loaded_and_counted(normalizer: Normalizer) -> None:
    assert normal(normalizer, "21", "4000", "A", "C") == (4000, "A", "C")
    assert normal(normalizer, "20", "5", "A", "C") == (5, "A", "C")
    assert normalizer.warnings == {NOT_CHECKED: 2}


def test_indels_without_a_reference_are_only_trimmed_and_only_when_asked_for(write_fasta: Any) -> None:
    with pytest.raises(Rejected, match="no reference sequence"):
        normal(Normalizer(GRCH37, None), "20", "18", "CAC", "C")
    assert normal(Normalizer(GRCH37, None, unnormalized=True), "20", "18", "CCAC", "CC") == (18, "CCA", "C")
    both = Normalizer(GRCH37, Reference(write_fasta({"20": SEQUENCE})), unnormalized=True)
    assert normal(both, "20", "18", "CAC", "C") == (13, "GCA", "G")
    assert normal(both, "21", "18", "CAC", "C") == (18, "CAC", "C")


def test_an_indel_at_the_first_base_keeps_the_base_after_it(write_fasta: Any) -> None:
    start = Normalizer(GRCH37, Reference(write_fasta({"20": "AAAAC"})))
    assert normal(start, "20", "3", "AA", "A") == (1, "AA", "A")


def test_a_header_is_read_with_quotes_and_commas_and_without_lengths() -> None:
    header = VcfHeader.parse(
        ["##fileformat=VCFv4.1", *HEADER.split("\n")[:-1], "##contig=<ID=20,length=63025520,assembly=b37>", "##contig=<ID=X>",
         "##reference=file:///b37.fa", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone\ttwo"]
    )  # fmt: skip
    assert header.infos["AF"].description == 'A "quoted" word, a comma'
    assert (header.infos["AF"].number, header.infos["AF"].type) == ("A", "Float")
    assert header.contigs == {"20": 63025520, "X": None}
    assert (header.fileformat, header.reference, header.samples) == ("VCFv4.1", "file:///b37.fa", ("one", "two"))


def test_files_of_one_load_get_the_same_keys_in_the_same_order() -> None:
    one, two = (
        VcfHeader.parse([f'##INFO=<ID={key},Number={n},Type=String,Description="">' for key, n in keys] + ["#CHROM"])
        for keys in ([("A", "1"), ("B", "2")], [("C", "3"), ("A", "4")])
    )
    assert list(one.with_keys_of([one, two]).infos) == list(two.with_keys_of([one, two]).infos) == ["A", "B", "C"]
    assert two.with_keys_of([one, two]).infos["A"].number == "4"


def test_a_path_is_all_that_the_reader_of_a_reference_needs(tmp_path: Path, write_fasta: Any) -> None:
    assert Reference(write_fasta({"chr20": "acgtACGT"})).fetch(20, 1, 8) == "ACGTACGT"
