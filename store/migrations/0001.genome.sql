-- What the store is about: one assembly, its reference, and the arithmetic of loci.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE genome (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    assembly       text NOT NULL CHECK (assembly IN ('GRCh37', 'GRCh38')),
    reference_path text,
    reference_contigs json,
    created_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE genome IS 'The one assembly of this store and the reference FASTA registered with it; one row.';
COMMENT ON COLUMN genome.one IS 'Always true: there is one row.';
COMMENT ON COLUMN genome.assembly IS 'GRCh37 or GRCh38; fixed when the store is created.';
COMMENT ON COLUMN genome.reference_path IS 'Absolute path of the registered reference FASTA (with its .fai), NULL when none was given.';
COMMENT ON COLUMN genome.reference_contigs IS 'The contigs of that FASTA as {name: length in bases}: another file under the same path is noticed.';
COMMENT ON COLUMN genome.created_at IS 'When the store was created.';

CREATE FUNCTION locus_key(chrom smallint, pos integer) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((chrom::bigint << 59) | (greatest(pos - 1, 0)::bigint << 31)) # (1::bigint << 63);
COMMENT ON FUNCTION locus_key(smallint, integer) IS
    'The lowest variant_key at a 1-based position; loci [start, end] are the keys >= locus_key(chrom, start) and < locus_key(chrom, end + 1). The twin of store/region.py.';

-- The role under which the API reads: no writes, and later no individual-level tables. A cluster where
-- roles cannot be created is served under the role of its URL.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'vkg_open') THEN
        CREATE ROLE vkg_open NOLOGIN;
    END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    NULL;
END $$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'vkg_open') THEN
        GRANT USAGE ON SCHEMA public TO vkg_open;
        GRANT vkg_open TO CURRENT_USER;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END $$;

-- Every migration says which of its tables the open role may read; those that it does not name, it may not.
CREATE PROCEDURE open_tables(VARIADIC names regclass[]) LANGUAGE plpgsql AS $$
DECLARE name regclass;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'vkg_open') THEN
        FOREACH name IN ARRAY names LOOP
            EXECUTE format('GRANT SELECT ON %s TO vkg_open', name);
        END LOOP;
    END IF;
END $$;
COMMENT ON PROCEDURE open_tables(regclass[]) IS 'Lets the role vkg_open, where there is one, read these tables.';

CALL open_tables('genome');
