-- depends: 0010.metacell
-- Vectors of variants. They belong to a model, not to a load: they follow from identity and reference alone, but for those of a model that reads
-- observations, whose row names the release it read. Each model has a table of its own, embedding_<model_id>, made when it is registered.

CREATE TABLE embedding_model (
    model_id       smallint PRIMARY KEY,
    name           text NOT NULL UNIQUE,
    revision       text,
    weights_sha256 text,
    dimension      integer NOT NULL CHECK (dimension BETWEEN 1 AND 4000),
    flank          integer,
    pooling        text,
    dtype          text,
    reference      text,
    release_id     integer,
    inputs         text[] NOT NULL,
    registered_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE embedding_model IS 'Models that turn variants into vectors, and all that decides what comes out.';
COMMENT ON COLUMN embedding_model.model_id IS 'Number of the model: its vectors are in embedding_<model_id>.';
COMMENT ON COLUMN embedding_model.name IS 'Name as --model takes it.';
COMMENT ON COLUMN embedding_model.revision IS 'Revision of the published model, or version of the layout.';
COMMENT ON COLUMN embedding_model.weights_sha256 IS 'SHA-256 of the weights, in hex; NULL for a model without.';
COMMENT ON COLUMN embedding_model.dimension IS 'Length of its vectors; more than 4,000 cannot be indexed.';
COMMENT ON COLUMN embedding_model.flank IS 'Bases of the reference on either side of the variant; NULL for a model that reads none.';
COMMENT ON COLUMN embedding_model.pooling IS 'How tokens become one vector: variant, mean or max; NULL for a model without tokens.';
COMMENT ON COLUMN embedding_model.dtype IS 'Precision of the model: fp16, bf16 or fp32; NULL where there is no choice.';
COMMENT ON COLUMN embedding_model.reference IS 'Digest of the reference it read; NULL for none.';
COMMENT ON COLUMN embedding_model.release_id IS 'The release whose observations it read; NULL for a model that reads none.';
COMMENT ON COLUMN embedding_model.inputs IS 'Kinds of observations that it read (consequence, frequency ...): none of these may be carried over by similarity.';
COMMENT ON COLUMN embedding_model.registered_at IS 'When it was registered.';

CREATE TABLE embedding_skip (
    variant_key bigint NOT NULL,
    model_id    smallint NOT NULL,
    reason      text NOT NULL,
    PRIMARY KEY (variant_key, model_id)
);
COMMENT ON TABLE embedding_skip IS 'Variants that a model cannot embed, and why.';
COMMENT ON COLUMN embedding_skip.variant_key IS 'The variant.';
COMMENT ON COLUMN embedding_skip.model_id IS 'The model.';
COMMENT ON COLUMN embedding_skip.reason IS 'Name of the reason (embedder/windows.py).';

CREATE TABLE embedding_task (
    model_id smallint NOT NULL,
    lo       bigint NOT NULL,
    hi       bigint NOT NULL,
    PRIMARY KEY (model_id, lo)
);
COMMENT ON TABLE embedding_task IS 'Stretches of keys that wait to be embedded. A worker locks one (SKIP LOCKED) in the transaction that writes its vectors and takes it out; when the worker dies, the lock goes and the task stays.';
COMMENT ON COLUMN embedding_task.model_id IS 'The model.';
COMMENT ON COLUMN embedding_task.lo IS 'First key.';
COMMENT ON COLUMN embedding_task.hi IS 'Key after the last.';

CALL open_tables('embedding_model', 'embedding_skip');
