# make demo    a running server with real data        make test    the whole test suite
# make check   what CI runs: linters, types, tests    make clean   remove what the others made here
# make ide     build GraphiQL, which the others do where it is needed
# make fuzz    a million damaged files, in an hour or less; INPUTS=20000 for fewer

PORT ?= 8000
# The first Python that is new enough; PYTHON=/path/to/python picks another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help demo test ide lint check fuzz clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# make /make /p' Makefile | sed 's/   *make /\nmake /'

demo: .venv/installed
	@$(BIN)/python graph/ide/bundle.py || true
	@$(BIN)/vkg demo --port $(PORT)

test: .venv/installed-dev
	@$(BIN)/python graph/ide/bundle.py || true
	@$(BIN)/python -m pytest -n 2 --dist worksteal

lint: .venv/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# GraphiQL, where its sources are newer than what was built of them.
ide: .venv/installed
	@$(BIN)/python graph/ide/bundle.py

check: lint
	@$(MAKE) --no-print-directory test

# Damaged files: by all readers on their own, and some through the commands into a store. PROCESSES: else one for each processor but one.
INPUTS ?= 1000000
PROCESSES ?=
fuzz: .venv/installed-dev
	@$(BIN)/python -m tests.fuzz.run --inputs $(INPUTS) $(if $(PROCESSES),--processes $(PROCESSES))
	@FUZZ_LOADS=100 $(BIN)/python -m pytest -q tests/fuzz/test_load.py

clean:
	rm -rf .venv build dist *.egg-info graph/ide/dist graph/ide/node_modules .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment that an interruption left half made has no working pip, and is made again.
.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; PYTHON=/path/to/python names one that is not on the PATH." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "Making .venv with $(PYTHON)"; $(PYTHON) -m venv --clear .venv; }
	@echo "Installing what constraints.txt pins"
	@$(PIP) --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	@$(PIP) --editable ".[dev]"
	@touch $@
