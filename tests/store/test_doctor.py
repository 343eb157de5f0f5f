"""`vkg doctor --deep`: a store that is whole is found to be, and each thing that can be wrong is named with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from store import embedded
from store.deep import MOST, Finding, Looking, look, moment
from store.deep_indexes import indexes
from store.doctor import CHECKS, Report, examine_deeply
from store.release import OBSERVATIONS
from tests import everything
from tests.command_line import run
from tests.conftest import TEMPLATE, database
from tests.store.test_database import serving


@pytest.fixture(scope="module")
def whole(_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of a database with something of every kind; nobody may stay connected to it."""
    folder = everything.write_files(tmp_path_factory.mktemp("files"))
    with database(_template, TEMPLATE) as url:
        for command in (everything.INIT, *everything.loads(folder).values()):
            done = run(url, *command)
            assert done.code == 0, done.err
        yield url.split("?")[0].rpartition("/")[2]


@pytest.fixture
def url(server: str, whole: str) -> Iterator[str]:
    """URL of a copy of it, which a test may damage."""
    with database(server, whole) as found:
        yield found


def deeply(url: str) -> Report:
    """What is found in a store."""
    with psycopg.connect(url, autocommit=True) as conn:
        return examine_deeply(conn)


def test_a_whole_store_is_found_whole_and_all_of_it_was_looked_at(url: str) -> None:
    done = run(url, "doctor", "--deep", "--json")
    assert (done.code, done.err) == (0, "")
    said = json.loads(done.out)
    assert said["findings"] == []
    looked_at = {check["name"]: check["looked_at"] for check in said["checks"]}
    assert list(looked_at) == [name for name, _ in CHECKS]
    with psycopg.connect(url) as conn:
        counts = [conn.execute(f"SELECT count(*) FROM {table}").fetchone() for table in OBSERVATIONS]
        (variants,) = conn.execute("SELECT count(*) FROM variant").fetchone() or (0,)
        (number,) = conn.execute("SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 2200 AND c.relkind = 'r'").fetchone() or (0,)  # fmt: skip
    assert looked_at["rows"] == f"{sum(row[0] for row in counts if row):,} rows in {len(OBSERVATIONS)} tables"
    assert looked_at["identity"] == f"the keys of all {variants:,} variants"
    assert looked_at["indexes"].startswith(f"{number} indexes: ")
    assert looked_at["genotypes"] == "the planes of 790 rows, of which 790 were unpacked"
    text = run(url, "doctor", "--deep").out
    assert all(f"\n{name} " in text for name, _ in CHECKS)


def test_an_empty_store_is_whole_and_what_is_none_is_said_to_be_none(store_url: str, empty_url: str) -> None:
    run(store_url, "init", "--assembly", "GRCh38")
    assert deeply(store_url).findings == []
    report = deeply(empty_url)
    assert [found.what for found in report.findings] == ["there is no store of this version yet"]
    assert report.checks == []


def test_every_table_with_a_load_is_in_the_list_that_the_checks_go_by(conn: psycopg.Connection[Any]) -> None:
    found = conn.execute(
        """SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'load_id'
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND NOT a.attisdropped"""
    )
    assert {name for (name,) in found} == {*OBSERVATIONS, "load", "load_file"}


KG = "(SELECT load_id FROM load JOIN dataset USING (dataset_id) WHERE name = 'callset')"
ONE = "variant_key = (SELECT max(variant_key) FROM genotype g WHERE g.load_id = (SELECT load_id FROM load JOIN dataset USING (dataset_id) WHERE name = 'callset'))"

DAMAGES = {
    "a row is lost": ("DELETE FROM rsid WHERE rsid = (SELECT min(rsid) FROM rsid)", "rsid", "rows of "),
    "a row is of no load": ("UPDATE gene SET load_id = 99 WHERE symbol = 'SIRPA'", "gene", "1 row of load 99, which is not in the ledger"),
    "rows of a purged load": (
        f"DELETE FROM load_file WHERE load_id = {KG}; UPDATE load SET state = 'unloaded', unloaded_at = now() WHERE load_id = {KG}",
        "genotype", "(load 2, unloaded), and the ledger says 0",
    ),
    "an unfinished load has rows that its ledger does not know": (
        f"UPDATE load SET state = 'loading', finished_at = NULL WHERE load_id = {KG}; UPDATE load_file SET chunks = 0 WHERE load_id = {KG}",
        "rsid", "600 rows of callset 1 (load 2, loading), and the ledger says 0",
    ),
    "a release shows what is not there": ("UPDATE release SET loads = loads || 77 WHERE release_id = 5", "ledger", "release 5 shows load 77, which is not in the ledger"),
    "a release shows what is not complete": (
        f"UPDATE load SET state = 'loading', finished_at = NULL WHERE load_id = {KG}", "ledger", "shows load 2, which was never complete"
    ),
    "the current release shows what was unloaded": (
        f"UPDATE load SET state = 'unloaded', unloaded_at = now() WHERE load_id = {KG}", "ledger", "the current one, shows load 2, which was unloaded"
    ),
    "two versions at once": (
        "UPDATE load SET dataset_id = (SELECT dataset_id FROM dataset WHERE name = 'genes'), version = '2' WHERE load_id = 1", "ledger", "shows two versions of dataset genes"
    ),
    "a file was not read to the end": (f"UPDATE load_file SET done = false WHERE load_id = {KG}", "ledger", "was not read to the end"),
    "a load without files": (f"DELETE FROM load_file WHERE load_id = {KG}", "ledger", "load 2 is complete, and has no file"),
    "files of nothing": ("INSERT INTO load_file (load_id, ordinal, path, sha256, bytes) VALUES (88, 0, '/x', 'x', 1)", "ledger", "files are there of load 88"),
    "a dataset is lost": ("DELETE FROM dataset WHERE name = 'genes'", "ledger", "is of dataset number"),
    "a dataset without loads": ("INSERT INTO dataset (name, kind) VALUES ('nothing', 'genes')", "ledger", "dataset nothing has no load"),
    "times that cannot be": (f"UPDATE load SET finished_at = NULL WHERE load_id = {KG}", "ledger", "load 2 is loaded, and its times do not say so"),
    "numbers that come again": ("ALTER TABLE load ALTER load_id RESTART WITH 3", "load", "the next load_id would be 3, and 17 is taken"),
    "a variant is lost": (f"DELETE FROM variant WHERE {ONE}", "variant_record", "1 row of load 2 without their variant"),
    "a variant of no record": (
        "INSERT INTO variant VALUES (-7683949690126630912, 20, 1, 'A', 'C')", "variant", "1 row without their record in any load"
    ),
    "a record is lost": (f"DELETE FROM variant_record WHERE {ONE}", "genotype", "1 row of load 2 without their record"),
    "a person is lost": ("DELETE FROM sample WHERE name = 'HG00376'", "callset_sample", "1 row of load 2 without their sample (sample_id)"),
    "a parent is lost": (
        "DELETE FROM sample s USING sample_info i WHERE i.father_id = s.sample_id", "sample_info", "without their sample (father_id)"
    ),
    "a person whom nothing names": ("INSERT INTO sample (cohort, name) VALUES ('x', 'y')", "sample", "1 row without their row in any load"),
    "a sharer whom the run does not show": (
        "DELETE FROM sample_info WHERE (sample_id, load_id) = (SELECT other_id, load_id FROM ibd_segment LIMIT 1)", "ibd_segment", "without their sample's row of sample_info"
    ),
    "a segment seen from one side": ("UPDATE ibd_segment SET end_pos = end_pos + 1 WHERE ctid = '(0,1)'", "ibd_segment", "are not the same seen from both people: 473 and 473 rows"),
    "a transcript without its gene": ("DELETE FROM gene WHERE symbol = 'SIRPA'", "transcript", "without their gene"),
    "scores without a name": ("DELETE FROM score", "variant_score", "600 rows of load 8 without their score"),
    "a run is lost": ("DELETE FROM v2f_run", "v2f_element", "657 rows of load 13 without their v2f_run"),
    "a cluster is lost": ("DELETE FROM variant_cluster WHERE ordinal = 1", "variant_cluster_member", "without their variant_cluster"),
    "counted of nothing": ("UPDATE frequency_population SET callset_load = 66 WHERE callset_load = 2", "frequency_population", "6 rows of load 16 without their callset"),
    "a vector's model is lost": ("DELETE FROM embedding_model", "embedding_1", "has vectors of no registered model"),
    "a model's vectors are lost": ("DROP TABLE embedding_1", "embedding_1", "the vectors of annotation are not there"),
    "vectors of another length": ("UPDATE embedding_1 SET direction = l2_normalize(direction) * array_fill(2, ARRAY[vector_dims(direction)])::halfvec WHERE norm > 0", "embedding_1", "not of"),
    "a vector and a reason for none": ("INSERT INTO embedding_skip SELECT min(variant_key), 1, 'x' FROM embedding_1", "embedding_1", "1 variant of annotation both"),
    "another allele": (f"UPDATE variant SET alt = 'AAAAAAAAAAAAAAAAAAA' WHERE {ONE}", "variant", "has another VariantKey"),
    "no variant": (f"UPDATE variant SET alt = ref WHERE {ONE}", "variant", "is no variant"),
    "off the chromosome": (f"UPDATE variant SET pos = 64000000 WHERE {ONE}", "variant", "is not of the assembly GRCh37"),
    "no chromosome": (f"UPDATE variant SET chrom = 26 WHERE {ONE}", "variant", "is not of the assembly GRCh37"),
    "a plane is short": (f"UPDATE genotype SET alt = '\\x01', alt_slots = NULL WHERE {ONE}", "genotype", "1 row of load 2 not of its 300 samples"),
    "a slot of nobody": (f"UPDATE genotype SET alt = NULL, alt_slots = '{{600}}' WHERE {ONE}", "genotype", "1 row of load 2 not of its 300 samples"),
    "a bit of nobody": ("UPDATE genotype SET alt = decode('00ff', 'hex') WHERE alt IS NOT NULL AND load_id = (SELECT load_id FROM load JOIN dataset USING (dataset_id) WHERE name = 'family')", "genotype", "rows of load 6 not of its 7 samples"),
    "calls for few": ("UPDATE genotype SET calls = '{0/1}' WHERE calls IS NOT NULL OR load_id = 6", "genotype", "of load 6 not of its 7 samples"),
    "two ways to say it": (f"UPDATE genotype SET alt = NULL, alt_slots = '{{5,3}}' WHERE {ONE}", "genotype", "alt_slots cannot be what a loader wrote"),
    "depths for few": ("UPDATE genotype_format SET dp = '{1}'", "genotype_format", "190 rows of load 6 not of its 7 samples"),
    "places of samples": ("DELETE FROM callset_sample WHERE ordinal = 5 AND load_id = 2", "callset_sample, load 2", "its 299 samples are not numbered from 0 on"),
    "an index that is not valid": ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'gene_symbol'::regclass", "gene_symbol", "the index is not valid"),
    "an index out of order": (
        """CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'; CREATE INDEX gene_f ON gene (f(start_pos));
        CREATE OR REPLACE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT -$1'""", "gene_f", "is out of order at"
    ),
    "a lost index": ("DROP INDEX gene_order", "schema", "index gene_order is missing"),
    "a lost table": ("DROP TABLE metacell_peak", "metacell_peak", "cannot be read"),
    "a column of another type": ("ALTER TABLE metacell ALTER purity TYPE double precision", "schema", "column metacell.purity is not as the migrations make it"),
    "one column more": ("ALTER TABLE gene ADD whim text", "schema", "column gene.whim is not of the migrations"),
    "a lost rule": ("DROP POLICY seen ON genotype", "schema", "policy seen of genotype is missing"),
    "rules that do not hold": ("ALTER TABLE genotype DISABLE ROW LEVEL SECURITY", "schema", "row-level security of genotype is not as the migrations make it"),
    "a right too many": ("GRANT SELECT ON genotype TO vkg_open", "schema", "rights of vkg_open on genotype is not of the migrations"),
    "a right to write": ("GRANT UPDATE ON gene TO vkg_open", "schema", "rights of vkg_open on gene is not as the migrations make it"),
    "another function": (
        "CREATE OR REPLACE FUNCTION seen_loads() RETURNS integer[] LANGUAGE sql STABLE AS 'SELECT array_agg(load_id) FROM load'", "schema", "function seen_loads() is not as the migrations make it"
    ),
    "a check less": ("ALTER TABLE hbd_segment DROP CONSTRAINT hbd_segment_check", "schema", "constraint hbd_segment_check of hbd_segment is missing"),
    "a trigger": (
        "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER t BEFORE INSERT ON gene FOR EACH ROW EXECUTE FUNCTION g()", "schema", "trigger t of gene"
    ),
    "a migration of the future": ("INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc) VALUES ('x', '9999.future', now())", "schema", "made by a newer version: 9999.future"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found_and_its_place_named(url: str, name: str) -> None:
    statement, where, said = DAMAGES[name]
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(statement)
    # Schema and indexes take longest, and have damages of their own.
    left_out = {"schema", "indexes"} - ({"schema"} if where == "schema" else {"indexes"} if "index" in name else set())
    with psycopg.connect(url, autocommit=True) as conn:
        checks = [(each, check) for each, check in CHECKS if each not in left_out]
        found = [finding for _, findings in look(conn, checks, lambda _: None) for finding in findings if finding.where == where]
    assert any(said in finding.what for finding in found), found
    assert all(finding.remedy for finding in found)


@pytest.mark.parametrize(
    ("index", "added"),
    [
        ("gene_pkey", "INSERT INTO gene SELECT 'G' || n, load_id, NULL, 'G' || n, 1, n, n, 1 FROM load, generate_series(1, 30) n WHERE load_id = 7"),
        ("gene_span", "INSERT INTO gene SELECT 'G' || n, load_id, NULL, 'G' || n, 1, n, n, 1 FROM load, generate_series(1, 30) n WHERE load_id = 7"),
        ("transcript_consequence_hgvsc", "UPDATE transcript_consequence SET hgvsc = 'new' WHERE hgvsc IS NOT NULL"),
        ("embedding_1_direction", "UPDATE embedding_1 SET distance = 1"),
    ],
)  # fmt: skip
def test_an_index_that_misses_rows_is_found(url: str, index: str, added: str) -> None:
    ready = "UPDATE pg_index SET indisready = %s WHERE indexrelid = %s::regclass"
    with psycopg.connect(url, autocommit=True) as conn:
        if index.startswith("embedding"):
            conn.execute(f"CREATE INDEX {index} ON embedding_1 USING hnsw (direction halfvec_cosine_ops)")
            conn.execute("INSERT INTO embedding_1 SELECT variant_key + 1, direction, norm FROM embedding_1")  # the index has all for now
            assert not [f for f in deeply(url).findings if f.where == index]
        conn.execute(ready, (False, index))
        conn.execute(added)
        conn.execute(ready, (True, index))
    found = [finding for finding in deeply(url).findings if finding.where == index]
    assert len(found) == 1
    assert found[0].remedy.startswith(f"REINDEX INDEX {index}")


def test_a_server_with_amcheck_is_asked_by_it_and_does_not_keep_it() -> None:
    control = "/usr/share/postgresql/{}/extension/amcheck.control"
    found = [path for path in Path("/usr/lib/postgresql").glob("1[4-9]/bin/initdb") if Path(control.format(path.parts[-3])).exists()]
    if not found:
        pytest.skip("no PostgreSQL with amcheck is installed")
    with serving(found[0].parent) as folder, psycopg.connect(f"postgresql://vkg@/postgres?host={folder}", autocommit=True) as conn:
        conn.execute("CREATE TABLE a (n int PRIMARY KEY, t text)")
        conn.execute("CREATE INDEX a_t ON a (upper(t) text_pattern_ops)")
        conn.execute("INSERT INTO a SELECT n, repeat('x', n) FROM generate_series(1, 5000) n")
        for damaged in (False, True):
            if damaged:
                conn.execute("UPDATE pg_index SET indisready = false WHERE indexrelid = 'a_t'::regclass")
                conn.execute("INSERT INTO a SELECT n, 'new' FROM generate_series(6001, 6010) n")
                conn.execute("UPDATE pg_index SET indisready = true WHERE indexrelid = 'a_t'::regclass")
            looking = Looking(conn)
            with moment(conn):
                assert indexes(looking) == "2 indexes: 2 by amcheck"
            assert [finding.where for finding in looking.findings] == ["a_t"] * damaged
            assert conn.execute("SELECT FROM pg_extension WHERE extname = 'amcheck'").fetchone() is None


def test_damaged_pages_are_named_and_nothing_else_stops(server: str, whole: str) -> None:
    with database(server, whole) as url:
        with psycopg.connect(url) as conn:
            (path,) = conn.execute("SELECT pg_relation_filepath('variant_score')").fetchone() or ("",)
        file = Path(embedded.status().data_dir, path)
        page = bytearray(file.read_bytes())
        page[5_000] ^= 0xFF
        file.write_bytes(page)
        done = run(url, "doctor", "--deep", "--json")
        assert (done.code, done.err) == (1, "")
        said = json.loads(done.out)
        places = {finding["where"] for finding in said["findings"]}
        assert "variant_score" in places
        assert places <= {"variant_score", "variant_score_pkey", "variant_score_load"} | {p for p in places if p.startswith("server, ")}
        assert any("invalid page in block 0" in finding["what"] for finding in said["findings"])
        assert [check["name"] for check in said["checks"]] == [name for name, _ in CHECKS]


def test_of_many_alike_the_first_are_told_and_the_others_counted(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("UPDATE variant SET ref = alt, alt = ref")
        (variants,) = conn.execute("SELECT count(*) FROM variant").fetchone() or (0,)
    found = [finding for finding in deeply(url).findings if finding.where == "variant"]
    assert len(found) == MOST + 1
    assert found[-1] == Finding(f"and {variants - MOST:,} more of these", "As above.", "variant")


def test_who_may_not_see_everything_is_told_so(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE ROLE onlooker LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO onlooker")
        try:
            done = run(url.replace("://vkg@", "://onlooker@"), "doctor", "--deep")
            assert done.code == 2
            assert "lacks a right" in done.err
        finally:
            conn.execute("DROP OWNED BY onlooker; DROP ROLE onlooker")


def test_nothing_is_changed(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        state = "SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_namespace), (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_extension)"
        before, held = conn.execute(state).fetchone(), everything.contents(conn)
        examine_deeply(conn)
        assert conn.execute(state).fetchone() == before
        assert everything.contents(conn) == held
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
