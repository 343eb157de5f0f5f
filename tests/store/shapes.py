"""Every shape of statement that the graph can send: its links, in all their modes, with each condition on its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graph import schema  # noqa: F401 - declares the links
from graph.relation import Link, entities, links
from store.gene import GENE
from store.read import Filter, Join, Mode, Read, compose, where
from store.similarity import background, members, nearest, passing, vectors

INDIVIDUAL = {"sample", "callset_sample", "sample_info", "genotype", "genotype_format", "ibd_segment", "hbd_segment", "ancestry"}
"""The tables of what is known of single persons."""


def is_individual(sql: str) -> bool:
    """True where a statement reads what is known of single persons."""
    return not INDIVIDUAL.isdisjoint(re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", sql))


@dataclass(frozen=True)
class Shape:
    """One statement: the link it is of, and what is asked of it."""

    link: str
    read: str
    by: str
    order: str
    mode: Mode
    condition: str | None
    after: bool
    backward: bool
    sql: str

    def __str__(self) -> str:
        what = f"{self.link} by {self.by}" + (f", {self.condition}" if self.condition else "")
        return f"{what}: {self.mode}" + " after" * self.after + " backward" * self.backward


EITHER, JOINED = "one of the drivers", "with what is joined"
"""Shapes beside those of single conditions: drivers whose indexes are in genome order, and all rows that may come along."""

OTHER_WAYS = {"Query.variants": ("keys",), "Query.genes": ("region",)}
"""Ways that a link's function asks for instead of the declared one."""


def shapes() -> Iterator[Shape]:
    """Each shape once, however many links share it."""
    seen: set[tuple[str, str, str, bool]] = set()
    for link in (*links, *(e.identity for e in entities.values() if "pk" in e.identity.read.by)):
        for by in (link.by, *OTHER_WAYS.get(link.name, ())):
            if (what := (link.read.name, by, link.order, link.shape == "page")) not in seen:
                seen.add(what)
                yield from _of_link(link, by)


def _of_link(link: Link, by: str) -> Iterator[Shape]:
    read = link.read
    columns = columns_of(read, by)
    cursors = [(after, backward) for after in (False, True) for backward in (False, True)]
    joins = joins_of(link, columns)
    for condition in (None, *read.where, *([EITHER] if len(read.drivers) > 1 else []), *([JOINED] if joins else [])):
        modes: list[tuple[Mode, bool, bool]] = [("page", *c) for c in cursors] + [("count", False, False)]
        for mode, after, backward in modes if link.shape == "page" else [("all", False, False)]:
            statement, _ = compose(
                read, by, columns=columns, order=link.order, filter=condition_of(read, condition), mode=mode,
                after=after and not read.by[by].range, backward=backward, per_parent=read.by[by].anchor is not None,
                joins=joins if condition == JOINED and mode != "count" else (),
            )  # fmt: skip
            yield Shape(link.name, read.name, by, link.order, mode, condition, after, backward, statement.text)


def searches(model_id: int) -> Iterator[Shape]:
    """Each shape of the statements that find the vectors of a model and what is similar (graph/similar.py)."""
    from_variants = (("index", "variant"), ("index", "span"), ("exact", "variant"), ("exact", "span"), ("exact", "gene"))
    for origin, ways in (("variant", from_variants), ("vector", from_variants[:4])):
        for way, by in ways:
            read = nearest(model_id, way, origin)
            for condition in (None, *(name for name in read.where if name != "passing")):
                asked = condition_of(read, condition)
                if (way, by) == ("exact", "variant"):
                    asked = passing(asked)
                for after in (False, True):
                    statement, _ = compose(
                        read, by, columns=read.columns, order="nearest", filter=asked, mode="all", after=after, per_parent=True
                    )
                    name = "Variant.similar" if origin == "variant" else "Query.variants_by_embedding"
                    yield Shape(f"{name} {way}", read.name, by, "nearest", "all", condition, after, False, statement.text)
    for name, read in (
        ("members", members(model_id)),
        ("members pathogenic", members(model_id, pathogenic=True)),
        ("background", background(model_id)),
    ):
        statement, _ = compose(read, "all", columns=read.columns, order="drawn", mode="page")
        yield Shape(f"Variant.similarity_to_class {name}", read.name, "all", "drawn", "page", None, False, False, statement.text)
    read = vectors(model_id)
    for columns in ([], ["norm", "distance"], ["direction"], ["norm", "halves"]):
        statement, _ = compose(read, "variant", columns=columns, order="key", mode="all")
        yield Shape("Variant.embedding", read.name, "variant", "key", "all", None, False, False, statement.text)


def columns_of(read: Read, by: str) -> list[str]:
    """All columns: of genes without those that say where they lie from a variant, but for the way that begins at one."""
    return [name for name in read.columns if read is not GENE or by == "variant" or name not in ("distance", "relation")]


def joins_of(link: Link, columns: list[str]) -> tuple[Join, ...]:
    """All that can be joined to the rows of a link."""
    types = {each.__name__ for each in link.types if each is not None}
    found = [each for each in links if each.joined and each.name.split(".")[0] in types and each.access in ("open", link.access)]
    return tuple(
        Join(each.read, each.by, each.order, tuple(columns_of(each.read, each.by)), each.on) for each in found if each.on in columns
    )


def condition_of(read: Read, name: str | None) -> Filter:
    """One condition on its own, with no values; where it has a place for another one, with one there."""
    if name is None or name == JOINED:
        return where()
    if name == EITHER:
        return ("or", tuple(condition_of(read, driver) for driver in read.drivers if driver != "rsid"))
    values: dict[str, Any] = dict.fromkeys(sorted(set(re.findall(r"(?<!:):([a-z]\w*)", read.where[name])) - {"loads"}))
    return ("with", (name, values, where(qual={"min": None, "max": None}))) if "{filter}" in read.where[name] else where(**{name: values})
