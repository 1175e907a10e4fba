# Two commands matter: `make run` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

AZURITE := tests/emulators/azurite/node_modules/.package-lock.json

.PHONY: run test lint bench switch prove-switch prove-freshness clean

run: $(VENV)/.local  ## serve the demo on http://127.0.0.1:7071
	$(BIN)/python -m local

test: $(VENV)/.dev $(AZURITE)  ## every test; says what it leaves out where Node or a C compiler is absent
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.dev  ## style, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev  ## every benchmark, as ratios inside one run
	$(BIN)/python -m benchmarks

switch: $(VENV)/.local  ## FLAG=… TO=on|off [TENANT=…]: switch a feature flag while the app runs
	@$(BIN)/python -m shared.flags.switch $(FLAG) $(TO) $(if $(TENANT),--tenant $(TENANT))

prove-switch: $(VENV)/.dev  ## how long the kill switch takes as clients see it: several processes, under load
	$(BIN)/python -m tests.e2e.prove_switch

prove-freshness: $(VENV)/.dev  ## how soon a video written and an event sent show in every process
	$(BIN)/python -m tests.e2e.prove_freshness

clean:
	rm -rf $(VENV) .data

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.local: requirements.txt requirements-local.txt | $(BIN)/python
	$(PIP) -r requirements-local.txt
	@touch $@

$(VENV)/.dev: requirements.txt requirements-local.txt requirements-dev.txt requirements-emulators.txt | $(BIN)/python
	$(PIP) -r requirements-dev.txt
	@$(PIP) -r requirements-emulators.txt || echo "left out: Service Bus tests (python-qpid-proton did not build)"
	@touch $@ $(VENV)/.local

$(AZURITE): tests/emulators/azurite/package-lock.json
	@command -v npm >/dev/null && npm --prefix $(<D) ci --silent --no-audit --no-fund || \
	  echo "left out: Blob Storage tests (npm is not here, or could not install Azurite)"
