-- depends: 0003.variant
-- Genes and transcripts: small tables, versioned by load like every observation.

CREATE TABLE gene (
    gene_id    text NOT NULL,
    load_id    integer NOT NULL,
    version    text,
    symbol     text NOT NULL,
    chrom      smallint NOT NULL,
    start_pos  integer NOT NULL,
    end_pos    integer NOT NULL,
    strand     smallint NOT NULL,
    biotype    text,
    description text,
    span       int8range NOT NULL GENERATED ALWAYS AS (int8range(locus_key(chrom, start_pos), locus_key(chrom, end_pos + 1))) STORED,
    PRIMARY KEY (gene_id, load_id)
);
CREATE INDEX gene_symbol ON gene (upper(symbol) text_pattern_ops);
CREATE INDEX gene_order ON gene (chrom, start_pos, gene_id);
CREATE INDEX gene_span ON gene USING gist (span);
COMMENT ON TABLE gene IS 'Genes of an annotation (GENCODE, Ensembl). Where two visible loads have one, the later load speaks.';
COMMENT ON COLUMN gene.gene_id IS 'Stable identifier without its version (ENSG...; _PAR_Y kept), or the annotation''s own.';
COMMENT ON COLUMN gene.load_id IS 'The load.';
COMMENT ON COLUMN gene.version IS 'Version of the identifier, where written.';
COMMENT ON COLUMN gene.symbol IS 'Symbol, or the identifier where the file has none.';
COMMENT ON COLUMN gene.chrom IS '1-22, 23 = X, 24 = Y, 25 = MT.';
COMMENT ON COLUMN gene.start_pos IS 'First base, 1-based.';
COMMENT ON COLUMN gene.end_pos IS 'Last base, 1-based, inclusive.';
COMMENT ON COLUMN gene.strand IS '1 or -1.';
COMMENT ON COLUMN gene.biotype IS 'gene_type (GENCODE) or gene_biotype (Ensembl).';
COMMENT ON COLUMN gene.description IS 'Description, where written.';
COMMENT ON COLUMN gene.span IS 'The gene as a range of variant keys.';

CREATE TABLE transcript (
    transcript_id text NOT NULL,
    load_id       integer NOT NULL,
    version       text,
    gene_id       text NOT NULL,
    name          text,
    chrom         smallint NOT NULL,
    start_pos     integer NOT NULL,
    end_pos       integer NOT NULL,
    strand        smallint NOT NULL,
    biotype       text,
    cds_start     integer,
    cds_end       integer,
    exon_starts   integer[] NOT NULL,
    exon_ends     integer[] NOT NULL,
    canonical     boolean NOT NULL,
    mane          text,
    protein_id    text,
    PRIMARY KEY (transcript_id, load_id)
);
CREATE INDEX transcript_gene ON transcript (gene_id, transcript_id);
COMMENT ON TABLE transcript IS 'Transcripts of an annotation with their exons.';
COMMENT ON COLUMN transcript.transcript_id IS 'Stable identifier without its version.';
COMMENT ON COLUMN transcript.load_id IS 'The load.';
COMMENT ON COLUMN transcript.version IS 'Version of the identifier, where written.';
COMMENT ON COLUMN transcript.gene_id IS 'Its gene.';
COMMENT ON COLUMN transcript.name IS 'Name (SIRPA-201 ...), where written.';
COMMENT ON COLUMN transcript.chrom IS '1-22, 23 = X, 24 = Y, 25 = MT.';
COMMENT ON COLUMN transcript.start_pos IS 'First base, 1-based.';
COMMENT ON COLUMN transcript.end_pos IS 'Last base, 1-based, inclusive.';
COMMENT ON COLUMN transcript.strand IS '1 or -1.';
COMMENT ON COLUMN transcript.biotype IS 'Biotype.';
COMMENT ON COLUMN transcript.cds_start IS 'Lowest coding base, 1-based; NULL when it codes for nothing. The stop codon is as the file has it.';
COMMENT ON COLUMN transcript.cds_end IS 'Highest coding base, 1-based, inclusive.';
COMMENT ON COLUMN transcript.exon_starts IS 'First bases of the exons in genome order, 1-based.';
COMMENT ON COLUMN transcript.exon_ends IS 'Last bases of the exons in genome order, inclusive.';
COMMENT ON COLUMN transcript.canonical IS 'True where the annotation tags it Ensembl_canonical.';
COMMENT ON COLUMN transcript.mane IS 'SELECT or PLUS_CLINICAL where the annotation tags it so.';
COMMENT ON COLUMN transcript.protein_id IS 'Protein identifier, where written.';

CALL open_tables('gene', 'transcript');
