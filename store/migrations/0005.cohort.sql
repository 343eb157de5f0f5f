-- depends: 0004.gene
-- Cohorts: people, the callsets that have their genotypes, and the populations they belong to (design section 4b).
-- What is known of single persons is not in open_tables: it is read as vkg_individual, under row-level security.

ALTER TABLE dataset DROP CONSTRAINT dataset_kind_check;
ALTER TABLE dataset ADD CONSTRAINT dataset_kind_check CHECK (kind IN ('variants', 'genes', 'scores', 'samples'));
COMMENT ON COLUMN dataset.kind IS 'What its loads hold: variants (VCF), genes (GTF), scores (one number per variant) or samples (populations, pedigrees).';

-- Headers are open data. As loaders/header.py does now: no names of samples, and no lines that may tell of them.
UPDATE load_file f SET header = (
    SELECT coalesce(string_agg(t.line || E'\n', '' ORDER BY t.n), '') FROM (
        SELECT CASE WHEN l.line ^@ '#CHROM' THEN array_to_string((string_to_array(l.line, E'\t'))[:9], E'\t') ELSE l.line END AS line, l.n
        FROM string_to_table(rtrim(f.header, E'\n'), E'\n') WITH ORDINALITY AS l (line, n)
        WHERE l.line ^@ '#CHROM' OR l.line ~ '^##(INFO|FORMAT|FILTER|ALT|contig|fileformat|reference)='
        OR l.line ~ '^##(source|fileDate|phasing|assembly)=' AND NOT EXISTS (
            SELECT FROM unnest((string_to_array(substring(f.header FROM '#CHROM[^\n]*'), E'\t'))[10:]) AS s (name)
            WHERE s.name <> '' AND strpos(l.line, s.name) > 0)) t)
WHERE strpos(f.header, E'\n#CHROM') > 0 OR f.header ^@ '#CHROM';

CREATE TABLE sample (
    sample_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cohort    text NOT NULL,
    name      text NOT NULL,
    folded    text NOT NULL GENERATED ALWAYS AS (upper(name)) STORED,
    UNIQUE (cohort, name)
);
CREATE INDEX sample_name ON sample (name);
CREATE INDEX sample_folded ON sample (folded text_pattern_ops);
COMMENT ON TABLE sample IS 'Identity only: a person of a cohort. Readable where a visible load names it (callset_sample, sample_info).';
COMMENT ON COLUMN sample.sample_id IS 'Number of the sample.';
COMMENT ON COLUMN sample.cohort IS 'The group of people within which names are unique; callsets of one cohort share their samples.';
COMMENT ON COLUMN sample.name IS 'Name in the cohort, as in the #CHROM line of its VCFs.';
COMMENT ON COLUMN sample.folded IS 'The name in upper case, to search by: under row-level security no index on upper(name) would be used.';

CREATE TABLE callset_sample (
    load_id   integer NOT NULL,
    ordinal   integer NOT NULL,
    sample_id integer NOT NULL,
    PRIMARY KEY (load_id, ordinal)
);
CREATE UNIQUE INDEX callset_sample_sample ON callset_sample (sample_id, load_id) INCLUDE (ordinal);
COMMENT ON TABLE callset_sample IS 'Which sample each place of the genotypes of a load is. Its presence makes the sample visible.';
COMMENT ON COLUMN callset_sample.load_id IS 'The load: a callset.';
COMMENT ON COLUMN callset_sample.ordinal IS 'Place of the sample in the file, from 0.';
COMMENT ON COLUMN callset_sample.sample_id IS 'The sample.';

CREATE TABLE sample_info (
    sample_id  integer NOT NULL,
    load_id    integer NOT NULL,
    family     text,
    sex        text CHECK (sex IN ('FEMALE', 'MALE')),
    population text,
    father_id  integer,
    mother_id  integer,
    phenotype  text,
    PRIMARY KEY (sample_id, load_id)
);
CREATE INDEX sample_info_load ON sample_info (load_id);
CREATE INDEX sample_info_family ON sample_info (family);
CREATE INDEX sample_info_father ON sample_info (father_id) WHERE father_id IS NOT NULL;
CREATE INDEX sample_info_mother ON sample_info (mother_id) WHERE mother_id IS NOT NULL;
COMMENT ON TABLE sample_info IS 'What a panel, .ped or .fam file says of a sample. Where several visible loads say something, the latest that does so speaks.';
COMMENT ON COLUMN sample_info.sample_id IS 'The sample.';
COMMENT ON COLUMN sample_info.load_id IS 'The load.';
COMMENT ON COLUMN sample_info.family IS 'Family identifier, NULL where none is written.';
COMMENT ON COLUMN sample_info.sex IS 'FEMALE or MALE, as the file says; NULL for unknown.';
COMMENT ON COLUMN sample_info.population IS 'Name of its population (population.name).';
COMMENT ON COLUMN sample_info.father_id IS 'Its father, a sample of the same cohort.';
COMMENT ON COLUMN sample_info.mother_id IS 'Its mother, a sample of the same cohort.';
COMMENT ON COLUMN sample_info.phenotype IS 'Phenotype column as written (PLINK: 1 unaffected, 2 affected); NULL for a missing one.';

CREATE TABLE population (
    name             text NOT NULL,
    load_id          integer NOT NULL,
    super_population text,
    description      text,
    PRIMARY KEY (name, load_id)
);
CREATE INDEX population_super ON population (super_population);
COMMENT ON TABLE population IS 'Populations and the larger ones that they are part of. Where two visible loads have one, the later load speaks.';
COMMENT ON COLUMN population.name IS 'Name (GBR, EUR ...).';
COMMENT ON COLUMN population.load_id IS 'The load.';
COMMENT ON COLUMN population.super_population IS 'Name of the larger population that it is part of, NULL for none.';
COMMENT ON COLUMN population.description IS 'Description, where written.';

CREATE TABLE genotype (
    variant_key bigint NOT NULL,
    load_id     integer NOT NULL,
    phasing     smallint NOT NULL,
    alt         bytea,
    alt_slots   integer[],
    other       bytea,
    missing     bytea,
    haploid     bytea,
    phase       bytea,
    calls       text[],
    phase_sets  integer[],
    PRIMARY KEY (variant_key, load_id)
);
-- Planes are read a byte at a time (allele_pair): uncompressed, so that a byte of a long one is found without the rest.
ALTER TABLE genotype ALTER COLUMN alt SET STORAGE EXTERNAL;
ALTER TABLE genotype ALTER COLUMN other SET STORAGE EXTERNAL;
ALTER TABLE genotype ALTER COLUMN missing SET STORAGE EXTERNAL;
ALTER TABLE genotype ALTER COLUMN haploid SET STORAGE EXTERNAL;
ALTER TABLE genotype ALTER COLUMN phase SET STORAGE EXTERNAL;
CREATE INDEX genotype_load ON genotype USING brin (load_id);
COMMENT ON TABLE genotype IS 'The calls of all samples of a load at one variant, as bit planes (store/genotype.py). Allele s (0 or 1) of the sample with ordinal i is bit (slot) 2i + s; bit b is bit b % 8 of byte b / 8, as get_bit counts. NULL where a plane would be all zero.';
COMMENT ON COLUMN genotype.variant_key IS 'The variant.';
COMMENT ON COLUMN genotype.load_id IS 'The callset.';
COMMENT ON COLUMN genotype.phasing IS '0 no call is phased, 1 every call of two or more alleles is, 2 the column phase says which.';
COMMENT ON COLUMN genotype.alt IS 'Slots that hold this ALT; NULL where alt_slots lists them, or none does.';
COMMENT ON COLUMN genotype.alt_slots IS 'The same as an ascending list, where that is shorter.';
COMMENT ON COLUMN genotype.other IS 'Slots that hold another ALT of the record.';
COMMENT ON COLUMN genotype.missing IS 'Slots that were not called.';
COMMENT ON COLUMN genotype.haploid IS 'One bit per sample: the call has one allele, in the first slot.';
COMMENT ON COLUMN genotype.phase IS 'One bit per sample: the call is phased.';
COMMENT ON COLUMN genotype.calls IS 'By sample, the call as VCF text with 0 REF, 1 this ALT, 2 another ALT; only where some call has more than two alleles or mixes separators. The planes then hold the two alleles that tell the zygosity.';
COMMENT ON COLUMN genotype.phase_sets IS 'By sample, FORMAT PS; NULL where no call of the record has one.';

CREATE TABLE genotype_format (
    variant_key bigint NOT NULL,
    load_id     integer NOT NULL,
    dp          integer[],
    gq          integer[],
    ad_ref      integer[],
    ad_alt      integer[],
    PRIMARY KEY (variant_key, load_id)
);
CREATE INDEX genotype_format_load ON genotype_format USING brin (load_id);
COMMENT ON TABLE genotype_format IS 'FORMAT fields of the calls, by sample, of callsets loaded with --keep-format. An element is NULL where the file has none.';
COMMENT ON COLUMN genotype_format.variant_key IS 'The variant.';
COMMENT ON COLUMN genotype_format.load_id IS 'The callset.';
COMMENT ON COLUMN genotype_format.dp IS 'DP: reads at the site.';
COMMENT ON COLUMN genotype_format.gq IS 'GQ: genotype quality (phred), rounded to a whole number.';
COMMENT ON COLUMN genotype_format.ad_ref IS 'AD: reads with REF.';
COMMENT ON COLUMN genotype_format.ad_alt IS 'AD: reads with this ALT.';

ALTER TABLE population_frequency ADD COLUMN hemi integer[];
COMMENT ON COLUMN population_frequency.hom IS 'Individuals homozygous for ALT by population: published, or counted; NULL also where it would be all zero and counted.';
COMMENT ON COLUMN population_frequency.hemi IS 'Individuals with one allele that is ALT (X, Y, MT) by population: counted; NULL where it would be all zero.';
ALTER TABLE frequency_population ADD COLUMN counted boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN frequency_population.counted IS 'True where the loader counted the genotypes of the callset, false where INFO says so.';

CREATE FUNCTION allele_pair(plane bytea, ordinal integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (get_byte(substr(plane, (ordinal >> 2) + 1, 1), 0) >> (2 * (ordinal & 3))) & 3;
COMMENT ON FUNCTION allele_pair(bytea, integer) IS 'The two bits of a sample in a plane of slots: 1 for the first allele, 2 for the second. NULL for no plane.';

CREATE FUNCTION sample_bit(plane bytea, ordinal integer) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (get_byte(substr(plane, (ordinal >> 3) + 1, 1), 0) >> (ordinal & 7)) & 1 = 1;
COMMENT ON FUNCTION sample_bit(bytea, integer) IS 'The bit of a sample in a plane of samples. NULL for no plane.';

CREATE FUNCTION alt_pair(alt bytea, alt_slots integer[], ordinal integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN alt_slots IS NULL THEN coalesce(allele_pair(alt, ordinal), 0)
        ELSE coalesce((2 * ordinal = ANY (alt_slots))::integer + 2 * (2 * ordinal + 1 = ANY (alt_slots))::integer, 0) END;
COMMENT ON FUNCTION alt_pair(bytea, integer[], integer) IS 'Which alleles of a sample are the ALT: 0 none, 1 the first, 2 the second, 3 both; 0 for no sample.';

CREATE FUNCTION genotype_zygosity(alt bytea, alt_slots integer[], other bytea, missing bytea, haploid bytea, ordinal integer)
    RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE alt_pair(alt, alt_slots, ordinal) WHEN 0 THEN NULL WHEN 3 THEN 'HOM_ALT' ELSE
        CASE WHEN sample_bit(haploid, ordinal) THEN 'HEMI' WHEN allele_pair(missing, ordinal) <> 0 THEN 'PARTIAL'
        WHEN allele_pair(other, ordinal) <> 0 THEN 'HET_OTHER_ALT' ELSE 'HET' END END;
COMMENT ON FUNCTION genotype_zygosity(bytea, integer[], bytea, bytea, bytea, integer) IS
    'HOM_ALT, HEMI (one allele, the ALT), HET (ALT and REF), HET_OTHER_ALT (ALT and another ALT), PARTIAL (ALT and an allele not called); NULL for no ALT.';

CREATE FUNCTION genotype_slot(alt integer, other integer, missing integer, slot integer) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN alt & slot <> 0 THEN '1' WHEN missing & slot <> 0 THEN '.' WHEN other & slot <> 0 THEN '2' ELSE '0' END;
COMMENT ON FUNCTION genotype_slot(integer, integer, integer, integer) IS 'VCF text of one allele from the pairs of a sample; slot is 1 for the first, 2 for the second.';

CREATE FUNCTION genotype_text(alt bytea, alt_slots integer[], other bytea, missing bytea, haploid bytea, phasing smallint, phase bytea, calls text[], ordinal integer)
    RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN calls IS NOT NULL THEN calls[ordinal + 1] ELSE
        genotype_slot(alt_pair(alt, alt_slots, ordinal), allele_pair(other, ordinal), allele_pair(missing, ordinal), 1)
        || CASE WHEN sample_bit(haploid, ordinal) THEN '' ELSE
            CASE WHEN phasing = 1 OR sample_bit(phase, ordinal) THEN '|' ELSE '/' END
            || genotype_slot(alt_pair(alt, alt_slots, ordinal), allele_pair(other, ordinal), allele_pair(missing, ordinal), 2) END END;
COMMENT ON FUNCTION genotype_text(bytea, integer[], bytea, bytea, bytea, smallint, bytea, text[], integer) IS
    'A call as VCF text: 0 REF, 1 this ALT, 2 another ALT of the record, . not called.';

-- The role for what is known of single persons. It reads the open tables too, and of these only the rows of the loads in vkg.loads,
-- which its transaction sets: a statement that forgets to ask for visible loads shows nothing.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'vkg_individual') THEN
        CREATE ROLE vkg_individual NOLOGIN;
    END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    NULL;
END $$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'vkg_individual') THEN
        GRANT USAGE ON SCHEMA public TO vkg_individual;
        GRANT vkg_open TO vkg_individual;
        GRANT vkg_individual TO CURRENT_USER;
    END IF;
EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
    NULL;
END $$;

CREATE FUNCTION seen_loads() RETURNS integer[] LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('vkg.loads', true), '')::integer[];
COMMENT ON FUNCTION seen_loads() IS 'The loads that the transaction may see, from the setting vkg.loads; NULL where it was not set.';

CREATE PROCEDURE individual_tables(VARIADIC names regclass[]) LANGUAGE plpgsql AS $$
DECLARE name regclass;
BEGIN
    FOREACH name IN ARRAY names LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY seen ON %s FOR SELECT USING (load_id = ANY ((SELECT seen_loads())::integer[]))', name);
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'vkg_individual') THEN
            EXECUTE format('GRANT SELECT ON %s TO vkg_individual', name);
        END IF;
    END LOOP;
END $$;
COMMENT ON PROCEDURE individual_tables(regclass[]) IS 'Lets the role vkg_individual, where there is one, read the rows of these tables that belong to the loads in vkg.loads.';

CALL individual_tables('callset_sample', 'sample_info', 'genotype', 'genotype_format');

ALTER TABLE sample ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON sample FOR SELECT USING (
    EXISTS (SELECT FROM callset_sample c WHERE c.sample_id = sample.sample_id OFFSET 0)
    OR EXISTS (SELECT FROM sample_info i WHERE i.sample_id = sample.sample_id OFFSET 0));
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'vkg_individual') THEN
        GRANT SELECT ON sample TO vkg_individual;
    END IF;
END $$;

CALL open_tables('population');
