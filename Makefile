# The developer interface: one-line targets, the same ones CI calls. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
CLUSTER_TOOL := $(PYTHON) -m tests.cluster
# Processes that share the unit tests; 0: none but this one, for some tests are about the very moment.
JOBS ?= 0
DATA := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/towpath/data
.DEFAULT_GOAL := help
.PHONY: help demo test check fix unit contract e2e chaos bench bench-peers bench-cluster data cluster-up cluster-down cluster-status images generate build clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	@echo "Installing Towpath and its tools into .venv (once) …"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Towpath needs Python 3.11 or newer; name one with PYTHON=…")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1' && $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]' --group dev
	@touch $@

demo: $(STAMP) ## cluster (if none is named), image, chart, a flow with children; prints the run tree and the result
	@$(BIN)/python -m tests.demo

test: check unit data contract e2e bench ## everything that must hold, quick things first

check: $(STAMP) ## format, lint, types, layers
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

fix: $(STAMP) ## format, and mend what can be mended
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

unit: $(STAMP) ## tests without a cluster; JOBS=2: by two processes, in half the time
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m 'not cluster and not s3' --ignore=tests/bench tests

contract: $(STAMP) cluster-up ## what must hold on a real API server
	$(BIN)/python -m pytest -q --timeout 300 -m cluster tests/contract tests/helm

e2e: $(STAMP) cluster-up ## the whole of Towpath on a real cluster
	$(BIN)/python -m pytest -q --timeout 600 -m cluster tests/e2e tests/chaos

chaos: $(STAMP) ## beat a real cluster, and hold its whole history against the laws; SEED=… ROUNDS=… THEME=… repeat
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(THEME),--theme '$(THEME)')

bench: $(STAMP) cluster-up ## the budgets, as ratios measured in one run
	$(BIN)/python -m pytest -q -s --timeout 600 tests/bench

bench-peers: $(STAMP) ## Towpath beside its peers; writes docs/benchmarks.md
	$(BIN)/python -m tests.bench.peers

bench-cluster: $(STAMP) ## thousands of runs on a cluster of its own; writes docs/scale.md (SCALE=small: a quick look)
	SCALE=$(or $(SCALE),full) $(BIN)/python -m tests.bench.cluster

data: ## results on a real server that speaks S3; in a venv of its own, kept outside of the clone
	@test -x $(DATA)/bin/python || $(PYTHON) -m venv $(DATA)
	@$(DATA)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1' && $(DATA)/bin/python -m pip install --quiet --disable-pip-version-check --group data
	@PYTHONPATH=sdk $(DATA)/bin/python -m pytest -q -m s3 --confcutdir=tests/sdk/results tests/sdk/results/test_storages.py

cluster-up: ## a Kubernetes for tests and the demo (exit code 3: none can be had here, and cluster tests skip)
	@$(CLUSTER_TOOL) up >/dev/null || test $$? -eq 3

cluster-down: ## take it away again
	$(CLUSTER_TOOL) down

cluster-status: ## what of it runs
	$(CLUSTER_TOOL) status

images: cluster-up ## build the images and load them into the cluster
	$(CLUSTER_TOOL) images

generate: $(STAMP) ## write what is generated: CRDs and reference pages
	$(BIN)/python -m towpath_operator.crds crds helm/towpath/crds
	$(BIN)/python -m towpath_operator.crds --docs docs/reference
	$(BIN)/python -m towpath.cli.reference docs/reference

build: $(STAMP) ## wheel and sdist
	$(BIN)/python -m pip wheel --quiet --no-deps -w dist .

clean: ## remove what is not in git, the cluster first
	-$(CLUSTER_TOOL) down
	rm -rf .venv .cluster dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
