"""A store of the first version is brought to this one: all that it held is answered as before, and it goes on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from store import embedded
from store.doctor import examine_deeply
from store.migrate import pending
from tests import everything
from tests.command_line import run
from tests.conftest import ROOT
from tests.graph.api import Api
from tests.graph.conftest import settings

DATA = ROOT / "tests" / "data" / "upgrade"
OLD = DATA / "first_version.dump"
ANSWERS = json.loads((DATA / "answers.json").read_text())


@pytest.fixture
def old_url(_template: str, empty_url: str) -> str:
    """URL of the old store, as it was. The server has the roles that it gives rights to."""
    subprocess.run([embedded.tool("pg_restore"), "--dbname", empty_url, "--exit-on-error", "--no-owner", OLD], check=True)
    return empty_url


def rows(url: str) -> dict[str, list[Any]]:
    """All rows of the old store's tables, in the columns that it had."""
    with psycopg.connect(url) as conn:
        return {
            table: conn.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3").fetchall()
            for table, columns in (
                ("variant", "variant_key, chrom, pos, ref, alt"),
                ("variant_record", "variant_key, load_id, line, ids, qual, filter, info::text, source_locus, allele"),
                ("rsid", "rsid, variant_key, load_id"),
                ("population_frequency", "variant_key, load_id, ac, an, af, hom"),
                ("frequency_population", "load_id, ordinal, population"),
                ("transcript_consequence", "variant_key, load_id, ordinal, terms, gene_id, transcript_id, hgvsc, hgvsp, extra::text"),
                ("clinical_significance", "variant_key, load_id, ordinal, classes, significance, stars, conditions"),
                ("variant_score", "variant_key, load_id, score_id, value"),
                ("gene", "gene_id, load_id, symbol, start_pos, end_pos, span"),
                ("transcript", "transcript_id, load_id, gene_id, exon_starts, exon_ends, mane"),
                ("load", "load_id, dataset_id, version, state, hold, options, counts, started_at, finished_at, unloaded_at"),
                ("load_file", "load_id, ordinal, path, sha256, bytes, chunks, resume, done"),
                ("release", "release_id, loads, name, reason, created_at"),
            )
        }


def test_an_old_store_is_refused_until_it_is_migrated(old_url: str) -> None:
    for command in (("loads",), ("doctor", "--deep"), ("load", "genes", str(everything.DATA / "genes.gtf"))):
        done = run(old_url, *command)
        assert done.code in (1, 2)
        assert "vkg init" in done.out + done.err
        assert "Traceback" not in done.err


def test_all_that_it_held_is_there_and_answered_as_before(old_url: str) -> None:
    before = rows(old_url)
    assert all(before.values())
    done = run(old_url, "init")
    assert (done.code, done.out.startswith("applied 0005.cohort\n")) == (0, True), done.err
    assert rows(old_url) == before
    with psycopg.connect(old_url, autocommit=True) as conn:
        assert pending(conn) == []
        assert [found for found in examine_deeply(conn).findings if found.where] == []
    with Api(settings(old_url, reference=None)) as api:
        for saved in ANSWERS:
            headers = {"Vkg-Release": saved["release"]} if saved["release"] else None
            assert api.data(saved["query"], saved["variables"], headers) == saved["data"]
    assert len(ANSWERS) == 22


def test_names_of_people_are_not_in_headers_any_more(old_url: str) -> None:
    """The first version kept headers as they are; they are open data now."""
    header = "SELECT header FROM load_file f JOIN load USING (load_id) JOIN dataset USING (dataset_id) WHERE name = 'family'"
    with psycopg.connect(old_url, autocommit=True) as conn:
        (was,) = conn.execute(header).fetchone() or ("",)
        assert was.rstrip("\n").splitlines()[-1].split("\t")[9:]
        assert run(old_url, "init").code == 0
        (now,) = conn.execute(header).fetchone() or ("",)
        assert now.rstrip("\n").splitlines()[-1].split("\t")[9:] == []


def test_it_goes_on_with_what_it_knew_and_with_what_is_new(old_url: str, tmp_path: Path) -> None:
    assert run(old_url, "init", "--reference", str(everything.FASTA)).code == 0
    loads = everything.loads(everything.write_files(tmp_path))
    for name in ("samples", "callset", "family_ped", "ibd", "v2f", "enformer", "metacells", "derived", "embed"):
        done = run(old_url, *loads[name])
        assert done.code == 0, done.err
    for name in ("cut", "3", "held"):  # cut off, replaced, held
        assert run(old_url, "unload", name).code == 0
    with psycopg.connect(old_url, autocommit=True) as conn:
        conn.execute("UPDATE load SET unloaded_at = unloaded_at - interval '1 hour'")
    assert "removed the rows of load" in run(old_url, "doctor", "--clean").out
    with psycopg.connect(old_url, autocommit=True) as conn:
        assert [found for found in examine_deeply(conn).findings if found.where] == []
    with Api(settings(old_url, reference=None)) as api:
        for saved in (saved for saved in ANSWERS if saved["release"] and "store {" not in saved["query"]):
            assert api.data(saved["query"], saved["variables"], {"Vkg-Release": saved["release"]}) == saved["data"]


def test_a_backup_of_an_old_store_is_restored_and_migrated_at_once(empty_url: str) -> None:
    done = run(empty_url, "restore", str(OLD))
    assert done.code == 0, done.err
    assert "applied 0005.cohort\n" in done.out
    assert "the reference /data/reference.fa.gz is not on this machine" in done.out
    with psycopg.connect(empty_url, autocommit=True) as conn:
        assert pending(conn) == []
        assert [found for found in examine_deeply(conn).findings if found.where] == []
