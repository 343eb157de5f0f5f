"""The samples of a load of VCFs, and the rows that their genotypes become: tables callset_sample, genotype, genotype_format.

Comes in: the records of a block, and which of their ALTs are variants. Goes out: rows, and the calls for who counts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from loaders.errors import InputError
from loaders.genotypes import Genotypes, Lines
from loaders.normalize import Rejected
from store.copy import ROW
from store.planes import INTEGERS, NO_NUMBER, Calls, encode, number_lists

TABLES = ("callset_sample", "genotype", "genotype_format")

_FORMAT = ("dp", "gq", "ad_ref", "ad_alt")
_SITES_ONLY = "or load without genotypes: --sites-only"


def samples_of(files: Sequence[Path], samples: Sequence[Sequence[str]]) -> Sequence[str]:
    """The samples of the files of a load, all of which have the same in the same order; none where no file has any.

    Raises InputError where they differ, and where names don't tell samples apart.
    """
    for path, names in zip(files, samples, strict=True):
        if fault := _fault(names):
            raise InputError(path, None, fault, f"Name each sample once (bcftools reheader -s), {_SITES_ONLY}")
        if tuple(names) != tuple(samples[0]):
            difference = _difference(files[0], samples[0], names)
            raise InputError(path, None, difference, f"Give all files the same samples (bcftools view -S), {_SITES_ONLY}")
    return samples[0]


def _fault(names: Sequence[str]) -> str | None:
    if "" in names:
        return f"its sample column {names.index('') + 1} has no name"
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    return f"{times} of its samples are named {name!r}" if times > 1 else None


def _difference(first: Path, its: Sequence[str], names: Sequence[str]) -> str:
    if not its or not names:
        return f"it has {'samples' if names else 'no samples'}, and {first} has {'some' if its else 'none'}"
    place = next((n for n, (a, b) in enumerate(zip(names, its, strict=False)) if a != b), min(len(names), len(its)))
    one, other = (repr(of[place]) if place < len(of) else "none" for of in (names, its))
    return f"its samples are not those of {first} in the same order: number {place + 1} is {one}, there {other}"


class Callset:
    """The genotypes of a chunk, collected block by block: `read` its records, `add` those that are variants, then `flush`.

    `warnings` counts what was odd, `keep_format` is whether DP, GQ and AD are kept.
    """

    def __init__(self, samples: Sequence[str], count: Callable[[Calls], None], *, keep_format: bool = False) -> None:
        """`count` gets the calls of all variants, once and in order; `keep_format` keeps DP, GQ and AD."""
        self.samples = samples
        self.warnings: Counter[str] = Counter()
        self._count = count
        self.keep_format = keep_format
        self._block = Genotypes(Lines(b""), np.zeros(1, np.int32), samples)
        self._added: list[tuple[np.ndarray, np.ndarray]] = []
        self._clear()

    def _clear(self) -> None:
        self._variants = 0
        self._rows: dict[str, list[pa.RecordBatch]] = {"genotype": [], "genotype_format": []}

    def members(self) -> pa.RecordBatch:
        """Rows of callset_sample, with names where the table has numbers."""
        ordinal = pa.array(range(len(self.samples)), pa.int32())
        return pa.record_batch([ordinal, pa.array(self.samples, pa.string())], names=["ordinal", "sample_id"])

    def read(self, lines: Lines, alts: np.ndarray) -> None:
        """Reads the genotypes of a block, whose records have so many ALTs each."""
        self._block = Genotypes(lines, alts, self.samples)

    @property
    def faults(self) -> Mapping[int, Rejected]:
        """Why the genotypes of records, by their number in the block, cannot be loaded."""
        return self._block.errors

    def add(self, records: np.ndarray, alleles: np.ndarray) -> None:
        """Adds the chunk's next variants: ALTs by their number, from 1, of records of the block."""
        self._added.append((records, alleles))

    def flush(self) -> None:
        """Makes rows of what was added since the last call; afterwards another block may be read."""
        if not self._added:
            return
        record, allele = map(np.concatenate, zip(*self._added, strict=True))
        row = np.arange(self._variants, self._variants + len(record), dtype=np.int32)
        self._added = []
        self._variants += len(record)
        calls = self._block.relative(record, allele)
        self._count(calls)
        self._append("genotype", encode(calls), row)
        if self.keep_format:
            kept = [
                self._block.numbers("DP", record),
                self._block.numbers("GQ", record, rounded=True),
                self._block.numbers("AD", record, np.zeros_like(allele)),
                self._block.numbers("AD", record, allele),
            ]
            said = np.logical_or.reduce([np.zeros(len(row), bool), *((n != NO_NUMBER).any(axis=1) for n in kept if n is not None)])
            columns = [pa.nulls(said.sum(), INTEGERS) if n is None else number_lists(n[said]) for n in kept]
            self._append("genotype_format", pa.record_batch(columns, names=_FORMAT), row[said])
        self.warnings += self._block.warnings
        self._block.warnings.clear()

    def _append(self, table: str, rows: pa.RecordBatch, row: np.ndarray) -> None:
        if len(row):
            self._rows[table].append(rows.append_column(ROW, pa.array(row)))

    def take(self) -> dict[str, pa.RecordBatch]:
        """The rows since the last call, by table, with `_row`."""
        self.flush()
        tables = {table: pa.Table.from_batches(rows).combine_chunks().to_batches()[0] for table, rows in self._rows.items() if rows}
        self._clear()
        return tables
