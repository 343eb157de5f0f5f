"""Clinical classes and stars, in every spelling that ClinVar has used."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from store.clinical import Clinical, classes, stars


@pytest.mark.parametrize(
    ("significance", "expected"),
    [
        ("Pathogenic", "PATHOGENIC"),
        ("Pathogenic/Likely_pathogenic", "PATHOGENIC LIKELY_PATHOGENIC"),
        ("Pathogenic/Likely_pathogenic/Pathogenic,_low_penetrance", "PATHOGENIC LIKELY_PATHOGENIC PATHOGENIC_LOW_PENETRANCE"),
        ("Likely_pathogenic,_low_penetrance", "LIKELY_PATHOGENIC_LOW_PENETRANCE"),
        ("Pathogenic/Pathogenic,_low_penetrance|other|risk_factor", "PATHOGENIC PATHOGENIC_LOW_PENETRANCE OTHER RISK_FACTOR"),
        ("Uncertain_significance", "UNCERTAIN_SIGNIFICANCE"),
        ("Uncertain_significance/Uncertain_risk_allele", "UNCERTAIN_SIGNIFICANCE UNCERTAIN_RISK_ALLELE"),
        ("Established_risk_allele", "ESTABLISHED_RISK_ALLELE"),
        ("Likely_risk_allele", "LIKELY_RISK_ALLELE"),
        ("Benign/Likely_benign", "BENIGN LIKELY_BENIGN"),
        ("Benign/Likely_benign,_other", "BENIGN LIKELY_BENIGN OTHER"),
        ("Benign,_association,_risk_factor", "BENIGN ASSOCIATION RISK_FACTOR"),
        ("Conflicting_interpretations_of_pathogenicity", "CONFLICTING"),
        ("Conflicting_interpretations_of_pathogenicity,_Affects", "CONFLICTING AFFECTS"),
        ("Conflicting_classifications_of_pathogenicity|drug_response", "CONFLICTING DRUG_RESPONSE"),
        ("Conflicting_classifications_of_oncogenicity", "CONFLICTING"),
        ("_risk_factor", "RISK_FACTOR"),
        ("Affects", "AFFECTS"),
        ("confers_sensitivity", "CONFERS_SENSITIVITY"),
        ("protective", "PROTECTIVE"),
        ("association_not_found", "OTHER"),
        ("not_provided", "NOT_PROVIDED"),
        ("no_classification_for_the_single_variant", "NOT_PROVIDED"),
        ("no_interpretation_for_the_single_variant", "NOT_PROVIDED"),
        ("no_classifications_from_unflagged_records", "NOT_PROVIDED"),
        ("Likely oncogenic", "LIKELY_ONCOGENIC"),
        ("Oncogenic", "ONCOGENIC"),
        ("Tier_I_-_Strong", "TIER_I_STRONG"),
        ("Tier_II_-_Potential", "TIER_II_POTENTIAL"),
        ("Tier_III_-_Unknown", "TIER_III_UNKNOWN"),
        ("Tier_IV_-_Benign/Likely_benign", "TIER_IV_BENIGN_LIKELY_BENIGN"),
        ("Tier_I_-_Strong|Tier_IV_-_Benign/Likely_benign", "TIER_I_STRONG TIER_IV_BENIGN_LIKELY_BENIGN"),
        ("5|2", "PATHOGENIC BENIGN"),
        ("255", "OTHER"),
        ("something new", "OTHER"),
    ],
)
def test_every_spelling_has_its_classes(significance: str, expected: str) -> None:
    assert " ".join(classes(significance)) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("practice_guideline", 4),
        ("reviewed_by_expert_panel", 3),
        ("criteria_provided,_multiple_submitters,_no_conflicts", 2),
        ("criteria_provided,_multiple_submitters", 2),
        ("criteria_provided,_conflicting_interpretations", 1),
        ("criteria_provided,_conflicting_classifications", 1),
        ("criteria provided, single submitter", 1),
        ("no_assertion_criteria_provided", 0),
        ("no_classification_provided", 0),
        ("no_classifications_from_unflagged_records", 0),
        ("mult", 2),
        ("something_new", None),
    ],
)
def test_stars_follow_clinvars_table(status: str, expected: int | None) -> None:
    assert stars(status) == expected


@pytest.mark.requires_real
@pytest.mark.parametrize(
    "name",
    [
        "formats/clinvar_20260226.brca_sample.grch38.vcf.gz",
        "chr22_grch38/clinvar_20260226.chr22_rows.grch38.vcf.gz",
        "chr1_head/clinvar_20230710.chr1_69134-981226.grch37.vcf.gz",
    ],
)
def test_no_spelling_of_the_real_files_is_unknown(real: Path, name: str) -> None:
    text = gzip.decompress((real / name).read_bytes()).decode()
    said = set(re.findall(r"[\t;](?:CLNSIG|ONC|SCI)=([^;\n]+)", text))
    assert said
    assert not [s for s in said if Clinical.OTHER in classes(s)]
    assert None not in {stars(s) for s in re.findall(r"[\t;](?:CLN|ONC|SCI)REVSTAT=([^;\n]+)", text)}
