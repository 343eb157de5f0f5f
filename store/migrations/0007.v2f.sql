-- depends: 0006.people
-- From variants to function: scores of variants, and links of elements to genes. Both are stored as published, and joined to variants when read.

ALTER TABLE dataset DROP CONSTRAINT dataset_kind_check;
ALTER TABLE dataset ADD CONSTRAINT dataset_kind_check
    CHECK (kind IN ('variants', 'genes', 'scores', 'samples', 'ibd', 'populations', 'ancestry', 'frequencies', 'v2f'));
COMMENT ON COLUMN dataset.kind IS 'What its loads hold: variants (VCF), genes (GTF), scores (one number per variant), samples (populations, pedigrees), ibd (segments shared by descent), populations (what they are called and part of), ancestry (principal components), frequencies (of alleles in populations, without variants) or v2f (variant-to-function scores).';

CREATE TABLE v2f_run (
    load_id       integer PRIMARY KEY,
    source        text NOT NULL CHECK (source IN ('cv2f', 'abc', 'encode-re2g', 'sce2g', 'epiraction', 'table')),
    score_version text,
    threshold     double precision,
    synthetic     boolean NOT NULL
);
COMMENT ON TABLE v2f_run IS 'How the scores of a load were made.';
COMMENT ON COLUMN v2f_run.load_id IS 'The load.';
COMMENT ON COLUMN v2f_run.source IS 'The method.';
COMMENT ON COLUMN v2f_run.score_version IS 'Its version, NULL where nobody said.';
COMMENT ON COLUMN v2f_run.threshold IS 'The published cut-off of its scores: from it on they count as positive. NULL for none.';
COMMENT ON COLUMN v2f_run.synthetic IS 'True where the scores were generated, to show how it works.';

CREATE TABLE v2f_score (
    locus     bigint NOT NULL,
    load_id   integer NOT NULL,
    file      smallint NOT NULL,
    line      integer NOT NULL,
    part      smallint NOT NULL,
    by_allele boolean NOT NULL,
    rsid      bigint,
    score     double precision NOT NULL,
    percentile double precision CHECK (percentile BETWEEN 0 AND 100),
    gene_id   text,
    gene      text,
    cell_type text,
    tissue    text,
    components json,
    evidence  text[],
    UNIQUE NULLS NOT DISTINCT (locus, rsid, load_id, gene_id, gene, cell_type, tissue)
);
CREATE INDEX v2f_score_load ON v2f_score USING brin (load_id);
CREATE INDEX v2f_score_gene_id ON v2f_score (gene_id) WHERE gene_id IS NOT NULL;
CREATE INDEX v2f_score_gene ON v2f_score (upper(gene)) WHERE gene IS NOT NULL;
COMMENT ON TABLE v2f_score IS 'Variant-to-function scores of variants.';
COMMENT ON COLUMN v2f_score.locus IS 'The variant, where the source names its alleles (by_allele); else the lowest variant_key at its position.';
COMMENT ON COLUMN v2f_score.load_id IS 'The load.';
COMMENT ON COLUMN v2f_score.file IS 'Which of its files, from 0.';
COMMENT ON COLUMN v2f_score.line IS 'Line in the file, from 1.';
COMMENT ON COLUMN v2f_score.part IS 'Which of the scores of the line, from 0: it may have one for each of several tissues.';
COMMENT ON COLUMN v2f_score.by_allele IS 'True where locus is a variant.';
COMMENT ON COLUMN v2f_score.rsid IS 'rsID as written, without rs: of several variants at the position it is about the one that has it. NULL where none is written.';
COMMENT ON COLUMN v2f_score.score IS 'The score, in the scale of its source.';
COMMENT ON COLUMN v2f_score.percentile IS 'Percentile of the score in its source, 0 to 100, where written.';
COMMENT ON COLUMN v2f_score.gene_id IS 'Target gene: identifier without version, where written.';
COMMENT ON COLUMN v2f_score.gene IS 'Target gene: symbol as written.';
COMMENT ON COLUMN v2f_score.cell_type IS 'Cell type as written, NULL for none.';
COMMENT ON COLUMN v2f_score.tissue IS 'Tissue as written, NULL for none.';
COMMENT ON COLUMN v2f_score.components IS 'Parts of the score by name, where written.';
COMMENT ON COLUMN v2f_score.evidence IS 'Sources of evidence, where written.';

CREATE TABLE v2f_element (
    load_id       integer NOT NULL,
    file          smallint NOT NULL,
    line          integer NOT NULL,
    chrom         smallint NOT NULL,
    length_class  smallint NOT NULL,
    start_pos     integer NOT NULL,
    end_pos       integer NOT NULL CHECK (end_pos >= start_pos),
    name          text,
    class         text,
    gene_id       text,
    gene          text,
    cell_type     text,
    tissue        text,
    score         double precision NOT NULL,
    distance_to_tss integer,
    self_promoter boolean
);
CREATE INDEX v2f_element_load ON v2f_element USING brin (load_id);
CREATE INDEX v2f_element_over ON v2f_element (chrom, length_class, start_pos) INCLUDE (end_pos);
CREATE INDEX v2f_element_gene_id ON v2f_element (gene_id) WHERE gene_id IS NOT NULL;
CREATE INDEX v2f_element_gene ON v2f_element (upper(gene)) WHERE gene IS NOT NULL;
COMMENT ON TABLE v2f_element IS 'Predicted links of regulatory elements to the genes that they act on.';
COMMENT ON COLUMN v2f_element.load_id IS 'The load.';
COMMENT ON COLUMN v2f_element.file IS 'Which of its files, from 0.';
COMMENT ON COLUMN v2f_element.line IS 'Line in the file, from 1.';
COMMENT ON COLUMN v2f_element.chrom IS 'Chromosome code.';
COMMENT ON COLUMN v2f_element.length_class IS 'Bits of end_pos - start_pos, as in ibd_segment.';
COMMENT ON COLUMN v2f_element.start_pos IS 'First base of the element, 1-based.';
COMMENT ON COLUMN v2f_element.end_pos IS 'Last base, inclusive.';
COMMENT ON COLUMN v2f_element.name IS 'Name of the element, as written.';
COMMENT ON COLUMN v2f_element.class IS 'Class of the element, as written (promoter, genic, intergenic).';
COMMENT ON COLUMN v2f_element.gene_id IS 'Target gene: identifier without version, where written.';
COMMENT ON COLUMN v2f_element.gene IS 'Target gene: symbol as written.';
COMMENT ON COLUMN v2f_element.cell_type IS 'Cell type as written.';
COMMENT ON COLUMN v2f_element.tissue IS 'Tissue as written, NULL for none.';
COMMENT ON COLUMN v2f_element.score IS 'Score of the link, in the scale of its source.';
COMMENT ON COLUMN v2f_element.distance_to_tss IS 'Bases from the element to the start of the gene, where written; halves rounded down.';
COMMENT ON COLUMN v2f_element.self_promoter IS 'True where the element is the promoter of the gene.';

CALL open_tables('v2f_run', 'v2f_score', 'v2f_element');
