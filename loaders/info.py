"""INFO to JSON text, with the file's own digits, for one ALT of a record.

JSON is written as text straight from the file's text: 0.0002 stays 0.0002. Values that occur again and again (most do)
are looked up rather than made again.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from loaders.header import InfoField, VcfHeader

COUNT_MISMATCH = "INFO value whose count does not fit its alleles, kept whole"
REPEATED_KEY = "INFO key that occurs twice, first kept"

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eE][+-]?[0-9]+)?")
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_UNDECLARED = ("1", "String")
_PER_ALLELE = frozenset("ARG")
_REMEMBERED = 1 << 16
_REMEMBERED_LENGTH = 64


class Field(NamedTuple):
    """One `KEY=value` of a file: its parts (value None without `=`), and its JSON `"KEY":value`.

    `json` is None where the header wants one value per allele and the record has several ALTs, so that it depends on the ALT.
    """

    key: str
    value: str | None
    json: str | None


class InfoReader:
    """Turns INFO columns into JSON objects; `warnings` counts what was odd. Keys in `leave_out` don't appear in the JSON."""

    def __init__(self, header: VcfHeader, leave_out: frozenset[str] = frozenset()) -> None:
        self.warnings: Counter[str] = Counter()
        self._leave_out = leave_out
        self._declared = {key: _kind(field) for key, field in header.infos.items()}
        self._one_alt = _Fields(self, 1)
        self._several_alts = _Fields(self, 0)

    def fields(self, text: str, alts: int) -> list[Field]:
        """The fields of an INFO column, in file order, for a record with so many ALTs; none for a dot."""
        if text in (".", ""):
            return []
        known = self._one_alt if alts == 1 else self._several_alts
        fields = [known[field] for field in text.split(";")]
        if len({field[0] for field in fields}) != len(fields):
            return self._unrepeated(fields)
        return fields

    def object(self, fields: list[Field], allele: int, alts: int) -> str | None:
        """The JSON object for one ALT (from 1) of a record; None where nothing is in it."""
        if not fields:
            return None
        parts = [part if part is not None else self._of_allele(key, value or "", allele, alts) for key, value, part in fields]
        if "" in parts:
            parts = [part for part in parts if part]
        return "{" + ",".join(parts) + "}" if parts else None

    def make(self, text: str, alts: int) -> tuple[Field, bool]:
        """A field's parts and JSON, and whether that may be remembered; `alts` 0 stands for several."""
        key, equals, value = text.partition("=")
        if not equals:
            return Field(key, None, "" if key in self._leave_out else f"{string(key)}:true"), True
        if key in self._leave_out or not key:
            return Field(key, value, ""), False
        number, type_ = self._declared.get(key, _UNDECLARED)
        if number not in _PER_ALLELE:
            return Field(key, value, f"{string(key)}:{_plain(value, number, _ONE[type_])}"), True
        if not alts:
            return Field(key, value, None), True
        before = self.warnings[COUNT_MISMATCH]
        field = Field(key, value, self._of_allele(key, value, 1, alts))
        return field, self.warnings[COUNT_MISMATCH] == before

    def _of_allele(self, key: str, value: str, allele: int, alts: int) -> str:
        """`"KEY":value` of a Number=A, R or G key for one ALT."""
        number, type_ = self._declared[key]
        one = _ONE[type_]
        if value == ".":
            return f"{string(key)}:null"
        values = value.split(",")
        count = len(values)
        if number == "A" and count == alts:
            return f"{string(key)}:{one(values[allele - 1])}"
        if number == "R" and count == alts + 1:
            values = [values[0], values[allele]]
        elif number == "G" and count == (alts + 1) * (alts + 2) // 2:
            # Genotypes are ordered 0/0 0/1 1/1 0/2 1/2 2/2 ...: j/k (j <= k) is number k(k+1)/2 + j.
            hetero = allele * (allele + 1) // 2
            values = [values[0], values[hetero], values[hetero + allele]]
        elif not (number == "G" and count == alts + 1):
            self.warnings[COUNT_MISMATCH] += 1
        return f"{string(key)}:[{','.join(map(one, values))}]"

    def _unrepeated(self, fields: list[Field]) -> list[Field]:
        kept: dict[str, Field] = {}
        for field in fields:
            if field.key and kept.setdefault(field.key, field) is not field:
                self.warnings[REPEATED_KEY] += 1
        return list(kept.values())


class _Fields(dict[str, Field]):
    """Fields by their text, made when first met; forgets all when it holds too many."""

    def __init__(self, reader: InfoReader, alts: int) -> None:
        self._reader = reader
        self._alts = alts

    def __missing__(self, text: str) -> Field:
        field, lasting = self._reader.make(text, self._alts)
        if lasting and len(text) <= _REMEMBERED_LENGTH:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[text] = field
        return field


def string(text: str) -> str:
    """Text as a JSON string."""
    return json.dumps(text, ensure_ascii=False) if _ESCAPED.search(text) else f'"{text}"'


def number(text: str) -> str:
    """A number as a JSON number with the same digits; `.5`, `+1`, `007` and `1.`, which JSON does not have, as the number of
    the same value; a dot as null; anything else (nan, inf, words) as a string.
    """
    if _JSON_NUMBER.fullmatch(text):
        return text
    if text in (".", ""):
        return "null"
    found = _NUMBER.fullmatch(text)
    if found and (found[2] or found[3]):
        sign, whole, fraction, exponent = found.groups(default="")
        digits = (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
        return f"{'-' if sign == '-' else ''}{digits}{exponent}"
    return string(text)


def text(value: str) -> str:
    """A string value as JSON; a dot, which is the format's missing value, as null."""
    return "null" if value == "." else string(value)


_ONE: dict[str, Callable[[str], str]] = {"String": text, "Number": number}


def _plain(value: str, number: str, one: Callable[[str], str]) -> str:
    if value == ".":
        return "null"
    if number in ("0", "1") and "," not in value:
        return one(value)
    return f"[{','.join(map(one, value.split(',')))}]"


def _kind(field: InfoField) -> tuple[str, str]:
    return field.number, "Number" if field.type in ("Integer", "Float") else "String"
