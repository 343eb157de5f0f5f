"""INFO, column by column: the JSON of each variant with the file's own digits, and the values of single keys.

Comes in: the INFO columns of a chunk of records, as text. A chunk holds few different `KEY=value`s compared with how
many it holds, so each is looked at once, and only where JSON is asked for; the rest is done by Arrow on whole columns.
JSON is made from the file's text as text: 0.0002 stays 0.0002.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loaders.header import InfoField, VcfHeader

COUNT_MISMATCH = "INFO value whose count does not fit its alleles, kept whole"
REPEATED_KEY = "INFO key that occurs twice, first kept"

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eE][+-]?[0-9]+)?")
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_ONE_NUMBER = f"^(?:{_JSON_NUMBER.pattern})$"
_NOT_ONE_WORD = r'[",\\\x00-\x1f]'
_PER_ALLELE = frozenset("ARG")
_ONE_VALUE = frozenset("01A")
"""Number of keys that have one value for one ALT."""
_NO_KEYS = ("", ".")
_CELLS = 64  # of records and keys, for each field: with fewer, marking each cell is the fastest way to find two equal keys
_REMEMBERED = 1 << 16
_REMEMBERED_LENGTH = 64


def string(value: str) -> str:
    """Text as a JSON string."""
    return json.dumps(value, ensure_ascii=False) if _ESCAPED.search(value) else f'"{value}"'


def text(value: str) -> str:
    """A value of type String or Character as JSON: a dot, the format's missing value, as null."""
    return "null" if value == "." else string(value)


def number(value: str) -> str:
    """A value of type Integer or Float as a JSON number with the same digits.

    `.5`, `+1`, `007` and `1.`, which JSON does not have, become the number of the same value, a dot becomes null, and
    anything else (nan, inf, words) a string.
    """
    if _JSON_NUMBER.fullmatch(value):
        return value
    if value in (".", ""):
        return "null"
    found = _NUMBER.fullmatch(value)
    if found and (found[2] or found[3]):
        sign, whole, fraction, exponent = found.groups(default="")
        digits = (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
        return f"{'-' if sign == '-' else ''}{digits}{exponent}"
    return string(value)


def fields(info: str) -> dict[str, str | None]:
    """An INFO column as a dictionary in file order; None for a key without a value. The first of two equal keys counts."""
    found: dict[str, str | None] = {}
    for field in info.split(";"):
        key, equals, value = field.partition("=")
        if key not in (".", ""):
            found.setdefault(key, value if equals else None)
    return found


class _Field(NamedTuple):
    """One `KEY=value`: the key, empty where it is none, the value (None without `=`), its JSON `"KEY":value` for a record with one ALT, empty
    where it says nothing, and whether its count does not fit one ALT."""

    key: str
    value: str | None
    json: str
    odd: bool


class _Kind(NamedTuple):
    """How the values of a key become JSON: its Number, and what makes one of them JSON."""

    number: str
    one: Callable[[str], str]


class InfoReader:
    """Reads INFO columns as a header declares them. `warnings` counts what was odd."""

    def __init__(self, header: VcfHeader) -> None:
        self.warnings: Counter[str] = Counter()
        self._kinds = {key: _kind(field) for key, field in header.infos.items()}
        self._known: dict[str, _Field] = {}

    def read(self, infos: Sequence[str] | pa.StringArray, record: np.ndarray, allele: np.ndarray, alts: np.ndarray) -> InfoColumn:
        """The INFO of a chunk's variants.

        Args:
            infos: (records,) INFO columns.
            record: (variants,) which of them each variant belongs to.
            allele: (variants,) the number of its ALT, from 1.
            alts: (variants,) how many ALTs its record has.
        """
        return InfoColumn(self, infos, record, allele, alts)

    def field(self, written: str) -> _Field:
        """A field of a record with one ALT; remembered, as most come again."""
        found = self._known.get(written)
        if found is None:
            found = self._field(written)
            if len(written) <= _REMEMBERED_LENGTH:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[written] = found
        return found

    def around(self, keys: Sequence[str]) -> tuple[pa.StringArray, pa.StringArray, np.ndarray, np.ndarray]:
        """By key: what stands in JSON before a single value and what behind it; whether values are numbers, and whether a single one fits one ALT."""
        kinds = [self._kinds.get(key, _UNDECLARED) for key in keys]
        numeric = np.array([kind.one is number for kind in kinds], bool)
        opened = ["[" * (kind.number not in _ONE_VALUE) + '"' * (kind.one is text) for kind in kinds]
        before = [f"{string(key)}:{mark}" for key, mark in zip(keys, opened, strict=True)]
        after = [mark[::-1].replace("[", "]") for mark in opened]
        fits = np.array([kind.number not in ("R", "G") for kind in kinds], bool)
        return pa.array(before, pa.string()), pa.array(after, pa.string()), numeric, fits

    def _field(self, written: str) -> _Field:
        key, equals, value = written.partition("=")
        if key in _NO_KEYS:
            return _Field("", None, "", False)
        if not equals:
            return _Field(key, None, f"{string(key)}:true", False)
        made, fits = self.of_allele(key, value, 1, 1)
        return _Field(key, value, made, not fits)

    def of_allele(self, key: str, value: str, allele: int, alts: int) -> tuple[str, bool]:
        """`"KEY":value` for one ALT of a record, and whether the number of values fits the number of ALTs.

        Of a Number=A key this is the ALT's value, of Number=R that of REF and its, of Number=G those of the diploid
        genotypes of REF and it. Values whose number does not fit stay whole.
        """
        kind = self._kinds.get(key, _UNDECLARED)
        if value == ".":
            return f"{string(key)}:null", True
        if kind.number in ("0", "1") and "," not in value:
            return f"{string(key)}:{kind.one(value)}", True
        values = value.split(",")
        fits = True
        if kind.number in _PER_ALLELE:
            if kind.number == "A" and len(values) == alts:
                return f"{string(key)}:{kind.one(values[allele - 1])}", True
            if kind.number == "R" and len(values) == alts + 1:
                values = [values[0], values[allele]]
            elif kind.number == "G" and len(values) == (alts + 1) * (alts + 2) // 2:
                # Genotypes are ordered 0/0 0/1 1/1 0/2 1/2 2/2 ...: j/k (j <= k) is number k(k+1)/2 + j.
                hetero = allele * (allele + 1) // 2
                values = [values[0], values[hetero], values[hetero + allele]]
            else:
                fits = kind.number == "G" and len(values) == alts + 1  # haploid genotypes
        return f"{string(key)}:[{','.join(map(kind.one, values))}]", fits


class InfoColumn:
    """The INFO of the variants of a chunk; `InfoReader.read` makes it."""

    def __init__(
        self, reader: InfoReader, infos: Sequence[str] | pa.StringArray, record: np.ndarray, allele: np.ndarray, alts: np.ndarray
    ) -> None:
        self.allele = allele
        self.alts = alts
        self._reader = reader
        self._record = record
        split = pc.split_pattern(infos if isinstance(infos, pa.Array) else pa.array(infos, pa.string()), ";")
        encoded = split.flatten().dictionary_encode()
        self._written = encoded.dictionary
        parts = pc.split_pattern(self._written, "=", max_splits=1)
        text, place = parts.flatten(), parts.offsets.to_numpy()
        keys = text.take(pa.array(place[:-1])).dictionary_encode()
        # Of this chunk alone: there are files whose keys are others in each record.
        self._number = dict.fromkeys(_NO_KEYS, 0)
        names = keys.dictionary.to_pylist()
        self._number |= {name: number for number, name in enumerate((name for name in names if name not in _NO_KEYS), 1)}
        self._names = ["", *(name for name in names if name not in _NO_KEYS)]
        numbers = [self._number[name] for name in names]
        kind = np.int16 if len(self._names) < 1 << 15 else np.int32  # 16 bits sort fastest
        self._key = np.array(numbers, kind)[keys.indices.to_numpy()]
        self._value = text.take(pa.array(place[:-1] + 1, mask=np.diff(place) == 1))
        # Field number f of record r is self._fields[self._code[self._start[r] + f]].
        self._code, self._start = encoded.indices.to_numpy(), split.offsets.to_numpy()
        self._without_repeats()

    def json(self) -> pa.StringArray:
        """(variants,) INFO as JSON objects with keys in file order; null where nothing is in it."""
        texts, odd_field = self._each()
        code, start = _kept(self._code, self._start, (pc.binary_length(texts).to_numpy() > 0)[self._code])
        parts = pa.ListArray.from_arrays(pa.array(start), texts.take(pa.array(code)))
        made = pc.binary_join_element_wise("{", pc.binary_join(parts, ","), "}", "")
        if odd_field.any():
            single = np.bincount(self._record[self.alts == 1], minlength=len(start) - 1) > 0
            if odd := int(np.repeat(single, np.diff(self._start))[odd_field[self._code]].sum()):
                self._reader.warnings[COUNT_MISMATCH] += odd
        several = np.flatnonzero(self.alts > 1)
        rows = self._record.copy()
        rows[several] = len(made) + np.arange(len(several))
        of_several = pa.array(self._of_alleles(several), pa.string())
        made = pa.concat_arrays([made, of_several]).take(pa.array(rows))
        return pc.if_else(pc.equal(made, "{}"), None, made)

    def _each(self) -> tuple[pa.StringArray, np.ndarray]:
        """Each different `KEY=value` as `InfoReader.field` has it: its JSON, and whether its count does not fit one ALT."""
        # One number, or one text without anything that JSON or VCF writes in another way, stands in JSON as it does here.
        before, after, numeric, fits = self._reader.around(self._names)
        numbers = pc.match_substring_regex(self._value, _ONE_NUMBER)
        words = pc.invert(pc.or_(pc.match_substring_regex(self._value, _NOT_ONE_WORD), pc.equal(self._value, ".")))
        simple = pc.if_else(pa.array(numeric[self._key]), numbers, words).fill_null(False).to_numpy(zero_copy_only=False)
        simple &= fits[self._key] & (self._key > 0)
        keys = pa.array(self._key)
        texts = pc.binary_join_element_wise(before.take(keys), self._value, after.take(keys), "")
        odd = np.zeros(len(texts), bool)
        others = np.flatnonzero(~simple)
        if len(others):
            fields = [self._reader.field(written) for written in self._written.take(pa.array(others)).to_pylist()]
            texts = pc.replace_with_mask(texts, pa.array(~simple), pa.array([field.json for field in fields], pa.string()))
            odd[others] = [field.odd for field in fields]
        return texts, odd

    def texts(self, key: str) -> pa.StringArray:
        """(variants,) the value of a key as it is written, with commas for several ALTs; null where a record has none."""
        records = np.full(len(self._start) - 1, -1, np.int32)
        if number := self._number.get(key):
            order, begin, record = self._by_key
            fields = order[begin[number] : begin[number + 1]]
            records[record[fields]] = self._code[fields]
        rows = records[self._record]
        return self._value.take(pa.array(rows, mask=rows < 0))

    @cached_property
    def _by_key(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places of the fields in the order of their keys, where in it each key begins, and the record at each place."""
        keys = self._key[self._code]
        begin = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=len(self._names)))])
        return np.argsort(keys, kind="stable"), begin, np.repeat(np.arange(len(self._start) - 1), np.diff(self._start))

    def _of_alleles(self, rows: np.ndarray) -> list[str]:
        """The JSON of variants of records with several ALTs."""
        codes = [self._code[self._start[record] : self._start[record + 1]] for record in self._record[rows].tolist()]
        used = np.unique(np.concatenate([np.zeros(0, np.int64), *codes]))
        fields = dict(zip(used.tolist(), map(self._reader.field, self._written.take(pa.array(used)).to_pylist()), strict=True))
        made = []
        for row, of_record in zip(rows.tolist(), codes, strict=True):
            parts = []
            for field in map(fields.__getitem__, of_record.tolist()):
                if field.json and field.value is not None:
                    text, fits = self._reader.of_allele(field.key, field.value, int(self.allele[row]), int(self.alts[row]))
                    if not fits:
                        self._reader.warnings[COUNT_MISMATCH] += 1
                    parts.append(text)
                elif field.json:
                    parts.append(field.json)
            made.append(f"{{{','.join(parts)}}}")
        return made

    def _without_repeats(self) -> None:
        """Takes out the second of two equal keys of a record."""
        record = np.repeat(np.arange(len(self._start) - 1), np.diff(self._start))
        fields = record * len(self._names) + self._key[self._code]
        cells = (len(self._start) - 1) * len(self._names)
        if cells <= _CELLS * len(fields):
            seen = np.zeros(cells, bool)
            seen[fields] = True
            different = int(np.count_nonzero(seen))
        else:
            different = len(pc.unique(pa.array(fields)))
        if different == len(fields):
            return
        first = np.zeros(len(fields), bool)
        first[np.unique(fields, return_index=True)[1]] = True
        self._reader.warnings[REPEATED_KEY] += int((~first & (self._key[self._code] > 0)).sum())
        self._code, self._start = _kept(self._code, self._start, first)


def _kept(code: np.ndarray, start: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fields without those that are not kept: their codes, and where each record begins."""
    before = np.concatenate([np.zeros(1, start.dtype), np.cumsum(kept, dtype=start.dtype)])
    return code[kept], before[start]


def _kind(field: InfoField) -> _Kind:
    return _Kind(field.number, number if field.type in ("Integer", "Float") else text)


_UNDECLARED = _Kind("1", text)
