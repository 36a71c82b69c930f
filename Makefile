# SPDX-License-Identifier: MIT
# A thin front: CMakePresets.json has the builds, scripts/ has the work.

PREFIX ?= /usr/local
BUILD  := build/release

.PHONY: all demo test models interop bench bench-instructions soak soak-rings soak-interop format lint docs install clean help

all: ## Build the library and the tool (build/release)
	@scripts/setup build
	@scripts/build release product

demo: all ## Show a driver and a device at work
	@scripts/setup demo
	@scripts/demo

test: ## Build and test everything; ends with the count
	@scripts/test

interop: ## Run the tests with peers of others: QEMU, its storage daemon, Linux guests
	@scripts/interop

bench: ## Run the benchmarks: table, build/bench/results.json, plots
	@scripts/setup bench
	@scripts/bench

bench-instructions: ## Count instructions per request, compare with the record
	@scripts/setup bench
	@scripts/bench-instructions

soak: ## Stress tests for SOAK_MINUTES (10) under the sanitizers
	@scripts/soak

soak-rings: ## SOAK_OPERATIONS (10^9) requests over all ring formats and features
	@scripts/soak-rings

soak-interop: ## SOAK_MINUTES (10) of random loads on devices of others, and on ours, that are killed
	@scripts/soak-interop

models: ## Check the Promela models with spin; a line per run, with its states
	@scripts/setup models
	@tests/build/models.sh

format: ## Format the C sources in place
	@scripts/format

lint: ## Check format and licence lines, run clang-tidy
	@scripts/lint

docs: ## Build the API reference (build/docs/html)
	@scripts/setup docs
	@scripts/docs

install: all ## Install under PREFIX (/usr/local); DESTDIR is honoured
	cmake --install $(BUILD) --prefix $(PREFIX)

clean: ## Remove everything built
	rm -rf build

help: ## Show these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 28
