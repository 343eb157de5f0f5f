-- depends: 0009.enformer
-- Metacells: cells in one state, taken together; what they express, and where their chromatin is open.

CREATE TABLE metacell_run (
    load_id        integer PRIMARY KEY,
    layout         text NOT NULL CHECK (layout IN ('CELLS', 'SUMMARY', 'SOFT_SUMMARY')),
    matrix         text NOT NULL,
    scale          text NOT NULL CHECK (scale IN ('COUNTS', 'LOGGED')),
    gene_count     integer NOT NULL,
    cell_types     text[] NOT NULL,
    embedding      text,
    plot           text,
    peak_count     integer NOT NULL,
    peak_matrix    text
);
COMMENT ON TABLE metacell_run IS 'How the metacells of a load were made.';
COMMENT ON COLUMN metacell_run.load_id IS 'The load.';
COMMENT ON COLUMN metacell_run.layout IS 'What the file has: CELLS with the metacell of each, a SUMMARY of sums, or a SOFT_SUMMARY of weighted means.';
COMMENT ON COLUMN metacell_run.matrix IS 'The matrix that expression comes from: X, raw.X or layers/NAME.';
COMMENT ON COLUMN metacell_run.scale IS 'What it holds: COUNTS, which became counts per 10,000 of the metacell and then log1p, or LOGGED values, whose mean over cells was taken.';
COMMENT ON COLUMN metacell_run.gene_count IS 'Number of genes.';
COMMENT ON COLUMN metacell_run.cell_types IS 'Its cell types, in the order of metacell_expression.highest.';
COMMENT ON COLUMN metacell_run.embedding IS 'Name of the obsm that embeddings are means of; NULL for none.';
COMMENT ON COLUMN metacell_run.plot IS 'Name of the obsm that plotting coordinates are means of; NULL for none.';
COMMENT ON COLUMN metacell_run.peak_count IS 'Number of peaks of accessibility.';
COMMENT ON COLUMN metacell_run.peak_matrix IS 'The matrix that accessibility comes from; NULL for none.';

CREATE TABLE metacell (
    metacell_id bigint GENERATED ALWAYS AS (load_id::bigint * 16777216 + ordinal) STORED PRIMARY KEY,
    load_id     integer NOT NULL,
    ordinal     integer NOT NULL CHECK (ordinal BETWEEN 0 AND 16777215),
    name        text NOT NULL,
    cell_type   text,
    purity      real CHECK (purity BETWEEN 0 AND 1),
    tissue      text,
    condition   text,
    cell_count  real CHECK (cell_count > 0),
    plot_x      real,
    plot_y      real,
    embedding   vector,
    top_genes   text[] NOT NULL
);
COMMENT ON TABLE metacell IS 'Metacells: groups of cells in one state.';
COMMENT ON COLUMN metacell.metacell_id IS 'Load and ordinal in one number.';
COMMENT ON COLUMN metacell.load_id IS 'The load.';
COMMENT ON COLUMN metacell.ordinal IS 'Place among the metacells of the load, from 0.';
COMMENT ON COLUMN metacell.name IS 'Name as written.';
COMMENT ON COLUMN metacell.cell_type IS 'Commonest cell type of its cells, as written.';
COMMENT ON COLUMN metacell.purity IS 'Part of its cells that are of that type, 0 to 1.';
COMMENT ON COLUMN metacell.tissue IS 'Tissue, as written.';
COMMENT ON COLUMN metacell.condition IS 'Condition, as written.';
COMMENT ON COLUMN metacell.cell_count IS 'Number of cells; a sum of weights in a soft assignment.';
COMMENT ON COLUMN metacell.plot_x IS 'First coordinate for plotting, mean over its cells.';
COMMENT ON COLUMN metacell.plot_y IS 'Second coordinate.';
COMMENT ON COLUMN metacell.embedding IS 'Place in the space that metacells were made in, mean over its cells.';
COMMENT ON COLUMN metacell.top_genes IS 'Its most specific genes, by z, most specific first.';

CREATE TABLE metacell_expression (
    gene    text NOT NULL,
    load_id integer NOT NULL,
    gene_id text,
    tau     real CHECK (tau BETWEEN 0 AND 1),
    highest real[] NOT NULL,
    mean    real[] NOT NULL,
    percent real[],
    z       real[],
    PRIMARY KEY (gene, load_id)
);
CREATE INDEX metacell_expression_load ON metacell_expression USING brin (load_id);
CREATE INDEX metacell_expression_gene_id ON metacell_expression (gene_id) WHERE gene_id IS NOT NULL;
CREATE INDEX metacell_expression_gene ON metacell_expression (upper(gene));
COMMENT ON TABLE metacell_expression IS 'Expression of a gene in all metacells of a load: arrays by the ordinal of the metacell.';
COMMENT ON COLUMN metacell_expression.gene IS 'Gene as written: a symbol or an identifier.';
COMMENT ON COLUMN metacell_expression.load_id IS 'The load.';
COMMENT ON COLUMN metacell_expression.gene_id IS 'Identifier without version, where written.';
COMMENT ON COLUMN metacell_expression.tau IS 'Specificity for cell types, 0 to 1 (Yanai et al. 2005), over the means of cell types, of which each counts once; NULL for one cell type, or without expression.';
COMMENT ON COLUMN metacell_expression.highest IS 'Per cell type, in the order of metacell_run.cell_types, the highest mean of its metacells.';
COMMENT ON COLUMN metacell_expression.mean IS 'Mean expression, natural logarithm of 1 + counts per 10,000.';
COMMENT ON COLUMN metacell_expression.percent IS 'Percentage of the cells that express it, 0 to 100; NULL where single cells are not known.';
COMMENT ON COLUMN metacell_expression.z IS 'Standard deviations of mean above the average of the metacells; NULL where all are alike.';

CREATE TABLE metacell_peak (
    load_id      integer NOT NULL,
    ordinal      integer NOT NULL,
    chrom        smallint NOT NULL,
    length_class smallint NOT NULL,
    start_pos    integer NOT NULL,
    end_pos      integer NOT NULL CHECK (end_pos >= start_pos),
    access       real[] NOT NULL,
    open         boolean[]
);
CREATE INDEX metacell_peak_load ON metacell_peak USING brin (load_id);
CREATE INDEX metacell_peak_over ON metacell_peak (chrom, length_class, start_pos) INCLUDE (end_pos);
COMMENT ON TABLE metacell_peak IS 'Peaks of accessibility and their values in all metacells of a load: arrays by the ordinal of the metacell.';
COMMENT ON COLUMN metacell_peak.load_id IS 'The load.';
COMMENT ON COLUMN metacell_peak.ordinal IS 'Place among the peaks of the file, from 0.';
COMMENT ON COLUMN metacell_peak.chrom IS 'Chromosome code.';
COMMENT ON COLUMN metacell_peak.length_class IS 'Bits of end_pos - start_pos, as in ibd_segment.';
COMMENT ON COLUMN metacell_peak.start_pos IS 'First base of the peak, 1-based.';
COMMENT ON COLUMN metacell_peak.end_pos IS 'Last base, inclusive.';
COMMENT ON COLUMN metacell_peak.access IS 'Accessibility: natural logarithm of 1 + fragments per 10,000 in peaks; NULL for metacells without cells in the file of accessibility.';
COMMENT ON COLUMN metacell_peak.open IS 'Whether the peak is open (layer OpenPeaks), where the file says.';

CALL open_tables('metacell_run', 'metacell', 'metacell_expression', 'metacell_peak');
