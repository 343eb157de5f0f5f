"""Allele counts and frequencies of populations: counted from genotypes, and as published in the INFO keys in which the field writes them.

In: the calls and the INFO of a VCF's variants. Out: rows of population_frequency, whose arrays run over `populations`: those counted (counts.py), then those
published. AF, AC, AN and nhomalt stand alone (population ALL) or with the population before or behind: `EAS_AF` (1000 Genomes phase 3), `AF_EUR_unrel`
(30x), `AC_afr_XX`, `AF_grpmax` (gnomAD), `controls_AF_afr` (gnomAD r2), `AF_EXAC` (ClinVar); all keep their name. dbSNP's CAF is read as population CAF.

Every record of large files passes here, so this reads a chunk's INFO by columns (info.py) and not record by record.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loaders.counts import ALL, Counts, Populations
from store.copy import ROW

if TYPE_CHECKING:
    from loaders.header import VcfHeader
    from loaders.info import InfoColumn
    from store.planes import Calls

SCHEMA = pa.schema(
    [
        ("ac", pa.list_(pa.int32())),
        ("an", pa.list_(pa.int32())),
        ("af", pa.list_(pa.float64())),
        ("hom", pa.list_(pa.int32())),
        ("hemi", pa.list_(pa.int32())),
    ]
)
_KEY = re.compile(r"(?:(.+)_)?(AF|AC|AN|nhomalt)(?:_(.+))?")
_COLUMNS = {"AC": "ac", "AN": "an", "AF": "af", "nhomalt": "hom"}
_RAW = re.compile(r"(?:.+_)?raw")
"""gnomAD counts before genotypes are filtered: a quality measure, not a population."""
_OF_ALT = re.compile(r"(?:grp|pop)max", re.IGNORECASE)
"""Populations that are chosen by the frequency of the ALT: which it would be by that of REF is not told."""

_PLACES = pa.schema([("ordinal", pa.int16()), ("population", pa.string()), ("counted", pa.bool_()), ("smallest", pa.int32())])


class Frequencies:
    """Makes rows of population_frequency; `populations` names the places of its arrays, `warnings` counts by reason what was no use."""

    SCHEMAS: ClassVar = {"frequency_population": _PLACES, "population_frequency": SCHEMA}

    def __init__(self, published: dict[str, dict[str, str]], ref_first: frozenset[str], counted: Populations | None = None) -> None:
        """`published` maps a name to its keys by column, of which those in `ref_first` hold a value for REF before those of the ALTs.

        `counted` counts the calls. A published population with the name of a counted one is left to INFO.
        """
        self._counted = counted.names if counted else []
        self._smallest = counted.smallest if counted else None
        published = {name: keys for name, keys in published.items() if name not in self._counted}
        self.populations = [*self._counted, *published]
        self.warnings: Counter[str] = Counter()
        self._keys = {column: [keys.get(column) for keys in published.values()] for column in SCHEMA.names}
        self._ref_first = ref_first
        self._count = counted and counted.count
        self._counts: list[Counts] = []

    @classmethod
    def for_header(cls, header: VcfHeader) -> Self | None:
        """The reader for one file without genotypes; see `for_headers`."""
        return cls.for_headers([header])

    @classmethod
    def for_headers(cls, headers: Sequence[VcfHeader], counted: Populations | None = None) -> Self | None:
        """The reader for all files of a load: what is `counted`, and the populations that any of them declares: those with AF, or with AC and AN.

        A key counts where one file declares it as a number: what the places of the arrays are is one thing for the whole load.
        So `AC_Hom_EAS` (1000 Genomes 30x), which counts alleles in homozygotes, is no population, nor are MAF, LDAF, MLEAF, faf95,
        nor text such as AlleleFreqH_AF, where AF is Africa.
        """
        found: dict[str, dict[str, str]] = {}
        for key, field in ((key, field) for header in headers for key, field in header.infos.items()):
            parts = _KEY.fullmatch(key)
            if parts and field.type in ("Float", "Integer"):
                name = "_".join(filter(None, (parts[1], parts[3]))) or ALL
                if not _RAW.fullmatch(name):
                    found.setdefault(name, {}).setdefault(_COLUMNS[parts[2]], key)
            elif key == "CAF":
                found["CAF"] = {"af": key}
        populations = {name: keys for name, keys in found.items() if "af" in keys or {"ac", "an"} <= keys.keys()}
        if not populations and counted is None:
            return None
        if ALL in populations:
            populations = {ALL: populations.pop(ALL)} | populations
        used = {key for keys in populations.values() for key in keys.values()}
        with_ref = {key for header in headers for key, field in header.infos.items() if key == "CAF" or field.number == "R"}
        return cls(populations, frozenset(used & with_ref), counted)

    @property
    def keys(self) -> list[str]:
        """The INFO keys that are read."""
        return [key for keys in self._keys.values() for key in keys if key is not None]

    def places(self, namespace: str = "") -> pa.RecordBatch:
        """Rows of frequency_population: which place of the arrays is which population, within a namespace, and whether it was counted: of how many people the smallest
        group is then."""
        ordinal = np.arange(1, len(self.populations) + 1, dtype=np.int16)
        named = [f"{namespace}:{name}" if namespace else name for name in self.populations]
        counted = ordinal <= len(self._counted)
        smallest = pa.array([self._smallest if each else None for each in counted], pa.int32())
        columns = [pa.array(ordinal), pa.array(named, pa.string()), pa.array(counted), smallest]
        return pa.record_batch(columns, schema=_PLACES)

    def count(self, calls: Calls) -> None:
        """Counts the calls of the next variants."""
        if self._count:
            self._counts.append(self._count(calls))

    def read(self, info: InfoColumn | None = None, swapped: np.ndarray | None = None) -> pa.RecordBatch:
        """The rows of a chunk of variants, whose calls were counted and whose INFO is given, or one of both, with `_row`.

        A variant of which nothing is known has no row. Of those that are `swapped`, (variants,) bool, INFO has REF as the ALT and the ALT as REF;
        nothing tells who has two of the one that was REF.
        """
        counts, self._counts = self._counts, []
        number = {column: self._numbers(column, info, counts) for column in SCHEMA.names}
        if swapped is not None and swapped.any():
            self._turn(number, swapped)
        ac, an, af = number["ac"], number["an"], number["af"]
        with np.errstate(divide="ignore", invalid="ignore"):
            af = np.where(np.isnan(af), ac / an, af)
        # A frequency of nobody is unknown, not 0, whatever the file says.
        number["af"] = np.where(an == 0, np.nan, af)
        told = ~np.logical_and.reduce([np.isnan(n).all(1) for n in number.values()])
        columns = [self._lists(column, number[column][told]) for column in SCHEMA.names]
        rows = np.flatnonzero(told).astype(np.int32)
        return pa.record_batch([*columns, pa.array(rows)], names=[*SCHEMA.names, ROW])

    def _turn(self, number: dict[str, np.ndarray], swapped: np.ndarray) -> None:
        """Makes the numbers of swapped variants those of their other allele, in place."""
        rows = np.flatnonzero(swapped)
        others = number["an"][rows] - number["ac"][rows]
        number["ac"][rows] = np.where(others >= 0, others, np.nan)
        # A file has some six digits of it; subtracting leaves noise in the sixteenth.
        number["af"][rows] = np.round(1 - number["af"][rows], 15)
        chosen = np.array([bool(_OF_ALT.search(name)) for name in self.populations])
        for column, values in number.items():
            values[np.outer(swapped, chosen if column in ("ac", "an", "af") else np.ones_like(chosen))] = np.nan

    def _numbers(self, column: str, info: InfoColumn | None, counts: Sequence[Counts]) -> np.ndarray:
        """(variants, populations) float64 of a column: counts that are whole, frequencies in [0, 1], else NaN."""
        variants = sum(len(count.ac) for count in counts) if info is None else len(info.alts)
        numbers = np.full((variants, len(self.populations)), np.nan)
        if counts and column != "af":
            numbers[:, : len(self._counted)] = np.concatenate([getattr(count, column) for count in counts])
        for place, key in enumerate(self._keys[column], len(self._counted)):
            if key is not None and info is not None:
                numbers[:, place] = self._values(column, key, info)
        return numbers

    def _values(self, column: str, key: str, info: InfoColumn) -> np.ndarray:
        texts = info.texts(key)
        # Values are told by their number and not by the header's Number, which is often wrong.
        several = np.ones(len(texts), bool) if key in self._ref_first else info.alts > 1
        if several.any():
            rows = np.flatnonzero(several).tolist()
            own = [self._pick(key, texts[row].as_py(), int(info.allele[row]), int(info.alts[row])) for row in rows]
            texts = pc.replace_with_mask(texts, pa.array(several), pa.array(own, pa.string()))
        try:
            numbers = texts.cast(pa.float64())
        except pa.ArrowInvalid:
            texts = pc.if_else(pc.equal(texts, "."), None, texts)
            numbers = _numbers(texts)
        values = numbers.to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            sound = (values >= 0) & ((values <= 1) if column == "af" else (values == np.floor(values)) & (values < 1 << 31))
        if unsound := len(texts) - texts.null_count - int(sound.sum()):
            self.warnings[f"{column.upper()} that is not {'a frequency' if column == 'af' else 'a count'}"] += unsound
        return np.where(sound, values, np.nan)

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

    def _lists(self, column: str, numbers: np.ndarray) -> pa.Array:
        """Rows of numbers as lists; null where nothing is known, and where nobody is homozygous or hemizygous among those counted."""
        silent = np.isnan(numbers)
        if column in ("hom", "hemi"):
            silent[:, : len(self._counted)] |= numbers[:, : len(self._counted)] == 0
        present = ~silent.all(axis=1)
        kind = SCHEMA.field(column).type
        lengths = np.where(present, numbers.shape[1], 0)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        values = pa.array(numbers[present].ravel(), pa.float64(), from_pandas=True).cast(kind.value_type)
        return pa.ListArray.from_arrays(pa.array(offsets), values, type=kind, mask=pa.array(~present))


def _numbers(texts: pa.StringArray) -> pa.DoubleArray:
    """Texts as numbers, of which some may be none: NaN."""
    try:
        return texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return pa.array([_number(text) for text in texts.to_pylist()], pa.float64())


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return float("nan")
