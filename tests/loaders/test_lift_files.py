"""Annotation files of the other assembly: what is lifted, turned and rejected, refused files, and real files against their published lift-over."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pysam
import pytest

from loaders.annotation_job import scores_job
from loaders.errors import InputError
from loaders.frequency_job import frequencies_job
from loaders.lift import read_lift
from loaders.run import Outcome, ingest
from loaders.v2f_job import v2f_job
from store.assembly import GRCH37, GRCH38
from store.load import AlreadyLoaded
from store.variant_key import decode
from tests.command_line import run
from tests.conftest import ROOT
from tests.loaders.test_lift import BOTH, NEW, chain

Conn = psycopg.Connection[Any]
CHAIN = ROOT / "tests" / "data" / "lift" / "grch37_to_grch38.chr20_0.9-4.1mb.chain"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file: write(text, name="some.chain"), compressed where its name says so."""

    def write(text: str, name: str = "some.chain") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


SCORES = "#CHROM\tPOS\tREF\tALT\tscore\n20\t201\tT\tA\t1\nchr20\t101\tc\tt\t2\n20\t202\tA\tT\t3\n20\t203\tG\tA\t4\n20\t300\tG\tA\t5\n"


def rejects(path: Path) -> list[tuple[str, str]]:
    """(line, reason) of each reject of a file."""
    lines = [line.split("\t") for line in path.with_name(f"{path.name}.rejects.tsv").read_text().splitlines()[1:]]
    return [(line[0], line[1]) for line in lines]


def loaded(outcome: Outcome | AlreadyLoaded) -> Outcome:
    assert isinstance(outcome, Outcome)
    return outcome


def test_scores_are_lifted_and_those_of_swapped_alleles_rejected(grch38: Conn, write: Any, write_fasta: Any) -> None:
    fasta, lift, path = write_fasta({"20": NEW}), write(BOTH), write(SCORES, "scores.tsv")
    outcome = loaded(ingest(grch38, *scores_job(grch38, [path], reference=fasta, lift=lift)))
    rows = grch38.execute("SELECT variant_key, value, source_locus FROM variant_score ORDER BY variant_key").fetchall()
    assert [(*decode(key), *said) for key, *said in rows] == [
        (20, 1, "T", "A", 1, "20:201:T:A"), (20, 3, "G", "A", 4, "20:203:G:A"), (20, 30, "G", "A", 2, "chr20:101:c:t"),
    ]  # fmt: skip
    assert rejects(path) == [("4", "REF and ALT are swapped in GRCh38"), ("6", "not in the chain file")]
    told = grch38.execute("SELECT options->'lift' FROM load WHERE load_id = %s", (outcome.load.load_id,)).fetchone()
    assert told == ({"from": "GRCh37", "chain": read_lift(lift, GRCH38).digest},)
    assert isinstance(ingest(grch38, *scores_job(grch38, [path], lift=lift)), AlreadyLoaded)


def test_without_a_lift_the_ledger_and_the_rows_have_none(grch38: Conn, write: Any, write_fasta: Any) -> None:
    path = write("#CHROM\tPOS\tREF\tALT\tscore\n20\t1\tT\tA\t1\n", "scores.tsv")
    loaded(ingest(grch38, *scores_job(grch38, [path], assembly="GRCh38", reference=write_fasta({"20": NEW}))))
    assert grch38.execute("SELECT value, source_locus FROM variant_score").fetchall() == [(1, None)]
    assert grch38.execute("SELECT options ? 'lift' FROM load").fetchall() == [(False,)]


@pytest.mark.parametrize("command", [["scores"], ["frequencies"], ["v2f", "--source", "table"]])
def test_the_commands_lift(grch38: Conn, store_url: str, write: Any, write_fasta: Any, command: list[str]) -> None:
    path = write("#chrom\tpos\tref\talt\t" + ("AF" if command == ["frequencies"] else "score") + "\n20\t203\tG\tA\t0.5\n", "in.tsv")
    options = ["--reference", str(write_fasta({"20": NEW})), "--lift", str(write(BOTH))]
    done = run(store_url, "load", *command, str(path), *options)
    assert done.code == 0, done.err
    table = {"scores": "variant_score", "frequencies": "population_frequency"}.get(command[0], "v2f_score")
    assert grch38.execute(f"SELECT source_locus FROM {table}").fetchall() == [("20:203:G:A",)]
    assert grch38.execute("SELECT options->'lift'->>'from' FROM load").fetchall() == [("GRCh37",)]


def test_scores_of_info_keys_are_lifted_too(grch38: Conn, write: Any, write_vcf: Any, write_fasta: Any) -> None:
    header = '##INFO=<ID=S,Number=A,Type=Float,Description="">'
    path = write_vcf("20 201 . T A,C . . S=1,2", "20 202 . A C,T . . S=3,4", "20 203 . G A . . S=5", header=header)
    loaded(ingest(grch38, *scores_job(grch38, [path], info=["S"], reference=write_fasta({"20": NEW}), lift=write(BOTH))))
    rows = grch38.execute("SELECT value, source_locus FROM variant_score ORDER BY value").fetchall()
    assert rows == [(1, "20:201:T:A"), (2, "20:201:T:C"), (5, "20:203:G:A")]
    assert rejects(path) == [("6", "REF differs from the reference"), ("6", "REF and ALT are swapped in GRCh38")]


FREQUENCIES = "".join(
    f'##INFO=<ID={key},Number={"1" if "AN" in key else "A"},Type={"Float" if "AF" in key else "Integer"},Description="">\n'
    for key in ("AF", "AC", "AN", "nhomalt", "AF_fin", "AF_grpmax", "AC_grpmax", "AN_grpmax")
)


def test_frequencies_of_swapped_alleles_are_turned(grch38: Conn, write: Any, write_vcf: Any, write_fasta: Any) -> None:
    said = "AC=3;AN=10;nhomalt=1;AF_fin=0.25;AC_grpmax=1;AN_grpmax=2;AF_grpmax=0.5"
    path = write_vcf(
        f"20 201 . T A . PASS {said}",
        f"20 202 . A T . PASS {said}",
        "20 203 . A C,G . . AF=0.1,0.2",
        "20 204 . C T,A . . AF=0.1,0.2",
        "20 205 . C A . . AC=12;AN=10",
        "20 206 . A C . . AF=0.1;AN=0",
        "20 207 . A C . . .",
        "20 208 . C A . . .",
        header=FREQUENCIES,
    )
    job, read = frequencies_job(grch38, [path], reference=write_fasta({"20": NEW}), lift=write(BOTH), namespace="")
    loaded(ingest(grch38, job, read))
    places = [name for (name,) in grch38.execute("SELECT population FROM frequency_population ORDER BY ordinal")]
    assert places == ["ALL", "fin", "grpmax"]
    rows = grch38.execute("SELECT variant_key, ac, an, af, hom, filter, source_locus FROM population_frequency ORDER BY variant_key")
    assert [(*decode(key)[1:], *told) for key, *told in rows] == [
        (1, "T", "A", [3, None, 1], [10, None, 2], [0.3, 0.25, 0.5], [1, None, None], ["PASS"], "20:201:T:A"),
        (2, "T", "A", [7, None, None], [10, None, None], [0.7, 0.75, None], None, ["PASS"], "20:202:A:T"),
        (4, "C", "A", None, None, [0.2, None, None], None, None, "20:204:C:A"),
        (4, "C", "T", None, None, [0.1, None, None], None, None, "20:204:C:T"),
        (5, "A", "C", None, [10, None, None], None, None, None, "20:205:C:A"),
        (6, "C", "A", None, [0, None, None], None, None, None, "20:206:A:C"),
    ]  # fmt: skip
    assert rejects(path) == [("14", "REF and ALT are swapped in GRCh38")]


def turned(conn: Conn) -> list[tuple]:
    """(pos, ref, alt, af, ac) of all frequencies."""
    rows = conn.execute("SELECT variant_key, af, ac FROM population_frequency ORDER BY variant_key").fetchall()
    return [(*decode(key)[1:], *((told or [None])[0] for told in said)) for key, *said in rows]


@pytest.mark.parametrize("rows", [1, 2, 50_000])
def test_of_alts_that_were_split_to_records_of_their_own_none_tells_of_the_ref(
    grch38: Conn, write: Any, write_vcf: Any, write_fasta: Any, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr("loaders.frequency_files.CHUNK_ROWS", rows)
    right = [f"20 {201 + n} . {base} {alt} . . AF=0.5" for n, base in enumerate(NEW) if n > 7 for alt in "ACGT" if alt != base]
    path = write_vcf(
        "20 201 . T C . . AC=1000;AN=5008",
        "20 202 . C T . . AC=2000;AN=5008",  # the reference has T
        "20 202 . C G . . AC=1000;AN=5008",
        "20 203 . G T . . AC=1;AN=10",
        "20 204 . G A . . AC=1;AN=10",
        "20 204 . GA G . . AC=1;AN=10",
        "20 204 . g c . . AC=2;AN=10",  # C
        "20 205 . C A . . AC=1;AN=10",  # A, and no other record has this REF
        "20 205 . CC C . . AC=1;AN=10",
        "20 206 . A C . . AC=3;AN=10",  # C, and no other ALT
        "20 206 . A . . . AC=1;AN=10",
        "20 206 . A .",
        "20 207 . C A . . AC=4;AN=10",  # A
        *right,
        header=FREQUENCIES,
    )
    outcome = loaded(ingest(grch38, *frequencies_job(grch38, [path], reference=write_fasta({"20": NEW}), lift=write(BOTH), namespace="")))
    assert [row[:3] + row[4:] for row in turned(grch38) if row[0] < 9] == [
        (1, "T", "C", 1000), (3, "G", "T", 1), (5, "A", "C", 9), (6, "C", "A", 7), (7, "A", "C", 6),
    ]  # fmt: skip
    assert rejects(path) == [
        ("13", "REF and ALT are swapped in GRCh38"),
        ("14", "REF differs from the reference"),
        ("16", "REF differs from the reference"),
        ("17", "REF differs from the reference"),
        ("18", "REF and ALT are swapped in GRCh38"),
        ("20", "REF differs from the reference"),
        ("23", "too few columns"),
    ]
    assert outcome.load.counts["records"] == 13 + len(right)


def test_a_run_that_goes_on_knows_the_alts_beside_a_swapped_one(
    grch38: Conn, write: Any, write_vcf: Any, write_fasta: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loaders.frequency_files.CHUNK_ROWS", 1)
    rows = ["20 201 . T C . . AF=0.5", "20 202 . C G . . AF=0.2", "20 202 . C T . . AF=0.4", "20 203 . G A . . AF=0.3"]
    path = write_vcf(*rows, header=FREQUENCIES)
    _, read = frequencies_job(grch38, [path], reference=write_fasta({"20": NEW}), lift=write(BOTH))
    first, second, third = read(0, 0)
    begin = len(path.read_text().splitlines()) - len(rows)
    assert [chunk.end - begin for chunk in (first, second, third)] == [1, 3, 4]
    assert [reject.reason for reject in second.rejects] == ["REF differs from the reference", "REF and ALT are swapped in GRCh38"]
    for chunk, again in zip((second, third), read(0, first.end), strict=True):
        assert (again.end, again.records, again.rejects, again.tables) == (chunk.end, chunk.records, chunk.rejects, chunk.tables)


def test_turned_frequencies_have_no_more_digits_than_their_file(grch38: Conn, write: Any, write_fasta: Any) -> None:
    said = ["0.399361", "0.9999999", "0.000199681", "1", "0", "1e-12"]
    other = {"T": "A", "G": "A", "C": "A", "A": "C"}
    text = "".join(f"20\t{201 + n}\t{other[NEW[n]]}\t{NEW[n]}\t{af}\n" for n, af in enumerate(said))
    path = write("chrom\tpos\tref\talt\tAF\n" + text, "in.tsv")
    loaded(ingest(grch38, *frequencies_job(grch38, [path], reference=write_fasta({"20": NEW}), lift=write(BOTH))))
    assert [row[3] for row in turned(grch38)] == [0.600639, 1e-7, 0.999800319, 0, 1, 0.999999999999]


def test_swapped_records_do_not_tell_against_the_assembly(grch38: Conn, write: Any, write_fasta: Any) -> None:
    options = {"reference": write_fasta({"20": NEW}), "lift": write(BOTH)}
    alone = write("chrom\tpos\tref\talt\tAF\nchr20\t101\tt\tc\t0.25\n", "alone.tsv")
    loaded(ingest(grch38, *frequencies_job(grch38, [alone], **options)))
    assert turned(grch38) == [(30, "G", "A", 0.75, None)]
    rows = "".join(
        f"20\t{201 + n}\t{base if n > 4 else 'AC'[base == 'A']}\t{base if n < 5 else 'N'}\t0.25\n" for n, base in enumerate(NEW[:9])
    )
    most = loaded(ingest(grch38, *frequencies_job(grch38, [write("chrom\tpos\tref\talt\tAF\n" + rows, "most.tsv")], **options)))
    assert (most.load.counts["population_frequency"], most.load.reasons) == (9, {})
    one = write("chrom\tpos\tref\talt\tAF\n20\t201\tA\tC\t0.25\n", "one.tsv")
    with pytest.raises(InputError, match=r"REF is A at 20:1 of GRCh38, where .* has T; so for 1 of the first 1 records"):
        frequencies_job(grch38, [one], **options)


@pytest.mark.parametrize("comment", ["", "# hg38\n"])
def test_elements_of_an_assembly_that_nothing_tells_are_not_lifted(grch38: Conn, write: Any, comment: str) -> None:
    path = write(comment + "chr\tstart\tend\tTargetGene\tABC.Score\nchr20\t200\t230\tA\t0.5\n", "e.tsv")
    told = (
        "it is of GRCh38 .*, as the store is"
        if comment
        else "nothing in the file tells its assembly\n  If it is GRCh37, say so: --assembly GRCh37"
    )
    with pytest.raises(InputError, match=told):
        v2f_job(grch38, [path], source="abc", lift=write(BOTH))
    if not comment:
        loaded(ingest(grch38, *v2f_job(grch38, [path], source="abc", lift=write(BOTH), assembly="hg19")))
        assert grch38.execute("SELECT start_pos, end_pos FROM v2f_element").fetchall() == [(1, 30)]


def test_positions_are_lifted_where_rsids_of_the_store_or_the_user_tell(grch38: Conn, write: Any, write_vcf: Any, load_vcf: Any) -> None:
    path = write("CHR\tBP\tSNP\tcV2F\n20\t203\trs1\t0.5\n", "some.cv2f.txt")
    options: dict[str, Any] = {"source": "cv2f", "lift": write(BOTH)}
    with pytest.raises(InputError, match="nothing in the file tells its assembly"):
        v2f_job(grch38, [path], **options)
    v2f_job(grch38, [path], assembly="GRCh37", **options)
    vcf = write_vcf("20 3 rs1 G A . . .")
    vcf.write_text(vcf.read_text().replace("GRCh37", "GRCh38"))
    load_vcf(grch38, vcf)
    loaded(ingest(grch38, *v2f_job(grch38, [path], **options)))
    assert grch38.execute("SELECT source_locus FROM v2f_score").fetchall() == [("20:203",)]


def test_indels_of_lifted_scores_are_rejected_where_the_assemblies_differ_beside_them(grch38: Conn, write: Any, write_fasta: Any) -> None:
    # GRCh37 CGAAAACT, GRCh38 CGAAAAACT: with an A more in the one the other is made of it.
    lift = write(chain([(4, 0, 1), (4,)], 200, 0))
    rows = ["202\tG\tGA", "202\tGA\tG", "202\tG\tT", "207\tC\tCA"]
    path = write("#CHROM\tPOS\tREF\tALT\tscore\n" + "".join(f"20\t{row}\t1\n" for row in rows), "scores.tsv")
    loaded(ingest(grch38, *scores_job(grch38, [path], reference=write_fasta({"20": "CGAAAAACT"}), lift=lift)))
    keys = [decode(key)[1:] for (key,) in grch38.execute("SELECT variant_key FROM variant_score ORDER BY variant_key")]
    assert keys == [(2, "G", "T"), (8, "C", "CA")]
    assert rejects(path) == [("2", "REF spans a gap between the assemblies"), ("3", "REF spans a gap between the assemblies")]


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("##reference=GRCh38\n", {}, "it is of GRCh38 .*, as the store is\n  Load it without --lift"),
        ("##reference=hg19\n", {"assembly": "GRCh38"}, "it is of GRCh37 .*, not GRCh38"),
        ("", {"assembly": "GRCh38"}, "it is of GRCh38 .--assembly., as the store is"),
        ("", {"reference": None}, "no reference to check them"),
    ],
)
def test_a_file_of_another_assembly_than_the_chain_leads_from_is_refused(
    grch38: Conn, write: Any, write_fasta: Any, text: str, options: dict, told: str
) -> None:
    path = write(text + SCORES, "scores.tsv")
    with pytest.raises(InputError, match=told):
        scores_job(grch38, [path], **{"lift": write(BOTH), "reference": write_fasta({"20": NEW}), **options})


def test_a_sample_of_refs_has_to_agree_where_they_are_lifted_to(grch38: Conn, write: Any, write_fasta: Any) -> None:
    rows = "".join(f"20\t{201 + n}\t{base}\tA\t1\n" for n, base in enumerate(NEW[1:]) if base != "A")
    with pytest.raises(
        InputError, match=r"REF is . at 20:\d+ of GRCh38, where .*\n  Check that the file is of GRCh37, the reference of GRCh38"
    ):
        scores_job(grch38, [write(SCORES[:24] + "\n" + rows, "s.tsv")], reference=write_fasta({"20": NEW}), lift=write(BOTH))
    other = write("#CHROM\tPOS\tREF\tALT\tscore\n20\t1\tT\tA\t1\n", "other.tsv")
    with pytest.raises(InputError, match="Scores, frequencies and effects can be lifted over: --lift CHAIN"):
        scores_job(grch38, [other], assembly="GRCh37")


def inverted(tmp_path: Path) -> Path:
    """The chain file of the region, from GRCh38 to GRCh37."""
    lines = CHAIN.read_text().splitlines()
    head = lines[0].split()
    head[2:12] = [*head[7:12], *head[2:7]]
    blocks = [" ".join((words[0], *reversed(words[1:]))) for words in map(str.split, lines[1:]) if words]
    path = tmp_path / "inverted.chain"
    path.write_text("\n".join([" ".join(head), *blocks]) + "\n")
    return path


def test_elements_are_lifted_by_both_ends(grch37: Conn, write: Any, tmp_path: Path) -> None:
    lift = write(
        chain([(100, 5, 0), (95, 0, 60), (100,)], 1000, 5000, builds=(GRCH38, GRCH37))
        + chain([(500,)], 2000, 63025520 - 9000, strand="-", builds=(GRCH38, GRCH37))
    )
    rows = ["1000\t1200", "1150\t1210", "1040\t1102", "1000\t2100", "2000\t2100", "3000\t3100", "1050\t1155"]
    path = write("chr\tstart\tend\tTargetGene\tABC.Score\tdistance\n" + "".join(f"chr20\t{row}\tA\t0.5\t77\n" for row in rows), "e.tsv")
    loaded(ingest(grch37, *v2f_job(grch37, [path], source="abc", lift=lift, assembly="GRCh38")))
    found = grch37.execute("SELECT chrom, start_pos, end_pos, length_class, distance_to_tss, source_locus FROM v2f_element ORDER BY line")
    assert found.fetchall() == [
        (20, 5001, 5195, 8, 77, "chr20:1001-1200"),
        (20, 8901, 9000, 7, 77, "chr20:2001-2100"),
        (20, 5051, 5150, 7, 77, "chr20:1051-1155"),
    ]
    assert rejects(path) == [
        ("3", "element changes its length"),
        ("4", "deleted in the other assembly"),
        ("5", "element whose ends lie on different chains"),
        ("7", "not in the chain file"),
    ]


def test_a_table_of_v2f_scores_is_lifted_as_scores_are(grch38: Conn, write: Any, write_fasta: Any) -> None:
    path = write("variant\tscore\nchr20-201-T-A\t1\n20:101:C:T\t2\n20:202:A:T\t3\n20:63025520:A:T\t4\n", "scores.tsv")
    options: dict[str, Any] = {"source": "table", "lift": write(BOTH)}
    with pytest.raises(InputError, match="no reference to check them"):
        v2f_job(grch38, [path], **options)
    loaded(ingest(grch38, *v2f_job(grch38, [path], reference=write_fasta({"20": NEW}), **options)))
    rows = grch38.execute("SELECT locus, score, source_locus FROM v2f_score ORDER BY line").fetchall()
    assert [(*decode(key), *said) for key, *said in rows] == [(20, 1, "T", "A", 1, "20:201:T:A"), (20, 30, "G", "A", 2, "20:101:C:T")]
    assert rejects(path) == [("4", "REF and ALT are swapped in GRCh38"), ("5", "not in the chain file")]


@pytest.mark.requires_real
def test_a_real_file_lifted_here_says_what_the_same_file_lifted_elsewhere_says(grch38: Conn, tmp_path: Path, real: Path) -> None:
    old = shutil.copy(real / "chr20_grch37/kg2504_sites.chr20_1-2mb.grch37.popaf.vcf.gz", tmp_path / "old.vcf.gz")
    new = shutil.copy(real / "chr20_grch38/kg2504_sites.chr20_1-2mb.grch38.lifted.popaf.vcf.gz", tmp_path / "new.vcf.gz")
    fasta = real / "chr20_grch38/chr20_npad_0.9-4.1mb.grch38.derived.fa.gz"
    lifted = loaded(ingest(grch38, *frequencies_job(grch38, [Path(old)], reference=fasta, lift=CHAIN)))
    plain = loaded(ingest(grch38, *frequencies_job(grch38, [Path(new)], reference=fasta, assembly="GRCh38")))
    assert (lifted.load.counts["records"], plain.load.counts["records"]) == (28998, 28973)
    assert lifted.load.reasons == {"symbolic ALT": 24, "REF spans a gap between the assemblies": 1}
    assert not plain.load.reasons
    (first, source), (second, none) = (
        (
            grch38.execute(f"SELECT variant_key, ac, an, af FROM population_frequency {of} ORDER BY variant_key").fetchall(),
            grch38.execute(f"SELECT count(*), count(source_locus), min(source_locus) FROM population_frequency {of}").fetchone(),
        )
        for of in (f"WHERE load_id = {outcome.load.load_id}" for outcome in (lifted, plain))
    )
    assert first == second
    assert len(first) > 28973
    assert source == (len(first), len(first), "20:1000010:A:T")
    assert none == (len(first), 0, None)


@pytest.mark.requires_real
def test_real_positions_are_those_of_their_rsids_in_the_other_assembly(grch37: Conn, tmp_path: Path, real: Path) -> None:
    path = Path(shutil.copy(real / "genome_wide/fungen_ad_cv2f.hg38.dey_lab_layout.cv2f.txt", tmp_path))
    loaded(ingest(grch37, *v2f_job(grch37, [path], source="cv2f", lift=inverted(tmp_path), assembly="GRCh38")))
    found = {f"rs{rsid}": decode(key)[:2] for rsid, key in grch37.execute("SELECT rsid, locus FROM v2f_score")}
    with pysam.VariantFile(str(real / "chr20_grch37/kg300_eur.chr20_1-4mb.grch37.phased.vcf.gz")) as file:
        expected = {record.id: (20, record.pos) for record in file if record.id in found}
    assert (len(expected), len(found)) == (2, 10)
    assert expected.items() <= found.items()
    assert {reason for _, reason in rejects(path)} == {"not in the chain file"}


@pytest.mark.requires_real
def test_real_elements_come_back_from_the_other_assembly(grch37: Conn, tmp_path: Path, real: Path) -> None:
    path = Path(shutil.copy(real / "chr20_grch38/encode_re2g.ENCFF617FJH.MCF-7.chr20.hg38.bed.gz", tmp_path))
    loaded(ingest(grch37, *v2f_job(grch37, [path], source="encode-re2g", lift=inverted(tmp_path), assembly="GRCh38")))
    rows = grch37.execute("SELECT start_pos, end_pos, source_locus FROM v2f_element").fetchall()
    there = read_lift(CHAIN, GRCH38)
    back = [there.element(20, start, end)[1:] for start, end, _ in rows]
    assert [f"chr20:{start}-{end}" for start, end in back] == [source for *_, source in rows]
    assert len(rows) == 110


@pytest.mark.parametrize("old", ["63025520", "900000", "3199996", "233620"])
def test_a_number_of_any_number_of_digits(tmp_path: Path, old: str) -> None:
    path = tmp_path / "some.chain"
    path.write_text(CHAIN.read_text().replace(old, "9" * 5000))
    with pytest.raises(InputError, match=r"some.chain:[12]: not the (header of a chain|size of a block)"):
        read_lift(path, GRCH38)


def test_more_blocks_than_a_chain_file_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.lift.MOST_BLOCKS", 3)
    with pytest.raises(InputError, match=r"chain:5: more than 3 aligned blocks"):
        read_lift(CHAIN, GRCH38)
