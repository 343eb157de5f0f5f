"""GraphiQL in a real browser with no network: it loads, completes, runs examples, shows the documentation and remembers.

Every test ends by checking that the browser had nothing to complain of (console, page errors, policy) and asked nobody but
this server. Skipped where there is no Chromium; VKG_CHROMIUM names one that is not on the PATH, VKG_SCREENSHOTS a folder
that keeps the pictures.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from graph.app import application
from graph.commands import listen
from tests.graph.conftest import settings

CHROMIUM = os.environ.get("VKG_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # the network is not there
]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def address(demo_url: str) -> Iterator[str]:
    """Where uvicorn serves the demo data."""
    sock = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(application(settings(demo_url)), ws="none", log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        _until(lambda: server.started)
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window; its sandbox cannot run as root."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=20_000)
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=os.geteuid() != 0)
        yield chromium
        chromium.close()


@dataclass
class Visit:
    """A tab of a browser that was never here, and what it asked for and complained of."""

    page: Page
    address: str
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}: {request.failure}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))

    def open(self) -> Page:
        """Goes to the IDE and waits for its editor, with the language and the colours that come after it."""
        self.page.goto(f"{self.address}/graphiql")
        expect(self.query).to_contain_text("query", timeout=30_000)
        expect(self.query.locator('.view-line [class*="mtk"]:not(.mtk1)').first).to_be_visible()
        expect(self.page.get_by_role("button", name="Execute query")).to_be_enabled()
        return self.page

    @property
    def query(self) -> Any:
        return self.page.get_by_label("Operation Editor")

    @property
    def response(self) -> Any:
        return self.page.get_by_label("Result Window")

    def run(self, key: str) -> dict[str, Any]:
        """Runs what is in the editor; gives the answer and checks that it is shown."""
        with self.page.expect_response(
            lambda answer: answer.url.endswith("/graphql") and "__schema" not in answer.request.post_data
        ) as answer:
            self.page.get_by_role("button", name="Execute query").click()
        expect(self.response).to_contain_text(f'"{key}"')
        return answer.value.json()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile of this test's own."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(20_000)
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext, address: str) -> Iterator[Visit]:
    """A first visit, and the check that it was quiet and local."""
    visit = Visit(context.new_page(), address)
    yield visit
    assert visit.complaints == []
    assert {url for url in visit.asked if not url.startswith((f"{address}/graphi", f"{address}/graphql", "data:"))} == set()


def _until(holds: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def _keep(page: Page, folder: Path, name: str) -> None:
    kept = Path(os.environ.get("VKG_SCREENSHOTS", folder))
    kept.mkdir(parents=True, exist_ok=True)
    assert page.screenshot(path=kept / f"{name}.png")


def test_the_first_visit_shows_an_example_that_runs(visit: Visit, tmp_path: Path) -> None:
    page = visit.open()
    expect(page).to_have_title("vkg")
    expect(visit.query).to_contain_text("What is known of a variant?")
    answer = visit.run("rs4813331")
    assert answer["data"]["variant"]["name"] == "20-1897442-C-T"
    expect(visit.response).to_contain_text("20-1897442-C-T")
    _keep(page, tmp_path, "first")
    assert page.url == f"{visit.address}/graphiql"


def test_an_example_is_chosen_and_run(visit: Visit) -> None:
    page = visit.open()
    examples = page.get_by_role("region", name="Examples").get_by_role("button")
    assert examples.count() >= 8
    examples.filter(has_text="Who carries a variant").click()
    expect(visit.query).to_contain_text("query Carriers")
    expect(page.get_by_label("Variables")).to_contain_text("HOM_ALT")
    carriers = visit.run("carriers")["data"]["variant"]["carriers"]
    assert carriers["totalCount"] == 50
    expect(visit.response).to_contain_text(carriers["edges"][0]["node"]["name"])
    tabs = page.get_by_role("tab")
    expect(tabs).to_have_count(2)
    examples.filter(has_text="What is known of a variant").click()  # which is open already
    expect(visit.query).to_contain_text("query Variant")
    expect(tabs).to_have_count(2)


def test_every_example_runs(visit: Visit) -> None:
    page = visit.open()
    examples = page.get_by_role("region", name="Examples").get_by_role("button")
    for title in examples.all_inner_texts():
        examples.filter(has_text=title).click()
        expect(visit.query).to_contain_text(title)
        answer = visit.run("data")
        assert "errors" not in answer, (title, answer)


def test_typing_completes_a_field_and_marks_a_wrong_one(visit: Visit, tmp_path: Path) -> None:
    page = visit.open()
    page.get_by_label("New tab").click()
    visit.query.locator(".monaco-editor").first.click()
    page.keyboard.type('{ gene(id: "SIRPA") { symb')
    suggestions = page.locator(".suggest-widget.visible")
    if not suggestions.is_visible():
        page.keyboard.press("Control+Space")
    expect(suggestions).to_contain_text("symbol")
    _keep(page, tmp_path, "completion")
    page.keyboard.press("Enter")
    expect(visit.query).to_contain_text("symbol")
    assert visit.run("symbol")["data"] == {"gene": {"symbol": "SIRPA"}}
    visit.query.locator(".monaco-editor").first.click()
    page.keyboard.type(" nonsense ")
    expect(visit.query.locator(".squiggly-error").first).to_be_visible()  # the editor's worker knows the schema


def test_the_documentation_explorer_opens(visit: Visit, tmp_path: Path) -> None:
    page = visit.open()
    page.get_by_label("Show Documentation Explorer").click()
    docs = page.get_by_label("Documentation Explorer", exact=True)
    docs.get_by_text("Query", exact=True).first.click()
    expect(docs).to_contain_text("Where every query begins.")
    expect(docs).to_contain_text("One variant by any of its names")
    _keep(page, tmp_path, "documentation")


def test_the_browser_keeps_query_headers_and_history_and_the_address_says_nothing(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("region", name="Examples").get_by_role("button").filter(has_text="What is known of a person").click()
    page.get_by_role("button", name="Headers").click()
    page.locator(".graphiql-editor-tool > :not(.hidden) > .monaco-editor").click()
    page.keyboard.type('{"Vkg-Cost": "secret-1"')
    assert "cost" in visit.run("cost")["extensions"]  # the header was sent
    _until(lambda: "secret-1" in page.evaluate("localStorage.getItem('graphiql:tabState')"))
    page.reload()
    expect(visit.query).to_contain_text("query Sample")
    assert "cost" in visit.run("cost")["extensions"]
    page.get_by_label("Show History").click()
    expect(page.get_by_role("region", name="History")).to_contain_text("Sample")
    assert page.url == f"{visit.address}/graphiql"
    assert not [url for url in visit.asked if "secret" in url or "?" in url]


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_it_follows_the_theme_of_the_system(visit: Visit, scheme: Any, dark: bool, tmp_path: Path) -> None:
    visit.page.emulate_media(color_scheme=scheme)
    page = visit.open()
    colour = page.evaluate("getComputedStyle(document.querySelector('.graphiql-container')).backgroundColor")
    red, green, blue = json.loads(colour.replace("rgb(", "[").replace(")", "]"))
    assert (red + green + blue < 3 * 128) is dark
    _keep(page, tmp_path, scheme)


def test_a_narrow_window_has_its_panes_below_each_other(visit: Visit, tmp_path: Path) -> None:
    visit.page.set_viewport_size({"width": 390, "height": 844})
    page = visit.open()
    visit.run("rs4813331")
    editor, response = page.locator(".graphiql-editors").bounding_box(), page.locator(".graphiql-response").bounding_box()
    assert editor is not None
    assert response is not None
    assert response["y"] >= editor["y"] + editor["height"]
    assert response["x"] + response["width"] <= 390
    _keep(page, tmp_path, "narrow")
    page.get_by_label("Show Examples").click()
    expect(page.get_by_role("region", name="Examples")).to_be_visible()
    _keep(page, tmp_path, "narrow-examples")


def test_the_policy_keeps_the_page_from_others_and_others_from_the_page(visit: Visit, context: BrowserContext) -> None:
    page = visit.open()
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'asked', () => 'refused')") == "refused"
    assert "Content Security Policy" in visit.complaints[0]  # so these tests would have seen it
    visit.complaints.clear()
    visit.asked = [url for url in visit.asked if ":9/" not in url]
    other = context.new_page()
    other.set_content(f'<iframe src="{visit.address}/graphiql"></iframe>')
    other.wait_for_timeout(500)
    assert "vkg" not in [frame.title() for frame in other.frames[1:]]
