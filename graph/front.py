"""The page at `/`: what the store holds, for a person. One GraphQL document comes in as its answer; one HTML page goes out.

It has no scripts and loads nothing: its one style sheet and its icon are inside, and its Content-Security-Policy allows
no more than them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib import resources
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse

from .html import Markup, join, tag

QUERY = """query Front {
  store {
    assembly
    version
    release { id name reason createdAt }
    loads { dataset version kind normalized loadedAt recordCount rejectCount files }
    named: releases(named: true, first: 20) { nodes { name createdAt } pageInfo { hasNextPage } }
    counts { records samples genes transcripts consequences clinical scores ibdSegments hbdSegments v2fScores v2fLinks enformerEffects metacells }
    scores
    populations
  }
  callsets { name version cohort sampleCount variantCount formatKept }
  ibdRuns { name version source sourceVersion cohort segmentCount hbdSegmentCount sampleCount callset { name version } }
  populations(first: 1000) { nodes { name description superPopulation { name } } pageInfo { hasNextPage } }
}"""

COUNTED = {
    "records": "variant records",
    "samples": "samples",
    "genes": "genes",
    "transcripts": "transcripts",
    "consequences": "consequences",
    "clinical": "clinical classifications",
    "scores": "scores",
    "ibdSegments": "segments shared by descent",
    "hbdSegments": "segments homozygous by descent",
    "v2fScores": "scores for function",
    "v2fLinks": "links of elements to genes",
    "enformerEffects": "predicted effects",
    "metacells": "metacells",
}
HOLDS = {"IBD": "shared segments"}
"""Kinds of datasets that are not called what they hold."""
PLACES = {
    "graphiql": ("GraphiQL", "Write queries here, with completion, examples and a description of every field."),
    "schema.graphql": ("Schema", "All types and fields, for generators of typed clients."),
}
NAVIGATION = {"graphiql": "GraphiQL", "schema.graphql": "Schema", "#documentation": "Documentation"}
HEALTH = {"readyz": "readiness", "healthz": "health", "metrics": "metrics"}
DOCUMENTS = {
    "README.md": "the first query and the commands",
    "docs/querying.md": "names of variants, filters, pages, releases, limits",
    "docs/cohorts.md": "people: genotypes, carriers, families",
    "docs/sharing.md": "what people share by descent: segments, carriers, relatives",
    "docs/function.md": "what variants do: cV2F, links of enhancers to genes, Enformer",
    "docs/cells.md": "in which cells: metacells, what they express, and the variants that matter there",
    "docs/embeddings.md": "which variants are alike: models, vectors, similarity",
    "docs/loading.md": "which files can be loaded, and how",
    "docs/security.md": "who may see what, limits, profiles, trusted documents, browsers",
    "docs/operations.md": "serving, another PostgreSQL, containers",
    "docs/performance.md": "what a query costs",
}
CURL = "curl {}graphql -H 'Content-Type: application/json' \\\n  -d '{{\"query\": \"{{ store {{ assembly }} }}\"}}'"
LOAD = """vkg load vcf clinvar.vcf.gz --dataset clinvar --version 2026-11 --assembly {0}
vkg load genes gencode.v46.annotation.gtf.gz --dataset gencode --version 46 --assembly {0}
vkg load samples family.ped --cohort clinic
vkg load vcf cohort.vcf.gz --cohort clinic --assembly {0}"""

STYLE = Markup(resources.files("graph").joinpath("front.css").read_text())
ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke="#d60590" stroke-width="2.5" stroke-linecap="round">
<path d="M10 3c0 9 12 11 12 19 0 3-1 5-2 7M22 3c0 9-12 11-12 19 0 3 1 5 2 7"/><path d="M12 8h8M12 24h8M14 12h4M13 20h6" stroke-width="2"/></svg>"""
HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
    "Vary": "Accept",
}


def wanted(accept: str) -> bool:
    """Whether a client asks for HTML by name, as browsers do, and curl and most programs do not."""
    kinds = (kind.replace(" ", "").lower().split(";") for kind in accept.split(","))
    return any(kind == "text/html" and not any(re.fullmatch(r"q=0(\.0*)?", p) for p in parameters) for kind, *parameters in kinds)


def page(request: Request, answer: dict[str, Any], metrics: bool = True) -> HTMLResponse:
    """The page that shows an answer to QUERY; `metrics` says whether /metrics is there."""
    address = _address(request)
    if answer.get("errors"):
        said = answer["errors"][0]
        hint = said.get("extensions", {}).get("hint", "")
        text = tag("p", f"{said['message']} {hint}".strip(), class_="note")
        return HTMLResponse(_frame("The store does not answer", Markup(""), text, _ways(address, metrics), ""), 503, HEADERS)
    data = answer["data"]
    store = data["store"]
    release = store["release"]
    number = release["id"].removeprefix("Release:")
    called = join(" (", _name(release["name"]), ")") if release["name"] else ""
    lead = tag(
        "p", "Human genome assembly ", tag("strong", store["assembly"]), ", release ", tag("strong", number), called, " of ",
        _moment(release["createdAt"]), ": ", release["reason"], ".", class_="lead",
    )  # fmt: skip
    held = join(*_totals(store["counts"]), *_datasets(store["loads"]), *_people(data), *_names(store), *_pinned(store["named"]))
    return HTMLResponse(
        _frame("What this store holds", lead, held or _empty(store["assembly"]), _ways(address, metrics), store["version"]), 200, HEADERS
    )


def _address(request: Request) -> str:
    """Where the client found this, with a slash at its end."""
    host = request.headers.get("host", "")
    host = host if re.fullmatch(r"[A-Za-z0-9.\[\]:_-]+", host) else "127.0.0.1:8000"
    return f"{request.scope['scheme']}://{host}{request.scope.get('root_path', '')}/"


# ---- the parts, each nothing where the store has none of it


def _totals(counts: dict[str, str]) -> Iterable[Markup]:
    shown = [(f"{int(counts[key]):,}", label) for key, label in COUNTED.items() if int(counts[key])]
    if shown:
        yield tag("dl", *(tag("div", tag("dt", label), tag("dd", number)) for number, label in shown), class_="totals")


def _datasets(loads: Sequence[dict[str, Any]]) -> Iterable[Markup]:
    rows = []
    for load in loads:
        remarks = [f"{_number(load['rejectCount'])} rejected"] if load["rejectCount"] not in (None, "0") else []
        remarks += [] if load["normalized"] else ["indels not left-aligned"]
        rows.append(
            [
                join(_name(load["dataset"]), " ", tag("span", load["version"], class_="version"), _small(_listed(load["files"]))),
                HOLDS.get(load["kind"], load["kind"].lower()),
                join(_number(load["recordCount"]), *(_small(remark) for remark in remarks)),
                _moment(load["loadedAt"], short=True),
            ]
        )
    if rows:
        yield from _section("Datasets", _table("Datasets", ["Dataset and version", "Holds", "#Records", "Loaded"], rows))


def _people(data: dict[str, Any]) -> Iterable[Markup]:
    rows = [
        [
            join(_name(callset["name"]), " ", tag("span", callset["version"], class_="version")),
            _name(callset["cohort"]),
            f"{callset['sampleCount']:,}",
            join(f"{callset['variantCount']:,}", _small("with DP, GQ, AD") if callset["formatKept"] else ""),
        ]
        for callset in data["callsets"]
    ]
    if rows:
        yield from _section("Callsets", _table("Callsets", ["Callset and version", "Cohort", "#Samples", "#Variants"], rows))
    rows = [
        [
            join(_name(run["name"]), " ", tag("span", run["version"], class_="version")),
            join(run["source"].replace("_", "-").lower(), " ", run["sourceVersion"] or ""),
            join(
                *([_name(run["callset"]["name"]), " ", tag("span", run["callset"]["version"], class_="version")] if run["callset"] else [])
            ),
            f"{run['sampleCount']:,}",
            _number(run["segmentCount"]),
            _number(run["hbdSegmentCount"]),
        ]
        for run in data["ibdRuns"]
    ]
    if rows:
        heads = ["Run and version", "Tool", "In the callset", "#Samples", "#Shared by two", "#Homozygous"]
        yield from _section("Segments by descent", _table("Segments by descent", heads, rows))
    if data["populations"]["nodes"]:
        more = [tag("p", "There are more.", class_="note")] if data["populations"]["pageInfo"]["hasNextPage"] else []
        yield from _section("Populations", _populations(data["populations"]["nodes"]), *more)


def _populations(nodes: Sequence[dict[str, Any]]) -> Markup:
    """Each with those that are part of it."""
    here = {node["name"] for node in nodes}
    parts: dict[str | None, list[dict[str, Any]]] = {}
    for node in nodes:
        larger = (node["superPopulation"] or {}).get("name")
        parts.setdefault(larger if larger in here else None, []).append(node)

    def level(whole: str | None) -> list[Markup]:
        larger = [tag("li", _population(node), *level(node["name"])) for node in parts[whole] if node["name"] in parts]
        others = [tag("li", _population(node)) for node in parts[whole] if node["name"] not in parts]
        return [tag("ul", *items, class_=kind) for kind, items in (("groups", larger), ("chips", others)) if items]

    return join(*level(None))


def _population(population: dict[str, Any]) -> Markup:
    described = tag("span", population["description"], class_="muted") if population["description"] else ""
    return join(tag("strong", _name(population["name"])), " " if described else "", described)


def _names(store: dict[str, Any]) -> Iterable[Markup]:
    named = {"Frequencies in": store["populations"], "Scores": store["scores"]}
    rows = [
        tag("div", tag("dt", label), tag("dd", tag("ul", *(tag("li", _name(name)) for name in names), class_="chips")))
        for label, names in named.items()
        if names
    ]
    if rows:
        yield from _section("Frequencies and scores", tag("dl", *rows, class_="pairs"))


def _pinned(named: dict[str, Any]) -> Iterable[Markup]:
    if named["nodes"]:
        items = [tag("li", _name(release["name"]), ", ", _moment(release["createdAt"])) for release in named["nodes"]]
        more = ", the latest twenty" if named["pageInfo"]["hasNextPage"] else ""
        note = tag("p", "A request with the header ", tag("code", "Vkg-Release: NAME"), f" is answered from one of these{more}.")
        yield from _section("Named releases", note, tag("ul", *items))


def _empty(assembly: str) -> Markup:
    text = tag("p", "Nothing is loaded yet. Loads may come in any order, and show here as soon as they are whole; for example:")
    more = tag("p", tag("code", "vkg load --help"), " tells which files can be loaded, docs/loading.md how.")
    return join(*_section("What to do next", text, tag("pre", tag("code", LOAD.format(assembly)), tabindex="0"), more))


def _ways(address: str, metrics: bool) -> Markup:
    cards = [tag("li", tag("a", tag("strong", label), href=place), tag("span", text)) for place, (label, text) in PLACES.items()]
    ask = tag("p", "From a program, POST JSON to ", tag("code", f"{address}graphql"), ":")
    health: list[str] = [
        part for place, label in HEALTH.items() if metrics or place != "metrics" for part in (", ", tag("a", label, href=place))
    ][1:]
    documents = [tag("div", tag("dt", tag("code", name)), tag("dd", text)) for name, text in DOCUMENTS.items()]
    return join(
        *_section("Ask it", tag("ul", *cards, class_="cards"), ask, tag("pre", tag("code", CURL.format(address)), tabindex="0")),
        *_section("Health", tag("p", "For those who run it: ", *health, ".")),
        *_section("Documentation", tag("p", "These come with the project:"), tag("dl", *documents, class_="pairs")),
    )


# ---- the frame, and what the parts are made of


def _frame(heading: str, lead: Markup, held: Markup, ways: Markup, version: str) -> Markup:
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{heading} · vkg"),
        tag("link", rel="icon", type="image/svg+xml", href=f"data:image/svg+xml,{quote(ICON)}"),
        tag("style", STYLE),
    )
    brand = tag("p", tag("strong", "vkg"), " a knowledge graph of genetic variation", class_="brand")
    links = [tag("a", label, href=place) for place, label in NAVIGATION.items()]
    main = tag("main", tag("h1", heading), lead, held, ways)
    foot = tag("footer", tag("p", f"vkg {version}")) if version else ""
    return Markup(
        "<!doctype html>\n"
        + tag("html", head, tag("body", tag("header", brand, tag("nav", *links, aria_label="Ways in")), main, foot), lang="en")
    )


def _section(title: str, *inside: str) -> Iterable[Markup]:
    name = title.lower().replace(" ", "-")
    yield tag("section", tag("h2", title, id=name), *inside, aria_labelledby=name)


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """A table whose first column names its rows. A head that begins with # is over numbers. The roles are said because a narrow
    screen has its cells under each other, and browsers then forget that they are cells."""
    number = [{"class_": "number"} if head.startswith("#") else {} for head in heads]
    titles = (tag("th", text.removeprefix("#"), scope="col", role="columnheader", **kind) for text, kind in zip(heads, number, strict=True))
    body = []
    for row in rows:
        cells = (tag("td", cell, role="cell", **kind) for cell, kind in zip(row[1:], number[1:], strict=True))
        body.append(tag("tr", tag("th", row[0], scope="row", role="rowheader"), *cells, role="row"))
    head = tag("thead", tag("tr", *titles, role="row"), role="rowgroup")
    name = title.lower().replace(" ", "-")
    table = tag("table", head, tag("tbody", *body, role="rowgroup"), role="table", aria_labelledby=name)
    return tag("div", table, class_="wide", role="region", aria_labelledby=name, tabindex="0")


def _name(text: str) -> Markup:
    """What a user has named, which may be in any script."""
    return tag("bdi", text)


def _listed(texts: Sequence[str]) -> Markup:
    return join(*([tag("bdi", texts[0])] if texts else []), *(part for text in texts[1:] for part in (", ", tag("bdi", text))))


def _small(text: str) -> Markup:
    return tag("small", text)


def _number(text: str | None) -> str:
    return f"{int(text or 0):,}"


def _moment(text: str, short: bool = False) -> Markup:
    when = datetime.fromisoformat(text)
    shown = f"{when:%Y-%m-%d}" if short else f"{when.day} {when:%B %Y, %H:%M} UTC"
    return tag("time", shown, datetime=text, title=f"{when:%Y-%m-%d %H:%M:%S} UTC")
