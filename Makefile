# Two targets for a new machine: `make demo` and `make test`. Everything else is for working on the code.
CARGO ?= cargo
BUF_VERSION := 1.57.2
DENY_VERSION := 0.20.2
TOOLS := target/tools

.PHONY: demo test lint bench build clean help

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

build: ## the binary, target/debug/immune
	$(CARGO) build --locked -p immune-server

demo: ## the whole system in one process, with twelve simulated agents that fall ill
	@echo "building (the first build takes a few minutes; cargo shows its progress)"
	$(CARGO) build --locked -p immune-server
	./target/debug/immune demo $(DEMO_ARGS)

test: lint ## every check and every test
	$(CARGO) test --locked --workspace --no-fail-fast

lint: $(TOOLS)/bin/buf ## formatting, clippy, dependencies and licences, protobuf contracts
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(TOOLS)/bin/buf lint
	$(TOOLS)/bin/buf format --diff --exit-code
	$(CARGO) run --locked -q -p immune-tests --bin dependencies

bench: ## spans to vitals, vitals to verdicts; figures on this machine
	$(CARGO) bench --locked -p immune-domain -p immune-ingestion

$(TOOLS)/bin/buf:
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check buf-bin

clean: ## remove what was built
	$(CARGO) clean
