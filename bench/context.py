"""What a geneticist asks of a variant, as multiples of what it costs to fetch the same rows with asyncpg alone.

    python -m bench.context [--variants N] [--metacells N] [--url URL] [--json]

The complete report of a variant in a person, the cells in which variants may matter, the tracks that Enformer predicts
them to change, and variants by the expression or the cell type that they act on: GraphQL through the ASGI application
in this process, as in bench/query.py. The limit is what an expert sends who knows the keys of all rows behind the answer:
one plain statement for each table, one after the other, in a pool of the same kind.

The store is bench/synthetic.py's, with two things more: effects on all 5,313 tracks of 2,000 variants, and an atlas of
metacells for the genes around them. Exit code 1 where the cells of many variants do not take as many statements as those of one.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import asyncpg
import numpy as np
import orjson
import psycopg
import uvloop

from bench.query import CLIENTS, SPOTS, TITLE, Api, Figure, Work, in_turns, objects_in, statements_of
from bench.server import synthetic_store
from graph.app import Settings, application
from graph.commands import keep
from store.assembly import GRCH37, NAMES
from store.database import open_pool
from store.enformer import track_id
from store.load import begin
from store.region import locus_key
from store.variant_key import decode, from_hex

TRACKS = 5_313
WITH_TRACKS = 2_000
MANY = 100
"""Variants on a page."""

_FEW_GENES, _MANY_GENES = 2.9, 0.5
"""Least expression, which is even from 0 to 3 in the synthetic store: leaves one gene in thirty, and five in six."""

_TYPES = 20
"""Cell types of the atlas."""

Asked = tuple[str, *tuple[Any, ...]]
"""A statement and its values."""

# ---- what the store has besides

_ATLAS = f"""WITH g AS (SELECT * FROM gene WHERE chrom = (SELECT max(chrom) FROM variant)),
    m AS (SELECT g.symbol, g.gene_id, array_agg(greatest(0, ln(random() * 20))::real ORDER BY n) AS values
        FROM g, generate_series(0, %(metacells)s - 1) n GROUP BY 1, 2)
    INSERT INTO metacell_expression SELECT symbol, %(load)s, gene_id, 0.5, ARRAY(SELECT max(x) FROM unnest(values) WITH ORDINALITY u (x, n)
        GROUP BY mod(n - 1, {_TYPES}) ORDER BY mod(n - 1, {_TYPES})), values,
        ARRAY(SELECT (100 * x / 3)::real FROM unnest(values) x), ARRAY(SELECT (x * 2 - 3)::real FROM unnest(values) x) FROM m"""
"""SQL: what each metacell expresses of the genes of the chromosome that has variants; one in twenty does not express a gene."""

_FULL = """EXISTS (SELECT FROM clinical_significance c WHERE c.variant_key = v.variant_key)
    AND EXISTS (SELECT FROM transcript_consequence c WHERE c.variant_key = v.variant_key AND c.gene_id IS NOT NULL)"""
"""SQL: a report of a variant has all of its parts."""

_CHOSEN = f"SELECT variant_key FROM enformer_effect e JOIN variant v USING (variant_key) ORDER BY {_FULL} DESC, variant_key LIMIT %s"


def add_function(url: str, metacells: int) -> None:
    """Adds effects on all tracks of `WITH_TRACKS` variants, and an atlas of so many metacells; once to a store."""
    with psycopg.connect(url, autocommit=True) as conn:
        if conn.execute("SELECT 1 FROM dataset WHERE name = 'atlas'").fetchone():
            return
        chosen = [row[0] for row in conn.execute(_CHOSEN, (WITH_TRACKS,))]
        effects = (np.random.default_rng(0).standard_normal((len(chosen), TRACKS), np.float32) ** 3 * np.float32(0.02)).astype(np.float16)
        with conn.cursor() as cursor:
            cursor.executemany(
                "UPDATE enformer_effect SET tracks = %s::halfvec, strongest = %s, strongest_track = %s WHERE variant_key = %s",
                (
                    ("[" + ",".join(map(str, row.tolist())) + "]", float(row[place]), place, key)
                    for key, row, place in zip(chosen, effects, np.abs(effects).argmax(1).tolist(), strict=True)
                ),
            )
        conn.execute("SELECT setseed(0.5)")
        load = begin(conn, dataset="atlas", kind="metacells", version="1", files=[], options={})
        values = {"load": load.load_id, "metacells": metacells, "types": [f"A{n}" for n in range(_TYPES)]}
        conn.execute("INSERT INTO metacell_run VALUES (%(load)s, 'CELLS', 'X', 'COUNTS', 20000, %(types)s, NULL, NULL, 0, NULL)", values)
        conn.execute(
            f"""INSERT INTO metacell (load_id, ordinal, name, cell_type, purity, cell_count, top_genes) SELECT %(load)s, n, 'SEACell-' || n,
            'A' || mod(n, {_TYPES}), 1, 50, '{{}}' FROM generate_series(0, %(metacells)s - 1) n""", values
        )  # fmt: skip
        conn.execute(_ATLAS, values)
        load.finish()
        conn.execute("VACUUM (ANALYZE) enformer_effect, metacell, metacell_run, metacell_expression")


# ---- what is asked

_GENE = "gene { symbol chrom start end strand biotype }"
_CELLS = f"""geneName mean percent z tau evidence {{ kind v2fScore {{ source score linkScore threshold matchedBy element }}
    consequence {{ terms impact }} }} metacell {{ id name cellType cellCount dataset }} {_GENE}"""
_STRONGEST = "effect track { index identifier assay tissue description }"

REPORT = f"""query Report($id: String!, $sample: String) {{ variantContext(id: $id, sample: $sample) {{
    variant {{
        id name chrom pos ref alt type rsids
        consequences {{ terms impact symbol hgvsc hgvsp transcriptId canonical {_GENE} }}
        clinicalSignificance {{ significance classes stars reviewStatus conditions }}
        populationFrequencies {{ population frequency alleleCount alleleNumber }}
        v2fScores {{ nodes {{ source score linkScore threshold matchedBy geneName element elementClass cellType targetGene {{ symbol chrom start end }} }} }}
        enformerEffects {{ score strongestEffect overThreshold trackCount tissueEffects {{ tissue assay {_STRONGEST} }} topTracks(first: 10) {{ {_STRONGEST} }} }}
        cellContext(first: 10) {{ {_CELLS} }}
    }}
    inSample {{
        sample {{ name sex }}
        genotype {{ gt zygosity phased }}
        ibdSegments(first: 10) {{ edges {{ haplotype otherHaplotype other {{ name }} node {{ region lengthCm }} }} }}
    }}
}} }}"""
CELLS = f"""query Cells($region: String!, $first: Int!) {{ variants(region: $region, first: $first) {{ nodes {{ id name
    cellContext(first: 10) {{ {_CELLS} }} }} }} }}"""
TOP = f"""query Top($ids: [String!]!, $first: Int!) {{ variants(ids: $ids, first: $first) {{ nodes {{ id name
    enformerEffects {{ trackCount topTracks(first: 10) {{ {_STRONGEST} }} }} }} }} }}"""
ALL_TRACKS = "query All($id: String!) { variant(id: $id) { id name enformerEffects { trackCount tracks } } }"
ALTERING = """query Altering($gene: String!) { expressionAlteringVariants(gene: $gene, tissue: LIVER, first: 50) {
    edges { effect track { index identifier } node { id name chrom pos ref alt } } pageInfo { endCursor } } }"""
AFFECTING = """query Affecting($region: String, $least: Float!, $first: Int!, $after: String) { variantsAffectingCellType(cellType: "T0",
    region: $region, minExpression: $least, first: $first, after: $after) { nodes { id name chrom pos ref alt } pageInfo { endCursor } } }"""

# ---- the same rows by their keys

_VARIANT = "SELECT variant_key, chrom, pos, ref, alt FROM variant WHERE variant_key = ANY($1)"
_CONSEQUENCES = "SELECT variant_key, terms, impact, symbol, hgvsc, hgvsp, transcript_id, canonical, gene_id FROM transcript_consequence WHERE variant_key = ANY($1)"
_CLINICAL = "SELECT significance, classes, stars, review_status, conditions FROM clinical_significance WHERE variant_key = ANY($1)"
_FREQUENCIES = "SELECT ac, an, af FROM population_frequency WHERE variant_key = ANY($1)"
_IDS = "SELECT ids FROM variant_record WHERE variant_key = ANY($1)"
_SCORES = "SELECT locus, score, rsid, gene_id, gene, cell_type, tissue FROM v2f_score WHERE locus = ANY($1)"  # see store/v2f.py
_ELEMENTS = """SELECT chrom, start_pos, end_pos, score, class, gene_id, gene, cell_type FROM v2f_element
    WHERE chrom = $1 AND length_class = 9 AND start_pos = ANY($2)"""
_GENES = "SELECT gene_id, symbol, chrom, start_pos, end_pos, strand, biotype FROM gene WHERE gene_id = ANY($1)"
_SUMMARIES = "SELECT variant_key, strongest, over_threshold, tissue_effects, tissue_tracks FROM enformer_effect WHERE variant_key = ANY($1)"
_EFFECTS = f"{_SUMMARIES.replace(' FROM', ', halfvec_send(tracks) AS tracks FROM')}"
_TRACKS = "SELECT track_id, ordinal, identifier, assay, description, tissue FROM enformer_track WHERE track_id = ANY($1)"
_PROFILES = "SELECT gene, load_id, tau, mean, percent, z FROM metacell_expression WHERE gene = ANY($1)"
_METACELLS = "SELECT metacell_id, name, cell_type, cell_count FROM metacell WHERE metacell_id = ANY($1)"
_GENOTYPE = "SELECT load_id, alt, alt_slots, other, missing, haploid, phasing, phase FROM genotype WHERE variant_key = ANY($1)"
_SEGMENTS = """SELECT other_id, haplotype, other_haplotype, chrom, start_pos, end_pos, length_cm FROM ibd_segment
    WHERE sample_id = $1 AND chrom = $2 AND start_pos <= $3 AND end_pos >= $3 ORDER BY length_cm DESC LIMIT 11"""
_SHARING = """SELECT s.sample_id, p.name, $2::int AS pos FROM ibd_segment s JOIN sample p USING (sample_id)
    WHERE s.chrom = $1 AND s.start_pos <= $2 AND s.end_pos >= $2 LIMIT 1"""
_SAMPLES = "SELECT s.sample_id, s.name, i.sex FROM sample s JOIN sample_info i USING (sample_id) WHERE s.sample_id = ANY($1)"


# ---- one against the other


def values_of(answer: Any, field: str) -> Iterator[Any]:
    """All that an answer says in fields of a name, wherever they stand, without nulls."""
    if isinstance(answer, list):
        for item in answer:
            yield from values_of(item, field)
    elif isinstance(answer, dict):
        for name, value in answer.items():
            if name == field and value is not None:
                yield value
            else:
                yield from values_of(value, field)


def ids_of(answer: Any, kind: str) -> list[str]:
    """What stands after the type in the ids of an answer."""
    return sorted({text.partition(":")[2] for text in values_of(answer, "id") if text.startswith(f"{kind}:")})


def keys_of(answer: Any) -> list[int]:
    """The keys of the variants of an answer."""
    return [key for text in ids_of(answer, "Variant") if (key := from_hex(text)) is not None]


class Bench:
    """Requests and their plain counterparts on one store."""

    def __init__(self, api: Api, pool: asyncpg.Pool) -> None:
        self.api, self.pool = api, pool

    async def start(self) -> None:
        """Finds out what there is to ask for: variants with effects on all tracks; of them those with a whole report, and people who share something there."""
        rows = await self.pool.fetch(
            f"""SELECT v.*, {_FULL} AS full FROM variant v WHERE variant_key IN (SELECT variant_key FROM enformer_effect WHERE tracks IS NOT NULL)
            AND EXISTS (SELECT FROM variant_record r WHERE r.variant_key = v.variant_key) ORDER BY variant_key"""
        )
        self.names = [f"{NAMES[v['chrom'] - 1]}-{v['pos']}-{v['ref']}-{v['alt']}" for v in rows]
        whole = [(name, v) for name, v in zip(self.names, rows, strict=True) if v["full"]]
        sharing = [
            (name, await self.pool.fetchrow(_SHARING, v["chrom"], v["pos"])) for name, v in random.sample(whole, min(SPOTS, len(whole)))
        ]
        self.reported = [(name, found) for name, found in sharing if found is not None]
        self.genes = dict(await self.pool.fetch("SELECT symbol, gene_id FROM gene"))
        self.inside = await self.pool.fetch(
            "SELECT * FROM gene WHERE chrom = $1 AND end_pos < $2 AND end_pos - start_pos > 20000", rows[0]["chrom"], rows[-1]["pos"]
        )
        self.enformer = await self.pool.fetchval("SELECT load_id FROM enformer_run")

    async def spot(self, behind: Callable[[Any], list[Asked]], query: str, **variables: Any) -> tuple[Work, Work]:
        """A request, and the plain statements for what is behind its answer."""
        asked = behind(orjson.loads(await self.api.ask(query, **variables))["data"])

        async def plain() -> None:
            for sql, *values in asked:
                await self.pool.fetch(sql, *values)

        return lambda: self.api.ask(query, **variables), plain

    # What is behind the answers.

    def variants(self, answer: Any) -> list[Asked]:
        """The variants alone."""
        return [(_VARIANT, keys_of(answer))]

    def cells(self, answer: Any) -> list[Asked]:
        """With the scores, consequences and genes that lead to the cells."""
        keys, symbols = keys_of(answer), {*values_of(answer, "geneName"), *values_of(answer, "symbol")}
        loci = [locus_key(*decode(key)[:2]) for key in keys]
        elements = {int(text.partition(":")[2].partition("-")[0]) for text in values_of(answer, "element")}
        return [
            (_VARIANT, keys),
            (_CONSEQUENCES, keys),
            (_SCORES, [*keys, *loci]),
            (_ELEMENTS, decode(keys[0])[0], sorted(elements)),
            (_PROFILES, sorted({*values_of(answer, "geneName")})),
            (_METACELLS, [int(text) for text in ids_of(answer, "Metacell")]),
            (_GENES, sorted(self.genes[symbol] for symbol in symbols)),
        ]

    def tracks(self, answer: Any) -> list[Asked]:
        """The effects on all tracks, and the tracks that are named."""
        return [(_EFFECTS, keys_of(answer)), (_TRACKS, sorted({track_id(self.enformer, index) for index in values_of(answer, "index")}))]

    def report(self, answer: Any, sample: int, pos: int) -> list[Asked]:
        """All tables."""
        keys = keys_of(answer)
        shared = _SEGMENTS, sample, decode(keys[0])[0], pos
        people = [sample, *(int(other["name"][1:]) for other in values_of(answer, "other"))]  # synthetic samples are named by their numbers
        of_variant: list[Asked] = [(sql, keys) for sql in (_IDS, _CLINICAL, _FREQUENCIES, _GENOTYPE)]
        return [*self.cells(answer), *self.tracks(answer), *of_variant, shared, (_SAMPLES, people)]

    # What is asked.

    async def reports(self) -> list[tuple[Work, Work]]:
        """Whole reports of variants in people who share something there."""
        spots = []
        for name, (sample, person, pos) in self.reported:
            spots.append(await self.spot(lambda answer, s=sample, p=pos: self.report(answer, s, p), REPORT, id=name, sample=person))
        return spots

    async def contexts(self, first: int) -> list[tuple[Work, Work]]:
        """The cells of one variant, or of many, from somewhere in a gene on."""
        spots = []
        while len(spots) < SPOTS // 4:
            gene = random.choice(self.inside)
            region = f"{NAMES[gene['chrom'] - 1]}:{random.randint(gene['start_pos'], gene['end_pos'] - 10_000)}-{gene['end_pos'] + 100_000}"
            spots.append(await self.spot(self.cells, CELLS, region=region, first=first))
        return spots

    async def tops(self) -> list[tuple[Work, Work]]:
        """The strongest tracks of many variants."""
        named = (random.sample(self.names, MANY) for _ in range(SPOTS // 4))
        return [await self.spot(self.tracks, TOP, ids=names, first=MANY) for names in named]

    async def vectors(self) -> list[tuple[Work, Work]]:
        """The effects on all tracks of one variant."""
        return [await self.spot(self.tracks, ALL_TRACKS, id=name) for name in random.sample(self.names, SPOTS)]

    async def altering(self) -> list[tuple[Work, Work]]:
        """Variants near a gene that change its expression."""
        genes = random.choices(self.inside, k=SPOTS)
        return [
            await self.spot(lambda answer: [(_SUMMARIES, keys_of(answer)), *self.variants(answer)], ALTERING, gene=gene["symbol"])
            for gene in genes
        ]

    async def affecting(self, least: float, middle: bool) -> list[tuple[Work, Work]]:
        """A page of variants that act on genes that a cell type expresses: the first, or one that begins somewhere in between."""
        asked: dict[str, Any] = {"least": least, "first": 50}
        if not middle:
            return [await self.spot(self.variants, AFFECTING, **asked)]
        spots = []
        for gene in random.sample(self.inside, SPOTS // 4):
            region = f"{NAMES[gene['chrom'] - 1]}:{gene['start_pos']}-{gene['start_pos'] + 2_000_000}"
            answer = await self.api.ask(AFFECTING, **asked | {"first": 1, "region": region})
            cursor = orjson.loads(answer)["data"]["variantsAffectingCellType"]["pageInfo"]["endCursor"]
            if cursor is not None:
                spots.append(await self.spot(self.variants, AFFECTING, **asked, after=cursor))
        return spots


async def figure(name: str, spots: list[tuple[Work, Work]], clients: int = 1) -> Figure:
    """A request against its limit; statements are the most that any of its spots took."""
    answers = [await ours() for ours, _ in spots]
    rows = statistics.mean(objects_in(orjson.loads(answer)["data"]) for answer in answers)
    return Figure(name, *await in_turns(spots, clients), rows, max(map(statements_of, answers)))


async def measure(url: str, as_json: bool) -> bool:
    """Measures and prints everything. Returns whether many variants take as many statements as one."""
    figures: list[Figure] = []

    async def show(name: str, spots: list[tuple[Work, Work]], clients: int = 1) -> Figure:
        figures.append(await figure(name, spots, clients))
        if not as_json:
            print(figures[-1], flush=True)
        return figures[-1]

    app = application(Settings(url, GRCH37))
    pool = await open_pool(url, size=10, timeout_ms=60_000, role="none")
    async with app.router.lifespan_context(app), pool:
        keep()
        bench = Bench(Api(app), pool)
        await bench.start()
        variants, metacells = await pool.fetchrow("SELECT (SELECT count(*) FROM variant), (SELECT count(*) FROM metacell)")
        if not as_json:
            print(f"{variants:,} variants, {metacells:,} metacells; medians; the limit is asyncpg fetching the same rows by key\n\n{TITLE}")
        reports = await bench.reports()
        for clients in (1, CLIENTS):
            await show(f"variantContext: the complete report, {clients} client{'s' if clients > 1 else ''}", reports, clients)
        one = await show("cellContext of 1 variant", await bench.contexts(1))
        many = await show(f"cellContext of {MANY} variants", await bench.contexts(MANY))
        await show(f"topTracks of {MANY} variants", await bench.tops())
        await show("tracks of 1 variant", await bench.vectors())
        await show("expressionAlteringVariants, 50 near a gene", await bench.altering())
        for least, which in ((_FEW_GENES, "few"), (_MANY_GENES, "many")):
            for middle in (False, True):
                name = f"variantsAffectingCellType, {which} genes, {'a page in the middle' if middle else 'first page'}"
                await show(name, await bench.affecting(least, middle))
    same = one.statements == many.statements
    each = many.milliseconds / MANY
    if as_json:
        shown = [asdict(found) | {"ratio": found.ratio} for found in figures]
        print(json.dumps({"variants": variants, "metacells": metacells, "each": each, "same_statements": same, "figures": shown}, indent=2))
    else:
        print(f"\ncellContext: {one.milliseconds:.2f} ms for one variant, {each:.3f} ms for each of {MANY}")
    if not same:
        print(f"cellContext takes {one.statements} statements for one variant, {many.statements} for {MANY}.", file=sys.stderr)
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description="What a geneticist asks of a variant, as multiples of asyncpg fetching the same rows.")
    parser.add_argument("--variants", type=int, default=200_000, help="how many synthetic variants to make (default 200,000)")
    parser.add_argument("--metacells", type=int, default=1_000, help="metacells of the atlas (default 1,000)")
    parser.add_argument("--url", help="a store made by bench.synthetic before, instead of a server of the benchmark's own")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    random.seed(1)
    with synthetic_store(options.url, options.variants) as url:
        add_function(url, options.metacells)
        same = uvloop.run(measure(url, options.json))
    sys.exit(not same)


if __name__ == "__main__":
    main()
