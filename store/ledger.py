"""How the ledger is read by the API: loads and releases, as far as they are visible."""

from __future__ import annotations

from .read import By, Order, Read

LOAD = Read(
    name="load",
    source="load t JOIN dataset d ON d.dataset_id = t.dataset_id",
    visible="t.load_id = ANY(:loads)",
    columns={
        "load_id": "t.load_id",
        "id": "'Load:' || t.load_id",
        "dataset": "d.name",
        "kind": "upper(d.kind)",
        "version": "t.version",
        "normalized": "t.normalized",
        "lifted_from": "t.options -> 'lift' ->> 'from'",
        "loaded_at": "t.finished_at",
        "record_count": "(t.counts ->> 'records')::bigint",
        "reject_count": "(t.counts ->> 'rejects')::bigint",
        "files": "ARRAY(SELECT regexp_replace(f.path, '^.*/', '') FROM load_file f WHERE f.load_id = t.load_id ORDER BY f.ordinal)",
        "sha256": "ARRAY(SELECT f.sha256 FROM load_file f WHERE f.load_id = t.load_id ORDER BY f.ordinal)",
    },
    by={
        "pk": By("t.load_id = ANY(:keys)", parent="t.load_id"),
        "all": By(),
    },
    orders={"id": Order(("t.load_id",))},
    where={"dataset": "d.name = ANY(:value)", "kind": "d.kind = ANY(:value)"},
)

RELEASE = Read(
    name="release",
    source="release t",
    # Releases are the open record of what was visible when; the loads in them are read under their own rule.
    visible="true",
    columns={
        "release_id": "t.release_id",
        "id": "'Release:' || t.release_id",
        "name": "t.name",
        "reason": "CASE WHEN :all THEN t.reason ELSE split_part(t.reason, ' ', 1) END",  # it names datasets
        "created_at": "t.created_at",
    },
    by={"pk": By("t.release_id = ANY(:keys)", parent="t.release_id"), "all": By()},
    orders={"newest": Order(("t.release_id",), descending=True)},
    where={"named": "(t.name IS NOT NULL) = :value", "name": "t.name = ANY(:value)"},
)
