"""The page at `/`: the data of `store` for a person, under a policy that allows nothing from elsewhere, readable on any screen."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from graph import front
from graph.html import Markup, join, tag
from store.assembly import GRCH38
from store.errors import ServerError
from store.genome import initialise
from store.release import create_release
from tests.graph.api import Api
from tests.graph.loading import load_samples, load_scores, load_vcf

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / "tests" / "data" / "graph"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
VOID = {"meta", "link"}


class Page(HTMLParser):
    """A page taken apart: its elements with attributes, its text by section, the cells of its tables by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, list[str]] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self._section = ""
        self.feed(text)
        assert self._open == [], "every element ends"

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self._open.append(name)
        if name == "section":
            self._section = dict(attributes)["aria-labelledby"] or ""
        elif name == "tr":
            self.tables.setdefault(self._section, []).append([])
        elif name in ("th", "td"):
            self.tables[self._section][-1].append("")

    def handle_endtag(self, name: str) -> None:
        assert self._open.pop() == name
        if name == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        self.sections.setdefault(self._section, []).append(data)
        if "small" not in self._open and {"th", "td"} & set(self._open):
            self.tables[self._section][-1][-1] += data

    def text(self, section: str) -> str:
        return "".join(self.sections[section])

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == name]


def get(api: Api, **headers: str) -> Page:
    """The page, as a browser asks for it."""
    response = api.request("GET", "/", headers={"Accept": BROWSER, **headers})
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert response.text.startswith("<!doctype html>\n")
    return Page(response.text)


# ---- who gets it


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("application/json, TEXT/HTML; q=0.3", True),
        ("*/*", False),  # curl, wget and most libraries
        ("text/*", False),
        ("application/json", False),
        ("text/plain, text/html;q=0", False),
        ("text/html; q=0.000, */*", False),
        ("", False),
    ],
)
def test_who_asks_for_html_gets_the_page_and_a_program_a_few_lines_of_text(demo: Api, accept: str, html: bool) -> None:
    response = demo.request("GET", "/", headers={"Accept": accept})
    assert response.headers["content-type"] == f"text/{'html' if html else 'plain'}; charset=utf-8"
    assert response.headers["vary"] == "Accept"
    for place in ("graphiql", "schema.graphql", "readyz", "healthz", "metrics", "graphql"):
        assert place in response.text


def test_head_is_answered_too(demo: Api) -> None:
    assert demo.request("HEAD", "/", headers={"Accept": BROWSER}).status_code == 200


# ---- what it says


def test_it_shows_what_store_says(demo: Api) -> None:
    data = demo.data(front.QUERY)
    store, page = data["store"], get(demo)
    lead = page.text("")
    for text in (store["assembly"], store["release"]["id"].split(":")[1], store["release"]["reason"], store["release"]["createdAt"][:4]):
        assert text in lead
    for key, label in front.COUNTED.items():
        number = f"{int(store['counts'][key]):,}"
        assert (f"{label}{number}" in lead) == (number != "0")
    assert page.tables["datasets"][1:] == [
        [
            f"{load['dataset']} {load['version']}",
            front.HOLDS.get(load["kind"], load["kind"].lower()),
            f"{int(load['recordCount']):,}",
            load["loadedAt"][:10],
        ]
        for load in store["loads"]
    ]
    assert all(file in page.text("datasets") for load in store["loads"] for file in load["files"])
    assert page.tables["callsets"][1:] == [["kg300 phase3", "1000G", "300", "24,990"]]
    assert page.tables["segments-by-descent"][1:] == [["hapibd min1cm", "hap-ibd 1.0", "kg300 phase3", "237", "473", "3"]]
    assert page.text("populations").removeprefix("Populations") == "EURCEUFINGBRIBS"
    assert page.text("frequencies-and-scores").endswith("Frequencies in" + "".join(store["populations"]))


def test_it_shows_scores_consequences_and_named_releases(own_annotated: str, serve: Callable[..., Api]) -> None:
    with psycopg.connect(own_annotated, autocommit=True) as conn:
        number = create_release(conn, "paper-2026")
    page = get(serve(own_annotated))
    assert f"release {number} (paper-2026) of" in page.text("")
    assert "consequences22clinical classifications10scores16" in page.text("")
    assert page.text("frequencies-and-scores").endswith("ScoresCADD_PHREDCADD_RAW")
    assert "paper-2026" in page.text("named-releases")


def test_it_counts_samples_as_the_ledger_does(family: Api) -> None:
    """The families are there twice: as they are, and among three hundred others."""
    counts = family.data("{ store { counts { samples } } callsets { name sampleCount } }")
    assert int(counts["store"]["counts"]["samples"]) == sum(callset["sampleCount"] for callset in counts["callsets"])
    rows = get(family).tables["callsets"]
    assert rows[0] == ["Callset and version", "Cohort", "Samples", "Variants"]
    assert [(row[1], row[2]) for row in rows[1:]] == [(c["name"], f"{c['sampleCount']:,}") for c in counts["callsets"]]


def test_an_empty_store_says_what_to_do(store_url: str, serve: Callable[..., Api]) -> None:
    with psycopg.connect(store_url, autocommit=True) as conn:
        initialise(conn, GRCH38)
    api = serve(store_url, assembly=GRCH38, reference=None)
    page = get(api)
    assert page.tables == {}
    assert {"datasets", "callsets", "segments-by-descent", "populations"}.isdisjoint(page.sections)
    advice = page.text("what-to-do-next")
    assert "vkg load vcf" in advice
    assert "--assembly GRCh38" in advice
    assert "GRCh37" not in advice


def test_a_store_that_does_not_answer_is_said_so(own_annotated: str, serve: Callable[..., Api]) -> None:
    class Gone:
        async def fetch(self, *_: Any) -> None:
            await asyncio.sleep(0.01)
            raise ServerError("The <server> is away", "Wait.")

    api = serve(own_annotated)
    kept, api.app.state.pools = api.app.state.pools, Gone()
    response = api.request("GET", "/", headers={"Accept": BROWSER})
    text = api.request("GET", "/").text
    api.app.state.pools = kept
    assert response.status_code == 503
    page = Page(response.text)
    assert "The store does not answer" in page.text("")
    assert "Try again in a moment." in page.text("")
    assert "/readyz" in text
    assert get(api).tables["datasets"]


def test_it_costs_as_little_as_it_says(demo: Api) -> None:
    cost = demo.cost(front.QUERY)
    assert cost["statements"] <= 11
    assert cost["objects"] < 5_000


def test_the_documents_that_it_names_exist() -> None:
    assert set(front.DOCUMENTS) == {"README.md", *(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md"))}


# ---- names may be anything


def test_what_users_have_named_is_text(own_annotated: str, serve: Callable[..., Api], tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'&amp;‮"
    file = tmp_path / "<img src=x onerror=alert(2)>.vcf"
    shutil.copy(DATA / "family.vcf", file)
    panel = tmp_path / "panel.tsv"
    panel.write_text("sample\tpopulation\tsuper_population\nkid\t<b>bold\t</ul>\ndad\t&lt;\t\n")
    load_samples(own_annotated, panel, dataset="people", version="<i>", cohort=evil)
    load_vcf(own_annotated, file, dataset=evil, version="</table>", cohort=evil)
    load_scores(own_annotated, DATA / "scores.tsv", dataset="more", version="2", columns=["PHRED"], names=["<u>score"])
    response = serve(own_annotated).request("GET", "/", headers={"Accept": BROWSER})
    page = Page(response.text)
    assert not {"script", "img", "b", "i", "u"} & {name for name, _ in page.elements}
    assert [f"{evil} </table>", evil] == [page.tables["datasets"][-2][0], page.tables["callsets"][-1][1]]
    for text in ("<b>bold", "</ul>", "&lt;"):
        assert text in page.text("populations")
    assert file.name in page.text("datasets")
    assert "<u>score" in page.text("frequencies-and-scores")


@pytest.mark.parametrize("host", ['"><script>', "a b", "[::1", "x/../y"])
def test_an_address_is_shown_only_where_it_is_one(demo: Api, host: str) -> None:
    shown = get(demo, Host=host).text("ask-it")
    assert host not in shown or host == "[::1"
    assert "http://graph.example:81/graphql" in get(demo, Host="graph.example:81").text("ask-it")


def test_tags_escape_what_is_not_markup() -> None:
    assert tag("p", "<&>\"'", Markup("<br>"), title='"<', class_="x") == '<p title="&quot;&lt;" class="x">&lt;&amp;&gt;&quot;&#x27;<br></p>'
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert join("<", tag("b", aria_label="y")) == '&lt;<b aria-label="y"></b>'


# ---- how it is served and made


def test_it_needs_nothing_from_elsewhere(annotated: Api) -> None:
    response = annotated.request("GET", "/", headers={"Accept": BROWSER})
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    style = re.findall(r"<style>(.*?)</style>", response.text, re.DOTALL)
    assert [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in style] == [policy["style-src"]]
    assert policy == {
        "default-src": "'none'", "style-src": policy["style-src"], "img-src": "data:",
        "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert (response.headers["x-content-type-options"], response.headers["referrer-policy"]) == ("nosniff", "no-referrer")
    page = Page(response.text)
    assert not {"script", "img", "iframe", "form", "object"} & {name for name, _ in page.elements}
    assert not [attributes for _, attributes in page.elements if {"style", "src"} & attributes.keys()]
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    links = [urlsplit(attributes["href"] or "") for attributes in page.all("a")]
    assert not [link for link in links if link.scheme or link.netloc or link.path.startswith("/")], (
        "relative, so that a proxy may put a path in front"
    )
    for link in links:
        if link.path:
            assert annotated.request("GET", f"/{link.path}").status_code == 200 or link.path == "graphiql"  # which has to be built
    assert "url(" not in style[0]
    assert "@import" not in style[0]


def test_it_has_landmarks_headings_and_headers(annotated: Api) -> None:
    page = get(annotated)
    names = [name for name, _ in page.elements]
    assert page.all("html") == [{"lang": "en"}]
    for name in ("title", "header", "nav", "main", "footer", "h1"):
        assert names.count(name) == 1
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for _, attributes in page.elements:
        assert attributes.get("aria-labelledby", identifiers[0]) in identifiers
    assert {attributes.get("scope") for attributes in page.all("th")} == {"col", "row"}
    assert all(attributes["href"].lstrip("#") in identifiers for attributes in page.all("a") if (attributes["href"] or "").startswith("#"))


def test_its_colours_can_be_read() -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 between text and what is behind it, in the light and in the dark."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    schemes = [dict(re.findall(r"--(\w+): (#\w{6});", block)) for block in re.findall(r":root \{(.*?)\}", front.STYLE, re.DOTALL)]
    assert len(schemes) == 2
    for scheme in schemes:
        for ground in ("ground", "raised"):
            for text in ("text", "muted", "accent"):
                dark, light = sorted((luminance(scheme[ground]), luminance(scheme[text])))
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (ground, text)
    assert set(re.findall(r"#[0-9a-f]{3,8}\b", front.STYLE)) == {colour for scheme in schemes for colour in scheme.values()}


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 1100])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_without_complaint(annotated: Api, width: int, scheme: str) -> None:
    """At 320 CSS pixels nothing lies beside the screen (WCAG 1.4.10); the policy blocks nothing that the page has."""
    browsers = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium is installed")
    asked, said = [], []
    with browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)

        def serve(route: Any) -> None:  # no network at all: the application answers
            asked.append(urlsplit(route.request.url).path)
            answer = annotated.request("GET", asked[-1], headers={"Accept": route.request.headers["accept"]})
            route.fulfill(status=answer.status_code, headers=dict(answer.headers), body=answer.content)

        page.route("**/*", serve)
        page.on("console", lambda message: said.append(message.text))
        page.goto("http://store.example/", wait_until="networkidle")
        assert page.inner_text("h1") == "What this store holds"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.querySelectorAll('.wide')].every(e => e.scrollWidth <= e.clientWidth)")
        red, green, blue = map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3])
        assert (red + green + blue > 600) == (scheme == "light")
        browser.close()
    assert (asked, said) == (["/"], [])
