"""What the store is about: its one assembly, and the reference FASTA registered with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.types.json import Json

from .assembly import Assembly, assembly
from .errors import NotInitialised, StoreError


@dataclass(frozen=True)
class Genome:
    """The store's assembly; the absolute path of its reference FASTA and that file's contigs {name: bases}, or None."""

    assembly: Assembly
    reference_path: Path | None
    reference_contigs: dict[str, int] | None


def find_genome(conn: psycopg.Connection) -> Genome | None:
    """The store's genome; None before `initialise`."""
    if conn.execute("SELECT to_regclass('genome')").fetchone() == (None,):
        return None
    row = conn.execute("SELECT assembly, reference_path, reference_contigs FROM genome").fetchone()
    return Genome(assembly(row[0]), Path(row[1]) if row[1] else None, row[2]) if row else None


def genome(conn: psycopg.Connection) -> Genome:
    """The store's genome. Raises NotInitialised where there is none yet."""
    found = find_genome(conn)
    if found is None:
        raise NotInitialised("this database holds no store yet", "Make one: vkg init --assembly GRCh38 --reference FASTA")
    return found


def initialise(conn: psycopg.Connection, wanted: Assembly) -> None:
    """Fixes the store's assembly; a second time with the same one does nothing. Raises StoreError for another one."""
    conn.execute("INSERT INTO genome (assembly) VALUES (%s) ON CONFLICT DO NOTHING", (wanted.name,))
    found = genome(conn)
    if found.assembly is not wanted:
        raise StoreError(
            f"this store holds {found.assembly.name}, not {wanted.name}",
            "A store has one assembly: make another store (another VKG_HOME or VKG_DATABASE_URL) for the other.",
        )


def register_reference(conn: psycopg.Connection, path: Path, contigs: dict[str, int]) -> None:
    """Registers the reference FASTA that loads use when they name none; the caller has checked that it is of the store's assembly."""
    conn.execute("UPDATE genome SET reference_path = %s, reference_contigs = %s", (str(path.resolve()), Json(contigs)))
