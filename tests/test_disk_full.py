"""A full disk: a small tmpfs under the built-in server, filled until a load breaks off."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VCF = ROOT / "demo" / "kg300_eur.chr20_1-4mb.grch37.phased.vcf.gz"
FASTA = ROOT / "demo" / "chr20_npad_0.9-4.1mb.grch37.fa.gz"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 200 MB, of which the server has a folder."""
    folder = Path(tempfile.mkdtemp(prefix="vkg-small-", dir="/tmp"))
    folder.chmod(0o755)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m,mode=755", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
    yield folder
    _vkg(folder, "stop")
    subprocess.run(["umount", str(folder)], check=True)
    shutil.rmtree(folder)


def _vkg(disk: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"VKG_HOME": str(disk / "home"), "VKG_EMBEDDED_MEMORY": "256MB"}
    environment.pop("VKG_DATABASE_URL", None)
    return subprocess.run([sys.executable, "-m", "vkg", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize("left", [3, 9, 14])
def test_a_full_disk_is_named_and_leaves_nothing_visible(small_disk: Path, left: int) -> None:
    assert _vkg(small_disk, "init", "--assembly", "GRCh37", "--reference", str(FASTA)).returncode == 0
    free = shutil.disk_usage(small_disk).free
    with (small_disk / "ballast").open("wb") as ballast:
        ballast.truncate(0)
        ballast.write(bytes(free - left * 1_000_000))
    load = ("load", "vcf", str(VCF), "--dataset", "kg300", "--assembly", "GRCh37", "--sites-only")

    refused = _vkg(small_disk, *load)
    assert refused.returncode == 2
    assert "disk" in refused.stderr
    assert "full" in refused.stderr
    assert "Traceback" not in refused.stderr

    (small_disk / "ballast").unlink()
    assert "visible" not in _vkg(small_disk, "loads").stdout
    again = _vkg(small_disk, *load)
    assert again.returncode == 0, again.stderr
    assert "24,990 variant_record" in again.stdout
