-- name: ibd_runs
-- The visible runs. $1 loads.
SELECT t.load_id, d.name, t.source, t.cohort, t.phased, t.surveyed_cm, callset_of_run(t.load_id, $1::int[]) AS callset_id,
run_of_pairs(t.cohort, ARRAY[t.load_id]) IS NOT NULL AS of_pairs
FROM ibd_run t JOIN load l USING (load_id) JOIN dataset d USING (dataset_id) WHERE t.load_id = ANY($1::int[]) ORDER BY t.load_id;

-- name: ancestry_runs
-- The visible analyses of ancestry. $1 loads.
SELECT t.load_id, d.name, t.cohort FROM ancestry_run t JOIN load l USING (load_id) JOIN dataset d USING (dataset_id)
WHERE t.load_id = ANY($1::int[]) ORDER BY t.load_id;

-- name: pair_sharing
-- What pairs share in runs, segments of at least some length. Lengths are unions: where segments overlap, bases count once; in two, where both
-- haplotypes of each are shared: segments of type 2, and the overlaps of segments that join the one and the other haplotypes. That is NULL where
-- some segment says neither its type nor its haplotypes; and never more than the total, where segments differ in cM per base.
-- $1 and $2 samples, $3 runs, $4 least cM, $5 last autosome. Individual-level.
WITH segment AS (SELECT p.n, t.* FROM unnest($1::int[], $2::int[], $3::int[]) WITH ORDINALITY AS p (sample1, sample2, run, n)
    CROSS JOIN LATERAL (SELECT s.chrom, s.start_pos, s.end_pos, s.length_cm, s.haplotype, s.other_haplotype, s.ibd_type, s.file, s.line FROM ibd_segment s
    WHERE s.sample_id = p.sample1 AND s.other_id = p.sample2 AND s.load_id = p.run AND s.length_cm >= $4 OFFSET 0) t),
double AS (SELECT n, chrom, start_pos, end_pos, length_cm, file, line FROM segment WHERE ibd_type = 2
    UNION ALL SELECT a.n, a.chrom, b.start_pos, least(a.end_pos, b.end_pos), a.length_cm * (least(a.end_pos, b.end_pos) - b.start_pos + 1)
        / (a.end_pos - a.start_pos + 1), a.file, a.line
    FROM segment a JOIN segment b ON b.n = a.n AND b.chrom = a.chrom AND (a.start_pos, a.file, a.line) < (b.start_pos, b.file, b.line)
        AND a.end_pos >= b.start_pos AND a.haplotype <> b.haplotype AND a.other_haplotype <> b.other_haplotype),
measured AS (SELECT n, chrom, new_cm(length_cm, start_pos, end_pos, max(end_pos) OVER earlier) AS cm, 0 AS cm2 FROM segment
        WINDOW earlier AS (PARTITION BY n, chrom ORDER BY start_pos, end_pos DESC, file, line ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    UNION ALL SELECT n, chrom, 0, new_cm(length_cm, start_pos, end_pos, max(end_pos) OVER earlier) FROM double
        WINDOW earlier AS (PARTITION BY n, chrom ORDER BY start_pos, end_pos DESC, file, line ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING))
SELECT m.n, m.total_cm, CASE WHEN s.typed THEN coalesce(least(m.ibd2_cm, m.total_cm), 0) END AS ibd2_cm, m.x_cm, s.segment_count, s.longest_cm
FROM (SELECT n, round((sum(cm) FILTER (WHERE chrom <= $5))::numeric, 6)::float8 AS total_cm,
    round((sum(cm2) FILTER (WHERE chrom <= $5))::numeric, 6)::float8 AS ibd2_cm, round((sum(cm) FILTER (WHERE chrom > $5))::numeric, 6)::float8 AS x_cm
    FROM measured GROUP BY n) m JOIN (SELECT n, count(*)::int AS segment_count, max(length_cm) AS longest_cm,
    bool_and(ibd_type IS NOT NULL OR haplotype IS NOT NULL AND other_haplotype IS NOT NULL) AS typed FROM segment GROUP BY n) s USING (n);

-- name: searched
-- Whom runs searched, of these: whom they name, and who is in the callset in which they found their segments. $1 runs, $2 samples, $3 loads.
-- Individual-level.
SELECT i.load_id AS run, i.sample_id FROM sample_info i WHERE i.load_id = ANY($1::int[]) AND i.sample_id = ANY($2::int[])
UNION SELECT r.run, c.sample_id FROM (SELECT u AS run, callset_of_run(u, $3::int[]) AS callset FROM unnest($1::int[]) u OFFSET 0) r
JOIN callset_sample c ON c.load_id = r.callset WHERE c.sample_id = ANY($2::int[]);

-- name: people_of_callset
-- The samples of a callset in the order of its genotypes, and whether each is of some populations (or within them); NULL for all. $1 load,
-- $2 populations or NULL, $3 loads. Individual-level.
SELECT c.ordinal, c.sample_id, $2::text[] IS NULL OR coalesce((SELECT i.population FROM sample_info i
WHERE i.sample_id = c.sample_id AND i.load_id = ANY($3::int[]) AND i.population IS NOT NULL ORDER BY i.load_id DESC LIMIT 1)
= ANY (ARRAY(SELECT unnest(populations_within($2::text[], $3::int[])))), false) AS counts FROM callset_sample c WHERE c.load_id = $1 ORDER BY c.ordinal;

-- name: callset_cohorts
-- The visible callsets and the cohort of each. $1 loads.
SELECT load_id, options ->> 'cohort' AS cohort FROM load
WHERE load_id = ANY($1::int[]) AND (counts ->> 'callset_sample')::bigint > 0 ORDER BY load_id;
