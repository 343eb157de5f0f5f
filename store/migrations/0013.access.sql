-- depends: 0012.cluster
-- Who may see what is known of single persons: tokens, grants of datasets, and the log of what was read (docs/security.md). The role of open data
-- reads none of these tables; it asks by the functions, which answer what they are asked and no more.

CREATE TABLE access_token (
    token_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject    text NOT NULL CHECK (subject <> ''),
    hash       bytea NOT NULL UNIQUE,
    scopes     text[] NOT NULL CHECK (scopes <@ '{individual,admin}'),
    label      text,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
COMMENT ON TABLE access_token IS 'Tokens of the API. A token itself is shown once, when it is made; here is what it can be recognised by.';
COMMENT ON COLUMN access_token.token_id IS 'Number of the token.';
COMMENT ON COLUMN access_token.subject IS 'Whose it is.';
COMMENT ON COLUMN access_token.hash IS 'SHA-256 of the token, which has 256 random bits: nobody can guess one that has it.';
COMMENT ON COLUMN access_token.scopes IS 'individual: the individual-level data that its subject was granted; admin: all data. Open data needs none.';
COMMENT ON COLUMN access_token.label IS 'What it is for, in the words of who made it.';
COMMENT ON COLUMN access_token.created_at IS 'When it was made.';
COMMENT ON COLUMN access_token.expires_at IS 'From when on it is refused.';
COMMENT ON COLUMN access_token.revoked_at IS 'When it was revoked, NULL where it was not.';

CREATE TABLE access_grant (
    subject    text NOT NULL CHECK (subject <> ''),
    dataset    text NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subject, dataset)
);
COMMENT ON TABLE access_grant IS 'Who may see the individual-level data of which dataset, in all its versions. A dataset that is loaded later may be granted before.';
COMMENT ON COLUMN access_grant.subject IS 'Who: the subject of a token, or the claim sub of a JWT.';
COMMENT ON COLUMN access_grant.dataset IS 'Name of the dataset.';
COMMENT ON COLUMN access_grant.granted_at IS 'Since when.';

CREATE TABLE access_audit (
    audit_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    subject        text NOT NULL,
    operation      text NOT NULL,
    operation_name text,
    release_id     integer NOT NULL,
    samples        integer[] NOT NULL,
    names          text[] NOT NULL
);
CREATE INDEX access_audit_at ON access_audit (at);
COMMENT ON TABLE access_audit IS 'What was read of single persons over the API, written before it is answered. Rows are only ever added.';
COMMENT ON COLUMN access_audit.audit_id IS 'Number of the entry.';
COMMENT ON COLUMN access_audit.at IS 'When.';
COMMENT ON COLUMN access_audit.subject IS 'Who asked.';
COMMENT ON COLUMN access_audit.operation IS 'SHA-256 of the GraphQL document, in hexadecimal.';
COMMENT ON COLUMN access_audit.operation_name IS 'The name of the operation, where it has one.';
COMMENT ON COLUMN access_audit.release_id IS 'The release that was asked.';
COMMENT ON COLUMN access_audit.samples IS 'Of whom: sample.sample_id, ascending; empty where nobody was named, as with totals.';
COMMENT ON COLUMN access_audit.names IS 'The same people as COHORT/NAME, which stay when their data is taken out.';

CREATE FUNCTION only_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is only ever added to', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
COMMENT ON FUNCTION only_added() IS 'Refuses to change rows or take them away.';
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON access_audit FOR EACH STATEMENT EXECUTE FUNCTION only_added();

CREATE FUNCTION token_subject(token bytea) RETURNS TABLE (subject text, scopes text[], expires_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
BEGIN ATOMIC
    SELECT t.subject, t.scopes, t.expires_at FROM access_token t WHERE t.hash = token AND t.revoked_at IS NULL AND t.expires_at > now();
END;
COMMENT ON FUNCTION token_subject(bytea) IS 'Whose token has this SHA-256, and what it is for; no row where none has, or it is revoked or expired.';

CREATE FUNCTION granted_datasets(whose text) RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
BEGIN ATOMIC
    SELECT coalesce(array_agg(g.dataset ORDER BY g.dataset), '{}') FROM access_grant g WHERE g.subject = whose;
END;
COMMENT ON FUNCTION granted_datasets(text) IS 'The datasets whose individual-level data a subject may see.';

CREATE FUNCTION write_audit(entries jsonb) RETURNS void LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT
BEGIN ATOMIC
    INSERT INTO access_audit (subject, operation, operation_name, release_id, samples, names)
    SELECT e.subject, e.operation, e.operation_name, e.release_id, e.samples,
        ARRAY(SELECT coalesce(s.cohort || '/' || s.name, i::text) FROM unnest(e.samples) WITH ORDINALITY u (i, n) LEFT JOIN sample s ON s.sample_id = i ORDER BY n)
    FROM jsonb_to_recordset(entries) AS e (subject text, operation text, operation_name text, release_id integer, samples integer[]);
END;
COMMENT ON FUNCTION write_audit(jsonb) IS 'Adds entries to access_audit: objects of its columns.';

-- What of a load is about persons. Open data: how many people a cohort has is told by what is published of it.
ALTER TABLE frequency_population ADD COLUMN smallest integer;
COMMENT ON COLUMN frequency_population.smallest IS 'People of the smallest group that the counts of the load tell apart, where they were counted here: of fewer than a few, counts tell of single persons.';
UPDATE frequency_population p SET smallest = s.smallest FROM (
    SELECT load_id, min(people) AS smallest FROM (
        SELECT p.load_id, p.ordinal, (max(f.an[p.ordinal]) + 1) / 2 AS people FROM frequency_population p JOIN population_frequency f USING (load_id)
        WHERE p.counted GROUP BY p.load_id, p.ordinal) c GROUP BY load_id) s
WHERE p.counted AND p.load_id = s.load_id;

CREATE FUNCTION loads_of_people(wanted integer[]) RETURNS TABLE (load_id integer, dataset text, kind text, people integer, callset integer, smallest integer)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
BEGIN ATOMIC
    SELECT l.load_id, d.name, d.kind, 
        greatest((SELECT count(*) FROM callset_sample c WHERE c.load_id = l.load_id), (SELECT count(*) FROM sample_info i WHERE i.load_id = l.load_id))::integer,
        f.callset, f.smallest
    FROM load l JOIN dataset d USING (dataset_id)
    CROSS JOIN LATERAL (SELECT max(p.callset_load) AS callset, min(p.smallest) AS smallest FROM frequency_population p WHERE p.load_id = l.load_id) f
    WHERE l.load_id = ANY (wanted);
END;
COMMENT ON FUNCTION loads_of_people(integer[]) IS 'Of loads: how many samples they have genotypes of or describe, the callset that their frequencies were counted in, where it is another, and the people of the smallest group there.';

DO $$
DECLARE signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY['token_subject(bytea)', 'granted_datasets(text)', 'write_audit(jsonb)', 'loads_of_people(integer[])'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'vkg_open') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO vkg_open', signature);
        END IF;
    END LOOP;
END $$;
