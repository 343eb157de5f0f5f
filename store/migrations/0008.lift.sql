-- depends: 0007.v2f
-- Positions that were lifted over from another assembly are kept as written, too; and genes have other names.

ALTER TABLE variant_score ADD COLUMN source_locus text;
COMMENT ON COLUMN variant_score.source_locus IS 'CHROM:POS:REF:ALT as in the file, where it was lifted over from another assembly; else NULL.';
ALTER TABLE population_frequency ADD COLUMN source_locus text;
COMMENT ON COLUMN population_frequency.source_locus IS 'CHROM:POS:REF:ALT as in the file, where it was lifted over from another assembly; else NULL.';
ALTER TABLE v2f_score ADD COLUMN source_locus text;
COMMENT ON COLUMN v2f_score.source_locus IS 'CHROM:POS, or CHROM:POS:REF:ALT, as in the file, where it was lifted over from another assembly; else NULL.';
ALTER TABLE v2f_element ADD COLUMN source_locus text;
COMMENT ON COLUMN v2f_element.source_locus IS 'CHROM:START-END (1-based, inclusive) as in the file, where it was lifted over from another assembly; else NULL.';

CREATE TABLE gene_alias (
    alias   text NOT NULL,
    gene_id text NOT NULL,
    load_id integer NOT NULL,
    PRIMARY KEY (alias, load_id, gene_id)
);
CREATE INDEX gene_alias_gene ON gene_alias (gene_id);
CREATE INDEX gene_alias_load ON gene_alias USING brin (load_id);
COMMENT ON TABLE gene_alias IS 'Other symbols of genes, as the annotation gives them.';
COMMENT ON COLUMN gene_alias.alias IS 'The symbol, in upper case.';
COMMENT ON COLUMN gene_alias.gene_id IS 'The gene.';
COMMENT ON COLUMN gene_alias.load_id IS 'The load that says so.';

CALL open_tables('gene_alias');
