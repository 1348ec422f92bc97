# Verge. `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash

GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0-dev)
LDFLAGS   := -s -w -X verge/internal/version.Version=$(VERSION)
RUNTIMES  ?= $(CURDIR)/.runtimes
FUZZTIME  ?= 5s
DIST      ?= dist

# The native libraries that the tests are run with.
LIBRARIES := onnxruntime litert tflite openvino
comma     := ,
empty     :=
NEEDED    := $(subst $(empty) $(empty),$(comma),$(LIBRARIES))

# Packages whose goroutines share something.
RACE := ./client ./internal/api/... ./internal/app ./internal/artifact ./internal/deploy ./internal/gate ./internal/health \
	./internal/monitor ./internal/runtimeinstall ./internal/runtimes/... ./internal/serve ./internal/worker ./test/...

# Shipped binaries are built without cgo. Tests run both ways: purego takes
# another path to C under cgo, and the race detector needs cgo.
export CGO_ENABLED ?= 0
export VERGE_RUNTIME_DIR ?= $(RUNTIMES)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: build
build: ## build bin/verge
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/verge ./cmd/verge

.PHONY: runtime
runtime: build ## bring ONNX Runtime, LiteRT, TensorFlow Lite and OpenVINO, pinned by hash, into .runtimes
	@VERGE_RUNTIME_DIR='$(RUNTIMES)' bin/verge runtime install $(LIBRARIES)

.PHONY: demo
demo: runtime ## deploy the digits model in three formats, ask it about handwritten digits, show its status
	@VERGE_RUNTIME_DIR='$(RUNTIMES)' examples/digits/demo.sh

.PHONY: unit
unit: ## tests that need no native library; under a minute
	VERGE_RUNTIME_DIR= $(GO) test ./...

.PHONY: test
test: lint unit runtime test-all race-short fuzz-short arm64 packages ## everything that CI runs but the demo

.PHONY: test-all
test-all: runtime ## all tests, with the real libraries
	VERGE_REQUIRE=$(NEEDED),$(VERGE_REQUIRE) $(GO) test -timeout 20m ./...

.PHONY: race-short
race-short: runtime ## the tests of concurrent packages under the race detector
	CGO_ENABLED=1 VERGE_REQUIRE=$(NEEDED) $(GO) test -race -short -timeout 20m $(RACE)

.PHONY: race
race: runtime ## all tests under the race detector
	CGO_ENABLED=1 VERGE_REQUIRE=$(NEEDED) $(GO) test -race -timeout 40m ./...

.PHONY: faults
faults: FAULTS_ROUNDS ?= 20
faults: FAULTS_LOOP ?= 10000
faults: runtime ## faults at every call of a deployment, kills there FAULTS_ROUNDS times, FAULTS_LOOP random kills; hours
	FAULTS=all $(GO) test -count 1 -timeout 1h -v -run 'State|Cut' ./internal/deploy
	FAULTS_ROUNDS=$(FAULTS_ROUNDS) FAULTS_LOOP=$(FAULTS_LOOP) FAULTS_KILLS=1000 FAULTS_ERRORS=1000 FAULTS_CUTS=1000 \
		VERGE_REQUIRE=$(NEEDED),strace $(GO) test -count 1 -timeout 24h -v ./test/faults

.PHONY: soak
soak: SOAK ?= 1000
soak: runtime ## SOAK deployments, rollbacks and undeployments while clients ask; some ten minutes
	SOAK=$(SOAK) VERGE_REQUIRE=$(NEEDED) $(GO) test -count 1 -timeout 6h -v -run TestVersionsChangeUnderLoad ./test/enemy

.PHONY: fuzz-short fuzz
fuzz-short: ## every fuzz target for a few seconds
	FUZZTIME=$(FUZZTIME) test/fuzz.sh
fuzz: ## every fuzz target for ten minutes
	FUZZTIME=10m test/fuzz.sh

.PHONY: arm64
arm64: build ## the contract suite and one deployment as linux/arm64, under emulation
	test/arm64/test.sh

.PHONY: lint
lint: ## gofmt, vet, tidy, and the linters of .golangci.yml, pinned in tools/go.mod
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); test -z "$$out" || { echo "not gofmt-ed: $$out"; exit 1; }
	$(GO) vet ./...
	GOOS=linux GOARCH=arm64 $(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...

.PHONY: fmt
fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

.PHONY: cover
cover: runtime ## coverage by package
	$(GO) test -cover ./... | grep -v 'no test files'

.PHONY: golden
golden: ## rewrite the golden files
	$(GO) test ./... -update

.PHONY: clients
clients: runtime ## Triton's Python clients against a node; not in CI, brings their packages by pip
	test/clients/run.sh

.PHONY: bench
bench: runtime ## the benchmarks of docs/benchmarks.md
	test/bench.sh

.PHONY: cross
cross: ## build for every platform that is released
	GOOS=linux GOARCH=amd64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/verge-linux-amd64 ./cmd/verge
	GOOS=linux GOARCH=arm64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/verge-linux-arm64 ./cmd/verge

.PHONY: packages
packages: runtime ## what is released, built and installed in a scratch root
	VERGE_REQUIRE=dpkg,onnxruntime,$(VERGE_REQUIRE) $(GO) test ./test/packaging

.PHONY: release
release: ## archives and Debian packages for linux/amd64 and arm64, with checksums, into dist
	@GO='$(GO)' VERSION='$(VERSION)' LDFLAGS='$(LDFLAGS)' packaging/release.sh '$(DIST)' $(ARCHITECTURES)
