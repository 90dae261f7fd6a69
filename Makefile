# `make rehearse` on a fresh clone does everything. `make help` lists the rest.

# The first Python on PATH that is recent enough.
PYTHON ?= $(shell for p in python3 python3.13 python3.14 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$p && break; done)
STACK ?= metal
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# Two workers suit two cores: each test that drives the engine keeps about one busy.
WORKERS ?= 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv engine check format test test-faults test-lab rehearse bench lock clean

help: ## Lists what there is.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

venv: .venv/requirements.made $(BIN)/ingot ## Makes .venv with everything in requirements.txt, and `ingot` in it.

.venv/requirements.made: requirements.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "make: expected Python 3.11 or later on PATH, found: $$(python3 --version 2>&1 || true)." >&2; \
		echo "Remedy: install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; fi
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes --requirement requirements.txt
	@touch $@

$(BIN)/ingot: .venv/requirements.made pyproject.toml
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

engine: venv ## Gets the Pulumi engine: PATH, cache, installer, or built from its Go module.
	$(BIN)/python -m tools.engine --ensure

check: venv ## ruff, mypy, import contracts.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet . || { echo "Remedy: make format" >&2; exit 1; }
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv ## Formats the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: engine ## All tests but the full sweeps and the lab.
	$(PYTEST) -n $(WORKERS) --dist worksteal

test-faults: engine ## The full sweep of faults and kills; minutes.
	$(PYTEST) -n $(WORKERS) --dist worksteal -m faults

# One after another: each part of a lab keeps a core busy while it starts.
test-lab: venv ## Tests against real parts: etcd, Kubernetes, KWOK, Redfish, Ignition; builds them, minutes the first time.
	$(BIN)/python -m tools.lab --ensure
	$(PYTEST) -n 0 -m lab

rehearse: engine ## Brings the stack up on the simulated rack, rolls it, writes the report. STACK=metal
	$(BIN)/ingot rehearse $(STACK)

bench: engine ## Times the rehearsal, big fleets and previews; ratios in one run.
	$(BIN)/python -m bench

lock: requirements.in ## Renews requirements.txt; keeps what still fits (UPGRADE=--upgrade for the newest).
	$(PYTHON) -m venv .cache/lock
	.cache/lock/bin/python -m pip install --disable-pip-version-check --quiet uv
	.cache/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command "make lock" $(UPGRADE) requirements.in --output-file requirements.txt

clean: ## Removes what make made, but the engine and simulated state (.cache, .ingot).
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
