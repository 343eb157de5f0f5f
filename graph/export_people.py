"""`vkg query ibd-shared`, `hbd-regions`, `relatives` and `variants-in-ibd`: what people share by descent, as tables or JSON. It reads through the
API's own links and functions, so that names and arguments mean the same in both places.

Each answer is a `Found`: rows under the API's names, which a table shows by column.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
from strawberry.utils.str_converters import to_camel_case

from store.output import Write

from .context import Context
from .errors import UserError
from .ibd import checked_length, run_of_pair
from .page import LARGEST_PAGE
from .people import one_sample, two_samples
from .sharing import IBDSharing, sharing_of
from .shell import children, format_of, pages, variant_filter, writing

Columns = Mapping[str, str]
"""The columns of a table, and where in a row each is: names of the API with dots between."""

_RUN = {"source": "run.source", "dataset": "run.name", "version": "run.version"}
_RELATIONSHIP = {
    "relationship": "relationship.kind",
    "kinship": "relationship.kinship",
    "degree": "relationship.degree",
    "nearest_degree": "relationship.nearestDegree",
    "furthest_degree": "relationship.furthestDegree",
    "no_relationship": "noRelationship",
}
SHARED: Columns = {
    "sample1": "sample1.name", "sample2": "sample2.name", "total_cm": "totalCm", "ibd1_cm": "ibd1Cm", "ibd2_cm": "ibd2Cm", "x_cm": "xCm",
    "segments": "segmentCount", "longest_cm": "longestCm", "min_length_cm": "minLengthCm", **_RELATIONSHIP, **_RUN,
}  # fmt: skip
_PLACE = {"chrom": "chrom", "start": "start", "end": "end", "length_cm": "lengthCm"}
_SAID = {"markers": "markers", "score": "score"}
SEGMENTS: Columns = {
    "sample1": "sample1.name", "haplotype1": "haplotype1", "sample2": "sample2.name", "haplotype2": "haplotype2", **_PLACE,
    "ibd_type": "ibdType", **_SAID, **_RUN, "line": "line",
}  # fmt: skip
HBD: Columns = {"sample": "sample.name", **_PLACE, **_SAID, **_RUN, "line": "line"}
RELATIVES: Columns = {
    "sample": "sample.name", "relative": "name", "cohort": "cohort", "sex": "sex", "population": "population", "total_cm": "totalCm",
    "segments": "segmentCount", "longest_cm": "longestCm", **_RELATIONSHIP, **_RUN,
}  # fmt: skip
VARIANTS: Columns = {
    **{name: name for name in ("chrom", "pos", "ref", "alt", "key", "type", "rsids", "sharing", "gt1", "gt2")},
    "callset": "callset.name", "version": "callset.version",
}  # fmt: skip

_OF_RUN = ("name", "version", "source", "source_version", "cohort", "phased", "surveyed_cm")
_OF_SEGMENT = ("chrom", "start", "end", "length_bp", "length_cm", "markers", "score", "line")
_OF_VARIANT = ("name", "key", "chrom", "pos", "ref", "alt", "type", "rsids", "sharing", "gt1", "gt2")

Row = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """Rows, the columns of a table of them, and the JSON document that holds them all; without one, JSON is a line for each."""

    rows: AsyncIterator[Row]
    columns: Columns
    document: Callable[[list[Row]], Any] | None = None


async def ibd_shared(ctx: Context, sample1: str, sample2: str, min_length: float, source: str | None, segments: bool) -> Found:
    """What two people share (Query.ibdShared): one row, or with `segments` one for each segment, longest first; their JSON document has
    both. Haplotypes are of the first and the second person named."""
    least = checked_length(min_length, "--min-length")
    people = await two_samples(ctx, ctx.view, sample1, sample2)
    run = await _run(ctx, people, source)
    first, second = (person["sample_id"] for person in people)
    (sharing,) = await sharing_of(ctx, ctx.view, [(first, second, run)], least)
    of_run = await _runs(ctx, [run])
    pair = {"sample1": _sample(people[0]), "sample2": _sample(people[1])}

    async def each() -> AsyncIterator[Row]:
        async for page in pages(ctx, "IBDSharing.segments", {}, key=sharing.pair):
            for row in page:
                haplotypes = {"haplotype1": row["haplotype"], "haplotype2": row["other_haplotype"], "ibdType": row["ibd_type"]}
                yield pair | haplotypes | _camel(row, _OF_SEGMENT) | {"run": of_run[run]}

    whole = pair | _sharing(sharing) | {"run": of_run[run]}
    if segments:
        return Found(each(), SEGMENTS, lambda rows: whole | {"segments": _without(rows, "sample1", "sample2", "run")})
    return Found(_only(whole), SHARED)


async def hbd_regions(ctx: Context, sample: str, min_length: float, source: str | None) -> Found:
    """The segments where both haplotypes of a person are one by descent (Sample.hbdSegments), longest first."""
    least = checked_length(min_length, "--min-length")
    person = await one_sample(ctx, ctx.view, sample)
    await _run(ctx, [person], source)
    arguments = {"source": source, "min_length_cm": least}

    async def each() -> AsyncIterator[Row]:
        async for page in pages(ctx, "Sample.hbd_segments", arguments, key=person["sample_id"]):
            runs = await _runs(ctx, [row["load_id"] for row in page])
            for row in page:
                yield {"sample": _sample(person)} | _camel(row, _OF_SEGMENT) | {"run": runs[row["load_id"]]}

    return Found(each(), HBD, lambda rows: {"sample": _sample(person), "segments": _without(rows, "sample")})


async def relatives(
    ctx: Context, sample: str, min_total: float, min_length: float, source: str | None, population: list[str] | None, first: int | None
) -> Found:
    """Those with whom a person shares most (Sample.relatives), and how they may be related; all, or the first."""
    least, total = checked_length(min_length, "--min-length"), checked_length(min_total, "--min-total")
    person = await one_sample(ctx, ctx.view, sample)
    await _run(ctx, [person], source)
    arguments = {"min_total_cm": total, "source": source, "min_length_cm": least, "population": population}

    async def each() -> AsyncIterator[Row]:
        left = first
        async for page in pages(ctx, "Sample.relatives", arguments, key=person["sample_id"], size=min(first or LARGEST_PAGE, LARGEST_PAGE)):
            runs = await _runs(ctx, [row["run_id"] for row in page])
            pairs = [(person["sample_id"], row["sample_id"], row["run_id"]) for row in page]
            for row, sharing in zip(page[:left], await sharing_of(ctx, ctx.view, pairs, 0.0), strict=False):
                about = _sample(row) | {"sex": row["sex"], "population": row["population_name"]}
                shared = _camel(row, ("total_cm", "segment_count", "longest_cm")) | _relationship(sharing)
                yield {"sample": _sample(person)} | about | shared | {"run": runs[row["run_id"]]}
            if left is not None and (left := left - len(page)) <= 0:
                return

    return Found(each(), RELATIVES, lambda rows: {"sample": _sample(person), "relatives": _without(rows, "sample")})


async def variants_in_ibd(
    ctx: Context,
    sample1: str,
    sample2: str,
    min_length: float,
    shared_only: bool,
    source: str | None,
    region: str | None,
    gene: str | None,
    flank: int,
    filter: str | None,
) -> Found:
    """Variants that either of two people carries inside the segments that they share (Query.variantsInIbd), in genome order."""
    least = checked_length(min_length, "--min-length")
    await _run(ctx, await two_samples(ctx, ctx.view, sample1, sample2), source)
    arguments = {
        "sample1": sample1, "sample2": sample2, "min_length_cm": least, "shared_only": shared_only, "source": source,
        "region": region, "gene": gene, "flank": flank, "filter": variant_filter(filter) if filter is not None else None,
    }  # fmt: skip

    async def each() -> AsyncIterator[Row]:
        async for page in pages(ctx, "Query.variants_in_ibd", arguments):
            callsets = await children(ctx, "SharedVariantEdge.callset", sorted({row["callset_id"] for row in page}))
            for row in page:
                yield _camel(row, _OF_VARIANT) | {"callset": _camel(callsets[row["callset_id"]][0], ("name", "version"))}

    return Found(each(), VARIANTS)


async def write(ctx: Context, found: Found, as_json: bool, output: Path | None, out: IO[str]) -> int:
    """Writes rows as TSV, or JSON, to a file or to `out`. Returns their number. Raises UserError; a file is only there when it is complete."""
    if output is not None:
        format_of(output, ((".json",) if found.document else (".jsonl", ".json")) if as_json else (".tsv",))
    async with writing(ctx, output, out) as to:
        return await (_write_json if as_json else _write_tsv)(to, found)


async def _write_tsv(to: Write, found: Found) -> int:
    head = "\t".join(found.columns) + "\n"
    count = 0
    async for row in found.rows:  # what cannot be answered is refused here, before the head is written
        to((head if not count else "") + "\t".join(_cell(row, path) for path in found.columns.values()) + "\n")
        count += 1
    if not count:
        to(head)
    return count


async def _write_json(to: Write, found: Found) -> int:
    if found.document:
        rows = [row async for row in found.rows]
        to(orjson.dumps(found.document(rows), option=orjson.OPT_INDENT_2).decode() + "\n")
        return len(rows)
    count = 0
    async for row in found.rows:
        to(orjson.dumps(row).decode() + "\n")
        count += 1
    return count


def _cell(row: Row, path: str) -> str:
    value: Any = row
    for name in path.split("."):
        value = value[name] if value is not None else None
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(value)
    return f"{value:.15g}" if isinstance(value, float) else str(value)


# ---- rows


async def _run(ctx: Context, people: Sequence[Any], source: str | None) -> int:
    """The run that speaks of people. Raises UserError NO_RUN where the API would answer null, or nothing."""
    run = await run_of_pair(ctx, ctx.view, [person["cohort"] for person in people], source)
    if run is None:
        cohorts = " and ".join(sorted({person["cohort"] for person in people}))
        raise UserError(
            "NO_RUN",
            f"No visible run of segments is of people of {cohorts}.",
            hint="vkg loads shows what is loaded; vkg load ibd loads one.",
        )
    return int(run["load_id"])


async def _runs(ctx: Context, numbers: Sequence[int]) -> dict[int, Row]:
    found = await children(ctx, "IBDSharing.run", sorted({*numbers}))
    return {number: _camel(rows[0], _OF_RUN) for number, rows in found.items()}


def _sample(row: Any) -> Row:
    return {"name": row["name"], "cohort": row["cohort"]}


def _sharing(sharing: IBDSharing) -> Row:
    columns = ("total_cm", "ibd1_cm", "ibd2_cm", "x_cm", "segment_count", "longest_cm", "min_length_cm")
    return _camel(vars(sharing), columns) | _relationship(sharing)


def _relationship(sharing: IBDSharing) -> Row:
    found, none = sharing.relationship, sharing.no_relationship
    about = (
        _camel(vars(found) | {"kind": found.kind.name}, ("kinship", "kind", "degree", "nearest_degree", "furthest_degree"))
        if found
        else None
    )
    return {"relationship": about, "noRelationship": none.name if none else None}


def _camel(row: Mapping[str, Any], columns: Sequence[str]) -> Row:
    return {to_camel_case(name): row[name] for name in columns}


def _without(rows: Sequence[Row], *names: str) -> list[Row]:
    return [{key: row[key] for key in row if key not in names} for row in rows]


async def _only(row: Row) -> AsyncIterator[Row]:
    yield row
