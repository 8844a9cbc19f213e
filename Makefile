# stint, the short way to everything. `make` alone lists the targets.
#
# Needs Rust 1.94 or newer (rustup), Python 3.11 or newer with venv, a C compiler and make; scripts/need
# says what is missing and how to get it. Everything made goes to target/ (or $CARGO_TARGET_DIR).

OUT    := $(abspath $(or $(CARGO_TARGET_DIR),target))
VENV   := $(OUT)/venv
PYTHON := $(VENV)/bin/python
RUFF   := $(VENV)/bin/ruff
PYTHON_CODE := tests bench scripts/demo $(wildcard scripts/*.py)
CARGO  ?= cargo

# End-to-end tests wait more than they compute, so twice the cores is a good number at once.
JOBS   ?= $(shell expr 2 \* $$(nproc))
# What else to say to pytest: make e2e ARGS='-k cancel -x'
ARGS   ?=

export CARGO_TARGET_DIR := $(OUT)
export STINT_TARGET := $(OUT)
export RUFF_NO_CACHE := true

.DEFAULT_GOAL := help
.PHONY: help console console-if-possible demo test fmt lint unit features e2e chaos bench build clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | \
	  while IFS="$$(printf '\t')" read -r name what; do printf '  make %-14s %s\n' "$$name" "$$what"; done

demo: $(VENV)/ready console-if-possible ## a hub, an agent and the real AWS CLI, step by step (KEEP=1 leaves them running)
	@scripts/need cargo cc
	@echo 'building both programs (minutes the first time, nothing after that)'
	@$(CARGO) build --quiet --workspace
	@$(PYTHON) scripts/demo $(if $(KEEP),--keep)

test: fmt lint unit features e2e ## everything that must be green: fmt, lint, unit, features, e2e

fmt: $(VENV)/ready ## is the code formatted?
	@scripts/need cargo
	@echo '== cargo fmt --check' && $(CARGO) fmt --all --check
	@echo '== ruff format --check' && $(RUFF) format --check --quiet $(PYTHON_CODE)

lint: $(VENV)/ready console-if-possible ## clippy with warnings denied, and ruff
	@scripts/need cargo cc
	@echo '== cargo clippy' && $(CARGO) clippy --quiet --workspace --all-targets -- --deny warnings
	@$(CARGO) clippy --quiet --workspace --bin stint-hub-fuzz --features stint-hub-fuzz/readers -- --deny warnings
	@echo '== ruff check' && $(RUFF) check --quiet $(PYTHON_CODE)

unit: console-if-possible ## unit and property tests of the crates
	@scripts/need cargo cc
	@echo '== cargo test' && $(CARGO) test --quiet --workspace

features: ## lint and tests of each feature of the agent alone, of each set, and of none
	@scripts/need cargo cc
	@echo '== features' && scripts/features

e2e: $(VENV)/ready console-if-possible ## end-to-end tests of the real programs with the real AWS CLI and boto3 (LONG=1: also those of a minute and more)
	@scripts/need cargo cc
	@echo '== pytest' && $(CARGO) build --quiet --workspace
	@$(PYTHON) -m pytest -c tests/pytest.ini --numprocesses $(JOBS) --dist worksteal $(if $(LONG),,-m 'not long') $(ARGS) tests

chaos: $(VENV)/ready ## ROUNDS=500 random faults while commands flow (root; SEED=n repeats a run); the report goes to docs/CHAOS.md
	@scripts/need cargo cc
	@$(CARGO) build --quiet --workspace
	@PYTHONPATH=tests $(PYTHON) -m chaos --rounds $(or $(ROUNDS),500) $(if $(SEED),--seed $(SEED)) --report docs/CHAOS.md

bench: $(VENV)/ready console-if-possible ## measure the release builds and print the table of docs/BENCHMARKS.md
	@scripts/need cargo cc
	@echo 'building the release programs' && $(CARGO) build --quiet --release --package stint-agent
	@$(CARGO) build --quiet --profile hub --package stint-hub
	@PYTHONPATH=tests $(PYTHON) -m bench

build: ## the release agent and the hub, ready to install; the agent for TARGET=triple or BOARD=name
ifneq ($(TARGET)$(BOARD),)
	@scripts/build $(if $(BOARD),--board $(BOARD),$(TARGET))
else
	@scripts/need cargo cc
	@scripts/console $(OUT)/console --if-possible
	@$(CARGO) build --release --package stint-agent
	@$(CARGO) build --profile hub --package stint-hub
	@ls -l $(OUT)/release/stint $(OUT)/hub/stint-hub
endif

console: ## fetch the hub's browser terminal (needs npm); what builds the hub does it by itself where npm is
	@scripts/console $(OUT)/console

# First of all, or the hub would be built twice.
console-if-possible:
	@scripts/console $(OUT)/console --if-possible

clean: ## remove everything that was made
	@rm -rf $(OUT)

# The stamp is written last, so an interrupted installation is done again.
$(VENV)/ready: tests/requirements.txt
	@scripts/need python
	@echo 'installing the AWS CLI and boto3 into $(VENV)'
	@rm -rf $(VENV) && mkdir -p $(OUT) && python3 -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	@touch $@

# Targets and boards: cross builds, sizes, images.
include scripts/boards.mk

# Packages.
include scripts/packaging.mk
