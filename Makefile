# Verge. `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash

GO ?= go

# Shipped binaries are built without cgo. Tests run both ways: purego takes
# another path to C under cgo, and the race detector needs cgo.
export CGO_ENABLED ?= 0

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: unit
unit: ## tests that need no native library; under a minute
	$(GO) test ./...

.PHONY: test
test: lint unit ## everything that CI runs

.PHONY: lint
lint: ## gofmt and vet
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); test -z "$$out" || { echo "not gofmt-ed: $$out"; exit 1; }
	$(GO) vet ./...
