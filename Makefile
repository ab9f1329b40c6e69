# make eval   set up and measure the built-in model        make test   set up and run the tests
# make lint   style, types, layers                          make bench  speed, load and trust
# EXTRAS=a,b  further extras, cuda by GPU                  PYTHON=…    an interpreter of your choice
# JOBS=N      tests at a time, 0 for one process            ARGS=…      further arguments of pytest

VENV   := .venv
BIN    := $(VENV)/bin
EXTRAS ?= $(if $(shell command -v nvidia-smi),cuda)
JOBS   ?= 2
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
UV     := $(shell command -v uv 2>/dev/null)
comma  := ,
more    = $(if $(EXTRAS),$(comma)$(EXTRAS))

ifdef UV
  make_venv = uv venv --quiet --python $(PYTHON) $(VENV)
  install   = uv pip install --quiet --python $(BIN)/python
else
  make_venv = $(PYTHON) -m venv $(VENV)
  install   = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: setup eval test lint format bench clean

eval: $(VENV)/.ready-run$(EXTRAS)
	$(BIN)/punie eval --journal "Baseline of the built-in model."

test: setup
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python tests/bench/bench.py $(ARGS)

setup: $(VENV)/.ready-dev$(EXTRAS)

$(VENV)/.ready-run$(EXTRAS): $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing punie into $(VENV) (a minute or two, once)"
	@$(install) -c constraints.txt -e '.[mlx$(more)]'
	@touch $@

$(VENV)/.ready-dev$(EXTRAS): $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing punie and its test tools into $(VENV) (a minute or two, once)"
	@$(install) -c constraints.txt -e '.[mlx,dev$(more)]'
	@touch $@ $(VENV)/.ready-run$(EXTRAS)

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "punie needs Python 3.11 or newer; give PYTHON=/path/to/python3"; exit 1; }
	@$(make_venv)

clean:
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
