-- name: token_subject
-- Whose token it is, what for, and until when. $1 its SHA-256.
SELECT subject, scopes, expires_at FROM token_subject($1);

-- name: granted_datasets
-- The datasets whose individual-level data a subject may see. $1 subject.
SELECT granted_datasets($1) AS datasets;

-- name: loads_of_people
-- What of loads is about persons. $1 loads.
SELECT load_id, dataset, kind, people, callset, smallest FROM loads_of_people($1);

-- name: write_audit
-- Adds entries to the log of what was read of single persons. $1 JSON: an array of objects.
SELECT write_audit($1::jsonb);

-- name: rows_are_hidden
-- Whether row-level security holds for who asks, in all tables that it may read and the role of open data may not.
SELECT to_regrole('vkg_open') IS NOT NULL AND coalesce(bool_and(row_security_active(c.oid)), false) AS hidden FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname = ANY (current_schemas(false)) AND has_table_privilege(c.oid, 'SELECT')
AND NOT CASE WHEN to_regrole('vkg_open') IS NULL THEN true ELSE has_table_privilege(to_regrole('vkg_open'), c.oid, 'SELECT') END;

-- name: individual_tables_are_kept
-- Whether who asks can read none of the tables that have row-level security.
SELECT coalesce(bool_and(NOT has_table_privilege(c.oid, 'SELECT')), false) AS kept FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relrowsecurity AND n.nspname = ANY (current_schemas(false));
