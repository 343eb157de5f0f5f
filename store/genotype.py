"""How genotypes are read: single calls, the carriers of a variant, the variants that a sample carries, and whole rows of planes.

One sample at many variants, and the carriers among many samples, are found in SQL by the functions of migration 0005, which look at single
bytes of the planes; who wants all calls of many variants reads the planes and unpacks them (planes.py). All of it is individual-level data.
"""

from __future__ import annotations

from dataclasses import replace

from .assembly import chrom
from .planes import SCHEMA
from .read import By, Order, Read
from .sample import SAMPLE
from .variant import NAMED_LOADS, VARIANT

_ALT = "{g}.alt, {g}.alt_slots"
_CALL = "{g}.alt, {g}.alt_slots, {g}.other, {g}.missing, {g}.haploid"
_FORMAT = "FROM genotype_format f WHERE f.variant_key = {g}.variant_key AND f.load_id = {g}.load_id"
_CALLSETS = f"(:callsets::text[] IS NULL OR {{}}.load_id = ANY({NAMED_LOADS.format('ANY(:callsets)')}))"


def _zygosity(ordinal: str, g: str = "g") -> str:
    return f"genotype_zygosity({_CALL.format(g=g)}, {ordinal})"


def callsets_asked(table: str) -> str:
    """SQL: a row is of one of the callsets that `:callsets` names, or of any where that is NULL."""
    return _CALLSETS.format(table)


def genotype_text(ordinal: str) -> str:
    """SQL of the call of the sample with this ordinal in g, as VCF text."""
    return f"genotype_text({_CALL.format(g='g')}, g.phasing, g.phase, g.calls, {ordinal})"


def _call(ordinal: str) -> dict[str, str]:
    """The columns of one call, that of the sample with this ordinal in g."""
    phased = f"(g.phasing = 1 AND sample_bit(g.haploid, {ordinal}) IS NOT TRUE) OR sample_bit(g.phase, {ordinal}) IS TRUE"
    return {
        "callset_id": "g.load_id",
        "gt": genotype_text(ordinal),
        "zygosity": _zygosity(ordinal),
        "phased": phased,
        "phase_set": f"g.phase_sets[{ordinal} + 1]",
        **{name: f"(SELECT f.{name}[{ordinal} + 1] {_FORMAT.format(g='g')})" for name in ("dp", "gq", "ad_ref", "ad_alt")},
    }


CALL = Read(
    name="genotype_call",
    source="genotype g JOIN callset_sample c ON c.load_id = g.load_id",
    visible="g.load_id = ANY(:loads)",
    columns={"variant_key": "g.variant_key", "sample_id": "c.sample_id"} | _call("c.ordinal"),
    by={
        "variant": By("g.variant_key = ANY(:keys) AND c.sample_id = ANY(:sample_ids)", parent="g.variant_key"),
        "call": By(
            # VARIANT:SAMPLE; each half is looked up on its own, and of all pairs those asked are kept.
            """g.variant_key = ANY(ARRAY(SELECT split_part(x, ':', 1)::bigint FROM unnest(:keys::text[]) x))
            AND c.sample_id = ANY(ARRAY(SELECT split_part(x, ':', 2)::int FROM unnest(:keys::text[]) x)) AND g.variant_key || ':' || c.sample_id = ANY(:keys::text[])""",
            parent="g.variant_key || ':' || c.sample_id",
        ),
        "sample": By("c.sample_id = ANY(:keys) AND g.variant_key = ANY(:variant_keys)", parent="c.sample_id"),
    },
    orders={
        "newest": Order(("g.load_id", "c.sample_id"), descending=True),
        "genome": Order(("g.variant_key", "g.load_id")),
        "latest": Order(("g.load_id", "g.variant_key", "c.sample_id"), descending=True),
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

# A long plane is fetched once (|| makes a copy), not once for every sample, and looked at from its beginning until the page is full. Only the samples
# of the page are looked up by their name.
_STRETCH = 256
_PLANES = f"""(SELECT g.variant_key, g.load_id, g.phasing, g.alt || ''::bytea AS alt, g.alt_slots, g.other || ''::bytea AS other,
    g.missing || ''::bytea AS missing, g.haploid || ''::bytea AS haploid, g.phase, g.calls, g.phase_sets, count(*) OVER () > 1 AS again
    FROM genotype g WHERE g.variant_key = k.key AND g.load_id = ANY(:loads) AND {_CALLSETS.format("g")} ORDER BY g.load_id{{direction}} OFFSET 0) g
    CROSS JOIN LATERAL (SELECT w AS first FROM generate_series(0, coalesce(4 * octet_length(g.alt) - 1, 0), {_STRETCH}) w ORDER BY w{{direction}} OFFSET 0) w"""
_CARRIERS = f"""(SELECT c.ordinal, c.sample_id FROM callset_sample c WHERE g.alt IS NOT NULL AND c.load_id = g.load_id
    AND c.ordinal >= w.first AND c.ordinal < w.first + {_STRETCH} AND allele_pair(g.alt, c.ordinal) <> 0
    UNION ALL SELECT c.ordinal, c.sample_id FROM callset_sample c WHERE c.load_id = g.load_id
    AND c.ordinal = ANY(ARRAY(SELECT s >> 1 FROM unnest(g.alt_slots) s))) t"""

CARRIER = replace(
    SAMPLE,
    name="carrier",
    source=_CARRIERS,
    # Of visible loads by its source; a person of several callsets counts once: with the call of the latest in which it carries the ALT.
    visible=f"""(NOT g.again OR NOT EXISTS (SELECT FROM genotype n JOIN callset_sample c ON c.load_id = n.load_id AND c.sample_id = t.sample_id
        WHERE n.variant_key = g.variant_key AND n.load_id > g.load_id AND n.load_id = ANY(:loads) AND {_CALLSETS.format("n")}
        AND alt_pair(n.alt, n.alt_slots, c.ordinal) <> 0 OFFSET 0))""",
    columns={**SAMPLE.columns, **{name: f"(SELECT s.{name} FROM sample s WHERE s.sample_id = t.sample_id)" for name in ("cohort", "name")}}
    | _call("t.ordinal")
    | {"place": "g.variant_key || ':' || t.sample_id"},
    by={"variant": By(anchor="(SELECT variant_key AS key FROM variant WHERE variant_key = ANY(:keys)) k", windows=_PLANES)},
    orders={"callset": Order(("g.load_id", "t.ordinal"))},
    where={
        "population": SAMPLE.where["population"],
        "sex": SAMPLE.where["sex"],
        "zygosity": f"{_zygosity('t.ordinal')} = ANY(:value)",
    },
)

# ---- variants that a sample carries

_X, _Y, _MT = map(chrom, ("X", "Y", "MT"))


def _bounds(ordinal: str, g: str = "g") -> str:
    """DP and GQ of a call are at least what is asked for."""
    enough = " AND ".join(f"(:{name} IS NULL OR f.{name}[{ordinal} + 1] >= :{name})" for name in ("dp", "gq"))
    return f"(:dp::int IS NULL AND :gq::int IS NULL OR EXISTS (SELECT {_FORMAT.format(g=g)} AND {enough} OFFSET 0))"


def _carries(ordinal: str, g: str = "g") -> str:
    return f"alt_pair({_ALT.format(g=g)}, {ordinal}) <> 0"


def _lacks(ordinal: str, g: str = "g") -> str:
    """The sample is in the callset, all its alleles are called, and none is the ALT."""
    return (
        f"({ordinal} IS NOT NULL AND alt_pair({_ALT.format(g=g)}, {ordinal}) = 0 AND coalesce(allele_pair({g}.missing, {ordinal}), 0) = 0)"
    )


def _origin(g: str) -> str:
    """The parent that the ALT came from, where just one of both carries it, by calls that are good enough; else NULL."""
    return f"""CASE WHEN NOT ({_bounds("g.father", g)} AND {_bounds("g.mother", g)}) THEN NULL
        WHEN {_carries("g.father", g)} AND {_lacks("g.mother", g)} THEN 1 WHEN {_carries("g.mother", g)} AND {_lacks("g.father", g)} THEN 2 END"""


def _is_phased(g: str) -> str:
    """The first and the second allele say which chromosome each is on: of more than two (0|0|1), the planes hold two in any order."""
    return f"(({g}.phasing = 1 OR sample_bit({g}.phase, g.ordinal) IS TRUE) AND coalesce(length({g}.calls[g.ordinal + 1]), 0) < 5)"


# Alleles on different chromosomes: by the parents where they tell, else by phase where both calls are of one phase set, else possible.
_TRANS = f"""CASE WHEN {_origin("g")} + {_origin("h")} IS NOT NULL THEN {_origin("g")} <> {_origin("h")}
    WHEN {_is_phased("g")} AND {_is_phased("h")} AND g.phase_sets[g.ordinal + 1] IS NOT DISTINCT FROM h.phase_sets[g.ordinal + 1]
    THEN alt_pair({_ALT.format(g="g")}, g.ordinal) <> alt_pair({_ALT.format(g="h")}, g.ordinal) ELSE true END"""

_HET = "{} IN ('HET', 'HET_OTHER_ALT')"

# A son's X comes from his mother, MT from the mother, Y from the father. The ploidy of the call tells a son's X, so PAR needs no list.
_OF_MOTHER = f"(t.chrom = {_MT} OR (t.chrom = {_X} AND {_zygosity('g.ordinal')} = 'HEMI'))"
_OF_FATHER = f"t.chrom = {_Y}"


def _good(condition: str, *parents: str) -> str:
    return " AND ".join((condition, *(_bounds(parent) for parent in parents)))


_FAMILY = {
    "de_novo": f"""({_OF_FATHER} OR ({_good(_lacks("g.mother"), "g.mother")})) AND ({_OF_MOTHER} OR ({_good(_lacks("g.father"), "g.father")}))""",
    "recessive": f"""CASE {_zygosity("g.ordinal")}
        WHEN 'HOM_ALT' THEN num_nonnulls(g.father, g.mother) > 0
            AND (g.father IS NULL OR ({_good(f"({_HET.format(_zygosity('g.father'))} OR t.chrom = {_X} AND {_zygosity('g.father')} = 'HEMI')", "g.father")}))
            AND (g.mother IS NULL OR ({_good(_HET.format(_zygosity("g.mother")), "g.mother")}))
        WHEN 'HEMI' THEN t.chrom = {_X} AND {_good(_HET.format(_zygosity("g.mother")), "g.mother")} ELSE false END""",
    "from_father": f"""CASE WHEN {_OF_MOTHER} THEN false WHEN {_OF_FATHER} THEN {_good(_carries("g.father"), "g.father")}
        ELSE {_carries("g.father")} AND {_good(_lacks("g.mother"), "g.father", "g.mother")} END""",
    "from_mother": f"""CASE WHEN {_OF_FATHER} THEN false WHEN {_OF_MOTHER} THEN {_good(_carries("g.mother"), "g.mother")}
        ELSE {_carries("g.mother")} AND {_good(_lacks("g.father"), "g.father", "g.mother")} END""",
    "from_both": f"""CASE WHEN {_OF_MOTHER} OR {_OF_FATHER} THEN false
        ELSE {_carries("g.mother")} AND {_good(_carries("g.father"), "g.father", "g.mother")} END""",
    "absent_in": f"""(SELECT count(*) FROM callset_sample a WHERE a.load_id = g.load_id AND a.sample_id = ANY(:value)
        AND {_lacks("a.ordinal")} AND {_bounds("a.ordinal")}) = cardinality(:value::int[])""",
    "quality": _bounds("g.ordinal"),
    # The second variant of the pair is t inside, so that it has to pass the same filter. What does not pass it outside has no pair looked for.
    "compound_het": f"""CASE WHEN t.variant_key = g.variant_key AND {_HET.format(_zygosity("g.ordinal"))} AND {{filter}} THEN
        EXISTS (SELECT FROM gene x WHERE x.span @> g.variant_key AND x.load_id = ANY(:loads)
        AND EXISTS (SELECT FROM genotype h JOIN variant t ON t.variant_key = h.variant_key
            WHERE h.variant_key >= lower(x.span) AND h.variant_key < upper(x.span) AND h.variant_key <> g.variant_key AND h.load_id = g.load_id
            AND {_HET.format(_zygosity("g.ordinal", "h"))} AND {_TRANS} AND {_bounds("g.ordinal", "h")} AND {{filter}} OFFSET 0) OFFSET 0) ELSE false END""",
}

# The sample's callsets; with :parents, those of them that have most of its parents, and with :beside, those that have these samples. Then its
# and its parents' places in them. All of it is worked out once per sample (OFFSET 0).
_LOADS = f"""ARRAY(SELECT c.load_id FROM (SELECT c.load_id, count(p.sample_id) AS parents, max(count(p.sample_id)) OVER () AS most
    FROM callset_sample c LEFT JOIN callset_sample p ON p.load_id = c.load_id AND p.sample_id IN (s.father, s.mother)
    WHERE c.sample_id = s.key AND c.load_id = ANY(:loads) AND {_CALLSETS.format("c")} AND (:beside::int[] IS NULL OR cardinality(:beside::int[]) =
    (SELECT count(*) FROM callset_sample b WHERE b.load_id = c.load_id AND b.sample_id = ANY(:beside::int[]))) GROUP BY c.load_id) c
    WHERE NOT :parents::bool OR c.parents = c.most ORDER BY c.load_id)"""

_PLACES = """ARRAY(SELECT p.ordinal FROM callset_sample c LEFT JOIN callset_sample p ON p.load_id = c.load_id AND p.sample_id = {}
    WHERE c.sample_id = s.key AND c.load_id = ANY(s.loads) ORDER BY c.load_id)"""

_PARENTS = ", ".join(f"{SAMPLE.columns[f'{parent}_id']} AS {parent}" for parent in ("father", "mother"))

_SAMPLES = f"""(SELECT s.key, s.loads, {_PLACES.format("s.key")} AS ordinals, {_PLACES.format("s.father")} AS fathers, {_PLACES.format("s.mother")} AS mothers
    FROM (SELECT s.*, {_LOADS} AS loads FROM (SELECT t.sample_id AS key, {_PARENTS} FROM sample t WHERE t.sample_id = ANY(:keys) OFFSET 0) s OFFSET 0) s
    OFFSET 0) k"""

_CARRIED = f"""(SELECT g.*, o.* FROM genotype g CROSS JOIN LATERAL (SELECT k.ordinals[i] AS ordinal, k.fathers[i] AS father, k.mothers[i] AS mother
    FROM (SELECT array_position(k.loads, g.load_id) AS i OFFSET 0) i OFFSET 0) o
    WHERE {{}} AND g.load_id = ANY(k.loads) AND {_carries("o.ordinal")} {{}} OFFSET 0)"""

_VARIANT = "CROSS JOIN LATERAL (SELECT v.* FROM variant v WHERE v.variant_key = d.variant_key OFFSET 0) t"

CARRIED = replace(
    VARIANT,
    name="carried_variant",
    # d is what comes in genome order: what a driver finds, else what the sample carries; only of that the variants. All are fenced (OFFSET 0).
    source=f"""{_CARRIED.format("g.variant_key >= {lo} AND g.variant_key < {hi}", "ORDER BY g.variant_key{direction}")} d CROSS JOIN LATERAL (SELECT d.*) g
        {_VARIANT}""",
    # Of visible loads by its anchor; one row for a variant: of the latest callset in which the sample carries it.
    visible=f"""(cardinality(k.loads) = 1 OR NOT EXISTS (SELECT FROM genotype n WHERE n.variant_key = g.variant_key AND n.load_id > g.load_id
        AND n.load_id = ANY(k.loads) AND {_carries("k.ordinals[array_position(k.loads, n.load_id)]", "n")} OFFSET 0))""",
    columns={**VARIANT.columns, **_call("g.ordinal"), "place": "g.variant_key || ':' || k.key"},
    genome="d.variant_key",
    by={"sample": By(anchor=_SAMPLES, range=(":lo", ":hi"))},
    orders={"genome": Order(("d.variant_key",))},
    where={**VARIANT.where, **_FAMILY, "zygosity": f"{_zygosity('g.ordinal')} = ANY(:value)"},
    driven=f"{{keys}} d {_VARIANT} CROSS JOIN LATERAL {_CARRIED.format('g.variant_key = d.variant_key', '')} g",
)
