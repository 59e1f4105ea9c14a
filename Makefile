# The two commands a new machine needs are `make demo` and `make test`.
# They need Python 3.11 or newer and make; everything else comes from requirements.lock.

SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
BIN := .venv/bin
STAMP := .venv/installed
PORT ?= 8000
ARGS ?=
# What is written in no file is compiled again by each of some hundred processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test lint tests browser lock clean

help:
	@echo "make demo   sets everything up, does a night's work on a sample shop, serves the console"
	@echo "            (PORT=8001 for another port, ARGS=--no-serve to stop after the report)"
	@echo "make test   sets up what tests need and runs them all"
	@echo "make lock   makes requirements.lock again from pyproject.toml (needs uv)"
	@echo "make clean  stops what is embedded and removes .venv, var and caches"

setup: $(STAMP)

# A half-made .venv has no stamp and is made again.
$(STAMP): requirements.lock
	@test -n "$(PYTHON)" || { echo "Custody needs Python 3.11 or newer: none was found." >&2; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version) ..."
	@rm -rf .venv
	@if command -v uv >/dev/null 2>&1; then \
		$(PYTHON) -m venv --without-pip .venv && \
		uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.lock; \
	elif $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		$(PYTHON) -m venv .venv && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock; \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1; then \
		$(PYTHON) -m venv --without-pip .venv && \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock; \
	else \
		echo "This Python can neither make pip (ensurepip is missing) nor has it: install your system's" >&2; \
		echo "package for venv (on Debian: python3-venv), or uv, then run this again." >&2; exit 1; \
	fi
	@touch $(STAMP)

demo: setup
	@$(BIN)/python manage.py demo --port $(PORT) $(ARGS)

# Side by side: lint has one processor, and at the end the tests have both.
test: setup browser
	@$(MAKE) --no-print-directory -j2 lint tests

lint: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports
	@$(BIN)/python -m tests.migrations_check

# Only browser tests need Chromium, best without windows. Without it they say that they did not run.
browser:
	@command -v chromium-headless-shell >/dev/null 2>&1 || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1 || \
		{ echo "Installing Chromium for the browser tests ..."; \
		for package in chromium-headless-shell chromium; do \
			! command -v chromium >/dev/null 2>&1 || [ $$package != chromium ] || break; \
			(apt-get update -qq && apt-get install -y -qq $$package) >/dev/null 2>&1 && break; \
		done; \
		command -v chromium-headless-shell >/dev/null 2>&1 || command -v chromium >/dev/null 2>&1 || \
		echo "Chromium could not be installed: the browser tests will not run." >&2; }

tests: setup
	@$(BIN)/python -m tests.passes

# Universal, hashed, without addresses. Newer versions: make lock LOCK_ARGS=--upgrade
lock:
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--fork-strategy fewest --no-emit-index-url --no-annotate --no-header $(LOCK_ARGS) -o requirements.lock

clean:
	@[ ! -x $(BIN)/python ] || [ ! -d var ] || $(BIN)/python -m config.clean
	@rm -rf .venv var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
