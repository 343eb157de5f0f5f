"""Frequencies of populations under every name they go by; literal records in, arrays out, and real files re-read."""

from __future__ import annotations

import math
from pathlib import Path

import cyvcf2
import numpy as np
import pyarrow as pa
import pytest

from loaders.frequencies import Frequencies
from loaders.header import VcfHeader, open_vcf
from loaders.info import InfoReader
from loaders.normalize import Normalizer
from loaders.vcf import read
from store.assembly import GRCH37, GRCH38


def header(keys: str) -> VcfHeader:
    """A header with INFO keys given as `KEY` or `KEY:Number`, floats if AF is in their name."""
    lines = []
    for key in keys.split():
        name, _, number = key.partition(":")
        lines.append(f'##INFO=<ID={name},Number={number or "A"},Type={"Float" if "AF" in name else "Integer"},Description="">')
    return VcfHeader.parse([*lines, "#CHROM"])


def extractor(keys: str) -> Frequencies | None:
    return Frequencies.for_header(header(keys))


def rows(keys: str, *records: str) -> tuple[list[dict], Frequencies]:
    """The rows of records `ALTS INFO`."""
    made = extractor(keys)
    assert made is not None
    alts = [len(text.split(",")) for text, _ in map(str.split, records)]
    info = InfoReader(header(keys)).read(
        [text for _, text in map(str.split, records)],
        np.repeat(np.arange(len(records)), alts),
        np.array([allele for n in alts for allele in range(1, n + 1)]),
        np.repeat(alts, alts),
    )
    return made.read(info).to_pylist(), made


@pytest.mark.parametrize(
    ("keys", "populations"),
    [
        ("AC AN AF", ["ALL"]),
        ("EAS_AF AF EUR_AF", ["ALL", "EAS", "EUR"]),
        ("AF_EUR AF_EUR_unrel AC_EUR AN_EUR AC_Hom_EUR AC_Het_EUR MAF_EUR HWE_EUR ExcHet_EUR", ["EUR", "EUR_unrel"]),
        ("AF_afr AC_afr AN_afr nhomalt_afr AF_afr_XX AF_popmax faf95_afr AC_raw AN_raw AF_raw AF_non_ukb_raw", ["afr", "afr_XX", "popmax"]),
        ("AF_grpmax AF_joint AF_joint_sas nhomalt_joint", ["grpmax", "joint", "joint_sas"]),
        ("controls_AC_afr controls_AN_afr controls_nhomalt_afr controls_AF_afr", ["controls_afr"]),
        ("AF_ESP AF_EXAC AF_TGP", ["ESP", "EXAC", "TGP"]),
        ("CAF:.", ["CAF"]),
    ],
)
def test_populations_are_found_by_the_names_of_their_keys(keys: str, populations: list[str]) -> None:
    made = extractor(keys)
    assert made is not None
    assert made.populations == populations


@pytest.mark.parametrize("keys", ["DP", "AC", "AN", "MAF MLEAF LDAF GMAF", "AC_Hom_EAS", "faf95_afr faf99"])
def test_a_file_without_frequencies_has_no_extractor(keys: str) -> None:
    assert extractor(keys) is None


def test_text_is_no_frequency() -> None:
    africa = '##INFO=<ID=AlleleFreqH_AF,Number=A,Type=String,Description="healthy individuals from Africa">'
    assert Frequencies.for_header(VcfHeader.parse([africa, "#CHROM"])) is None


def test_arrays_run_over_the_populations_and_columns_that_nobody_has_are_null() -> None:
    found, made = rows("AF AC AN EUR_AF", "T AC=5;AN=2184;AF=0.0023;EUR_AF=0", "T AC=1;AN=10;EUR_AF=.")
    assert made.populations == ["ALL", "EUR"]
    assert found == [
        {"ac": [5, None], "an": [2184, None], "af": [0.0023, 0.0], "hom": None, "hemi": None, "_row": 0},
        {"ac": [1, None], "an": [10, None], "af": [0.1, None], "hom": None, "hemi": None, "_row": 1},
    ]


def test_a_frequency_of_nobody_is_unknown_and_not_zero() -> None:
    found, _ = rows("AF AC AN", "T AC=0;AN=0", "T AC=0;AN=0;AF=0", "T AC=3", "T AC=0;AN=4")
    assert [row["af"] for row in found] == [None, None, None, [0.0]]


def test_each_alt_has_its_own_values_whatever_number_the_header_declares() -> None:
    found, _ = rows("AC:1 AN:1 AF:. nhomalt", "T,G AC=1,2;AN=10;AF=0.1,0.2;nhomalt=0,1")
    assert [(r["ac"], r["an"], r["af"], r["hom"]) for r in found] == [([1], [10], [0.1], [0]), ([2], [10], [0.2], [1])]


def test_one_value_for_several_alts_is_given_to_none() -> None:
    found, made = rows("AF:1", "T,G AF=0.5")
    assert found == []
    assert made.warnings == {"AF does not have one value for each ALT": 2}


def test_caf_begins_with_ref_and_may_hold_dots() -> None:
    found, _ = rows("CAF:.", "T CAF=0.9,0.1", "T,G CAF=[0.95,.,0.05]", "T CAF=0.99,.")
    assert [(r["_row"], r["af"]) for r in found] == [(0, [0.1]), (2, [0.05])]


def test_values_of_number_r_begin_with_ref() -> None:
    found, _ = rows("AF:R", "T AF=0.75,0.25")
    assert found[0]["af"] == [0.25]


def test_what_is_not_a_count_or_a_frequency_is_null_and_counted() -> None:
    found, made = rows("AF AC AN", "T AC=x;AN=2.5;AF=0.5", "T AF=1e-05;AC=1;AN=2", "T AF=nan;AC=1;AN=4", "T AF=1.5")
    assert [(r["ac"], r["an"], r["af"]) for r in found] == [(None, None, [0.5]), ([1], [2], [1e-05]), ([1], [4], [0.25])]
    assert made.warnings == {"AC that is not a count": 1, "AN that is not a count": 1, "AF that is not a frequency": 2}


def test_a_record_that_says_nothing_has_no_row() -> None:
    found, _ = rows("AF", "T AF=0.5", "T DP=3", "T AF=0.25")
    assert [r["_row"] for r in found] == [0, 2]


@pytest.mark.requires_real
@pytest.mark.parametrize(
    "name",
    [
        "chr1_head/kg2504_phase3.chr1_10177-89599.grch37.phased.vcf.gz",
        "chr1_head/kg3202.chr1_10390-66441.grch38.phased.vcf.gz",
        "chr1_head/kg1092_phase1.chr1_10583-775135.grch37.phased.gt.vcf.gz",
        "chr1_head/gnomad.exomes.r2.1.1.sites.chr1_12198-13499.grch37.vcf.gz",
        "chr1_head/gnomad.genomes.r3.0.sites.chr1_10031-10122.grch38.vcf.gz",
        "formats/gnomad.genomes.v3.1.sample.grch38.vcf.gz",
        "formats/gnomad.exomes.v4.0.sample.grch38.vcf.gz",
        "formats/clinvar_20260226.brca_sample.grch38.vcf.gz",
        "chr20_grch38/kg2504_sites.chr20_1-2mb.grch38.lifted.popaf.vcf.gz",
    ],
)
def test_a_real_file_read_by_another_library_has_the_same_numbers(real: Path, name: str) -> None:
    path = real / name
    header, _ = open_vcf(path)
    places = Frequencies.for_header(header).populations
    chunks = list(read(path, header, Normalizer(GRCH38 if "grch38" in name else GRCH37, None, unnormalized=True)))
    tables = [c.tables for c in chunks if c.tables]
    lines = pa.Table.from_batches([t["variant_record"] for t in tables]).select(["line", "allele"]).to_pylist()
    loaded = {(record["line"], record["allele"]) for record in lines}
    found = {}
    offset = 0
    for t in tables:
        for row in t["population_frequency"].to_pylist():
            record = lines[offset + row["_row"]]
            found[record["line"], record["allele"]] = row
        offset += t["variant_record"].num_rows
    first = header.text.count("\n") + 1
    told = 0
    for line, v in enumerate(cyvcf2.VCF(str(path)), first):
        for allele in (a for a in range(1, len(v.ALT) + 1) if (line, a) in loaded):
            row = found.get((line, allele))
            for place, population in enumerate(places):
                for column, key in (("af", "AF"), ("ac", "AC"), ("an", "AN"), ("hom", "nhomalt")):
                    names = [key] if population == "ALL" else [f"{key}_{population}", f"{population}_{key}"]
                    names += [f"{subset}_{key}_{rest}" for subset, rest in _subsets(population)]
                    value = next((x for n in names if (x := v.INFO.get(n)) is not None), None)
                    value = value[allele - 1] if isinstance(value, tuple) else value
                    ours = row[column][place] if row and row[column] else None
                    if column == "af" and (value is None or (row and row["an"] and row["an"][place] == 0)):
                        continue
                    assert (ours is None) == (value is None), (line, population, key)
                    if value is not None:
                        told += 1
                        # cyvcf2 reads floats in single precision.
                        assert math.isclose(ours, value, rel_tol=1e-6), (line, population, key)
    assert told > 100


def _subsets(population: str) -> list[tuple[str, str]]:
    """The ways to read `controls_afr` as a subset and its population, as in gnomAD r2's controls_AF_afr."""
    return [
        (s, population.removeprefix(f"{s}_"))
        for s in ("controls", "non_neuro", "non_topmed", "non_cancer")
        if population.startswith(f"{s}_")
    ]
