"""Variant-to-function files: literal files in, rows out, repeats, rejects, refusals, and every real file against an independent reading."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loaders.annotation_job import genes_job
from loaders.errors import InputError, LoaderError
from loaders.normalize import Normalizer
from loaders.run import Outcome, ingest, summary
from loaders.v2f import Reader
from loaders.v2f_job import count_unknown, v2f_job
from loaders.v2f_layout import layout
from store import release
from store.assembly import GRCH38
from store.errors import StoreError
from store.load import AlreadyLoaded, begin
from store.release import unlock_load
from store.v2f_load import unknown_targets
from store.variant_key import encode_one

Conn = psycopg.Connection[Any]
Write = Callable[..., Path]

CV2F = "CHR\tBP\tSNP\tCM\tcV2F\n1\t17117119\trs116308950\t0\t0.448234584927559\n20\t100\t.\t0\t0.5\nchr20\t100\trs7\t0\t1\n"
PORTAL = """#chr\tstart\tend\tname\tclass\tTargetGene\tTargetGeneEnsemblID\tTargetGeneTSS\tisSelfPromoter\tCellType\tdistanceToTSS.Feature\tScore
chr20\t1118198\t1119119\tchr20:1118198-1119119\tpromoter\tLOC105372493\tNA\t1118448\tTRUE\tMCF-7\t210.5\t0.98
chr20\t1118198\t1119119\t.\tgenic\tPSMF1\tENSG00000125818.18\t1118592\tFALSE\tMCF-7\t66.5\t0.2
"""
ABC = "chr\tstart\tend\tTargetGene\tABC.Score\n"
TABLE = "variant\tscore\tgene\tgene_id\tcell_type\ttissue\tpercentile\tevidence\tcomponents\tcomponent:ATAC\n"


def load(conn: Conn, *paths: Path, **options: Any) -> Outcome | AlreadyLoaded:
    """Loads files as `vkg load v2f` does, GRCh38 unless told otherwise."""
    job, read = v2f_job(conn, paths, **{"assembly": "GRCh38", **options})
    return ingest(conn, job, read)


def loaded(conn: Conn, *paths: Path, **options: Any) -> Outcome:
    outcome = load(conn, *paths, **options)
    assert isinstance(outcome, Outcome)
    return outcome


SCORES = "locus, by_allele, rsid, score, percentile, gene_id, gene, cell_type, tissue, components, evidence"
ELEMENTS = "chrom, start_pos, end_pos, name, class, gene_id, gene, cell_type, tissue, score, distance_to_tss, self_promoter"


def stored(conn: Conn, table: str, columns: str) -> list[tuple]:
    """Rows of a table in the order of the files."""
    return conn.execute(f"SELECT {columns} FROM {table} ORDER BY load_id, file, line{', part' * (table == 'v2f_score')}").fetchall()


def rejects(path: Path) -> list[list[str]]:
    """(line, reason, detail) of each reject of a file."""
    return [line.split("\t")[:3] for line in path.with_name(f"{path.name}.rejects.tsv").read_text().splitlines()[1:]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: write(text, name="some.tsv"), compressed where its name says so."""

    def write(text: str, name: str = "some.tsv") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


def position(chrom: int, pos: int) -> int:
    """The lowest signed key at a 1-based position."""
    return (chrom << 59 | (pos - 1) << 31) - (1 << 63)


def test_cv2f_is_stored_as_published(grch38: Conn, write: Write) -> None:
    outcome = loaded(grch38, write(CV2F, "chr.cv2f.txt"), source="cv2f", score_version="1", dataset="cv2f", version="2024")
    assert (outcome.load.dataset, outcome.load.version, outcome.release is not None) == ("cv2f", "2024", True)
    assert grch38.execute("SELECT source, score_version, threshold, synthetic FROM v2f_run").fetchall() == [("cv2f", "1", None, False)]
    assert stored(grch38, "v2f_score", "locus, by_allele, rsid, score, gene, cell_type, tissue") == [
        (position(1, 17117119), False, 116308950, 0.448234584927559, None, None, None),
        (position(20, 100), False, None, 0.5, None, None, None),
        (position(20, 100), False, 7, 1, None, None, None),
    ]
    assert grch38.execute("SELECT count(*) FROM variant").fetchone() == (0,)


def test_a_line_has_a_score_for_each_tissue(grch38: Conn, write: Write) -> None:
    path = write("CHR\tBP\tSNP\tCM\tcV2F\tLiver.cV2F\tBlood.cV2F\n20\t5\trs1\t0\t0.1\t0.2\t0.2\n20\t6\trs2\t0\tNA\t0.3\t2\n")
    outcome = loaded(grch38, path, source="cv2f", tissue="any")
    assert stored(grch38, "v2f_score", "line, part, tissue, score") == [
        (2, 0, "any", 0.1), (2, 1, "Liver", 0.2), (2, 2, "Blood", 0.2), (3, 1, "Liver", 0.3),
    ]  # fmt: skip
    assert (outcome.load.skipped, outcome.load.reasons) == ({"no score": 1}, {"score that is not a number from 0 to 1": 1})


def test_elements_are_one_based_and_inclusive(grch38: Conn, write: Write) -> None:
    outcome = loaded(grch38, write(PORTAL, "e.bed.gz"), source="encode-re2g")
    assert stored(grch38, "v2f_element", ELEMENTS) == [
        (20, 1118199, 1119119, "chr20:1118198-1119119", "promoter", None, "LOC105372493", "MCF-7", None, 0.98, 210, True),
        (20, 1118199, 1119119, None, "genic", "ENSG00000125818", "PSMF1", "MCF-7", None, 0.2, 66, False),
    ]
    assert grch38.execute("SELECT DISTINCT length_class FROM v2f_element").fetchall() == [((1119119 - 1118199).bit_length(),)]
    assert grch38.execute("SELECT source, threshold FROM v2f_run").fetchall() == [("encode-re2g", 0.243)]
    count_unknown(grch38, outcome)
    assert "  odd: 2 target genes that no visible annotation has" in list(summary(outcome))


def test_of_target_genes_those_are_known_that_an_annotation_has_by_identifier_or_by_symbol(grch38: Conn, write: Write) -> None:
    gtf = write('20\tx\tgene\t1\t9\t.\t+\t.\tgene_id "ENSG00000000001"; gene_name "Psmf1";\n', "genes.gtf")
    ingest(grch38, *genes_job(grch38, gtf, assembly="GRCh38"))
    outcome = loaded(grch38, write(PORTAL), source="encode-re2g")
    count_unknown(grch38, outcome)
    assert outcome.load.warnings == {"target genes that no visible annotation has": 1}


def test_a_target_gene_that_is_written_by_an_alias_is_known(grch38: Conn, write: Write) -> None:
    outcome = loaded(grch38, write(ABC + "20\t1\t2\tpi31\t0.5\n20\t1\t2\tPI32\t0.5\n"), source="abc")
    assert unknown_targets(grch38, outcome.load.load_id) == 2
    gtf = write('20\tx\tgene\t1\t9\t.\t+\t.\tgene_id "9491"; gene "PSMF1"; gene_synonym "PI31";\n', "genes.gtf")
    ingest(grch38, *genes_job(grch38, gtf, assembly="GRCh38"))
    assert unknown_targets(grch38, outcome.load.load_id) == 1


@pytest.mark.parametrize(("source", "published"), [("abc", 0.027), ("encode-re2g", 0.243), ("sce2g", 0.177), ("epiraction", None)])
@pytest.mark.parametrize("given", [None, 0.5])
def test_the_threshold_is_the_published_one_unless_given(grch38: Conn, write: Write, source: str, published: float, given: float) -> None:
    path = write(
        "chr\tstart\tend\tTargetGene\tScore\n20\t1\t2\tA\t0.1\n"
        if source != "sce2g"
        else "chr\tstart\tend\tTargetGene\tE2G.Score.qnorm\n20\t1\t2\tA\t0.1\n"
    )
    loaded(grch38, path, source=source, threshold=given)
    assert grch38.execute("SELECT threshold FROM v2f_run").fetchone() == (published if given is None else given,)


def test_cell_types_of_the_file_go_before_the_one_given(grch38: Conn, write: Write) -> None:
    path = write("chr\tstart\tend\tTargetGene\tCellType\tABC.Score\n20\t1\t2\tA\tK562\t0.1\n20\t1\t2\tA\tNA\t0.1\n")
    loaded(grch38, path, source="abc", cell_type="HepG2", tissue="liver")
    assert stored(grch38, "v2f_element", "cell_type, tissue") == [("K562", "liver"), ("HepG2", "liver")]


def test_a_table_names_variants_in_any_way_and_has_all_columns(grch38: Conn, write: Write) -> None:
    rows = [
        'chr20-100-a-G\t-3.5\tSIRPA\tENSG00000198053.11\tmacrophage\tblood\t99.5\teQTL; Hi-C;\t{"Hi-C": 0.25, "n": null}\t0.10',
        "20:100:A:C\t2\t\tNA\t.\t\t\t\t\t",
        "NC_000020.11:99:A:T\t1e3\t\t\t\t\t\t\t\tnan",
    ]
    loaded(grch38, write("# synthetic scores\n" + TABLE + "".join(f"{row}\n" for row in rows)), source="table", threshold=2)
    first, second, third = stored(grch38, "v2f_score", SCORES)
    assert first[:9] == (encode_one(20, 100, "A", "G"), True, None, -3.5, 99.5, "ENSG00000198053", "SIRPA", "macrophage", "blood")
    assert first[9:] == ({"Hi-C": 0.25, "n": None, "ATAC": 0.1}, ["eQTL", "Hi-C"])
    assert second == (encode_one(20, 100, "A", "C"), True, None, 2.0, *[None] * 7)
    assert third == (encode_one(20, 100, "A", "T"), True, None, 1000.0, *[None] * 5, {"ATAC": "nan"}, None)
    assert grch38.execute("SELECT source, threshold, synthetic FROM v2f_run").fetchone() == ("table", 2, True)


def test_parquet_is_read_as_text_is(grch38: Conn, tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    columns = {
        "chrom": ["chr20", "20"],
        "pos": [100, 101],
        "ref": ["A", "C"],
        "alt": ["G", "T"],
        "score": pa.array([0.1, 0.3], pa.float32()),
        "evidence": [["eQTL", "Hi-C"], None],
        "components": [{"a": 1.5, "b": None}, {"a": None, "b": 2.0}],
        "component:c": [7, None],
        "synthetic": [True, True],
    }
    pq.write_table(pa.table(columns), path)
    loaded(grch38, path, source="table")
    found = stored(grch38, "v2f_score", "line, locus, score, components, evidence")
    assert [(row[0], row[1], row[3], row[4]) for row in found] == [
        (1, encode_one(20, 100, "A", "G"), {"a": 1.5, "c": 7}, ["eQTL", "Hi-C"]),
        (2, encode_one(20, 101, "C", "T"), {"b": 2.0}, None),
    ]
    assert [row[2] for row in found] == pytest.approx([0.1, 0.3])
    assert grch38.execute("SELECT synthetic FROM v2f_run").fetchone() == (True,)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged"):
        load(grch38, path, source="table")


def test_an_indel_of_a_table_has_the_key_of_the_variant_that_a_vcf_makes_of_it(
    grch37: Conn, write: Write, write_fasta: Write, write_vcf: Write, load_vcf: Any
) -> None:
    fasta = write_fasta({"20": "GGCACACAT" + "G" * 100})
    load_vcf(grch37, write_vcf("20 7 . CA C . . ."), reference=fasta)
    outcome = loaded(grch37, write("chrom\tpos\tref\talt\tscore\n20\t7\tCAT\tCT\t5\n20\t7\tGAT\tG\t5\n"), source="table", assembly="GRCh37")
    assert outcome.load.reasons == {"REF differs from the reference": 1}
    assert grch37.execute("SELECT locus FROM v2f_score").fetchall() == grch37.execute("SELECT variant_key FROM variant").fetchall()


def test_the_first_of_repeated_scores_stands_within_a_chunk_and_across(grch38: Conn, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.v2f.CHUNK_ROWS", 3)
    monkeypatch.setattr("loaders.source.BLOCK", 24)
    rows = [(3, "rs1"), (3, "rs1"), (5, "."), (4, "rs1"), (3, "rs1"), (5, "x"), (3, "rs2"), (5, "rs9")]
    path = write("CHR\tBP\tSNP\tcV2F\n" + "".join(f"20\t{pos}\t{rsid}\t0.{n}\n" for n, (pos, rsid) in enumerate(rows)))
    other = write("CHR\tBP\tSNP\tcV2F\n20\t5\t.\t0.7\n", "other.tsv")
    loaded(grch38, path, other, source="cv2f")
    assert stored(grch38, "v2f_score", "line, score") == [(2, 0.0), (4, 0.2), (5, 0.3), (8, 0.6), (9, 0.7)]
    assert rejects(path) == [[n, "repeated record", f"the same as line {first}"] for n, first in (("3", 2), ("6", 2), ("7", 4))]
    assert rejects(other) == [["2", "repeated record", "the same as line 4 of file 1"]]


def test_the_first_of_repeated_links_stands_within_a_chunk_and_across(grch38: Conn, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.v2f.CHUNK_ROWS", 2)
    monkeypatch.setattr("loaders.source.BLOCK", 24)
    rows = ["9\t20\tA", "9\t20\tA", "9\t20\tB", "30\t40\tA", "9\t20\tB", "9\t21\tB", "30\t40\tA"]
    path = write(ABC + "".join(f"chr20\t{row}\t0.{n}\n" for n, row in enumerate(rows)))
    loaded(grch38, path, source="abc")
    assert [n for (n,) in stored(grch38, "v2f_element", "line")] == [2, 4, 5, 7]
    assert rejects(path) == [[n, "repeated record", f"the same as line {first}"] for n, first in (("3", 2), ("6", 4), ("8", 5))]


def test_a_load_that_was_cut_off_goes_on_and_knows_its_rows(grch38: Conn, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.v2f.CHUNK_ROWS", 2)
    monkeypatch.setattr("loaders.source.BLOCK", 24)
    rows = [f"20\t{pos}\t{pos + 5}\tA\t0.5\n" for pos in (1, 2, 3, 2, 4, 1)]
    path = write(ABC + "".join(rows))
    job, read = v2f_job(grch38, [path], source="abc", assembly="GRCh38")
    begun = begin(grch38, dataset=job.dataset, kind=job.kind, version=None, files=job.files, options=job.options)
    assert not isinstance(begun, AlreadyLoaded)
    begun.write(0, next(read(0, 0)), lambda found: None)
    unlock_load(grch38, begun.load_id)
    outcome = loaded(grch38, path, source="abc")
    assert outcome.load.load_id == begun.load_id
    assert [n for (n,) in stored(grch38, "v2f_element", "line")] == [2, 3, 4, 6]
    assert rejects(path) == [["5", "repeated record", "the same as line 3"], ["7", "repeated record", "the same as line 2"]]
    assert grch38.execute("SELECT count(*) FROM v2f_run").fetchone() == (1,)


def test_rejects_fill_chunks_as_rows_do(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.v2f.CHUNK_ROWS", 3)
    path = write(ABC + "20\t9\t9\tA\t0.5\n" * 7 + "20\t1\t9\tA\t0.5\n")
    chunks = list(Reader(path, layout(path, "abc"), "abc", Normalizer(GRCH38, None)).read())
    assert [(chunk.records, len(chunk.rejects), chunk.end) for chunk in chunks] == [(3, 3, 4), (3, 3, 7), (2, 1, 9)]


def test_the_same_file_again_is_a_no_op_and_is_taken_out_as_a_whole(grch38: Conn, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(PORTAL)
    outcome = loaded(grch38, path, source="encode-re2g", dataset="e2g", version="1")
    assert isinstance(load(grch38, path, source="encode-re2g", dataset="e2g"), AlreadyLoaded)
    with pytest.raises(StoreError):
        load(grch38, path, source="encode-re2g", dataset="e2g", version="1", threshold=0.5)
    release.unload(grch38, outcome.load.load_id)
    monkeypatch.setattr(release, "LONGEST_REQUEST", "0 seconds")
    release.purge(grch38)
    counted = [grch38.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("v2f_run", "v2f_element")]
    assert counted == [(0,), (0,)]


BAD_LINKS = [
    ("chr20\t9\t9\tA\t0.5", "start that is not before end"),
    ("chr20\t9\t5\tA\t0.5", "start that is not before end"),
    ("chr20\t-1\t5\tA\t0.5", "POS is not a position"),
    ("chrUn_1\t1\t5\tA\t0.5", "contig outside 1-22, X, Y, MT"),
    ("chr20\t1\t5\tA\tnan", "score that is not a number from 0 to 1"),
    ("chr20\t1\t5\tA\t1.01", "score that is not a number from 0 to 1"),
    ("chr20\t1\t5\tA\t-0.1", "score that is not a number from 0 to 1"),
    ("chr20\t1\t5\tA\thigh", "score that is not a number from 0 to 1"),
    ("chr20\t1\t5\tNA\t0.5", "no target gene"),
    ("chr20\t1\t5\tA", "too few columns"),
    (f"chr20\t1\t5\t{'A' * 501}\t0.5", "name that is too long"),
]


def test_bad_links_are_rejected_by_line(grch38: Conn, write: Write) -> None:
    path = write(ABC + "".join(f"{row}\n" for row, _ in BAD_LINKS) + "chr20\t0\t5\tA\t0\n")
    outcome = loaded(grch38, path, source="abc")
    assert [row[:2] for row in rejects(path)] == [[str(n), reason] for n, (_, reason) in enumerate(BAD_LINKS, 2)]
    assert stored(grch38, "v2f_element", "start_pos, end_pos, score") == [(1, 5, 0)]
    assert outcome.load.counts["records"] == len(BAD_LINKS) + 1


def test_bad_scores_are_rejected_by_line(grch38: Conn, write: Write) -> None:
    rows = [
        ("20-100-A-G\t.\t\t", None),
        ("20-100-A-G\tinf\t\t", "score that is not a finite number"),
        ("20-100-A-G\t1\t100.5\t", "percentile that is not a number from 0 to 100"),
        ("20-100-A-G\t1\t\t[1]", "components that are not a JSON object"),
        ('20-100-A-G\t1\t\t{"a": NaN}', "components that are not a JSON object"),
        ("rs7\t1\t\t", "variant that is not CHROM-POS-REF-ALT"),
        ("20-100-A\t1\t\t", "variant that is not CHROM-POS-REF-ALT"),
        ("20-99999999-A-G\t1\t\t", "variant that is not CHROM-POS-REF-ALT"),
        ("20-100-A-AT\t1\t\t", "indel where there is no reference sequence"),
    ]
    path = write("variant\tscore\tpercentile\tcomponents\n" + "".join(f"{row}\n" for row, _ in rows) + "20-100-A-G\t1\t0\t{}\n")
    outcome = loaded(grch38, path, source="table")
    assert [row[:2] for row in rejects(path)] == [[str(n), reason] for n, (_, reason) in enumerate(rows, 2) if reason]
    assert (outcome.load.skipped, outcome.load.counts["v2f_score"]) == ({"no score": 1}, 1)
    other = write(CV2F + "20\t64444168\trs1\t0\t0.5\n20\tx\trs1\t0\t0.5\n", "c.tsv")
    assert loaded(grch38, other, source="cv2f").load.reasons == {"position beyond the contig": 1, "POS is not a position": 1}


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        (ABC, {"source": "fantom"}, "unknown source 'fantom'"),
        (ABC, {"source": "sce2g"}, "its columns are those of abc, not of sce2g"),
        (ABC.replace("ABC.Score", "ABC.Score\tENCODE-rE2G.Score"), {"source": "abc"}, "those of encode-re2g, not of abc"),
        (CV2F, {"source": "abc"}, "those of cv2f, not of abc"),
        (PORTAL.replace("distanceToTSS.F", "ABCScoreDNaseOnly.F"), {"source": "epiraction"}, "those of encode-re2g"),
        ("chr\tstart\tTargetGene\tx\n", {"source": "abc"}, "no column end, abc.score\n.*have chr start end TargetGene ABC.Score"),
        ("CHR\tBP\tcV2F\n", {"source": "cv2f"}, "no column snp"),
        ("CHR\tBP\tSNP\tCM\n", {"source": "cv2f"}, "no column cv2f"),
        ("chrom\tpos\tref\tscore\n", {"source": "table"}, "no column alt"),
        ("variant\tvalue\n", {"source": "table"}, "no column score"),
        ("# nothing\n", {"source": "table"}, "no header"),
        (ABC, {"source": "abc", "assembly": None}, "nothing in the file tells its assembly"),
        (ABC, {"source": "abc", "assembly": "GRCh37"}, "the store holds GRCh38"),
        ("# of hg19\n" + ABC, {"source": "abc"}, "it is of GRCh37"),
        (ABC + "20\t64444160\t64444168\tA\t0.5\n", {"source": "abc"}, ":2: position 64444168 lies beyond the end"),
        (ABC, {"source": "abc", "threshold": math.nan}, "--threshold is nan"),
        (ABC, {"source": "abc", "threshold": 2}, "not between 0 and 1"),
        (ABC, {"source": "abc", "reference": Path("x.fa")}, "name no alleles"),
        (ABC + "20\t5\t5\tA\t0.5\n", {"source": "abc"}, "nothing of it could be loaded"),
        (ABC + "20\t5\t5\tA\t0.5\n20\t1\t5\tA\t0.5\n", {"source": "abc", "strict": True}, ":2: start that is not before end"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_leaves_nothing(grch38: Conn, write: Write, text: str, options: dict, told: str) -> None:
    with pytest.raises((InputError, LoaderError), match=told):
        load(grch38, write(text), **options)
    assert [grch38.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("v2f_run", "v2f_element", "v2f_score")] == [(0,)] * 3


def test_bedpe_and_cut_off_files_are_refused(grch38: Conn, write: Write) -> None:
    with pytest.raises(InputError, match=r"BEDPE.*\n.*EnhancerPredictions"):
        load(grch38, write("chr22\t1\t2\n", "EnhancerPredictionsFull.bedpe.gz"), source="abc")
    path = write(PORTAL * 2000, "e.bed.gz")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="cut off"):
        load(grch38, path, source="encode-re2g")


def test_positions_of_another_assembly_are_found_by_their_rsids(grch38: Conn, write: Write, write_vcf: Write, load_vcf: Any) -> None:
    vcf = write_vcf(*(f"20 {1000 * n} rs{n} A G . . ." for n in range(1, 20)))
    vcf.write_text(vcf.read_text().replace("GRCh37", "GRCh38"))
    load_vcf(grch38, vcf)
    path = write("CHR\tBP\tSNP\tcV2F\n" + "".join(f"20\t{1000 * n + 6000000}\trs{n}\t0.5\n" for n in range(1, 20)))
    with pytest.raises(InputError, match="in the store elsewhere"):
        load(grch38, path, source="cv2f")


@pytest.mark.parametrize(
    ("text", "synthetic"),
    [
        (ABC, False),
        ("# synthetic\n" + ABC, True),
        ("#Synthetic: made by hand\n" + ABC, True),
        (ABC.replace("chr", "synthetic\tchr"), True),
    ],
)
def test_a_file_that_says_that_it_is_synthetic_is(grch38: Conn, write: Write, text: str, synthetic: bool) -> None:
    row = "1\t20" if "synthetic\t" in text else "20"
    loaded(grch38, write(f"{text}{row}\t1\t5\tA\t0.5\n"), source="abc")
    assert grch38.execute("SELECT synthetic FROM v2f_run").fetchone() == (synthetic,)


# ---- real files

ABC_FILES = [
    f"chr22_grch38/abc.K562_chr22.{name}.tsv.gz"
    for name in (
        "EnhancerPredictionsAllPutative.ForVariantOverlap.shrunk150bp",
        "EnhancerPredictionsFull_threshold0.027_self_promoter",
        "EnhancerPredictions_threshold0.027_self_promoter",
    )
]
REAL_LINKS = [
    *((name, "abc", "ABC.Score", rows) for name, rows in zip(ABC_FILES, (2748, 1353, 1353), strict=True)),
    ("chr22_grch38/encode_re2g.K562_chr22.threshold0.243.tsv.gz", "encode-re2g", "ENCODE-rE2G.Score", 7218),
    ("chr22_grch38/encode_re2g.ENCFF617FJH.MCF-7.chr22.hg38.bed.gz", "encode-re2g", "Score", 1177),
    ("chr20_grch38/encode_re2g.ENCFF617FJH.MCF-7.chr20.hg38.bed.gz", "encode-re2g", "Score", 110),
    ("chr22_grch38/sce2g.K562_cluster1_chr22p.multiome_powerlaw_v3.threshold0.177.tsv.gz", "sce2g", "E2G.Score.qnorm", 48),
    ("chr22_grch38/epiraction.ENCFF712SUP.chr22.hg38.bed.gz", "epiraction", "Score", 1921),
    ("chr20_grch38/epiraction.ENCFF712SUP.chr20.hg38.bed.gz", "epiraction", "Score", 130),
]


@pytest.mark.requires_real
@pytest.mark.parametrize(("name", "source", "column", "rows"), REAL_LINKS, ids=[name.split("/")[1][:30] for name, *_ in REAL_LINKS])
def test_real_links_are_stored_field_by_field(grch38: Conn, real: Path, name: str, source: str, column: str, rows: int) -> None:
    outcome = loaded(grch38, real / name, source=source)
    assert (outcome.load.counts["v2f_element"], outcome.load.counts["rejects"]) == (rows, 0)
    expected = []
    for row in csv.DictReader(gzip.decompress((real / name).read_bytes()).decode().splitlines(), delimiter="\t"):
        said = {key: None if value in ("NA", "") else value for key, value in row.items()}
        distance = next((said[n] for n in ("distance", "distanceToTSS", "distanceToTSS.Feature", "DistanceToTSS") if n in said), None)
        expected.append((
            int((said.get("chr") or said["#chr"])[3:]), int(said["start"]) + 1, int(said["end"]), said["name"], said.get("class"),
            said.get("TargetGeneEnsembl_ID") or said.get("TargetGeneEnsemblID"), said["TargetGene"], said["CellType"], None, float(said[column]),
            None if distance is None else int(float(distance)), {"TRUE": True, "FALSE": False, "NONE": None}[str(said.get("isSelfPromoter")).upper()],
        ))  # fmt: skip
    assert stored(grch38, "v2f_element", ELEMENTS) == expected
    assert stored(grch38, "v2f_element", "line") == [(n,) for n in range(2, rows + 2)]


@pytest.mark.requires_real
def test_real_cv2f_is_stored_field_by_field(grch38: Conn, real: Path) -> None:
    path = real / "genome_wide/fungen_ad_cv2f.hg38.dey_lab_layout.cv2f.txt"
    assert loaded(grch38, path, source="cv2f").load.counts["v2f_score"] == 69
    lines = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    expected = [(position(int(chrom), int(pos)), False, int(rsid[2:]), float(score)) for chrom, pos, rsid, _, score in lines]
    assert stored(grch38, "v2f_score", "locus, by_allele, rsid, score") == expected


def test_a_parquet_file_whose_texts_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    pq.write_table(
        pa.table({"variant": ["20-1000226-A-T"], "score": [0.5], "gene": ["SIRPA_HERE"]}), path, compression="none", use_dictionary=False
    )
    path.write_bytes(path.read_bytes().replace(b"SIRPA_HERE", b"SIRPA\xffHERE"))
    with pytest.raises(InputError, match="the file is damaged: 'utf-8' codec"):
        list(Reader(path, layout(path, "table"), "table", Normalizer(GRCH38, None)).read())


def test_columns_and_comments_have_limits(tmp_path: Path) -> None:
    path = tmp_path / "some.tsv"
    path.write_text("CHR\tBP\tSNP" + "".join(f"\tt{n}.cV2F" for n in range(10_000)) + "\n")
    with pytest.raises(InputError, match=":1: 10,003 columns"):
        layout(path, "cv2f")
    path.write_text("# comment\n" * 150_000)
    with pytest.raises(InputError, match="comments of more than 1,048,576 characters"):
        layout(path, "cv2f")


@pytest.mark.parametrize("said", ['{"a": -1e400}', '{"a": "\\ud800"}', '{"\\udc00": 1}'])
def test_components_that_cannot_be_stored_are_rejected(tmp_path: Path, said: str) -> None:
    path = tmp_path / "some.tsv"
    path.write_text(f"variant\tscore\tcomponents\n20-1000226-A-T\t0.5\t{said}\n")
    (chunk,) = Reader(path, layout(path, "table"), "table", Normalizer(GRCH38, None)).read()
    assert [reject.reason for reject in chunk.rejects] == ["components that are not a JSON object"]


def test_evidence_of_a_parquet_file_with_a_zero_byte_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    pq.write_table(pa.table({"variant": ["20-1000226-A-T"], "score": [0.5], "evidence": [["eQ\0TL"]]}), path)
    (chunk,) = Reader(path, layout(path, "table"), "table", Normalizer(GRCH38, None)).read()
    assert [(reject.reason, reject.detail) for reject in chunk.rejects] == [("zero byte", "evidence")]
