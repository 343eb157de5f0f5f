"""What Enformer predicts a variant to change, and the tracks that it predicts.

An effect is of ALT against REF, the sum over all positions of the output: 114,688 bases around the variant (Avsec et al. 2021), so it is not of one
gene. Sizes of different assays are on different scales.
"""

from __future__ import annotations

from dataclasses import replace

from .read import SHORTEST, By, Order, Read
from .tissue import ASSAYS, TISSUES
from .variant import NAMED_LOADS, VARIANT

REACH = 57_344
"""Half of the model's output, in bases: how far from a variant its predicted effect reaches."""

TRACKS_KEPT = 100
"""How many of the strongest effects on tracks are kept where not all are."""

_ASSAY = f"CASE WHEN t.assay IN ({', '.join(map(repr, ASSAYS))}) THEN t.assay ELSE 'OTHER' END"
_EFFECT = "enformer_effect t JOIN enformer_run r ON r.load_id = t.load_id"


def track_id(load_id: int, ordinal: int) -> int:
    """As enformer_track.track_id is made."""
    return load_id * 65_536 + ordinal


ENFORMER = Read(
    name="enformer_effect",
    source=_EFFECT,
    visible="t.load_id = ANY(:loads)",
    columns={
        "variant_key": "t.variant_key",
        "load_id": "t.load_id",
        "key": "ROW(t.variant_key, t.load_id)",
        "score": "r.score",
        "synthetic": "r.synthetic",
        "strongest_effect": "t.strongest",
        "max_effect": "abs(t.strongest)",
        "strongest_track_id": "t.load_id::bigint * 65536 + t.strongest_track",
        "threshold": SHORTEST.format("r.threshold"),
        "over_threshold": "t.over_threshold",
        "track_count": "r.track_count",
        "tracks_kept": "r.tracks_kept",
        "components": "coalesce(t.components::text[]::float8[], '{}')",
        "swapped": "t.swapped",
        "source_locus": "t.source_locus",
        "line": "t.line",
        "summaries": "r.summaries",
        "tissue_effects_by_place": "t.tissue_effects",
        "tissue_tracks": "t.tissue_tracks",
    },
    by={"variant": By("t.variant_key = ANY(:keys)", parent="t.variant_key")},
    orders={"newest": Order(("t.load_id",), descending=True)},
    where={
        "score": "r.score = ANY(:value)",
        "dataset": f"t.load_id = ANY({NAMED_LOADS.format('ANY(:value)')})",
    },
)

TRACK = Read(
    name="enformer_track",
    source="enformer_track t",
    visible="t.load_id = ANY(:loads)",
    columns={
        "track_id": "t.track_id",
        "id": "'EnformerTrack:' || t.track_id",
        "load_id": "t.load_id",
        "index": "t.ordinal",
        "identifier": "t.identifier",
        "assay": _ASSAY,
        "description": "t.description",
        "tissue": f"CASE WHEN t.tissue IN ({', '.join(map(repr, TISSUES))}) THEN t.tissue END",  # tables of tissues change
    },
    by={"pk": By("t.track_id = ANY(:keys)", parent="t.track_id"), "all": By()},
    orders={"index": Order(("t.track_id",))},
    where={
        "assay": f"{_ASSAY} = ANY(:value)",
        "tissue": "t.tissue = ANY(:value)",
        "dataset": f"t.load_id = ANY({NAMED_LOADS.format('ANY(:value)')})",
    },
)

# ---- variants by what they are predicted to change; of several loads of a score the latest that has the variant speaks

_PLACE = "array_position(r.summaries, :summary)"
_STARTS = """SELECT n.chrom, CASE n.strand WHEN 1 THEN n.start_pos ELSE n.end_pos END AS pos FROM {0} n WHERE n.gene_id = :gene_id AND n.load_id = ANY(:loads)"""

ALTERING = replace(
    VARIANT,
    name="altering_variant",
    source=f"""variant t CROSS JOIN LATERAL (SELECT x.load_id, x.tissue_effects[{_PLACE}] AS effect, x.tissue_tracks[{_PLACE}] AS track, r.score, r.synthetic
        FROM enformer_effect x JOIN enformer_run r ON r.load_id = x.load_id WHERE x.variant_key = t.variant_key AND x.load_id = ANY(:loads)
        AND r.score = :score AND (:datasets::text[] IS NULL OR x.load_id = ANY({NAMED_LOADS.format("ANY(:datasets)")}))
        AND x.tissue_effects[{_PLACE}] IS NOT NULL ORDER BY x.load_id DESC LIMIT 1) e""",
    columns={
        **VARIANT.columns,
        "load_id": "e.load_id",
        "score": "e.score",
        "synthetic": "e.synthetic",
        "effect": "e.effect",
        "track_id": "e.load_id::bigint * 65536 + e.track",
    },
    by={
        "starts": By(  # of the transcripts of a gene
            anchor="(SELECT 0 AS key) k",
            spans=f"""unnest((SELECT range_agg(int8range(locus_key(s.chrom, s.pos - :flank), locus_key(s.chrom, s.pos + 1 + :flank)))
                FROM ({_STARTS.format("transcript")} UNION {_STARTS.format("gene")}) s)) span""",
            range=("greatest(lower(span), :lo)", "least(upper(span), :hi)"),
        )
    },
    where={**VARIANT.where, "least": "abs(e.effect) >= :value"},
    drivers={},
)
