"""Dockerfile, .dockerignore and docker-compose.yml: what they promise, read from them; and the real Compose, where there is one."""

from __future__ import annotations

import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import psycopg
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
GUIDE = (ROOT / "docs" / "operations.md").read_text()
SECRET = 'p@ss:/%$w"rd #'


def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's stages as (instruction, its text)."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line]
    instructions = [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]
    begins = [at for at, (name, _) in enumerate(instructions) if name == "FROM"]
    return [instructions[begin:end] for begin, end in zip(begins, [*begins[1:], None], strict=True)]


FINAL = dict(stages()[-1])


# ---- the image


def test_the_image_is_built_in_stages_of_one_python() -> None:
    assert [stage[0][1].split(" AS ")[0] for stage in stages()] == ["${PYTHON}"] * 3
    build = [text for stage in stages()[:-1] for _, text in stage]
    assert any("graph/ide/bundle.py" in text for text in build)
    assert any("--constraint constraints.txt" in text for text in build)
    assert not re.search(r"pip|npm|node|apt", FINAL["RUN"])


def test_the_image_runs_the_server_as_somebody_without_rights() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", FINAL["USER"]), "numeric, so that Kubernetes can tell that it is not root"
    assert json.loads(FINAL["CMD"]) == ["vkg", "serve", "--host", "0.0.0.0", "--accounts"]
    assert FINAL["EXPOSE"] == "8000"
    assert "ENTRYPOINT" not in FINAL, "docker compose run api vkg load ..."


def test_its_labels_are_those_of_the_project() -> None:
    labels = dict(pair.split("=", 1) for pair in shlex.split(FINAL["LABEL"]))
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}version"] == PROJECT["version"]
    assert labels[f"{prefix}description"] == PROJECT["description"]
    assert labels[f"{prefix}licenses"] == PROJECT["license"]


@pytest.mark.parametrize("status", [200, 503])
def test_it_is_healthy_where_it_is_ready(status: int) -> None:
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    command = json.loads(FINAL["HEALTHCHECK"].split("CMD ", 1)[1])
    assert command[0] == "python"
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        script = command[2].replace("8000", str(server.server_port))
        environment = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
        done = subprocess.run([sys.executable, command[1], script], env=environment, timeout=20)
        server.shutdown()
        thread.join()
    assert (done.returncode, asked) == (0 if status == 200 else 1, ["/readyz"])
    refused = subprocess.run([sys.executable, command[1], command[2].replace("8000", "9")], capture_output=True, timeout=20)
    assert refused.returncode == 1


def test_what_the_image_has_embeds_by_annotation_and_says_what_other_models_need(store_url: str, tmp_path: Path) -> None:
    (install,) = (text for stage in stages() for _, text in stage if "pip --disable-pip-version-check install" in text)
    assert re.search(r"constraints\.txt \. ", install), "without an extra"
    extra = [re.split(r"\W", text)[0] for text in PROJECT["optional-dependencies"]["embed"]]
    assert "torch" in extra
    script = f"import sys; sys.modules.update(dict.fromkeys({extra})); import vkg; vkg.main()"

    def vkg(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"VKG_DATABASE_URL": store_url}
        return subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    (tmp_path / "x.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n20\t1897442\trs4813331\tC\tT\t.\tPASS\tAF=0.4\n"
    )
    assert vkg("init", "--assembly", "GRCh37").returncode == 0
    assert vkg("load", "vcf", "x.vcf", "--assembly", "GRCh37", "--unnormalized").returncode == 0
    done = vkg("embed")
    assert (done.returncode, done.stdout) == (0, "annotation: 1 variants embedded, 1 in all\n"), done.stderr
    refused = vkg("embed", "--model", "dnabert2", "--reference", str(ROOT / "demo" / "chr20_npad_0.9-4.1mb.grch37.fa.gz"))
    assert refused.returncode == 2
    assert "dnabert2 needs torch" in refused.stderr.replace("huggingface_hub, safetensors, tokenizers, ", "")
    assert "pip install 'variant-knowledge-graph[embed]'" in refused.stderr


# ---- what it is built of


def reaches_the_build(name: str) -> bool:
    """Whether .dockerignore lets a file through: the last pattern counts that fits it or a folder that it is in."""
    path, let = PurePosixPath(name), True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        places = [path, *path.parents][:-1]
        anywhere = line.startswith("**/")
        if any(
            fnmatch(place.name if anywhere else str(place), pattern) and ("/" in pattern or anywhere or "/" not in str(place))
            for place in places
        ):
            let = line.startswith("!")
    return let


def test_everything_that_the_wheel_needs_is_sent_to_the_build() -> None:
    names = ["pyproject.toml", "constraints.txt", "vkg.py", PROJECT["readme"], *PROJECT["license-files"]]
    folders = ("store", "loaders", "embedder", "graph", "examples/operations")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file()]
    made = re.compile(r"__pycache__|graph/ide/(dist|node_modules)/")
    names += [name for name in (file.relative_to(ROOT).as_posix() for file in files) if not made.search(name)]
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["demo"]
    names += [f"demo/{file.name}" for pattern in ["*.py", *patterns] for file in (ROOT / "demo").glob(pattern)]
    assert len(names) > 100
    assert [name for name in names if not reaches_the_build(name)] == []


@pytest.mark.parametrize(
    "name",
    [
        ".env", ".git/config", ".venv/bin/python", "data/patients.vcf.gz", "tests/conftest.py", "docs/loading.md", "patients.vcf", "bench/query.py",
        "graph/__pycache__/app.cpython-313.pyc", "embedder/models/__pycache__/annotation.cpython-313.pyc", "graph/ide/dist/index.html", "graph/ide/node_modules/x/y.js",
        "demo/pbmc68k_reduced.seacells_summary.h5ad", "build/lib/vkg.py",
    ],
)  # fmt: skip
def test_nothing_else_is_sent_to_the_build(name: str) -> None:
    assert not reaches_the_build(name)


# ---- Compose


def test_only_this_machine_reaches_the_api_and_nobody_the_database() -> None:
    services = COMPOSE["services"]
    assert [port.startswith("127.0.0.1:") for port in services["api"]["ports"]] == [True]
    assert "ports" not in services["db"]
    assert services["api"]["depends_on"] == {
        "db": {"condition": "service_healthy"}, "init": {"condition": "service_completed_successfully"},
    }  # fmt: skip
    assert services["init"]["command"][:3] == ["vkg", "init", "--assembly"]


def test_the_services_can_do_little() -> None:
    for service in COMPOSE["services"].values():
        assert service["read_only"] is True
        assert "/tmp" in service["tmpfs"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
    for name in ("api", "init"):
        assert COMPOSE["services"][name]["cap_drop"] == ["ALL"]
        assert COMPOSE["services"][name]["init"] is True


def test_secrets_come_from_the_environment_and_are_asked_for() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    services = COMPOSE["services"]
    password = services["db"]["environment"]["POSTGRES_PASSWORD"]
    assert password == services["api"]["environment"]["PGPASSWORD"] == services["init"]["environment"]["PGPASSWORD"]
    assert re.fullmatch(r"\$\{POSTGRES_PASSWORD:\?.*\.env.*\}", password)
    assert "password" not in services["api"]["environment"]["VKG_DATABASE_URL"].lower()
    assert not re.search(r"PASSWORD: (?!&|\*|\$)", text)
    assert {".env", "/data/"} <= set((ROOT / ".gitignore").read_text().split())


def test_data_outlive_the_containers(server: str) -> None:
    """The images of PostgreSQL 18 keep their data in a folder below /var/lib/postgresql; a volume further down would stay empty."""
    database = COMPOSE["services"]["db"]
    assert database["image"] == "pgvector/pgvector:pg18"
    assert database["volumes"] == ["db:/var/lib/postgresql"]
    assert set(COMPOSE["volumes"]) == {"db", "work"}
    files, work = COMPOSE["services"]["api"]["volumes"]
    assert files.endswith(":/data:ro")
    assert work == f"work:{FINAL['WORKDIR']}"
    with psycopg.connect(server) as conn:
        known = {name for (name,) in conn.execute("SELECT name FROM pg_settings")}
    assert {option.removeprefix("--").split("=")[0] for option in database["command"][1:]} <= known


def compose() -> list[str] | None:
    """The command of Compose 2 or newer, where there is one."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version", "--short"], capture_output=True, text=True)
            if done.returncode == 0 and not done.stdout.startswith("1."):
                return command
    return None


@pytest.mark.skipif(compose() is None, reason="no docker compose is here")
def test_compose_accepts_it(tmp_path: Path) -> None:
    command = [*(compose() or ()), "--file", str(ROOT / "docker-compose.yml"), "--project-directory", str(tmp_path), "config"]
    clean = {key: value for key, value in os.environ.items() if key not in ("POSTGRES_PASSWORD", "VKG_ASSEMBLY", "PORT", "VKG_DATA")}
    refused = subprocess.run(command, env=clean, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "POSTGRES_PASSWORD" in refused.stderr
    assert ".env" in refused.stderr
    done = subprocess.run(
        [*command, "--format", "json"], env=clean | {"POSTGRES_PASSWORD": SECRET, "VKG_ASSEMBLY": "GRCh38"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert services["api"]["environment"]["PGPASSWORD"].replace("$$", "$") == SECRET
    assert services["init"]["command"] == ["vkg", "init", "--assembly", "GRCh38"]
    assert services["api"]["ports"][0]["host_ip"] == "127.0.0.1"


def test_the_guide_names_what_the_file_asks_for() -> None:
    section = GUIDE.split("## In containers", 1)[1].split("\n## ", 1)[0]
    for name in set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text())):
        assert f"`{name}" in section or f"{name}=" in section, name
    for service in re.findall(r"docker compose (?:run --rm|exec|logs|restart) (?:-\S+ )*(\w+)", section):
        assert service in COMPOSE["services"]
