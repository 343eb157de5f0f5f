-- depends: 0005.cohort
-- People: segments that they share by descent, the populations they are of, and where they lie in ancestry space.
-- Who shares what with whom is read as vkg_individual, under row-level security; how a run was made is open.

ALTER TABLE dataset DROP CONSTRAINT dataset_kind_check;
ALTER TABLE dataset ADD CONSTRAINT dataset_kind_check
    CHECK (kind IN ('variants', 'genes', 'scores', 'samples', 'ibd', 'populations', 'ancestry', 'frequencies'));
COMMENT ON COLUMN dataset.kind IS 'What its loads hold: variants (VCF), genes (GTF), scores (one number per variant), samples (populations, pedigrees), ibd (segments shared by descent), populations (what they are called and part of), ancestry (principal components) or frequencies (of alleles in populations, without variants).';

CREATE TABLE ibd_run (
    load_id         integer PRIMARY KEY,
    source          text NOT NULL CHECK (source IN ('hap-ibd', 'refined-ibd', 'germline', 'germline2', 'ilash', 'truffle', 'ibis')),
    source_version  text,
    cohort          text NOT NULL,
    phased          boolean NOT NULL,
    callset         text,
    callset_version text,
    map_cm          double precision[],
    surveyed_cm     double precision CHECK (surveyed_cm > 0)
);
COMMENT ON TABLE ibd_run IS 'How the segments of a load were found.';
COMMENT ON COLUMN ibd_run.load_id IS 'The load.';
COMMENT ON COLUMN ibd_run.source IS 'The tool that found them.';
COMMENT ON COLUMN ibd_run.source_version IS 'Its version, NULL where nobody said.';
COMMENT ON COLUMN ibd_run.cohort IS 'The cohort whose samples they name.';
COMMENT ON COLUMN ibd_run.phased IS 'True where the segments say which haplotypes they join.';
COMMENT ON COLUMN ibd_run.callset IS 'Dataset of the genotypes in which they were found: haplotype 1 is the first allele of its calls. NULL where nobody said: then haplotype numbers mean nothing.';
COMMENT ON COLUMN ibd_run.callset_version IS 'Version of that dataset: another may be phased otherwise.';
COMMENT ON COLUMN ibd_run.map_cm IS 'Length of the genetic map in cM, by chromosome code; NULL where the run was loaded without one.';
COMMENT ON COLUMN ibd_run.surveyed_cm IS 'How much of the autosomes was searched, in cM: given, or the length of the genetic map of those that have segments. NULL where nobody said.';

-- Once for each direction, so that one index serves both people (design section 11).
CREATE TABLE ibd_segment (
    sample_id       integer NOT NULL,
    other_id        integer NOT NULL CHECK (other_id <> sample_id),
    load_id         integer NOT NULL,
    file            smallint NOT NULL,
    line            integer NOT NULL,
    chrom           smallint NOT NULL,
    length_class    smallint NOT NULL,
    start_pos       integer NOT NULL,
    end_pos         integer NOT NULL CHECK (end_pos >= start_pos),
    haplotype       smallint CHECK (haplotype IN (1, 2)),
    other_haplotype smallint CHECK (other_haplotype IN (1, 2)),
    ibd_type        smallint CHECK (ibd_type IN (1, 2)),
    length_cm       double precision NOT NULL CHECK (length_cm >= 0),
    markers         integer,
    score           double precision,
    PRIMARY KEY (sample_id, other_id, load_id, file, line)
);
CREATE INDEX ibd_segment_sample ON ibd_segment (sample_id, chrom, start_pos, end_pos);
-- With all columns, as the rows of those who share over a position lie all over the table, which has the order of people.
CREATE INDEX ibd_segment_over ON ibd_segment (chrom, length_class, start_pos, end_pos)
    INCLUDE (sample_id, other_id, load_id, line, file, haplotype, other_haplotype, ibd_type, markers, length_cm, score) WHERE sample_id < other_id;
CREATE INDEX ibd_segment_load ON ibd_segment USING brin (load_id);
COMMENT ON TABLE ibd_segment IS 'Stretches of genome that two people share by descent, each in two rows: seen from either person.';
COMMENT ON COLUMN ibd_segment.sample_id IS 'The person it is seen from.';
COMMENT ON COLUMN ibd_segment.other_id IS 'The other person.';
COMMENT ON COLUMN ibd_segment.load_id IS 'The load.';
COMMENT ON COLUMN ibd_segment.file IS 'Which of its files, from 0.';
COMMENT ON COLUMN ibd_segment.line IS 'Line in the file, from 1.';
COMMENT ON COLUMN ibd_segment.chrom IS 'Chromosome code.';
COMMENT ON COLUMN ibd_segment.length_class IS 'Bits of end_pos - start_pos: a segment of class c over a position p begins after p - 2^c, so that an index finds all of them.';
COMMENT ON COLUMN ibd_segment.start_pos IS 'First position, 1-based.';
COMMENT ON COLUMN ibd_segment.end_pos IS 'Last position, inclusive.';
COMMENT ON COLUMN ibd_segment.haplotype IS 'Which haplotype of the sample it joins: 1 or 2, in the callset of the run; NULL where the source does not say.';
COMMENT ON COLUMN ibd_segment.other_haplotype IS 'Which haplotype of the other person.';
COMMENT ON COLUMN ibd_segment.ibd_type IS '1 where one haplotype of each is shared, 2 where both are; NULL where the source does not say.';
COMMENT ON COLUMN ibd_segment.length_cm IS 'Length in centimorgans: of the file, or from the genetic map.';
COMMENT ON COLUMN ibd_segment.markers IS 'Markers in it, where the file says.';
COMMENT ON COLUMN ibd_segment.score IS 'Score of the source (Refined IBD: LOD; iLASH: similarity), NULL where it has none.';

CREATE TABLE hbd_segment (
    sample_id integer NOT NULL,
    load_id   integer NOT NULL,
    file      smallint NOT NULL,
    line      integer NOT NULL,
    chrom     smallint NOT NULL,
    start_pos integer NOT NULL,
    end_pos   integer NOT NULL CHECK (end_pos >= start_pos),
    length_cm double precision NOT NULL CHECK (length_cm >= 0),
    markers   integer,
    score     double precision,
    PRIMARY KEY (sample_id, load_id, file, line)
);
CREATE INDEX hbd_segment_load ON hbd_segment USING brin (load_id);
COMMENT ON TABLE hbd_segment IS 'Stretches of genome where both haplotypes of a person are one by descent.';
COMMENT ON COLUMN hbd_segment.sample_id IS 'The person.';
COMMENT ON COLUMN hbd_segment.load_id IS 'The load.';
COMMENT ON COLUMN hbd_segment.file IS 'Which of its files, from 0.';
COMMENT ON COLUMN hbd_segment.line IS 'Line in the file, from 1.';
COMMENT ON COLUMN hbd_segment.chrom IS 'Chromosome code.';
COMMENT ON COLUMN hbd_segment.start_pos IS 'First position, 1-based.';
COMMENT ON COLUMN hbd_segment.end_pos IS 'Last position, inclusive.';
COMMENT ON COLUMN hbd_segment.length_cm IS 'Length in centimorgans.';
COMMENT ON COLUMN hbd_segment.markers IS 'Markers in it, where the file says.';
COMMENT ON COLUMN hbd_segment.score IS 'Score of the source, NULL where it has none.';

CREATE TABLE ancestry_run (
    load_id     integer PRIMARY KEY,
    cohort      text NOT NULL,
    eigenvalues real[]
);
COMMENT ON TABLE ancestry_run IS 'A principal component analysis.';
COMMENT ON COLUMN ancestry_run.load_id IS 'The load.';
COMMENT ON COLUMN ancestry_run.cohort IS 'The cohort whose samples it places.';
COMMENT ON COLUMN ancestry_run.eigenvalues IS 'Eigenvalue of each component, in order; NULL where the components were loaded unscaled.';

CREATE TABLE ancestry (
    sample_id  integer NOT NULL,
    load_id    integer NOT NULL,
    components real[] NOT NULL,
    place      vector NOT NULL GENERATED ALWAYS AS (components::vector) STORED,
    PRIMARY KEY (sample_id, load_id)
);
CREATE INDEX ancestry_load ON ancestry (load_id) INCLUDE (sample_id);
COMMENT ON TABLE ancestry IS 'Where a sample lies in ancestry space.';
COMMENT ON COLUMN ancestry.sample_id IS 'The sample.';
COMMENT ON COLUMN ancestry.load_id IS 'The load.';
COMMENT ON COLUMN ancestry.components IS 'Its components, each multiplied with the square root of its eigenvalue, so that distances weigh components by the variance they explain; as in the file where there are no eigenvalues.';
COMMENT ON COLUMN ancestry.place IS 'The same as a vector, to measure distances.';

ALTER TABLE population_frequency ADD COLUMN filter text[];
COMMENT ON COLUMN population_frequency.filter IS 'FILTER of the record that says so: PASS, or the failed filters; NULL where it is not filtered, or the load has a variant_record that says it.';
ALTER TABLE frequency_population ADD COLUMN callset_load integer;
COMMENT ON COLUMN frequency_population.callset_load IS 'The callset whose genotypes were counted by another load than its own; visible only with it. NULL for all else.';

CREATE FUNCTION populations_within(names text[], loads integer[]) RETURNS text[] LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE found text[] := names; more text[];
BEGIN
    LOOP
        SELECT array_agg(DISTINCT p.name) INTO more FROM population p
        WHERE p.load_id = ANY (loads) AND NOT p.name = ANY (found) AND (SELECT s.super_population FROM population s
            WHERE s.name = p.name AND s.load_id = ANY (loads) AND s.super_population IS NOT NULL ORDER BY s.load_id DESC LIMIT 1) = ANY (found);
        EXIT WHEN more IS NULL;
        found := found || more;
    END LOOP;
    RETURN found;
END $$;
COMMENT ON FUNCTION populations_within(text[], integer[]) IS 'These populations and all that are part of them, at any depth, as the latest of the loads says.';

CREATE FUNCTION run_of_pairs(cohort text, loads integer[]) RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (SELECT max(r.load_id) FROM ibd_run r JOIN load l USING (load_id) WHERE r.cohort = $1 AND r.load_id = ANY (loads)
        AND (coalesce((l.counts ->> 'ibd_segment')::bigint, 0) > 0 OR coalesce((l.counts ->> 'hbd_segment')::bigint, 0) = 0));
COMMENT ON FUNCTION run_of_pairs(text, integer[]) IS
    'The run that says what people of a cohort share: the latest of these loads. One that has segments of homozygosity alone does not speak of pairs.';

CREATE FUNCTION callset_of_run(run integer, loads integer[]) RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (SELECT max(c.load_id) FROM ibd_run r JOIN dataset d ON d.name = r.callset JOIN load c ON c.dataset_id = d.dataset_id
        WHERE r.load_id = run AND c.load_id = ANY (loads) AND c.version = r.callset_version AND c.options ->> 'cohort' = r.cohort
        AND (c.counts ->> 'callset_sample')::bigint > 0);
COMMENT ON FUNCTION callset_of_run(integer, integer[]) IS 'The callset in which a run found its segments, where it is one of these loads.';

CREATE FUNCTION haplotype_alt(alt bytea, alt_slots integer[], missing bytea, haploid bytea, phasing smallint, phase bytea, calls text[],
    phase_sets integer[], ordinal integer, haplotype smallint) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN length(calls[ordinal + 1]) > 3 THEN NULL
        WHEN sample_bit(haploid, ordinal) THEN CASE WHEN coalesce(allele_pair(missing, ordinal), 0) & 1 = 0 THEN alt_pair(alt, alt_slots, ordinal) & 1 = 1 END
        WHEN coalesce(allele_pair(missing, ordinal), 0) & haplotype <> 0 THEN NULL
        WHEN alt_pair(alt, alt_slots, ordinal) = 3 THEN true
        WHEN alt_pair(alt, alt_slots, ordinal) = 0 AND coalesce(allele_pair(missing, ordinal), 0) = 0 THEN false
        WHEN (phasing = 1 OR sample_bit(phase, ordinal)) AND phase_sets[ordinal + 1] IS NULL THEN alt_pair(alt, alt_slots, ordinal) & haplotype <> 0 END;
COMMENT ON FUNCTION haplotype_alt(bytea, integer[], bytea, bytea, smallint, bytea, text[], integer[], integer, smallint) IS
    'Whether a haplotype (1 or 2) of a sample carries the ALT. NULL where that is not known: not called, a call of both alleles that is not phased throughout the chromosome, more than two alleles. A call of one allele is of both haplotypes.';

CREATE FUNCTION new_cm(length_cm double precision, start_pos integer, end_pos integer, covered integer) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN length_cm * greatest(end_pos - greatest(start_pos, coalesce(covered + 1, start_pos)) + 1, 0) / (end_pos - start_pos + 1);
COMMENT ON FUNCTION new_cm(double precision, integer, integer, integer) IS
    'Centimorgans that a segment adds to those before it, which cover up to `covered` (NULL: nothing): its length, in proportion to the bases that are new. Summed in the order of start_pos, it measures a union.';

CALL individual_tables('ibd_segment', 'hbd_segment', 'ancestry');
CALL open_tables('ibd_run', 'ancestry_run');
