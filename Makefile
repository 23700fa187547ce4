# The few commands people use. Each works as the first command on a fresh clone: it makes .venv and installs what it needs, with uv
# where it is there and with venv and pip where it is not.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)

# install NAME EXTRAS GROUPS: put the package with extras and dependency groups into the environment, once
ifdef UV
install = $(UV) pip install --quiet --python $(BIN)/python -e '.$(1)' $(foreach group,$(2),--group $(group))
environment = $(UV) venv --quiet --python $(PYTHON) $(VENV)
else
install = $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.$(1)' $(foreach group,$(2),--group $(group))
environment = $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
endif

.PHONY: help demo test lint types check format docs bench clean

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(environment)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(call install,[plot],)
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(call install,[plot$(comma)sklearn],dev)
	@touch $@

comma := ,

demo: $(VENV)/.demo  ## fit a real data set, print its summary and draw a picture (demo/caterpillar.png)
	$(BIN)/python examples/demo.py

test: $(VENV)/.dev  ## run the tests, on all cores
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGUMENTS)

lint: $(VENV)/.dev  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## check types
	$(BIN)/mypy

check: lint types test  ## all checks

format: $(VENV)/.dev  ## put the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(call install,[plot],docs)
	@touch $@

docs: $(VENV)/.docs  ## build the site into docs/_build/html; every page of it is executed
	$(BIN)/python -m sphinx -j auto -W --keep-going -q -b html docs docs/_build/html

bench: $(VENV)/.dev  ## compare the speed with other packages (and with lme4 where R is installed)
	$(BIN)/python -m benchmarks $(BENCH_ARGUMENTS)

clean:  ## remove the environment and everything made
	rm -rf $(VENV) demo docs/_build docs/api .mypy_cache .ruff_cache .pytest_cache .hypothesis
