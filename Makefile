# SPDX-License-Identifier: Apache-2.0
#
# A thin front over Meson and Ninja: what there is to do, each in one word.  `make help` lists it.

BUILD        ?= build
PREFIX       ?= /usr/local
FUZZ_SECONDS ?= 600
# Debian's own Python, which has Debian's modules, whatever else stands first in PATH.
PYTHON       := /usr/bin/python3

# Debug information costs nothing at run time, and tools/gdb and perf need it; `make install` strips it.
RELEASE   := -Doptimization=3 -Ddebug=true -Db_lto=true
# What only has to link and to print its tables.
QUICK     := -Doptimization=1 -Ddebug=false -Db_lto=false
SANITIZED := -Dbuildtype=debugoptimized -Db_lto=false
# Arguments for pytest: make test PYTEST='-k websocket'
PYTEST    ?=

.PHONY: all
all: ## Build the release binary, build/maitred (what is done without a word)
	@tools/configure $(BUILD) $(RELEASE)
	@ninja -C $(BUILD) maitred

.PHONY: help
help: ## This list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null || \
	    sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1	\2/p' Makefile

.PHONY: setup
setup: ## Install what a build needs (apt-get; with sudo when not root)
	@tools/setup build

.PHONY: run
run: setup ## Install, build, and start a demonstration on http://localhost:8080
	@$(MAKE) --no-print-directory all
	@exec $(BUILD)/maitred demo

.PHONY: test
test: ## Install what the tests need, build, and run every test
	@tools/setup build test
	@$(MAKE) --no-print-directory all
	@tools/suite $(BUILD) unit fuzz e2e -- $(PYTEST)

.PHONY: unit
unit: all ## Run the unit tests only
	@tools/suite $(BUILD) unit

.PHONY: lint
lint: ## Check layers, prefixes, formatting, lengths, banned calls, generated files
	@tools/setup build lint
	@tools/configure build-lint $(QUICK)
	@ninja -C build-lint maitred
	@tools/lint build-lint

.PHONY: format
format: ## Put the formatting of the sources right
	@tools/setup lint
	@tools/format --fix

.PHONY: asan
asan: ## Unit tests, fuzz corpus and end-to-end tests under AddressSanitizer and UBSan
	@tools/setup build test
	@tools/configure build-asan $(SANITIZED) -Db_sanitize=address,undefined
	@ninja -C build-asan maitred
	@tools/suite build-asan unit fuzz core -- $(PYTEST)

.PHONY: tsan
tsan: ## Unit tests and end-to-end tests under ThreadSanitizer
	@tools/setup build test
	@tools/configure build-tsan $(SANITIZED) -Db_sanitize=thread
	@ninja -C build-tsan maitred
	@tools/suite build-tsan unit core -- $(PYTEST)

.PHONY: fuzz-build
fuzz-build:
	@tools/setup build fuzz
	@CC=clang tools/configure build-fuzz $(SANITIZED) -Dfuzzers=true -Db_sanitize=address,undefined \
	    -Db_lundef=false
	@ninja -C build-fuzz fuzzers

.PHONY: fuzz
fuzz: fuzz-build ## Fuzz each target for FUZZ_SECONDS (600), keeping what it finds in build-fuzz/
	@tools/fuzz build-fuzz $(FUZZ_SECONDS)

.PHONY: fuzz-smoke
fuzz-smoke: fuzz-build ## Fuzz each target for a few seconds
	@tools/fuzz build-fuzz 2

.PHONY: bench
bench: ## Measure side by side with Debian's nginx and HAProxy
	@tools/setup build bench
	@$(MAKE) --no-print-directory all
	@MAITRED=$(CURDIR)/$(BUILD)/maitred $(PYTHON) bench/bench.py run all

.PHONY: docs
docs: all ## Write docs/reference and the JSON Schema anew, from the tables in the sources
	@tools/docs $(BUILD)

.PHONY: install
install: all ## Install the binary, the manual page, the systemd unit and the schema (DESTDIR, PREFIX)
	install -D -s -m 755 $(BUILD)/maitred $(DESTDIR)$(PREFIX)/sbin/maitred
	install -D -m 644 packaging/maitred.8 $(DESTDIR)$(PREFIX)/share/man/man8/maitred.8
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@sbindir@|$(PREFIX)/sbin|' packaging/maitred.service \
	    >$(DESTDIR)$(PREFIX)/lib/systemd/system/maitred.service
	install -D -m 644 docs/reference/maitred.schema.json \
	    $(DESTDIR)$(PREFIX)/share/maitred/maitred.schema.json

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf build build-asan build-tsan build-fuzz
