-- What PostGraphile is given: an API schema of views over the store, with keys and relations as smart tags.
--
-- The store has no foreign keys (a load may name what no other load has), packs the genotypes of a variant into planes and expression into arrays by metacell,
-- and joins links to variants by place. Each of these is a view here, written so that a condition on the key of the parent reaches the tables' indexes.
-- There is one release, in which all loads are visible: unlike the API's statements, these do not ask which are, and no row-level security
-- holds for their owner.

DROP SCHEMA IF EXISTS peer CASCADE;
CREATE SCHEMA peer;

-- ---- variants, and what files say of them

CREATE VIEW peer.variant AS
SELECT variant_key, chrom, pos, ref, alt,
    (ARRAY['1','2','3','4','5','6','7','8','9','10','11','12','13','14','15','16','17','18','19','20','21','22','X','Y','MT'])[chrom]
        || '-' || pos || '-' || ref || '-' || alt AS name,
    CASE WHEN length(ref) = 1 AND length(alt) = 1 THEN 'SNV' WHEN length(ref) = length(alt) THEN 'MNV'
        WHEN length(ref) = 1 AND ref = left(alt, 1) THEN 'INSERTION' WHEN length(alt) = 1 AND alt = left(ref, 1) THEN 'DELETION' ELSE 'INDEL' END AS type
FROM public.variant;
COMMENT ON VIEW peer.variant IS '@primaryKey variant_key';

CREATE FUNCTION peer.variants_between(first_key bigint, last_key bigint) RETURNS SETOF peer.variant LANGUAGE sql STABLE AS
$$ SELECT * FROM peer.variant WHERE variant_key >= first_key AND variant_key < last_key ORDER BY variant_key $$;

CREATE FUNCTION peer.variants_by_key(keys bigint[]) RETURNS SETOF peer.variant LANGUAGE sql STABLE AS
$$ SELECT * FROM peer.variant WHERE variant_key = ANY (keys) ORDER BY variant_key $$;

CREATE VIEW peer.record AS SELECT variant_key, load_id, coalesce(ids, '{}') AS ids FROM public.variant_record;
COMMENT ON VIEW peer.record IS E'@primaryKey variant_key,load_id\n@foreignKey (variant_key) references variant (variant_key)|@foreignFieldName records';

CREATE VIEW peer.frequency AS
SELECT f.variant_key, f.load_id, p.population, f.ac[p.ordinal] AS allele_count, f.an[p.ordinal] AS allele_number, f.af[p.ordinal] AS frequency
FROM public.population_frequency f JOIN public.frequency_population p ON p.load_id = f.load_id WHERE f.af[p.ordinal] IS NOT NULL;
COMMENT ON VIEW peer.frequency IS
    E'@primaryKey variant_key,load_id,population\n@foreignKey (variant_key) references variant (variant_key)|@foreignFieldName frequencies';

CREATE VIEW peer.clinical AS SELECT variant_key, load_id, ordinal, significance, classes, stars, review_status, conditions FROM public.clinical_significance;
COMMENT ON VIEW peer.clinical IS
    E'@primaryKey variant_key,load_id,ordinal\n@foreignKey (variant_key) references variant (variant_key)|@foreignFieldName clinicals';

-- ---- genes, and what acts on them

CREATE VIEW peer.gene AS SELECT gene_id, symbol, chrom, start_pos, end_pos, strand, biotype, span FROM public.gene;
COMMENT ON VIEW peer.gene IS '@primaryKey gene_id';
COMMENT ON COLUMN peer.gene.span IS '@behavior -*';

CREATE FUNCTION peer.target(identifier text, name text) RETURNS text LANGUAGE sql STABLE
RETURN coalesce((SELECT n.gene_id FROM public.gene n WHERE n.gene_id = identifier LIMIT 1),
    (SELECT n.gene_id FROM public.gene n WHERE upper(n.symbol) = upper(name) ORDER BY n.load_id DESC, n.gene_id LIMIT 1),
    (SELECT n.gene_id FROM public.gene_alias n WHERE n.alias = upper(name) ORDER BY n.load_id DESC, n.gene_id LIMIT 1));
COMMENT ON FUNCTION peer.target IS '@behavior -*';

CREATE VIEW peer.consequence AS
SELECT variant_key, load_id, ordinal, terms,
    (ARRAY['HIGH', 'MODERATE', 'LOW', 'MODIFIER'])[impact] AS impact, symbol, hgvsc, hgvsp, transcript_id, canonical, peer.target(gene_id, symbol) AS target_id
FROM public.transcript_consequence;
COMMENT ON VIEW peer.consequence IS E'@primaryKey variant_key,load_id,ordinal\n@foreignKey (variant_key) references variant (variant_key)|@foreignFieldName consequences\n@foreignKey (target_id) references gene (gene_id)|@fieldName gene';

-- What methods say of variants: those of position and rsID where they are about it, elements where its REF lies in them; from the threshold of the method on.
CREATE VIEW peer.link AS
SELECT k.variant_key, t.load_id, upper(replace(r.source, '-', '_')) AS source, CASE WHEN NOT t.linked THEN t.value END AS score,
    CASE WHEN t.linked THEN t.value END AS link_score, r.threshold, t.matched_by, coalesce(t.gene, t.gene_id) AS gene_name, t.cell_type,
    (ARRAY['1','2','3','4','5','6','7','8','9','10','11','12','13','14','15','16','17','18','19','20','21','22','X','Y','MT'])[t.chrom]
        || ':' || t.start_pos || '-' || t.end_pos AS element, t.class, peer.target(t.gene_id, t.gene) AS target_id, t.value
FROM (SELECT variant_key, chrom, pos, pos + length(ref) - 1 AS last, locus_key(chrom, pos) AS locus, length(ref) = 1 AND length(alt) = 1 AS snv
    FROM public.variant) k
CROSS JOIN LATERAL (
    SELECT s.load_id, s.score AS value, false AS linked, CASE WHEN s.by_allele THEN 'ALLELES'
            WHEN EXISTS (SELECT FROM public.rsid i WHERE i.rsid = s.rsid AND i.variant_key = k.variant_key) THEN 'RSID'
            WHEN k.snv AND (s.rsid IS NULL OR NOT EXISTS (SELECT FROM public.variant_record n, unnest(n.ids) i
                WHERE n.variant_key = k.variant_key AND i ~ '^rs[0-9]+$'))
            AND (SELECT count(*) FROM public.variant v WHERE v.variant_key >= k.locus AND v.variant_key < locus_key(k.chrom, k.pos + 1)
                AND length(v.ref) = 1 AND length(v.alt) = 1
                AND EXISTS (SELECT FROM public.variant_record n WHERE n.variant_key = v.variant_key)) = 1 THEN 'POSITION' END AS matched_by,
        s.gene_id, s.gene, s.cell_type, NULL::smallint AS chrom, NULL::int AS start_pos, NULL::int AS end_pos, NULL::text AS class
    FROM public.v2f_score s WHERE s.locus IN (k.variant_key, k.locus) AND s.by_allele = (s.locus = k.variant_key)
    UNION ALL
    SELECT e.load_id, e.score, true, 'OVERLAP', e.gene_id, e.gene, e.cell_type, e.chrom, e.start_pos, e.end_pos, e.class
    FROM generate_series(0, 28) c CROSS JOIN LATERAL (SELECT x.* FROM public.v2f_element x WHERE x.chrom = k.chrom AND x.length_class = c
        AND x.start_pos <= k.last AND x.start_pos > k.pos - (1 << c) AND x.end_pos >= k.pos OFFSET 0) e OFFSET 0) t
JOIN public.v2f_run r ON r.load_id = t.load_id
WHERE t.matched_by IS NOT NULL AND (r.threshold IS NULL OR t.value >= r.threshold);
COMMENT ON VIEW peer.link IS E'@foreignKey (variant_key) references variant (variant_key)|@foreignFieldName links\n@foreignKey (target_id) references gene (gene_id)|@fieldName targetGene|@foreignBehavior -*';

-- ---- cells

CREATE VIEW peer.metacell AS SELECT metacell_id, name, cell_type, cell_count FROM public.metacell;
COMMENT ON VIEW peer.metacell IS '@primaryKey metacell_id';

CREATE VIEW peer.expression AS
SELECT e.gene_id, e.load_id::bigint * 16777216 + u.place - 1 AS metacell_id, u.mean, u.percent, u.z, e.tau
FROM public.metacell_expression e CROSS JOIN LATERAL unnest(e.mean, e.percent, e.z) WITH ORDINALITY u (mean, percent, z, place);
COMMENT ON VIEW peer.expression IS E'@foreignKey (gene_id) references gene (gene_id)|@foreignFieldName expressions\n@foreignKey (metacell_id) references metacell (metacell_id)|@foreignBehavior -*';

-- The genes that a variant may act on: linked to it, with a consequence that does something, or where it lies; and the metacells that express them.
CREATE VIEW peer.cell_context AS
SELECT v.variant_key, t.gene_id, e.load_id::bigint * 16777216 + u.place - 1 AS metacell_id, u.mean, u.percent, u.z, e.tau
FROM public.variant v CROSS JOIN LATERAL (
    SELECT l.target_id AS gene_id FROM peer.link l WHERE l.variant_key = v.variant_key AND l.target_id IS NOT NULL
    UNION SELECT c.target_id FROM peer.consequence c WHERE c.variant_key = v.variant_key AND c.target_id IS NOT NULL
        AND NOT c.terms <@ '{upstream_gene_variant,downstream_gene_variant,intergenic_variant,intergenic_region}'
    UNION SELECT g.gene_id FROM public.gene g WHERE g.span && int8range(v.variant_key, locus_key(v.chrom, v.pos + length(v.ref)))) t
JOIN public.metacell_expression e ON e.gene_id = t.gene_id
CROSS JOIN LATERAL unnest(e.mean, e.percent, e.z) WITH ORDINALITY u (mean, percent, z, place)
WHERE u.mean >= 0.5;
COMMENT ON VIEW peer.cell_context IS E'@foreignKey (variant_key) references variant (variant_key)|@foreignFieldName cellContexts\n@foreignKey (gene_id) references gene (gene_id)|@fieldName gene|@foreignBehavior -*\n@foreignKey (metacell_id) references metacell (metacell_id)|@fieldName metacell|@foreignBehavior -*';

-- ---- predicted effects, all tracks of which are kept

CREATE VIEW peer.effect AS
SELECT e.variant_key, e.load_id, r.score, e.strongest AS strongest_effect, e.over_threshold, r.track_count
FROM public.enformer_effect e JOIN public.enformer_run r ON r.load_id = e.load_id;
COMMENT ON VIEW peer.effect IS E'@primaryKey variant_key,load_id\n@foreignKey (variant_key) references variant (variant_key)|@foreignFieldName effects';

CREATE VIEW peer.track AS SELECT track_id, ordinal, identifier, assay, description, tissue FROM public.enformer_track;
COMMENT ON VIEW peer.track IS '@primaryKey track_id';

CREATE VIEW peer.tissue_effect AS
SELECT e.variant_key, e.load_id, split_part(s.summary, ':', 1) AS tissue, split_part(s.summary, ':', 2) AS assay, s.effect,
    e.load_id::bigint * 65536 + s.track AS track_id
FROM public.enformer_effect e JOIN public.enformer_run r ON r.load_id = e.load_id
CROSS JOIN LATERAL unnest(r.summaries, e.tissue_effects, e.tissue_tracks) s (summary, effect, track);
COMMENT ON VIEW peer.tissue_effect IS E'@foreignKey (variant_key, load_id) references effect (variant_key, load_id)|@fieldName whole|@foreignFieldName tissueEffects\n@foreignKey (track_id) references track (track_id)|@fieldName track|@foreignBehavior -*';

CREATE VIEW peer.track_effect AS
SELECT e.variant_key, e.load_id, t.effect, abs(t.effect) AS size, e.load_id::bigint * 65536 + t.place - 1 AS track_id
FROM public.enformer_effect e CROSS JOIN LATERAL unnest(e.tracks::real[]) WITH ORDINALITY t (effect, place);
COMMENT ON VIEW peer.track_effect IS E'@foreignKey (variant_key, load_id) references effect (variant_key, load_id)|@fieldName whole|@foreignFieldName trackEffects\n@foreignKey (track_id) references track (track_id)|@fieldName track|@foreignBehavior -*';

-- ---- people

CREATE VIEW peer.sample AS
SELECT s.sample_id, s.name, i.sex, i.population FROM public.sample s LEFT JOIN public.sample_info i ON i.sample_id = s.sample_id;
COMMENT ON VIEW peer.sample IS E'@primaryKey sample_id\n@unique name';

-- As the API's own statement: a long plane is fetched once (|| makes a copy), not once for every sample; and people are looked up for the page alone, not joined to
-- all carriers before it is cut.
CREATE VIEW peer.carrier AS
SELECT v.variant_key, t.sample_id, t.ordinal, genotype_text(g.alt, g.alt_slots, g.other, g.missing, g.haploid, g.phasing, g.phase, g.calls, t.ordinal) AS gt,
    genotype_zygosity(g.alt, g.alt_slots, g.other, g.missing, g.haploid, t.ordinal) AS zygosity,
    (SELECT s.name FROM public.sample s WHERE s.sample_id = t.sample_id) AS name,
    (SELECT i.sex FROM public.sample_info i WHERE i.sample_id = t.sample_id) AS sex,
    (SELECT i.population FROM public.sample_info i WHERE i.sample_id = t.sample_id) AS population
FROM public.variant v CROSS JOIN LATERAL (SELECT g.load_id, g.phasing, g.alt || ''::bytea AS alt, g.alt_slots, g.other || ''::bytea AS other,
    g.missing || ''::bytea AS missing, g.haploid || ''::bytea AS haploid, g.phase, g.calls
    FROM public.genotype g WHERE g.variant_key = v.variant_key OFFSET 0) g
CROSS JOIN LATERAL (SELECT c.ordinal, c.sample_id FROM public.callset_sample c WHERE g.alt IS NOT NULL AND c.load_id = g.load_id
    AND allele_pair(g.alt, c.ordinal) <> 0
    UNION ALL SELECT c.ordinal, c.sample_id FROM public.callset_sample c WHERE c.load_id = g.load_id
    AND c.ordinal = ANY (ARRAY(SELECT s >> 1 FROM unnest(g.alt_slots) s))) t;
COMMENT ON VIEW peer.carrier IS E'@foreignKey (variant_key) references variant (variant_key)|@foreignFieldName carriers';

CREATE VIEW peer.call AS
SELECT g.variant_key, c.sample_id, genotype_text(g.alt, g.alt_slots, g.other, g.missing, g.haploid, g.phasing, g.phase, g.calls, c.ordinal) AS gt,
    genotype_zygosity(g.alt, g.alt_slots, g.other, g.missing, g.haploid, c.ordinal) AS zygosity
FROM public.genotype g JOIN public.callset_sample c ON c.load_id = g.load_id;
COMMENT ON VIEW peer.call IS E'@foreignKey (variant_key) references variant (variant_key)|@foreignFieldName calls\n@foreignKey (sample_id) references sample (sample_id)|@foreignBehavior -*';

CREATE VIEW peer.shared_segment AS
SELECT v.variant_key, s.sample_id, s.other_id, s.haplotype, s.other_haplotype, s.start_pos, s.end_pos, s.length_cm
FROM public.variant v JOIN public.ibd_segment s ON s.chrom = v.chrom AND s.start_pos <= v.pos AND s.end_pos >= v.pos;
COMMENT ON VIEW peer.shared_segment IS E'@foreignKey (variant_key) references variant (variant_key)|@foreignFieldName sharedSegments\n@foreignKey (other_id) references sample (sample_id)|@fieldName other|@foreignBehavior -*';
