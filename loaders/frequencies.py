"""Allele counts and frequencies of populations, from the INFO keys in which the field writes them.

In: the records of a VCF. Out: rows of population_frequency, whose arrays run over `populations`. AF, AC, AN and nhomalt stand alone (population ALL) or
with the population before or behind: `EAS_AF` (1000 Genomes phase 3), `AF_EUR_unrel` (30x), `AC_afr_XX`, `AF_grpmax` (gnomAD), `controls_AF_afr`
(gnomAD r2), `AF_EXAC` (ClinVar); all keep their name. dbSNP's CAF is read as population CAF.

Every record of large files passes here, so `add` only collects the values' text; `take` turns a chunk of it into numbers at once.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from store.copy import ROW

if TYPE_CHECKING:
    from loaders.header import VcfHeader
    from loaders.normalize import Record

SCHEMA = pa.schema(
    [
        ("ac", pa.list_(pa.int32())),
        ("an", pa.list_(pa.int32())),
        ("af", pa.list_(pa.float64())),
        ("hom", pa.list_(pa.int32())),
    ]
)
ALL = "ALL"
_KEY = re.compile(r"(?:(.+)_)?(AF|AC|AN|nhomalt)(?:_(.+))?")
_COLUMNS = {"AC": "ac", "AN": "an", "AF": "af", "nhomalt": "hom"}
_RAW = re.compile(r"(?:.+_)?raw")
"""gnomAD counts before genotypes are filtered: a quality measure, not a population."""
_PENDING = 400_000
"""Values held as text before they are turned into numbers, which take a tenth of the memory; gnomAD has a thousand in a record."""


class Frequencies:
    """Extractor of population_frequency. `populations` names the places of its arrays."""

    SCHEMAS: ClassVar = {"population_frequency": SCHEMA}
    consumes: frozenset[str] = frozenset()

    def __init__(self, populations: dict[str, dict[str, str]], ref_first: frozenset[str]) -> None:
        """`populations` maps a name to its keys by column; the keys in `ref_first` hold a value for REF before those of the ALTs."""
        self.populations = list(populations)
        self.warnings: Counter[str] = Counter()
        # Absent keys are "", which no INFO has, so that `add` can look up all places in one go.
        self._keys = {column: [keys.get(column, "") for keys in populations.values()] for column in SCHEMA.names}
        self._flat = [key for keys in self._keys.values() for key in keys]
        self._ref_first = ref_first
        self._text: list[str | None] = []
        self._row: list[int] = []
        self._done: list[pa.RecordBatch] = []

    @classmethod
    def for_header(cls, header: VcfHeader) -> Self | None:
        """The extractor for the populations declared: those with AF, or with AC and AN.

        So `AC_Hom_EAS` (1000 Genomes 30x), which counts alleles in homozygotes, is no population, nor are MAF, LDAF, MLEAF, faf95,
        nor text such as AlleleFreqH_AF, where AF is Africa.
        """
        found: dict[str, dict[str, str]] = {}
        for key, field in header.infos.items():
            parts = _KEY.fullmatch(key)
            if parts and field.type in ("Float", "Integer"):
                name = "_".join(filter(None, (parts[1], parts[3]))) or ALL
                if not _RAW.fullmatch(name):
                    found.setdefault(name, {}).setdefault(_COLUMNS[parts[2]], key)
            elif key == "CAF":
                found["CAF"] = {"af": key}
        populations = {name: keys for name, keys in found.items() if "af" in keys or {"ac", "an"} <= keys.keys()}
        if not populations:
            return None
        if ALL in populations:
            populations = {ALL: populations.pop(ALL)} | populations
        used = {key for keys in populations.values() for key in keys.values()}
        return cls(populations, frozenset(key for key in used if key == "CAF" or header.infos[key].number == "R"))

    def add(self, row: int, record: Record, allele: int, variant: tuple[int, int, str, str]) -> None:
        """Adds the values of one ALT, which are told by their number and not by the header's Number, which is often wrong."""
        info = record.info
        if len(record.alts) == 1 and self._ref_first.isdisjoint(info):
            self._text.extend(map(info.get, self._flat))
        else:
            self._text.extend([self._pick(key, info.get(key), allele, len(record.alts)) for key in self._flat])
        self._row.append(row)
        if len(self._text) > _PENDING:
            self._flush()

    def take(self) -> dict[str, pa.RecordBatch]:
        """The rows since the last call. A record with none of the values has no row."""
        self._flush()
        done, self._done = self._done, []
        return {"population_frequency": pa.concat_batches(done)}

    def _pick(self, key: str, text: str | None, allele: int, alts: int) -> str | None:
        if text is None:
            return None
        values = text.strip("[]").split(",")
        if key in self._ref_first and len(values) == alts + 1:
            return values[allele]
        if len(values) == alts:
            return values[allele - 1]
        if len(values) == 1 and key in self._keys["an"]:
            return text
        self.warnings[f"{key} does not have one value for each ALT"] += 1
        return None

    def _flush(self) -> None:
        """Turns the text collected into a batch."""
        text = np.array(self._text, object).reshape(len(self._row), len(SCHEMA), len(self.populations))
        row = np.array(self._row, np.int32)
        self._text, self._row = [], []
        number = {column: self._numbers(column, text[:, i]) for i, column in enumerate(SCHEMA.names)}
        ac, an, af = number["ac"], number["an"], number["af"]
        with np.errstate(divide="ignore", invalid="ignore"):
            af = np.where(np.isnan(af), ac / an, af)
        # A frequency of nobody is unknown, not 0, whatever the file says.
        number["af"] = np.where(an == 0, np.nan, af)
        told = ~np.logical_and.reduce([np.isnan(n).all(1) for n in number.values()])
        columns = [self._lists(column, number[column][told]) for column in SCHEMA.names]
        self._done.append(pa.record_batch([*columns, pa.array(row[told])], names=[*SCHEMA.names, ROW]))

    def _numbers(self, column: str, text: np.ndarray) -> np.ndarray:
        """(rows, populations) float64 of a column's text: counts that are whole, frequencies in [0, 1], else NaN."""
        if not any(self._keys[column]):
            return np.full(text.shape, np.nan)
        flat = pa.array(text.ravel(), pa.string())
        flat = pc.if_else(pc.equal(flat, "."), None, flat)
        try:
            numbers = flat.cast(pa.float64())
        except pa.ArrowInvalid:
            numbers = pa.array([_number(t) for t in flat.to_pylist()], pa.float64())
        values = numbers.to_numpy(zero_copy_only=False).reshape(text.shape)
        sound = (values >= 0) & ((values <= 1) if column == "af" else (values == np.floor(values)) & (values < 1 << 31))
        if unsound := len(flat) - flat.null_count - int(sound.sum()):
            self.warnings[f"{column.upper()} that is not {'a frequency' if column == 'af' else 'a count'}"] += unsound
        return np.where(sound, values, np.nan)

    def _lists(self, column: str, numbers: np.ndarray) -> pa.Array:
        kind = SCHEMA.field(column).type
        if column != "af" and not any(self._keys[column]):
            return pa.nulls(len(numbers), kind)
        offsets = np.arange(0, numbers.size + 1, numbers.shape[1], dtype=np.int32)
        values = pa.array(numbers.ravel(), pa.float64(), from_pandas=True).cast(kind.value_type)
        return pa.ListArray.from_arrays(offsets, values, type=kind)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return float("nan")
