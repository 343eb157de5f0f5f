"""Genetic maps: the layouts in which they come, positions to cM, and what is none."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from loaders.errors import InputError
from loaders.genetic_map import GeneticMap, read_map
from tests.conftest import REAL

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: write(text, name="some.map"), compressed where its name says so."""

    def write(text: str, name: str = "some.map") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


LAYOUTS = {
    "plink": "20 rs1 1.5 100\n20 . 2.5 200\n23 . 0 7\n23 . 1 9\n",
    "shapeit": "pos chr cM\n100 20 1.5\n200 20 2.5\n7 X 0\n9 X 1\n",
    "hapmap": "Chromosome\tPosition(bp)\tRate(cM/Mb)\tMap(cM)\nchr20\t100\t9\t1.5\nchr20\t200\t0\t2.5\nchrX\t7\t1\t0\nchrX\t9\t0\t1\n",
    "eagle": "chr position COMBINED_rate(cM/Mb) Genetic_Map(cM)\n20 100 9 1.5\n20 200 0 2.5\n23 7 1 0\n23 9 0 1\n",
    "crlf": "pos\tchr\tcM\r\n100\t20\t1.5\r\n200\t20\t2.5\r\n\r\n7\tX\t0\r\n9\tX\t1\r\n",
}


def lengths(found: GeneticMap) -> dict[int, float]:
    """The length of each chromosome that a map has."""
    return {code: cm for code, cm in enumerate(found.lengths_cm(), 1) if cm is not None}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["some.map", "some.map.gz"])
def test_every_layout_is_the_same_map(write: Write, layout: str, name: str) -> None:
    found = read_map([write(LAYOUTS[layout], name)])
    assert {code: [part.tolist() for part in parts] for code, parts in found.points.items()} == {
        20: [[100, 200], [1.5, 2.5]],
        23: [[7, 9], [0, 1]],
    }
    assert lengths(found) == {20: 1.0, 23: 1.0}


def test_positions_are_interpolated_and_constant_beyond_the_ends(write: Write) -> None:
    found = read_map([write(LAYOUTS["plink"])])
    chrom = np.array([20, 20, 20, 20, 20, 23, 1])
    pos = np.array([1, 100, 125, 200, 999, 8, 8])
    assert found.cm(chrom, pos).tolist()[:-1] == [1.5, 1.5, 1.75, 2.5, 2.5, 0.5]
    assert np.isnan(found.cm(chrom, pos)[-1])
    assert found.beyond(chrom, pos).tolist() == [True, False, False, False, True, False, False]


def test_files_of_chromosomes_are_one_map(write: Write) -> None:
    one, two = write("pos chr cM\n1 1 0\n9 1 3\n", "chr1"), write("pos chr cM\n1 2 0\n9 2 4\n", "chr2")
    both = read_map([one, two])
    assert lengths(both) == {1: 3.0, 2: 4.0}
    assert both.digest != read_map([one]).digest
    joined = read_map([write("pos chr cM\n1 1 0\n9 1 3\npos chr cM\n1 2 0\n9 2 4\n5 X_par1 1\n", "all")])
    assert lengths(joined) == {1: 3.0, 2: 4.0}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("pos chr cM\n5 20 1\n4 20 2\n", "some.map:3: position 4 after 5 on chromosome 20"),
        ("20 . 2 5\n20 . 1 6\n", "some.map:2: 1.0 cM after 2.0 on chromosome 20"),
        ("20 . 0 5\n20 . 0 6\n", "no two positions of it differ in cM"),
        ("pos chr cM\n1 HLA 3\n", "no chromosome in it"),
        ("pos chr cM\n1.5 20 3\n", "some.map:2: not a position: '1.5'"),
        ("pos chr cM\n1 20 nan\n", "some.map:2: not a number of cM: 'nan'"),
        ("pos chr cM\n1 20\n", "some.map:2: 2 columns of at least 3"),
        ("position COMBINED_rate Genetic_Map\n1 2 3\n", "some.map:1: not a genetic map: it begins with 'position COMBINED_rate"),
        ("##fileformat=VCFv4.2\n", "some.map:1: not a genetic map"),
    ],
)
def test_what_is_no_map_is_refused(write: Write, text: str, error: str) -> None:
    with pytest.raises(InputError) as raised:
        read_map([write(text)])
    assert error in str(raised.value)


@pytest.mark.requires_real
def test_real_maps_in_two_layouts_are_one() -> None:
    folder = REAL / "chr20_grch37"
    one = read_map([folder / "genetic_map.chr20_0.9-4.1mb.b37.shapeit.gmap.gz"])
    other = read_map([folder / "genetic_map.chr20_0.9-4.1mb.b37.plink.map"])
    assert lengths(one) == lengths(other) == {20: pytest.approx(7.614644)}
    assert [part.tolist() for part in one.points[20]] == [part.tolist() for part in other.points[20]]


def test_a_position_of_any_number_of_digits_and_a_map_of_any_length(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=":1: not a position: '999"):
        read_map([write(f"20 . 0.5 {'9' * 5000}\n")])
    monkeypatch.setattr("loaders.genetic_map.MOST_POINTS", 3)
    with pytest.raises(InputError, match=":4: more than 3 positions"):
        read_map([write("".join(f"20 . {n} {n}\n" for n in range(1, 9)))])
