"""A load from end to end: what arrives, what is told, and what happens when it is stopped or done again."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pysam
import pytest

from loaders import vcf
from loaders.ahead import ahead
from loaders.errors import InputError, Interrupted
from loaders.ibd_job import ibd_job
from loaders.run import Outcome, dataset_name, ingest, summary
from store.copy import Reject
from store.load import AlreadyLoaded, Load
from store.release import current, loads, unload
from tests.conftest import ROOT

Conn = psycopg.Connection[Any]

INFO = """##INFO=<ID=AF,Number=A,Type=Float,Description="">
##INFO=<ID=AC,Number=A,Type=Integer,Description="">
##INFO=<ID=AN,Number=1,Type=Integer,Description="">"""


def rows(conn: Conn, statement: str) -> list[tuple]:
    return conn.execute(statement).fetchall()


RECORDS = """SELECT v.chrom, v.pos, v.ref, v.alt, r.ids, r.qual, r.filter, r.info::text, r.source_locus, r.allele, r.line
    FROM variant_record r JOIN variant v USING (variant_key) ORDER BY r.load_id, r.line, r.allele"""


def test_every_column_of_a_record_arrives(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    path = write_vcf(
        "chr20 100 rs5;x;rs6;rs5 A G,T 29.50 q10;s50 AF=0.1,0.20;AC=1,2;AN=10",
        "X 7 . c g . . .",
        "MT 9 RS7 ACG ATG inf PASS AF=.",
        header=INFO,
    )
    load_vcf(grch37, path)
    assert rows(grch37, RECORDS) == [
        (20, 100, "A", "G", ["rs5", "x", "rs6", "rs5"], 29.5, ["q10", "s50"], '{"AF":0.1,"AC":1,"AN":10}', "chr20:100:A:G,T", 1, 7),
        (20, 100, "A", "T", ["rs5", "x", "rs6", "rs5"], 29.5, ["q10", "s50"], '{"AF":0.20,"AC":2,"AN":10}', "chr20:100:A:G,T", 2, 7),
        (23, 7, "C", "G", None, None, None, None, "X:7:c:g", 1, 8),
        (25, 10, "C", "T", ["RS7"], None, ["PASS"], '{"AF":null}', "MT:9:ACG:ATG", 1, 9),
    ]
    assert rows(grch37, "SELECT rsid, count(*) FROM rsid GROUP BY 1 ORDER BY 1") == [(5, 2), (6, 2)]
    assert rows(grch37, "SELECT ordinal, population FROM frequency_population") == [(1, "ALL")]
    assert rows(grch37, "SELECT ac, an, af FROM population_frequency ORDER BY variant_key") == [
        ([1], [10], [0.1]),
        ([2], [10], [0.2]),
    ]
    (row,) = loads(grch37)
    assert (row.counts["records"], row.counts["variant_record"], row.counts["warnings"]) == (3, 4, {vcf.NOT_FINITE: 1})
    assert grch37.execute("SELECT header FROM load_file").fetchone() == (path.read_text()[: path.read_text().index("chr20")],)


def test_rsids_of_info_rs_count_where_the_id_column_has_none(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    rs = '##INFO=<ID=RS,Number=.,Type=String,Description="dbSNP ID (i.e. rs number)">'
    load_vcf(grch37, write_vcf("1 5 12345 A G . . RS=7|8", "1 6 rs1 A G . . RS=9", "1 7 . A G . . DP=3", header=rs))
    assert rows(grch37, "SELECT rsid FROM rsid ORDER BY 1") == [(1,), (7,), (8,)]


def test_rs_that_means_something_else_is_no_rsid(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    load_vcf(grch37, write_vcf("1 5 . A G . . RS=7", header='##INFO=<ID=RS,Number=1,Type=Integer,Description="Rank sum">'))
    assert rows(grch37, "SELECT rsid FROM rsid") == []


@pytest.mark.parametrize("form", ["gzip", "bgzip", "bcf", "crlf", "no newline at the end"])
def test_a_file_says_the_same_in_every_form(grch37: Conn, load_vcf: Any, write_vcf: Any, form: str) -> None:
    path = write_vcf(
        *(f"20 {n} rs{n} A G . PASS AF=0.5" for n in range(100, 3000)),
        header=INFO + '\n##contig=<ID=20>\n##FILTER=<ID=PASS,Description="">',
    )
    text = path.read_bytes()
    other = path.with_name("other.vcf.gz")
    if form == "gzip":
        other.write_bytes(gzip.compress(text))
    elif form == "bgzip":
        pysam.tabix_compress(str(path), str(other))
    elif form == "bcf":
        with pysam.VariantFile(str(path)) as source, pysam.VariantFile(str(other), "wb", header=source.header) as out:
            for record in source:
                out.write(record)
    elif form == "crlf":
        other.write_bytes(text.replace(b"\n", b"\r\n"))
    else:
        other.write_bytes(text.rstrip(b"\n"))
    load_vcf(grch37, path, dataset="one")
    load_vcf(grch37, other, dataset="two")
    sides = rows(
        grch37, "SELECT array_agg((variant_key, ids, filter, info::text) ORDER BY variant_key) FROM variant_record GROUP BY load_id"
    )
    assert sides[0] == sides[1]
    assert len(sides[0][0]) == 2900


ODD = (
    "20 100 . A G . . .",
    "GL000192.1 5 . A G . . .",
    "20 x . A G . . .",
    "20 101 . A",
    "20 102 . A <DEL> . . .",
    "20 103 . A *,G . . .",
    "20 104 . A . . . .",
    "20 105 . A <NON_REF> . . .",
    "20 106 . A ]20:9]A,C . . .",
    "20 107 . A A . . .",
    "20 108 . AC A . . .",
    "20 100 . A G . . .",
)


def test_what_is_rejected_is_counted_told_and_written_down(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    path = write_vcf(*ODD)
    outcome = load_vcf(grch37, path)
    assert outcome.load.reasons == {
        "contig outside 1-22, X, Y, MT": 1,
        "POS is not a position": 1,
        "too few columns": 1,
        "symbolic ALT": 1,
        "breakend": 1,
        "ALT equals REF": 1,
        "indel where there is no reference sequence": 1,
        "repeated record": 1,
    }
    assert outcome.load.skipped == {"no variant: *": 1, "no variant: no ALT": 1, "no variant: <NON_REF>": 1}
    written = (path.parent / "in.vcf.rejects.tsv").read_text().splitlines()
    assert written[0] == "#line\treason\tdetail\trow"
    assert written[1] == "5\tcontig outside 1-22, X, Y, MT\tGL000192.1\tGL000192.1\t5\t.\tA\tG\t.\t.\t."
    assert [line.split("\t")[0] for line in written[1:]] == ["5", "6", "7", "8", "12", "13", "14", "15"]
    told = "\n".join(summary(outcome))
    assert "12 records: 3 variant_record" in told
    assert "rejected: 1 symbolic ALT" in told
    assert "left out: 1 no variant: *" in told
    assert str(path) + ".rejects.tsv" in told
    assert [r[1] for r in rows(grch37, RECORDS)] == [100, 103, 106]


def test_strict_keeps_nothing_when_a_record_is_rejected(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    path = write_vcf(*ODD)
    with pytest.raises(InputError, match=r"in\.vcf:5: contig outside"):
        load_vcf(grch37, path, strict=True)
    assert everything(grch37) == {}
    assert not list(path.parent.glob("*.rejects.tsv"))
    # What is no variant is no fault.
    load_vcf(grch37, write_vcf("20 103 . A *,G . . .", "20 104 . A . . . ."), strict=True)


def everything(conn: Conn) -> dict[str, int]:
    """Rows by table, where there are any; of releases those after the first."""
    tables = [t for (t,) in rows(conn, "SELECT relname FROM pg_stat_user_tables WHERE relname !~ 'yoyo|genome|variant_stage'")]
    counts = {t: rows(conn, f"SELECT count(*) FROM {t}")[0][0] for t in tables}
    counts["release"] -= 1
    return {table: n for table, n in counts.items() if n}


def test_nothing_does_not_replace_something(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    load_vcf(grch37, write_vcf(), dataset="some", version="0")
    load_vcf(grch37, write_vcf("20 1 . A <*> . . ."), dataset="some", version="1")
    load_vcf(grch37, write_vcf("20 1 . A G . . ."), dataset="some", version="2")
    shown = current(grch37).loads
    for made in (write_vcf(name="a.vcf"), write_vcf("20 1 . A <*> . . .", name="b.vcf")):
        with pytest.raises(InputError, match=r"[ab]\.vcf: nothing in it to load, in place of some 2\n  .*vkg unload some@2"):
            load_vcf(grch37, made, dataset="some", version="3")
        assert current(grch37).loads == shown
    load_vcf(grch37, write_vcf(), dataset="some", version="3", hold=True)
    assert current(grch37).loads == shown
    assert rows(grch37, "SELECT pos FROM variant_record JOIN variant USING (variant_key)") == [(1,)]


def test_that_nobody_shares_by_descent_is_a_result(grch37: Conn, tmp_path: Path) -> None:
    found: list[int] = []
    for version, text in (("1", "A\t1\tB\t2\t20\t100\t200\t1.5\n"), ("2", "\n")):
        path = tmp_path / f"{version}.ibd"
        path.write_text(text)
        options: dict[str, Any] = {"source": "hap-ibd", "cohort": "c", "create_samples": True}
        outcome = ingest(grch37, *ibd_job(grch37, [path], dataset="shared", version=version, **options))
        assert isinstance(outcome, Outcome)
        found.append(outcome.load.counts["ibd_segment"])
        assert current(grch37).loads == [outcome.load.load_id]
    assert found == [1, 0]


def test_old_rejects_don_t_outlive_a_load_without_any(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    rejects = Path(f"{write_vcf('20 1 . A <DEL> . . .')}.rejects.tsv")
    load_vcf(grch37, write_vcf("20 1 . A <DEL> . . .", "20 2 . A G . . ."))
    assert rejects.exists()
    load_vcf(grch37, write_vcf("20 2 . A G . . ."))
    assert not rejects.exists()


def test_somebody_elses_file_of_that_name_is_left_alone(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    path = write_vcf("20 1 . A <DEL> . . .", "20 2 . A G . . .")
    theirs, ours = (Path(f"{path}.rejects{n}.tsv") for n in ("", ".2"))
    theirs.write_text("notes\n")
    assert load_vcf(grch37, path).rejects == [ours]
    load_vcf(grch37, write_vcf("20 1 . A G . . ."))
    assert (theirs.read_text(), ours.exists()) == ("notes\n", False)


def test_rejects_go_to_the_current_folder_when_the_files_is_not_writable(
    grch37: Conn, load_vcf: Any, write_vcf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_vcf("20 1 . A <DEL> . . .", "20 2 . A G . . .")
    real_open = Path.open

    def refuse(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if "w" in mode and self.parent == path.parent:
            raise PermissionError(13, "Permission denied", str(self))
        return real_open(self, mode, *args, **options)

    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(Path, "open", refuse)
    outcome = load_vcf(grch37, path)
    assert outcome.rejects == [here / "in.vcf.rejects.tsv"]
    assert "is not writable; the rejects are in" in capsys.readouterr().err


def test_a_file_of_which_nothing_can_be_loaded_replaces_nothing(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    load_vcf(grch37, write_vcf("20 1 . A G . . ."))
    before = current(grch37)
    with pytest.raises(InputError, match="1 of 1 records rejected for: symbolic ALT"):
        load_vcf(grch37, write_vcf("20 1 . A <DEL> . . ."), version="2")
    assert current(grch37) == before
    assert len(loads(grch37)) == 1


def test_the_same_file_again_does_nothing_and_says_so(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    path = write_vcf("20 1 . A G . . .")
    load_vcf(grch37, path)
    before = everything(grch37)
    again = load_vcf(grch37, path)
    assert isinstance(again, AlreadyLoaded)
    assert "is loaded already, from the same content" in "\n".join(summary(again))
    assert everything(grch37) == before


def test_two_files_with_the_same_variants_keep_what_each_says(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    one = load_vcf(grch37, write_vcf("20 1 . A G . . AF=0.1", header=INFO, name="one.vcf"))
    load_vcf(grch37, write_vcf("20 1 . A G . . AF=0.2", header=INFO, name="two.vcf"))
    assert rows(grch37, "SELECT info::text FROM variant_record ORDER BY load_id") == [('{"AF":0.1}',), ('{"AF":0.2}',)]
    assert rows(grch37, "SELECT count(*) FROM variant") == [(1,)]
    unload(grch37, one.load.load_id)
    assert [r.dataset for r in loads(grch37) if r.visible] == ["two"]


def test_files_of_one_command_are_one_load(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    eur = INFO + '\n##INFO=<ID=EUR_AF,Number=A,Type=Float,Description="">'
    one = write_vcf("20 1 . A G . . AF=0.1", header=INFO, name="one.vcf")
    two = write_vcf("21 1 . A G . . AF=0.2;EUR_AF=0.3", "20 1 . A G . . AF=0.4", header=eur, name="two.vcf")
    outcome = load_vcf(grch37, one, two, dataset="both")
    assert current(grch37).loads == [outcome.load.load_id]
    assert rows(grch37, "SELECT population FROM frequency_population ORDER BY ordinal") == [("ALL",), ("EUR",)]
    assert rows(grch37, "SELECT af FROM population_frequency ORDER BY variant_key") == [([0.1, None],), ([0.2, 0.3],)]
    assert outcome.load.reasons == {"repeated record": 1}


def test_files_that_declare_frequencies_differently_have_one_list_of_populations(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    both = '##INFO=<ID=AF,Number=A,Type={},Description="">\n##INFO=<ID=EUR_AF,Number=A,Type=Float,Description="">'
    one = write_vcf("20 1 . A G . . AF=0.1;EUR_AF=0.2", header=both.format("Float"), name="one.vcf")
    two = write_vcf("20 2 . A G . . AF=0.3;EUR_AF=0.4", header=both.format("String"), name="two.vcf")
    load_vcf(grch37, one, two, dataset="first")
    load_vcf(grch37, two, one, dataset="second")
    assert rows(grch37, "SELECT population FROM frequency_population ORDER BY load_id, ordinal") == [("ALL",), ("EUR",)] * 2
    assert rows(grch37, "SELECT af FROM population_frequency ORDER BY load_id, variant_key") == [([0.1, 0.2],), ([0.3, 0.4],)] * 2


def test_chunks_make_no_difference(grch37: Conn, load_vcf: Any, write_vcf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [f"20 {n} rs{n} A G,T . . AF=0.5,0.1" for n in range(500, 0, -1)] + ["20 7 . A T . . ."]
    load_vcf(grch37, write_vcf(*records, header=INFO), dataset="one")
    monkeypatch.setattr(vcf, "CHUNK_ROWS", 7)
    monkeypatch.setattr("loaders.source.BLOCK", 100)
    outcome = load_vcf(grch37, write_vcf(*records, "", header=INFO), dataset="two")
    assert outcome.load.reasons == {"repeated record": 1}
    sides = rows(grch37, "SELECT array_agg((variant_key, ids, info::text, line) ORDER BY variant_key) FROM variant_record GROUP BY load_id")
    assert sides[0] == sides[1]


def test_a_load_that_was_cut_off_goes_on_where_it_stopped(
    grch37: Conn, load_vcf: Any, write_vcf: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vcf, "CHUNK_ROWS", 10)
    records = [f"20 {n} . A {'<DEL>' if n % 10 == 5 else 'G'} . . AF=0.5" for n in range(1, 101)]
    path = write_vcf(*records, "20 3 . A G . . .", header=INFO)
    write, written = Load.write, []

    def die(self: Load, ordinal: int, chunk: Any, report: Callable[[list[Reject]], None]) -> None:
        if len(written) == 4:
            raise SystemExit  # and no way to tidy up
        written.append(chunk)
        write(self, ordinal, chunk, report)

    monkeypatch.setattr(Load, "write", die)
    monkeypatch.setattr("loaders.run._abort", lambda load, rejects: [file.close() for file in rejects])
    with pytest.raises(SystemExit):
        load_vcf(grch37, path)
    grch37.execute("SELECT pg_advisory_unlock_all()")
    rejects = Path(f"{path}.rejects.tsv")
    with rejects.open("a") as file:
        file.write("45\thalf a line that was never committed")
    monkeypatch.setattr(Load, "write", write)
    outcome = load_vcf(grch37, path)
    assert "going on with in" in capsys.readouterr().err
    assert outcome.load.counts["records"] == 101
    assert outcome.load.counts["variant_record"] == 90
    assert rows(grch37, "SELECT count(*), count(DISTINCT line) FROM variant_record") == [(90, 90)]
    assert rows(grch37, "SELECT count(*) FROM frequency_population") == [(1,)]
    lines = [line.split("\t")[0] for line in rejects.read_text().splitlines()]
    assert lines == ["#line", *(str(n + 6) for n in range(5, 101, 10)), "107"]


def test_nothing_is_kept_of_a_load_that_fails_on_the_way(
    grch37: Conn, load_vcf: Any, write_vcf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vcf, "CHUNK_ROWS", 10)
    path = write_vcf(*(f"20 {n} . A G . . ." for n in range(1, 5000)))
    damaged = path.with_name("damaged.vcf.gz")
    damaged.write_bytes(gzip.compress(path.read_bytes())[:-20])
    monkeypatch.setattr("loaders.source.BLOCK", 1000)
    with pytest.raises(InputError, match="cut off"):
        load_vcf(grch37, damaged)
    assert everything(grch37) == {}


def test_a_dead_connection_is_a_store_error_and_the_load_can_go_on(
    grch37: Conn, load_vcf: Any, write_vcf: Any, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from store.errors import StoreError

    monkeypatch.setattr(vcf, "CHUNK_ROWS", 10)
    path = write_vcf(*(f"20 {n} . A G . . ." for n in range(1, 100)))
    write, calls = Load.write, []

    def cut(self: Load, *args: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            with psycopg.connect(store_url, autocommit=True) as killer:
                killer.execute("SELECT pg_terminate_backend(%s)", (self.conn.info.backend_pid,))
        write(self, *args)

    monkeypatch.setattr(Load, "write", cut)
    with pytest.raises(StoreError) as error:
        load_vcf(grch37, path)
    assert "vkg doctor" in "".join(error.value.__notes__)
    with psycopg.connect(store_url, autocommit=True) as conn:
        assert load_vcf(conn, path).load.counts["variant_record"] == 99


def test_ctrl_c_takes_the_load_out_again(grch37: Conn, load_vcf: Any, write_vcf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vcf, "CHUNK_ROWS", 10)
    write, calls = Load.write, []

    def interrupt(self: Load, *args: Any) -> None:
        write(self, *args)
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Load, "write", interrupt)
    with pytest.raises(Interrupted):
        load_vcf(grch37, write_vcf(*(f"20 {n} . A G . . ." for n in range(1, 1000))))
    assert everything(grch37) == {}
    assert not [t for t in threading.enumerate() if t.name == "reader"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_goes_wrong_after_publishing_takes_nothing_out(
    grch37: Conn, load_vcf: Any, write_vcf: Any, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    finish = Load.finish

    def fail(self: Load) -> None:
        finish(self)
        raise error

    monkeypatch.setattr(Load, "finish", fail)
    path = write_vcf("20 1 . A G . . .", "20 2 . A <DEL> . . .")
    with pytest.raises((Interrupted, RuntimeError)) as raised:
        load_vcf(grch37, path)
    assert "was kept: see vkg loads" in " ".join([str(raised.value), *getattr(raised.value, "__notes__", [])])
    assert [row.visible for row in loads(grch37)] == [True]
    assert rows(grch37, "SELECT count(*) FROM variant_record") == [(1,)]
    assert Path(f"{path}.rejects.tsv").exists()


def test_ctrl_c_is_too_late_once_a_load_is_being_finished(
    grch37: Conn, load_vcf: Any, write_vcf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Load.finish

    def press(self: Load) -> int | None:
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        return finish(self)

    monkeypatch.setattr(Load, "finish", press)
    assert load_vcf(grch37, write_vcf("20 1 . A G . . .")).release == current(grch37).release_id


@pytest.mark.slow
def test_ctrl_c_ends_the_command_with_130(grch37: Conn, write_vcf: Any, store_url: str) -> None:
    path = write_vcf(*(f"20 {n} . A G . . ." for n in range(1, 200_000)))
    command = [sys.executable, "-m", "vkg", "load", "vcf", str(path)]
    environment = {"VKG_DATABASE_URL": store_url, "VKG_CHUNK_ROWS": "500", "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    while not rows(grch37, "SELECT FROM variant_record LIMIT 1"):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; nothing of this load was kept" in said
    assert everything(grch37) == {}


def test_reading_ahead_gives_all_items_and_passes_errors_on() -> None:
    def items() -> Any:
        yield from range(5)
        raise ValueError("the end")

    taken: list[int] = []
    with pytest.raises(ValueError, match="the end"), ahead(items()) as source:
        taken.extend(source)
    assert taken == [0, 1, 2, 3, 4]
    with ahead(iter_of(range(100))) as source:
        assert list(source) == list(range(100))


def test_reading_ahead_stops_when_nobody_takes() -> None:
    closed = []

    def items() -> Any:
        try:
            yield from iter(int, 1)
        finally:
            closed.append(True)

    with ahead(items()) as source:
        next(source)
    assert closed == [True]


def iter_of(values: Any) -> Any:
    yield from values


@pytest.mark.parametrize(
    ("name", "expected"),
    [("clinvar.vcf.gz", "clinvar"), ("a.b.vcf", "a.b"), ("x.bcf", "x"), ("genes.gtf.gz", "genes"), (".vcf", ".vcf")],
)
def test_datasets_are_named_after_their_files(name: str, expected: str) -> None:
    assert dataset_name(Path("/data") / name) == expected


def test_an_outcome_can_be_held(grch37: Conn, load_vcf: Any, write_vcf: Any) -> None:
    outcome = load_vcf(grch37, write_vcf("20 1 . A G . . ."), hold=True)
    assert isinstance(outcome, Outcome)
    assert outcome.release is None
    assert "held: make it visible with vkg publish" in "\n".join(summary(outcome))
    assert json.loads(json.dumps(loads(grch37)[0].counts))["records"] == 1
