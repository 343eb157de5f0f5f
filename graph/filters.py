"""Filters on variants: the input types, and what they mean as conditions of store/variant.py."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import strawberry

from store.clinical import Clinical
from store.consequence import TERMS, Impact
from store.read import EVERYTHING, Filter, both, leaves, where

from .errors import UserError
from .link import define

LARGEST_FILTERED_REGION = 5_000_000
"""Widest region, in bases, for a filter that no index answers."""

MOST_CONDITIONS = 100
"""Most conditions in one filter: each is a part of one statement."""

Datasets = Annotated[list[str] | None, strawberry.argument(description="Only these datasets.")]

T = TypeVar("T")
_IMPACT_OF = {term: impact for impact, terms in TERMS.items() for term in terms}


@define
@strawberry.enum(name="Impact", description="How strongly a consequence is expected to act, in Ensembl's four groups.")
class ImpactLevel(Enum):
    HIGH = strawberry.enum_value("HIGH", description="The protein is probably truncated or lost.")
    MODERATE = strawberry.enum_value("MODERATE", description="The protein is changed, not truncated.")
    LOW = strawberry.enum_value("LOW", description="Probably harmless to the protein.")
    MODIFIER = strawberry.enum_value("MODIFIER", description="Outside coding sequence, or hard to predict.")


@define
@strawberry.enum(description="Kind of change, from the lengths of the normalised alleles.")
class VariantType(Enum):
    SNV = strawberry.enum_value("SNV", description="One base for another.")
    MNV = strawberry.enum_value("MNV", description="Several bases for as many others.")
    INSERTION = strawberry.enum_value("INSERTION", description="Bases added after an anchor base.")
    DELETION = strawberry.enum_value("DELETION", description="Bases removed after an anchor base.")
    INDEL = strawberry.enum_value("INDEL", description="Bases replaced by a different number of others.")


if TYPE_CHECKING:
    ClinicalClass = Clinical
else:
    _MEANINGS = {
        Clinical.PATHOGENIC: "Causes the condition.",
        Clinical.LIKELY_PATHOGENIC: "Probably causes the condition.",
        Clinical.PATHOGENIC_LOW_PENETRANCE: "Causes the condition, in few of those who carry it.",
        Clinical.LIKELY_PATHOGENIC_LOW_PENETRANCE: "Probably causes the condition, in few of those who carry it.",
        Clinical.UNCERTAIN_SIGNIFICANCE: "Not known whether it matters (VUS).",
        Clinical.LIKELY_BENIGN: "Probably does not cause the condition.",
        Clinical.BENIGN: "Does not cause the condition.",
        Clinical.CONFLICTING: "Submitters disagree; `conflicting` has the single classifications.",
        Clinical.RISK_FACTOR: "Raises the risk of the condition without causing it.",
        Clinical.ESTABLISHED_RISK_ALLELE: "Raises the risk of the condition: established.",
        Clinical.LIKELY_RISK_ALLELE: "Raises the risk of the condition: likely.",
        Clinical.UNCERTAIN_RISK_ALLELE: "Raises the risk of the condition: uncertain.",
        Clinical.DRUG_RESPONSE: "Changes how a drug acts.",
        Clinical.ASSOCIATION: "Found in an association study, and interpreted for what it means to patients.",
        Clinical.PROTECTIVE: "Lowers the risk of the condition.",
        Clinical.AFFECTS: "Causes a trait that is no disease.",
        Clinical.CONFERS_SENSITIVITY: "Makes more sensitive, for example to a drug.",
        Clinical.ONCOGENIC: "Drives cancer.",
        Clinical.LIKELY_ONCOGENIC: "Probably drives cancer.",
        Clinical.TIER_I_STRONG: "Tier I: strong clinical significance in cancer.",
        Clinical.TIER_II_POTENTIAL: "Tier II: potential clinical significance in cancer.",
        Clinical.TIER_III_UNKNOWN: "Tier III: unknown clinical significance in cancer.",
        Clinical.TIER_IV_BENIGN_LIKELY_BENIGN: "Tier IV: benign or likely benign in cancer.",
        Clinical.NOT_PROVIDED: "Submitted without a classification.",
        Clinical.OTHER: "None of these; `significance` has the text of the file.",
    }
    _classes = {c.value: strawberry.enum_value(c.value, description=_MEANINGS[c]) for c in Clinical}
    ClinicalClass = define(
        strawberry.enum(Enum("ClinicalClass", _classes), description="Classes of clinical significance (ClinVar's, in one closed set).")
    )


@define
@strawberry.input(description="Bounds of a number, both inclusive; leave one out for no bound on that side.")
class RangeFilter:
    min: float | None = strawberry.field(default=None, description="Lowest value.")
    max: float | None = strawberry.field(default=None, description="Highest value.")


@define
@strawberry.input(
    description="An allele frequency within bounds in one population of one dataset. Variants without a frequency there pass no bound: unknown is not 0."
)
class FrequencyFilter:
    population: str = strawberry.field(
        default="ALL",
        description="Population as the dataset names it (EUR, gnomad:afr ...). ALL is the overall frequency; of datasets whose populations have a namespace only where the dataset is given, too.",
    )
    dataset: str | None = strawberry.field(default=None, description="Only this dataset's frequencies; any visible dataset when left out.")
    min: float | None = strawberry.field(default=None, description="Lowest frequency, 0 to 1.")
    max: float | None = strawberry.field(default=None, description="Highest frequency, 0 to 1.")


@define
@strawberry.input(
    description="A value of an INFO key in any visible record of the variant: a number within bounds, one of some texts, or (with neither) present at all."
)
class InfoFilter:
    key: str = strawberry.field(description="INFO key, as in the file.")
    min: float | None = strawberry.field(default=None, description="Lowest number; for lists, any element counts.")
    max: float | None = strawberry.field(default=None, description="Highest number.")
    equals: list[str] | None = strawberry.field(default=None, description="Texts, as in the file; any one suffices.")


@define
@strawberry.input(description="A score within bounds.")
class ScoreFilter:
    name: str = strawberry.field(description="Name of the score (CADD_PHRED ...), see `store.scores`.")
    min: float | None = strawberry.field(default=None, description="Lowest value, in the score's own unit.")
    max: float | None = strawberry.field(default=None, description="Highest value.")


@define
@strawberry.input(
    name="VariantFilter",
    description=f"""Conditions on variants. All that are given must hold; nest with and, or and not. A condition holds when any visible
record, consequence or classification of the variant fulfils it. Where no condition that must hold is selective by itself (impact
HIGH or MODERATE, their consequences, PATHOGENIC or LIKELY_PATHOGENIC, rsid, or one of such), name a region of at most {LARGEST_FILTERED_REGION // 1_000_000} Mb, a gene, or ids.""".replace(
        "\n", " "
    ),
)
class VariantFilter:
    and_: list[VariantFilter] | None = strawberry.field(default=None, name="and", description="All of these hold.")
    or_: list[VariantFilter] | None = strawberry.field(default=None, name="or", description="At least one of these holds.")
    not_: VariantFilter | None = strawberry.field(default=None, name="not", description="This does not hold.")
    type: list[VariantType] | None = strawberry.field(default=None, description="Kind of change is one of these.")
    impact: list[ImpactLevel] | None = strawberry.field(default=None, description="Some transcript consequence has one of these impacts.")
    consequence: list[str] | None = strawberry.field(
        default=None, description="Some transcript consequence has one of these Sequence Ontology terms (missense_variant ...)."
    )
    clinical_significance: list[ClinicalClass] | None = strawberry.field(default=None, description="Classified as one of these.")
    frequency: list[FrequencyFilter] | None = strawberry.field(
        default=None, description="All of these frequencies are within their bounds."
    )
    filter: list[str] | None = strawberry.field(default=None, description="Some record has one of these in its FILTER (PASS for passed).")
    qual: RangeFilter | None = strawberry.field(default=None, description="Some record's QUAL (phred) is within these bounds.")
    info: list[InfoFilter] | None = strawberry.field(default=None, description="All of these INFO values hold.")
    score: list[ScoreFilter] | None = strawberry.field(default=None, description="All of these scores are within their bounds.")
    rsid: list[str] | None = strawberry.field(default=None, description="Carries one of these rsIDs.")
    dataset: list[str] | None = strawberry.field(default=None, description="Some record is of one of these datasets.")


def conditions(f: VariantFilter | None) -> Filter:
    """The conditions of a filter.

    Raises UserError BAD_FILTER for an unknown term, an empty list, bounds the wrong way round, or too many conditions.
    """
    if f is None:
        return EVERYTHING
    found = _conditions(f)
    if (count := sum(1 for _ in leaves(found))) > MOST_CONDITIONS:
        hint = "Conditions that take lists (rsid, consequence ...) are one for the whole list."
        raise UserError("BAD_FILTER", f"The filter has {count:,} conditions; the most is {MOST_CONDITIONS}.", value=count, hint=hint)
    return found


def _conditions(f: VariantFilter) -> Filter:
    parts: list[Filter] = [where(type=_values(f.type, "type"), qual=_bounds(f.qual, "qual") if f.qual else None)]
    parts.append(where(filter=_listed(f.filter, "filter"), dataset=_listed(f.dataset, "dataset"), rsid=_rsids(f.rsid)))
    if (impacts := _values(f.impact, "impact")) is not None:
        numbers = [Impact[name].value for name in impacts]
        parts.append(where(**{"damaging_impact" if max(numbers) <= Impact.MODERATE else "impact": numbers}))
    if (terms := _listed(f.consequence, "consequence")) is not None:
        parts.append(where(**{"damaging_consequence" if all(_impact_of(t) <= Impact.MODERATE for t in terms) else "consequence": terms}))
    if (classes := _values(f.clinical_significance, "clinicalSignificance")) is not None:
        parts.append(where(**{"pathogenic" if set(classes) <= {"PATHOGENIC", "LIKELY_PATHOGENIC"} else "clinical": classes}))
    for frequency in f.frequency or ():
        for bound in (frequency.min, frequency.max):
            if bound is not None and not 0 <= bound <= 1:
                raise UserError(
                    "BAD_FILTER", f"frequency: {bound} is not between 0 and 1.", value=bound, hint="Write 0.01 for one percent."
                )
        parts.append(
            ("and", (("frequency", _bounds(frequency, "frequency") | {"population": frequency.population, "dataset": frequency.dataset}),))
        )
    for score in f.score or ():
        parts.append(("and", (("score", _bounds(score, "score") | {"name": score.name}),)))
    parts.extend(_info(info) for info in f.info or ())
    parts.extend(_conditions(inner) for inner in f.and_ or ())
    if (alternatives := _listed(f.or_, "or")) is not None:
        parts.append(("or", tuple(_conditions(inner) for inner in alternatives)))
    if f.not_ is not None:
        parts.append(("not", _conditions(f.not_)))
    return both(*parts)


def _info(info: InfoFilter) -> Filter:
    if info.equals is not None:
        if info.min is not None or info.max is not None:
            raise UserError("BAD_FILTER", f"info {info.key}: equals and bounds exclude each other.", hint="Write two info conditions.")
        return ("and", (("info_text", {"key": info.key, "equals": _listed(info.equals, f"info {info.key}")}),))
    if info.min is None and info.max is None:
        return ("and", (("info_key", {"key": info.key}),))
    return ("and", (("info_number", _bounds(info, "info") | {"key": info.key}),))


def _bounds(bounds: RangeFilter | FrequencyFilter | InfoFilter | ScoreFilter, name: str) -> dict[str, Any]:
    low, high = bounds.min, bounds.max
    if low is not None and high is not None and low > high:
        raise UserError("BAD_FILTER", f"{name}: min {low} is above max {high}.", value=[low, high], hint="Exchange them.")
    return {"min": low, "max": high}


def _values(members: Sequence[Enum] | None, name: str) -> list[str] | None:
    return _listed(None if members is None else [m.name for m in members], name)


def _listed(values: list[T] | None, name: str) -> list[T] | None:
    if values is not None and not values:
        raise UserError(
            "BAD_FILTER", f"{name}: an empty list matches nothing.", hint="Leave the condition out, or name at least one value."
        )
    return values


def _rsids(values: list[str] | None) -> list[int] | None:
    out = []
    for value in _listed(values, "rsid") or ():
        digits = value.lower().removeprefix("rs")
        if not value.lower().startswith("rs") or not (digits.isascii() and digits.isdigit()) or len(digits) > 15:
            raise UserError("BAD_FILTER", f"rsid: {value!r} is not an rsID.", value=value, hint="Write rs and a number.")
        out.append(int(digits))
    return out or None


def _impact_of(term: str) -> Impact:
    if term not in _IMPACT_OF:
        near = difflib.get_close_matches(term, _IMPACT_OF, 3)
        raise UserError(
            "BAD_FILTER",
            f"consequence: {term!r} is not a Sequence Ontology term of VEP or SnpEff.",
            value=term,
            hint=f"Did you mean {' or '.join(near)}?" if near else "Write terms as VEP does, such as missense_variant.",
        )
    return _IMPACT_OF[term]
