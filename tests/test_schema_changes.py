"""A change of the schema that breaks clients is named before it is released: by `vkg schema --against`, and here against the last release,
where it fails unless the changelog has it under "### Breaking"."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from graph.changes import Change, changes
from graph.errors import UserError
from tests.command_line import run

ROOT = Path(__file__).resolve().parent.parent
RELEASES = "v[0-9]*.[0-9]*.[0-9]*"

OLD = """
interface Node { id: ID! }
enum Sex { FEMALE MALE }
type Gene implements Node { id: ID!  symbol: String!  start: Int  variants(first: Int, flank: Int! = 0): [String!]! }
type Sample implements Node { id: ID!  sex: Sex }
union Found = Gene | Sample
input Filter { min: Float }
type Query { gene(id: String!): Gene  samples(filter: Filter): [Sample!]!  search(text: String!): [Found!]! }
"""


@pytest.mark.parametrize(
    ("was", "becomes", "expected"),
    [
        ("symbol: String!", "symbol: String! name: String", []),
        ("start: Int ", "start: Int! ", []),
        ("flank: Int! = 0", "flank: Int! = 0, sex: Sex", ["dangerous: An optional argument Gene.variants(sex:) was added."]),
        ("{ min: Float }", "{ min: Float max: Float }", ["dangerous: An optional field Filter.max was added."]),
        ("start: Int ", "", ["breaking: Field Gene.start was removed."]),
        ("symbol: String!", "symbol: String", ["breaking: Field Gene.symbol changed type from String! to String."]),
        ("start: Int ", "start: String ", ["breaking: Field Gene.start changed type from Int to String."]),
        ("first: Int, ", "", ["breaking: Argument Gene.variants(first:) was removed."]),
        ("id: String!)", "id: String!, cohort: String!)", ["breaking: A required argument Query.gene(cohort:) was added."]),
        ("{ min: Float }", "{ min: Float! }", ["breaking: Field Filter.min changed type from Float to Float!."]),
        ("{ FEMALE MALE }", "{ FEMALE }", ["breaking: Enum value Sex.MALE was removed."]),
        ("Gene | Sample", "Gene", ["breaking: Sample was removed from union type Found."]),
        ("{ FEMALE MALE }", "{ FEMALE MALE OTHER }", ["dangerous: Enum value Sex.OTHER was added."]),
        ("flank: Int! = 0", "flank: Int! = 9", ["dangerous: Gene.variants(flank:) has changed defaultValue from 0 to 9."]),
    ],
)
def test_changes_are_named_as_clients_notice_them(was: str, becomes: str, expected: list[str]) -> None:
    assert OLD.count(was) == 1
    found = changes(OLD, OLD.replace(was, becomes))
    assert [str(change) for change in found] == expected
    for change in found:
        assert change.coordinate in change.description


def test_breaking_changes_come_first_each_with_its_coordinate() -> None:
    new = OLD.replace("first: Int, ", "").replace("MALE }", "OTHER }").replace("symbol: String!", "")
    assert [(change.breaking, change.coordinate) for change in changes(OLD, new)] == [
        (True, "Gene.symbol"),
        (True, "Gene.variants(first:)"),
        (True, "Sex.MALE"),
        (False, "Sex.OTHER"),
    ]


def test_what_is_no_schema_is_said_to_be_none() -> None:
    for text in ("# Changelog", "", "type Query { gene: Gene }"):
        with pytest.raises(UserError, match="no GraphQL schema") as raised:
            changes(text, OLD)
        assert raised.value.code == "BAD_SCHEMA"


def test_the_command_names_changes_and_fails_where_clients_break(tmp_path: Path) -> None:
    current = (ROOT / "schema.graphql").read_text()
    for text, code, said in (
        (current, 0, "Nothing that a client would notice.\n"),
        (
            re.sub(r'(enum Strand \{[^}]*?) *"""[^"]*"""\s*REVERSE\n', r"\1", current, flags=re.DOTALL),
            0,
            "dangerous: Enum value Strand.REVERSE was added.\n",
        ),
        (
            current.replace("union SearchResult = ", "union SearchResult = Load | "),
            1,
            "breaking: Load was removed from union type SearchResult.\n",
        ),
        ("{", 2, ""),
    ):
        (tmp_path / "old.graphql").write_text(text)
        done = run("", "schema", "--against", str(tmp_path / "old.graphql"))
        assert (done.code, done.out) == (code, said), done.err


# ---- against the last release


class NoRelease(Exception):
    """There is no released schema to compare with; the message says why."""


def released(checkout: Path) -> tuple[str, str]:
    """Version and schema of the last release before what is checked out: of its tag, vX.Y.Z. Raises NoRelease."""

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True, timeout=60)
        except FileNotFoundError:
            raise NoRelease("git is not installed") from None
        if done.returncode:
            raise NoRelease(done.stderr.strip().splitlines()[-1])
        return done.stdout

    tag = git("describe", "--tags", "--abbrev=0", "--match", RELEASES).strip()
    return tag.removeprefix("v"), git("show", f"{tag}:schema.graphql")


def declared(changelog: str, since: str) -> set[str]:
    """What the changelog has in backticks under "### Breaking" in the sections above that of a version."""
    above = re.split(rf"^## \[?{re.escape(since)}\b", changelog, maxsplit=1, flags=re.MULTILINE)[0]
    sections = re.findall(r"^### Breaking\n(.*?)(?=^##|\Z)", above, re.MULTILINE | re.DOTALL)
    return {name for section in sections for name in re.findall(r"`([^`]+)`", section)}


def undeclared(checkout: Path) -> list[Change]:
    """The breaking changes since the last release that the changelog does not name. Raises NoRelease."""
    version, schema = released(checkout)
    names = declared((checkout / "CHANGELOG.md").read_text(), version)
    found = changes(schema, (checkout / "schema.graphql").read_text())
    return [change for change in found if change.breaking and change.coordinate not in names]


def test_the_changelog_names_every_breaking_change_since_the_last_release() -> None:
    try:
        missing = undeclared(ROOT)
    except NoRelease as why:
        pytest.skip(f"no released schema to compare with: {why}")
    assert not missing, "\n".join(["name these under ## Unreleased, ### Breaking in CHANGELOG.md, each in backticks:", *map(str, missing)])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with OLD as its schema, not yet released."""
    (tmp_path / "schema.graphql").write_text(OLD)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n")
    _git(tmp_path, "init", "--quiet")
    _commit(tmp_path)
    return tmp_path


def _git(folder: Path, *arguments: str) -> None:
    person = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"]
    subprocess.run(["git", *person, *arguments], cwd=folder, check=True, capture_output=True)


def _commit(folder: Path, *tags: str) -> None:
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message=A")
    for tag in tags:
        _git(folder, "tag", tag)


def test_the_last_release_is_the_nearest_tag_of_a_version(checkout: Path) -> None:
    with pytest.raises(NoRelease, match=r"[Nn]o names found"):
        released(checkout)
    _git(checkout, "tag", "nightly")
    with pytest.raises(NoRelease, match=r"[Nn]o tag|No names"):
        released(checkout)
    (checkout / "schema.graphql").write_text(OLD + "scalar One\n")
    _commit(checkout, "v0.9.0")
    (checkout / "schema.graphql").write_text(OLD + "scalar Two\n")
    _commit(checkout, "v0.10.0")
    (checkout / "schema.graphql").write_text(OLD + "scalar Three\n")
    _commit(checkout, "later")
    assert released(checkout) == ("0.10.0", OLD + "scalar Two\n")


def test_outside_a_repository_there_is_no_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(NoRelease, match="not a git repository"):
        released(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoRelease, match="git is not installed"):
        released(tmp_path)


def test_a_breaking_change_is_to_be_in_the_changelog(checkout: Path) -> None:
    _git(checkout, "tag", "v1.2.0")
    assert undeclared(checkout) == []
    (checkout / "schema.graphql").write_text(
        OLD.replace("first: Int, ", "").replace("symbol: String!", "").replace("MALE }", "MALE OTHER }")
    )
    assert [change.coordinate for change in undeclared(checkout)] == ["Gene.symbol", "Gene.variants(first:)"]

    def named(changelog: str) -> list[str]:
        (checkout / "CHANGELOG.md").write_text(changelog)
        return [change.coordinate for change in undeclared(checkout)]

    breaking = "### Breaking\n\n- `Gene.symbol` is gone: ask for `name`.\n"
    assert named(f"# Changelog\n\n## Unreleased\n\n{breaking}\n## 1.2.0\n") == ["Gene.variants(first:)"]
    assert named(f"# Changelog\n\n## Unreleased\n\n{breaking}- No `Gene.variants(first:)`.\n\n### Added\n\n## 1.2.0\n") == []
    assert named(f"# Changelog\n\n## Unreleased\n\n## 2.0.0\n\n{breaking}- No `Gene.variants(first:)`.\n\n## [1.2.0] - 2026\n") == []
    assert (
        len(named(f"# Changelog\n\n## Unreleased\n\n### Added\n\n- `Gene.symbol`, `Gene.variants(first:)`\n\n## 1.2.0\n\n{breaking}")) == 2
    )
