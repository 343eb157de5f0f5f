"""A store of synthetic variants, as dense and as clinical as real ones, for benchmarks and for the test of plans.

Comes in: a database with the migrations applied and nothing loaded. Goes out: eleven published loads. Variants lie one
per `SPACING` bases, as in three thousand genomes, and everything said of one follows from its key by hashing, so two
stores of one size are the same. Loads: `callset` has 70 % of the variants, with frequencies and consequences, and genotypes
of `SAMPLES` people, `clinical` has 50 % (so a fifth is in both), with classifications, `scores` has a number for half of all,
`genes` has 20,000, `panel` describes a tenth as many people as there are variants, of whom the first are in the callset. Of these `ibd` has
segments that any two share, a quarter as many as there are variants, all over the autosomes, and `ancestry` says where they lie. `v2f`, `enformer` and `metacells` (fifty) say of
variants and genes what methods and cells do. A tenth of the variants have vectors, of eight numbers, by the model `synthetic`. Half of these are in
one of forty `clusters`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psycopg
import pyarrow as pa

from store import embedding
from store.assembly import GRCH37, LAST_AUTOSOME
from store.copy import copy_rows
from store.embedding_index import build_index
from store.genome import initialise
from store.load import begin
from store.variant_key import encode

SPACING = 50
CHROMOSOMES = (21, 22, *range(20, 0, -1))
"""The order in which chromosomes are filled."""

SAMPLES = 2504

_BATCH = 200_000

# A number in [0, 1) that follows from a key. Written out where it is used, as a function of the session would not be inlined.
_DRAW = "((hashint8extended({key}, {seed}) & 1048575) / 1048576.0)"


def _draw(seed: int, key: str = "v.variant_key") -> str:
    return _DRAW.format(key=key, seed=seed)


_AF = f"greatest(0.0002, round((power({_draw(2)}, 12) / 2)::numeric, 4))"  # two thirds below 0.5 %, as in 1000 Genomes
_CALLSET, _CLINICAL = f"{_draw(1)} < 0.7", f"{_draw(1)} >= 0.5"
_GENE_SPACING = 155_000
_IN_GENE = f"mod(v.pos, {_GENE_SPACING}) < 5000 + 140000 * {_draw(10, 'v.chrom * 100000 + v.pos / ' + str(_GENE_SPACING))}"
_GENE = f"'ENSG' || lpad((v.chrom * 100000 + v.pos / {_GENE_SPACING})::text, 11, '0')"
_STRIDE, _LONGEST = 31, 150
_METACELLS = 50
_DIMENSION = 8
_OF_PEOPLE = ("callset", "panel", "ibd", "ancestry")
_LONGEST_SHARED = 10_000_000
_RS = "(v.variant_key / 1073741824 & 1073741823)"  # unique enough: a third of dbSNP's range, and few variants share one

_TABLES = {
    # As either person sees it; most are short, and their classes of lengths many.
    "ibd_segment": f"""WITH s AS (SELECT n, 1 + floor({SAMPLES} * {_draw(20, "n")})::int AS one, 1 + floor(({SAMPLES} - 1) * {_draw(21, "n")})::int AS step,
            c.chrom, floor({_LONGEST_SHARED} * power({_draw(22, "n")}, 2))::int AS bases, (c.length * 0.9 * {_draw(23, "n")})::int AS start
            FROM generate_series(1, %(segments)s) n
            JOIN unnest((%(lengths)s::int[])[:{LAST_AUTOSOME}]) WITH ORDINALITY c (length, chrom) ON c.chrom = 1 + mod(n, {LAST_AUTOSOME})),
        t AS MATERIALIZED (SELECT *, 1 + mod(one + step - 1, {SAMPLES}) AS other, CASE WHEN bases = 0 THEN 0 ELSE 1 + floor(ln(bases) / ln(2))::int END AS class
            FROM s)
        SELECT one, other, %(ibd)s, 0, n, chrom, class, start, start + bases, 1 + mod(n, 2), 1 + mod(n / 2, 2), NULL, bases / 1e6, NULL, NULL
        FROM (SELECT * FROM t UNION ALL SELECT n, other, step, chrom, bases, start, one, class FROM t) t ORDER BY one, chrom, start""",
    "variant_record": f"""SELECT v.variant_key, l.load_id, CASE WHEN {_draw(3)} < 0.8 THEN ARRAY['rs' || {_RS}] END, 20 + 1000 * {_draw(4)},
        CASE WHEN {_draw(5)} < 0.95 THEN '{{PASS}}'::text[] ELSE '{{LowQual}}'::text[] END,
        ('{{"AC":' || round({_AF} * 5008) || ',"AF":' || {_AF} || ',"AN":5008,"DP":' || round(100 + 9000 * {_draw(6)}) || '}}')::json,
        NULL, 1, row_number() OVER () FROM variant v JOIN (VALUES (%(callset)s, true), (%(clinical)s, false)) l (load_id, callset)
        ON CASE WHEN l.callset THEN {_CALLSET} ELSE {_CLINICAL} END""",
    "rsid": f"""SELECT {_RS}, v.variant_key, l.load_id FROM variant v JOIN (VALUES (%(callset)s, true), (%(clinical)s, false)) l (load_id, callset)
        ON CASE WHEN l.callset THEN {_CALLSET} ELSE {_CLINICAL} END WHERE {_draw(3)} < 0.8""",
    "population_frequency": f"""SELECT v.variant_key, %(callset)s, ARRAY[round({_AF} * 5008)::int, NULL, NULL], ARRAY[5008, NULL, NULL],
        ARRAY[{_AF}, round(({_AF} * {_draw(7)})::numeric, 4), round(({_AF} * {_draw(8)})::numeric, 4)]::float8[], NULL, NULL, NULL, NULL
        FROM variant v WHERE {_CALLSET}""",
    "transcript_consequence": f"""SELECT v.variant_key, %(callset)s, n, 'VEP', severity, impact, terms, CASE WHEN {_IN_GENE} THEN {_GENE} END,
        CASE WHEN {_IN_GENE} THEN 'G' || v.chrom * 100000 + v.pos / {_GENE_SPACING} END,
        transcript || '.1', transcript, 'protein_coding', n = 0,
        NULL, CASE WHEN impact <= 3 THEN 'ENST' || v.chrom || '.1:c.' || v.pos || 'A>C' END, CASE WHEN impact <= 2 THEN 'ENSP' || v.chrom || '.1:p.A' || v.pos || 'C' END,
        '3/9', NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM variant v CROSS JOIN generate_series(0, 1) n CROSS JOIN LATERAL (SELECT {_draw(20, "v.variant_key + n")} AS x) r
        CROSS JOIN LATERAL (SELECT 'ENST' || lpad((v.chrom * 1000000 + v.pos / {_GENE_SPACING} * 2 + n)::text, 11, '0') AS transcript) t
        CROSS JOIN LATERAL (SELECT CASE WHEN x < 0.006 THEN 1 WHEN x < 0.056 THEN 2 WHEN x < 0.156 THEN 3 ELSE 4 END AS impact) i
        CROSS JOIN LATERAL (SELECT (ARRAY[3, 11, 18, 32])[impact] AS severity,
            ARRAY[(ARRAY['stop_gained', 'missense_variant', 'synonymous_variant', 'intron_variant'])[impact]] AS terms) c
        WHERE {_CALLSET} AND {_draw(9)} < 0.214""",
    "clinical_significance": f"""SELECT v.variant_key, %(clinical)s, 0, 'GERMLINE', ARRAY[class], initcap(replace(class, '_', ' ')), (v.pos)::text,
        NULL, 'criteria provided, single submitter', 1, '{{not provided}}', NULL, NULL, NULL, NULL, NULL
        FROM variant v CROSS JOIN LATERAL (SELECT (ARRAY['PATHOGENIC', 'LIKELY_PATHOGENIC', 'UNCERTAIN_SIGNIFICANCE', 'LIKELY_BENIGN', 'BENIGN'])
            [1 + floor(5 * {_draw(11)})] AS class) c WHERE {_CLINICAL} AND {_draw(12)} < 0.02""",
    # Carriers of a rare variant stand at equal distances; for a common one half of all bits are set.
    "genotype": f"""SELECT v.variant_key, %(callset)s, 1, CASE WHEN c > {_LONGEST} THEN substring(decode(repeat(md5(v.variant_key::text), 40), 'hex') FOR {SAMPLES // 4}) END,
        CASE WHEN c <= {_LONGEST} THEN slots[:c] END, NULL, CASE WHEN {_draw(15)} < 0.05 THEN decode(lpad('01', {SAMPLES // 2}, '0'), 'hex') END,
        NULL, NULL, NULL, NULL FROM variant v CROSS JOIN LATERAL (SELECT round({_AF} * {2 * SAMPLES})::int AS c) a
        JOIN (SELECT n, ARRAY(SELECT generate_series(n, {2 * SAMPLES - 1}, {_STRIDE})) AS slots FROM generate_series(0, {_STRIDE - 1}) n) s
        ON n = floor({_STRIDE} * {_draw(16)}) WHERE {_CALLSET}""",
    # Of the first samples only: what decides over plans is how many rows there are.
    "genotype_format": f"""SELECT v.variant_key, %(callset)s, '{{30,31,32,33}}', '{{60,70,80,90}}', NULL, NULL FROM variant v
        WHERE {_CALLSET} AND {_draw(17)} < 0.3""",
    # With the callsets that were there before, which nobody sees any more.
    "callset_sample": f"""SELECT l, n - 1, n FROM generate_series(1, {SAMPLES}) n, unnest(%(callset)s || ARRAY(SELECT generate_series(1001, 1020))) l""",
    "sample_info": """SELECT n, %(panel)s, 'F' || n / 4, CASE WHEN mod(n, 2) = 0 THEN 'FEMALE' ELSE 'MALE' END, 'P' || mod(n, 26),
        CASE WHEN mod(n, 4) = 3 THEN n - 2 END, CASE WHEN mod(n, 4) = 3 THEN n - 1 END, NULL FROM generate_series(1, %(people)s) n""",
    "population": """SELECT 'P' || n, %(panel)s, 'S' || mod(n, 5), NULL FROM generate_series(0, 25) n
        UNION ALL SELECT 'S' || n, %(panel)s, NULL, NULL FROM generate_series(0, 4) n""",
    "ibd_run": """VALUES (%(ibd)s, 'hap-ibd', NULL, 'people', true, 'callset', '1', NULL, 3500)""",
    "hbd_segment": f"""SELECT s, %(ibd)s, 0, n, chrom, start, start + 1000000 + mod(n * 7919, 4000000), 1 + mod(n, 40) / 10.0, NULL, NULL
        FROM generate_series(1, {SAMPLES}) s, generate_series(1, 25) n, LATERAL (SELECT 1 + mod(s * 31 + n, {LAST_AUTOSOME}) AS chrom,
        1000000 + mod(s * 7907 + n * 104729, 30000000) AS start) p""",
    "ancestry_run": """VALUES (%(ancestry)s, 'people', '{10,5,2,1}'::real[])""",
    # With the analyses that were there before, too.
    "ancestry": f"""SELECT s, l, ARRAY[{", ".join(_draw(seed, "s") for seed in range(24, 28))}]::real[]
        FROM generate_series(1, {SAMPLES}) s, unnest(%(ancestry)s || ARRAY(SELECT generate_series(1001, 1020))) l""",
    "v2f_run": """VALUES (%(v2f)s, 'abc', NULL, 0.027, false)""",
    # Some two dozen elements of 500 bases for each gene; scores of positions, and of variants for a gene.
    "v2f_element": f"""SELECT %(v2f)s, 0, row_number() OVER (), g.chrom, 9, p.start, p.start + 499, NULL, 'intergenic', g.gene_id, g.symbol, 'C' || mod(n, 7), NULL,
        {_draw(28, "g.start_pos + n")}, n * 1000, n = 0, NULL FROM gene g, generate_series(0, 24) n, LATERAL (SELECT greatest(1, g.start_pos - 500000 + n * 40000) AS start) p""",
    "v2f_score": f"""SELECT locus, %(v2f)s, 0, row_number() OVER (), 0, named, CASE WHEN NOT named THEN {_RS} END, {_draw(29)}, NULL, NULL,
        CASE WHEN named THEN 'G' || v.chrom * 100000 + v.pos / {_GENE_SPACING} END, CASE WHEN named THEN 'C1' END, NULL, NULL, NULL, NULL
        FROM (SELECT DISTINCT ON (chrom, pos) * FROM variant) v CROSS JOIN LATERAL (SELECT {_draw(30)} < 0.2 AS named) n
        CROSS JOIN LATERAL (SELECT CASE WHEN named THEN v.variant_key ELSE locus_key(v.chrom, v.pos) END AS locus) l WHERE {_draw(31)} < 0.3""",
    "enformer_run": """VALUES (%(enformer)s, 'SAD', 0.1, 'ALL', 5313, 0, '{LIVER:CAGE,BRAIN:CAGE}'::text[], false)""",
    "enformer_track": """SELECT %(enformer)s, n, 'T' || n, (ARRAY['CAGE', 'DNASE', 'CHIP'])[1 + mod(n, 3)], 'CHIP:liver', (ARRAY['LIVER', 'BRAIN', NULL])[1 + mod(n, 3)]
        FROM generate_series(0, 5312) n""",
    # Without the effects on all tracks, which lie apart from their rows.
    "enformer_effect": f"""SELECT v.variant_key, %(enformer)s, 0, row_number() OVER (), false, NULL, {_draw(32)} - 0.5, floor(5313 * {_draw(33)}), floor(5313 * {_draw(34)}),
        ARRAY[{_draw(35)} - 0.5, {_draw(36)} - 0.5]::real[], ARRAY[3, 4]::smallint[], NULL, NULL, NULL, NULL FROM variant v WHERE {_draw(37)} < 0.2""",
    "metacell_run": """VALUES (%(metacells)s, 'CELLS', 'raw.X', 'COUNTS', 20000, '{T0,T1,T2,T3,T4}'::text[], 'X_pca', 'X_umap', 100000, 'X')""",
    "metacell": f"""SELECT %(metacells)s, n, 'SEACell-' || n, 'T' || mod(n, 5), 1, 'blood', NULL, 50, {_draw(38, "n")}, {_draw(39, "n")},
        ARRAY[{_draw(40, "n")}, {_draw(41, "n")}]::vector, ARRAY(SELECT symbol FROM gene ORDER BY gene_id LIMIT 100) FROM generate_series(0, {_METACELLS - 1}) n""",
    "metacell_expression": f"""SELECT g.symbol, %(metacells)s, g.gene_id, 0.5, m.values[:5], m.values, m.values, m.values FROM gene g
        CROSS JOIN LATERAL (SELECT array_agg(3 * {_draw(42, "g.start_pos + n")} ORDER BY n)::real[] AS values FROM generate_series(1, {_METACELLS}) n) m""",
    "metacell_peak": f"""SELECT %(metacells)s, row_number() OVER () - 1, c.chrom, 9, start, start + 499, array_fill(0.5::real, ARRAY[{_METACELLS}]), NULL
        FROM unnest(%(lengths)s::int[]) WITH ORDINALITY c (length, chrom), generate_series(1, length - 1000, 31000) start""",
    "variant_cluster_run": """VALUES (%(clusters)s, 'synthetic', 50, 50, 200000, 100000, 40)""",
    "variant_cluster": """SELECT %(clusters)s, n, 2500, (SELECT min(variant_key) FROM variant), 0.9 FROM generate_series(1, 40) n""",
    "variant_cluster_member": f"""SELECT v.variant_key, %(clusters)s, c.ordinal, row_number() OVER (PARTITION BY c.ordinal ORDER BY v.variant_key), {_draw(48)}
        FROM variant v CROSS JOIN LATERAL (SELECT 1 + floor(40 * {_draw(47)})::int AS ordinal) c WHERE {_draw(49)} < 0.05""",
    "gene_alias": "SELECT 'A' || symbol, gene_id, load_id FROM gene",
    "variant_score": f"SELECT v.variant_key, %(scores)s, 0, 40 * {_draw(13)}, NULL FROM variant v WHERE {_draw(14)} < 0.5",
    "gene": f"""SELECT {_GENE}, %(genes)s, '1', 'G' || v.chrom * 100000 + v.pos / {_GENE_SPACING}, v.chrom, v.pos,
        v.pos + 5000 + (140000 * {_draw(10, "v.chrom * 100000 + v.pos / " + str(_GENE_SPACING))})::int,
        CASE WHEN mod(v.pos / {_GENE_SPACING}, 2) = 0 THEN 1 ELSE -1 END, CASE WHEN mod(v.pos / {_GENE_SPACING}, 3) = 0 THEN 'lncRNA' ELSE 'protein_coding' END,
        NULL FROM unnest(%(lengths)s::int[]) WITH ORDINALITY c (length, chrom), generate_series(1, length - 150000, {_GENE_SPACING}) pos,
        LATERAL (SELECT c.chrom::smallint AS chrom, pos) v""",
    "transcript": """SELECT 'ENST' || lpad((substr(gene_id, 5)::bigint / 100000 * 1000000 + mod(substr(gene_id, 5)::bigint, 100000) * 2 + n)::text, 11, '0'), load_id, '1',
        gene_id, symbol || '-20' || n + 1, chrom, start_pos, end_pos, strand, biotype, NULL, NULL, ARRAY[start_pos, end_pos - 500],
        ARRAY[start_pos + 500, end_pos], n = 0, NULL, NULL FROM gene CROSS JOIN generate_series(0, 1) n""",
}
"""How each table follows from the variants: SELECTs with its columns in order. The largest stand first, so that two threads end at about one time."""


def fill(url: str, variants: int) -> None:
    """Makes so many variants (at most a few ten million) with all that is said of them, publishes, vacuums and analyses."""
    with psycopg.connect(url, autocommit=True) as conn:
        initialise(conn, GRCH37)
        loads = {
            name: begin(conn, dataset=name, kind=kind, version="1", files=[], options={"cohort": "people"} if name in _OF_PEOPLE else {})
            for name, kind in (
                ("callset", "variants"),
                ("clinical", "variants"),
                ("genes", "genes"),
                ("scores", "scores"),
                ("panel", "samples"),
                ("ibd", "ibd"),
                ("ancestry", "ancestry"),
                ("v2f", "v2f"),
                ("enformer", "enformer"),
                ("metacells", "metacells"),
                ("clusters", "clusters"),
            )
        }
        values = {name: load.load_id for name, load in loads.items()} | {
            "lengths": list(GRCH37.lengths),
            "people": max(SAMPLES, variants // 10),
            "segments": variants // 4,
        }
        conn.execute(
            "INSERT INTO frequency_population SELECT %(callset)s, n, (ARRAY['ALL', 'EUR', 'AFR'])[n] FROM generate_series(1, 3) n", values
        )
        conn.execute("INSERT INTO score VALUES (%(scores)s, 0, 'CADD_PHRED', 'Synthetic.')", values)
        conn.execute(
            "INSERT INTO sample (cohort, name) SELECT 'people', 'S' || lpad(n::text, 6, '0') FROM generate_series(1, %(people)s) n", values
        )
        _variants(conn, variants)
        conn.execute("ANALYZE variant, sample")
        counts = dict(_write(url, table, values) for table in ("gene", "genotype"))
        with ThreadPoolExecutor(2) as pool:
            counts |= dict(pool.map(lambda table: _write(url, table, values), [t for t in _TABLES if t not in counts]))
        loads["callset"].counts |= {table: counts[table] for table in ("variant_record", "genotype", "genotype_format")} | {
            "callset_sample": SAMPLES
        }
        for load in loads.values():
            load.finish()
        _embed(conn)
        conn.execute("VACUUM")  # last, as no other transaction runs now that could still need what was there before
        conn.execute(
            "ANALYZE load, dataset, release, score, frequency_population, population, ibd_run, ancestry_run, v2f_run, enformer_run, metacell_run, variant_cluster_run"
        )


def _embed(conn: psycopg.Connection) -> None:
    """Registers a model, by the number 1, and gives a tenth of the variants vectors of it, indexed."""
    wanted = embedding.Model("synthetic", "1", None, _DIMENSION, None, None, None, None, ["sequence"])
    model = embedding.register(conn, wanted)
    numbers = ", ".join(f"{_draw(50 + n)} - 0.5" for n in range(_DIMENSION))
    conn.execute(
        f"""INSERT INTO {model.table} SELECT v.variant_key, l2_normalize(ARRAY[{numbers}]::real[]::halfvec({_DIMENSION})), 1, NULL FROM variant v
        WHERE {_draw(49)} < 0.1"""
    )
    conn.execute(f"ANALYZE {model.table}, embedding_model")
    build_index(conn, model, "256MB")


def _variants(conn: psycopg.Connection, variants: int) -> None:
    """The rows of `variant`: 95 % one base for another, the others insertions and deletions of one to four bases."""
    bases = np.array(list("ACGT"))
    random = np.random.default_rng(0)
    for chrom in CHROMOSOMES:
        count = min(variants, GRCH37.length(chrom) // SPACING)
        variants -= count
        for start in range(0, count, _BATCH):
            number = np.arange(start, min(start + _BATCH, count))
            pos = number * SPACING + 1 + random.integers(0, SPACING, len(number))
            first = random.integers(0, 4, len(number))
            ref, alt = bases[first].tolist(), bases[(first + random.integers(1, 4, len(number))) % 4].tolist()
            for i in np.flatnonzero(random.random(len(number)) < 0.05).tolist():
                tail = "".join(bases[random.integers(0, 4, random.integers(1, 5))])
                ref[i], alt[i] = (ref[i], ref[i] + tail) if random.random() < 0.5 else (ref[i] + tail, ref[i])
            code = np.full(len(number), chrom, np.int16)
            columns = [encode(code, pos, ref, alt), code, pa.array(pos, pa.int32()), ref, alt]
            copy_rows(conn, "variant", pa.record_batch([pa.array(c) for c in columns], names=["variant_key", "chrom", "pos", "ref", "alt"]))


def _write(url: str, table: str, values: dict) -> tuple[str, int]:
    """Fills one table in a connection of its own."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SET synchronize_seqscans = off")  # two at once would each begin where the other one is, and rows lie in no order
        columns = ", ".join(
            row[0]
            for row in conn.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attgenerated = '' ORDER BY attnum",
                (table,),
            )
        )
        rows = conn.execute(f"INSERT INTO {table} ({columns}) {_TABLES[table]}", values).rowcount
        conn.execute(f"ANALYZE {table}")
        return table, rows
