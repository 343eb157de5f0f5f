"""Frequencies that are counted again from stored genotypes: equal to those of the usual order of loads, and to what bcftools counts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

import vkg
from loaders import derive
from loaders.derive import DeriveError, derive_job, say_outdated
from loaders.people_job import populations_job
from loaders.run import Outcome, ingest
from loaders.samples_job import samples_job
from store import release
from store.annotation import FREQUENCY
from store.load import AlreadyLoaded, Load, begin
from store.read import compose, where
from store.variant import VARIANT
from tests.conftest import ROOT
from tests.loaders.test_callset_files import BCFTOOLS, first_line

Conn = psycopg.Connection[Any]
Write = Callable[..., Path]

DEMO = ROOT / "demo"
DEMO_VCF = "kg300_eur.chr20_1-4mb.grch37.phased.vcf.gz"
COLUMNS = ("allele_count", "allele_number", "frequency", "homozygotes", "hemizygotes", "counted")

ROWS = ("20 100 . A G . . . GT 0/1 1/1 0/0 ./.", "20 101 . C T,G . . . GT 1/2 0/0 2 ./1", "20 102 . G C . . . GT 0/1/1 1 . 0|0")
PANEL = "sample\tpop\tsuper_pop\na\tGBR\tEUR\nb\tFIN\tEUR\nc\tJPT\tEAS\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: write(text, name="some.tsv")."""

    def write(text: str, name: str = "some.tsv") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def panel(conn: Conn, path: Path, **options: Any) -> Outcome:
    """Loads samples as `vkg load samples` does."""
    outcome = ingest(conn, *samples_job(conn, path, **options))
    assert isinstance(outcome, Outcome)
    say_outdated(conn, outcome, outcome.load.cohort)
    return outcome


def count_again(conn: Conn, callset: str, **options: Any) -> Outcome | AlreadyLoaded | None:
    """Does what `vkg derive frequencies` does."""
    job = derive_job(conn, callset, **options)
    return job and ingest(conn, *job)


def asked(conn: Conn, **conditions: Any) -> dict[tuple[int, str], tuple]:
    """What the API reads of all frequencies, by variant and population; of several the newest."""
    keys = [key for (key,) in conn.execute("SELECT DISTINCT variant_key FROM population_frequency")]
    statement, values = compose(
        FREQUENCY, "variant", columns=["population", *COLUMNS], order="newest", filter=where(**conditions), mode="all"
    )
    found: dict[tuple[int, str], tuple] = {}
    for row in run(conn, statement, values | {"keys": keys}):
        key, _, _, population, *said = row
        found.setdefault((key, population), tuple(said))
    return found


def run(conn: Conn, statement: Any, values: dict[str, Any]) -> list[tuple]:
    """The rows of a composed statement, as the newest release shows them."""
    bound = statement.bind(
        values
        | {
            "loads": release.current(conn).loads,
            "withheld": [],
            "limited": [],
            "least": 0,
            "limit": 1000,
            "lo": -(1 << 63),
            "hi": (1 << 63) - 1,
        }
    )
    with psycopg.RawCursor(conn) as cursor:
        return cursor.execute(statement.text, bound).fetchall()


@pytest.fixture
def people(grch37: Conn, write_cohort: Any, load_vcf: Any) -> int:
    """A callset of a, b, c, d, loaded when nothing was known of them; its load."""
    load: int = load_vcf(grch37, write_cohort("a b c d", *ROWS, name="kg.vcf"), cohort="kg").load.load_id
    return load


def test_the_frequencies_are_those_of_loading_in_the_usual_order(
    grch37: Conn, people: int, write: Write, load_vcf: Any, write_cohort: Any
) -> None:
    panel(grch37, write(PANEL, "kg.panel"), cohort="kg")
    outcome = count_again(grch37, "kg")
    assert isinstance(outcome, Outcome)
    assert outcome.load.counts == {"records": 4, "population_frequency": 4, "frequency_population": 5}
    assert (outcome.load.dataset, outcome.load.cohort) == ("kg.frequencies", None)
    places = grch37.execute(
        "SELECT population, counted, callset_load FROM frequency_population WHERE load_id = %s ORDER BY ordinal", (outcome.load.load_id,)
    )
    assert places.fetchall() == [(name, True, people) for name in ("EAS", "EUR", "FIN", "GBR", "JPT")]
    derived = asked(grch37)
    load_vcf(grch37, write_cohort("a b c d", *ROWS, name="usual.vcf"), cohort="kg")
    usual = asked(grch37, dataset=["usual"])
    assert len(usual) == 4 * 6
    assert derived == usual == asked(grch37, dataset=["kg"]) == derived
    assert {name for _, name in asked(grch37, dataset=["kg.frequencies"])} == {"EAS", "EUR", "FIN", "GBR", "JPT"}


def test_the_same_again_is_a_no_op_and_what_is_known_later_is_not(
    grch37: Conn, people: int, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    hint = "was counted before these populations were known: vkg derive frequencies --callset kg\n"
    with pytest.raises(DeriveError, match=r"no population is known .*\n.*vkg load samples FILE --cohort kg"):
        derive_job(grch37, "kg")
    panel(grch37, write(PANEL, "held.panel"), cohort="kg", hold=True)
    assert hint not in capsys.readouterr().err, "what is held is not known"
    panel(grch37, write(PANEL, "kg.panel"), cohort="kg", dataset="panel", version="1")
    assert hint in capsys.readouterr().err
    first = count_again(grch37, f"kg@{release.loads(grch37)[-1].version}", hold=True)
    assert isinstance(first, Outcome)
    assert "of 1 of 4 samples no population is known: they are not counted\n" in capsys.readouterr().err
    again = count_again(grch37, "kg")
    assert isinstance(again, AlreadyLoaded)
    assert (again.load_id, again.visible) == (first.load.load_id, False)
    release.publish(grch37, again.load_id)
    assert count_again(grch37, "kg") is None
    assert "kg" in (said := capsys.readouterr().err)
    assert "was counted by the populations that are known now: nothing to do\n" in said

    outcome = ingest(grch37, *populations_job(write("name\tparent\nEUR\tWORLD\nEAS\tWORLD\n", "world.tsv")))
    say_outdated(grch37, outcome)
    assert hint in capsys.readouterr().err
    second = count_again(grch37, "kg")
    assert isinstance(second, Outcome)
    assert second.load.version != first.load.version
    assert {name for _, name in asked(grch37)} == {"ALL", "EAS", "EUR", "FIN", "GBR", "JPT", "WORLD"}
    assert release.current(grch37).loads.count(first.load.load_id) == 0, "the new version takes the place of the old one"
    say_outdated(grch37, outcome)
    assert hint not in capsys.readouterr().err


def test_what_is_counted_again_takes_the_place_of_what_the_callset_says(
    grch37: Conn, people: int, write: Write, load_vcf: Any, write_cohort: Any
) -> None:
    panel(grch37, write(PANEL, "one.panel"), cohort="kg", dataset="panel", version="1")
    callset = load_vcf(grch37, write_cohort("a b c d", *ROWS, name="later.vcf"), cohort="kg").load.load_id
    release.unload(grch37, people)
    before = asked(grch37)
    panel(grch37, write(PANEL.replace("a\tGBR", "a\tFIN"), "two.panel"), cohort="kg", dataset="panel", version="2")
    derived = count_again(grch37, "later")
    assert isinstance(derived, Outcome)
    after = asked(grch37)
    key = min(key for key, _ in after)
    assert (before[key, "FIN"], after[key, "FIN"]) == ((2, 2, 1.0, 1, 0, True), (3, 4, 0.75, 1, 0, True))
    assert after[key, "ALL"] == before[key, "ALL"]
    # Of FIN there is one frequency, and filters look at that one.
    statement, values = compose(FREQUENCY, "variant", columns=["load_id"], order="newest", filter=where(population=["FIN"]), mode="all")
    assert [row[-1] for row in run(grch37, statement, values | {"keys": [key]})] == [derived.load.load_id]
    for dataset in (None, "later", "later.frequencies"):
        for low, high, found in ((0.74, 0.76, [key]), (0.99, 1, [])):
            frequency = {"population": "FIN", "dataset": dataset, "min": low, "max": high}
            statement, values = compose(
                VARIANT, "region", columns=["variant_key"], order="genome", filter=("and", (("frequency", frequency),))
            )
            assert [row[-1] for row in run(grch37, statement, values) if row[-1] == key] == found
    release.unload(grch37, callset)
    assert asked(grch37) == {}, "what was counted goes with the genotypes"


def test_populations_that_nobody_is_of_any_more_are_not_shown_when_they_were_counted_again(
    grch37: Conn, write: Write, load_vcf: Any, write_cohort: Any
) -> None:
    panel(grch37, write(PANEL, "one.panel"), cohort="kg", dataset="panel", version="1")
    load_vcf(grch37, write_cohort("a b c d", *ROWS, name="kg.vcf"), cohort="kg")
    assert {name for _, name in asked(grch37)} == {"ALL", "GBR", "FIN", "EUR", "JPT", "EAS"}
    everybody = {key: said for key, said in asked(grch37).items() if key[1] == "ALL"}
    panel(grch37, write("sample\tpop\na\tNORTH\nb\tNORTH\nc\tJPT\n", "two.panel"), cohort="kg", dataset="panel", version="2")
    assert isinstance(count_again(grch37, "kg"), Outcome)
    after = asked(grch37)
    assert {name for _, name in after} == {"ALL", "NORTH", "JPT"}
    assert {key: said for key, said in after.items() if key[1] == "ALL"} == everybody
    for population in ("GBR", "EUR", "EAS"):
        frequency = {"population": population, "dataset": None, "min": 0, "max": 1}
        statement, values = compose(VARIANT, "region", columns=["variant_key"], order="genome", filter=("and", (("frequency", frequency),)))
        assert run(grch37, statement, values) == []


@pytest.mark.parametrize("name", ["no", "kg@2", "panel"])
def test_a_callset_that_is_not_visible_is_refused(grch37: Conn, people: int, write: Write, name: str) -> None:
    panel(grch37, write(PANEL, "one.panel"), cohort="kg", dataset="panel")
    with pytest.raises(DeriveError, match=f"no visible callset '{name}'\n  Visible are: kg@"):
        derive_job(grch37, name)
    release.unload(grch37, people)
    with pytest.raises(DeriveError, match=r"Visible are: none"):
        derive_job(grch37, "kg")


@pytest.mark.parametrize("committed", [0, 1, 3, 4])
def test_a_count_that_was_cut_off_goes_on(
    grch37: Conn, people: int, store_url: str, write: Write, monkeypatch: pytest.MonkeyPatch, committed: int
) -> None:
    panel(grch37, write(PANEL, "kg.panel"), cohort="kg")
    whole = count_again(grch37, "kg", hold=True)
    assert isinstance(whole, Outcome)
    table = "SELECT variant_key, ac, an, af, hom, hemi FROM population_frequency WHERE load_id = %s ORDER BY 1"
    expected = grch37.execute(table, (whole.load.load_id,)).fetchall()
    release.unload(grch37, whole.load.load_id)
    monkeypatch.setattr(derive, "CHUNK_CALLS", 4)
    derived = derive_job(grch37, "kg")
    assert derived is not None
    job, read = derived
    chunks = list(read(0, 0))
    assert [chunk.end for chunk in chunks] == [1, 2, 3, 4]
    with psycopg.connect(store_url, autocommit=True) as died:
        cut_off = begin(died, dataset=job.dataset, kind=job.kind, version=None, files=job.files, options=job.options)
        assert isinstance(cut_off, Load)
        for chunk in chunks[:committed]:
            cut_off.write(0, chunk, lambda rejects: None)
    outcome = count_again(grch37, "kg")
    assert isinstance(outcome, Outcome)
    assert outcome.load.load_id == cut_off.load_id
    assert outcome.load.counts == whole.load.counts
    assert grch37.execute(table, (cut_off.load_id,)).fetchall() == expected


def test_the_command_counts_and_says_so(
    grch37: Conn, people: int, store_url: str, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VKG_DATABASE_URL", store_url)

    def command(*words: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["vkg", *words])
        with pytest.raises(SystemExit) as ended:
            vkg.main()
        return (ended.value.code or 0, *capsys.readouterr())

    assert command("derive", "frequencies", "--callset", "kg")[0] == 2
    _, out, err = command("load", "samples", str(write(PANEL, "kg.panel")), "--cohort", "kg")
    assert "vkg derive frequencies --callset kg" in err
    code, out, err = command("derive", "frequencies", "--callset", "kg")
    assert (code, out.splitlines()[0].split(": ", 1)[1]) == (0, "4 records: 4 population_frequency, 5 frequency_population"), err
    code, out, err = command("load", "populations", str(write("code\tparent\nEUR\tWORLD\n")))
    assert (code, "vkg derive frequencies --callset kg" in err) == (0, True)
    code, out, err = command("load", "ancestry", str(write("0 a 1\n0 b 2\n", "p.eigenvec")), "--unscaled")
    assert (code, out.splitlines()[0].split(": ", 1)[1]) == (0, "2 records: 2 sample_info, 2 ancestry, 1 ancestry_run"), err
    sites = "chrom\tpos\tref\talt\tAF\n20\t100\tA\tG\t0.5\n"
    code, out, err = command("load", "frequencies", str(write(sites, "s.tsv")), "--assembly", "GRCh37", "--namespace", "")
    assert (code, out.splitlines()[0].split(": ", 1)[1]) == (0, "1 records: 1 population_frequency, 1 frequency_population"), err
    assert ("ALL",) in grch37.execute("SELECT population FROM frequency_population WHERE NOT counted").fetchall()


# ---- the demo's callset: 24,990 variants of 300 people


@pytest.fixture
def demo(grch37: Conn, load_vcf: Any, tmp_path: Path) -> Outcome:
    """The demo's VCF, loaded when nothing was known of its samples."""
    (tmp_path / DEMO_VCF).symlink_to(DEMO / DEMO_VCF)
    outcome: Outcome = load_vcf(
        grch37, tmp_path / DEMO_VCF, dataset="kg300", cohort="1000G", assembly="GRCh37", reference=next(DEMO.glob("*.fa.gz"))
    )
    return outcome


NORTH_SOUTH = "name\tparent\nGBR\tNORTH\nFIN\tNORTH\nCEU\tNORTH\nIBS\tSOUTH\nNORTH\tEUR\nSOUTH\tEUR\n"


def test_the_demo_counted_again_equals_the_usual_order_and_bcftools(
    grch37: Conn, demo: Outcome, load_vcf: Any, write: Write, tmp_path: Path
) -> None:
    panel(grch37, Path(shutil.copy(DEMO / "samples.panel", tmp_path)), cohort="1000G")
    ingest(grch37, *populations_job(write(NORTH_SOUTH)))
    outcome = count_again(grch37, "kg300")
    assert isinstance(outcome, Outcome)
    assert outcome.load.counts == {"records": 24_990, "population_frequency": 24_990, "frequency_population": 7}
    usual: Outcome = load_vcf(grch37, tmp_path / DEMO_VCF, dataset="usual", cohort="1000G", assembly="GRCh37")
    derived, expected = (by_variant(grch37, load.load.load_id) for load in (outcome, usual))
    assert {key: {"ALL": said["ALL"]} | derived[key] for key, said in expected.items()} == expected
    if BCFTOOLS:
        lines = grch37.execute("SELECT variant_key, line FROM variant_record WHERE load_id = %s", (demo.load.load_id,))
        ours = {line: {name: said[:4] for name, said in derived[key].items()} for key, line in lines}
        assert ours == bcftools_counts(tmp_path)


def by_variant(conn: Conn, load_id: int) -> dict[int, dict[str, tuple]]:
    """(AC, AN, homozygotes, hemizygotes, AF) of a load, by variant and population."""
    names = [
        name for (name,) in conn.execute("SELECT population FROM frequency_population WHERE load_id = %s ORDER BY ordinal", (load_id,))
    ]
    nobody = [0] * len(names)
    with conn.cursor(row_factory=dict_row, binary=True) as cursor:
        rows = cursor.execute("SELECT * FROM population_frequency WHERE load_id = %s", (load_id,)).fetchall()
    return {
        row["variant_key"]: dict(
            zip(names, zip(row["ac"], row["an"], row["hom"] or nobody, row["hemi"] or nobody, row["af"], strict=True), strict=True)
        )
        for row in rows
    }


def bcftools_counts(folder: Path) -> dict[int, dict[str, tuple[int, ...]]]:
    """(AC, AN, homozygotes, hemizygotes) by line and population, as `bcftools +fill-tags -S` counts them in groups of samples."""
    people = [line.split("\t")[:3] for line in (DEMO / "samples.panel").read_text().splitlines()[1:]]
    side = {"GBR": "NORTH", "FIN": "NORTH", "CEU": "NORTH", "IBS": "SOUTH"}
    groups = folder / "groups"
    groups.write_text("".join(f"{name}\t{population},{side[population]},{larger}\n" for name, population, larger in people))
    names = ["EUR", "NORTH", "SOUTH", "CEU", "FIN", "GBR", "IBS"]
    tags = "".join(f"\\t%AC_{name}\\t%AN_{name}\\t%AC_Hom_{name}\\t%AC_Hemi_{name}" for name in names)
    command = f"bcftools +fill-tags -Ou {DEMO / DEMO_VCF} -- -S {groups} -t AN,AC,AC_Hom,AC_Hemi | bcftools query -f '%POS{tags}\\n' -"
    output = subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout
    counts = {}
    for line, record in enumerate(output.splitlines(), first_line(DEMO / DEMO_VCF)):
        _, *numbers = map(int, record.split("\t"))
        fours = zip(*[iter(numbers)] * 4, strict=True)
        counts[line] = {name: (ac, an, hom // 2, hemi) for name, (ac, an, hom, hemi) in zip(names, fours, strict=True)}
    return counts
