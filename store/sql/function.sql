-- name: enformer_vectors
-- What is kept of the tracks of effects: all, in the binary form of halfvec, or the strongest. $1 variant keys and $2 loads of each effect, $3 visible loads.
SELECT t.variant_key, t.load_id, halfvec_send(t.tracks) AS tracks, t.kept_effects, t.kept_tracks
FROM (SELECT k.variant_key, k.load_id FROM unnest($1::bigint[], $2::int[]) k (variant_key, load_id) OFFSET 0) k
CROSS JOIN LATERAL (SELECT e.* FROM enformer_effect e WHERE e.variant_key = k.variant_key AND e.load_id = k.load_id AND e.load_id = ANY($3::int[]) OFFSET 0) t;

-- name: enformer_ordinals
-- The ordinals of the tracks of some assays and tissues, by load. $1 loads, $2 assays and $3 tissues or NULL for all, $4 visible loads.
SELECT t.load_id, array_agg(t.ordinal ORDER BY t.ordinal) AS ordinals FROM enformer_track t
WHERE t.load_id = ANY($1::int[]) AND t.load_id = ANY($4::int[]) AND ($2::text[] IS NULL
OR CASE WHEN t.assay IN ('CAGE', 'DNASE', 'ATAC', 'CHIP') THEN t.assay ELSE 'OTHER' END = ANY($2::text[]))
AND ($3::text[] IS NULL OR t.tissue = ANY($3::text[])) GROUP BY t.load_id;

-- name: cell_types
-- The cell types of visible metacells. $1 loads.
SELECT DISTINCT unnest(r.cell_types) AS name FROM metacell_run r WHERE r.load_id = ANY($1::int[]) ORDER BY 1;
