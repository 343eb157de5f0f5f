-- depends: 0008.lift
-- What Enformer predicts a variant to change: per track of the genome's readout, summed up per tissue and assay.

ALTER TABLE dataset DROP CONSTRAINT dataset_kind_check;
ALTER TABLE dataset ADD CONSTRAINT dataset_kind_check
    CHECK (kind IN ('variants', 'genes', 'scores', 'samples', 'ibd', 'populations', 'ancestry', 'frequencies', 'v2f', 'enformer', 'metacells'));
COMMENT ON COLUMN dataset.kind IS 'What its loads hold: variants (VCF), genes (GTF), scores (one number per variant), samples (populations, pedigrees), ibd (segments shared by descent), populations (what they are called and part of), ancestry (principal components), frequencies (of alleles in populations, without variants), v2f (variant-to-function scores), enformer (predicted effects on tracks) or metacells (single-cell expression).';

CREATE TABLE enformer_run (
    load_id         integer PRIMARY KEY,
    score           text CHECK (score IN ('SAD', 'SAR')),
    threshold       real,
    tracks_kept     text CHECK (tracks_kept IN ('ALL', 'SUMMARY', 'NONE')),
    track_count     integer NOT NULL,
    component_count integer NOT NULL,
    summaries       text[] NOT NULL,
    synthetic       boolean NOT NULL
);
COMMENT ON TABLE enformer_run IS 'How the effects of a load were made and kept.';
COMMENT ON COLUMN enformer_run.load_id IS 'The load.';
COMMENT ON COLUMN enformer_run.score IS 'What an effect is: SAD, the difference of the predictions for ALT and REF, or SAR, the logarithm (base 2) of the ratio of their sums; NULL for principal components.';
COMMENT ON COLUMN enformer_run.threshold IS 'Size from which on an effect counts for over_threshold.';
COMMENT ON COLUMN enformer_run.tracks_kept IS 'What is kept of the tracks besides the summaries: ALL of them, the strongest (SUMMARY) or NONE.';
COMMENT ON COLUMN enformer_run.track_count IS 'Number of tracks; 0 for principal components.';
COMMENT ON COLUMN enformer_run.component_count IS 'Number of principal components; 0 for effects on tracks.';
COMMENT ON COLUMN enformer_run.summaries IS 'TISSUE:ASSAY of each place in enformer_effect.tissue_effects: those that some track is of.';
COMMENT ON COLUMN enformer_run.synthetic IS 'True where the effects were generated, to show how it works.';

CREATE TABLE enformer_track (
    track_id    bigint GENERATED ALWAYS AS (load_id::bigint * 65536 + ordinal) STORED PRIMARY KEY,
    load_id     integer NOT NULL,
    ordinal     smallint NOT NULL,
    identifier  text NOT NULL,
    assay       text NOT NULL,
    description text NOT NULL,
    tissue      text
);
COMMENT ON TABLE enformer_track IS 'The tracks whose change is predicted.';
COMMENT ON COLUMN enformer_track.track_id IS 'Load and ordinal in one number.';
COMMENT ON COLUMN enformer_track.load_id IS 'The load.';
COMMENT ON COLUMN enformer_track.ordinal IS 'Place of the track among the targets, from 0.';
COMMENT ON COLUMN enformer_track.identifier IS 'Identifier of the experiment, as written (ENCODE, FANTOM).';
COMMENT ON COLUMN enformer_track.assay IS 'What was measured: CAGE, DNASE, ATAC or CHIP; else what the description begins with.';
COMMENT ON COLUMN enformer_track.description IS 'Description as written, with the assay.';
COMMENT ON COLUMN enformer_track.tissue IS 'Tissue by store/tissues.tsv; NULL where it names none.';

CREATE TABLE enformer_effect (
    variant_key     bigint NOT NULL,
    load_id         integer NOT NULL,
    file            smallint NOT NULL,
    line            integer NOT NULL,
    swapped         boolean NOT NULL,
    source_locus    text,
    strongest       real,
    strongest_track smallint,
    over_threshold  integer,
    tissue_effects  real[],
    tissue_tracks   smallint[],
    kept_effects    real[],
    kept_tracks     smallint[],
    components      real[],
    tracks          halfvec,
    PRIMARY KEY (variant_key, load_id)
);
ALTER TABLE enformer_effect ALTER COLUMN tracks SET STORAGE EXTERNAL;
-- No condition is on these: their most common values are of no use, and slow to find.
ALTER TABLE enformer_effect ALTER COLUMN tissue_effects SET STATISTICS 0, ALTER COLUMN tissue_tracks SET STATISTICS 0;
CREATE INDEX enformer_effect_load ON enformer_effect USING brin (load_id);
COMMENT ON TABLE enformer_effect IS 'Predicted effects of variants, of ALT against REF.';
COMMENT ON COLUMN enformer_effect.variant_key IS 'The variant.';
COMMENT ON COLUMN enformer_effect.load_id IS 'The load.';
COMMENT ON COLUMN enformer_effect.file IS 'Which of its files, from 0.';
COMMENT ON COLUMN enformer_effect.line IS 'Row in the file, from 1; of text its line.';
COMMENT ON COLUMN enformer_effect.swapped IS 'True where the file has REF and ALT the other way round, so that signs were flipped.';
COMMENT ON COLUMN enformer_effect.source_locus IS 'CHROM:POS:REF:ALT as in the file, where it is another: swapped, normalised or lifted over.';
COMMENT ON COLUMN enformer_effect.strongest IS 'The effect of the largest size, with its sign.';
COMMENT ON COLUMN enformer_effect.strongest_track IS 'Ordinal of its track; of several the first.';
COMMENT ON COLUMN enformer_effect.over_threshold IS 'On how many tracks the size of the effect reaches the threshold.';
COMMENT ON COLUMN enformer_effect.tissue_effects IS 'Per place of enformer_run.summaries the effect of the largest size among its tracks, with its sign.';
COMMENT ON COLUMN enformer_effect.tissue_tracks IS 'Ordinals of these tracks; of several the first.';
COMMENT ON COLUMN enformer_effect.kept_effects IS 'The largest effects on tracks, largest size first, where not all tracks are kept.';
COMMENT ON COLUMN enformer_effect.kept_tracks IS 'Ordinals of their tracks.';
COMMENT ON COLUMN enformer_effect.components IS 'Principal components of the effects, where the file has these instead of tracks.';
COMMENT ON COLUMN enformer_effect.tracks IS 'The effect on each track, by ordinal, where all are kept.';

CALL open_tables('enformer_run', 'enformer_track', 'enformer_effect');
