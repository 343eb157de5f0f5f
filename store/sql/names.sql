-- name: variants_by_rsid
-- Visible variants that carry an rsID. $1 rsIDs, $2 loads.
SELECT DISTINCT rsid, variant_key FROM rsid WHERE rsid = ANY($1::bigint[]) AND load_id = ANY($2::int[]) ORDER BY rsid, variant_key;

-- name: variants_by_position
-- Visible variants at loci, at most a thousand for each. $1 and $2: lowest key, and the key after the highest, of each locus; $3 loads.
SELECT p.lo, v.variant_key FROM unnest($1::bigint[], $2::bigint[]) AS p(lo, hi) CROSS JOIN LATERAL (SELECT t.variant_key FROM variant t
WHERE t.variant_key >= p.lo AND t.variant_key < p.hi AND EXISTS (SELECT FROM variant_record r WHERE r.variant_key = t.variant_key
AND r.load_id = ANY($3::int[]) OFFSET 0) ORDER BY t.variant_key LIMIT 1000) v ORDER BY v.variant_key;

-- name: variants_by_hgvsc
-- Visible variants whose annotation has an HGVS name on a transcript, as written. $1 names, $2 loads.
SELECT DISTINCT hgvsc, variant_key FROM transcript_consequence WHERE hgvsc = ANY($1::text[]) AND load_id = ANY($2::int[]) ORDER BY 1, 2;

-- name: variants_by_hgvsp
-- Visible variants whose annotation has an HGVS name on a protein, as written. $1 names, $2 loads.
SELECT DISTINCT hgvsp, variant_key FROM transcript_consequence WHERE hgvsp = ANY($1::text[]) AND load_id = ANY($2::int[]) ORDER BY 1, 2;

-- name: genes_by_name
-- Visible genes with these identifiers, symbols or aliases, the latest load first; which of the names are its aliases. $1 names in upper case, $2 loads.
SELECT g.gene_id, upper(g.symbol) AS symbol, g.chrom, g.start_pos, g.end_pos,
ARRAY(SELECT a.alias FROM gene_alias a WHERE a.gene_id = g.gene_id AND a.alias = ANY($1::text[]) AND a.load_id = ANY($2::int[])) AS aliases
FROM gene g WHERE (g.gene_id = ANY($1::text[]) OR upper(g.symbol) = ANY($1::text[])
OR g.gene_id = ANY(ARRAY(SELECT a.gene_id FROM gene_alias a WHERE a.alias = ANY($1::text[]) AND a.load_id = ANY($2::int[]))))
AND g.load_id = ANY($2::int[]) ORDER BY g.load_id DESC, g.gene_id;

-- name: names_of_genes
-- All names of genes in visible annotations, in upper case: identifiers, symbols, aliases. $1 genes, $2 loads.
SELECT upper(unnest(ARRAY[g.gene_id, g.symbol])) AS name FROM gene g WHERE g.gene_id = ANY($1::text[]) AND g.load_id = ANY($2::int[])
UNION SELECT a.alias FROM gene_alias a WHERE a.gene_id = ANY($1::text[]) AND a.load_id = ANY($2::int[]);

-- name: search_rsids
-- rsIDs that begin with the typed digits, as ranges of numbers. $1 and $2 bounds of the ranges, $3 loads, $4 limit.
SELECT i.rsid, i.variant_key FROM unnest($1::bigint[], $2::bigint[]) AS p(lo, hi) CROSS JOIN LATERAL (SELECT DISTINCT t.rsid, t.variant_key
FROM rsid t WHERE t.rsid >= p.lo AND t.rsid < p.hi AND t.load_id = ANY($3::int[]) ORDER BY t.rsid, t.variant_key LIMIT $4) i ORDER BY 1, 2 LIMIT $4;

-- name: search_genes
-- Visible genes whose symbol begins with the typed letters, shortest first. $1 and $2 bounds of the symbol in upper case, $3 loads, $4 limit.
SELECT gene_id FROM gene WHERE upper(symbol) ~>=~ $1 AND upper(symbol) ~<~ $2 AND load_id = ANY($3::int[])
GROUP BY gene_id ORDER BY min(length(symbol)), min(upper(symbol)), gene_id LIMIT $4;

-- name: store_counts
-- What the visible loads hold, from the ledger. $1 loads.
SELECT coalesce(sum((counts ->> 'variant_record')::bigint), 0) AS records, coalesce(sum((counts ->> 'callset_sample')::bigint), 0) AS samples,
coalesce(sum((counts ->> 'gene')::bigint), 0) AS genes, coalesce(sum((counts ->> 'transcript')::bigint), 0) AS transcripts, coalesce(sum((counts ->> 'transcript_consequence')::bigint), 0) AS consequences,
coalesce(sum((counts ->> 'clinical_significance')::bigint), 0) AS clinical, coalesce(sum((counts ->> 'variant_score')::bigint), 0) AS scores,
coalesce(sum((counts ->> 'ibd_segment')::bigint), 0) AS ibd_segments, coalesce(sum((counts ->> 'hbd_segment')::bigint), 0) AS hbd_segments,
coalesce(sum((counts ->> 'v2f_score')::bigint), 0) AS v2f_scores, coalesce(sum((counts ->> 'v2f_element')::bigint), 0) AS v2f_links,
coalesce(sum((counts ->> 'enformer_effect')::bigint), 0) AS enformer_effects, coalesce(sum((counts ->> 'metacell')::bigint), 0) AS metacells
FROM load WHERE load_id = ANY($1::int[]);

-- name: visible_variants
-- Which of these keys are visible variants. $1 keys, $2 loads.
SELECT v.variant_key FROM variant v WHERE v.variant_key = ANY($1::bigint[])
AND EXISTS (SELECT FROM variant_record r WHERE r.variant_key = v.variant_key AND r.load_id = ANY($2::int[]) OFFSET 0);

-- name: score_names
-- Names of the scores of the visible loads. $1 loads.
SELECT DISTINCT name FROM score WHERE load_id = ANY($1::int[]) ORDER BY 1;

-- name: population_names
-- Names of the populations with frequencies in the visible loads, but for those that are withheld. $1 loads, $2 loads of which they are.
SELECT DISTINCT population FROM frequency_population
WHERE load_id = ANY($1::int[]) AND (callset_load IS NULL OR callset_load = ANY($1::int[]))
AND NOT (counted AND population <> 'ALL' AND load_id = ANY($2::int[])) ORDER BY 1;

-- name: sample_populations
-- Names of the populations that visible samples can be of. $1 loads.
SELECT DISTINCT name FROM population WHERE load_id = ANY($1::int[]) ORDER BY 1;

-- name: metacell_tissues
-- Names of the tissues that visible metacells are of. $1 loads.
SELECT DISTINCT tissue AS name FROM metacell WHERE load_id = ANY($1::int[]) AND tissue IS NOT NULL ORDER BY 1;

-- name: metacell_conditions
-- Names of the conditions that visible metacells are of. $1 loads.
SELECT DISTINCT condition AS name FROM metacell WHERE load_id = ANY($1::int[]) AND condition IS NOT NULL ORDER BY 1;

-- name: dataset_names
-- Names of the datasets of the visible loads. $1 loads.
SELECT DISTINCT d.name FROM load l JOIN dataset d USING (dataset_id) WHERE l.load_id = ANY($1::int[]) ORDER BY 1;

-- name: callset_names
-- Names of the visible callsets. $1 loads.
SELECT DISTINCT d.name FROM load l JOIN dataset d USING (dataset_id)
WHERE l.load_id = ANY($1::int[]) AND (l.counts ->> 'callset_sample')::bigint > 0 ORDER BY 1;

-- name: cohort_names
-- Names of the cohorts of the visible callsets and files of samples. $1 loads.
SELECT DISTINCT options ->> 'cohort' AS cohort FROM load WHERE load_id = ANY($1::int[]) AND options ->> 'cohort' IS NOT NULL ORDER BY 1;

-- name: formats_kept
-- Whether a visible callset keeps DP, GQ or AD. $1 loads.
SELECT coalesce(bool_or((counts ->> 'genotype_format')::bigint > 0), false) AS kept FROM load WHERE load_id = ANY($1::int[]);

-- name: samples_by_name
-- Visible samples with these names. $1 names, $2 loads. Individual-level.
SELECT s.sample_id, s.cohort, s.name FROM sample s WHERE s.name = ANY($1::text[])
AND (EXISTS (SELECT FROM callset_sample c WHERE c.sample_id = s.sample_id AND c.load_id = ANY($2::int[]) OFFSET 0)
OR EXISTS (SELECT FROM sample_info i WHERE i.sample_id = s.sample_id AND i.load_id = ANY($2::int[]) OFFSET 0)) ORDER BY s.cohort, s.name;

-- name: search_samples
-- Visible samples whose name begins with the typed letters. $1 and $2 bounds of the name in upper case, $3 loads, $4 limit. Individual-level.
SELECT s.sample_id FROM sample s WHERE s.folded ~>=~ $1 AND s.folded ~<~ $2
AND (EXISTS (SELECT FROM callset_sample c WHERE c.sample_id = s.sample_id AND c.load_id = ANY($3::int[]) OFFSET 0)
OR EXISTS (SELECT FROM sample_info i WHERE i.sample_id = s.sample_id AND i.load_id = ANY($3::int[]) OFFSET 0))
ORDER BY length(s.name), s.name, s.cohort LIMIT $4;

-- name: callsets_with
-- Visible callsets that have all of these samples. $1 samples, $2 loads. Individual-level.
SELECT l.load_id, d.name AS dataset FROM load l JOIN dataset d USING (dataset_id) WHERE l.load_id = ANY($2::int[])
AND (l.counts ->> 'callset_sample')::bigint > 0
AND (SELECT count(*) FROM callset_sample c WHERE c.load_id = l.load_id AND c.sample_id = ANY($1::int[])) = cardinality($1::int[]) ORDER BY 1;

-- name: samples_of_callset
-- The samples of a callset in the order of its genotypes. $1 load. Individual-level.
SELECT c.ordinal, c.sample_id, s.name FROM callset_sample c JOIN sample s USING (sample_id) WHERE c.load_id = $1 ORDER BY c.ordinal;
