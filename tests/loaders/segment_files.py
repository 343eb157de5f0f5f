"""Files of segments shared by descent, for the tests that read and load them, and what a store holds of them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from loaders.genetic_map import GeneticMap
from loaders.ibd_job import ibd_job
from loaders.run import Outcome, ingest
from store.load import AlreadyLoaded
from tests.conftest import ROOT

Conn = psycopg.Connection[Any]
Write = Callable[..., Path]
Segment = tuple[Any, ...]

DATA = ROOT / "tests" / "data" / "ibd"
HAP_IBD = "A\t1\tB\t2\t20\t100\t200\t1.5\nC\t2\tA\t1\tX\t5\t5\t0\n"
GERMLINE = "0 A{0}\t0 B{1}\t20\t100 200\trs1 rs2\t7\t1.5\tcM\t0\t1\t1\n0 A{2}\t0 A{3}\t20\t5 9\trs1 rs2\t3\t0.5\tcM\t0\t1\t1\n"
EMPTY_BGZF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000") * 3
MAP = "pos chr cM\n1000000 20 2\n2000000 20 4\n3000000 20 5\n"


def writer(tmp_path: Path) -> Write:
    """Writes a file: write(text, name="some.ibd"), compressed where its name says so."""

    def write(text: str | bytes, name: str = "some.ibd") -> Path:
        path = tmp_path / name
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") and data[:2] != b"\x1f\x8b" else data)
        return path

    return write


def simple_map() -> GeneticMap:
    """2 cM for the second Mb of chromosome 20, 1 cM for the third."""
    return GeneticMap({20: (np.array([1_000_000, 2_000_000, 3_000_000]), np.array([2.0, 4.0, 5.0]))}, "")


def load(conn: Conn, *paths: Path, **options: Any) -> Outcome | AlreadyLoaded:
    """Loads files as `vkg load ibd` does."""
    job, reader = ibd_job(conn, paths, **options)
    return ingest(conn, job, reader)


def stored(conn: Conn) -> list[Segment]:
    """All segments of two people, once: seen from the one whose name comes first in the file."""
    return conn.execute(
        """SELECT s.file, s.line, a.name, b.name, s.chrom, s.start_pos, s.end_pos, s.haplotype, s.other_haplotype, s.ibd_type, s.length_cm, s.markers, s.score
        FROM ibd_segment s JOIN sample a USING (sample_id) JOIN sample b ON b.sample_id = s.other_id ORDER BY 1, 2, 3"""
    ).fetchall()


def stored_alone(conn: Conn) -> list[Segment]:
    return conn.execute(
        """SELECT s.file, s.line, a.name, s.chrom, s.start_pos, s.end_pos, s.length_cm, s.markers, s.score
        FROM hbd_segment s JOIN sample a USING (sample_id) ORDER BY 1, 2"""
    ).fetchall()


def nothing_is_left(conn: Conn) -> bool:
    tables = ("ibd_run", "ibd_segment", "hbd_segment", "sample_info", "sample", "load", "dataset")
    return all(conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,) for table in tables)
