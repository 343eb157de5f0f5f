"""The example clients, for real: made from schema.graphql by the real generators, type-checked as strictly as there is, and run against a
server over the demo data. What they print is compared with an answer worked out here from the files.

What npm and pip install for it stays in build/clients, one folder for each lock file, so that only the first run waits for it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from graph.app import application
from graph.commands import listen
from graph.ide import bundle
from graph.profile import LOCKED
from tests.graph.conftest import DEMO, ROOT, settings

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
INSTALLED = ROOT / "build" / "clients"
SNV, DELETION, REMOTE = "rs4813331", "rs11475492", "rs376678365"  # two in SIRPA with carriers, one far from any gene that nobody has twice


# ---- what they should say, from the files


@pytest.fixture(scope="module")
def expected(demo_vcf: Path) -> Callable[[str], str]:
    """The output of a client for an rsID of the demo data."""
    lines = gzip.decompress(demo_vcf.read_bytes()).decode().splitlines()
    people = next(line for line in lines if line.startswith("#CHROM")).split("\t")[9:]
    records = [line.split("\t") for line in lines if line[0] != "#"]
    panel = dict(line.split("\t")[:2] for line in (DEMO / "samples.panel").read_text().splitlines()[1:])
    homes = [panel[name] for name in people]
    gtf = gzip.decompress((DEMO / "genes.chr20_0.9-4.1mb.grch37.gtf.gz").read_bytes()).decode().splitlines()
    rows = [row for row in (line.split("\t") for line in gtf if line[0] != "#") if row[2] == "gene"]
    genes = [(int(row[3]), int(row[4]), re.search(r'gene_name "([^"]+)"', row[8])[1]) for row in rows]  # type: ignore[index]

    def share(counts: tuple[int, int]) -> str:
        return f"{100 * counts[0] / counts[1]:.1f} %"

    def counted(calls: list[str], home: str | None = None) -> tuple[int, int]:
        alleles = "".join(call for call, of in zip(calls, homes, strict=True) if home in (None, of))
        return alleles.count("1"), alleles.count("1") + alleles.count("0")

    def answer(rsid: str) -> str:
        record = next(record for record in records if rsid in record[2].split(";"))
        pos, ref, alt, calls = int(record[1]), record[3], record[4], record[9:]
        kind = "SNV" if len(ref) == len(alt) == 1 else "DELETION" if len(alt) == 1 else "INSERTION"
        near = [gene for gene in genes if gene[0] - 5000 <= pos <= gene[1] + 5000]
        assert all(start <= pos <= end for start, end, _ in near)
        place = ", ".join(f"inside {symbol}" for *_, symbol in near) or "far from any gene"
        said = [f"20-{pos}-{ref}-{alt} ({rsid}), {kind}, {place}", "", "How common it is"]
        for name, home in [("ALL", None), ("EUR", None), *((home, home) for home in sorted(set(homes)))]:
            counts = counted(calls, home)
            said.append(f"  {name}: {share(counts)}, {counts[0]} of {counts[1]} alleles")

        carriers = [n for n, call in enumerate(calls) if call == "1|1"]
        said += ["", f"People who have no other allele: {len(carriers)}"]
        for home, number in sorted(Counter(homes[n] for n in carriers).items()):
            first = " ".join([people[n] for n in carriers if homes[n] == home][:3])
            said.append(f"  {home}: {number}, {first}{' ...' if number > 3 else ''}")

        if carriers and near:
            (start, end, symbol), person = near[0], carriers[0]
            carried = [r for r in records if start <= int(r[1]) <= end and "1" in r[9 + person]]
            said += ["", f"What {people[person]} carries in {symbol}: {len(carried)} variants, the rarest"]
            for r in sorted(carried, key=lambda r: counted(r[9:])[0])[:3]:
                zygosity = "HOM_ALT" if r[9 + person] == "1|1" else "HET"
                said.append(f"  20-{r[1]}-{r[3]}-{r[4]} {r[9 + person]} {zygosity}, {share(counted(r[9:]))}")
        return "\n".join(said) + "\n"

    return answer


# ---- a server, and a place to build in


@contextmanager
def serving(url: str, **other: Any) -> Iterator[str]:
    """Where uvicorn serves a store meanwhile."""
    sock = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(application(settings(url, **other)), ws="none", log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/graphql"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def url(demo_url: str) -> Iterator[str]:
    """Where uvicorn serves the demo data."""
    with serving(demo_url) as address:
        yield address


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy of examples/ beside a copy of schema.graphql, without what was installed or generated there."""
    made = shutil.ignore_patterns("node_modules", "dist", "generated", "vkg_client", ".venv", ".mypy_cache", "__pycache__")
    shutil.copyfile(ROOT / "schema.graphql", tmp_path / "schema.graphql")
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=made))


def run(folder: Path, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The outcome of a command."""
    clean = {name: value for name, value in os.environ.items() if name != "VKG_URL"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env=clean | environment)


def done(folder: Path, *command: str | Path, **environment: str) -> str:
    """The output of a command that succeeds."""
    outcome = run(folder, *command, **environment)
    assert outcome.returncode == 0, f"{' '.join(map(str, command))}\n{outcome.stdout[-4000:]}\n{outcome.stderr[-4000:]}"
    return outcome.stdout


def installed(name: str, locks: list[Path], install: Callable[[Path], object]) -> Path:
    """The folder in which `install` worked, with copies of the lock files; made where there is none of these very files."""
    contents = b"".join(lock.read_bytes() for lock in locks)
    folder = INSTALLED / f"{name}-{hashlib.sha256(contents).hexdigest()[:16]}"
    if not folder.is_dir():
        INSTALLED.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=INSTALLED, ignore_cleanup_errors=True) as working:
            for lock in locks:
                shutil.copy(lock, working)
            install(Path(working))
            if not folder.is_dir():  # another run was quicker
                os.rename(working, folder)
    return folder


def answers_and_errors(client: Callable[..., subprocess.CompletedProcess[str]], url: str, expected: Callable[[str], str]) -> None:
    """What every client does with variants, names and servers, good and bad; client(*arguments, **environment) runs it."""
    for rsid in (SNV, DELETION, REMOTE):
        outcome = client(rsid, url)
        assert (outcome.returncode, outcome.stdout) == (0, expected(rsid)), outcome.stderr
    assert client(VKG_URL=url).stdout == expected(SNV)
    unknown = client("rs1", url)
    assert (unknown.returncode, unknown.stdout, unknown.stderr) == (1, "", "The store has no variant rs1.\n")
    invalid = client("nonsense", url)
    assert (invalid.returncode, invalid.stdout) == (2, "")
    assert invalid.stderr.startswith("INVALID_NAME: 'nonsense' is not the name of a variant.")
    elsewhere = client(SNV, url.replace("/graphql", "/nothing"))
    assert (elsewhere.returncode, elsewhere.stderr) == (
        2,
        f"{url.replace('/graphql', '/nothing')} is not where a GraphQL server answers.\n",
    )
    nobody = client(SNV, "http://127.0.0.1:1/graphql")
    assert (nobody.returncode, nobody.stdout) == (2, "")
    assert nobody.stderr.startswith("No answer from http://127.0.0.1:1/graphql: ")


# ---- the clients


Tools = tuple[str, list[str], str, Path]
"""node, npm, a PATH with them, and the folder of the client with what it needs."""


@pytest.fixture
def typescript(examples: Path) -> Tools:
    tools = bundle.tools()
    if tools is None:
        pytest.skip("no Node 20.19 or newer with npm is here")
    (node,), npm = tools
    path = f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"
    sources = EXAMPLES / "typescript"
    locks = [sources / name for name in ("package.json", "package-lock.json", ".npmrc")]
    packages = installed("typescript", locks, lambda folder: done(folder, *npm, "ci", PATH=path))
    folder = examples / "typescript"
    (folder / "node_modules").symlink_to(packages / "node_modules")
    return node, npm, path, folder


def test_typescript(typescript: Tools, examples: Path, url: str, expected: Callable[[str], str]) -> None:
    node, npm, path, folder = typescript
    done(folder, *npm, "run", "build", PATH=path)  # graphql-codegen, and tsc with everything that is strict

    types = (folder / "src" / "generated" / "graphql.ts").read_text()
    code = re.sub(r"/\*.*?\*/", "", types, flags=re.DOTALL)
    assert [line for line in code.splitlines() if re.search(r"\bany\b", line) and "__meta__" not in line] == []
    assert "export type Zygosity =\n  /** The call has one allele (X, Y, MT), and it is ALT. */\n  | 'HEMI'" in types
    assert "readonly zygosity: Zygosity, readonly node: " in types, "a carrier is never without"
    assert "readonly recordCount: BigIntText, readonly loadedAt: Timestamp" in types
    assert "readonly info: Json | null" in types

    main = folder / "dist" / "main.js"
    answers_and_errors(lambda *arguments, **environment: run(examples, node, main, *arguments, **environment), url, expected)

    (folder / "src" / "wrong.ts").write_text(
        'import { ask } from "./client.js";\n'
        'import { CarriersDocument } from "./generated/graphql.js";\n'
        'await ask("", CarriersDocument, { id: "rs1", zygosity: ["HOMOZYGOUS"] });\n'
        'await ask("", CarriersDocument, {});\n'
        'console.log((await ask("", CarriersDocument, { id: "rs1" })).variant.name);\n'
    )
    wrong = run(folder, folder / "node_modules" / ".bin" / "tsc", "--noEmit", PATH=path).stdout
    assert re.findall(r"wrong\.ts\((\d),", wrong) == ["3", "4", "5"], wrong


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_typescript_with_trusted_documents(
    typescript: Tools, examples: Path, demo_url: str, expected: Callable[[str], str], algorithm: str
) -> None:
    """The client preset's manifest as it comes, and the client that was made with it, which sends hashes: a locked server answers it, and nobody else."""
    node, npm, path, folder = typescript
    for file, old, new in (
        ("codegen.ts", "fragmentMasking: false", f'fragmentMasking: false, persistedDocuments: {{ hashAlgorithm: "{algorithm}" }}'),
        ("src/client.ts", "query: operation.toString(), variables", 'documentId: operation["__meta__"]?.["hash"], variables'),
    ):
        text = (folder / file).read_text()
        assert text.count(old) == 1
        (folder / file).write_text(text.replace(old, new))
    done(folder, *npm, "run", "build", PATH=path)
    manifest = folder / "src" / "generated" / "persisted-documents.json"
    documents = json.loads(manifest.read_text())
    assert len(documents) == len(list(EXAMPLES.glob("operations/*.graphql")))
    with serving(demo_url, profile=LOCKED, trusted=manifest) as url, httpx.Client() as client:
        for rsid in (SNV, REMOTE):
            outcome = run(examples, node, folder / "dist" / "main.js", rsid, url)
            assert (outcome.returncode, outcome.stdout) == (0, expected(rsid)), outcome.stderr
        for identifier, text in documents.items():
            name = re.search(r"query (\w+)", text)[1]  # type: ignore[index]
            saved = next(file for file in EXAMPLES.glob("operations/*.graphql") if re.search(rf"\bquery {name}\b", file.read_text()))
            values = saved.with_suffix(".json")
            asked = {"documentId": identifier, "variables": json.loads(values.read_text()) if values.is_file() else None}
            answer = client.post(url, json=asked).json()
            assert "errors" not in answer, (name, answer)
            refused = client.post(url, json={"query": text, "variables": asked["variables"]}).json()
            assert refused["errors"][0]["extensions"]["code"] == "UNTRUSTED_DOCUMENT"


def test_python(examples: Path, url: str, expected: Callable[[str], str]) -> None:
    def install(folder: Path) -> None:
        done(folder, sys.executable, "-m", "venv", "venv")
        done(folder, folder / "venv/bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-r", "requirements.txt")

    python = installed("python", [EXAMPLES / "python" / "requirements.txt"], install) / "venv" / "bin" / "python"
    folder = examples / "python"
    done(folder, python, "-m", "ariadne_codegen")
    assert "Success: no issues found" in done(folder, python, "-m", "mypy")  # strict, the generated client included

    generated = folder / "vkg_client"
    models = [path for path in generated.glob("*.py") if path.stem not in ("__init__", "base", "client")]
    assert len(models) >= 3 + len(list(EXAMPLES.glob("operations/*.graphql"))), "enums, inputs, fragments and a module for each operation"
    assert [path.name for path in models if re.search(r"\bAny\b", path.read_text())] == []
    assert "    zygosity: Zygosity\n" in (generated / "carriers.py").read_text(), "a carrier is never without"
    assert "    zygosity: Optional[Zygosity]" in (generated / "genotypes.py").read_text(), "a call may be"
    contents = (generated / "store_contents.py").read_text()
    assert 'record_count: int = Field(alias="recordCount")' in contents
    assert 'loaded_at: datetime = Field(alias="loadedAt")' in contents

    client = folder / "carriers.py"
    answers_and_errors(lambda *arguments, **environment: run(examples, python, client, *arguments, **environment), url, expected)
    program = (
        "import asyncio, sys\n"
        "from vkg_client import Vkg\n"
        "async def main():\n"
        "    async with Vkg(sys.argv[1]) as vkg:\n"
        "        print((await vkg.store_contents()).store)\n"
        "asyncio.run(main())\n"
    )
    store = done(folder, python, "-c", program, url)
    assert "records=24990" in store, "BigInt is a number"
    assert "loaded_at=datetime.datetime(" in store

    (folder / "wrong.py").write_text(
        "from vkg_client import Vkg\n"
        "async def f(vkg: Vkg) -> None:\n"
        '    await vkg.carriers("rs1", first=3, zygosity=["HOM_ALT"])\n'
        '    print((await vkg.carriers("rs1", first=3)).variant.name)\n'
    )
    assert re.findall(r"wrong\.py:(\d)", run(folder, python, "-m", "mypy", "--strict", "wrong.py").stdout) == ["3", "4"]


def test_r(examples: Path, url: str, expected: Callable[[str], str]) -> None:
    script = shutil.which("Rscript")
    if script is None or run(examples, script, "-e", "library(httr2)").returncode:
        pytest.skip("no R with httr2 is here (Debian: apt-get install r-base-core r-cran-httr2)")
    client = examples / "r" / "carriers.R"
    answers_and_errors(lambda *arguments, **environment: run(ROOT, script, client, *arguments, **environment), url, expected)


# ---- what they are made from


def test_locks_name_exact_versions_and_no_download_address() -> None:
    pins = (EXAMPLES / "python" / "requirements.txt").read_text().splitlines()[1:]
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9_-]+==[0-9.]+", pin)] == []
    manifest, lock = (json.loads((EXAMPLES / "typescript" / name).read_text()) for name in ("package.json", "package-lock.json"))
    assert [version for version in manifest["devDependencies"].values() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert [name for name, package in packages.items() if "resolved" in package or "integrity" not in package] == []
