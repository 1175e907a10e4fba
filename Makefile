# Two commands matter: `make run` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: run test lint bench switch clean

run: $(VENV)/.local  ## serve the demo on http://127.0.0.1:7071
	$(BIN)/python -m local

test: $(VENV)/.dev  ## every test
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.dev  ## style, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev  ## every benchmark, as ratios inside one run
	$(BIN)/python -m benchmarks

switch: $(VENV)/.local  ## FLAG=… TO=on|off [TENANT=…]: switch a feature flag while the app runs
	@$(BIN)/python -m shared.flags.switch $(FLAG) $(TO) $(if $(TENANT),--tenant $(TENANT))

clean:
	rm -rf $(VENV) .data

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.local: requirements.txt requirements-local.txt | $(BIN)/python
	$(PIP) -r requirements-local.txt
	@touch $@

$(VENV)/.dev: requirements.txt requirements-local.txt requirements-dev.txt | $(BIN)/python
	$(PIP) -r requirements-dev.txt
	@touch $@ $(VENV)/.local
