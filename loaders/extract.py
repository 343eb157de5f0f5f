"""Extractors: what the INFO keys of a VCF record say, as rows of the tables of annotations.

The VCF loader asks each class with `for_header` once per file, then calls `add` for every ALT that it keeps and `take` once per chunk.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

import pyarrow as pa

from store.copy import ROW

if TYPE_CHECKING:
    from loaders.header import VcfHeader
    from loaders.normalize import Record


class Extractor(Protocol):
    """One kind of annotation.

    `SCHEMAS` are the columns of its tables without variant_key, load_id and `_row`. `warnings` counts, by reason, what it could not
    use. The keys that it reads stay in variant_record.info too, so that a record can be written back whole.
    """

    SCHEMAS: ClassVar[dict[str, pa.Schema]]
    warnings: Counter[str]

    @classmethod
    def for_header(cls, header: VcfHeader) -> Self | None:
        """An extractor for files with this header; None when the header declares nothing for it."""
        ...

    def add(self, row: int, record: Record, allele: int, variant: tuple[int, int, str, str]) -> None:
        """Adds what the record says of its ALT number `allele` (from 1), which is row `row` of the chunk.

        `variant` is (chromosome code, 1-based position, REF, ALT) after normalisation.
        """
        ...

    def take(self) -> dict[str, pa.RecordBatch]:
        """The rows since the last call, by table, with the int32 column `_row`."""
        ...


class Rows:
    """Rows of one table, collected one by one and taken as a batch."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema.append(pa.field(ROW, pa.int32()))
        self._rows: list[tuple] = []

    def append(self, row: int, *values: object) -> None:
        """Adds the values of the columns in the schema's order."""
        self._rows.append((*values, row))

    def take(self) -> pa.RecordBatch:
        """The rows since the last call."""
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(self._schema)
        batch = pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, self._schema, strict=True)], schema=self._schema)
        self._rows = []
        return batch
