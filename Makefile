# make run      the server on this machine, with data in ./latchkey-data
# make test     everything that must hold; installs what it needs on Debian
# make bench    what a decision costs
# make fuzz     each fuzz target for FUZZTIME
# make torture  a million requests while the server is killed twenty times

GO       ?= go
FUZZTIME ?= 20s

.PHONY: run build test bench fuzz torture setup

run:
	$(GO) run ./cmd/latchkey serve

build:
	$(GO) build -trimpath -o bin/latchkey ./cmd/latchkey

setup:
	scripts/setup

test: setup
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	$(GO) test -race -timeout 10m ./...
	@echo "Snippets of docs/clients that ran:"; cat docs/testdata/runs.txt
	$(GO) test -run Alloc . ./jwt

bench:
	$(GO) test -run '^$$' -bench . -benchmem . ./jwt ./guard ./sqlite ./client ./journal ./cmd/latchkey

fuzz:
	scripts/fuzz $(FUZZTIME)

torture:
	LATCHKEY_TORTURE=1000000 $(GO) test -timeout 60m -run TestNothingIsLostToKills -v ./cmd/latchkey
