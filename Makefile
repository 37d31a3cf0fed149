# One environment, .venv, serves every target. Choose its interpreter with `make PYTHON=... install`.
PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := bench methods baselines reports
PYTEST_ARGS ?=
# tests at a time; with PYTEST_ARGS one after the other
JOBS ?= $(shell nproc)
RUN_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo bench test soak peers lint figures docs clean

help: ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST)

install: $(STAMP) ## create .venv and install everything, once

# torch, torchvision and deepinv in one pip command: docs/decisions/0001-one-pip-command.md
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later not found: set PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -e '.[dev,slurm]' -c constraints.txt
	@touch $@

bench: install ## run the suite `quick` (more options: RUN_ARGS="...")
	$(BIN)/equibench run quick $(RUN_ARGS)

demo: install ## a scan, reconstructed by every method with the checkpoints of the package
	$(BIN)/equibench run demo --pretrained $(RUN_ARGS)

lint: install ## ruff, its formatter and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(PACKAGES)

test: lint ## lint, then pytest (chosen tests: PYTEST_ARGS="...")
ifdef PYTEST_ARGS
	$(BIN)/python -m pytest $(PYTEST_ARGS)
else
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow and not alone"
	$(BIN)/python -m pytest -m "alone and not slow"
endif

soak: install ## faults and hostile input in their long forms, with counts: under an hour
	EQUIBENCH_FUZZ=10 $(BIN)/python -m pytest -s tests/hostile
	$(BIN)/python -m pytest -s -m "" tests/engines tests/faults

peers: install ## our times beside those of other libraries, with goals; on a quiet machine
	$(BIN)/python -m tests.peers

docs: install ## the documentation site, into site/
	$(BIN)/python -m pip install -q -e '.[docs]' -c constraints.txt
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q

figures: install ## every table and figure of README.md and docs/, anew from results/reference
	$(BIN)/python docs/make_pages.py

clean: ## remove .venv, build outputs and caches; results stay
	rm -rf $(VENV) build dist *.egg-info .benchmarks .mypy_cache .pytest_cache .ruff_cache
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
