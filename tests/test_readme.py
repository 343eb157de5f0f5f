"""What the README, docs/sharing.md, docs/function.md, docs/cells.md and docs/embeddings.md promise: queries have the answers that they show, and commands exist as written."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

import vkg
from graph.app import application
from graph.commands import settings
from tests.command_line import run
from tests.conftest import TEMPLATE, database
from tests.graph.neighbours import rounded

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
SHARING = (ROOT / "docs" / "sharing.md").read_text()
FUNCTION = (ROOT / "docs" / "function.md").read_text()
CELLS = (ROOT / "docs" / "cells.md").read_text()
EMBEDDINGS = (ROOT / "docs" / "embeddings.md").read_text()


@pytest.fixture(scope="module")
def demo_url(_template: str) -> Iterator[str]:
    """URL of a store with the demo data, as `vkg demo` loads them."""
    with database(_template, TEMPLATE) as url:
        loaded = run(url, "demo", "--no-serve")
        assert loaded.code == 0, loaded.err
        yield url


async def test_queries_have_the_answers_that_the_documentation_shows(demo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    curl = shlex.split(re.search(r"^curl .*$", README, re.MULTILINE)[0])  # type: ignore[index]
    shown = json.loads(re.search(r"```json\n(.*?)```", README, re.DOTALL)[1])  # type: ignore[index]
    monkeypatch.setenv("VKG_DATABASE_URL", demo_url)
    app = application(settings())
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        first = await client.post(curl[1], content=curl[curl.index("-d") + 1], headers={"content-type": "application/json"})
        assert first.json() == shown

        async def data(query: str) -> Any:
            answer = (await client.post("/graphql", json={"query": query})).json()
            assert "errors" not in answer, answer
            return answer["data"]

        answered = [(README, 2), (SHARING, 4), (FUNCTION, 3), (CELLS, 5), (EMBEDDINGS, 3)]
        for text, count in answered:
            pairs = re.findall(r"```graphql\n([^`]*)```\n\n```json\n([^`]*)```", text)
            assert len(pairs) == count
            for query, answer in pairs:
                said = json.loads(answer, object_hook=rounded)
                assert await data(query) == said.get("data", said)
        last = await data(re.findall(r"```graphql\n(.*?)```", README, re.DOTALL)[-1])
    assert last["gene"]["symbol"] == "SIRPA"
    assert last["sample"]["variants"]["edges"][0]["gt"] == "1|1"
    assert len(last["gene"]["variants"]["nodes"]) == min(3, last["gene"]["variants"]["totalCount"]) > 0


def test_commands_print_what_the_documentation_shows(demo_url: str) -> None:
    commands = re.findall(r"^\$ vkg (.*)\n((?:[^$`].*\n)+)", SHARING, re.MULTILINE)
    assert len(commands) == 3
    for command, written in commands:
        assert run(demo_url, *shlex.split(command)).out == written


def test_a_second_demo_loads_nothing_again(demo_url: str) -> None:
    again = run(demo_url, "demo", "--no-serve")
    assert again.code == 0
    assert again.out.count("is loaded already") == 7
    assert again.out.splitlines()[-1] == "annotation: 0 variants embedded, 24,990 in all"


def test_the_commands_of_the_documentation_exist_with_their_options() -> None:
    text = "\n".join(path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))))
    found = set(re.findall(r"\bvkg ((?:load |query |release |derive |models |token |grant )?[a-z][a-z0-9-]*)([^`\n#]*)", text))
    assert {command for command, _ in found} >= {
        "init",
        "serve",
        "load vcf",
        "load samples",
        "load genes",
        "load scores",
        "load ibd",
        "load v2f",
        "load enformer",
        "load metacells",
        "embed",
        "models list",
        "models remove",
        "query variants",
        "query ibd-shared",
        "query hbd-regions",
        "query relatives",
        "query variants-in-ibd",
        "doctor",
        "release create",
        "backup",
        "restore",
        "audit",
        "token create",
        "grant add",
    }
    help_of: dict[str, str] = {}
    for command, rest in sorted(found):
        if command not in help_of:
            shown = CliRunner().invoke(vkg.app, [*command.split(), "--help"], env={"COLUMNS": "200"})
            assert shown.exit_code == 0, f"vkg {command}: {shown.output}"
            help_of[command] = shown.stdout
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]+", rest):
            assert option in help_of[command], f"vkg {command} {option}"
