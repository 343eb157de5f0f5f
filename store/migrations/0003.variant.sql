-- depends: 0002.ledger
-- Identity of variants, and what files say about them. variant_key comes first in every key (design section 11).
-- Rows of a load lie together, so a BRIN index finds them when the load is taken out; finishing a load (VACUUM) summarises it.

CREATE TABLE variant (
    variant_key bigint PRIMARY KEY,
    chrom       smallint NOT NULL,
    pos         integer NOT NULL,
    ref         text NOT NULL,
    alt         text NOT NULL
);
COMMENT ON TABLE variant IS 'Identity only: biallelic, trimmed, left-aligned. Readable where a visible load has a variant_record of it.';
COMMENT ON COLUMN variant.variant_key IS 'VariantKey (Asuni et al.) with the top bit flipped: signed order is genome order.';
COMMENT ON COLUMN variant.chrom IS '1-22, 23 = X, 24 = Y, 25 = MT.';
COMMENT ON COLUMN variant.pos IS 'Position of the first REF base, 1-based.';
COMMENT ON COLUMN variant.ref IS 'REF allele, upper case.';
COMMENT ON COLUMN variant.alt IS 'ALT allele, upper case.';

CREATE TABLE variant_record (
    variant_key  bigint NOT NULL,
    load_id      integer NOT NULL,
    ids          text[],
    qual         double precision,
    filter       text[],
    info         json,
    source_locus text,
    allele       smallint NOT NULL,
    line         integer NOT NULL,
    PRIMARY KEY (variant_key, load_id)
);
CREATE INDEX variant_record_load ON variant_record USING brin (load_id);
COMMENT ON TABLE variant_record IS 'What one load says of one variant: a VCF record, split to this ALT. Its presence makes the variant visible.';
COMMENT ON COLUMN variant_record.variant_key IS 'The variant.';
COMMENT ON COLUMN variant_record.load_id IS 'The load it came from.';
COMMENT ON COLUMN variant_record.ids IS 'The ID column, split at semicolons; NULL for a dot.';
COMMENT ON COLUMN variant_record.qual IS 'QUAL (phred), NULL for a dot.';
COMMENT ON COLUMN variant_record.filter IS 'FILTER: {PASS}, or the names of the failed filters; NULL for a dot.';
COMMENT ON COLUMN variant_record.info IS 'INFO as JSON in file order with the file''s own digits; Number=A, R and G values are this allele''s.';
COMMENT ON COLUMN variant_record.source_locus IS 'CHROM:POS:REF:ALTs as written in the file where normalisation or splitting changed them, else NULL.';
COMMENT ON COLUMN variant_record.allele IS 'Which ALT of the file''s record this is, from 1.';
COMMENT ON COLUMN variant_record.line IS 'Line of the record in its file, from 1; for BCF the number of the record.';

CREATE TABLE rsid (
    rsid        bigint NOT NULL,
    variant_key bigint NOT NULL,
    load_id     integer NOT NULL,
    PRIMARY KEY (rsid, variant_key, load_id)
);
CREATE INDEX rsid_load ON rsid USING brin (load_id);
COMMENT ON TABLE rsid IS 'Look-up of variants by dbSNP rsID.';
COMMENT ON COLUMN rsid.rsid IS 'The number after rs.';
COMMENT ON COLUMN rsid.variant_key IS 'A variant that carries it.';
COMMENT ON COLUMN rsid.load_id IS 'The load that says so.';

CREATE TABLE frequency_population (
    load_id    integer NOT NULL,
    ordinal    smallint NOT NULL,
    population text NOT NULL,
    PRIMARY KEY (load_id, ordinal)
);
COMMENT ON TABLE frequency_population IS 'Which population each place of the population_frequency arrays of a load is.';
COMMENT ON COLUMN frequency_population.load_id IS 'The load.';
COMMENT ON COLUMN frequency_population.ordinal IS 'Place in the arrays, from 1.';
COMMENT ON COLUMN frequency_population.population IS 'Name as in the INFO key (EUR, afr, EUR_unrel ...); ALL for the overall AF, AC, AN.';

CREATE TABLE population_frequency (
    variant_key bigint NOT NULL,
    load_id     integer NOT NULL,
    ac          integer[],
    an          integer[],
    af          double precision[],
    hom         integer[],
    PRIMARY KEY (variant_key, load_id)
);
CREATE INDEX population_frequency_load ON population_frequency USING brin (load_id);
COMMENT ON TABLE population_frequency IS 'Allele counts and frequencies of one load, as arrays over its populations (frequency_population).';
COMMENT ON COLUMN population_frequency.variant_key IS 'The variant.';
COMMENT ON COLUMN population_frequency.load_id IS 'The load.';
COMMENT ON COLUMN population_frequency.ac IS 'ALT allele count by population; NULL where the file has none.';
COMMENT ON COLUMN population_frequency.an IS 'Called alleles by population.';
COMMENT ON COLUMN population_frequency.af IS 'ALT allele frequency by population: as published, else AC / AN; NULL, never 0, where AN = 0.';
COMMENT ON COLUMN population_frequency.hom IS 'Homozygous ALT individuals by population, where published.';

CREATE TABLE transcript_consequence (
    variant_key   bigint NOT NULL,
    load_id       integer NOT NULL,
    ordinal       smallint NOT NULL,
    annotator     text NOT NULL,
    severity      smallint NOT NULL,
    impact        smallint NOT NULL,
    terms         text[] NOT NULL,
    gene_id       text,
    symbol        text,
    transcript_id text,
    transcript_stable_id text,
    biotype       text,
    canonical     boolean NOT NULL,
    mane          text,
    hgvsc         text,
    hgvsp         text,
    exon          text,
    intron        text,
    cdna_position text,
    cds_position  text,
    protein_position text,
    amino_acids   text,
    codons        text,
    extra         json,
    PRIMARY KEY (variant_key, load_id, ordinal)
);
CREATE INDEX transcript_consequence_damaging ON transcript_consequence (variant_key) WHERE impact <= 2 OR severity <= 31;
CREATE INDEX transcript_consequence_hgvsc ON transcript_consequence (hgvsc) WHERE hgvsc IS NOT NULL;
CREATE INDEX transcript_consequence_hgvsp ON transcript_consequence (hgvsp) WHERE hgvsp IS NOT NULL;
CREATE INDEX transcript_consequence_load ON transcript_consequence USING brin (load_id);
COMMENT ON TABLE transcript_consequence IS 'Predicted consequences by transcript, as VEP (CSQ) or SnpEff (ANN) wrote them into a file.';
COMMENT ON COLUMN transcript_consequence.variant_key IS 'The variant.';
COMMENT ON COLUMN transcript_consequence.load_id IS 'The load.';
COMMENT ON COLUMN transcript_consequence.ordinal IS 'Order in the file''s record, from 0.';
COMMENT ON COLUMN transcript_consequence.annotator IS 'VEP or SnpEff.';
COMMENT ON COLUMN transcript_consequence.severity IS 'Rank of the most severe term in Ensembl''s order: 1 is the most severe (store/consequence.py).';
COMMENT ON COLUMN transcript_consequence.impact IS '1 HIGH, 2 MODERATE, 3 LOW, 4 MODIFIER.';
COMMENT ON COLUMN transcript_consequence.terms IS 'Sequence Ontology terms, as written.';
COMMENT ON COLUMN transcript_consequence.gene_id IS 'Gene identifier without its version, as written by the annotator.';
COMMENT ON COLUMN transcript_consequence.symbol IS 'Gene symbol, as written.';
COMMENT ON COLUMN transcript_consequence.transcript_id IS 'Transcript (or other feature), with its version where written.';
COMMENT ON COLUMN transcript_consequence.transcript_stable_id IS 'The same without its version (_PAR_Y kept), as genes'' transcripts have it.';
COMMENT ON COLUMN transcript_consequence.biotype IS 'Biotype of the transcript.';
COMMENT ON COLUMN transcript_consequence.canonical IS 'True where the annotator flags the transcript as canonical.';
COMMENT ON COLUMN transcript_consequence.mane IS 'SELECT or PLUS_CLINICAL where the annotator says so.';
COMMENT ON COLUMN transcript_consequence.hgvsc IS 'HGVS of the coding change, with its transcript.';
COMMENT ON COLUMN transcript_consequence.hgvsp IS 'HGVS of the protein change.';
COMMENT ON COLUMN transcript_consequence.exon IS 'Exon number/total.';
COMMENT ON COLUMN transcript_consequence.intron IS 'Intron number/total.';
COMMENT ON COLUMN transcript_consequence.cdna_position IS 'Position in the cDNA, as written.';
COMMENT ON COLUMN transcript_consequence.cds_position IS 'Position in the coding sequence, as written.';
COMMENT ON COLUMN transcript_consequence.protein_position IS 'Position in the protein, as written.';
COMMENT ON COLUMN transcript_consequence.amino_acids IS 'Amino acids, reference/alternative.';
COMMENT ON COLUMN transcript_consequence.codons IS 'Codons, reference/alternative.';
COMMENT ON COLUMN transcript_consequence.extra IS 'The annotator''s other non-empty fields, by name.';

CREATE TABLE clinical_significance (
    variant_key    bigint NOT NULL,
    load_id        integer NOT NULL,
    ordinal        smallint NOT NULL,
    aspect         text NOT NULL CHECK (aspect IN ('GERMLINE', 'ONCOGENICITY', 'SOMATIC_IMPACT')),
    classes        text[] NOT NULL,
    significance   text NOT NULL,
    variation_id   text,
    allele_id      text,
    review_status  text,
    stars          smallint,
    conditions     text[],
    condition_ids  text[],
    conflicting    text,
    gene_info      text,
    origin         text,
    hgvs           text,
    PRIMARY KEY (variant_key, load_id, ordinal)
);
CREATE INDEX clinical_significance_pathogenic ON clinical_significance (variant_key)
    WHERE classes && '{PATHOGENIC,LIKELY_PATHOGENIC}';
CREATE INDEX clinical_significance_load ON clinical_significance USING brin (load_id);
COMMENT ON TABLE clinical_significance IS 'Classifications by ClinVar (CLNSIG, ONC, SCI and their companions).';
COMMENT ON COLUMN clinical_significance.variant_key IS 'The variant.';
COMMENT ON COLUMN clinical_significance.load_id IS 'The load.';
COMMENT ON COLUMN clinical_significance.ordinal IS 'Order within the record, from 0.';
COMMENT ON COLUMN clinical_significance.aspect IS 'GERMLINE (CLNSIG), ONCOGENICITY (ONC) or SOMATIC_IMPACT (SCI).';
COMMENT ON COLUMN clinical_significance.classes IS 'The classification in the closed set of store/clinical.py, one or more.';
COMMENT ON COLUMN clinical_significance.significance IS 'The classification as written.';
COMMENT ON COLUMN clinical_significance.variation_id IS 'ClinVar VariationID (the ID column).';
COMMENT ON COLUMN clinical_significance.allele_id IS 'ClinVar AlleleID.';
COMMENT ON COLUMN clinical_significance.review_status IS 'Review status, as written.';
COMMENT ON COLUMN clinical_significance.stars IS 'ClinVar''s stars for that review status, 0-4; NULL for an unknown status.';
COMMENT ON COLUMN clinical_significance.conditions IS 'Names of the conditions.';
COMMENT ON COLUMN clinical_significance.condition_ids IS 'Their identifiers in other databases.';
COMMENT ON COLUMN clinical_significance.conflicting IS 'The single submissions behind a conflicting classification, as written.';
COMMENT ON COLUMN clinical_significance.gene_info IS 'Genes as symbol:NCBI id.';
COMMENT ON COLUMN clinical_significance.origin IS 'Allele origin code, as written.';
COMMENT ON COLUMN clinical_significance.hgvs IS 'Genomic HGVS as ClinVar writes it.';

CREATE TABLE score (
    load_id     integer NOT NULL,
    score_id    smallint NOT NULL,
    name        text NOT NULL,
    description text,
    PRIMARY KEY (load_id, score_id)
);
COMMENT ON TABLE score IS 'The scores that a load holds.';
COMMENT ON COLUMN score.load_id IS 'The load.';
COMMENT ON COLUMN score.score_id IS 'Number within the load, from 0.';
COMMENT ON COLUMN score.name IS 'Name of the score (CADD_PHRED ...).';
COMMENT ON COLUMN score.description IS 'What the file says about it.';

CREATE TABLE variant_score (
    variant_key bigint NOT NULL,
    load_id     integer NOT NULL,
    score_id    smallint NOT NULL,
    value       double precision NOT NULL,
    PRIMARY KEY (variant_key, load_id, score_id)
);
CREATE INDEX variant_score_load ON variant_score USING brin (load_id);
COMMENT ON TABLE variant_score IS 'One number per variant and score. Score loads create no variants: rows may await theirs.';
COMMENT ON COLUMN variant_score.variant_key IS 'The variant.';
COMMENT ON COLUMN variant_score.load_id IS 'The load.';
COMMENT ON COLUMN variant_score.score_id IS 'Which score of that load.';
COMMENT ON COLUMN variant_score.value IS 'The number, in the score''s own unit.';

CALL open_tables('variant', 'variant_record', 'rsid', 'frequency_population', 'population_frequency', 'transcript_consequence', 'clinical_significance', 'score', 'variant_score');
