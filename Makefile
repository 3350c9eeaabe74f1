# Everything runs in a private environment, .venv, that these targets make and keep up to date by themselves.
#   make demo PYTHON=python3.12          another interpreter (3.11 or newer)
#   make demo PIP_FLAGS="--no-index …"   further options for pip, such as where to find packages

PYTHON ?= python3
PIP_FLAGS ?=
DEMO ?= demo

bin := .venv/bin
install := $(bin)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_FLAGS)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint docs bench results clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: .venv/.user ## Learn factors from images, measure them, write a report (a few minutes on two cores)
	@echo "Training on a generated world; the run goes to $(DEMO)/."
	@if [ -e "$(DEMO)/run.json" ]; then $(bin)/percepts train --resume "$(DEMO)"; else $(bin)/percepts train demo --out "$(DEMO)"; fi
	@echo "Done. Open $(CURDIR)/$(DEMO)/report.html in a browser."

test: .venv/.dev ## Run the fast tests
	OMP_NUM_THREADS=1 $(bin)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile

test-slow: .venv/.dev ## Run the tests that train real models (about an hour on two cores)
	OMP_NUM_THREADS=1 $(bin)/python -m pytest -m slow

lint: .venv/.dev ## Check style, types and the direction of imports
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/lint-imports

docs: .venv/.docs ## Build the documentation into docs/_build/html
	$(bin)/sphinx-build --fail-on-warning --keep-going --quiet --builder html docs docs/_build/html
	@echo "Open $(CURDIR)/docs/_build/html/index.html in a browser."

bench: .venv/.dev ## Measure speed beside other implementations, into benchmarks/results/
	$(bin)/python -m benchmarks

results: .venv/.dev ## Train the studies anew and write RESULTS.md from them
	@for study in demo beta_vae cci_vae spatial_broadcast udr monet iodine cobra cobra_ablations cobra_udr alchemy info_gathering; do $(bin)/percepts reproduce $$study || [ $$? -eq 3 ] || exit 1; done

clean: ## Remove the environment, caches and builds; runs and the demo's results stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist docs/_build docs/reference/rooms
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "percepts needs Python 3.11 or newer, '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Making a private environment in .venv with $$($(PYTHON) --version)."
	@$(PYTHON) -m venv .venv

.venv/.user: pyproject.toml constraints.txt | .venv/bin/pip
	@echo "Installing percepts into .venv (once; a minute or two)."
	@$(install) --editable .
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/pip
	@echo "Installing percepts and its development tools into .venv (once; a minute or two)."
	@$(install) --editable '.[dev]'
	@touch $@

.venv/.docs: pyproject.toml constraints.txt | .venv/bin/pip
	@echo "Installing percepts and its documentation tools into .venv (once; a minute or two)."
	@$(install) --editable '.[docs]'
	@touch $@
