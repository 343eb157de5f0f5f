-- name: cluster_models
-- The models of which there are visible clusters. $1 loads.
SELECT DISTINCT r.model AS name FROM variant_cluster_run r WHERE r.load_id = ANY($1::int[]) ORDER BY 1;

-- name: cluster_consequences
-- Terms of the most severe consequence of each visible member of clusters, with how many members have them, most first. $1 clusters, $2 loads, $3 terms of each at most.
SELECT k.cluster_id, f.term, f.count FROM variant_cluster k CROSS JOIN LATERAL (SELECT s.term, count(*) AS count
    FROM (SELECT m.variant_key FROM variant_cluster_member m WHERE m.load_id = k.load_id AND m.ordinal = k.ordinal OFFSET 0) m
    CROSS JOIN LATERAL (SELECT c.terms FROM transcript_consequence c WHERE c.variant_key = m.variant_key AND c.load_id = ANY($2::int[])
        ORDER BY c.severity, c.load_id DESC, c.ordinal LIMIT 1) c
    CROSS JOIN LATERAL (SELECT DISTINCT unnest(c.terms) AS term) s
    WHERE EXISTS (SELECT FROM variant_record r WHERE r.variant_key = m.variant_key AND r.load_id = ANY($2::int[]) OFFSET 0)
    GROUP BY s.term ORDER BY count(*) DESC, s.term LIMIT $3) f
WHERE k.cluster_id = ANY($1::bigint[]) AND k.load_id = ANY($2::int[]) ORDER BY k.cluster_id, f.count DESC, f.term;

-- name: cluster_classes
-- Clinical classes (germline) of the visible members of clusters, with how many members have them, most first. $1 clusters, $2 loads.
SELECT k.cluster_id, f.class, f.count FROM variant_cluster k CROSS JOIN LATERAL (SELECT s.class, count(*) AS count
    FROM (SELECT m.variant_key FROM variant_cluster_member m WHERE m.load_id = k.load_id AND m.ordinal = k.ordinal OFFSET 0) m
    CROSS JOIN LATERAL (SELECT DISTINCT unnest(c.classes) AS class FROM clinical_significance c
        WHERE c.variant_key = m.variant_key AND c.load_id = ANY($2::int[]) AND c.aspect = 'GERMLINE' OFFSET 0) s
    WHERE EXISTS (SELECT FROM variant_record r WHERE r.variant_key = m.variant_key AND r.load_id = ANY($2::int[]) OFFSET 0)
    GROUP BY s.class) f
WHERE k.cluster_id = ANY($1::bigint[]) AND k.load_id = ANY($2::int[]) ORDER BY k.cluster_id, f.count DESC, f.class;
