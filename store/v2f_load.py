"""What a load of variant-to-function scores asks the store: which of its rows it has already, and which of its genes nobody knows."""

from __future__ import annotations

import psycopg
import pyarrow as pa

from .assembly import NAMES
from .copy import REPEATED, Reject
from .region import locus_key
from .release import current
from .variant_key import decode

_OF = ("gene_id", "gene", "cell_type", "tissue")
IDENTITY = {"v2f_score": ("locus", "rsid", *_OF), "v2f_element": ("chrom", "length_class", "start_pos", "end_pos", *_OF)}
"""By table the columns that no two rows of a load have alike; of two NULLs one is as good as the other."""

_EARLIER = {
    "v2f_score": f"""SELECT {", ".join(IDENTITY["v2f_score"])}, file, line FROM v2f_score WHERE locus = ANY(%s) AND load_id = %s""",
    # One look-up in the index for each, however small the planner takes the table to be.
    "v2f_element": f"""SELECT e.* FROM unnest(%s::smallint[], %s::smallint[], %s::int[]) k (chrom, length_class, start_pos)
        CROSS JOIN LATERAL (SELECT {", ".join("x." + name for name in IDENTITY["v2f_element"])}, x.file, x.line FROM v2f_element x
        WHERE x.chrom = k.chrom AND x.length_class = k.length_class AND x.start_pos = k.start_pos AND x.load_id = %s OFFSET 0) e""",
}
_HIGHEST = {
    "v2f_score": "SELECT max(locus) FROM v2f_score WHERE load_id = %s",
    "v2f_element": "SELECT max(locus_key(chrom, start_pos)) FROM v2f_element WHERE load_id = %s",
}


class Repeats:
    """Finds the rows of a load that repeat an earlier one; `fresh` tables have no rows of it yet. In a sorted file nothing below the highest place
    so far comes again; in any other, those rows are looked up."""

    def __init__(self, conn: psycopg.Connection, load_id: int) -> None:
        self._conn = conn
        self._load_id = load_id
        self._highest: dict[str, int | None] = {}

    def first_only(self, table: str, rows: pa.RecordBatch, fresh: bool, rejects: list[Reject]) -> pa.RecordBatch:
        """The rows that repeat no earlier one; the others are rejected."""
        keys = list(zip(*(rows.column(name).to_pylist() for name in IDENTITY[table]), strict=True))
        places = [key[0] if table == "v2f_score" else locus_key(key[0], key[2]) for key in keys]
        if table not in self._highest:
            (self._highest[table],) = (None,) if fresh else self._conn.execute(_HIGHEST[table], (self._load_id,)).fetchone() or (None,)
        highest = self._highest[table]
        first = self._earlier(table, [key for key, place in zip(keys, places, strict=True) if highest is not None and place <= highest])
        kept: list[bool] = []
        for key, file, line in zip(keys, rows.column("file").to_pylist(), rows.column("line").to_pylist(), strict=True):
            where = first.setdefault(key, (file, line, len(kept)))
            kept.append(where == (file, line, len(kept)))
            if not kept[-1]:
                said = f"the same as line {where[1]}" + (f" of file {where[0] + 1}" if where[0] != file else "")
                rejects.append(Reject(line, REPEATED, said, _shown(table, key)))
        self._highest[table] = max([*places, *([] if highest is None else [highest])])
        return rows if all(kept) else rows.filter(pa.array(kept))

    def _earlier(self, table: str, keys: list[tuple]) -> dict[tuple, tuple[int, int, int]]:
        """Of rows that the load has, where they come from, by identity: (file, line, -1)."""
        if not keys:
            return {}
        if table == "v2f_score":
            asked: list[list[int]] = [list({key[0] for key in keys})]
        else:
            asked = [list(column) for column in zip(*{key[:3] for key in keys}, strict=True)]
        return {row[:-2]: (*row[-2:], -1) for row in self._conn.execute(_EARLIER[table], (*asked, self._load_id))}


def _shown(table: str, key: tuple) -> str:
    if table == "v2f_score":
        chrom, pos, *_ = decode(key[0])
        place: tuple = (NAMES[chrom - 1], pos, *([] if key[1] is None else [f"rs{key[1]}"]))
    else:
        place = (NAMES[key[0] - 1], key[2], key[3])
    return "\t".join(str(part) for part in (*place, *key[-4:]) if part is not None)


def unknown_targets(conn: psycopg.Connection, load_id: int) -> int:
    """How many target genes of a load no visible gene annotation has, not by identifier, symbol or alias."""
    (count,) = conn.execute(
        """SELECT count(*) FROM (SELECT gene_id, gene FROM v2f_element WHERE load_id = %(load)s
            UNION SELECT gene_id, gene FROM v2f_score WHERE load_id = %(load)s) x
        WHERE coalesce(x.gene_id, x.gene) IS NOT NULL
        AND NOT EXISTS (SELECT FROM gene g WHERE g.gene_id = x.gene_id AND g.load_id = ANY(%(loads)s))
        AND NOT EXISTS (SELECT FROM gene g WHERE upper(g.symbol) = upper(x.gene) AND g.load_id = ANY(%(loads)s))
        AND NOT EXISTS (SELECT FROM gene_alias a WHERE a.alias = upper(x.gene) AND a.load_id = ANY(%(loads)s))""",
        {"load": load_id, "loads": current(conn).loads},
    ).fetchone() or (0,)
    return count
