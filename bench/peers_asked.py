"""What bench/peers.py asks: six questions as the API and as PostGraphile are asked them, and the rows behind the answers with asyncpg alone.

Both are asked for the same facts, by the same key. PostGraphile's documents give its fields the API's names (views.sql); what is left is the shape, which
`facts` takes away: connections, edges, populations as objects, forms of keys and chromosomes, digits of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from store.assembly import NAMES
from store.variant_key import to_hex

Asked = tuple[str, *tuple[Any, ...]]
"""A statement and its values."""

LARGE = 1_000
"""Variants of the large page."""

SPOTS = 40
"""Different places that each question goes round; the large page a fifth of them."""


@dataclass(frozen=True)
class Spot:
    """A question at one place: its variables for the API and for PostGraphile, and the statements with their values that fetch the rows behind the answer."""

    ours: dict[str, Any]
    theirs: dict[str, Any]
    plain: list[Asked]


# ---- documents

ONE = "query One($id: String!) { variant(id: $id) { id key name chrom pos ref alt type } }"
ONE_THERE = "query One($key: BigInt!) { variant(variantKey: $key) { id key: variantKey name chrom pos ref alt type } }"

CHAIN = """query Chain($id: String!) { variant(id: $id) { key v2fScores(first: 10) { nodes { source score linkScore cellType geneName
    targetGene { geneId symbol expression(first: 10) { nodes { mean percent z metacell { name cellType cellCount } } } } } } } }"""
CHAIN_THERE = """query Chain($key: BigInt!) { variant(variantKey: $key) { key: variantKey v2fScores: linksList(first: 10, orderBy: [LOAD_ID_DESC, VALUE_DESC]) {
    source score linkScore cellType geneName targetGene { geneId symbol expression: expressionsList(first: 10, orderBy: [MEAN_DESC, METACELL_ID_DESC]) {
    mean percent z metacell { name cellType cellCount } } } } } }"""

PAGE = """query Page($region: String!, $first: Int!) { variants(region: $region, first: $first) { nodes { key name chrom pos ref alt
    v2fScores(first: 10) { nodes { source score linkScore matchedBy cellType geneName } }
    enformerEffects { score strongestEffect overThreshold trackCount } } } }"""
PAGE_THERE = """query Page($lo: BigInt!, $hi: BigInt!, $first: Int!) { variants: variantsBetweenList(firstKey: $lo, lastKey: $hi, first: $first) {
    key: variantKey name chrom pos ref alt
    v2fScores: linksList(first: 10, orderBy: [LOAD_ID_DESC, VALUE_DESC]) { source score linkScore matchedBy cellType geneName }
    enformerEffects: effectsList { score strongestEffect overThreshold trackCount } } }"""

CARRIERS = """query Carriers($id: String!) { variant(id: $id) { key carriers(first: 50) { edges { gt zygosity
    node { name sex population { name } } } } } }"""
CARRIERS_THERE = """query Carriers($key: BigInt!) { variant(variantKey: $key) { key: variantKey carriers: carriersList(first: 50, orderBy: [ORDINAL_ASC]) {
    gt zygosity name sex population } } }"""

SHARED = """query Shared($ids: [String!]!, $sample: String!) { variants(ids: $ids, first: 50) { nodes { key
    ibdContext(sample: $sample, first: 10) { edges { haplotype otherHaplotype other { name population { name } } node { start end lengthCm } } } } } }"""
SHARED_THERE = """query Shared($keys: [BigInt!]!, $sample: Int!) { variants: variantsByKeyList(keys: $keys) { key: variantKey
    ibdContext: sharedSegmentsList(first: 10, condition: { sampleId: $sample }, orderBy: [LENGTH_CM_DESC]) {
    haplotype otherHaplotype start: startPos end: endPos lengthCm other { name population } } } }"""

CONTEXT = """query Report($id: String!, $sample: String!) { variantContext(id: $id, sample: $sample) {
    variant { key name chrom pos ref alt type records { ids }
        consequences { terms impact symbol hgvsc hgvsp transcriptId canonical gene { symbol chrom start end biotype } }
        clinicalSignificance { significance classes stars reviewStatus conditions }
        populationFrequencies { population frequency alleleCount alleleNumber }
        v2fScores(first: 10) { nodes { source score linkScore threshold matchedBy geneName element elementClass cellType targetGene { symbol chrom start end } } }
        enformerEffects { score strongestEffect overThreshold trackCount tissueEffects { tissue assay effect track { index identifier description } }
            topTracks(first: 10) { effect track { index identifier assay description } } }
        cellContext(first: 10) { mean percent z tau gene { symbol chrom start end biotype } metacell { name cellType cellCount } } }
    inSample { sample { name sex } genotype { gt zygosity }
        ibdSegments(first: 10) { edges { haplotype otherHaplotype other { name } node { start end lengthCm } } } } } }"""
CONTEXT_THERE = """query Report($key: BigInt!, $sample: Int!) {
    variant(variantKey: $key) { key: variantKey name chrom pos ref alt type records: recordsList { ids }
        consequences: consequencesList { terms impact symbol hgvsc hgvsp transcriptId canonical gene { symbol chrom start: startPos end: endPos biotype } }
        clinicalSignificance: clinicalsList { significance classes stars reviewStatus conditions }
        populationFrequencies: frequenciesList { population frequency alleleCount alleleNumber }
        v2fScores: linksList(first: 10, orderBy: [LOAD_ID_DESC, VALUE_DESC]) { source score linkScore threshold matchedBy geneName element elementClass: class
            cellType targetGene { symbol chrom start: startPos end: endPos } }
        enformerEffects: effectsList { score strongestEffect overThreshold trackCount
            tissueEffects: tissueEffectsList { tissue assay effect track { index: ordinal identifier description } }
            topTracks: trackEffectsList(first: 10, orderBy: [SIZE_DESC, TRACK_ID_ASC]) { effect track { index: ordinal identifier assay description } } }
        cellContext: cellContextsList(first: 10, orderBy: [Z_DESC, MEAN_DESC, METACELL_ID_ASC, GENE_ID_ASC]) { mean percent z tau
            gene { symbol chrom start: startPos end: endPos biotype } metacell { name cellType cellCount } }
        genotype: callsList(condition: { sampleId: $sample }) { gt zygosity }
        ibdSegments: sharedSegmentsList(first: 10, condition: { sampleId: $sample }, orderBy: [LENGTH_CM_DESC]) {
            haplotype otherHaplotype start: startPos end: endPos lengthCm other { name } } }
    sample(sampleId: $sample) { name sex } }"""

# ---- the same rows by their keys

_VARIANT = "SELECT variant_key, chrom, pos, ref, alt FROM variant WHERE variant_key = ANY($1)"
_SCORES = "SELECT locus, score, rsid, gene_id, gene, cell_type FROM v2f_score WHERE locus = ANY($1)"
_ELEMENTS = """SELECT start_pos, end_pos, score, class, gene_id, gene, cell_type FROM v2f_element
    WHERE chrom = $1 AND length_class = 9 AND start_pos = ANY($2)"""
_GENES = "SELECT gene_id, symbol, chrom, start_pos, end_pos, biotype FROM gene WHERE gene_id = ANY($1)"
_HIGHEST = """SELECT g.gene_id, u.* FROM gene g CROSS JOIN LATERAL (SELECT e.load_id, u.* FROM metacell_expression e
    CROSS JOIN LATERAL unnest(e.mean, e.percent, e.z) WITH ORDINALITY u (mean, percent, z, place) WHERE e.gene_id = g.gene_id
    ORDER BY u.mean DESC LIMIT 10) u WHERE g.gene_id = ANY($1)"""
_PROFILES = "SELECT gene_id, load_id, tau, mean, percent, z FROM metacell_expression WHERE gene_id = ANY($1)"
_METACELLS = "SELECT name, cell_type, cell_count FROM metacell WHERE name = ANY($1) AND cell_type = ANY($2)"
_EFFECTS = "SELECT variant_key, load_id, strongest, over_threshold FROM enformer_effect WHERE variant_key = ANY($1)"
_ALL_TRACKS = """SELECT variant_key, strongest, over_threshold, tissue_effects, tissue_tracks, halfvec_send(tracks) AS tracks FROM enformer_effect
    WHERE variant_key = ANY($1)"""
_TRACKS = "SELECT ordinal, identifier, assay, description FROM enformer_track WHERE track_id = ANY($1)"
_CONSEQUENCES = (
    "SELECT terms, impact, symbol, hgvsc, hgvsp, transcript_id, canonical, gene_id FROM transcript_consequence WHERE variant_key = ANY($1)"
)
_CLINICAL = "SELECT significance, classes, stars, review_status, conditions FROM clinical_significance WHERE variant_key = ANY($1)"
_FREQUENCIES = "SELECT ac, an, af FROM population_frequency WHERE variant_key = ANY($1)"
_IDS = "SELECT ids FROM variant_record WHERE variant_key = ANY($1)"
_PERSON = "s.name, i.sex, i.population FROM sample s JOIN sample_info i ON i.sample_id = s.sample_id WHERE s.sample_id"
_PEOPLE = f"SELECT {_PERSON} = ANY($1)"
_SHARED = f"""SELECT v.variant_key, t.*, p.name, p.population FROM variant v CROSS JOIN LATERAL (SELECT other_id, haplotype, other_haplotype, start_pos, end_pos, length_cm
    FROM ibd_segment WHERE sample_id = $2 AND chrom = v.chrom AND start_pos <= v.pos AND end_pos >= v.pos ORDER BY length_cm DESC LIMIT 10) t
    CROSS JOIN LATERAL (SELECT {_PERSON} = t.other_id) p WHERE v.variant_key = ANY($1)"""
_CALL = "SELECT load_id, alt, alt_slots, other, missing, haploid, phasing, phase FROM genotype WHERE variant_key = ANY($1)"
_SAMPLE = f"SELECT {_PERSON} = $1"
_FULL = """EXISTS (SELECT FROM clinical_significance c WHERE c.variant_key = v.variant_key)
    AND EXISTS (SELECT FROM transcript_consequence c WHERE c.variant_key = v.variant_key AND c.gene_id IS NOT NULL)"""
_SHARER = """SELECT s.sample_id, s.name FROM ibd_segment t JOIN sample s USING (sample_id) WHERE t.chrom = $1 AND t.start_pos <= $2 AND t.end_pos >= $2
    ORDER BY hashint8(t.sample_id::bigint * 7919 + $2) LIMIT 1"""


# ---- the questions


class Question:
    """A question: its documents, places to ask it at, and what of PostGraphile's answer has another shape."""

    def __init__(self, name: str, ours: str, theirs: str, spots: list[Spot], reshape: Callable[[Any], Any] = lambda data: data) -> None:
        self.name, self.ours, self.theirs, self.spots, self._reshape = name, ours, theirs, spots, reshape

    def differences(self, ours: bytes, theirs: bytes) -> list[str]:
        """What one answer says and the other does not, at most a few."""
        left, right = facts(orjson.loads(ours)["data"]), facts(self._reshape(orjson.loads(theirs)["data"]))
        return list(_differences(left, right, ""))[:5]


async def questions(pool: asyncpg.Pool) -> list[Question]:
    """All six, each at places where there is something to say."""
    simple = await pool.fetch(
        """SELECT * FROM variant v WHERE length(ref) = 1 AND length(alt) = 1 AND EXISTS (SELECT FROM variant_record r
        WHERE r.variant_key = v.variant_key) AND variant_key < (SELECT variant_key FROM variant ORDER BY variant_key DESC OFFSET 3000 LIMIT 1)
        ORDER BY hashint8(variant_key) LIMIT $1""", SPOTS
    )  # fmt: skip
    one = [Spot({"id": to_hex(v["variant_key"])}, {"key": str(v["variant_key"])}, [(_VARIANT, [v["variant_key"]])]) for v in simple]
    return [
        Question("one variant's scalars", ONE, ONE_THERE, one),
        Question("variant, V2F, genes, expression, metacells", CHAIN, CHAIN_THERE, [await _chain(pool, v) for v in simple]),
        Question(
            "1,000 variants with V2F and Enformer", PAGE, PAGE_THERE, [await page_spot(pool, v["variant_key"], LARGE) for v in simple[::5]]
        ),
        Question("50 carriers with population", CARRIERS, CARRIERS_THERE, await _carriers(pool)),
        Question("IBD context of 50 variants", SHARED, SHARED_THERE, [await _shared(pool, v["variant_key"]) for v in simple]),
        Question("variantContext: the report", CONTEXT, CONTEXT_THERE, await _reports(pool), _as_report),
    ]


async def _linked(pool: asyncpg.Pool, key: int) -> list[str]:
    """The identifiers of the genes that scores and elements link to a variant."""
    rows = await pool.fetch("SELECT DISTINCT target_id FROM peer.link WHERE variant_key = $1 AND target_id IS NOT NULL", key)
    return [row[0] for row in rows]


async def _chain(pool: asyncpg.Pool, v: Any) -> Spot:
    key = v["variant_key"]
    genes = await _linked(pool, key)
    cells = await pool.fetch(
        f"SELECT m.name, m.cell_type FROM ({_HIGHEST}) u JOIN metacell m ON m.metacell_id = u.load_id::bigint * 16777216 + u.place - 1",
        genes,
    )
    names, types = (sorted({row[i] for row in cells}) for i in (0, 1))
    return Spot(
        {"id": to_hex(key)},
        {"key": str(key)},
        [
            (_VARIANT, [key]),
            await _scores(pool, [key]),
            await _elements(pool, [key]),
            (_GENES, genes),
            (_HIGHEST, genes),
            (_METACELLS, names, types),
        ],
    )


async def _scores(pool: asyncpg.Pool, keys: list[int]) -> Asked:
    loci = await pool.fetchval("SELECT array_agg(DISTINCT locus_key(chrom, pos)) FROM variant WHERE variant_key = ANY($1)", keys)
    return _SCORES, [*keys, *loci]


async def _elements(pool: asyncpg.Pool, keys: list[int]) -> Asked:
    rows = await pool.fetch(
        """SELECT DISTINCT v.chrom, e.start_pos FROM variant v JOIN v2f_element e ON e.chrom = v.chrom AND e.length_class = 9
        AND e.start_pos BETWEEN v.pos - 511 AND v.pos + length(v.ref) - 1 AND e.end_pos >= v.pos WHERE v.variant_key = ANY($1)""", keys
    )  # fmt: skip
    return _ELEMENTS, rows[0]["chrom"] if rows else 1, [row["start_pos"] for row in rows]


async def page_spot(pool: asyncpg.Pool, start: int, size: int) -> Spot:
    """A page of so many variants, from a key on."""
    rows = await pool.fetch(
        """SELECT v.* FROM variant v WHERE variant_key >= $1 AND EXISTS (SELECT FROM variant_record r WHERE r.variant_key = v.variant_key)
        ORDER BY variant_key LIMIT $2""", start, size
    )  # fmt: skip
    keys, first, last = [row["variant_key"] for row in rows], rows[0], rows[-1]
    bounds = await pool.fetchrow("SELECT locus_key($1, $2) AS lo, locus_key($1, $3) AS hi", first["chrom"], first["pos"], last["pos"] + 1)
    return Spot(
        {"region": f"{NAMES[first['chrom'] - 1]}:{first['pos']}-{last['pos']}", "first": size},
        {"lo": str(bounds["lo"]), "hi": str(bounds["hi"]), "first": size},
        [(_VARIANT, keys), await _scores(pool, keys), await _elements(pool, keys), (_EFFECTS, keys)],
    )


async def _carriers(pool: asyncpg.Pool) -> list[Spot]:
    rows = await pool.fetch(
        "SELECT variant_key FROM genotype WHERE alt IS NOT NULL OR cardinality(alt_slots) > 20 ORDER BY hashint8(variant_key) LIMIT $1",
        SPOTS,
    )
    spots = []
    for (key,) in rows:
        people = [
            row[0] for row in await pool.fetch("SELECT sample_id FROM peer.carrier WHERE variant_key = $1 ORDER BY ordinal LIMIT 50", key)
        ]
        spots.append(Spot({"id": to_hex(key)}, {"key": str(key)}, [(_VARIANT, [key]), (_CALL, [key]), (_PEOPLE, people)]))
    return spots


async def _shared(pool: asyncpg.Pool, start: int) -> Spot:
    rows = await pool.fetch(
        """SELECT v.* FROM variant v WHERE variant_key >= $1 AND EXISTS (SELECT FROM variant_record r WHERE r.variant_key = v.variant_key)
        ORDER BY variant_key LIMIT 50""", start
    )  # fmt: skip
    keys, middle = [row["variant_key"] for row in rows], rows[len(rows) // 2]
    person = await pool.fetchrow(_SHARER, middle["chrom"], middle["pos"])
    return Spot(
        {"ids": [to_hex(key) for key in keys], "sample": person["name"]},
        {"keys": [str(key) for key in keys], "sample": person["sample_id"]},
        [(_SHARED, keys, person["sample_id"])],
    )


async def _reports(pool: asyncpg.Pool) -> list[Spot]:
    rows = await pool.fetch(
        f"""SELECT v.* FROM variant v WHERE variant_key IN (SELECT variant_key FROM enformer_effect WHERE tracks IS NOT NULL) AND {_FULL}
        AND EXISTS (SELECT FROM genotype g WHERE g.variant_key = v.variant_key) ORDER BY hashint8(variant_key) LIMIT $1""", SPOTS
    )  # fmt: skip
    return [await _report(pool, v) for v in rows]


async def _report(pool: asyncpg.Pool, v: Any) -> Spot:
    keys = [v["variant_key"]]
    person = await pool.fetchrow(_SHARER, v["chrom"], v["pos"])
    genes = [row[0] for row in await pool.fetch("SELECT DISTINCT gene_id FROM peer.cell_context WHERE variant_key = $1", keys[0])]
    cells = await pool.fetch(
        "SELECT m.name, m.cell_type FROM peer.cell_context c JOIN metacell m USING (metacell_id) WHERE variant_key = $1 ORDER BY c.z DESC LIMIT 10",
        keys[0],
    )
    tracks = await pool.fetch("SELECT track_id FROM peer.track_effect WHERE variant_key = $1 ORDER BY size DESC LIMIT 10", keys[0])
    of_variant: list[Asked] = [(sql, keys) for sql in (_VARIANT, _IDS, _CONSEQUENCES, _CLINICAL, _FREQUENCIES, _ALL_TRACKS, _CALL)]
    return Spot(
        {"id": to_hex(keys[0]), "sample": person["name"]},
        {"key": str(keys[0]), "sample": person["sample_id"]},
        [
            *of_variant,
            await _scores(pool, keys),
            await _elements(pool, keys),
            (_GENES, genes),
            (_PROFILES, genes),
            (_METACELLS, [row[0] for row in cells], [row[1] for row in cells]),
            (_TRACKS, [row[0] for row in tracks]),
            (_SHARED, keys, person["sample_id"]),
            (_SAMPLE, person["sample_id"]),
        ],
    )


def _as_report(data: Any) -> Any:
    """PostGraphile's answer with what is said of the person where the API has it."""
    variant = data["variant"]
    genotype = variant.pop("genotype")
    inside = {"sample": data["sample"], "genotype": genotype[0] if genotype else None, "ibdSegments": variant.pop("ibdSegments")}
    return {"variantContext": {"variant": variant, "inSample": inside}}


# ---- what an answer says


def facts(value: Any, name: str = "") -> Any:
    """An answer without its shape: lists for connections, the fields of edges and their nodes together, one form of names and numbers, lists in one order."""
    if isinstance(value, dict):
        if value.keys() in ({"nodes"}, {"edges"}):
            return facts(next(iter(value.values())), name)
        found = {key: facts(inner, key) for key, inner in value.items() if key != "id"}
        if name == "population" and found.keys() == {"name"}:
            return found["name"]
        return found | found.pop("node") if "node" in found else found
    if isinstance(value, list):
        return sorted((facts(inner, name) for inner in value), key=_rough)
    if name == "key" and len(value) != 16:
        return to_hex(int(value))
    if name == "chrom" and isinstance(value, int):
        return NAMES[value - 1]
    return value


def _rough(value: Any) -> str:
    """A fact as text to sort by, numbers with few digits: those of a real differ behind the seventh."""
    if isinstance(value, dict):
        return " ".join(f"{key} {_rough(value[key])}" for key in sorted(value))
    if isinstance(value, list):
        return " ".join(map(_rough, value))
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _differences(left: Any, right: Any, place: str) -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        for key in left:
            yield from _differences(left[key], right[key], f"{place}.{key}")
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, pair in enumerate(zip(left, right, strict=True)):
            yield from _differences(*pair, f"{place}[{number}]")
    elif isinstance(left, int | float) and isinstance(right, int | float) and math.isclose(left, right, rel_tol=1e-6):
        return
    elif left != right:
        yield f"{place}: {str(left)[:300]} | {str(right)[:300]}"
