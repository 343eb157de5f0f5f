"""How variants are read: identity, who sees it, and by what they are filtered."""

from __future__ import annotations

from .assembly import NAMES
from .consequence import LAST_DAMAGING
from .read import By, Order, Read

CHROM = "(ARRAY['" + "','".join(NAMES) + "'])[{}.chrom]"
"""SQL of a chromosome's name; format it with the table's alias."""

KEY_HEX = "upper(lpad(to_hex({} # (1::bigint << 63)), 16, '0'))"
"""SQL of the published form of a key; format it with the key's expression."""

TYPE = """CASE WHEN length(t.ref) = 1 AND length(t.alt) = 1 THEN 'SNV' WHEN length(t.ref) = length(t.alt) THEN 'MNV'
WHEN length(t.ref) = 1 AND t.ref = left(t.alt, 1) THEN 'INSERTION' WHEN length(t.alt) = 1 AND t.alt = left(t.ref, 1) THEN 'DELETION' ELSE 'INDEL' END"""

# Every EXISTS is fenced with OFFSET 0, so that the planner cannot turn it into a join and lose the genome order.
_RECORD = "EXISTS (SELECT FROM variant_record r WHERE r.variant_key = t.variant_key AND r.load_id = ANY(:loads) AND {} OFFSET 0)"
_CONSEQUENCE = (
    "EXISTS (SELECT FROM transcript_consequence c WHERE c.variant_key = t.variant_key AND c.load_id = ANY(:loads) AND {} OFFSET 0)"
)
_DAMAGING = (
    "SELECT DISTINCT c.variant_key FROM transcript_consequence c WHERE c.variant_key >= {lo} AND c.variant_key < {hi} "
    "AND c.load_id = ANY(:loads) AND %s ORDER BY c.variant_key{direction}"
)
# These imply the condition of the partial index transcript_consequence_damaging. Impact is the annotator's, severity ours.
_DAMAGING_IMPACT = "c.impact <= 2 AND c.impact = ANY(:value)"
_DAMAGING_TERMS = f"c.severity <= {LAST_DAMAGING} AND c.terms && :value::text[]"
_ELEMENTS = (
    """json_array_elements_text(CASE json_typeof(r.info -> {0}) WHEN 'array' THEN r.info -> {0} ELSE json_build_array(r.info -> {0}) END)"""
)
_CLINICAL = "c.load_id = ANY(:loads) AND c.classes && :value::text[]"

NAMED_LOADS = "ARRAY(SELECT l.load_id FROM load l JOIN dataset d USING (dataset_id) WHERE d.name = {})"
"""SQL of the loads of a dataset, computed once per statement; format it with the name, or ANY of some."""

COUNTED_AGAIN = """(p.counted AND p.callset_load IS NULL AND p.population <> 'ALL' AND p.load_id IN (SELECT a.callset_load FROM frequency_population a
    WHERE a.callset_load IS NOT NULL AND a.load_id = ANY(:loads)))"""
"""SQL: a visible load counted the genotypes of the load of p (frequency_population) again, for the populations as they are known now. Hashed once
per statement."""

FEW = "(p.counted AND p.population <> 'ALL' AND p.load_id = ANY(:withheld))"
"""SQL: p (frequency_population) is of a load with groups of too few people to be told of to who asks. All its populations are withheld, because the
others and the whole tell of a small one by what is left."""

FEW_CALLED = "({0}.load_id = ANY(:limited) AND {0}.an[{1}] < 2 * :least)"
"""SQL: fewer people than may be told of were called at a variant; format it with the alias of population_frequency and the place in its arrays."""

# Like it, what does not depend on the variant stands in ARRAY(SELECT ...): it is computed once, not once per variant.
_POPULATION = f"""ARRAY(SELECT p.{{}} FROM frequency_population p WHERE (p.population = :population OR :dataset::text IS NOT NULL
        AND :population = 'ALL' AND p.population LIKE '%:ALL') AND p.load_id = ANY(:loads)
    AND (p.callset_load IS NULL OR p.callset_load = ANY(:loads)) AND NOT {COUNTED_AGAIN} AND NOT {FEW}
    AND (:dataset::text IS NULL OR p.load_id = ANY({NAMED_LOADS.format(":dataset")}) OR p.callset_load = ANY({NAMED_LOADS.format(":dataset")}))
    ORDER BY p.load_id)"""
_PLACE = f"({_POPULATION.format('ordinal')})[array_position({_POPULATION.format('load_id')}, f.load_id)]"
_SCORE = "ARRAY(SELECT n.{} FROM score n WHERE n.name = :name AND n.load_id = ANY(:loads) ORDER BY n.load_id)"

VARIANT = Read(
    name="variant",
    source="variant t",
    visible=_RECORD.format("true").replace(" AND true", ""),
    columns={
        "variant_key": "t.variant_key",
        "id": f"'Variant:' || {KEY_HEX.format('t.variant_key')}",
        "key": KEY_HEX.format("t.variant_key"),
        "name": f"{CHROM.format('t')} || '-' || t.pos || '-' || t.ref || '-' || t.alt",
        "chrom": CHROM.format("t"),
        "pos": "t.pos",
        "ref": "t.ref",
        "alt": "t.alt",
        "type": TYPE,
        "rsids": f"""ARRAY(SELECT i FROM variant_record r, unnest(r.ids) i
            WHERE r.variant_key = t.variant_key AND r.load_id = ANY(:loads) AND i ~ '^rs[0-9]+$'
            UNION SELECT 'rs' || i FROM variant_record r, {_ELEMENTS.format("'RS'")} i JOIN rsid s ON i ~ '^[0-9]{{1,18}}$' AND s.rsid = i::bigint
            WHERE r.variant_key = t.variant_key AND r.load_id = ANY(:loads) AND s.variant_key = t.variant_key AND s.load_id = r.load_id ORDER BY 1)""",
    },
    genome="t.variant_key",
    by={
        "pk": By("t.variant_key = ANY(:keys)", parent="t.variant_key"),
        "region": By(range=(":lo", ":hi")),
        "keys": By("t.variant_key = ANY(:variant_keys)", range=(":lo", ":hi")),
        "gene": By(
            anchor="""(SELECT g.gene_id AS key, g.chrom, g.start_pos, g.end_pos FROM gene g WHERE g.gene_id = ANY(:keys) AND g.load_id = ANY(:loads)
                AND NOT EXISTS (SELECT FROM gene n WHERE n.gene_id = g.gene_id AND n.load_id = ANY(:loads) AND n.load_id > g.load_id OFFSET 0)) k""",
            range=("greatest(locus_key(k.chrom, k.start_pos - :flank), :lo)", "least(locus_key(k.chrom, k.end_pos + 1 + :flank), :hi)"),
        ),
    },
    orders={"genome": Order(("t.variant_key",))},
    where={
        "type": f"({TYPE}) = ANY(:value)",
        "rsid": "EXISTS (SELECT FROM rsid i WHERE i.rsid = ANY(:value) AND i.variant_key = t.variant_key AND i.load_id = ANY(:loads) OFFSET 0)",
        "dataset": _RECORD.format(f"r.load_id = ANY({NAMED_LOADS.format('ANY(:value)')})"),
        "filter": _RECORD.format("r.filter && :value::text[]"),
        "qual": _RECORD.format("r.qual BETWEEN coalesce(:min, '-Infinity'::float8) AND coalesce(:max, 'Infinity'::float8)"),
        "info_number": _RECORD.format(
            f"""EXISTS (SELECT FROM {_ELEMENTS.format(":key")} e WHERE CASE WHEN pg_input_is_valid(e, 'float8')
            THEN e::float8 BETWEEN coalesce(:min, '-Infinity'::float8) AND coalesce(:max, 'Infinity'::float8) ELSE false END)"""
        ),
        "info_text": _RECORD.format(f"""EXISTS (SELECT FROM {_ELEMENTS.format(":key")} e WHERE e = ANY(:equals::text[]))"""),
        "info_key": _RECORD.format("(r.info -> :key) IS NOT NULL"),
        "consequence": _CONSEQUENCE.format("c.terms && :value::text[]"),
        "damaging_consequence": _CONSEQUENCE.format(_DAMAGING_TERMS),
        "impact": _CONSEQUENCE.format("c.impact = ANY(:value)"),
        "damaging_impact": _CONSEQUENCE.format(_DAMAGING_IMPACT),
        "clinical": f"EXISTS (SELECT FROM clinical_significance c WHERE c.variant_key = t.variant_key AND {_CLINICAL} OFFSET 0)",
        "pathogenic": f"EXISTS (SELECT FROM clinical_significance c WHERE c.variant_key = t.variant_key AND {_CLINICAL} OFFSET 0)",
        "frequency": f"""EXISTS (SELECT FROM population_frequency f WHERE f.variant_key = t.variant_key AND f.load_id = ANY({_POPULATION.format("load_id")})
            AND f.af[{_PLACE}] BETWEEN coalesce(:min, 0::float8) AND coalesce(:max, 1::float8) AND {FEW_CALLED.format("f", _PLACE)} IS NOT TRUE OFFSET 0)""",
        "score": f"""EXISTS (SELECT FROM variant_score s WHERE s.variant_key = t.variant_key AND s.load_id = ANY({_SCORE.format("load_id")})
            AND s.score_id = ({_SCORE.format("score_id")})[array_position({_SCORE.format("load_id")}, s.load_id)]
            AND s.value BETWEEN coalesce(:min, '-Infinity'::float8) AND coalesce(:max, 'Infinity'::float8) OFFSET 0)""",
    },
    drivers={
        "rsid": """SELECT DISTINCT i.variant_key FROM rsid i WHERE i.rsid = ANY(:value) AND i.load_id = ANY(:loads)
            AND i.variant_key >= {lo} AND i.variant_key < {hi} ORDER BY i.variant_key{direction}""",
        "pathogenic": f"""SELECT DISTINCT c.variant_key FROM clinical_significance c WHERE c.variant_key >= {{lo}} AND c.variant_key < {{hi}}
            AND c.classes && '{{PATHOGENIC,LIKELY_PATHOGENIC}}' AND {_CLINICAL} ORDER BY c.variant_key{{direction}}""",
        "damaging_impact": _DAMAGING % _DAMAGING_IMPACT,
        "damaging_consequence": _DAMAGING % _DAMAGING_TERMS,
    },
    driven="{keys} d JOIN variant t ON t.variant_key = d.variant_key",
)

RECORD = Read(
    name="variant_record",
    source="variant_record t",
    visible="t.load_id = ANY(:loads)",
    columns={
        "variant_key": "t.variant_key",
        "load_id": "t.load_id",
        "ids": "coalesce(t.ids, '{}')",
        "qual": "t.qual",
        "filter": "t.filter",
        "info": "t.info",
        "source_locus": "t.source_locus",
        "allele": "t.allele",
        "line": "t.line",
    },
    by={
        "variant": By("t.variant_key = ANY(:keys)", parent="t.variant_key"),
    },
    orders={"load": Order(("t.load_id",))},
    where={
        "dataset": f"t.load_id = ANY({NAMED_LOADS.format('ANY(:value)')})",
        "load": "t.load_id = ANY(:value)",
    },
)
