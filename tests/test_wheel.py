"""What `pip install .` gives, away from the checkout: the wheel is built of a copy of the sources and installed into an environment that has
nothing but it and what it says it depends on. Those packages are this environment's own, so nothing is downloaded twice."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("demo", "embedder", "graph", "loaders", "store")
SOURCES = ("LICENSE", "MANIFEST.in", "README.md", "constraints.txt", "pyproject.toml", "schema.graphql", "vkg.py", "examples", *PACKAGES)
BUILD_ONLY = {"graph/ide/backend.py", "graph/ide/bundle.py"}
"""They make the wheel; nothing in it imports them."""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and a folder to work in."""

    wheel: Path
    bin: Path
    folder: Path
    home: Path

    def run(self, *command: str, code: int = 0) -> str:
        """Standard output of a command that ends with this exit code, run where the checkout is not."""
        done = subprocess.run(
            [self.bin / command[0], *command[1:]], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.folder), "VKG_HOME": str(self.home), "VKG_EMBEDDED_MEMORY": "256MB"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The wheel of a copy of these sources, in an environment of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build(folder / "copy")
    environment = folder / "environment"
    venv.create(environment)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment), "platbase": str(environment)}))
    link_dependencies(site)
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        environment / "bin" / "python",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
    ]
    subprocess.run(command, check=True)
    # Directly under /tmp, because sockets have short paths, and passable, because root's server runs as another user.
    home = Path(tempfile.mkdtemp(prefix="vkg-wheel-", dir="/tmp"))
    home.chmod(0o711)
    (folder / "work").mkdir()
    found = Installed(wheel, environment / "bin", folder / "work", home)
    yield found
    found.run("vkg", "stop")
    shutil.rmtree(home)


def build(copy: Path) -> Path:
    """The wheel of a copy of the sources, as pip makes it. Where GraphiQL is built it is taken along; else this builds it."""
    copy.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "wheels", "."]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    if "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("no package index is in reach")
    assert done.returncode == 0, done.stderr
    (wheel,) = (copy / "wheels").iterdir()
    return wheel


def link_dependencies(site: Path) -> None:
    """Puts what the project depends on, and what that depends on, into a folder of packages; nothing else."""
    todo, done = [Requirement(text) for text in PROJECT["dependencies"]], set()
    while todo:
        requirement = todo.pop()
        for extra in ("", *requirement.extras):
            key = canonicalize_name(requirement.name), extra
            if key in done or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
                continue
            done.add(key)
            distribution = importlib.metadata.distribution(requirement.name)
            needed = [Requirement(text) for text in distribution.requires or ()]
            for other in needed:
                if other.marker is None or other.marker.evaluate({"extra": extra}):
                    other.marker = None
                    todo.append(other)
            for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
                place = site / top
                if not place.exists():
                    place.symlink_to(Path(str(distribution.locate_file(top))))


# ---- what it says


def test_every_import_is_of_a_declared_dependency() -> None:
    required, extra = (
        {canonicalize_name(Requirement(text).name) for text in texts}
        for texts in (PROJECT["dependencies"], PROJECT["optional-dependencies"]["embed"])
    )
    provided = importlib.metadata.packages_distributions()
    missing: dict[str, set[str]] = {}
    files = [ROOT / "vkg.py", *(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))]
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        if name in BUILD_ONLY:
            continue
        declared = required | extra if name.startswith("embedder/") else required
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module else []
            for top in {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {*PACKAGES, "vkg"}:
                if not {canonicalize_name(found) for found in provided[top]} & declared:
                    missing.setdefault(top, set()).add(name)
    assert len(files) > 50
    assert missing == {}


def test_constraints_pin_every_dependency() -> None:
    pinned = {
        canonicalize_name(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    }
    named = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"], *PROJECT["optional-dependencies"]["embed"]]
    assert {canonicalize_name(Requirement(text).name) for text in named} - {canonicalize_name(PROJECT["name"])} <= pinned


def test_the_wheel_has_what_is_needed_and_nothing_else(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {*PACKAGES, "vkg.py"}
    wanted = [*(ROOT / "store" / "migrations").glob("*.sql"), *(ROOT / "store" / "sql").glob("*.sql")]
    wanted += [ROOT / "store" / "tissues.tsv", ROOT / "graph" / "front.css"]
    wanted += [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    assert {file.relative_to(ROOT).as_posix() for file in wanted} <= names
    assert "graph/ide/dist/index.html" in names
    kinds = {Path(name).suffix for name in names if not name.startswith(("graph/ide/dist/", "demo/"))}
    assert kinds == {".py", ".sql", ".css", ".tsv"}
    assert installed.wheel.stat().st_size < 8_000_000


# ---- what it does


def test_it_loads_and_serves_away_from_the_checkout(installed: Installed) -> None:
    assert installed.run("vkg", "--version").strip() == PROJECT["version"]
    where = installed.run(
        "python",
        "-c",
        "import embedder, graph, loaders, store, vkg; print(*(each.__file__ for each in (embedder, graph, loaders, store, vkg)))",
    )
    assert str(ROOT) not in where
    assert "the store holds GRCh37" in installed.run("vkg", "init", "--assembly", "GRCh37")
    vcf = installed.folder / "small.vcf"
    vcf.write_text(
        "##fileformat=VCFv4.2\n##contig=<ID=20>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tAnna\n"
        "20\t1897442\trs4813331\tC\tT\t.\tPASS\t.\tGT\t0|1\n"
    )
    # --unnormalized: there is no reference in this store
    assert "1 records" in installed.run("vkg", "load", "vcf", "small.vcf", "--assembly", "GRCh37", "--unnormalized")
    assert "small" in installed.run("vkg", "loads")
    installed.run("vkg", "query", "variants", "--id", "rs4813331", "--output", "one.vcf")
    assert "rs4813331" in (installed.folder / "one.vcf").read_text()

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [installed.bin / "vkg", "serve", "--port", str(port)], cwd=installed.folder, env=installed.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            end = time.monotonic() + 30
            while True:
                try:
                    assert client.get("/readyz").json()["status"] == "ok"
                    break
                except httpx.ConnectError:
                    assert server.poll() is None, server.stderr and server.stderr.read()
                    assert time.monotonic() < end, "the server does not listen"
                    time.sleep(0.1)
            query = '{ variant(id: "rs4813331") { name carriers { nodes { name } } } }'
            answer = client.post("/graphql", json={"query": query}).json()["data"]
            assert answer == {"variant": {"name": "20-1897442-C-T", "carriers": {"nodes": [{"name": "Anna"}]}}}
            assert client.get("/schema.graphql").text == installed.run("vkg", "schema")
            front = client.get("/", headers={"Accept": "text/html"})
            assert "What this store holds" in front.text
            page = client.get("/graphiql")
            assert page.status_code == 200
            for asset in re.findall(r'(?:src|href)="(graphiql/assets/[^"]+)"', page.text):
                assert client.get(f"/{asset}").status_code == 200
    finally:
        server.terminate()
        _, said = server.communicate(timeout=20)
    assert said == ""


def test_the_demo_comes_along(installed: Installed) -> None:
    said = installed.run("vkg", "demo", "--no-serve")
    for loaded in ("24,990 records", "4,923 enformer_effect", "20 metacell"):
        assert loaded in said
    assert "is loaded already" in installed.run("vkg", "demo", "--no-serve")


def test_without_the_extra_annotations_are_embedded_and_sequences_say_what_is_missing(installed: Installed) -> None:
    installed.run("vkg", "demo", "--no-serve")
    assert "24,990 in all" in installed.run("vkg", "embed")
    command = [installed.bin / "vkg", "embed", "--model", "dnabert2"]
    done = subprocess.run(command, cwd=installed.folder, env=installed.environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 2
    assert done.stderr.startswith("vkg: dnabert2 needs torch, transformers, tokenizers, safetensors, huggingface_hub\n")
    assert "pip install 'variant-knowledge-graph[embed]'" in done.stderr
