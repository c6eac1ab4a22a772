# Every target sets up what it needs in .venv (or .venv-demo, .venv-docs) with plain pip; nothing
# outside this folder is changed.

PYTHON ?= python3
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
DEV = .venv/bin
DEMO = .venv-demo/bin
DOCS = .venv-docs/bin
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench docs lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

demo: .venv-demo/.ready ## replay real data while it is being written, and check every event
	@$(DEMO)/mainstem demo

test: .venv/.ready ## run all tests
	@$(DEV)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

check: .venv/.ready ## format, lint, types
	@$(DEV)/ruff format --check .
	@$(DEV)/ruff check .
	@$(DEV)/mypy

format: .venv/.ready ## format the code and mend what lint can mend
	@$(DEV)/ruff format .
	@$(DEV)/ruff check --fix .

bench: .venv/.ready ## measure, as ratios to plain sqlite3 in the same run
	@$(DEV)/python -m benchmarks

docs: .venv-docs/.ready ## build the documentation into site/
	@$(DOCS)/mkdocs build --strict --quiet && echo "Built: site/index.html"

lock: ## renew requirements/*.txt from pyproject.toml
	@$(PYTHON) -m venv .venv-lock && .venv-lock/bin/python $(PIP_INSTALL) uv
	@for group in dev docs; do \
	  .venv-lock/bin/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes \
	    --no-header --no-annotate --group $$group --output-file requirements/$$group.txt || exit 1; \
	done
	@.venv-lock/bin/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --extra cli --output-file requirements/demo.txt pyproject.toml
	@rm -rf .venv-lock

clean: ## remove everything that was set up or built
	@rm -rf .venv .venv-demo .venv-docs .venv-lock build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/.ready: requirements/dev.txt pyproject.toml
	@$(call set_up,.venv,requirements/dev.txt,the development environment)
	@.venv/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv-demo/.ready: requirements/demo.txt pyproject.toml
	@$(call set_up,.venv-demo,requirements/demo.txt,what the demo needs)
	@.venv-demo/bin/python $(PIP_INSTALL) --no-deps --editable .
	@touch $@

.venv-docs/.ready: requirements/docs.txt pyproject.toml
	@$(call set_up,.venv-docs,requirements/docs.txt,what the documentation needs)
	@.venv-docs/bin/python $(PIP_INSTALL) --no-deps --editable .
	@touch $@

# $(call set_up,environment,lock file,what it is)
define set_up
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo "Mainstem needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 ..." >&2; exit 1; }; \
echo "Setting up $(3) in $(1) ..."; \
$(PYTHON) -m venv --clear $(1) || { echo "$(PYTHON) can't make a virtual environment (on Debian: apt install python3-venv)." >&2; exit 1; }; \
$(1)/bin/python $(PIP_INSTALL) --require-hashes --requirement $(2)
endef
