"""What the store of bench/peers.py has besides that of bench/context.py: so much of everything that nested questions have long answers.

Three scores for each variant, for genes there, by a method without a threshold; predicted effects of each variant; and 20,000 segments more that people share
over the stretch that has variants, in the run that is there, so that a person shares a handful over each.
"""

from __future__ import annotations

import psycopg

from bench.context import add_function
from bench.synthetic import _GENE_SPACING, SAMPLES, _draw
from store.load import begin

SCORES = 3
SEGMENTS = 20_000
_LONGEST = 5_000_000

_LINKS = f"""INSERT INTO v2f_score (locus, load_id, file, line, part, by_allele, score, gene, cell_type)
    SELECT v.variant_key, %(load)s, 0, row_number() OVER (), 0, true, {_draw(60, "v.variant_key + n")}, g.symbol, 'C' || n
    FROM variant v CROSS JOIN generate_series(0, {SCORES - 1}) n
    CROSS JOIN LATERAL (SELECT 'G' || v.chrom * 100000 + v.pos / {_GENE_SPACING} + n AS symbol) g"""

_EFFECTS = f"""INSERT INTO enformer_effect (variant_key, load_id, file, line, swapped, strongest, strongest_track, over_threshold, tissue_effects, tissue_tracks)
    SELECT v.variant_key, r.load_id, 1, row_number() OVER (), false, {_draw(61)} - 0.5, floor(5313 * {_draw(62)}), floor(5313 * {_draw(63)}),
        ARRAY[{_draw(64)} - 0.5, {_draw(65)} - 0.5]::real[], ARRAY[3, 4]::smallint[]
    FROM variant v CROSS JOIN enformer_run r ON CONFLICT DO NOTHING"""

_SHARED = f"""WITH s AS (SELECT n, 1 + floor({SAMPLES} * {_draw(66, "n")})::int AS one, 1 + floor(({SAMPLES} - 1) * {_draw(67, "n")})::int AS step,
        p.chrom, p.first, p.last, 1000000 + floor({_LONGEST} * power({_draw(68, "n")}, 2))::int AS bases
        FROM generate_series(1, {SEGMENTS}) n, (SELECT chrom, min(pos) AS first, max(pos) AS last FROM variant GROUP BY chrom ORDER BY chrom LIMIT 1) p),
    t AS MATERIALIZED (SELECT *, 1 + mod(one + step - 1, {SAMPLES}) AS other, 1 + floor(ln(bases) / ln(2))::int AS class,
        first + floor((last - first) * {_draw(69, "n")})::int AS start FROM s)
    INSERT INTO ibd_segment (sample_id, other_id, load_id, file, line, chrom, length_class, start_pos, end_pos, haplotype, other_haplotype, length_cm)
    SELECT u.one, u.other, r.load_id, 1, u.n, u.chrom, u.class, u.start, u.start + u.bases, 1 + mod(u.n, 2), 1 + mod(u.n / 2, 2), round(u.bases / 1e6, 3) FROM ibd_run r,
        (SELECT n, one, other, chrom, class, start, bases FROM t UNION ALL SELECT n, other, one, chrom, class, start, bases FROM t) u"""


def add_peers(url: str) -> None:
    """Adds all that, and what bench/context.py adds; once to a store that bench/synthetic.py filled."""
    add_function(url, 1_000)
    with psycopg.connect(url, autocommit=True) as conn:
        if conn.execute("SELECT 1 FROM dataset WHERE name = 'links'").fetchone():
            return
        load = begin(conn, dataset="links", kind="v2f", version="1", files=[], options={})
        values = {"load": load.load_id}
        conn.execute("INSERT INTO v2f_run VALUES (%(load)s, 'table', NULL, NULL, false)", values)
        for sql in (_LINKS, _EFFECTS, _SHARED):
            conn.execute(sql, values)
        load.finish()
        conn.execute("VACUUM (ANALYZE) v2f_score, v2f_run, enformer_effect, ibd_segment")
