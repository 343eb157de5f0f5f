"""Which variants a command is about: one by its name, or candidates by their names, from a file, or of a place.

Whoever names variants one by one must name each right; of a file's, what cannot be found is told and the rest goes on.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from store.assembly import Assembly, chrom_code
from store.variant import VARIANT

from .batch import read_all
from .context import Context
from .errors import UserError
from .resolve import MOST_CANDIDATES, Outcome, Resolution, resolve_names
from .shell import pages, variant_filter

Say = Callable[[str], None]
"""Tells whoever runs a command something beside its answer."""

PORTION = 500
"""So many candidates are read at once."""
MOST = 100_000
"""So many candidates at most can be named by a file, or ranked."""
_SHOWN = 10
_VCF = (".vcf", ".vcf.gz", ".vcf.bgz")


@dataclass(frozen=True)
class Candidates:
    """Which variants: by names, of a file of names or a VCF, or of a region or gene that a filter leaves. One of the four."""

    ids: Sequence[str] | None = None
    file: Path | None = None
    region: str | None = None
    gene: str | None = None
    filter: str | None = None

    def check(self) -> None:
        """Raises UserError BAD_SELECTION where it is none of the four, or several."""
        given = {"--id": self.ids, "--candidates": self.file, "--region": self.region, "--gene": self.gene}
        count = sum(value is not None for value in given.values())
        if not count:
            raise UserError("BAD_SELECTION", "Of which variants?", hint=f"Say one of {', '.join(given)}.")
        if count > 1:
            named = [name for name, value in given.items() if value is not None]
            raise UserError("BAD_SELECTION", f"{' and '.join(named)} exclude each other.", hint="Give one of them.")
        if self.filter is not None and self.region is None and self.gene is None:
            raise UserError("BAD_SELECTION", "--filter goes with --region or --gene.", hint="Names say which variants are meant.")


class Missed(NamedTuple):
    """A name of a file that is no variant of this store: the name, what became of it, why, and the line."""

    name: str
    outcome: str
    reason: str
    line: int


@dataclass(frozen=True)
class Batch:
    """Some candidates: their keys, each once in all batches, and names that are none."""

    keys: list[int]
    missed: list[Missed]


async def one_named(ctx: Context, text: str) -> int:
    """The key of the one visible variant that a name means. Raises UserError INVALID_NAME, AMBIGUOUS_NAME or UNKNOWN_VARIANT."""
    return (await _all_named(ctx, [text]))[0]


async def read_candidates(ctx: Context, chosen: Candidates, say: Say) -> AsyncIterator[Batch]:
    """The candidates, as they are named or stand in the file, else in genome order, PORTION at once; of a file, what is missing is told in the end.

    Raises UserError for a name that does not mean one variant, a file that cannot be read or has no variant of this store, and as `place`.
    """
    chosen.check()
    if chosen.file is not None:
        async for batch in _of_file(ctx, chosen.file, say):
            yield batch
    elif chosen.ids is not None:
        keys = list(dict.fromkeys(await _all_named(ctx, chosen.ids)))
        for start in range(0, len(keys), PORTION):
            yield Batch(keys[start : start + PORTION], [])
    else:
        asked = {"region": chosen.region, "gene": chosen.gene, "filter": None if chosen.filter is None else variant_filter(chosen.filter)}
        async for page in pages(ctx, "Query.variants", asked, size=PORTION):
            yield Batch([row["variant_key"] for row in page], [])


async def _all_named(ctx: Context, names: Sequence[str]) -> list[int]:
    keys: list[int] = []
    for start in range(0, len(names), PORTION):
        for found in await resolve_names(ctx, ctx.view, names[start : start + PORTION]):
            if found.outcome is not Outcome.MATCH:
                raise await _refusal(ctx, found)
            keys += found.found
    return keys


async def _refusal(ctx: Context, found: Resolution) -> UserError:
    name = found.input[:80]
    if found.outcome is Outcome.INVALID:
        said = found.reason or ""
        return UserError("INVALID_NAME", said if repr(found.input) in said else f"{name!r}: {said}", value=name)
    if found.outcome is Outcome.AMBIGUOUS:
        rows = await read_all(ctx, ctx.view, VARIANT, "pk", sorted(found.found)[:MOST_CANDIDATES], columns=("name",))
        listed = ", ".join(row["name"] for _, row in rows)
        return UserError("AMBIGUOUS_NAME", f"{len(found.found)} variants have the name {name!r}.", value=name, hint=f"Say which: {listed}")
    hint = "Load a file that has it (vkg load vcf), or see what is there: vkg query variants --region CHROM:START-END"
    return UserError("UNKNOWN_VARIANT", f"No visible file has a record of {name!r}.", value=name, hint=hint)


# ---- files


class _Line(NamedTuple):
    """What a line of a file names; `wrong` where no name can be made of it."""

    number: int
    name: str
    wrong: str | None = None


async def _of_file(ctx: Context, path: Path, say: Say) -> AsyncIterator[Batch]:
    seen: set[int] = set()
    held: list[Batch] = []  # until one has a variant: a file without any is refused
    missed: list[Missed] = []
    count = 0
    for lines in _portions(_read(path, ctx.assembly)):
        if (count := count + len(lines)) > MOST:
            raise too_many(f"{path} names")
        batch = await _batch(ctx, lines, seen)
        missed += batch.missed
        held.append(batch)
        if seen:
            for each in held:
                yield each
            held = []
    if not count:
        raise UserError("NO_CANDIDATES", f"{path} names no variant.", hint="Write one name on each line, or give a VCF.")
    if not seen:
        first = missed[0]
        raise UserError(
            "NO_CANDIDATES", f"{path} names {count:,}, and no variant of this store. Line {first.line}: {first.name[:80]}: {first.reason}",
            hint="Check the assembly, or load what has them: vkg load vcf",
        )  # fmt: skip
    if missed:
        listed = "".join(f"\n  {path}:{each.line}: {each.name[:80]}: {each.reason}" for each in missed[:_SHOWN])
        more = f"\n  and {len(missed) - _SHOWN:,} more" if len(missed) > _SHOWN else ""
        say(f"{len(missed):,} of {count:,} candidates are not one variant of this store:{listed}{more}")


async def _batch(ctx: Context, lines: Sequence[_Line], seen: set[int]) -> Batch:
    """What lines name that was not seen before."""
    found = iter(await resolve_names(ctx, ctx.view, [line.name for line in lines if line.wrong is None]))
    batch = Batch([], [])
    for line in lines:
        if line.wrong is not None:
            batch.missed.append(Missed(line.name, Outcome.INVALID.name, line.wrong, line.number))
        elif (each := next(found)).outcome is not Outcome.MATCH:
            batch.missed.append(Missed(line.name, each.outcome.name, each.reason or "", line.number))
        elif each.found[0] not in seen:
            seen.add(each.found[0])
            batch.keys.append(each.found[0])
    return batch


def too_many(what: str) -> UserError:
    """The error for more candidates than MOST; `what` goes on with their number."""
    return UserError(
        "TOO_MANY_CANDIDATES", f"{what} more than {MOST:,} variants.", hint="Filter them first: a case has hundreds, or a few thousand."
    )


def _portions(lines: Iterator[_Line]) -> Iterator[list[_Line]]:
    held: list[_Line] = []
    for line in lines:
        held.append(line)
        if len(held) >= PORTION:
            yield held
            held = []
    if held:
        yield held


def _read(path: Path, assembly: Assembly) -> Iterator[_Line]:
    """What each line of a file names: of a VCF each ALT of each record, else the first column. Raises UserError BAD_FILE or WRONG_ASSEMBLY."""
    number = 0
    try:
        with _opened(path) as file:
            vcf = path.name.lower().endswith(_VCF)
            read = _of_record if vcf else _of_names
            for number, line in enumerate(file, 1):
                if vcf and line.startswith("##contig"):
                    _check_contig(path, number, line, assembly)
                if not line.startswith("#") and (text := line.rstrip("\r\n")).strip():
                    yield from read(path, number, text)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or "it ends too early"
        raise UserError("BAD_FILE", f"{path}, after line {number}: {said}.", hint="Give a text file, plain or gzipped (.gz).") from None


def _check_contig(path: Path, number: int, line: str, assembly: Assembly) -> None:
    """Raises UserError WRONG_ASSEMBLY where a VCF's header says another length of a chromosome."""
    said = dict(part.split("=", 1) for part in line.strip().removeprefix("##contig=<").rstrip(">").split(",") if "=" in part)
    code = chrom_code(said.get("ID", ""))
    length = said.get("length", "")
    if code is not None and length.isdigit() and int(length) != assembly.length(code):
        raise UserError(
            "WRONG_ASSEMBLY", f"{path}:{number}: {said['ID']} has {int(length):,} bases, and in {assembly.name} {assembly.length(code):,}.",
            hint=f"This store is of {assembly.name}: lift the file over, or ask a store of its assembly.",
        )  # fmt: skip


def _opened(path: Path) -> IO[str]:
    if path.suffix.lower() in (".gz", ".bgz"):
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _of_names(path: Path, number: int, text: str) -> Iterator[_Line]:
    if name := text.split("\t", 1)[0].strip():
        yield _Line(number, name)


def _of_record(path: Path, number: int, text: str) -> Iterator[_Line]:
    columns = text.split("\t", 5)
    if len(columns) < 5:
        raise UserError(
            "BAD_FILE", f"{path}:{number}: a record of {len(columns)} columns.", hint="A VCF has at least eight, with tabs between."
        )
    chrom, pos, _, ref, alts = columns[:5]
    for alt in alts.split(","):
        bases = bool(alt) and alt.isalpha()
        yield _Line(number, f"{chrom}-{pos}-{ref}-{alt}", None if bases else f"ALT {alt} has no bases.")
