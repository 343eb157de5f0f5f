"""Genotypes: every GT of a file is in the store as it was written, alleles are counted as a plain count and bcftools do it, and a record
whose genotypes are wrong is refused whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import dict_row

from loaders.counts import Populations
from loaders.errors import InputError
from loaders.genotypes import Genotypes, Lines
from loaders.run import ingest
from loaders.samples_job import samples_job
from store.load import AlreadyLoaded
from store.planes import SCHEMA, decode, encode, texts
from store.sample import Known
from tests.loaders.test_run import everything, rows

Conn = psycopg.Connection[Any]
Write = Callable[..., Path]


def records(path: Path) -> dict[int, list[str]]:
    """The columns of a VCF's records by line."""
    lines = enumerate(path.read_text().splitlines(), 1)
    return {number: line.split("\t") for number, line in lines if not line.startswith("#")}


def stored(conn: Conn, load_id: int, samples: int, columns: str = ", ".join(SCHEMA.names)) -> dict[int, dict[int, list[str]]]:
    """The calls of a load as text, by line and allele."""
    with conn.cursor(row_factory=dict_row, binary=True) as cursor:
        found = cursor.execute(
            f"SELECT line, allele, {columns} FROM genotype JOIN variant_record USING (variant_key, load_id) WHERE load_id = %s", (load_id,)
        ).fetchall()
    written: dict[int, dict[int, list[str]]] = {}
    for row, calls in zip(found, texts(decode(found, samples)).tolist(), strict=True):
        written.setdefault(row["line"], {})[row["allele"]] = calls
    return written


def rebuilt(by_allele: dict[int, list[str]], alts: int) -> list[str]:
    """GT as it was in the record, of which at most one ALT has no rows, from what the rows of the others say."""
    unstored = sorted({*range(1, alts + 1)} - {*by_allele})

    def allele(characters: dict[int, str]) -> str:
        own = [str(number) for number, character in characters.items() if character == "1"]
        return own[0] if own else str(unstored[0]) if {*characters.values()} == {"2"} else characters[next(iter(characters))]

    return [
        "".join(allele(dict(zip(by_allele, characters, strict=True))) for characters in zip(*calls, strict=True))
        for calls in zip(*by_allele.values(), strict=True)
    ]


def test_every_gt_of_the_file_of_oddities_can_be_written_back(grch37: Conn, load_vcf: Any, oddities: Path) -> None:
    outcome = load_vcf(grch37, oddities, unnormalized=True)
    assert outcome.load.reasons == {"symbolic ALT": 1}
    found = stored(grch37, outcome.load.load_id, 5)
    for line, columns in records(oddities).items():
        genotypes = [cell.split(":")[0] for cell in columns[9:]]
        assert rebuilt(found[line], len(columns[4].split(","))) == genotypes, columns[2]
    assert rows(grch37, "SELECT ordinal, name, cohort FROM callset_sample JOIN sample USING (sample_id) ORDER BY 1") == [
        (n, name, "oddities") for n, name in enumerate(("mother", "father", "son", "daughter", "cell_line"))
    ]


ZYGOSITY = """SELECT r.ids[1], array_agg(coalesce(genotype_zygosity(alt, alt_slots, other, missing, haploid, o), '') ORDER BY o)
    FROM genotype g JOIN variant_record r USING (variant_key, load_id), generate_series(0, 4) o WHERE r.allele = %s GROUP BY 1"""


def test_calls_of_more_than_two_alleles_tell_their_zygosity(grch37: Conn, load_vcf: Any, oddities: Path) -> None:
    load_vcf(grch37, oddities, unnormalized=True)
    first, second = ({name: " ".join(z or "-" for z in all_) for name, all_ in grch37.execute(ZYGOSITY, (n,))} for n in (1, 2))
    assert first["triploid"] == "HET HOM_ALT - PARTIAL HET"
    assert first["tetraploid"] == "HET HOM_ALT - PARTIAL HEMI"
    assert first["mixed_separators"] == "HET HET HOM_ALT PARTIAL HET"
    assert first["leading_phase"] == "HET HEMI - HET HOM_ALT"
    assert first["triploid_two_alts"] == "HET_OTHER_ALT - HET_OTHER_ALT - -"
    assert second["triploid_two_alts"] == "HET_OTHER_ALT HOM_ALT HET_OTHER_ALT PARTIAL -"
    assert first["alt_and_star"] == "HET_OTHER_ALT - - HOM_ALT -"
    assert first["x_only"] == "HET HEMI - HOM_ALT -"
    assert first["not_called"] == "- - - - PARTIAL"


def test_columns_that_would_say_nothing_are_null(grch37: Conn, load_vcf: Any, oddities: Path) -> None:
    load_vcf(grch37, oddities, unnormalized=True)
    by_name = {
        name: said
        for name, *said in rows(
            grch37,
            """SELECT ids[1], phasing, calls IS NOT NULL, other IS NOT NULL, missing IS NOT NULL, haploid IS NOT NULL, phase IS NOT NULL,
            phase_sets FROM genotype JOIN variant_record USING (variant_key, load_id) WHERE allele = 1""",
        )
    }
    assert by_name["plain"] == [1, False, False, False, False, False, None]
    assert by_name["unphased"] == [0, False, False, False, False, False, None]
    assert by_name["mixed_phasing"] == [2, False, False, False, False, True, None]
    assert by_name["x_only"] == [0, False, False, True, True, False, None]
    assert by_name["phase_sets"] == [2, False, False, False, False, True, [100, 100, None, 0, None]]
    assert by_name["nothing_but_phase_set_text"][-1] is None
    assert by_name["leading_phase"][1]


def count_plainly(genotypes: list[str], allele: int) -> tuple[int, int, int, int]:
    """(AC, AN, individuals all of whose alleles are the ALT, haploid calls of it)."""
    split = [re.findall(r"[0-9]+|\.", text) for text in genotypes]
    own = str(allele)
    return (
        sum(call.count(own) for call in split),
        sum(a != "." for call in split for a in call),
        sum(len(call) > 1 and {*call} == {own} for call in split),
        sum(call == [own] for call in split),
    )


FREQUENCIES = """SELECT line, allele, ac, an, af, hom, hemi FROM population_frequency JOIN variant_record USING (variant_key, load_id)
    WHERE load_id = %s ORDER BY 1, 2"""


def test_populations_are_counted_whatever_the_ploidy(grch37: Conn, load_vcf: Any, oddities: Path) -> None:
    panel = oddities.with_name("panel.tsv")
    panel.write_text("sample\tpop\tsuper_pop\nmother\tNN\tEUR\nfather\tAB\tEUR\nson\tNN\tEUR\ndaughter\tCD\tALL\nstranger\tZZ\tAFR\n")
    job, read = samples_job(grch37, panel, cohort="family", dataset="panel")
    ingest(grch37, job, read)
    outcome = load_vcf(grch37, oddities, unnormalized=True, cohort="family")
    assert rows(grch37, "SELECT population, counted FROM frequency_population ORDER BY ordinal") == [
        *((name, True) for name in ("ALL", "EUR", "AB", "CD", "NN")),
        ("popmax", False),
    ]
    members = [[0, 1, 2, 3, 4], [0, 1, 2], [1], [3], [0, 2]]
    lines = records(oddities)
    seen = rows(grch37, FREQUENCIES.replace("%s", str(outcome.load.load_id)))
    assert len(seen) == outcome.load.counts["genotype"] == outcome.load.counts["population_frequency"]
    for line, allele, ac, an, af, hom, hemi in seen:
        genotypes = [cell.split(":")[0] for cell in lines[line][9:]]
        expected = [count_plainly([genotypes[n] for n in people], allele) for people in members]
        published = 0.5 if lines[line][2] == "plain" else None
        assert list(zip(ac[:5], an[:5], (hom or [0] * 6)[:5], (hemi or [0] * 6)[:5], strict=True)) == expected
        assert (af or [None] * 6) == [*(c / n if n else None for c, n, _, _ in expected), published]
        assert (ac[5], an[5]) == (None, None)
        assert (hom is None, hemi is None) == (not any(e[2] for e in expected), not any(e[3] for e in expected))


def test_who_is_not_known_counts_for_all_only_and_that_is_said(
    grch37: Conn, load_vcf: Any, write_cohort: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_cohort("a b", "20 1 . A G . . . GT 0/1 1/1")
    first = load_vcf(grch37, path, dataset="kg", cohort="people")
    assert "no population is known of the samples of cohort people" in (said := capsys.readouterr().err)
    assert "vkg load samples FILE --cohort people" in said
    assert rows(grch37, "SELECT population FROM frequency_population") == [("ALL",)]
    (tmp_path / "panel.tsv").write_text("sample\tpop\tsuper_pop\na\tGBR\tEUR\n")
    job, read = samples_job(grch37, tmp_path / "panel.tsv", cohort="people", dataset="panel")
    ingest(grch37, job, read)
    # The same file again is not the same load now: it is counted by population.
    second = load_vcf(grch37, path, dataset="kg", cohort="people")
    assert "of 1 of 2 samples no population is known" in capsys.readouterr().err
    assert second.load.load_id > first.load.load_id
    statement = "SELECT array_agg(population::text ORDER BY ordinal) FROM frequency_population GROUP BY load_id ORDER BY load_id"
    assert rows(grch37, statement) == [(["ALL"],), (["ALL", "EUR", "GBR"],)]
    assert rows(grch37, "SELECT ac, an FROM population_frequency ORDER BY load_id") == [([3], [4]), ([3, 1, 1], [4, 2, 2])]
    assert isinstance(load_vcf(grch37, path, dataset="kg", cohort="people"), AlreadyLoaded)


FORMATS = "SELECT r.ids[1], r.allele, dp, gq, ad_ref, ad_alt FROM genotype_format JOIN variant_record r USING (variant_key, load_id) ORDER BY r.line, 2"


def test_dp_gq_and_ad_are_kept_when_asked_for(grch37: Conn, load_vcf: Any, oddities: Path) -> None:
    assert load_vcf(grch37, oddities, unnormalized=True, dataset="without").load.counts["genotype_format"] == 0
    outcome = load_vcf(grch37, oddities, unnormalized=True, dataset="with", keep_format=True)
    assert rows(grch37, FORMATS) == [
        ("depths", 1, [30, None, 12, 0, 7], [99, None, None, 0, 56], [14, None, None, 0, 3], [16, None, None, 0, 4]),
        ("depths_two_alts", 1, [6, None, 10, 8, None], None, [1, 9, 5, 7, None], [2, None, None, 1, None]),
        ("depths_two_alts", 2, [6, None, 10, 8, None], None, [1, 9, 5, 7, None], [3, None, 5, None, None]),
        ("odd_depths", 1, [None, None, None, 5, 1], [None, None, 1, None, 2], [1, 2, None, None, 3], [None, 2, 2, None, 4]),
    ]
    assert outcome.load.warnings == {
        "FORMAT DP that is no number from 0, left out": 3,
        "FORMAT GQ that is no number from 0, left out": 3,
        "FORMAT AD that is no number from 0, left out": 2,
        "FORMAT PS that is no number from 0, left out": 1,
    }
    assert outcome.load.counts["genotype_format"] == 4


GOOD = "20 9 . A G . . . GT:DP 0/1:3 0/0:4"


@pytest.mark.parametrize(
    ("record", "reason", "detail"),
    [
        ("20 5 . A G . . . DP 3 4", "FORMAT without GT", "DP; --sites-only leaves genotypes out"),
        ("20 5 . A G . . . . . .", "FORMAT without GT", ".; --sites-only leaves genotypes out"),
        ("20 5 . A G . . .", "FORMAT without GT", "no FORMAT; --sites-only leaves genotypes out"),
        ("20 5 . A G . . . DP:GT 3:0/1 4:0/1", "GT is not the first FORMAT key", "DP:GT; --sites-only leaves genotypes out"),
        ("20 5 . A G . . . GT 0/1", "wrong number of sample columns", "1 of 2"),
        ("20 5 . A G . . . GT:DP 0/1:3 0/0:3 0/0:3", "wrong number of sample columns", "3 of 2"),
        ("20 5 . A G . . . GT", "wrong number of sample columns", "0 of 2"),
        ("20 5 . A G . . . GT 0/1 0/x", "GT that is no genotype", "b has '0/x'"),
        ("20 5 . A G . . . GT 0/1 0-1", "GT that is no genotype", "b has '0-1'"),
        ("20 5 . A G . . . GT 0/1 ", "GT that is no genotype", "b has ''"),
        ("20 5 . A G . . . GT:DP 0/1:3 :3", "GT that is no genotype", "b has ''"),
        ("20 5 . A G . . . GT 0//1 0/1", "GT that is no genotype", "a has '0//1'"),
        ("20 5 . A G . . . GT 0/1 0/é", "GT that is no genotype", "b has '0/é'"),
        ("20 5 . A G . . . GT 0/1 0/2", "GT with an allele that the record does not have", "b has '0/2'"),
        ("20 5 . A G,T . . . GT:DP 3/1:1 0/2:1", "GT with an allele that the record does not have", "a has '3/1'"),
        ("20 5 . A G . . . GT 0/1 10/0", "GT with an allele that the record does not have", "b has '10/0'"),
        ("20 5 . A G . . . GT 0/0/7 0/1", "GT with an allele that the record does not have", "a has '0/0/7'"),
        ("20 5 . A G . . . GT 0/1 999999999", "GT with an allele that the record does not have", "b has '999999999'"),
    ],
)
def test_a_record_whose_genotypes_are_wrong_is_rejected_whole(
    grch37: Conn, load_vcf: Any, write_cohort: Write, record: str, reason: str, detail: str
) -> None:
    path = write_cohort("a b", record, GOOD)
    outcome = load_vcf(grch37, path, keep_format=True)
    assert outcome.load.reasons == {reason: 1}
    assert Path(f"{path}.rejects.tsv").read_text().splitlines()[1].split("\t")[1:3] == [reason, detail]
    left = everything(grch37)
    for table in ("variant", "variant_record", "genotype", "genotype_format", "population_frequency"):
        assert left[table] == 1
    path.unlink()
    with pytest.raises(InputError, match=re.escape(reason)):
        load_vcf(grch37, write_cohort("a b", GOOD, record, name="strict.vcf"), strict=True, dataset="strict")
    assert everything(grch37) == left


def test_records_that_are_no_variants_need_no_genotypes(grch37: Conn, load_vcf: Any, write_cohort: Write) -> None:
    outcome = load_vcf(grch37, write_cohort("a b", "20 5 . A . . . . DP 3 4", "20 6 . A <NON_REF> . . . GT 0/7 0/0", GOOD), strict=True)
    assert outcome.load.skipped == {"no variant: no ALT": 1, "no variant: <NON_REF>": 1}


ALLELES = st.one_of(st.integers(0, 12).map(str), st.just("."))


@st.composite
def genotype_texts(draw: st.DrawFn) -> str:
    ploidy = draw(st.sampled_from([1, 2, 2, 2, 2, 3, 4]))
    marks = draw(st.lists(st.sampled_from("/|"), min_size=ploidy, max_size=ploidy))
    marks[0] = draw(st.sampled_from(["", "", "", marks[0]]))
    return "".join(mark + draw(ALLELES) for mark in marks)


@st.composite
def blocks(draw: st.DrawFn) -> list[list[str]]:
    """Records of 12 ALTs and a few samples, of which some are wholly of fixed width."""
    n = draw(st.integers(1, 5))
    made = []
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            keys, more = "GT", [""]
        else:
            keys, more = "GT:DP:AD", ["", ":", ":5", ":.:1,2", ":3:4"]
        diploid = st.from_regex(r"\A[0-9.][/|][0-9.]\Z")
        texts_of = draw(st.sampled_from([genotype_texts(), diploid]))
        cells = [draw(texts_of) + draw(st.sampled_from(more)) for _ in range(n)]
        made.append(["20", "1", ".", "A", ",".join("C" * k for k in range(1, 13)), ".", ".", ".", keys, "\t".join(cells)])
    return made


def read(block: list[list[str]], samples: list[str]) -> Genotypes:
    alts = np.array([record[4].count(",") + 1 for record in block], np.int32)
    return Genotypes(Lines("\n".join("\t".join(record) for record in block).encode()), alts, samples)


@given(blocks())
def test_records_that_are_made_up_are_read_back_and_counted(block: list[list[str]]) -> None:
    cells = [[cell.split(":")[0] for cell in record[9].split("\t")] for record in block]
    samples = [str(n) for n in range(len(cells[0]))]
    genotypes = read(block, samples)
    assert genotypes.errors == {}
    numbers, alleles = (grid.ravel() for grid in np.meshgrid(range(len(block)), range(1, 13), indexing="ij"))
    calls = genotypes.relative(numbers, alleles)
    found = texts(decode(encode(calls).to_pylist(), len(samples)))
    known = Known(dict.fromkeys(samples[1::2], "odd"), {"odd": "super"})
    populations = Populations(samples, known)
    counts = np.stack(populations.count(calls), axis=-1)
    for record, own in enumerate(cells):
        of_record = {int(a): found[row].tolist() for row, a in enumerate(alleles) if numbers[row] == record}
        assert rebuilt(of_record, 12) == own
        for row in np.flatnonzero(numbers == record):
            expected = [count_plainly(people, alleles[row]) for people in (own, own[1::2], own[1::2])[: len(populations.names)]]
            assert counts[row].tolist() == [list(count) for count in expected]


def test_alleles_beyond_the_127th() -> None:
    block = [["20", "1", ".", "A", ",".join(["C"] * 200), ".", ".", ".", "GT", "0/200\t3|4"]]
    calls = read(block, ["a", "b"]).relative(np.array([0, 0, 0]), np.array([200, 199, 4]))
    assert texts(calls).tolist() == [["0/1", "2|2"], ["0/2", "2|2"], ["0/2", "2|1"]]
    block[0][4] = ",".join(["C"] * 199)
    assert read(block, ["a", "b"]).errors[0].detail == "a has '0/200'"


@given(st.text(alphabet="0123456789./|:\t,-xé", max_size=12))
def test_no_text_breaks_the_reader(text: str) -> None:
    samples = ["a", "b"]
    genotypes = read([["20", "1", ".", "A", "C", ".", ".", ".", "GT:DP", text]], samples)
    cells = [cell.split(":")[0] for cell in text.split("\t")]
    fits = len(cells) == 2 and all(re.fullmatch(r"[/|]?([01]|\.)([/|]([01]|\.))*", re.sub(r"\b0+(?=[0-9])", "", cell)) for cell in cells)
    assert (genotypes.errors == {}) == fits
