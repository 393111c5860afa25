# Every target sets up what it needs, says what it does, and does nothing twice.
# SPDX-License-Identifier: MIT
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/captured
KERNEL := $(or $(TEST_KERNEL_DIR),$(CACHE)/test-kernel)
VM := tests/vm/run -k $(KERNEL)
# Where `make install` goes, which Python runs it, and whether numpy and Pillow go along:
# auto (where Python has none, and DESTDIR is empty), yes, no.
DESTDIR ?=
PREFIX ?= /usr/local
PYTHON ?= /usr/bin/python3
VENDOR ?= auto
PACKAGES := $(shell sed 's/\#.*//' tests/vm/packages)

.PHONY: help bench demo man check lint types unit integration guest kernel packages venv dist install uninstall clean
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: venv kernel ## capture a real writeback connector; ends with the path of a PNG
	@$(VM) -- $(BIN)/python -m tests.demo demo

check: lint types unit integration guest ## everything: lint, types, all tests, the kernel's included

lint: venv ## ruff: format and rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: venv ## mypy --strict
	@$(BIN)/mypy

unit: venv ## tests of logic: no card, no second process
	@$(BIN)/pytest tests/unit

integration: venv ## tests of the commands, the packaging and the client, as processes
	@$(BIN)/pytest tests/integration

guest: venv kernel ## tests on the real driver, in the guest
	@tests/vm/check $(KERNEL)

kernel: packages ## the test kernel: User Mode Linux with VKMS (once, about 6 minutes)
	@tests/vm/build-kernel $(KERNEL)

bench: venv kernel ## figures: fan-out against C, bad clients, memory, start-up, capturing, the real driver (20 minutes)
	@$(BIN)/python -m tests.bench.fanout --json bench.json
	@$(BIN)/python -m tests.bench.isolation
	@$(BIN)/python -m tests.bench.memory
	@$(BIN)/python -m tests.bench.startup
	@$(BIN)/python -m tests.bench.capture
	@$(VM) -d 1800 -- $(BIN)/python -m tests.bench.guest
	@$(VM) -s -d 600 -- $(BIN)/python -m tests.bench.restart
	@$(VM) -- $(BIN)/python -m tests.bench.peers
	@$(VM) -c vkms-lossy -- $(BIN)/python -m tests.bench.pause

man: venv ## the manual pages, under build/man
	@$(BIN)/python -m docs.man build/man

packages: ## the Debian packages that the targets need
	@missing=$$(dpkg-query -W -f '$${db:Status-Abbrev} $${Package}\n' $(PACKAGES) 2>&1 | \
	    sed -n 's/^ii *//p' | sort | comm -13 - <(printf '%s\n' $(PACKAGES) | sort)); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then \
	    echo "packages: these are missing; install them, then run make again:" >&2; \
	    echo "  sudo apt-get install --no-install-recommends" $$missing >&2; exit 1; fi; \
	echo "packages: installing" $$missing; \
	apt-get -qq update && \
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $$missing > $(CURDIR)/.packages.log 2>&1 \
	    || { cat $(CURDIR)/.packages.log >&2; exit 1; }; rm -f $(CURDIR)/.packages.log

venv: $(VENV)/stamp ## .venv with the project and its tools

$(VENV)/stamp: pyproject.toml tests/vm/packages | packages
	@echo "venv: making $(VENV) from /usr/bin/python3"
	@/usr/bin/python3 -m venv --system-site-packages $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

dist: venv ## wheel and sdist under dist/
	@$(BIN)/python -m build --outdir dist .

install: ## the commands, units and documents, under DESTDIR and PREFIX (/usr/local)
	@packaging/install '$(DESTDIR)' '$(PREFIX)' '$(PYTHON)' '$(VENDOR)'

uninstall: ## take away exactly what install has placed
	@packaging/uninstall '$(DESTDIR)' '$(PREFIX)'

clean: ## remove what the targets made here; the kernel stays in its cache
	rm -rf $(VENV) dist build demo artifacts .mypy_cache .ruff_cache .pytest_cache
