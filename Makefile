# Everything installs into .venv from the locks in requirements/. `make help` lists the targets.

PYTHON ?= python3
UV ?= uv
VENV := .venv
BIN := $(VENV)/bin
INSTALL = @requirements/install $(BIN)/python
# The program itself, editable. The lock has what builds it, so this asks no network.
INSTALL_PROGRAM = @$(BIN)/python -m pip --disable-pip-version-check --quiet install \
	--no-deps --no-build-isolation --no-index -e .

# Processes start by the hundred in tests: without caches of bytecode each takes twice the time.
unexport PYTHONDONTWRITEBYTECODE

# Two installs into one .venv must never overlap, whatever -j says.
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup run dev test soak check lowest format bench up down docs clean lock

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

run: $(VENV)/.run ## serve a small demo world on 127.0.0.1:8000 (ARGS="--port 8001" or STARLING_PORT)
	@exec $(BIN)/starling serve --demo $(ARGS)

setup: $(VENV)/.setup ## install the program with all that its commands need on one machine

dev: $(VENV)/.dev ## also what those who write projections and notebooks need: pytest, Jupyter's kernel, Polars
	@echo "Try: $(BIN)/python -m pytest tests/unit/projections"

test: $(VENV)/.test $(VENV)/.streaming $(VENV)/.engines $(VENV)/.eventstoredb ## run every test, or those in TESTS="..."
	$(BIN)/python -m pytest -q -rs -n 4 --dist loadfile --no-loadscope-reorder $(TESTS)

soak: $(VENV)/.test $(VENV)/.streaming $(VENV)/.engines $(VENV)/.eventstoredb ## random requests, damaged files and kills in full (SOAK_MINUTES=30 bounds all but the kills)
	SOAK=1 $(BIN)/python -m pytest -q -rs -s --timeout 7200 tests/soak/test_mutated_files.py \
		tests/soak/test_random_requests.py tests/soak/test_damaged_folders.py tests/soak/test_beginnings.py \
		tests/e2e/test_client_document.py tests/e2e/test_openapi.py \
		tests/e2e/test_kill_under_load.py tests/e2e/test_stopped_processes.py \
		tests/engines/test_up_command.py tests/engines/test_relay.py tests/engines/test_mongodb_faults.py \
		tests/engines/test_mongodb_responses.py tests/engines/test_profiles_agree.py \
		tests/engines/test_faust_over_mongodb.py tests/laws \
		tests/conformance/test_log_processes.py tests/real/test_imports.py

check: $(VENV)/.test $(VENV)/.streaming $(VENV)/.eventstoredb ## format, lint, types and import contracts
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.test ## format the code and sort its imports
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

lowest: ## test the oldest versions of libraries that pyproject.toml allows
	@$(MAKE) --no-print-directory VENV=.venv-lowest .venv-lowest/.lowest
	.venv-lowest/bin/python -m pytest -q -rs -n 2 --dist loadfile --no-loadscope-reorder \
		$(or $(TESTS),tests/unit tests/laws tests/conformance tests/e2e)

bench: $(VENV)/.bench $(VENV)/.streaming $(VENV)/.engines $(VENV)/.eventstoredb ## measure beside the peers; writes docs/benchmarks.md
	$(BIN)/python -m tests.bench

up: $(VENV)/.streaming $(VENV)/.engines ## start the streaming profile
	$(BIN)/starling up

down: $(VENV)/.streaming ## stop the streaming profile
	$(BIN)/starling down

docs: $(VENV)/.docs ## build the documentation site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

clean: ## remove .venv and every cache; data/ stays
	rm -rf .venv .venv-lowest .engines build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- installing: one stamp a lock, so that a second call costs nothing ----

# $(call is,EXPRESSION) is non-empty when the expression holds in $(PYTHON).
is = $(shell $(PYTHON) -c 'import sys; print("yes" if $(1) else "")' 2>/dev/null)

$(VENV)/.python:
	$(if $(call is,sys.version_info >= (3$(comma) 11)),,$(error Starling needs Python 3.11 or newer, and '$(PYTHON)' is $(or $(shell command -v $(PYTHON) >/dev/null && $(PYTHON) --version 2>&1),not there); name another with: make PYTHON=python3.12))
	$(if $(call is,__import__("importlib.util").util.find_spec("ensurepip")),,$(error '$(PYTHON)' cannot make a virtual environment; on Debian: apt-get install python3-venv))
	@$(PYTHON) -m venv $(VENV)
	@touch $@

comma := ,

$(VENV)/.run: requirements/run.txt requirements/build.txt pyproject.toml | $(VENV)/.python
	@echo "installing Starling into $(VENV): half a minute to two, by the network"
	$(INSTALL) requirements/build.txt $<
	$(INSTALL_PROGRAM)
	@touch $@

$(VENV)/.lowest: requirements/lowest.txt requirements/build.txt pyproject.toml | $(VENV)/.python
	@echo "installing the oldest libraries that Starling allows into $(VENV)"
	$(INSTALL) requirements/build.txt $<
	$(INSTALL_PROGRAM)
	@touch $@

$(VENV)/.%: requirements/%.txt | $(VENV)/.run
	@echo "installing $< into $(VENV)"
	$(INSTALL) $<
	@touch $@

# ---- locking: versions.txt chooses one version of everything, the others are cut from it ----

LOCK = $(UV) pip compile --quiet --universal --python-version 3.11 \
	--no-emit-index-url --no-annotate --no-header
COMPILE = $(LOCK) pyproject.toml
CUT = $(COMPILE) --generate-hashes --constraints requirements/versions.txt
BUILD_REQUIRES = import tomllib; \
	print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")

lock: ## write requirements/ anew (needs uv; UPGRADE=--upgrade takes newer versions)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	$(COMPILE) $(UPGRADE) --all-extras -o requirements/versions.txt
	$(CUT) -o requirements/run.txt
	$(CUT) -o requirements/setup.txt --extra analysis --extra simulate --extra plots --extra s3
	$(CUT) -o requirements/dev.txt --extra dev
	$(CUT) -o requirements/test.txt --extra test --extra lint
	$(CUT) -o requirements/streaming.txt --extra streaming --extra s3
	$(CUT) -o requirements/engines.txt --extra engines
	$(CUT) -o requirements/eventstoredb.txt --extra eventstoredb
	$(CUT) -o requirements/bench.txt --extra bench
	$(CUT) -o requirements/docs.txt --extra docs
	$(CUT) -o requirements/otel.txt --extra otel
	$(COMPILE) --generate-hashes --resolution lowest-direct -o requirements/lowest.txt \
		--extra streaming --extra eventstoredb --extra test
	@$(PYTHON) -c '$(BUILD_REQUIRES)' | $(LOCK) $(UPGRADE) --generate-hashes - -o requirements/build.txt
