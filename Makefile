# Everything runs in .venv, made on first use. `make help` lists the targets.
#
# Without an NVIDIA card, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu in the
# environment makes pip choose the much smaller torch (2.13.0+cpu satisfies the same pin).

PYTHON ?= python3
PYTEST_ARGS ?=
DEMO_ARGS ?=

BIN := .venv/bin
# Byte code is made on import, of what is imported: of all of torch it takes half a minute.
PIP := $(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt
RUNTIME := .venv/runtime.stamp
DEV := .venv/dev.stamp

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: bench clean demo docs floors help lint notebook test types

NOTEBOOKS := $(wildcard notebooks/*.py)

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

demo: $(RUNTIME)  ## grow a network on a chip and print what it cost
	$(BIN)/mosaic demo $(DEMO_ARGS)

test: $(DEV)  ## tests and doctests (PYTEST_ARGS="--hypothesis-profile=ci" searches longer)
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(PYTEST_ARGS)

lint: $(DEV)  ## ruff: rules and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(DEV)  ## mypy
	$(BIN)/mypy

floors: $(DEV)  ## import-linter: who may import whom
	$(BIN)/lint-imports --no-logo

docs: BUILDER ?= html
docs: $(DEV)  ## HTML pages in docs/_build/html; a warning is an error
	$(BIN)/sphinx-build -q -W --keep-going -b $(BUILDER) docs docs/_build/$(BUILDER)

# The .py is the source: it must survive the way to a notebook and back. --update keeps the
# cell ids of a notebook that is there, and without timing a second run changes nothing.
notebook: $(NOTEBOOKS:%=execute/%)  ## execute notebooks/*.py into the .ipynb beside them

execute/%.py: $(DEV)
	$(BIN)/jupytext -q --to ipynb --test $*.py
	$(BIN)/jupytext -q --to ipynb --update $*.py
	$(BIN)/jupyter nbconvert --log-level=ERROR --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False $*.ipynb

bench: $(RUNTIME)  ## measure against peers (pip install sanafe brian2 for all of them)
	@for script in against_snntorch.py sequence.py against_peers.py alone.py dies.py "hardware.py speed" placing.py routing.py "growing.py --quick"; do \
		echo "benchmarks/$$script"; $(BIN)/python benchmarks/$$script || exit 1; done

clean:  ## delete caches and built pages (not .venv, not runs/)
	rm -rf docs/_build docs/_generated dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make a second call install nothing. The larger installation contains the smaller.
.venv/pyvenv.cfg:
	$(PYTHON) -m venv .venv

$(RUNTIME): pyproject.toml constraints.txt | .venv/pyvenv.cfg
	$(PIP) -e .
	@touch $@

$(DEV): pyproject.toml constraints.txt | .venv/pyvenv.cfg
	$(PIP) -e ".[dev]"
	@touch $(RUNTIME) $@
