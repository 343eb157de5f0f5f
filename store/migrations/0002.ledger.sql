-- depends: 0001.genome
-- Loads and releases: what came from where, and what is visible (design section 4).

CREATE TABLE dataset (
    dataset_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    kind        text NOT NULL CHECK (kind IN ('variants', 'genes', 'scores')),
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE dataset IS 'A named source that is loaded again as it changes (clinvar, gencode, a callset): the unit of publishing and of grants.';
COMMENT ON COLUMN dataset.dataset_id IS 'Number of the dataset.';
COMMENT ON COLUMN dataset.name IS 'Name given with --dataset, else taken from the file name.';
COMMENT ON COLUMN dataset.kind IS 'What its loads hold: variants (VCF), genes (GTF) or scores (one number per variant).';
COMMENT ON COLUMN dataset.created_at IS 'When it was first loaded.';

CREATE TABLE load (
    load_id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset_id  integer NOT NULL,
    version     text NOT NULL,
    state       text NOT NULL CHECK (state IN ('loading', 'loaded', 'unloaded')),
    hold        boolean NOT NULL,
    normalized  boolean NOT NULL,
    options     jsonb NOT NULL,
    counts      jsonb NOT NULL DEFAULT '{}',
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    unloaded_at timestamptz
);
CREATE UNIQUE INDEX load_version ON load (dataset_id, version) WHERE state <> 'unloaded';
COMMENT ON TABLE load IS 'One version of one dataset: the ledger. Every observation row carries the load_id it came from.';
COMMENT ON COLUMN load.load_id IS 'Number of the load, growing with time.';
COMMENT ON COLUMN load.dataset_id IS 'The dataset this is a version of.';
COMMENT ON COLUMN load.version IS 'Version given with --version, else the day of loading.';
COMMENT ON COLUMN load.state IS 'loading: rows are being written; loaded: complete, visible when a release holds it; unloaded: hidden for good, its rows are removed when no named release holds it.';
COMMENT ON COLUMN load.hold IS 'True where it was loaded with --hold and waits to be published.';
COMMENT ON COLUMN load.normalized IS 'False when indels were loaded without a reference (--unnormalized).';
COMMENT ON COLUMN load.options IS 'The options that decided what the rows are; the same file with other options is another load.';
COMMENT ON COLUMN load.counts IS 'Records read, rows written by table, rejects by reason.';
COMMENT ON COLUMN load.started_at IS 'When the load began.';
COMMENT ON COLUMN load.finished_at IS 'When its last row was written.';
COMMENT ON COLUMN load.unloaded_at IS 'When it was unloaded.';

CREATE TABLE load_file (
    load_id  integer NOT NULL,
    ordinal  smallint NOT NULL,
    path     text NOT NULL,
    sha256   text NOT NULL,
    bytes    bigint NOT NULL,
    header   text,
    chunks   integer NOT NULL DEFAULT 0,
    resume   jsonb NOT NULL DEFAULT '{}',
    done     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (load_id, ordinal)
);
CREATE INDEX load_file_sha256 ON load_file (sha256);
COMMENT ON TABLE load_file IS 'The files of a load and how far each is written; changed in the same transaction as the rows of a chunk.';
COMMENT ON COLUMN load_file.load_id IS 'The load.';
COMMENT ON COLUMN load_file.ordinal IS 'Order of the file in its load, from 0.';
COMMENT ON COLUMN load_file.path IS 'Absolute path it was read from.';
COMMENT ON COLUMN load_file.sha256 IS 'SHA-256 of its bytes, in hex: the same file again is a no-op.';
COMMENT ON COLUMN load_file.bytes IS 'Its size in bytes.';
COMMENT ON COLUMN load_file.header IS 'Its header lines, so that records can be written back.';
COMMENT ON COLUMN load_file.chunks IS 'Chunks committed; a load that was cut off goes on after them.';
COMMENT ON COLUMN load_file.resume IS 'Counts up to the last committed chunk.';
COMMENT ON COLUMN load_file.done IS 'True when the whole file is written.';

CREATE TABLE release (
    release_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loads      integer[] NOT NULL,
    name       text UNIQUE,
    reason     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE release IS 'An immutable set of loads. The newest one is current; a named one stays answerable and keeps its rows.';
COMMENT ON COLUMN release.release_id IS 'Number of the release, growing with time.';
COMMENT ON COLUMN release.loads IS 'The loads that are visible in it.';
COMMENT ON COLUMN release.name IS 'Name to pin it by (HTTP header Vkg-Release), NULL when never named.';
COMMENT ON COLUMN release.reason IS 'What made it: the publish, unload or naming.';
COMMENT ON COLUMN release.created_at IS 'When it was made.';
INSERT INTO release (loads, reason) VALUES ('{}', 'the empty store');

CALL open_tables('dataset', 'load', 'load_file', 'release');
