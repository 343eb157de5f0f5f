-- depends: 0011.embedding
-- Clusters of variants: those whose vectors, by a model, lie close together.

ALTER TABLE dataset DROP CONSTRAINT dataset_kind_check;
ALTER TABLE dataset ADD CONSTRAINT dataset_kind_check
    CHECK (kind IN ('variants', 'genes', 'scores', 'samples', 'ibd', 'populations', 'ancestry', 'frequencies', 'v2f', 'enformer', 'metacells', 'clusters'));
COMMENT ON COLUMN dataset.kind IS 'What its loads hold: variants (VCF), genes (GTF), scores (one number per variant), samples (populations, pedigrees), ibd (segments shared by descent), populations (what they are called and part of), ancestry (principal components), frequencies (of alleles in populations, without variants), v2f (variant-to-function scores), enformer (predicted effects on tracks), metacells (single-cell expression) or clusters (of variants, by their vectors).';

CREATE TABLE variant_cluster_run (
    load_id     integer PRIMARY KEY,
    model       text NOT NULL,
    min_size    integer NOT NULL CHECK (min_size >= 2),
    min_samples integer NOT NULL CHECK (min_samples >= 1),
    variants    integer NOT NULL,
    noise       integer NOT NULL,
    clusters    integer NOT NULL
);
COMMENT ON TABLE variant_cluster_run IS 'How the clusters of a load were made.';
COMMENT ON COLUMN variant_cluster_run.load_id IS 'The load.';
COMMENT ON COLUMN variant_cluster_run.model IS 'Name of the model whose vectors were clustered (embedding_model.name); what else it was is in the digest of the load.';
COMMENT ON COLUMN variant_cluster_run.min_size IS 'Fewest variants of a cluster.';
COMMENT ON COLUMN variant_cluster_run.min_samples IS 'So many of the nearest, itself included, say how dense it is around a variant.';
COMMENT ON COLUMN variant_cluster_run.variants IS 'Variants that were clustered.';
COMMENT ON COLUMN variant_cluster_run.noise IS 'Of these, variants that are in no cluster.';
COMMENT ON COLUMN variant_cluster_run.clusters IS 'Number of clusters.';

CREATE TABLE variant_cluster (
    cluster_id bigint GENERATED ALWAYS AS (load_id::bigint * 16777216 + ordinal) STORED PRIMARY KEY,
    load_id    integer NOT NULL,
    ordinal    integer NOT NULL CHECK (ordinal BETWEEN 1 AND 16777215),
    size       integer NOT NULL,
    exemplar   bigint NOT NULL,
    cohesion   real NOT NULL
);
COMMENT ON TABLE variant_cluster IS 'Clusters of variants.';
COMMENT ON COLUMN variant_cluster.cluster_id IS 'Load and ordinal in one number.';
COMMENT ON COLUMN variant_cluster.load_id IS 'The load.';
COMMENT ON COLUMN variant_cluster.ordinal IS 'Number of the cluster in its load, from 1: by size, the largest first, then by the first member in the genome.';
COMMENT ON COLUMN variant_cluster.size IS 'Number of its members.';
COMMENT ON COLUMN variant_cluster.exemplar IS 'Key of the member most similar to the mean direction of all; of equal ones the first in the genome.';
COMMENT ON COLUMN variant_cluster.cohesion IS 'Mean cosine similarity of its members to their mean direction, 0 to 1.';

CREATE TABLE variant_cluster_member (
    variant_key bigint NOT NULL,
    load_id     integer NOT NULL,
    ordinal     integer NOT NULL,
    place       integer NOT NULL,
    probability real NOT NULL CHECK (probability BETWEEN 0 AND 1),
    PRIMARY KEY (variant_key, load_id)
);
CREATE INDEX variant_cluster_member_place ON variant_cluster_member (load_id, ordinal, place);
COMMENT ON TABLE variant_cluster_member IS 'Which variant is in which cluster of a load: in one, or in none.';
COMMENT ON COLUMN variant_cluster_member.variant_key IS 'The variant.';
COMMENT ON COLUMN variant_cluster_member.load_id IS 'The load.';
COMMENT ON COLUMN variant_cluster_member.ordinal IS 'Number of the cluster in its load.';
COMMENT ON COLUMN variant_cluster_member.place IS 'Place in the cluster, from 1: by probability, the highest first, then in genome order.';
COMMENT ON COLUMN variant_cluster_member.probability IS 'How far it belongs to the cluster, 0 to 1, of its densest part (HDBSCAN): no chance of anything.';

CALL open_tables('variant_cluster_run', 'variant_cluster', 'variant_cluster_member');

-- Variants without a vector are tried anew once for each change of what models read.
ALTER TABLE embedding_model ADD COLUMN tried_release integer;
COMMENT ON COLUMN embedding_model.tried_release IS 'The release at which variants without a vector were last tried anew; NULL while it is that of the registration, or the model reads none.';

-- Models of proteins and of text came with these.
COMMENT ON COLUMN embedding_model.revision IS 'Revision of the published model, with the version of the text that it reads (+text.1), or version of the layout.';
COMMENT ON COLUMN embedding_model.flank IS 'Bases of the reference, or residues of the protein, on either side of the change; NULL for a model that reads none.';
COMMENT ON COLUMN embedding_model.reference IS 'Digest of the reference, or of the FASTA of proteins, that it read; NULL for none.';
