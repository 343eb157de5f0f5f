"""Clinical classes: the closed set that a classification is stored in, and the stars of a review status.

Source: ClinVar's "Representation of classifications" and "Review status" pages, and the CLNSIG, ONC and SCI values of its VCF files,
which were numbers before 2017 and whose `interpretations` became `classifications` in 2024.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Aspect(StrEnum):
    """What was classified: disease or drug response, oncogenicity, or the clinical impact of a somatic variant."""

    GERMLINE = "GERMLINE"
    ONCOGENICITY = "ONCOGENICITY"
    SOMATIC_IMPACT = "SOMATIC_IMPACT"


class Clinical(StrEnum):
    """Every class; oncogenicity shares UNCERTAIN_SIGNIFICANCE, LIKELY_BENIGN, BENIGN and CONFLICTING with germline."""

    PATHOGENIC = "PATHOGENIC"
    LIKELY_PATHOGENIC = "LIKELY_PATHOGENIC"
    PATHOGENIC_LOW_PENETRANCE = "PATHOGENIC_LOW_PENETRANCE"
    LIKELY_PATHOGENIC_LOW_PENETRANCE = "LIKELY_PATHOGENIC_LOW_PENETRANCE"
    UNCERTAIN_SIGNIFICANCE = "UNCERTAIN_SIGNIFICANCE"
    LIKELY_BENIGN = "LIKELY_BENIGN"
    BENIGN = "BENIGN"
    CONFLICTING = "CONFLICTING"
    RISK_FACTOR = "RISK_FACTOR"
    ESTABLISHED_RISK_ALLELE = "ESTABLISHED_RISK_ALLELE"
    LIKELY_RISK_ALLELE = "LIKELY_RISK_ALLELE"
    UNCERTAIN_RISK_ALLELE = "UNCERTAIN_RISK_ALLELE"
    DRUG_RESPONSE = "DRUG_RESPONSE"
    ASSOCIATION = "ASSOCIATION"
    PROTECTIVE = "PROTECTIVE"
    AFFECTS = "AFFECTS"
    CONFERS_SENSITIVITY = "CONFERS_SENSITIVITY"
    ONCOGENIC = "ONCOGENIC"
    LIKELY_ONCOGENIC = "LIKELY_ONCOGENIC"
    TIER_I_STRONG = "TIER_I_STRONG"
    TIER_II_POTENTIAL = "TIER_II_POTENTIAL"
    TIER_III_UNKNOWN = "TIER_III_UNKNOWN"
    TIER_IV_BENIGN_LIKELY_BENIGN = "TIER_IV_BENIGN_LIKELY_BENIGN"
    NOT_PROVIDED = "NOT_PROVIDED"
    OTHER = "OTHER"


_SPELLINGS = {name.value.lower(): name for name in Clinical} | {
    "pathogenic,_low_penetrance": Clinical.PATHOGENIC_LOW_PENETRANCE,
    "likely_pathogenic,_low_penetrance": Clinical.LIKELY_PATHOGENIC_LOW_PENETRANCE,
    "conflicting_interpretations_of_pathogenicity": Clinical.CONFLICTING,
    "conflicting_classifications_of_pathogenicity": Clinical.CONFLICTING,
    "conflicting_interpretations_of_oncogenicity": Clinical.CONFLICTING,
    "conflicting_classifications_of_oncogenicity": Clinical.CONFLICTING,
    "conflicting_data_from_submitters": Clinical.CONFLICTING,
    "no_interpretation_for_the_single_variant": Clinical.NOT_PROVIDED,
    "no_classification_for_the_single_variant": Clinical.NOT_PROVIDED,
    "no_classifications_from_unflagged_records": Clinical.NOT_PROVIDED,
    "no_classification_provided": Clinical.NOT_PROVIDED,
    "association_not_found": Clinical.OTHER,
    # The codes of before 2017; 7 is histocompatibility.
    "0": Clinical.UNCERTAIN_SIGNIFICANCE,
    "1": Clinical.NOT_PROVIDED,
    "2": Clinical.BENIGN,
    "3": Clinical.LIKELY_BENIGN,
    "4": Clinical.LIKELY_PATHOGENIC,
    "5": Clinical.PATHOGENIC,
    "6": Clinical.DRUG_RESPONSE,
    "7": Clinical.OTHER,
    "255": Clinical.OTHER,
}
_TIERS = (
    ("tier_iv", Clinical.TIER_IV_BENIGN_LIKELY_BENIGN),
    ("tier_iii", Clinical.TIER_III_UNKNOWN),
    ("tier_ii", Clinical.TIER_II_POTENTIAL),
    ("tier_i", Clinical.TIER_I_STRONG),
)
# Values are joined by `|` and `/`, and in older files by `,_` too, which is also how "Pathogenic, low penetrance" is spelled.
_JOINT = re.compile(r"[|/]|,_?(?!_?low_penetrance)")

_STARS = {
    "practice_guideline": 4,
    "reviewed_by_expert_panel": 3,
    "criteria_provided,_multiple_submitters,_no_conflicts": 2,
    "criteria_provided,_multiple_submitters": 2,
    "criteria_provided,_conflicting_interpretations": 1,
    "criteria_provided,_conflicting_classifications": 1,
    "criteria_provided,_single_submitter": 1,
    "no_assertion_criteria_provided": 0,
    "no_assertion_provided": 0,
    "no_classification_provided": 0,
    "no_assertion_for_the_individual_variant": 0,
    "no_interpretation_for_the_single_variant": 0,
    "no_classification_for_the_single_variant": 0,
    "no_classifications_from_unflagged_records": 0,
    "flagged_submission": 0,
    # The codes of before 2017.
    "guideline": 4,
    "exp": 3,
    "mult": 2,
    "conf": 1,
    "single": 1,
    "no_criteria": 0,
    "no_assertion": 0,
}


def classes(significance: str) -> list[Clinical]:
    """The classes of a classification as ClinVar writes it, in its order and each once; unknown spellings are OTHER.

    `Pathogenic/Likely_pathogenic|risk_factor` gives PATHOGENIC, LIKELY_PATHOGENIC, RISK_FACTOR; spaces are as good as underscores.
    """
    text = significance.strip().lower().replace(" ", "_")
    if text.startswith("tier_"):  # "Tier IV - Benign/Likely benign" holds a slash of its own
        parts = text.split("|")
    else:
        parts = _JOINT.split(text)
    return list(dict.fromkeys(_class(part.strip("_")) for part in parts if part.strip("_")))


def _class(spelling: str) -> Clinical:
    for start, tier in _TIERS:
        if spelling.startswith(start):
            return tier
    return _SPELLINGS.get(spelling, Clinical.OTHER)


def stars(review_status: str) -> int | None:
    """ClinVar's stars (0-4) for a review status; None for a status it does not list."""
    return _STARS.get(review_status.strip().lower().replace(" ", "_"))
