"""Callsets: the samples of a load, what its files must have in common, and what becomes of it when it is cut off, repeated or taken out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pysam
import pytest

from loaders import vcf
from loaders.errors import InputError
from loaders.header import VcfHeader
from loaders.run import ingest
from loaders.samples_job import samples_job
from loaders.vcf_job import vcf_job
from store.errors import StoreError
from store.load import AlreadyLoaded, Load
from store.release import current, purge, unload
from tests.loaders.test_run import everything, rows

Conn = psycopg.Connection[Any]
Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["a b a"], "one.vcf: 2 of its samples are named 'a'"),
        (["a b", "b a"], "two.vcf: its samples are not those of {one} in the same order: number 1 is 'b', there 'a'"),
        (["a b", "a"], "two.vcf: its samples are not those of {one} in the same order: number 2 is none, there 'b'"),
        (["a", "a b"], "two.vcf: its samples are not those of {one} in the same order: number 2 is 'b', there none"),
        (["a b", ""], "two.vcf: it has no samples, and {one} has some"),
        (["", "a b"], "two.vcf: it has samples, and {one} has none"),
        (["a  b"], "one.vcf: its sample column 2 has no name"),
    ],
)
def test_files_whose_samples_cannot_be_one_callset_are_refused(
    grch37: Conn, load_vcf: Any, write_cohort: Write, write_fasta: Any, files: list[str], said: str
) -> None:
    paths = [write_cohort(names, f"20 {n} . A G . . .", name=f"{('one', 'two')[n]}.vcf") for n, names in enumerate(files)]
    fasta = write_fasta({"20": "A" * 500})
    with pytest.raises(InputError) as error:
        load_vcf(grch37, *paths, dataset="both", reference=fasta)
    assert said.format(one=paths[0]) in str(error.value)
    assert "--sites-only" in str(error.value)
    assert everything(grch37) == {}
    assert rows(grch37, "SELECT reference_path FROM genome") == [(None,)]


def test_files_of_one_load_have_one_list_of_samples(grch37: Conn, load_vcf: Any, write_cohort: Write) -> None:
    one = write_cohort("a b", "20 1 . A G . . . GT 0/1 0/0", name="one.vcf")
    two = write_cohort("a b", "20 2 . A G . . . GT 0/1 1/1", name="two.vcf")
    outcome = load_vcf(grch37, one, two, dataset="both")
    assert outcome.load.counts["callset_sample"] == 2
    assert rows(grch37, "SELECT ac FROM population_frequency ORDER BY variant_key") == [([1],), ([3],)]


def test_sites_only_leaves_genotypes_out(grch37: Conn, load_vcf: Any, oddities: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_vcf(grch37, oddities, unnormalized=True, sites_only=True)
    assert capsys.readouterr().err == ""
    assert rows(grch37, "SELECT count(*) FROM sample") == [(0,)]
    assert rows(grch37, "SELECT options -> 'sites_only' FROM load") == [(True,)]
    assert rows(grch37, "SELECT af FROM population_frequency") == [([0.25, 0.5],)]
    assert not isinstance(load_vcf(grch37, oddities, unnormalized=True), AlreadyLoaded)


def test_the_ledger_does_not_name_samples(grch37: Conn, load_vcf: Any, oddities: Path) -> None:
    load_vcf(grch37, oddities, unnormalized=True)
    ((header,),) = rows(grch37, "SELECT header FROM load_file")
    names = ("mother", "father", "son", "daughter", "cell_line")
    assert not re.search("|".join(names), header)
    kept = [line for line in oddities.read_text().splitlines() if re.match("##(fileformat|reference|INFO|FORMAT|contig)=", line)]
    assert header == "\n".join([*kept, "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT", ""])


def test_a_header_that_anybody_may_read_has_only_lines_that_tell_of_no_sample() -> None:
    columns = "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT".replace(" ", "\t")
    kept = [
        "##fileformat=VCFv4.2", "##fileDate=20240102", "##source=caller 1.0", "##phasing=partial", "##assembly=ftp://x/y.fa", "##reference=b37",
        '##FILTER=<ID=q10,Description="CHILD">', '##ALT=<ID=DEL,Description="x">', '##INFO=<ID=AC,Number=A,Type=Integer,Description="x">',
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="x">', "##contig=<ID=20,length=63025520>",
    ]  # fmt: skip
    lost = [
        "##GATKCommandLine=<ID=HaplotypeCaller,CommandLine=--input /bams/CHILD.bam>", "##source=/bams/CHILD.bam", "##fileDate=of_MUM_2",
        "##phasing=CHILD", "##assembly=CHILD.fa", "##bcftools_viewCommand=view in.vcf", "##SAMPLE=<ID=CHILD>", "##PEDIGREE=<Child=CHILD>",
        "##pedigreeDB=x", "##INFOx=1", "##sourceFile=x", "##",
    ]  # fmt: skip
    header = VcfHeader.parse([*lost, *kept, f"{columns}\tCHILD\tMUM"])
    assert header.samples == ("CHILD", "MUM")
    assert header.public_text == "\n".join([*kept, columns, ""])
    assert VcfHeader.parse(["##source=CHILD", columns]).public_text == f"##source=CHILD\n{columns}\n"


def test_bcf_gives_the_same_genotypes(grch37: Conn, load_vcf: Any, write_cohort: Write) -> None:
    path = write_cohort("a b", *(f"20 {n} . A G . . . GT:PS {'0|1:7 1/1:.' if n % 3 else '. ./.'}" for n in range(1, 5000)))
    bcf = path.with_name("other.bcf")
    with pysam.VariantFile(str(path)) as source, pysam.VariantFile(str(bcf), "wb", header=source.header) as out:
        for record in source:
            out.write(record)
    for file, dataset in ((path, "one"), (bcf, "two")):
        load_vcf(grch37, file, dataset=dataset, cohort="both")
    assert everything(grch37)["sample"] == 2
    sides = rows(
        grch37,
        "SELECT array_agg((variant_key, phasing, alt, missing, haploid, phase, phase_sets) ORDER BY 1) FROM genotype GROUP BY load_id",
    )
    assert sides[0] == sides[1]
    load_vcf(grch37, bcf, dataset="sites", sites_only=True)
    assert everything(grch37)["callset_sample"] == 4


def contents(conn: Conn, load_id: int) -> dict[str, list[tuple]]:
    """What a load wrote, but its number."""
    found = {}
    for table in ("variant_record", "genotype", "genotype_format", "population_frequency", "frequency_population", "callset_sample"):
        cursor = conn.execute(f"SELECT * FROM {table} WHERE load_id = %s ORDER BY 1, 2", (load_id,))
        place = next(n for n, column in enumerate(cursor.description or ()) if column.name == "load_id")
        found[table] = [row[:place] + row[place + 1 :] for row in cursor]
    return found


def test_a_load_that_was_cut_off_between_chunks_has_the_same_rows_in_the_end(
    grch37: Conn, load_vcf: Any, oddities: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"unnormalized": True, "keep_format": True, "cohort": "family"}
    whole = load_vcf(grch37, oddities, dataset="whole", **options).load
    monkeypatch.setattr(vcf, "CHUNK_ROWS", 4)
    monkeypatch.setattr("loaders.source.BLOCK", 1500)
    write, written = Load.write, []

    def die(self: Load, ordinal: int, *args: Any) -> None:
        if len(written) == 5:
            raise SystemExit  # and no way to tidy up
        written.append(ordinal)
        write(self, ordinal, *args)

    monkeypatch.setattr(Load, "write", die)
    monkeypatch.setattr("loaders.run._abort", lambda load, rejects: [file.close() for file in rejects])
    with pytest.raises(SystemExit):
        load_vcf(grch37, oddities, dataset="cut", **options)
    grch37.execute("SELECT pg_advisory_unlock_all()")
    monkeypatch.setattr(Load, "write", write)
    cut = load_vcf(grch37, oddities, dataset="cut", **options).load
    assert contents(grch37, cut.load_id) == contents(grch37, whole.load_id)
    assert {**cut.counts, "variant": 0} == {**whole.counts, "variant": 0}
    assert cut.warnings == whole.warnings


def test_chunks_are_bounded_by_the_text_of_samples_too(
    grch37: Conn, load_vcf: Any, write_cohort: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loaders.source.BLOCK", 1000)
    monkeypatch.setattr(vcf, "_CHUNK_TEXT", 2000)
    outcome = load_vcf(grch37, write_cohort("a b", *(f"20 {n} . A G . . . GT 0/1 0/0" for n in range(1, 1001))))
    ((chunks,),) = rows(grch37, "SELECT chunks FROM load_file")
    assert outcome.load.counts["genotype"] == 1000
    assert chunks >= 3


def test_callsets_of_one_cohort_share_their_samples_and_leave_each_other_alone(
    grch37: Conn, load_vcf: Any, write_cohort: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = load_vcf(grch37, write_cohort("a b", "20 1 . A G . . . GT 0/1 1/1", name="one.vcf"), cohort="people").load
    before = contents(grch37, one.load_id)
    two = load_vcf(grch37, write_cohort("c b", "20 1 . A G . . . GT 0|1 0|0", name="two.vcf"), cohort="people").load
    load_vcf(grch37, write_cohort("a", "20 1 . A G . . . GT 0|1", name="three.vcf"))
    assert contents(grch37, one.load_id) == before
    names = "SELECT cohort, name FROM sample ORDER BY 1, 2"
    assert rows(grch37, names) == [("people", "a"), ("people", "b"), ("people", "c"), ("three", "a")]
    shared = (
        "SELECT array_agg(load_id ORDER BY load_id) FROM callset_sample JOIN sample USING (sample_id) WHERE cohort = 'people' AND name = %s"
    )
    assert grch37.execute(shared, ("b",)).fetchone() == ([one.load_id, two.load_id],)
    unload(grch37, two.load_id)
    monkeypatch.setattr("store.release.LONGEST_REQUEST", "0 seconds")
    assert purge(grch37) == [two.load_id]
    assert rows(grch37, names) == [("people", "a"), ("people", "b"), ("three", "a")]
    assert contents(grch37, one.load_id) == before
    assert two.load_id not in current(grch37).loads


def test_the_cohort_where_nobody_says(grch37: Conn, load_vcf: Any, write_cohort: Write, tmp_path: Path) -> None:
    def cohort(samples: str, name: str, row: str = "20 1 . A G . . . GT" + " 0/1", **options: Any) -> str:
        path = write_cohort(samples, row + " 0/1" * samples.count(" "), name=f"{name}.vcf")
        return load_vcf(grch37, path, dataset=name, **options).load.cohort

    panel = tmp_path / "people.panel"
    panel.write_text("sample\tpop\tsuper_pop\tgender\na\tX\tY\tmale\nb\tX\tY\tfemale\n")
    ingest(grch37, *samples_job(grch37, panel, cohort="described"))
    assert cohort("a c", "stranger") == "stranger"
    assert cohort("a b", "first") == "described"
    assert cohort("a b", "first", "20 2 . A G . . . GT 0/1") == "described"  # a new version, though its cohort has a callset now
    assert cohort("a b", "second") == "second"  # perhaps other people of the same names
    assert cohort("a b", "third", cohort="described") == "described"


def test_of_two_callsets_that_choose_one_cohort_at_once_the_later_is_refused(
    grch37: Conn, load_vcf: Any, write_cohort: Write, tmp_path: Path
) -> None:
    panel = tmp_path / "people.panel"
    panel.write_text("sample\tpop\na\tX\nb\tX\n")
    ingest(grch37, *samples_job(grch37, panel, cohort="described"))
    paths = [write_cohort("a b", "20 1 . A G . . . GT 0/1 0/0", name=f"{name}.vcf") for name in ("one", "two")]
    (one, read_one), (two, read_two) = (vcf_job(grch37, [path]) for path in paths)
    assert one.options["cohort"] == two.options["cohort"] == "described"
    ingest(grch37, one, read_one)
    with pytest.raises(StoreError, match="the samples of two would belong to cohort two now, not described"):
        ingest(grch37, two, read_two)
    assert rows(grch37, "SELECT name FROM dataset ORDER BY 1") == [("one",), ("people.panel",)]
    assert load_vcf(grch37, paths[1]).load.cohort == "two"
    ingest(grch37, one, read_one)
