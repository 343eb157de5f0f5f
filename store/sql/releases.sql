-- name: current_release
-- The newest release and the loads visible in it. Loads that were unloaded since are visible in named releases only.
SELECT r.release_id, r.name, CASE WHEN r.name IS NULL THEN
ARRAY(SELECT l.load_id FROM load l WHERE l.load_id = ANY(r.loads) AND l.state = 'loaded' ORDER BY 1) ELSE r.loads END AS loads
FROM release r ORDER BY r.release_id DESC LIMIT 1;

-- name: release_by_number
-- A release by its number, as current_release. $1 number.
SELECT r.release_id, r.name, CASE WHEN r.name IS NULL THEN
ARRAY(SELECT l.load_id FROM load l WHERE l.load_id = ANY(r.loads) AND l.state = 'loaded' ORDER BY 1) ELSE r.loads END AS loads
FROM release r WHERE r.release_id = $1;

-- name: release_by_name
-- A release by its name, as current_release. $1 name.
SELECT r.release_id, r.name, r.loads FROM release r WHERE r.name = $1;

-- name: headers_of_load
-- The headers of a load's files, in their order. $1 load.
SELECT header FROM load_file WHERE load_id = $1 AND header IS NOT NULL ORDER BY ordinal;
