"""Where people lie in ancestry space, and who lies near whom."""

from __future__ import annotations

from dataclasses import replace

from .ibd import TOTALS, run_of
from .read import By, Order, Read
from .sample import SAMPLE

ANCESTRY = Read(
    name="ancestry",
    source="ancestry t JOIN ancestry_run r ON r.load_id = t.load_id",
    visible="t.load_id = ANY(:loads)",
    columns={"load_id": "t.load_id", "components": "t.components", "scaled": "r.eigenvalues IS NOT NULL"},
    by={"sample": By("t.sample_id = ANY(:keys)", parent="t.sample_id")},
    orders={"newest": Order(("t.load_id",), descending=True)},
)

MATCHED = replace(
    SAMPLE,
    name="ancestry_matched",
    source="ancestry t",
    # Whom a visible analysis places, its own rows of sample_info name. Only the samples of the page are looked up by their name.
    visible="t.load_id = k.run AND t.sample_id <> k.key",
    columns={
        **SAMPLE.columns,
        **{name: f"(SELECT s.{name} FROM sample s WHERE s.sample_id = t.sample_id)" for name in ("cohort", "name")},
        "analysis_id": "k.run",
        "distance": "t.place <-> k.place",
    },
    by={
        "sample": By(
            # Where nobody knows who is related (no run), nobody is known to be unrelated.
            anchor=f"""(SELECT p.*, CASE WHEN :related::float8 IS NULL THEN '{{}}' WHEN p.ibd IS NOT NULL THEN ARRAY(SELECT r.sample_id FROM
                ({TOTALS.format(sample="p.key", run="p.ibd")}) r WHERE r.total_cm > :related) END AS relatives
                FROM (SELECT s.sample_id AS key, a.load_id AS run, a.place, {run_of("s.cohort")} AS ibd FROM sample s
                    JOIN ancestry a ON a.sample_id = s.sample_id AND a.load_id = (SELECT max(c.load_id) FROM ancestry c
                        WHERE c.sample_id = s.sample_id AND c.load_id = ANY(:loads) AND (:analyses::int[] IS NULL OR c.load_id = ANY(:analyses)))
                    WHERE s.sample_id = ANY(:keys) OFFSET 0) p OFFSET 0) k""",
            each="NOT t.sample_id = ANY(k.relatives)",
        )
    },
    orders={"distance": Order(("t.place <-> k.place", "t.sample_id"))},
    where={"population": SAMPLE.where["population"]},
)
