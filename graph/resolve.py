"""Names into objects: variants as people write them, genes by symbol or identifier."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

import strawberry

from store.accession import split_version
from store.allele import left_align, trim
from store.errors import InvalidName
from store.region import Region
from store.statements import statement
from store.variant_key import encode_one
from store.variant_name import Alleles, Edit, Key, Position, RsId, TranscriptHgvs, parse_name

from .context import Context, View
from .errors import UserError
from .link import Ref, computed, define, leaf

if TYPE_CHECKING:
    from .variant import Variant

MOST_INPUTS = 1_000
MOST_CANDIDATES = 50
PORTION = 20
"""Names read in one go."""


@define
@strawberry.enum(description="What became of a name.")
class Outcome(Enum):
    MATCH = strawberry.enum_value("MATCH", description="It names one variant of the store.")
    AMBIGUOUS = strawberry.enum_value("AMBIGUOUS", description="It names several; see candidates.")
    NOT_FOUND = strawberry.enum_value("NOT_FOUND", description="It is a name, but no visible file has such a variant.")
    INVALID = strawberry.enum_value("INVALID", description="It is not the name of a variant; see reason.")


@define
@strawberry.type(description="What became of one name given to `resolve`.")
class Resolution:
    input: str = leaf("The name as given.")
    outcome: Outcome = leaf("What became of it.")
    reason: str | None = leaf("Why there is no single match, and what to do.")
    found: strawberry.Private[tuple[int, ...]]

    @computed(on="found")
    async def variant(ctx: Context, view: View, keys: Sequence[tuple[int, ...]]) -> Variant | None:
        """The variant, where the name has one match."""
        return [(found, Ref("Variant", found[0])) for found in keys if len(found) == 1]

    @computed(on="found")
    async def candidates(ctx: Context, view: View, keys: Sequence[tuple[int, ...]]) -> list[Variant]:
        """The variants that an ambiguous name may mean, in genome order, at most 50."""
        return [(found, Ref("Variant", key)) for found in keys if len(found) > 1 for key in found[:MOST_CANDIDATES]]


async def resolve_names(ctx: Context, view: View, inputs: Sequence[str], *, visible: bool = True) -> list[Resolution]:
    """What each name means in a view; at most one statement per kind of name, and one for those found by key, unless whether these are `visible` is not
    asked."""
    if len(inputs) > MOST_INPUTS:
        raise UserError(
            "TOO_MANY_INPUTS", f"{len(inputs):,} names at once; the most is {MOST_INPUTS:,}.", value=len(inputs), hint="Ask in portions."
        )
    parsed: list[Any] = []
    for text in inputs:
        parsed.append(_read(ctx, text))
        if not len(parsed) % PORTION:
            await asyncio.sleep(0)  # each name may read a piece of the reference; others have their turn in between
    loads = list(view.loads)
    by_name: dict[Any, tuple[int, ...]] = {}
    wanted: dict[type, list[Any]] = {}
    for name in parsed:
        wanted.setdefault(type(name), []).append(name)
    keys = sorted({name.key for name in wanted.get(Key, ())})
    if not visible:
        by_name |= {Key(key): (key,) for key in keys}
    elif keys:
        rows = await ctx.query(statement("visible_variants"), keys, loads)
        by_name |= {Key(row[0]): (row[0],) for row in rows}
    if RsId in wanted:
        rows = await ctx.query(statement("variants_by_rsid"), sorted({n.number for n in wanted[RsId]}), loads)
        _gather(by_name, ((RsId(row[0]), row[1]) for row in rows))
    if Position in wanted:
        ranges = {Region(n.chrom, n.pos, n.pos).keys(): n for n in wanted[Position]}
        low = {lo: n for (lo, _), n in ranges.items()}
        rows = await ctx.query(statement("variants_by_position"), [lo for lo, _ in ranges], [hi for _, hi in ranges], loads)
        _gather(by_name, ((low[row[0]], row[1]) for row in rows))
    for column in ("hgvsc", "hgvsp"):
        texts = sorted({n.text for n in wanted.get(TranscriptHgvs, ()) if n.column == column})
        if texts:
            rows = await ctx.query(statement(f"variants_by_{column}"), texts, loads)
            _gather(by_name, ((TranscriptHgvs(column, row[0]), row[1]) for row in rows))
    return [_resolution(text, name, by_name) for text, name in zip(inputs, parsed, strict=True)]


async def one_variant(ctx: Context, view: View, text: str) -> int | None:
    """The key of the one variant that a name means, which need not be visible; None where no visible file has the name.

    Raises UserError INVALID_NAME or AMBIGUOUS_NAME.
    """
    name = _read(ctx, text)
    if isinstance(name, Key):  # nothing to look up: reading the variant tells whether it is visible
        return name.key
    (found,) = await resolve_names(ctx, view, [text])
    if found.outcome is Outcome.INVALID:
        raise UserError("INVALID_NAME", found.reason or "", value=text[:80])
    if found.outcome is Outcome.AMBIGUOUS:
        raise UserError("AMBIGUOUS_NAME", found.reason or "", value=text[:80], hint="resolve(inputs:) lists the candidates.")
    return found.found[0] if found.found else None


async def find_genes(ctx: Context, view: View, names: Sequence[str]) -> dict[str, list[Any]]:
    """Genes by the names as given: rows (gene_id, symbol, chrom code, start_pos, end_pos), one per gene, the latest load's. By an alias only where
    nothing else has that name."""
    stems = {name: stem(name) for name in names}
    rows = await ctx.query(statement("genes_by_name"), sorted({*stems.values(), *names}), list(view.loads))
    found: dict[str, list[Any]] = {}
    for name, wanted in stems.items():
        named = {row["gene_id"]: row for row in reversed(rows) if wanted in (row["gene_id"].upper(), row["symbol"])}
        found[name] = list((named or {row["gene_id"]: row for row in reversed(rows) if wanted in row["aliases"]}).values())
    return found


def stem(name: str) -> str:
    """A gene's name in upper case, without the version of its identifier."""
    return split_version(name.strip().removeprefix("Gene:").upper())[0]


def _read(ctx: Context, text: str) -> Any:
    """The parsed name with alleles made a key; an InvalidName is the outcome, not raised."""
    try:
        name = parse_name(text, ctx.assembly)
        if isinstance(name, Edit):
            name = _alleles(ctx, name)
        if isinstance(name, Alleles):
            return Key(_key(ctx, name))
        return name
    except InvalidName as error:
        return error


def _key(ctx: Context, name: Alleles) -> int:
    def fetch(start: int, end: int) -> str:
        return ctx.reference.fetch(name.chrom, start, end) if ctx.reference else ""

    if name.ref == name.alt:
        raise InvalidName("REF and ALT are the same", "A variant changes something.")
    if ctx.reference and (there := fetch(name.pos, name.pos + len(name.ref) - 1)) and "N" not in there and there != name.ref:
        raise _not_there(there, name.pos, name.ref)
    normal = left_align(name.pos, name.ref, name.alt, fetch)
    if not all(normal) or "N" in normal[1]:  # no sequence there: as short as can be said without one, as the loader has it
        normal = trim(name.pos, name.ref, name.alt)
    return encode_one(name.chrom, *normal)


def _not_there(there: str, pos: int, stated: str) -> InvalidName:
    there, stated = (text if len(text) < 50 else text[:47] + "..." for text in (there, stated))
    return InvalidName(f"the reference has {there} at position {pos}, not {stated}", "Check the assembly and the strand.")


def _alleles(ctx: Context, edit: Edit) -> Alleles:
    """A genomic edit as REF and ALT with an anchor base. Raises InvalidName without a reference that covers it."""
    first = max(1, edit.start - 1)
    there = ctx.reference.fetch(edit.chrom, first, edit.end) if ctx.reference else ""
    if len(there) < edit.end - first + 1 or "N" in there:
        raise InvalidName(
            "the bases of this change are in the reference, which this server does not have there",
            "Name REF and ALT, as CHROM-POS-REF-ALT.",
        )
    if edit.stated and edit.stated != there[edit.start - first :]:
        raise _not_there(there[edit.start - first :], edit.start, edit.stated)
    if edit.kind == "ins":
        return Alleles(edit.chrom, edit.start, there[-2], there[-2] + edit.inserted)
    changed = there[edit.start - first :]
    anchor = there[: edit.start - first]
    if edit.kind == "dup":
        return Alleles(edit.chrom, edit.start, changed[0], changed + changed[0])
    if edit.kind == "inv":
        return Alleles(edit.chrom, edit.start, changed, changed.translate(str.maketrans("ACGT", "TGCA"))[::-1])
    if edit.kind == "delins":
        return Alleles(edit.chrom, edit.start, changed, edit.inserted)
    if not anchor:
        raise InvalidName("a deletion at the first base of a chromosome has no base before it", "Name REF and ALT, as CHROM-POS-REF-ALT.")
    return Alleles(edit.chrom, first, anchor + changed, anchor)


def _gather(by_name: dict[Any, tuple[int, ...]], pairs: Any) -> None:
    for name, key in pairs:
        by_name[name] = (*by_name.get(name, ()), key)


def _resolution(text: str, name: Any, by_name: dict[Any, tuple[int, ...]]) -> Resolution:
    if isinstance(name, InvalidName):
        return Resolution(input=text, outcome=Outcome.INVALID, reason=" ".join(filter(None, (f"{name.what}.", name.remedy))), found=())
    found = by_name.get(name, ())
    if len(found) == 1:
        return Resolution(input=text, outcome=Outcome.MATCH, reason=None, found=found)
    if found:
        return Resolution(
            input=text, outcome=Outcome.AMBIGUOUS, reason=f"{len(found)} variants have this name: say CHROM-POS-REF-ALT.", found=found
        )
    return Resolution(input=text, outcome=Outcome.NOT_FOUND, reason="No visible file has a record of it.", found=())
