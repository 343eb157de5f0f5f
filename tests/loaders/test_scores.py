"""Scores of tables and of INFO keys: literal files in, rows out, repeats, rejects, and real files re-read."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cyvcf2
import psycopg
import pytest

from loaders.annotation_job import scores_job
from loaders.errors import InputError
from loaders.normalize import Normalizer
from loaders.run import Outcome, ingest
from loaders.scores import Score, layout, read_table, read_vcf
from store import release
from store.assembly import GRCH37
from store.load import AlreadyLoaded, begin
from store.variant_key import decode, encode_one

Conn = psycopg.Connection[Any]

CADD = """## CADD GRCh37-v1.7 (c) University of Washington 2013-2023. All rights reserved.
#Chrom\tPos\tRef\tAlt\tRawScore\tPHRED
20\t1000100\tA\tC\t0.05\t1.234
20\t1000100\tA\tG\t-0.5\t0.1
chr20\t1000101\tc\tt\t3.5\t27.1
"""


def load(conn: Conn, path: Path, **options: Any) -> Outcome | AlreadyLoaded:
    """Loads a file as `vkg load scores` does."""
    job, read = scores_job(conn, [path], **options)
    return ingest(conn, job, read)


def stored(conn: Conn) -> list[tuple]:
    """(chrom, pos, ref, alt, name, value) of all scores, in genome order."""
    rows = conn.execute(
        "SELECT variant_key, name, value FROM variant_score JOIN score USING (load_id, score_id) ORDER BY variant_key, score_id"
    )
    return [(*decode(key), name, value) for key, name, value in rows]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file: write(text, name="some.tsv"), compressed where its name says so."""

    def write(text: str, name: str = "some.tsv") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


def test_cadd_is_loaded_under_the_name_given(grch37: Conn, write: Callable[..., Path]) -> None:
    outcome = load(grch37, write(CADD, "cadd.tsv.gz"), names=["CADD_PHRED"], version="1.7")
    assert isinstance(outcome, Outcome)
    assert (outcome.load.dataset, outcome.load.version, outcome.release is not None) == ("cadd", "1.7", True)
    assert stored(grch37) == [
        (20, 1000100, "A", "C", "CADD_PHRED", 1.234),
        (20, 1000100, "A", "G", "CADD_PHRED", 0.1),
        (20, 1000101, "C", "T", "CADD_PHRED", 27.1),
    ]
    ((description,),) = grch37.execute("SELECT description FROM score")
    assert description == "CADD GRCh37-v1.7 (c) University of Washington 2013-2023. All rights reserved."
    assert grch37.execute("SELECT count(*) FROM variant").fetchone() == (0,)


def test_the_same_file_again_is_a_no_op(grch37: Conn, write: Callable[..., Path]) -> None:
    path = write(CADD)
    load(grch37, path)
    assert isinstance(load(grch37, path), AlreadyLoaded)
    assert len(stored(grch37)) == 3


def test_several_columns_are_scores_of_one_load(grch37: Conn, write: Callable[..., Path]) -> None:
    load(grch37, write(CADD), columns=["RawScore", "PHRED"], names=["raw", "phred"])
    assert [row[4:] for row in stored(grch37)][:2] == [("raw", 0.05), ("phred", 1.234)]
    assert grch37.execute("SELECT score_id, name FROM score ORDER BY 1").fetchall() == [(0, "raw"), (1, "phred")]


def test_alphamissense_is_known_by_its_columns_and_its_assembly(grch38: Conn, write: Callable[..., Path]) -> None:
    text = (
        "# Copyright 2023 DeepMind Technologies Limited\n#\n# Licensed under CC BY-NC-SA 4.0 license\n"
        "#CHROM\tPOS\tREF\tALT\tgenome\tuniprot_id\ttranscript_id\tprotein_variant\tam_pathogenicity\tam_class\n"
        "chr1\t69094\tG\tT\thg38\tQ8NH21\tENST00000335137.4\tV2L\t0.2937\tlikely_benign\n"
    )
    load(grch38, write(text))
    assert stored(grch38) == [(1, 69094, "G", "T", "am_pathogenicity", 0.2937)]


def test_the_columns_of_any_table_may_be_named(grch37: Conn, write: Callable[..., Path]) -> None:
    path = write("contig_name,where,from,to,mine,note\n20,1000100,A,C,0.5,x\n", "mine.csv")
    load(grch37, path, locus=["contig_name", "where", "from", "to"], columns=["mine"], assembly="GRCh37")
    assert stored(grch37) == [(20, 1000100, "A", "C", "mine", 0.5)]


def test_an_indel_has_the_key_of_the_variant_that_a_vcf_makes_of_it(
    grch37: Conn, write: Callable[..., Path], write_fasta: Callable[..., Path], write_vcf: Callable[..., Path], load_vcf: Any
) -> None:
    fasta = write_fasta({"20": "GGCACACAT" + "G" * 100})
    load_vcf(grch37, write_vcf("20 7 . CA C . . ."), reference=fasta)
    load(grch37, write("#CHROM\tPOS\tREF\tALT\tscore\n20\t4\tACA\tA\t1\n20\t7\tCAT\tCT\t5\n"), assembly="GRCh37")
    assert stored(grch37)[0][:4] == (20, 2, "GCA", "G")
    ((key,),) = grch37.execute("SELECT variant_key FROM variant")
    assert grch37.execute("SELECT value FROM variant_score WHERE variant_key = %s", (key,)).fetchall() == [(5.0,)]


def test_what_is_no_number_is_rejected_and_what_is_missing_is_counted(grch37: Conn, write: Callable[..., Path]) -> None:
    rows = ["A\tC\t.", "A\tG\tnan", "A\tT\tinf", "C\tA\thigh", "C\tG\t", "C\tT\t1e-3"]
    path = write("chrom\tpos\tref\talt\tmy\n" + "".join(f"20\t{1000000 + n}\t{row}\n" for n, row in enumerate(rows)))
    outcome = load(grch37, path, assembly="GRCh37")
    assert isinstance(outcome, Outcome)
    assert [row[1] for row in stored(grch37)] == [1000005]
    assert outcome.load.reasons == {"score that is not a finite number": 3}
    assert outcome.load.skipped == {"no value": 2}
    rejects = path.with_name("some.tsv.rejects.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in rejects[1:]] == ["3", "4", "5"]


def test_the_first_of_repeated_scores_stands_within_a_chunk_and_across(
    grch37: Conn, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loaders.scores.CHUNK_ROWS", 3)
    rows = [(3, "A"), (3, "A"), (5, "A"), (4, "A"), (3, "A"), (5, "T"), (5, "A")]
    path = write("chrom\tpos\tref\talt\tx\ty\n" + "".join(f"20\t{p}\tC\t{a}\t{n}\t{-n}\n" for n, (p, a) in enumerate(rows)))
    outcome = load(grch37, path, columns=["x", "y"], assembly="GRCh37")
    assert isinstance(outcome, Outcome)
    assert [(row[1], row[3], row[4], row[5]) for row in stored(grch37)] == [
        (3, "A", "x", 0), (3, "A", "y", 0), (4, "A", "x", 3), (4, "A", "y", -3), (5, "A", "x", 2), (5, "A", "y", -2), (5, "T", "x", 5), (5, "T", "y", -5),
    ]  # fmt: skip
    told = [line.split("\t")[:3] for line in path.with_name("some.tsv.rejects.tsv").read_text().splitlines()[1:]]
    assert told == [
        ["3", "repeated record", "the same variant as line 2 after normalisation"],
        ["6", "repeated record", "the same variant as an earlier line after normalisation"],
        ["8", "repeated record", "the same variant as an earlier line after normalisation"],
    ]


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("20\t1\tA\tC\t5\n", {}, "no header"),
        ("chrom\tpos\tref\talt\tx\ty\n20\t1\tA\tC\t5\t6\n", {}, "several columns"),
        (CADD, {"columns": ["CADD"]}, "no column 'CADD'"),
        (CADD, {"names": ["a", "b"]}, "2 names for 1 scores"),
        ("chrom\tpos\tref\talt\tx\n20\t1\tA\tC\t5\n", {}, "nothing in the file tells its assembly"),
        (CADD.replace("GRCh37", "GRCh38"), {}, "it is of GRCh38"),
        ("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n", {"assembly": "GRCh37"}, "this is a VCF"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    grch37: Conn, write: Callable[..., Path], text: str, options: dict, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        load(grch37, write(text), **options)
    assert release.loads(grch37) == []


def test_info_keys_of_a_vcf_are_scores_of_each_alt(grch37: Conn, write_vcf: Callable[..., Path]) -> None:
    header = (
        '##INFO=<ID=REVEL,Number=A,Type=Float,Description="how bad">\n##INFO=<ID=PHYLOP,Number=1,Type=Float,Description="of the site">\n'
        '##INFO=<ID=AD,Number=R,Type=Integer,Description="">'
    )
    path = write_vcf(
        "20 100 . A G,*,T . . REVEL=0.1,.,0.3;PHYLOP=2.5;AD=9,1,2,3",
        "20 101 . C T . . XREVEL=5",
        "20 102 . C T . . REVEL=1,2",
        header=header,
    )
    outcome = load(grch37, path, info=["REVEL", "PHYLOP", "AD"], names=["REVEL", "phyloP", "depth"])
    assert isinstance(outcome, Outcome)
    assert stored(grch37) == [
        (20, 100, "A", "G", "REVEL", 0.1), (20, 100, "A", "G", "phyloP", 2.5), (20, 100, "A", "G", "depth", 1),
        (20, 100, "A", "T", "REVEL", 0.3), (20, 100, "A", "T", "phyloP", 2.5), (20, 100, "A", "T", "depth", 3),
    ]  # fmt: skip
    assert outcome.load.reasons == {"not one value for each ALT": 1}
    assert outcome.load.skipped == {"no variant: *": 1, "no value": 3}


def test_an_info_key_that_is_not_there_is_refused_with_those_that_are(grch37: Conn, write_vcf: Callable[..., Path]) -> None:
    path = write_vcf("20 100 . A G . . REVEL=1", header='##INFO=<ID=REVEL,Number=A,Type=Float,Description="">')
    with pytest.raises(InputError, match=r"no INFO key 'CADD'[^$]*REVEL"):
        load(grch37, path, info=["CADD"])


def test_scores_that_were_cut_off_are_completed_by_the_next_run(
    grch37: Conn, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loaders.scores.CHUNK_ROWS", 2)
    path = write("chrom\tpos\tref\talt\tx\n" + "".join(f"20\t{n}\tC\tA\t{n}\n" for n in range(1, 8)))
    job, read = scores_job(grch37, [path], assembly="GRCh37")
    begun = begin(grch37, dataset=job.dataset, kind=job.kind, version=None, files=job.files, options=job.options)
    chunks = read(0, 0)
    for _ in range(2):
        begun.write(0, next(chunks), lambda rejects: None)
    release.unlock_load(grch37, begun.load_id)
    assert len(stored(grch37)) == 4
    outcome = load(grch37, path, assembly="GRCh37")
    assert isinstance(outcome, Outcome)
    assert [row[5] for row in stored(grch37)] == [1, 2, 3, 4, 5, 6, 7]
    assert outcome.load.counts["records"] == 7


def test_rejects_fill_chunks_as_rows_do(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.scores.CHUNK_ROWS", 3)
    path = write("chrom\tpos\tref\talt\tx\n" + "20\t0\tC\tA\t1\n" * 7 + "20\t1\tC\tA\t1\n")
    chunks = list(read_table(path, layout(path), [Score("x", None, "x")], Normalizer(GRCH37, None)))
    assert [(chunk.records, len(chunk.rejects), chunk.end) for chunk in chunks] == [(3, 3, 4), (3, 3, 7), (2, 1, 9)]


def test_the_scores_of_a_file_without_rows_are_named_once(write: Callable[..., Path], write_vcf: Callable[..., Path]) -> None:
    table, vcf = write("chrom\tpos\tref\talt\tx\n"), write_vcf(header='##INFO=<ID=x,Number=A,Type=Float,Description="">')
    named, normalizer = [Score("x", None, "x")], Normalizer(GRCH37, None)
    for read in (partial(read_table, table, layout(table)), partial(read_vcf, vcf)):
        (chunk,) = read(named, normalizer)
        assert list(chunk.tables) == ["score"]
        assert not list(read(named, normalizer, after=chunk.end))


@pytest.mark.requires_real
def test_a_real_vcf_scores_as_another_library_reads_it(grch38: Conn, real: Path, tmp_path: Path) -> None:
    path = tmp_path / "gnomad.vcf.gz"
    path.symlink_to(real / "formats/gnomad.genomes.v3.1.sample.grch38.vcf.gz")
    load(grch38, path, info=["cadd_phred"], names=["CADD"], unnormalized=True, assembly="GRCh38")
    expected = {}
    for v in cyvcf2.VCF(str(path)):
        if (value := v.INFO.get("cadd_phred")) is not None and len(v.REF) == len(v.ALT[0]) == 1:
            expected[v.CHROM, v.POS, v.REF, v.ALT[0]] = value
    found = {(f"chr{c}", p, r, a): value for c, p, r, a, _, value in stored(grch38) if len(r) == len(a) == 1}
    assert found == pytest.approx(expected)
    assert expected


@pytest.mark.requires_real
def test_the_published_alphamissense_layout_is_read_whole(grch38: Conn, real: Path, tmp_path: Path) -> None:
    path = tmp_path / "AlphaMissense_hg38.tsv"
    path.symlink_to(real / "formats/AlphaMissense_hg38.head6.tsv")
    load(grch38, path)
    rows = [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#")]
    assert {row[5] for row in stored(grch38)} == {float(row[8]) for row in rows}
    assert len(stored(grch38)) == len(rows)
    assert grch38.execute("SELECT min(variant_key) FROM variant_score").fetchone() == (encode_one(1, 69094, "G", "A"),)


def test_a_compressed_file_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "some.tsv.gz"
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(InputError, match=r"some[.]tsv[.]gz: no header with the columns of a variant"):
        layout(path)


def test_columns_and_comments_have_limits(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=":1: 10,004 columns"):
        layout(write("chrom\tpos\tref\talt" + "".join(f"\tc{n}" for n in range(10_000)) + "\n"))
    with pytest.raises(InputError, match=r":\d+: comments of more than 1,048,576 characters"):
        layout(write("# comment\n" * 120_000))
