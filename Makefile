# Two commands matter: `make run` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

AZURITE := tests/emulators/azurite/node_modules/.package-lock.json
KUSTO := tests/infra/kusto/node_modules/.package-lock.json
GENERATORS := tests/generators/node/node_modules/.package-lock.json
SDK := sdk/typescript/node_modules/.package-lock.json

TESTED_WITH := $(VENV)/.dev $(VENV)/.checkov $(VENV)/.worker $(AZURITE) $(KUSTO) $(GENERATORS) $(SDK)

.PHONY: run test setup e2e-azure lint fuzz bench soak overload chaos chaos-azure matrix my-data switch prove-switch prove-freshness prove-fraud \
	prove-starvation prove-firewall clean

run: $(VENV)/.local  ## serve the demo on http://127.0.0.1:7071 [PORT=7071]
	@MALLOC_ARENA_MAX=1 $(BIN)/python -m local --port $(or $(PORT),7071)

test: $(TESTED_WITH)  ## every test; says what it leaves out where Node or a C compiler is absent
	$(BIN)/python -m pytest -n 3 --dist loadfile

setup: $(TESTED_WITH)  ## what `make test` needs; `make -j2 setup` uses two cores

e2e-azure: $(VENV)/.dev $(AZURITE)  ## the tour of the docs and every outage on the Azure adapters, over our test servers
	$(BIN)/python -m tests.e2e.azure

lint: $(VENV)/.dev  ## style, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: $(VENV)/.dev  ## for long: made-up requests against the served app and the handlers [CASES=1000]
	HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest tests/api/test_fuzz.py -s -n 0
	$(BIN)/python -m tests.api.fuzzing --cases $(or $(CASES),1000)

bench: $(VENV)/.dev  ## every benchmark, as ratios inside one run
	$(BIN)/python -m benchmarks

soak: $(VENV)/.dev  ## 15 minutes at 70 % load with events, content changes and flag flips [MINUTES=15]
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),15)

overload: $(VENV)/.dev  ## three times the capacity, then one tenant at ten times its limit
	$(BIN)/python -m benchmarks.overload
	$(BIN)/python -m benchmarks.noisy

chaos: $(VENV)/.dev  ## 100,000 events while processes are killed and stores go down; each must count once
	$(BIN)/python -m tests.chaos $(CHAOS)

chaos-azure: $(VENV)/.dev $(AZURITE)  ## the same through the Azure adapters, against the test servers
	$(BIN)/python -m tests.chaos --azure $(CHAOS)

matrix: $(VENV)/.dev $(AZURITE)  ## every operation of every port against every answer its service may give [PORT=documents|blobs|flags|bus]
	$(BIN)/python -m tests.matrix $(PORT)

my-data: $(VENV)/.dev  ## VIDEOS=… EVENTS=… [TENANT=my-data] [PORT=7071]: load your own files, learn, evaluate, serve
	@$(BIN)/python -m local my-data --videos $(VIDEOS) --events $(EVENTS) --port $(or $(PORT),7071) --tenant $(or $(TENANT),my-data)

switch: $(VENV)/.local  ## FLAG=… TO=on|off [TENANT=…]: switch a feature flag while the app runs
	@$(BIN)/python -m commands.switch_flag $(FLAG) $(TO) $(if $(TENANT),--tenant $(TENANT))

prove-switch: $(VENV)/.dev  ## how long the kill switch takes as clients see it: several processes, under load
	$(BIN)/python -m tests.e2e.prove_switch

prove-freshness: $(VENV)/.dev  ## how soon a video written and an event sent show in every process
	$(BIN)/python -m tests.e2e.prove_freshness

prove-fraud: $(VENV)/.dev  ## what an app's key in the wrong hands moves in statistics, now and before
	$(BIN)/python -m tests.e2e.prove_fraud

prove-starvation: $(VENV)/.dev  ## what one tenant's invented hints cost the service and the other tenant
	$(BIN)/python -m tests.e2e.prove_starvation

prove-firewall: $(VENV)/.dev  ## the deployed firewall rules on a real ModSecurity: ours passes, attacks do not [FIREWALL="--seed 1"]
	$(BIN)/python -m tests.firewall.prove $(FIREWALL)

clean:
	rm -rf $(VENV) .data

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.local: requirements.txt requirements-local.txt | $(BIN)/python
	@echo "Setting up $(VENV), once: this takes about a minute, longer on a slow network."
	$(subst --quiet,--progress-bar on,$(PIP)) -r requirements-local.txt
	@touch $@

$(VENV)/.dev: requirements.txt requirements-local.txt requirements-evaluation.txt requirements-dev.txt requirements-emulators.txt | $(BIN)/python
	$(PIP) -r requirements-dev.txt
	@$(PIP) -r requirements-emulators.txt || echo "left out: Service Bus tests (python-qpid-proton did not build)"
	@touch $@ $(VENV)/.local

$(VENV)/.worker: requirements.txt requirements-local.txt requirements-worker.txt | $(BIN)/python
	@found="$$($(BIN)/python tests/worker/python313.py)"; if [ -n "$$found" ]; then \
	  "$$found" -m venv $(VENV)/worker && \
	  $(VENV)/worker/bin/python -m pip --disable-pip-version-check install --quiet --no-compile -r requirements-worker.txt; \
	else echo "left out: tests on the official worker (no Python 3.13; name one in PYTHON313)"; fi
	@touch $@

$(VENV)/.checkov: requirements-checkov.txt | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/checkov
	$(VENV)/checkov/bin/python -m pip --disable-pip-version-check install --quiet --no-compile -r requirements-checkov.txt
	@touch $@

$(AZURITE): tests/emulators/azurite/package-lock.json
	@command -v npm >/dev/null && npm --prefix $(<D) ci --silent --no-audit --no-fund || \
	  echo "left out: Blob Storage tests (npm is not here, or could not install Azurite)"

$(KUSTO): tests/infra/kusto/package-lock.json
	@command -v npm >/dev/null && npm --prefix $(<D) ci --silent --no-audit --no-fund || \
	  echo "left out: queries of alerts and workbook (npm is not here, or could not install the Kusto language service)"

$(GENERATORS): tests/generators/node/package-lock.json
	@command -v npm >/dev/null && npm --prefix $(<D) ci --silent --no-audit --no-fund || \
	  echo "left out: clients in TypeScript (npm is not here, or could not install the client generators)"

$(SDK): sdk/typescript/package-lock.json
	@command -v npm >/dev/null && npm --prefix $(<D) ci --silent --no-audit --no-fund || \
	  echo "left out: the TypeScript SDK's tests (npm is not here, or could not install what it is built with)"
