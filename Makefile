# Everything a developer or CI does with this checkout; `make` lists it.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
WEB := app/web
STATE := $(or $(POOLHOUSE_STATE_DIR),var)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run qemu test check bench clients kill openapi migrate system binding clean

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(VENV)/.python-ready $(VENV)/.node-ready ## make .venv and install all dependencies from the lock files
	@:

run: setup ## start everything on this machine: lab, database, web and worker
	@$(BIN)/python run.py

qemu: setup ## install and start what virtual machines on this host need (as root)
	@sh deploy/local-qemu.sh install
	@$(MAKE) --no-print-directory $(VENV)/.qemu-ready
	@sh deploy/local-qemu.sh start '$(STATE)'
	@$(BIN)/poolhouse qemu doctor

test: system setup binding ## run the whole test suite
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 6 --dist loadfile --no-loadscope-reorder \
		tests/quota tests/kill tests

check: setup ## run all linters, the type checker, the import contracts and the OpenAPI comparison
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/poolhouse openapi | cmp - openapi/openapi.json \
		|| { echo 'openapi/openapi.json is not what the code says: run `make openapi` and commit it.' >&2; exit 1; }
	@echo 'openapi/openapi.json is fresh.'

bench: setup ## run the benchmarks; they write bench/results.json
	@$(BIN)/python -m bench

clients: setup ## run other people's clients of PVE against the lab, all of them and at length
	@$(BIN)/python -m pytest -m '' tests/lab/clients

kill: system setup binding ## kill -9 every saga at every step, and print what was tried
	@$(BIN)/python -m pytest -m '' tests/kill

openapi: setup ## write openapi/openapi.json
	@$(BIN)/poolhouse openapi > openapi/.openapi.json && mv openapi/.openapi.json openapi/openapi.json

migrate: setup ## bring the database that the settings name to this version
	@$(BIN)/poolhouse db upgrade

system: ## install Debian's packages that the test suite uses (as root; else name them)
	@sh deploy/system-packages.sh

# Where there is no libvirt the tests that need its binding say so.
binding: | $(VENV)/.python-ready
	@! pkg-config --exists libvirt 2>/dev/null || $(MAKE) --no-print-directory $(VENV)/.qemu-ready || true

clean: ## remove everything that setup and the tools made, but not var/
	rm -rf $(VENV) .clients $(WEB)/node_modules build *.egg-info .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@test -n '$(PYTHON)' || { echo 'Poolhouse needs Python 3.11 or newer: install it, or name it with `make PYTHON=...`.' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo 'This Python cannot make virtual environments: apt-get install python3-venv' >&2; exit 1; }
	@echo 'Making $(VENV) with $(PYTHON) ...'
	@$(PYTHON) -m venv --clear $(VENV)

# What a cut-off installation has left half made cannot be told from the rest: it begins anew.
$(VENV)/.python-ready: tests/requirements.txt deploy/build-requirements.txt pyproject.toml | $(BIN)/pip
	@test ! -e $(VENV)/.installing || $(PYTHON) -m venv --clear $(VENV)
	@echo 'Installing the locked Python packages ...'
	@touch $(VENV)/.installing
	@$(PIP) install --require-hashes --requirement deploy/build-requirements.txt --requirement tests/requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@rm $(VENV)/.installing
	@touch $@

$(VENV)/.qemu-ready: deploy/qemu-requirements.txt | $(VENV)/.python-ready
	@echo 'Building the Python binding of libvirt ...'
	@$(PIP) install --require-hashes --no-build-isolation --requirement deploy/qemu-requirements.txt
	@touch $@

$(VENV)/.node-ready: $(WEB)/package-lock.json deploy/node-packages.sh deploy/node-requirements.txt | $(VENV)/.python-ready
	@sh deploy/node-packages.sh $(VENV) $(WEB)
	@touch $@
