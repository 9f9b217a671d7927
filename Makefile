# Works with GNU make 3.81 (macOS) and any POSIX shell.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUN_CHECKS := $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo ok
WANTED := Python 3.11 or newer with venv is needed: `apt install python3-venv` (Debian), `brew install python` (macOS), \
or name one with PYTHON=/path/to/python3

.DEFAULT_GOAL := help
# What a backtest spends its time in; `make compiled` puts it through Cython as it is.
COMPILED := domain/engine.py domain/wakes.py domain/effects.py domain/market.py domain/values.py \
	domain/account/decider.py domain/account/folds.py domain/account/risk_folds.py domain/account/state.py \
	domain/risk/pre_trade.py domain/risk/worth.py domain/strategy/decider.py domain/strategy/plugin.py \
	domain/strategy/registry.py domain/strategy/sizing.py domain/strategies/grid.py domain/strategies/sma_cross.py \
	domain/policies/report_orders.py domain/policies/trade_strategies.py domain/policies/offset_losers.py \
	infrastructure/venues/lane.py infrastructure/venues/resting.py infrastructure/venues/prepared.py \
	infrastructure/venues/simulated.py infrastructure/venues/simulated_market.py
CYTHONIZE := ../../$(BIN)/cythonize -q -3 -j 2 -X annotation_typing=False

.PHONY: help install venv run test check fmt golden lock mutants compiled build clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

install: $(VENV)/.installed ## make .venv from the lock (again only where the lock or pyproject.toml changed)
	@:

# The stamp is a copy of the lock, so that a checkout which only touches the file costs nothing.
$(VENV)/.locked: requirements.lock
	$(if $(shell $(RUN_CHECKS)),,$(error $(WANTED)))
	@if cmp -s requirements.lock $@; then touch $@; else $(MAKE) --no-print-directory venv; fi

venv:
	@echo "Installing the locked packages into $(VENV): a minute or two, once"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --quiet --require-hashes --no-compile -r requirements.lock
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true # some packages carry files for other Pythons
	@cp requirements.lock $(VENV)/.locked

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@$(PIP) check >/dev/null || { $(PIP) check; echo "requirements.lock is behind pyproject.toml: make lock"; exit 1; }
	@touch $@

run: install ## the server, with a demo account on a market that walks
	@$(BIN)/truetape up --demo

test: install ## run the tests (ARGS="-k ledger" is passed on)
	@$(BIN)/python -m pytest -n 2 $(ARGS)

check: install ## formatting, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

fmt: install ## format, and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format --quiet .

golden: install ## make the golden files of events that have none, or have new fields
	@$(BIN)/python -m tests.golden.make

lock: ## bring requirements.lock up to pyproject.toml (ARGS=--upgrade for newest versions)
	$(if $(shell $(RUN_CHECKS)),,$(error $(WANTED)))
	@test -x build/uv/bin/uv || { $(PYTHON) -m venv build/uv && build/uv/bin/python -m pip install --quiet uv; }
	@build/uv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --all-extras \
		--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(ARGS) \
		-o requirements.lock pyproject.toml

mutants: ## what survives in the risk, pool, queue and offset code; 20 minutes and more (ARGS="domain.risk.*" for a part)
	@test -x build/mutants/bin/mutmut || { $(PYTHON) -m venv build/mutants && build/mutants/bin/python -m pip install \
		--quiet --require-hashes -r requirements.lock && build/mutants/bin/python -m pip install --quiet 'mutmut>=3.8,<4'; }
	@CI=1 build/mutants/bin/mutmut run $(ARGS)
	@build/mutants/bin/mutmut results | sed '/: not checked$$/d'

compiled: install ## the same source through Cython, as .venv/bin/truetape-compiled; a minute or two, needs a C compiler
	@rm -rf build/compiled && mkdir -p build/compiled && cp -R api domain infrastructure projections replay build/compiled
	@cd build/compiled && $(CYTHONIZE) $(COMPILED)
	@$(BIN)/python -m infrastructure.compiled.weave $(COMPILED:%.py=build/compiled/%.c)
	@cd build/compiled && CFLAGS="-O2 -g0 -w" $(CYTHONIZE) -i $(COMPILED) >/dev/null
	@printf '#!/bin/sh\nPYTHONPATH="%s/build/compiled" exec "%s/$(BIN)/truetape" "$$@"\n' "$(CURDIR)" "$(CURDIR)" \
		> $(BIN)/truetape-compiled && chmod +x $(BIN)/truetape-compiled

build: install ## a wheel and a source archive in dist/
	@$(BIN)/hatchling build

clean: ## remove all that make has made
	rm -rf $(VENV) build dist mutants .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find api domain infrastructure projections replay tests -name __pycache__ -prune -exec rm -rf {} +
