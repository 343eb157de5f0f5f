"""Which variants are like which, by numpy over the vectors as the tables hold them: the other reading, for the tests of similarity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from store import embedding
from tests.graph.api import Api
from tests.graph.cells import Annotation, read_gtf
from tests.graph.conftest import DEMO, Clone, Site, embed_annotation, settings
from tests.graph.facts import Facts, holds, read_facts
from tests.graph.loading import load_vcf
from tests.graph.test_cell_context import some_consequences, write_vep

ROUNDING = 1e-6
"""pgvector multiplies halves in float: 70 numbers come out with an error of a tenth of this. Neighbours that lie nearer together may stand in
either order."""
_CHROMS = ["", *map(str, range(1, 23)), "X", "Y", "MT"]


@dataclass(frozen=True)
class Neighbours:
    """The vectors (n, d) of a model in float64, as stored, in genome order, with the names of their variants."""

    names: list[str]
    directions: np.ndarray
    norms: np.ndarray
    distances: list[float | None]

    @cached_property
    def place(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def _kinds(self) -> tuple[np.ndarray, np.ndarray]:
        """The unit vectors that differ, and which of them each variant has: of annotations there are few."""
        kinds, which = np.unique(self.directions, axis=0, return_inverse=True)
        lengths = np.linalg.norm(kinds, axis=1, keepdims=True)
        return kinds / np.where(lengths > 0, lengths, np.nan), which.reshape(-1)

    def similarities(self, name: str) -> np.ndarray:
        """Cosine similarities (n,) of all to one; NaN where one of the two is zero."""
        kinds, which = self._kinds
        return (kinds @ kinds[which[self.place[name]]])[which]

    def similarities_to(self, vector: Sequence[float] | np.ndarray) -> np.ndarray:
        """Cosine similarities (n,) of all to a vector, whose direction is taken as halves; NaN where the other is zero."""
        halves = (np.asarray(vector, np.float64) / np.linalg.norm(np.asarray(vector, np.float64))).astype(np.float16).astype(np.float64)
        kinds, which = self._kinds
        return (kinds @ (halves / np.linalg.norm(halves)))[which]

    def check(self, name: str, edges: Sequence[Any], count: int, allowed: np.ndarray | None = None, least: float | None = None) -> None:
        """Asserts that edges are the `count` nearest to a variant, of those that are allowed (n,) and at least so similar, in their order.

        Of equal vectors the first of the genome are there, in its order; numbers agree to ROUNDING, and are rounded to it.
        """
        others = np.ones(len(self.names), bool) if allowed is None else allowed.copy()
        others[self.place[name]] = False
        self._check(name, self.similarities(name), edges, count, others, least)

    def check_vector(
        self,
        vector: Sequence[float] | np.ndarray,
        edges: Sequence[Any],
        count: int,
        allowed: np.ndarray | None = None,
        least: float | None = None,
    ) -> None:
        """Asserts of the variants nearest to a vector what `check` does of those nearest to a variant."""
        others = np.ones(len(self.names), bool) if allowed is None else allowed
        self._check("the vector", self.similarities_to(vector), edges, count, others, least)

    def _check(
        self, name: str, similarities: np.ndarray, edges: Sequence[Any], count: int, others: np.ndarray, least: float | None
    ) -> None:
        others = others & ~np.isnan(similarities)
        if least is not None:
            assert not (others & (np.abs(similarities - least) < ROUNDING)).any(), "choose a bound that no number is at"
            others &= similarities > least
        best = -np.sort(-similarities[others])[:count]
        places = np.array([self.place[edge["node"]["name"]] for edge in edges], int)
        told = np.array([edge["similarity"] for edge in edges])
        assert len(places) == len(set(places.tolist())) == len(best), (name, len(places), len(best))
        if not len(best):
            return
        assert others[places].all(), name
        assert np.abs(told - similarities[places]).max() < ROUNDING, name
        assert np.abs(best - similarities[places]).max() < ROUNDING, name
        assert (np.diff(told) <= 0).all(), name
        assert (told == np.round(told, 6)).all(), name
        which = self._kinds[1]
        for kind in np.unique(which[places]):
            among = np.flatnonzero((which == kind) & others)
            here = places[which[places] == kind]
            assert here.tolist() == among[: len(here)].tolist(), name

    def bound(self, name: str, near: float) -> float:
        """A similarity that lies near a number and clearly between two that variants have."""
        found = np.unique(self.similarities(name))
        gaps = np.flatnonzero(np.diff(found) > 10 * ROUNDING)
        middles = (found[gaps] + found[gaps + 1]) / 2
        return float(middles[np.abs(middles - near).argmin()])

    def recall(self, name: str, found: Sequence[str], count: int, allowed: np.ndarray | None = None) -> float:
        """The share of those found that are as near as the `count` nearest."""
        similarities = self.similarities(name)
        others = ~np.isnan(similarities) & (True if allowed is None else allowed)
        others[self.place[name]] = False
        bound = -np.sort(-similarities[others])[:count][-1]
        places = [self.place[each] for each in found]
        assert len(set(places)) == len(places) == count
        assert others[places].all()
        return float((similarities[places] >= bound - ROUNDING).mean())


def rounded(answer: dict[str, Any]) -> dict[str, Any]:
    """For json.loads (object_hook): what an answer says that was written down, where another processor may round a similarity the other way."""
    return {name: pytest.approx(value, abs=1.5e-6) if name == "similarity" else value for name, value in answer.items()}


def read_neighbours(url: str, model: str) -> Neighbours:
    """The vectors of a model by its name, read as text."""
    with psycopg.connect(url) as conn:
        (number,) = conn.execute("SELECT model_id FROM embedding_model WHERE name = %s", (model,)).fetchone() or (None,)
        rows = conn.execute(
            f"""SELECT v.chrom, v.pos, v.ref, v.alt, e.direction::text, e.norm, e.distance FROM embedding_{number} e
            JOIN variant v ON v.variant_key = e.variant_key ORDER BY e.variant_key"""
        ).fetchall()
    # The text is the shortest that means the half, not the half itself.
    directions = np.array([text[1:-1].split(",") for *_, text, _, _ in rows], np.float64).astype(np.float16).astype(np.float64)
    names = [f"{_CHROMS[chrom]}-{pos}-{ref}-{alt}" for chrom, pos, ref, alt, *_ in rows]
    return Neighbours(names, directions, np.array([row[5] for row in rows]), [row[6] for row in rows])


def register(url: str, name: str, names: dict[str, np.ndarray], **other: Any) -> embedding.Model:
    """A model of these vectors by the names of variants, written as the embedder writes them."""
    (dimension,) = {len(vector) for vector in names.values()}
    wanted = {
        "revision": "1", "weights_sha256": None, "flank": 10, "pooling": "mean", "dtype": "fp32", "reference": "a digest", "inputs": ["sequence"]
    }  # fmt: skip

    def embed(rows: embedding.Rows) -> embedding.Vectors:
        known = [
            (key, vector) for key, chrom, pos, ref, alt in rows if (vector := names.get(f"{_CHROMS[chrom]}-{pos}-{ref}-{alt}")) is not None
        ]
        vectors = np.array([vector for _, vector in known], np.float32).reshape(len(known), dimension)
        norms = np.linalg.norm(vectors, axis=1)
        keys = np.array([key for key, _ in known], np.int64)
        skipped = {row[0]: "TOO_MANY_N" for row in rows if row[0] not in set(keys.tolist())}
        return embedding.Vectors(keys, vectors / np.where(norms > 0, norms, 1)[:, None], norms, norms / 100, skipped)

    with psycopg.connect(url, autocommit=True) as conn:
        model = embedding.register(conn, embedding.Model(**({"name": name, "dimension": dimension} | wanted | other)))
        embedding.plan(conn, model, [(-(1 << 63), (1 << 63) - 1)])
        while embedding.work(conn, model, embed) is not None:
            pass
    return model


# ---- a store of consequences, and of a model that tells all variants apart


@dataclass(frozen=True)
class World:
    """The demo with consequences of some variants, and a second model, `noise`, that has vectors of every third variant; every hundredth of these is 0,
    and their frequencies do not matter to it."""

    api: Api
    url: str
    annotation: Neighbours
    noise: Neighbours
    genes: Annotation
    facts: list[Facts]

    def of(self, model: str) -> Neighbours:
        return self.annotation if model == "annotation" else self.noise

    def allowed(self, model: str, **arguments: Any) -> np.ndarray:
        """Which of the model's variants pass the arguments filter, region and the like, by plain Python."""
        facts = {fact.name: fact for fact in self.facts}
        return np.array([self._allowed(facts[name], **arguments) for name in self.of(model).names])

    def _allowed(
        self, fact: Facts, filter: Any = None, span: tuple[int, int] | None = None, genes: list[str] | None = None, population: str | None = None
    ) -> bool:  # fmt: skip
        pos = int(fact.name.split("-")[1])
        return (
            (filter is None or holds(filter, fact))
            and (span is None or span[0] <= pos <= span[1])
            and (genes is None or bool(set(genes) & set(self.genes.at("20", pos))))
            and (population is None or any(name == population and (value or 0) > 0 for _, name, value in fact.frequencies))
        )


@contextmanager
def two_models(clone: Clone, template: str, sites: list[Site], folder: Path) -> Iterator[World]:
    """A copy of the demo, with what World says."""
    genes = read_gtf(DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz")
    csq = some_consequences(sites, genes)
    rng = np.random.default_rng(70)
    vectors = {site.name: rng.normal(size=12) * 10 for site in sites[::3]}
    for name in list(vectors)[::100]:
        vectors[name] *= 0
    with clone(template) as url:
        path = write_vep(folder / "vep.vcf", {site.name: site for site in sites}, csq)
        load_vcf(url, path, dataset="vep", version="1", assembly="GRCh37")
        with psycopg.connect(url, autocommit=True) as conn:
            before = embedding.find_model(conn, "annotation")
            assert before is not None
            embedding.remove(conn, before)
        embed_annotation(url)
        register(url, "noise", vectors)
        with Api(settings(url)) as api:
            yield World(api, url, read_neighbours(url, "annotation"), read_neighbours(url, "noise"), genes, read_facts(url))
