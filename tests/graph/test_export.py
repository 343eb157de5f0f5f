"""`vkg query variants` with genotypes: what it writes is what `bcftools norm` makes of the file that was loaded, call by call."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cyvcf2
import pytest

from graph.errors import UserError
from graph.export import COLUMNS, Selection, export
from store.assembly import GRCH37
from store.database import open_pools
from store.reference import Reference
from tests.graph.conftest import DATA, FASTA, ROOT
from tests.graph.loading import load_samples, load_vcf, write_vcf

ODDITIES = ROOT / "tests" / "data" / "genotypes" / "oddities.vcf"
needs_bcftools = pytest.mark.skipif(not shutil.which("bcftools"), reason="bcftools is not installed")

Calls = dict[tuple[int, str, str], dict[str, dict[str, str]]]
"""By position, REF and ALT, and sample: the values of FORMAT that are not missing."""


def write(url: str, output: Path | None = None, **selection: Any) -> str:
    """Runs the export and returns what it wrote."""

    async def work() -> str:
        pools = await open_pools(url, size=1, timeout_ms=60_000)
        out = io.StringIO()
        try:
            await export(pools, GRCH37, Reference(FASTA), Selection(**selection), output, out)
        finally:
            await pools.close()
        return text_of(output) if output else out.getvalue()

    return asyncio.run(work())


def text_of(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()


def norm(path: Path, *options: str) -> str:
    """What bcftools makes of a file."""
    command = ["bcftools", "norm", "-m-any", *options, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def calls(text: str) -> Calls:
    """The calls of a VCF's text."""
    found: Calls = {}
    samples: list[str] = []
    for line in text.splitlines():
        columns = line.split("\t")
        if line.startswith("#CHROM"):
            samples = columns[9:]
        elif not line.startswith("#"):
            keys = columns[8].split(":")
            cells = [dict(zip(keys, cell.split(":"), strict=False)) for cell in columns[9:]]
            shown = [{key: value for key, value in cell.items() if key == "GT" or set(value) - set(".,")} for cell in cells]
            place = int(columns[1]), columns[3], columns[4]
            assert place not in found
            found[place] = dict(zip(samples, shown, strict=True))
    return found


def gts(text: str) -> dict[tuple[int, str, str], dict[str, str]]:
    """The GTs of a VCF's text."""
    return {place: {name: cell["GT"] for name, cell in row.items()} for place, row in calls(text).items()}


def samples_of(text: str) -> list[str]:
    return next(line for line in text.splitlines() if line.startswith("#CHROM")).split("\t")[9:]


# ---- the same as bcftools


@needs_bcftools
def test_the_demo_is_written_as_bcftools_norm_writes_it(demo_url: str, demo_vcf: Path, tmp_path: Path) -> None:
    found = write(demo_url, tmp_path / "all.vcf.gz", all_samples=True)
    theirs = norm(demo_vcf, "-f", str(FASTA))

    def records(text: str) -> list[tuple[str, ...]]:
        rows = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
        return sorted((row[0], row[1], row[3], row[4], *row[8:]) for row in rows)

    assert samples_of(found) == samples_of(theirs)
    assert records(found) == records(theirs)
    positions = [int(line.split("\t")[1]) for line in found.splitlines() if not line.startswith("#")]
    assert positions == sorted(positions)


@needs_bcftools
@pytest.mark.parametrize("cohort", ["narrow", "wide"])
def test_the_families_are_written_as_bcftools_norm_writes_them(family_url: str, tmp_path: Path, cohort: str) -> None:
    """With depths, qualities and phase sets; the reference has chromosome 20 only."""
    samples = ["GIRL", "DAD", "SON", "ALONE", "MUM", "DUO", "MUM2"]
    found = write(family_url, tmp_path / "f.vcf", region="20", samples=[f"{cohort}/{name}" for name in samples])
    assert samples_of(found) == samples
    assert calls(found) == calls(norm(DATA / "family.vcf", "-t", "20", "-f", str(FASTA)))
    elsewhere = write(family_url, tmp_path / "m.vcf", samples=[f"{cohort}/SON"], region="MT")
    assert calls(elsewhere) == {k: {"SON": v["SON"]} for k, v in calls(norm(DATA / "family.vcf", "-t", "MT")).items()}


@needs_bcftools
def test_odd_calls_are_written_as_bcftools_norm_writes_them(own_store: str, tmp_path: Path) -> None:
    load_vcf(own_store, ODDITIES, unnormalized=True, assembly="GRCh37")
    found = gts(write(own_store, tmp_path / "o.vcf", all_samples=True))
    # bcftools 1.16 does not read a phase before the first allele, stops at odd depths, and wants chromosomes in the header.
    lines = [line for line in ODDITIES.read_text().splitlines() if "leading_phase" not in line]
    head, rows = [line for line in lines if line.startswith("##")], [line.split("\t") for line in lines if not line.startswith("##")]
    head += [f"##contig=<ID={name}>" for name in sorted({row[0] for row in rows[1:]})]
    plain = tmp_path / "plain.vcf"
    plain.write_text("\n".join((*head, *("\t".join((*row[:8], *(cell.partition(":")[0] for cell in row[8:]))) for row in rows))) + "\n")
    theirs = {key: row for key, row in gts(norm(plain)).items() if key[2] not in ("*", "<DEL>")}
    leading = found.pop(next(key for key in found if key[0] == 115))
    assert leading == {"mother": "|0|1", "father": "/1", "son": "|0", "daughter": "/0/1", "cell_line": "|1|1"}
    assert found == theirs


# ---- files that others read


@pytest.mark.parametrize("name", ["some.vcf", "some.vcf.gz"])
def test_other_programs_read_the_file(family_url: str, tmp_path: Path, name: str) -> None:
    write(family_url, tmp_path / name, dataset=["narrow"], all_samples=True)
    reader = cyvcf2.VCF(str(tmp_path / name))
    assert reader.samples == ["GIRL", "DAD", "SON", "ALONE", "MUM", "DUO", "MUM2"]
    for key in ("GT", "DP", "GQ", "AD", "PS"):
        assert reader.contains(key)
    text = calls(text_of(tmp_path / name))
    records = list(reader)
    assert len(records) == len(text) > 100
    for record in records:
        row = text[record.POS, record.REF, record.ALT[0]]
        depths = record.format("DP")
        assert [max(int(depth), -1) for (depth,) in depths] == [int(row[name].get("DP", -1)) for name in reader.samples]
        alleles = [["." if allele == -1 else str(allele) for allele in genotype[:-1] if allele != -2] for genotype in record.genotypes]
        assert alleles == [re.findall(r"[.\d]", row[name]["GT"]) for name in reader.samples]


def test_samples_come_in_the_order_given_each_once(demo_url: str, tmp_path: Path) -> None:
    region = {"region": "20:1890000-1892000"}
    found = write(demo_url, tmp_path / "two.vcf", samples=["NA06985", "HG00096", "1000G/NA06985"], **region)
    assert samples_of(found) == ["NA06985", "HG00096"]
    whole = calls(write(demo_url, tmp_path / "all.vcf", all_samples=True, **region))
    assert calls(found) == {key: {name: row[name] for name in ("NA06985", "HG00096")} for key, row in whole.items()}


def test_a_table_has_a_column_of_calls_for_each_sample(family_url: str, tmp_path: Path) -> None:
    found = write(family_url, None, samples=["narrow/SON", "narrow/MUM"], region="20:2000000-2000400")
    head, *rows = (line.split("\t") for line in found.splitlines())
    assert head == [*COLUMNS, "SON", "MUM"]
    assert [row[-2:] for row in rows] == [["0/1", "0/0"], ["1|0", "0|0"], ["0/1", "0/0"], ["0/1", "0/."]]
    assert all(len(row) == len(head) for row in rows)
    empty = write(family_url, tmp_path / "empty.tsv.gz", samples=["R0"], region="20:1-10")
    assert empty.rstrip("\n").split("\t") == [*COLUMNS, "R0"]
    assert write(family_url, tmp_path / "empty.vcf", samples=["R0"], region="20:1-10").splitlines()[-1].endswith("\tFORMAT\tR0")


def test_without_samples_nothing_of_persons_is_written(demo_url: str, tmp_path: Path) -> None:
    found = write(demo_url, tmp_path / "sites.vcf", region="20:1890000-1892000")
    assert samples_of(found) == []
    assert "FORMAT" not in found
    assert "HG00096" not in found


def test_filters_mean_what_they_mean_in_the_api(family_url: str, tmp_path: Path) -> None:
    found = calls(
        write(family_url, tmp_path / "f.vcf", dataset=["narrow"], all_samples=True, filter="{type: [INSERTION]}", region="20:1-5000000")
    )
    assert [row["SON"]["GT"] for row in found.values()] == ["0/1"]


def test_the_command_writes_the_file(demo_url: str, tmp_path: Path) -> None:
    output = tmp_path / "out.vcf.gz"
    command = [
        sys.executable,
        "-m",
        "vkg",
        "query",
        "variants",
        "--gene",
        "SIRPA",
        "--sample",
        "HG00097",
        "--sample",
        "HG00096",
        "--output",
        str(output),
    ]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"VKG_DATABASE_URL": demo_url}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = text_of(output)
    assert samples_of(found) == ["HG00097", "HG00096"]
    assert f"{len(calls(found)):,} records in" in done.stderr


# ---- what cannot be written


@pytest.fixture
def two_callsets(own_store: str, tmp_path: Path) -> str:
    """A and B in the callset one, B and C in the callset two, D in a panel only."""
    for name, samples in (("one", "AB"), ("two", "BC")):
        path = write_vcf(tmp_path / f"{name}.vcf", "20 1000226 . A T . . . GT 0/1 1|1", samples=samples)
        load_vcf(own_store, path, dataset=name, cohort="people")
    panel = tmp_path / "a.panel"
    panel.write_text("sample\tpop\tsuper_pop\tgender\nD\tGBR\tEUR\tmale\n")
    load_samples(own_store, panel, dataset="panel", cohort="people")
    return own_store


def test_samples_of_one_of_several_callsets_choose_it(two_callsets: str, tmp_path: Path) -> None:
    place = (1_000_226, "A", "T")
    assert calls(write(two_callsets, tmp_path / "a.vcf", samples=["A"])) == {place: {"A": {"GT": "0/1"}}}
    assert calls(write(two_callsets, tmp_path / "a.vcf", samples=["B", "A"])) == {place: {"A": {"GT": "0/1"}, "B": {"GT": "1|1"}}}
    assert calls(write(two_callsets, tmp_path / "a.vcf", samples=["B"], dataset=["two"])) == {place: {"B": {"GT": "0/1"}}}
    assert samples_of(write(two_callsets, tmp_path / "a.vcf", all_samples=True, dataset=["two"])) == ["B", "C"]


@pytest.mark.parametrize(
    ("selection", "code", "said", "hint"),
    [
        ({"samples": ["B"]}, "SEVERAL_DATASETS", "these samples: one, two", "--dataset"),
        ({"all_samples": True}, "SEVERAL_DATASETS", "genotypes: one, two", "--dataset"),
        ({"samples": ["A", "C"]}, "NO_CALLSET", "these samples", "vkg loads"),
        ({"samples": ["D"]}, "NO_CALLSET", "these samples", "vkg loads"),
        ({"samples": ["A"], "dataset": ["two"]}, "NO_CALLSET", "these samples", "vkg loads"),
        ({"all_samples": True, "dataset": ["panel"]}, "NO_CALLSET", "genotypes", "vkg loads"),
        ({"samples": ["A", "E"]}, "UNKNOWN_SAMPLE", "'E'", "search"),
    ],
    ids=str,
)
def test_what_names_no_single_callset_is_refused(
    two_callsets: str, tmp_path: Path, selection: dict[str, Any], code: str, said: str, hint: str
) -> None:
    output = tmp_path / "never.vcf"
    with pytest.raises(UserError) as caught:
        write(two_callsets, output, **selection)
    assert caught.value.code == code
    assert said in str(caught.value)
    assert hint in (caught.value.hint or "")
    assert not list(tmp_path.glob("never*"))
