"""A full disk amidst an embedding: what was done stays whole, and the same command again does the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from store.embedding import TASK_VARIANTS
from tests.test_disk_full import FASTA, VCF, _vkg, small_disk  # noqa: F401

VARIANTS = 24_990


@pytest.mark.slow
@pytest.mark.parametrize("left", [1, 3])
def test_a_full_disk_is_named_and_leaves_whole_tasks(small_disk: Path, left: int) -> None:  # noqa: F811
    assert _vkg(small_disk, "init", "--assembly", "GRCh37", "--reference", str(FASTA)).returncode == 0
    load = ("load", "vcf", str(VCF), "--dataset", "kg300", "--assembly", "GRCh37", "--sites-only")
    assert _vkg(small_disk, *load).returncode == 0
    free = shutil.disk_usage(small_disk).free
    with (small_disk / "ballast").open("wb") as ballast:
        ballast.write(bytes(free - left * 1_000_000))

    refused = _vkg(small_disk, "embed")
    assert refused.returncode == 2, refused.stdout
    assert "disk" in refused.stderr
    assert "full" in refused.stderr
    assert "Traceback" not in refused.stderr

    (small_disk / "ballast").unlink()
    models = json.loads(_vkg(small_disk, "models", "list", "--json").stdout)
    done = models[0]["vectors"] if models else 0
    assert done % TASK_VARIANTS == 0
    assert done < VARIANTS
    again = _vkg(small_disk, "embed")
    assert (again.returncode, again.stdout) == (0, f"annotation: {VARIANTS - done:,} variants embedded, {VARIANTS:,} in all\n"), (
        again.stderr
    )
