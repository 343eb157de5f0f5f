"""How genotypes are read: single calls, the carriers of a variant, the variants that a sample carries, and whole rows of planes.

One sample at many variants, and the carriers among many samples, are found in SQL by the functions of migration 0005, which look at single
bytes of the planes; who wants all calls of many variants reads the planes and unpacks them (planes.py). All of it is individual-level data.
"""

from __future__ import annotations

from dataclasses import replace

from .planes import SCHEMA
from .read import By, Order, Read
from .sample import SAMPLE
from .variant import NAMED_LOADS, VARIANT

_ALT = "{g}.alt, {g}.alt_slots"
_CALL = "{g}.alt, {g}.alt_slots, {g}.other, {g}.missing, {g}.haploid"
_FORMAT = "LEFT JOIN genotype_format f ON f.variant_key = g.variant_key AND f.load_id = g.load_id"
_CALLSETS = f"(:callsets::text[] IS NULL OR {{}}.load_id = ANY({NAMED_LOADS.format('ANY(:callsets)')}))"


def _zygosity(ordinal: str, g: str = "g") -> str:
    return f"genotype_zygosity({_CALL.format(g=g)}, {ordinal})"


def _call(ordinal: str) -> dict[str, str]:
    """The columns of one call, that of the sample with this ordinal in g."""
    phased = f"(g.phasing = 1 AND sample_bit(g.haploid, {ordinal}) IS NOT TRUE) OR sample_bit(g.phase, {ordinal}) IS TRUE"
    return {
        "callset_id": "g.load_id",
        "gt": f"genotype_text({_CALL.format(g='g')}, g.phasing, g.phase, g.calls, {ordinal})",
        "zygosity": _zygosity(ordinal),
        "phased": phased,
        "phase_set": f"g.phase_sets[{ordinal} + 1]",
        "dp": f"f.dp[{ordinal} + 1]",
        "gq": f"f.gq[{ordinal} + 1]",
        "ad_ref": f"f.ad_ref[{ordinal} + 1]",
        "ad_alt": f"f.ad_alt[{ordinal} + 1]",
    }


CALL = Read(
    name="genotype_call",
    source=f"genotype g JOIN callset_sample c ON c.load_id = g.load_id {_FORMAT}",
    visible="g.load_id = ANY(:loads)",
    columns={"variant_key": "g.variant_key", "sample_id": "c.sample_id"} | _call("c.ordinal"),
    by={
        "variant": By("g.variant_key = ANY(:keys) AND c.sample_id = ANY(:sample_ids)", parent="g.variant_key"),
        "sample": By("c.sample_id = ANY(:keys) AND g.variant_key = ANY(:variant_keys)", parent="c.sample_id"),
    },
    orders={
        "newest": Order(("g.load_id", "c.sample_id"), descending=True),
        "genome": Order(("g.variant_key", "g.load_id")),
    },
    where={"callset": f"g.load_id = ANY({NAMED_LOADS.format('ANY(:value)')})"},
)

PLANES = Read(
    name="genotype",
    source="genotype t",
    visible="t.load_id = ANY(:loads)",
    columns={"load_id": "t.load_id"} | {name: f"t.{name}" for name in SCHEMA.names},
    by={"variant": By("t.variant_key = ANY(:keys)", parent="t.variant_key")},
    orders={"load": Order(("t.load_id",))},
    where={"load": "t.load_id = ANY(:value)"},
)

FORMAT = Read(
    name="genotype_format",
    source="genotype_format t",
    visible="t.load_id = ANY(:loads)",
    columns={name: f"t.{name}" for name in ("load_id", "dp", "gq", "ad_ref", "ad_alt")},
    by=PLANES.by,
    orders=PLANES.orders,
    where=PLANES.where,
)

# ---- carriers of a variant

# A long plane is fetched once (|| makes a copy), not once for every sample. Only the samples of the page are looked up by their name.
_CARRIERS = f"""(SELECT g.variant_key, g.load_id, g.phasing, g.alt || ''::bytea AS alt, g.alt_slots, g.other, g.missing, g.haploid, g.phase, g.calls,
    g.phase_sets FROM genotype g WHERE g.variant_key = k.key AND g.load_id = ANY(:loads) AND {_CALLSETS.format("g")} OFFSET 0) g
    CROSS JOIN LATERAL (SELECT c.ordinal, c.sample_id FROM callset_sample c WHERE g.alt IS NOT NULL AND c.load_id = g.load_id
    AND allele_pair(g.alt, c.ordinal) <> 0 UNION ALL SELECT c.ordinal, c.sample_id FROM callset_sample c WHERE c.load_id = g.load_id
    AND c.ordinal = ANY(ARRAY(SELECT s >> 1 FROM unnest(g.alt_slots) s))) t {_FORMAT}"""

CARRIER = replace(
    SAMPLE,
    name="carrier",
    source=_CARRIERS,
    visible="true",  # of visible loads by its source
    columns={**SAMPLE.columns, **{name: f"(SELECT s.{name} FROM sample s WHERE s.sample_id = t.sample_id)" for name in ("cohort", "name")}}
    | _call("t.ordinal"),
    by={"variant": By(anchor="(SELECT variant_key AS key FROM variant WHERE variant_key = ANY(:keys)) k")},
    orders={"callset": Order(("g.load_id", "t.ordinal"))},
    where={
        "population": SAMPLE.where["population"],
        "sex": SAMPLE.where["sex"],
        "zygosity": f"{_zygosity('t.ordinal')} = ANY(:value)",
    },
)

# ---- variants that a sample carries

_SEX_LINKED = {"X": 23, "Y": 24, "MT": 25}


def _bounds(ordinal: str, f: str = "f") -> str:
    """DP and GQ of a call are at least what is asked for."""
    return f"(:dp::int IS NULL OR {f}.dp[{ordinal} + 1] >= :dp) AND (:gq::int IS NULL OR {f}.gq[{ordinal} + 1] >= :gq)"


def _carries(ordinal: str, g: str = "g") -> str:
    return f"alt_pair({_ALT.format(g=g)}, {ordinal}) <> 0"


def _lacks(ordinal: str, g: str = "g") -> str:
    """The sample is in the callset, all its alleles are called, and none is the ALT."""
    return (
        f"({ordinal} IS NOT NULL AND alt_pair({_ALT.format(g=g)}, {ordinal}) = 0 AND coalesce(allele_pair({g}.missing, {ordinal}), 0) = 0)"
    )


def _origin(g: str) -> str:
    """The parent that the ALT came from, where just one of both carries it; else NULL."""
    return f"""CASE WHEN {_carries("g.father", g)} AND {_lacks("g.mother", g)} THEN 1
        WHEN {_carries("g.mother", g)} AND {_lacks("g.father", g)} THEN 2 END"""


def _is_phased(g: str) -> str:
    """The first and the second allele say which chromosome each is on: of more than two (0|0|1), the planes hold two in any order."""
    return f"(({g}.phasing = 1 OR sample_bit({g}.phase, g.ordinal) IS TRUE) AND coalesce(length({g}.calls[g.ordinal + 1]), 0) < 5)"


# Alleles on different chromosomes: by the parents where they tell, else by phase where both calls are of one phase set, else possible.
_TRANS = f"""CASE WHEN {_origin("g")} + {_origin("h")} IS NOT NULL THEN {_origin("g")} <> {_origin("h")}
    WHEN {_is_phased("g")} AND {_is_phased("h")} AND g.phase_sets[g.ordinal + 1] IS NOT DISTINCT FROM h.phase_sets[g.ordinal + 1]
    THEN alt_pair({_ALT.format(g="g")}, g.ordinal) <> alt_pair({_ALT.format(g="h")}, g.ordinal) ELSE true END"""

_HET = "{} IN ('HET', 'HET_OTHER_ALT')"

_FAMILY = {
    # A son's X comes from his mother, his Y from his father, MT from the mother.
    "de_novo": f"""(t.chrom = {_SEX_LINKED["Y"]} OR ({_lacks("g.mother")} AND {_bounds("g.mother")}))
        AND (t.chrom = {_SEX_LINKED["MT"]} OR (t.chrom = {_SEX_LINKED["X"]} AND {_zygosity("g.ordinal")} = 'HEMI')
            OR ({_lacks("g.father")} AND {_bounds("g.father")}))""",
    "recessive": f"""CASE {_zygosity("g.ordinal")}
        WHEN 'HOM_ALT' THEN (g.father IS NULL OR ({_HET.format(_zygosity("g.father"))} AND {_bounds("g.father")}))
            AND (g.mother IS NULL OR ({_HET.format(_zygosity("g.mother"))} AND {_bounds("g.mother")}))
        WHEN 'HEMI' THEN t.chrom = {_SEX_LINKED["X"]} AND (g.mother IS NULL OR ({_HET.format(_zygosity("g.mother"))} AND {_bounds("g.mother")}))
        ELSE false END""",
    "from_father": f"{_carries('g.father')} AND {_lacks('g.mother')} AND {_bounds('g.father')} AND {_bounds('g.mother')}",
    "from_mother": f"{_carries('g.mother')} AND {_lacks('g.father')} AND {_bounds('g.father')} AND {_bounds('g.mother')}",
    "from_both": f"{_carries('g.mother')} AND {_carries('g.father')} AND {_bounds('g.father')} AND {_bounds('g.mother')}",
    "absent_in": f"""(SELECT count(*) FROM callset_sample a WHERE a.load_id = g.load_id AND a.sample_id = ANY(:value)
        AND {_lacks("a.ordinal")} AND {_bounds("a.ordinal")}) = cardinality(:value::int[])""",
    "quality": _bounds("g.ordinal"),
    # The second variant of the pair is t inside, so that it has to pass the same filter.
    "compound_het": f"""{_HET.format(_zygosity("g.ordinal"))} AND EXISTS (SELECT FROM gene x WHERE x.span @> g.variant_key AND x.load_id = ANY(:loads)
        AND EXISTS (SELECT FROM genotype h JOIN variant t ON t.variant_key = h.variant_key
            LEFT JOIN LATERAL (SELECT e.dp, e.gq FROM genotype_format e WHERE e.variant_key = h.variant_key AND e.load_id = h.load_id OFFSET 0) e ON true
            WHERE h.variant_key >= lower(x.span) AND h.variant_key < upper(x.span) AND h.variant_key <> g.variant_key AND h.load_id = g.load_id
            AND {_HET.format(_zygosity("g.ordinal", "h"))} AND {_TRANS} AND {_bounds("g.ordinal", "e")} AND {{filter}} OFFSET 0) OFFSET 0)""",
}

# The sample's callsets, and its and its parents' places in them; worked out once per sample (OFFSET 0).
_PLACES = "ARRAY(SELECT {} FROM callset_sample c {} WHERE c.sample_id = s.sample_id AND c.load_id = ANY(:loads) AND {} ORDER BY c.load_id)"


def _parent(column: str) -> str:
    latest = SAMPLE.columns[column].replace("t.sample_id", "s.sample_id")
    return _PLACES.format(
        "p.ordinal", f"LEFT JOIN callset_sample p ON p.load_id = c.load_id AND p.sample_id = {latest}", _CALLSETS.format("c")
    )


_SAMPLES = f"""(SELECT s.sample_id AS key, {_PLACES.format("c.load_id", "", _CALLSETS.format("c"))} AS loads,
    {_PLACES.format("c.ordinal", "", _CALLSETS.format("c"))} AS ordinals, {_parent("father_id")} AS fathers, {_parent("mother_id")} AS mothers
    FROM sample s WHERE s.sample_id = ANY(:keys) OFFSET 0) k"""

_CARRIED = f"""(SELECT g.*, o.* FROM genotype g CROSS JOIN LATERAL (SELECT k.ordinals[i] AS ordinal, k.fathers[i] AS father, k.mothers[i] AS mother
    FROM (SELECT array_position(k.loads, g.load_id) AS i OFFSET 0) i OFFSET 0) o
    WHERE {{}} AND g.load_id = ANY(k.loads) AND {_carries("o.ordinal")} {{}} OFFSET 0)"""

CARRIED = replace(
    VARIANT,
    name="carried_variant",
    # d is what comes in genome order: what a driver finds, else what the sample carries; only of that the variants. All are fenced (OFFSET 0).
    source=f"""{_CARRIED.format("g.variant_key >= {lo} AND g.variant_key < {hi}", "ORDER BY g.variant_key{direction}")} d CROSS JOIN LATERAL (SELECT d.*) g
        CROSS JOIN LATERAL (SELECT v.* FROM variant v WHERE v.variant_key = d.variant_key OFFSET 0) t {_FORMAT}""",
    # Of visible loads by its anchor; one row for a variant: of the latest callset in which the sample carries it.
    visible=f"""(cardinality(k.loads) = 1 OR NOT EXISTS (SELECT FROM genotype n WHERE n.variant_key = g.variant_key AND n.load_id > g.load_id
        AND n.load_id = ANY(k.loads) AND {_carries("k.ordinals[array_position(k.loads, n.load_id)]", "n")} OFFSET 0))""",
    columns={**VARIANT.columns, **_call("g.ordinal")},
    genome="d.variant_key",
    by={"sample": By(anchor=_SAMPLES, range=(":lo", ":hi"))},
    orders={"genome": Order(("d.variant_key",))},
    where={**VARIANT.where, **_FAMILY, "zygosity": f"{_zygosity('g.ordinal')} = ANY(:value)"},
    drivers={
        name: f"{driver} CROSS JOIN LATERAL {_CARRIED.format('g.variant_key = d.variant_key', '')} g {_FORMAT}"
        for name, driver in VARIANT.drivers.items()
    },
)
